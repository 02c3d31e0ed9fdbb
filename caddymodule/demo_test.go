package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// startDemo runs a demo in this process and gives its address. It is stopped, and has left nothing behind, when the
// test ends.
func startDemo(t *testing.T, to string) string {
	t.Helper()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	out, said := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := (&demonstration{Listen: "127.0.0.1:0", To: to, Out: said}).run(ctx)
		_ = said.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with: %v", err)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("the demo left %v behind", left)
		}
	})
	site := siteOf(out)
	if site == "" {
		t.Fatal("the demo did not say what to open")
	}
	return site
}

var sitePattern = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// siteOf reads what the demo prints until it names the address, and goes on reading.
func siteOf(out io.Reader) string {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if site := sitePattern.FindString(lines.Text()); site != "" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return site
		}
	}
	return ""
}

// browser is one, as far as the demo needs it.
type browser struct {
	t      *testing.T
	client *http.Client
	site   string
	at     string // the address of the page that is shown
	status int
	page   string
}

func newBrowser(t *testing.T, site string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, client: &http.Client{Jar: jar, Timeout: 20 * time.Second}, site: site}
}

func (b *browser) ask(method, address string, form url.Values, dest string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.site+address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Dest", dest)
	r.Header.Set("Sec-Fetch-Mode", map[bool]string{true: "navigate", false: "cors"}[dest == "document"])
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.site)
	}
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.at, b.status, b.page = answer.Request.URL.RequestURI(), answer.StatusCode, string(body)
}

func (b *browser) open(address string) { b.t.Helper(); b.ask(http.MethodGet, address, nil, "document") }

var (
	formPattern   = regexp.MustCompile(`(?s)<form [^>]*action="([^"]*)".*?</form>`)
	hiddenPattern = regexp.MustCompile(`<(?:input type="hidden"|button) name="([^"]*)" value="([^"]*)"`)
)

// submit sends the first form of the page whose action ends so.
func (b *browser) submit(action string, filled url.Values) {
	b.t.Helper()
	for _, form := range formPattern.FindAllStringSubmatch(b.page, -1) {
		if !strings.HasSuffix(form[1], action) {
			continue
		}
		values := url.Values{}
		for _, field := range hiddenPattern.FindAllStringSubmatch(form[0], -1) {
			values.Set(field[1], html.UnescapeString(field[2]))
		}
		for name := range filled {
			values.Set(name, filled.Get(name))
		}
		b.ask(http.MethodPost, form[1], values, "document")
		return
	}
	b.t.Fatalf("%s has no form to %s:\n%s", b.at, action, b.page)
}

func (b *browser) signIn(person, to string) {
	b.t.Helper()
	b.open("/demo/?to=" + url.QueryEscape(to))
	b.submit("/demo/", url.Values{"person": {person}})
}

// expect checks the answer: where, which status, and words of the page. A where that ends in ? is compared without query.
func (b *browser) expect(at string, status int, words ...string) {
	b.t.Helper()
	is := b.at
	if strings.HasSuffix(at, "?") {
		is = is[:strings.IndexByte(is+"?", '?')] + "?"
	}
	if is != at || b.status != status {
		b.t.Fatalf("at %s with %d, want %s with %d:\n%s", b.at, b.status, at, status, b.page)
	}
	for _, w := range words {
		if !strings.Contains(b.page, w) {
			b.t.Fatalf("%s does not say %q:\n%s", b.at, w, b.page)
		}
	}
}

var codePattern = regexp.MustCompile(`\b\d{6}\b`)

// code reads the code of the newest mail, which must be for this address.
func (b *browser) code(to string) string {
	b.t.Helper()
	reader := newBrowser(b.t, b.site)
	reader.open("/demo/outbox?text")
	_, mail, _ := strings.Cut(reader.page, "<article")
	if !strings.Contains(mail, to) {
		b.t.Fatalf("the newest mail is not for %s:\n%s", to, reader.page)
	}
	_, text, _ := strings.Cut(mail, "<pre")
	return codePattern.FindString(text)
}

// heard reads the code of the newest text or call, which must be for this number.
func (b *browser) heard(kind, to string) string {
	b.t.Helper()
	reader := newBrowser(b.t, b.site)
	reader.open("/demo/outbox")
	_, message, _ := strings.Cut(reader.page, "<article")
	if !strings.Contains(message, "<h2>"+kind+"</h2>") || !strings.Contains(html.UnescapeString(message), to) {
		b.t.Fatalf("the newest message is no %s for %s:\n%s", kind, to, reader.page)
	}
	_, text, _ := strings.Cut(message, `class="phone"`)
	return codePattern.FindString(strings.NewReplacer(", ", "", "、", "").Replace(text))
}

