package policy

import (
	"errors"
	"fmt"
	"time"
)

// Limits are the figures of security.md. Operators may tighten them freely and loosen them up to a ceiling.
type Limits struct {
	CodeLifetime       time.Duration // of a mailed code; ceiling 24 h (10 min by text or call)
	CodeTries          int           // wrong codes per challenge
	WrongPerDay        int           // wrong codes per account in 24 h
	WrongInARow        int           // wrong codes in a row that stop a contact until an operator acts; ceiling 100
	ProofTries         int           // wrong whole addresses or numbers per contact in 24 h
	ProofTriesTotal    int           // and in all, counted anew after a right one
	ResendAfter        []time.Duration
	SendsPerHour       int // of an account
	SendsPerDay        int
	SendsPerAddress    int // per hour to a typed address, over all accounts
	SendsPerIP         int // per hour for a client IP (/64 for IPv6)
	TypedSendsPerIP    int // the same, to typed addresses
	TotalBudget        int // sends in all per UTC day
	Contacts           int // per account
	ContactsPerDay     int // new ones
	VoicePerDay        int
	CountryBudget      int
	AuthenticatorTries int
	Last4Tries         int
	Last4TriesTotal    int
}

// DefaultLimits are the figures of security.md.
func DefaultLimits() Limits {
	return Limits{
		CodeLifetime: 10 * time.Minute, CodeTries: 5, WrongPerDay: 20, WrongInARow: 100,
		ProofTries: 5, ProofTriesTotal: 15,
		ResendAfter:  []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute},
		SendsPerHour: 5, SendsPerDay: 10, SendsPerAddress: 5, SendsPerIP: 300, TypedSendsPerIP: 20,
		TotalBudget: 50000, Contacts: 10, ContactsPerDay: 5,
		VoicePerDay: 3, CountryBudget: 1000, AuthenticatorTries: 5, Last4Tries: 3, Last4TriesTotal: 5,
	}
}

// Validate refuses what would switch a limit off.
func (l Limits) Validate() error {
	var errs []error
	count := func(word string, n, most int) {
		if n < 1 || most > 0 && n > most {
			if most > 0 {
				errs = append(errs, fmt.Errorf("limits %s %d: use 1 to %d", word, n, most))
			} else {
				errs = append(errs, fmt.Errorf("limits %s %d: use at least 1", word, n))
			}
		}
	}
	if l.CodeLifetime < time.Second || l.CodeLifetime > day {
		errs = append(errs, fmt.Errorf("limits code_lifetime %s: use 1s to 24h", l.CodeLifetime))
	}
	// 5 of a million: the promise P3 is five guesses per code, so this one cannot be loosened.
	count("code_tries", l.CodeTries, 5)
	count("wrong_per_day", l.WrongPerDay, 0)
	count("wrong_in_a_row", l.WrongInARow, 100)
	count("proof_tries", l.ProofTries, 0)
	count("proof_tries_total", l.ProofTriesTotal, 0)
	count("sends_per_hour", l.SendsPerHour, 0)
	count("sends_per_day", l.SendsPerDay, 0)
	count("sends_per_address", l.SendsPerAddress, 0)
	count("sends_per_ip", l.SendsPerIP, 0)
	count("typed_sends_per_ip", l.TypedSendsPerIP, 0)
	count("total_budget", l.TotalBudget, 0)
	count("contacts", l.Contacts, 0)
	count("contacts_per_day", l.ContactsPerDay, 0)
	count("voice_per_day", l.VoicePerDay, 0)
	count("country_budget", l.CountryBudget, 0)
	count("authenticator_tries", l.AuthenticatorTries, 0)
	count("last4_tries", l.Last4Tries, 0)
	count("last4_tries_total", l.Last4TriesTotal, 0)
	if len(l.ResendAfter) == 0 {
		errs = append(errs, errors.New("limits resend_after: name at least one wait, such as 60s"))
	}
	for _, d := range l.ResendAfter {
		if d < time.Second {
			errs = append(errs, fmt.Errorf("limits resend_after %s: use at least 1s", d))
		}
	}
	return errors.Join(errs...)
}

// ResendWait is the wait after the nth send of a challenge; the last step of the ladder repeats.
func (l Limits) ResendWait(sent int) time.Duration {
	if sent < 1 {
		return 0
	}
	return l.ResendAfter[min(sent, len(l.ResendAfter))-1]
}

// Tally is the moments at which something that is limited happened, oldest first. Every limit is a sliding
// window over such moments: nothing starts anew at midnight.
type Tally []time.Time

// Wait is how long until one more is within most per window; zero: now.
func (t Tally) Wait(most int, window time.Duration, now time.Time) time.Duration {
	if most < 1 {
		return window // a limit that nobody set allows nothing
	}
	in := 0
	for i := len(t) - 1; i >= 0; i-- {
		// A moment after now was written by a clock that has since stepped back: it counts.
		if now.Sub(t[i]) >= window {
			break
		}
		if in++; in == most {
			return t[i].Add(window).Sub(now)
		}
	}
	return 0
}

// Left is how many more are within the limit now.
func (t Tally) Left(most int, window time.Duration, now time.Time) int {
	for _, at := range t {
		if now.Sub(at) < window {
			most--
		}
	}
	return max(most, 0)
}

// Add counts one now and forgets what is older than the window.
func (t Tally) Add(window time.Duration, now time.Time) Tally {
	first := 0
	for first < len(t) && now.Sub(t[first]) >= window {
		first++
	}
	next := make(Tally, 0, len(t)-first+1)
	next = append(next, t[first:]...)
	// A clock that stepped back must not make the list unordered: Wait reads it from its end.
	if n := len(next); n > 0 && now.Before(next[n-1]) {
		now = next[n-1]
	}
	return append(next, now)
}

// Undo takes the last one back: what was counted did not happen.
func (t Tally) Undo() Tally {
	if len(t) == 0 {
		return t
	}
	return t[:len(t)-1]
}

// Budget is a count that starts anew with each UTC day.
type Budget struct {
	Day   string
	Spent int
}

// Take spends one. The wait is how long until there is a new budget; zero means that it was spent.
func (b Budget) Take(most int, now time.Time) (Budget, time.Duration) {
	today := now.UTC().Format(time.DateOnly)
	// A day that is still to come was begun by a clock that is ahead. It goes on, or two clocks on both sides of
	// midnight would give each other a new budget at every send.
	if b.Day < today {
		b = Budget{Day: today}
	}
	if b.Spent >= most {
		return b, b.ends(now).Sub(now)
	}
	b.Spent++
	return b, 0
}

func (b Budget) ends(now time.Time) time.Time {
	if begun, err := time.Parse(time.DateOnly, b.Day); err == nil {
		return begun.Add(day)
	}
	return now.UTC().Truncate(day).Add(day)
}
