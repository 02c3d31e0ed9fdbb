package policy

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// HelpRequest is what somebody who is stuck writes to the people who run the site. Nobody interprets it.
type HelpRequest struct {
	// Problem is one of HelpProblems.
	Problem string `cbor:"1,keyasint,omitzero"`
	// Detail is what happened, in their own words and lines; Reach how they can be reached.
	Detail string `cbor:"2,keyasint,omitzero"`
	Reach  string `cbor:"3,keyasint,omitzero"`
	// Standing is what the rules said of the account then.
	Standing string `cbor:"4,keyasint,omitzero"`
}

// HelpProblems are what there is to choose from.
var HelpProblems = []string{"no_code", "wrong_code", "no_contact", "stopped", "not_me", "other"}

const (
	mostHelpDetail = 2000
	mostHelpReach  = 200
	// helpsPerHour and helpsPerDay are how often an account may ask, mostHelpWaiting how many of its messages may wait to be
	// taken: while the mail server is away they stay in the record.
	helpsPerHour    = 3
	helpsPerDay     = 10
	mostHelpWaiting = 10
)

// ReadHelp takes the form as it came, with lines that end as lines do here. It returns the problem as the page names it:
// "", "problem", "detail", "detail_long", "reach", "reach_long".
func ReadHelp(problem, detail, reach string) (h HelpRequest, fault string) {
	detail = strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(detail, "�"), "\r\n", "\n"))
	h = HelpRequest{Problem: problem, Detail: detail, Reach: strings.TrimSpace(strings.ToValidUTF8(reach, "�"))}
	switch {
	case !slices.Contains(HelpProblems, h.Problem):
		return h, "problem"
	case h.Detail == "":
		return h, "detail"
	case utf8.RuneCountInString(h.Detail) > mostHelpDetail:
		return h, "detail_long"
	case h.Reach == "":
		return h, "reach"
	case utf8.RuneCountInString(h.Reach) > mostHelpReach:
		return h, "reach_long"
	}
	return h, ""
}

// AskHelp counts a message to the people who run the site, if one may be sent now. The same one, while it still waits, is
// the double click: its outcome is AcceptedAgain, with the reference that it has.
func (a *Account) AskHelp(h HelpRequest, now time.Time) (r Result, reference string) {
	waiting := 0
	for _, s := range a.Outbox {
		if s.Kind != SendHelp {
			continue
		}
		if waiting++; s.Help != nil && *s.Help == h {
			return Result{Outcome: AcceptedAgain}, s.Reference
		}
	}
	wait := max(a.Helps.Wait(helpsPerHour, time.Hour, now), a.Helps.Wait(helpsPerDay, day, now))
	if wait == 0 && waiting >= mostHelpWaiting {
		wait = time.Hour
	}
	if wait > 0 {
		return Result{Outcome: TooMany, Wait: wait}, ""
	}
	a.Helps = a.Helps.Add(day, now)
	return Result{Outcome: Accepted}, ""
}
