package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// attacks.md, group C: methods, protocols, bodies. Its C01 to C04 and C13 are rows of the decision table.

func TestC02RefusalsAreNotReadableByOtherOrigins(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, origin := range []string{"https://evil.example", "null", "https://app.example"} {
		a := bob.Fetch("GET", "/app", "Origin", origin, "Sec-Fetch-Site", "cross-site")
		bob.wantProblem(origin, a)
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("E09 %s: %s: %s", origin, name, a.Header.Get(name))
			}
		}
		pre := bob.Bare("OPTIONS", "/.contactgate/status", "Origin", origin, "Access-Control-Request-Method", "GET", "Cookie", "-")
		if pre.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("E09 %s: a preflight of our pages is allowed", origin)
		}
	}
}

func TestC06MethodsAreNotOverridden(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "app.example", "ann")
	page := p.AskCode(p.Email)
	mails := len(r.Mails(p.Email))
	for _, route := range []string{"verify/send", "verify/resend", "verify/later", "language", "contacts/confirm", "contacts/remove", "contacts/primary", "devices/revoke"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			a := p.Fetch(method, "/.contactgate/"+route+"?_method=POST", "X-HTTP-Method-Override", "POST", "X-Method-Override", "POST", "X-HTTP-Method", "POST")
			wantStatus(t, method+" "+route, a, http.StatusMethodNotAllowed)
			if a.Header.Get("Allow") != "POST" {
				t.Errorf("%s %s: Allow: %q", method, route, a.Header.Get("Allow"))
			}
		}
		wantStatus(t, "opened "+route, p.Open("/.contactgate/"+route), http.StatusMethodNotAllowed)
	}
	for _, route := range []string{"", "verify", "done", "status"} {
		a := p.Post("/.contactgate/"+route, url.Values{"_method": {"GET"}}, "X-HTTP-Method-Override", "GET")
		wantStatus(t, "POST "+route, a, http.StatusMethodNotAllowed)
		if a.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: Allow: %q", route, a.Header.Get("Allow"))
		}
	}
	for range 10 {
		wantStatus(t, "a code in the query", p.Open("/.contactgate/verify/code?code=000000&csrf=x"), http.StatusOK)
	}
	a := p.Submit(page, "verify/code", "code", otherCode(r.WaitMail(t, p.Email, 1).Code()))
	if !strings.Contains(a.Text(), "4 tries left") {
		t.Errorf("GET counted a try: %s", a.Text())
	}
	if got := len(r.Mails(p.Email)); got != mails {
		t.Errorf("%d mails were sent by GET", got-mails)
	}
	if n := len(r.Audit(t, p.User, "later")); n > 0 {
		t.Error("GET said \"not now\"")
	}
}

func TestC07SocketsOfTheBlockedAreRefused(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	cyd := newPerson(t, r, "late.example", "cyd").Verify()
	overdue(bob)
	for name, lines := range map[string][]string{
		"WebSocket":            {"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="},
		"WebSocket of a page":  {"Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-Fetch-Dest: websocket", "Sec-Fetch-Mode: websocket"},
		"WebSocket, disguised": {"Connection: Upgrade", "Upgrade: websocket", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate"},
		"C09 h2c":              {"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		"odd upgrade":          {"Connection: Upgrade", "Upgrade: foo/2"},
	} {
		a := r.raw(t, "late.example", bob.get("HOST", "/socket", lines...))
		if a.StatusCode != http.StatusForbidden || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
		bob.wantUnseen(name)
	}
	// The same for somebody who may: the tunnel opens, so the refusal above is the gate's.
	a := r.raw(t, "late.example", cyd.NewCase().get("HOST", "/socket", "Connection: Upgrade", "Upgrade: websocket"))
	if a.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("verified: %d", a.StatusCode)
	}
	// RFC 8441, over HTTP/2.
	if status := extendedConnect(t, r, "late.example", bob); status != "403" && status != "400" && status != "reset" {
		t.Errorf("extended CONNECT: %s", status)
	}
	bob.wantUnseen("extended CONNECT")
}

// extendedConnect opens a WebSocket over HTTP/2, which no client library does, and gives the status.
func extendedConnect(t *testing.T, r *rig, host string, p *person) string {
	t.Helper()
	c := r.dial(t, host, "h2")
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/socket"}, {":authority", host + ":" + r.port},
		{"sec-websocket-version", "13"}, {"cookie", "sess=" + p.User}, {strings.ToLower(caseHeader), p.Case}, {"origin", p.Origin}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "reset"
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		}
	}
}

