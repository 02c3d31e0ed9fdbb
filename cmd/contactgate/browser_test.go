package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
)

// The journeys of browser/*.test.mjs, in a real Chromium. Each script has a stage of its own: a rig with one site for every
// state that the clock or a limit has to bring about, an app with pages, and a second rig whose store was lost.

const browserFolder = "browser"

func TestBrowser(t *testing.T) {
	if os.Getenv("CONTACTGATE_BROWSER") != "1" {
		t.Skip("needs Chromium and npm packages; `make browser` runs this, and `make test` runs `make browser`")
	}
	scripts, err := filepath.Glob(filepath.Join(browserFolder, "*.test.mjs"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in %s: %v", browserFolder, err)
	}
	for _, script := range scripts {
		file := filepath.Base(script)
		t.Run(strings.TrimSuffix(file, ".test.mjs"), func(t *testing.T) {
			t.Parallel()
			if file == galleryScript {
				playGallery(t)
				return
			}
			startStage(t).play(t, file)
		})
	}
}

// stage is all that a script needs.
type stage struct {
	*rig
	pages *pagesApp
	// facts is what the script is told.
	facts map[string]any
}

func startStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{pages: new(pagesApp)}
	app := httptest.NewServer(s.pages)
	t.Cleanup(app.Close)
	control := httptest.NewServer(http.HandlerFunc(s.control))
	t.Cleanup(control.Close)

	s.rig = startRig(t, func(r *rig) string {
		sites := stageSites(app.URL)
		for i := range sites {
			if sites[i].Identity != "" {
				sites[i].Before = r.namesPhones()
			}
		}
		return r.caddyfile(stageSettings, sites...)
	})
	s.pages.elsewhere = "https://elsewhere.localhost:" + s.port
	lost := startRig(t, func(r *rig) string { return r.caddyfile(stageSettings, stageSites(app.URL)[:1]...) })
	loseStore(t, lost)
	s.facts = map[string]any{
		"control":     control.URL,
		"elsewhere":   s.pages.elsewhere,
		"down":        "https://app.localhost:" + lost.port,
		"trusted":     keyHash(t, s.rig) + "," + keyHash(t, lost),
		"screenshots": os.Getenv("CONTACTGATE_SCREENSHOTS"),
	}
	for _, site := range stageSites("") {
		name, _, _ := strings.Cut(site.Host, ".")
		s.facts[name] = "https://" + site.Host + ":" + s.port
	}
	return s
}

const stageSettings = "channels JP sms voice\nchannels US FR sms\nsign_out /logout\nsupport mailto:help@example.com\nremind_authenticator off"

// stageSites have a realm each, so that nobody is known at two of them.
func stageSites(app string) []site {
	sites := []site{
		{Host: "app.localhost"},
		{Host: "late.localhost", Gate: "grace 5s\nask_every 1s"},
		{Host: "quick.localhost", Gate: "limits {\ncode_lifetime 8s\nresend_after 1s\n}"},
		{Host: "tight.localhost", Gate: "limits {\nproof_tries 1\nsends_per_hour 1\ncode_tries 2\nresend_after 1s\ncontacts_per_day 1\n}"},
		{Host: "lapse.localhost", Gate: "reconfirm 4s\nask_every 1s"},
		{Host: "device.localhost", Gate: "device_code on"},
		{Host: "totp.localhost", Gate: "device_code on\nremind_authenticator 30d"},
		{Host: "phone.localhost", Identity: withPhone},
		// An origin where the app sends people, and which is not ours. Its gate never interrupts.
		{Host: "elsewhere.localhost", Gate: "mode observe"},
	}
	for i := range sites {
		name, _, _ := strings.Cut(sites[i].Host, ".")
		sites[i].Gate += "\nlanguages en ja ar\nrealm " + name
		sites[i].App = "reverse_proxy " + app
	}
	return sites
}

// loseStore empties the store of a gate. It then answers nobody until an operator says that this is fine.
func loseStore(t *testing.T, r *rig) {
	t.Helper()
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.dir, "accounts.db")); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
}

// keyHash is how Chromium is told to trust a rig's certificate. (With certificate errors merely ignored it would keep
// nothing in its cache, and hide what "no-store" is there for.)
func keyHash(t *testing.T, r *rig) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no certificate in cert.pem")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(hash[:])
}

func (s *stage) play(t *testing.T, script string) {
	t.Helper()
	runScript(t, script, s.facts)
}

