package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The whole way through the pages by e-mail, as a script walks it that knows contract.md and nothing else.

// exact is an address in which nothing may be rewritten: D07.
const exact = "/app/%E3%81%82/a%20b;v=1?a=1&b=%2F%2Fx&c=%E2%9C%93&d=a+b%20c&e=%7E&f=~&&g"

func TestJourneyByMailInBothLanguages(t *testing.T) {
	t.Parallel()
	r := shared(t)
	for _, lang := range []struct{ tag, accept, left string }{
		{"en", "en-GB,en;q=0.9", "left."},
		{"ja", "ja,en;q=0.5", "回"},
	} {
		for _, host := range []string{"app.example", "late.example"} {
			t.Run(lang.tag+" "+host, func(t *testing.T) {
				p := newPerson(t, r, host, "ann")
				p.Lang = lang.accept
				if host == "late.example" {
					overdue(p)
				}
				first := p.Open(exact)
				p.wantPage("step 0", first)

				// Step 1: the mask, and no code is sent by opening a page.
				ask := p.Follow(first)
				mustStatus(t, ask, http.StatusOK)
				local, _, _ := strings.Cut(p.Email, "@")
				mask := local[:2] + "****@example.com"
				if !strings.Contains(ask.Text(), mask) || strings.Contains(strings.ToLower(ask.Body), local) {
					t.Errorf("the mask %q: %s", mask, ask.Body)
				}
				if !strings.Contains(ask.Body, `lang="`+lang.tag+`"`) || ask.Header.Get("Content-Language") != lang.tag {
					t.Errorf("language %q: %.200s", ask.Header.Get("Content-Language"), ask.Body)
				}

				// Step 2: nothing is sent or counted without a right proof.
				prove := p.Submit(ask, "verify/send")
				mustStatus(t, prove, http.StatusOK)
				for _, wrong := range []string{"", "   ", "wrong", "wrong@example.com", local[:2] + "****@example.com", "****"} {
					a := p.Submit(prove, "verify/send", "proof", wrong)
					mustStatus(t, a, http.StatusUnprocessableEntity)
					if f, ok := a.Form("verify/send", 0); !ok || f.Fields.Get("proof") != wrong {
						t.Errorf("the answer to %q keeps %q", wrong, f.Fields.Get("proof"))
					}
					if strings.Contains(strings.ToLower(a.Body), local) {
						t.Error("the whole address is on the page")
					}
					if strings.TrimSpace(wrong) != "" && !strings.Contains(a.Text(), lang.left) {
						t.Errorf("%q: it does not say how many tries are left: %s", wrong, a.Text())
					}
				}
				// The fifth is the last for a day: no form, and not even the right proof sends.
				last := p.Submit(prove, "verify/send", "proof", "@example.com")
				mustStatus(t, last, http.StatusUnprocessableEntity)
				closed := p.Submit(prove, "verify/send", "proof", p.Email)
				mustStatus(t, closed, http.StatusTooManyRequests)
				if closed.Header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
				if n := len(r.Mails(p.Email)); n != 0 {
					t.Fatalf("%d mails without a proof", n)
				}
			})
		}
	}
	// The proof tries of that person are used up (5 a day), so that is where it ends for them; others go all the way.
	for _, lang := range []struct{ tag, accept, subject, left, done string }{
		{"en", "en-GB,en;q=0.9", "Your Example security code", "4 tries left", "Thank you"},
		{"ja", "ja,en;q=0.5", "Example セキュリティ コード", "4", "確認できました"},
	} {
		for _, host := range []string{"app.example", "late.example"} {
			t.Run(lang.tag+" to the end "+host, func(t *testing.T) {
				p := newPerson(t, r, host, "ann")
				p.Lang = lang.accept
				if host == "late.example" {
					overdue(p)
				}
				local, _, _ := strings.Cut(p.Email, "@")
				prove := p.Submit(p.Visit(exact), "verify/send")
				sent := p.Submit(prove, "verify/send", "proof", " "+strings.ToUpper(local[2:])+" ")
				mustStatus(t, sent, http.StatusSeeOther)
				if sent.Header.Get("Location") != "/.contactgate/verify/code" {
					t.Fatalf("step 2 leads to %q", sent.Header.Get("Location"))
				}

				// Step 3: what to look for, and the message.
				page := p.Follow(sent)
				mustStatus(t, page, http.StatusOK)
				for _, wanted := range []string{local[:2] + "****@example.com", "account-security-noreply@example.com", lang.subject} {
					if !strings.Contains(page.Text(), wanted) {
						t.Errorf("step 3 does not show %q: %s", wanted, page.Text())
					}
				}
				m := r.WaitMail(t, p.Email, 1)
				code := m.Code()
				if m.Subject != lang.subject || len(code) != 6 || !strings.Contains(m.HTML, code) || !strings.Contains(m.Text, host) {
					t.Errorf("the mail: %q, %q\n%s", m.Subject, code, m.Text)
				}
				if strings.Contains(m.Text, "http") || strings.Contains(m.HTML, "href=\"http") {
					t.Errorf("G11: the mail has a link:\n%s\n%s", m.Text, m.HTML)
				}
				// C06: a code in a query counts for nothing. (Not the right one: Caddy logs every address.)
				mustStatus(t, p.Open("/.contactgate/verify/code?code=000000"), http.StatusOK)
				for _, typed := range []string{"", "12345", "1234567", "abc", "12ab56", strings.Repeat("1", 5000)} {
					mustStatus(t, p.Submit(page, "verify/code", "code", typed), http.StatusUnprocessableEntity)
				}
				wrong := p.Submit(page, "verify/code", "code", otherCode(code))
				mustStatus(t, wrong, http.StatusUnprocessableEntity)
				if !strings.Contains(wrong.Text(), lang.left) {
					t.Errorf("input that is no code was counted: %s", wrong.Text())
				}
				if strings.Contains(wrong.Body, otherCode(code)) {
					t.Error("the page keeps the code that was typed")
				}
				full := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３").Replace(code[:3]) + " － " + code[3:] + "\n"
				done := p.Submit(wrong, "verify/code", "code", full)
				mustStatus(t, done, http.StatusSeeOther)
				if done.Header.Get("Location") != "/.contactgate/done" {
					t.Errorf("step 3 leads to %q", done.Header.Get("Location"))
				}

				// Step 5, and on to the very address.
				last := p.Follow(done)
				if !strings.Contains(last.Text(), lang.done) || continueLink(last) != exact {
					t.Errorf("step 5 leads to %q: %s", continueLink(last), last.Text())
				}
				p.NewCase()
				got := p.wantPass("step 5", p.Do(rawTarget(navigation(p.Request("GET", "/", nil)), exact)))
				if got.Target != exact || got.Header.Get("Contactgate-Status") != "verified" || got.Header.Get("Remote-User") != p.User {
					t.Errorf("the app got %s %v", got.Target, got.Header)
				}
				if got.Header.Get("Cookie") != "sess="+p.User {
					t.Errorf("the app got the cookies %q", got.Header.Get("Cookie"))
				}
				// F01: the same code again answers the same.
				again := p.Submit(wrong, "verify/code", "code", code)
				if again.StatusCode != http.StatusSeeOther || again.Header.Get("Location") != "/.contactgate/done" {
					t.Errorf("the same code again: %d %q", again.StatusCode, again.Header.Get("Location"))
				}
				if n := len(r.Audit(t, p.User, "contact_verified")); n != 1 {
					t.Errorf("%d confirmations in the audit log", n)
				}
				if n := len(r.Mails(p.Email)); n != 1 {
					t.Errorf("%d mails", n)
				}
			})
		}
	}
}

