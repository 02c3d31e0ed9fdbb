package demo

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/contactgate/contactgate/policy"
)

// signIn is a sign-in as plain as can be: choose who you are.
type signIn struct{ Config }

// who is signed in is kept in a cookie, in the clear: whoever can write it may as well use the form.
const personCookie = "demo_person"

func who(r *http.Request) *Person {
	c, err := r.Cookie(personCookie)
	if err != nil {
		return nil
	}
	return find(c.Value)
}

// auth answers forward_auth as Authelia does: who is signed in, in headers; else a page being opened is sent to the
// sign-in, and a program gets 401. The gate's own pages answer for themselves when nobody is signed in.
func (s *signIn) auth(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Forwarded-Uri")
	p := who(r)
	if p == nil {
		switch {
		case strings.HasPrefix(target, s.GatePrefix+"/"):
			w.WriteHeader(http.StatusOK)
		case opensPage(r):
			w.Header().Set("Location", SignIn+"?to="+escapeQuery(target))
			w.WriteHeader(http.StatusSeeOther)
		default:
			http.Error(w, "sign in first", http.StatusUnauthorized)
		}
		return
	}
	h := w.Header()
	h.Set("Remote-User", p.ID)
	h.Set("Remote-Name", p.Name)
	if p.Phone != "" {
		h.Set("Remote-Phone", p.Phone)
	}
	if p.Email != "" {
		h.Set("Remote-Email", p.Email)
	}
	// The gate takes the language of its pages from the browser. This stands for the browser of the person.
	language := p.Language
	if language == "" {
		language = r.Header.Get("Accept-Language")
	}
	h.Set("Remote-Language", language)
	w.WriteHeader(http.StatusOK)
}

func opensPage(r *http.Request) bool {
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" {
		return dest == "document"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

var choosePage = page("signin.html")

type choice struct {
	Name   string
	Here   string
	Me     *Person
	People []card
	To     string
	App    string
	Gate   string
}

// card is a person as the page shows them.
type card struct {
	Person
	State string
	Kind  string // how the state is coloured
}

func (s *signIn) cards(ctx context.Context) ([]card, error) {
	var cards []card
	for _, p := range People() {
		state, err := s.State(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		cards = append(cards, card{p, state.words(&p, time.Now()), state.Standing.String()})
	}
	return cards, nil
}

func (s *signIn) choose(w http.ResponseWriter, r *http.Request) {
	people, err := s.cards(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	show(w, http.StatusOK, choosePage, choice{
		Name: "Sign in", Here: "people", Me: who(r), People: people, To: s.local(r.URL.Query().Get("to")), App: s.App, Gate: s.GatePrefix,
	})
}

func (s *signIn) enter(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	p := find(r.PostFormValue("person"))
	if p == nil {
		http.Error(w, "there is no such person in this demo", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: personCookie, Value: p.ID, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.Header().Set("Location", s.local(r.PostFormValue("to")))
	w.WriteHeader(http.StatusSeeOther)
}

func (s *signIn) leave(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: personCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.Header().Set("Location", SignIn)
	w.WriteHeader(http.StatusSeeOther)
}

// local is an address of this site, or its front page.
func (s *signIn) local(target string) string {
	if !policy.ReturnPath(target, Prefix, "") {
		return "/"
	}
	return target
}

// escapeQuery keeps an address whole inside a query. url.QueryEscape would do, too, and be harder to read.
func escapeQuery(target string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", "#", "%23", ";", "%3B", " ", "%20").Replace(target)
}
