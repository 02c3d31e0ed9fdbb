package delivery_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/delivery/smtptest"
)

const (
	theirAddress = "ann.long@example.com"
	theCode      = "482915"
	thePassword  = "s3cret-of-smtp"
	japaneseFrom = "Example アカウント管理チーム <account-security-noreply@example.com>"
)

func message() delivery.Message {
	return delivery.Message{
		ID: "acct-1/7", Channel: "email", To: theirAddress,
		Subject: "Your Example security code", Text: theCode + " is your code.\r\n", HTML: "<p>" + theCode + "</p>",
		Code: theCode, Language: "en",
	}
}

func start(t *testing.T, cfg smtptest.Config) *smtptest.Server {
	t.Helper()
	srv, err := smtptest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// sender is for srv, with changes to its config.
func sender(t *testing.T, srv *smtptest.Server, changes ...func(*delivery.SMTPConfig)) *delivery.SMTP {
	t.Helper()
	cfg := delivery.SMTPConfig{Address: srv.Address(), From: japaneseFrom, RootCAs: srv.RootCAs(), Timeout: 5 * time.Second}
	for _, change := range changes {
		change(&cfg)
	}
	s, err := delivery.NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func within(d time.Duration) func(*delivery.SMTPConfig) {
	return func(c *delivery.SMTPConfig) { c.Timeout = d }
}

func login(username, password string) func(*delivery.SMTPConfig) {
	return func(c *delivery.SMTPConfig) { c.Username, c.Password = username, password }
}

// expect checks the kind of an error, and that nothing of the message or the login is in it.
func expect(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want kind %v", err, kind)
	}
	if err == nil {
		return
	}
	for _, secret := range []string{theirAddress, "ann", "@", theCode, thePassword, "account-security", "told to say so"} {
		if strings.Contains(strings.ToLower(err.Error()), secret) {
			t.Errorf("the error tells %q: %v", secret, err)
		}
	}
}

func only(t *testing.T, srv *smtptest.Server) smtptest.Message {
	t.Helper()
	got := srv.Messages()
	if len(got) != 1 {
		t.Fatalf("%d messages arrived, want 1", len(got))
	}
	return got[0]
}

func TestSendOverEachSecurity(t *testing.T) {
	for name, security := range map[string]smtptest.Security{"starttls": smtptest.STARTTLS, "smtps": smtptest.Implicit, "plaintext": smtptest.Plaintext} {
		for _, withLogin := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				cfg := smtptest.Config{Security: security}
				var changes []func(*delivery.SMTPConfig)
				if withLogin {
					cfg.Username, cfg.Password = "account-security", thePassword
					changes = append(changes, login("account-security", thePassword))
				}
				srv := start(t, cfg)
				s := sender(t, srv, changes...)
				if err := s.Check(t.Context()); err != nil {
					t.Fatal("Check:", err)
				}
				if n := len(srv.Messages()); n != 0 {
					t.Fatalf("Check sent %d messages", n)
				}
				if err := s.Send(t.Context(), message()); err != nil {
					t.Fatal(err)
				}
				m := only(t, srv)
				if m.TLS != (security != smtptest.Plaintext) {
					t.Errorf("TLS %v", m.TLS)
				}
				if len(m.Rcpts) != 1 || m.Rcpts[0] != theirAddress || m.From != "account-security-noreply@example.com" || m.HELO != "example.com" {
					t.Errorf("envelope: HELO %s MAIL %s RCPT %q", m.HELO, m.From, m.Rcpts)
				}
				if security != smtptest.Plaintext && strings.Contains(srv.Wire(), "RCPT") {
					t.Error("RCPT was readable on the wire")
				}
			})
		}
	}
}

