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
	if len(value) < 6 {
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
	var faults []string
	if strings.Contains(stderr, "panic") || strings.Contains(stderr, "DATA RACE") {
		faults = append(faults, "panic: "+stderr)
	}
	for line := range bytes.SplitSeq(fresh, []byte{'\n'}) {
		if len(line) > 0 {
			faults = append(faults, o.checkLine(line)...)
		}
		if len(faults) > 10 {
			break
		}
	}
	return faults
}

// wholeCode finds six digits that stand alone.
var wholeCode = regexp.MustCompile(`(?:^|[^0-9A-Za-z.])(\d{6})(?:[^0-9A-Za-z]|$)`)

func (o *oracle) checkLine(line []byte) []string {
	var entry map[string]any
	if err := json.Unmarshal(line, &entry); err != nil {
		return []string{fmt.Sprintf("a log line is no JSON (J07): %.300s", line)}
	}
	var faults []string
	if bytes.Contains(line, []byte("panic")) {
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
		for _, found := range wholeCode.FindAllStringSubmatch(s, -1) {
			if o.secrets[found[1]] == "code" {
				faults = append(faults, fmt.Sprintf("N05: the code %s is in the log: %.600s", found[1], line))
			}
		}
		for value, what := range o.secrets {
			if what != "code" && (what != "address" || !proxy) && len(s) >= len(value) && strings.Contains(s, value) {
				faults = append(faults, fmt.Sprintf("N05: the %s %s is in the log: %.1200s", what, value, line))
			}
		}
	})
	return faults
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