func TestC08OpenSocketsAreNotCutNewOnesAreDecided(t *testing.T) {
	t.Parallel()
	r := shared(t)
	p := newPerson(t, r, "soon.example", "ann")
	c := r.dial(t, "soon.example", "http/1.1")
	_, _ = io.WriteString(c, p.get("soon.example:"+r.port, "/socket", "Connection: Upgrade", "Upgrade: websocket"))
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("in grace: %v %v", resp, err)
	}
	stream := r.dial(t, "soon.example", "http/1.1")
	_, _ = io.WriteString(stream, p.get("soon.example:"+r.port, "/stream"))
	events, err := http.ReadResponse(bufio.NewReader(stream), nil)
	if err != nil || events.StatusCode != http.StatusOK {
		// The stream is opened like a page here, so it may be the page that is asked about: then another one is not.
		stream = r.dial(t, "soon.example", "http/1.1")
		_, _ = io.WriteString(stream, strings.Replace(p.get("soon.example:"+r.port, "/stream"), "text/html", "text/event-stream", 1))
		if events, err = http.ReadResponse(bufio.NewReader(stream), nil); err != nil || events.StatusCode != http.StatusOK {
			t.Fatalf("a stream in grace: %v %v", events, err)
		}
	}
	p.Visit("/.contactgate/verify")
	soonOverdue()
	p.NewCase()
	p.wantProblem("overdue by now", p.Fetch("GET", "/x"))
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 5)
	if _, err := io.ReadFull(in, echo); err != nil || string(echo) != "hello" {
		t.Errorf("the open socket: %q %v", echo, err)
	}
	if _, err := io.ReadFull(events.Body, make([]byte, 200)); err != nil {
		t.Errorf("the open stream: %v", err)
	}
	a := r.raw(t, "soon.example", p.get("HOST", "/socket", "Connection: Upgrade", "Upgrade: websocket"))
	wantStatus(t, "a new socket", a, http.StatusForbidden)
	a = r.raw(t, "soon.example", strings.Replace(p.get("HOST", "/stream"), "text/html", "text/event-stream", 1))
	wantStatus(t, "a new stream", a, http.StatusForbidden)
	p.wantUnseen("new ones")
}

func TestC11ConditionsAndRangesGetTheWholeAnswer(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	for _, h := range [][2]string{{"If-None-Match", "*"}, {"If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT"}, {"Range", "bytes=0-1"}, {"If-Match", "*"}, {"If-Unmodified-Since", "Fri, 01 Jan 1999 00:00:00 GMT"}} {
		bob.wantPage(h[0], bob.Open("/app", h[0], h[1]))
		bob.wantProblem(h[0], bob.Fetch("GET", "/app", h[0], h[1]))
		wantStatus(t, h[0]+" our page", bob.Open("/.contactgate/verify", h[0], h[1]), http.StatusOK)
	}
	// N02: what looks like a file is no file.
	for _, to := range []string{"/app/logo.png", "/app/x.js", "/app/account.php/nonexistent.css", "/.contactgate/verify/x.css"} {
		a := bob.Bare("GET", to)
		if a.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("N02 %s: %d %v", to, a.StatusCode, a.Header)
		}
	}
}

