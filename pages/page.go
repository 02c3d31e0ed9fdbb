package pages

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// page is what a template sees: the frame, the view, and the words.
type page struct {
	Frame
	// View is the page's own view.
	View View
	// Brand is whose page it is.
	Brand Brand

	renderer *Renderer
	catalog  *catalog
	now      time.Time
}

func (r *Renderer) page(f Frame, v View, now time.Time) *page {
	return &page{Frame: f, View: v, Brand: r.brand, renderer: r, catalog: r.catalogFor(f.Language), now: now}
}

// Name is the name of the page's template.
func (p *page) Name() string { return p.View.template() }

// Lang is the language of the page.
func (p *page) Lang() string { return p.catalog.tag.String() }

// Dir is "ltr" or "rtl".
func (p *page) Dir() (string, error) { return p.T("language.direction") }

// T says a message as plain text.
func (p *page) T(id string, pairs ...any) (string, error) { return p.catalog.plain(id, pairs...) }

// Gap stands between two sentences: nothing in languages whose full stop brings its own space.
func (p *page) Gap() string {
	switch base, _ := p.catalog.tag.Base(); base.String() {
	case "ja", "zh":
		return ""
	}
	return " "
}

// Say says a message in pieces, for the template "sentence".
func (p *page) Say(id string, pairs ...any) ([]Part, error) { return p.catalog.say(id, pairs...) }

// Contact marks a contact, which keeps its own direction; a phone number also stays on its line.
func (p *page) Contact(s string) Mark {
	if strings.HasPrefix(s, "+") {
		return Mark{Kind: "phone", Text: tame(s)}
	}
	return Mark{Kind: "contact", Text: tame(s)}
}

// Strong marks what matters in a sentence.
func (p *page) Strong(s string) Mark { return Mark{Kind: "strong", Text: tame(s)} }

// When marks a moment, with its day.
func (p *page) When(t time.Time) (Mark, error) {
	s, err := p.renderer.moment(p.catalog, t, p.now)
	return Mark{Kind: "time", Text: s, Value: t.UTC().Format(time.RFC3339)}, err
}

// Clock marks a moment; its day is left out when it is today.
func (p *page) Clock(t time.Time) (Mark, error) {
	y, m, d := t.In(p.renderer.location).Date()
	ny, nm, nd := p.now.In(p.renderer.location).Date()
	if y != ny || m != nm || d != nd {
		return p.When(t)
	}
	s, err := p.renderer.clock(p.catalog, t)
	return Mark{Kind: "time", Text: s, Value: t.UTC().Format(time.RFC3339)}, err
}

// Span puts a duration into words.
func (p *page) Span(d time.Duration) (string, error) { return p.catalog.span(d) }

// Countdown marks a duration that the script may count down. Its value is the words to do so with: the browser's own
// would be other digits, or another case, than those of the sentence around them.
func (p *page) Countdown(d time.Duration) (Mark, error) {
	s, err := p.Span(d)
	if err != nil {
		return Mark{}, err
	}
	words := map[string]map[string]string{}
	for unit, id := range map[string]string{"second": "span.seconds", "minute": "span.minutes"} {
		words[unit] = p.catalog.pluralForms(id)
	}
	value, err := json.Marshal(words)
	return Mark{Kind: "countdown", Text: s, Value: string(value)}, err
}

// Seconds is a duration in whole seconds, rounded up, for the script.
func (p *page) Seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// Left says how much time is left until a deadline: whole days as the rules count them; on the last day hours or
// minutes, never more than there are.
func (p *page) Left(days int, deadline time.Time) (string, error) {
	d := max(deadline.Sub(p.now), 0)
	switch {
	case d <= 90*time.Minute:
		return p.catalog.span(d.Truncate(time.Minute))
	case days < 1, d < 24*time.Hour:
		return p.catalog.span(d.Truncate(time.Hour))
	}
	return p.T("span.days", "Count", days)
}

// To is the address of one of our pages, which carries the return token on. A name may have a query of its own.
func (p *page) To(name string) string {
	if p.Return == "" {
		return p.Action(name)
	}
	and := "?"
	if strings.Contains(name, "?") {
		and = "&"
	}
	return p.Action(name) + and + "return=" + url.QueryEscape(p.Return)
}

// LanguageForm is where the choice of a language is posted.
func (p *page) LanguageForm() string {
	if p.LanguageAction != "" {
		return p.LanguageAction
	}
	return "language"
}

