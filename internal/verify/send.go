package verify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"slices"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// patience is how long a person waits to hear that a message was handed over or was not.
const patience = 4 * time.Second

// Sent is how a wish for a code ended. When its Outcome is Started or Underway, State is what is known of the
// message; otherwise the result tells why there is none.
type Sent struct {
	policy.Result
	State   policy.SendState
	Contact policy.Contact
	// Unproved: the result is about "show that you know it", not about messages.
	Unproved bool
}

// Lookup finds the contact that a handle names in this browser session.
func (f *Flow) Lookup(ctx context.Context, v Visitor, handle string) (policy.Contact, bool, error) {
	a, err := f.Account(ctx, v)
	if err != nil || a == nil {
		return policy.Contact{}, false, err
	}
	c := f.byHandle(v, a, handle)
	if c == nil || !c.Usable(f.now()) {
		return policy.Contact{}, false, nil
	}
	return *c, true, nil
}

// Account reads the account of a visitor; nil when nobody knows them.
func (f *Flow) Account(ctx context.Context, v Visitor) (*policy.Account, error) {
	if err := f.Admit(ctx); err != nil {
		return nil, err
	}
	return f.load(ctx, f.accountKey(v.Realm, v.User))
}

// Start sends a code to a contact on file over a channel, once the person has shown that they know it. The code goes to
// the address on file, never to what was typed.
func (f *Flow) Start(ctx context.Context, r *policy.Rules, v Visitor, handle string, channel policy.Channel, proof, back string) (Sent, error) {
	now := f.now()
	storing, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(storing); err != nil {
		return Sent{}, err
	}
	var sent Sent
	_, err := f.update(storing, v, now, func(a *policy.Account) bool {
		sent = Sent{}
		c := f.byHandle(v, a, handle)
		switch {
		case c == nil || !c.Usable(now):
			sent.Outcome = policy.Gone
			return false
		case !reaches(r, channel, *c):
			sent.Outcome = policy.NoChannel
			return false
		}
		sent.Result = a.Answer(c, answerTo(c, proof), r, now)
		sent.Contact = *c
		if sent.Outcome == policy.Mismatch {
			a.Note(policy.WrongProofTried, c.Address, v.Browser, now)
		}
		return sent.Outcome == policy.Matched || sent.Outcome == policy.Mismatch
	})
	if err != nil {
		return Sent{}, err
	}
	if result, evaluated := proofResults[sent.Outcome]; evaluated {
		f.audit("proof", v, "contact", sent.Contact.Address, "result", result)
	}
	if sent.Outcome != policy.Matched {
		sent.Unproved = true
		if sent.Outcome != policy.WholeAsked || !r.ProofWhole { // what the operator asks of everybody is no limit
			f.auditLimit(v, "proof", sent.Result)
		}
		return sent, nil
	}
	return f.send(ctx, storing, r, v, wish{contact: sent.Contact, channel: channel, back: back})
}

var proofResults = map[policy.Outcome]string{
	policy.Matched: "right", policy.Mismatch: "wrong", policy.TooMany: "limited", policy.Closed: "closed", policy.WholeAsked: "limited",
}

// answerTo brings what was typed as a proof into the form that policy compares.
func answerTo(c *policy.Contact, typed string) string {
	if c.Kind == policy.Phone {
		return phoneAnswer(c.Address, typed)
	}
	return asTyped(typed)
}

// reaches tells whether a channel may be used for a contact.
func reaches(r *policy.Rules, channel policy.Channel, c policy.Contact) bool {
	channels, _ := Channels(r, c)
	return slices.Contains(channels, channel)
}

// Add sends a code over a channel to a contact that the person typed. One that is on file already is simply confirmed:
// typing the whole of it is a proof, and what happens looks the same.
func (f *Flow) Add(ctx context.Context, r *policy.Rules, v Visitor, address policy.Address, channel policy.Channel, back string) (Sent, error) {
	storing, cancel := patient(ctx)
	defer cancel()
	if err := f.Admit(storing); err != nil {
		return Sent{}, err
	}
	contact := policy.Contact{ID: f.newID(), Kind: address.Kind(), Address: address, Added: f.now(), By: "person"}
	return f.send(ctx, storing, r, v, wish{contact: contact, channel: channel, adding: true, typed: true, back: back})
}

// Resend sends the live code of this browser session again, over the same channel.
func (f *Flow) Resend(ctx context.Context, r *policy.Rules, v Visitor) (Sent, error) {
	storing, cancel := patient(ctx)
	defer cancel()
	a, err := f.Account(storing, v)
	if err != nil {
		return Sent{}, err
	}
	now := f.now()
	if a == nil || !f.asking(a, v) || !a.Challenge.Done.IsZero() {
		return Sent{Result: policy.Result{Outcome: policy.NoCode}}, nil
	}
	target := a.Challenge.Target(a)
	if target == nil {
		return Sent{Result: policy.Result{Outcome: policy.NoCode}}, nil
	}
	if wait := a.Challenge.ResendWait(r.Limits, now); wait > 0 {
		return Sent{Result: policy.Result{Outcome: policy.TooEarly, Wait: wait}}, nil
	}
	w := wish{contact: *target, channel: a.Challenge.Channel, adding: a.Challenge.Adding != nil, typed: a.Challenge.Typed,
		back: a.Challenge.Return, again: true}
	return f.send(ctx, storing, r, v, w)
}

