package policy

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
)

// ByAuthenticator is the channel on which nothing travels: the code comes from the person's own app.
const ByAuthenticator Channel = "authenticator"

// ByAuthenticatorApp stands in the place of a contact's ID where a code of the authenticator app was entered. No contact
// has it: their IDs are random and longer.
const ByAuthenticatorApp = "authenticator"

// What a notice to the contacts tells of the app, where it would name the kind of a contact (Send.About).
const (
	AppEnrolled Kind = "authenticator_enrolled"
	AppRemoved  Kind = "authenticator_removed"
	AppNewCodes Kind = "authenticator_codes"
)

const (
	// stepLength is how long each code of an app lasts (RFC 6238, section 5.2).
	stepLength = 30 * time.Second
	// skew is how many steps a phone's clock may be off, to either side.
	skew = 1
	// appPause is the wait after some wrong codes; appStop wrong ones in a row end all tries until an operator acts or
	// the app is set up anew (NIST SP 800-63B-4, section 3.2.2).
	appPause = 5 * time.Minute
	appStop  = 100
	// enrolFor is how long an enrolment that was begun can be confirmed.
	enrolFor = 15 * time.Minute
	// repeatFor is how long the same form, posted again, is taken for a double click and answered in the same way.
	repeatFor = time.Minute
	// promptLife is how long a page may wait for a code of the app: what ends a guess is its time step, not the page.
	promptLife = 12 * time.Hour
)

// RecoveryCodes is how many there are in a set, RecoveryLength how many characters each has, without the dash.
const (
	RecoveryCodes  = 10
	RecoveryLength = 10
)

// RecoveryAlphabet is Crockford's base32: no letter in it looks like a digit.
const RecoveryAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Authenticator is a person's app that makes codes by the clock (TOTP, RFC 6238), their recovery codes, and what they
// said to the offer of one. It proves who uses a browser; it never makes a contact verified.
type Authenticator struct {
	// Seed is the key that the app shares with us. Empty: none is enrolled.
	Seed     Seed      `cbor:"1,keyasint,omitzero"`
	Enrolled time.Time `cbor:"2,keyasint,omitzero"`
	// LastStep is the time step of the last code that was accepted. No code of this step or an earlier one is taken again.
	LastStep int64 `cbor:"3,keyasint,omitzero"`
	// Recovery are keyed hashes of the recovery codes that are left. They have 50 random bits each, so a slow hash would
	// add nothing.
	Recovery [][]byte `cbor:"4,keyasint,omitzero"`
	// Renewed is when the set of recovery codes was made, Batch the hash of the name of the form that asked for it.
	Renewed time.Time `cbor:"5,keyasint,omitzero"`
	Batch   []byte    `cbor:"6,keyasint,omitzero"`
	// Pending is an enrolment that was begun. Until it is confirmed it is no factor.
	Pending *Enrolment `cbor:"7,keyasint,omitzero"`
	// Wrong are wrong codes since the last pause, WrongInARow those since a right one. Recovery codes count with the app's.
	Wrong       int       `cbor:"8,keyasint,omitzero"`
	WrongInARow int       `cbor:"9,keyasint,omitzero"`
	PausedUntil time.Time `cbor:"10,keyasint,omitzero"`
	// Answered is a keyed hash of the code that ended the last prompt, by which a double click is known.
	Answered []byte `cbor:"11,keyasint,omitzero"`
	// Later is when the person said "later" to the offer; Never that they need none.
	Later time.Time `cbor:"12,keyasint,omitzero"`
	Never bool      `cbor:"13,keyasint,omitzero"`
}

// Enrolment is a seed that was shown to one browser session and not confirmed yet.
type Enrolment struct {
	Seed    Seed      `cbor:"1,keyasint,omitzero"`
	Session []byte    `cbor:"2,keyasint,omitzero"`
	Ends    time.Time `cbor:"3,keyasint,omitzero"`
}

