package verify

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/contactgate/contactgate/internal/store/storetest"
	"github.com/contactgate/contactgate/policy"
)

// codeState is what a person's one code has come to.
type codeState struct {
	wrong int
	done  bool
}

// codeLife is that, and whether anybody has guessed at it since it was done.
type codeLife struct {
	codeState
	guessed bool
}

// codeAnswer is what one of them was told: by entering a code, or by looking.
type codeAnswer struct {
	outcome policy.Outcome
	left    int
	codeState
}

// oneCode says what entering a code and looking would come to, one after the other (rules 5 to 7).
func oneCode(tries int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return codeLife{} },
		Step: func(state, input, output any) (bool, any) {
			s, got := state.(codeLife), output.(codeAnswer)
			want := codeAnswer{}
			switch {
			case input == "look":
				want.codeState = s.codeState
			case s.done && input == "right" && !s.guessed:
				want.outcome = policy.AcceptedAgain
			case s.done:
				want.outcome, s.guessed = policy.NoCode, true
			case s.wrong >= tries:
				want.outcome = policy.TriesUsed
			case input == "right":
				want.outcome = policy.Accepted
				s.done = true
			default:
				s.wrong++
				want.outcome, want.left = policy.WrongCode, tries-s.wrong
			}
			return got == want, s
		},
	}
}

// R27: somebody enters codes and looks, in many tabs, on two nodes at once. What they are told is what would have come of
// it one after the other: each try is counted once, the code is taken once, nobody sees an older state than somebody before
// them.
func TestWhatManyTabsAreToldIsLinearizable(t *testing.T) {
	for _, kind := range []storeKind{onBolt, onRedis(loneRedis(t))} {
		t.Run(kind.name, func(t *testing.T) {
			h := newHouse(t, func(h *house) { h.kind = kind })
			for n := range storetest.HistoryCount() {
				v := h.person(fmt.Sprintf("user%d", n), "browser")
				h.open(v)
				h.ask(v, v.Email)
				right := h.courier.code(h, v.Email)
				history := h.manyTabs(v, right)
				if !porcupine.CheckOperations(oneCode(h.rules.Limits.CodeTries), history) {
					t.Errorf("history %d is not linearizable:", n)
					for _, op := range history {
						t.Errorf("%d %7d–%7d µs %s → %+v", op.ClientId, op.Call/1000, op.Return/1000, op.Input, op.Output)
					}
				}
				h.move(time.Second)
				h.swap()
			}
		})
	}
}

// manyTabs does things at random. Without faults every call has to have an answer.
func (h *house) manyTabs(v Visitor, right string) []porcupine.Operation {
	var mu sync.Mutex
	var history []porcupine.Operation
	var all sync.WaitGroup
	began := time.Now()
	for tab := range 6 {
		flow := h.Flow
		if h.other != nil && tab%2 == 1 {
			flow = h.other.Flow
		}
		all.Go(func() {
			for range 6 {
				what := []string{"wrong", "wrong", "wrong", "look", "look", "right"}[rand.IntN(6)]
				call := time.Since(began).Nanoseconds()
				got, err := tellTab(h, flow, v, what, right)
				end := time.Since(began).Nanoseconds()
				if err != nil {
					h.Errorf("%s: %v", what, err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: tab, Input: what, Call: call, Output: got, Return: end})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return history
}

func tellTab(h *house, flow *Flow, v Visitor, what, right string) (codeAnswer, error) {
	if what == "look" {
		a, err := flow.Account(h.Context(), v)
		if err != nil {
			return codeAnswer{}, err
		}
		return codeAnswer{codeState: codeState{wrong: a.Challenge.Wrong, done: !a.Challenge.Done.IsZero()}}, nil
	}
	code := right
	if what == "wrong" {
		code = notThis(right)
	}
	e, err := flow.Enter(h.Context(), &h.rules, v, code)
	return codeAnswer{outcome: e.Outcome, left: e.Left}, err
}
