package pages

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"

	"golang.org/x/net/html"
)

func TestHeadersOfEveryPage(t *testing.T) {
	r := mustNew(t, testConfig())
	for name, v := range samples() {
		w := httptest.NewRecorder()
		if err := r.Render(w, http.StatusUnprocessableEntity, frame("ja", "verify"), v, now); err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d", name, w.Code)
		}
		for header, want := range map[string]string{
			"Content-Type":               "text/html; charset=utf-8",
			"Content-Language":           "ja",
			"Cache-Control":              "no-store",
			"X-Content-Type-Options":     "nosniff",
			"X-Frame-Options":            "DENY",
			"Referrer-Policy":            "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", name, header, got, want)
			}
		}
		csp := strings.Split(w.Header().Get("Content-Security-Policy"), "; ")
		want := []string{"default-src 'none'", "style-src 'self'", "img-src 'self'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"}
		if !strings.Contains(w.Body.String(), `/verify/later"`) {
			want = append(want, "form-action 'self'")
		}
		if !slices.Equal(csp, want) {
			t.Errorf("%s: CSP %q, want %q", name, csp, want)
		}
	}
}

// Chromium applies form-action to the redirects after a form: "not now" must be able to end anywhere that the app leads to.
func TestFormActionIsLeftOutOnlyWhereAFormLeavesForTheApp(t *testing.T) {
	for _, c := range []struct {
		view   View
		leaves bool
	}{
		{Ask{CanLater: true}, true},
		{Ask{}, false},
		{Add{CanLater: true}, true},
		{Add{}, false},
		{Prove{}, false}, {Code{}, false}, {Done{}, false}, {NotSent{}, false}, {Stale{}, false}, {Help{}, false}, {Trouble{}, false},
	} {
		h := http.Header{}
		secure(h, c.view)
		if got := !strings.Contains(h.Get("Content-Security-Policy"), "form-action"); got != c.leaves {
			t.Errorf("%T %+v: form-action left out: %t", c.view, c.view, got)
		}
	}
}

// each calls f for every element of a page.
func each(t *testing.T, page string, f func(n *html.Node, attr map[string]string)) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		f(n, attr)
	}
}

func TestPagesHoldNoInlineStyleOrScript(t *testing.T) {
	r := mustNew(t, testConfig())
	for name, v := range samples() {
		each(t, render(t, r, frame("en", "verify"), v).Body.String(), func(n *html.Node, attr map[string]string) {
			if n.Data == "style" || n.Data == "iframe" || n.Data == "base" {
				t.Errorf("%s: <%s>", name, n.Data)
			}
			if n.Data == "script" && (attr["src"] == "" || n.FirstChild != nil) {
				t.Errorf("%s: inline script", name)
			}
			for key, value := range attr {
				if key == "style" || strings.HasPrefix(key, "on") || strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:") {
					t.Errorf("%s: %s=%q on <%s>", name, key, value, n.Data)
				}
			}
		})
	}
}

func TestEveryFormCarriesItsTokenAndTheWayBack(t *testing.T) {
	r := mustNew(t, testConfig())
	for name, v := range samples() {
		each(t, render(t, r, frame("en", "contacts/new"), v).Body.String(), func(n *html.Node, attr map[string]string) {
			if n.Data != "form" {
				return
			}
			action, ours := strings.CutPrefix(attr["action"], "/.contactgate/")
			if attr["method"] != "post" || !ours {
				t.Errorf("%s: form %v", name, attr)
			}
			fields := map[string]string{}
			for child := range n.Descendants() {
				if child.Data == "input" {
					var key, value string
					for _, a := range child.Attr {
						switch a.Key {
						case "name":
							key = a.Val
						case "value":
							value = a.Val
						}
					}
					fields[key] = value
				}
			}
			if fields["csrf"] != "token-for-"+action || fields["return"] != "r-7Qm2" {
				t.Errorf("%s: the form to %s has %v", name, action, fields)
			}
			if action == "language" && fields["here"] != "contacts/new" {
				t.Errorf("%s: the language form leads back to %q", name, fields["here"])
			}
		})
	}
}

