package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The decision table of product.md, "Which requests are interrupted", row by row.

// openings are the ways in which a page is opened.
var openings = []struct {
	name string
	do   func(*person, string) *answer
}{
	{"navigation", func(p *person, to string) *answer { return p.Open(to) }},
	{"navigation without Sec-Fetch", func(p *person, to string) *answer {
		return p.Bare("GET", to, "Accept", "text/html,*/*;q=0.8")
	}},
	{"HEAD of a page", func(p *person, to string) *answer {
		return p.Do(navigation(p.Request("HEAD", to, nil)))
	}},
}

// others are requests that are no page being opened.
var others = []struct {
	name string
	do   func(*person, string) *answer
}{
	{"fetch", func(p *person, to string) *answer { return p.Fetch("GET", to) }},
	{"fetch POST", func(p *person, to string) *answer { return p.Fetch("POST", to) }},
	{"XHR", func(p *person, to string) *answer {
		return p.Bare("GET", to, "Accept", "text/html", "X-Requested-With", "XMLHttpRequest")
	}},
	{"JSON client", func(p *person, to string) *answer { return p.Bare("GET", to, "Accept", "application/json") }},
	{"native client", func(p *person, to string) *answer { return p.Bare("GET", to) }},
	{"script", destination("script", "no-cors")}, {"style", destination("style", "no-cors")}, {"image", destination("image", "no-cors")},
	{"iframe", destination("iframe", "navigate")}, {"object", destination("object", "navigate")}, {"embed", destination("embed", "navigate")},
	{"audio", destination("audio", "no-cors")}, {"manifest", destination("manifest", "cors")},
	{"service worker", func(p *person, to string) *answer {
		return p.Fetch("GET", to, "Sec-Fetch-Dest", "serviceworker", "Sec-Fetch-Mode", "same-origin", "Service-Worker", "script")
	}},
	{"prefetch", func(p *person, to string) *answer { return p.Open(to, "Sec-Purpose", "prefetch") }},
	{"prerender", func(p *person, to string) *answer { return p.Open(to, "Sec-Purpose", "prefetch;prerender") }},
	{"HEAD", func(p *person, to string) *answer { return p.Bare("HEAD", to) }},
	{"PUT", func(p *person, to string) *answer { return p.Bare("PUT", to, "Accept", "text/html") }},
	{"DELETE", func(p *person, to string) *answer { return p.Fetch("DELETE", to) }},
	{"PROPFIND", func(p *person, to string) *answer { return p.Bare("PROPFIND", to) }},
	{"OPTIONS with a sign-in", func(p *person, to string) *answer { return p.Bare("OPTIONS", to, "Origin", "https://x.example") }},
}

func destination(dest, mode string) func(*person, string) *answer {
	return func(p *person, to string) *answer {
		return p.Bare("GET", to, "Accept", "text/html,*/*", "Sec-Fetch-Dest", dest, "Sec-Fetch-Mode", mode, "Sec-Fetch-Site", "same-origin")
	}
}

const target = "/app/page?a=1&b=%2F"

func TestVerifiedPassesWithEveryKindOfRequest(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "cyd").Verify()
	for _, host := range []string{"app.example", "late.example", "remind.example", "observe.example", "out.example", "nested.example"} {
		p.At(host)
		for _, list := range [][]struct {
			name string
			do   func(*person, string) *answer
		}{openings, others} {
			for _, kind := range list {
				p.NewCase()
				a := kind.do(p, target)
				got := p.wantPass(host+", "+kind.name, a)
				if got.Header.Get("Contactgate-Status") != "verified" || got.Header.Get("Contactgate-Deadline") != "" || got.Target != target {
					t.Errorf("%s, %s: the app got %s %v", host, kind.name, got.Target, got.Header)
				}
				if want := p.Email; (host == "app.example") != (got.Header.Get("Contactgate-Email") == want) {
					t.Errorf("%s, %s: pass_headers: the app got %q", host, kind.name, got.Header.Get("Contactgate-Email"))
				}
				if a.Header.Get("Contactgate") != "" {
					t.Errorf("%s, %s: a verified person is told %q", host, kind.name, a.Header.Get("Contactgate"))
				}
			}
		}
	}
}

