package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

var seed = Seed("12345678901234567890")

// stepAt is the time step of a moment.
func stepAt(t time.Time) int64 { return t.Unix() / 30 }

// codeOf is what somebody typed who has the app's code of these steps; the seed has to be the one of the tests.
func codeOf(steps ...int64) Answer {
	return Answer{Name: fmt.Append(nil, steps), Right: func(s Seed, step int64) bool {
		for _, want := range steps {
			if step == want && bytes.Equal(s, seed) {
				return true
			}
		}
		return false
	}}
}

func recoveryCode(hash string) Answer {
	n := codeOf()
	n.Recovery, n.Name = []byte(hash), []byte(hash)
	return n
}

// neverCompared fails the test when a code is compared although no try was allowed.
func neverCompared(t *testing.T) Answer {
	t.Helper()
	return Answer{Right: func(Seed, int64) bool { t.Helper(); t.Error("compared, though no try was allowed"); return true },
		Recovery: []byte("r1")}
}

// prompted is an account with an app, whose page for a code is open in this browser.
func prompted() *Account {
	return &Account{User: "tom",
		Authenticator: Authenticator{Seed: seed, Enrolled: ago(day), Recovery: [][]byte{[]byte("r1"), []byte("r2"), []byte("r3")}},
		Challenge:     &Challenge{Nonce: []byte("n"), Channel: ByAuthenticator, Session: here, Started: noon, Ends: ahead(12 * time.Hour)}}
}

// L03: one step to each side, and never an older one after a newer one.
func TestWhichStepsOfAnAppAreTaken(t *testing.T) {
	l, current := DefaultLimits(), stepAt(noon)
	for _, c := range []struct {
		name  string
		used  int64
		steps []int64
		at    time.Time
		want  Outcome
		last  int64
	}{
		{"this step", 0, []int64{current}, noon, Accepted, current},
		{"this step, at its last moment", 0, []int64{current}, ahead(30*time.Second - tick), Accepted, current},
		{"the step before", 0, []int64{current - 1}, noon, Accepted, current - 1},
		{"the step before, at the last moment", 0, []int64{current - 1}, ahead(30*time.Second - tick), Accepted, current - 1},
		{"the step before, a moment later", 0, []int64{current - 1}, ahead(30 * time.Second), WrongCode, 0},
		{"the step after", 0, []int64{current + 1}, noon, Accepted, current + 1},
		{"two before", 0, []int64{current - 2}, noon, WrongCode, 0},
		{"two after", 0, []int64{current + 2}, noon, WrongCode, 0},
		{"the same again", current, []int64{current}, noon, Used, current},
		{"the same again, a step later", current, []int64{current}, ahead(30 * time.Second), Used, current},
		{"an older one after a newer one", current + 1, []int64{current}, noon, Used, current + 1},
		{"the oldest after the one between", current, []int64{current - 1}, noon, Used, current},
		{"the newer one after an older one", current - 1, []int64{current}, noon, Accepted, current},
		{"one code of two steps uses up both", 0, []int64{current - 1, current + 1}, noon, Accepted, current + 1},
		{"one code of two steps, the older one used", current - 1, []int64{current - 1, current}, noon, Accepted, current},
		{"none", 0, nil, noon, WrongCode, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := prompted()
			a.Authenticator.LastStep = c.used
			got := a.AttemptAuthenticator(here, next, codeOf(c.steps...), l, c.at)
			if got.Outcome != c.want || a.Authenticator.LastStep != c.last {
				t.Errorf("%+v with last step %+d, want %d and %+d", got, a.Authenticator.LastStep-current, c.want, c.last-current)
			}
			counted := 1
			if c.want == Accepted {
				counted = 0
			}
			if a.Authenticator.WrongInARow != counted {
				t.Errorf("%d counted, want %d", a.Authenticator.WrongInARow, counted)
			}
		})
	}
}

