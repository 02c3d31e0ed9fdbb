package caddymodule

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// visit is one request to one of our own pages: who, in which browser session, under which rules.
type visit struct {
	*Gate
	w    http.ResponseWriter
	r    *http.Request
	live *runtime
	who  Person
	v    verify.Visitor
	form url.Values
	// session is the browser's, or a new one that is set with the answer.
	session session
	fresh   bool
	// sentCookie: the browser sent a cookie of ours, whether or not it was any good.
	sentCookie bool
	// challenge ties the form for a code to the code that it is for.
	challenge string
	here      string
	// carry is the return token of the page, when the request brought none and it is known all the same.
	carry string
}

// endpoint is one of our pages.
type endpoint struct {
	get  func(*visit) error
	post func(*visit) error
	// fields of the form, besides csrf and return.
	fields []string
	// stale shows the form again with what was typed, when its session is gone.
	stale func(*visit) error
}

var endpoints = map[string]endpoint{
	"":              {get: (*visit).details},
	"verify":        {get: (*visit).ask},
	"verify/send":   {post: (*visit).send, fields: []string{"contact", "channel", "proof"}, stale: (*visit).proveAgain},
	"verify/code":   {get: (*visit).code, post: (*visit).enter, fields: []string{"code", "trust"}},
	"verify/resend": {post: (*visit).resend},
	"verify/later":  {post: (*visit).later},
	"contacts/new":  {get: (*visit).newContact, post: (*visit).add, fields: []string{"kind", "address", "country", "channel", "anyway"}, stale: (*visit).addAgain},
	"fresh":         {get: (*visit).beforeChange, post: (*visit).send, fields: []string{"contact", "channel", "proof"}, stale: (*visit).proveAgain},
	"contacts/undo": {post: (*visit).undo, fields: []string{"contact"}},
	"done":          {get: (*visit).done},

	"authenticator":          {get: (*visit).appOrOffer, post: (*visit).choose, fields: []string{"choice"}},
	"authenticator/setup":    {get: (*visit).setup, post: (*visit).enrol, fields: []string{"code"}},
	"authenticator/codes":    {post: (*visit).renewCodes},
	"authenticator/download": {post: (*visit).saveCodes, fields: []string{"codes"}},
	"authenticator/remove":   {post: (*visit).removeApp},

	"help":     {get: (*visit).help, post: (*visit).askHelp, fields: []string{"problem", "detail", "reach"}, stale: (*visit).helpAgain},
	"language": {post: (*visit).language, fields: []string{"language", "here"}},
	"status":   {get: (*visit).status},

	"contacts/confirm": {post: (*visit).confirmContact, fields: []string{"contact", "channel"}, stale: (*visit).detailsAgain},
	"contacts/remove":  {post: (*visit).removeContact, fields: []string{"contact"}, stale: (*visit).detailsAgain},
	"contacts/primary": {post: (*visit).makePrimary, fields: []string{"contact"}, stale: (*visit).detailsAgain},
	"devices/revoke":   {post: (*visit).revoke, fields: []string{"device", "all"}, stale: (*visit).detailsAgain},
}

// inEveryStanding are the pages that also answer people whose account is frozen.
var inEveryStanding = []string{"help", "language", "status"}

// readable are the pages that can be shown again in another language.
var readable = []string{"", "verify", "verify/code", "fresh", "contacts/new", addPhonePage, "done", appPage, "authenticator/setup", "help"}

// serveOwn answers everything under our prefix. The app never sees any of it.
func (g *Gate) serveOwn(w http.ResponseWriter, r *http.Request) error {
	err := g.ownPage(w, r)
	if errors.Is(err, verify.ErrUnavailable) {
		return g.unavailable(w, r)
	}
	return err
}

