package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
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
