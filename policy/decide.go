package policy

import (
	"slices"
	"time"
)

// RequestKind is what kind of request asks.
type RequestKind uint8

const (
	// Other is everything that is not listed below: fetch, assets, iframes, sockets, native clients, other methods.
	Other RequestKind = iota
	// Opening is a page being opened.
	Opening
	// OpeningHead is a HEAD for a page: answered like Opening, and nothing is recorded.
	OpeningHead
	// Form is a form of the app that navigates when posted.
	Form
)

// Request is what the rules need to know of a request.
type Request struct {
	Kind RequestKind
	// Exempt: a matcher on a canonical path, the sign-out path, or a CORS preflight.
	Exempt bool
	// OwnPage: what is being opened is our own page, so it is shown whatever ask_every says.
	OwnPage bool
	// Fleeting: a HEAD or a prefetch. Nobody may be looking, so it starts no clock.
	Fleeting bool
	// User and Realm name the person; Groups and Domain are what the sign-in says in this very request.
	Realm, User string
	Groups      []string
	Domain      string
	// Evidence is what the browser brought.
	Evidence Evidence
}

func (q Request) opens() bool { return q.Kind == Opening || q.Kind == OpeningHead }

// Action is what one request gets.
type Action uint8

const (
	// Refuse is the zero Action: an unknown value never passes.
	Refuse Action = iota
	Pass
	// Ask interrupts, and "not now" is offered.
	Ask
	Block
)

var actions = [...]string{"refuse", "pass", "ask", "block"}

func (a Action) String() string { return actions[a] }

// Standing is what the rules say of an account now.
type Standing uint8

const (
	Unknown Standing = iota
	Verified
	Due
	Overdue
	Exempt
	// Frozen: stopped until an operator lifts it, whatever is confirmed.
	Frozen
)

var standings = [...]string{"unknown", "verified", "due", "overdue", "exempt", "frozen"}

func (s Standing) String() string { return standings[s] }

// Reason is why. The set is closed: metrics use it as a label.
type Reason uint8

const (
	NoReason Reason = iota
	ExemptRequest
	ExemptUser
	ExemptGroup
	ExemptDomain
	ExemptByOperator
	OutsideRollout
	IsVerified
	OnHold
	InGrace
	GraceOver
	Reminded        // overdue, and mode remind asks only
	ObservedGrace   // would have been asked; mode observe passes
	ObservedOverdue // would have been blocked; mode observe passes
	DeviceCode      // a code has to be entered on this browser first
	TrustedBrowser  // no contact is confirmed within reconfirm, and a trusted browser is not asked for that
	ObservedDevice  // would have been blocked by device_code; mode observe passes
	IsFrozen        // in every mode
)

var reasons = [...]string{"none", "exempt_request", "exempt_user", "exempt_group", "exempt_domain", "exempt_operator",
	"rollout", "verified", "hold", "grace", "overdue", "reminded", "observed_grace", "observed_overdue",
	"device_code", "trusted_browser", "observed_device_code", "frozen"}

func (r Reason) String() string { return reasons[r] }

