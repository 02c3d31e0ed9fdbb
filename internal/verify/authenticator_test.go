package verify

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// phone is an authenticator app as a person has it: it knows the key as it stood on the page, and the time.
type phone struct {
	h   *house
	key string
}

// code is what the app shows now, or so much later.
func (p phone) code(later time.Duration) string {
	p.h.Helper()
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(p.key)
	if err != nil {
		p.h.Fatal(err)
	}
	return appCode(seed, p.h.Now().Add(later).Unix()/30)
}

func read(typed string) policy.AppCode {
	code, _ := policy.ReadAppCode(typed)
	return code
}

// next is the visitor in the browser session that goes on after a right code.
func (h *house) next(v Visitor) Visitor {
	v.Session, v.Next = v.Next, h.SessionHash(v.Realm, v.User, append([]byte("next of "), v.Next...))
	return v
}

// begin confirms a contact and asks for an app: the phone has its key then. The visitor is in the session that goes on.
func (h *house) beginApp(v Visitor) (Visitor, phone) {
	h.Helper()
	h.confirm(v, v.Email)
	v = h.next(v)
	begun, err := h.BeginEnrolment(h.Context(), v)
	if err != nil || begun.Outcome != policy.Started {
		h.Fatalf("%+v, %v", begun.Result, err)
	}
	return v, phone{h, h.Enrolling(h.account(v), v)}
}

func (h *house) confirmApp(v Visitor, typed, batch string) App {
	h.Helper()
	app, err := h.ConfirmEnrolment(h.Context(), &h.rules, v, read(typed), batch)
	if err != nil {
		h.Fatal(err)
	}
	return app
}

// enrol goes the whole way. A minute later the app's next code can be used.
func (h *house) enrol(v Visitor) (Visitor, phone, []string) {
	h.Helper()
	v, p := h.beginApp(v)
	app := h.confirmApp(v, p.code(0), "form")
	if app.Outcome != policy.Accepted {
		h.Fatalf("%+v", app.Result)
	}
	h.settle(v) // a message in hand while the clock jumps would be taken for one whose worker died
	h.move(time.Minute)
	return v, p, app.Codes
}

func (h *house) promptApp(v Visitor) App {
	h.Helper()
	app, err := h.PromptAuthenticator(h.Context(), v, "/app")
	if err != nil {
		h.Fatal(err)
	}
	return app
}

func (h *house) enterApp(v Visitor, typed string) Entered {
	h.Helper()
	e, err := h.EnterApp(h.Context(), &h.rules, v, read(typed))
	if err != nil {
		h.Fatal(err)
	}
	return e
}

// RFC 6238, appendix B, in six digits.
func TestCodesAreThoseOfTheStandard(t *testing.T) {
	seed := policy.Seed("12345678901234567890")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := appCode(seed, at/30); got != want {
			t.Errorf("%d: %s, want %s", at, got, want)
		}
	}
	if key := appKey(seed); key != "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" {
		t.Errorf("the key: %s", key)
	}
}

func TestAnAppFromOfferToUse(t *testing.T) {
	h := newHouse(t)
	tom, p := h.beginApp(h.person("tom", "browser"))
	if len(p.key) != 32 || h.account(tom).HasAuthenticator() {
		t.Fatalf("the key %q, and an app that is not there yet", p.key)
	}
	if again, err := h.BeginEnrolment(t.Context(), tom); err != nil || again.Outcome != policy.Underway || h.Enrolling(h.account(tom), tom) != p.key {
		t.Errorf("opened again: %+v, %v", again.Result, err)
	}
	if wrong := h.confirmApp(tom, notThis(p.code(0)), "form"); wrong.Outcome != policy.WrongCode || wrong.Left != 4 || wrong.Key != p.key || wrong.Codes != nil {
		t.Errorf("a wrong code: %+v", wrong)
	}
	app := h.confirmApp(tom, p.code(0)[:3]+" "+p.code(0)[3:], "form")
	if app.Outcome != policy.Accepted || len(app.Codes) != 10 || !h.account(tom).HasAuthenticator() {
		t.Fatalf("the right code: %+v", app.Result)
	}
	for i, code := range app.Codes {
		if len(code) != 10 || strings.Trim(code, policy.RecoveryAlphabet) != "" || slices.Index(app.Codes, code) != i {
			t.Errorf("recovery code %q", code)
		}
	}
	if h.Enrolling(h.account(tom), tom) != "" {
		t.Error("the key is shown after it was confirmed")
	}
	h.settle(tom)
	notices := h.courier.all(policy.SendNotice)
	if len(notices) != 1 || notices[0].To != tom.Email || notices[0].ContactKind != "authenticator_enrolled" {
		t.Errorf("told: %+v", notices)
	}

	enrolling := p.code(0)
	if h.promptApp(tom).Outcome != policy.Started {
		t.Fatal("no prompt")
	}
	if e := h.enterApp(tom, enrolling); e.Outcome != policy.Used {
		t.Errorf("the code that enrolled it: %+v", e.Result)
	}
	h.move(30 * time.Second)
	e := h.enterApp(tom, p.code(0))
	if e.Outcome != policy.Accepted || e.Return != "/app" || e.Contact.ID != "" {
		t.Fatalf("the next code: %+v", e)
	}
	tom = h.next(tom)
	if a := h.account(tom); !a.IsFresh(tom.Session, h.Now()) || a.IsFreshByContact(tom.Session, h.Now()) {
		t.Error("fresh by the app, and only by it")
	}
	h.promptApp(tom)
	if e := h.enterApp(tom, app.Codes[3]); e.Outcome != policy.Accepted || len(e.Account.Authenticator.Recovery) != 9 {
		t.Errorf("a recovery code: %+v", e.Result)
	}
	for _, event := range []string{"authenticator_begun", "authenticator_enrolled", "recovery_code_used", "code_asked", "code_tried"} {
		if len(h.audit.lines(t, event)) == 0 {
			t.Errorf("the audit has no %s", event)
		}
	}
	h.nothingOfApp(p, app.Codes)
}

