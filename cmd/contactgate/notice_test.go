package main

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
	"github.com/contactgate/contactgate/internal/testbed"
)

// "This was not me": what a contact on file that was once verified may say to a change that it was told of.

const supportAddress = "help@example.com"

var noticeLink = regexp.MustCompile(`(?m)^(https://\S+/\.contactgate)(/notice/[A-Za-z0-9_-]+)\r?$`)

// Intrude adds a contact from another browser of the person, which has entered no code: somebody who found a session open.
func (p *person) Intrude(address string) *person {
	p.t.Helper()
	thief := p.AnotherBrowser()
	thief.addAddress(address)
	return thief
}

// addAddress adds an address and enters its code.
func (p *person) addAddress(address string) {
	p.t.Helper()
	sent := p.Submit(p.Visit("/.contactgate/contacts/new"), "contacts/new", "address", address)
	mustStatus(p.t, sent, http.StatusSeeOther)
	code := p.rig.WaitMail(p.t, address, 1).Code()
	mustStatus(p.t, p.Submit(p.Follow(sent), "verify/code", "code", code), http.StatusSeeOther)
}

// noticeTo waits for the nth message to an address and takes the link out of it: below the site, as our pages' addresses are.
func (r *rig) noticeTo(t *testing.T, address string, n int) (mail smtptest.Message, link string) {
	t.Helper()
	mail = r.WaitMail(t, address, n)
	found := noticeLink.FindStringSubmatch(mail.Text)
	if found == nil {
		t.Fatalf("no link in the mail: %s", mail.Text)
	}
	return mail, "/.contactgate" + found[2]
}

// supportMails are those to the people who run the site that say something.
func (r *rig) supportMails(words string) []smtptest.Message {
	var found []smtptest.Message
	for _, m := range r.Mails(supportAddress) {
		if strings.Contains(m.Text, words) {
			found = append(found, m)
		}
	}
	return found
}

func TestThisWasNotMeByMail(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "not-me").Verify()
	added := unique("thief") + "@elsewhere.example"
	thief := ann.Intrude(added)
	mail, link := r.noticeTo(t, ann.Email, 2)
	if strings.Contains(mail.Text+mail.HTML+mail.Subject, added) || strings.Count(mail.Text, "://") != 1 || !strings.Contains(mail.Text, ann.Origin+link) || !strings.Contains(mail.HTML, ann.Origin+link) {
		t.Errorf("the mail: %s", mail.Text)
	}

	// Mail systems and browsers open links before people do, as often as they like.
	owner := nobodyYet(t, r, "app.example")
	for _, a := range []*answer{owner.Open(link), owner.Bare(http.MethodGet, link), owner.Bare(http.MethodHead, link), owner.Open(link, "Sec-Purpose", "prefetch")} {
		wantStatus(t, "opened", a, http.StatusOK)
	}
	if s := ann.Fetch(http.MethodGet, "/.contactgate/status"); !strings.Contains(s.Body, `"status":"verified"`) {
		t.Fatalf("opening the link did something: %s", s.Body)
	}
	page := owner.Open(link)
	if strings.Contains(page.Body, ann.User) || strings.Contains(page.Body, ann.Email) || !strings.Contains(page.Body, `<meta name="referrer" content="strict-origin">`) {
		t.Errorf("the page tells whose link it is, or where it was: %s", page.Text())
	}
	// In their language, although nobody is signed in.
	japanese := owner.Follow(owner.Submit(page, link, "language", "ja"))
	if wantStatus(t, "in Japanese", japanese, http.StatusOK) && !strings.Contains(japanese.Body, `lang="ja"`) {
		t.Errorf("%s", japanese.Text())
	}

	done := owner.Submit(owner.Open(link), link)
	mustStatus(t, done, http.StatusOK)
	lines := r.Audit(t, ann.User, "account_frozen")
	if len(lines) != 1 || lines[0]["by"] != "person" || lines[0]["contact"] == "" {
		t.Fatalf("the audit says %v", lines)
	}
	reference := lines[0]["reference"].(string)
	if len(reference) != 10 || !strings.Contains(done.Text(), reference) {
		t.Errorf("the page does not tell the reference %q: %s", reference, done.Text())
	}
	for name, p := range map[string]*person{"the owner's browser": ann, "the thief's": thief} {
		p.wantPage(name, p.Open("/inbox"))
		p.wantFrozen(name, p.Visit("/inbox"), reference)
	}
	if !testbed.Until(10*time.Second, func() bool { return len(r.supportMails(reference)) > 0 }) {
		t.Fatal("the people who run the site are not told")
	}
	told := r.supportMails(reference)[0]
	if !strings.Contains(told.Subject, reference) || !strings.Contains(told.Text, ann.User) || strings.Contains(told.Text, ann.Email) || strings.Contains(told.Text, added) || len(told.Rcpts) != 1 {
		t.Errorf("the people who run the site are told: %q %s", told.Subject, told.Text)
	}

	// Once more says the same; after an operator lifted it, it does nothing.
	again := owner.Submit(owner.Open(link), link)
	if wantStatus(t, "once more", again, http.StatusOK) && !strings.Contains(again.Text(), reference) {
		t.Errorf("%s", again.Text())
	}
	r.Accounts(t, "unfreeze", "main", ann.User)
	wantStatus(t, "after an operator lifted it", owner.Submit(owner.Open(link), link), http.StatusForbidden)
	ann.NewCase().wantPass("after an operator lifted it", ann.Open("/"))
	if n := len(r.supportMails(reference)); n != 1 {
		t.Errorf("%d mails about one freeze", n)
	}
	// The new contact is gone: it was on hold, and its hold must not have ended under the ice.
	if body := ann.Visit("/.contactgate/done").Body; strings.Contains(body, "elsewhere.example") {
		t.Errorf("it is still there")
	}
}

