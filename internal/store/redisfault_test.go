package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/store/storetest"
	"github.com/contactgate/contactgate/internal/testbed"
)

// The faults of security.md, on real servers. Each test keeps a ledger of what was confirmed to callers and compares it
// with what is there afterwards. What was tried to make it red is said at each.

// patience is what a request gives one call.
const patience = 500 * time.Millisecond

func openRedis(t testing.TB, config store.RedisConfig) *store.Redis {
	t.Helper()
	s := store.NewRedis(config)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func lone(server *redistest.Server) store.RedisConfig {
	return store.RedisConfig{Addresses: []string{server.Addr}}
}

// ledger writes down what callers were told. Every entry is unlike any other and is appended to the record of its key.
type ledger struct {
	t       testing.TB
	s       store.Store
	mu      sync.Mutex
	done    map[string][]string // confirmed, by key
	unknown map[string][]string // failed: may be there or not
	next    atomic.Int64
	slowest time.Duration
	causes  map[string]int
}

func newLedger(t testing.TB, s store.Store) *ledger {
	return &ledger{t: t, s: s, done: map[string][]string{}, unknown: map[string][]string{}, causes: map[string]int{}}
}

// add appends one entry to a key.
func (l *ledger) add(key string) error { return l.addWithin(patience, key) }

func (l *ledger) addWithin(patience time.Duration, key string) error {
	id := fmt.Sprintf("%d", l.next.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	err := l.s.Update(ctx, key, func(old store.Record) (store.Record, error) {
		return store.Record{Value: append(append(old.Value, id...), ' ')}, nil
	})
	took := testbed.Took(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	if err == nil {
		l.done[key] = append(l.done[key], id)
	} else {
		l.unknown[key] = append(l.unknown[key], id)
		l.causes[err.Error()]++
	}
	return err
}

// load adds to some keys from several sides until stop.
func (l *ledger) load(keys ...string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if l.add(keys[rand.IntN(len(keys))]) != nil {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// check compares with what is there: all that was confirmed, once; nothing that was never asked for; nothing twice.
func (l *ledger) check(s store.Store) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, key := range l.keys() {
		r, err := s.Get(context.Background(), key)
		if err != nil {
			l.t.Errorf("reading %s: %v", key, err)
			continue
		}
		there := strings.Fields(string(r.Value))
		seen := map[string]bool{}
		for _, id := range there {
			if seen[id] {
				l.t.Errorf("%s: %s is there twice", key, id)
			}
			seen[id] = true
		}
		for _, id := range l.done[key] {
			if !seen[id] {
				l.t.Errorf("%s: %s was confirmed and is lost", key, id)
			}
			delete(seen, id)
			total++
		}
		for id := range seen {
			if !slices.Contains(l.unknown[key], id) {
				l.t.Errorf("%s: %s was never asked for", key, id)
			}
		}
	}
	l.t.Logf("%d confirmed, %d not known; the slowest took %s; %v", total, len(slices.Concat(values(l.unknown)...)), l.slowest.Round(time.Millisecond), l.causes)
	if l.slowest > 2*time.Second { // P7
		l.t.Errorf("a call took %s", l.slowest)
	}
}

func (l *ledger) keys() []string {
	var keys []string
	for _, m := range []map[string][]string{l.done, l.unknown} {
		for key := range m {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func values(m map[string][]string) [][]string {
	var all [][]string
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// must adds where nothing is in the way but a slow machine.
func (l *ledger) must(key string) {
	l.t.Helper()
	if err := l.addWithin(1900*time.Millisecond, key); err != nil {
		l.t.Fatal(err)
	}
}

// back waits until entries are taken again.
func (l *ledger) back(within time.Duration, key string) {
	l.t.Helper()
	began := time.Now()
	if !testbed.Until(within, func() bool { return l.add(key) == nil }) {
		l.t.Fatalf("still not working after %s: %v", within, l.causes)
	}
	l.t.Logf("works again after %s", time.Since(began).Round(time.Millisecond))
}

var someKeys = func() []string {
	var keys []string
	for i := range 12 {
		keys = append(keys, fmt.Sprintf("a/%d", i)) // in shards all over
	}
	return keys
}()

// Every third answer to a write is lost after it was carried out. With one writer for each key nothing is lost or doubled,
// and nobody hears of it. Red when a write is not recognised by its mark ("mark ~= new" taken out of the script: errors),
// and when it is done anew instead (errUnknown made errChanged: entries are there twice).
func TestLostAnswerIsNoSecondWrite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	s := openRedis(t, store.RedisConfig{Addresses: []string{proxy.Addr}})
	l := newLedger(t, s)
	l.must("a/0")
	var writes atomic.Int64
	proxy.Rule(func(request []byte) redistest.Fate {
		if bytes.Contains(request, []byte("evalsha")) && writes.Add(1)%3 == 0 {
			return redistest.Lose
		}
		return redistest.Deliver
	})
	for range 60 {
		l.must("a/0")
	}
	if proxy.Lost() < 20 {
		t.Errorf("only %d answers were lost", proxy.Lost())
	}
	stop := l.load("a/1", "a/2")
	time.Sleep(time.Second)
	stop()
	proxy.Rule(nil)
	l.check(s)
}

// The same with two nodes that write over each other: what happened to a write whose answer was lost may not be known any
// more, and then its caller hears so. It is never done a second time.
func TestLostAnswerWithAnotherWriterIsNoSecondWrite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	s, other := openRedis(t, store.RedisConfig{Addresses: []string{proxy.Addr}}), openRedis(t, lone(server))
	l := newLedger(t, s)
	beside := newLedger(t, other)
	beside.next.Store(1_000_000)
	l.back(5*time.Second, "a/0")
	var writes atomic.Int64
	proxy.Rule(func(request []byte) redistest.Fate {
		if bytes.Contains(request, []byte("evalsha")) && writes.Add(1)%3 == 0 {
			return redistest.Lose
		}
		return redistest.Deliver
	})
	stop, stopBeside := l.load("a/0"), beside.load("a/0")
	time.Sleep(1500 * time.Millisecond)
	stop()
	stopBeside()
	proxy.Rule(nil)
	for key, ids := range beside.done {
		l.done[key] = append(l.done[key], ids...)
		l.unknown[key] = append(l.unknown[key], beside.unknown[key]...)
	}
	l.check(s)
}

// A connection gives the answer to another question (go-redis CVE-2025-29923 did so after timeouts). No value of another
// key is ever believed; the call fails, all connections are given up, and the store is well. Red when decodeMarked does
// not compare keys (the checksum would still find it, and call the store damaged).
func TestAnswerToAnotherQuestionIsNotBelieved(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	s := openRedis(t, store.RedisConfig{Addresses: []string{proxy.Addr}})
	for _, key := range someKeys {
		write(t, s, key, "of "+key)
	}
	var reads atomic.Int64
	proxy.Rule(func(request []byte) redistest.Fate {
		if !bytes.Contains(request, []byte("mget")) {
			return redistest.Deliver
		}
		switch reads.Add(1) % 50 {
		case 0:
			return redistest.Remember
		case 1:
			return redistest.Mistake
		}
		return redistest.Deliver
	})
	refused := 0
	for range 100 {
		for _, key := range someKeys {
			ctx, cancel := context.WithTimeout(background, patience)
			r, err := s.Get(ctx, key)
			cancel()
			switch {
			case err != nil && strings.Contains(err.Error(), "another key"):
				refused++
			case err != nil:
				t.Fatal(err)
			case string(r.Value) != "of "+key:
				t.Fatalf("%s is %q", key, r.Value)
			}
		}
	}
	if refused == 0 || refused != proxy.Lost() {
		t.Errorf("%d reads were refused, %d answers were wrong", refused, proxy.Lost())
	}
	proxy.Rule(nil)
	for _, key := range someKeys {
		wantValue(t, s, key, "of "+key)
	}
}

// SCRIPT FLUSH is noticed by nobody. Red when NOSCRIPT is an error like others.
func TestScriptsThatWereForgottenAreSentAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	l := newLedger(t, s)
	for range 20 {
		l.must("a/0")
		server.Do("SCRIPT", "FLUSH")
	}
	l.check(s)
}

// FLUSHALL between the read and the write of one Update: it writes nothing. Red when the script does not look at the
// epoch.
func TestWriteIntoAnEmptiedStoreIsRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	write(t, s, "a/0", "v")
	told := make(chan string, 10)
	defer s.Watch(func(key string) { told <- key })()
	err := s.Update(background, "a/new", func(store.Record) (store.Record, error) {
		server.Do("FLUSHALL")
		return store.Record{Value: []byte("w")}, nil
	})
	if !errors.Is(err, store.ErrOther) {
		t.Errorf("Update: %v", err)
	}
	if keys := server.Do("KEYS", "*").([]any); len(keys) != 0 {
		t.Errorf("written: %q", keys)
	}
	if key := <-told; key != "" {
		t.Errorf("watchers were told of %q", key)
	}
	if _, err := s.Get(background, "a/0"); !errors.Is(err, store.ErrOther) {
		t.Errorf("Get: %v", err)
	}
	if r, err := s.Peek(background, "a/0"); err != nil || r.Value != nil {
		t.Errorf("Peek: %+v, %v", r, err)
	}
	if err := s.Adopt(background, false); err != nil { // all is gone: it is a new store
		t.Fatal(err)
	}
	write(t, s, "a/0", "v")
}

// The same when nobody asks: whoever remembers something is told in a moment.
func TestEmptiedStoreIsNoticedByItself(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	write(t, s, "a/0", "v")
	told := make(chan string, 10)
	defer s.Watch(func(key string) { told <- key })()
	time.Sleep(1100 * time.Millisecond) // counting has begun
	for len(told) > 0 {
		<-told
	}
	server.Do("FLUSHALL")
	select {
	case key := <-told:
		if key != "" {
			t.Errorf("told of %q", key)
		}
	case <-time.After(3 * time.Second):
		t.Error("nobody was told")
	}
	if _, err := s.Due(background, time.Now(), 1); !errors.Is(err, store.ErrOther) {
		t.Errorf("Due: %v", err)
	}
}

// Memory is full: writes fail, reads go on, and when there is room all works by itself.
func TestFullRedisRefusesWritesOnly(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	l := newLedger(t, s)
	for _, key := range someKeys {
		l.must(key)
	}
	server.Do("CONFIG", "SET", "maxmemory", "1")
	for _, key := range someKeys {
		if err := l.add(key); err == nil || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("%s: %v", key, err)
		}
	}
	l.unknown = map[string][]string{} // it is known: a full Redis writes nothing, not even a part
	l.check(s)
	server.Do("CONFIG", "SET", "maxmemory", "0")
	l.must("a/0")
	l.check(s)
}

// An eviction policy that is set while we run stops the use of the store before it has deleted much; set back, it goes on.
func TestEvictionPolicySetLaterIsNoticed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	write(t, s, "a/0", "v")
	server.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	until(t, 12*time.Second, "it is refused", func() bool {
		_, err := s.Get(background, "a/0")
		var unfit *store.Unfit
		return errors.As(err, &unfit) && strings.Contains(unfit.Remedy, "noeviction")
	})
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	until(t, 12*time.Second, "it is used", func() bool { _, err := s.Get(background, "a/0"); return err == nil })
}

// R09: Redis evicts records before the policy is noticed (it is looked at every five seconds). Whoever's record is gone is
// no new person, on no node and after a restart neither, until an operator erases them; the others go on. Red when the script
// does not look at the index ('gone'): then the evicted ones begin again.
func TestEvictedRecordIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory-samples", "64")
	s := openRedis(t, lone(server))
	told := map[string]bool{} // whom was told that they are there
	for i := range 300 {
		key := fmt.Sprintf("a/%d", i)
		write(t, s, key, strings.Repeat("x", 4000))
		told[key] = true
	}
	time.Sleep(3 * time.Second)
	for _, name := range namesOn(server) {
		if !strings.Contains(name, "}/") {
			server.Do("TOUCH", name) // the parts' own keys are younger now, and stay
		}
	}
	used, _ := strconv.Atoi(server.Info("used_memory"))
	server.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", used-300_000)
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 0)
	gone := ""
	for _, node := range []*store.Redis{s, openRedis(t, lone(server))} {
		lost := 0
		for key := range told {
			r, err := node.Get(background, key)
			if err != nil {
				t.Fatal(err)
			}
			err = node.Update(background, key, writing("new"))
			switch {
			case r.Value != nil && err == nil:
			case r.Value == nil && errors.Is(err, store.ErrGone):
				lost, gone = lost+1, key
			default:
				t.Fatalf("%s: %d bytes, %v", key, len(r.Value), err)
			}
		}
		t.Logf("%s evictions, %d records are gone", server.Info("evicted_keys"), lost)
		if lost == 0 || lost == len(told) {
			t.Error("that shows nothing")
		}
	}
	if err := s.Delete(background, gone); err != nil {
		t.Fatal(err)
	}
	write(t, s, gone, "new") // an operator has erased them
}

