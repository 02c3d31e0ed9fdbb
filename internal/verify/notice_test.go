package verify

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// stranger is whoever opens a link, or types a code: nobody knows who that is.
func stranger() Visitor {
	return Visitor{Realm: realm, IP: netip.MustParseAddr("198.51.100.7"), Host: "app.example", Operator: true}
}

// tellOf walks until the confirmed contact of a person was told that another one was added, which is on hold.
func (h *house) tellOf(v Visitor, address string) Letter {
	h.Helper()
	h.confirm(v, address)
	h.move(time.Hour)
	h.addContact(h.next(v), added)
	h.settle(v)
	return h.notice(address)
}

// notice is the latest notice to an address.
func (h *house) notice(to string) Letter {
	h.Helper()
	var found Letter
	for _, l := range h.courier.all(policy.SendNotice) {
		if l.To == to {
			found = l
		}
	}
	if found.ID == "" {
		h.Fatalf("no notice went to %s", to)
	}
	return found
}

func token(t testing.TB, l Letter) string {
	t.Helper()
	token, ok := strings.CutPrefix(l.Link, "https://app.example/.contactgate/notice/")
	if !ok || !NoticeToken(token) {
		t.Fatalf("the link is %q", l.Link)
	}
	return token
}

func (h *house) byLink(v Visitor, token string) Disowned {
	h.Helper()
	d, err := h.DisownByLink(h.Context(), v, token)
	if err != nil {
		h.Fatal(err)
	}
	return d
}

func (h *house) byCode(v Visitor, code string) Disowned {
	h.Helper()
	d, err := h.DisownByCode(h.Context(), v, code)
	if err != nil {
		h.Fatal(err)
	}
	return d
}

func TestThisWasNotMe(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	l := h.tellOf(ann, ann.Email)
	if !l.LinkEnds.Equal(l.At.Add(30*day)) || l.Code != "" {
		t.Errorf("%+v", l)
	}
	if a := h.account(ann); a.Contact(h.contact(ann, added).ID) == nil {
		t.Fatal("the new contact is not there")
	}
	d := h.byLink(stranger(), token(t, l))
	if d.Outcome != policy.Accepted || d.Freeze.By != policy.ByPerson || len(d.Freeze.Reference) != 10 {
		t.Fatalf("%+v", d)
	}
	if v := h.open(ann); v.Standing != policy.Frozen || v.Account.Frozen.Reference != d.Freeze.Reference {
		t.Errorf("%+v", v.Decision)
	}
	if h.contact(ann, added).ID != "" {
		t.Error("the contact on hold is still on file: its hold would end under the ice")
	}
	h.settle(ann)
	mails := h.courier.all(policy.SendStopped)
	if len(mails) != 1 || mails[0].Reference != d.Freeze.Reference || mails[0].User != "ann" || mails[0].Realm != realm || mails[0].By != "an****@example.com" || mails[0].To != "" {
		t.Errorf("the operator is told: %+v", mails)
	}
	if n := h.audit.lines(t, "account_frozen", "by=person", "reference="+d.Freeze.Reference, "contact=an****@example.com", "ip=198.51.100.7"); len(n) != 1 {
		t.Errorf("the audit: %s", h.audit)
	}
	if !strings.Contains(h.log.String(), `"level":"WARN"`) || !strings.Contains(h.log.String(), d.Freeze.Reference) {
		t.Errorf("the log: %s", h.log)
	}
	for _, log := range []*book{h.audit, h.log} {
		if strings.Contains(log.String(), token(t, l)) || strings.Contains(log.String(), added) {
			t.Errorf("the link or the new contact is in a log: %s", log)
		}
	}
	// Saying it again changes nothing, and shows the same.
	again := h.byLink(stranger(), token(t, l))
	if again.Outcome != policy.AcceptedAgain || again.Freeze.Reference != d.Freeze.Reference {
		t.Errorf("again: %+v", again)
	}
	h.unfreeze(annAccount)
	if used := h.byLink(stranger(), token(t, l)); used.Outcome != policy.Used {
		t.Errorf("after an operator lifted it: %+v", used)
	}
	if v := h.open(ann); v.Standing == policy.Frozen {
		t.Error("a link froze the account twice")
	}
}

