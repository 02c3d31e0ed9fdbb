package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// ago and ahead are moments around noon, at which every table here is decided unless it says otherwise.
func ago(d time.Duration) time.Time   { return noon.Add(-d) }
func ahead(d time.Duration) time.Time { return noon.Add(d) }

func shown(d time.Duration) Facts { return Facts{Grace: Grace{Seen: ago(d), Shown: ago(d)}} }

const tick = time.Millisecond

func TestRulesAnswerInTheirOrder(t *testing.T) {
	over := 8 * day
	opening := Request{Kind: Opening, Realm: "r", User: "ann", Groups: []string{"staff", "svc"}, Domain: "mail.edu.example"}
	with := func(f Facts, change func(f *Facts)) Facts { change(&f); return f }
	deviceCode := func(r *Rules) { r.DeviceCode = true }
	from := func(e Evidence) Request { q := opening; q.Evidence = e; return q }
	// This browser is trusted, and somebody entered a code in it an hour ago.
	thisOne := Evidence{Session: here, Device: laptop}
	proved := func(f Facts) Facts {
		f.Devices = []Device{{ID: laptop, Trusted: ago(30 * day), Used: ago(time.Hour), Ends: ahead(335 * day)}}
		f.Entered = []Entry{{Session: here, At: ago(time.Hour)}}
		return f
	}
	for _, c := range []struct {
		name   string
		rules  func(r *Rules)
		q      Request
		f      Facts
		action Action
		reason Reason
		st     Standing
		until  time.Time
	}{
		{name: "2 an exempt request of somebody blocked", q: Request{Kind: Opening, Exempt: true}, f: shown(over),
			action: Pass, reason: ExemptRequest, st: Exempt},
		{name: "2 before 4: an exempt request of an exempt user", rules: func(r *Rules) { r.ExemptUsers = []string{"ann"} },
			q: Request{Exempt: true, User: "ann"}, action: Pass, reason: ExemptRequest, st: Exempt},
		{name: "2 before 3: an exempt request of somebody frozen", q: Request{Kind: Opening, Exempt: true}, f: Facts{Frozen: true},
			action: Pass, reason: ExemptRequest, st: Exempt},
		{name: "3 frozen", q: opening, f: Facts{Frozen: true}, action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 frozen, in grace: no deadline helps", q: opening, f: with(shown(day), func(f *Facts) { f.Frozen = true }),
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 4: frozen, an exempt user", rules: func(r *Rules) { r.ExemptUsers = []string{"ann"} }, q: opening, f: Facts{Frozen: true},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 4: frozen, an exempt group", rules: func(r *Rules) { r.ExemptGroups = []string{"svc"} }, q: opening, f: Facts{Frozen: true},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 4: frozen, an exempt mail domain", rules: func(r *Rules) { r.ExemptDomains = []string{"*.edu.example"} }, q: opening, f: Facts{Frozen: true},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 4: frozen, exempt by an operator", q: opening, f: Facts{Frozen: true, ExemptUntil: ahead(day)},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 5: frozen outside the rollout", rules: func(r *Rules) { r.LeftOut = 10000 }, q: opening, f: Facts{Frozen: true},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 7: frozen, verified", q: opening, f: Facts{Frozen: true, Confirmed: ago(day)},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 before 8: frozen, on hold", q: opening, f: Facts{Frozen: true, Held: ago(day), HoldUntil: ahead(day)},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 frozen in mode remind", rules: func(r *Rules) { r.Mode = Remind }, q: opening, f: Facts{Frozen: true},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "3 frozen in mode observe", rules: func(r *Rules) { r.Mode = Observe }, q: opening, f: Facts{Frozen: true},
			action: Block, reason: IsFrozen, st: Frozen},
		{name: "4 an exempt user", rules: func(r *Rules) { r.ExemptUsers = []string{"bob", "ann"} }, q: opening, f: shown(over),
			action: Pass, reason: ExemptUser, st: Exempt},
		{name: "4 user IDs keep their case", rules: func(r *Rules) { r.ExemptUsers = []string{"ANN"} }, q: opening, f: shown(over),
			action: Block, reason: GraceOver, st: Overdue, until: ago(day)},
		{name: "4 an exempt group", rules: func(r *Rules) { r.ExemptGroups = []string{"svc"} }, q: opening, f: shown(over),
			action: Pass, reason: ExemptGroup, st: Exempt},
		{name: "4 a group by its whole name only", rules: func(r *Rules) { r.ExemptGroups = []string{"sv", "staff,svc"} }, q: opening, f: shown(over),
			action: Block, reason: GraceOver, st: Overdue, until: ago(day)},
		{name: "4 an exempt mail domain", rules: func(r *Rules) { r.ExemptDomains = []string{"*.edu.example"} }, q: opening, f: shown(over),
			action: Pass, reason: ExemptDomain, st: Exempt},
		{name: "4 exempt by an operator", q: opening, f: with(shown(over), func(f *Facts) { f.ExemptUntil = ahead(tick) }),
			action: Pass, reason: ExemptByOperator, st: Exempt},
		{name: "4 the operator's exemption ends now", q: opening, f: with(shown(over), func(f *Facts) { f.ExemptUntil = noon }),
			action: Block, reason: GraceOver, st: Overdue, until: ago(day)},
		{name: "4 before 5: exempt outside the rollout", rules: func(r *Rules) { r.LeftOut, r.ExemptUsers = 10000, []string{"ann"} }, q: opening,
			action: Pass, reason: ExemptUser, st: Exempt},
		{name: "5 outside the rollout, overdue", rules: func(r *Rules) { r.LeftOut = 10000 }, q: opening, f: shown(over),
			action: Pass, reason: OutsideRollout, st: Overdue, until: ago(day)},
		{name: "5 before 7: outside the rollout, verified", rules: func(r *Rules) { r.LeftOut = 10000 }, q: opening, f: Facts{Confirmed: ago(day)},
			action: Pass, reason: OutsideRollout, st: Verified},
		{name: "5 outside the rollout, new", rules: func(r *Rules) { r.LeftOut = 10000 }, q: opening,
			action: Pass, reason: OutsideRollout, st: Due},
		{name: "6 before 7: verified, and nothing proves the browser", rules: deviceCode, q: opening, f: proved(Facts{Confirmed: ago(day)}),
			action: Block, reason: DeviceCode, st: Verified},
		{name: "6 another session, another device", rules: deviceCode, q: from(Evidence{Session: elsewhere, Device: phone}), f: proved(Facts{Confirmed: ago(day)}),
			action: Block, reason: DeviceCode, st: Verified},
		{name: "6 one for the other", rules: deviceCode, q: from(Evidence{Session: laptop, Device: here}), f: proved(Facts{Confirmed: ago(day)}),
			action: Block, reason: DeviceCode, st: Verified},
		{name: "6 a trusted browser", rules: deviceCode, q: from(Evidence{Device: laptop}), f: proved(Facts{Confirmed: ago(day)}),
			action: Pass, reason: IsVerified, st: Verified},
		{name: "6 a code in its session", rules: deviceCode, q: from(Evidence{Session: here}), f: proved(Facts{Confirmed: ago(day)}),
			action: Pass, reason: IsVerified, st: Verified},
		{name: "6 device_code off", q: opening, f: proved(Facts{Confirmed: ago(day)}),
			action: Pass, reason: IsVerified, st: Verified},
		{name: "6 its reconfirm is not counted", rules: deviceCode, q: opening, f: with(shown(over), func(f *Facts) { f.Confirmed, f.Grace.After = ago(300*day), ago(300*day) }),
			action: Block, reason: DeviceCode, st: Overdue, until: ago(day)},
		{name: "6 nothing was ever verified: there is nothing to prove it with", rules: deviceCode, q: opening, f: shown(day),
			action: Ask, reason: InGrace, st: Due, until: ahead(6 * day)},
		{name: "6 on hold only", rules: deviceCode, q: opening, f: with(shown(over), func(f *Facts) { f.Held, f.HoldUntil = ago(day), ahead(tick) }),
			action: Pass, reason: OnHold, st: Due, until: ahead(tick)},
		{name: "6 the hold ends now: from here on it is asked for", rules: deviceCode, q: opening, f: with(shown(over), func(f *Facts) { f.Held, f.HoldUntil = ago(3*day), noon }),
			action: Block, reason: DeviceCode, st: Verified},
		{name: "6 verified, and another one on hold", rules: deviceCode, q: opening, f: Facts{Confirmed: ago(day), Held: ago(tick), HoldUntil: ahead(day)},
			action: Block, reason: DeviceCode, st: Verified},
		{name: "6 an authenticator app alone", rules: deviceCode, q: opening, f: with(shown(day), func(f *Facts) { f.Authenticator = true }),
			action: Block, reason: DeviceCode, st: Due, until: ahead(6 * day)},
		{name: "6 an authenticator app, and its code was entered: never verified by it", rules: deviceCode, q: from(Evidence{Session: here}),
			f: proved(with(shown(over), func(f *Facts) { f.Authenticator = true })), action: Block, reason: GraceOver, st: Overdue, until: ago(day)},
		{name: "4 before 6: an exempt user", rules: func(r *Rules) { deviceCode(r); r.ExemptUsers = []string{"ann"} }, q: opening, f: Facts{Confirmed: ago(day)},
			action: Pass, reason: ExemptUser, st: Exempt},
		{name: "5 before 6: outside the rollout", rules: func(r *Rules) { deviceCode(r); r.LeftOut = 10000 }, q: opening, f: Facts{Confirmed: ago(day)},
			action: Pass, reason: OutsideRollout, st: Verified},
		{name: "6 observed", rules: func(r *Rules) { deviceCode(r); r.Mode = Observe }, q: opening, f: Facts{Confirmed: ago(day)},
			action: Pass, reason: ObservedDevice, st: Verified},
		{name: "6 reminded", rules: func(r *Rules) { deviceCode(r); r.Mode = Remind }, q: opening, f: Facts{Confirmed: ago(day)},
			action: Ask, reason: DeviceCode, st: Verified},
		{name: "7 lapsed, on a trusted browser", q: from(thisOne), f: proved(with(shown(300*day), func(f *Facts) { f.Confirmed = ago(180 * day) })),
			action: Pass, reason: TrustedBrowser, st: Due},
		{name: "7 lapsed and overdue elsewhere, on a trusted browser", q: from(thisOne),
			f:      proved(with(shown(over), func(f *Facts) { f.Confirmed, f.Grace.After = ago(300*day), ago(300*day) })),
			action: Pass, reason: TrustedBrowser, st: Overdue, until: ago(day)},
		{name: "7 lapsed, where a code was entered: that is no trust", q: from(Evidence{Session: here}), f: proved(with(shown(300*day), func(f *Facts) { f.Confirmed = ago(180 * day) })),
			action: Ask, reason: InGrace, st: Due},
		{name: "7 never verified, on a trusted browser", q: from(thisOne), f: proved(shown(over)),
			action: Block, reason: GraceOver, st: Overdue, until: ago(day)},
		{name: "7 verified", q: opening, f: with(shown(over), func(f *Facts) { f.Confirmed = ago(day) }),
			action: Pass, reason: IsVerified, st: Verified},
		{name: "7 verified, about to lapse", q: opening, f: with(shown(over), func(f *Facts) { f.Confirmed = ago(180*day - tick) }),
			action: Pass, reason: IsVerified, st: Verified},
		{name: "7 lapsed now: a new grace is owed", q: opening, f: with(shown(300*day), func(f *Facts) { f.Confirmed = ago(180 * day) }),
			action: Ask, reason: InGrace, st: Due},
		{name: "7 reconfirm off", rules: func(r *Rules) { r.Reconfirm = 0 }, q: opening, f: Facts{Confirmed: ago(5000 * day)},
			action: Pass, reason: IsVerified, st: Verified},
		{name: "7 before 8: verified, and another one on hold", q: opening, f: Facts{Confirmed: ago(day), Held: ago(tick), HoldUntil: ahead(day)},
			action: Pass, reason: IsVerified, st: Verified},
		{name: "8 on hold, grace over", q: opening, f: with(shown(over), func(f *Facts) { f.Held, f.HoldUntil = ago(day), ahead(tick) }),
			action: Pass, reason: OnHold, st: Due, until: ahead(tick)},
		{name: "8 on hold, in grace", q: opening, f: with(shown(day), func(f *Facts) { f.Held, f.HoldUntil = ago(day), ahead(2*day) }),
			action: Pass, reason: OnHold, st: Due, until: ahead(2 * day)},
		{name: "8 the hold ends now: it counts", q: opening, f: with(shown(over), func(f *Facts) { f.Held, f.HoldUntil = ago(3*day), noon }),
			action: Pass, reason: IsVerified, st: Verified},
		{name: "8 in grace", q: opening, f: shown(day), action: Ask, reason: InGrace, st: Due, until: ahead(6 * day)},
		{name: "8 the last moment of grace", q: opening, f: shown(7*day - tick), action: Ask, reason: InGrace, st: Due, until: ahead(tick)},
		{name: "8 grace ends now", q: opening, f: shown(7 * day), action: Block, reason: GraceOver, st: Overdue, until: noon},
		{name: "8 never seen", q: opening, action: Ask, reason: InGrace, st: Due},
		{name: "remind asks who is overdue", rules: func(r *Rules) { r.Mode = Remind }, q: opening, f: shown(over),
			action: Ask, reason: Reminded, st: Overdue, until: ago(day)},
		{name: "remind asks in grace", rules: func(r *Rules) { r.Mode = Remind }, q: opening, f: shown(day),
			action: Ask, reason: InGrace, st: Due, until: ahead(6 * day)},
		{name: "observe passes who is overdue", rules: func(r *Rules) { r.Mode = Observe }, q: opening, f: shown(over),
			action: Pass, reason: ObservedOverdue, st: Overdue, until: ago(day)},
		{name: "observe passes in grace", rules: func(r *Rules) { r.Mode = Observe }, q: opening, f: shown(day),
			action: Pass, reason: ObservedGrace, st: Due, until: ahead(6 * day)},
		{name: "observe says the same of the verified", rules: func(r *Rules) { r.Mode = Observe }, q: opening, f: Facts{Confirmed: ago(day)},
			action: Pass, reason: IsVerified, st: Verified},
		{name: "an unknown mode lets nobody through", rules: func(r *Rules) { r.Mode = 9 }, q: opening, f: shown(over),
			action: Block, reason: GraceOver, st: Overdue, until: ago(day)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Defaults()
			if c.rules != nil {
				c.rules(&r)
			}
			d, trace := r.Explain(c.q, c.f, noon)
			if d.Action != c.action || d.Reason != c.reason || d.Standing != c.st || !d.Deadline.Equal(c.until) {
				t.Errorf("%s, %s, %s until %s; want %s, %s, %s until %s",
					d.Action, d.Reason, d.Standing, d.Deadline, c.action, c.reason, c.st, c.until)
			}
			if plain := r.Decide(c.q, c.f, noon); plain != d {
				t.Errorf("Decide says %+v, Explain %+v", plain, d)
			}
			checkTrace(t, trace)
			// What kind of request it is decides how it is answered, never who passes: verify.Recall leaves it open.
			for kind := range Form + 1 {
				for _, fleeting := range []bool{false, true} {
					q := c.q
					q.Kind, q.Fleeting = kind, fleeting
					if k := r.Decide(q, c.f, noon); k.Action != d.Action || k.Reason != d.Reason || k.Standing != d.Standing {
						t.Errorf("of kind %d, fleeting %t: %s, %s, %s", kind, fleeting, k.Action, k.Reason, k.Standing)
					}
				}
			}
		})
	}
}

