package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/contactgate/contactgate/internal/store"
)

// trouble is an outage of the store, as far as this node has seen it. It is said once when it begins and once when it
// is over, however many requests it fails.
type trouble struct {
	on          atomic.Bool
	mu          sync.Mutex
	since, last time.Time
}

// calm is how long no call may have failed for an outage to be over. A Cluster of which one node is down answers some and
// fails others.
const calm = 2 * time.Second

// unavailable turns whatever a store says into the one error that callers know, and logs the cause.
func (f *Flow) unavailable(operation, doing string, err error) error {
	if errors.Is(err, context.Canceled) { // whoever asked has gone, and the store is fine
		return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
	}
	if f.Count != nil {
		f.Count.StoreFailed(operation)
	}
	switch {
	case errors.Is(err, errUnreadable), errors.Is(err, store.ErrGone):
		// It is this record, and every time it is asked for somebody is kept out.
		f.Log.Error(doing+" failed; whose it is gets 503", "error", err)
	case f.trouble.begins(time.Now()):
		f.Log.Error(doing+" failed; people who are not known to be verified get 503 until this works again", "error", err)
	default:
		f.Log.Debug(doing+" failed, too", "error", err)
	}
	if errors.Is(err, store.ErrOther) {
		f.ready.Store(false) // the next request, or the next poll, looks what it is now
		f.cache.changed("")
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}

// answers notes that a call of the store went well.
func (f *Flow) answers() {
	if !f.trouble.on.Load() {
		return
	}
	if lasted, over := f.trouble.ends(time.Now()); over {
		f.Log.Info("the account store answers again", "after", lasted.Round(time.Millisecond).String())
	}
}

func (t *trouble) begins(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
	if t.on.Load() {
		return false
	}
	t.since = now
	t.on.Store(true)
	return true
}

func (t *trouble) ends(now time.Time) (lasted time.Duration, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on.Load() || now.Sub(t.last) < calm {
		return 0, false
	}
	t.on.Store(false)
	return t.last.Sub(t.since), true
}
