package policy

import "time"

// Grace is the one grace of an account. Nothing but the named rules replaces it: there is no other place that
// writes its moments, so no cookie, browser, node, contact or spelling can start it again.
type Grace struct {
	// After is the confirmation whose end this grace follows. Zero for the first grace.
	After time.Time `cbor:"1,keyasint,omitzero"`
	// Seen is the first request in mode enforce, inside the rollout.
	Seen time.Time `cbor:"2,keyasint,omitzero"`
	// Shown is when a page being opened was first answered with our page.
	Shown time.Time `cbor:"3,keyasint,omitzero"`
	// Until is a later deadline, which an operator gave, or an outage of our senders.
	Until time.Time `cbor:"4,keyasint,omitzero"`
	// Excused: an outage has moved the deadline. It does so once.
	Excused bool `cbor:"5,keyasint,omitzero"`
}

// Deadline is when grace ends under these rules; zero while no clock has started, whatever an operator gave: a favour
// must not lock out somebody who was never shown a page. Being shown the page can only bring it nearer than the
// unseen clock had it.
func (g Grace) Deadline(r *Rules) time.Time {
	start := g.Shown
	if !g.Seen.IsZero() {
		if u := g.Seen.Add(r.Unseen); start.IsZero() || u.Before(start) {
			start = u
		}
	}
	if start.IsZero() {
		return time.Time{}
	}
	if end := start.Add(r.Grace); end.After(g.Until) {
		return end
	}
	return g.Until
}

// Record writes down what a decision started. It must be called with the decision that was made from the
// account's present facts, in the same atomic update.
func (a *Account) Record(r *Rules, q Request, d Decision, now time.Time) {
	if d.Excuses {
		a.Grace.Until, a.Grace.Excused = d.Deadline, true
	}
	if d.StartsSeen || d.StartsShown {
		f := a.Facts(now)
		a.Grace = r.grace(&f, now)
	}
	if d.StartsSeen {
		a.Grace.Seen = now
	}
	if d.StartsShown {
		a.Grace.Shown = now
	}
	if d.RecordAsk {
		a.Asked = now
	}
	if i := findDevice(a.Devices, q.Evidence.Device); d.UsesDevice && i >= 0 {
		a.Devices[i].Used = now
	}
}

// owedEvery is the least time between two graces that are owed because an operator or an import took the last
// verified contact away.
const owedEvery = 90 * day

// Owe gives a new grace, which starts as the first did, because somebody other than the person took their last
// verified contact away. It reports whether one was owed.
func (a *Account) Owe(now time.Time) bool {
	if !a.Owed.IsZero() && now.Sub(a.Owed) < owedEvery {
		return false
	}
	after, f := a.Grace.After, a.Facts(now)
	if c := f.latest(now); c.After(after) {
		after = c
	}
	a.Grace, a.Owed = Grace{After: after, Until: a.Grace.Until}, now
	return true
}
