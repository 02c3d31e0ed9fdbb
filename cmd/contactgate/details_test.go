package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/contactgate/contactgate/internal/testbed"
)

// A person's own page, as a script meets it that knows contract.md and nothing else.

const ownPage = "/.contactgate/"

// masked is how pages show an address.
func masked(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	return local[:2] + "****@" + domain
}

// about finds a form of the person's own page inside the entry that shows something.
func (a *answer) about(action, shown string) (form, bool) {
	doc, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		return form{}, false
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "li" {
			continue
		}
		var text, markup strings.Builder
		for d := range n.Descendants() {
			if d.Type == html.TextNode {
				text.WriteString(d.Data)
			}
		}
		if strings.Contains(text.String(), shown) && html.Render(&markup, n) == nil {
			if f, ok := (&answer{Body: markup.String()}).Form(action, 0); ok {
				return f, true
			}
		}
	}
	return form{}, false
}

// change opens the own page and posts the form about something. The answer's redirect is not followed.
func (p *person) change(action, shown string, fields ...string) *answer {
	p.t.Helper()
	page := p.Visit(ownPage)
	f, ok := page.about(action, shown)
	if !ok {
		p.t.Fatalf("no form %s about %s: %s", action, shown, page.Text())
	}
	for i := 0; i+1 < len(fields); i += 2 {
		f.Fields.Set(fields[i], fields[i+1])
	}
	return p.Post(f.Action, f.Fields)
}

// owner is somebody with two confirmed addresses, in a browser that has just entered the code of the second.
func owner(t *testing.T, r *rig, host, stem string) (p *person, second string) {
	t.Helper()
	p = newPerson(t, r, host, stem)
	p.enterCodeAndFollow()
	second = "zw" + unique(stem) + "@example.org"
	r.oracle.secret("address", second)
	p.addAddress(second)
	p.NewCase()
	return p, second
}

func (p *person) enterCodeAndFollow() {
	p.t.Helper()
	a := p.enterCode()
	mustStatus(p.t, a, http.StatusSeeOther)
	mustStatus(p.t, p.Follow(a), http.StatusOK)
}

// trustHere confirms an address again from the own page, and ticks the box.
func (p *person) trustHere(address string) *person {
	p.t.Helper()
	before := p.rig.codesTo(address)
	sent := p.Submit(p.change("contacts/confirm", masked(address)), "verify/send", "proof", address)
	mustStatus(p.t, sent, http.StatusSeeOther)
	p.wantHome("confirm again", p.Submit(p.Follow(sent), "verify/code", "code", p.rig.waitCode(p.t, address, before+1), "trust", "on"))
	return p
}

// codesTo is how many codes went to an address. Notices go there, too.
func (r *rig) codesTo(address string) int {
	n := 0
	for _, m := range r.Mails(address) {
		if m.Code() != "" {
			n++
		}
	}
	return n
}

// waitCode waits for the nth code to an address.
func (r *rig) waitCode(t *testing.T, address string, n int) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick() {
		left := n
		for _, m := range r.Mails(address) {
			if code := m.Code(); code != "" {
				if left--; left == 0 {
					r.oracle.secret("code", code)
					return code
				}
			}
		}
	}
	t.Fatalf("no %d codes to %s", n, address)
	return ""
}

func (p *person) wantHome(what string, a *answer) *answer {
	p.t.Helper()
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != ownPage {
		p.t.Fatalf("%s: %d %q: %s", what, a.StatusCode, a.Header.Get("Location"), a.Text())
	}
	page := p.Follow(a)
	mustStatus(p.t, page, http.StatusOK)
	return page
}

// notices are the mails to an address that say something.
func (r *rig) waitNotice(t *testing.T, address, words string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick() {
		for _, m := range r.Mails(address) {
			if strings.Contains(m.Text, words) {
				return
			}
		}
	}
	t.Errorf("no mail to %s says %q", address, words)
}

