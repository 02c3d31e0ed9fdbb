package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(new(Placeholder)) }

// Person is who is signed in, in the words of the sign-in. The zero Person is nobody.
type Person struct {
	// User is what the authenticator calls them, as it said it.
	User string
	// Email and Phone are contacts that the authenticator names; empty when it names none. Name is for a greeting.
	Email, Phone, Name string
	// Groups are for exemptions.
	Groups []string
}

// Identity is what a guest module in the namespace contactgate.identities implements. It is stable.
//
// It may also have Headers() []string, the request header fields that it believes, which the gate then protects.
type Identity interface {
	// Identify tells who is signed in. The zero Person and no error: nobody. ErrAmbiguous: the request is answered
	// with 400. Any other error: it cannot be told now, and the request is answered with 503.
	Identify(r *http.Request) (Person, error)
}

// ErrAmbiguous means that a request names two people.
var ErrAmbiguous = errors.New("the request names two identities")

// userDefault is set by Caddy's own authentication handlers, and by most others.
const userDefault = "{http.auth.user.id}"

// SetBy says who is to be believed about a header.
const (
	setByForwardAuth    = "forward_auth"
	setByTrustedProxies = "trusted_proxies"
)

// Placeholder takes the identity from placeholders of the request.
type Placeholder struct {
	// The user ID: one placeholder that no client can choose. Default: `{http.auth.user.id}`.
	User string `json:"user,omitempty"`

	// What the sign-in says besides, each as one placeholder. Contacts become registered contacts of the account.
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
	Name  string `json:"name,omitempty"`

	// The person's groups, as one placeholder whose value is a list with commas.
	Groups string `json:"groups,omitempty"`

	// Who sets the request headers among these: `forward_auth` (a handler before the gate, whose copy_headers names
	// them) or `trusted_proxies` (a peer that the server trusts). Required for headers.
	SetBy string `json:"set_by,omitempty"`

	user, email, phone, name, groups source

	headers []string
}

// CaddyModule returns the Caddy module information.
func (*Placeholder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.identities.placeholder", New: func() caddy.Module { return new(Placeholder) }}
}

// Provision prepares the placeholders. Whether set_by holds shows only between handlers: see lineage.go.
func (p *Placeholder) Provision(caddy.Context) error {
	if p.User == "" {
		p.User = userDefault
	}
	var errs []error
	for _, f := range []struct {
		word, text string
		to         *source
	}{
		{"the user ID", p.User, &p.user}, {"email", p.Email, &p.email}, {"phone", p.Phone, &p.phone},
		{"name", p.Name, &p.name}, {"groups", p.Groups, &p.groups},
	} {
		if f.text == "" {
			continue
		}
		s, err := newSource(f.word, f.text)
		errs = append(errs, err)
		*f.to = s
		if s.header != "" && !slices.Contains(p.headers, s.header) {
			p.headers = append(p.headers, s.header)
		}
	}
	return errors.Join(append(errs, p.checkSetBy())...)
}

func (p *Placeholder) checkSetBy() error {
	switch {
	case p.SetBy != "" && p.SetBy != setByForwardAuth && p.SetBy != setByTrustedProxies:
		return fmt.Errorf("identity set_by %q: use forward_auth or trusted_proxies", p.SetBy)
	case p.SetBy == "" && len(p.headers) > 0:
		return fmt.Errorf("identity: the request header %s can be sent by any client; say who sets it with \"set_by forward_auth\" or \"set_by trusted_proxies\"", strings.Join(p.headers, ", "))
	case p.SetBy != "" && len(p.headers) == 0:
		return fmt.Errorf("identity set_by %s: nothing here is read from a request header; remove the line", p.SetBy)
	}
	return nil
}

// Headers are the request header fields that are believed, in canonical form.
func (p *Placeholder) Headers() []string { return p.headers }

// Identify reads the placeholders. Nothing of a request is ever expanded.
func (p *Placeholder) Identify(r *http.Request) (Person, error) {
	// A peer that is not trusted may have sent the header itself: then nobody is signed in.
	if p.SetBy == setByTrustedProxies && !peerTrusted(r) {
		return Person{}, nil
	}
	user, err := p.user.read(r)
	if err != nil || user == "" {
		return Person{}, err
	}
	person := Person{User: user}
	var errs [4]error
	person.Email, errs[0] = p.email.read(r)
	person.Phone, errs[1] = p.phone.read(r)
	person.Name, errs[2] = p.name.read(r)
	groups, err := p.groups.read(r)
	errs[3] = err
	for _, err := range errs {
		if err != nil {
			return Person{}, err
		}
	}
	person.Groups = splitGroups(groups)
	return person, nil
}

