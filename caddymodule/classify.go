package caddymodule

import (
	"net/http"
	"strings"

	"github.com/contactgate/contactgate/policy"
)

// classify says what kind of request this is. Whatever is not surely a page being opened or a form being posted is
// Other: those get a short refusal that a program understands, never a redirect.
func classify(r *http.Request) policy.RequestKind {
	if !navigates(r) || upgrades(r) || prefetches(r) {
		return policy.Other
	}
	switch r.Method {
	case http.MethodGet:
		return policy.Opening
	case http.MethodHead:
		return policy.OpeningHead
	case http.MethodPost:
		return policy.Form
	}
	return policy.Other
}

// navigates trusts Sec-Fetch headers where there are any (a page's script cannot set them), and asks the older signs
// otherwise.
func navigates(r *http.Request) bool {
	dest, mode := headerOf(r, "Sec-Fetch-Dest"), headerOf(r, "Sec-Fetch-Mode")
	if dest != "" || mode != "" {
		return dest == "document" && (mode == "" || mode == "navigate")
	}
	return headerOf(r, "X-Requested-With") == "" && headerOf(r, "Service-Worker") == "" &&
		strings.Contains(headerOf(r, "Accept"), "text/html")
}

// upgrades finds WebSockets and other tunnels, over HTTP/1.1 and as an extended CONNECT (RFC 8441).
func upgrades(r *http.Request) bool {
	return headerOf(r, "Upgrade") != "" || r.Method == http.MethodConnect || headerOf(r, ":protocol") != ""
}

func prefetches(r *http.Request) bool {
	return headerOf(r, "Sec-Purpose") != "" || headerOf(r, "Purpose") == "prefetch" || headerOf(r, "X-Moz") == "prefetch"
}

// headerOf is a header field whose name is written as Go keeps it. It is http.Header.Get without the work of finding that
// spelling out again, ten times for every request.
func headerOf(r *http.Request, name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
