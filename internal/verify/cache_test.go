package verify

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

func TestNoStoreForSomebodyKnownToBeVerified(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	h.open(ann)
	before := h.probe.asked()
	for range 1000 {
		v := h.open(ann)
		if v.Standing != policy.Verified || v.Email != ann.Email {
			t.Fatalf("%+v", v)
		}
		h.move(50 * time.Millisecond)
	}
	if n := h.probe.asked() - before; n != 0 {
		t.Errorf("%d calls of the store", n)
	}
	// 50 s have passed. With the store away it lasts until the minute is over, not longer.
	h.probe.faults(func(context.Context, string, string) error { return errors.New("away") }, nil)
	h.move(10*time.Second - time.Millisecond)
	if v := h.open(ann); v.Standing != policy.Verified {
		t.Errorf("in the last moment: %+v", v.Decision)
	}
	h.move(time.Millisecond)
	if v, err := h.Decide(t.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) || v.Action != policy.Refuse {
		t.Errorf("after a minute: %+v, %v", v.Decision, err)
	}
	h.probe.faults(nil, nil)
	h.open(ann)
	// An entry from a clock that has stepped back since is not younger than it is.
	h.move(-time.Hour)
	before = h.probe.asked()
	h.open(ann)
	if h.probe.asked() == before {
		t.Error("believed for an hour and a minute")
	}
}

func TestOnlyTheVerifiedAndExemptAreRemembered(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	bot := h.person("bot", "none")
	h.rules.ExemptUsers = []string{"bot"}
	h.open(bot)
	asked := h.probe.asked()
	if v := h.open(bot); v.Reason != policy.ExemptUser || h.probe.asked() != asked {
		t.Errorf("%+v, after %d more calls of the store", v.Decision, h.probe.asked()-asked)
	}
	strict := h.rules
	strict.ExemptUsers = nil
	if v, err := h.Decide(t.Context(), &strict, bot, opening(bot)); err != nil || v.Standing != policy.Due {
		t.Errorf("at a site that does not exempt: %+v, %v", v.Decision, err)
	}
	h.open(ann)
	for _, what := range []string{"in grace", "overdue"} {
		before := h.probe.asked()
		h.open(ann)
		if h.probe.asked() == before {
			t.Errorf("%s: the store was not asked", what)
		}
		h.move(8 * day)
	}
	held := newHouse(t)
	v := verifiedLongAgo(held)
	held.addContact(v, added)
	held.settle(v)
	held.open(v)
	before := held.probe.asked()
	held.open(v)
	if held.probe.asked() == before {
		t.Error("on hold: the store was not asked")
	}
}

func TestChangesAreNoticedAtOnce(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	retire := func(a *policy.Account) {
		a.Contacts[0].Retired = true
		a.Grace = policy.Grace{Shown: noon.Add(-8 * day)}
	}
	back := func(a *policy.Account) { a.Contacts[0].Retired = false }
	h.open(ann)
	h.change(ann, retire)
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("after an operator's change: %+v", v.Decision)
	}
	h.change(ann, back)
	h.open(ann)
	// A change whose answer was lost may have happened.
	h.probe.faults(nil, func(_ string, err error) error { return errors.Join(err, errors.New("answer lost")) })
	if _, err := h.update(t.Context(), ann, h.Now(), func(a *policy.Account) bool { retire(a); return true }); err == nil {
		t.Fatal("no error")
	}
	h.probe.faults(nil, nil)
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("after a change whose answer was lost: %+v", v.Decision)
	}
	// Another claim of the sign-in has to be registered first.
	h.change(ann, back)
	h.open(ann)
	other := ann
	other.Email = "other@example.com"
	h.open(other)
	if h.contact(ann, "other@example.com").ID == "" {
		t.Error("a claim went unnoticed")
	}
	// One person's knowledge is nobody else's.
	eve := h.person("eve", "browser")
	if v := h.open(eve); v.Standing == policy.Verified {
		t.Error("eve is verified")
	}
	elsewhere := ann
	elsewhere.Realm = "another realm"
	if v := h.open(elsewhere); v.Standing == policy.Verified {
		t.Error("ann is verified in another realm")
	}
}

// A slow reader must not put back what a change in the meantime has made untrue.
func TestASlowReaderDoesNotBringBackTheOldState(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	h.cache.changed(h.accountKey(realm, "ann"))
	reading, goOn := h.probe.holdNext(h.accountKey(realm, "ann"))
	done := make(chan Verdict)
	go func() { done <- h.open(ann) }()
	<-reading // it has what was in the store
	h.change(ann, func(a *policy.Account) {
		a.Contacts[0].Retired = true
		a.Grace = policy.Grace{Shown: noon.Add(-8 * day)}
	})
	close(goOn)
	if v := <-done; v.Standing != policy.Verified {
		t.Fatalf("the slow reader: %+v", v.Decision)
	}
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("afterwards: %+v", v.Decision)
	}
}

func TestCacheKnowsEachSitesReconfirm(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	h.move(10 * day)
	h.open(ann)
	strict := h.rules
	strict.Reconfirm = 10 * day
	if v, err := h.Decide(t.Context(), &strict, ann, opening(ann)); err != nil || v.Standing == policy.Verified || v.Email != "" {
		t.Errorf("%+v, %q, %v", v.Decision, v.Email, err)
	}
	if v := h.open(ann); v.Standing != policy.Verified {
		t.Errorf("%+v", v.Decision)
	}
}

