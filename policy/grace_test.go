package policy

import (
	"reflect"
	"testing"
	"time"
)

func TestDeadlineArithmetic(t *testing.T) {
	r := Defaults() // grace 7 d, unseen 14 d
	for _, c := range []struct {
		name string
		g    Grace
		want time.Time
	}{
		{"no clock", Grace{}, time.Time{}},
		{"shown", Grace{Shown: noon}, ahead(7 * day)},
		{"seen", Grace{Seen: noon}, ahead(21 * day)},
		{"both at once", Grace{Seen: noon, Shown: noon}, ahead(7 * day)},
		{"shown while the unseen clock runs", Grace{Seen: noon, Shown: ahead(10 * day)}, ahead(17 * day)},
		{"shown at its end", Grace{Seen: noon, Shown: ahead(14 * day)}, ahead(21 * day)},
		{"shown after it moves nothing", Grace{Seen: noon, Shown: ahead(14*day + tick)}, ahead(21 * day)},
		{"shown long after grace", Grace{Seen: noon, Shown: ahead(100 * day)}, ahead(21 * day)},
		{"seen after it was shown", Grace{Seen: ahead(day), Shown: noon}, ahead(7 * day)},
		{"extended", Grace{Shown: noon, Until: ahead(10 * day)}, ahead(10 * day)},
		{"extended by less than is left", Grace{Shown: noon, Until: ahead(3 * day)}, ahead(7 * day)},
		{"extended, unseen", Grace{Seen: noon, Until: ahead(30 * day)}, ahead(30 * day)},
		{"extended before any clock", Grace{Until: ahead(day)}, time.Time{}},
		{"what it follows does not matter", Grace{After: ahead(50 * day), Shown: noon}, ahead(7 * day)},
	} {
		if got := c.g.Deadline(&r); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	year := Rules{Grace: 400 * day, Unseen: day}
	if got := (Grace{Shown: time.Date(2037, 12, 31, 0, 0, 0, 0, time.UTC)}).Deadline(&year); got.Year() != 2039 {
		t.Errorf("after 2038: %s", got)
	}
}

// visit decides one request and writes down what it started, as the flow does.
func (a *Account) visit(r *Rules, kind RequestKind, now time.Time) Decision {
	q := Request{Kind: kind, Realm: a.Realm, User: a.User}
	d := r.Decide(q, a.Facts(now), now)
	a.Record(r, q, d, now)
	return d
}

func TestGraceStartsOnceWhenFirstShown(t *testing.T) {
	r, a := Defaults(), &Account{User: "ann"}
	a.visit(&r, OpeningHead, noon)
	if !a.Grace.Shown.IsZero() || !a.Grace.Seen.Equal(noon) {
		t.Fatalf("after a HEAD: %+v", a.Grace)
	}
	if d := a.visit(&r, Opening, ahead(time.Hour)); !d.StartsShown {
		t.Fatalf("the page did not start it: %+v", d)
	}
	want := ahead(time.Hour + 7*day)
	for _, at := range []time.Duration{2 * time.Hour, day, 6 * day, -time.Hour, 7 * day, 8 * day, 400 * day} {
		for _, kind := range []RequestKind{Opening, Other, OpeningHead, Form} {
			a.visit(&r, kind, ahead(at))
			if got := a.Grace.Deadline(&r); !got.Equal(want) {
				t.Fatalf("at %s, kind %d: the deadline is %s, want %s", at, kind, got, want)
			}
		}
	}
}

func TestOnlyEnforceInsideTheRolloutStartsClocks(t *testing.T) {
	a := &Account{User: "ann"}
	for name, change := range map[string]func(r *Rules){
		"remind":          func(r *Rules) { r.Mode = Remind },
		"observe":         func(r *Rules) { r.Mode = Observe },
		"outside rollout": func(r *Rules) { r.LeftOut = 10000 },
		"exempt":          func(r *Rules) { r.ExemptUsers = []string{"ann"} },
	} {
		r := Defaults()
		change(&r)
		for i := range 100 {
			a.visit(&r, Opening, ahead(time.Duration(i)*day))
		}
		if a.Grace != (Grace{}) {
			t.Errorf("%s: %+v", name, a.Grace)
		}
	}
	// The first day of enforce locks nobody out, and a clock that runs goes on in every mode.
	enforce, remind := Defaults(), Defaults()
	remind.Mode = Remind
	first := ahead(100 * day)
	if d := a.visit(&enforce, Opening, first); d.Action != Ask {
		t.Errorf("the first day: %s", d.Action)
	}
	a.visit(&remind, Opening, first.Add(3*day))
	if d := a.visit(&enforce, Other, first.Add(7*day)); d.Action != Block || !d.Deadline.Equal(first.Add(7*day)) {
		t.Errorf("after seven days, some of them in remind: %s until %s", d.Action, d.Deadline)
	}
}

func confirmed(at time.Time) *Account {
	return &Account{User: "ann", EverVerified: true, Contacts: []Contact{{ID: "c1", Kind: Email, Address: "ann@example.com", Verified: at}}}
}

func TestReconfirmOwesOneNewGracePerConfirmation(t *testing.T) {
	r, a := Defaults(), confirmed(noon)
	a.Grace = Grace{Shown: ago(day)}
	lapse := ahead(180 * day)
	if d := a.visit(&r, Opening, lapse.Add(-tick)); d.Standing != Verified {
		t.Fatalf("before: %+v", d)
	}
	// Owed, and due for as long as nobody comes.
	if st, till := r.Standing(a.Facts(lapse.Add(365*day)), lapse.Add(365*day)); st != Due || !till.IsZero() {
		t.Fatalf("owed: %s until %s", st, till)
	}
	back := lapse.Add(30 * day)
	if d := a.visit(&r, Opening, back); d.Action != Ask || !d.StartsShown {
		t.Fatalf("back: %+v", d)
	}
	end := back.Add(7 * day)
	blocked := func(why string, at time.Time) {
		t.Helper()
		if st, till := r.Standing(a.Facts(at), at); st != Overdue || !till.Equal(end) {
			t.Errorf("%s: %s until %s, want overdue since %s", why, st, till, end)
		}
	}
	blocked("grace over", end)

	// Never again, whichever contacts come or go.
	a.Contacts = append(a.Contacts, Contact{ID: "c2", Kind: Email, Address: "old@example.com", Verified: noon.Add(-day)})
	blocked("an older confirmation beside it", end)
	a.Contacts[0].Retired = true
	blocked("only the older one left", end)
	a.visit(&r, Opening, end.Add(day))
	blocked("and shown again", end)
	a.Contacts[1].Retired = true
	blocked("none left", end)
	a.Contacts[0].Retired = false
	blocked("the first one back", end)
	a.Name(Email, "new@example.com", ids(), r.Limits, end)
	blocked("another one named", end)
	a.Contacts = append(a.Contacts, Contact{ID: "c3", Kind: Email, Address: "h@example.com", Verified: noon.Add(-2 * day), HoldUntil: noon})
	blocked("an old hold that has ended", end)
	longer := r
	longer.Reconfirm = 300 * day
	if st, _ := longer.Standing(a.Facts(end), end); st != Verified {
		t.Errorf("a longer reconfirm makes it count again: %s", st)
	}
	if st, _ := longer.Standing(a.Facts(noon.Add(300*day)), noon.Add(300*day)); st != Overdue {
		t.Errorf("and its end owes no second grace: %s", st)
	}

	// A new confirmation is a new one.
	a.Contacts[0].Verified = end.Add(day)
	again := end.Add(181 * day)
	if st, till := r.Standing(a.Facts(again), again); st != Due || !till.IsZero() {
		t.Errorf("the next confirmation lapsed: %s until %s", st, till)
	}
}

func TestUnseenClockOfAnOwedGrace(t *testing.T) {
	r, a := Defaults(), confirmed(noon)
	lapse := ahead(180 * day)
	if d := a.visit(&r, Other, lapse); !d.StartsSeen || d.StartsShown {
		t.Fatalf("%+v", d)
	}
	if got, want := a.Grace.Deadline(&r), lapse.Add(21*day); !got.Equal(want) {
		t.Errorf("deadline %s, want %s", got, want)
	}
}

func TestOwedOnceIn90Days(t *testing.T) {
	r := Defaults()
	a := confirmed(noon)
	a.Grace = Grace{Seen: ago(30 * day), Shown: ago(30 * day)}
	taken := ahead(day)
	if !a.Owe(taken) {
		t.Fatal("nothing was owed")
	}
	a.Contacts[0].Retired = true
	if st, till := r.Standing(a.Facts(taken), taken); st != Due || !till.IsZero() {
		t.Fatalf("owed: %s until %s", st, till)
	}
	a.visit(&r, Opening, taken.Add(day))
	end := taken.Add(8 * day)
	if got := a.Grace.Deadline(&r); !got.Equal(end) {
		t.Fatalf("deadline %s, want %s", got, end)
	}
	for _, at := range []time.Duration{0, tick, 89 * day, 90*day - tick, -time.Hour} {
		if a.Owe(taken.Add(at)) {
			t.Errorf("owed again after %s", at)
		}
	}
	if got := a.Grace.Deadline(&r); !got.Equal(end) {
		t.Errorf("a refused one moved the deadline to %s", got)
	}
	if !a.Owe(taken.Add(90 * day)) {
		t.Error("not owed after 90 days")
	}
}

// What is taken away must not be owed a second grace when it would have lapsed, nor the other way round.
func TestOwedGraceAndReconfirmOfTheSameConfirmation(t *testing.T) {
	r, a := Defaults(), confirmed(noon)
	a.Owe(ahead(day))
	a.visit(&r, Opening, ahead(180*day)) // still on file: it has just lapsed
	end := ahead(187 * day)
	if got := a.Grace.Deadline(&r); !got.Equal(end) {
		t.Fatalf("deadline %s, want %s", got, end)
	}
	if st, till := r.Standing(a.Facts(end), end); st != Overdue || !till.Equal(end) {
		t.Errorf("%s until %s", st, till)
	}
}

func TestWhatWasTakenAwayAndComesBackOwesNothingMore(t *testing.T) {
	r, a := Defaults(), confirmed(noon)
	a.Owe(ahead(day))
	a.Contacts[0].Retired = true
	a.visit(&r, Opening, ahead(2*day))
	a.Contacts[0].Retired = false
	if st, till := r.Standing(a.Facts(ahead(180*day)), ahead(180*day)); st != Overdue || !till.Equal(ahead(9*day)) {
		t.Errorf("back, and lapsed: %s until %s", st, till)
	}
}

func TestAnExtensionOutlivesAnOwedGrace(t *testing.T) {
	r, a := Defaults(), confirmed(noon)
	a.Grace.Until = ahead(400 * day)
	a.visit(&r, Opening, ahead(180*day))
	if got := a.Grace.Deadline(&r); !got.Equal(ahead(400 * day)) {
		t.Errorf("after a lapse: %s", got)
	}
	a.Owe(ahead(181 * day))
	a.visit(&r, Opening, ahead(182*day))
	if got := a.Grace.Deadline(&r); !got.Equal(ahead(400 * day)) {
		t.Errorf("after a grace that was owed: %s", got)
	}
}

func TestFactsOfContacts(t *testing.T) {
	a := &Account{ExemptUntil: ahead(day), Asked: ago(day), Grace: Grace{Shown: ago(day)}, Contacts: []Contact{
		{ID: "1"},
		{ID: "2", Verified: ago(3 * day)},
		{ID: "3", Verified: ago(2 * day)},
		{ID: "4", Verified: ago(day), Retired: true},
		{ID: "5", Verified: ago(2 * time.Hour), HoldUntil: ahead(3 * day)},
		{ID: "6", Verified: ago(time.Hour), HoldUntil: ahead(2 * day)},
		{ID: "7", Verified: ago(time.Minute), HoldUntil: ahead(4 * day), Retired: true},
	}}
	f := a.Facts(noon)
	want := Facts{Confirmed: ago(2 * day), Held: ago(time.Hour), HoldUntil: ahead(2 * day), Grace: a.Grace, Asked: a.Asked, ExemptUntil: a.ExemptUntil}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v\nwant %+v", f, want)
	}
	if f := a.Facts(ahead(2 * day)); !f.Confirmed.Equal(ago(time.Hour)) || !f.Held.Equal(ago(2*time.Hour)) {
		t.Errorf("after the first hold: %+v", f)
	}
	// Facts that were read before say at every later moment what facts of that moment say.
	r := Defaults()
	for d := time.Duration(0); d < 400*day; d += 13 * time.Hour {
		at := ahead(d)
		st1, till1 := r.Standing(f, at)
		st2, till2 := r.Standing(a.Facts(at), at)
		if st1 == Verified && st2 != Verified || st1 != st2 && d < 2*day || st1 == st2 && st1 == Due && d < 2*day && !till1.Equal(till2) {
			t.Fatalf("after %s: %s until %s from a cache, %s until %s anew", d, st1, till1, st2, till2)
		}
	}
}
