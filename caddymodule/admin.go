package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/contactgate/contactgate/internal/store"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

func init() { caddy.RegisterModule(new(Admin)) }

// Admin adds routes under /contactgate/ to Caddy's admin endpoint. They answer on a Unix socket, on loopback, and on
// Caddy's remote admin endpoint with its client certificates; on any other listener they refuse, unless admin_anywhere
// is set.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.contactgate", New: func() caddy.Module { return new(Admin) }}
}

// Routes of the admin API.
func (*Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/contactgate/", Handler: caddy.AdminHandlerFunc(noSuchRoute)},
		{Pattern: "/contactgate/store/accept", Handler: adminRoute(acceptStore)},
		{Pattern: "/contactgate/doctor", Handler: adminRoute(doctor)},
		{Pattern: "/contactgate/accounts/freeze", Handler: adminRoute(freezeAccount)},
		{Pattern: "/contactgate/accounts/unfreeze", Handler: adminRoute(unfreezeAccount)},
		{Pattern: "/contactgate/accounts/revoke", Handler: adminRoute(revokeDevices)},
	}
}

func noSuchRoute(http.ResponseWriter, *http.Request) error {
	return refuse(http.StatusNotFound, errors.New("there is no such route under /contactgate/"))
}

// adminRoute turns a question of type Q into an answer. Who asks, and how, is checked before anything is read.
func adminRoute[Q, A any](ask func(context.Context, *App, Q) (A, error)) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		app, missing := runningApp()
		if err := checkCaller(r, missing == nil && app.AdminAnywhere); err != nil {
			return err
		}
		var question Q
		if err := readQuestion(w, r, &question); err != nil {
			return err
		}
		if missing != nil {
			return missing
		}
		answer, err := ask(r.Context(), app, question)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		return json.NewEncoder(w).Encode(answer)
	})
}

// runningApp is looked up for each request: after a rejected reload the admin server belongs to the rejected
// configuration, and an app remembered from its provisioning would be a dead one.
func runningApp() (*App, error) {
	module, err := caddy.ActiveContext().AppIfConfigured("contactgate")
	if err != nil {
		return nil, refuse(http.StatusServiceUnavailable, errors.New("the running configuration has no contactgate"))
	}
	return module.(*App), nil
}

// checkCaller refuses whoever may come over a network: Caddy's admin endpoint has no login. A browser is refused wherever
// it is: the page in it may be anybody's.
func checkCaller(r *http.Request, anywhere bool) error {
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, errors.New("use POST"))
	}
	if fromBrowser(r) {
		return refuse(http.StatusForbidden, errors.New("this request comes from a browser; use the commands of contactgate, or a program"))
	}
	if anywhere {
		return nil
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return nil // Caddy's remote admin has checked the certificate and what it may do
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && isPrivate(local) && listensPrivately(r) {
		return nil
	}
	return refuse(http.StatusForbidden, errors.New("the admin endpoint listens on a network; bind it to localhost or a Unix socket (global option \"admin\") to use the routes of contactgate, or set admin_anywhere if something else lets only operators in"))
}

// fromBrowser goes by what browsers add by themselves. Caddy's own client sends an Origin too: that of the endpoint.
func fromBrowser(r *http.Request) bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	origin, sent := r.Header["Origin"]
	return sent && (len(origin) != 1 || origin[0] != "http://"+r.Host && origin[0] != "https://"+r.Host)
}

func isPrivate(local net.Addr) bool {
	switch a := local.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}

// listensPrivately looks at the listener as well: a connection over loopback to a listener on all interfaces proves
// nothing about the next one.
func listensPrivately(r *http.Request) bool {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || server.Addr == "" {
		return true // the connection has to do
	}
	address, err := caddy.ParseNetworkAddress(server.Addr)
	return err == nil && (address.IsUnixNetwork() || address.IsFdNetwork() || isLoopbackHost(address.Host))
}

// longestQuestion is more than any question takes.
const longestQuestion = 64 << 10

// readQuestion reads one JSON object. A browser can send neither the content type nor, then, the request across sites
// without asking first.
func readQuestion(w http.ResponseWriter, r *http.Request, question any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, errors.New("use Content-Type: application/json"))
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestQuestion))
	body.DisallowUnknownFields()
	if err := body.Decode(question); err != nil {
		return refuse(http.StatusBadRequest, fmt.Errorf("reading the body: %w", err))
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, errors.New("reading the body: there is more than one JSON object"))
	}
	return nil
}

