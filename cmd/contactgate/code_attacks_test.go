package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

const gateCookie = "__Host-contactgate"

// F01: the double click. One confirmation, however often the same right code is posted.
func TestF01TheSameRightCodeConfirmsOnce(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "dot")
	page := p.AskCode(p.Email)
	code := r.WaitMail(t, p.Email, 1).Code()
	f, _ := page.Form("verify/code", 0)
	f.Fields.Set("code", code)
	var clicks sync.WaitGroup
	for range 12 {
		clicks.Go(func() {
			a, err := p.try(p.formRequest(f.Action, f.Fields))
			if err != nil || a.StatusCode != http.StatusSeeOther || !strings.HasSuffix(a.Header.Get("Location"), "/done") {
				t.Errorf("F01: %v, %v", a, err)
			}
		})
	}
	clicks.Wait()
	if n := len(r.Audit(t, p.User, "contact_verified")); n != 1 {
		t.Errorf("F01: confirmed %d times", n)
	}
}

// F05, F07, F14, I08, I09: a code, a handle, a form and a session are good for one person in one browser.
func TestF07NothingOfOnePersonIsOfUseToAnother(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann, eve := newPerson(t, r, "app.example", "ann"), newPerson(t, r, "app.example", "eve")
	page := ann.AskCode(ann.Email)
	code := r.WaitMail(t, ann.Email, 1).Code()
	evePage := eve.AskCode(eve.Email)
	if a := eve.Submit(evePage, "verify/code", "code", code); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("F07: ann's code for eve: %d", a.StatusCode)
	}
	f, _ := page.Form("verify/code", 0)
	f.Fields.Set("code", code)
	wantStatus(t, "F14: ann's form, posted by eve", eve.Post(f.Action, f.Fields), http.StatusForbidden)
	other := ann.AnotherBrowser()
	wantStatus(t, "F14: ann's form in another browser", other.Post(f.Action, f.Fields), http.StatusForbidden)
	ask := ann.Visit("/.contactgate/verify")
	send, _ := ask.Form("verify/send", 0)
	mine, _ := eve.Visit("/.contactgate/verify").Form("verify/send", 0)
	mine.Fields.Set("contact", send.Fields.Get("contact"))
	wantStatus(t, "F14: ann's handle in eve's form", eve.Post(mine.Action, mine.Fields), http.StatusForbidden)
	// I09: eve signs in where ann was.
	ann.SetCookie("sess", eve.User)
	wantStatus(t, "I09: ann's form after eve signed in", ann.Post(f.Action, f.Fields), http.StatusForbidden)
	if shown := ann.Visit("/.contactgate/verify").Body; strings.Contains(shown, strings.Split(ann.Email, "@")[0][:2]+"****@example.com") && ann.Email[:2] != eve.Email[:2] {
		t.Error("I09: eve sees ann's contact")
	}
	ann.SetCookie("sess", ann.User)
	ann.Verify() // with a code of her new session: nobody has used up her tries
}

// F10, F11: what people paste is read, what is no code costs no try.
func TestF10CodesAreReadAsPeoplePasteThem(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "pat")
	page := p.AskCode(p.Email)
	code := r.WaitMail(t, p.Email, 1).Code()
	for _, odd := range []string{"", " ", "12345", "1234567", "abcdef", "1e5", "123456'--x7", "+", strings.Repeat("9", 10_000), "\x00"} {
		wantStatus(t, "F11 "+odd[:min(len(odd), 20)], p.Submit(page, "verify/code", "code", odd), http.StatusUnprocessableEntity)
	}
	wide := strings.Map(func(d rune) rune { return d - '0' + '０' }, code)
	wantStatus(t, "F10", p.Submit(page, "verify/code", "code", " "+wide[:9]+"－"+wide[9:]+"\n"), http.StatusSeeOther)
}

// J02, J04, H07: what is no plain address is refused, and nothing is sent.
func TestJ02AddressesThatAreMoreThanOneAddressAreRefused(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "jo")
	page := p.Visit("/.contactgate/contacts/new")
	for _, address := range []string{"a@b.example\r\nBcc: x@y.example", "a@b.example%0d%0aRCPT TO:<x@y.example>", `"a> ORCPT=x"@b.example`,
		"a@b.example,x@y.example", "a@b.example;x@y.example", "<a@b.example> <x@y.example>", "evil@x.example@app.example", "a@localhost", "a@b.example.",
		"a@[127.0.0.1]", "a@127.0.0.1", strings.Repeat("a", 65) + "@b.example", "mıke@example.org", "ﬁ@example.org", "аnn@example.com", "a b@example.com"} {
		wantStatus(t, "J02 "+address, p.Submit(page, "contacts/new", "address", address), http.StatusUnprocessableEntity)
	}
}

// I01, I03, I04, I05, I10: the session cookie.
func TestI04SessionCookiesAreWholeOrNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "late.example", "ida")
	overdue(p)
	p.Visit("/.contactgate/verify")
	good := p.Cookies()[gateCookie]
	if good == "" || len(good) > 1000 {
		t.Fatalf("I01: %d bytes", len(good))
	}
	for i := 0; i < len(good); i += 7 {
		bad := good[:i] + string(good[i]^1) + good[i+1:]
		if strings.ContainsAny(bad, "\";, \\") || bad[i] < 0x21 {
			continue
		}
		p.SetCookie(gateCookie, bad)
		if a := p.Open("/.contactgate/verify"); a.StatusCode != http.StatusOK {
			t.Errorf("I04: byte %d: %d", i, a.StatusCode)
		}
	}
	for _, odd := range []string{good[:len(good)/2], strings.Repeat("x", 7000), "|||", ""} {
		p.SetCookie(gateCookie, odd)
		wantStatus(t, "I04", p.Open("/.contactgate/verify"), http.StatusOK)
		p.wantGated("I04: still blocked", p.Open("/app"))
	}
	p.ForgetCookies()
	p.wantGated("I10: without cookies", p.Open("/app"))
	// I03: a session of one site is none at another.
	p.Visit("/.contactgate/verify")
	f, _ := p.Visit("/.contactgate/verify").Form("verify/send", 0)
	stolen := p.Cookies()[gateCookie]
	elsewhere := p.AnotherBrowser().At("app.example")
	elsewhere.SetCookie("sess", p.User)
	elsewhere.SetCookie(gateCookie, stolen)
	wantStatus(t, "I03", elsewhere.Post(f.Action, f.Fields), http.StatusForbidden)
}

// K01, N02: first sights at once start one grace; what is refused is not kept by anybody on the way.
func TestK01OneGraceForManyFirstVisits(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "kim")
	var first sync.WaitGroup
	for range 20 {
		first.Go(func() { _, _ = p.try(navigation(p.Request(http.MethodGet, "/app", nil))) })
	}
	first.Wait()
	if n := len(r.Audit(t, p.User, "grace_started")); n != 1 {
		t.Errorf("K01: grace started %d times", n)
	}
	late := newPerson(t, r, "late.example", "nia")
	overdue(late)
	for _, target := range []string{"/app/logo.png", "/app/x.js", "/app/account.php/nonexistent.css"} {
		a := late.Fetch(http.MethodGet, target)
		late.wantProblem("N02 "+target, a)
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("N02 %s: %q", target, a.Header.Get("Cache-Control"))
		}
	}
}
