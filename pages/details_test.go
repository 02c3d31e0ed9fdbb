package pages

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// details are somebody's contacts in every state, with two browsers and an app.
func details(change func(*Details)) Details {
	days := func(n int) time.Time { return now.Add(-time.Duration(n) * 24 * time.Hour) }
	d := Details{
		Contacts: []OwnContact{
			{Choice: private, Added: days(700), Verified: days(20), Primary: true, Last: true, Browsers: 2},
			{Choice: Choice{Handle: "h-4", Masked: "jo****@example.net", Channels: []string{"email"}}, Added: days(90), Verified: days(3), CanBePrimary: true, Browsers: 1},
			{Choice: phone, Phone: true, Added: days(2), Verified: days(2), HoldUntil: now.Add(70 * time.Hour)},
			{Choice: Choice{Handle: "h-5", Masked: "+1 •• •••• ••23", Channels: []string{"sms", "voice"}}, Phone: true, Added: days(400), Verified: days(300), Lapsed: true},
			{Choice: work, Added: days(500)},
			{Choice: Choice{Handle: "h-6", Masked: "ol****@example.org", Channels: []string{"email"}}, Added: days(500), Verified: days(400), Stopped: true},
		},
		Trusts: true,
		Browsers: []OwnBrowser{
			{Handle: "d-1", Browser: "Firefox", Host: "app.example.com", Used: days(0), Until: now.Add(300 * 24 * time.Hour), This: true},
			{Handle: "d-2", Used: days(30), Until: now.Add(30 * 24 * time.Hour)},
		},
		App: days(100), AppLeft: 7,
		Lately: []Happened{
			{What: "contact_removed", At: now.Add(-20 * time.Second), Masked: "ol****@mail.example", Browser: "Firefox"},
			{What: "code_wrong", At: days(1), Masked: private.Masked, Browser: "Chrome", Times: 3},
			{What: "a later version's", At: days(2)},
		},
	}
	for what := range maps.Keys(happened) {
		d.Lately = append(d.Lately, Happened{What: what, Masked: phone.Masked, Browser: "Safari", At: days(4)})
	}
	slices.SortFunc(d.Lately[3:], func(a, b Happened) int { return strings.Compare(a.What, b.What) })
	change(&d)
	return d
}
