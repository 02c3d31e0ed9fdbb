package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// attacks.md, group E: other sites, frames, and forms that are not ours.

// formsOfOneSession gives, for one person, a good form of every route that takes one, and what shows that it had an effect.
func formsOfOneSession(t *testing.T, p *person) map[string]form {
	t.Helper()
	ask := p.Visit("/.contactgate/verify")
	add := p.Open("/.contactgate/contacts/new")
	all := map[string]form{}
	for _, a := range []*answer{ask, add, p.Open(ownPage)} {
		for _, f := range a.forms() {
			if name := strings.TrimPrefix(f.Action, "/.contactgate/"); all[name].Action == "" {
				all[name] = f
			}
		}
	}
	all["verify/send"].Fields.Set("proof", p.Email)
	all["contacts/new"].Fields.Set("address", p.User+".added@example.com")
	all["language"].Fields.Set("language", "ja")
	return all
}

func TestE01ToE03FormsOfOtherSitesHaveNoEffect(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	forms := formsOfOneSession(t, p)
	before := len(r.Mail.Messages())
	headers := map[string][]string{
		"another origin":              {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		"another origin, no fetch":    {"Origin", "https://evil.example", "Sec-Fetch-Site", "-"},
		"E02 cross-site":              {"Sec-Fetch-Site", "cross-site"},
		"E02 cross-site, no origin":   {"Sec-Fetch-Site", "cross-site", "Origin", "-"},
		"E02 a sibling":               {"Sec-Fetch-Site", "same-site", "Origin", "https://late.example:" + r.port},
		"E02 a sibling, no origin":    {"Sec-Fetch-Site", "same-site", "Origin", "-"},
		"E03 null":                    {"Origin", "null", "Sec-Fetch-Site", "-"},
		"E03 null, same-origin":       {"Origin", "null"},
		"E03 scheme":                  {"Origin", "http://app.example:" + r.port, "Sec-Fetch-Site", "-"},
		"E03 scheme, same-origin":     {"Origin", "http://app.example:" + r.port},
		"E03 userinfo":                {"Origin", "https://evil@app.example:" + r.port, "Sec-Fetch-Site", "-"},
		"E03 port":                    {"Origin", "https://app.example:1", "Sec-Fetch-Site", "-"},
		"E03 no port":                 {"Origin", "https://app.example", "Sec-Fetch-Site", "-"},
		"E03 a path":                  {"Origin", "https://app.example:" + r.port + "/", "Sec-Fetch-Site", "-"},
		"E03 a suffix":                {"Origin", "https://app.example:" + r.port + ".evil.example", "Sec-Fetch-Site", "-"},
		"E03 a prefix":                {"Origin", "https://evilapp.example:" + r.port, "Sec-Fetch-Site", "-"},
		"E03 empty":                   {"Origin", "", "Sec-Fetch-Site", "-"},
		"an origin and another":       {"Origin", "https://app.example:" + r.port + ", https://evil.example", "Sec-Fetch-Site", "-"},
		"none is not same-origin":     {"Sec-Fetch-Site", "none", "Origin", "https://evil.example"},
		"an unknown Sec-Fetch-Site":   {"Sec-Fetch-Site", "sort-of-same", "Origin", "https://evil.example"},
		"the host of another request": {"Origin", "https://evil.example", "Sec-Fetch-Site", "-", "X-Forwarded-Host", "evil.example"},
	}
	for what, pairs := range headers {
		for _, route := range postRoutes {
			f := forms[route]
			if f.Action == "" { // verify/code, verify/resend: there is no code yet
				f = form{Action: "/.contactgate/" + route, Fields: url.Values{"csrf": forms["verify/send"].Fields["csrf"], "code": {"123456"}}}
			}
			if route == "verify/resend" {
				f.Fields.Del("code")
			}
			a := p.Post(f.Action, f.Fields, pairs...)
			wantStatus(t, what+", "+route, a, http.StatusForbidden)
			if a.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s, %s: a cookie is set", what, route)
			}
		}
	}
	req := p.formRequest("/.contactgate/verify/later", forms["verify/later"].Fields)
	req.Header["Origin"] = []string{p.Origin, "https://evil.example"}
	wantStatus(t, "two Origin fields", p.Do(req), http.StatusForbidden)
	for _, m := range r.Mail.Messages()[before:] {
		if strings.HasPrefix(m.Rcpts[0], p.User+".") {
			t.Errorf("a mail was sent to %v", m.Rcpts)
		}
	}
	if n := len(r.Audit(t, p.User, "later")); n > 0 {
		t.Error("another site said \"not now\"")
	}
	if lang := p.Open("/.contactgate/help").Header.Get("Content-Language"); lang != "en" {
		t.Errorf("another site chose the language %s", lang)
	}
	// The very same forms from here work, with and without what old browsers leave out.
	wantStatus(t, "from here", p.Post(forms["verify/later"].Action, forms["verify/later"].Fields), http.StatusSeeOther)
	wantStatus(t, "from here, no Sec-Fetch", p.Post(forms["verify/later"].Action, forms["verify/later"].Fields, "Sec-Fetch-Site", "-", "Sec-Fetch-Mode", "-", "Sec-Fetch-Dest", "-", "Sec-Fetch-User", "-"), http.StatusSeeOther)
	wantStatus(t, "from here, the token alone", p.Post(forms["verify/later"].Action, forms["verify/later"].Fields, "Sec-Fetch-Site", "-", "Origin", "-"), http.StatusSeeOther)
}