// Where the list of a part's records is gone, nobody knows who was there: the part counts as lost.
func TestPartWithoutItsIndexIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	write(t, s, "a/0", "v")
	for _, name := range namesOn(server) {
		if strings.HasSuffix(name, "}/a/0") || strings.HasSuffix(name, ":keys") {
			server.Do("DEL", name)
		}
	}
	for _, node := range []*store.Redis{s, openRedis(t, lone(server))} {
		if err := node.Update(background, "a/0", writing("new")); !errors.Is(err, store.ErrOther) && !errors.Is(err, store.ErrPart) {
			t.Errorf("begun anew: %v", err)
		}
	}
	if err := s.Adopt(background, true); err != nil {
		t.Fatal(err)
	}
	write(t, s, "a/0", "new") // an operator said so
}

func until(t testing.TB, patience time.Duration, what string, is func() bool) {
	t.Helper()
	if !testbed.Until(patience, is) {
		t.Fatalf("%s: not within %s", what, patience)
	}
}

// A server that becomes a replica takes no writes, and what it has is not believed: it may be old.
func TestReplicaIsNotRead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	l := newLedger(t, s)
	l.must("a/0")
	server.Do("REPLICAOF", "127.0.0.1", "1")
	if err := l.add("a/0"); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("Update: %v", err)
	}
	until(t, 3*time.Second, "reads are refused", func() bool { _, err := s.Get(background, "a/0"); return err != nil })
	server.Do("REPLICAOF", "NO", "ONE")
	l.back(5*time.Second, "a/0")
	l.check(s)
}

