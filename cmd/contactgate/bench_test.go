package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// People, rounds and how long each takes. All can be set, for a quick look or a long one.
var (
	benchPeople = fromEnv("CONTACTGATE_BENCH_PEOPLE", 100_000)
	benchRounds = fromEnv("CONTACTGATE_BENCH_ROUNDS", 20)
	benchTime   = time.Duration(fromEnv("CONTACTGATE_BENCH_SECONDS", 1)) * time.Second
)

// What a node remembers it remembers for a minute, and meeting everybody once takes some seconds of that: after this long
// everybody is met again before the gate is measured warm.
const stillWarm = 30 * time.Second

func fromEnv(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

const benchConfig = `{
	admin localhost:%[1]d
	persist_config off
	auto_https off
	storage file_system %[2]s/storage
	log {
		level ERROR
	}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	contactgate {
		store bolt %[2]s/accounts.db
		keys {file.%[2]s/keys}
		email outbox
		brand "Bench"
	}
}
http://localhost:%[3]d {
	reverse_proxy %[6]s
}
http://localhost:%[4]d {
	contactgate {
		identity {header.Remote-User} {
			set_by trusted_proxies
		}
	}
	reverse_proxy %[6]s
}
http://localhost:%[5]d {
	forward_auth %[6]s {
		uri /auth
		copy_headers X-Nobody
	}
	reverse_proxy %[6]s
}
`

// TestBenchGate compares, in one run of one process, a bare reverse_proxy, the gate with verified people, and
// forward_auth to a handler that does nothing. It prints every round; it fails only when requests fail.
func TestBenchGate(t *testing.T) {
	if os.Getenv("CONTACTGATE_BENCH") == "" {
		t.Skip("a benchmark: run it with make bench")
	}
	dir := t.TempDir()
	seedVerified(t, dir, benchPeople)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "hello")
	}))
	defer app.Close()
	ports := []int{freePortFor(t), freePortFor(t), freePortFor(t), freePortFor(t)}
	server := startBench(t, dir, ports, strings.TrimPrefix(app.URL, "http://"))
	kinds := []struct {
		name string
		port int
	}{{"bare reverse_proxy", ports[1]}, {"gate, verified", ports[2]}, {"forward_auth to 200", ports[3]}}

	began := time.Now()
	warm := load(t, kinds[1].port, 16, 0, benchPeople)
	t.Logf("cold: every one of %d people once, 16 connections: %.0f requests/s", benchPeople, float64(warm)/time.Since(began).Seconds())
	warmed := time.Now()
	for _, connections := range []int{16, 128} {
		rates, costs := map[string][]float64{}, map[string][]float64{}
		for round := range benchRounds {
			if time.Since(warmed) > stillWarm {
				load(t, kinds[1].port, 16, 0, benchPeople)
				warmed = time.Now()
			}
			line := fmt.Sprintf("%3d connections, round %d:", connections, round+1)
			for i := range kinds {
				kind := kinds[(i+round)%len(kinds)] // nobody is always first
				cpu := cpuTime(t, server)
				began := time.Now()
				n := load(t, kind.port, connections, benchTime, benchPeople)
				rate := float64(n) / time.Since(began).Seconds()
				cost := float64((cpuTime(t, server) - cpu).Microseconds()) / float64(n)
				rates[kind.name], costs[kind.name] = append(rates[kind.name], rate), append(costs[kind.name], cost)
				line += fmt.Sprintf("  %s %.0f/s %.1f µs", kind.name, rate, cost)
			}
			t.Log(line)
		}
		bare := kinds[0].name
		for _, kind := range kinds[1:] {
			t.Logf("%3d connections, median of %d rounds: %s / %s = %.3f in requests/s, CPU %+.1f µs per request", connections, benchRounds,
				kind.name, bare, medianRatio(rates[kind.name], rates[bare]), median(costs[kind.name])-median(costs[bare]))
		}
	}
}

// seedVerified writes a store with so many verified people, and its keys.
func seedVerified(t *testing.T, dir string, people int) {
	t.Helper()
	ring, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys"), []byte(ring), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := verify.ParseKeyring(ring)
	if err != nil {
		t.Fatal(err)
	}
	bolt := store.NewBolt(store.BoltConfig{Path: filepath.Join(dir, "accounts.db")})
	quiet := slog.New(slog.DiscardHandler)
	flow := verify.New(verify.Config{Store: bolt, Keys: keys, Now: time.Now, Rand: rand.Reader, Log: quiet, Audit: quiet})
	now := time.Now()
	var next atomic.Int64
	var group sync.WaitGroup
	for range 256 { // together they share a sync
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < people; i = int(next.Add(1)) - 1 {
				if err := flow.Seed(context.Background(), verifiedPerson(i, now)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := bolt.Close(); err != nil {
		t.Fatal(err)
	}
}

func verifiedPerson(i int, now time.Time) policy.Account {
	return policy.Account{Realm: "default", User: benchUser(i), Since: now, EverVerified: true, Contacts: []policy.Contact{
		{ID: "c1", Kind: policy.Email, Address: policy.Address(fmt.Sprintf("person.%d@example.com", i)), By: "signin", Added: now, Verified: now},
		{ID: "c2", Kind: policy.Email, Address: policy.Address(fmt.Sprintf("second.%d@example.net", i)), By: "person", Added: now},
	}}
}

func benchUser(i int) string { return fmt.Sprintf("user%07d", i) }

func startBench(t *testing.T, dir string, ports []int, app string) int {
	t.Helper()
	binary := filepath.Join(dir, "contactgate")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf(benchConfig, ports[0], dir, ports[1], ports[2], ports[3], app)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(binary, "run", "--config", config)
	server.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	for _, port := range ports[1:] {
		for try := 0; ; try++ {
			conn, err := net.Dial("tcp", fmt.Sprint("localhost:", port))
			if err == nil {
				_ = conn.Close()
				break
			}
			if try == 100 {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return server.Process.Pid
}

// load sends requests of people in random order until the time is over, or, without a time, each person's once. It
// returns how many were answered with 200; anything else fails the benchmark.
func load(t *testing.T, port, connections int, d time.Duration, people int) int {
	t.Helper()
	order := mathrand.Perm(people)
	var next, answered atomic.Int64
	end := time.Now().Add(d)
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			conn, err := net.Dial("tcp", fmt.Sprint("localhost:", port))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for {
				i := next.Add(1) - 1
				if d == 0 && int(i) >= people || d > 0 && time.Now().After(end) {
					return
				}
				if err := ask(conn, answers, port, benchUser(order[int(i)%people])); err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	group.Wait()
	return int(answered.Load())
}

func ask(conn net.Conn, answers *bufio.Reader, port int, user string) error {
	request := "GET /app/page?x=1 HTTP/1.1\r\nHost: localhost:" + strconv.Itoa(port) + "\r\nRemote-User: " + user +
		"\r\nAccept: text/html\r\nUser-Agent: bench\r\nCookie: sess=0123456789abcdef\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	status, err := answers.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("%s for %s", strings.TrimSpace(status), user)
	}
	length := 0
	for {
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	_, err = answers.Discard(length)
	return err
}

// cpuTime is what the server has used of the processors so far (proc(5), fields 14 and 15, in hundredths of a second).
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// medianRatio compares round by round, so that a slow minute of the machine weighs on both sides.
func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}

func freePortFor(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