// The token of a form is of one action, one browser session and one person, and there is no way without.
func TestE10FormTokens(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	forms := formsOfOneSession(t, p)
	eve := newPerson(t, r, "app.example", "eve")
	hers := formsOfOneSession(t, eve)
	other := p.AnotherBrowser()
	others := formsOfOneSession(t, other)
	for what, token := range map[string]string{
		"none": "", "junk": "x", "of another action": forms["language"].Fields.Get("csrf"), "of another person": hers["verify/later"].Fields.Get("csrf"),
		"of another browser": others["verify/later"].Fields.Get("csrf"), "cut": forms["verify/later"].Fields.Get("csrf")[1:],
	} {
		for _, origin := range []string{p.Origin, "-"} {
			a := p.Post("/.contactgate/verify/later", url.Values{"csrf": {token}}, "Origin", origin)
			wantStatus(t, "a token "+what, a, http.StatusForbidden)
		}
	}
	missing := p.Post("/.contactgate/verify/later", url.Values{})
	wantStatus(t, "no token at all", missing, http.StatusForbidden)
	if n := len(r.Audit(t, p.User, "later")); n > 0 {
		t.Error("without a good token \"not now\" was said")
	}
	// A second tab takes nothing away from the first.
	_ = formsOfOneSession(t, p)
	wantStatus(t, "the first tab", p.Post(forms["verify/later"].Action, forms["verify/later"].Fields), http.StatusSeeOther)
	// Lost cookies: nothing is done, one button goes on, and what was typed in "add" is still there.
	f := forms["contacts/new"]
	typed := f.Fields.Get("address")
	p.ForgetCookies()
	wantStatus(t, "no cookie", p.Post(f.Action, f.Fields), http.StatusForbidden)
	_ = p.Visit("/.contactgate/verify") // another tab makes a new session
	again := p.Post(f.Action, f.Fields)
	wantStatus(t, "the session was overwritten", again, http.StatusForbidden)
	if g, ok := again.Form("contacts/new", 0); !ok || g.Fields.Get("address") != typed {
		t.Errorf("what was typed is gone: %s", again.Text())
	} else if sent := p.Post(g.Action, g.Fields); sent.StatusCode != http.StatusSeeOther {
		t.Errorf("the form shown again: %d %s", sent.StatusCode, sent.Text())
	}
	// After the right code, and as somebody else in the same browser, the old forms are gone.
	q := newPerson(t, r, "app.example", "ann")
	old := formsOfOneSession(t, q)
	session := q.Cookies()["__Host-contactgate"]
	q.Verify()
	if q.Cookies()["__Host-contactgate"] == session {
		t.Error("I08: the session stays the same after the right code")
	}
	wantStatus(t, "after success", q.Post(old["language"].Action, old["language"].Fields), http.StatusForbidden)
	q.SetCookie("sess", eve.User)
	now := q.Post(old["language"].Action, old["language"].Fields)
	wantStatus(t, "as somebody else", now, http.StatusForbidden)
	page := q.Visit("/.contactgate/verify")
	if strings.Contains(page.Text(), "an****") || strings.Contains(page.Body, q.User) {
		t.Errorf("I09: eve sees ann's page: %s", page.Text())
	}
}

