package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/contactgate/contactgate/internal/delivery/smtptest"
	"github.com/contactgate/contactgate/internal/testbed"
)

// The tests of this folder drive the real binary over HTTP and know only what contract.md says. A rig is one gate process
// with a sign-in, an app and a mail server around it; most tests share one rig (shared) and keep apart by the people and
// sites that they use. What has to hold whatever a test does is checked when the test ends: see oracles_test.go.

// TestMain builds the binary once.
func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if os.Getenv("CONTACTGATE_BENCH") == "" && os.Getenv("CONTACTGATE_BINARY") == "" {
		dir, err := os.MkdirTemp("", "contactgate-build")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary := filepath.Join(dir, "contactgate")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
			return 1
		}
		_ = os.Setenv("CONTACTGATE_BINARY", binary)
	}
	code := m.Run()
	if sharedRig.rig != nil {
		defer os.RemoveAll(sharedRig.rig.dir)
		if faults := sharedRig.rig.close(); len(faults) > 0 && code == 0 {
			fmt.Fprintln(os.Stderr, "the shared rig:\n"+strings.Join(faults, "\n"))
			return 1
		}
	}
	return code
}

// output is what a process says, read while it still says more.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// rig is a running gate and all that is around it.
type rig struct {
	dir  string
	App  *echoApp
	Auth *authStub
	Mail *smtptest.Server
	// Phone takes texts and calls, if the configuration sends any: see phoneSink.Words.
	Phone *phoneSink

	config string
	// env is more of the gate's environment.
	env      []string
	port     string // TLS, every https site
	proxied  string // plain HTTP behind a trusted proxy: this process
	exposed  string // the same configuration, but the peer is no trusted proxy
	loopback string // plain HTTP for localhost

	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{}
	stderr  output
	roots   *x509.CertPool

	oracle oracle
	log    logReader
}

