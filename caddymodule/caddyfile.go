package caddymodule

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/contactgate/contactgate/policy"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("contactgate", parseApp)
	httpcaddyfile.RegisterDirective("contactgate", parseGate)
	httpcaddyfile.RegisterDirectiveOrder("contactgate", httpcaddyfile.After, "request_header")
}

// parseApp reads the global option:
//
//	contactgate {
//		store <module> …            # default: bolt
//		keys  <ring>                # default: made once, kept in Caddy's storage
//		email <module> …
//		sms   <module> …
//		voice <module> …
//		channels <country codes...> sms|voice...   # once per group of countries; without it phones are not offered
//		lossy_domains <domains...>|off
//		admin_anywhere              # the admin routes answer on any listener
//		<rules and looks: see parseSetting>
//	}
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // the option's name
	if existing != nil {
		return nil, d.Err("the global option is given twice; keep one")
	}
	var app App
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "contactgate", Value: caddyconfig.JSON(&app, nil)}, nil
}

// UnmarshalCaddyfile reads the block of the global option.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	var settings Settings
	err := eachWord(d, "contactgate", func(word string) (bool, error) {
		switch word {
		case "store":
			return true, parseGuest(d, word, "contactgate.stores", &a.StoreRaw)
		case "email":
			return true, parseGuest(d, word, "contactgate.senders", &a.EmailRaw)
		case "sms":
			return true, parseGuest(d, word, "contactgate.senders", &a.SMSRaw)
		case "voice":
			return true, parseGuest(d, word, "contactgate.senders", &a.VoiceRaw)
		case "channels":
			return true, a.parseChannels(d)
		case "lossy_domains":
			return true, a.parseLossy(d)
		case "keys":
			return true, oneArg(d, &a.Keys)
		case "admin_anywhere":
			return true, flagWord(d, &a.AdminAnywhere)
		case "identity", "realm", "prefix", "origin", "user_case", "exempt", "exempt_users", "exempt_groups", "exempt_domains", "pass_headers":
			return true, d.Errf("%s belongs to a site; move it into that site's contactgate block", word)
		}
		return parseSetting(d, word, &settings)
	}, "channels")
	if err != nil {
		return err
	}
	a.Settings = orNil(settings)
	return nil
}

// parseGate reads the directive:
//
//	contactgate [<matcher>] {
//		identity {<placeholder>} { … }    # default: {http.auth.user.id}
//		realm          <name>
//		prefix         <path>             # default: /.contactgate
//		origin         <scheme://host[:port]>
//		user_case      keep|fold
//		exempt { <matchers> }             # all of a block must match; may be repeated, then any block
//		exempt_users   <users...>
//		exempt_groups  <groups...>
//		exempt_domains <domains...>
//		pass_headers   email|phone …
//		<rules and looks: see parseSetting>
//	}
//
// With a matcher it makes two routes: the pages must be reachable whatever the matcher leaves out.
func parseGate(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.WrapErr(err)
	}
	h.Next() // the directive's name, again
	var gate Gate
	if err := gate.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	routes := h.NewRoute(matcher, &gate)
	if matcher == nil {
		return routes, nil
	}
	prefix := gate.prefixOrDefault()
	pages := caddy.ModuleMap{"path": h.JSON(caddyhttp.MatchPath{prefix, prefix + "/*"})}
	return append(h.NewRoute(pages, &gate), routes...), nil
}

// UnmarshalCaddyfile reads the block of the directive.
func (g *Gate) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	var settings Settings
	err := eachWord(d, "contactgate", func(word string) (bool, error) {
		switch word {
		case "identity":
			return true, g.parseIdentity(d)
		case "realm":
			return true, oneArg(d, &g.Realm)
		case "prefix":
			return true, checkedArg(d, &g.Prefix, checkPrefix)
		case "origin":
			return true, checkedArg(d, &g.Origin, checkOrigin)
		case "user_case":
			return true, checkedArg(d, &g.UserCase, checkUserCase)
		case "exempt":
			return true, g.parseExempt(d)
		case "exempt_users":
			return true, someArgs(d, &g.ExemptUsers)
		case "exempt_groups":
			return true, someArgs(d, &g.ExemptGroups)
		case "exempt_domains":
			return true, someArgs(d, &g.ExemptDomains)
		case "pass_headers":
			return true, checkedArgs(d, &g.PassHeaders, checkPassHeader)
		case "store", "keys", "email", "sms", "voice", "channels", "lossy_domains", "admin_anywhere":
			return true, d.Errf("%s is shared by all sites; move it into the contactgate block of the global options", word)
		}
		return parseSetting(d, word, &settings)
	}, "exempt")
	if err != nil {
		return err
	}
	g.Settings = orNil(settings)
	return nil
}

