package verify

import (
	"context"
	"errors"
	"sync"
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

func (c *downCourier) Reachable(context.Context, policy.Channel) error {
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
	h.mailed(ann)
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
	if err := h.Admit(t.Context()); err != nil { // as the poll does first
		t.Fatal(err)
	}
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
	h.mailed(ann)
	h.set(noon.Add(7 * day))
	h.watchOutages(t.Context())
	if v := h.open(ann); v.Action != policy.Block {
		t.Errorf("%+v", v.Decision)
	}
}

// channels is a courier whose channels are down each by themselves.
type channels struct {
	mu    sync.Mutex
	down  map[policy.Channel]policy.Delivery
	asked map[policy.Channel]int
}

func (c *channels) Deliver(_ context.Context, l Letter) policy.Delivery {
	if d, down := c.down[policy.Channel(l.Channel)]; down {
		return d
	}
	return policy.TakenOver
}

func (c *channels) Reachable(_ context.Context, channel policy.Channel) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[channel]++
	if c.down[channel] == policy.NotReached {
		return errors.New("no route")
	}
	return nil
}

// texted and mailed ask for a code while the message is handed over here: there are no workers to wait for.
func (h *house) texted(v Visitor, channel policy.Channel) {
	h.Helper()
	h.handedOver(v, mobile, channel, "5634")
}

func (h *house) mailed(v Visitor) {
	h.Helper()
	h.handedOver(v, v.Email, policy.ByEmail, v.Email)
}

func (h *house) handedOver(v Visitor, address string, channel policy.Channel, proof string) {
	h.Helper()
	handle, done := h.Handle(v, h.contact(v, address).ID), make(chan error, 1)
	go func() {
		_, err := h.Start(h.Context(), &h.rules, v, handle, channel, proof, "/app")
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				h.Fatal(err)
			}
			h.settle(v)
			return
		case <-time.After(time.Millisecond):
			h.settle(v)
		}
	}
}

// Somebody who can be reached by another channel has no reason to be late; somebody who cannot is not locked out.
func TestOutageOfOneChannelExcusesThoseWhoHaveNoOther(t *testing.T) {
	h := newHouse(t, withPhones, withoutWorkers)
	carriers := &channels{down: map[policy.Channel]policy.Delivery{policy.BySMS: policy.NotReached, policy.ByVoice: policy.NotReached}, asked: map[policy.Channel]int{}}
	h.Flow.Courier = carriers
	phone, both, mail, nothing := h.caller("phone"), h.caller("both"), h.person("mail", "browser"), h.person("nothing", "browser")
	both.Email, nothing.Email = "both.long@example.com", ""
	everybody := []Visitor{phone, both, mail, nothing}
	for _, v := range everybody {
		h.open(v)
	}
	h.set(noon.Add(7*day - time.Minute))
	h.texted(phone, policy.BySMS)
	h.set(noon.Add(7*day + time.Hour))
	h.watchOutages(t.Context())
	for _, v := range everybody {
		if got := h.open(v); got.Action != policy.Block {
			t.Errorf("%s, while calls go out: %+v", v.User, got.Decision)
		}
	}
	// Calls are down as well, from before the next deadline.
	h.set(noon.Add(6 * day))
	later := h.caller("later")
	h.set(noon)
	h.open(later)
	h.set(noon.Add(7*day - 2*time.Minute))
	h.texted(later, policy.ByVoice)
	h.texted(phone, policy.BySMS)
	h.set(noon.Add(7*day + 2*time.Hour))
	h.watchOutages(t.Context())
	for v, want := range map[*Visitor]policy.Action{&phone: policy.Ask, &later: policy.Ask, &both: policy.Block, &mail: policy.Block, &nothing: policy.Block} {
		if got := h.open(*v); got.Action != want {
			t.Errorf("%s, while no phone is reached: %+v", v.User, got.Decision)
		}
	}
	// Texts are back first: that is when people could have been reached.
	delete(carriers.down, policy.BySMS)
	h.move(probeEvery)
	h.watchOutages(t.Context())
	back := h.Now()
	h.move(time.Hour)
	if got := h.open(later); got.Action != policy.Ask || !got.Deadline.Equal(back.Add(day)) {
		t.Errorf("after texts were back: %+v", got.Decision)
	}
	if lines := h.log.lines(t, "messages cannot be handed over; deadlines that fall in this time move to 24 h after its end, for people who cannot be reached by another channel"); len(lines) != 2 {
		t.Errorf("logged %d times", len(lines))
	}
}

// A provider that takes connections and answers 503 is down, however well it can be reached: until it takes a message, or
// nobody has tried it for a day.
func TestCarrierThatRefusesIsDownUntilItTakesAMessage(t *testing.T) {
	for _, end := range []string{"a message", "a day"} {
		h := newHouse(t, withPhones, withoutWorkers)
		carriers := &channels{down: map[policy.Channel]policy.Delivery{policy.BySMS: policy.OutOfOrder, policy.ByVoice: policy.OutOfOrder}, asked: map[policy.Channel]int{}}
		h.Flow.Courier = carriers
		ann := h.caller("ann")
		h.open(ann)
		h.set(noon.Add(7*day - time.Hour))
		for _, channel := range []policy.Channel{policy.BySMS, policy.ByVoice} {
			h.texted(ann, channel)
			h.move(time.Minute)
		}
		for range 100 {
			h.move(10 * time.Minute)
			h.watchOutages(t.Context())
		}
		if got := h.open(ann); got.Action != policy.Ask || carriers.asked[policy.BySMS] != 0 {
			t.Errorf("16 hours later, asked %d times: %+v", carriers.asked[policy.BySMS], got.Decision)
		}
		carriers.down = nil
		if end == "a message" {
			h.texted(ann, policy.BySMS)
		} else {
			h.move(8 * time.Hour)
			h.watchOutages(t.Context())
		}
		back := h.Now()
		h.move(time.Hour)
		if got := h.open(ann); got.Action != policy.Ask || !got.Deadline.Equal(back.Add(day)) {
			t.Errorf("%s ends it: %+v", end, got.Decision)
		}
	}
}

// What was written when mail was all there was is still understood.
func TestOutagesOfAnEarlierVersionAreThoseOfMail(t *testing.T) {
	list, err := decodeOutages([]byte(`[{"Began":"2026-11-20T12:00:00Z","Ended":"0001-01-01T00:00:00Z"}]`))
	if err != nil || len(list) != 1 || list[0].Channel != policy.ByEmail || !list[0].Began.Equal(noon.Add(-3*day)) {
		t.Errorf("%+v, %v", list, err)
	}
}
