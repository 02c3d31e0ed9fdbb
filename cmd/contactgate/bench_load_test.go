package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asker is one connection of a benchmark. It speaks no more HTTP than it must: the machine's two processors are shared
// with the server that is measured.
type asker struct {
	conn    net.Conn
	answers *bufio.Reader
}

// load sends requests of people in random order until the time is over, or, without a time, each person's once. It
// returns how long each took that was answered as it should be, and how long all of it; anything else fails the benchmark.
func load(t *testing.T, to contestant, connections int, d time.Duration) (times []time.Duration, took time.Duration) {
	t.Helper()
	var order []int
	if to.once == nil {
		order = mathrand.Perm(to.people)
	}
	var next atomic.Int64
	var mu sync.Mutex
	began := time.Now()
	end := began.Add(d)
	eachConnection(t, to, connections, func(a *asker) error {
		var mine []time.Duration
		asked := time.Now()
		for i := next.Add(1) - 1; d == 0 && int(i) < to.people || d > 0 && asked.Before(end); i = next.Add(1) - 1 {
			var person int
			if to.once == nil {
				person = order[int(i)%to.people]
			} else if person = int(to.once.Add(1)) - 1; person >= to.people {
				return errors.New("nobody is left who has not come yet: raise CONTACTGATE_BENCH_ACCOUNTS")
			}
			if err := a.ask(to, person); err != nil {
				return err
			}
			answered := time.Now()
			mine = append(mine, answered.Sub(asked))
			asked = answered
		}
		mu.Lock()
		defer mu.Unlock()
		times = append(times, mine...)
		return nil
	})
	return times, time.Since(began)
}

// loadAtRate sends so many requests a second and returns how long each took, from the moment at which it was due: an
// answer that keeps the next request waiting counts for both.
func loadAtRate(t *testing.T, to contestant, connections int, perSecond float64, d time.Duration) []time.Duration {
	t.Helper()
	order := mathrand.Perm(to.people)
	gap := time.Duration(float64(time.Second) / perSecond)
	total := int64(d / gap)
	var next atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	start := time.Now().Add(50 * time.Millisecond)
	eachConnection(t, to, connections, func(a *asker) error {
		var mine []time.Duration
		for {
			i := next.Add(1) - 1
			if i >= total {
				break
			}
			due := start.Add(time.Duration(i) * gap)
			time.Sleep(time.Until(due))
			if err := a.ask(to, order[int(i)%to.people]); err != nil {
				return err
			}
			mine = append(mine, time.Since(due))
		}
		mu.Lock()
		times = append(times, mine...)
		mu.Unlock()
		return nil
	})
	return times
}

func eachConnection(t *testing.T, to contestant, connections int, work func(*asker) error) {
	t.Helper()
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			conn, err := net.Dial("tcp", fmt.Sprint("localhost:", to.port))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if err := work(&asker{conn, bufio.NewReader(conn)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// browserHeaders are what Chromium 140 sends when a link is followed.
const browserHeaders = "\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"

func (a *asker) ask(to contestant, person int) error {
	user, cookie := to.user(person), ""
	if to.cookie != nil {
		cookie = "; " + to.cookie(person)
	}
	request := "GET /app/page?x=1 HTTP/1.1\r\nHost: localhost:" + strconv.Itoa(to.port) + "\r\nRemote-User: " + user +
		browserHeaders + "Cookie: sess=0123456789abcdef" + cookie + "\r\n\r\n"
	if _, err := io.WriteString(a.conn, request); err != nil {
		return err
	}
	status, err := a.answers.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 "+to.status) {
		return fmt.Errorf("%s: %s for %s", to.name, strings.TrimSpace(status), user)
	}
	length := 0
	for {
		line, err := a.answers.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	_, err = a.answers.Discard(length)
	return err
}

// cpuTime is what the server has used of the processors so far: of each thread, in nanoseconds, /proc/PID/task/TID/schedstat
// says so. (stat counts in hundredths of a second.)
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	var total time.Duration
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // it may have ended
		used, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(used, 10, 64)
		total += time.Duration(n)
	}
	return total
}

// residentMemory is how much of the machine's memory the server has, in bytes.
func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// middle is the median of rounds, and the interval in which the median of endless rounds is with a chance of 95 %: order
// statistics, which ask nothing of how the rounds are spread.
type middle struct{ median, least, most float64 }

// middleOf compares round by round, so that a slow minute of the machine weighs on both sides.
func middleOf(a, b []float64, of func(x, y float64) float64) middle {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = of(a[i], b[i])
	}
	slices.Sort(values)
	half, wide := len(values)/2, int(math.Ceil(0.98*math.Sqrt(float64(len(values)))))
	return middle{values[half], values[max(0, half-wide)], values[min(len(values)-1, half+wide)]}
}

func ratio(x, y float64) float64      { return x / y }
func difference(x, y float64) float64 { return x - y }

func percentile(times []time.Duration, p float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}
