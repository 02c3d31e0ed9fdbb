package verify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// limitRow is one word of limits. It is run at its edge: allowed so many times; one more is refused, with the right
// wait, and nothing is sent; the same after a restart; still refused a moment before the wait is over; allowed then.
//
// A new word is a new row. On Redis each try is on the other node than the one before.
type limitRow struct {
	word string
	// set tightens this word and gets the others out of its way.
	set func(l *policy.Limits)
	// prepare comes before; try is one more of what is limited, a second after the one before.
	prepare func(h *house)
	try     func(h *house, n int) policy.Result
	// allowed times try ends in fine; then in refused.
	allowed       int
	fine, refused policy.Outcome
	// wait is what the first refusal says. Zero: only what ends does.
	wait time.Duration
	// ends is for limits that no time ends.
	ends func(h *house)
}

func limitRows() []limitRow {
	ann := func(h *house) Visitor { return h.person("ann", "browser") }
	const address = "ann.long@example.com"
	result := func(s Sent) policy.Result { return s.Result }
	askAnn := func(h *house) { h.open(ann(h)); h.ask(ann(h), address) }
	// wrongCode enters one, with a new code when the one before has ended.
	wrongCode := func(h *house, _ int) policy.Result {
		if !h.account(ann(h)).Challenge.Live(h.Now()) {
			h.ask(ann(h), address)
		}
		return h.enter(ann(h), notThis(h.courier.code(h, address))).Result
	}
	// sendAgain asks for a code, then for it again and again.
	sendAgain := func(h *house, n int) policy.Result {
		if n == 0 {
			askAnn(h)
			return policy.Result{Outcome: policy.Started}
		}
		return h.again(ann(h)).Result
	}
	person := func(h *house, n int) Visitor {
		v := h.person(fmt.Sprintf("user%d", n), "browser")
		v.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2::%d", n+1)) // one household
		return v
	}
	// annsNumber gives her a phone on file; caller is somebody with one.
	const annsNumber = "+819012345634"
	annsPhone := func(h *house) {
		h.offerPhones()
		h.change(ann(h), func(a *policy.Account) { a.Contacts = append(a.Contacts, phoneOnFile(annsNumber)) })
	}
	annDials := func(h *house, proof string) policy.Result {
		return result(h.prove(ann(h), annsNumber, proof))
	}
	oneSecond := func(l *policy.Limits) { l.ResendAfter = []time.Duration{time.Second} }
	return []limitRow{
		{
			word: "code_lifetime", set: func(l *policy.Limits) { l.CodeLifetime = 2 * time.Second }, prepare: askAnn,
			try: func(h *house, _ int) policy.Result {
				return h.enter(ann(h), notThis(h.courier.code(h, address))).Result
			},
			allowed: 1, fine: policy.WrongCode, refused: policy.Expired,
			ends: func(h *house) { h.move(time.Minute); h.again(ann(h)) },
		},
		{
			word: "code_tries", set: func(l *policy.Limits) { l.CodeTries = 3 }, prepare: askAnn, try: wrongCode,
			allowed: 3, fine: policy.WrongCode, refused: policy.TriesUsed,
			ends: func(h *house) { h.move(time.Minute); h.again(ann(h)) },
		},
		{
			word: "wrong_per_day", set: func(l *policy.Limits) { l.WrongPerDay, l.CodeLifetime = 3, 24*time.Hour }, prepare: askAnn, try: wrongCode,
			allowed: 3, fine: policy.WrongCode, refused: policy.TooMany, wait: day - 3*time.Second,
		},
		{
			word: "wrong_in_a_row", set: func(l *policy.Limits) { l.WrongInARow = 4 }, prepare: askAnn, try: wrongCode,
			allowed: 4, fine: policy.WrongCode, refused: policy.Stopped,
			ends: func(h *house) {
				h.move(365 * day)
				if s := h.ask(ann(h), address); s.Outcome != policy.Stopped {
					h.Errorf("a year later: %+v", s.Result)
				}
				h.change(ann(h), func(a *policy.Account) { a.Contacts[0].WrongInARow = 0 }) // an operator
			},
		},
		{
			word: "proof_tries", set: func(l *policy.Limits) { l.ProofTries = 3 }, prepare: func(h *house) { h.open(ann(h)) },
			try:     func(h *house, _ int) policy.Result { return result(h.prove(ann(h), address, "wrong")) },
			allowed: 3, fine: policy.Mismatch, refused: policy.TooMany, wait: day - 3*time.Second,
		},
		{
			word: "proof_tries_total", set: func(l *policy.Limits) { l.ProofTriesTotal = 4 }, prepare: func(h *house) { h.open(ann(h)) },
			try:     func(h *house, _ int) policy.Result { return result(h.prove(ann(h), address, "wrong")) },
			allowed: 4, fine: policy.Mismatch, refused: policy.Closed,
			ends: func(h *house) {
				h.move(365 * day)
				if s := h.ask(ann(h), address); s.Outcome != policy.Closed {
					h.Errorf("a right answer a year later: %+v", s.Result)
				}
				h.change(ann(h), func(a *policy.Account) { a.Contacts[0].ProofsInAll = 0 })
			},
		},
		{
			word: "resend_after", set: func(l *policy.Limits) { l.ResendAfter = []time.Duration{90 * time.Second, 2 * time.Minute} }, prepare: askAnn,
			try:     func(h *house, _ int) policy.Result { return h.again(ann(h)).Result },
			allowed: 0, fine: policy.Started, refused: policy.TooEarly, wait: 89 * time.Second,
		},
		{
			word: "resend_after (its second step)", set: func(l *policy.Limits) { l.ResendAfter = []time.Duration{time.Second, 2 * time.Minute} }, prepare: askAnn,
			try:     func(h *house, _ int) policy.Result { return h.again(ann(h)).Result },
			allowed: 1, fine: policy.Started, refused: policy.TooEarly, wait: 2*time.Minute - time.Second,
		},
		{
			word: "sends_per_hour", set: func(l *policy.Limits) { oneSecond(l); l.SendsPerHour, l.CodeLifetime = 3, 24*time.Hour }, try: sendAgain,
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: time.Hour - 3*time.Second,
		},
		{
			word: "sends_per_day", set: func(l *policy.Limits) { oneSecond(l); l.SendsPerHour, l.SendsPerDay = 100, 4 }, try: sendAgain,
			allowed: 4, fine: policy.Started, refused: policy.TooMany, wait: day - 4*time.Second,
		},
		{
			word: "sends_per_address", set: func(l *policy.Limits) { l.SendsPerAddress, l.TypedSendsPerIP = 3, 100 },
			// One address, in many accounts, from anywhere, in any case of letters.
			try: func(h *house, n int) policy.Result {
				v := person(h, n)
				v.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n))
				to := []string{"victim@example.org", "VICTIM@example.org", "Victim@example.org"}[n%3]
				return result(h.add(v, to))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: time.Hour - 3*time.Second,
		},
		{
			word: "sends_per_ip", set: func(l *policy.Limits) { l.SendsPerIP = 3 },
			// To addresses that the sign-in named, of many people in one household.
			try: func(h *house, n int) policy.Result {
				h.open(person(h, n))
				return result(h.ask(person(h, n), fmt.Sprintf("user%d.long@example.com", n)))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: time.Hour - 3*time.Second,
		},
		{
			word: "typed_sends_per_ip", set: func(l *policy.Limits) { l.TypedSendsPerIP = 3 },
			try: func(h *house, n int) policy.Result {
				return result(h.add(person(h, n), fmt.Sprintf("typed%d@example.org", n)))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: time.Hour - 3*time.Second,
		},
		{
			word: "total_budget", set: func(l *policy.Limits) { l.TotalBudget = 3 },
			try: func(h *house, n int) policy.Result {
				v := person(h, n)
				v.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n))
				h.open(v)
				return result(h.ask(v, v.Email))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: 12*time.Hour - 4*time.Second,
		},
		{
			word: "last4_tries", set: func(l *policy.Limits) { l.Last4Tries = 2 }, prepare: annsPhone,
			try:     func(h *house, _ int) policy.Result { return annDials(h, "0034") },
			allowed: 2, fine: policy.Mismatch, refused: policy.WholeAsked, wait: day - 2*time.Second,
		},
		{
			word: "last4_tries_total", set: func(l *policy.Limits) { l.Last4Tries, l.Last4TriesTotal = 100, 4 }, prepare: annsPhone,
			try:     func(h *house, _ int) policy.Result { return annDials(h, "0034") },
			allowed: 4, fine: policy.Mismatch, refused: policy.WholeAsked,
			ends: func(h *house) {
				h.move(365 * day)
				h.wantOutcome("the right four a year later", annDials(h, annsNumber[9:]).Outcome, policy.WholeAsked)
				h.wantOutcome("the whole number", annDials(h, annsNumber).Outcome, policy.Started)
				h.wantOutcome("the four after it", annDials(h, annsNumber[9:]).Outcome, policy.WholeAsked)
				h.change(ann(h), func(a *policy.Account) { a.Contacts[0].Last4InAll = 0 })
			},
		},
		{
			word: "voice_per_day", set: func(l *policy.Limits) { oneSecond(l); l.VoicePerDay = 2 }, prepare: annsPhone,
			try: func(h *house, _ int) policy.Result {
				return result(h.proveBy(ann(h), policy.ByVoice, annsNumber, annsNumber))
			},
			allowed: 2, fine: policy.Started, refused: policy.TooMany, wait: day - 2*time.Second,
		},
		{
			word: "country_budget", set: func(l *policy.Limits) { l.CountryBudget, l.TypedSendsPerIP = 3, 100 }, prepare: (*house).offerPhones,
			// Of many people, typed and on file, texts and calls.
			try: func(h *house, n int) policy.Result {
				v, to := person(h, n), fmt.Sprintf("+8190123456%02d", n)
				if n%2 == 0 {
					return result(h.addBy(v, policy.ByVoice, to))
				}
				h.change(v, func(a *policy.Account) { a.Contacts = []policy.Contact{phoneOnFile(to)} })
				return result(h.ask(v, to))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: 12*time.Hour - 4*time.Second,
		},
		{
			word: "sends_per_address (a number)", set: func(l *policy.Limits) { l.SendsPerAddress, l.TypedSendsPerIP = 3, 100 }, prepare: (*house).offerPhones,
			// J06: one number in six spellings, in many accounts.
			try: func(h *house, n int) policy.Result {
				spelling := []string{"090-1234-5678", "+81 90 1234 5678", "０９０ー１２３４ー５６７８", "0081 90 1234 5678", "tel:+81-90-1234-5678", "(090) 1234 5678"}[n%6]
				to, _, fault := ParsePhone(spelling, "JP")
				if fault != "" {
					h.Fatalf("%q: %s", spelling, fault)
				}
				v := person(h, n)
				v.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n))
				return result(h.add(v, to.Whole()))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: time.Hour - 3*time.Second,
		},
		{
			word: "delivery rate", set: func(l *policy.Limits) { l.TypedSendsPerIP, l.SendsPerIP = 1000, 1000 }, prepare: func(h *house) {
				h.offerPhones()
				// 49 codes to typed numbers of 49 accounts, of which 14 are entered: 28 %.
				for n := range 49 {
					v, to := h.person(fmt.Sprint("earlier", n), "browser"), fmt.Sprintf("+8190876543%02d", n)
					if s := h.add(v, to); s.Outcome != policy.Started {
						h.Fatalf("%+v", s.Result)
					}
					if n < 14 {
						h.accept(v, to)
					}
				}
			},
			try: func(h *house, n int) policy.Result {
				return result(h.add(person(h, n), fmt.Sprintf("+8190123456%02d", n)))
			},
			allowed: 1, fine: policy.Started, refused: policy.Paused, wait: time.Hour,
		},
		{
			word: "contacts", set: func(l *policy.Limits) { l.Contacts = 3 }, prepare: func(h *house) { h.open(ann(h)) },
			try: func(h *house, n int) policy.Result {
				to := fmt.Sprintf("more%d@example.com", n)
				s := h.add(ann(h), to)
				if s.Outcome == policy.Started {
					h.accept(ann(h), to)
				}
				return s.Result
			},
			allowed: 2, fine: policy.Started, refused: policy.Full,
			ends: func(h *house) { h.change(ann(h), func(a *policy.Account) { a.Contacts[1].Retired = true }) },
		},
		{
			word: "contacts_per_day", set: func(l *policy.Limits) { l.ContactsPerDay = 3 },
			try: func(h *house, n int) policy.Result {
				return result(h.add(ann(h), fmt.Sprintf("more%d@example.com", n)))
			},
			allowed: 3, fine: policy.Started, refused: policy.TooMany, wait: day - 3*time.Second,
		},
		{
			word: "authenticator_tries", set: func(l *policy.Limits) { l.AuthenticatorTries = 3 },
			prepare: func(h *house) { v, _, _ := h.enrol(ann(h)); h.promptApp(v) },
			// Codes of the app and recovery codes count together, and so does what is neither.
			try: func(h *house, n int) policy.Result {
				return h.enterApp(h.next(ann(h)), []string{"ABCDE-FGHJK", "x", "12"}[n%3]).Result
			},
			allowed: 3, fine: policy.WrongCode, refused: policy.TooMany, wait: 5*time.Minute - time.Second,
		},
		{
			word: "authenticator_tries (a hundred in a row)", set: func(l *policy.Limits) { l.AuthenticatorTries = 200 },
			prepare: func(h *house) { v, _, _ := h.enrol(ann(h)); h.promptApp(v) },
			try:     func(h *house, _ int) policy.Result { return h.enterApp(h.next(ann(h)), "x").Result },
			allowed: 100, fine: policy.WrongCode, refused: policy.Stopped,
			ends: func(h *house) {
				h.move(365 * day)
				h.promptApp(h.next(ann(h)))
				h.change(ann(h), func(a *policy.Account) { a.LiftAuthenticator() }) // an operator
			},
		},
	}
}

