package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// post asks the running admin endpoint, and gives status and body.
func (s *server) post(route, contentType, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+s.admin+route, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestAdminRefusesOddQuestions(t *testing.T) {
	s := start(t)
	tests := map[string]struct {
		route, contentType, body string
		status                   int
	}{
		"fine":                 {"/contactgate/doctor", "application/json", "{}", 200},
		"fine, with a charset": {"/contactgate/doctor", "application/json; charset=utf-8", "{}", 200},
		"a form":               {"/contactgate/doctor", "application/x-www-form-urlencoded", "{}", 415},
		"text":                 {"/contactgate/doctor", "text/plain", "{}", 415},
		"no body":              {"/contactgate/doctor", "application/json", "", 400},
		"unknown field":        {"/contactgate/doctor", "application/json", `{"all": true}`, 400},
		"two objects":          {"/contactgate/doctor", "application/json", "{}{}", 400},
		"too long":             {"/contactgate/store/accept", "application/json", `{"reason": "` + strings.Repeat("x", 70<<10) + `"}`, 400},
		"no reason":            {"/contactgate/store/accept", "application/json", "{}", 400},
		"blank reason":         {"/contactgate/store/accept", "application/json", `{"reason": " "}`, 400},
		"two lines":            {"/contactgate/store/accept", "application/json", `{"reason": "a\nb"}`, 400},
		"unknown route":        {"/contactgate/accounts/list", "application/json", "{}", 404},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if status, body := s.post(tt.route, tt.contentType, tt.body); status != tt.status {
				t.Errorf("got %d %s", status, body)
			}
		})
	}
	response, err := http.Get("http://" + s.admin + "/contactgate/doctor")
	if err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v", response, err)
	}
}

