package delivery

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/http/httpguts"
)

// HTTPConfig says to which web API messages go.
type HTTPConfig struct {
	// URL takes a POST for each message: https://, or http:// on this machine only.
	URL string
	// Secret signs each request as Standard Webhooks does: whsec_ and 24 to 64 bytes in base64. Empty: nothing is signed.
	Secret string
	// Header is sent with each request, for a login.
	Header http.Header
	// Body is the JSON document that is sent; see defaultBody. Expand gives the text of its {env.…} and {file.…}.
	Body   string
	Expand func(placeholder string) (string, error)
	// RootCAs are trusted in place of the system's.
	RootCAs *x509.CertPool
	// Timeout is for one whole message. Default 10 s.
	Timeout time.Duration
	// Now is for the timestamp of a signature and for a message's end. Default time.Now.
	Now func() time.Time
}

// HTTP gives messages to any provider that takes JSON. Repeated attempts at a message have the same Idempotency-Key.
type HTTP struct {
	provider *provider
	target   string
	header   http.Header
	body     *body
	signer   *standardwebhooks.Webhook
}

// NewHTTP checks the whole config and names everything that is wrong with it at once. It connects to nothing, and repeats
// no secret.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	base, badURL := providerURL(cfg.URL)
	body, badBody := newBody(cfg.Body, cfg.Expand)
	signer, badSecret := newSigner(cfg.Secret)
	problems := []error{badURL, badBody, badSecret, checkHeader(cfg.Header)}
	if cfg.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout %s: write a positive duration", cfg.Timeout))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	s := &HTTP{provider: newProvider(base, cfg.RootCAs, cfg.Timeout, cfg.Now), target: base.String(), body: body, signer: signer}
	s.header = cfg.Header.Clone()
	if s.header == nil {
		s.header = http.Header{}
	}
	s.header.Set("Content-Type", "application/json")
	s.header.Set("Accept", "application/json")
	if s.header.Get("User-Agent") == "" {
		s.header.Set("User-Agent", "contactgate")
	}
	return s, nil
}

// newSigner reads the secret as Standard Webhooks writes it. A short one could be guessed from a few messages.
func newSigner(secret string) (*standardwebhooks.Webhook, error) {
	if secret == "" {
		return nil, nil
	}
	const remedy = "write whsec_ and 24 to 64 random bytes in base64, such as: echo whsec_$(openssl rand -base64 32)"
	encoded, found := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("secret: not one of Standard Webhooks; " + remedy)
	}
	return standardwebhooks.NewWebhookRaw(key)
}

// ours are header fields that a request has of its own.
var ours = []string{"Host", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection", "Accept", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}

func checkHeader(header http.Header) error {
	var problems []error
	for name, list := range header {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			problems = append(problems, fmt.Errorf("header %q: not the name of a header field", name))
		case slices.Contains(ours, http.CanonicalHeaderKey(name)):
			problems = append(problems, fmt.Errorf("header %s: every request has one already; remove the line", name))
		case slices.ContainsFunc(list, func(v string) bool { return v == "" || !httpguts.ValidHeaderFieldValue(v) }):
			problems = append(problems, fmt.Errorf("header %s: its value is empty, or has a line break in it", name))
		}
	}
	return errors.Join(problems...)
}

// Send hands one message over. Only a status of 2xx counts as taken. Nothing of the message, the address's path or the
// provider's words is in the error.
func (s *HTTP) Send(ctx context.Context, m Message) error {
	refuse := func(why string) error { return failure{kind: ErrRefused, stage: atStart, cause: why} }
	switch {
	case m.Channel != "sms" && m.Channel != "voice":
		return refuse("not a text or a call")
	case m.ID == "" || !isPrintable(m.ID):
		return refuse("the message has no ID")
	case !IsNumber(m.To):
		return refuse("the recipient is not a number in E.164 form")
	}
	text, err := s.body.fill(m)
	if err != nil {
		return refuse("the message could not be written")
	}
	header := s.header.Clone()
	header.Set("Idempotency-Key", m.ID)
	if err := s.sign(header, m.ID, text); err != nil {
		return refuse("the message could not be signed")
	}
	answer, err := s.provider.ask(ctx, http.MethodPost, s.target, header, text, m.Ends)
	if err != nil {
		return err
	}
	return answer.refusal()
}

func (s *HTTP) sign(header http.Header, id string, text []byte) error {
	if s.signer == nil {
		return nil
	}
	at := s.provider.now()
	signature, err := s.signer.Sign(id, at, text)
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return err
}

// Check connects and agrees on TLS, and sends nothing: whether the login is right shows with the first message.
func (s *HTTP) Check(ctx context.Context) error { return s.provider.reachable(ctx) }

var _ Sender = (*HTTP)(nil)