func TestEveryLimitAtItsEdge(t *testing.T) {
	for _, kind := range []storeKind{onBolt, onRedis(loneRedis(t))} {
		for _, row := range limitRows() {
			t.Run(kind.name+"/"+row.word, func(t *testing.T) {
				h := newHouse(t, func(h *house) { h.kind = kind; row.set(&h.rules.Limits) })
				if err := h.rules.Validate(); err != nil {
					t.Fatal(err)
				}
				if row.prepare != nil {
					row.prepare(h)
				}
				row.run(h)
			})
		}
	}
}

func (row limitRow) run(h *house) {
	n := 0
	try := func(what string, want policy.Result) {
		h.Helper()
		sent := len(h.courier.all(policy.SendCode))
		got := row.try(h, n)
		n++
		h.swap()
		if got.Outcome != want.Outcome || got.Wait != want.Wait {
			h.Fatalf("%s: outcome %d, wait %s; want %d, %s", what, got.Outcome, got.Wait, want.Outcome, want.Wait)
		}
		// (A wrong code may have to ask for one first.)
		if want.Outcome == row.refused && row.fine != policy.WrongCode && len(h.courier.all(policy.SendCode)) != sent {
			h.Errorf("%s: refused, and sent all the same", what)
		}
	}
	refused := policy.Result{Outcome: row.refused, Wait: row.wait}
	for i := range row.allowed {
		h.move(time.Second)
		try(fmt.Sprintf("number %d", i+1), policy.Result{Outcome: row.fine})
	}
	h.move(time.Second)
	try("one more", refused)
	try("once more, with the wait unchanged by asking", refused)
	h.restart()
	try("after a restart", refused)
	if row.ends != nil {
		row.ends(h)
		try("after what ends it", policy.Result{Outcome: row.fine})
		return
	}
	h.move(row.wait - time.Millisecond)
	refused.Wait = time.Millisecond
	try("a moment before the wait is over", refused)
	h.move(time.Millisecond)
	try("when the wait is over", policy.Result{Outcome: row.fine})
}

