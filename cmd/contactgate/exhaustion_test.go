package main

import (
	"bufio"
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
)

// Whoever wants the gate to run out of something: of memory, of goroutines, of workers, of file descriptors, of other people's
// tries. What is held here is the cause (counts, bounds, what is left behind); how fast it all goes is for make bench.

// newcomers makes so many people whom nobody knows open a page, many at once, and counts the answers by their status.
func newcomers(t *testing.T, r *rig, n int) map[int]int {
	t.Helper()
	var mu sync.Mutex
	answers, crowd := map[int]int{}, nobodyYet(t, r, "app.example")
	many(n, func(int) {
		user := unique("newcomer")
		r.Auth.Say(user, signedIn(user, user+".long@example.com"))
		ask := func() (*answer, error) {
			return crowd.try(navigation(withHeader(crowd.Request("GET", "/app", nil), []string{"Cookie", "sess=" + user})))
		}
		a, err := ask()
		if err == nil && a.StatusCode == http.StatusServiceUnavailable { // the machine is too busy for the store's patience
			a, err = ask()
		}
		if err != nil {
			t.Errorf("somebody new: %v", err)
			return
		}
		mu.Lock()
		answers[a.StatusCode]++
		mu.Unlock()
	})
	crowd.wantUnseen("somebody new")
	return answers
}

// many does something n times, 32 at once.
func many(n int, do func(i int)) {
	var all sync.WaitGroup
	var next atomic.Int64
	for range min(n, 32) {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				do(int(i))
			}
		})
	}
	all.Wait()
}

// count is how often something happens: as make soak says, or often enough for every day.
func count(t *testing.T, name string, daily int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return daily
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// profile reads one of the gate's profiles from Caddy's admin endpoint.
func (r *rig) profile(t *testing.T, query string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/debug/pprof/"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, text, err := r.admin(req)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v", query, status, err)
	}
	return text
}

