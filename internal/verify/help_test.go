package verify

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

func (h *house) help(v Visitor, detail string) Helped {
	h.Helper()
	helped, err := h.AskHelp(h.Context(), &h.rules, v, policy.HelpRequest{Problem: "no_code", Detail: detail, Reach: "ann@example.net"})
	if err != nil {
		h.Fatal(err)
	}
	return helped
}

func TestHelpReachesTheOperatorInEveryStanding(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	for i, c := range []struct {
		standing string
		change   func()
	}{
		{"due", func() { h.open(ann) }},
		{"overdue", func() { h.move(8 * day); h.open(ann) }},
		{"verified", func() { h.ask(ann, ann.Email); h.accept(ann, ann.Email) }},
		{"frozen", func() { h.move(2 * day); h.freeze(annAccount) }},
	} {
		c.change()
		helped := h.help(ann, c.standing+" {{.}}\nsecond line")
		if helped.Outcome != policy.Accepted || len(helped.Reference) != 10 {
			t.Fatalf("%s: %+v", c.standing, helped)
		}
		h.settle(ann)
		letters := h.courier.all(policy.SendHelp)
		if len(letters) != i+1 {
			t.Fatalf("%s: %d letters", c.standing, len(letters))
		}
		l := letters[i]
		if l.Reference != helped.Reference || l.User != "ann" || l.Realm != realm || l.To != "" || l.Help.Standing != c.standing ||
			l.Help.Detail != c.standing+" {{.}}\nsecond line" || l.Help.Reach != "ann@example.net" || l.Help.Problem != "no_code" {
			t.Errorf("%s: %+v", c.standing, l)
		}
		if lines := h.audit.lines(t, "help_requested", "reference="+helped.Reference, "user=ann", "problem=no_code"); len(lines) != 1 {
			t.Errorf("%s: the audit: %s", c.standing, h.audit)
		}
	}
	for _, log := range []*book{h.audit, h.log} {
		if strings.Contains(log.String(), "second line") || strings.Contains(log.String(), "ann@example.net") {
			t.Errorf("what was written is in a log: %s", log)
		}
	}
	if v := h.open(ann); v.Standing != policy.Frozen {
		t.Errorf("%+v", v.Decision)
	}
}

func TestHelpIsLimitedForAnAccountAndForAClient(t *testing.T) {
	h := newHouse(t, inMemory)
	ann := h.person("ann", "browser")
	for range 3 {
		h.wantOutcome("asking", h.help(ann, "x").Outcome, policy.Accepted)
		h.settle(ann)
	}
	if r := h.help(ann, "x"); r.Outcome != policy.TooMany || r.Wait != time.Hour {
		t.Errorf("the fourth: %+v", r)
	}
	// What an account refuses counts for nobody else at its address.
	for i := range 27 {
		h.wantOutcome("another account", h.help(h.person("bob"+string(rune('a'+i)), "b"), "x").Outcome, policy.Accepted)
	}
	eve := h.person("eve", "browser")
	if r := h.help(eve, "x"); r.Outcome != policy.TooMany || r.Wait != time.Hour {
		t.Errorf("the thirty-first of a client: %+v", r)
	}
	eve.IP = netip.MustParseAddr("192.0.2.2")
	h.wantOutcome("from elsewhere", h.help(eve, "x").Outcome, policy.Accepted)
	if len(h.audit.lines(t, "limit_reached", "limit=help")) != 1 || len(h.audit.lines(t, "limit_reached", "limit=help_outside")) != 1 {
		t.Errorf("the audit: %s", h.audit)
	}
	h.move(time.Hour)
	h.wantOutcome("an hour later", h.help(ann, "x").Outcome, policy.Accepted)
}

func TestHelpWaitsForTheMailServer(t *testing.T) {
	h := newHouse(t)
	h.courier.answers(func(context.Context, Letter, int) policy.Delivery { return policy.NotReached })
	ann := h.person("ann", "browser")
	first := h.help(ann, "x")
	h.settle(ann)
	if again := h.help(ann, "x"); again.Outcome != policy.AcceptedAgain || again.Reference != first.Reference {
		t.Errorf("the double click: %+v", again)
	}
	h.restart()
	h.move(6 * day)
	h.courier.answers(nil)
	h.settle(ann)
	letters := h.courier.all(policy.SendHelp)
	if n := len(h.audit.lines(t, "sent", "kind=help")); n != 1 || letters[len(letters)-1].Reference != first.Reference {
		t.Errorf("%d taken: %s", n, h.audit)
	}
	if a := h.account(ann); len(a.Outbox) != 0 {
		t.Errorf("%+v", a.Outbox)
	}
}
