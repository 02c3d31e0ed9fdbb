package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strings"
	"time"
	_ "time/tzdata" // slim containers have no zone files

	"github.com/caddyserver/caddy/v2"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/policy"
)

// Settings are the rules and the looks. The app holds those of all sites; a site overrides single ones. What neither
// sets has the default named here.
type Settings struct {
	// How long "not now" is offered, from when the person was first shown the page. Default: 7d.
	Grace *caddy.Duration `json:"grace,omitempty"`

	// How long after their first request the grace of somebody starts who is never shown a page, such as the user
	// of a native client. Default: 14d.
	Unseen *caddy.Duration `json:"unseen,omitempty"`

	// The least time between two interruptions of an account in grace. Default: 24h.
	AskEvery *caddy.Duration `json:"ask_every,omitempty"`

	// How long a confirmation counts; 0 ("off" in the Caddyfile) means for ever. Default: 180d.
	Reconfirm *caddy.Duration `json:"reconfirm,omitempty"`

	// How long after "later" an authenticator app is offered again; 0 ("off" in the Caddyfile) means that none is ever
	// offered. Default: 30d.
	RemindAuthenticator *caddy.Duration `json:"remind_authenticator,omitempty"`

	// How long a contact that was added without a fresh code waits before it counts. Default: 72h.
	ReplacementHold *caddy.Duration `json:"replacement_hold,omitempty"`

	// Whether people who have something to enter a code of are asked for one on every browser that they did not mark as
	// their own, once in a browser session of 12 hours. Default: false.
	DeviceCode *bool `json:"device_code,omitempty"`

	// How long a browser is trusted that people marked as their own: no code is asked for in it, nor are they asked there
	// to reconfirm.
	Trust *Trust `json:"trust,omitempty"`

	// `enforce`, `remind` (nobody is blocked, everybody is asked) or `observe` (nobody is even asked; only counted).
	// Default: enforce.
	Mode string `json:"mode,omitempty"`

	// What somebody has to know of a phone number on file before a code is sent there: `last4`, its last four digits, two of
	// which the page shows, or `whole`. Default: last4.
	Proof string `json:"proof,omitempty"`

	// The share of the people to whom the rules apply, in percent, with two decimals at most. It is stable: raising
	// it only adds people. Default: 100.
	Rollout *float64 `json:"rollout,omitempty"`

	// Where people who are stuck find help: a `mailto:` or an `https:` URL. Default: none.
	Support string `json:"support,omitempty"`

	// Where people sign out: a path of the site, or a URL. The path is never interrupted. Default: none, and then the
	// pages offer no sign-out.
	SignOut string `json:"sign_out,omitempty"`

	// The time zone in which dates are shown, as an IANA name such as `Asia/Tokyo`. Default: UTC.
	TimeZone string `json:"time_zone,omitempty"`

	// The languages on offer, as BCP 47 tags; the first is used when a browser asks for none of them.
	// Default: en, ja, de, fr, es, pt-BR, zh-Hans, zh-Hant, ko, ar.
	Languages []string `json:"languages,omitempty"`

	// How the pages look.
	Brand *Brand `json:"brand,omitempty"`

	// How often things may be done and tried. Each figure has a safe default.
	Limits *Limits `json:"limits,omitempty"`
}

// Trust is how long a browser is trusted that people marked as their own with a code.
type Trust struct {
	// In all. Default: 365d. At most 400d: browsers keep no cookie for longer.
	For *caddy.Duration `json:"for,omitempty"`

	// Without being used. Default: 60d.
	Unused *caddy.Duration `json:"unused,omitempty"`

	// How many browsers of an account at the same time; the oldest makes room. Default: 20. At most 100.
	Most *int `json:"most,omitempty"`
}

// apply copies what is set.
func (t *Trust) apply(to *policy.Trust) {
	if t.For != nil {
		to.For = time.Duration(*t.For)
	}
	if t.Unused != nil {
		to.Unused = time.Duration(*t.Unused)
	}
	if t.Most != nil {
		to.Most = *t.Most
	}
}

// Brand is how the pages look.
type Brand struct {
	// The name of the service as people know it. Default: the site's host name.
	Name string `json:"name,omitempty"`

	// What authenticator apps call the service. In ASCII it makes a QR code that is easier to scan. Default: the name.
	Issuer string `json:"issuer,omitempty"`

	// Path of an SVG, PNG or WebP file that is shown in place of the name. Default: none.
	Logo string `json:"logo,omitempty"`

	// The colour of buttons and links, as `#0b5fff`. It must be legible on white. Default: a deep teal.
	Accent string `json:"accent,omitempty"`

	// A folder with templates, catalogs and assets that replace built-in ones, file by file. They are read when the
	// configuration is loaded. Default: none.
	Templates string `json:"templates,omitempty"`

	// Links of your own at the foot of every page, such as a privacy notice. Default: none.
	Links []Link `json:"links,omitempty"`
}

// Link is a link at the foot of every page.
type Link struct {
	// The words, as people read them.
	Text string `json:"text,omitempty"`

	// An `https:` URL, or a path of the site.
	URL string `json:"url,omitempty"`
}

