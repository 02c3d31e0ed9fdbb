// Package pages shows: the pages that people meet, the words on them in their language, and the messages that carry codes.
//
// It is pure. Templates, catalogs and assets are built in; what an operator overrides comes in as an [fs.FS], the moment as
// an argument. Everything that can be wrong with a template, a catalog or a colour is found by [New], not on a page.
package pages

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"time"
)

// Config says whose pages they are.
type Config struct {
	Brand Brand
	// Languages are the tags of the catalogs on offer, in the order of the language choice; the first is the default.
	// Empty: all that are built in, English first.
	Languages []string
	// Location is the time zone in which moments are shown, always with its name. Nil: UTC.
	Location *time.Location
	// Subjects replaces the subject of the mail with the code, by language.
	Subjects map[string]string
	// Overrides holds files that replace built-in ones, one by one: "ask.html", "mail/code.txt", "assets/contactgate.css".
	// A catalog ("locales/ja.json") replaces single messages, or adds a language when it is complete. Nil: none.
	Overrides fs.FS
}

// Renderer shows views. It is made once per configuration and is safe for use by many goroutines.
type Renderer struct {
	brand    Brand
	location *time.Location
	subjects map[string]string
	catalogs []*catalog // in the order offered
	matcher  matcher
	views    templates
	mails    mailTemplates
	assets   assets
}

// New reads and checks everything. The error names every fault that was found, not only the first.
func New(c Config) (*Renderer, error) {
	r := &Renderer{brand: c.Brand, location: c.Location, subjects: c.Subjects}
	if r.location == nil {
		r.location = time.UTC
	}
	src := source{c.Overrides}
	var faults []error
	check := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	var err error
	check(src.unknown())
	check(r.brand.check())
	r.catalogs, err = loadCatalogs(src, c.Languages)
	check(err)
	r.views, err = parseViews(src)
	check(err)
	r.mails, err = parseMails(src)
	check(err)
	r.assets, err = loadAssets(src, r.brand)
	check(err)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	r.matcher = newMatcher(r.catalogs)
	if c.Overrides == nil && len(c.Subjects) == 0 {
		return r, nil // our own files alone: the tests have rehearsed them, and a reload need not
	}
	return r, r.rehearse()
}

// Render answers with a page. Not a byte is written before the whole page is there; when it cannot be made, a bare one
// says so with status 500 and the error is returned for the log.
func (r *Renderer) Render(w http.ResponseWriter, status int, f Frame, v View, now time.Time) error {
	p := r.page(f, v, now)
	body, err := r.views.execute(p)
	if err != nil {
		status, body = http.StatusInternalServerError, r.bare(f)
		err = fmt.Errorf("showing the page %q: %w", v.template(), err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Language", p.catalog.tag.String())
	secure(h, v)
	w.WriteHeader(status)
	if _, failed := w.Write(body); failed != nil && err == nil {
		err = fmt.Errorf("writing the page %q: %w", v.template(), failed)
	}
	return err
}

// bare is the page for when there is no page.
func (r *Renderer) bare(f Frame) []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Error</title><h1>Something went wrong</h1><p>Please try again in a minute.</p>")
	if f.Incident != "" {
		b.WriteString("<p>" + escape(f.Incident) + "</p>")
	}
	return b.Bytes()
}

// leaver is a view with a form whose answer may leave this site.
type leaver interface{ leaves() bool }

// "Not now" answers with a redirect into the app, which may itself redirect to another origin. Chromium applies form-action
// to every redirect that follows a form, so on these pages it would stop people from going where they were going.
func (a Ask) leaves() bool { return a.CanLater }
func (a Add) leaves() bool { return a.CanLater }

func secure(h http.Header, v View) {
	csp := "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'"
	if l, ok := v.(leaver); !ok || !l.leaves() {
		csp += "; form-action 'self'"
	}
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Never "no-referrer": browsers would then send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
}
