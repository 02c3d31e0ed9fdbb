package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/contactgate/contactgate/policy"
)

// J05, J06: however it is typed, it is one number.
func TestOneNumberHasOneForm(t *testing.T) {
	for _, c := range []struct{ typed, country, want string }{
		{"090-1234-5678", "JP", "+819012345678"},
		{"090 1234 5678", "JP", "+819012345678"},
		{"09012345678", "JP", "+819012345678"},
		{" 090 1234 5678\n", "JP", "+819012345678"},
		{"０９０－１２３４－５６７８", "JP", "+819012345678"},
		{"０９０ー１２３４ー５６７８", "JP", "+819012345678"},
		{"０９０　１２３４　５６７８", "JP", "+819012345678"},
		{"090‐1234‐5678", "JP", "+819012345678"},
		{"090−1234−5678", "JP", "+819012345678"},
		{"090.1234.5678", "JP", "+819012345678"},
		{"090・1234・5678", "JP", "+819012345678"},
		{"(090)1234-5678", "JP", "+819012345678"},
		{"+81 90 1234 5678", "US", "+819012345678"},
		{"+81 (0)90-1234-5678", "US", "+819012345678"},
		{"(+81) 90 1234 5678", "US", "+819012345678"},
		{"＋８１９０１２３４５６７８", "", "+819012345678"},
		{"0081 90 1234 5678", "JP", "+819012345678"},
		{"0081 90 1234 5678", "DE", "+819012345678"},
		{"0081 90 1234 5678", "US", "+819012345678"},
		{"0081(0)90-1234-5678", "JP", "+819012345678"},
		{"010 81 90 1234 5678", "JP", "+819012345678"},
		{"011 81 90 1234 5678", "US", "+819012345678"},
		{"tel:090-1234-5678", "JP", "+819012345678"},
		{"TEL:+81-90-1234-5678", "US", "+819012345678"},
		{"\u202a+81 90 1234 5678\u202c", "US", "+819012345678"}, // as copied from a contact list
		{"+81\u00a090\u00a01234\u00a05678", "US", "+819012345678"},
		{"٠٩٠١٢٣٤٥٦٧٨", "JP", "+819012345678"},

		{"+1 (415) 555-0123", "JP", "+14155550123"},
		{"0014155550123", "US", "+14155550123"},
		{"0014155550123", "JP", "+14155550123"},
		{"4155550123", "US", "+14155550123"},
		{"1-415-555-0123", "US", "+14155550123"},
		{"+1415555０123", "JP", "+14155550123"},
		{"tel:+14155550123", "JP", "+14155550123"},
		{"415.555.0123", "US", "+14155550123"},
		{"030/1234567", "DE", "+49301234567"},
		{"06 12 34 56 78", "FR", "+33612345678"},
		{"02 1234 5678", "IT", "+390212345678"}, // a zero that stays
		{"07911 123456", "GB", "+447911123456"},
	} {
		got, _, fault := ParsePhone(c.typed, c.country)
		if got.Whole() != c.want || fault != "" {
			t.Errorf("%q in %s: %q, %q; want %s", c.typed, c.country, got.Whole(), fault, c.want)
		}
	}
}

