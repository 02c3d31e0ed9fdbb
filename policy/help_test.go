package policy

import (
	"strings"
	"testing"
	"time"
)

func TestHelpIsReadAsItWasTyped(t *testing.T) {
	for _, c := range []struct{ problem, detail, reach, fault string }{
		{"no_code", "It does not arrive.", "ann@example.org", ""},
		{"", "It does not arrive.", "ann@example.org", "problem"},
		{"sudo", "It does not arrive.", "ann@example.org", "problem"},
		{"other", " \r\n\t", "ann@example.org", "detail"},
		{"other", strings.Repeat("あ", 2000), "ann@example.org", ""},
		{"other", strings.Repeat("あ", 2001), "ann@example.org", "detail_long"},
		{"other", strings.Repeat("a\r\n", 1000), "ann@example.org", ""}, // browsers end lines with two characters
		{"other", "x", "  ", "reach"},
		{"other", "x", strings.Repeat("ü", 200), ""},
		{"other", "x", strings.Repeat("ü", 201), "reach_long"},
	} {
		if _, fault := ReadHelp(c.problem, c.detail, c.reach); fault != c.fault {
			t.Errorf("%q, %.20q, %.20q: %q instead of %q", c.problem, c.detail, c.reach, fault, c.fault)
		}
	}
	h, _ := ReadHelp("other", "one\r\ntwo\xff {{.}} {env.HOME}", " +81 90\n")
	if h.Detail != "one\ntwo� {{.}} {env.HOME}" || h.Reach != "+81 90" {
		t.Errorf("%q, %q", h.Detail, h.Reach)
	}
}

func TestHelpIsAskedForAFewTimes(t *testing.T) {
	a := &Account{}
	ask := func(now time.Time, detail string) Result {
		r, _ := a.AskHelp(HelpRequest{Problem: "other", Detail: detail}, now)
		return r
	}
	for i := range 3 {
		if r := ask(ahead(time.Duration(i)*time.Minute), "x"); r.Outcome != Accepted {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if r := ask(ahead(3*time.Minute), "x"); r.Outcome != TooMany || r.Wait != 57*time.Minute {
		t.Errorf("the fourth in an hour: %+v", r)
	}
	for i := range 7 {
		if r := ask(ahead(time.Duration(i+2)*time.Hour), "x"); r.Outcome != Accepted {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if r := ask(ahead(20*time.Hour), "x"); r.Outcome != TooMany || r.Wait != 4*time.Hour {
		t.Errorf("the eleventh in a day: %+v", r)
	}
	if r := ask(ahead(day), "x"); r.Outcome != Accepted {
		t.Errorf("a day after the first: %+v", r)
	}
}

func TestTheSameHelpIsNotAskedForTwice(t *testing.T) {
	h := HelpRequest{Problem: "other", Detail: "x", Reach: "y"}
	a := &Account{Outbox: []Send{{ID: "1", Kind: SendHelp, Help: &h, Reference: "FIRST"}}}
	again := h
	if r, reference := a.AskHelp(again, noon); r.Outcome != AcceptedAgain || reference != "FIRST" || len(a.Helps) != 0 {
		t.Errorf("%+v, %q", r, reference)
	}
	again.Detail = "z"
	if r, _ := a.AskHelp(again, noon); r.Outcome != Accepted {
		t.Errorf("another one: %+v", r)
	}
	for len(a.Outbox) < 10 {
		a.Outbox = append(a.Outbox, Send{Kind: SendHelp})
	}
	if r, _ := a.AskHelp(again, ahead(day)); r.Outcome != TooMany || r.Wait != time.Hour {
		t.Errorf("ten wait to be taken: %+v", r)
	}
}
