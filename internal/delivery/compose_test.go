package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/internal/delivery"
	"github.com/contactgate/contactgate/internal/delivery/smtptest"
	"github.com/contactgate/contactgate/pages"
)

var (
	_ delivery.Texts = words{}
	_ delivery.Texts = (*pages.Renderer)(nil)
)

// words repeat what they were asked for.
type words struct{ err error }

func (w words) CodeMail(lang string, m pages.CodeMail) (subject, text, html string, err error) {
	return "subject " + lang, fmt.Sprintf("%+v", m), "<p>", w.err
}

func (w words) NoticeMail(lang string, m pages.NoticeMail) (subject, text, html string, err error) {
	return "notice " + lang, fmt.Sprintf("%+v", m), "<p>", w.err
}

func (w words) CodeText(lang string, m pages.CodeText) (string, error) {
	return fmt.Sprintf("%s %+v", lang, m), w.err
}

func (w words) NoticeText(lang string, m pages.NoticeText) (string, error) {
	return fmt.Sprintf("%s %+v", lang, m), w.err
}

func (w words) CodeCall(lang string, m pages.CodeCall) (greeting, text string, err error) {
	return "hello " + lang, fmt.Sprintf("%+v", m), w.err
}

func (w words) StoppedMail(m pages.StoppedMail) (subject, text string, err error) {
	return "stopped", fmt.Sprintf("%+v", m), w.err
}

func (w words) HelpMail(m pages.HelpMail) (subject, text string, err error) {
	return "help", fmt.Sprintf("%+v", m), w.err
}

func letter(kind string) delivery.Letter {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	return delivery.Letter{
		ID: "acct-1/7", Kind: kind, Channel: "email", To: theirAddress, Language: "ja", Code: theCode, Host: "app.example.com",
		Browser: "Firefox", ContactKind: "phone", At: at, Ends: at.Add(10*time.Minute - 3*time.Millisecond), HoldUntil: at.Add(72 * time.Hour), Adding: true,
	}
}

func TestComposeCode(t *testing.T) {
	l := letter("code")
	m, err := delivery.NewComposer(words{}).Compose(l)
	if err != nil {
		t.Fatal(err)
	}
	want := delivery.Message{
		ID: l.ID, Channel: "email", To: theirAddress, Code: theCode, Language: "ja", Ends: l.Ends, Subject: "subject ja", HTML: "<p>",
		Text: fmt.Sprintf("%+v", pages.CodeMail{Code: theCode, Minutes: 10, Host: l.Host, Browser: "Firefox", At: l.At, Adding: true}),
	}
	if m != want {
		t.Errorf("got %+v\nwant %+v", m, want)
	}
}

func TestComposeNotice(t *testing.T) {
	l := letter("notice")
	l.Code = ""
	m, err := delivery.NewComposer(words{}).Compose(l)
	if err != nil {
		t.Fatal(err)
	}
	want := delivery.Message{
		ID: l.ID, Channel: "email", To: theirAddress, Language: "ja", Ends: l.Ends, Subject: "notice ja", HTML: "<p>",
		Text: fmt.Sprintf("%+v", pages.NoticeMail{Kind: "phone", At: l.At, Host: l.Host, HoldUntil: l.HoldUntil}),
	}
	if m != want {
		t.Errorf("got %+v\nwant %+v", m, want)
	}
}

