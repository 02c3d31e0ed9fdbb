package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
)

// person is somebody with a browser: a cookie jar, the headers that browsers send, and forms that are posted as browsers
// post them. Redirects are followed only by those methods that say so.
type person struct {
	t    *testing.T
	rig  *rig
	User string
	// Email is what the sign-in says; empty: none.
	Email string
	// Case is how the app knows this person's requests.
	Case   string
	Lang   string
	Origin string // https://app.example:PORT
	// local is the address that the browser comes from; nil: any.
	local  net.Addr
	jar    *cookiejar.Jar
	client *http.Client
	extra  http.Header
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	Body string
}

// newPerson makes somebody who is signed in and whom nobody knows yet, with an address that the sign-in names.
func newPerson(t *testing.T, r *rig, host, stem string) *person {
	t.Helper()
	user := unique(stem)
	return asPerson(t, r, host, user, user+".long@example.com")
}

// nobodyYet makes a browser without a sign-in.
func nobodyYet(t *testing.T, r *rig, host string) *person {
	t.Helper()
	p := browserFor(t, r, host)
	p.Case = unique("nobody")
	return p
}

// asPerson makes a browser of a given user; the sign-in says user and email. Two browsers of one user: call it twice.
func asPerson(t *testing.T, r *rig, host, user, email string, groups ...string) *person {
	t.Helper()
	r.Auth.Say(user, signedIn(user, email, groups...))
	if email != "" {
		r.oracle.secret("address", email)
	}
	p := browserFor(t, r, host)
	p.User, p.Email, p.Case = user, email, unique(user)
	p.SetCookie("sess", user)
	return p
}

func browserFor(t *testing.T, r *rig, host string) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, rig: r, Lang: "en-US,en;q=0.9", jar: jar, extra: http.Header{}}
	p.At(host)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: r.roots},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{LocalAddr: p.local}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{
		Transport: watched{transport, t, r}, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p
}

// At moves the browser to another site of the rig: a host name, or a whole origin.
func (p *person) At(host string) *person {
	p.Origin = host
	if !strings.Contains(host, "://") {
		p.Origin = "https://" + host + ":" + p.rig.port
	}
	if p.User != "" {
		p.SetCookie("sess", p.User)
	}
	return p
}