// ownPage is serveOwn but for a random source that fails: without it there are no codes, and nothing is sent.
func (g *Gate) ownPage(w http.ResponseWriter, r *http.Request) (err error) {
	defer verify.NoRandom(&err)
	name, ok := g.ownName(r)
	if !ok {
		return g.troubleWait(w, r, http.StatusNotFound, "notfound", 0, "/")
	}
	if file, ok := strings.CutPrefix(name, "assets/"); ok {
		return g.serveAsset(w, r, file)
	}
	if name == "notice" || strings.HasPrefix(name, "notice/") {
		return g.serveNotice(w, r, name)
	}
	e, ok := endpoints[name]
	if !ok {
		return g.troubleWait(w, r, http.StatusNotFound, "notfound", 0, "/")
	}
	handle := e.get
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		handle = e.post
	default:
		handle = nil
	}
	if handle == nil {
		return g.notAllowed(w, r, e)
	}
	x, err := g.visit(w, r)
	if err != nil {
		return g.refuseIdentity(w, r, err)
	}
	if x == nil {
		return g.nobody(w, r, name)
	}
	x.here = name
	if !slices.Contains(inEveryStanding, name) {
		a, err := x.account()
		if err != nil {
			return x.failed(err)
		}
		if a.Frozen != nil {
			return x.frozen(a)
		}
		x.endOldSession(a)
	}
	if r.Method != http.MethodPost {
		return handle(x)
	}
	return x.post(name, e)
}

// ownName is what is asked for below the prefix. Only the one canonical spelling is served.
func (g *Gate) ownName(r *http.Request) (string, bool) {
	raw := r.URL.EscapedPath()
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		raw = original.URL.EscapedPath()
	}
	name, ok := strings.CutPrefix(raw, g.prefix)
	if !ok || !policy.CanonicalPath(raw) {
		return "", false
	}
	return strings.TrimPrefix(name, "/"), true
}

func (g *Gate) serveAsset(w http.ResponseWriter, r *http.Request, file string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return g.notAllowed(w, r, endpoint{get: (*visit).ask})
	}
	if !g.pages.ServeAsset(w, file) {
		return g.troubleWait(w, r, http.StatusNotFound, "notfound", 0, "/")
	}
	return nil
}

func (g *Gate) notAllowed(w http.ResponseWriter, r *http.Request, e endpoint) error {
	allow := "POST"
	switch {
	case e.get != nil && e.post != nil:
		allow = "GET, HEAD, POST"
	case e.get != nil:
		allow = "GET, HEAD"
	}
	w.Header().Set("Allow", allow)
	return g.trouble(w, r, http.StatusMethodNotAllowed, "badrequest")
}

// freshReturn is how young a return token is when its bearer was signed in a moment ago.
const freshReturn = time.Minute

// nobody answers our pages without identity. Who was sent here a moment ago as somebody and arrives as nobody would be
// sent back and forth for ever: they get a page that says so.
func (g *Gate) nobody(w http.ResponseWriter, r *http.Request, name string) error {
	if kind := classify(r); kind != policy.Opening && kind != policy.OpeningHead {
		return g.problem(w, r, http.StatusUnauthorized, blankProblem, "Sign in first", "", time.Time{})
	}
	if age, ok := verify.ReturnAge(r.URL.Query().Get("return"), time.Now()); name == "verify" && ok && age < freshReturn {
		g.log.Warn("somebody was sent to our page with an identity and arrived without one; does the sign-in cover the path, too?", "prefix", g.prefix)
		return g.show(w, r, http.StatusOK, pages.Trouble{Kind: "signedout", Back: "/"})
	}
	return seeOther(w, "/")
}

// visit finds out who is asking. It is nil without error when nobody is signed in.
func (g *Gate) visit(w http.ResponseWriter, r *http.Request) (*visit, error) {
	who, err := g.identify(r)
	if err != nil || who.User == "" {
		return nil, err
	}
	live, err := g.app.live(r.Context())
	if err != nil {
		return nil, err
	}
	x := &visit{Gate: g, w: w, r: r, live: live, who: who, v: g.visitor(who)}
	account := g.sessionFor(live, who.User, g.originOf(r))
	var ok bool
	if x.session, ok, x.sentCookie = g.readSession(r, live, account); !ok {
		x.session, x.fresh = newSession(account, x.session.Language), true
	}
	x.nameSession()
	x.v.Device = g.evidence(r, live, publishedOf(r.Context()), who.User).Device
	x.v.IP = clientIP(r)
	x.v.Host, x.v.Browser = g.hostName(r), browserFamily(r.UserAgent())
	x.v.Base, x.v.Operator = g.baseOf(r), g.mailsOperator()
	x.v.Language = g.languageOf(r, x.session.Language)
	return x, nil
}

// nameSession tells the flow which browser session it is.
func (x *visit) nameSession() {
	x.v.Session = x.live.flow.SessionHash(x.realm, x.who.User, x.session.ID)
}

