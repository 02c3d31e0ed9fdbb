package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/contactgate/contactgate/internal/store/redistest"
)

// An operator moves house: from a file to Redis and back, with the real commands, and people notice nothing.
func TestMovingFromAFileToRedisAndBack(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	r := plainRig(t)
	ann := newPerson(t, r, "late.example", "ann").Verify()
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)

	onFile := r.config
	configs := map[string]string{
		"file":  onFile,
		"redis": onRedis(redis.URL(), r.dir+"/storage", plainConfig)(r),
		"back":  strings.Replace(onFile, r.dir+"/accounts.db", r.dir+"/back.db", 1),
		"other": strings.Replace(strings.Replace(onFile, r.dir+"/accounts.db", r.dir+"/other.db", 1), r.dir+"/storage", r.dir+"/other", 1),
	}
	for name, text := range configs {
		if err := os.WriteFile(filepath.Join(r.dir, name+".caddyfile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	migrate := func(from, to string) (string, int) {
		out, err := r.Command("gate", "migrate", "--from", filepath.Join(r.dir, from+".caddyfile"), "--to", filepath.Join(r.dir, to+".caddyfile"), "--adapter", "caddyfile")
		status := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		}
		return out, status
	}
	wants := func(from, to string, status int, words ...string) {
		t.Helper()
		out, got := migrate(from, to)
		if got != status {
			t.Errorf("from %s to %s: status %d, want %d:\n%s", from, to, got, status, out)
		}
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("from %s to %s: %q is not in\n%s", from, to, w, out)
			}
		}
	}

	wants("file", "redis", 1, "another process holds it", "stop the other server")
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	wants("file", "other", 3, "it has no key ring")
	wants("file", "file", 3, "the same store")
	wants("back", "redis", 1, "back.db")
	wants("file", "redis", 0, "copying", "comparing", "records, each compared byte for byte", "start contactgate with")
	wants("file", "redis", 3, "is not empty")

	r.config = configs["redis"]
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "verified, on Redis", ann.Open("/app"), http.StatusOK)
	bob.NewCase().wantGated("overdue, on Redis", bob.Open("/app"))
	newPerson(t, r, "late.example", "cyd").Verify()
	wants("redis", "back", 3, "running gates use the store")
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	wants("redis", "back", 0, "records, each compared byte for byte")
	r.config = configs["back"]
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "verified, in the other file", ann.Open("/app"), http.StatusOK)
	bob.NewCase().wantGated("overdue, in the other file", bob.Open("/app"))

	out, err := r.Command("gate", "migrate", "--help")
	if err != nil || !strings.Contains(out, "--from") || !strings.Contains(out, "is only read") {
		t.Errorf("help (%v):\n%s", err, out)
	}
	wantsUsage, err := r.Command("gate", "migrate")
	if err == nil || !strings.Contains(wantsUsage, "--from and --to") {
		t.Errorf("without flags (%v):\n%s", err, wantsUsage)
	}
}
