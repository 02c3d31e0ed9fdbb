package storetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/contactgate/contactgate/internal/store"
)

// HistoryCount is how many histories a test looks at: CONTACTGATE_HISTORIES, or enough for every day.
func HistoryCount() int {
	if n, err := strconv.Atoi(os.Getenv("CONTACTGATE_HISTORIES")); err == nil {
		return n
	}
	return 20
}

// A register is one record: its content is a text.
type step struct {
	key string
	// what is "get"; "swap", which writes and tells what was there; or "cas", which writes if it is expected.
	what, expected, new string
}

// outcome is what a caller was told. unknown: the call failed, and may have happened or not.
type outcome struct {
	old     string
	done    bool
	unknown bool
}

// Histories runs calls at the same moment on any number of openings of one store, and looks whether what the callers were
// told could have come about if the calls had happened one after the other, each somewhere between its beginning and its
// end. A call that failed may have happened at any time since.
func Histories(t *testing.T, nodes ...store.Store) {
	t.Helper()
	unknown := 0
	for n := range HistoryCount() {
		history := record(t, nodes, fmt.Sprintf("history/%d/", n))
		for _, op := range history {
			if op.Output.(outcome).unknown {
				unknown++
			}
		}
		history = observed(history)
		if !porcupine.CheckOperations(registers, history) {
			t.Errorf("history %d is not linearizable:\n%s", n, tell(history))
		}
	}
	t.Logf("%d histories, %d calls whose outcome is not known", HistoryCount(), unknown)
}

// observed makes what is not known as small as it is. Every call tells what it found, and no two write the same: so a
// failed write that nobody found may as well not have happened, and one that somebody found had happened by then. A failed
// "cas" that had happened has found what it expected.
func observed(history []porcupine.Operation) []porcupine.Operation {
	found := map[string]int64{} // by when at the latest
	note := func(key, text string, by int64) bool {
		at, ok := found[key+" "+text]
		if ok && at <= by {
			return false
		}
		found[key+" "+text] = by
		return true
	}
	for _, op := range history {
		if out := op.Output.(outcome); !out.unknown {
			note(op.Input.(step).key, out.old, op.Return)
		}
	}
	for more := true; more; {
		more = false
		for _, op := range history {
			in := op.Input.(step)
			if by, ok := found[in.key+" "+in.new]; ok && op.Output.(outcome).unknown && in.what == "cas" {
				more = note(in.key, in.expected, by) || more
			}
		}
	}
	var rest []porcupine.Operation
	for _, op := range history {
		in := op.Input.(step)
		if op.Output.(outcome).unknown {
			at, ok := found[in.key+" "+in.new]
			if !ok || in.what == "get" {
				continue
			}
			op.Return = at
		}
		rest = append(rest, op)
	}
	return rest
}

const (
	callers        = 6
	callsOfOne     = 12
	callPatience   = 500 * time.Millisecond
	neverEnded     = math.MaxInt64
	registersCount = 2
)

func record(t *testing.T, nodes []store.Store, prefix string) []porcupine.Operation {
	t.Helper()
	var mu sync.Mutex
	var history []porcupine.Operation
	var all sync.WaitGroup
	began := time.Now()
	for caller := range callers {
		s := nodes[caller%len(nodes)]
		all.Go(func() {
			for i := range callsOfOne {
				in := step{key: prefix + strconv.Itoa(rand.IntN(registersCount)), new: fmt.Sprintf("%d.%d", caller, i)}
				in.what = []string{"get", "get", "swap", "cas", "cas"}[rand.IntN(5)]
				if in.what == "cas" && rand.IntN(4) > 0 { // most of the time one that can be right
					r, err := s.Get(context.Background(), in.key)
					if err == nil {
						in.expected = string(r.Value)
					}
				}
				call := time.Since(began).Nanoseconds()
				out := do(s, in)
				end := time.Since(began).Nanoseconds()
				if out.unknown {
					end = neverEnded
					time.Sleep(20 * time.Millisecond) // a fault should not be over before the next history
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: caller, Input: in, Call: call, Output: out, Return: end})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return history
}

func do(s store.Store, in step) (out outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	if in.what == "get" {
		r, err := s.Get(ctx, in.key)
		return outcome{old: string(r.Value), unknown: err != nil}
	}
	err := s.Update(ctx, in.key, func(old store.Record) (store.Record, error) {
		out = outcome{old: string(old.Value), done: in.what == "swap" || string(old.Value) == in.expected}
		if !out.done {
			return store.Record{}, store.ErrKeep
		}
		return value(in.new), nil
	})
	if err != nil {
		return outcome{unknown: true}
	}
	return out
}

// registers says what one call after the other would do.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(step).key
			parts[key] = append(parts[key], op)
		}
		var list [][]porcupine.Operation
		for _, part := range parts {
			list = append(list, part)
		}
		return list
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		is, in, out := state.(string), input.(step), output.(outcome)
		happens := in.what == "swap" || in.what == "cas" && is == in.expected
		next := is
		if happens {
			next = in.new
		}
		if out.unknown {
			return true, next
		}
		if in.what == "get" {
			return out.old == is, is
		}
		return out.old == is && out.done == happens, next
	},
}

func tell(history []porcupine.Operation) string {
	text := ""
	for _, op := range history {
		text += fmt.Sprintf("%d %8d–%8d µs %+v → %+v\n", op.ClientId, op.Call/1000, op.Return/1000, op.Input, op.Output)
	}
	return text
}
