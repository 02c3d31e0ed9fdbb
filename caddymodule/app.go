// Package caddymodule is all of contactgate that speaks Caddy: the app that sites share, the gate of a site, the guest
// modules, the Caddyfile, the admin routes and the commands. What it wires together knows nothing of Caddy.
package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/exp/zapslog"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

func init() { caddy.RegisterModule(new(App)) }

// App is what all gated sites share: where accounts are kept, how messages are sent, and the rules and looks that a
// site does not set itself.
type App struct {
	// Where accounts are kept. Default: `bolt`, in Caddy's data directory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=contactgate.stores inline_key=module"`

	// The key ring that seals what is kept and signs what browsers hold, as `contactgate gate keys new` prints it.
	// May use placeholders, such as `{file./run/secrets/contactgate_keys}`. Default: a ring is made once and kept in
	// Caddy's storage.
	Keys string `json:"keys,omitempty"`

	// How e-mail is sent. A gate needs at least one of email, sms and voice, unless it only observes.
	EmailRaw json.RawMessage `json:"email,omitempty" caddy:"namespace=contactgate.senders inline_key=module"`

	// How texts are sent. Default: not at all, and then none is offered.
	SMSRaw json.RawMessage `json:"sms,omitempty" caddy:"namespace=contactgate.senders inline_key=module"`

	// How calls are made. Default: not at all, and then none is offered.
	VoiceRaw json.RawMessage `json:"voice,omitempty" caddy:"namespace=contactgate.senders inline_key=module"`

	// How codes may reach phones, by country; the first country is the one to expect. Without it phones are not offered.
	// Where one channel is left, it is chosen for the person.
	Channels []CountryChannels `json:"channels,omitempty"`

	// Mail domains whose carriers drop such mail without a bounce: people are warned before anything is sent. `*.` in front
	// covers all below a domain; `off` alone warns of none. Default: those of the Japanese carriers.
	LossyDomains []string `json:"lossy_domains,omitempty"`

	// The admin routes of contactgate answer on every listener that Caddy's admin endpoint has, also over a network.
	// That endpoint has no login: set this only when something in front of it lets nobody but operators in.
	// Default: false.
	AdminAnywhere bool `json:"admin_anywhere,omitempty"`

	// The rules and looks of all sites; a site may override single ones.
	Settings *Settings `json:"settings,omitempty"`

	ctx      caddy.Context
	log      *slog.Logger
	audit    *slog.Logger
	registry *prometheus.Registry
	storage  certmagic.Storage

	store     store.Store
	storeName string // of its module, for metrics
	keysText  string // expanded; empty: the ring is kept in Caddy's storage
	senders   map[policy.Channel]*delivery.Guard
	mailFrom  string // as people see it
	callerID  string // the number that a call shows; empty: it is not known
	subjects  map[string]string
	twilio    *Twilio          // of the texts, for the calls
	offered   []policy.Country // what of Channels there are senders for
	lossy     []string

	mu        sync.Mutex
	gates     []*Gate
	surveyed  bool
	renderers map[string]*pages.Renderer

	opened opening // what Start opens: runtime.go
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate", New: func() caddy.Module { return new(App) }}
}

// Provision reads and checks the configuration. It opens nothing: "caddy validate", and every reload that is rejected,
// run it beside a server that is using the store.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log, a.registry, a.storage = ctx, ctx.Slogger(), ctx.GetMetricsRegistry(), ctx.Storage()
	a.audit = slog.New(zapslog.NewHandler(ctx.Logger().Core(), zapslog.WithName("contactgate.audit"), zapslog.AddStacktraceAt(never)))
	if a.Settings == nil {
		a.Settings = &Settings{}
	}
	if a.AdminAnywhere {
		a.log.Warn("admin_anywhere: whoever reaches Caddy's admin endpoint can freeze, unfreeze and read accounts")
	}
	_, rules := a.Settings.rules()
	return errors.Join(a.loadStore(ctx), a.loadSenders(ctx), a.readChannels(), a.readLossy(), a.readKeys(), rules, a.Settings.check(), registerMetrics(a.registry))
}

// never is above every level: our log lines carry no stack traces.
const never = slog.Level(127)

// Start opens the store and the keys, so that a configuration that cannot work is rejected. Requests may have come
// before; they opened what they needed by themselves.
func (a *App) Start() error { return a.openRuntime(a.ctx) }

// Stop ends what Start began. The store stays open while a later configuration uses it.
func (a *App) Stop() error {
	a.closeRuntime()
	return nil
}

// Cleanup also runs for an app that was never started or not even provisioned.
func (a *App) Cleanup() error {
	a.closeRuntime()
	return nil
}

func (a *App) loadStore(ctx caddy.Context) error {
	if a.StoreRaw == nil {
		a.StoreRaw = json.RawMessage(`{"module": "bolt"}`)
	}
	module, err := ctx.LoadModule(a, "StoreRaw")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	s, ok := module.(Store)
	if !ok {
		return fmt.Errorf("store: the module %T is no store; it must implement caddymodule.Store", module)
	}
	a.store, a.storeName = s, caddy.GetModuleName(module)
	return nil
}

// channels are all there are, in the order in which they are told of.
var channels = [...]policy.Channel{policy.ByEmail, policy.BySMS, policy.ByVoice}

