package policy

import (
	"slices"
	"time"
)

// CodeDigits is how many digits a code has (NIST SP 800-63B-4, section 3.1.3: at least six).
const CodeDigits = 6

// Challenge is one code on its way to one contact over one channel. The code is not in it: it is derived from a
// key and the nonce.
type Challenge struct {
	// Nonce makes the code, together with the key named KeyID, the account and the target.
	Nonce []byte `cbor:"1,keyasint,omitzero"`
	KeyID string `cbor:"2,keyasint,omitzero"`
	// Contact is the ID of the contact on file that the code confirms; empty when Adding is set.
	Contact string `cbor:"3,keyasint,omitzero"`
	// Adding is the contact that is being added. It is on file only once the code was entered.
	Adding *Contact `cbor:"4,keyasint,omitzero"`
	// Typed: the person typed the contact to add it, whether or not it turned out to be on file.
	Typed bool `cbor:"20,keyasint,omitzero"`
	// AddedFresh: a code was entered in this browser shortly before, so a new contact counts at once.
	AddedFresh bool    `cbor:"5,keyasint,omitzero"`
	Channel    Channel `cbor:"6,keyasint,omitzero"`
	// Session is the hash of the browser session that asked. No other one can answer.
	Session []byte    `cbor:"7,keyasint,omitzero"`
	Started time.Time `cbor:"8,keyasint,omitzero"`
	Ends    time.Time `cbor:"9,keyasint,omitzero"`
	// Wrong are the wrong codes that were evaluated.
	Wrong int `cbor:"10,keyasint,omitzero"`
	// Sent is how often the code was asked for, LastSent when, SendID the row of the last one and SendState what
	// became of it: "waiting", "accepted", "failed".
	Sent      int       `cbor:"11,keyasint,omitzero"`
	LastSent  time.Time `cbor:"12,keyasint,omitzero"`
	SendID    string    `cbor:"13,keyasint,omitzero"`
	SendState SendState `cbor:"14,keyasint,omitzero"`
	// Reissued: it took the place of an earlier code of the same person that had not ended.
	Reissued bool `cbor:"15,keyasint,omitzero"`
	// Done is when the right code was entered. Zero: not yet.
	Done time.Time `cbor:"16,keyasint,omitzero"`
	// HoldUntil is when the contact that it confirmed starts to count. Zero: at once.
	HoldUntil time.Time `cbor:"17,keyasint,omitzero"`
	// Return is where the person was going.
	Return string `cbor:"18,keyasint,omitzero"`
	// After is the hash of the browser session that went on after the right code: a new one, so that whoever knew the
	// one before is not in it.
	After []byte `cbor:"19,keyasint,omitzero"`
	// Ticked: the person ticked "do not ask for a code here". It is carried when they choose another way; what counts in
	// the end is the box on the form that the right code comes with.
	Ticked bool `cbor:"21,keyasint,omitzero"`
}

// Live tells that the code can still be entered.
func (c *Challenge) Live(now time.Time) bool {
	return c != nil && c.Done.IsZero() && now.Before(c.Ends)
}

// Target is the contact that the code goes to.
func (c *Challenge) Target(a *Account) *Contact {
	if c == nil {
		return nil
	}
	if c.Adding != nil {
		return c.Adding
	}
	return a.Contact(c.Contact)
}

// Repeats tells whether sending again repeats the same code: while more than half of its life is left.
func (c *Challenge) Repeats(now time.Time) bool {
	return c.Live(now) && c.Ends.Sub(now) > c.Ends.Sub(c.Started)/2
}

// Outcome is how a try ended. The zero Outcome is a refusal.
type Outcome uint8

const (
	// NoCode: no code is on its way, or its target is no longer on file.
	NoCode Outcome = iota
	// Accepted: the contact is confirmed by this very try.
	Accepted
	// AcceptedAgain: the same right code was posted again; nothing happens twice.
	AcceptedAgain
	WrongCode
	// Expired: the code has ended. Nothing was compared.
	Expired
	// Elsewhere: the live code was asked for in another browser session. Nothing was compared.
	Elsewhere
	// TriesUsed: this code takes no more tries.
	TriesUsed
	// TooMany: the account has used up its wrong codes for now.
	TooMany
	// Stopped: too many wrong ones in a row for this contact; an operator has to act.
	Stopped
	// Mismatch: what was typed does not match the contact.
	Mismatch
	// Matched: it does.
	Matched
	// Closed: no more such tries for this contact.
	Closed
	// TooEarly: the wait before sending again is not over.
	TooEarly
	// Started: a code is on its way. Underway: it already was, and nothing new was sent.
	Started
	Underway
	// Full: the account keeps as many contacts as it can.
	Full
	// Gone: the contact is not on file (any more).
	Gone
	// NotFresh: a code has to be entered in this browser first.
	NotFresh
	// Used: the code was right, and was entered before.
	Used
	// Enrolled: there is an app already.
	Enrolled
	// Unread: what was typed can be no answer. Nothing was compared or counted.
	Unread
	// WholeAsked: the last four digits of a number are not enough (any more). Nothing was compared or counted.
	WholeAsked
	// NoChannel: the contact cannot be reached in the way that was asked for.
	NoChannel
	// Paused: too few of the codes to the number's country were entered lately.
	Paused
	// LastOne: it is the last verified contact, and stays.
	LastOne
)

