package caddymodule

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// mostForm is the largest form that is read. Ours have a few short fields.
const mostForm = 64 << 10

// formPatience is how long a form may take to arrive: sent byte by byte, it would hold a connection for ever.
const formPatience = 10 * time.Second

// formError is a form that is refused before anybody looks at what it says.
type formError struct {
	status int
	kind   string
}

func (e *formError) Error() string { return e.kind }

// readForm reads a form posted to one of our pages: from this very site, of the one type that our forms have, small,
// with each field once and no others.
func (g *Gate) readForm(w http.ResponseWriter, r *http.Request, fields []string) (url.Values, error) {
	if !g.sameSite(r) {
		return nil, &formError{http.StatusForbidden, "crosssite"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &formError{http.StatusUnsupportedMediaType, "unsupported"}
	}
	if r.ContentLength > mostForm {
		return nil, &formError{http.StatusRequestEntityTooLarge, "toolarge"}
	}
	giveBody(w, formPatience)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostForm))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &formError{http.StatusRequestEntityTooLarge, "toolarge"}
	}
	if err != nil {
		return nil, &formError{http.StatusBadRequest, "badrequest"}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &formError{http.StatusBadRequest, "badrequest"}
	}
	for name, values := range form {
		// Two values for one field: this code would read the first, another reader the last.
		if len(values) != 1 || !slices.Contains(fields, name) && name != "csrf" && name != "return" {
			return nil, &formError{http.StatusBadRequest, "badrequest"}
		}
	}
	return form, nil
}

var crossOrigin = http.NewCrossOriginProtection()

// sameSite asks Go's own protection, which goes by Sec-Fetch-Site, and then compares Origin, where there is one, in
// full: the library looks at the host alone and lets "http://" and "https://evil@host" pass.
func (g *Gate) sameSite(r *http.Request) bool {
	if crossOrigin.Check(r) != nil {
		return false
	}
	origin, sent := r.Header["Origin"]
	return !sent || len(origin) == 1 && strings.EqualFold(origin[0], g.originOf(r))
}
