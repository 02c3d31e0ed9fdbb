package store_test

import (
	"flag"
	"fmt"
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
			return s
		}
		t.Cleanup(func() { _ = s.Close() })
		return reopen(), reopen
	})
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
