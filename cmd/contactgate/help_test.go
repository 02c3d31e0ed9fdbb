package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
)

// The help form: what people write reaches the support address as text, and nothing else.

// AskHelp writes to the people who run the site, and gives the answer to the form.
func (p *person) AskHelp(problem, detail, reach string) *answer {
	p.t.Helper()
	return p.Submit(p.Open("/.contactgate/help"), "help", "problem", problem, "detail", detail, "reach", reach)
}

// referenceOn is what the page tells after a message was sent.
func (p *person) referenceOn(sent *answer) string {
	p.t.Helper()
	mustStatus(p.t, sent, http.StatusSeeOther)
	page := p.Follow(sent)
	mustStatus(p.t, page, http.StatusOK)
	lines := p.rig.Audit(p.t, p.User, "help_requested")
	if len(lines) == 0 {
		p.t.Fatal("the audit says nothing")
	}
	reference, _ := lines[len(lines)-1]["reference"].(string)
	if len(reference) != 10 || !strings.Contains(page.Text(), reference) {
		p.t.Fatalf("the page does not tell the reference %q: %s", reference, page.Text())
	}
	return reference
}

// waitSupport waits for the mail to the people who run the site that has a reference.
func (r *rig) waitSupport(t *testing.T, reference string) smtptest.Message {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := r.supportMails(reference); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatalf("no mail about %s", reference)
	return smtptest.Message{}
}

func TestHelpIsAskedFor(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "stuck")
	reference := ann.referenceOn(ann.AskHelp("no_contact", "My provider is gone.\nWhat now?", "+81 90 1234 5634"))
	mail := r.waitSupport(t, reference)
	if len(mail.Rcpts) != 1 || mail.Rcpts[0] != supportAddress || !strings.Contains(mail.Subject, reference) || mail.HTML != "" {
		t.Errorf("to %v, %q", mail.Rcpts, mail.Subject)
	}
	for _, want := range []string{ann.User, "main", "> My provider is gone.", "> What now?", "+81 90 1234 5634", "None of the contacts is mine any more"} {
		if !strings.Contains(mail.Text, want) {
			t.Errorf("the mail has no %q: %s", want, mail.Text)
		}
	}
	// Errors keep what was typed, and name the field.
	for _, c := range []struct{ problem, detail, reach, field string }{
		{"", "A & <b>", "me@example.net", "#problem-kind"}, {"other", " ", "me@example.net", "#detail"}, {"other", "A & <b>", "", "#reach"},
		{"other", strings.Repeat("x", 2001), "me@example.net", "#detail"}, {"other", "A & <b>", strings.Repeat("y", 201), "#reach"}, {"root", "A & <b>", "me@example.net", "#problem-kind"},
	} {
		a := ann.AskHelp(c.problem, c.detail, c.reach)
		if !wantStatus(t, c.field, a, http.StatusUnprocessableEntity) {
			continue
		}
		if !strings.Contains(a.Body, `href="`+c.field+`"`) || c.detail == "A & <b>" && !strings.Contains(a.Body, "A &amp; &lt;b&gt;</textarea>") || !strings.Contains(a.Body, `value="`+c.reach+`"`) {
			t.Errorf("%s: %s", c.field, a.Body)
		}
	}
	ann.referenceOn(ann.AskHelp("other", "two", "x"))
	ann.referenceOn(ann.AskHelp("other", "three", "x"))
	limited := ann.AskHelp("other", "four & more", "x")
	if wantStatus(t, "the fourth in an hour", limited, http.StatusTooManyRequests) && (limited.Header.Get("Retry-After") == "" || !strings.Contains(limited.Body, "four &amp; more")) {
		t.Errorf("%v %s", limited.Header, limited.Text())
	}
	// A reference that somebody made up is on no page.
	for _, made := range []string{"EVIL.", "aGVscDpFVklM", ""} {
		if a := ann.Open("/.contactgate/help?sent=" + made); !wantStatus(t, made, a, http.StatusOK) || strings.Contains(a.Body, "EVIL.") || strings.Contains(a.Text(), "on its way") {
			t.Errorf("%q: %s", made, a.Text())
		}
	}
	eve := newPerson(t, r, "app.example", "eve")
	mine := ann.AskHelp("other", "x", "y").Header.Get("Location")
	if a := eve.Open(firstOf(mine, "/.contactgate/help?sent=x")); strings.Contains(a.Text(), "on its way") {
		t.Error("somebody else's message is shown")
	}
}

