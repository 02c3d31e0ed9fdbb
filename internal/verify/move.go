package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/contactgate/contactgate/internal/store"
)

// moveKey is in a store while records are being moved into it.
const moveKey = "m/move"

const (
	movePage = 500
	// moveAtOnce is how many records are written at the same moment: a file waits for the disk once for all of them.
	moveAtOnce = 32
	// movePatience is for one page. Nobody waits for it in front of a browser.
	movePatience = time.Minute
)

// Move copies every record of one store into another, which must be empty or hold what an earlier try has left there, and
// then compares them byte for byte. The records stay sealed; the ring is only asked whether it is theirs. The name of the
// store goes along, last: until it is there, no node takes the new store for a whole one.
type Move struct {
	From, To store.Store
	Keys     *Keyring
	// Say is told how far it is, now and then. total is 0 while it is not known.
	Say func(step MoveStep, done, total int)
	// resumed: the store was not empty, but held what an earlier try had left.
	resumed bool
}

// MoveStep is what is being done.
type MoveStep string

const (
	Counting  MoveStep = "counting"
	Copying   MoveStep = "copying"
	Comparing MoveStep = "comparing"
)

// Moved is what was done.
type Moved struct {
	Records int
	Store   StoreID
	// Resumed: an earlier try was gone on with.
	Resumed bool
}

// ErrNotMoved wraps reasons that lie in the stores, not in a failure: somebody has to decide something.
var ErrNotMoved = errors.New("not moved")

func notMoved(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotMoved, fmt.Sprintf(format, args...))
}

// Run moves.
func (m *Move) Run(ctx context.Context) (Moved, error) {
	name, id, err := m.source(ctx)
	if err != nil {
		return Moved{}, err
	}
	if err := m.claim(ctx, id); err != nil {
		return Moved{}, err
	}
	total, err := m.each(ctx, Counting, 0, func([]store.Item) error { return nil })
	if err != nil {
		return Moved{}, err
	}
	if _, err := m.each(ctx, Copying, total, func(page []store.Item) error { return m.write(ctx, page) }); err != nil {
		return Moved{}, err
	}
	records, err := m.compare(ctx, total)
	if err != nil {
		return Moved{}, err
	}
	if err := m.finish(ctx, name); err != nil {
		return Moved{}, err
	}
	return Moved{Records: records, Store: *id, Resumed: m.resumed}, nil
}

// source reads the name of the store to move from, and looks whether its records can be opened where they go.
func (m *Move) source(ctx context.Context) (store.Record, *StoreID, error) {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	r, err := peek(ctx, m.From, storeIDKey)
	if err != nil {
		return r, nil, fmt.Errorf("reading the store to move from: %w", err)
	}
	id, err := decodeID(r.Value)
	switch {
	case err != nil:
		return r, nil, err
	case id == nil:
		return r, nil, notMoved("the store to move from holds no accounts of contactgate; look at what --from says of it")
	case id.Ring != m.Keys.Fingerprint():
		return r, nil, notMoved("the records are sealed with the key ring %s, and the configuration to move to has the ring %s; give it the ring of the old one (the option keys, or %s in Caddy's storage)", id.Ring, m.Keys.Fingerprint(), "contactgate/keys")
	}
	for _, key := range id.Keys {
		if !slices.Contains(m.Keys.IDs(), key) {
			return r, nil, notMoved("some records are sealed with the key %s, which the ring to move to does not have; put it there", key)
		}
	}
	if used, ok := m.From.(interface {
		InUse(context.Context) (int, error)
	}); ok {
		n, err := used.InUse(ctx)
		if err != nil {
			return r, nil, fmt.Errorf("looking who uses the store to move from: %w", err)
		}
		if n > 0 {
			return r, nil, notMoved("%d running gates use the store to move from; stop them, or what changes meanwhile is lost", n)
		}
	}
	return r, id, nil
}

// peek is Get of whichever store it is now.
func peek(ctx context.Context, s store.Store, key string) (store.Record, error) {
	if a, ok := s.(store.Adopter); ok {
		return a.Peek(ctx, key)
	}
	return s.Get(ctx, key)
}

// claim begins in an empty store, or goes on where an earlier try has left one.
func (m *Move) claim(ctx context.Context, id *StoreID) error {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	r, err := m.To.Get(ctx, moveKey)
	if err != nil {
		return fmt.Errorf("reading the store to move to: %w", err)
	}
	left, err := decodeID(r.Value)
	if err != nil {
		return err
	}
	switch {
	case left != nil && left.ID == id.ID:
		m.resumed = true
		return nil
	case left != nil:
		return notMoved("the store to move to holds a part of another store (%s); empty it", left.ID)
	}
	there, err := m.To.Scan(ctx, "", "", 1)
	if err != nil {
		return fmt.Errorf("reading the store to move to: %w", err)
	}
	if len(there) > 0 {
		return notMoved("the store to move to is not empty; name an empty one, nothing in it was changed")
	}
	text, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("encoding the name of the store: %w", err)
	}
	if err := put(ctx, m.To, store.Item{Key: moveKey, Record: store.Record{Value: text}}); err != nil {
		return fmt.Errorf("writing into the store to move to: %w", err)
	}
	return nil
}

