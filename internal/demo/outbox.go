package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/contactgate/contactgate/internal/delivery"
)

// outbox shows what the gate has sent, as it looks in a mailbox and on a phone, and as it sounds.
type outbox struct{ mail func() []delivery.Received }

var outboxPage = page("outbox.html")

type mailbox struct {
	Name string
	Here string
	// Newest is the key of the last message: the page asks whether it still is.
	Newest string
	Mails  []letter
	Open   *letter
	Text   bool // the plain text of the open mail
}

type letter struct {
	delivery.Received
	// Key names the message in an address; the message's own ID is a name in the store.
	Key  string
	Open bool
}

// Clock is when it came, to the second: two messages in a minute are common here.
func (l letter) Clock() string { return l.At.Local().Format("15:04:05") }

// Kind is what sort of message it is.
func (l letter) Kind() string {
	switch l.Message.Channel {
	case "sms":
		return "Text"
	case "voice":
		return "Call"
	}
	return "Mail"
}

// Title is what a list of messages shows of it.
func (l letter) Title() string {
	if l.Message.Subject != "" {
		return l.Message.Subject
	}
	line, _, _ := strings.Cut(l.Message.Text, "\n")
	return line
}

// Lines are what is spoken; a pause follows each.
func (l letter) Lines() []string { return strings.Split(l.Message.Text, "\n") }

func (o *outbox) letters() []letter {
	mail := o.mail()
	letters := make([]letter, len(mail))
	for i, m := range mail {
		sum := sha256.Sum256([]byte(m.Message.ID))
		letters[i] = letter{Received: m, Key: hex.EncodeToString(sum[:6])}
	}
	return letters
}

// newest shows the last message, and goes on to the next one when it comes.
func (o *outbox) newest(w http.ResponseWriter, r *http.Request) {
	o.show(w, r, o.letters(), 0)
}

func (o *outbox) one(w http.ResponseWriter, r *http.Request) {
	letters := o.letters()
	at := position(letters, r.PathValue("mail"))
	if at < 0 {
		http.NotFound(w, r)
		return
	}
	o.show(w, r, letters, at)
}

func (o *outbox) show(w http.ResponseWriter, r *http.Request, letters []letter, at int) {
	view := mailbox{Name: "Outbox", Here: "outbox", Newest: newest(letters), Mails: letters, Text: r.URL.Query().Has("text")}
	if len(letters) > 0 {
		letters[at].Open = true
		view.Open = &letters[at]
		view.Text = view.Text || view.Open.Message.HTML == ""
	}
	show(w, http.StatusOK, outboxPage, view)
}

// last lets the page see whether something new has come.
func (o *outbox) last(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(newest(o.letters())))
}

func newest(letters []letter) string {
	if len(letters) == 0 {
		return ""
	}
	return letters[0].Key
}

// look is the HTML of a mail, alone. It may do nothing but look: no script, no form, nothing loaded.
func (o *outbox) look(w http.ResponseWriter, r *http.Request) {
	letters := o.letters()
	at := position(letters, r.PathValue("mail"))
	if at < 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(letters[at].Message.HTML))
}

func position(letters []letter, key string) int {
	for i := range letters {
		if letters[i].Key == key {
			return i
		}
	}
	return -1
}
