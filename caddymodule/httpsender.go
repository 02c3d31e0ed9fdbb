package caddymodule

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/policy"
)

func init() { caddy.RegisterModule(new(HTTPSender)) }

// HTTPSender gives texts and calls to any provider that takes JSON over HTTPS, one POST each. A status of 2xx means that
// the message was taken over; 429 that it is to be tried again; 400 and 422 that this recipient is refused; anything else
// that the provider cannot be used now. Redirects are not followed. Attempts at one message have the same
// Idempotency-Key; a provider that heeds it never sends twice.
type HTTPSender struct {
	// The address of the provider's API: `https://`, or `http://` on this machine only. Placeholders are replaced.
	URL string `json:"url,omitempty"`

	// Signs each request as Standard Webhooks does (headers webhook-id, webhook-timestamp, webhook-signature): `whsec_` and
	// 24 to 64 random bytes in base64, best as a placeholder. Default: requests are not signed.
	Secret string `json:"secret,omitempty"`

	// Header fields of each request, for a login: `Authorization`, `Bearer {env.SMS_TOKEN}`. Placeholders are replaced.
	Headers map[string]string `json:"headers,omitempty"`

	// The JSON that is sent. In its strings these are replaced: `{to}` (+819012345678), `{to_digits}` (819012345678),
	// `{text}` (what is sent, or spoken: a line of it is followed by a pause), `{greeting}` (for calls, to be spoken first
	// where a key is waited for), `{code}`, `{id}` (the same for each attempt), `{channel}` (sms or voice), `{language}`, and
	// `{env.NAME}` and `{file./path}`. Default: an object with id, channel, to, language, text and code.
	Body string `json:"body,omitempty"`

	// For calls: the number that will show, which the page tells people to expect. Default: they are told that it may be
	// withheld.
	CallerNumber string `json:"caller_id,omitempty"`

	*delivery.HTTP `json:"-"`
}

// CaddyModule returns the Caddy module information.
func (*HTTPSender) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.senders.http", New: func() caddy.Module { return new(HTTPSender) }}
}

// Provision checks everything that can be checked without a connection.
func (s *HTTPSender) Provision(caddy.Context) error {
	url, urlErr := expand("http url", s.URL)
	secret, secretErr := expand("http secret", s.Secret)
	header, headerErr := s.expandHeaders()
	if err := errors.Join(urlErr, secretErr, headerErr, checkCallerID("http", s.CallerNumber)); err != nil {
		return err
	}
	sender, err := delivery.NewHTTP(delivery.HTTPConfig{
		URL: url, Secret: secret, Header: header, Body: s.Body,
		Expand: func(placeholder string) (string, error) { return expand("http body", placeholder) },
	})
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	s.HTTP = sender
	return nil
}

func (s *HTTPSender) expandHeaders() (http.Header, error) {
	header := http.Header{}
	var errs []error
	for name, value := range s.Headers {
		expanded, err := expand("http header "+name, value)
		errs = append(errs, err)
		header.Set(name, expanded)
	}
	return header, errors.Join(errs...)
}

// Carry takes texts and calls.
func (s *HTTPSender) Carry(channel string) error {
	switch {
	case channel == string(policy.ByEmail):
		return errors.New("email http: a web API carries texts and calls only; write email smtp")
	case channel == string(policy.BySMS) && s.CallerNumber != "":
		return errors.New("sms http: caller_id is for calls; move it to voice http, or remove the line")
	}
	return nil
}

// CallerID is the number that will show.
func (s *HTTPSender) CallerID() string { return s.CallerNumber }

// checkCallerID refuses what no phone shows.
func checkCallerID(sender, number string) error {
	if number != "" && !delivery.IsNumber(number) {
		return fmt.Errorf("%s caller_id %q: write the number in full, with + and the country's code: +17148680120", sender, number)
	}
	return nil
}

// UnmarshalCaddyfile reads:
//
//	sms|voice http <url> {
//		secret    <secret>
//		header    <name> <value>   # once per name
//		body      <json>
//		caller_id <number>         # voice only
//	}
func (s *HTTPSender) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&s.URL) {
		return d.Err("http: write the address of the provider's API: sms http https://sms-gateway.example.com/send")
	}
	fields := map[string]*string{"secret": &s.Secret, "body": &s.Body, "caller_id": &s.CallerNumber}
	return eachWord(d, "http", func(word string) (bool, error) {
		if word == "header" {
			return true, s.readHeader(d)
		}
		field, ok := fields[word]
		if !ok {
			return false, nil
		}
		return true, oneArg(d, field)
	}, "header")
}

func (s *HTTPSender) readHeader(d *caddyfile.Dispenser) error {
	var name, value string
	if !d.AllArgs(&name, &value) {
		return d.Err("http header: write the name and the value: header Authorization \"Bearer {env.SMS_TOKEN}\"")
	}
	name = http.CanonicalHeaderKey(name)
	if _, twice := s.Headers[name]; twice {
		return d.Errf("http: header %s is given twice; keep one", name)
	}
	if s.Headers == nil {
		s.Headers = map[string]string{}
	}
	s.Headers[name] = value
	return nil
}

// Interface guards
var (
	_ Sender                = (*HTTPSender)(nil)
	_ caddy.Provisioner     = (*HTTPSender)(nil)
	_ caddyfile.Unmarshaler = (*HTTPSender)(nil)
)
