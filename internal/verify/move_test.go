package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/policy"
)

// relocate copies from one place to another, with the ring of the house.
func (h *house) relocate(from, to store.Store, changes ...func(m *Move)) (Moved, error) {
	h.Helper()
	keys, err := ParseKeyring(h.ring)
	if err != nil {
		h.Fatal(err)
	}
	m := Move{From: from, To: to, Keys: keys, Say: func(MoveStep, int, int) {}}
	for _, change := range changes {
		change(&m)
	}
	return m.Run(h.Context())
}

// peopled is a house in which people have been: some are verified, some not, one's message waits, limits were counted.
func peopled(t *testing.T, kind storeKind) *house {
	h := newHouse(t, func(h *house) { h.kind = kind })
	for i := range 30 {
		v := h.person(fmt.Sprintf("user%d", i), "browser")
		switch i % 3 {
		case 0:
			h.confirm(v, v.Email)
		case 1:
			h.open(v)
		case 2:
			h.add(v, fmt.Sprintf("typed%d@example.org", i))
		}
	}
	return h
}

// at opens the store of another kind in the house's folder.
func (h *house) at(kind storeKind, name string) store.Store {
	s := kind.open(h, filepath.Join(h.folder, name), h.Now)
	h.Cleanup(func() { _ = s.Close() })
	return s
}

func readOnly(s store.Store) store.Store {
	s.(interface{ ReadOnly() }).ReadOnly()
	return s
}

func contentOf(t *testing.T, s store.Store) map[string]store.Record {
	t.Helper()
	all := map[string]store.Record{}
	for after := ""; ; {
		page, err := s.Scan(t.Context(), "", after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		for _, item := range page {
			all[item.Key] = item.Record
		}
		after = page[len(page)-1].Key
	}
}

func wantSameContent(t *testing.T, a, b store.Store) {
	t.Helper()
	x, y := contentOf(t, a), contentOf(t, b)
	if len(x) != len(y) {
		t.Errorf("%d and %d records", len(x), len(y))
	}
	for key, r := range x {
		if !sameRecord(r, y[key]) {
			t.Errorf("%s is another one", key)
		}
	}
}

// TestMovingHouse goes from a file to Redis and back to another file. People, limits and the store's name go along; what
// is moved from stays as it is to the byte; a gate works there as if nothing had happened.
func TestMovingHouse(t *testing.T) {
	onServer := onRedis(loneRedis(t))
	h := peopled(t, onBolt)
	ann := h.person("user0", "browser")
	was := h.registry.remembers(t)
	h.end()
	file := filepath.Join(h.folder, "accounts.db")
	before := sumOf(t, file)

	first := h.at(onServer, "redis")
	source := readOnly(onBolt.open(h, h.folder, h.Now))
	moved, err := h.relocate(source, first)
	if err != nil {
		t.Fatal(err)
	}
	if moved.Records < 30 || moved.Store.ID != was.ID || !moved.Store.Born.Equal(was.Born) || moved.Resumed {
		t.Errorf("moved %+v, the store was %+v", moved, was)
	}
	wantSameContent(t, source, first)
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if sumOf(t, file) != before {
		t.Error("the file that was moved from has changed")
	}

	back := h.at(onBolt, "back")
	if _, err := h.relocate(readOnly(h.at(onServer, "redis")), back); err != nil {
		t.Fatal(err)
	}
	wantSameContent(t, first, back)
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
	h.folder = filepath.Join(h.folder, "back")
	h.start()
	if v := h.open(ann); v.Standing != policy.Verified {
		t.Errorf("after two moves: %+v", v.Decision)
	}
	if now := h.registry.remembers(t); now.ID != was.ID {
		t.Errorf("the store is %s, it was %s", now.ID, was.ID)
	}
}

func sumOf(t *testing.T, file string) [32]byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(content)
}

