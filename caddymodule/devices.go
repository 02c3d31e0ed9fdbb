package caddymodule

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

const (
	// deviceMark stands between the name of the session's cookie and the mark of the account, in the name of the cookie
	// of a trusted browser.
	deviceMark       = "-device-"
	hostDeviceMark   = hostCookie + deviceMark
	plainDeviceMark  = plainCookie + deviceMark
	deviceMarkLength = 8
	// deviceValueName is what the value is signed under, whatever its cookie is called: a value that somebody copied
	// under the name of another account is told from garbage, and audited.
	deviceValueName = "contactgate-device"
	// mostDevices is how many people can be trusted in one browser; the oldest goes. Each costs 200 bytes in every request.
	mostDevices = 5
	// deviceSeconds is the longest life of a value; the record ends it sooner. Browsers keep no cookie for longer.
	deviceSeconds = 400 * 24 * 60 * 60
)

// savedDevice is what the cookie of a trusted browser says: which record it is, for which account and site, since when.
type savedDevice struct {
	ID   []byte
	For  []byte
	Time time.Time
}

// deviceSize is that of ID and For, and of the moment in seconds.
const deviceSize = 16 + 16 + 4

// newDeviceCodecs makes the codecs of trusted browsers, one per key of the ring, the newest first. Their keys are not
// those of the session: neither value can stand in for the other.
func newDeviceCodecs(keys *verify.Keyring) []securecookie.Codec {
	sign, hide := keys.Derive("device signature"), keys.Derive("device secrecy")
	codecs := make([]securecookie.Codec, len(sign))
	for i := range sign {
		c := securecookie.New(sign[i], hide[i])
		c.SetSerializer(securecookie.NopEncoder{}) // five of them have to be short
		c.MaxAge(deviceSeconds)
		codecs[i] = c
	}
	return codecs
}

func encodeDevice(d savedDevice, codecs []securecookie.Codec) (string, error) {
	raw := make([]byte, 0, deviceSize)
	raw = append(append(raw, d.ID...), d.For...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(d.Time.Unix())) //nolint:gosec // until the year 2106
	return securecookie.EncodeMulti(deviceValueName, raw, codecs...)
}

func decodeDevice(value string, codecs []securecookie.Codec) (savedDevice, bool) {
	var raw []byte
	if securecookie.DecodeMulti(deviceValueName, value, &raw, codecs...) != nil || len(raw) != deviceSize {
		return savedDevice{}, false
	}
	at := binary.BigEndian.Uint32(raw[32:])
	return savedDevice{ID: raw[:16], For: raw[16:32], Time: time.Unix(int64(at), 0)}, true
}

// deviceName is the name of the cookie by which this browser is trusted, for this person on this connection.
func (g *Gate) deviceName(r *http.Request, live *runtime, user string) string {
	return g.cookieName(r) + deviceMark + hex.EncodeToString(live.flow.DeviceMark(g.realm, user))
}

// deviceFor binds a value to an account and to the site's host: cookies do not tell ports apart.
func (g *Gate) deviceFor(r *http.Request, live *runtime, user string) []byte {
	return live.flow.SessionHash(g.realm, user, []byte("device "+strings.ToLower(withoutPort(g.host(r)))))
}

// evidence is what the cookies of a request prove for a person, as far as these rules want to know. It runs for every
// request of somebody who has such cookies, so what they say is remembered for a moment.
func (g *Gate) evidence(r *http.Request, live *runtime, p *published, user string) (e policy.Evidence) {
	if len(p.cookies) == 0 || !g.rules.Trusts() {
		return e
	}
	b := believing{Gate: g, r: r, live: live, user: user, scheme: g.scheme(r), host: g.host(r), now: time.Now().Unix()}
	session := g.cookieName(r)
	for name, pair := range p.ours {
		switch {
		case name == session && g.rules.DeviceCode && e.Session == nil:
			e.Session = b.believe(pair, false, &p.session)
		case isDeviceCookie(name) && e.Device == nil:
			e.Device = b.believe(pair, true, &p.device)
		}
	}
	return e
}

// isDeviceCookie tells by the name alone; whose it is, the mark at its end tells.
func isDeviceCookie(name string) bool {
	return strings.HasPrefix(name, hostDeviceMark) && len(name) == len(hostDeviceMark)+deviceMarkLength ||
		strings.HasPrefix(name, plainDeviceMark) && len(name) == len(plainDeviceMark)+deviceMarkLength
}

// beliefs remember what cookies said, for as long as other knowledge of people lasts: decoding one takes longer than all
// the rest of a request. The account's record is asked each time. It is flat, as the cache of people is; 128 bits of a hash
// that nobody outside can compute stand for the cookie, the person and the site.
type beliefs struct {
	shards [64]struct {
		sync.RWMutex
		known map[mark]believed
	}
	seeds [2]maphash.Seed
}

type mark [2]uint64

// belief is a cookie, as one person brings it to one site.
type belief struct{ scheme, host, realm, user, pair string }

// believed is the hash of a session or a trusted browser. Not proved: the cookie proves nothing for this person here.
type believed struct {
	at     int64 // in seconds
	hash   [16]byte
	proved bool
}

const (
	believedFor  = 60 // seconds
	mostBelieved = 1 << 18
	// longestCookie is more than any cookie of ours takes, name and all.
	longestCookie = 512
)

