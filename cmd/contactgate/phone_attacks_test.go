package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

var numbers atomic.Int64

// someNumber is a mobile number that no other test has: Japanese, German, or Canadian.
func someNumber(country string) string {
	n := numbers.Add(1)
	switch country {
	case "DE":
		return fmt.Sprintf("+49151%08d", 10_000_000+n)
	case "CA": // stopped by the test of a country whose codes nobody enters; no other test may text there
		return fmt.Sprintf("+1416555%04d", 1000+n)
	case "US":
		return fmt.Sprintf("+1212555%04d", 1000+n)
	}
	return fmt.Sprintf("+81901%03d56%02d", n/100, n%100) // no guess below is right
}

// dialled makes somebody whose sign-in names a phone, as it is written in its country, and no address.
func dialled(t *testing.T, r *rig, stem, number string) *person {
	t.Helper()
	p := asPerson(t, r, "phones.example", unique(stem), "")
	r.oracle.secret("address", number)
	says := signedIn(p.User, "")
	says["Remote-Phone"] = []string{strings.NewReplacer("+81", "0", "+49", "0049 ").Replace(number)}
	r.Auth.Say(p.User, says)
	return p
}

// addPhone fills in the form for a number.
func (p *person) addPhone(number, country, channel string) *answer {
	p.t.Helper()
	page := p.Visit("/.contactgate/contacts/new?kind=phone")
	return p.Submit(page, "contacts/new", "address", number, "country", country, "channel", channel)
}

func wide(digits string) string {
	return strings.Map(func(d rune) rune { return d - '0' + '０' }, digits)
}

// A phone from end to end, in a country where people are only called: the last four digits in full width, the call, the app.
func TestPhoneThatIsOnlyCalled(t *testing.T) {
	t.Parallel()
	r := shared(t)
	number := someNumber("DE")
	p := dialled(t, r, "udo", number)
	ask := p.Visit("/.contactgate/verify")
	mask := "+49 •• •••• ••" + number[len(number)-2:]
	if text := ask.Text(); !strings.Contains(text, mask) || !strings.Contains(text, "Call me") || strings.Contains(text, "Text me") || !strings.Contains(text, "By call only") {
		t.Errorf("step 1: %s", text)
	}
	prove := p.Submit(ask, "verify/send")
	mustStatus(t, prove, http.StatusOK)
	if body := prove.Body; !strings.Contains(body, `inputmode="numeric"`) || !strings.Contains(body, `autocomplete="tel"`) || !strings.Contains(prove.Text(), "The last four digits") {
		t.Errorf("step 2: %s", prove.Text())
	}
	page := p.Follow(p.Submit(prove, "verify/send", "proof", wide(number[len(number)-4:])))
	if text := page.Text(); !strings.Contains(text, mask) || !strings.Contains(text, "may be withheld") || !strings.Contains(text, "Call me again") {
		t.Errorf("step 3: %s", text)
	}
	call := r.WaitCall(t, number, 1)
	mustStatus(t, p.Submit(page, "verify/code", "code", call.Code()), http.StatusSeeOther)
	if got := p.wantPass("after it", p.Open("/app")); got.Header.Get("Contactgate-Phone") != number {
		t.Errorf("the app was told %q", got.Header["Contactgate-Phone"])
	}
	if len(r.Phones("sms", number)) != 0 {
		t.Error("a text was sent, too")
	}
}

