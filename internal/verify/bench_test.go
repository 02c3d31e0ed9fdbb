package verify

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/policy"
)

// BenchmarkConfirmations enters right codes of many people at the same time. Each is one change of one account, synced to
// the disk, or run by Redis, before it is answered.
func BenchmarkConfirmations(b *testing.B) {
	for _, kind := range []struct {
		name string
		open func(b *testing.B) store.Store
	}{
		{"bolt", func(b *testing.B) store.Store {
			return store.NewBolt(store.BoltConfig{Path: filepath.Join(b.TempDir(), "accounts.db")})
		}},
		{"redis synced always", func(b *testing.B) store.Store {
			return store.NewRedis(store.RedisConfig{Addresses: []string{redistest.Start(b).Addr}})
		}},
		{"redis synced every second", func(b *testing.B) store.Store {
			return store.NewRedis(store.RedisConfig{Addresses: []string{redistest.Start(b, "--appendfsync", "everysec").Addr}})
		}},
	} {
		b.Run(kind.name, func(b *testing.B) { benchmarkConfirmations(b, kind.open(b)) })
	}
}

func benchmarkConfirmations(b *testing.B, accounts store.Store) {
	b.Cleanup(func() { _ = accounts.Close() })
	keys := drawKeys(b, rand.Reader)
	quiet := slog.New(slog.DiscardHandler)
	f := New(Config{Store: accounts, Keys: keys, Registry: &memory{}, Now: time.Now, Rand: rand.Reader, Log: quiet, Audit: quiet})
	rules := policy.Defaults()
	now := time.Now()
	person := func(i int64) (Visitor, *policy.Account) {
		v := Visitor{Realm: realm, User: fmt.Sprint("person", i), Session: []byte("session"), Next: []byte("next")}
		return v, &policy.Account{Realm: v.Realm, User: v.User, Since: now,
			Contacts: []policy.Contact{{ID: "c1", Kind: policy.Email, Address: policy.Address(fmt.Sprintf("person.%d@example.com", i)), Added: now}},
			Challenge: &policy.Challenge{Nonce: []byte(v.User), KeyID: keys.IDs()[0], Contact: "c1", Channel: policy.ByEmail,
				Session: v.Session, Started: now, Ends: now.Add(time.Hour)}}
	}
	var seeded, next, wrong atomic.Int64
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) { // as many people as there will be confirmations
		for pb.Next() {
			_, a := person(seeded.Add(1))
			if err := f.Seed(b.Context(), *a); err != nil {
				b.Error(err)
			}
		}
	})
	b.ResetTimer()
	began := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v, a := person(next.Add(1))
			code, err := f.code(a, a.Challenge)
			if err != nil {
				b.Error(err)
			}
			if e, err := f.Enter(b.Context(), &rules, v, code); err != nil || e.Outcome != policy.Accepted {
				wrong.Add(1)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "confirmations/s")
	if n := wrong.Load(); n > 0 {
		b.Errorf("%d of %d were not confirmed", n, b.N)
	}
}

// BenchmarkDecide decides for somebody who is remembered: the whole of what a verified person's request costs beside
// finding out who they are.
func BenchmarkDecide(b *testing.B) {
	c := newCache()
	f := &Flow{Config: Config{Now: time.Now}, cache: c}
	now := time.Now()
	rules := policy.Defaults()
	trusting := rules
	trusting.DeviceCode = true
	v := Visitor{Realm: realm, User: "ann"}
	laptop := v
	laptop.Device = []byte("0123456789abcdef")
	facts := policy.Facts{Confirmed: now, Devices: []policy.Device{{ID: laptop.Device, Trusted: now, Used: now, Ends: now.Add(time.Hour)}}}
	for _, kind := range []struct {
		name  string
		rules *policy.Rules
		v     Visitor
	}{{"verified", &rules, v}, {"trusted browser", &trusting, laptop}} {
		b.Run(kind.name, func(b *testing.B) {
			c.put(c.ticket(accountPrefix+"ann", time.Now()), &kind.v, &policy.Account{}, facts, false)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%1_000_000 == 0 { // what is remembered lasts a minute
					c.put(c.ticket(accountPrefix+"ann", time.Now()), &kind.v, &policy.Account{}, facts, false)
				}
				d, err := f.Decide(b.Context(), kind.rules, kind.v, policy.Request{Kind: policy.Opening, Realm: realm, User: "ann"})
				if err != nil || d.Action != policy.Pass {
					b.Fatalf("%+v, %v", d, err)
				}
			}
		})
	}
}

// BenchmarkCode derives the code of a challenge.
func BenchmarkCode(b *testing.B) {
	keys := drawKeys(b, rand.Reader)
	f := &Flow{Config: Config{Keys: keys}}
	a := &policy.Account{Realm: realm, User: "ann", Contacts: []policy.Contact{{ID: "c1"}}}
	c := &policy.Challenge{Nonce: []byte("0123456789abcdef"), KeyID: keys.IDs()[0], Contact: "c1", Channel: policy.ByEmail}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.code(a, c); err != nil {
			b.Fatal(err)
		}
	}
}
