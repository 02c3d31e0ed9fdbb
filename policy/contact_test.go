package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAddressNeverPrintsWhole(t *testing.T) {
	const whole = "ann.long@example.com"
	a := Address(whole)
	contact := Contact{ID: "c1", Kind: Email, Address: a, Verified: noon}
	account := Account{User: "ann", Contacts: []Contact{contact}, Challenge: &Challenge{Adding: &contact}}
	secret := []string{whole, "n.long", "long@", fmt.Sprintf("%x", whole), fmt.Sprintf("%X", whole), fmt.Sprintf("%x", "n.long")}

	printed := map[string]string{}
	for _, v := range []any{a, &a, contact, &contact, account, []Address{a}, map[Address]int{a: 1}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d", "%t", "%20v"} {
			printed[fmt.Sprintf("%T %s", v, verb)] = fmt.Sprintf(verb, v)
		}
		printed[fmt.Sprintf("%T Sprint", v)] = fmt.Sprint(v)
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).With("contact", a).Info("x", "a", a, "p", &a, "c", contact, "g", slog.GroupValue(slog.Any("a", a)))
	}
	printed["slog"] = log.String()
	for _, v := range []any{a, contact, account, map[string]Address{"a": a}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed[fmt.Sprintf("%T json", v)] = string(text)
	}
	printed["error"] = fmt.Errorf("sending to %v: %s", a, a).Error()
	for how, text := range printed {
		for _, s := range secret {
			if strings.Contains(text, s) {
				t.Errorf("%s shows %q: %s", how, s, text)
			}
		}
	}
	if got := a.String(); got != "an****@example.com" {
		t.Errorf("String = %q", got)
	}
	if a.Whole() != whole {
		t.Error("Whole is not whole")
	}
}

func TestContactCounts(t *testing.T) {
	for _, c := range []struct {
		name           string
		c              Contact
		usable, counts bool
	}{
		{"registered only", Contact{}, true, false},
		{"verified", Contact{Verified: noon.Add(-day)}, true, true},
		{"retired", Contact{Verified: noon.Add(-day), Retired: true}, false, false},
		{"on hold", Contact{Verified: noon.Add(-day), HoldUntil: noon.Add(time.Millisecond)}, false, false},
		{"the hold ends now", Contact{Verified: noon.Add(-day), HoldUntil: noon}, true, true},
	} {
		if c.c.Usable(noon) != c.usable || c.c.Counts(noon) != c.counts {
			t.Errorf("%s: usable %v, counts %v", c.name, c.c.Usable(noon), c.c.Counts(noon))
		}
	}
}

func ids() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("id%d", n) }
}

func TestNamingRegistersAndNeverTakesAway(t *testing.T) {
	newID, l := ids(), DefaultLimits()
	a := &Account{}
	if !a.Name(Email, "ann@example.com", newID, l, noon) || len(a.Contacts) != 1 {
		t.Fatal("the first claim was not registered")
	}
	if c := a.Contacts[0]; !c.Verified.IsZero() || c.By != "signin" || !c.Added.Equal(noon) {
		t.Errorf("registered as %+v", c)
	}
	a.Contacts[0].Verified = noon
	for _, again := range []Address{"ann@example.com", "ANN@EXAMPLE.com", ""} {
		if a.Name(Email, again, newID, l, noon) {
			t.Errorf("%q changed something", again)
		}
	}
	if !a.Name(Email, "ann@other.example", newID, l, noon) || a.Contacts[0].Verified.IsZero() || !a.Contacts[1].Verified.IsZero() {
		t.Errorf("another claim: %+v", a.Contacts)
	}
	// A to B to A: A is what it was.
	if a.Name(Email, "ann@example.com", newID, l, noon) || len(a.Contacts) != 2 || a.Contacts[0].Verified.IsZero() {
		t.Errorf("back to the first: %+v", a.Contacts)
	}
}

func TestNamingMakesRoomFromUnconfirmedClaimsOnly(t *testing.T) {
	newID, l := ids(), DefaultLimits()
	l.Contacts = 3
	a := &Account{Contacts: []Contact{
		{ID: "own", Kind: Email, Address: "own@example.com", By: "person", Verified: noon},
		{ID: "asked", Kind: Email, Address: "asked@example.com", By: "signin"},
		{ID: "old", Kind: Email, Address: "old@example.com", By: "signin"},
	}, Challenge: &Challenge{Contact: "asked"}}
	if !a.Name(Email, "new@example.com", newID, l, noon) {
		t.Fatal("not named")
	}
	if a.Contact("own") == nil || a.Contact("asked") == nil || a.Contact("old") != nil || len(a.Contacts) != 3 {
		t.Errorf("left: %+v", a.Contacts)
	}
	// One that was guessed at does not come back as a new one.
	guessed := *a
	guessed.Challenge, guessed.Contacts = nil, slices.Clone(a.Contacts)
	for i := range guessed.Contacts {
		guessed.Contacts[i].WrongInARow = 1
	}
	if guessed.Name(Email, "more@example.com", newID, l, noon) {
		t.Error("guesses are forgotten")
	}
	for i := range a.Contacts {
		a.Contacts[i].Verified = noon
	}
	if a.Name(Email, "more@example.com", newID, l, noon) {
		t.Error("a confirmed contact made room for a claim")
	}
}

func TestVerifiedContactIsTheOldestThatCounts(t *testing.T) {
	r := Defaults()
	r.Reconfirm = 10 * day
	a := &Account{Contacts: []Contact{
		{ID: "lapsed", Kind: Email, Address: "1@e.example", Added: noon.Add(-90 * day), Verified: noon.Add(-11 * day)},
		{ID: "young", Kind: Email, Address: "3@e.example", Added: noon.Add(-70 * day), Verified: noon.Add(-2 * day)},
		{ID: "old", Kind: Email, Address: "2@e.example", Added: noon.Add(-80 * day), Verified: noon.Add(-3 * day)},
		{ID: "held", Kind: Email, Address: "4@e.example", Added: noon.Add(-85 * day), Verified: noon.Add(-day), HoldUntil: noon.Add(day)},
		{ID: "gone", Kind: Email, Address: "5@e.example", Added: noon.Add(-99 * day), Verified: noon, Retired: true},
		{ID: "phone", Kind: Phone, Address: "+819012345678", Verified: noon},
	}}
	for _, c := range []struct {
		at   time.Time
		kind Kind
		want string
	}{
		{noon, Email, "old"}, {noon, Phone, "phone"}, {noon.Add(day - time.Millisecond), Email, "old"}, {noon.Add(day), Email, "held"},
		{noon.Add(8 * day), Email, "held"},
		{noon.Add(9*day - time.Millisecond), Email, "held"}, {noon.Add(9 * day), Email, ""},
	} {
		got := ""
		if v := a.VerifiedContact(&r, c.kind, c.at); v != nil {
			got = v.ID
		}
		if got != c.want {
			t.Errorf("at %s: %q, want %q", c.at, got, c.want)
		}
	}
}
