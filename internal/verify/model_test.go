package verify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// The model knows, apart from the code, the few things that may move a deadline to a later moment:
//
//   - an operator extends it;
//   - an operator takes the last verified contact away: one new grace is owed, once in 90 days;
//   - a confirmation becomes too old: one new grace is owed, once per confirmation, and never for one that is older
//     than another which was owed one.
//
// A person who removes contacts, of whatever age, moves none of it: the grace of the latest confirmation comes when that one
// becomes too old, whether or not its contact is still there.
//
// And it knows whether the account is frozen: then every request is blocked, whatever the mode, and nothing that the
// person does changes the account. Only an operator's unfreezing ends that.
//
// Whatever else happens, in whatever order, the deadline that the account tells must stay or come nearer, and it
// must not go away. Clocks step back and forth by up to an hour meanwhile.
//
// Each of these was broken on purpose, one at a time, and turned this test red:
//
//	policy/decide.go     grace: without c.After(f.Grace.After); with Grace{} in place of Grace{After: c}
//	policy/decide.go     soften: StartsShown without g.Shown.IsZero(); StartsSeen always; clocks that start in mode remind
//	policy/decide.go     decide: clocks that start outside the rollout
//	policy/decide.go     Standing: overdue one grace later than the deadline
//	policy/grace.go      Owe: without the 90 days; with Grace{} in place of Grace{After: after}
//	policy/grace.go      Record: Shown at every interruption; Seen moved together with Shown; Shown not recorded; the
//	                     owed grace not recorded
//	policy/grace.go      Deadline: the later of the two clocks; the grace added to Until
//	policy/account.go    Name: a new claim forgets Grace; Facts: retired contacts count, a hold does not hold
//	policy/details.go    Remove: forgets when the contact was confirmed; the last verified one goes; owes a grace
//	policy/decide.go     grace: confirmed in place of latest; without the age of the latest
//	policy/challenge.go  Confirm: forgets Grace
//	policy/decide.go     decide: rule 3 after rule 5, or only in mode enforce
//	policy/frozen.go     Freeze: keeps the challenge
//	internal/verify      Later: records a new Shown; update: forgets Grace between the 20th and the 30th day; records
//	                     that keep whole seconds only
type model struct {
	t testing.TB
	// told is the deadline as the account told it last; zero while no clock ran.
	told time.Time
	// owed: a take-away has owed a grace that has not begun. takenAway is when the last one was owed.
	owed      bool
	takenAway time.Time
	// spent is the latest confirmation whose end has owed a grace that has begun.
	spent time.Time
	// confirmed is when each contact was confirmed, as far as it still counts.
	confirmed map[string]confirmation
	// removed is the latest confirmation among the contacts that the person removed while it counted.
	removed time.Time
	frozen  bool
	steps   []string
}

type confirmation struct {
	at, hold time.Time
	gone     bool
}

// latest is the latest confirmation that counts at now, on hold or not.
func (m *model) latest(now time.Time) (at time.Time, held bool) {
	for _, c := range m.confirmed {
		switch {
		case c.gone:
		case now.Before(c.hold):
			held = true
		case c.at.After(at):
			at = c.at
		}
	}
	return at, held
}

// ever is the latest confirmation that counts, or did until the person removed it.
func (m *model) ever(now time.Time) time.Time {
	if at, _ := m.latest(now); at.After(m.removed) {
		return at
	}
	return m.removed
}

func (m *model) failf(format string, args ...any) {
	m.t.Helper()
	first := max(0, len(m.steps)-40)
	for _, s := range m.steps[first:] {
		m.t.Log(s)
	}
	m.t.Fatalf(format, args...)
}

// walker takes one random step after another with one account.
type walker struct {
	*house
	*model
	random *rand.Rand
	truth  time.Time // what a clock that never steps would show
	skew   time.Duration
	// mode and leftOut change; base are the rules that the deadline is computed by.
	base policy.Rules
	// extended is what an operator gave in this very step; shown: this step was answered with the page.
	extended      time.Time
	seen, shown   bool
	contactNumber int
}

func TestDeadlinesNeverMoveLaterButByTheNamedRules(t *testing.T) {
	walks, steps := 120, 400
	if s := os.Getenv("CONTACTGATE_HISTORIES"); s != "" {
		walks, _ = strconv.Atoi(s)
	} else if raceEnabled {
		walks = 20
	}
	for seed := range walks {
		kind := inMemory
		if seed%20 == 0 {
			kind = func(*house) {} // a file, and real restarts
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { walk(t, uint64(seed), steps, kind) })
	}
}

