package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// randomness is a random source that fails when it is told to.
type randomness struct{ dry atomic.Bool }

func (s *randomness) Read(p []byte) (int, error) {
	if s.dry.Load() {
		return 0, errors.New("no randomness")
	}
	return rand.Read(p)
}

// tray takes over every message.
type tray struct{ taken atomic.Int32 }

func (c *tray) Deliver(context.Context, verify.Letter) policy.Delivery {
	c.taken.Add(1)
	return policy.TakenOver
}

type annsIdentity struct{}

func (annsIdentity) Identify(*http.Request) (Person, error) {
	return Person{User: "ann", Email: "ann@example.com"}, nil
}

// window is ann's browser at a gate in this process.
type window struct {
	testing.TB
	gate   *Gate
	cookie string
}

func (b *window) do(method, target string, form url.Values) *httptest.ResponseRecorder {
	b.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, "https://app.example"+target, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if r.Header.Set("Cookie", b.cookie); form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://app.example")
	}
	if err := b.gate.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil), nothing); err != nil {
		b.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		b.cookie = c.Name + "=" + c.Value
	}
	return w
}

var hiddenField = regexp.MustCompile(`type="hidden" name="([a-z]+)" value="([^"]*)"`)

// form is what is in the hidden fields of a page's form.
func (b *window) form(page *httptest.ResponseRecorder, action string) url.Values {
	b.Helper()
	_, text, ok := strings.Cut(page.Body.String(), `action="`+defaultPrefix+"/"+action+`"`)
	if !ok {
		b.Fatalf("%d, no form %s: %s", page.Code, action, page.Body)
	}
	text, _, _ = strings.Cut(text, "</form>")
	fields := url.Values{}
	for _, found := range hiddenField.FindAllStringSubmatch(text, -1) {
		fields.Set(found[1], found[2])
	}
	return fields
}

// R25: without randomness there is nothing that could not be guessed, so nothing is sent and nothing changes; people hear so,
// and how long to wait. When it is back, so is everything.
func TestWithoutRandomnessNothingIsSent(t *testing.T) {
	t.Parallel()
	gate, counting := verifiedGate(t, 0)
	var err error
	if gate.pages, err = gate.app.renderer(&Settings{}, "Example"); err != nil {
		t.Fatal(err)
	}
	gate.identity, gate.support, gate.hosts = annsIdentity{}, "mailto:help@example.com", []string{"app.example"}
	gate.app.senders = map[policy.Channel]*delivery.Guard{policy.ByEmail: delivery.NewGuard(nil, nil)} // there is mail; the tray takes it
	flow, random, sender := gate.app.opened.live.Load().flow, new(randomness), new(tray)
	flow.Store, flow.Rand, flow.Courier = counting.Store, random, sender
	if err := flow.Admit(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); flow.Run(ctx) }()
	defer func() { stop(); <-ended }()

	ann := &window{TB: t, gate: gate}
	random.dry.Store(true)
	if first := ann.do("GET", "/app", nil); first.Code != http.StatusServiceUnavailable || first.Header().Get("Retry-After") == "" {
		t.Errorf("somebody new: %d, Retry-After %q", first.Code, first.Header().Get("Retry-After"))
	}
	random.dry.Store(false)
	add := ann.form(ann.do("GET", defaultPrefix+"/contacts/new", nil), "contacts/new")
	add.Set("kind", "email")
	add.Set("address", "more@example.com")
	help := ann.form(ann.do("GET", defaultPrefix+"/help", nil), "help")
	help.Set("problem", "other")
	help.Set("detail", "I am stuck")
	help.Set("reach", "at the gate")
	send := ann.form(ann.do("GET", defaultPrefix+"/verify", nil), "verify/send")
	send.Set("proof", "ann@example.com")
	forms := map[string]url.Values{"contacts/new": add, "help": help, "verify/send": send}
	before, err := flow.Account(t.Context(), verify.Visitor{Realm: "default", User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	random.dry.Store(true)
	for name, form := range forms {
		a := ann.do("POST", defaultPrefix+"/"+name, form)
		if a.Code != http.StatusServiceUnavailable || a.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q: %.300s", name, a.Code, a.Header().Get("Retry-After"), a.Body)
		}
	}
	after, err := flow.Account(t.Context(), verify.Visitor{Realm: "default", User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(t, before, after) || sender.taken.Load() != 0 {
		t.Errorf("something changed, or was sent (%d): %+v", sender.taken.Load(), after)
	}
	random.dry.Store(false)
	for name, form := range forms {
		if a := ann.do("POST", defaultPrefix+"/"+name, form); a.Code != http.StatusSeeOther {
			t.Errorf("%s, when it is back: %d: %.300s", name, a.Code, a.Body)
		}
	}
	if sender.taken.Load() == 0 {
		t.Error("nothing was sent when it was back")
	}
}