// rawTarget sends a request target as it is.
func rawTarget(req *http.Request, target string) *http.Request {
	req.URL.Opaque = "//" + req.URL.Host + target
	path, query, found := strings.Cut(target, "?")
	req.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Opaque: path, RawQuery: query, ForceQuery: found && query == ""}
	return req
}

func TestSomebodyWithoutContactsAddsOne(t *testing.T) {
	t.Parallel()
	r := shared(t)
	dan := asPerson(t, r, "app.example", unique("dan"), "")
	first := dan.Open(exact)
	dan.wantPage("no contact on file", first)
	page := dan.Follow(first)
	if !strings.HasPrefix(page.Request.URL.Path, "/.contactgate/contacts/new") {
		t.Fatalf("led to %s: %s", page.Request.URL, page.Text())
	}
	for _, bad := range []string{"", "dan", "dan@", "@example.com", "a@b", "dan@localhost", "a@b.c,x@y.z", "a@b.c\r\nBcc: x@y.z", "Dan <dan@example.com>", `"a b"@example.com`, "a@[127.0.0.1]", "a@127.0.0.1", "a@b..example"} {
		a := dan.Submit(page, "contacts/new", "address", bad)
		mustStatus(t, a, http.StatusUnprocessableEntity)
	}
	mustStatus(t, dan.Submit(page, "contacts/new", "address", "dan.own@example.com", "kind", "pigeon"), http.StatusBadRequest)
	if got := r.Mails("dan.own@example.com"); len(got) > 0 {
		t.Fatal("a mail was sent for a bad form")
	}
	own := unique("dan.own") + "@example.com"
	r.oracle.secret("address", own)
	sent := dan.Submit(page, "contacts/new", "address", "  "+own+" ")
	mustStatus(t, sent, http.StatusSeeOther)
	code := r.WaitMail(t, own, 1).Code()
	done := dan.Submit(dan.Follow(sent), "verify/code", "code", code)
	mustStatus(t, done, http.StatusSeeOther)
	if link := continueLink(dan.Follow(done)); link != exact {
		t.Errorf("leads to %q", link)
	}
	dan.NewCase()
	if got := dan.wantPass("at once: the account never had one", dan.Open("/app")); got.Header.Get("Contactgate-Email") != own {
		t.Errorf("pass_headers: %q", got.Header.Get("Contactgate-Email"))
	}
}

