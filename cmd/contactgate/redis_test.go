package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/store/redistest"
	"github.com/contactgate/contactgate/internal/testbed"
	"github.com/contactgate/contactgate/internal/verify"
)

// Two gate processes on one Redis, and what happens to people when that is in trouble (attacks.md R01 to R11, R27). The
// faults of the store by itself, with the guards that they test, are in internal/store/redisfault_test.go.

// onRedis is a gate that keeps its accounts there. Both of a pair have the storage of the first.
func onRedis(words, storage string, config func(*rig) string) func(*rig) string {
	return func(r *rig) string {
		text := config(r)
		text = strings.Replace(text, "store bolt "+r.dir+"/accounts.db", "store redis "+words, 1)
		return strings.Replace(text, "storage file_system "+r.dir+"/storage", "storage file_system "+storage, 1)
	}
}

// startPair runs two gates at the same moment, on a Redis and a storage that are empty.
func startPair(t *testing.T, words string) (one, two *rig) {
	t.Helper()
	return startPairWith(t, words, plainConfig)
}

// startPairWith is startPair with another configuration than plainConfig.
func startPairWith(t *testing.T, words string, config func(*rig) string) (one, two *rig) {
	t.Helper()
	one, err := newRig()
	if err != nil {
		t.Fatal(err)
	}
	one.config = onRedis(words, one.dir+"/storage", config)(one)
	if two, err = one.another(); err != nil {
		t.Fatal(err)
	}
	two.config = onRedis(words, one.dir+"/storage", config)(two)
	// Caddy's own CA is made without a lock: two nodes that do so at once may trip over each other. (It is not used here.)
	file := filepath.Join(one.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(one.config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := one.Command("validate", "--config", file, "--adapter", "caddyfile"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var starting sync.WaitGroup
	for _, r := range []*rig{two, one} { // the first is closed last, with what both use
		t.Cleanup(func() { r.finish(t) })
		starting.Go(func() {
			if err := r.Start(); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return one, two
}

// another is a second gate around the same sign-in, app and mail server.
func (r *rig) another() (*rig, error) {
	if err := r.certify(); err != nil {
		return nil, err
	}
	two, err := newRig()
	if err != nil {
		return nil, err
	}
	two.Mail.Close()
	two.App.Close()
	two.Auth.Close()
	two.Phone.Close()
	two.Mail, two.App, two.Auth, two.Phone, two.roots = r.Mail, r.App, r.Auth, r.Phone, r.roots
	for _, name := range []string{"cert.pem", "key.pem"} {
		content, readErr := os.ReadFile(filepath.Join(r.dir, name))
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(two.dir, name), content, 0o600))
	}
	return two, err
}

// on is the same browser at the same site, whose name leads to another node.
func (p *person) on(r *rig) *person {
	if p.rig == r {
		return p
	}
	again := *p
	again.rig = r
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: r.roots}, ForceAttemptHTTP2: true, DisableCompression: true, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: p.local}).DialContext(ctx, network, "127.0.0.1:"+r.port)
		},
	}
	client := *p.client
	client.Transport = watched{transport, p.t, r}
	again.client = &client
	return &again
}

func TestTwoGatesShareOneRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	one, two := startPair(t, redis.URL())

	made := 0
	for _, r := range []*rig{one, two} {
		made += strings.Count(r.logTail(1<<20), "made a key ring")
	}
	if made != 1 {
		t.Errorf("%d key rings were made by two nodes that started at once", made)
	}

	areOneGate(t, one, two)
	otherKeysAreRefused(t, one, redis.URL())

	// P3: guesses, from both sides at once.
	bob := newPerson(t, one, "app.example", "bob")
	form, _ := bob.AskCode(bob.Email).Form("verify/code", 0)
	right := one.WaitMail(t, bob.Email, 1).Code()
	two.oracle.secret("code", right)
	var guesses sync.WaitGroup
	begin := make(chan struct{})
	var next atomic.Int64
	statuses := make([]atomic.Int64, 600)
	for i := range 50 {
		on := bob.on([]*rig{one, two}[i%2])
		guesses.Go(func() {
			<-begin
			for n := next.Add(1); n <= 500; n = next.Add(1) {
				guess := fmt.Sprintf("%06d", n)
				if guess == right {
					continue
				}
				fields := map[string][]string{"code": {guess}, "csrf": form.Fields["csrf"]}
				if a, err := on.try(on.formRequest(form.Action, fields)); err == nil {
					statuses[a.StatusCode].Add(1)
				}
			}
		})
	}
	close(begin)
	guesses.Wait()
	evaluated := 0
	for _, r := range []*rig{one, two} {
		for _, line := range r.Audit(t, bob.User, "code_tried") {
			if line["result"] == "wrong" {
				evaluated++
			}
		}
	}
	if evaluated == 0 || evaluated > 5 || statuses[http.StatusSeeOther].Load() > 0 {
		t.Errorf("%d guesses were evaluated; answers: 422 %d, 429 %d, 503 %d", evaluated, statuses[422].Load(), statuses[429].Load(), statuses[503].Load())
	}

	// K01, R27: first visits, on both sides at once.
	cyd := newPerson(t, one, "app.example", "cyd")
	var unanswered atomic.Int64
	begin = make(chan struct{})
	for i := range 200 {
		on := cyd.on([]*rig{one, two}[i%2])
		guesses.Go(func() {
			<-begin
			if a, err := on.try(navigation(on.Request(http.MethodGet, "/app", nil))); err != nil || a.StatusCode == http.StatusServiceUnavailable {
				unanswered.Add(1)
			}
		})
	}
	close(begin)
	guesses.Wait()
	cyd.Open("/app") // on a machine that is very busy all of them may have got 503
	// Whose answer came too late tells nobody of the grace that it began.
	n := len(one.Audit(t, cyd.User, "grace_started")) + len(two.Audit(t, cyd.User, "grace_started"))
	if n > 1 || n == 0 && unanswered.Load() == 0 {
		t.Errorf("grace started %d times, and %d had no answer", n, unanswered.Load())
	}
}

// areOneGate: what is done on one node counts on the other, and within a second.
func areOneGate(t *testing.T, one, two *rig) {
	t.Helper()
	ann := newPerson(t, one, "late.example", "ann")
	overdue(ann)
	page := ann.on(two).Visit("/.contactgate/verify")
	prove := ann.on(two).Submit(page, "verify/send")
	codePage := ann.on(two).Follow(ann.on(two).Submit(prove, "verify/send", "proof", ann.Email))
	code := one.WaitMail(t, ann.Email, 1).Code()
	two.oracle.secret("code", code)
	f, ok := codePage.Form("verify/code", 0)
	if !ok {
		t.Fatalf("no form for the code: %s", codePage.Text())
	}
	f.Fields.Set("code", code)
	began := time.Now()
	mustStatus(t, ann.Post(f.Action, f.Fields), http.StatusSeeOther) // asked on two, entered on one
	for ann.on(two).Open("/app").StatusCode != http.StatusOK {
		if testbed.Took(began) > time.Second {
			t.Fatal("verified on one, and not on the other within a second")
		}
	}
	ann.NewCase().wantPass("verified", ann.Open("/app"))

	// F16: an operator's word on one, on both within 5 s.
	one.Accounts(t, "freeze", "main", ann.User)
	for _, r := range []*rig{one, two} {
		if !testbed.Until(5*time.Second, func() bool { return ann.on(r).Open("/app").StatusCode != http.StatusOK }) {
			t.Fatal("frozen on one, and not on both within five seconds")
		}
	}
}

// The same where Redis is more than one server.
func TestTwoGatesShareSentinelsOrACluster(t *testing.T) {
	t.Parallel()
	t.Run("Sentinels", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSentinels(t, 1)
		one, two := startPair(t, "sentinel "+set.Name+" "+set.URL())
		areOneGate(t, one, two)
	})
	t.Run("Cluster", func(t *testing.T) {
		t.Parallel()
		one, two := startPair(t, "cluster "+redistest.StartCluster(t, 3).URL())
		areOneGate(t, one, two)
	})
}

// otherKeysAreRefused: a node that could not read what the others wrote does not start, and says whose keys it has.
func otherKeysAreRefused(t *testing.T, one *rig, url string) {
	t.Helper()
	three, err := one.another()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(three.dir)
	ring, err := verify.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(three.dir, "ring")
	if err := os.WriteFile(file, []byte(ring), 0o600); err != nil {
		t.Fatal(err)
	}
	three.config = onRedis(url, one.dir+"/storage", plainConfig)(three)
	three.config = strings.Replace(three.config, "brand \"Example\"", "brand \"Example\"\n\t\tkeys {file."+file+"}", 1)
	err = three.Start()
	for try := 0; err == nil && try < 5; try++ { // a machine that stalls takes Redis for away: that node starts, and waits
		if err := three.Stop(); err != nil {
			t.Fatal(err)
		}
		err = three.Start()
	}
	keys, _ := verify.ParseKeyring(ring)
	if err == nil || !strings.Contains(err.Error(), "the store was sealed with the key ring") || !strings.Contains(err.Error(), "this node has "+keys.Fingerprint()) {
		t.Errorf("a node with other keys: %v", err)
	}
	if err == nil {
		_ = three.Stop()
	}
}

