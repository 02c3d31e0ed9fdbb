package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"strings"
	"time"
)

// SMTPConfig says through which mail server messages go.
type SMTPConfig struct {
	// Address is host:587 or smtp://host:587 (STARTTLS is demanded), smtps://host:465 (TLS from the first byte), or
	// smtp+plaintext://127.0.0.1:25 (no TLS, on this machine only). The port may be left out.
	Address string
	// Username and Password log in; both or neither.
	Username, Password string
	// From is the sender: one address, with or without a name.
	From string
	// HELO is the name that we greet with. Default: the domain of From. The machine's own name is nobody's business.
	HELO string
	// RootCAs are trusted in place of the system's.
	RootCAs *x509.CertPool
	// Timeout is for one whole message, from the name look-up to the answer. Default 10 s.
	Timeout time.Duration
	// Now is for the Date of a message and for its end. Default time.Now.
	Now func() time.Time
}

// SMTP sends mail through one server. It holds no connection between messages.
type SMTP struct {
	cfg      SMTPConfig
	security security
	host     string
	port     string
	tls      *tls.Config
	from     *mail.Address
	domain   string
}

type security string

const (
	startTLS    security = "smtp"
	implicitTLS security = "smtps"
	plaintext   security = "smtp+plaintext"
)

var defaultPorts = map[security]string{startTLS: "587", implicitTLS: "465", plaintext: "25"}

const defaultTimeout = 10 * time.Second

// NewSMTP checks the whole config and names everything that is wrong with it at once. It connects to nothing.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	s := &SMTP{cfg: cfg}
	problems := []error{s.setAddress(cfg.Address), s.setFrom(cfg.From)}
	if (cfg.Username == "") != (cfg.Password == "") {
		problems = append(problems, errors.New("username and password: one of them is empty; give both, or neither for a server without a login"))
	}
	if s.cfg.HELO == "" {
		s.cfg.HELO = s.domain
	}
	if !isPrintable(s.cfg.HELO) {
		problems = append(problems, fmt.Errorf("helo %q: write one host name without spaces", cfg.HELO))
	}
	if cfg.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout %s: write a positive duration", cfg.Timeout))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if s.cfg.Timeout == 0 {
		s.cfg.Timeout = defaultTimeout
	}
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	s.tls = &tls.Config{ServerName: s.host, RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12}
	return s, nil
}

func (s *SMTP) setAddress(address string) error {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = string(startTLS), address
	}
	s.security = security(strings.ToLower(scheme))
	port, known := defaultPorts[s.security]
	switch {
	case strings.Contains(rest, "@"):
		// What stands before the @ may be a password: it is not repeated.
		return fmt.Errorf("address ...%s: the user name and password have lines of their own", rest[strings.LastIndex(rest, "@"):])
	case address == "":
		return errors.New("address is empty: write host:587, smtps://host:465 or, on this machine, smtp+plaintext://127.0.0.1:25")
	case !known:
		return fmt.Errorf("address %q: unknown scheme %q; write host:587, smtps://host:465 or, on this machine, smtp+plaintext://127.0.0.1:25", address, scheme)
	}
	host := rest
	if h, p, err := net.SplitHostPort(rest); err == nil {
		host, port = h, p
	} else if strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") {
		host = rest[1 : len(rest)-1]
	}
	if !isHost(host) || !isPort(port) {
		return fmt.Errorf("address %q: %q is not a host with a port; write host:%s, and an IPv6 address as [::1]:%s", address, rest, defaultPorts[s.security], defaultPorts[s.security])
	}
	if s.security == plaintext && !isLoopback(host) {
		return fmt.Errorf("address %q: without TLS only to localhost, 127.0.0.1 or [::1], because everyone on the way could read the codes; write %s or smtps://%s", address, net.JoinHostPort(host, "587"), net.JoinHostPort(host, "465"))
	}
	s.host, s.port = host, port
	return nil
}

func (s *SMTP) setFrom(from string) error {
	const remedy = `write one address, with or without a name: "Example account team <noreply@example.com>"`
	parsed, err := mail.ParseAddress(from)
	if err != nil {
		return fmt.Errorf("from %q: %s", from, remedy)
	}
	if strings.ContainsFunc(parsed.Name, isControl) {
		return fmt.Errorf("from %q: the name has a line break or another control character; %s", from, remedy)
	}
	if _, err := recipient(parsed.Address); err != nil {
		return fmt.Errorf("from %q: not an address that mail servers take (write an international domain in its xn-- form); %s", from, remedy)
	}
	s.from, s.domain = parsed, parsed.Address[strings.LastIndex(parsed.Address, "@")+1:]
	return nil
}

// From is the sender as people see it.
func (s *SMTP) From() string {
	if s.from.Name == "" {
		return s.from.Address
	}
	return s.from.Name + " <" + s.from.Address + ">"
}

// Send hands one mail over. It ends with ctx, with the configured timeout, or when the message is of no more use,
// whichever is first. Nothing of the message, its address or the server's words is in the error.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	letter, err := s.write(m)
	if err != nil {
		return err
	}
	patience := s.cfg.Timeout
	if !m.Ends.IsZero() {
		patience = min(patience, m.Ends.Sub(s.cfg.Now()))
	}
	if patience <= 0 {
		return failure{kind: ErrUnreachable, stage: atStart, cause: "the message has ended"}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.hangUp()
	return c.handOver(letter)
}

// Check connects, changes to TLS and logs in, and sends nothing.
func (s *SMTP) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	c.sayGoodbye()
	c.hangUp()
	return nil
}

func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return isDomain(host)
}

func isPort(port string) bool {
	n := 0
	for _, r := range port {
		if r < '0' || r > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(r-'0')
	}
	return n > 0 && n <= 65535
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

var _ Sender = (*SMTP)(nil)
