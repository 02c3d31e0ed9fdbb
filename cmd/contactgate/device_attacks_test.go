package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Group I of attacks.md, for trusted browsers: the sites of realm device ask for a code on every other one.

const devicePrefix = gateCookie + "-device-"

// enterCode asks for a code and enters it, with more fields in that form: "trust", "on". The answer is not followed.
func (p *person) enterCode(fields ...string) *answer {
	p.t.Helper()
	before := len(p.rig.Mails(p.Email))
	page := p.AskCode(p.Email)
	code := p.rig.WaitMail(p.t, p.Email, before+1).Code()
	return p.Submit(page, "verify/code", append([]string{"code", code}, fields...)...)
}

// Trust confirms the person's own address and ticks the box. It returns the cookie of the trusted browser.
func (p *person) Trust() *http.Cookie {
	p.t.Helper()
	a := p.enterCode("trust", "on")
	mustStatus(p.t, a, http.StatusSeeOther)
	mustStatus(p.t, p.Follow(a), http.StatusOK)
	p.NewCase()
	return deviceCookie(a)
}

// deviceCookie is the cookie of a trusted browser that an answer sets; nil: none.
func deviceCookie(a *answer) *http.Cookie {
	for _, c := range a.Cookies() {
		if strings.HasPrefix(c.Name, devicePrefix) && c.MaxAge > 0 {
			return c
		}
	}
	return nil
}

// onlyDevice is a browser that has lost its session and kept the cookie by which it is trusted.
func (p *person) onlyDevice(c *http.Cookie) *person {
	p.t.Helper()
	p.ForgetCookies()
	p.SetCookie(c.Name, c.Value)
	return p
}

func (p *person) wantDeviceCode(what string) {
	p.t.Helper()
	p.wantPage(what, p.Open("/app"))
	if page := p.Visit("/app"); !strings.Contains(page.Text(), "Confirm it is you on this browser") {
		p.t.Errorf("%s: %s", what, page.Text())
	}
	p.NewCase()
}

// The walk: a code and a tick, and from then on this browser is not asked, and every other one is.
func TestDeviceCodeAsksOnEveryOtherBrowser(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann := newPerson(t, r, "device.example", "ann")
	page := ann.AskCode(ann.Email)
	if f, ok := page.Form("verify/code", 0); !ok || f.Fields.Has("trust") || !strings.Contains(page.Body, `type="checkbox" id="trust" name="trust" value="on"`) {
		t.Fatalf("the box is missing, or ticked: %s", page.Text())
	}
	a := ann.Submit(page, "verify/code", "code", r.WaitMail(t, ann.Email, 1).Code(), "trust", "on")
	mustStatus(t, a, http.StatusSeeOther)
	if done := ann.Follow(a); !strings.Contains(done.Text(), "This browser is trusted until") || !strings.Contains(done.Text(), "60 days") {
		t.Errorf("the last step does not say so: %s", done.Text())
	}
	cookie := deviceCookie(a)
	if cookie == nil {
		t.Fatal("no cookie")
	}
	seen := ann.NewCase().wantPass("with both cookies", ann.Open("/app"))
	if seen.Header.Get("Contactgate-Status") != "verified" {
		t.Errorf("%v", seen.Header)
	}
	ann.onlyDevice(cookie).wantPass("by the cookie of the trusted browser alone", ann.Open("/app"))
	ann.wantPass("a fetch", ann.Fetch(http.MethodGet, "/app"))
	if status := ann.Fetch(http.MethodGet, "/.contactgate/status"); !strings.Contains(status.Body, `"status":"verified"`) {
		t.Errorf("%s", status.Body)
	}

	library := ann.AnotherBrowser()
	library.wantDeviceCode("another browser")
	problem := library.Fetch(http.MethodGet, "/app")
	library.wantProblem("a fetch of another browser", problem)
	if !strings.Contains(problem.Body, "Confirm it is you on this browser") || !strings.Contains(problem.Body, `"deadline":null`) {
		t.Errorf("%s", problem.Body)
	}
	form := library.Post("/app/save", url.Values{"text": {"x"}})
	if !wantStatus(t, "a form of another browser", form, http.StatusForbidden) || !strings.Contains(form.Text(), "it is you on this browser") {
		t.Errorf("%s", form.Text())
	}
	if text := library.Visit("/app").Text(); strings.Contains(text, "Not now") {
		t.Errorf("it can be put off: %s", text)
	}
	// A code without the tick lets this session through, back to where it was going.
	library.Visit("/app?x=1&y=(a)'b")
	prove := library.Submit(library.Visit("/app?x=1"), "verify/send")
	code := library.Follow(library.Submit(prove, "verify/send", "proof", ann.Email))
	entered := library.Submit(code, "verify/code", "code", r.WaitMail(t, ann.Email, 2).Code())
	mustStatus(t, entered, http.StatusSeeOther)
	done := library.Follow(entered)
	if deviceCookie(entered) != nil || strings.Contains(done.Text(), "trusted") || continueLink(done) != "/app?x=1" {
		t.Errorf("without a tick: %v, on to %q, %s", deviceCookie(entered), continueLink(done), done.Text())
	}
	library.NewCase()
	library.wantPass("the session that entered a code", library.Open("/app"))
	library.ForgetCookies()
	library.wantDeviceCode("I10: without its cookies")
	if lines := r.Audit(t, ann.User, "device_trusted"); len(lines) != 1 || lines[0]["host"] != "device.example" || lines[0]["browser"] != "Chrome" {
		t.Errorf("the audit says %v", lines)
	}
}

