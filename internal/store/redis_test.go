package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/store/storetest"
)

var namespaces atomic.Int64

// newNamespace is for a test that shares a server with others.
func newNamespace() string { return fmt.Sprintf("test%d", namespaces.Add(1)) }

// keepsTheContract runs the contract of all stores on a Redis of some kind.
func keepsTheContract(t *testing.T, config store.RedisConfig) {
	// A step of the random walk asks all shards, and each walk begins a store: bbolt gets the many walks.
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	_ = checks.Value.Set("15")
	defer func() { _ = checks.Value.Set(before) }()
	storetest.Run(t, func(t *testing.T, now func() time.Time) (store.Store, func() store.Store) {
		config := config
		config.Namespace, config.Now = newNamespace(), now
		var s *store.Redis
		reopen := func() store.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			s = store.NewRedis(config)
			return patient{s}
		}
		t.Cleanup(func() { _ = s.Close() })
		return reopen(), reopen
	})
}

// patient asks again where a busy machine took longer than a request may wait, and nothing has happened yet: the contract is
// not about that.
type patient struct{ store.Store }

func (p patient) Get(ctx context.Context, key string) (r store.Record, err error) {
	err = again(ctx, func() error { r, err = p.Store.Get(ctx, key); return err })
	return r, err
}

func (p patient) Update(ctx context.Context, key string, fn func(store.Record) (store.Record, error)) error {
	return again(ctx, func() error { return p.Store.Update(ctx, key, fn) })
}

func (p patient) Delete(ctx context.Context, key string) error {
	return again(ctx, func() error { return p.Store.Delete(ctx, key) })
}

func (p patient) Scan(ctx context.Context, prefix, after string, limit int) (items []store.Item, err error) {
	err = again(ctx, func() error { items, err = p.Store.Scan(ctx, prefix, after, limit); return err })
	return items, err
}

func (p patient) Due(ctx context.Context, now time.Time, limit int) (keys []string, err error) {
	err = again(ctx, func() error { keys, err = p.Store.Due(ctx, now, limit); return err })
	return keys, err
}

func again(ctx context.Context, do func() error) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := do()
		var late net.Error
		slow := errors.As(err, &late) && late.Timeout() || err != nil && strings.Contains(err.Error(), "does not answer")
		if !slow || strings.Contains(err.Error(), "writing") || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

func TestRedisKeepsTheContract(t *testing.T) {
	s := redistest.Start(t)
	keepsTheContract(t, store.RedisConfig{Addresses: []string{s.Addr}})
}

func TestRedisSentinelKeepsTheContract(t *testing.T) {
	set := redistest.StartSentinels(t, 1)
	keepsTheContract(t, store.RedisConfig{Addresses: set.Addrs(), Master: set.Name})
}

func TestRedisClusterKeepsTheContract(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	keepsTheContract(t, store.RedisConfig{Addresses: c.Addrs()[:1], Cluster: true})
}
