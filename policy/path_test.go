package policy

import (
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestOnlyOneSpellingIsCanonical(t *testing.T) {
	for raw, want := range map[string]bool{
		"/": true, "/public": true, "/public/": true, "/public/x": true, "/a/b.c/~d": true, "/.well-known/x": true,
		"/..a": true, "/.a.": true, "/a.": true, "/public/@scope/x:y": true, "/a,b=c&d+e!$'()*": true,
		"/%E3%81%82": true, "/a%20b": true, "/caf%C3%A9": true, "/PUBLIC/x": true, "/public-old/x": true, "/publicX": true,
		"/a%22b": true, "/%7B%7D": true,

		"": false, "*": false, "app": false, "http://hooks.example/app": false,
		// B01 to B08
		"/public/../app": false, "/public/..%2fapp": false, "/public/..%2Fapp": false, "/public/%2e%2e/app": false,
		"/public/.%2e/app": false, "/public/%2E%2E/app": false, `/public/..\app`: false, "/public/..%5capp": false,
		"/public/..%5Capp": false, `/public\..\app`: false, "//public/x": false, "///public/x": false,
		"/%70ublic/x": false, "/public//x": false, "/app#/public/": false, "/app%23/public/": false,
		"/app%3f/public/": false, "/app%3F/public/": false, "/app;/public/x": false, "/app%3B/public/x": false,
		"/public/x//": false, "/public/.": false, "/public/..": false, "/./public": false, "/..": false, "/.": false,
		// what Windows, or a normaliser, makes dots of
		"/...": false, "/public/.../app": false, "/%20": false, "/public/..%20/app": false, "/public/%EF%BC%8E%EF%BC%8E/app": false,
		"//": false, "/%2F": false, "/%2fpublic/x": false, "/public%2Fx": false,
		// half and wrong encodings
		"/%": false, "/%4": false, "/%zz": false, "/%e3%81%82": false, "/%E3%81": false, "/%C0%AE%C0%AE/": false,
		"/%ED%A0%80": false, "/%FF": false, "/%25": false, "/%252e%252e/": false,
		// controls, and what has to be encoded
		"/app%00": false, "/\x00": false, "/a b": false, "/a\tb": false, "/%09": false, "/%0D%0A": false, "/%7F": false,
		"/\x7f": false, "/あ": false, "/a?b": false, `/"`: false, "/<": false, "/{x}": false, "/|": false, "/^": false, "/`": false,
		"/%C2%85": false, "/%C2%9F": false, // controls beyond ASCII
	} {
		if got := CanonicalPath(raw); got != want {
			t.Errorf("CanonicalPath(%q) = %v", raw, got)
		}
	}
}

// respell writes a decoded path in the one spelling of RFC 3986 (6.2.2), apart from the code under test: it knows
// which bytes a segment may hold as they are, and encodes all others.
func respell(decoded string) string {
	const asTheyAre = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@/"
	var b strings.Builder
	for i := range len(decoded) {
		if strings.IndexByte(asTheyAre, decoded[i]) >= 0 {
			b.WriteByte(decoded[i])
		} else {
			b.WriteByte('%')
			b.WriteByte("0123456789ABCDEF"[decoded[i]>>4])
			b.WriteByte("0123456789ABCDEF"[decoded[i]&15])
		}
	}
	return b.String()
}

// oracle tells what everybody on the way could make of a path, with the standard library's own decoder and cleaner.
func oracle(raw string) (why string) {
	if !strings.HasPrefix(raw, "/") {
		return "not absolute"
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return "not decodable"
	}
	if !utf8.ValidString(decoded) {
		return "not UTF-8"
	}
	cleaned := path.Clean(decoded)
	if strings.HasSuffix(decoded, "/") && cleaned != "/" {
		cleaned += "/"
	}
	if cleaned != decoded {
		return "not clean"
	}
	if strings.ContainsAny(decoded, `\;?#%`) || strings.ContainsFunc(decoded, unicode.IsControl) {
		return "a character that somebody takes for another"
	}
	if strings.Count(raw, "/") != strings.Count(decoded, "/") {
		return "an encoded separator"
	}
	if respell(decoded) != raw {
		return "another spelling: " + respell(decoded)
	}
	if twice, err := url.PathUnescape(decoded); err != nil || twice != decoded {
		return "decoding twice differs"
	}
	u, err := url.ParseRequestURI(raw)
	if err != nil || u.EscapedPath() != raw || u.Path != decoded || u.RawQuery != "" || u.Host != "" {
		return "net/url reads something else"
	}
	return ""
}

func FuzzCanonicalPath(f *testing.F) {
	for _, seed := range []string{
		"/", "/public/x", "/public/../app", "/public/..%2fapp", "/public/%2e%2e/app", `/public\..\app`, "//public/x",
		"/PUBLIC/x", "/%70ublic/x", "/app;/public/x", "/app%3f/", "/%E3%81%82", "/%e3%81%82", "/%C0%AE", "/a%20b/", "/%", "/a//", "/%25",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !CanonicalPath(raw) {
			return
		}
		if why := oracle(raw); why != "" {
			t.Fatalf("CanonicalPath(%q), but: %s", raw, why)
		}
	})
}

