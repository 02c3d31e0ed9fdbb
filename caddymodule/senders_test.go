package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/policy"
)

// checked is a sender whose carrier is as the test says; nil: it cannot be asked.
type checked struct{ check func(context.Context) error }

func (checked) Send(context.Context, delivery.Message) error { return nil }

func (c checked) Check(ctx context.Context) error { return c.check(ctx) }

// TestDoctorAsksEverySender: one that hangs hides neither the others nor itself.
func TestDoctorAsksEverySender(t *testing.T) {
	guard := func(s Sender) *delivery.Guard { return delivery.NewGuard(s, nil) }
	a := &App{mailFrom: "a@b.example", senders: map[policy.Channel]*delivery.Guard{
		policy.ByEmail: guard(checked{func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("connect: no answer in time") }}),
		policy.BySMS:   guard(checked{func(context.Context) error { return nil }}),
		policy.ByVoice: guard(delivery.NewOutbox(1)),
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	got := a.examineSenders(ctx)
	if len(got) != 3 || got[0].OK || got[0].Check != "email" || !strings.Contains(got[0].Detail, "no answer in time") || got[0].Remedy == "" ||
		!got[1].OK || got[1].Check != "sms" || !got[2].OK || !strings.Contains(got[2].Detail, "cannot be checked") {
		t.Errorf("%+v", got)
	}
	if got := (&App{}).examineSenders(t.Context()); len(got) != 1 || !got[0].OK || got[0].Check != "senders" {
		t.Errorf("%+v", got)
	}
}

// appOf is the app of a Caddyfile. Nothing of it runs.
func appOf(t *testing.T, input string) *App {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	config := caddy.Config{StorageRaw: json.RawMessage(`{"module": "file_system", "root": "` + dir + `"}`)}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		t.Fatal(err)
	}
	app, err := ctx.App("contactgate")
	if err != nil {
		t.Fatal(err)
	}
	return app.(*App)
}

// TestSendersOfAChannel: what is configured is carried, guarded, and names itself on the page.
func TestSendersOfAChannel(t *testing.T) {
	var asked int
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if user, _, ok := r.BasicAuth(); !ok || user != "AC0123456789abcdef0123456789abcdef" || r.URL.Path != "/2010-04-01/Accounts/"+user+"/Calls.json" {
			t.Errorf("%s as %q", r.URL.Path, user)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer api.Close()
	app := appOf(t, fmt.Sprintf(`{
	contactgate {
		sms twilio {
			account_sid AC0123456789abcdef0123456789abcdef
			auth_token s3cret
			from +15005550006
			api %s
		}
		voice twilio {
			caller_id +17148680120
		}
	}
}`, api.URL))
	if !app.carries(policy.BySMS) || !app.carries(policy.ByVoice) || app.carries(policy.ByEmail) || app.callerID != "+17148680120" {
		t.Fatalf("%v, calls from %q", app.senders, app.callerID)
	}
	call := delivery.Message{ID: "1", Channel: "voice", To: "+819012345678", Text: "1, 2, 3, 4, 5, 6", Language: "en"}
	for range 20 { // through the account and the address of the texts, until the guard gives the provider up
		if err := app.sender(policy.ByVoice).Send(t.Context(), call); !errors.Is(err, delivery.ErrUnreachable) {
			t.Fatal(err)
		}
	}
	if asked != 5 {
		t.Errorf("a dead provider was asked %d times", asked)
	}
}