// crowd are people who come, ask for a code and enter it, on both nodes, whatever happens to the store. It keeps the
// ledger of those who were shown that they are done.
type crowd struct {
	t     *testing.T
	nodes []*rig
	stop  chan struct{}
	all   sync.WaitGroup

	mu      sync.Mutex
	done    []*person
	away    int           // answers 503
	slowest time.Duration // of any answer but to sending, which waits for the mail server, too
	faults  []string
}

func gather(t *testing.T, nodes ...*rig) *crowd {
	c := &crowd{t: t, nodes: nodes, stop: make(chan struct{})}
	for i := range 4 {
		// People are made here: a test may only be failed from its own goroutine.
		var people []*person
		for range 150 {
			people = append(people, newPerson(t, nodes[i%len(nodes)], "app.example", "crowd"))
		}
		c.all.Go(func() {
			for _, p := range people {
				select {
				case <-c.stop:
					return
				default:
					c.walk(p)
				}
			}
		})
	}
	return c
}

// leave ends the coming and going.
func (c *crowd) leave() {
	close(c.stop)
	c.all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fault := range c.faults {
		c.t.Error(fault)
	}
	c.t.Logf("%d people were told that they are done; %d answers were 503; the slowest took %s", len(c.done), c.away, c.slowest.Round(time.Millisecond))
}

func (c *crowd) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) < 10 {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

// ask sends a request and again while the store is away, as a person does who reads "try again in a moment".
func (c *crowd) ask(p *person, request func() *http.Request, sends bool) *answer {
	for {
		began := time.Now()
		a, err := p.try(request())
		took := testbed.Took(began)
		if err != nil {
			c.fault("no answer: %v", err)
			return nil
		}
		c.mu.Lock()
		if !sends {
			c.slowest = max(c.slowest, took)
		}
		if a.StatusCode == http.StatusServiceUnavailable {
			c.away++
		}
		c.mu.Unlock()
		if a.StatusCode != http.StatusServiceUnavailable {
			return a
		}
		if a.Header.Get("Retry-After") == "" {
			c.fault("503 without Retry-After")
		}
		select {
		case <-c.stop:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *crowd) walk(p *person) {
	get := func(target string) *answer {
		return c.ask(p, func() *http.Request { return navigation(p.Request(http.MethodGet, target, nil)) }, false)
	}
	post := func(page *answer, action string, sends bool, field, value string) *answer {
		f, ok := page.Form(action, 0)
		if !ok {
			c.fault("no form %s on a page (%d): %.200s", action, page.StatusCode, page.Text())
			return nil
		}
		if field != "" {
			f.Fields.Set(field, value)
		}
		return c.ask(p, func() *http.Request { return p.formRequest(f.Action, f.Fields) }, sends)
	}
	page := get("/.contactgate/verify")
	if page == nil {
		return
	}
	if page = post(page, "verify/send", false, "", ""); page == nil {
		return
	}
	sent := post(page, "verify/send", true, "proof", p.Email)
	if sent == nil || sent.StatusCode != http.StatusSeeOther {
		return // sent twice, say: another limit
	}
	if page = get("/.contactgate/verify/code"); page == nil {
		return
	}
	for end := time.Now().Add(5 * time.Second); len(p.rig.Mails(p.Email)) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return // the message waits for a worker while the store is away
		}
	}
	mails := p.rig.Mails(p.Email)
	code := mails[len(mails)-1].Code()
	for _, r := range c.nodes {
		r.oracle.secret("code", code)
	}
	entered := post(page, "verify/code", false, "code", code)
	switch {
	case entered == nil:
	case entered.StatusCode == http.StatusSeeOther:
		c.mu.Lock()
		c.done = append(c.done, p)
		c.mu.Unlock()
	default:
		c.fault("the right code got %d: %.300s", entered.StatusCode, entered.Text())
	}
}

// settled waits until somebody new gets through again.
func (c *crowd) settled(within time.Duration) {
	c.t.Helper()
	before, began := c.count(), time.Now()
	if !testbed.Until(within, func() bool { return c.count() >= before+4 }) {
		c.t.Fatalf("nobody got through within %s", within)
	}
	c.t.Logf("people get through again %s after it was over", time.Since(began).Round(time.Millisecond))
}

func (c *crowd) turnedAway() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away
}