func TestALinkIsGoodForThirtyDays(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  policy.Outcome
	}{{30*day - time.Millisecond, policy.Accepted}, {30 * day, policy.Gone}, {31 * day, policy.Gone}} {
		h := newHouse(t, inMemory)
		ann := h.person("ann", "browser")
		l := h.tellOf(ann, ann.Email)
		h.set(l.At.Add(c.after))
		h.wantOutcome(c.after.String(), h.byLink(stranger(), token(t, l)).Outcome, c.want)
		if frozen := h.account(ann).Frozen != nil; frozen != (c.want == policy.Accepted) {
			t.Errorf("%s: frozen %v", c.after, frozen)
		}
	}
}

func TestOneLinkUsedByManyAtOnceFreezesOnce(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	link := token(t, h.tellOf(ann, ann.Email))
	var all sync.WaitGroup
	outcomes := make([]Disowned, 32)
	for i := range outcomes {
		all.Go(func() { outcomes[i] = h.byLink(stranger(), link) })
	}
	all.Wait()
	accepted := 0
	for _, d := range outcomes {
		if d.Outcome == policy.Accepted {
			accepted++
		} else {
			h.wantOutcome("beside it", d.Outcome, policy.AcceptedAgain)
		}
		if d.Freeze.Reference != h.account(ann).Frozen.Reference {
			t.Errorf("%+v", d)
		}
	}
	h.settle(ann)
	if n := len(h.audit.lines(t, "account_frozen")); accepted != 1 || n != 1 || len(h.courier.all(policy.SendStopped)) != 1 {
		t.Errorf("%d accepted, %d lines, %d mails", accepted, n, len(h.courier.all(policy.SendStopped)))
	}
}

// A contact that nobody ever confirmed may be a mistake, or anybody's: it is told, and has no say.
func TestOnlyWhoWasVerifiedGetsALink(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	renamed := ann
	renamed.Email = "unproved@example.com"
	h.open(renamed)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	if l := h.notice("unproved@example.com"); l.Link != "" || l.Code != "" {
		t.Errorf("%+v", l)
	}
	token(t, h.notice(ann.Email))
	// A site whose name nobody wrote down has no address to begin a link with.
	nameless := h.person("bob", "browser")
	nameless.Base = ""
	h.confirm(nameless, nameless.Email)
	h.move(time.Hour)
	h.addContact(h.next(nameless), "other@example.org")
	h.settle(nameless)
	if l := h.notice(nameless.Email); l.Link != "" {
		t.Errorf("%+v", l)
	}
}

func TestAPhoneIsTextedACodeAndNeverCalled(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.caller("ann")
	h.open(ann)
	h.prove(ann, mobile, "5634")
	h.accept(ann, mobile)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	l := h.notice(mobile)
	if l.Channel != "sms" || len(l.Code) != 8 || l.Link != "" || l.Page != "app.example/.contactgate/notice" || strings.Trim(l.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Fatalf("%+v", l)
	}
	// A text that was taken starts the hold, as a mail does.
	if until := h.contact(ann, added).HoldUntil; !until.Equal(h.Now().Add(72 * time.Hour)) {
		t.Errorf("on hold until %s", until)
	}
	if d := h.byCode(stranger(), l.Code); d.Outcome != policy.Accepted {
		t.Errorf("%+v", d)
	}
	if v := h.open(ann); v.Standing != policy.Frozen {
		t.Errorf("%+v", v.Decision)
	}

	// Where only calls may be made, a number is not told, and the hold is the longest.
	h.rules.Countries = []policy.Country{{Code: "JP", Voice: true}}
	bob := h.caller("bob")
	bob.Phone = landline
	h.open(bob)
	h.prove(bob, landline, landline)
	h.accept(bob, landline)
	h.move(time.Hour)
	h.addContact(h.next(bob), added)
	h.settle(bob)
	if until := h.contact(bob, added).HoldUntil; !until.Equal(h.Now().Add(7 * day)) {
		t.Errorf("on hold until %s", until)
	}
}