// G04, J05: what costs money, is nobody's own, or has something to be dialled after it.
func TestNumbersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		typed, country string
		want           PhoneFault
	}{
		{"", "JP", NoNumber},
		{"   ", "JP", NoNumber},
		{"+", "JP", NoNumber},
		{"()", "JP", NoNumber},
		{"hello", "JP", NoNumber},
		{"ann@example.com", "JP", NoNumber},
		{"090-1234-567", "JP", NoNumber},
		{"090-1234-56789", "JP", NoNumber},
		{"+81 60 1234 5678", "", NoNumber},
		{"090-1234-5678", "", NoNumber}, // in no country
		{"090-1234-5678", "ZZ", NoNumber},
		{"090-1234-5678", "jp", NoNumber},
		{"0900000000000000000000", "JP", NoNumber},
		{strings.Repeat("9", 100_000), "JP", NoNumber},
		{"+" + strings.Repeat("8", 60), "JP", NoNumber},
		{"+81+9012345678", "JP", NoNumber},
		{"90+81 1234 5678", "JP", NoNumber},
		{"110", "JP", NoNumber},
		{"119", "JP", NoNumber},
		{"911", "US", NoNumber},
		{"+1911", "US", NoNumber},
		{"112", "DE", NoNumber},
		{"12345", "US", NoNumber},
		{"1-800-FLOWERS", "US", NoNumber},
		{"call 090-1234-5678", "JP", NoNumber},
		{"090-1234-5678 (home)", "JP", NoNumber},
		{"<b>09012345678", "JP", NoNumber},
		{"{env.HOME}", "JP", NoNumber},
		{"090-1234-5678\x00", "JP", NoNumber},
		{"०९०१२३४५६७८\xff", "JP", NoNumber},

		{"+14155550123;ext=9", "US", WithExtension},
		{"+14155550123,,,99#", "US", WithExtension},
		{"+14155550123#99", "US", WithExtension},
		{"+14155550123*9", "US", WithExtension},
		{"+14155550123 x9", "US", WithExtension},
		{"tel:+14155550123;isub=9", "US", WithExtension},
		{"tel:5550123;phone-context=+1415", "US", WithExtension},
		{"+14155550123；ｅｘｔ＝９", "US", WithExtension},

		{"0990 123456", "JP", CostlyKind},   // premium rate
		{"0570 123 456", "JP", CostlyKind},  // company-wide
		{"0120 123 456", "JP", CostlyKind},  // free of charge
		{"020 4123 4567", "JP", CostlyKind}, // pager
		{"+19005551234", "", CostlyKind},    // premium rate
		{"+447012345678", "", CostlyKind},   // personal
		{"+447640123456", "", CostlyKind},   // pager
		{"+448451234567", "", CostlyKind},   // premium, as Ofcom has it
		{"+445512345678", "", CostlyKind},   // company-wide
		{"+491801123456", "", CostlyKind},   // shared cost
		{"+49900 1123456", "", CostlyKind},  // premium rate
		{"+15005550006", "", CostlyKind},    // personal
		{"+18005551234", "", CostlyKind},    // free of charge

		{"+881612345678", "JP", OtherCountry}, // satellite
		{"+882161234567", "JP", OtherCountry},
		{"+979123456789", "JP", OtherCountry}, // international premium rate
		{"+80012345678", "JP", OtherCountry},
		{"+80812345678", "JP", OtherCountry},
	} {
		got, _, fault := ParsePhone(c.typed, c.country)
		if fault != c.want || got != "" {
			t.Errorf("%.40q in %s: %q, %q; want %q", c.typed, c.country, got.Whole(), fault, c.want)
		}
	}
}

func TestWhatALineTakes(t *testing.T) {
	r := &policy.Rules{Countries: []policy.Country{{Code: "JP", SMS: true, Voice: true}, {Code: "US", SMS: true, Voice: true}, {Code: "FR", SMS: true}, {Code: "DE", Voice: true}}}
	both, calls, texts := []policy.Channel{policy.BySMS, policy.ByVoice}, []policy.Channel{policy.ByVoice}, []policy.Channel{policy.BySMS}
	for _, c := range []struct {
		number string
		want   []policy.Channel
		fault  PhoneFault
	}{
		{"+819012345678", both, ""},
		{"+815012345678", calls, ""}, // 050: over the internet
		{"+81312345678", calls, ""},
		{"+14155550123", both, ""}, // nobody can tell whether it is mobile
		{"+33612345678", texts, ""},
		{"+33123456789", nil, FixedLine},
		{"+4915112345678", calls, ""},
		{"+49301234567", calls, ""},
		{"+14165550123", nil, OtherCountry}, // Canada has the same calling code
		{"+447911123456", nil, OtherCountry},
		{"+881612345678", nil, OtherCountry},
	} {
		address, got, fault := ReachPhone(r, c.number, "")
		if !slices.Equal(got, c.want) || fault != c.fault || (address != "") != (fault == "") {
			t.Errorf("%s: %v, %q", c.number, got, fault)
		}
		if fault == "" {
			if got, _ := Channels(r, policy.Contact{Kind: policy.Phone, Address: address}); !slices.Equal(got, c.want) {
				t.Errorf("%s on file: %v", c.number, got)
			}
		}
	}
	if got, only := Channels(r, policy.Contact{Kind: policy.Phone, Address: "+815012345678"}); len(got) != 1 || only != policy.OnlyCalls {
		t.Errorf("%v, %q", got, only)
	}
	if got, _ := Channels(r, policy.Contact{Kind: policy.Email, Address: "ann@example.com"}); !slices.Equal(got, []policy.Channel{policy.ByEmail}) {
		t.Errorf("an address: %v", got)
	}
	r.WithoutEmail = true
	if got, _ := Channels(r, policy.Contact{Kind: policy.Email, Address: "ann@example.com"}); got != nil {
		t.Errorf("an address, where nothing carries mail: %v", got)
	}
}

