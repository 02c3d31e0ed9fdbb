package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// retryAfter keeps a store that cannot be opened from being tried by every request anew.
	retryAfter = time.Second
	// recheckAfter is longer, since looking at a damaged file reads all of it. A file that changed is looked at
	// at once.
	recheckAfter = time.Minute
	// closeWait ends Close when a call does not.
	closeWait = 5 * time.Second
)

// Bolt keeps records in one bbolt file, for one process.
//
// It is a cheap handle: the file is opened by Open or by the first call, and closed when the last call ended
// after Destruct. One process needs one Bolt per file (a caddy.UsagePool): a second one waits for the lock of the
// first.
type Bolt struct {
	config   BoltConfig
	watchers watchers

	mu      sync.Mutex
	file    *boltFile // nil: not open
	opening *opening  // nil: nobody is at it
	failed  failure   // of the last try to open; zero after a good one
	broken  error     // damage seen in an open file: nobody may use it any more, it is being closed
	closed  bool
	read    bool          // nothing is written: see ReadOnly
	err     error         // of closing
	gone    chan struct{} // closed when the store is closed and the file as well
}

// BoltConfig says where the file is. Only Path is needed.
type BoltConfig struct {
	// Path of the file. It is made when it does not exist, its folder as well, for nobody but this user.
	Path string
	// Now is the clock by which records expire. Default: time.Now.
	Now func() time.Time
	// Log gets what no caller hears of: failed cleaning and closing. Default: nothing is logged.
	Log *slog.Logger
}

// opening is one try to open the file, which any number of calls wait for.
type opening struct {
	done chan struct{}
	err  error
}

// failure is why the file could not be opened, when, and what it looked like.
type failure struct {
	err  error
	at   time.Time
	seen os.FileInfo
}

// NewBolt touches no file, so that checking a configuration does not disturb a server that uses the store.
func NewBolt(config BoltConfig) *Bolt {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Bolt{config: config, gone: make(chan struct{})}
}

// ReadOnly keeps this handle from changing the file: nothing is written, not even taken out when it has expired, and a
// file that is not there is not made. It comes before the first use.
func (b *Bolt) ReadOnly() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = true
}

// Open opens the file now, so that a start with a bad one fails. Calls open it by themselves as well.
func (b *Bolt) Open(ctx context.Context) error {
	b.mu.Lock()
	b.failed = failure{}
	b.mu.Unlock()
	f, err := b.acquire(ctx)
	if err != nil {
		return err
	}
	b.release(f)
	return nil
}

// acquire pins the file, opened if need be, until release.
func (b *Bolt) acquire(ctx context.Context) (*boltFile, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, try, err := b.current()
		if try == nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-try.done:
			if try.err != nil {
				return nil, try.err
			}
		}
	}
}

// current answers one of three: the pinned file, a try to wait for, or an error.
func (b *Bolt) current() (*boltFile, *opening, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, nil, ErrClosed
	case b.broken != nil:
		return nil, nil, b.broken
	case b.file != nil:
		b.file.users++
		return b.file, nil, nil
	case b.opening == nil && b.failed.recent():
		return nil, nil, b.failed.err
	case b.opening == nil:
		b.opening = &opening{done: make(chan struct{})}
		go b.open(b.opening, b.failed)
	}
	return nil, b.opening, nil
}

// recent keeps calls from trying again at once. A damaged file has a rule of its own.
func (f failure) recent() bool {
	return f.err != nil && !errors.Is(f.err, ErrDamaged) && time.Since(f.at) < retryAfter
}

// stands tells that the file was found damaged a short while ago and is still the same.
func (f failure) stands(now os.FileInfo) bool {
	return errors.Is(f.err, ErrDamaged) && time.Since(f.at) < recheckAfter && f.seen != nil && now != nil &&
		os.SameFile(now, f.seen) && now.Size() == f.seen.Size() && now.ModTime().Equal(f.seen.ModTime())
}