func TestALinkUsedByManyAtOnceFreezesOnce(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "many").Verify()
	ann.Intrude(unique("thief") + "@elsewhere.example")
	_, link := r.noticeTo(t, ann.Email, 2)
	owner := nobodyYet(t, r, "app.example")
	f, ok := owner.Open(link).Form(link, 0)
	if !ok {
		t.Fatal("no form")
	}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			a, err := owner.try(owner.formRequest(f.Action, f.Fields))
			if err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("%v %v", err, a)
			}
		})
	}
	all.Wait()
	if n := len(r.Audit(t, ann.User, "account_frozen")); n != 1 {
		t.Errorf("frozen %d times", n)
	}
}

func TestNoticesTakeNothingFromOtherSitesNorWithoutASession(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "cross").Verify()
	ann.Intrude(unique("thief") + "@elsewhere.example")
	_, link := r.noticeTo(t, ann.Email, 2)
	owner := nobodyYet(t, r, "app.example")
	f, _ := owner.Open(link).Form(link, 0)
	for name, header := range map[string][]string{
		"another origin": {"Origin", "https://evil.example"}, "null": {"Origin", "null"}, "another scheme": {"Origin", strings.Replace(owner.Origin, "https", "http", 1)},
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "a sibling": {"Sec-Fetch-Site", "same-site"},
	} {
		wantStatus(t, name, owner.Post(link, f.Fields, header...), http.StatusForbidden)
	}
	wantStatus(t, "no token", owner.Post(link, url.Values{}), http.StatusForbidden)
	wantStatus(t, "another page's token", owner.Post("/.contactgate/notice", url.Values{"csrf": f.Fields["csrf"], "code": {"AAAAAAAA"}}), http.StatusForbidden)
	wantStatus(t, "another browser's token", nobodyYet(t, r, "app.example").Post(link, f.Fields), http.StatusForbidden)
	wantStatus(t, "a script", owner.Do(withHeader(owner.formRequest(link, f.Fields), []string{"Content-Type", "text/plain"})), http.StatusUnsupportedMediaType)
	wantStatus(t, "an unknown field", owner.Post(link, url.Values{"csrf": f.Fields["csrf"], "user": {"eve"}}), http.StatusBadRequest)
	wantStatus(t, "a field twice", owner.Post(link, url.Values{"csrf": {f.Fields.Get("csrf"), "x"}}), http.StatusBadRequest)
	wantStatus(t, "another method", owner.Bare(http.MethodPut, link), http.StatusMethodNotAllowed)
	if len(r.Audit(t, ann.User, "account_frozen")) != 0 {
		t.Error("one of these froze the account")
	}
	wantStatus(t, "and the form itself", owner.Post(link, f.Fields), http.StatusOK)
}

