package pages

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
)

// mailTemplates are the messages, each as text and as HTML.
type mailTemplates struct {
	text map[string]*texttemplate.Template
	html map[string]*htmltemplate.Template
}

var (
	mailNames = []string{"code", "notice"}
	// plainMails are text only: the people who run the site get them.
	plainMails = []string{"stopped", "help"}
)

func parseMails(src source) (mailTemplates, error) {
	m := mailTemplates{map[string]*texttemplate.Template{}, map[string]*htmltemplate.Template{}}
	layout, err := src.read("mail/layout.html")
	if err != nil {
		return m, err
	}
	base, err := htmltemplate.New("layout").Option("missingkey=error").Parse(string(layout))
	if err != nil {
		return m, fmt.Errorf("mail/layout.html: %w", err)
	}
	for _, name := range append(slices.Clone(mailNames), plainMails...) {
		body, err := src.read("mail/" + name + ".txt")
		if err != nil {
			return m, err
		}
		if m.text[name], err = texttemplate.New(name).Option("missingkey=error").Parse(string(body)); err != nil {
			return m, fmt.Errorf("mail/%s.txt: %w", name, err)
		}
	}
	for _, name := range mailNames {
		body, err := src.read("mail/" + name + ".html")
		if err != nil {
			return m, err
		}
		if m.html[name], err = htmltemplate.Must(base.Clone()).Parse(string(body)); err != nil {
			return m, fmt.Errorf("mail/%s.html: %w", name, err)
		}
	}
	return m, nil
}

// letter is what the template of a mail sees.
type letter struct {
	*page
	// Mail is the CodeMail, NoticeMail and so on.
	Mail any
	// Subject is the subject, for the title of the HTML part.
	Subject string
}

// CodeSubject is the subject of the mail with a code, for the page that says what to look for.
func (r *Renderer) CodeSubject(lang string) (string, error) {
	c := r.catalogFor(lang)
	if s := r.subjects[c.tag.String()]; s != "" {
		return tame(s), nil
	}
	return c.plain("mail.code.subject", "Brand", r.brand.Name)
}

// CodeMail writes the mail that carries a code. There is no link in it, nothing remote, and no name that a stranger
// could have chosen.
func (r *Renderer) CodeMail(lang string, m CodeMail) (subject, text, html string, err error) {
	if subject, err = r.CodeSubject(lang); err != nil {
		return "", "", "", err
	}
	m.Code, m.Host, m.Browser = tame(m.Code), tame(m.Host), tame(m.Browser)
	return r.write("code", lang, subject, m, m.At)
}

// noticeWords are what a notice tells of, as a mail and as a text message.
var noticeWords = map[string]struct{ mail, text string }{
	"email":                  {"mail.notice.email", "text.notice.email"},
	"phone":                  {"mail.notice.phone", "text.notice.phone"},
	"authenticator_enrolled": {"mail.notice.app_enrolled", "text.notice.app_enrolled"},
	"authenticator_removed":  {"mail.notice.app_removed", "text.notice.app_removed"},
	"authenticator_codes":    {"mail.notice.app_codes", "text.notice.app_codes"},
	"email_undone":           {"mail.notice.undone_email", "text.notice.undone_email"},
	"phone_undone":           {"mail.notice.undone_phone", "text.notice.undone_phone"},
	"email_removed":          {"mail.notice.email_removed", "text.notice.email_removed"},
	"phone_removed":          {"mail.notice.phone_removed", "text.notice.phone_removed"},
	"email_primary":          {"mail.notice.email_primary", "text.notice.email_primary"},
	"phone_primary":          {"mail.notice.phone_primary", "text.notice.phone_primary"},
	"browsers_revoked":       {"mail.notice.browsers_revoked", "text.notice.browsers_revoked"},
}

// Adds tells that the notice is about a contact that was added, which counts from some moment on.
func (m NoticeMail) Adds() bool { return !strings.Contains(m.Kind, "_") }

// Told is what a notice of a kind tells; of a kind that is not known it tells that a contact was added.
func (p *page) Told(kind string) (string, error) {
	words, ok := noticeWords[kind]
	if !ok {
		words = noticeWords["email"]
	}
	return p.T(words.mail, "Brand", p.Brand.Name)
}

// NoticeMail writes the mail that tells a contact on file of a new one, which it does not name, or of another change. Its
// link is the only one in our mails, and opens a page that asks.
func (r *Renderer) NoticeMail(lang string, m NoticeMail) (subject, text, html string, err error) {
	id := "mail.notice.subject"
	if !m.Adds() {
		id = "mail.notice.app_subject"
	}
	if subject, err = r.catalogFor(lang).plain(id, "Brand", r.brand.Name); err != nil {
		return "", "", "", err
	}
	m.Host, m.Link = tame(m.Host), tame(m.Link)
	return r.write("notice", lang, subject, m, m.At)
}

// StoppedMail writes the mail to the people who run the site, in the language that they put first. It is plain text: what is
// in it they may forward, search and paste.
func (r *Renderer) StoppedMail(m StoppedMail) (subject, text string, err error) {
	m.Realm, m.User, m.By, m.Host, m.Reference = tame(m.Realm), tame(m.User), tame(m.By), tame(m.Host), tame(m.Reference)
	if subject, err = r.catalogs[0].plain("mail.stopped.subject", "Brand", r.brand.Name, "ID", m.Reference); err != nil {
		return "", "", err
	}
	text, err = r.writePlain("stopped", m, m.At)
	return subject, text, err
}

// HelpMail writes the mail of somebody who is stuck, in the same way.
func (r *Renderer) HelpMail(m HelpMail) (subject, text string, err error) {
	m.Realm, m.User, m.Standing, m.Host, m.Reach, m.Reference = tame(m.Realm), tame(m.User), tame(m.Standing), tame(m.Host), tame(m.Reach), tame(m.Reference)
	if subject, err = r.catalogs[0].plain("mail.help.subject", "Brand", r.brand.Name, "ID", m.Reference); err != nil {
		return "", "", err
	}
	text, err = r.writePlain("help", m, m.At)
	return subject, text, err
}

// Lines are what somebody wrote, line by line.
func (m HelpMail) Lines() []string { return tameLines(m.Detail) }

func (r *Renderer) writePlain(name string, m any, at time.Time) (string, error) {
	var text bytes.Buffer
	if err := r.mails.text[name].Execute(&text, letter{r.page(Frame{}, nil, at), m, ""}); err != nil {
		return "", fmt.Errorf("writing the mail %q: %w", name, err)
	}
	return strings.TrimSpace(text.String()) + "\n", nil
}

func (r *Renderer) write(name, lang, subject string, m any, at time.Time) (string, string, string, error) {
	l := letter{r.page(Frame{Language: lang}, nil, at), m, subject}
	var text, html bytes.Buffer
	if err := r.mails.text[name].Execute(&text, l); err != nil {
		return "", "", "", fmt.Errorf("writing the mail %q: %w", name, err)
	}
	if err := r.mails.html[name].Execute(&html, l); err != nil {
		return "", "", "", fmt.Errorf("writing the mail %q: %w", name, err)
	}
	return subject, strings.TrimSpace(text.String()) + "\n", html.String(), nil
}
