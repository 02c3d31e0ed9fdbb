package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/contactgate/contactgate/internal/identity"
	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// ServeHTTP is the way of a request through the gate.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	began := time.Now()
	p := publishing(r)
	if err := g.clean(r, p); err != nil {
		return g.trouble(w, r, http.StatusBadRequest, "badrequest")
	}
	if g.isOwn(r) {
		return g.serveOwn(w, r)
	}
	if g.exemptRequest(r) {
		return g.pass(w, r, p, next, began, verify.Verdict{Decision: g.rules.Decide(policy.Request{Exempt: true}, policy.Facts{}, began)}, "")
	}
	who, err := g.identify(r)
	if err != nil {
		return g.refuseIdentity(w, r, err)
	}
	if who.User == "" {
		countDecision(policy.Decision{}, "anonymous", p, began)
		return next.ServeHTTP(w, r)
	}
	verdict, err := g.decide(r, p, who)
	if err != nil {
		return g.unavailable(w, r)
	}
	switch {
	case verdict.Action == policy.Pass, verdict.Action == policy.Ask && !verdict.Interrupt:
		return g.pass(w, r, p, next, began, verdict, who.User)
	default: // Ask, Block, and whatever nobody thought of
		p.publish(verdict.Decision, who.User)
		countDecision(verdict.Decision, "", p, began)
		return g.interrupt(w, r, who, verdict)
	}
}

// exemptRequest is rule 2. A CORS preflight is not asked for here: browsers send it without credentials, so it comes as
// nobody's and passes as that. An OPTIONS that names somebody is a request like any other.
func (g *Gate) exemptRequest(r *http.Request) bool { return g.signsOut(r) || g.exempt(r) }

func (g *Gate) signsOut(r *http.Request) bool {
	path, query, asks := strings.Cut(g.signOutPath, "?")
	return path != "" && r.URL.EscapedPath() == path && policy.CanonicalPath(path) && (!asks || r.URL.RawQuery == query)
}

// identify asks the identity guest and brings the user ID into its one spelling.
func (g *Gate) identify(r *http.Request) (Person, error) {
	who, err := g.identity.Identify(r)
	if err != nil || who.User == "" {
		return Person{}, err
	}
	who.User, err = identity.Canonical(who.User, g.fold)
	return who, err
}

// refuseIdentity answers when it is not clear who asks. It is never "nobody": that would pass.
func (g *Gate) refuseIdentity(w http.ResponseWriter, r *http.Request, err error) error {
	if errors.Is(err, ErrAmbiguous) || errors.Is(err, identity.ErrNoCanonicalForm) {
		g.log.Warn("a request was refused: its identity has no single meaning; look at what sets it", "error", err)
		return g.trouble(w, r, http.StatusBadRequest, "badrequest")
	}
	g.log.Error("who is signed in could not be found out", "error", err)
	return g.unavailable(w, r)
}

func (g *Gate) decide(r *http.Request, p *published, who Person) (verify.Verdict, error) {
	live, err := g.app.live(r.Context())
	if err != nil {
		return verify.Verdict{}, err
	}
	v := g.visitor(who)
	e := g.evidence(r, live, p, who.User)
	v.Session, v.Device = e.Session, e.Device
	q := g.request(who)
	if verdict, ok := live.flow.Recall(&g.rules, v, q); ok {
		return verdict, nil
	}
	q.Kind, q.Fleeting = classify(r), fleeting(r)
	return live.flow.LookUp(r.Context(), &g.rules, v, q)
}

// request is what the rules know of a request; what kind it is, not everybody needs to know.
func (g *Gate) request(who Person) policy.Request {
	return policy.Request{Realm: g.realm, User: who.User, Groups: who.Groups, Domain: verify.EmailDomain(who.Email)}
}

// fleeting tells that nobody looks at the answer.
func fleeting(r *http.Request) bool { return r.Method == http.MethodHead || prefetches(r) }

func (g *Gate) visitor(who Person) verify.Visitor {
	return verify.Visitor{Realm: g.realm, User: who.User, Email: who.Email, Phone: who.Phone}
}

// clientIP is what Caddy takes as the client's address, trusted proxies honoured; nothing else is believed.
func clientIP(r *http.Request) netip.Addr {
	s, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, _ := netip.ParseAddr(s)
	return ip
}

