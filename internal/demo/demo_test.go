package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// TestPeopleAreInTheirStates reads them back with the rules that the gate has.
func TestPeopleAreInTheirStates(t *testing.T) {
	ring, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := verify.ParseKeyring(ring)
	if err != nil {
		t.Fatal(err)
	}
	silent := slog.New(slog.DiscardHandler)
	accounts := store.NewBolt(store.BoltConfig{Path: filepath.Join(t.TempDir(), "a.db"), Log: silent})
	defer accounts.Close()
	c := verify.Config{Store: accounts, Keys: keys, Log: silent, Audit: silent}
	if err := Prepare(t.Context(), c, "default"); err != nil {
		t.Fatal(err)
	}
	c.Now, c.Rand, c.Registry = time.Now, rand.Reader, &forgetful{}
	flow, rules := verify.New(c), policy.Defaults()
	for user, want := range map[string]struct {
		standing policy.Standing
		left     time.Duration
	}{
		"hanako.sato":  {policy.Due, 2 * day},
		"ben.ortiz":    {policy.Overdue, -day},
		"chloe.martin": {policy.Verified, 0},
	} {
		account, err := flow.Account(t.Context(), verify.Visitor{Realm: "default", User: user})
		if err != nil || account == nil {
			t.Fatalf("%s: %v, %v", user, account, err)
		}
		standing, deadline := rules.Standing(account.Facts(time.Now()), time.Now())
		if standing != want.standing {
			t.Errorf("%s is %v, want %v", user, standing, want.standing)
		}
		if left := time.Until(deadline); want.left != 0 && (left > want.left || left < want.left-time.Minute) {
			t.Errorf("%s has %v left, want %v", user, left, want.left)
		}
		if len(account.Outbox) != 0 {
			t.Errorf("%s has messages that were not sent", user)
		}
	}
	for _, user := range []string{"an.long", "deniz.kaya"} {
		if account, err := flow.Account(t.Context(), verify.Visitor{Realm: "default", User: user}); err != nil || account != nil {
			t.Errorf("%s is known before they signed in: %v", user, err)
		}
	}
}

func pagesWith(mail ...delivery.Received) http.Handler {
	return Pages(Config{
		Mail:       func() []delivery.Received { return mail },
		State:      func(context.Context, string) (State, error) { return State{Standing: policy.Due}, nil },
		GatePrefix: "/.contactgate",
	})
}

