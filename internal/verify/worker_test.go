package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// waiting leaves a row for a code, and whatever answer the carrier gives, with nobody at work on it.
func (h *house) waiting(v Visitor, rows int) {
	h.Helper()
	h.change(v, func(a *policy.Account) {
		a.Name(policy.Email, policy.Address(v.Email), h.newID, h.rules.Limits, h.Now())
		w := wish{contact: a.Contacts[0], channel: policy.ByEmail}
		if got := h.begin(a, &h.rules, v, w, []byte("0123456789abcdef"), h.newID(), h.Now()); got.Outcome != policy.Started {
			h.Fatalf("%+v", got)
		}
		for range rows - 1 {
			a.Outbox = append(a.Outbox, policy.Send{ID: h.newID(), Kind: policy.SendNotice, Channel: policy.ByEmail, Contact: a.Contacts[0].ID,
				At: h.Now(), NotBefore: h.Now(), Ends: h.Now().Add(policy.NoticeLife)})
		}
	})
}

func (h *house) work1(v Visitor) { h.work.serve(h.Context(), h.accountKey(v.Realm, v.User)) }

func TestManyWorkersTakeARowOnce(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	var people []Visitor
	for i := range 20 {
		v := h.person(fmt.Sprintf("user%d", i), "browser")
		h.waiting(v, 3)
		people = append(people, v)
	}
	// Another process on the same store: its own flow, with the same courier.
	second := New(h.Config)
	parallel(16, func(i int) {
		flow := []*Flow{h.Flow, second}[i%2]
		for _, v := range people {
			flow.work.serve(t.Context(), h.accountKey(v.Realm, v.User))
		}
	})
	times := map[string]int{}
	for _, l := range append(h.courier.all(policy.SendCode), h.courier.all(policy.SendNotice)...) {
		times[l.ID]++
	}
	if len(times) != 60 {
		t.Errorf("%d of 60 messages", len(times))
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s was handed over %d times", id, n)
		}
	}
}

func TestHowTheCarrierAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []policy.Delivery
		handed  int
		state   policy.SendState
		counted int
	}{
		{"taken over", []policy.Delivery{policy.TakenOver}, 1, policy.SendAccepted, 1},
		{"refused", []policy.Delivery{policy.RefusedForGood}, 1, policy.SendRefused, 1},
		{"not reached: failed at once, and no send", []policy.Delivery{policy.NotReached}, 1, policy.SendFailed, 0},
		{"asked to wait three times", []policy.Delivery{policy.AskedToWait, policy.AskedToWait, policy.AskedToWait, policy.TakenOver}, 4, policy.SendAccepted, 1},
		{"lost once", []policy.Delivery{policy.LostAnswer, policy.TakenOver}, 2, policy.SendAccepted, 1},
		{"lost twice", []policy.Delivery{policy.LostAnswer, policy.LostAnswer, policy.TakenOver}, 2, policy.SendFailed, 1},
		{"lost, asked to wait, lost", []policy.Delivery{policy.LostAnswer, policy.AskedToWait, policy.LostAnswer, policy.TakenOver}, 3, policy.SendFailed, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, withoutWorkers, inMemory)
			ann := h.person("ann", "browser")
			h.courier.answers(func(_ context.Context, _ Letter, before int) policy.Delivery {
				return c.answers[min(before, len(c.answers)-1)]
			})
			h.waiting(ann, 1)
			for due := h.account(ann).Due(); !due.IsZero(); due = h.account(ann).Due() {
				if due.After(h.Now()) {
					h.set(due)
				}
				h.work1(ann)
			}
			letters := h.courier.all(policy.SendCode)
			for _, l := range letters {
				if l.ID != letters[0].ID || l.Code != letters[0].Code {
					t.Errorf("another code or ID: %+v", l)
				}
			}
			if a := h.account(ann); len(letters) != c.handed || a.Challenge.SendState != c.state || len(a.Sends) != c.counted {
				t.Errorf("handed over %d times, %q, %d counted", len(letters), a.Challenge.SendState, len(a.Sends))
			}
		})
	}
}

