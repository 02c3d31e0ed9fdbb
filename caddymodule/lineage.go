package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// What only shows between handlers: what stands before a gate, and which routes lead to it.
//
// Caddy provisions depth first, and a list of handlers keeps its JSON until the last of them was loaded. So while the
// first gate of a configuration is provisioned, every gate, and all around it, is still there as JSON; what came
// earlier is there as modules. The walk below reads both alike, once, and judges all gates together.

// hostsAbove finds the host names of the routes that lead to the module being provisioned. Empty: any host.
func hostsAbove(ctx caddy.Context) []string {
	var hosts []string
	for _, route := range routesAbove(ctx) {
		if narrower := hostsOf(route); len(narrower) > 0 {
			hosts = narrower
		}
	}
	return hosts
}

// routesAbove are the routes that are being provisioned right now, the outermost first.
func routesAbove(ctx caddy.Context) []caddyhttp.Route {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	above := pending(nil, serverRoutes(server)...)
	for _, module := range ctx.Modules() {
		switch m := module.(type) {
		case *caddyhttp.Subroute:
			above = pending(above, m.Routes, errorRoutes(m.Errors))
		case *reverseproxy.Handler:
			var answers []caddyhttp.RouteList
			for _, a := range m.HandleResponse {
				answers = append(answers, a.Routes)
			}
			above = pending(above, answers...)
		}
	}
	return above
}

// pending adds the first route whose handlers are not all loaded: the one at work.
func pending(above []caddyhttp.Route, lists ...caddyhttp.RouteList) []caddyhttp.Route {
	for _, list := range lists {
		for _, route := range list {
			if len(route.HandlersRaw) > 0 {
				return append(above, route)
			}
		}
	}
	return above
}

// serverRoutes are the lists of a server, in the order in which Caddy provisions them.
func serverRoutes(s *caddyhttp.Server) []caddyhttp.RouteList {
	lists := []caddyhttp.RouteList{s.Routes, errorRoutes(s.Errors)}
	for _, name := range sortedKeys(s.NamedRoutes) {
		lists = append(lists, caddyhttp.RouteList{*s.NamedRoutes[name]})
	}
	return lists
}

func errorRoutes(e *caddyhttp.HTTPErrorConfig) caddyhttp.RouteList {
	if e == nil {
		return nil
	}
	return e.Routes
}

// survey judges where the gates of the configuration stand: once, when the first of them is provisioned.
func (a *App) survey(ctx caddy.Context) error {
	site := slices.IndexFunc(ctx.Modules(), func(m caddy.Module) bool { _, ok := m.(*caddyhttp.App); return ok })
	if site < 0 || a.surveyed {
		return nil
	}
	a.surveyed = true
	app := ctx.Modules()[site].(*caddyhttp.App)
	var all []stand
	for _, name := range sortedKeys(app.Servers) {
		s := &surveyor{server: app.Servers[name], name: name}
		s.list(s.server.Routes, position{}, chain{}, false)
		s.list(errorRoutes(s.server.Errors), position{}, chain{}, false)
		all = append(all, s.gates...)
	}
	for _, warning := range warnings(app, all) {
		a.log.Warn(warning)
	}
	return faults(all)
}

// stand is one gate and where it stands.
type stand struct {
	config *Gate
	raw    string // its JSON: two routes of one directive have the same
	list   int    // which list of routes it is in
	server *caddyhttp.Server
	name   string // of the server
	position
	chain
}

func (s *stand) String() string {
	hosts := "any host"
	if len(s.hosts) > 0 {
		hosts = strings.Join(s.hosts, ", ")
	}
	return fmt.Sprintf("server %s, %s: contactgate", s.name, hosts)
}

// position is which requests come to a place: those that all the routes above let in.
type position struct {
	hosts  []string
	routes []caddyhttp.Route
	// taken are routes of the same group that come first.
	taken []caddyhttp.Route
}

func (p position) within(r caddyhttp.Route) position {
	p.routes = append(slices.Clip(p.routes), r)
	if hosts := hostsOf(r); len(hosts) > 0 {
		p.hosts = hosts
	}
	return p
}