// Reasons lists every reason, for collectors that are made in advance.
func Reasons() []Reason {
	all := make([]Reason, len(reasons))
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// Decision is what one request gets, and why. The zero Decision refuses.
type Decision struct {
	Action   Action
	Reason   Reason
	Standing Standing
	// Deadline is when access stops (or the hold ends). Zero: no clock runs.
	Deadline time.Time
	// Interrupt: this very request is answered with our page.
	Interrupt bool
	// Excuses: the deadline fell in an outage of our senders and has moved.
	Excuses bool
	// StartsSeen and StartsShown name the clocks that this request starts; RecordAsk that it uses up ask_every.
	StartsSeen, StartsShown, RecordAsk bool
	// UsesDevice: the trusted browser was seen, and its last use is worth writing down again.
	UsesDevice bool
}

// Records tells whether the decision changes the account.
func (d Decision) Records() bool {
	return d.StartsSeen || d.StartsShown || d.RecordAsk || d.Excuses || d.UsesDevice
}

// Facts are what a decision needs of an account, flat, so that they can be kept in a cache.
type Facts struct {
	// Frozen stops everything but exempt requests.
	Frozen bool
	// Confirmed is the latest confirmation of a contact that is neither on hold nor retired.
	Confirmed time.Time
	// Held is a confirmation that is on hold until HoldUntil.
	Held, HoldUntil time.Time
	// Removed is the latest confirmation among contacts that the person removed. It counts for nothing but when a new grace
	// is owed.
	Removed     time.Time
	Grace       Grace
	Asked       time.Time
	ExemptUntil time.Time
	// Devices and Entered are the browsers that something proves: trusted, or a code was entered in their session.
	Devices []Device
	Entered []Entry
	// Authenticator: an authenticator app is enrolled.
	Authenticator bool
	// Outages of our senders, which are no fact of the account but excuse it; Ways are the channels by which the person can
	// be reached, which have to be down all.
	Outages []Outage
	Ways    []Channel
}

// Step is one line of a trace: a rule, and whether it answered.
type Step struct {
	Rule     string
	Answered bool
}

// Decide applies the rules of product.md in their order; the first that answers wins.
func (r *Rules) Decide(q Request, f Facts, now time.Time) Decision { return r.decide(q, &f, now, nil) }

// Explain is Decide with the trace of what was asked in which order.
func (r *Rules) Explain(q Request, f Facts, now time.Time) (Decision, []Step) {
	var trace []Step
	d := r.decide(q, &f, now, &trace)
	return d, trace
}

func (r *Rules) decide(q Request, f *Facts, now time.Time, trace *[]Step) Decision {
	rule := func(name string, answers bool) bool {
		if trace != nil {
			*trace = append(*trace, Step{name, answers})
		}
		return answers
	}
	if rule("2 the request is exempt", q.Exempt) {
		return Decision{Action: Pass, Reason: ExemptRequest, Standing: Exempt}
	}
	if rule("3 the account is frozen", f.Frozen) {
		// No mode softens it, and it starts nothing.
		return Decision{Action: Block, Reason: IsFrozen, Standing: Frozen, Interrupt: q.opens()}
	}
	if rule("4 the account is exempt", r.exemption(q, f, now) != NoReason) {
		return Decision{Action: Pass, Reason: r.exemption(q, f, now), Standing: Exempt}
	}
	standing, deadline, excused := r.standing(f, now)
	if rule("5 outside rollout", !r.LeftOut.Includes(q.Realm, q.User)) {
		return Decision{Action: Pass, Reason: OutsideRollout, Standing: standing, Deadline: deadline}
	}
	trusted := f.trusted(r.Trust, q.Evidence, now)
	uses := trusted != nil && !q.Fleeting && now.Sub(trusted.Used) >= r.Trust.usedEvery()
	if rule("6 a code on this browser", r.DeviceCode && f.canProve(now) && trusted == nil && !f.entered(q.Evidence, now)) {
		return r.soften(q, f, now, Decision{Action: Block, Reason: DeviceCode, Standing: standing, Deadline: deadline})
	}
	if rule("7 verified", standing == Verified) {
		return Decision{Action: Pass, Reason: IsVerified, Standing: Verified, UsesDevice: uses}
	}
	if rule("7 a trusted browser is not asked to reconfirm", trusted != nil && r.Lapsed(*f, now)) {
		return Decision{Action: Pass, Reason: TrustedBrowser, Standing: standing, Deadline: deadline, UsesDevice: uses}
	}
	if rule("8 a confirmed contact on hold", f.onHold(now)) {
		return Decision{Action: Pass, Reason: OnHold, Standing: Due, Deadline: f.HoldUntil, UsesDevice: uses}
	}
	if rule("8 in grace", standing == Due) {
		return r.soften(q, f, now, Decision{Action: Ask, Reason: InGrace, Standing: Due, Deadline: deadline, Excuses: excused, UsesDevice: uses})
	}
	rule("8 grace is over", true)
	return r.soften(q, f, now, Decision{Action: Block, Reason: GraceOver, Standing: Overdue, Deadline: deadline, Excuses: excused, UsesDevice: uses})
}

func (r *Rules) exemption(q Request, f *Facts, now time.Time) Reason {
	switch {
	case len(r.ExemptUsers) > 0 && slices.Contains(r.ExemptUsers, q.User):
		return ExemptUser
	case len(r.ExemptGroups) > 0 && slices.ContainsFunc(q.Groups, func(g string) bool { return slices.Contains(r.ExemptGroups, g) }):
		return ExemptGroup
	case len(r.ExemptDomains) > 0 && r.exemptDomain(q.Domain):
		return ExemptDomain
	case now.Before(f.ExemptUntil):
		return ExemptByOperator
	}
	return NoReason
}

// observed is the reason that mode observe counts in the place of another.
var observed = map[Reason]Reason{InGrace: ObservedGrace, GraceOver: ObservedOverdue, DeviceCode: ObservedDevice}

// soften applies the mode, last, and says what the request starts.
func (r *Rules) soften(q Request, f *Facts, now time.Time, d Decision) Decision {
	switch r.Mode {
	case Observe:
		d.Action, d.Reason = Pass, observed[d.Reason]
		return d
	case Remind:
		if d.Action == Block && d.Reason != DeviceCode {
			d.Reason = Reminded
		}
		d.Action = Ask
	}
	d.Interrupt = q.opens() && (d.Action == Block || q.OwnPage || r.asksAgain(f, now))
	d.RecordAsk = d.Interrupt && d.Action == Ask && q.Kind == Opening && r.Dated(*f, now)
	// "Confirm it is you on this browser" is about this browser, and no page with a deadline: it starts no grace.
	if r.Mode == Enforce && d.Reason != DeviceCode {
		g := r.grace(f, now)
		d.StartsSeen = g.Seen.IsZero() && g.Shown.IsZero() && !q.Fleeting
		d.StartsShown = d.Interrupt && q.Kind == Opening && g.Shown.IsZero()
	}
	return d
}

// Dated tells whether the moment of the last interruption is worth writing down again: one's own pages, opened over and
// over, must not cost a write each.
func (r *Rules) Dated(f Facts, now time.Time) bool {
	return r.asksAgain(&f, now) || now.Sub(f.Asked) >= min(time.Minute, r.AskEvery/60)
}

func (r *Rules) asksAgain(f *Facts, now time.Time) bool {
	return f.Asked.IsZero() || now.Sub(f.Asked) >= r.AskEvery
}

// Standing is what these rules say of an account, whatever asks. The deadline is zero while no clock runs.
func (r *Rules) Standing(f Facts, now time.Time) (Standing, time.Time) {
	standing, deadline, _ := r.standing(&f, now)
	return standing, deadline
}

// standing also tells whether the deadline was moved by an outage and should be written down.
func (r *Rules) standing(f *Facts, now time.Time) (s Standing, deadline time.Time, excused bool) {
	switch {
	case f.Frozen:
		return Frozen, time.Time{}, false
	case now.Before(f.ExemptUntil):
		return Exempt, time.Time{}, false
	case r.verified(f, now):
		return Verified, time.Time{}, false
	case f.onHold(now):
		return Due, f.HoldUntil, false
	}
	g := r.grace(f, now)
	deadline, excused = f.excused(g, g.Deadline(r), now)
	if deadline.IsZero() || now.Before(deadline) {
		return Due, deadline, excused
	}
	return Overdue, deadline, excused
}

// confirmed is the latest confirmation that counts at now: a hold that has ended counts from when the code was entered.
func (f *Facts) confirmed(now time.Time) time.Time {
	if !f.Held.IsZero() && !now.Before(f.HoldUntil) && f.Held.After(f.Confirmed) {
		return f.Held
	}
	return f.Confirmed
}

// canProve tells that there is something to enter a code of: a confirmed contact, however old its confirmation, that is not
// on hold, or an authenticator app.
func (f *Facts) canProve(now time.Time) bool { return f.Authenticator || !f.confirmed(now).IsZero() }

func (f *Facts) onHold(now time.Time) bool { return !f.Held.IsZero() && now.Before(f.HoldUntil) }

func (r *Rules) verified(f *Facts, now time.Time) bool {
	c := f.confirmed(now)
	return !c.IsZero() && (r.Reconfirm == 0 || now.Before(c.Add(r.Reconfirm)))
}

// Lapsed tells that a confirmation was there and has become too old.
func (r *Rules) Lapsed(f Facts, now time.Time) bool {
	return !f.confirmed(now).IsZero() && !r.verified(&f, now)
}

// grace is the grace that counts now: the recorded one, or a new one that is owed because a later confirmation
// than the one it followed has lapsed. "Later" keeps it to once per confirmation, whichever contacts go or come. It is the
// latest that there ever was: who removes that contact and is left with an old confirmation has not got a grace by it.
func (r *Rules) grace(f *Facts, now time.Time) Grace {
	if c := f.latest(now); c.After(f.Grace.After) && r.Lapsed(*f, now) && !now.Before(c.Add(r.Reconfirm)) {
		return Grace{After: c, Until: f.Grace.Until}
	}
	return f.Grace
}

// latest is the latest confirmation that counts at now, or did until the person removed its contact.
func (f *Facts) latest(now time.Time) time.Time {
	if c := f.confirmed(now); c.After(f.Removed) {
		return c
	}
	return f.Removed
}
