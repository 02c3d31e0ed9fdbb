package testbed

import (
	"testing"
	"time"
)

// A stall is not counted, what somebody waits for beside it is.
func TestTookLeavesStallsOut(t *testing.T) {
	began := time.Now().Add(-10 * time.Second)
	stalls.mu.Lock()
	stalls.all = append(stalls.all,
		stall{began.Add(-3 * time.Second), began.Add(-2 * time.Second)}, // long over
		stall{began.Add(-time.Second), began.Add(time.Second)},          // half of it counts
		stall{began.Add(4 * time.Second), began.Add(7 * time.Second)})
	stalls.mu.Unlock()
	if took := Took(began); took < 6*time.Second || took > 7*time.Second {
		t.Errorf("ten seconds with stalls of one and three took %s", took)
	}
}

func TestUntilLooksOnceMoreAfterItsTime(t *testing.T) {
	looked := 0
	if !Until(time.Millisecond, func() bool {
		looked++
		time.Sleep(5 * time.Millisecond)
		return looked == 2
	}) {
		t.Error("what became so while nobody looked was not seen")
	}
	if Until(0, func() bool { return false }) {
		t.Error("what never was")
	}
}

func TestNoPortIsGivenTwice(t *testing.T) {
	given := map[string]bool{}
	for range 200 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Errorf("%s was given twice", port)
		}
		given[port] = true
	}
}
