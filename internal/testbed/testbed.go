// Package testbed is what tests have to know of the machine that they run on: where files are quick, which ports are free,
// and for how long nothing ran at all.
package testbed

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// MkdirTemp makes a folder, in memory where the system has room for that: a file is synced at once there, however busy the disk
// is.
func MkdirTemp(stem string) (string, error) { return os.MkdirTemp(memory(), stem) }

// guards has what is held for as long as the process lives, so that no other process of the tests gets a port that was given here.
var guards struct {
	mu   sync.Mutex
	held map[int]net.Listener
}

// FreePort finds a port below those that the system gives to outgoing connections: one of these could be taken between here
// and the start of the server that is to have it.
func FreePort() (string, error) {
	guards.mu.Lock()
	defer guards.mu.Unlock()
	for range 1000 {
		n := 11000 + rand.IntN(19000) // browsers refuse to go to 10080
		if guards.held[n] != nil {
			continue
		}
		port := strconv.Itoa(n)
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", ":"+port)
		if err != nil {
			continue
		}
		_ = l.Close()
		guard, err := guard(port)
		if err != nil {
			continue // another test process has it
		}
		if guards.held == nil {
			guards.held = map[int]net.Listener{}
		}
		guards.held[n] = guard
		return port, nil
	}
	return "", errors.New("no free port below 30000")
}

// Listen listens on such a port of 127.0.0.1. Once that is closed nobody listens there, for as long as the process lives.
func Listen() (net.Listener, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+port)
}

// Until looks again and again, until it is so or patience has ended. The last look begins after that: the machine may stand
// still just before it.
func Until(patience time.Duration, is func() bool) bool {
	for end := time.Now().Add(patience); ; time.Sleep(tick) {
		last := time.Now().After(end)
		if is() {
			return true
		}
		if last {
			return false
		}
	}
}

var stalls struct {
	once sync.Once
	mu   sync.Mutex
	all  []stall
}

type stall struct{ from, to time.Time }

const (
	tick   = 10 * time.Millisecond
	hiccup = 50 * time.Millisecond
)

// Watch begins to note when the machine stands still.
func Watch() {
	stalls.once.Do(func() {
		go func() {
			for last := time.Now(); ; {
				time.Sleep(tick)
				now := time.Now()
				if now.Sub(last) > hiccup {
					stalls.mu.Lock()
					stalls.all = append(stalls.all, stall{last.Add(tick), now})
					stalls.mu.Unlock()
				}
				last = now
			}
		}()
	})
}

// Took is how long something took that began then, without the time in which the machine stood still. What only waits for
// itself is not spared: others run meanwhile. Watch has to be called before.
func Took(began time.Time) time.Duration {
	took := time.Since(began)
	if took > time.Second {
		time.Sleep(2 * tick) // for the watch to notice a stall that has just ended
	}
	stalls.mu.Lock()
	defer stalls.mu.Unlock()
	for _, s := range stalls.all {
		if s.to.After(began) {
			took -= s.to.Sub(later(s.from, began))
		}
	}
	return took
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