// The other way round, so that the oracle is not kept by refusing everything.
func TestWhatEverybodyReadsAlikeIsCanonical(t *testing.T) {
	for _, decoded := range []string{"/", "/a", "/a/", "/a b/c", "/日本/語", "/~ann/.config", "/100€", `/"quoted"`, "/a|b^c`d{e}"} {
		raw := respell(decoded)
		if why := oracle(raw); why != "" {
			t.Fatalf("the oracle refuses %q: %s", raw, why)
		}
		if !CanonicalPath(raw) {
			t.Errorf("CanonicalPath(%q) refuses what everybody reads alike", raw)
		}
	}
}

const ownPrefix, ownSignOut = "/.contactgate", "/logout"

func TestReturnPath(t *testing.T) {
	for target, want := range map[string]bool{
		"/": true, "/app": true, "/app?a=1&b=%2F%2Fx&c=%E2%9C%93": true, "/a//b": true, "/a/?next=//evil": true,
		"/.well-known/x": true, "/app;jsessionid=1": true, "/%E3%81%82": true, "/a%2Fb": true, "/?": true, "/a?b?c": true,
		"/.contactgatex": true, "/logouts": true, "/x?/logout": true, "/a%20b": true, "/" + strings.Repeat("a", 4095): true,

		"": false, "app": false, "?x": false, "//evil": false, "///evil": false, `/\evil`: false, `\\evil`: false,
		"https:evil": false, "https://evil": false, "javascript:alert(1)": false, "data:,x": false, "/\t/evil": false,
		"/\n/evil": false, "\t//evil": false, " /app": false, "/app ": false, "/.//evil": false, "/..//evil": false,
		"/a/..//evil": false, "/%2e//evil": false, "/%2E%2e//evil": false, "/.%2e//evil": false, "/a/%2e%2e//evil": false,
		"/%2fevil": false, "/%5cevil": false, "/%5C/evil": false, "/%20/evil": false, "/%09/evil": false,
		"/%0d%0aSet-Cookie:x=1": false, "/a?b=%0d%0aX:1": false, "/%00": false, "/app#x": false, "/あ": false, "/\x7f": false,
		"/%252fevil": false, "/" + strings.Repeat("a", 4096): false, "/a/../b": false, "/a/..": false, "/..%2f/evil": false,
		// ours, and the sign-out
		"/.contactgate": false, "/.contactgate/": false, "/.contactgate/verify/later": false, "/.contactgate?x": false,
		"/.CONTACTGATE/verify": false, "/%2econtactgate/verify": false, "/.contactgate%2Fverify": false,
		"/.%63ontactgate/": false, "/logout": false, "/logout?x=1": false, "/%6Cogout": false,
	} {
		if got := ReturnPath(target, ownPrefix, ownSignOut); got != want {
			t.Errorf("ReturnPath(%q) = %v", target, got)
		}
	}
	if !ReturnPath("/logout", ownPrefix, "") || ReturnPath("//x", "", "") {
		t.Error("without prefix and sign-out")
	}
}

