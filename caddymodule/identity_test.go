package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// asked is a request as a handler meets it.
func asked(target string, header http.Header, set map[string]any) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header = header
	if r.Header == nil {
		r.Header = http.Header{}
	}
	replacer := caddy.NewReplacer()
	for key, value := range set {
		replacer.Set(key, value)
	}
	return caddyhttp.PrepareRequest(r, replacer, httptest.NewRecorder(), nil)
}

func TestPlaceholderIdentity(t *testing.T) {
	byHeader := Placeholder{User: "{http.request.header.remote-user}", Email: "{http.request.header.Remote-Email}",
		Groups: "{http.request.header.Remote-Groups}", SetBy: setByForwardAuth}
	tests := map[string]struct {
		identity Placeholder
		header   http.Header
		set      map[string]any
		want     Person
		err      error
	}{
		"nobody":               {Placeholder{}, nil, nil, Person{}, nil},
		"default":              {Placeholder{}, nil, map[string]any{"http.auth.user.id": "ann"}, Person{User: "ann"}, nil},
		"default, empty":       {Placeholder{}, nil, map[string]any{"http.auth.user.id": ""}, Person{}, nil},
		"a number":             {Placeholder{User: "{http.vars.id}"}, nil, map[string]any{"http.vars.id": 42}, Person{User: "42"}, nil},
		"header":               {byHeader, http.Header{"Remote-User": {"ann"}, "Remote-Email": {"a@x.example"}}, nil, Person{User: "ann", Email: "a@x.example"}, nil},
		"groups":               {byHeader, http.Header{"Remote-User": {"ann"}, "Remote-Groups": {"a, b,,c "}}, nil, Person{User: "ann", Groups: []string{"a", "b", "c"}}, nil},
		"no user, but others":  {byHeader, http.Header{"Remote-Email": {"a@x.example"}, "Remote-Groups": {"a"}}, nil, Person{}, nil},
		"commas are one ID":    {byHeader, http.Header{"Remote-User": {"cn=Ann,ou=x"}}, nil, Person{User: "cn=Ann,ou=x"}, nil},
		"two fields, one ID":   {byHeader, http.Header{"Remote-User": {"ann", "ann"}}, nil, Person{User: "ann"}, nil},
		"two fields, two IDs":  {byHeader, http.Header{"Remote-User": {"ann", "bob"}}, nil, Person{}, ErrAmbiguous},
		"one of them empty":    {byHeader, http.Header{"Remote-User": {"", "bob"}}, nil, Person{}, ErrAmbiguous},
		"three, the last":      {byHeader, http.Header{"Remote-User": {"ann", "ann", "bob"}}, nil, Person{}, ErrAmbiguous},
		"two addresses":        {byHeader, http.Header{"Remote-User": {"ann"}, "Remote-Email": {"a@x.example", "b@x.example"}}, nil, Person{}, ErrAmbiguous},
		"never expanded":       {byHeader, http.Header{"Remote-User": {"{http.auth.user.id}"}}, map[string]any{"http.auth.user.id": "ann"}, Person{User: "{http.auth.user.id}"}, nil},
		"nor {env.…}":          {Placeholder{}, nil, map[string]any{"http.auth.user.id": "{env.HOME}"}, Person{User: "{env.HOME}"}, nil},
		"another spelling":     {byHeader, http.Header{"Remote_User": {"bob"}}, nil, Person{}, nil},
		"not set, placeholder": {Placeholder{User: "{http.auth.user.name}"}, nil, nil, Person{}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.identity.Provision(caddy.Context{}); err != nil {
				t.Fatal(err)
			}
			got, err := tt.identity.Identify(asked("/", tt.header, tt.set))
			if !errors.Is(err, tt.err) || !sameJSON(t, got, tt.want) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// TestUntrustedPeerIsNobody: whoever comes around the proxy chooses the header.
func TestUntrustedPeerIsNobody(t *testing.T) {
	p := Placeholder{User: "{http.request.header.X-User}", SetBy: setByTrustedProxies}
	if err := p.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	r := asked("/", http.Header{"X-User": {"ann"}}, nil)
	if who, err := p.Identify(r); err != nil || who.User != "" {
		t.Errorf("an untrusted peer is %+v, %v", who, err)
	}
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
	if who, err := p.Identify(r); err != nil || who.User != "ann" {
		t.Errorf("a trusted peer says %+v, %v", who, err)
	}
}

func TestHeadersAreNamedOnce(t *testing.T) {
	p := Placeholder{User: "{http.request.header.x-user}", Name: "{http.request.header.X-User}", Email: "{http.request.header.x-mail}", Phone: "{http.vars.phone}", SetBy: setByForwardAuth}
	if err := p.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Headers(), " "); got != "X-User X-Mail" {
		t.Errorf("got %q", got)
	}
}

func TestIdentifyingCostsNothing(t *testing.T) {
	for name, p := range map[string]*Placeholder{
		"placeholder": {Email: "{http.auth.user.email}"},
		"header":      {User: "{http.request.header.Remote-User}", Email: "{http.request.header.Remote-Email}", SetBy: setByForwardAuth},
		"proxies":     {User: "{http.request.header.Remote-User}", SetBy: setByTrustedProxies},
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.Provision(caddy.Context{}); err != nil {
				t.Fatal(err)
			}
			r := asked("/", http.Header{"Remote-User": {"ann"}, "Remote-Email": {"a@x.example"}}, map[string]any{"http.auth.user.id": "ann", "http.auth.user.email": "a@x.example"})
			caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
			if n := testing.AllocsPerRun(100, func() {
				if who, err := p.Identify(r); err != nil || who.User != "ann" {
					t.Fatal(who, err)
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
