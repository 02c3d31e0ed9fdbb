package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/policy"
)

func (h *house) refused(fatal bool, words ...string) *NotReady {
	h.Helper()
	h.move(2 * time.Second)
	err := h.Admit(h.Context())
	var no *NotReady
	if !errors.As(err, &no) || !errors.Is(err, ErrUnavailable) || no.Fatal != fatal {
		h.Fatalf("Admit: %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			h.Errorf("%q does not name %q", err, w)
		}
	}
	ann := h.person("ann", "browser")
	if v, err := h.Decide(h.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) || v.Action != policy.Refuse {
		h.Errorf("deciding all the same: %+v, %v", v.Decision, err)
	}
	return no
}

func (h *house) name() StoreID {
	h.Helper()
	id, err := h.StoreName(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return id
}

// emptied takes the file away, as a lost disk does.
func (h *house) emptied() {
	h.Helper()
	h.end()
	if err := os.Rename(filepath.Join(h.folder, "accounts.db"), filepath.Join(h.folder, "old.db")); err != nil {
		h.Fatal(err)
	}
	h.start()
}

func TestFirstStartNamesTheStoreAndRemembersIt(t *testing.T) {
	h := newHouse(t)
	h.open(h.person("ann", "browser"))
	in, out := h.name(), h.registry.remembers(t)
	if in.ID == "" || in.ID != out.ID || !in.Born.Equal(noon) || in.Ring != h.Keys.Fingerprint() || !slices.Equal(in.Keys, h.Keys.IDs()) {
		t.Errorf("in the store %+v, remembered %+v", in, out)
	}
	h.restart()
	h.move(time.Hour)
	h.open(h.person("ann", "browser"))
	if again := h.name(); again.ID != in.ID || !again.Born.Equal(noon) {
		t.Errorf("after a restart: %+v", again)
	}
}

func TestAnEmptiedStoreIsNotReady(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	before := h.name()
	h.emptied()
	no := h.refused(false, before.ID, "empty", "2026-11-23")
	if !strings.Contains(no.Remedy, "--accept-empty-store") {
		t.Errorf("remedy: %s", no.Remedy)
	}
	if s, err := h.Add(t.Context(), &h.rules, ann, "x@example.com", policy.ByEmail, ""); !errors.Is(err, ErrUnavailable) {
		t.Errorf("adding: %+v, %v", s, err)
	}
	if _, err := h.Enter(t.Context(), &h.rules, ann, "123456"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("entering: %v", err)
	}
	if h.name().ID != "" {
		t.Error("an emptied store was given a name silently")
	}
	h.restart()
	h.refused(false, before.ID)
	if err := h.AcceptEmptyStore(t.Context(), "disk replaced"); err != nil {
		t.Fatal(err)
	}
	if lines := h.audit.lines(t, "store_accepted", "reason=disk replaced"); len(lines) != 1 {
		t.Errorf("%d lines of audit", len(lines))
	}
	if v := h.open(ann); v.Standing != policy.Due {
		t.Errorf("in the new store: %+v", v.Decision)
	}
	if now := h.name(); now.ID == before.ID || now.ID != h.registry.remembers(t).ID {
		t.Errorf("%+v", now)
	}
	h.restart()
	h.open(ann)
	// The old file come back is the other store now.
	h.end()
	if err := os.Rename(filepath.Join(h.folder, "old.db"), filepath.Join(h.folder, "accounts.db")); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.refused(false, before.ID, h.registry.remembers(t).ID)
}

func TestTheRefusalEndsWithItsCause(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	h.open(h.person("ann", "browser"))
	h.restart()
	h.probe.faults(func(context.Context, string, string) error { return errors.New("away") }, nil)
	h.refused(false, "away")
	h.probe.faults(nil, nil)
	// It is believed for a second, so that a store in trouble is not asked by everybody.
	before := h.probe.asked()
	if h.Admit(t.Context()) == nil || h.probe.asked() != before {
		t.Error("the store was asked at once again")
	}
	h.move(time.Second)
	if err := h.Admit(t.Context()); err != nil {
		t.Errorf("a second later: %v", err)
	}
	// A clock that steps back must not make it last.
	h.restart()
	h.probe.faults(func(context.Context, string, string) error { return errors.New("away") }, nil)
	h.refused(false, "away")
	h.probe.faults(nil, nil)
	h.move(-time.Hour)
	if err := h.Admit(t.Context()); err != nil {
		t.Errorf("after the clock stepped back: %v", err)
	}
}

func TestARingOfAnotherStoreIsRefusedAndBothAreNamed(t *testing.T) {
	h := newHouse(t)
	h.open(h.person("ann", "browser"))
	right, own := h.ring, h.Keys.Fingerprint()
	other, err := NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.ring = other
	h.restart()
	h.refused(true, own, h.Keys.Fingerprint())
	if err := h.AcceptEmptyStore(t.Context(), "please"); err == nil {
		t.Error("a ring that opens nothing was accepted on a word")
	}
	h.ring = right
	h.restart()
	h.open(h.person("ann", "browser"))
}

func TestAStoreOfALostRegistryIsAdopted(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.confirm(ann, ann.Email)
	id := h.name().ID
	h.registry = &memory{}
	h.restart()
	if v := h.open(ann); v.Standing != policy.Verified || h.registry.remembers(t).ID != id || h.name().ID != id {
		t.Errorf("%+v, remembered %q", v.Decision, h.registry.remembers(t).ID)
	}
}

// rotate puts a new key in front; forget takes out all but the newest.
func (h *house) rotate() {
	h.Helper()
	text, err := AddKey(h.ring, rand.Reader)
	if err != nil {
		h.Fatal(err)
	}
	h.ring = text
}

func (h *house) forget() {
	h.Helper()
	var kept []string
	keys := 0
	for line := range strings.Lines(h.ring) {
		if strings.HasPrefix(line, "key ") {
			if keys++; keys > 1 {
				continue
			}
		}
		kept = append(kept, line)
	}
	h.ring = strings.Join(kept, "")
}

// resealLate tries to do without the old key, which is refused, and then seals everything anew.
func (h *house) resealLate(v Visitor, old string) {
	h.Helper()
	both := h.ring
	h.forget()
	h.restart()
	h.refused(true, old)
	h.ring = both
	h.restart()
	h.open(v)
	if err := h.Reseal(h.Context()); err != nil {
		h.Fatal(err)
	}
}

func TestRotationKeepsCodesAndSessionsAndEndsWithReseal(t *testing.T) {
	h := newHouse(t)
	ann, bob := h.person("ann", "browser"), h.person("bob", "browser")
	h.confirm(bob, bob.Email)
	h.open(ann)
	h.ask(ann, ann.Email)
	handle, token, back := h.Handle(ann, h.contact(ann, ann.Email).ID), h.FormToken(ann, "enter"), h.ReturnToken(ann, "/app?x=1")
	session, old := ann.Session, h.Keys.IDs()[0]

	h.rotate()
	h.restart()
	ann = h.person("ann", "browser")
	if string(ann.Session) != string(session) || h.Handle(ann, h.contact(ann, ann.Email).ID) != handle || !h.CheckForm(ann, "enter", token) {
		t.Error("a session, a handle or a form did not outlive the rotation")
	}
	if target, ok := h.OpenReturn(ann, back); !ok || target != "/app?x=1" {
		t.Errorf("return address: %q, %v", target, ok)
	}
	if h.Keys.IDs()[0] == old || h.Keys.IDs()[1] != old {
		t.Fatalf("the ring: %v", h.Keys.IDs())
	}
	h.move(time.Minute)
	h.again(ann) // the same code, by the old key
	codes := h.courier.all(policy.SendCode)
	if last := codes[len(codes)-1]; last.Code != codes[len(codes)-2].Code {
		t.Error("the code changed with the key")
	}
	h.accept(ann, ann.Email)

	// The old key still opens bob's record: it cannot go.
	if id := h.name(); !slices.Contains(id.Keys, old) || !slices.Contains(id.Keys, h.Keys.IDs()[0]) {
		t.Errorf("keys in use: %v", id.Keys)
	}
	h.resealLate(ann, old)
	if id := h.name(); len(id.Keys) != 1 || id.Keys[0] != h.Keys.IDs()[0] {
		t.Errorf("after sealing anew: %v", id.Keys)
	}
	items, err := h.probe.Scan(t.Context(), "", "", 1000)
	if err != nil || len(items) < 4 {
		t.Fatalf("%d records, %v", len(items), err)
	}
	for _, i := range items {
		if i.Key != storeIDKey && !h.Keys.sealedWithNewest(i.Value) {
			t.Errorf("%s is sealed with an old key", i.Key)
		}
	}
	h.forget()
	h.restart()
	for _, v := range []Visitor{ann, bob} {
		if got := h.open(v); got.Standing != policy.Verified {
			t.Errorf("%s without the old key: %+v", v.User, got.Decision)
		}
	}
}

// A code whose key is gone cannot be compared: that is no wrong code, is not counted, and the next one is new.
func TestACodeWhoseKeyIsGone(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ask(ann, ann.Email)
	h.rotate()
	h.restart()
	h.open(ann)
	if err := h.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.forget()
	h.restart()
	if e, err := h.Enter(t.Context(), &h.rules, ann, h.courier.code(t, ann.Email)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%+v, %v", e.Result, err)
	}
	if a := h.account(ann); len(a.Wrong) != 0 || a.Challenge.Wrong != 0 {
		t.Error("it was counted")
	}
	h.move(time.Minute)
	if s := h.again(ann); s.Outcome != policy.Started || s.State != policy.SendAccepted {
		t.Fatalf("sending again: %+v", s)
	}
	h.accept(ann, ann.Email)
}

func TestResealGoesOnWhereItStopped(t *testing.T) {
	h := newHouse(t, withoutWorkers, inMemory)
	for i := range 250 {
		if err := h.Seed(t.Context(), policy.Account{Realm: realm, User: string(rune('a'+i%26)) + strings.Repeat("x", i), Since: noon}); err != nil {
			t.Fatal(err)
		}
	}
	h.open(h.person("ann", "browser"))
	h.rotate()
	h.restart()
	h.open(h.person("ann", "browser"))
	stumbled, n := errors.New("killed"), 0
	h.probe.faults(func(_ context.Context, op, key string) error {
		if n++; op == "update" && n > 120 {
			return stumbled
		}
		return nil
	}, nil)
	if err := h.Reseal(t.Context()); !errors.Is(err, stumbled) {
		t.Fatalf("%v", err)
	}
	h.probe.faults(nil, nil)
	if id := h.name(); len(id.Keys) != 2 {
		t.Errorf("half done, and the old key is given up: %v", id.Keys)
	}
	h.restart()
	h.open(h.person("ann", "browser"))
	if err := h.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := h.name(); len(id.Keys) != 1 {
		t.Errorf("%v", id.Keys)
	}
	before := h.probe.updates.Load()
	if err := h.Reseal(t.Context()); err != nil || h.probe.updates.Load() > before+2 { // the name of the store, twice
		t.Errorf("nothing was left to do: %v, %d updates", err, h.probe.updates.Load()-before)
	}
}

// Another node may have begun with a newer key while this one was still sealing with its own.
func TestResealLeavesKeysThatItDoesNotKnow(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	h.open(h.person("ann", "browser"))
	h.rotate()
	h.restart()
	h.open(h.person("ann", "browser"))
	mine := h.Keys.IDs()[0]
	err := h.probe.Update(t.Context(), storeIDKey, func(old store.Record) (store.Record, error) {
		return store.Record{Value: []byte(strings.Replace(string(old.Value), `"keys":[`, `"keys":["newer",`, 1))}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := h.name(); !slices.Contains(id.Keys, "newer") || !slices.Contains(id.Keys, mine) || len(id.Keys) != 2 {
		t.Errorf("%v", id.Keys)
	}
}

// A node that was not yet told of the new key seals with the old one after another has sealed everything anew. Once it is told,
// the old one counts as used again, until that is sealed anew, too.
func TestAKeyThatALateNodeSealedWithCannotGo(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann := h.person("ann", "browser")
	h.open(ann)
	late, old := h.Keys, h.Keys.IDs()[0]
	h.rotate()
	h.restart()
	h.open(ann)
	if err := h.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := h.accountKey(ann.Realm, ann.User)
	err := h.probe.Update(t.Context(), key, func(old store.Record) (store.Record, error) {
		plain, err := h.Keys.open(key, old.Value)
		if err != nil {
			return old, err
		}
		old.Value, err = late.seal(key, plain, rand.Reader)
		return old, err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.restart() // as the late node, with the new ring
	h.open(ann)
	if id := h.name(); !slices.Contains(id.Keys, old) {
		t.Errorf("it may have sealed with %s, and the name says %v", old, id.Keys)
	}
	h.resealLate(ann, old)
	h.forget()
	h.restart()
	h.open(ann)
}

// Of nodes that seal anew at the same time the one that began last says that it is done: it may have sealed with the older key
// until it began.
func TestWhoBeganLastSaysThatAKeyCanGo(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann := h.person("ann", "browser")
	h.open(ann)
	old := h.Keys.IDs()[0]
	h.rotate()
	h.restart()
	h.open(ann)
	another := false
	h.probe.faults(func(_ context.Context, op, key string) error {
		if op == "update" && strings.HasPrefix(key, accountPrefix) && !another { // another node begins
			another = true
			if err := h.nameStore(t.Context(), nil); err != nil {
				t.Error(err)
			}
			h.turn.Add(-1)
		}
		return nil
	}, nil)
	if err := h.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.probe.faults(nil, nil)
	if id := h.name(); !another || !slices.Contains(id.Keys, old) {
		t.Errorf("%v (%v): the other one is not done", id.Keys, another)
	}
	if err := h.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := h.name(); slices.Contains(id.Keys, old) {
		t.Errorf("all are done: %v", id.Keys)
	}
}

// A key that comes last opens and has sealed nothing: nodes that do not have it yet are not refused.
func TestAKeyInReserveIsNotOneThatSealed(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	h.open(h.person("ann", "browser"))
	without := h.ring
	h.rotate()
	lines := strings.SplitAfter(h.ring, "\n")
	lines[1], lines[2] = lines[2], lines[1]
	h.ring = strings.Join(lines, "")
	h.restart()
	h.open(h.person("ann", "browser"))
	h.ring = without
	h.restart()
	h.open(h.person("ann", "browser"))
}

// While a configuration takes over, the one before opens what it seals, and derives the codes that it sent.
func TestRingsThatMeet(t *testing.T) {
	text, err := NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(text string, err error) *Keyring {
		t.Helper()
		k, parsing := ParseKeyring(text)
		if err := errors.Join(err, parsing); err != nil {
			t.Fatal(err)
		}
		return k
	}
	before, after := parse(text, nil), parse(AddKey(text, rand.Reader))
	stranger := parse(NewKeyring(rand.Reader))
	sealed, err := after.seal("a/x", []byte("ann"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.open("a/x", sealed); err == nil {
		t.Fatal("opened without the key")
	}
	stranger.Meet(after)
	before.Meet(after)
	if plain, err := before.open("a/x", sealed); err != nil || string(plain) != "ann" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, ok := before.deriveFrom(after.IDs()[0], "code"); !ok || !before.has(after.IDs()[0]) {
		t.Error("no codes of the other")
	}
	if _, err := stranger.open("a/x", sealed); err == nil {
		t.Error("another installation's ring opens it")
	}
	own, err := before.seal("a/x", []byte("ann"), rand.Reader)
	if err != nil || !before.sealedWithNewest(own) || len(before.IDs()) != 1 {
		t.Errorf("it seals with another key: %v %v", before.IDs(), err)
	}
	for _, k := range []*Keyring{before, stranger} {
		k.GiveWay()
	}
	if late, err := before.seal("a/x", []byte("ann"), rand.Reader); err != nil || !after.sealedWithNewest(late) {
		t.Errorf("an older key comes back into use: %v", err)
	}
	if alone, err := stranger.seal("a/x", []byte("ann"), rand.Reader); err != nil || !stranger.sealedWithNewest(alone) {
		t.Errorf("without a newer one it has to seal with its own: %v", err)
	}
}

func TestKeyrings(t *testing.T) {
	text, err := NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	remarked := "# the key ring of example.com\n" + text
	for range 3 {
		before, err := ParseKeyring(remarked)
		if err != nil {
			t.Fatal(err)
		}
		if remarked, err = AddKey(remarked, rand.Reader); err != nil {
			t.Fatal(err)
		}
		after, err := ParseKeyring(remarked)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(after.IDs()[1:], before.IDs()) || after.Fingerprint() != before.Fingerprint() {
			t.Errorf("%v after %v", after.IDs(), before.IDs())
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for name, bad := range map[string]string{
		"empty": "", "no key": lines[0], "no index": lines[1], "two indexes": lines[0] + "\n" + text,
		"another word": text + "secret " + strings.Repeat("A", 43), "too short": lines[0] + "\nkey QUJD",
		"one byte over and over": lines[0] + "\nkey " + strings.Repeat("A", 43), "no base64": lines[0] + "\nkey ***",
	} {
		k, err := ParseKeyring(bad)
		if err == nil || k != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, secret := range []string{strings.Fields(lines[0])[1], strings.Fields(lines[1])[1]} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error quotes a secret", name)
			}
		}
	}
	other, _ := NewKeyring(rand.Reader)
	a, _ := ParseKeyring(text)
	b, _ := ParseKeyring(other)
	if a.Fingerprint() == b.Fingerprint() || string(a.Index("x")) == string(a.Index("y")) || string(a.Derive("x")[0]) == string(a.Derive("y")[0]) {
		t.Error("two secrets are one")
	}
	if _, err := AddKey("nonsense", rand.Reader); err == nil {
		t.Error("a key was added to nonsense")
	}
}

func TestTokensAreForOnePersonSessionAndAction(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann, eve := h.person("ann", "browser"), h.person("eve", "browser")
	token := h.FormToken(ann, "enter")
	noSession := ann
	noSession.Session = nil
	for name, ok := range map[string]bool{
		"eve":             h.CheckForm(eve, "enter", token),
		"another browser": h.CheckForm(h.person("ann", "other"), "enter", token),
		"another action":  h.CheckForm(ann, "later", token),
		"empty":           h.CheckForm(ann, "enter", ""),
		"no session":      h.CheckForm(noSession, "enter", h.FormToken(noSession, "enter")),
		"longer":          h.CheckForm(ann, "enter", token+"A"),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
	back := h.ReturnToken(ann, "/app?a=1&b=%2F%2Fx")
	if target, ok := h.OpenReturn(ann, back); !ok || target != "/app?a=1&b=%2F%2Fx" {
		t.Errorf("%q, %v", target, ok)
	}
	if _, ok := h.OpenReturn(eve, back); ok {
		t.Error("eve goes where ann was going")
	}
	for i := range back {
		flipped := []byte(back)
		flipped[i] ^= 1
		if target, ok := h.OpenReturn(ann, string(flipped)); ok && target != "/app?a=1&b=%2F%2Fx" {
			t.Errorf("byte %d flipped: %q", i, target)
		}
		if _, ok := h.OpenReturn(ann, back[:i]); ok {
			t.Errorf("cut after %d: accepted", i)
		}
	}
	h.move(3 * time.Second)
	if age, ok := ReturnAge(back, h.Now()); !ok || age != 3*time.Second {
		t.Errorf("age %s, %v", age, ok)
	}
	if _, ok := ReturnAge("x", h.Now()); ok {
		t.Error("nonsense has an age")
	}
	if h.SessionHash(realm, "ann", nil) != nil {
		t.Error("no session has a hash")
	}
}

// R25: a worker that is the first to ask for the store ends no process where the random source fails; the store is not used.
func TestAStoreIsNotNamedWithoutRandomness(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	h.Rand = iotest.ErrReader(errors.New("no randomness"))
	h.work.findDue(t.Context())
	if err := h.Admit(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if id := h.registry.remembers(t); id.ID != "" {
		t.Errorf("named %q", id.ID)
	}
	h.Rand = rand.Reader
	h.move(2 * time.Second)
	if err := h.Admit(t.Context()); err != nil {
		t.Error(err)
	}
}

// Somebody who goes away while the store is asked who it is has it refused to nobody else. Red when that is remembered.
func TestWhoGoesAwayHasTheStoreRefusedToNobody(t *testing.T) {
	h := newHouse(t, withoutWorkers)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ready.Store(false)
	ctx, leave := context.WithCancel(h.Context())
	h.probe.faults(func(ctx context.Context, _, _ string) error {
		leave()
		return ctx.Err()
	}, nil)
	if _, err := h.Decide(ctx, &h.rules, h.person("bob", "browser"), opening(ann)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("who went away: %v", err)
	}
	h.probe.faults(nil, nil)
	if v := h.open(ann); v.Action != policy.Ask {
		t.Errorf("the next one: %+v", v.Decision)
	}
	if strings.Contains(h.log.String(), "ERROR") {
		t.Errorf("it is said to be the store's fault: %s", h.log)
	}
}

// A store that takes long to be known leaves too little of the 2 s for a read and a write: the answer is an honest one, in time.
func TestWhoWaitsForTheStoreToBeKnownIsAnsweredInTime(t *testing.T) {
	h := newHouse(t)
	ann := h.person("ann", "browser")
	h.open(ann)
	h.ready.Store(false)
	h.admitting.Lock()
	time.AfterFunc(1100*time.Millisecond, h.admitting.Unlock)
	if v, err := h.Decide(h.Context(), &h.rules, ann, opening(ann)); !errors.Is(err, ErrUnavailable) || v.Action != policy.Refuse {
		t.Errorf("%+v, %v", v.Decision, err)
	}
	h.move(time.Second) // where the machine was so slow that the store was refused, it is asked again by then
	if v, err := h.Decide(h.Context(), &h.rules, ann, opening(ann)); err != nil || v.Action != policy.Ask {
		t.Errorf("the next one: %+v, %v", v.Decision, err)
	}
}
