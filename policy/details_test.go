package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// owner is an account with contacts of every sort, whose person entered a code of "old" here at noon. Reconfirm is 60 days.
func owner() (*Account, *Rules) {
	r := Defaults()
	r.Reconfirm = 60 * day
	a := &Account{User: "ann", EverVerified: true, Contacts: []Contact{
		{ID: "old", Kind: Email, Address: "old@example.com", Added: ago(90 * day), Verified: noon},
		{ID: "second", Kind: Email, Address: "second@example.com", Added: ago(80 * day), Verified: ago(day)},
		{ID: "lapsed", Kind: Email, Address: "lapsed@example.com", Added: ago(99 * day), Verified: ago(61 * day)},
		{ID: "named", Kind: Email, Address: "named@example.com", Added: ago(70 * day), By: "signin"},
		{ID: "held", Kind: Phone, Address: "+819012345678", Added: ago(day), Verified: ago(day), HoldUntil: ahead(day)},
		{ID: "gone", Kind: Email, Address: "gone@example.com", Verified: ago(2 * day), Retired: true},
	}}
	a.CodeEntered(nil, here, "old", noon)
	return a, &r
}

func idsOf(list []Contact) string {
	var names []string
	for _, c := range list {
		names = append(names, c.ID)
	}
	return fmt.Sprint(names)
}

func TestRemovingAContact(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(a *Account, r *Rules)
		id      string
		session []byte
		at      time.Time
		want    Outcome
		tell    string
	}{
		{name: "a confirmed one is told itself", id: "second", want: Accepted, tell: "[old lapsed named second]"},
		{name: "one that was never confirmed may be a stranger's", id: "named", want: Accepted, tell: "[old second lapsed]"},
		{name: "one on hold", id: "held", want: Accepted, tell: "[old second lapsed named]"},
		{name: "one whose confirmation is too old", id: "lapsed", want: Accepted, tell: "[old second named lapsed]"},
		{name: "the one that proved it", id: "old", want: Accepted, tell: "[second lapsed named old]"},
		{name: "without a code", id: "second", session: elsewhere, want: NotFresh},
		{name: "without a session", id: "second", session: []byte{}, want: NotFresh},
		{name: "in the last moment of ten minutes", id: "named", at: ahead(10*time.Minute - tick), want: Accepted, tell: "[old second lapsed]"},
		{name: "after ten minutes", id: "named", at: ahead(10 * time.Minute), want: NotFresh},
		{name: "one that was removed before", id: "gone", want: Gone},
		{name: "one that there never was", id: "none", want: Gone},
		{name: "no name", id: "", want: Gone},
		{name: "the last that counts", id: "old", want: LastOne, change: func(a *Account, _ *Rules) {
			a.Contacts[1].Verified, a.Contacts[2].Verified = time.Time{}, time.Time{}
		}},
		{name: "the last that is confirmed and not too old", id: "old", want: LastOne, change: func(a *Account, _ *Rules) { a.Contacts[1].Verified = time.Time{} }},
		{name: "the last that is not too old, where that does not matter", id: "old", want: Accepted, tell: "[second lapsed named old]",
			change: func(a *Account, r *Rules) { a.Contacts[1].Verified, r.Reconfirm = time.Time{}, 0 }},
		{name: "what is on hold does not count", id: "second", want: LastOne, change: func(a *Account, _ *Rules) {
			a.Contacts[0].Verified, a.Contacts[2].Verified = time.Time{}, time.Time{}
		}},
		{name: "the last that counts, however old", id: "lapsed", want: LastOne, change: func(a *Account, _ *Rules) {
			a.Contacts[0].Verified, a.Contacts[1].Verified = time.Time{}, time.Time{}
		}},
		{name: "the last one is said before a code is asked for", id: "old", session: elsewhere, want: LastOne, change: func(a *Account, _ *Rules) {
			a.Contacts[1].Verified, a.Contacts[2].Verified = time.Time{}, time.Time{}
		}},
		{name: "the 21st change of a day", id: "named", want: TooMany, change: func(a *Account, _ *Rules) {
			a.Changes = make(Tally, 20)
			fill(a.Changes, ago(time.Hour))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, r := owner()
			if c.change != nil {
				c.change(a, r)
			}
			if c.session == nil {
				c.session = here
			}
			if c.at.IsZero() {
				c.at = noon
			}
			before := len(a.Changes)
			done, got := a.Remove(c.session, c.id, r, c.at)
			if got.Outcome != c.want || (got.Wait > 0) != (c.want == TooMany) {
				t.Fatalf("%+v, want %d", got, c.want)
			}
			if left := a.Contact(c.id); (left == nil) != (c.want == Accepted || c.want == Gone) {
				t.Errorf("on file: %v", left)
			}
			if c.want != Accepted {
				if len(a.Changes) != before || done.Contact.ID != "" || done.Tell != nil {
					t.Errorf("a refusal has an effect: %+v", done)
				}
				return
			}
			if idsOf(done.Tell) != c.tell || done.Contact.ID != c.id {
				t.Errorf("%s is told to %s, want %s", done.Contact.ID, idsOf(done.Tell), c.tell)
			}
			if a.Find(done.Contact.Kind, done.Contact.Address) != nil || !a.Remembers(done.Contact.Kind, done.Contact.Address) {
				t.Error("on file, or forgotten")
			}
			if len(a.Changes) != before+1 {
				t.Error("not counted")
			}
		})
	}
}

