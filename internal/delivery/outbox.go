package delivery

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Outbox sends nothing: it keeps the last messages in memory, codes and addresses and all, for a demo or a test to
// show. It is no sender for a real site.
type Outbox struct {
	// Now is the clock of Received.At. Default time.Now.
	Now func() time.Time

	mu   sync.Mutex
	keep int
	last []Received
}

// Received is a message and when it came in.
type Received struct {
	Message Message
	At      time.Time
}

// NewOutbox keeps the last n messages, 100 if n is zero or less.
func NewOutbox(n int) *Outbox {
	if n <= 0 {
		n = 100
	}
	return &Outbox{Now: time.Now, keep: n}
}

// Send keeps the message.
func (o *Outbox) Send(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return failure{kind: ErrUnreachable, stage: atStart, cause: cause(err)}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = append(o.last, Received{Message: m, At: o.Now()})
	if over := len(o.last) - o.keep; over > 0 {
		o.last = slices.Delete(o.last, 0, over)
	}
	return nil
}

// Messages are the kept ones, newest first.
func (o *Outbox) Messages() []Received {
	o.mu.Lock()
	defer o.mu.Unlock()
	newest := slices.Clone(o.last)
	slices.Reverse(newest)
	return newest
}

var _ Sender = (*Outbox)(nil)
