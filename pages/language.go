package pages

import (
	"strings"

	"golang.org/x/text/language"
)

// matcher finds a catalog for what a person or a browser asks for.
type matcher struct {
	catalogs []*catalog
	matcher  language.Matcher
}

func newMatcher(catalogs []*catalog) matcher {
	tags := make([]language.Tag, len(catalogs))
	for i, c := range catalogs {
		tags[i] = c.tag
	}
	return matcher{catalogs, language.NewMatcher(tags)}
}

// find goes by the index of the match: the tag that comes with it is not one of ours ("en-GB" gives "en-u-rg-gbzzzz").
// A match of low confidence is none: zh-CN would be given zh-Hant.
func (m matcher) find(tag language.Tag) *catalog {
	_, i, confidence := m.matcher.Match(tag)
	if confidence < language.High {
		return nil
	}
	return m.catalogs[i]
}

// same is find without the help of a neighbour: Georgian is not answered in English, which CLDR takes for a good match,
// as long as the browser names another language that we have.
func (m matcher) same(tag language.Tag) *catalog {
	c := m.find(tag)
	if c == nil {
		return nil
	}
	wanted, _ := tag.Base()
	if got, _ := c.tag.Base(); got != wanted {
		return nil
	}
	return c
}

// headerLength is how much of Accept-Language is read: parsing 9 kB of it takes a millisecond.
const headerLength = 256

// MatchLanguage chooses among the languages on offer: what the person chose, else what the browser asks for, else the
// default. The result is always a tag on offer.
func (r *Renderer) MatchLanguage(explicit, acceptLanguage string) string {
	if len(explicit) <= headerLength {
		if tag, err := language.Parse(explicit); err == nil {
			if c := r.matcher.same(tag); c != nil {
				return c.tag.String()
			}
		}
	}
	tags := acceptedLanguages(acceptLanguage)
	for _, find := range []func(language.Tag) *catalog{r.matcher.same, r.matcher.find} {
		for _, tag := range tags {
			if c := find(tag); c != nil {
				return c.tag.String()
			}
		}
	}
	return r.catalogs[0].tag.String()
}

// acceptedLanguages are those that a browser asks for, the dearest first. A tag that nobody knows does not take away those
// beside it: somebody who asks for one of ours after it gets ours.
func acceptedLanguages(header string) []language.Tag {
	if len(header) > headerLength {
		header = header[:headerLength]
		// Half a tag may be another language.
		header = header[:max(strings.LastIndexByte(header, ','), 0)]
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err == nil {
		return tags
	}
	var known []string
	for entry := range strings.SplitSeq(header, ",") {
		if _, _, err := language.ParseAcceptLanguage(entry); err == nil {
			known = append(known, entry)
		}
	}
	tags, _, err = language.ParseAcceptLanguage(strings.Join(known, ","))
	if err != nil {
		return nil
	}
	return tags
}

// Languages are the tags on offer, the default first.
func (r *Renderer) Languages() []string {
	tags := make([]string, len(r.catalogs))
	for i, c := range r.catalogs {
		tags[i] = c.tag.String()
	}
	return tags
}

// catalogFor takes a tag on offer; any other gets the default.
func (r *Renderer) catalogFor(tag string) *catalog {
	for _, c := range r.catalogs {
		if strings.EqualFold(c.tag.String(), tag) {
			return c
		}
	}
	return r.catalogs[0]
}
