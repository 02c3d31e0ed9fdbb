package policy

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// NoticeGood is how long somebody may say "this was not me" after the change that they were told of.
const NoticeGood = 30 * day

// What a notice tells of is the kind of a contact that was added, or one of these.
const (
	EmailUndone Kind = "email_undone"
	PhoneUndone Kind = "phone_undone"
)

const (
	// toldPerDay is how many changes of an account its contacts are told of in 24 h, textedPerDay how many texts they get of
	// them. Notices are outside the limits of sends, and whoever is signed in makes them: without these they would be a way
	// to send texts at the operator's cost.
	toldPerDay   = 20
	textedPerDay = 10
	// mostWaiting is how many messages may wait for a carrier before no other notices join them.
	mostWaiting = 100
)

// Tells picks those who are told of a change, of those who can be, and counts it. That a contact was added they are always
// told: nobody adds more than a few a day.
func (a *Account) Tells(to []Contact, about Kind, now time.Time) []Contact {
	switch {
	case len(to) == 0, about == Email, about == Phone:
		return to
	case a.Told.Wait(toldPerDay, day, now) > 0, len(a.Outbox)+len(to) > mostWaiting:
		return nil
	}
	a.Told = a.Told.Add(day, now)
	return slices.DeleteFunc(slices.Clone(to), func(c Contact) bool {
		if c.Kind != Phone {
			return false
		}
		if a.Texted.Wait(textedPerDay, day, now) > 0 {
			return true
		}
		a.Texted = a.Texted.Add(day, now)
		return false
	})
}

// Notice is a notice whose reader may say "this was not me": it went to a contact that had been verified.
type Notice struct {
	// ID is that of its message, Contact who got it, New the contact that it tells of.
	ID, Contact, New string
	// At is when the change was made, Ends until when it may be disowned.
	At, Ends time.Time
}

// SpentNotice is one whose reader has said so. It counts once.
type SpentNotice struct {
	ID   string    `cbor:"1,keyasint,omitzero"`
	Ends time.Time `cbor:"2,keyasint,omitzero"`
}

// Disown is "this was not me". It may come from a contact that was taken off the account since, and forgotten: whoever takes
// one over does that first. It freezes the account, and the new contact, if it is still on hold, goes. The outcome is
// Accepted, AcceptedAgain when the same notice was used already and the account is frozen still, Used when an operator has
// lifted that since, or Gone.
func (a *Account) Disown(n Notice, f Freeze) Outcome {
	now := f.At
	a.Notices = slices.DeleteFunc(slices.Clone(a.Notices), func(s SpentNotice) bool { return !now.Before(s.Ends) })
	told := a.ContactEver(n.Contact)
	switch {
	// Erased, and somebody new by the same name; or reset by an operator, so that nobody was verified ever.
	case a.User == "", a.Since.After(n.At), told != nil && !told.WasVerified(now), !now.Before(n.Ends):
		return Gone
	case slices.ContainsFunc(a.Notices, func(s SpentNotice) bool { return s.ID == n.ID }):
		if a.Frozen != nil {
			return AcceptedAgain
		}
		return Used
	}
	a.Notices = append(a.Notices, SpentNotice{ID: n.ID, Ends: n.Ends})
	if c := a.Contact(n.New); c != nil && c.onHold(now) {
		a.retire(c.ID, now)
	}
	a.Freeze(f)
	return Accepted
}

// Undo takes a contact off the account that is on hold, from a browser in which a code of an older one was entered lately.
// It returns who is told.
func (a *Account) Undo(id string, session []byte, now time.Time) (undone Contact, tell []Contact, o Outcome) {
	c := a.Contact(id)
	switch {
	case c == nil || !c.onHold(now):
		return Contact{}, nil, Gone
	case !a.IsFresh(session, now):
		return *c, nil, NotFresh
	}
	undone = *c
	a.retire(id, now)
	return undone, a.Others(id, now), Accepted
}

// noticeCode is how long the code of a notice is.
const noticeCode = 8

// NoticeCode takes what a person typed as the code of a text message: blanks, dashes, full-width and small letters are fine,
// and so are the digits that look like letters and are in no code. It returns the problem as the page names it ("", "empty",
// "short", "long", "letters"); anything but "" is not counted as a try.
func NoticeCode(typed string) (code, problem string) {
	if len(typed) > 1000 {
		return "", "long"
	}
	var b strings.Builder
	for _, r := range strings.ToUpper(Narrow(typed)) {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), r == 'ー', r == '−', unicode.Is(unicode.Bidi_Control, r):
		case r == '0':
			b.WriteByte('O')
		case r == '1':
			b.WriteByte('I')
		case r == '8':
			b.WriteByte('B')
		case r >= 'A' && r <= 'Z', r >= '2' && r <= '7':
			b.WriteRune(r)
		default:
			return "", "letters"
		}
	}
	switch n := b.Len(); {
	case n == 0:
		return "", "empty"
	case n < noticeCode:
		return "", "short"
	case n > noticeCode:
		return "", "long"
	}
	return b.String(), ""
}
