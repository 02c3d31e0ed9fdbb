package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/testbed"
)

// Codes by text and by call, over a provider that takes them, and over one that does not.

const withPhone = `identity {header.Remote-User} {
			email {header.Remote-Email}
			phone {header.Remote-Phone}
			set_by forward_auth
		}`

// phoneRig offers texts and calls. It is one of its own: a provider that is down is down for everybody.
func phoneRig(t *testing.T) *rig {
	return startRig(t, func(r *rig) string {
		before := r.namesPhones()
		return r.caddyfile(sharedSettings,
			site{Host: "app.example", Before: before, Identity: withPhone},
			site{Host: "late.example", Gate: "grace 1s\nunseen 1s\nask_every 1s", Before: before, Identity: withPhone})
	})
}

// caller is somebody whose sign-in names a number, and an address or none.
type caller struct {
	*person
	Number string
}

func newCaller(t *testing.T, r *rig, host, email string) caller {
	t.Helper()
	number := fmt.Sprintf("+81901%07d", 2_340_000+names.Add(1)) // a mobile one: 090-1…
	p := asPerson(t, r, host, unique("yuki"), email)
	says := signedIn(p.User, email)
	says["Remote-Phone"] = []string{number}
	r.Auth.Say(p.User, says)
	r.oracle.secret("address", number)
	return caller{p, number}
}

// ask chooses a channel for the number and shows that it is known.
func (c caller) ask(channel string) *answer {
	c.t.Helper()
	page := c.Visit("/.contactgate/verify")
	f, ok := formOf(page, channel)
	if !ok {
		c.t.Fatalf("no button for %s: %s", channel, page.Text())
	}
	prove := c.Post(f.Action, f.Fields)
	mustStatus(c.t, prove, http.StatusOK)
	return c.Submit(prove, "verify/send", "proof", c.Number[len(c.Number)-4:])
}

// formOf is the button for a channel on the page of step 1.
func formOf(page *answer, channel string) (form, bool) {
	for _, f := range page.forms() {
		if strings.HasSuffix(f.Action, "verify/send") && f.Fields.Get("channel") == channel {
			return f, true
		}
	}
	return form{}, false
}

