package policy

import (
	"slices"
	"testing"
	"time"
)

func TestWhichChannelsReachALine(t *testing.T) {
	r := Rules{Countries: []Country{{"JP", true, true}, {"FR", true, false}, {"DE", false, true}, {"XX", false, false}}}
	for _, c := range []struct {
		line Line
		want []Channel
		only Only
	}{
		{Line{"JP", false}, []Channel{BySMS, ByVoice}, ""},
		{Line{"JP", true}, []Channel{ByVoice}, OnlyCalls},
		{Line{"FR", false}, []Channel{BySMS}, OnlyInCountry},
		{Line{"FR", true}, nil, ""}, // a fixed line where nobody is called
		{Line{"DE", false}, []Channel{ByVoice}, OnlyInCountry},
		{Line{"DE", true}, []Channel{ByVoice}, OnlyInCountry},
		{Line{"XX", false}, nil, ""},
		{Line{"US", false}, nil, ""},
		{Line{"jp", false}, nil, ""},
		{Line{"", false}, nil, ""},
	} {
		got, only := r.Reach(c.line)
		if !slices.Equal(got, c.want) || only != c.only {
			t.Errorf("%+v: %v, %q; want %v, %q", c.line, got, only, c.want, c.only)
		}
	}
	if got, _ := new(Rules).Reach(Line{}); got != nil {
		t.Errorf("without any country: %v", got)
	}
}

func TestSpokenAndTextedCodesLiveTenMinutesAtMost(t *testing.T) {
	l := DefaultLimits()
	l.CodeLifetime = 24 * time.Hour
	for channel, want := range map[Channel]time.Duration{ByEmail: 24 * time.Hour, BySMS: 10 * time.Minute, ByVoice: 10 * time.Minute, "pigeon": 10 * time.Minute} {
		if got := l.Lifetime(channel); got != want {
			t.Errorf("%s: %s", channel, got)
		}
	}
	l.CodeLifetime = time.Minute
	if l.Lifetime(BySMS) != time.Minute {
		t.Error("a shorter life is stretched")
	}
}

func number() *Contact { return &Contact{ID: "p1", Kind: Phone, Address: "+819012345634"} }

func defaults(change func(r *Rules)) *Rules {
	r := Defaults()
	change(&r)
	return &r
}

