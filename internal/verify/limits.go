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

// What is counted for something that is not an account: a client IP, a typed address, a country, everybody together.
type spent struct {
	All    policy.Tally  `cbor:"1,keyasint,omitzero"`
	Typed  policy.Tally  `cbor:"2,keyasint,omitzero"`
	Budget policy.Budget `cbor:"3,keyasint,omitzero"`
	// Rate is for a country: which of its codes were entered.
	Rate policy.Rate `cbor:"4,keyasint,omitzero"`
}

func (s *spent) empty() bool {
	return len(s.All)+s.Budget.Spent+len(s.Rate.Slots) == 0 && s.Rate.Stopped.IsZero()
}

// outside is one thing, apart from the account, that a send counts with.
type outside struct {
	key string
	// take counts one, or says why not and how long.
	take func(s *spent, l policy.Limits, now time.Time) policy.Result
	undo func(s *spent)
}

// countedOutside are all of them for one send: the client IP, what was typed if it was, the country of a phone, everybody
// together. newCode tells that it is no repetition of the code before.
func (f *Flow) countedOutside(v Visitor, w wish, newCode bool) []outside {
	ip := outside{f.limitKey("ip", client(v.IP)), takeForIP, func(s *spent) { s.All = s.All.Undo() }}
	all := []outside{ip}
	if w.typed {
		all[0].take, all[0].undo = takeTypedForIP, func(s *spent) { s.All, s.Typed = s.All.Undo(), s.Typed.Undo() }
		all = append(all, outside{f.limitKey("to", w.contact.Address.Whole()), takeForAddress, func(s *spent) { s.All = s.All.Undo() }})
	}
	if w.contact.Kind == policy.Phone {
		all = append(all, f.countedForCountry(v, w, newCode))
	}
	return append(all, outside{f.limitKey("total", ""), takeInAll, func(s *spent) { s.Budget.Spent = max(0, s.Budget.Spent-1) }})
}

func (f *Flow) countedForCountry(v Visitor, w wish, newCode bool) outside {
	var counted time.Time
	return outside{f.countryKey(w.contact.Address),
		func(s *spent, l policy.Limits, now time.Time) policy.Result {
			if w.typed {
				rate, wait := s.Rate.Judge(now)
				if s.Rate = rate; wait > 0 {
					return policy.Result{Outcome: policy.Paused, Wait: wait}
				}
			}
			budget, wait := s.Budget.Take(l.CountryBudget, now)
			if s.Budget = budget; wait > 0 {
				return policy.Result{Outcome: policy.TooMany, Wait: wait}
			}
			if counted = now; newCode {
				s.Rate = s.Rate.Asked(f.accountKey(v.Realm, v.User), now)
			}
			return allowed
		},
		func(s *spent) {
			if s.Budget.Spent = max(0, s.Budget.Spent-1); newCode {
				s.Rate = s.Rate.Unasked(counted)
			}
		},
	}
}

func (f *Flow) countryKey(number policy.Address) string {
	return f.limitKey("country", LineOf(number).Country)
}

// entered and unasked tell the country of a phone what became of a code that was started at a moment. They are news about
// the country, not about the person: nobody waits for them, and a failure is only logged.
func (f *Flow) entered(ctx context.Context, number policy.Address, started time.Time) {
	f.tellCountry(ctx, number, func(s *spent) { s.Rate = s.Rate.Entered(started) })
}

func (f *Flow) unasked(ctx context.Context, number policy.Address, started time.Time) {
	f.tellCountry(ctx, number, func(s *spent) { s.Rate = s.Rate.Unasked(started) })
}

func (f *Flow) tellCountry(ctx context.Context, number policy.Address, tell func(s *spent)) {
	_, _ = f.take(context.WithoutCancel(ctx), f.countryKey(number), f.now(), func(s *spent) policy.Result { tell(s); return allowed })
}

// allowed is what counting gives that refuses nothing.
var allowed = policy.Result{Outcome: policy.Started}