func TestPeopleChangeTheirOwnContactDetails(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann := newPerson(t, r, "app.example", "own")

	// Before anything is confirmed: the page is there, and "confirm now" leads to step 2 and back.
	page := ann.Visit(ownPage)
	mustStatus(t, page, http.StatusOK)
	if !strings.Contains(page.Text(), masked(ann.Email)) || !strings.Contains(page.Text(), "Not confirmed") || strings.Contains(page.Body, ann.Email) {
		t.Fatalf("%s", page.Text())
	}
	prove := ann.change("contacts/confirm", masked(ann.Email))
	mustStatus(t, prove, http.StatusOK)
	sent := ann.Submit(prove, "verify/send", "proof", ann.Email)
	mustStatus(t, sent, http.StatusSeeOther)
	page = ann.wantHome("confirm now", ann.Submit(ann.Follow(sent), "verify/code", "code", r.WaitMail(t, ann.Email, 1).Code(), "trust", "on"))
	if !strings.Contains(page.Text(), masked(ann.Email)+" was confirmed.") || !strings.Contains(page.Text(), "This browser") {
		t.Errorf("%s", page.Text())
	}
	if _, ok := page.about("contacts/remove", masked(ann.Email)); ok {
		t.Error("the last confirmed contact can be removed")
	}

	// Add: it counts at once, since a code was entered in this browser a moment ago, and the page is where it leads.
	second := "zw" + unique("own") + "@example.org"
	r.oracle.secret("address", second)
	form := ann.Open(findLink(t, page, "contacts/new"))
	sent = ann.Submit(form, "contacts/new", "address", second)
	mustStatus(t, sent, http.StatusSeeOther)
	ann.wantHome("add", ann.Submit(ann.Follow(sent), "verify/code", "code", r.WaitMail(t, second, 1).Code()))
	r.waitNotice(t, ann.Email, "A new e-mail address was added")
	if got := ann.NewCase().wantPass("two contacts", ann.Open("/app")); got.Header.Get("Contactgate-Email") != ann.Email {
		t.Errorf("the app is told %q", got.Header.Get("Contactgate-Email"))
	}

	// Make it the main one: the app sees the other address in the next request.
	ann.wantHome("make main", ann.change("contacts/primary", masked(second)))
	if got := ann.NewCase().wantPass("the main one", ann.Open("/app")); got.Header.Get("Contactgate-Email") != second {
		t.Errorf("the app is told %q", got.Header.Get("Contactgate-Email"))
	}
	r.waitNotice(t, ann.Email, "is the main one")

	// Remove the other: it is gone, told itself, and does not come back though the sign-in names it with every request.
	page = ann.wantHome("remove", ann.change("contacts/remove", masked(ann.Email)))
	r.waitNotice(t, ann.Email, "An e-mail address was removed")
	r.waitNotice(t, second, "An e-mail address was removed")
	for range 2 {
		ann.NewCase().wantPass("afterwards", ann.Open("/app"))
		page = ann.Visit(ownPage)
		if _, ok := page.about("contacts/confirm", masked(ann.Email)); ok {
			t.Errorf("it came back: %s", page.Text())
		}
	}
	if !strings.Contains(page.Text(), masked(ann.Email)+" was removed.") {
		t.Errorf("not in what happened lately: %s", page.Text())
	}
	// The browser was trusted by a code of the contact that is gone.
	if _, ok := page.about("devices/revoke", "Chrome"); ok {
		t.Error("trusted by a contact that is gone")
	}
	for _, event := range []string{"contact_added", "contact_primary", "contact_removed", "device_revoked"} {
		if n := len(r.Audit(t, ann.User, event)); n != 1 {
			t.Errorf("%d lines %s", n, event)
		}
	}
}

// findLink is where the first link of a page leads whose address holds this.
func findLink(t *testing.T, page *answer, part string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page.Body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "a" && strings.Contains(attr(n, "href"), part) {
			return attr(n, "href")
		}
	}
	t.Fatalf("no link to %s: %s", part, page.Text())
	return ""
}

