package verify

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/testbed"
	"github.com/contactgate/contactgate/policy"
)

// These tests have two nodes on one Redis: two flows, each with its own connections, as two processes have.

// everyRedis runs a test on one server, on Sentinels, and on a Cluster.
func everyRedis(t *testing.T, test func(t *testing.T, config store.RedisConfig)) {
	t.Run("one server", func(t *testing.T) { test(t, loneRedis(t)) })
	t.Run("Sentinels", func(t *testing.T) {
		set := redistest.StartSentinels(t, 1)
		test(t, store.RedisConfig{Addresses: set.Addrs(), Master: set.Name})
	})
	t.Run("Cluster", func(t *testing.T) {
		test(t, store.RedisConfig{Addresses: redistest.StartCluster(t, 3).Addrs(), Cluster: true})
	})
}

func twoNodes(t *testing.T, config store.RedisConfig, changes ...func(h *house)) *house {
	t.Helper()
	return newHouse(t, append([]func(h *house){func(h *house) { h.kind = onRedis(config) }}, changes...)...)
}

// within waits for what another node has to notice, and says how long it took.
func (h *house) within(patience time.Duration, what string, is func() bool) {
	h.Helper()
	began := time.Now()
	if !testbed.Until(patience, is) {
		h.Fatalf("%s: not within %s", what, patience)
	}
	h.Logf("%s after %s", what, time.Since(began).Round(time.Millisecond))
}

func TestTwoNodesAreOneGate(t *testing.T) {
	everyRedis(t, func(t *testing.T, config store.RedisConfig) {
		h := twoNodes(t, config)
		ann := h.person("ann", "browser")
		h.open(ann)
		h.ask(ann, ann.Email)
		h.swap()
		h.accept(ann, ann.Email) // asked on one, entered on the other
		h.swap()
		h.within(time.Second, "verified on one passes on the other", func() bool { return h.open(ann).Standing == policy.Verified })

		// What follows is the work of the messages: once both nodes have begun to count, counting alone takes longer.
		time.Sleep(1200 * time.Millisecond)
		retire := func(is bool) func(*policy.Account) {
			return func(a *policy.Account) { a.Contacts[0].Retired = is }
		}
		for range 2 { // each node changes what the other one remembers
			h.within(3*time.Second, "verified, and remembered", func() bool {
				asked := h.probe.asked()
				return h.open(ann).Standing == policy.Verified && h.probe.asked() == asked
			})
			h.swap()
			h.change(ann, retire(true))
			h.swap()
			h.within(time.Second, "an operator's change reaches the other node", func() bool { return h.open(ann).Standing != policy.Verified })
			h.swap()
			h.change(ann, retire(false))
		}

		bob := h.person("bob", "browser")
		h.open(bob)
		h.ask(bob, bob.Email)
		h.bothAtOnce(500, func(h *house) {
			_, _ = h.Enter(t.Context(), &h.rules, bob, notThis(h.courier.code(h, bob.Email)))
		})
		if n := len(h.audit.lines(t, "code_tried", "user=bob", "result=wrong")); n > 5 {
			t.Errorf("%d guesses were evaluated", n)
		}
		h.recovered(bob)
		if a := h.account(bob); a.Challenge.Wrong > 5 {
			t.Errorf("%d guesses were counted for one code", a.Challenge.Wrong)
		}

		cyd := h.person("cyd", "browser")
		var unanswered atomic.Int64
		h.bothAtOnce(200, func(h *house) {
			if _, err := h.Decide(t.Context(), &h.rules, cyd, opening(cyd)); err != nil {
				unanswered.Add(1)
			}
		})
		h.recovered(cyd)
		h.open(cyd)
		// Whose answer came too late tells nobody of the grace that it began.
		if n := len(h.audit.lines(t, "grace_started", "user=cyd")); n > 1 || n == 0 && unanswered.Load() == 0 {
			t.Errorf("%d times grace was started, and %d had no answer", n, unanswered.Load())
		}
	})
}

