package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// Courier hands a message over to whoever carries it. It ends with its context.
type Courier interface {
	Deliver(ctx context.Context, l Letter) policy.Delivery
}

// Prober is a Courier that can tell whether the carrier of a channel is within reach, without handing anything over.
type Prober interface {
	Reachable(ctx context.Context, channel policy.Channel) error
}

// Letter is a message about to be handed over. To and Code must not reach a log.
type Letter struct {
	ID, Kind, Channel, To, Language, Code, Host, Browser, ContactKind string
	At, Ends, HoldUntil                                               time.Time
	Adding                                                            bool
	// Link and Page are for a notice: what its reader opens, or where they type the Code, to say "this was not me". LinkEnds
	// is until when.
	Link, Page string
	LinkEnds   time.Time
	// What the people who run the site are told: which account, and what about. By is a contact, masked.
	Realm, User, Reference, By string
	Help                       policy.HelpRequest
}

const (
	// workerCount is beyond what one sender takes at once (delivery.NewGuard): a carrier that hangs must leave some to those
	// that do not.
	workerCount = 16
	// carrying is how long one attempt may take.
	carrying = 12 * time.Second
	// defaultLease is how long a worker may have a row in hand before it is believed dead: well beyond carrying.
	defaultLease = 30 * time.Second
	// pollEvery is how long a row that another process left waits at most beyond its time.
	pollEvery = time.Second
)

// workers take messages out of accounts and hand them over. Any number of processes may run them on one store.
type workers struct {
	flow *Flow
	// kicks names accounts with something to send. When it is full the poll finds them.
	kicks   chan string
	mu      sync.Mutex
	waiting map[string]chan struct{}
	busy    sync.WaitGroup
}

func newWorkers(f *Flow) *workers {
	return &workers{flow: f, kicks: make(chan string, 1024), waiting: map[string]chan struct{}{}}
}

// Run works until the context ends, then waits for what is in hand.
func (f *Flow) Run(ctx context.Context) {
	w := f.work
	defer f.Store.Watch(f.cache.changed)()
	f.cache.changed("") // what was remembered before that
	for range workerCount {
		w.busy.Go(func() { w.loop(ctx) })
	}
	w.busy.Go(func() { w.watch(ctx) })
	w.poll(ctx)
	w.busy.Wait()
}

func (w *workers) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-w.kicks:
			// What is in hand is finished although the configuration may be gone: cut off, it would have to be
			// sent a second time.
			w.serve(context.WithoutCancel(ctx), key)
		}
	}
}

func (w *workers) poll(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.findDue(ctx)
		}
	}
}

// watch looks after outages, apart from the poll: a carrier that hangs when it is tried must not hold up messages.
func (w *workers) watch(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.flow.watchOutages(ctx)
		}
	}
}

func (w *workers) findDue(ctx context.Context) {
	if !w.flow.ready.Load() {
		if w.flow.Admit(ctx) != nil {
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	keys, err := w.flow.Store.Due(ctx, w.flow.now(), workerCount*8)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			_ = w.flow.unavailable("due", "looking for messages to send", err)
		}
		return
	}
	for _, key := range keys {
		w.kick(key)
	}
}

func (w *workers) kick(key string) {
	select {
	case w.kicks <- key:
	default:
	}
}

// serve hands over what is due in one account, one message after the other. The row is marked before the message goes
// out, and settled after: killed in between, another worker believes that it may have gone out.
func (w *workers) serve(ctx context.Context, key string) {
	for w.serveOne(ctx, key) {
	}
}

func (w *workers) serveOne(ctx context.Context, key string) (more bool) {
	f := w.flow
	now := f.now()
	var taken *policy.Send
	var dropped []policy.Send
	a, err := f.updateKey(ctx, key, func(a *policy.Account) bool {
		taken, dropped = nil, nil
		if due := a.Due(); due.IsZero() || now.Before(due) {
			return false
		}
		taken, dropped = a.Take(f.Lease, now)
		return taken != nil || len(dropped) > 0
	})
	if err != nil {
		return false
	}
	for _, s := range dropped {
		f.auditSend("send_dropped", a, s)
		w.settled(s.ID)
	}
	if taken == nil {
		return false
	}
	w.deliver(ctx, key, a, *taken)
	return true
}

func (w *workers) deliver(ctx context.Context, key string, a *policy.Account, s policy.Send) {
	f := w.flow
	reached("handing over")
	letter, err := f.letter(a, s)
	result := policy.RefusedForGood
	began := f.Now()
	if err == nil {
		letter, err = f.armed(ctx, a, s, letter)
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		result = policy.BrokenOff // it is tried again when the store is back
	case err == nil:
		deadline, cancel := context.WithTimeout(ctx, carrying)
		result = f.Courier.Deliver(deadline, letter)
		cancel()
	default:
		f.Log.Error("a message could not be made", "error", err)
	}
	reached("handed over")
	if f.Count != nil {
		f.Count.CodeSent(s.Channel, result, f.Now().Sub(began))
	}
	if err == nil {
		f.learnFrom(ctx, s, result)
		f.uncount(ctx, a, s, letter, result)
	}
	w.settle(ctx, key, a, s, result)
}

