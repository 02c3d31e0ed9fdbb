package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store/redistest"
)

// limitRow is one word of limits at its edge, as a browser sees it: allowed so many times, then refused with the status,
// the words and the wait that belong to it. What is on the other side of the wait is in internal/verify/limits_test.go.
type limitRow struct {
	// word is what is limited, and in brackets which side of it. set are the words of limits for the site of this row.
	word, set string
	// allowed times try is answered with fine; after that with refused, and a page that says because.
	allowed       int
	fine, refused int
	because       string
	// retry is about what Retry-After says, never more; zero: time does not end it, so there is none; tomorrow: a budget
	// is for a day of UTC.
	retry time.Duration
	// begin comes before; it gives one more of what is limited.
	begin func(l *limited) (try func(n int) *answer)
}

const tomorrow = -1

// limitWords are those of contract.md.
const limitWords = `code_lifetime code_tries wrong_per_day wrong_in_a_row proof_tries proof_tries_total resend_after sends_per_hour
	sends_per_day sends_per_address sends_per_ip typed_sends_per_ip voice_per_day country_budget total_budget contacts
	contacts_per_day authenticator_tries last4_tries last4_tries_total`

// limitSettings get all limits out of the way of the one that a site has.
const limitSettings = `limits {
			resend_after 1s
			sends_per_hour 1000
			sends_per_day 1000
			sends_per_address 1000
			sends_per_ip 1000000
			typed_sends_per_ip 1000000
			total_budget 10000000
			country_budget 1000000
			contacts_per_day 1000
			voice_per_day 1000
		}
		remind_authenticator off
		channels JP sms voice
		channels FR sms`