// Every word of limits is run above.
func TestNoLimitIsForgotten(t *testing.T) {
	zero := policy.Limits{}
	run := map[string]bool{}
	for _, row := range limitRows() {
		word, _, _ := strings.Cut(row.word, " ")
		run[word] = true
	}
	for line := range strings.Lines(zero.Validate().Error()) {
		word := strings.Fields(line)[1]
		word = strings.TrimSuffix(word, ":")
		if !run[word] {
			t.Errorf("the limit %s is run at its edge by no test", word)
		}
	}
}

func TestOneOfficeSharesAnAddressAndAllGetTheirCode(t *testing.T) {
	h := newHouse(t)
	for n := range 60 {
		v := h.person(fmt.Sprintf("user%d", n), "browser")
		h.open(v)
		if s := h.ask(v, v.Email); s.Outcome != policy.Started || s.State != policy.SendAccepted {
			t.Fatalf("person %d: %+v", n, s)
		}
	}
}

func TestWhomAnIPAddressStandsFor(t *testing.T) {
	for a, b := range map[string]string{
		"192.0.2.1": "::ffff:192.0.2.1", "2001:db8::1": "2001:db8::ffff:1", "fe80::1%eth0": "fe80::2%eth1",
	} {
		if client(netip.MustParseAddr(a)) != client(netip.MustParseAddr(b)) {
			t.Errorf("%s and %s are counted apart", a, b)
		}
	}
	for a, b := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8::1": "2001:db8:0:1::1"} {
		if client(netip.MustParseAddr(a)) == client(netip.MustParseAddr(b)) {
			t.Errorf("%s and %s are counted together", a, b)
		}
	}
}

