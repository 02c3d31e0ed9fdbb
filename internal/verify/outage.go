package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/policy"
)

const (
	// outagesKey is where all nodes keep the outages of the senders.
	outagesKey = "m/outages"
	// mostOutages are remembered, the latest last.
	mostOutages = 60
	// oneOutage is how close two times without carriers are to count as one.
	oneOutage = 10 * time.Minute
	// probeEvery is how often carriers are tried while an outage lasts: its end starts people's 24 hours.
	probeEvery = 10 * time.Second
	// believed is how long a carrier that answers that it cannot serve us is believed to be down although it can be
	// reached: by then somebody has tried it, or its channel is of little use to anybody.
	believed = 24 * time.Hour
	// learnEvery is how old a node's knowledge of outages may be.
	learnEvery = 5 * time.Second
)

// outages is what this node knows of them.
type outages struct {
	known   atomic.Pointer[[]policy.Outage]
	mu      sync.Mutex
	learned time.Time
	probed  time.Time
}

// current gives the outages for a decision.
func (o *outages) current() []policy.Outage {
	if list := o.known.Load(); list != nil {
		return *list
	}
	return nil
}

// facts are those of an account, with the outages that may excuse it.
func (f *Flow) facts(a *policy.Account, r *policy.Rules, now time.Time) policy.Facts {
	facts := a.Facts(now)
	if facts.Outages = f.outages.current(); len(facts.Outages) > 0 {
		facts.Ways = f.ways(a, r, now)
	}
	return facts
}

// ways are the channels by which a code can reach somebody: those of the contacts on file, and for who has none those by
// which one can be added.
func (f *Flow) ways(a *policy.Account, r *policy.Rules, now time.Time) []policy.Channel {
	var ways []policy.Channel
	open := func(channels ...policy.Channel) {
		for _, c := range channels {
			if !slices.Contains(ways, c) && (f.Carries == nil || f.Carries(c)) {
				ways = append(ways, c)
			}
		}
	}
	for i := range a.Contacts {
		if c := &a.Contacts[i]; c.Usable(now) {
			channels, _ := Channels(r, *c)
			open(channels...)
		}
	}
	if len(ways) > 0 {
		return ways
	}
	open(policy.ByEmail)
	for _, c := range r.Countries {
		if c.SMS {
			open(policy.BySMS)
		}
		if c.Voice {
			open(policy.ByVoice)
		}
	}
	return ways
}

// watchOutages learns, now and then, what other nodes know, and looks whether an outage is over.
func (f *Flow) watchOutages(ctx context.Context) {
	if !f.ready.Load() {
		return // what is in a store that may be another one is none of our business
	}
	o := &f.outages
	o.mu.Lock()
	defer o.mu.Unlock()
	now := f.now()
	if !o.learned.IsZero() && now.Sub(o.learned) < learnEvery && !now.Before(o.learned) {
		return
	}
	o.learned = now
	if err := f.learnOutages(ctx); err != nil {
		_ = f.unavailable("get", "reading when senders were down", err)
		return
	}
	if now.Sub(o.probed) < probeEvery {
		return
	}
	var probing sync.WaitGroup
	for _, outage := range o.current() {
		if outage.Ended.IsZero() && (!outage.Refusing || now.Sub(outage.Failed) > believed) {
			o.probed = now
			probing.Go(func() { f.probe(ctx, outage.Channel, now) })
		}
	}
	probing.Wait()
}

func (f *Flow) probe(ctx context.Context, channel policy.Channel, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, carrying)
	defer cancel()
	if p, ok := f.Courier.(Prober); ok && p.Reachable(ctx, channel) == nil {
		f.carriersBack(ctx, channel, now)
	}
}

func (f *Flow) learnOutages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	r, err := f.Store.Get(ctx, outagesKey)
	if err != nil {
		return err
	}
	list, err := decodeOutages(r.Value)
	if err == nil {
		f.outages.known.Store(&list)
	}
	return err
}

// learnFrom takes an attempt at a message as news of its carrier. A message that ended meanwhile says nothing of it.
func (f *Flow) learnFrom(ctx context.Context, s policy.Send, result policy.Delivery) {
	now := f.now()
	switch {
	case (result == policy.NotReached || result == policy.OutOfOrder) && now.Before(s.Ends):
		f.carriersGone(ctx, s.Channel, result == policy.OutOfOrder, now)
	case result == policy.TakenOver || result == policy.RefusedForGood:
		list := f.outages.current()
		if i := latest(list, s.Channel); i >= 0 && list[i].Ended.IsZero() {
			f.carriersBack(ctx, s.Channel, now)
		}
	}
}

// latest finds the last outage of a channel; -1: it had none.
func latest(list []policy.Outage, channel policy.Channel) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Channel == channel {
			return i
		}
	}
	return -1
}

// carriersGone and carriersBack write down that a channel's carrier could not be used, and that it can again.
func (f *Flow) carriersGone(ctx context.Context, channel policy.Channel, refusing bool, now time.Time) {
	f.changeOutages(ctx, func(list []policy.Outage) []policy.Outage {
		i := latest(list, channel)
		if i < 0 || !list[i].Ended.IsZero() && now.Sub(list[i].Ended) >= oneOutage {
			f.Log.Error("messages cannot be handed over; deadlines that fall in this time move to 24 h after its end, for people who cannot be reached by another channel", "channel", string(channel))
			return append(list, policy.Outage{Channel: channel, Began: now, Refusing: refusing, Failed: now})
		}
		// Still, or again: a carrier that comes and goes is one outage, or it would push out those before.
		o := &list[i]
		o.Ended, o.Refusing = time.Time{}, o.Refusing || refusing
		if now.Sub(o.Failed) >= time.Minute { // not a write for every message
			o.Failed = now
		}
		return list
	})
}

func (f *Flow) carriersBack(ctx context.Context, channel policy.Channel, now time.Time) {
	f.changeOutages(ctx, func(list []policy.Outage) []policy.Outage {
		i := latest(list, channel)
		if i < 0 || !list[i].Ended.IsZero() {
			return list
		}
		list[i].Ended, list[i].Refusing = now, false
		return list
	})
}

func (f *Flow) changeOutages(ctx context.Context, change func([]policy.Outage) []policy.Outage) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	var list []policy.Outage
	err := f.Store.Update(ctx, outagesKey, func(old store.Record) (store.Record, error) {
		before, err := decodeOutages(old.Value)
		if err != nil {
			return store.Record{}, err
		}
		list = change(slices.Clone(before))
		if slices.Equal(list, before) {
			return store.Record{}, store.ErrKeep
		}
		list = list[max(0, len(list)-mostOutages):]
		text, err := json.Marshal(list)
		return store.Record{Value: text}, err
	})
	if err != nil {
		_ = f.unavailable("update", "writing down when senders were down", err)
		return
	}
	f.outages.known.Store(&list)
}

func decodeOutages(text []byte) ([]policy.Outage, error) {
	if text == nil {
		return nil, nil
	}
	var list []policy.Outage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("decoding when senders were down: %w", err)
	}
	for i := range list {
		if list[i].Channel == "" { // written when mail was all there was
			list[i].Channel = policy.ByEmail
		}
	}
	return list, nil
}