// The sign-in says what it has always said, in the very next request.
func TestARemovedContactDoesNotComeBackByItself(t *testing.T) {
	a, r := owner()
	a.Remove(here, "named", r, noon)
	a.Remove(here, "second", r, noon)
	for _, address := range []Address{"named@example.com", "NAMED@example.com", "second@example.com"} {
		if a.Name(Email, address, ids(), r.Limits, noon) {
			t.Errorf("%s is back", address.Whole())
		}
	}
	// The person can add it again: a new contact, which has to be confirmed like any other.
	a.Challenge = &Challenge{Adding: &Contact{ID: "again", Kind: Email, Address: "second@example.com", Added: noon}, Session: elsewhere, Ends: ahead(time.Hour), Done: noon}
	if c, _ := a.Confirm(next, 72*time.Hour, noon); c.ID != "again" || c.HoldUntil.IsZero() {
		t.Errorf("added again without a proof: %+v", c)
	}
	if c := a.Find(Email, "second@example.com"); c == nil || c.ID != "again" {
		t.Errorf("found: %+v", c)
	}
}

func TestRemovedContactsAreForgottenInTheEnd(t *testing.T) {
	a, r := owner()
	remove := func(i int) {
		id := fmt.Sprint("x", i)
		a.Contacts = append(a.Contacts, Contact{ID: id, Kind: Email, Address: Address(fmt.Sprintf("x%d@example.com", i))})
		a.Changes = nil
		if _, got := a.Remove(here, id, r, noon); got.Outcome != Accepted {
			t.Fatal(got)
		}
	}
	// A notice to the first is on its way.
	a.Outbox = []Send{{ID: "s", Kind: SendNotice, Contact: "gone"}}
	for i := range 30 {
		remove(i)
	}
	if n := len(a.Contacts) - a.live(); n != mostRetired {
		t.Errorf("%d are remembered", n)
	}
	if a.Recipient(a.Outbox[0]) == nil || a.Remembers(Email, "x5@example.com") || !a.Remembers(Email, "x29@example.com") {
		t.Error("not the oldest of those that nobody writes to")
	}
	// The same one, removed over and over, does not push the others out.
	for range 30 {
		remove(29)
	}
	if !a.Remembers(Email, "x25@example.com") {
		t.Error("pushed out by one address")
	}
}

func TestRemovingEndsWhatTheContactProved(t *testing.T) {
	a, r := owner()
	trust := r.Trust
	a.Trust(here, Device{ID: laptop, Host: "app.example", Browser: "Firefox"}, trust, noon)
	a.CodeEntered(nil, elsewhere, "second", noon)
	a.Trust(elsewhere, Device{ID: phone}, trust, noon)
	done, got := a.Remove(here, "old", r, noon)
	if got.Outcome != Accepted || len(done.Devices) != 1 || string(done.Devices[0].ID) != string(laptop) {
		t.Fatalf("%+v %+v", got, done.Devices)
	}
	if a.IsFresh(here, noon) || !a.IsFresh(elsewhere, noon) {
		t.Error("what it proved is not over, or what another one proved is")
	}
	if list := a.TrustedDevices(trust, noon); len(list) != 1 || string(list[0].ID) != string(phone) || len(a.Devices) != 1 {
		t.Errorf("trusted: %v", list)
	}
	if _, got := a.Remove(here, "second", r, noon); got.Outcome != LastOne {
		t.Errorf("the next one: %+v", got)
	}
}