// endOldSession starts afresh when the account's sessions were ended since this one began: what a form of it holds is
// worth nothing any more.
func (x *visit) endOldSession(a *policy.Account) {
	if x.session.began().After(a.SessionsSince) {
		return
	}
	x.session, x.fresh = newSession(x.session.For, x.session.Language), true
	x.nameSession()
}

func (g *Gate) languageOf(r *http.Request, chosen string) string {
	return g.pages.MatchLanguage(chosen, r.Header.Get("Accept-Language"))
}

// post checks a form and hands it on.
func (x *visit) post(name string, e endpoint) error {
	var err error
	if x.form, err = x.readForm(x.w, x.r, e.fields); err != nil {
		var refused *formError
		if !errors.As(err, &refused) {
			return x.failed(err)
		}
		limitUnreadBody(x.w, x.r)
		return x.show(x.w, x.r, refused.status, pages.Trouble{Kind: refused.kind, Back: x.prefix + "/verify"})
	}
	token, challenge, _ := strings.Cut(x.form.Get("csrf"), ".")
	if x.fresh || !x.live.flow.CheckForm(x.v, name, token) {
		return x.staleForm(name, e)
	}
	x.challenge = challenge
	x.form.Set("csrf", token) // what a client writes behind it makes no other form of it
	return e.post(x)
}

// staleForm answers a form whose session is gone, or was overwritten by another tab: nothing is done, and the person
// goes on with one button.
func (x *visit) staleForm(name string, e endpoint) error {
	if a, err := x.account(); err != nil {
		return x.failed(err)
	} else if name == "verify/code" && a.Challenge != nil && !a.Challenge.Done.IsZero() && x.rules.Decide(x.opening(), a.Facts(time.Now()), time.Now()).Standing == policy.Verified {
		return seeOther(x.w, x.prefix+"/done") // the code was entered in another tab
	}
	if e.stale != nil && x.sentCookie {
		return e.stale(x)
	}
	return x.page(http.StatusForbidden, pages.Stale{Back: "verify", NoCookies: !x.sentCookie})
}

func (x *visit) account() (*policy.Account, error) {
	a, err := x.live.flow.Account(x.r.Context(), x.v)
	if a == nil {
		a = &policy.Account{}
	}
	if err == nil {
		x.dropDevice(a)
	}
	return a, err
}

// opening is this visit as the rules see it.
func (x *visit) opening() policy.Request {
	q := x.request(x.who)
	q.Kind, q.Fleeting, q.OwnPage = classify(x.r), fleeting(x.r), true
	q.Evidence = policy.Evidence{Session: x.v.Session, Device: x.v.Device}
	return q
}

// see decides the visit to a page and reads the account for it.
func (x *visit) see() (verify.Visit, error) {
	seen, err := x.live.flow.See(x.r.Context(), &x.rules, x.v, x.opening())
	if err == nil {
		x.dropDevice(seen.Account)
	}
	return seen, err
}

// back is where the person was going, as far as the token that they bring was made by us for them.
func (x *visit) back() (target, token string) {
	token = x.form.Get("return")
	if x.form == nil {
		token = x.r.URL.Query().Get("return")
	}
	target, ok := x.live.flow.OpenReturn(x.v, token)
	if !ok || !policy.ReturnPath(target, x.prefix, x.signOutPath) && !x.isHome(target) {
		return "/", ""
	}
	return target, token
}

// through tells that there is nothing to be confirmed now.
func through(d policy.Decision) bool {
	return d.Action == policy.Pass && (d.Standing == policy.Verified || d.Standing == policy.Exempt)
}

// ask is step 1.
func (x *visit) ask() error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	target, token := x.back()
	if through(seen.Decision) {
		if token == "" {
			return seeOther(x.w, x.prefix+"/done")
		}
		return seeOther(x.w, target)
	}
	if len(x.choices(seen)) == 0 && seen.Decision.Reason != policy.OnHold && seen.Decision.Reason != policy.DeviceCode {
		return seeOther(x.w, x.prefix+"/contacts/new"+query(token))
	}
	return x.showAsk(http.StatusOK, seen, pages.Ask{})
}

func query(token string) string {
	if token == "" {
		return ""
	}
	return "?return=" + token
}

// withQuery adds the return token to a page that may have a query of its own.
func withQuery(page, token string) string {
	if strings.Contains(page, "?") {
		return page + strings.Replace(query(token), "?", "&", 1)
	}
	return page + query(token)
}