// asking tells whether the challenge of an account is this browser session's, or was until its right code was entered.
func (f *Flow) asking(a *policy.Account, v Visitor) bool {
	c := a.Challenge
	return c != nil && len(v.Session) > 0 &&
		(hmac.Equal(c.Session, v.Session) || !c.Done.IsZero() && hmac.Equal(c.After, v.Session))
}

// wish is a code that somebody may have, as far as the account's own limits and those of others allow.
type wish struct {
	contact policy.Contact
	channel policy.Channel
	// typed: the person typed it to add it; adding: it is not on file, as far as is known.
	typed, adding bool
	back          string
	// again: the person pressed "send it again", so a wait that is not over is an answer of its own.
	again bool
}

// send looks at the account first, so that nothing is counted elsewhere for a wish that the account refuses; then
// counts outside; then starts the challenge and leaves the message in the same update. What it asks of the store ends
// with storing; the person waits for the carrier with ctx.
func (f *Flow) send(ctx, storing context.Context, r *policy.Rules, v Visitor, w wish) (Sent, error) {
	now, key := f.now(), f.accountKey(v.Realm, v.User)
	// One wish of an account at a time: in a burst each would count outside before the account refuses all but one.
	queue, err := f.queueFor(storing, key)
	if err != nil {
		return Sent{}, err
	}
	defer queue.leave()
	a, err := f.load(storing, key)
	if err != nil {
		return Sent{}, err
	}
	if a == nil {
		a = &policy.Account{Realm: v.Realm, User: v.User}
	}
	nonce, id := f.random(16), f.newID()
	sent := Sent{Result: f.begin(a, r, v, w, nonce, id, now)}
	if sent.Outcome == policy.Underway && w.back != a.Challenge.Return {
		if err := f.leadTo(storing, v, w.back, now); err != nil {
			return Sent{}, err
		}
	}
	if sent.Outcome != policy.Started {
		f.auditLimit(v, "sends", sent.Result)
		sent.describe(a)
		return sent, nil
	}
	counted := f.countedOutside(v, w, bytes.Equal(a.Challenge.Nonce, nonce))
	if sent.Result, err = f.takeOutside(storing, r.Limits, counted, now); err != nil {
		return Sent{}, err
	}
	if sent.Outcome != policy.Started {
		f.auditLimit(v, "sends_outside", sent.Result)
		sent.Contact = w.contact
		return sent, nil
	}
	settled, forget := f.work.expect(id)
	defer forget()
	a, err = f.update(storing, v, now, func(a *policy.Account) bool {
		sent = Sent{Result: f.begin(a, r, v, w, nonce, id, now)}
		if sent.Outcome == policy.Started {
			a.Note(policy.CodeAsked, a.Challenge.Target(a).Address, v.Browser, now)
		}
		return sent.Outcome == policy.Started
	})
	if err != nil || sent.Outcome != policy.Started {
		f.undo(storing, counted) // another node's wish was first, or nothing was written
	}
	if err != nil {
		return Sent{}, err
	}
	sent.describe(a)
	if sent.Outcome != policy.Started {
		return sent, nil
	}
	queue.leave()
	f.audit("code_asked", v, "contact", a.Challenge.Target(a).Address, "channel", string(a.Challenge.Channel), "adding", a.Challenge.Adding != nil)
	reached("stored")
	f.work.kick(key)
	return f.await(ctx, v, sent, id, settled)
}

// leadTo makes the code that is on its way lead where the person is going now: it may have been asked for on another page.
func (f *Flow) leadTo(ctx context.Context, v Visitor, back string, now time.Time) error {
	if back == "" || back == "/" { // no better than where it leads
		return nil
	}
	_, err := f.update(ctx, v, now, func(a *policy.Account) bool {
		if !a.Challenge.Live(now) || !f.asking(a, v) {
			return false
		}
		a.Challenge.Return = back
		return true
	})
	return err
}

// describe adds what is known of the message on its way.
func (s *Sent) describe(a *policy.Account) {
	if c := a.Challenge; c != nil {
		s.State = c.SendState
		if t := c.Target(a); t != nil {
			s.Contact = *t
		}
	}
}