// An address that is remembered for the app may lapse by one site's rules while another one counts.
func TestAppIsToldTheSameFromTheCacheAndFromTheStore(t *testing.T) {
	h := newHouse(t, func(h *house) { h.rules.Reconfirm = 10 * day })
	ann := h.person("ann", "browser")
	other := ann
	other.Email = "second@example.com"
	h.open(ann)
	h.open(other)
	h.confirm(ann, ann.Email)
	h.move(5 * day)
	h.confirm(ann, other.Email)
	h.move(5*day - 30*time.Second)
	if v := h.open(ann); v.Email != ann.Email {
		t.Fatalf("first: %q", v.Email)
	}
	h.move(40 * time.Second)
	if v := h.open(ann); v.Standing != policy.Verified || v.Email != other.Email {
		t.Errorf("when the first has lapsed: %s, %q", v.Standing, v.Email)
	}
}

// Requests that come for the same person at the same time cost the store one read.
func TestRequestsThatMissTogetherReadOnce(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	h.open(ann)
	h.cache.changed("") // as after a lost subscription
	reading, goOn := h.probe.holdNext(h.accountKey(realm, "ann"))
	before := h.probe.asked()
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			if v := h.open(ann); v.Standing != policy.Verified {
				t.Errorf("%+v", v.Decision)
			}
		})
	}
	<-reading
	time.Sleep(50 * time.Millisecond) // for the others to arrive
	close(goOn)
	group.Wait()
	if n := h.probe.asked() - before; n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

// Somebody who goes away while they are looked up is no fault of the store: clients could fill the log with faults. Others
// who wait for the same are answered.
func TestSomebodyWhoHasGoneIsNoFaultOfTheStore(t *testing.T) {
	h := newHouse(t)
	ann, eve := h.person("ann", "browser"), h.person("eve", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	reading, goOn := h.probe.holdNext(h.accountKey(realm, "eve"))
	ctx, leave := context.WithCancel(t.Context())
	gone, stays := make(chan error), make(chan error)
	decide := func(ctx context.Context, answer chan error) {
		_, err := h.Decide(ctx, &h.rules, eve, opening(eve))
		answer <- err
	}
	go decide(ctx, gone)
	<-reading
	go decide(t.Context(), stays)
	leave()
	time.Sleep(50 * time.Millisecond) // for the other one to arrive
	close(goOn)
	if err := <-gone; !errors.Is(err, context.Canceled) { // their grace was to be written down
		t.Errorf("%v", err)
	}
	if err := <-stays; err != nil {
		t.Errorf("somebody else who waits for the same: %v", err)
	}
	if strings.Contains(h.log.String(), `"level":"ERROR"`) {
		t.Errorf("the log: %s", h.log.String())
	}
}

func TestAFullShardGivesTheOldestOfAFewAway(t *testing.T) {
	const most = mostCached / shardCount
	entries := map[mark]known{}
	for i := range uint64(most) {
		entries[mark{i}] = known{dated: dated{at: int64(i)}}
	}
	var gone []mark
	room := func(coming mark) {
		makeRoom(entries, coming, func(k known) int64 { return k.at }, func(m mark) { gone = append(gone, m) })
	}
	room(mark{5}) // it is there already
	if len(gone) != 0 {
		t.Fatalf("%d made room for one that is there", len(gone))
	}
	for i := range uint64(200) {
		room(mark{most + i})
		entries[mark{most + i}] = known{dated: dated{at: int64(most + i)}}
	}
	if len(entries) != most || len(gone) != 200 {
		t.Fatalf("%d entries, %d gone", len(entries), len(gone))
	}
	sum := 0
	for _, m := range gone {
		sum += int(m[0])
	}
	// Of eight that are looked at the oldest is, on average, at a ninth of the way.
	if average := sum / len(gone); average > most/4 {
		t.Errorf("those that went were on average number %d of %d", average, most)
	}
}

// BenchmarkCache recalls one person after the other, in random order, and says what each of them takes of memory.
func BenchmarkCache(b *testing.B) {
	for _, people := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			heap := func() uint64 {
				goruntime.GC()
				var m goruntime.MemStats
				goruntime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			visitors := make([]Visitor, people)
			for i := range visitors {
				visitors[i] = Visitor{Realm: "default", User: fmt.Sprintf("user%08d", i)}
			}
			mathrand.Shuffle(people, func(i, j int) { visitors[i], visitors[j] = visitors[j], visitors[i] })
			before := heap()
			c, now := newCache(), time.Now()
			a := &policy.Account{}
			for i := range visitors {
				v := &visitors[i]
				c.put(c.ticket(accountPrefix+v.User, now), v, a, policy.Facts{Confirmed: now}, false)
			}
			perPerson := float64(heap()-before) / float64(people)
			b.ReportAllocs()
			b.ResetTimer()
			hits := 0
			for i := 0; b.Loop(); i++ {
				var k recollection
				if c.get(&visitors[i%people], false, now, &k) {
					hits++
				}
			}
			b.ReportMetric(perPerson, "B/person")
			b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
			goruntime.KeepAlive(c)
		})
	}
}
