package verify

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// The model knows, apart from the code, what lets a browser through rule 6:
//
//   - a code was entered in its session within 12 h, of a contact that was not on hold then and is still on file;
//   - or it was ticked together with such a code, within 7 days, was seen every 5 days, is one of the last three that
//     were ticked, and its contact is still on file;
//   - and nobody has revoked it since, nor all of them.
//
// Nothing else does, in whatever order things happen, through restarts, new keys and a cache that is warm or cold.
//
// Each of these was broken on purpose, one at a time, and turned this test red:
//
//	policy/device.go    Until: without Ends and Trusted, without Used; Trust: the newest goes in place of the oldest;
//	                    CodeEntered: the session before stays; a day in place of 12 h; Revoke: Entered stays; RevokeAll:
//	                    Entered stays; proves: always
//	policy/decide.go    rule 6 without trusted, without entered; the last use is never written, or by a HEAD, too
//	policy/challenge.go Confirm: CodeEntered for contacts on hold, too
//	internal/verify     onBrowser: without OnDevice; trusts without a tick
type trustModel struct {
	browsers map[string]*modelBrowser
	// order are the devices that were ticked, the oldest first.
	order []string
	gone  map[string]bool
}

type modelBrowser struct {
	v Visitor
	// before is the session that it had before the last code.
	before []byte
	// entered is when a code was entered in its session, by which contact.
	entered time.Time
	by      string
	// device is its trust: when it was ticked, last written as seen, by which contact.
	ticked, used time.Time
	deviceBy     string
	trusted      bool
}

var modelTrust = policy.Trust{For: 7 * day, Unused: 5 * day, Most: 3}

func (m *trustModel) mayPass(b *modelBrowser, now time.Time) bool {
	if !b.entered.IsZero() && now.Sub(b.entered) < 12*time.Hour && !m.gone[b.by] {
		return true
	}
	return m.isTrusted(b, now)
}

func (m *trustModel) isTrusted(b *modelBrowser, now time.Time) bool {
	return b.trusted && now.Before(b.ticked.Add(modelTrust.For)) && now.Before(b.used.Add(modelTrust.Unused)) && !m.gone[b.deviceBy]
}

func TestNothingButACodeLetsABrowserThrough(t *testing.T) {
	walks, steps := 60, 250
	if s := os.Getenv("CONTACTGATE_HISTORIES"); s != "" {
		walks, _ = strconv.Atoi(s)
	} else if raceEnabled {
		walks = 10
	}
	for seed := range walks {
		kind := inMemory
		if seed%20 == 0 {
			kind = func(*house) {} // a file, and real restarts
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { trustWalk(t, uint64(seed), steps, kind) })
	}
}