func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.done)
}

// check compares the ledger with what every node says now.
func (c *crowd) check() {
	c.t.Helper()
	if len(c.done) == 0 {
		c.t.Error("nobody got through at all")
	}
	if c.slowest > 2*time.Second {
		c.t.Errorf("somebody waited %s for an answer", c.slowest)
	}
	end := time.Now().Add(10 * time.Second) // for whoever is in the last part of a Cluster to come back
	for _, p := range c.done {
		for _, r := range c.nodes {
			there := p.on(r)
			status := there.gateStatus()
			for ; status == "" && time.Now().Before(end); status = there.gateStatus() {
				time.Sleep(50 * time.Millisecond)
			}
			if status != "verified" {
				c.t.Errorf("%s was told to be done, and is %q", p.User, status)
			}
		}
	}
}

// gateStatus is what scripts of the app are told; empty while the store is away.
func (p *person) gateStatus() string {
	var body struct{ Status any }
	a := p.Fetch(http.MethodGet, "/.contactgate/status")
	_ = json.Unmarshal([]byte(a.Body), &body)
	status, _ := body.Status.(string) // a problem has a number there
	return status
}

// onlyTheKnownPass: with the store away, whoever is remembered as verified passes, and so does what is exempt. Everybody else
// is told so.
func onlyTheKnownPass(t *testing.T, what string, known, late *person, rigs ...*rig) {
	t.Helper()
	for _, r := range rigs {
		if a := known.on(r).Open("/app"); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d for somebody who is known to be verified", what, a.StatusCode)
		}
		if a := late.on(r).Open("/app"); a.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %d for somebody who is not", what, a.StatusCode)
		}
		if a := late.on(r).Fetch(http.MethodGet, "/app"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d for a script of theirs", what, a.StatusCode)
		}
		if a := late.on(r).Open("/public/x"); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d for an exempt path", what, a.StatusCode)
		}
	}
}

// P5 and P7 for people: what they were told holds, and every answer is honest and comes in time, on one server that is
// killed and comes back with its file, and that hangs.
func TestPeopleWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	one, two := startPair(t, redis.URL())
	known := newPerson(t, one, "late.example", "known").Verify()
	remembered := func() {
		// A node that was just started, or has just found Redis again, may have missed changes and forgets all.
		time.Sleep(2500 * time.Millisecond)
		known.on(two).Visit("/app")
		known.Visit("/app")
	}
	late := newPerson(t, one, "late.example", "late")
	overdue(late)
	c := gather(t, one, two)
	whileAway := func(what string) { t.Helper(); onlyTheKnownPass(t, what, known, late, one, two) }
	remembered()
	redis.Kill()
	whileAway("killed")
	redis.Start()
	c.settled(5 * time.Second)

	remembered()
	redis.Pause()
	whileAway("hanging")
	time.Sleep(1500 * time.Millisecond)
	redis.Resume()
	c.settled(5 * time.Second)
	c.leave()
	c.check()
	late.NewCase().wantGated("afterwards", late.Open("/app"))
	for _, r := range []*rig{one, two} {
		lines := r.LogLines(t, func(line map[string]any) bool {
			msg, _ := line["msg"].(string)
			return line["level"] == "error" && strings.Contains(msg, "get 503 until this works again")
		})
		if len(lines) == 0 || len(lines) > 3 {
			t.Errorf("two outages are told in %d lines", len(lines))
		}
		metrics, err := r.metrics()
		if err != nil || !strings.Contains(metrics, `contactgate_store_errors_total{operation="get",store="redis"}`) {
			t.Errorf("no store errors in the metrics (%v)", err)
		}
	}
}