// pass lets a request go on to the app, with what the gate knows.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request, p *published, next caddyhttp.Handler, began time.Time, v verify.Verdict, user string) error {
	p.publish(v.Decision, user)
	p.status[0] = v.Standing.String()
	r.Header[statusHeader] = p.status[:]
	if !v.Deadline.IsZero() {
		deadline := v.Deadline.UTC().Format(time.RFC3339)
		r.Header[deadlineHeader] = []string{deadline}
		if v.Action == policy.Ask {
			w.Header().Set(noticeHeader, "grace; deadline="+deadline)
		}
	}
	if g.passEmail && v.Email != "" {
		r.Header[emailHeader] = []string{v.Email}
	}
	if g.passPhone && v.Phone != "" {
		r.Header[phoneHeader] = []string{v.Phone}
	}
	countDecision(v.Decision, "", p, began)
	return next.ServeHTTP(w, r)
}

// interrupt answers in the app's place.
func (g *Gate) interrupt(w http.ResponseWriter, r *http.Request, who Person, v verify.Verdict) error {
	limitUnreadBody(w, r)
	switch classify(r) {
	case policy.Opening, policy.OpeningHead:
		live, err := g.app.live(r.Context())
		if err != nil {
			return g.unavailable(w, r)
		}
		token := live.flow.ReturnToken(g.visitor(who), g.wanted(r))
		return seeOther(w, g.prefix+"/verify?return="+token)
	case policy.Form:
		if v.Standing == policy.Frozen {
			page := frozenPage(v.Account)
			page.NotSent = true
			return g.show(w, r, http.StatusForbidden, page)
		}
		return g.show(w, r, http.StatusForbidden, pages.NotSent{Device: v.Reason == policy.DeviceCode})
	}
	if v.Reason == policy.DeviceCode {
		return g.problem(w, r, http.StatusForbidden, verificationRequired,
			"Confirm it is you on this browser", "Access from this browser stops here until a code is entered in it.", v.Deadline)
	}
	if v.Standing == policy.Frozen {
		return g.problemFrozen(w, r)
	}
	return g.problem(w, r, http.StatusForbidden, verificationRequired,
		"Confirm a contact first", "Access stops here until one of your contact details is confirmed.", v.Deadline)
}

// verificationRequired is the type of the problem that scripts of the app look for: its verify_url says what to do.
const verificationRequired = "urn:contactgate:verification-required"

// wanted is where the person was going, byte for byte as the browser asked for it, or the front page.
func (g *Gate) wanted(r *http.Request) string {
	target := r.URL.RequestURI()
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		target = original.RequestURI
		if !strings.HasPrefix(target, "/") {
			target = original.URL.RequestURI()
		}
	}
	if !policy.ReturnPath(target, g.prefix, g.signOutPath) {
		return "/"
	}
	return target
}

// isOwn tells whether a path is under our prefix, in any spelling that some server would read so.
func (g *Gate) isOwn(r *http.Request) bool {
	if under(r.URL.Path, g.prefix) {
		return true
	}
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return ok && original.URL != r.URL && under(original.URL.Path, g.prefix)
}

func under(p, prefix string) bool {
	if !strings.Contains(p, prefix[1:]) {
		return false
	}
	return below(p, prefix) || below(path.Clean(p), prefix)
}

func below(p, prefix string) bool {
	return strings.HasPrefix(p, prefix) && (len(p) == len(prefix) || p[len(prefix)] == '/')
}

// seeOther redirects within this site. The location has no host, so nothing that a client says can change where it
// leads.
func seeOther(w http.ResponseWriter, location string) error {
	guard(w)
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// guards are what every answer of ours has, pages (which have more) and assets apart.
var guards = [...]struct{ header, value string }{
	{"Cache-Control", "no-store"},
	{"X-Content-Type-Options", "nosniff"},
	{"Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"Referrer-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"X-Frame-Options", "DENY"},
}

// guard sets them. Their names are as Go keeps them.
func guard(w http.ResponseWriter) {
	h, values := w.Header(), make([]string, len(guards))
	for i, g := range guards {
		values[i] = g.value
		h[g.header] = values[i : i+1 : i+1]
	}
}

// problem answers a program (RFC 9457).
func (g *Gate) problem(w http.ResponseWriter, r *http.Request, status int, kind, title, detail string, deadline time.Time) error {
	limitUnreadBody(w, r)
	body := map[string]any{"type": kind, "title": title, "status": status, "detail": detail}
	guard(w)
	if status == http.StatusForbidden && kind != blankProblem {
		body["verify_url"] = g.prefix + "/verify"
		body["deadline"] = nil
		if !deadline.IsZero() {
			body["deadline"] = deadline.UTC().Format(time.RFC3339)
		}
		w.Header().Set(noticeHeader, "required")
	}
	text, err := json.Marshal(body)
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text)
	}
	return nil
}