func TestRemovingEndsACodeOnItsWayThere(t *testing.T) {
	a, r := owner()
	code := func() *Challenge {
		return &Challenge{Contact: "second", Channel: ByEmail, Session: elsewhere, Started: noon, Ends: ahead(10 * time.Minute), SendID: "s"}
	}
	a.Challenge, a.Outbox = code(), []Send{{ID: "s", Kind: SendCode, Contact: "second"}, {ID: "n", Kind: SendNotice, Contact: "second"}}
	a.Remove(here, "named", r, noon)
	if a.Challenge == nil || len(a.Outbox) != 2 {
		t.Fatal("another contact's code ended")
	}
	a.Remove(here, "second", r, noon)
	if a.Challenge != nil || len(a.Outbox) != 1 || a.Recipient(a.Outbox[0]) == nil {
		t.Errorf("the code goes on, or what it was to be told does not: %+v", a.Outbox)
	}

	// Whoever is adding a contact, with a code of the one that is removed behind them, has no proof any more.
	for _, by := range []string{"second", "old"} {
		a, r := owner()
		a.CodeEntered(nil, elsewhere, by, noon)
		a.Challenge = &Challenge{Adding: &Contact{ID: "new", Kind: Email, Address: "new@example.com"}, AddedFresh: true, Session: elsewhere, Ends: ahead(10 * time.Minute)}
		a.Remove(here, "second", r, noon)
		if a.Challenge == nil || a.CountsAtOnce(a.Challenge) != (by == "old") {
			t.Errorf("proved by %s: %+v", by, a.Challenge)
		}
	}
}

// What was begun with a fresh code ends with it: whoever sat at a browser that was revoked since adds no contact that counts
// at once, and no app.
func TestWhatWasBegunWithACodeEndsWithIt(t *testing.T) {
	for name, end := range map[string]func(a *Account, r *Rules){
		"all browsers were revoked":                 func(a *Account, _ *Rules) { a.RevokeAll(nil) },
		"all others were":                           func(a *Account, _ *Rules) { a.RevokeAll(here) },
		"its contact was removed":                   func(a *Account, r *Rules) { a.Remove(here, "second", r, noon) },
		"the account was frozen, and it was lifted": func(a *Account, _ *Rules) { a.Freeze(Freeze{At: noon}); a.Unfreeze() },
	} {
		begun := func() (*Account, *Rules) {
			a, r := owner()
			a.CodeEntered(nil, elsewhere, "second", noon)
			if !a.IsFresh(elsewhere, noon) {
				t.Fatal("not fresh")
			}
			return a, r
		}
		a, r := begun()
		adds := &Challenge{Adding: &Contact{ID: "new", Kind: Email, Address: "new@example.com"}, AddedFresh: true, Session: elsewhere, Ends: ahead(10 * time.Minute)}
		a.Challenge = adds
		if !a.CountsAtOnce(adds) {
			t.Fatal("it would be held without that")
		}
		end(a, r)
		if a.CountsAtOnce(adds) {
			t.Errorf("%s: the new contact counts at once", name)
		}
		a, r = begun()
		a.Authenticator.Pending = &Enrolment{Seed: seed, Session: elsewhere, Ends: ahead(15 * time.Minute)}
		end(a, r)
		if got := a.ConfirmEnrolment(elsewhere, codeOf(stepAt(noon)), set("b"), DefaultLimits(), noon); got.Outcome != Expired || a.HasAuthenticator() {
			t.Errorf("%s: an app is enrolled: %+v", name, got)
		}
	}
}

// A person's own act owes no new grace: somebody who removes the contact that they confirmed last is back with an older
// confirmation, and with the clock that ran before.
func TestRemovingAContactGivesNoGrace(t *testing.T) {
	r := Defaults()
	r.Reconfirm = 60 * day
	a := &Account{User: "ann", EverVerified: true, Grace: Grace{Shown: ago(100 * day)}, Contacts: []Contact{
		{ID: "a", Kind: Email, Address: "a@example.com", Verified: ago(50 * day)},
		{ID: "b", Kind: Email, Address: "b@example.com", Verified: ago(10 * day)},
	}}
	a.CodeEntered(nil, here, "app", noon)
	a.Entered[0].By = ByAuthenticatorApp
	a.Authenticator.Seed = Seed("seed")
	if _, got := a.Remove(here, "b", &r, noon); got.Outcome != Accepted {
		t.Fatal(got)
	}
	// Another site asks for a confirmation every 30 days, and there the one that is left is too old already.
	other := r
	other.Reconfirm = 30 * day
	for _, c := range []struct {
		name  string
		r     *Rules
		at    time.Time
		st    Standing
		until time.Time
	}{
		{"here it still counts", &r, noon, Verified, time.Time{}},
		{"there it is too old, and there is no grace for it", &other, noon, Overdue, ago(93 * day)},
		{"the last moment", &other, ahead(20*day - tick), Overdue, ago(93 * day)},
		{"there the end of the one that was removed owes what it always owed", &other, ahead(20 * day), Due, time.Time{}},
		{"here it becomes too old before the other one would have", &r, ahead(10 * day), Overdue, ago(93 * day)},
		{"here, the last moment", &r, ahead(50*day - tick), Overdue, ago(93 * day)},
		{"here the grace comes when it would have come", &r, ahead(50 * day), Due, time.Time{}},
	} {
		if st, until := c.r.Standing(a.Facts(c.at), c.at); st != c.st || !until.Equal(c.until) {
			t.Errorf("%s: %s until %s, want %s until %s", c.name, st, until, c.st, c.until)
		}
	}
	// It is one grace for both of them.
	a.visit(&r, Opening, ahead(51*day))
	if st, until := r.Standing(a.Facts(ahead(58*day)), ahead(58*day)); st != Overdue || !until.Equal(ahead(58*day)) {
		t.Errorf("%s until %s", st, until)
	}
}

