package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// appPage is the page of the authenticator app: the offer of one, or what there is of it.
const appPage = "authenticator"

// appOrOffer is step 4: the offer, or, once there is an app, what there is of it.
func (x *visit) appOrOffer() error {
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	if !a.HasAuthenticator() {
		return x.page(http.StatusOK, pages.Offer{After: x.rules.RemindAuthenticator})
	}
	return x.showApp(a)
}

func (x *visit) showApp(a *policy.Account) error {
	x.here = appPage
	v := pages.App{Enrolled: a.Authenticator.Enrolled, Left: len(a.Authenticator.Recovery), Continue: x.goingTo(a)}
	v.Wait, v.Stopped = a.AuthenticatorWait(time.Now())
	return x.page(http.StatusOK, v)
}

// choose takes the answer to the offer.
func (x *visit) choose() error {
	switch choice := x.form.Get("choice"); choice {
	case "now":
		return x.beginSetup()
	case "later", "never":
		if err := x.live.flow.DeclineAuthenticator(x.r.Context(), x.v, choice == "never"); err != nil {
			return x.failed(err)
		}
		return seeOther(x.w, x.prefix+"/done")
	}
	return x.show(x.w, x.r, http.StatusBadRequest, pages.Trouble{Kind: "badrequest", Back: x.prefix + "/" + appPage})
}

// beginSetup makes the key that the app is to know, for somebody who has just entered a code.
func (x *visit) beginSetup() error {
	app, err := x.live.flow.BeginEnrolment(x.r.Context(), x.v)
	if err != nil {
		return x.failed(err)
	}
	switch app.Outcome {
	case policy.Started, policy.Underway:
		return seeOther(x.w, x.prefix+"/authenticator/setup")
	case policy.NotFresh:
		return x.askFresh(appPage)
	case policy.TooMany:
		return x.tooManyChanges(app.Wait)
	}
	return seeOther(x.w, x.prefix+"/"+appPage) // there is one already
}

// setup shows the key, for as long as it is not confirmed.
func (x *visit) setup() error {
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	if x.live.flow.Enrolling(a, x.v) == "" { // not begun, confirmed, or begun too long ago
		return seeOther(x.w, x.prefix+"/"+appPage)
	}
	return x.showSetup(http.StatusOK, a, pages.Setup{})
}

func (x *visit) showSetup(status int, a *policy.Account, v pages.Setup) error {
	x.here = "authenticator/setup"
	if v.Key = x.live.flow.Enrolling(a, x.v); v.Key == "" {
		x.here = appPage
		return x.page(http.StatusUnprocessableEntity, pages.Offer{After: x.rules.RemindAuthenticator, Expired: true})
	}
	v.Account = x.who.User
	return x.page(status, v)
}

// enrol takes the first code of the app, and shows the recovery codes, this once.
func (x *visit) enrol() error {
	typed, empty := policy.ReadAppCode(x.form.Get("code"))
	if empty {
		a, err := x.account()
		if err != nil {
			return x.failed(err)
		}
		return x.showSetup(http.StatusUnprocessableEntity, a, pages.Setup{Problem: "empty"})
	}
	app, err := x.live.flow.ConfirmEnrolment(x.r.Context(), &x.rules, x.v, typed, x.form.Get("csrf"))
	if err != nil {
		return x.failed(err)
	}
	switch app.Outcome {
	case policy.Accepted, policy.AcceptedAgain:
		return x.recovery(app, false)
	case policy.Enrolled:
		return seeOther(x.w, x.prefix+"/"+appPage)
	}
	problem, wait, status := x.refusedApp(app.Account, app.Result)
	return x.showSetup(status, app.Account, pages.Setup{Problem: problem, Left: app.Left, Wait: wait})
}

// refusedApp says why a code of the app was not taken, as the pages name it.
func (x *visit) refusedApp(a *policy.Account, r policy.Result) (problem string, wait time.Duration, status int) {
	wait, _ = a.AuthenticatorWait(time.Now())
	switch r.Outcome {
	case policy.WrongCode:
		return "wrong", wait, http.StatusUnprocessableEntity
	case policy.Used:
		return "used", wait, http.StatusUnprocessableEntity
	case policy.TooMany:
		x.w.Header().Set("Retry-After", seconds(r.Wait))
		return "wait", r.Wait, http.StatusTooManyRequests
	case policy.Elsewhere, policy.Expired:
		return "replaced", 0, http.StatusUnprocessableEntity
	}
	return "stopped", 0, http.StatusTooManyRequests
}