// recovered waits until Redis answers again: on a slow machine a burst may have been too much for it for a moment.
func (h *house) recovered(v Visitor) {
	h.Helper()
	h.within(10*time.Second, "Redis answers after the burst", func() bool {
		_, err := h.Account(h.Context(), v)
		return err == nil
	})
}

// bothAtOnce does something so many times, half of it on each node, all at the same moment.
func (h *house) bothAtOnce(times int, do func(h *house)) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	one, other := *h, *h
	other.Flow = h.other.Flow
	for i := range times {
		on := &one
		if i%2 == 1 {
			on = &other
		}
		all.Go(func() {
			<-begin
			do(on)
		})
	}
	close(begin)
	all.Wait()
}

// deafDial makes connections on which nothing of a subscription is heard: messages that a Cluster lost on their way, or
// a network that swallows them.
func deafDial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: c}, nil
}

type deafConn struct {
	net.Conn
	deaf atomic.Bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "\r\nsubscribe\r\n") {
		c.deaf.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.deaf.Load() {
			return n, err
		}
	}
}

// A change is noticed without a single message, by counting (tendChanges). Without the counting this test goes red: the
// other node believes what it remembers for a minute.
func TestChangeIsNoticedWithoutMessages(t *testing.T) {
	config := loneRedis(t)
	config.Dial = deafDial
	h := twoNodes(t, config)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	h.swap()
	h.open(ann)
	h.swap()
	h.change(ann, func(a *policy.Account) { a.Contacts[0].Retired = true })
	h.swap()
	h.within(5*time.Second, "the change is noticed", func() bool { return h.open(ann).Standing != policy.Verified })
}

// TestEmptiedRedisIsNotUsed: nobody becomes verified, nobody gets a new grace, nothing is written, until an operator says
// that it may be empty; and then both nodes go on.
//
// Without the epoch in reads and writes it goes red: the first visits after FLUSHALL start graces.
func TestEmptiedRedisIsNotUsed(t *testing.T) {
	server := redistest.Start(t)
	h := twoNodes(t, store.RedisConfig{Addresses: []string{server.Addr}})
	ann, bob := h.person("ann", "browser"), h.person("bob", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	h.open(ann)
	h.open(bob)
	h.move(8 * day) // bob is overdue, ann is forgotten by the caches
	graces := len(h.audit.lines(t, "grace_started"))

	server.Do("FLUSHALL")
	refusedAll := func(what string) {
		t.Helper()
		h.bothAtOnce(60, func(on *house) {
			for _, user := range []string{"ann", "bob", "new"} {
				v := on.person(user, "browser")
				if verdict, err := on.Decide(t.Context(), &on.rules, v, opening(v)); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%s, %s: %+v, %v", what, user, verdict.Decision, err)
				}
				if _, err := on.Enter(t.Context(), &on.rules, v, "000000"); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%s, %s enters a code: %v", what, user, err)
				}
			}
		})
	}
	refusedAll("at once")
	time.Sleep(1500 * time.Millisecond) // the workers and the watch over the servers have had their turn
	refusedAll("later")
	if keys := server.Do("KEYS", "*"); len(keys.([]any)) != 0 {
		t.Errorf("written into the emptied store: %q", keys)
	}
	if n := len(h.audit.lines(t, "grace_started")); n != graces {
		t.Errorf("%d graces were started", n-graces)
	}
	no := new(NotReady)
	h.move(time.Second) // in case that it was too slow to answer, the last time
	if err := h.Admit(t.Context()); !errors.As(err, &no) || !strings.Contains(no.Problem, "is empty") || !strings.Contains(no.Remedy, "--accept-empty-store") {
		t.Errorf("an operator hears: %v", err)
	}

	if err := h.AcceptEmptyStore(t.Context(), "it was me"); err != nil {
		t.Fatal(err)
	}
	h.move(time.Second) // a refusal is believed that long
	for range 2 {
		h.within(3*time.Second, "a node goes on", func() bool {
			_, err := h.Decide(t.Context(), &h.rules, bob, opening(bob))
			return err == nil
		})
		h.swap()
	}
}