// begin starts a challenge, or repeats the live one, on the account as it is now.
func (f *Flow) begin(a *policy.Account, r *policy.Rules, v Visitor, w wish, nonce []byte, id string, now time.Time) policy.Result {
	l := r.Limits
	var known *policy.Contact
	if w.adding {
		if known = a.Find(w.contact.Kind, w.contact.Address); known != nil {
			w.contact, w.adding = *known, false
		}
	}
	if !w.adding && a.Contact(w.contact.ID) == nil {
		return policy.Result{Outcome: policy.Gone}
	}
	same := f.sameChallenge(a, v, w, now)
	if same {
		if wait := a.Challenge.ResendWait(l, now); wait > 0 {
			if w.again {
				return policy.Result{Outcome: policy.TooEarly, Wait: wait}
			}
			return policy.Result{Outcome: policy.Underway}
		}
	}
	// What is typed has the limits of a new contact even when it is on file: whoever guesses addresses here must not
	// get more tries, nor be told more, than where the hidden part of one is asked for.
	if w.typed && !same {
		wait, full := a.AddWait(l, now)
		if full {
			return policy.Result{Outcome: policy.Full}
		}
		if wait > 0 {
			return policy.Result{Outcome: policy.TooMany, Wait: wait}
		}
	}
	if known != nil && !known.Usable(now) {
		return policy.Result{Outcome: policy.Gone} // on hold: it was added and confirmed already
	}
	if !reaches(r, w.channel, w.contact) {
		return policy.Result{Outcome: policy.NoChannel} // the operator has closed it meanwhile
	}
	if a.Stopped(w.contact, w.adding, l) {
		return policy.Result{Outcome: policy.Stopped}
	}
	if wait := a.SendWait(w.channel, l, now); wait > 0 {
		return policy.Result{Outcome: policy.TooMany, Wait: wait}
	}
	a.CountSend(w.channel, now)
	if w.typed && !same {
		a.Adds = a.Adds.Add(24*time.Hour, now)
	}
	a.DropCodes()
	f.issue(a, r, v, w, same, nonce, id, now)
	return policy.Result{Outcome: policy.Started}
}

// sameChallenge tells whether the live challenge already is what is wished for.
func (f *Flow) sameChallenge(a *policy.Account, v Visitor, w wish, now time.Time) bool {
	c := a.Challenge
	if !c.Live(now) || !f.asking(a, v) || c.Channel != w.channel {
		return false
	}
	target := c.Target(a)
	if target == nil || w.adding != (c.Adding != nil) {
		return false
	}
	return target.ID == w.contact.ID || w.adding && target.Address.Same(w.contact.Address)
}

// issue writes the challenge and the message. The same code is repeated while more than half of its life is left, so
// that a slow first message still works; one that takes no more tries, or whose key has left the ring, is of no use to
// anybody.
func (f *Flow) issue(a *policy.Account, r *policy.Rules, v Visitor, w wish, same bool, nonce []byte, id string, now time.Time) {
	if !same || !a.Challenge.Repeats(now) || a.Challenge.Wrong >= r.Limits.CodeTries || !f.Keys.has(a.Challenge.KeyID) {
		next := &policy.Challenge{
			Nonce: nonce, KeyID: f.Keys.IDs()[0], Channel: w.channel, Session: v.Session,
			Started: now, Ends: now.Add(r.Limits.Lifetime(w.channel)), Return: w.back,
			Reissued: a.Challenge.Live(now) && a.Challenge.Channel != policy.ByAuthenticator, Typed: w.typed, AddedFresh: a.IsFresh(v.Session, now),
			Ticked: a.Challenge.TickedBy(v.Session),
		}
		if same { // the ladder of waits goes on
			next.Sent = a.Challenge.Sent
		}
		if w.adding {
			contact := w.contact
			next.Adding = &contact
		} else {
			next.Contact = w.contact.ID
		}
		a.Challenge = next
	}
	c := a.Challenge
	c.Sent++
	c.LastSent, c.SendID, c.SendState = now, id, policy.SendWaiting
	if w.back != "" {
		c.Return = w.back
	}
	a.Outbox = append(a.Outbox, policy.Send{
		ID: id, Kind: policy.SendCode, Channel: c.Channel, Contact: c.Contact, Language: v.Language,
		Host: v.Host, Browser: v.Browser, At: now, Ends: c.Ends, NotBefore: now,
	})
}

// await waits until the message was handed over or was not, for as long as a person may be kept waiting.
func (f *Flow) await(ctx context.Context, v Visitor, sent Sent, id string, settled <-chan struct{}) (Sent, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	// Another process may have taken it: look now and then.
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case <-settled:
			waiting = false
		case <-timeout.C:
			return sent, nil
		case <-ctx.Done():
			return sent, nil
		case <-look.C:
		}
		a, err := f.load(ctx, f.accountKey(v.Realm, v.User))
		if err != nil || a == nil || a.Challenge == nil || a.Challenge.SendID != id {
			return sent, nil // the code was asked for and will be tried: what is known has not changed
		}
		if sent.State = a.Challenge.SendState; sent.State != policy.SendWaiting {
			return sent, nil
		}
	}
	return sent, nil
}

func (f *Flow) auditLimit(v Visitor, what string, r policy.Result) {
	if r.Outcome == policy.Paused {
		what = "delivery_rate"
	}
	switch r.Outcome {
	case policy.TooMany, policy.Closed, policy.Stopped, policy.TriesUsed, policy.Full, policy.WholeAsked, policy.Paused:
		f.audit("limit_reached", v, "limit", what, "wait", r.Wait.Round(time.Second).String())
	}
}
