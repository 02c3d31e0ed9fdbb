package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// stage is how far a conversation with the server has come. What a failure means depends on it.
type stage string

const (
	atStart     stage = "before the start"
	atConnect   stage = "connect"
	atTLS       stage = "TLS"
	atGreeting  stage = "greeting"
	atLogin     stage = "login"
	atSender    stage = "sender"
	atRecipient stage = "recipient"
	atData      stage = "message"
	// atAnswer is after the final dot: the server may have taken the message whatever we hear.
	atAnswer stage = "answer to the message"
)

const (
	// maxAnswers ends a server that never stops talking: it would fill our memory until the timeout.
	maxAnswers = 1 << 20
	// goodbye is how long we wait for the answer to QUIT, which changes nothing any more.
	goodbye = 500 * time.Millisecond
)

// conversation is one connection to the server.
type conversation struct {
	smtp  *SMTP
	stage stage
	// raw is the connection below TLS. Closing it ends whatever waits on it, at once: the client's own deadlines
	// start anew at several places, and its context ends with the dial.
	raw    net.Conn
	client *smtp.Client
	detach func() bool
	ctx    context.Context
}

// dial comes as far as a login, and ends with ctx from then on.
func (s *SMTP) dial(ctx context.Context) (*conversation, error) {
	c := &conversation{smtp: s, stage: atConnect, ctx: ctx}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return nil, c.failed(err)
	}
	c.raw = &capped{Conn: raw, left: maxAnswers}
	c.detach = context.AfterFunc(ctx, func() { _ = raw.Close() })
	if err := c.open(ctx); err != nil {
		c.hangUp()
		return nil, c.failed(err)
	}
	return c, nil
}

func (c *conversation) open(ctx context.Context) error {
	conn := c.raw
	switch c.smtp.security {
	case plaintext:
		// The name localhost may lead elsewhere.
		if !isLocal(conn.RemoteAddr()) {
			return errNotLocal
		}
	case implicitTLS:
		c.stage = atTLS
		secured := tls.Client(conn, c.smtp.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secured
	}
	return c.greet(conn)
}

func (c *conversation) greet(conn net.Conn) error {
	c.stage = atGreeting
	client, err := smtp.NewClient(conn, c.smtp.host)
	if err != nil {
		return err
	}
	c.client = client
	client.SkipSMTPUTF8(true) // our addresses are ASCII; asking for it makes the next server refuse the mail
	if err := client.Hello(c.smtp.cfg.HELO); err != nil {
		return err
	}
	if c.smtp.security == startTLS {
		c.stage = atTLS
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return errNoStartTLS // a stripped offer must never lead to plaintext
		}
		if err := client.StartTLS(c.smtp.tls); err != nil {
			return err
		}
	}
	if c.smtp.cfg.Username == "" {
		return nil
	}
	c.stage = atLogin
	return c.login()
}

func (c *conversation) login() error {
	offered, mechanisms := c.client.Extension("AUTH")
	if !offered {
		return errNoLogin
	}
	user, password, inTheClear := c.smtp.cfg.Username, c.smtp.cfg.Password, c.smtp.security == plaintext
	names := strings.Fields(strings.ToUpper(mechanisms))
	switch {
	case slices.Contains(names, "PLAIN"):
		return c.client.Auth(smtp.PlainAuth("", user, password, c.smtp.host, inTheClear))
	case slices.Contains(names, "LOGIN"):
		return c.client.Auth(smtp.LoginAuth(user, password, c.smtp.host, inTheClear))
	case slices.Contains(names, "SCRAM-SHA-256"):
		return c.client.Auth(smtp.ScramSHA256Auth(user, password))
	case slices.Contains(names, "CRAM-MD5"):
		return c.client.Auth(smtp.CRAMMD5Auth(user, password))
	}
	return errNoLogin
}

// handOver says MAIL, RCPT and DATA for one recipient. Only an answer after the final dot counts as taken.
func (c *conversation) handOver(l letter) error {
	err := c.transaction(l)
	if err == nil {
		c.sayGoodbye()
		return nil
	}
	if answer(err) != 0 {
		c.sayGoodbye()
	}
	return c.failed(err)
}

