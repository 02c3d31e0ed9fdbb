package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	laptop = []byte("device-1")
	phone  = []byte("device-2")
)

// trusting is an account with a confirmed contact whose person ticked the box on their laptop at noon.
func trusting() *Account {
	a := &Account{User: "ann", EverVerified: true, Contacts: []Contact{{ID: "c1", Kind: Email, Address: "ann@example.com", Verified: noon}}}
	a.CodeEntered(nil, here, "c1", noon)
	a.Trust(here, Device{ID: laptop, Host: "app.example", Browser: "Firefox"}, Defaults().Trust, noon)
	return a
}

// asked6 is rule 6 at a moment, for a browser with this evidence.
func (a *Account) asked6(e Evidence, t Trust, now time.Time) bool {
	r := Defaults()
	r.DeviceCode, r.Trust, r.Reconfirm = true, t, 0
	return r.Decide(Request{Kind: Opening, User: a.User, Evidence: e}, a.Facts(now), now).Reason == DeviceCode
}

func TestTrustEndsAtEachOfItsEdges(t *testing.T) {
	trust := Defaults().Trust
	used := func(at time.Time) *Account { a := trusting(); a.Devices[0].Used = at; return a }
	for _, c := range []struct {
		name string
		a    *Account
		t    Trust
		last time.Time // the last moment of trust
	}{
		{"60 days unused", trusting(), trust, ahead(60*day - tick)},
		{"60 days after the last use", used(ahead(59 * day)), trust, ahead(119*day - tick)},
		{"a year in all, used to the end", used(ahead(364 * day)), trust, ahead(365*day - tick)},
		{"a last use from a clock that was ahead gives no more than a year", used(ahead(900 * day)), trust, ahead(365*day - tick)},
		{"the operator shortened it", used(ahead(29 * day)), Trust{For: 30 * day, Unused: 60 * day, Most: 20}, ahead(30*day - tick)},
		{"the operator shortened the time unused", trusting(), Trust{For: 365 * day, Unused: 7 * day, Most: 20}, ahead(7*day - tick)},
		{"the operator lengthened it: what the person was told stays", used(ahead(364 * day)), Trust{For: 400 * day, Unused: 60 * day, Most: 20}, ahead(365*day - tick)},
	} {
		e := Evidence{Device: laptop}
		if c.a.asked6(e, c.t, c.last) || !c.a.asked6(e, c.t, c.last.Add(tick)) {
			t.Errorf("%s: %v in the last moment, %v after it", c.name, c.a.asked6(e, c.t, c.last), c.a.asked6(e, c.t, c.last.Add(tick)))
		}
		if got := c.a.Devices[0].Until(c.t); !got.Equal(c.last.Add(tick)) {
			t.Errorf("%s: told %s", c.name, got)
		}
		if len(c.a.TrustedDevices(c.t, c.last)) != 1 || len(c.a.TrustedDevices(c.t, c.last.Add(tick))) != 0 {
			t.Errorf("%s: listed otherwise", c.name)
		}
	}
}

func TestACodeInASessionLastsTwelveHours(t *testing.T) {
	a := trusting()
	e := Evidence{Session: here}
	if a.asked6(e, Defaults().Trust, ahead(12*time.Hour-tick)) || !a.asked6(e, Defaults().Trust, ahead(12*time.Hour)) {
		t.Error("not twelve hours")
	}
	if !a.IsFresh(here, ahead(10*time.Minute-tick)) || a.IsFresh(here, ahead(10*time.Minute)) {
		t.Error("fresh for ten minutes")
	}
}

func TestSeveralBrowsersCanHaveEnteredACode(t *testing.T) {
	a := trusting()
	a.CodeEntered(elsewhere, next, "c1", ahead(time.Minute))
	if !a.IsFresh(here, ahead(2*time.Minute)) || !a.IsFresh(next, ahead(2*time.Minute)) {
		t.Error("the second browser's code ended the first one's")
	}
	// A session that goes on as another one is not a second one.
	a.CodeEntered(here, []byte("after"), "c1", ahead(time.Hour))
	if a.IsFresh(here, ahead(time.Hour)) || len(a.Entered) != 2 {
		t.Errorf("%d sessions; the one before is fresh: %v", len(a.Entered), a.IsFresh(here, ahead(time.Hour)))
	}
	for i := range 100 {
		a.CodeEntered(nil, fmt.Append(nil, "many", i), "c1", ahead(time.Hour))
	}
	if len(a.Entered) != 20 || string(a.Entered[19].Session) != "many99" {
		t.Errorf("%d are remembered, the last is %s", len(a.Entered), a.Entered[len(a.Entered)-1].Session)
	}
	a.CodeEntered(nil, here, "c1", ahead(13*time.Hour))
	if len(a.Entered) != 1 {
		t.Errorf("%d are remembered, all but one too old", len(a.Entered))
	}
	a.CodeEntered(here, nil, "c1", ahead(13*time.Hour))
	if len(a.Entered) != 0 {
		t.Error("no session has entered a code")
	}
}

