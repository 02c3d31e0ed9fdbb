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
	dest, mode := r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Sec-Fetch-Mode")
	if dest != "" || mode != "" {
		return dest == "document" && (mode == "" || mode == "navigate")
	}
	return r.Header.Get("X-Requested-With") == "" && r.Header.Get("Service-Worker") == "" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// upgrades finds WebSockets and other tunnels, over HTTP/1.1 and as an extended CONNECT (RFC 8441).
func upgrades(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect || r.Header.Get(":protocol") != ""
}

func prefetches(r *http.Request) bool {
	return r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") == "prefetch" || r.Header.Get("X-Moz") == "prefetch"
}
