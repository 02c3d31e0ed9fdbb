package verify

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

const added = "added@example.org"

// verifiedLongAgo is a person whose confirmed contact is no fresh code any more, blocked otherwise: rule 8 is what
// lets them through.
func verifiedLongAgo(h *house) Visitor {
	h.Helper()
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.move(200 * day) // lapsed
	h.open(ann)
	h.move(8 * day) // and its new grace over
	if v := h.open(ann); v.Action != policy.Block {
		h.Fatalf("not blocked: %+v", v.Decision)
	}
	return ann
}

func (h *house) addContact(v Visitor, address string) Entered {
	h.Helper()
	if s := h.add(v, address); s.Outcome != policy.Started {
		h.Fatalf("adding: %+v", s.Result)
	}
	return h.accept(v, address)
}

func TestAnAddedContactWaitsForItsHold(t *testing.T) {
	h := newHouse(t)
	ann := verifiedLongAgo(h)
	e := h.addContact(ann, added)
	if !e.Added || e.Contact.HoldUntil.IsZero() {
		t.Fatalf("%+v", e.Contact)
	}
	h.settle(ann)
	notices := h.courier.all(policy.SendNotice)
	if len(notices) != 1 || notices[0].To != ann.Email || notices[0].ContactKind != "email" {
		t.Fatalf("notices: %+v", notices)
	}
	if !notices[0].HoldUntil.Equal(h.Now().Add(72 * time.Hour)) {
		t.Errorf("the notice says %s", notices[0].HoldUntil)
	}
	until := h.contact(ann, added).HoldUntil
	if !until.Equal(h.Now().Add(72 * time.Hour)) {
		t.Errorf("on hold until %s", until)
	}
	v := h.open(ann)
	if v.Action != policy.Pass || v.Reason != policy.OnHold || v.Standing != policy.Due || !v.Deadline.Equal(until) || v.Email != "" {
		t.Errorf("on hold: %+v, handed over: %q", v.Decision, v.Email)
	}
	if len(h.audit.lines(t, "contact_added")) != 1 || len(h.audit.lines(t, "contact_verified")) != 1 {
		t.Error("the audit calls it verified, or does not say that it was added")
	}
	// It is no target while it is on hold, and no fresh code.
	if _, ok, _ := h.Lookup(t.Context(), ann, h.Handle(ann, h.contact(ann, added).ID)); ok {
		t.Error("a code can be sent to a contact on hold")
	}
	sent := len(h.courier.all(policy.SendCode))
	if s := h.ask(ann, added); s.Outcome != policy.Gone || len(h.courier.all(policy.SendCode)) != sent {
		t.Errorf("a code for a contact on hold: %+v", s.Result)
	}
	h.wantOutcome("adding it again", h.add(ann, added).Outcome, policy.Gone)
	if a := h.account(ann); a.IsFresh(ann.Session, h.Now()) || a.IsFresh(ann.Next, h.Now()) {
		t.Error("a contact on hold gave a fresh code")
	}
	h.set(until.Add(-time.Millisecond))
	if v := h.open(ann); v.Reason != policy.OnHold || v.Email != "" {
		t.Errorf("a moment before: %+v", v.Decision)
	}
	h.set(until)
	if v := h.open(ann); v.Standing != policy.Verified || v.Email != added {
		t.Errorf("then: %+v, %q", v.Decision, v.Email)
	}
	if n := len(h.courier.all(policy.SendNotice)); n != 1 {
		t.Errorf("%d notices for one change", n)
	}
}

