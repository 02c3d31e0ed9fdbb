package verify

import (
	"context"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// Entered is how a code that was entered ended.
type Entered struct {
	policy.Result
	// Contact is the target.
	Contact policy.Contact
	// Added: the contact is new.
	Added bool
	// Return is where the person was going.
	Return string
	// Device is what the browser is given to be known by, when it is trusted from now on.
	Device []byte
	// Account is the account afterwards.
	Account *policy.Account
}

// Enter evaluates a code of six digits. On success exactly the challenge's own contact is confirmed, and those on
// file are told when it is a new one.
func (f *Flow) Enter(ctx context.Context, r *policy.Rules, v Visitor, code string) (Entered, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return Entered{}, err
	}
	now := f.now()
	var e Entered
	var codeError error
	var trusted policy.Device
	a, err := f.update(ctx, v, now, func(a *policy.Account) bool {
		e, codeError, trusted = Entered{}, nil, policy.Device{}
		matches := func() bool {
			want, err := f.code(a, a.Challenge)
			codeError = err
			return err == nil && equalSecret(want, code)
		}
		ends := endOf(a.Challenge)
		e.Result = a.Attempt(v.Session, matches, r.Limits, now)
		if a.Challenge != nil {
			e.Return = a.Challenge.Return
			if t := a.Challenge.Target(a); t != nil {
				e.Contact = *t
			}
		}
		switch {
		case codeError != nil:
			return false
		case e.Outcome == policy.Accepted:
			e.Added = a.Challenge.Adding != nil
			e.Contact = f.confirm(a, r, v, now)
			a.Note(confirmedAs[e.Added], e.Contact.Address, v.Browser, now)
			e.Device, trusted = f.onBrowser(a, r, v, a.Challenge.Nonce, now)
			return true
		case e.Outcome == policy.AcceptedAgain:
			e.Device = f.trustedBy(a, v, a.Challenge.Nonce)
			return false
		case e.Outcome == policy.WrongCode:
			a.Note(policy.WrongCodeTried, e.Contact.Address, v.Browser, now)
		}
		return f.tick(a, v) || e.Outcome == policy.WrongCode || endOf(a.Challenge) != ends
	})
	if err != nil {
		return Entered{}, err
	}
	if codeError != nil {
		return Entered{}, f.unavailable("code", "deriving a code", codeError)
	}
	e.Account = a
	f.told(v, e)
	f.toldTrust(v, trusted)
	if e.Outcome == policy.Accepted && e.Contact.Kind == policy.Phone {
		f.entered(ctx, e.Contact.Address, a.Challenge.Started)
	}
	if !a.Due().IsZero() {
		f.work.kick(f.accountKey(v.Realm, v.User))
	}
	return e, nil
}

// endOf tells when a code ends: a guess after it was entered ends it sooner.
func endOf(c *policy.Challenge) time.Time {
	if c == nil {
		return time.Time{}
	}
	return c.Ends
}

// confirmedAs is what is noted of a code that was accepted, for a contact that was added and for one that was on file.
var confirmedAs = map[bool]policy.Happening{true: policy.ContactAdded, false: policy.ContactVerified}

// confirm applies the accepted challenge and leaves a notice for every contact that was on file.
func (f *Flow) confirm(a *policy.Account, r *policy.Rules, v Visitor, now time.Time) policy.Contact {
	a.DropCodes()
	confirmed, tell := a.Confirm(v.Next, r.ReplacementHold, now)
	f.tell(a, r, v, tell, confirmed.Kind, confirmed.ID, now)
	return confirmed
}

var checkResults = map[policy.Outcome]string{
	policy.Accepted: "accepted", policy.AcceptedAgain: "repeated", policy.WrongCode: "wrong", policy.Expired: "expired",
	policy.Elsewhere: "elsewhere", policy.TriesUsed: "tries_used", policy.TooMany: "limited", policy.Stopped: "stopped",
	policy.NoCode: "none", policy.Used: "used", policy.Enrolled: "enrolled",
}

// told writes what happened: one line for every attempt, one more for what it changed.
func (f *Flow) told(v Visitor, e Entered) {
	if f.Count != nil {
		f.Count.CodeChecked(checkResults[e.Outcome])
	}
	if e.Outcome == policy.NoCode && e.Contact.ID == "" {
		f.audit("code_tried", v, "result", checkResults[e.Outcome])
		return
	}
	f.audit("code_tried", v, "contact", e.Contact.Address, "result", checkResults[e.Outcome])
	f.auditLimit(v, "codes", e.Result)
	if e.Outcome != policy.Accepted {
		return
	}
	if e.Added {
		f.audit("contact_added", v, "contact", e.Contact.Address, "hold_until", e.Contact.HoldUntil)
	}
	if e.Contact.HoldUntil.IsZero() {
		f.audit("contact_verified", v, "contact", e.Contact.Address)
	}
}

// Later is "not now". It answers with the decision: anything but a pass or an ask means that it is too late.
func (f *Flow) Later(ctx context.Context, r *policy.Rules, v Visitor, q policy.Request) (policy.Decision, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return policy.Decision{}, err
	}
	now := f.now()
	q.Evidence = v.evidence()
	var d policy.Decision
	_, err := f.update(ctx, v, now, func(a *policy.Account) bool {
		d = r.Decide(q, f.facts(a, r, now), now)
		if d.Action != policy.Ask || !r.Dated(a.Facts(now), now) {
			return false
		}
		a.Asked = now
		return true
	})
	if err != nil {
		return policy.Decision{}, err
	}
	f.audit("later", v, "result", d.Action.String())
	return d, nil
}

// Visit is what a page shows: the account as it is, and the decision on this very visit.
type Visit struct {
	Account  *policy.Account
	Decision policy.Decision
	Now      time.Time
	// Lapsed: a confirmation was there and has become too old.
	Lapsed bool
}

// See decides a visit to one of our own pages. When it is a page being opened, it is what starts grace.
func (f *Flow) See(ctx context.Context, r *policy.Rules, v Visitor, q policy.Request) (Visit, error) {
	verdict, err := f.Decide(ctx, r, v, q)
	if err != nil {
		return Visit{}, err
	}
	visit := Visit{Account: verdict.Account, Decision: verdict.Decision, Now: f.now()}
	if visit.Account == nil { // exempt: the decision needed no account, the page does
		if visit.Account, err = f.Account(ctx, v); err != nil {
			return Visit{}, err
		}
	}
	if visit.Account == nil {
		visit.Account = &policy.Account{Realm: v.Realm, User: v.User}
	}
	visit.Lapsed = r.Lapsed(visit.Account.Facts(visit.Now), visit.Now)
	return visit, nil
}

// Pending is the challenge of this browser session, if there is one.
func (f *Flow) Pending(a *policy.Account, v Visitor) *policy.Challenge {
	if a == nil || !f.asking(a, v) {
		return nil
	}
	return a.Challenge
}