func TestEveryPageOffersHelpSignOutAndLanguages(t *testing.T) {
	r := mustNew(t, testConfig())
	for name, v := range samples() {
		body := render(t, r, frame("en", "verify"), v).Body.String()
		wants := []string{`href="/logout"`, `value="ja" lang="ja" dir="ltr">日本語</button>`, `value="en" lang="en" dir="ltr" aria-current="true">English</button>`, "<h1>"}
		if _, help := v.(Help); !help {
			wants = append(wants, `href="/.contactgate/help?return=r-7Qm2"`)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
	}
	f := frame("en", "verify")
	f.SignOut, f.Return = "", ""
	if body := render(t, r, f, Help{}).Body.String(); strings.Contains(body, "Sign out</a>") || strings.Contains(body, `name="return"`) {
		t.Error("a link or field for what was not given")
	}
}

func TestProblemsAreSaidInTheTitleAndTakeTheFocus(t *testing.T) {
	r := mustNew(t, testConfig())
	for name, v := range samples() {
		wrong := (&page{View: v}).Wrong()
		for lang, prefix := range map[string]string{"en": "<title>Error: ", "ja": "<title>エラー: "} {
			body := render(t, r, frame(lang, "verify"), v).Body.String()
			if strings.Contains(body, prefix) != wrong {
				t.Errorf("%s in %s: the title is %s", name, lang, body[strings.Index(body, "<title>"):strings.Index(body, "</title>")])
			}
			if strings.Contains(body, `role="alert" tabindex="-1" autofocus`) != wrong {
				t.Errorf("%s in %s: problem shown: %t", name, lang, !wrong)
			}
			each(t, body, func(n *html.Node, attr map[string]string) {
				if attr["id"] == "problem" && strings.TrimSpace(text(n)) == strings.TrimPrefix(prefix, "<title>") {
					t.Errorf("%s in %s: an empty problem", name, lang)
				}
				if id, ok := strings.CutPrefix(attr["href"], "#"); ok && !strings.Contains(body, `id="`+id+`"`) {
					t.Errorf("%s in %s: a link to #%s, which is not there", name, lang, id)
				}
				for _, id := range strings.Fields(attr["aria-describedby"]) {
					if !strings.Contains(body, `id="`+id+`"`) {
						t.Errorf("%s in %s: described by #%s, which is not there", name, lang, id)
					}
				}
			})
		}
	}
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func TestTheCodeFieldTakesWhateverPeoplePaste(t *testing.T) {
	r := mustNew(t, testConfig())
	each(t, render(t, r, frame("en", "verify/code"), samples()["code-wrong"]).Body.String(), func(n *html.Node, attr map[string]string) {
		if attr["id"] != "code" {
			return
		}
		for _, key := range []string{"maxlength", "pattern", "value", "required"} {
			if _, ok := attr[key]; ok {
				t.Errorf("the field has %s", key)
			}
		}
		if attr["type"] != "text" || attr["inputmode"] != "numeric" || attr["autocomplete"] != "one-time-code" || attr["aria-invalid"] != "true" {
			t.Errorf("the field has %v", attr)
		}
	})
}

func TestPeopleGoOnToTheVeryAddressTheyAskedFor(t *testing.T) {
	r := mustNew(t, testConfig())
	for path, want := range map[string]string{
		"/a(1)/'x'?q=%2F+b&c=\"d\"#e": "/a(1)/'x'?q=%2F+b&c=\"d\"#e",
		"/":                           "/",
		"//evil.example":              "/",
		"/\\evil.example":             "/",
		"https://evil.example":        "/",
		"javascript:alert(1)":         "/",
		"/a\nb":                       "/",
		"":                            "",
	} {
		got := ""
		each(t, render(t, r, frame("en", "done"), Done{Masked: "a@b", Continue: path}).Body.String(), func(n *html.Node, attr map[string]string) {
			if n.Data == "a" && strings.HasPrefix(text(n), "Continue") {
				got = attr["href"]
			}
		})
		if got != want {
			t.Errorf("%q became %q, want %q", path, got, want)
		}
	}
}

func TestAPageThatCannotBeMadeIsAnError(t *testing.T) {
	c := testConfig()
	c.Overrides = fstest.MapFS{"done.html": {Data: []byte(`{{define "title"}}x{{end}}{{define "main"}}{{if .View.Masked}}{{.View.Nope}}{{end}}{{end}}`)}}
	r := mustNew(t, c)
	w := httptest.NewRecorder()
	f := frame("en", "done")
	f.Incident = "<i>"
	err := r.Render(w, http.StatusOK, f, Done{Masked: "an****@example.com"}, now)
	if err == nil || w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "Nope") || !strings.Contains(w.Body.String(), "&lt;i&gt;") {
		t.Errorf("%v, status %d: %s", err, w.Code, w.Body)
	}
	if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestOverridesReplaceFileByFile(t *testing.T) {
	c := testConfig()
	c.Overrides = fstest.MapFS{
		"help.html":               {Data: []byte(`{{define "title"}}Our help{{end}}{{define "main"}}<p>{{.T "help.spam"}} Call 1234. <img src="{{.Asset "seal.png"}}" alt=""></p>{{end}}`)},
		"mail/code.txt":           {Data: []byte(`Code {{.Mail.Code}} for {{.Brand.Name}}`)},
		"locales/ja.json":         {Data: []byte(`{"ask.title": "お使いの連絡先ですか？"}`)},
		"assets/contactgate.css":  {Data: []byte(`p { margin: 0 }`)},
		"assets/seal.png":         {Data: []byte("png")},
		"README.md":               {Data: []byte("not a template")},
		"notes/old/unrelated.bak": {Data: []byte("x")},
	}
	r := mustNew(t, c)
	if body := render(t, r, frame("en", "help"), Help{}).Body.String(); !strings.Contains(body, "Call 1234.") || !strings.Contains(body, "Look in the spam") || !strings.Contains(body, "/.contactgate/assets/seal-") {
		t.Error(body)
	}
	if body := render(t, r, frame("ja", "verify"), Ask{}).Body.String(); !strings.Contains(body, "お使いの連絡先ですか？") || !strings.Contains(body, "どれも使えません") {
		t.Error(body)
	}
	if _, text, _, err := r.CodeMail("en", CodeMail{Code: "047193"}); text != "Code 047193 for Example\n" || err != nil {
		t.Error(text, err)
	}
	css, _, ok := r.Asset(r.assets.hashed["contactgate.css"])
	if !ok || !strings.HasPrefix(string(css), "p { margin: 0 }:root{--accent:") {
		t.Errorf("%.60s", css)
	}
}

func TestNewRefuses(t *testing.T) {
	whole, err := fs.ReadFile(builtin, "locales/en.json")
	if err != nil {
		t.Fatal(err)
	}
	with := func(files map[string]string) func(*Config) {
		return func(c *Config) {
			m := fstest.MapFS{}
			for name, body := range files {
				m[name] = &fstest.MapFile{Data: []byte(body)}
			}
			c.Overrides = m
		}
	}
	italian := func(c *Config, catalog string) {
		c.Languages = []string{"it"}
		c.Overrides = fstest.MapFS{"locales/it.json": {Data: []byte(catalog)}}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		says   string // part of the error
	}{
		"no name":               {func(c *Config) { c.Brand.Name = " " }, "the name is empty"},
		"pale accent":           {func(c *Config) { c.Brand.Accent = "#ffcc00" }, "accent #ffcc00 has a contrast of 1.5:1 on white"},
		"no colour":             {func(c *Config) { c.Brand.Accent = "blue" }, `"blue" is no colour`},
		"odd logo":              {func(c *Config) { c.Brand.Logo, c.Brand.LogoType = []byte("x"), "text/html" }, `type "text/html"`},
		"unknown language":      {func(c *Config) { c.Languages = []string{"en", "tlh"} }, `no catalog for "tlh"; there are en, ja, de, fr, es, pt-BR, zh-Hans, zh-Hant, ko, ar`},
		"no language":           {func(c *Config) { c.Languages = []string{"../en"} }, "no language tag"},
		"language twice":        {func(c *Config) { c.Languages = []string{"en", "EN"} }, "there twice"},
		"template syntax":       {with(map[string]string{"ask.html": `{{define "main"}}{{if}}`}), "ask.html"},
		"template field":        {with(map[string]string{"done.html": `{{define "title"}}{{end}}{{define "main"}}{{.View.Nope}}{{end}}`}), "Nope"},
		"message of a template": {with(map[string]string{"done.html": `{{define "title"}}{{end}}{{define "main"}}{{if .View.Masked}}{{.T "done.nope"}}{{end}}{{end}}`}), `no message "done.nope"`},
		"misspelt template":     {with(map[string]string{"asks.html": `x`}), "asks.html replaces nothing"},
		"misspelt mail":         {with(map[string]string{"mail/kode.txt": `x`}), "mail/kode.txt replaces nothing"},
		"mail syntax":           {with(map[string]string{"mail/code.txt": `{{`}), "mail/code.txt"},
		"broken catalog":        {with(map[string]string{"locales/en.json": `{`}), "locales/en.json"},
		"message nobody shows":  {with(map[string]string{"locales/en.json": `{"ask.titel":"x"}`}), `nothing shows the message "ask.titel"`},
		"unknown placeholder":   {with(map[string]string{"locales/en.json": `{"ask.until":"by {{.Wenn}}"}`}), "uses {{.Wenn}}"},
		"program in a message":  {with(map[string]string{"locales/en.json": `{"ask.until":"{{if .When}}x{{end}}"}`}), "more than a placeholder"},
		"emptied message":       {with(map[string]string{"locales/en.json": `{"ask.title":""}`}), `"ask.title" is missing`},
		"missing plural form":   {with(map[string]string{"locales/en.json": `{"span.days":{"other":"{{.Count}} days"}}`}), `with the number 1: message "span.days"`},
		"incomplete language":   {func(c *Config) { italian(c, `{"language.name":"Italiano"}`) }, `the message "ask.title" is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig()
			c.change(&config)
			if _, err := New(config); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	config := testConfig()
	italian(&config, string(whole))
	if _, err := New(config); err != nil {
		t.Errorf("a complete catalog of an operator's own: %v", err)
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(Config{Brand: Brand{Accent: "#fff"}, Languages: []string{"xx"}})
	for _, want := range []string{"name", "#fff", "xx"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

type brokenFS struct{}

func (brokenFS) Open(string) (fs.File, error) { return nil, errors.New("disk on fire") }

func TestOverridesThatCannotBeReadAreRefused(t *testing.T) {
	c := testConfig()
	c.Overrides = brokenFS{}
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Error(err)
	}
}

func TestAssetsAreHashedAndImmutable(t *testing.T) {
	c := testConfig()
	c.Brand.Logo, c.Brand.LogoType = []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml"
	r := mustNew(t, c)
	body := render(t, r, frame("en", "verify"), Help{}).Body.String()
	for _, plain := range slices.Sorted(maps.Keys(r.assets.hashed)) {
		name := r.assets.hashed[plain]
		if !strings.Contains(body, "/.contactgate/assets/"+name) {
			t.Errorf("no page links to %s", name)
		}
		w := httptest.NewRecorder()
		if !r.ServeAsset(w, name) || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
	for _, name := range []string{"", "contactgate.css", "../renderer.go", "contactgate-000000000000.css"} {
		if _, _, ok := r.Asset(name); ok {
			t.Errorf("there is an asset %q", name)
		}
	}
	other := testConfig()
	other.Brand.Accent = "#7a1fa2"
	if mustNew(t, other).assets.hashed["contactgate.css"] == r.assets.hashed["contactgate.css"] {
		t.Error("another accent has the same name")
	}
}

// At start only what operators bring of their own is rehearsed.
func TestBuiltInPagesPassTheRehearsal(t *testing.T) {
	if err := mustNew(t, testConfig(offered...)).rehearse(); err != nil {
		t.Error(err)
	}
}

func TestUnknownLanguagesGetTheDefault(t *testing.T) {
	r := mustNew(t, testConfig("ja", "en"))
	for _, lang := range []string{"", "tlh", "<b>"} {
		if w := render(t, r, frame(lang, "verify"), Help{}); w.Header().Get("Content-Language") != "ja" {
			t.Errorf("%q: %s", lang, w.Header().Get("Content-Language"))
		}
	}
	if w := render(t, r, frame("EN", "verify"), Help{}); w.Header().Get("Content-Language") != "en" {
		t.Error("case matters")
	}
}

func TestRenderIsSafeForManyAtOnce(t *testing.T) {
	r := mustNew(t, testConfig())
	done := make(chan error)
	for range 8 {
		go func() {
			done <- r.Render(httptest.NewRecorder(), 200, frame("ja", "verify"), Ask{Deadline: deadline, DaysLeft: 5, CanLater: true}, now.Add(time.Second))
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Of few languages each is a button in the footer; of many, a list opens. Each is named in its own words and direction.
func TestLanguagesAreOfferedInTheirOwnName(t *testing.T) {
	for _, languages := range [][]string{{"en", "ar", "ja"}, {"en", "ar", "ja", "ko"}, offered} {
		r := mustNew(t, testConfig(languages...))
		for _, lang := range languages {
			body := render(t, r, frame(lang, "verify"), NotSent{}).Body.String()
			found := map[string]bool{}
			lists := 0
			each(t, body, func(n *html.Node, attr map[string]string) {
				if n.Data == "details" {
					lists++
				}
				if n.Data == "summary" {
					own, _ := r.catalogFor(lang).plain("language.name")
					if !strings.HasSuffix(text(n), own) || text(n) == own {
						t.Errorf("%s: the list is called %q", lang, text(n))
					}
				}
				if n.Data != "button" || attr["name"] != "language" {
					return
				}
				tag := attr["value"]
				own, _ := r.catalogFor(tag).plain("language.name")
				dir, _ := r.catalogFor(tag).plain("language.direction")
				if text(n) != own || attr["lang"] != tag || attr["dir"] != dir || (attr["aria-current"] == "true") != (tag == lang) {
					t.Errorf("%s: %q %v", lang, text(n), attr)
				}
				found[tag] = true
			})
			if len(found) != len(languages) || (lists == 1) != (len(languages) > 3) {
				t.Errorf("%s: %d of %d languages, %d lists", lang, len(found), len(languages), lists)
			}
		}
	}
	if body := render(t, mustNew(t, testConfig("ar")), frame("ar", "verify"), NotSent{}).Body.String(); strings.Contains(body, `name="language"`) {
		t.Error("a choice of one language")
	}
}

// Addresses, masks, codes and what is typed stay left to right on a page that is not.
func TestRightToLeftPages(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for name, v := range samples() {
		for _, lang := range []string{"ar", "de"} {
			dir := map[string]string{"ar": "rtl", "de": "ltr"}[lang]
			body := render(t, r, frame(lang, "verify"), v).Body.String()
			each(t, body, func(n *html.Node, attr map[string]string) {
				switch {
				case n.Data == "html" && (attr["dir"] != dir || attr["lang"] != lang):
					t.Errorf("%s: <html> %v", name, attr)
				case n.Data == "input" && attr["type"] == "text" && attr["dir"] != "ltr":
					t.Errorf("%s: the field %s turns with the page", name, attr["name"])
				case n.Data == "bdi" && attr["class"] == "contact" && attr["dir"] != "ltr":
					t.Errorf("%s: %s turns with the page", name, text(n))
				case n.Data != "bdi" && n.FirstChild != nil && n.FirstChild == n.LastChild && strings.Contains(n.FirstChild.Data, "****") && n.FirstChild.Type == html.TextNode:
					t.Errorf("%s: %q is not isolated", name, n.FirstChild.Data)
				case n.Data == "time" && dir == "rtl" && len(attr["datetime"]) > len(time.DateOnly) && (!strings.Contains(text(n), "\u2066") || !strings.HasSuffix(text(n), "\u00a0JST\u2069")):
					t.Errorf("%s: the time of %q turns with the page", name, text(n))
				}
			})
		}
	}
	for name, m := range mailSamples(r, "ar") {
		if !strings.Contains(m[2], `<html lang="ar" dir="rtl">`) || !strings.Contains(m[2], `<td class="text" lang="ar" dir="rtl"`) {
			t.Errorf("%s: the mail is not right to left", name)
		}
		// Many readers take the direction of a text from its first letter.
		for _, line := range strings.Split(m[0]+"\n"+m[1], "\n") {
			i := strings.IndexFunc(line, unicode.IsLetter)
			if i >= 0 && line != noticeLink && !unicode.Is(unicode.Arabic, []rune(line[i:])[0]) {
				t.Errorf("%s: the line %q begins from the left", name, line)
			}
		}
	}
}

// The script counts with the words of the page, which stand in its sentence.
func TestTheCountdownHasTheWordsOfThePage(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, lang := range offered {
		each(t, render(t, r, frame(lang, "verify"), samples()["code"]).Body.String(), func(n *html.Node, attr map[string]string) {
			if attr["class"] != "countdown" {
				return
			}
			var words map[string]map[string]string
			if err := json.Unmarshal([]byte(attr["data-words"]), &words); err != nil {
				t.Fatal(err)
			}
			many, ok := words["second"]["many"] // forty in Arabic
			if !ok || lang != "ar" {
				many = words["second"]["other"]
			}
			if got := strings.Replace(many, "{{.Count}}", "40", 1); got != text(n) || words["minute"]["other"] == "" {
				t.Errorf("%s: %q, %v", lang, text(n), words)
			}
		})
	}
}

// A link that is good for something stands in the address of its page: neither our own files nor anybody else learn it. Yet
// the policy names the origin, or our own forms would come from "null".
func TestAnAddressWithALinkIsToldToNobody(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, v := range []View{Notice{Token: noticeToken}, Notice{State: "gone"}, Stale{NoCookies: true}, Trouble{Kind: "badrequest"}} {
		f := frame("en", "notice")
		if body := render(t, r, f, v).Body.String(); strings.Contains(body, "referrer") {
			t.Errorf("%T: a policy of its own without need", v)
		}
		f.Linked = true
		body := render(t, r, f, v).Body.String()
		policy, sheet := strings.Index(body, `<meta name="referrer" content="strict-origin">`), strings.Index(body, "<link ")
		if policy < 0 || policy > sheet {
			t.Errorf("%T: the policy is at %d, the first file at %d", v, policy, sheet)
		}
	}
}
