package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// The walk by contract alone: what product.md promises of each path, in one run, by somebody who knows the names of
// contract.md and nothing else. The tests of each part go deeper; this one shows that the parts make one product.

var tenLanguages = []string{"en", "ja", "de", "fr", "es", "pt-BR", "zh-Hans", "zh-Hant", "ko", "ar"}

// walkRig is one site with everything on: a code on every browser, an authenticator app, calls alone for Japan.
func walkRig(t *testing.T) *rig {
	return startRig(t, func(r *rig) string {
		settings := `channels JP voice
		channels US sms voice
		sign_out /logout
		support mailto:help@example.com
		limits {
			resend_after 1s
			sends_per_hour 100
			sends_per_day 100
			voice_per_day 20
		}`
		before := strings.Replace(r.forwardAuth(), "Remote-Email", "Remote-Email Remote-Phone", 1)
		gate := "device_code on\npass_headers email phone\nlanguages " + strings.Join(tenLanguages, " ")
		return r.caddyfile(settings, site{Host: "app.example", Before: before, Identity: withPhone, Gate: gate})
	})
}

func TestContractWalk(t *testing.T) {
	t.Parallel()
	r := walkRig(t)
	for _, path := range []struct {
		name string
		walk func(*testing.T, *rig)
	}{
		{"a Japanese phone that is only called, and the browser trusted for it", walkJapanesePhone},
		{"none of these, with a notice to the old contact, who says that it was not them", walkNoneOfThese},
		{"a number that costs money", walkPremiumNumber},
		{"an address with a header in it", walkHeaderInjection},
		{"an authenticator app and its recovery codes", walkAuthenticator},
		{"still stuck", walkHelp},
		{"ten languages", walkLanguages},
	} {
		if !t.Run(path.name, func(t *testing.T) { path.walk(t, r) }) {
			t.Logf("the walk goes on after %s", path.name)
		}
	}
}

// fullWidth is how a Japanese keyboard types digits.
func fullWidth(digits string) string {
	return strings.Map(func(c rune) rune { return c - '0' + '０' }, digits)
}

func walkJapanesePhone(t *testing.T, r *rig) {
	c := newCaller(t, r, "app.example", "")
	c.t, c.Lang = t, "ja"
	asked := c.Open("/inbox?x=1&y=(a)")
	c.wantPage("the app", asked)
	page := c.Follow(asked)
	call, ok := formOf(page, "voice")
	if _, text := formOf(page, "sms"); !ok || text {
		t.Fatalf("want a call and no text: %s", page.Text())
	}
	prove := c.Post(call.Action, call.Fields)
	mustStatus(t, prove, http.StatusOK)
	last := c.Number[len(c.Number)-4:]
	wrong := fullWidth(string('0'+(last[0]-'0'+1)%10) + last[1:])
	wantStatus(t, "other digits", c.Submit(prove, "verify/send", "proof", wrong), http.StatusUnprocessableEntity)
	wantStatus(t, "no digits", c.Submit(prove, "verify/send", "proof", ""), http.StatusUnprocessableEntity)
	if calls := r.Phone.Asked(c.Number); len(calls) != 0 {
		t.Fatalf("called without proof: %d times", len(calls))
	}
	sent := c.Submit(prove, "verify/send", "proof", fullWidth(last))
	mustStatus(t, sent, http.StatusSeeOther)
	code := r.WaitCall(t, c.Number, 1).Code()
	entered := c.Submit(c.Follow(sent), "verify/code", "code", fullWidth(code[:3])+" "+fullWidth(code[3:]), "trust", "on")
	mustStatus(t, entered, http.StatusSeeOther)
	c.walkOn(entered, "/inbox?x=1&y=(a)")
	if texts := r.Phones("sms", c.Number); len(texts) != 0 {
		t.Errorf("a text went to a number that is only called")
	}

	device := deviceCookie(entered)
	if device == nil {
		t.Fatal("the tick set no cookie")
	}
	c.NewCase()
	seen := c.onlyDevice(device).wantPass("by the cookie of the trusted browser alone", c.Open("/inbox"))
	if seen.Header.Get("Contactgate-Status") != "verified" || seen.Header.Get("Contactgate-Phone") != c.Number {
		t.Errorf("the app got %v", seen.Header)
	}
	other := newPerson(t, r, "app.example", "mallory")
	theirs := other.Trust()
	copied := other.AnotherBrowser()
	copied.SetCookie(device.Name, device.Value)
	copied.SetCookie(theirs.Name, device.Value)
	copied.wantDeviceCode("another account with that cookie, under either name")
	c.AnotherBrowser().wantPage("the same account without it", c.AnotherBrowser().Open("/inbox"))
}

