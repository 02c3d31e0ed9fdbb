package policy

import (
	"slices"
	"testing"
	"time"
)

// told is an account whose old contacts were told of a new one, which is on hold.
func told() *Account {
	return &Account{Realm: "r", User: "ann", Since: ago(500 * day), EverVerified: true, Contacts: []Contact{
		{ID: "old", Kind: Email, Address: "ann@example.com", Verified: ago(400 * day), EverVerified: true},
		{ID: "never", Kind: Email, Address: "never@example.com"},
		{ID: "new", Kind: Email, Address: "new@example.com", Verified: ago(day), HoldUntil: ahead(2 * day)},
	}}
}

func notice(contact string) Notice {
	return Notice{ID: "mail to " + contact, Contact: contact, New: "new", At: ago(day), Ends: ahead(day)}
}

func TestOnlyAContactThatWasVerifiedMayDisown(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(a *Account, n *Notice)
		want   Outcome
	}{
		{"it was", func(*Account, *Notice) {}, Accepted},
		{"it was, and was taken off the account since", func(a *Account, _ *Notice) { a.retire("old", noon) }, Accepted},
		{"it was, and an operator took the confirmation back", func(a *Account, _ *Notice) { a.Contacts[0].Verified = time.Time{} }, Accepted},
		{"it was before this was written down", func(a *Account, _ *Notice) { a.Contacts[0].EverVerified = false }, Accepted},
		{"never", func(_ *Account, n *Notice) { n.Contact = "never" }, Gone},
		{"it is on hold", func(_ *Account, n *Notice) { n.Contact = "new" }, Gone},
		{"its hold is over", func(a *Account, n *Notice) { n.Contact, a.Contacts[2].HoldUntil = "new", noon }, Accepted},
		{"it was undone on hold, and the time is over", func(a *Account, n *Notice) {
			a.retire("new", noon)
			n.Contact, a.ContactEver("new").HoldUntil = "new", noon
		}, Gone},
		{"it is forgotten", func(a *Account, _ *Notice) { a.Contacts = a.Contacts[1:] }, Accepted},
		{"nobody is called so any more", func(a *Account, _ *Notice) { *a = Account{} }, Gone},
		{"somebody new is called so", func(a *Account, _ *Notice) { *a = Account{Realm: "r", User: "ann", Since: noon} }, Gone},
		{"in the last moment", func(_ *Account, n *Notice) { n.Ends = ahead(tick) }, Accepted},
		{"too late", func(_ *Account, n *Notice) { n.Ends = noon }, Gone},
	} {
		a, n := told(), notice("old")
		c.change(a, &n)
		got := a.Disown(n, Freeze{At: noon, By: ByPerson, Reference: "R"})
		if got != c.want || (a.Frozen != nil) != (c.want == Accepted) {
			t.Errorf("%s: outcome %d, frozen %v", c.name, got, a.Frozen)
		}
	}
}

func TestDisowningFreezesAndTakesTheContactOnHoldAway(t *testing.T) {
	a := told()
	o := a.Disown(notice("old"), Freeze{At: noon, By: ByPerson, Reference: "FIRST"})
	if o != Accepted || a.Frozen.Reference != "FIRST" || a.Contact("new") != nil {
		t.Fatalf("%d: %+v", o, a)
	}
	if o := a.Disown(notice("old"), Freeze{At: ahead(tick), Reference: "SECOND"}); o != AcceptedAgain || a.Frozen.Reference != "FIRST" {
		t.Errorf("the same notice again: outcome %d, %+v", o, a.Frozen)
	}
	a.Unfreeze()
	if o := a.Disown(notice("old"), Freeze{At: ahead(2 * tick)}); o != Used || a.Frozen != nil {
		t.Errorf("after an operator lifted it: outcome %d, %+v", o, a.Frozen)
	}
	// What was used is forgotten once it could not be used any more.
	if o := a.Disown(notice("old"), Freeze{At: ahead(day)}); o != Gone || len(a.Notices) != 0 {
		t.Errorf("afterwards: outcome %d, %v", o, a.Notices)
	}
}

func TestDisowningKeepsAContactThatCounts(t *testing.T) {
	a := told()
	a.Contacts[2].HoldUntil = noon // a fresh code of an old contact let it count: an operator has to look
	if a.Disown(notice("old"), Freeze{At: noon}); a.Contact("new") == nil {
		t.Error("it is gone")
	}
}

func TestASecondContactMayDisownWhatIsFrozen(t *testing.T) {
	a := told()
	a.Contacts[1].EverVerified = true
	a.Disown(notice("old"), Freeze{At: noon, Reference: "FIRST"})
	if o := a.Disown(notice("never"), Freeze{At: noon, Reference: "SECOND"}); o != Accepted || a.Frozen.Reference != "FIRST" {
		t.Errorf("outcome %d, %+v", o, a.Frozen)
	}
}

