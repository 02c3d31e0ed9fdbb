package delivery_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/delivery/smtptest"
	"github.com/contactgate/contactgate/internal/testbed"
)

const (
	theirNumber = "+819012345678"
	theSecret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	theToken    = "t0ken-of-the-gateway"
)

func textMessage() delivery.Message {
	return delivery.Message{
		ID: "acct-1_7", Channel: "sms", To: theirNumber, Language: "ja", Code: theCode,
		Text: "確認コード: " + theCode + "(Example)\n\n@app.example.com #" + theCode,
	}
}

// gateway is a provider in this process. answer is what it does with a request that it has read.
type gateway struct {
	*httptest.Server
	mu    sync.Mutex
	heads []http.Header
	texts [][]byte
}

func startGateway(t *testing.T, answer http.HandlerFunc) *gateway {
	t.Helper()
	g := &gateway{}
	g.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		g.heads, g.texts = append(g.heads, r.Header.Clone()), append(g.texts, text)
		g.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(func() { g.CloseClientConnections(); g.Close() })
	return g
}

func (g *gateway) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(g.Certificate())
	return pool
}

func (g *gateway) requests() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.texts)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func httpSender(t *testing.T, g *gateway, changes ...func(*delivery.HTTPConfig)) *delivery.HTTP {
	t.Helper()
	cfg := delivery.HTTPConfig{
		URL: g.URL + "/send?key=" + theToken, RootCAs: g.roots(), Timeout: 5 * time.Second, Secret: theSecret,
		Header: http.Header{"Authorization": {"Bearer " + theToken}},
	}
	for _, change := range changes {
		change(&cfg)
	}
	s, err := delivery.NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hang waits until the client has gone, and answers nothing: who hung up may still read an answer that comes at once.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); panic(http.ErrAbortHandler) }

// wantKind checks the kind of an error, and that nothing of the message or the login is in it.
func wantKind(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) || kind == nil && err != nil {
		t.Errorf("%s: got %v, want kind %v", what, err, kind)
	}
	for _, special := range []error{delivery.ErrBrokenOff, delivery.ErrOutOfOrder} {
		if errors.Is(err, special) && !errors.Is(kind, special) {
			t.Errorf("%s: more than %v: %v", what, kind, err)
		}
	}
	if err == nil {
		return
	}
	for _, secret := range []string{theirNumber, "12345678", theCode, theToken, "whsec_", "send", "key=", "told to say so"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells %q: %v", what, secret, err)
		}
	}
}

func TestGatewayGetsASignedRequest(t *testing.T) {
	g := startGateway(t, status(http.StatusAccepted))
	now := time.Now().Add(time.Minute)
	s := httpSender(t, g, func(c *delivery.HTTPConfig) { c.Now = func() time.Time { return now } })
	m := textMessage()
	for range 2 { // an attempt, and the one after a lost answer
		wantKind(t, "taken", s.Send(t.Context(), m), nil)
	}
	signed, err := standardwebhooks.NewWebhook(theSecret)
	if err != nil {
		t.Fatal(err)
	}
	for i, head := range g.heads {
		if head.Get("Idempotency-Key") != m.ID || head.Get("webhook-id") != m.ID || head.Get("webhook-timestamp") != fmt.Sprint(now.Unix()) {
			t.Errorf("attempt %d: %v", i, head)
		}
		if err := signed.Verify(g.texts[i], head); err != nil {
			t.Errorf("attempt %d: %v", i, err)
		}
		if head.Get("Authorization") != "Bearer "+theToken || head.Get("Content-Type") != "application/json" {
			t.Errorf("attempt %d: %v", i, head)
		}
	}
	var got map[string]string
	if err := json.Unmarshal(g.texts[0], &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"id": m.ID, "channel": "sms", "to": theirNumber, "language": "ja", "text": m.Text, "code": theCode}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	unsigned := httpSender(t, g, func(c *delivery.HTTPConfig) { c.Secret = "" })
	wantKind(t, "unsigned", unsigned.Send(t.Context(), m), nil)
	if head := g.heads[2]; head.Get("webhook-signature") != "" || head.Get("Idempotency-Key") != m.ID {
		t.Errorf("unsigned: %v", head)
	}
}

