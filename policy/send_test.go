package policy

import (
	"testing"
	"time"
)

const lease = 30 * time.Second

func row(id string, kind SendKind) Send {
	s := Send{ID: id, Kind: kind, Channel: ByEmail, Contact: "c1", At: noon, NotBefore: noon, Ends: ahead(10 * time.Minute)}
	if kind == SendNotice {
		s.New, s.Ends = "new", ahead(7*day)
	}
	return s
}

func withRows(rows ...Send) *Account {
	a := asked()
	a.Challenge.SendID, a.Challenge.SendState = rows[0].ID, SendWaiting
	a.Outbox, a.Sends = rows, Tally{noon}
	return a
}

func take(t *testing.T, a *Account, at time.Time, want string) *Send {
	t.Helper()
	taken, _ := a.Take(lease, at)
	got := ""
	if taken != nil {
		got = taken.ID
	}
	if got != want {
		t.Fatalf("at %s took %q, want %q", at.Sub(noon), got, want)
	}
	return taken
}

func TestARowIsInOneHandAtATime(t *testing.T) {
	a := withRows(row("m1", SendCode), row("n1", SendNotice), row("n2", SendNotice))
	take(t, a, noon, "m1")
	take(t, a, noon, "n1")
	take(t, a, noon, "n2")
	take(t, a, noon, "")
	if due := a.Due(); !due.Equal(ahead(lease)) {
		t.Errorf("due %s", due)
	}
	a.Settle("n1", TakenOver, noon)
	take(t, a, ahead(lease-tick), "")
	// Whoever had them in hand died.
	if s := take(t, a, ahead(lease), "m1"); s.Handed != 2 || s.Tries != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAtMostOnceMoreAfterACrash(t *testing.T) {
	a := withRows(row("m1", SendCode))
	take(t, a, noon, "m1")
	take(t, a, ahead(lease), "m1")
	taken, dropped := a.Take(lease, ahead(2*lease))
	if taken != nil || len(dropped) != 1 || a.Challenge.SendState != SendFailed || len(a.Outbox) != 0 {
		t.Errorf("a third time: %v, %v, %s", taken, dropped, a.Challenge.SendState)
	}
}

func TestNothingIsHandedOverAfterItsEnd(t *testing.T) {
	for at, want := range map[time.Duration]bool{10*time.Minute - tick: true, 10 * time.Minute: false, day: false} {
		a := withRows(row("m1", SendCode))
		taken, dropped := a.Take(lease, ahead(at))
		if (taken != nil) != want || (len(dropped) == 1) == want {
			t.Errorf("after %s: %v, %v", at, taken, dropped)
		}
	}
}

func TestHowAMessageIsSettled(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     SendKind
		d        Delivery
		left     bool
		state    SendState
		again    time.Duration
		counted  int
		handedTo int
	}{
		{"a code was taken over", SendCode, TakenOver, false, SendAccepted, 0, 1, 0},
		{"a code was refused", SendCode, RefusedForGood, false, SendRefused, 0, 1, 0},
		{"a code shall wait", SendCode, AskedToWait, true, SendWaiting, 10 * time.Second, 1, 0},
		{"a code reached nobody: it is no send", SendCode, NotReached, false, SendFailed, 0, 0, 0},
		{"a code's answer was lost", SendCode, LostAnswer, true, SendWaiting, 0, 1, 1},
		{"a notice was taken over", SendNotice, TakenOver, false, SendAccepted, 0, 1, 0},
		{"a notice was refused", SendNotice, RefusedForGood, false, SendRefused, 0, 1, 0},
		{"a notice shall wait", SendNotice, AskedToWait, true, SendWaiting, 10 * time.Second, 1, 0},
		{"a code met a carrier that is out of order: it is no send", SendCode, OutOfOrder, false, SendFailed, 0, 0, 0},
		{"a notice reached nobody: it is tried again", SendNotice, NotReached, true, SendWaiting, 10 * time.Second, 1, 0},
	} {
		a := withRows(row("m1", c.kind))
		take(t, a, noon, "m1")
		if !a.Settle("m1", c.d, noon) {
			t.Errorf("%s: not found", c.name)
		}
		if (len(a.Outbox) == 1) != c.left || a.Challenge.SendState != c.state || len(a.Sends) != c.counted {
			t.Errorf("%s: %d rows, %q, %d counted", c.name, len(a.Outbox), a.Challenge.SendState, len(a.Sends))
		}
		if c.left && (!a.Due().Equal(ahead(c.again)) || a.Outbox[0].Handed != c.handedTo) {
			t.Errorf("%s: again at %s, handed %d", c.name, a.Due(), a.Outbox[0].Handed)
		}
		if !c.left && !a.Due().IsZero() {
			t.Errorf("%s: due %s", c.name, a.Due())
		}
		if !c.left && a.Settle("m1", NotReached, noon) {
			t.Errorf("%s: settled twice", c.name)
		}
	}
}

