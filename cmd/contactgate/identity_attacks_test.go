package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// attacks.md, group A: who somebody is, and what a client says of it.

func TestA01NobodyPassesToTheAppsOwnSignIn(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := nobodyYet(t, r, "late.example")
	for _, kind := range openings {
		got := p.wantPass(kind.name, kind.do(p, "/app"))
		if got.Header.Get("Contactgate-Status") != "" || got.Header.Get("Remote-User") != "" {
			t.Errorf("%s: the app got %v", kind.name, got.Header)
		}
	}
	for _, kind := range others {
		p.wantPass(kind.name, kind.do(p, "/app"))
	}
	for _, page := range []string{"", "/", "/verify", "/verify/code", "/contacts/new", "/done", "/help"} {
		a := p.Open("/.contactgate" + page)
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("GET %q: %d, Location %q, cookie %q", page, a.StatusCode, a.Header.Get("Location"), a.Header.Get("Set-Cookie"))
		}
	}
	for _, route := range postRoutes {
		for _, a := range []*answer{
			p.Post("/.contactgate/"+route, url.Values{"csrf": {"x"}}),
			p.Fetch("POST", "/.contactgate/"+route),
		} {
			wantStatus(t, "POST "+route, a, http.StatusUnauthorized)
			if a.Header.Get("Set-Cookie") != "" {
				t.Errorf("POST %s sets a cookie", route)
			}
		}
	}
	p.wantUnseen("our pages")
}

// postRoutes are the routes of this version that take a form.
var postRoutes = []string{"verify/send", "verify/code", "verify/resend", "verify/later", "contacts/new", "contacts/undo", "help", "language",
	"contacts/confirm", "contacts/remove", "contacts/primary", "devices/revoke"}

func TestA02IdentityHeaderOfAClientIsNoIdentity(t *testing.T) {
	t.Parallel()
	r := shared(t)
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	p := nobodyYet(t, r, "late.example")
	for _, user := range []string{cyd.User, bob.User} {
		got := p.wantPass("as "+user, p.Open("/app", "Remote-User", user, "Remote-Email", "somebody@example.org"))
		if got.Header.Get("Remote-User") != "" || got.Header.Get("Remote-Email") != "" {
			t.Errorf("the app takes nobody for %s: %v", user, got.Header)
		}
		a := p.Open("/.contactgate/verify", "Remote-User", user)
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
			t.Errorf("our page takes nobody for %s: %d", user, a.StatusCode)
		}
		got = p.wantPass("exempt", p.Open("/public/x", "Remote-User", user))
		if got.Header.Get("Remote-User") != "" {
			t.Errorf("exempt: the app takes nobody for %s", user)
		}
	}
	// A20: a port whose peers are not trusted takes everybody for nobody, and so must the app behind it.
	e := nobodyYet(t, r, "http://localhost:"+r.exposed)
	for _, to := range []string{"/app", "/public/x"} {
		got := e.wantPass("A20 "+to, e.Open(to, "Remote-User", bob.User, "Remote-Email", "somebody@example.org", "Remote-Groups", "service-accounts"))
		for _, name := range []string{"Remote-User", "Remote-Email", "Remote-Groups", "Contactgate-Status"} {
			if got.Header.Get(name) != "" {
				t.Errorf("A20 %s: the app got %s: %q", to, name, got.Header.Get(name))
			}
		}
	}
}

func TestA03OtherSpellingsOfTheIdentityHeaderAreTakenOut(t *testing.T) {
	t.Parallel()
	r := shared(t)
	cyd := newPerson(t, r, "late.example", "cyd").Verify()
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, name := range []string{"Remote_User", "Remote.User", "remote_USER", "REMOTE-USER", "remote-user", "Remote_user", "Remote-Email", "Remote_Email"} {
		raw := "GET /app HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n" + caseHeader + ": %s\r\nCookie: sess=%s\r\n" + name + ": " + cyd.User + "\r\n\r\n"
		bob.wantGated("as bob, "+name, r.raw(t, "late.example", fmt.Sprintf(raw, bob.Case, bob.User)))
		cyd.NewCase()
		got := cyd.wantPass("as cyd, "+name, r.raw(t, "late.example", fmt.Sprintf(strings.Replace(raw, ": "+cyd.User, ": "+bob.User, 1), cyd.Case, cyd.User)))
		identities := 0
		for header, values := range got.Header {
			if strings.EqualFold(strings.NewReplacer("_", "-", ".", "-").Replace(header), "Remote-User") {
				identities += len(values)
			}
		}
		if identities != 1 || got.Header.Get("Remote-User") != cyd.User {
			t.Errorf("%s: the app got %v", name, got.Header)
		}
	}
}

