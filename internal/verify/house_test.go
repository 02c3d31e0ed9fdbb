package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/testbed"
	"github.com/contactgate/contactgate/policy"
)

// noon is when every test begins.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	day   = 24 * time.Hour
	realm = "example"
)

// clock stands still until a test moves it.
type clock struct{ millis atomic.Int64 }

func (c *clock) Now() time.Time       { return time.UnixMilli(c.millis.Load()).UTC() }
func (c *clock) set(t time.Time)      { c.millis.Store(t.UnixMilli()) }
func (c *clock) move(d time.Duration) { c.millis.Add(d.Milliseconds()) }

// courier keeps what it is given, and answers as it is told to.
type courier struct {
	mu      sync.Mutex
	letters []Letter
	answer  func(ctx context.Context, l Letter, before int) policy.Delivery
}

func (c *courier) Deliver(ctx context.Context, l Letter) policy.Delivery {
	c.mu.Lock()
	before := 0
	for _, earlier := range c.letters {
		if earlier.ID == l.ID {
			before++
		}
	}
	c.letters = append(c.letters, l)
	answer := c.answer
	c.mu.Unlock()
	if answer == nil {
		return policy.TakenOver
	}
	return answer(ctx, l, before)
}

func (c *courier) answers(f func(ctx context.Context, l Letter, before int) policy.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

func (c *courier) all(kind policy.SendKind) []Letter {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Letter
	for _, l := range c.letters {
		if l.Kind == string(kind) {
			found = append(found, l)
		}
	}
	return found
}

// code is the code in the latest letter to an address.
func (c *courier) code(t testing.TB, to string) string {
	t.Helper()
	codes := c.all(policy.SendCode)
	for _, l := range slices.Backward(codes) {
		if l.To == to {
			return l.Code
		}
	}
	t.Fatalf("no code went to %s", to)
	return ""
}

func notThis(code string) string {
	if code == "000000" {
		return "111111"
	}
	return "000000"
}

// book keeps log lines.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// lines are those with this event, and these fields: "result=accepted".
func (b *book) lines(t testing.TB, event string, with ...string) []map[string]any {
	t.Helper()
	var found []map[string]any
next:
	for line := range strings.Lines(b.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("no JSON: %q", line)
		}
		if fields["msg"] != event {
			continue
		}
		for _, w := range with {
			if k, v, _ := strings.Cut(w, "="); fmt.Sprint(fields[k]) != v {
				continue next
			}
		}
		found = append(found, fields)
	}
	return found
}

// memory is a Registry.
type memory struct {
	mu   sync.Mutex
	text []byte
}

func (m *memory) Load(context.Context) ([]byte, error)   { return m.text, nil }
func (m *memory) Save(_ context.Context, b []byte) error { m.text = b; return nil }
func (m *memory) Lock(context.Context) (func(), error)   { m.mu.Lock(); return m.mu.Unlock, nil }
func (m *memory) remembers(t testing.TB) (id StoreID) {
	t.Helper()
	_ = json.Unmarshal(m.text, &id)
	return id
}

// byWorkers marks what the workers ask a store: they come and go as they like, and are not counted.
type byWorkers struct{}

// probe is a store that counts what requests ask it, and goes wrong when told to.
type probe struct {
	store.Store
	gets, updates atomic.Int64
	mu            sync.Mutex
	// before may refuse or delay a call; after sees what an Update did, and may lose its answer.
	before func(ctx context.Context, op, key string) error
	after  func(key string, err error) error
	// slow holds back what the next Get of a key has read.
	slow map[string]func()
}

// holdNext holds back what the next Get of a key has read, until goOn is closed.
func (p *probe) holdNext(key string) (reading, goOn chan struct{}) {
	reading, goOn = make(chan struct{}), make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = map[string]func(){key: func() { close(reading); <-goOn }}
	return reading, goOn
}

func (p *probe) held(key string) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	hold := p.slow[key]
	delete(p.slow, key)
	return hold
}

