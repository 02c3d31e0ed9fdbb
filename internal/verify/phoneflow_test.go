package verify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

const mobile, landline = "+819012345634", "+81312345634"

func withPhones(h *house) { h.offerPhones() }

// caller is somebody whose sign-in names a number, in the country's own spelling.
func (h *house) caller(user string) Visitor {
	v := h.person(user, "browser")
	v.Email, v.Phone = "", "090-1234-5634"
	return v
}

func TestTheWholeWayWithAPhone(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.caller("ann")
	h.open(ann)
	c := h.contact(ann, mobile)
	if c.Kind != policy.Phone || c.By != "signin" || !c.Verified.IsZero() || c.Late {
		t.Fatalf("registered: %+v", c)
	}
	if s := h.prove(ann, mobile, "0034"); s.Outcome != policy.Mismatch || !s.Unproved || s.Left != 2 {
		t.Errorf("wrong last four: %+v", s)
	}
	for _, nothing := range []string{"", " ", "34", "hello", "5634;ext=1"} {
		if s := h.prove(ann, mobile, nothing); s.Outcome == policy.Started || s.Outcome == policy.Matched {
			t.Errorf("%q: %+v", nothing, s)
		}
	}
	if len(h.courier.all(policy.SendCode)) != 0 {
		t.Fatal("a wrong answer sent something")
	}
	sent := h.prove(ann, mobile, "５６３４")
	if sent.Outcome != policy.Started || sent.State != policy.SendAccepted || sent.Contact.ID != c.ID {
		t.Fatalf("full-width last four: %+v", sent)
	}
	l := h.courier.all(policy.SendCode)[0]
	if l.To != mobile || l.Channel != "sms" || len(l.Code) != 6 || l.Adding || !l.Ends.Equal(noon.Add(10*time.Minute)) {
		t.Errorf("the letter: %+v", l)
	}
	h.accept(ann, mobile)
	done := h.open(ann)
	if done.Standing != policy.Verified || done.Phone != mobile || done.Email != "" {
		t.Errorf("afterwards: %+v", done)
	}
	for _, log := range []*book{h.audit, h.log} {
		for _, secret := range []string{mobile, "9012345", "12345634", "5634\"", l.Code} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q is in a log: %s", secret, log)
			}
		}
	}
}

func TestSignInNamesANumberInAnySpellingOnce(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.caller("ann")
	ann.Email = "ann.long@example.com"
	for _, spelling := range []string{"090-1234-5634", "+81 90 1234 5634", "０９０ー１２３４ー５６３４", "0081 90 1234 5634", "tel:+819012345634", "", "nonsense", "0990 123456", "+881612345678"} {
		ann.Phone = spelling
		h.open(ann)
	}
	if got := h.account(ann).Contacts; len(got) != 2 || got[0].Kind != policy.Email || got[1].Address != mobile {
		t.Errorf("%v", got)
	}
	// Where phones are not offered, what the sign-in says is remembered all the same; without a country code it means nothing.
	h.rules.Countries = nil
	bob := h.caller("bob")
	h.open(bob)
	bob.Phone = "+819012345634"
	h.open(bob)
	if got := h.account(bob).Contacts; len(got) != 1 || got[0].Address != mobile {
		t.Errorf("%v", got)
	}
}

// A number that the sign-in changes is noticed although the person is known to be verified.
func TestNewNumberOfAVerifiedPersonIsRegisteredAndHeld(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.open(ann)
	h.open(ann) // now from the cache
	h.move(time.Hour)
	ann.Phone = "+81 90 1234 5634"
	h.open(ann)
	c := h.contact(ann, mobile)
	if !c.Late {
		t.Fatalf("%+v", c)
	}
	if s := h.prove(ann, mobile, "5634"); s.Outcome != policy.Started {
		t.Fatalf("%+v", s)
	}
	if e := h.accept(ann, mobile); e.Contact.HoldUntil.IsZero() {
		t.Error("it counts at once: whoever has a session in the app could put in their own")
	}
	if v := h.open(ann); v.Phone != "" || v.Email != ann.Email {
		t.Errorf("the app is told %q, %q", v.Phone, v.Email)
	}
}

