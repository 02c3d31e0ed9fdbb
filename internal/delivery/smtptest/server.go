// Package smtptest is a mail server for tests: it keeps what it was given and misbehaves when told to.
package smtptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Security says how the server speaks TLS.
type Security int

const (
	// Plaintext offers no TLS at all.
	Plaintext Security = iota
	// STARTTLS offers to change to TLS, and takes mail without it too: whether it is used is for the client to insist on.
	STARTTLS
	// Implicit speaks TLS from the first byte.
	Implicit
)

// Config says what the server is like. The zero value listens on a free port of 127.0.0.1, in plaintext, without a login.
type Config struct {
	Listen   string
	Security Security
	// Username and Password make the server demand a login (AUTH PLAIN, also in plaintext).
	Username, Password string
	// CertHosts are the names in the certificate. Default: localhost, 127.0.0.1 and ::1.
	CertHosts []string
}

// Stage is a moment of the conversation in which the server can misbehave.
type Stage int

const (
	Greeting Stage = iota // instead of the 220 line
	Auth                  // at the end of a login
	Mail                  // in answer to MAIL
	Rcpt                  // in answer to RCPT
	Data                  // in answer to the whole message, after its final dot
)

// Fault is what the server does in a stage. Delay comes first, then the first of Hang, Reset, Raw and Code that is set.
type Fault struct {
	Delay time.Duration
	// Hang answers nothing until the server closes.
	Hang bool
	// Reset ends the connection with a TCP RST. In stage Data the message was taken before.
	Reset bool
	// Raw is written in place of the greeting, as it is. Other stages ignore it.
	Raw string
	// Code and Text are the reply; a Code from 400 refuses.
	Code int
	Text string
	// Times is how often this happens before the server behaves again. Zero: for ever.
	Times int
}

// Server is a running server.
type Server struct {
	cfg      Config
	listener net.Listener
	smtp     *smtp.Server
	cert     tls.Certificate
	done     chan struct{}
	served   chan struct{}
	closing  sync.Once

	mu       sync.Mutex
	faults   map[Stage]Fault
	messages []Message
	arrived  chan struct{} // closed and replaced at each message
	wire     bytes.Buffer
}

// Start starts a server.
func Start(cfg Config) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if len(cfg.CertHosts) == 0 {
		cfg.CertHosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	cert, err := selfSigned(cfg.CertHosts)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, listener: l, cert: cert, done: make(chan struct{}), served: make(chan struct{}),
		faults: map[Stage]Fault{}, arrived: make(chan struct{}),
	}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c}, nil
	}))
	s.smtp.Domain = "smtptest"
	s.smtp.AllowInsecureAuth = true
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.ErrorLog = log.New(io.Discard, "", 0)
	secured := net.Listener(&listener{l, s})
	switch tc := (&tls.Config{Certificates: []tls.Certificate{cert}}); cfg.Security {
	case STARTTLS:
		s.smtp.TLSConfig = tc
	case Implicit:
		secured = tls.NewListener(secured, tc)
	}
	go func() {
		defer close(s.served)
		_ = s.smtp.Serve(secured)
	}()
	return s, nil
}

// Addr is the host and port that it listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Address is Addr in the spelling of the `address` setting.
func (s *Server) Address() string {
	switch s.cfg.Security {
	case STARTTLS:
		return "smtp://" + s.Addr()
	case Implicit:
		return "smtps://" + s.Addr()
	default:
		return "smtp+plaintext://" + s.Addr()
	}
}

// RootCAs trusts the server's certificate.
func (s *Server) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.cert.Leaf)
	return pool
}

// CertPEM is the server's certificate, for SSL_CERT_FILE of another process.
func (s *Server) CertPEM() []byte { return encodeCert(s.cert) }

// Set makes the server misbehave in a stage from now on; the zero Fault makes it behave again.
func (s *Server) Set(stage Stage, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = -1
	}
	s.faults[stage] = f
}

// Behave ends all misbehaviour.
func (s *Server) Behave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// Messages are those that the server took, oldest first: also those whose answer it held back or never gave.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Wait returns the messages once there are n of them, or an error when the context ends before.
func (s *Server) Wait(ctx context.Context, n int) ([]Message, error) {
	for {
		s.mu.Lock()
		have, arrived := len(s.messages), s.arrived
		s.mu.Unlock()
		if have >= n {
			return s.Messages(), nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return s.Messages(), fmt.Errorf("%d messages instead of %d: %w", have, n, ctx.Err())
		}
	}
}

// Forget drops the messages and the wire's record.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = nil
	s.wire.Reset()
}

// Wire is every byte that clients sent, as it was on the wire: readable only where no TLS was spoken.
func (s *Server) Wire() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wire.String()
}

