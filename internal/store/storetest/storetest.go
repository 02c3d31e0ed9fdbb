// Package storetest is what every store.Store has to fulfil, as tests.
package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"pgregory.net/rapid"
)

// Open makes an empty store whose clock is now. reopen ends it and opens the same one again, with what is in it.
type Open func(t *testing.T, now func() time.Time) (s store.Store, reopen func() store.Store)

// Run runs all of the contract.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"UnknownKeyIsTheZeroRecord", unknownKeyIsTheZeroRecord},
		{"RecordComesBackAsWritten", recordComesBackAsWritten},
		{"EmptyValueIsARecord", emptyValueIsARecord},
		{"NoUpdateIsLost", noUpdateIsLost},
		{"OneWinnerOf32", oneWinnerOf32},
		{"ErrorWritesNothing", errorWritesNothing},
		{"ErrorsReachTheirOwnCallers", errorsReachTheirOwnCallers},
		{"ErrKeepKeepsTheRecord", errKeepKeepsTheRecord},
		{"NilValueDeletes", nilValueDeletes},
		{"PanicIsAnErrorForItsCallerOnly", panicIsAnErrorForItsCallerOnly},
		{"WritingIntoTheOldValueIsNoTrap", writingIntoTheOldValueIsNoTrap},
		{"ValuesAreCopies", valuesAreCopies},
		{"ExpiredRecordIsGone", expiredRecordIsGone},
		{"NewRecordAfterAnExpiredOne", newRecordAfterAnExpiredOne},
		{"DueFromItsMoment", dueFromItsMoment},
		{"DueMovesAndClears", dueMovesAndClears},
		{"DueSurvivesReopening", dueSurvivesReopening},
		{"ScanListsInOrder", scanListsInOrder},
		{"ScanPages", scanPages},
		{"WatchHearsOfChangesOnly", watchHearsOfChangesOnly},
		{"EndedContextDoesNothing", endedContextDoesNothing},
		{"ContextEndsTheWaitForAnotherUpdate", contextEndsTheWait},
		{"FunctionIsOverWhenUpdateReturns", functionIsOverWhenUpdateReturns},
		{"ReopeningKeepsEverything", reopeningKeepsEverything},
		{"ClosedStoreSaysSo", closedStoreSaysSo},
		{"BehavesLikeAMap", behavesLikeAMap},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// clock stands still until a test moves it.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.set(start)
	return c
}

// start is a whole second: a store may keep milliseconds only.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (c *clock) Now() time.Time  { return time.UnixMilli(c.now.Load()).UTC() }
func (c *clock) set(t time.Time) { c.now.Store(t.UnixMilli()) }

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func value(s string) store.Record { return store.Record{Value: []byte(s)} }

func set(r store.Record) func(store.Record) (store.Record, error) {
	return func(store.Record) (store.Record, error) { return r, nil }
}

func put(t tester, s store.Store, key string, r store.Record) {
	t.Helper()
	if err := s.Update(context.Background(), key, set(r)); err != nil {
		t.Fatalf("Update(%q): %v", key, err)
	}
}

func get(t tester, s store.Store, key string) store.Record {
	t.Helper()
	r, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return r
}

func same(a, b store.Record) bool {
	return (a.Value == nil) == (b.Value == nil) && string(a.Value) == string(b.Value) &&
		a.Expires.Equal(b.Expires) && a.Due.Equal(b.Due)
}

func want(t tester, s store.Store, key string, r store.Record) {
	t.Helper()
	if got := get(t, s, key); !same(got, r) {
		t.Fatalf("%q is %+v, want %+v", key, got, r)
	}
}

func due(t tester, s store.Store, now time.Time, limit int) []string {
	t.Helper()
	keys, err := s.Due(context.Background(), now, limit)
	if err != nil {
		t.Fatalf("Due: %v", err)
	}
	return keys
}

func wantDue(t tester, s store.Store, now time.Time, keys ...string) {
	t.Helper()
	if got := due(t, s, now, 100); !slices.Equal(got, keys) {
		t.Fatalf("due at %v are %q, want %q", now, got, keys)
	}
}