func TestManySendAtOnce(t *testing.T) {
	srv := start(t, smtptest.Config{Security: smtptest.STARTTLS})
	s := sender(t, srv)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.Send(t.Context(), message()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(srv.Messages()); n != 20 {
		t.Errorf("%d messages arrived", n)
	}
}

func TestNeverFallsBackToPlaintext(t *testing.T) {
	srv := start(t, smtptest.Config{Security: smtptest.Plaintext, Username: "account-security", Password: thePassword})
	s := sender(t, srv, login("account-security", thePassword), func(c *delivery.SMTPConfig) { c.Address = srv.Addr() })
	expect(t, s.Send(t.Context(), message()), delivery.ErrUnreachable)
	expect(t, s.Check(t.Context()), delivery.ErrUnreachable)
	for _, word := range []string{"RCPT", "MAIL", "AUTH", "example.com>"} {
		if strings.Contains(srv.Wire(), word) {
			t.Errorf("%s was said in plaintext: %q", word, srv.Wire())
		}
	}
}

func TestCertificateMustFit(t *testing.T) {
	for _, security := range []smtptest.Security{smtptest.STARTTLS, smtptest.Implicit} {
		srv := start(t, smtptest.Config{Security: security, CertHosts: []string{"mail.elsewhere.example"}})
		err := sender(t, srv).Send(t.Context(), message())
		expect(t, err, delivery.ErrUnreachable)
		if !strings.Contains(err.Error(), "another name") {
			t.Error(err)
		}
		err = sender(t, srv, func(c *delivery.SMTPConfig) { c.RootCAs = x509.NewCertPool() }).Send(t.Context(), message())
		expect(t, err, delivery.ErrUnreachable)
		if n := len(srv.Messages()); n != 0 {
			t.Errorf("%d messages were taken", n)
		}
	}
	srv := start(t, smtptest.Config{Security: smtptest.Plaintext})
	err := sender(t, srv, func(c *delivery.SMTPConfig) { c.Address = "smtps://" + srv.Addr() }).Send(t.Context(), message())
	expect(t, err, delivery.ErrUnreachable)
}

func TestWrongLogin(t *testing.T) {
	srv := start(t, smtptest.Config{Security: smtptest.STARTTLS, Username: "account-security", Password: "another"})
	s := sender(t, srv, login("account-security", thePassword))
	expect(t, s.Send(t.Context(), message()), delivery.ErrUnreachable)
	err := s.Check(t.Context())
	expect(t, err, delivery.ErrUnreachable)
	if !strings.Contains(err.Error(), "login answered 535") {
		t.Error(err)
	}
	// Without a login MAIL is refused: that is our fault and says nothing about the recipient.
	expect(t, sender(t, srv).Send(t.Context(), message()), delivery.ErrUnreachable)
	// A server without AUTH while we are told to log in.
	open := start(t, smtptest.Config{Security: smtptest.STARTTLS})
	expect(t, sender(t, open, login("account-security", thePassword)).Send(t.Context(), message()), delivery.ErrUnreachable)
	if n := len(srv.Messages()) + len(open.Messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func TestRefusalsKeepTheirMeaning(t *testing.T) {
	for _, c := range []struct {
		stage smtptest.Stage
		code  int
		want  error
	}{
		{smtptest.Greeting, 421, delivery.ErrUnreachable},
		{smtptest.Greeting, 554, delivery.ErrUnreachable},
		{smtptest.Mail, 451, delivery.ErrTryLater},
		{smtptest.Mail, 550, delivery.ErrUnreachable},
		{smtptest.Mail, 530, delivery.ErrUnreachable},
		{smtptest.Rcpt, 450, delivery.ErrTryLater},
		{smtptest.Rcpt, 451, delivery.ErrTryLater},
		{smtptest.Rcpt, 421, delivery.ErrTryLater},
		{smtptest.Rcpt, 550, delivery.ErrRefused},
		{smtptest.Rcpt, 530, delivery.ErrUnreachable},
		{smtptest.Data, 451, delivery.ErrTryLater},
		{smtptest.Data, 554, delivery.ErrRefused},
	} {
		srv := start(t, smtptest.Config{Security: smtptest.Plaintext})
		srv.Set(c.stage, smtptest.Fault{Code: c.code, Times: 1})
		s := sender(t, srv)
		began := time.Now()
		expect(t, s.Send(t.Context(), message()), c.want)
		if n := len(srv.Messages()); n != 0 {
			t.Errorf("%d in stage %d: %d messages were taken", c.code, c.stage, n)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%d in stage %d took %s", c.code, c.stage, took)
		}
		if err := s.Send(t.Context(), message()); err != nil {
			t.Errorf("after %d in stage %d: %v", c.code, c.stage, err)
		}
	}
}

func TestSilenceEndsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		stage smtptest.Stage
		want  error
	}{
		"greeting":           {smtptest.Greeting, delivery.ErrUnreachable},
		"login":              {smtptest.Auth, delivery.ErrUnreachable},
		"MAIL":               {smtptest.Mail, delivery.ErrUnreachable},
		"RCPT":               {smtptest.Rcpt, delivery.ErrUnreachable},
		"after the last dot": {smtptest.Data, delivery.ErrUnknown},
	} {
		for how, security := range map[string]smtptest.Security{"starttls": smtptest.STARTTLS, "smtps": smtptest.Implicit} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				srv := start(t, smtptest.Config{Security: security, Username: "account-security", Password: thePassword})
				srv.Set(c.stage, smtptest.Fault{Hang: true})
				patience := 300 * time.Millisecond
				if c.stage == smtptest.Data {
					patience = 3 * time.Second // all before it has to be done by then, on a machine that is busy
				}
				began := time.Now()
				expect(t, sender(t, srv, login("account-security", thePassword), within(patience)).Send(t.Context(), message()), c.want)
				if took := time.Since(began); took < patience-50*time.Millisecond || took > 8*time.Second {
					t.Errorf("the timeout of %s took %s", patience, took)
				}

				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(patience-100*time.Millisecond, cancel)
				began = time.Now()
				err := sender(t, srv, login("account-security", thePassword), within(time.Minute)).Send(ctx, message())
				expect(t, err, c.want)
				if took := time.Since(began); took > 8*time.Second || !strings.Contains(err.Error(), "cancelled") {
					t.Errorf("cancelled, took %s: %v", took, err)
				}
			})
		}
	}
}