// In grace only pages being opened are interrupted, once; everything else goes through untouched.
func TestDueIsAskedOnlyWhenAPageIsOpened(t *testing.T) {
	t.Parallel()
	r := shared(t)
	for _, kind := range openings {
		p := newPerson(t, r, "app.example", "ann")
		p.wantPage(kind.name, kind.do(p, target))
	}
	p := newPerson(t, r, "app.example", "ann")
	for round := range 2 {
		for _, kind := range others {
			p.NewCase()
			a := kind.do(p, target)
			got := p.wantPass(kind.name, a)
			deadline := got.Header.Get("Contactgate-Deadline")
			if got.Header.Get("Contactgate-Status") != "due" || deadline == "" || a.Header.Get("Contactgate") != "grace; deadline="+deadline {
				t.Errorf("%s: the app got %v, the client %q", kind.name, got.Header, a.Header.Get("Contactgate"))
			}
			if _, err := time.Parse(time.RFC3339, deadline); err != nil || !strings.HasSuffix(deadline, "Z") {
				t.Errorf("%s: the deadline %q is not RFC 3339 in UTC", kind.name, deadline)
			}
		}
		p.NewCase()
		// A form of the app in grace is never interrupted.
		got := p.wantPass("form", p.Post("/save", url.Values{"a": {"1"}}))
		if got.BodySize != 3 {
			t.Errorf("form: the app got %d bytes", got.BodySize)
		}
		if round == 0 {
			p.wantPage("first page", p.Open(target))
		}
	}
	p.wantPass("the second page within ask_every", p.Open(target))
}

func TestOverdueIsBlockedInTheFormThatTheAskerUnderstands(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "late.example", "bob")
	overdue(p)
	for _, host := range []string{"late.example", "part.example", "deny.example"} {
		p.At(host)
		to := target
		if host == "part.example" {
			to = "/area/page?a=1&b=%2F"
		}
		for _, kind := range openings {
			a := kind.do(p, to)
			p.wantPage(host+" "+kind.name, a)
			if len(a.Body) > 0 {
				t.Errorf("%s: a redirect with a body", kind.name)
			}
		}
		for _, kind := range others {
			a := kind.do(p, to)
			p.wantProblem(host+" "+kind.name, a)
			if a.Request.Method == "HEAD" {
				continue
			}
			var problem map[string]any
			if err := json.Unmarshal([]byte(a.Body), &problem); err != nil {
				t.Fatalf("%s: %v: %s", kind.name, err, a.Body)
			}
			if problem["type"] != "urn:contactgate:verification-required" || problem["status"] != float64(403) ||
				problem["verify_url"] != "/.contactgate/verify" || problem["title"] == "" || problem["detail"] == "" {
				t.Errorf("%s: %s", kind.name, a.Body)
			}
			if _, err := time.Parse(time.RFC3339, problem["deadline"].(string)); err != nil {
				t.Errorf("%s: deadline: %v", kind.name, err)
			}
		}
		a := p.Post(to, url.Values{"note": {"a long text"}})
		wantStatus(t, "C01: a form that was not sent", a, http.StatusForbidden)
		p.wantUnseen("form")
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !strings.Contains(a.Text(), "was not sent") || !strings.Contains(a.Text(), "Back") {
			t.Errorf("C01: %v %s", a.Header, a.Text())
		}
		if strings.Contains(a.Body, "a long text") {
			t.Error("C01: the page repeats what was posted")
		}
		if _, replays := a.Form("/save", 0); replays {
			t.Error("C01: the page posts the form by itself")
		}
	}
	p.At("part.example")
	p.wantPass("outside the directive's matcher", p.Open("/elsewhere"))
	wantStatus(t, "the pages, whatever the matcher", p.Open("/.contactgate/verify"), http.StatusOK)
}

func TestRemindAsksWhomEnforceWouldBlock(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "late.example", "bob")
	overdue(p)
	q := asPerson(t, r, "remind.example", p.User, p.Email)
	for _, kind := range others {
		q.NewCase()
		a := kind.do(q, target)
		got := q.wantPass(kind.name, a)
		if got.Header.Get("Contactgate-Status") != "overdue" || !strings.HasPrefix(a.Header.Get("Contactgate"), "grace; deadline=") {
			t.Errorf("%s: the app got %v, the client %q", kind.name, got.Header, a.Header.Get("Contactgate"))
		}
	}
	time.Sleep(3 * time.Second) // four since they were asked at the other site
	q.wantPage("a page", q.Open(target))
	time.Sleep(4100 * time.Millisecond)
	page := q.Visit(target)
	wantStatus(t, "verify", page, http.StatusOK)
	later := q.Submit(page, "verify/later")
	wantStatus(t, "not now", later, http.StatusSeeOther)
	q.wantPass("after not now", q.Open(target))
	if got := q.Follow(later); got.StatusCode != 200 || got.Body != "UPSTREAM GET "+target {
		t.Errorf("not now led to %s", got.Body)
	}
}