func limitRows() []limitRow {
	const hour, day = time.Hour, 24 * time.Hour
	const onward, again, stop = http.StatusSeeOther, http.StatusUnprocessableEntity, http.StatusTooManyRequests
	// wrongCode asks for a code and enters others.
	wrongCode := func(l *limited) func(int) *answer {
		p := l.person()
		f, _ := p.AskCode(p.Email).Form("verify/code", 0)
		f.Fields.Set("code", notCode(l.rigs[0].WaitMail(l.t, p.Email, 1).Code()))
		return func(int) *answer { return l.next(p).Post(f.Action, f.Fields) }
	}
	wrongProof := func(l *limited) func(int) *answer {
		p := l.person()
		page := p.Submit(p.Visit("/.contactgate/verify"), "verify/send")
		return func(int) *answer { return l.next(p).Submit(page, "verify/send", "proof", "not.it@example.com") }
	}
	// sendAgain asks for a code the first time and then for the same again, as soon as that is allowed.
	sendAgain := func(ask func(p *person) *answer) func(l *limited) func(int) *answer {
		return func(l *limited) func(int) *answer {
			p, page, next := l.person(), (*answer)(nil), time.Time{}
			return func(n int) *answer {
				p := l.next(p)
				if n == 0 {
					sent := ask(p)
					page, next = p.Follow(sent), time.Now().Add(time.Second)
					return sent
				}
				time.Sleep(time.Until(next))
				sent := p.Submit(page, "verify/resend")
				if sent.StatusCode == onward {
					next = time.Now().Add(time.Second)
				}
				return sent
			}
		}
	}
	// everybody asks for a code to an address of their own.
	everybody := func(l *limited) func(int) *answer {
		return func(int) *answer { return (*person).ask(l.next(l.person())) }
	}
	// typed are addresses that somebody types: one person each, or all one.
	typed := func(onePerson bool, address func(n int) string) func(l *limited) func(int) *answer {
		return func(l *limited) func(int) *answer {
			p := l.person()
			return func(n int) *answer {
				if !onePerson {
					p = l.person()
				}
				return l.next(p).addMail(address(n))
			}
		}
	}
	newAddress := func(int) string { return unique("typed") + "@example.org" }
	lastFour := func(l *limited) func(int) *answer {
		number := someNumber("JP")
		p := l.person()
		says := signedIn(p.User, "")
		says["Remote-Phone"] = []string{number}
		l.rigs[0].Auth.Say(p.User, says)
		f, ok := formOf(p.Visit("/.contactgate/verify"), "sms")
		if !ok {
			l.t.Fatal("no button for texts")
		}
		return func(n int) *answer {
			proof := fmt.Sprintf("%02d%s", n, number[len(number)-2:])
			if n > 1 {
				proof = number[len(number)-4:] // the right ones do not count any more
			}
			f.Fields.Set("proof", proof)
			return l.next(p).Post(f.Action, f.Fields)
		}
	}
	return []limitRow{
		{"total_budget", "total_budget 2", 2, onward, stop, "many tries in a short time", tomorrow, everybody}, // the first: see run
		{"code_lifetime", "code_lifetime 8s", 1, again, again, "This code has run out", 0, func(l *limited) func(int) *answer {
			try, ends := wrongCode(l), time.Now().Add(8*time.Second)
			return func(n int) *answer {
				if n > 0 {
					time.Sleep(time.Until(ends))
				}
				return try(n)
			}
		}},
		{"code_tries", "code_tries 2", 2, again, stop, "This code takes no more tries", 0, wrongCode},
		{"wrong_per_day", "wrong_per_day 2", 2, again, stop, "many tries in a short time", day, wrongCode},
		{"wrong_in_a_row", "wrong_in_a_row 2", 2, again, stop, "codes for this contact are stopped", 0, wrongCode},
		{"proof_tries", "proof_tries 2", 2, again, stop, "too many tries for this address", day, wrongProof},
		{"proof_tries_total", "proof_tries_total 2", 2, again, stop, "takes no more tries", 0, wrongProof},
		{"resend_after", "resend_after 1h", 1, onward, stop, "ask for the code again in", hour, sendAgain((*person).ask)},
		{"resend_after (its second step)", "resend_after 1s 2h", 2, onward, stop, "ask for the code again in", 2 * hour, sendAgain((*person).ask)},
		{"sends_per_hour", "sends_per_hour 2", 2, onward, stop, "many tries in a short time", hour, sendAgain((*person).ask)},
		{"sends_per_day", "sends_per_day 2", 2, onward, stop, "many tries in a short time", day, sendAgain((*person).ask)},
		{"sends_per_address", "sends_per_address 2", 2, onward, stop, "many new contacts in a short time", hour, typed(false, func(n int) string { return []string{"Victim", "victim"}[n%2] + "@example.org" })},
		{"sends_per_ip", "sends_per_ip 2", 2, onward, stop, "many tries in a short time", hour, everybody},
		{"typed_sends_per_ip", "typed_sends_per_ip 2", 2, onward, stop, "many new contacts in a short time", hour, typed(false, newAddress)},
		{"voice_per_day", "voice_per_day 2", 2, onward, stop, "many tries in a short time", day,
			sendAgain(func(p *person) *answer { return p.addPhone(someNumber("JP"), "JP", "voice") })},
		{"country_budget", "country_budget 2", 2, onward, stop, "many new contacts in a short time", tomorrow, func(l *limited) func(int) *answer {
			return func(n int) *answer { return l.next(l.person()).addPhone(fmt.Sprintf("+3361234567%d", n), "FR", "sms") }
		}},
		{"contacts", "contacts 2", 1, onward, stop, "as many contacts as it can keep", 0, func(l *limited) func(int) *answer {
			p := l.person()
			return func(n int) *answer {
				p, address := l.next(p), newAddress(n)
				added := p.addMail(address)
				if added.StatusCode == onward {
					mustStatus(l.t, p.Submit(p.Follow(added), "verify/code", "code", p.rig.WaitMail(l.t, address, 1).Code()), onward)
				}
				return added
			}
		}},
		{"contacts_per_day", "contacts_per_day 2", 2, onward, stop, "many new contacts in a short time", day, typed(true, newAddress)},
		{"authenticator_tries", "authenticator_tries 2", 2, again, stop, "many wrong codes", 5 * time.Minute, func(l *limited) func(int) *answer {
			p := l.person()
			p.enrol()
			other := p.AnotherBrowser()
			f, _ := other.askApp().Form("verify/code", 0)
			f.Fields.Set("code", "x")
			return func(int) *answer { return l.next(other).Post(f.Action, f.Fields) }
		}},
		{"last4_tries", "last4_tries 2", 2, again, again, "not enough here", 0, lastFour},
		{"last4_tries_total", "last4_tries 100\nlast4_tries_total 2", 2, again, again, "not enough here", 0, lastFour},
	}
}

// limited is where a row is run: at a site of its own, from an IP address of its own, on every node in turn.
type limited struct {
	t     *testing.T
	rigs  []*rig
	host  string
	local net.Addr
	turn  int
}

func (l *limited) person() *person {
	p := newPerson(l.t, l.rigs[0], l.host, "limited")
	p.local = l.local
	return p
}

// next is the same browser on the next node.
func (l *limited) next(p *person) *person {
	l.turn++
	return p.on(l.rigs[l.turn%len(l.rigs)])
}

func notCode(right string) string {
	if right == "000000" {
		return "111111"
	}
	return "000000"
}

// ask asks for a code to the first contact.
func (p *person) ask() *answer {
	p.t.Helper()
	prove := p.Submit(p.Visit("/.contactgate/verify"), "verify/send")
	mustStatus(p.t, prove, http.StatusOK)
	return p.Submit(prove, "verify/send", "proof", p.Email)
}

