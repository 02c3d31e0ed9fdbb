package policy

import (
	"slices"
	"time"
)

// Country says how the phone numbers of one country may be reached.
type Country struct {
	// Code is its ISO 3166 code, such as JP.
	Code       string
	SMS, Voice bool
}

// Line is what is known of the line behind a phone number.
type Line struct {
	// Country is its ISO 3166 code; empty when nobody can tell.
	Country string
	// CallsOnly: a fixed line, or one of the internet. A text message to it is lost or costs extra.
	CallsOnly bool
}

// Only says why a number has one channel only, so that a page can explain it.
type Only string

// Why there is one channel only.
const (
	// OnlyInCountry: the operator allows no other in that country.
	OnlyInCountry Only = "country"
	// OnlyCalls: the line takes no text messages.
	OnlyCalls Only = "line"
)

// Reach lists the channels that may be used for a line, the usual one first. None: it cannot be reached.
func (r *Rules) Reach(l Line) (channels []Channel, only Only) {
	i := slices.IndexFunc(r.Countries, func(c Country) bool { return c.Code == l.Country })
	if i < 0 || l.Country == "" {
		return nil, ""
	}
	c := r.Countries[i]
	if c.SMS && !l.CallsOnly {
		channels = append(channels, BySMS)
	}
	if c.Voice {
		channels = append(channels, ByVoice)
	}
	switch {
	case len(channels) != 1:
		return channels, ""
	case c.SMS && c.Voice:
		return channels, OnlyCalls
	}
	return channels, OnlyInCountry
}

// Kind is what sort of contact a channel reaches; empty when it reaches none.
func (c Channel) Kind() Kind {
	switch c {
	case ByEmail:
		return Email
	case BySMS, ByVoice:
		return Phone
	}
	return ""
}

// spokenLife is how long a code may live that goes over the telephone network (NIST SP 800-63B-4, section 3.1.3).
const spokenLife = 10 * time.Minute

// Lifetime is how long a code lives that goes over this channel.
func (l Limits) Lifetime(c Channel) time.Duration {
	if c == ByEmail {
		return l.CodeLifetime
	}
	return min(l.CodeLifetime, spokenLife)
}

// lastDigits is how many digits of a number are asked for. The mask shows two of them, so they are 100 values.
const lastDigits = 4

// knowsNumber compares an answer with a phone number: all of it in its stored form, or its last four digits.
func (a Address) knowsNumber(typed string) bool {
	if len(a) < 2*lastDigits || a[0] != '+' { // of a shorter one, four digits would be too much of it
		return false
	}
	ok := sameSecret(typed, string(a))
	ok |= sameSecret(typed, string(a[len(a)-lastDigits:]))
	return ok == 1
}

// isLastFour tells whether an answer is four digits, and so at most the end of a number.
func isLastFour(typed string) bool {
	return len(typed) == lastDigits && digitsOnly(typed)
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// AsksWhole tells that the last four digits of a number are not enough: the operator wants all of it, or they take no
// more tries now.
func (c *Contact) AsksWhole(r *Rules, now time.Time) bool {
	return c.Kind == Phone && (r.ProofWhole || c.Last4InAll >= r.Limits.Last4TriesTotal ||
		c.Last4.Wait(r.Limits.Last4Tries, day, now) > 0)
}

// Answer evaluates what somebody typed to show that they know a contact. An address is told whole or by its hidden part,
// a number whole or by its last four digits; verify has brought what was typed into the form that contacts are kept in.
// Whole ones and last fours have tries of their own. An answer that is neither is not evaluated and not counted.
func (a *Account) Answer(c *Contact, typed string, r *Rules, now time.Time) Result {
	matches := func() bool { return c.Address.Knows(typed) }
	switch {
	case c.Kind == Phone && typed == "":
		return Result{Outcome: Unread}
	case c.Kind != Phone || !isLastFour(typed):
		return a.Prove(c, matches, r.Limits, now)
	case c.AsksWhole(r, now):
		return Result{Outcome: WholeAsked, Wait: c.last4Wait(r, now)}
	}
	return c.proveLast4(matches, r.Limits, now)
}

// last4Wait is how long until the last four digits are asked for again; zero: never, or nothing is known of that.
func (c *Contact) last4Wait(r *Rules, now time.Time) time.Duration {
	if r.ProofWhole || c.Last4InAll >= r.Limits.Last4TriesTotal {
		return 0
	}
	return c.Last4.Wait(r.Limits.Last4Tries, day, now)
}

// proveLast4 counts, then compares. A right answer is not counted, and does not start the count anew either: of 100
// values five are all that anybody may ever try who has the owner's session now and then.
func (c *Contact) proveLast4(matches func() bool, l Limits, now time.Time) Result {
	c.Last4 = c.Last4.Add(day, now)
	c.Last4InAll++
	if matches() {
		c.Last4 = c.Last4.Undo()
		c.Last4InAll--
		return Result{Outcome: Matched}
	}
	left := min(l.Last4TriesTotal-c.Last4InAll, c.Last4.Left(l.Last4Tries, day, now))
	if left == 0 { // from now on the whole number is asked, which has tries of its own
		left = c.proofsLeft(l, now)
	}
	return Result{Outcome: Mismatch, Left: left}
}

// proofsLeft is how many more whole answers may be tried now.
func (c *Contact) proofsLeft(l Limits, now time.Time) int {
	return max(0, min(l.ProofTriesTotal-c.ProofsInAll, c.Proofs.Left(l.ProofTries, day, now)))
}
