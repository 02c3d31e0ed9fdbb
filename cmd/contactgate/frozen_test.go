package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Admin asks a route of the admin API, and gives status and body.
func (r *rig) Admin(t *testing.T, route string, question any, header ...string) (int, string) {
	t.Helper()
	body, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	status, text, err := r.ask(route, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return status, text
}

func (r *rig) ask(route string, question []byte, header ...string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/contactgate/"+route, bytes.NewReader(question))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	return r.admin(withHeader(req, header))
}

// account is an answer of the admin API.
type account struct {
	Realm, User, Standing string
	Frozen                *struct{ At, By, Reference, Reason string }
	Changed               bool
}

// Accounts asks a route under accounts/ that has to succeed.
func (r *rig) Accounts(t *testing.T, verb, realm, user string) account {
	t.Helper()
	status, body := r.Admin(t, "accounts/"+verb, map[string]string{"realm": realm, "user": user, "reason": "a test"})
	var a account
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK {
		t.Fatalf("accounts/%s of %s: %d %s", verb, user, status, body)
	}
	return a
}

// wantFrozen: the one page that somebody frozen sees, and the app saw nothing.
func (p *person) wantFrozen(what string, a *answer, reference string) {
	p.t.Helper()
	if wantStatus(p.t, what, a, http.StatusForbidden) && !strings.Contains(a.Text(), reference) {
		p.t.Errorf("%s: the page does not tell the reference: %s", what, a.Text())
	}
	p.wantUnseen(what)
}

func TestAFrozenPersonReachesNothing(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "frost").Verify()
	if a := ann.Open("/"); a.Header.Get("X-App") != "echo" {
		t.Fatalf("verified, and not let through: %d", a.StatusCode)
	}
	ann.NewCase()
	frozen := r.Accounts(t, "freeze", "main", ann.User)
	if frozen.Standing != "frozen" || !frozen.Changed || frozen.Frozen.By != "operator" || frozen.Frozen.Reference == "" {
		t.Fatalf("%+v", frozen)
	}
	reference := frozen.Frozen.Reference
	for _, host := range []string{"app.example", "late.example", "remind.example", "observe.example", "watch.example", "out.example"} {
		ann.At(host)
		ann.wantPage("a page at "+host, ann.Open("/inbox"))
		ann.wantFrozen("where that leads at "+host, ann.Visit("/inbox"), reference)
		ann.wantProblem("a fetch at "+host, ann.Fetch(http.MethodGet, "/api"))
	}
	ann.At("app.example")
	ann.wantFrozen("a form of the app", ann.Post("/save", nil), reference)
	if a := ann.Open("/public/x"); a.Header.Get("X-App") != "echo" {
		t.Errorf("an exempt request: %d", a.StatusCode)
	}
	ann.NewCase()
	for _, page := range []string{"", "verify", "verify/code", "contacts/new", "done"} {
		ann.wantFrozen(page, ann.Open("/.contactgate/"+page), reference)
	}
	for _, route := range []string{"verify/send", "verify/code", "verify/resend", "verify/later", "contacts/new", "contacts/confirm", "contacts/remove", "contacts/primary", "devices/revoke"} {
		ann.wantFrozen("POST "+route, ann.Post("/.contactgate/"+route, nil), reference)
		if a := ann.Fetch(http.MethodPost, "/.contactgate/"+route); a.StatusCode != http.StatusForbidden || a.Header.Get("Contactgate") != "required" {
			t.Errorf("POST %s by a script: %d %s", route, a.StatusCode, a.Body)
		}
	}
	wantStatus(t, "help", ann.Open("/.contactgate/help"), http.StatusOK)
	status := ann.Fetch(http.MethodGet, "/.contactgate/status")
	if status.StatusCode != http.StatusOK || !strings.Contains(status.Body, `"status":"frozen"`) || !strings.Contains(status.Body, `"deadline":null`) {
		t.Errorf("status: %d %s", status.StatusCode, status.Body)
	}
	page := ann.Open("/.contactgate/verify")
	japanese := ann.Follow(ann.Submit(page, "language", "language", "ja"))
	if wantStatus(t, "in Japanese", japanese, http.StatusForbidden) && !strings.Contains(japanese.Body, `lang="ja"`) {
		t.Errorf("the language was not changed: %.200s", japanese.Text())
	}
	ann.NewCase()
	if lifted := r.Accounts(t, "unfreeze", "main", ann.User); lifted.Frozen != nil || lifted.Standing != "verified" {
		t.Errorf("%+v", lifted)
	}
	ann.wantPass("after an operator lifted it", ann.Open("/"))
	if lines := r.Audit(t, ann.User, "account_frozen"); len(lines) != 1 || lines[0]["reference"] != reference || lines[0]["reason"] != "a test" {
		t.Errorf("the audit says %v", lines)
	}
}