// Nobody can spend another account's tries or sends.
func TestLimitsBelongToTheOneWhoIsLimited(t *testing.T) {
	h := newHouse(t)
	ann, eve := h.person("ann", "browser"), h.person("eve", "browser")
	eve.IP = netip.MustParseAddr("198.51.100.9")
	eve.Email = ann.Email // whoever signs eve in says so
	h.open(ann)
	h.open(eve)
	for range 30 {
		h.prove(eve, ann.Email, "wrong")
		h.enter(eve, "000000")
		h.add(eve, "ANN.LONG@example.com")
		h.again(eve)
		h.move(time.Second)
	}
	before := h.account(ann)
	if len(before.Wrong)+len(before.Sends)+before.Contacts[0].ProofsInAll != 0 {
		t.Errorf("eve spent what is ann's: %+v", before)
	}
	if s := h.ask(ann, ann.Email); s.Outcome != policy.Started {
		t.Errorf("ann: %+v", s.Result)
	}
	code := h.courier.code(h, ann.Email)
	h.enter(eve, code)
	if e := h.enter(ann, code); e.Outcome != policy.Accepted {
		t.Errorf("ann: %+v", e.Result)
	}
	if a := h.account(eve); a.EverVerified {
		t.Error("ann's code confirmed something of eve's")
	}
}

