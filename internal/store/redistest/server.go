// Package redistest starts Redis servers for tests: a lone one, a Sentinel set, a Cluster. All are real ones (Debian's
// redis-server), on loopback, with free ports and folders that go with the test.
package redistest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/contactgate/contactgate/internal/testbed"
)

// Server is one redis-server or sentinel.
type Server struct {
	// Addr is its host:port, the same after every start.
	Addr string

	t       testing.TB
	folder  string
	binary  string
	program string // what the binary is called as, which tells it what to be
	args    []string
	process *exec.Cmd
	gone    chan struct{}
	client  *redis.Client
}

// Start runs a lone server that keeps what it is told in an append-only file, synced always, and waits until it answers.
// More arguments are words of redis.conf: "--maxmemory", "1mb".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := New(t, args...)
	s.Start()
	return s
}

// New is Start, without starting it.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	return newServer(t, "redis-server", append([]string{"--appendonly", "yes", "--appendfsync", "always"}, args...))
}

func newServer(t testing.TB, program string, args []string) *Server {
	t.Helper()
	testbed.Watch()
	binary := find(t)
	folder, err := testbed.MkdirTemp("redis")
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	s := &Server{Addr: "127.0.0.1:" + port, t: t, folder: folder, binary: binary, program: program}
	s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "",
		"--logfile", filepath.Join(folder, "log"), "--daemonize", "no", "--repl-diskless-sync-delay", "0",
		"--repl-diskless-load", "swapdb", "--repl-ping-replica-period", "1", "--enable-debug-command", "yes"}, args...)
	s.client = redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true,
		ContextTimeoutEnabled: true, ReadTimeout: 10 * time.Second})
	t.Cleanup(s.end)
	return s
}

// find gives the program. In Debian's redis-tools it is there under the name of another; the package redis-server would
// also start a server for the whole machine.
func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"redis-server", "redis-check-rdb"} {
		if binary, err := exec.LookPath(name); err == nil {
			return binary
		}
	}
	if os.Getenv("CONTACTGATE_REDIS") != "" {
		t.Fatal("there is no redis-server, and CONTACTGATE_REDIS says that there is: run .ci/deps")
	}
	t.Skip("there is no redis-server: run .ci/deps, as make test does")
	return ""
}

// Start runs the server, for the first time or again with what it had on disk.
func (s *Server) Start() {
	s.t.Helper()
	cmd := exec.Command(s.binary, s.args...)
	cmd.Args[0], cmd.Dir = s.program, s.folder
	if err := launch(cmd); err != nil {
		s.t.Fatalf("starting %s: %v", s.program, err)
	}
	s.process, s.gone = cmd, make(chan struct{})
	go func(gone chan struct{}) {
		_ = cmd.Wait()
		close(gone)
	}(s.gone)
	s.WaitFor("an answer", 10*time.Second, func() bool { return s.ask(time.Second, "PING") == nil })
}

// launcher is the one thread that starts servers: the system ends them when it ends, which is with the test's process,
// however that ends.
var launcher = func() chan func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
}()

func launch(cmd *exec.Cmd) error {
	cmd.SysProcAttr = endsWithUs()
	done := make(chan error)
	launcher <- func() { done <- cmd.Start() }
	return <-done
}

// WaitFor asks again and again until it is so.
func (s *Server) WaitFor(what string, patience time.Duration, is func() bool) {
	s.t.Helper()
	if !testbed.Until(patience, is) {
		log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
		s.t.Fatalf("%s %s: waited %s for %s\n%s", s.program, s.Addr, patience, what, tail(log))
	}
}

func tail(log []byte) []byte { return log[max(0, len(log)-2000):] }

// Do runs a command on the server and gives the answer.
func (s *Server) Do(words ...any) any {
	s.t.Helper()
	answer, err := s.client.Do(context.Background(), words...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatalf("%v on %s: %v", words[0], s.Addr, err)
	}
	return answer
}

// Try runs a command that may fail.
func (s *Server) Try(words ...any) error { return s.ask(2*time.Second, words...) }

func (s *Server) ask(patience time.Duration, words ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.client.Do(ctx, words...).Err()
}

// Info gives one field of INFO, empty when it has none.
func (s *Server) Info(field string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	text, _ := s.client.Info(ctx, "everything").Result()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// InSync waits until so many replicas have all that the server has. A link that is up need not carry anything yet.
func (s *Server) InSync(replicas int64) {
	s.t.Helper()
	s.WaitFor("its replicas", 15*time.Second, func() bool {
		var have *redis.Cmd
		_, _ = s.client.Pipelined(context.Background(), func(p redis.Pipeliner) error {
			p.Set(context.Background(), "nothing", "", 0)
			p.Del(context.Background(), "nothing")
			have = p.Do(context.Background(), "WAIT", replicas, 100)
			return nil
		})
		n, _ := have.Int64()
		// A server that had no replica when it wrote counts one that has nothing yet as having all of nothing.
		return n >= replicas && !strings.Contains(s.Info("slave"+strconv.FormatInt(replicas-1, 10)), "offset=0,")
	})
}

// Kill ends the server at once (SIGKILL).
func (s *Server) Kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	<-s.gone
}

// Pause makes it hang: it takes connections and bytes and answers nothing (SIGSTOP).
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume lets it go on after Pause.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("%s %s: %v", sig, s.Addr, err)
	}
}

func (s *Server) end() {
	_ = s.client.Close()
	if s.process != nil {
		_ = s.process.Process.Signal(syscall.SIGKILL)
		<-s.gone
	}
	_ = os.RemoveAll(s.folder)
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// URL is the server for a Caddyfile.
func (s *Server) URL() string { return "redis://" + s.Addr }

// StartTLS runs a lone server with a TLS port besides, and gives that port's address and the file with the authority of
// its certificate, which is for localhost.
func StartTLS(t testing.TB, args ...string) (s *Server, address, ca string) {
	t.Helper()
	folder := t.TempDir()
	ca, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	if err := certify(ca, key); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	s = Start(t, append([]string{"--tls-port", port, "--tls-cert-file", ca, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "optional"}, args...)...)
	return s, "localhost:" + port, ca
}

func certify(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}
