package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// The request headers that tell the app what the gate knows. Their names are the gate's alone.
const (
	ourHeaderPrefix = "Contactgate"
	statusHeader    = "Contactgate-Status"
	deadlineHeader  = "Contactgate-Deadline"
	emailHeader     = "Contactgate-Email"
	phoneHeader     = "Contactgate-Phone"
	// noticeHeader is the response header that scripts of the app can read.
	noticeHeader = "Contactgate"
)

var errHopByHop = errors.New("a Connection header names a header that must reach the app")

// clean takes out of a request what only the gate may say: our headers in every spelling that some app would read as
// ours, other spellings of the identity's headers, and our cookies. It runs for every request, anonymous and exempt
// ones too.
func (g *Gate) clean(r *http.Request, p *published) error {
	for name := range r.Header {
		if isOurs(name) || g.misspells(name) {
			delete(r.Header, name)
		}
	}
	for name := range r.Trailer {
		if isOurs(name) || g.protects(name) {
			return errHopByHop
		}
	}
	if len(r.Trailer) > 0 && r.Body != nil {
		r.Body = &trailed{ReadCloser: r.Body, gate: g, request: r}
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); isOurs(option) || g.protects(option) {
				return errHopByHop
			}
		}
	}
	if g.disbelieves(r) {
		for _, name := range g.protected {
			delete(r.Header, name)
		}
	}
	p.keepCookies(r)
	return nil
}

// disbelieves tells that the identity's headers come from a peer that may not set them. The gate takes such a request
// for nobody's and lets it pass, so the app must not take it for somebody's: that would be a way around the gate.
func (g *Gate) disbelieves(r *http.Request) bool {
	p, ok := g.identity.(*Placeholder)
	return ok && p.SetBy == setByTrustedProxies && !peerTrusted(r)
}

// trailed cleans a request's trailers, too. They are known when the body ends, and then hold more names than were
// announced.
type trailed struct {
	io.ReadCloser
	gate    *Gate
	request *http.Request
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil {
		for name := range t.request.Trailer {
			if isOurs(name) || t.gate.protects(name) || t.gate.misspells(name) {
				delete(t.request.Trailer, name)
			}
		}
	}
	return n, err
}

// isOurs tells whether a name is one of ours in the eyes of any app: CGI and its heirs do not tell "-", "_" and "."
// apart (some take every other sign for one of these), and no one tells cases apart.
func isOurs(name string) bool {
	return len(name) >= len(ourHeaderPrefix) && strings.EqualFold(name[:len(ourHeaderPrefix)], ourHeaderPrefix) &&
		(len(name) == len(ourHeaderPrefix) || !isWord(name[len(ourHeaderPrefix)]))
}

func isWord(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' }

// misspells tells whether a name is another spelling of a header that carries the identity.
func (g *Gate) misspells(name string) bool {
	if plain(name) {
		return false
	}
	usual := strings.Map(func(r rune) rune {
		if r > 0x7f || !isWord(byte(r)) {
			return '-'
		}
		return r
	}, name)
	for _, p := range g.protected {
		if strings.EqualFold(p, usual) {
			return true
		}
	}
	return false
}

// plain tells whether a name has only letters, digits and hyphens.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && !isWord(c) {
			return false
		}
	}
	return true
}

// protects tells whether a proxy must not be talked into dropping this header: what says who somebody is, and what
// the browser says of the request.
func (g *Gate) protects(name string) bool {
	for _, p := range g.protected {
		if strings.EqualFold(p, name) {
			return true
		}
	}
	switch strings.ToLower(name) {
	case "cookie", "authorization", "origin", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
		"sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest":
		return true
	}
	return false
}

// keepCookies takes the gate's cookies out of the request, byte for byte leaving the others as they came.
func (p *published) keepCookies(r *http.Request) {
	lines := r.Header["Cookie"]
	for i, line := range lines {
		if strings.Contains(line, cookieMark) {
			p.cookies = append(p.cookies, line)
			lines[i] = withoutOurs(line)
		}
	}
	if len(lines) == 1 && lines[0] == "" {
		delete(r.Header, "Cookie")
	}
}

// withoutOurs is a line of cookies without those of ours.
func withoutOurs(line string) string {
	var kept strings.Builder
	between := ""
	for part := range strings.SplitSeq(line, ";") {
		name, _, _ := strings.Cut(part, "=")
		if isOurCookie(strings.TrimSpace(name)) {
			continue
		}
		kept.WriteString(between)
		kept.WriteString(part)
		between = ";"
	}
	return strings.TrimSpace(kept.String())
}