// Caddy drops such names by itself unless it is told to keep them; the gate does not count on that.
func TestA03OtherSpellingsThatCaddyKeepsAreTakenOutToo(t *testing.T) {
	t.Parallel()
	r := startRig(t, func(r *rig) string {
		return strings.Replace(plainConfig(r), "protocols h1 h2", "protocols h1 h2\nexpected_underscore_headers remote_* contactgate_* x_kept\nexpected_dot_headers remote.* contactgate.*", 1)
	})
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	for _, name := range []string{"Remote_User", "remote.user", "REMOTE_EMAIL", "Contactgate_Status", "contactgate.email", "X_Kept"} {
		cyd.NewCase()
		got := cyd.wantPass(name, r.raw(t, "app.example", cyd.get("HOST", "/app", name+": forged")))
		kept := false
		for header, values := range got.Header {
			kept = kept || strings.EqualFold(header, name) && values[0] == "forged"
		}
		if kept != (name == "X_Kept") {
			t.Errorf("%s: the app got %v", name, got.Header)
		}
		if got.Header.Get("Remote-User") != cyd.User || got.Header.Get("Contactgate-Status") != "verified" {
			t.Errorf("%s: the app got %v", name, got.Header)
		}
	}
}

func TestA05A06ConnectionHeaderStripsNothingThatMatters(t *testing.T) {
	t.Parallel()
	r := shared(t)
	cyd := newPerson(t, r, "late.example", "cyd").Verify()
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, options := range []string{"close, Remote-User", "close, remote-user", "close, Contactgate-Status", "Keep-Alive, remote-user", "contactgate-status",
		"Cookie", "Authorization, Cookie", "close,  REMOTE-USER ", "Remote-Email", "upgrade, Remote-User", "keep-alive\r\nConnection: Remote-User"} {
		raw := "GET /app HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n" + caseHeader + ": %s\r\nCookie: sess=%s\r\nConnection: " + options + "\r\n\r\n"
		bob.wantGated("bob, Connection: "+options, r.raw(t, "late.example", fmt.Sprintf(raw, bob.Case, bob.User)))
		cyd.NewCase()
		a := r.raw(t, "late.example", fmt.Sprintf(raw, cyd.Case, cyd.User))
		if a.StatusCode == http.StatusBadRequest {
			cyd.wantUnseen(options)
			continue
		}
		got := cyd.wantPass("cyd, Connection: "+options, a)
		if got.Header.Get("Remote-User") != cyd.User || got.Header.Get("Contactgate-Status") != "verified" || !strings.Contains(got.Header.Get("Cookie"), "sess=") {
			t.Errorf("Connection: %s: the app got %v", options, got.Header)
		}
	}
	// Trailers must not become headers.
	trailer := "POST /app HTTP/1.1\r\nHost: HOST\r\n" + caseHeader + ": %s\r\nCookie: sess=%s\r\nTransfer-Encoding: chunked\r\nTrailer: Contactgate-Status, Remote-User\r\n\r\n3\r\na=1\r\n0\r\nContactgate-Status: verified\r\nRemote-User: " + cyd.User + "\r\n\r\n"
	bob.wantGated("trailers", r.raw(t, "late.example", fmt.Sprintf(trailer, bob.Case, bob.User)))
	cyd.NewCase()
	a := r.raw(t, "late.example", fmt.Sprintf(strings.Replace(trailer, "Trailer: Contactgate-Status, Remote-User\r\n", "", 1), cyd.Case, cyd.User))
	if a.StatusCode != http.StatusBadRequest {
		got := cyd.wantPass("undeclared trailers", a)
		if len(got.Trailer) > 0 || len(got.Header["Contactgate-Status"]) != 1 {
			t.Errorf("trailers: %v %v", got.Trailer, got.Header)
		}
	}
}

