package verify

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/policy"
)

// What is counted for something that is not an account: a client IP, a typed address, everybody together.
type spent struct {
	All    policy.Tally  `cbor:"1,keyasint,omitzero"`
	Typed  policy.Tally  `cbor:"2,keyasint,omitzero"`
	Budget policy.Budget `cbor:"3,keyasint,omitzero"`
}

// outside is one thing, apart from the account, that a send counts with.
type outside struct {
	key  string
	take func(s *spent, l policy.Limits, now time.Time) time.Duration
	undo func(s *spent)
}

// countedOutside are all of them for one send: the client IP, the typed address if it is one, everybody together.
func (f *Flow) countedOutside(v Visitor, typed policy.Address) []outside {
	ip := outside{f.limitKey("ip", client(v.IP)), takeForIP, func(s *spent) { s.All = s.All.Undo() }}
	total := outside{f.limitKey("total", ""), takeInAll, func(s *spent) { s.Budget.Spent = max(0, s.Budget.Spent-1) }}
	if typed == "" {
		return []outside{ip, total}
	}
	ip.take, ip.undo = takeTypedForIP, func(s *spent) { s.All, s.Typed = s.All.Undo(), s.Typed.Undo() }
	to := outside{f.limitKey("to", typed.Whole()), takeForAddress, func(s *spent) { s.All = s.All.Undo() }}
	return []outside{ip, to, total}
}

func takeForIP(s *spent, l policy.Limits, now time.Time) time.Duration {
	wait := s.All.Wait(l.SendsPerIP, time.Hour, now)
	if wait == 0 {
		s.All = s.All.Add(time.Hour, now)
	}
	return wait
}

func takeTypedForIP(s *spent, l policy.Limits, now time.Time) time.Duration {
	if wait := max(s.All.Wait(l.SendsPerIP, time.Hour, now), s.Typed.Wait(l.TypedSendsPerIP, time.Hour, now)); wait > 0 {
		return wait
	}
	s.All, s.Typed = s.All.Add(time.Hour, now), s.Typed.Add(time.Hour, now)
	return 0
}

func takeForAddress(s *spent, l policy.Limits, now time.Time) time.Duration {
	wait := s.All.Wait(l.SendsPerAddress, time.Hour, now)
	if wait == 0 {
		s.All = s.All.Add(time.Hour, now)
	}
	return wait
}

func takeInAll(s *spent, l policy.Limits, now time.Time) (wait time.Duration) {
	s.Budget, wait = s.Budget.Take(l.TotalBudget, now)
	return wait
}

// takeOutside counts one send with everything that is limited apart from the account. It returns how long to wait; zero
// means that it was counted. Whatever counted before another refused is given back: these limits are shared, and nobody
// may spend them for others without a message.
func (f *Flow) takeOutside(ctx context.Context, l policy.Limits, v Visitor, typed policy.Address, now time.Time) (time.Duration, error) {
	all := f.countedOutside(v, typed)
	for i, o := range all {
		wait, err := f.take(ctx, o.key, now, func(s *spent) time.Duration { return o.take(s, l, now) })
		if err != nil || wait > 0 {
			f.undo(ctx, all[:i])
			return wait, err
		}
	}
	return 0, nil
}

// giveBack undoes takeOutside.
func (f *Flow) giveBack(ctx context.Context, v Visitor, typed policy.Address) {
	f.undo(ctx, f.countedOutside(v, typed))
}

func (f *Flow) undo(ctx context.Context, counted []outside) {
	for _, o := range counted {
		_, err := f.take(context.WithoutCancel(ctx), o.key, f.now(), func(s *spent) time.Duration { o.undo(s); return 0 })
		if err != nil {
			return // it is logged; the count runs out by itself
		}
	}
}

// queues let one wish of an account at a time through. Accounts share them by hash: that only makes them wait.
type queues [256]chan struct{}

// place is somebody's turn; leave may be called twice.
type place struct{ leave func() }

func newQueues() *queues {
	q := &queues{}
	for i := range q {
		q[i] = make(chan struct{}, 1)
	}
	return q
}

func (f *Flow) queueFor(ctx context.Context, key string) (place, error) {
	ch := f.queues[maphash.String(f.cache.seed, key)%uint64(len(f.queues))]
	select {
	case ch <- struct{}{}:
		return place{sync.OnceFunc(func() { <-ch })}, nil
	case <-ctx.Done():
		return place{}, f.unavailable("update", "waiting for other messages of the account", ctx.Err())
	}
}

// take counts in one atomic step; what is counted is forgotten a day after it was last touched.
func (f *Flow) take(ctx context.Context, key string, now time.Time, count func(s *spent) time.Duration) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err = f.Store.Update(ctx, key, func(old store.Record) (store.Record, error) {
		s := &spent{}
		if old.Value != nil {
			if err := f.openRecord(key, old.Value, s); err != nil {
				return store.Record{}, err
			}
		}
		if wait = count(s); wait > 0 || string(old.Value) == "" && len(s.All)+s.Budget.Spent == 0 {
			return store.Record{}, store.ErrKeep
		}
		sealed, err := f.sealRecord(key, s)
		return store.Record{Value: sealed, Expires: now.Add(25 * time.Hour)}, err
	})
	if err != nil {
		return 0, f.unavailable("update", "counting a send", err)
	}
	return wait, nil
}

// client is whom an IP address stands for: IPv6 networks give a whole /64 to one household.
func client(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
