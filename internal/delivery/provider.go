package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// connecting is how long a provider may take to accept a connection, and as long again to agree on TLS: a person who
	// waits hears within 4 s that nothing was sent.
	connecting = 1500 * time.Millisecond
	// longestAnswer is as much as is read of an answer. What it says beyond its status is of little use.
	longestAnswer = 64 << 10
	// atRequest is before the provider has the whole request, at the answer it may have taken the message.
	atRequest  stage = "request"
	atProvider stage = "the provider"
)

// provider is somebody's HTTPS API that takes messages, one by one. There are no connections between messages, and no
// retries: the HTTP client would repeat a request with an idempotency key by itself when an idle connection turns out to
// be dead, and not every provider heeds the key.
type provider struct {
	base      *url.URL
	client    *http.Client
	transport *http.Transport
	timeout   time.Duration
	now       func() time.Time
}

func newProvider(base *url.URL, roots *x509.CertPool, timeout time.Duration, now func() time.Time) *provider {
	p := &provider{base: base, timeout: timeout, now: now}
	if p.timeout == 0 {
		p.timeout = defaultTimeout
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.transport = &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            p.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connecting,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: longestAnswer,
	}
	p.client = &http.Client{Transport: p.transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirect would take the code and the login elsewhere
	}}
	return p
}

// providerURL reads the address of an API. It may hold a key in its query, which is never repeated.
func providerURL(text string) (*url.URL, error) {
	const remedy = "write https://host/path, or http:// for this machine only"
	if text == "" {
		return nil, errors.New("url is empty: " + remedy)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !isHost(u.Hostname()) || u.Opaque != "" || u.Port() != "" && !isPort(u.Port()) {
		return nil, errors.New("url: not the address of a web API; " + remedy)
	}
	shown := u.Scheme + "://" + u.Host
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("url %s: the user name and password are in it; write them as a header: header Authorization \"Basic {env.…}\"", shown)
	case u.Fragment != "":
		return nil, fmt.Errorf("url %s: leave out what follows the #", shown)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("url %s: without TLS only to localhost, 127.0.0.1 or [::1], because everyone on the way could read the codes; write https://%s", shown, u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("url %s: unknown scheme %q; %s", shown, u.Scheme, remedy)
	}
	return u, nil
}

func (p *provider) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: connecting}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if p.base.Scheme == "http" && !isLocal(conn.RemoteAddr()) { // the name localhost may lead elsewhere
		_ = conn.Close()
		return nil, errNotLocal
	}
	return conn, nil
}

// reply is what a provider answered.
type reply struct {
	status int
	body   []byte
}

// ask makes one request and reads the beginning of the answer. An error of it is a failure of a kind; a status of any sort
// is none. It ends with ctx, with the provider's own timeout, or when the message is of no more use.
func (p *provider) ask(ctx context.Context, method, target string, header http.Header, body []byte, ends time.Time) (reply, error) {
	patience := p.timeout
	if !ends.IsZero() {
		patience = min(patience, ends.Sub(p.now()))
	}
	if patience <= 0 {
		return reply{}, failure{kind: ErrUnreachable, stage: atStart, cause: "the message has ended"}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var way progress
	r, err := http.NewRequestWithContext(way.watch(ctx), method, target, bytes.NewReader(body))
	if err != nil {
		return reply{}, failure{kind: ErrUnreachable, stage: atStart, cause: "the request could not be made"}
	}
	r.Header = header
	r.GetBody = nil // there is nothing to repeat
	answer, err := p.client.Do(r)
	if err != nil {
		return reply{}, way.failed(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	// The status is the answer: what is lost of the rest changes nothing.
	text, _ := io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	return reply{status: answer.StatusCode, body: text}, nil
}

// reachable connects, agrees on TLS, and says nothing.
func (p *provider) reachable(ctx context.Context) error {
	if via, err := http.ProxyFromEnvironment(&http.Request{URL: p.base}); via != nil || err != nil {
		return errors.ErrUnsupported // the proxy would be reached, which says nothing
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connecting)
	defer cancel()
	port := p.base.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[p.base.Scheme]
	}
	conn, err := p.dial(ctx, "tcp", net.JoinHostPort(p.base.Hostname(), port))
	if err != nil {
		return failure{kind: ErrUnreachable, stage: atConnect, cause: cause(err)}
	}
	defer func() { _ = conn.Close() }()
	if p.base.Scheme == "http" {
		return nil
	}
	config := p.transport.TLSClientConfig.Clone()
	config.ServerName = p.base.Hostname()
	if err := tls.Client(conn, config).HandshakeContext(ctx); err != nil {
		return failure{kind: ErrUnreachable, stage: atTLS, cause: cause(err)}
	}
	return nil
}

// progress is how far a request has come. What a failure means depends on it.
type progress struct{ connected, tls, cut, whole atomic.Bool }

func (w *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { w.tls.Store(true) },
		GotConn:           func(httptrace.GotConnInfo) { w.connected.Store(true) },
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			w.cut.Store(i.Err != nil)
			w.whole.Store(i.Err == nil)
		},
	})
}

// failed is one of the kinds. A request that is known to have been cut off was not taken; one that may have arrived as a
// whole may have been.
func (w *progress) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	f := failure{kind: ErrUnreachable, stage: atConnect, cause: cause(err)}
	switch {
	case !w.connected.Load() && w.tls.Load():
		f.stage = atTLS
		if errors.Is(err, http.ErrSchemeMismatch) {
			f.cause = "the server does not speak TLS"
		}
	case !w.connected.Load():
	case w.cut.Load():
		f.kind, f.stage = ErrBrokenOff, atRequest
	default:
		f.kind, f.stage = ErrUnknown, atAnswer
		if w.whole.Load() && strings.Contains(err.Error(), "malformed HTTP") {
			f.cause = "the answer was not HTTP"
		}
	}
	return f
}

// kindOf reads a status that says no. Where an answer could be about the recipient or about us, the recipient is taken
// for the reason: a number that somebody typed must not look like an outage.
func kindOf(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusTooManyRequests, status == http.StatusConflict, status == http.StatusTooEarly:
		return ErrTryLater
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity, status == http.StatusUnavailableForLegalReasons:
		return ErrRefused
	}
	return ErrOutOfOrder // 5xx, a login that is not taken, an address that leads nowhere or elsewhere
}

// refusal is the failure of a status, nil when it is none.
func (r reply) refusal() error {
	if kind := kindOf(r.status); kind != nil {
		return failure{kind: kind, stage: atProvider, code: r.status}
	}
	return nil
}

// IsNumber knows E.164 as providers take it: +819012345678.
func IsNumber(to string) bool {
	if len(to) < 8 || len(to) > 16 || to[0] != '+' || to[1] == '0' {
		return false
	}
	return strings.Trim(to[1:], "0123456789") == ""
}