// showAsk shows step 1; of v only what failed is set.
func (x *visit) showAsk(status int, seen verify.Visit, v pages.Ask) error {
	d := seen.Decision
	v.Contacts, v.Lapsed, v.CanLater, v.Overdue = x.choices(seen), seen.Lapsed, d.Action != policy.Block, d.Action == policy.Block
	v.Device, v.Fresh = d.Reason == policy.DeviceCode, x.here == freshPage
	v.App = x.proving(d) && seen.Account.HasAuthenticator() && !x.byContactOnly()
	v.Post, _ = x.ways()
	if v.Fresh {
		v.CanLater, v.Overdue = false, false
	}
	switch {
	case x.proving(d):
		v.HoldUntil = x.heldUntil(seen)
	case d.Reason == policy.OnHold:
		v.HoldUntil, v.Held = d.Deadline, x.held(seen)
	case d.Standing == policy.Due || v.Overdue:
		v.Deadline, v.DaysLeft = d.Deadline, daysLeft(d.Deadline, seen.Now)
	}
	return x.page(status, v)
}

// choices are the contacts on file that a code can be sent to.
func (x *visit) choices(seen verify.Visit) []pages.Choice {
	var list []pages.Choice
	for i := range seen.Account.Contacts {
		c := &seen.Account.Contacts[i]
		if !c.Usable(seen.Now) || x.proving(seen.Decision) && seen.Account.WouldHold(c) || x.byContactOnly() && !c.Vouches(seen.Now) {
			continue
		}
		if choice := x.choice(*c); len(choice.Channels) > 0 {
			list = append(list, choice)
		}
	}
	return list
}

