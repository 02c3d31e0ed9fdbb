package verify

import (
	"context"
	"encoding/base32"
	"strconv"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/contactgate/contactgate/policy"
)

// seedSize is how long the key of an app is: that of its hash (RFC 4226, section 4, R6).
const seedSize = 20

// appCode is the code of an app for one time step, in the one form that every app can make: six digits, SHA-1.
func appCode(seed policy.Seed, step int64) string {
	code, err := hotp.GenerateCodeCustom(appKey(seed), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}) //nolint:gosec // steps are counted from 1970
	if err != nil {
		panic("contactgate: totp: " + err.Error()) // only for a key that is no base32
	}
	return code
}

// appKey is a seed as apps read it.
func appKey(seed policy.Seed) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
}

// answer is what was typed as a code of an app, as the rules evaluate it.
func (f *Flow) answer(v Visitor, typed policy.AppCode) policy.Answer {
	n := policy.Answer{
		Right: func(seed policy.Seed, step int64) bool { return equalSecret(appCode(seed, step), typed.Digits) },
		Name:  mac(f.index.recovery, "answer", v.Realm, v.User, typed.Digits, typed.Recovery)[:16],
	}
	if typed.Recovery != "" {
		n.Recovery = f.recoveryHash(v, typed.Recovery)
	}
	return n
}

// recoveryHash is what the store knows of a recovery code. It is keyed, and the key is not in the store.
func (f *Flow) recoveryHash(v Visitor, code string) []byte {
	return mac(f.index.recovery, "hash", v.Realm, v.User, code)[:16]
}

// recoveryCodes makes the set that belongs to one form at one moment, so that a double click is shown the same ones, and
// nothing that is stored gives them back. A form without a name gets a set of its own.
func (f *Flow) recoveryCodes(v Visitor, batch string, at time.Time) (codes []string, known policy.Recovery) {
	if batch == "" {
		batch = f.newID()
	} else {
		known.Batch = mac(f.index.recovery, "batch", string(v.Session), batch)[:16]
	}
	alphabet := base32.NewEncoding(policy.RecoveryAlphabet).WithPadding(base32.NoPadding)
	for i := range policy.RecoveryCodes {
		sum := mac(f.index.recovery, "code", v.Realm, v.User, string(v.Session), batch, strconv.FormatInt(at.UnixMilli(), 10), strconv.Itoa(i))
		code := alphabet.EncodeToString(sum)[:policy.RecoveryLength]
		codes = append(codes, code)
		known.Hashes = append(known.Hashes, f.recoveryHash(v, code))
	}
	return codes, known
}

// KeepsRecovery tells whether these are recovery codes of the account, all of them unused.
func (f *Flow) KeepsRecovery(v Visitor, a *policy.Account, codes []string) bool {
	if len(codes) != policy.RecoveryCodes || len(a.Authenticator.Recovery) != len(codes) {
		return false
	}
	same := true
	for i, code := range codes {
		same = equalSecret(string(a.Authenticator.Recovery[i]), string(f.recoveryHash(v, code))) && same
	}
	return same
}

// App is how something that somebody did about their app ended.
type App struct {
	policy.Result
	// Key is the seed of the enrolment of this browser session, as apps read it. It must not reach a log.
	Key string
	// Codes are the recovery codes, this once.
	Codes []string
	// Account is the account afterwards.
	Account *policy.Account
}

// DeclineAuthenticator is "later", or "not needed".
func (f *Flow) DeclineAuthenticator(ctx context.Context, v Visitor, never bool) error {
	var declined bool
	_, err := f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		declined = a.DeclineAuthenticator(never, now)
		return declined
	})
	if err == nil && declined {
		f.audit("authenticator_declined", v, "never", never)
	}
	return err
}