func TestAppCodesAtEveryEdge(t *testing.T) {
	l, current := DefaultLimits(), codeOf(stepAt(noon))
	for _, c := range []struct {
		name    string
		change  func(a *Account)
		session []byte
		at      time.Time
		want    Result
	}{
		{"in time", func(*Account) {}, here, noon, Result{Outcome: Accepted}},
		{"another browser", func(*Account) {}, elsewhere, noon, Result{Outcome: Elsewhere}},
		{"no session", func(*Account) {}, nil, noon, Result{Outcome: Elsewhere}},
		{"no session, and none that asked", func(a *Account) { a.Challenge.Session = nil }, nil, noon, Result{Outcome: Elsewhere}},
		{"no prompt", func(a *Account) { a.Challenge = nil }, here, noon, Result{Outcome: NoCode}},
		{"a code of a contact is asked for", func(a *Account) { a.Challenge.Channel = ByEmail }, here, noon, Result{Outcome: NoCode}},
		{"no app", func(a *Account) { a.Authenticator.Seed = nil }, here, noon, Result{Outcome: NoCode}},
		{"the page is too old", func(*Account) {}, here, ahead(12 * time.Hour), Result{Outcome: Expired}},
		{"four wrong", func(a *Account) { a.Authenticator.Wrong = 4 }, here, noon, Result{Outcome: Accepted}},
		{"paused", func(a *Account) { a.Authenticator.PausedUntil = ahead(tick) }, here, noon, Result{Outcome: TooMany, Wait: tick}},
		{"the pause ends now", func(a *Account) { a.Authenticator.PausedUntil = noon }, here, noon, Result{Outcome: Accepted}},
		{"99 in a row", func(a *Account) { a.Authenticator.WrongInARow = 99 }, here, noon, Result{Outcome: Accepted}},
		{"100 in a row", func(a *Account) { a.Authenticator.WrongInARow = 100 }, here, noon, Result{Outcome: Stopped}},
		{"100 in a row, much later", func(a *Account) { a.Authenticator.WrongInARow, a.Challenge.Ends = 100, ahead(3*365*day) }, here, ahead(2 * 365 * day), Result{Outcome: Stopped}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := prompted()
			c.change(a)
			n := current
			if c.want.Outcome != Accepted {
				n = neverCompared(t)
			}
			if got := a.AttemptAuthenticator(c.session, next, n, l, c.at); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// L04: five wrong ones, then a pause; a hundred in a row, then nothing until an operator acts. Recovery codes count too.
func TestWrongAppCodesPauseAndThenStop(t *testing.T) {
	a, l, now := prompted(), DefaultLimits(), noon
	for round := range 20 {
		for left := 4; left >= 0; left-- {
			n := codeOf()
			if left%2 == 0 {
				n = recoveryCode("r9")
			}
			if got := a.AttemptAuthenticator(here, next, n, l, now); got != (Result{Outcome: WrongCode, Left: left}) {
				t.Fatalf("round %d: %+v, want %d left", round, got, left)
			}
		}
		want := Result{Outcome: TooMany, Wait: 5 * time.Minute}
		if round == 19 {
			want = Result{Outcome: Stopped}
		}
		if got := a.AttemptAuthenticator(here, next, neverCompared(t), l, now); got != want {
			t.Fatalf("after round %d: %+v, want %+v", round, got, want)
		}
		now = now.Add(5 * time.Minute)
	}
	a.Challenge.Ends = ahead(400 * day)
	if got := a.AttemptAuthenticator(here, next, neverCompared(t), l, ahead(365*day)); got.Outcome != Stopped {
		t.Fatalf("a year later: %+v", got)
	}
	if _, stopped := a.AuthenticatorWait(now); !stopped {
		t.Error("not said to be stopped")
	}
	if !a.LiftAuthenticator() || a.LiftAuthenticator() {
		t.Error("an operator lifts it once")
	}
	if got := a.AttemptAuthenticator(here, next, codeOf(stepAt(now)), l, now); got.Outcome != Accepted {
		t.Errorf("after an operator acted: %+v", got)
	}
}

func TestARightAppCodeStartsTheCountAnew(t *testing.T) {
	a, l := prompted(), DefaultLimits()
	a.Authenticator.Wrong, a.Authenticator.WrongInARow = 4, 99
	if got := a.AttemptAuthenticator(here, next, codeOf(stepAt(noon)), l, noon); got.Outcome != Accepted {
		t.Fatalf("%+v", got)
	}
	x := a.Authenticator
	if x.Wrong != 0 || x.WrongInARow != 0 || !x.PausedUntil.IsZero() {
		t.Errorf("counted still: %+v", x)
	}
}

func TestARecoveryCodeWorksOnce(t *testing.T) {
	a, l := prompted(), DefaultLimits()
	if got := a.AttemptAuthenticator(here, next, recoveryCode("r2"), l, noon); got.Outcome != Accepted || len(a.Authenticator.Recovery) != 2 {
		t.Fatalf("%+v with %d left", got, len(a.Authenticator.Recovery))
	}
	if a.Authenticator.LastStep != 0 {
		t.Error("a recovery code used up a step of the app")
	}
	if got := a.AttemptAuthenticator(next, next, recoveryCode("r2"), l, noon); got.Outcome != AcceptedAgain || len(a.Authenticator.Recovery) != 2 {
		t.Errorf("the double click: %+v with %d left", got, len(a.Authenticator.Recovery))
	}
	a.PromptAuthenticator(next, []byte("n2"), "/", noon)
	if got := a.AttemptAuthenticator(next, here, recoveryCode("r2"), l, noon); got.Outcome != WrongCode {
		t.Errorf("the same one for another prompt: %+v", got)
	}
	for _, none := range []string{"", "r", "r22"} {
		if got := a.AttemptAuthenticator(next, here, recoveryCode(none), l, noon); got.Outcome != WrongCode {
			t.Errorf("%q: %+v", none, got)
		}
	}
}

// Rule 6: the double click gets the same answer, and that is all it gets. L01: for another prompt the code is used.
func TestAnAppCodeCountsOnce(t *testing.T) {
	a, l, n := prompted(), DefaultLimits(), codeOf(stepAt(noon))
	if got := a.AttemptAuthenticator(here, next, n, l, noon); got.Outcome != Accepted {
		t.Fatalf("%+v", got)
	}
	before := a.Authenticator.LastStep
	for name, session := range map[string][]byte{"the old cookie": here, "the new cookie": next} {
		if got := a.AttemptAuthenticator(session, []byte("session-3"), n, l, ahead(59*time.Second)); got.Outcome != AcceptedAgain {
			t.Errorf("the double click with %s: %+v", name, got)
		}
	}
	if got := a.AttemptAuthenticator(here, next, codeOf(stepAt(noon)+1), l, noon); got.Outcome != NoCode {
		t.Errorf("another right code for the same prompt: %+v", got)
	}
	if got := a.AttemptAuthenticator(here, next, n, l, ahead(time.Minute)); got.Outcome != NoCode {
		t.Errorf("a minute later: %+v", got)
	}
	if got := a.AttemptAuthenticator(elsewhere, next, n, l, noon); got.Outcome != Elsewhere {
		t.Errorf("in another browser: %+v", got)
	}
	if a.Authenticator.LastStep != before || !a.IsFresh(next, ahead(10*time.Minute-tick)) || a.IsFresh(next, ahead(10*time.Minute)) {
		t.Errorf("changed something: %+v", a.Authenticator)
	}
	if got := a.PromptAuthenticator(elsewhere, []byte("n2"), "/", ahead(time.Second)); got != Started {
		t.Fatalf("a second session: %d", got)
	}
	if got := a.AttemptAuthenticator(elsewhere, next, n, l, ahead(time.Second)); got.Outcome != Used {
		t.Errorf("in a second session: %+v", got)
	}
}

func TestAnAppCodeMakesTheBrowserFreshAndNothingVerified(t *testing.T) {
	a := prompted()
	a.Contacts = []Contact{{ID: "c1", Kind: Email, Address: "tom@example.com"}}
	if a.IsFresh(here, noon) {
		t.Fatal("fresh before")
	}
	a.AttemptAuthenticator(here, next, codeOf(stepAt(noon)), DefaultLimits(), noon)
	if !a.IsFresh(next, ahead(10*time.Minute-tick)) || a.IsFresh(next, ahead(10*time.Minute)) || a.IsFresh(here, noon) || a.IsFresh(nil, noon) {
		t.Error("fresh in the session that goes on, for ten minutes")
	}
	if a.IsFreshByContact(next, noon) {
		t.Error("it is no code of a contact")
	}
	if a.EverVerified || !a.Contacts[0].Verified.IsZero() || !a.Facts(noon).Confirmed.IsZero() {
		t.Errorf("it verified something: %+v", a)
	}
}

func TestAskingForTheApp(t *testing.T) {
	a := prompted()
	a.Challenge = &Challenge{Nonce: []byte("mail"), Channel: ByEmail, Contact: "c1", Session: here, Ends: ahead(time.Minute), SendID: "s1"}
	a.Outbox = []Send{{ID: "s1", Kind: SendCode, Ends: ahead(time.Minute)}, {ID: "s2", Kind: SendNotice, Ends: ahead(time.Minute)}}
	if got := a.PromptAuthenticator(here, []byte("n1"), "/inbox", noon); got != Started {
		t.Fatalf("%d", got)
	}
	if len(a.Outbox) != 1 || a.Outbox[0].Kind != SendNotice {
		t.Errorf("a code that is of no more use is still to be sent: %+v", a.Outbox)
	}
	if a.Challenge.Return != "/inbox" || a.Challenge.Target(a) != nil || a.Challenge.Channel != ByAuthenticator {
		t.Errorf("%+v", a.Challenge)
	}
	if got := a.Attempt(here, right, DefaultLimits(), noon); got.Outcome != NoCode {
		t.Errorf("a code of a contact for the prompt of the app: %+v", got)
	}
	if got := a.PromptAuthenticator(here, []byte("n2"), "", noon); got != Underway || string(a.Challenge.Nonce) != "n1" {
		t.Errorf("asked for twice: %d, %q", got, a.Challenge.Nonce)
	}
	if got := a.PromptAuthenticator(elsewhere, []byte("n3"), "", noon); got != Started {
		t.Errorf("in another browser: %d", got)
	}
	if got := (&Account{}).PromptAuthenticator(here, []byte("n"), "", noon); got != Gone {
		t.Errorf("without an app: %d", got)
	}
}

// fresh is an account whose contact was confirmed in this browser just now.
func fresh() *Account {
	return &Account{User: "tom", EverVerified: true, Entered: []Entry{{Session: here, At: noon, By: "c1"}},
		Contacts: []Contact{{ID: "c1", Kind: Email, Address: "tom@example.com", Verified: noon}}}
}

func set(batch string) Recovery {
	return Recovery{Hashes: [][]byte{[]byte(batch + "1"), []byte(batch + "2")}, Batch: []byte(batch)}
}

func TestEnrollingAnApp(t *testing.T) {
	a, l := fresh(), DefaultLimits()
	if got := a.BeginEnrolment(here, seed, noon).Outcome; got != Started || a.HasAuthenticator() {
		t.Fatalf("begun: %d, has one: %t", got, a.HasAuthenticator())
	}
	if got := a.BeginEnrolment(here, Seed("another"), ahead(time.Minute)).Outcome; got != Underway || !bytes.Equal(a.Enrolling(here, noon).Seed, seed) {
		t.Errorf("the same seed is shown again: %d", got)
	}
	if got := a.ConfirmEnrolment(here, codeOf(), set("b"), l, noon); got != (Result{Outcome: WrongCode, Left: 4}) || a.HasAuthenticator() {
		t.Errorf("a wrong code: %+v", got)
	}
	if got := a.ConfirmEnrolment(elsewhere, codeOf(stepAt(noon)), set("b"), l, noon); got.Outcome != Expired || a.HasAuthenticator() {
		t.Errorf("another browser: %+v", got)
	}
	at := ahead(15*time.Minute - tick)
	if got := a.ConfirmEnrolment(here, codeOf(stepAt(at)), set("b"), l, at); got.Outcome != Accepted || !a.HasAuthenticator() {
		t.Fatalf("the right code: %+v", got)
	}
	x := a.Authenticator
	if x.Pending != nil || len(x.Recovery) != 2 || !x.Enrolled.Equal(at) || x.LastStep != stepAt(at) || x.WrongInARow != 0 {
		t.Errorf("enrolled: %+v", x)
	}
	if got := a.ConfirmEnrolment(here, codeOf(stepAt(at)), set("b"), l, at.Add(59*time.Second)); got.Outcome != AcceptedAgain {
		t.Errorf("the double click: %+v", got)
	}
	for name, again := range map[string]Result{
		"the form a minute later": a.ConfirmEnrolment(here, codeOf(stepAt(at)), set("b"), l, at.Add(time.Minute)),
		"another form":            a.ConfirmEnrolment(here, codeOf(stepAt(at)), set("c"), l, at),
		"a form without a name":   a.ConfirmEnrolment(here, codeOf(stepAt(at)), Recovery{}, l, at),
	} {
		if again.Outcome != Enrolled {
			t.Errorf("%s: %+v", name, again)
		}
	}
	if string(a.Authenticator.Recovery[0]) != "b1" {
		t.Error("the recovery codes were replaced")
	}
	a.PromptAuthenticator(here, []byte("n"), "", at)
	if got := a.AttemptAuthenticator(here, next, codeOf(stepAt(at)), l, at); got.Outcome != Used {
		t.Errorf("the code that enrolled the app: %+v", got)
	}
}

// L05: what was begun and left is no factor.
func TestAnAbandonedEnrolmentLeavesNoFactor(t *testing.T) {
	a, l := fresh(), DefaultLimits()
	a.BeginEnrolment(here, seed, noon)
	end := ahead(15 * time.Minute)
	if a.Enrolling(here, end) != nil || a.Enrolling(elsewhere, noon) != nil || a.Enrolling(nil, noon) != nil {
		t.Error("shown after its end, or to another browser")
	}
	if got := a.ConfirmEnrolment(here, codeOf(stepAt(end)), set("b"), l, end); got.Outcome != Expired || a.HasAuthenticator() {
		t.Errorf("confirmed after its end: %+v", got)
	}
	if got := a.PromptAuthenticator(here, []byte("n"), "", noon); got != Gone {
		t.Errorf("asked for: %d", got)
	}
	a.Entered = []Entry{{Session: here, At: noon, By: ByAuthenticatorApp}}
	if a.IsFresh(here, noon) {
		t.Error("fresh by an app that is not there")
	}
	if got := a.BeginEnrolment(elsewhere, Seed("another"), end).Outcome; got != NotFresh {
		t.Errorf("begun without a code: %d", got)
	}
}

func TestEnrollingTakesAFreshCode(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *Account)
		want   Outcome
	}{
		"fresh":                  {func(*Account) {}, Started},
		"a little too late":      {func(a *Account) { a.Entered[0].At = ago(10 * time.Minute) }, NotFresh},
		"in another browser":     {func(a *Account) { a.Entered[0].Session = elsewhere }, NotFresh},
		"never entered one":      {func(a *Account) { a.Entered = nil }, NotFresh},
		"there is an app":        {func(a *Account) { a.Authenticator.Seed = seed }, Enrolled},
		"never, and then wanted": {func(a *Account) { a.Authenticator.Never = true }, Started},
	} {
		a := fresh()
		c.change(a)
		if got := a.BeginEnrolment(here, seed, noon).Outcome; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestNewRecoveryCodes(t *testing.T) {
	a := prompted()
	if got := a.RenewRecovery(here, set("b"), noon).Outcome; got != NotFresh || string(a.Authenticator.Recovery[0]) != "r1" {
		t.Errorf("without a fresh code: %d", got)
	}
	a.Entered = []Entry{{Session: here, At: noon, By: ByAuthenticatorApp}} // the app will do
	if got := a.RenewRecovery(here, set("b"), noon).Outcome; got != Accepted || string(a.Authenticator.Recovery[0]) != "b1" || len(a.Authenticator.Recovery) != 2 {
		t.Errorf("%d, %q", got, a.Authenticator.Recovery)
	}
	if got := a.RenewRecovery(here, set("b"), ahead(59*time.Second)).Outcome; got != AcceptedAgain {
		t.Errorf("the double click: %d", got)
	}
	if got := a.RenewRecovery(here, set("b"), ahead(time.Minute)).Outcome; got != Accepted {
		t.Errorf("the same form, later: %d", got)
	}
	if got := fresh().RenewRecovery(here, set("b"), noon).Outcome; got != Gone {
		t.Errorf("without an app: %d", got)
	}
}

// Each of these is told to every contact, so nobody may do them over and over. To get rid of an app nobody is kept waiting:
// whoever has it could use up the changes.
func TestChangesOfAnAppAreLimited(t *testing.T) {
	made := func(a *Account) *Account {
		a.Entered = []Entry{{Session: here, At: noon, By: "c1"}}
		a.Changes = make(Tally, 19)
		fill(a.Changes, ago(time.Hour))
		return a
	}
	a := made(fresh())
	a.Authenticator = prompted().Authenticator
	if got := a.RenewRecovery(here, set("b"), noon); got.Outcome != Accepted {
		t.Errorf("the 20th change: %+v", got)
	}
	if got := a.RenewRecovery(here, set("b"), noon); got.Outcome != AcceptedAgain || len(a.Changes) != 20 {
		t.Errorf("the double click: %+v, %d changes", got, len(a.Changes))
	}
	if got := a.RenewRecovery(here, set("c"), noon); got.Outcome != TooMany || got.Wait != 23*time.Hour || string(a.Authenticator.Recovery[0]) != "b1" {
		t.Errorf("the 21st: %+v", got)
	}
	if got := a.RemoveAuthenticator(here, noon); got != Accepted {
		t.Errorf("removing it: %d", got)
	}
	if got := a.BeginEnrolment(here, seed, noon); got.Outcome != TooMany || got.Wait != 23*time.Hour || a.Authenticator.Pending != nil {
		t.Errorf("another one: %+v", got)
	}
	a = made(fresh())
	for i, want := range []Outcome{Started, Underway} {
		if got := a.BeginEnrolment(here, seed, noon); got.Outcome != want || len(a.Changes) != 20 {
			t.Errorf("begun %d times: %+v, %d changes", i+1, got, len(a.Changes))
		}
	}
}

// L06: what removes the app is another factor.
func TestRemovingAnAppTakesACodeOfAContact(t *testing.T) {
	a := fresh()
	a.Authenticator = prompted().Authenticator
	a.Challenge = prompted().Challenge
	a.Entered = []Entry{{Session: here, At: noon, By: ByAuthenticatorApp}}
	if got := a.RemoveAuthenticator(here, noon); got != NotFresh || !a.HasAuthenticator() {
		t.Errorf("with a code of the app itself: %d", got)
	}
	a.Entered = []Entry{{Session: here, At: noon, By: "c1"}}
	if got := a.RemoveAuthenticator(elsewhere, noon); got != NotFresh {
		t.Errorf("in another browser: %d", got)
	}
	if got := a.RemoveAuthenticator(here, ahead(10*time.Minute)); got != NotFresh {
		t.Errorf("too late: %d", got)
	}
	if got := a.RemoveAuthenticator(here, noon); got != Accepted || a.HasAuthenticator() || a.Challenge != nil || len(a.Authenticator.Recovery) != 0 {
		t.Errorf("%d: %+v", got, a.Authenticator)
	}
	if got := a.RemoveAuthenticator(here, noon); got != Gone {
		t.Errorf("twice: %d", got)
	}
}

// Whoever found the phone can add an address of their own with a code of the app. It is of no use against the app until the
// others have had as long to object as to a contact on hold, and neither is one that is added with it.
func TestAContactThatTheAppLetInDoesNotTakeItAway(t *testing.T) {
	const hold = 72 * time.Hour
	for _, c := range []struct {
		name   string
		change func(a *Account)
		want   time.Time // when a code of it takes the app away
	}{
		{"added with a code of the app", func(*Account) {}, ahead(hold)},
		{"added with a code of another contact", func(a *Account) { a.Entered[0].By = "c1" }, time.Time{}},
		{"added with a code of one that the app let in", func(a *Account) { a.Entered[0].By, a.Contacts[0].VouchesFrom = "c1", ahead(tick) }, ahead(hold)},
		{"added with a code of one that the app let in long ago", func(a *Account) { a.Entered[0].By, a.Contacts[0].VouchesFrom = "c1", noon }, time.Time{}},
		{"the first that there ever was", func(a *Account) { a.EverVerified = false }, time.Time{}},
		{"the sign-in named it late", func(a *Account) {
			a.Contacts = append(a.Contacts, *a.Challenge.Adding)
			a.Contacts[1].Late, a.Challenge.Adding, a.Challenge.Contact = true, nil, "new"
		}, ahead(hold)},
		{"the sign-in named it meanwhile", func(a *Account) {
			a.Contacts = append(a.Contacts, *a.Challenge.Adding)
			a.Contacts[1].Late = true
		}, ahead(hold)},
		{"it was on file before, and is confirmed for the first time", func(a *Account) {
			a.Contacts = append(a.Contacts, *a.Challenge.Adding)
		}, time.Time{}},
	} {
		a := fresh()
		a.Authenticator = prompted().Authenticator
		a.Entered[0].By = ByAuthenticatorApp
		a.Challenge = &Challenge{Adding: &Contact{ID: "new", Kind: Email, Address: "new@example.com"}, AddedFresh: true, Session: here, Done: noon, Ends: ahead(time.Minute)}
		c.change(a)
		got, tell := a.Confirm(next, hold, noon)
		if !got.VouchesFrom.Equal(c.want) || !got.HoldUntil.IsZero() || !a.IsFresh(next, noon) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if len(tell) == 0 && got.Late {
			t.Errorf("%s: nobody is told", c.name)
		}
		if !c.want.IsZero() {
			if o := a.RemoveAuthenticator(next, noon); o != NotFresh || !a.HasAuthenticator() {
				t.Errorf("%s: it takes the app away: %d", c.name, o)
			}
			a.Entered = []Entry{{Session: next, At: c.want.Add(-tick), By: "new"}}
			if a.IsFreshByContact(next, c.want.Add(-tick)) {
				t.Errorf("%s: too early", c.name)
			}
		}
		a.Entered = []Entry{{Session: next, At: ahead(hold), By: "new"}}
		if o := a.RemoveAuthenticator(next, ahead(hold)); o != Accepted {
			t.Errorf("%s: in the end: %d", c.name, o)
		}
	}
}

func TestWhenAnAppIsOffered(t *testing.T) {
	r := Defaults()
	for _, c := range []struct {
		name   string
		change func(a *Account)
		at     time.Time
		want   bool
	}{
		{"at first", func(*Account) {}, noon, true},
		{"an app is enrolled", func(a *Account) { a.Authenticator.Seed = seed }, noon, false},
		{"later, just now", func(a *Account) { a.DeclineAuthenticator(false, noon) }, noon, false},
		{"later, almost 30 days ago", func(a *Account) { a.DeclineAuthenticator(false, noon) }, ahead(30*day - tick), false},
		{"later, 30 days ago", func(a *Account) { a.DeclineAuthenticator(false, noon) }, ahead(30 * day), true},
		{"later, said by a clock that is ahead", func(a *Account) { a.DeclineAuthenticator(false, ahead(time.Hour)) }, noon, false},
		{"not needed, long ago", func(a *Account) { a.DeclineAuthenticator(true, noon) }, ahead(3 * 365 * day), false},
		{"not needed, then opened and put off", func(a *Account) { a.DeclineAuthenticator(true, noon); a.DeclineAuthenticator(false, noon) }, ahead(365 * day), false},
		{"begun and left", func(a *Account) { a.BeginEnrolment(here, seed, noon) }, ahead(time.Hour), true},
		{"removed just now", func(a *Account) { a.Authenticator.Seed = seed; a.RemoveAuthenticator(here, noon) }, ahead(day), false},
		{"removed 30 days ago", func(a *Account) { a.Authenticator.Seed = seed; a.RemoveAuthenticator(here, noon) }, ahead(30 * day), true},
	} {
		a := fresh()
		c.change(a)
		if got := r.OffersAuthenticator(a, c.at); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	r.RemindAuthenticator = 0
	if r.OffersAuthenticator(fresh(), noon) {
		t.Error("offered although it is off")
	}
	a := prompted()
	if a.DeclineAuthenticator(true, noon) || a.Authenticator.Never {
		t.Error("who has an app cannot say that they need none")
	}
}

func TestReadAppCode(t *testing.T) {
	for typed, want := range map[string]AppCode{
		"123456":                      {Digits: "123456"},
		"123 456":                     {Digits: "123456"},
		"123-456":                     {Digits: "123456"},
		" １２３　４５６ ":                   {Digits: "123456"},
		"١٢٣٤٥٦":                      {Digits: "123456"},
		"K7M2Q-9XW4D":                 {Recovery: "K7M2Q9XW4D"},
		"k7m2q9xw4d":                  {Recovery: "K7M2Q9XW4D"},
		" Ｋ７Ｍ２Ｑー９ＸＷ４Ｄ\n":              {Recovery: "K7M2Q9XW4D"},
		"oIl00-00000":                 {Recovery: "0110000000"},
		"123456ABCD":                  {Digits: "123456", Recovery: "123456ABCD"},
		"1234567890":                  {Recovery: "1234567890"},
		"12345":                       {},
		"1234567":                     {},
		"K7M2Q-9XW4U":                 {}, // U is not in the alphabet
		"K7M2Q-9XW4":                  {},
		"------":                      {},
		"x":                           {},
		"Ä7M2Q9XW4":                   {},
		string(make([]byte, 1<<20)):   {},
		"the code is 123456, I think": {Digits: "123456"},
	} {
		got, empty := ReadAppCode(typed)
		if got != want || empty {
			t.Errorf("%.30q: %+v, empty %t; want %+v", typed, got, empty, want)
		}
	}
	for _, typed := range []string{"", " ", "　\t\n"} {
		if _, empty := ReadAppCode(typed); !empty {
			t.Errorf("%q is not empty", typed)
		}
	}
}

func FuzzReadAppCode(f *testing.F) {
	for _, typed := range []string{"123 456", "K7M2Q-9XW4D", "１２３４５６", "\x00", "o0-Il", "٣", "\xff12345"} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, empty := ReadAppCode(typed)
		if code.Digits != "" && (len(code.Digits) != CodeDigits || strings.Trim(code.Digits, "0123456789") != "") ||
			code.Recovery != "" && (len(code.Recovery) != RecoveryLength || strings.Trim(code.Recovery, RecoveryAlphabet) != "") ||
			empty && code != (AppCode{}) {
			t.Errorf("%q: %+v, empty %t", typed, code, empty)
		}
		// What people make of a code on its way from the paper to the field does not matter.
		if again, _ := ReadAppCode(" " + strings.ToLower(code.Recovery) + " "); code.Recovery != "" && again.Recovery != code.Recovery {
			t.Errorf("%q and %q", code.Recovery, again.Recovery)
		}
	})
}

func TestASeedPrintsAsNothing(t *testing.T) {
	a := prompted()
	a.Authenticator.Pending = &Enrolment{Seed: seed}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(seed), fmt.Sprintf("%s %q %x %v %+v %#v %d", seed, seed, seed, seed, seed, seed, seed),
		fmt.Sprintf("%+v %#v", a, a), string(text), seed.LogValue().String(),
	} {
		for _, secret := range []string{"1234567890", "31323334", "49 50 51", "MTIzNDU2Nzg5MD"} {
			if bytes.Contains([]byte(printed), []byte(secret)) {
				t.Errorf("%q is in %s", secret, printed)
			}
		}
	}
}
