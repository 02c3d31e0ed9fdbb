// Package verify holds the use cases: it loads an account, applies one transition of package policy in one atomic
// update of the store, and leaves messages to send in that same record.
package verify

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/policy"
)

// Config is what a Flow works with.
type Config struct {
	Store store.Store
	Keys  *Keyring
	// Registry remembers, apart from the store, which store this is.
	Registry Registry
	Courier  Courier
	// Carries tells whether messages of a channel can be sent at all; nil: of every one.
	Carries func(policy.Channel) bool
	Now     func() time.Time
	Rand    io.Reader
	Log     *slog.Logger
	// Audit gets one line for every change of an account, every code sent, tried, accepted.
	Audit *slog.Logger
	// Count is told of what metrics show; nil counts nothing.
	Count Counter
	// TellsApps: some site tells its app the verified contacts (pass_headers), so that they are remembered, too.
	TellsApps bool
	// Lease is how long a worker may have a message in hand before another one believes that it died. Default 30 s.
	Lease time.Duration
}

// Counter is what metrics are told.
type Counter interface {
	CodeSent(channel policy.Channel, d policy.Delivery, took time.Duration)
	CodeChecked(result string)
	StoreFailed(operation string)
	CacheAsked(hit bool)
}

// Flow is the use cases, one method each.
type Flow struct {
	Config
	index struct{ account, session, device, handle, form, back, limit, notice, recovery []byte }
	cache *cache
	// reading lets requests that miss the same account at the same time read it once.
	reading singleflight.Group
	work    *workers
	// queues keep a burst of one account from counting where others count, too.
	queues *queues
	// outages are the times in which messages could not be handed over.
	outages outages
	// trouble is the outage of the store, if there is one.
	trouble trouble
	ready   atomic.Bool
	// admitting lets one caller at a time ask whether the store is the right one.
	admitting sync.Mutex
	refused   *NotReady
	asked     time.Time
	turn      atomic.Int64 // see StoreID.Turn
}

// New makes a Flow. It asks the store nothing yet.
func New(c Config) *Flow {
	f := &Flow{Config: c, cache: newCache(), queues: newQueues()}
	if f.Lease == 0 {
		f.Lease = defaultLease
	}
	f.index.account = c.Keys.Index("account")
	f.index.session = c.Keys.Index("session")
	f.index.device = c.Keys.Index("device")
	f.index.handle = c.Keys.Index("handle")
	f.index.form = c.Keys.Index("form")
	f.index.back = c.Keys.Index("return")
	f.index.limit = c.Keys.Index("limit")
	f.index.notice = c.Keys.Index("notice")
	f.index.recovery = c.Keys.Index("recovery")
	f.work = newWorkers(f)
	return f
}

// Visitor is who asks, from where.
type Visitor struct {
	Realm, User string
	// Email and Phone are what the sign-in says in this very request, as it says it.
	Email, Phone string
	IP           netip.Addr
	// Session is the hash of the browser session, Next that of the one which follows a right code.
	Session, Next []byte
	// Device is the hash of what the cookie of a trusted browser names; nil: there is none that was made for this account
	// and site. Whether it is trusted the record tells.
	Device []byte
	// Ticked: with this very form they ticked "do not ask for a code here".
	Ticked   bool
	Language string
	// Host and Browser go into messages.
	Host, Browser string
	// Base is where our pages are, as people see it; empty when nobody wrote down how the site is called. Links begin so.
	Base string
	// Operator: mail reaches the people who run the site.
	Operator bool
}

// evidence is what the browser brought.
func (v *Visitor) evidence() policy.Evidence {
	return policy.Evidence{Session: v.Session, Device: v.Device}
}

// ErrUnavailable means that the store could not answer in time, or is not ready. Nothing was decided.
var ErrUnavailable = errors.New("the account store is not available")

// ErrFrozen means that the account is frozen: nothing was changed, and only an operator can change that.
var ErrFrozen = errors.New("the account is frozen")