// changeApp is one atomic change of what an account knows of an app.
func (f *Flow) changeApp(ctx context.Context, v Visitor, change func(a *policy.Account, now time.Time) bool) (*policy.Account, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return nil, err
	}
	now := f.now()
	a, err := f.update(ctx, v, now, func(a *policy.Account) bool { return change(a, now) })
	if err != nil {
		return nil, err
	}
	if !a.Due().IsZero() {
		f.work.kick(f.accountKey(v.Realm, v.User))
	}
	return a, nil
}

// BeginEnrolment makes a seed for this browser session, or goes on with the one that it has. The key is shown by
// Enrolling.
func (f *Flow) BeginEnrolment(ctx context.Context, v Visitor) (App, error) {
	seed := policy.Seed(f.random(seedSize))
	var app App
	var err error
	app.Account, err = f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		app.Result = a.BeginEnrolment(v.Session, seed, now)
		return app.Outcome == policy.Started
	})
	if err != nil {
		return App{}, err
	}
	f.auditLimit(v, "changes", app.Result)
	if app.Outcome == policy.Started {
		f.audit("authenticator_begun", v)
	}
	return app, nil
}

// Enrolling is the key that this browser session was shown and has not confirmed; empty when there is none.
func (f *Flow) Enrolling(a *policy.Account, v Visitor) string {
	if p := a.Enrolling(v.Session, f.now()); p != nil {
		return appKey(p.Seed)
	}
	return ""
}

// ConfirmEnrolment enrols the app once it makes the right code, and gives the recovery codes. batch names the form.
func (f *Flow) ConfirmEnrolment(ctx context.Context, r *policy.Rules, v Visitor, typed policy.AppCode, batch string) (App, error) {
	var app App
	a, err := f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		app = App{Key: f.Enrolling(a, v)}
		var known policy.Recovery
		app.Codes, known = f.recoveryCodes(v, batch, now)
		app.Result = a.ConfirmEnrolment(v.Session, f.answer(v, typed), known, r.Limits, now)
		if app.Outcome == policy.Accepted {
			f.tellAll(a, v, policy.AppEnrolled, now)
			a.Note(policy.AuthenticatorOn, "", v.Browser, now)
		}
		return app.Outcome == policy.Accepted || counted(app.Result)
	})
	if err != nil {
		return App{}, err
	}
	app.Account = a
	f.toldApp(v, app.Result, "enrolling")
	f.giveCodes(v, &app, batch)
	if app.Outcome == policy.Accepted {
		f.audit("authenticator_enrolled", v)
	}
	return app, nil
}

// giveCodes leaves the recovery codes in the answer when there are any to be shown: new ones, or after a double click
// those that the first one made.
func (f *Flow) giveCodes(v Visitor, app *App, batch string) {
	switch app.Outcome {
	case policy.Accepted:
	case policy.AcceptedAgain:
		app.Codes, _ = f.recoveryCodes(v, batch, app.Account.Authenticator.Renewed)
	default:
		app.Codes = nil
	}
}

// RenewRecovery gives new recovery codes in place of the former ones. batch names the form.
func (f *Flow) RenewRecovery(ctx context.Context, v Visitor, batch string) (App, error) {
	var app App
	a, err := f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		app = App{}
		var known policy.Recovery
		app.Codes, known = f.recoveryCodes(v, batch, now)
		if app.Result = a.RenewRecovery(v.Session, known, now); app.Outcome == policy.Accepted {
			f.tellAll(a, v, policy.AppNewCodes, now)
			a.Note(policy.RecoveryRenewed, "", v.Browser, now)
		}
		return app.Outcome == policy.Accepted
	})
	if err != nil {
		return App{}, err
	}
	app.Account = a
	f.auditLimit(v, "changes", app.Result)
	f.giveCodes(v, &app, batch)
	if app.Outcome == policy.Accepted {
		f.audit("recovery_codes_renewed", v)
	}
	return app, nil
}

