package caddymodule

import (
	"net/http"
	"strings"

	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// help is "still stuck". It answers in every standing, and while the store is away.
func (x *visit) help() error {
	if reference, ok := x.helpSent(); ok {
		return x.page(http.StatusOK, pages.HelpSent{Reference: reference, Frozen: x.isFrozen()})
	}
	return x.showHelp(http.StatusOK, pages.Help{})
}

func (x *visit) showHelp(status int, v pages.Help) error {
	v.Support, v.From, v.Phones = x.support, x.app.mailFrom, len(x.rules.Countries) > 0
	v.Form, v.Frozen = x.v.Operator, x.isFrozen()
	if v.Problem == "" && v.Frozen {
		v.Problem = "stopped"
	}
	return x.page(status, v)
}

func (x *visit) isFrozen() bool {
	a, err := x.account()
	return err == nil && a.Frozen != nil
}

// askHelp takes what somebody who is stuck writes to the people who run the site.
func (x *visit) askHelp() error {
	if !x.v.Operator {
		return x.page(http.StatusForbidden, pages.Stale{Back: "help"})
	}
	h, fault := policy.ReadHelp(x.form.Get("problem"), x.form.Get("detail"), x.form.Get("reach"))
	v := pages.Help{Problem: h.Problem, Detail: h.Detail, Reach: h.Reach, Fault: fault}
	if fault != "" {
		return x.showHelp(http.StatusUnprocessableEntity, v)
	}
	helped, err := x.live.flow.AskHelp(x.r.Context(), &x.rules, x.v, h)
	if err != nil {
		return x.failed(err)
	}
	if helped.Outcome == policy.TooMany {
		x.w.Header().Set("Retry-After", seconds(helped.Wait))
		v.Fault, v.Wait = "wait", helped.Wait
		return x.showHelp(http.StatusTooManyRequests, v)
	}
	return seeOther(x.w, x.prefix+"/help?sent="+x.live.flow.ReturnToken(x.v, sentPrefix+helped.Reference))
}

// helpAgain shows the form again with what was typed: its session was overwritten by another tab.
func (x *visit) helpAgain() error {
	return x.showHelp(http.StatusForbidden, pages.Help{Problem: x.form.Get("problem"), Detail: x.form.Get("detail"), Reach: x.form.Get("reach")})
}

// sentPrefix begins what is signed for the page after a message: that is no address, so that it leads nowhere.
const sentPrefix = "help:"

// helpSent is the reference of a message that this person has just sent.
func (x *visit) helpSent() (reference string, ok bool) {
	signed, ok := x.live.flow.OpenReturn(x.v, x.r.URL.Query().Get("sent"))
	if !ok {
		return "", false
	}
	return strings.CutPrefix(signed, sentPrefix)
}