// parseIdentity reads a placeholder, or the name of another guest module.
func (g *Gate) parseIdentity(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	name := d.Val()
	if strings.HasPrefix(name, "{") {
		name = "placeholder"
	}
	return unmarshalGuest(d, "identity", "contactgate.identities", name, &g.IdentityRaw)
}

// parseExempt reads a block of matchers, all of which must match. Another block adds requests.
func (g *Gate) parseExempt(d *caddyfile.Dispenser) error {
	set, err := caddyhttp.ParseCaddyfileNestedMatcherSet(d)
	if err != nil {
		return err
	}
	if len(set) == 0 {
		return d.Err("exempt names no matcher; write one, such as: path /healthz")
	}
	g.ExemptRaw = append(g.ExemptRaw, set)
	return nil
}

// parseSetting reads a word of the rules and looks:
//
//	grace|unseen|ask_every|replacement_hold <duration>
//	reconfirm <duration>|off
//	remind_authenticator <duration>|off
//	device_code on|off
//	trust     <duration> [unused <duration>] [most <number>]
//	mode      enforce|remind|observe
//	proof     last4|whole
//	rollout   <percent>%
//	support   <mailto: or https: URL>
//	sign_out  <path or URL>
//	time_zone <IANA name>
//	languages <tags...>
//	brand     [<name>] { … }
//	limits    { … }
func parseSetting(d *caddyfile.Dispenser, word string, s *Settings) (bool, error) {
	switch word {
	case "grace":
		return true, durationArg(d, &s.Grace)
	case "unseen":
		return true, durationArg(d, &s.Unseen)
	case "ask_every":
		return true, durationArg(d, &s.AskEvery)
	case "reconfirm":
		return true, durationOrOff(d, &s.Reconfirm)
	case "remind_authenticator":
		return true, durationOrOff(d, &s.RemindAuthenticator)
	case "replacement_hold":
		return true, durationArg(d, &s.ReplacementHold)
	case "device_code":
		return true, parseDeviceCode(d, s)
	case "trust":
		s.Trust = new(Trust)
		return true, s.Trust.UnmarshalCaddyfile(d)
	case "mode":
		return true, checkedArg(d, &s.Mode, checkMode)
	case "proof":
		return true, checkedArg(d, &s.Proof, checkProof)
	case "rollout":
		return true, parseRollout(d, s)
	case "support":
		return true, checkedArg(d, &s.Support, func(v string) error { return (&Settings{Support: v}).check() })
	case "sign_out":
		return true, checkedArg(d, &s.SignOut, func(v string) error { return (&Settings{SignOut: v}).check() })
	case "time_zone":
		return true, checkedArg(d, &s.TimeZone, func(v string) error { return (&Settings{TimeZone: v}).check() })
	case "languages":
		return true, someArgs(d, &s.Languages)
	case "brand":
		s.Brand = new(Brand)
		return true, s.Brand.UnmarshalCaddyfile(d)
	case "limits":
		s.Limits = new(Limits)
		return true, s.Limits.UnmarshalCaddyfile(d)
	}
	if slices.Contains(later, word) {
		return true, notYet(d, word)
	}
	return false, nil
}

// later are words of the contract that this version does not have. They are refused even where they would change
// nothing: a configuration must not promise what is not done.
var later = []string{
	"webhook", "app_api", "dkim_selector",
}

// laterGuests are such modules.
var laterGuests = []string{
	"contactgate.identities.jwt", "contactgate.identities.whoami",
}

func notYet(d *caddyfile.Dispenser, word string) error {
	return d.Errf("%s is not in this version yet; remove the line", word)
}

func durationOrOff(d *caddyfile.Dispenser, to **caddy.Duration) error {
	word := d.Val()
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if text == "off" {
		*to = new(caddy.Duration)
		return nil
	}
	value, err := parseDuration(d, word, text)
	*to = &value
	return err
}

func parseDeviceCode(d *caddyfile.Dispenser, s *Settings) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if text != "on" && text != "off" {
		return d.Errf("device_code %q: use on or off", text)
	}
	on := text == "on"
	s.DeviceCode = &on
	return nil
}

