package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/storetest"
)

var background = context.Background()

func TestBoltKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) (store.Store, func() store.Store) {
		path := filepath.Join(t.TempDir(), "store.db")
		var s *store.Bolt
		reopen := func() store.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			s = store.NewBolt(store.BoltConfig{Path: path, Now: now})
			return s
		}
		t.Cleanup(func() { _ = s.Close() })
		return reopen(), reopen
	})
}

// Calls that overlap look as if each had happened in one moment. Red when a read may see what is not written yet, or an
// update goes by what was read before another one.
func TestBoltHistoriesAreLinearizable(t *testing.T) {
	storetest.Histories(t, newBolt(t, filepath.Join(t.TempDir(), "store.db")))
}

func newBolt(t testing.TB, path string) *store.Bolt {
	t.Helper()
	s := store.NewBolt(store.BoltConfig{Path: path})
	t.Cleanup(func() { _ = s.Destruct() })
	return s
}

func write(t testing.TB, s store.Store, key, value string) {
	t.Helper()
	if err := s.Update(background, key, writing(value)); err != nil {
		t.Fatal(err)
	}
}

func writing(value string) func(store.Record) (store.Record, error) {
	return func(store.Record) (store.Record, error) { return store.Record{Value: []byte(value)}, nil }
}

func wantValue(t testing.TB, s store.Store, key, value string) {
	t.Helper()
	if r, err := s.Get(background, key); err != nil || string(r.Value) != value {
		t.Fatalf("%q is %q (%v), want %q", key, r.Value, err, value)
	}
}

func TestConstructingTouchesNoFile(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	s := newBolt(t, filepath.Join(folder, "store.db"))
	s.Watch(func(string) {})()
	if err := s.Destruct(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(background, "k"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after Destruct: %v", err)
	}
	if err := s.Open(background); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Open after Destruct: %v", err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestFirstCallsOpenTheFileOnce(t *testing.T) {
	s := newBolt(t, filepath.Join(t.TempDir(), "store.db"))
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() { write(t, s, fmt.Sprint(i), "v") })
	}
	all.Wait()
}

func TestFileIsForItsOwnerOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "store.db")
	s := newBolt(t, path)
	write(t, s, "k", "v")
	for name, mode := range map[string]os.FileMode{folder: 0o700, filepath.Dir(folder): 0o700, path: 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has %v (%v), want %v", name, info.Mode().Perm(), err, mode)
		}
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("more than the file was left behind: %v", entries)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = newBolt(t, path)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		err := s.Open(background)
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := s.Get(background, "k"); err == nil {
		t.Error("a call used the file although Open refused it")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(background); err != nil { // a failure is not kept for good
		t.Error(err)
	}
	wantValue(t, s, "k", "v")
}