// kill -9 under load, and a start with what is on disk: nothing that was confirmed is lost (appendfsync always), nothing
// is doubled, calls end in time, and it works again at once. Red when a server that was away is never tried again
// (breaker.admits).
func TestKilledRedisLosesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	l := newLedger(t, s)
	stop := l.load(someKeys...)
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		server.Kill()
		time.Sleep(300 * time.Millisecond)
		server.Start()
		l.back(5*time.Second, "a/0")
	}
	stop()
	l.check(s)
}

// A server that hangs (SIGSTOP) keeps nobody longer than the patience of a call, most no time at all; what it was sent
// before and does later, when its caller has long been told that it failed, breaks nothing. Red without timeouts
// (ContextTimeoutEnabled), and without the breaker.
func TestHangingRedisKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openRedis(t, lone(server))
	l := newLedger(t, s)
	stop := l.load(someKeys...)
	time.Sleep(300 * time.Millisecond)
	server.Pause()
	until(t, 10*time.Second, "calls are refused at once", func() bool {
		ctx, cancel := context.WithTimeout(background, patience)
		defer cancel()
		began := time.Now()
		_, err := s.Get(ctx, "a/0")
		return err != nil && time.Since(began) < 100*time.Millisecond
	})
	var quick atomic.Int64
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(background, patience)
			defer cancel()
			began := time.Now()
			if _, err := s.Get(ctx, "a/0"); err == nil {
				t.Error("an answer from a server that hangs")
			}
			if time.Since(began) < 300*time.Millisecond { // a call that went there takes 400
				quick.Add(1)
			}
		})
	}
	all.Wait()
	if quick.Load() < 490 {
		t.Errorf("only %d of 500 were refused at once", quick.Load())
	}
	server.Resume()
	l.back(5*time.Second, "a/0")
	stop()
	time.Sleep(200 * time.Millisecond)
	l.check(s)
}