// heldUntil is when a contact that was added counts for what is asked here, the first of several; zero: none has to wait.
func (x *visit) heldUntil(seen verify.Visit) (first time.Time) {
	for i := range seen.Account.Contacts {
		c := &seen.Account.Contacts[i]
		until := c.HeldUntil(seen.Now)
		if x.byContactOnly() && !c.Vouches(seen.Now) {
			until = c.VouchesFrom
		}
		if !c.Retired && !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

func (x *visit) choice(c policy.Contact) pages.Choice {
	channels, only := verify.Channels(&x.rules, c)
	return pages.Choice{Handle: x.live.flow.Handle(x.v, c.ID), Masked: c.Address.String(), Channels: names(channels), Only: string(only)}
}

func daysLeft(deadline, now time.Time) int {
	if deadline.IsZero() {
		return 0
	}
	return int(math.Ceil(deadline.Sub(now).Hours() / 24))
}

// send is step 2: without a proof it shows the page for it, with one it sends the code.
func (x *visit) send() error {
	_, other := x.ways()
	handle, channel := x.form.Get("contact"), policy.Channel(x.form.Get("channel"))
	if channel == policy.ByAuthenticator {
		return x.promptApp()
	}
	contact, ok, err := x.live.flow.Lookup(x.r.Context(), x.v, handle)
	if err != nil {
		return x.failed(err)
	}
	if !ok {
		return x.page(http.StatusForbidden, pages.Stale{Back: other})
	}
	if channels, _ := verify.Channels(&x.rules, contact); !slices.Contains(channels, channel) {
		return x.show(x.w, x.r, http.StatusBadRequest, pages.Trouble{Kind: "badrequest", Back: x.prefix + "/" + other})
	}
	prove := x.prove(contact, channel)
	if !x.form.Has("proof") {
		return x.page(http.StatusOK, prove)
	}
	if strings.TrimSpace(prove.Typed) == "" {
		prove.Problem = "empty"
		return x.page(http.StatusUnprocessableEntity, prove)
	}
	target, _ := x.back()
	sent, err := x.live.flow.Start(x.r.Context(), &x.rules, x.v, handle, channel, prove.Typed, target)
	if err != nil {
		return x.failed(err)
	}
	if !sent.Unproved {
		return x.sent(sent)
	}
	return x.unproved(prove, sent)
}

// prove is the page of step 2 for a contact, with what was typed.
func (x *visit) prove(c policy.Contact, channel policy.Channel) pages.Prove {
	post, other := x.ways()
	return pages.Prove{
		Contact: x.choice(c), Channel: string(channel), Whole: c.AsksWhole(&x.rules, time.Now()), Lossy: x.lossy(c.Address),
		Typed: x.form.Get("proof"), Post: post, Other: other,
	}
}

// unproved shows step 2 again: what was typed did not show that the person knows the contact.
func (x *visit) unproved(prove pages.Prove, sent verify.Sent) error {
	whole := prove.Whole
	prove.Whole = sent.Contact.AsksWhole(&x.rules, time.Now())
	status := http.StatusUnprocessableEntity
	switch sent.Outcome {
	case policy.Mismatch:
		prove.Problem, prove.Left = "mismatch", sent.Left
		if prove.Whole && !whole && sent.Left > 0 {
			prove.Problem = "spent"
		}
	case policy.Unread:
		prove.Problem = "digits"
	case policy.WholeAsked:
		prove.Problem = "whole"
	case policy.Closed:
		prove.Problem, status = "closed", http.StatusTooManyRequests
	case policy.TooMany:
		prove.Problem, prove.Wait = "wait", sent.Wait
		return x.tooMany(sent.Wait, prove)
	default: // the contact has gone meanwhile
		return x.page(http.StatusForbidden, pages.Stale{Back: prove.Other})
	}
	return x.page(status, prove)
}

// proveAgain shows step 2 again with what was typed: its session was overwritten by another tab.
func (x *visit) proveAgain() error {
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	contact, ok := x.live.flow.Mentioned(x.v, a, x.form.Get("contact"))
	channel := policy.Channel(x.form.Get("channel"))
	if channels, _ := verify.Channels(&x.rules, contact); !ok || !slices.Contains(channels, channel) {
		_, other := x.ways()
		return x.page(http.StatusForbidden, pages.Stale{Back: other})
	}
	return x.page(http.StatusForbidden, x.prove(contact, channel))
}

// sent goes on to the page for the code, or says that nothing was sent and what else works.
func (x *visit) sent(s verify.Sent) error {
	switch s.Outcome {
	case policy.Started, policy.Underway:
		if s.State == policy.SendFailed || s.State == policy.SendRefused {
			return x.notSent(s)
		}
		return seeOther(x.w, x.prefix+"/verify/code")
	case policy.TooMany:
		return x.limited(s.Wait)
	case policy.Paused:
		return x.paused(s)
	}
	_, other := x.ways()
	return x.page(http.StatusForbidden, pages.Stale{Back: other})
}

// retrySend is what Retry-After says after a message could not be handed over.
const retrySend = 30 * time.Second

func (x *visit) notSent(s verify.Sent) error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	x.w.Header().Set("Retry-After", seconds(retrySend))
	return x.showAsk(http.StatusServiceUnavailable, seen, pages.Ask{
		Failed: failure(s.State), FailedMasked: s.Contact.Address.String(), FailedPhone: s.Contact.Kind == policy.Phone,
	})
}

// paused says that nothing is sent to typed numbers of a country for now, and what else works.
func (x *visit) paused(s verify.Sent) error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	x.w.Header().Set("Retry-After", seconds(s.Wait))
	return x.showAsk(http.StatusServiceUnavailable, seen, pages.Ask{
		Failed: "paused", FailedMasked: s.Contact.Address.String(), FailedPhone: true, FailedWait: s.Wait,
	})
}

func failure(state policy.SendState) string {
	if state == policy.SendRefused {
		return "refused"
	}
	return "unreachable"
}

// code is step 3. It sends nothing and counts nothing, whatever its query says.
func (x *visit) code() error {
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	c := x.live.flow.Pending(a, x.v)
	switch {
	case c == nil:
		return seeOther(x.w, x.prefix+"/verify")
	case !c.Done.IsZero():
		return seeOther(x.w, x.onward(c.Return))
	case c.Channel == policy.ByAuthenticator:
		return x.showAppCode(http.StatusOK, c, pages.AppCode{})
	case !c.Live(time.Now()):
		return x.showCode(http.StatusOK, a, c, pages.Code{Problem: "expired"})
	}
	return x.showCode(http.StatusOK, a, c, pages.Code{})
}

var sendStates = map[policy.SendState]string{
	policy.SendWaiting: "underway", policy.SendAccepted: "accepted", policy.SendFailed: "failed", policy.SendRefused: "failed",
}