func TestTheSameMessageSaysTheSameAtEveryAttempt(t *testing.T) {
	h := newHouse(t, withPhones)
	h.courier.answers(func(_ context.Context, l Letter, before int) policy.Delivery {
		if l.Kind == string(policy.SendNotice) && before == 0 {
			return policy.LostAnswer
		}
		return policy.TakenOver
	})
	ann := h.person("ann", "browser")
	ann.Phone = "+81 90 1234 5634"
	h.confirm(ann, ann.Email)
	h.prove(ann, mobile, "5634")
	h.accept(ann, mobile)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	h.restart()
	h.move(time.Minute)
	h.settle(ann)
	said := map[string][]Letter{}
	for _, l := range h.courier.all(policy.SendNotice) {
		said[l.ID] = append(said[l.ID], l)
	}
	for _, both := range said {
		if len(both) != 2 || both[0].Link != both[1].Link || both[0].Code != both[1].Code {
			t.Errorf("%+v", both)
		}
	}
	if len(said) < 2 {
		t.Errorf("%d notices", len(said))
	}
}

func TestTwoMessagesNeverShareACode(t *testing.T) {
	h := newHouse(t)
	a := &policy.Account{Realm: realm, User: "ann"}
	s := policy.Send{ID: "one", Channel: policy.BySMS, Seed: []byte("the same by chance"), Base: "https://app.example/.contactgate", At: noon}
	first, err := h.armed(t.Context(), a, s, Letter{})
	if err != nil {
		t.Fatal(err)
	}
	s.ID = "two"
	second, err := h.armed(t.Context(), a, s, Letter{})
	again, err2 := h.armed(t.Context(), a, s, Letter{})
	if err != nil || err2 != nil || len(first.Code) != 8 || second.Code == first.Code || again.Code != second.Code {
		t.Errorf("%q, %q, %q: %v, %v", first.Code, second.Code, again.Code, err, err2)
	}
}

// Killed or cut off between the account and the record that a link leads to, the message waits: a link that is out works.
func TestNoNoticeGoesOutBeforeItsLinkWorks(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.confirmQuietly(ann)
	h.move(time.Hour)
	h.change(ann, func(a *policy.Account) {
		h.tell(a, &h.rules, ann, a.Others("", h.Now()), policy.Email, "", h.Now())
	})
	down := errors.New("the disk is full")
	h.probe.faults(func(_ context.Context, op, key string) error {
		if op == "update" && strings.HasPrefix(key, noticePrefix) {
			return down
		}
		return nil
	}, nil)
	h.work1(ann)
	if n := h.courier.all(policy.SendNotice); len(n) != 0 {
		t.Fatalf("it went out: %+v", n)
	}
	if a := h.account(ann); len(a.Outbox) != 1 {
		t.Fatalf("it is gone: %+v", a.Outbox)
	}
	if list := h.outages.current(); len(list) != 0 {
		t.Errorf("a store that fails is no outage of a carrier: %+v", list)
	}
	h.probe.faults(nil, nil)
	h.move(time.Hour)
	h.work1(ann)
	h.wantOutcome("the link", h.byLink(stranger(), token(t, h.notice(ann.Email))).Outcome, policy.Accepted)
}

func TestAnotherRealmsLinkLeadsNowhere(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	link := token(t, h.tellOf(ann, ann.Email))
	elsewhere := stranger()
	elsewhere.Realm = "another"
	h.wantOutcome("elsewhere", h.byLink(elsewhere, link).Outcome, policy.Gone)
	if h.account(ann).Frozen != nil {
		t.Error("it froze the account")
	}
}

