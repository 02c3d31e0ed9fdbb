package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// openForTest gives the insides of an open store whose clock moves by what is stored in ahead.
func openForTest(t *testing.T) (b *Bolt, f *boltFile, ahead *atomic.Int64) {
	t.Helper()
	ahead = new(atomic.Int64)
	b = NewBolt(BoltConfig{Path: filepath.Join(t.TempDir(), "store.db"), Now: func() time.Time {
		return testStart.Add(time.Duration(ahead.Load()))
	}})
	f, err := b.acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.release(f)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, f, ahead
}

var testStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func putForTest(t *testing.T, b *Bolt, key string, r Record) {
	t.Helper()
	if err := b.Update(context.Background(), key, func(Record) (Record, error) { return r, nil }); err != nil {
		t.Fatal(err)
	}
}

func inFile(t *testing.T, f *boltFile) (records, due, expires int) {
	t.Helper()
	if err := f.db.View(func(tx *bbolt.Tx) error {
		records, due, expires = count(tx, recordsBucket), count(tx, dueBucket), count(tx, expiryBucket)
		return checkContent(tx)
	}); err != nil {
		t.Fatal(err)
	}
	return records, due, expires
}

func TestSweepRemovesWhatExpiredLongAgo(t *testing.T) {
	b, f, ahead := openForTest(t)
	const n = sweepLimit + 10 // more than one transaction
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			putForTest(t, b, fmt.Sprint(i), Record{Value: []byte("v"), Due: testStart, Expires: testStart.Add(time.Minute)})
		})
	}
	all.Wait()
	putForTest(t, b, "stays", Record{Value: []byte("v"), Due: testStart})

	sweepAt := func(d time.Duration) (records, due, expires int) {
		t.Helper()
		ahead.Store(int64(d))
		if err := f.sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
		return inFile(t, f)
	}
	if r, _, _ := sweepAt(time.Minute + sweepLag - 1); r != n+1 {
		t.Errorf("%d of %d records are left before the lag is over", r, n+1)
	}
	if r, d, e := sweepAt(time.Minute + sweepLag); r != 1 || d != 1 || e != 0 {
		t.Errorf("left are %d records, %d due, %d to expire; want 1, 1, 0", r, d, e)
	}
}

// TestClockSetBackFindsTheRecord: a clock that ran ahead must not take away what has not expired.
func TestClockSetBackFindsTheRecord(t *testing.T) {
	b, f, ahead := openForTest(t)
	putForTest(t, b, "k", Record{Value: []byte("v"), Expires: testStart.Add(time.Minute)})
	ahead.Store(int64(10 * time.Minute))
	if err := f.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r, _ := b.Get(context.Background(), "k"); r.Value != nil {
		t.Error("expired but seen")
	}
	ahead.Store(0)
	if r, err := b.Get(context.Background(), "k"); r.Value == nil {
		t.Errorf("gone: %v", err)
	}
}

func TestExpiredRecordsDoNotStandInTheWayOfTheDue(t *testing.T) {
	b, _, ahead := openForTest(t)
	for i := range 20 {
		putForTest(t, b, fmt.Sprint(i), Record{Value: []byte("v"), Due: testStart, Expires: testStart.Add(time.Minute)})
	}
	putForTest(t, b, "waits", Record{Value: []byte("v"), Due: testStart.Add(time.Second)})
	ahead.Store(int64(time.Minute))
	keys, err := b.Due(context.Background(), testStart.Add(time.Minute), 10)
	if err != nil || len(keys) != 1 || keys[0] != "waits" {
		t.Errorf("due are %q (%v)", keys, err)
	}
}

func TestIndexesStayInStep(t *testing.T) {
	b, f, _ := openForTest(t)
	full := Record{Value: []byte("v"), Due: testStart, Expires: testStart.Add(time.Minute)}
	for _, r := range []Record{full, {Value: []byte("w")}, full, {}, full,
		{Value: []byte("x"), Due: full.Due.Add(1), Expires: full.Expires.Add(1)}} {
		putForTest(t, b, "k", r)
		inFile(t, f) // checks them
	}
	if r, d, e := inFile(t, f); r != 1 || d != 1 || e != 1 {
		t.Errorf("%d records, %d due, %d to expire", r, d, e)
	}
	full.Expires = testStart // has come already
	putForTest(t, b, "k", full)
	if r, d, e := inFile(t, f); r != 0 || d != 0 || e != 0 {
		t.Errorf("an expired record left %d, %d due, %d to expire", r, d, e)
	}
}

func TestIndexWithoutRecordIsDamage(t *testing.T) {
	for _, bucket := range [][]byte{dueBucket, expiryBucket} {
		_, f, _ := openForTest(t)
		if err := f.db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucket).Put(indexKey(testStart.Add(-2*sweepLag), "nobody"), []byte{1})
		}); err != nil {
			t.Fatal(err)
		}
		if err := f.db.View(checkContent); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", bucket, err)
		}
		if err := f.sweep(context.Background()); string(bucket) == "expires" && !errors.Is(err, ErrDamaged) {
			t.Errorf("the janitor: %v", err)
		}
	}
}