// Seed is the key of an app. It prints as nothing; asking for its bytes has to look deliberate.
type Seed []byte

// String gives nothing away.
func (Seed) String() string { return "(seed)" }

// GoString keeps %#v silent as well.
func (s Seed) GoString() string { return s.String() }

// Format keeps every verb silent, %x and %q too.
func (s Seed) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue gives nothing away.
func (s Seed) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives nothing away: whatever turns an account into JSON gets no more than that.
func (s Seed) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// HasAuthenticator tells whether an app is enrolled.
func (a *Account) HasAuthenticator() bool { return len(a.Authenticator.Seed) > 0 }

// OffersAuthenticator tells whether an app is to be offered after a proof.
func (r *Rules) OffersAuthenticator(a *Account, now time.Time) bool {
	x := &a.Authenticator
	return r.RemindAuthenticator > 0 && !a.HasAuthenticator() && !x.Never &&
		(x.Later.IsZero() || now.Sub(x.Later) >= r.RemindAuthenticator)
}

// DeclineAuthenticator is "later", or "not needed". It reports whether anything changed.
func (a *Account) DeclineAuthenticator(never bool, now time.Time) bool {
	if a.HasAuthenticator() {
		return false
	}
	x := &a.Authenticator
	x.Pending, x.Later, x.Never = nil, now, never || x.Never
	return true
}

// Enrolling is the enrolment that this browser session has begun, or nil.
func (a *Account) Enrolling(session []byte, now time.Time) *Enrolment {
	p := a.Authenticator.Pending
	if p == nil || a.HasAuthenticator() || len(session) == 0 || !now.Before(p.Ends) ||
		sameSecret(string(p.Session), string(session)) != 1 {
		return nil
	}
	return p
}

// BeginEnrolment keeps a new seed for this browser session, or goes on with the one that it was shown already. Whoever
// enrols an app can answer for the person from then on, so it takes a code that was entered here lately.
func (a *Account) BeginEnrolment(session []byte, seed Seed, now time.Time) Result {
	switch {
	case a.HasAuthenticator():
		return Result{Outcome: Enrolled}
	case a.Enrolling(session, now) != nil:
		return Result{Outcome: Underway}
	}
	if refused := a.change(session, now); refused.Outcome != Accepted {
		return refused
	}
	a.Authenticator.Pending = &Enrolment{Seed: slices.Clone(seed), Session: slices.Clone(session), Ends: now.Add(enrolFor)}
	return Result{Outcome: Started}
}

// Answer is what somebody typed as a code of their app.
type Answer struct {
	// Right tells whether it is the code that a seed gives for a time step.
	Right func(seed Seed, step int64) bool
	// Recovery is its keyed hash as a recovery code; empty when it cannot be one.
	Recovery []byte
	// Name is a keyed hash of it.
	Name []byte
}

// Recovery is a new set of recovery codes, as far as the account knows it.
type Recovery struct {
	Hashes [][]byte
	// Batch is the hash of the name of the form that asked for it.
	Batch []byte
}

// ConfirmEnrolment enrols the app that this browser session was shown the seed of, once it makes the right code. That
// code counts as used.
func (a *Account) ConfirmEnrolment(session []byte, n Answer, codes Recovery, l Limits, now time.Time) Result {
	x, p := &a.Authenticator, a.Enrolling(session, now)
	switch {
	case x.made(codes.Batch, now):
		return Result{Outcome: AcceptedAgain}
	case a.HasAuthenticator():
		return Result{Outcome: Enrolled}
	case p == nil || !a.hasEntered(session):
		return Result{Outcome: Expired}
	}
	n.Recovery = nil // there are none yet
	step, result := x.evaluate(p.Seed, n, l, now)
	if result.Outcome == Accepted {
		*x = Authenticator{Seed: p.Seed, Enrolled: now, LastStep: step}
		x.keep(codes, now)
	}
	return result
}