// Result is an outcome with what the page says about it.
type Result struct {
	Outcome Outcome
	// Left is how many tries are left, Wait how long until there are more.
	Left int
	Wait time.Duration
}

// Attempt evaluates one code. It counts, then compares, then consumes: matches is called once at most, and only
// while every limit still allows a guess. It must run inside one atomic update of the account.
func (a *Account) Attempt(session []byte, matches func() bool, l Limits, now time.Time) Result {
	c := a.Challenge
	target := c.Target(a)
	switch {
	case target == nil:
		return Result{Outcome: NoCode}
	case !c.askedBy(session):
		return Result{Outcome: Elsewhere}
	case !c.Done.IsZero():
		return c.repeated(matches, now)
	case !now.Before(c.Ends):
		return Result{Outcome: Expired}
	case a.Stopped(*target, c.Adding != nil, l):
		return Result{Outcome: Stopped}
	case c.Wrong >= l.CodeTries:
		return Result{Outcome: TriesUsed}
	}
	if wait := a.Wrong.Wait(l.WrongPerDay, day, now); wait > 0 {
		return Result{Outcome: TooMany, Wait: wait}
	}
	inARow := a.inARow(target, c.Adding != nil)
	c.Wrong++
	*inARow++
	a.Wrong = a.Wrong.Add(day, now)
	if !matches() {
		return Result{Outcome: WrongCode, Left: min(l.CodeTries-c.Wrong, a.Wrong.Left(l.WrongPerDay, day, now))}
	}
	if inARow == &a.AddWrongInARow {
		// Not those for another contact: an address of one's own would undo guesses at somebody else's. An operator may have
		// lifted them all in the meantime.
		*inARow = max(0, *inARow-c.Wrong)
	} else {
		*inARow = 0
	}
	c.Wrong--
	a.Wrong = a.Wrong.Undo()
	c.Done = now
	return Result{Outcome: Accepted}
}

// repeated is for the double click. Whoever posts the same form again has the same code; another one is a guess of somebody
// who holds the session from before it, and the first of them ends this.
func (c *Challenge) repeated(matches func() bool, now time.Time) Result {
	switch {
	case !now.Before(c.Ends):
	case matches():
		return Result{Outcome: AcceptedAgain}
	default:
		c.Ends = now
	}
	return Result{Outcome: NoCode}
}

// askedBy tells whether it is the browser session that asked, or the one that it went on as after the right code: the
// other tab of a double click has the new cookie already. No session is nobody's.
func (c *Challenge) askedBy(session []byte) bool {
	return len(session) > 0 && (sameSecret(string(c.Session), string(session)) == 1 ||
		!c.Done.IsZero() && sameSecret(string(c.After), string(session)) == 1)
}

// TickedBy tells that this browser session has ticked "do not ask for a code here" on the page of the code and not got
// through with it.
func (c *Challenge) TickedBy(session []byte) bool {
	return c != nil && c.Ticked && c.Done.IsZero() && c.askedBy(session)
}

// inARow is where wrong codes for a target are counted. A contact that was removed and is added again goes on from where
// it was.
func (a *Account) inARow(target *Contact, adding bool) *int {
	if !adding {
		return &target.WrongInARow
	}
	for i := range a.Contacts {
		if old := &a.Contacts[i]; old.Retired && old.Kind == target.Kind && old.Address.Same(target.Address) {
			return &old.WrongInARow
		}
	}
	return &a.AddWrongInARow
}