func TestI01DeviceCookiesAreWhatTheContractSays(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	c := p.Trust()
	if c == nil || !regexp.MustCompile(`^__Host-contactgate-device-[0-9a-f]{8}$`).MatchString(c.Name) {
		t.Fatalf("I01: %v", c)
	}
	if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 365*24*60*60 {
		t.Errorf("I01: %+v", c)
	}
	sum := 0
	for name, value := range p.Cookies() {
		if strings.HasPrefix(name, gateCookie) {
			sum += len(name) + len(value) + 2
		}
	}
	if sum > 1000 || len(c.Name)+len(c.Value) > 300 {
		t.Errorf("I01: %d bytes in all, %d of them for the trusted browser", sum, len(c.Name)+len(c.Value))
	}
	if brief := newPerson(t, r, "brief.example", "ida").Trust(); brief.MaxAge != 6 {
		t.Errorf("I01: %d s instead of 6", brief.MaxAge)
	}
}

func TestI03DeviceCookiesAreForOneSiteUnderOneName(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	c := p.Trust()
	session := p.Cookies()[gateCookie]
	other := p.AnotherBrowser().At("device2.example")
	other.SetCookie(c.Name, c.Value)
	other.wantDeviceCode("I03: the other host, with the same keys and accounts")
	if lines := r.Audit(t, p.User, "device_misused"); len(lines) != 1 {
		t.Errorf("I03: %d lines of audit", len(lines))
	}
	for what, cookies := range map[string][2]string{
		"the device as a session":                {gateCookie, c.Value},
		"the session as a device":                {c.Name, session},
		"the device under a name without a mark": {gateCookie + "-device", c.Value},
		"the device under a longer name":         {c.Name + "00", c.Value},
		"the device under the plain name":        {strings.TrimPrefix(c.Name, "__Host-"), c.Value},
		"the device in capitals":                 {strings.ToUpper(c.Name), c.Value},
	} {
		q := p.AnotherBrowser()
		q.SetCookie(cookies[0], cookies[1])
		q.wantDeviceCode("I03: " + what)
	}
}

func TestI04DeviceCookiesAreWholeOrNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	c := p.Trust()
	p.ForgetCookies()
	try := func(what, value string) {
		t.Helper()
		p.SetCookie(c.Name, value)
		p.wantProblem("I04: "+what, p.Fetch(http.MethodGet, "/app"))
	}
	for i := range len(c.Value) {
		bad := c.Value[:i] + string(c.Value[i]^1) + c.Value[i+1:]
		if strings.ContainsAny(bad, "\";, \\=") || bad[i] < 0x21 {
			continue
		}
		if i >= len(c.Value)-3 && c.Value[i] != bad[i] {
			continue // the last letters of base64 have bits that mean nothing
		}
		try(fmt.Sprint("byte ", i), bad)
	}
	for _, odd := range []string{c.Value[:len(c.Value)/2], c.Value[1:], c.Value + c.Value, strings.Repeat("x", 7000), "|||", "1|2|3", "", c.Value + "|", "|" + c.Value} {
		try(fmt.Sprintf("%.20q", odd), odd)
		// On a page of ours it is taken away, and that is the end of it: no loop.
		p.SetCookie(c.Name, odd)
		wantStatus(t, "I04: our page", p.Open("/.contactgate/verify"), http.StatusOK)
		if value, sent := p.Cookies()[c.Name]; sent {
			t.Errorf("I04: %.20q is not cleared", value)
		}
	}
	p.onlyDevice(c).wantPass("I04: the whole one", p.Open("/app"))
}

