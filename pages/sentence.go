package pages

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Mark is a value inside a sentence that is shown in a way of its own: an address, a moment.
type Mark struct {
	// Kind is "contact" or "phone" (isolated, left to right, never broken off from its sentence), "time" or "strong".
	Kind string
	// Text is what is shown.
	Text string
	// Value is the machine's form of a time.
	Value string
}

// String is the text, for where no markup goes.
func (m Mark) String() string { return m.Text }

// Part is a piece of a sentence: plain when Kind is empty.
type Part = Mark

// say fills the sentence and returns it in pieces, so that templates can mark up values while every piece is
// escaped by html/template: no translation is ever taken for HTML.
func (c *catalog) say(id string, pairs ...any) ([]Part, error) {
	data, marks, err := arguments(pairs, true)
	if err != nil {
		return nil, fmt.Errorf("message %q: %w", id, err)
	}
	s, err := c.text(id, data)
	if err != nil {
		return nil, err
	}
	var parts []Part
	rest := s
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return r >= slot && r < slot+rune(len(marks)) })
		if i < 0 {
			parts = append(parts, Part{Text: rest})
			break
		}
		if i > 0 {
			parts = append(parts, Part{Text: rest[:i]})
		}
		r := []rune(rest[i:])[0]
		parts = append(parts, marks[r-slot])
		rest = rest[i+len(string(r)):]
	}
	return parts, nil
}

// plain fills the sentence with everything as text.
func (c *catalog) plain(id string, pairs ...any) (string, error) {
	data, _, err := arguments(pairs, false)
	if err != nil {
		return "", fmt.Errorf("message %q: %w", id, err)
	}
	return c.text(id, data)
}

// slot is the first of the private-use characters that hold a mark's place in a sentence. Values never contain one.
const slot = '\uE000'

func arguments(pairs []any, keep bool) (map[string]any, []Mark, error) {
	if len(pairs)%2 != 0 {
		return nil, nil, fmt.Errorf("a name without a value")
	}
	data := make(map[string]any, len(pairs)/2)
	var marks []Mark
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, nil, fmt.Errorf("%v is no name", pairs[i])
		}
		switch v := pairs[i+1].(type) {
		case Mark:
			if !keep {
				data[name] = v.Text
				continue
			}
			data[name] = string(slot + rune(len(marks)))
			marks = append(marks, v)
		case string:
			data[name] = tame(v)
		default:
			data[name] = v
		}
	}
	return data, marks, nil
}

// tame makes foreign text safe to stand inside a sentence: one line, and nothing that turns the reading direction of
// what follows (a right-to-left override in a name would rewrite the words around it).
func tame(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Bidi_Control, r), unicode.Is(unicode.Co, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// tameLines keeps the lines of a longer text.
func tameLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = tame(lines[i])
	}
	return lines
}

func escape(s string) string { return html.EscapeString(tame(s)) }

// moment puts a time into words, in the zone of the site and with its name: "Mon 30 Nov 09:00 JST".
func (r *Renderer) moment(c *catalog, t, now time.Time) (string, error) {
	clock, err := r.clock(c, t)
	if err != nil {
		return "", err
	}
	return r.dated(c, "date.this_year", "date.other_year", t, now, clock)
}

// day puts a day into words, in the zone of the site: "Mon 30 Nov".
func (r *Renderer) day(c *catalog, t, now time.Time) (string, error) {
	return r.dated(c, "date.day", "date.day_other_year", t, now, "")
}

func (r *Renderer) dated(c *catalog, thisYear, otherYear string, t, now time.Time, clock string) (string, error) {
	t, now = t.In(r.location), now.In(r.location)
	weekday, err := c.text(fmt.Sprintf("date.weekday.%d", t.Weekday()), nil)
	if err != nil {
		return "", err
	}
	month, err := c.text(fmt.Sprintf("date.month.%d", t.Month()), nil)
	if err != nil {
		return "", err
	}
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 { // "1er" in French, "1º" in Portuguese
		if day, err = c.text("date.first", nil); err != nil {
			return "", err
		}
	}
	data := map[string]any{"Weekday": weekday, "Day": day, "Month": month, "Year": t.Year(), "Clock": clock}
	if t.Year() != now.Year() {
		return c.text(otherYear, data)
	}
	return c.text(thisYear, data)
}

// clock puts the time of day into words: "09:00 JST".
func (r *Renderer) clock(c *catalog, t time.Time) (string, error) {
	t = t.In(r.location)
	zone := t.Format("MST")
	if strings.ContainsAny(zone, "+-") { // zones without a name of their own
		zone = "UTC" + t.Format("-07:00")
	}
	id := "date.am"
	if t.Hour() >= 12 {
		id = "date.pm"
	}
	half, err := c.text(id, nil)
	if err != nil {
		return "", err
	}
	return c.text("date.clock", map[string]any{
		"Hour": t.Hour(), "Hour2": t.Format("15"), "Hour12": t.Format("3"), "Half": half, "Minute": t.Format("04"), "Zone": zone,
	})
}

// span puts a duration into words, rounded up so that nobody comes back too early.
func (c *catalog) span(d time.Duration) (string, error) {
	up := func(unit time.Duration) int { return int((d + unit - 1) / unit) }
	switch {
	case d <= 90*time.Second:
		return c.text("span.seconds", map[string]any{"Count": max(up(time.Second), 1)})
	case d <= 90*time.Minute:
		return c.text("span.minutes", map[string]any{"Count": up(time.Minute)})
	case d < 48*time.Hour:
		return c.text("span.hours", map[string]any{"Count": up(time.Hour)})
	}
	return c.text("span.days", map[string]any{"Count": up(24 * time.Hour)})
}