// open runs apart from the calls that wait for it: waiting for a lock or a disk knows no context.
func (b *Bolt) open(try *opening, last failure) {
	seen, _ := os.Stat(b.config.Path)
	var f *boltFile
	err := last.err
	if !last.stands(seen) {
		f, err = openBoltFile(b)
		last = failure{err, time.Now(), seen}
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	defer close(try.done)
	b.opening, try.err = nil, err
	if err != nil {
		b.failed = last
		b.endIfIdle()
		return
	}
	b.file, b.failed = f, failure{}
	if b.closed { // Destruct came while we were opening
		b.retire()
	}
}

func (b *Bolt) release(f *boltFile) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.users--
	if f.retired && f.users == 0 {
		go b.shut(f)
	}
}

// retire closes the file after its last call. The caller holds mu.
func (b *Bolt) retire() {
	if b.file == nil || b.file.retired {
		return
	}
	b.file.retired = true
	if b.file.users == 0 {
		go b.shut(b.file)
	}
}

func (b *Bolt) shut(f *boltFile) {
	err := f.close()
	if err != nil {
		b.config.Log.Error("closing the store", "path", b.config.Path, "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.file, b.broken, b.err = nil, nil, err
	b.endIfIdle()
}

// endIfIdle is called with mu held, whenever something that holds the file has ended.
func (b *Bolt) endIfIdle() {
	if !b.closed || b.file != nil || b.opening != nil {
		return
	}
	select {
	case <-b.gone:
	default:
		close(b.gone)
	}
}

// breakOff stops the use of a file in which bbolt has stumbled: its locks and pages are in an unknown state. It
// is closed, and the next call opens it again, which looks at every page. Should closing hang on a lock that the
// stumbling left behind, the store stays refused until the process is started anew.
func (b *Bolt) breakOff(f *boltFile, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != f || b.broken != nil {
		return
	}
	b.config.Log.Error("the store is damaged", "path", b.config.Path, "error", err)
	b.broken = err
	b.retire()
}

// Destruct is for caddy.UsagePool: the last configuration that used the store is gone. It returns at once; the
// file is closed when the last call has ended.
func (b *Bolt) Destruct() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.retire()
	b.endIfIdle()
	return nil
}

// Close is Destruct and waits, though not for ever, until the file is closed.
func (b *Bolt) Close() error {
	_ = b.Destruct()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-b.gone:
	case <-late.C:
		return fmt.Errorf("store: %s is closed as soon as the last call has ended, which takes long", b.config.Path)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Get implements Store.
func (b *Bolt) Get(ctx context.Context, key string) (Record, error) {
	if err := checkKey(key); err != nil {
		return Record{}, err
	}
	return read(ctx, b, func(tx *bbolt.Tx) (Record, error) {
		r, err := decode(key, tx.Bucket(recordsBucket).Get([]byte(key)))
		return visible(r, b.config.Now()), err
	})
}

// Update implements Store.
//
// Concurrent updates share a transaction and with it the wait for the disk; a lone one starts at once. When ctx
// ends before fn ran, fn does not run any more; when it ends later, Update returns the error of ctx although the
// record may still be written. In no case does fn run after Update returned.
func (b *Bolt) Update(ctx context.Context, key string, fn func(old Record) (Record, error)) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f, err := b.acquire(ctx)
	if err != nil {
		return err
	}
	if b.read {
		b.release(f)
		return ErrReadOnly
	}
	c := &change{ctx: ctx, key: key, fn: fn, done: make(chan error, 1)}
	select {
	case f.queue <- c: // from here on the writer releases the file
	case <-ctx.Done():
		b.release(f)
		return ctx.Err()
	}
	select {
	case err = <-c.done:
	case <-ctx.Done():
		c.leave()
		err = ctx.Err()
	}
	return err
}

// Delete implements Store.
func (b *Bolt) Delete(ctx context.Context, key string) error {
	return b.Update(ctx, key, func(Record) (Record, error) { return Record{}, nil })
}

// Scan implements Store.
func (b *Bolt) Scan(ctx context.Context, prefix, after string, limit int) ([]Item, error) {
	return read(ctx, b, func(tx *bbolt.Tx) ([]Item, error) {
		var items []Item
		now := b.config.Now()
		c := tx.Bucket(recordsBucket).Cursor()
		for k, v := c.Seek([]byte(max(prefix, after))); k != nil && len(items) < limit; k, v = c.Next() {
			key := string(k)
			if !strings.HasPrefix(key, prefix) {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if key == after {
				continue
			}
			r, err := decode(key, v)
			if err != nil {
				return nil, err
			}
			if r = visible(r, now); r.Value != nil {
				items = append(items, Item{key, r})
			}
		}
		return items, nil
	})
}

// Due implements Store.
func (b *Bolt) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return read(ctx, b, func(tx *bbolt.Tx) ([]string, error) {
		var keys []string
		records := tx.Bucket(recordsBucket)
		clock := b.config.Now()
		c := tx.Bucket(dueBucket).Cursor()
		for k, _ := c.First(); k != nil && len(keys) < limit; k, _ = c.Next() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			at, key, ok := splitIndexKey(k)
			if !ok {
				return nil, errIndex
			}
			if at.After(now) {
				break
			}
			// An expired record has nothing to do any more. Listed, it would stand in the way of others until
			// it is removed.
			r, err := decode(key, records.Get([]byte(key)))
			if err != nil {
				return nil, err
			}
			if visible(r, clock).Value != nil {
				keys = append(keys, key)
			}
		}
		return keys, nil
	})
}

