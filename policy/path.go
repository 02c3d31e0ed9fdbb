package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CanonicalPath tells whether a path, in the very bytes that go to the app, has only one spelling (RFC 3986,
// sections 6.2.2 and 3.3): absolute, no dot or empty segments, nothing encoded that need not be, no encoded
// separator, dot or control character, upper-case hex digits. A path that is not canonical is never exempt: some
// matcher or some app would read it in another way.
func CanonicalPath(raw string) bool {
	if raw == "" || raw[0] != '/' {
		return false
	}
	if raw != "/" && hasOddSegment(raw) {
		return false
	}
	encoded := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) || !upperHex(raw[i+1]) || !upperHex(raw[i+2]) {
				return false
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			if pathByte(c) || c < 0x20 || c == 0x7f || strings.IndexByte(`/\.;%?#`, c) >= 0 {
				return false
			}
			encoded = true
			i += 2
			continue
		}
		if !pathByte(c) && c != '/' {
			return false
		}
	}
	return !encoded || isText(decodeOnce(raw))
}

// isText is for what was encoded: there are control characters beyond ASCII, too.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// hasOddSegment finds empty and dot segments. A slash at the end is fine.
func hasOddSegment(raw string) bool {
	rest := raw[1:]
	for {
		segment, after, more := strings.Cut(rest, "/")
		if isDots(segment) || segment == "" && more {
			return true
		}
		if !more {
			return false
		}
		rest = after
	}
}

// isDots finds what some app may take for a dot segment: Windows cuts dots and blanks off the end of a name, and
// normalising turns full-width dots into dots.
func isDots(segment string) bool {
	return segment != "" && strings.Trim(decodeOnce(segment), ". \u3000．。｡") == ""
}

// pathByte tells whether a byte stands for itself in a path segment: RFC 3986 pchar without ";", which some
// servers take as the start of parameters.
func pathByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,=:@", c) >= 0
}

func upperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// longestReturn is as much of an address as is carried through the pages.
const longestReturn = 4096

// ReturnPath tells whether target, a path and query as a client requested it, is where a person may be sent after
// the pages: on this site for every browser (WHATWG URL: a backslash is a slash, tabs and newlines vanish), and
// neither one of our pages nor the sign-out.
func ReturnPath(target, prefix, signOut string) bool {
	if target == "" || len(target) > longestReturn || target[0] != '/' {
		return false
	}
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return false
		}
	}
	path, _, _ := strings.Cut(target, "?")
	if oddStart(path) || hasDotSegment(path) || hasEncodedControl(target) {
		return false
	}
	plain := decodeOnce(path)
	if underPrefix(plain, prefix) || underPrefix(path, prefix) {
		return false
	}
	outPath, outQuery, asks := strings.Cut(signOut, "?")
	_, query, _ := strings.Cut(target, "?")
	return signOut == "" || plain != outPath && path != outPath || asks && query != outQuery
}

// oddStart finds what a browser, or something between us and it, could take for "//host".
func oddStart(path string) bool {
	if len(path) < 2 {
		return false
	}
	if path[1] == '/' {
		return true
	}
	if path[1] != '%' || len(path) < 4 {
		return false
	}
	switch strings.ToLower(path[2:4]) {
	case "2f", "5c", "20", "25":
		return true
	}
	return false
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(decodeOnce(path), "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func hasEncodedControl(s string) bool {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '%' && isHex(s[i+1]) && isHex(s[i+2]) {
			if c := unhex(s[i+1])<<4 | unhex(s[i+2]); c < 0x20 || c == 0x7f {
				return true
			}
		}
	}
	return false
}

func decodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func isHex(c byte) bool { return upperHex(c) || 'a' <= c && c <= 'f' }

// underPrefix tells whether a path is the prefix or below it, in any case of letters.
func underPrefix(path, prefix string) bool {
	return prefix != "" && len(path) >= len(prefix) && strings.EqualFold(path[:len(prefix)], prefix) &&
		(len(path) == len(prefix) || path[len(prefix)] == '/')
}