func TestE06E07FormsHaveOneShape(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	forms := formsOfOneSession(t, p)
	for _, route := range []string{"verify/send", "verify/later", "contacts/new", "language"} {
		f := forms[route]
		for _, kind := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencodedx", "application/xml"} {
			a := p.Post(f.Action, f.Fields, "Content-Type", kind)
			wantStatus(t, "E06 "+route+" as "+kind, a, http.StatusUnsupportedMediaType)
		}
		for name := range f.Fields {
			twice := url.Values{}
			for n, v := range f.Fields {
				twice[n] = v
			}
			twice[name] = []string{"victim", f.Fields.Get(name)}
			wantStatus(t, "E07 "+route+" with two "+name, p.Post(f.Action, twice), http.StatusBadRequest)
			delete(twice, name)
			twice[name+"[]"] = []string{f.Fields.Get(name)}
			if a := p.Post(f.Action, twice); a.StatusCode != http.StatusBadRequest {
				t.Errorf("E07 %s with %s[]: %d", route, name, a.StatusCode)
			}
		}
		for _, more := range []string{"verified", "user", "realm", "role", "contact_id", "_method", "trust"} {
			extra := url.Values{more: {"true"}}
			for n, v := range f.Fields {
				extra[n] = v
			}
			wantStatus(t, "M05 "+route+" with "+more, p.Post(f.Action, extra), http.StatusBadRequest)
		}
		for _, body := range []string{"%zz=1", "a;b=c&csrf=x", "csrf=%", `{"csrf":"x"}`, "csrf=x&csrf=y", "\x00", strings.Repeat("a&", 9000)} {
			req := p.formRequest(f.Action, nil)
			req.Body = http.NoBody
			req, _ = http.NewRequest("POST", p.Origin+f.Action, strings.NewReader(body))
			req.Header = p.formRequest(f.Action, nil).Header
			if a := p.Do(req); a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusForbidden {
				t.Errorf("J09 %s %.20q: %d", route, body, a.StatusCode)
			}
		}
		wantStatus(t, "64 KiB and more", p.Post(f.Action, url.Values{"csrf": {strings.Repeat("x", 64<<10)}}), http.StatusRequestEntityTooLarge)
	}
	if n := len(r.Mails(p.Email)); n > 0 {
		t.Errorf("%d mails", n)
	}
	// The query is no part of a form.
	f := forms["verify/later"]
	wantStatus(t, "the token in the query", p.Post(f.Action+"?csrf="+url.QueryEscape(f.Fields.Get("csrf")), url.Values{}), http.StatusForbidden)
	// E07: two codes are one bad request, not two tries.
	page := p.AskCode(p.Email)
	code, _ := page.Form("verify/code", 0)
	right := r.WaitMail(t, p.Email, 1).Code()
	code.Fields["code"] = []string{otherCode(right), right}
	wantStatus(t, "two codes", p.Post(code.Action, code.Fields), http.StatusBadRequest)
	a := p.Submit(page, "verify/code", "code", otherCode(right))
	if !strings.Contains(a.Text(), "4 tries left") {
		t.Errorf("two codes were counted: %s", a.Text())
	}
}

// E08: nothing on a page comes from elsewhere, and nothing is inline.
func TestE08PagesBringNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	ask := p.Visit("/app")
	prove := p.Submit(ask, "verify/send")
	code := p.AskCode(p.Email)
	done := p.Follow(p.Submit(code, "verify/code", "code", r.WaitMail(t, p.Email, 1).Code()))
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	pages := map[string]*answer{
		"ask": ask, "prove": prove, "code": code, "done": done, "add": p.Open("/.contactgate/contacts/new"), "help": p.Open("/.contactgate/help"),
		"not sent": bob.Post("/app", url.Values{}), "not found": p.Open("/.contactgate/nothing"), "stale": p.Post("/.contactgate/verify/later", url.Values{}),
		"cross-site": p.Post("/.contactgate/verify/later", url.Values{}, "Origin", "https://evil.example"), "blocked": bob.Visit("/x"),
	}
	assets := map[string]bool{}
	for name, a := range pages {
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.Header.Get("Content-Type"))
			continue
		}
		doc, err := html.Parse(strings.NewReader(a.Body))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if n.Data == "style" || n.Data == "script" && (attr(n, "src") == "" || n.FirstChild != nil) || n.Data == "iframe" || n.Data == "base" || n.Data == "object" {
				t.Errorf("%s: <%s> inline or embedding", name, n.Data)
			}
			for _, at := range n.Attr {
				if strings.HasPrefix(at.Key, "on") || at.Key == "style" {
					t.Errorf("%s: <%s %s>", name, n.Data, at.Key)
				}
				switch at.Key {
				case "src", "href", "action", "srcset", "data", "poster", "formaction":
					if strings.HasPrefix(at.Val, "mailto:help@example.com") || strings.HasPrefix(at.Val, "#") {
						continue
					}
					if !strings.HasPrefix(at.Val, "/") || strings.HasPrefix(at.Val, "//") {
						t.Errorf("%s: <%s %s=%q>", name, n.Data, at.Key, at.Val)
					}
					if strings.Contains(at.Val, "/assets/") {
						assets[at.Val] = true
					}
				}
			}
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "http") || strings.Contains(csp, "*") {
			t.Errorf("%s: %s", name, csp)
		}
	}
	if len(assets) < 3 {
		t.Errorf("only %d assets", len(assets))
	}
	nobody := nobodyYet(t, r, "app.example")
	for asset := range assets {
		a := nobody.Fetch("GET", asset)
		if a.StatusCode != http.StatusOK || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") || a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", asset, a.StatusCode, a.Header)
		}
		wantStatus(t, "POST of an asset", nobody.Fetch("POST", asset), http.StatusMethodNotAllowed)
	}
}