// G04, J05: what costs money or cannot be reached is refused before the provider hears of it, and the page keeps it.
func TestG04NumbersThatAreRefused(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := asPerson(t, r, "phones.example", unique("gil"), "")
	for typed, why := range map[string]string{
		"+81 990 123456": "of this kind", "+19005551234": "of this kind", "+49 180 1 123456": "of this kind", "+15005550006": "of this kind",
		"020 4123 4567": "of this kind", "0570 123 456": "of this kind", "0120 123 456": "of this kind", "+18005551234": "of this kind",
		"+881612345678": "of this country", "+882161234567": "of this country", "+979123456789": "of this country", "+33612345678": "of this country", "+447012345678": "of this",
		"110": "not a whole phone number", "+1911": "not a whole phone number", "090-1234-567": "not a whole phone number", "ann@example.com": "not a whole phone number",
		"1-800-FLOWERS": "not a whole phone number", "+14155550123;ext=9": "the number alone", "+14155550123,,,99#": "the number alone", "   ": "Enter a phone number",
		"03-1234-5678\r\nX-Evil: 1": "the number alone", strings.Repeat("9", 5000): "not a whole phone number",
	} {
		for _, channel := range []string{"sms", "voice"} {
			a := p.addPhone(typed, "JP", channel)
			if wantStatus(t, "G04 "+typed[:min(20, len(typed))], a, http.StatusUnprocessableEntity) && !strings.Contains(a.Text(), why) {
				t.Errorf("G04 %.20q: %s", typed, a.Text())
			}
			if f, ok := a.Form("contacts/new", 0); !ok || f.Fields.Get("country") != "JP" || f.Fields.Get("channel") != channel || strings.TrimSpace(typed) != "" && !strings.Contains(typed, "\r") && f.Fields.Get("address") != typed {
				t.Errorf("G04 %.20q: what was typed is lost: %v", typed, f.Fields)
			}
		}
	}
	if n := len(r.Audit(t, p.User, "code_asked")); n != 0 {
		t.Errorf("G04: %d codes were asked for", n)
	}
	// A number of the internet, and a fixed line, take calls.
	for _, number := range []string{"050-1234-5678", "03-1234-5678"} {
		q := asPerson(t, r, "phones.example", unique("ivo"), "")
		page := q.Follow(q.addPhone(number, "JP", "sms"))
		r.WaitCall(t, "+81"+strings.ReplaceAll(number[1:], "-", ""), 1)
		if !strings.Contains(page.Text(), "takes no text messages") {
			t.Errorf("G04 %s: the page does not say why: %s", number, page.Text())
		}
	}
	if n := len(r.Phones("sms", "+815012345678")) + len(r.Phones("sms", "+81312345678")); n != 0 {
		t.Errorf("G04: %d texts", n)
	}
}

// J05, J06: however a number is typed, it is one, and has one limit over all accounts.
func TestJ06SpellingsOfANumberShareALimit(t *testing.T) {
	t.Parallel()
	r := shared(t)
	number := someNumber("JP")
	local := "0" + number[3:]
	spellings := []string{
		local[:3] + "-" + local[3:7] + "-" + local[7:], "+81 " + local[1:3] + " " + local[3:], wide(local[:3]) + "ー" + wide(local[3:]),
		"0081 " + local[1:], "tel:" + number, "(" + local[:3] + ") " + local[3:7] + "." + local[7:],
	}
	for i, typed := range spellings {
		p := asPerson(t, r, "phones.example", unique("jan"), "")
		a := p.addPhone(typed, "JP", "sms")
		if i < 5 {
			wantStatus(t, "J05 "+typed, a, http.StatusSeeOther)
			if m := r.WaitText(t, number, i+1); m.To != number {
				t.Errorf("J05 %s: sent to another form", typed)
			}
			continue
		}
		wantStatus(t, "J06 "+typed, a, http.StatusTooManyRequests)
		if seconds, _ := strconv.Atoi(a.Header.Get("Retry-After")); seconds < 3000 || seconds > 3600 {
			t.Errorf("J06: Retry-After %q", a.Header.Get("Retry-After"))
		}
	}
	if n := len(r.Phones("sms", number)); n != 5 {
		t.Errorf("J06: %d texts", n)
	}
}

