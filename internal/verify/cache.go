package verify

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/contactgate/contactgate/policy"
)

const (
	// cachedFor is how long a node may go on from what it knows (security.md, rule 12).
	cachedFor = time.Minute
	// mostCached bounds the memory: somewhat over 100 MB at the most.
	mostCached = 200_000
)

// cache remembers verified people, nobody else, and not for long. Whoever is not in it is asked of the store.
type cache struct {
	people *otter.Cache[person, known]
	// changes has one counter for every stripe of people, so that a slow reader cannot put back what a change
	// in the meantime has made untrue.
	changes [1024]atomic.Uint64
	// told counts what the store tells of, for many stripes of keys: an entry is good as long as its own stripe's number
	// and the one for all are what they were when it was read. Other nodes change records, too, and name them by keys.
	told [1 << 18]atomic.Uint32
	all  atomic.Uint32
	seed maphash.Seed
}

// ticket is what was known of changes before the store was read.
type ticket struct {
	own               uint64
	stripe, told, all uint32
}

type person struct{ realm, user string }

// known is what is remembered: enough to decide by any site's rules.
type known struct {
	facts policy.Facts
	// claims are the contacts that the sign-in named when this was read: others have to be registered first.
	claims       claims
	email, phone confirmed
	at           time.Time
	ticket       ticket
}

type claims struct{ email, phone string }

type confirmed struct {
	address string
	at      time.Time
}

func newCache() *cache {
	return &cache{
		people: otter.Must(&otter.Options[person, known]{MaximumSize: mostCached}),
		seed:   maphash.MakeSeed(),
	}
}

func (c *cache) close() { c.people.StopAllGoroutines() }

func (c *cache) get(v Visitor, now time.Time) (known, bool) {
	k, ok := c.people.GetIfPresent(person{v.Realm, v.User})
	// A clock that stepped back makes an entry look young: it is not used then.
	if !ok || now.Sub(k.at) >= cachedFor || now.Before(k.at) || k.claims != (claims{v.Email, v.Phone}) || c.outdated(k.ticket) {
		return known{}, false
	}
	return k, true
}

// ticket is taken before the store is read and given to put.
func (c *cache) ticket(v Visitor, key string) ticket {
	stripe := c.keyStripe(key)
	return ticket{own: c.stripe(v.Realm, v.User).Load(), stripe: stripe, told: c.told[stripe].Load(), all: c.all.Load()}
}

func (c *cache) put(t ticket, v Visitor, k known) {
	stripe := c.stripe(v.Realm, v.User)
	if stripe.Load() != t.own {
		return
	}
	k.ticket = t
	c.people.Set(person{v.Realm, v.User}, k)
	if stripe.Load() != t.own { // it changed while we wrote
		c.people.Invalidate(person{v.Realm, v.User})
	}
}

// changed is told by the store (Store.Watch) which record was changed, by whatever node. An empty key means that any may
// have been.
func (c *cache) changed(key string) {
	switch {
	case key == "":
		c.all.Add(1)
	case strings.HasPrefix(key, accountPrefix):
		c.told[c.keyStripe(key)].Add(1)
	}
}

func (c *cache) outdated(t ticket) bool {
	return c.told[t.stripe].Load() != t.told || c.all.Load() != t.all
}

func (c *cache) keyStripe(key string) uint32 {
	return uint32(maphash.String(c.seed, key) % uint64(len(c.told)))
}

func (c *cache) forget(realm, user string) {
	c.stripe(realm, user).Add(1)
	c.people.Invalidate(person{realm, user})
}

func (c *cache) stripe(realm, user string) *atomic.Uint64 {
	return &c.changes[maphash.Comparable(c.seed, person{realm, user})%uint64(len(c.changes))]
}

func remember(a *policy.Account, v Visitor, now time.Time) known {
	k := known{facts: a.Facts(now), claims: claims{v.Email, v.Phone}, at: now}
	for i := range k.facts.Devices { // they are copies; what only people read is not remembered
		k.facts.Devices[i].Host, k.facts.Devices[i].Browser = "", ""
	}
	forever := policy.Rules{}
	if c := a.VerifiedContact(&forever, policy.Email, now); c != nil {
		k.email = confirmed{c.Address.Whole(), c.Verified}
	}
	if c := a.VerifiedContact(&forever, policy.Phone, now); c != nil {
		k.phone = confirmed{c.Address.Whole(), c.Verified}
	}
	return k
}

// outlived tells that a contact which is remembered for the app no longer counts by these rules. Another one may.
func (k *known) outlived(r *policy.Rules, now time.Time) bool {
	return k.email.address != "" && k.email.whole(r, now) == "" || k.phone.address != "" && k.phone.whole(r, now) == ""
}

func (k *known) verifiedEmail(r *policy.Rules, now time.Time) string { return k.email.whole(r, now) }
func (k *known) verifiedPhone(r *policy.Rules, now time.Time) string { return k.phone.whole(r, now) }

func (c confirmed) whole(r *policy.Rules, now time.Time) string {
	if r.Reconfirm != 0 && !now.Before(c.at.Add(r.Reconfirm)) {
		return ""
	}
	return c.address
}
