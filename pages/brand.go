package pages

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Brand is whose pages they are.
type Brand struct {
	// Name of the service, as people know it. New refuses an empty one.
	Name string
	// Issuer is what authenticator apps call it. Default: Name. One in ASCII makes a QR code that is easier to scan.
	Issuer string
	// Logo is shown in place of the name: the bytes of an SVG, PNG or WebP file of ours to serve. Empty: the name is shown.
	Logo []byte
	// LogoType is the logo's media type, "image/svg+xml", "image/png" or "image/webp".
	LogoType string
	// Accent is the colour of buttons and links, "#0b5fff". It must stand out from white by 4.5:1; the tone for dark
	// mode is derived from it. Default: a deep teal.
	Accent string
	// Links of the operator's own stand at the foot of every page: a privacy notice, terms. Their words are as given, in
	// one language.
	Links []Link
}

// Link is a link of the operator's own.
type Link struct{ Text, URL string }

const defaultAccent = "#0c5f6b"

// The surfaces that the stylesheet puts text on.
var (
	lightSurface = colour{0xff, 0xff, 0xff}
	darkSurface  = colour{0x1b, 0x20, 0x24}
)

// contrast that text needs (WCAG 2.2, 1.4.3).
const textContrast = 4.5

func (b *Brand) check() error {
	var faults []error
	if strings.TrimSpace(b.Name) == "" {
		faults = append(faults, errors.New("brand: the name is empty; give the name of the service as people know it"))
	}
	b.Name, b.Issuer = tame(b.Name), tame(b.Issuer)
	if b.Accent == "" {
		b.Accent = defaultAccent
	}
	accent, err := parseColour(b.Accent)
	if err != nil {
		faults = append(faults, fmt.Errorf("brand: accent %w", err))
	} else if c := contrast(accent, lightSurface); c < textContrast {
		faults = append(faults, fmt.Errorf("brand: accent %s has a contrast of %.1f:1 on white and needs %.1f:1 to be read; %s would do", b.Accent, c, textContrast, accent.towards(colour{}, lightSurface, textContrast)))
	}
	if _, ok := logoTypes[b.LogoType]; len(b.Logo) > 0 && !ok {
		faults = append(faults, fmt.Errorf("brand: a logo of type %q cannot be shown; use SVG, PNG or WebP", b.LogoType))
	}
	return errors.Join(faults...)
}

var logoTypes = map[string]string{"image/svg+xml": "logo.svg", "image/png": "logo.png", "image/webp": "logo.webp"}

// variables is the part of the stylesheet that the accent decides.
func (b Brand) variables() string {
	light, err := parseColour(b.Accent)
	if err != nil {
		return ""
	}
	dark := light.brighten(darkSurface, 6)
	return fmt.Sprintf(":root{--accent:%s;--on-accent:%s}@media (prefers-color-scheme:dark){:root{--accent:%s;--on-accent:%s}}\n",
		light, light.ink(), dark, dark.ink())
}

// icon is the first letter of the name on the accent: the mark of a brand that gave no logo, and of the browser's tab.
func (b Brand) icon() []byte {
	accent, err := parseColour(b.Accent)
	if err != nil {
		return nil
	}
	letter := ""
	for _, r := range b.Name {
		letter = escape(string(unicode.ToUpper(r)))
		break
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="%s"/><text x="16" y="22.5" text-anchor="middle" font-family="system-ui,sans-serif" font-size="18" font-weight="700" fill="%s">%s</text></svg>`,
		accent, accent.ink(), letter)
}

// colour is an opaque sRGB colour.
type colour [3]uint8

func parseColour(s string) (colour, error) {
	hex, ok := strings.CutPrefix(s, "#")
	if ok && len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if !ok || len(hex) != 6 || err != nil {
		return colour{}, fmt.Errorf("%q is no colour; write it as #0b5fff", s)
	}
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// ink is the text colour to put on c.
func (c colour) ink() colour {
	if contrast(c, lightSurface) >= textContrast {
		return lightSurface
	}
	return colour{0x0b, 0x10, 0x13}
}

// towards mixes c with another colour until it stands out enough from a surface.
func (c colour) towards(other, surface colour, enough float64) colour {
	mixed := c
	for step := 0; step <= 50 && contrast(mixed, surface) < enough; step++ {
		for i := range mixed {
			mixed[i] = uint8(math.Round(float64(c[i]) + (float64(other[i])-float64(c[i]))*float64(step)/50))
		}
	}
	return mixed
}

// brighten raises the lightness, and calms the saturation, until c stands out enough from a dark surface.
func (c colour) brighten(surface colour, enough float64) colour {
	r, g, b := float64(c[0])/255, float64(c[1])/255, float64(c[2])/255
	high, low := max(r, g, b), min(r, g, b)
	lightness := (high + low) / 2
	var saturation, hue float64
	if d := high - low; d > 0 {
		saturation = d / (1 - math.Abs(2*lightness-1))
		switch high {
		case r:
			hue = math.Mod((g-b)/d+6, 6)
		case g:
			hue = (b-r)/d + 2
		default:
			hue = (r-g)/d + 4
		}
	}
	lighter := c
	for ; contrast(lighter, surface) < enough && lightness < 1; lightness += 0.01 {
		chroma := (1 - math.Abs(2*lightness-1)) * saturation * 0.65
		x := chroma * (1 - math.Abs(math.Mod(hue, 2)-1))
		sector := [6][3]float64{{chroma, x, 0}, {x, chroma, 0}, {0, chroma, x}, {0, x, chroma}, {x, 0, chroma}, {chroma, 0, x}}[int(hue)%6]
		for i, v := range sector {
			lighter[i] = uint8(math.Round(255 * min(max(v+lightness-chroma/2, 0), 1)))
		}
	}
	return lighter
}

// contrast of two colours after WCAG 2: from 1 to 21.
func contrast(a, b colour) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func (c colour) luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}
