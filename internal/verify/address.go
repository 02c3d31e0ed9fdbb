package verify

import (
	"net/mail"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"github.com/contactgate/contactgate/policy"
)

const (
	longestAddress = 254 // RFC 5321, section 4.5.3.1.3, without the angle brackets
	longestLocal   = 64  // section 4.5.3.1.1
	longestLabel   = 63  // RFC 1035, section 2.3.4
)

// oddDots are the domains of carriers that once gave out addresses which RFC 5321 does not allow unquoted, such as
// a..b@docomo.ne.jp and a.@docomo.ne.jp. They are alive; delivery quotes them.
var oddDots = []string{"docomo.ne.jp", "ezweb.ne.jp", "au.com"}

// ParseEmail takes an address as a person types it, or as a sign-in names it: full-width forms and blanks around it
// are fine, the domain is mapped to ASCII and lower case, the local part is kept. Refused are display names,
// comments, quoted local parts, literals, hosts without a dot, more than one address, and local parts beyond ASCII,
// since too many servers on the way cannot carry those.
func ParseEmail(typed string) (policy.Address, bool) {
	s := policy.Narrow(typed)
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > longestLocal || len(s) > longestAddress {
		return "", false
	}
	local, domain := s[:at], s[at+1:]
	domain, ok := asciiDomain(domain)
	if !ok || !plainLocal(local, domain) {
		return "", false
	}
	whole := local + "@" + domain
	return policy.Address(whole), len(whole) <= longestAddress
}

func plainLocal(local, domain string) bool {
	for i := 0; i < len(local); i++ {
		if c := local[i]; c != '.' && !atext(c) {
			return false
		}
	}
	whole := local + "@" + domain
	if parsed, err := mail.ParseAddress(whole); err == nil && parsed.Name == "" && parsed.Address == whole {
		return true
	}
	for _, d := range oddDots {
		if domain == d {
			return true
		}
	}
	return false
}

// atext is what may stand in a local part without quotes (RFC 5322, section 3.2.3).
func atext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func asciiDomain(domain string) (string, bool) {
	domain = strings.ReplaceAll(domain, "。", ".")
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || !strings.Contains(ascii, ".") || strings.HasSuffix(ascii, ".") || strings.HasPrefix(ascii, ".") {
		return "", false
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return "", false
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if len(label) > longestLabel {
			return "", false
		}
	}
	return strings.ToLower(ascii), true
}

// asTyped brings the domain of what somebody typed as a proof into the form that contacts are kept in.
func asTyped(typed string) string {
	s := policy.Narrow(typed)
	at := strings.LastIndexByte(s, '@')
	if at < 0 || len(s) > longestAddress*4 {
		return s
	}
	if domain, ok := asciiDomain(s[at+1:]); ok {
		return s[:at+1] + domain
	}
	return s
}

// EmailDomain is the domain of an address, as exempt_domains compares it. It is empty for anything but one address: of
// "a@evil.example, b@school.example" nobody knows which one is the person's. Every request asks, so this looks at
// the form only.
func EmailDomain(address string) string {
	s := policy.Narrow(address)
	at := strings.IndexByte(s, '@')
	if at < 1 || at != strings.LastIndexByte(s, '@') || strings.ContainsAny(s, " \t\r\n,;:<>()[]\"\\") {
		return ""
	}
	return s[at+1:]
}
