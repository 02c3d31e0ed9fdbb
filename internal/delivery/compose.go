package delivery

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/contactgate/contactgate/pages"
	"github.com/contactgate/contactgate/policy"
)

// Texts are the words of the messages. pages.Renderer has them.
type Texts interface {
	CodeMail(lang string, m pages.CodeMail) (subject, text, html string, err error)
	NoticeMail(lang string, m pages.NoticeMail) (subject, text, html string, err error)
	CodeText(lang string, m pages.CodeText) (string, error)
	NoticeText(lang string, m pages.NoticeText) (string, error)
	CodeCall(lang string, m pages.CodeCall) (greeting, text string, err error)
	StoppedMail(m pages.StoppedMail) (subject, text string, err error)
	HelpMail(m pages.HelpMail) (subject, text string, err error)
}

// Letter is a row that is to be sent, in the words of the domain.
type Letter struct {
	// ID becomes Message.ID.
	ID string
	// Kind is "code" or "notice"; or "stopped" and "help", to the people who run the site.
	Kind string
	// Channel is "email", "sms" or "voice".
	Channel string
	// To is the whole address or number. Language is the reader's, not that of the page.
	To, Language string
	// Code is for a code; in the text of a notice it is what is typed at Page to say "this was not me". Host is the site that asked, Browser the family of the browser that asked, if known.
	Code, Host, Browser, Page string
	// ContactKind is for a notice: what was added, "email" or "phone".
	ContactKind string
	// At is when somebody asked for the code, or changed the contacts.
	At time.Time
	// Ends is when the code ends, or the notice is given up.
	Ends time.Time
	// HoldUntil is for a notice: from when the new contact counts. Zero: at once.
	HoldUntil time.Time
	// Adding is for a code: somebody typed this address, it was not on file.
	Adding bool
	// Link is for the mail of a notice: where its reader says "this was not me", until LinkEnds. Empty: they may not.
	Link     string
	LinkEnds time.Time
	// Reference, Realm, User and By, which is masked, are for the people who run the site.
	Reference, Realm, User, By string
	// Help is what somebody who is stuck writes to them.
	Help policy.HelpRequest
}

// Composer turns rows into messages.
type Composer struct{ texts Texts }

// NewComposer takes the words from texts.
func NewComposer(texts Texts) *Composer { return &Composer{texts} }

// Compose makes the message of a row. The same row gives the same message, at every attempt and on every node.
func (c *Composer) Compose(l Letter) (Message, error) {
	m := Message{ID: l.ID, Channel: l.Channel, To: l.To, Language: l.Language, Ends: l.Ends}
	var err error
	switch l.Kind {
	case "code":
		m.Code = l.Code
		err = c.wordCode(&m, l)
	case "notice":
		err = c.wordNotice(&m, l)
	case "stopped":
		m.Subject, m.Text, err = c.texts.StoppedMail(pages.StoppedMail{
			Reference: l.Reference, Realm: l.Realm, User: l.User, By: l.By, At: l.At, Host: l.Host,
		})
	case "help":
		m.Subject, m.Text, err = c.texts.HelpMail(pages.HelpMail{
			Reference: l.Reference, Realm: l.Realm, User: l.User, Standing: l.Help.Standing, At: l.At, Host: l.Host,
			Problem: l.Help.Problem, Detail: l.Help.Detail, Reach: l.Help.Reach,
		})
	default:
		return Message{}, fmt.Errorf("compose a message: unknown kind %q", l.Kind)
	}
	if err != nil {
		return Message{}, fmt.Errorf("compose a %s: %w", l.Kind, l.withoutSecrets(err))
	}
	return m, nil
}

func (c *Composer) wordCode(m *Message, l Letter) (err error) {
	switch l.Channel {
	case "email":
		m.Subject, m.Text, m.HTML, err = c.texts.CodeMail(l.Language, pages.CodeMail{
			Code: l.Code, Minutes: l.minutes(), Host: l.Host, Browser: l.Browser, At: l.At, Adding: l.Adding,
		})
	case "sms":
		m.Text, err = c.texts.CodeText(l.Language, pages.CodeText{Code: l.Code, Minutes: l.minutes(), Host: l.Host})
	case "voice":
		m.Greeting, m.Text, err = c.texts.CodeCall(l.Language, pages.CodeCall{Code: l.Code, Minutes: l.minutes()})
	default:
		err = errNoWords(l.Channel)
	}
	return err
}

// wordNotice has no words for a call: nobody is rung up about a change.
func (c *Composer) wordNotice(m *Message, l Letter) (err error) {
	switch l.Channel {
	case "email":
		m.Subject, m.Text, m.HTML, err = c.texts.NoticeMail(l.Language, pages.NoticeMail{
			Kind: l.ContactKind, At: l.At, Host: l.Host, HoldUntil: l.HoldUntil, Link: l.Link, LinkEnds: l.LinkEnds,
		})
	case "sms":
		m.Text, err = c.texts.NoticeText(l.Language, pages.NoticeText{
			Kind: l.ContactKind, At: l.At, Host: l.Host, Code: l.Code, Page: l.Page,
		})
	default:
		err = errNoWords(l.Channel)
	}
	return err
}

func errNoWords(channel string) error { return fmt.Errorf("no words for the channel %q", channel) }

// minutes is how long the code lives, counted from the asking and not from the sending: a row that waited must read
// the same at its next attempt.
func (l Letter) minutes() int {
	return max(1, int(l.Ends.Sub(l.At).Round(time.Minute)/time.Minute))
}

// withoutSecrets drops the words of an error that repeats what it was rendering. Operators bring their own templates.
func (l Letter) withoutSecrets(err error) error {
	for _, secret := range []string{l.Code, l.To, l.Link, l.Help.Detail, l.Help.Reach} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			return errors.New("its template failed")
		}
	}
	return err
}