// O04: however many flows somebody begins, each in another browser, and abandons, one challenge is live, and the record and the
// store do not grow with them.
func TestAbandonedFlowsDoNotPileUp(t *testing.T) {
	h := newHouse(t)
	flows := 10_000
	if raceEnabled {
		flows = 1000
	}
	key := h.accountKey(realm, "eve")
	size := func() (record, all int) {
		t.Helper()
		r, err := h.probe.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		items, err := h.probe.Scan(t.Context(), "", "", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Value), len(items)
	}
	begun := 0
	var before Visitor
	for i := range flows {
		eve := h.person("eve", fmt.Sprint("browser ", i))
		h.open(eve)
		if sent := h.ask(eve, eve.Email); sent.Outcome == policy.Started {
			begun++
			if a := h.account(eve); h.Pending(a, eve) == nil || i > 0 && h.Pending(a, before) != nil {
				t.Fatalf("flow %d: not one challenge is live, the last", i)
			}
			before = eve
		}
		if i%10 == 0 {
			h.add(eve, fmt.Sprintf("typed%d@example.net", i))
			if _, err := h.BeginEnrolment(t.Context(), eve); err != nil {
				t.Fatal(err)
			}
		}
		h.move(20 * time.Minute)
		if record, all := size(); record > 4000 || all > 30 {
			t.Fatalf("after %d flows a record of %d bytes, and %d records", i, record, all)
		}
	}
	if begun < flows/10 {
		t.Errorf("only %d of %d were begun", begun, flows)
	}
}