func TestAnswersAboutANumber(t *testing.T) {
	spent := func(n int) func(c *Contact) {
		return func(c *Contact) { c.Last4, c.Last4InAll = make(Tally, n), n; fill(c.Last4, ago(time.Hour)) }
	}
	untouched := func(*Contact) {}
	whole := func(r *Rules) { r.ProofWhole = true }
	usual := func(*Rules) {}
	for _, c := range []struct {
		name   string
		rules  func(r *Rules)
		before func(c *Contact)
		typed  string
		want   Result
	}{
		{"the last four", usual, untouched, "5634", Result{Outcome: Matched}},
		{"all of it", usual, untouched, "+819012345634", Result{Outcome: Matched}},
		{"nothing", usual, untouched, "", Result{Outcome: Unread}},
		{"another last four", usual, untouched, "0034", Result{Outcome: Mismatch, Left: 2}},
		{"another number", usual, untouched, "+819012345635", Result{Outcome: Mismatch, Left: 4}},
		{"neither", usual, untouched, "34", Result{Outcome: Mismatch, Left: 4}},
		{"the last of the day: now the whole is asked", usual, spent(2), "0034", Result{Outcome: Mismatch, Left: 5}},
		{"the right one at the last try of the day", usual, spent(2), "5634", Result{Outcome: Matched}},
		{"none left today", usual, spent(3), "5634", Result{Outcome: WholeAsked, Wait: 23 * time.Hour}},
		{"none left today, but the whole", usual, spent(3), "+819012345634", Result{Outcome: Matched}},
		{"none left at all", usual, func(c *Contact) { c.Last4InAll = 5 }, "5634", Result{Outcome: WholeAsked}},
		{"none left at all, but the whole", usual, func(c *Contact) { c.Last4InAll = 5 }, "+819012345634", Result{Outcome: Matched}},
		{"the whole is demanded", whole, untouched, "5634", Result{Outcome: WholeAsked}},
		{"the whole is demanded and given", whole, untouched, "+819012345634", Result{Outcome: Matched}},
		{"nothing, where the whole is demanded", whole, untouched, "", Result{Outcome: Unread}},
		{"no whole ones left", usual, func(c *Contact) { c.ProofsInAll = 15 }, "+819012345634", Result{Outcome: Closed}},
		{"no whole ones left, but last fours", usual, func(c *Contact) { c.ProofsInAll = 15 }, "5634", Result{Outcome: Matched}},
	} {
		t.Run(c.name, func(t *testing.T) {
			contact := number()
			c.before(contact)
			if got := new(Account).Answer(contact, c.typed, defaults(c.rules), noon); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// H02: of 100 values five may be tried, ever; right answers in between give nobody new ones.
func TestLastFourDigitsMayBeGuessedFiveTimes(t *testing.T) {
	r, a, c := defaults(func(*Rules) {}), new(Account), number()
	wrong, at := 0, noon
	for range 50 {
		if a.Answer(c, "0034", r, at).Outcome == Mismatch {
			wrong++
		}
		a.Answer(c, "5634", r, at)
		a.Answer(c, "+819012345634", r, at)
		at = at.Add(13 * time.Hour)
	}
	if wrong != 5 {
		t.Errorf("%d guesses", wrong)
	}
	if !c.AsksWhole(r, at.Add(1000*day)) {
		t.Error("they are asked for again, years later")
	}
}

func TestLastFourAreCountedBeforeTheyAreCompared(t *testing.T) {
	c, seen := number(), 0
	c.proveLast4(func() bool { seen = c.Last4InAll; return false }, DefaultLimits(), noon)
	if seen != 1 || len(c.Last4) != 1 || c.Last4InAll != 1 {
		t.Errorf("%d while comparing; %d, %d", seen, len(c.Last4), c.Last4InAll)
	}
	c.proveLast4(right, DefaultLimits(), noon)
	if len(c.Last4) != 1 || c.Last4InAll != 1 {
		t.Error("a right one is counted, or forgets the wrong ones")
	}
}

func TestAnAddressIsNeverAskedForFourDigits(t *testing.T) {
	r, c := defaults(func(r *Rules) { r.ProofWhole = true }), &Contact{ID: "c1", Kind: Email, Address: "an1234@example.com"}
	if c.AsksWhole(r, noon) {
		t.Error("an address is asked for in the words of a number")
	}
	if got := new(Account).Answer(c, "1234", r, noon); got.Outcome != Matched {
		t.Errorf("%+v", got)
	}
	if got := new(Account).Answer(c, "", r, noon); got.Outcome != Mismatch {
		t.Errorf("%+v", got)
	}
}

func TestCallsHaveALimitOfTheirOwn(t *testing.T) {
	a, l := new(Account), DefaultLimits()
	for range l.VoicePerDay {
		if wait := a.SendWait(ByVoice, l, noon); wait != 0 {
			t.Fatal(wait)
		}
		a.CountSend(ByVoice, noon)
	}
	if wait := a.SendWait(ByVoice, l, ahead(time.Hour)); wait != 23*time.Hour {
		t.Errorf("the fourth call waits %s", wait)
	}
	if a.SendWait(BySMS, l, ahead(time.Minute)) != 0 || len(a.Sends) != 3 {
		t.Error("calls are not counted as messages, or stop texts")
	}
	a.CountSend(BySMS, noon)
	if len(a.Calls) != 3 {
		t.Error("a text counts as a call")
	}
	a.unsend(ByVoice)
	if len(a.Calls) != 2 || len(a.Sends) != 3 {
		t.Errorf("taken back: %d, %d", len(a.Calls), len(a.Sends))
	}
}