func TestConnectionLost(t *testing.T) {
	for name, c := range map[string]struct {
		stage smtptest.Stage
		want  error
		taken int
	}{
		"greeting":           {smtptest.Greeting, delivery.ErrUnreachable, 0},
		"MAIL":               {smtptest.Mail, delivery.ErrUnreachable, 0},
		"RCPT":               {smtptest.Rcpt, delivery.ErrUnreachable, 0},
		"after it was taken": {smtptest.Data, delivery.ErrUnknown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, smtptest.Config{Security: smtptest.STARTTLS})
			srv.Set(c.stage, smtptest.Fault{Reset: true})
			expect(t, sender(t, srv).Send(t.Context(), message()), c.want)
			if n := len(srv.Messages()); n != c.taken {
				t.Errorf("%d messages were taken, want %d", n, c.taken)
			}
		})
	}
}

func TestSlowAnswerIsAwaited(t *testing.T) {
	srv := start(t, smtptest.Config{Security: smtptest.STARTTLS})
	for _, stage := range []smtptest.Stage{smtptest.Greeting, smtptest.Mail, smtptest.Rcpt, smtptest.Data} {
		srv.Set(stage, smtptest.Fault{Delay: 100 * time.Millisecond})
	}
	began := time.Now()
	if err := sender(t, srv).Send(t.Context(), message()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("took %s", took)
	}
	if got, err := srv.Wait(t.Context(), 1); err != nil || len(got) != 1 || !got[0].Answered {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

func TestNobodyThere(t *testing.T) {
	srv := start(t, smtptest.Config{})
	s := sender(t, srv)
	srv.Close()
	expect(t, s.Send(t.Context(), message()), delivery.ErrUnreachable)

	noName, err := delivery.NewSMTP(delivery.SMTPConfig{Address: "mail.invalid", From: "a@example.com", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, noName.Send(t.Context(), message()), delivery.ErrUnreachable)
}

func TestGarbageInPlaceOfTheGreeting(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 400 Bad Request\r\n\r\n", "\x16\x03\x01\x00\x00", "999999 x\r\n", "220\r\n", "\r\n\r\n\r\n", "22 0\r\n",
		"220-" + theirAddress + "\r\n221 x\r\n",
	} {
		for _, security := range []smtptest.Security{smtptest.Plaintext, smtptest.STARTTLS, smtptest.Implicit} {
			srv := start(t, smtptest.Config{Security: security})
			srv.Set(smtptest.Greeting, smtptest.Fault{Raw: raw})
			expect(t, sender(t, srv, within(300*time.Millisecond)).Send(t.Context(), message()), delivery.ErrUnreachable)
		}
	}
}

// script is a server that answers each command from a list. It hangs up at an empty answer and is silent at a "-".
// "." is the final dot, and "body" is the first line of the message.
func script(t *testing.T, answers map[string]string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "220 x\r\n")
		inMessage := false
		for lines := bufio.NewScanner(c); lines.Scan(); {
			said := lines.Text()
			command, _, _ := strings.Cut(strings.ToUpper(said), " ")
			if inMessage && said != "." {
				if _, known := answers["body"]; known {
					return
				}
				continue
			}
			answer, known := answers[command]
			switch {
			case !known:
				answer = "250 ok\r\n"
			case answer == "":
				return
			case answer == "-":
				continue
			}
			inMessage = strings.HasPrefix(answer, "354") && command == "DATA"
			_, _ = io.WriteString(c, answer)
		}
	}()
	return "smtp+plaintext://" + l.Addr().String()
}

func TestTheLastDotDividesUnreachableFromUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		want    error
	}{
		"closed at DATA":              {map[string]string{"DATA": ""}, delivery.ErrUnreachable},
		"DATA refused":                {map[string]string{"DATA": "554 no valid recipients <" + theirAddress + ">\r\n"}, delivery.ErrRefused},
		"DATA put off":                {map[string]string{"DATA": "451 later " + theirAddress + "\r\n"}, delivery.ErrTryLater},
		"closed after the dot":        {map[string]string{"DATA": "354 go\r\n", ".": ""}, delivery.ErrUnknown},
		"garbage after the dot":       {map[string]string{"DATA": "354 go\r\n", ".": theirAddress + "\r\n"}, delivery.ErrUnknown},
		"odd code after the dot":      {map[string]string{"DATA": "354 go\r\n", ".": "354 " + theirAddress + "\r\n"}, delivery.ErrUnknown},
		"refused after the dot":       {map[string]string{"DATA": "354 go\r\n", ".": "550 " + theirAddress + "\r\n"}, delivery.ErrRefused},
		"put off after the dot":       {map[string]string{"DATA": "354 go\r\n", ".": "452 " + theirAddress + "\r\n"}, delivery.ErrTryLater},
		"taken":                       {map[string]string{"DATA": "354 go\r\n", ".": "250 ok\r\n"}, nil},
		"taken with another 2yz":      {map[string]string{"DATA": "354 go\r\n", ".": "251 will forward\r\n"}, nil},
		"taken, then QUIT unheard":    {map[string]string{"DATA": "354 go\r\n", "QUIT": ""}, nil},
		"taken, then QUIT unanswered": {map[string]string{"DATA": "354 go\r\n", "QUIT": "-"}, nil},
		"DATA unanswered":             {map[string]string{"DATA": "-"}, delivery.ErrUnreachable},
		"closed within the message":   {map[string]string{"DATA": "354 go\r\n", "body": ""}, delivery.ErrUnreachable},
		"taken, then QUIT refused":    {map[string]string{"DATA": "354 go\r\n", "QUIT": "554 no\r\n"}, nil},
		"endless answer to EHLO":      {map[string]string{"EHLO": strings.Repeat("250-x\r\n", 200<<10)}, delivery.ErrUnreachable},
		"endless answer to the dot":   {map[string]string{"DATA": "354 go\r\n", ".": strings.Repeat("250-x\r\n", 200<<10)}, delivery.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			patience := time.Minute
			if c.answers["DATA"] == "-" {
				patience = 1500 * time.Millisecond
			}
			s, err := delivery.NewSMTP(delivery.SMTPConfig{Address: script(t, c.answers), From: "a@example.com", Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			m := message()
			if _, known := c.answers["body"]; known {
				m.Text = strings.Repeat("more than all the buffers on the way take\r\n", 100<<10)
			}
			began := time.Now()
			err = s.Send(t.Context(), m)
			expect(t, err, c.want)
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("took %s", took)
			}
			if strings.HasPrefix(name, "endless") && !strings.Contains(err.Error(), "do not end") {
				t.Error(err)
			}
		})
	}
}