func TestNoticesThatLeadNowhere(t *testing.T) {
	r := shared(t)
	owner := nobodyYet(t, r, "app.example")
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	unknown := "/.contactgate/notice/" + base64.RawURLEncoding.EncodeToString(raw)
	if a := owner.Submit(owner.Open(unknown), unknown); wantStatus(t, "unknown", a, http.StatusNotFound) && strings.Contains(a.Body, "Reference") {
		t.Errorf("%s", a.Text())
	}
	for _, odd := range []string{"x", "AAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAB", strings.Repeat("A", 4000), "%3Cscript%3E", "a/b", "..", "AAAAAAAAAAAAAAAAAAAAAA/x", ""} {
		a := owner.Open("/.contactgate/notice/" + odd)
		if a.StatusCode != http.StatusNotFound || a.Header.Get("X-App") != "" {
			t.Errorf("%.40q: %d %s", odd, a.StatusCode, a.Text())
		}
	}
}

// D06: whatever a client says of the host, links begin with what the operator wrote down and the connection shows.
func TestLinksBeginWithTheSitesOwnOrigin(t *testing.T) {
	r := shared(t)
	for name, header := range map[string][]string{
		"forwarded host": {"X-Forwarded-Host", "evil.example"}, "forwarded": {"Forwarded", "host=evil.example;proto=http"},
		"forwarded scheme": {"X-Forwarded-Proto", "http"}, "forwarded port": {"X-Forwarded-Port", "1"},
	} {
		ann := newPerson(t, r, "app.example", "origin").Verify()
		thief := ann.AnotherBrowser()
		thief.With(header[0], header[1])
		thief.addAddress(unique("thief") + "@elsewhere.example")
		if mail, _ := r.noticeTo(t, ann.Email, 2); !strings.Contains(mail.Text, "\n"+ann.Origin+"/.contactgate/notice/") || strings.Contains(mail.Text, "evil.") {
			t.Errorf("%s: %s", name, mail.Text)
		}
	}
	// Another port in Host, which the site answers to all the same.
	ann := newPerson(t, r, "app.example", "port").Verify()
	thief := ann.AnotherBrowser()
	at := func(req *http.Request) *answer { req.Host = "app.example:1"; return thief.Do(req) }
	page := at(navigation(thief.Request(http.MethodGet, "/.contactgate/contacts/new", nil)))
	f, _ := page.Form("contacts/new", 0)
	to := unique("thief") + "@elsewhere.example"
	f.Fields.Set("address", to)
	mustStatus(t, at(thief.formRequest(f.Action, f.Fields, "Origin", "https://app.example:1")), http.StatusSeeOther)
	page = at(navigation(thief.Request(http.MethodGet, "/.contactgate/verify/code", nil)))
	f, _ = page.Form("verify/code", 0)
	f.Fields.Set("code", r.WaitMail(t, to, 1).Code())
	mustStatus(t, at(thief.formRequest(f.Action, f.Fields, "Origin", "https://app.example:1")), http.StatusSeeOther)
	if mail, _ := r.noticeTo(t, ann.Email, 2); !strings.Contains(mail.Text, "\n"+ann.Origin+"/.contactgate/notice/") {
		t.Errorf("another port: %s", mail.Text)
	}
}