// chain is what has been done to a request that comes to a place.
type chain struct {
	// answered names a handler that has answered every request already.
	answered string
	// fields are the request header fields that handlers wrote.
	fields map[string]field
	// wiped are patterns of fields that were deleted, "Remote-*", in lower case.
	wiped []string
}

// field is what is known of a request header field.
type field struct {
	// named: a forward_auth copies it. cleaned: what a client sent is gone, in any case.
	named, cleaned bool
	// except are the paths that the forward_auth leaves out.
	except []string
}

func (c chain) copy() chain {
	c.fields = maps.Clone(c.fields)
	if c.fields == nil {
		c.fields = map[string]field{}
	}
	return c
}

// perhaps adds what happened to some of the requests only.
func (c *chain) perhaps(inner chain) {
	for name, f := range inner.fields {
		was := c.fields[name]
		c.fields[name] = field{named: was.named || f.named, cleaned: was.cleaned, except: was.except}
	}
}

// surveyor walks through one server.
type surveyor struct {
	server *caddyhttp.Server
	name   string
	gates  []stand
	lists  int
	depth  int
}

// list walks through routes in the order in which a request meets them, and returns what has happened behind them.
func (s *surveyor) list(routes caddyhttp.RouteList, at position, before chain, answering bool) chain {
	s.lists++
	list := s.lists
	after := before.copy()
	groups := map[string]*group{}
	for _, r := range routes {
		entry, here := after, at.within(r)
		g := groups[r.Group]
		if r.Group == "" || g == nil {
			g = &group{entry: after.copy()}
			groups[r.Group] = g
		}
		if r.Group != "" {
			entry, here.taken = g.entry, append(slices.Clip(here.taken), g.earlier...)
		}
		inner := s.handlers(r, list, here, entry.copy(), answering)
		after = after.behind(r, inner)
		if g.closes(r, inner) {
			after.answer(inner.answered)
		}
	}
	return after
}

// group is routes of which only one runs.
type group struct {
	entry   chain // what has happened before the first of them
	earlier []caddyhttp.Route
	goesOn  bool // one of them lets requests through
}

// closes tells that no request comes by the group any more: a route without a matcher takes the rest, and all answer.
func (g *group) closes(r caddyhttp.Route, inner chain) bool {
	g.earlier = append(g.earlier, r)
	g.goesOn = g.goesOn || inner.answered == ""
	return r.Group != "" && len(matchersOf(r)) == 0 && !g.goesOn
}

// behind is what has happened behind a route.
func (c chain) behind(r caddyhttp.Route, inner chain) chain {
	matchers := matchersOf(r)
	if except, ok := leavesOut(matchers); ok && r.Group == "" {
		for name, f := range inner.fields {
			if f.cleaned && !c.fields[name].cleaned {
				f.except = except
				inner.fields[name] = f
			}
		}
		inner.answered, inner.wiped = c.answered, c.wiped
		return inner
	}
	switch {
	case len(matchers) > 0 && r.Terminal:
		return c
	case len(matchers) > 0 || r.Group != "":
		c.perhaps(inner)
		return c
	}
	return inner
}

// leavesOut recognises "everything but these paths".
func leavesOut(sets [][]any) ([]string, bool) {
	if len(sets) != 1 || len(sets[0]) != 1 {
		return nil, false
	}
	not, ok := sets[0][0].(negation)
	if !ok {
		return nil, false
	}
	var paths []string
	for _, set := range not {
		if len(set) != 1 {
			return nil, false
		}
		p, ok := set[0].(caddyhttp.MatchPath)
		if !ok {
			return nil, false
		}
		paths = append(paths, p...)
	}
	return paths, true
}