// Limits are the figures of limits. They may be tightened freely, and loosened up to a ceiling.
//
// The fields are those of policy.Limits; a test holds the two together.
type Limits struct {
	// How long a mailed code can be entered. Default: 10m. At most 24h.
	CodeLifetime *caddy.Duration `json:"code_lifetime,omitempty"`
	// Wrong codes until a code takes no more tries. Default and most: 5.
	CodeTries *int `json:"code_tries,omitempty"`
	// Wrong codes of an account in 24 hours. Default: 20.
	WrongPerDay *int `json:"wrong_per_day,omitempty"`
	// Wrong codes in a row that stop a contact until an operator acts. Default and most: 100.
	WrongInARow *int `json:"wrong_in_a_row,omitempty"`
	// Wrong whole addresses or numbers, per contact in 24 hours. Default: 5.
	ProofTries *int `json:"proof_tries,omitempty"`
	// Wrong whole addresses or numbers, per contact in all; counted anew after a right one. Default: 15.
	ProofTriesTotal *int `json:"proof_tries_total,omitempty"`
	// The waits before a code can be sent again; the last one repeats. Default: 60s, 2m, 5m, 15m.
	ResendAfter []caddy.Duration `json:"resend_after,omitempty"`
	// Messages of an account in an hour. Default: 5.
	SendsPerHour *int `json:"sends_per_hour,omitempty"`
	// Messages of an account in 24 hours. Default: 10.
	SendsPerDay *int `json:"sends_per_day,omitempty"`
	// Messages in an hour to an address that somebody typed, over all accounts. Default: 5.
	SendsPerAddress *int `json:"sends_per_address,omitempty"`
	// Messages in an hour for a client IP (/64 for IPv6). Default: 300.
	SendsPerIP *int `json:"sends_per_ip,omitempty"`
	// The same, to addresses that somebody typed. Default: 20.
	TypedSendsPerIP *int `json:"typed_sends_per_ip,omitempty"`
	// Calls of an account in 24 hours. Default: 3.
	VoicePerDay *int `json:"voice_per_day,omitempty"`
	// Messages to the phones of one country in a UTC day. Default: 1000.
	CountryBudget *int `json:"country_budget,omitempty"`
	// Messages in all in a UTC day. Default: 50000.
	TotalBudget *int `json:"total_budget,omitempty"`
	// Contacts of an account. Default: 10.
	Contacts *int `json:"contacts,omitempty"`
	// New contacts of an account in 24 hours. Default: 5.
	ContactsPerDay *int `json:"contacts_per_day,omitempty"`
	// Wrong codes of an authenticator app before a pause. Default: 5.
	AuthenticatorTries *int `json:"authenticator_tries,omitempty"`
	// Wrong last four digits, per number in 24 hours. Default: 3.
	Last4Tries *int `json:"last4_tries,omitempty"`
	// Wrong last four digits, per number in all. Default: 5.
	Last4TriesTotal *int `json:"last4_tries_total,omitempty"`
}

// over gives these settings, and those of base where these are silent.
func (s *Settings) over(base *Settings) *Settings {
	if s == nil {
		s = &Settings{}
	}
	if base == nil {
		base = &Settings{}
	}
	return &Settings{
		Grace:               cmp.Or(s.Grace, base.Grace),
		Unseen:              cmp.Or(s.Unseen, base.Unseen),
		AskEvery:            cmp.Or(s.AskEvery, base.AskEvery),
		Reconfirm:           cmp.Or(s.Reconfirm, base.Reconfirm),
		RemindAuthenticator: cmp.Or(s.RemindAuthenticator, base.RemindAuthenticator),
		ReplacementHold:     cmp.Or(s.ReplacementHold, base.ReplacementHold),
		DeviceCode:          cmp.Or(s.DeviceCode, base.DeviceCode),
		Trust:               overlay(s.Trust, base.Trust),
		Mode:                cmp.Or(s.Mode, base.Mode),
		Proof:               cmp.Or(s.Proof, base.Proof),
		Rollout:             cmp.Or(s.Rollout, base.Rollout),
		Support:             cmp.Or(s.Support, base.Support),
		SignOut:             cmp.Or(s.SignOut, base.SignOut),
		TimeZone:            cmp.Or(s.TimeZone, base.TimeZone),
		Languages:           firstSet(s.Languages, base.Languages),
		Brand:               overlay(s.Brand, base.Brand),
		Limits:              overlay(s.Limits, base.Limits),
	}
}

