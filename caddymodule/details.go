package caddymodule

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// details is a person's own page: what the gate knows of how to reach them, and what they can do about it. It is one of the
// gate's own, so whoever is blocked sees it, too.
func (x *visit) details() error { return x.showDetails(http.StatusOK, pages.Details{}) }

// detailsAgain shows the page again: the session of its form was overwritten by another tab, and nothing was done.
func (x *visit) detailsAgain() error {
	return x.showDetails(http.StatusForbidden, pages.Details{Problem: "stale"})
}

// showDetails shows a person's own page; of v only the problem is set. Whatever they begin there leads back to it.
func (x *visit) showDetails(status int, v pages.Details) error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	x.here = ""
	x.carry = x.live.flow.ReturnToken(x.v, x.prefix+"/")
	d, a := seen.Decision, seen.Account
	v.Contacts = x.ownContacts(seen)
	v.Full = len(v.Contacts) >= x.rules.Limits.Contacts
	v.Device = d.Reason == policy.DeviceCode
	v.Blocked = d.Action == policy.Block && !v.Device
	if d.Standing == policy.Due && d.Reason != policy.OnHold && !v.Device {
		v.Deadline, v.DaysLeft = d.Deadline, daysLeft(d.Deadline, seen.Now)
	}
	v.FreshUntil = a.FreshUntil(x.v.Session, seen.Now)
	v.Browsers = x.ownBrowsers(seen)
	v.Trusts = x.rules.Trusts() || len(v.Browsers) > 0
	v.App, v.AppLeft = a.Authenticator.Enrolled, len(a.Authenticator.Recovery)
	_, v.AppStopped = a.AuthenticatorWait(seen.Now)
	v.Lately = lately(a)
	if v.Problem == "" {
		v.News = news(v.Lately, seen.Now)
	}
	return x.page(status, v)
}

// ownContacts are the contacts on file, each with what can be done to it.
func (x *visit) ownContacts(seen verify.Visit) []pages.OwnContact {
	a, now := seen.Account, seen.Now
	of := map[policy.Kind]int{}
	for i := range a.Contacts {
		if c := &a.Contacts[i]; !c.Retired {
			of[c.Kind]++
		}
	}
	open := x.r.URL.Query().Get("open")
	var list []pages.OwnContact
	for i := range a.Contacts {
		c := &a.Contacts[i]
		if c.Retired {
			continue
		}
		told := a.VerifiedContact(&x.rules, c.Kind, now) == c
		list = append(list, pages.OwnContact{
			Choice: x.choice(*c), Phone: c.Kind == policy.Phone, Added: c.Added, Verified: c.Verified, HoldUntil: c.HeldUntil(now),
			Lapsed: c.Counts(now) && !x.rules.Confirmed(c, now), Stopped: a.Stopped(*c, false, x.rules.Limits),
			Primary: told && of[c.Kind] > 1, CanBePrimary: !told && x.rules.Confirmed(c, now),
			Last: x.rules.LastVerified(a, c, now), Browsers: a.TrustedBy(c.ID, x.rules.Trust, now),
			Open: open != "" && open == x.live.flow.Stem(x.v, c.ID),
		})
	}
	return list
}

// ownBrowsers are the trusted browsers, the newest first.
func (x *visit) ownBrowsers(seen verify.Visit) []pages.OwnBrowser {
	var list []pages.OwnBrowser
	for _, d := range seen.Account.TrustedDevices(x.rules.Trust, seen.Now) {
		list = append(list, pages.OwnBrowser{
			Handle: x.live.flow.DeviceHandle(x.v, d), Browser: d.Browser, Host: d.Host,
			Used: d.Used, Until: d.Until(x.rules.Trust), This: string(d.ID) == string(x.v.Device),
		})
	}
	return list
}

func lately(a *policy.Account) []pages.Happened {
	var list []pages.Happened
	for _, e := range a.Lately() {
		list = append(list, pages.Happened{
			What: e.What.String(), At: e.Happened(), Masked: e.Contact, Browser: e.BrowserName(), Times: int(e.Times),
		})
	}
	return list
}