func (p *person) SetCookie(name, value string) {
	u, _ := url.Parse(p.Origin)
	p.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// Cookies are what the browser would send to the site.
func (p *person) Cookies() map[string]string {
	u, _ := url.Parse(p.Origin + "/")
	all := map[string]string{}
	for _, c := range p.jar.Cookies(u) {
		all[c.Name] = c.Value
	}
	return all
}

// ForgetCookies is a browser that lost them; the sign-in stays.
func (p *person) ForgetCookies() {
	p.jar, _ = cookiejar.New(nil)
	p.client.Jar = p.jar
	if p.User != "" {
		p.SetCookie("sess", p.User)
	}
}

// AnotherBrowser is the same user with empty cookies, at the same site.
func (p *person) AnotherBrowser() *person {
	p.t.Helper()
	return asPerson(p.t, p.rig, p.Origin, p.User, p.Email)
}

// With adds a header to every request from now on; empty takes it away.
func (p *person) With(name, value string) *person {
	if value == "" {
		p.extra.Del(name)
	} else {
		p.extra.Set(name, value)
	}
	return p
}

const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

// Request makes a request to this site with nothing but what every request of the browser has.
func (p *person) Request(method, target string, body io.Reader) *http.Request {
	p.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.Origin + target
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("User-Agent", chrome)
	req.Header.Set("Accept-Language", p.Lang)
	req.Header.Set(caseHeader, p.Case)
	for name, values := range p.extra {
		req.Header[name] = values
	}
	return req
}

// Do sends a request and reads the answer. Headers whose value is "-" are taken out.
func (p *person) Do(req *http.Request) *answer {
	p.t.Helper()
	a, err := p.try(req)
	if err != nil && req.Method == http.MethodGet && !os.IsTimeout(err) {
		a, err = p.try(req) // a reload resets connections that wait at the old listener; browsers try again, too
	}
	if err != nil {
		p.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return a
}

func (p *person) try(req *http.Request) (*answer, error) {
	for name, values := range req.Header {
		if len(values) == 1 && values[0] == "-" {
			delete(req.Header, name)
		}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &answer{Response: resp, Body: string(body)}, err
}

func navigation(req *http.Request) *http.Request {
	for name, value := range map[string]string{
		"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Upgrade-Insecure-Requests": "1",
		"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1",
	} {
		if req.Header.Get(name) == "" {
			req.Header.Set(name, value)
		}
	}
	return req
}

// Open types an address into the address bar. Redirects are not followed.
func (p *person) Open(target string, header ...string) *answer {
	p.t.Helper()
	return p.Do(navigation(withHeader(p.Request(http.MethodGet, target, nil), header)))
}

// Fetch is a script's fetch().
func (p *person) Fetch(method, target string, header ...string) *answer {
	p.t.Helper()
	req := p.Request(method, target, nil)
	for name, value := range map[string]string{"Accept": "*/*", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"} {
		req.Header.Set(name, value)
	}
	if method != http.MethodGet && method != http.MethodHead {
		req.Header.Set("Origin", p.Origin)
	}
	return p.Do(withHeader(req, header))
}

// Bare is a request of a program that is no browser: only the headers that are given.
func (p *person) Bare(method, target string, header ...string) *answer {
	p.t.Helper()
	return p.Do(withHeader(p.Request(method, target, nil), header))
}

func withHeader(req *http.Request, pairs []string) *http.Request {
	for i := 0; i+1 < len(pairs); i += 2 {
		req.Header[http.CanonicalHeaderKey(pairs[i])] = []string{pairs[i+1]}
	}
	return req
}

// Follow goes where an answer leads, as a browser does: with GET.
func (p *person) Follow(a *answer) *answer {
	p.t.Helper()
	for range 10 {
		if a.StatusCode < 300 || a.StatusCode > 399 {
			return a
		}
		next, err := a.Location()
		if err != nil {
			p.t.Fatalf("%d without a good Location: %v", a.StatusCode, err)
		}
		a = p.Open(next.String(), "Sec-Fetch-Site", "same-origin")
	}
	p.t.Fatalf("more than 10 redirects; the last was to %s", a.Header.Get("Location"))
	return nil
}

// Visit opens a page and follows redirects.
func (p *person) Visit(target string) *answer {
	p.t.Helper()
	return p.Follow(p.Open(target))
}

// form is a form of a page.
type form struct {
	Action string
	Fields url.Values
}

// forms finds the forms of a page with what is in their fields, buttons apart.
func (a *answer) forms() []form {
	doc, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		return nil
	}
	var all []form
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		f := form{Action: attr(n, "action"), Fields: url.Values{}}
		for in := range n.Descendants() {
			ticked := attr(in, "type") != "checkbox" && attr(in, "type") != "radio" || has(in, "checked")
			switch {
			case in.Type != html.ElementNode:
			case in.Data == "input" && attr(in, "name") != "" && ticked:
				f.Fields.Set(attr(in, "name"), attr(in, "value"))
			case in.Data == "option" && has(in, "selected"):
				f.Fields.Set(attr(in.Parent, "name"), attr(in, "value"))
			}
		}
		all = append(all, f)
	}
	return all
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Form finds the nth form (from 0) of a page whose action ends so.
func (a *answer) Form(action string, nth int) (form, bool) {
	for _, f := range a.forms() {
		if strings.HasSuffix(f.Action, action) {
			if nth == 0 {
				return f, true
			}
			nth--
		}
	}
	return form{}, false
}

// Text is what a page says, without its tags.
func (a *answer) Text() string {
	doc, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		return a.Body
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "script" {
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Submit fills in a form of a page and posts it. The answer's redirect is not followed. fields are name, value, …
func (p *person) Submit(page *answer, action string, fields ...string) *answer {
	p.t.Helper()
	f, ok := page.Form(action, 0)
	if !ok {
		p.t.Fatalf("no form %s on this page (%d): %s", action, page.StatusCode, page.Text())
	}
	for i := 0; i+1 < len(fields); i += 2 {
		f.Fields.Set(fields[i], fields[i+1])
	}
	return p.Post(f.Action, f.Fields)
}

// Post posts a form of this site as a browser does.
func (p *person) Post(action string, fields url.Values, header ...string) *answer {
	p.t.Helper()
	return p.Do(p.formRequest(action, fields, header...))
}

func (p *person) formRequest(action string, fields url.Values, header ...string) *http.Request {
	p.t.Helper()
	req := p.Request(http.MethodPost, action, strings.NewReader(fields.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.Origin)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return navigation(withHeader(req, header))
}

// Seen are this person's requests at the app.
func (p *person) Seen() []received { return p.rig.App.Seen(p.Case) }

// NewCase starts counting the app's requests anew.
func (p *person) NewCase() *person {
	p.Case = unique(p.Case)
	return p
}

// Mails are the messages to an address, oldest first.
func (r *rig) Mails(address string) []smtptest.Message {
	var found []smtptest.Message
	for _, m := range r.Mail.Messages() {
		for _, to := range m.Rcpts {
			if strings.EqualFold(to, address) {
				found = append(found, m)
			}
		}
	}
	return found
}

// WaitMail waits for the nth message (from 1) to an address.
func (r *rig) WaitMail(t *testing.T, address string, n int) smtptest.Message {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := r.Mails(address); len(found) >= n {
			r.oracle.secret("code", found[n-1].Code())
			return found[n-1]
		}
	}
	t.Fatalf("no %d messages to %s", n, address)
	return smtptest.Message{}
}

// AskCode walks steps 1 and 2 for the person's first contact and returns the page for the code. typed is the proof.
func (p *person) AskCode(typed string) *answer {
	p.t.Helper()
	prove := p.Submit(p.Visit("/.contactgate/verify"), "verify/send")
	mustStatus(p.t, prove, http.StatusOK)
	sent := p.Submit(prove, "verify/send", "proof", typed)
	mustStatus(p.t, sent, http.StatusSeeOther)
	return p.Follow(sent)
}

// Verify confirms the person's own address, from wherever they are.
func (p *person) Verify() *person {
	p.t.Helper()
	before := len(p.rig.Mails(p.Email))
	page := p.AskCode(p.Email)
	code := p.rig.WaitMail(p.t, p.Email, before+1).Code()
	done := p.Submit(page, "verify/code", "code", code)
	mustStatus(p.t, done, http.StatusSeeOther)
	if page := p.Follow(done); page.StatusCode != http.StatusOK {
		p.t.Fatalf("after the right code: %d %s", page.StatusCode, page.Text())
	}
	return p
}

// Overdue makes everybody given overdue at the sites with a grace of 1 s: they are shown the page there, and the second
// passes. At sites with a longer grace they stay due.
func overdue(people ...*person) {
	for _, p := range people {
		p.t.Helper()
		was := p.Origin
		if strings.Contains(was, "app.example") {
			p.At("late.example")
		}
		mustStatus(p.t, p.Open("/"), http.StatusSeeOther)
		p.Origin = was
		p.NewCase()
	}
	time.Sleep(1050 * time.Millisecond)
}

// soonOverdue waits until whoever has been shown a page at soon.example, or has been there for a second, is overdue.
func soonOverdue() { time.Sleep(6100 * time.Millisecond) }

func mustStatus(t *testing.T, a *answer, want int) {
	t.Helper()
	if a.StatusCode != want {
		t.Fatalf("%s %s: %d instead of %d (Location %q): %.300s", a.Request.Method, a.Request.URL, a.StatusCode, want, a.Header.Get("Location"), a.Text())
	}
}

// wantStatus is mustStatus that lets the test go on.
func wantStatus(t *testing.T, what string, a *answer, want int) bool {
	t.Helper()
	if a.StatusCode != want {
		t.Errorf("%s: %d instead of %d (Location %q): %.300s", what, a.StatusCode, want, a.Header.Get("Location"), a.Text())
		return false
	}
	return true
}

// wantPass: exactly one request reached the app, and the answer is the app's.
func (p *person) wantPass(what string, a *answer) received {
	p.t.Helper()
	seen := p.Seen()
	if a.Header.Get("X-App") != "echo" || len(seen) != 1 {
		p.t.Errorf("%s: want it to pass; %d (Location %q), %d requests at the app: %.200s", what, a.StatusCode, a.Header.Get("Location"), len(seen), a.Text())
		return received{}
	}
	for name := range seen[0].Header {
		if strings.HasPrefix(strings.ToLower(name), "contactgate") && name != "Contactgate-Status" && name != "Contactgate-Deadline" && name != "Contactgate-Email" && name != "Contactgate-Phone" {
			p.t.Errorf("%s: the app got a header %s", what, name)
		}
	}
	if cookies := strings.Join(seen[0].Header["Cookie"], "; "); strings.Contains(cookies, "contactgate") {
		p.t.Errorf("%s: the app got a cookie of ours: %s", what, cookies)
	}
	p.NewCase()
	return seen[0]
}

// wantPage: a page being opened is answered with a redirect to our page, and the app saw nothing.
func (p *person) wantPage(what string, a *answer) {
	p.t.Helper()
	target := a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(target, "/.contactgate/verify") || a.Header.Get("Cache-Control") != "no-store" {
		p.t.Errorf("%s: want 303 to verify, no-store; got %d, Location %q, %q: %.200s", what, a.StatusCode, target, a.Header.Get("Cache-Control"), a.Text())
	}
	p.wantUnseen(what)
}

// wantProblem: a program is refused in its own words, and the app saw nothing.
func (p *person) wantProblem(what string, a *answer) {
	p.t.Helper()
	if a.StatusCode != http.StatusForbidden || a.Header.Get("Content-Type") != "application/problem+json" ||
		a.Header.Get("Location") != "" || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Contactgate") != "required" {
		p.t.Errorf("%s: want 403 problem+json; got %d %v: %.200s", what, a.StatusCode, a.Header, a.Body)
	}
	p.wantUnseen(what)
}

// wantGated: GATED in either form, or a refusal as a bad request.
func (p *person) wantGated(what string, a *answer) {
	p.t.Helper()
	switch {
	case a.StatusCode == http.StatusSeeOther && strings.HasPrefix(a.Header.Get("Location"), "/.contactgate/verify"):
	case a.StatusCode >= 400 && a.StatusCode < 500 && a.Header.Get("Location") == "":
	default:
		p.t.Errorf("%s: want it gated; got %d, Location %q: %.200s", what, a.StatusCode, a.Header.Get("Location"), a.Body)
	}
	if a.Header.Get("X-App") != "" {
		p.t.Errorf("%s: the app answered", what)
	}
	p.wantUnseen(what)
}

func (p *person) wantUnseen(what string) {
	p.t.Helper()
	if seen := p.Seen(); len(seen) > 0 {
		p.t.Errorf("%s: the app saw %d requests, the first: %s %s", what, len(seen), seen[0].Method, seen[0].Target)
		p.NewCase()
	}
}

func tick() <-chan time.Time { return time.After(50 * time.Millisecond) }

// continueLink is where the page of step 5 leads.
func continueLink(page *answer) string {
	doc, err := html.Parse(strings.NewReader(page.Body))
	if err != nil {
		return ""
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "a" && attr(n, "class") == "button" {
			return attr(n, "href")
		}
	}
	return ""
}

// sealed: a file is for its owner alone, and none of these can be read in it.
func sealed(t *testing.T, file string, secrets ...string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %s", file, info.Mode())
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if bytes.Contains(bytes.ToLower(raw), []byte(strings.ToLower(s))) {
			t.Errorf("%s holds %q", file, s)
		}
	}
}
