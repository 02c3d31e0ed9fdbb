package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrOther means that this is not the store any more that was opened: it was emptied, lost a part, or is another one.
// Nobody's record may be read or written there until Adopt.
var ErrOther = errors.New("store: not the one that was opened: it was emptied, has lost a part, or is another one")

var (
	errChanged = errors.New("store: the record was changed in the meantime")
	// errUnknown: a write whose answer was lost either never happened, or happened and was overwritten. Doing it anew
	// could do it twice.
	errUnknown = errors.New("store: an answer of Redis was lost, and the record has changed since; it is not known whether the write happened")
	errBusy    = errors.New("store: the record is changed by others all the time")
	errNoCopy  = errors.New("store: written, but no replica of Redis has confirmed it in time")
)

// Redis keeps records on a Redis server, a Sentinel set or a Redis Cluster, for any number of processes.
//
// It is a cheap handle: nothing is connected before Open or the first call. Every call ends in time: what Redis does not
// answer is an error, and is asked again only where that can do no harm (see write).
type Redis struct {
	config RedisConfig
	names  [shardCount]shardNames
	// node is in every message about a change, so that a process knows its own.
	node     string
	watchers watchers
	turns    turns
	away     breakers
	copies   copies
	changes  changes
	watched  chan struct{} // closed when somebody watches
	watching sync.Once

	mu      sync.Mutex
	wires   *wires // nil: not connected
	users   int    // calls under way
	closed  bool
	opening *opening
	failed  failure
	ready   bool   // examined, and epoch is known
	epoch   string // of the store that this process works with
	other   bool   // it was seen to be another one
	problem error  // found while running: an eviction policy, say
	reading bool   // nothing is written: see ReadOnly
	gone    chan struct{}
	tend    context.CancelFunc // ends what watches over the servers; nil: not begun
	tended  sync.WaitGroup

	noted   noted // what was said of durability
	demoted bool  // the server was seen to be a replica; tendServers' own
}

// RedisConfig says where Redis is. Only Addresses is needed.
type RedisConfig struct {
	// Addresses are host:port of one server; with Cluster, of some of its nodes; with Master, of Sentinels.
	Addresses []string
	Cluster   bool
	// Master is what Sentinels call the set.
	Master             string
	Username, Password string
	// Sentinels may have a login of their own.
	SentinelUsername, SentinelPassword string
	Database                           int
	TLS                                *tls.Config
	// Namespace comes before all keys and is the name of the channel for changes. Default: contactgate.
	Namespace string
	// Now is the clock by which records expire. Default: time.Now.
	Now func() time.Time
	// Log gets what no caller hears of. Default: nothing is logged.
	Log *slog.Logger
	// Dial connects to host:port. Default: TCP, and TLS on it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewRedis connects to nothing, so that checking a configuration does not disturb anybody.
func NewRedis(config RedisConfig) *Redis {
	if config.Namespace == "" {
		config.Namespace = "contactgate"
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Redis{config: config, names: namesOf(config.Namespace), node: newName(),
		watched: make(chan struct{}), gone: make(chan struct{})}
}

// ReadOnly keeps this handle from changing anything: nothing is written, no new store is begun, and what has expired stays
// in the indexes. It comes before the first use.
func (r *Redis) ReadOnly() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = true
}

// Open connects now and looks whether this Redis can be worked with, so that a start with a bad one fails. One that
// cannot be reached is no failure: it may come, and calls open it by themselves.
func (r *Redis) Open(ctx context.Context) error {
	r.mu.Lock()
	r.failed = failure{}
	r.mu.Unlock()
	// Requests may be waiting for the start to be over.
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	release, err := r.acquire(ctx)
	if err == nil {
		release()
		return nil
	}
	var unfit *Unfit
	if errors.As(err, &unfit) || errors.Is(err, ErrClosed) {
		return err
	}
	return nil // callers hear of it, and operators from them
}

// Get implements Store.
func (r *Redis) Get(ctx context.Context, key string) (Record, error) {
	if err := checkKey(key); err != nil {
		return Record{}, err
	}
	release, err := r.acquire(ctx)
	if err != nil {
		return Record{}, err
	}
	defer release()
	record, _, err := r.read(ctx, key, r.pinned())
	return visible(record, r.config.Now()), err
}

// Update implements Store. It reads, calls fn, and writes if the record is still the same: one round trip more than a
// read. Updates of one key in one process take turns, so that they do not make each other try again; those of other
// processes do.
func (r *Redis) Update(ctx context.Context, key string, fn func(old Record) (Record, error)) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	leave, err := r.turns.take(ctx, key)
	if err != nil {
		return err
	}
	defer leave()
	release, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if r.reading {
		return ErrReadOnly
	}
	for try := range mostConflicts {
		if err = r.update(ctx, key, fn); !errors.Is(err, errChanged) {
			return err
		}
		// Longer and longer, and not all at once.
		if err := sleep(ctx, time.Duration(rand.Int64N(int64(try+1)*int64(time.Millisecond)))); err != nil {
			return err
		}
	}
	return errBusy
}

