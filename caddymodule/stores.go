package caddymodule

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/contactgate/contactgate/internal/store"
)

func init() { caddy.RegisterModule(new(Bolt)) }

// Store is what a guest module in the namespace contactgate.stores implements. It may change until 1.0.
//
// A store that has Open(context.Context) error is opened when a configuration starts, so that a bad one is rejected.
// It must open itself on first use as well: requests may come before.
type Store = store.Store

// Record is what a Store keeps under one key.
type Record = store.Record

// Item is a Record with its key, as a Store lists it.
type Item = store.Item

// stores holds the open stores of this process. On a reload the old and the new configuration overlap, and a second
// open of one bbolt file would wait for ever.
var stores = caddy.NewUsagePool()

// Bolt keeps accounts in one file on this machine, for one Caddy process. Back it up while Caddy is stopped, together
// with the keys.
type Bolt struct {
	// Path of the file; made with its folder when it does not exist. Placeholders such as `{env.STATE_DIRECTORY}` are
	// replaced. Default: contactgate/accounts.db in Caddy's data directory.
	Path string `json:"path,omitempty"`

	*store.Bolt `json:"-"`

	key string // in the pool; empty: nothing to give back
}

// CaddyModule returns the Caddy module information.
func (*Bolt) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.stores.bolt", New: func() caddy.Module { return new(Bolt) }}
}

// Provision fetches the handle that this process has for the file. The file itself is opened later.
func (b *Bolt) Provision(ctx caddy.Context) error {
	path, err := b.file()
	if err != nil {
		return err
	}
	log := ctx.Slogger()
	handle, _, err := stores.LoadOrNew(path, func() (caddy.Destructor, error) {
		return store.NewBolt(store.BoltConfig{Path: path, Log: log}), nil
	})
	if err != nil {
		return fmt.Errorf("store bolt %s: %w", path, err)
	}
	b.Bolt, b.key = handle.(*store.Bolt), path
	return nil
}

// Cleanup gives the handle back, once. The file is closed when nobody has it any more.
func (b *Bolt) Cleanup() error {
	if b.key == "" {
		return nil
	}
	key := b.key
	b.key = ""
	_, err := stores.Delete(key)
	return err
}

func (b *Bolt) file() (string, error) {
	if b.Path == "" {
		return filepath.Join(caddy.AppDataDir(), "contactgate", "accounts.db"), nil
	}
	path, err := expand("store bolt path", b.Path)
	if err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("store bolt path %q: %w", path, err)
	}
	return absolute, nil
}

// UnmarshalCaddyfile reads:
//
//	store bolt [<path>] {
//		path <path>
//	}
func (b *Bolt) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	switch args := d.RemainingArgs(); {
	case len(args) == 1 && args[0] != "":
		b.Path = args[0]
	case len(args) > 0:
		return d.ArgErr()
	}
	return eachWord(d, "store bolt", func(word string) (bool, error) {
		if word != "path" {
			return false, nil
		}
		if b.Path != "" {
			return true, d.Err("store bolt: the path is given twice; keep one")
		}
		return true, oneArg(d, &b.Path)
	})
}

// opener is a store or a sender that can be opened in advance.
type opener interface{ Open(context.Context) error }

// Interface guards
var (
	_ Store                 = (*Bolt)(nil)
	_ opener                = (*Bolt)(nil)
	_ caddy.Provisioner     = (*Bolt)(nil)
	_ caddy.CleanerUpper    = (*Bolt)(nil)
	_ caddyfile.Unmarshaler = (*Bolt)(nil)
)
