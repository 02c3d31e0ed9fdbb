package pages

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hashedName is what changes in every page with every line of the style sheet: TestAssetsAreHashedAndImmutable looks at the names.
var hashedName = regexp.MustCompile(`(/assets/[a-z]+)-[0-9a-f]{12}\.`)

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = hashedName.ReplaceAllString(got, "$1-HASH.")
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what is shown now; look at it and run with -update", file)
	}
}

func mustNew(t *testing.T, c Config) *Renderer {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func render(t *testing.T, r *Renderer, f Frame, v View) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if err := r.Render(w, 200, f, v, now); err != nil {
		t.Fatal(err)
	}
	return w
}

// The files of these three languages are what Chromium looks at, too: see cmd/contactgate/gallery_test.go.
func TestPagesLookAsTheyDid(t *testing.T) {
	// Two languages stand side by side on a page, ten are a list that opens.
	few, many := mustNew(t, testConfig()), mustNew(t, testConfig(offered...))
	for lang, r := range map[string]*Renderer{"en": few, "ja": few, "ar": many} {
		for name, v := range samples() {
			w := render(t, r, frameOf(lang, v), v)
			golden(t, filepath.Join(lang, name+".golden.html"), w.Body.String())
		}
	}
}

// Every sentence of the pages is in some sample: a state without one would be looked at by nobody.
func TestEverySentenceOfThePagesIsInASample(t *testing.T) {
	file, err := fs.ReadFile(builtin, "locales/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var messages map[string]any
	if err := json.Unmarshal(file, &messages); err != nil {
		t.Fatal(err)
	}
	marked := map[string]any{}
	for id, message := range messages {
		part, _, _ := strings.Cut(id, ".")
		if slices.Contains([]string{"date", "language", "mail", "text", "call"}, part) || strings.HasPrefix(id, "recovery.file") {
			continue // of other things than pages
		}
		switch text := message.(type) {
		case string:
			marked[id] = "«" + id + "»" + text
		case map[string]any: // plurals
			forms := map[string]any{}
			for form, text := range text {
				forms[form] = "«" + id + "»" + text.(string)
			}
			marked[id] = forms
		}
	}
	text, err := json.Marshal(marked)
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Overrides = fstest.MapFS{"locales/en.json": {Data: text}}
	r := mustNew(t, c)
	var all strings.Builder
	for _, v := range samples() {
		all.Write(render(t, r, frameOf("en", v), v).Body.Bytes())
	}
	for id := range marked {
		if !strings.Contains(all.String(), "«"+id+"»") {
			t.Errorf("no sample shows %s", id)
		}
	}
}

func TestMailsReadAsTheyDid(t *testing.T) {
	r := mustNew(t, testConfig("en", "ja", "ar"))
	for _, lang := range r.Languages() {
		for name, m := range mailSamples(r, lang) {
			golden(t, filepath.Join(lang, "mail-"+name+".golden.txt"), "Subject: "+m[0]+"\n\n"+m[1])
			golden(t, filepath.Join(lang, "mail-"+name+".golden.html"), m[2])
		}
	}
	for _, lang := range r.Languages() {
		for name, m := range plainSamples(mustNew(t, testConfig(lang))) {
			golden(t, filepath.Join(lang, "mail-"+name+".golden.txt"), "Subject: "+m[0]+"\n\n"+m[1])
		}
	}
}

// The languages after the first two: a few telling views each, with the numbers that a plural turns on.
func TestPagesOfEveryLanguageLookAsTheyDid(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, lang := range r.Languages() {
		for _, days := range []int{1, 2, 5, 11} {
			v := samples()["ask-grace"].(Ask)
			v.DaysLeft, v.Deadline = days, now.Add(time.Duration(days)*24*time.Hour+time.Hour)
			w := render(t, r, frame(lang, "verify"), v)
			golden(t, filepath.Join("languages", lang, fmt.Sprintf("ask-grace-%d.golden.html", days)), w.Body.String())
		}
		for _, name := range []string{"code", "prove-mismatch", "offer", "setup-wrong", "recovery", "app", "appcode-used"} {
			golden(t, filepath.Join("languages", lang, name+".golden.html"), render(t, r, frame(lang, "verify"), samples()[name]).Body.String())
		}
		m := mailSamples(r, lang)["code"]
		golden(t, filepath.Join("languages", lang, "mail-code.golden.txt"), "Subject: "+m[0]+"\n\n"+m[1])
		golden(t, filepath.Join("languages", lang, "mail-code.golden.html"), m[2])
	}
}

func TestTextsAndCallsReadAsTheyDid(t *testing.T) {
	r := mustNew(t, testConfig(offered...))
	for _, lang := range r.Languages() {
		for name, text := range phoneSamples(r, lang) {
			golden(t, filepath.Join("languages", lang, name+".golden.txt"), text+"\n")
		}
	}
}