func TestWrongNoticeCodesAreFewForAClientAndForASite(t *testing.T) {
	h := newHouse(t, withPhones, inMemory)
	ann := h.caller("ann")
	h.open(ann)
	h.prove(ann, mobile, "5634")
	h.accept(ann, mobile)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	right := h.notice(mobile).Code
	from := func(ip string) Visitor {
		v := stranger()
		v.IP = netip.MustParseAddr(ip)
		return v
	}
	// IPv6 networks give a whole /64 to one household.
	for i := range 10 {
		h.wantOutcome("wrong", h.byCode(from("2001:db8::"+string(rune('1'+i%9))), "AAAAAAAA").Outcome, policy.Gone)
		h.move(time.Minute)
	}
	if d := h.byCode(from("2001:db8::ffff"), right); d.Outcome != policy.TooMany || d.Wait != 50*time.Minute {
		t.Errorf("the eleventh: %+v", d)
	}
	h.wantOutcome("from elsewhere, wrong", h.byCode(from("2001:db8:0:1::1"), "AAAAAAAA").Outcome, policy.Gone)
	// Links are not affected.
	h.wantOutcome("a link that leads nowhere", h.byLink(from("2001:db8::1"), "AAAAAAAAAAAAAAAAAAAAAA").Outcome, policy.Gone)
	h.move(50*time.Minute - time.Millisecond)
	h.wantOutcome("a moment too early", h.byCode(from("2001:db8::1"), right).Outcome, policy.TooMany)
	h.move(time.Millisecond)
	h.wantOutcome("an hour after the first", h.byCode(from("2001:db8::1"), "AAAAAAAA").Outcome, policy.Gone)

	h.move(time.Hour)
	for i := range 1000 {
		d := h.byCode(from(netip.AddrFrom4([4]byte{10, 0, byte(i / 10), 1}).String()), "BBBBBBBB")
		h.wantOutcome("wrong", d.Outcome, policy.Gone)
	}
	h.wantOutcome("the site's thousand are used up", h.byCode(from("192.0.2.99"), right).Outcome, policy.TooMany)
	other := from("192.0.2.99")
	other.Host = "other.example"
	h.wantOutcome("another site of the realm", h.byCode(other, right).Outcome, policy.Accepted)
	if n := len(h.audit.lines(t, "limit_reached", "limit=notice_codes")); n != 3 {
		t.Errorf("%d lines about limits", n)
	}
}

func TestRightNoticeCodesCountForNobody(t *testing.T) {
	h := newHouse(t, withPhones, inMemory)
	ann := h.caller("ann")
	h.open(ann)
	h.prove(ann, mobile, "5634")
	h.accept(ann, mobile)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	for range 30 {
		if d := h.byCode(stranger(), h.notice(mobile).Code); d.Outcome != policy.Accepted && d.Outcome != policy.AcceptedAgain {
			t.Fatalf("%+v", d)
		}
	}
}

// P11: what is known and what is not costs the store the same.
func TestUnknownAndKnownNoticesDoTheSameWork(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	link := token(t, h.tellOf(ann, ann.Email))
	h.byLink(stranger(), link)
	h.settle(ann)
	work := func(link string) int64 {
		before := h.probe.asked()
		h.byLink(stranger(), link)
		return h.probe.asked() - before
	}
	if known, unknown := work(link), work("AAAAAAAAAAAAAAAAAAAAAA"); known != unknown || known != 2 {
		t.Errorf("%d calls of the store for a known link, %d for an unknown one", known, unknown)
	}
}

