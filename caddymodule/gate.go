package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

func init() { caddy.RegisterModule(new(Gate)) }

// Gate interrupts people who are signed in and have not confirmed a contact. It stands after whatever signs people in
// and before the app.
type Gate struct {
	// Rules and looks of this site, where they differ from those of all sites.
	Settings *Settings `json:"settings,omitempty"`

	// Who is signed in. Default: the placeholder `{http.auth.user.id}`.
	IdentityRaw json.RawMessage `json:"identity,omitempty" caddy:"namespace=contactgate.identities inline_key=module"`

	// The namespace of the user IDs; sites with the same realm share their accounts. May be left out when every gate
	// of the configuration has the same identity. Default: default.
	Realm string `json:"realm,omitempty"`

	// The path of the gate's own pages. Default: /.contactgate.
	Prefix string `json:"prefix,omitempty"`

	// `keep`, or `fold` for sign-ins that ignore the case of user IDs. Default: keep.
	UserCase string `json:"user_case,omitempty"`

	// The site as people see it, `https://app.example.com`. Default: scheme and host of each request as Caddy serves
	// it, trusted proxies honoured.
	Origin string `json:"origin,omitempty"`

	// Requests that are never interrupted: any of these matcher sets. A path that has another spelling than its
	// canonical one is never exempt. A client chooses its own headers, User-Agent and query: matching on them opens
	// the gate to everybody.
	ExemptRaw caddyhttp.RawMatcherSets `json:"exempt,omitempty" caddy:"namespace=http.matchers"`

	// Users, groups and mail domains (`example.edu`, `*.example.edu`) that are never interrupted.
	ExemptUsers   []string `json:"exempt_users,omitempty"`
	ExemptGroups  []string `json:"exempt_groups,omitempty"`
	ExemptDomains []string `json:"exempt_domains,omitempty"`

	// Verified contacts that the app is told in request headers: `email`, `phone`. Default: none.
	PassHeaders []string `json:"pass_headers,omitempty"`

	app      *App
	log      *slog.Logger
	rules    policy.Rules
	pages    *pages.Renderer
	identity Identity

	realm       string
	prefix      string
	signOut     string // as configured
	signOutPath string // with its query, if there is one; when it is on this site
	origin      string // empty: as the request came
	support     string
	siteName    string
	fold        bool
	hosts       []string // of the routes above; empty: any
	protected   []string // header fields that the identity believes, in canonical form

	passEmail, passPhone bool

	exemptions []exemption
}

// CaddyModule returns the Caddy module information.
func (*Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.contactgate", New: func() caddy.Module { return new(Gate) }}
}

// Provision reads and checks the site's configuration and where the gate stands. It opens nothing.
func (g *Gate) Provision(ctx caddy.Context) error {
	g.log = ctx.Slogger()
	app, err := ctx.App("contactgate")
	if err != nil {
		return err
	}
	g.app, g.hosts = app.(*App), hostsAbove(ctx)
	settings := g.Settings.over(g.app.Settings)
	if err := errors.Join(
		g.readSite(settings),
		g.readRules(settings),
		g.loadIdentity(ctx),
		g.loadExemptions(ctx),
		g.checkSender(),
		g.app.survey(ctx),
	); err != nil {
		return err
	}
	if err := g.readLooks(settings); err != nil {
		return err
	}
	g.app.register(g)
	return nil
}

// readSite takes over what is the site's own.
func (g *Gate) readSite(s *Settings) error {
	g.realm = g.Realm
	if g.realm == "" {
		g.realm = defaultRealm
	}
	g.prefix, g.origin = g.prefixOrDefault(), g.Origin
	g.signOut, g.signOutPath, g.support = s.SignOut, g.pathOf(s.SignOut), s.Support
	g.fold = g.UserCase == "fold"
	g.passEmail, g.passPhone = slices.Contains(g.PassHeaders, "email"), slices.Contains(g.PassHeaders, "phone")
	errs := []error{s.check(), checkRealm(g.realm), checkPrefix(g.prefix), checkOrigin(g.Origin), checkUserCase(g.UserCase)}
	for _, header := range g.PassHeaders {
		errs = append(errs, checkPassHeader(header))
	}
	return errors.Join(errs...)
}

const (
	defaultRealm  = "default"
	defaultPrefix = "/.contactgate"
)

func (g *Gate) prefixOrDefault() string {
	if g.Prefix == "" {
		return defaultPrefix
	}
	return g.Prefix
}