func walk(t *testing.T, seed uint64, steps int, kind func(*house)) {
	h := newHouse(t, kind, func(h *house) {
		r := &h.rules
		r.Reconfirm = 60 * day
		l := &r.Limits
		l.SendsPerIP, l.TypedSendsPerIP, l.SendsPerAddress, l.TotalBudget = 1e9, 1e9, 1e9, 1e9
		l.SendsPerHour, l.SendsPerDay, l.WrongPerDay, l.ContactsPerDay, l.Contacts = 1e6, 1e6, 1e6, 1e6, 1e6
		l.ResendAfter = []time.Duration{time.Second}
	})
	w := &walker{house: h, model: &model{t: t, confirmed: map[string]confirmation{}}, truth: noon, base: h.rules,
		random: rand.New(rand.NewPCG(seed, 11))}
	w.Flow.Audit, w.Flow.Log = quiet, quiet
	for range steps {
		w.step()
		w.check()
	}
}

func (w *walker) note(format string, args ...any) {
	w.steps = append(w.steps, w.Now().Format("2006-01-02 15:04 ")+fmt.Sprintf(format, args...))
}

func (w *walker) ann() Visitor {
	v := w.person("ann", fmt.Sprintf("browser%d", w.random.IntN(4)))
	v.Email = []string{"a@example.com", "b@example.com", "A@EXAMPLE.com", "", "nonsense"}[w.random.IntN(5)]
	return v
}