func ask(t *testing.T, h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAuth(t *testing.T) {
	for name, c := range map[string]struct {
		headers  []string
		status   int
		user     string
		language string
		location string
	}{
		"a page": {
			headers: []string{"Accept", "text/html", "X-Forwarded-Uri", "/a%20b?c=d&e=%2F"}, status: 303,
			location: "/demo/?to=/a%2520b?c=d%26e=%252F",
		},
		"a script":          {headers: []string{"Accept", "*/*", "X-Forwarded-Uri", "/api"}, status: 401},
		"a page in a frame": {headers: []string{"Accept", "text/html", "Sec-Fetch-Dest", "iframe"}, status: 401},
		"the gate's assets": {headers: []string{"X-Forwarded-Uri", "/.contactgate/assets/x.css"}, status: 200},
		"somebody": {
			headers: []string{"Cookie", "demo_person=an.long", "Accept-Language", "de"}, status: 200, user: "an.long", language: "de",
		},
		"somebody with a language": {
			headers: []string{"Cookie", "demo_person=hanako.sato", "Accept-Language", "de"}, status: 200, user: "hanako.sato", language: "ja",
		},
		"a stranger": {headers: []string{"Cookie", "demo_person=root", "Remote-User", "root"}, status: 401},
	} {
		w := ask(t, pagesWith(), "GET", Auth, c.headers...)
		h := w.Header()
		if w.Code != c.status || h.Get("Remote-User") != c.user || h.Get("Remote-Language") != c.language || h.Get("Location") != c.location {
			t.Errorf("%s: %d %v", name, w.Code, h)
		}
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "/%2Fevil.example", "/demo/", "", "x"} {
		s := &signIn{}
		if got := s.local(to); got != "/" {
			t.Errorf("%q leads to %q", to, got)
		}
	}
}

func TestSignInTellsWhenTheStoreIsAway(t *testing.T) {
	h := Pages(Config{State: func(context.Context, string) (State, error) { return State{}, errors.New("the store is away") }})
	if w := ask(t, h, "GET", SignIn); w.Code != 503 || !strings.Contains(w.Body.String(), "the store is away") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestMailMayOnlyLook has a mail with all that an address or a name could smuggle in.
func TestMailMayOnlyLook(t *testing.T) {
	h := pagesWith(delivery.Received{At: time.Now(), Message: delivery.Message{
		ID: "../x", To: `"><script>1</script>@example.com`, Subject: "<script>2</script>", HTML: "<script>3</script>", Text: "<script>4</script>",
	}})
	for _, target := range []string{Outbox, Outbox + "?text"} {
		w := ask(t, h, "GET", target)
		if page := w.Body.String(); w.Code != 200 || strings.Contains(page, "<script>") {
			t.Errorf("%s: %d\n%s", target, w.Code, page)
		}
	}
	w := ask(t, h, "GET", Outbox+"/"+(&outbox{func() []delivery.Received {
		return []delivery.Received{{Message: delivery.Message{ID: "../x"}}}
	}}).letters()[0].Key+"/look")
	if csp := w.Header().Get("Content-Security-Policy"); w.Code != 200 || !strings.HasPrefix(csp, "sandbox; default-src 'none';") {
		t.Errorf("%d %s", w.Code, csp)
	}
	if w := ask(t, h, "GET", Outbox+"/0123456789ab"); w.Code != 404 {
		t.Errorf("a mail that is not there: %d", w.Code)
	}
}

// TestOutboxShowsTextsAndCalls: a text as it looks on a phone, a call as it sounds.
func TestOutboxShowsTextsAndCalls(t *testing.T) {
	text := delivery.Message{ID: "t", Channel: "sms", To: "+819012345678", Language: "ja", Text: "確認コード: 047193(<b>)\n\n@app.example.com #047193"}
	call := delivery.Message{ID: "c", Channel: "voice", To: "+819012345678", Language: "ja", Greeting: "こちらは <b> です。", Text: "お知らせします。\n0、4、7、1、9、3"}
	h := pagesWith(delivery.Received{Message: call, At: time.Now()}, delivery.Received{Message: text, At: time.Now()})
	w := ask(t, h, "GET", Outbox)
	for _, want := range []string{"<h2>Call</h2>", `lang="ja" dir="auto">こちらは &lt;b&gt; です。</p>`, "<kbd>*</kbd>", `dir="auto">0、4、7、1、9、3</p>`, `<span class="kind">Text</span>`, "確認コード: 047193(&lt;b&gt;)</span>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the call does not show %q:\n%s", want, w.Body)
		}
	}
	key := (&outbox{func() []delivery.Received { return []delivery.Received{{Message: text}} }}).letters()[0].Key
	w = ask(t, h, "GET", Outbox+"/"+key)
	if want := `dir="auto">` + "確認コード: 047193(&lt;b&gt;)\n\n@app.example.com #047193</p>"; !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "<iframe") {
		t.Errorf("the text does not show %q:\n%s", want, w.Body)
	}
}

// TestStateWords walks the clock over the edges.
func TestStateWords(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	with, without := &Person{Email: "a@example.com"}, &Person{}
	for _, c := range []struct {
		state State
		who   *Person
		want  string
	}{
		{State{Standing: policy.Due}, with, "Never asked yet"},
		{State{Standing: policy.Due}, without, "Nothing on file"},
		{State{Standing: policy.Due, Deadline: now.Add(2 * day)}, with, "2 days left"},
		{State{Standing: policy.Due, Deadline: now.Add(day + time.Second)}, with, "2 days left"},
		{State{Standing: policy.Due, Deadline: now.Add(time.Second)}, with, "1 day left"},
		{State{Standing: policy.Due, Deadline: now.Add(day), Contacts: 1}, without, "1 day left"},
		{State{Standing: policy.Overdue, Deadline: now}, with, "Blocked"},
		{State{Standing: policy.Verified}, without, "Confirmed"},
	} {
		if got := c.state.words(c.who, now); got != c.want {
			t.Errorf("%+v: %q, want %q", c.state, got, c.want)
		}
	}
}

func TestAppShowsWhatReachesIt(t *testing.T) {
	w := ask(t, App(), "GET", "/", "Remote-Name", "<b>An</b>", "Contactgate-Status", "due", "Contactgate-Deadline", "2026-11-30T09:00:00Z", "Cookie", "a=b")
	for _, want := range []string{"Hello, &lt;b&gt;An&lt;/b&gt;", "Contactgate-Status</th><td>due", `datetime="2026-11-30T09:00:00Z"`, "Cookie</th><td>a=b"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the app does not show %q:\n%s", want, w.Body)
		}
	}
}
