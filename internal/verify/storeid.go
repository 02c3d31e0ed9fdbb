package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/contactgate/contactgate/internal/store"
)

// Registry is where an installation remembers, apart from the store, which store it works with: Caddy's storage.
// A store that was lost and came back empty is noticed by it.
type Registry interface {
	// Load returns what Save kept, or nil.
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, remembered []byte) error
	// Lock keeps two nodes from doing this at once.
	Lock(ctx context.Context) (unlock func(), err error)
}

// StoreID names a store. One copy is in the store, one in the registry.
type StoreID struct {
	ID   string    `json:"id"`
	Born time.Time `json:"born"`
	// Ring is the fingerprint of the key ring, Keys are the IDs of the keys that records may be sealed with. Resealed are
	// those that Reseal found none of any more. Turn counts the nodes that began with a ring of several of them: the last one
	// to begin is the one that says so.
	Ring     string   `json:"ring"`
	Keys     []string `json:"keys,omitempty"`
	Resealed []string `json:"resealed,omitempty"`
	Turn     int64    `json:"turn,omitempty"`
}

// NotReady says why the store is not used, and what an operator can do. It wraps ErrUnavailable.
type NotReady struct {
	Problem, Remedy string
	// Fatal: the configuration is wrong, so a node must not start with it.
	Fatal bool
}

func (e *NotReady) Error() string { return e.Problem + "; " + e.Remedy }

// Unwrap makes a NotReady an ErrUnavailable.
func (e *NotReady) Unwrap() error { return ErrUnavailable }

const acceptRemedy = "if this store is meant to be new, say so: contactgate gate doctor --accept-empty-store --reason \"…\"; otherwise restore it from a backup"

// askAgain is how long a refusal is believed before the store is asked again.
const askAgain = time.Second

// Admit tells whether the store is the one that this installation works with (security.md, rule 15). Once it was,
// it is not asked again.
func (f *Flow) Admit(ctx context.Context) error {
	if f.ready.Load() {
		return nil
	}
	f.admitting.Lock()
	defer f.admitting.Unlock()
	if f.ready.Load() {
		return nil
	}
	if f.refused != nil && f.Now().Sub(f.asked) < askAgain && !f.Now().Before(f.asked) {
		return f.refused
	}
	asking, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := f.admit(asking, "")
	var no *NotReady
	switch {
	case err == nil:
		f.refused = nil
		f.ready.Store(true)
	case errors.As(err, &no):
		if f.refused == nil || *f.refused != *no {
			f.Log.Error("the account store is not used: "+no.Problem, "remedy", no.Remedy)
		}
		f.refused = no
	case errors.Is(ctx.Err(), context.Canceled):
		return notYet(err) // who asked has gone: it says nothing of the store to anybody else
	default:
		if f.refused == nil {
			f.Log.Error("the account store cannot be used yet", "error", err)
		}
		f.refused = notYet(err)
	}
	if f.refused != nil {
		f.asked = f.Now()
		return f.refused
	}
	return nil
}

