package pages

import (
	"slices"
	"testing"
)

func countryChoices(r *Renderer, lang string, codes ...string) (names []string, chosen string) {
	var list []Country
	for _, c := range codes {
		list = append(list, Country{Code: c, Calling: "+0"})
	}
	for _, c := range r.page(Frame{Language: lang}, Add{}, now).CountryChoices(list, codes[0]) {
		names = append(names, c.Name)
		if c.Chosen {
			chosen = c.Name
		}
	}
	return names, chosen
}

func TestCountriesAreNamedAndSortedInTheLanguageOfThePage(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for lang, want := range map[string][]string{
		"en":      {"Åland Islands", "Austria", "Germany", "Japan", "United States"},
		"de":      {"Ålandinseln", "Deutschland", "Japan", "Österreich", "Vereinigte Staaten"},
		"ja":      {"アメリカ合衆国", "オーストリア", "オーランド諸島", "ドイツ", "日本"},
		"fr":      {"Allemagne", "Autriche", "États-Unis", "Îles Åland", "Japon"},
		"es":      {"Alemania", "Austria", "Estados Unidos", "Islas Åland", "Japón"},
		"pt-BR":   {"Alemanha", "Áustria", "Estados Unidos", "Ilhas Aland", "Japão"},
		"zh-Hans": {"奥地利", "奥兰群岛", "德国", "美国", "日本"},
		"zh-Hant": {"日本", "美國", "奧地利", "奧蘭群島", "德國"},
		"ko":      {"독일", "미국", "오스트리아", "올란드 제도", "일본"},
	} {
		names, chosen := countryChoices(r, lang, "JP", "US", "AT", "DE", "AX")
		if !slices.Equal(names, want) {
			t.Errorf("%s: %q", lang, names)
		}
		if chosen == "" {
			t.Errorf("%s: none is chosen", lang)
		}
	}
	names, _ := countryChoices(r, "ar", "JP", "EG")
	if !slices.Equal(names, []string{"مصر", "اليابان"}) && !slices.Equal(names, []string{"اليابان", "مصر"}) {
		t.Errorf("ar: %q", names)
	}
}

func TestWhichCountryIsChosenAtFirst(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, c := range []struct {
		lang, header string
		among        []string
		want         string
	}{
		{"ja", "ja-JP,ja;q=0.9,en-US;q=0.8", []string{"US", "JP"}, "JP"},
		{"en", "en-GB,en;q=0.9", []string{"US", "GB"}, "GB"},
		{"en", "en-GB,en;q=0.9", []string{"JP", "US"}, "US"}, // where most people read English
		{"ja", "", []string{"US", "JP"}, "JP"},
		{"ja", "fr-CA, de-DE", []string{"US", "DE"}, "DE"},
		{"ja", "en-US,en;q=0.9", []string{"US", "JP"}, "JP"}, // chosen on the page
		{"de", "de-AT", []string{"JP", "FR"}, "JP"},
		{"pt-BR", "pt-PT", []string{"PT", "BR"}, "PT"},
		{"en", "x, ,;;q=", []string{"JP"}, "JP"},
		{"en", "en", nil, ""},
	} {
		var among []Country
		for _, code := range c.among {
			among = append(among, Country{Code: code})
		}
		if got := r.GuessCountry(c.lang, c.header, among); got != c.want {
			t.Errorf("%s, %q among %v: %s, want %s", c.lang, c.header, c.among, got, c.want)
		}
	}
}