// What was valid when it was taken stays in use; what costs money is not, whoever put it on file.
func TestNumbersOnFileOutliveNumberingPlans(t *testing.T) {
	for number, want := range map[policy.Address]policy.Line{
		"+816012345678":    {Country: "JP"}, // no such range now
		"+81901234":        {Country: "JP"},
		"+819012345678901": {Country: "JP"},
		"+14155550123":     {Country: "US"},
		"+81312345678":     {Country: "JP", CallsOnly: true},
		"+81990123456":     {},
		"+19005551234":     {},
		"+881612345678":    {},
		"+9990123456":      {},
		"nonsense":         {},
		"":                 {},
	} {
		if got := LineOf(number); got != want {
			t.Errorf("%s: %+v, want %+v", number.Whole(), got, want)
		}
	}
}

func TestAnswersAboutANumberAreReadAsTheyAreTyped(t *testing.T) {
	const stored = policy.Address("+819012345634")
	for typed, want := range map[string]string{
		"5634": "5634", " 5634 ": "5634", "５６３４": "5634", "56-34": "5634", "٥٦٣٤": "5634", "5 6 3 4": "5634",
		"09012345634": stored.Whole(), "090-1234-5634": stored.Whole(), "０９０ー１２３４ー５６３４": stored.Whole(), "+81 90 1234 5634": stored.Whole(),
		"0081 90 1234 5634": stored.Whole(), "tel:+819012345634": stored.Whole(), "819012345634": stored.Whole(),
		"+816012345634": "+816012345634", "+9990123": "+9990123",
		"": "", " ": "", "34": "", "634": "", "45634": "", "abcd": "", "5634;ext=1": "", "+": "", "••34": "", "5634\x00": "",
	} {
		if got := phoneAnswer(stored, typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	for _, odd := range []string{"34", "634", "45634", "+5634", "56340"} {
		if got := phoneAnswer(stored, odd); stored.Knows(got) {
			t.Errorf("%q passes as an answer", odd)
		}
	}
	for spelling, number := range map[string]policy.Address{"060-1234-5678": "+816012345678", "0081 60 1234 5678": "+816012345678", "+816012345678": "+816012345678"} {
		if got := phoneAnswer(number, spelling); !number.Knows(got) {
			t.Errorf("%q of a number that is no longer valid: %q", spelling, got)
		}
	}
}

func TestCallingCodes(t *testing.T) {
	for code, want := range map[string]string{"JP": "+81", "US": "+1", "CA": "+1", "GG": "+44", "VA": "+39"} {
		if got := CallingCode(code); got != want || !KnownCountry(code) {
			t.Errorf("%s: %s", code, got)
		}
	}
	for _, odd := range []string{"", "jp", "UK", "JPN", "001", "ZZ", "XX", "J"} {
		if KnownCountry(odd) {
			t.Errorf("%q is taken for a country", odd)
		}
	}
}

// Nothing that is typed makes the library fail, and whatever is taken is in one form.
func FuzzParsePhone(f *testing.F) {
	for _, s := range []string{"090-1234-5678", "tel:+14155550123;ext=9", "+14155550123,,,99#", "０９０ー１２３４", "(((", "+00", "0000000000", "tel:;phone-context=+1"} {
		f.Add(s, "JP")
	}
	f.Fuzz(func(t *testing.T, typed, country string) {
		address, _, fault := ParsePhone(typed, country)
		if (address == "") != (fault != "") {
			t.Fatalf("%q, %q", address.Whole(), fault)
		}
		if fault == "" {
			again, _, fault := ParsePhone(address.Whole(), "")
			if again != address || fault != "" || strings.Trim(address.Whole(), "+0123456789") != "" || len(address) > 16 {
				t.Fatalf("%q becomes %q and %q, %q", typed, address.Whole(), again.Whole(), fault)
			}
		}
		if answer := phoneAnswer("+819012345634", typed); answer != "" && strings.Trim(answer, "+0123456789") != "" {
			t.Fatalf("an answer %q", fmt.Sprint(answer))
		}
	})
}