// L06: without a code that was entered in this very browser lately nothing is changed, and the person is asked for one.
func TestL06ChangesTakeAFreshCode(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann, second := owner(t, r, "app.example", "fresh-own")
	ann.AnotherBrowser().trustHere(ann.Email)
	thief := ann.AnotherBrowser()
	if !testbed.Until(10*time.Second, func() bool { return len(r.Mails(ann.Email)) > r.codesTo(ann.Email) }) {
		t.Fatal("ann is not told of the second address")
	}
	before, codes := len(r.Mails(ann.Email)), r.codesTo(ann.Email)
	for _, c := range []struct{ action, about, back string }{
		{"contacts/remove", masked(ann.Email), ownPage + "?open="}, {"contacts/primary", masked(second), ownPage + "?open="},
		{"devices/revoke", "Chrome", ownPage},
	} {
		a := thief.change(c.action, c.about)
		if to := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/.contactgate/fresh?return=") {
			t.Errorf("%s: %d %q", c.action, a.StatusCode, to)
		}
	}
	all := thief.change("devices/revoke", "Chrome", "all", "on", "device", "")
	if !strings.HasPrefix(all.Header.Get("Location"), "/.contactgate/fresh?return=") {
		t.Errorf("all: %d %q", all.StatusCode, all.Header.Get("Location"))
	}
	page := ann.Visit(ownPage)
	for _, shown := range []string{masked(ann.Email), masked(second), "Chrome"} {
		if !strings.Contains(page.Text(), shown) {
			t.Errorf("%s is gone", shown)
		}
	}
	if n := len(r.Mails(ann.Email)); n != before {
		t.Errorf("%d mails about nothing", n-before)
	}

	// The person comes back to what they were doing, and does it.
	me := ann.AnotherBrowser()
	ask := me.Follow(me.change("contacts/remove", masked(second)))
	prove := me.Submit(ask, "/fresh")
	sent := me.Submit(prove, "/fresh", "proof", ann.Email)
	mustStatus(t, sent, http.StatusSeeOther)
	back := me.Submit(me.Follow(sent), "verify/code", "code", r.waitCode(t, ann.Email, codes+1))
	if to := back.Header.Get("Location"); back.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, ownPage+"?open=") || strings.Contains(to, "@") {
		t.Fatalf("%d %q", back.StatusCode, to)
	}
	if page := me.Follow(back); !strings.Contains(page.Body, `<details class="more" open>`) || !strings.Contains(page.Text(), "You entered a code here") {
		t.Errorf("%s", page.Text())
	}
	me.wantHome("now", me.change("contacts/remove", masked(second)))
	r.waitNotice(t, second, "An e-mail address was removed")
}

// P11, F14: a handle of somebody else, of another browser, or of nobody gets the same answer, and changes nothing.
func TestF14HandlesOfOthersDoNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann, annsSecond := owner(t, r, "app.example", "handles")
	eve, evesSecond := owner(t, r, "app.example", "eve")
	anns := ann.Visit(ownPage)
	hers, ok := anns.about("contacts/remove", masked(annsSecond))
	if !ok {
		t.Fatal(anns.Text())
	}
	ann.AnotherBrowser().trustHere(ann.Email)
	device, ok := ann.Visit(ownPage).about("devices/revoke", "Chrome")
	if !ok {
		t.Fatal("no trusted browser is listed")
	}
	otherBrowser, _ := eve.AnotherBrowser().Visit(ownPage).about("contacts/remove", masked(evesSecond))
	for action, field := range map[string]string{"contacts/remove": "contact", "contacts/primary": "contact", "contacts/confirm": "contact", "devices/revoke": "device"} {
		mine := url.Values{"csrf": {csrfOf(t, eve, action, evesSecond)}}
		bodies := map[string]string{}
		for what, handle := range map[string]string{
			"somebody else's": hers.Fields.Get("contact"), "somebody else's browser": device.Fields.Get("device"),
			"of another browser": otherBrowser.Fields.Get("contact"), "nobody's": strings.Repeat("x", 24), "not one": "'; --",
		} {
			mine.Set(field, handle)
			a := eve.Post("/.contactgate/"+action, mine)
			wantStatus(t, action+" "+what, a, http.StatusForbidden)
			bodies[what] = moment.ReplaceAllString(withoutReturns(a.Body), "")
		}
		for what, body := range bodies {
			if body != bodies["nobody's"] {
				t.Errorf("%s: %s is told from nobody's", action, what)
			}
		}
	}
	for _, p := range []*person{ann, eve} {
		if n := len(r.Audit(t, p.User, "contact_removed")) + len(r.Audit(t, p.User, "contact_primary")) + len(r.Audit(t, p.User, "device_revoked")); n != 0 {
			t.Errorf("%s: %d changes", p.User, n)
		}
	}
}

// csrfOf is the token of a form of the own page.
func csrfOf(t *testing.T, p *person, action, address string) string {
	t.Helper()
	page := p.Visit(ownPage)
	if f, ok := page.about(action, masked(address)); ok {
		return f.Fields.Get("csrf")
	}
	// No browser is trusted yet: the token is of the person, the session and the action.
	p.AnotherBrowser().trustHere(p.Email)
	f, ok := p.Visit(ownPage).Form(action, 0)
	if !ok {
		t.Fatalf("no form %s: %s", action, page.Text())
	}
	return f.Fields.Get("csrf")
}

// moment is a point in time as pages show it: with its day when it is not today.
var moment = regexp.MustCompile(`<time[^>]*>[^<]*</time>`)

