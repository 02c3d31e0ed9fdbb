package delivery_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
)

func TestOutboxKeepsTheLastNewestFirst(t *testing.T) {
	o := delivery.NewOutbox(3)
	now := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	for i := range 6 {
		if err := o.Send(t.Context(), delivery.Message{ID: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if got := o.Messages(); len(got) != 1 || got[0].Message.ID != "0" {
				t.Fatalf("%+v", got)
			}
		}
	}
	got := o.Messages()
	if len(got) != 3 || got[0].Message.ID != "5" || got[2].Message.ID != "3" || !got[0].At.Equal(now) {
		t.Fatalf("%+v", got)
	}
	got[0].Message.ID = "changed"
	if o.Messages()[0].Message.ID != "5" {
		t.Error("a reader changed the outbox")
	}
}

func TestOutboxUnderManySenders(t *testing.T) {
	o := delivery.NewOutbox(0)
	var wg sync.WaitGroup
	for range 150 {
		wg.Go(func() {
			_ = o.Send(context.Background(), message())
			_ = o.Messages()
		})
	}
	wg.Wait()
	if n := len(o.Messages()); n != 100 {
		t.Errorf("%d kept, want 100", n)
	}
}

func TestOutboxEndsWithItsContext(t *testing.T) {
	o := delivery.NewOutbox(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expect(t, o.Send(ctx, message()), delivery.ErrUnreachable)
	if len(o.Messages()) != 0 {
		t.Error("it was kept")
	}
}