// handlers walks through the handlers of one route.
func (s *surveyor) handlers(r caddyhttp.Route, list int, at position, c chain, answering bool) chain {
	for _, h := range handlersOf(r) {
		switch h := h.(type) {
		case *foundGate:
			s.gates = append(s.gates, stand{config: &h.Gate, raw: h.raw, list: list, server: s.server, name: s.name, position: at, chain: c.copy()})
		case *caddyhttp.Subroute:
			c = s.list(h.Routes, at, c, answering)
			s.list(errorRoutes(h.Errors), at, chain{}, answering)
		case *caddyhttp.Invoke:
			c = s.invoke(h, at, c, answering)
		case *headers.Handler:
			c.write(h.Request, answering)
		case *reverseproxy.Handler:
			c = s.proxy(h, at, c)
		case *fileserver.FileServer:
			if !h.PassThru {
				c.answer("file_server")
			}
		case *caddyhttp.StaticResponse:
			c.answer("respond")
		case *caddyhttp.StaticError:
			c.answer("error")
		}
	}
	return c
}

func (c *chain) answer(by string) {
	if c.answered == "" {
		c.answered = by
	}
}

// deepest stops routes that invoke themselves.
const deepest = 20

func (s *surveyor) invoke(i *caddyhttp.Invoke, at position, c chain, answering bool) chain {
	route, ok := s.server.NamedRoutes[i.Name]
	if !ok || s.depth > deepest {
		return c
	}
	s.depth++
	defer func() { s.depth-- }()
	return s.list(caddyhttp.RouteList{*route}, at, c, answering)
}

// proxy: one that does something with the answers is an authenticator (forward_auth is that); any other is the app.
func (s *surveyor) proxy(h *reverseproxy.Handler, at position, c chain) chain {
	if len(h.HandleResponse) == 0 {
		by := "reverse_proxy"
		if len(h.Upstreams) > 0 {
			by += " to " + h.Upstreams[0].Dial
		}
		c.answer(by)
		return c
	}
	after := c.copy()
	for _, answer := range h.HandleResponse {
		for name, f := range s.list(answer.Routes, at, c, true).fields {
			if f.named {
				after.fields[name] = f
			}
		}
	}
	return after
}

// write notes what a headers handler does to the request's fields.
func (c *chain) write(ops *headers.HeaderOps, answering bool) {
	if ops == nil {
		return
	}
	for name, values := range ops.Set {
		copied := answering && len(values) == 1 && strings.HasPrefix(values[0], "{http.reverse_proxy.header.")
		c.fields[http.CanonicalHeaderKey(name)] = field{named: copied, cleaned: true}
	}
	for name := range ops.Add {
		f := c.fields[http.CanonicalHeaderKey(name)]
		f.named = false
		c.fields[http.CanonicalHeaderKey(name)] = f
	}
	for _, pattern := range ops.Delete {
		if !strings.Contains(pattern, "*") {
			c.fields[http.CanonicalHeaderKey(pattern)] = field{cleaned: true}
			continue
		}
		c.wiped = append(slices.Clip(c.wiped), strings.ToLower(pattern))
		for name := range c.fields {
			if wipes(c.wiped, name) {
				c.fields[name] = field{cleaned: true}
			}
		}
	}
}

func wipes(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, strings.ToLower(name))
		return ok && err == nil
	})
}

// faults are what makes a gate useless or dangerous where it stands. Each names server, host and handler.
func faults(all []stand) error {
	var errs []error
	for i := range all {
		s := &all[i]
		if s.answered != "" {
			errs = append(errs, fmt.Errorf("%s stands behind a handler that answers every request (%s), so it guards nothing; move it before, for instance with \"route { … }\"", s, s.answered))
		}
		errs = append(errs, s.identityFaults()...)
	}
	errs = append(errs, unreachable(all)...)
	return errors.Join(append(errs, sharedRealm(all)...)...)
}

// identityFaults tells which header fields of the identity a client can forge.
func (s *stand) identityFaults() []error {
	p, ok := s.config.placeholder()
	if !ok {
		return nil
	}
	switch p.SetBy {
	case setByTrustedProxies:
		if !trusts(s.server).any {
			return []error{fmt.Errorf("%s: identity has \"set_by trusted_proxies\", but the server trusts no proxy; add \"servers { trusted_proxies static <ranges> }\" to the global options", s)}
		}
	case setByForwardAuth:
		return s.forwardAuthFaults(p.headers)
	}
	return nil
}

