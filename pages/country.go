package pages

import (
	"slices"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// Country is one whose phone numbers may be added.
type Country struct {
	// Code is its ISO 3166 code, Calling what its numbers begin with: "+81".
	Code, Calling string
}

// CountryChoice is a country in the list, in the words of the page.
type CountryChoice struct {
	Country
	Name   string
	Chosen bool
}

// CountryChoices are the countries of the page, in the order of its language.
func (p *page) CountryChoices(countries []Country, chosen string) []CountryChoice {
	list := make([]CountryChoice, len(countries))
	for i, c := range countries {
		list[i] = CountryChoice{c, p.catalog.countryName(c.Code), c.Code == chosen}
	}
	order := collate.New(p.catalog.tag, collate.IgnoreCase)
	slices.SortStableFunc(list, func(a, b CountryChoice) int { return order.CompareString(a.Name, b.Name) })
	return list
}

// countryName is what people of the language call a country. A language that an operator added may have no names of its
// own: then they are English.
func (c *catalog) countryName(code string) string {
	region, err := language.ParseRegion(code)
	if err != nil {
		return code
	}
	for _, tag := range []language.Tag{c.tag, language.English} {
		if names := display.Regions(tag); names != nil {
			if name := names.Name(region); name != "" {
				return name
			}
		}
	}
	return code
}

// GuessCountry chooses among countries: the one that the browser names together with the page's language ("ja-JP"), else
// the one where most people read that, else any that the browser names, else the first.
func (r *Renderer) GuessCountry(lang, acceptLanguage string, among []Country) string {
	if len(among) == 0 {
		return ""
	}
	offered := func(tag language.Tag, least language.Confidence) (string, bool) {
		region, confidence := tag.Region()
		code := region.String()
		return code, confidence >= least && slices.ContainsFunc(among, func(c Country) bool { return c.Code == code })
	}
	page := r.catalogFor(lang).tag
	base, _ := page.Base()
	browser := acceptedLanguages(acceptLanguage)
	for _, tag := range browser {
		code, ok := offered(tag, language.Exact)
		if own, _ := tag.Base(); ok && own == base {
			return code
		}
	}
	if code, ok := offered(page, language.Low); ok {
		return code
	}
	for _, tag := range browser {
		if code, ok := offered(tag, language.Exact); ok {
			return code
		}
	}
	return among[0].Code
}