func newBeliefs() *beliefs {
	b := &beliefs{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	for i := range b.shards {
		b.shards[i].known = map[mark]believed{}
	}
	return b
}

func (b *beliefs) markOf(of belief) mark {
	return mark{maphash.Comparable(b.seeds[0], of), maphash.Comparable(b.seeds[1], of)}
}

func (b *beliefs) recall(m mark, now int64) (believed, bool) {
	s := &b.shards[m[0]%uint64(len(b.shards))]
	s.RLock()
	defer s.RUnlock()
	k, ok := s.known[m]
	return k, ok && now >= k.at && now-k.at < believedFor
}

func (b *beliefs) keep(m mark, k believed) {
	s := &b.shards[m[0]%uint64(len(b.shards))]
	s.Lock()
	defer s.Unlock()
	if len(s.known) >= mostBelieved/len(b.shards) {
		for old := range s.known { // Go begins anywhere
			delete(s.known, old)
			break
		}
	}
	s.known[m] = k
}

// believing is one person's request whose cookies are looked at.
type believing struct {
	*Gate
	r                  *http.Request
	live               *runtime
	user, scheme, host string
	now                int64
}

// believe writes what a cookie proves to room and returns it; nil: nothing.
func (b *believing) believe(pair string, isDevice bool, room *[16]byte) []byte {
	if len(pair) > longestCookie {
		return nil
	}
	m := b.live.beliefs.markOf(belief{b.scheme, b.host, b.realm, b.user, pair})
	k, ok := b.live.beliefs.recall(m, b.now)
	if !ok {
		var hash []byte
		if name, value, _ := strings.Cut(pair, "="); isDevice {
			hash = b.device(name, value)
		} else {
			hash = b.session(name, value)
		}
		k = believed{at: b.now, proved: len(hash) == len(k.hash)}
		copy(k.hash[:], hash)
		b.live.beliefs.keep(m, k)
	}
	if !k.proved {
		return nil
	}
	*room = k.hash
	return room[:]
}

func (b *believing) session(name, value string) []byte {
	s, ok := decodeSession(name, value, b.live, b.sessionFor(b.live, b.user, b.originOf(b.r)))
	if !ok {
		return nil
	}
	return b.live.flow.SessionHash(b.realm, b.user, s.ID)
}

func (b *believing) device(name, value string) []byte {
	if name != b.deviceName(b.r, b.live, b.user) {
		return nil // somebody else's who uses this browser
	}
	d, ok := decodeDevice(value, b.live.deviceReaders())
	if !ok {
		return nil
	}
	if !bytes.Equal(d.For, b.deviceFor(b.r, b.live, b.user)) {
		v := b.visitor(Person{User: b.user})
		v.IP = clientIP(b.r)
		b.live.flow.DeviceMisused(v)
		return nil
	}
	return b.live.flow.DeviceHash(b.realm, b.user, d.ID)
}

// ticked is how the box of trust stands on the page for a code: as it was posted just now, or with an earlier try.
func (x *visit) ticked(c *policy.Challenge) bool {
	if x.form.Has("code") {
		return x.v.Ticked
	}
	return c.TickedBy(x.v.Session)
}

// holdsDevice tells whether the browser sent a cookie by which it would be trusted, whatever it is worth.
func (x *visit) holdsDevice() bool {
	name := x.deviceName(x.r, x.live, x.who.User)
	for n := range publishedOf(x.r.Context()).ours {
		if n == name {
			return true
		}
	}
	return false
}

// dropDevice takes the cookie out of a browser that is not trusted (any more), so that it is not sent for a year.
func (x *visit) dropDevice(a *policy.Account) {
	now := time.Now()
	if _, ok := a.TrustedDevice(x.v.Device, x.rules.Trust, now); ok || !x.rules.Trusts() || !x.holdsDevice() {
		return
	}
	x.setCookie(&http.Cookie{Name: x.deviceName(x.r, x.live, x.who.User), MaxAge: -1})
}

// giveDevice sets the cookie of a browser that is trusted from now on. It is only ever called for a code that was
// accepted in this very request.
func (x *visit) giveDevice(id []byte) error {
	now := time.Now()
	value, err := encodeDevice(savedDevice{ID: id, For: x.deviceFor(x.r, x.live, x.who.User), Time: now}, x.live.devices)
	if err != nil {
		return err
	}
	name := x.deviceName(x.r, x.live, x.who.User)
	for _, old := range x.devicesTooMany(name) {
		x.setCookie(&http.Cookie{Name: old, MaxAge: -1})
	}
	x.setCookie(&http.Cookie{Name: name, Value: value, MaxAge: int(x.rules.Trust.For / time.Second)})
	return nil
}

// devicesTooMany are the cookies of other people of this browser that have to make room, the oldest first. One that says
// nothing to us is older than all.
func (x *visit) devicesTooMany(name string) []string {
	type held struct {
		name string
		at   time.Time
	}
	var others []held
	for n, pair := range publishedOf(x.r.Context()).ours {
		if !isDeviceCookie(n) || n == name || slices.ContainsFunc(others, func(h held) bool { return h.name == n }) {
			continue
		}
		_, value, _ := strings.Cut(pair, "=")
		d, _ := decodeDevice(value, x.live.deviceReaders())
		others = append(others, held{n, d.Time})
	}
	slices.SortStableFunc(others, func(a, b held) int { return a.at.Compare(b.at) })
	var names []string
	for _, h := range others[:max(0, len(others)-mostDevices+1)] {
		names = append(names, h.name)
	}
	return names
}

// setCookie sets a cookie of ours, in the place of one of the same name that this answer has set already.
func (x *visit) setCookie(c *http.Cookie) {
	c.Path, c.HttpOnly, c.SameSite, c.Secure = "/", true, http.SameSiteLaxMode, strings.HasPrefix(c.Name, hostCookie)
	h := x.w.Header()
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, c.Name+"=") })
	http.SetCookie(x.w, c)
}