func TestI05TwoDeviceCookiesOfOneName(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	c := p.Trust()
	good := c.Name + "=" + c.Value
	for what, cookies := range map[string]string{
		"first wrong, second right": c.Name + "=wrong; " + good,
		"first right, second wrong": good + "; " + c.Name + "=wrong",
		"among others":              "a=b;" + good + ";c=d",
		"$Version":                  "$Version=1; " + good,
	} {
		q := p.AnotherBrowser()
		q.jar, q.client.Jar = nil, nil
		q.With("Cookie", "sess="+p.User+"; "+cookies)
		q.wantPass("I05: "+what, q.Open("/app"))
	}
	for what, cookies := range map[string]string{
		"a blank that is none": "\u2000" + good, "in quotes": c.Name + `="` + c.Value + `"`, "no value": c.Name,
	} {
		q := p.AnotherBrowser()
		q.jar, q.client.Jar = nil, nil
		q.With("Cookie", "sess="+p.User+"; "+cookies)
		if a := q.Open("/app"); a.StatusCode != http.StatusSeeOther {
			t.Errorf("I05: %s: %d", what, a.StatusCode)
		}
		q.wantUnseen("I05: " + what)
	}
}

func TestI06TrustEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	c := p.Trust()
	p.wantPass("I06: before", p.Open("/app"))
	if a := r.Accounts(t, "revoke", "device", p.User); !a.Changed || a.Standing != "verified" {
		t.Errorf("I06: %+v", a)
	}
	// With the session in which the code was entered, too.
	p.wantDeviceCode("I06: revoked by an operator")
	if _, sent := p.Cookies()[c.Name]; sent {
		t.Error("I06: the cookie is not cleared")
	}
	p.onlyDevice(c).wantDeviceCode("I06: and brought back")
	if lines := r.Audit(t, p.User, "devices_revoked"); len(lines) != 1 || lines[0]["reason"] != "a test" || lines[0]["by"] != "operator" {
		t.Errorf("I06: the audit says %v", lines)
	}
	if a := r.Accounts(t, "revoke", "device", p.User); a.Changed {
		t.Error("I06: revoked twice")
	}
	// By the command, too.
	again := p.Trust()
	out, err := r.Command("gate", "accounts", "revoke", p.User, "--reason", "lost", "--realm", "device", "--address", "unix/"+filepath.Join(r.dir, "admin.sock"))
	if exitStatus(err) != 0 || !strings.Contains(out, p.User) || !strings.Contains(out, "verified") {
		t.Errorf("I06: %v: %s", err, out)
	}
	p.onlyDevice(again).wantDeviceCode("I06: revoked by the command")
	// The record decides, whatever the browser makes of Max-Age.
	brief := newPerson(t, r, "brief.example", "bo")
	kept := brief.Trust()
	brief.onlyDevice(kept).wantPass("I06: within its time", brief.Open("/app"))
	time.Sleep(6 * time.Second)
	brief.onlyDevice(kept).wantDeviceCode("I06: over by the record")
	// Frozen and lifted again, nothing of it is left.
	frosty := newPerson(t, r, "device.example", "fay")
	frozen := frosty.Trust()
	r.Accounts(t, "freeze", "device", frosty.User)
	r.Accounts(t, "unfreeze", "device", frosty.User)
	frosty.onlyDevice(frozen).wantDeviceCode("I06: after freezing")
}