// R11: a Redis that answers, and refuses. Scripts that it has forgotten are sent again; a full one, and one that was made a
// replica, is as good as away; and nobody who was told to be done is not.
func TestPeopleWhileRedisRefuses(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	one, two := startPair(t, redis.URL())
	known := newPerson(t, one, "late.example", "known").Verify()
	late := newPerson(t, one, "late.example", "late")
	overdue(late)
	c := gather(t, one, two)
	// Once of three times nobody has to notice: a 503 may be the machine's.
	noticed := 0
	for range 3 {
		before, away := c.count(), c.turnedAway()
		for ; c.count() < before+6; time.Sleep(5 * time.Millisecond) {
			redis.Do("SCRIPT", "FLUSH")
		}
		if noticed = c.turnedAway() - away; noticed == 0 {
			break
		}
	}
	if noticed != 0 {
		t.Errorf("%d answers were 503 because scripts were forgotten", noticed)
	}
	redis.Do("CONFIG", "SET", "maxmemory", "1")
	for _, r := range []*rig{one, two} {
		if a := known.on(r).Open("/app"); a.StatusCode != http.StatusOK {
			t.Errorf("full: %d for who is verified", a.StatusCode) // it can be read
		}
		late.NewCase().wantGated("full, overdue", late.on(r).Open("/app"))
		wantStatus(t, "full, somebody new", newPerson(t, r, "late.example", "new").Open("/app"), http.StatusServiceUnavailable)
	}
	redis.Do("CONFIG", "SET", "maxmemory", "0")
	c.settled(5 * time.Second)

	known.on(two).Visit("/app")
	known.Visit("/app")
	redis.Do("REPLICAOF", "127.0.0.1", "1")
	for _, r := range []*rig{one, two} { // and after a moment reads are not believed either
		testbed.Until(10*time.Second, func() bool { return late.on(r).Open("/app").StatusCode == http.StatusServiceUnavailable })
	}
	onlyTheKnownPass(t, "a replica", known, late, one, two)
	redis.Do("REPLICAOF", "NO", "ONE")
	c.settled(5 * time.Second)
	c.leave()
	c.check()
	late.NewCase().wantGated("afterwards", late.Open("/app"))
}

// Every fourth write is carried out and its answer is lost on the way. People notice nothing: a right code is right, once,
// and one request sends once (P4, P5, P6).
func TestPeopleWhileAnswersAreLost(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	proxy := redistest.StartProxy(t, redis.Addr)
	one, two := startPair(t, "redis://"+proxy.Addr)
	var writes atomic.Int64
	proxy.Rule(func(request []byte) redistest.Fate {
		if bytes.Contains(request, []byte("evalsha")) && writes.Add(1)%4 == 0 {
			return redistest.Lose
		}
		return redistest.Deliver
	})
	c := gather(t, one, two)
	c.settled(20 * time.Second)
	c.settled(20 * time.Second)
	c.leave()
	proxy.Rule(nil)
	c.check()
	if proxy.Lost() < 10 {
		t.Errorf("only %d answers were lost", proxy.Lost())
	}
	for _, p := range c.done {
		codes := map[string]bool{}
		mails := one.Mails(p.Email)
		for _, m := range mails {
			codes[m.Code()] = true
		}
		if len(mails) > 2 || len(codes) != 1 {
			t.Errorf("%s got %d messages with %d codes", p.User, len(mails), len(codes))
		}
		if n := len(one.Audit(t, p.User, "contact_verified")) + len(two.Audit(t, p.User, "contact_verified")); n > 1 {
			t.Errorf("%s was verified %d times", p.User, n)
		}
	}
}

// R01: the gate starts without its Redis, the first time and with people in it. It says so to those whom it does not know,
// and goes on by itself.
func TestGateThatStartsBeforeItsRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.New(t)
	r := startRig(t, func(r *rig) string { return onRedis(redis.URL(), r.dir+"/storage", plainConfig)(r) })
	ann, bob := newPerson(t, r, "late.example", "ann"), newPerson(t, r, "late.example", "bob")
	away := func(what string, people ...*person) {
		t.Helper()
		for _, p := range people {
			began := time.Now()
			a := p.Open("/app")
			if wantStatus(t, what, a, http.StatusServiceUnavailable) && a.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", what)
			}
			if took := testbed.Took(began); took > 2*time.Second {
				t.Errorf("%s: answered after %s", what, took)
			}
			wantStatus(t, what+", what is exempt", p.Open("/public/x"), http.StatusOK)
		}
	}
	back := func(p *person, want int) {
		t.Helper()
		redis.Start()
		if !testbed.Until(5*time.Second, func() bool { return p.Open("/app").StatusCode == want }) {
			t.Fatalf("still %d, 5 s after Redis came", p.Open("/app").StatusCode)
		}
	}
	away("before anybody was there", ann, bob)
	if out, err := r.Command("gate", "doctor", "--address", "unix/"+r.dir+"/admin.sock"); err == nil || !strings.Contains(out, "store") {
		t.Errorf("doctor (%v):\n%s", err, out)
	}
	back(ann, http.StatusSeeOther)
	ann.Verify()
	overdue(bob)
	graces := len(r.Audit(t, bob.User, "grace_started"))

	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	redis.Kill()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	away("with people in it", ann, bob)
	back(ann, http.StatusOK)
	bob.NewCase().wantGated("overdue", bob.Open("/app"))
	if n := len(r.Audit(t, bob.User, "grace_started")); n != graces {
		t.Errorf("%d graces were started", n-graces)
	}
}

