package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/contactgate/contactgate/internal/verify"
	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// CountryChannels says how codes may reach the phones of some countries.
type CountryChannels struct {
	// The countries, as ISO 3166 codes: `JP`. Parts with numbers of their own kind have codes of their own, such as `GG`,
	// `JE` and `IM` beside `GB`.
	Countries []string `json:"countries,omitempty"`

	// `sms`, `voice` or both.
	Channels []string `json:"channels,omitempty"`
}

// parseChannels reads one line; more lines add countries:
//
//	channels <country codes...> sms|voice...
func (a *App) parseChannels(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	var line CountryChannels
	for _, arg := range args {
		if isPhoneChannel(arg) {
			line.Channels = append(line.Channels, arg)
		} else {
			line.Countries = append(line.Countries, arg)
		}
	}
	a.Channels = append(a.Channels, line)
	if _, err := a.countries(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

func isPhoneChannel(word string) bool {
	return policy.Channel(word) == policy.BySMS || policy.Channel(word) == policy.ByVoice
}

// countries are the countries as the rules need them, in the order in which they were named. The error names all that is
// wrong.
func (a *App) countries() ([]policy.Country, error) {
	var list []policy.Country
	var errs []error
	for _, line := range a.Channels {
		words := strings.Join(append(slices.Clone(line.Countries), line.Channels...), " ")
		errs = append(errs, line.check(words))
		for _, code := range line.Countries {
			if slices.ContainsFunc(list, func(c policy.Country) bool { return c.Code == code }) {
				errs = append(errs, fmt.Errorf("channels %s: %s is given twice; keep one", words, code))
			}
			list = append(list, policy.Country{Code: code, SMS: slices.Contains(line.Channels, string(policy.BySMS)), Voice: slices.Contains(line.Channels, string(policy.ByVoice))})
		}
	}
	return list, errors.Join(errs...)
}

func (c CountryChannels) check(words string) error {
	var errs []error
	if len(c.Countries) == 0 {
		errs = append(errs, fmt.Errorf("channels %s: name the countries first: channels JP sms voice", words))
	}
	if len(c.Channels) == 0 {
		errs = append(errs, fmt.Errorf("channels %s: add sms, voice or both", words))
	}
	for i, channel := range c.Channels {
		if !isPhoneChannel(channel) || slices.Contains(c.Channels[:i], channel) {
			errs = append(errs, fmt.Errorf("channels %s: use sms, voice or both, each once", words))
		}
	}
	for _, code := range c.Countries {
		if !verify.KnownCountry(code) {
			errs = append(errs, fmt.Errorf("channels %s: %q is no country; use ISO 3166 codes in capitals, such as JP, US or GB, and the channels sms and voice", words, code))
		}
	}
	return errors.Join(errs...)
}

// readChannels keeps of the countries what there are senders for: what nobody carries is not offered.
func (a *App) readChannels() error {
	named, err := a.countries()
	if err != nil {
		return err
	}
	for _, c := range named {
		offered := policy.Country{Code: c.Code, SMS: c.SMS && a.carries(policy.BySMS), Voice: c.Voice && a.carries(policy.ByVoice)}
		if offered != c {
			a.log.Warn("a channel is not offered: it has no sender; add one (sms …, voice …) to the contactgate block of the global options, or remove it from channels", "country", c.Code)
		}
		if offered.SMS || offered.Voice {
			a.offered = append(a.offered, offered)
		}
	}
	return nil
}

// noWarnings in lossy_domains means that there are none.
const noWarnings = "off"

// readLossy takes the operator's list in place of the built-in one.
func (a *App) readLossy() error {
	switch {
	case a.LossyDomains == nil:
		a.lossy = policy.LossyDomains()
		return nil
	case len(a.LossyDomains) == 1 && a.LossyDomains[0] == noWarnings:
		return nil
	}
	var errs []error
	for _, domain := range a.LossyDomains {
		errs = append(errs, checkLossy(domain))
	}
	a.lossy = a.LossyDomains
	return errors.Join(errs...)
}

func checkLossy(domain string) error {
	name := strings.TrimPrefix(domain, "*.")
	if !strings.Contains(name, ".") || strings.ContainsAny(name, "@/ *:") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
		return fmt.Errorf("lossy_domains %q: use domains (docomo.ne.jp) or all below one (*.pdx.ne.jp); \"off\" alone warns of none", domain)
	}
	return nil
}

// parseLossy reads:
//
//	lossy_domains <domains...>|off
func (a *App) parseLossy(d *caddyfile.Dispenser) error {
	if err := someArgs(d, &a.LossyDomains); err != nil {
		return err
	}
	if err := a.readLossy(); err != nil {
		return d.Err(err.Error())
	}
	return nil
}

// checkProof reads the argument of the directive "proof".
func checkProof(text string) error {
	if text != "" && text != proofLast4 && text != proofWhole {
		return fmt.Errorf("proof %q: use last4 or whole", text)
	}
	return nil
}

const (
	proofLast4 = "last4"
	proofWhole = "whole"
)

// names are channels as pages name them.
func names(channels []policy.Channel) []string {
	list := make([]string, len(channels))
	for i, c := range channels {
		list[i] = string(c)
	}
	return list
}

// lossy is the warning about an address whose mail may get lost; nil when nothing is known of that.
func (x *visit) lossy(address policy.Address) *pages.Lossy {
	domain := address.Domain()
	if !policy.InDomains(domain, x.app.lossy) {
		return nil
	}
	return &pages.Lossy{Domain: domain, Carrier: policy.Carrier(domain), From: x.app.mailFrom, Phone: len(x.rules.Countries) > 0}
}
