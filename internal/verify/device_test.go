package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

func deviceCode(h *house) { h.rules.DeviceCode = true }

// ticked is a visitor who ticks the box.
func ticked(v Visitor) Visitor { v.Ticked = true; return v }

// onward is the browser after a right code: in its next session, and with what it was given.
func (h *house) onward(v Visitor, e Entered) Visitor {
	v.Session, v.Next, v.Ticked = v.Next, h.SessionHash(v.Realm, v.User, append([]byte("after "), v.Next...)), false
	if e.Device != nil {
		v.Device = h.DeviceHash(v.Realm, v.User, e.Device)
	}
	return v
}

// trust goes the whole way with a contact on file and ticks the box.
func (h *house) trust(v Visitor, address string) Visitor {
	h.Helper()
	h.open(v)
	if s := h.ask(v, address); s.Outcome != policy.Started {
		h.Fatalf("asking for a code: %+v", s)
	}
	return h.onward(v, h.accept(ticked(v), address))
}

func TestATrustedBrowserIsNotAskedForACode(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.settle(ann)
	if len(ann.Device) != 16 {
		t.Fatalf("the browser was given %x", ann.Device)
	}
	h.move(13 * time.Hour) // its session is over
	ann.Session = nil
	if v := h.open(ann); v.Action != policy.Pass || v.Reason != policy.IsVerified {
		t.Errorf("trusted: %+v", v.Decision)
	}
	other := h.person("ann", "library")
	if v := h.open(other); v.Action != policy.Block || v.Reason != policy.DeviceCode || v.Standing != policy.Verified {
		t.Errorf("another browser: %+v", v.Decision)
	}
	d := h.account(ann).Devices[0]
	if d.Host != "app.example" || d.Browser != "Firefox" || !d.Ends.Equal(noon.Add(365*day)) {
		t.Errorf("%+v", d)
	}
	if lines := h.audit.lines(t, "device_trusted", "host=app.example", "browser=Firefox", "user=ann"); len(lines) != 1 {
		t.Errorf("%d lines of audit", len(lines))
	}
}

func TestACodeWithoutTheTickProvesItsSessionAlone(t *testing.T) {
	h := newHouse(t, deviceCode)
	before := h.person("ann", "laptop")
	h.open(before)
	h.ask(before, before.Email)
	e := h.accept(before, before.Email)
	ann := h.onward(before, e)
	if e.Device != nil || len(h.account(ann).Devices) != 0 {
		t.Fatal("trusted without a tick")
	}
	if v := h.open(ann); v.Action != policy.Pass {
		t.Errorf("where the code was entered: %+v", v.Decision)
	}
	if v := h.open(before); v.Reason != policy.DeviceCode {
		t.Errorf("the session before the code: %+v", v.Decision)
	}
	h.move(12*time.Hour - time.Second)
	if v := h.open(ann); v.Action != policy.Pass {
		t.Errorf("in the twelfth hour: %+v", v.Decision)
	}
	h.move(time.Second)
	if v := h.open(ann); v.Reason != policy.DeviceCode {
		t.Errorf("after twelve hours: %+v", v.Decision)
	}
}

// A tick is worth nothing without the code that it comes with.
func TestATickWithAWrongCodeTrustsNothing(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.person("ann", "laptop")
	h.open(ann)
	h.ask(ann, ann.Email)
	code := h.courier.code(t, ann.Email)
	if e := h.enter(ticked(ann), notThis(code)); e.Device != nil {
		t.Error("a wrong code is trusted")
	}
	if err := h.Tick(t.Context(), ticked(ann)); err != nil {
		t.Fatal(err)
	}
	stranger := ticked(h.person("ann", "elsewhere"))
	if e := h.enter(stranger, code); e.Outcome != policy.Elsewhere || e.Device != nil {
		t.Errorf("another browser: %+v", e.Result)
	}
	h.move(10 * time.Minute)
	if e := h.enter(ticked(ann), code); e.Outcome != policy.Expired || e.Device != nil {
		t.Errorf("too late: %+v", e.Result)
	}
	if a := h.account(ann); len(a.Devices)+len(a.Entered) != 0 {
		t.Errorf("%d devices, %d sessions", len(a.Devices), len(a.Entered))
	}
}

