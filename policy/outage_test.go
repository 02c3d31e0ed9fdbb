package policy

import (
	"testing"
	"time"
)

func TestOutageMovesADeadlineThatFellInItOnce(t *testing.T) {
	r := Defaults()
	shown := noon.Add(-7 * day)
	lasting := Outage{Channel: ByEmail, Began: noon.Add(-time.Hour)}
	over := Outage{Channel: ByEmail, Began: noon.Add(-time.Hour), Ended: noon.Add(2 * time.Hour)}
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
		{"who was overdue before stays blocked", Outage{Channel: ByEmail, Began: noon.Add(time.Second)}, noon.Add(time.Hour), false, Overdue, noon, false},
		{"an outage that ended before moves nothing", Outage{Channel: ByEmail, Began: noon.Add(-day), Ended: noon}, noon, false, Overdue, noon, false},
	} {
		f := Facts{Grace: Grace{Shown: shown, Excused: c.excused}, Outages: []Outage{c.outage}, Ways: []Channel{ByEmail}}
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
	first := Outage{Channel: ByEmail, Began: noon.Add(-time.Hour), Ended: noon.Add(time.Hour)}
	second := Outage{Channel: ByEmail, Began: noon.Add(24 * time.Hour), Ended: noon.Add(26 * time.Hour)}
	f := a.Facts(noon)
	f.Outages, f.Ways = []Outage{first}, []Channel{ByEmail}
	now := noon.Add(2 * time.Hour)
	a.Record(&r, Request{Kind: Opening}, r.Decide(Request{Kind: Opening}, f, now), now)
	if end := noon.Add(25 * time.Hour); !a.Grace.Excused || !a.Grace.Deadline(&r).Equal(end) {
		t.Fatalf("recorded: %+v", a.Grace)
	}
	f = a.Facts(now)
	f.Outages, f.Ways = []Outage{first, second}, []Channel{ByEmail}
	if standing, _ := r.Standing(f, noon.Add(27*time.Hour)); standing != Overdue {
		t.Errorf("a second outage moved it again: %s", standing)
	}
}

// A deadline is excused only when every way to a person was down at that moment, and moves to a day after the first of
// them was back.
func TestOutageExcusesOnlyWhenEveryWayIsDown(t *testing.T) {
	r := Defaults()
	down := func(c Channel, from, to time.Duration) Outage {
		o := Outage{Channel: c, Began: noon.Add(from)}
		if to != 0 {
			o.Ended = noon.Add(to)
		}
		return o
	}
	now := noon.Add(5 * time.Hour)
	for _, c := range []struct {
		what     string
		ways     []Channel
		outages  []Outage
		deadline time.Time
		final    bool
	}{
		{"mail is down, texts are not", []Channel{ByEmail, BySMS}, []Outage{down(ByEmail, -time.Hour, 0)}, noon, false},
		{"texts are down, and there is mail only", []Channel{ByEmail}, []Outage{down(BySMS, -time.Hour, 0)}, noon, false},
		{"both are down", []Channel{ByEmail, BySMS}, []Outage{down(ByEmail, -time.Hour, 0), down(BySMS, -2*time.Hour, 0)}, now.Add(day), false},
		{"mail was back first", []Channel{ByEmail, BySMS}, []Outage{down(ByEmail, -time.Hour, time.Hour), down(BySMS, -2*time.Hour, 0)}, noon.Add(25 * time.Hour), true},
		{"texts were back first", []Channel{ByEmail, BySMS}, []Outage{down(ByEmail, -time.Hour, 3*time.Hour), down(BySMS, -2*time.Hour, 2*time.Hour)}, noon.Add(26 * time.Hour), true},
		{"one was back before the deadline", []Channel{ByEmail, BySMS}, []Outage{down(ByEmail, -time.Hour, -time.Minute), down(BySMS, -2*time.Hour, 0)}, noon, false},
		{"one went down after it", []Channel{ByEmail, BySMS}, []Outage{down(ByEmail, time.Minute, 0), down(BySMS, -2*time.Hour, 0)}, noon, false},
		{"an earlier outage of the same channel", []Channel{BySMS}, []Outage{down(BySMS, -9*time.Hour, -8*time.Hour), down(BySMS, -2*time.Hour, 0)}, now.Add(day), false},
		{"nobody knows a way", nil, []Outage{down(ByEmail, -time.Hour, 0)}, noon, false},
	} {
		f := Facts{Grace: Grace{Shown: noon.Add(-7 * day)}, Outages: c.outages, Ways: c.ways}
		_, deadline := r.Standing(f, now)
		if d := r.Decide(Request{Kind: Opening}, f, now); !deadline.Equal(c.deadline) || d.Excuses != c.final {
			t.Errorf("%s: until %s, written down: %t", c.what, deadline, d.Excuses)
		}
	}
}
