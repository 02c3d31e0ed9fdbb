package caddymodule

import (
	"net/http"
	"slices"
	"strings"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// addPhonePage is the page for a new number, as the language switch comes back to it.
const addPhonePage = "contacts/new?kind=phone"

// newContact is "none of these", and "no contact on file".
func (x *visit) newContact() error {
	return x.showAdd(http.StatusOK, pages.Add{Kind: x.r.URL.Query().Get("kind")})
}

// typedContact is the form as it was filled in.
func (x *visit) typedContact() pages.Add {
	return pages.Add{Kind: x.form.Get("kind"), Typed: x.form.Get("address"), Country: x.form.Get("country"), Channel: x.form.Get("channel")}
}

// addAgain shows the form again with what was typed: its session was overwritten by another tab.
func (x *visit) addAgain() error { return x.showAdd(http.StatusForbidden, x.typedContact()) }

func (x *visit) showAdd(status int, v pages.Add) error {
	seen, err := x.see()
	if err != nil {
		return x.failed(err)
	}
	d, a := seen.Decision, seen.Account
	v.Kinds = x.kinds()
	if !slices.Contains(v.Kinds, v.Kind) {
		v.Kind = v.Kinds[0]
	}
	if v.Kind == string(policy.Phone) {
		x.offerPhones(&v)
	}
	v.NothingOnFile = len(x.choices(seen)) == 0
	v.Notified = !v.NothingOnFile
	if a.EverVerified && !a.IsFresh(x.v.Session, seen.Now) {
		v.HoldAfter = x.rules.ReplacementHold
	}
	v.Device = d.Reason == policy.DeviceCode
	if d.Standing != policy.Verified && d.Standing != policy.Exempt && !v.Device {
		v.Overdue, v.CanLater = d.Action == policy.Block, d.Action != policy.Block
		if d.Standing == policy.Due || v.Overdue {
			v.Deadline, v.DaysLeft = d.Deadline, daysLeft(d.Deadline, seen.Now)
		}
	}
	return x.page(status, v)
}

// kinds are the sorts of contact that can be added. There is always one: without any sender a gate only observes.
func (x *visit) kinds() []string {
	var list []string
	if !x.rules.WithoutEmail {
		list = append(list, string(policy.Email))
	}
	if len(x.rules.Countries) > 0 {
		list = append(list, string(policy.Phone))
	}
	return list
}

// offerPhones fills in the countries and channels, and what is chosen at first.
func (x *visit) offerPhones(v *pages.Add) {
	x.here = addPhonePage
	sms, voice, known := false, false, false
	for _, c := range x.rules.Countries {
		v.Countries = append(v.Countries, pages.Country{Code: c.Code, Calling: verify.CallingCode(c.Code)})
		sms, voice, known = sms || c.SMS, voice || c.Voice, known || c.Code == v.Country
	}
	if sms {
		v.Channels = append(v.Channels, string(policy.BySMS))
	}
	if voice {
		v.Channels = append(v.Channels, string(policy.ByVoice))
	}
	if !known {
		v.Country = x.pages.GuessCountry(x.v.Language, x.r.Header.Get("Accept-Language"), v.Countries)
	}
	if !slices.Contains(v.Channels, v.Channel) {
		v.Channel = v.Channels[0]
	}
}

// add sends a code to a contact that the person typed.
func (x *visit) add() error {
	v := x.typedContact()
	if !slices.Contains(x.kinds(), v.Kind) {
		return x.show(x.w, x.r, http.StatusBadRequest, pages.Trouble{Kind: "badrequest", Back: x.prefix + "/contacts/new"})
	}
	if strings.TrimSpace(v.Typed) == "" {
		v.Problem = "empty"
		return x.showAdd(http.StatusUnprocessableEntity, v)
	}
	if v.Kind == string(policy.Phone) {
		return x.addPhone(v)
	}
	return x.addEmail(v)
}

func (x *visit) addEmail(v pages.Add) error {
	address, ok := verify.ParseEmail(v.Typed)
	if !ok {
		v.Problem = "address"
		return x.showAdd(http.StatusUnprocessableEntity, v)
	}
	if warning := x.lossy(address); warning != nil && x.form.Get("anyway") != "on" {
		v.Lossy = warning
		return x.showAdd(http.StatusOK, v)
	}
	return x.addTyped(v, address, policy.ByEmail)
}

func (x *visit) addPhone(v pages.Add) error {
	address, channels, fault := verify.ReachPhone(&x.rules, v.Typed, v.Country)
	if fault != "" {
		v.Problem = string(fault)
		return x.showAdd(http.StatusUnprocessableEntity, v)
	}
	// Where the number allows one channel only, or the person chose none, the first is it; the next page says why.
	channel := policy.Channel(v.Channel)
	if !slices.Contains(channels, channel) {
		channel = channels[0]
	}
	return x.addTyped(v, address, channel)
}

func (x *visit) addTyped(v pages.Add, address policy.Address, channel policy.Channel) error {
	target, _ := x.back()
	s, err := x.live.flow.Add(x.r.Context(), &x.rules, x.v, address, channel, target)
	if err != nil {
		return x.failed(err)
	}
	switch s.Outcome {
	case policy.Started, policy.Underway:
		if s.State == policy.SendFailed || s.State == policy.SendRefused {
			v.Problem = failure(s.State)
			x.w.Header().Set("Retry-After", seconds(retrySend))
			return x.showAdd(http.StatusServiceUnavailable, v)
		}
	case policy.TooMany:
		v.Problem, v.Wait = "wait", s.Wait
		x.w.Header().Set("Retry-After", seconds(s.Wait))
		return x.showAdd(http.StatusTooManyRequests, v)
	case policy.Paused:
		v.Problem, v.Wait = "paused", s.Wait
		x.w.Header().Set("Retry-After", seconds(s.Wait))
		return x.showAdd(http.StatusServiceUnavailable, v)
	case policy.Gone: // it is on file and on hold: that page says until when
		return seeOther(x.w, x.prefix+"/verify")
	case policy.Full, policy.Stopped:
		v.Problem = "full"
		return x.showAdd(http.StatusTooManyRequests, v)
	}
	return x.sent(s)
}
