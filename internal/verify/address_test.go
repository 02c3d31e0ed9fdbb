package verify

import (
	"strings"
	"testing"
)

func TestParseEmail(t *testing.T) {
	for typed, want := range map[string]string{
		"ann@example.com":                  "ann@example.com",
		" ann@example.com\t":               "ann@example.com",
		"Ann.Long+tag@EXAMPLE.com":         "Ann.Long+tag@example.com",
		"ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ":                  "ann@example.com",
		"ann@bücher.example":               "ann@xn--bcher-kva.example",
		"ann@BÜCHER.example":               "ann@xn--bcher-kva.example",
		"ann@例え。jp":                        "ann@xn--r8jz45g.jp",
		"a..b@docomo.ne.jp":                "a..b@docomo.ne.jp",
		"a.@ezweb.ne.jp":                   "a.@ezweb.ne.jp",
		"o'brien@example.ie":               "o'brien@example.ie",
		strings.Repeat("a", 64) + "@e.com": strings.Repeat("a", 64) + "@e.com",
		// J02, J04
		"":                                 "",
		"@":                                "",
		"@example.com":                     "",
		"ann":                              "",
		"ann@":                             "",
		"ann@localhost":                    "",
		"admin@internal":                   "",
		"ann@example.com.":                 "",
		"ann@.example.com":                 "",
		"ann@example..com":                 "",
		"a..b@example.com":                 "",
		".ann@example.com":                 "",
		"ann.@example.com":                 "",
		"ann@127.0.0.1":                    "",
		"ann@[127.0.0.1]":                  "",
		"ann@[IPv6:::1]":                   "",
		"ann@example.com\r\nBcc: x@y.z":    "",
		"ann\r\n@example.com":              "",
		"ann@exam\nple.com":                "",
		"a@b.c%0d%0aRCPT TO:<x@y.z>":       "",
		`"a> ORCPT=x"@b.example`:           "",
		`"ann"@example.com`:                "",
		"a@b.example,x@y.example":          "",
		"a@b.example;x@y.example":          "",
		"a@b.example x@y.example":          "",
		"<a@b.example> <x@y.example>":      "",
		"<a@b.example>":                    "",
		"Ann <a@b.example>":                "",
		"evil@x.com@app.example":           "",
		"ann(comment)@example.com":         "",
		"ann@example.com\x00":              "",
		"ann@exa mple.com":                 "",
		"änn@example.com":                  "",
		"ann@exam_ple.com":                 "",
		"ann@-example.com":                 "",
		strings.Repeat("a", 65) + "@e.com": "",
		"a@" + strings.Repeat("a", 64) + ".example":        "",
		"a@" + strings.Repeat("aaaaaaaa.", 30) + "example": "",
		strings.Repeat("(a+)+$", 10_000):                   "",
	} {
		got, ok := ParseEmail(typed)
		if got.Whole() != want || ok != (want != "") {
			t.Errorf("ParseEmail(%.60q) = %q, %v; want %q", typed, got.Whole(), ok, want)
		}
	}
}

func TestWhatIsTypedAsAProofHasItsDomainMapped(t *testing.T) {
	for typed, want := range map[string]string{
		"n.long": "n.long", "n.long@BÜCHER.example": "n.long@xn--bcher-kva.example", "ann@": "ann@", "": "",
		"ann@two words": "ann@two words", "ａｎｎ＠例え。jp": "ann@xn--r8jz45g.jp",
	} {
		if got := asTyped(typed); got != want {
			t.Errorf("asTyped(%q) = %q, want %q", typed, got, want)
		}
	}
}

func TestEmailDomain(t *testing.T) {
	for address, want := range map[string]string{
		"ann@school.example": "school.example", " ann@School.Example ": "School.Example", "ann＠school.example": "school.example",
		"": "", "ann": "", "@school.example": "", "a@evil.example, b@school.example": "", "a@evil.example;b@school.example": "",
		"a@evil.example b@school.example": "", "evil@x.example@school.example": "", `"x@evil.example"@school.example`: "",
		"<a@evil.example> <b@school.example>": "", "a@school.example\r\nx": "",
	} {
		if got := EmailDomain(address); got != want {
			t.Errorf("EmailDomain(%q) = %q, want %q", address, got, want)
		}
	}
}