func put(ctx context.Context, s store.Store, item store.Item) error {
	return s.Update(ctx, item.Key, func(store.Record) (store.Record, error) { return item.Record, nil })
}

// each walks through the records of the old store.
func (m *Move) each(ctx context.Context, step MoveStep, total int, do func([]store.Item) error) (int, error) {
	l := listing{s: m.From}
	for done := 0; ; {
		page, err := l.page(ctx)
		if err == nil {
			err = do(page)
		}
		if err != nil {
			return done, fmt.Errorf("%s: %w", step, err)
		}
		if len(page) == 0 {
			return done, nil
		}
		done += len(page)
		m.Say(step, done, total)
	}
}

// listing goes through the records of a store in their order, but for the two that say what a store is.
type listing struct {
	s     store.Store
	after string
	ahead []store.Item
	ended bool
}

// page gives some more, none at the end.
func (l *listing) page(ctx context.Context) ([]store.Item, error) {
	for !l.ended {
		page, err := scan(ctx, l.s, l.after)
		if err != nil {
			return nil, err
		}
		if l.ended = len(page) == 0; l.ended {
			break
		}
		l.after = page[len(page)-1].Key
		page = slices.DeleteFunc(page, func(i store.Item) bool { return i.Key == storeIDKey || i.Key == moveKey })
		if len(page) > 0 {
			return page, nil
		}
	}
	return nil, nil
}

// next is the record that comes next; nil at the end.
func (l *listing) next(ctx context.Context) (*store.Item, error) {
	if len(l.ahead) == 0 {
		var err error
		if l.ahead, err = l.page(ctx); err != nil || len(l.ahead) == 0 {
			return nil, err
		}
	}
	return &l.ahead[0], nil
}

func (l *listing) step() { l.ahead = l.ahead[1:] }

func scan(ctx context.Context, s store.Store, after string) ([]store.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	return s.Scan(ctx, "", after, movePage)
}

// write puts a page of records into the new store. Those that an earlier try wrote are as they are.
func (m *Move) write(ctx context.Context, page []store.Item) error {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, moveAtOnce)
	for i := range moveAtOnce {
		all.Go(func() {
			for n := i; n < len(page) && errs[i] == nil; n += moveAtOnce {
				errs[i] = put(ctx, m.To, page[n])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// compare looks at every record of both stores, side by side. What an earlier try left and the old store no longer has is
// taken out.
func (m *Move) compare(ctx context.Context, total int) (same int, err error) {
	old, is := listing{s: m.From}, listing{s: m.To}
	for {
		a, errA := old.next(ctx)
		b, errB := is.next(ctx)
		if err := errors.Join(errA, errB); err != nil {
			return same, fmt.Errorf("%s: %w", Comparing, err)
		}
		switch {
		case a == nil && b == nil:
			m.Say(Comparing, same, total)
			return same, nil
		case a != nil && b != nil && a.Key == b.Key:
			if !sameRecord(a.Record, b.Record) {
				err = m.compareOne(ctx, a.Key)
			}
			old.step()
			is.step()
			same++
		case b == nil || a != nil && a.Key < b.Key:
			err = m.compareOne(ctx, a.Key) // it may have expired just now
			old.step()
		default:
			err = m.mayStay(ctx, b.Key)
			is.step()
		}
		if err != nil {
			return same, err
		}
		if same%movePage == 0 {
			m.Say(Comparing, same, total)
		}
	}
}

func (m *Move) compareOne(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	old, err := m.From.Get(ctx, key)
	if err != nil {
		return err
	}
	is, err := m.To.Get(ctx, key)
	if err == nil && !sameRecord(old, is) {
		err = notMoved("the record %s is another one in the new store; is something else writing into one of them? Empty the new one and begin again", key)
	}
	return err
}

func (m *Move) mayStay(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	old, err := m.From.Get(ctx, key)
	if err != nil || old.Value != nil {
		return err
	}
	if !m.resumed {
		is, err := m.To.Get(ctx, key)
		if err == nil && is.Value != nil {
			err = notMoved("the new store has a record %s that the old one has not; is something else writing into it? Empty it and begin again", key)
		}
		return err
	}
	return m.To.Delete(ctx, key)
}

func sameRecord(a, b store.Record) bool {
	return (a.Value == nil) == (b.Value == nil) && bytes.Equal(a.Value, b.Value) && a.Expires.Equal(b.Expires) && a.Due.Equal(b.Due)
}

// finish gives the new store its name, and it is whole.
func (m *Move) finish(ctx context.Context, name store.Record) error {
	ctx, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	if err := put(ctx, m.To, store.Item{Key: storeIDKey, Record: name}); err != nil {
		return fmt.Errorf("naming the new store: %w", err)
	}
	if err := m.compareOne(ctx, storeIDKey); err != nil {
		return err
	}
	if err := m.To.Delete(ctx, moveKey); err != nil {
		return fmt.Errorf("ending the move: %w", err)
	}
	return nil
}