func TestNoHoldWithoutAnythingToGuardNorWithAFreshCode(t *testing.T) {
	h := newHouse(t)
	dan := h.person("dan", "browser")
	dan.Email = ""
	h.open(dan)
	if e := h.addContact(dan, "dan@example.org"); !e.Contact.HoldUntil.IsZero() {
		t.Errorf("never verified: %+v", e.Contact)
	}
	if v := h.open(dan); v.Standing != policy.Verified || v.Email != "dan@example.org" {
		t.Errorf("%+v, %q", v.Decision, v.Email)
	}
	if n := len(h.courier.all(policy.SendNotice)); n != 0 {
		t.Errorf("%d notices to nobody", n)
	}

	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	ann.Session = ann.Next // the browser goes on in a new session
	h.move(10*time.Minute - time.Millisecond)
	if e := h.addContact(ann, added); !e.Contact.HoldUntil.IsZero() {
		t.Errorf("with a fresh code: %+v", e.Contact)
	}
	h.settle(ann)
	if n := h.courier.all(policy.SendNotice); len(n) != 1 || n[0].To != ann.Email || !n[0].HoldUntil.IsZero() {
		t.Errorf("told: %+v", n)
	}

	bob := h.person("bob", "browser")
	h.confirm(bob, bob.Email)
	for name, v := range map[string]Visitor{"another browser": h.person("bob", "other"), "too late": bob} {
		if name == "too late" {
			v.Session = bob.Next
			h.move(10 * time.Minute)
		}
		if e := h.addContact(v, strings.ReplaceAll(name, " ", ".")+"@example.org"); e.Contact.HoldUntil.IsZero() {
			t.Errorf("%s: %+v", name, e.Contact)
		}
	}
}

func TestHoldWhenNobodyCanBeTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer policy.Delivery
		after  time.Duration
		want   time.Duration
	}{
		{"the old contact refuses", policy.RefusedForGood, 0, 7 * day},
		{"the carrier is never reached", policy.NotReached, 8 * day, 7 * day},
		{"the carrier asks to wait for ever", policy.AskedToWait, 8 * day, 7 * day},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, inMemory)
			ann := verifiedLongAgo(h)
			h.courier.answers(func(_ context.Context, l Letter, _ int) policy.Delivery {
				if l.Kind == string(policy.SendNotice) {
					return c.answer
				}
				return policy.TakenOver
			})
			h.addContact(ann, added)
			began := h.Now()
			h.settle(ann)
			for h.Now().Sub(began) < c.after && !h.account(ann).Due().IsZero() {
				h.set(h.account(ann).Due())
				h.settle(ann)
			}
			if got := h.contact(ann, added).HoldUntil; !got.Equal(began.Add(c.want)) {
				t.Errorf("on hold for %s, want %s", got.Sub(began), c.want)
			}
			if due := h.account(ann).Due(); !due.IsZero() {
				t.Errorf("still tried after %s", h.Now().Sub(began))
			}
		})
	}
}

func TestAHoldBeginsWithTheFirstAcceptedNotice(t *testing.T) {
	h := newHouse(t, inMemory)
	ann := verifiedLongAgo(h)
	h.courier.answers(func(_ context.Context, l Letter, before int) policy.Delivery {
		if l.Kind == string(policy.SendNotice) && before < 5 {
			return policy.AskedToWait
		}
		return policy.TakenOver
	})
	h.addContact(ann, added)
	for due := h.account(ann).Due(); !due.IsZero(); due = h.account(ann).Due() {
		h.set(due)
		h.settle(ann)
	}
	if h.Now().Equal(noon) {
		t.Fatal("the notice was not deferred")
	}
	if got := h.contact(ann, added).HoldUntil; !got.Equal(h.Now().Add(72 * time.Hour)) {
		t.Errorf("on hold until %s, accepted at %s", got, h.Now())
	}
}

func TestOldContactsAreToldOnceAndNeverTheNewAddress(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	second := ann
	second.Email = "second@example.com" // registered, not verified
	h.open(second)
	h.move(time.Hour)
	h.addContact(ann, added)
	h.settle(ann)
	// The double click tells nobody twice.
	h.enter(ann, h.courier.code(t, added))
	h.settle(ann)
	told := map[string]int{}
	for _, n := range h.courier.all(policy.SendNotice) {
		told[n.To]++
		for _, field := range []string{n.ID, n.To, n.Code, n.Host, n.Browser, n.ContactKind, n.Language} {
			if strings.Contains(field, "added") || strings.Contains(field, "example.org") {
				t.Errorf("a notice holds the new address: %q", field)
			}
		}
		if n.Code != "" || n.Adding {
			t.Errorf("a notice holds a code: %+v", n)
		}
	}
	if len(told) != 2 || told[ann.Email] != 1 || told["second@example.com"] != 1 {
		t.Errorf("told: %v", told)
	}
	// The one on hold is not told of the next one.
	h.move(time.Hour)
	h.addContact(h.person("ann", "third"), "next@example.org")
	h.settle(ann)
	for _, n := range h.courier.all(policy.SendNotice)[2:] {
		if n.To == added {
			t.Error("a contact on hold was told")
		}
	}
}

