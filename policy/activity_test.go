package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTheLastFiftyEventsAreKept(t *testing.T) {
	a := &Account{}
	for i := range 60 {
		a.Note(ContactVerified, Address(fmt.Sprintf("%02d.long@example.com", i)), "Firefox", ahead(time.Duration(i)*time.Minute))
	}
	list := a.Lately()
	if len(list) != 50 || list[0].Contact != "59****@example.com" || list[49].Contact != "10****@example.com" {
		t.Errorf("%d, from %v to %v", len(list), list[0], list[len(list)-1])
	}
	if e := list[0]; e.BrowserName() != "Firefox" || !e.Happened().Equal(ahead(59*time.Minute)) || e.What.String() != "contact_verified" {
		t.Errorf("%+v, %s", e, e.What)
	}
}

func TestTheSameOverAndOverIsOneEvent(t *testing.T) {
	a := &Account{}
	a.Note(ContactAdded, "ann@example.com", "Firefox", noon)
	for i := range 100 {
		a.Note(WrongCodeTried, "ann@example.com", "Firefox", ahead(time.Duration(i)*time.Minute))
	}
	a.Note(WrongCodeTried, "ann@example.com", "Chrome", ahead(100*time.Minute))
	a.Note(WrongCodeTried, "ann@example.com", "Chrome", ahead(160*time.Minute))
	a.Note(WrongCodeTried, "bob@example.com", "Chrome", ahead(160*time.Minute))
	var told []string
	for _, e := range a.Lately() {
		told = append(told, fmt.Sprint(e.What, e.Contact[:2], e.BrowserName(), e.Times))
	}
	want := "[code_wrongboChrome0 code_wronganChrome0 code_wronganChrome0 code_wronganFirefox100 contact_addedanFirefox0]"
	if got := fmt.Sprint(told); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if at := a.Lately()[3].Happened(); !at.Equal(ahead(99 * time.Minute)) {
		t.Errorf("told as of %s", at)
	}
}

// A code that was asked for and entered is one event; one that was not, and one with wrong tries in between, stay.
func TestACodeThatWasEnteredIsToldAsItsEnd(t *testing.T) {
	a := &Account{}
	for _, e := range []struct {
		what    Happening
		contact Address
	}{
		{CodeAsked, "ann@example.com"}, {ContactVerified, "ann@example.com"},
		{CodeAsked, "ann@example.com"}, {CodeAsked, "bob@example.com"}, {ContactAdded, "bob@example.com"},
		{CodeAsked, "bob@example.com"}, {WrongCodeTried, "bob@example.com"}, {ContactVerified, "bob@example.com"},
		{CodeAsked, "ann@example.com"}, {ContactVerified, "bob@example.com"},
	} {
		a.Note(e.what, e.contact, "Firefox", noon)
	}
	var told []string
	for _, e := range a.Activity {
		told = append(told, fmt.Sprint(e.What, " ", e.Contact[:2]))
	}
	want := "contact_verified an, code_asked an, contact_added bo, code_asked bo, code_wrong bo, contact_verified bo, code_asked an, contact_verified bo"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEventsAreSmallAndMasked(t *testing.T) {
	a := &Account{}
	long := Address("ann.long@" + strings.Repeat("é", 100) + ".example")
	a.Note(ContactAdded, long, "a browser that nobody knows", noon)
	a.Note(DeviceTrusted, "", "Samsung Internet", noon)
	e := a.Activity[0]
	if len(e.Contact) > 40 || !utf8.ValidString(e.Contact) || !strings.HasPrefix(e.Contact, "an****@é") || !strings.HasSuffix(e.Contact, "…") {
		t.Errorf("%q", e.Contact)
	}
	if e.BrowserName() != "" || a.Activity[1].BrowserName() != "Samsung Internet" || a.Activity[1].Contact != "" {
		t.Errorf("%+v", a.Activity)
	}
	if (Event{What: 250, Browser: 250}).BrowserName() != "" || Happening(250).String() != "" {
		t.Error("numbers of a later version")
	}
}