func (p *person) addMail(address string) *answer {
	p.t.Helper()
	return p.Submit(p.Visit("/.contactgate/contacts/new"), "contacts/new", "address", address)
}

func limitsConfig(r *rig) string {
	var sites []site
	for i, row := range limitRows() {
		gate := fmt.Sprintf("realm limit%d\nlimits {\n%s\n}", i, row.set)
		if row.word == "authenticator_tries" {
			gate += "\ndevice_code on\nremind_authenticator 30d"
		}
		sites = append(sites, site{Host: fmt.Sprintf("limit%d.example", i), Before: r.namesPhones(), Identity: withPhone, Gate: gate})
	}
	return r.caddyfile(limitSettings, sites...)
}

// Every word of limits at its edge, on a file, and over two nodes on one Redis where each try is on the other node than the
// one before. A restart changes nothing.
func TestEveryWordOfLimitsAtItsEdge(t *testing.T) {
	t.Parallel()
	t.Run("a file", func(t *testing.T) {
		t.Parallel()
		runLimits(t, startRig(t, limitsConfig))
	})
	t.Run("two nodes on Redis", func(t *testing.T) {
		t.Parallel()
		one, two := startPairWith(t, redistest.Start(t).URL(), limitsConfig)
		runLimits(t, one, two)
	})
}

func runLimits(t *testing.T, rigs ...*rig) {
	if left := untilTomorrow(); left < 2*time.Minute {
		time.Sleep(left) // or the budgets would begin anew in the middle
	}
	rows := limitRows()
	again := make([]func(t *testing.T), len(rows))
	t.Run("at first", func(t *testing.T) {
		for i, row := range rows {
			t.Run(row.word, func(t *testing.T) {
				if i > 0 { // what counts everybody's messages has to be alone
					t.Parallel()
				}
				again[i] = row.run(&limited{t: t, rigs: rigs, host: fmt.Sprintf("limit%d.example", i), local: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}})
			})
		}
	})
	for _, r := range rigs {
		r.Restart(t)
	}
	t.Run("after a restart", func(t *testing.T) {
		for i, row := range rows {
			t.Run(row.word, func(t *testing.T) {
				if again[i] == nil {
					t.Fatal("it did not get so far")
				}
				again[i](t)
			})
		}
	})
}

func untilTomorrow() time.Duration {
	return time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour))
}

// run goes to the edge and over it. What it returns is once more over it.
func (row limitRow) run(l *limited) (again func(t *testing.T)) {
	try := row.begin(l)
	for n := range row.allowed {
		mustStatus(l.t, try(n), row.fine)
	}
	refused := func(t *testing.T) {
		t.Helper()
		a := try(row.allowed)
		if !wantStatus(t, row.word, a, row.refused) {
			return
		}
		if text := a.Text(); !strings.Contains(text, row.because) {
			t.Errorf("the page does not say %q: %s", row.because, text)
		}
		seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
		wait, retry := time.Duration(seconds)*time.Second, row.retry
		if retry == tomorrow {
			retry = untilTomorrow() + time.Minute
		}
		switch {
		case retry == 0 && row.refused == http.StatusTooManyRequests && err == nil && wait > 2*time.Second: // a new code may be asked for in a moment
			t.Errorf("Retry-After %s for what time does not end", wait)
		case retry > 0 && (err != nil || wait > retry || wait < retry-3*time.Minute):
			t.Errorf("Retry-After %q, want about %s", a.Header.Get("Retry-After"), retry)
		}
	}
	refused(l.t)
	refused(l.t)
	return refused
}

// Every word that contract.md has, and every word of the Caddyfile that shows them all, is run above.
func TestEveryWordOfLimitsHasARow(t *testing.T) {
	run := map[string]bool{}
	for _, row := range limitRows() {
		word, _, _ := strings.Cut(row.word, " ")
		run[word] = true
	}
	example, err := os.ReadFile(filepath.Join("..", "..", "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(example), "limits {")
	block, _, _ = strings.Cut(block, "}")
	shown := map[string]bool{}
	for line := range strings.Lines(block) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			shown[words[0]] = true
		}
	}
	for _, word := range strings.Fields(limitWords) {
		if !shown[word] {
			t.Errorf("%s is not in Caddyfile.example", word)
		}
		shown[word] = true
	}
	for word := range shown {
		if !run[word] {
			t.Errorf("the limit %s is run at its edge by no test", word)
		}
	}
	for word := range run {
		if !shown[word] {
			t.Errorf("%s is no word of limits", word)
		}
	}
}
