package caddymodule

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/testbed"
	"github.com/contactgate/contactgate/internal/verify"
)

func TestRedisURL(t *testing.T) {
	t.Setenv("CONTACTGATE_TEST_PASSWORD", "p:a@s/s?#{x}")
	t.Setenv("CONTACTGATE_TEST_HOSTS", "a:1,b:2")
	for name, tt := range map[string]struct {
		Redis
		addresses      []string
		user, password string
		database       int
		tls            bool
	}{
		"all of it":                 {Redis{URL: "redis://gate:secret@10.0.0.5:6380/3"}, []string{"10.0.0.5:6380"}, "gate", "secret", 3, false},
		"a host":                    {Redis{URL: "rediss://redis.internal"}, []string{"redis.internal:6379"}, "", "", 0, true},
		"a password alone":          {Redis{URL: "redis://:secret@a"}, []string{"a:6379"}, "", "secret", 0, false},
		"a placeholder":             {Redis{URL: "redis://gate:{env.CONTACTGATE_TEST_PASSWORD}@a/1"}, []string{"a:6379"}, "gate", "p:a@s/s?#{x}", 1, false},
		"written with signs":        {Redis{URL: "redis://g%40te:%2F%3A%40@a"}, []string{"a:6379"}, "g@te", "/:@", 0, false},
		"in the block":              {Redis{URL: "redis://a", Username: "gate", Password: "{env.CONTACTGATE_TEST_PASSWORD}"}, []string{"a:6379"}, "gate", "p:a@s/s?#{x}", 0, false},
		"user there, password here": {Redis{URL: "redis://gate@a", Password: "x"}, []string{"a:6379"}, "gate", "x", 0, false},
		"a Cluster":                 {Redis{URL: "rediss://a:1,b,[::1]:3,[fe80::1]", Cluster: true}, []string{"a:1", "b:6379", "[::1]:3", "[fe80::1]:6379"}, "", "", 0, true},
		"a Cluster by name":         {Redis{URL: "redis://{env.CONTACTGATE_TEST_HOSTS}", Cluster: true}, []string{"a:1", "b:2"}, "", "", 0, false},
		"Sentinels":                 {Redis{URL: "redis://s1,s2:7/2", SentinelMaster: "accounts"}, []string{"s1:26379", "s2:7"}, "", "", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := tt.config()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.Addresses, tt.addresses) || c.Username != tt.user || c.Password != tt.password || c.Database != tt.database || (c.TLS != nil) != tt.tls {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestRedisConfigurationThatCannotWork(t *testing.T) {
	for want, r := range map[string]Redis{
		"is not host:port":                    {URL: "redis://a:b"},
		`"2001:db8::1" is not host:port`:      {URL: "redis://2001:db8::1"},
		`"" is not host:port`:                 {URL: "redis://a,"},
		"2 hosts are named":                   {URL: "redis://a,b"},
		"is no number":                        {URL: "redis://a/x"},
		"has the database 0 only":             {URL: "redis://a/1", Cluster: true},
		"either a Cluster or watched over by": {URL: "redis://a", Cluster: true, SentinelMaster: "m"},
		"store redis URL, password":           {URL: "redis://u:{env.CONTACTGATE_TEST_NONE}@a"},
		"store redis ca: open /no/such":       {URL: "rediss://a", CA: "/no/such.pem"},
		"there is no certificate in":          {URL: "rediss://a", CA: "redis_test.go"},
		"go together":                         {URL: "rediss://a", Certificate: "/x.pem"},
	} {
		_, err := r.config()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", r.URL, err, want)
		}
	}
	_, err := (&Redis{URL: "redis://u:top secret@a/x"}).config()
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in %v", err)
	}
}

// TestOneHandlePerRedis: what is the same is shared over reloads, and whatever differs is not.
func TestOneHandlePerRedis(t *testing.T) {
	t.Setenv("CONTACTGATE_TEST_PASSWORD", "secret")
	base := Redis{URL: "redis://gate:{env.CONTACTGATE_TEST_PASSWORD}@a:6379/1"}
	provision := func(r Redis) *Redis {
		t.Helper()
		if err := r.Provision(moduleContext(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Cleanup(); err != nil {
				t.Error(err)
			}
		})
		return &r
	}
	first := provision(base)
	if again := provision(Redis{URL: "redis://a/1", Username: "gate", Password: "secret"}); again.Redis != first.Redis {
		t.Error("the same Redis in other words has another handle")
	}
	if strings.Contains(first.key, "secret") {
		t.Error("the password is in the key")
	}
	for name, r := range map[string]Redis{
		"password": {URL: "redis://gate:other@a:6379/1"}, "user": {URL: "redis://other:secret@a:6379/1"}, "database": {URL: "redis://gate:secret@a:6379/2"},
		"TLS": {URL: "rediss://gate:secret@a:6379/1"}, "port": {URL: "redis://gate:secret@a:6380/1"}, "namespace": {URL: "redis://gate:secret@a:6379/1", Namespace: "other"},
		"kind": {URL: "redis://gate:secret@a:6379/1", SentinelMaster: "m"},
	} {
		if provision(r).Redis == first.Redis {
			t.Errorf("another %s has the same handle", name)
		}
	}
}

// onRedis makes a server keep its accounts there.
func onRedis(words string) func(s *server) { return func(s *server) { s.redis = words } }

// TestValidateConnectsToNoRedis is "caddy validate" in another terminal.
func TestValidateConnectsToNoRedis(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	connected := make(chan struct{}, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connected <- struct{}{}
			_ = c.Close()
		}
	}()
	s := &server{t: t, dir: t.TempDir(), site: freeAddress(t), admin: freeAddress(t), redis: "redis://" + l.Addr().String()}
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(s.config()), nil)
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(text, &config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		t.Error(err)
	}
	select {
	case <-connected:
		t.Error("it connected")
	case <-time.After(100 * time.Millisecond):
	}
}