func TestCodeByTextAndByCall(t *testing.T) {
	t.Parallel()
	r := phoneRig(t)
	for _, lang := range []struct{ accept, named string }{{"en", "047193 is your Example security code."}, {"ja", "確認コード: 047193(Example)"}} {
		for _, channel := range []string{"sms", "voice"} {
			c := newCaller(t, r, "late.example", "")
			c.Lang = lang.accept
			overdue(c.person)
			sent := c.ask(channel)
			if sent.StatusCode != http.StatusSeeOther || sent.Header.Get("Location") != "/.contactgate/verify/code" {
				t.Fatalf("%s: %d %q: %s", channel, sent.StatusCode, sent.Header.Get("Location"), sent.Text())
			}
			m := r.waitPhone(t, channel, c.Number, 1)
			if m.Language != lang.accept || strings.Contains(m.Text, "://") {
				t.Errorf("%s: %+v", channel, m)
			}
			if want := strings.ReplaceAll(lang.named, "047193", m.Sent); channel == "sms" && (!strings.HasPrefix(m.Text, want+"\n") || !strings.HasSuffix(m.Text, "\n\n@late.example #"+m.Sent)) {
				t.Errorf("the text: %q", m.Text)
			}
			if channel == "voice" && (strings.Contains(m.Text, m.Sent) || len(spokenCode.FindAllString(m.Text, -1)) != 2 || m.Greeting == "") {
				t.Errorf("the call: %q, then %q", m.Greeting, m.Text)
			}
			page := c.Follow(sent)
			if strings.Contains(page.Body, c.Number[5:10]) {
				t.Error("more than the last digits of the number is on the page")
			}
			done := c.Submit(page, "verify/code", "code", m.Code())
			mustStatus(t, done, http.StatusSeeOther)
			mustStatus(t, c.Follow(done), http.StatusOK)
			c.NewCase()
			if got := c.wantPass(channel, c.Open("/app")); got.Header.Get("Contactgate-Status") != "verified" {
				t.Errorf("%s: the app got %v", channel, got.Header)
			}
			if asked := r.Phone.Asked(c.Number); len(asked) != 1 {
				t.Errorf("%s: sent %d times", channel, len(asked))
			}
		}
	}
	metrics, err := r.metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`contactgate_codes_sent_total{channel="sms",result="accepted"} 2`, `contactgate_codes_sent_total{channel="voice",result="accepted"} 2`, `contactgate_send_duration_seconds_count{channel="voice"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if regexp.MustCompile(`"[^"\n]*90\d{8}[^"\n]*"`).MatchString(metrics) { // in a label: a sum of seconds has many digits, too
		t.Error("a number is in the metrics")
	}
}

// G06, R17: a provider that does not take a text is told of within five seconds, with the other ways, and what was not sent
// counts against nothing. When it is back, so are the texts.
func TestProviderInTroubleIsToldWithTheOtherWays(t *testing.T) {
	t.Parallel()
	r := phoneRig(t)
	for _, fault := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"429", status(http.StatusTooManyRequests)}, {"500", status(http.StatusInternalServerError)}, {"503", status(http.StatusServiceUnavailable)},
		{"400", status(http.StatusBadRequest)}, {"401", status(http.StatusUnauthorized)},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/voice", http.StatusTemporaryRedirect)
		}},
	} {
		c := newCaller(t, r, "late.example", unique("mail")+"@example.com")
		overdue(c.person)
		r.Phone.Break("sms", fault.answer)
		began := time.Now()
		a := c.ask("sms")
		if took := testbed.Took(began); took > 5*time.Second {
			t.Errorf("%s: the person heard after %s", fault.name, took)
		}
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q: %s", fault.name, a.StatusCode, a.Header.Get("Retry-After"), a.Text())
		}
		for _, other := range []string{"email", "voice"} {
			if _, ok := formOf(a, other); !ok {
				t.Errorf("%s: %s is not offered: %s", fault.name, other, a.Text())
			}
		}
		if asked := r.Phone.Asked(c.Number); len(asked) > 1 {
			t.Errorf("%s: asked %d times", fault.name, len(asked))
		}
		r.Phone.Break("sms", nil)
		c.wantSent(t, fault.name, "sms")
	}
}

// wantSent: the channel works within five seconds.
func (c caller) wantSent(t *testing.T, what, channel string) {
	t.Helper()
	var a *answer
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		if a = c.ask(channel); a.StatusCode == http.StatusSeeOther {
			c.rig.waitPhone(t, channel, c.Number, 1)
			return
		}
	}
	t.Errorf("%s: %s did not come back: %d %s", what, channel, a.StatusCode, a.Text())
}

// A provider that falls silent after it got everything may have sent it: that is "under way", once more with the same
// code and key at most, and the other ways are one click away.
func TestSilentProviderIsUnderWay(t *testing.T) {
	t.Parallel()
	r := phoneRig(t)
	r.Phone.Break("sms", hang)
	c := newCaller(t, r, "late.example", unique("mail")+"@example.com")
	overdue(c.person)
	began := time.Now()
	a := c.ask("sms")
	if took := testbed.Took(began); took > 5*time.Second { // four, by design
		t.Errorf("the person heard after %s", took)
	}
	mustStatus(t, a, http.StatusSeeOther)
	page := c.Follow(a)
	mustStatus(t, page, http.StatusOK)
	if !strings.Contains(page.Body, "/.contactgate/verify") || !strings.Contains(page.Text(), "Use another way") {
		t.Errorf("no other way: %s", page.Text())
	}
	// Mail and calls do not wait behind it.
	began = time.Now()
	call := c.ask("voice")
	if took := testbed.Took(began); call.StatusCode != http.StatusSeeOther || took > 4*time.Second {
		t.Errorf("a call beside it: %d after %s", call.StatusCode, took)
	}
	code := r.WaitCall(t, c.Number, 1).Code()
	mustStatus(t, c.Submit(c.Follow(call), "verify/code", "code", code), http.StatusSeeOther)
	ids, codes := map[string]bool{}, map[string]bool{}
	for _, m := range r.Phone.Asked(c.Number) {
		if m.Channel == "sms" {
			ids[m.ID], codes[m.Sent] = true, true
		}
	}
	if len(ids) != 1 || len(codes) != 1 {
		t.Errorf("%d keys and %d codes for one text", len(ids), len(codes))
	}
}

// doctor tells a provider that is gone from one that is there, and sends nothing.
func TestDoctorLooksAtProviders(t *testing.T) {
	t.Parallel()
	r := phoneRig(t)
	address := "unix/" + filepath.Join(r.dir, "admin.sock")
	if out, err := r.Command("gate", "doctor", "--address", address); err != nil || !strings.Contains(out, "sms    ok") || !strings.Contains(out, "voice  ok") {
		t.Errorf("%v\n%s", err, out)
	}
	r.Phone.Close()
	if out, err := r.Command("gate", "doctor", "--address", address); err == nil || !strings.Contains(out, "sms    NO  connect: nobody listens there") {
		t.Errorf("%v\n%s", err, out)
	}
	// Nobody listens: nothing is handed over, and the person hears so.
	c := newCaller(t, r, "app.example", "")
	began := time.Now()
	a := c.ask("voice")
	if took := testbed.Took(began); a.StatusCode != http.StatusServiceUnavailable || took > 5*time.Second {
		t.Errorf("%d after %s: %s", a.StatusCode, took, a.Text())
	}
	if n := len(r.Phone.Asked(c.Number)); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