func TestA07TwoIdentitiesAreRefused(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := nobodyYet(t, r, "http://localhost:"+r.proxied)
	p.wantPage("one identity", p.Open("/app", "Remote-User", unique("ann")))
	for _, name := range []string{"Remote-User", "Remote-Email"} {
		req := navigation(p.Request("GET", "/app", nil))
		req.Header["Remote-User"] = []string{unique("ann")}
		req.Header[name] = []string{"a@example.org", "b@example.org"}
		wantStatus(t, "two of "+name, p.Do(req), http.StatusBadRequest)
		p.wantUnseen(name)
	}
	user := "cn=Ann,ou=people," + unique("dc=example")
	p.wantPage("one value with commas is one ID", p.Open("/app", "Remote-User", user))
	if n := len(r.Audit(t, user, "grace_started")); n != 1 {
		t.Errorf("the ID with commas is remembered %d times", n)
	}
	// forward_auth joins two fields into one value: then it is one ID, and nobody's.
	twice := unique("twice")
	r.Auth.Say(twice, http.Header{"Remote-User": {"ann-of-two", "bob-of-two"}})
	q := browserFor(t, r, "late.example")
	q.Case = twice
	q.SetCookie("sess", twice)
	a := q.Open("/app")
	if a.StatusCode != http.StatusBadRequest {
		q.wantPage("forward_auth, two fields", a)
	}
	for _, user := range []string{"ann-of-two", "bob-of-two"} {
		if n := len(r.Audit(t, user, "")); n > 0 {
			t.Errorf("one of two identities was picked: %s", user)
		}
	}
}

func TestA09IdentitiesWithoutACanonicalFormAreRefused(t *testing.T) {
	t.Parallel()
	r := shared(t)
	for _, user := range []string{strings.Repeat("x", 10<<10), strings.Repeat("x", 257), "a\tb", "\xff\xfe", "ann\xc3", "a\u200bb", "a\u202eb", "\u00a0", "\ufeff", "a\u0085b", "a\u2028b"} {
		p := browserFor(t, r, "late.example")
		p.Case = unique("odd")
		r.Auth.Say(p.Case, http.Header{"Remote-User": {user}})
		p.SetCookie("sess", p.Case)
		for _, a := range []*answer{p.Open("/app"), p.Fetch("GET", "/app"), p.Open("/.contactgate/verify")} {
			if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%.20q: %d", user, a.StatusCode)
			}
		}
		p.wantUnseen(fmt.Sprintf("%.20q", user))
		if n := len(r.Audit(t, user, "")); n > 0 {
			t.Errorf("%.20q: a record was made", user)
		}
	}
	// Empty and blank: nobody. NUL, CR and LF do not get as far as that.
	for _, user := range []string{"", " ", "\t "} {
		p := browserFor(t, r, "late.example")
		p.Case = unique("blank")
		r.Auth.Say(p.Case, http.Header{"Remote-User": {user}})
		p.SetCookie("sess", p.Case)
		if got := p.wantPass("blank", p.Open("/app")); got.Header.Get("Contactgate-Status") != "" {
			t.Errorf("%q: %v", user, got.Header)
		}
	}
	for _, user := range []string{"ann\x00", "ann\rb", "\x01"} {
		c := unique("raw")
		raw := "GET /app HTTP/1.1\r\nHost: localhost:" + r.proxied + "\r\n" + caseHeader + ": " + c + "\r\nRemote-User: " + user + "\r\n\r\n"
		a := rawPlain(t, r.proxied, raw)
		if a.StatusCode != http.StatusBadRequest || len(r.App.Seen(c)) > 0 {
			t.Errorf("%q: %d", user, a.StatusCode)
		}
	}
	// One person, two normal forms: one account.
	name := unique("jos")
	one, two := asPerson(t, r, "late.example", name+"é", ""), asPerson(t, r, "late.example", name+"é", "")
	overdue(one)
	two.wantProblem("the other normal form", two.Fetch("GET", "/app"))
}