func TestTheTickIsCarriedToAnotherWay(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.person("ann", "laptop")
	h.open(ann)
	two := ann
	two.Email = "ann.second@example.com"
	h.open(two)
	h.ask(ann, ann.Email)
	stranger := ticked(h.person("ann", "elsewhere"))
	if err := h.Tick(t.Context(), stranger); err != nil || h.account(ann).Challenge.Ticked {
		t.Error("another browser ticks for this one")
	}
	h.enter(ticked(ann), notThis(h.courier.code(t, ann.Email)))
	updates := h.probe.updates.Load()
	if err := h.Tick(t.Context(), ticked(ann)); err != nil || h.probe.updates.Load() != updates+1 {
		t.Error(err)
	}
	h.ask(ann, two.Email)
	if !h.account(ann).Challenge.Ticked {
		t.Error("the tick is lost with the other contact")
	}
	// What counts in the end is the box on the last form.
	if e := h.accept(ann, two.Email); e.Device != nil {
		t.Error("trusted, although the box on the last form was empty")
	}
	// The tick went with that code; another browser's code does not take it over.
	h.move(time.Minute)
	ann = h.onward(ann, Entered{})
	h.ask(ann, ann.Email)
	if h.account(ann).Challenge.Ticked {
		t.Error("ticked once, ticked for ever")
	}
	if err := h.Tick(t.Context(), ticked(ann)); err != nil {
		t.Fatal(err)
	}
	h.ask(h.person("ann", "elsewhere"), ann.Email)
	if h.account(ann).Challenge.Ticked {
		t.Error("another browser takes over the tick")
	}
}

// Whichever answer a double click leaves in the browser, it is the same.
func TestTheSameFormTwiceGivesTheBrowserTheSame(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := ticked(h.person("ann", "laptop"))
	h.open(ann)
	h.ask(ann, ann.Email)
	c := h.account(ann).Challenge
	next := h.NextSession(ann, c)
	ann.Next = h.SessionHash(realm, "ann", next)
	first := h.accept(ann, ann.Email)
	again := h.enter(ann, h.courier.code(t, ann.Email))
	h.wantOutcome("again", again.Outcome, policy.AcceptedAgain)
	if len(first.Device) != 16 || !bytes.Equal(first.Device, again.Device) {
		t.Errorf("given %x, then %x", first.Device, again.Device)
	}
	after := h.account(ann)
	if !bytes.Equal(h.NextSession(ann, after.Challenge), next) || len(after.Devices) != 1 {
		t.Error("the second answer is another one")
	}
	// The other tab has the new session already.
	tab := ann
	tab.Session = ann.Next
	if e := h.enter(tab, h.courier.code(t, ann.Email)); e.Outcome != policy.AcceptedAgain || !bytes.Equal(e.Device, first.Device) {
		t.Errorf("the other tab: %+v", e.Result)
	}
	// Ticked only the second time: the first one decided.
	plain := h.person("bob", "laptop")
	h.open(plain)
	h.ask(plain, plain.Email)
	h.accept(plain, plain.Email)
	if e := h.enter(ticked(plain), h.courier.code(t, plain.Email)); e.Outcome != policy.AcceptedAgain || e.Device != nil {
		t.Errorf("trusted by the second click: %+v", e.Result)
	}
	// Nobody else is given the same, nor the same person by another code.
	if bytes.Equal(h.NextSession(plain, h.account(plain).Challenge), next) {
		t.Error("two people in one session")
	}
}

func TestACopiedDeviceMeansNothingToAnotherAccount(t *testing.T) {
	h := newHouse(t, deviceCode)
	v := h.person("ann", "laptop")
	h.open(v)
	h.ask(v, v.Email)
	e := h.accept(ticked(v), v.Email)
	eve := h.person("eve", "laptop")
	h.confirm(eve, eve.Email)
	eve.Session = nil
	for name, hash := range map[string][]byte{"what ann holds": e.Device, "as her account knows it": h.DeviceHash(realm, "ann", e.Device), "as eve's would": h.DeviceHash(realm, "eve", e.Device)} {
		eve.Device = hash
		if d := h.open(eve); d.Reason != policy.DeviceCode {
			t.Errorf("%s: %+v", name, d.Decision)
		}
	}
}

