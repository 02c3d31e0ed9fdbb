package pages

import (
	"slices"
	"strings"
	"testing"
)

func TestMatchLanguage(t *testing.T) {
	both, japan, many := mustNew(t, testConfig("en", "ja")), mustNew(t, testConfig("ja", "en")), mustNew(t, testConfig("en", "ja", "zh-Hant", "pt-BR"))
	all, simplified := mustNew(t, testConfig(offered...)), mustNew(t, testConfig("ar", "zh-Hans", "en"))
	for _, c := range []struct {
		r                      *Renderer
		explicit, header, want string
	}{
		{both, "", "", "en"},
		{japan, "", "", "ja"},
		{both, "ja", "en", "ja"},
		{both, "JA", "", "ja"},
		{both, "ja-JP", "", "ja"},
		{both, "tlh", "ja", "ja"},
		{both, "<script>", "ja", "ja"},
		{both, strings.Repeat("a", 10_000), "ja", "ja"},
		{both, "", "ja-JP,ja;q=0.9,en;q=0.8", "ja"},
		{japan, "", "en-GB,en;q=0.5", "en"},
		{japan, "", "en-GB-oxendict", "en"},
		{both, "", "de-DE,de;q=0.9", "en"},
		{japan, "", "de-DE,de;q=0.9,en;q=0.1", "en"},
		{both, "", "en;q=0.1,ja;q=0.9", "ja"},
		{both, "", "ja;q=0", "en"},
		{both, "", "ja,xx;q=0.5", "ja"}, // a tag that nobody knows
		{both, "", "xx,en;q=0.1,ja;q=0.9", "ja"},
		{japan, "", "ka-GE,ka;q=0.9", "en"}, // what CLDR knows of Georgians, for want of better
		{both, "", "ka-GE,ka;q=0.9,ja;q=0.1", "ja"},
		{both, "", "*", "en"},
		{both, "", "und", "en"},
		{japan, "", "und", "ja"},
		{japan, "", "*", "ja"},
		{both, "", ";;;=,q", "en"},
		{japan, "", ";;;=,q", "ja"},
		{many, "", "zh-CN,zh;q=0.9", "en"}, // never the other script
		{many, "", "zh-CN,ja;q=0.5", "ja"},
		{many, "", "zh-TW", "zh-Hant"},
		{many, "", "zh-HK", "zh-Hant"},
		{many, "", "pt-BR", "pt-BR"},
		{many, "pt", "", "pt-BR"},
		{all, "", "zh-CN,zh;q=0.9", "zh-Hans"},
		{all, "", "zh-SG", "zh-Hans"},
		{all, "", "zh", "zh-Hans"},
		{all, "", "zh-Hans-HK", "zh-Hans"},
		{all, "", "zh-TW,zh;q=0.9", "zh-Hant"},
		{all, "", "zh-HK", "zh-Hant"},
		{all, "", "zh-MO", "zh-Hant"},
		{all, "", "zh-Hant-CN", "zh-Hant"},
		{all, "zh-cn", "ja", "zh-Hans"},
		{simplified, "", "zh-TW", "ar"}, // never the other script, here either
		{simplified, "", "zh-HK,en;q=0.1", "en"},
		{all, "", "pt", "pt-BR"},
		{all, "", "pt-PT,pt;q=0.9", "pt-BR"},
		{many, "", "pt-PT", "pt-BR"},
		{all, "", "de-AT,de;q=0.9,en;q=0.1", "de"},
		{all, "", "de-CH", "de"},
		{all, "", "fr-CA", "fr"},
		{all, "", "es-419", "es"},
		{all, "", "es-MX", "es"},
		{all, "", "ko-KR", "ko"},
		{all, "", "ar-EG,ar;q=0.9", "ar"},
		{all, "", "ar-MA", "ar"},
		{all, "", "en-GB,de;q=0.9", "en"},
		{all, "", "nl,de;q=0.5", "de"},
		{all, "", "tlh", "en"},
		{simplified, "", "x-pirate", "ar"},
		{simplified, "", "", "ar"},
		{simplified, "", "sv-SE", "ar"},
		// Beyond 256 bytes nothing is read, and no half of a tag.
		{both, "", strings.Repeat("de,", 84) + "ja,en", "ja"},
		{japan, "", strings.Repeat("de,", 85) + "en-GB,en", "ja"},
		{both, "", strings.Repeat("x", 300), "en"},
		{japan, "", strings.Repeat("en,", 3000), "en"},
	} {
		if got := c.r.MatchLanguage(c.explicit, c.header); got != c.want {
			t.Errorf("%.20q, %.40q: %s, want %s", c.explicit, c.header, got, c.want)
		}
	}
}

func FuzzMatchLanguage(f *testing.F) {
	r, err := New(testConfig(offered...))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ja", "ja-JP,ja;q=0.9,en;q=0.8")
	f.Add("zh-CN", "*;q=0.5, und")
	f.Fuzz(func(t *testing.T, explicit, header string) {
		if got := r.MatchLanguage(explicit, header); !slices.Contains(offered, got) {
			t.Errorf("%q", got)
		}
	})
}