// A crowd waits for a server that is away, and is let in by and by: while it is away hardly anybody tries to connect, and when
// it is back nobody finds more connections than are ours to have. Red with a pool without an end (mostWires).
func TestServerThatIsBackIsNotStormed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var tries, open, most atomic.Int64
	config := lone(server)
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		tries.Add(1)
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if n := open.Add(1); n > most.Load() {
			most.Store(n)
		}
		return &countedConn{Conn: c, closed: sync.OnceFunc(func() { open.Add(-1) })}, nil
	}
	s := openRedis(t, config)
	l := newLedger(t, s)
	l.must("a/0")
	server.Kill()
	ctx, leave := context.WithCancel(background)
	var crowd sync.WaitGroup
	var answers atomic.Int64
	for i := range 300 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Get(ctx, someKeys[i%len(someKeys)]); err == nil {
					answers.Add(1)
				} else {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	time.Sleep(500 * time.Millisecond) // it is known to be away
	before := tries.Load()
	time.Sleep(time.Second)
	if n := tries.Load() - before; n > 50 {
		t.Errorf("%d tries to connect within a second", n)
	}
	server.Start()
	l.back(5*time.Second, "a/0")
	until(t, 5*time.Second, "the crowd is answered", func() bool { return answers.Load() > 1000 })
	leave()
	crowd.Wait()
	t.Logf("%d connections at most", most.Load())
	if most.Load() > 64+4 { // the subscription and what watches have their own
		t.Errorf("%d connections at the same time", most.Load())
	}
	l.check(s)
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error { c.closed(); return c.Conn.Close() }

// A replica hangs: what it has not confirmed nobody confirms, until it counts as lost; then work goes on, and it is said
// what that means. Red when it is not looked at how many replicas have answered.
func TestWriteWithoutACopyIsNotConfirmed(t *testing.T) {
	t.Parallel()
	untilItCounts(t, hangTheReplica)
}

func hangTheReplica(t *testing.T) bool {
	server := redistest.Start(t, "--appendfsync", "everysec")
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strings.TrimPrefix(server.Addr, "127.0.0.1:"))
	server.InSync(1)
	s := openRedis(t, lone(server))
	l := newLedger(t, s)
	l.must("a/0")
	if notes := s.Durability(); len(notes) != 0 {
		t.Errorf("with a replica in sync: %q", notes)
	}
	replica.Pause()
	wrote := l.add("a/0")
	// Not even what was there before is said to be safe: it may be one of those.
	kept := s.Update(background, "a/0", func(store.Record) (store.Record, error) { return store.Record{}, store.ErrKeep })
	if !countsAsThere(server) {
		return false
	}
	for what, err := range map[string]error{"a write": wrote, "an update that changes nothing": kept} {
		if err == nil {
			t.Errorf("%s is confirmed without the replica", what)
		} else if !strings.Contains(err.Error(), "no replica") {
			t.Log(err) // the machine was too slow for it
			return false
		}
	}
	l.back(15*time.Second, "a/0")
	until(t, 15*time.Second, "it is said", func() bool { n := s.Durability(); return len(n) == 1 && strings.Contains(n[0].Text, "P5") })
	replica.Resume()
	until(t, 20*time.Second, "it is over", func() bool { return len(s.Durability()) == 0 })
	l.check(s)
	return true
}

