package policy

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestMaskShowsTheBeginningAndNeverTheLength(t *testing.T) {
	for whole, want := range map[string]string{
		"ann.long@example.com":                     "an****@example.com",
		"an.other.very.very.long.name@example.com": "an****@example.com",
		"ann@example.com":                          "an****@example.com",
		"AN.Long@example.com":                      "an****@example.com", // on file or as typed, it looks alike
		"an@example.com":                           "****@example.com",
		"a@example.com":                            "****@example.com",
		"@example.com":                             "****@example.com",
		"a..b@docomo.ne.jp":                        "a.****@docomo.ne.jp",
		"<b>x@example.com":                         "****@example.com",
		"a\u202eb@example.com":                     "****@example.com",
		"日本語@example.jp":                           "日本****@example.jp",
		"+819012345634":                            "+81 •• •••• ••34",
		"+14155550123":                             "+1 •• •••• ••23",
		"+79161234567":                             "+7 •• •••• ••67",
		"+35312345678":                             "+353 •• •••• ••78",
		"+99112345678":                             "+991 •• •••• ••78",
		"+1234":                                    stars,
		"":                                         stars,
		"nonsense":                                 stars,
		"x" + strings.Repeat("y", 300) + "@e.example": "xy****@e.example",
	} {
		if got := Mask(whole); got != want {
			t.Errorf("Mask(%q) = %q, want %q", whole, got, want)
		}
	}
}

func TestKnowsTheWholeOrTheHiddenPart(t *testing.T) {
	for _, c := range []struct {
		address Address
		typed   string
		want    bool
	}{
		{"ann.long@example.com", "n.long", true},
		{"ann.long@example.com", "N.LONG", true},
		{"ann.long@example.com", "  n.long\t", true},
		{"ann.long@example.com", "ｎ．ｌｏｎｇ", true},
		{"ann.long@example.com", "　n.long　", true},
		{"ann.long@example.com", "ann.long@example.com", true},
		{"ann.long@example.com", "ANN.long＠Example.COM", true},
		{"ann.long@example.com", "n.long@example.com", true},
		{"Ann.Long@example.com", "n.long", true},
		{"ann.long@example.com", "", false},
		{"ann.long@example.com", "   ", false},
		{"ann.long@example.com", "　", false},
		{"ann.long@example.com", "ann.long", false}, // the shown part is not asked for alone
		{"ann.long@example.com", "n.lon", false},
		{"ann.long@example.com", "n.longx", false},
		{"ann.long@example.com", "n.long@", false},
		{"ann.long@example.com", "@example.com", false},
		{"ann.long@example.com", "n.long@example.org", false},
		{"ann.long@example.com", "an****@example.com", false},
		{"ann.long@example.com", "****", false},
		{"ann.long@example.com", "n.long\x00", false},
		{"ann.long@example.com", "n. long", false},
		// H07: look-alikes never match, in either direction.
		{"mike@example.org", "mıke@example.org", false},
		{"mike@example.org", "mİke@example.org", false},
		{"mike@example.org", "mi\u212ae@example.org", false}, // Kelvin sign
		{"mike@example.org", "\u212ae", false},
		{"mike@example.org", "kе", false}, // Cyrillic
		{"ofice.fix@example.org", "ice.ﬁx", false},
		{"office@example.org", "oﬃce@example.org", false},
		{"straße.x@example.org", "strasse.x@example.org", false},
		{"ann.é@example.org", "n.e\u0301", false},
		// Short local parts are hidden whole.
		{"an@example.com", "an", true},
		{"an@example.com", "n", false},
		{"an@example.com", "", false},
		{"a@example.com", "a", true},
		{"a@example.com", "@example.com", false},
		{"abc@example.com", "c", true},
		{"abc@example.com", "bc", false},
		{"<b>x@example.com", "<b>x", true},
		{"<b>x@example.com", ">x", false},
		// A number is known whole or by its last four digits.
		{"+819012345634", "+819012345634", true},
		{"+819012345634", "5634", true},
		{"+819012345634", " ５６３４　", true},
		{"+819012345634", "", false},
		{"+819012345634", "34", false},
		{"+819012345634", "634", false},
		{"+819012345634", "45634", false},
		{"+819012345634", "5635", false},
		{"+819012345634", "4563", false},
		{"+819012345634", "+8190", false},
		{"+819012345634", "819012345634", false},
		{"+819012345634", "+81 •• •••• ••34", false},
		{"+819012345634", "••34", false},
		{"+123", "123", false}, // too short to have a hidden part
		{"+1234", "1234", false},
		{"+", "", false},
		// A local part may begin with a plus.
		{"+abcd@example.com", "abcd", false},
		{"+abcd@example.com", "bcd", true},
		{"", "", false},
		{"@example.com", "", false},
	} {
		if got := c.address.Knows(c.typed); got != c.want {
			t.Errorf("%q.Knows(%q) = %v", c.address.Whole(), c.typed, got)
		}
	}
}

