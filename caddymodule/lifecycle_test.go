package caddymodule

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/contactgate/contactgate/internal/testbed"
)

// server is a running Caddy, in this process.
type server struct {
	t            *testing.T
	dir          string
	site, admin  string // addresses
	globals      string // more global options
	store, extra string // path of the store; more words of the site
	redis        string // words after "store redis", in place of a path
}

// start runs a gated site, and stops it when the test ends.
func start(t *testing.T, changes ...func(s *server)) *server {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	s := &server{t: t, dir: dir, site: freeAddress(t), admin: freeAddress(t), store: filepath.Join(dir, "accounts.db")}
	for _, change := range changes {
		change(s)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func (s *server) config() string {
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	storage file_system %s
	log {
		output discard
	}
	%s
	contactgate {
		store %s
		email outbox %s
	}
}
http://%s {
	bind 127.0.0.1
	vars user {header.X-Test-User}
	contactgate {
		identity {vars.user}
		%s
	}
	respond "the app"
}
`, s.admin, filepath.Join(s.dir, "storage"), s.globals, s.storeWords(), s.t.Name(), s.site, s.extra)
}

func (s *server) storeWords() string {
	if s.redis != "" {
		return "redis " + s.redis
	}
	return "bolt " + s.store
}

// load loads the configuration as it is now.
func (s *server) load() error {
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.config()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	return caddy.Load(text, true)
}

// get asks for a page as somebody, and gives the status. A connection that was waiting at the listener of the former
// configuration is lost: Caddy by itself does so as well, each configuration has a socket of its own (SO_REUSEPORT).
func (s *server) get(user string) int {
	status, err := s.try(user)
	for range 10 {
		if err == nil {
			return status
		}
		status, err = s.try(user)
	}
	s.t.Error(err)
	return 0
}

// wants waits for an answer: right after a reload connections may come to the configuration of before, or to a rejected one.
func (s *server) wants(user string, status int) {
	s.t.Helper()
	got := 0
	if !testbed.Until(5*time.Second, func() bool { got = s.get(user); return got == status }) {
		s.t.Errorf("got %d for %q, want %d", got, user, status)
	}
}

func (s *server) try(user string) (int, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+s.site+"/", nil)
	if err != nil {
		return 0, err
	}
	r.Close = true
	r.Header.Set("X-Test-User", user)
	r.Header.Set("Sec-Fetch-Dest", "document")
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Body.Close()
}

func (s *server) handle() any {
	var handle any
	stores.Range(func(key, value any) bool {
		if key == s.store {
			handle = value
		}
		return true
	})
	return handle
}

// TestReloadsKeepOneStore: however often the configuration changes, the file is opened once.
func TestReloadsKeepOneStore(t *testing.T) {
	s := start(t)
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Fatalf("got %d", got)
	}
	first := s.handle()
	done := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if got := s.get(""); got != http.StatusOK {
				t.Errorf("during a reload: %d", got)
			}
		}
	})
	for range 10 {
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		if s.handle() != first {
			t.Fatal("another handle")
		}
	}
	close(done)
	load.Wait()
	if users, _ := stores.References(s.store); users != 1 {
		t.Errorf("%d configurations use the store", users)
	}
	// The interruption is remembered: the store is the same one.
	if got := s.get("ann"); got != http.StatusOK {
		t.Errorf("asked again: %d", got)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, open := stores.References(s.store); open {
		t.Error("nobody uses the store, and it is open")
	}
}

// TestRejectedReloadKeepsTheOld: whether it fails while it is read or when it starts.
func TestRejectedReloadKeepsTheOld(t *testing.T) {
	s := start(t)
	first := s.handle()
	path := s.store
	for name, change := range map[string]func(){
		"refused":                      func() { s.extra = "realm \"a b\"" },
		"cannot start":                 func() { s.store = s.dir }, // a folder
		"cannot start, other path":     func() { s.store = "/dev/null/accounts.db" },
		"another handler fails":        func() { s.globals = "servers {\ntrusted_proxies static nonsense\n}" },
		"the sender has lost its name": func() { s.globals = "order nonsense" },
	} {
		t.Run(name, func(t *testing.T) {
			change()
			if err := s.load(); err == nil {
				t.Fatal("it was loaded")
			}
			s.extra, s.store, s.globals = "", path, ""
			if got := s.get(""); got != http.StatusOK {
				t.Errorf("got %d", got)
			}
			s.wants(name, http.StatusSeeOther) // somebody new
			if users, _ := stores.References(path); users != 1 || s.handle() != first {
				t.Errorf("%d configurations use the store", users)
			}
		})
	}
	if err := s.load(); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// TestStoreMoves: a reload with another path closes the first file when nobody needs it any more.
func TestStoreMoves(t *testing.T) {
	s := start(t)
	first := s.store
	s.store = filepath.Join(s.dir, "other.db")
	// Another store is one that has lost its name, and not used: requests hear 503, the reload succeeds.
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if !testbed.Until(5*time.Second, func() bool { _, open := stores.References(first); return !open }) {
		t.Error("the first store is still held")
	}
	s.wants("ann", http.StatusServiceUnavailable)
}

// TestValidateBesideTheRunningServer is "caddy validate" in another terminal.
func TestValidateBesideTheRunningServer(t *testing.T) {
	s := start(t)
	files := func() string {
		var list strings.Builder
		_ = filepath.Walk(s.dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				fmt.Fprintln(&list, path, info.Size(), info.ModTime().UnixNano())
			}
			return err
		})
		return list.String()
	}
	before, began := files(), time.Now()
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.config()), nil)
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(text, &config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if after := files(); after != before {
		t.Errorf("files changed:\n%s\nwere\n%s", after, before)
	}
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Errorf("got %d", got)
	}
}

// TestCleanupOfWhatNeverWorked: Caddy cleans up after a failed Provision, and more than once does no harm.
func TestCleanupOfWhatNeverWorked(t *testing.T) {
	for _, m := range []caddy.CleanerUpper{new(App), new(Bolt), new(OutboxSender)} {
		for range 2 {
			if err := m.Cleanup(); err != nil {
				t.Errorf("%T: %v", m, err)
			}
		}
	}
	if err := new(App).Stop(); err != nil {
		t.Error(err)
	}
}

func TestOutboxIsSharedOverReloads(t *testing.T) {
	s := start(t)
	box, ok := Outbox(t.Name())
	if !ok {
		t.Fatal("there is none")
	}
	s.extra = "grace 3d"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if again, ok := Outbox(t.Name()); !ok || again != box {
		t.Error("another one after a reload")
	}
	if _, ok := Outbox("no such"); ok {
		t.Error("found one that does not exist")
	}
}