// recovery shows the recovery codes in the answer to the form that made them. No page shows them again.
func (x *visit) recovery(app verify.App, renewed bool) error {
	x.here = appPage
	return x.page(http.StatusOK, pages.Recovery{Codes: app.Codes, Renewed: renewed})
}

// renewCodes makes new recovery codes.
func (x *visit) renewCodes() error {
	app, err := x.live.flow.RenewRecovery(x.r.Context(), x.v, x.form.Get("csrf"))
	if err != nil {
		return x.failed(err)
	}
	switch app.Outcome {
	case policy.Accepted, policy.AcceptedAgain:
		return x.recovery(app, true)
	case policy.NotFresh:
		return x.askFresh(appPage)
	case policy.TooMany:
		return x.tooManyChanges(app.Wait)
	}
	return seeOther(x.w, x.prefix+"/"+appPage)
}

// saveCodes gives recovery codes back as a file, to the page that shows them: only a form can save them without a script,
// and nobody else knows them any more.
func (x *visit) saveCodes() error {
	a, err := x.account()
	if err != nil {
		return x.failed(err)
	}
	codes := strings.Fields(x.form.Get("codes"))
	if !x.live.flow.KeepsRecovery(x.v, a, codes) {
		return x.page(http.StatusForbidden, pages.Stale{Back: appPage})
	}
	text, err := x.pages.RecoveryFile(x.v.Language, codes, time.Now())
	if err != nil {
		return x.failed(err)
	}
	guard(x.w)
	h := x.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write([]byte(text))
	return nil
}

// removeApp forgets the app. It takes a code that was sent to a contact: whoever found the phone has the app's own.
func (x *visit) removeApp() error {
	app, err := x.live.flow.RemoveAuthenticator(x.r.Context(), x.v)
	if err != nil {
		return x.failed(err)
	}
	x.here = appPage
	switch app.Outcome {
	case policy.Accepted:
		return x.page(http.StatusOK, pages.Offer{After: x.rules.RemindAuthenticator, Removed: true})
	case policy.NotFresh:
		return x.askFresh(appPage + byContact)
	}
	return seeOther(x.w, x.prefix+"/"+appPage)
}

// promptApp asks for a code of the app where one helps: to show who uses this browser. It confirms no contact, so people
// who have to confirm one are sent to those.
func (x *visit) promptApp() error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	target, token := x.back()
	if !seen.Account.HasAuthenticator() || !x.proving(seen.Decision) && !x.isHome(target) && !through(seen.Decision) {
		return seeOther(x.w, x.prefix+"/verify"+query(token))
	}
	app, err := x.live.flow.PromptAuthenticator(x.r.Context(), x.v, target)
	if err != nil {
		return x.failed(err)
	}
	if app.Outcome != policy.Started && app.Outcome != policy.Underway {
		return x.page(http.StatusForbidden, pages.Stale{Back: "verify"})
	}
	return seeOther(x.w, x.prefix+"/verify/code")
}

// showAppCode is step 3 for a code of the app.
func (x *visit) showAppCode(status int, c *policy.Challenge, v pages.AppCode) error {
	v.CanTrust, v.Ticked = x.rules.Trusts(), x.ticked(c)
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

// enterApp is step 3 with a code of the app, or a recovery code.
func (x *visit) enterApp(c *policy.Challenge) error {
	x.v.Ticked = x.form.Get("trust") == "on"
	typed, empty := policy.ReadAppCode(x.form.Get("code"))
	if empty {
		if err := x.live.flow.Tick(x.r.Context(), x.v); err != nil {
			return x.failed(err)
		}
		return x.showAppCode(http.StatusUnprocessableEntity, c, pages.AppCode{Problem: "empty"})
	}
	next := x.nextSession(c)
	e, err := x.live.flow.EnterApp(x.r.Context(), &x.rules, x.v, typed)
	if err != nil {
		return x.failed(err)
	}
	switch e.Outcome {
	case policy.Accepted, policy.AcceptedAgain:
		return x.accepted(e, next)
	case policy.NoCode:
		return x.noCode(e)
	}
	v := pages.AppCode{Left: e.Left, Recovering: typed.Digits == "" && strings.ContainsFunc(x.form.Get("code"), unicode.IsLetter)}
	status := 0
	v.Problem, v.Wait, status = x.refusedApp(e.Account, e.Result)
	return x.showAppCode(status, e.Account.Challenge, v)
}

// offersApp tells whether a code that was just entered is followed by the offer of an app.
func (x *visit) offersApp(e verify.Entered, next session) bool {
	session := x.live.flow.SessionHash(x.realm, x.who.User, next.ID)
	return x.rules.OffersAuthenticator(e.Account, time.Now()) && e.Account.IsFresh(session, time.Now())
}
