package caddymodule

import (
	"os"
	"regexp"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var caddyfileBlock = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// TestDocumentedCaddyfilesWork adapts and provisions every Caddyfile that the README shows: what people copy must run.
func TestDocumentedCaddyfilesWork(t *testing.T) {
	t.Setenv("SMTP_PASSWORD", "secret")
	t.Setenv("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef")
	t.Setenv("TWILIO_AUTH_TOKEN", "secret")
	t.Setenv("SMS_TOKEN", "secret")
	t.Setenv("SMS_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")
	t.Setenv("REDIS_PASSWORD", "secret")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := caddyfileBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("only %d Caddyfiles in the README", len(blocks))
	}
	for _, block := range blocks {
		config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(block[1], nil)
		if err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
			continue
		}
		for _, w := range warnings {
			t.Errorf("line %d: %s in:\n%s", w.Line, w.Message, block[1])
		}
		var parsed caddy.Config
		if err := caddy.StrictUnmarshalJSON(config, &parsed); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&parsed); err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
		}
	}
}