func TestStatusesKeepTheirMeaning(t *testing.T) {
	for code, kind := range map[int]error{
		200: nil, 201: nil, 202: nil, 204: nil,
		400: delivery.ErrRefused, 422: delivery.ErrRefused, 451: delivery.ErrRefused,
		429: delivery.ErrTryLater, 409: delivery.ErrTryLater, 425: delivery.ErrTryLater,
		401: delivery.ErrOutOfOrder, 402: delivery.ErrOutOfOrder, 403: delivery.ErrOutOfOrder, 404: delivery.ErrOutOfOrder, 405: delivery.ErrOutOfOrder,
		300: delivery.ErrOutOfOrder, 304: delivery.ErrOutOfOrder,
		500: delivery.ErrOutOfOrder, 502: delivery.ErrOutOfOrder, 503: delivery.ErrOutOfOrder, 504: delivery.ErrOutOfOrder,
	} {
		g := startGateway(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(code)
			if code != 204 && code != 304 {
				_, _ = io.WriteString(w, "told to say so: "+theirNumber+" "+theCode)
			}
		})
		wantKind(t, fmt.Sprint(code), httpSender(t, g).Send(t.Context(), textMessage()), kind)
		if n := g.requests(); n != 1 {
			t.Errorf("%d: %d requests", code, n)
		}
		if errors.Is(kind, delivery.ErrOutOfOrder) && !errors.Is(kind, delivery.ErrUnreachable) {
			t.Error("it is no outage")
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := startGateway(t, status(200))
	for _, code := range []int{301, 302, 303, 307, 308} {
		g := startGateway(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/elsewhere", code) })
		wantKind(t, fmt.Sprint(code), httpSender(t, g).Send(t.Context(), textMessage()), delivery.ErrOutOfOrder)
	}
	if n := other.requests(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// A lost answer after the whole request may be a message that was sent.
func TestLostAnswersAreUnknown(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"hang":  hang,
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"garbage": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "\x00\xff told to say so\r\n\r\n")
			_ = conn.Close()
		},
		"endless header": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for range 100 {
				if _, err := io.WriteString(conn, "X-A: "+strings.Repeat("a", 4000)+"\r\n"); err != nil {
					break
				}
			}
			_ = conn.Close()
		},
	} {
		g := startGateway(t, answer)
		s := httpSender(t, g, func(c *delivery.HTTPConfig) { c.Timeout = 2 * time.Second })
		began := time.Now()
		wantKind(t, name, s.Send(t.Context(), textMessage()), delivery.ErrUnknown)
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if n := g.requests(); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

func TestSlowAndLongAnswersCount(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"slow": func(w http.ResponseWriter, _ *http.Request) { time.Sleep(150 * time.Millisecond); w.WriteHeader(200) },
		"long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, io.LimitReader(zeroes{}, 8<<20))
		},
		"cut off after the status": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		wantKind(t, name, httpSender(t, startGateway(t, answer)).Send(t.Context(), textMessage()), nil)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// Before the request was written nothing can have been taken.
func TestNothingIsHandedOverWithoutAGoodConnection(t *testing.T) {
	g := startGateway(t, status(200))
	gone, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	resets := listen(t, func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() })
	silent := listen(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	plain := httptest.NewServer(status(200))
	t.Cleanup(plain.Close)
	elsewhere := selfSigned(t, "elsewhere.example")
	for name, c := range map[string]struct {
		url   string
		roots *x509.CertPool
		says  string
	}{
		"nobody listens":       {"https://127.0.0.1:" + gone, g.roots(), "nobody listens there"},
		"reset after accept":   {"https://" + resets, g.roots(), "the connection was lost"},
		"silent after accept":  {"https://" + silent, g.roots(), "no answer in time"},
		"plain HTTP there":     {strings.Replace(plain.URL, "http:", "https:", 1), g.roots(), "does not speak TLS"},
		"unknown authority":    {g.URL, x509.NewCertPool(), "not trusted here"},
		"another name":         {elsewhere.URL, elsewhere.roots(), "another name"},
		"a name of no address": {"https://no-such-host.invalid", g.roots(), "connect"},
	} {
		s := httpSender(t, g, func(cfg *delivery.HTTPConfig) { cfg.URL, cfg.RootCAs = c.url, c.roots })
		began := time.Now()
		err := s.Send(t.Context(), textMessage())
		wantKind(t, name, err, delivery.ErrUnreachable)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("%s: the person hears after %s", name, took)
		}
		if err := s.Check(t.Context()); !errors.Is(err, delivery.ErrUnreachable) {
			t.Errorf("%s: Check: %v", name, err)
		}
	}
	if n := g.requests() + elsewhere.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if err := httpSender(t, g).Check(t.Context()); err != nil || g.requests() != 0 {
		t.Errorf("Check of a good one: %v, %d requests", err, g.requests())
	}
}

func listen(t *testing.T, serve func(*net.TCPConn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return l.Addr().String()
}

// selfSigned is a gateway whose certificate is for another name.
func selfSigned(t *testing.T, name string) *gateway {
	t.Helper()
	cert, err := smtptest.SelfSigned(name)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Server: httptest.NewUnstartedServer(status(200))}
	g.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	g.StartTLS()
	t.Cleanup(g.Close)
	return g
}

func TestMessageThatHasEndedIsNotSent(t *testing.T) {
	g := startGateway(t, status(200))
	m := textMessage()
	m.Ends = time.Now()
	wantKind(t, "ended", httpSender(t, g).Send(t.Context(), m), delivery.ErrUnreachable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, "cancelled", httpSender(t, g).Send(ctx, textMessage()), delivery.ErrUnreachable)
	if n := g.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestGatewayTakesNumbersOnly(t *testing.T) {
	g := startGateway(t, status(200))
	for _, change := range []func(*delivery.Message){
		func(m *delivery.Message) { m.Channel = "email" },
		func(m *delivery.Message) { m.ID = "" },
		func(m *delivery.Message) { m.ID = "a\r\nX: y" },
		func(m *delivery.Message) { m.To = "ann.long@example.com" },
		func(m *delivery.Message) { m.To = "819012345678" },
		func(m *delivery.Message) { m.To = "+0123456789" },
		func(m *delivery.Message) { m.To = "+8190\n12345678" },
		func(m *delivery.Message) { m.To = "+81901234567890123" },
		func(m *delivery.Message) { m.To = "+819012345678,,9#" },
	} {
		m := textMessage()
		change(&m)
		wantKind(t, fmt.Sprintf("%q %q", m.ID, m.To), httpSender(t, g).Send(t.Context(), m), delivery.ErrRefused)
	}
	if n := g.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// What an operator writes as the body is JSON before and after: a value is a part of a string and nothing else.
func TestBodyIsJSONWhateverIsInTheMessage(t *testing.T) {
	g := startGateway(t, status(200))
	const template = `{"messages": [{"destination": "{to_digits}", "body": "<{text}> {lang}{language}", "n": 1.50, "ok": true, "none": null}], "key": "{env.SMS_KEY}", "{text}": "{id}", "greeting": "{greeting}"}`
	expand := func(placeholder string) (string, error) {
		if placeholder != "{env.SMS_KEY}" {
			return "", errors.New("not set")
		}
		return `k"{text}`, nil
	}
	with := func(body string) func(*delivery.HTTPConfig) {
		return func(c *delivery.HTTPConfig) { c.Body, c.Expand = body, expand }
	}
	m := textMessage()
	m.Text = "\", \"to\": \"+1\", \"x\": \"\\\n\u2028{env.HOME}{code}</script>\x00"
	s := httpSender(t, g, with(strings.Replace(template, "{lang}", "", 1)))
	wantKind(t, "sent", s.Send(t.Context(), m), nil)
	var got struct {
		Messages []map[string]any
		Key      string
		Greeting string
	}
	decoder := json.NewDecoder(bytes.NewReader(g.texts[0]))
	decoder.UseNumber()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, g.texts[0])
	}
	if len(got.Messages) != 1 || got.Messages[0]["destination"] != "819012345678" || got.Messages[0]["body"] != "<"+m.Text+"> ja" ||
		got.Messages[0]["n"].(json.Number) != "1.50" || got.Messages[0]["ok"] != true || got.Messages[0]["none"] != nil || got.Key != `k"{text}` || got.Greeting != "" {
		t.Errorf("got %s", g.texts[0])
	}
	for body, want := range map[string]string{
		template:                                       "there is no {lang}; there are {to}",
		`{"to": "{to}", "text": "{text}"`:              "not a JSON object",
		`"{to} {text}"`:                                "not a JSON object",
		`[]`:                                           "not a JSON object",
		`{"to": "{to}", "text": "{text}"} {}`:          "something follows",
		`{"to": {to}, "text": "{text}"}`:               "not a JSON object",
		`{"to": "x", "text": "{text}"}`:                "it names neither {to} nor {to_digits}",
		`{"to": "{to}", "text": "x"}`:                  "it names neither {text} nor {code}",
		`{"to": "{to}", "text": "{text} {env.OTHER}"}`: "not set",
		`{"to": "{to}", "text": "{text} {http.request.host}"}`:             "there is no {http.request.host}",
		`{"to": "{to}{text}", "x": "` + strings.Repeat("x", 17<<10) + `"}`: "at most",
	} {
		cfg := delivery.HTTPConfig{URL: g.URL}
		with(body)(&cfg)
		if _, err := delivery.NewHTTP(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

func TestGatewayConfigNamesEveryFaultAndNoSecret(t *testing.T) {
	_, err := delivery.NewHTTP(delivery.HTTPConfig{
		URL: "http://sms-gateway.example.com/send?key=" + theToken, Secret: theToken, Body: "x", Timeout: -1,
		Header: http.Header{"Bad Name": {"x"}, "Idempotency-Key": {"x"}, "X-Token": {theToken + "\n"}},
	})
	for _, want := range []string{"url http://sms-gateway.example.com: without TLS only to localhost", "secret: not one of Standard Webhooks", "body: not a JSON object", `header "Bad Name"`, "header Idempotency-Key", "header X-Token", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), theToken) {
		t.Errorf("a secret: %v", err)
	}
	for url, want := range map[string]string{
		"": "url is empty", "sms-gateway.example.com/send": "not the address", "https://": "not the address", "https:///send": "not the address",
		"ftp://a.example/x": `unknown scheme "ftp"`, "https://me:" + theToken + "@a.example/": "as a header", "https://a.example/#x": "leave out",
		"https://a.example:99999/": "not the address", "https://a b.example/": "not the address", "file:///etc/passwd": "not the address",
	} {
		if _, err := delivery.NewHTTP(delivery.HTTPConfig{URL: url}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), theToken) {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"https://a.example", "https://a.example:8443/x?y=z", "http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x", "https://10.0.0.1/x"} {
		if _, err := delivery.NewHTTP(delivery.HTTPConfig{URL: url, Secret: theSecret}); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, secret := range []string{"whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"} {
		if _, err := delivery.NewHTTP(delivery.HTTPConfig{URL: "https://a.example", Secret: secret}); err == nil {
			t.Errorf("%q was taken", secret)
		}
	}
}