func trustWalk(t *testing.T, seed uint64, steps int, kind func(*house)) {
	h := newHouse(t, kind, deviceCode, func(h *house) {
		r := &h.rules
		r.Reconfirm, r.Trust = 0, modelTrust
		l := &r.Limits
		l.SendsPerIP, l.TypedSendsPerIP, l.SendsPerAddress, l.TotalBudget = 1e9, 1e9, 1e9, 1e9
		l.SendsPerHour, l.SendsPerDay, l.WrongPerDay, l.ContactsPerDay, l.Contacts = 1e6, 1e6, 1e6, 1e6, 1e6
		l.ResendAfter = []time.Duration{time.Second}
	})
	random := rand.New(rand.NewPCG(seed, 6))
	m := &trustModel{browsers: map[string]*modelBrowser{}, gone: map[string]bool{}}
	var log []string
	note := func(format string, args ...any) {
		log = append(log, h.Now().Format("01-02 15:04:05 ")+fmt.Sprintf(format, args...))
	}
	fail := func(format string, args ...any) {
		t.Helper()
		for _, line := range log[max(0, len(log)-30):] {
			t.Log(line)
		}
		t.Fatalf(format, args...)
	}
	for i := range 5 {
		name := fmt.Sprint("browser", i)
		m.browsers[name] = &modelBrowser{v: h.person("ann", name)}
	}
	pick := func() (string, *modelBrowser) {
		name := fmt.Sprint("browser", random.IntN(5))
		return name, m.browsers[name]
	}
	sessions, more := 0, 0
	h.confirm(h.person("ann", "the very first"), "ann.long@example.com") // from here on there is something to prove

	// entered is what becomes of a browser that has entered a right code.
	entered := func(name string, b *modelBrowser, e Entered, tick bool) {
		now := h.Now()
		h.settle(b.v)
		sessions++
		b.before, b.v.Session, b.v.Next = b.v.Session, b.v.Next, h.SessionHash(realm, "ann", fmt.Append(nil, "session", sessions))
		if now.Before(e.Contact.HoldUntil) {
			if e.Device != nil {
				fail("%s was trusted by a contact on hold", name)
			}
			// What was entered before goes on with the session.
			note("%s: a contact on hold", name)
			return
		}
		b.entered, b.by = now, e.Contact.ID
		note("%s: a code of %s, ticked %v", name, e.Contact.ID, tick)
		if (e.Device != nil) != tick {
			fail("%s ticked: %v, and was given %x", name, tick, e.Device)
		}
		if !tick {
			return
		}
		m.drop(name)
		b.v.Device = h.DeviceHash(realm, "ann", e.Device)
		b.ticked, b.used, b.deviceBy, b.trusted = now, now, e.Contact.ID, true
		m.order = append(m.order, name)
		for _, old := range m.order {
			// What has ended by its time makes room by itself.
			if o := m.browsers[old]; o != b && (!now.Before(o.ticked.Add(modelTrust.For)) || !now.Before(o.used.Add(modelTrust.Unused))) {
				m.drop(old)
			}
		}
		for len(m.order) > modelTrust.Most {
			m.drop(m.order[0])
		}
	}

	// freshen makes a browser one in which a code was entered a moment ago, if it is none. Until then it can revoke nothing.
	freshen := func(name string, b *modelBrowser) {
		now := h.Now()
		if !b.entered.IsZero() && now.Sub(b.entered) < 10*time.Minute && !m.gone[b.by] {
			return
		}
		if o, err := h.RevokeAll(h.Context(), b.v); o != policy.NotFresh || err != nil {
			fail("%s revokes all without a code: %d %v", name, o, err)
		}
		h.change(b.v, func(a *policy.Account) {
			for i := range a.Contacts {
				if a.Contacts[i].Counts(now) {
					b.by = a.Contacts[i].ID
				}
			}
			a.CodeEntered(b.v.Session, b.v.Session, b.by, now)
			a.OnDevice(b.v.Session, b.v.Device)
		})
		b.entered = now
	}

	for range steps {
		name, b := pick()
		switch n := random.IntN(100); {
		case n < 12:
			h.move(time.Duration(random.Int64N(int64(6 * time.Hour))).Truncate(time.Second))
		case n < 17:
			h.move(time.Duration(random.Int64N(int64(6 * day))).Truncate(time.Second))
		case n < 19:
			h.move(time.Duration(random.Int64N(int64(15 * day))).Truncate(time.Second))
		case n < 38: // a code of a contact on file
			a := h.account(b.v)
			c := a.Contacts[random.IntN(len(a.Contacts))]
			h.move(2 * time.Second)
			s, err := h.Start(h.Context(), &h.rules, b.v, h.Handle(b.v, c.ID), policy.ByEmail, c.Address.Whole(), "/")
			if err != nil || s.Outcome != policy.Started {
				break // retired, or on hold
			}
			tick := random.IntN(2) == 0
			v := b.v
			v.Ticked = tick
			if random.IntN(4) == 0 {
				wrong := b.v
				wrong.Ticked = true
				h.enter(wrong, notThis(h.courier.code(t, c.Address.Whole())))
			}
			entered(name, b, h.accept(v, c.Address.Whole()), tick)
		case n < 42: // a new contact
			more++
			to := fmt.Sprintf("more%d@example.org", more)
			h.move(2 * time.Second)
			if s := h.add(b.v, to); s.Outcome != policy.Started {
				fail("adding: %+v", s)
			}
			v := b.v
			v.Ticked = true
			e := h.accept(v, to)
			entered(name, b, e, !h.Now().Before(e.Contact.HoldUntil))
		case n < 45: // a contact goes, never the last one that counts
			id := ""
			h.change(b.v, func(a *policy.Account) {
				id = ""
				i := random.IntN(len(a.Contacts))
				for j := range a.Contacts {
					if c := &a.Contacts[j]; j != i && c.Counts(h.Now()) {
						a.Contacts[i].Retired, id = true, a.Contacts[i].ID
						return
					}
				}
			})
			m.gone[id] = id != ""
			note("contact %q goes", id)
		case n < 48:
			a := h.account(b.v)
			if len(a.Devices) == 0 {
				break
			}
			d := a.Devices[random.IntN(len(a.Devices))]
			freshen(name, b)
			if o, err := h.Revoke(h.Context(), b.v, h.DeviceHandle(b.v, d)); o != policy.Accepted || err != nil {
				fail("revoking: %d %v", o, err)
			}
			for other, o := range m.browsers {
				if o.trusted && string(o.v.Device) == string(d.ID) {
					m.drop(other)
					o.entered = time.Time{}
					note("%s is revoked", other)
				}
			}
		case n < 50:
			freshen(name, b)
			if o, err := h.RevokeAll(h.Context(), b.v); o != policy.Accepted || err != nil {
				fail("%d %v", o, err)
			}
			for other, o := range m.browsers {
				m.drop(other)
				if o != b {
					o.entered = time.Time{}
				}
			}
			note("%s revokes all", name)
		case n < 51:
			if _, _, err := h.RevokeFor(h.Context(), Subject{realm, "ann"}, "a test"); err != nil {
				fail("%v", err)
			}
			for other, o := range m.browsers {
				m.drop(other)
				o.entered = time.Time{}
			}
			note("an operator revokes all")
		case n < 54: // the browser is closed: a new session
			sessions++
			b.v.Session, b.entered = h.SessionHash(realm, "ann", fmt.Append(nil, "session", sessions)), time.Time{}
			note("%s: a new session", name)
		case n < 55:
			h.restart()
			note("restart")
		default:
			q := opening(b.v)
			q.Kind = []policy.RequestKind{policy.Opening, policy.Other}[random.IntN(2)]
			q.Fleeting = name == "browser4" // nobody ever looks at this one
			if v := b.v; b.before != nil {
				v.Session, v.Device = b.before, nil
				if d, err := h.Decide(h.Context(), &h.rules, v, q); err != nil || d.Reason != policy.DeviceCode {
					fail("%s in the session before its code: %s, %s, %v", name, d.Action, d.Reason, err)
				}
			}
			d, err := h.Decide(h.Context(), &h.rules, b.v, q)
			if err != nil {
				fail("%v", err)
			}
			now := h.Now()
			if want := m.mayPass(b, now); (d.Action == policy.Pass) != want || !want && d.Reason != policy.DeviceCode {
				fail("%s at %s: %s, %s; may pass: %v", name, now, d.Action, d.Reason, want)
			}
			if m.isTrusted(b, now) && !q.Fleeting && now.Sub(b.used) >= modelTrust.Unused/60 {
				b.used = now
			}
			// What it holds means nothing to anybody else, nor what others hold to it.
			stranger := h.person("eve", "anywhere")
			stranger.Device, stranger.Session = b.v.Device, b.v.Session
			if a := h.account(stranger); len(a.Facts(now).Devices)+len(a.Facts(now).Entered) != 0 {
				fail("eve is trusted")
			}
		}
	}
}

// drop ends the trust in a browser.
func (m *trustModel) drop(name string) {
	m.browsers[name].trusted = false
	for i, n := range m.order {
		if n == name {
			m.order = append(m.order[:i:i], m.order[i+1:]...)
			return
		}
	}
}
