package policy

import (
	"testing"
	"time"
)

func TestOutageMovesADeadlineThatFellInItOnce(t *testing.T) {
	r := Defaults()
	shown := noon.Add(-7 * day)
	lasting := Outage{Began: noon.Add(-time.Hour)}
	over := Outage{Began: noon.Add(-time.Hour), Ended: noon.Add(2 * time.Hour)}
	for _, c := range []struct {
		what     string
		outage   Outage
		at       time.Time
		excused  bool
		standing Standing
		deadline time.Time
		final    bool
	}{
		{"before the deadline nothing moves", lasting, noon.Add(-time.Minute), false, Due, noon, false},
		{"while it lasts the deadline stays a day away", lasting, noon, false, Due, noon.Add(day), false},
		{"and later, too", lasting, noon.Add(5 * day), false, Due, noon.Add(6 * day), false},
		{"after it there are 24 hours", over, noon.Add(3 * time.Hour), false, Due, noon.Add(26 * time.Hour), true},
		{"to the second", over, noon.Add(26*time.Hour - time.Second), false, Due, noon.Add(26 * time.Hour), true},
		{"and then it is over", over, noon.Add(26 * time.Hour), false, Overdue, noon.Add(26 * time.Hour), true},
		{"once", over, noon.Add(3 * time.Hour), true, Overdue, noon, false},
		{"who was overdue before stays blocked", Outage{Began: noon.Add(time.Second)}, noon.Add(time.Hour), false, Overdue, noon, false},
		{"an outage that ended before moves nothing", Outage{Began: noon.Add(-day), Ended: noon}, noon, false, Overdue, noon, false},
	} {
		f := Facts{Grace: Grace{Shown: shown, Excused: c.excused}, Outages: []Outage{c.outage}}
		standing, deadline := r.Standing(f, c.at)
		d := r.Decide(Request{Kind: Opening}, f, c.at)
		if standing != c.standing || !deadline.Equal(c.deadline) || d.Excuses != c.final {
			t.Errorf("%s: %s until %s, written down: %t", c.what, standing, deadline, d.Excuses)
		}
	}
}

func TestOutageThatIsWrittenDownIsNotGivenAgain(t *testing.T) {
	r := Defaults()
	a := &Account{Grace: Grace{Shown: noon.Add(-7 * day)}}
	first := Outage{Began: noon.Add(-time.Hour), Ended: noon.Add(time.Hour)}
	second := Outage{Began: noon.Add(24 * time.Hour), Ended: noon.Add(26 * time.Hour)}
	f := a.Facts(noon)
	f.Outages = []Outage{first}
	now := noon.Add(2 * time.Hour)
	a.Record(&r, Request{Kind: Opening}, r.Decide(Request{Kind: Opening}, f, now), now)
	if end := noon.Add(25 * time.Hour); !a.Grace.Excused || !a.Grace.Deadline(&r).Equal(end) {
		t.Fatalf("recorded: %+v", a.Grace)
	}
	f = a.Facts(now)
	f.Outages = []Outage{first, second}
	if standing, _ := r.Standing(f, noon.Add(27*time.Hour)); standing != Overdue {
		t.Errorf("a second outage moved it again: %s", standing)
	}
}
