package caddymodule

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/policy"
)

func init() { caddy.RegisterModule(new(Twilio)) }

// Twilio sends texts and makes calls through a Twilio account. A call waits for the star key before it says the code, so
// that no voicemail keeps one: it does so in a conference room of its own, which needs no public address here and is
// billed by Twilio as a conference with one participant. Twilio knows no idempotency key: when its answer to a text is
// lost, the same code may come twice.
type Twilio struct {
	// The account, as the Twilio console shows it. May be a placeholder. Default for calls: the account of the texts.
	AccountSID string `json:"account_sid,omitempty"`

	// The account's secret, best as a placeholder: `{env.TWILIO_AUTH_TOKEN}`. Default for calls: that of the texts.
	AuthToken string `json:"auth_token,omitempty"`

	// For texts: the number, short code or name that they come from.
	SenderNumber string `json:"from,omitempty"`

	// For texts, in place of from: a messaging service, `MG…`, which chooses the number.
	MessagingService string `json:"messaging_service,omitempty"`

	// For calls: the number that calls, which the page tells people to expect.
	CallerNumber string `json:"caller_id,omitempty"`

	// For calls: `on` waits for the star key before the code is said, `off` says it at once. Default: on.
	WaitForKey string `json:"wait_for_key,omitempty"`

	// The address of the API, such as that of a region: `https://api.dublin.ie1.twilio.com`. Default:
	// https://api.twilio.com.
	API string `json:"api,omitempty"`

	*delivery.Twilio `json:"-"`

	sid, token string // expanded
}

// CaddyModule returns the Caddy module information.
func (*Twilio) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.senders.twilio", New: func() caddy.Module { return new(Twilio) }}
}

// Provision checks everything that can be checked without a connection.
func (t *Twilio) Provision(ctx caddy.Context) error {
	sid, sidErr := expand("twilio account_sid", t.AccountSID)
	token, tokenErr := expand("twilio auth_token", t.AuthToken)
	errs := []error{sidErr, tokenErr}
	if t.WaitForKey != "" && t.WaitForKey != "on" && t.WaitForKey != "off" {
		errs = append(errs, fmt.Errorf("twilio wait_for_key %q: use on or off", t.WaitForKey))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.sid, t.token = sid, token
	if texts := textsBefore(ctx); texts != nil && t.AccountSID == "" && t.AuthToken == "" {
		t.sid, t.token = texts.sid, texts.token
		if t.API == "" {
			t.API = texts.API
		}
	}
	sender, err := delivery.NewTwilio(delivery.TwilioConfig{
		AccountSID: t.sid, AuthToken: t.token, From: t.SenderNumber, MessagingService: t.MessagingService,
		CallerID: t.CallerNumber, WithoutKey: t.WaitForKey == "off", API: t.API,
	})
	if err != nil {
		return fmt.Errorf("twilio: %w", err)
	}
	t.Twilio = sender
	return nil
}

// textsBefore is the "sms twilio" of the app that is being made, which comes before its "voice twilio".
func textsBefore(ctx caddy.Context) *Twilio {
	for _, module := range ctx.Modules() {
		if app, ok := module.(*App); ok {
			return app.twilio
		}
	}
	return nil
}

// Carry takes texts and calls, each with its own words.
func (t *Twilio) Carry(channel string) error {
	sendsTexts := t.SenderNumber+t.MessagingService != ""
	callWords := t.CallerNumber+t.WaitForKey != ""
	switch {
	case channel == string(policy.ByEmail):
		return errors.New("email twilio: Twilio carries texts and calls only; write email smtp")
	case channel == string(policy.BySMS) && !sendsTexts:
		return errors.New("sms twilio: nobody to send from; add from with a number of the account, or messaging_service")
	case channel == string(policy.BySMS) && callWords:
		return errors.New("sms twilio: caller_id and wait_for_key are for calls; move them to voice twilio")
	case channel == string(policy.ByVoice) && t.CallerNumber == "":
		return errors.New("voice twilio: no number to call from; add caller_id with a number of the account")
	case channel == string(policy.ByVoice) && sendsTexts:
		return errors.New("voice twilio: from and messaging_service are for texts; write caller_id")
	}
	return nil
}

// CallerID is the number that will show.
func (t *Twilio) CallerID() string { return t.CallerNumber }

// UnmarshalCaddyfile reads:
//
//	sms twilio {
//		account_sid       <sid>
//		auth_token        <token>
//		from              <number>   # or messaging_service <sid>
//		api               <url>
//	}
//	voice twilio {
//		account_sid       <sid>      # and auth_token; default: those of sms twilio
//		caller_id         <number>
//		wait_for_key      on|off
//	}
func (t *Twilio) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	fields := map[string]*string{
		"account_sid": &t.AccountSID, "auth_token": &t.AuthToken, "from": &t.SenderNumber, "messaging_service": &t.MessagingService,
		"caller_id": &t.CallerNumber, "wait_for_key": &t.WaitForKey, "api": &t.API,
	}
	return eachWord(d, "twilio", func(word string) (bool, error) {
		field, ok := fields[word]
		if !ok {
			return false, nil
		}
		return true, oneArg(d, field)
	})
}

// Interface guards
var (
	_ Sender                = (*Twilio)(nil)
	_ caddy.Provisioner     = (*Twilio)(nil)
	_ caddyfile.Unmarshaler = (*Twilio)(nil)
)
