package main

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// Group L of attacks.md: an authenticator app, from the offer to its removal. At totp.example every browser needs a code.

var (
	shownKey      = regexp.MustCompile(`<p class="key"[^>]*><bdi>([A-Z2-7 ]+)</bdi>`)
	shownRecovery = regexp.MustCompile(`<li><bdi>([0-9A-Z-]{11})</bdi></li>`)
)

// myApp is a person's app: it knows the key that was shown as text, and nothing else.
type myApp struct {
	t   *testing.T
	key string
}

func (a myApp) at(moment time.Time) string {
	a.t.Helper()
	code, err := totp.GenerateCode(a.key, moment)
	if err != nil {
		a.t.Fatal(err)
	}
	return code
}

// enrol sets up an app after the first proof, and returns it with the recovery codes and the code that was used.
func (p *person) enrol() (app myApp, recovery []string, used string) {
	p.t.Helper()
	first := p.enterCode()
	mustStatus(p.t, first, http.StatusSeeOther)
	offer := p.Follow(first)
	if !strings.HasSuffix(first.Header.Get("Location"), "/authenticator") || !strings.Contains(offer.Text(), "Set up an authenticator app?") {
		p.t.Fatalf("no offer after the first proof: %s %s", first.Header.Get("Location"), offer.Text())
	}
	begun := p.Submit(offer, "/authenticator", "choice", "now")
	mustStatus(p.t, begun, http.StatusSeeOther)
	setup := p.Follow(begun)
	key := shownKey.FindStringSubmatch(setup.Body)
	if key == nil || !strings.Contains(setup.Body, "<svg class=\"qr\"") {
		p.t.Fatalf("no key: %s", setup.Text())
	}
	app = myApp{p.t, strings.ReplaceAll(key[1], " ", "")}
	p.rig.oracle.secret("seed", app.key)
	used = app.at(time.Now())
	done := p.Submit(setup, "authenticator/setup", "code", used[:3]+" "+used[3:])
	mustStatus(p.t, done, http.StatusOK)
	for _, code := range shownRecovery.FindAllStringSubmatch(done.Body, -1) {
		recovery = append(recovery, code[1])
		p.rig.oracle.secret("recovery code", strings.ReplaceAll(code[1], "-", ""))
	}
	if len(recovery) != 10 || strings.Contains(done.Body, app.key[:8]) {
		p.t.Fatalf("%d recovery codes: %s", len(recovery), done.Text())
	}
	file := p.Submit(done, "authenticator/download")
	if !strings.HasPrefix(file.Header.Get("Content-Type"), "text/plain") || !strings.Contains(file.Header.Get("Content-Disposition"), "attachment") || strings.Count(file.Body, "\n") < 10 ||
		slices.ContainsFunc(recovery, func(code string) bool { return !strings.Contains(file.Body, code) }) {
		p.t.Errorf("the file: %s %s", file.Header, file.Body)
	}
	return app, recovery, used
}

// askApp asks for a code of the app in this browser and returns the page for it.
func (p *person) askApp() *answer {
	p.t.Helper()
	page := p.Visit("/.contactgate/verify")
	for _, f := range page.forms() {
		if f.Fields.Get("channel") == "authenticator" {
			asked := p.Post(f.Action, f.Fields)
			mustStatus(p.t, asked, http.StatusSeeOther)
			return p.Follow(asked)
		}
	}
	p.t.Fatalf("the app is not among the ways: %s", page.Text())
	return nil
}

func (p *person) wantRefused(what string, a *answer, says string) {
	p.t.Helper()
	if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.Text(), says) {
		p.t.Errorf("%s: %d %s", what, a.StatusCode, a.Text())
	}
}