// TestRedisThatComesLater is R01: the server starts without it, whether it is away or hangs, answers 503 in time, and works
// as soon as it is there.
func TestRedisThatComesLater(t *testing.T) {
	for name, tt := range map[string]struct{ before, comes func(redis *redistest.Server) }{
		"away":  {func(*redistest.Server) {}, (*redistest.Server).Start},
		"hangs": {func(redis *redistest.Server) { redis.Start(); redis.Pause() }, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			redis := redistest.New(t)
			tt.before(redis)
			began := time.Now()
			s := start(t, onRedis(redis.URL()), func(s *server) { s.extra = "exempt {\npath /public/*\n}" })
			// It waits a second for Redis; more than that is the machine. What is a fault is a start that waits for ever.
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("the start took %s", took)
			}
			for range 3 {
				began := time.Now()
				if got, took := s.get("ann"), testbed.Took(began); got != http.StatusServiceUnavailable || took > 2*time.Second {
					t.Errorf("got %d after %s", got, took)
				}
			}
			if got := s.get(""); got != http.StatusOK {
				t.Errorf("nobody: %d", got)
			}
			began = time.Now()
			tt.comes(redis)
			if !testbed.Until(5*time.Second, func() bool { return s.get("ann") == http.StatusSeeOther }) {
				t.Fatal("still not, 5 s after Redis came")
			}
			t.Logf("works %s after Redis came", time.Since(began))
		})
	}
}

// TestRedisThatMustNotBeUsedIsRefused: a configuration that cannot work is rejected, with what to do, and the old one
// stays.
func TestRedisThatMustNotBeUsedIsRefused(t *testing.T) {
	s := start(t)
	evicts := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	locked := redistest.Start(t)
	locked.Do("CONFIG", "SET", "requirepass", "right")
	node := redistest.StartNode(t)
	replica := redistest.Start(t)
	replica.Do("REPLICAOF", "127.0.0.1", "1")
	_, tlsAddress, _ := redistest.StartTLS(t)
	fine := redistest.Start(t)
	for want, words := range map[string]string{
		"set maxmemory-policy noeviction": evicts.URL(),
		"look at user and password":       "redis://:wrong@" + locked.Addr,
		"does not let us in":              locked.URL(),
		"write: store redis cluster":      node.URL(),
		"write: store redis redis://":     "cluster " + fine.URL(),
		"name its master":                 replica.URL(),
		"the certificate of Redis is not": "rediss://" + tlsAddress,
	} {
		var err error
		for try := 0; err == nil && try < 5; try++ {
			s.redis = words
			err = s.load()
			s.redis = ""
			if err == nil { // a Redis that takes longer than a second is not waited for: the machine is busy
				if err := s.load(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
		if got := s.get("ann"); got != http.StatusSeeOther && got != http.StatusOK {
			t.Errorf("the old configuration answers %d", got)
		}
	}
}

// TestRedisOverTLSWithItsOwnUser: everything that a careful operator sets. The user may do what the README says.
func TestRedisOverTLSWithItsOwnUser(t *testing.T) {
	redis, address, ca := redistest.StartTLS(t)
	words := []any{"ACL", "SETUSER", "gate", "on", ">s3cret:/@"}
	for _, rule := range strings.Fields("~contactgate:* &contactgate:* " + store.RedisRights) {
		words = append(words, rule)
	}
	redis.Do(words...)
	redis.Do("ACL", "SETUSER", "default", "off")
	t.Setenv("CONTACTGATE_TEST_PASSWORD", "s3cret:/@")
	s := start(t, onRedis(fmt.Sprintf("rediss://gate:{env.CONTACTGATE_TEST_PASSWORD}@%s {\nca %s\n}", address, ca)))
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Errorf("got %d", got)
	}
	if got := s.get("ann"); got != http.StatusOK {
		t.Errorf("got %d, with the interruption a moment ago", got)
	}
}

// TestDoctorSaysWhatRedisDoesNotKeep: a promise that depends on how Redis is set up is named when it is not kept.
func TestDoctorSaysWhatRedisDoesNotKeep(t *testing.T) {
	careless := redistest.Start(t, "--appendonly", "no")
	careful := redistest.Start(t)
	s := start(t, onRedis(careful.URL()))
	if _, body := s.post("/contactgate/doctor", "application/json", "{}"); strings.Contains(body, "store durability") || !strings.Contains(body, `"ok":true`) {
		t.Errorf("every write is on disk: %s", body)
	}
	s.redis = careless.URL() + " {\nnamespace other\n}"
	s.dir = t.TempDir() // another installation
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	_, body := s.post("/contactgate/doctor", "application/json", "{}")
	for _, want := range []string{`"ok":false`, "store durability", "nothing is written to disk", "set appendonly yes", "(P5)", "(P3)", "add a replica"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in %s", want, body)
		}
	}
}

// TestNodeWithAnotherRingDoesNotStart: what it would write nobody else could read.
func TestNodeWithAnotherRingDoesNotStart(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, onRedis(redis.URL()))
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Fatalf("got %d", got)
	}
	ring, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "ring")
	if err := os.WriteFile(file, []byte(ring), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := verify.ParseKeyring(ring)
	if err != nil {
		t.Fatal(err)
	}
	s.redis += "\nkeys {file." + file + "}"
	err = s.load()
	if err == nil || !strings.Contains(err.Error(), "key ring") || !strings.Contains(err.Error(), other.Fingerprint()) {
		t.Errorf("got %v", err)
	}
}
