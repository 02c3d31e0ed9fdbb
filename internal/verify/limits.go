package verify

import (
	"context"
	"net/netip"
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

// takeOutside counts one send with everything that is limited apart from the account. It returns how long to wait;
// zero means that it was counted.
func (f *Flow) takeOutside(ctx context.Context, l policy.Limits, v Visitor, typed policy.Address, now time.Time) (time.Duration, error) {
	counts := []struct {
		key  string
		take func(s *spent) time.Duration
	}{
		{f.limitKey("ip", client(v.IP)), func(s *spent) time.Duration {
			wait := s.All.Wait(l.SendsPerIP, time.Hour, now)
			if typed != "" {
				wait = max(wait, s.Typed.Wait(l.TypedSendsPerIP, time.Hour, now))
			}
			if wait == 0 {
				s.All = s.All.Add(time.Hour, now)
				if typed != "" {
					s.Typed = s.Typed.Add(time.Hour, now)
				}
			}
			return wait
		}},
		{f.limitKey("to", typed.Whole()), func(s *spent) time.Duration {
			if typed == "" {
				return 0
			}
			wait := s.All.Wait(l.SendsPerAddress, time.Hour, now)
			if wait == 0 {
				s.All = s.All.Add(time.Hour, now)
			}
			return wait
		}},
		{f.limitKey("total", ""), func(s *spent) (wait time.Duration) {
			s.Budget, wait = s.Budget.Take(l.TotalBudget, now)
			return wait
		}},
	}
	for _, c := range counts {
		wait, err := f.take(ctx, c.key, now, c.take)
		if err != nil || wait > 0 {
			return wait, err
		}
	}
	return 0, nil
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
		if wait = count(s); wait > 0 || len(s.All)+s.Budget.Spent == 0 {
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