func numberIn(t *testing.T, text, before string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)` + before + `\s*(\d+)`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %.500s", before, text)
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

var sameStack = regexp.MustCompile(`(?m)^(\d+) @`)

// goroutines counts all but those of connections to the sign-in and the app that Caddy keeps for the next request.
func (r *rig) goroutines(t *testing.T) int {
	t.Helper()
	all := 0
	for alike := range strings.SplitSeq(r.profile(t, "goroutine?debug=1"), "\n\n") {
		if found := sameStack.FindStringSubmatch(alike); found != nil && !strings.Contains(alike, "net/http.(*persistConn)") {
			n, _ := strconv.Atoi(found[1])
			all += n
		}
	}
	return all
}

// live is what is on the heap after a collection.
func (r *rig) live(t *testing.T) int {
	t.Helper()
	return numberIn(t, r.profile(t, "heap?gc=1&debug=1"), "^# HeapAlloc =")
}

// peak is the most memory that the process ever had, as the system counts it.
func (r *rig) peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return numberIn(t, string(status), "^VmHWM:") << 10
}

// watchesRaces tells whether the binary has the race detector in it, which takes several times the memory for itself.
func watchesRaces(t *testing.T) bool {
	t.Helper()
	info, err := buildinfo.ReadFile(os.Getenv("CONTACTGATE_BINARY"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// wantAsBefore waits until no more goroutines are there than before, but for twenty.
func (r *rig) wantAsBefore(t *testing.T, before int) {
	t.Helper()
	now := 0
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if now = r.goroutines(t); now <= before+20 {
			return
		}
	}
	t.Errorf("%d goroutines before, and %d now", before, now)
}

func (r *rig) fileSize(t *testing.T) int64 { return r.file(t).Size() }

func (r *rig) file(t *testing.T) os.FileInfo {
	t.Helper()
	info, err := os.Stat(filepath.Join(r.dir, "accounts.db"))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// metric is one line of the metrics; 0 when it is not there yet.
func (r *rig) metric(t *testing.T, name string) int {
	t.Helper()
	text, err := r.metrics()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "\n"+name+" ") {
		return 0
	}
	return numberIn(t, text, "^"+regexp.QuoteMeta(name))
}

// O01: people whom nobody knows, all at once, cost the store 2 kB each at most and the process nothing that stays.
// CONTACTGATE_NEWCOMERS sets how many: 50,000 in make soak.
func TestO01NewPeopleAtOnceCostLittle(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	newcomers(t, r, 100) // what is made once
	live, size := r.live(t), r.fileSize(t)
	n := count(t, "CONTACTGATE_NEWCOMERS", 600)
	if got := newcomers(t, r, n); got[http.StatusSeeOther] != n {
		t.Errorf("%d people were answered %v", n, got)
	}
	// The file doubles when it grows.
	if grown := r.fileSize(t) - size; grown > 2*int64(n)*2000 {
		t.Errorf("%d bytes in the store for %d people", grown, n)
	}
	if grown := r.live(t) - live; grown > 4<<20 {
		t.Errorf("%d bytes stay in memory for %d people", grown, n)
	}
	if peak := r.peak(t); peak > 300<<20 && !watchesRaces(t) {
		t.Errorf("%d bytes of memory", peak)
	}
	ann := newPerson(t, r, "app.example", "ann").Verify()
	ann.NewCase().wantPass("somebody among them", ann.Open("/app"))
}

// O02: forms that come byte by byte, and requests that never end their header, keep nobody waiting. Forms are given up; the
// header is Caddy's.
func TestO02SlowClientsKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	bob := newPerson(t, r, "late.example", "bob")
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	overdue(bob)
	before := r.goroutines(t)
	host := "late.example:" + r.port
	mute, slow := make([]net.Conn, 100), make([]net.Conn, 300)
	many(len(mute), func(i int) {
		mute[i-1] = r.slowly(t, "GET /app HTTP/1.1\r\nHost: "+host+"\r\nX-")
	})
	many(len(slow), func(i int) {
		slow[i-1] = r.slowly(t, "POST /.contactgate/verify/code HTTP/1.1\r\nHost: "+host+"\r\nOrigin: https://"+host+
			"\r\nContent-Type: application/x-www-form-urlencoded\r\nCookie: sess="+bob.User+"\r\n"+caseHeader+": "+bob.Case+"\r\nContent-Length: 1000\r\n\r\nc")
	})
	if t.Failed() {
		return
	}
	var held sync.WaitGroup
	for _, c := range slow {
		held.Go(func() {
			ended := make(chan struct{})
			defer close(ended)
			go func() {
				for {
					select {
					case <-ended:
						return
					case <-time.After(time.Second):
						_, _ = io.WriteString(c, "o")
					}
				}
			}()
			in := bufio.NewReader(c)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Errorf("a form that came byte by byte had no answer: %v", err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if _, err := in.ReadByte(); resp.StatusCode != http.StatusBadRequest || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a form that came byte by byte: %d, then %v", resp.StatusCode, err)
			}
		})
	}
	cyd.NewCase().wantPass("beside them, who is verified", cyd.Open("/app"))
	newPerson(t, r, "app.example", "ann").Verify()
	held.Wait()
	for _, c := range mute {
		_ = c.Close()
	}
	r.wantAsBefore(t, before)
	bob.wantUnseen("O02")
}

// slowly opens a connection that says no more than this, and has a minute.
func (r *rig) slowly(t *testing.T, begin string) net.Conn {
	c := r.dial(t, "late.example", "http/1.1")
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, begin); err != nil {
		t.Error(err)
	}
	return c
}

// O03: guesses beyond the last try are neither compared nor written down, not even the right one.
func TestO03GuessesBeyondTheLastTryCostNothing(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	eve := newPerson(t, r, "app.example", "eve")
	page := eve.AskCode(eve.Email)
	code := r.WaitMail(t, eve.Email, 1).Code()
	f, _ := page.Form("verify/code", 0)
	f.Fields.Set("code", notCode(code))
	for range 5 {
		wantStatus(t, "a guess", eve.Post(f.Action, f.Fields), http.StatusUnprocessableEntity)
	}
	wantStatus(t, "the sixth", eve.Post(f.Action, f.Fields), http.StatusTooManyRequests)
	written := r.file(t).ModTime()
	f.Fields.Set("code", code)
	const guesses = 100
	many(guesses, func(int) {
		a, err := eve.try(eve.formRequest(f.Action, f.Fields))
		if err != nil || a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
			t.Errorf("beyond the last try: %v %v", a, err)
		}
	})
	for result, want := range map[string]int{"wrong": 5, "tries_used": guesses + 1, "accepted": 0} {
		if n := r.metric(t, fmt.Sprintf("contactgate_code_checks_total{result=%q}", result)); n != want {
			t.Errorf("%d codes were %s, want %d", n, result, want)
		}
	}
	if again := r.file(t).ModTime(); !again.Equal(written) {
		t.Errorf("the store was written at %s, after the last try at %s", again, written)
	}
}

// O05: streams that are reset as soon as they are opened leave nothing behind. Who is signed in is known at once, so that the
// gate looks them up although nobody waits. CONTACTGATE_RESETS sets how many.
func TestO05ResetStreamsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	r := startRig(t, func(r *rig) string {
		return r.caddyfile(sharedSettings, site{Host: "app.example"},
			site{Host: "late.example", Gate: "grace 1s\nunseen 1s\nask_every 1s", Before: "vars user {header.X-Somebody}", Identity: "identity {http.vars.user}"})
	})
	bob := newPerson(t, r, "late.example", "bob").With("X-Somebody", "bob")
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	overdue(bob)
	r.oracle.excuse(bob.Case)
	const looked = `contactgate_cache_requests_total{result="miss"}`
	before, earlier := r.goroutines(t), r.metric(t, looked)
	streams, lookedUp, connections := 0, 0, 0
	// How many come so far that somebody is looked up is up to the machine: it may be one in twenty.
	for n := count(t, "CONTACTGATE_RESETS", 3000); streams < n || lookedUp < n/30; connections++ {
		if connections > n/20+50 {
			t.Fatalf("only %d streams on %d connections, and %d of them came so far that somebody was looked up", streams, connections, lookedUp)
		}
		streams += resetStreams(t, r, bob, 500)
		lookedUp = r.metric(t, looked) - earlier
	}
	cyd.NewCase().wantPass("after them, who is verified", cyd.Open("/app"))
	newPerson(t, r, "app.example", "ann").Verify()
	r.wantAsBefore(t, before)
	bob.wantUnseen("O05")
}

// resetStreams opens and resets streams on one connection until the gate ends it, and gives how many.
func resetStreams(t *testing.T, r *rig, p *person, n int) (opened int) {
	t.Helper()
	c := r.dial(t, "late.example", "h2")
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }() // or the gate waits with its answers
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	_ = framer.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for opened < n {
		block.Reset()
		path := []string{"/app", "/.contactgate/verify", "/.contactgate/status"}[opened%3]
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", path}, {":authority", "late.example:" + r.port},
			{"accept", "text/html"}, {"x-somebody", "bob"}, {strings.ToLower(caseHeader), p.Case}} {
			_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		stream := uint32(2*opened + 1)
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}) != nil ||
			framer.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			return opened
		}
		opened++
	}
	return opened
}

// O06: whatever eve uses up is her own, or what somebody types who is nobody's: who is named by the sign-in can confirm.
func TestO06NobodyUsesUpWhatOthersNeed(t *testing.T) {
	t.Parallel()
	r := startRig(t, func(r *rig) string { // the limits as they are by default: all come from one address
		return r.caddyfile("remind_authenticator off\nsupport mailto:help@example.com", site{Host: "app.example"})
	})
	victim := unique("victim")
	address := victim + ".long@example.com"
	// Her own tries: codes, proofs.
	eve := newPerson(t, r, "app.example", "eve")
	page := eve.AskCode(eve.Email)
	f, _ := page.Form("verify/code", 0)
	f.Fields.Set("code", notCode(r.WaitMail(t, eve.Email, 1).Code()))
	for range 7 {
		eve.Post(f.Action, f.Fields)
	}
	wantStatus(t, "eve's own code", eve.Post(f.Action, f.Fields), http.StatusTooManyRequests)
	prove := eve.Submit(eve.Visit("/.contactgate/verify"), "verify/send")
	for range 7 {
		eve.Submit(prove, "verify/send", "proof", "not.it@example.com")
	}
	wantStatus(t, "eve's own proof", eve.Submit(prove, "verify/send", "proof", "not.it@example.com"), http.StatusTooManyRequests)
	// What everybody who types ann's address has together, and who types anything from here.
	refused := 0
	for i := range 25 {
		typed := address
		if i >= 8 {
			typed = unique("somebody") + "@example.net"
		}
		a := newPerson(t, r, "app.example", "eve").addMail(typed)
		if a.StatusCode == http.StatusSeeOther {
			continue
		}
		refused++
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if !wantStatus(t, "one too many", a, http.StatusTooManyRequests) || err != nil || wait < 1 || wait > 3600 {
			t.Errorf("the wait: %q", a.Header.Get("Retry-After"))
		}
	}
	if refused != 3+2 {
		t.Errorf("%d were refused: five may type an address, and twenty anything", refused)
	}
	// Guessed notices, and messages to the operator.
	owner := nobodyYet(t, r, "app.example")
	notice := owner.Open("/.contactgate/notice")
	for range 12 {
		owner.Submit(notice, "notice", "code", "AAAAAAAA")
	}
	wantStatus(t, "a notice", owner.Submit(notice, "notice", "code", "AAAAAAAA"), http.StatusTooManyRequests)
	for range 5 {
		eve.AskHelp("other", "more", "nowhere")
	}
	wantStatus(t, "help", eve.AskHelp("other", "more", "nowhere"), http.StatusTooManyRequests)

	ann := asPerson(t, r, "app.example", victim, address).Verify()
	if got := ann.NewCase().wantPass("ann", ann.Open("/app")); got.Header.Get("Contactgate-Status") != "verified" {
		t.Errorf("ann: %v", got.Header)
	}
	ann.referenceOn(ann.AskHelp("other", "am I well?", "here"))
}

// R21: without the app the gate's own pages work and nobody is let through; the error of the app is Caddy's, or its own.
func TestR21AppThatIsDown(t *testing.T) {
	t.Parallel()
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-App", "ill")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "the app's own words")
	}))
	defer ill.Close()
	silent := httptest.NewServer(http.HandlerFunc(hang))
	defer func() { silent.CloseClientConnections(); silent.Close() }()
	r := startRig(t, func(r *rig) string {
		return r.caddyfile(sharedSettings,
			site{Host: "app.example"}, site{Host: "late.example", Gate: "grace 1s\nunseen 1s\nask_every 1s"},
			site{Host: "ill.example", App: "reverse_proxy " + strings.TrimPrefix(ill.URL, "http://")},
			site{Host: "silent.example", App: "reverse_proxy " + strings.TrimPrefix(silent.URL, "http://") + " {\ntransport http {\nresponse_header_timeout 1s\n}\n}"})
	})
	r.oracle.allow(http.StatusBadGateway)
	r.oracle.allow(http.StatusGatewayTimeout)
	bob := newPerson(t, r, "late.example", "bob")
	overdue(bob)
	r.App.Close()
	ann := newPerson(t, r, "app.example", "ann").Verify() // every page of the way
	wantStatus(t, "her own page", ann.Open("/.contactgate/"), http.StatusOK)
	for host, want := range map[string]int{"app.example": http.StatusBadGateway, "ill.example": http.StatusBadGateway, "silent.example": http.StatusGatewayTimeout} {
		for what, a := range map[string]*answer{"a page": ann.At(host).Open("/app"), "a fetch": ann.At(host).Fetch("GET", "/api")} {
			wantStatus(t, what+" at "+host, a, want)
			if ours := a.Header.Get("Content-Security-Policy") + a.Header.Get("Contactgate") + a.Header.Get("Retry-After"); ours != "" {
				t.Errorf("%s at %s: we answered: %v", what, host, a.Header)
			}
			if host == "ill.example" && a.Body != "the app's own words" {
				t.Errorf("the app said %q", a.Body)
			}
		}
	}
	bob.wantPage("bob's page", bob.Open("/app"))
	bob.wantProblem("bob's fetch", bob.Fetch("GET", "/api"))
	wantStatus(t, "bob's way on", bob.Visit("/.contactgate/verify"), http.StatusOK)
}

// R23: with little memory, large forms and new people at once, the gate goes on, and what it keeps stays small.
func TestR23LittleMemory(t *testing.T) {
	t.Parallel()
	r := startRig(t, func(r *rig) string {
		r.env = []string{"GOMEMLIMIT=64MiB"}
		return plainConfig(r)
	})
	bob := newPerson(t, r, "app.example", "bob")
	bob.Visit("/.contactgate/verify")
	pid := r.process.Process.Pid
	ended := make(chan struct{})
	most := make(chan int, 1)
	go func() { // the most that is in use at once
		highest := 0
		defer func() { most <- highest }()
		for {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
				highest = max(highest, numberIn(t, r.profile(t, "heap?debug=1"), "^# HeapInuse ="))
			}
		}
	}()
	var both sync.WaitGroup
	both.Go(func() {
		for status, n := range newcomers(t, r, 200) {
			if status != http.StatusSeeOther && status != http.StatusServiceUnavailable {
				t.Errorf("%d people were answered %d", n, status)
			}
		}
	})
	// Forms of 8 MB of which nobody says how long they are.
	form := make([]byte, 8<<20)
	for i := range form {
		form[i] = 'a'
	}
	both.Go(func() {
		many(16, func(int) {
			req := bob.formRequest("/.contactgate/contacts/new", nil)
			req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(form)), -1
			if a, err := bob.try(req); err == nil && a.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("a form of 8 MB: %d", a.StatusCode)
			}
		})
	})
	both.Wait()
	close(ended)
	if highest := <-most; highest > 100<<20 {
		t.Errorf("%d bytes were in use at once", highest)
	}
	if live := r.live(t); live > 64<<20 {
		t.Errorf("%d bytes stay in use", live)
	}
	newPerson(t, r, "app.example", "ann").Verify()
	if r.process.Process.Pid != pid {
		t.Error("it was started anew")
	}
}

// R24: without file descriptors nobody is let through by accident, and when there are some again all is as before.
func TestR24NoFileDescriptors(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	r.oracle.allow(http.StatusBadGateway) // of forward_auth, which cannot connect
	bob := newPerson(t, r, "late.example", "bob")
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	overdue(bob)
	cyd.Open("/app") // both have a connection
	before := r.goroutines(t)
	if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(r.process.Process.Pid), "--nofile=256:256").CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v %s", err, out)
	}
	idle := make([]net.Conn, 1000)
	for i := range idle {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+r.port, 5*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()
		idle[i] = c
	}
	r.waitLog(t, "too many open files")
	for range 20 {
		a, err := bob.try(navigation(bob.Request("GET", "/app", nil)))
		if err == nil && a.StatusCode != http.StatusSeeOther && a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("somebody blocked: %d", a.StatusCode)
		}
		if a, err = cyd.try(navigation(cyd.Request("GET", "/.contactgate/verify", nil))); err == nil && a.StatusCode >= 500 && a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("our page: %d", a.StatusCode)
		}
	}
	bob.wantUnseen("somebody blocked")
	for _, c := range idle {
		_ = c.Close()
	}
	r.wantAsBefore(t, before)
	newPerson(t, r, "app.example", "ann").Verify() // a new connection, the store, the mail
	cyd.NewCase().wantPass("who was verified before", cyd.Open("/app"))
	bob.wantProblem("who was blocked before", bob.Fetch("GET", "/app"))
}

// waitLog waits until the gate's log says something.
func (r *rig) waitLog(t *testing.T, words string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(r.logFile())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(words)) {
			return
		}
	}
	t.Errorf("the log never says %q", words)
}

// R28: a mail server that hangs has a few workers and no more; decisions go on, the metrics show it, and when it is back so
// are the messages.
func TestR28MailServerThatHangsHoldsAFewWorkers(t *testing.T) {
	t.Parallel()
	r := plainRig(t)
	bob := newPerson(t, r, "late.example", "bob")
	cyd := newPerson(t, r, "app.example", "cyd").Verify()
	overdue(bob)
	before := r.goroutines(t)
	r.Mail.Set(smtptest.Greeting, smtptest.Fault{Delay: 6 * time.Second}) // longer than anybody waits
	const people = 40
	waiting := make([]*person, people)
	forms := make([]form, people)
	for i := range waiting {
		waiting[i] = newPerson(t, r, "app.example", "ann")
		prove := waiting[i].Submit(waiting[i].Visit("/.contactgate/verify"), "verify/send")
		forms[i], _ = prove.Form("verify/send", 0)
		forms[i].Fields.Set("proof", waiting[i].Email)
	}
	var asked sync.WaitGroup
	for i, p := range waiting {
		asked.Go(func() {
			a, err := p.try(p.formRequest(forms[i].Action, forms[i].Fields))
			if err != nil || a.StatusCode != http.StatusSeeOther && (a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "") {
				t.Errorf("somebody who asks for a code: %v %v", a, err)
			}
		})
	}
	ended := make(chan struct{})
	go func() { asked.Wait(); close(ended) }()
	mostHands, mostCalls := 0, 0
	for hanging := true; hanging; {
		cyd.NewCase().wantPass("meanwhile, who is verified", cyd.Open("/app"))
		bob.wantProblem("meanwhile, who is blocked", bob.Fetch("GET", "/app"))
		stacks := r.profile(t, "goroutine?debug=2")
		mostHands = max(mostHands, strings.Count(stacks, "verify.(*workers).deliver("))
		mostCalls = max(mostCalls, strings.Count(stacks, "delivery.(*SMTP).Send("))
		select {
		case <-ended:
			hanging = false
		case <-time.After(100 * time.Millisecond):
		}
	}
	if mostHands > 16 || mostCalls > 8 || mostCalls == 0 {
		t.Errorf("%d workers had something in hand, and %d the mail server", mostHands, mostCalls)
	}
	r.Mail.Behave()
	hung := 0
	for end := time.Now().Add(30 * time.Second); hung == 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, result := range []string{"failed", "deferred", "unanswered"} {
			hung += r.metric(t, fmt.Sprintf(`contactgate_codes_sent_total{channel="email",result=%q}`, result))
		}
	}
	if hung == 0 {
		t.Error("the metrics do not show it")
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		dot := newPerson(t, r, "app.example", "dot")
		a := dot.ask()
		dot.client.CloseIdleConnections()
		if a.StatusCode == http.StatusSeeOther {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("mail did not come back: %d %s", a.StatusCode, a.Text())
		}
	}
	for _, p := range waiting {
		p.client.CloseIdleConnections()
	}
	r.wantAsBefore(t, before)
}
