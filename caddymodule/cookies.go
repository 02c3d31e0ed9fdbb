package caddymodule

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/gorilla/securecookie"

	"github.com/contactgate/contactgate/internal/verify"
)

const (
	// cookieMark is in the name of every cookie of ours.
	cookieMark = "contactgate"
	// hostCookie needs HTTPS and cannot be set by a sibling or a parent domain (RFC 6265bis, section 4.1.3.2).
	hostCookie = "__Host-contactgate"
	// plainCookie is for plain HTTP on a loopback host, where browsers refuse the other one.
	plainCookie = "contactgate"
	// sessionSeconds is the life of a browser session of the gate: 12 h.
	sessionSeconds = 12 * 60 * 60
)

func isOurCookie(name string) bool {
	return name == hostCookie || name == plainCookie || strings.HasPrefix(name, hostCookie+"-") || strings.HasPrefix(name, plainCookie+"-")
}

// session is the browser session of the gate: who it is for, and nothing about them.
type session struct {
	// ID is random. The store only knows its hash.
	ID []byte `json:"i"`
	// For binds it to one account: another identity in the same browser starts afresh.
	For []byte `json:"f"`
	// Language is what the person chose; empty: not yet.
	Language string `json:"l,omitempty"`
	// Began is when it began, in milliseconds: freezing an account ends the sessions that began before.
	Began int64 `json:"t,omitempty"`
}

func (s session) began() time.Time { return time.UnixMilli(s.Began) }

// newCodecs makes the cookie codecs, one per key of the ring, the newest first. Without a block key the value would be
// readable, and without a MaxAge of its own it would live for the library's thirty days.
func newCodecs(keys *verify.Keyring) []securecookie.Codec {
	sign, hide := keys.Derive("cookie signature"), keys.Derive("cookie secrecy")
	codecs := make([]securecookie.Codec, len(sign))
	for i := range sign {
		c := securecookie.New(sign[i], hide[i])
		c.SetSerializer(securecookie.JSONEncoder{})
		c.MaxAge(sessionSeconds)
		codecs[i] = c
	}
	return codecs
}

// publishedOf is what a request carries; empty when it did not come through a gate.
func publishedOf(ctx context.Context) *published {
	repl, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if p := publishedIn(repl); p != nil {
		return p
	}
	return &published{}
}

// ours yields the cookies of ours in the order in which the browser sent them: the name, and the pair "name=value". Only
// blanks and tabs are cut: a name that begins with another space of Unicode is another name, to which browsers do not
// apply the rules for "__Host-".
func (p *published) ours(yield func(name, pair string) bool) {
	for _, line := range p.cookies {
		for part := range strings.SplitSeq(line, ";") {
			pair := strings.Trim(part, " \t")
			if name, _, ok := strings.Cut(pair, "="); ok && isOurCookie(name) && !yield(name, pair) {
				return
			}
		}
	}
}

// cookieName is the name under which the session travels on this connection.
func (g *Gate) cookieName(r *http.Request) string {
	if !g.overHTTPS(r) && isLoopbackHost(withoutPort(r.Host)) {
		return plainCookie
	}
	return hostCookie
}

// sessionFor binds a session to an account and a site.
func (g *Gate) sessionFor(live *runtime, user, origin string) []byte {
	return live.flow.SessionHash(g.realm, user, []byte("site "+strings.ToLower(origin)))
}

// decodeSession reads a session of an account; of no account, any session of ours. Of one that is for somebody else only the language is of use: that is the browser's,
// whoever is signed in.
func decodeSession(name, value string, live *runtime, account []byte) (s session, ok bool) {
	if securecookie.DecodeMulti(name, value, &s, live.sessionReaders()...) != nil {
		return session{}, false
	}
	if account != nil && string(s.For) != string(account) || len(s.ID) != sessionIDSize {
		return session{Language: s.Language}, false
	}
	return s, true
}

// readSession finds the session of this browser for this account, or for none any that there is. Of several cookies of one name the first that is
// ours counts; one that does not decode is as good as none.
func (g *Gate) readSession(r *http.Request, live *runtime, account []byte) (s session, ok, sent bool) {
	cookie := g.cookieName(r)
	for name, pair := range publishedOf(r.Context()).ours {
		if name != cookie {
			continue
		}
		sent = true
		_, value, _ := strings.Cut(pair, "=")
		found, mine := decodeSession(name, value, live, account)
		if mine {
			return found, true, true
		}
		if found.Language != "" {
			s.Language = found.Language
		}
	}
	return s, false, sent
}

const sessionIDSize = 16

func newSession(account []byte, language string) session {
	id := make([]byte, sessionIDSize)
	_, _ = rand.Read(id) // it cannot fail (Go 1.24 and later end the process instead)
	return session{ID: id, For: account, Language: language, Began: time.Now().UnixMilli()}
}

// writeSession sets the cookie. It is only ever called while one of our own pages is answered.
func (g *Gate) writeSession(w http.ResponseWriter, r *http.Request, live *runtime, s session) error {
	name := g.cookieName(r)
	value, err := securecookie.EncodeMulti(name, s, live.codecs...)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: name == hostCookie,
	})
	return nil
}

// overHTTPS tells whether the browser speaks HTTPS, to us or to a proxy that the operator trusts.
func (g *Gate) overHTTPS(r *http.Request) bool { return g.scheme(r) == "https" }

func (g *Gate) scheme(r *http.Request) string {
	if g.origin != "" {
		scheme, _, _ := strings.Cut(g.origin, "://")
		return scheme
	}
	if r.TLS != nil {
		return "https"
	}
	if peerTrusted(r) {
		if p := r.Header.Get("X-Forwarded-Proto"); strings.EqualFold(p, "https") {
			return "https"
		}
	}
	return "http"
}

// originOf is scheme and host of this site as the browser sees them.
func (g *Gate) originOf(r *http.Request) string {
	return g.scheme(r) + "://" + g.host(r)
}

// host is the site's host as the browser sees it, with its port: as the operator wrote the origin down, or as it was asked for.
func (g *Gate) host(r *http.Request) string {
	if g.origin != "" {
		_, host, _ := strings.Cut(g.origin, "://")
		return host
	}
	if peerTrusted(r) {
		if h := r.Header.Get("X-Forwarded-Host"); h != "" && !strings.Contains(h, ",") {
			return h
		}
	}
	return r.Host
}

// hostName is the site's name in messages: one that the operator wrote down, never just what a client sent.
func (g *Gate) hostName(r *http.Request) string {
	if g.origin != "" {
		return g.originHost()
	}
	host := strings.ToLower(withoutPort(r.Host))
	for _, h := range g.hosts {
		if strings.EqualFold(h, host) {
			return host
		}
	}
	return ""
}

func (g *Gate) originHost() string {
	_, host, _ := strings.Cut(g.origin, "://")
	return withoutPort(host)
}

func withoutPort(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// baseOf is where our pages are, as people see it: what links in mails begin with. It is empty when nobody wrote down how
// the site is called. Of what a client sends only a host that is written down counts, and its port only when a proxy that the
// operator trusts hands it on: else it is the port that the connection came to.
func (g *Gate) baseOf(r *http.Request) string {
	if g.origin != "" {
		return g.origin + g.prefix
	}
	host, scheme := g.hostName(r), g.scheme(r)
	if host == "" {
		return ""
	}
	_, port, _ := net.SplitHostPort(r.Host)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && !peerTrusted(r) {
		_, port, _ = net.SplitHostPort(local.String()) // a Unix socket has none
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host + g.prefix
	}
	return scheme + "://" + net.JoinHostPort(host, port) + g.prefix
}