// keep takes a new set of recovery codes. The former one is no longer worth anything.
func (x *Authenticator) keep(codes Recovery, now time.Time) {
	x.Recovery, x.Batch, x.Renewed = codes.Hashes, codes.Batch, now
}

// made tells that the present set of recovery codes was made for this very form a moment ago.
func (x *Authenticator) made(batch []byte, now time.Time) bool {
	return len(batch) > 0 && sameSecret(string(x.Batch), string(batch)) == 1 && now.Sub(x.Renewed) < repeatFor
}

// RenewRecovery replaces the recovery codes by new ones, after a code that was entered here lately.
func (a *Account) RenewRecovery(session []byte, codes Recovery, now time.Time) Result {
	switch {
	case !a.HasAuthenticator():
		return Result{Outcome: Gone}
	case a.IsFresh(session, now) && a.Authenticator.made(codes.Batch, now):
		return Result{Outcome: AcceptedAgain}
	}
	if refused := a.change(session, now); refused.Outcome != Accepted {
		return refused
	}
	a.Authenticator.keep(codes, now)
	return Result{Outcome: Accepted}
}

// RemoveAuthenticator forgets the app and its recovery codes. It takes a code of a contact that was not just added with one
// of the app: whoever found the phone must not be able to take the app away with itself, nor to use up the changes that this
// would take. So it is not counted: each time takes an app that was begun, and that is. It is offered again as after "later".
func (a *Account) RemoveAuthenticator(session []byte, now time.Time) Outcome {
	switch {
	case !a.HasAuthenticator():
		return Gone
	case !a.IsFreshByContact(session, now):
		return NotFresh
	}
	a.Authenticator = Authenticator{Later: now}
	if a.Challenge != nil && a.Challenge.Channel == ByAuthenticator {
		a.Challenge = nil
	}
	return Accepted
}

// LiftAuthenticator lets an app be tried again that was stopped, or is paused: an operator has acted. It reports whether
// there was anything to lift.
func (a *Account) LiftAuthenticator() bool {
	x := &a.Authenticator
	lifted := x.WrongInARow > 0 || x.Wrong > 0 || !x.PausedUntil.IsZero()
	x.Wrong, x.WrongInARow, x.PausedUntil = 0, 0, time.Time{}
	return lifted
}

// PromptAuthenticator begins to ask this browser session for a code of the app. It ends a code that is on its way, as
// any other way does. nonce names the prompt.
func (a *Account) PromptAuthenticator(session, nonce []byte, back string, now time.Time) Outcome {
	if !a.HasAuthenticator() {
		return Gone
	}
	if c := a.Challenge; c.Live(now) && c.Channel == ByAuthenticator && c.askedBy(session) && (back == "" || back == c.Return) {
		return Underway
	}
	a.DropCodes()
	a.Challenge = &Challenge{Nonce: nonce, Channel: ByAuthenticator, Session: slices.Clone(session),
		Started: now, Ends: now.Add(promptLife), Return: back, Ticked: a.Challenge.TickedBy(session)}
	return Started
}

// AttemptAuthenticator evaluates a code of the app, or a recovery code, for the prompt of this browser session; next is
// the browser session that goes on. It counts, then compares, then consumes, and must run inside one atomic update.
func (a *Account) AttemptAuthenticator(session, next []byte, n Answer, l Limits, now time.Time) Result {
	c, x := a.Challenge, &a.Authenticator
	switch {
	case c == nil || c.Channel != ByAuthenticator || !a.HasAuthenticator():
		return Result{Outcome: NoCode}
	case !c.askedBy(session):
		return Result{Outcome: Elsewhere}
	case !c.Done.IsZero():
		return c.repeated(func() bool { return sameSecret(string(x.Answered), string(n.Name)) == 1 }, now)
	case !now.Before(c.Ends):
		return Result{Outcome: Expired}
	}
	step, result := x.evaluate(x.Seed, n, l, now)
	if result.Outcome == Accepted {
		x.LastStep = max(x.LastStep, step)
		x.Answered = slices.Clone(n.Name)
		a.CodeEntered(c.Session, next, ByAuthenticatorApp, now)
		c.Done, c.After, c.Ends = now, slices.Clone(next), now.Add(repeatFor)
	}
	return result
}