// nothingOfApp fails when anything secret of an app is in a log, or in the store as it lies on disk.
func (h *house) nothingOfApp(p phone, codes []string) {
	h.Helper()
	seed, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(p.key)
	onDisk, err := os.ReadFile(filepath.Join(h.folder, "accounts.db"))
	if err != nil {
		h.Fatal(err)
	}
	secrets := [][]byte{seed, []byte(p.key), fmt.Appendf(nil, "%x", seed)}
	for _, code := range codes {
		secrets = append(secrets, []byte(code), []byte(code[:5]+"-"+code[5:]))
	}
	for place, text := range map[string][]byte{"the store": onDisk, "the audit": []byte(h.audit.String()), "the log": []byte(h.log.String())} {
		for _, secret := range secrets {
			if bytes.Contains(text, secret) {
				h.Errorf("%q is in %s", secret, place)
			}
		}
	}
}

// Promise P3, and one winner: however many post one code at the same time, in whatever sessions.
func TestOneCodeOfAnAppPostedByMany(t *testing.T) {
	const many = 32
	for _, what := range []string{"the app's code", "a recovery code"} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			tom, p, codes := h.enrol(h.person("tom", "browser"))
			code := p.code(0)
			if what == "a recovery code" {
				code = codes[0]
			}
			h.promptApp(tom)
			outcomes := make([]policy.Outcome, many)
			var all sync.WaitGroup
			for i := range many {
				all.Go(func() { outcomes[i] = h.enterApp(tom, code).Outcome })
			}
			all.Wait()
			count := map[policy.Outcome]int{}
			for _, o := range outcomes {
				count[o]++
			}
			if count[policy.Accepted] != 1 || count[policy.AcceptedAgain] != many-1 {
				t.Errorf("accepted %d times, repeated %d times: %v", count[policy.Accepted], count[policy.AcceptedAgain], count)
			}
			if n := len(h.audit.lines(t, "code_tried", "channel=authenticator", "result=accepted")); n != 2 { // one enrolled it
				t.Errorf("%d accepted in the audit", n)
			}
			if n := len(h.audit.lines(t, "recovery_code_used")); n > 1 {
				t.Errorf("%d recovery codes used", n)
			}
		})
	}
}

// The same with wrong ones: five are compared.
func TestWrongCodesOfAnAppPostedAtOnce(t *testing.T) {
	h := newHouse(t)
	tom, p, _ := h.enrol(h.person("tom", "browser"))
	h.promptApp(tom)
	outcomes := make([]policy.Outcome, 32)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i] = h.enterApp(tom, notThis(p.code(0))).Outcome })
	}
	all.Wait()
	count := map[policy.Outcome]int{}
	for _, o := range outcomes {
		count[o]++
	}
	if count[policy.WrongCode] != 5 || count[policy.TooMany] != 27 {
		t.Errorf("%v", count)
	}
}

