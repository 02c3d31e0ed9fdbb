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
	mostOutages = 20
	// oneOutage is how close two times without carriers are to count as one.
	oneOutage = 10 * time.Minute
	// probeEvery is how often carriers are tried while an outage lasts: its end starts people's 24 hours.
	probeEvery = 10 * time.Second
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
func (f *Flow) facts(a *policy.Account, now time.Time) policy.Facts {
	facts := a.Facts(now)
	facts.Outages = f.outages.current()
	return facts
}

// watchOutages runs with every poll: it learns what other nodes know, and looks whether an outage is over.
func (f *Flow) watchOutages(ctx context.Context) {
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
	list := o.current()
	if len(list) == 0 || !list[len(list)-1].Ended.IsZero() || now.Sub(o.probed) < probeEvery {
		return
	}
	o.probed = now
	ctx, cancel := context.WithTimeout(ctx, carrying)
	defer cancel()
	if p, ok := f.Courier.(Prober); ok && p.Reachable(ctx) == nil {
		f.carriersBack(ctx, now)
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

// learnFrom takes an attempt at a message as news of the carriers. A message that ended meanwhile says nothing of them.
func (f *Flow) learnFrom(ctx context.Context, s policy.Send, result policy.Delivery) {
	now := f.now()
	switch {
	case result == policy.NotReached && now.Before(s.Ends):
		f.carriersGone(ctx, now)
	case result == policy.TakenOver || result == policy.RefusedForGood:
		if list := f.outages.current(); len(list) > 0 && list[len(list)-1].Ended.IsZero() {
			f.carriersBack(ctx, now)
		}
	}
}

// carriersGone and carriersBack write down that carriers could not be used, and that they can again.
func (f *Flow) carriersGone(ctx context.Context, now time.Time) {
	f.changeOutages(ctx, func(list []policy.Outage) []policy.Outage {
		if n := len(list); n > 0 && (list[n-1].Ended.IsZero() || now.Sub(list[n-1].Ended) < oneOutage) {
			// Still, or again: a carrier that comes and goes is one outage, or it would push out those before.
			list[n-1].Ended = time.Time{}
			return list
		}
		f.Log.Error("messages cannot be handed over; deadlines that fall in this time move to 24 h after its end")
		return append(list, policy.Outage{Began: now})
	})
}

func (f *Flow) carriersBack(ctx context.Context, now time.Time) {
	f.changeOutages(ctx, func(list []policy.Outage) []policy.Outage {
		n := len(list)
		if n == 0 || !list[n-1].Ended.IsZero() {
			return list
		}
		list[n-1].Ended = now
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
	return list, nil
}
