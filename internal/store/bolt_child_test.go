//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/contactgate/contactgate/internal/store"
)

// What needs a process of its own is this test binary once more, told by the environment what to be.
const (
	childRole = "CONTACTGATE_STORE_CHILD"
	childPath = "CONTACTGATE_STORE_PATH"
)

func TestMain(m *testing.M) {
	path := os.Getenv(childPath)
	var err error
	switch os.Getenv(childRole) {
	case "":
		// More tests at once than there are processors: those with servers wait more than they work.
		flag.Parse()
		_ = flag.Set("test.parallel", "8")
		os.Exit(m.Run())
	case "hold":
		err = holdFile(path)
	case "write":
		err = writeForEver(path)
	case "full":
		err = fillTheDisk(path)
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child starts one and gives what it prints.
func child(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c, bufio.NewScanner(out)
}

func holdFile(path string) error {
	if err := store.NewBolt(store.BoltConfig{Path: path}).Open(background); err != nil {
		return err
	}
	fmt.Println("held")
	select {}
}

func TestFileHeldByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	c, out := child(t, "hold", path)
	if !out.Scan() || out.Text() != "held" {
		t.Fatalf("the other process said %q", out.Text())
	}
	s := newBolt(t, path)

	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v", err)
	}
	if took := time.Since(began); took > 1900*time.Millisecond {
		t.Errorf("Get took %v with 50ms to go", took)
	}
	err := s.Open(background)
	if err == nil || errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "another process") ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("Open: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Open took %v", took)
	}

	_ = c.Process.Kill()
	_ = c.Wait()
	if err := s.Open(background); err != nil {
		t.Errorf("after the other process ended: %v", err)
	}
}

const (
	writers     = 4
	writerSlots = 10 // keys of each
)

// writeForEver says what it wrote after Update returned, and goes on until it is killed.
func writeForEver(path string) error {
	s := store.NewBolt(store.BoltConfig{Path: path})
	failed := make(chan error)
	for w := range writers {
		go func() {
			for i := 0; ; i++ {
				key, n := fmt.Sprintf("w%d/%d", w, i%writerSlots), 0
				err := s.Update(background, key, func(old store.Record) (store.Record, error) {
					last, _, _ := strings.Cut(string(old.Value), " ")
					n, _ = strconv.Atoi(last)
					n++
					return store.Record{
						Value:   []byte(fmt.Sprintf("%d %s", n, strings.Repeat("x", rand.IntN(3000)))),
						Due:     time.Unix(rand.Int64N(1<<32), 0),
						Expires: time.Now().Add(time.Duration(1+rand.IntN(1000)) * time.Hour),
					}, nil
				})
				if err != nil {
					failed <- err
				}
				fmt.Printf("%s %d\n", key, n)
			}
		}()
	}
	return <-failed
}

// TestKilledWriterLosesNothingItAcknowledged kills in the middle of writing, and in the middle of making the
// file. CONTACTGATE_KILL_LOOPS sets how often.
func TestKilledWriterLosesNothingItAcknowledged(t *testing.T) {
	loops := 20
	if n, err := strconv.Atoi(os.Getenv("CONTACTGATE_KILL_LOOPS")); err == nil {
		loops = n
	}
	path := filepath.Join(t.TempDir(), "store.db")
	acked := map[string]int{}
	for i := range loops {
		if i%5 == 4 {
			path, acked = filepath.Join(t.TempDir(), "store.db"), map[string]int{}
		}
		killWriter(t, path, acked, i%5 == 4)
		verifyAcked(t, path, acked)
		if t.Failed() {
			t.Fatalf("in loop %d", i)
		}
	}
}

// killWriter lets a child write for some milliseconds and notes what it acknowledged; early does not even wait
// until it has begun.
func killWriter(t *testing.T, path string, acked map[string]int, early bool) {
	t.Helper()
	c, out := child(t, "write", path)
	begun := make(chan struct{})
	var killed sync.WaitGroup
	killed.Go(func() {
		if !early {
			<-begun
		}
		time.Sleep(time.Duration(rand.IntN(40_000)) * time.Microsecond)
		_ = c.Process.Kill()
	})
	var once sync.Once
	for out.Scan() {
		once.Do(func() { close(begun) })
		key, n, ok := strings.Cut(out.Text(), " ")
		if seq, err := strconv.Atoi(n); ok && err == nil {
			acked[key] = max(acked[key], seq)
		} else {
			t.Errorf("the writer said %q", out.Text())
		}
	}
	once.Do(func() { close(begun) })
	killed.Wait()
	_ = c.Wait()
}

func verifyAcked(t *testing.T, path string, acked map[string]int) {
	t.Helper()
	s := newBolt(t, path)
	if err := s.Open(background); err != nil { // looks at every page and record
		t.Fatal(err)
	}
	for key, n := range acked {
		r, err := s.Get(background, key)
		if err != nil {
			t.Fatal(err)
		}
		last, _, _ := strings.Cut(string(r.Value), " ")
		// One more may have been written without the word getting out.
		got, _ := strconv.Atoi(last)
		if got != n && got != n+1 {
			t.Errorf("%s is at %d, acknowledged was %d", key, got, n)
		}
		acked[key] = got // the next writer goes on from here
	}
	items, err := s.Scan(background, "", "", 1000)
	keys, dueErr := s.Due(background, time.Now().Add(1<<62), 1000)
	if err != nil || dueErr != nil || len(items) != len(keys) {
		t.Errorf("%d records, %d of them due: %v, %v", len(items), len(keys), err, dueErr)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	viewFile(t, path, func(tx *bbolt.Tx) {
		for err := range tx.Check() {
			t.Errorf("bbolt's own check: %v", err)
		}
	})
}

func TestFullDiskStopsWritesOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	_, out := child(t, "full", path)
	out.Scan()
	if out.Text() != "done" {
		t.Fatal(out.Text())
	}
	s := newBolt(t, path)
	wantValue(t, s, "before", "v")
	wantValue(t, s, "after", "v")
}

// fillTheDisk makes the disk "full" with the limit that a process can set on the size of its own files.
func fillTheDisk(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s := store.NewBolt(store.BoltConfig{Path: path})
	if err := s.Update(background, "before", writing("v")); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	full := limit
	full.Cur = uint64(info.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		return err
	}
	if err := writeUntilItFails(s); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for _, key := range []string{"big0", "after"} {
		if err := s.Update(background, key, writing("v")); err != nil {
			return fmt.Errorf("after there is space again: %w", err)
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

func writeUntilItFails(s *store.Bolt) error {
	big := strings.Repeat("x", 20_000)
	written, failures := map[string]bool{}, 0
	for i := 0; failures < 20; i++ {
		key := fmt.Sprint("big", i)
		err := s.Update(background, key, writing(big))
		if errors.Is(err, store.ErrDamaged) || i > 1000 {
			return fmt.Errorf("write %d: %w", i, err)
		}
		if err != nil {
			failures++
		}
		written[key] = err == nil
		for key, ok := range written {
			r, err := s.Get(background, key)
			if err != nil || (r.Value != nil) != ok {
				return fmt.Errorf("a read while the disk is full: %s is there: %v, %w", key, r.Value != nil, err)
			}
		}
	}
	return nil
}
