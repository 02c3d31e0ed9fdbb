package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// attacks.md, group D: return addresses.

// hostileReturns are our own corpus, and that of others where it is at hand.
func hostileReturns(t *testing.T) []string {
	t.Helper()
	own, err := os.ReadFile("testdata/return-addresses.txt")
	if err != nil {
		t.Fatal(err)
	}
	others, err := os.ReadFile("../../../shared/data/hostile-return-addresses.txt")
	if err != nil {
		t.Logf("only our own corpus: %v", err)
	}
	var all []string
	for line := range bytes.SplitSeq(append(own, others...), []byte{'\n'}) {
		if len(line) > 0 {
			all = append(all, string(line))
		}
	}
	return all
}

// staysHere tells whether a Location keeps a browser on its site, by the WHATWG URL rules: tabs and newlines vanish, blanks
// and control characters at the ends too, and a backslash is a slash. It knows no good host, so only paths stay.
func staysHere(location string) bool {
	s := strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		if r == '\\' {
			return '/'
		}
		return r
	}, strings.TrimFunc(location, func(r rune) bool { return r <= ' ' }))
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
}

func TestStaysHereKnowsWhatBrowsersDo(t *testing.T) {
	for location, want := range map[string]bool{"/": true, "/x": true, "/x//y": true, "//e": false, "/\\e": false, "/\t/e": false, " //e": false, "\x00//e": false, "https:e": false, "x": false, "": false, "/\n\r\t\\e": false} {
		if staysHere(location) != want {
			t.Errorf("%q: %v", location, !want)
		}
	}
}

func TestD01D02HostileReturnAddressesStayHere(t *testing.T) {
	t.Parallel()
	r := shared(t)
	hostile := hostileReturns(t)
	t.Run("as a token", func(t *testing.T) {
		ann := newPerson(t, r, "app.example", "ann")
		page := ann.Visit("/.contactgate/verify")
		f, _ := page.Form("verify/later", 0)
		cyd := newPerson(t, r, "app.example", "cyd").Verify()
		for n, line := range hostile {
			f.Fields.Set("return", line)
			if a := ann.Post(f.Action, f.Fields); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" || len(a.Header["Set-Cookie"]) > 0 {
				t.Errorf("not now, %q: %d %q", line, a.StatusCode, a.Header.Get("Location"))
			}
			if n%4 == 0 {
				if a := cyd.Open("/.contactgate/verify?return=" + url.QueryEscape(line)); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/.contactgate/done" {
					t.Errorf("verify, %q: %d %q", line, a.StatusCode, a.Header.Get("Location"))
				}
				if a := cyd.Open("/.contactgate/done?return=" + url.QueryEscape(line)); continueLink(a) != "/" {
					t.Errorf("done, %q: leads to %q", line, continueLink(a))
				}
			}
		}
	})
	t.Run("as what was asked for", func(t *testing.T) {
		p := newPerson(t, r, "late.example", "bob")
		overdue(p)
		tokens := map[string]string{}
		for _, line := range hostile {
			if !strings.HasPrefix(line, "/") || strings.ContainsAny(line, " \x0b\x0c\x01\x7f\t") {
				continue // no server takes that for a request target
			}
			p.NewCase()
			a := r.raw(t, "late.example", p.get("HOST", line))
			if strings.HasPrefix(line, "/logout") && a.StatusCode == http.StatusOK {
				continue // the sign-out works in every standing
			}
			p.wantUnseenOr(t, line, a)
			if a.StatusCode == http.StatusSeeOther {
				tokens[line] = a.Header.Get("Location")
			}
		}
		p.Verify()
		for line, location := range tokens {
			a := p.Open(location)
			to := a.Header.Get("Location")
			if a.StatusCode != http.StatusSeeOther || !staysHere(to) || len(a.Header["Set-Cookie"]) > 0 {
				t.Errorf("%q: %d %q", line, a.StatusCode, to)
			}
			if strings.HasPrefix(to, "/.contactgate") && to != "/.contactgate/done" || signsOut(to) {
				t.Errorf("D03 %q: leads to %q", line, to)
			}
		}
		if len(tokens) < 100 {
			t.Errorf("only %d of the hostile addresses were redirected at all", len(tokens))
		}
	})
}

