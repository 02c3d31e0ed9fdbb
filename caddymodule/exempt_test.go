package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// exempting is a gate with these exempt blocks.
func exempting(t *testing.T, blocks string) *Gate {
	t.Helper()
	return provisioned(t, withMail+"app.example.com {\ncontactgate {\n"+blocks+"\n}\n}").gates[0]
}

// TestOnlyOneSpellingIsExempt: Caddy's matchers take all of these for /public/x, and some app reads them otherwise.
func TestOnlyOneSpellingIsExempt(t *testing.T) {
	g := exempting(t, "exempt {\npath /public/* /healthz *.css /a%2Fb/* /Mixed/*/End\n}\nexempt {\npath_regexp ^/static/.*\\.js$\n}")
	tests := map[string]bool{
		"/public/x":           true,
		"/public/":            true,
		"/public/X/y.PNG":     true,
		"/public/%E2%9C%93":   true,
		"/healthz":            true,
		"/healthz?x=1":        true,
		"/x/site.css":         true,
		"/static/app.js":      true,
		"/Mixed/x/End":        true,
		"/Mixed/ANY/End":      true,
		"/public":             false,
		"/publicX":            false,
		"/public-old/x":       false,
		"/PUBLIC/x":           false,
		"/Public/x":           false,
		"/HEALTHZ":            false,
		"/x/site.CSS":         false,
		"/mixed/x/end":        false,
		"/Mixed/x/end":        false,
		"//public/x":          false,
		"///public/x":         false,
		"/public//x":          false,
		"/./public/x":         false,
		"/public/../app":      false,
		"/app/../public/x":    false,
		"/public/%2e%2e/app":  false,
		"/public/.%2e/app":    false,
		"/public/..%2fapp":    false,
		"/public/..%5capp":    false,
		"/public/..%5Capp":    false,
		"/%70ublic/x":         false,
		"/public/%78":         false,
		"/public/x;y=1":       false,
		"/app;/public/x":      false,
		"/public/%00":         false,
		"/public/%0a":         false,
		"/public/%ff":         false,
		"/app?x=/public/":     false,
		"/app%23/public/":     false,
		"/app%3f/public/":     false,
		"/healthz/":           false,
		"/static/../app.js":   false,
		"/static/%2e%2e/a.js": false,
	}
	for target, want := range tests {
		t.Run(target, func(t *testing.T) {
			if got := g.exempt(asked(target, nil, nil)); got != want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestRewrittenRequestsAreJudgedAsSent: a rewrite must not make a good spelling of a bad one, nor the reverse.
func TestRewrittenRequestsAreJudgedAsSent(t *testing.T) {
	g := exempting(t, "exempt {\npath /public/*\n}")
	sent := func(original, now string) *http.Request {
		r := asked(original, nil, nil)
		u, err := url.Parse(now)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		return r
	}
	if g.exempt(sent("/x/..%2fpublic/x", "/public/x")) {
		t.Error("sent in a bad spelling, and exempt")
	}
	if g.exempt(sent("/public/x", "/public/../x")) {
		t.Error("goes to the app in a bad spelling, and exempt")
	}
	if g.exempt(sent("/public/x", "/app")) {
		t.Error("goes elsewhere, and exempt")
	}
	if !g.exempt(sent("/api/public/x", "/public/x")) {
		t.Error("handle_path took the prefix away, and it is not exempt")
	}
}

// TestExemptBlocks: all of a block must match, and any block will do.
func TestExemptBlocks(t *testing.T) {
	g := exempting(t, "exempt {\npath /a/*\nmethod POST\n}\nexempt {\npath /b/*\n}")
	post := asked("/a/x", nil, nil)
	post.Method = http.MethodPost
	if g.exempt(asked("/a/x", nil, nil)) || !g.exempt(post) || !g.exempt(asked("/b/x", nil, nil)) || g.exempt(asked("/c/x", nil, nil)) {
		t.Error("the blocks are not read as they should")
	}
	if none := exempting(t, ""); none.exempt(asked("/", nil, nil)) {
		t.Error("a gate without matchers exempts")
	}
}

// failing is a matcher that cannot tell.
type failing struct{}

func (failing) MatchWithError(*http.Request) (bool, error) { return true, http.ErrBodyNotAllowed }

func TestFailingMatcherExemptsNothing(t *testing.T) {
	g := &Gate{exemptions: []exemption{{matchers: caddyhttp.MatcherSet{failing{}}}, {matchers: caddyhttp.MatcherSet{"no matcher"}}}}
	if g.exempt(asked("/", nil, nil)) {
		t.Error("exempt")
	}
}

// FuzzExemptIsLiteral: whatever the spelling, a plain pattern exempts itself only, and one with a star at its end
// what begins with it.
func FuzzExemptIsLiteral(f *testing.F) {
	for _, pattern := range []string{"/public/*", "/x", "/a/b/*", "/"} {
		for _, target := range []string{"/public/x", "/PUBLIC/x", "/x", "/X", "/%78", "/a/../x", "/public/..%2fx"} {
			f.Add(pattern, target)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, target string) {
		u, err := url.ParseRequestURI(target)
		literal, star := strings.CutSuffix(pattern, "*")
		if err != nil || strings.ContainsAny(literal, `*?[\{}%`) || pattern == "" {
			return
		}
		r := asked("/", nil, nil)
		r.URL = u
		m := caddyhttp.MatchPath{pattern}
		if err := m.Provision(caddy.Context{}); err != nil {
			return
		}
		g := &Gate{exemptions: []exemption{{paths: []string{pattern}, matchers: caddyhttp.MatcherSet{m}}}}
		if !g.exempt(r) {
			return
		}
		if !strings.HasPrefix(u.Path, literal) || !star && u.Path != literal {
			t.Errorf("%q exempts %q", pattern, target)
		}
	})
}
