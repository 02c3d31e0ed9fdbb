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

	"github.com/gorilla/securecookie"

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

// runtimesInUse are the runtimes of this process: several while one configuration takes over from another.
type runtimesInUse struct {
	mu  sync.Mutex
	all []*runtime
}

var inUse runtimesInUse

// lastWrites is more than any write takes that was begun when its configuration ended. Later ones give way to the newer key.
const lastWrites = 5 * time.Second

// join has the configurations of before open what this one seals and read what it signs: until all their connections have ended,
// they answer the same people from the same records.
func (u *runtimesInUse) join(live *runtime) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, before := range u.all {
		if before.installation() == live.installation() {
			before.flow.Keys.Meet(live.flow.Keys)
			before.newer.Store(&readers{live.codecs, live.devices})
		}
	}
	u.all = append(u.all, live)
}

// end has what is still under way in a configuration seal with the newer key, and has the others look once more whether all is
// sealed with theirs.
func (u *runtimesInUse) end(live *runtime) {
	live.flow.Keys.GiveWay()
	time.AfterFunc(lastWrites, func() { u.leave(live) })
}

func (u *runtimesInUse) leave(live *runtime) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = slices.DeleteFunc(u.all, func(other *runtime) bool { return other == live })
	for _, other := range u.all {
		select {
		case other.reseal <- struct{}{}:
		default: // it is about to
		}
	}
}

// alone tells that no other configuration of this process seals records of the same installation.
func (u *runtimesInUse) alone(live *runtime) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !slices.ContainsFunc(u.all, func(other *runtime) bool {
		return other != live && other.installation() == live.installation()
	})
}

// readers are the codecs of the configuration that takes over.
type readers struct{ sessions, devices []securecookie.Codec }

func (live *runtime) installation() string { return live.flow.Keys.Fingerprint() }

// sessionReaders are the codecs of all cookies that may come, deviceReaders those of trusted browsers.
func (live *runtime) sessionReaders() []securecookie.Codec {
	if newer := live.newer.Load(); newer != nil {
		return slices.Concat(live.codecs, newer.sessions)
	}
	return live.codecs
}

func (live *runtime) deviceReaders() []securecookie.Codec {
	if newer := live.newer.Load(); newer != nil {
		return slices.Concat(live.devices, newer.devices)
	}
	return live.devices
}