// TestLostStoreIsAcceptedOnce is the way of an operator whose disk was replaced.
func TestLostStoreIsAcceptedOnce(t *testing.T) {
	s := start(t)
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Fatalf("got %d", got)
	}
	if status, body := s.post("/contactgate/doctor", "application/json", "{}"); status != 200 || !strings.Contains(body, `{"ok":true,"findings":[{"check":"store","ok":true`) {
		t.Fatalf("%d %s", status, body)
	}
	s.store = filepath.Join(s.dir, "empty.db")
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	s.wants("ann", http.StatusServiceUnavailable)
	status, body := s.post("/contactgate/doctor", "application/json", "{}")
	if status != 200 || !strings.Contains(body, `"ok":false`) || !strings.Contains(body, "--accept-empty-store") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := s.post("/contactgate/store/accept", "application/json", `{"reason": "new disk"}`); status != 200 || !strings.Contains(body, `"store":"`) {
		t.Fatalf("%d %s", status, body)
	}
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Errorf("the accepted store answers %d", got)
	}
	if status, body := s.post("/contactgate/doctor", "application/json", "{}"); status != 200 || !strings.Contains(body, `{"ok":true`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestAdminReachesTheLiveApp: after a rejected reload the admin server belongs to the rejected configuration.
func TestAdminReachesTheLiveApp(t *testing.T) {
	s := start(t)
	good := s.store
	s.store = "/dev/null/accounts.db"
	if err := s.load(); err == nil {
		t.Fatal("it was loaded")
	}
	s.store = good
	if status, body := s.post("/contactgate/doctor", "application/json", "{}"); status != 200 || !strings.Contains(body, `{"ok":true`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestAdminAnswersOnlyNearby: the admin endpoint has no login.
func TestAdminAnswersOnlyNearby(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 2019} }
	tests := map[string]struct {
		listen string
		local  net.Addr
		tls    *tls.ConnectionState
		ok     bool
	}{
		"loopback":                      {"tcp/localhost:2019", tcp("127.0.0.1"), nil, true},
		"IPv6 loopback":                 {"tcp/[::1]:2019", tcp("::1"), nil, true},
		"Unix socket":                   {"unix//run/caddy.sock|0600", &net.UnixAddr{Name: "/run/caddy.sock"}, nil, true},
		"all interfaces":                {"tcp/:2019", tcp("10.0.0.5"), nil, false},
		"all interfaces, by loopback":   {"tcp/:2019", tcp("127.0.0.1"), nil, false},
		"all, in full":                  {"tcp/0.0.0.0:2019", tcp("127.0.0.1"), nil, false},
		"a network":                     {"tcp/10.0.0.5:2019", tcp("10.0.0.5"), nil, false},
		"unknown":                       {"", nil, nil, false},
		"remote, with a certificate":    {"tcp/:2021", tcp("10.0.0.5"), &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}, true},
		"remote, without a certificate": {"tcp/:2021", tcp("10.0.0.5"), &tls.ConnectionState{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/contactgate/doctor", nil)
			ctx := context.WithValue(r.Context(), http.ServerContextKey, &http.Server{Addr: tt.listen})
			if tt.local != nil {
				ctx = context.WithValue(ctx, http.LocalAddrContextKey, tt.local)
			}
			r = r.WithContext(ctx)
			r.TLS = tt.tls
			if err := checkCaller(r, true); err != nil {
				t.Errorf("with admin_anywhere: %v", err)
			}
			err := checkCaller(r, false)
			var refused caddy.APIError
			if tt.ok != (err == nil) || err != nil && (!errors.As(err, &refused) || refused.HTTPStatus != http.StatusForbidden) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAdminRefusesBrowsers: the page in it may be anybody's, wherever it runs.
func TestAdminRefusesBrowsers(t *testing.T) {
	local := func(header ...string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "http://localhost:2019/contactgate/doctor", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2019}))
		for i := 0; i < len(header); i += 2 {
			r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
		}
		return r
	}
	for _, header := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://localhost:2020"}, {"Origin", "http://localhost:2019", "Origin", "http://localhost:2019"},
		{"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Dest", "empty"}, {"Sec-Fetch-User", "?1"},
	} {
		for _, anywhere := range []bool{false, true} {
			var refused caddy.APIError
			if err := checkCaller(local(header...), anywhere); !errors.As(err, &refused) || refused.HTTPStatus != http.StatusForbidden {
				t.Errorf("%v, anywhere %v: %v", header, anywhere, err)
			}
		}
	}
	for _, header := range [][]string{nil, {"Origin", "http://localhost:2019"}} { // Caddy's own client sends the second
		if err := checkCaller(local(header...), false); err != nil {
			t.Errorf("%v: %v", header, err)
		}
	}
}

