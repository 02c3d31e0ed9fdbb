package pages

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"
)

func TestEveryCatalogHasEveryMessageWithTheSamePlaceholders(t *testing.T) {
	r := mustNew(t, testConfig(builtinLanguages()...))
	first := r.catalogs[0]
	for _, c := range r.catalogs[1:] {
		for id, m := range first.messages {
			if strings.HasPrefix(id, "date.") {
				continue // every language takes the parts that it needs
			}
			want, err := placeholders(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := placeholders(c.messages[id])
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s has %v, %s has %v", id, c.tag, got, first.tag, want)
			}
		}
	}
}

func TestNoMessageIsWithoutUse(t *testing.T) {
	var all strings.Builder
	err := fs.WalkDir(builtin, "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(builtin, name)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for id := range mustNew(t, testConfig("en")).catalogs[0].messages {
		if strings.HasPrefix(id, "date.weekday.") || strings.HasPrefix(id, "date.month.") {
			continue
		}
		if !strings.Contains(all.String(), `"`+id+`"`) {
			t.Errorf("nothing shows %s", id)
		}
	}
}

// JSON takes the last of two equal keys without a word.
func TestNoMessageIsThereTwice(t *testing.T) {
	for _, tag := range builtinLanguages() {
		b, err := fs.ReadFile(builtin, "locales/"+tag+".json")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		d := json.NewDecoder(bytes.NewReader(b))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			if seen[key.(string)] {
				t.Errorf("%s: %s is there twice", tag, key)
			}
			seen[key.(string)] = true
			var value any
			if err := d.Decode(&value); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
	}
}

// What people read is about contacts and codes; the words of the house stay in the house.
func TestVisibleWordsArePlain(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, c := range r.catalogs {
		for id, m := range c.messages {
			for _, form := range forms(m) {
				for _, word := range []string{"challenge", "verif", "authenticat", "token", "invalid", "チャレンジ", "認証", "トークン", "不正"} {
					if strings.Contains(strings.ToLower(form), word) {
						t.Errorf("%s %s: %q", c.tag, id, form)
					}
				}
				if c.tag == language.Japanese && strings.ContainsAny(form, "?!") {
					t.Errorf("%s %s: half-width punctuation: %q", c.tag, id, form)
				}
			}
		}
	}
}

func TestSpansInWords(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, c := range []struct {
		d      time.Duration
		en, ja string
	}{
		{-time.Second, "1 second", "1秒"},
		{0, "1 second", "1秒"},
		{time.Millisecond, "1 second", "1秒"},
		{time.Second, "1 second", "1秒"},
		{1001 * time.Millisecond, "2 seconds", "2秒"},
		{40 * time.Second, "40 seconds", "40秒"},
		{90 * time.Second, "90 seconds", "90秒"},
		{91 * time.Second, "2 minutes", "2分"},
		{3 * time.Minute, "3 minutes", "3分"},
		{90 * time.Minute, "90 minutes", "90分"},
		{91 * time.Minute, "2 hours", "2時間"},
		{24 * time.Hour, "24 hours", "24時間"},
		{48 * time.Hour, "2 days", "2日"},
		{72 * time.Hour, "3 days", "3日"},
		{72*time.Hour + 1, "4 days", "4日"},
	} {
		en, err := r.catalogs[0].span(c.d)
		if err != nil {
			t.Fatal(err)
		}
		ja, err := r.catalogs[1].span(c.d)
		if err != nil {
			t.Fatal(err)
		}
		if en != c.en || ja != c.ja {
			t.Errorf("%v: %q %q, want %q %q", c.d, en, ja, c.en, c.ja)
		}
	}
}

func TestPluralsFollowTheLanguage(t *testing.T) {
	r := mustNew(t, testConfig())
	for _, c := range []struct {
		lang string
		n    int
		want string
	}{
		{"en", 0, "You have 0 tries left."},
		{"en", 1, "You have 1 try left."},
		{"en", 2, "You have 2 tries left."},
		{"en", 21, "You have 21 tries left."},
		{"ja", 1, "あと1回入力できます。"},
		{"ja", 2, "あと2回入力できます。"},
	} {
		if got, err := r.catalogFor(c.lang).plain("frame.tries_left", "Count", c.n); got != c.want || err != nil {
			t.Errorf("%s %d: %q %v", c.lang, c.n, got, err)
		}
	}
}

func TestTimeLeftIsNeverMoreThanThereIs(t *testing.T) {
	r := mustNew(t, testConfig())
	p := r.page(frame("en", ""), Ask{}, now)
	for _, c := range []struct {
		days int
		left time.Duration
		want string
	}{
		{5, 120*time.Hour + 10*time.Minute, "5 days"},
		{1, 25 * time.Hour, "1 day"},
		{1, 23*time.Hour + 59*time.Minute, "23 hours"},
		{0, 5*time.Hour + 59*time.Minute, "5 hours"},
		{0, 95 * time.Minute, "60 minutes"},
		{0, 10*time.Minute + 59*time.Second, "10 minutes"},
		{0, -time.Hour, "1 second"},
	} {
		if got, err := p.Left(c.days, now.Add(c.left)); got != c.want || err != nil {
			t.Errorf("%d days, %v: %q %v, want %q", c.days, c.left, got, err, c.want)
		}
	}
}

func TestMomentsInWords(t *testing.T) {
	tokyo := testConfig()
	saoPaulo := testConfig()
	var err error
	if saoPaulo.Location, err = time.LoadLocation("America/Sao_Paulo"); err != nil {
		t.Skip(err)
	}
	utc := testConfig()
	utc.Location = nil
	for _, c := range []struct {
		config Config
		lang   string
		at     time.Time
		want   string
	}{
		{tokyo, "en", deadline, "Mon 30 Nov 09:00 JST"},
		{tokyo, "ja", deadline, "11月30日(月) 9:00 JST"},
		{tokyo, "en", deadline.AddDate(0, 2, 0), "Sat 30 Jan 2027 09:00 JST"},
		{tokyo, "ja", deadline.AddDate(0, 2, 0), "2027年1月30日(土) 9:00 JST"},
		{utc, "en", deadline.Add(5 * time.Minute), "Mon 30 Nov 00:05 UTC"},
		{utc, "ja", deadline.Add(5 * time.Minute), "11月30日(月) 0:05 UTC"},
		{saoPaulo, "en", deadline, "Sun 29 Nov 21:00 UTC-03:00"},
	} {
		r := mustNew(t, c.config)
		if got, err := r.moment(r.catalogFor(c.lang), c.at, now); got != c.want || err != nil {
			t.Errorf("%q %v, want %q", got, err, c.want)
		}
	}
}

func TestSentencesKeepTheirMarks(t *testing.T) {
	r := mustNew(t, testConfig())
	p := r.page(frame("en", ""), Ask{}, now)
	parts, err := p.Say("ask.unreachable", "Contact", p.Contact("a\uE000\u202Eb"))
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 3 || parts[1].Kind != "contact" || parts[1].Text != "a\uFFFD\uFFFDb" || parts[0].Text != "We could not send to " {
		t.Errorf("%q", parts)
	}
	for _, bad := range [][]any{{"Contact"}, {1, 2}, {}} {
		if _, err := p.Say("ask.unreachable", bad...); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}