// metrics reads Caddy's own endpoint.
func (r *rig) metrics() (string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/metrics", nil)
	if err != nil {
		return "", err
	}
	_, text, err := r.admin(req)
	return text, err
}

// A failover of Sentinels, and of a Cluster: back within 10 s, and nobody who was told to be done is not.
func TestPeopleWhileAMasterDies(t *testing.T) {
	t.Parallel()
	t.Run("Sentinels", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSentinels(t, 1)
		one, two := startPair(t, "sentinel "+set.Name+" "+set.URL())
		c := gather(t, one, two)
		time.Sleep(time.Second)
		set.Servers[0].Kill()
		set.Servers[1].WaitFor("being the master", 30*time.Second, func() bool { return set.Servers[1].Info("role") == "master" })
		c.settled(10 * time.Second)
		c.leave()
		c.check()
	})
	t.Run("Cluster", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.StartCluster(t, 3)
		one, two := startPair(t, "cluster "+cluster.URL())
		c := gather(t, one, two)
		time.Sleep(time.Second)
		cluster.Nodes[0].Kill()
		cluster.Nodes[3].WaitFor("being a master", 30*time.Second, func() bool { return cluster.Nodes[3].Info("role") == "master" })
		c.settled(10 * time.Second)
		c.leave()
		c.check()
	})
}

// R09: after FLUSHALL nobody becomes verified and nobody gets another grace, on no node; an operator is told what to do,
// and with the operator's word all goes on, with everybody new.
func TestPeopleAfterFlushall(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	one, two := startPair(t, redis.URL())
	known := newPerson(t, one, "late.example", "known").Verify()
	late := newPerson(t, one, "late.example", "late")
	overdue(late)
	graces := func(p *person) int {
		return len(one.Audit(t, p.User, "grace_started")) + len(two.Audit(t, p.User, "grace_started"))
	}
	before := graces(late)
	redis.Do("FLUSHALL")
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		for _, r := range []*rig{one, two} {
			wantStatus(t, "overdue", late.on(r).Open("/app"), http.StatusServiceUnavailable)
			wantStatus(t, "new", newPerson(t, r, "late.example", "new").Open("/app"), http.StatusServiceUnavailable)
			if a := known.on(r).Open("/app"); a.StatusCode != http.StatusServiceUnavailable && a.StatusCode != http.StatusOK {
				t.Errorf("verified: %d", a.StatusCode) // remembered for a moment, at most
			}
		}
	}
	for _, r := range []*rig{one, two} {
		wantStatus(t, "verified before", known.on(r).Open("/app"), http.StatusServiceUnavailable)
	}
	if graces(late) != before {
		t.Error("somebody overdue got another grace")
	}
	out, err := one.Command("gate", "doctor", "--address", "unix/"+one.dir+"/admin.sock")
	if err == nil || !strings.Contains(out, "the store is empty") || !strings.Contains(out, "--accept-empty-store") {
		t.Errorf("doctor says (%v):\n%s", err, out)
	}
	if out, err = one.Command("gate", "doctor", "--address", "unix/"+one.dir+"/admin.sock", "--accept-empty-store", "--reason", "a test"); err != nil {
		t.Errorf("accepting: %v\n%s", err, out)
	}
	for _, r := range []*rig{one, two} {
		if !testbed.Until(5*time.Second, func() bool { return late.on(r).Open("/app").StatusCode != http.StatusServiceUnavailable }) {
			t.Fatal("a node does not go on after the store was accepted")
		}
	}
	if !slices.Contains([]string{"due", "overdue"}, known.gateStatus()) {
		t.Errorf("in the new store somebody is %q", known.gateStatus())
	}
}
