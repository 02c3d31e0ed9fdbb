package caddymodule

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gorilla/securecookie"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// headerIdentity is who the request says, for measuring the gate and nothing else.
type headerIdentity struct{}

func (headerIdentity) Identify(r *http.Request) (Person, error) {
	return Person{User: r.Header.Get("Remote-User")}, nil
}

// countingStore counts how often a store is asked.
type countingStore struct {
	store.Store
	asked int
}

func (s *countingStore) Get(ctx context.Context, key string) (store.Record, error) {
	s.asked++
	return s.Store.Get(ctx, key)
}

func (s *countingStore) Update(ctx context.Context, key string, fn func(store.Record) (store.Record, error)) error {
	s.asked++
	return s.Store.Update(ctx, key, fn)
}

// emptyRegistry remembers nothing: every store is a first one.
type emptyRegistry struct{}

func (emptyRegistry) Load(context.Context) ([]byte, error) { return nil, nil }
func (emptyRegistry) Save(context.Context, []byte) error   { return nil }
func (emptyRegistry) Lock(context.Context) (func(), error) { return func() {}, nil }

// verifiedGate is a gate with so many verified people, u0 and on.
func verifiedGate(tb testing.TB, people int) (*Gate, *countingStore) {
	tb.Helper()
	text, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := verify.ParseKeyring(text)
	if err != nil {
		tb.Fatal(err)
	}
	bolt := store.NewBolt(store.BoltConfig{Path: filepath.Join(tb.TempDir(), "accounts.db")})
	tb.Cleanup(func() { _ = bolt.Close() })
	counting := &countingStore{Store: bolt}
	quiet := slog.New(slog.DiscardHandler)
	flow := verify.New(verify.Config{Store: counting, Keys: keys, Registry: emptyRegistry{}, Now: time.Now, Rand: rand.Reader, Log: quiet, Audit: quiet})
	now := time.Now()
	for i := range people {
		a := policy.Account{Realm: "default", User: fmt.Sprint("u", i), Since: now, EverVerified: true,
			Contacts: []policy.Contact{{ID: "c", Kind: policy.Email, Address: "somebody@example.com", Added: now, Verified: now}}}
		if err := flow.Seed(tb.Context(), a); err != nil {
			tb.Fatal(err)
		}
	}
	app := &App{log: quiet}
	app.opened.live.Store(newRuntime(flow, keys))
	return &Gate{app: app, log: quiet, rules: policy.Defaults(), identity: headerIdentity{}, realm: "default", prefix: defaultPrefix}, counting
}

func prepared(user string) (http.ResponseWriter, *http.Request) {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/app/page?x=1", nil)
	r.Header.Set("Remote-User", user)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Cookie", "sess=0123456789abcdef; theme=dark")
	return w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
}

var nothing = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// costs counts the allocations of a request like this one, warm, and how often the store was asked for a hundred.
func costs(t *testing.T, gate *Gate, asked *countingStore, request func() (http.ResponseWriter, *http.Request)) (allocs float64, store int, last *http.Request) {
	t.Helper()
	w, r := request()
	if err := gate.ServeHTTP(w, r, nothing); err != nil {
		t.Fatal(err)
	}
	before := asked.asked
	const requests = 100
	writers, reqs := make([]http.ResponseWriter, requests+1), make([]*http.Request, requests+1)
	for i := range reqs {
		writers[i], reqs[i] = request()
	}
	i := 0
	allocs = testing.AllocsPerRun(requests, func() {
		if err := gate.ServeHTTP(writers[i], reqs[i], nothing); err != nil {
			t.Error(err)
		}
		i++
	})
	return allocs, asked.asked - before, reqs[0]
}

