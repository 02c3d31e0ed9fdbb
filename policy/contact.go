package policy

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Address is a whole e-mail address or E.164 number. It prints masked by itself; asking for the whole of it has
// to look deliberate.
type Address string

// Whole is the address itself, for sending and comparing. It must not reach a log, a URL or a metric.
func (a Address) Whole() string { return string(a) }

// Kind is what sort of contact it is.
func (a Address) Kind() Kind {
	if strings.Contains(string(a), "@") {
		return Email
	}
	return Phone
}

// String is the mask.
func (a Address) String() string { return Mask(string(a)) }

// GoString keeps %#v masked as well.
func (a Address) GoString() string { return a.String() }

// Format keeps every verb masked, %x and %q too.
func (a Address) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue is the mask.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText is the mask: whatever turns a contact into JSON or a log line gets no more than that.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Kind is what sort of contact it is.
type Kind string

// The kinds of contact.
const (
	Email Kind = "email"
	Phone Kind = "phone"
)

// Channel is how a code travels.
type Channel string

// The channels.
const (
	ByEmail Channel = "email"
	BySMS   Channel = "sms"
	ByVoice Channel = "voice"
)

// Contact is one address or number of an account.
type Contact struct {
	// ID names the contact inside its account, for ever. Pages never see it.
	ID      string  `cbor:"1,keyasint,omitzero"`
	Kind    Kind    `cbor:"2,keyasint,omitzero"`
	Address Address `cbor:"3,keyasint,omitzero"`
	// Added is when the account first had it; By is who said so: "signin", "import", "operator" or "person".
	Added time.Time `cbor:"4,keyasint,omitzero"`
	By    string    `cbor:"5,keyasint,omitzero"`
	// Verified is when it was last confirmed. Zero: never.
	Verified time.Time `cbor:"6,keyasint,omitzero"`
	// HoldUntil is when a contact that was added without a fresh code starts to count. Zero: it counts.
	HoldUntil time.Time `cbor:"7,keyasint,omitzero"`
	// HeldFor is the operator's replacement_hold at that time; it runs from the first accepted notice.
	HeldFor time.Duration `cbor:"8,keyasint,omitzero"`
	// Retired contacts were removed. They are kept to be known again, and for nothing else.
	Retired bool `cbor:"9,keyasint,omitzero"`
	// Primary: the person chose it, of all of its kind, to be the one that apps are told.
	Primary bool `cbor:"17,keyasint,omitzero"`
	// Late: the sign-in named it when another one had been confirmed already. Apps let people change an address without
	// a proof, so whoever has a session could put in their own: its first confirmation is held and told like an added one.
	Late bool `cbor:"13,keyasint,omitzero"`
	// Proofs are the wrong answers to "show that you know it" of the last 24 h, ProofsInAll those since a right one.
	Proofs      Tally `cbor:"10,keyasint,omitzero"`
	ProofsInAll int   `cbor:"11,keyasint,omitzero"`
	// WrongInARow are wrong codes since a right one.
	WrongInARow int `cbor:"12,keyasint,omitzero"`
	// Last4 are the wrong last four digits of the last 24 h, Last4InAll all that there ever were.
	Last4      Tally `cbor:"14,keyasint,omitzero"`
	Last4InAll int   `cbor:"15,keyasint,omitzero"`
	// EverVerified: it counted once, whatever became of it since.
	EverVerified bool `cbor:"16,keyasint,omitzero"`
	// VouchesFrom is when its codes can take the authenticator app away, if it was added on the word of that app alone:
	// whoever found the phone could add an address of their own. Zero: at once.
	VouchesFrom time.Time `cbor:"18,keyasint,omitzero"`
}

func (c *Contact) onHold(now time.Time) bool { return now.Before(c.HoldUntil) }

// HeldUntil is until when people are told that it is on hold; zero when it is not. Until the notice to the others was
// accepted, which takes seconds, the true moment is not known: it is told as if that were now.
func (c *Contact) HeldUntil(now time.Time) time.Time {
	switch {
	case !c.onHold(now):
		return time.Time{}
	case c.HeldFor > 0:
		return now.Add(c.HeldFor)
	}
	return c.HoldUntil
}

// Usable tells that a code may be sent to it.
func (c *Contact) Usable(now time.Time) bool { return !c.Retired && !c.onHold(now) }

// Vouches tells that its codes can take the authenticator app away.
func (c *Contact) Vouches(now time.Time) bool { return !now.Before(c.VouchesFrom) }

// WouldHold tells that its confirmation would only put it on hold, unless a code was entered shortly before.
func (a *Account) WouldHold(c *Contact) bool { return a.EverVerified && c.Late && c.Verified.IsZero() }

// WasVerified tells that it counted once: it may say "this was not me". The end of a hold is no change that is written down,
// so it is asked for here.
func (c *Contact) WasVerified(now time.Time) bool {
	return c.EverVerified || !c.Retired && !c.Verified.IsZero() && !c.onHold(now)
}

// Counts tells that its confirmation counts now, as far as its age is not asked.
func (c *Contact) Counts(now time.Time) bool {
	return !c.Verified.IsZero() && c.Usable(now)
}