// Patience with the store (security.md, limits): for one call, and for all calls of a request.
const (
	storePatience      = 500 * time.Millisecond
	storePatienceInAll = 2 * time.Second
)

func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storePatienceInAll)
}

func (f *Flow) now() time.Time { return f.Now().Truncate(time.Millisecond) }

// load reads an account; nobody knows it yet: nil.
func (f *Flow) load(ctx context.Context, key string) (*policy.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	r, err := f.Store.Get(ctx, key)
	if err != nil {
		return nil, f.unavailable("get", "reading an account", err)
	}
	f.answers()
	if r.Value == nil {
		return nil, nil
	}
	a, err := f.openAccount(key, r.Value)
	if err != nil {
		return nil, f.unavailable("get", "reading an account", err)
	}
	return a, nil
}

// loadTogether is load for requests that come at the same time: one of them reads, and all look at what it found. Who
// comes after a change does not join those who began before it.
func (f *Flow) loadTogether(ctx context.Context, key string, ticket dated) (*policy.Account, error) {
	flight := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte(key), ticket.changed), ticket.all)
	found, err, _ := f.reading.Do(string(flight), func() (any, error) {
		return f.load(context.WithoutCancel(ctx), key) // the others still wait when the first one has gone
	})
	a, _ := found.(*policy.Account)
	return a, err
}

// update changes the account of a visitor in one atomic step. change gets a fresh copy each time that it runs and
// reports whether anything is to be written; it must have no effect beyond the account. A frozen account is not changed:
// whatever a page or a form of a moment ago allowed ends here, with ErrFrozen and the account as it is.
func (f *Flow) update(ctx context.Context, v Visitor, now time.Time, change func(a *policy.Account) (write bool)) (*policy.Account, error) {
	var frozen bool
	a, err := f.updateAnyway(ctx, v, now, func(a *policy.Account) bool {
		frozen = a.Frozen != nil
		return !frozen && change(a)
	})
	if err == nil && frozen {
		err = ErrFrozen
	}
	return a, err
}

// updateAnyway is update for the few things that may change a frozen account.
func (f *Flow) updateAnyway(ctx context.Context, v Visitor, now time.Time, change func(a *policy.Account) (write bool)) (*policy.Account, error) {
	return f.updateKey(ctx, f.accountKey(v.Realm, v.User), func(a *policy.Account) bool {
		if a.User == "" {
			a.Realm, a.User, a.Since = v.Realm, v.User, now
		}
		return change(a)
	})
}

// Seed writes an account as it is, in place of whatever was there: the people of the demo, and of benchmarks.
func (f *Flow) Seed(ctx context.Context, a policy.Account) error {
	_, err := f.updateKey(ctx, f.accountKey(a.Realm, a.User), func(old *policy.Account) bool {
		*old = a
		return true
	})
	return err
}

func (f *Flow) updateKey(ctx context.Context, key string, change func(a *policy.Account) (write bool)) (*policy.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	var result *policy.Account
	var write bool
	err := f.Store.Update(ctx, key, func(old store.Record) (store.Record, error) {
		a := &policy.Account{}
		if old.Value != nil {
			var err error
			if a, err = f.openAccount(key, old.Value); err != nil {
				return store.Record{}, err
			}
		}
		write = change(a)
		result = a
		if !write {
			return store.Record{}, store.ErrKeep
		}
		sealed, err := f.sealRecord(key, a)
		if err != nil {
			return store.Record{}, err
		}
		return store.Record{Value: sealed, Due: a.Due()}, nil
	})
	if write { // also when it failed: what could not be confirmed in time may be written all the same
		f.cache.changed(key)
	}
	if err != nil {
		return nil, f.unavailable("update", "changing an account", err)
	}
	f.answers()
	return result, nil
}