// TestVerifiedRequestAsksNoStore keeps the promise of the hot path: warm, a verified person costs no store access and
// three allocations at most.
func TestVerifiedRequestAsksNoStore(t *testing.T) {
	gate, asked := verifiedGate(t, 1)
	allocs, store, r := costs(t, gate, asked, func() (http.ResponseWriter, *http.Request) { return prepared("u0") })
	if store != 0 {
		t.Errorf("the store was asked %d times for a verified person", store)
	}
	if got := r.Header.Get("Contactgate-Status"); got != "verified" {
		t.Errorf("the app is told %q", got)
	}
	if allocs > 3 {
		t.Errorf("%v allocations per request, want 3 or fewer", allocs)
	}
	t.Logf("%v allocations per request", allocs)
}

// browserOf is what a browser of somebody sends: a session in which a code was entered, or a device that is trusted, or both.
func browserOf(t testing.TB, gate *Gate, user string, session, device bool) string {
	t.Helper()
	live := gate.app.opened.live.Load()
	_, r := prepared(user)
	r.TLS = new(tls.ConnectionState)
	origin := gate.originOf(r)
	s, id, now := newSession(gate.sessionFor(live, user, origin), ""), []byte("0123456789abcdef"), time.Now()
	a := policy.Account{Realm: gate.realm, User: user, Since: now, EverVerified: true,
		Contacts: []policy.Contact{{ID: "c", Kind: policy.Email, Address: "somebody@example.com", Added: now, Verified: now}}}
	a.CodeEntered(nil, live.flow.SessionHash(gate.realm, user, s.ID), "c", now)
	a.Trust(live.flow.SessionHash(gate.realm, user, s.ID), policy.Device{ID: live.flow.DeviceHash(gate.realm, user, id)}, policy.Defaults().Trust, now)
	if err := live.flow.Seed(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	cookies := "sess=0123456789abcdef"
	if session {
		value, err := securecookie.EncodeMulti(hostCookie, s, live.codecs...)
		if err != nil {
			t.Fatal(err)
		}
		cookies += "; " + hostCookie + "=" + value
	}
	if device {
		value, err := encodeDevice(savedDevice{ID: id, For: gate.deviceFor(r, live, user), Time: now}, live.devices)
		if err != nil {
			t.Fatal(err)
		}
		cookies += "; " + gate.deviceName(r, live, user) + "=" + value
	}
	return cookies + "; theme=dark"
}

// TestTrustedRequestAsksNoStore is the same with device_code on: what a browser proves is looked at in every request, and
// costs no store access either.
func TestTrustedRequestAsksNoStore(t *testing.T) {
	for name, c := range map[string]struct {
		session, device bool
		most            float64
	}{
		"a trusted browser":                    {false, true, 7},
		"a code in the session":                {true, false, 7},
		"both, as browsers have it for a year": {true, true, 8},
	} {
		t.Run(name, func(t *testing.T) {
			gate, asked := verifiedGate(t, 1)
			gate.rules.DeviceCode = true
			cookies := browserOf(t, gate, "u0", c.session, c.device)
			allocs, store, r := costs(t, gate, asked, func() (http.ResponseWriter, *http.Request) {
				w, r := prepared("u0")
				r.Header.Set("Cookie", cookies)
				r.TLS = new(tls.ConnectionState)
				return w, r
			})
			if store != 0 {
				t.Errorf("the store was asked %d times", store)
			}
			if got := r.Header.Get("Contactgate-Status"); got != "verified" {
				t.Errorf("the app is told %q", got)
			}
			if got := r.Header.Get("Cookie"); got != "sess=0123456789abcdef; theme=dark" {
				t.Errorf("the app gets the cookies %q", got)
			}
			if allocs > c.most {
				t.Errorf("%v allocations per request, want %v or fewer", allocs, c.most)
			}
			t.Logf("%v allocations per request", allocs)
		})
	}
}

// A cookie proves something at the site that it was given by. What another site of the realm remembers of it counts for
// nothing, whatever host the request names.
func TestWhatOneSiteBelievesCountsAtNoOther(t *testing.T) {
	gate, _ := verifiedGate(t, 1)
	gate.rules.DeviceCode = true
	gate.origin = "https://a.example"
	other := *gate
	other.origin = "https://b.example"
	cookies := browserOf(t, gate, "u0", true, true)
	proved := func(g *Gate) policy.Evidence {
		_, r := prepared("u0")
		r.TLS = new(tls.ConnectionState)
		r.Header.Set("Cookie", cookies)
		p := publishing(r)
		p.keepCookies(r)
		return g.evidence(r, g.app.opened.live.Load(), p, "u0")
	}
	if e := proved(gate); e.Session == nil || e.Device == nil {
		t.Fatalf("its own site: %+v", e)
	}
	if e := proved(&other); e.Session != nil || e.Device != nil {
		t.Errorf("the other one believes %+v", e)
	}
}

func BenchmarkVerifiedRequest(b *testing.B) {
	const people = 2000
	gate, _ := verifiedGate(b, people)
	order := mathrand.Perm(people)
	for _, i := range order { // warm
		w, r := prepared(fmt.Sprint("u", i))
		_ = gate.ServeHTTP(w, r, nothing)
	}
	benchRequests(b, gate, func(i int) (http.ResponseWriter, *http.Request) { return prepared(fmt.Sprint("u", order[i%people])) })
}

func BenchmarkTrustedRequest(b *testing.B) {
	gate, _ := verifiedGate(b, 1)
	gate.rules.DeviceCode = true
	cookies := browserOf(b, gate, "u0", true, true)
	benchRequests(b, gate, func(int) (http.ResponseWriter, *http.Request) {
		w, r := prepared("u0")
		r.TLS = new(tls.ConnectionState)
		r.Header["Cookie"] = []string{cookies}
		return w, r
	})
}

// BenchmarkIdentify finds out who asks, from headers that a trusted proxy sets.
func BenchmarkIdentify(b *testing.B) {
	guest := &Placeholder{User: "{http.request.header.Remote-User}", Email: "{http.request.header.Remote-Email}", SetBy: setByTrustedProxies}
	if err := guest.Provision(caddy.Context{}); err != nil {
		b.Fatal(err)
	}
	gate := &Gate{identity: guest}
	_, r := prepared("ann")
	r.Header.Set("Remote-Email", "ann.long@example.com")
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
	b.ReportAllocs()
	for b.Loop() {
		if who, err := gate.identify(r); err != nil || who.User != "ann" || who.Email == "" {
			b.Fatal(who, err)
		}
	}
}

// BenchmarkDeviceCookie looks at the cookie of a trusted browser: for the first time, and as it is remembered.
func BenchmarkDeviceCookie(b *testing.B) {
	gate, _ := verifiedGate(b, 1)
	_, r := prepared("u0")
	r.TLS = new(tls.ConnectionState)
	r.Header.Set("Cookie", browserOf(b, gate, "u0", false, true))
	p := publishing(r)
	p.keepCookies(r)
	live := gate.app.opened.live.Load()
	b.Run("first", func(b *testing.B) {
		asked := believing{Gate: gate, r: r, live: live, user: "u0"}
		name, value := "", ""
		for found, pair := range p.ours {
			name, value = found, pair[len(found)+1:]
		}
		b.ReportAllocs()
		for b.Loop() {
			if asked.device(name, value) == nil {
				b.Fatal("it proves nothing")
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if gate.evidence(r, live, p, "u0").Device == nil {
				b.Fatal("it proves nothing")
			}
		}
	})
}

// benchRequests measures the gate's own way of requests. Each is a new one, made while the clock stands still.
func benchRequests(b *testing.B, gate *Gate, request func(i int) (http.ResponseWriter, *http.Request)) {
	writers, requests := make([]http.ResponseWriter, 2000), make([]*http.Request, 2000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % len(requests)
		if at == 0 {
			b.StopTimer()
			for j := range requests {
				writers[j], requests[j] = request(i + j)
			}
			b.StartTimer()
		}
		_ = gate.ServeHTTP(writers[at], requests[at], nothing)
	}
}
