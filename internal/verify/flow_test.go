package verify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"context"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/testbed"
	"github.com/contactgate/contactgate/policy"
)

func TestTheWholeWay(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	first := h.open(ann)
	if first.Action != policy.Ask || !first.Interrupt || !first.Deadline.Equal(noon.Add(7*day)) || first.Email != "" {
		t.Fatalf("first: %+v", first.Decision)
	}
	if again := h.open(ann); again.Interrupt || again.Action != policy.Ask {
		t.Errorf("asked twice a day: %+v", again.Decision)
	}
	c := h.contact(ann, ann.Email)
	if c.By != "signin" || !c.Verified.IsZero() {
		t.Fatalf("registered: %+v", c)
	}
	if s := h.prove(ann, ann.Email, "nn.long"); s.Outcome != policy.Mismatch || !s.Unproved || s.Left != 4 {
		t.Errorf("a wrong answer: %+v", s)
	}
	if len(h.courier.all(policy.SendCode)) != 0 {
		t.Fatal("a wrong answer sent something")
	}
	sent := h.prove(ann, ann.Email, "  N.LONG ")
	if sent.Outcome != policy.Started || sent.State != policy.SendAccepted || sent.Contact.ID != c.ID {
		t.Fatalf("a right answer: %+v", sent)
	}
	l := h.courier.all(policy.SendCode)[0]
	if l.To != "ann.long@example.com" || len(l.Code) != 6 || l.Adding || l.Language != "en" || l.Host != "app.example" || !l.Ends.Equal(noon.Add(10*time.Minute)) {
		t.Errorf("the letter: %+v", l)
	}
	if e := h.enter(ann, notThis(l.Code)); e.Outcome != policy.WrongCode || e.Left != 4 {
		t.Errorf("a wrong code: %+v", e.Result)
	}
	if e := h.enter(ann, l.Code); e.Outcome != policy.Accepted || e.Contact.ID != c.ID || e.Added || e.Return != "/app" {
		t.Errorf("the right code: %+v", e)
	}
	done := h.open(ann)
	if done.Action != policy.Pass || done.Standing != policy.Verified || done.Email != "ann.long@example.com" {
		t.Errorf("afterwards: %+v", done)
	}
	for _, event := range []string{"grace_started", "proof", "code_asked", "sent", "code_tried", "contact_verified"} {
		if len(h.audit.lines(t, event)) == 0 {
			t.Errorf("the audit has no %s", event)
		}
	}
	for _, log := range []*book{h.audit, h.log} {
		for _, secret := range []string{"ann.long@", "n.long", l.Code} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q is in a log: %s", secret, log)
			}
		}
	}
}

