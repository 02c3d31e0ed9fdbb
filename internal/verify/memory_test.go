package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/storetest"
)

// fast is a store without a disk, for tests that take a very long walk. What it keeps outlives Close.
type fast struct {
	now  func() time.Time
	kept *kept
	shut atomic.Bool
}

type kept struct {
	turn     chan struct{} // one at a time; waiting ends with a context
	records  map[string]store.Record
	watchers map[int]func(string)
	next     int
}

func newKept() *kept {
	return &kept{turn: make(chan struct{}, 1), records: map[string]store.Record{}, watchers: map[int]func(string){}}
}

func (s *fast) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case s.kept.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave = func() { <-s.kept.turn }
	if s.shut.Load() {
		leave()
		return nil, store.ErrClosed
	}
	return leave, nil
}

func (s *fast) read(key string) store.Record {
	r := s.kept.records[key]
	if !r.Expires.IsZero() && !s.now().Before(r.Expires) {
		return store.Record{}
	}
	r.Value = bytes.Clone(r.Value)
	return r
}

func (s *fast) Get(ctx context.Context, key string) (store.Record, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Record{}, err
	}
	defer leave()
	return s.read(key), nil
}

func (s *fast) Update(ctx context.Context, key string, fn func(store.Record) (store.Record, error)) (err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	defer func() {
		if stumbled := recover(); stumbled != nil {
			err = fmt.Errorf("fn: %v", stumbled)
		}
	}()
	next, err := fn(s.read(key))
	if errors.Is(err, store.ErrKeep) {
		return nil
	}
	if err != nil {
		return err
	}
	if old := s.read(key); bytes.Equal(old.Value, next.Value) && (old.Value == nil) == (next.Value == nil) &&
		old.Due.Equal(next.Due) && old.Expires.Equal(next.Expires) {
		return nil // no change
	}
	next.Value = bytes.Clone(next.Value)
	if s.kept.records[key] = next; next.Value == nil {
		delete(s.kept.records, key)
	}
	for _, tell := range s.kept.watchers {
		tell(key)
	}
	return nil
}

func (s *fast) Delete(ctx context.Context, key string) error {
	return s.Update(ctx, key, func(store.Record) (store.Record, error) { return store.Record{}, nil })
}

func (s *fast) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Item, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var found []store.Item
	for key := range s.kept.records {
		if r := s.read(key); strings.HasPrefix(key, prefix) && key > after && r.Value != nil {
			found = append(found, store.Item{Key: key, Record: r})
		}
	}
	slices.SortFunc(found, func(a, b store.Item) int { return strings.Compare(a.Key, b.Key) })
	return found[:min(len(found), limit)], nil
}

func (s *fast) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	items, err := s.Scan(ctx, "", "", 1<<30)
	items = slices.DeleteFunc(items, func(i store.Item) bool { return i.Due.IsZero() || i.Due.After(now) })
	slices.SortStableFunc(items, func(a, b store.Item) int { return a.Due.Compare(b.Due) })
	var keys []string
	for _, i := range items[:min(len(items), limit)] {
		keys = append(keys, i.Key)
	}
	return keys, err
}

func (s *fast) Watch(fn func(string)) func() {
	s.kept.turn <- struct{}{}
	defer func() { <-s.kept.turn }()
	n := s.kept.next
	s.kept.next++
	s.kept.watchers[n] = fn
	return func() {
		s.kept.turn <- struct{}{}
		delete(s.kept.watchers, n)
		<-s.kept.turn
	}
}

func (s *fast) Close() error { s.shut.Store(true); return nil }

// inMemory makes a house keep its records in memory.
func inMemory(h *house) {
	k := newKept()
	h.kind = storeKind{name: "memory", open: func(_ testing.TB, _ string, now func() time.Time) store.Store { return &fast{now: now, kept: k} }}
}

// What stands in for a store has to keep the promises of one.
func TestTheFastStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, now func() time.Time) (store.Store, func() store.Store) {
		k := newKept()
		return &fast{now: now, kept: k}, func() store.Store { return &fast{now: now, kept: k} }
	})
}