// Lines is what somebody typed in several lines, as it is shown again.
func (p *page) Lines(typed string) string { return strings.Join(tameLines(typed), "\n") }

// HelpProblem names a problem that help is asked for with.
func (p *page) HelpProblem(problem string) (string, error) {
	id, ok := helpProblems[problem]
	if !ok {
		id = "help.problem_other"
	}
	return p.T(id)
}

var helpProblems = map[string]string{
	"no_code": "help.problem_no_code", "wrong_code": "help.problem_wrong_code", "no_contact": "help.problem_no_contact",
	"stopped": "help.problem_stopped", "not_me": "help.problem_not_me", "other": "help.problem_other",
}

// HelpProblems are what there is to choose from.
func (p *page) HelpProblems() []string { return policy.HelpProblems }

// NoticeForm is where "this was not me" is posted.
func (p *page) NoticeForm() string {
	if v, ok := p.View.(Notice); ok && v.Token != "" {
		return "notice/" + v.Token
	}
	return "notice"
}

// Action is the address that a form posts to.
func (p *page) Action(name string) string { return p.Prefix + "/" + name }

// Asset is the address of a file of ours, by its plain name.
func (p *page) Asset(name string) (string, error) {
	hashed, ok := p.renderer.assets.hashed[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return p.Prefix + "/assets/" + hashed, nil
}

// Logo is the address of the operator's logo, or empty.
func (p *page) Logo() (string, error) {
	if p.renderer.assets.logo == "" {
		return "", nil
	}
	return p.Asset(p.renderer.assets.logo)
}

// Progress is where a person is among the steps.
type Progress struct {
	Text string
	// Bars has one entry per step: whether it has been reached.
	Bars []bool
}

// Progress says "Step 1 of 3".
func (p *page) Progress(step, of int) (Progress, error) {
	text, err := p.T("frame.step", "Step", step, "Of", of)
	bars := make([]bool, of)
	for i := range bars {
		bars[i] = i < step
	}
	return Progress{text, bars}, err
}

// Hidden is what every form carries.
type Hidden struct{ CSRF, Return string }

// Hidden are the hidden fields of the form that posts to action.
func (p *page) Hidden(action string) Hidden {
	h := Hidden{Return: p.Return}
	if p.Token != nil {
		h.CSRF = p.Token(action)
	}
	return h
}

// Href is an href attribute for a path on this site, byte for byte: html/template would rewrite some of its characters
// (an apostrophe, parentheses), and people are promised the very address that they asked for.
// Anything that is not such a path leads to the start of the site.
func (p *page) Href(path string) template.HTMLAttr {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
		path = "/"
	}
	return template.HTMLAttr(`href="` + template.HTMLEscapeString(path) + `"`) //nolint:gosec // checked and escaped above
}

// Language is one choice of the language switch.
type Language struct {
	Tag, Name, Dir string
	Current        bool
}

// Languages are the choices, each in its own name.
func (p *page) Languages() ([]Language, error) {
	var list []Language
	for _, c := range p.renderer.catalogs {
		name, err := c.text("language.name", nil)
		if err != nil {
			return nil, err
		}
		dir, err := c.text("language.direction", nil)
		if err != nil {
			return nil, err
		}
		list = append(list, Language{Tag: c.tag.String(), Name: name, Dir: dir, Current: c == p.catalog})
	}
	return list, nil
}

// Sender is the bare address of "Example <security@example.com>", to allow in a filter.
func (p *page) Sender(from string) string {
	if a, err := mail.ParseAddress(from); err == nil {
		return a.Address
	}
	return from
}

// Domain is what follows the @ of a sender.
func (p *page) Domain(from string) string {
	address := p.Sender(from)
	return address[strings.LastIndexByte(address, '@')+1:]
}

// Wrong reports whether the view shows an error: its title says so, and the summary takes the focus.
func (p *page) Wrong() bool {
	switch v := p.View.(type) {
	case Ask:
		return v.Failed != ""
	case Prove:
		return v.Problem != ""
	case Code:
		return v.Problem != "" || v.State == "failed"
	case Add:
		return v.Problem != ""
	case Notice:
		return v.Problem != "" || v.State == "gone"
	case Help:
		return v.Fault != ""
	case Details:
		return v.Problem != ""
	case Offer:
		return v.Expired
	case Setup:
		return v.Problem != ""
	case AppCode:
		return v.Problem != ""
	}
	return false
}