// loadSenders loads what carries each channel. Texts come before calls, which may go through the same account.
func (a *App) loadSenders(ctx caddy.Context) error {
	a.senders = map[policy.Channel]*delivery.Guard{}
	var errs []error
	for _, way := range []struct {
		channel policy.Channel
		field   string
		raw     json.RawMessage
	}{
		{policy.ByEmail, "EmailRaw", a.EmailRaw}, {policy.BySMS, "SMSRaw", a.SMSRaw}, {policy.ByVoice, "VoiceRaw", a.VoiceRaw},
	} {
		if way.raw != nil {
			errs = append(errs, a.loadSender(ctx, way.channel, way.field))
		}
	}
	return errors.Join(errs...)
}

func (a *App) loadSender(ctx caddy.Context, channel policy.Channel, field string) error {
	module, err := ctx.LoadModule(a, field)
	if err != nil {
		return fmt.Errorf("%s: %w", channel, err)
	}
	sender, ok := module.(Sender)
	if !ok {
		return fmt.Errorf("%s: the module %T is no sender; it must implement caddymodule.Sender", channel, module)
	}
	if carrier, ok := module.(interface{ Carry(channel string) error }); ok {
		if err := carrier.Carry(string(channel)); err != nil {
			return err
		}
	}
	if texts, ok := module.(*Twilio); ok && channel == policy.BySMS {
		a.twilio = texts
	}
	a.senders[channel] = delivery.NewGuard(sender, func(down bool) {
		if down {
			a.log.Error("messages cannot be handed over, and people are told so at once until the carrier is back", "channel", string(channel))
		} else {
			a.log.Info("messages are handed over again", "channel", string(channel))
		}
	})
	a.readNames(channel, module)
	return nil
}

// readNames takes over what people are told to look for.
func (a *App) readNames(channel policy.Channel, module any) {
	if named, ok := module.(interface{ From() string }); ok && channel == policy.ByEmail {
		a.mailFrom = named.From()
	}
	if worded, ok := module.(interface{ Subjects() map[string]string }); ok && channel == policy.ByEmail {
		a.subjects = worded.Subjects()
	}
	if named, ok := module.(interface{ CallerID() string }); ok && channel == policy.ByVoice {
		a.callerID = named.CallerID()
	}
}

// sender is what carries messages of a channel; nil when nothing does.
func (a *App) sender(channel policy.Channel) *delivery.Guard { return a.senders[channel] }

// carries tells whether messages of a channel can be sent at all.
func (a *App) carries(channel policy.Channel) bool { return a.senders[channel] != nil }

func (a *App) readKeys() error {
	if a.Keys == "" {
		return nil
	}
	text, err := expand("keys", a.Keys)
	if err != nil {
		return err
	}
	if _, err := verify.ParseKeyring(text); err != nil {
		return err
	}
	a.keysText = text
	return nil
}

// expand replaces placeholders in a secret. A file or variable that is missing or empty is an error, and the error
// names the directive, never the value.
func expand(directive, value string) (string, error) {
	expanded, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w; set it, or name another file or variable", directive, err)
	}
	return strings.TrimRight(expanded, "\r\n"), nil
}

// register makes a gate known to the app. Gates come one after the other, but a lock costs nothing.
func (a *App) register(g *Gate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gates = append(a.gates, g)
}

// renderer gives the pages for these settings. Gates that look alike share one.
func (a *App) renderer(s *Settings, siteName string) (*pages.Renderer, error) {
	config, key, err := a.look(s, siteName)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.renderers[key]; r != nil {
		return r, nil
	}
	r, err := pages.New(config)
	if err != nil {
		return nil, err
	}
	if a.renderers == nil {
		a.renderers = map[string]*pages.Renderer{}
	}
	a.renderers[key] = r
	return r, nil
}

// look is what pages.New needs, and a key that tells two looks apart.
func (a *App) look(s *Settings, siteName string) (pages.Config, string, error) {
	zone, err := s.location()
	if err != nil {
		return pages.Config{}, "", err
	}
	brand := Brand{}
	if s.Brand != nil {
		brand = *s.Brand
	}
	logo, err := readLogo(brand.Logo)
	if err != nil {
		return pages.Config{}, "", err
	}
	config := pages.Config{
		Brand:     pages.Brand{Name: siteName, Issuer: brand.Issuer, Logo: logo.bytes, LogoType: logo.mediaType, Accent: brand.Accent, Links: linksOf(brand)},
		Languages: s.Languages,
		Location:  zone,
		Subjects:  a.subjects,
	}
	if brand.Templates != "" {
		folder, err := os.Stat(brand.Templates)
		if err != nil || !folder.IsDir() {
			return pages.Config{}, "", fmt.Errorf("brand templates %q: not a folder that can be read; name one, or remove the line", brand.Templates)
		}
		config.Overrides = os.DirFS(brand.Templates)
	}
	key, err := json.Marshal([]any{siteName, brand, config.Languages, s.TimeZone})
	return config, string(key), err
}

func linksOf(b Brand) []pages.Link {
	var links []pages.Link
	for _, l := range b.Links {
		links = append(links, pages.Link{Text: l.Text, URL: l.URL})
	}
	return links
}

type logo struct {
	bytes     []byte
	mediaType string
}

var logoTypes = map[string]string{".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}

func readLogo(path string) (logo, error) {
	if path == "" {
		return logo{}, nil
	}
	mediaType, ok := logoTypes[strings.ToLower(filepath.Ext(path))]
	if !ok {
		return logo{}, fmt.Errorf("brand logo %q: use a .svg, .png or .webp file", path)
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		return logo{}, fmt.Errorf("brand logo: %w; name a file that Caddy can read, or remove the line", err)
	}
	return logo{bytes, mediaType}, nil
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
