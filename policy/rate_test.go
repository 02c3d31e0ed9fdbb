package policy

import (
	"fmt"
	"testing"
	"time"
)

// country is a Rate after so many codes, of so many accounts in turn, of which so many were entered.
func country(sent, accounts, entered int, at time.Time) Rate {
	var r Rate
	for i := range sent {
		r = r.Asked(fmt.Sprint("account", i%accounts), at)
	}
	for range entered {
		r = r.Entered(at)
	}
	return r
}

func TestCountryStopsWhereTooFewCodesAreEntered(t *testing.T) {
	for _, c := range []struct {
		sent, accounts, entered int
		stops                   bool
	}{
		{50, 10, 0, true},
		{50, 10, 14, true},  // 28 %
		{50, 10, 15, false}, // 30 %
		{49, 10, 0, false},
		{50, 9, 0, false}, // one office with a bad day
		{1000, 9, 0, false},
		{1000, 400, 299, true},
		{1000, 400, 300, false},
		{0, 1, 0, false},
	} {
		r, wait := country(c.sent, c.accounts, c.entered, noon).Judge(ahead(time.Minute))
		if stops := wait == time.Hour; stops != c.stops || !stops && wait != 0 {
			t.Errorf("%+v: %s", c, wait)
		}
		if c.stops != r.Stopped.Equal(ahead(time.Hour+time.Minute)) {
			t.Errorf("%+v: stopped until %s", c, r.Stopped)
		}
	}
}

func TestStopOfACountryEndsAndIsNotRepeatedForTheSameCodes(t *testing.T) {
	r, _ := country(60, 20, 0, noon).Judge(noon)
	r = r.Asked("one on file", ahead(30*time.Minute))
	if r, wait := r.Judge(ahead(time.Hour - tick)); wait != tick || !r.Stopped.Equal(ahead(time.Hour)) {
		t.Errorf("a moment before its end: %s", wait)
	}
	if _, wait := r.Judge(ahead(time.Hour)); wait != 0 {
		t.Errorf("at its end: %s", wait)
	}
	for i := range 60 {
		r = r.Asked(fmt.Sprint(i), ahead(time.Hour))
	}
	if _, wait := r.Judge(ahead(61 * time.Minute)); wait != time.Hour {
		t.Errorf("the next bad hour: %s", wait)
	}
}

func TestRateForgetsWhatIsOlderThanADay(t *testing.T) {
	r := country(60, 20, 0, noon)
	if _, wait := r.Judge(ahead(day)); wait == 0 {
		t.Error("what is a day old is forgotten")
	}
	if _, wait := r.Judge(ahead(day + 31*time.Minute)); wait != 0 {
		t.Error("what is older counts")
	}
	if r = r.Asked("a", ahead(2*day)); len(r.Slots) != 1 {
		t.Errorf("%d slots are kept", len(r.Slots))
	}
	for i := range 10_000 {
		r = r.Asked(fmt.Sprint(i), ahead(2*day+time.Duration(i)*time.Minute))
	}
	if len(r.Slots) > 50 || len(r.Slots[0].Accounts) > rateAccounts {
		t.Errorf("%d slots, %d accounts in the first", len(r.Slots), len(r.Slots[0].Accounts))
	}
}

func TestCodesAreEnteredAndTakenBackWhereTheyWereCounted(t *testing.T) {
	r := Rate{}.Asked("a", noon).Asked("b", ahead(time.Hour)).Asked("c", ahead(2*time.Hour))
	r = r.Entered(ahead(time.Hour + 5*time.Minute))
	if r.Slots[0].Entered != 0 || r.Slots[1].Entered != 1 || r.Slots[2].Entered != 0 {
		t.Errorf("%+v", r.Slots)
	}
	if r = r.Entered(ahead(time.Hour)); r.Slots[1].Entered != 1 {
		t.Error("more are entered than were sent")
	}
	if r = r.Unasked(ahead(time.Hour)); r.Slots[1].Sent != 1 {
		t.Error("one that was entered is taken back")
	}
	if r = r.Unasked(noon); r.Slots[0].Sent != 0 {
		t.Errorf("%+v", r.Slots)
	}
	if r = r.Entered(ago(day)); r.Slots[0].Entered != 0 {
		t.Error("entered before it was sent")
	}
	// A clock that stepped back adds to the latest slot.
	if r = r.Asked("d", ago(time.Hour)); len(r.Slots) != 3 || r.Slots[2].Sent != 2 {
		t.Errorf("%+v", r.Slots)
	}
	before := r.Slots[0]
	r.Asked("e", ahead(time.Minute))
	r.Entered(noon)
	if r.Slots[0].Sent != before.Sent || r.Slots[0].Entered != before.Entered {
		t.Error("the state that came in was changed")
	}
}
