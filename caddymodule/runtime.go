package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/gorilla/securecookie"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// runtime is what an app works with once it is open. It is made late: provisioning also happens for "validate" and
// for configurations that are then rejected, and those must touch neither the store nor Caddy's storage.
type runtime struct {
	flow *verify.Flow
	// codecs are those of browser sessions, devices those of trusted browsers.
	codecs, devices []securecookie.Codec
	newer           atomic.Pointer[readers] // of the one that takes over, see runtimesInUse
	reseal          chan struct{}           // asks for it
	beliefs         *beliefs
	stop            context.CancelFunc
	done            chan struct{}
}

// opening guards and holds the runtime of one app.
type opening struct {
	mu   sync.Mutex
	live atomic.Pointer[runtime]
	// failed and since keep a store that cannot be opened from being tried by every request.
	failed error
	since  time.Time
	closed bool
}

// live gives the runtime, opening it if the app's Start has not come yet: Caddy starts apps in any order, so requests
// may be earlier.
func (a *App) live(ctx context.Context) (*runtime, error) {
	if live := a.opened.live.Load(); live != nil {
		return live, nil
	}
	if err := a.openRuntime(ctx); err != nil {
		return nil, err
	}
	return a.opened.live.Load(), nil
}

// openRuntime opens the store, finds the keys, and starts the workers. It is safe to call again.
func (a *App) openRuntime(ctx context.Context) error {
	o := &a.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.live.Load() != nil:
		return nil
	case o.closed:
		return errors.New("this configuration is gone")
	case o.failed != nil && time.Since(o.since) < time.Second:
		return o.failed
	}
	live, err := a.makeRuntime(ctx)
	if err != nil {
		o.failed, o.since = err, time.Now()
		return err
	}
	o.failed = nil
	o.live.Store(live)
	return nil
}

func (a *App) makeRuntime(ctx context.Context) (*runtime, error) {
	if s, ok := a.store.(interface{ Open(context.Context) error }); ok {
		if err := s.Open(ctx); err != nil {
			return nil, fmt.Errorf("opening the account store: %w", err)
		}
	}
	if err := registerMetrics(a.registry); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	keys, err := a.findKeys(ctx)
	if err != nil {
		return nil, err
	}
	flow := verify.New(verify.Config{
		Store: a.store, Keys: keys, Registry: registry{a.storage}, Courier: &courier{a}, Carries: a.carries,
		Now: time.Now, Rand: rand.Reader, Log: a.log, Audit: a.audit, Count: counter{storeName(a.store)}, TellsApps: a.tellsApps(),
	})
	var no *verify.NotReady
	if err := flow.Admit(ctx); errors.As(err, &no) && no.Fatal {
		return nil, no
	}
	run, stop := context.WithCancel(context.Background())
	live := newRuntime(flow, keys)
	live.stop = stop
	inUse.join(live)
	go func() {
		defer close(live.done)
		flow.Run(run)
	}()
	go func() {
		for {
			select {
			case <-run.Done():
				return
			case <-live.reseal:
			}
			if err := reseal(run, live); err != nil && run.Err() == nil {
				a.log.Error("sealing the records with the newest key stopped; it goes on after the next start", "error", err)
			}
		}
	}()
	return live, nil
}

// newRuntime is what gates need of a flow. Nothing runs yet.
func newRuntime(flow *verify.Flow, keys *verify.Keyring) *runtime {
	live := &runtime{flow: flow, codecs: newCodecs(keys), devices: newDeviceCodecs(keys), beliefs: newBeliefs(),
		reseal: make(chan struct{}, 1), done: make(chan struct{})}
	live.reseal <- struct{}{} // before anybody else can: there is room for one
	return live
}

// tellsApps tells whether some site hands verified contacts to its app.
func (a *App) tellsApps() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.gates, func(g *Gate) bool { return g.passEmail || g.passPhone })
}

// reseal waits until the store is used: it may be away, or another one. And until no other configuration of this process seals
// with older keys.
func reseal(ctx context.Context, live *runtime) error {
	for live.flow.Admit(ctx) != nil || !inUse.alone(live) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	select {
	case <-live.reseal: // whoever ended while this waited asked for what is done now
	default:
	}
	return live.flow.Reseal(ctx)
}

// storeName is the store's kind, as a metric shows it: "bolt".
func storeName(s store.Store) string {
	kind := fmt.Sprintf("%T", s)
	return strings.ToLower(kind[strings.LastIndexByte(kind, '.')+1:])
}

// lastWords is how long a process that ends waits for messages that are just being handed over.
const lastWords = 5 * time.Second

// closeRuntime stops the workers. Requests that are still under way keep what they have.
func (a *App) closeRuntime() {
	o := &a.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	live := o.live.Load()
	if o.closed || live == nil {
		o.closed = true
		return
	}
	o.closed = true
	live.stop()
	inUse.end(live)
	if caddy.Exiting() {
		select {
		case <-live.done:
		case <-time.After(lastWords):
		}
	}
}

// registry keeps the name of the store in Caddy's storage.
type registry struct{ storage certmagic.Storage }