func (x *visit) showCode(status int, a *policy.Account, c *policy.Challenge, v pages.Code) error {
	now := time.Now()
	v.Channel, v.Ends, v.State = string(c.Channel), c.Ends, sendStates[c.SendState]
	v.ResendIn, v.NewCode = c.ResendWait(x.rules.Limits, now), c.Reissued
	v.From, v.Caller = x.app.mailFrom, x.app.callerID
	if t := c.Target(a); t != nil {
		v.Masked = t.Address.String()
		_, only := verify.Channels(&x.rules, *t)
		v.Only = string(only)
	}
	if subject, err := x.pages.CodeSubject(x.v.Language); err == nil {
		v.Subject = subject
	}
	// On file or not: this page does not tell whether a guess was right.
	held := c.Typed && a.EverVerified
	if v.Adding = c.Typed; !c.Typed && c.Target(a) != nil {
		held = a.WouldHold(c.Target(a))
	}
	if held && !a.CountsAtOnce(c) {
		v.HoldAfter = x.rules.ReplacementHold
		v.Device = x.rules.Decide(x.opening(), a.Facts(now), now).Reason == policy.DeviceCode
	}
	v.CanTrust, v.Ticked = x.rules.Trusts() && v.HoldAfter == 0, x.ticked(c)
	if x.isHome(c.Return) {
		v.Other = freshPage
	}
	if c.Return != "" && c.Return != "/" { // another way leads where this one does
		x.carry = x.live.flow.ReturnToken(x.v, c.Return)
	}
	x.challenge = challengeName(c)
	x.here = "verify/code"
	return x.page(status, v)
}

// challengeName is in the token of the form for a code, so that a form of an earlier code is told so and costs no try.
func challengeName(c *policy.Challenge) string {
	if c == nil || len(c.Nonce) < 4 {
		return ""
	}
	return strconv.FormatUint(uint64(c.Nonce[0])<<24|uint64(c.Nonce[1])<<16|uint64(c.Nonce[2])<<8|uint64(c.Nonce[3]), 36)
}

// enter is step 3 with a code.
func (x *visit) enter() error {
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	c := a.Challenge
	if c == nil {
		return x.page(http.StatusForbidden, pages.Stale{Back: "verify"})
	}
	if x.challenge != "" && x.challenge != challengeName(c) && c.Live(time.Now()) {
		if c.Channel == policy.ByAuthenticator {
			return x.showAppCode(http.StatusUnprocessableEntity, c, pages.AppCode{Problem: "replaced"})
		}
		return x.showCode(http.StatusUnprocessableEntity, a, c, pages.Code{Problem: "replaced"})
	}
	if c.Channel == policy.ByAuthenticator {
		return x.enterApp(c)
	}
	x.v.Ticked = x.form.Get("trust") == "on"
	digits, problem := policy.Digits(x.form.Get("code"), policy.CodeDigits)
	if problem != "" {
		if err := x.live.flow.Tick(x.r.Context(), x.v); err != nil {
			return x.failed(err)
		}
		return x.showCode(http.StatusUnprocessableEntity, a, c, pages.Code{Problem: problem})
	}
	next := x.nextSession(c)
	e, err := x.live.flow.Enter(x.r.Context(), &x.rules, x.v, digits)
	if err != nil {
		return x.failed(err)
	}
	switch e.Outcome {
	case policy.Accepted, policy.AcceptedAgain:
		return x.accepted(e, next)
	case policy.NoCode:
		return x.noCode(e)
	}
	return x.refusedCode(e)
}

// nextSession is the session in which the browser goes on after a right code. The flow is told of it.
func (x *visit) nextSession(c *policy.Challenge) session {
	next := newSession(x.session.For, x.session.Language)
	next.ID = x.live.flow.NextSession(x.v, c)
	x.v.Next = x.live.flow.SessionHash(x.realm, x.who.User, next.ID)
	return next
}

// accepted lets the browser go on in its next session, trusted if that was ticked. A double click is answered alike: who
// knows which of the two answers the browser keeps.
func (x *visit) accepted(e verify.Entered, next session) error {
	if err := x.writeSession(x.w, x.r, x.live, next); err != nil {
		return x.failed(err)
	}
	if e.Device != nil {
		if err := x.giveDevice(e.Device); err != nil {
			return x.failed(err)
		}
	}
	if !x.isHome(e.Return) && x.offersApp(e, next) {
		return seeOther(x.w, x.prefix+"/"+appPage)
	}
	return seeOther(x.w, x.onward(e.Return))
}

// noCode answers a code when none is asked for: the person may be through already.
func (x *visit) noCode(e verify.Entered) error {
	if c := x.live.flow.Pending(e.Account, x.v); c != nil && !c.Done.IsZero() {
		return seeOther(x.w, x.onward(c.Return))
	}
	return x.page(http.StatusForbidden, pages.Stale{Back: "verify"})
}