func TestI07NoTrustWithoutTheCode(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	page := p.AskCode(p.Email)
	code := r.WaitMail(t, p.Email, 1).Code()
	none := func(what string, a *answer) {
		t.Helper()
		if c := deviceCookie(a); c != nil {
			t.Errorf("I07: %s is trusted", what)
		}
	}
	f, _ := page.Form("verify/code", 0)
	with := func(pairs ...string) url.Values {
		fields := url.Values{"csrf": f.Fields["csrf"]}
		for i := 0; i < len(pairs); i += 2 {
			fields.Set(pairs[i], pairs[i+1])
		}
		return fields
	}
	none("a wrong code", p.Post(f.Action, with("code", otherCode(code), "trust", "on")))
	none("no code", p.Post(f.Action, with("trust", "on")))
	none("a short code", p.Post(f.Action, with("code", "123", "trust", "on")))
	none("another site", p.Post(f.Action, with("code", code, "trust", "on"), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"))
	none("no form token", p.Post(f.Action, url.Values{"code": {code}, "trust": {"on"}}))
	none("GET", p.Open("/.contactgate/verify/code?trust=on&code=123456"))
	none("twice ticked", p.Post(f.Action, url.Values{"csrf": f.Fields["csrf"], "code": {code}, "trust": {"on", "on"}}))
	none("not now", p.Post("/.contactgate/verify/later", url.Values{"csrf": f.Fields["csrf"], "trust": {"on"}}))
	none("somebody else's browser", func() *answer {
		q := p.AnotherBrowser()
		q.Visit("/.contactgate/verify")
		return q.Post(f.Action, with("code", code, "trust", "on"))
	}())
	if lines := r.Audit(t, p.User, "device_trusted"); len(lines) != 0 {
		t.Errorf("I07: the audit says %v", lines)
	}
	// The tick that came with the wrong code is on the page still; what counts is the form that the right code comes with.
	again := p.Visit("/.contactgate/verify/code")
	if f, _ := again.Form("verify/code", 0); f.Fields.Get("trust") != "on" {
		t.Errorf("I07: the tick is forgotten")
	}
	a := p.Post(f.Action, with("code", code, "trust", "yes"))
	mustStatus(t, a, http.StatusSeeOther)
	none("another word in the field", a)
}

// I09 and security.md, rule 11: a copied cookie does nothing on another account, and is audited.
func TestI09ACopiedDeviceDoesNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann, eve := newPerson(t, r, "device.example", "ann"), newPerson(t, r, "device.example", "eve")
	anns, eves := ann.Trust(), eve.Trust()
	if anns.Name == eves.Name {
		t.Fatal("two people have one cookie")
	}
	// In one browser, one after the other: each has their own, and neither is in the other's way.
	shared := ann.AnotherBrowser()
	shared.SetCookie(anns.Name, anns.Value)
	shared.SetCookie(eves.Name, eves.Value)
	shared.wantPass("I09: ann", shared.Open("/app"))
	shared.SetCookie("sess", eve.User)
	shared.wantPass("I09: then eve", shared.Open("/app"))
	if n := len(r.Audit(t, ann.User, "device_misused")) + len(r.Audit(t, eve.User, "device_misused")); n != 0 {
		t.Errorf("I09: a shared browser is no misuse, %d lines of audit", n)
	}
	eve.ForgetCookies()
	eve.SetCookie(anns.Name, anns.Value)
	eve.wantDeviceCode("I09: ann's cookie in eve's browser")
	eve.ForgetCookies()
	for range 3 {
		eve.SetCookie(eves.Name, anns.Value)
		eve.wantGated("I09: ann's value under eve's name", eve.Fetch(http.MethodGet, "/app"))
	}
	if lines := r.Audit(t, eve.User, "device_misused"); len(lines) != 1 {
		t.Errorf("I09: %d lines of audit instead of 1", len(lines))
	}
	eve.Visit("/.contactgate/verify")
	if _, sent := eve.Cookies()[eves.Name]; sent {
		t.Error("I09: it is not cleared")
	}
	ann.onlyDevice(anns).wantPass("I09: ann's own browser", ann.Open("/app"))
}

func TestI13AtMostTwentyBrowsersAndFiveCookies(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "ida")
	cookies := []*http.Cookie{p.Trust()}
	for range 20 {
		cookies = append(cookies, p.AnotherBrowser().Trust())
	}
	q := p.AnotherBrowser()
	q.onlyDevice(cookies[0]).wantDeviceCode("I13: the oldest of 21")
	q.onlyDevice(cookies[1]).wantPass("I13: the second", q.Open("/app"))
	q.onlyDevice(cookies[20]).wantPass("I13: the last", q.Open("/app"))

	// Six people in one browser: the oldest cookie goes. The seconds in the values tell which that is.
	family := newPerson(t, r, "device.example", "one")
	var names []string
	for i := range 6 {
		member := newPerson(t, r, "device.example", fmt.Sprint("fam", i))
		family.User, family.Email = member.User, member.Email
		family.SetCookie("sess", member.User)
		names = append(names, family.Trust().Name)
		if i == 0 {
			time.Sleep(1100 * time.Millisecond)
		}
	}
	held := family.Cookies()
	count := 0
	for name := range held {
		if strings.HasPrefix(name, devicePrefix) {
			count++
		}
	}
	if _, oldest := held[names[0]]; count != 5 || oldest {
		t.Errorf("I13: %d cookies, the oldest among them: %v", count, oldest)
	}
}

