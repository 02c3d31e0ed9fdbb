//go:build unix

package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
)

const killedLease = 4 * time.Second

var killedFolder string

// buildKilled builds the process that dies, once.
var buildKilled = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "contactgate-killed")
	if err != nil {
		return "", err
	}
	killedFolder = folder
	binary := filepath.Join(folder, "killed")
	out, err := exec.Command("go", "build", "-tags", "faults", "-o", binary, "./testdata/killed").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return binary, nil
})

// TestMain takes away what was built.
func TestMain(m *testing.M) {
	code := m.Run()
	if killedFolder != "" {
		_ = os.RemoveAll(killedFolder)
	}
	os.Exit(code)
}

// scene is a mail server and a folder that outlive the processes.
type scene struct {
	*testing.T
	binary, folder, lifetime string
	mail                     *smtptest.Server
}

func newScene(t *testing.T, lifetime string) *scene {
	binary, err := buildKilled()
	if err != nil {
		t.Fatal(err)
	}
	mail, err := smtptest.Start(smtptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mail.Close)
	ring, err := NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t, binary, quickFolder(t), lifetime, mail}
	if err := os.WriteFile(filepath.Join(s.folder, "ring"), []byte(ring), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) command(fault string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.Context(), s.binary, args...)
	cmd.Env = append(os.Environ(), "CONTACTGATE_FAULT="+fault, "KILLED_FOLDER="+s.folder, "KILLED_LIFETIME="+s.lifetime,
		"KILLED_SMTP="+s.mail.Address(), "KILLED_LEASE="+killedLease.String())
	return cmd
}

// askAndDie asks for a code in a process that is killed at the point.
func (s *scene) askAndDie(point string) {
	s.Helper()
	out, err := s.command(point, "ask").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		s.Fatalf("the process was not killed at %q: %v\n%s", point, err, out)
	}
}

// work starts a process that takes messages, until end is called.
func (s *scene) work(fault string) (end func()) {
	s.Helper()
	cmd := s.command(fault, "work")
	input, err := cmd.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	return func() { _ = input.Close(); _ = cmd.Wait() }
}

func (s *scene) arrived(n int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.mail.Wait(ctx, n); err != nil {
		s.Fatal(err)
	}
}

// long is enough for a row whose worker is dead to be taken by another one: its lease and two polls.
const long = killedLease + 2*pollEvery + 500*time.Millisecond

// P6 at each of the named points: what was stored is sent, at most once more than it may have been, with the same code
// and the same Message-ID, and the code is good after the restart.
func TestKilledOnTheWayToThePerson(t *testing.T) {
	for _, c := range []struct {
		point         string
		before, after int
	}{
		{"stored", 0, 1},
		{"handing over", 0, 1},
		{"handed over", 1, 2},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "10m")
			s.askAndDie(c.point)
			if n := len(s.mail.Messages()); n != c.before {
				t.Fatalf("%d mails before it was killed, want %d", n, c.before)
			}
			end := s.work("")
			s.arrived(c.after)
			time.Sleep(long) // one more would come now
			end()
			got := s.mail.Messages()
			if len(got) != c.after {
				t.Fatalf("%d mails, want %d", len(got), c.after)
			}
			for _, m := range got {
				if m.MessageID == "" || m.MessageID != got[0].MessageID || m.Code() == "" || m.Code() != got[0].Code() {
					t.Errorf("another mail: %s with %s, the first was %s with %s", m.MessageID, m.Code(), got[0].MessageID, got[0].Code())
				}
			}
			out, err := s.command("", "enter", got[0].Code()).Output()
			if err != nil || !strings.HasPrefix(string(out), "accepted") {
				t.Errorf("the code after the restart: %s, %v", out, err)
			}
		})
	}
}

// Killed again and again at the same point, a message is handed over twice at most.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, "10m")
	s.askAndDie("handed over")
	for range 2 {
		end := s.work("handed over")
		time.Sleep(long)
		end()
	}
	end := s.work("")
	time.Sleep(long)
	end()
	if n := len(s.mail.Messages()); n != 2 {
		t.Errorf("%d mails for one request", n)
	}
}

// A code that has ended is not sent by whoever comes after.
func TestKilledUntilTheCodeHasEnded(t *testing.T) {
	for _, point := range []string{"stored", "handing over"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "2s")
			s.askAndDie(point)
			time.Sleep(2 * time.Second)
			end := s.work("")
			time.Sleep(long)
			end()
			if n := len(s.mail.Messages()); n != 0 {
				t.Errorf("%d mails after the code had ended", n)
			}
		})
	}
}
