package smtptest

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"
	"time"
)

// Message is one message that the server took. It is read with the standard library only, so that it does not share
// the mistakes of what wrote it.
type Message struct {
	At    time.Time
	HELO  string
	TLS   bool
	From  string
	Rcpts []string
	// Answered is false when the client never heard that the message was taken.
	Answered bool
	Raw      []byte
	Header   mail.Header
	// Subject is decoded; Text and HTML are the decoded parts.
	Subject, Text, HTML string
	MessageID           string
}

var (
	sixDigits = regexp.MustCompile(`(?:^|\D)(\d{6})(?:\D|$)`)
	link      = regexp.MustCompile(`https?://\S+`)
)

// Code is the first group of exactly six digits in the text; empty if there is none. What a link holds is no code.
func (m Message) Code() string {
	if found := sixDigits.FindStringSubmatch(link.ReplaceAllString(m.Text, "")); found != nil {
		return found[1]
	}
	return ""
}

// read takes a message apart, as far as it can.
func read(raw []byte) Message {
	m := Message{Raw: raw}
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return m
	}
	m.Header = parsed.Header
	m.MessageID = parsed.Header.Get("Message-Id")
	m.Subject, _ = new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	m.part(textproto.MIMEHeader(parsed.Header), parsed.Body)
	return m
}

func (m *Message) part(h textproto.MIMEHeader, body io.Reader) {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return
			}
			m.part(p.Header, p)
		}
	}
	decoded, _ := io.ReadAll(decode(h.Get("Content-Transfer-Encoding"), body))
	switch kind {
	case "text/plain":
		m.Text += string(decoded)
	case "text/html":
		m.HTML += string(decoded)
	}
}

func decode(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	}
	return r
}
