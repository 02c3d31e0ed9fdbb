package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/testbed"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// People, rounds and how long each takes. All can be set, for a quick look or a long one.
var (
	// benchPeople are those who come again and again. benchAccounts are in the store; the rest of them come once at most, as
	// people whom the node does not know yet.
	benchPeople   = fromEnv("CONTACTGATE_BENCH_PEOPLE", 100_000)
	benchAccounts = max(2*benchPeople, fromEnv("CONTACTGATE_BENCH_ACCOUNTS", 0))
	// Rounds are short and many: the machine's own weather changes from second to second, and weighs on a whole round alike.
	// What is far from the bare site needs fewer of them.
	benchRounds = fromEnv("CONTACTGATE_BENCH_ROUNDS", 101)
	roughRounds = max(5, benchRounds/8)
	benchTime   = time.Duration(fromEnv("CONTACTGATE_BENCH_MILLISECONDS", 250)) * time.Millisecond
)

const (
	// remembered is how long a node remembers somebody, however often they come.
	remembered = time.Minute
	// latePeople are overdue: every request of theirs is answered with a redirect to our page.
	latePeople = 10_000
	// devicePeople come from a browser that they have ticked as their own, to a site with device_code on.
	devicePeople = 10_000
	deviceRealm  = "devices"
)

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
		%[9]s
		keys {file.%[2]s/keys}
		email outbox
		brand "Bench"
	}
}
http://localhost:%[3]d {
	reverse_proxy %[8]s
}
http://localhost:%[4]d {
	contactgate {
		realm default
		identity {header.Remote-User} {
			set_by trusted_proxies
		}
	}
	reverse_proxy %[8]s
}
http://localhost:%[5]d {
	forward_auth %[8]s {
		uri /auth
		copy_headers X-Nobody
	}
	reverse_proxy %[8]s
}
http://localhost:%[6]d {
	respond hello
}
http://localhost:%[7]d {
	redir * /elsewhere 303
}
http://localhost:%[10]d {
	contactgate {
		realm devices
		device_code on
		identity {header.Remote-User} {
			set_by trusted_proxies
		}
	}
	reverse_proxy %[8]s
}
`

// contestant is one kind of site that is measured.
type contestant struct {
	name   string
	port   int
	user   func(i int) string
	people int
	status string
	// once: nobody comes twice.
	once *atomic.Int64
	// cookie is what somebody's browser sends beside the app's session; nil: nothing.
	cookie func(i int) string
}

// TestBenchGate compares, in one run of one process, a bare reverse_proxy, the gate with verified people, forward_auth to
// a handler that does nothing, a static answer, and redirects. It prints every round; it fails only when requests fail.
// With CONTACTGATE_BENCH_REPORT=folder it leaves its tables and plots there.
func TestBenchGate(t *testing.T) {
	if os.Getenv("CONTACTGATE_BENCH") == "" {
		t.Skip("a benchmark: run it with make bench")
	}
	dir := t.TempDir()
	accounts, line, size := benchStore(t, dir)
	cookies, each := seedBench(t, dir, accounts, size)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "hello")
	}))
	defer app.Close()
	var ports [7]int
	for i := range ports {
		ports[i] = freePortFor(t)
	}
	server := startBench(t, dir, ports[:], strings.TrimPrefix(app.URL, "http://"), line)
	bare := contestant{"bare reverse_proxy", ports[1], benchUser, benchPeople, "200", nil, nil}
	// The same site once more shows how far two measurements of one thing are apart here.
	again := contestant{"bare, once more", ports[1], benchUser, benchPeople, "200", nil, nil}
	gate := contestant{"gate, verified", ports[2], benchUser, benchPeople, "200", nil, nil}
	auth := contestant{"forward_auth to 200", ports[3], benchUser, benchPeople, "200", nil, nil}
	static := contestant{"static answer", ports[4], benchUser, benchPeople, "200", nil, nil}
	redirect := contestant{"bare redirect", ports[5], benchUser, benchPeople, "303", nil, nil}
	interrupt := contestant{"gate, overdue (303)", ports[2], lateUser, latePeople, "303", nil, nil}
	device := contestant{"gate, trusted browser", ports[6], deviceUser, devicePeople, "200", nil, func(i int) string { return cookies[i] }}
	unknown := contestant{"gate, cold", ports[2], func(i int) string { return benchUser(benchPeople + i) }, benchAccounts - benchPeople, "200", new(atomic.Int64), nil}
	b := &bench{t: t, server: server, admin: ports[0], gate: gate, device: device,
		report: &report{Store: strings.Fields(line)[1], Accounts: benchAccounts, People: benchPeople, StoredBytes: each}}

	// A node that has just begun on Redis forgets, once it has listened for a second, whom it has met before that.
	time.Sleep(3 * time.Second)
	before := residentMemory(t, server)
	began := time.Now()
	met := b.meetEverybody()
	b.report.ColdRate = float64(met) / time.Since(began).Seconds()
	b.report.BytesPerPerson = float64(residentMemory(t, server)-before) / float64(benchPeople)
	t.Logf("cold: every one of %d people once, 16 connections: %.0f requests/s; resident memory grew by %.0f bytes a person", benchPeople, b.report.ColdRate, b.report.BytesPerPerson)

	for _, connections := range []int{16, 128} {
		b.compare(connections, benchRounds, true, bare, again, gate, device)
		b.compare(connections, roughRounds, true, bare, unknown, auth, static)
	}
	b.compare(128, roughRounds, false, redirect, interrupt)
	b.compareAtFixedRate(16, bare, again, gate, device)
	b.report.Memory = residentMemory(t, server)
	b.report.write(t)
}

// benchStore is bolt, or a Redis of its own when CONTACTGATE_BENCH_STORE says so, with the line that names it, and how many
// bytes it takes: of the file, or of Redis's memory.
func benchStore(t *testing.T, dir string) (accounts store.Store, line string, size func() int) {
	if os.Getenv("CONTACTGATE_BENCH_STORE") == "redis" {
		server := redistest.Start(t)
		return store.NewRedis(store.RedisConfig{Addresses: []string{server.Addr}}), "store redis " + server.URL(), func() int {
			used, err := strconv.Atoi(server.Info("used_memory"))
			if err != nil {
				t.Fatal(err)
			}
			return used
		}
	}
	path := filepath.Join(dir, "accounts.db")
	return store.NewBolt(store.BoltConfig{Path: path}), "store bolt " + path, func() int {
		info, err := os.Stat(path)
		if os.IsNotExist(err) {
			return 0 // it is made when it is first used
		}
		if err != nil {
			t.Fatal(err)
		}
		return int(info.Size())
	}
}

// bench is one run.
type bench struct {
	t      *testing.T
	server int
	admin  int
	gate   contestant
	device contestant
	report *report
	// began and met are when everybody was last met.
	began, met time.Time
}

func (b *bench) meetEverybody() int {
	b.began = time.Now()
	met, _ := load(b.t, b.gate, 16, 0)
	load(b.t, b.device, 16, 0)
	b.met = time.Now()
	return len(met)
}

// keepWarm makes sure that everybody is remembered for as long as a round takes. Who is remembered still is not looked up
// again, so the next meeting has to wait until everybody is forgotten.
func (b *bench) keepWarm(round time.Duration) {
	if time.Since(b.began)+round+2*time.Second < remembered {
		return
	}
	time.Sleep(time.Until(b.met.Add(remembered + time.Second)))
	b.meetEverybody()
}

// hits is how many decisions were made from what the node remembers, of how many.
func (b *bench) hits() (hits, all float64) {
	answer, err := http.Get(fmt.Sprintf("http://localhost:%d/metrics", b.admin))
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if name, value, _ := strings.Cut(lines.Text(), " "); strings.HasPrefix(name, "contactgate_cache_requests_total") {
			n, _ := strconv.ParseFloat(value, 64)
			if all += n; strings.Contains(name, `"hit"`) {
				hits += n
			}
		}
	}
	return hits, all
}

// compare measures targets in turns, the first of them as the one that the others are compared with. Warm: the people of
// the gate are remembered, all of them.
func (b *bench) compare(connections, rounds int, warm bool, targets ...contestant) {
	rates, costs := make([][]float64, len(targets)), make([][]float64, len(targets))
	p50, p99 := make([][]float64, len(targets)), make([][]float64, len(targets))
	for round := range rounds {
		if warm {
			b.keepWarm(time.Duration(len(targets)) * benchTime)
		}
		hits, all := b.hits()
		line := fmt.Sprintf("%3d connections, round %d:", connections, round+1)
		for _, i := range mathrand.Perm(len(targets)) { // nobody always comes after the same one
			cpu := cpuTime(b.t, b.server)
			times, took := load(b.t, targets[i], connections, benchTime)
			rates[i] = append(rates[i], float64(len(times))/took.Seconds())
			costs[i] = append(costs[i], float64((cpuTime(b.t, b.server)-cpu).Microseconds())/float64(max(len(times), 1)))
			p50[i] = append(p50[i], float64(percentile(times, 0.50).Microseconds()))
			p99[i] = append(p99[i], float64(percentile(times, 0.99).Microseconds()))
			line += fmt.Sprintf("  %s %.0f/s %.1f µs", targets[i].name, rates[i][round], costs[i][round])
		}
		if h, a := b.hits(); a > all {
			line += fmt.Sprintf("; %.0f decisions from memory, %.0f not", h-hits, a-all-(h-hits))
		}
		b.t.Log(line)
	}
	for i, target := range targets {
		row := throughput{
			Connections: connections, Name: target.name, Base: targets[0].name, Rate: median(rates[i]), CPU: median(costs[i]),
			Ratio: middleOf(rates[i], rates[0], ratio), AddedCPU: middleOf(costs[i], costs[0], difference), Rates: rates[i],
			P50: median(p50[i]), P99: median(p99[i]),
		}
		b.report.Throughput = append(b.report.Throughput, row)
		b.t.Logf("%3d connections, medians of %d rounds: %s %.0f/s, %.3f (%.3f to %.3f) of %s; CPU %.1f µs a request, %+.1f µs (%+.1f to %+.1f)", connections, rounds,
			row.Name, row.Rate, row.Ratio.median, row.Ratio.least, row.Ratio.most, row.Base, row.CPU, row.AddedCPU.median, row.AddedCPU.least, row.AddedCPU.most)
	}
}

// compareAtFixedRate measures how long answers take at a third of what the slower of the targets can do.
func (b *bench) compareAtFixedRate(connections int, targets ...contestant) {
	rate := b.report.slowest(connections, targets) / 3
	rounds := max(5, benchRounds/5)
	found := make([]latency, len(targets))
	for i := range targets {
		found[i].Name, found[i].Rate = targets[i].name, rate
	}
	for round := range rounds {
		b.keepWarm(time.Duration(len(targets)) * 4 * benchTime)
		for _, i := range mathrand.Perm(len(targets)) {
			times := loadAtRate(b.t, targets[i], connections, rate, 4*benchTime)
			found[i].P50 = append(found[i].P50, float64(percentile(times, 0.50).Microseconds()))
			found[i].P99 = append(found[i].P99, float64(percentile(times, 0.99).Microseconds()))
			b.t.Logf("fixed rate of %.0f/s, round %d: %s p50 %s p99 %s", rate, round+1, targets[i].name, percentile(times, 0.50), percentile(times, 0.99))
		}
	}
	b.report.Latency = found
	for _, l := range found {
		b.t.Logf("fixed rate of %.0f/s, medians of %d rounds: %s p50 %.0f µs p99 %.0f µs", l.Rate, rounds, l.Name, median(l.P50), median(l.P99))
	}
}

// seedBench fills the store, and writes its keys. It returns the cookies of those who come from a browser of their own, and
// how many bytes of the store an account takes.
func seedBench(t *testing.T, dir string, accounts store.Store, size func() int) (cookies []string, each int) {
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
	quiet := slog.New(slog.DiscardHandler)
	flow := verify.New(verify.Config{Store: accounts, Keys: keys, Now: time.Now, Rand: rand.Reader, Log: quiet, Audit: quiet})
	now := time.Now()
	began := time.Now()
	cookies = make([]string, devicePeople)
	codecs := deviceCodecs(keys)
	all := benchAccounts + latePeople + devicePeople
	empty := size()
	var next atomic.Int64
	var group sync.WaitGroup
	for range 256 { // together they share a sync
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < all; i = int(next.Add(1)) - 1 {
				var account policy.Account
				switch late := i - benchAccounts; {
				case late < 0:
					account = verifiedPerson(i, now)
				case late < latePeople:
					account = latePerson(late, now)
				default:
					account, cookies[late-latePeople] = trustedPerson(flow, codecs, late-latePeople, now)
				}
				if i%1_000_000 == 999_999 {
					t.Logf("seeded %d accounts in %s", i+1, time.Since(began).Round(time.Second))
				}
				if err := flow.Seed(context.Background(), account); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := accounts.Close(); err != nil {
		t.Fatal(err)
	}
	each = (size() - empty) / all
	t.Logf("seeded %d accounts in %s: %d bytes of the store each", all, time.Since(began).Round(time.Second), each)
	return cookies, each
}

// deviceCodecs are those of the server, which nobody else may have.
func deviceCodecs(keys *verify.Keyring) []securecookie.Codec {
	codec := securecookie.New(keys.Derive("device signature")[0], keys.Derive("device secrecy")[0])
	codec.SetSerializer(securecookie.NopEncoder{})
	return []securecookie.Codec{codec}
}

func verifiedPerson(i int, now time.Time) policy.Account {
	return policy.Account{Realm: "default", User: benchUser(i), Since: now, EverVerified: true, Contacts: []policy.Contact{
		{ID: "c1", Kind: policy.Email, Address: policy.Address(fmt.Sprintf("person.%d@example.com", i)), By: "signin", Added: now, Verified: now},
		{ID: "c2", Kind: policy.Email, Address: policy.Address(fmt.Sprintf("second.%d@example.net", i)), By: "person", Added: now},
	}}
}

// trustedPerson is somebody with a browser of their own, and the cookie that it has.
func trustedPerson(flow *verify.Flow, codecs []securecookie.Codec, i int, now time.Time) (policy.Account, string) {
	a := verifiedPerson(i, now)
	a.Realm, a.User = deviceRealm, deviceUser(i)
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	a.Devices = []policy.Device{{ID: flow.DeviceHash(a.Realm, a.User, id), Host: "localhost", Trusted: now, Used: now, Ends: now.Add(365 * 24 * time.Hour), By: "c1"}}
	value := binary.BigEndian.AppendUint32(append(id, flow.SessionHash(a.Realm, a.User, []byte("device localhost"))...), uint32(now.Unix()))
	text, err := securecookie.EncodeMulti("contactgate-device", value, codecs...)
	if err != nil {
		panic(err)
	}
	return a, "contactgate-device-" + hex.EncodeToString(flow.DeviceMark(a.Realm, a.User)) + "=" + text
}

func latePerson(i int, now time.Time) policy.Account {
	long := now.Add(-30 * 24 * time.Hour)
	return policy.Account{Realm: "default", User: lateUser(i), Since: long, Grace: policy.Grace{Seen: long, Shown: long}, Contacts: []policy.Contact{
		{ID: "c1", Kind: policy.Email, Address: policy.Address(fmt.Sprintf("late.%d@example.com", i)), By: "signin", Added: long},
	}}
}

func benchUser(i int) string { return fmt.Sprintf("user%08d", i) }
func lateUser(i int) string  { return fmt.Sprintf("late%08d", i) }

func deviceUser(i int) string { return fmt.Sprintf("device%08d", i) }

func startBench(t *testing.T, dir string, ports []int, app, storeLine string) int {
	t.Helper()
	binary := filepath.Join(dir, "contactgate")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf(benchConfig, ports[0], dir, ports[1], ports[2], ports[3], ports[4], ports[5], app, storeLine, ports[6])
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
			if try == 300 {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return server.Process.Pid
}

func freePortFor(t *testing.T) int {
	t.Helper()
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
