package policy

import (
	"slices"
	"time"
)

// What people do to their own contacts takes a code that was entered in their browser lately, except for adding one: a
// session that was left open, or stolen, must not be enough to put somebody else's address in the place of theirs.

// What the notices to the others tell of.
const (
	EmailRemoved    Kind = "email_removed"
	PhoneRemoved    Kind = "phone_removed"
	EmailPrimary    Kind = "email_primary"
	PhonePrimary    Kind = "phone_primary"
	BrowsersRevoked Kind = "browsers_revoked"
)

const (
	// changesPerDay is how often the contacts of an account, and its app, may be changed in 24 h. Every change is told to the
	// others, and nobody may make a flood of mail of that.
	changesPerDay = 20
	// mostRetired is how many contacts are remembered that were removed; the oldest is forgotten.
	mostRetired = 10
)

// Removal is a contact that was removed, and what went with it.
type Removal struct {
	Contact Contact
	// Tell are those who are told: every other one, and the removed one itself if it was a confirmed one. Whoever took it
	// away may not be its owner.
	Tell []Contact
	// Devices were trusted by a code of it, and are not any more.
	Devices []Device
}

// Remove takes a contact off the account. The last verified one stays: without it nobody gets back in.
func (a *Account) Remove(session []byte, id string, r *Rules, now time.Time) (Removal, Result) {
	c := a.Contact(id)
	if c == nil {
		return Removal{}, Result{Outcome: Gone}
	}
	if r.LastVerified(a, c, now) {
		return Removal{}, Result{Outcome: LastOne}
	}
	if refused := a.change(session, now); refused.Outcome != Accepted {
		return Removal{}, refused
	}
	done := Removal{Contact: *c, Tell: a.Others(id, now)}
	if c.Counts(now) {
		done.Tell = append(done.Tell, *c)
		if c.Verified.After(a.Removed) {
			a.Removed = c.Verified
		}
	}
	a.endChallengeOf(id)
	done.Devices = a.unprove(id)
	a.retire(id, now)
	return done, Result{Outcome: Accepted}
}

// LastVerified tells that without this contact the account would not be verified any more, by these rules or by any other
// site's that do not ask how old a confirmation is.
func (r *Rules) LastVerified(a *Account, c *Contact, now time.Time) bool {
	if !c.Counts(now) {
		return false
	}
	counts, young := false, false
	for i := range a.Contacts {
		if other := &a.Contacts[i]; other.ID != c.ID && other.Counts(now) {
			counts, young = true, young || r.young(other, now)
		}
	}
	return !counts || !young && r.young(c, now)
}

// Confirmed tells that a contact counts under these rules.
func (r *Rules) Confirmed(c *Contact, now time.Time) bool { return c.Counts(now) && r.young(c, now) }

// young tells that a confirmation is not too old.
func (r *Rules) young(c *Contact, now time.Time) bool {
	return r.Reconfirm == 0 || now.Before(c.Verified.Add(r.Reconfirm))
}

// change counts one change of the contacts or the app, if this browser session may make one now.
func (a *Account) change(session []byte, now time.Time) Result {
	if !a.IsFresh(session, now) {
		return Result{Outcome: NotFresh}
	}
	if wait := a.Changes.Wait(changesPerDay, day, now); wait > 0 {
		return Result{Outcome: TooMany, Wait: wait}
	}
	a.Changes = a.Changes.Add(day, now)
	return Result{Outcome: Accepted}
}

// FreshUntil is until when a browser session may make changes without another code; zero: it may not.
func (a *Account) FreshUntil(session []byte, now time.Time) time.Time {
	if !a.IsFresh(session, now) {
		return time.Time{}
	}
	return a.Entered[findEntry(a.Entered, session)].At.Add(freshFor)
}

// TrustedBy is how many browsers are trusted by a code of a contact.
func (a *Account) TrustedBy(id string, t Trust, now time.Time) int {
	n := 0
	for _, d := range a.TrustedDevices(t, now) {
		if d.By == id {
			n++
		}
	}
	return n
}