// Watch implements Store. fn is called by the writer, after the commit and before Update returns.
func (b *Bolt) Watch(fn func(key string)) (stop func()) {
	return b.watchers.add(fn)
}

// read runs fn in a read transaction. It stays on the caller's goroutine, as bbolt reads memory; only while the
// disk keeps a commit waiting, when a read may be caught behind a lock or a missing page, it is given up with ctx.
func read[T any](ctx context.Context, b *Bolt, fn func(*bbolt.Tx) (T, error)) (T, error) {
	var zero T
	f, err := b.acquire(ctx)
	if err != nil {
		return zero, err
	}
	if !f.stalled() {
		defer b.release(f)
		return view(f, fn)
	}
	type answer struct {
		value T
		err   error
	}
	select {
	case f.readers <- struct{}{}:
	case <-ctx.Done():
		b.release(f)
		return zero, ctx.Err()
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-f.readers; b.release(f) }()
		v, err := view(f, fn)
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

func view[T any](f *boltFile, fn func(*bbolt.Tx) (T, error)) (result T, err error) {
	err = f.guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			result, err = fn(tx)
			return err
		})
	})
	if err != nil {
		var zero T
		return zero, f.explain("reading", err)
	}
	return result, nil
}

// change is one Update on its way through the writer.
type change struct {
	ctx  context.Context
	key  string
	fn   func(Record) (Record, error)
	done chan error // has room for the one answer

	running sync.Mutex // held while fn runs

	// What came of it; the writer's.
	err     error
	written bool
}

// leave is called when ctx has ended. It waits for fn if it is running, and from then on call does not begin it:
// what fn captured is its caller's again.
func (c *change) leave() {
	c.running.Lock()
	defer c.running.Unlock()
}

// call asks fn for the new record. A panic is the caller's error, and nobody else's.
func (c *change) call(old Record, log *slog.Logger) (next Record, err error) {
	c.running.Lock()
	defer c.running.Unlock()
	if err := c.ctx.Err(); err != nil {
		return Record{}, err
	}
	defer func() {
		if p := recover(); p != nil {
			log.Error("an update panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("store: the function given to Update panicked: %v", p)
		}
	}()
	return c.fn(old)
}

// watchers are the functions given to Watch.
type watchers struct {
	mu  sync.Mutex
	fns []*func(string)
}

func (w *watchers) add(fn func(string)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fns = append(slices.Clip(w.fns), &fn) // a copy: tell may be walking the old one
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fns = slices.DeleteFunc(slices.Clone(w.fns), func(f *func(string)) bool { return f == &fn })
	}
}

func (w *watchers) tell(key string, log *slog.Logger) {
	w.mu.Lock()
	fns := w.fns
	w.mu.Unlock()
	for _, fn := range fns {
		func() {
			defer func() {
				if p := recover(); p != nil {
					log.Error("a watcher panicked", "panic", p, "stack", string(debug.Stack()))
				}
			}()
			(*fn)(key)
		}()
	}
}

var _ Store = (*Bolt)(nil)