// admitInTime is Admit for a request that has to read and to write after it: it leaves their time of what a request may wait
// in all.
func (f *Flow) admitInTime(ctx context.Context) error {
	if f.ready.Load() {
		return nil
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(ctx); err != nil {
		return err
	}
	if deadline, _ := ctx.Deadline(); time.Until(deadline) < 2*storePatience {
		return notYet(context.DeadlineExceeded)
	}
	return nil
}

// notYet says what can be done about an error of the store.
func notYet(err error) *NotReady {
	var unfit *store.Unfit
	switch {
	case errors.As(err, &unfit):
		return &NotReady{Problem: unfit.Problem, Remedy: unfit.Remedy}
	case errors.Is(err, store.ErrPart):
		return &NotReady{Problem: err.Error(), Remedy: acceptRemedy}
	}
	return &NotReady{Problem: err.Error(), Remedy: "the store is asked again every second"}
}

// AcceptEmptyStore takes the store as it is, on an operator's word.
func (f *Flow) AcceptEmptyStore(ctx context.Context, reason string) error {
	f.admitting.Lock()
	defer f.admitting.Unlock()
	if err := f.admit(ctx, reason); err != nil {
		return err
	}
	f.refused = nil
	f.ready.Store(true)
	return nil
}

// StoreName is what the store says of itself, for doctor.
func (f *Flow) StoreName(ctx context.Context) (StoreID, error) {
	id, err := f.storeID(ctx)
	if err != nil || id == nil {
		return StoreID{}, err
	}
	return *id, nil
}

func (f *Flow) admit(ctx context.Context, acceptReason string) (err error) {
	defer NoRandom(&err) // the workers ask, too: there a panic would end the process
	unlock, err := f.Registry.Lock(ctx)
	if err != nil {
		return fmt.Errorf("locking the name of the store: %w", err)
	}
	defer unlock()
	inStore, err := f.peekID(ctx)
	if err != nil {
		return err
	}
	remembered, err := f.rememberedID(ctx)
	if err != nil {
		return err
	}
	no, err := f.halfMoved(ctx, inStore)
	if err != nil {
		return err
	}
	if no == nil {
		no = f.compare(inStore, remembered)
	}
	if no != nil && (acceptReason == "" || no.Fatal) {
		return no
	}
	if a, ok := f.Store.(store.Adopter); ok {
		if err := a.Adopt(ctx, acceptReason != ""); err != nil {
			return err
		}
	}
	if acceptReason != "" {
		f.Audit.Info("store_accepted", "reason", acceptReason)
	}
	if inStore == nil {
		// Where the name alone is gone, a store would not let it begin anew (store.ErrGone).
		if err := f.Store.Delete(ctx, storeIDKey); err != nil {
			return err
		}
		inStore = &StoreID{ID: f.newID(), Born: f.now().UTC(), Ring: f.Keys.Fingerprint()}
	}
	if err := f.nameStore(ctx, inStore); err != nil {
		return err
	}
	text, err := json.Marshal(StoreID{ID: inStore.ID, Born: inStore.Born, Ring: inStore.Ring})
	if err != nil {
		return fmt.Errorf("encoding the name of the store: %w", err)
	}
	if remembered != nil && remembered.ID == inStore.ID {
		return nil
	}
	return f.Registry.Save(ctx, text)
}

// halfMoved finds a store into which records are being moved, or were until something went wrong. Only at the end it gets
// its name.
func (f *Flow) halfMoved(ctx context.Context, inStore *StoreID) (*NotReady, error) {
	if inStore != nil {
		return nil, nil
	}
	r, err := peek(ctx, f.Store, moveKey)
	if err != nil || r.Value == nil {
		return nil, err
	}
	return &NotReady{Problem: "records are being moved into this store, and not all are there", Remedy: "run the same contactgate gate migrate again, to its end"}, nil
}

func (f *Flow) compare(inStore, remembered *StoreID) *NotReady {
	if inStore != nil {
		if own := f.Keys.Fingerprint(); inStore.Ring != own {
			return &NotReady{
				Problem: fmt.Sprintf("the store was sealed with the key ring %s, this node has %s", inStore.Ring, own),
				Remedy:  "give this node the ring of that store (the option keys, or Caddy's storage), or another store",
				Fatal:   true,
			}
		}
		for _, id := range inStore.Keys {
			if !slices.Contains(f.Keys.IDs(), id) {
				return &NotReady{
					Problem: fmt.Sprintf("records in the store are still sealed with the key %s, which the ring of this node no longer has", id),
					Remedy:  "put that key back until everything is sealed with a newer one",
					Fatal:   true,
				}
			}
		}
	}
	switch {
	case remembered == nil:
		return nil
	case inStore == nil:
		return &NotReady{Problem: fmt.Sprintf("the store is empty, but this installation works with the store %s of %s", remembered.ID, remembered.Born.Format(time.DateOnly)), Remedy: acceptRemedy}
	case inStore.ID != remembered.ID:
		return &NotReady{Problem: fmt.Sprintf("this is the store %s of %s, but this installation works with the store %s of %s", inStore.ID, inStore.Born.Format(time.DateOnly), remembered.ID, remembered.Born.Format(time.DateOnly)), Remedy: acceptRemedy}
	}
	return nil
}

func (f *Flow) storeID(ctx context.Context) (*StoreID, error) {
	r, err := f.Store.Get(ctx, storeIDKey)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the store: %w", err)
	}
	return decodeID(r.Value)
}

// peekID is storeID of whichever store is there now: one that is not the one it was answers nothing else.
func (f *Flow) peekID(ctx context.Context) (*StoreID, error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	r, err := peek(ctx, f.Store, storeIDKey)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the store: %w", err)
	}
	return decodeID(r.Value)
}

func (f *Flow) rememberedID(ctx context.Context) (*StoreID, error) {
	text, err := f.Registry.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the remembered name of the store: %w", err)
	}
	return decodeID(text)
}

