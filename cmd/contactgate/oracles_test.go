package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What has to hold whatever a test does (attacks.md, global oracles): no 5xx but a deliberate 503, no panic, no code,
// address or cookie in any log line, and the headers of every answer of ours.

// oracle keeps what must not be in the log, and how much of the log was read.
type oracle struct {
	mu      sync.Mutex
	secrets map[string]string // value → what it is
	read    int64
	// allowed are statuses of 500 and more that a test brings about on purpose, besides 503.
	allowed map[int]bool
	// excused are cases (see caseHeader) in which Caddy itself answers so, because a client broke off.
	excused []string
}

func (o *oracle) excuse(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.excused = append(o.excused, `"`+name+`"`)
}

// secret adds something that no log line may hold.
func (o *oracle) secret(what, value string) {
	if len(value) < 6 || value == "000000" || value == "123456" { // those two are put into addresses by tests
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.secrets == nil {
		o.secrets = map[string]string{}
	}
	o.secrets[value] = what
}

func (o *oracle) allow(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.allowed == nil {
		o.allowed = map[int]bool{}
	}
	o.allowed[status] = true
}

// check reads what is new in the log.
func (o *oracle) check(r *rig) []string {
	for _, m := range r.Mail.Messages() {
		o.secret("code", m.Code())
	}
	r.Phone.mu.Lock()
	for _, m := range r.Phone.asked {
		o.secret("code", m.Sent)
	}
	refused := r.Phone.faults
	r.Phone.faults = nil
	r.Phone.mu.Unlock()
	r.mu.Lock()
	stderr := r.stderr.String()
	r.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	text, err := os.ReadFile(r.logFile())
	if err != nil {
		return []string{"no log: " + err.Error()}
	}
	end := int64(bytes.LastIndexByte(text, '\n') + 1)
	if end < o.read {
		o.read = 0
	}
	fresh := text[o.read:end]
	o.read = end
	faults := refused
	races, rest := takeRaces(stderr)
	if strings.Contains(rest, "panic") {
		faults = append(faults, "panic: "+rest)
	}
	for _, race := range races {
		if !isCaddysOwn(race) {
			faults = append(faults, "a data race: "+race)
		}
	}
	suspects := o.suspects(fresh)
	for line := range bytes.SplitSeq(fresh, []byte{'\n'}) {
		if len(line) > 0 {
			faults = append(faults, o.checkLine(line, suspects)...)
		}
		if len(faults) > 10 {
			break
		}
	}
	return faults
}

// takeRaces parts what the binary wrote into the reports of the race detector and the rest.
func takeRaces(stderr string) (races []string, rest string) {
	var others strings.Builder
	for part := range strings.SplitSeq(stderr, "==================\n") {
		if strings.HasPrefix(part, "WARNING: DATA RACE\n") {
			races = append(races, part)
		} else {
			others.WriteString(part)
		}
	}
	return races, others.String()
}

// isCaddysOwn tells whether Caddy itself made both accesses of a race. Its dialer reads the request's vars in a goroutine
// that may outlive the request's forward_auth, while its next handler writes them; and it starts apps that already emit
// events. Both show, rarely, on a busy machine, with and without a gate, and no code of ours has a part in them.
func isCaddysOwn(race string) bool {
	race, _, _ = strings.Cut(race, "\n\nGoroutine ")
	actors := 0
	for access := range strings.SplitSeq(race, "\n\n") {
		if !strings.HasPrefix(actorOf(access), "github.com/caddyserver/") {
			return false
		}
		actors++
	}
	return actors == 2
}

// actorOf is the function that made an access: the first in its stack that is not the runtime's, nor one of the two
// through which everybody reads and writes a request's vars.
func actorOf(access string) string {
	for line := range strings.SplitSeq(access, "\n") {
		name, frame := strings.CutPrefix(line, "  ")
		if !frame || strings.HasPrefix(name, " ") || strings.HasPrefix(name, "runtime.") ||
			strings.HasSuffix(name, "/caddyhttp.SetVar()") || strings.HasSuffix(name, "/caddyhttp.GetVar()") {
			continue
		}
		return name
	}
	return ""
}

func TestARaceIsOursUnlessCaddyMadeBothAccesses(t *testing.T) {
	const (
		head    = "WARNING: DATA RACE\n"
		tail    = "\n\nGoroutine 1 (running) created at:\n  github.com/contactgate/contactgate/internal/verify.(*Flow).Run()\n      /x.go:1 +0x1\n"
		runtime = "  runtime.mapassign_faststr()\n      /usr/local/go/src/x.go:1 +0x0\n"
		setVar  = "  github.com/caddyserver/caddy/v2/modules/caddyhttp.SetVar()\n      /vars.go:478 +0xbb\n"
		proxy   = "  github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy.Handler.prepareRequest()\n      /r.go:925 +0x1\n"
		ours    = "  github.com/contactgate/contactgate/caddymodule.(*Gate).pass()\n      /handler.go:130 +0x9\n"
	)
	write := func(frames string) string { return "Write at 0x00c001 by goroutine 1:\n" + runtime + frames }
	read := func(frames string) string { return "\nPrevious read at 0x00c001 by goroutine 2:\n" + runtime + frames }
	for report, want := range map[string]bool{
		write(setVar+proxy+ours) + read(setVar+proxy):        true,
		write(setVar+ours+proxy) + read(setVar+proxy):        false,
		write(setVar+proxy) + read(ours+proxy):               false,
		write("  time.Now()\n      /t.go:1\n") + read(proxy): false,
		write(proxy): false,
	} {
		if got := isCaddysOwn(head + report + tail); got != want {
			t.Errorf("Caddy's own: %v instead of %v for\n%s", got, want, report)
		}
	}
	races, rest := takeRaces("first\n==================\n" + head + write(ours) + "==================\nlast\n")
	if len(races) != 1 || rest != "first\nlast\n" {
		t.Errorf("parted into %q and %q", races, rest)
	}
}

// wholeCode finds six digits that stand alone.
var wholeCode = regexp.MustCompile(`(?:^|[^0-9A-Za-z.])(\d{6})(?:[^0-9A-Za-z]|$)`)

// suspects are the secrets that a part of the log may hold: there are thousands of them, and far fewer are worth a look at
// every string of every line.
func (o *oracle) suspects(log []byte) map[string]string {
	found := map[string]string{}
	for value, what := range o.secrets {
		if spelled, err := json.Marshal(value); err != nil || len(spelled) != len(value)+2 || bytes.Contains(log, []byte(value)) {
			found[value] = what
		}
	}
	return found
}

func (o *oracle) checkLine(line []byte, suspects map[string]string) []string {
	var entry map[string]any
	if err := json.Unmarshal(line, &entry); err != nil {
		return []string{fmt.Sprintf("a log line is no JSON (J07): %.300s", line)}
	}
	var faults []string
	// Addresses of requests are left out: a token may spell anything.
	if said := fmt.Sprint(entry["level"], entry["msg"], entry["error"], entry["stacktrace"]); strings.Contains(said, "panic") {
		faults = append(faults, fmt.Sprintf("panic: %.2000s", line))
	}
	logger, _ := entry["logger"].(string)
	if status, ok := entry["status"].(float64); ok && strings.HasPrefix(logger, "http.log.access") && status >= 500 && status != 503 && !o.allowed[int(status)] &&
		!slices.ContainsFunc(o.excused, func(name string) bool { return bytes.Contains(line, []byte(name)) }) {
		faults = append(faults, fmt.Sprintf("status %v: %.1500s", status, line))
	}
	// Caddy's own reverse_proxy writes the headers of its exchanges at DEBUG: the operator's sign-in is in them, nothing
	// of ours may be.
	proxy := strings.HasPrefix(logger, "http.handlers.reverse_proxy") || strings.HasPrefix(logger, "http.reverse_proxy")
	walkStrings(entry, func(s string) {
		for value, what := range suspects {
			switch {
			case !strings.Contains(s, value), what == "address" && proxy, what == "code" && !standsAlone(value, s):
			default:
				faults = append(faults, fmt.Sprintf("N05: the %s %s is in the log: %.1200s", what, value, line))
			}
		}
	})
	return faults
}

func TestSecretsInALogAreFound(t *testing.T) {
	var o oracle
	o.secret("code", "271828")
	o.secret("address", "ann@example.com")
	o.secret("cookie", "a<b&c>d")
	for line, want := range map[string]int{
		`{"msg":"code 271828."}`:                                                         1,
		`{"msg":"took 0.271828", "ts": 123456}`:                                          0,
		`{"msg":"to ann@example.com","deep":{"list":["x", "ann@example.com"]}}`:          2,
		`{"logger":"http.handlers.reverse_proxy","msg":"Remote-Email: ann@example.com"}`: 0,
		`{"ann@example.com":1}`:                                                          1,
		`{"msg":"an****@example.com 654321"}`:                                            0,
		`{"msg":"session=a\u003cb\u0026c\u003ed"}`:                                       1,
		`{"msg":"http: panic serving","uri":"/"}`:                                        1,
		`{"msg":"handled request","uri":"/?return=xpanicx"}`:                             0,
	} {
		if faults := o.checkLine([]byte(line), o.suspects([]byte(line))); len(faults) != want {
			t.Errorf("%s: %q", line, faults)
		}
	}
}

func standsAlone(code, s string) bool {
	return slices.ContainsFunc(wholeCode.FindAllStringSubmatch(s, -1), func(found []string) bool { return found[1] == code })
}

func walkStrings(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case map[string]any:
		for name, inner := range v {
			visit(name)
			walkStrings(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walkStrings(inner, visit)
		}
	}
}

// watched checks every answer that a test gets.
type watched struct {
	http.RoundTripper
	t *testing.T
	r *rig
}

func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if fault := checkAnswer(resp, &w.r.oracle); fault != "" {
		w.t.Errorf("%s %s: %s", req.Method, req.URL, fault)
	}
	return resp, nil
}