func (x *visit) refusedCode(e verify.Entered) error {
	v, status := pages.Code{Left: e.Left, Wait: e.Wait}, http.StatusUnprocessableEntity
	switch e.Outcome {
	case policy.WrongCode:
		v.Problem = "wrong"
	case policy.Expired:
		v.Problem = "expired"
	case policy.Elsewhere:
		v.Problem = "replaced"
	case policy.TriesUsed:
		v.Problem, status = "closed", http.StatusTooManyRequests
		v.Wait = e.Account.Challenge.ResendWait(x.rules.Limits, time.Now())
	case policy.TooMany:
		v.Problem, status = "wait", http.StatusTooManyRequests
	default:
		v.Problem, status = "stopped", http.StatusTooManyRequests
	}
	if status == http.StatusTooManyRequests && v.Wait > 0 {
		x.w.Header().Set("Retry-After", seconds(v.Wait))
	}
	return x.showCode(status, e.Account, e.Account.Challenge, v)
}

// resend sends the code of this session again.
func (x *visit) resend() error {
	s, err := x.live.flow.Resend(x.r.Context(), &x.rules, x.v)
	if err != nil {
		return x.failed(err)
	}
	if s.Outcome != policy.TooEarly {
		return x.sent(s)
	}
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	if a.Challenge == nil { // the contact was removed a moment ago
		return x.sent(verify.Sent{Result: policy.Result{Outcome: policy.NoCode}})
	}
	x.w.Header().Set("Retry-After", seconds(s.Wait))
	return x.showCode(http.StatusTooManyRequests, a, a.Challenge, pages.Code{Problem: "early", Wait: s.Wait})
}

// later is "not now".
func (x *visit) later() error {
	d, err := x.live.flow.Later(x.r.Context(), &x.rules, x.v, x.opening())
	if err != nil {
		return x.failed(err)
	}
	target, token := x.back()
	if d.Action != policy.Ask && d.Action != policy.Pass {
		return x.page(http.StatusForbidden, pages.Trouble{Kind: "toolate", Back: x.prefix + "/verify" + query(token)})
	}
	return seeOther(x.w, target)
}

// done is step 5.
func (x *visit) done() error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	v := pages.Done{Continue: x.goingTo(seen.Account)}
	for i := range seen.Account.Contacts {
		if c := &seen.Account.Contacts[i]; c.Counts(seen.Now) {
			v.Verified = append(v.Verified, c.Address.String())
		}
	}
	if c := x.live.flow.Pending(seen.Account, x.v); c != nil && !c.Done.IsZero() {
		if t := c.Target(seen.Account); t != nil && seen.Now.Before(c.Ends) {
			v.Masked = t.Address.String()
			v.HoldUntil = t.HeldUntil(seen.Now)
		}
		v.App = c.Channel == policy.ByAuthenticator && seen.Account.IsFresh(x.v.Session, seen.Now)
	}
	v.Device = seen.Decision.Reason == policy.DeviceCode
	if d, ok := seen.Account.TrustedDevice(x.v.Device, x.rules.Trust, seen.Now); ok && x.rules.Trusts() {
		used := x.rules.Trust
		used.Unused = used.For // until when, if it is used
		v.TrustedUntil, v.Unused = d.Until(used), x.rules.Trust.Unused
	}
	if v.Masked == "" && (seen.Decision.Standing != policy.Verified && seen.Decision.Standing != policy.Exempt || v.Device) {
		return seeOther(x.w, x.prefix+"/verify")
	}
	if seen.Account.IsFresh(x.v.Session, seen.Now) && v.HoldUntil.IsZero() {
		v.Held = x.held(seen)
	}
	v.Second = len(v.Verified) == 1 && len(v.Held) == 0 && v.HoldUntil.IsZero() && seen.Decision.Reason != policy.OnHold
	return x.page(http.StatusOK, v)
}

// goingTo is where the person was going when they were asked for a code in this session; the front page, if that is not
// known.
func (x *visit) goingTo(a *policy.Account) string {
	if c := x.live.flow.Pending(a, x.v); c != nil && !c.Done.IsZero() && policy.ReturnPath(c.Return, x.prefix, x.signOutPath) {
		return c.Return
	}
	return "/"
}

