package verify

import (
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// fastNode is another node on the same store, whose clock is ahead.
func (h *house) fastNode(ahead time.Duration) *Flow {
	config := h.Config
	config.Now = func() time.Time { return h.Now().Add(ahead) }
	return New(config)
}

// R20: the clocks of two nodes are ten minutes apart. Grace is what one of them began; a code lives no longer than its time
// and the skew; what was counted counts on both.
func TestNodesWhoseClocksAreApart(t *testing.T) {
	const skew = 10 * time.Minute
	h := newHouse(t, withoutWorkers, func(h *house) { h.rules.Limits.CodeLifetime = 3 * skew })
	fast := h.fastNode(skew)
	ann := h.person("ann", "browser")
	decide := func(f *Flow) policy.Decision {
		t.Helper()
		v, err := f.Decide(t.Context(), &h.rules, ann, opening(ann))
		if err != nil {
			t.Fatal(err)
		}
		return v.Decision
	}
	first := decide(fast)
	for range 20 {
		h.move(time.Hour)
		for _, f := range []*Flow{h.Flow, fast} {
			if d := decide(f); !d.Deadline.Equal(first.Deadline) {
				t.Fatalf("the deadline moved from %s to %s", first.Deadline, d.Deadline)
			}
		}
	}
	h.mailed(ann)
	code := h.courier.code(t, ann.Email)
	for range h.rules.Limits.CodeTries - 1 {
		if _, err := fast.Enter(t.Context(), &h.rules, ann, notThis(code)); err != nil {
			t.Fatal(err)
		}
	}
	if e := h.enter(ann, notThis(code)); e.Left != 0 {
		t.Errorf("guesses of the other node do not count: %+v", e.Result)
	}
	if e := h.enter(ann, code); e.Outcome != policy.TriesUsed {
		t.Errorf("one guess too many: %+v", e.Result)
	}
	h.move(2 * time.Minute)
	h.mailed(ann)
	code = h.courier.code(t, ann.Email)
	h.move(h.rules.Limits.CodeLifetime)
	for what, f := range map[string]*Flow{"its own node": h.Flow, "the fast one": fast} {
		if e, err := f.Enter(t.Context(), &h.rules, ann, code); err != nil || e.Outcome != policy.Expired {
			t.Errorf("a code after its time, on %s: %+v, %v", what, e.Result, err)
		}
	}
	h.set(first.Deadline)
	if d := decide(h.Flow); d.Action != policy.Block {
		t.Errorf("at the deadline: %+v", d)
	}
}
