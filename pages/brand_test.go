package pages

import (
	"regexp"
	"strings"
	"testing"
)

var declaration = regexp.MustCompile(`--([a-z-]+):\s*([^;}]+)`)

// palettes reads the colours of both modes out of the stylesheet as it is served.
func palettes(t *testing.T, r *Renderer) (light, dark map[string]colour) {
	t.Helper()
	body, _, ok := r.Asset(r.assets.hashed[stylesheet])
	if !ok {
		t.Fatal("no stylesheet")
	}
	light, dark = map[string]colour{}, map[string]colour{}
	mixed := map[string]map[string]string{"light": {}, "dark": {}}
	css := string(body)
	for {
		i := strings.Index(css, ":root")
		if i < 0 {
			break
		}
		mode, palette := "light", light
		if strings.Contains(css[max(0, i-60):i], "prefers-color-scheme") {
			mode, palette = "dark", dark
		}
		block := css[i : i+strings.IndexByte(css[i:], '}')]
		for _, d := range declaration.FindAllStringSubmatch(block, -1) {
			if c, err := parseColour(d[2]); err == nil {
				palette[d[1]] = c
			} else if strings.HasPrefix(d[2], "color-mix") {
				mixed[mode][d[1]] = d[2]
			}
		}
		css = css[i+5:]
	}
	for name, c := range light {
		if _, ok := dark[name]; !ok {
			dark[name] = c
		}
	}
	mix := regexp.MustCompile(`color-mix\(in srgb, var\(--(\w+)\) (\d+)%, var\(--(\w+)\)\)`)
	for name, value := range mixed["light"] {
		if mixed["dark"][name] == "" {
			mixed["dark"][name] = value
		}
	}
	for mode, palette := range map[string]map[string]colour{"light": light, "dark": dark} {
		for name, value := range mixed[mode] {
			m := mix.FindStringSubmatch(value)
			if m == nil {
				t.Fatalf("--%s: %s is not understood by this test", name, value)
			}
			palette[name] = blend(palette[m[1]], palette[m[3]], m[2])
		}
	}
	return light, dark
}

func blend(a, b colour, percent string) colour {
	share := 0.0
	for _, digit := range percent {
		share = share*10 + float64(digit-'0')
	}
	share /= 100
	var c colour
	for i := range c {
		c[i] = uint8(float64(a[i])*share + float64(b[i])*(1-share) + 0.5)
	}
	return c
}

func TestColoursCanBeRead(t *testing.T) {
	for _, accent := range []string{"", "#0b5fff", "#7a1fa2", "#c2185b", "#b34700", "#000000", "#000080", "#767676", "#008000", "#d00"} {
		c := testConfig()
		c.Brand.Accent = accent
		light, dark := palettes(t, mustNew(t, c))
		for mode, p := range map[string]map[string]colour{"light": light, "dark": dark} {
			p["hover"] = blend(p["accent"], p["text"], "88")
			for _, pair := range []struct {
				front, back string
				least       float64
			}{
				{"text", "ground", 4.5}, {"text", "surface", 4.5}, {"text", "raised", 4.5},
				{"muted", "ground", 4.5}, {"muted", "surface", 4.5}, {"muted", "raised", 4.5},
				{"accent", "surface", 4.5}, {"on-accent", "accent", 4.5}, {"on-accent", "hover", 4.5},
				{"on-tint", "tint", 4.5},
				{"problem", "problem-tint", 4.5}, {"problem", "surface", 4.5},
				{"success", "success-tint", 4.5}, {"success", "surface", 4.5},
				{"edge", "surface", 3}, {"edge", "raised", 3}, // borders of fields and buttons
			} {
				f, ok := p[pair.front]
				b, ok2 := p[pair.back]
				if !ok || !ok2 {
					t.Fatalf("no colour %s or %s", pair.front, pair.back)
				}
				if got := contrast(f, b); got < pair.least {
					t.Errorf("accent %q, %s: %s %s on %s %s is %.2f:1, needs %.1f:1", accent, mode, pair.front, f, pair.back, b, got, pair.least)
				}
			}
		}
		if dark["surface"] != darkSurface || light["surface"] != lightSurface {
			t.Error("brand.go and the stylesheet disagree about the surfaces")
		}
	}
}

func TestContrastIsThatOfWCAG(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{{"#000", "#fff", 21}, {"#fff", "#fff", 1}, {"#767676", "#ffffff", 4.54}, {"#0b5fff", "#ffffff", 5.13}} {
		a, err := parseColour(c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseColour(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := contrast(a, b); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("%s on %s: %.3f, want %.2f", c.a, c.b, got, c.want)
		}
	}
	for _, s := range []string{"", "#", "0b5fff", "#0b5ff", "#0b5fffff", "#ggg", "#+12345", "red"} {
		if _, err := parseColour(s); err == nil {
			t.Errorf("%q is a colour", s)
		}
	}
}

// The operator's own links stand on every page, and what they say is text.
func TestLinksOfTheOperatorAreAtTheFootOfEveryPage(t *testing.T) {
	config := testConfig()
	config.Brand.Links = []Link{{"Privacy & cookies", "https://example.com/privacy"}, {"Terms", "/terms"}, {"Script", "javascript:alert(1)"}}
	r := mustNew(t, config)
	for name, v := range samples() {
		body := render(t, r, frame("ja", "verify"), v).Body.String()
		footer := body[strings.LastIndex(body, "<footer>"):]
		for _, want := range []string{`<a href="https://example.com/privacy"><bdi>Privacy &amp; cookies</bdi></a>`, `<a href="/terms"><bdi>Terms</bdi></a>`} {
			if !strings.Contains(footer, want) {
				t.Errorf("%s: no %s", name, want)
			}
		}
		if strings.Contains(body, "javascript:") {
			t.Errorf("%s: a link acts", name)
		}
	}
}
