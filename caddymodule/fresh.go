package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// freshPage is the page that asks for a code before a change.
const freshPage = "fresh"

// homes are our pages that a code before a change leads back to: below the prefix, all of them answer GET.
var homes = []string{"", "authenticator"}

// openAt behind a person's own page has the contact open there that they were about to change. What follows is its stem.
const openAt = "?open="

// byContact at the end of a home asks for a code that was sent to a contact: one of the authenticator app will not do.
const byContact = "?by=contact"

// askFresh holds up a change for which no code was entered in this browser within the last ten minutes: it sends people to
// the page for a code, and from there back to home, the page that the change was asked on. With byContact behind home, only
// a code that was sent to a contact will do. Whether a code is fresh is asked in the very update that changes the account
// (Account.IsFresh).
func (x *visit) askFresh(home string) error {
	token := x.live.flow.ReturnToken(x.v, x.prefix+"/"+home)
	return seeOther(x.w, x.prefix+"/"+freshPage+query(token))
}

// byContactOnly tells that the change which a code is asked for takes one that was sent to a contact.
func (x *visit) byContactOnly() bool {
	target, _ := x.back()
	return x.here == freshPage && strings.HasSuffix(target, byContact)
}

// isHome tells whether an address is one of homes, as askFresh makes them.
func (x *visit) isHome(target string) bool {
	if own, stem, ok := strings.Cut(target, openAt); ok && url.QueryEscape(stem) == stem {
		return own == x.prefix+"/"
	}
	name, ok := strings.CutPrefix(strings.TrimSuffix(target, byContact), x.prefix+"/")
	return ok && slices.Contains(homes, name)
}

// beforeChange asks for a code before a change.
func (x *visit) beforeChange() error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	target, token := x.back()
	if !x.isHome(target) {
		target = x.prefix + "/"
		token = x.live.flow.ReturnToken(x.v, target)
		x.carry = token
	}
	isFresh := seen.Account.IsFresh
	if strings.HasSuffix(target, byContact) {
		isFresh = seen.Account.IsFreshByContact
	}
	if isFresh(x.v.Session, seen.Now) {
		return seeOther(x.w, target)
	}
	if !seen.Account.HasAuthenticator() && len(x.choices(seen)) == 0 && x.heldUntil(seen).IsZero() {
		return seeOther(x.w, x.prefix+"/contacts/new"+query(token))
	}
	return x.showAsk(http.StatusOK, seen, pages.Ask{})
}

// onward is where a code leads that was entered: back to the page of ours that it was asked on, or to the last step.
func (x *visit) onward(back string) string {
	if x.isHome(back) {
		return back
	}
	return x.prefix + "/done"
}

// ways are the pages around a code that is asked for: where the forms for it go, and where the other ways are.
func (x *visit) ways() (post, other string) {
	if x.here == freshPage {
		return freshPage, freshPage
	}
	return "verify/send", "verify"
}

// proving tells that a code is asked for to prove who uses this browser, so that a contact which would only be put on hold
// is of no use.
func (x *visit) proving(d policy.Decision) bool {
	return d.Reason == policy.DeviceCode || x.here == freshPage
}
