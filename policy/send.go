package policy

import (
	"slices"
	"time"
)

// SendState is what became of a message.
type SendState string

// The states of a message, as far as a page tells them.
const (
	SendWaiting  SendState = "waiting"
	SendAccepted SendState = "accepted"
	SendFailed   SendState = "failed"
	// SendRefused: the recipient's side said no for good.
	SendRefused SendState = "refused"
)

// SendKind is what a message is about.
type SendKind string

// The kinds of message.
const (
	SendCode   SendKind = "code"
	SendNotice SendKind = "notice"
	// SendStopped tells the people who run the site that somebody said "this was not me".
	SendStopped SendKind = "stopped"
	// SendHelp tells them that somebody is stuck.
	SendHelp SendKind = "help"
)

// ToOperator tells that the people who run the site get it, at an address that is in the configuration.
func (k SendKind) ToOperator() bool { return k == SendStopped || k == SendHelp }

// Send is a message that no carrier has taken yet: a row in the account's own record, so that it is there exactly
// when the state that it belongs to is there.
type Send struct {
	// ID is the idempotency key. It is the same for every attempt.
	ID      string   `cbor:"1,keyasint,omitzero"`
	Kind    SendKind `cbor:"2,keyasint,omitzero"`
	Channel Channel  `cbor:"3,keyasint,omitzero"`
	// Contact is who gets it. For a code to a contact that is being added it is the ID of that one.
	Contact string `cbor:"4,keyasint,omitzero"`
	// About is what a notice tells of: the kind of a contact that was added, or the name of another change.
	About Kind `cbor:"5,keyasint,omitzero"`
	// New is the ID of that contact.
	New      string    `cbor:"6,keyasint,omitzero"`
	Language string    `cbor:"7,keyasint,omitzero"`
	Host     string    `cbor:"8,keyasint,omitzero"`
	Browser  string    `cbor:"9,keyasint,omitzero"`
	At       time.Time `cbor:"10,keyasint,omitzero"`
	// Ends is after which it is never handed over.
	Ends time.Time `cbor:"11,keyasint,omitzero"`
	// NotBefore is when a worker may take it (again).
	NotBefore time.Time `cbor:"12,keyasint,omitzero"`
	// Taken is until when a worker has it in hand. If that moment passes, the worker died.
	Taken time.Time `cbor:"13,keyasint,omitzero"`
	// Handed counts attempts that may have reached the carrier; Tries all of them.
	Handed int `cbor:"14,keyasint,omitzero"`
	Tries  int `cbor:"15,keyasint,omitzero"`
	// Seed makes the link or the code with which the reader of a notice says "this was not me". Neither is kept. Empty: the
	// reader may not.
	Seed []byte `cbor:"16,keyasint,omitzero"`
	// Base is where our pages are, as people see it: "https://app.example.com/.contactgate". Empty: nobody wrote that down.
	Base string `cbor:"17,keyasint,omitzero"`
	// Reference is what a message to the people who run the site is about.
	Reference string `cbor:"18,keyasint,omitzero"`
	// By is the contact of whoever it is from, masked.
	By string `cbor:"19,keyasint,omitzero"`
	// Help is what somebody who is stuck writes.
	Help *HelpRequest `cbor:"20,keyasint,omitzero"`
}

// mostHanded keeps promise P6 for codes: after a crash or a lost answer at most once more. Everything else is tried until it
// is accepted, refused or too old.
const mostHanded = 2

// NoticeLife is how long a notice to an old contact is tried, and how long a hold lasts when none could be handed over.
const NoticeLife = 7 * day

// due is when a worker should next look at the message.
func (s *Send) due() time.Time {
	if s.Taken.After(s.NotBefore) {
		return s.Taken
	}
	return s.NotBefore
}

// Due is when a worker should next look at the account; zero: never.
func (a *Account) Due() time.Time {
	var first time.Time
	for i := range a.Outbox {
		if d := a.Outbox[i].due(); first.IsZero() || d.Before(first) {
			first = d
		}
	}
	return first
}

// Take gives a worker one message that it may hand over now, for as long as its lease, and marks it as possibly
// handed over before it does so: if the worker dies, that is what must be believed. It is one only, since the lease
// of a second one would run out while the first is slow. Those that have ended, or were tried as often as they may
// be, go unsent and are returned as dropped.
func (a *Account) Take(lease time.Duration, now time.Time) (taken *Send, dropped []Send) {
	kept := a.Outbox[:0:0]
	for _, s := range a.Outbox {
		switch {
		case !now.Before(s.Ends) || s.Kind == SendCode && s.Handed >= mostHanded && !now.Before(s.due()):
			dropped = append(dropped, s)
			a.settled(s, SendFailed)
			continue
		case taken == nil && !now.Before(s.due()):
			s.Taken = now.Add(lease)
			s.Handed++
			s.Tries++
			inHand := s
			taken = &inHand
		}
		kept = append(kept, s)
	}
	a.Outbox = kept
	return taken, dropped
}