// newsFor is how long a change is told at the head of the page.
const newsFor = time.Minute

// newsworthy are the changes that people make on this page, or come back to it from.
var newsworthy = []string{"contact_added", "contact_verified", "contact_removed", "contact_primary", "contact_undone", "device_revoked", "devices_revoked"}

// news is what was just changed. It comes from the account, not from the address of the page: nobody can make up a change
// with a link.
func news(lately []pages.Happened, now time.Time) *pages.Happened {
	if len(lately) == 0 || now.Sub(lately[0].At) >= newsFor || !slices.Contains(newsworthy, lately[0].What) {
		return nil
	}
	return &lately[0]
}

// confirmContact leads to step 2 for one contact, and from there back to the page that it was asked on.
func (x *visit) confirmContact() error {
	contact, ok, err := x.live.flow.Lookup(x.r.Context(), x.v, x.form.Get("contact"))
	if err != nil {
		return x.failed(err)
	}
	channels, _ := verify.Channels(&x.rules, contact)
	if !ok || len(channels) == 0 {
		return x.showDetails(http.StatusForbidden, pages.Details{Problem: "gone"})
	}
	channel := channels[0]
	if x.form.Has("channel") {
		channel = policy.Channel(x.form.Get("channel"))
	}
	if !slices.Contains(channels, channel) {
		return x.show(x.w, x.r, http.StatusBadRequest, pages.Trouble{Kind: "badrequest", Back: x.prefix + "/"})
	}
	x.carry = x.live.flow.ReturnToken(x.v, x.prefix+"/")
	return x.page(http.StatusOK, x.prove(contact, channel))
}

func (x *visit) removeContact() error { return x.changeContact(x.live.flow.Remove) }

func (x *visit) makePrimary() error { return x.changeContact(x.live.flow.MakePrimary) }

// changeContact does something to the contact that the form names. A handle that is not one of this very session gets the
// same answer, whoever's it is.
func (x *visit) changeContact(change func(context.Context, *policy.Rules, verify.Visitor, string) (policy.Result, error)) error {
	handle := x.form.Get("contact")
	result, err := change(x.r.Context(), &x.rules, x.v, handle)
	if err != nil {
		return x.failed(err)
	}
	switch result.Outcome {
	case policy.Accepted, policy.AcceptedAgain:
		return seeOther(x.w, x.prefix+"/")
	case policy.NotFresh:
		return x.askFresh(openAt + x.live.flow.StemOf(handle))
	case policy.LastOne:
		return x.showDetails(http.StatusForbidden, pages.Details{Problem: "last"})
	case policy.TooMany:
		return x.tooManyChanges(result.Wait)
	}
	return x.showDetails(http.StatusForbidden, pages.Details{Problem: "gone"})
}

// tooManyChanges says when the contacts and the app may be changed again.
func (x *visit) tooManyChanges(wait time.Duration) error {
	x.w.Header().Set("Retry-After", seconds(wait))
	return x.showDetails(http.StatusTooManyRequests, pages.Details{Problem: "wait", Wait: wait})
}

// revoke ends the trust in one browser, or in all of them.
func (x *visit) revoke() error {
	device, all := x.form.Get("device"), x.form.Get("all") == "on"
	if all == (device != "") {
		return x.show(x.w, x.r, http.StatusBadRequest, pages.Trouble{Kind: "badrequest", Back: x.prefix + "/"})
	}
	var o policy.Outcome
	var err error
	if all {
		o, err = x.live.flow.RevokeAll(x.r.Context(), x.v)
	} else {
		o, err = x.live.flow.Revoke(x.r.Context(), x.v, device)
	}
	switch {
	case err != nil:
		return x.failed(err)
	case o == policy.Accepted:
		return seeOther(x.w, x.prefix+"/")
	case o == policy.NotFresh:
		return x.askFresh("")
	}
	return x.showDetails(http.StatusForbidden, pages.Details{Problem: "gone"})
}
