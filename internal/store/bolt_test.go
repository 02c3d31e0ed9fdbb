package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/storetest"
)

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