// withoutReturns takes the way back out of a page: it holds the moment at which it was made.
func withoutReturns(body string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(body, `name="return" value="`)
		b.WriteString(before)
		if !found {
			return withoutLinks(b.String())
		}
		_, body, _ = strings.Cut(rest, `"`)
	}
}

func withoutLinks(body string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(body, `?return=`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, body, _ = strings.Cut(rest, `"`)
	}
}

// M05, E07: what a form does not have is no field of it, and each has one value.
func TestM05OwnPageTakesNoOtherFields(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann, second := owner(t, r, "app.example", "mass")
	for _, action := range []string{"contacts/remove", "contacts/primary", "contacts/confirm"} {
		f, ok := ann.Visit(ownPage).about(action, masked(second))
		if !ok {
			t.Fatal(action)
		}
		for name, extra := range map[string]url.Values{
			"verified": {"verified": {"true"}}, "role": {"role": {"admin"}}, "session": {"session": {"x"}}, "open": {"open": {"x"}},
			"twice": {"contact": {f.Fields.Get("contact"), f.Fields.Get("contact")}}, "a list": {"contact[]": {f.Fields.Get("contact")}}, "sure": {"Contact": {"x"}},
		} {
			fields := url.Values{}
			for k, v := range f.Fields {
				fields[k] = slices.Clone(v)
			}
			for k, v := range extra {
				fields[k] = v
			}
			wantStatus(t, action+" "+name, ann.Post(f.Action, fields), http.StatusBadRequest)
		}
		wantStatus(t, action+" without a contact", ann.Post(f.Action, url.Values{"csrf": f.Fields["csrf"]}), http.StatusForbidden)
	}
	csrf := csrfOf(t, ann, "devices/revoke", second)
	for name, fields := range map[string]url.Values{
		"neither": {}, "both": {"device": {"x"}, "all": {"on"}}, "all in another word": {"all": {"true"}},
	} {
		fields.Set("csrf", csrf)
		wantStatus(t, "devices/revoke "+name, ann.Post("/.contactgate/devices/revoke", fields), http.StatusBadRequest)
	}
	if n := len(r.Audit(t, ann.User, "contact_removed")) + len(r.Audit(t, ann.User, "device_revoked")); n != 0 {
		t.Errorf("%d changes", n)
	}
	page := ann.Visit(ownPage)
	if !strings.Contains(page.Text(), masked(second)) {
		t.Errorf("%s", page.Text())
	}
}

