package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/contactgate/contactgate/internal/testbed"
)

// caseHeader tells the app which test a request belongs to, so that tests can share one app.
const caseHeader = "X-Case"

// echoApp is the app behind the gate: it remembers every request.
type echoApp struct {
	Addr   string
	server *httptest.Server
	mu     sync.Mutex
	seen   []received
	cases  map[string][]received // by caseHeader
}

// received is one request as the app got it.
type received struct {
	Method, Target, Host string
	Header               http.Header
	Trailer              http.Header
	BodyHash             string
	BodySize             int64
}

// serve runs a stub. Nobody else ever listens on its port, so that a test may close it.
func serve(h http.Handler) *httptest.Server {
	l, err := testbed.Listen()
	if err != nil {
		panic(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	return s
}

func newEchoApp() *echoApp {
	a := &echoApp{cases: map[string][]received{}}
	a.server = serve(a)
	a.Addr = strings.TrimPrefix(a.server.URL, "http://")
	return a
}

func (a *echoApp) Close() { a.server.CloseClientConnections(); a.server.Close() }

func (a *echoApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := received{Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header.Clone()}
	if r.Header.Get("Upgrade") != "" {
		a.keep(got)
		a.upgrade(w, r)
		return
	}
	hash := sha256.New()
	got.BodySize, _ = io.Copy(hash, r.Body)
	got.BodyHash, got.Trailer = hex.EncodeToString(hash.Sum(nil)), r.Trailer
	a.keep(got)
	w.Header().Set("X-App", "echo")
	if r.URL.Path == "/stream" {
		a.stream(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "UPSTREAM %s %s", r.Method, r.RequestURI)
}

// upgrade answers with a socket that repeats what it hears.
func (a *echoApp) upgrade(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\nX-App: echo\r\n\r\n", r.Header.Get("Upgrade"))
	_ = rw.Flush()
	_, _ = io.Copy(conn, rw)
}

// stream sends a line whenever the client is still there, until it goes.
func (a *echoApp) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for range 400 {
		if _, err := io.WriteString(w, "data: x\n\n"); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick():
		}
	}
}

func (a *echoApp) keep(r received) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, r)
	name := r.Header.Get(caseHeader)
	a.cases[name] = append(a.cases[name], r)
}

// Seen gives the requests of one case; "" for those without.
func (a *echoApp) Seen(name string) []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.cases[name])
}

// SeenWhere gives the requests that a test recognises by something else.
func (a *echoApp) SeenWhere(wanted func(received) bool) []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.seen), func(r received) bool { return !wanted(r) })
}

// authStub answers forward_auth: the cookie sess=<user> is somebody, no cookie is nobody, and nobody passes.
type authStub struct {
	Addr   string
	server *httptest.Server
	mu     sync.Mutex
	people map[string]http.Header
	asked  int
	broken int // status that it answers with instead
}

func newAuthStub() *authStub {
	a := &authStub{people: map[string]http.Header{}}
	a.server = serve(a)
	a.Addr = strings.TrimPrefix(a.server.URL, "http://")
	return a
}

func (a *authStub) Close() { a.server.CloseClientConnections(); a.server.Close() }

// Say sets what the sign-in says of a user: the headers of its answer.
func (a *authStub) Say(user string, says http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.people[user] = says
}

// Asked is how often it was asked.
func (a *authStub) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// Break makes it answer with a status; 0 mends it.
func (a *authStub) Break(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = status
}

func (a *authStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.broken != 0 {
		w.WriteHeader(a.broken)
		return
	}
	c, err := r.Cookie("sess")
	if err != nil || c.Value == "" {
		return
	}
	says, known := a.people[c.Value]
	if !known {
		says = http.Header{"Remote-User": {c.Value}}
	}
	for name, values := range says {
		w.Header()[name] = values
	}
}

// signedIn is what a sign-in says of an ordinary person.
func signedIn(user, email string, groups ...string) http.Header {
	h := http.Header{"Remote-User": {user}}
	if email != "" {
		h["Remote-Email"] = []string{email}
	}
	if len(groups) > 0 {
		h["Remote-Groups"] = []string{strings.Join(groups, ",")}
	}
	return h
}