// The headers and cookies of the gate are the gate's: what a client sends under their names changes nothing.
func TestA10OurHeadersFromAClientCountForNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, h := range [][2]string{{"Contactgate-Status", "verified"}, {"Contactgate", "pass"}, {"Contactgate-Decision", "pass"}, {"contactgate_status", "1"}, {"CONTACTGATE.STATUS", "1"},
		{"Contactgate_Email", "evil@example.org"}, {"Contactgate-Deadline", "2099-01-01T00:00:00Z"}, {"x-middleware-subrequest", "middleware:middleware"},
		{"X-Original-User", cyd.User}, {"X-Forwarded-User", cyd.User}, {"X-Auth-Request-User", cyd.User}, {"X-Contactgate-Status", "verified"}} {
		raw := "GET /app HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n" + caseHeader + ": %s\r\nCookie: sess=%s\r\n" + h[0] + ": " + h[1] + "\r\n\r\n"
		bob.wantGated("bob, "+h[0], r.raw(t, "late.example", fmt.Sprintf(raw, bob.Case, bob.User)))
		cyd.NewCase()
		got := cyd.wantPass("cyd, "+h[0], r.raw(t, "app.example", fmt.Sprintf(raw, cyd.Case, cyd.User)))
		if got.Header.Get("Contactgate-Status") != "verified" || len(got.Header["Contactgate-Status"]) != 1 || got.Header.Get("Contactgate-Email") != cyd.Email || got.Header.Get("Contactgate-Deadline") != "" {
			t.Errorf("%s: the app got %v", h[0], got.Header)
		}
		// Anonymous and exempt requests are cleaned like any other.
		for _, to := range []string{"/app", "/public/x"} {
			c := unique("nobody")
			r.raw(t, "late.example", fmt.Sprintf(strings.Replace(strings.Replace(raw, "/app", to, 1), "sess=", "not=", 1), c, "x"))
			for _, got := range r.App.Seen(c) {
				for name, values := range got.Header {
					if strings.HasPrefix(strings.ToLower(name), "contactgate") && values[0] == h[1] {
						t.Errorf("%s %s: the app got %s: %v", to, h[0], name, values)
					}
				}
			}
		}
	}
}

func TestA15MalformedCookiesOpenNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	many := strings.Repeat("c=1; ", 300)
	for _, cookies := range []string{`x="`, `x="; y="`, "x=%zz", many + "z=1", "=; ==; ;;;", "__Host-contactgate=%00%ff", "__Host-contactgate=" + strings.Repeat("A", 8000),
		"__Host-contactgate", "__Host-contactgate=a; __Host-contactgate=b", "contactgate=x|y|z", "\u2000__Host-contactgate=x", "$Version=1; __Host-contactgate=x", "\xff\xfe=\xfd", "x=\t\t"} {
		for _, line := range []string{"sess=" + bob.User + "; " + cookies, cookies + "; sess=" + bob.User, "sess=" + bob.User + "\r\nCookie: " + cookies} {
			a := r.raw(t, "late.example", "GET /app HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n"+caseHeader+": "+bob.Case+"\r\nCookie: "+line+"\r\n\r\n")
			if seen := bob.Seen(); len(seen) == 1 && seen[0].Header.Get("Remote-User") == "" {
				bob.NewCase() // the sign-in could not read its own cookie: anonymous
				continue
			}
			bob.wantGated(fmt.Sprintf("%.60q", line), a)
			page := r.raw(t, "late.example", "GET /.contactgate/verify HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n"+caseHeader+": "+bob.Case+"\r\nCookie: "+line+"\r\n\r\n")
			if page.StatusCode != 200 && page.StatusCode != 400 && page.StatusCode != 303 {
				t.Errorf("I04/I05 %.60q: our page: %d", line, page.StatusCode)
			}
		}
	}
	for _, c := range []string{"\x00", "\x01", "\x1f", "\x7f"} {
		a := r.raw(t, "late.example", "GET /app HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n"+caseHeader+": "+bob.Case+"\r\nCookie: sess="+bob.User+"; x="+c+"\r\n\r\n")
		bob.wantGated(fmt.Sprintf("%q", c), a)
	}
}