func TestAuthenticatorAppFromOfferToRemoval(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	app, recovery, used := tom.enrol()

	// L05: what was shown is not shown again.
	again := tom.Visit("/.contactgate/authenticator/setup")
	if shownKey.MatchString(again.Body) || shownRecovery.MatchString(again.Body) || !strings.Contains(again.Text(), "Your authenticator app") {
		t.Errorf("after the setup: %s", again.Text())
	}
	tom.NewCase().wantPass("the browser that entered a code", tom.Open("/app"))

	// L01: the code that enrolled it is used up, everywhere.
	second := tom.AnotherBrowser()
	second.wantDeviceCode("another browser")
	page := second.askApp()
	second.wantRefused("the code that enrolled the app", second.Submit(page, "verify/code", "code", used), "used already")
	second.wantRefused("a code of two steps ago", second.Submit(page, "verify/code", "code", app.at(time.Now().Add(-61*time.Second))), "not the code")
	second.wantRefused("nothing", second.Submit(page, "verify/code", "code", "  "), "Enter the code")
	next := app.at(time.Now().Add(30 * time.Second)) // L03: one step each side
	in := second.Submit(page, "verify/code", "code", next, "trust", "on")
	mustStatus(t, in, http.StatusSeeOther)
	if deviceCookie(in) == nil {
		t.Error("the tick counts with a code of the app, too")
	}
	seen := second.NewCase().wantPass("after the code of the app", second.Open("/app"))
	if seen.Header.Get("Contactgate-Status") != "verified" {
		t.Errorf("%v", seen.Header)
	}

	third := tom.AnotherBrowser()
	page = third.askApp()
	third.wantRefused("the same code in a third browser", third.Submit(page, "verify/code", "code", next), "used already")
	third.wantRefused("an older step after a newer one", third.Submit(page, "verify/code", "code", app.at(time.Now())), "used already")
	mustStatus(t, third.Submit(page, "verify/code", "code", strings.ToLower(recovery[3])), http.StatusSeeOther)
	third.NewCase().wantPass("after a recovery code", third.Open("/app"))

	fourth := tom.AnotherBrowser()
	page = fourth.askApp()
	fourth.wantRefused("a recovery code for the second time", fourth.Submit(page, "verify/code", "code", recovery[3]), "recovery codes")

	// L06: a code of the app itself is not enough to take it away; one that a contact got is, and the contacts are told.
	own := third.Visit("/.contactgate/authenticator")
	asked := third.Submit(own, "authenticator/remove")
	mustStatus(t, asked, http.StatusSeeOther)
	fresh := third.Follow(asked)
	if strings.Contains(fresh.Body, `value="authenticator"`) || !strings.Contains(asked.Header.Get("Location"), "/.contactgate/fresh") {
		t.Errorf("removing by the app's own code: %s", fresh.Text())
	}
	before := len(r.Mails(tom.Email))
	prove := third.Submit(fresh, "fresh")
	sent := third.Submit(prove, "fresh", "proof", third.Email)
	mustStatus(t, sent, http.StatusSeeOther)
	back := third.Submit(third.Follow(sent), "verify/code", "code", r.WaitMail(t, tom.Email, before+1).Code())
	mustStatus(t, back, http.StatusSeeOther)
	removed := third.Submit(third.Follow(back), "authenticator/remove")
	if !strings.Contains(removed.Text(), "is removed") {
		t.Errorf("removing: %d %s", removed.StatusCode, removed.Text())
	}
	if mail := r.WaitMail(t, tom.Email, before+2); mail.Code() != "" {
		t.Errorf("the notice has a code: %s", mail.Text)
	}
	if page := fourth.Visit("/.contactgate/verify"); strings.Contains(page.Body, `value="authenticator"`) {
		t.Error("a removed app is still among the ways")
	}
}