func (p *person) wantUnseenOr(t *testing.T, what string, a *answer) {
	t.Helper()
	if a.StatusCode >= 500 || a.Header.Get("X-App") != "" {
		t.Errorf("%q: %d", what, a.StatusCode)
	}
	p.wantUnseen(what)
}

// signsOut tells whether an address is the sign-out in some spelling.
func signsOut(location string) bool {
	u, err := url.Parse(location)
	return err != nil || u.Path == "/logout"
}

func TestD03D04OddReturnAddressesLandOnTheFrontPage(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "late.example", "bob")
	overdue(p)
	nested := "/.contactgate/verify"
	for range 10 {
		nested += "?return=" + url.QueryEscape(nested)
	}
	type target struct{ to, want string }
	targets := []target{
		{"/x?return=" + url.QueryEscape(nested[:2000]), "/x?return=" + url.QueryEscape(nested[:2000])},
		{"/" + strings.Repeat("a", 8<<10), "/"}, {"/?" + strings.Repeat("b", 12<<10), "/"}, {"/" + strings.Repeat("a", 4095), "/" + strings.Repeat("a", 4095)}, {"/" + strings.Repeat("a", 4096), "/"},
		{"/x?a=%", "/x?a=%"}, {"/x?", "/x?"}, {"/x??", "/x??"}, {"/a//b", "/a//b"}, {"/a/", "/a/"}, {"/%E3%81%82", "/%E3%81%82"}, {"/%e3%81%82?%c3", "/%e3%81%82?%c3"}, {exact, exact},
	}
	links := make([]string, len(targets))
	for i, target := range targets {
		a := r.raw(t, "late.example", p.get("HOST", target.to))
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%.40q (%d bytes): %d", target.to, len(target.to), a.StatusCode)
			continue
		}
		links[i] = a.Header.Get("Location")
	}
	p.Verify()
	for i, target := range targets {
		if a := p.Open(links[i]); a.Header.Get("Location") != target.want {
			t.Errorf("%.60q (%d bytes): leads to %.60q", target.to, len(target.to), a.Header.Get("Location"))
		}
	}
	for _, token := range []string{url.QueryEscape(nested[:6000]), strings.Repeat("A", 8<<10), strings.Repeat("%41", 4000), "%00", "a&return=b"} {
		if a := p.Open("/.contactgate/verify?return=" + token); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/.contactgate/done" {
			t.Errorf("a token of %d bytes: %d %q", len(token), a.StatusCode, a.Header.Get("Location"))
		}
	}
}