func unknownKeyIsTheZeroRecord(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	want(t, s, "nobody", store.Record{})
	var old store.Record
	if err := s.Update(context.Background(), "nobody", func(r store.Record) (store.Record, error) {
		old = r
		return r, nil
	}); err != nil {
		t.Fatal(err)
	}
	if !same(old, store.Record{}) {
		t.Errorf("Update saw %+v", old)
	}
	if err := s.Delete(context.Background(), "nobody"); err != nil {
		t.Errorf("Delete of what is not there: %v", err)
	}
}

func recordComesBackAsWritten(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	key := "realm/Jürgen 💌\x00\xff"
	r := store.Record{
		Value:   []byte("\x00\xff bytes"),
		Expires: start.Add(time.Hour + time.Millisecond),
		Due:     start.Add(-time.Minute),
	}
	put(t, s, key, r)
	want(t, s, key, r)
	never := store.Record{Value: []byte("x"), Expires: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
	put(t, s, key, never)
	want(t, s, key, never)
}

func emptyValueIsARecord(t *testing.T, open Open) {
	s, reopen := open(t, newClock().Now)
	put(t, s, "k", store.Record{Value: []byte{}})
	s = reopen()
	if r := get(t, s, "k"); r.Value == nil {
		t.Error("an empty value was taken for none")
	}
	put(t, s, "k", get(t, s, "k"))
	if r := get(t, s, "k"); r.Value == nil {
		t.Error("writing it again deleted it")
	}
}

func noUpdateIsLost(t *testing.T, open Open) {
	s, reopen := open(t, newClock().Now)
	const workers, rounds = 32, 20
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range rounds {
				if err := s.Update(context.Background(), "counter", increment); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for range 2 { // as it is, and read from the disk again
		if n := binary.BigEndian.Uint64(get(t, s, "counter").Value); n != workers*rounds {
			t.Errorf("%d of %d increments are left", n, workers*rounds)
		}
		s = reopen()
	}
}

func increment(old store.Record) (store.Record, error) {
	var n uint64
	if old.Value != nil {
		n = binary.BigEndian.Uint64(old.Value)
	}
	return store.Record{Value: binary.BigEndian.AppendUint64(nil, n+1)}, nil
}

func oneWinnerOf32(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	taken := errors.New("taken")
	for round := range 10 {
		var all sync.WaitGroup
		var winners, losers atomic.Int32
		key := fmt.Sprint("code", round)
		for i := range 32 {
			all.Go(func() {
				err := s.Update(context.Background(), key, func(old store.Record) (store.Record, error) {
					if old.Value != nil {
						return store.Record{}, taken
					}
					return value(fmt.Sprint(i)), nil
				})
				switch {
				case err == nil:
					winners.Add(1)
				case errors.Is(err, taken):
					losers.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if winners.Load() != 1 || losers.Load() != 31 {
			t.Fatalf("%d won, %d lost", winners.Load(), losers.Load())
		}
	}
}

func errorWritesNothing(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	put(t, s, "k", value("before"))
	refused := errors.New("refused")
	for _, key := range []string{"k", "new"} {
		err := s.Update(context.Background(), key, func(store.Record) (store.Record, error) {
			return store.Record{Value: []byte("after"), Due: start}, refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("Update returned %v", err)
		}
	}
	want(t, s, "k", value("before"))
	want(t, s, "new", store.Record{})
	wantDue(t, s, start)
}

func errorsReachTheirOwnCallers(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			mine := fmt.Errorf("error of %d", i)
			err := s.Update(context.Background(), fmt.Sprint("k", i), func(store.Record) (store.Record, error) {
				if i%2 == 0 {
					return store.Record{}, mine
				}
				return value("x"), nil
			})
			if i%2 == 0 && !errors.Is(err, mine) || i%2 == 1 && err != nil {
				t.Errorf("update %d returned %v", i, err)
			}
		})
	}
	all.Wait()
	for i := range 64 {
		if r := get(t, s, fmt.Sprint("k", i)); (r.Value != nil) != (i%2 == 1) {
			t.Errorf("k%d is %+v", i, r)
		}
	}
}

func errKeepKeepsTheRecord(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	put(t, s, "k", store.Record{Value: []byte("v"), Due: start})
	err := s.Update(context.Background(), "k", func(store.Record) (store.Record, error) {
		return store.Record{}, fmt.Errorf("nothing to do: %w", store.ErrKeep)
	})
	if err != nil {
		t.Errorf("Update returned %v", err)
	}
	want(t, s, "k", store.Record{Value: []byte("v"), Due: start})
}

func nilValueDeletes(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	full := store.Record{Value: []byte("v"), Due: start, Expires: start.Add(time.Hour)}
	put(t, s, "update", full)
	put(t, s, "delete", full)
	put(t, s, "update", store.Record{Due: start})
	if err := s.Delete(context.Background(), "delete"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "update", store.Record{})
	want(t, s, "delete", store.Record{})
	wantDue(t, s, start)
	if items, err := s.Scan(context.Background(), "", "", 10); err != nil || len(items) != 0 {
		t.Errorf("Scan: %v, %v", items, err)
	}
}

func panicIsAnErrorForItsCallerOnly(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			err := s.Update(context.Background(), fmt.Sprint("k", i), func(store.Record) (store.Record, error) {
				if i == 7 {
					panic("a mistake")
				}
				return value("x"), nil
			})
			if (err != nil) != (i == 7) {
				t.Errorf("update %d returned %v", i, err)
			}
		})
	}
	all.Wait()
	want(t, s, "k7", store.Record{})
	put(t, s, "k7", value("y"))
}

func writingIntoTheOldValueIsNoTrap(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	put(t, s, "k", value("a"))
	if err := s.Update(context.Background(), "k", func(old store.Record) (store.Record, error) {
		old.Value[0]++
		return old, nil
	}); err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", value("b"))
	_ = s.Update(context.Background(), "k", func(old store.Record) (store.Record, error) {
		old.Value[0] = 'z'
		return store.Record{}, errors.New("changed its mind")
	})
	want(t, s, "k", value("b"))
}

func valuesAreCopies(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	rest := strings.Repeat("e", 5000) // long enough that no store keeps it in some small buffer
	mine := []byte("valu" + rest)
	put(t, s, "k", store.Record{Value: mine})
	mine[0] = 'X'
	got := get(t, s, "k")
	got.Value[1] = 'X'
	items, err := s.Scan(context.Background(), "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	items[0].Value[2] = 'X'
	if r := get(t, s, "k"); string(r.Value) != "valu"+rest {
		t.Errorf("somebody else's slice is in the store: %.10q", r.Value)
	}
	put(t, s, "k", value("other"))
	if string(got.Value) != "vXlu"+rest {
		t.Errorf("a later write reached an earlier answer: %.10q", got.Value)
	}
}

func expiredRecordIsGone(t *testing.T, open Open) {
	c := newClock()
	s, reopen := open(t, c.Now)
	end := start.Add(time.Minute)
	put(t, s, "k", store.Record{Value: []byte("v"), Expires: end, Due: start})

	c.set(end.Add(-time.Millisecond))
	if get(t, s, "k").Value == nil {
		t.Error("gone a millisecond early")
	}
	wantDue(t, s, end, "k")

	c.set(end)
	for range 2 {
		want(t, s, "k", store.Record{})
		if items, err := s.Scan(context.Background(), "", "", 10); err != nil || len(items) != 0 {
			t.Errorf("Scan: %v, %v", items, err)
		}
		s = reopen()
	}
}

func newRecordAfterAnExpiredOne(t *testing.T, open Open) {
	c := newClock()
	s, _ := open(t, c.Now)
	end := start.Add(time.Minute)
	put(t, s, "k", store.Record{Value: []byte("old"), Expires: end, Due: start})
	c.set(end)
	err := s.Update(context.Background(), "k", func(old store.Record) (store.Record, error) {
		if !same(old, store.Record{}) {
			t.Errorf("Update saw the expired %+v", old)
		}
		return value("new"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, s, "k", value("new"))
	wantDue(t, s, end.Add(time.Hour)) // the old one's Due went with it
	c.set(end.Add(48 * time.Hour))
	want(t, s, "k", value("new")) // and so did its Expires
}

func dueFromItsMoment(t *testing.T, open Open) {
	c := newClock()
	s, _ := open(t, c.Now)
	at := start.Add(time.Minute)
	put(t, s, "b", store.Record{Value: []byte("v"), Due: at})
	put(t, s, "a", store.Record{Value: []byte("v"), Due: at.Add(time.Second)})
	put(t, s, "never", value("v"))
	wantDue(t, s, at.Add(-time.Millisecond))
	wantDue(t, s, at, "b")
	wantDue(t, s, at.Add(time.Second), "b", "a") // the longest waiting first
	wantDue(t, s, at.Add(time.Second), "b", "a") // until somebody moves it
	if got := due(t, s, at.Add(time.Hour), 1); !slices.Equal(got, []string{"b"}) {
		t.Errorf("with a limit of 1: %q", got)
	}
	if got := due(t, s, at.Add(time.Hour), 0); len(got) != 0 {
		t.Errorf("with a limit of 0: %q", got)
	}
}

func dueMovesAndClears(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	r := store.Record{Value: []byte("v"), Due: start}
	put(t, s, "k", r)
	r.Due = start.Add(time.Minute) // the value stays as it is: the move alone must count as a change
	put(t, s, "k", r)
	wantDue(t, s, start)
	wantDue(t, s, start.Add(time.Minute), "k")
	r.Due = start.Add(-time.Minute)
	put(t, s, "k", r)
	wantDue(t, s, start, "k")
	r.Due = time.Time{}
	put(t, s, "k", r)
	wantDue(t, s, start.Add(time.Hour))
}

func dueSurvivesReopening(t *testing.T, open Open) {
	s, reopen := open(t, newClock().Now)
	put(t, s, "k", store.Record{Value: []byte("v"), Due: start})
	wantDue(t, reopen(), start, "k")
}

func scanListsInOrder(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	for _, key := range []string{"a/2", "b/1", "a/10", "a", "a/1", "a/\xff", "a0"} {
		put(t, s, key, value("of "+key))
	}
	for prefix, keys := range map[string][]string{
		"":    {"a", "a/1", "a/10", "a/2", "a/\xff", "a0", "b/1"},
		"a/":  {"a/1", "a/10", "a/2", "a/\xff"},
		"a/1": {"a/1", "a/10"},
		"c":   nil,
	} {
		items, err := s.Scan(context.Background(), prefix, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, item := range items {
			got = append(got, item.Key)
			if string(item.Value) != "of "+item.Key {
				t.Errorf("%q has the value %q", item.Key, item.Value)
			}
		}
		if !slices.Equal(got, keys) {
			t.Errorf("Scan(%q) lists %q, want %q", prefix, got, keys)
		}
	}
}

func scanPages(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	var keys []string
	for i := range 25 {
		keys = append(keys, fmt.Sprintf("k%02d", i))
		put(t, s, keys[i], value("v"))
	}
	put(t, s, "j", value("before"))
	put(t, s, "l", value("behind"))
	var got []string
	for after := ""; ; {
		items, err := s.Scan(context.Background(), "k", after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(items) > 10 {
			t.Fatalf("%d items with a limit of 10", len(items))
		}
		if len(items) == 0 {
			break
		}
		for _, item := range items {
			got = append(got, item.Key)
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, keys) {
		t.Errorf("pages list %q", got)
	}
	for after, first := range map[string]string{"a": "k00", "k03x": "k04", "k24": "", "z": ""} {
		items, err := s.Scan(context.Background(), "k", after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" && len(items) != 0 || first != "" && (len(items) != 1 || items[0].Key != first) {
			t.Errorf("after %q come %v, want %q", after, items, first)
		}
	}
	if items, err := s.Scan(context.Background(), "", "", 0); err != nil || len(items) != 0 {
		t.Errorf("with a limit of 0: %v, %v", items, err)
	}
}

// watchHearsOfChangesOnly allows for a store that hears of its changes a moment later, from a server.
func watchHearsOfChangesOnly(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	heard := make(chan string, 100)
	stop := s.Watch(func(key string) {
		if key != "" { // "any may have changed": it may say so at any time
			heard <- key
		}
	})
	defer stop()
	hears := func(want string) {
		t.Helper()
		select {
		case key := <-heard:
			if key != want {
				t.Fatalf("heard of %q, want %q", key, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("did not hear of %q", want)
		}
	}
	put(t, s, "a", value("1"))
	hears("a")
	put(t, s, "a", value("1")) // no change
	_ = s.Update(context.Background(), "b", func(store.Record) (store.Record, error) {
		return value("x"), errors.New("refused")
	})
	_ = s.Update(context.Background(), "b", func(store.Record) (store.Record, error) { return value("x"), store.ErrKeep })
	_ = s.Delete(context.Background(), "b") // was not there
	put(t, s, "a", store.Record{Value: []byte("1"), Due: start})
	hears("a")
	if err := s.Delete(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	hears("a")

	stop()
	again := make(chan string, 100)
	defer s.Watch(func(key string) { again <- key })()
	put(t, s, "c", value("1"))
	key := <-again
	for key == "" { // anything may have changed: it has just begun to listen
		key = <-again
	}
	if key != "c" {
		t.Errorf("the second watcher heard of %q", key)
	}
	if len(heard) != 0 {
		t.Errorf("heard of %q", <-heard)
	}
}

func endedContextDoesNothing(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	put(t, s, "k", value("v"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, getErr := s.Get(ctx, "k")
	_, scanErr := s.Scan(ctx, "", "", 1)
	_, dueErr := s.Due(ctx, start, 1)
	for call, err := range map[string]error{
		"Get": getErr, "Scan": scanErr, "Due": dueErr,
		"Update": s.Update(ctx, "k", func(store.Record) (store.Record, error) {
			t.Error("fn ran")
			return value("w"), nil
		}),
		"Delete": s.Delete(ctx, "k"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", call, err)
		}
	}
	want(t, s, "k", value("v"))
}

func contextEndsTheWait(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	running, goOn := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		var once sync.Once
		_ = s.Update(context.Background(), "k", func(store.Record) (store.Record, error) {
			once.Do(func() { close(running) })
			<-goOn
			return value("first"), nil
		})
	})
	<-running
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error, 1)
	go func() {
		waiting <- s.Update(ctx, "k", func(old store.Record) (store.Record, error) {
			if ctx.Err() != nil {
				t.Error("fn ran after its context ended")
			}
			return value(string(old.Value) + " and second"), ctx.Err()
		})
	}()
	cancel()
	select {
	case err := <-waiting:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Update: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Update did not end with its context")
	}
	close(goOn)
	all.Wait()
	put(t, s, "other", value("v")) // what waited has had its turn by now
	want(t, s, "k", value("first"))
}

// functionIsOverWhenUpdateReturns: callers look at what fn captured, whatever Update returned.
func functionIsOverWhenUpdateReturns(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	ctx, cancel := context.WithCancel(context.Background())
	over := false
	_ = s.Update(ctx, "k", func(store.Record) (store.Record, error) {
		cancel()
		time.Sleep(10 * time.Millisecond) // every chance for Update to return too early
		over = true
		return value("v"), nil
	})
	if !over {
		t.Error("fn was still running")
	}
}

func reopeningKeepsEverything(t *testing.T, open Open) {
	s, reopen := open(t, newClock().Now)
	records := map[string]store.Record{}
	for i := range 50 {
		key := fmt.Sprintf("k%d", i)
		records[key] = store.Record{
			Value:   []byte(strings.Repeat(key, i*20)),
			Expires: start.Add(time.Duration(i+1) * time.Hour),
			Due:     start.Add(time.Duration(i) * time.Second),
		}
		put(t, s, key, records[key])
	}
	s = reopen()
	for key, r := range records {
		want(t, s, key, r)
	}
	if got := due(t, s, start.Add(time.Hour), 100); len(got) != len(records) {
		t.Errorf("%d are due", len(got))
	}
}

func closedStoreSaysSo(t *testing.T, open Open) {
	s, _ := open(t, newClock().Now)
	put(t, s, "k", value("v"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := s.Get(context.Background(), "k"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if err := s.Delete(context.Background(), "k"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Delete: %v", err)
	}
}

// behavesLikeAMap does at random what all the others do on purpose, and compares with a plain map.
func behavesLikeAMap(t *testing.T, open Open) {
	rapid.Check(t, func(r *rapid.T) {
		c := newClock()
		s, reopen := open(t, c.Now)
		defer func() { _ = s.Close() }()
		m := model{}
		key := rapid.SampledFrom([]string{"a", "a/1", "a/2", "b", "b/1"})
		soon := rapid.Custom(func(r *rapid.T) time.Time {
			if rapid.Bool().Draw(r, "none") {
				return time.Time{}
			}
			return c.Now().Add(time.Duration(rapid.IntRange(-2, 10).Draw(r, "seconds")) * time.Second)
		})
		r.Repeat(map[string]func(*rapid.T){
			"put": func(r *rapid.T) {
				k := key.Draw(r, "key")
				next := store.Record{Expires: soon.Draw(r, "expires"), Due: soon.Draw(r, "due")}
				next.Value = rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(r, "value")
				put(r, s, k, next)
				m[k] = next
			},
			"touch": func(r *rapid.T) {
				k, at := key.Draw(r, "key"), soon.Draw(r, "due")
				err := s.Update(context.Background(), k, func(old store.Record) (store.Record, error) {
					if old.Value == nil {
						return old, store.ErrKeep
					}
					old.Due = at
					return old, nil
				})
				if err != nil {
					r.Fatal(err)
				}
				if old := m.get(k, c.Now()); old.Value != nil {
					old.Due = at
					m[k] = old
				}
			},
			"refuse": func(r *rapid.T) {
				refused := errors.New("refused")
				err := s.Update(context.Background(), key.Draw(r, "key"), func(store.Record) (store.Record, error) {
					return value("never written"), refused
				})
				if !errors.Is(err, refused) {
					r.Fatal(err)
				}
			},
			"delete": func(r *rapid.T) {
				k := key.Draw(r, "key")
				if err := s.Delete(context.Background(), k); err != nil {
					r.Fatal(err)
				}
				delete(m, k)
			},
			"wait":   func(*rapid.T) { c.set(c.Now().Add(time.Second)) },
			"reopen": func(*rapid.T) { s = reopen() },
			"": func(r *rapid.T) {
				m.compare(r, s, c.Now())
			},
		})
	})
}

// model is the simplest store that there is.
type model map[string]store.Record

func (m model) get(key string, now time.Time) store.Record {
	r := m[key]
	if !r.Expires.IsZero() && !now.Before(r.Expires) {
		return store.Record{}
	}
	return r
}

func (m model) compare(r *rapid.T, s store.Store, now time.Time) {
	var keys []string
	needed := map[string]bool{}
	for k := range m {
		want(r, s, k, m.get(k, now))
		if m.get(k, now).Value == nil {
			continue
		}
		keys = append(keys, k)
		if at := m[k].Due; !at.IsZero() && !at.After(now) {
			needed[k] = true
		}
	}
	slices.Sort(keys)
	items, err := s.Scan(context.Background(), "", "", 100)
	if err != nil {
		r.Fatal(err)
	}
	var got []string
	for _, item := range items {
		got = append(got, item.Key)
	}
	if !slices.Equal(got, keys) {
		r.Fatalf("Scan lists %q, want %q", got, keys)
	}
	listed := due(r, s, now, 100)
	for k := range needed {
		if !slices.Contains(listed, k) {
			r.Fatalf("Due misses %q: %q", k, listed)
		}
	}
}