func TestNothingIsRecordedForWhoIsNeverAsked(t *testing.T) {
	h := newHouse(t)
	h.rules.ExemptUsers = []string{"ann"}
	ann := h.person("ann", "browser")
	if v := h.open(ann); v.Reason != policy.ExemptUser || h.probe.updates.Load() != 1 { // the one that names the store
		t.Errorf("%+v after %d changes of the store", v.Decision, h.probe.updates.Load())
	}
	if a, err := h.Account(t.Context(), ann); a != nil || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	bob := h.person("bob", "browser")
	if e := h.enter(bob, "123456"); e.Outcome != policy.NoCode {
		t.Errorf("%+v", e.Result)
	}
	if s := h.again(bob); s.Outcome != policy.NoCode {
		t.Errorf("%+v", s.Result)
	}
	if s, err := h.Start(t.Context(), &h.rules, bob, "x", policy.ByEmail, "x", ""); err != nil || s.Outcome != policy.Gone {
		t.Errorf("%+v, %v", s, err)
	}
	if a, err := h.Account(t.Context(), bob); a != nil || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

// F12: the digits are uniform at each place, codes repeat no more than by chance, and are derived, not drawn.
// The key is the same each time, as the nonces are: what is drawn anew fails a test of significance once in a while.
func TestCodesAreDerivedAndUniform(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	h.Keys = drawKeys(t, rand.NewChaCha8([32]byte{1}))
	const n = 100_000
	a := &policy.Account{Realm: realm, User: "ann", Contacts: []policy.Contact{{ID: "c1"}, {ID: "c2"}}}
	places, seen := [policy.CodeDigits][10]int{}, map[string]int{}
	random := rand.New(rand.NewPCG(1, 2))
	var repeats, sameAsBefore int
	before := ""
	for range n {
		nonce := make([]byte, 16)
		for i := range nonce {
			nonce[i] = byte(random.Uint32())
		}
		c := &policy.Challenge{Nonce: nonce, KeyID: h.Keys.IDs()[0], Contact: "c1", Channel: policy.ByEmail}
		code, err := h.code(a, c)
		if err != nil || len(code) != policy.CodeDigits {
			t.Fatalf("%q, %v", code, err)
		}
		for i, d := range code {
			places[i][d-'0']++
		}
		if seen[code]++; seen[code] > 1 {
			repeats++
		}
		if code == before {
			sameAsBefore++
		}
		before = code
	}
	for i, counts := range places {
		chi := 0.0
		for _, c := range counts {
			d := float64(c) - n/10
			chi += d * d / (n / 10)
		}
		if chi > 27.88 { // p = 0.001 with nine degrees of freedom
			t.Errorf("place %d: chi² %.1f of %v", i, chi, counts)
		}
	}
	// Birthdays: n - m(1-(1-1/m)^n) = 4,837 expected, with a deviation of about 67.
	if repeats < 4500 || repeats > 5200 || sameAsBefore > 5 {
		t.Errorf("%d repeats, %d of the one before", repeats, sameAsBefore)
	}

	one := policy.Challenge{Nonce: []byte("0123456789abcdef"), KeyID: h.Keys.IDs()[0], Contact: "c1", Channel: policy.ByEmail}
	base, _ := h.code(a, &one)
	if again, _ := h.code(a, &one); again != base {
		t.Error("not derived")
	}
	// Everything that it belongs to is in it.
	for name, change := range map[string]func(a *policy.Account, c *policy.Challenge){
		"nonce":   func(_ *policy.Account, c *policy.Challenge) { c.Nonce = []byte("0123456789abcdeF") },
		"contact": func(_ *policy.Account, c *policy.Challenge) { c.Contact = "c2" },
		"channel": func(_ *policy.Account, c *policy.Challenge) { c.Channel = policy.BySMS },
		"user":    func(a *policy.Account, _ *policy.Challenge) { a.User = "bob" },
		"realm":   func(a *policy.Account, _ *policy.Challenge) { a.Realm = "other" },
	} {
		a2, c2 := *a, one
		change(&a2, &c2)
		if other, err := h.code(&a2, &c2); err != nil || other == base {
			t.Errorf("%s: %q, %v", name, other, err)
		}
	}
}

func TestWrongCodesAreCountedOnEverywhere(t *testing.T) {
	h := newHouse(t)
	address := "ann.long@example.com"
	wrongs, browsers := 0, 0
	for round := range 4 {
		ann := h.person("ann", fmt.Sprintf("browser %d", browsers))
		browsers++
		h.open(ann)
		if s := h.ask(ann, address); s.Outcome != policy.Started {
			t.Fatalf("round %d: %+v", round, s.Result)
		}
		for range 5 {
			if e := h.enter(ann, notThis(h.courier.code(t, address))); e.Outcome != policy.WrongCode {
				t.Fatalf("round %d: %+v", round, e.Result)
			}
			wrongs++
			h.restart()
		}
		if e := h.enter(ann, h.courier.code(t, address)); e.Outcome != policy.TriesUsed && round < 3 {
			t.Errorf("the right code after five wrong ones: %+v", e.Result)
		}
		h.move(time.Hour)
	}
	if a := h.account(h.person("ann", "x")); len(a.Wrong) != wrongs || a.Contacts[0].WrongInARow != wrongs {
		t.Errorf("%d of the day, %d in a row; want %d", len(a.Wrong), a.Contacts[0].WrongInARow, wrongs)
	}
	ann := h.person("ann", "another")
	h.ask(ann, address)
	if e := h.enter(ann, h.courier.code(t, address)); e.Outcome != policy.TooMany || e.Wait != 20*time.Hour {
		t.Errorf("the right code after twenty wrong ones: %+v", e.Result)
	}
}

// Whoever has used up the tries of a code gets a new one, not the dead one once more.
func TestAfterTheLastTrySendingAgainMakesANewCode(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	for range 5 {
		h.enter(ann, notThis(h.courier.code(t, ann.Email)))
	}
	h.move(time.Minute)
	if s := h.again(ann); s.Outcome != policy.Started {
		t.Fatalf("%+v", s.Result)
	}
	codes := h.courier.all(policy.SendCode)
	if codes[0].Code == codes[1].Code {
		t.Fatal("the dead code was repeated (or one in a million)")
	}
	h.accept(ann, ann.Email)
}

func TestSendingAgainRepeatsTheCodeForHalfItsLife(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	first := h.courier.all(policy.SendCode)[0]
	if s := h.again(ann); s.Outcome != policy.TooEarly || s.Wait != time.Minute {
		t.Errorf("at once: %+v", s.Result)
	}
	// Pressing "send an e-mail" again is no other wish, wherever it leads now.
	if s, err := h.Start(t.Context(), &h.rules, ann, h.Handle(ann, h.contact(ann, ann.Email).ID), policy.ByEmail, ann.Email, "/elsewhere"); err != nil || s.Outcome != policy.Underway {
		t.Errorf("asking again elsewhere: %+v, %v", s, err)
	}
	if to := h.account(ann).Challenge.Return; to != "/elsewhere" {
		t.Errorf("it leads to %q", to)
	}
	if s := h.ask(ann, ann.Email); s.Outcome != policy.Underway || s.State != policy.SendAccepted {
		t.Errorf("asking again: %+v", s)
	}
	h.move(5*time.Minute - time.Millisecond)
	if s := h.again(ann); s.Outcome != policy.Started {
		t.Fatalf("%+v", s.Result)
	}
	second := h.courier.all(policy.SendCode)[1]
	if second.Code != first.Code || !second.Ends.Equal(first.Ends) || second.ID == first.ID {
		t.Errorf("with half its life left: %+v after %+v", second, first)
	}
	h.move(2 * time.Minute)
	if s := h.again(ann); s.Outcome != policy.Started {
		t.Fatalf("%+v", s.Result)
	}
	third := h.courier.all(policy.SendCode)[2]
	if third.Code == first.Code || !third.Ends.Equal(h.Now().Add(10*time.Minute)) {
		t.Errorf("with less: %+v", third)
	}
	if e := h.enter(ann, first.Code); e.Outcome != policy.WrongCode {
		t.Errorf("the old code: %+v", e.Result)
	}
	// The ladder of waits goes on over the new code.
	if s := h.again(ann); s.Outcome != policy.TooEarly || s.Wait != 5*time.Minute {
		t.Errorf("the third wait: %+v", s.Result)
	}
	h.accept(ann, ann.Email)
}

func TestTwentyParallelResendsSendOnce(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	h.move(time.Minute)
	var started atomic.Int64
	parallel(20, func(int) {
		if h.again(ann).Outcome == policy.Started {
			started.Add(1)
		}
	})
	if n := len(h.courier.all(policy.SendCode)); started.Load() != 1 || n != 2 {
		t.Errorf("%d started, %d letters", started.Load(), n)
	}
}

func parallel(n int, do func(i int)) {
	var all sync.WaitGroup
	ready := make(chan struct{})
	for i := range n {
		all.Go(func() { <-ready; do(i) })
	}
	close(ready)
	all.Wait()
}

func TestAnotherBrowserOrContactEndsTheFormerCode(t *testing.T) {
	h := newHouse(t)
	one, two := h.person("ann", "one"), h.person("ann", "two")
	h.open(one)
	h.ask(one, one.Email)
	first := h.courier.code(t, one.Email)
	if e := h.enter(two, first); e.Outcome != policy.Elsewhere {
		t.Errorf("in a browser that did not ask: %+v", e.Result)
	}
	if a := h.account(one); len(a.Wrong) != 0 {
		t.Error("that was counted as a guess")
	}
	h.ask(two, two.Email)
	if a := h.account(two); !a.Challenge.Reissued {
		t.Error("the new code's page does not say that it ended another one")
	}
	second := h.courier.code(t, one.Email)
	if e := h.enter(one, second); e.Outcome != policy.Elsewhere {
		t.Errorf("the former browser, with the new code: %+v", e.Result)
	}
	if s := h.again(one); s.Outcome != policy.NoCode {
		t.Errorf("sending again from the former browser: %+v", s.Result)
	}
	if e := h.enter(two, first); e.Outcome != policy.WrongCode {
		t.Errorf("the former code: %+v", e.Result)
	}
	h.add(two, "other@example.com")
	if e := h.enter(two, second); e.Outcome != policy.WrongCode {
		t.Errorf("the code of another contact (F05): %+v", e.Result)
	}
	if a := h.account(two); a.EverVerified {
		t.Error("confirmed")
	}
	h.accept(two, "other@example.com")
	if c := h.contact(two, two.Email); !c.Verified.IsZero() {
		t.Error("another contact was confirmed")
	}
}

func TestTheRightCodeInParallelIsAcceptedOnce(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	code := h.courier.code(t, ann.Email)
	otherTab := ann
	otherTab.Session = ann.Next
	var outcomes [32]atomic.Int64
	parallel(100, func(i int) {
		v := ann
		e, err := h.Enter(t.Context(), &h.rules, v, code)
		if err != nil {
			t.Error(err)
			return
		}
		outcomes[e.Outcome].Add(1)
	})
	if outcomes[policy.Accepted].Load() != 1 || outcomes[policy.AcceptedAgain].Load() != 99 {
		t.Errorf("accepted %d times, again %d times", outcomes[policy.Accepted].Load(), outcomes[policy.AcceptedAgain].Load())
	}
	h.wantOutcome("the tab with the new cookie", h.enter(otherTab, code).Outcome, policy.AcceptedAgain)
	if n := len(h.audit.lines(t, "code_tried", "result=accepted")); n != 1 {
		t.Errorf("%d lines of audit", n)
	}
	if n := len(h.audit.lines(t, "contact_verified")); n != 1 {
		t.Errorf("%d lines of audit say that it was confirmed", n)
	}
	h.restart()
	h.wantOutcome("after a restart", h.enter(ann, code).Outcome, policy.AcceptedAgain)
	h.move(10 * time.Minute)
	h.wantOutcome("after its end", h.enter(ann, code).Outcome, policy.NoCode)
}

// P3: however many guess at once, five guesses are evaluated.
func TestAtMostFiveGuessesOfParallelOnes(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	code, _ := strconv.Atoi(h.courier.code(t, ann.Email))
	var evaluated atomic.Int64
	parallel(200, func(i int) {
		e, err := h.Enter(t.Context(), &h.rules, ann, fmt.Sprintf("%06d", (code+1+i)%1_000_000))
		if err != nil {
			t.Error(err)
		}
		if e.Outcome == policy.WrongCode || e.Outcome == policy.Accepted {
			evaluated.Add(1)
		}
	})
	if evaluated.Load() != 5 {
		t.Errorf("%d guesses were evaluated", evaluated.Load())
	}
	h.wantOutcome("the right one", h.enter(ann, fmt.Sprintf("%06d", code)).Outcome, policy.TriesUsed)
}

// P4: in random flows of several people at once, an accepted code is always the one that was sent for exactly that
// contact of that account in that challenge, and it is accepted once. CONTACTGATE_FLOWS sets how many.
func TestACodeConfirmsItsOwnContactOnce(t *testing.T) {
	flows := 20_000
	if s := os.Getenv("CONTACTGATE_FLOWS"); s != "" {
		flows, _ = strconv.Atoi(s)
	} else if testing.Short() || raceEnabled {
		flows = 2_000
	}
	h := newHouse(t, inMemory, func(h *house) {
		l := &h.rules.Limits
		l.SendsPerIP, l.TypedSendsPerIP, l.SendsPerAddress, l.TotalBudget = 1e9, 1e9, 1e9, 1e9
		l.SendsPerHour, l.SendsPerDay, l.WrongPerDay, l.ContactsPerDay, l.Contacts = 1e6, 1e6, 1e6, 1e6, 6
		l.ResendAfter = []time.Duration{time.Second}
		l.CodeLifetime = time.Hour // all share one clock, and move it
	})
	h.Flow.Audit, h.Flow.Log = quiet, quiet
	ledger := &ledger{issued: map[string][]issued{}}
	h.courier.answers(func(_ context.Context, l Letter, _ int) policy.Delivery { ledger.sent(l); return policy.TakenOver })
	var accepted, wrong atomic.Int64
	parallel(16, func(worker int) {
		random := rand.New(rand.NewPCG(uint64(worker), 7))
		for range flows / 16 {
			// Each pair of workers shares its people, so that they get in each other's way.
			p := simulated{h: h, random: random, ledger: ledger, users: worker / 2}
			switch outcome := p.act(); outcome {
			case policy.Accepted:
				accepted.Add(1)
			case policy.WrongCode:
				wrong.Add(1)
			}
			if t.Failed() {
				return
			}
		}
	})
	t.Logf("%d flows: %d accepted, %d wrong", flows, accepted.Load(), wrong.Load())
	if accepted.Load() < int64(flows/50) || wrong.Load() < int64(flows/50) {
		t.Error("the simulation does not reach what it is for")
	}
}

// issued is one code that went out, and ledger all of them.
type issued struct {
	to, code string
	used     bool
}

type ledger struct {
	mu     sync.Mutex
	issued map[string][]issued // by user, in the order of sending
}

func (l *ledger) sent(letter Letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	user := letter.Browser // the simulation writes it there
	all := l.issued[user]
	if n := len(all); n > 0 && all[n-1].to == letter.To && all[n-1].code == letter.Code && !all[n-1].used {
		return // sent again
	}
	l.issued[user] = append(all, issued{to: letter.To, code: letter.Code})
}

// pick is a code that somebody may try: the last one, an older one, another person's, a guess.
func (l *ledger) pick(random *rand.Rand, user, other string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, others := l.issued[user], l.issued[other]
	switch n := random.IntN(10); {
	case n < 6 && len(own) > 0:
		return own[len(own)-1].code
	case n < 8 && len(own) > 0:
		return own[random.IntN(len(own))].code
	case n < 9 && len(others) > 0:
		return others[random.IntN(len(others))].code
	}
	return fmt.Sprintf("%06d", random.IntN(1_000_000))
}

// accept finds the code that was accepted in what went out to exactly this contact, and strikes it out.
func (l *ledger) accept(user, to, code string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.issued[user] {
		if c.to == to && c.code == code && !c.used {
			l.issued[user][i].used = true
			return nil
		}
	}
	return fmt.Errorf("%s confirmed %s with a code that was not sent there, or was used before", user, to)
}

type simulated struct {
	h      *house
	random *rand.Rand
	ledger *ledger
	users  int
}

func (p simulated) act() policy.Outcome {
	h, random := p.h, p.random
	ctx := h.Context()
	name := func(i int) string { return fmt.Sprintf("u%d-%d", p.users, i) }
	user, other := name(random.IntN(3)), name(random.IntN(3))
	v := h.person(user, fmt.Sprintf("browser%d", random.IntN(2)))
	v.Browser = user
	check := func(err error) {
		// A busy machine may let a call run out of patience. That confirms nothing.
		if err != nil && !errors.Is(err, ErrUnavailable) {
			h.Error(err)
		}
	}
	if random.IntN(4) == 0 {
		h.move(time.Duration(random.IntN(int(time.Second))))
	}
	switch random.IntN(10) {
	case 0:
		_, err := h.Decide(ctx, &h.rules, v, opening(v))
		check(err)
	case 1, 2:
		a, err := h.Account(ctx, v)
		check(err)
		if a == nil || len(a.Contacts) == 0 {
			break
		}
		c := a.Contacts[random.IntN(len(a.Contacts))]
		_, err = h.Start(ctx, &h.rules, v, h.Handle(v, c.ID), policy.ByEmail, c.Address.Whole(), "")
		check(err)
	case 3:
		_, err := h.Add(ctx, &h.rules, v, policy.Address(fmt.Sprintf("more%d@%s.example", random.IntN(5), user)), policy.ByEmail, "")
		check(err)
	case 4:
		_, err := h.Resend(ctx, &h.rules, v)
		check(err)
	case 5:
		if random.IntN(20) == 0 { // an operator
			_, err := h.update(ctx, v, h.Now(), func(a *policy.Account) bool {
				if len(a.Contacts) > 1 {
					a.Contacts[len(a.Contacts)-1].Retired = true
				}
				for i := range a.Contacts {
					a.Contacts[i].WrongInARow = 0
				}
				a.AddWrongInARow = 0
				return true
			})
			check(err)
		}
	default:
		code := p.ledger.pick(random, user, other)
		before, err := h.Account(ctx, v)
		check(err)
		e, err := h.Enter(ctx, &h.rules, v, code)
		check(err)
		if e.Outcome == policy.Accepted {
			if err := p.ledger.accept(user, e.Contact.Address.Whole(), code); err != nil {
				h.Errorf("%v; before: %+v", err, before.Challenge)
			}
			if !strings.Contains(e.Contact.Address.Whole(), user) {
				h.Errorf("%s confirmed %s", user, e.Contact.Address.Whole())
			}
		}
		return e.Outcome
	}
	return policy.NoCode
}

func TestProofsAreLimitedPerContact(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	other := ann
	other.Email = "second@example.com"
	h.open(other)
	for range 5 {
		h.wantOutcome("wrong", h.prove(ann, ann.Email, "wrong").Outcome, policy.Mismatch)
	}
	h.wantOutcome("the right one, after five", h.prove(ann, ann.Email, ann.Email).Outcome, policy.TooMany)
	// H03: the right answer for another contact is a wrong one.
	h.wantOutcome("another contact's", h.prove(ann, "second@example.com", ann.Email).Outcome, policy.Mismatch)
	h.wantOutcome("another contact", h.prove(ann, "second@example.com", "cond").Outcome, policy.Started)
	if to := h.courier.all(policy.SendCode)[0].To; to != "second@example.com" {
		t.Errorf("it went to %s", to)
	}
}

func TestHandlesMeanNothingElsewhere(t *testing.T) {
	h := newHouse(t)
	ann, eve := h.person("ann", "browser"), h.person("eve", "browser")
	h.open(ann)
	h.open(eve)
	annsHandle := h.Handle(ann, h.contact(ann, ann.Email).ID)
	for name, v := range map[string]Visitor{"eve": eve, "ann in another browser": h.person("ann", "other")} {
		s, err := h.Start(t.Context(), &h.rules, v, annsHandle, policy.ByEmail, ann.Email, "")
		if err != nil || s.Outcome != policy.Gone {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if _, ok, err := h.Lookup(t.Context(), v, annsHandle); ok || err != nil {
			t.Errorf("%s looks it up: %v", name, err)
		}
	}
	if c, ok, err := h.Lookup(t.Context(), ann, annsHandle); !ok || err != nil || c.Address.Whole() != ann.Email {
		t.Errorf("%+v, %v, %v", c, ok, err)
	}
	if _, ok := h.Mentioned(h.person("ann", "other"), h.account(ann), annsHandle); !ok {
		t.Error("ann's other tab cannot show her form again")
	}
	if _, ok := h.Mentioned(eve, h.account(eve), annsHandle); ok {
		t.Error("eve can")
	}
	for _, handle := range []string{"", "x", annsHandle[:12], annsHandle + "x", strings.ToUpper(annsHandle)} {
		if _, ok, _ := h.Lookup(t.Context(), ann, handle); ok {
			t.Errorf("%q is a handle", handle)
		}
	}
	if len(h.courier.all(policy.SendCode)) != 0 {
		t.Error("something was sent")
	}
}

func TestTheMailGoesToTheAddressOnFile(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	ann.Email = "Ann.Long@Example.COM"
	h.open(ann)
	h.prove(ann, "ann.long@example.com", "ＡＮＮ.LONG@EXAMPLE.com")
	h.move(time.Hour)
	h.add(ann, "ANN.LONG@example.com")
	for _, l := range h.courier.all(policy.SendCode) {
		if l.To != "Ann.Long@example.com" {
			t.Errorf("sent to %s", l.To)
		}
	}
	if a := h.account(ann); len(a.Contacts) != 1 {
		t.Errorf("%d contacts", len(a.Contacts))
	}
}

func TestNotNow(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	later := func(want policy.Action) {
		t.Helper()
		d, err := h.Later(t.Context(), &h.rules, ann, opening(ann))
		if err != nil || d.Action != want {
			t.Errorf("%s, %v; want %s", d.Action, err, want)
		}
	}
	h.move(6*day + 23*time.Hour)
	later(policy.Ask)
	h.move(time.Hour - time.Millisecond)
	if v := h.open(ann); v.Interrupt || v.Action != policy.Ask {
		t.Errorf("right after: %+v", v.Decision)
	}
	later(policy.Ask)
	h.move(time.Millisecond)
	later(policy.Block)
	if v := h.open(ann); v.Action != policy.Block || !v.Interrupt {
		t.Errorf("after the deadline: %+v", v.Decision)
	}
	if got := h.account(ann).Asked; !got.Equal(noon.Add(7*day - time.Millisecond)) {
		t.Errorf("a refused one was recorded: %s", got)
	}
}

// K01: 200 first requests at once start one grace.
func TestParallelFirstRequestsStartOneGrace(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	var interrupted atomic.Int64
	parallel(200, func(i int) {
		v, err := h.Decide(t.Context(), &h.rules, ann, opening(ann))
		if err != nil {
			t.Error(err)
		}
		if v.Interrupt {
			interrupted.Add(1)
		}
		if !v.Deadline.Equal(noon.Add(7 * day)) {
			t.Errorf("deadline %s", v.Deadline)
		}
	})
	if interrupted.Load() != 1 || len(h.audit.lines(t, "grace_started")) != 1 {
		t.Errorf("%d were interrupted", interrupted.Load())
	}
	if a := h.account(ann); len(a.Contacts) != 1 {
		t.Errorf("%d contacts", len(a.Contacts))
	}
}

// K04, K05: what the sign-in says changes neither grace nor what was proved.
func TestClaimsThatChange(t *testing.T) {
	h := newHouse(t)
	a := h.person("ann", "browser")
	b, none := a, a
	b.Email, none.Email = "new@example.com", ""
	deadline := h.open(a).Deadline
	for _, v := range []Visitor{b, a, none, b, h.person("ann", "other browser")} {
		h.move(time.Hour)
		if got := h.open(v); !got.Deadline.Equal(deadline) {
			t.Errorf("with %q the deadline is %s", v.Email, got.Deadline)
		}
	}
	if n := len(h.account(a).Contacts); n != 2 {
		t.Errorf("%d contacts", n)
	}
	h.confirm(a, a.Email)
	for _, v := range []Visitor{b, none, a, b} {
		if got := h.open(v); got.Standing != policy.Verified || got.Email != a.Email {
			t.Errorf("with %q: %s, %q", v.Email, got.Standing, got.Email)
		}
	}
	if c := h.contact(a, b.Email); !c.Verified.IsZero() {
		t.Error("the new claim is verified")
	}
	// A garbled claim registers nothing.
	for _, bad := range []string{"x", "a@b", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com", `"a b"@example.com`, "a@[127.0.0.1]"} {
		v := a
		v.Email = bad
		h.open(v)
	}
	if n := len(h.account(a).Contacts); n != 2 {
		t.Errorf("%d contacts after garbled claims", n)
	}
}

func TestStoreInTroubleIsNeverAWrongCode(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	code := h.courier.code(t, ann.Email)
	broken := errors.New("disk on fire")
	try := func(what, code string) {
		t.Helper()
		e, err := h.Enter(t.Context(), &h.rules, ann, code)
		if !errors.Is(err, ErrUnavailable) || e.Outcome != policy.NoCode || e.Contact.ID != "" {
			t.Errorf("%s: %+v, %v", what, e.Result, err)
		}
	}
	all := func(f func(ctx context.Context) error) func(context.Context, string, string) error {
		return func(ctx context.Context, _, _ string) error { return f(ctx) }
	}
	h.probe.faults(all(func(context.Context) error { return broken }), nil)
	try("failing, right code", code)
	try("failing, wrong code", notThis(code))
	if _, err := h.Decide(t.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("deciding: %v", err)
	}
	if _, err := h.Start(t.Context(), &h.rules, ann, "x", policy.ByEmail, "x", ""); !errors.Is(err, ErrUnavailable) {
		t.Errorf("asking: %v", err)
	}
	if _, err := h.Add(t.Context(), &h.rules, ann, "x@example.com", policy.ByEmail, ""); !errors.Is(err, ErrUnavailable) {
		t.Errorf("adding: %v", err)
	}
	if _, err := h.Resend(t.Context(), &h.rules, ann); !errors.Is(err, ErrUnavailable) {
		t.Errorf("sending again: %v", err)
	}
	if _, err := h.Later(t.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("not now: %v", err)
	}
	// Hanging: the call ends with its patience.
	began := time.Now()
	h.probe.faults(all(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), nil)
	try("hanging", code)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a hanging store was waited for %s", took)
	}
	if a := h.settled(ann); len(a.Wrong) != 0 {
		t.Error("something was counted")
	}
	// The answer is lost, the attempt was made: it stays counted.
	h.probe.faults(nil, func(_ string, err error) error { return errors.Join(err, broken) })
	try("answer lost, wrong code", notThis(code))
	h.probe.faults(nil, nil)
	if a := h.account(ann); len(a.Wrong) != 1 || a.Challenge.Wrong != 1 {
		t.Errorf("%d of the day, %d of the code", len(a.Wrong), a.Challenge.Wrong)
	}
	h.probe.faults(nil, func(_ string, err error) error { return errors.Join(err, broken) })
	try("answer lost, right code", code)
	h.probe.faults(nil, nil)
	// What was done was done: the person who posts again is through.
	h.wantOutcome("posted again", h.enter(ann, code).Outcome, policy.AcceptedAgain)
	if h.open(ann).Standing != policy.Verified {
		t.Error("a confirmation was lost")
	}
	for _, line := range h.log.lines(t, "changing an account failed; people who are not known to be verified get 503 until this works again") {
		if !strings.Contains(fmt.Sprint(line["error"]), "disk on fire") && !strings.Contains(fmt.Sprint(line["error"]), "context") {
			t.Errorf("logged %v", line)
		}
	}
}

// settled reads an account with the store behaving.
func (h *house) settled(v Visitor) *policy.Account {
	h.Helper()
	h.probe.faults(nil, nil)
	return h.account(v)
}

// A slow store costs a request two seconds at most, however many calls it makes.
func TestASlowStoreIsWaitedForTwoSeconds(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	handle := h.Handle(ann, h.contact(ann, ann.Email).ID)
	h.probe.faults(func(ctx context.Context, _, _ string) error {
		select {
		case <-time.After(450 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil)
	testbed.Watch()
	began := time.Now()
	_, err := h.Start(t.Context(), &h.rules, ann, handle, policy.ByEmail, ann.Email, "")
	if took := testbed.Took(began); took > 2300*time.Millisecond || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v after %s", err, took)
	}
	// What was counted for it is given back, although nobody waits.
	h.probe.faults(nil, nil)
	h.within(5*time.Second, "it is given back", func() bool {
		key, s := h.limitKey("ip", client(ann.IP)), &spent{}
		r, err := h.Store.Get(t.Context(), key)
		if err == nil && r.Value != nil {
			err = h.openRecord(key, r.Value, s)
		}
		return err == nil && r.Value != nil && len(s.All) == 0
	})
}

func TestRecordsAreSealed(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	code := h.courier.code(t, ann.Email)
	h.accept(ann, ann.Email)
	h.add(ann, "second.one@example.org")
	h.end()
	raw, err := os.ReadFile(filepath.Join(h.folder, "accounts.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"ann", "long@", "example.com", "second.one", "example.org", code, "192.0.2.1", "Firefox", realm, "app.example"} {
		if strings.Contains(strings.ToLower(string(raw)), strings.ToLower(secret)) && len(secret) > 3 {
			t.Errorf("%q is in the file", secret)
		}
	}
	h.start()

	// A record that was moved to another key does not open: bob must not become ann.
	annKey, bobKey := h.accountKey(realm, "ann"), h.accountKey(realm, "bob")
	r, err := h.probe.Get(t.Context(), annKey)
	if err != nil {
		t.Fatal(err)
	}
	r.Value = append([]byte(nil), r.Value...)
	put := func(key string, r store.Record) {
		t.Helper()
		if err := h.probe.Update(t.Context(), key, func(store.Record) (store.Record, error) { return r, nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(bobKey, r)
	bob := h.person("bob", "browser")
	if v, err := h.Decide(t.Context(), &h.rules, bob, opening(bob)); !errors.Is(err, ErrUnavailable) || v.Action != policy.Refuse {
		t.Errorf("%+v, %v", v.Decision, err)
	}
	// Nor does one with a flipped bit.
	for _, at := range []int{0, 5, 30, len(r.Value) - 1} {
		bad := r
		bad.Value = append([]byte(nil), r.Value...)
		bad.Value[at] ^= 1
		put(annKey, bad)
		if _, err := h.load1(ann); !errors.Is(err, ErrUnavailable) {
			t.Errorf("byte %d flipped: %v", at, err)
		}
	}
	put(annKey, store.Record{Value: []byte("short")})
	if _, err := h.load1(ann); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a short one: %v", err)
	}
	put(annKey, r)
	if a, err := h.load1(ann); err != nil || a == nil || a.User != "ann" {
		t.Errorf("put back: %v", err)
	}
}

func (h *house) load1(v Visitor) (*policy.Account, error) {
	return h.Flow.load(h.Context(), h.accountKey(v.Realm, v.User))
}

func TestMomentsComeBackAsWritten(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	at := noon
	for i := range 2000 {
		at = at.Add(time.Duration(i*7+1) * time.Millisecond)
		a := &policy.Account{User: "ann", Grace: policy.Grace{Shown: at}}
		for range 3 {
			sealed, err := h.sealRecord("a/x", a)
			if err != nil {
				t.Fatal(err)
			}
			if a, err = h.openAccount("a/x", sealed); err != nil {
				t.Fatal(err)
			}
		}
		if !a.Grace.Shown.Equal(at) {
			t.Fatalf("%s came back as %s", at, a.Grace.Shown)
		}
		if !a.Grace.Seen.IsZero() || !a.Owed.IsZero() {
			t.Fatal("no moment came back as one")
		}
	}
}

// Only a random source that fails becomes an error (R25). Whatever else panics is a fault of ours, and has to be seen.
func TestOtherPanicsGoOn(t *testing.T) {
	defer func() {
		if p := recover(); p != "a fault" {
			t.Errorf("it became %v", p)
		}
	}()
	var err error
	defer NoRandom(&err)
	panic("a fault")
}