func (w *walker) step() {
	w.extended, w.seen, w.shown = time.Time{}, false, false
	switch n := w.random.IntN(100); {
	case w.frozen && n%8 == 0: // not for long
		w.freeze()
	case n < 22:
		w.truth = w.truth.Add(time.Duration(w.random.Int64N(int64(2 * day))))
		w.set(w.truth.Add(w.skew))
		w.note("time goes by")
	case n < 26:
		w.truth = w.truth.Add(time.Duration(w.random.Int64N(int64(40 * day))))
		w.set(w.truth.Add(w.skew))
		w.note("much time goes by")
	case n < 32:
		w.skew = time.Duration(w.random.Int64N(int64(2*time.Hour))) - time.Hour
		w.set(w.truth.Add(w.skew))
		w.note("the clock is set to %s beside the truth", w.skew)
	case n < 66:
		w.request()
	case n < 69:
		w.later()
	case n < 74:
		w.confirmOne()
	case n < 77:
		w.addOne()
	case n < 79:
		w.takeAway()
	case n < 82:
		w.remove()
	case n < 85:
		w.extend()
	case n < 90:
		w.rules.Mode = policy.Mode(w.random.IntN(3))
		if w.random.IntN(2) == 0 {
			w.rules.Mode = policy.Enforce
		}
		w.note("mode %s", w.rules.Mode)
	case n < 94:
		w.rules.LeftOut = []policy.Share{0, 0, 10000, 5000}[w.random.IntN(4)]
		w.note("left out %d", w.rules.LeftOut)
	case n < 96:
		w.note("restart")
		w.restart()
		w.Flow.Audit, w.Flow.Log = quiet, quiet
	case n < 97:
		w.note("reload")
		w.reload()
		w.Flow.Audit, w.Flow.Log = quiet, quiet
	case n < 98:
		w.freeze()
	default: // somebody whose ID is another one in another case
		v := w.person("Ann", "browser0")
		if _, err := w.Decide(w.Context(), &w.rules, v, opening(v)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// counts tells whether requests may start clocks now.
func (w *walker) counts() bool {
	return w.rules.Mode == policy.Enforce && w.rules.LeftOut.Includes(realm, "ann")
}

// freeze is an operator, or the person behind a notice, who stops the account, and an operator who lets it go on.
func (w *walker) freeze() {
	who := Subject{realm, "ann"}
	if !w.frozen {
		if _, did, err := w.Freeze(w.Context(), who, "walk"); err != nil || !did {
			w.failf("freezing: %v, %v", did, err)
		}
	} else if _, did, err := w.Unfreeze(w.Context(), who, "walk"); err != nil || !did {
		w.failf("unfreezing: %v, %v", did, err)
	}
	w.frozen = !w.frozen
	w.note("frozen: %v", w.frozen)
}

// idle tells that the account is frozen, and that a step of the person was refused therefore.
func (w *walker) idle(what string, err error) bool {
	if w.frozen != errors.Is(err, ErrFrozen) || err != nil && !w.frozen {
		w.failf("%s, frozen %v: %v", what, w.frozen, err)
	}
	return w.frozen
}

func (w *walker) request() {
	v, q := w.ann(), policy.Request{Realm: realm, User: "ann"}
	q.Kind = []policy.RequestKind{policy.Opening, policy.Opening, policy.Other, policy.OpeningHead, policy.Form}[w.random.IntN(5)]
	q.OwnPage, q.Exempt = w.random.IntN(5) == 0, w.random.IntN(12) == 0
	d, err := w.Decide(w.Context(), &w.rules, v, q)
	if err != nil {
		w.t.Fatal(err)
	}
	w.note("request %d (own %v, exempt %v, %q): %s, %s", q.Kind, q.OwnPage, q.Exempt, v.Email, d.Action, d.Reason)
	if w.frozen {
		if !q.Exempt && (d.Action != policy.Block || d.Standing != policy.Frozen || d.Records()) {
			w.failf("frozen, and answered with %+v", d)
		}
		return
	}
	w.seen = w.counts() && !q.Exempt && (d.Standing == policy.Due || d.Standing == policy.Overdue) && d.Reason != policy.OnHold
	w.shown = w.seen && d.Interrupt && q.Kind == policy.Opening
	now := w.Now()
	latest, held := w.latest(now)
	verified := !latest.IsZero() && now.Before(latest.Add(w.base.Reconfirm))
	over := !w.told.IsZero() && !now.Before(w.told) && !w.mayBegin(now)
	if over && !verified && !held && !q.Exempt && w.counts() && d.Action != policy.Block {
		w.failf("the deadline was %s, and %s is answered with %s", w.told, now, d.Action)
	}
	if verified && d.Action != policy.Pass {
		w.failf("confirmed at %s, and %s is answered with %s", latest, now, d.Action)
	}
	if !w.counts() && d.Action == policy.Block {
		w.failf("blocked in mode %s, outside %v", w.rules.Mode, w.rules.LeftOut)
	}
}

func (w *walker) later() {
	v := w.ann()
	d, err := w.Later(w.Context(), &w.rules, v, opening(v))
	if w.idle("not now", err) {
		return
	}
	w.note("not now: %s", d.Action)
}

func (w *walker) confirmOne() {
	v := w.ann()
	a := w.account(v)
	if len(a.Contacts) == 0 {
		return
	}
	c := a.Contacts[w.random.IntN(len(a.Contacts))]
	s, err := w.Start(w.Context(), &w.rules, v, w.Handle(v, c.ID), policy.ByEmail, c.Address.Whole(), "")
	if w.idle("asking for a code", err) {
		return
	}
	w.entered(v, s, c.Address.Whole())
}

func (w *walker) addOne() {
	v := w.ann()
	w.contactNumber++
	to := fmt.Sprintf("more%d@example.org", w.contactNumber)
	s, err := w.Add(w.Context(), &w.rules, v, policy.Address(to), policy.ByEmail, "")
	if w.idle("adding", err) {
		return
	}
	w.entered(v, s, to)
}

func (w *walker) entered(v Visitor, s Sent, to string) {
	if s.Outcome != policy.Started && s.Outcome != policy.Underway {
		return
	}
	e := w.enter(v, w.courier.code(w.t, to))
	if e.Outcome != policy.Accepted {
		return
	}
	w.house.settle(v)
	c := w.account(v).Contact(e.Contact.ID)
	w.confirmed[c.ID] = confirmation{at: w.Now(), hold: c.HoldUntil}
	w.note("confirmed %s, on hold until %s", to, c.HoldUntil)
	w.courier.mu.Lock()
	w.courier.letters = nil
	w.courier.mu.Unlock()
}

// takeAway is an operator who takes all verified contacts away.
func (w *walker) takeAway() {
	if w.frozen {
		return // house.change is the person's hand
	}
	now := w.Now()
	latest, _ := w.latest(now)
	if latest.IsZero() || !now.Before(latest.Add(w.base.Reconfirm)) {
		return // there is nothing verified to take away
	}
	owes := w.takenAway.IsZero() || now.Sub(w.takenAway) >= 90*day
	did := false
	w.change(w.ann(), func(a *policy.Account) {
		did = a.Owe(now)
		for i := range a.Contacts {
			a.Contacts[i].Retired = a.Contacts[i].Retired || !a.Contacts[i].Verified.IsZero()
		}
	})
	if did != owes {
		w.failf("taken away %s after the last time: owed %v", now.Sub(w.takenAway), did)
	}
	if owes {
		w.owed, w.takenAway, w.told = true, now, time.Time{}
		w.spent = w.ever(now) // its own end owes nothing more
	}
	for id, c := range w.confirmed {
		c.gone = true
		w.confirmed[id] = c
	}
	w.note("an operator takes the verified contacts away: owed %v", owes)
}

// remove is the person taking one contact away, with a code of their authenticator app: that owes nothing.
func (w *walker) remove() {
	if w.frozen {
		return
	}
	v, now := w.ann(), w.Now()
	var done policy.Removal
	var result policy.Result
	w.change(v, func(a *policy.Account) {
		done, result = policy.Removal{}, policy.Result{}
		if len(a.Contacts) == 0 {
			return
		}
		a.Authenticator.Seed, a.Changes = policy.Seed("seed"), nil
		a.CodeEntered(nil, v.Session, policy.ByAuthenticatorApp, now)
		done, result = a.Remove(v.Session, a.Contacts[w.random.IntN(len(a.Contacts))].ID, &w.base, now)
	})
	w.note("%s is removed: %d", done.Contact.Address.Whole(), result.Outcome)
	latest, _ := w.latest(now)
	if result.Outcome == policy.LastOne && latest.IsZero() {
		w.failf("%s: nothing is confirmed, and the last one cannot go", now)
	}
	if c, known := w.confirmed[done.Contact.ID]; known && result.Outcome == policy.Accepted {
		if !now.Before(c.hold) && c.at.After(w.removed) {
			w.removed = c.at
		}
		c.gone = true
		w.confirmed[done.Contact.ID] = c
	}
	verified := func(at time.Time) bool { return !at.IsZero() && now.Before(at.Add(w.base.Reconfirm)) }
	if left, _ := w.latest(now); left.IsZero() && !latest.IsZero() || verified(latest) && !verified(left) {
		w.failf("%s: the last verified contact went", now)
	}
}

func (w *walker) extend() {
	now := w.Now()
	if w.told.IsZero() || w.mayBegin(now) || w.frozen {
		return // no clock runs
	}
	by := time.Duration(w.random.Int64N(int64(10 * day)))
	w.extended = w.told
	if now.After(w.extended) {
		w.extended = now
	}
	w.extended = w.extended.Add(by).Truncate(time.Millisecond)
	w.change(w.ann(), func(a *policy.Account) { a.Grace.Until = w.extended })
	w.told = w.extended
	w.note("extended to %s", w.extended)
}

// mayBegin tells whether a new grace is owed and has not begun.
func (w *walker) mayBegin(now time.Time) bool {
	latest, _ := w.latest(now)
	ever := w.ever(now)
	return w.owed || !latest.IsZero() && !now.Before(ever.Add(w.base.Reconfirm)) && ever.After(w.spent)
}

// check compares what the account tells with what it may tell.
func (w *walker) check() {
	now := w.Now()
	a := w.account(w.ann())
	standing, _ := w.base.Standing(a.Facts(now), now)
	if (standing == policy.Frozen) != w.frozen {
		w.failf("%s: %s, frozen %v", now, standing, w.frozen)
	}
	// Time goes on under the ice: what the account will tell once it is lifted obeys the same rules.
	facts := a.Facts(now)
	facts.Frozen = false
	standing, deadline := w.base.Standing(facts, now)
	latest, held := w.latest(now)
	if verified := !latest.IsZero() && now.Before(latest.Add(w.base.Reconfirm)); verified != (standing == policy.Verified) {
		w.failf("%s: %s, confirmed at %s", now, standing, latest)
	} else if verified || held {
		return
	}
	begins := w.mayBegin(now) || w.told.IsZero()
	until := a.Grace.Until
	switch {
	case deadline.IsZero():
		if !begins {
			w.failf("%s: the deadline %s is gone", now, w.told)
		}
		if w.seen {
			w.failf("%s: a request was seen, and no clock runs", now)
		}
		// What was told before stays known: whoever loses the contact whose end owes a grace is back at it.
	case begins:
		// A clock has just begun: in this very step, by a request that may.
		most := now.Add(w.base.Unseen + w.base.Grace)
		if w.shown {
			most = now.Add(w.base.Grace)
		}
		if !w.seen {
			w.failf("%s: a clock began without a request that starts one", now)
		}
		if deadline.After(most) && !deadline.Equal(until) || deadline.Before(now.Add(w.base.Grace)) {
			w.failf("%s: the deadline begins as %s, at most %s (shown %v)", now, deadline, most, w.shown)
		}
		w.owed, w.told = false, deadline
		if ever := w.ever(now); ever.After(w.spent) && !latest.IsZero() && !now.Before(ever.Add(w.base.Reconfirm)) {
			w.spent = ever
		}
	case deadline.After(w.told):
		w.failf("%s: the deadline moved from %s to %s", now, w.told, deadline)
	case deadline.Before(w.told) && !w.shown:
		w.failf("%s: the deadline came nearer, from %s to %s, and nothing was shown", now, w.told, deadline)
	default:
		w.told = deadline
	}
	if over := !deadline.IsZero() && !now.Before(deadline); over != (standing == policy.Overdue) {
		w.failf("%s: %s, and the deadline is %s", now, standing, deadline)
	}
}