// filled makes a store with every kind of page, and gives its bytes and what is in it.
func filled(t *testing.T) (path string, content []byte, records map[string]store.Record) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	s := newBolt(t, path)
	records = map[string]store.Record{}
	base := time.Now().Add(time.Hour).Truncate(time.Second)
	for i := range 300 {
		key := fmt.Sprintf("account/%03d", i)
		r := store.Record{Value: bytes.Repeat([]byte{byte(i)}, 50+i%7*40), Due: base.Add(time.Duration(i) * time.Second)}
		if i%3 == 0 {
			r.Expires = base.Add(time.Duration(i) * time.Hour)
		}
		if i%100 == 0 {
			r.Value = bytes.Repeat([]byte("long"), 4000) // needs more than one page
		}
		records[key] = r
	}
	var all sync.WaitGroup
	for key, r := range records {
		all.Go(func() {
			if err := s.Update(background, key, func(store.Record) (store.Record, error) { return r, nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 20 { // leaves free pages behind
		write(t, s, "gone", strings.Repeat("x", i*300))
	}
	if err := s.Delete(background, "gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content, records
}

// refusedOrWhole is what a damaged file may do: be refused, or still have everything that was written.
func refusedOrWhole(t *testing.T, what, path string, content []byte, records map[string]store.Record) (refused bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := store.NewBolt(store.BoltConfig{Path: path})
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}()
	if err := s.Open(background); err != nil {
		if !errors.Is(err, store.ErrDamaged) || strings.Count(err.Error(), path) < 2 ||
			!strings.Contains(err.Error(), "doctor --accept-empty-store") {
			t.Errorf("%s: refused without saying what to do: %v", what, err)
		}
		if _, err := s.Get(background, "k"); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: Get: %v", what, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s: the refused file was changed (%v)", what, err)
		}
		return true
	}
	items, err := s.Scan(background, "", "", 1000)
	if err != nil || len(items) != len(records) {
		t.Fatalf("%s: opened with %d of %d records (%v)", what, len(items), len(records), err)
	}
	for _, item := range items {
		r := records[item.Key]
		if !bytes.Equal(r.Value, item.Value) || !r.Expires.Equal(item.Expires) || !r.Due.Equal(item.Due) {
			t.Fatalf("%s: %q is not what was written", what, item.Key)
		}
	}
	keys, err := s.Due(background, time.Now().Add(100*time.Hour), 1000)
	if err != nil || len(keys) != len(records) {
		t.Fatalf("%s: %d of %d are due (%v)", what, len(keys), len(records), err)
	}
	return false
}

func TestWholeFileIsNotRefused(t *testing.T) {
	path, content, records := filled(t)
	if refusedOrWhole(t, "untouched", path, content, records) {
		t.Error("refused")
	}
}

func TestShortFileIsRefused(t *testing.T) {
	path, content, records := filled(t)
	page := os.Getpagesize()
	high := highWater(t, path)
	for _, size := range []int{0, 1, 79, 80, page - 1, page, page + 1, page + 80, 2 * page, 3 * page, high / 2, high - page, high - 1} {
		if !refusedOrWhole(t, fmt.Sprintf("cut to %d bytes", size), path, content[:size], records) {
			t.Errorf("cut to %d of %d bytes: opened", size, high)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newBolt(t, path).Open(background); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("an empty file: %v", err)
	}
	refusedOrWhole(t, "cut behind the last page", path, content[:high], records)
}

// highWater is how many bytes of the file bbolt has in use.
func highWater(t *testing.T, path string) (size int) {
	t.Helper()
	viewFile(t, path, func(tx *bbolt.Tx) { size = int(tx.Size()) })
	return size
}

func viewFile(t *testing.T, path string, fn func(*bbolt.Tx)) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestZeroedPageIsRefused(t *testing.T) {
	path, content, records := filled(t)
	page := os.Getpagesize()
	free := freePages(t, path)
	for id := range free {
		broken := bytes.Clone(content)
		clear(broken[id*page : (id+1)*page])
		if refused := refusedOrWhole(t, fmt.Sprintf("page %d zeroed", id), path, broken, records); refused == free[id] {
			t.Errorf("page %d: free %v, refused %v", id, free[id], refused)
		}
	}
}

// freePages tells of every page in the file whether nothing uses it.
func freePages(t *testing.T, path string) (free []bool) {
	t.Helper()
	viewFile(t, path, func(tx *bbolt.Tx) {
		for id := range int(tx.Size()) / os.Getpagesize() {
			info, err := tx.Page(id)
			free = append(free, err == nil && info.Type == "free")
		}
	})
	return free
}

func TestBrokenMetaPageIsRefused(t *testing.T) {
	path, content, records := filled(t)
	page := os.Getpagesize()
	for i := range 64 { // every byte of either
		for id := range 2 {
			broken := bytes.Clone(content)
			broken[id*page+16+i] ^= 1
			if !refusedOrWhole(t, "flipped", path, broken, records) {
				t.Errorf("byte %d of meta page %d flipped: opened", i, id)
			}
		}
	}
	noise := bytes.Clone(content)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	if !refusedOrWhole(t, "noise", path, noise, records) {
		t.Error("noise was opened")
	}
}

// TestFlippedBitsAreRefused aims at the headers as well, where a flip leads bbolt outside of its memory.
func TestFlippedBitsAreRefused(t *testing.T) {
	path, content, records := filled(t)
	page := os.Getpagesize()
	high := highWater(t, path)
	refused := 0
	const tries = 150
	for i := range tries {
		at := rand.IntN(high)
		if i%2 == 0 {
			at = rand.IntN(high/page)*page + rand.IntN(64)
		}
		broken := bytes.Clone(content)
		broken[at] ^= 1 << rand.IntN(8)
		if refusedOrWhole(t, fmt.Sprintf("a bit of byte %d flipped", at), path, broken, records) {
			refused++
		}
	}
	if refused < tries/10 { // many fall on free pages
		t.Errorf("only %d of %d were noticed", refused, tries)
	}
}

// TestSwappedRecordsAreRefused: each is whole, but a search would not find them.
func TestSwappedRecordsAreRefused(t *testing.T) {
	path, content, records := filled(t)
	n, size := binary.NativeEndian, os.Getpagesize()
	for id, free := range freePages(t, path) {
		page := content[id*size:]
		first, second := page[16:32], page[32:48] // elements of a leaf: flags, offset, lengths of key and value
		if free || n.Uint16(page[8:]) != 2 || n.Uint16(page[10:]) < 2 ||
			!bytes.HasPrefix(page[16+n.Uint32(first[4:]):], []byte("account/")) {
			continue // no page of records
		}
		a, b := bytes.Clone(first), bytes.Clone(second)
		copy(first, b)
		copy(second, a)
		n.PutUint32(first[4:], n.Uint32(b[4:])+16) // offsets count from the element itself
		n.PutUint32(second[4:], n.Uint32(a[4:])-16)
		if !refusedOrWhole(t, "two records swapped", path, content, records) {
			t.Error("opened")
		}
		return
	}
	t.Fatal("found no page of records")
}

func TestForeignFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newBolt(t, path).Open(background); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an empty bbolt file: %v", err)
	}
}

func TestRepairedFileIsOpenedByTheNextCall(t *testing.T) {
	path, content, records := filled(t)
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	s := newBolt(t, path)
	for range 3 {
		if _, err := s.Get(background, "account/001"); !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("Get: %v", err)
		}
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	wantValue(t, s, "account/001", string(records["account/001"].Value))
}

// TestFileCutWhileOpen is what an operator's cp or a dying disk does. Reading mapped memory that has no file
// behind it is a signal that would end the whole server.
func TestFileCutWhileOpen(t *testing.T) {
	for _, left := range []int64{0, int64(2 * os.Getpagesize())} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			path, _, _ := filled(t)
			s := newBolt(t, path)
			if err := s.Open(background); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, left); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				ctx, cancel := context.WithTimeout(background, 10*time.Second)
				_, getErr := s.Get(ctx, "account/200")
				updateErr := s.Update(ctx, "account/200", writing("v"))
				cancel()
				for _, err := range []error{getErr, updateErr} {
					if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) {
						t.Fatalf("call %d: %v", i, err)
					}
				}
			}
		})
	}
}

func TestDestructWaitsForTheLastUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	old := newBolt(t, path)
	running, goOn := make(chan struct{}), make(chan struct{})
	slow := make(chan error, 1)
	go func() {
		slow <- old.Update(background, "k", func(store.Record) (store.Record, error) {
			close(running)
			<-goOn
			return store.Record{Value: []byte("v")}, nil
		})
	}()
	<-running
	var queued sync.WaitGroup
	for i := range 20 {
		begun := make(chan struct{})
		queued.Go(func() {
			close(begun)
			if err := old.Update(background, fmt.Sprint("queued", i), writing("v")); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Errorf("an update that had begun: %v", err)
			}
		})
		<-begun
	}
	if err := old.Destruct(); err != nil { // must not wait: a reload would
		t.Fatal(err)
	}
	if _, err := old.Get(background, "k"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after Destruct: %v", err)
	}

	// The next configuration opens the same file while the old one is still at work.
	next := newBolt(t, path)
	opened := make(chan error, 1)
	go func() { opened <- next.Open(background) }()
	close(goOn)
	queued.Wait()
	if err := <-slow; err != nil {
		t.Errorf("the slow update: %v", err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	wantValue(t, next, "k", "v")
	if err := old.Close(); err != nil {
		t.Errorf("Close after Destruct: %v", err)
	}
}

func TestUnchangedRecordIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := newBolt(t, path)
	write(t, s, "k", "v")
	before := commits(t, s, path)
	s = newBolt(t, path)
	write(t, s, "k", "v")
	if err := s.Delete(background, "unknown"); err != nil {
		t.Fatal(err)
	}
	if n := commits(t, s, path) - before; n != 0 {
		t.Errorf("took %d commits", n)
	}
}

// commits closes s and reads the number of the last transaction.
func commits(t *testing.T, s *store.Bolt, path string) (n int) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	viewFile(t, path, func(tx *bbolt.Tx) { n = tx.ID() })
	return n
}

func TestGoexitInAnUpdateHurtsNobodyElse(t *testing.T) {
	s := newBolt(t, filepath.Join(t.TempDir(), "store.db"))
	err := s.Update(background, "k", func(store.Record) (store.Record, error) {
		runtime.Goexit() // what t.Fatal does
		return store.Record{}, nil
	})
	if err == nil {
		t.Error("no error")
	}
	write(t, s, "k", "v")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestPanickingWatcherHurtsNobodyElse(t *testing.T) {
	s := newBolt(t, filepath.Join(t.TempDir(), "store.db"))
	defer s.Watch(func(string) { panic("a mistake") })()
	heard := false
	defer s.Watch(func(string) { heard = true })()
	write(t, s, "k", "v")
	if !heard { // before Update returned, so that a cache is never behind its own node
		t.Error("the other watcher heard nothing")
	}
}

func BenchmarkBoltGet(b *testing.B) {
	s := newBolt(b, filepath.Join(b.TempDir(), "store.db"))
	write(b, s, "k", strings.Repeat("v", 500))
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Get(ctx, "k")
	}
}

func BenchmarkBoltUpdateAlone(b *testing.B) {
	s := newBolt(b, filepath.Join(b.TempDir(), "store.db"))
	for i := 0; b.Loop(); i++ {
		write(b, s, "k", fmt.Sprint(i))
	}
}

func BenchmarkBoltUpdateTogether(b *testing.B) {
	s := newBolt(b, filepath.Join(b.TempDir(), "store.db"))
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			write(b, s, fmt.Sprint("k", rand.IntN(1000)), fmt.Sprint(rand.Int()))
		}
	})
}