// H01: a page tells two digits and the country, nothing else, in no attribute either.
// H02: three guesses of the last four, then the whole number is asked for. H03: an answer is about the chosen contact.
func TestH02GuessesOfTheLastFour(t *testing.T) {
	t.Parallel()
	r := shared(t)
	number := someNumber("JP")
	p := dialled(t, r, "hal", number)
	says := signedIn(p.User, p.User+".long@example.com")
	says["Remote-Phone"] = []string{number}
	r.Auth.Say(p.User, says)
	ask := p.Visit("/.contactgate/verify")
	told := perVisit.ReplaceAllString(ask.Body, "") // what is drawn may hold any digits
	for _, part := range []string{number[3:], number[len(number)-3:], number[4:9], number[len(number)-4:]} {
		if strings.Contains(told, part) {
			t.Errorf("H01: the page has %d digits of the number", len(part))
		}
	}
	phone := form{}
	for n := range 5 { // an e-mail, a text, a call
		if f, ok := ask.Form("verify/send", n); ok && f.Fields.Get("channel") == "sms" {
			phone = f
		}
	}
	guess := func(proof string) *answer {
		phone.Fields.Set("proof", proof)
		return p.Post(phone.Action, phone.Fields)
	}
	last := number[len(number)-2:]
	first := guess("00" + last)
	for what, a := range map[string]*answer{"two more digits": guess("99" + last), "H03: what is right for the address": first} {
		if wantStatus(t, what, a, http.StatusUnprocessableEntity) && !strings.Contains(a.Text(), "does not match the number on file") {
			t.Errorf("%s: %s", what, a.Text())
		}
	}
	for _, nothing := range []string{last, "", " ", "x", p.User + ".long@example.com"} {
		if a := guess(nothing); !wantStatus(t, "H02 "+nothing, a, http.StatusUnprocessableEntity) || strings.Contains(a.Text(), "does not match") {
			t.Errorf("H02 %q is taken for an answer: %s", nothing, a.Text())
		}
	}
	third := guess("98" + last)
	if !wantStatus(t, "the third", third, http.StatusUnprocessableEntity) || !strings.Contains(third.Text(), "take no more tries") || !strings.Contains(third.Text(), "The whole number") {
		t.Errorf("H02: after three: %s", third.Text())
	}
	if a := guess(number[len(number)-4:]); !wantStatus(t, "the right four after three wrong ones", a, http.StatusUnprocessableEntity) || !strings.Contains(a.Text(), "not enough here") {
		t.Errorf("H02: %s", a.Text())
	}
	other := p.AnotherBrowser().At("phones.example")
	r.Auth.Say(p.User, says)
	elsewhere := other.Visit("/.contactgate/verify")
	f, _ := elsewhere.Form("verify/send", 1)
	f.Fields.Set("proof", number[len(number)-4:])
	wantStatus(t, "H02: in another browser", other.Post(f.Action, f.Fields), http.StatusUnprocessableEntity)
	if len(r.Phones("sms", number)) != 0 {
		t.Error("H02: something was sent")
	}
	wantStatus(t, "the whole number, as people write it", guess("0"+number[3:6]+"-"+number[6:]), http.StatusSeeOther)
	r.WaitText(t, number, 1)
}

func TestOperatorAsksForTheWholeNumber(t *testing.T) {
	t.Parallel()
	r := shared(t)
	number := someNumber("JP")
	p := dialled(t, r, "wim", number).At("whole.example")
	prove := p.Submit(p.Visit("/.contactgate/verify"), "verify/send")
	if !strings.Contains(prove.Text(), "The whole number") || !strings.Contains(prove.Body, `inputmode="tel"`) {
		t.Errorf("%s", prove.Text())
	}
	wantStatus(t, "four digits", p.Submit(prove, "verify/send", "proof", number[len(number)-4:]), http.StatusUnprocessableEntity)
	wantStatus(t, "all", p.Submit(prove, "verify/send", "proof", number), http.StatusSeeOther)
	r.WaitText(t, number, 1)
}

// perVisit is what differs between two visits of a page: what is drawn anew, and moments.
var perVisit = regexp.MustCompile(moment.String() + `|(name="(csrf|contact|return)" value|data-wait)="[^"]*"|\d{1,2}:\d\d|\d+ seconds|••\d\d`)

// H04, H05: a number that somebody else has confirmed is answered like any other.
func TestH05NumberOfSomebodyElseIsAnsweredLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := shared(t)
	known, unknown := someNumber("JP"), someNumber("JP")
	owner := dialled(t, r, "ola", known)
	page := owner.Follow(owner.Submit(owner.Submit(owner.Visit("/.contactgate/verify"), "verify/send"), "verify/send", "proof", known))
	mustStatus(t, owner.Submit(page, "verify/code", "code", r.WaitText(t, known, 1).Code()), http.StatusSeeOther)
	answers := map[string]string{}
	for what, number := range map[string]string{"known": known, "unknown": unknown} {
		p := asPerson(t, r, "phones.example", unique("pia"), "")
		a := p.addPhone(number, "JP", "sms")
		mustStatus(t, a, http.StatusSeeOther)
		before := 0
		if what == "known" {
			before = 1
		}
		r.WaitText(t, number, before+1)
		answers[what] = a.Header.Get("Location") + perVisit.ReplaceAllString(p.Follow(a).Body, "")
	}
	if answers["known"] != answers["unknown"] {
		t.Errorf("H05: the answers differ:\n%s\n%s", answers["known"], answers["unknown"])
	}
}

