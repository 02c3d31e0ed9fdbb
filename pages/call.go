package pages

import (
	"strconv"
	"strings"
)

// CodeCall writes what is spoken in a call: a greeting for carriers that wait for a key before they go on, so that no
// voicemail keeps a code, and the code, digit by digit and twice. A line of it is followed by a pause.
func (r *Renderer) CodeCall(lang string, m CodeCall) (greeting, text string, err error) {
	c := r.catalogFor(lang)
	if greeting, err = c.plain("call.code.greeting", "Brand", r.brand.Name); err != nil {
		return "", "", err
	}
	var lines []string
	say := func(id string, pairs ...any) {
		line, failed := c.plain(id, pairs...)
		if failed != nil && err == nil {
			err = failed
		}
		lines = append(lines, line)
	}
	digits := spelled(m.Code)
	say("call.code.first", "Brand", r.brand.Name)
	say("call.code.digits", digits...)
	say("call.code.again")
	say("call.code.digits", digits...)
	say("call.code.last", "Count", m.Minutes)
	if err != nil {
		return "", "", err
	}
	return greeting, strings.Join(lines, "\n"), nil
}

// spelled gives the digits of a code by name. Together they would be read as a number.
func spelled(code string) []any {
	pairs := make([]any, 0, 12)
	for i := range 6 {
		digit := ""
		if i < len(code) {
			digit = code[i : i+1]
		}
		pairs = append(pairs, "D"+strconv.Itoa(i+1), digit)
	}
	return pairs
}