// TestWrongListOfFreePagesIsDamage: a page that is free and in use at once would be written over.
func TestWrongListOfFreePagesIsDamage(t *testing.T) {
	b, _, _ := openForTest(t)
	for i := range 20 {
		putForTest(t, b, "k", Record{Value: []byte(strings.Repeat("v", i*1000))})
	}
	content, err := os.ReadFile(b.config.Path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(content))
	if err := checkPages(bytes.NewReader(content), size, true); err != nil {
		t.Fatal(err)
	}
	m, err := newestMeta(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(list page){
		"neither used nor free": func(list page) { native.PutUint16(list[10:], uint16(list.count()-1)) },
		"cannot be free":        func(list page) { copy(list[pageHeader:], list[pageHeader+8:pageHeader+16]) },
		"is used twice":         func(list page) { native.PutUint64(list[pageHeader:], m.root) },
	} {
		broken := bytes.Clone(content)
		change(page(broken[int64(m.freelist)*m.pageSize:]))
		err := checkPages(bytes.NewReader(broken), size, true)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// TestFileThatVanishesIsNotMadeAnew: bbolt would make an empty one, between our look and its own.
func TestFileThatVanishesIsNotMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if _, err := bbolt.Open(path, 0o600, boltOptions(claim)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func TestFailedOpenIsNotTriedByEveryCall(t *testing.T) {
	locked := errors.New("locked")
	for _, c := range []struct {
		failure failure
		recent  bool
	}{
		{failure{}, false},
		{failure{err: locked, at: time.Now()}, true},
		{failure{err: locked, at: time.Now().Add(-retryAfter)}, false},
		{failure{err: ErrDamaged, at: time.Now()}, false}, // stands looks at the file
	} {
		if c.failure.recent() != c.recent {
			t.Errorf("%+v: %v", c.failure, !c.recent)
		}
	}
}

func TestUpdatesThatWaitShareACommit(t *testing.T) {
	b, f, _ := openForTest(t)
	before := lastTx(t, f)
	running, goOn := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = b.Update(context.Background(), "slow", func(Record) (Record, error) {
			close(running)
			<-goOn
			return Record{}, ErrKeep
		})
	})
	<-running
	for i := range 100 {
		all.Go(func() { putForTest(t, b, fmt.Sprint(i), Record{Value: []byte("v")}) })
	}
	for len(f.queue) < 100 {
		time.Sleep(time.Millisecond)
	}
	close(goOn)
	all.Wait()
	if n := lastTx(t, f) - before; n != 1 {
		t.Errorf("100 updates took %d commits", n)
	}
}

func lastTx(t *testing.T, f *boltFile) (id int) {
	t.Helper()
	if err := f.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestFailedCommitFailsItsWholeGroup: who saw what another of the group wrote must not answer from it when it
// never reached the disk.
func TestFailedCommitFailsItsWholeGroup(t *testing.T) {
	b, f, _ := openForTest(t)
	putForTest(t, b, "k", Record{Value: []byte("free")})
	f.db.MaxSize = 1 // the disk is full

	taken := errors.New("taken")
	take := func(old Record) (Record, error) {
		if string(old.Value) != "free" {
			return Record{}, taken
		}
		return Record{Value: []byte(strings.Repeat("taken", 100_000))}, nil
	}
	group := make([]*change, 2)
	for i := range group {
		group[i] = &change{ctx: context.Background(), key: "k", fn: take, done: make(chan error, 1)}
		_, _ = b.acquire(context.Background())
	}
	f.commit(group)
	for i, c := range group {
		if err := <-c.done; err == nil || errors.Is(err, taken) || errors.Is(err, ErrDamaged) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if r, err := b.Get(context.Background(), "k"); err != nil || string(r.Value) != "free" {
		t.Errorf("reads do not go on: %q, %v", r.Value, err)
	}
	f.db.MaxSize = 0
	putForTest(t, b, "k", Record{Value: []byte(strings.Repeat("v", 100_000))})
}

// TestReadsEndWhileTheDiskHangs: all slots are taken by reads that hang, and still each call ends in time.
func TestReadsEndWhileTheDiskHangs(t *testing.T) {
	b, f, _ := openForTest(t)
	putForTest(t, b, "k", Record{Value: []byte("v")})
	f.busy.Store(time.Now().Add(-time.Second).UnixNano())
	if r, err := b.Get(context.Background(), "k"); err != nil || string(r.Value) != "v" {
		t.Errorf("%q, %v", r.Value, err)
	}

	release := make(chan struct{})
	defer close(release)
	hanging := func(ctx context.Context) error {
		_, err := read(ctx, b, func(*bbolt.Tx) (int, error) { <-release; return 0, nil })
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range 2 * cap(f.readers) {
		all.Go(func() {
			if err := hanging(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestUpdatesEndWhileTheWriterHangs stands in for a commit that never returns with an update that does not.
func TestUpdatesEndWhileTheWriterHangs(t *testing.T) {
	b, _, _ := openForTest(t)
	running, goOn := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = b.Update(context.Background(), "slow", func(Record) (Record, error) {
			close(running)
			<-goOn
			return Record{}, ErrKeep
		})
	})
	<-running
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var waiting sync.WaitGroup
	for range groupLimit + 50 { // more than the queue holds
		waiting.Go(func() {
			err := b.Update(ctx, "k", func(Record) (Record, error) {
				t.Error("ran after its end")
				return Record{}, nil
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	waiting.Wait()
	close(goOn)
	all.Wait()
	putForTest(t, b, "k", Record{Value: []byte("v")}) // what was left in the queue has been passed over
}

func TestMomentsSortAsTheirTimes(t *testing.T) {
	times := []time.Time{
		time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Unix(-1, 5), time.Unix(0, 0), time.Unix(0, 1), testStart,
		testStart.Add(1), testStart.Add(time.Second), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	for i, at := range times {
		if !momentOf(at).time().Equal(at) {
			t.Errorf("%v became %v", at, momentOf(at).time())
		}
		if i > 0 && string(indexKey(times[i-1], "z")) >= string(indexKey(at, "a")) {
			t.Errorf("%v does not sort before %v", times[i-1], at)
		}
	}
	if !momentOf(time.Time{}).time().IsZero() {
		t.Error("no time became one")
	}
}
