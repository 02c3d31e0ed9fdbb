package pages

import (
	"strings"
	"testing"
)

const theCode = "047193"

func codeText(t *testing.T, r *Renderer, lang, host string) string {
	t.Helper()
	text, err := r.CodeText(lang, CodeText{Code: theCode, Minutes: 10, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A text with a code is one message in every language: the parts of a longer one come one by one, and each is paid for.
func TestTextWithACodeFitsOneSegment(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, lang := range r.Languages() {
		const host = "app.example.com"
		text := codeText(t, r, lang, host)
		if n := segments(text); n != 1 {
			t.Errorf("%s: %d segments: %q", lang, n, text)
		}
		if !strings.HasSuffix(text, "\n\n@"+host+" #"+theCode) {
			t.Errorf("%s: the last line is not bound to the site: %q", lang, text)
		}
		if !strings.Contains(text, "10") || strings.Count(text, theCode) != 2 {
			t.Errorf("%s: it lacks how long it lives, or the code: %q", lang, text)
		}
		if !strings.Contains(text, "Example") && lang != "ar" { // Arabic takes more room: the host has to do
			t.Errorf("%s: it lacks the site's name: %q", lang, text)
		}
		if strings.Contains(text, "://") || strings.Contains(text, "/") {
			t.Errorf("%s: a link: %q", lang, text)
		}
	}
}

// The alphabet of a text decides how much it holds. English, German, French, Spanish and Portuguese keep to GSM 7-bit.
func TestTextsOfLatinLanguagesKeepToTheSmallAlphabet(t *testing.T) {
	r := mustNew(t, testConfig("en", "de", "fr", "es", "pt-BR"))
	for _, lang := range r.Languages() {
		for _, c := range codeText(t, r, lang, "app.example.com") {
			if !strings.ContainsRune(gsm7+gsm7Extension, c) {
				t.Errorf("%s: %q is not in the alphabet", lang, c)
			}
		}
	}
}

// What does not fit goes in a defined order: the brand, which the host tells as well, then the advice; never the last line.
func TestLongTextLosesTheBrandFirst(t *testing.T) {
	for _, c := range []struct{ brand, host, want string }{
		{"Example", "app.example.com", "確認コード: 047193(Example)\n10分間有効。誰にも教えないでください。\n\n@app.example.com #047193"},
		{"Example ポータル", "portal.example.com", "確認コード: 047193\n10分間有効。誰にも教えないでください。\n\n@portal.example.com #047193"},
		{"Example", "app.department.subsidiary.example.co.jp", "確認コード: 047193\n\n@app.department.subsidiary.example.co.jp #047193"},
		{"Example", strings.Repeat("long.", 20) + "example", "確認コード: 047193\n\n@" + strings.Repeat("long.", 20) + "example #047193"},
	} {
		config := testConfig()
		config.Brand.Name = c.brand
		if got := codeText(t, mustNew(t, config), "ja", c.host); got != c.want {
			t.Errorf("%s at %s:\n%s\nwant\n%s", c.brand, c.host, got, c.want)
		}
	}
}

func TestLastLineIsBoundToTheHostOfThePage(t *testing.T) {
	r := mustNew(t, testConfig())
	for host, want := range map[string]string{
		"app.example.com": "\n\n@app.example.com #047193", "localhost:8080": "\n\n@localhost #047193", "": "", "[::1]:8080": "", "::1": "",
		"evil\n@x.example #1": "", "a b": "",
	} {
		text := codeText(t, r, "en", host)
		if _, last, found := strings.Cut(text, "\n\n"); found != (want != "") || found && "\n\n"+last != want {
			t.Errorf("%q: %q", host, text)
		}
	}
}

func TestSegmentsAreCountedAsCarriersDo(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 1},
		{strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("a", 306), 2}, {strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, {strings.Repeat("€", 80) + "a", 2},
		{strings.Repeat("é\n@", 53) + "a", 1},
		{strings.Repeat("あ", 70), 1}, {strings.Repeat("あ", 71), 2}, {strings.Repeat("あ", 135), 3},
		{strings.Repeat("a", 69) + "ç", 1}, {strings.Repeat("a", 70) + "ç", 2},
		{strings.Repeat("😀", 35), 1}, {strings.Repeat("😀", 36), 2},
	} {
		if got := segments(c.text); got != c.want {
			t.Errorf("%.10q… (%d runes): %d, want %d", c.text, len([]rune(c.text)), got, c.want)
		}
	}
}

func TestNoticesByTextNameNoContactAndLinkNowhere(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, lang := range r.Languages() {
		for _, code := range []string{"", "K7QM2XBD"} {
			page := ""
			if code != "" {
				page = "app.example.com/.contactgate/notice"
			}
			text, err := r.NoticeText(lang, NoticeText{Kind: "phone", At: now, Host: "app.example.com", Code: code, Page: page})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, "Example") || !strings.Contains(text, code) || !strings.Contains(text, "app.example.com"+strings.TrimPrefix(page, "app.example.com")) ||
				strings.Contains(text, "://") || strings.ContainsRune(text, '\uFFFD') {
				t.Errorf("%s: %q", lang, text)
			}
		}
	}
}

func TestCallSpeaksTheDigitsOneByOneTwice(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, lang := range r.Languages() {
		greeting, text, err := r.CodeCall(lang, CodeCall{Code: theCode, Minutes: 10})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(greeting, "Example") || strings.ContainsAny(greeting, "0123456789\n") {
			t.Errorf("%s: the greeting: %q", lang, greeting)
		}
		if strings.Contains(text, theCode) {
			t.Errorf("%s: the code is spoken as one number: %q", lang, text)
		}
		read := 0
		for line := range strings.SplitSeq(text, "\n") {
			digits := strings.Map(func(c rune) rune {
				if c < '0' || c > '9' {
					return -1
				}
				return c
			}, line)
			if digits != theCode {
				continue
			}
			read++
			if strings.Contains(line, "04") || strings.Contains(line, "71") {
				t.Errorf("%s: digits run together: %q", lang, line)
			}
		}
		if read != 2 {
			t.Errorf("%s: the code is read %d times: %q", lang, read, text)
		}
	}
}