func TestObserveAndRolloutPassEverybodyAndStartNoClock(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for host, status := range map[string]string{"observe.example": "overdue", "out.example": "overdue", "watch.example": "due"} {
		bob.At(host)
		for _, list := range [][]struct {
			name string
			do   func(*person, string) *answer
		}{openings, others} {
			for _, kind := range list {
				bob.NewCase()
				a := kind.do(bob, target)
				got := bob.wantPass(host+", "+kind.name, a)
				if got.Header.Get("Contactgate-Status") != status || a.Header.Get("Contactgate") != "" {
					t.Errorf("%s, %s: the app got %v, the client %q", host, kind.name, got.Header, a.Header.Get("Contactgate"))
				}
			}
		}
	}
	// Somebody whom only these sites saw has all of their grace at the others.
	new := newPerson(t, r, "observe.example", "ann")
	new.wantPass("observe", new.Open(target))
	new.At("out.example").wantPass("rollout 0%", new.Open(target))
	new.At("remind.example").wantPage("remind asks", new.Open(target))
	soonOverdue() // they would be, if a clock ran
	new.At("soon.example")
	page := new.Open(target)
	new.wantPage("enforce", page)
	if body := new.Follow(page); !strings.Contains(body.Text(), "Not now") {
		t.Errorf("a clock ran outside enforce: %s", body.Text())
	}
}

// Rule 2 and rule 4: exempt requests and exempt accounts pass although the account is overdue.
func TestExemptionsPass(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, to := range []string{"/public/x", "/public/a/b?c=/../", "/static/a/site.css", "/logout", "/logout?all=1"} {
		got := bob.wantPass(to, bob.Open(to))
		if got.Header.Get("Contactgate-Status") != "exempt" {
			t.Errorf("%s: status %q", to, got.Header.Get("Contactgate-Status"))
		}
		bob.wantPass("fetch "+to, bob.Fetch("GET", to))
	}
	bob.wantPass("POST of the sign-out", bob.Post("/logout", url.Values{}))
	bob.wantPage("a look-alike of the regexp", bob.Open("/static/site.css.php"))
	bob.wantPage("a look-alike of the sign-out", bob.Open("/logout/x"))
	for _, who := range []*person{
		asPerson(t, r, "late.example", "backup-bot", ""),
		asPerson(t, r, "late.example", unique("grp"), "grp.long@example.com", "people", "service-accounts"),
		asPerson(t, r, "late.example", unique("edu"), "student.long@physics.edu.example"),
	} {
		overdue := who.Open(target)
		got := who.wantPass(who.User, overdue)
		if got.Header.Get("Contactgate-Status") != "exempt" {
			t.Errorf("%s: status %q", who.User, got.Header.Get("Contactgate-Status"))
		}
	}
	// What the sign-in names in this very request counts, and the exact names only.
	for _, who := range []*person{
		asPerson(t, r, "late.example", "Backup-Bot", ""),
		asPerson(t, r, "late.example", unique("grp"), "grp2.long@example.com", "Service-Accounts", "service-accounts-2"),
		asPerson(t, r, "late.example", unique("edu"), "student.long@edu.example"),
		asPerson(t, r, "late.example", unique("edu"), "student.long@notedu.example"),
	} {
		who.wantPage(who.User+" "+who.Email, who.Open(target))
	}
	// C04: a preflight carries nobody's name.
	nobody := nobodyYet(t, r, "late.example")
	nobody.wantPass("preflight", nobody.Bare("OPTIONS", "/app", "Origin", "https://x.example", "Access-Control-Request-Method", "PUT"))
	bob.wantProblem("OPTIONS of somebody, no preflight", bob.Bare("OPTIONS", "/app", "Origin", "https://x.example"))
	bob.wantProblem("OPTIONS of somebody that looks like a preflight", bob.Bare("OPTIONS", "/app", "Origin", "https://x.example", "Access-Control-Request-Method", "GET"))
}

