package policy

import (
	"strings"
	"testing"
	"time"
)

// noon is when most tests begin: no edge of anything.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func tally(ago ...time.Duration) Tally {
	var t Tally
	for _, d := range ago {
		t = append(t, noon.Add(-d))
	}
	return t
}

func TestTallyAllowsSoManyPerWindowAndNamesTheWait(t *testing.T) {
	for _, c := range []struct {
		name string
		t    Tally
		most int
		wait time.Duration
		left int
	}{
		{"nothing counted", nil, 3, 0, 3},
		{"one below the limit", tally(30*time.Minute, time.Minute), 3, 0, 1},
		{"at the limit", tally(50*time.Minute, 30*time.Minute, time.Minute), 3, 10 * time.Minute, 0},
		{"the oldest has just left the window", tally(time.Hour, 30*time.Minute, time.Minute), 3, 0, 1},
		{"the oldest is about to", tally(time.Hour-time.Millisecond, 30*time.Minute, time.Minute), 3, time.Millisecond, 0},
		{"all at one moment", tally(0, 0, 0), 3, time.Hour, 0},
		{"the limit was lowered", tally(50*time.Minute, 40*time.Minute, 20*time.Minute, time.Minute), 2, 40 * time.Minute, 0},
		{"the limit was raised", tally(50*time.Minute, 30*time.Minute, time.Minute), 4, 0, 1},
		{"a clock that was ahead wrote it: it counts", tally(-10 * time.Minute), 1, 70 * time.Minute, 0},
		{"no limit is no permission", nil, 0, time.Hour, 0},
		{"a limit below zero is no permission", tally(time.Minute), -1, time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.t.Wait(c.most, time.Hour, noon); got != c.wait {
				t.Errorf("Wait = %s, want %s", got, c.wait)
			}
			if got := c.t.Left(c.most, time.Hour, noon); got != c.left {
				t.Errorf("Left = %d, want %d", got, c.left)
			}
		})
	}
}

// Whatever the clock does, no window of real time that ends before the clock went back takes more than the limit,
// and the list stays in order and short.
func TestTallyWithAClockThatStepsBack(t *testing.T) {
	const most = 5
	var counted Tally
	now := noon
	for step := range 10_000 {
		switch {
		case step%97 == 0:
			now = now.Add(-time.Hour)
		case step%13 == 0:
			now = now.Add(20 * time.Minute)
		default:
			now = now.Add(30 * time.Second)
		}
		if counted.Wait(most, time.Hour, now) > 0 {
			continue
		}
		counted = counted.Add(time.Hour, now)
		for i := 1; i < len(counted); i++ {
			if counted[i].Before(counted[i-1]) {
				t.Fatalf("step %d: out of order: %v", step, counted)
			}
		}
		inWindow := 0
		for _, at := range counted {
			if now.Sub(at) < time.Hour {
				inWindow++
			}
		}
		if inWindow > most {
			t.Fatalf("step %d: %d in the window", step, inWindow)
		}
		if len(counted) > 2*most {
			t.Fatalf("step %d: the list grows: %d", step, len(counted))
		}
	}
}

func TestTallyUndoTakesBackOneOnly(t *testing.T) {
	all := tally(3*time.Minute, 2*time.Minute)
	if got := all.Undo(); len(got) != 1 || !got[0].Equal(all[0]) {
		t.Errorf("Undo = %v", got)
	}
	if got := Tally(nil).Undo(); len(got) != 0 {
		t.Errorf("Undo of nothing = %v", got)
	}
	longer := all.Add(time.Hour, noon)
	if len(all) != 2 || len(longer) != 3 {
		t.Errorf("Add changed what it was called on: %v, %v", all, longer)
	}
}

