package policy

import "time"

// Outage is a time in which no message could be handed over through our own side's fault: connecting, TLS, the login or
// the provider failed. A recipient who is refused is none.
type Outage struct {
	Began time.Time
	// Ended is zero while it lasts.
	Ended time.Time
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

// excused is the deadline that counts: one that fell in an outage moves to 24 h after its end, once for every grace. While
// the outage lasts it stays 24 h away. final tells that the end is known, so that it can be written down.
func (f Facts) excused(g Grace, deadline, now time.Time) (moved time.Time, final bool) {
	if deadline.IsZero() || g.Excused {
		return deadline, false
	}
	for _, o := range f.Outages {
		switch {
		case !o.covers(deadline, now):
		case o.Ended.IsZero():
			return now.Add(afterOutage), false
		default:
			return o.Ended.Add(afterOutage), true
		}
	}
	return deadline, false
}