// Verdict is a decision with what the app may be told.
type Verdict struct {
	policy.Decision
	// Email and Phone are the contacts that were confirmed last, whole, for pass_headers.
	Email, Phone string
	// Account is set unless the answer came from the cache.
	Account *policy.Account
}

// Decide decides one request of an identified person: from what this node remembers of them, or else from the store.
func (f *Flow) Decide(ctx context.Context, r *policy.Rules, v Visitor, q policy.Request) (Verdict, error) {
	if verdict, ok := f.Recall(r, v, q); ok {
		return verdict, nil
	}
	return f.LookUp(ctx, r, v, q)
}

// Recall decides for somebody who is known to be verified or exempt, and asks no store. Of others it reports false, and
// of requests to our own pages. What kind of request it is may be left open: nobody passes here because of it.
func (f *Flow) Recall(r *policy.Rules, v Visitor, q policy.Request) (Verdict, bool) {
	now := f.now()
	q.Evidence = v.evidence()
	var known recollection
	if q.OwnPage || !f.cache.get(&v, r.DeviceCode, now, &known) {
		return Verdict{}, false
	}
	// Whoever is blocked may have entered a code a moment ago, on another node: that is looked up.
	d := r.Decide(q, known.about(), now)
	if !keeps(d) || d.Action != policy.Pass || d.Records() || known.outlived(r, now) {
		return Verdict{}, false
	}
	if f.Count != nil {
		f.Count.CacheAsked(true)
	}
	return Verdict{Decision: d, Email: known.told.email.address, Phone: known.told.phone.address}, true
}

// keeps tells whether a node may go on from what it knows of somebody: those who pass whatever they open.
func keeps(d policy.Decision) bool {
	return d.Standing == policy.Verified || d.Standing == policy.Exempt
}

// LookUp decides from the store, and writes down what the request starts. An exempt request needs no account.
func (f *Flow) LookUp(ctx context.Context, r *policy.Rules, v Visitor, q policy.Request) (Verdict, error) {
	if q.Exempt {
		return Verdict{Decision: r.Decide(q, policy.Facts{}, f.now())}, nil
	}
	if f.Count != nil {
		f.Count.CacheAsked(false)
	}
	if err := f.admitInTime(ctx); err != nil {
		return Verdict{}, err
	}
	now := f.now()
	q.Evidence = v.evidence()
	key := f.accountKey(v.Realm, v.User)
	ticket := f.cache.ticket(key, now)
	a, err := f.loadTogether(ctx, key, ticket)
	if err != nil {
		return Verdict{}, err
	}
	if a == nil {
		a = &policy.Account{}
	}
	before := f.facts(a, r, now)
	d := r.Decide(q, before, now)
	named := claimsOf(r, v)
	if d.Records() || d.Standing != policy.Exempt && d.Standing != policy.Frozen && claimsNews(a, named) {
		a, err = f.update(ctx, v, now, func(a *policy.Account) bool {
			news := f.nameClaims(a, named, r, now)
			before = f.facts(a, r, now)
			d = r.Decide(q, before, now)
			a.Record(r, q, d, now)
			if d.StartsShown {
				a.Note(policy.GraceStarted, "", v.Browser, now)
			}
			if d.Excuses {
				a.Note(policy.DeadlineMoved, "", "", now)
			}
			return news || d.Records()
		})
		if errors.Is(err, ErrFrozen) { // by somebody, since it was read
			return Verdict{Decision: r.Decide(q, f.facts(a, r, now), now), Account: a}, nil
		}
		if err != nil {
			return Verdict{}, err
		}
		if d.StartsShown {
			f.audit("grace_started", v, "deadline", a.Facts(now).Grace.Deadline(r))
		}
		if d.Excuses {
			f.audit("deadline_moved", v, "deadline", d.Deadline)
		}
		d = afterRecording(r, d, a, now)
	}
	if keeps(d) {
		f.cache.put(ticket, &v, a, before, f.TellsApps)
	}
	verdict := Verdict{Decision: d, Account: a}
	verdict.Email, verdict.Phone = contactsFor(r, a, now)
	return verdict, nil
}