func TestAddingWhatIsOnFileConfirmsIt(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	other := ann
	other.Email = "second@example.com"
	h.open(ann)
	h.open(other)
	h.confirm(ann, ann.Email)
	h.move(time.Hour)
	if s := h.add(ann, "SECOND@example.com"); s.Outcome != policy.Started {
		t.Fatalf("%+v", s.Result)
	}
	e := h.accept(ann, "second@example.com")
	if e.Added || !e.Contact.HoldUntil.IsZero() {
		t.Errorf("%+v", e)
	}
	h.settle(ann)
	if a := h.account(ann); len(a.Contacts) != 2 || len(h.courier.all(policy.SendNotice)) != 0 {
		t.Errorf("%d contacts, %d notices", len(a.Contacts), len(h.courier.all(policy.SendNotice)))
	}
}

// Many apps let people change their address without a proof. Whoever has a session must not get around the hold that way.
func TestAddressThatTheAppChangedLateIsHeldAndTold(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.move(time.Hour)
	thief := h.person("ann", "elsewhere")
	thief.Email = "evil@example.org"
	h.open(thief)
	h.add(thief, "evil@example.org")
	if e := h.accept(thief, "evil@example.org"); e.Contact.HoldUntil.IsZero() || h.account(ann).IsFresh(thief.Next, h.Now()) {
		t.Errorf("%+v", e.Contact)
	}
	h.settle(ann)
	notices := h.courier.all(policy.SendNotice)
	if len(notices) != 1 || notices[0].To != ann.Email {
		t.Errorf("told: %+v", notices)
	}
	if v := h.open(thief); v.Email != ann.Email {
		t.Errorf("the app is told %q", v.Email)
	}
}

// Whoever guesses an address where a contact is added gets as few tries, whether or not it is on file.
func TestAddingIsNoWayToGuessWhatIsOnFile(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(h *house, v Visitor)
		want policy.Outcome
	}{
		{"new contacts of the day used up", func(h *house, v Visitor) {
			h.change(v, func(a *policy.Account) {
				for range 5 {
					a.Adds = a.Adds.Add(day, h.Now())
				}
			})
		}, policy.TooMany},
		{"as many contacts as there may be", func(h *house, v Visitor) {
			h.change(v, func(a *policy.Account) {
				for len(a.Contacts) < 10 {
					a.Contacts = append(a.Contacts, policy.Contact{ID: h.newID(), Kind: policy.Email, Address: "x@x.example"})
				}
			})
		}, policy.Full},
		{"typed sends of the household used up", func(h *house, _ Visitor) {
			h.rules.Limits.TypedSendsPerIP = 1
			h.add(h.person("eve", "b"), "z@z.example")
		}, policy.TooMany},
	} {
		h := newHouse(t)
		ann := h.person("ann", "browser")
		h.open(ann)
		c.set(h, ann)
		for _, typed := range []string{ann.Email, "guess@example.com"} {
			if got := h.add(ann, typed).Outcome; got != c.want {
				t.Errorf("%s: %s gives %d, want %d", c.name, typed, got, c.want)
			}
		}
	}
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	for _, typed := range []string{"1@example.com", ann.Email, "2@example.com", "3@example.com"} {
		h.wantOutcome(typed, h.add(ann, typed).Outcome, policy.Started)
	}
	if a := h.account(ann); len(a.Adds) != 4 {
		t.Errorf("%d of 4 counted", len(a.Adds))
	}
}

func TestTheSignInMayNameWhatIsBeingAdded(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.move(time.Hour)
	h.add(ann, added)
	named := ann
	named.Email = added
	h.open(named)
	h.accept(ann, added)
	if a := h.account(ann); len(a.Contacts) != 2 {
		t.Errorf("%d contacts", len(a.Contacts))
	}
}