// walkOn goes from an accepted code, over whatever is offered, to the page that was asked for.
func (p *person) walkOn(entered *answer, target string) {
	p.t.Helper()
	page := p.Follow(entered)
	if offer, ok := page.Form("/authenticator", 0); ok {
		offer.Fields.Set("choice", "later")
		page = p.Follow(p.Post(offer.Action, offer.Fields))
	}
	if got := continueLink(page); got != target {
		p.t.Errorf("the last page leads to %q instead of %q: %s", got, target, page.Text())
	}
}

func walkNoneOfThese(t *testing.T, r *rig) {
	ann := newPerson(t, r, "app.example", "ann").Verify()
	elsewhere := ann.AnotherBrowser()
	told := len(r.Mails(ann.Email))
	fresh := unique("brand-new") + "@example.org"
	added := elsewhere.Submit(elsewhere.Visit("/.contactgate/contacts/new"), "contacts/new", "kind", "email", "address", fresh)
	mustStatus(t, added, http.StatusSeeOther)
	entered := elsewhere.Submit(elsewhere.Follow(added), "verify/code", "code", r.WaitMail(t, fresh, 1).Code())
	mustStatus(t, entered, http.StatusSeeOther)
	notice := r.WaitMail(t, ann.Email, told+1)
	if notice.Code() != "" || strings.Contains(notice.Text+notice.HTML, fresh) {
		t.Errorf("the notice has a code, or the new address: %s", notice.Text)
	}
	elsewhere.NewCase()
	elsewhere.wantDeviceCode("a contact on hold lets nobody in")
	ann.NewCase()
	if seen := ann.wantPass("where the code was entered", ann.Open("/inbox")); seen.Header.Get("Contactgate-Email") != ann.Email {
		t.Errorf("the app got %v", seen.Header)
	}

	// It was not ann: the link works for whoever has the mail, asks first, and stops the account everywhere until an operator
	// has looked.
	_, link := r.noticeTo(t, ann.Email, told+1)
	owner := nobodyYet(t, r, "app.example")
	stopped := owner.Submit(owner.Open(link), link)
	mustStatus(t, stopped, http.StatusOK)
	reference, _ := r.Audit(t, ann.User, "account_frozen")[0]["reference"].(string)
	if reference == "" || !strings.Contains(stopped.Text(), reference) {
		t.Errorf("no reference %q: %s", reference, stopped.Text())
	}
	ann.NewCase()
	ann.wantFrozen("the browser that was verified", ann.Visit("/inbox"), reference)
	elsewhere.NewCase()
	elsewhere.wantFrozen("the other one", elsewhere.Visit("/inbox"), reference)
	r.Accounts(t, "unfreeze", "main", ann.User)
	wantStatus(t, "the link again", owner.Submit(owner.Open(link), link), http.StatusForbidden)
	// Whoever was in has to prove again who they are; the contact that was on hold is gone.
	ann.NewCase()
	ann.wantDeviceCode("after it was lifted")
	if page := ann.Visit("/.contactgate/verify"); strings.Contains(page.Text(), masked(fresh)) {
		t.Errorf("the intruder's contact is offered: %s", page.Text())
	}
}

func walkHelp(t *testing.T, r *rig) {
	bob := newPerson(t, r, "app.example", "bob")
	reference := bob.referenceOn(bob.AskHelp("no_contact", "My provider is gone.", "+81 90 1234 5634"))
	mail := r.waitSupport(t, reference)
	if len(mail.Rcpts) != 1 || mail.Rcpts[0] != supportAddress || !strings.Contains(mail.Text, "> My provider is gone.") || !strings.Contains(mail.Text, bob.User) {
		t.Errorf("to %v: %s", mail.Rcpts, mail.Text)
	}
}

func walkPremiumNumber(t *testing.T, r *rig) {
	bob := newPerson(t, r, "app.example", "bob")
	before := len(r.allPhones())
	for _, number := range []struct{ country, typed string }{
		{"US", "900 555 0123"}, {"US", "+1 (900) 555-0123"}, {"US", "001 900 555 0123"}, {"US", fullWidth("9005550123")},
		{"JP", "0990 512 345"}, {"JP", "110"}, {"JP", "+81 3"}, {"JP", "+44 20 7946 0018"}, {"JP", "+870 773 111 632"},
	} {
		page := bob.Visit("/.contactgate/contacts/new?kind=phone")
		a := bob.Submit(page, "contacts/new", "kind", "phone", "country", number.country, "address", number.typed, "channel", "voice")
		wantStatus(t, number.typed, a, http.StatusUnprocessableEntity)
	}
	if after := len(r.allPhones()); after != before {
		t.Errorf("%d messages were sent to numbers that were refused", after-before)
	}
}