// TestFreezingThroughTheAdminAPI: what an operator types is the user ID as the gates of the realm have it.
func TestFreezingThroughTheAdminAPI(t *testing.T) {
	s := start(t)
	s.extra = "user_case fold"
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if got := s.get("ann"); got != http.StatusSeeOther {
		t.Fatalf("got %d", got)
	}
	ask := func(route, body string) (int, string) {
		return s.post("/contactgate/accounts/"+route, "application/json", body)
	}
	status, body := ask("freeze", `{"user": "ANN", "reason": "stolen"}`)
	if status != 200 || !strings.Contains(body, `"realm":"default","user":"ann","standing":"frozen","deadline":null,"frozen":{"at":"`) {
		t.Errorf("%d %s", status, body)
	}
	if got := s.get("Ann"); got != http.StatusSeeOther {
		t.Errorf("got %d", got)
	}
	if status, body := ask("unfreeze", `{"realm": "default", "user": "ann", "reason": "found"}`); status != 200 || !strings.Contains(body, `"standing":"due"`) || strings.Contains(body, "frozen") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := ask("unfreeze", `{"user": "nobody", "reason": "x"}`); status != 404 {
		t.Errorf("%d %s", status, body)
	}
	for _, bad := range []string{`{"user": "ann"}`, `{"user": "", "reason": "x"}`, `{"user": "a\u0007", "reason": "x"}`, `{"realm": "other", "user": "ann", "reason": "x"}`, `{"user": "ann", "reason": "x", "verified": true}`} {
		if status, body := ask("freeze", bad); status != 400 {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}

func TestTablesCannotSteerATerminal(t *testing.T) {
	table := accountTable(&accountAnswer{Realm: "r", User: "a\u202egnp.exe", Standing: "frozen", Changed: true,
		Frozen: &freezeAnswer{By: "operator", Reference: "ABC", Reason: "x\x1b[2Jy"}})
	for _, r := range table {
		if r == 0x1b || r == 0x202e {
			t.Errorf("%q", table)
		}
	}
	if !strings.Contains(accountTable(&accountAnswer{User: "山田 太郎"}), "山田 太郎") {
		t.Error("plain letters are escaped")
	}
}

// TestDoctorCommand runs the command against a running server.
func TestDoctorCommand(t *testing.T) {
	s := start(t)
	if status, out, err := command(t, "doctor", "--address", s.admin); err != nil || status != 0 || !strings.Contains(out, "store  ok  bolt ") || !strings.Contains(out, "email  ok ") {
		t.Errorf("%d %v\n%s", status, err, out)
	}
	if status, out, err := command(t, "doctor", "--address", s.admin, "--json"); err != nil || status != 0 || !strings.Contains(out, `"check": "keys"`) {
		t.Errorf("%d %v\n%s", status, err, out)
	}
	if status, _, err := command(t, "doctor", "--address", freeAddress(t)); status != exitUnreachable {
		t.Errorf("nobody there: %d %v", status, err)
	}
	for _, args := range [][]string{{"--accept-empty-store"}, {"--reason", "x"}, {"--accept-empty-store", "--reason", " "}} {
		if status, _, err := command(t, append([]string{"doctor", "--address", s.admin}, args...)...); status != 1 {
			t.Errorf("%v: %d %v", args, status, err)
		}
	}
	s.store = filepath.Join(s.dir, "empty.db")
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := command(t, "doctor", "--address", s.admin); status != exitNo || !strings.Contains(out, "store  NO ") || !strings.Contains(out, "→ ") {
		t.Errorf("an empty store: %d\n%s", status, out)
	}
	if status, out, err := command(t, "doctor", "--address", s.admin, "--accept-empty-store", "--reason", "new disk"); status != 0 {
		t.Errorf("accepting: %d %v\n%s", status, err, out)
	}
}

// command runs "gate …" and gives its exit status, its output and its error.
func command(t *testing.T, args ...string) (status int, out string, err error) {
	t.Helper()
	r, w, pipeErr := os.Pipe()
	if pipeErr != nil {
		t.Fatal(pipeErr)
	}
	stdout := os.Stdout
	os.Stdout = w
	gate := doctorCommand()
	if args[0] == "keys" {
		gate = keysCommand()
	}
	gate.SilenceUsage, gate.SilenceErrors = true, true
	gate.SetArgs(args[1:])
	err = gate.Execute()
	os.Stdout = stdout
	_ = w.Close()
	text, readErr := io.ReadAll(r)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return exitStatus(err), string(text), err
}

// exitStatus is what Caddy's main makes of the error of a command; its type is not exported.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case strings.Contains(err.Error(), "performing request"):
		return exitUnreachable
	case err.Error() == errNotWell.Error():
		return exitNo
	}
	return 1
}

func TestKeysNewMakesARing(t *testing.T) {
	_, first, err := command(t, "keys", "new")
	if err != nil {
		t.Fatal(err)
	}
	_, second, _ := command(t, "keys", "new")
	if first == second {
		t.Error("the same ring twice")
	}
	a := &App{Keys: first}
	if err := a.readKeys(); err != nil || a.keysText == "" {
		t.Errorf("it cannot be read: %v", err)
	}
}