// Domains that lose codes: a warning before anything is sent, and sending for who goes on.
func TestMailThatMayGetLostIsWarnedOf(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := asPerson(t, r, "phones.example", unique("lea"), "")
	address := p.User + "@docomo.ne.jp"
	r.oracle.secret("address", address)
	warning := p.Submit(p.Visit("/.contactgate/contacts/new"), "contacts/new", "address", address)
	mustStatus(t, warning, http.StatusOK)
	for _, part := range []string{"docomo.ne.jp", "often gets lost", "受信拒否 強", "example.com", "Add a phone number instead"} {
		if !strings.Contains(warning.Text(), part) {
			t.Errorf("the warning has no %q: %s", part, warning.Text())
		}
	}
	if len(r.Mails(address)) != 0 {
		t.Error("sent before the person went on")
	}
	mustStatus(t, p.Submit(warning, "contacts/new"), http.StatusSeeOther)
	page := p.Visit("/.contactgate/verify/code")
	mustStatus(t, p.Submit(page, "verify/code", "code", r.WaitMail(t, address, 1).Code()), http.StatusSeeOther)
	// On file: warned of where the hidden part is asked for.
	q := asPerson(t, r, "phones.example", unique("lou"), unique("lou.long")+"@ezweb.ne.jp")
	prove := q.Submit(q.Visit("/.contactgate/verify"), "verify/send")
	if text := prove.Text(); !strings.Contains(text, "ezweb.ne.jp often gets lost") || !strings.Contains(text, "なりすまし規制") {
		t.Errorf("step 2: %s", text)
	}
	mustStatus(t, q.Submit(prove, "verify/send", "proof", q.Email), http.StatusSeeOther)
	r.WaitMail(t, q.Email, 1)
}

// A country of which nobody enters the codes: typed numbers wait, everything else goes on.
func TestCountryWhoseCodesNobodyEntersHasToWait(t *testing.T) {
	t.Parallel()
	r := shared(t)
	var last *person
	for range 10 {
		last = asPerson(t, r, "phones.example", unique("max"), unique("max.long")+"@example.com")
		for range 5 {
			mustStatus(t, last.addPhone(someNumber("CA"), "CA", "sms"), http.StatusSeeOther)
		}
	}
	p := asPerson(t, r, "phones.example", unique("mia"), unique("mia.long")+"@example.com")
	number := someNumber("CA")
	a := p.addPhone(number, "CA", "sms")
	mustStatus(t, a, http.StatusServiceUnavailable)
	if seconds, _ := strconv.Atoi(a.Header.Get("Retry-After")); seconds < 3000 || seconds > 3600 {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	if text := a.Text(); !strings.Contains(text, "nothing to new numbers of this country") || !strings.Contains(text, "E-mail address") || !strings.Contains(text, "Back to the contacts on file") {
		t.Errorf("the other ways: %s", text)
	}
	if len(r.Phones("sms", number)) != 0 {
		t.Error("sent")
	}
	wantStatus(t, "a country beside it", p.addPhone(someNumber("JP"), "JP", "sms"), http.StatusSeeOther)
	wantStatus(t, "the address on file", p.Submit(p.Submit(p.Visit("/.contactgate/verify"), "verify/send"), "verify/send", "proof", p.Email), http.StatusSeeOther)
	r.WaitMail(t, p.Email, 1)
	if n := len(r.Audit(t, p.User, "deadline_moved")); n != 0 {
		t.Error("taken for an outage")
	}
}

// The form for a number is the form for a number in another language, too.
func TestFormForANumberKeepsItsKind(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := asPerson(t, r, "phones.example", unique("nia"), "")
	page := p.Visit("/.contactgate/contacts/new?kind=phone")
	a := p.Follow(p.Submit(page, "language", "language", "ja"))
	f, ok := a.Form("contacts/new", 0)
	if !ok || f.Fields.Get("kind") != "phone" || !strings.Contains(a.Text(), "日本 (\u2066+81\u2069)") {
		t.Errorf("%d %s", a.StatusCode, a.Text())
	}
	if p.Lang = "ja"; f.Fields.Get("country") != "JP" {
		t.Errorf("the country is %q", f.Fields.Get("country"))
	}
	for query, want := range map[string]string{"": "email", "?kind=email": "email", "?kind=phone": "phone", "?kind=pigeon": "email", "?kind=phone&kind=email": "phone"} {
		if f, _ := p.Visit("/.contactgate/contacts/new"+query).Form("contacts/new", 0); f.Fields.Get("kind") != want {
			t.Errorf("%q shows the form for %q", query, f.Fields.Get("kind"))
		}
	}
	wantStatus(t, "no kind of contact", p.Submit(page, "contacts/new", "kind", "pigeon", "address", "x"), http.StatusBadRequest)
}
