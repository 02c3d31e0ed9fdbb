package policy

import "testing"

// busy is an account with everything in hand that freezing has to end.
func busy() *Account {
	a := &Account{Realm: "r", User: "ann", EverVerified: true, Contacts: []Contact{
		{ID: "mail", Kind: Email, Address: "ann@example.com", Verified: ago(day), WrongInARow: 100},
	}}
	a.Challenge = &Challenge{Contact: "mail", Channel: ByEmail, Session: []byte("tab"), Started: ago(tick), Ends: ahead(day), SendID: "code"}
	a.Outbox = []Send{{ID: "code", Kind: SendCode, Ends: ahead(day)}, {ID: "notice", Kind: SendNotice, Ends: ahead(day)}}
	a.Entered = []Entry{{Session: []byte("tab"), At: ago(tick), By: "mail"}}
	a.Devices = []Device{{ID: []byte("laptop"), Trusted: ago(day), Used: ago(day), Ends: ahead(day), By: "mail"}}
	a.Grace = Grace{Seen: ago(day), Shown: ago(day)}
	return a
}

func TestFreezingEndsWhatIsInHand(t *testing.T) {
	a := busy()
	r := Defaults()
	if !a.Freeze(Freeze{At: noon, By: "person", Reference: "ABC"}) {
		t.Fatal("it was not frozen")
	}
	if a.Challenge != nil || a.IsFresh([]byte("tab"), noon) || len(a.Devices) > 0 || !a.SessionsSince.Equal(noon) {
		t.Errorf("something goes on: %+v", a)
	}
	if len(a.Outbox) != 1 || a.Outbox[0].ID != "notice" {
		t.Errorf("codes are still to be sent, or the notice is not: %+v", a.Outbox)
	}
	if got := a.Attempt([]byte("tab"), func() bool { return true }, r.Limits, noon); got.Outcome != NoCode {
		t.Errorf("the code that was on its way: outcome %d", got.Outcome)
	}
	if s, deadline := r.Standing(a.Facts(noon), noon); s != Frozen || !deadline.IsZero() {
		t.Errorf("%s until %s", s, deadline)
	}
	if a.Grace != (Grace{Seen: ago(day), Shown: ago(day)}) {
		t.Errorf("grace was touched: %+v", a.Grace)
	}
}

func TestTheFirstFreezeCounts(t *testing.T) {
	a := busy()
	a.Freeze(Freeze{At: noon, By: "person", Reference: "FIRST"})
	if a.Freeze(Freeze{At: ahead(day), By: "operator", Reference: "SECOND"}) {
		t.Error("it was frozen twice")
	}
	if a.Frozen.Reference != "FIRST" || !a.SessionsSince.Equal(noon) {
		t.Errorf("%+v", a.Frozen)
	}
}

func TestUnfreezingLiftsWhatIsStoppedToo(t *testing.T) {
	a := busy()
	a.AddWrongInARow, a.Authenticator.WrongInARow = 100, 100
	a.Freeze(Freeze{At: noon})
	l := DefaultLimits()
	if !a.Unfreeze() || a.Frozen != nil || a.Stopped(a.Contacts[0], false, l) || a.Stopped(Contact{}, true, l) || a.Authenticator.WrongInARow != 0 {
		t.Errorf("%+v", a)
	}
	r := Defaults()
	if s, _ := r.Standing(a.Facts(noon), noon); s != Verified {
		t.Errorf("it goes on as %s", s)
	}
	if a.Unfreeze() {
		t.Error("there was nothing left to lift")
	}
	a.Contacts[0].WrongInARow = 100
	if !a.Unfreeze() || a.Contacts[0].WrongInARow != 0 {
		t.Error("a stopped contact of an account that is not frozen stays stopped")
	}
}