func TestA16ProbesAndPrefetchesAreNoExemption(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Googlebot/2.1"} {
		bob.wantPage(agent, bob.Open("/app", "User-Agent", agent))
		bob.wantProblem(agent, bob.Bare("GET", "/app", "User-Agent", agent))
	}
	for _, purpose := range [][2]string{{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;anonymous-client-ip"}, {"Purpose", "prefetch"}, {"X-Moz", "prefetch"}} {
		bob.wantProblem(purpose[0], bob.Open("/app", purpose[0], purpose[1]))
	}
	ann := newPerson(t, r, "app.example", "ann")
	ann.Open("/app", "Sec-Purpose", "prefetch")
	ann.Open("/.contactgate/verify", "Sec-Purpose", "prefetch")
	ann.NewCase()
	ann.wantPage("a prefetch used up no question", ann.Open("/app"))
	if n := len(r.Mails(ann.Email)) + len(r.Mails(bob.Email)); n > 0 {
		t.Errorf("%d mails", n)
	}
}

func TestA17RewriteHeadersOfAClientCountForNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, h := range [][2]string{{"X-Forwarded-Uri", "/public/x"}, {"X-Original-URL", "/public/x"}, {"X-Rewrite-URL", "/public/x"}, {"X-Forwarded-Prefix", "/public"},
		{"X-Forwarded-Method", "OPTIONS"}, {"X-Forwarded-Path", "/public/x"}, {"X-Forwarded-Host", "hooks.example"}, {"Forwarded", "host=hooks.example"}, {"X-HTTP-Method-Override", "OPTIONS"},
		{"Access-Control-Request-Method", "GET"}, {"X-Original-Method", "OPTIONS"}} {
		bob.wantPage(h[0], bob.Open("/app", h[0], h[1]))
		bob.wantProblem(h[0], bob.Bare("GET", "/app", h[0], h[1]))
	}
}

func TestA18AddressesThatAClientNamesAreNotItsOwn(t *testing.T) {
	t.Parallel()
	r := startRig(t, func(r *rig) string {
		return r.caddyfile("limits {\nsends_per_ip 3\ntyped_sends_per_ip 2\n}", site{Host: "app.example", Gate: "grace 7d"})
	})
	spoofed := []string{"not-an-ip", "::ffff:127.0.0.1", "127.0.0.1", "203.0.113.", "2001:db8::", "10.0.0."}
	spoof := func(p *person, n int) {
		for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"} {
			p.With(name, fmt.Sprintf("%s%d", spoofed[n%len(spoofed)], n))
		}
		p.With("Forwarded", fmt.Sprintf("for=203.0.113.%d", n))
	}
	limited := 0
	for n := range 6 {
		p := newPerson(t, r, "app.example", "ann")
		spoof(p, n)
		a := p.Submit(p.Submit(p.Visit("/"), "verify/send"), "verify/send", "proof", p.Email)
		if a.StatusCode == http.StatusTooManyRequests {
			if a.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			limited++
		}
	}
	if limited != 3 {
		t.Errorf("of 6 sends of one client with a limit of 3, %d were refused", limited)
	}
	for _, line := range r.LogLines(t, func(line map[string]any) bool { return line["logger"] == "http.log.access" }) {
		request, _ := line["request"].(map[string]any)
		if request["client_ip"] != "127.0.0.1" {
			t.Fatalf("the log takes %v for the client", request["client_ip"])
		}
	}
}

func TestA19FoldedAndCrookedHeaderLines(t *testing.T) {
	t.Parallel()
	r := shared(t)
	cyd := newPerson(t, r, "late.example", "cyd").Verify()
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, lines := range []string{
		"Remote-User : " + cyd.User, "\tRemote-User: " + cyd.User, " Remote-User: " + cyd.User, "X-A: b\r\n Remote-User: " + cyd.User, "X-A: b\r\n\tRemote-User: " + cyd.User,
		"X-A: b\nRemote-User: " + cyd.User, "X-A: b\rRemote-User: " + cyd.User, "Remote-User\x00: " + cyd.User, "Remote-User:\r\n " + cyd.User, ":Remote-User: " + cyd.User, "Remote\u2010User: " + cyd.User,
		"Contactgate-Status : verified", "X-A: b\r\n Contactgate-Status: verified",
	} {
		raw := "GET /app HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\n" + caseHeader + ": %s\r\nCookie: sess=%s\r\nX-Before: x\r\n" + lines + "\r\n\r\n"
		bob.wantGated(fmt.Sprintf("bob %q", lines), r.raw(t, "late.example", fmt.Sprintf(raw, bob.Case, bob.User)))
		c := unique("nobody")
		r.raw(t, "late.example", fmt.Sprintf(strings.Replace(raw, "sess=", "not=", 1), c, "x"))
		for _, got := range r.App.Seen(c) {
			if got.Header.Get("Remote-User") != "" || got.Header.Get("Contactgate-Status") != "" {
				t.Errorf("nobody, %q: the app got %v", lines, got.Header)
			}
		}
	}
}

