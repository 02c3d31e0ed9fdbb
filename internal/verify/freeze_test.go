package verify

import (
	"errors"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

var annAccount = Subject{realm, "ann"}

func (h *house) freeze(s Subject) *policy.Account {
	h.Helper()
	a, _, err := h.Freeze(h.Context(), s, "a test")
	if err != nil {
		h.Fatal(err)
	}
	return a
}

func (h *house) unfreeze(s Subject) {
	h.Helper()
	if a, _, err := h.Unfreeze(h.Context(), s, "a test"); err != nil || a == nil {
		h.Fatal(a, err)
	}
}

func TestFreezingHoldsOnTheNextRequest(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.settle(ann)
	if v := h.open(ann); v.Standing != policy.Verified {
		t.Fatalf("%+v", v.Decision)
	}
	h.freeze(annAccount)
	for _, mode := range []policy.Mode{policy.Enforce, policy.Remind, policy.Observe} {
		h.rules.Mode = mode
		if v := h.open(ann); v.Action != policy.Block || v.Standing != policy.Frozen {
			t.Errorf("mode %s: %+v", mode, v)
		}
	}
	h.rules.ExemptUsers = []string{"ann"}
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("exempt: %+v", v.Decision)
	}
	h.unfreeze(annAccount)
	h.rules = policy.Defaults()
	if v := h.open(ann); v.Standing != policy.Verified {
		t.Errorf("after an operator lifted it: %+v", v.Decision)
	}
}

func TestAFrozenAccountIsChangedByNothing(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	code := h.courier.code(t, ann.Email)
	handle := h.Handle(ann, h.contact(ann, ann.Email).ID)
	h.freeze(annAccount)
	before := h.account(ann)
	letters := len(h.courier.all(policy.SendCode))

	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrFrozen) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := h.Enter(t.Context(), &h.rules, ann, code)
	refused("the code that was sent before", err)
	_, err = h.Start(t.Context(), &h.rules, ann, handle, policy.ByEmail, ann.Email, "")
	refused("another code", err)
	_, err = h.Add(t.Context(), &h.rules, ann, "new@example.com", policy.ByEmail, "")
	refused("another contact", err)
	_, err = h.Later(t.Context(), &h.rules, ann, opening(ann))
	refused("not now", err)
	if s := h.again(ann); s.Outcome != policy.NoCode {
		t.Errorf("sending again: %+v", s.Result)
	}
	renamed := ann
	renamed.Email = "other@example.com"
	h.open(renamed) // the sign-in names another address
	after := h.account(ann)
	if !same(before, after) {
		t.Errorf("it was changed:\n%+v\n%+v", before, after)
	}
	if n := len(h.courier.all(policy.SendCode)); n != letters {
		t.Errorf("%d more codes went out", n-letters)
	}
	// Somebody else's form between the look and the change: the change itself refuses.
	if _, err := h.update(t.Context(), ann, h.Now(), func(*policy.Account) bool { t.Error("it was changed"); return true }); !errors.Is(err, ErrFrozen) {
		t.Errorf("%v", err)
	}
}

// same compares accounts as the store keeps them.
func same(a, b *policy.Account) bool {
	x, errX := encoding.Marshal(a)
	y, errY := encoding.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func TestNoUnsentCodeOutlivesFreezing(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann := h.person("ann", "browser")
	h.open(ann)
	if _, err := h.update(t.Context(), ann, h.Now(), func(a *policy.Account) bool {
		f := h.Flow
		return f.begin(a, &h.rules, ann, wish{contact: a.Contacts[0], channel: policy.ByEmail}, []byte("0123456789abcdef"), "row", h.Now()).Outcome == policy.Started
	}); err != nil {
		t.Fatal(err)
	}
	h.freeze(annAccount)
	h.settle(ann)
	if n := len(h.courier.all(policy.SendCode)); n != 0 {
		t.Errorf("%d codes went out", n)
	}
}

func TestOperatorsFreezeAndUnfreeze(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	first, changed, err := h.Freeze(t.Context(), annAccount, "stolen laptop")
	if err != nil || !changed || first.Frozen.By != "operator" || len(first.Frozen.Reference) != 10 || !first.Frozen.At.Equal(noon) {
		t.Fatalf("%+v %v %v", first.Frozen, changed, err)
	}
	h.move(time.Hour)
	again, changed, err := h.Freeze(t.Context(), annAccount, "again")
	if err != nil || changed || again.Frozen.Reference != first.Frozen.Reference || again.Frozen.Reason != "stolen laptop" {
		t.Errorf("%+v %v %v", again.Frozen, changed, err)
	}
	// Whoever is to be kept out may not have come yet.
	if eve, changed, err := h.Freeze(t.Context(), Subject{realm, "eve"}, "left"); err != nil || !changed || eve.User != "eve" {
		t.Errorf("%+v %v %v", eve, changed, err)
	}
	if v := h.open(h.person("eve", "browser")); v.Standing != policy.Frozen {
		t.Errorf("eve: %+v", v.Decision)
	}
	if a, changed, err := h.Unfreeze(t.Context(), Subject{realm, "nobody"}, "x"); a != nil || changed || err != nil {
		t.Errorf("%+v %v %v", a, changed, err)
	}
	if a, err := h.Account(t.Context(), h.person("nobody", "b")); a != nil || err != nil {
		t.Errorf("a record was made: %+v %v", a, err)
	}
	h.unfreeze(annAccount)
	if _, changed, _ := h.Unfreeze(t.Context(), annAccount, "again"); changed {
		t.Error("there was nothing to lift")
	}
	if v := h.open(ann); v.Standing != policy.Due {
		t.Errorf("%+v", v.Decision)
	}
	lines := append(h.audit.lines(t, "account_frozen", "user=ann"), h.audit.lines(t, "account_unfrozen", "user=ann")...)
	if len(lines) != 2 || lines[0]["reason"] != "stolen laptop" || lines[0]["reference"] != first.Frozen.Reference ||
		lines[1]["reference"] != first.Frozen.Reference || lines[1]["reason"] != "a test" {
		t.Errorf("the audit says %v", lines)
	}
}