// checkTrace: the rules were asked in their order, and the last one asked, no other, answered.
func checkTrace(t *testing.T, trace []Step) {
	t.Helper()
	order := []string{"2 the request is exempt", "3 the account is frozen", "4 the account is exempt", "5 outside rollout", "6 a code on this browser", "7 verified",
		"7 a trusted browser is not asked to reconfirm", "8 a confirmed contact on hold", "8 in grace", "8 grace is over"}
	for i, s := range trace {
		if s.Rule != order[i] || s.Answered != (i == len(trace)-1) {
			t.Errorf("trace, line %d: %+v of %+v", i, s, trace)
		}
	}
}

func TestWhatARequestGetsAndStarts(t *testing.T) {
	inGrace, over, fresh := shown(day), shown(8*day), Facts{}
	asked := func(f Facts, d time.Duration) Facts { f.Asked = ago(d); return f }
	seenOnly := Facts{Grace: Grace{Seen: ago(day)}}
	type got struct{ interrupt, seen, shown, ask bool }
	for _, c := range []struct {
		name string
		mode Mode
		kind RequestKind
		own  bool
		f    Facts
		want got
	}{
		{"a page, never seen", Enforce, Opening, false, fresh, got{true, true, true, true}},
		{"HEAD, never seen: answered alike, and the page was not shown", Enforce, OpeningHead, false, fresh, got{true, true, false, false}},
		{"a fetch, never seen", Enforce, Other, false, fresh, got{false, true, false, false}},
		{"a form, never seen", Enforce, Form, false, fresh, got{false, true, false, false}},
		{"our own page, never seen", Enforce, Opening, true, fresh, got{true, true, true, true}},
		{"a page, seen before", Enforce, Opening, false, seenOnly, got{true, false, true, true}},
		{"a page, shown before", Enforce, Opening, false, inGrace, got{true, false, false, true}},
		{"a fetch, shown before", Enforce, Other, false, inGrace, got{}},
		{"a fetch, shown before it was seen", Enforce, Other, false, Facts{Grace: Grace{Shown: ago(day)}}, got{}},
		{"a page, asked just now", Enforce, Opening, false, asked(inGrace, tick), got{}},
		{"a page, asked almost a day ago", Enforce, Opening, false, asked(inGrace, day-tick), got{}},
		{"a page, asked a day ago", Enforce, Opening, false, asked(inGrace, day), got{true, false, false, true}},
		{"our own page, asked just now", Enforce, Opening, true, asked(inGrace, tick), got{true, false, false, false}},
		{"our own page, asked a minute ago", Enforce, Opening, true, asked(inGrace, time.Minute), got{true, false, false, true}},
		{"a page, asked by a clock that was ahead", Enforce, Opening, false, asked(inGrace, -time.Hour), got{}},
		{"a page, blocked", Enforce, Opening, false, asked(over, tick), got{true, false, false, false}},
		{"HEAD, blocked", Enforce, OpeningHead, false, asked(over, tick), got{true, false, false, false}},
		{"a fetch, blocked", Enforce, Other, false, over, got{}},
		{"a form, blocked", Enforce, Form, false, over, got{}},
		{"remind: a page, never seen: no clock starts", Remind, Opening, false, fresh, got{true, false, false, true}},
		{"remind: a page, overdue, not asked today", Remind, Opening, false, over, got{true, false, false, true}},
		{"remind: a page, overdue, asked today", Remind, Opening, false, asked(over, time.Hour), got{}},
		{"remind: a fetch", Remind, Other, false, fresh, got{}},
		{"observe: a page, never seen", Observe, Opening, false, fresh, got{}},
		{"observe: our own page", Observe, Opening, true, over, got{}},
		{"a page, frozen: nothing starts", Enforce, Opening, false, Facts{Frozen: true}, got{interrupt: true}},
		{"observe: a page, frozen", Observe, Opening, false, Facts{Frozen: true}, got{interrupt: true}},
		{"a fetch, frozen", Enforce, Other, false, Facts{Frozen: true}, got{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Defaults()
			r.Mode = c.mode
			q := Request{Kind: c.kind, OwnPage: c.own, Realm: "r", User: "ann"}
			d := r.Decide(q, c.f, noon)
			if g := (got{d.Interrupt, d.StartsSeen, d.StartsShown, d.RecordAsk}); g != c.want {
				t.Errorf("got %+v, want %+v", g, c.want)
			}
			if d.Records() != (d.StartsSeen || d.StartsShown || d.RecordAsk || d.UsesDevice) {
				t.Error("Records is something else")
			}
		})
	}
	// Who passes starts nothing and is interrupted by nothing.
	for name, change := range map[string]func(r *Rules, q *Request, f *Facts){
		"exempt request":  func(_ *Rules, q *Request, _ *Facts) { q.Exempt = true },
		"exempt user":     func(r *Rules, _ *Request, _ *Facts) { r.ExemptUsers = []string{"ann"} },
		"outside rollout": func(r *Rules, _ *Request, _ *Facts) { r.LeftOut = 10000 },
		"verified":        func(_ *Rules, _ *Request, f *Facts) { f.Confirmed = ago(day) },
		"on hold":         func(_ *Rules, _ *Request, f *Facts) { f.Held, f.HoldUntil = ago(day), ahead(day) },
	} {
		r, q, f := Defaults(), Request{Kind: Opening, Realm: "r", User: "ann"}, Facts{}
		change(&r, &q, &f)
		if d := r.Decide(q, f, noon); d.Action != Pass || d.Interrupt || d.Records() {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestTheZeroDecisionRefuses(t *testing.T) {
	var d Decision
	if d.Action != Refuse || d.Action.String() != "refuse" || d.Standing != Unknown || d.Reason != NoReason {
		t.Errorf("%+v", d)
	}
	if (Result{}).Outcome != NoCode {
		t.Error("the zero outcome is no refusal")
	}
	// Rules that nobody filled in have no grace to give.
	zero := Rules{}
	if d := zero.Decide(Request{Kind: Opening}, shown(0), noon); d.Action != Block {
		t.Errorf("zero rules: %s", d.Action)
	}
}

func TestNamesAreThoseOfTheContract(t *testing.T) {
	if got := fmt.Sprint(Unknown, Verified, Due, Overdue, Exempt, Frozen); got != "unknown verified due overdue exempt frozen" {
		t.Error(got)
	}
	if got := fmt.Sprint(Refuse, Pass, Ask, Block); got != "refuse pass ask block" {
		t.Error(got)
	}
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if r.String() == "" || seen[r.String()] || strings.Trim(r.String(), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("reason %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	if len(seen) != int(IsFrozen)+1 {
		t.Errorf("%d reasons have a name", len(seen))
	}
}

func TestExemptDomains(t *testing.T) {
	r := Defaults()
	r.ExemptDomains = []string{"example.edu", "*.edu.example"}
	for domain, want := range map[string]bool{
		"example.edu": true, "EXAMPLE.edu": true, "mail.edu.example": true, "a.b.edu.example": true, "A.EDU.EXAMPLE": true,
		"": false, "edu.example": false, ".edu.example": false, "xedu.example": false, "example.edu.evil.org": false,
		"sub.example.edu": false, "example.edu.": false, "edu.example.evil.org": false, "mail.edu.example.": false,
		"mail.edu.example@evil.org": false, "example.edu evil.org": false,
	} {
		d := r.Decide(Request{Kind: Opening, User: "ann", Domain: domain}, shown(8*day), noon)
		if got := d.Reason == ExemptDomain; got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
	// Look-alikes by Unicode's folding are other domains.
	r.ExemptDomains = []string{"kiosk.example", "*.kiosk.example"}
	for _, domain := range []string{"\u212aiosk.example", "kio\u017fk.example", "a.kio\u017fk.example"} {
		if d := r.Decide(Request{User: "ann", Domain: domain}, shown(8*day), noon); d.Action != Block {
			t.Errorf("%q is exempt", domain)
		}
	}
	r.ExemptDomains = []string{""}
	if r.exemptDomain("") {
		t.Error("no domain is exempt")
	}
	none := Defaults()
	if none.exemptDomain("") || none.exemptDomain("example.edu") {
		t.Error("exempt without a rule")
	}
}

func TestRolloutIsStableAndOnlyGrows(t *testing.T) {
	const people = 20_000
	inside := map[Share]int{}
	shares := []Share{10000, 9999, 9000, 7500, 5000, 2500, 100, 1, 0}
	for i := range people {
		user, was := fmt.Sprintf("user-%d", i), false
		for _, s := range shares { // from nobody to everybody
			in := s.Includes("realm", user)
			if was && !in {
				t.Fatalf("%s was inside and is outside of the bigger rollout %d", user, s)
			}
			if in != s.Includes("realm", user) {
				t.Fatal("not stable")
			}
			if was = in; in {
				inside[s]++
			}
		}
	}
	if inside[10000] != 0 || inside[0] != people || Share(60000).Includes("realm", "x") {
		t.Errorf("nobody is %d, everybody %d", inside[10000], inside[0])
	}
	for _, s := range shares {
		want := people * (10000 - int(s)) / 10000
		if d := inside[s] - want; d*d > 9*people/4+9 { // three sigma of the worst case
			t.Errorf("share %d: %d inside, about %d expected", s, inside[s], want)
		}
	}
	// It depends on nothing but the names. If this list ever changes, everybody's rollout was reshuffled.
	var got []string
	for i := range 40 {
		if user := fmt.Sprintf("user-%d", i); Share(7500).Includes("realm", user) {
			got = append(got, user)
		}
	}
	if want := goldenRollout; !slices.Equal(got, want) {
		t.Errorf("inside 25 %%: %q", got)
	}
	first := 0
	for i := range 100_000 {
		if Share(9999).Includes("realm", fmt.Sprint(i)) {
			first++
		}
	}
	if first == 0 || first > 30 {
		t.Errorf("a rollout of 0.01 %% has %d of 100,000 people", first)
	}
	a, b := 0, 0
	for i := range 2000 {
		user := fmt.Sprint(i)
		if Share(5000).Includes("one", user) {
			a++
			if Share(5000).Includes("two", user) {
				b++
			}
		}
	}
	if b < a/3 || b > a*2/3 {
		t.Errorf("realms are not independent: %d of %d", b, a)
	}
}

var goldenRollout = []string{"user-1", "user-9", "user-11", "user-18", "user-19", "user-23", "user-24", "user-26", "user-27",
	"user-28", "user-32", "user-37"}

func TestStanding(t *testing.T) {
	r := Defaults()
	for _, c := range []struct {
		name string
		f    Facts
		at   time.Time
		want Standing
		till time.Time
	}{
		{"nothing known", Facts{}, noon, Due, time.Time{}},
		{"exempt by an operator, though verified", Facts{ExemptUntil: ahead(tick), Confirmed: ago(day)}, noon, Exempt, time.Time{}},
		{"exemption over", Facts{ExemptUntil: noon, Confirmed: ago(day)}, noon, Verified, time.Time{}},
		{"verified", Facts{Confirmed: noon}, noon, Verified, time.Time{}},
		{"verified by a clock that was ahead", Facts{Confirmed: ahead(time.Hour)}, noon, Verified, time.Time{}},
		{"on hold, then counting from the code", Facts{Held: noon, HoldUntil: ahead(3 * day)}, ahead(3*day - tick), Due, ahead(3 * day)},
		{"the hold has ended", Facts{Held: noon, HoldUntil: ahead(3 * day)}, ahead(3 * day), Verified, time.Time{}},
		{"held counts from when the code was entered", Facts{Held: noon, HoldUntil: ahead(3 * day)}, ahead(180*day - tick), Verified, time.Time{}},
		{"and lapses from then", Facts{Held: noon, HoldUntil: ahead(3 * day)}, ahead(180 * day), Due, time.Time{}},
		{"shown", shown(day), noon, Due, ahead(6 * day)},
		{"seen only", Facts{Grace: Grace{Seen: ago(day)}}, noon, Due, ahead(20 * day)},
		{"seen only, about to end", Facts{Grace: Grace{Seen: ago(21*day - tick)}}, noon, Due, ahead(tick)},
		{"seen only, over", Facts{Grace: Grace{Seen: ago(21 * day)}}, noon, Overdue, noon},
		{"extended", Facts{Grace: Grace{Shown: ago(8 * day), Until: ahead(tick)}}, noon, Due, ahead(tick)},
		{"extension over", Facts{Grace: Grace{Shown: ago(8 * day), Until: noon}}, noon, Overdue, noon},
		{"a favour before any clock locks nobody out", Facts{Grace: Grace{Until: ago(day)}}, noon, Due, time.Time{}},
		{"lapsed, and its grace not begun", Facts{Confirmed: ago(200 * day), Grace: Grace{Shown: ago(300 * day)}}, noon, Due, time.Time{}},
		{"lapsed, and its grace over", Facts{Confirmed: ago(200 * day), Grace: Grace{After: ago(200 * day), Shown: ago(8 * day)}}, noon, Overdue, ago(day)},
	} {
		if got, till := r.Standing(c.f, c.at); got != c.want || !till.Equal(c.till) {
			t.Errorf("%s: %s until %s, want %s until %s", c.name, got, till, c.want, c.till)
		}
	}
}