// A part that is gone is as bad: those in it would look new.
func TestRedisThatLostAPartIsNotUsed(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	h := twoNodes(t, store.RedisConfig{Addresses: c.Addrs(), Cluster: true})
	h.open(h.person("ann", "browser"))
	const nameOfStore = "{20}" // the hash tag of the store's name: that one would be missed anyway
	at := c.Nodes[0].Do("CLUSTER", "KEYSLOT", nameOfStore).(int64) * 3 / 16384
	c.Nodes[(at+1)%3].Do("FLUSHALL") // its replica is emptied along
	refused := func() bool {
		for _, user := range []string{"ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"} { // some are in that part
			v := h.person(user, "browser")
			if _, err := h.Decide(t.Context(), &h.rules, v, opening(v)); err == nil {
				return false
			}
		}
		return true
	}
	h.move(time.Second)
	for range 2 {
		h.within(3*time.Second, "a node notices", refused)
		h.swap()
	}
	h.move(time.Second)
	no := new(NotReady)
	h.move(time.Second) // in case that it was too slow to answer, the last time
	if err := h.Admit(t.Context()); !errors.As(err, &no) || !strings.Contains(no.Problem, "part") || !strings.Contains(no.Remedy, "--accept-empty-store") {
		t.Errorf("an operator hears: %v", err)
	}
	// A restart does not hide it.
	h.restart()
	if !refused() {
		t.Error("used after a restart")
	}
	if err := h.AcceptEmptyStore(t.Context(), "it was me"); err != nil {
		t.Fatal(err)
	}
	h.move(time.Second) // a refusal is believed that long
	for range 2 {
		h.within(3*time.Second, "a node goes on", func() bool { return !refused() })
		h.swap()
	}
}

// Its name alone is gone: it is no store that anybody knows, until an operator says that it is the one.
func TestRedisThatLostItsNameIsNotUsed(t *testing.T) {
	server := redistest.Start(t)
	h := twoNodes(t, store.RedisConfig{Addresses: []string{server.Addr}})
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	for _, name := range server.Do("KEYS", "*/"+storeIDKey).([]any) {
		server.Do("DEL", name)
	}
	h.restart()
	if verdict, err := h.Decide(t.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%+v, %v", verdict.Decision, err)
	}
	if err := h.AcceptEmptyStore(t.Context(), "it was me"); err != nil {
		t.Fatal(err)
	}
	h.move(time.Second)
	if h.open(ann).Standing != policy.Verified {
		t.Error("what was left is not used")
	}
}

// One line when it begins, one when it is over, however many requests fail.
func TestOutageOfTheStoreIsSaidOnce(t *testing.T) {
	server := redistest.Start(t)
	h := newHouse(t, func(h *house) {
		h.kind = onRedis(store.RedisConfig{Addresses: []string{server.Addr}})
		h.kind.two = false
	})
	ann := h.person("ann", "browser")
	h.open(ann)
	server.Kill()
	var all sync.WaitGroup
	var slowest atomic.Int64
	for range 200 {
		all.Go(func() {
			began := time.Now()
			if _, err := h.Decide(t.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("with the store away: %v", err)
			}
			for took := testbed.Took(began).Milliseconds(); took > slowest.Load(); {
				slowest.Store(took)
			}
		})
	}
	all.Wait()
	if slowest.Load() > 2000 {
		t.Errorf("somebody waited %d ms", slowest.Load())
	}
	time.Sleep(2500 * time.Millisecond) // polls fail, too
	server.Start()
	h.within(5*time.Second, "it works again", func() bool {
		_, err := h.Decide(t.Context(), &h.rules, ann, opening(ann))
		return err == nil
	})
	h.within(5*time.Second, "that is said", func() bool {
		h.open(ann)
		return len(h.log.lines(t, "the account store answers again")) == 1
	})
	var errorsSaid []string
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			errorsSaid = append(errorsSaid, line)
		}
	}
	if len(errorsSaid) != 1 {
		t.Errorf("%d lines: %s", len(errorsSaid), strings.Join(errorsSaid, ""))
	}
}