// CloseIdleConnections is for the http.Client.
func (w watched) CloseIdleConnections() { w.RoundTripper.(*http.Transport).CloseIdleConnections() }

// checkAnswer checks what holds for every answer of the gate.
func checkAnswer(resp *http.Response, o *oracle) string {
	h := resp.Header
	if h.Get("X-App") != "" {
		for _, c := range resp.Cookies() {
			if strings.Contains(c.Name, "contactgate") {
				return "our cookie is set on an answer of the app"
			}
		}
		return ""
	}
	for _, c := range resp.Cookies() {
		if !strings.Contains(c.Name, "contactgate") {
			continue
		}
		if o != nil {
			o.secret("cookie", c.Value)
		}
		secure := strings.HasPrefix(c.Name, "__Host-")
		if c.Secure != secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || len(c.Name)+len(c.Value) > 1024 {
			return "I01: a cookie of ours: " + c.Raw
		}
	}
	html := strings.HasPrefix(h.Get("Content-Type"), "text/html")
	ours := html || h.Get("Contactgate") != "" || strings.Contains(h.Get("Location"), "/.contactgate/") || h.Get("Content-Type") == "application/problem+json"
	switch {
	case resp.StatusCode >= 500 && resp.StatusCode != 503:
		if o == nil || !o.isAllowed(resp.StatusCode) {
			return "status " + resp.Status
		}
		return ""
	case resp.StatusCode == 503 && h.Get("Retry-After") == "":
		return "503 without Retry-After"
	case resp.StatusCode == 429 && h.Get("Retry-After") == "" && !strings.Contains(h.Get("Content-Type"), "html"):
		return "429 without Retry-After"
	case !ours:
		return ""
	}
	csp := h.Get("Content-Security-Policy")
	switch {
	case h.Get("Cache-Control") != "no-store":
		return "no no-store: " + h.Get("Cache-Control")
	case h.Get("X-Content-Type-Options") != "nosniff":
		return "no nosniff"
	case !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe"):
		return "CSP: " + csp
	case h.Get("Referrer-Policy") != "same-origin":
		return "Referrer-Policy: " + h.Get("Referrer-Policy")
	case h.Get("Cross-Origin-Opener-Policy") != "same-origin":
		return "Cross-Origin-Opener-Policy: " + h.Get("Cross-Origin-Opener-Policy")
	case h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Credentials") != "":
		return "E09: an answer of ours may be read by other origins"
	case resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != 303:
		return "a redirect of another kind: " + resp.Status
	}
	return ""
}

func (o *oracle) isAllowed(status int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.allowed[status]
}
