package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"unicode"
)

// stars stand for the hidden part. Their number is always the same, so that it tells no length.
const stars = "****"

// shownRunes is how much of a local part is shown, of those that are longer than that.
const shownRunes = 2

// Mask is an address or a number as pages, logs and audits may show it: "an****@example.com", "+81 •• •••• ••34". Case does
// not matter to an address, so the mask has none: whoever typed one must not see by it that it is on file in another.
func Mask(whole string) string {
	if at := strings.LastIndexByte(whole, '@'); at >= 0 {
		shown, _ := splitLocal(foldASCII(whole[:at]))
		return shown + stars + whole[at:]
	}
	if len(whole) < 6 || whole[0] != '+' {
		return stars
	}
	return whole[:callingCode(whole)] + " •• •••• ••" + whole[len(whole)-2:]
}

// twoDigitCodes are the calling codes of two digits. Those that begin with 1 or 7 have one, all others three
// (ITU-T E.164, list of assigned country codes).
const twoDigitCodes = "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 " +
	"60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "

// callingCode is how many bytes "+" and the country's calling code take.
func callingCode(number string) int {
	switch {
	case number[1] == '1' || number[1] == '7':
		return 2
	case strings.Contains(twoDigitCodes, number[1:3]+" "):
		return 3
	}
	return 4
}

// splitLocal parts a local part into what is shown and what is hidden. One or two characters are hidden whole,
// and so is anything that would not print as it is.
func splitLocal(local string) (shown, hidden string) {
	runes := []rune(local)
	if len(runes) <= shownRunes {
		return "", local
	}
	for _, r := range runes[:shownRunes] {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-+", r) {
			return "", local
		}
	}
	return string(runes[:shownRunes]), string(runes[shownRunes:])
}

// Knows tells whether what somebody typed shows that they know the address: the whole of it, or its hidden part,
// with or without the domain. Case of ASCII letters, blanks at the ends and full-width forms do not matter;
// look-alikes of other scripts never match. The typed domain must be in ASCII form already, and a phone number in its
// stored form or its last four digits.
func (a Address) Knows(typed string) bool {
	typed = foldASCII(Narrow(typed))
	if a.Kind() == Phone {
		return a.knowsNumber(typed)
	}
	whole := foldASCII(string(a))
	at := strings.LastIndexByte(whole, '@')
	if typed == "" || at < 0 {
		return false
	}
	_, hidden := splitLocal(whole[:at])
	ok := sameSecret(typed, whole)
	ok |= sameSecret(typed, hidden)
	ok |= sameSecret(typed, hidden+whole[at:])
	return ok == 1
}

// Same tells whether two addresses are one: the case of ASCII letters does not matter.
func (a Address) Same(other Address) bool {
	return sameSecret(foldASCII(string(a)), foldASCII(string(other))) == 1
}

// sameSecret takes the same time wherever two strings differ, and however long they are.
func sameSecret(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// Narrow turns full-width forms into ASCII and cuts blanks at both ends. It is on purpose not Unicode's
// normalisation: that would turn a Kelvin sign into a K.
func Narrow(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r >= '！' && r <= '～':
			return r - '！' + '!'
		case r == '　':
			return ' '
		}
		return r
	}, s))
}

func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Digits takes what a person typed or pasted as a code and gives its digits: blanks, dashes and full-width or
// other decimal digits are fine, and so is a pasted sentence with exactly one run of n digits. It returns the
// problem as the page names it ("", "short", "long", "letters"); anything but "" is not counted as a try.
func Digits(typed string, n int) (code, problem string) {
	if len(typed) > 1000 {
		return "", "long"
	}
	var digits []byte
	other, run, runs, only := false, 0, 0, ""
	flush := func() {
		if run == n {
			runs++
			only = string(digits[len(digits)-n:])
		}
		run = 0
	}
	for _, r := range typed {
		if d, ok := Decimal(r); ok {
			digits = append(digits, d)
			run++
			continue
		}
		flush()
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Pd, r) && r != 'ー' && r != '−' && r != '\u200e' && r != '\u200f' {
			other = true
		}
	}
	flush()
	switch {
	case other && runs == 1:
		return only, ""
	case other:
		return "", "letters"
	case len(digits) < n:
		return "", "short"
	case len(digits) > n:
		return "", "long"
	}
	return string(digits), ""
}

// Decimal reads a decimal digit of any script: they come in runs of ten that start at a zero (Unicode 4.6).
func Decimal(r rune) (byte, bool) {
	if r >= '0' && r <= '9' {
		return byte(r), true
	}
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + byte((r-rune(t.Lo))%10), true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + byte((r-rune(t.Lo))%10), true
		}
	}
	return 0, false
}