func refuse(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

type acceptQuestion struct {
	// Reason is for the audit log.
	Reason string `json:"reason"`
}

type acceptAnswer struct {
	Store string    `json:"store"`
	Born  time.Time `json:"born"`
	Keys  string    `json:"keys"`
}

// acceptStore takes a store that has lost its name as the new one. It is audited where it is done.
func acceptStore(ctx context.Context, app *App, q acceptQuestion) (*acceptAnswer, error) {
	reason, err := readReason(q.Reason, "why this store may be empty")
	if err != nil {
		return nil, err
	}
	if err := app.acceptEmptyStore(ctx, reason); err != nil {
		var no *verify.NotReady
		if errors.As(err, &no) {
			return nil, refuse(http.StatusConflict, err)
		}
		return nil, refuse(http.StatusServiceUnavailable, err)
	}
	s := app.storeStatus(ctx)
	return &acceptAnswer{Store: s.ID, Born: s.Born, Keys: s.Fingerprint}, nil
}

// readReason checks what goes to the audit log.
func readReason(text, why string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 500 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", refuse(http.StatusBadRequest, errors.New("reason: say in one line, of up to 500 bytes, "+why))
	}
	return text, nil
}

// finding is one line of doctor.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

type doctorQuestion struct{}

type doctorAnswer struct {
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
}

// doctor looks at what runs, not at what is written.
func doctor(ctx context.Context, app *App, _ doctorQuestion) (*doctorAnswer, error) {
	store, keys := app.examineStore(ctx)
	findings := append([]finding{store}, app.examineDurability()...)
	answer := &doctorAnswer{OK: true, Findings: append(append(findings, keys), app.examineSenders(ctx)...)}
	for _, f := range answer.Findings {
		answer.OK = answer.OK && f.OK
	}
	return answer, nil
}

func (a *App) examineStore(ctx context.Context) (store, keys finding) {
	s := a.storeStatus(ctx)
	keys = finding{Check: "keys", OK: s.Ready, Detail: "not known before the store is ready"}
	if !s.Ready {
		return finding{Check: "store", Detail: s.Problem, Remedy: s.Remedy}, keys
	}
	source := "in Caddy's storage"
	if a.keysText != "" {
		source = "in the configuration"
	}
	keys.Detail = fmt.Sprintf("%s, fingerprint %s, the same as the store's", source, s.Fingerprint)
	detail := fmt.Sprintf("%s %s, begun %s", a.storeName, s.ID, s.Born.UTC().Format(time.RFC3339))
	return finding{Check: "store", OK: true, Detail: detail}, keys
}

// examineDurability tells which promises the store does not keep as it is set up.
func (a *App) examineDurability() []finding {
	s, ok := a.store.(interface{ Durability() []store.Note })
	if !ok {
		return nil // a file is synced at every write
	}
	var findings []finding
	for _, note := range s.Durability() {
		findings = append(findings, finding{Check: "store durability", Detail: note.Text, Remedy: note.Remedy})
	}
	return findings
}

// senderPatience is how long a carrier may take to greet, change to TLS and log us in.
const senderPatience = 8 * time.Second

// examineSenders asks all carriers at once: one that hangs must not hide the others.
func (a *App) examineSenders(ctx context.Context) []finding {
	if len(a.senders) == 0 {
		return []finding{{Check: "senders", OK: true, Detail: "none; every gate only observes"}}
	}
	ctx, cancel := context.WithTimeout(ctx, senderPatience)
	defer cancel()
	var findings [len(channels)]finding
	var asking sync.WaitGroup
	for i, channel := range channels {
		if a.carries(channel) {
			asking.Go(func() { findings[i] = a.examineSender(ctx, channel) })
		}
	}
	asking.Wait()
	return slices.DeleteFunc(findings[:], func(f finding) bool { return f.Check == "" })
}

func (a *App) examineSender(ctx context.Context, channel policy.Channel) finding {
	f := finding{Check: string(channel)}
	err := a.sender(channel).Check(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		f.OK, f.Detail = true, "the sender cannot be checked without sending"
		return f
	}
	if err != nil {
		f.Detail, f.Remedy = err.Error(), "look at the address and the login of the sender, and at what is between here and there"
		return f
	}
	f.OK, f.Detail = true, "connected, encrypted as configured, and logged in where there is a login"
	if channel == policy.ByEmail {
		f.Detail += "; sends as " + a.mailFrom
	}
	return f
}

// Interface guard
var _ caddy.AdminRouter = (*Admin)(nil)