func TestC12LargeAndSlowBodiesAreNotReadForNothing(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	var slow sync.WaitGroup
	for name, lines := range map[string]string{
		"1 GB announced":  "Content-Length: 1073741824\r\nExpect: 100-continue\r\n\r\n",
		"1 GB, no expect": "Content-Length: 1073741824\r\n\r\n",
		"chunked, slow":   "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
		"short, slow":     "Content-Length: 1000\r\n\r\na=",
	} {
		for _, to := range []string{"/app", "/.contactgate/verify/code", "/.contactgate/contacts/new", "/.contactgate/unknown", "/.contactgate/done"} {
			slow.Go(func() {
				c := r.dial(t, "late.example", "http/1.1")
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				began := time.Now()
				_, _ = io.WriteString(c, "POST "+to+" HTTP/1.1\r\nHost: late.example:"+r.port+"\r\nOrigin: https://late.example:"+r.port+"\r\nContent-Type: application/x-www-form-urlencoded\r\nCookie: sess="+bob.User+"\r\n"+caseHeader+": "+bob.Case+"\r\n"+lines)
				in := bufio.NewReader(c)
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Errorf("%s %s: no answer: %v", name, to, err)
					return
				}
				if resp.StatusCode < 400 || resp.StatusCode > 499 {
					t.Errorf("%s %s: %d", name, to, resp.StatusCode)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("%s %s: answered after %s", name, to, took)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				if _, err := in.ReadByte(); err != io.EOF && !strings.Contains(fmt.Sprint(err), "reset") {
					t.Errorf("%s %s: the connection stays open: %v", name, to, err)
				}
			})
		}
	}
	slow.Wait()
	bob.wantUnseen("C12")
	// E06: a form of more than 64 KiB.
	a := bob.Post("/.contactgate/contacts/new", url.Values{"address": {strings.Repeat("a", 70<<10)}})
	wantStatus(t, "E06: 70 KiB", a, http.StatusRequestEntityTooLarge)
}

func TestC14ManyTabsMakeOneCookie(t *testing.T) {
	t.Parallel()
	r := shared(t)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	var tabs sync.WaitGroup
	for range 50 {
		tabs.Go(func() {
			a, err := bob.try(navigation(bob.Request("GET", "/app/tab", nil)))
			if err != nil || a.StatusCode != http.StatusSeeOther || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("a tab: %v %v", a, err)
				return
			}
			to, _ := a.Location()
			if a, err = bob.try(navigation(bob.Request("GET", to.String(), nil))); err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("a tab's page: %v %v", a, err)
			}
		})
	}
	tabs.Wait()
	cookies, size := bob.Cookies(), 0
	for name, value := range cookies {
		if name != "sess" {
			size += len(name) + len(value)
		}
	}
	if len(cookies) != 2 || size > 1024 {
		t.Errorf("I01: %d cookies of %d bytes: %v", len(cookies)-1, size, cookies)
	}
	// With the cookie, no more are set.
	a := bob.Open("/.contactgate/verify")
	if a.Header.Get("Set-Cookie") != "" {
		t.Error("a cookie for every request")
	}
}

func TestC15LargeUploadsPassByteForByte(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	p := newPerson(t, r, "app.example", "cyd").Verify()
	p.NewCase()
	const size = 200 << 20
	p.Fetch("POST", "/warm")
	p.NewCase()
	before := rss(t, r)
	most := before
	hash := sha256.New()
	body := &counted{left: size, hash: hash.Write, look: func() { most = max(most, rss(t, r)) }}
	req := p.Request("POST", "/upload?x=1", body)
	req.ContentLength = -1
	req.Trailer = http.Header{"X-Checksum": nil}
	body.done = func() { req.Trailer.Set("X-Checksum", "yes") }
	p.client.Timeout = 2 * time.Minute
	got := p.wantPass("upload", p.Do(req))
	if got.BodySize != size || got.BodyHash != hex.EncodeToString(hash.Sum(nil)) || got.Trailer.Get("X-Checksum") != "yes" {
		t.Errorf("the app got %d bytes, trailer %v", got.BodySize, got.Trailer)
	}
	allowed := 20 << 20
	if strings.HasSuffix(os.Getenv("CONTACTGATE_BINARY"), "-race") {
		allowed *= 4 // the race detector remembers what it has seen; still far from the size of the body
	}
	if grown := most - before; grown > allowed {
		t.Errorf("the gate grew by %d MB", grown>>20)
	}
}

// counted is a body of so many bytes.
type counted struct {
	left int
	n    int
	hash func([]byte) (int, error)
	look func()
	done func()
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.done()
		return 0, io.EOF
	}
	n := min(len(p), c.left)
	n = copy(p[:n], pattern[c.n%251:])
	_, _ = c.hash(p[:n])
	if c.left>>23 != (c.left-n)>>23 {
		c.look()
	}
	c.left, c.n = c.left-n, c.n+n
	return n, nil
}

var pattern = bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz?"), 2000)

// rss is how much memory the gate holds.
func rss(t *testing.T, r *rig) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(kb)[0])
			return n << 10
		}
	}
	return 0
}