// mostConflicts is how often an Update begins anew. Each time somebody else's was done.
const mostConflicts = 100

func (r *Redis) update(ctx context.Context, key string, fn func(Record) (Record, error)) error {
	epoch := r.pinned()
	stored, was, err := r.read(ctx, key, epoch)
	if err != nil {
		return err
	}
	now := r.config.Now()
	old := visible(stored, now)
	mine := old
	mine.Value = bytes.Clone(old.Value)
	next, err := r.call(ctx, fn, mine)
	switch {
	case errors.Is(err, ErrKeep), err == nil && same(visible(next, now), old) && same(old, stored):
		// What fn has seen is what its caller goes by, so it must be as safe as if it were written now.
		return r.settled(ctx, key)
	case err != nil:
		return err
	}
	return r.write(ctx, key, epoch, was, visible(next, now))
}

// call asks fn for the new record. A panic is the caller's error.
func (r *Redis) call(ctx context.Context, fn func(Record) (Record, error), old Record) (next Record, err error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	defer func() {
		if p := recover(); p != nil {
			r.config.Log.Error("an update panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("store: the function given to Update panicked: %v", p)
		}
	}()
	return fn(old)
}

// Delete implements Store. What is gone without having been deleted (ErrGone) is given up, so that it can begin anew.
func (r *Redis) Delete(ctx context.Context, key string) error {
	found := false
	err := r.Update(ctx, key, func(old Record) (Record, error) {
		found = old.Value != nil
		return Record{}, nil
	})
	if err != nil || found {
		return err
	}
	release, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := r.forget(ctx, key); err != nil {
		return fmt.Errorf("store: deleting in Redis: %w", err)
	}
	return nil
}

// Watch implements Store. Changes of this process are told before its Update returns; those of others come over a
// channel of Redis, and what the channel lost is found out by counting (see tendChanges).
func (r *Redis) Watch(fn func(key string)) (stop func()) {
	r.watching.Do(func() { close(r.watched) })
	return r.watchers.add(fn)
}

// read gives a record as it is stored, and its mark.
func (r *Redis) read(ctx context.Context, key, epoch string) (Record, mark, error) {
	shard := shardOf(key)
	n := &r.names[shard]
	raw, state, err := r.readPair(ctx, shard, n.recordName(key), n.state)
	if err != nil {
		return Record{}, "", fmt.Errorf("store: reading from Redis: %w", err)
	}
	if epochOf(state) != epoch {
		r.seenOther(epoch)
		return Record{}, "", ErrOther
	}
	record, m, err := decodeMarked(key, raw)
	if errors.Is(err, errMisplaced) {
		r.config.Log.Error("an answer of Redis belongs to another question; all connections are given up")
		r.reconnect()
	}
	return record, m, err
}

// write replaces the record with that mark, in one script, and waits for a replica if there are any.
//
// An answer may be lost after the script ran: the connection breaks, the master dies, our patience ends. Then the script
// is sent again with the same new mark, which finds out whether it ran: go-redis itself, told to try again, could not
// know. When somebody else has written since, it cannot be known any more, and the caller gets an error.
func (r *Redis) write(ctx context.Context, key, epoch string, was mark, next Record) error {
	shard, m := shardOf(key), newMark()
	n := &r.names[shard]
	keys := []string{n.recordName(key), n.state, n.keys, n.due, n.ends}
	ttl, ends := "", ""
	switch {
	case next.Value == nil:
		ttl, next.Due = fmt.Sprint(deletedFor.Milliseconds()), time.Time{}
	case !next.Expires.IsZero() && next.Expires.Sub(r.config.Now()) < longest:
		ttl, ends = fmt.Sprint((next.Expires.Sub(r.config.Now()) + expireLag).Milliseconds()), millis(next.Expires)
	}
	args := []any{epoch, string(was), string(m), encodeMarked(m, key, next), ttl, key, millis(next.Due), ends, r.channel(), r.node}
	lost := false
	err := r.ask(ctx, shard, func(ctx context.Context, s server) error {
		answer, err := r.runWrite(ctx, s, keys, args)
		switch {
		case err != nil:
			lost = lost || mayHaveRun(err)
		case answer == "other store":
			r.seenOther(epoch)
			return ErrOther
		case answer == "gone":
			return ErrGone
		case answer == "changed" && lost:
			return errUnknown
		case answer == "changed":
			return errChanged
		}
		return err
	})
	if err == nil || lost || errors.Is(err, errNoCopy) {
		r.watchers.tell(key, r.config.Log)
	}
	if err != nil && !errors.Is(err, errChanged) && !errors.Is(err, ErrOther) {
		return fmt.Errorf("store: writing to Redis: %w", err)
	}
	return err
}

// settled waits until a replica, if there are any, has all that was written so far.
func (r *Redis) settled(ctx context.Context, key string) error {
	shard := shardOf(key)
	return r.ask(ctx, shard, func(ctx context.Context, s server) error {
		if !r.copies.expected(ctx, s.client) {
			return nil
		}
		return r.waitForCopy(ctx, s, redis.NewStringCmd(ctx, "get", r.names[shard].state))
	})
}

// acquire pins the connections until release, opened if need be.
func (r *Redis) acquire(ctx context.Context) (release func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ready, try, err := r.current()
		if err != nil {
			return nil, err
		}
		if ready {
			return r.release, nil
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

// current answers one of three: ready and pinned, a try to wait for, or an error.
func (r *Redis) current() (bool, *opening, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return false, nil, ErrClosed
	case r.problem != nil:
		return false, nil, r.problem
	case r.other:
		return false, nil, ErrOther
	case r.ready:
		r.users++
		return true, nil, nil
	case r.opening == nil && r.failed.err != nil && time.Since(r.failed.at) < retryRedis:
		return false, nil, r.failed.err
	case r.opening == nil:
		r.connect()
		r.opening = &opening{done: make(chan struct{})}
		go r.open(r.opening)
	}
	return false, r.opening, nil
}

// retryRedis keeps a Redis that is away from being tried by every request anew, and is soon enough when it is back.
const retryRedis = 250 * time.Millisecond

// startPatience is how long a start waits for a Redis that does not answer.
const startPatience = time.Second

// openPatience is for all that has to be asked before a Redis is used. Whoever waits for it may give up earlier.
const openPatience = 2 * time.Second

// open runs apart from the calls that wait for it, so that the first to give up does not end it for all.
func (r *Redis) open(try *opening) {
	ctx, cancel := context.WithTimeout(context.Background(), openPatience)
	defer cancel()
	err := r.examine(ctx)
	epoch := ""
	if err == nil {
		epoch, err = r.begin(ctx, false)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(try.done)
	r.opening, try.err = nil, err
	if err != nil {
		r.failed = failure{err: err, at: time.Now()}
		r.endIfIdle()
		return
	}
	r.ready, r.epoch, r.failed = true, epoch, failure{}
	r.endIfIdle()
}

func (r *Redis) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users--
	r.endIfIdle()
}

// Destruct is for caddy.UsagePool: the last configuration that used the store is gone. It returns at once; connections
// are closed when the last call has ended.
func (r *Redis) Destruct() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.endIfIdle()
	return nil
}

// endIfIdle is called with mu held, whenever something that needs connections has ended.
func (r *Redis) endIfIdle() {
	if !r.closed || r.users > 0 || r.opening != nil {
		return
	}
	select {
	case <-r.gone:
		return
	default:
		close(r.gone)
	}
	if r.tend != nil {
		r.tend()
	}
	if r.wires != nil {
		w := r.wires
		r.tended.Go(func() { w.close(r.config.Log) })
	}
}

// Close is Destruct and waits, though not for ever, until all is closed.
func (r *Redis) Close() error {
	_ = r.Destruct()
	ended := make(chan struct{})
	go func() {
		<-r.gone
		r.tended.Wait()
		close(ended)
	}()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-ended:
		return nil
	case <-late.C:
		return errors.New("store: connections to Redis are closed as soon as the last call has ended, which takes long")
	}
}

func (r *Redis) channel() string { return r.config.Namespace + ":changes" }

// turns lets the Updates of one key in this process go one after the other.
type turns struct {
	mu  sync.Mutex
	all map[string]*turn
}

type turn struct {
	free  chan struct{} // has room for one: whoever puts something in has the turn
	users int           // those who have or want it
}

func (t *turns) take(ctx context.Context, key string) (leave func(), err error) {
	t.mu.Lock()
	mine := t.all[key]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		if t.all == nil {
			t.all = map[string]*turn{}
		}
		t.all[key] = mine
	}
	mine.users++
	t.mu.Unlock()
	select {
	case mine.free <- struct{}{}:
		return func() { <-mine.free; t.forget(key, mine) }, nil
	case <-ctx.Done():
		t.forget(key, mine)
		return nil, ctx.Err()
	}
}

func (t *turns) forget(key string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(t.all, key)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	_ Store   = (*Redis)(nil)
	_ Adopter = (*Redis)(nil)
)