// I06, I13: trust ends at once when its browser is revoked, and with the contact whose code gave it.
func TestI06TrustEndsFromTheOwnPage(t *testing.T) {
	t.Parallel()
	r := shared(t)
	first := newPerson(t, r, "device.example", "revoked")
	first.Trust()
	second := first.AnotherBrowser().With("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	<-time.After(2100 * time.Millisecond) // a code can be sent again
	second.Trust()
	page := second.Visit(ownPage)
	for _, shown := range []string{"Chrome", "Firefox", "device.example", "This browser"} {
		if !strings.Contains(page.Text(), shown) {
			t.Errorf("%s is not listed: %s", shown, page.Text())
		}
	}
	if f, ok := page.about("devices/revoke", "This browser"); !ok || f.Fields.Get("device") == "" {
		t.Error("no form for this browser")
	}
	second.wantHome("revoke one", second.change("devices/revoke", "Chrome"))
	first.wantDeviceCode("revoked")
	second.NewCase().wantPass("the other one", second.Open("/app"))
	r.waitNotice(t, first.Email, "are asked for a code again")

	// The contact that gave the trust goes.
	backup := "zw" + unique("revoked") + "@example.org"
	r.oracle.secret("address", backup)
	second.addAddress(backup)
	third := second.AnotherBrowser()
	page = third.Visit(ownPage)
	wantStatus(t, "on a browser that is asked for a code", page, http.StatusOK)
	if !strings.Contains(page.Text(), "Confirm it is you on this browser") {
		t.Errorf("%s", page.Text())
	}
	second.wantHome("remove", second.change("contacts/remove", masked(first.Email)))
	if page := second.Visit(ownPage); strings.Contains(page.Text(), "This browser") {
		t.Errorf("trusted by a contact that is gone: %s", page.Text())
	}
}

// Numbers are contacts like addresses: confirmed by text or by call, made the main one, and told by text.
func TestNumbersOnTheOwnPage(t *testing.T) {
	t.Parallel()
	r := shared(t)
	number, second := someNumber("JP"), someNumber("US")
	mask := func(number, code string) string { return code + " •• •••• ••" + number[len(number)-2:] }
	p := dialled(t, r, "own-numbers", number)
	first, _ := p.Visit(ownPage).about("contacts/confirm", mask(number, "+81"))
	if first.Fields.Get("channel") != "sms" {
		t.Fatalf("%v", first.Fields)
	}
	for _, wrong := range []string{"email", "authenticator", "none", ""} {
		wantStatus(t, "channel "+wrong, p.change("contacts/confirm", mask(number, "+81"), "channel", wrong), http.StatusBadRequest)
	}
	prove := p.change("contacts/confirm", mask(number, "+81"), "channel", "voice")
	sent := p.Submit(prove, "verify/send", "proof", number[len(number)-4:])
	p.wantHome("by call", p.Submit(p.Follow(sent), "verify/code", "code", r.WaitCall(t, number, 1).Code()))
	sent = p.addPhone(second, "US", "sms")
	mustStatus(t, sent, http.StatusSeeOther)
	mustStatus(t, p.Submit(p.Follow(sent), "verify/code", "code", r.WaitText(t, second, 1).Code()), http.StatusSeeOther)
	if got := p.NewCase().wantPass("the first", p.Open("/app")); got.Header.Get("Contactgate-Phone") != number {
		t.Errorf("the app is told %q", got.Header.Get("Contactgate-Phone"))
	}
	p.wantHome("main", p.change("contacts/primary", mask(second, "+1")))
	if got := p.NewCase().wantPass("the main one", p.Open("/app")); got.Header.Get("Contactgate-Phone") != second {
		t.Errorf("the app is told %q", got.Header.Get("Contactgate-Phone"))
	}
	p.wantHome("remove", p.change("contacts/remove", mask(number, "+81")))
	for n, words := range []string{"a new phone number was added", "another phone number is the main one", "a phone number was removed"} {
		if m := r.WaitText(t, number, n+1); !strings.Contains(m.Text, words) || strings.Contains(m.Text, second) {
			t.Errorf("text %d: %q", n+1, m.Text)
		}
	}
	p.NewCase().wantPass("afterwards", p.Open("/app"))
	if page := p.Visit(ownPage); strings.Count(page.Body, "<li>\n<p class=\"whom\">") != 1 {
		t.Errorf("%s", page.Text())
	}
}

// Whoever is blocked sees their own page, and the app stays closed.
func TestBlockedPeopleSeeTheirOwnPage(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob-own")
	overdue(bob)
	page := bob.Visit(ownPage)
	if !wantStatus(t, "own page", page, http.StatusOK) || !strings.Contains(page.Text(), "Access stops here until you confirm one contact") ||
		!strings.Contains(page.Text(), masked(bob.Email)) || strings.Contains(page.Text(), "Continue to Example") {
		t.Errorf("%s", page.Text())
	}
	bob.wantUnseen("their own page")
	bob.wantPage("the app", bob.Open("/app"))
	for _, a := range []*answer{bob.Fetch(http.MethodGet, ownPage), bob.Open("/.contactgate")} {
		if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("X-App") != "" {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
	}
	// The language is chosen on the page and keeps it.
	f, _ := page.Form("language", 0)
	f.Fields.Set("language", "ja")
	if a := bob.Follow(bob.Post(f.Action, f.Fields)); a.Request.URL.Path != ownPage || a.Header.Get("Content-Language") != "ja" {
		t.Errorf("%s in %s", a.Request.URL, a.Header.Get("Content-Language"))
	}
}

// P11: whoever types an address to add it does not see by its spelling that it is on file: neither where the code is asked
// for, nor in what happened lately.
func TestP11TheCaseOfATypedAddressTellsNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "spelled")
	unknown := unique("spelled") + ".other@example.com"
	r.oracle.secret("address", unknown)
	for what, address := range map[string]string{"on file": p.Email, "not on file": unknown} {
		typed := strings.ToUpper(address[:2]) + address[2:]
		sent := p.Submit(p.Visit("/.contactgate/contacts/new"), "contacts/new", "address", typed)
		mustStatus(t, sent, http.StatusSeeOther)
		for _, page := range []*answer{p.Follow(sent), p.Visit(ownPage)} {
			if text := page.Text(); strings.Contains(text, masked(typed)) || !strings.Contains(text, masked(address)) {
				t.Errorf("%s: %s", what, text)
			}
		}
	}
}