func TestTrustComesFromACodeThatWasJustEntered(t *testing.T) {
	trust := Defaults().Trust
	fresh := func() *Account {
		a := trusting()
		a.Devices = nil
		return a
	}
	for _, c := range []struct {
		name    string
		change  func(a *Account)
		session []byte
		device  []byte
		t       Trust
		at      time.Time
		want    bool
	}{
		{"with the code", func(*Account) {}, here, laptop, trust, noon, true},
		{"a moment later: another update", func(*Account) {}, here, laptop, trust, ahead(tick), false},
		{"another session", func(*Account) {}, elsewhere, laptop, trust, noon, false},
		{"no session", func(a *Account) { a.Entered[0].Session = nil }, nil, laptop, trust, noon, false},
		{"no device", func(*Account) {}, here, nil, trust, noon, false},
		{"no code", func(a *Account) { a.Entered = nil }, here, laptop, trust, noon, false},
		{"what it proved is gone", func(a *Account) { a.Contacts[0].Retired = true }, here, laptop, trust, noon, false},
		{"rules that nobody filled in", func(*Account) {}, here, laptop, Trust{}, noon, false},
	} {
		a := fresh()
		c.change(a)
		d, ok := a.Trust(c.session, Device{ID: c.device}, c.t, c.at)
		if ok != c.want || (len(a.Devices) == 1) != c.want {
			t.Errorf("%s: %v, %d devices", c.name, ok, len(a.Devices))
		}
		if ok && (!d.Ends.Equal(ahead(365*day)) || d.By != "c1" || !d.Used.Equal(noon)) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	// Neither "not now", nor grace, nor an operator's mark touches the list.
	a, r := fresh(), Defaults()
	a.Entered = nil
	a.visit(&r, Opening, noon)
	a.Asked, a.ExemptUntil = noon, ahead(day)
	if f := a.Facts(noon); len(f.Devices) != 0 || len(f.Entered) != 0 {
		t.Error("trusted without a code")
	}
}

// A contact on hold proves nothing yet: whoever added it may be somebody else.
func TestACodeOfAContactOnHoldIsNeitherTrustNorFresh(t *testing.T) {
	a := adding(asked(), false)
	a.EverVerified = true
	a.Attempt(here, right, DefaultLimits(), noon)
	a.Confirm(next, 72*time.Hour, noon)
	if _, ok := a.Trust(next, Device{ID: laptop}, Defaults().Trust, noon); ok || len(a.Entered) != 0 || len(a.Devices) != 0 {
		t.Errorf("trusted: %v; %d sessions have entered a code", ok, len(a.Entered))
	}
}

// The browser goes on in another session all the same: what was entered before goes with it, and is nothing to whoever
// knew the one before.
func TestWhatWasEnteredBeforeGoesOnWithTheSession(t *testing.T) {
	a := adding(asked(), false)
	a.EverVerified, a.Contacts[0].Verified = true, ago(day)
	a.CodeEntered(nil, here, "c1", ago(time.Hour))
	a.Attempt(here, right, DefaultLimits(), noon)
	a.Confirm(next, 72*time.Hour, noon)
	if !a.asked6(Evidence{Session: here}, Defaults().Trust, noon) || a.asked6(Evidence{Session: next}, Defaults().Trust, noon) {
		t.Error("it stayed with the session before")
	}
	if _, ok := a.Trust(next, Device{ID: laptop}, Defaults().Trust, noon); ok {
		t.Error("trusted by a code of an hour ago")
	}
	if !a.asked6(Evidence{Session: next}, Defaults().Trust, ahead(11*time.Hour)) {
		t.Error("it lasts longer for it")
	}
}

func TestTrustDoesNotOutliveWhatTheCodeProved(t *testing.T) {
	a := trusting()
	a.Contacts = append(a.Contacts, Contact{ID: "c2", Kind: Email, Address: "two@example.com", Verified: noon})
	e := Evidence{Session: here, Device: laptop}
	if a.asked6(e, Defaults().Trust, ahead(tick)) {
		t.Fatal("asked for a code")
	}
	a.Contacts[0].Retired = true
	if !a.asked6(e, Defaults().Trust, ahead(tick)) || a.IsFresh(here, ahead(tick)) || len(a.TrustedDevices(Defaults().Trust, ahead(tick))) != 0 {
		t.Error("the contact is gone, and the trust in it is not")
	}
}

func TestTheOldestTrustedBrowserMakesRoom(t *testing.T) {
	a, trust := trusting(), Defaults().Trust
	for i := 1; i <= 100; i++ {
		at := ahead(time.Duration(i) * time.Minute)
		a.CodeEntered(nil, fmt.Append(nil, "s", i), "c1", at)
		if _, ok := a.Trust(fmt.Append(nil, "s", i), Device{ID: fmt.Append(nil, "d", i)}, trust, at); !ok {
			t.Fatal("not trusted")
		}
		if want := min(i+1, 20); len(a.Devices) != want {
			t.Fatalf("%d trusted after %d", len(a.Devices), i+1)
		}
	}
	at := ahead(101 * time.Minute)
	if !a.asked6(Evidence{Device: []byte("d80")}, trust, at) || a.asked6(Evidence{Device: []byte("d81")}, trust, at) {
		t.Error("not the oldest went")
	}
	if list := a.TrustedDevices(trust, at); len(list) != 20 || string(list[0].ID) != "d100" {
		t.Errorf("%d listed, the first is %s", len(list), list[0].ID)
	}
	// What has ended makes room by itself.
	late := ahead(200 * day)
	a.CodeEntered(nil, here, "c1", late)
	a.Trust(here, Device{ID: laptop}, trust, late)
	if len(a.Devices) != 1 {
		t.Errorf("%d are remembered, all but one unused for too long", len(a.Devices))
	}
}

func TestABrowserThatIsTickedAgainIsOneBrowser(t *testing.T) {
	a, trust := trusting(), Defaults().Trust
	later := ahead(day)
	a.CodeEntered(nil, next, "c1", later)
	a.OnDevice(next, laptop)
	a.Trust(next, Device{ID: phone}, trust, later)
	if len(a.Devices) != 1 || !bytes.Equal(a.Devices[0].ID, phone) {
		t.Errorf("%d devices", len(a.Devices))
	}
	// The same form once more.
	a.Trust(next, Device{ID: phone}, trust, later)
	if len(a.Devices) != 1 {
		t.Errorf("%d devices", len(a.Devices))
	}
}

func TestRevokingEndsWhatWasEnteredThereToo(t *testing.T) {
	two := func() *Account {
		a := trusting()
		a.CodeEntered(nil, elsewhere, "c1", ahead(tick))
		a.Trust(elsewhere, Device{ID: phone}, Defaults().Trust, ahead(tick))
		a.CodeEntered(nil, []byte("no device"), "c1", ahead(tick))
		return a
	}
	asks := func(a *Account, e Evidence) bool { return a.asked6(e, Defaults().Trust, ahead(time.Minute)) }
	both, other := Evidence{Session: here, Device: laptop}, Evidence{Session: elsewhere, Device: phone}

	a := two()
	if d, ok := a.Revoke(laptop); !ok || d.Host != "app.example" || !asks(a, both) || asks(a, other) {
		t.Errorf("one: %v, %v, %v", ok, asks(a, both), asks(a, other))
	}
	if _, ok := a.Revoke(laptop); ok {
		t.Error("revoked twice")
	}
	if _, ok := a.Revoke(nil); ok {
		t.Error("no device was revoked")
	}
	// A code that was entered later in the same browser, without the tick, is in that browser all the same.
	a = two()
	a.CodeEntered(here, next, "c1", ahead(time.Second))
	a.OnDevice(next, laptop)
	a.OnDevice(next, []byte("never heard of"))
	if a.Revoke(laptop); !asks(a, Evidence{Session: next, Device: laptop}) || a.IsFresh(next, ahead(time.Minute)) {
		t.Error("the session of a revoked browser goes on")
	}

	a = two()
	if n := len(a.RevokeAll(nil)); n != 2 || !asks(a, both) || !asks(a, other) || !asks(a, Evidence{Session: []byte("no device")}) || len(a.Entered) != 0 {
		t.Errorf("all: %d; %d sessions are left", n, len(a.Entered))
	}
	a = two()
	if a.RevokeAll(here); len(a.Devices) != 0 || asks(a, both) || !asks(a, other) || !a.IsFresh(here, ahead(time.Minute)) {
		t.Errorf("all but what was entered here: %d devices", len(a.Devices))
	}
}

func TestTheLastUseIsWrittenOnceADay(t *testing.T) {
	r, a := Defaults(), trusting()
	r.DeviceCode = true
	see := func(now time.Time, kind RequestKind, fleeting bool) bool {
		q := Request{Kind: kind, User: "ann", Fleeting: fleeting, Evidence: Evidence{Device: laptop}}
		d := r.Decide(q, a.Facts(now), now)
		a.Record(&r, q, d, now)
		return d.UsesDevice
	}
	if see(noon, Opening, false) || see(ahead(day-tick), Other, false) {
		t.Error("written within the day")
	}
	if see(ahead(day), OpeningHead, true) {
		t.Error("a HEAD is nobody's use")
	}
	if !see(ahead(day), Other, false) || !a.Devices[0].Used.Equal(ahead(day)) || see(ahead(2*day-tick), Other, false) {
		t.Error("not written after a day, or twice")
	}
	// Used now and then, it lasts the year.
	for d := day; d < 365*day; d += 30 * day {
		see(ahead(d), Other, false)
	}
	if got := a.Devices[0].Until(r.Trust); !got.Equal(ahead(365 * day)) {
		t.Errorf("until %s", got)
	}
	// Where a day is longer than it may be unused, it is written more often.
	r.Trust.Unused = time.Minute
	a = trusting()
	if see(ahead(time.Second-tick), Other, false) || !see(ahead(time.Second), Other, false) {
		t.Error("not once a second")
	}
	// A browser that nobody trusts is not used.
	if d := r.Decide(Request{Evidence: Evidence{Device: phone}}, a.Facts(ahead(30*day)), ahead(30*day)); d.UsesDevice {
		t.Error("used")
	}
}

func TestACodeOnThisBrowserStartsNoGrace(t *testing.T) {
	r := Defaults()
	r.DeviceCode = true
	for _, f := range []Facts{{Confirmed: ago(day)}, {Confirmed: ago(300 * day)}, {Authenticator: true}} {
		d := r.Decide(Request{Kind: Opening, User: "ann"}, f, noon)
		if d.Reason != DeviceCode || !d.Interrupt || d.Records() {
			t.Errorf("%+v", d)
		}
		if d := r.Decide(Request{Kind: Other, User: "ann"}, f, noon); d.Action != Block || d.Interrupt || d.Records() {
			t.Errorf("a fetch: %+v", d)
		}
	}
	// Reminded, it interrupts as often as anything else does.
	r.Mode = Remind
	for asked, want := range map[time.Time]bool{{}: true, ago(day - tick): false, ago(day): true} {
		if d := r.Decide(Request{Kind: Opening, User: "ann"}, Facts{Confirmed: ago(day), Asked: asked}, noon); d.Interrupt != want || d.RecordAsk != want || d.StartsShown {
			t.Errorf("asked at %s: %+v", asked, d)
		}
	}
}

func TestTrustIsRefusedOutsideItsBounds(t *testing.T) {
	for _, c := range []struct {
		t    Trust
		want []string
	}{
		{Trust{365 * day, 60 * day, 20}, nil},
		{Trust{time.Second, time.Second, 1}, nil},
		{Trust{400 * day, 400 * day, 100}, nil},
		{Trust{400*day + 1, day, 20}, []string{"trust 9600h0m0.000000001s: use 1s to 400d; browsers keep no cookie for longer"}},
		{Trust{}, []string{"trust 0s: use 1s to 400d", "trust unused 0s: use at least 1s", "trust most 0: use 1 to 100"}},
		{Trust{day, day, 101}, []string{"trust most 101: use 1 to 100"}},
	} {
		r := Defaults()
		r.Trust = c.t
		err := r.Validate()
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if len(lines) != len(c.want) || !slices.EqualFunc(lines, c.want, strings.HasPrefix) {
			t.Errorf("%+v: %q", c.t, lines)
		}
	}
}