// The master dies while its only replica hangs: nothing that the replica does not have was confirmed. Red without WAIT
// (copies.expected answers false: some are lost).
func TestFailoverLosesNothingThatWasConfirmed(t *testing.T) {
	kills := 1
	if n, err := strconv.Atoi(os.Getenv("CONTACTGATE_MASTER_KILLS")); err == nil {
		kills = n
	}
	for range kills {
		untilItCounts(t, killTheMaster)
	}
}

// diesAlone kills a master whose replica hangs. What the master said in the meantime must not have been confirmed: the way
// to the replica is full, so that it is not read later either. All that time the replica must count as one that is there: on
// a machine that stalls it does not, and false asks for new servers. Its tests are not parallel to others, for the same reason.
func diesAlone(master, replica *redistest.Server) bool {
	name := ""
	for i := 0; name == "" && i < 1000; i++ { // a Cluster's node takes some names only
		if filler := fmt.Sprint("filler", i); master.Try("SET", filler, "") == nil {
			name = filler
		}
	}
	replica.Pause()
	err := master.Try("SET", name, strings.Repeat("x", 12<<20))
	time.Sleep(300 * time.Millisecond)
	there := countsAsThere(master)
	master.Kill()
	replica.Resume()
	return err == nil && there
}

// countsAsThere tells that a replica which hangs has not been missed by its master yet.
func countsAsThere(master *redistest.Server) bool {
	said := master.Info("slave0")
	return strings.HasSuffix(said, ",lag=0") || strings.HasSuffix(said, ",lag=1")
}