// L01: on another node, in another session, within the step.
func TestACodeOfAnAppIsUsedOnEveryNode(t *testing.T) {
	h := newHouse(t)
	tom, p, _ := h.enrol(h.person("tom", "browser"))
	code := p.code(0)
	h.promptApp(tom)
	if e := h.enterApp(tom, code); e.Outcome != policy.Accepted {
		t.Fatalf("%+v", e.Result)
	}
	there := New(h.Config)
	other := h.person("tom", "another browser")
	if app, err := there.PromptAuthenticator(t.Context(), other, "/"); err != nil || app.Outcome != policy.Started {
		t.Fatalf("%+v, %v", app.Result, err)
	}
	if e, err := there.EnterApp(t.Context(), &h.rules, other, read(code)); err != nil || e.Outcome != policy.Used {
		t.Errorf("%+v, %v", e.Result, err)
	}
	h.restart()
	h.promptApp(other)
	if e := h.enterApp(other, code); e.Outcome != policy.Used {
		t.Errorf("after a restart: %+v", e.Result)
	}
	if e := h.enterApp(other, p.code(-30*time.Second)); e.Outcome == policy.Accepted {
		t.Error("an older one after a newer one")
	}
	if e := h.enterApp(other, p.code(30*time.Second)); e.Outcome != policy.Accepted {
		t.Errorf("the next one: %+v", e.Result)
	}
}

// Rule 6: the double click on the form that enrols gets the same recovery codes, and no other form does.
func TestADoubleClickIsShownTheSameRecoveryCodes(t *testing.T) {
	h := newHouse(t)
	tom, p := h.beginApp(h.person("tom", "browser"))
	code := p.code(0)
	first := h.confirmApp(tom, code, "form")
	second := h.confirmApp(tom, code, "form")
	if first.Outcome != policy.Accepted || second.Outcome != policy.AcceptedAgain || !slices.Equal(first.Codes, second.Codes) {
		t.Fatalf("%+v %v\n%+v %v", first.Result, first.Codes, second.Result, second.Codes)
	}
	for name, batch := range map[string]string{"another form": "form 2", "a form without a name": ""} {
		if got := h.confirmApp(tom, code, batch); got.Outcome != policy.Enrolled || got.Codes != nil {
			t.Errorf("%s: %+v %v", name, got.Result, got.Codes)
		}
	}
	h.move(time.Minute)
	if got := h.confirmApp(tom, code, "form"); got.Outcome != policy.Enrolled || got.Codes != nil {
		t.Errorf("a minute later: %+v %v", got.Result, got.Codes)
	}
	if len(h.audit.lines(t, "authenticator_enrolled")) != 1 {
		t.Error("enrolled more than once")
	}
	if !h.KeepsRecovery(tom, h.account(tom), first.Codes) {
		t.Error("the codes that were shown are not those of the account")
	}
}

func TestNewRecoveryCodesEndTheFormerOnes(t *testing.T) {
	h := newHouse(t)
	tom, _, old := h.enrol(h.person("tom", "browser"))
	app, err := h.RenewRecovery(t.Context(), tom, "form")
	if err != nil || app.Outcome != policy.Accepted || len(app.Codes) != 10 || slices.Contains(app.Codes, old[0]) {
		t.Fatalf("%+v, %v", app.Result, err)
	}
	if again, err := h.RenewRecovery(t.Context(), tom, "form"); err != nil || again.Outcome != policy.AcceptedAgain || !slices.Equal(again.Codes, app.Codes) {
		t.Errorf("the double click: %+v, %v", again.Result, err)
	}
	h.settle(tom) // a message in hand while the clock jumps would be taken for one whose worker died
	h.move(2 * time.Minute)
	if again, err := h.RenewRecovery(t.Context(), tom, "form"); err != nil || again.Outcome != policy.Accepted || slices.Equal(again.Codes, app.Codes) {
		t.Errorf("the same form later makes others: %+v, %v", again.Result, err)
	} else {
		app = again
	}
	h.promptApp(tom)
	if e := h.enterApp(tom, old[0]); e.Outcome != policy.WrongCode {
		t.Errorf("a former one: %+v", e.Result)
	}
	if e := h.enterApp(tom, strings.ToLower(app.Codes[9])); e.Outcome != policy.Accepted {
		t.Errorf("a new one: %+v", e.Result)
	}
	h.settle(tom)
	// The clock may have jumped while one was in hand: then it went out again, as the same message.
	told := map[string]string{}
	for _, l := range h.courier.all(policy.SendNotice) {
		told[l.ID] = l.ContactKind
	}
	if kinds := slices.Sorted(maps.Values(told)); !slices.Equal(kinds, []string{"authenticator_codes", "authenticator_codes", "authenticator_enrolled"}) {
		t.Errorf("told: %v", kinds)
	}
	if h.KeepsRecovery(tom, h.account(tom), app.Codes) || h.KeepsRecovery(tom, h.account(tom), app.Codes[:9]) {
		t.Error("a set with a used code is taken for a whole one")
	}
	h.move(10 * time.Minute)
	if late, err := h.RenewRecovery(t.Context(), tom, "form 2"); err != nil || late.Outcome != policy.NotFresh || late.Codes != nil {
		t.Errorf("without a fresh code: %+v, %v", late.Result, err)
	}
}

