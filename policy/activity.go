package policy

import (
	"slices"
	"strings"
	"time"
)

// Happening is what an event tells. Records hold the numbers: none is ever given another meaning.
type Happening uint8

// The happenings.
const (
	NothingHappened     Happening = 0
	GraceStarted        Happening = 1
	CodeAsked           Happening = 2
	WrongCodeTried      Happening = 3
	ContactAdded        Happening = 4
	ContactVerified     Happening = 5
	ContactRemoved      Happening = 6
	ContactPrimary      Happening = 7
	DeviceTrusted       Happening = 8
	DeviceRevoked       Happening = 9
	DevicesRevoked      Happening = 10
	AuthenticatorOn     Happening = 11
	AuthenticatorOff    Happening = 12
	RecoveryRenewed     Happening = 13
	RecoveryUsed        Happening = 14
	AuthenticatorAnswer Happening = 15
	WrongProofTried     Happening = 16
	DeadlineMoved       Happening = 17
	WrongAppCodeTried   Happening = 18
	ContactUndone       Happening = 19
	AccountFrozen       Happening = 20
	AccountUnfrozen     Happening = 21
)

// happenings are their names: those of the audit log, where a line of it says no more than that.
var happenings = [...]string{
	"", "grace_started", "code_asked", "code_wrong", "contact_added", "contact_verified", "contact_removed", "contact_primary",
	"device_trusted", "device_revoked", "devices_revoked", "authenticator_enrolled", "authenticator_removed",
	"recovery_codes_renewed", "recovery_code_used", "authenticator_code", "proof_wrong", "deadline_moved",
	"authenticator_wrong", "contact_undone", "account_frozen", "account_unfrozen",
}

func (h Happening) String() string {
	if int(h) < len(happenings) {
		return happenings[h]
	}
	return ""
}

// Event is one line of what happened to an account, as its person and its operator are told. It is small, since every
// account carries fifty: numbers for what, when and the browser, and no address of where it came from.
type Event struct {
	_    struct{} `cbor:",toarray"`
	What Happening
	// At is in seconds of Unix time.
	At int64
	// Contact is masked, and short.
	Contact string
	// Browser is the place of its family in browsers.
	Browser uint8
	// Times is how often it happened in a row, when it was more than once.
	Times uint16
}

const (
	// mostEvents is how many are kept.
	mostEvents = 50
	// mostMask is how many bytes of a masked contact are kept. The whole of a long domain is not worth its room.
	mostMask = 40
	// repeatsWithin is how far apart the same thing happens to be told once, with how often.
	repeatsWithin = time.Hour
)

// browsers are the families that an event can tell. Records hold their places: new ones go to the end.
var browsers = [...]string{"", "Edge", "Opera", "Samsung Internet", "Firefox", "Chrome", "Safari"}

// Note writes an event down. It belongs into the update of what it tells of.
func (a *Account) Note(what Happening, contact Address, browser string, now time.Time) {
	e := Event{What: what, At: now.Unix(), Browser: uint8(max(0, slices.Index(browsers[:], browser)))} //nolint:gosec // there are few
	if contact != "" {
		e.Contact = brief(contact.String())
	}
	earlier := a.Activity
	if n := len(earlier); n > 0 {
		last := earlier[n-1]
		if e.repeats(last) {
			e.Times = min(max(last.Times, 1), 9998) + 1
		}
		if e.repeats(last) || e.answers(last) {
			earlier = earlier[:n-1]
		}
	}
	a.Activity = append(slices.Clone(earlier), e)
	a.Activity = a.Activity[max(0, len(a.Activity)-mostEvents):]
}

// answers tells that it is the good end of what was last begun, and says all there is to say of that.
func (e Event) answers(last Event) bool {
	return last.What == CodeAsked && (e.What == ContactVerified || e.What == ContactAdded) && e.Contact == last.Contact && e.Browser == last.Browser
}

// repeats tells that it is the same once more, so that wrong tries do not push everything else out of the list.
func (e Event) repeats(last Event) bool {
	return e.What == last.What && e.Contact == last.Contact && e.Browser == last.Browser && e.At-last.At < int64(repeatsWithin/time.Second)
}

// brief cuts a mask that is too long to be kept fifty times.
func brief(mask string) string {
	if len(mask) <= mostMask {
		return mask
	}
	return strings.ToValidUTF8(mask[:mostMask-len("…")], "") + "…"
}

// Happened is when it did.
func (e Event) Happened() time.Time { return time.Unix(e.At, 0).UTC() }

// BrowserName is the family of the browser, "Firefox"; empty when it is not known.
func (e Event) BrowserName() string {
	if int(e.Browser) < len(browsers) {
		return browsers[e.Browser]
	}
	return ""
}

// Lately are the events, the latest first.
func (a *Account) Lately() []Event {
	list := slices.Clone(a.Activity)
	slices.Reverse(list)
	return list
}