// language remembers the choice in the browser session and shows the page again that it was made on.
func (x *visit) language() error {
	x.session.Language = x.pages.MatchLanguage(x.form.Get("language"), "")
	if err := x.writeSession(x.w, x.r, x.live, x.session); err != nil {
		return x.failed(err)
	}
	here := x.form.Get("here")
	if !slices.Contains(readable, here) {
		here = "verify"
	}
	_, token := x.back()
	return seeOther(x.w, withQuery(x.prefix+"/"+here, token))
}

// status tells scripts of the app what the gate knows.
func (x *visit) status() error {
	q := x.request(x.who)
	q.Kind, q.Fleeting = policy.Other, fleeting(x.r) // whoever opens it by hand is not interrupted by it
	verdict, err := x.live.flow.Decide(x.r.Context(), &x.rules, x.v, q)
	if err != nil {
		return x.failed(err)
	}
	body := map[string]any{"status": verdict.Standing.String(), "deadline": nil, "verify_url": x.prefix + "/verify"}
	if !verdict.Deadline.IsZero() {
		body["deadline"] = verdict.Deadline.UTC().Format(time.RFC3339)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return x.failed(err)
	}
	guard(x.w)
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(text)
	return nil
}

// failed turns a technical error into an answer. Nothing of the error reaches the page.
func (x *visit) failed(err error) error {
	if errors.Is(err, verify.ErrUnavailable) {
		return x.unavailable(x.w, x.r)
	}
	if errors.Is(err, verify.ErrFrozen) { // a moment ago: this visit began before
		a, err := x.account()
		if err != nil {
			return x.unavailable(x.w, x.r)
		}
		return x.frozen(a)
	}
	x.log.Error("one of our pages failed", "page", x.here, "error", err)
	return x.trouble(x.w, x.r, http.StatusInternalServerError, "internal")
}

func (x *visit) limited(wait time.Duration) error {
	_, token := x.back()
	_, other := x.ways()
	return x.tooMany(wait, pages.Trouble{Kind: "limited", Wait: wait, Back: x.prefix + "/" + other + query(token)})
}

func (x *visit) tooMany(wait time.Duration, v pages.View) error {
	if wait > 0 {
		x.w.Header().Set("Retry-After", seconds(wait))
	}
	return x.page(http.StatusTooManyRequests, v)
}

// page answers with one of our pages, in this visit's session.
func (x *visit) page(status int, v pages.View) error {
	if x.fresh {
		if err := x.writeSession(x.w, x.r, x.live, x.session); err != nil {
			x.log.Error("a session cookie could not be made", "error", err)
		}
	}
	f := x.frame()
	f.Language = x.v.Language
	if _, f.Return = x.back(); f.Return == "" {
		f.Return = x.carry
	}
	f.Here = x.here
	if !slices.Contains(readable, f.Here) {
		f.Here = "verify"
	}
	if x.who.User == "" { // there is no other page for nobody
		f.LanguageAction, f.SignedOut, f.Support, f.Linked = x.here, true, x.support, strings.Contains(x.here, "/")
	}
	f.Token = func(action string) string {
		token := x.live.flow.FormToken(x.v, action)
		if action == "verify/code" {
			return token + "." + x.challenge
		}
		return token
	}
	if err := x.pages.Render(x.w, status, f, v, time.Now()); err != nil {
		x.log.Error("a page failed", "error", err, "incident", f.Incident)
	}
	return nil
}

// show answers with a page for somebody who need not be anybody: it has no forms that act.
func (g *Gate) show(w http.ResponseWriter, r *http.Request, status int, v pages.View) error {
	f := g.frame()
	f.Language = g.languageOf(r, "")
	if status >= http.StatusInternalServerError {
		f.Incident = incident()
		g.log.Warn("somebody was shown an error page", "incident", f.Incident, "status", status)
	}
	if err := g.pages.Render(w, status, f, v, time.Now()); err != nil {
		g.log.Error("a page failed", "error", err, "incident", f.Incident)
	}
	return nil
}

func (g *Gate) frame() pages.Frame {
	return pages.Frame{
		Prefix: g.prefix, SignOut: g.signOut,
		Token: func(string) string { return "" },
	}
}

// incident is an ID that stands on the page and in the log.
func incident() string { return rand.Text()[:10] }

// browserFamily is the name that people know their browser by; empty when it is none of the known ones.
func browserFamily(userAgent string) string {
	for _, b := range []struct{ mark, name string }{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"FxiOS/", "Firefox"},
		{"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(userAgent, b.mark) {
			return b.name
		}
	}
	return ""
}