// confirm goes from step 1 to the code.
func (b *browser) confirm(address string) {
	b.t.Helper()
	b.submit("verify/send", nil)
	b.submit("verify/send", url.Values{"proof": {address}})
	b.expect("/.contactgate/verify/code", 200)
	b.submit("verify/code", url.Values{"code": {b.code(address)}})
	b.notNowApp()
}

// notNowApp says "later" to the offer of an authenticator app, which comes after the first code.
func (b *browser) notNowApp() {
	b.t.Helper()
	b.expect("/.contactgate/authenticator", 200)
	b.submit("authenticator", url.Values{"choice": {"later"}})
	b.expect("/.contactgate/done", 200)
}

func TestDemoWalk(t *testing.T) {
	site := startDemo(t, "")

	t.Run("nobody is sent to the sign-in", func(t *testing.T) {
		b := newBrowser(t, site)
		b.open("/notes/7?a=b%2Fc")
		b.expect("/demo/?", 200, "An Long", "Never asked yet", "2 days left", "Blocked", "Nothing on file", "Confirmed")
		b.ask(http.MethodGet, "/api/notes", nil, "empty")
		b.expect("/api/notes", 401)
	})
	t.Run("unverified", func(t *testing.T) {
		const wanted = "/notes/2026/autumn%20list?page=2&q=a%2Fb+c"
		b := newBrowser(t, site)
		b.signIn("an.long", wanted)
		b.expect("/.contactgate/verify?", 200, "an****@example.com", "7 days left")
		b.submit("verify/send", nil)
		b.submit("verify/send", url.Values{"proof": {"wrong@example.com"}})
		b.expect("/.contactgate/verify/send", 422, "4 tries left")
		b.submit("verify/send", url.Values{"proof": {"an.long@example.com"}})
		b.expect("/.contactgate/verify/code", 200)
		b.submit("verify/code", url.Values{"code": {b.code("an.long@example.com")}})
		b.notNowApp()
		next := regexp.MustCompile(`href="(/notes[^"]*)"`).FindStringSubmatch(b.page)
		if next == nil || html.UnescapeString(next[1]) != wanted {
			t.Fatalf("the done page does not lead to %s:\n%s", wanted, b.page)
		}
		b.open(html.UnescapeString(next[1]))
		b.expect(wanted, 200, html.EscapeString("q=a%2Fb"))
		b.open("/")
		b.expect("/", 200, "Contactgate-Status</th><td>verified", "Contactgate-Email</th><td>an.long@example.com", "Cookie</th><td>demo_person=an.long</td>")
	})
	t.Run("not now, in Japanese", func(t *testing.T) {
		b := newBrowser(t, site)
		b.signIn("hanako.sato", "/notes/1")
		b.expect("/.contactgate/verify?", 200, `lang="ja"`, "ha****@example.jp", "残り2日")
		b.submit("verify/later", nil)
		b.expect("/notes/1", 200)
		b.open("/")
		b.expect("/", 200, "Contactgate-Status</th><td>due", "佐藤 花子")
	})
	t.Run("blocked", func(t *testing.T) {
		b := newBrowser(t, site)
		b.signIn("ben.ortiz", "/notes/2")
		b.expect("/.contactgate/verify?", 200, "be****@example.com")
		if strings.Contains(b.page, "verify/later") {
			t.Error("somebody whose time is over is offered to say not now")
		}
		b.ask(http.MethodGet, "/api/notes", nil, "empty")
		b.expect("/api/notes", 403, "urn:contactgate:verification-required")
		b.ask(http.MethodPost, "/notes", url.Values{"note": {"lost?"}}, "document")
		b.expect("/notes", 403, "not sent")
		b.open("/notes/2")
		b.confirm("ben.ortiz@example.com")
		b.open("/notes/2")
		b.expect("/notes/2", 200)
	})
	t.Run("nothing on file", func(t *testing.T) {
		b := newBrowser(t, site)
		b.signIn("deniz.kaya", "/")
		b.expect("/.contactgate/contacts/new?", 200)
		for channel, kind := range map[string]string{"sms": "Text message", "voice": "Call"} { // to a country that takes both
			b.open("/.contactgate/contacts/new?kind=phone")
			b.submit("contacts/new", url.Values{"kind": {"phone"}, "country": {"GB"}, "address": {"07400 123456"}, "channel": {channel}})
			b.expect("/.contactgate/verify/code", 200)
			b.submit("verify/code", url.Values{"code": {b.heard(kind, "+447400123456")}})
			if b.at == "/.contactgate/authenticator" {
				b.notNowApp()
			}
			b.expect("/.contactgate/done", 200)
		}
		b.open("/.contactgate/contacts/new")
		b.submit("contacts/new", url.Values{"kind": {"email"}, "address": {"deniz@example.org"}})
		b.expect("/.contactgate/verify/code", 200)
		b.submit("verify/code", url.Values{"code": {b.code("deniz@example.org")}})
		b.expect("/.contactgate/done", 200)
	})
	t.Run("a phone only, and calls only", func(t *testing.T) {
		b := newBrowser(t, site)
		b.signIn("haruto.tanaka", "/notes/4")
		b.expect("/.contactgate/verify?", 200, `lang="ja"`, "81 •• •••• ••34", `value="voice"`)
		if strings.Contains(b.page, `value="sms"`) {
			t.Error("a text is offered where only calls are made")
		}
		b.submit("verify/send", nil)
		b.submit("verify/send", url.Values{"proof": {"５６３４"}})
		b.expect("/.contactgate/verify/code", 200)
		b.submit("verify/code", url.Values{"code": {b.heard("Call", "+819012345634")}})
		b.notNowApp()
		b.open("/notes/4")
		b.expect("/notes/4", 200)
	})
	t.Run("confirmed", func(t *testing.T) {
		b := newBrowser(t, site)
		b.signIn("chloe.martin", "/notes/3")
		b.expect("/.contactgate/verify?", 200, "Confirm it is you on this browser")
		b.submit("verify/send", nil)
		b.submit("verify/send", url.Values{"proof": {"chloe.martin@example.com"}})
		b.submit("verify/code", url.Values{"code": {b.code("chloe.martin@example.com")}, "trust": {"on"}})
		b.notNowApp()
		b.open("/demo/sign-out")
		b.signIn("chloe.martin", "/notes/3")
		b.expect("/notes/3", 200)
		b.open("/demo/")
		if n := strings.Count(b.page, ">Confirmed<"); n != 5 {
			t.Errorf("%d people are shown as confirmed, want 5", n)
		}
		b.open("/demo/sign-out")
		b.expect("/demo/", 200)
	})
}