// UnmarshalCaddyfile reads:
//
//	trust <duration> [unused <duration>] [most <number>]
func (t *Trust) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	whole, err := parseDuration(d, "trust", d.Val())
	if err != nil {
		return err
	}
	t.For = &whole
	for d.NextArg() {
		if err := t.parseWord(d, d.Val()); err != nil {
			return err
		}
	}
	trust := policy.Defaults()
	t.apply(&trust.Trust)
	if err := trust.Validate(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func (t *Trust) parseWord(d *caddyfile.Dispenser, word string) error {
	if word != "unused" && word != "most" {
		return d.Errf("trust %s: use trust <duration> [unused <duration>] [most <number>]", word)
	}
	if word == "unused" && t.Unused != nil || word == "most" && t.Most != nil {
		return d.Errf("trust: %s is given twice; keep one", word)
	}
	if !d.NextArg() {
		return d.ArgErr()
	}
	if word == "unused" {
		unused, err := parseDuration(d, "trust unused", d.Val())
		t.Unused = &unused
		return err
	}
	n, err := strconv.Atoi(d.Val())
	if err != nil {
		return d.Errf("trust most %q: write a whole number", d.Val())
	}
	t.Most = &n
	return nil
}

func parseRollout(d *caddyfile.Dispenser, s *Settings) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	number, ok := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return d.Errf("rollout %q: write a percentage, such as 25%%", text)
	}
	if _, err := leftOut(percent); err != nil {
		return d.Err(err.Error())
	}
	s.Rollout = &percent
	return nil
}

// UnmarshalCaddyfile reads:
//
//	brand [<name>] {
//		issuer    <name>         # in authenticator apps
//		logo      <file>
//		accent    <colour>
//		templates <folder>
//		link      <text> <url>   # once per link
//	}
func (b *Brand) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) > 1 || len(args) == 1 && strings.TrimSpace(args[0]) == "" {
		return d.Err("brand takes one name, in quotes if it has blanks")
	}
	if len(args) == 1 {
		b.Name = args[0]
	}
	fields := map[string]*string{"issuer": &b.Issuer, "logo": &b.Logo, "accent": &b.Accent, "templates": &b.Templates}
	err := eachWord(d, "brand", func(word string) (bool, error) {
		if word == "link" {
			return true, b.readLink(d)
		}
		field, ok := fields[word]
		if !ok {
			return false, nil
		}
		return true, oneArg(d, field)
	}, "link")
	if err == nil && reflect.ValueOf(*b).IsZero() {
		return d.Err("brand names nothing; write: brand \"Example\"")
	}
	return err
}

func (b *Brand) readLink(d *caddyfile.Dispenser) error {
	var l Link
	if !d.AllArgs(&l.Text, &l.URL) {
		return d.Err("brand link: write the words and the address: link \"Privacy\" https://example.com/privacy")
	}
	b.Links = append(b.Links, l)
	if err := (&Brand{Links: []Link{l}}).checkLinks(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

// UnmarshalCaddyfile reads a block with a word for every figure:
//
//	limits {
//		code_lifetime <duration>
//		resend_after  <durations...>
//		code_tries    <number>
//		…
//	}
func (l *Limits) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	numbers := map[string]**int{
		"code_tries": &l.CodeTries, "wrong_per_day": &l.WrongPerDay, "wrong_in_a_row": &l.WrongInARow,
		"proof_tries": &l.ProofTries, "proof_tries_total": &l.ProofTriesTotal,
		"sends_per_hour": &l.SendsPerHour, "sends_per_day": &l.SendsPerDay, "sends_per_address": &l.SendsPerAddress,
		"sends_per_ip": &l.SendsPerIP, "typed_sends_per_ip": &l.TypedSendsPerIP,
		"voice_per_day": &l.VoicePerDay, "country_budget": &l.CountryBudget, "total_budget": &l.TotalBudget,
		"contacts": &l.Contacts, "contacts_per_day": &l.ContactsPerDay,
		"authenticator_tries": &l.AuthenticatorTries, "last4_tries": &l.Last4Tries, "last4_tries_total": &l.Last4TriesTotal,
	}
	return eachWord(d, "limits", func(word string) (bool, error) {
		switch number, ok := numbers[word]; {
		case ok:
			return true, l.parseNumber(d, word, number)
		case word == "code_lifetime":
			return true, l.check(d, durationArg(d, &l.CodeLifetime))
		case word == "resend_after":
			return true, l.parseLadder(d)
		}
		return false, nil
	})
}

func (l *Limits) parseNumber(d *caddyfile.Dispenser, word string, to **int) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return d.Errf("limits %s %q: write a whole number", word, text)
	}
	*to = &n
	return l.check(d, nil)
}

