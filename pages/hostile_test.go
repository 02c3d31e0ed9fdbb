package pages

import (
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

var hostile = []string{
	`<img src=x onerror=alert(1)>`,
	`"><script>alert(1)</script>`,
	`' onmouseover='alert(1)`,
	`{{.}}{{.Frame}}{env.HOME}{http.request.header.X}${7*7}`,
	"\u202Egro.elpmaxe\u2066\u200f",
	"a\r\nBcc: x@y.z\x00\x1b[31m",
	"\uE000\uE001\uE002",
	`javascript:alert(1)`,
	`</title></style></textarea>--><b>`,
	strings.Repeat("長", 10_000),
}

// fill puts s into every string of v, however deep.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), s)
			}
		}
	case reflect.Slice:
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		v.Set(fresh)
		for i := range v.Len() {
			fill(v.Index(i), s)
		}
	}
}

func filled[T any](v T, s string) T {
	copied := reflect.New(reflect.TypeOf(v)).Elem()
	copied.Set(reflect.ValueOf(v))
	fill(copied, s)
	return copied.Interface().(T)
}

// shape is a page's elements and attributes without their values, and all its text.
func shape(t *testing.T, page string) (elements []string, text string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	for n := range doc.Descendants() {
		switch n.Type {
		case html.ElementNode:
			e := n.Data
			for _, a := range n.Attr {
				e += " " + a.Key
			}
			elements = append(elements, e)
		case html.TextNode:
			words.WriteString(n.Data)
		}
	}
	return elements, words.String()
}

// inert is the shape that a page has with harmless text.
func inert(t *testing.T, page string) []string {
	t.Helper()
	elements, _ := shape(t, page)
	return elements
}

func checkInert(t *testing.T, name, payload string, wantShape []string, got string) {
	t.Helper()
	gotShape, text := shape(t, got)
	if !slices.Equal(wantShape, gotShape) {
		t.Errorf("%s: %.40q changed the page", name, payload)
	}
	if strings.ContainsAny(text, "\u202E\u2066\u200F\x00\x1b") {
		t.Errorf("%s: %.40q left a control character in the text", name, payload)
	}
	if strings.Contains(got, `"javascript:`) && !strings.Contains(got, `value="javascript:`) {
		t.Errorf("%s: %.40q became an address", name, payload)
	}
}

// Every string field of every view is given hostile text in turn: the page must keep its shape.
func TestTextFromPeopleIsInertOnEveryPage(t *testing.T) {
	c := testConfig()
	r := mustNew(t, c)
	show := func(v View, s string) string {
		w := httptest.NewRecorder()
		f := frame("en", "verify")
		f.Return, f.Here, f.Incident, f.SignOut = s, s, s, s
		if err := r.Render(w, 200, f, filled(v, s), now); err != nil {
			t.Fatalf("%T with %.40q: %v", v, s, err)
		}
		return w.Body.String()
	}
	for name, v := range samples() {
		benign := inert(t, show(v, "plain"))
		for _, payload := range hostile {
			checkInert(t, name, payload, benign, show(v, payload))
		}
	}
}

// The fields above were filled at once, names of problems too; these keep the real problem and change only what people type or name.
func TestTextFromPeopleIsInertInEveryState(t *testing.T) {
	r := mustNew(t, testConfig())
	set := func(v View, s string) View {
		switch v := v.(type) {
		case Ask:
			v.FailedMasked = s
			v.Contacts = []Choice{{Handle: s, Masked: s, Channels: []string{"email"}}}
			return v
		case Prove:
			v.Contact, v.Typed = Choice{Handle: s, Masked: s}, s
			return v
		case Code:
			v.Masked, v.From, v.Subject = s, s, s
			return v
		case Add:
			v.Typed, v.Kind = s, s
			return v
		case Done:
			v.Masked, v.Verified = s, []string{s}
			return v
		case Help:
			v.From, v.Detail, v.Reach = s, s, s
			return v
		}
		return v
	}
	for name, v := range samples() {
		benign := inert(t, render(t, r, frame("ja", "verify"), set(v, "plain")).Body.String())
		for _, payload := range hostile {
			checkInert(t, name, payload, benign, render(t, r, frame("ja", "verify"), set(v, payload)).Body.String())
		}
	}
}

