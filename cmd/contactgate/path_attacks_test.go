package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// attacks.md, group B: spellings of paths and hosts. Bob is overdue, and /public/* is exempt.

// get is a raw request of somebody, with the target as it is.
func (p *person) get(host, target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: text/html\r\n" + caseHeader + ": " + p.Case +
		"\r\nCookie: sess=" + p.User + "\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

func TestB01ToB08OnlyTheCanonicalSpellingIsExempt(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, target := range []string{"/public/x", "/public/", "/public/a/b/c", "/public/%E2%9C%93", "/public/a%20b", "/static/a.css", "/public/x?..=/../", "/public/A;"} {
		a := r.raw(t, "late.example", bob.get("HOST", target))
		if target == "/public/A;" {
			bob.wantGated(target, a)
			continue
		}
		if got := bob.wantPass(target, a); got.Target != target {
			t.Errorf("%s became %s", target, got.Target)
		}
	}
	for _, target := range []string{
		"/public/../app", "/public/..%2fapp", "/public/..%2Fapp", "/public/%2e%2e/app", "/public/.%2e/app", "/public/%2E./app", "/public/%2e%2e%2fapp", // B01 to B03
		"/public/./../app", "/public/x/../../app", "/public/..;/app", "/public/..;a=b/app", "/public/;/../app", "/public/.;/x",
		"/public/..\\app", "/public/..%5capp", "/public\\..\\app", "/public/..%5Capp", "/public/x\\", "/public%5cx", "\\public\\x", // B05
		"//public/x", "///public/x", "/PUBLIC/x", "/Public/x", "/%70ublic/x", "/public//x", "/public%2fx", "/public%2Fx", "/./public/x", "/x/../public/x", "/public/%2fx", // B07
		"/publi%63/x", "/public/%78", "/public/x%00", "/public/x%0a", "/public/x%09", "/public/%e2%9c%93", "/public/%", "/public/%zz", "/public/%2", "/public/\xff", "/public/%ff", "/public/%c0%af..", "/public/%C0%AE%C0%AE/app",
		"/app?x=/public/", "/app#/public/", "/app%23/public/", "/app%3f/public/", "/app;/public/x", "/public", "/publicX", "/public-old/x", "/public.", "/app/public/x", "/app/;/public/x", "/app%20/public/", // B08
		"/public/x#/../app", "/public/x%23", "/public/x%3f", "/public/../../public/x", "/public/.../../app", "/public/%252e%252e/app", "/public/%25", "/public/x/%2e", "/public/x/.", "/public/x/..", "/public/ x",
		"/static/a.css/../../app", "/static/../app.css", "/static/%2e%2e/app.css", "/static/..%2fapp.css", "/STATIC/a.css", "/static/a.CSS", "/static/a.css%00", "/app?/static/a.css", "/static//a.css", "/static/a.css;", "/static/a.css/",
		"/logout/../app", "/logout%2f", "/Logout", "/logout;", "/logout/", "//logout", "/log%6fut", "/logout%00", "/logout%23", "/x/../logout",
	} {
		a := r.raw(t, "late.example", bob.get("HOST", target))
		bob.wantGated(fmt.Sprintf("%q", target), a)
	}
	// Over HTTP/2 the client library sends a target as it is told, too.
	for _, target := range []string{"/public/../app", "/public/%2e%2e/app", "/public//x", "/PUBLIC/x", "/public/..%5capp", "/%70ublic/x", "/public/x;y"} {
		bob.wantGated("HTTP/2 "+target, bob.Do(rawTarget(navigation(bob.Request("GET", "/", nil)), target)))
	}
}

func TestB10HostsAreComparedAsHosts(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	port := ":" + r.port
	for _, host := range []string{"hooks.example" + port, "HOOKS.example" + port, "Hooks.Example" + port} {
		bob.wantPass(host, r.raw(t, "hooks.example", bob.get(host, "/app")))
	}
	for _, host := range []string{"late.example" + port, "LATE.example" + port, "late.example:1", "late.example"} {
		bob.wantGated(host, r.raw(t, "late.example", bob.get(host, "/app")))
	}
	// Unknown hosts are no site, and never exempt. (Caddy answers them with an empty 200.)
	for _, host := range []string{"hooks.example." + port, "xhooks.example" + port, "hooks.example.evil" + port, "late.example@hooks.example" + port, "hooks.example%2f", "hooks.example/x", "[hooks.example]", "hooks.example,late.example", ""} {
		a := r.raw(t, "late.example", bob.get(host, "/app"))
		if a.Header.Get("X-App") != "" || a.StatusCode >= 500 {
			t.Errorf("Host %q: %d %s", host, a.StatusCode, a.Body)
		}
		bob.wantUnseen("Host " + host)
	}
	// An absolute target names the host that counts, for the gate and the app alike.
	a := r.raw(t, "late.example", bob.get("late.example"+port, "https://hooks.example"+port+"/app"))
	got := bob.wantPass("absolute form, hooks", a)
	if got.Host != "hooks.example"+port {
		t.Errorf("the gate decided for hooks.example and the app serves %q", got.Host)
	}
	bob.wantGated("absolute form, late", r.raw(t, "late.example", bob.get("hooks.example"+port, "https://late.example"+port+"/app")))
	bob.wantGated("absolute form, another scheme", r.raw(t, "late.example", bob.get("late.example"+port, "ftp://late.example"+port+"/public/../app")))
	two := strings.Replace(bob.get("late.example"+port, "/app"), "Accept:", "Host: hooks.example\r\nAccept:", 1)
	bob.wantGated("two Host fields", r.raw(t, "late.example", two))
	none := strings.Replace(strings.Replace(bob.get("X", "/app"), "Host: X\r\n", "", 1), "HTTP/1.1", "HTTP/1.0", 1)
	if a := r.raw(t, "late.example", none); a.Header.Get("X-App") != "" {
		t.Error("HTTP/1.0 without Host reached the app")
	}
	bob.wantUnseen("HTTP/1.0 without Host")
	// HTTP/2: :authority differs from the SNI; the decision goes by the authority.
	for authority, exempt := range map[string]bool{"hooks.example": true, "late.example": false} {
		req := navigation(bob.Request("GET", "/app", nil))
		req.Host = authority + port
		if a := bob.Do(req); exempt {
			bob.wantPass("authority "+authority, a)
		} else {
			bob.wantGated("authority "+authority, a)
		}
	}
}

func TestB11OddTargetsAreAnsweredWithoutFault(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, target := range []string{"*", "app", "/app%00", "/" + strings.Repeat("a", 20<<10), "/" + strings.Repeat("%41", 9000), "/a?" + strings.Repeat("b", 64<<10), "?x", "", "/%", "http://", "//", "/\x01", "/\u00e9"} {
		line := "GET " + target + " HTTP/1.1"
		a := r.raw(t, "late.example", strings.Replace(bob.get("HOST", "X"), "GET X HTTP/1.1", line, 1))
		if target == "*" || a.StatusCode == http.StatusOK {
			bob.wantUnseen(target)
			if a.Header.Get("X-App") != "" {
				t.Errorf("%.40q passed", target)
			}
			continue
		}
		bob.wantGated(fmt.Sprintf("%.40q", target), a)
		if len(a.Header.Get("Location")) > 8192 {
			t.Errorf("%.40q: a Location of %d bytes", target, len(a.Header.Get("Location")))
		}
	}
	for _, method := range []string{"OPTIONS * HTTP/1.1", "CONNECT late.example:443 HTTP/1.1", "TRACE /app HTTP/1.1", "get /app HTTP/1.1", "FOO /app HTTP/1.1", "GET /app HTTP/1.0"} {
		a := r.raw(t, "late.example", strings.Replace(bob.get("HOST", "X"), "GET X HTTP/1.1", method, 1))
		if a.Header.Get("X-App") != "" {
			t.Errorf("%s passed: %d", method, a.StatusCode)
		}
		bob.wantUnseen(method)
	}
}

func TestB12OurPrefixIsNeverTheApps(t *testing.T) {
	t.Parallel()
	r := shared(t)
	for _, stem := range []string{"bob", "cyd", "nobody"} {
		p := newPerson(t, r, "late.example", stem)
		switch stem {
		case "bob":
			overdue(p)
		case "cyd":
			p.Verify().NewCase()
		case "nobody":
			p.User = "" // an empty cookie is no sign-in
		}
		for _, target := range []string{"/.contactgate", "/.contactgate/", "/.contactgate/unknown", "/.contactgate/../.contactgate/x", "/.contactgate/assets/..%2f..%2f..%2fetc/passwd", "/.contactgate/assets/../../etc/passwd", "/.contactgate/assets/",
			"/.contactgate/verify/", "/.contactgate//verify", "/.contactgate/./verify", "/.contactgate/verify%00", "/x/../.contactgate/verify", "/.contactgate/verify;x", "/.contactgate/%76erify", "/%2econtactgate/verify", "//.contactgate/verify"} {
			a := r.raw(t, "late.example", p.get("HOST", target))
			if a.Header.Get("X-App") != "" || strings.Contains(a.Body, "root:") {
				t.Errorf("%s, %s: the app answered", stem, target)
			}
			p.wantUnseen(stem + " " + target)
		}
		// What leaves the prefix is the app's, under the app's rules, however it is spelled.
		for _, target := range []string{"/.contactgate/../app", "/.contactgate%2f..%2fapp", "/.contactgate/..%2fapp", "/x/.contactgate/", "/.contactgatex", "/.contactgate\\verify", "/.CONTACTGATE/verify", "/.contactgate.bak"} {
			a := r.raw(t, "late.example", p.get("HOST", target))
			if stem == "bob" {
				bobsLeave(t, p, target, a)
			}
			p.NewCase()
		}
	}
}

// bobsLeave: a blocked person gets no further than the gate with any of these.
func bobsLeave(t *testing.T, p *person, target string, a *answer) {
	t.Helper()
	p.wantUnseen(target)
	if a.StatusCode != 303 && (a.StatusCode < 400 || a.StatusCode > 499) {
		t.Errorf("%s: %d", target, a.StatusCode)
	}
}

// C10: bytes behind one request never become a request of somebody else.
func TestC10SmuggledRequestsAreNoRequests(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	cyd := newPerson(t, r, "late.example", "cyd").Verify()
	overdue(bob)
	for name, text := range map[string]string{
		"CL and TE":          "POST /app HTTP/1.1\r\nHost: HOST\r\n%sContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
		"two lengths":        "POST /app HTTP/1.1\r\nHost: HOST\r\n%sContent-Length: 0\r\nContent-Length: 44\r\n\r\nSMUGGLED",
		"odd encoding":       "POST /app HTTP/1.1\r\nHost: HOST\r\n%sTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nSMUGGLED",
		"encoding twice":     "POST /app HTTP/1.1\r\nHost: HOST\r\n%sTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nSMUGGLED",
		"bare LF chunk ext":  "POST /app HTTP/1.1\r\nHost: HOST\r\n%sTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\nSMUGGLED",
		"signed length":      "POST /app HTTP/1.1\r\nHost: HOST\r\n%sContent-Length: +4\r\n\r\nabcdSMUGGLED",
		"lengths that agree": "POST /app HTTP/1.1\r\nHost: HOST\r\n%sContent-Length: 4, 4\r\n\r\nabcdSMUGGLED",
		"blocked with body":  "POST /app HTTP/1.1\r\nHost: HOST\r\n%sContent-Length: 100\r\n\r\nSMUGGLED",
	} {
		marker := unique("smuggled")
		for _, p := range []*person{bob, cyd} {
			p.NewCase()
			if p == cyd {
				r.oracle.excuse(p.Case) // reverse_proxy answers 502 when it cannot read the client's body
			}
			behind := "GET /" + marker + " HTTP/1.1\r\nHost: " + "late.example:" + r.port + "\r\nCookie: sess=" + cyd.User + "\r\n\r\n"
			mine := caseHeader + ": " + p.Case + "\r\nCookie: sess=" + p.User + "\r\n"
			raw := strings.ReplaceAll(fmt.Sprintf(text, mine), "SMUGGLED", behind)
			c := r.dial(t, "late.example", "http/1.1")
			_, _ = io.WriteString(c, strings.ReplaceAll(raw, "HOST", "late.example:"+r.port))
			_ = c.CloseWrite()
			_, _ = io.ReadAll(c)
			if p == bob {
				bob.wantUnseen(name)
			}
		}
		pipelined := r.App.SeenWhere(func(got received) bool { return strings.Contains(got.Target, marker) })
		// Two lengths that agree, and a body that was announced, leave nothing behind; a request that really follows is one
		// of the same client, which is not smuggling. None may come of the ambiguous ones.
		if len(pipelined) > 0 && name != "lengths that agree" {
			t.Errorf("%s: %d requests came of the bytes behind", name, len(pipelined))
		}
	}
}