// Close ends the server and all its connections.
func (s *Server) Close() {
	s.closing.Do(func() {
		close(s.done)
		_ = s.listener.Close()
		_ = s.smtp.Close()
		<-s.served
	})
}

func (s *Server) keep(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// fault takes the stage's fault, once.
func (s *Server) fault(stage Stage) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults[stage]
	if f.Times == 0 {
		return Fault{}
	}
	if f.Times > 0 {
		used := f
		used.Times--
		s.faults[stage] = used
	}
	return f
}

func (s *Server) pause(d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-s.done:
	}
}

// act does what a fault says in the middle of a conversation and returns the reply, nil to go on.
func (s *Server) act(f Fault, c net.Conn) error {
	s.pause(f.Delay)
	switch {
	case f.Hang:
		<-s.done
		return errors.New("closing")
	case f.Reset:
		reset(c)
		return errors.New("reset")
	case f.Code >= 400:
		text := f.Text
		if text == "" {
			text = "told to say so"
		}
		return &smtp.SMTPError{Code: f.Code, EnhancedCode: smtp.EnhancedCode{f.Code / 100, 1, 1}, Message: text}
	}
	return nil
}

// listener records what arrives and lets the greeting go wrong.
type listener struct {
	net.Listener
	server *Server
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c = &recorded{c, l.server}
		f := l.server.fault(Greeting)
		if !f.Hang && !f.Reset && f.Raw == "" && f.Code == 0 {
			if f.Delay == 0 {
				return c, nil
			}
			c = &delayed{Conn: c, server: l.server, by: f.Delay}
			return c, nil
		}
		go l.server.greetBadly(c, f)
	}
}

func (s *Server) greetBadly(c net.Conn, f Fault) {
	defer c.Close()
	s.pause(f.Delay)
	switch {
	case f.Reset:
		reset(c)
		return
	case f.Raw != "":
		_, _ = io.WriteString(c, f.Raw)
	case f.Code != 0:
		_, _ = fmt.Fprintf(c, "%d %s\r\n", f.Code, f.Text)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, c)
	}()
	select {
	case <-gone:
	case <-s.done:
	}
}

// recorded copies what it reads into the server's record of the wire.
type recorded struct {
	net.Conn
	server *Server
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.server.mu.Lock()
	r.server.wire.Write(p[:n])
	r.server.mu.Unlock()
	return n, err
}

// delayed holds its first write back.
type delayed struct {
	net.Conn
	server *Server
	by     time.Duration
	once   sync.Once
}

func (d *delayed) Write(p []byte) (int, error) {
	d.once.Do(func() { d.server.pause(d.by) })
	return d.Conn.Write(p)
}

// reset ends a connection with a RST instead of a FIN.
func reset(c net.Conn) {
	for {
		switch v := c.(type) {
		case *tls.Conn:
			c = v.NetConn()
		case *recorded:
			c = v.Conn
		case *delayed:
			c = v.Conn
		case *net.TCPConn:
			_ = v.SetLinger(0)
			_ = v.Close()
			return
		default:
			_ = c.Close()
			return
		}
	}
}

// session is one conversation.
type session struct {
	server *Server
	conn   *smtp.Conn
	login  bool
	from   string
	rcpts  []string
}

func (s *session) AuthMechanisms() []string {
	if s.server.cfg.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(mech string) (sasl.Server, error) {
	if mech != sasl.Plain {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(_, username, password string) error {
		if err := s.server.act(s.server.fault(Auth), s.conn.Conn()); err != nil {
			return err
		}
		if username != s.server.cfg.Username || password != s.server.cfg.Password {
			// Some servers repeat what they were given.
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no " + username + " with " + password}
		}
		s.login = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.cfg.Username != "" && !s.login {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	if err := s.server.act(s.server.fault(Mail), s.conn.Conn()); err != nil {
		return err
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	f := s.server.fault(Rcpt)
	if f.Code != 0 && f.Text == "" {
		f.Text = "<" + to + ">: told to say so" // servers repeat the recipient; nobody may log it
	}
	if err := s.server.act(f, s.conn.Conn()); err != nil {
		return err
	}
	s.rcpts = append(s.rcpts, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f := s.server.fault(Data)
	m := read(raw)
	m.At, m.HELO, m.From, m.Rcpts = time.Now(), s.conn.Hostname(), s.from, append([]string(nil), s.rcpts...)
	_, m.TLS = s.conn.TLSConnectionState()
	m.Answered = !f.Hang && !f.Reset
	if f.Code < 400 || !m.Answered {
		s.server.keep(m)
	} else if f.Text == "" && len(s.rcpts) > 0 {
		f.Text = "<" + s.rcpts[0] + ">: told to say so"
	}
	return s.server.act(f, s.conn.Conn())
}

func (s *session) Reset()        { s.from, s.rcpts = "", nil }
func (s *session) Logout() error { return nil }
