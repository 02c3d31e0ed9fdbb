package verify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// downCourier reaches nobody until it is told to.
type downCourier struct{ up bool }

func (c *downCourier) Deliver(context.Context, Letter) policy.Delivery {
	if c.up {
		return policy.TakenOver
	}
	return policy.NotReached
}

func (c *downCourier) Reachable(context.Context) error {
	if c.up {
		return nil
	}
	return errors.New("no route")
}

func TestSenderThatIsDownLocksNobodyOut(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	carrier := &downCourier{}
	h.Flow.Courier = carrier
	ann, bob := h.person("ann", "browser"), h.person("bob", "browser")
	h.open(bob)
	h.move(2 * day)
	h.open(ann) // her grace ends on day 9, his on day 7

	h.set(noon.Add(7*day + time.Hour)) // he is overdue when the outage begins
	h.ask(ann, ann.Email)
	h.settle(ann)
	if s := h.account(ann).Challenge.SendState; s != policy.SendFailed {
		t.Fatalf("the message is %s", s)
	}
	h.set(noon.Add(9*day + time.Hour))
	h.watchOutages(t.Context())
	if v := h.open(ann); v.Action != policy.Ask || !v.Deadline.Equal(h.Now().Add(day)) {
		t.Errorf("her deadline fell in the outage: %+v", v.Decision)
	}
	if v := h.open(bob); v.Action != policy.Block {
		t.Errorf("he was overdue before: %+v", v.Decision)
	}

	carrier.up = true
	h.move(probeEvery)
	h.watchOutages(t.Context())
	back := h.Now()
	h.restart() // the outage and its end are in the store, not in a process
	h.Flow.Courier = carrier
	h.watchOutages(t.Context())
	h.move(time.Hour)
	if v := h.open(ann); v.Action != policy.Ask || !v.Deadline.Equal(back.Add(day)) {
		t.Errorf("after it she has a day: %+v", v.Decision)
	}
	if n := len(h.audit.lines(t, "deadline_moved", "user=ann")); n != 1 {
		t.Errorf("audited %d times", n)
	}
	h.set(back.Add(day))
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("and then no more: %+v", v.Decision)
	}
	if n := len(h.audit.lines(t, "deadline_moved")); n != 1 {
		t.Errorf("audited %d times", n)
	}
}

func TestRefusedRecipientIsNoOutage(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return policy.RefusedForGood })
	ann := h.person("ann", "browser")
	h.open(ann)
	h.set(noon.Add(7*day - time.Minute))
	h.ask(ann, ann.Email)
	h.settle(ann)
	h.set(noon.Add(7 * day))
	h.watchOutages(t.Context())
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("%+v", v.Decision)
	}
}