func firstSet(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

// overlay takes each field from top that is set, the others from base.
func overlay[T any](top, base *T) *T {
	if top == nil || base == nil {
		return cmp.Or(top, base)
	}
	merged := *base
	from, to := reflect.ValueOf(top).Elem(), reflect.ValueOf(&merged).Elem()
	for i := range from.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return &merged
}

// rules are the settings as policy.Rules. The error names everything that is wrong.
func (s *Settings) rules() (policy.Rules, error) {
	r := policy.Defaults()
	var errs []error
	for _, d := range []struct {
		to   *time.Duration
		from *caddy.Duration
	}{
		{&r.Grace, s.Grace}, {&r.Unseen, s.Unseen}, {&r.AskEvery, s.AskEvery},
		{&r.Reconfirm, s.Reconfirm}, {&r.ReplacementHold, s.ReplacementHold}, {&r.RemindAuthenticator, s.RemindAuthenticator},
	} {
		if d.from != nil {
			*d.to = time.Duration(*d.from)
		}
	}
	if s.Mode != "" {
		mode, err := policy.ParseMode(s.Mode)
		errs = append(errs, err)
		r.Mode = mode
	}
	errs = append(errs, checkProof(s.Proof))
	r.ProofWhole = s.Proof == proofWhole
	if s.Rollout != nil {
		share, err := leftOut(*s.Rollout)
		errs = append(errs, err)
		r.LeftOut = share
	}
	r.DeviceCode = s.DeviceCode != nil && *s.DeviceCode
	if s.Trust != nil {
		s.Trust.apply(&r.Trust)
	}
	if s.Limits != nil {
		s.Limits.apply(&r.Limits)
	}
	return r, errors.Join(append(errs, r.Validate())...)
}

// apply copies what is set. The fields of the two structs have the same names.
func (l *Limits) apply(to *policy.Limits) {
	from, target := reflect.ValueOf(l).Elem(), reflect.ValueOf(to).Elem()
	for i := range from.NumField() {
		field := target.FieldByName(from.Type().Field(i).Name)
		switch v := from.Field(i).Interface().(type) {
		case *int:
			if v != nil {
				field.SetInt(int64(*v))
			}
		case *caddy.Duration:
			if v != nil {
				field.SetInt(int64(*v))
			}
		case []caddy.Duration:
			if v != nil {
				field.Set(reflect.ValueOf(ladder(v)))
			}
		}
	}
}

func ladder(waits []caddy.Duration) []time.Duration {
	steps := make([]time.Duration, len(waits))
	for i, w := range waits {
		steps[i] = time.Duration(w)
	}
	return steps
}

// leftOut is the complement of a rollout in percent.
func leftOut(percent float64) (policy.Share, error) {
	hundredths := math.Round(percent * 100)
	if math.IsNaN(percent) || percent < 0 || percent > 100 || math.Abs(percent*100-hundredths) > 1e-6 {
		return 0, fmt.Errorf("rollout %v%%: use 0%% to 100%%, with two decimals at most", percent)
	}
	return policy.Share(10000 - hundredths), nil
}

// check finds what is wrong with the settings that are no rules; each error names the directive, the value, the remedy.
func (s *Settings) check() error {
	var errs []error
	if s.Support != "" && !isSupport(s.Support) {
		errs = append(errs, fmt.Errorf("support %q: use mailto:help@example.com or an https:// URL", s.Support))
	}
	if s.SignOut != "" && !isSignOut(s.SignOut) {
		errs = append(errs, fmt.Errorf("sign_out %q: use a path of the site in its one spelling (/logout) or an https:// URL", s.SignOut))
	}
	if s.Brand != nil {
		errs = append(errs, s.Brand.checkLinks())
	}
	if _, err := s.location(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mostLinks is how many fit at the foot of a page on a phone.
const mostLinks = 6

func (b *Brand) checkLinks() error {
	var errs []error
	if len(b.Links) > mostLinks {
		errs = append(errs, fmt.Errorf("brand link: %d links are too many for the foot of a page; keep %d", len(b.Links), mostLinks))
	}
	for _, l := range b.Links {
		u, err := url.Parse(l.URL)
		onSite := err == nil && u.Scheme == "" && policy.CanonicalPath(u.EscapedPath())
		if strings.TrimSpace(l.Text) == "" || err != nil || !onSite && (u.Scheme != "https" || u.Host == "" || u.User != nil) || u.Scheme == "" && u.Host != "" {
			errs = append(errs, fmt.Errorf("brand link %q %q: name it, and use an https:// URL or a path of the site (/privacy)", l.Text, l.URL))
		}
	}
	return errors.Join(errs...)
}

func isSupport(s string) bool {
	u, err := url.Parse(s)
	if err != nil || strings.ContainsAny(s, " \t\r\n{}") {
		return false
	}
	_, isMail := mailAddress(s)
	return isMail || u.Scheme == "https" && u.Host != ""
}

// mailAddress is the one address of a mailto URL.
func mailAddress(support string) (string, bool) {
	u, err := url.Parse(support)
	if err != nil || u.Scheme != "mailto" {
		return "", false
	}
	text, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return "", false
	}
	address, ok := verify.ParseEmail(text)
	return address.Whole(), ok
}

func isSignOut(s string) bool {
	u, err := url.Parse(s)
	if err != nil || strings.ContainsAny(s, " \t\r\n{}\\") || u.Fragment != "" {
		return false
	}
	if strings.HasPrefix(s, "/") {
		path, _, _ := strings.Cut(s, "?")
		return u.Host == "" && policy.CanonicalPath(path)
	}
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

func (s *Settings) location() (*time.Location, error) {
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time_zone %q: use an IANA name such as Asia/Tokyo or Europe/Berlin", s.TimeZone)
	}
	return zone, nil
}