// Others are the contacts that are told of what happens to one of them, or to the account.
func (a *Account) Others(id string, now time.Time) []Contact {
	var list []Contact
	for _, c := range a.Contacts {
		if c.ID != id && c.Usable(now) {
			list = append(list, c)
		}
	}
	return list
}

// endChallengeOf ends the code that is on its way to a contact.
func (a *Account) endChallengeOf(id string) {
	if c := a.Challenge; c != nil && c.Done.IsZero() && c.Adding == nil && c.Contact == id {
		a.Challenge = nil
		a.DropCodes()
	}
}

// unprove forgets what codes of a contact proved, and returns the browsers that were trusted by one.
func (a *Account) unprove(id string) (trusted []Device) {
	kept := a.Devices[:0:0]
	for _, d := range a.Devices {
		if d.By == id {
			trusted = append(trusted, d)
		} else {
			kept = append(kept, d)
		}
	}
	a.Devices = kept
	a.Entered = slices.DeleteFunc(slices.Clone(a.Entered), func(e Entry) bool { return e.By == id })
	return trusted
}

// retire keeps a contact to know it again: the sign-in may go on naming it, and that must not bring back what the person
// has removed. Retired contacts stand in the order in which they were removed. One that goes while it is on hold never
// counted, and never will have.
func (a *Account) retire(id string, now time.Time) {
	i := slices.IndexFunc(a.Contacts, func(c Contact) bool { return c.ID == id })
	c := a.Contacts[i]
	c.EverVerified = c.WasVerified(now)
	c.Retired, c.Primary, c.Proofs, c.Last4 = true, false, nil, nil
	a.Contacts = slices.Delete(slices.Clone(a.Contacts), i, i+1)
	a.forgetRetired(func(old Contact) bool { return old.Kind == c.Kind && old.Address.Same(c.Address) })
	a.Contacts = append(a.Contacts, c)
	for len(a.Contacts)-a.live() > mostRetired && a.forgetRetired(func(Contact) bool { return true }) {
	}
}

// forgetRetired forgets the first contact of those that were removed, that no message is on its way to, and that which
// chooses. It reports whether there was one.
func (a *Account) forgetRetired(which func(c Contact) bool) bool {
	i := slices.IndexFunc(a.Contacts, func(c Contact) bool {
		return c.Retired && which(c) && !slices.ContainsFunc(a.Outbox, func(s Send) bool { return s.Contact == c.ID })
	})
	if i < 0 {
		return false
	}
	a.Contacts = slices.Delete(a.Contacts, i, i+1)
	return true
}

// Remembers tells whether an address is on file, or was until it was removed. What was removed stays so until the person
// adds it again: the sign-in names what it has always named, in the very next request, and a removal that does not outlast
// that is none.
func (a *Account) Remembers(kind Kind, address Address) bool {
	return slices.ContainsFunc(a.Contacts, func(c Contact) bool { return c.Kind == kind && c.Address.Same(address) })
}

// MakePrimary makes a contact the one of its kind that apps are told. It has to count: what is on hold or was never
// confirmed is not handed to apps.
func (a *Account) MakePrimary(session []byte, id string, now time.Time) (primary Contact, tell []Contact, result Result) {
	c := a.Contact(id)
	switch {
	case c == nil || !c.Counts(now):
		return Contact{}, nil, Result{Outcome: Gone}
	case c.Primary:
		return *c, nil, Result{Outcome: AcceptedAgain}
	}
	if refused := a.change(session, now); refused.Outcome != Accepted {
		return Contact{}, nil, refused
	}
	for i := range a.Contacts {
		if other := &a.Contacts[i]; other.Kind == c.Kind {
			other.Primary = other.ID == id
		}
	}
	return *c, a.Others(id, now), Result{Outcome: Accepted}
}
