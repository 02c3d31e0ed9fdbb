package pages

import (
	"strings"
	"unicode/utf16"
)

// CodeText writes the text message that carries a code. Its last line binds the code to the site, in the form that phones
// offer only on that site's own pages (wicg.github.io/sms-one-time-codes). The whole of it fits one segment, since carriers
// send the parts of a longer text one by one: when it does not, the brand goes, which the host in the last line tells as
// well, then the advice; the code and the last line stay, however long they are.
func (r *Renderer) CodeText(lang string, m CodeText) (string, error) {
	c := r.catalogFor(lang)
	named, err := c.plain("text.code.named", "Code", m.Code, "Brand", r.brand.Name)
	if err != nil {
		return "", err
	}
	bare, err := c.plain("text.code.bare", "Code", m.Code)
	if err != nil {
		return "", err
	}
	advice, err := c.plain("text.code.advice", "Count", m.Minutes)
	if err != nil {
		return "", err
	}
	bound := boundLine(m.Host, m.Code)
	for _, text := range []string{named + "\n" + advice + bound, bare + "\n" + advice + bound} {
		if segments(text) == 1 {
			return text, nil
		}
	}
	return bare + bound, nil
}

// boundLine is the last line, with the blank one before it. It carries the host as the browser of the page has it, which
// is without its port; a site whose name nobody wrote down has none.
func boundLine(host, code string) string {
	name, _, _ := strings.Cut(tame(host), ":")
	if name == "" || strings.ContainsAny(name, " @#[") {
		return ""
	}
	return "\n\n@" + name + " #" + tame(code)
}

// NoticeText writes the text message that tells a number on file of a new contact, which it does not name, or of a change
// to the authenticator app. There is no link in it that does anything: the code is to be typed.
func (r *Renderer) NoticeText(lang string, m NoticeText) (string, error) {
	c := r.catalogFor(lang)
	when, err := r.moment(c, m.At, m.At)
	if err != nil {
		return "", err
	}
	words, ok := noticeWords[m.Kind]
	if !ok {
		words = noticeWords["email"]
	}
	told, err := c.plain(words.text, "When", Mark{Text: when}, "Brand", r.brand.Name)
	if err != nil {
		return "", err
	}
	var todo string
	if m.Code != "" && m.Page != "" {
		todo, err = c.plain("text.notice.code", "Code", m.Code, "Page", m.Page)
	} else {
		todo, err = c.plain("text.notice.sign_in", "Host", m.Host)
	}
	return told + "\n" + todo, err
}

// gsm7 is the alphabet of text messages (3GPP TS 23.038), gsm7Extension what takes two places in it. One character that is
// in neither makes the whole message UCS-2.
const (
	gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsm7Extension = "\f^{}\\[~]|€"
)

// segments counts the messages that a text becomes on its way: 160 places of GSM 7-bit or 70 of UCS-2 in one, and less in
// each of several, which carry a header.
func segments(text string) int {
	places := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsm7, r):
			places++
		case strings.ContainsRune(gsm7Extension, r):
			places += 2
		default:
			return parts(len(utf16.Encode([]rune(text))), 70, 67)
		}
	}
	return parts(places, 160, 153)
}

func parts(places, alone, each int) int {
	if places <= alone {
		return 1
	}
	return (places + each - 1) / each
}
