package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	tests := map[string]struct {
		raw       string
		fold      bool
		want      string
		noSpelled bool
	}{
		"plain":                  {raw: "ann", want: "ann"},
		"case is kept":           {raw: "Ann", want: "Ann"},
		"case is folded":         {raw: "Ann", fold: true, want: "ann"},
		"folded beyond ASCII":    {raw: "ÄNN", fold: true, want: "änn"},
		"sharp s is not ss":      {raw: "GROẞ", fold: true, want: "groß"},
		"composed":               {raw: "a\u0308nn", want: "änn"},
		"composed already":       {raw: "änn", want: "änn"},
		"Cherokee":               {raw: "Ꮊ", fold: true, want: "ꮊ"},
		"Cherokee, small":        {raw: "ꮊ", fold: true, want: "ꮊ"},
		"dotted I is no i":       {raw: "İ", fold: true, want: "İ"},
		"Kelvin is a k":          {raw: "\u212a", fold: true, want: "k"},
		"final sigma":            {raw: "ΣΑΣς", fold: true, want: "ςαςς"},
		"folded, then composed":  {raw: "\u0390", fold: true, want: "\u0390"},
		"commas, blanks within":  {raw: "cn=Ann B,ou=x", want: "cn=Ann B,ou=x"},
		"Japanese":               {raw: "山田太郎", want: "山田太郎"},
		"an address":             {raw: "ann@example.com", want: "ann@example.com"},
		"256 bytes":              {raw: strings.Repeat("a", 256), want: strings.Repeat("a", 256)},
		"composing makes it fit": {raw: strings.Repeat("a\u0308", 128), want: strings.Repeat("ä", 128)},
		"full width is another":  {raw: "ａnn", want: "ａnn"},
		"empty":                  {raw: "", noSpelled: true},
		"blank":                  {raw: " ", noSpelled: true},
		"blank before":           {raw: " ann", noSpelled: true},
		"blank behind":           {raw: "ann ", noSpelled: true},
		"wide blank behind":      {raw: "ann\u3000", noSpelled: true},
		"no-break blank before":  {raw: "\u00a0ann", noSpelled: true},
		"257 bytes":              {raw: strings.Repeat("a", 257), noSpelled: true},
		"10 kB":                  {raw: strings.Repeat("a", 10000), noSpelled: true},
		"taken apart, too long":  {raw: strings.Repeat("\u0958", 80), noSpelled: true}, // three bytes become six
		"NUL":                    {raw: "ann\x00", noSpelled: true},
		"line feed":              {raw: "an\nn", noSpelled: true},
		"carriage return":        {raw: "an\rn", noSpelled: true},
		"DEL":                    {raw: "ann\x7f", noSpelled: true},
		"C1 control":             {raw: "an\u0085n", noSpelled: true},
		"line separator":         {raw: "an\u2028n", noSpelled: true},
		"right to left override": {raw: "an\u202en", noSpelled: true},
		"zero width joiner":      {raw: "an\u200dn", noSpelled: true},
		"byte order mark":        {raw: "\ufeffann", noSpelled: true},
		"soft hyphen":            {raw: "an\u00adn", noSpelled: true},
		"noncharacter":           {raw: "an\ufffen", noSpelled: true},
		"not UTF-8":              {raw: "an\xffn", noSpelled: true},
		"a surrogate":            {raw: "an\xed\xa0\x80n", noSpelled: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Canonical(tt.raw, tt.fold)
			if tt.noSpelled != errors.Is(err, ErrNoCanonicalForm) || got != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestCanonicalCostsNothingForASCII(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = Canonical("ann@example.com", false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = Canonical("ann@example.com", true) }); n != 0 {
		t.Errorf("%v allocations when folding", n)
	}
}

// FuzzCanonical: what came out goes in unchanged, and is within the bounds.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"ann", "Ann", "a\u0308", "\u0390", "ẞ", "İ", "ﬁ", "\u1fd3", "\xff", " a", "\u0345a"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, raw string, fold bool) {
		once, err := Canonical(raw, fold)
		if err != nil {
			return
		}
		if len(once) == 0 || len(once) > longest || !utf8.ValidString(once) {
			t.Fatalf("%q became %q", raw, once)
		}
		if twice, err := Canonical(once, fold); err != nil || twice != once {
			t.Errorf("%q became %q, and that %q, %v", raw, once, twice, err)
		}
	})
}