func TestSameAddress(t *testing.T) {
	for _, c := range []struct {
		a, b Address
		want bool
	}{
		{"ann@example.com", "ANN@Example.COM", true},
		{"ann@example.com", "ann@example.org", false},
		{"mike@example.com", "mi\u212ae@example.com", false},
		{"é@example.com", "É@example.com", false},
		{"", "", true},
	} {
		if c.a.Same(c.b) != c.want || c.b.Same(c.a) != c.want {
			t.Errorf("%q and %q: want %v", c.a.Whole(), c.b.Whole(), c.want)
		}
	}
}

func TestDigits(t *testing.T) {
	for _, c := range []struct{ typed, code, problem string }{
		{"123456", "123456", ""},
		{"000123", "000123", ""},
		{" 123456\n", "123456", ""},
		{"123456 ", "123456", ""},
		{"123 456", "123456", ""},
		{"123-456", "123456", ""},
		{"123–456", "123456", ""},
		{"123ー456", "123456", ""},
		{"1 2 3 4 5 6", "123456", ""},
		{"１２３４５６", "123456", ""},
		{"１２３　４５６", "123456", ""},
		{"٠١٢٣٤٥", "012345", ""},
		{"۰۱۲۳۴۵", "012345", ""},
		{"०१२३४५", "012345", ""},
		{"𝟎𝟏𝟐𝟑𝟒𝟓", "012345", ""},
		{"\u200e123456\u200f", "123456", ""},
		{"Your code is 123456.", "123456", ""},
		{"確認コード：123456（10分）", "123456", ""},
		{"123456'--", "123456", ""},
		{"+123456", "123456", ""},
		{"123456\x00", "123456", ""},
		{"", "", "short"},
		{"   ", "", "short"},
		{"12345", "", "short"},
		{"1234567", "", "long"},
		{"123456 654321", "", "long"},
		{"123456 7", "", "long"},
		{"code 123456 or 654321", "", "letters"},
		{"1e5", "", "letters"},
		{"12345a", "", "letters"},
		{"code 123 456", "", "letters"},
		{"<script>", "", "letters"},
		{"\xff\xfe", "", "letters"},
		{"½²³①①①", "", "letters"}, // numbers, but no decimal digits
		{strings.Repeat("1", 10_000), "", "long"},
		{strings.Repeat(" ", 10_000) + "123456", "", "long"},
	} {
		if code, problem := Digits(c.typed, CodeDigits); code != c.code || problem != c.problem {
			t.Errorf("Digits(%.40q) = %q, %q; want %q, %q", c.typed, code, problem, c.code, c.problem)
		}
	}
}

// zeros are the digits zero of scripts in daily use (Unicode, DerivedNumericType.txt), written down by hand so that
// they do not come from the table that is under test.
var zeros = []rune{
	'0', 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0e50, 0x0ed0,
	0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
	0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x11066, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec,
	0x1d7f6, 0x1e950,
}