func (l *Limits) parseLadder(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	for _, text := range args {
		step, err := parseDuration(d, "resend_after", text)
		if err != nil {
			return err
		}
		l.ResendAfter = append(l.ResendAfter, step)
	}
	return l.check(d, nil)
}

// check refuses a figure where it stands, with its line.
func (l *Limits) check(d *caddyfile.Dispenser, err error) error {
	if err != nil {
		return err
	}
	limits := policy.DefaultLimits()
	l.apply(&limits)
	if err := limits.Validate(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func checkMode(text string) error {
	_, err := policy.ParseMode(text)
	return err
}

// parseGuest reads the name of a guest module and its block.
func parseGuest(d *caddyfile.Dispenser, word, namespace string, to *json.RawMessage) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	return unmarshalGuest(d, word, namespace, d.Val(), to)
}

func unmarshalGuest(d *caddyfile.Dispenser, word, namespace, name string, to *json.RawMessage) error {
	id := namespace + "." + name
	if slices.Contains(laterGuests, id) {
		return notYet(d, word+" "+name)
	}
	if _, err := caddy.GetModule(id); err != nil {
		return d.Errf("%s %s: there is no module %s in this build; check the spelling, or build Caddy with it", word, name, id)
	}
	module, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return err
	}
	*to = caddyconfig.JSONModuleObject(module, "module", name, nil)
	return nil
}

// eachWord walks through a block. Words that read does not know are refused, and so is a word that comes twice,
// unless it is named as one that may.
func eachWord(d *caddyfile.Dispenser, block string, read func(word string) (known bool, err error), mayRepeat ...string) error {
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && !slices.Contains(mayRepeat, word) {
			return d.Errf("%s: %s is given twice; keep one", block, word)
		}
		seen[word] = true
		known, err := read(word)
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("%s: unknown word %q", block, word)
		}
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// oneArg reads exactly one argument that is not empty.
func oneArg(d *caddyfile.Dispenser, to *string) error {
	word := d.Val()
	if !d.AllArgs(to) {
		return d.ArgErr()
	}
	if strings.TrimSpace(*to) == "" {
		return d.Errf("%s: the argument is empty; write a value, or remove the line", word)
	}
	return nil
}

// flagWord reads a word without arguments.
func flagWord(d *caddyfile.Dispenser, to *bool) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	*to = true
	return nil
}

// checkedArg reads one argument and refuses it where it stands.
func checkedArg(d *caddyfile.Dispenser, to *string, check func(string) error) error {
	if err := oneArg(d, to); err != nil {
		return err
	}
	if err := check(*to); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

// someArgs reads one or more different arguments.
func someArgs(d *caddyfile.Dispenser, to *[]string) error {
	word := d.Val()
	*to = d.RemainingArgs()
	if len(*to) == 0 {
		return d.ArgErr()
	}
	for i, arg := range *to {
		if strings.TrimSpace(arg) == "" {
			return d.Errf("%s: an argument is empty; remove it", word)
		}
		if slices.Contains((*to)[:i], arg) {
			return d.Errf("%s names %q twice; keep one", word, arg)
		}
	}
	return nil
}

func checkedArgs(d *caddyfile.Dispenser, to *[]string, check func(string) error) error {
	if err := someArgs(d, to); err != nil {
		return err
	}
	for _, arg := range *to {
		if err := check(arg); err != nil {
			return d.Err(err.Error())
		}
	}
	return nil
}

func durationArg(d *caddyfile.Dispenser, to **caddy.Duration) error {
	word := d.Val()
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	value, err := parseDuration(d, word, text)
	*to = &value
	return err
}

func parseDuration(d *caddyfile.Dispenser, word, text string) (caddy.Duration, error) {
	value, err := caddy.ParseDuration(text)
	if err != nil || value < time.Second {
		return 0, d.Errf("%s %q: write a duration of at least 1s, such as 90s, 24h or 7d", word, text)
	}
	return caddy.Duration(value), nil
}

// orNil keeps settings that nobody made out of the JSON.
func orNil(s Settings) *Settings {
	if text, err := json.Marshal(s); err == nil && string(text) == "{}" {
		return nil
	}
	return &s
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Gate)(nil)
	_ caddyfile.Unmarshaler = (*Brand)(nil)
	_ caddyfile.Unmarshaler = (*Trust)(nil)
	_ caddyfile.Unmarshaler = (*Limits)(nil)
)
