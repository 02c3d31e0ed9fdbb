package pages

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
	"rsc.io/qr"
)

// L05: whatever a name holds, an app reads the label and the key as they were meant.
func TestWhatAnAppIsTold(t *testing.T) {
	for _, c := range []struct {
		name, issuer, account   string
		wantIssuer, wantAccount string
	}{
		{"Example", "", "tom", "Example", "tom"},
		{"Example Portal", "", "tom@example.com", "Example Portal", "tom@example.com"},
		{"例のポータル", "", "太郎", "例のポータル", "太郎"},
		{"例のポータル", "Example", "太郎", "Example", "太郎"},
		{"A:B", "", "c:d", "A B", "c d"},
		{"A%3AB", "", "100%", "A%3AB", "100%"},
		{"A&secret=X", "", "a?secret=Y#z", "A&secret=X", "a?secret=Y#z"},
		{"A\r\nB", "", "a\nb", "A  B", "a b"},
		{"A+B/C", "", "../x", "A+B/C", "../x"},
		{"Example", "", strings.Repeat("長", 300), "Example", strings.Repeat("長", mostNamed)},
	} {
		config := testConfig()
		config.Brand.Name, config.Brand.Issuer = c.name, c.issuer
		p := mustNew(t, config).page(frame("en", ""), Setup{}, now)
		uri := p.keyURI(key, c.account)
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		issuer, account, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || issuer != c.wantIssuer || account != c.wantAccount ||
			q.Get("issuer") != c.wantIssuer || q.Get("secret") != key || len(q) != 2 || strings.ContainsAny(uri, "+ \r\n") {
			t.Errorf("%q, %q, %q: %s", c.name, c.issuer, c.account, uri)
		}
	}
}

var squares = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// The drawing has every black module of the code, nothing else, and the white edge that scanners need.
func TestTheQRCodeIsDrawnWhole(t *testing.T) {
	p := mustNew(t, testConfig()).page(frame("en", ""), Setup{}, now)
	drawn, err := p.Drawn(key, "anna")
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(p.keyURI(key, "anna"), qr.L)
	if err != nil {
		t.Fatal(err)
	}
	if drawn.Size != code.Size+8 || squares.ReplaceAllString(drawn.Path, "") != "" {
		t.Fatalf("size %d for %d modules: %.80s", drawn.Size, code.Size, drawn.Path)
	}
	black := map[[2]int]bool{}
	for _, m := range squares.FindAllStringSubmatch(drawn.Path, -1) {
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		if n[2] != n[3] {
			t.Errorf("a run that does not close: %s", m[0])
		}
		for x := range n[2] {
			black[[2]int{n[0] + x, n[1]}] = true
		}
	}
	for y := range drawn.Size {
		for x := range drawn.Size {
			if black[[2]int{x, y}] != code.Black(x-4, y-4) {
				t.Fatalf("module %d, %d", x, y)
			}
		}
	}
	if len(drawn.Path) > 16_000 {
		t.Errorf("%d bytes", len(drawn.Path))
	}
}

// The page has the key as text, in groups of four, and nowhere in an address.
func TestTheKeyStandsOnThePageAsText(t *testing.T) {
	r := mustNew(t, testConfig())
	body := render(t, r, frame("ja", "authenticator/setup"), samples()["setup"]).Body.String()
	if !strings.Contains(body, ">GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ<") {
		t.Error("no key in groups of four")
	}
	each(t, body, func(n *html.Node, attr map[string]string) {
		for name, value := range attr {
			if strings.Contains(value, "GEZD") || strings.Contains(value, "otpauth") {
				t.Errorf("<%s %s=%q>", n.Data, name, value)
			}
		}
		if n.Data == "svg" && attr["class"] == "qr" && (attr["role"] != "img" || attr["aria-label"] == "") {
			t.Error("the QR code has no text alternative")
		}
	})
}

func TestRecoveryCodesAreShownAndSavedAlike(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, lang := range r.Languages() {
		body := render(t, r, frame(lang, "authenticator"), samples()["recovery"]).Body.String()
		file, err := r.RecoveryFile(lang, recoveryCodes, now)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, lang+"/recovery-file.golden.txt", file)
		for _, code := range recoveryCodes {
			shown := code[:5] + "-" + code[5:]
			if !strings.Contains(body, ">"+shown+"<") || !strings.Contains(file, "\n"+shown+"\n") {
				t.Errorf("%s: %s is not shown or not saved", lang, shown)
			}
		}
	}
	file, err := r.RecoveryFile("en", []string{"\u202ea\r\nb"}, now)
	if err != nil || strings.ContainsFunc(strings.ReplaceAll(file, "\n", ""), unicode.IsControl) || strings.Contains(file, "\u202e") {
		t.Errorf("%q, %v", file, err)
	}
}