func (c *conversation) transaction(l letter) error {
	c.stage = atSender
	if err := c.client.Mail(l.from); err != nil {
		return err
	}
	c.stage = atRecipient
	if err := c.client.Rcpt(l.to); err != nil {
		return err
	}
	c.stage = atData
	w, err := c.client.Data()
	if err != nil {
		return err
	}
	if _, err := bytes.NewReader(l.raw).WriteTo(w); err != nil {
		// Nothing more may be written to this connection: the next command would send the final dot first.
		return err
	}
	c.stage = atAnswer
	err = w.Close()
	if code := answer(err); code >= 200 && code < 300 {
		return nil // the client knows 250 only
	}
	return err
}

func (c *conversation) sayGoodbye() {
	_ = c.raw.SetDeadline(time.Now().Add(goodbye))
	_ = c.client.Quit()
}

func (c *conversation) hangUp() {
	c.detach()
	_ = c.raw.Close()
}

// failed turns what went wrong into one of the kinds. An answer decides by its code, silence by how far we were.
func (c *conversation) failed(err error) error {
	code := answer(err)
	if code == 0 && c.ctx.Err() != nil {
		err = c.ctx.Err() // it was us who closed the connection
	}
	f := failure{kind: ErrUnreachable, stage: c.stage, code: code, cause: cause(err)}
	switch {
	case c.stage != atSender && c.stage != atRecipient && c.stage != atData && c.stage != atAnswer:
	case aboutUs(code):
	case code >= 400 && code < 500:
		f.kind = ErrTryLater
	case code >= 500 && c.stage != atSender:
		f.kind = ErrRefused
	case c.stage == atAnswer:
		f.kind = ErrUnknown
	case code == 0 && c.stage != atSender:
		f.kind = ErrBrokenOff
	}
	return f
}

// aboutUs are the refusals that mean our login, at whatever command they come. They say nothing about the recipient.
func aboutUs(code int) bool { return code == 530 || code == 534 || code == 535 || code == 538 }

// failure is all that is told of a failed conversation. Servers repeat the recipient, and some the password, in their
// answers, and the client's errors carry both: none of it is kept, only the stage and the number.
type failure struct {
	kind  error
	stage stage
	code  int
	cause string
}

func (f failure) Error() string {
	switch {
	case f.code != 0 && f.cause != "" && f.stage == atProvider:
		return fmt.Sprintf("%s answered %d (%s): %v", f.stage, f.code, f.cause, f.kind)
	case f.code != 0:
		return fmt.Sprintf("%s answered %d: %v", f.stage, f.code, f.kind)
	}
	return fmt.Sprintf("%s: %s: %v", f.stage, f.cause, f.kind)
}

func (f failure) Unwrap() error { return f.kind }

var (
	errNotLocal   = errors.New("localhost is another machine, and there is no TLS")
	errNoStartTLS = errors.New("the server does not offer STARTTLS")
	errNoLogin    = errors.New("the server offers no login that we know (PLAIN, LOGIN, SCRAM-SHA-256, CRAM-MD5)")
)

// answer is the code of the server's refusal, 0 when there was no answer.
func answer(err error) int {
	var refusal *textproto.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return 0
}

// cause says in our own words why there was no answer.
func cause(err error) string {
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		noTLS    tls.RecordHeaderError
		alert    *net.OpError
		garbled  textproto.ProtocolError
		timedOut net.Error
	)
	switch {
	case errors.Is(err, errNotLocal), errors.Is(err, errNoStartTLS), errors.Is(err, errNoLogin), errors.Is(err, errTalksTooMuch):
		return err.Error()
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &dns):
		return "the server's name has no address"
	case errors.As(err, &timedOut) && timedOut.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there"
	case errors.As(err, &unknown):
		return "the certificate is signed by an authority that is not trusted here"
	case errors.As(err, &name):
		return "the certificate is for another name"
	case errors.As(err, &invalid):
		return "the certificate is not valid"
	case errors.As(err, &noTLS), errors.As(err, &alert) && alert.Op == "remote error":
		return "the server and we could not agree on TLS"
	case errors.As(err, &garbled):
		return "the answer was not SMTP"
	}
	return "the connection was lost"
}

// capped ends a connection that brought too much.
type capped struct {
	net.Conn
	left int
}

var errTalksTooMuch = errors.New("the server's answers do not end")

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTalksTooMuch
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func isLocal(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
