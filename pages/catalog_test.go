package pages

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// locale reads one of our catalogs by itself: what New would merge or complain of is seen as it lies there.
func locale(t *testing.T, tag string) map[string]*i18n.Message {
	t.Helper()
	b, err := fs.ReadFile(builtin, "locales/"+tag+".json")
	if err != nil {
		t.Fatal(err)
	}
	messages, err := parseCatalog(language.MustParse(tag), b)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func TestEveryLanguageIsOffered(t *testing.T) {
	entries, err := fs.ReadDir(builtin, "locales")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, strings.TrimSuffix(e.Name(), ".json"))
	}
	if got := slices.Sorted(slices.Values(offered)); !slices.Equal(got, files) {
		t.Errorf("offered are %v, there are %v", got, files)
	}
	config := testConfig()
	config.Languages = nil
	if got := mustNew(t, config).Languages(); !slices.Equal(got, offered) {
		t.Errorf("without a choice of the operator: %v", got)
	}
}

func TestEveryCatalogHasEveryMessageWithTheSamePlaceholders(t *testing.T) {
	first := locale(t, reference)
	for _, tag := range offered {
		messages := locale(t, tag)
		for id := range messages {
			if first[id] == nil {
				t.Errorf("%s: nothing shows %s", tag, id)
			}
		}
		for id, m := range first {
			other := messages[id]
			if other == nil {
				t.Errorf("%s: %s is missing", tag, id)
				continue
			}
			got, err := placeholders(other)
			if err != nil {
				t.Errorf("%s: %v", tag, err)
			}
			want, err := placeholders(m)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(id, "date.") {
				continue // every language takes the parts that it needs; New refuses any other
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s has %v, %s has %v", id, tag, got, reference, want)
			}
			for _, form := range forms(other) {
				if form != strings.TrimSpace(form) && id != "frame.error_prefix" || strings.Contains(form, "  ") {
					t.Errorf("%s: %s has a blank too many: %q", tag, id, form)
				}
			}
		}
	}
}

// What is not translated shows as English. A few words are the same by right.
func TestNothingIsLeftInEnglish(t *testing.T) {
	first := locale(t, reference)
	for _, tag := range offered[1:] {
		for id, m := range locale(t, tag) {
			if m.Other == first[id].Other && !strings.HasPrefix(id, "date.") && id != "language.direction" && id != "call.code.digits" && id != "frame.error_prefix" && tag+id != "frspan.minutes" {
				t.Errorf("%s: %s is %q", tag, id, m.Other)
			}
		}
	}
}

