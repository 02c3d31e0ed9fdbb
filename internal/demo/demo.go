// Package demo is what `contactgate gate demo` runs around the gate: a sign-in, a sample app, and an outbox in the
// browser. It knows no Caddy. Nothing here is meant for a real site: anybody may be anybody, and everybody may read
// the mail.
package demo

import (
	"context"
	"embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/contactgate/contactgate/internal/delivery"
)

// The demo's own pages are under Prefix, in front of which there is no gate.
const (
	Prefix  = "/demo"
	SignIn  = Prefix + "/"
	SignOut = Prefix + "/sign-out"
	Outbox  = Prefix + "/outbox"
	// Auth answers who is signed in, for forward_auth. No browser reaches it.
	Auth = "/auth"
)

// Config is what the demo's pages show.
type Config struct {
	// Mail gives the messages that the gate has sent, newest first.
	Mail func() []delivery.Received
	// State tells what the gate knows of a person now.
	State func(ctx context.Context, user string) (State, error)
	// App is the address of the app behind the gate when it is not the sample app.
	App string
	// GatePrefix is where the gate's own pages are.
	GatePrefix string
}

// Pages is the sign-in and the outbox.
func Pages(c Config) http.Handler {
	mux := http.NewServeMux()
	signIn, outbox := &signIn{c}, &outbox{c.Mail}
	mux.HandleFunc("GET "+Auth, signIn.auth)
	mux.HandleFunc("GET "+SignIn+"{$}", signIn.choose)
	mux.HandleFunc("POST "+SignIn+"{$}", signIn.enter)
	mux.HandleFunc("GET "+SignOut, signIn.leave)
	mux.HandleFunc("GET "+Outbox, outbox.newest)
	mux.HandleFunc("GET "+Outbox+"/last", outbox.last)
	mux.HandleFunc("GET "+Outbox+"/{mail}", outbox.one)
	mux.HandleFunc("GET "+Outbox+"/{mail}/look", outbox.look)
	mux.HandleFunc("GET "+Prefix+"/assets/{file}", asset)
	return plain(mux)
}

var (
	//go:embed templates/*.html
	templates embed.FS
	//go:embed assets
	assets embed.FS

	frame = template.Must(template.ParseFS(templates, "templates/frame.html"))
)

// page is a template in the frame of all the demo's pages.
func page(name string) *template.Template {
	return template.Must(template.Must(frame.Clone()).ParseFS(templates, "templates/"+name))
}

// show answers with a page.
func show(w http.ResponseWriter, status int, t *template.Template, data any) {
	var out strings.Builder
	if err := t.ExecuteTemplate(&out, "frame.html", data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError) // a demo may say what is wrong with it
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(out.String()))
}

// plain sets what every answer of the demo has: the pages need no script from elsewhere, and no frame around them.
func plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

func asset(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "assets/"+r.PathValue("file"))
}
