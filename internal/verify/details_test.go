package verify

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

const backup = "backup@example.org"

// owner is somebody with two confirmed contacts and a phone on file, in the session that entered the last code a moment ago.
func (h *house) owner(user string) Visitor {
	h.Helper()
	h.offerPhones()
	ann := h.person(user, "laptop")
	h.confirm(ann, ann.Email)
	ann = h.next(ann)
	h.move(time.Minute)
	h.addContact(ann, backup)
	ann = h.next(ann)
	h.change(ann, func(a *policy.Account) { a.Contacts = append(a.Contacts, phoneOnFile("+819012345678")) })
	h.settle(ann)
	h.courier.mu.Lock()
	h.courier.letters = nil
	h.courier.mu.Unlock()
	return ann
}

func (h *house) removeOwn(v Visitor, address string) policy.Outcome {
	h.Helper()
	return h.byHand(v, h.Handle(v, h.contact(v, address).ID), h.Remove)
}

func (h *house) makePrimary(v Visitor, address string) policy.Outcome {
	h.Helper()
	return h.byHand(v, h.Handle(v, h.contact(v, address).ID), h.MakePrimary)
}

// byHand presses the button of a form that carries a handle.
func (h *house) byHand(v Visitor, handle string, do func(context.Context, *policy.Rules, Visitor, string) (policy.Result, error)) policy.Outcome {
	h.Helper()
	result, err := do(h.Context(), &h.rules, v, handle)
	if err != nil {
		h.Fatal(err)
	}
	return result.Outcome
}

func (h *house) noticed() map[string]string {
	told := map[string]string{}
	for _, l := range h.courier.all(policy.SendNotice) {
		told[l.To] += l.ContactKind
	}
	return told
}

func TestARemovedContactStaysAwayAndTheOthersHearOfIt(t *testing.T) {
	h := newHouse(t)
	ann := h.owner("ann")
	h.wantOutcome("remove", h.removeOwn(ann, ann.Email), policy.Accepted)
	h.settle(ann)
	want := map[string]string{ann.Email: "email_removed", backup: "email_removed", "+819012345678": "email_removed"}
	if got := h.noticed(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told: %v", got)
	}
	// The owner of the address that went may say that it was not them; the phone was never confirmed.
	for _, l := range h.courier.all(policy.SendNotice) {
		if (l.Link != "" || l.Code != "") != (l.Channel == "email") {
			t.Errorf("%s: link %q, code %q", l.Channel, l.Link, l.Code)
		}
	}
	if d := h.byLink(stranger(), token(t, h.notice(ann.Email))); d.Outcome != policy.Accepted {
		t.Errorf("this was not me: %+v", d.Result)
	}
	h.unfreeze(Subject{realm, "ann"})
	for range 3 { // the sign-in says what it always says
		h.move(time.Hour)
		if v := h.open(ann); v.Action != policy.Pass || v.Email != backup {
			t.Errorf("%+v, the app is told %q", v.Decision, v.Email)
		}
	}
	if c := h.contact(ann, ann.Email); c.ID != "" {
		t.Errorf("it came back: %+v", c)
	}
	updates := h.probe.updates.Load()
	h.move(2 * time.Minute)
	h.open(ann)
	if n := h.probe.updates.Load() - updates; n != 0 {
		t.Errorf("a sign-in that names it costs %d writes a request", n)
	}
	if lines := h.audit.lines(t, "contact_removed", "user=ann", "contact=an****@example.com", "verified=true"); len(lines) != 1 {
		t.Errorf("audit: %s", h.audit)
	}
	// Added again it is a new contact.
	h.move(time.Hour)
	if e := h.addContact(h.person("ann", "library"), ann.Email); !e.Added || e.Contact.HoldUntil.IsZero() {
		t.Errorf("added again: %+v", e.Contact)
	}
}

// K06: whatever is removed, nobody is verified with nothing.
func TestTheLastVerifiedContactCannotBeRemoved(t *testing.T) {
	h := newHouse(t)
	ann := h.owner("ann")
	h.wantOutcome("the first", h.removeOwn(ann, ann.Email), policy.Accepted)
	h.wantOutcome("the last", h.removeOwn(ann, backup), policy.LastOne)
	h.wantOutcome("one that was never confirmed", h.removeOwn(ann, "+819012345678"), policy.Accepted)
	h.wantOutcome("the last, alone", h.removeOwn(ann, backup), policy.LastOne)
	if v := h.open(ann); v.Standing != policy.Verified || len(h.account(ann).Contacts) != 3 {
		t.Errorf("%+v", v.Decision)
	}
}