func (s *stand) forwardAuthFaults(names []string) []error {
	var errs []error
	for _, name := range names {
		f := s.fields[name]
		switch {
		case !f.named:
			errs = append(errs, fmt.Errorf("%s: identity has \"set_by forward_auth\", but no forward_auth before it copies %s; name it in copy_headers, and let nothing after it change the field", s, name))
		case !wipes(s.wiped, name) && (!f.cleaned || !s.withoutIdentity(f.except)):
			errs = append(errs, fmt.Errorf("%s: identity has \"set_by forward_auth\", but some requests come by without it and keep the %s that a client sent; take the matcher off the forward_auth, or delete the field first with \"route { request_header -%s … }\"", s, name, name))
		}
	}
	return errs
}

// withoutIdentity tells that paths are all among those that the gate serves whoever asks.
func (s *stand) withoutIdentity(paths []string) bool {
	prefix := s.config.prefixOrDefault()
	for _, p := range paths {
		if !strings.HasPrefix(p, prefix+"/assets/") && p != prefix+"/notice" && !strings.HasPrefix(p, prefix+"/notice/") {
			return false
		}
	}
	return true
}

// unreachable finds gates whose pages no request can come to. A directive with a matcher makes two routes with the same
// gate, of which one has to be reachable.
func unreachable(all []stand) []error {
	var errs []error
	for i := range all {
		s := &all[i]
		if s.reachable() || slices.ContainsFunc(all, func(o stand) bool {
			return o.list == s.list && o.name == s.name && o.raw == s.raw && o.reachable()
		}) {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: its pages under %s cannot be reached where it stands, because a route above it leaves them out; move it out of that route, or set \"prefix\" to a path inside of it", s, s.config.prefixOrDefault()))
	}
	return errs
}

func (s *stand) reachable() bool {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := probeRequest(method, s.config.prefixOrDefault()+"/verify")
		for _, r := range s.routes {
			if covers(matchersOf(r), probe) == no {
				return false
			}
		}
		for _, r := range s.taken {
			if covers(matchersOf(r), probe) == yes {
				return false
			}
		}
	}
	return true
}

// sharedRealm: without a realm, two sign-ins that call different people "ann" would share their accounts.
func sharedRealm(all []stand) []error {
	identities := map[string]bool{}
	var nameless []string
	for i := range all {
		identities[all[i].config.userSource()] = true
		if all[i].config.Realm == "" && !slices.Contains(nameless, all[i].String()) {
			nameless = append(nameless, all[i].String())
		}
	}
	if len(identities) < 2 || len(nameless) == 0 {
		return nil
	}
	return []error{fmt.Errorf("realm: the gates have different identities (%s), so each needs a \"realm\"; these have none: %s",
		strings.Join(sortedKeys(identities), "; "), strings.Join(nameless, "; "))}
}

// placeholder is the gate's identity when it is one.
func (g *Gate) placeholder() (*Placeholder, bool) {
	p := struct {
		Module string `json:"module"`
		Placeholder
	}{Module: "placeholder"}
	if g.IdentityRaw != nil && json.Unmarshal(g.IdentityRaw, &p) != nil || p.Module != "placeholder" {
		return nil, false
	}
	_ = p.Provision(caddy.Context{}) // what is wrong with it is said when it is loaded
	return &p.Placeholder, true
}

// userSource is where the gate's user IDs come from. What a sign-in says besides makes no other people of them.
func (g *Gate) userSource() string {
	if p, ok := g.placeholder(); ok {
		return p.User
	}
	return string(g.IdentityRaw)
}

