// Command killed is one process of the kill tests: a flow on a bbolt file with real SMTP, which dies where
// CONTACTGATE_FAULT says when it is built with -tags faults. See killed_test.go.
//
//	killed ask         asks for one code and waits to hear what became of it
//	killed work        takes messages until its input ends
//	killed enter CODE  enters a code
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

const address = "ann.long@example.com"

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	folder := os.Getenv("KILLED_FOLDER")
	rules := policy.Defaults()
	lifetime, err := time.ParseDuration(os.Getenv("KILLED_LIFETIME"))
	if err != nil {
		return err
	}
	rules.Limits.CodeLifetime = lifetime
	flow, err := newFlow(folder)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		flow.Run(ctx)
	}()
	err = act(ctx, flow, &rules, args)
	stop()
	<-done
	return errors.Join(err, flow.Store.Close())
}

func newFlow(folder string) (*verify.Flow, error) {
	ring, err := os.ReadFile(filepath.Join(folder, "ring"))
	if err != nil {
		return nil, err
	}
	keys, err := verify.ParseKeyring(string(ring))
	if err != nil {
		return nil, err
	}
	smtp, err := delivery.NewSMTP(delivery.SMTPConfig{Address: os.Getenv("KILLED_SMTP"), From: "Example <noreply@example.com>"})
	if err != nil {
		return nil, err
	}
	words, err := pages.New(pages.Config{Brand: pages.Brand{Name: "Example"}})
	if err != nil {
		return nil, err
	}
	lease, err := time.ParseDuration(os.Getenv("KILLED_LEASE"))
	if err != nil {
		return nil, err
	}
	out := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return verify.New(verify.Config{
		Store: store.NewBolt(store.BoltConfig{Path: filepath.Join(folder, "accounts.db")}), Keys: keys, Registry: registry(folder),
		Courier: courier{delivery.NewComposer(words), smtp}, Now: time.Now, Rand: rand.Reader, Log: out, Audit: out, Lease: lease,
	}), nil
}

func act(ctx context.Context, flow *verify.Flow, rules *policy.Rules, args []string) error {
	v := verify.Visitor{Realm: "example", User: "ann", Email: address, Language: "en", Host: "app.example",
		Session: flow.SessionHash("example", "ann", []byte("browser")), Next: flow.SessionHash("example", "ann", []byte("next"))}
	switch args[0] {
	case "ask":
		verdict, err := flow.Decide(ctx, rules, v, policy.Request{Kind: policy.Opening, Realm: v.Realm, User: v.User})
		if err != nil {
			return err
		}
		sent, err := flow.Start(ctx, rules, v, flow.Handle(v, verdict.Account.Contacts[0].ID), policy.ByEmail, address, "/app")
		fmt.Println("sent", sent.Outcome, sent.State)
		return err
	case "work":
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "enter":
		e, err := flow.Enter(ctx, rules, v, args[1])
		fmt.Println(map[bool]string{true: "accepted", false: "refused"}[e.Outcome == policy.Accepted], e.Outcome)
		return err
	}
	return fmt.Errorf("unknown word %q", args[0])
}

// courier is that of the real app, with one site.
type courier struct {
	words *delivery.Composer
	smtp  *delivery.SMTP
}

func (c courier) Deliver(ctx context.Context, l verify.Letter) policy.Delivery {
	m, err := c.words.Compose(delivery.Letter{ID: l.ID, Kind: l.Kind, Channel: l.Channel, To: l.To, Language: l.Language, Code: l.Code,
		Host: l.Host, At: l.At, Ends: l.Ends})
	if err == nil {
		err = c.smtp.Send(ctx, m)
	}
	switch {
	case err == nil:
		return policy.TakenOver
	case errors.Is(err, delivery.ErrRefused):
		return policy.RefusedForGood
	case errors.Is(err, delivery.ErrTryLater):
		return policy.AskedToWait
	case errors.Is(err, delivery.ErrUnreachable):
		return policy.NotReached
	}
	return policy.LostAnswer
}

// registry is a file beside the store.
type registry string

func (r registry) path() string { return filepath.Join(string(r), "store.json") }

func (r registry) Load(context.Context) ([]byte, error) {
	text, err := os.ReadFile(r.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

func (r registry) Save(_ context.Context, text []byte) error {
	return os.WriteFile(r.path(), text, 0o600)
}

func (r registry) Lock(context.Context) (func(), error) { return func() {}, nil }