// resolve is how a browser reads an address against our site (WHATWG URL, basic URL parser, for special schemes): it
// gives the origin's host, or "" for a failure, and the path. It is written after the standard and shares nothing
// with ReturnPath.
func resolve(input string) (scheme, host, pathname string) {
	const ownScheme, ownHost = "https", "app.example:8443"
	input = strings.TrimFunc(input, func(r rune) bool { return r <= ' ' })
	input = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, input)
	slash := func(s string, i int) bool { return i < len(s) && (s[i] == '/' || s[i] == '\\') }
	scheme, rest := ownScheme, input
	if s, after, ok := scheme1(input); ok {
		if s != "http" && s != "https" && s != "ws" && s != "wss" && s != "ftp" && s != "file" {
			return s, "", after // an opaque path, or an authority of another scheme: in no case our origin
		}
		if s == ownScheme && (!slash(after, 0) || !slash(after, 1)) {
			rest = after // "https:path" is relative to a base of the same scheme
		} else {
			// "special authority ignore slashes"
			scheme = s
			return scheme, authority(strings.TrimLeft(after, `/\`)), ""
		}
	}
	if slash(rest, 0) && slash(rest, 1) {
		return scheme, authority(strings.TrimLeft(rest, `/\`)), ""
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	if !slash(rest, 0) {
		return scheme, ownHost, "/(relative)/" + rest
	}
	var segments []string
	parts := strings.Split(strings.ReplaceAll(rest[1:], `\`, "/"), "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch strings.ReplaceAll(strings.ToLower(p), "%2e", ".") {
		case "..":
			if len(segments) > 0 {
				segments = segments[:len(segments)-1]
			}
			if last {
				segments = append(segments, "")
			}
		case ".":
			if last {
				segments = append(segments, "")
			}
		default:
			segments = append(segments, p)
		}
	}
	return scheme, ownHost, "/" + strings.Join(segments, "/")
}

func scheme1(s string) (scheme, rest string, ok bool) {
	for i := range len(s) {
		c := s[i] | 0x20
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && (s[i] >= '0' && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0):
		case i > 0 && s[i] == ':':
			return strings.ToLower(s[:i]), s[i+1:], true
		default:
			return "", "", false
		}
	}
	return "", "", false
}

func authority(s string) string {
	end := strings.IndexAny(s, `/\?#`)
	if end >= 0 {
		s = s[:end]
	}
	return s[strings.LastIndexByte(s, '@')+1:]
}

// leaves tells why a browser that is sent to target would not land on our site, in the app, where it was going.
func leaves(target string) string {
	scheme, host, pathname := resolve(target)
	switch {
	case scheme != "https" || host != "app.example:8443":
		return "it is at " + scheme + "://" + host
	case strings.HasPrefix(pathname, "//"):
		return "its path is " + pathname + ", which whoever takes the path alone reads as a host"
	case strings.HasPrefix(strings.ToLower(pathname), ownPrefix+"/") || strings.EqualFold(pathname, ownPrefix):
		return "it is ours"
	case pathname == ownSignOut:
		return "it signs out"
	case strings.HasPrefix(pathname, "/(relative)/"):
		return "it is relative"
	}
	// Somebody in between may decode once before the browser sees it.
	if decoded, err := url.PathUnescape(target); err == nil && decoded != target && !strings.Contains(target, "?") {
		if s, h, _ := resolve(decoded); s != "https" || h != "app.example:8443" {
			return "decoded once it is at " + s + "://" + h
		}
	}
	return ""
}

func TestTheResolverReadsLikeABrowser(t *testing.T) {
	for input, want := range map[string]string{
		"/a": "https app.example:8443 /a", "//evil/x": "https evil ", `/\evil`: "https evil ", `\\evil`: "https evil ",
		"/\t/evil": "https evil ", "/\n\\evil/": "https evil ", "////evil": "https evil ", "https:evil": "https app.example:8443 /(relative)/evil",
		"https:/evil": "https app.example:8443 /evil", "https:///evil": "https evil ", "http:evil": "http evil ", "//a@evil:1/x": "https evil:1 ",
		"javascript:x": "javascript  x", "/a/../b": "https app.example:8443 /b", "/.//b": "https app.example:8443 //b",
		"/a/%2e%2E/b/.": "https app.example:8443 /b/", "/a?//evil": "https app.example:8443 /a", " //evil ": "https evil ",
		"a": "https app.example:8443 /(relative)/a",
	} {
		scheme, host, p := resolve(input)
		if got := scheme + " " + host + " " + p; got != want {
			t.Errorf("resolve(%q) = %q, want %q", input, got, want)
		}
	}
}

// ownHostile is where the project keeps its own corpus; sharedHostile is a bigger one beside the repository.
const (
	ownHostile    = "testdata/hostile-return-addresses.txt"
	sharedHostile = "../../shared/data/hostile-return-addresses.txt"
)

func hostile(t testing.TB) []string {
	t.Helper()
	own, err := os.ReadFile(ownHostile)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := os.ReadFile(sharedHostile)
	if err != nil {
		t.Logf("without %s: %v", sharedHostile, err)
	}
	lines := strings.Split(string(own)+"\n"+string(shared), "\n")
	// A blank is a part of an address; only the end of the line is not.
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" || strings.HasPrefix(l, "# ") })
}

func TestHostileReturnAddressesStayOnTheSite(t *testing.T) {
	away, refused := 0, 0
	for _, line := range hostile(t) {
		for _, target := range []string{line, strings.TrimSpace(line), "/" + line} {
			if leaves(target) != "" {
				away++
			}
			if !ReturnPath(target, ownPrefix, ownSignOut) {
				refused++
				continue
			}
			if why := leaves(target); why != "" {
				t.Errorf("ReturnPath(%q), but %s", target, why)
			}
		}
	}
	if away < 100 || refused < away {
		t.Errorf("of the corpus %d lead away and %d are refused: the corpus or the resolver is broken", away, refused)
	}
}

func FuzzReturnPath(f *testing.F) {
	for _, line := range hostile(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !ReturnPath(target, ownPrefix, ownSignOut) {
			return
		}
		if why := leaves(target); why != "" {
			t.Fatalf("ReturnPath(%q), but %s", target, why)
		}
		u, err := url.Parse(target)
		if err == nil && (u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "") {
			t.Fatalf("ReturnPath(%q), but net/url reads %#v", target, u)
		}
		if strings.ContainsAny(target, "\r\n\x00") {
			t.Fatalf("ReturnPath(%q) lets a header be split", target)
		}
	})
}
