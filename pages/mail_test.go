package pages

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// There is one link in all our mails, and it opens a page that asks.
func TestMailsHoldNoLinkButOneAndNothingRemote(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, lang := range r.Languages() {
		for name, m := range mailSamples(r, lang) {
			text := m[1]
			if strings.HasPrefix(name, "notice-link") || strings.HasPrefix(name, "notice-undone") {
				if strings.Count(text, "\n"+noticeLink+"\n") != 1 || strings.Count(m[2], noticeLink) != 1 {
					t.Errorf("%s %s: the link is not there once, on a line of its own", lang, name)
				}
				text = strings.Replace(text, noticeLink, "", 1)
			}
			each(t, m[2], func(n *html.Node, attr map[string]string) {
				if n.Data == "a" && attr["href"] == noticeLink {
					return
				}
				switch n.Data {
				case "a", "img", "link", "script", "iframe", "form":
					t.Errorf("%s %s: <%s>", lang, name, n.Data)
				}
				for key, value := range attr {
					if strings.Contains(value, "://") || strings.Contains(value, "url(") || key == "href" || key == "src" {
						t.Errorf("%s %s: %s=%q", lang, name, key, value)
					}
				}
				if n.Data == "html" && attr["lang"] != lang {
					t.Errorf("%s %s: lang=%q", lang, name, attr["lang"])
				}
			})
			for _, want := range []string{`<meta name="color-scheme" content="light dark">`, `<meta name="supported-color-schemes" content="light dark">`, "prefers-color-scheme:dark"} {
				if !strings.Contains(m[2], want) {
					t.Errorf("%s %s: no %s", lang, name, want)
				}
			}
			if strings.Contains(text, "://") {
				t.Errorf("%s %s: a link in the text", lang, name)
			}
		}
	}
}

func TestTheCodeIsInTheFirstLineAndSelectable(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, lang := range r.Languages() {
		subject, text, page, err := r.CodeMail(lang, CodeMail{Code: "047193", Minutes: 10, Host: "app.example.com", At: now})
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(text, "\n"); !strings.Contains(first, "047193") {
			t.Errorf("%s: first line %q", lang, first)
		}
		if !strings.Contains(page, ">047193<") {
			t.Errorf("%s: the code is broken up", lang)
		}
		if strings.Contains(subject, "047193") || !strings.Contains(subject, "Example") {
			t.Errorf("%s: subject %q", lang, subject)
		}
	}
}

func TestSubjectsCanBeReplacedByLanguage(t *testing.T) {
	c := testConfig()
	c.Subjects = map[string]string{"ja": "Example セキュリティ コード\r\nBcc: x@y.z"}
	r := mustNew(t, c)
	for lang, want := range map[string]string{"en": "Your Example security code", "ja": "Example セキュリティ コード  Bcc: x@y.z"} {
		subject, _, _, err := r.CodeMail(lang, CodeMail{At: now})
		if err != nil {
			t.Fatal(err)
		}
		shown, err := r.CodeSubject(lang)
		if subject != want || shown != want || err != nil {
			t.Errorf("%s: %q, shown as %q (%v)", lang, subject, shown, err)
		}
	}
}
