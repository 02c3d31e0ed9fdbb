package verify

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/contactgate/contactgate/policy"
)

const (
	// cachedFor is how long a node may go on from what it knows (security.md, rule 12).
	cachedFor = time.Minute
	// mostCached bounds the memory: about 150 MB, once so many people were here within a minute.
	mostCached = 1 << 20
	shardCount = 256
	// lookedAt is how many of a full shard's entries are compared to find one that may go.
	lookedAt = 8
)

// cache remembers people who pass whatever they open, nobody else, and not for long. Whoever is not in it is asked of the
// store.
//
// It is flat: what it keeps has no pointers, so a million people cost the garbage collector nothing. Plain maps in shards
// did as well as a library's cache in a comparison, with a third of its memory. Nothing is looked for to be removed: an
// entry that is too old is no answer, and a full shard gives the place of an old one to the new one.
type cache struct {
	shards [shardCount]shard
	// changes has a number for every stripe of records, and all one for all of them: an entry is good as long as both are
	// what they were when its record was read. So a slow reader cannot put back what a change has made untrue, and other
	// nodes' changes, which come as keys of the store, need no way from a key to a person.
	changes [1 << 18]atomic.Uint32
	all     atomic.Uint32
	// seeds make two hashes of 64 bits: for one of 128, whose chance to be another person's is none.
	seeds [2]maphash.Seed
}

type shard struct {
	mu sync.RWMutex
	// people holds what is known of an account, browsers what an account knows of one browser.
	people   map[mark]known
	browsers map[mark]browser
	// told is for the app, where a site has pass_headers. It is the one thing here that has pointers.
	told map[mark]told
}

// mark stands for somebody, or for a browser of theirs.
type mark [2]uint64

// dated is when something was read of a record, in milliseconds, and how often the record had been changed by then.
type dated struct {
	at                   int64
	changed, stripe, all uint32
}

// known is what is remembered of somebody: enough to decide by any site's rules that they pass. Whoever does not pass by
// these facts is asked of the store.
type known struct {
	dated
	// claims is a hash of the contacts that the sign-in named: others have to be registered first.
	claims                 uint32
	confirmed, exemptUntil second
	authenticator          bool
	// tells: there is something in told.
	tells bool
}

// browser is what an account knows of a trusted browser, or of a session in which a code was entered. The zero moments:
// it knows nothing of it.
type browser struct {
	dated
	trusted, used, ends second
	entered             second
}

// told are the contacts that the app is told, whole, and when they were confirmed.
type told struct{ email, phone contactAt }

type contactAt struct {
	address string
	at      second
}

