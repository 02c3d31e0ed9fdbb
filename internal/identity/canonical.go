// Package identity knows who a user ID names: one spelling per person.
package identity

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ErrNoCanonicalForm means that a user ID is none: nobody can be remembered under it.
var ErrNoCanonicalForm = errors.New("the user ID has no canonical form: it must be 1 to 256 bytes of UTF-8 without control characters and without blanks at its ends")

// longest is how many bytes a user ID may have, in its canonical form.
const longest = 256

// Canonical is the one spelling of a user ID: UTF-8 in NFC, of a sane length, without what does not show. Case is
// kept unless fold is set. An ID in plain ASCII costs nothing.
func Canonical(raw string, fold bool) (string, error) {
	// Before normalising: NFC of something long is long work.
	if raw == "" || len(raw) > 4*longest {
		return "", ErrNoCanonicalForm
	}
	if !plain(raw, fold) {
		if !utf8.ValidString(raw) {
			return "", ErrNoCanonicalForm
		}
		raw = norm.NFC.String(raw)
		if fold {
			raw = norm.NFC.String(strings.Map(folded, raw))
		}
	}
	if len(raw) > longest || !shows(raw) {
		return "", ErrNoCanonicalForm
	}
	return raw, nil
}

// folded gives all cases of a letter one form: the first small one. It folds letter by letter, so that nobody's ID
// becomes longer, and "ß" is not "ss". (x/text's Fold swaps the two cases of Cherokee.)
func folded(r rune) rune {
	best := rune(-1)
	for c := unicode.SimpleFold(r); ; c = unicode.SimpleFold(c) {
		if unicode.Is(unicode.Ll, c) && (best < 0 || c < best) {
			best = c
		}
		if c == r {
			break
		}
	}
	if best < 0 {
		return r
	}
	return best
}

// plain tells that normalising and folding would change nothing.
func plain(s string, fold bool) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf || fold && 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return true
}

// shows tells whether every character has a look of its own: two IDs that look the same to an operator must not be
// two people because of what cannot be seen.
func shows(s string) bool {
	first, last := true, false
	for _, r := range s {
		if hidden(r) || first && unicode.IsSpace(r) {
			return false
		}
		first, last = false, unicode.IsSpace(r)
	}
	return !last
}

func hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	// Cc controls, Cf format (directions, joiners), Zl and Zp line ends, noncharacters.
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point)
}