func decodeID(text []byte) (*StoreID, error) {
	if text == nil {
		return nil, nil
	}
	id := &StoreID{}
	if err := json.Unmarshal(text, id); err != nil {
		return nil, fmt.Errorf("decoding the name of the store: %w", err)
	}
	return id, nil
}

// nameStore writes the name into the store (nil: where it has one), with the newest key of the ring as one that records may be
// sealed with from now on. Older ones are there already, if they ever were the newest, until Reseal takes them out. They come
// back while a ring has them: until it began with this ring, the node may have sealed with them what others had sealed anew
// before.
func (f *Flow) nameStore(ctx context.Context, id *StoreID) error {
	return f.Store.Update(ctx, storeIDKey, func(old store.Record) (store.Record, error) {
		next, err := decodeID(old.Value)
		if err != nil {
			return store.Record{}, err
		}
		if next == nil {
			next = id
		}
		if next == nil {
			return store.Record{}, store.ErrKeep
		}
		changed, several := old.Value == nil, false
		for i, key := range f.Keys.IDs() {
			named := slices.Contains(next.Keys, key)
			if !named && (i == 0 || slices.Contains(next.Resealed, key)) {
				next.Keys = append(next.Keys, key)
				named, changed = true, true
			}
			several = several || named && i > 0
		}
		if several {
			next.Turn++
			changed = true
		}
		f.turn.Store(next.Turn)
		if !changed {
			return store.Record{}, store.ErrKeep
		}
		next.Resealed = slices.DeleteFunc(next.Resealed, func(k string) bool { return slices.Contains(next.Keys, k) })
		text, err := json.Marshal(next)
		if err != nil {
			return store.Record{}, fmt.Errorf("encoding the name of the store: %w", err)
		}
		return store.Record{Value: text}, nil
	})
}

// Reseal seals every record with the newest key, so that older ones may be taken out of the ring. It goes on where
// it was when it is started again.
func (f *Flow) Reseal(ctx context.Context) error {
	newest, older := f.Keys.IDs()[0], f.Keys.IDs()[1:]
	if len(older) == 0 {
		return nil // with others in use it would not have been admitted
	}
	// Another configuration, one that was rejected say, may have named older keys again since this one began.
	if err := f.nameStore(ctx, nil); err != nil {
		return err
	}
	if id, err := f.StoreName(ctx); err != nil || len(id.Keys) == 1 && id.Keys[0] == newest {
		return err
	}
	for _, prefix := range []string{accountPrefix, limitPrefix, noticePrefix} {
		if err := f.resealAll(ctx, prefix); err != nil {
			return err
		}
	}
	last := false
	err := f.Store.Update(ctx, storeIDKey, func(old store.Record) (store.Record, error) {
		id, err := decodeID(old.Value)
		if err != nil || id == nil {
			return store.Record{}, errors.Join(err, store.ErrKeep)
		}
		if last = id.Turn == f.turn.Load(); !last {
			return store.Record{}, store.ErrKeep // who began later may have sealed with an older key until then
		}
		// Not the keys that this ring does not know: another node may have begun with a newer one meanwhile.
		id.Keys = slices.DeleteFunc(id.Keys, func(k string) bool {
			done := slices.Contains(older, k)
			if done {
				id.Resealed = append(id.Resealed, k)
			}
			return done
		})
		text, err := json.Marshal(id)
		return store.Record{Value: text}, err
	})
	if err == nil && last {
		f.Log.Info("every record is sealed with the newest key; the others can be taken out of the ring once all nodes have it in front", "newest", newest)
	}
	return err
}

func (f *Flow) resealAll(ctx context.Context, prefix string) error {
	after := ""
	for {
		page, err := f.Store.Scan(ctx, prefix, after, 100)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, item := range page {
			if f.Keys.sealedWithNewest(item.Value) {
				continue
			}
			if err := f.resealOne(ctx, item.Key); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Key
	}
}

func (f *Flow) resealOne(ctx context.Context, key string) error {
	return f.Store.Update(ctx, key, func(old store.Record) (store.Record, error) {
		if old.Value == nil || f.Keys.sealedWithNewest(old.Value) {
			return store.Record{}, store.ErrKeep
		}
		plain, err := f.Keys.open(key, old.Value)
		if err != nil {
			return store.Record{}, err
		}
		old.Value, err = f.Keys.seal(key, plain, f.Rand)
		return old, err
	})
}
