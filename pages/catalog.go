package pages

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	i18ntemplate "github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
)

// catalog is the words of one language.
type catalog struct {
	tag       language.Tag
	messages  map[string]*i18n.Message
	localizer *i18n.Localizer
}

// reference is the catalog that says which messages there are and what they may contain.
const reference = "en"

// offered are the built-in languages, in the order in which people are given the choice when the operator names none.
var offered = []string{"en", "ja", "de", "fr", "es", "pt-BR", "zh-Hans", "zh-Hant", "ko", "ar"}

// A placeholder that was not given is an error, never "<no value>" on a page.
var messageParser = &i18ntemplate.TextParser{Option: "missingkey=error"}

func loadCatalogs(src source, tags []string) ([]*catalog, error) {
	if len(tags) == 0 {
		tags = offered
	}
	ours, err := fs.ReadFile(builtin, "locales/"+reference+".json")
	if err != nil {
		return nil, err
	}
	wanted, err := parseCatalog(language.MustParse(reference), ours)
	if err != nil {
		return nil, err
	}
	var catalogs []*catalog
	var faults []error
	for _, tag := range tags {
		c, err := loadCatalog(src, tag, wanted)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.ContainsFunc(catalogs, func(other *catalog) bool { return other.tag == c.tag }) {
			faults = append(faults, fmt.Errorf("languages: %s is there twice", tag))
			continue
		}
		catalogs = append(catalogs, c)
	}
	return catalogs, errors.Join(faults...)
}

func loadCatalog(src source, name string, wanted map[string]*i18n.Message) (*catalog, error) {
	tag, err := language.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("languages: %q is no language tag: %w", name, err)
	}
	file := "locales/" + tag.String() + ".json"
	messages := map[string]*i18n.Message{}
	known := false
	if ours, err := fs.ReadFile(builtin, file); err == nil {
		known = true
		if messages, err = parseCatalog(tag, ours); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	theirs, err := src.override(file)
	if err != nil {
		return nil, err
	}
	if theirs != nil {
		known = true
		replaced, err := parseCatalog(tag, theirs)
		if err != nil {
			return nil, fmt.Errorf("brand templates: %s: %w", file, err)
		}
		for id, m := range replaced {
			messages[id] = m
		}
	}
	if !known {
		return nil, fmt.Errorf("languages: there is no catalog for %q; there are %s; add one as %s to the brand's templates", name, strings.Join(offered, ", "), file)
	}
	if err := compare(file, messages, wanted); err != nil {
		return nil, err
	}
	// One bundle per language: its matcher has no other language to wander off to.
	bundle := i18n.NewBundle(tag)
	for _, m := range messages {
		if err := bundle.AddMessages(tag, m); err != nil {
			return nil, fmt.Errorf("languages: %s: %w", name, err)
		}
	}
	c := &catalog{tag: tag, messages: messages, localizer: i18n.NewLocalizer(bundle, tag.String())}
	if err := c.count(wanted); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// count says every message that has plural forms with enough numbers to meet each form of any language: a form that is
// missing is found here, not by the person who has 2 days left.
func (c *catalog) count(wanted map[string]*i18n.Message) error {
	var faults []error
	for id, w := range wanted {
		if w.One == "" {
			continue
		}
		for _, n := range someNumbers {
			if _, err := c.text(id, map[string]any{"Count": n}); err != nil {
				faults = append(faults, fmt.Errorf("with the number %d: %w", n, err))
				break
			}
		}
	}
	return errors.Join(faults...)
}

// someNumbers meet every form that CLDR has for whole numbers, but for that of round millions, which nobody has to wait.
var someNumbers = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 22, 23, 25, 30, 40, 60, 100}

func parseCatalog(tag language.Tag, b []byte) (map[string]*i18n.Message, error) {
	list, err := i18n.NewBundle(tag).ParseMessageBytes(tag, b, json.Unmarshal)
	if err != nil {
		return nil, err
	}
	messages := make(map[string]*i18n.Message, len(list))
	for _, m := range list {
		messages[m.ID] = m
	}
	return messages, nil
}

// compare finds messages that are missing, that nobody shows, or that ask for what they are not given.
func compare(file string, messages, wanted map[string]*i18n.Message) error {
	var faults []error
	for id, w := range wanted {
		m := messages[id]
		if m == nil || m.Other == "" {
			faults = append(faults, fmt.Errorf("%s: the message %q is missing", file, id))
			continue
		}
		allowed, err := placeholders(w)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
		if strings.HasPrefix(id, "date.") {
			allowed = dateParts // English does not use all of them
		}
		used, err := placeholders(m)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
		for _, name := range used {
			if !slices.Contains(allowed, name) {
				faults = append(faults, fmt.Errorf("%s: the message %q uses {{.%s}}, which it is not given; it may use %v", file, id, name, allowed))
			}
		}
	}
	for id := range messages {
		if wanted[id] == nil {
			faults = append(faults, fmt.Errorf("%s: nothing shows the message %q", file, id))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// dateParts are what every "date." message is given, to put in the language's own order.
var dateParts = []string{"Clock", "Day", "Half", "Hour", "Hour12", "Hour2", "Minute", "Month", "Weekday", "Year", "Zone"}

func forms(m *i18n.Message) []string {
	return []string{m.Zero, m.One, m.Two, m.Few, m.Many, m.Other}
}

// pluralForms are the forms of a message by their CLDR names, as they are written.
func (c *catalog) pluralForms(id string) map[string]string {
	list := map[string]string{}
	for i, form := range forms(c.messages[id]) {
		if form != "" {
			list[[...]string{"zero", "one", "two", "few", "many", "other"}[i]] = form
		}
	}
	return list
}

// placeholders lists the names that a message asks for, in any of its forms. Anything but {{.Name}} is refused: a
// message is a sentence, not a program.
func placeholders(m *i18n.Message) ([]string, error) {
	var names []string
	for _, form := range forms(m) {
		if !strings.Contains(form, "{{") {
			continue
		}
		trees, err := parse.Parse(m.ID, form, "{{", "}}", map[string]any{})
		if err != nil {
			return nil, fmt.Errorf("the message %q: %w", m.ID, err)
		}
		root := trees[m.ID]
		if root == nil || root.Root == nil {
			continue
		}
		for _, n := range root.Root.Nodes {
			switch n := n.(type) {
			case *parse.TextNode:
			case *parse.ActionNode:
				name, ok := strings.CutPrefix(n.String(), "{{.")
				name = strings.TrimSuffix(name, "}}")
				if !ok || strings.ContainsAny(name, " .|(") {
					return nil, fmt.Errorf("the message %q: %s is more than a placeholder", m.ID, n)
				}
				names = append(names, name)
			default:
				return nil, fmt.Errorf("the message %q: %s is more than a placeholder", m.ID, n)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// text says the message; data may have a "Count", which chooses the plural form.
func (c *catalog) text(id string, data map[string]any) (string, error) {
	lc := &i18n.LocalizeConfig{MessageID: id, TemplateData: data, TemplateParser: messageParser}
	if n, ok := data["Count"]; ok {
		lc.PluralCount = n
		if s, ok := n.(string); ok {
			n, err := strconv.Atoi(s)
			if err != nil {
				return "", fmt.Errorf("message %q: a count of %q", id, s)
			}
			lc.PluralCount = n
		}
	}
	s, err := c.localizer.Localize(lc)
	if err != nil {
		return "", fmt.Errorf("message %q in %s: %w", id, c.tag, err)
	}
	return s, nil
}