// A mail server that asks to wait does so with every stranger and takes the second try; a provider of texts and calls that
// does so is too busy for somebody who waits.
func TestTextsAndCallsDoNotWaitForTheirProvider(t *testing.T) {
	for channel, waits := range map[Channel]bool{ByEmail: true, BySMS: false, ByVoice: false} {
		for _, kind := range []SendKind{SendCode, SendNotice} {
			r := row("m1", kind)
			r.Channel = channel
			a := withRows(r)
			take(t, a, noon, "m1")
			a.Settle("m1", AskedToWait, noon)
			want, counted := SendWaiting, 1
			if kind == SendCode && !waits {
				want, counted = SendFailed, 0
			}
			if left := len(a.Outbox) == 1; left != (want == SendWaiting) || a.Challenge.SendState != want || len(a.Sends) != counted {
				t.Errorf("%s by %s: %d rows, %q, %d counted", kind, channel, len(a.Outbox), a.Challenge.SendState, len(a.Sends))
			}
		}
	}
}

func TestALostAnswerIsFollowedByOneMoreTry(t *testing.T) {
	a := withRows(row("m1", SendCode))
	take(t, a, noon, "m1")
	a.Settle("m1", LostAnswer, noon)
	take(t, a, noon, "m1")
	a.Settle("m1", LostAnswer, noon)
	take(t, a, noon, "")
	if a.Challenge.SendState != SendFailed {
		t.Errorf("%s", a.Challenge.SendState)
	}
	// Being asked to wait in between hands nothing over, so it takes no try away, and gives none.
	a = withRows(row("m1", SendCode))
	now, reached := noon, 0
	for _, d := range []Delivery{AskedToWait, LostAnswer, AskedToWait, AskedToWait, LostAnswer, LostAnswer} {
		taken, _ := a.Take(lease, now)
		if taken == nil {
			break
		}
		if d == LostAnswer {
			reached++
		}
		a.Settle("m1", d, now)
		now = now.Add(2 * time.Minute)
	}
	if reached != 2 {
		t.Errorf("handed over %d times", reached)
	}
}

func TestWaitsBetweenTriesGrow(t *testing.T) {
	a := withRows(row("n1", SendNotice))
	now, tries := noon, 0
	var last time.Duration
	for len(a.Outbox) > 0 && tries < 10_000 {
		taken, dropped := a.Take(lease, now)
		if len(dropped) > 0 {
			break
		}
		if taken == nil {
			t.Fatal("nothing due")
		}
		tries++
		a.Settle("n1", AskedToWait, now)
		wait := a.Due().Sub(now)
		if wait < last || wait > time.Hour {
			t.Fatalf("try %d: wait %s after %s", tries, wait, last)
		}
		last, now = wait, a.Due()
	}
	if now.Sub(noon) < 7*day || now.Sub(noon) > 7*day+time.Hour || tries < 100 {
		t.Errorf("tried %d times for %s", tries, now.Sub(noon))
	}
	if got := retryAfter(1000, SendCode); got != 2*time.Minute {
		t.Errorf("a code waits %s at most", got)
	}
}

