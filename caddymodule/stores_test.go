package caddymodule

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func moduleContext(t *testing.T) caddy.Context {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return ctx
}

func TestBoltPath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("CONTACTGATE_TEST_DIR", "/srv/state")
	here, err := filepath.Abs("x.db")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                                   filepath.Join(caddy.AppDataDir(), "contactgate", "accounts.db"),
		"x.db":                               here,
		"/a/../b/x.db":                       "/b/x.db",
		"{env.CONTACTGATE_TEST_DIR}/x.db":    "/srv/state/x.db",
		"{env.CONTACTGATE_TEST_NONE}/x.db":   "",
		"{file./does/not/exist}/accounts.db": "",
	} {
		b := &Bolt{Path: path}
		err := b.Provision(moduleContext(t))
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "store bolt path") {
				t.Errorf("%q: %v", path, err)
			}
		} else if err != nil || b.key != want {
			t.Errorf("%q is %q, %v; want %q", path, b.key, err, want)
		}
		if err := b.Cleanup(); err != nil {
			t.Error(err)
		}
	}
}

// TestOneHandlePerFile: two spellings of a path are one file, and the last to go closes it.
func TestOneHandlePerFile(t *testing.T) {
	dir := t.TempDir()
	a, b := &Bolt{Path: dir + "/x.db"}, &Bolt{Path: dir + "/../" + filepath.Base(dir) + "/x.db"}
	for _, s := range []*Bolt{a, b} {
		if err := s.Provision(moduleContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	if a.Bolt != b.Bolt {
		t.Fatal("two handles")
	}
	if err := a.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "x"); err != nil {
		t.Errorf("closed while it is used: %v", err)
	}
	if err := b.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "x"); err == nil {
		t.Error("open, and nobody uses it")
	}
}

func TestSMTPSecretsAreExpanded(t *testing.T) {
	t.Setenv("CONTACTGATE_TEST_PASSWORD", "open sesame")
	s := &SMTP{Address: "mail.example.com", Username: "u", Password: "{env.CONTACTGATE_TEST_PASSWORD}", SenderAddress: "Example <noreply@example.com>"}
	if err := s.Provision(moduleContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := s.From(); got != "Example <noreply@example.com>" {
		t.Errorf("from %q", got)
	}
	if s.Password != "{env.CONTACTGATE_TEST_PASSWORD}" {
		t.Error("the password is in an exported field, which Caddy may log")
	}
	bad := &SMTP{Address: "mail.example.com", Username: "u", Password: "{env.CONTACTGATE_TEST_NONE}", SenderAddress: "a@b.example", Subject: map[string]string{"en": "two\nlines"}}
	err := bad.Provision(moduleContext(t))
	for _, want := range []string{"email smtp password", `email smtp subject en`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
