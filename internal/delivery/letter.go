package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/mail"
	"strings"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// letter is one mail ready for the wire: the envelope's two paths and the message.
type letter struct {
	from, to string
	raw      []byte
}

// write makes the letter of a message. All of it is made before the server is called, so that nothing of ours can go
// wrong in the middle of DATA.
func (s *SMTP) write(m Message) (letter, error) {
	refuse := func(why string) (letter, error) {
		return letter{}, failure{kind: ErrRefused, stage: atStart, cause: why}
	}
	if m.Channel != "email" {
		return refuse("not an e-mail message")
	}
	if m.ID == "" {
		return refuse("the message has no ID")
	}
	to, err := recipient(m.To)
	if err != nil {
		return refuse(err.Error())
	}
	// Base64 is for the subject, where it takes half the room of quoted-printable in Japanese. The parts stay legible.
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingB64))
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(to)
	msg.Subject(oneLine(m.Subject))
	msg.SetDateWithValue(s.cfg.Now())
	msg.SetMessageIDWithValue(s.messageID(m.ID))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: answer with no vacation note
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same for Exchange
	if m.Language != "" && isPrintable(m.Language) {
		msg.SetGenHeader(gomail.HeaderContentLang, m.Language)
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text, gomail.WithPartEncoding(gomail.EncodingQP))
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML, gomail.WithPartEncoding(gomail.EncodingQP))
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return refuse("the message could not be written")
	}
	return letter{from: path(s.from), to: path(to), raw: raw.Bytes()}, nil
}

// messageID is the same for every attempt at a message, so that a mailbox can drop the second copy. It is a hash
// because the ID is a name in our store.
func (s *SMTP) messageID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:12]) + "@" + s.domain
}

// path is an address as MAIL and RCPT want it. A local part that is no dot-atom is quoted: <"a..b"@docomo.ne.jp>.
func path(a *mail.Address) string {
	return (&mail.Address{Address: a.Address}).String()
}

type badAddress string

func (b badAddress) Error() string { return string(b) }

// recipient takes one bare address apart once more before it stands in a command: verify has parsed it, but what goes
// wrong here sends somebody's code to somebody else. The dots of old Japanese carrier addresses (a..b@docomo.ne.jp,
// a.@docomo.ne.jp) may stand anywhere, with or without the quotes that they need on the wire.
func recipient(to string) (*mail.Address, error) {
	at := strings.LastIndexByte(to, '@')
	if at < 0 || len(to) > 254 {
		return nil, badAddress("the recipient is not an address")
	}
	local, domain := to[:at], to[at+1:]
	if len(local) > 2 && local[0] == '"' && local[len(local)-1] == '"' {
		local = local[1 : len(local)-1]
	}
	if local == "" || len(local) > 64 || strings.ContainsFunc(local, func(r rune) bool { return !isLocalPart(r) }) {
		return nil, badAddress("the recipient is not one plain address")
	}
	if !isDomain(domain) {
		return nil, badAddress("the recipient's domain is not a host name")
	}
	return &mail.Address{Address: local + "@" + domain}, nil
}

// isLocalPart knows RFC 5322's atext and the dot.
func isLocalPart(r rune) bool {
	return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r))
}

// isDomain knows names of letters, digits and hyphens: no IP literal, no Unicode, no final dot.
func isDomain(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		}) {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// oneLine keeps a header on its line, also for readers that decode it and then look for lines.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, s)
}
