package policy

import (
	"slices"
	"time"
)

// Rate is how many of the codes to the phones of one country were entered, over a day. Whoever earns from messages to
// numbers of their own has many sent and enters none.
type Rate struct {
	Slots []RateSlot `cbor:"1,keyasint,omitzero"`
	// Stopped is until when nothing is sent to typed numbers of the country.
	Stopped time.Time `cbor:"2,keyasint,omitzero"`
}

// RateSlot is half an hour of a Rate: what was sent then, and what of that has been entered since.
type RateSlot struct {
	At      time.Time `cbor:"1,keyasint,omitzero"`
	Sent    int       `cbor:"2,keyasint,omitzero"`
	Entered int       `cbor:"3,keyasint,omitzero"`
	// Accounts names those that asked, as many as the rule needs to know of.
	Accounts []string `cbor:"4,keyasint,omitzero"`
}

const (
	rateSlot = 30 * time.Minute
	// A country is judged from so many codes of so many accounts on, and stops below this share in percent for so long.
	rateCodes    = 50
	rateAccounts = 10
	rateShare    = 30
	rateStop     = time.Hour
)

// Asked counts a code that is about to be sent for an account.
func (r Rate) Asked(account string, now time.Time) Rate {
	at := now.Truncate(rateSlot)
	slots := make([]RateSlot, 0, len(r.Slots)+1)
	for _, s := range r.Slots {
		if now.Sub(s.At) < day+rateSlot { // whatever of it is younger than a day counts
			slots = append(slots, s)
		}
	}
	// A clock that stepped back counts in the latest slot, or they would be out of order.
	if n := len(slots); n == 0 || slots[n-1].At.Before(at) {
		slots = append(slots, RateSlot{At: at})
	}
	last := &slots[len(slots)-1]
	last.Sent++
	if len(last.Accounts) < rateAccounts && !slices.Contains(last.Accounts, account) {
		last.Accounts = append(slices.Clone(last.Accounts), account)
	}
	r.Slots = slots
	return r
}

// Unasked takes the code back that was counted at a moment: it never went out.
func (r Rate) Unasked(at time.Time) Rate {
	return r.slotOf(at, func(s *RateSlot) { s.Sent = max(s.Sent-1, s.Entered) })
}

// Entered counts the right entry of a code that was counted at a moment.
func (r Rate) Entered(at time.Time) Rate {
	return r.slotOf(at, func(s *RateSlot) { s.Entered = min(s.Entered+1, s.Sent) })
}

func (r Rate) slotOf(at time.Time, change func(s *RateSlot)) Rate {
	r.Slots = slices.Clone(r.Slots)
	for i := len(r.Slots) - 1; i >= 0; i-- {
		if !r.Slots[i].At.After(at) {
			change(&r.Slots[i])
			break
		}
	}
	return r
}

// Judge tells how long typed numbers of the country have to wait; zero: not at all. A stop begins here. The codes that
// led to it are not held against the country a second time, or one bad hour would stop it for a day.
func (r Rate) Judge(now time.Time) (Rate, time.Duration) {
	if wait := r.Stopped.Sub(now); wait > 0 {
		return r, wait
	}
	sent, entered := 0, 0
	var accounts []string
	for _, s := range r.Slots {
		if now.Sub(s.At) < day+rateSlot {
			sent, entered, accounts = sent+s.Sent, entered+s.Entered, append(accounts, s.Accounts...)
		}
	}
	slices.Sort(accounts)
	if sent < rateCodes || len(slices.Compact(accounts)) < rateAccounts || entered*100 >= sent*rateShare {
		return r, 0
	}
	return Rate{Stopped: now.Add(rateStop)}, rateStop
}