// peerTrusted tells whether the peer is a proxy that the operator trusts, so that what it says may be believed.
func peerTrusted(r *http.Request) bool {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

func splitGroups(list string) []string {
	if list == "" {
		return nil
	}
	groups := strings.Split(list, ",")
	for i, g := range groups {
		groups[i] = strings.TrimSpace(g)
	}
	return slices.DeleteFunc(groups, func(g string) bool { return g == "" })
}

// source is one placeholder, ready to be read. The zero source is always empty.
type source struct {
	header string // canonical name of a request header field
	key    string // of any other placeholder
}

const headerPlaceholder = "http.request.header."

func newSource(word, text string) (source, error) {
	key, ok := strings.CutPrefix(text, "{")
	key, closed := strings.CutSuffix(key, "}")
	if !ok || !closed || key == "" || strings.ContainsAny(key, "{} ") {
		return source{}, fmt.Errorf("identity: %s %q: use one placeholder, such as %s", word, text, userDefault)
	}
	if name, ok := strings.CutPrefix(key, headerPlaceholder); ok {
		return source{header: http.CanonicalHeaderKey(name)}, nil
	}
	if why := clientChooses(key); why != "" {
		return source{}, fmt.Errorf("identity: %s %q: %s; use a placeholder of your sign-in, such as %s", word, text, why, userDefault)
	}
	return source{key: key}, nil
}

// clientChooses tells why a placeholder cannot say who somebody is.
func clientChooses(key string) string {
	switch {
	case strings.HasPrefix(key, "http.request.tls.client."):
		return "" // a certificate that the handshake has verified
	case strings.HasPrefix(key, "http.request."):
		return "a client chooses it"
	case strings.HasPrefix(key, "http.auth.candidate."):
		return "it names people whose sign-in was refused"
	case strings.HasPrefix(key, "http.auth."), strings.HasPrefix(key, "http.vars."), !strings.Contains(key, "."):
		return ""
	case strings.HasPrefix(key, "env."), strings.HasPrefix(key, "file."), strings.HasPrefix(key, "system."), strings.HasPrefix(key, "time."):
		return "it is the same for everybody"
	}
	return ""
}

func (s source) read(r *http.Request) (string, error) {
	if s.header != "" {
		return oneValue(r.Header[s.header])
	}
	if s.key == "" {
		return "", nil
	}
	replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return "", errors.New("identity: the request has no replacer")
	}
	value, _ := replacer.Get(s.key)
	if text, ok := value.(string); ok {
		return text, nil
	}
	return caddy.ToString(value), nil
}

// oneValue takes the value that all fields of a header have. One value with commas is one value: LDAP and TLS names
// have them. Which of two different ones is right cannot be told.
func oneValue(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	for _, other := range values[1:] {
		if other != values[0] {
			return "", ErrAmbiguous
		}
	}
	return values[0], nil
}

// UnmarshalCaddyfile reads:
//
//	identity [<placeholder>] {
//		email  <placeholder>
//		phone  <placeholder>
//		name   <placeholder>
//		groups <placeholder>
//		set_by forward_auth|trusted_proxies
//	}
func (p *Placeholder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if strings.HasPrefix(d.Val(), "{") {
		p.User = d.Val()
	}
	if args := d.RemainingArgs(); len(args) == 1 && p.User == "" {
		p.User = args[0]
	} else if len(args) > 0 {
		return d.ArgErr()
	}
	fields := map[string]*string{"email": &p.Email, "phone": &p.Phone, "name": &p.Name, "groups": &p.Groups, "set_by": &p.SetBy}
	return eachWord(d, "identity", func(word string) (bool, error) {
		field, ok := fields[word]
		if !ok {
			return false, nil
		}
		return true, oneArg(d, field)
	})
}

// Interface guards
var (
	_ Identity              = (*Placeholder)(nil)
	_ caddy.Provisioner     = (*Placeholder)(nil)
	_ caddyfile.Unmarshaler = (*Placeholder)(nil)
)