// L06: an address that was added with a code of the app is no way to take the app away with itself.
func TestL06AnAddressThatTheAppLetInDoesNotRemoveIt(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	_, recovery, _ := tom.enrol()
	thief := tom.AnotherBrowser()
	mustStatus(t, thief.Submit(thief.askApp(), "verify/code", "code", recovery[0]), http.StatusSeeOther)
	own := "zw" + unique("thief") + "@example.org"
	r.oracle.secret("address", own)
	thief.addAddress(own)
	thief.NewCase().wantPass("the browser that entered its code", thief.Open("/app"))
	asked := thief.Submit(thief.Visit("/.contactgate/authenticator"), "authenticator/remove")
	mustStatus(t, asked, http.StatusSeeOther)
	page := thief.Follow(asked)
	if strings.Contains(page.Text(), masked(own)) || !strings.Contains(page.Text(), masked(tom.Email)) || !strings.Contains(page.Text(), "can be used for this from") {
		t.Errorf("what is asked for: %s", page.Text())
	}
	if a := thief.Visit("/.contactgate/authenticator"); !strings.Contains(a.Text(), "Your authenticator app") {
		t.Errorf("it is gone: %s", a.Text())
	}
}

// beginSetup goes to the page with the key, after the first proof.
func (p *person) beginSetup() *answer {
	p.t.Helper()
	offer := p.Follow(p.enterCode())
	begun := p.Submit(offer, "/authenticator", "choice", "now")
	mustStatus(p.t, begun, http.StatusSeeOther)
	return p.Follow(begun)
}