func TestAHostileBrandIsInert(t *testing.T) {
	plain := mustNew(t, testConfig())
	for _, payload := range hostile {
		c := testConfig()
		c.Brand.Name = payload
		r, err := New(c)
		if err != nil {
			t.Fatalf("%.40q: %v", payload, err)
		}
		for _, v := range []View{Done{Masked: "a", Continue: "/"}, NotSent{}, Help{}} {
			checkInert(t, v.template(), payload, inert(t, render(t, plain, frame("en", ""), v).Body.String()), render(t, r, frame("en", ""), v).Body.String())
		}
		icon, _, _ := r.Asset(r.assets.hashed["icon.svg"])
		if _, text := shape(t, string(icon)); len([]rune(text)) > 1 {
			t.Errorf("%.40q: icon %s", payload, icon)
		}
	}
}

func TestTextFromPeopleIsInertInMails(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, lang := range r.Languages() {
		for _, payload := range hostile {
			code := CodeMail{Code: "047193", Minutes: 10, Host: "plain", Browser: "plain", At: now}
			_, _, benign, err := r.CodeMail(lang, code)
			if err != nil {
				t.Fatal(err)
			}
			subject, text, got, err := r.CodeMail(lang, filled(code, payload))
			if err != nil {
				t.Fatal(err)
			}
			checkInert(t, "mail", payload, inert(t, benign), got)
			if strings.ContainsAny(subject, "\r\n") || strings.Contains(text, "\nBcc:") || strings.Contains(text, "\u202E") {
				t.Errorf("%.40q: %q %q", payload, subject, text)
			}
			if _, _, _, err := r.NoticeMail(lang, NoticeMail{Kind: payload, Host: payload, At: now}); err != nil {
				t.Error(err)
			}
			_, _, plain, err := r.NoticeMail(lang, NoticeMail{Link: "https://plain", At: now})
			if err != nil {
				t.Fatal(err)
			}
			_, _, linked, err := r.NoticeMail(lang, NoticeMail{Link: payload, At: now})
			if err != nil {
				t.Fatal(err)
			}
			checkInert(t, "notice", payload, inert(t, plain), linked)
		}
	}
}

// What the people who run the site get is text: it has no shape to lose, but each value has to stay on its line, or it could
// pass for another one.
func TestTextFromPeopleStaysOnItsLineInOperatorsMails(t *testing.T) {
	r := mustNew(t, testConfig())
	lines := func(s string) int {
		subject, text, err := r.StoppedMail(filled(StoppedMail{At: now}, s))
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(subject, "\r\n") || strings.ContainsAny(text, "\u202E\u2066\u200F\x00\x1b\r") {
			t.Errorf("%.40q: %q %q", s, subject, text)
		}
		count := strings.Count(text, "\n")
		subject, text, err = r.HelpMail(HelpMail{Reference: s, Realm: s, User: s, Standing: s, Host: s, Problem: s, Reach: s, At: now, Detail: "one\n" + s + "\nthree"})
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(subject, "\r\n") || strings.ContainsAny(text, "\u202E\u2066\u200F\x00\x1b\r") {
			t.Errorf("%.40q: %q %q", s, subject, text)
		}
		// What somebody writes may have lines of its own, and each is marked.
		if got := strings.Count(text, "\n> "); got != 3+strings.Count(s, "\n") {
			t.Errorf("%.40q: %d marked lines", s, got)
		}
		return count + strings.Count(text, "\n") - strings.Count(s, "\n")
	}
	for _, payload := range hostile {
		if got, want := lines(payload), lines("plain"); got != want {
			t.Errorf("%.40q: %d lines instead of %d", payload, got, want)
		}
	}
}