// evaluate counts, then compares. The step is that of the right code; zero when it was a recovery code, which is used up.
func (x *Authenticator) evaluate(seed Seed, n Answer, l Limits, now time.Time) (step int64, result Result) {
	if x.WrongInARow >= appStop {
		return 0, Result{Outcome: Stopped}
	}
	if wait := x.PausedUntil.Sub(now); wait > 0 {
		return 0, Result{Outcome: TooMany, Wait: wait}
	}
	x.Wrong++
	x.WrongInARow++
	left := max(0, min(l.AuthenticatorTries-x.Wrong, appStop-x.WrongInARow))
	if x.Wrong >= l.AuthenticatorTries {
		x.Wrong, x.PausedUntil = 0, now.Add(appPause)
	}
	step = matching(seed, n.Right, now)
	switch {
	case step > x.LastStep:
	case x.spend(n.Recovery):
		step = 0
	case step > 0:
		return 0, Result{Outcome: Used, Left: left}
	default:
		return 0, Result{Outcome: WrongCode, Left: left}
	}
	x.Wrong, x.WrongInARow, x.PausedUntil = 0, 0, time.Time{}
	return step, Result{Outcome: Accepted}
}

// matching is the latest time step around now that has this code; zero: none has. Every one is compared, and the latest
// counts: should two steps have the same code, using it up must use up both.
func matching(seed Seed, right func(Seed, int64) bool, now time.Time) (step int64) {
	current := now.Unix() / int64(stepLength/time.Second)
	for s := current - skew; s <= current+skew; s++ {
		if right(seed, s) {
			step = s
		}
	}
	return step
}

// spend uses up a recovery code. Every hash is compared, wherever it stands.
func (x *Authenticator) spend(hash []byte) bool {
	found := -1
	for i, known := range x.Recovery {
		if subtle.ConstantTimeCompare(known, hash) == 1 {
			found = i
		}
	}
	if found < 0 || len(hash) == 0 {
		return false
	}
	x.Recovery = slices.Delete(slices.Clone(x.Recovery), found, found+1)
	return true
}

// AuthenticatorWait is how long until the app can be tried again; stopped: not before an operator acts.
func (a *Account) AuthenticatorWait(now time.Time) (wait time.Duration, stopped bool) {
	x := &a.Authenticator
	return max(0, x.PausedUntil.Sub(now)), x.WrongInARow >= appStop
}

// AppCode is what somebody typed as a code of their app, in the forms in which it may be right: six digits of the app,
// or a recovery code. Either may be empty.
type AppCode struct{ Digits, Recovery string }

// ReadAppCode takes what a person typed or pasted: blanks, dashes, full-width forms and either case are fine. Only what
// is empty is no try.
func ReadAppCode(typed string) (code AppCode, empty bool) {
	if len(typed) > 1000 {
		return AppCode{}, false
	}
	narrow := Narrow(typed)
	if narrow == "" {
		return AppCode{}, true
	}
	code.Digits, _ = Digits(typed, CodeDigits)
	code.Recovery = readRecovery(narrow)
	return code, false
}

// readRecovery is what was typed as a recovery code, or empty. The letters that the alphabet leaves out are taken for the
// digits that they look like.
func readRecovery(typed string) string {
	code := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), r == 'ー', r == '−', r == '\u200e', r == '\u200f':
			return -1
		case r >= 'a' && r <= 'z':
			r += 'A' - 'a'
		}
		switch r {
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return r
	}, typed)
	if len(code) != RecoveryLength || strings.Trim(code, RecoveryAlphabet) != "" {
		return ""
	}
	return code
}