// F01 with trust: whichever answer of a double click the browser keeps, it has entered the code and is trusted.
func TestF01ADoubleClickIsTrustedOnce(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "dot")
	page := p.AskCode(p.Email)
	code := r.WaitMail(t, p.Email, 1).Code()
	f, _ := page.Form("verify/code", 0)
	f.Fields.Set("code", code)
	f.Fields.Set("trust", "on")
	before := p.Cookies()[gateCookie]
	first := p.Post(f.Action, f.Fields)
	q := p.AnotherBrowser() // the same browser, in which the first answer never arrived
	q.SetCookie(gateCookie, before)
	second := q.Post(f.Action, f.Fields)
	a, b := deviceCookie(first), deviceCookie(second)
	if a == nil || b == nil || a.Name != b.Name {
		t.Fatalf("F01: %v, then %v", a, b)
	}
	q.NewCase()
	q.wantPass("F01: with the second answer", q.Open("/app"))
	q.ForgetCookies()
	for _, c := range second.Cookies() {
		if c.Name == gateCookie {
			q.SetCookie(c.Name, c.Value)
		}
	}
	q.wantPass("F01: with the session of the second answer alone", q.Open("/app"))
	q.onlyDevice(a).wantPass("F01: with the device of the first", q.Open("/app"))
	q.onlyDevice(b).wantPass("F01: with the device of the second", q.Open("/app"))
	if lines := r.Audit(t, p.User, "device_trusted"); len(lines) != 1 {
		t.Errorf("F01: trusted %d times", len(lines))
	}
}

// K04 with device_code: another browser is asked for a code, and no grace starts for that.
func TestK04ACodeOnABrowserStartsNoGrace(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "kay")
	p.Trust()
	began := len(r.Audit(t, p.User, "grace_started"))
	for range 3 {
		p.AnotherBrowser().wantDeviceCode("K04")
	}
	if n := len(r.Audit(t, p.User, "grace_started")); n != began {
		t.Errorf("K04: grace started %d times more", n-began)
	}
}

// A contact that is added without a fresh code is on hold, and the page says until when: it cannot confirm this browser.
func TestAContactOnHoldCannotConfirmABrowser(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "hal")
	p.Trust()
	thief := p.AnotherBrowser()
	add := thief.Visit("/.contactgate/contacts/new")
	if !strings.Contains(add.Text(), "Until then it cannot be used to confirm this browser.") {
		t.Errorf("the page for a new contact: %s", add.Text())
	}
	evil := unique("evil") + ".long@example.org"
	r.oracle.secret("address", evil)
	code := thief.Follow(thief.Submit(add, "contacts/new", "address", evil))
	if f, _ := code.Form("verify/code", 0); f.Fields.Has("trust") || strings.Contains(code.Body, `name="trust"`) {
		t.Error("the box is shown where it cannot count")
	}
	a := thief.Submit(code, "verify/code", "code", r.WaitMail(t, evil, 1).Code(), "trust", "on")
	mustStatus(t, a, http.StatusSeeOther)
	done := thief.Follow(a)
	if deviceCookie(a) != nil || !strings.Contains(done.Text(), "can then be used to confirm this browser") || continueLink(done) != "/.contactgate/verify" {
		t.Errorf("%s, on to %q", done.Text(), continueLink(done))
	}
	thief.NewCase()
	thief.wantDeviceCode("on hold")
	page := thief.Visit("/app")
	if !strings.Contains(page.Text(), "The contact that you added can be used for this from") || strings.Contains(page.Text(), "ev****@example.org") {
		t.Errorf("%s", page.Text())
	}
	if len(page.forms()) == 0 {
		t.Error("a dead end")
	}
}