func TestThisWasNotMeByText(t *testing.T) {
	t.Parallel()
	r := phoneRig(t)
	yuki := newCaller(t, r, "app.example", "")
	page := yuki.Follow(yuki.ask("sms"))
	mustStatus(t, yuki.Submit(page, "verify/code", "code", r.waitPhone(t, "sms", yuki.Number, 1).Code()), http.StatusSeeOther)
	thief := yuki.AnotherBrowser()
	r.Auth.Say(yuki.User, func() http.Header {
		says := signedIn(yuki.User, "")
		says["Remote-Phone"] = []string{yuki.Number}
		return says
	}())
	thief.addAddress(unique("thief") + "@elsewhere.example")
	text := r.waitPhone(t, "sms", yuki.Number, 2).Text
	found := regexp.MustCompile(`Enter ([A-Z2-7]{8}) at (app\.example:\d+/\.contactgate/notice)`).FindStringSubmatch(text)
	if found == nil || strings.Contains(text, "://") {
		t.Fatalf("the text: %q", text)
	}
	if calls := r.Phone.Asked(yuki.Number); len(calls) != 2 {
		t.Errorf("%d messages: %+v", len(calls), calls)
	}
	owner := nobodyYet(t, r, "app.example")
	form := owner.Open("/.contactgate/notice")
	for typed, status := range map[string]int{"": 422, "abc": 422, "ABCDEFGHIJ": 422, "ABCD-EFÖ2": 422, "<img src=x>": 422, strings.Repeat("(a+)+$", 3000): 422} {
		if a := owner.Submit(form, "notice", "code", typed); wantStatus(t, typed[:min(len(typed), 20)], a, status) && strings.Contains(a.Body, "<img src=x>") {
			t.Error("what was typed is on the page")
		}
	}
	code := strings.ToLower(found[1][:4] + " - " + found[1][4:])
	for i := range 10 {
		wantStatus(t, "a wrong code", owner.Submit(form, "notice", "code", "AAAAAAA"+string(rune('A'+i))), http.StatusUnprocessableEntity)
	}
	limited := owner.Submit(form, "notice", "code", code)
	if wantStatus(t, "the eleventh", limited, http.StatusTooManyRequests) && limited.Header.Get("Retry-After") == "" {
		t.Error("it does not say how long")
	}
	if s := yuki.Fetch(http.MethodGet, "/.contactgate/status"); strings.Contains(s.Body, "frozen") {
		t.Fatal("frozen beyond the limit")
	}
	r.oracle.secret("notice code", found[1])
}

func TestARightNoticeCodeFreezes(t *testing.T) {
	t.Parallel()
	r := phoneRig(t)
	yuki := newCaller(t, r, "app.example", "")
	page := yuki.Follow(yuki.ask("sms"))
	mustStatus(t, yuki.Submit(page, "verify/code", "code", r.waitPhone(t, "sms", yuki.Number, 1).Code()), http.StatusSeeOther)
	thief := yuki.AnotherBrowser()
	says := signedIn(yuki.User, "")
	says["Remote-Phone"] = []string{yuki.Number}
	r.Auth.Say(yuki.User, says)
	thief.addAddress(unique("thief") + "@elsewhere.example")
	text := r.waitPhone(t, "sms", yuki.Number, 2).Text
	found := regexp.MustCompile(`Enter ([A-Z2-7]{8}) at `).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("the text: %q", text)
	}
	owner := nobodyYet(t, r, "app.example")
	done := owner.Submit(owner.Open("/.contactgate/notice"), "notice", "code", strings.ToLower(found[1][:4]+" - "+found[1][4:]))
	mustStatus(t, done, http.StatusOK)
	lines := r.Audit(t, yuki.User, "account_frozen")
	if len(lines) != 1 || !strings.Contains(done.Text(), lines[0]["reference"].(string)) {
		t.Errorf("%v: %s", lines, done.Text())
	}
	thief.wantFrozen("the thief", thief.Visit("/"), "")
}

func TestUndoOnTheHoldPage(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "hold.example", "undo").Verify()
	time.Sleep(1050 * time.Millisecond) // reconfirm is a second there
	added := unique("thief") + "@elsewhere.example"
	thief := ann.Intrude(added)
	r.noticeTo(t, ann.Email, 2)
	hold := thief.Visit("/.contactgate/verify")
	if _, ok := hold.Form("contacts/undo", 0); !ok {
		t.Fatalf("nothing to undo it with: %s", hold.Text())
	}
	asked := thief.Submit(hold, "contacts/undo")
	if asked.StatusCode != http.StatusSeeOther || !strings.HasPrefix(asked.Header.Get("Location"), "/.contactgate/fresh") {
		t.Errorf("without a fresh code: %d %q", asked.StatusCode, asked.Header.Get("Location"))
	}
	owner := ann.AnotherBrowser().Verify()
	before := len(r.Mails(ann.Email))
	done := owner.Visit("/.contactgate/done")
	undone := owner.Submit(done, "contacts/undo")
	mustStatus(t, undone, http.StatusOK)
	if again := owner.Submit(done, "contacts/undo"); again.StatusCode != http.StatusForbidden {
		t.Errorf("again: %d", again.StatusCode)
	}
	if lines := r.Audit(t, ann.User, "contact_undone"); len(lines) != 1 {
		t.Errorf("the audit says %v", lines)
	}
	if mail, _ := r.noticeTo(t, ann.Email, before+1); strings.Contains(mail.Text, added) {
		t.Errorf("%s", mail.Text)
	}
}
