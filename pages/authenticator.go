package pages

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"
)

// QR is a QR code as a drawing: one path of unit squares, on a square of Size with the quiet zone in it.
type QR struct {
	Size int
	Path string
}

// quietZone is the white edge that scanners need, in modules (ISO/IEC 18004, section 9.1).
const quietZone = 4

// mostNamed is how many characters of a name an app is told: longer ones make a code that a phone cannot make out.
const mostNamed = 40

// Issuer is what apps call the service.
func (p *page) Issuer() string { return forApp(cmp.Or(p.Brand.Issuer, p.Brand.Name)) }

// forApp is a name as an app may be told it: the label of a key has a colon between its two halves, so none may have one.
func forApp(name string) string {
	name = strings.TrimSpace(strings.ReplaceAll(tame(name), ":", " "))
	if runes := []rune(name); len(runes) > mostNamed {
		name = string(runes[:mostNamed])
	}
	return name
}

// Listed is how the app lists the account.
func (p *page) Listed(account string) Mark { return p.Contact(p.Issuer() + ": " + forApp(account)) }

// keyURI is what a QR code tells an app (github.com/google/google-authenticator/wiki/Key-Uri-Format). What it leaves out
// is what every app takes for granted: SHA-1, six digits, 30 seconds.
func (p *page) keyURI(key, account string) string {
	// Some apps show a plus sign where a query may have a blank.
	issuer := strings.ReplaceAll(url.QueryEscape(p.Issuer()), "+", "%20")
	label := issuer + ":" + strings.ReplaceAll(url.QueryEscape(forApp(account)), "+", "%20")
	return "otpauth://totp/" + label + "?secret=" + url.QueryEscape(forApp(key)) + "&issuer=" + issuer
}

// Drawn is the QR code of a key. It is drawn into the page: an image would need an address with the key in it.
func (p *page) Drawn(key, account string) (QR, error) {
	code, err := qr.Encode(p.keyURI(key, account), qr.L)
	if err != nil {
		return QR{}, fmt.Errorf("drawing a QR code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, run, run)
				x += run
			}
		}
	}
	return QR{Size: code.Size + 2*quietZone, Path: path.String()}, nil
}

// Grouped is a key in groups of four, as people read it.
func (p *page) Grouped(key string) string { return grouped(tame(key), 4, " ") }

// Recovery is a recovery code as people read it.
func (p *page) Recovery(code string) string { return grouped(tame(code), 5, "-") }

func grouped(s string, size int, between string) string {
	var groups []string
	for group := range slices.Chunk([]rune(s), size) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, between)
}

// Together are recovery codes as the form that saves them carries them on.
func (p *page) Together(codes []string) string { return strings.Join(codes, " ") }

// RecoveryFile is what is saved of recovery codes: plain text, one code a line.
func (r *Renderer) RecoveryFile(lang string, codes []string, now time.Time) (string, error) {
	c := r.catalogFor(lang)
	when, err := r.moment(c, now, now)
	if err != nil {
		return "", err
	}
	title, err := c.plain("recovery.file", "Brand", r.brand.Name)
	if err != nil {
		return "", err
	}
	once, err := c.plain("recovery.file_once", "When", Mark{Text: when})
	if err != nil {
		return "", err
	}
	text := title + "\n" + once + "\n\n"
	for _, code := range codes {
		text += grouped(tame(code), 5, "-") + "\n"
	}
	return text, nil
}