// afterRecording gives the decision the deadline that it has just started.
func afterRecording(r *policy.Rules, d policy.Decision, a *policy.Account, now time.Time) policy.Decision {
	if d.StartsSeen || d.StartsShown {
		_, d.Deadline = r.Standing(a.Facts(now), now)
	}
	return d
}

func contactsFor(r *policy.Rules, a *policy.Account, now time.Time) (email, phone string) {
	if c := a.VerifiedContact(r, policy.Email, now); c != nil {
		email = c.Address.Whole()
	}
	if c := a.VerifiedContact(r, policy.Phone, now); c != nil {
		phone = c.Address.Whole()
	}
	return email, phone
}

// claim is a contact that the sign-in names, in the form that contacts are kept in.
type claim struct {
	kind    policy.Kind
	address policy.Address
}

// claimsOf reads what the sign-in says in this very request; what is no contact is left out. A number without a country
// code is taken as one of the first country that is offered.
func claimsOf(r *policy.Rules, v Visitor) []claim {
	var list []claim
	if email, ok := ParseEmail(v.Email); v.Email != "" && ok {
		list = append(list, claim{policy.Email, email})
	}
	if v.Phone != "" {
		home := ""
		if len(r.Countries) > 0 {
			home = r.Countries[0].Code
		}
		if phone, _, fault := ParsePhone(v.Phone, home); fault == "" {
			list = append(list, claim{policy.Phone, phone})
		}
	}
	return list
}

// claimsNews tells whether the sign-in names a contact that is not on file, and that nobody removed.
func claimsNews(a *policy.Account, named []claim) bool {
	return slices.ContainsFunc(named, func(c claim) bool { return !a.Remembers(c.kind, c.address) })
}

func (f *Flow) nameClaims(a *policy.Account, named []claim, r *policy.Rules, now time.Time) bool {
	news := false
	for _, c := range named {
		news = a.Name(c.kind, c.address, f.newID, r.Limits, now) || news
	}
	return news
}

// newID names a contact or a message. 96 bits: it is only ever looked up inside one account.
func (f *Flow) newID() string { return encode(f.random(12)) }

// reference names something that people and operators talk about: 50 bits, in letters and digits that can be told apart
// when they are read out.
func (f *Flow) reference() string { return readable.EncodeToString(f.random(10))[:10] }

// readable is base32: no 0 beside an O, no 1 beside an I.
var readable = base32.StdEncoding.WithPadding(base32.NoPadding)

// random stops whatever asked for it where the source fails: nothing may go on with names and codes that can be guessed.
// See NoRandom; inside an update of the store it is the store that turns the panic into an error.
func (f *Flow) random(n int) []byte {
	raw := make([]byte, n)
	if _, err := io.ReadFull(f.Rand, raw); err != nil {
		f.Log.Error("the random source fails; nothing is sent until it works again", "error", err)
		panic(noRandom{err})
	}
	return raw
}

type noRandom struct{ error }

// NoRandom turns a random source that fails into ErrUnavailable, where it is deferred. Every other panic goes on.
func NoRandom(err *error) {
	switch stopped := recover().(type) {
	case nil:
	case noRandom:
		*err = fmt.Errorf("reading random bytes: %w: %w", ErrUnavailable, stopped.error)
	default:
		panic(stopped)
	}
}

func (f *Flow) audit(event string, v Visitor, more ...any) {
	args := []any{"realm", v.Realm, "user", v.User}
	if v.IP.IsValid() {
		args = append(args, "ip", v.IP.String())
	}
	for _, m := range more {
		if at, ok := m.(time.Time); ok {
			m = at.UTC().Format(time.RFC3339) // a moment that people read, not a number
		}
		args = append(args, m)
	}
	f.Audit.Info(event, args...)
}