func TestAHoldRunsFromTheFirstAcceptedNotice(t *testing.T) {
	a := adding(asked(), false)
	a.EverVerified = true
	a.Confirm(next, 72*time.Hour, noon)
	a.Outbox = []Send{row("n1", SendNotice), row("n2", SendNotice)}
	until := func(want time.Time) {
		t.Helper()
		if got := a.Contact("new").HoldUntil; !got.Equal(want) {
			t.Errorf("on hold until %s, want %s", got, want)
		}
	}
	until(ahead(7 * day))
	take(t, a, noon, "n1")
	a.Settle("n1", AskedToWait, noon)
	until(ahead(7 * day))
	take(t, a, ahead(5*day), "n1")
	a.Settle("n1", TakenOver, ahead(5*day))
	until(ahead(8 * day))
	take(t, a, ahead(6*day), "n2")
	a.Settle("n2", TakenOver, ahead(6*day))
	until(ahead(8 * day))

	early := adding(asked(), false)
	early.EverVerified = true
	early.Confirm(next, 72*time.Hour, noon)
	early.Outbox = []Send{row("n1", SendNotice)}
	early.Take(lease, noon)
	early.Settle("n1", TakenOver, ahead(time.Second))
	a = early
	until(ahead(72*time.Hour + time.Second))

	// A notice of a contact that counts at once changes nothing.
	now := adding(asked(), true)
	now.EverVerified = true
	now.Confirm(next, 72*time.Hour, noon)
	now.Outbox = []Send{row("n1", SendNotice)}
	now.Take(lease, noon)
	now.Settle("n1", TakenOver, noon)
	a = now
	until(time.Time{})
}

func TestCodesOfNoMoreUseAreDropped(t *testing.T) {
	a := withRows(row("m1", SendCode), row("n1", SendNotice))
	a.DropCodes()
	if len(a.Outbox) != 1 || a.Outbox[0].ID != "n1" {
		t.Errorf("%+v", a.Outbox)
	}
}

func TestRecipient(t *testing.T) {
	a := withRows(row("m1", SendCode))
	for name, c := range map[string]struct {
		s    Send
		want string
	}{
		"a code":                 {row("m1", SendCode), "c1"},
		"a code of an older one": {row("m0", SendCode), ""},
		"a notice":               {row("n1", SendNotice), "c1"},
		"a notice to nobody":     {Send{ID: "n2", Kind: SendNotice, Contact: "c9"}, ""},
	} {
		got := ""
		if r := a.Recipient(c.s); r != nil {
			got = r.ID
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	adding(a, false)
	if r := a.Recipient(row("m1", SendCode)); r == nil || r.ID != "new" {
		t.Errorf("a code to a contact that is being added: %v", r)
	}
	a.Challenge = nil
	if a.Recipient(row("m1", SendCode)) != nil {
		t.Error("a code without a challenge")
	}
}

// A notice protects people: sent twice is better than never. A code is sent twice at most (P6).
func TestNoticeIsTriedUntilItIsTooOld(t *testing.T) {
	a := &Account{Outbox: []Send{
		{ID: "notice", Kind: SendNotice, At: noon, NotBefore: noon, Ends: ahead(7 * day)},
		{ID: "code", Kind: SendCode, At: noon, NotBefore: noon, Ends: ahead(7 * day)},
	}}
	tries := map[string]int{}
	for now := noon; now.Before(ahead(8 * day)); now = now.Add(time.Minute) {
		for s, _ := a.Take(time.Second, now); s != nil; s, _ = a.Take(time.Second, now) {
			tries[s.ID]++
			a.Settle(s.ID, LostAnswer, now)
		}
	}
	if tries["code"] != mostHanded || tries["notice"] < 100 || tries["notice"] > 300 || len(a.Outbox) != 0 {
		t.Errorf("%v, left %d", tries, len(a.Outbox))
	}
}