func TestAnotherChannelIsAnotherCode(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.caller("ann")
	h.open(ann)
	h.ask(ann, mobile)
	first := h.courier.code(h, mobile)
	if s := h.ask(ann, mobile); s.Outcome != policy.Underway {
		t.Errorf("the same way again: %+v", s.Result)
	}
	if s := h.proveBy(ann, policy.ByVoice, mobile, "5634"); s.Outcome != policy.Started {
		t.Fatalf("a call: %+v", s.Result)
	}
	codes := h.courier.all(policy.SendCode)
	if len(codes) != 2 || codes[1].Channel != "voice" || codes[1].Code == first || !h.account(ann).Challenge.Reissued {
		t.Errorf("%+v", codes)
	}
	h.wantOutcome("the code of the text", h.enter(ann, first).Outcome, policy.WrongCode)
	h.move(time.Minute)
	if s := h.again(ann); s.Outcome != policy.Started {
		t.Fatalf("%+v", s.Result)
	}
	if l := h.courier.all(policy.SendCode)[2]; l.Channel != "voice" || l.Code != codes[1].Code {
		t.Errorf("sent again: %+v", l)
	}
	h.accept(ann, mobile)
}

func TestCodesToPhonesLiveTenMinutesHoweverLongMailedOnesDo(t *testing.T) {
	h := newHouse(t, withPhones, func(h *house) { h.rules.Limits.CodeLifetime = 24 * time.Hour })
	ann := h.caller("ann")
	ann.Email = "ann.long@example.com"
	h.open(ann)
	for _, c := range []struct {
		channel policy.Channel
		to      string
		life    time.Duration
	}{{policy.BySMS, mobile, 10 * time.Minute}, {policy.ByVoice, mobile, 10 * time.Minute}, {policy.ByEmail, ann.Email, day}} {
		if s := h.proveBy(ann, c.channel, c.to, c.to); s.Outcome != policy.Started {
			t.Fatalf("%+v", s.Result)
		}
		code := h.courier.code(h, c.to)
		h.move(c.life - time.Millisecond)
		h.wantOutcome("a wrong one a moment before the end", h.enter(ann, notThis(code)).Outcome, policy.WrongCode)
		h.move(time.Millisecond)
		h.wantOutcome("the right one at the end", h.enter(ann, code).Outcome, policy.Expired)
	}
}

// H02: over tabs, nodes and restarts; H03: an answer is about the contact that was chosen.
func TestGuessesOfTheLastFourAreFew(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.caller("ann")
	ann.Email = "ann.5634@example.com"
	h.open(ann)
	h.change(ann, func(a *policy.Account) { a.Contacts = append(a.Contacts, phoneOnFile("+14155550123")) })
	if s := h.prove(ann, mobile, "0123"); s.Outcome != policy.Mismatch {
		t.Errorf("H03: the last four of another number: %+v", s.Result)
	}
	if s := h.prove(ann, "+14155550123", mobile); s.Outcome != policy.Mismatch {
		t.Errorf("H03: the whole of another number: %+v", s.Result)
	}
	tabs := []Visitor{ann, ann, ann}
	for i := range tabs {
		tabs[i].Session = h.SessionHash(realm, "ann", []byte(fmt.Sprint("tab", i)))
	}
	second := New(h.Config) // another node
	var guesses sync.WaitGroup
	evaluated := make(chan policy.Outcome, 100)
	for i := range 40 {
		v, node := tabs[i%3], []*Flow{h.Flow, second}[i%2]
		guesses.Go(func() {
			s, err := node.Start(t.Context(), &h.rules, v, node.Handle(v, h.contact(v, mobile).ID), policy.BySMS, fmt.Sprintf("%02d34", i), "/")
			if err != nil {
				t.Error(err)
			}
			if s.Outcome == policy.Mismatch {
				evaluated <- s.Outcome
			}
		})
	}
	guesses.Wait()
	if n := len(evaluated); n != 2 { // and "0123" above
		t.Errorf("H02: %d guesses of 40 at once were evaluated", n)
	}
	total := 3
	for range 20 {
		h.move(day)
		h.restart()
		for range 4 {
			if h.prove(ann, mobile, "9934").Outcome == policy.Mismatch {
				total++
			}
		}
	}
	if total != 5 {
		t.Errorf("H02: %d guesses in three weeks", total)
	}
	h.wantOutcome("the right four then", h.prove(ann, mobile, "5634").Outcome, policy.WholeAsked)
	h.wantOutcome("the whole number", h.prove(ann, mobile, "090-1234-5634").Outcome, policy.Started)
	if n := len(h.courier.all(policy.SendCode)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestWhatCannotBeReachedIsNotSentTo(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.change(ann, func(a *policy.Account) {
		for _, number := range []string{mobile, landline, "+81990123456", "+881612345678", "+33612345678"} {
			a.Contacts = append(a.Contacts, phoneOnFile(number))
		}
	})
	for _, c := range []struct {
		to      string
		channel policy.Channel
	}{
		{landline, policy.BySMS}, {"+81990123456", policy.BySMS}, {"+81990123456", policy.ByVoice}, {"+881612345678", policy.ByVoice},
		{"+33612345678", policy.BySMS}, {mobile, policy.ByEmail}, {mobile, ""}, {mobile, "pigeon"}, {ann.Email, policy.BySMS}, {ann.Email, policy.ByVoice},
	} {
		h.wantOutcome(fmt.Sprintf("%s by %q", c.to, c.channel), h.proveBy(ann, c.channel, c.to, c.to).Outcome, policy.NoChannel)
		h.wantOutcome(fmt.Sprintf("adding %s by %q", c.to, c.channel), h.addBy(ann, c.channel, c.to).Outcome, policy.NoChannel)
	}
	if a := h.account(ann); len(a.Sends)+len(a.Adds)+len(a.Outbox) != 0 || a.Challenge != nil || len(h.courier.all(policy.SendCode)) != 0 {
		t.Errorf("something was counted or sent: %+v", a)
	}
	if s := h.proveBy(ann, policy.ByVoice, landline, "5634"); s.Outcome != policy.Started {
		t.Errorf("calling a fixed line: %+v", s.Result)
	}
	// The operator closes the country while a code is on its way.
	h.rules.Countries = nil
	h.move(time.Hour)
	h.wantOutcome("once more", h.again(ann).Outcome, policy.NoChannel)
}

func TestCallThatWasNeverPlacedIsNotCounted(t *testing.T) {
	h := newHouse(t, withPhones)
	h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return policy.NotReached })
	for n := range 60 { // an outage at the provider: nobody can enter anything
		v := h.person(fmt.Sprint("user", n), "browser")
		v.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n))
		if s := h.addBy(v, policy.ByVoice, fmt.Sprintf("+8190876543%02d", n)); s.Outcome != policy.Started || s.State != policy.SendFailed {
			t.Fatalf("person %d: %+v", n, s)
		}
		h.settle(v)
		if a := h.account(v); len(a.Calls)+len(a.Sends)+len(a.Adds) != 0 {
			t.Fatalf("counted: %d calls, %d sends, %d new contacts", len(a.Calls), len(a.Sends), len(a.Adds))
		}
	}
}