// L05: what was begun is shown again to the browser that began it, to no other one, and is no factor until it is confirmed.
func TestAnAbandonedSetupIsNoFactor(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	setup := tom.beginSetup()
	key := shownKey.FindStringSubmatch(setup.Body)
	if key == nil {
		t.Fatalf("no key: %s", setup.Text())
	}
	app := myApp{t, strings.ReplaceAll(key[1], " ", "")}
	r.oracle.secret("seed", app.key)
	if again := tom.Visit("/.contactgate/authenticator/setup"); !strings.Contains(again.Body, key[1]) {
		t.Errorf("opened again: %s", again.Text())
	}
	if begun := tom.Submit(tom.Visit("/.contactgate/authenticator"), "/authenticator", "choice", "now"); !strings.Contains(tom.Follow(begun).Body, key[1]) {
		t.Error("begun again, it is another key")
	}
	tom.wantRefused("a wrong code", tom.Submit(setup, "authenticator/setup", "code", "12345"), "not the code")
	tom.wantRefused("no code", tom.Submit(setup, "authenticator/setup", "code", "　"), "Enter the code")

	other := tom.AnotherBrowser()
	for _, page := range []string{"authenticator", "authenticator/setup"} {
		if a := other.Visit("/.contactgate/" + page); strings.Contains(a.Body, key[1]) || shownKey.MatchString(a.Body) {
			t.Errorf("%s shows the key to another browser", page)
		}
	}
	ways := other.Visit("/.contactgate/verify")
	if strings.Contains(ways.Body, `value="authenticator"`) {
		t.Error("an app that is not set up is among the ways")
	}
	if a := other.Submit(ways, "verify/send", "contact", "", "channel", "authenticator"); a.StatusCode == http.StatusSeeOther && !strings.HasSuffix(a.Header.Get("Location"), "/verify") {
		t.Errorf("it is asked for: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	other.wantDeviceCode("another browser, where nothing was entered")
	// Without a code that was entered there, no other browser begins one.
	asked := other.Submit(other.Visit("/.contactgate/authenticator"), "/authenticator", "choice", "now")
	if !strings.Contains(asked.Header.Get("Location"), "/.contactgate/fresh") {
		t.Errorf("begun without a fresh code: %d %s", asked.StatusCode, asked.Header.Get("Location"))
	}
}

// L04: five wrong ones and a pause of five minutes, whatever stands around the digits; recovery codes count with them. It is
// this account's pause alone.
func TestWrongCodesOfAnAppPauseIt(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	app, recovery, _ := tom.enrol()
	second := tom.AnotherBrowser()
	page := second.askApp()
	for i, wrong := range []string{"000000", " 000 000\t", "０００－０００", "AAAAA-AAAAA", "x"} {
		a := second.Submit(page, "verify/code", "code", wrong)
		if i < 4 {
			second.wantRefused(wrong, a, "You have ")
		} else {
			second.wantRefused("the last one", a, "try again in 5 minutes")
		}
	}
	right := app.at(time.Now().Add(30 * time.Second))
	for _, code := range []string{right, recovery[0]} {
		a := second.Submit(page, "verify/code", "code", code)
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.StatusCode != http.StatusTooManyRequests || err != nil || wait < 280 || wait > 300 {
			t.Errorf("a right one in the pause: %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
		}
	}
	second.wantDeviceCode("in the pause")
	eve := newPerson(t, r, "totp.example", "eve")
	eve.enrol()
	eve = eve.AnotherBrowser()
	eve.wantRefused("somebody else", eve.Submit(eve.askApp(), "verify/code", "code", right), "You have 4 tries left")
}

// L04: a hundred in a row, and then nothing until an operator acts.
func TestAHundredWrongCodesStopAnApp(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "tries.example", "tom")
	app, _, _ := tom.enrol()
	second := tom.AnotherBrowser()
	page := second.askApp()
	for i := range 100 {
		if a := second.Submit(page, "verify/code", "code", "wrong"); a.StatusCode != http.StatusUnprocessableEntity {
			t.Fatalf("wrong code %d: %d %s", i+1, a.StatusCode, a.Text())
		}
	}
	right := func() string { return app.at(time.Now().Add(30 * time.Second)) }
	if a := second.Submit(page, "verify/code", "code", right()); a.StatusCode != http.StatusTooManyRequests || !strings.Contains(a.Text(), "are stopped") {
		t.Errorf("a right one after a hundred wrong ones: %d %s", a.StatusCode, a.Text())
	}
	second.wantDeviceCode("stopped")
	if lifted := r.Accounts(t, "unfreeze", "tries", tom.User); !lifted.Changed {
		t.Error("an operator lifts nothing")
	}
	mustStatus(t, second.Submit(second.askApp(), "verify/code", "code", right()), http.StatusSeeOther)
	second.NewCase().wantPass("after an operator acted", second.Open("/app"))
}

// L01, promise P3: one code, posted by many at once in several browsers, opens one of them.
func TestOneCodeOfAnAppOpensOneBrowser(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	app, _, _ := tom.enrol()
	code := app.at(time.Now().Add(30 * time.Second))
	browsers := make([]*person, 4)
	for i := range browsers {
		browsers[i] = tom.AnotherBrowser()
		browsers[i].Visit("/.contactgate/verify") // each has its session
	}
	// Each of them is asked in turn, so that only the last one's page is the live one; all pages are posted at once.
	pages := make([]*answer, len(browsers))
	for i, b := range browsers {
		pages[i] = b.askApp()
	}
	var all sync.WaitGroup
	accepted := make([]atomic.Int32, len(browsers))
	for range 8 {
		for i, b := range browsers {
			all.Go(func() {
				f, _ := pages[i].Form("verify/code", 0)
				f.Fields.Set("code", code)
				if a, err := b.try(b.formRequest(f.Action, f.Fields)); err == nil && a.StatusCode == http.StatusSeeOther {
					accepted[i].Add(1)
				}
			})
		}
	}
	all.Wait()
	through := 0
	for i, b := range browsers {
		if accepted[i].Load() > 0 {
			through++
			b.NewCase().wantPass("the one that is let in", b.Open("/app"))
			continue
		}
		b.wantDeviceCode("one that is not")
	}
	if through != 1 {
		t.Errorf("%d browsers were let in", through)
	}
}

// Rule 6: the form that enrols, posted twice, is answered with the same recovery codes. New ones end the former ones.
func TestRecoveryCodesOfADoubleClickAndNewOnes(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	setup := tom.beginSetup()
	key := shownKey.FindStringSubmatch(setup.Body)
	app := myApp{t, strings.ReplaceAll(key[1], " ", "")}
	r.oracle.secret("seed", app.key)
	code := app.at(time.Now())
	codesOf := func(a *answer) (codes []string) {
		mustStatus(t, a, http.StatusOK)
		for _, m := range shownRecovery.FindAllStringSubmatch(a.Body, -1) {
			codes = append(codes, m[1])
			r.oracle.secret("recovery code", strings.ReplaceAll(m[1], "-", ""))
		}
		return codes
	}
	first := codesOf(tom.Submit(setup, "authenticator/setup", "code", code))
	second := codesOf(tom.Submit(setup, "authenticator/setup", "code", code))
	if len(first) != 10 || !slices.Equal(first, second) {
		t.Errorf("the double click: %q, %q", first, second)
	}
	if a := tom.Visit("/.contactgate/authenticator"); !strings.Contains(a.Text(), "10 recovery codes are left") {
		t.Errorf("what there is: %s", a.Text())
	}
	own := tom.Visit("/.contactgate/authenticator")
	renewed := codesOf(tom.Submit(own, "authenticator/codes"))
	if len(renewed) != 10 || slices.Contains(renewed, first[0]) {
		t.Errorf("new ones: %q", renewed)
	}
	// What is written behind its token makes no other form of it.
	again, _ := own.Form("authenticator/codes", 0)
	if same := codesOf(tom.Submit(own, "authenticator/codes", "csrf", again.Fields.Get("csrf")+".1")); !slices.Equal(renewed, same) {
		t.Errorf("the double click, with a name of its own: %q, %q", renewed, same)
	}
	// Only codes that are the account's, all of them unused, are given as a file.
	shown := tom.Visit("/.contactgate/authenticator")
	form, _ := shown.Form("authenticator/codes", 0)
	form.Fields.Set("codes", strings.Join(renewed, " "))
	if a := tom.Post("/.contactgate/authenticator/download", form.Fields); a.StatusCode != http.StatusForbidden {
		t.Errorf("with the token of another form: %d", a.StatusCode)
	}
	other := tom.AnotherBrowser()
	page := other.askApp()
	other.wantRefused("a former one", other.Submit(page, "verify/code", "code", first[0]), "recovery codes")
	mustStatus(t, other.Submit(page, "verify/code", "code", renewed[9]), http.StatusSeeOther)
	if a := tom.Visit("/.contactgate/authenticator"); !strings.Contains(a.Text(), "9 recovery codes are left") {
		t.Errorf("after one was used: %s", a.Text())
	}
	// All of it was told.
	want := []string{"An authenticator app was set up", "New recovery codes were made"}
	for _, m := range r.Mails(tom.Email) {
		want = slices.DeleteFunc(want, func(w string) bool { return strings.Contains(m.Text, w) })
	}
	if len(want) > 0 {
		r.WaitMail(t, tom.Email, 3)
		for _, m := range r.Mails(tom.Email) {
			want = slices.DeleteFunc(want, func(w string) bool { return strings.Contains(m.Text, w) })
		}
	}
	if len(want) > 0 {
		t.Errorf("not told: %q", want)
	}
}

// Setting up an app is told to every contact, so it cannot be begun over and over.
func TestAnAppCanBeBegunTwentyTimesADay(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	offer := tom.Follow(tom.enterCode())
	for range 20 {
		begun := tom.Submit(offer, "/authenticator", "choice", "now")
		if target := begun.Header.Get("Location"); target != "/.contactgate/authenticator/setup" {
			t.Fatalf("%d %s: %s", begun.StatusCode, target, begun.Text())
		}
		mustStatus(t, tom.Submit(offer, "/authenticator", "choice", "later"), http.StatusSeeOther)
	}
	refused := tom.Submit(offer, "/authenticator", "choice", "now")
	if wait, err := strconv.Atoi(refused.Header.Get("Retry-After")); refused.StatusCode != http.StatusTooManyRequests || err != nil || wait < 80000 ||
		!strings.Contains(refused.Text(), "many changes in a short time") {
		t.Errorf("the 21st: %d, Retry-After %q: %s", refused.StatusCode, refused.Header.Get("Retry-After"), refused.Text())
	}
	if len(r.Audit(t, tom.User, "limit_reached")) != 1 {
		t.Error("not in the audit")
	}
}

// A code of the app is a fresh code, too: it allows new recovery codes, and leads back to where they were asked for.
func TestACodeOfTheAppIsAFreshCode(t *testing.T) {
	t.Parallel()
	r := shared(t)
	tom := newPerson(t, r, "totp.example", "tom")
	app, recovery, _ := tom.enrol()
	other := tom.AnotherBrowser()
	own := other.Visit("/.contactgate/authenticator")
	if !strings.Contains(own.Text(), "10 recovery codes are left") {
		t.Fatalf("what there is: %s", own.Text())
	}
	fresh := other.Follow(other.Submit(own, "authenticator/codes"))
	var asked *answer
	for _, f := range fresh.forms() {
		if f.Fields.Get("channel") == "authenticator" {
			asked = other.Post(f.Action, f.Fields)
		}
	}
	if asked == nil {
		t.Fatalf("the app is not among the ways: %s", fresh.Text())
	}
	back := other.Submit(other.Follow(asked), "verify/code", "code", app.at(time.Now().Add(30*time.Second)))
	if back.Header.Get("Location") != "/.contactgate/authenticator" {
		t.Fatalf("it leads to %s", back.Header.Get("Location"))
	}
	renewed := other.Submit(other.Follow(back), "authenticator/codes")
	mustStatus(t, renewed, http.StatusOK)
	codes := shownRecovery.FindAllStringSubmatch(renewed.Body, -1)
	for _, code := range codes {
		r.oracle.secret("recovery code", strings.ReplaceAll(code[1], "-", ""))
	}
	if len(codes) != 10 || strings.Contains(renewed.Body, recovery[0]) {
		t.Errorf("new ones: %s", renewed.Text())
	}
	// An app never makes a contact verified: where one has to be confirmed it is no way, and what asks for it all the same
	// leads to those that are.
	lapsed := other.At("lapsed.example")
	for end := time.Now().Add(10 * time.Second); ; <-tick() {
		page := lapsed.Visit("/.contactgate/verify")
		if f, ok := page.Form("verify/send", 0); ok {
			if strings.Contains(page.Body, `value="authenticator"`) {
				t.Error("it is among the ways to confirm a contact")
			}
			f.Fields.Set("channel", "authenticator")
			if a := lapsed.Post(f.Action, f.Fields); !strings.Contains(a.Header.Get("Location"), "/.contactgate/verify") || strings.Contains(a.Header.Get("Location"), "code") {
				t.Errorf("asked for all the same: %d %s", a.StatusCode, a.Header.Get("Location"))
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the confirmation does not lapse: %s", page.Text())
		}
	}
}

// The offer comes after the first proof; "later" and "not needed" lead on, and it does not come again that day.
func TestAuthenticatorOfferIsMadeOnce(t *testing.T) {
	t.Parallel()
	r := shared(t)
	for _, choice := range []string{"later", "never"} {
		ann := newPerson(t, r, "totp.example", "ann-"+choice)
		offer := ann.Follow(ann.enterCode())
		done := ann.Submit(offer, "/authenticator", "choice", choice)
		if done.Header.Get("Location") != "/.contactgate/done" {
			t.Errorf("%s leads to %s", choice, done.Header.Get("Location"))
		}
		again := ann.AnotherBrowser()
		if a := again.enterCode(); a.Header.Get("Location") != "/.contactgate/done" {
			t.Errorf("%s: offered again: %s", choice, a.Header.Get("Location"))
		}
		if page := again.Visit("/.contactgate/authenticator"); !strings.Contains(page.Text(), "Set up an authenticator app?") {
			t.Errorf("%s: the person cannot open it: %s", choice, page.Text())
		}
	}
	bob := newPerson(t, r, "totp.example", "bob")
	offer := bob.Follow(bob.enterCode())
	if a := bob.Submit(offer, "/authenticator", "choice", "perhaps"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown choice: %d", a.StatusCode)
	}
}
