package policy

import (
	"slices"
	"time"
)

// Outage is a time in which no message could be handed over to a channel's carrier through our own side's fault:
// connecting, TLS, the login or the provider failed. A recipient who is refused is none.
type Outage struct {
	Channel Channel
	Began   time.Time
	// Ended is zero while it lasts.
	Ended time.Time
	// Refusing: the carrier takes connections, and answers that it cannot serve us. That it can be reached does not show
	// when this is over; a message that it takes does.
	Refusing bool
	// Failed is when a message last failed so.
	Failed time.Time
}

// afterOutage is how long people have once messages go out again.
const afterOutage = day

// covers tells whether a deadline fell in the outage, as far as that is known now.
func (o Outage) covers(deadline, now time.Time) bool {
	if deadline.Before(o.Began) {
		return false
	}
	if o.Ended.IsZero() {
		return !now.Before(deadline)
	}
	return deadline.Before(o.Ended)
}

// excused is the deadline that counts: one that fell in an outage of every channel by which a person can be reached moves
// to 24 h after the first of them was back, once for every grace. While none is back it stays 24 h away. final tells that
// the end is known, so that it can be written down.
func (f *Facts) excused(g Grace, deadline, now time.Time) (moved time.Time, final bool) {
	if deadline.IsZero() || g.Excused || len(f.Ways) == 0 {
		return deadline, false
	}
	var back time.Time
	for _, way := range f.Ways {
		i := slices.IndexFunc(f.Outages, func(o Outage) bool { return o.Channel == way && o.covers(deadline, now) })
		if i < 0 {
			return deadline, false
		}
		if ended := f.Outages[i].Ended; !ended.IsZero() && (back.IsZero() || ended.Before(back)) {
			back = ended
		}
	}
	if back.IsZero() {
		return now.Add(afterOutage), false
	}
	return back.Add(afterOutage), true
}
