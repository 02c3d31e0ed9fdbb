package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// Person is somebody to sign in as, and what happened to them before the demo began.
type Person struct {
	ID, Name string
	// Email and Phone are what the sign-in says of them; empty: nothing.
	Email, Phone string
	// Language is what their browser asks for; empty: what the browser of whoever looks at the demo asks for.
	Language string
	// Hint is what the sign-in page says of them.
	Hint string

	// shown is how long ago the gate's page was first shown to them, confirmed how long ago they entered a code.
	shown, confirmed time.Duration
}

const day = 24 * time.Hour

// People are those who can sign in.
func People() []Person {
	return []Person{
		{
			ID: "an.long", Name: "An Long", Email: "an.long@example.com",
			Hint: "Signs in for the first time since the gate is there. Is asked, and may say “not now” for seven days.",
		},
		{
			ID: "hanako.sato", Name: "佐藤 花子", Email: "hanako.sato@example.jp", Language: "ja",
			Hint: "Has said “not now” for five days. Her browser asks for Japanese. (佐藤さんには日本語で表示されます。)", shown: 5 * day,
		},
		{
			ID: "ben.ortiz", Name: "Ben Ortiz", Email: "ben.ortiz@example.com",
			Hint: "His seven days ended yesterday. Gets in by confirming his address.", shown: 8 * day,
		},
		{
			ID: "deniz.kaya", Name: "Deniz Kaya",
			Hint: "The sign-in knows no address and no number. Has to add one; any will do, for the outbox gets all messages.",
		},
		{
			ID: "haruto.tanaka", Name: "田中 陽翔", Phone: "+819012345634", Language: "ja",
			Hint: "Has a phone number and no address. This demo only calls numbers in Japan, so the call is chosen for him.",
		},
		{
			ID: "chloe.martin", Name: "Chloé Martin", Email: "chloe.martin@example.com",
			Hint: "Entered a code three weeks ago, in another browser. Enters one here, too; with the box ticked the gate never shows again in this browser.", shown: 21 * day, confirmed: 21 * day,
		},
	}
}

// State is what the gate knows of somebody now.
type State struct {
	Standing policy.Standing
	Deadline time.Time
	// Contacts is how many are on file.
	Contacts int
}

// words say it on the sign-in page.
func (s State) words(p *Person, now time.Time) string {
	switch {
	case s.Standing == policy.Verified:
		return "Confirmed"
	case s.Standing == policy.Overdue:
		return "Blocked"
	case p.Email == "" && p.Phone == "" && s.Contacts == 0:
		return "Nothing on file"
	case s.Deadline.IsZero():
		return "Never asked yet"
	}
	days := int(math.Ceil(s.Deadline.Sub(now).Hours() / 24))
	if days == 1 {
		return "1 day left"
	}
	return strconv.Itoa(days) + " days left"
}

// find is nil for somebody who is not among the people.
func find(id string) *Person {
	for _, p := range People() {
		if p.ID == id {
			return &p
		}
	}
	return nil
}

// Prepare makes what happened to the people before the demo began: the same steps that a browser would take, on the
// same store, with a clock that was right then. It needs the Store and the Keys of the configuration.
func Prepare(ctx context.Context, c verify.Config, realm string) error {
	c.Rand, c.Registry = rand.Reader, &forgetful{}
	for _, p := range People() {
		if p.shown == 0 {
			continue
		}
		if err := p.live(ctx, c, realm); err != nil {
			return fmt.Errorf("preparing %s: %w", p.ID, err)
		}
	}
	return nil
}

// live is the person's own history.
func (p Person) live(ctx context.Context, c verify.Config, realm string) error {
	post := make(mailbag, 1)
	c.Courier = post
	c.Now = func() time.Time { return time.Now().Add(-p.shown) }
	flow, rules := verify.New(c), policy.Defaults()
	v := verify.Visitor{Realm: realm, User: p.ID, Email: p.Email, Language: "en"}
	v.Session = flow.SessionHash(realm, p.ID, []byte("before the demo"))
	v.Next = flow.SessionHash(realm, p.ID, []byte("after the code"))
	seen, err := flow.See(ctx, &rules, v, policy.Request{Kind: policy.Opening, OwnPage: true, Realm: realm, User: p.ID})
	if err != nil || p.confirmed == 0 {
		return err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		flow.Run(run)
	}()
	defer func() {
		stop()
		<-done
	}()
	return p.confirm(ctx, flow, &rules, v, seen, post)
}

// confirm has a code sent and enters it.
func (p Person) confirm(ctx context.Context, flow *verify.Flow, rules *policy.Rules, v verify.Visitor, seen verify.Visit, post mailbag) error {
	if len(seen.Account.Contacts) == 0 {
		return errors.New("there is no contact to confirm")
	}
	handle := flow.Handle(v, seen.Account.Contacts[0].ID)
	sent, err := flow.Start(ctx, rules, v, handle, policy.ByEmail, p.Email, "/")
	if err != nil {
		return err
	}
	if sent.Outcome != policy.Started {
		return fmt.Errorf("no code was sent: outcome %v", sent.Outcome)
	}
	select {
	case letter := <-post:
		entered, err := flow.Enter(ctx, rules, v, letter.Code)
		if err == nil && entered.Outcome != policy.Accepted {
			err = fmt.Errorf("the code was not accepted: outcome %v", entered.Outcome)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mailbag takes the code to whoever waits for it.
type mailbag chan verify.Letter

func (m mailbag) Deliver(_ context.Context, l verify.Letter) policy.Delivery {
	select {
	case m <- l:
	default: // nobody reads the notices
	}
	return policy.TakenOver
}

// forgetful remembers the name of the store for as long as Prepare runs; the gate learns it when it opens the store.
type forgetful struct{ name []byte }

func (f *forgetful) Load(context.Context) ([]byte, error) { return f.name, nil }

func (f *forgetful) Save(_ context.Context, name []byte) error {
	f.name = name
	return nil
}

func (f *forgetful) Lock(context.Context) (func(), error) { return func() {}, nil }