// warnings are what may be meant, but is dangerous.
func warnings(app *caddyhttp.App, all []stand) []string {
	var found []string
	add := func(text string) {
		if !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	for i := range all {
		s := &all[i]
		if trusts(s.server).everybody {
			add(fmt.Sprintf("server %s: TRUSTED_PROXIES NAMES THE WHOLE INTERNET: any client can choose its own address, scheme and host, and with \"set_by trusted_proxies\" its own identity; name the ranges of your proxies", s.name))
		}
		for _, name := range s.dropped() {
			add(fmt.Sprintf("%s: Caddy drops the request header %s because of its \"_\" or \".\", so that nobody would be signed in; use a name without, or list it in the server's expected_underscore_headers or expected_dot_headers", s, name))
		}
		if plain := s.plainListener(app); plain != "" {
			add(fmt.Sprintf("%s: the listener %s speaks plain HTTP to other machines, so that anybody on the way can read and take over sessions; use HTTPS, or bind it to 127.0.0.1", s, plain))
		}
	}
	return found
}

// dropped are header fields of the identity that Caddy takes out of every request.
func (s *stand) dropped() []string {
	p, ok := s.config.placeholder()
	if !ok || len(s.server.ExpectedUnderscoreHeaders)+len(s.server.ExpectedDotHeaders) > 0 {
		return nil
	}
	return slices.DeleteFunc(p.headers, func(name string) bool { return !strings.ContainsAny(name, "_.") })
}

// plainListener finds a listener without TLS that other machines reach. Behind a proxy that the server trusts there
// may be none.
func (s *stand) plainListener(app *caddyhttp.App) string {
	if trusts(s.server).any || len(s.hosts) > 0 && !slices.ContainsFunc(s.hosts, func(h string) bool { return !isLoopbackHost(h) }) {
		return ""
	}
	httpPort := uint(app.HTTPPort)
	if httpPort == 0 {
		httpPort = caddyhttp.DefaultHTTPPort
	}
	for _, listen := range s.server.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() || isLoopbackHost(address.Host) {
			continue
		}
		if len(s.server.TLSConnPolicies) == 0 || address.StartPort == httpPort {
			return listen
		}
	}
	return ""
}

func isLoopbackHost(host string) bool {
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost")
}

// trust is whom a server believes.
type trust struct{ any, everybody bool }

// trusts reads a server's trusted proxies: from the JSON, or, when Caddy has loaded them, from a field that Caddy does
// not export. Should Caddy rename it, this knows less; what is done with a request does not depend on it.
func trusts(s *caddyhttp.Server) trust {
	if s.TrustedProxiesRaw != nil {
		var static struct {
			Ranges []string `json:"ranges"`
		}
		_ = json.Unmarshal(s.TrustedProxiesRaw, &static) // another source than "static" has no ranges
		return trust{any: true, everybody: slices.ContainsFunc(static.Ranges, isEverybody)}
	}
	loaded := reflect.ValueOf(s).Elem().FieldByName("trustedProxies")
	if !loaded.IsValid() {
		return trust{any: true}
	}
	if loaded.IsNil() {
		return trust{any: s.TrustedProxiesUnix}
	}
	t := trust{any: true}
	if source := reflect.Indirect(loaded.Elem()); source.Type() == reflect.TypeFor[caddyhttp.StaticIPRange]() {
		ranges := source.FieldByName("Ranges")
		for i := range ranges.Len() {
			t.everybody = t.everybody || isEverybody(ranges.Index(i).String())
		}
	}
	return t
}

func isEverybody(cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Bits() == 0
}

// foundGate is a gate that is not provisioned yet.
type foundGate struct {
	Gate
	raw string
}

// handlersOf gives a route's handlers, whether they are loaded or still JSON. Those that nobody asks for are left out.
func handlersOf(r caddyhttp.Route) []any {
	if len(r.HandlersRaw) == 0 {
		loaded := make([]any, len(r.Handlers))
		for i, h := range r.Handlers {
			loaded[i] = h
		}
		return loaded
	}
	var found []any
	for _, raw := range r.HandlersRaw {
		var named struct {
			Handler string `json:"handler"`
		}
		if json.Unmarshal(raw, &named) != nil {
			continue
		}
		if h := blankHandler(named.Handler); h != nil && json.Unmarshal(raw, h) == nil {
			if g, ok := h.(*foundGate); ok {
				g.raw = string(raw)
			}
			found = append(found, h)
		}
	}
	return found
}

func blankHandler(name string) any {
	switch name {
	case "contactgate":
		return new(foundGate)
	case "subroute":
		return new(caddyhttp.Subroute)
	case "invoke":
		return new(caddyhttp.Invoke)
	case "headers":
		return new(headers.Handler)
	case "reverse_proxy":
		return new(reverseproxy.Handler)
	case "file_server":
		return new(fileserver.FileServer)
	case "static_response":
		return new(caddyhttp.StaticResponse)
	case "error":
		return new(caddyhttp.StaticError)
	}
	return nil
}