func TestNotNowGoesOnToTheExactAddress(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	first := p.Do(rawTarget(navigation(p.Request("GET", "/", nil)), exact))
	p.wantPage("first", first)
	page := p.Follow(first)
	a := p.Submit(page, "verify/later")
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != exact {
		t.Errorf("not now: %d %q", a.StatusCode, a.Header.Get("Location"))
	}
	// K02: after the deadline it is too late, whatever page is still open.
	q := newPerson(t, r, "late.example", "bob")
	old := q.Visit("/app")
	mustStatus(t, old, http.StatusOK)
	overdue()
	late := q.Submit(old, "verify/later")
	wantStatus(t, "not now after the deadline", late, http.StatusForbidden)
	q.wantUnseen("not now after the deadline")
	q.wantPage("still blocked", q.Open("/app"))
	if page := q.Visit("/app"); strings.Contains(page.Text(), "Not now") {
		t.Errorf("offered after the deadline: %s", page.Text())
	}
}

func TestLanguageChoiceStaysWithTheBrowser(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	page := p.Visit(exact)
	f, ok := page.Form("language", 0)
	if !ok {
		t.Fatal("no language choice")
	}
	f.Fields.Set("language", "ja")
	a := p.Follow(p.Post(f.Action, f.Fields))
	if a.StatusCode != 200 || a.Header.Get("Content-Language") != "ja" {
		t.Fatalf("%d %s", a.StatusCode, a.Header.Get("Content-Language"))
	}
	later := p.Submit(a, "verify/later")
	if later.Header.Get("Location") != exact {
		t.Errorf("the return address was lost: %q", later.Header.Get("Location"))
	}
	if got := p.Open("/.contactgate/help").Header.Get("Content-Language"); got != "ja" {
		t.Errorf("help is in %q", got)
	}
	f.Fields.Set("language", "../../x")
	if got := p.Follow(p.Post(f.Action, f.Fields)).Header.Get("Content-Language"); got != "en" {
		t.Errorf("J11: an unknown language gives %q", got)
	}
}