func newCache() *cache {
	c := &cache{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	for i := range c.shards {
		c.shards[i] = shard{people: map[mark]known{}, browsers: map[mark]browser{}, told: map[mark]told{}}
	}
	return c
}

type person struct{ realm, user string }

func (c *cache) markOf(v *Visitor) mark {
	p := person{v.Realm, v.User}
	return mark{maphash.Comparable(c.seeds[0], p), maphash.Comparable(c.seeds[1], p)}
}

// markOfBrowser ties the hash that an account knows a browser by to the person. It is 16 bytes of an HMAC.
func (m mark) browser(evidence []byte) mark {
	for i, b := range evidence[:min(len(evidence), 16)] {
		m[i/8] ^= uint64(b) << (8 * (i % 8))
	}
	return m
}

func (c *cache) shard(m mark) *shard { return &c.shards[m[0]%shardCount] }

// recollection is what is remembered for one request. Of the browsers it knows the one that asks.
type recollection struct {
	facts      policy.Facts
	told       told
	device     policy.Device
	entry      policy.Entry
	isTrusted  bool
	hasEntered bool
}

// about are the facts, with what is known of the browser.
func (k *recollection) about() policy.Facts {
	facts := k.facts
	if k.isTrusted {
		facts.Devices = []policy.Device{k.device}
	}
	if k.hasEntered {
		facts.Entered = []policy.Entry{k.entry}
	}
	return facts
}

// get recalls what is needed to decide for a visitor. It reports false when something of it is not known, or is too old.
func (c *cache) get(v *Visitor, deviceCode bool, now time.Time, into *recollection) bool {
	m, ms := c.markOf(v), now.UnixMilli()
	s := c.shard(m)
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.people[m]
	if !ok || !c.good(k.dated, ms) || k.claims != c.claims(v) {
		return false
	}
	into.facts = policy.Facts{Confirmed: k.confirmed.time(), ExemptUntil: k.exemptUntil.time(), Authenticator: k.authenticator}
	if k.tells {
		if into.told, ok = s.told[m]; !ok {
			return false
		}
	}
	if v.Device != nil {
		b, ok := s.browsers[m.browser(v.Device)]
		if !ok || !c.good(b.dated, ms) {
			return false
		}
		if b.trusted != 0 {
			into.device, into.isTrusted = policy.Device{ID: v.Device, Trusted: b.trusted.time(), Used: b.used.time(), Ends: b.ends.time()}, true
		}
	}
	if deviceCode && v.Session != nil {
		b, ok := s.browsers[m.browser(v.Session)]
		if !ok || !c.good(b.dated, ms) {
			return false
		}
		if b.entered != 0 {
			into.entry, into.hasEntered = policy.Entry{Session: v.Session, At: b.entered.time()}, true
		}
	}
	return true
}

// good tells whether an entry is young enough, and nothing has changed since. A clock that stepped back makes an entry
// look young: it is not used then.
func (c *cache) good(d dated, ms int64) bool {
	return ms >= d.at && ms-d.at < cachedFor.Milliseconds() && c.changes[d.stripe].Load() == d.changed && c.all.Load() == d.all
}

// ticket is taken before the store is read and given to put.
func (c *cache) ticket(key string, now time.Time) dated {
	stripe := c.stripe(key)
	return dated{at: now.UnixMilli(), stripe: stripe, changed: c.changes[stripe].Load(), all: c.all.Load()}
}

// put remembers somebody as they were when the ticket was taken. If the record has changed since, the entry is good for
// nobody from the start. tell: some site tells its app their contacts.
func (c *cache) put(ticket dated, v *Visitor, a *policy.Account, facts policy.Facts, tell bool) {
	m := c.markOf(v)
	k := known{
		dated: ticket, claims: c.claims(v), authenticator: facts.Authenticator,
		confirmed: secondOf(facts.Confirmed), exemptUntil: secondOf(facts.ExemptUntil),
	}
	var app told
	if tell {
		now := time.UnixMilli(ticket.at)
		app = told{contactFor(a, policy.Email, now), contactFor(a, policy.Phone, now)}
		k.tells = app != told{}
	}
	s := c.shard(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.people, m, func(k known) int64 { return k.at }, func(old mark) { delete(s.told, old) })
	s.people[m] = k
	delete(s.told, m)
	if k.tells {
		s.told[m] = app
	}
	for _, evidence := range [][]byte{v.Device, v.Session} {
		if evidence == nil {
			continue
		}
		m := m.browser(evidence)
		makeRoom(s.browsers, m, func(b browser) int64 { return b.at }, func(mark) {})
		s.browsers[m] = browserOf(ticket, facts, evidence)
	}
}

func browserOf(ticket dated, facts policy.Facts, evidence []byte) browser {
	b := browser{dated: ticket}
	for _, d := range facts.Devices {
		if string(d.ID) == string(evidence) {
			b.trusted, b.used, b.ends = secondOf(d.Trusted), secondOf(d.Used), secondOf(d.Ends)
		}
	}
	for _, e := range facts.Entered {
		if string(e.Session) == string(evidence) {
			b.entered = secondOf(e.At)
		}
	}
	return b
}

// contactFor is the contact of a kind that counts, whatever its age.
func contactFor(a *policy.Account, kind policy.Kind, now time.Time) contactAt {
	forever := policy.Rules{}
	if c := a.VerifiedContact(&forever, kind, now); c != nil {
		return contactAt{c.Address.Whole(), secondOf(c.Verified)}
	}
	return contactAt{}
}

// makeRoom lets the oldest of a few go when a shard is full.
func makeRoom[T any](entries map[mark]T, coming mark, at func(T) int64, gone func(mark)) {
	if _, known := entries[coming]; known || len(entries) < mostCached/shardCount {
		return
	}
	var oldest mark
	var age int64
	looked := 0
	for m, e := range entries { // Go begins anywhere
		if looked == 0 || at(e) < age {
			oldest, age = m, at(e)
		}
		if looked++; looked == lookedAt {
			break
		}
	}
	delete(entries, oldest)
	gone(oldest)
}

// changed notes that a record was changed, by whatever node (Store.Watch). An empty key means that any may have been.
func (c *cache) changed(key string) {
	switch {
	case key == "":
		c.all.Add(1)
	case strings.HasPrefix(key, accountPrefix):
		c.changes[c.stripe(key)].Add(1)
	}
}

func (c *cache) stripe(key string) uint32 {
	return uint32(maphash.String(c.seeds[0], key) % uint64(len(c.changes)))
}

func (c *cache) claims(v *Visitor) uint32 {
	if v.Email == "" && v.Phone == "" {
		return 0
	}
	return uint32(maphash.Comparable(c.seeds[1], [2]string{v.Email, v.Phone}))
}

// outlived tells that a contact which is remembered for the app no longer counts by these rules. Another one may.
func (k *recollection) outlived(r *policy.Rules, now time.Time) bool {
	return k.told.email.outlived(r, now) || k.told.phone.outlived(r, now)
}

func (c contactAt) outlived(r *policy.Rules, now time.Time) bool {
	return c.at != 0 && r.Reconfirm != 0 && !now.Before(c.at.time().Add(r.Reconfirm))
}

// second is a moment in whole seconds since 1970, zero for none. It is rounded down: what is remembered ends up to a second
// before its time, and then the store is asked.
type second uint32

func secondOf(t time.Time) second {
	if t.IsZero() {
		return 0
	}
	return second(t.Unix())
}

func (s second) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}