func TestBudgetOfADay(t *testing.T) {
	evening := time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC)
	take := func(b Budget, now time.Time) (Budget, time.Duration) { t.Helper(); return b.Take(2, now) }
	want := func(what string, got, wanted time.Duration) {
		t.Helper()
		if got != wanted {
			t.Errorf("%s: wait %s, want %s", what, got, wanted)
		}
	}
	b, wait := take(Budget{}, evening)
	want("first", wait, 0)
	b, wait = take(b, evening.Add(time.Second))
	want("second", wait, 0)
	_, wait = take(b, evening.Add(2*time.Second))
	want("third, until midnight UTC", wait, 58*time.Second)
	// Nodes have zones; the day has not.
	_, wait = take(b, evening.Add(2*time.Second).In(time.FixedZone("JST", 9*3600)))
	want("third, from Tokyo", wait, 58*time.Second)

	next := evening.Add(time.Minute)
	c, wait := take(b, next)
	want("next day", wait, 0)
	c, wait = take(c, next)
	want("next day, second", wait, 0)
	// Two clocks around midnight must not give each other new budgets.
	c, wait = take(c, evening)
	if wait < time.Minute {
		t.Errorf("clock stepped back over midnight: wait %s, want at least until the day that is being spent", wait)
	}
	if _, wait = take(c, next); wait == 0 {
		t.Error("stepping back and forth over midnight gave a new budget")
	}
	if _, wait := (Budget{}).Take(0, noon); wait == 0 {
		t.Error("a budget of nothing allowed one")
	}
}

func TestResendLadderRepeatsItsLastStep(t *testing.T) {
	l := DefaultLimits()
	for sent, want := range []time.Duration{0, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		if got := l.ResendWait(sent); got != want {
			t.Errorf("after %d sends: %s, want %s", sent, got, want)
		}
	}
	if got := l.ResendWait(-1); got != 0 {
		t.Errorf("before any: %s", got)
	}
}

