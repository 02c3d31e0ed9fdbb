package policy

import (
	"slices"
	"time"
)

// Account is what the gate remembers about one user ID in one realm: facts, not verdicts. Each site computes the
// standing by its own rules.
type Account struct {
	Realm string `cbor:"1,keyasint,omitzero"`
	User  string `cbor:"2,keyasint,omitzero"`
	// Since is when the account was first remembered.
	Since    time.Time `cbor:"3,keyasint,omitzero"`
	Contacts []Contact `cbor:"4,keyasint,omitzero"`
	// EverVerified: some contact was confirmed once. From then on a new contact needs a fresh code or a hold.
	EverVerified bool  `cbor:"5,keyasint,omitzero"`
	Grace        Grace `cbor:"6,keyasint,omitzero"`
	// Owed is when a new grace was last owed.
	Owed time.Time `cbor:"7,keyasint,omitzero"`
	// Asked is when the person was last interrupted in grace, or said "not now".
	Asked       time.Time `cbor:"8,keyasint,omitzero"`
	ExemptUntil time.Time `cbor:"9,keyasint,omitzero"`

	// Challenge is the one code on its way, or the last one.
	Challenge *Challenge `cbor:"10,keyasint,omitzero"`
	// 11 was the one browser session that had last entered a code; Entered has taken its place.
	// Wrong are wrong codes, Sends messages that were asked for, Adds new contacts: of the last 24 h.
	Wrong Tally `cbor:"12,keyasint,omitzero"`
	Sends Tally `cbor:"13,keyasint,omitzero"`
	Adds  Tally `cbor:"14,keyasint,omitzero"`
	// AddWrongInARow are wrong codes for contacts that were being added, and then were not.
	AddWrongInARow int `cbor:"15,keyasint,omitzero"`
	// Outbox are the messages that no carrier has taken yet.
	Outbox []Send `cbor:"16,keyasint,omitzero"`

	// Frozen stops the account until an operator lifts it. Nil: it is not.
	Frozen *Freeze `cbor:"17,keyasint,omitzero"`

	// Devices are the browsers that the person ticked as their own, the oldest first: device.go.
	Devices []Device `cbor:"18,keyasint,omitzero"`
	// Entered are the browser sessions in which a code was entered lately, the oldest first.
	Entered []Entry `cbor:"19,keyasint,omitzero"`

	// Authenticator is the person's app, with what they said to the offer of one.
	Authenticator Authenticator `cbor:"20,keyasint,omitzero"`

	// Activity is what happened lately, the oldest first: activity.go.
	Activity []Event `cbor:"22,keyasint,omitzero"`

	// Calls are those that were asked for in the last 24 h, which count as Sends, too.
	Calls Tally `cbor:"24,keyasint,omitzero"`

	// Notices are those of the last 30 days whose readers have said "this was not me".
	Notices []SpentNotice `cbor:"21,keyasint,omitzero"`
	// Helps are messages to the people who run the site, of the last 24 h.
	Helps Tally `cbor:"25,keyasint,omitzero"`
	// SessionsSince: browser sessions of the gate that began before are over.
	SessionsSince time.Time `cbor:"26,keyasint,omitzero"`

	// Removed is the latest confirmation among the contacts that the person has removed: an older one that stays must not
	// get a new grace for having become the latest.
	Removed time.Time `cbor:"27,keyasint,omitzero"`
	// Changes are contacts removed or made primary, apps that were begun and new recovery codes, of the last 24 h.
	Changes Tally `cbor:"28,keyasint,omitzero"`
	// Told are changes that the contacts were told of, except for added ones, Texted the text messages that went out for
	// them: of the last 24 h.
	Told   Tally `cbor:"29,keyasint,omitzero"`
	Texted Tally `cbor:"30,keyasint,omitzero"`
}

