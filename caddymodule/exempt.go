package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/contactgate/contactgate/policy"
)

// exemption is one matcher set of the operator.
type exemption struct {
	matchers caddyhttp.MatcherSet
	// paths are the patterns of its path matcher, as written. Caddy's own copy is in lower case.
	paths []string
}

// loadExemptions loads the matchers and warns of those that a client can satisfy at will.
func (g *Gate) loadExemptions(ctx caddy.Context) error {
	g.exemptions = make([]exemption, len(g.ExemptRaw))
	for i, set := range g.ExemptRaw {
		if err := json.Unmarshal(orNull(set["path"]), &g.exemptions[i].paths); err != nil {
			return fmt.Errorf("exempt path: %w", err)
		}
		for _, warning := range clientMatchers(set) {
			g.log.Warn("exempt: "+warning, "hosts", g.hosts)
		}
	}
	loaded, err := ctx.LoadModule(g, "ExemptRaw")
	if err != nil {
		return fmt.Errorf("exempt: %w", err)
	}
	var sets caddyhttp.MatcherSets
	if err := sets.FromInterface(loaded); err != nil {
		return fmt.Errorf("exempt: %w", err)
	}
	for i := range sets {
		g.exemptions[i].matchers = sets[i]
	}
	return nil
}

// exempt tells whether an operator's matcher lets the request through. Caddy's path matchers are generous: they also
// match //public/x, /public/..\a and /PUBLIC/x, which an app may read in another way. So the spelling comes first,
// in the very bytes that go to the app and in those that the client sent.
func (g *Gate) exempt(r *http.Request) bool {
	if len(g.exemptions) == 0 || !oneSpelling(r) {
		return false
	}
	for i := range g.exemptions {
		if g.exemptions[i].match(r) {
			return true
		}
	}
	return false
}

func oneSpelling(r *http.Request) bool {
	if r.URL.Opaque != "" || !oneHost(r.Host) || !policy.CanonicalPath(r.URL.EscapedPath()) {
		return false
	}
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return !ok || original.URL == nil || original.URL.Opaque == "" && policy.CanonicalPath(original.URL.EscapedPath())
}

// oneHost tells whether a host is written in one way: Caddy's host matcher takes "[hooks.example]" for hooks.example,
// an app behind it takes it for a host that it does not know, and serves its default one.
func oneHost(host string) bool {
	if !strings.ContainsAny(host, "[]") {
		return true
	}
	_, err := netip.ParseAddr(withoutPort(host))
	return err == nil
}

func (e *exemption) match(r *http.Request) bool {
	// A matcher that fails does not exempt.
	if ok, err := e.matchers.MatchWithError(r); err != nil || !ok {
		return false
	}
	if e.paths == nil {
		return true
	}
	for _, pattern := range e.paths {
		if literally(pattern, r) {
			return true
		}
	}
	return false
}

// literally matches a pattern of Caddy's path matcher in the case in which it is written. What * covers may have any.
func literally(pattern string, r *http.Request) bool {
	if strings.Contains(pattern, "{") {
		replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if !ok {
			return false
		}
		pattern = replacer.ReplaceAll(pattern, "")
	}
	target := r.URL.Path
	if strings.Contains(pattern, "%") {
		target, pattern = r.URL.EscapedPath(), strings.ReplaceAll(pattern, "%*", "*")
	}
	inner := strings.Trim(pattern, "*")
	plain := !strings.ContainsAny(inner, `*?[\`)
	switch stars := strings.Count(pattern, "*"); {
	case pattern == "*":
		return true
	case plain && stars == 2 && strings.HasPrefix(pattern, "*") && strings.HasSuffix(pattern, "*"):
		return strings.Contains(target, inner)
	case plain && stars == 1 && strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(target, inner)
	case plain && stars == 1 && strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(target, inner)
	}
	ok, _ := path.Match(pattern, target)
	return ok
}

// clientMatchers names the matchers whose outcome a client chooses. What an expression or a variable asks cannot be
// told from outside.
func clientMatchers(set map[string]json.RawMessage) []string {
	var warnings []string
	for _, name := range sortedKeys(set) {
		switch name {
		case "header", "header_regexp":
			for _, field := range sortedKeys(objectOf(set[name])) {
				warnings = append(warnings, fmt.Sprintf("%s %s: a client chooses its own headers, so anybody can pass the gate with this one", name, field))
			}
		case "query":
			warnings = append(warnings, "query: a client chooses its own query, so anybody can pass the gate with this one")
		case "expression", "vars", "vars_regexp":
			warnings = append(warnings, name+": cannot tell what it matches; if that is something a client chooses (a header, the User-Agent, the query), anybody can pass the gate with it")
		case "not":
			var inner []map[string]json.RawMessage
			_ = json.Unmarshal(set[name], &inner) // loading it reports what is wrong with it
			for _, s := range inner {
				for _, w := range clientMatchers(s) {
					warnings = append(warnings, "not "+w)
				}
			}
		}
	}
	return warnings
}

func objectOf(raw json.RawMessage) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	_ = json.Unmarshal(raw, &object)
	return object
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}