// untilItCounts repeats a test, with servers of its own each time, until all happened while its replica still counted as there.
func untilItCounts(t *testing.T, try func(t *testing.T) bool) {
	t.Helper()
	for range 10 {
		if try(t) {
			return
		}
	}
	t.Fatal("this machine stalls all the time")
}

func killTheMaster(t *testing.T) bool {
	set := redistest.StartSentinels(t, 1)
	s := openRedis(t, store.RedisConfig{Addresses: set.Addrs(), Master: set.Name})
	l := newLedger(t, s)
	stop := l.load(someKeys...)
	time.Sleep(500 * time.Millisecond)
	master, replica := set.Servers[0], set.Servers[1]
	if !diesAlone(master, replica) {
		stop()
		return false
	}
	until(t, 30*time.Second, "another master", func() bool { return set.Master() == replica }) // that is up to the Sentinels
	l.back(10*time.Second, "a/0")
	time.Sleep(300 * time.Millisecond)
	stop()
	l.check(s)
	until(t, 12*time.Second, "it is said that no replica is left", func() bool { return len(s.Durability()) > 0 })
	return true
}

// The old master hangs, another takes over, and the old one wakes up: nobody's confirmation is among what it throws away
// when it hears that it is a replica now.
func TestOldMasterThatWakesUpTakesNothingAlong(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 2)
	s := openRedis(t, store.RedisConfig{Addresses: set.Addrs(), Master: set.Name})
	l := newLedger(t, s)
	stop := l.load(someKeys...)
	time.Sleep(500 * time.Millisecond)
	old := set.Servers[0]
	old.Pause()
	until(t, 30*time.Second, "another master", func() bool { m := set.Master(); return m != nil && m != old })
	l.back(10*time.Second, "a/0")
	old.Resume()
	until(t, 15*time.Second, "the old one is a replica", func() bool { return old.Info("role") == "slave" })
	time.Sleep(300 * time.Millisecond)
	stop()
	l.check(s)
}

// A master of a Cluster dies while its replica hangs: people of the other parts notice nothing, those of its part wait until
// the replica takes over, and nothing that was confirmed is lost. Red without WAIT.
func TestClusterMasterDies(t *testing.T) { untilItCounts(t, killOneOfThree) }

func killOneOfThree(t *testing.T) bool {
	c := redistest.StartCluster(t, 3)
	s := openRedis(t, store.RedisConfig{Addresses: c.Addrs(), Cluster: true})
	l := newLedger(t, s)
	stop := l.load(someKeys...)
	time.Sleep(500 * time.Millisecond)
	master, replica := c.Nodes[0], c.Nodes[3]
	if !diesAlone(master, replica) {
		stop()
		return false
	}
	time.Sleep(400 * time.Millisecond) // long enough to know that it is away
	readable := map[string]bool{}
	for range 5 {
		for _, key := range someKeys {
			ctx, cancel := context.WithTimeout(background, patience)
			if _, err := s.Get(ctx, key); err == nil {
				readable[key] = true
			}
			cancel()
		}
	}
	t.Logf("with one of three masters away %d of %d keys could be read", len(readable), len(someKeys))
	if len(readable) < len(someKeys)*2/3 {
		t.Error("more than a part was away")
	}
	for _, key := range someKeys {
		l.back(10*time.Second, key)
	}
	stop()
	l.check(s)
	return true
}