func TestDefaultsAreThoseOfSecurityMD(t *testing.T) {
	r := Defaults()
	if err := r.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	l := r.Limits
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"grace", r.Grace, 7 * day}, {"unseen", r.Unseen, 14 * day}, {"ask_every", r.AskEvery, 24 * time.Hour},
		{"reconfirm", r.Reconfirm, 180 * day}, {"replacement_hold", r.ReplacementHold, 72 * time.Hour},
		{"code_lifetime", l.CodeLifetime, 10 * time.Minute}, {"code_tries", l.CodeTries, 5},
		{"wrong_per_day", l.WrongPerDay, 20}, {"wrong_in_a_row", l.WrongInARow, 100},
		{"proof_tries", l.ProofTries, 5}, {"proof_tries_total", l.ProofTriesTotal, 15},
		{"sends_per_hour", l.SendsPerHour, 5}, {"sends_per_day", l.SendsPerDay, 10},
		{"sends_per_address", l.SendsPerAddress, 5}, {"sends_per_ip", l.SendsPerIP, 300},
		{"typed_sends_per_ip", l.TypedSendsPerIP, 20}, {"contacts", l.Contacts, 10},
		{"contacts_per_day", l.ContactsPerDay, 5}, {"voice_per_day", l.VoicePerDay, 3},
		{"last4_tries", l.Last4Tries, 3}, {"last4_tries_total", l.Last4TriesTotal, 5},
		{"authenticator_tries", l.AuthenticatorTries, 5}, {"digits", CodeDigits, 6},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestLimitsCannotBeSwitchedOffNorLoosenedBeyondTheCeiling(t *testing.T) {
	for _, c := range []struct {
		word string
		set  func(l *Limits)
	}{
		{"code_lifetime", func(l *Limits) { l.CodeLifetime = 0 }},
		{"code_lifetime", func(l *Limits) { l.CodeLifetime = 24*time.Hour + time.Second }},
		{"code_tries", func(l *Limits) { l.CodeTries = 0 }},
		{"code_tries", func(l *Limits) { l.CodeTries = 6 }},
		{"wrong_per_day", func(l *Limits) { l.WrongPerDay = 0 }},
		{"wrong_in_a_row", func(l *Limits) { l.WrongInARow = 0 }},
		{"wrong_in_a_row", func(l *Limits) { l.WrongInARow = 101 }},
		{"proof_tries", func(l *Limits) { l.ProofTries = -1 }},
		{"proof_tries_total", func(l *Limits) { l.ProofTriesTotal = 0 }},
		{"resend_after", func(l *Limits) { l.ResendAfter = nil }},
		{"resend_after", func(l *Limits) { l.ResendAfter = []time.Duration{time.Minute, 0} }},
		{"sends_per_hour", func(l *Limits) { l.SendsPerHour = 0 }},
		{"sends_per_day", func(l *Limits) { l.SendsPerDay = 0 }},
		{"sends_per_address", func(l *Limits) { l.SendsPerAddress = 0 }},
		{"sends_per_ip", func(l *Limits) { l.SendsPerIP = 0 }},
		{"typed_sends_per_ip", func(l *Limits) { l.TypedSendsPerIP = 0 }},
		{"total_budget", func(l *Limits) { l.TotalBudget = 0 }},
		{"contacts ", func(l *Limits) { l.Contacts = 0 }},
		{"contacts_per_day", func(l *Limits) { l.ContactsPerDay = 0 }},
		{"voice_per_day", func(l *Limits) { l.VoicePerDay = 0 }},
		{"country_budget", func(l *Limits) { l.CountryBudget = 0 }},
		{"authenticator_tries", func(l *Limits) { l.AuthenticatorTries = 0 }},
		{"last4_tries ", func(l *Limits) { l.Last4Tries = 0 }},
		{"last4_tries_total", func(l *Limits) { l.Last4TriesTotal = 0 }},
	} {
		l := DefaultLimits()
		c.set(&l)
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), "limits "+c.word) {
			t.Errorf("%s: %v", c.word, err)
		}
	}
	// All at once, and the edges themselves are fine.
	zero := Limits{}
	if err := zero.Validate(); strings.Count(err.Error(), "limits ") != 20 {
		t.Errorf("not every word is named at once: %v", err)
	}
	edge := DefaultLimits()
	edge.CodeLifetime, edge.WrongInARow, edge.ResendAfter = 24*time.Hour, 100, []time.Duration{time.Second}
	if err := edge.Validate(); err != nil {
		t.Errorf("at the ceiling: %v", err)
	}
}

func TestRulesNameWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		want string
		set  func(r *Rules)
	}{
		{"grace 0s", func(r *Rules) { r.Grace = 0 }},
		{"unseen", func(r *Rules) { r.Unseen = -time.Hour }},
		{"ask_every", func(r *Rules) { r.AskEvery = time.Millisecond }},
		{"replacement_hold", func(r *Rules) { r.ReplacementHold = 0 }},
		{"reconfirm", func(r *Rules) { r.Reconfirm = time.Millisecond }},
		{"exempt_domains", func(r *Rules) { r.ExemptDomains = []string{"ann@example.edu"} }},
		{"exempt_domains", func(r *Rules) { r.ExemptDomains = []string{"*"} }},
		{"exempt_domains", func(r *Rules) { r.ExemptDomains = []string{"*edu.example"} }},
		{"exempt_domains", func(r *Rules) { r.ExemptDomains = []string{"*.*.example"} }},
		{"exempt_domains", func(r *Rules) { r.ExemptDomains = []string{"*."} }},
		{"exempt_domains", func(r *Rules) { r.ExemptDomains = []string{""} }},
	} {
		r := Defaults()
		c.set(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
	r := Defaults()
	r.Reconfirm = 0
	r.ExemptDomains = []string{"example.edu", "*.edu.example"}
	if err := r.Validate(); err != nil {
		t.Errorf("reconfirm off: %v", err)
	}
}

func TestModesAreRead(t *testing.T) {
	for _, m := range []Mode{Enforce, Remind, Observe} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if m, err := ParseMode("Enforce "); err == nil || m != Enforce {
		t.Errorf("an unknown mode: %v, %v", m, err)
	}
}
