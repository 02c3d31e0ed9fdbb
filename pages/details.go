package pages

import (
	"strings"
	"time"
)

// happened are the sentences of events, by their names in the audit log.
var happened = map[string]string{
	"grace_started":          "lately.grace_started",
	"deadline_moved":         "lately.deadline_moved",
	"code_asked":             "lately.code_asked",
	"code_wrong":             "lately.code_wrong",
	"proof_wrong":            "lately.proof_wrong",
	"contact_added":          "lately.contact_added",
	"contact_verified":       "lately.contact_verified",
	"contact_removed":        "lately.contact_removed",
	"contact_primary":        "lately.contact_primary",
	"device_trusted":         "lately.device_trusted",
	"device_revoked":         "lately.device_revoked",
	"devices_revoked":        "lately.devices_revoked",
	"authenticator_enrolled": "lately.app_enrolled",
	"authenticator_removed":  "lately.app_removed",
	"authenticator_code":     "lately.app_code",
	"recovery_codes_renewed": "lately.app_codes",
	"recovery_code_used":     "lately.app_recovery",
	"authenticator_wrong":    "lately.app_wrong",
	"contact_undone":         "lately.contact_undone",
	"account_frozen":         "lately.frozen",
	"account_unfrozen":       "lately.unfrozen",
}

// Sentence says what happened. An event of a later version is told as what it is at least: a change.
func (p *page) Sentence(h Happened) ([]Part, error) {
	id, ok := happened[h.What]
	if !ok {
		id = "lately.other"
	}
	return p.Say(id, "Contact", p.Contact(h.Masked))
}

// Told tells that the contacts on file are told of it.
func (h Happened) Told() bool {
	return strings.HasSuffix(h.What, "_removed") || strings.HasSuffix(h.What, "_primary") || strings.HasSuffix(h.What, "_revoked") ||
		h.What == "contact_added"
}

// shownEvents is how many are in sight; the others open.
const shownEvents = 8

// Latest are the events in sight.
func (d Details) Latest() []Happened { return d.Lately[:min(shownEvents, len(d.Lately))] }

// Earlier are the others.
func (d Details) Earlier() []Happened { return d.Lately[min(shownEvents, len(d.Lately)):] }

// Confirmed tells whether any contact counts now.
func (d Details) Confirmed() bool {
	for _, c := range d.Contacts {
		if !c.Verified.IsZero() && !c.Lapsed && c.HoldUntil.IsZero() {
			return true
		}
	}
	return false
}

// Day marks a day, without its time.
func (p *page) Day(t time.Time) (Mark, error) {
	s, err := p.renderer.day(p.catalog, t, p.now)
	return Mark{Kind: "time", Text: s, Value: t.In(p.renderer.location).Format(time.DateOnly)}, err
}

// aside is what a part of a page needs that is shown in several places.
type aside struct {
	Page    *page
	Event   Happened
	Contact OwnContact
	Index   int
	Again   bool
}

// About is one event, for the template "event".
func (p *page) About(h Happened) aside { return aside{Page: p, Event: h} }

// Confirming is one contact that can be confirmed, for the template "confirm". Again: it is confirmed already.
func (p *page) Confirming(c OwnContact, index int, again bool) aside {
	return aside{Page: p, Contact: c, Index: index, Again: again}
}