func (p *probe) faults(before func(ctx context.Context, op, key string) error, after func(string, error) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.after = before, after
}

func (p *probe) hooks() (func(context.Context, string, string) error, func(string, error) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before, p.after
}

func (p *probe) Get(ctx context.Context, key string) (store.Record, error) {
	p.count(ctx, &p.gets)
	before, _ := p.hooks()
	if before != nil {
		if err := before(ctx, "get", key); err != nil {
			return store.Record{}, err
		}
	}
	r, err := p.Store.Get(ctx, key)
	if hold := p.held(key); hold != nil {
		hold()
	}
	return r, err
}

func (p *probe) Update(ctx context.Context, key string, fn func(store.Record) (store.Record, error)) error {
	p.count(ctx, &p.updates)
	before, after := p.hooks()
	if before != nil {
		if err := before(ctx, "update", key); err != nil {
			return err
		}
	}
	err := p.Store.Update(ctx, key, fn)
	if after != nil {
		return after(key, err)
	}
	return err
}

// Peek and Adopt are those of the store, if it has them.
func (p *probe) Peek(ctx context.Context, key string) (store.Record, error) {
	if a, ok := p.Store.(store.Adopter); ok {
		return a.Peek(ctx, key)
	}
	return p.Store.Get(ctx, key)
}

func (p *probe) Adopt(ctx context.Context, force bool) error {
	if a, ok := p.Store.(store.Adopter); ok {
		return a.Adopt(ctx, force)
	}
	return nil
}

func (p *probe) count(ctx context.Context, n *atomic.Int64) {
	if ctx.Value(byWorkers{}) == nil {
		n.Add(1)
	}
}

func (p *probe) asked() int64 { return p.gets.Load() + p.updates.Load() }

// storeKind opens stores of one kind, in a folder or under its name.
type storeKind struct {
	name string
	open func(t testing.TB, folder string, now func() time.Time) store.Store
	// two: the house has two nodes, each with a store of its own opening (see swap).
	two bool
}

var onBolt = storeKind{name: "bolt", open: func(_ testing.TB, folder string, now func() time.Time) store.Store {
	return store.NewBolt(store.BoltConfig{Path: filepath.Join(folder, "accounts.db"), Now: now})
}}

// onRedis is two nodes on one Redis, whatever it consists of.
func onRedis(config store.RedisConfig) storeKind {
	return storeKind{name: "two nodes on redis", two: true, open: func(_ testing.TB, folder string, now func() time.Time) store.Store {
		c := config
		c.Namespace, c.Now = namespace(folder), now
		return store.NewRedis(c)
	}}
}

// namespace is for houses that share a Redis.
func namespace(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return hex.EncodeToString(sum[:8])
}

// loneRedis is one server that syncs every write.
func loneRedis(t testing.TB) store.RedisConfig {
	return store.RedisConfig{Addresses: []string{redistest.Start(t).Addr}}
}

// house is everything that a flow lives in, with a process that can be ended and started again.
type house struct {
	testing.TB
	*clock
	*Flow
	kind       storeKind
	folder     string
	ring       string
	probe      *probe
	registry   *memory
	courier    *courier
	audit, log *book
	rules      policy.Rules
	lease      time.Duration
	stop       func()
	idle       bool // no workers
	// other is the other node, of a kind with two.
	other *house
}

func newHouse(t testing.TB, changes ...func(h *house)) *house {
	t.Helper()
	ring, err := NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{TB: t, clock: new(clock), kind: onBolt, folder: quickFolder(t), ring: ring, registry: &memory{},
		courier: &courier{}, audit: &book{}, log: &book{}, rules: policy.Defaults()}
	h.set(noon)
	for _, change := range changes {
		change(h)
	}
	if h.kind.two {
		other := *h
		h.other = &other
	}
	h.start()
	t.Cleanup(func() { h.end() })
	return h
}