// Delivery is how an attempt ended.
type Delivery uint8

const (
	// LostAnswer: it may have been accepted. It is the zero Delivery.
	LostAnswer Delivery = iota
	TakenOver
	// RefusedForGood by the recipient's side.
	RefusedForGood
	// AskedToWait by the carrier, which has not taken it.
	AskedToWait
	// NotReached: the carrier could not be used; nothing was handed over.
	NotReached
	// BrokenOff: the carrier fell silent over this message before it took it. It is no outage.
	BrokenOff
	// OutOfOrder: the carrier is there, and answered that it cannot serve us now.
	OutOfOrder
)

// Settle writes down how an attempt at a message ended. It reports whether the message was still there: another worker
// may have settled it after our lease had ended, a later code may have taken its place.
func (a *Account) Settle(id string, d Delivery, now time.Time) bool {
	i := slices.IndexFunc(a.Outbox, func(s Send) bool { return s.ID == id })
	if i < 0 {
		return false
	}
	s := &a.Outbox[i]
	s.Taken = time.Time{}
	switch d {
	case TakenOver:
		a.drop(i, SendAccepted)
		a.noticeTaken(*s, now)
	case RefusedForGood:
		a.drop(i, SendRefused)
	case AskedToWait, NotReached, BrokenOff, OutOfOrder:
		s.Handed--
		if s.givesUp(d) {
			a.notSent(i)
			return true
		}
		s.NotBefore = now.Add(retryAfter(s.Tries, s.Kind))
	default:
		switch {
		case s.Kind != SendCode: // twice is better than never
			s.NotBefore = now.Add(retryAfter(s.Tries, s.Kind))
		case s.Handed >= mostHanded:
			a.drop(i, SendFailed)
		default:
			s.NotBefore = now
		}
	}
	return true
}

// givesUp tells that a code which was not taken is not tried again: the person is told that nothing was sent, and of other
// ways, and a message that arrives later all the same would be a lie. Only mail servers that ask to wait are tried again:
// they do so with every stranger. Notices are always tried again.
func (s *Send) givesUp(d Delivery) bool {
	return s.Kind == SendCode && (d != AskedToWait || s.Channel.Kind() == Phone)
}

// notSent takes a code back that no carrier has: it counts against nothing.
func (a *Account) notSent(i int) {
	s := a.Outbox[i]
	a.drop(i, SendFailed)
	a.unsend(s.Channel)
	if c := a.Challenge; c != nil && c.SendID == s.ID && c.Typed && c.Sent == 1 {
		a.Adds = a.Adds.Undo()
	}
}

func (a *Account) drop(i int, state SendState) {
	a.settled(a.Outbox[i], state)
	a.Outbox = slices.Delete(slices.Clone(a.Outbox), i, i+1)
}

// settled tells the challenge, whose page shows the state of its last send.
func (a *Account) settled(s Send, state SendState) {
	if c := a.Challenge; c != nil && c.SendID == s.ID {
		c.SendState = state
	}
}

// noticeTaken starts the hold of the new contact, once: it runs from the first notice that was accepted.
func (a *Account) noticeTaken(s Send, now time.Time) {
	if s.Kind != SendNotice {
		return
	}
	if c := a.Contact(s.New); c != nil && c.HeldFor > 0 && c.onHold(now) {
		c.HoldUntil, c.HeldFor = now.Add(c.HeldFor), 0
	}
}

// retryAfter grows from ten seconds: greylisting servers take a second try after some minutes. All but codes have days.
func retryAfter(tries int, kind SendKind) time.Duration {
	wait := 10 * time.Second << min(max(tries-1, 0), 10)
	if kind != SendCode {
		return min(wait, time.Hour)
	}
	return min(wait, 2*time.Minute)
}

// DropCodes ends messages with codes that are of no more use.
func (a *Account) DropCodes() {
	a.Outbox = slices.DeleteFunc(slices.Clone(a.Outbox), func(s Send) bool { return s.Kind == SendCode })
}

// Recipient is the contact that a message goes to, or nil when it is gone. One that was removed is still told what it was
// to be told: whoever removed it may be the one whom that is about.
func (a *Account) Recipient(s Send) *Contact {
	if s.Kind == SendCode {
		if c := a.Challenge; c == nil || c.SendID != s.ID {
			return nil
		}
		return a.Challenge.Target(a)
	}
	return a.ContactEver(s.Contact)
}