func TestDemoInFrontOfAnotherApp(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the app has "+r.Header.Get("Remote-User")+", "+r.Header.Get("Contactgate-Status"))
	}))
	defer app.Close()
	b := newBrowser(t, startDemo(t, app.URL))
	b.signIn("chloe.martin", "/x")
	b.confirm("chloe.martin@example.com")
	b.open("/x")
	b.expect("/x", 200, "the app has chloe.martin, verified")
}

func TestDemoRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct{ listen, to, want string }{
		{"0.0.0.0:8080", "", "other machines could reach it"},
		{":8080", "", "other machines could reach it"},
		{"[::]:8080", "", "other machines could reach it"},
		{"192.0.2.1:8080", "", "other machines could reach it"},
		{"8080", "", "--listen 127.0.0.1:8080"},
		{"example.com:80", "", "--listen 127.0.0.1:8080"},
		{busy.Addr().String(), "", "is in use by another program; choose another port, such as --listen 127.0.0.1:"},
		{"127.0.0.1:0", "localhost:3000", "http://localhost:3000"},
		{"127.0.0.1:0", "ftp://localhost", "http://localhost:3000"},
		{"127.0.0.1:0", "http://localhost:3000/app?x", "--to http://localhost:3000"},
		{"127.0.0.1:0", "http://{env.HOME}", "not the address of a web app"},
	} {
		d := &demonstration{Listen: c.listen, To: c.to, Out: io.Discard}
		if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--listen %q --to %q: %v; want it to say %q", c.listen, c.to, err, c.want)
		}
	}
}

// TestDemoStopsOnASignal runs the command in a process of its own, on a machine that is as fresh as can be.
func TestDemoStopsOnASignal(t *testing.T) {
	if os.Getenv("CONTACTGATE_DEMO") != "" {
		cmd := demoCommand()
		cmd.SetArgs([]string{"--listen", "127.0.0.1:0"})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		home, temp := t.TempDir(), t.TempDir()
		demo := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDemoStopsOnASignal$")
		demo.Env = []string{"CONTACTGATE_DEMO=1", "HOME=" + home, "TMPDIR=" + temp}
		var errs bytes.Buffer
		demo.Stderr = &errs
		out, err := demo.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := demo.Start(); err != nil {
			t.Fatal(err)
		}
		site := siteOf(out)
		if site == "" {
			t.Fatalf("the demo did not start: %v\n%s", demo.Wait(), &errs)
		}
		newBrowser(t, site).open("/")
		if err := demo.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := demo.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
		for _, folder := range []string{home, temp} {
			if left, _ := os.ReadDir(folder); len(left) > 0 {
				t.Errorf("%v: the demo left %v behind", signal, left)
			}
		}
		if errs.Len() > 0 {
			t.Errorf("%v: the demo complained: %s", signal, &errs)
		}
	}
}

func TestDemoConfigCanBeRead(t *testing.T) {
	var out bytes.Buffer
	if err := (&demonstration{Listen: "127.0.0.1:8080", Out: &out}).printConfig(); err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(out.Bytes()); !bytes.Equal(formatted, out.Bytes()) {
		t.Errorf("the demo's Caddyfile is not formatted; it should be\n%s", formatted)
	}
}
