package policy

import (
	"bytes"
	"testing"
	"time"
)

var (
	here      = []byte("session-1")
	next      = []byte("session-2")
	elsewhere = []byte("session-9")
	right     = func() bool { return true }
	wrong     = func() bool { return false }
)

// asked is an account with a live code of ten minutes for its one contact.
func asked() *Account {
	return &Account{User: "ann", Contacts: []Contact{{ID: "c1", Kind: Email, Address: "ann@example.com"}},
		Challenge: &Challenge{Contact: "c1", Channel: ByEmail, Session: here, Started: noon, Ends: ahead(10 * time.Minute), Sent: 1, LastSent: noon}}
}

func never(t *testing.T) func() bool {
	return func() bool { t.Helper(); t.Error("compared, though no try was allowed"); return true }
}

func TestAttemptAtEveryEdge(t *testing.T) {
	l := DefaultLimits()
	for _, c := range []struct {
		name    string
		change  func(a *Account)
		session []byte
		at      time.Time
		want    Result
	}{
		{"in time", func(*Account) {}, here, ahead(10*time.Minute - tick), Result{Outcome: Accepted}},
		{"ended now", func(*Account) {}, here, ahead(10 * time.Minute), Result{Outcome: Expired}},
		{"ended long ago", func(*Account) {}, here, ahead(day), Result{Outcome: Expired}},
		{"another browser", func(*Account) {}, elsewhere, noon, Result{Outcome: Elsewhere}},
		{"no session", func(*Account) {}, nil, noon, Result{Outcome: Elsewhere}},
		{"no session, and none that asked", func(a *Account) { a.Challenge.Session = nil }, nil, noon, Result{Outcome: Elsewhere}},
		{"the session to come, before the right code", func(a *Account) { a.Challenge.After = next }, next, noon, Result{Outcome: Elsewhere}},
		{"no code", func(a *Account) { a.Challenge = nil }, here, noon, Result{Outcome: NoCode}},
		{"the contact is gone", func(a *Account) { a.Contacts = nil }, here, noon, Result{Outcome: NoCode}},
		{"the contact was retired", func(a *Account) { a.Contacts[0].Retired = true }, here, noon, Result{Outcome: NoCode}},
		{"four wrong", func(a *Account) { a.Challenge.Wrong = 4 }, here, noon, Result{Outcome: Accepted}},
		{"five wrong", func(a *Account) { a.Challenge.Wrong = 5 }, here, noon, Result{Outcome: TriesUsed}},
		{"99 in a row", func(a *Account) { a.Contacts[0].WrongInARow = 99 }, here, noon, Result{Outcome: Accepted}},
		{"100 in a row", func(a *Account) { a.Contacts[0].WrongInARow = 100 }, here, noon, Result{Outcome: Stopped}},
		{"19 today", func(a *Account) { a.Wrong = make(Tally, 19); fill(a.Wrong, ago(time.Hour)) }, here, noon, Result{Outcome: Accepted}},
		{"20 today", func(a *Account) { a.Wrong = make(Tally, 20); fill(a.Wrong, ago(time.Hour)) }, here, noon, Result{Outcome: TooMany, Wait: 23 * time.Hour}},
		{"20 a day ago", func(a *Account) { a.Wrong = make(Tally, 20); fill(a.Wrong, ago(day)) }, here, noon, Result{Outcome: Accepted}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := asked()
			c.change(a)
			matches := right
			if c.want.Outcome != Accepted {
				matches = never(t)
			}
			if got := a.Attempt(c.session, matches, l, c.at); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func fill(t Tally, at time.Time) {
	for i := range t {
		t[i] = at
	}
}

func TestWrongCodesAreCountedBeforeTheyAreCompared(t *testing.T) {
	a, l := asked(), DefaultLimits()
	for left := 4; left >= 0; left-- {
		seen := 0
		got := a.Attempt(here, func() bool { seen = a.Challenge.Wrong; return false }, l, noon)
		if got != (Result{Outcome: WrongCode, Left: left}) || seen != 5-left {
			t.Fatalf("%+v with %d counted while comparing, want %d left", got, seen, left)
		}
	}
	if len(a.Wrong) != 5 || a.Contacts[0].WrongInARow != 5 {
		t.Errorf("counted: %d of the day, %d in a row", len(a.Wrong), a.Contacts[0].WrongInARow)
	}
	// The next code starts its own five; the others go on.
	a.Challenge = asked().Challenge
	a.Attempt(here, wrong, l, noon)
	if a.Challenge.Wrong != 1 || len(a.Wrong) != 6 || a.Contacts[0].WrongInARow != 6 {
		t.Errorf("%d, %d, %d", a.Challenge.Wrong, len(a.Wrong), a.Contacts[0].WrongInARow)
	}
	// A right one is not counted, and ends the row of wrong ones.
	if got := a.Attempt(here, right, l, noon); got.Outcome != Accepted {
		t.Fatal(got)
	}
	if a.Challenge.Wrong != 1 || len(a.Wrong) != 6 || a.Contacts[0].WrongInARow != 0 {
		t.Errorf("%d, %d, %d", a.Challenge.Wrong, len(a.Wrong), a.Contacts[0].WrongInARow)
	}
}

func TestTheLastTriesOfTheDayAreSaid(t *testing.T) {
	a, l := asked(), DefaultLimits()
	a.Wrong = make(Tally, 18)
	fill(a.Wrong, ago(time.Hour))
	for _, want := range []Result{{Outcome: WrongCode, Left: 1}, {Outcome: WrongCode, Left: 0}, {Outcome: TooMany, Wait: 23 * time.Hour}} {
		if got := a.Attempt(here, wrong, l, noon); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestAnAcceptedCodeIsAcceptedOnce(t *testing.T) {
	a, l := asked(), DefaultLimits()
	if got := a.Attempt(here, right, l, noon); got.Outcome != Accepted {
		t.Fatal(got)
	}
	a.Confirm(next, 72*time.Hour, noon)
	for _, c := range []struct {
		name    string
		session []byte
		matches func() bool
		at      time.Time
		want    Outcome
	}{
		{"posted again", here, right, ahead(time.Second), AcceptedAgain},
		{"posted again from the other tab, whose cookie is new", next, right, ahead(time.Second), AcceptedAgain},
		{"from another browser", elsewhere, never(t), ahead(time.Second), Elsewhere},
		{"after its end", here, never(t), ahead(10 * time.Minute), NoCode},
		{"a wrong one after it", here, wrong, ahead(time.Second), NoCode},
		{"the right one after a wrong one", here, never(t), ahead(time.Second), NoCode},
	} {
		before := *a.Challenge
		if got := a.Attempt(c.session, c.matches, l, c.at); got.Outcome != c.want {
			t.Errorf("%s: %d, want %d", c.name, got.Outcome, c.want)
		}
		if a.Challenge.Wrong != before.Wrong || !a.Challenge.Done.Equal(before.Done) || len(a.Wrong) != 0 {
			t.Errorf("%s: it changed something", c.name)
		}
	}
	if a.Challenge.Live(noon) {
		t.Error("a done code lives")
	}
}

func TestConfirmMarksItsContactAndNothingElse(t *testing.T) {
	a := asked()
	a.Contacts = append(a.Contacts, Contact{ID: "c2", Kind: Email, Address: "other@example.com"}, Contact{ID: "c3", Kind: Email, Address: "x@example.com", HoldUntil: ahead(day), Verified: ago(day)})
	c, tell := a.Confirm(next, 72*time.Hour, noon)
	if c.ID != "c1" || !c.Verified.Equal(noon) || len(tell) != 0 || !a.EverVerified {
		t.Errorf("%+v, told %d", c, len(tell))
	}
	if !a.Contacts[1].Verified.IsZero() || !a.Contacts[2].Verified.Equal(ago(day)) {
		t.Error("another contact changed")
	}
	if !a.IsFresh(next, noon) || a.IsFresh(here, noon) || a.IsFresh(elsewhere, noon) || a.IsFresh(nil, noon) {
		t.Error("the browser that goes on, and no other, has entered a code")
	}
	if (&Account{Entered: []Entry{{At: noon}}}).IsFresh(nil, noon) {
		t.Error("no session is nobody's")
	}
	if !a.IsFresh(next, ahead(10*time.Minute-tick)) || a.IsFresh(next, ahead(10*time.Minute)) {
		t.Error("fresh for ten minutes")
	}
	if a.Challenge.After == nil || !bytes.Equal(a.Challenge.After, next) {
		t.Error("the next session is not known")
	}
}

func adding(a *Account, fresh bool) *Account {
	a.Challenge.Contact, a.Challenge.AddedFresh = "", fresh
	if fresh {
		a.CodeEntered(nil, here, "c1", noon)
	}
	a.Challenge.Adding = &Contact{ID: "new", Kind: Email, Address: "new@example.com", By: "person", Added: noon}
	return a
}

func TestAnAddedContactIsOnHoldUnlessThereWasACodeOrNothingToGuard(t *testing.T) {
	for _, c := range []struct {
		name        string
		ever, fresh bool
		hold        time.Duration
		want        time.Time
	}{
		{"never verified", false, false, 72 * time.Hour, time.Time{}},
		{"a fresh code", true, true, 72 * time.Hour, time.Time{}},
		{"none: seven days, if nobody could be told", true, false, 72 * time.Hour, ahead(7 * day)},
		{"a hold that is longer than notices are tried", true, false, 10 * day, ahead(10 * day)},
	} {
		a := adding(asked(), c.fresh)
		a.EverVerified = c.ever
		a.Contacts = append(a.Contacts,
			Contact{ID: "gone", Address: "gone@example.com", Retired: true},
			Contact{ID: "held", Address: "held@example.com", Verified: ago(day), HoldUntil: ahead(tick)},
			Contact{ID: "c2", Address: "two@example.com", Verified: ago(day)})
		got, tell := a.Confirm(next, c.hold, noon)
		if !got.HoldUntil.Equal(c.want) || !got.Verified.Equal(noon) || got.ID != "new" {
			t.Errorf("%s: %+v", c.name, got)
		}
		if (got.HeldFor > 0) != !c.want.IsZero() || !a.Challenge.HoldUntil.Equal(c.want) {
			t.Errorf("%s: held for %s", c.name, got.HeldFor)
		}
		// Told: those on file, neither retired nor on hold, never the new one.
		if len(tell) != 2 || tell[0].ID != "c1" || tell[1].ID != "c2" {
			t.Errorf("%s: told %+v", c.name, tell)
		}
		if a.IsFresh(next, noon) != c.want.IsZero() {
			t.Errorf("%s: a contact on hold is no fresh code", c.name)
		}
		if a.EverVerified != (c.ever || c.want.IsZero()) {
			t.Errorf("%s: ever verified %v", c.name, a.EverVerified)
		}
		if a.Contact("new") == nil || a.Challenge.Adding != nil || a.Challenge.Contact != "new" {
			t.Errorf("%s: not on file", c.name)
		}
	}
}

func TestAnAddressThatTheSignInNamedMeanwhileIsNotAddedTwice(t *testing.T) {
	a := adding(asked(), false)
	a.EverVerified = true
	a.Name(Email, "NEW@example.com", ids(), DefaultLimits(), noon)
	got, tell := a.Confirm(next, 72*time.Hour, noon)
	if len(a.Contacts) != 2 || got.ID != "id1" || !got.Verified.Equal(noon) || got.HeldFor != 72*time.Hour || len(tell) != 1 {
		t.Errorf("%+v of %+v, told %d", got, a.Contacts, len(tell))
	}
}

// Whoever has a session may be able to change the address in the app: that must not be a way around the hold.
func TestAddressThatTheSignInNamedLateIsHeldAndTold(t *testing.T) {
	for _, c := range []struct {
		name        string
		ever, fresh bool
		held        bool
		told        int
	}{
		{"of an account that never had one", false, false, false, 0},
		{"after another was confirmed", true, false, true, 1},
		{"with a fresh code", true, true, false, 1},
	} {
		a := &Account{EverVerified: c.ever, Contacts: []Contact{{ID: "c1", Kind: Email, Address: "ann@example.com", Verified: ago(day)}}}
		a.Name(Email, "new@example.com", ids(), DefaultLimits(), noon)
		a.CodeEntered(nil, here, "c1", noon)
		a.Challenge = &Challenge{Contact: "id1", AddedFresh: c.fresh, Session: here, Ends: ahead(time.Hour)}
		got, tell := a.Confirm(next, 72*time.Hour, noon)
		if (got.HeldFor > 0) != c.held || len(tell) != c.told {
			t.Errorf("%s: held for %s, told %d", c.name, got.HeldFor, len(tell))
		}
		a.Contact("id1").HoldUntil, a.Contact("id1").HeldFor = time.Time{}, 0
		if again, tell := a.Confirm(next, 72*time.Hour, ahead(100*day)); again.HeldFor > 0 || len(tell) > 0 {
			t.Errorf("%s: held or told again", c.name)
		}
	}
}

func TestRepeatsTheCodeForTheFirstHalfOfItsLife(t *testing.T) {
	c := asked().Challenge
	for at, want := range map[time.Duration]bool{0: true, 5*time.Minute - tick: true, 5 * time.Minute: false, 10 * time.Minute: false, -time.Hour: true} {
		if got := c.Repeats(ahead(at)); got != want {
			t.Errorf("after %s: %v", at, got)
		}
	}
	c.Done = noon
	if c.Repeats(noon) || (*Challenge)(nil).Repeats(noon) || (*Challenge)(nil).Live(noon) {
		t.Error("nothing to repeat")
	}
}

func TestResendWaitOfAChallenge(t *testing.T) {
	l := DefaultLimits()
	c := asked().Challenge
	for sent, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 3: 5 * time.Minute, 4: 15 * time.Minute, 9: 15 * time.Minute} {
		c.Sent = sent
		if got := c.ResendWait(l, noon); got != want {
			t.Errorf("after %d: %s, want %s", sent, got, want)
		}
		if got := c.ResendWait(l, noon.Add(want-tick)); got != tick {
			t.Errorf("after %d, at the edge: %s", sent, got)
		}
		if got := c.ResendWait(l, noon.Add(want)); got != 0 {
			t.Errorf("after %d, over: %s", sent, got)
		}
	}
	for _, s := range []SendState{SendFailed, SendRefused} {
		if c.SendState = s; c.ResendWait(l, noon) != 0 {
			t.Errorf("%s: nobody waits for what was not sent", s)
		}
	}
	if (*Challenge)(nil).ResendWait(l, noon) != 0 {
		t.Error("no challenge, no wait")
	}
}

func TestProofsAtTheirEdges(t *testing.T) {
	l, c := DefaultLimits(), &Contact{ID: "c1", Address: "ann@example.com"}
	a := &Account{}
	for left := 4; left >= 0; left-- {
		if got := a.Prove(c, wrong, l, noon); got != (Result{Outcome: Mismatch, Left: left}) {
			t.Fatalf("%+v, want %d left", got, left)
		}
	}
	if got := a.Prove(c, never(t), l, noon.Add(time.Hour)); got != (Result{Outcome: TooMany, Wait: 23 * time.Hour}) {
		t.Errorf("the sixth: %+v", got)
	}
	if got := a.Prove(c, never(t), l, ahead(day-tick)); got != (Result{Outcome: TooMany, Wait: tick}) {
		t.Errorf("before the day is over: %+v", got)
	}
	for d := 1; d <= 2; d++ {
		for range 5 {
			if got := a.Prove(c, wrong, l, ahead(time.Duration(d)*day)); got.Outcome != Mismatch {
				t.Fatalf("day %d: %+v", d, got)
			}
		}
	}
	if got := a.Prove(c, never(t), l, ahead(100*day)); got != (Result{Outcome: Closed}) {
		t.Errorf("after 15: %+v", got)
	}
	// A right one starts the count anew.
	c = &Contact{ID: "c1", Address: "ann@example.com", ProofsInAll: 14}
	fill4 := make(Tally, 4)
	fill(fill4, noon)
	c.Proofs = fill4
	if got := a.Prove(c, right, l, noon); got.Outcome != Matched || len(c.Proofs) != 0 || c.ProofsInAll != 0 {
		t.Errorf("%+v, %+v", got, c)
	}
}

func TestLimitsOfTheAccount(t *testing.T) {
	l, a := DefaultLimits(), &Account{}
	for i := range 5 {
		if wait := a.SendWait(ByEmail, l, noon); wait != 0 {
			t.Fatalf("send %d waits %s", i+1, wait)
		}
		a.Sends = a.Sends.Add(day, noon)
	}
	if wait := a.SendWait(ByEmail, l, ahead(time.Minute)); wait != 59*time.Minute {
		t.Errorf("the sixth in an hour waits %s", wait)
	}
	for range 5 {
		a.Sends = a.Sends.Add(day, ahead(time.Hour))
	}
	if wait := a.SendWait(ByEmail, l, ahead(2*time.Hour)); wait != 22*time.Hour {
		t.Errorf("the eleventh in a day waits %s", wait)
	}
	if wait := a.SendWait(ByEmail, l, ahead(day)); wait != 0 {
		t.Errorf("a day later: %s", wait)
	}
	for range 5 {
		a.Adds = a.Adds.Add(day, noon)
	}
	if wait, full := a.AddWait(l, ahead(time.Hour)); wait != 23*time.Hour || full {
		t.Errorf("the sixth contact waits %s, full %v", wait, full)
	}
	a.Contacts = make([]Contact, 10)
	if _, full := a.AddWait(l, noon); !full {
		t.Error("ten contacts are all")
	}
	a.Contacts[3].Retired = true
	if _, full := a.AddWait(l, noon); full {
		t.Error("a retired one takes no room")
	}
}

// Nobody but an operator lifts what stops guesses: not an address of one's own that is added in between, and not removing
// the contact and adding it again.
func TestGuessesAreNotForgotten(t *testing.T) {
	l := DefaultLimits()
	a := adding(asked(), false)
	a.AddWrongInARow = 40
	a.Attempt(here, wrong, l, noon)
	a.Attempt(here, wrong, l, noon)
	if got := a.Attempt(here, right, l, noon); got.Outcome != Accepted || a.AddWrongInARow != 40 {
		t.Errorf("%+v, %d", got, a.AddWrongInARow)
	}

	a = adding(asked(), false)
	a.Attempt(here, wrong, l, noon)
	a.Unfreeze() // an operator lifts what was counted: that gives no tries in advance
	if got := a.Attempt(here, right, l, noon); got.Outcome != Accepted || a.AddWrongInARow != 0 {
		t.Errorf("%+v, %d", got, a.AddWrongInARow)
	}

	a = adding(asked(), false)
	a.Contacts = append(a.Contacts, Contact{ID: "again", Kind: Email, Address: "NEW@example.com", Retired: true, WrongInARow: 99})
	if got := a.Attempt(here, wrong, l, noon); got.Outcome != WrongCode || a.AddWrongInARow != 0 {
		t.Errorf("%+v, %d", got, a.AddWrongInARow)
	}
	if got := a.Attempt(here, never(t), l, noon); got.Outcome != Stopped || !a.Stopped(*a.Challenge.Adding, true, l) {
		t.Errorf("%+v", got)
	}
	a.Unfreeze()
	if got := a.Attempt(here, right, l, noon); got.Outcome != Accepted {
		t.Errorf("an operator has acted: %+v", got)
	}
}

func TestStoppedContact(t *testing.T) {
	l, a := DefaultLimits(), asked()
	c := a.Contacts[0]
	if a.Stopped(c, false, l) || a.Stopped(c, true, l) {
		t.Error("stopped without a reason")
	}
	a.Contacts[0].WrongInARow, a.AddWrongInARow = 100, 99
	if !a.Stopped(c, false, l) || a.Stopped(c, true, l) {
		t.Error("that contact, and not the others")
	}
	a.AddWrongInARow = 100
	if !a.Stopped(Contact{}, true, l) || a.Stopped(Contact{ID: "unknown"}, false, l) {
		t.Error("adding")
	}
	a = adding(asked(), false)
	a.AddWrongInARow = 99
	if got := a.Attempt(here, wrong, l, noon); got.Outcome != WrongCode || a.AddWrongInARow != 100 {
		t.Errorf("%+v", got)
	}
	if got := a.Attempt(here, never(t), l, noon); got.Outcome != Stopped {
		t.Errorf("%+v", got)
	}
}
