package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// atOnce is how many messages a carrier is given at the same time. A carrier that hangs holds no more workers than
	// that: the others go on with what other carriers take.
	atOnce = 8
	// queueing is how long a message waits for its turn.
	queueing = time.Second
	// tripsAfter failures in a row the carrier is left alone for resting; then one message tries it.
	tripsAfter = 5
	resting    = 3 * time.Second
)

// Guard stands before a sender, so that not everybody waits for a carrier that is down: it lets a few messages through at
// once, and after some failures in a row says no at once, until one message finds the carrier back.
type Guard struct {
	sender  Sender
	turns   chan struct{}
	breaker *gobreaker.CircuitBreaker[struct{}]
}

// NewGuard guards a sender. changed is told when the carrier is given up and when it is back; it may be nil.
func NewGuard(sender Sender, changed func(down bool)) *Guard {
	return &Guard{sender: sender, turns: make(chan struct{}, atOnce), breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      resting,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripsAfter },
		IsSuccessful: answered,
		IsExcluded:   saysNothing,
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if changed != nil && (to == gobreaker.StateClosed || from == gobreaker.StateClosed) {
				changed(to == gobreaker.StateOpen)
			}
		},
	})}
}

// answered tells that the carrier is there, whatever it said of this message.
func answered(err error) bool {
	return err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrTryLater)
}

// saysNothing tells that an error is about this message, or about us, and not about the carrier.
func saysNothing(err error) bool {
	return errors.Is(err, ErrBrokenOff) || errors.Is(err, errCalledOff)
}

// errCalledOff is an ErrUnknown for which we are the reason: the process ends.
var errCalledOff = errors.New("called off")

// Send hands the message to the sender, if its carrier is not given up and has a place free.
func (g *Guard) Send(ctx context.Context, m Message) error {
	wait := time.NewTimer(queueing)
	defer wait.Stop()
	select {
	case g.turns <- struct{}{}:
		defer func() { <-g.turns }()
	case <-wait.C:
		return failure{kind: ErrTryLater, stage: atStart, cause: "the sender has its hands full"}
	case <-ctx.Done():
		return failure{kind: ErrUnreachable, stage: atStart, cause: cause(ctx.Err())}
	}
	var err error
	_, refused := g.breaker.Execute(func() (struct{}, error) {
		err = g.sender.Send(ctx, m)
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			return struct{}{}, errCalledOff
		}
		return struct{}{}, err
	})
	if errors.Is(refused, gobreaker.ErrOpenState) || errors.Is(refused, gobreaker.ErrTooManyRequests) {
		return failure{kind: ErrUnreachable, stage: atStart, cause: "the carrier is down"}
	}
	return err
}

// Check asks the sender, past the guard.
func (g *Guard) Check(ctx context.Context) error {
	if checker, ok := g.sender.(interface{ Check(context.Context) error }); ok {
		return checker.Check(ctx)
	}
	return errors.ErrUnsupported
}

var _ Sender = (*Guard)(nil)