func (h *house) revoke(v Visitor, handle string, want policy.Outcome) {
	h.Helper()
	if o, err := h.Revoke(h.Context(), v, handle); o != want || err != nil {
		h.Errorf("%d %v, want %d", o, err, want)
	}
}

// A session that was left open is not enough to lock its owner's browsers out.
func TestRevokingTakesAFreshCode(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	handle := func(v Visitor) string { return h.DeviceHandle(v, h.account(ann).Devices[0]) }
	h.move(10 * time.Minute)
	other := h.person("ann", "library")
	h.revoke(other, handle(other), policy.NotFresh)
	h.revoke(other, handle(ann), policy.Gone)
	h.revoke(ann, handle(ann), policy.NotFresh)
	if o, err := h.RevokeAll(t.Context(), ann); o != policy.NotFresh || err != nil {
		t.Error(o, err)
	}
	if n := len(h.account(ann).Devices); n != 1 {
		t.Errorf("%d are trusted", n)
	}
}

// Whoever clears out a list one by one tells the contacts once, not twenty times.
func TestRevokingIsToldToTheContacts(t *testing.T) {
	h := newHouse(t, deviceCode)
	h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.move(time.Minute)
	ann := h.trust(h.person("ann", "phone"), "ann.long@example.com")
	h.settle(ann)
	h.stop()
	h.change(ann, func(a *policy.Account) { a.Outbox = nil })
	for range 2 {
		h.revoke(ann, h.DeviceHandle(ann, h.account(ann).Devices[0]), policy.Accepted)
	}
	a := h.account(ann)
	if len(a.Outbox) != 1 || a.Outbox[0].Kind != policy.SendNotice || a.Outbox[0].About != policy.BrowsersRevoked || len(a.Outbox[0].Seed) == 0 {
		t.Errorf("%+v", a.Outbox)
	}
	if e := a.Lately()[0]; e.What != policy.DeviceRevoked || e.Times != 2 || e.BrowserName() != "Firefox" {
		t.Errorf("%+v", e)
	}
}

// Trust is given and revoked in no time: a person's own number must not get a text each time, at the operator's cost, nor
// their mailbox a flood. What is revoked is revoked all the same.
func TestRevokingOverAndOverSendsNoFlood(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.owner("ann")
	h.settle(ann)
	revoked := 0
	for i := range 30 {
		h.change(ann, func(a *policy.Account) {
			a.Devices = []policy.Device{{ID: []byte(fmt.Sprint("browser ", i)), By: policy.ByAuthenticatorApp}}
		})
		if o, err := h.RevokeAll(t.Context(), ann); o == policy.Accepted && err == nil && len(h.account(ann).Devices) == 0 {
			revoked++
		}
		h.settle(ann)
	}
	to := map[string]int{}
	for _, l := range h.courier.all(policy.SendNotice) {
		to[l.To]++
	}
	if fmt.Sprint(to) != fmt.Sprint(map[string]int{ann.Email: 20, backup: 20}) || revoked != 30 {
		t.Errorf("revoked %d times, told: %v", revoked, to)
	}
	if n := len(h.audit.lines(t, "devices_revoked")); n != 30 {
		t.Errorf("%d lines in the audit", n)
	}
	// A contact that is added then is told of as ever, by text, too.
	h.move(time.Minute)
	h.addContact(ann, "another@example.org")
	h.settle(ann)
	if got := h.notice("+819012345678"); got.ContactKind != "email" {
		t.Errorf("told: %+v", got)
	}
}

func TestRevokedTrustEndsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		revoke func(h *house, laptop, phone Visitor)
		by     string
		phone  bool // is trusted still
	}{
		{"one", func(h *house, laptop, phone Visitor) {
			handle := h.DeviceHandle(phone, h.account(laptop).Devices[0])
			h.revoke(phone, handle, policy.Accepted)
			h.revoke(phone, handle, policy.Gone)
		}, "person", true},
		{"all", func(h *house, laptop, _ Visitor) {
			h.move(time.Minute) // a code can be sent again
			desk := h.person("ann", "desk")
			h.ask(desk, laptop.Email)
			desk = h.onward(desk, h.accept(desk, laptop.Email))
			if o, err := h.RevokeAll(h.Context(), desk); o != policy.Accepted || err != nil {
				h.Error(o, err)
			}
			if d := h.open(desk); d.Action != policy.Pass {
				h.Errorf("the browser that asked for it: %+v", d.Decision)
			}
		}, "person", false},
		{"an operator", func(h *house, laptop, _ Visitor) {
			if a, changed, err := h.RevokeFor(h.Context(), Subject{realm, "ann"}, "her bag was stolen"); a == nil || !changed || err != nil {
				h.Error(changed, err)
			}
			if _, changed, err := h.RevokeFor(h.Context(), Subject{realm, "ann"}, "again"); changed || err != nil {
				h.Error("twice:", changed, err)
			}
			if lines := h.audit.lines(h, "devices_revoked", "count=2", "reason=her bag was stolen"); len(lines) != 1 {
				h.Errorf("%d lines of audit with the reason", len(lines))
			}
		}, "operator", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, deviceCode)
			laptop := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
			h.move(time.Minute)
			phone := h.trust(h.person("ann", "phone"), "ann.long@example.com")
			h.settle(laptop)
			for _, v := range []Visitor{laptop, phone} { // both are in the cache
				if d := h.open(v); d.Action != policy.Pass {
					t.Fatalf("%+v", d.Decision)
				}
			}
			c.revoke(h, laptop, phone)
			// The laptop entered a code in its session a minute ago: that is over, too.
			if d := h.open(laptop); d.Reason != policy.DeviceCode {
				t.Errorf("revoked: %+v", d.Decision)
			}
			if d := h.open(phone); (d.Action == policy.Pass) != c.phone {
				t.Errorf("the other one: %+v", d.Decision)
			}
			want := 2
			if c.phone {
				want = 1
			}
			if lines := h.audit.lines(t, "device_revoked", "by="+c.by, "host=app.example"); len(lines) != want {
				t.Errorf("%d lines of audit", len(lines))
			}
		})
	}
}

func TestRevokingForSomebodyNobodyKnowsMakesNoRecord(t *testing.T) {
	h := newHouse(t, deviceCode)
	if a, changed, err := h.RevokeFor(t.Context(), Subject{realm, "nobody"}, "typing mistake"); a != nil || changed || err != nil {
		t.Error(a, changed, err)
	}
	if a := h.account(h.person("nobody", "x")); a.User != "" {
		t.Error("a record was made")
	}
}

// The hot path with device_code: neither trust nor a code in the session costs the store anything.
func TestNoStoreForATrustedBrowser(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.settle(ann)
	sessionOnly, deviceOnly := ann, ann
	sessionOnly.Device, deviceOnly.Session = nil, nil
	h.open(ann)
	before := h.probe.asked()
	for range 100 {
		for _, v := range []Visitor{ann, sessionOnly, deviceOnly} {
			if d := h.open(v); d.Action != policy.Pass || d.Standing != policy.Verified {
				t.Fatalf("%+v", d.Decision)
			}
		}
	}
	if n := h.probe.asked() - before; n != 0 {
		t.Errorf("%d calls of the store", n)
	}
	// With the store away, that lasts until the minute is over; an unknown browser waits for the store.
	h.probe.faults(func(context.Context, string, string) error { return errors.New("away") }, nil)
	if d := h.open(deviceOnly); d.Action != policy.Pass {
		t.Errorf("%+v", d.Decision)
	}
	if d, err := h.Decide(t.Context(), &h.rules, h.person("ann", "library"), opening(ann)); !errors.Is(err, ErrUnavailable) || d.Action != policy.Refuse {
		t.Errorf("an unknown browser: %+v, %v", d.Decision, err)
	}
	h.move(time.Minute)
	if _, err := h.Decide(t.Context(), &h.rules, deviceOnly, opening(ann)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after a minute: %v", err)
	}
}

