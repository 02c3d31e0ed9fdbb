package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
)

// carrier answers as it is told, after a while.
type carrier struct {
	asked, inside, most atomic.Int32
	takes               time.Duration
	mu                  sync.Mutex
	says                error
}

func (c *carrier) say(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.says = err
}

func (c *carrier) Send(ctx context.Context, _ delivery.Message) error {
	c.asked.Add(1)
	if n := c.inside.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.inside.Add(-1)
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		return fmt.Errorf("%w: no answer in time", delivery.ErrUnknown)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.says
}

func TestDeadCarrierIsNotWaitedForByEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carrier{takes: 3 * time.Second, says: fmt.Errorf("%w: 503", delivery.ErrOutOfOrder)}
		var changes []bool
		g := delivery.NewGuard(c, func(down bool) { changes = append(changes, down) })
		for range 5 {
			if err := g.Send(t.Context(), textMessage()); !errors.Is(err, delivery.ErrOutOfOrder) {
				t.Fatal(err)
			}
		}
		// It is given up: people hear at once, and the carrier hears nothing.
		for range 20 {
			began := time.Now()
			err := g.Send(t.Context(), textMessage())
			if !errors.Is(err, delivery.ErrUnreachable) || errors.Is(err, delivery.ErrOutOfOrder) || time.Since(began) != 0 {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		}
		if n := c.asked.Load(); n != 5 {
			t.Errorf("asked %d times", n)
		}
		// After a rest one message tries it, while the others still hear at once.
		time.Sleep(3*time.Second + time.Millisecond)
		var tries sync.WaitGroup
		tries.Go(func() { _ = g.Send(t.Context(), textMessage()) })
		synctest.Wait()
		if err := g.Send(t.Context(), textMessage()); !errors.Is(err, delivery.ErrUnreachable) || c.asked.Load() != 6 {
			t.Errorf("beside the try: %v, asked %d times", err, c.asked.Load())
		}
		tries.Wait()
		if err := g.Send(t.Context(), textMessage()); !errors.Is(err, delivery.ErrUnreachable) || c.asked.Load() != 6 {
			t.Errorf("after the failed try: %v, asked %d times", err, c.asked.Load())
		}
		// It is back within 5 s of the cause (P7).
		c.say(nil)
		c.takes = 0
		time.Sleep(3*time.Second + time.Millisecond)
		for range 3 {
			if err := g.Send(t.Context(), textMessage()); err != nil {
				t.Error(err)
			}
		}
		if fmt.Sprint(changes) != "[true false]" {
			t.Errorf("told of %v", changes)
		}
	})
}

// A recipient who is refused, or who makes the carrier fall silent, must not take the carrier from everybody else.
func TestRefusalsDoNotTripTheGuard(t *testing.T) {
	for _, kind := range []error{delivery.ErrRefused, delivery.ErrTryLater, delivery.ErrBrokenOff} {
		c := &carrier{says: kind}
		g := delivery.NewGuard(c, nil)
		for range 20 {
			if err := g.Send(t.Context(), textMessage()); !errors.Is(err, kind) {
				t.Fatalf("%v became %v", kind, err)
			}
		}
		if c.asked.Load() != 20 {
			t.Errorf("%v: asked %d times", kind, c.asked.Load())
		}
	}
}

// One success between failures starts the count anew, and a process that ends says nothing about the carrier.
func TestGuardCountsFailuresInARow(t *testing.T) {
	c := &carrier{}
	g := delivery.NewGuard(c, nil)
	for i := range 40 {
		c.say(fmt.Errorf("%w", delivery.ErrUnreachable))
		if i%4 == 3 {
			c.say(nil)
		}
		_ = g.Send(t.Context(), textMessage())
	}
	if c.asked.Load() != 40 {
		t.Errorf("asked %d times", c.asked.Load())
	}
	c.say(nil)
	_ = g.Send(t.Context(), textMessage())
	synctest.Test(t, func(t *testing.T) {
		slow := &carrier{takes: time.Hour}
		g := delivery.NewGuard(slow, nil)
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			if err := g.Send(ctx, textMessage()); !errors.Is(err, delivery.ErrUnknown) {
				t.Fatal(err)
			}
		}
		if slow.asked.Load() != 20 {
			t.Errorf("called off, asked %d times", slow.asked.Load())
		}
	})
}

// R28: a carrier that hangs holds a few workers, not all of them.
func TestGuardLetsAFewThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carrier{takes: 10 * time.Second}
		g := delivery.NewGuard(c, nil)
		var all sync.WaitGroup
		var later atomic.Int32
		for range 40 {
			all.Go(func() {
				began := time.Now()
				err := g.Send(t.Context(), textMessage())
				switch {
				case errors.Is(err, delivery.ErrTryLater) && time.Since(began) == time.Second:
					later.Add(1)
				case err != nil:
					t.Errorf("%v after %s", err, time.Since(began))
				}
			})
		}
		all.Wait()
		if c.most.Load() != 8 || later.Load() != 32 {
			t.Errorf("%d at once, %d put off", c.most.Load(), later.Load())
		}
	})
}

func TestGuardChecksPastItself(t *testing.T) {
	if err := delivery.NewGuard(&carrier{}, nil).Check(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	g := startGateway(t, status(503))
	guard := delivery.NewGuard(httpSender(t, g), nil)
	for range 10 {
		_ = guard.Send(t.Context(), textMessage())
	}
	if err := guard.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