// Facts are the account as a decision needs it.
func (a *Account) Facts(now time.Time) Facts {
	f := Facts{Frozen: a.Frozen != nil, Grace: a.Grace, Asked: a.Asked, ExemptUntil: a.ExemptUntil,
		Removed: a.Removed, Authenticator: a.HasAuthenticator(),
		Devices: slices.DeleteFunc(slices.Clone(a.Devices), func(d Device) bool { return !a.proves(d.By) }),
		Entered: slices.DeleteFunc(slices.Clone(a.Entered), func(e Entry) bool { return !a.proves(e.By) }),
	}
	for i := range a.Contacts {
		c := &a.Contacts[i]
		switch {
		case c.Retired || c.Verified.IsZero():
		case c.onHold(now):
			// Of several, the one that counts first.
			if f.Held.IsZero() || c.HoldUntil.Before(f.HoldUntil) {
				f.Held, f.HoldUntil = c.Verified, c.HoldUntil
			}
		case c.Verified.After(f.Confirmed):
			f.Confirmed = c.Verified
		}
	}
	return f
}

// Contact finds a contact that is still on file.
func (a *Account) Contact(id string) *Contact {
	for i := range a.Contacts {
		if a.Contacts[i].ID == id && !a.Contacts[i].Retired {
			return &a.Contacts[i]
		}
	}
	return nil
}

// ContactEver finds a contact whether or not it is still on file.
func (a *Account) ContactEver(id string) *Contact {
	i := slices.IndexFunc(a.Contacts, func(c Contact) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &a.Contacts[i]
}

// Find finds a contact on file by its address.
func (a *Account) Find(kind Kind, address Address) *Contact {
	for i := range a.Contacts {
		c := &a.Contacts[i]
		if c.Kind == kind && !c.Retired && c.Address.Same(address) {
			return c
		}
	}
	return nil
}

// VerifiedContact is the contact of a kind that apps are told: the one that the person made their primary one if it counts
// under these rules, else the one that does and has been on file longest. A newly added one does not take the place of the
// one that an app knows. Nil: none counts.
func (a *Account) VerifiedContact(r *Rules, kind Kind, now time.Time) *Contact {
	var best *Contact
	for i := range a.Contacts {
		c := &a.Contacts[i]
		if c.Kind != kind || !r.Confirmed(c, now) {
			continue
		}
		if best == nil || c.Primary || !best.Primary && c.Added.Before(best.Added) {
			best = c
		}
	}
	return best
}

// Name registers what the sign-in says about the person. A contact that it names is registered and unverified; one
// that it no longer names stays, and an absent claim changes nothing; one that the person removed stays removed. newID
// makes the ID of a new contact. It reports whether anything changed.
func (a *Account) Name(kind Kind, address Address, newID func() string, l Limits, now time.Time) bool {
	if address == "" || a.Remembers(kind, address) {
		return false
	}
	if a.live() >= l.Contacts && !a.dropOldestClaim(kind) {
		return false
	}
	a.Contacts = append(a.Contacts, Contact{ID: newID(), Kind: kind, Address: address, Added: now, By: "signin", Late: a.EverVerified})
	return true
}

func (a *Account) live() int {
	n := 0
	for i := range a.Contacts {
		if !a.Contacts[i].Retired {
			n++
		}
	}
	return n
}

// dropOldestClaim makes room for what the sign-in says now: of the contacts of the kind that it said earlier and nobody
// ever confirmed, the oldest goes. (Of any kind, an address and a number named together would push each other out.) One
// that a code is on its way to stays, and one that somebody guessed at: a new record would count from nothing.
func (a *Account) dropOldestClaim(kind Kind) bool {
	i := slices.IndexFunc(a.Contacts, func(c Contact) bool {
		return c.Kind == kind && c.By == "signin" && c.Verified.IsZero() && !c.Retired &&
			c.WrongInARow == 0 && c.ProofsInAll == 0 && c.Last4InAll == 0 &&
			(a.Challenge == nil || a.Challenge.Contact != c.ID)
	})
	if i < 0 {
		return false
	}
	a.Contacts = slices.Delete(a.Contacts, i, i+1)
	return true
}