// uncount keeps a code that never went out from being held against the country of its number: nobody could enter it.
func (f *Flow) uncount(ctx context.Context, a *policy.Account, s policy.Send, l Letter, result policy.Delivery) {
	notSent := result == policy.NotReached || result == policy.BrokenOff || result == policy.OutOfOrder || result == policy.AskedToWait
	if c := a.Challenge; notSent && s.Kind == policy.SendCode && s.Channel.Kind() == policy.Phone && c.Sent == 1 {
		f.unasked(ctx, policy.Address(l.To), c.Started)
	}
}

// settle writes down how it went, and tries for a while: unwritten, the message would go out again.
func (w *workers) settle(ctx context.Context, key string, a *policy.Account, s policy.Send, result policy.Delivery) {
	for try := range 4 {
		if try > 0 {
			time.Sleep(time.Duration(try) * 250 * time.Millisecond)
		}
		settled, err := w.flow.updateKey(ctx, key, func(a *policy.Account) bool {
			return a.Settle(s.ID, result, w.flow.now())
		})
		if err == nil {
			a = settled
			break
		}
	}
	w.flow.auditSend(sendEvents[result], a, s)
	w.settled(s.ID)
}

var sendEvents = map[policy.Delivery]string{
	policy.TakenOver: "sent", policy.RefusedForGood: "send_refused", policy.AskedToWait: "send_deferred",
	policy.NotReached: "send_failed", policy.OutOfOrder: "send_failed", policy.BrokenOff: "send_broken_off", policy.LostAnswer: "send_unanswered",
}

func (f *Flow) auditSend(event string, a *policy.Account, s policy.Send) {
	args := []any{"realm", a.Realm, "user", a.User, "kind", string(s.Kind), "channel", string(s.Channel), "message", s.ID}
	if c := a.Recipient(s); c != nil {
		args = append(args, "contact", c.Address)
	}
	f.Audit.Info(event, args...)
}

// expect returns a channel that is closed when the message is settled by this process.
func (w *workers) expect(id string) (settled <-chan struct{}, forget func()) {
	ch := make(chan struct{})
	w.mu.Lock()
	w.waiting[id] = ch
	w.mu.Unlock()
	return ch, func() {
		w.mu.Lock()
		delete(w.waiting, id)
		w.mu.Unlock()
	}
}

func (w *workers) settled(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.waiting[id]; ok {
		close(ch)
		delete(w.waiting, id)
	}
}

// letter makes what is handed over. The code is derived here and nowhere kept.
func (f *Flow) letter(a *policy.Account, s policy.Send) (Letter, error) {
	if s.Kind.ToOperator() {
		return f.operatorLetter(a, s), nil
	}
	c := a.Recipient(s)
	if c == nil {
		return Letter{}, fmt.Errorf("message %s: its contact is gone", s.ID)
	}
	l := Letter{
		ID: s.ID, Kind: string(s.Kind), Channel: string(s.Channel), To: c.Address.Whole(), Language: s.Language,
		Host: s.Host, Browser: s.Browser, ContactKind: string(s.About), At: s.At, Ends: s.Ends,
	}
	if s.Kind == policy.SendNotice {
		if held := a.Contact(s.New); held != nil {
			l.HoldUntil = held.HeldUntil(f.now()) // this notice, once accepted, starts the hold
		}
		return l, nil
	}
	code, err := f.code(a, a.Challenge)
	if err != nil {
		return Letter{}, err
	}
	l.Code, l.Adding = code, a.Challenge.Typed
	return l, nil
}

// operatorLetter is for the people who run the site. Their address is in the configuration, where the courier finds it.
func (f *Flow) operatorLetter(a *policy.Account, s policy.Send) Letter {
	l := Letter{
		ID: s.ID, Kind: string(s.Kind), Channel: string(s.Channel), Host: s.Host, Browser: s.Browser, At: s.At, Ends: s.Ends,
		Realm: a.Realm, User: a.User, Reference: s.Reference, By: s.By,
	}
	if s.Help != nil {
		l.Help = *s.Help
	}
	return l
}

// code derives the code of a challenge (rule 5): HMAC over the account, the contact and the nonce, cut to digits.
// Of 2^64 values the remainder after dividing by 10^6 favours no code by more than one in 10^13.
func (f *Flow) code(a *policy.Account, c *policy.Challenge) (string, error) {
	key, ok := f.Keys.deriveFrom(c.KeyID, "code")
	if !ok {
		return "", fmt.Errorf("the key %s of a code is no longer in the ring", c.KeyID)
	}
	target := c.Target(a)
	if target == nil {
		return "", fmt.Errorf("the contact of a code is gone")
	}
	sum := mac(key, a.Realm, a.User, target.ID, string(c.Channel), string(c.Nonce))
	return fmt.Sprintf("%0*d", policy.CodeDigits, binary.BigEndian.Uint64(sum)%1_000_000), nil
}