const storeInStorage = "contactgate/store.json"

func (s registry) Load(ctx context.Context) ([]byte, error) {
	text, err := s.storage.Load(ctx, storeInStorage)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

func (s registry) Save(ctx context.Context, text []byte) error {
	return s.storage.Store(ctx, storeInStorage, text)
}

func (s registry) Lock(ctx context.Context) (func(), error) {
	if err := s.storage.Lock(ctx, storeInStorage); err != nil {
		return nil, err
	}
	return func() { _ = s.storage.Unlock(context.WithoutCancel(ctx), storeInStorage) }, nil
}

// storeStatus is what doctor says of the store.
type storeStatus struct {
	Ready           bool
	Problem, Remedy string
	ID, Fingerprint string
	Born            time.Time
}

func (a *App) storeStatus(ctx context.Context) storeStatus {
	live, err := a.live(ctx)
	if err != nil {
		return storeStatus{Problem: err.Error(), Remedy: "see the log for the cause"}
	}
	var s storeStatus
	if err := live.flow.Admit(ctx); err != nil {
		s.Problem = err.Error()
		var no *verify.NotReady
		if errors.As(err, &no) {
			s.Problem, s.Remedy = no.Problem, no.Remedy
		}
		return s
	}
	id, err := live.flow.StoreName(ctx)
	if err != nil {
		return storeStatus{Problem: err.Error(), Remedy: "see the log for the cause"}
	}
	return storeStatus{Ready: true, ID: id.ID, Fingerprint: id.Ring, Born: id.Born}
}

func (a *App) acceptEmptyStore(ctx context.Context, reason string) error {
	live, err := a.live(ctx)
	if err != nil {
		return err
	}
	return live.flow.AcceptEmptyStore(ctx, reason)
}

// courier words a message as the site that asked for it does, and hands it to the sender of its channel.
type courier struct{ app *App }

func (c *courier) Deliver(ctx context.Context, l verify.Letter) policy.Delivery {
	g, sender := c.app.gateOf(l.Host), c.app.sender(policy.Channel(l.Channel))
	if g == nil || sender == nil {
		c.app.log.Error("a message cannot be sent: no sender for its channel is configured", "channel", l.Channel)
		return policy.NotReached
	}
	m, err := delivery.NewComposer(g.pages).Compose(g.letter(l))
	if err != nil {
		c.app.log.Error("a message could not be worded", "error", err)
		return policy.RefusedForGood
	}
	return c.outcome(l, sender.Send(ctx, m))
}

// letter is the message as the site words it. A text with a code is bound to the host of the page, which is known only where
// somebody wrote it down; everything else may go by the site's name.
func (g *Gate) letter(l verify.Letter) delivery.Letter {
	letter := delivery.Letter{
		ID: l.ID, Kind: l.Kind, Channel: l.Channel, To: l.To, Language: l.Language, Code: l.Code, Host: l.Host,
		Browser: l.Browser, ContactKind: l.ContactKind, At: l.At, Ends: l.Ends, HoldUntil: l.HoldUntil, Adding: l.Adding,
		Link: l.Link, LinkEnds: l.LinkEnds, Page: l.Page, Reference: l.Reference, Realm: l.Realm, User: l.User, By: l.By, Help: l.Help,
	}
	if policy.SendKind(l.Kind).ToOperator() {
		letter.To, _ = mailAddress(g.support)
	}
	if l.Host == "" && (l.Kind != string(policy.SendCode) || l.Channel != string(policy.BySMS)) {
		letter.Host = g.siteName
	}
	return letter
}

// Reachable tells whether a channel's carrier can be used, so that an outage is known to be over.
func (c *courier) Reachable(ctx context.Context, channel policy.Channel) error {
	if sender := c.app.sender(channel); sender != nil {
		return sender.Check(ctx)
	}
	return nil // the configuration has no such channel any more: it cannot be down
}

// outcome turns a sender's error into what the account remembers. Senders' errors hold no recipient.
func (c *courier) outcome(l verify.Letter, err error) policy.Delivery {
	if err == nil {
		return policy.TakenOver
	}
	c.app.log.Warn("a message was not taken", "channel", l.Channel, "kind", l.Kind, "message", l.ID, "error", err)
	switch {
	case errors.Is(err, delivery.ErrRefused):
		return policy.RefusedForGood
	case errors.Is(err, delivery.ErrTryLater):
		return policy.AskedToWait
	case errors.Is(err, delivery.ErrBrokenOff):
		return policy.BrokenOff
	case errors.Is(err, delivery.ErrOutOfOrder):
		return policy.OutOfOrder
	case errors.Is(err, delivery.ErrUnreachable):
		return policy.NotReached
	}
	return policy.LostAnswer
}

// gateOf finds the gate whose site a message is about; any, when none has that name.
func (a *App) gateOf(host string) *Gate {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.gates {
		for _, h := range g.hosts {
			if h == host {
				return g
			}
		}
		if g.origin != "" && host != "" && g.originHost() == host {
			return g
		}
	}
	if len(a.gates) == 0 {
		return nil
	}
	return a.gates[0]
}