// Confirm marks the target of the challenge that was just accepted, exactly that and nothing else, and returns the
// contacts that are told of a change. next is the browser session that goes on.
func (a *Account) Confirm(next []byte, hold time.Duration, now time.Time) (confirmed Contact, tell []Contact) {
	c := a.Challenge
	c.After = slices.Clone(next)
	target := c.Target(a)
	if known := c.namedMeanwhile(a); known != nil {
		target, c.Contact, c.Adding = known, known.ID, nil
	}
	isNew := target.Late && target.Verified.IsZero()
	if c.Adding != nil {
		a.Contacts = append(a.Contacts, *c.Adding)
		target, isNew = &a.Contacts[len(a.Contacts)-1], true
		// From now on it is a contact like any other: the challenge points at it.
		c.Contact, c.Adding = target.ID, nil
	}
	if isNew {
		switch {
		case !a.EverVerified:
		case !a.CountsAtOnce(c):
			// Until the first notice was accepted nobody can object, so the hold is the longest one.
			target.HeldFor = hold
			target.HoldUntil = now.Add(max(hold, NoticeLife))
		case !a.enteredOfContact(c.Session, now):
			target.VouchesFrom = now.Add(hold)
		}
		c.HoldUntil = target.HoldUntil
		tell = a.Others(target.ID, now)
	}
	target.Verified = now
	if !target.onHold(now) {
		a.EverVerified, target.EverVerified = true, true
		a.CodeEntered(c.Session, next, target.ID, now)
	} else {
		a.goOn(c.Session, next)
	}
	return *target, tell
}

// CountsAtOnce tells that a contact which is being added will not be on hold: a code was entered in that browser shortly
// before it was begun, and nobody has revoked that since.
func (a *Account) CountsAtOnce(c *Challenge) bool { return c.AddedFresh && a.hasEntered(c.Session) }

// namedMeanwhile is the contact on file that has the address which was being added: the sign-in named it while the code
// was on its way. It is not added a second time.
func (c *Challenge) namedMeanwhile(a *Account) *Contact {
	if c.Adding == nil {
		return nil
	}
	return a.Find(c.Adding.Kind, c.Adding.Address)
}

// Prove evaluates a whole answer to "show that you know it". Wrong ones are counted per contact; a right one starts the
// count anew.
func (a *Account) Prove(contact *Contact, matches func() bool, l Limits, now time.Time) Result {
	if contact.ProofsInAll >= l.ProofTriesTotal {
		return Result{Outcome: Closed}
	}
	if wait := contact.Proofs.Wait(l.ProofTries, day, now); wait > 0 {
		return Result{Outcome: TooMany, Wait: wait}
	}
	contact.Proofs = contact.Proofs.Add(day, now)
	contact.ProofsInAll++
	if matches() {
		contact.Proofs, contact.ProofsInAll = nil, 0
		return Result{Outcome: Matched}
	}
	return Result{Outcome: Mismatch, Left: contact.proofsLeft(l, now)}
}

// SendWait is how long until the account may ask for another message over a channel; zero: now.
func (a *Account) SendWait(c Channel, l Limits, now time.Time) time.Duration {
	wait := max(a.Sends.Wait(l.SendsPerHour, time.Hour, now), a.Sends.Wait(l.SendsPerDay, day, now))
	if c == ByVoice {
		wait = max(wait, a.Calls.Wait(l.VoicePerDay, day, now))
	}
	return wait
}

// CountSend counts a message that is asked for.
func (a *Account) CountSend(c Channel, now time.Time) {
	a.Sends = a.Sends.Add(day, now)
	if c == ByVoice {
		a.Calls = a.Calls.Add(day, now)
	}
}

// unsend takes a message back that never went out.
func (a *Account) unsend(c Channel) {
	a.Sends = a.Sends.Undo()
	if c == ByVoice {
		a.Calls = a.Calls.Undo()
	}
}

// ResendWait is how long until the live code may be sent again. A send that failed needs no wait.
func (c *Challenge) ResendWait(l Limits, now time.Time) time.Duration {
	if c == nil || c.SendState == SendFailed || c.SendState == SendRefused || c.LastSent.IsZero() {
		return 0
	}
	return max(0, c.LastSent.Add(l.ResendWait(c.Sent)).Sub(now))
}

// AddWait is how long until the account may add another contact; full tells that it has as many as it can keep.
func (a *Account) AddWait(l Limits, now time.Time) (wait time.Duration, full bool) {
	return a.Adds.Wait(l.ContactsPerDay, day, now), a.live() >= l.Contacts
}

// Stopped tells that too many wrong codes in a row were entered for a contact; an operator has to act.
func (a *Account) Stopped(c Contact, adding bool, l Limits) bool {
	if adding {
		return *a.inARow(&c, true) >= l.WrongInARow
	}
	known := a.Contact(c.ID)
	return known != nil && known.WrongInARow >= l.WrongInARow
}