// What the store holds is hashes: whoever reads it, with the keys that seal it, has no link.
func TestTheStoreHoldsNoLinkAndNoCode(t *testing.T) {
	h := newHouse(t, withPhones)
	ann := h.person("ann", "browser")
	ann.Phone = "+81 90 1234 5634"
	h.confirm(ann, ann.Email)
	h.prove(ann, mobile, "5634")
	h.accept(ann, mobile)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	link, code := token(t, h.notice(ann.Email)), h.notice(mobile).Code
	for _, prefix := range []string{accountPrefix, noticePrefix} {
		items, err := h.probe.Scan(t.Context(), prefix, "", 1000)
		if err != nil || len(items) == 0 {
			t.Fatal(err, len(items))
		}
		for _, item := range items {
			plain, err := h.Keys.open(item.Key, item.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{link, code} {
				if strings.Contains(item.Key, secret) || bytes.Contains(plain, []byte(secret)) {
					t.Errorf("%s holds %q", item.Key, secret)
				}
			}
		}
	}
}

func TestNoticesAreToldToWhoWasTakenOffMeanwhile(t *testing.T) {
	h := newHouse(t)
	h.courier.answers(func(_ context.Context, l Letter, before int) policy.Delivery {
		if l.Kind == string(policy.SendNotice) && before == 0 {
			return policy.AskedToWait // greylisting
		}
		return policy.TakenOver
	})
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	h.move(time.Hour)
	h.addContact(h.next(ann), added)
	h.settle(ann)
	h.change(ann, func(a *policy.Account) {
		c := a.Find(policy.Email, policy.Address(ann.Email))
		c.Retired, c.EverVerified = true, true
	})
	h.move(time.Minute)
	h.settle(ann)
	if n := len(h.audit.lines(t, "sent", "kind=notice")); n != 1 {
		t.Fatalf("%d notices were taken: %s", n, h.audit)
	}
	h.wantOutcome("their link", h.byLink(stranger(), token(t, h.notice(ann.Email))).Outcome, policy.Accepted)
}

func TestUndoFromAnOlderContact(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.tellOf(ann, ann.Email)
	thief, handle := ann, h.Handle(ann, h.contact(ann, added).ID)
	if _, o, err := h.Undo(t.Context(), &h.rules, thief, handle); err != nil || o != policy.NotFresh {
		t.Errorf("without a fresh code: %d, %v", o, err)
	}
	if _, o, err := h.Undo(t.Context(), &h.rules, thief, "nobody's"); err != nil || o != policy.Gone {
		t.Errorf("another handle: %d, %v", o, err)
	}
	owner := h.person("ann", "owner's browser")
	h.confirm(owner, owner.Email)
	owner = h.next(owner)
	if _, o, err := h.Undo(t.Context(), &h.rules, owner, handle); err != nil || o != policy.Gone {
		t.Errorf("a handle of another browser: %d, %v", o, err)
	}
	before := len(h.courier.all(policy.SendNotice))
	handle = h.Handle(owner, h.contact(owner, added).ID)
	if _, o, err := h.Undo(t.Context(), &h.rules, owner, handle); err != nil || o != policy.Accepted {
		t.Fatalf("%d, %v", o, err)
	}
	h.settle(owner)
	if h.contact(owner, added).ID != "" {
		t.Error("it is still on file")
	}
	if v := h.open(owner); v.Standing != policy.Verified || v.Email != ann.Email {
		t.Errorf("%+v", v.Decision)
	}
	notices := h.courier.all(policy.SendNotice)
	if len(notices) != before+1 || notices[before].To != ann.Email || notices[before].ContactKind != string(policy.EmailUndone) || notices[before].Link == "" {
		t.Errorf("told: %+v", notices[before:])
	}
	if len(h.audit.lines(t, "contact_undone", "contact=ad****@example.org")) != 1 {
		t.Errorf("the audit: %s", h.audit)
	}
	if _, o, err := h.Undo(t.Context(), &h.rules, owner, handle); err != nil || o != policy.Gone {
		t.Errorf("again: %d, %v", o, err)
	}
	h.freeze(annAccount)
	if _, _, err := h.Undo(t.Context(), &h.rules, owner, handle); !errors.Is(err, ErrFrozen) {
		t.Errorf("frozen: %v", err)
	}
}