func TestComposeTextsAndCalls(t *testing.T) {
	phone := func(kind, channel string) delivery.Letter {
		l := letter(kind)
		l.Channel, l.To, l.Page = channel, "+819012345678", "app.example.com/.contactgate/notice"
		return l
	}
	common := delivery.Message{ID: "acct-1/7", To: "+819012345678", Language: "ja", Ends: letter("code").Ends}
	for _, c := range []struct {
		letter delivery.Letter
		want   func(*delivery.Message)
	}{
		{phone("code", "sms"), func(m *delivery.Message) {
			m.Channel, m.Code = "sms", theCode
			m.Text = fmt.Sprintf("ja %+v", pages.CodeText{Code: theCode, Minutes: 10, Host: "app.example.com"})
		}},
		{phone("notice", "sms"), func(m *delivery.Message) {
			m.Channel = "sms"
			m.Text = fmt.Sprintf("ja %+v", pages.NoticeText{Kind: "phone", At: letter("").At, Host: "app.example.com", Code: theCode, Page: "app.example.com/.contactgate/notice"})
		}},
		{phone("code", "voice"), func(m *delivery.Message) {
			m.Channel, m.Code, m.Greeting = "voice", theCode, "hello ja"
			m.Text = fmt.Sprintf("%+v", pages.CodeCall{Code: theCode, Minutes: 10})
		}},
	} {
		want := common
		c.want(&want)
		if m, err := delivery.NewComposer(words{}).Compose(c.letter); err != nil || m != want {
			t.Errorf("got %+v, %v\nwant %+v", m, err, want)
		}
	}
	if m, err := delivery.NewComposer(words{}).Compose(phone("notice", "voice")); err == nil {
		t.Errorf("somebody is rung up about a change: %+v", m)
	}
}

func TestMinutesAreThoseOfTheCode(t *testing.T) {
	for lives, want := range map[time.Duration]string{
		10 * time.Minute: "Minutes:10 ", 10*time.Minute - 20*time.Second: "Minutes:10 ", 9*time.Minute + 29*time.Second: "Minutes:9 ",
		8 * time.Second: "Minutes:1 ", -time.Second: "Minutes:1 ", 24 * time.Hour: "Minutes:1440 ",
	} {
		l := letter("code")
		l.Ends = l.At.Add(lives)
		if m, err := delivery.NewComposer(words{}).Compose(l); err != nil || !strings.Contains(m.Text, want) {
			t.Errorf("%s: %s %v", lives, m.Text, err)
		}
	}
}

func TestComposeRefusesWhatItHasNoWordsFor(t *testing.T) {
	for _, change := range []func(*delivery.Letter){
		func(l *delivery.Letter) { l.Kind = "" },
		func(l *delivery.Letter) { l.Kind = "advert" },
		func(l *delivery.Letter) { l.Channel = "" },
		func(l *delivery.Letter) { l.Channel = "fax" },
		func(l *delivery.Letter) { l.Kind, l.Channel = "notice", "voice" },
	} {
		l := letter("code")
		change(&l)
		if m, err := delivery.NewComposer(words{}).Compose(l); err == nil || m != (delivery.Message{}) {
			t.Errorf("%+v gave %+v, %v", l, m, err)
		}
	}
}

func TestTemplateErrorsTellNoSecrets(t *testing.T) {
	broken := errors.New("code.txt:3: unknown field")
	_, err := delivery.NewComposer(words{broken}).Compose(letter("code"))
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	for _, secret := range []string{theCode, theirAddress} {
		_, err := delivery.NewComposer(words{fmt.Errorf("cannot show %s", secret)}).Compose(letter("code"))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Error(err)
		}
	}
}

// The real words arrive in a mailbox as they left, in both languages, with the code where a reader looks for it.
func TestRealMailsArriveWhole(t *testing.T) {
	texts, err := pages.New(pages.Config{Brand: pages.Brand{Name: "Example ポータル"}, Languages: []string{"en", "ja"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := start(t, smtptest.Config{Security: smtptest.STARTTLS})
	s := sender(t, srv)
	for _, lang := range []string{"en", "ja"} {
		for _, kind := range []string{"code", "notice"} {
			srv.Forget()
			l := letter(kind)
			l.Language = lang
			m, err := delivery.NewComposer(texts).Compose(l)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := only(t, srv)
			if got.Subject != m.Subject || crlf(got.Text) != crlf(m.Text) || crlf(got.HTML) != crlf(m.HTML) {
				t.Errorf("%s %s:\n%q\n%q\n%q", lang, kind, got.Subject, got.Text, got.HTML)
			}
			if kind == "code" && (got.Code() != theCode || !strings.Contains(got.HTML, theCode)) {
				t.Errorf("%s: code %q in\n%s", lang, got.Code(), got.Text)
			}
		}
	}
}

// crlf gives all line ends one spelling: those of a mail are CRLF, those of a template are not.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