// A slot moves to another node, key by key, under load (R10): every write happens once or its caller hears of it, no read
// is wrong or fails, and all is well afterwards. Red when ASK or MOVED is not followed, and when the two keys of a read are
// not asked for one by one while they are apart (TRYAGAIN).
func TestSlotMovesUnderLoad(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	s := openRedis(t, store.RedisConfig{Addresses: c.Addrs()[:1], Cluster: true})
	l := newLedger(t, s)
	const key = "a/0"
	for range 50 {
		l.must(key)
	}
	from, to := c.Nodes[0], c.Nodes[1]
	var slot int64
	for _, name := range append(namesOn(from), namesOn(to)...) {
		if strings.HasSuffix(name, "/"+key) {
			slot = from.Do("CLUSTER", "KEYSLOT", name).(int64)
		}
	}
	if slot >= 16384/2 {
		from, to = to, from
	}
	stop := l.load(key)
	var reading sync.WaitGroup
	moving, done := context.WithCancel(background)
	reading.Go(func() {
		for n := 0; ; n++ {
			if moving.Err() != nil {
				t.Logf("%d reads", n)
				return
			}
			r, err := readAtLast(s, key)
			if err != nil || len(r.Value) == 0 {
				t.Errorf("a read while the slot moves: %q, %v", r.Value, err)
			}
			time.Sleep(time.Millisecond)
		}
	})
	for range 2 {
		c.MoveSlot(slot, from, to, 3*patience+200*time.Millisecond) // longer than anybody waits
		from, to = to, from
	}
	stop()
	done()
	reading.Wait()
	l.back(2*time.Second, key)
	l.check(s)
}

// readAtLast reads, and twice more where the machine was too slow: a fault that stays is one that all three meet.
func readAtLast(s store.Store, key string) (r store.Record, err error) {
	for range 3 {
		ctx, cancel := context.WithTimeout(background, patience)
		r, err = s.Get(ctx, key)
		cancel()
		if err == nil {
			return r, nil
		}
	}
	return r, err
}

func namesOn(s *redistest.Server) []string {
	var names []string
	for _, name := range s.Do("KEYS", "*").([]any) {
		names = append(names, name.(string))
	}
	return names
}

// The name of the server comes to mean another address (R29): the next connection goes there.
func TestServerMovesToAnotherAddress(t *testing.T) {
	t.Parallel()
	first := redistest.Start(t)
	second := redistest.Start(t, "--replicaof", "127.0.0.1 "+strings.TrimPrefix(first.Addr, "127.0.0.1:"))
	var means atomic.Value
	means.Store(first.Addr)
	config := store.RedisConfig{Addresses: []string{"redis.internal:6379"}}
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, means.Load().(string))
	}
	s := openRedis(t, config)
	l := newLedger(t, s)
	first.InSync(1)
	stop := l.load(someKeys...)
	time.Sleep(300 * time.Millisecond)
	first.Kill()
	second.Do("REPLICAOF", "NO", "ONE")
	means.Store(second.Addr)
	l.back(5*time.Second, "a/0")
	stop()
	l.check(s)
}

