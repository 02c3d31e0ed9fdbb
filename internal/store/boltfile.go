package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	// lockWait is for the last generation of a reload, which may still be closing the file.
	lockWait = 2 * time.Second
	// deepLimit bounds the time that a start takes to look at every page and record of a file.
	deepLimit = 64 << 20
	// groupLimit bounds the updates that share a transaction.
	groupLimit = 256
	// stallAfter is when a commit is slow enough that reads do not trust the disk any more.
	stallAfter = 100 * time.Millisecond

	sweepEvery = time.Minute
	sweepLimit = 500
	// sweepLag keeps expired records, unseen, for a while: a clock that ran ahead and was set back must not have
	// removed for good what has not expired yet.
	sweepLag = time.Hour
)

var (
	recordsBucket = []byte("records")
	dueBucket     = []byte("due")     // when due, key → 1
	expiryBucket  = []byte("expires") // when it expires, key → 1
	metaBucket    = []byte("meta")

	formatKey = []byte("format")
	format    = []byte("1")
)

var (
	errIndex    = errors.New("an index and the records disagree")
	errNoChange = errors.New("nothing to write")
	errAborted  = errors.New("store: a function given to Update ended its goroutine; nothing was written")
)

// boltFile is one opening of the file, with the writer and the janitor that live as long as it.
type boltFile struct {
	bolt *Bolt
	db   *bbolt.DB

	queue   chan *change  // updates that wait for the writer; each holds the file
	readers chan struct{} // slots for reads while the disk is slow
	busy    atomic.Int64  // when the running commit began (unix nanoseconds); 0: none

	stop  context.CancelFunc
	ended sync.WaitGroup

	users   int  // calls that hold the file; under Bolt.mu
	retired bool // close after the last of them; under Bolt.mu
}

func openBoltFile(b *Bolt) (*boltFile, error) {
	f := &boltFile{bolt: b, queue: make(chan *change, groupLimit), readers: make(chan struct{}, 64)}
	if err := f.explain("opening", f.guard(f.open)); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.ended.Go(func() { f.write(ctx) })
	if !b.read {
		f.ended.Go(func() { f.clean(ctx) })
	}
	return f, nil
}

func (f *boltFile) open() error {
	path := f.bolt.config.Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !f.bolt.read {
		if err := createBoltFile(path); err != nil {
			return fmt.Errorf("making it: %w", err)
		}
	}
	db, err := bbolt.Open(path, 0o600, boltOptions(claim))
	if err != nil {
		return err
	}
	f.db = db
	err = db.View(checkContent)
	if err != nil {
		_ = db.Close()
	}
	return err
}

func boltOptions(open func(string, int, os.FileMode) (*os.File, error)) *bbolt.Options {
	return &bbolt.Options{
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile:     open,
	}
}

// createBoltFile makes the file under another name first: a crash in between must not leave half a file, which
// we would refuse as damaged ever after. The folders are synced, or a power cut could take the whole file.
func createBoltFile(path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(folder, filepath.Base(path)+".new-*") // has the mode 0600
	if err != nil {
		return err
	}
	defer func() { _, _ = temp.Close(), os.Remove(temp.Name()) }()
	db, err := bbolt.Open(temp.Name(), 0o600, boltOptions(nil))
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(createContent), db.Close()); err != nil {
		return err
	}
	if err := publish(temp.Name(), path); err != nil {
		return err
	}
	return errors.Join(syncFolder(folder), syncFolder(filepath.Dir(folder)))
}

