package caddymodule

import (
	"errors"
	"net/http"
	"strings"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// serveNotice answers "this was not me": the link of a mail, notice/TOKEN, or the page for the code of a text message. It asks
// nobody who they are: whoever took over the account may have locked its owner out. GET changes nothing, and looks nothing
// up: mail systems open links by themselves.
func (g *Gate) serveNotice(w http.ResponseWriter, r *http.Request, name string) error {
	_, token, isLink := strings.Cut(name, "/")
	if strings.Contains(token, "/") {
		return g.troubleWait(w, r, http.StatusNotFound, "notfound", 0, "/")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		return g.notAllowed(w, r, endpoint{get: (*visit).ask, post: (*visit).ask})
	}
	x, err := g.anonymous(w, r, name)
	if err != nil {
		return g.unavailable(w, r)
	}
	if isLink && !verify.NoticeToken(token) {
		return x.notice(http.StatusNotFound, pages.Notice{State: "gone"})
	}
	ask := pages.Notice{Token: token}
	if r.Method != http.MethodPost {
		return x.notice(http.StatusOK, ask)
	}
	return x.answerNotice(ask)
}

// anonymous is a visit of nobody. It goes on in whatever session of ours the browser has.
func (g *Gate) anonymous(w http.ResponseWriter, r *http.Request, name string) (*visit, error) {
	live, err := g.app.live(r.Context())
	if err != nil {
		return nil, err
	}
	x := &visit{Gate: g, w: w, r: r, live: live, here: name, v: verify.Visitor{Realm: g.realm}}
	var ok bool
	if x.session, ok, x.sentCookie = g.readSession(r, live, nil); !ok {
		x.session, x.fresh = newSession(g.sessionFor(live, "", g.originOf(r)), x.session.Language), true
	}
	x.nameSession()
	x.v.IP, x.v.Host, x.v.Base, x.v.Operator = clientIP(r), g.hostName(r), g.baseOf(r), g.mailsOperator()
	x.v.Language = g.languageOf(r, x.session.Language)
	return x, nil
}

func (x *visit) notice(status int, v pages.Notice) error {
	v.Support = x.support
	return x.page(status, v)
}

// answerNotice checks the form, and does what it says.
func (x *visit) answerNotice(ask pages.Notice) error {
	form, err := x.readForm(x.w, x.r, []string{"code", "language", "here"})
	if err != nil {
		var refused *formError
		if !errors.As(err, &refused) {
			return x.failed(err)
		}
		limitUnreadBody(x.w, x.r)
		return x.page(refused.status, pages.Trouble{Kind: refused.kind, Back: x.prefix + "/" + x.here})
	}
	x.form = form
	switch {
	case !x.sentCookie:
		return x.page(http.StatusForbidden, pages.Stale{Back: x.here, NoCookies: true})
	case x.fresh || !x.live.flow.CheckForm(x.v, x.here, form.Get("csrf")):
		return x.notice(http.StatusForbidden, ask)
	case form.Has("language"):
		return x.noticeLanguage()
	case ask.Token != "":
		d, err := x.live.flow.DisownByLink(x.r.Context(), x.v, ask.Token)
		return x.disowned(d, err, pages.Notice{State: "gone"}, http.StatusNotFound)
	}
	code, problem := policy.NoticeCode(form.Get("code"))
	if ask.Problem = problem; problem != "" {
		return x.notice(http.StatusUnprocessableEntity, ask)
	}
	ask.Problem = "wrong"
	d, err := x.live.flow.DisownByCode(x.r.Context(), x.v, code)
	return x.disowned(d, err, ask, http.StatusUnprocessableEntity)
}

// noticeLanguage is the choice of a language where nobody need be signed in.
func (x *visit) noticeLanguage() error {
	x.session.Language = x.pages.MatchLanguage(x.form.Get("language"), "")
	if err := x.writeSession(x.w, x.r, x.live, x.session); err != nil {
		return x.failed(err)
	}
	return seeOther(x.w, x.prefix+"/"+x.here)
}

// disowned tells what became of it. unknown is the page for a link or a code that leads nowhere.
func (x *visit) disowned(d verify.Disowned, err error, unknown pages.Notice, status int) error {
	if err != nil {
		return x.failed(err)
	}
	switch d.Outcome {
	case policy.Accepted, policy.AcceptedAgain:
		return x.notice(http.StatusOK, pages.Notice{State: "done", Reference: d.Freeze.Reference, Told: x.v.Operator})
	case policy.Used:
		return x.notice(http.StatusForbidden, pages.Notice{State: "used"})
	case policy.TooMany:
		x.w.Header().Set("Retry-After", seconds(d.Wait))
		return x.notice(http.StatusTooManyRequests, pages.Notice{Problem: "wait", Wait: d.Wait})
	}
	return x.notice(status, unknown)
}

// mailsOperator tells that mail reaches the people who run the site.
func (g *Gate) mailsOperator() bool {
	_, ok := mailAddress(g.support)
	return ok && g.app.carries(policy.ByEmail)
}

// held are the contacts on hold, which can be taken off the account again.
func (x *visit) held(seen verify.Visit) []pages.Choice {
	var list []pages.Choice
	for i := range seen.Account.Contacts {
		if c := &seen.Account.Contacts[i]; !c.Retired && !c.HeldUntil(seen.Now).IsZero() {
			list = append(list, x.choice(*c))
		}
	}
	return list
}

// undo takes a contact on hold off the account, for somebody who has entered a code of an older one lately.
func (x *visit) undo() error {
	undone, o, err := x.live.flow.Undo(x.r.Context(), &x.rules, x.v, x.form.Get("contact"))
	switch {
	case err != nil:
		return x.failed(err)
	case o == policy.Accepted:
		return x.page(http.StatusOK, pages.Undone{Masked: undone.Address.String()})
	case o == policy.NotFresh:
		return x.askFresh("")
	}
	return x.page(http.StatusForbidden, pages.Stale{Back: "verify"})
}