func TestAskEveryCountsForTheAccountNotForTheBrowser(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	p.wantPage("first page", p.Open("/one"))
	q := p.AnotherBrowser()
	q.wantPass("another browser", q.Open("/two"))
	p.ForgetCookies()
	p.wantPass("cookies lost", p.Open("/three"))
	p.At("nested.example").wantPass("another site of the realm", p.Open("/four"))
	// A short ask_every asks again, and the deadline stays where it was.
	k := newPerson(t, r, "quick.example", "ann")
	first := k.Open("/one")
	k.wantPage("first page", first)
	deadline := k.Fetch("GET", "/x").Header.Get("Contactgate")
	k.NewCase()
	k.wantPass("within ask_every", k.Open("/two"))
	time.Sleep(3100 * time.Millisecond)
	k.wantPage("after ask_every", k.Open("/three"))
	if again := k.Fetch("GET", "/x").Header.Get("Contactgate"); again != deadline || deadline == "" {
		t.Errorf("the deadline moved from %q to %q", deadline, again)
	}
}

// HEAD, prefetch and iframes neither start grace nor use up the question; seeing the page itself does both.
func TestWhatIsNotShownRecordsNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	p.Do(navigation(p.Request("HEAD", "/a", nil)))
	p.Open("/a", "Sec-Purpose", "prefetch")
	destination("iframe", "navigate")(p, "/a")
	p.Open("/.contactgate/verify", "Sec-Purpose", "prefetch")
	p.Do(navigation(p.Request("HEAD", "/.contactgate/verify", nil)))
	if started := r.Audit(t, p.User, "grace_started"); len(started) > 0 {
		t.Errorf("grace started: %v", started)
	}
	p.NewCase()
	p.wantPage("the first page shown", p.Open("/a"))
	if started := r.Audit(t, p.User, "grace_started"); len(started) != 1 {
		t.Errorf("grace started %d times", len(started))
	}
	p.wantPass("C03: the question was used up by the page alone", p.Open("/b"))
	if started := r.Audit(t, p.User, "grace_started"); len(started) != 1 {
		t.Errorf("grace started %d times", len(started))
	}
}

// A native client that is never shown a page gets a grace that starts unseen after its first request.
func TestUnseenGraceRunsOutForClientsThatAreNeverShownAPage(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "soon.example", "native")
	p.wantPass("first request", p.Bare("GET", "/api"))
	p.NewCase()
	time.Sleep(1100 * time.Millisecond)
	p.wantPass("unseen is over, grace runs", p.Bare("GET", "/api"))
	time.Sleep(5 * time.Second)
	p.wantProblem("after it", p.Bare("GET", "/api"))
}

func TestEveryGateOfAChainDecides(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "nested.example", "bob")
	p.wantPage("the outer gate asks", p.Open("/deep/x"))
	time.Sleep(1100 * time.Millisecond)
	p.wantPass("outside the inner gate", p.Open("/shallow"))
	p.wantProblem("the inner gate blocks", p.Fetch("GET", "/deep/x"))
	p.wantPage("the inner gate blocks a page", p.Open("/deep/x"))
	p.Verify()
	p.NewCase()
	got := p.wantPass("verified for both", p.Open("/deep/x"))
	if values := got.Header["Contactgate-Status"]; len(values) != 1 || values[0] != "verified" {
		t.Errorf("the app got %v", values)
	}
}

func TestPlaceholdersTellTheDecision(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "deny.example", "ann")
	a := p.Fetch("GET", "/x")
	fields := strings.Fields(a.Body)
	if len(fields) != 5 || fields[0] != "due" || fields[1] != p.User || fields[3] != "ask" || fields[4] != "grace" {
		t.Errorf("due: %q", a.Body)
	}
	if _, err := time.Parse(time.RFC3339, fields[2]); err != nil {
		t.Error(err)
	}
	p.At("app.example").Verify()
	if got := strings.Join(strings.Fields(p.At("deny.example").Fetch("GET", "/x").Body), " "); got != "verified "+p.User+" pass verified" {
		t.Errorf("verified: %q", got)
	}
}

func TestStatusAnswersScriptsOfTheApp(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	read := func() map[string]any {
		a := p.Fetch("GET", "/.contactgate/status")
		var v map[string]any
		if err := json.Unmarshal([]byte(a.Body), &v); err != nil || a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.Body)
		}
		return v
	}
	if v := read(); v["status"] != "due" || v["verify_url"] != "/.contactgate/verify" {
		t.Errorf("due: %v", v)
	}
	p.wantPage("status used nothing up", p.Open("/"))
	p.Verify()
	if v := read(); v["status"] != "verified" || v["deadline"] != nil {
		t.Errorf("verified: %v", v)
	}
	nobody := nobodyYet(t, r, "app.example")
	wantStatus(t, "status of nobody", nobody.Fetch("GET", "/.contactgate/status"), http.StatusUnauthorized)
}