func TestEveryDecimalDigitHasItsValue(t *testing.T) {
	for _, zero := range zeros {
		for i := range rune(10) {
			if d, ok := Decimal(zero + i); !ok || d != '0'+byte(i) {
				t.Errorf("%U: %q, %v; want %d", zero+i, d, ok, i)
			}
		}
	}
	count := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		_, ok := Decimal(r)
		if ok != unicode.Is(unicode.Nd, r) {
			t.Errorf("%U: decimal says %v", r, ok)
		}
		if ok {
			count++
		}
	}
	if count%10 != 0 {
		t.Errorf("%d decimal digits: not in runs of ten", count)
	}
}

func FuzzDigits(f *testing.F) {
	for _, seed := range []string{"123456", " 12 34-56", "１２３４５６", "1e5", "code 123456!", "123456 654321", "\xff1", "٣"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, problem := Digits(typed, CodeDigits)
		if (code == "") == (problem == "") {
			t.Fatalf("Digits(%q) = %q, %q: neither or both", typed, code, problem)
		}
		if code == "" {
			return
		}
		if len(code) != CodeDigits || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("Digits(%q) = %q", typed, code)
		}
		// The code is a part of what was typed: its digits, in their order, with nothing but blanks between.
		var ascii []byte
		for _, r := range typed {
			if d, ok := Decimal(r); ok {
				ascii = append(ascii, d)
			}
		}
		if !strings.Contains(string(ascii), code) {
			t.Fatalf("Digits(%q) = %q, which nobody typed", typed, code)
		}
		// One guess is one guess: blanks around it make no other one.
		if again, _ := Digits(" "+code+"\n", CodeDigits); again != code {
			t.Fatalf("%q reads as %q with blanks", code, again)
		}
	})
}

func FuzzMask(f *testing.F) {
	for _, seed := range []string{"ann.long@example.com", "a@b.c", "+819012345634", "@", "", "日本語@例え.jp", "\xff\xfe\xfd@x", "+", "+1"} {
		f.Add(seed, "n.long")
	}
	f.Fuzz(func(t *testing.T, whole, typed string) {
		masked, a := Mask(whole), Address(whole)
		if a.String() != masked {
			t.Fatalf("String and Mask differ for %q", whole)
		}
		at := strings.LastIndexByte(whole, '@')
		if at < 0 {
			if whole == "" || whole[0] != '+' || len(whole) < 6 {
				if masked != stars {
					t.Fatalf("Mask(%q) = %q", whole, masked)
				}
			} else if len(masked)-len(" •• •••• ••") > 6 {
				t.Fatalf("Mask(%q) = %q", whole, masked)
			}
			if a.Knows(typed) {
				t.Fatalf("%q is known as %q", whole, typed)
			}
			return
		}
		shown, domain, ok := strings.Cut(masked, stars)
		if !ok || !strings.HasPrefix(whole[:at], shown) || utf8.RuneCountInString(shown) > 2 && utf8.ValidString(whole) {
			t.Fatalf("Mask(%q) = %q", whole, masked)
		}
		if at > 0 && len(shown) == at {
			t.Fatalf("Mask(%q) = %q hides nothing", whole, masked)
		}
		if !strings.Contains(whole[:at], stars) && domain != whole[at:] {
			t.Fatalf("Mask(%q) = %q changes the domain", whole, masked)
		}
		if a.Knows(typed) {
			folded := foldASCII(Narrow(typed))
			hidden := strings.TrimPrefix(whole[:at], shown)
			if folded == "" || folded != foldASCII(whole) && folded != foldASCII(hidden) && folded != foldASCII(hidden+whole[at:]) {
				t.Fatalf("%q is known as %q", whole, typed)
			}
		}
		if strings.TrimSpace(typed) == "" && a.Knows(typed) {
			t.Fatalf("nothing at all shows that %q is known", whole)
		}
	})
}

func BenchmarkMask(b *testing.B) {
	for _, whole := range []string{"ann.long@example.com", "+819012345634"} {
		b.Run(whole, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = Mask(whole)
			}
		})
	}
}