// drawKeys makes a ring of one key.
func drawKeys(t testing.TB, random io.Reader) *Keyring {
	t.Helper()
	ring, err := NewKeyring(random)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeyring(ring)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// quickFolder is a folder of a test, in memory where there is a place for that.
func quickFolder(t testing.TB) string {
	t.Helper()
	folder, err := testbed.MkdirTemp("house")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// swap makes what comes next happen on the other node, if there is one.
func (h *house) swap() {
	if o := h.other; o != nil {
		h.Flow, o.Flow = o.Flow, h.Flow
		h.probe, o.probe = o.probe, h.probe
		h.stop, o.stop = o.stop, h.stop
	}
}

func withoutWorkers(h *house) { h.idle = true }

// start opens the store and starts the workers, as a process does.
func (h *house) start() {
	h.Helper()
	h.probe = &probe{Store: h.kind.open(h, h.folder, h.Now)}
	h.load()
	if h.other != nil {
		h.other.start()
	}
}

// load makes a new flow on the open store, as a reload does.
func (h *house) load() {
	h.Helper()
	keys, err := ParseKeyring(h.ring)
	if err != nil {
		h.Fatal(err)
	}
	json := func(w io.Writer) *slog.Logger {
		// Without the time of each line: tests look for digits that must not be there.
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	}
	h.Flow = New(Config{Store: h.probe, Keys: keys, Registry: h.registry, Courier: h.courier, Now: h.Now, Rand: rand.Reader,
		Log: json(h.log), Audit: json(h.audit), TellsApps: true, Lease: h.lease})
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), byWorkers{}, true))
	done := make(chan struct{})
	flow, idle := h.Flow, h.idle
	go func() {
		defer close(done)
		if idle {
			<-ctx.Done()
			return
		}
		flow.Run(ctx)
	}()
	h.stop = func() { cancel(); <-done }
}

func (h *house) end() {
	h.Helper()
	h.stop()
	h.stop = func() {}
	if err := h.probe.Close(); err != nil {
		h.Error(err)
	}
	if h.other != nil {
		h.other.end()
	}
}

func (h *house) restart() { h.Helper(); h.end(); h.start() }
func (h *house) reload()  { h.Helper(); h.stop(); h.load() }

// person is a visitor in a browser. Each browser has a session of its own; next is the one after a right code.
func (h *house) person(user, browser string) Visitor {
	return Visitor{Realm: realm, User: user, Email: user + ".long@example.com", IP: netip.MustParseAddr("192.0.2.1"),
		Session: h.SessionHash(realm, user, []byte(browser)), Next: h.SessionHash(realm, user, []byte(browser+"'")),
		Language: "en", Host: "app.example", Browser: "Firefox", Base: "https://app.example/.contactgate", Operator: true}
}

func opening(v Visitor) policy.Request {
	return policy.Request{Kind: policy.Opening, Realm: v.Realm, User: v.User, Domain: EmailDomain(v.Email)}
}

func (h *house) open(v Visitor) Verdict {
	h.Helper()
	verdict, err := h.Decide(h.Context(), &h.rules, v, opening(v))
	if err != nil {
		h.Fatal(err)
	}
	return verdict
}

func (h *house) account(v Visitor) *policy.Account {
	h.Helper()
	a, err := h.Account(h.Context(), v)
	if err != nil {
		h.Fatal(err)
	}
	if a == nil {
		a = &policy.Account{}
	}
	return a
}

func (h *house) contact(v Visitor, address string) policy.Contact {
	h.Helper()
	if c := h.account(v).Find(kindOf(address), policy.Address(address)); c != nil {
		return *c
	}
	return policy.Contact{}
}

func kindOf(address string) policy.Kind { return policy.Address(address).Kind() }

// usual is the channel that is tried first for an address or a number.
func (h *house) usual(address string) policy.Channel {
	channels, _ := Channels(&h.rules, policy.Contact{Kind: kindOf(address), Address: policy.Address(address)})
	if len(channels) == 0 {
		return ""
	}
	return channels[0]
}