// newRig makes the stubs and the folder. Nothing runs yet.
func newRig() (*rig, error) {
	testbed.Watch()
	dir, err := testbed.MkdirTemp("cg") // short: a Unix socket's path has a limit
	if err != nil {
		return nil, err
	}
	mail, err := smtptest.Start(smtptest.Config{})
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, App: newEchoApp(), Auth: newAuthStub(), Mail: mail, Phone: newPhoneSink()}
	for _, port := range []*string{&r.port, &r.proxied, &r.exposed, &r.loopback} {
		if *port, err = testbed.FreePort(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// startRig runs a gate of its own for a test. config gives the Caddyfile from the rig: see rig.caddyfile.
func startRig(t *testing.T, config func(*rig) string) *rig {
	t.Helper()
	r, err := newRig()
	if err != nil {
		t.Fatal(err)
	}
	r.config = config(r)
	t.Cleanup(func() { r.finish(t) })
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// finish closes the rig of a test, and says what its oracles found.
func (r *rig) finish(t *testing.T) {
	for _, fault := range r.close() {
		t.Error(fault)
	}
	if t.Failed() {
		t.Logf("what the gate's log warns of, and its end:\n%s%s", r.logWarnings(), r.logTail(6000))
	}
	_ = os.RemoveAll(r.dir)
}

var sharedRig struct {
	once sync.Once
	rig  *rig
	err  error
}

// shared gives the rig that most tests use. Its sites are those of sharedSites.
func shared(t *testing.T) *rig {
	t.Helper()
	sharedRig.once.Do(func() {
		r, err := newRig()
		if err == nil {
			r.config = r.caddyfile(sharedSettings, sharedSites(r)...)
			err = r.Start()
			sharedRig.rig = r
		}
		sharedRig.err = err
	})
	if sharedRig.err != nil {
		t.Fatal(sharedRig.err)
	}
	r := sharedRig.rig
	t.Cleanup(func() {
		for _, fault := range r.oracle.check(r) {
			t.Error(fault)
		}
	})
	return r
}

// site is one site of a Caddyfile, behind TLS on rig.port unless it says otherwise.
type site struct {
	// Host, or whole site addresses with blanks between them.
	Host string
	// Gate are the words of the contactgate block; the realm is in them if it is not "main".
	Gate string
	// Identity replaces the identity words; default: forward_auth. Before replaces the forward_auth before the gate.
	Identity, Before string
	// Matcher of the directive.
	Matcher string
	// After is what stands between the gate and the app: another gate, say. App replaces the reverse_proxy.
	After, App string
	// TLS is the directive; default: the rig's own certificate. "-" for none.
	TLS string
}

const byForwardAuth = `identity {header.Remote-User} {
			email {header.Remote-Email}
			groups {header.Remote-Groups}
			set_by forward_auth
		}`

const byTrustedProxy = `identity {header.Remote-User} {
			email {header.Remote-Email}
			groups {header.Remote-Groups}
			set_by trusted_proxies
		}`

func (r *rig) forwardAuth() string {
	return fmt.Sprintf(`forward_auth %s {
		uri /whoami
		copy_headers Remote-User Remote-Email Remote-Groups
	}`, r.Auth.Addr)
}

// namesPhones is forwardAuth for a sign-in that names a phone, too: see withPhone.
func (r *rig) namesPhones() string {
	return strings.Replace(r.forwardAuth(), "copy_headers", "copy_headers Remote-Phone", 1)
}

func (r *rig) text(s site) string {
	address := s.Host
	if !strings.Contains(address, "/") {
		for i, host := range strings.Fields(address) {
			if i == 0 {
				address = ""
			}
			address += fmt.Sprintf("https://%s:%s ", host, r.port)
		}
	}
	realm := ""
	if !strings.Contains(s.Gate, "realm ") {
		realm = "realm main"
	}
	tls := firstOf(s.TLS, fmt.Sprintf("tls %[1]s/cert.pem %[1]s/key.pem", r.dir))
	if tls == "-" {
		tls = ""
	}
	return fmt.Sprintf(`%s {
	%s
	log
	%s
	contactgate %s {
		%s
		%s
		%s
	}
	%s
	%s
}
`, address, tls, firstOf(s.Before, r.forwardAuth()), s.Matcher, firstOf(s.Identity, byForwardAuth), realm, s.Gate, s.After,
		firstOf(s.App, "reverse_proxy "+r.App.Addr))
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// caddyfile is a whole configuration: storage, log at DEBUG and the admin socket in the rig's folder. settings are words of
// the global contactgate block.
func (r *rig) caddyfile(settings string, sites ...site) string {
	text := fmt.Sprintf(`{
	admin unix/%[1]s/admin.sock
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	storage file_system %[1]s/storage
	grace_period 10s
	log {
		level DEBUG
		format json
		output file %[1]s/log.json {
			roll_disabled
		}
	}
	servers {
		protocols h1 h2
	}
	servers :%[2]s {
		protocols h1
		trusted_proxies static 127.0.0.1/32
	}
	servers :%[3]s {
		protocols h1
		trusted_proxies static 10.0.0.0/8
	}
	contactgate {
		store bolt %[1]s/accounts.db
		email smtp {
			address %[4]s
			from "Example account team <account-security-noreply@example.com>"
			subject en "Your Example security code"
			subject ja "Example セキュリティ コード"
		}
		brand "Example"
		languages en ja
		time_zone Asia/Tokyo
		%[6]s
		%[5]s
	}
}
`, r.dir, r.proxied, r.exposed, r.Mail.Address(), settings, r.Phone.Words())
	for _, s := range sites {
		text += r.text(s)
	}
	return text
}

// sharedSettings: the mail limits for a client IP are out of the way, since all tests come from one. The offer of an
// authenticator app after the first proof is made on the sites of its own tests.
const sharedSettings = `limits {
			sends_per_ip 1000000
			typed_sends_per_ip 1000000
			total_budget 10000000
		}
		sign_out /logout
		remind_authenticator off
		support mailto:help@example.com
		channels JP sms voice
		channels US CA sms
		channels DE voice`

const allExemptions = `exempt {
			path /public/*
		}
		exempt {
			path_regexp ^/static/.*\.css$
		}
		exempt {
			host hooks.example
		}
		exempt_users backup-bot
		exempt_groups service-accounts
		exempt_domains *.edu.example`

// quickCodes is the test profile of attacks.md for codes.
const quickCodes = `limits {
			code_lifetime 8s
			resend_after 2s
			sends_per_hour 100
			sends_per_day 100
		}`

// deviceCodes are as quick to be sent again, and live as long as they do anywhere: a slow machine takes its time over a walk.
const deviceCodes = `limits {
			resend_after 2s
			sends_per_hour 100
			sends_per_day 100
		}`

// sharedSites are the sites of the shared rig. Those of realm main share their accounts, so somebody who is in grace at
// app.example can be overdue at late.example at the same moment: an account stores facts, sites have rules.
func sharedSites(r *rig) []site {
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	basic := "basic_auth {\n"
	for i := range 20 {
		basic += fmt.Sprintf("\t\tbasic-%d %s\n", i, hash)
	}
	basic += "\t}"
	return []site{
		{Host: "app.example", Gate: allExemptions + "\npass_headers email"},
		{Host: "late.example hooks.example", Gate: "grace 1s\nunseen 1s\nask_every 1s\n" + allExemptions},
		// For tests in which something happens within the grace: see soonOverdue.
		{Host: "soon.example", Gate: "grace 5s\nunseen 1s\nask_every 1s"},
		{Host: "remind.example", Gate: "grace 1s\nunseen 1s\nask_every 4s\nmode remind"},
		{Host: "observe.example", Gate: "grace 1s\nunseen 1s\nmode observe"},
		{Host: "watch.example", Gate: "mode observe"},
		{Host: "out.example", Gate: "grace 1s\nunseen 1s\nrollout 0%"},
		{Host: "nested.example", Gate: "grace 7d", After: fmt.Sprintf("contactgate /deep/* {\n%s\nrealm main\ngrace 1s\nunseen 1s\n}", byForwardAuth)},
		{Host: "part.example", Gate: "grace 1s\nunseen 1s", Matcher: "/area/*"},
		{Host: "quick.example", Gate: "realm quick\ngrace 30s\nunseen 30s\nask_every 3s\n" + quickCodes},
		{Host: "device.example device2.example", Gate: "realm device\ndevice_code on\n" + deviceCodes},
		{Host: "totp.example", Gate: "realm totp\ndevice_code on\nremind_authenticator 30d\nlimits {\nresend_after 1s\nsends_per_hour 100\nsends_per_day 100\n}"},
		{Host: "lapsed.example", Gate: "realm totp\nreconfirm 1s\nremind_authenticator off"},
		{Host: "tries.example", Gate: "realm tries\ndevice_code on\nremind_authenticator 30d\nlimits {\nauthenticator_tries 150\n}"},
		{Host: "brief.example", Gate: "realm device\ndevice_code on\ntrust 6s\n" + deviceCodes},
		{Host: "lapse.example", Gate: "realm lapse\ngrace 2s\nunseen 2s\nask_every 1s\nreconfirm 2s"},
		{Host: "hold.example", Gate: "realm hold\ngrace 1s\nunseen 1s\nreplacement_hold 5s\nreconfirm 1s"},
		{Host: "phones.example", Gate: "realm phones\npass_headers phone", Before: r.namesPhones(), Identity: withPhone},
		{Host: "whole.example", Gate: "realm phones\nproof whole", Before: r.namesPhones(), Identity: withPhone},
		{Host: "basic.example", Gate: "realm basic\ngrace 1s\nunseen 1s", Before: basic, Identity: "identity {http.auth.user.id}"},
		// A sign-in that does not cover the gate's own pages.
		{Host: "loop.example", Gate: "realm loop\ngrace 1s\nunseen 1s", Before: "@app not path /.contactgate /.contactgate/*\n" + strings.Replace(basic, "basic_auth", "basic_auth @app", 1), Identity: "identity {http.auth.user.id}"},
		{Host: "deny.example", Gate: "grace 1s\nunseen 1s", App: "route {\nheader X-App respond\nrespond \"{http.contactgate.status} {http.contactgate.user} {http.contactgate.deadline} {http.contactgate.decision} {http.contactgate.reason}\"\n}"},
		{Host: "http://localhost:" + r.proxied, TLS: "-", Gate: "realm proxied\ngrace 1s\nunseen 1s\npass_headers email", Before: "# a trusted proxy signs people in", Identity: byTrustedProxy},
		{Host: "http://localhost:" + r.exposed, TLS: "-", Gate: "realm exposed\ngrace 1s\nunseen 1s", Before: "# nobody may sign people in", Identity: byTrustedProxy},
		{Host: "http://localhost:" + r.loopback, TLS: "-", Gate: "realm loopback\ngrace 1s\nunseen 1s"},
	}
}

// Start runs the gate and waits until every site answers. After Kill9 or Stop it goes on with the same folder.
func (r *rig) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.certify(); err != nil {
		return err
	}
	file := filepath.Join(r.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(r.config), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(os.Getenv("CONTACTGATE_BINARY"), "run", "--config", file, "--adapter", "caddyfile")
	cmd.Stdout, cmd.Stderr = &r.stderr, &r.stderr
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "XDG_DATA_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir)
	cmd.Env = append(cmd.Env, r.env...)
	if err := cmd.Start(); err != nil {
		return err
	}
	r.process, r.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(r.exited)
	return r.waitReady()
}

func (r *rig) waitReady() error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := r.ready()
		if err == nil {
			return nil
		}
		select {
		case <-r.exited:
			return fmt.Errorf("the gate ended:\n%s\n%s", r.stderr.String(), r.logTail(3000))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the gate is not ready: %w\n%s\n%s", err, r.stderr.String(), r.logTail(3000))
		}
	}
}

var httpsSite = regexp.MustCompile(`https://([a-z0-9.-]+):(\d+)`)

// certify makes one certificate for every site, once. Caddy's own CA would make one each in the background, and wait for
// minutes when one of them fails.
func (r *rig) certify() error {
	if r.roots != nil {
		return nil
	}
	hosts := []string{"*.example", "localhost"}
	for _, found := range httpsSite.FindAllStringSubmatch(r.config, -1) {
		hosts = append(hosts, found[1])
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(cert)
	return errors.Join(
		os.WriteFile(filepath.Join(r.dir, "cert.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(r.dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

func (r *rig) ready() error {
	for _, found := range httpsSite.FindAllStringSubmatch(r.config, -1) {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", "127.0.0.1:"+found[2], &tls.Config{RootCAs: r.roots, ServerName: found[1]})
		if err != nil {
			return err
		}
		_ = c.Close()
	}
	return nil
}

// Stop ends the gate as a service manager does, and waits for it.
func (r *rig) Stop() error { return r.end(syscall.SIGTERM) }

// Kill9 ends the gate at once.
func (r *rig) Kill9() error { return r.end(syscall.SIGKILL) }

func (r *rig) end(signal syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return nil
	}
	_ = r.process.Process.Signal(signal)
	select {
	case <-r.exited:
		r.process = nil
		return nil
	case <-time.After(20 * time.Second):
		_ = r.process.Process.Kill()
		<-r.exited
		r.process = nil
		return fmt.Errorf("the gate did not end within 20 s of %s", signal)
	}
}

// Restart stops and starts.
func (r *rig) Restart(t *testing.T) {
	t.Helper()
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
}

// Reload gives the running gate a configuration, even if it is the one that it has. It answers what Caddy answered.
func (r *rig) Reload(config string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/load", strings.NewReader(config))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	req.Header.Set("Cache-Control", "must-revalidate")
	return r.admin(req)
}

// admin asks the gate's admin endpoint.
func (r *rig) admin(req *http.Request) (status int, body string, err error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.dir, "admin.sock"))
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Command runs a command of the binary with the rig's environment.
func (r *rig) Command(args ...string) (string, error) {
	cmd := exec.Command(os.Getenv("CONTACTGATE_BINARY"), args...)
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "XDG_DATA_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// close ends all, checks the oracles a last time and returns what they found.
func (r *rig) close() []string {
	var faults []string
	if err := r.Stop(); err != nil {
		faults = append(faults, err.Error())
	}
	faults = append(faults, r.oracle.check(r)...)
	r.Mail.Close()
	r.App.Close()
	r.Auth.Close()
	r.Phone.Close()
	return faults
}

func (r *rig) logFile() string { return filepath.Join(r.dir, "log.json") }

func (r *rig) logTail(n int) string {
	text, _ := os.ReadFile(r.logFile())
	if len(text) > n {
		text = text[len(text)-n:]
	}
	return string(text)
}

// logWarnings are the last lines that say that something is not as it should be.
func (r *rig) logWarnings() string {
	text, _ := os.ReadFile(r.logFile())
	lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool {
		return !strings.Contains(line, `"level":"warn"`) && !strings.Contains(line, `"level":"error"`)
	})
	return strings.Join(lines[max(0, len(lines)-30):], "")
}

// LogLines gives the entries of the gate's log that a test is interested in.
func (r *rig) LogLines(t *testing.T, wanted func(map[string]any) bool) []map[string]any {
	t.Helper()
	all, err := r.log.lines(r.logFile())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(line map[string]any) bool { return !wanted(line) })
}

// logReader reads a log that grows, each line once.
type logReader struct {
	mu   sync.Mutex
	end  int64
	read []map[string]any
}

func (l *logReader) lines(file string) ([]map[string]any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for fresh := bufio.NewReader(io.NewSectionReader(f, l.end, math.MaxInt64-l.end)); ; {
		text, err := fresh.ReadBytes('\n')
		if err != nil { // the rest of a line comes later
			return slices.Clone(l.read), nil
		}
		l.end += int64(len(text))
		var line map[string]any
		if json.Unmarshal(text, &line) == nil {
			l.read = append(l.read, line)
		}
	}
}

// Audit gives the audit events of one user.
func (r *rig) Audit(t *testing.T, user, event string) []map[string]any {
	t.Helper()
	return r.LogLines(t, func(line map[string]any) bool {
		logger, _ := line["logger"].(string)
		return strings.HasSuffix(logger, "contactgate.audit") && line["user"] == user && (event == "" || line["msg"] == event)
	})
}

// dial connects to a https site as HTTP/1.1 or, for requests that no client library would write, raw.
func (r *rig) dial(t *testing.T, host string, protocols ...string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+r.port, &tls.Config{RootCAs: r.roots, ServerName: host, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// raw writes bytes to a https site and reads one answer. The bytes are sent as they are, but for HOST, which becomes
// the site's host and port.
func (r *rig) raw(t *testing.T, host, bytes string) *answer {
	t.Helper()
	c := r.dial(t, host, "http/1.1")
	if _, err := io.WriteString(c, strings.ReplaceAll(bytes, "HOST", host+":"+r.port)); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(bytes, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: no answer: %v", bytes, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if fault := checkAnswer(resp, nil); fault != "" {
		t.Errorf("%.60q: %s", bytes, fault)
	}
	return &answer{Response: resp, Body: string(body)}
}

var names atomic.Int64

// unique makes a name that no other test has.
func unique(stem string) string { return stem + "-" + strconv.FormatInt(names.Add(1), 10) }

// rawPlain is raw for a plain HTTP port.
func rawPlain(t *testing.T, port, text string) *answer {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, text)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return &answer{Response: resp, Body: string(body)}
}