func TestNothingIsSentAfterItsEnd(t *testing.T) {
	srv := start(t, smtptest.Config{})
	now := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	s := sender(t, srv, func(c *delivery.SMTPConfig) { c.Now = func() time.Time { return now } })
	m := message()
	m.Ends = now
	err := s.Send(t.Context(), m)
	expect(t, err, delivery.ErrUnreachable)
	if !strings.Contains(err.Error(), "has ended") || srv.Wire() != "" || len(srv.Messages()) != 0 {
		t.Fatal("it called the server")
	}
	m.Ends = now.Add(time.Second)
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := only(t, srv).Header.Get("Date"); got != "Mon, 03 Feb 2031 04:05:06 +0000" {
		t.Error("Date:", got)
	}
	// The end of the message also ends the wait.
	srv.Set(smtptest.Greeting, smtptest.Fault{Hang: true})
	m.Ends = now.Add(200 * time.Millisecond)
	began := time.Now()
	expect(t, s.Send(t.Context(), m), delivery.ErrUnreachable)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestHeaders(t *testing.T) {
	srv := start(t, smtptest.Config{})
	s := sender(t, srv)
	m := message()
	m.Language = "ja"
	m.Subject = "Example ポータルの確認コードは " + theCode + " です（長い件名でも一行で読めること）"
	m.Text = "確認コード: " + theCode + "\r\n心当たりがなければ、無視してください。\r\n.\r\n..\r\n"
	m.HTML = "<!doctype html><html lang=ja><body>確認コード: <b>" + theCode + "</b></body></html>"
	for range 2 {
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	other := m
	other.ID = "acct-1/8"
	if err := s.Send(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	got := srv.Messages()
	if got[0].MessageID != got[1].MessageID || got[0].MessageID == got[2].MessageID {
		t.Errorf("Message-IDs %q", []string{got[0].MessageID, got[1].MessageID, got[2].MessageID})
	}
	if !regexp.MustCompile(`^<[0-9a-f]{24}@example\.com>$`).MatchString(got[0].MessageID) {
		t.Error("Message-ID", got[0].MessageID)
	}
	first := got[0]
	for name, want := range map[string]string{
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Content-Language": "ja", "Mime-Version": "1.0",
		"To": "<" + theirAddress + ">",
	} {
		if have := first.Header.Get(name); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
	allowed := []string{"Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language", "Mime-Version", "To", "From", "Subject", "Date", "Message-Id", "Content-Type"}
	for name := range first.Header {
		if !contains(allowed, name) {
			t.Errorf("unexpected header %s: %q", name, first.Header[name])
		}
	}
	if sent, err := first.Header.Date(); err != nil || time.Since(sent).Abs() > time.Minute {
		t.Errorf("Date %v %v", sent, err)
	}
	if !strings.HasPrefix(first.Header.Get("Content-Type"), "multipart/alternative") {
		t.Error(first.Header.Get("Content-Type"))
	}
	if first.Subject != m.Subject || first.Text != m.Text || first.HTML != m.HTML {
		t.Errorf("subject %q\ntext %q\nHTML %q", first.Subject, first.Text, first.HTML)
	}
	if first.Code() != theCode {
		t.Error(first.Code())
	}
	from, err := (&mail.AddressParser{WordDecoder: new(mime.WordDecoder)}).Parse(first.Header.Get("From"))
	if err != nil || from.Name != "Example アカウント管理チーム" || from.Address != "account-security-noreply@example.com" {
		t.Errorf("From %v %v", from, err)
	}
	for line := range strings.SplitSeq(string(first.Raw), "\r\n") {
		if len(line) > 200 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
			t.Errorf("raw line %q", line)
		}
	}
	if s.From() != japaneseFrom {
		t.Error("From():", s.From())
	}
}

func contains(all []string, one string) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

func TestTextOnly(t *testing.T) {
	srv := start(t, smtptest.Config{})
	m := message()
	m.HTML = ""
	if err := sender(t, srv).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := only(t, srv); got.Text != m.Text || got.HTML != "" || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%s %q %q", got.Header.Get("Content-Type"), got.Text, got.HTML)
	}
}

func TestOldCarrierAddressesAreQuoted(t *testing.T) {
	for to, want := range map[string]string{
		"a..b@docomo.ne.jp":      `<"a..b"@docomo.ne.jp>`,
		"a.@docomo.ne.jp":        `<"a."@docomo.ne.jp>`,
		".a@ezweb.ne.jp":         `<".a"@ezweb.ne.jp>`,
		`"a..b"@docomo.ne.jp`:    `<"a..b"@docomo.ne.jp>`,
		`"a.b"@docomo.ne.jp`:     `<a.b@docomo.ne.jp>`,
		"a.b+tag/x=y@example.jp": `<a.b+tag/x=y@example.jp>`,
	} {
		srv := start(t, smtptest.Config{})
		m := message()
		m.To = to
		if err := sender(t, srv).Send(t.Context(), m); err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		if !strings.Contains(srv.Wire(), "\r\nRCPT TO:"+want+"\r\n") {
			t.Errorf("%s: %q", to, srv.Wire())
		}
		if strings.Contains(srv.Wire(), "SMTPUTF8") {
			t.Error("it asked for SMTPUTF8, which the next server may not know")
		}
		got := only(t, srv)
		if header := got.Header.Get("To"); header != want {
			t.Errorf("%s: To: %s", to, header)
		}
		unquoted := strings.ReplaceAll(to, `"`, "")
		if len(got.Rcpts) != 1 || got.Rcpts[0] != unquoted {
			t.Errorf("%s: the server understood %q", to, got.Rcpts)
		}
	}
}

func TestHostileRecipientsNeverReachTheServer(t *testing.T) {
	srv := start(t, smtptest.Config{})
	s := sender(t, srv)
	for _, to := range []string{
		"", "@", "a@", "@b.c", "a", "a b@c.de", " a@b.c", "a@b.c ", "a@b.c\r\nBcc: x@y.z", "a@b.c\r\nRCPT TO:<x@y.z>", "a@b.c\n", "a\r@b.c", "a\x00@b.c",
		"a@b.c%0d%0aRCPT TO:<x@y.z>", "a@b.c%0d%0aRCPT", `"a> ORCPT=x"@b.c`, "a@b.c,x@y.z", "a@b.c;x@y.z", "<a@b.c> <x@y.z>", "<a@b.c>", "Ann <a@b.c>",
		"evil@x.com@app.example", `"a@b"@c.de`, "a@[127.0.0.1]", "a@b..c", "a@b.c.", "a@-b.c", "a(x)@b.c", "a@b.c(x)", "a@b.c SIZE=1", "a>@b.c", `a\@b.c`, `""@b.c`, `"@b.c`,
		"a@b\u3000.c", "mıke@example.org", "a@bücher.example", "a\u2028@b.c", "a\x7f@b.c", "a:b@c.de", "a,b@c.de", "a;b@c.de", strings.Repeat("a", 60) + "@" + strings.Repeat("b.", 98) + "c",
		strings.Repeat("a", 65) + "@b.c", "a@" + strings.Repeat("b.", 130) + "c",
	} {
		m := message()
		m.To = to
		err := s.Send(t.Context(), m)
		if !errors.Is(err, delivery.ErrRefused) {
			t.Errorf("%q: %v", to, err)
		}
		if err != nil && len(to) > 1 && strings.Contains(err.Error(), to) {
			t.Errorf("%q is in the error: %v", to, err)
		}
	}
	m := message()
	m.Channel = "sms"
	expect(t, s.Send(t.Context(), m), delivery.ErrRefused)
	m = message()
	m.ID = ""
	expect(t, s.Send(t.Context(), m), delivery.ErrRefused)
	if srv.Wire() != "" {
		t.Errorf("the server heard %q", srv.Wire())
	}
}

func TestTextFromPeopleIsNoHeader(t *testing.T) {
	srv := start(t, smtptest.Config{})
	s := sender(t, srv)
	for _, evil := range []string{"x\r\nBcc: y@z.example", "x\nBcc: y@z.example", "x\rBcc: y@z.example", "x\r\n\r\n<b>body</b>", "日本\r\nBcc: y@z.example", "x\u2028Bcc: y@z.example", "=?utf-8?q?x=0D=0ABcc:_y@z.example?="} {
		srv.Forget()
		m := message()
		m.Subject, m.Language, m.ID = evil, evil, evil
		m.Text = "hello\r\n.\r\nMAIL FROM:<x@y.z>\r\nRCPT TO:<x@y.z>\r\n"
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := only(t, srv)
		if got.Header.Get("Bcc") != "" || strings.Contains(string(got.Raw), "\nBcc") {
			t.Errorf("%q made a header:\n%s", evil, got.Raw)
		}
		if !strings.HasPrefix(evil, "=?") && strings.ContainsAny(got.Subject, "\r\n\u2028") {
			t.Errorf("%q is a subject of several lines: %q", evil, got.Subject)
		}
		if lang := got.Header.Get("Content-Language"); lang != "" && !strings.HasPrefix(evil, "=?") {
			t.Errorf("Content-Language: %q", lang)
		}
		if got.Text != m.Text || len(got.Rcpts) != 1 {
			t.Errorf("text %q to %q", got.Text, got.Rcpts)
		}
	}
}

func TestConfigErrorsNameValueAndRemedy(t *testing.T) {
	for address, remedy := range map[string]string{
		"":                                       "smtps://host:465",
		"smtp+plaintext://mail.example.com:25":   "smtps://mail.example.com:465",
		"smtp+plaintext://10.0.0.1":              "10.0.0.1:587",
		"smtp+plaintext://[2001:db8::1]:25":      "[2001:db8::1]:587",
		"smtp+plaintext://127.0.0.1.example.com": "without TLS only",
		"http://mail.example.com":                `unknown scheme "http"`,
		"mail.example.com:0":                     "host:587",
		"mail.example.com:99999":                 "host:587",
		"mail.example.com:":                      "host:587",
		"mail.example.com:25/x":                  "host:587",
		"mail example.com":                       "host:587",
		"smtps://":                               "host:465",
		"::1":                                    "",
		"smtps://u:" + thePassword + "@h:465":    "lines of their own",
	} {
		_, err := delivery.NewSMTP(delivery.SMTPConfig{Address: address, From: "a@example.com"})
		if address == "::1" { // unambiguous enough
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), remedy) || !strings.Contains(err.Error(), "address") {
			t.Errorf("%q: %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), thePassword) {
			t.Errorf("%q: the error tells the password: %v", address, err)
		}
	}
	for _, address := range []string{"mail.example.com", "mail.example.com:587", "smtp://mail.example.com", "SMTPS://mail.example.com", "smtps://mail.example.com:465", "smtp+plaintext://localhost", "smtp+plaintext://127.3.2.1:25", "smtp+plaintext://[::1]:1025", "smtp+plaintext://[::1]", "[2001:db8::1]:587"} {
		if _, err := delivery.NewSMTP(delivery.SMTPConfig{Address: address, From: "a@example.com"}); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, from := range []string{"", "Example", "a@b.c, d@e.f", "a@b.c\r\nBcc: x@y.z", "=?utf-8?q?a=0D=0Ab?= <a@b.c>", "a@[127.0.0.1]", "a@bücher.example", `"a b"@example.com`} {
		_, err := delivery.NewSMTP(delivery.SMTPConfig{Address: "mail.example.com", From: from})
		if err == nil || !strings.Contains(err.Error(), "noreply@example.com") {
			t.Errorf("from %q: %v", from, err)
		}
	}
	_, err := delivery.NewSMTP(delivery.SMTPConfig{Address: "ftp://x", Username: "u", From: "nobody", HELO: "a b", Timeout: -1})
	for _, all := range []string{"address", "from", "username and password", "helo", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), all) {
			t.Errorf("%s is missing in: %v", all, err)
		}
	}
}