func TestMoveThatMustNotBe(t *testing.T) {
	server := loneRedis(t)
	h := peopled(t, onBolt)
	h.end()
	source := readOnly(onBolt.open(h, h.folder, h.Now))
	t.Cleanup(func() { _ = source.Close() })
	refused := func(what, want string, from, to store.Store, changes ...func(m *Move)) {
		t.Helper()
		if _, err := h.relocate(from, to, changes...); !errors.Is(err, ErrNotMoved) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	full := h.at(onRedis(server), "full")
	if err := put(t.Context(), full, store.Item{Key: "a/x", Record: store.Record{Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	refused("into a store that is not empty", "is not empty", source, full)
	if n := len(contentOf(t, full)); n != 1 {
		t.Errorf("%d records are in the store that was refused", n)
	}
	refused("from an empty one", "no accounts", readOnly(h.at(onRedis(server), "none")), h.at(onBolt, "x"))
	refused("with another ring", "key ring", source, h.at(onBolt, "y"), func(m *Move) {
		ring, err := NewKeyring(strings.NewReader(strings.Repeat("0123456789abcdef", 8)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Keys, err = ParseKeyring(ring); err != nil {
			t.Fatal(err)
		}
	})

	running := peopled(t, storeKind{name: "redis", open: onRedis(server).open})
	time.Sleep(200 * time.Millisecond) // it listens by now
	used := readOnly(running.kind.open(running, running.folder, running.Now))
	t.Cleanup(func() { _ = used.Close() })
	if _, err := running.relocate(used, h.at(onBolt, "z")); !errors.Is(err, ErrNotMoved) || !strings.Contains(err.Error(), "running gates use the store") {
		t.Errorf("from a store that is used: %v", err)
	}
}

// crooked writes something else than it is told, once.
type crooked struct {
	store.Store
	done bool
}

func (c *crooked) Update(ctx context.Context, key string, fn func(store.Record) (store.Record, error)) error {
	return c.Store.Update(ctx, key, func(old store.Record) (store.Record, error) {
		r, err := fn(old)
		if strings.HasPrefix(key, accountPrefix) && !c.done {
			c.done = true
			r.Value = append([]byte("x"), r.Value...)
		}
		return r, err
	})
}

// Red when the copy is not compared.
func TestMoveLooksAtEveryRecord(t *testing.T) {
	h := peopled(t, onBolt)
	h.end()
	source := readOnly(onBolt.open(h, h.folder, h.Now))
	t.Cleanup(func() { _ = source.Close() })
	target := h.at(onBolt, "new")
	if _, err := h.relocate(source, &crooked{Store: target}); !errors.Is(err, ErrNotMoved) || !strings.Contains(err.Error(), "is another one") {
		t.Errorf("a record was damaged on its way: %v", err)
	}
	if r, err := target.Get(t.Context(), storeIDKey); err != nil || r.Value != nil {
		t.Errorf("the damaged store has a name: %v", err)
	}
}

// A move that breaks off goes on, even if the old store was used in between; and until then no gate takes the new one.
func TestMoveGoesOnAfterItBrokeOff(t *testing.T) {
	server := loneRedis(t)
	h := peopled(t, onBolt)
	ann, gone := h.person("user0", "browser"), h.person("user1", "browser")
	h.end()
	target := h.at(onRedis(server), "new")
	source := readOnly(onBolt.open(h, h.folder, h.Now))
	broken := errors.New("pulled the plug")
	failing := &probe{Store: target}
	var written atomic.Int64
	failing.faults(func(_ context.Context, op, key string) error {
		if op == "update" && strings.HasPrefix(key, accountPrefix) {
			if written.Add(1) > 20 {
				return broken
			}
		}
		return nil
	}, nil)
	if _, err := h.relocate(source, failing); !errors.Is(err, broken) || errors.Is(err, ErrNotMoved) {
		t.Fatalf("it broke off with %v", err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}

	elsewhere := newHouse(t, func(o *house) {
		o.ring, o.folder = h.ring, filepath.Join(h.folder, "new")
		o.kind = storeKind{name: "redis", open: func(testing.TB, string, func() time.Time) store.Store {
			return onRedis(server).open(t, filepath.Join(h.folder, "new"), h.Now)
		}}
	})
	no := new(NotReady)
	if err := elsewhere.Admit(t.Context()); !errors.As(err, &no) || !strings.Contains(no.Remedy, "gate migrate again") {
		t.Errorf("a gate on half a store: %v", err)
	}
	elsewhere.end()

	h.start()
	h.change(ann, func(a *policy.Account) { a.Contacts[0].Retired = true })
	if err := h.Store.Delete(t.Context(), h.accountKey(gone.Realm, gone.User)); err != nil {
		t.Fatal(err)
	}
	h.end()
	source = readOnly(onBolt.open(h, h.folder, h.Now))
	t.Cleanup(func() { _ = source.Close() })
	moved, err := h.relocate(source, target)
	if err != nil || !moved.Resumed {
		t.Fatalf("%+v, %v", moved, err)
	}
	wantSameContent(t, source, target)
}