// Two processes that begin a store at the same moment agree on it.
func TestTwoBeginAStoreAtOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for round := range 10 {
		var all sync.WaitGroup
		l := newLedger(t, nil)
		for range 4 {
			config := lone(server)
			config.Namespace = fmt.Sprint("round", round)
			s := openRedis(t, config)
			l.s = s
			all.Go(func() {
				if err := s.Update(background, "a/0", func(old store.Record) (store.Record, error) {
					return store.Record{Value: append(old.Value, 'x')}, nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		wantValue(t, l.s, "a/0", "xxxx")
	}
}

// What expires goes out of the indexes, too. (Its end is long past for Redis: the clock stands in the future.)
func TestExpiredRecordsLeaveTheIndexes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var ahead atomic.Int64
	config := lone(server)
	config.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := openRedis(t, config)
	write(t, s, "stays", "v")
	if err := s.Update(background, "goes", func(store.Record) (store.Record, error) {
		return store.Record{Value: []byte("v"), Expires: config.Now().Add(time.Hour), Due: config.Now()}, nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range namesOn(server) {
		if strings.HasSuffix(name, "/goes") {
			if ttl := server.Do("PTTL", name).(int64); ttl < 3_600_000 || ttl > 5_400_000 {
				t.Errorf("Redis keeps it for %d ms", ttl)
			}
			server.Do("DEL", name) // as Redis does when that is over
		}
	}
	ahead.Store(int64(3 * time.Hour))
	until(t, 10*time.Second, "it is swept", func() bool {
		for _, name := range namesOn(server) {
			if server.Do("TYPE", name) != "zset" {
				continue
			}
			if slices.Contains(server.Do("ZRANGE", name, 0, -1).([]any), any("goes")) {
				return false
			}
		}
		return true
	})
	wantValue(t, s, "stays", "v")
}

// A store that is moved from stays as it is.
func TestReadOnlyWritesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	redis, bolt := store.NewRedis(lone(server)), store.NewBolt(store.BoltConfig{Path: filepath.Join(t.TempDir(), "none.db")})
	for _, s := range []interface {
		store.Store
		ReadOnly()
	}{redis, bolt} {
		s.ReadOnly()
		if _, err := s.Get(background, "a/0"); err == nil {
			t.Errorf("%T: a store that is not there was read", s)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if keys := namesOn(server); len(keys) != 0 {
		t.Errorf("written: %q", keys)
	}
	write(t, openRedis(t, lone(server)), "a/0", "v")
	s := openRedis(t, lone(server))
	s.ReadOnly()
	wantValue(t, s, "a/0", "v")
	if err := s.Update(background, "a/0", writing("w")); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Update: %v", err)
	}
	wantValue(t, s, "a/0", "v")
}

// R27: calls on two nodes look as if each had happened in one moment. Red when the script does not compare marks.
func TestRedisHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	storetest.Histories(t, openRedis(t, lone(server)), openRedis(t, lone(server)))
}

// The same while answers are lost: who hears of an error knows nothing, and nobody else hears anything wrong. Red when a
// write whose answer was lost is done anew (errUnknown made errChanged).
func TestHistoriesWithLostAnswersAreLinearizable(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	var writes atomic.Int64
	proxy.Rule(func(request []byte) redistest.Fate {
		if bytes.Contains(request, []byte("evalsha")) && writes.Add(1)%4 == 0 {
			return redistest.Lose
		}
		return redistest.Deliver
	})
	config := store.RedisConfig{Addresses: []string{proxy.Addr}}
	storetest.Histories(t, openRedis(t, config), openRedis(t, config))
}

// The same on a Cluster whose master dies in the middle.
func TestHistoriesOverAFailoverAreLinearizable(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3)
	config := store.RedisConfig{Addresses: c.Addrs(), Cluster: true}
	one, two := openRedis(t, config), openRedis(t, config)
	var killing sync.WaitGroup
	killing.Go(func() {
		time.Sleep(50 * time.Millisecond)
		c.Nodes[1].Kill()
	})
	storetest.Histories(t, one, two)
	killing.Wait()
}

// A configuration goes while a call of it is under way: that one ends well, later ones do not begin, and nothing is left.
func TestRedisClosesAfterTheLastCall(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := store.NewRedis(lone(server))
	defer s.Watch(func(string) {})()
	running, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.Update(background, "a/0", func(store.Record) (store.Record, error) {
			close(running)
			<-goOn
			return store.Record{Value: []byte("v")}, nil
		})
	}()
	<-running
	if err := s.Destruct(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(background, "a/0"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a call after it: %v", err)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	until(t, 2*time.Second, "no connection is left", func() bool {
		return server.Info("connected_clients") == "1" // ours, that asks
	})
	wantValue(t, openRedis(t, lone(server)), "a/0", "v")
}