// J01 to J03: what people write is text, in the page, in the mail, in the log.
func TestHelpIsNeverInterpreted(t *testing.T) {
	r := shared(t)
	for _, payload := range []string{
		"<img src=x onerror=alert(1)></textarea><script>alert(1)</script>",
		"{{.}}{{.Frame}} {env.HOME} {http.request.header.X} ${7*7} %s%n",
		"x\r\nBcc: x@y.z\r\n\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.z>\r\nDATA",
		"\u202egro.elpmaxe\u2066 \x1b[2J\x00 =cmd()|' /C calc'!A0",
		"Subject: another\nTo: x@y.z\n--boundary--\nReference: ABCDEFGHIJ",
		"\xff\xfe" + strings.Repeat("(a+)+$", 100),
	} {
		ann := newPerson(t, r, "app.example", "inert")
		before := len(r.Mail.Messages())
		reference := ann.referenceOn(ann.AskHelp("other", payload, payload[:min(len(payload), 60)]))
		mail := r.waitSupport(t, reference)
		if len(mail.Rcpts) != 1 || mail.Rcpts[0] != supportAddress || mail.Header.Get("Bcc") != "" || len(mail.Header["To"]) != 1 || !strings.HasSuffix(mail.Subject, "("+reference+")") {
			t.Errorf("%.30q: to %v, %v", payload, mail.Rcpts, mail.Header)
		}
		if strings.Contains(mail.Text, "/root") || strings.Contains(mail.Text, "49") && strings.Contains(payload, "7*7") && !strings.Contains(mail.Text, "7*7") || strings.ContainsAny(mail.Text, "\u202e\x1b\x00") {
			t.Errorf("%.30q: %s", payload, mail.Text)
		}
		for line := range strings.Lines(mail.Text) {
			for _, forged := range []string{"Bcc:", "Subject:", "To:", "Reference: ABCDEFGHIJ", "MAIL FROM"} {
				if strings.HasPrefix(line, forged) {
					t.Errorf("%.30q: an unmarked line %q", payload, line)
				}
			}
		}
		for _, m := range r.Mail.Messages()[before:] {
			for _, to := range m.Rcpts {
				if strings.HasSuffix(to, "y.z") {
					t.Errorf("%.30q: a mail to %s", payload, to)
				}
			}
		}
		again := ann.AskHelp("", payload, "x")
		if wantStatus(t, payload[:5], again, http.StatusUnprocessableEntity) && (strings.Contains(again.Body, "<img src=x") || strings.Contains(again.Body, "<script>alert")) {
			t.Errorf("%.30q is on the page as it is", payload)
		}
	}
}

func TestFrozenPeopleAndNobodyAskForHelp(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "cold")
	ann.Open("/")
	r.Accounts(t, "freeze", "main", ann.User)
	page := ann.Open("/.contactgate/help")
	if strings.Contains(page.Body, "/.contactgate/contacts/new") || strings.Contains(page.Body, "/.contactgate/verify\"") {
		t.Errorf("the page sends somebody frozen where they cannot go: %s", page.Text())
	}
	mail := r.waitSupport(t, ann.referenceOn(ann.AskHelp("stopped", "It was me.", "me@example.net")))
	if !strings.Contains(mail.Text, "frozen") {
		t.Errorf("%s", mail.Text)
	}
	nobody := nobodyYet(t, r, "app.example")
	wantStatus(t, "nobody", nobody.Post("/.contactgate/help", url.Values{"problem": {"other"}, "detail": {"x"}, "reach": {"y"}}), http.StatusUnauthorized)
	if a := nobody.Open("/.contactgate/notice"); !strings.Contains(a.Body, `href="mailto:`+supportAddress+`"`) {
		t.Errorf("nobody is told where to find help: %s", a.Body)
	}
	bob := newPerson(t, r, "app.example", "bob")
	form, _ := bob.Open("/.contactgate/help").Form("help", 0)
	form.Fields.Set("problem", "other")
	form.Fields.Set("detail", "x")
	form.Fields.Set("reach", "y")
	for name, header := range map[string][]string{"another site": {"Origin", "https://evil.example"}, "a sibling": {"Sec-Fetch-Site", "same-site"}} {
		wantStatus(t, name, bob.Post(form.Action, form.Fields, header...), http.StatusForbidden)
	}
	form.Fields.Set("csrf", "x")
	if a := bob.Post(form.Action, form.Fields); !wantStatus(t, "no token", a, http.StatusForbidden) || !strings.Contains(a.Body, "x</textarea>") {
		t.Errorf("what was typed is lost: %s", a.Text())
	}
	if len(r.Audit(t, bob.User, "help_requested")) != 0 {
		t.Error("one of these sent something")
	}
}

func TestAHelpMailSurvivesKill9(t *testing.T) {
	t.Parallel()
	r := startRig(t, func(r *rig) string { return r.caddyfile(sharedSettings, site{Host: "app.example"}) })
	r.Mail.Set(smtptest.Greeting, smtptest.Fault{Code: 421, Text: "4.3.2 not now"})
	ann := newPerson(t, r, "app.example", "killed")
	ann.Open("/")
	reference := ann.referenceOn(ann.AskHelp("no_code", "It does not arrive.", "me@example.net"))
	if err := r.Kill9(); err != nil {
		t.Fatal(err)
	}
	r.Mail.Behave()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(60 * time.Second)
	for len(r.supportMails(reference)) == 0 && time.Now().Before(end) {
		time.Sleep(100 * time.Millisecond)
	}
	if n := len(r.supportMails(reference)); n != 1 {
		t.Errorf("%d mails about %s", n, reference)
	}
}
