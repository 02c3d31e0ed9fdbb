package verify

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"

	"github.com/contactgate/contactgate/policy"
)

// PhoneFault says why a number is not taken. Empty: it is.
type PhoneFault string

// Why a number is not taken.
const (
	// NoNumber: it is none, or none that can exist.
	NoNumber PhoneFault = "number"
	// WithExtension: something is to be dialled after it.
	WithExtension PhoneFault = "extension"
	// CostlyKind: it costs its caller or its owner extra, or is no line of one person: premium rate, shared cost, free of
	// charge, personal, pager, company-wide, voicemail.
	CostlyKind PhoneFault = "kind"
	// FixedLine: it takes calls only, and the operator lets nobody be called in its country.
	FixedLine PhoneFault = "line"
	// OtherCountry: no code may go to its country, or it is in none, as satellites are.
	OtherCountry PhoneFault = "country"
)

// mostTyped is how much of a number is looked at. The longest have 15 digits (E.164).
const mostTyped = 64

// ParsePhone takes a number as a person types it, or as a sign-in names it, in the country that they chose for numbers
// without a country code. What it gives is the one E.164 form in which numbers are stored, compared and counted.
func ParsePhone(typed, country string) (policy.Address, policy.Line, PhoneFault) {
	dialled, fault := dialable(typed)
	if fault != "" {
		return "", policy.Line{}, fault
	}
	n := readNumber(dialled, country)
	if n == nil || !phonenumbers.IsValidNumber(n) {
		return "", policy.Line{}, NoNumber
	}
	line, ok := lineOf(n)
	switch {
	case line.Country == "":
		return "", policy.Line{}, OtherCountry
	case !ok:
		return "", policy.Line{}, CostlyKind
	}
	return policy.Address(phonenumbers.Format(n, phonenumbers.E164)), line, ""
}

// ReachPhone is ParsePhone for a number that a code is wanted to, with the channels that may be used for it.
func ReachPhone(r *policy.Rules, typed, country string) (policy.Address, []policy.Channel, PhoneFault) {
	address, line, fault := ParsePhone(typed, country)
	if fault != "" {
		return "", nil, fault
	}
	channels, _ := r.Reach(line)
	if len(channels) > 0 {
		return address, channels, ""
	}
	line.CallsOnly = false
	if channels, _ = r.Reach(line); len(channels) > 0 {
		return "", nil, FixedLine
	}
	return "", nil, OtherCountry
}

// Channels lists how a code can travel to a contact, the usual way first, and why there is only one.
func Channels(r *policy.Rules, c policy.Contact) ([]policy.Channel, policy.Only) {
	switch {
	case c.Kind == policy.Phone:
		return r.Reach(LineOf(c.Address))
	case r.WithoutEmail:
		return nil, ""
	}
	return []policy.Channel{policy.ByEmail}, ""
}

// LineOf tells what is known of a number on file. It refuses none: what was taken once is not lost because the library
// has learned of a new numbering plan since.
func LineOf(stored policy.Address) policy.Line {
	n, err := phonenumbers.Parse(stored.Whole(), "")
	if err != nil {
		return policy.Line{}
	}
	line, ok := lineOf(n)
	switch {
	case ok:
		return line
	case phonenumbers.GetNumberType(n) != phonenumbers.UNKNOWN:
		return policy.Line{} // a costly one, whoever put it on file
	}
	return policy.Line{Country: country(phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode())))}
}

// lineOf gives the country and what the line takes. Whatever is not known to belong to one person at the usual rates is
// not ok.
func lineOf(n *phonenumbers.PhoneNumber) (line policy.Line, ok bool) {
	line.Country = country(phonenumbers.GetRegionCodeForNumber(n))
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
		return line, true
	case phonenumbers.FIXED_LINE, phonenumbers.VOIP:
		line.CallsOnly = true
		return line, true
	}
	return line, false
}

// country keeps codes of countries. "001" are networks of no country, satellites among them.
func country(region string) string {
	if KnownCountry(region) {
		return region
	}
	return ""
}

// KnownCountry tells whether there are phone numbers under an ISO 3166 code.
func KnownCountry(code string) bool {
	return len(code) == 2 && phonenumbers.GetCountryCodeForRegion(code) != 0
}

// CallingCode is what numbers of a country begin with: "+81".
func CallingCode(country string) string {
	return "+" + strconv.Itoa(phonenumbers.GetCountryCodeForRegion(country))
}

// readNumber parses what is left of a number when it was cleaned. "00" is how most countries dial abroad, and people
// write it where it is not dialled, too.
func readNumber(dialled, country string) *phonenumbers.PhoneNumber {
	n, err := phonenumbers.Parse(dialled, country)
	if err == nil && phonenumbers.IsValidNumber(n) {
		return n
	}
	if abroad, ok := strings.CutPrefix(strings.TrimLeft(dialled, "( "), "00"); ok {
		if m, err := phonenumbers.Parse("+"+abroad, ""); err == nil {
			return m
		}
	}
	if err != nil {
		return nil
	}
	return n
}

// dialable brings what was typed into ASCII digits, blanks and parentheses, with one plus sign at most. The library would
// take much more: letters as on a telephone's keys, two numbers, extensions, pauses.
func dialable(typed string) (string, PhoneFault) {
	s := policy.Narrow(typed)
	if len(s) > mostTyped*4 {
		return "", NoNumber
	}
	if scheme := len("tel:"); len(s) > scheme && strings.EqualFold(s[:scheme], "tel:") {
		s = s[scheme:]
	}
	var b strings.Builder
	digits, plus := 0, false
	for _, r := range s {
		digit, isDigit := policy.Decimal(r)
		switch {
		case isDigit:
			b.WriteByte(digit)
			digits++
		case r == '+' && !plus && digits == 0:
			b.WriteByte('+')
			plus = true
		case r == '(' || r == ')':
			b.WriteRune(r)
		case separates(r):
			b.WriteByte(' ')
		case digits > 0 && strings.ContainsRune(";,#*xX~:=", r):
			return "", WithExtension
		default:
			return "", NoNumber
		}
	}
	if digits == 0 || b.Len() > mostTyped {
		return "", NoNumber
	}
	return b.String(), ""
}

// separates tells what people put between the groups of a number, and what copying brings along.
func separates(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Bidi_Control, r) ||
		strings.ContainsRune("./·・‧−ー\u200b\u2060\ufeff", r)
}

// shortest is how many digits may be a whole number in any country. In some, fewer are one, too.
const shortest = 7

// phoneAnswer brings an answer to "show that you know this number" into the form that policy compares: the stored form of
// a whole number, or four digits. It is empty for anything else.
func phoneAnswer(stored policy.Address, typed string) string {
	dialled, fault := dialable(typed)
	if fault != "" {
		return ""
	}
	digits := strings.Map(func(r rune) rune {
		if r == ' ' || r == '(' || r == ')' {
			return -1
		}
		return r
	}, dialled)
	if len(digits) == 4 && digits[0] != '+' {
		return digits
	}
	n := readNumber(dialled, LineOf(stored).Country)
	switch {
	case n == nil && digits[0] == '+':
		return digits
	case n == nil, len(digits) < shortest && !phonenumbers.IsPossibleNumber(n):
		return ""
	}
	// Whether it is a valid number now is not asked: it only has to be the one on file.
	return phonenumbers.Format(n, phonenumbers.E164)
}