func TestACodeIsNeverHandedOverAfterItsEnd(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	ann := h.person("ann", "browser")
	h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return policy.AskedToWait })
	h.waiting(ann, 1)
	ends := h.account(ann).Challenge.Ends
	for due := h.account(ann).Due(); !due.IsZero(); due = h.account(ann).Due() {
		h.set(due)
		before := len(h.courier.all(policy.SendCode))
		h.work1(ann)
		if len(h.courier.all(policy.SendCode)) > before && !h.Now().Before(ends) {
			t.Errorf("handed over at %s, ended %s", h.Now(), ends)
		}
		if h.Now().Sub(noon) > day {
			t.Fatal("tried for ever")
		}
	}
	if n := len(h.courier.all(policy.SendCode)); n < 5 {
		t.Errorf("tried %d times only", n)
	}
	if len(h.audit.lines(t, "send_dropped")) != 1 || h.account(ann).Challenge.SendState != policy.SendFailed {
		t.Errorf("dropped %d, %s", len(h.audit.lines(t, "send_dropped")), h.account(ann).Challenge.SendState)
	}
	// The letter says when that is, so that the sender stops in the middle.
	if l := h.courier.all(policy.SendCode)[0]; !l.Ends.Equal(ends) {
		t.Errorf("the letter ends %s", l.Ends)
	}
}

func TestADeadWorkersRowIsTakenAfterItsLease(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	ann := h.person("ann", "browser")
	h.waiting(ann, 1)
	key := h.accountKey(realm, "ann")
	// A worker took it and died.
	h.change(ann, func(a *policy.Account) { a.Take(h.Lease, h.Now()) })
	h.move(h.Lease - time.Millisecond)
	h.work1(ann)
	if n := len(h.courier.all(policy.SendCode)); n != 0 {
		t.Fatalf("taken out of a living worker's hand: %d", n)
	}
	if keys, _ := h.probe.Due(t.Context(), h.Now(), 10); len(keys) != 0 {
		t.Errorf("listed as due: %v", keys)
	}
	h.move(time.Millisecond)
	if keys, _ := h.probe.Due(t.Context(), h.Now(), 10); !slices.Equal(keys, []string{key}) {
		t.Errorf("not listed as due: %v", keys)
	}
	h.work1(ann)
	if n := len(h.courier.all(policy.SendCode)); n != 1 {
		t.Fatalf("handed over %d times", n)
	}
	// Twice in a dead hand: it may have gone out twice, so it does not go out again.
	h.waiting(h.person("bob", "browser"), 1)
	bob := h.person("bob", "browser")
	for range 2 {
		h.change(bob, func(a *policy.Account) { a.Take(h.Lease, h.Now()) })
		h.move(h.Lease)
	}
	h.work1(bob)
	if n := len(h.courier.all(policy.SendCode)); n != 1 || len(h.account(bob).Outbox) != 0 {
		t.Errorf("handed over %d times, %d rows", n, len(h.account(bob).Outbox))
	}
}

// A slow carrier must not let the lease of an account's later messages run out in its first worker's hand.
func TestManyMessagesOfOneAccountOutliveNoLease(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	ann := h.person("ann", "browser")
	h.waiting(ann, 8)
	var inHand sync.Map
	h.courier.answers(func(_ context.Context, l Letter, before int) policy.Delivery {
		if _, twice := inHand.LoadOrStore(l.ID, true); twice || before > 0 {
			t.Errorf("%s is handed over twice", l.ID)
		}
		h.move(carrying) // it takes as long as it may, and another worker looks meanwhile
		if before := len(h.courier.all(policy.SendNotice)); before < 8 {
			a := h.account(ann)
			if taken, _ := a.Take(h.Lease, h.Now()); taken != nil {
				if _, gone := inHand.Load(taken.ID); gone {
					t.Errorf("%s could be taken out of a living worker's hand", taken.ID)
				}
			}
		}
		return policy.TakenOver
	})
	h.work1(ann)
	if n := len(h.courier.all(policy.SendNotice)) + len(h.courier.all(policy.SendCode)); n != 8 {
		t.Errorf("%d of 8", n)
	}
}

func TestAnUnwrittenSettlementIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, withoutWorkers, inMemory)
		ann := h.person("ann", "browser")
		h.waiting(ann, 1)
		var failing atomic.Int64
		h.probe.faults(func(_ context.Context, op, _ string) error {
			if op == "update" && len(h.courier.all(policy.SendCode)) == 1 && failing.Add(1) <= 3 {
				return context.DeadlineExceeded
			}
			return nil
		}, nil)
		h.work1(ann)
		if a := h.account(ann); len(a.Outbox) != 0 || a.Challenge.SendState != policy.SendAccepted {
			t.Errorf("%d rows, %s: it would go out again", len(a.Outbox), a.Challenge.SendState)
		}
		h.end()
	})
}

func TestALostKickIsFoundByThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, inMemory)
		ann := h.person("ann", "browser")
		h.waiting(ann, 1) // nobody was kicked
		time.Sleep(pollEvery + time.Millisecond)
		synctest.Wait()
		if n := len(h.courier.all(policy.SendCode)); n != 1 {
			t.Errorf("handed over %d times", n)
		}
		h.end()
	})
}

func TestAFullQueueOfKicksLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, inMemory, withoutWorkers)
		for i := range cap(h.work.kicks) {
			h.work.kick(fmt.Sprintf("a/nobody%d", i))
		}
		ann := h.person("ann", "browser")
		h.waiting(ann, 1)
		h.work.kick(h.accountKey(realm, "ann")) // does not block, and is lost
		h.idle = false
		h.reload()
		time.Sleep(2 * pollEvery)
		synctest.Wait()
		if n := len(h.courier.all(policy.SendCode)); n != 1 {
			t.Errorf("handed over %d times", n)
		}
		h.end()
	})
}

// P7: a carrier in trouble keeps a person waiting for four seconds, and the page then says that it is under way.
func TestAPersonWaitsFourSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, inMemory)
		h.courier.answers(func(ctx context.Context, _ Letter, _ int) policy.Delivery { <-ctx.Done(); return policy.LostAnswer })
		ann := h.person("ann", "browser")
		h.open(ann)
		began := time.Now()
		s := h.ask(ann, ann.Email)
		if took := time.Since(began); took != patience || s.Outcome != policy.Started || s.State != policy.SendWaiting {
			t.Errorf("%+v after %s", s, took)
		}
		// 12 s each for two tries, then it has failed.
		time.Sleep(2*carrying + time.Second)
		synctest.Wait()
		if a := h.account(ann); a.Challenge.SendState != policy.SendFailed || len(h.courier.all(policy.SendCode)) != 2 {
			t.Errorf("%s after %d tries", a.Challenge.SendState, len(h.courier.all(policy.SendCode)))
		}
		if s := h.again(ann); s.Outcome != policy.Started {
			t.Errorf("nobody waits for what was not sent: %+v", s.Result)
		}
		time.Sleep(3 * carrying)
		h.end()
	})
}

func TestAPersonHearsAtOnceWhatBecameOfIt(t *testing.T) {
	for d, want := range map[policy.Delivery]policy.SendState{
		policy.TakenOver: policy.SendAccepted, policy.RefusedForGood: policy.SendRefused, policy.NotReached: policy.SendFailed,
		policy.AskedToWait: policy.SendWaiting,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, inMemory)
			h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return d })
			ann := h.person("ann", "browser")
			h.open(ann)
			began := time.Now()
			if s := h.ask(ann, ann.Email); s.State != want || time.Since(began) != 0 {
				t.Errorf("%d: %s after %s", d, s.State, time.Since(began))
			}
			h.end()
		})
	}
}