func TestMakingAContactPrimary(t *testing.T) {
	for _, c := range []struct {
		name    string
		id      string
		session []byte
		want    Outcome
		tell    string
		app     string // the e-mail contact that apps are told afterwards
	}{
		{"a confirmed one", "second", here, Accepted, "[old lapsed named]", "second"},
		{"one whose confirmation is too old is not handed on", "lapsed", here, Accepted, "[old second named]", "old"},
		{"one that was never confirmed", "named", here, Gone, "[]", "old"},
		{"one on hold", "held", here, Gone, "[]", "old"},
		{"one that was removed", "gone", here, Gone, "[]", "old"},
		{"without a code", "second", elsewhere, NotFresh, "[]", "old"},
	} {
		a, r := owner()
		primary, tell, got := a.MakePrimary(c.session, c.id, noon)
		if got.Outcome != c.want || idsOf(tell) != c.tell || (primary.ID == c.id) != (c.want == Accepted) {
			t.Errorf("%s: %+v, told to %s", c.name, got, idsOf(tell))
		}
		if v := a.VerifiedContact(r, Email, noon); v == nil || v.ID != c.app {
			t.Errorf("%s: the app is told %v", c.name, v)
		}
	}

	a, r := owner()
	a.Contacts[4].HoldUntil = time.Time{}
	for _, id := range []string{"second", "held", "old", "second"} {
		if _, _, got := a.MakePrimary(here, id, noon); got.Outcome != Accepted {
			t.Fatalf("%s: %+v", id, got)
		}
	}
	if primary := slices.DeleteFunc(slices.Clone(a.Contacts), func(c Contact) bool { return !c.Primary }); idsOf(primary) != "[second held]" {
		t.Errorf("one of each kind: %s", idsOf(primary))
	}
	if _, tell, got := a.MakePrimary(here, "second", noon); got.Outcome != AcceptedAgain || tell != nil || len(a.Changes) != 4 {
		t.Errorf("what it is already: %+v", got)
	}
	// Without it the app is told the one on file longest, as before.
	a.Remove(here, "second", r, noon)
	if v := a.VerifiedContact(r, Email, noon); v == nil || v.ID != "old" {
		t.Errorf("the app is told %v", v)
	}
	a.Changes = make(Tally, 20)
	fill(a.Changes, noon)
	if _, _, got := a.MakePrimary(here, "old", noon); got.Outcome != TooMany || got.Wait <= 0 {
		t.Errorf("the 21st change: %+v", got)
	}
}

// Whatever is on hold or too old, one that the person chose takes precedence again once it counts.
func TestAPrimaryContactCountsAgain(t *testing.T) {
	r := Defaults()
	r.Reconfirm = 30 * day
	a := &Account{Contacts: []Contact{
		{ID: "old", Kind: Email, Address: "old@example.com", Added: ago(90 * day), Verified: ago(day)},
		{ID: "chosen", Kind: Email, Address: "chosen@example.com", Added: ago(10 * day), Verified: ago(40 * day), Primary: true},
		{ID: "other", Kind: Email, Address: "other@example.com", Added: ago(99 * day), Verified: ago(day)},
	}}
	for _, want := range []string{"other", "chosen"} {
		if v := a.VerifiedContact(&r, Email, noon); v == nil || v.ID != want {
			t.Errorf("the app is told %v, want %s", v, want)
		}
		a.Contacts[1].Verified = noon
	}
	slices.Reverse(a.Contacts)
	if v := a.VerifiedContact(&r, Email, noon); v == nil || v.ID != "chosen" {
		t.Errorf("in another order: %v", v)
	}
}
