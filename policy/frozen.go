package policy

import "time"

// Freeze is that an account was stopped, and why. Nothing but an operator's word lifts it.
type Freeze struct {
	At time.Time `cbor:"1,keyasint,omitzero"`
	// By is who stopped it: ByPerson, who said that a change was not theirs, or ByOperator.
	By string `cbor:"2,keyasint,omitzero"`
	// Reference is what the frozen page, the operator's mail and the audit log name it by.
	Reference string `cbor:"3,keyasint,omitzero"`
	// Reason is the operator's, for the audit log. Pages do not show it.
	Reason string `cbor:"4,keyasint,omitzero"`
}

// Who stops an account.
const (
	ByPerson   = "person"
	ByOperator = "operator"
)

// Freeze stops the account and ends what somebody may have in hand: the live challenge, codes that were not sent yet,
// what browsers have earned. The first one counts: a second word for it changes nothing, so that its reference stays.
func (a *Account) Freeze(f Freeze) bool {
	if a.Frozen != nil {
		return false
	}
	a.Frozen = &f
	a.Challenge = nil
	a.DropCodes()
	a.EndSessions(f.At)
	return true
}

// EndSessions makes every browser start afresh: none is trusted, what was entered is forgotten, and sessions of the gate are
// over.
func (a *Account) EndSessions(now time.Time) {
	a.Entered, a.Devices, a.SessionsSince = nil, nil, now
}

// Unfreeze lets the account go on where the rules have it. It also lifts contacts and an authenticator app that were
// stopped after too many wrong codes. It reports whether there was anything to lift.
func (a *Account) Unfreeze() bool {
	lifted := a.LiftAuthenticator() || a.Frozen != nil || a.AddWrongInARow > 0
	a.Frozen, a.AddWrongInARow = nil, 0
	for i := range a.Contacts {
		c := &a.Contacts[i]
		lifted = lifted || c.WrongInARow > 0
		c.WrongInARow = 0
	}
	return lifted
}