func tooMany(wait time.Duration) policy.Result {
	if wait > 0 {
		return policy.Result{Outcome: policy.TooMany, Wait: wait}
	}
	return allowed
}

func takeForIP(s *spent, l policy.Limits, now time.Time) policy.Result {
	wait := s.All.Wait(l.SendsPerIP, time.Hour, now)
	if wait == 0 {
		s.All = s.All.Add(time.Hour, now)
	}
	return tooMany(wait)
}

func takeTypedForIP(s *spent, l policy.Limits, now time.Time) policy.Result {
	wait := max(s.All.Wait(l.SendsPerIP, time.Hour, now), s.Typed.Wait(l.TypedSendsPerIP, time.Hour, now))
	if wait == 0 {
		s.All, s.Typed = s.All.Add(time.Hour, now), s.Typed.Add(time.Hour, now)
	}
	return tooMany(wait)
}

func takeForAddress(s *spent, l policy.Limits, now time.Time) policy.Result {
	wait := s.All.Wait(l.SendsPerAddress, time.Hour, now)
	if wait == 0 {
		s.All = s.All.Add(time.Hour, now)
	}
	return tooMany(wait)
}

func takeInAll(s *spent, l policy.Limits, now time.Time) policy.Result {
	budget, wait := s.Budget.Take(l.TotalBudget, now)
	s.Budget = budget
	return tooMany(wait)
}

// takeOutside counts one send with everything that is limited apart from the account. Whatever counted before another
// refused is given back: these limits are shared, and nobody may spend them for others without a message.
func (f *Flow) takeOutside(ctx context.Context, l policy.Limits, all []outside, now time.Time) (policy.Result, error) {
	for i, o := range all {
		r, err := f.take(ctx, o.key, now, func(s *spent) policy.Result { return o.take(s, l, now) })
		if err != nil || r.Outcome != policy.Started {
			f.undo(ctx, all[:i])
			return r, err
		}
	}
	return allowed, nil
}

// undo gives back what takeOutside took. Whoever asked waits for it while they have time, and no longer (P7): it goes on for two
// seconds at most.
func (f *Flow) undo(ctx context.Context, counted []outside) {
	if len(counted) == 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.giveBack(context.WithoutCancel(ctx), counted) // it is logged; the count runs out by itself
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (f *Flow) giveBack(ctx context.Context, counted []outside) (err error) {
	defer NoRandom(&err)
	for _, o := range counted {
		if _, err := f.take(ctx, o.key, f.now(), func(s *spent) policy.Result { o.undo(s); return allowed }); err != nil {
			return err
		}
	}
	return nil
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
	ch := f.queues[maphash.String(f.cache.seeds[0], key)%uint64(len(f.queues))]
	select {
	case ch <- struct{}{}:
		return place{sync.OnceFunc(func() { <-ch })}, nil
	case <-ctx.Done():
		return place{}, f.unavailable("update", "waiting for other messages of the account", ctx.Err())
	}
}

// take counts in one atomic step; what is counted is forgotten a day after it was last touched. A refusal is written down
// only where it changes something: that a country is stopped.
func (f *Flow) take(ctx context.Context, key string, now time.Time, count func(s *spent) policy.Result) (r policy.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err = f.Store.Update(ctx, key, func(old store.Record) (store.Record, error) {
		s := &spent{}
		if old.Value != nil {
			if err := f.openRecord(key, old.Value, s); err != nil {
				return store.Record{}, err
			}
		}
		stopped := s.Rate.Stopped
		r = count(s)
		if r.Outcome != policy.Started && s.Rate.Stopped.Equal(stopped) || old.Value == nil && s.empty() {
			return store.Record{}, store.ErrKeep
		}
		sealed, err := f.sealRecord(key, s)
		return store.Record{Value: sealed, Expires: now.Add(25 * time.Hour)}, err
	})
	if err != nil {
		return policy.Result{}, f.unavailable("update", "counting a send", err)
	}
	return r, nil
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
