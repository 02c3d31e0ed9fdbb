// Package store keeps accounts as bytes: one key, one record, one atomic step.
//
// It knows nothing of contacts or codes. What is in a record, and whether it is sealed,
// is the business of package verify.
package store

import (
	"context"
	"errors"
	"time"
)

// Record is what a store keeps under one key. The zero Record stands for "nothing is kept".
type Record struct {
	// Value is opaque to the store. A nil Value means that there is no record.
	Value []byte
	// Expires is when the record stops existing, even if no cleaner ran. Zero: never.
	Expires time.Time
	// Due is when a worker should look at the record (see Store.Due). Zero: never.
	Due time.Time
}

// Item is a record together with its key, as Scan lists them.
type Item struct {
	Key string
	Record
}

var (
	// ErrKeep, returned by the function given to Update, leaves the record as it is. Update returns nil.
	ErrKeep = errors.New("store: keep the record as it is")
	// ErrClosed is returned after Close, or when the last configuration that used the store is gone.
	ErrClosed = errors.New("store: closed")
	// ErrReadOnly is returned by Update of a store that is only looked at.
	ErrReadOnly = errors.New("store: it is only read here")
	// ErrGone means that a record is gone that nobody deleted. It is not begun anew until it is deleted.
	ErrGone = errors.New("store: the record is gone, and it was not we who deleted it: Redis has evicted it (look at maxmemory-policy), or somebody has deleted keys")
	// ErrDamaged means that what is on the disk is not what was written. It is never repaired by itself.
	ErrDamaged = errors.New("store: damaged")
)

// Store promises, for every key by itself:
//
//   - Update is atomic and durable: no update is lost, concurrent ones happen one after the other, and when
//     Update returned nil the new record survives a crash of the process and of the machine.
//   - fn may run more than once (a conflict, a batch), so it must have no effect beyond its result. It must not
//     keep old.Value: the bytes are only valid until fn returns. It must not call the store.
//   - fn never runs after Update returned. A panic in it becomes the error of its Update.
//   - When fn returns an error nothing is written; Update returns that error (nil for ErrKeep). A Record with a
//     nil Value deletes, and so does one that has expired already.
//   - A record whose Expires has come is not there: Get and Update see the zero Record.
//   - A record with a Due is listed by Due from that moment on until a later Update moves or clears it. Due may
//     also list keys that no longer need it; it never misses one.
//   - Every call ends with its context. An Update whose context ended may still have happened, unless fn did not run.
type Store interface {
	// Get returns a copy of the record, or the zero Record.
	Get(ctx context.Context, key string) (Record, error)
	// Update replaces the record by what fn makes of it.
	Update(ctx context.Context, key string, fn func(old Record) (Record, error)) error
	// Delete removes the record; it is fine if there is none.
	Delete(ctx context.Context, key string) error
	// Scan lists the records whose keys begin with prefix and come after the given key, in the order of the bytes
	// of their keys, limit at most.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Item, error)
	// Due lists keys whose Due is not after now, the longest waiting first, limit at most.
	Due(ctx context.Context, now time.Time, limit int) ([]string, error)
	// Watch calls fn with the key of every record that an Update or Delete changed, until stop is called. Expiring
	// is no change. A store that others change, too, tells of theirs a moment later, and calls fn with an empty key when
	// it may have missed some: whatever is remembered of any record may be untrue then. fn must be quick and must not
	// call the store; several may run at once, and one may still be running when stop returns.
	Watch(fn func(key string)) (stop func())
	// Close releases what the store holds. It is safe to call twice.
	Close() error
}
