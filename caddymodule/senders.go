package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/policy"
)

func init() {
	caddy.RegisterModule(new(SMTP))
	caddy.RegisterModule(new(OutboxSender))
}

// Sender is what a guest module in the namespace contactgate.senders implements. It is stable.
//
// A sender may also have Carry(channel string) error, which is told once what it is configured for ("email", "sms" or
// "voice") and refuses what it cannot carry; Check(context.Context) error, which connects and sends nothing; for e-mail
// From() string, the sender as people see it, and Subjects() map[string]string, the subject of the mail with the code by
// language; for calls CallerID() string, the number that people will see.
type Sender = delivery.Sender

// Message is what a Sender hands over.
type Message = delivery.Message

// What became of a message that was not accepted. A Sender's errors wrap one of these.
var (
	ErrRefused     = delivery.ErrRefused
	ErrTryLater    = delivery.ErrTryLater
	ErrUnreachable = delivery.ErrUnreachable
	ErrUnknown     = delivery.ErrUnknown
)

// SMTP sends e-mail through one mail server.
type SMTP struct {
	// The server: `host:587` (STARTTLS is demanded), `smtps://host:465` (TLS from the first byte), or
	// `smtp+plaintext://127.0.0.1:25` (no TLS; on this machine only).
	Address string `json:"address,omitempty"`

	// The login, if the server wants one. Placeholders are replaced.
	Username string `json:"username,omitempty"`

	// The password of the login, best as a placeholder: `{env.SMTP_PASSWORD}`, `{file./run/secrets/smtp}`.
	Password string `json:"password,omitempty"`

	// The sender as people see it: `Example account team <noreply@example.com>`.
	SenderAddress string `json:"from,omitempty"`

	// The subject of the mail with the code, by language tag. Default: from the catalog of the language.
	Subject map[string]string `json:"subject,omitempty"`

	*delivery.SMTP `json:"-"`
}

// CaddyModule returns the Caddy module information.
func (*SMTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.senders.smtp", New: func() caddy.Module { return new(SMTP) }}
}

// Provision checks everything that can be checked without a connection.
func (s *SMTP) Provision(caddy.Context) error {
	username, userErr := expand("email smtp username", s.Username)
	password, passErr := expand("email smtp password", s.Password)
	if err := errors.Join(userErr, passErr, s.checkSubjects()); err != nil {
		return err
	}
	sender, err := delivery.NewSMTP(delivery.SMTPConfig{
		Address: s.Address, Username: username, Password: password, From: s.SenderAddress,
	})
	if err != nil {
		return fmt.Errorf("email smtp: %w", err)
	}
	s.SMTP = sender
	return nil
}

// Carry refuses texts and calls.
func (s *SMTP) Carry(channel string) error {
	if channel != string(policy.ByEmail) {
		return fmt.Errorf("%[1]s smtp: a mail server carries e-mail only; write %[1]s twilio, or %[1]s http", channel)
	}
	return nil
}

// Subjects are the subjects of the mail with the code, by language.
func (s *SMTP) Subjects() map[string]string { return s.Subject }

func (s *SMTP) checkSubjects() error {
	var errs []error
	for lang, subject := range s.Subject {
		if strings.TrimSpace(subject) == "" || strings.ContainsAny(subject, "\r\n") {
			errs = append(errs, fmt.Errorf("email smtp subject %s %q: write one line", lang, subject))
		}
	}
	return errors.Join(errs...)
}

// UnmarshalCaddyfile reads:
//
//	email smtp {
//		address  <host:port>|smtps://<host:port>|smtp+plaintext://<host:port>
//		username <name>
//		password <password>
//		from     <address>
//		subject  <language> <text>   # once per language
//	}
func (s *SMTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	fields := map[string]*string{"address": &s.Address, "username": &s.Username, "password": &s.Password, "from": &s.SenderAddress}
	return eachWord(d, "email smtp", func(word string) (bool, error) {
		if word == "subject" {
			return true, s.readSubject(d)
		}
		field, ok := fields[word]
		if !ok {
			return false, nil
		}
		return true, oneArg(d, field)
	}, "subject")
}

func (s *SMTP) readSubject(d *caddyfile.Dispenser) error {
	var lang, subject string
	if !d.AllArgs(&lang, &subject) {
		return d.Errf("email smtp subject: write the language and the subject: subject en \"Your code\"")
	}
	if _, twice := s.Subject[lang]; twice {
		return d.Errf("email smtp: subject %s is given twice; keep one", lang)
	}
	if s.Subject == nil {
		s.Subject = map[string]string{}
	}
	s.Subject[lang] = subject
	return nil
}

// outboxes are shared over reloads: a demo shows what was sent before.
var outboxes = caddy.NewUsagePool()

// OutboxSender sends nothing: it keeps messages in memory, with their codes, for a demo or a test to show. Mail, texts and
// calls that name the same outbox are kept together. It is no sender for a real site.
type OutboxSender struct {
	// Tells several outboxes of one process apart. Default: empty.
	Name string `json:"name,omitempty"`

	*delivery.Outbox `json:"-"`

	held bool
}

// CaddyModule returns the Caddy module information.
func (*OutboxSender) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "contactgate.senders.outbox", New: func() caddy.Module { return new(OutboxSender) }}
}

// Provision warns, loudly: whoever reads the outbox can confirm any contact.
func (o *OutboxSender) Provision(ctx caddy.Context) error {
	ctx.Slogger().Warn("OUTBOX: NOBODY RECEIVES ANY MESSAGE. Messages and their codes are kept in memory; use this for demos and tests only")
	shared, _, err := outboxes.LoadOrNew(o.Name, func() (caddy.Destructor, error) {
		return sharedOutbox{delivery.NewOutbox(0)}, nil
	})
	if err != nil {
		return err
	}
	o.Outbox, o.held = shared.(sharedOutbox).Outbox, true
	return nil
}

// Cleanup lets the outbox go, once.
func (o *OutboxSender) Cleanup() error {
	if !o.held {
		return nil
	}
	o.held = false
	_, err := outboxes.Delete(o.Name)
	return err
}

// From is shown on the pages in place of a real sender.
func (o *OutboxSender) From() string { return "Outbox <no-reply@outbox.invalid>" }

// CallerID is shown in place of a real number: one that is kept for stories.
func (o *OutboxSender) CallerID() string { return "+12025550100" }

// UnmarshalCaddyfile reads:
//
//	email|sms|voice outbox [<name>]
func (o *OutboxSender) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	args := d.RemainingArgs()
	if len(args) > 1 || d.NextBlock(0) {
		return d.Err("outbox takes at most a name")
	}
	if len(args) == 1 {
		o.Name = args[0]
	}
	return nil
}

// Outbox gives the outbox of this name, if a running configuration has one.
func Outbox(name string) (*delivery.Outbox, bool) {
	var found *delivery.Outbox
	outboxes.Range(func(key, value any) bool {
		if key == name {
			found = value.(sharedOutbox).Outbox
		}
		return found == nil
	})
	return found, found != nil
}

type sharedOutbox struct{ *delivery.Outbox }

func (sharedOutbox) Destruct() error { return nil }

// Interface guards
var (
	_ Sender                = (*SMTP)(nil)
	_ caddy.Provisioner     = (*SMTP)(nil)
	_ caddyfile.Unmarshaler = (*SMTP)(nil)
	_ Sender                = (*OutboxSender)(nil)
	_ caddy.Provisioner     = (*OutboxSender)(nil)
	_ caddy.CleanerUpper    = (*OutboxSender)(nil)
	_ caddyfile.Unmarshaler = (*OutboxSender)(nil)
)
