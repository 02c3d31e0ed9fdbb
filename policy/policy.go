// Package policy decides: which requests are interrupted, what a person has proved, what a limit still allows.
//
// It is pure. Time, randomness and what is remembered come in as arguments, and every transition returns the
// answer together with the next state. It uses the standard library only.
package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Mode says what becomes of "ask" and "block".
type Mode uint8

const (
	// Enforce interrupts in grace and blocks after it. It is the zero Mode: nothing is let through by omission.
	Enforce Mode = iota
	// Remind turns "block" into "ask".
	Remind
	// Observe turns both into "pass" and only counts them.
	Observe
)

var modes = [...]string{"enforce", "remind", "observe"}

func (m Mode) String() string { return modes[m] }

// ParseMode reads the argument of the directive "mode".
func ParseMode(s string) (Mode, error) {
	for m, name := range modes {
		if s == name {
			return Mode(m), nil
		}
	}
	return Enforce, fmt.Errorf("mode %q: use enforce, remind or observe", s)
}

// Share is how much of the people a rollout leaves out, in ten-thousandths. The zero Share leaves nobody out.
type Share uint16

// Includes tells whether a person is inside. The same person always gets the same answer, a smaller Share only
// adds people, and no key has a part in it, so that rotating keys reshuffles nobody.
func (s Share) Includes(realm, user string) bool {
	if s == 0 {
		return true
	}
	sum := sha256.Sum256([]byte("contactgate rollout\x00" + realm + "\x00" + user))
	return binary.BigEndian.Uint64(sum[:])%10000 >= uint64(s)
}

// Rules are the rules of one site.
type Rules struct {
	Mode Mode
	// Grace is how long "not now" is offered, from when the page was first shown.
	Grace time.Duration
	// Unseen is how long after their first request the grace of somebody starts who is never shown a page.
	Unseen time.Duration
	// AskEvery is the least time between two interruptions of an account.
	AskEvery time.Duration
	// Reconfirm is how long a confirmation counts. Zero: for ever.
	Reconfirm time.Duration
	// ReplacementHold is how long a contact that was added without a fresh code waits before it counts.
	ReplacementHold time.Duration
	// RemindAuthenticator is how long after "later" an authenticator app is offered again. Zero: it is never offered, and
	// people can still set one up.
	RemindAuthenticator time.Duration
	// DeviceCode asks for a code on every browser that is not trusted, of people who have something to prove it with.
	DeviceCode bool
	// Trust is how long a browser that was ticked stays trusted.
	Trust Trust
	// LeftOut is the complement of the operator's rollout.
	LeftOut Share

	// Countries are those whose phone numbers are offered, and how; the first is the one to expect. Empty: no phones.
	Countries []Country
	// WithoutEmail: nothing carries e-mail.
	WithoutEmail bool
	// ProofWhole: who wants a code to a phone on file has to know all of its number, not only the last four digits.
	ProofWhole bool

	ExemptUsers   []string
	ExemptGroups  []string
	ExemptDomains []string

	Limits Limits
}

// Trusts tells whether a trusted browser is spared anything. Only then people are asked whether to trust one.
func (r *Rules) Trusts() bool { return r.DeviceCode || r.Reconfirm != 0 }

const day = 24 * time.Hour

// Defaults are the rules of an operator who sets none.
func Defaults() Rules {
	return Rules{
		Grace:           7 * day,
		Unseen:          14 * day,
		AskEvery:        day,
		Reconfirm:       180 * day,
		ReplacementHold: 72 * time.Hour,
		Trust:           Trust{For: 365 * day, Unused: 60 * day, Most: 20},

		RemindAuthenticator: 30 * day,

		Limits: DefaultLimits(),
	}
}

// Validate names everything that is wrong with the rules, each with its remedy.
func (r *Rules) Validate() error {
	var errs []error
	for _, d := range []struct {
		word  string
		value time.Duration
		least time.Duration
	}{
		{"grace", r.Grace, time.Second},
		{"unseen", r.Unseen, time.Second},
		{"ask_every", r.AskEvery, time.Second},
		{"replacement_hold", r.ReplacementHold, time.Second},
	} {
		if d.value < d.least {
			errs = append(errs, fmt.Errorf("%s %s: use at least %s", d.word, d.value, d.least))
		}
	}
	if r.Reconfirm != 0 && r.Reconfirm < time.Second {
		errs = append(errs, fmt.Errorf("reconfirm %s: use at least 1s, or off", r.Reconfirm))
	}
	if r.RemindAuthenticator != 0 && r.RemindAuthenticator < time.Second {
		errs = append(errs, fmt.Errorf("remind_authenticator %s: use at least 1s, or off", r.RemindAuthenticator))
	}
	errs = append(errs, r.Trust.validate())
	for _, d := range r.ExemptDomains {
		if name := strings.TrimPrefix(d, "*."); name == "" || strings.ContainsAny(name, "@/ *") {
			errs = append(errs, fmt.Errorf("exempt_domains %q: use a domain (example.edu) or all below one (*.example.edu)", d))
		}
	}
	return errors.Join(append(errs, r.Limits.Validate())...)
}

func (r *Rules) exemptDomain(domain string) bool { return InDomains(domain, r.ExemptDomains) }

// InDomains tells whether a domain is in a list. It compares without the case of ASCII letters; "*.edu.example" covers
// every domain below edu.example, not itself. Unicode's folding would take a Kelvin sign for a K, which is another domain.
func InDomains(domain string, list []string) bool {
	domain = foldASCII(domain)
	for _, d := range list {
		d = foldASCII(d)
		if below, ok := strings.CutPrefix(d, "*"); ok {
			if len(domain) > len(below) && strings.HasSuffix(domain, below) {
				return true
			}
		} else if d == domain {
			return domain != ""
		}
	}
	return false
}