const blankProblem = "about:blank"

// retryStore is what Retry-After says while the store is away: it is asked again every second.
const retryStore = 5 * time.Second

func (g *Gate) unavailable(w http.ResponseWriter, r *http.Request) error {
	back := "/"
	if classify(r) == policy.Opening {
		back = g.wanted(r)
	}
	return g.troubleWait(w, r, http.StatusServiceUnavailable, "unavailable", retryStore, back)
}

// unreadPatience is how long a body that nobody wants may take to arrive before its answer is sent all the same.
const unreadPatience = 5 * time.Second

// limitUnreadBody keeps a body that nobody will read from holding up the answer: Go's server reads on, to keep the
// connection, before it sends one or closes. A large body, or one of unknown length, ends the connection; and none gets
// more than a moment.
func limitUnreadBody(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	if r.ContentLength < 0 || r.ContentLength > mostForm {
		w.Header().Set("Connection", "close")
	}
	giveBody(w, unreadPatience)
}

// giveBody sets how long the rest of a request's body may take. Where that cannot be set, the server's own limits hold.
func giveBody(w http.ResponseWriter, patience time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
}

// trouble answers in the form that the asker understands: a page, or a problem.
func (g *Gate) trouble(w http.ResponseWriter, r *http.Request, status int, kind string) error {
	return g.troubleWait(w, r, status, kind, 0, "")
}

func (g *Gate) troubleWait(w http.ResponseWriter, r *http.Request, status int, kind string, wait time.Duration, back string) error {
	limitUnreadBody(w, r)
	if wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
	}
	if k := classify(r); k == policy.Other {
		return g.problem(w, r, status, blankProblem, http.StatusText(status), "", time.Time{})
	}
	return g.show(w, r, status, pages.Trouble{Kind: kind, Wait: wait, Back: back})
}

// seconds rounds up: whoever waits that long is not too early.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// published is what one request carries through the gates that it passes: the decision, as placeholders
// ({http.contactgate.status} and so on), and the cookies of ours that the app does not see. Of nested gates the last
// one counts.
type published struct {
	decision policy.Decision
	user     string
	counted  bool
	cookies  []string
	// status is the header for the app; session and device are what cookies proved (Gate.evidence).
	status          [1]string
	session, device [16]byte
}

// publishedKey is the placeholder by which gates find what a request carries. Nobody else gets anything from it.
const publishedKey = "http.contactgate."

// publishing gives a request its published. Caddy's replacer keeps it: it goes with the request, whatever copies of the
// request handlers make. It is not one of Caddy's vars: those are a map without a lock, and the dial of an earlier
// forward_auth may still be reading it in another goroutine. Nor is it a value of the context: that would copy the request.
func publishing(r *http.Request) *published {
	repl, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	p := publishedIn(repl)
	if p == nil {
		p = &published{}
		if repl != nil {
			repl.Map(p.get)
		}
	}
	return p
}

func publishedIn(repl *caddy.Replacer) *published {
	if repl == nil {
		return nil
	}
	found, _ := repl.Get(publishedKey)
	p, _ := found.(*published)
	return p
}

// String keeps what a request carries out of whatever a configuration writes.
func (*published) String() string { return "" }

func (p *published) publish(d policy.Decision, user string) { p.decision, p.user = d, user }

func (p *published) get(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, publishedKey)
	if !ok {
		return nil, false
	}
	switch name {
	case "":
		return p, true
	case "status":
		return p.decision.Standing.String(), true
	case "user":
		return p.user, true
	case "deadline":
		if p.decision.Deadline.IsZero() {
			return "", true
		}
		return p.decision.Deadline.UTC().Format(time.RFC3339), true
	case "decision":
		return p.decision.Action.String(), true
	case "reason":
		return p.decision.Reason.String(), true
	}
	return nil, false
}