// The rule about a country whose codes nobody enters is for typed numbers; it is no outage.
func TestStoppedCountryLeavesEverythingElseAlone(t *testing.T) {
	h := newHouse(t, withPhones, func(h *house) { h.rules.Limits.TypedSendsPerIP, h.rules.Limits.SendsPerIP = 1000, 1000 })
	ann := h.caller("ann")
	h.open(ann)
	deadline := h.open(ann).Deadline
	for n := range 50 {
		h.add(h.person(fmt.Sprint("user", n), "browser"), fmt.Sprintf("+8190876543%02d", n))
	}
	bob := h.person("bob", "browser")
	h.open(bob)
	if s := h.add(bob, "+819087654399"); s.Outcome != policy.Paused || s.Wait != time.Hour || s.Contact.Address != "+819087654399" {
		t.Fatalf("%+v", s)
	}
	if len(h.account(bob).Sends) != 0 {
		t.Error("counted")
	}
	second := New(h.Config)
	if s, err := second.Add(t.Context(), &h.rules, bob, "+819087654399", policy.BySMS, "/"); err != nil || s.Outcome != policy.Paused {
		t.Errorf("on another node: %+v, %v", s.Result, err)
	}
	h.wantOutcome("another country", h.add(bob, "+14155550123").Outcome, policy.Started)
	h.wantOutcome("a number on file", h.ask(ann, mobile).Outcome, policy.Started)
	h.wantOutcome("an address", h.ask(bob, bob.Email).Outcome, policy.Started)
	// Sending again to a typed number waits as well.
	cyd := h.person("user0", "browser")
	h.move(2 * time.Minute)
	if s := h.again(cyd); s.Outcome != policy.Paused {
		t.Errorf("a typed one again: %+v", s.Result)
	}
	if got := h.open(ann); !got.Deadline.Equal(deadline) || len(h.outages.current()) != 0 {
		t.Errorf("taken for an outage: %s, %v", got.Deadline, h.outages.current())
	}
	if len(h.audit.lines(t, "limit_reached", "limit=delivery_rate")) == 0 {
		t.Error("the audit has nothing of it")
	}
}

// What is entered keeps a country open, on whichever node and however late within the code's life.
func TestEnteredCodesKeepACountryOpen(t *testing.T) {
	h := newHouse(t, withPhones, func(h *house) { h.rules.Limits.TypedSendsPerIP, h.rules.Limits.SendsPerIP = 1000, 1000 })
	for n := range 120 {
		v, to := h.person(fmt.Sprint("user", n), "browser"), fmt.Sprintf("+81908765%04d", n)
		if s := h.add(v, to); s.Outcome != policy.Started {
			t.Fatalf("number %d: %+v", n, s.Result)
		}
		if n%3 == 0 {
			h.restart()
			h.accept(v, to)
		}
	}
}