// Marks of direction are for right-to-left text only, close what they open, and stay out of subjects, which lists of mail
// show as they come.
func TestDirectionIsIsolatedAndGivenBack(t *testing.T) {
	for _, tag := range offered {
		messages := locale(t, tag)
		for id, m := range messages {
			for _, form := range forms(m) {
				depth := 0
				for _, r := range form {
					switch {
					case r == '\u2066' || r == '\u2068':
						depth++
					case r == '\u2069':
						depth--
					case unicode.Is(unicode.Bidi_Control, r):
						t.Errorf("%s: %s has %U", tag, id, r)
					default:
						continue
					}
					if depth < 0 || depth > 1 || messages["language.direction"].Other != "rtl" || strings.HasSuffix(id, ".subject") {
						t.Errorf("%s: %s: %+q", tag, id, form)
					}
				}
				if depth != 0 {
					t.Errorf("%s: %s: %+q", tag, id, form)
				}
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
	for _, tag := range offered {
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

// What people read is about contacts and codes; the words of the house stay in the house. An authenticator app is called
// what it is called where people get one.
func TestVisibleWordsArePlain(t *testing.T) {
	called := strings.NewReplacer("authenticator app", "", "google authenticator", "", "microsoft authenticator", "", "認証アプリ", "")
	r := mustNew(t, testConfig())
	for _, c := range r.catalogs {
		for id, m := range c.messages {
			for _, form := range forms(m) {
				for _, word := range []string{"challenge", "verif", "authenticat", "token", "invalid", "チャレンジ", "認証", "トークン", "不正"} {
					if strings.Contains(called.Replace(strings.ToLower(form)), word) {
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
	r := mustNew(t, testConfig(offered...))
	for _, c := range []struct {
		lang, id string
		want     map[int]string
	}{
		{"en", "frame.tries_left", map[int]string{0: "You have 0 tries left.", 1: "You have 1 try left.", 2: "You have 2 tries left.", 21: "You have 21 tries left."}},
		{"ja", "frame.tries_left", map[int]string{1: "あと1回入力できます。", 2: "あと2回入力できます。"}},
		{"de", "frame.tries_left", map[int]string{0: "Sie haben noch 0 Versuche.", 1: "Sie haben noch 1 Versuch.", 5: "Sie haben noch 5 Versuche."}},
		{"fr", "frame.tries_left", map[int]string{0: "Il vous reste 0 essai.", 1: "Il vous reste 1 essai.", 2: "Il vous reste 2 essais."}},
		{"es", "frame.tries_left", map[int]string{0: "Le quedan 0 intentos.", 1: "Le queda 1 intento.", 2: "Le quedan 2 intentos."}},
		{"pt-BR", "frame.tries_left", map[int]string{0: "Você ainda tem 0 tentativa.", 1: "Você ainda tem 1 tentativa.", 2: "Você ainda tem 2 tentativas."}},
		{"zh-Hans", "frame.tries_left", map[int]string{1: "您还可以再试 1 次。", 2: "您还可以再试 2 次。"}},
		{"zh-Hant", "frame.tries_left", map[int]string{1: "您還可以再試 1 次。", 2: "您還可以再試 2 次。"}},
		{"ko", "frame.tries_left", map[int]string{1: "1번 더 입력할 수 있습니다.", 2: "2번 더 입력할 수 있습니다."}},
		{"ar", "frame.tries_left", map[int]string{
			0: "لم تبقَ لديك أي محاولة (0).", 1: "بقيت لديك محاولة واحدة.", 2: "بقيت لديك محاولتان.", 3: "بقيت لديك 3 محاولات.",
			10: "بقيت لديك 10 محاولات.", 11: "بقيت لديك 11 محاولة.", 100: "بقيت لديك 100 محاولة.",
		}},
		{"en", "span.days", map[int]string{0: "0 days", 1: "1 day", 2: "2 days", 11: "11 days", 1_000_000: "1000000 days"}},
		{"de", "span.days", map[int]string{0: "0 Tage", 1: "1 Tag", 2: "2 Tage", 11: "11 Tage"}},
		{"fr", "span.days", map[int]string{0: "0 jour", 1: "1 jour", 2: "2 jours", 11: "11 jours", 1_000_000: "1000000 de jours"}},
		{"es", "span.days", map[int]string{0: "0 días", 1: "1 día", 2: "2 días", 11: "11 días", 1_000_000: "1000000 de días"}},
		{"pt-BR", "span.days", map[int]string{0: "0 dia", 1: "1 dia", 2: "2 dias", 11: "11 dias", 1_000_000: "1000000 de dias"}},
		{"zh-Hans", "span.hours", map[int]string{1: "1 小时", 11: "11 小时"}},
		{"zh-Hant", "span.minutes", map[int]string{1: "1 分鐘", 11: "11 分鐘"}},
		{"ko", "span.hours", map[int]string{1: "1시간", 11: "11시간"}},
		{"ar", "span.days", map[int]string{
			0: "0 يوم", 1: "يوم واحد", 2: "يومين", 3: "3 أيام", 5: "5 أيام", 10: "10 أيام", 11: "11 يومًا", 26: "26 يومًا", 99: "99 يومًا",
			100: "100 يوم", 102: "102 يوم", 103: "103 أيام", 111: "111 يومًا", 1000: "1000 يوم",
		}},
		{"ar", "span.seconds", map[int]string{1: "ثانية واحدة", 2: "ثانيتين", 3: "3 ثوانٍ", 11: "11 ثانية", 40: "40 ثانية", 100: "100 ثانية"}},
		{"ar", "span.minutes", map[int]string{1: "دقيقة واحدة", 2: "دقيقتين", 3: "3 دقائق", 11: "11 دقيقة", 100: "100 دقيقة"}},
		{"ar", "span.hours", map[int]string{1: "ساعة واحدة", 2: "ساعتين", 3: "3 ساعات", 11: "11 ساعة", 100: "100 ساعة"}},
	} {
		for n, want := range c.want {
			if got, err := r.catalogFor(c.lang).plain(c.id, "Count", n); got != want || err != nil {
				t.Errorf("%s %s %d: %q %v, want %q", c.lang, c.id, n, got, err, want)
			}
		}
	}
}

// Sentences take a span as it is, so each of a language's forms must be the one that a sentence can take; and every form
// that a language has is written, though English has two.
func TestPluralMessagesHaveTheFormsOfTheirLanguage(t *testing.T) {
	wanted := map[string]string{
		"en": "one other", "de": "one other", "fr": "many one other", "es": "many one other", "pt-BR": "many one other",
		"ja": "other", "ko": "other", "zh-Hans": "other", "zh-Hant": "other", "ar": "few many one other two zero",
	}
	r := mustNew(t, testConfig(offered...))
	for id, m := range locale(t, reference) {
		if m.One == "" {
			continue
		}
		for _, c := range r.catalogs {
			if got := strings.Join(slices.Sorted(maps.Keys(c.pluralForms(id))), " "); got != wanted[c.tag.String()] {
				t.Errorf("%s: %s has %s", c.tag, id, got)
			}
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
	inTokyo, inSaoPaulo, inUTC := testConfig(offered...), testConfig(offered...), testConfig(offered...)
	inUTC.Location = nil
	var err error
	if inSaoPaulo.Location, err = time.LoadLocation("America/Sao_Paulo"); err != nil {
		t.Fatal(err)
	}
	tokyo, saoPaulo, utc := mustNew(t, inTokyo), mustNew(t, inSaoPaulo), mustNew(t, inUTC)
	first := deadline.AddDate(0, 0, 1)                       // Tuesday 1 December, 09:00 in Tokyo
	evening := deadline.AddDate(0, 2, 0).Add(13 * time.Hour) // Saturday 30 January 2027, 22:00 in Tokyo
	noon, midnight := deadline.Add(3*time.Hour), deadline.Add(15*time.Hour)
	for _, c := range []struct {
		shown *Renderer
		lang  string
		at    time.Time
		want  string
	}{
		{tokyo, "en", deadline, "Mon 30 Nov 09:00 JST"},
		{tokyo, "ja", deadline, "11月30日(月) 9:00 JST"},
		{tokyo, "en", deadline.AddDate(0, 2, 0), "Sat 30 Jan 2027 09:00 JST"},
		{tokyo, "ja", deadline.AddDate(0, 2, 0), "2027年1月30日(土) 9:00 JST"},
		{utc, "en", deadline.Add(5 * time.Minute), "Mon 30 Nov 00:05 UTC"},
		{utc, "ja", deadline.Add(5 * time.Minute), "11月30日(月) 0:05 UTC"},
		{tokyo, "de", deadline, "Mo., 30. Nov., 09:00 Uhr JST"},
		{tokyo, "de", first, "Di., 1. Dez., 09:00 Uhr JST"},
		{tokyo, "de", evening, "Sa., 30. Jan. 2027, 22:00 Uhr JST"},
		{tokyo, "fr", deadline, "lun. 30 nov. à 09:00 JST"},
		{tokyo, "fr", first, "mar. 1er déc. à 09:00 JST"},
		{tokyo, "fr", evening, "sam. 30 janv. 2027 à 22:00 JST"},
		{tokyo, "es", deadline, "lun 30 nov, 9:00 JST"},
		{tokyo, "es", first, "mar 1 dic, 9:00 JST"},
		{tokyo, "es", evening, "sáb 30 ene 2027, 22:00 JST"},
		{tokyo, "pt-BR", deadline, "seg., 30 de nov., 09:00 JST"},
		{tokyo, "pt-BR", first, "ter., 1º de dez., 09:00 JST"},
		{tokyo, "pt-BR", evening, "sáb., 30 de jan. de 2027, 22:00 JST"},
		{tokyo, "zh-Hans", deadline, "11月30日（周一）09:00 JST"},
		{tokyo, "zh-Hans", evening, "2027年1月30日（周六）22:00 JST"},
		{tokyo, "zh-Hant", deadline, "11月30日（週一）上午9:00 JST"},
		{tokyo, "zh-Hant", noon, "11月30日（週一）下午12:00 JST"},
		{tokyo, "zh-Hant", evening, "2027年1月30日（週六）下午10:00 JST"},
		{tokyo, "ko", deadline, "11월 30일 (월) 오전 9:00 JST"},
		{tokyo, "ko", midnight, "12월 1일 (화) 오전 12:00 JST"},
		{tokyo, "ko", evening, "2027년 1월 30일 (토) 오후 10:00 JST"},
		{tokyo, "ar", deadline, "يوم الاثنين 30 نوفمبر، الساعة \u206609:00\u00a0JST\u2069"},
		{tokyo, "ar", evening, "يوم السبت 30 يناير 2027، الساعة \u206622:00\u00a0JST\u2069"},
		{saoPaulo, "ar", deadline, "يوم الأحد 29 نوفمبر، الساعة \u206621:00\u00a0UTC-03:00\u2069"},
		{saoPaulo, "en", deadline, "Sun 29 Nov 21:00 UTC-03:00"},
	} {
		if got, err := c.shown.moment(c.shown.catalogFor(c.lang), c.at, now); got != c.want || err != nil {
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