// RemoveAuthenticator forgets the app.
func (f *Flow) RemoveAuthenticator(ctx context.Context, v Visitor) (App, error) {
	var app App
	a, err := f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		app = App{}
		if app.Outcome = a.RemoveAuthenticator(v.Session, now); app.Outcome == policy.Accepted {
			f.tellAll(a, v, policy.AppRemoved, now)
			a.Note(policy.AuthenticatorOff, "", v.Browser, now)
		}
		return app.Outcome == policy.Accepted
	})
	if err != nil {
		return App{}, err
	}
	app.Account = a
	if app.Outcome == policy.Accepted {
		f.audit("authenticator_removed", v)
	}
	return app, nil
}

// PromptAuthenticator begins to ask this browser session for a code of the app.
func (f *Flow) PromptAuthenticator(ctx context.Context, v Visitor, back string) (App, error) {
	nonce := f.random(16)
	var app App
	var err error
	app.Account, err = f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		app.Outcome = a.PromptAuthenticator(v.Session, nonce, back, now)
		return app.Outcome == policy.Started
	})
	if err != nil {
		return App{}, err
	}
	if app.Outcome == policy.Started {
		f.audit("code_asked", v, "channel", string(policy.ByAuthenticator))
	}
	return app, nil
}

// EnterApp evaluates a code of the app, or a recovery code. It confirms no contact.
func (f *Flow) EnterApp(ctx context.Context, r *policy.Rules, v Visitor, typed policy.AppCode) (Entered, error) {
	var e Entered
	var recovered bool
	var trusted policy.Device
	a, err := f.changeApp(ctx, v, func(a *policy.Account, now time.Time) bool {
		e, trusted = Entered{}, policy.Device{}
		before, ends := len(a.Authenticator.Recovery), endOf(a.Challenge)
		e.Result = a.AttemptAuthenticator(v.Session, v.Next, f.answer(v, typed), r.Limits, now)
		recovered = len(a.Authenticator.Recovery) < before
		f.noteApp(a, v, e.Result, recovered, now)
		if a.Challenge != nil {
			e.Return = a.Challenge.Return
		}
		switch e.Outcome {
		case policy.Accepted:
			e.Device, trusted = f.onBrowser(a, r, v, a.Challenge.Nonce, now)
			return true
		case policy.AcceptedAgain:
			e.Device = f.trustedBy(a, v, a.Challenge.Nonce)
			return false
		}
		return f.tick(a, v) || counted(e.Result) || endOf(a.Challenge) != ends
	})
	if err != nil {
		return Entered{}, err
	}
	e.Account = a
	f.toldApp(v, e.Result, "")
	f.toldTrust(v, trusted)
	if recovered {
		f.audit("recovery_code_used", v, "left", len(a.Authenticator.Recovery))
	}
	return e, nil
}

// noteApp writes down for the person how a try at their app ended.
func (f *Flow) noteApp(a *policy.Account, v Visitor, r policy.Result, recovered bool, now time.Time) {
	switch {
	case recovered:
		a.Note(policy.RecoveryUsed, "", v.Browser, now)
	case r.Outcome == policy.Accepted:
		a.Note(policy.AuthenticatorAnswer, "", v.Browser, now)
	case counted(r):
		a.Note(policy.WrongAppCodeTried, "", v.Browser, now)
	}
}

// counted tells that a try has used something up.
func counted(r policy.Result) bool { return r.Outcome == policy.WrongCode || r.Outcome == policy.Used }

// toldApp writes down a try at the app: one line for every one.
func (f *Flow) toldApp(v Visitor, r policy.Result, doing string) {
	result := checkResults[r.Outcome]
	if f.Count != nil {
		f.Count.CodeChecked(result)
	}
	args := []any{"channel", string(policy.ByAuthenticator), "result", result}
	if doing != "" {
		args = append(args, "doing", doing)
	}
	f.audit("code_tried", v, args...)
	f.auditLimit(v, "authenticator", r)
}