// offerPhones lets numbers of two countries be used, as an operator does with "channels".
func (h *house) offerPhones() {
	h.rules.Countries = []policy.Country{{Code: "JP", SMS: true, Voice: true}, {Code: "US", SMS: true, Voice: true}}
}

// phoneOnFile is a number that an import named.
func phoneOnFile(number string) policy.Contact {
	return policy.Contact{ID: "phone" + number, Kind: policy.Phone, Address: policy.Address(number), Added: noon, By: "import"}
}

// ask presses "send an e-mail" for a contact on file and shows that the whole of it is known.
func (h *house) ask(v Visitor, address string) Sent {
	h.Helper()
	return h.prove(v, address, address)
}

func (h *house) prove(v Visitor, address, proof string) Sent {
	h.Helper()
	return h.proveBy(v, h.usual(address), address, proof)
}

func (h *house) proveBy(v Visitor, channel policy.Channel, address, proof string) Sent {
	h.Helper()
	sent, err := h.Start(h.Context(), &h.rules, v, h.Handle(v, h.contact(v, address).ID), channel, proof, "/app")
	if err != nil {
		h.Fatal(err)
	}
	return sent
}

func (h *house) add(v Visitor, address string) Sent {
	h.Helper()
	return h.addBy(v, h.usual(address), address)
}

func (h *house) addBy(v Visitor, channel policy.Channel, address string) Sent {
	h.Helper()
	sent, err := h.Add(h.Context(), &h.rules, v, policy.Address(address), channel, "/app")
	if err != nil {
		h.Fatal(err)
	}
	return sent
}

func (h *house) again(v Visitor) Sent {
	h.Helper()
	sent, err := h.Resend(h.Context(), &h.rules, v)
	if err != nil {
		h.Fatal(err)
	}
	return sent
}

func (h *house) enter(v Visitor, code string) Entered {
	h.Helper()
	e, err := h.Enter(h.Context(), &h.rules, v, code)
	if err != nil {
		h.Fatal(err)
	}
	return e
}

// confirm goes the whole way with a contact on file.
func (h *house) confirm(v Visitor, address string) {
	h.Helper()
	h.open(v)
	if s := h.ask(v, address); s.Outcome != policy.Started {
		h.Fatalf("asking for a code: %+v", s)
	}
	h.accept(v, address)
}

func (h *house) accept(v Visitor, address string) Entered {
	h.Helper()
	e := h.enter(v, h.courier.code(h, address))
	if e.Outcome != policy.Accepted {
		h.Fatalf("the right code: %+v", e.Result)
	}
	return e
}

// change is what an operator's hand does to an account.
func (h *house) change(v Visitor, do func(a *policy.Account)) {
	h.Helper()
	if _, err := h.update(h.Context(), v, h.Now(), func(a *policy.Account) bool { do(a); return true }); err != nil {
		h.Fatal(err)
	}
}

func (h *house) wantOutcome(what string, got, want policy.Outcome) {
	h.Helper()
	if got != want {
		h.Errorf("%s: outcome %d, want %d", what, got, want)
	}
}

// settle lets the workers do what is due for somebody, and waits for what they have in hand.
func (h *house) settle(v Visitor) {
	h.Helper()
	for range 1000 {
		a := h.account(v)
		if due := a.Due(); !due.IsZero() && !due.After(h.Now()) {
			h.work.serve(h.Context(), h.accountKey(v.Realm, v.User))
			continue
		}
		i := slices.IndexFunc(a.Outbox, func(s policy.Send) bool { return s.Taken.After(h.Now()) })
		if i < 0 {
			return
		}
		settled, forget := h.work.expect(a.Outbox[i].ID)
		if slices.ContainsFunc(h.account(v).Outbox, func(s policy.Send) bool { return s.ID == a.Outbox[i].ID && s.Taken.After(h.Now()) }) {
			<-settled
		}
		forget()
	}
	h.Fatal("the workers do not come to an end")
}

var quiet = slog.New(slog.DiscardHandler)