// negation is a "not" matcher: none of these sets.
type negation [][]any

// matchersOf gives a route's matcher sets, whether they are loaded or still JSON. What is not understood stays as it is.
func matchersOf(r caddyhttp.Route) [][]any {
	if len(r.MatcherSetsRaw) > 0 {
		return rawMatchers(r.MatcherSetsRaw)
	}
	return loadedMatchers(r.MatcherSets)
}

func rawMatchers(sets []caddy.ModuleMap) [][]any {
	found := make([][]any, len(sets))
	for i, set := range sets {
		for _, name := range sortedKeys(set) {
			found[i] = append(found[i], rawMatcher(name, set[name]))
		}
	}
	return found
}

func rawMatcher(name string, raw json.RawMessage) any {
	switch name {
	case "host":
		return decoded[caddyhttp.MatchHost](raw)
	case "path":
		return decoded[caddyhttp.MatchPath](raw)
	case "method":
		return decoded[caddyhttp.MatchMethod](raw)
	case "not":
		return negation(rawMatchers(decoded[[]caddy.ModuleMap](raw)))
	}
	return name
}

func decoded[T any](raw json.RawMessage) T {
	var v T
	_ = json.Unmarshal(raw, &v) // loading it reports what is wrong with it
	return v
}

func loadedMatchers(sets []caddyhttp.MatcherSet) [][]any {
	found := make([][]any, len(sets))
	for i, set := range sets {
		for _, m := range set {
			found[i] = append(found[i], loadedMatcher(m))
		}
	}
	return found
}

func loadedMatcher(m any) any {
	switch m := m.(type) {
	case *caddyhttp.MatchHost:
		return *m
	case *caddyhttp.MatchPath:
		return *m
	case *caddyhttp.MatchMethod:
		return *m
	case *caddyhttp.MatchNot:
		return negation(loadedMatchers(m.MatcherSets))
	}
	return m
}

// hostsOf are the host names that a route is for. Empty: any.
func hostsOf(r caddyhttp.Route) []string {
	var hosts []string
	for _, set := range matchersOf(r) {
		at := slices.IndexFunc(set, func(m any) bool { _, ok := m.(caddyhttp.MatchHost); return ok })
		if at < 0 {
			return nil
		}
		hosts = append(hosts, set[at].(caddyhttp.MatchHost)...)
	}
	return hosts
}

// answer is what can be told of a matcher without a real request.
type answer uint8

const (
	maybe answer = iota
	no
	yes
)

// covers tells whether a request passes any of the matcher sets.
func covers(sets [][]any, probe *http.Request) answer {
	if len(sets) == 0 {
		return yes
	}
	result := no
	for _, set := range sets {
		switch coversAll(set, probe) {
		case yes:
			return yes
		case maybe:
			result = maybe
		}
	}
	return result
}

func coversAll(set []any, probe *http.Request) answer {
	result := yes
	for _, m := range set {
		switch coversOne(m, probe) {
		case no:
			return no
		case maybe:
			result = maybe
		}
	}
	return result
}

func coversOne(m any, probe *http.Request) answer {
	switch m := m.(type) {
	case caddyhttp.MatchPath:
		lower := slices.Clone(m)
		_ = lower.Provision(caddy.Context{}) // puts the patterns in lower case
		return certain(lower.Match(probe))
	case caddyhttp.MatchMethod:
		return certain(slices.Contains(m, probe.Method))
	case negation:
		if len(m) == 0 {
			return yes
		}
		switch covers(m, probe) {
		case yes:
			return no
		case no:
			return yes
		}
	}
	return maybe
}

func certain(matched bool) answer {
	if matched {
		return yes
	}
	return no
}

// probeRequest is a request for one of our pages, good enough for Caddy's own path matcher.
func probeRequest(method, target string) *http.Request {
	r := (&http.Request{Method: method, URL: &url.URL{Path: target}, Header: http.Header{}, RequestURI: target})
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, nil)
}