func TestUndoTakesAFreshCode(t *testing.T) {
	tab := []byte("tab")
	for _, c := range []struct {
		name   string
		change func(a *Account)
		id     string
		want   Outcome
	}{
		{"fresh", func(*Account) {}, "new", Accepted},
		{"not fresh", func(a *Account) { a.Entered = nil }, "new", NotFresh},
		{"fresh in another browser", func(a *Account) { a.Entered[0].Session = []byte("elsewhere") }, "new", NotFresh},
		{"the hold ends now", func(a *Account) { a.Contacts[2].HoldUntil = noon }, "new", Gone},
		{"one that counts", func(*Account) {}, "old", Gone},
		{"one that was never added", func(*Account) {}, "nobody's", Gone},
		{"undone before", func(a *Account) { a.retire("new", noon) }, "new", Gone},
	} {
		a := told()
		a.CodeEntered(nil, tab, "old", noon)
		c.change(a)
		before := len(a.Contacts)
		undone, tell, o := a.Undo(c.id, tab, noon)
		if o != c.want || len(a.Contacts) != before {
			t.Errorf("%s: outcome %d", c.name, o)
		}
		if gone := a.Contact("new") == nil; gone != (o == Accepted) && c.name != "undone before" {
			t.Errorf("%s: gone %v", c.name, gone)
		}
		if o == Accepted && (undone.ID != "new" || len(tell) != 2 || slices.ContainsFunc(tell, func(c Contact) bool { return c.ID == "new" })) {
			t.Errorf("%s: %+v, told %+v", c.name, undone, tell)
		}
	}
}

func TestANoticeReachesWhoWasTakenOffSince(t *testing.T) {
	a := told()
	a.retire("old", noon)
	if c := a.Recipient(Send{Kind: SendNotice, Contact: "old"}); c == nil || c.ID != "old" {
		t.Errorf("%+v", c)
	}
	if c := a.Recipient(Send{Kind: SendNotice, Contact: "erased"}); c != nil {
		t.Errorf("%+v", c)
	}
}

// However often somebody makes changes, their contacts get a bounded number of messages of it. Of a contact that was added
// they always hear.
func TestWhoIsToldOfAChange(t *testing.T) {
	mail, sms := Contact{ID: "mail", Kind: Email}, Contact{ID: "sms", Kind: Phone}
	both := []Contact{mail, sms}
	full := func(n int, at time.Time) Tally {
		t := make(Tally, n)
		fill(t, at)
		return t
	}
	for _, c := range []struct {
		name         string
		account      Account
		to           []Contact
		about        Kind
		want         string
		told, texted int // more than before
	}{
		{"the first of a day", Account{}, both, EmailRemoved, "[mail sms]", 1, 1},
		{"nobody", Account{}, nil, EmailRemoved, "[]", 0, 0},
		{"the 20th", Account{Told: full(19, ago(time.Hour))}, both, PhonePrimary, "[mail sms]", 1, 1},
		{"the 21st", Account{Told: full(20, ago(time.Hour))}, both, PhonePrimary, "[]", 0, 0},
		{"the 21st, of the app", Account{Told: full(20, ago(time.Hour))}, both, AppRemoved, "[]", 0, 0},
		{"a day later", Account{Told: full(20, ago(day))}, both, PhonePrimary, "[mail sms]", -19, 1},
		{"the 21st, and an address was added", Account{Told: full(20, ago(time.Hour)), Texted: full(10, noon)}, both, Email, "[mail sms]", 0, 0},
		{"the 21st, and a number was added", Account{Told: full(20, ago(time.Hour)), Texted: full(10, noon)}, both, Phone, "[mail sms]", 0, 0},
		{"the tenth text", Account{Texted: full(9, ago(time.Hour))}, []Contact{sms, mail, sms}, EmailUndone, "[sms mail]", 1, 1},
		{"the eleventh text", Account{Texted: full(10, ago(time.Hour))}, both, EmailUndone, "[mail]", 1, 0},
		{"as many are waiting as may", Account{Outbox: make([]Send, 98)}, both, BrowsersRevoked, "[mail sms]", 1, 1},
		{"more would be waiting", Account{Outbox: make([]Send, 99)}, both, BrowsersRevoked, "[]", 0, 0},
		{"more would be waiting, and an address was added", Account{Outbox: make([]Send, 99)}, both, Email, "[mail sms]", 0, 0},
	} {
		a := c.account
		if got := idsOf(a.Tells(c.to, c.about, noon)); got != c.want {
			t.Errorf("%s: %s are told, want %s", c.name, got, c.want)
		}
		if told, texted := len(a.Told)-len(c.account.Told), len(a.Texted)-len(c.account.Texted); told != c.told || texted != c.texted {
			t.Errorf("%s: counted %d and %d, want %d and %d", c.name, told, texted, c.told, c.texted)
		}
	}
}