// publish never replaces a file that another process made in the meantime; that one is used then.
func publish(temp, path string) error {
	err := os.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(temp, path) // a file system without links
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // cannot be done, need not be done
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func createContent(tx *bbolt.Tx) error {
	for _, name := range [][]byte{recordsBucket, dueBucket, expiryBucket, metaBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put(formatKey, format)
}

// claim opens and locks the file for bbolt and looks at it before bbolt does. It never makes one: bbolt would
// turn a missing or an empty file into an empty store.
func claim(path string, flag int, mode os.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	if err := inspect(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func inspect(file *os.File) error {
	if err := lock(file, lockWait); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("others than its owner may use it (mode %04o): chmod 600 %s", mode, file.Name())
	}
	if info.Size() == 0 {
		return damage(errors.New("the file is empty"))
	}
	if err := checkPages(file, info.Size(), info.Size() <= deepLimit); err != nil {
		return damage(err)
	}
	return nil
}

// checkContent looks at what the structure of the pages cannot tell: that it is a store of ours, that every
// record is what was written, and that no index misses one.
func checkContent(tx *bbolt.Tx) error {
	for _, name := range [][]byte{recordsBucket, dueBucket, expiryBucket, metaBucket} {
		if tx.Bucket(name) == nil {
			return damage(fmt.Errorf("it has no bucket %q: not a store of contactgate", name))
		}
	}
	if v := tx.Bucket(metaBucket).Get(formatKey); string(v) != string(format) {
		return fmt.Errorf("it has the format %q, this version knows %q: use the version that wrote it", v, format)
	}
	if tx.Size() > deepLimit {
		return nil
	}
	due, expires := 0, 0
	err := tx.Bucket(recordsBucket).ForEach(func(k, v []byte) error {
		r, err := decode(string(k), v)
		if err != nil {
			return err
		}
		return errors.Join(
			checkIndexed(tx.Bucket(dueBucket), r.Due, k, &due),
			checkIndexed(tx.Bucket(expiryBucket), r.Expires, k, &expires))
	})
	if err == nil && (due != count(tx, dueBucket) || expires != count(tx, expiryBucket)) {
		err = errIndex
	}
	return damage(err)
}

func checkIndexed(index *bbolt.Bucket, at time.Time, key []byte, n *int) error {
	if at.IsZero() {
		return nil
	}
	*n++
	if index.Get(indexKey(at, string(key))) == nil {
		return errIndex
	}
	return nil
}

func count(tx *bbolt.Tx, bucket []byte) (n int) {
	_ = tx.Bucket(bucket).ForEach(func(_, _ []byte) error { n++; return nil })
	return n
}

func damage(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// guard runs a transaction. What bbolt does with a page that is not what it wrote is a panic at best and a read
// outside of the file at worst; both become an error here, and the file is not used any further.
func (f *boltFile) guard(run func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damage(fmt.Errorf("%v", p))
			f.bolt.breakOff(f, f.explain("using", err))
		}
	}()
	err = run()
	if errors.Is(err, berrors.ErrInvalidMapping) || errors.Is(err, berrors.ErrDatabaseNotOpen) {
		f.bolt.breakOff(f, f.explain("using", err)) // bbolt lost its mapping; only opening again helps
	}
	return err
}

// explain adds the path, what was being done, and what the operator can do about it.
func (f *boltFile) explain(doing string, err error) error {
	path := f.bolt.config.Path
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, errChecksum), errors.Is(err, errIndex):
		err = damage(err)
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("store: %s %s: %w. Restore a backup of %s, or move it away and accept an empty store with: "+
			"contactgate gate doctor --accept-empty-store --reason …", doing, path, err, path)
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("store: %s %s: another process holds it: stop the other server or command that uses this store, "+
			"or give this one a path of its own (%w)", doing, path, err)
	}
	return fmt.Errorf("store: %s %s: %w", doing, path, err)
}

// stalled tells that the disk has kept the writer waiting for suspiciously long.
func (f *boltFile) stalled() bool {
	since := f.busy.Load()
	return since != 0 && time.Since(time.Unix(0, since)) > stallAfter
}

// write is the only writer. Updates that arrive while one is on its way to the disk go together in the next
// transaction.
func (f *boltFile) write(ctx context.Context) {
	finished := false
	defer func() {
		if !finished { // a t.Fatal in a function given to Update ended this goroutine
			f.ended.Go(func() { f.write(ctx) })
		}
	}()
	for {
		select {
		case c := <-f.queue:
			f.commit(f.group(c))
		case <-ctx.Done():
			finished = true
			return
		}
	}
}