// What another process settled is seen without a signal from it.
func TestWhatAnotherProcessSettlesIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, inMemory, withoutWorkers)
		ann := h.person("ann", "browser")
		h.open(ann)
		second := New(h.Config)
		go func() {
			time.Sleep(time.Second)
			second.work.serve(t.Context(), h.accountKey(realm, "ann"))
		}()
		began := time.Now()
		if s := h.ask(ann, ann.Email); s.State != policy.SendAccepted || time.Since(began) > 1500*time.Millisecond {
			t.Errorf("%s after %s", s.State, time.Since(began))
		}
		h.end()
	})
}

// A run that ends finishes what is in hand: cut off, it would have to be sent a second time.
func TestEndingFinishesWhatIsInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, inMemory)
		ctxEnded := make(chan bool, 1)
		h.courier.answers(func(ctx context.Context, _ Letter, _ int) policy.Delivery {
			select {
			case <-ctx.Done():
				ctxEnded <- true
			case <-time.After(5 * time.Second):
				ctxEnded <- false
			}
			return policy.TakenOver
		})
		ann := h.person("ann", "browser")
		h.open(ann)
		go h.ask(ann, ann.Email)
		time.Sleep(time.Second)
		h.stop()
		h.stop = func() {}
		if <-ctxEnded {
			t.Error("cut off")
		}
		if a := h.account(ann); a.Challenge.SendState != policy.SendAccepted {
			t.Errorf("%s", a.Challenge.SendState)
		}
		time.Sleep(patience)
		h.end()
	})
}

func TestAGoneContactGetsNothing(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	ann := h.person("ann", "browser")
	h.waiting(ann, 2)
	h.change(ann, func(a *policy.Account) { a.Contacts = nil })
	h.work1(ann)
	if n := len(h.courier.all(policy.SendCode)) + len(h.courier.all(policy.SendNotice)); n != 0 {
		t.Errorf("%d letters to a contact that is gone", n)
	}
	if a := h.account(ann); len(a.Outbox) != 0 {
		t.Errorf("%d rows left", len(a.Outbox))
	}
}

// Whoever takes a contact away may not be its owner, who is still told what they were to be told.
func TestARemovedContactGetsItsNoticesAndNoCodes(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	ann := h.person("ann", "browser")
	h.waiting(ann, 2)
	h.change(ann, func(a *policy.Account) { a.Contacts[0].Retired = true })
	h.work1(ann)
	h.work1(ann)
	if codes, notices := len(h.courier.all(policy.SendCode)), len(h.courier.all(policy.SendNotice)); codes != 0 || notices != 1 {
		t.Errorf("%d codes and %d notices", codes, notices)
	}
}

// Settling a message of an account that was erased meanwhile must not bring it back.
func TestAnErasedAccountStaysErased(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	ann := h.person("ann", "browser")
	h.waiting(ann, 1)
	key := h.accountKey(realm, "ann")
	h.courier.answers(func(ctx context.Context, _ Letter, _ int) policy.Delivery {
		if err := h.probe.Store.Delete(ctx, key); err != nil {
			t.Error(err)
		}
		return policy.TakenOver
	})
	h.work1(ann)
	if r, err := h.probe.Get(t.Context(), key); err != nil || r.Value != nil {
		t.Errorf("%d bytes, %v", len(r.Value), err)
	}
}

// A message that still waits is of no use once its code was asked for again.
func TestANewWishEndsTheMessageThatStillWaits(t *testing.T) {
	h := newHouse(t, inMemory)
	h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return policy.AskedToWait })
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	h.add(ann, "other@example.com")
	if a := h.account(ann); len(a.Outbox) != 1 || a.Outbox[0].ID != a.Challenge.SendID {
		t.Errorf("%d messages wait", len(a.Outbox))
	}
}

// Nor is one that still waits when the code from an earlier message was entered.
func TestAnEnteredCodeEndsTheMessageThatStillWaits(t *testing.T) {
	h := newHouse(t, inMemory)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return policy.AskedToWait })
	h.move(time.Minute)
	h.again(ann)
	if n := len(h.account(ann).Outbox); n != 1 {
		t.Fatalf("%d messages wait", n)
	}
	h.accept(ann, ann.Email)
	if n := len(h.account(ann).Outbox); n != 0 {
		t.Errorf("%d messages wait", n)
	}
}