// The page that asks for a code before a change, and leads back.
func TestACodeBeforeAChange(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "device.example", "fred")
	p.Trust()
	p.ForgetCookies()
	page := p.Visit("/.contactgate/fresh")
	if !wantStatus(t, "the page", page, http.StatusOK) || !strings.Contains(page.Text(), "Confirm that it is you") {
		t.Fatalf("%s", page.Text())
	}
	prove := p.Submit(page, "/fresh")
	if _, ok := prove.Form("/fresh", 0); !wantStatus(t, "step 2", prove, http.StatusOK) || !ok {
		t.Fatalf("%s", prove.Text())
	}
	wantStatus(t, "a wrong proof", p.Submit(prove, "/fresh", "proof", "wrong"), http.StatusUnprocessableEntity)
	sent := p.Submit(prove, "/fresh", "proof", p.Email)
	mustStatus(t, sent, http.StatusSeeOther)
	code := p.Follow(sent)
	entered := p.Submit(code, "verify/code", "code", r.WaitMail(t, p.Email, 2).Code())
	if at := entered.Header.Get("Location"); entered.StatusCode != http.StatusSeeOther || at != "/.contactgate/" {
		t.Errorf("after the code: %d, %q", entered.StatusCode, at)
	}
	// Ten minutes of freshness: the page leads on at once.
	if again := p.Open("/.contactgate/fresh"); again.Header.Get("Location") != "/.contactgate/" {
		t.Errorf("fresh, and asked again: %d %q", again.StatusCode, again.Header.Get("Location"))
	}
	// Other browsers have entered nothing.
	wantStatus(t, "another browser", p.AnotherBrowser().Visit("/.contactgate/fresh"), http.StatusOK)
	for _, target := range []string{"/.contactgate/fresh?return=abc", "/.contactgate/fresh?return=" + strings.Repeat("x", 5000)} {
		wantStatus(t, "a made-up way back", p.AnotherBrowser().Visit(target), http.StatusOK)
	}
}

// M08, P5, P8: trust outlives a reload, kill -9 and a new key; it ends with the key that signed it, and people are asked
// again.
func TestTrustOutlivesRestartsAndNewKeys(t *testing.T) {
	t.Parallel()
	r, ring := ringRig(t, "\ndevice_code on")
	p := newPerson(t, r, "app.example", "ida")
	c := p.Trust()
	still := func(what string) {
		t.Helper()
		p.onlyDevice(c).wantPass(what, p.Open("/app"))
	}
	for _, end := range []func() error{r.Kill9, r.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		still("after a start")
	}
	reload := func() (int, string) {
		t.Helper()
		status, body, err := r.Reload(r.config)
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	index, old, _ := strings.Cut(ring, "\n")
	_, newest, _ := strings.Cut(newRing(t, r), "\n")
	writeRing(t, r, index+"\n"+newest+"\n"+old)
	if status, body := reload(); status != http.StatusOK {
		t.Fatalf("a new key: %d %s", status, body)
	}
	still("M08: with a new key in front")
	other := p.AnotherBrowser()
	renewed := other.Trust()
	other.onlyDevice(renewed).wantPass("M08: trusted with the new key", other.Open("/app"))

	// The old key can go once it opens no record any more.
	writeRing(t, r, index+"\n"+newest)
	status, body := reload()
	for end := time.Now().Add(time.Minute); status != http.StatusOK && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, body = reload()
	}
	if status != http.StatusOK {
		t.Fatalf("without the old key: %d %s", status, body)
	}
	// Connections to the configuration of before live on for a moment, and Caddy resets those that wait at its listener.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		p = p.AnotherBrowser().onlyDevice(c)
		if a, err := p.try(p.Request(http.MethodGet, "/app", nil)); err == nil && a.StatusCode == http.StatusForbidden {
			break
		}
	}
	p.NewCase()
	p.wantDeviceCode("M08: without the key that signed it")
	if _, sent := p.Cookies()[c.Name]; sent {
		t.Error("M08: the dead cookie is not cleared")
	}
	other = other.AnotherBrowser()
	other.onlyDevice(renewed).wantPass("M08: the newer one", other.Open("/app"))
	again := p.Trust()
	p.onlyDevice(again).wantPass("M08: asked again, and trusted again", p.Open("/app"))
}

// ringRig is a gate of its own that has its key ring from a file.
func ringRig(t *testing.T, more string) (r *rig, ring string) {
	t.Helper()
	r = startRig(t, func(r *rig) string {
		ring = newRing(t, r)
		writeRing(t, r, ring)
		return r.caddyfile(sharedSettings+"\nkeys {file."+ringFile(r)+"}"+more, site{Host: "app.example"})
	})
	return r, ring
}

func ringFile(r *rig) string { return filepath.Join(r.dir, "keys") }

func writeRing(t *testing.T, r *rig, ring string) {
	t.Helper()
	if err := os.WriteFile(ringFile(r), []byte(ring+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
