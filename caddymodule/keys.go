package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/contactgate/contactgate/internal/verify"
)

// keysInStorage is where the ring is kept when the operator gives none.
const keysInStorage = "contactgate/keys"

// findKeys takes the ring from the configuration, or from Caddy's storage, where the first node makes it.
func (a *App) findKeys(ctx context.Context) (*verify.Keyring, error) {
	if a.keysText != "" {
		return verify.ParseKeyring(a.keysText)
	}
	if err := a.storage.Lock(ctx, keysInStorage); err != nil {
		return nil, fmt.Errorf("locking the keys in Caddy's storage: %w", err)
	}
	defer func() { _ = a.storage.Unlock(context.WithoutCancel(ctx), keysInStorage) }()
	text, err := a.storage.Load(ctx, keysInStorage)
	if errors.Is(err, fs.ErrNotExist) {
		fresh, err := verify.NewKeyring(rand.Reader)
		if err != nil {
			return nil, err
		}
		if err := a.storage.Store(ctx, keysInStorage, []byte(fresh)); err != nil {
			return nil, fmt.Errorf("keeping new keys in Caddy's storage: %w", err)
		}
		a.log.Info("made a key ring and kept it in Caddy's storage; back it up together with the account store", "key", keysInStorage)
		return verify.ParseKeyring(fresh)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys from Caddy's storage: %w", err)
	}
	return verify.ParseKeyring(string(text))
}

// ringsInUse are the key rings that configurations of this process work with: several while one takes over from another.
type ringsInUse struct {
	mu    sync.Mutex
	rings []*verify.Keyring
}

var rings ringsInUse

// lastRequests is how long requests may be under way in a configuration that has ended: one whose form comes slowly has
// that time to come, and the store is waited for.
const lastRequests = formPatience + 5*time.Second

// join has the configurations of before open what this one seals: until all their connections have ended, they answer people
// from the same records.
func (r *ringsInUse) join(ring *verify.Keyring) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, before := range r.rings {
		before.Meet(ring)
	}
	r.rings = append(r.rings, ring)
}

func (r *ringsInUse) leave(ring *verify.Keyring) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rings = slices.DeleteFunc(r.rings, func(other *verify.Keyring) bool { return other == ring })
}

// alone tells that no other configuration of this process seals records of the same installation.
func (r *ringsInUse) alone(ring *verify.Keyring) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.rings, func(other *verify.Keyring) bool {
		return other != ring && other.Fingerprint() == ring.Fingerprint()
	})
}