func TestD05ReturnTokensAreOfOnePersonAndWhole(t *testing.T) {
	t.Parallel()
	r := shared(t)
	ann := newPerson(t, r, "app.example", "ann")
	eve := newPerson(t, r, "app.example", "eve")
	hers := tokenOf(t, eve.Open("/eves/page?secret=1"))
	token := tokenOf(t, ann.Open("/anns/page"))
	f, _ := ann.Open("/.contactgate/verify?return="+token).Form("verify/later", 0)
	if f.Fields.Get("return") == "" {
		t.Fatal("the form has no return")
	}
	land := func(token string) string {
		f.Fields.Set("return", token)
		return ann.Post(f.Action, f.Fields).Header.Get("Location")
	}
	if to := land(token); to != "/anns/page" {
		t.Errorf("her own token leads to %q", to)
	}
	if to := land(hers); to != "/" {
		t.Errorf("eve's token leads ann to %q", to)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range token {
		flipped := token[:i] + string(alphabet[(strings.IndexByte(alphabet, token[i])+32)%64]) + token[i+1:]
		if to := land(flipped); to != "/" {
			t.Errorf("a token with another byte %d leads to %q", i, to)
		}
	}
	for _, cut := range []string{token[:len(token)-1], token[1:], token + "A", token + "=", token + token, token[:len(token)-4]} {
		if to := land(cut); to != "/" {
			t.Errorf("%d of %d bytes lead to %q", len(cut), len(token), to)
		}
	}
	page := ann.Open("/.contactgate/verify?return=" + hers)
	if strings.Contains(page.Body, hers) {
		t.Error("the page carries eve's token on")
	}
}

func tokenOf(t *testing.T, a *answer) string {
	t.Helper()
	u, err := a.Location()
	if err != nil {
		t.Fatalf("%d: %v", a.StatusCode, err)
	}
	return u.Query().Get("return")
}

func TestD06HostsThatAClientNamesAppearNowhere(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	for name, value := range map[string]string{"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example;proto=https", "X-Forwarded-Proto": "evil.scheme", "X-Host": "evil.example",
		"X-Forwarded-Server": "evil.example", "X-Original-Host": "evil.example", "X-Forwarded-Port": "666", "X-Forwarded-Scheme": "evil.scheme", "X-Forwarded-Prefix": "/evil.prefix"} {
		p.With(name, value)
	}
	first := p.Open("/app")
	p.wantPage("first", first)
	page := p.Follow(first)
	prove := p.Submit(page, "verify/send")
	sent := p.Submit(prove, "verify/send", "proof", p.Email)
	code := p.Follow(sent)
	m := r.WaitMail(t, p.Email, 1)
	problem := p.Fetch("GET", "/.contactgate/nothing")
	for what, text := range map[string]string{"Location": first.Header.Get("Location"), "step 1": page.Body, "step 2": prove.Body, "step 3": code.Body, "the mail": string(m.Raw) + m.Text + m.HTML, "a problem": problem.Body} {
		if strings.Contains(strings.ToLower(text), "evil.") { // the dot: a token may spell the rest
			t.Errorf("%s holds what the client named: %s", what, text)
		}
	}
	a := r.raw(t, "app.example", p.get("evil.example", "/app"))
	if strings.Contains(fmt.Sprint(a.Header)+a.Body, "evil.") || a.Header.Get("X-App") != "" {
		t.Errorf("Host: evil.example: %d %v %s", a.StatusCode, a.Header, a.Body)
	}
}

func TestD08BrowsersWithoutCookiesAreToldWhy(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "late.example", "bob")
	overdue(p)
	p.client.Jar = nil // and the sign-in is in a header that the stub reads
	p.With("Cookie", "sess="+p.User)
	page := p.Visit("/app") // fails after 10 redirects
	wantStatus(t, "the page", page, http.StatusOK)
	a := p.Submit(page, "verify/send")
	wantStatus(t, "a form", a, http.StatusForbidden)
	if !strings.Contains(a.Text(), "allow cookies") && !strings.Contains(a.Text(), "Allow cookies") {
		t.Errorf("it does not say why: %s", a.Text())
	}
	if n := len(r.Mails(p.Email)); n > 0 {
		t.Errorf("%d mails", n)
	}
}

// The loop breaker: a sign-in that does not cover our own pages would send people back and forth for ever.
func TestD08SignInThatForgetsOurPagesMakesNoLoop(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := browserFor(t, r, "loop.example")
	p.Case = unique("loop")
	p.With("Authorization", "Basic YmFzaWMtMTpwdw==") // basic-1:pw
	a, hops := p.Open("/app"), 0
	for ; a.StatusCode == http.StatusSeeOther; hops++ {
		if hops > 5 {
			t.Fatalf("more than five redirects, to %q", a.Header.Get("Location"))
		}
		to, _ := a.Location()
		a = p.Open(to.String())
	}
	if a.StatusCode != http.StatusOK || !strings.Contains(a.Text(), "cannot see that you are signed in") {
		t.Errorf("after %d redirects: %d %s", hops, a.StatusCode, a.Text())
	}
	time.Sleep(1050 * time.Millisecond)
	p.wantProblem("and it opens nothing", p.Fetch("GET", "/app"))
}