func TestNothingInHandOutlivesFreezing(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "frost")
	page := ann.AskCode(ann.Email)
	code := r.WaitMail(t, ann.Email, 1).Code()
	r.Accounts(t, "freeze", "main", ann.User)
	wantStatus(t, "the code, while frozen", ann.Submit(page, "verify/code", "code", code), http.StatusForbidden)
	r.Accounts(t, "unfreeze", "main", ann.User)
	wantStatus(t, "the code, afterwards", ann.Submit(page, "verify/code", "code", code), http.StatusForbidden)
	if s := ann.Fetch(http.MethodGet, "/.contactgate/status"); !strings.Contains(s.Body, `"status":"due"`) {
		t.Errorf("%s", s.Body)
	}
	// And a new walk works.
	ann.Verify()
}

func TestFreezeCommands(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "frost")
	ann.Open("/")
	admin := "unix/" + filepath.Join(r.dir, "admin.sock")
	run := func(want int, args ...string) string {
		t.Helper()
		out, err := r.Command(append([]string{"gate", "accounts"}, args...)...)
		if got := exitStatus(err); got != want {
			t.Errorf("%v: exit status %d instead of %d: %s", args, got, want, out)
		}
		return out
	}
	common := []string{"--realm", "main", "--address", admin}
	if out := run(0, append([]string{"freeze", ann.User, "--reason", "stolen"}, common...)...); !strings.Contains(out, "frozen") || !strings.Contains(out, ann.User) {
		t.Errorf("%s", out)
	}
	ann.wantPage("frozen", ann.Open("/other"))
	ann.wantFrozen("its page", ann.Visit("/other"), "")
	if out := run(0, append([]string{"freeze", ann.User, "--reason", "again", "--json"}, common...)...); !strings.Contains(out, `"changed": false`) || !strings.Contains(out, `"reason": "stolen"`) {
		t.Errorf("%s", out)
	}
	if out := run(0, append([]string{"unfreeze", ann.User, "--reason", "found"}, common...)...); strings.Contains(out, "reference") {
		t.Errorf("%s", out)
	}
	run(3, append([]string{"unfreeze", "nobody-at-all", "--reason", "x"}, common...)...)
	run(1, append([]string{"freeze", ann.User}, common...)...)
	run(1, append([]string{"freeze", "--reason", "x"}, common...)...)
	run(1, "freeze", ann.User, "--reason", "x", "--address", admin) // several realms: which one?
	run(1, "freeze", ann.User, "--reason", "x", "--address", admin, "--realm", "nowhere")
	run(2, "freeze", ann.User, "--reason", "x", "--address", "unix/"+filepath.Join(r.dir, "no.sock"))
}

// exitStatus is what a command ended with; -1 when it did not run.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if ended := new(exec.ExitError); errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return -1
}

func TestAdminRefusesBrowsers(t *testing.T) {
	r := shared(t)
	ann := newPerson(t, r, "app.example", "frost")
	question := map[string]string{"realm": "main", "user": ann.User, "reason": "x"}
	for _, header := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Dest", "empty"},
		{"Content-Type", "text/plain"}, {"Content-Type", "application/x-www-form-urlencoded"},
	} {
		if status, body := r.Admin(t, "accounts/freeze", question, header...); status < 400 || status > 499 {
			t.Errorf("%v: %d %s", header, status, body)
		}
	}
	for name, odd := range map[string]any{
		"an unknown field": map[string]any{"realm": "main", "user": ann.User, "reason": "x", "role": "admin"},
		"no reason":        map[string]string{"realm": "main", "user": ann.User},
		"two lines":        map[string]string{"realm": "main", "user": ann.User, "reason": "a\nb"},
		"no user":          map[string]string{"realm": "main", "reason": "x"},
		"a control":        map[string]string{"realm": "main", "user": "a\x00b", "reason": "x"},
		"an odd realm":     map[string]string{"realm": "nowhere", "user": ann.User, "reason": "x"},
	} {
		if status, body := r.Admin(t, "accounts/freeze", odd); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if s := ann.Fetch(http.MethodGet, "/.contactgate/status"); strings.Contains(s.Body, "frozen") {
		t.Error("one of these froze the account")
	}
}