// The same rules hold for the other sources of identity.
func TestEveryIdentitySourceIsGatedAlike(t *testing.T) {
	t.Parallel()
	r := shared(t)
	t.Run("basic_auth", func(t *testing.T) {
		p := browserFor(t, r, "basic.example")
		p.Case = unique("basic")
		p.With("Authorization", "Basic YmFzaWMtMDpwdw==") // basic-0:pw
		first := p.Open("/app?x=1")
		p.wantPage("first", first)
		time.Sleep(1050 * time.Millisecond)
		p.wantProblem("overdue", p.Fetch("GET", "/app"))
		wantStatus(t, "overdue, a form", p.Post("/app", url.Values{}), http.StatusForbidden)
		wantStatus(t, "without a sign-in", nobodyYet(t, r, "basic.example").Open("/app"), http.StatusUnauthorized)
		page := p.Follow(first)
		own := unique("basic.own") + "@example.com"
		r.oracle.secret("address", own)
		sent := p.Submit(page, "contacts/new", "address", own)
		mustStatus(t, sent, http.StatusSeeOther)
		done := p.Submit(p.Follow(sent), "verify/code", "code", r.WaitMail(t, own, 1).Code())
		mustStatus(t, done, http.StatusSeeOther)
		if link := continueLink(p.Follow(done)); link != "/app?x=1" {
			t.Errorf("leads to %q", link)
		}
		p.NewCase()
		p.wantPass("verified", p.Fetch("GET", "/app"))
	})
	t.Run("trusted proxy", func(t *testing.T) {
		p := browserFor(t, r, "http://localhost:"+r.proxied)
		p.User, p.Email, p.Case = unique("proxied"), "proxied.long@example.com", unique("proxied")
		p.With("Remote-User", p.User).With("Remote-Email", p.Email)
		p.wantPage("first", p.Open("/app"))
		time.Sleep(1050 * time.Millisecond)
		p.wantProblem("overdue", p.Fetch("GET", "/app"))
		p.Verify()
		p.NewCase()
		if got := p.wantPass("verified", p.Fetch("GET", "/app")); got.Header.Get("Contactgate-Email") != p.Email || got.Header.Get("Remote-User") != p.User {
			t.Errorf("the app got %v", got.Header)
		}
	})
	t.Run("plain HTTP on loopback", func(t *testing.T) {
		p := newPerson(t, r, "http://localhost:"+r.loopback, "plain")
		p.wantPage("first", p.Open("/app"))
		time.Sleep(1050 * time.Millisecond)
		p.wantProblem("overdue", p.Fetch("GET", "/app"))
		p.Verify()
		p.NewCase()
		p.wantPass("verified", p.Fetch("GET", "/app"))
		if _, ok := p.Cookies()["contactgate"]; !ok {
			t.Errorf("cookies: %v", p.Cookies())
		}
	})
}

// The authenticator is down: nobody turns into nobody and passes.
func TestR22SignInThatFailsLetsNobodyThrough(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	r.oracle.allow(500)
	r.oracle.allow(502)
	cyd.NewCase()
	for _, status := range []int{500, 401, 302} {
		r.Auth.Break(status)
		for _, a := range []*answer{cyd.Open("/app"), cyd.Fetch("GET", "/app")} {
			if a.StatusCode != status {
				t.Errorf("sign-in %d: %d", status, a.StatusCode)
			}
		}
		cyd.wantUnseen("sign-in down")
	}
	r.Auth.Break(0)
	cyd.wantPass("mended", cyd.Open("/app"))
}