func TestAHandleOfSomebodyElseChangesNothing(t *testing.T) {
	h := newHouse(t)
	ann, eve := h.owner("ann"), h.owner("eve")
	other := h.person("ann", "library")
	id := h.contact(ann, backup).ID
	stored := func() string {
		text, err := encoding.Marshal([]*policy.Account{h.account(ann), h.account(eve)})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before, audited := stored(), h.audit.String()
	for name, handle := range map[string]string{
		"somebody else's": h.Handle(ann, id), "of another session": h.Handle(other, id), "none": "", "long": strings.Repeat("x", 1000),
		"the stem": h.Stem(eve, h.contact(eve, backup).ID), "an ID": h.contact(eve, backup).ID,
	} {
		for what, do := range map[string]func(Visitor, string) policy.Outcome{
			"remove":  func(v Visitor, handle string) policy.Outcome { return h.byHand(v, handle, h.Remove) },
			"primary": func(v Visitor, handle string) policy.Outcome { return h.byHand(v, handle, h.MakePrimary) },
		} {
			h.wantOutcome(what+" "+name, do(eve, handle), policy.Gone)
		}
	}
	if stored() != before || h.audit.String() != audited {
		t.Error("something changed")
	}
}

func TestAPrimaryContactIsWhatAppsAreTold(t *testing.T) {
	h := newHouse(t)
	ann := h.owner("ann")
	if v := h.open(ann); v.Email != ann.Email {
		t.Fatalf("the one on file longest: %q", v.Email)
	}
	h.wantOutcome("primary", h.makePrimary(ann, backup), policy.Accepted)
	h.wantOutcome("again", h.makePrimary(ann, backup), policy.AcceptedAgain)
	h.wantOutcome("one that was never confirmed", h.makePrimary(ann, "+819012345678"), policy.Gone)
	for range 2 { // read anew, and from what a node remembers
		if v := h.open(ann); v.Email != backup {
			t.Errorf("the app is told %q", v.Email)
		}
	}
	h.settle(ann)
	if got := h.noticed(); fmt.Sprint(got) != fmt.Sprint(map[string]string{ann.Email: "email_primary", "+819012345678": "email_primary"}) {
		t.Errorf("told: %v", got)
	}
	h.move(10 * time.Minute)
	h.wantOutcome("without a code", h.makePrimary(ann, ann.Email), policy.NotFresh)
	h.wantOutcome("without a code", h.removeOwn(ann, ann.Email), policy.NotFresh)
}

// I06: what a code of a contact has proved ends with the contact.
func TestRemovingAContactEndsTrustThatItGave(t *testing.T) {
	h := newHouse(t, deviceCode)
	laptop := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.move(time.Minute)
	desk := h.person("ann", "desk")
	h.addContact(desk, backup)
	h.change(desk, func(a *policy.Account) { a.Find(policy.Email, backup).HoldUntil = time.Time{} })
	h.move(time.Minute)
	h.ask(desk, backup)
	h.accept(desk, backup)
	desk = h.next(desk)
	if d := h.open(laptop); d.Action != policy.Pass {
		t.Fatalf("%+v", d.Decision)
	}
	h.wantOutcome("remove", h.removeOwn(desk, "ann.long@example.com"), policy.Accepted)
	if d := h.open(laptop); d.Reason != policy.DeviceCode {
		t.Errorf("trusted still: %+v", d.Decision)
	}
	if lines := h.audit.lines(t, "device_revoked", "by=contact_removed", "host=app.example"); len(lines) != 1 {
		t.Errorf("audit: %s", h.audit)
	}
}

// Every event is written with the change that it tells of, and never fills the record.
func TestWhatHappenedIsNotedWithTheChange(t *testing.T) {
	h := newHouse(t, deviceCode)
	h.offerPhones()
	ann := h.person("ann", "laptop")
	h.open(ann)
	h.prove(ann, ann.Email, "wrong")
	h.ask(ann, ann.Email)
	code := h.courier.code(t, ann.Email)
	h.enter(ann, notThis(code))
	h.enter(ann, notThis(code))
	e := h.enter(ticked(ann), code)
	ann = h.onward(ann, e)
	h.move(time.Minute)
	h.addContact(ann, backup)
	ann = h.next(ann)
	h.makePrimary(ann, backup)
	h.removeOwn(ann, "ann.long@example.com")
	var told []string
	for _, e := range h.account(ann).Lately() {
		told = append(told, fmt.Sprintf("%s %s %d %s", e.What, e.Contact, e.Times, e.BrowserName()))
	}
	want := []string{
		"contact_removed an****@example.com 0 Firefox",
		"contact_primary ba****@example.org 0 Firefox",
		"contact_added ba****@example.org 0 Firefox",
		"device_trusted  0 Firefox",
		"contact_verified an****@example.com 0 Firefox",
		"code_wrong an****@example.com 2 Firefox",
		"code_asked an****@example.com 0 Firefox",
		"proof_wrong an****@example.com 0 Firefox",
		"grace_started  0 Firefox",
	}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("told:\n%s", strings.Join(told, "\n"))
	}

	full := policy.Account{}
	for i := range 100 {
		full.Note(policy.ContactRemoved, policy.Address(fmt.Sprintf("%03d.long@a-rather-long-domain.of-a-company.example", i)), "Samsung Internet", noon.Add(time.Duration(i)*time.Hour))
	}
	var text bytes.Buffer
	if err := encoding.NewEncoder(&text).Encode(full.Activity); err != nil {
		t.Fatal(err)
	}
	if text.Len() > 50*60 {
		t.Errorf("fifty events take %d bytes", text.Len())
	}
	text.Reset()
	first := policy.Account{}
	first.Note(policy.GraceStarted, "", "Firefox", noon)
	if err := encoding.NewEncoder(&text).Encode(first.Activity); err != nil || text.Len() > 16 {
		t.Errorf("the first one takes %d bytes: %v", text.Len(), err)
	}
}