// allPhones are all requests that the provider of texts and calls ever got.
func (r *rig) allPhones() []phoneMessage {
	r.Phone.mu.Lock()
	defer r.Phone.mu.Unlock()
	return append([]phoneMessage(nil), r.Phone.asked...)
}

func walkHeaderInjection(t *testing.T, r *rig) {
	bob := newPerson(t, r, "app.example", "bob")
	// Mails to others may be on their way.
	toThem := func() (n int) {
		for _, m := range r.Mail.Messages() {
			for _, them := range []string{bob.Email, "a@example.org", "b@example.org", "victim@example.org"} {
				if slices.Contains(m.Rcpts, them) {
					n++
				}
			}
		}
		return n
	}
	before := toThem()
	for _, typed := range []string{
		"a@example.org\r\nBcc: victim@example.org", "a@example.org\nSubject: hello", "a@example.org,victim@example.org",
		"<a@example.org>\r\nRCPT TO:<victim@example.org>", "\"a\r\nBcc: victim@example.org\"@example.org", "a@example.org\x00", "a@example.org\u2028Bcc: b@example.org",
	} {
		a := bob.Submit(bob.Visit("/.contactgate/contacts/new"), "contacts/new", "kind", "email", "address", typed)
		wantStatus(t, strings.ToValidUTF8(typed, "?"), a, http.StatusUnprocessableEntity)
	}
	if after := toThem(); after != before {
		t.Errorf("%d mails were sent", after-before)
	}
}

func walkAuthenticator(t *testing.T, r *rig) {
	tom := newPerson(t, r, "app.example", "tom")
	app, recovery, used := tom.enrol()
	second := tom.AnotherBrowser()
	page := second.askApp()
	second.wantRefused("the code that enrolled the app", second.Submit(page, "verify/code", "code", used), "used already")
	next := app.at(time.Now().Add(30 * time.Second))
	mustStatus(t, second.Submit(page, "verify/code", "code", next), http.StatusSeeOther)
	second.NewCase().wantPass("after a code of the app", second.Open("/inbox"))

	third := tom.AnotherBrowser()
	page = third.askApp()
	third.wantRefused("a code of the app for the second time", third.Submit(page, "verify/code", "code", next), "used already")
	mustStatus(t, third.Submit(page, "verify/code", "code", recovery[0]), http.StatusSeeOther)
	third.NewCase().wantPass("after a recovery code", third.Open("/inbox"))

	fourth := tom.AnotherBrowser()
	page = fourth.askApp()
	fourth.wantRefused("a recovery code for the second time", fourth.Submit(page, "verify/code", "code", recovery[0]), "")
	fourth.wantDeviceCode("after it")
}

func walkLanguages(t *testing.T, r *rig) {
	said := map[string]string{}
	for _, lang := range tenLanguages {
		ann := newPerson(t, r, "app.example", "polyglot")
		ann.Lang = lang + ",xx;q=0.5"
		page := ann.Visit("/inbox")
		mustStatus(t, page, http.StatusOK)
		root := htmlElement(page)
		if got := attr(root, "lang"); got != lang {
			t.Errorf("Accept-Language %s: a page in %q", lang, got)
		}
		if got := attr(root, "dir"); (got == "rtl") != (lang == "ar") {
			t.Errorf("%s goes %q", lang, got)
		}
		if other, twice := said[title(page)]; twice {
			t.Errorf("%s says what %s says: %s", lang, other, title(page))
		}
		said[title(page)] = lang
		ann.AskCode(ann.Email)
		mail := r.WaitMail(t, ann.Email, 1)
		if !strings.Contains(mail.HTML, `lang="`+lang+`"`) || !strings.Contains(mail.Text, mail.Code()) {
			t.Errorf("%s: the mail is in another language: %.200s", lang, mail.HTML)
		}
	}
}

// htmlElement is the root of a page.
func htmlElement(page *answer) *html.Node { return firstElement(page, "html") }

func title(page *answer) string {
	n := firstElement(page, "title")
	if n.FirstChild == nil {
		return ""
	}
	return n.FirstChild.Data
}

// firstElement is an empty one when there is none.
func firstElement(page *answer, name string) *html.Node {
	if doc, err := html.Parse(strings.NewReader(page.Body)); err == nil {
		for n := range doc.Descendants() {
			if n.Type == html.ElementNode && n.Data == name {
				return n
			}
		}
	}
	return &html.Node{}
}
