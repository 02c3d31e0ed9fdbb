package verify

import (
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// Limits that are shared belong to nobody: a burst that ends in one message counts as one with everybody else.
func TestBurstOfOneAccountSpendsNoSharedLimit(t *testing.T) {
	h := newHouse(t, func(h *house) { h.rules.Limits.TotalBudget, h.rules.Limits.TypedSendsPerIP = 5, 5 })
	ann := h.person("ann", "browser")
	h.open(ann)
	var burst sync.WaitGroup
	for range 40 {
		burst.Go(func() {
			if _, err := h.Add(t.Context(), &h.rules, ann, "new@example.com", policy.ByEmail, "/"); err != nil {
				t.Error(err)
			}
		})
	}
	burst.Wait()
	if n := len(h.courier.all(policy.SendCode)); n != 1 {
		t.Fatalf("%d messages", n)
	}
	for _, user := range []string{"bob", "cyd", "dan", "eve"} {
		v := h.person(user, "browser")
		h.open(v)
		if s := h.add(v, user+".new@example.com"); s.Outcome != policy.Started {
			t.Errorf("%s of the same office: %+v", user, s.Result)
		}
	}
	fay := h.person("fay", "browser")
	h.open(fay)
	if s := h.add(fay, "fay.new@example.com"); s.Outcome != policy.TooMany {
		t.Errorf("the sixth message: %+v", s.Result)
	}
}

// What was counted before another limit refused is given back.
func TestRefusedSendIsNotCountedElsewhere(t *testing.T) {
	h := newHouse(t, func(h *house) { h.rules.Limits.SendsPerAddress, h.rules.Limits.TypedSendsPerIP = 1, 3 })
	for i, user := range []string{"ann", "bob", "cyd", "dan"} {
		v := h.person(user, "browser")
		h.open(v)
		want := policy.TooMany
		if i == 0 {
			want = policy.Started
		}
		if s := h.add(v, "one@example.com"); s.Outcome != want {
			t.Fatalf("%s: %+v", user, s.Result)
		}
	}
	for _, user := range []string{"eve", "fay"} {
		v := h.person(user, "browser")
		h.open(v)
		if s := h.add(v, user+".new@example.com"); s.Outcome != policy.Started {
			t.Errorf("%s: %+v", user, s.Result)
		}
	}
}

// Our own pages, opened over and over, cost no write each.
func TestOwnPagesDoNotWriteForEveryVisit(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann := h.person("ann", "browser")
	h.open(ann)
	q := opening(ann)
	q.OwnPage = true
	before := h.probe.updates.Load()
	for range 10 {
		if _, err := h.See(t.Context(), &h.rules, ann, q); err != nil {
			t.Fatal(err)
		}
		h.move(time.Second)
	}
	if n := h.probe.updates.Load() - before; n != 0 {
		t.Errorf("%d writes for ten visits", n)
	}
}
