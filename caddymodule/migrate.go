package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/contactgate/contactgate/internal/verify"
)

func migrateCommand() *cobra.Command {
	migrate := &cobra.Command{
		Use:   "migrate --from <config> --to <config>",
		Short: "Copies every account into another store",
		Long: `
Copies every record of the account store of one configuration into that of another, between a file
(bolt) and Redis or the other way round, and compares them byte for byte. Stop every gate that uses
either store first.

  contactgate gate migrate --from Caddyfile --to Caddyfile.redis

Of the configurations only the store, the keys and Caddy's storage are looked at. The store to move
from is only read. The store to move to must be empty. What is sealed stays sealed: both
configurations must have the same key ring, in the option "keys" or in the same Caddy storage. The
store keeps its name and the day it was begun, so no gate takes it for a new one.

A move that was broken off, whatever the reason, goes on when the command is given again.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(runMigrate),
	}
	migrate.Flags().String("from", "", "Configuration whose store is copied (required)")
	migrate.Flags().String("to", "", "Configuration whose store is filled (required)")
	migrate.Flags().StringP("adapter", "a", "", "Name of the config adapter to apply to both")
	return migrate
}

func runMigrate(flags caddycmd.Flags) (int, error) {
	from, to, adapter := flags.String("from"), flags.String("to"), flags.String("adapter")
	if from == "" || to == "" {
		return caddy.ExitCodeFailedStartup, errors.New("name both configurations: --from and --to")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	moved, err := migrate(ctx, from, to, adapter, os.Stderr)
	switch {
	case errors.Is(err, verify.ErrNotMoved):
		return exitNo, err
	case ctx.Err() != nil:
		return caddy.ExitCodeFailedStartup, errors.New("broken off; give the same command again to go on")
	case err != nil:
		return caddy.ExitCodeFailedStartup, fmt.Errorf("%w; give the same command again to go on", err)
	}
	fmt.Printf("moved %s records, each compared byte for byte; the store is still %s, begun %s\n", grouped(moved.Records), moved.Store.ID, moved.Store.Born.UTC().Format(time.RFC3339))
	fmt.Printf("start contactgate with %s, and keep the old store until you have seen it work\n", to)
	return caddy.ExitCodeSuccess, nil
}

func migrate(ctx context.Context, from, to, adapter string, out io.Writer) (verify.Moved, error) {
	source, err := storeOf(from, adapter)
	if err != nil {
		return verify.Moved{}, fmt.Errorf("--from: %w", err)
	}
	defer source.close()
	target, err := storeOf(to, adapter)
	if err != nil {
		return verify.Moved{}, fmt.Errorf("--to: %w", err)
	}
	defer target.close()
	if source.key() == target.key() {
		return verify.Moved{}, fmt.Errorf("%w: both configurations name the same store", verify.ErrNotMoved)
	}
	if r, ok := source.store.(interface{ ReadOnly() }); ok {
		r.ReadOnly()
	}
	for what, app := range map[string]*moving{"--from": source, "--to": target} {
		if o, ok := app.store.(opener); ok {
			if err := o.Open(ctx); err != nil {
				return verify.Moved{}, fmt.Errorf("%s: opening the store: %w", what, err)
			}
		}
	}
	keys, err := target.ring(ctx)
	if err != nil {
		return verify.Moved{}, fmt.Errorf("--to: %w", err)
	}
	bar := &progress{out: out, terminal: isTerminal(out)}
	defer bar.end()
	m := verify.Move{From: source.store, To: target.store, Keys: keys, Say: bar.say}
	return m.Run(ctx)
}

// moving is the part of a configuration that holds accounts.
type moving struct{ *App }

// storeOf provisions the store and the storage of a configuration, and nothing else of it: secrets for mail, ports and
// sites are none of our business here.
func storeOf(file, adapter string) (*moving, error) {
	text, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, err
	}
	var whole struct {
		Storage json.RawMessage            `json:"storage"`
		Apps    map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, fmt.Errorf("reading %s: %w; name a configuration of Caddy", file, err)
	}
	if whole.Apps["contactgate"] == nil && !strings.Contains(string(text), `"contactgate"`) {
		return nil, fmt.Errorf("%s has no contactgate in it", file)
	}
	var app App
	if raw := whole.Apps["contactgate"]; raw != nil {
		if err := json.Unmarshal(raw, &app); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	part, err := json.Marshal(&App{StoreRaw: app.StoreRaw, Keys: app.Keys})
	if err != nil {
		return nil, err
	}
	no := false
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &no}},
		StorageRaw: whole.Storage, AppsRaw: caddy.ModuleMap{"contactgate": part},
	})
	if err != nil {
		return nil, err
	}
	module, err := ctx.App("contactgate")
	if err != nil {
		return nil, err
	}
	return &moving{module.(*App)}, nil
}

func (m *moving) close() {
	if m.store != nil {
		_ = m.store.Close()
	}
}

// key names a store; two that are the same have the same.
func (m *moving) key() string {
	switch s := m.store.(type) {
	case *Bolt:
		return s.key
	case *Redis:
		return s.key
	}
	return fmt.Sprintf("%p", m.store)
}

// ring finds the keys, and makes none: a new ring could open nothing.
func (m *moving) ring(ctx context.Context) (*verify.Keyring, error) {
	if m.keysText != "" {
		return verify.ParseKeyring(m.keysText)
	}
	text, err := m.storage.Load(ctx, keysInStorage)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: it has no key ring, neither the option keys nor %s in its Caddy storage; give it the ring of the old store", verify.ErrNotMoved, keysInStorage)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys from Caddy's storage: %w", err)
	}
	return verify.ParseKeyring(string(text))
}

// progress shows how far it is: a bar on a terminal, else a line now and then.
type progress struct {
	out      io.Writer
	terminal bool
	step     verify.MoveStep
	said     time.Time
	open     bool // a line without its end
}

const (
	barWidth = 30
	lineEach = 5 * time.Second
	drawEach = 100 * time.Millisecond
)

func (p *progress) say(step verify.MoveStep, done, total int) {
	every := lineEach
	if p.terminal {
		every = drawEach
	}
	now := time.Now()
	last := total > 0 && done == total
	if step == p.step && !last && now.Sub(p.said) < every {
		return
	}
	if step != p.step && p.open {
		p.end()
	}
	p.step, p.said = step, now
	text := fmt.Sprintf("%-9s %s records", step, grouped(done))
	if total > 0 {
		text = fmt.Sprintf("%-9s %3d %%  %s of %s records", step, done*100/total, grouped(done), grouped(total))
	}
	if !p.terminal {
		_, _ = fmt.Fprintln(p.out, text)
		return
	}
	if total > 0 {
		filled := barWidth * done / total
		text = fmt.Sprintf("%s  [%s%s]", text, strings.Repeat("#", filled), strings.Repeat("-", barWidth-filled))
	}
	_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", text)
	p.open = true
}

// end ends the line of a bar.
func (p *progress) end() {
	if p.open {
		_, _ = fmt.Fprintln(p.out)
		p.open = false
	}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// grouped writes a number as people read it: 12,345.
func grouped(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