// runScript runs a script, which fails the test when anything in it does.
func runScript(t *testing.T, script string, told map[string]any) {
	t.Helper()
	facts, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	args := []string{script}
	if only := os.Getenv("CONTACTGATE_BROWSER_ONLY"); only != "" { // a pattern of node's: one test of a script
		args = []string{"--test-name-pattern=" + only, script}
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = browserFolder
	cmd.Env = append(os.Environ(), "STAGE="+string(facts))
	var output bytes.Buffer
	cmd.Stdout = &output
	if testing.Verbose() {
		cmd.Stdout = os.Stdout
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, &output)
	}
}

// pagesApp is an app with pages, which knows nothing of the gate.
type pagesApp struct {
	elsewhere string
	mu        sync.Mutex
	notes     []string
}

func (a *pagesApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page := func(body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>The app</title><meta name=viewport content='width=device-width'>"+
			"<p id=at>%s</p>%s", html.EscapeString(r.URL.RequestURI()), body)
	}
	switch r.URL.Path {
	case "/away":
		http.Redirect(w, r, a.elsewhere+"/landed?x=1", http.StatusFound)
	case "/form":
		if r.Method != http.MethodPost {
			page(`<form method=post action=/form><label>Note <input name=note></label><button>Send</button></form>`)
			return
		}
		a.mu.Lock()
		a.notes = append(a.notes, r.FormValue("note"))
		a.mu.Unlock()
		page(`<p id=received>received: ` + html.EscapeString(r.FormValue("note")) + `</p>`)
	case "/frames":
		page(`<iframe src=/inner title=inner></iframe>`)
	case "/favicon.ico":
		w.WriteHeader(http.StatusNoContent)
	default:
		page(``)
	}
}

// control is what scripts ask for over HTTP.
func (s *stage) control(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch r.URL.Path {
	case "/sign-in": // what the sign-in says of somebody
		says := signedIn(q.Get("user"), q.Get("email"))
		if q.Get("email") != "" {
			s.oracle.secret("address", q.Get("email"))
		}
		if q.Get("phone") != "" {
			says["Remote-Phone"] = []string{q.Get("phone")}
		}
		s.Auth.Say(q.Get("as"), says)
	case "/mails":
		s.mails(w, q)
	case "/phones":
		s.phones(w, q)
	case "/notes": // what the app's form was given
		s.pages.mu.Lock()
		defer s.pages.mu.Unlock()
		_ = json.NewEncoder(w).Encode(append([]string{}, s.pages.notes...))
	case "/accounts": // an operator changes somebody's account
		question, _ := json.Marshal(map[string]string{"realm": q.Get("realm"), "user": q.Get("user"), "reason": "a test"})
		if status, body, err := s.ask("accounts/"+q.Get("verb"), question); err != nil || status != http.StatusOK {
			http.Error(w, fmt.Sprint(err, body), http.StatusBadGateway)
		}
	case "/refuse":
		s.Mail.Set(smtptest.Rcpt, smtptest.Fault{Code: 550, Text: "5.1.1 no such user"})
	case "/unreachable":
		s.Mail.Set(smtptest.Greeting, smtptest.Fault{Code: 421, Text: "4.3.2 not now"})
	case "/slow":
		s.Mail.Set(smtptest.Data, smtptest.Fault{Delay: 7 * time.Second, Times: 1})
	case "/behave":
		s.Mail.Behave()
	default:
		http.NotFound(w, r)
	}
}

// mails waits for the nth mail to somebody and lists all of theirs.
func (s *stage) mails(w http.ResponseWriter, q url.Values) {
	type letter struct{ Subject, Text, HTML, Code string }
	to, n := q.Get("to"), 1
	_, _ = fmt.Sscan(q.Get("n"), &n)
	for end := time.Now().Add(15 * time.Second); ; <-tick() {
		found := []letter{}
		for _, m := range s.Mail.Messages() {
			if len(m.Rcpts) == 1 && m.Rcpts[0] == to {
				found = append(found, letter{m.Subject, m.Text, m.HTML, m.Code()})
			}
		}
		if len(found) >= n || time.Now().After(end) {
			_ = json.NewEncoder(w).Encode(found)
			return
		}
	}
}

// phones waits for the nth message by a channel to a number and lists all of them.
func (s *stage) phones(w http.ResponseWriter, q url.Values) {
	type message struct{ Text, Language, Code string }
	n := 1
	_, _ = fmt.Sscan(q.Get("n"), &n)
	for end := time.Now().Add(15 * time.Second); ; <-tick() {
		found := []message{}
		for _, m := range s.Phones(q.Get("channel"), q.Get("to")) {
			found = append(found, message{m.Text, m.Language, m.Code()})
		}
		if len(found) >= n || time.Now().After(end) {
			_ = json.NewEncoder(w).Encode(found)
			return
		}
	}
}