func (g *Gate) readRules(s *Settings) error {
	rules, err := s.rules()
	rules.Countries = g.app.offered
	rules.WithoutEmail = len(g.app.senders) > 0 && !g.app.carries(policy.ByEmail)
	rules.ExemptUsers, rules.ExemptGroups, rules.ExemptDomains = g.ExemptUsers, g.ExemptGroups, g.ExemptDomains
	g.rules = rules
	// The rules were checked before the site's own words were added; a fault of both is not said twice.
	if err != nil {
		return err
	}
	return g.rules.Validate()
}

func (g *Gate) loadIdentity(ctx caddy.Context) error {
	if g.IdentityRaw == nil {
		g.IdentityRaw = json.RawMessage(`{"module": "placeholder"}`)
	}
	module, err := ctx.LoadModule(g, "IdentityRaw")
	if err != nil {
		return err
	}
	identity, ok := module.(Identity)
	if !ok {
		return fmt.Errorf("identity: the module %T is no identity; it must implement caddymodule.Identity", module)
	}
	g.identity = identity
	if believes, ok := module.(interface{ Headers() []string }); ok {
		g.protected = believes.Headers()
	}
	return nil
}

// checkSender: without one, people would be blocked and have no way out.
func (g *Gate) checkSender() error {
	switch {
	case g.app.carries(policy.ByEmail), len(g.app.offered) > 0, g.rules.Mode == policy.Observe:
		return nil
	case len(g.app.senders) > 0:
		return errors.New("channels: there are senders for phones only, and no country whose phones they may reach; add \"channels JP sms voice\" to the contactgate block of the global options, or add \"email smtp { … }\"")
	}
	return errors.New("email: there is no sender, so that nobody could confirm a contact; add \"email smtp { … }\" to the contactgate block of the global options, or set \"mode observe\"")
}

// pathOf is the path of an address, with its query, when it is one of this site. Without the query, a sign-out such as
// /index.php?action=logout would exempt the whole app.
func (g *Gate) pathOf(address string) string {
	if strings.HasPrefix(address, "/") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	origin, _ := url.Parse(g.origin)
	if g.origin != "" && strings.EqualFold(origin.Host, u.Host) || slices.Contains(g.hosts, strings.ToLower(u.Hostname())) {
		return u.RequestURI()
	}
	return ""
}

func (g *Gate) readLooks(s *Settings) error {
	g.siteName = g.nameSite(s)
	renderer, err := g.app.renderer(s, g.siteName)
	if err != nil {
		return err
	}
	g.pages = renderer
	return nil
}

// nameSite finds what people call the site: the brand, else its host.
func (g *Gate) nameSite(s *Settings) string {
	if s.Brand != nil && s.Brand.Name != "" {
		return s.Brand.Name
	}
	if u, err := url.Parse(g.origin); g.origin != "" && err == nil {
		return u.Hostname()
	}
	for _, host := range g.hosts {
		if !strings.ContainsAny(host, "*{") {
			return host
		}
	}
	g.log.Warn("the pages cannot name this site: it serves any host; add brand \"Name\" or origin https://host to its contactgate block")
	return "this site"
}

func checkRealm(realm string) error {
	if len(realm) > 64 || strings.ContainsFunc(realm, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("realm %q: use up to 64 ASCII characters without blanks", realm)
	}
	return nil
}

func checkPrefix(prefix string) error {
	if !policy.CanonicalPath(prefix) || strings.HasSuffix(prefix, "/") || strings.ContainsAny(prefix, "%*?'\"") {
		return fmt.Errorf("prefix %q: use a plain path that starts with a slash and does not end with one, such as %s", prefix, defaultPrefix)
	}
	return nil
}

func checkOrigin(origin string) error {
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) || !isOriginHost(u) {
		return fmt.Errorf("origin %q: use exactly scheme and host, and the port if it is not the usual one, in lower case: https://app.example.com", origin)
	}
	return nil
}

// isOriginHost wants the host as browsers write it: no blanks, no wildcard, no port that goes without saying.
func isOriginHost(u *url.URL) bool {
	usual := map[string]string{"https": "443", "http": "80"}
	if u.User != nil || u.Port() == usual[u.Scheme] || strings.HasSuffix(u.Host, ":") {
		return false
	}
	return net.ParseIP(u.Hostname()) != nil || !strings.ContainsFunc(u.Hostname(), func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}

func checkUserCase(text string) error {
	if text != "" && text != "keep" && text != "fold" {
		return fmt.Errorf("user_case %q: use keep or fold", text)
	}
	return nil
}

func checkPassHeader(text string) error {
	if text != "email" && text != "phone" {
		return fmt.Errorf("pass_headers %q: use email, phone or both", text)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
)