// Whoever makes new codes over and over tells each contact once, as long as it has not heard of it.
func TestChangesOfAnAppAreToldOnceAtATime(t *testing.T) {
	h := newHouse(t)
	tom, _, _ := h.enrol(h.person("tom", "browser"))
	h.stop()
	h.change(tom, func(a *policy.Account) { a.Outbox = nil })
	for i := range 3 {
		if app, err := h.RenewRecovery(t.Context(), tom, fmt.Sprint("form ", i)); err != nil || app.Outcome != policy.Accepted {
			t.Fatalf("%+v, %v", app.Result, err)
		}
	}
	if app, err := h.RemoveAuthenticator(t.Context(), tom); err != nil || app.Outcome != policy.Accepted {
		t.Fatalf("%+v, %v", app.Result, err)
	}
	var told []policy.Kind
	for _, s := range h.account(tom).Outbox {
		told = append(told, s.About)
	}
	if !slices.Equal(told, []policy.Kind{policy.AppNewCodes, policy.AppRemoved}) {
		t.Errorf("told: %v", told)
	}
}

// L06: another factor removes it, and all contacts are told.
func TestRemovingTheApp(t *testing.T) {
	h := newHouse(t)
	tom, p, _ := h.enrol(h.person("tom", "browser"))
	h.move(10 * time.Minute)
	h.promptApp(tom)
	if e := h.enterApp(tom, p.code(0)); e.Outcome != policy.Accepted {
		t.Fatalf("%+v", e.Result)
	}
	tom = h.next(tom)
	if app, err := h.RemoveAuthenticator(t.Context(), tom); err != nil || app.Outcome != policy.NotFresh || !h.account(tom).HasAuthenticator() {
		t.Errorf("with its own code: %+v, %v", app.Result, err)
	}
	h.ask(tom, tom.Email)
	h.accept(tom, tom.Email)
	tom = h.next(tom)
	if app, err := h.RemoveAuthenticator(t.Context(), tom); err != nil || app.Outcome != policy.Accepted || h.account(tom).HasAuthenticator() {
		t.Errorf("with a code of a contact: %+v, %v", app.Result, err)
	}
	h.settle(tom)
	if n := h.courier.all(policy.SendNotice); n[len(n)-1].ContactKind != "authenticator_removed" || n[len(n)-1].To != tom.Email {
		t.Errorf("told: %+v", n)
	}
	if len(h.audit.lines(t, "authenticator_removed")) != 1 {
		t.Error("not in the audit")
	}
	if h.promptApp(tom).Outcome != policy.Gone {
		t.Error("it can still be asked for")
	}
}

func TestSayingLaterAndNever(t *testing.T) {
	h := newHouse(t)
	tom := h.person("tom", "browser")
	h.confirm(tom, tom.Email)
	offered := func() bool { return h.rules.OffersAuthenticator(h.account(tom), h.Now()) }
	if !offered() {
		t.Fatal("not offered after the first proof")
	}
	if err := h.DeclineAuthenticator(t.Context(), tom, false); err != nil || offered() {
		t.Errorf("later: %v", err)
	}
	h.move(30*day - time.Millisecond)
	if offered() {
		t.Error("too early")
	}
	h.move(time.Millisecond)
	if !offered() {
		t.Error("not offered again")
	}
	if err := h.DeclineAuthenticator(t.Context(), tom, true); err != nil {
		t.Error(err)
	}
	h.move(10 * 365 * day)
	if offered() {
		t.Error("offered after \"not needed\"")
	}
	if n := len(h.audit.lines(t, "authenticator_declined")); n != 2 {
		t.Errorf("%d lines in the audit", n)
	}
}

// A code for another account's app, another realm's, or none is just wrong; and nobody can spend another's tries.
func TestAppsBelongToOneAccount(t *testing.T) {
	h := newHouse(t)
	tom, p, codes := h.enrol(h.person("tom", "browser"))
	eve, _, _ := h.enrol(h.person("eve", "her browser"))
	h.promptApp(eve)
	for _, code := range []string{p.code(0), codes[0]} {
		if e := h.enterApp(eve, code); e.Outcome != policy.WrongCode {
			t.Errorf("%+v", e.Result)
		}
	}
	ann := h.person("ann", "browser")
	if e := h.enterApp(ann, p.code(0)); e.Outcome != policy.NoCode {
		t.Errorf("without an app: %+v", e.Result)
	}
	if h.promptApp(ann).Outcome != policy.Gone || h.account(tom).Authenticator.WrongInARow != 0 {
		t.Error("ann has a prompt, or tom lost tries")
	}
}