func (f *boltFile) group(first *change) []*change {
	group := []*change{first}
	for len(group) < groupLimit {
		select {
		case c := <-f.queue:
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// commit answers every change of the group. When the transaction fails, it fails for all, also for those that
// wanted to write nothing: they may have seen what an earlier one of the group did not get to the disk.
func (f *boltFile) commit(group []*change) {
	err := errAborted
	defer func() {
		f.busy.Store(0)
		f.answer(group, err)
	}()
	f.busy.Store(time.Now().UnixNano())
	err = f.update(func(tx *bbolt.Tx) error {
		written := false
		for _, c := range group {
			if err := f.apply(tx, c); err != nil {
				return err
			}
			written = written || c.written
		}
		if !written {
			return errNoChange // spares the wait for the disk
		}
		return nil
	})
}

func (f *boltFile) update(fn func(*bbolt.Tx) error) error {
	err := f.guard(func() error { return f.db.Update(fn) })
	if errors.Is(err, errNoChange) {
		return nil
	}
	return f.explain("writing", err)
}

func (f *boltFile) answer(group []*change, err error) {
	for _, c := range group {
		if err == nil && c.written {
			f.bolt.watchers.tell(c.key, f.bolt.config.Log)
		}
		if err != nil {
			c.err = err
		}
		f.bolt.release(f)
		c.done <- c.err
	}
}

// apply runs one change. Its own errors stay with it; those of the transaction are returned.
func (f *boltFile) apply(tx *bbolt.Tx, c *change) error {
	stored, err := decode(c.key, tx.Bucket(recordsBucket).Get([]byte(c.key)))
	if err != nil {
		c.err = f.explain("reading", err)
		return nil
	}
	now := f.bolt.config.Now()
	old := visible(stored, now)
	given := old
	given.Value = bytes.Clone(old.Value) // a function that writes into it must not look as if it changed nothing
	next, err := c.call(given, f.bolt.config.Log)
	if errors.Is(err, ErrKeep) {
		return nil
	}
	if c.err = err; err != nil {
		return nil //nolint:nilerr // it is the caller's own error, and none of the transaction
	}
	if next = normal(next, now); same(old, next) {
		return nil
	}
	c.written = true
	return put(tx, c.key, stored, next)
}

// normal makes all spellings of "no record" one: without a value, or expired already.
func normal(r Record, now time.Time) Record {
	if r = visible(r, now); r.Value == nil {
		return Record{}
	}
	return r
}

// put replaces stored, what is on the disk, by next, and keeps the indexes in step.
func put(tx *bbolt.Tx, key string, stored, next Record) error {
	records := tx.Bucket(recordsBucket)
	err := errors.Join(
		reindex(tx.Bucket(dueBucket), key, stored.Due, next.Due),
		reindex(tx.Bucket(expiryBucket), key, stored.Expires, next.Expires))
	if err != nil {
		return err
	}
	if next.Value == nil {
		return records.Delete([]byte(key))
	}
	return records.Put([]byte(key), encode(key, next))
}

func reindex(index *bbolt.Bucket, key string, old, next time.Time) error {
	if old.Equal(next) {
		return nil
	}
	if !old.IsZero() {
		if err := index.Delete(indexKey(old, key)); err != nil {
			return err
		}
	}
	if next.IsZero() {
		return nil
	}
	return index.Put(indexKey(next, key), []byte{1})
}

// close runs when no call holds the file any more, so nothing waits in the queue.
func (f *boltFile) close() error {
	f.stop()
	f.ended.Wait()
	return f.guard(f.db.Close)
}

// clean is the janitor.
func (f *boltFile) clean(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := f.sweep(ctx); err != nil {
			f.bolt.config.Log.Warn("removing expired records", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep removes what expired, in transactions small enough that nobody waits long for the writer.
func (f *boltFile) sweep(ctx context.Context) error {
	for ctx.Err() == nil {
		removed := 0
		err := f.update(func(tx *bbolt.Tx) (err error) {
			removed, err = removeExpired(tx, f.bolt.config.Now().Add(-sweepLag))
			return err
		})
		if err != nil || removed < sweepLimit {
			return err
		}
	}
	return nil
}

func removeExpired(tx *bbolt.Tx, until time.Time) (int, error) {
	keys, err := expiredBy(tx, until)
	if err != nil {
		return 0, err
	}
	if len(keys) == 0 {
		return 0, errNoChange
	}
	for _, key := range keys {
		stored, err := decode(key, tx.Bucket(recordsBucket).Get([]byte(key)))
		if err != nil {
			return 0, err
		}
		if visible(stored, until).Value != nil || stored.Value == nil {
			return 0, errIndex // nothing would be removed, and sweep would come back for ever
		}
		if err := put(tx, key, stored, Record{}); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

func expiredBy(tx *bbolt.Tx, until time.Time) (keys []string, err error) {
	c := tx.Bucket(expiryBucket).Cursor()
	for k, _ := c.First(); k != nil && len(keys) < sweepLimit; k, _ = c.Next() {
		at, key, ok := splitIndexKey(k)
		if !ok {
			return nil, errIndex
		}
		if at.After(until) {
			break
		}
		keys = append(keys, key)
	}
	return keys, nil
}