// Whoever is blocked from memory may have entered a code on another node a moment ago.
func TestABlockIsLookedUp(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.settle(ann)
	h.open(ann)
	other := New(h.Flow.Config) // another node
	phone := h.person("ann", "phone")
	if d, err := other.Decide(t.Context(), &h.rules, ann, opening(ann)); err != nil || d.Action != policy.Pass {
		t.Fatal(d.Decision, err)
	}
	phone = h.trust(phone, "ann.long@example.com")
	if d, err := other.Decide(t.Context(), &h.rules, phone, opening(phone)); err != nil || d.Action != policy.Pass {
		t.Errorf("%+v, %v", d.Decision, err)
	}
}

func TestTheLastUseIsWrittenOnceADayFromTheCacheToo(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.settle(ann)
	for range 40 {
		h.move(time.Hour + 7*time.Minute)
		h.open(ann)
		h.open(ann)
	}
	used := h.account(ann).Devices[0].Used
	if age := h.Now().Sub(used); age >= day || used.Equal(noon) {
		t.Errorf("used %s ago", age)
	}
	// Used every month it lasts the year, and not a day more.
	for h.Now().Before(noon.Add(360 * day)) {
		h.move(30 * day)
		h.confirmQuietly(ann)
		if d := h.open(ann); h.Now().Before(noon.Add(365*day)) && d.Action != policy.Pass {
			t.Fatalf("%s: %+v", h.Now(), d.Decision)
		}
	}
	h.set(noon.Add(365 * day))
	if d := h.open(ann); d.Reason != policy.DeviceCode {
		t.Errorf("after a year: %+v", d.Decision)
	}
}

// confirmQuietly keeps a contact confirmed, as an import does: that is no code.
func (h *house) confirmQuietly(v Visitor) {
	h.change(v, func(a *policy.Account) { a.Contacts[0].Verified = h.Now() })
}

func TestATrustedBrowserIsNotAskedToReconfirm(t *testing.T) {
	h := newHouse(t) // device_code off
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	for h.Now().Before(noon.Add(200 * day)) {
		h.move(20 * day)
		h.open(ann)
	}
	if d := h.open(ann); d.Action != policy.Pass || d.Reason != policy.TrustedBrowser || d.Standing != policy.Due || d.Email != "" {
		t.Errorf("%+v, %q", d.Decision, d.Email)
	}
	if d := h.open(h.person("ann", "library")); d.Action != policy.Ask {
		t.Errorf("another browser: %+v", d.Decision)
	}
}

func TestTrustOutlivesRestartsAndKeyRotation(t *testing.T) {
	h := newHouse(t, deviceCode)
	ann := h.trust(h.person("ann", "laptop"), "ann.long@example.com")
	h.settle(ann)
	ann.Session = nil
	h.restart()
	if d := h.open(ann); d.Action != policy.Pass {
		t.Errorf("after a restart: %+v", d.Decision)
	}
	h.rotate()
	h.restart()
	if d := h.open(ann); d.Action != policy.Pass {
		t.Errorf("after a key rotation: %+v", d.Decision)
	}
}

func TestAtMostTwentyBrowsersAreTrusted(t *testing.T) {
	h := newHouse(t, deviceCode, func(h *house) {
		h.rules.Limits.SendsPerHour, h.rules.Limits.SendsPerDay = 1000, 1000
	})
	var all []Visitor
	for i := range 25 {
		h.move(time.Minute)
		all = append(all, h.trust(h.person("ann", fmt.Sprint("browser", i)), "ann.long@example.com"))
	}
	for i, v := range all {
		v.Session = nil
		if d := h.open(v); (d.Action == policy.Pass) != (i >= 5) {
			t.Errorf("browser %d: %+v", i, d.Decision)
		}
	}
}
