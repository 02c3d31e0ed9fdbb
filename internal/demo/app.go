package demo

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// App is the sample app behind the gate. It knows nothing of the gate; it only shows what reaches it.
func App() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("GET /notes/{note...}", note)
	mux.HandleFunc("POST /notes", save)
	mux.HandleFunc("GET /api/notes", notes)
	return plain(mux)
}

var (
	homePage = page("app.html")
	notePage = page("note.html")
)

// request is what reached the app.
type request struct {
	Name     string
	Here     string
	User     string // as people are called
	Status   string
	Deadline time.Time
	Headers  []field
	Address  string
	Saved    string // what a form brought
}

type field struct {
	Name, Value string
	Ours        bool // the gate says it
}

// look takes from a request what the pages show.
func look(r *http.Request, name string) request {
	view := request{
		Name: name, Here: "app", User: r.Header.Get("Remote-Name"), Address: r.RequestURI,
		Status: r.Header.Get("Contactgate-Status"),
	}
	view.Deadline, _ = time.Parse(time.RFC3339, r.Header.Get("Contactgate-Deadline")) // not there: zero
	for name := range r.Header {
		if ours := strings.HasPrefix(name, "Contactgate"); ours || strings.HasPrefix(name, "Remote-") {
			view.Headers = append(view.Headers, field{Name: name, Value: strings.Join(r.Header[name], ", "), Ours: ours})
		}
	}
	slices.SortFunc(view.Headers, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	view.Headers = append(view.Headers, field{Name: "Cookie", Value: r.Header.Get("Cookie")})
	return view
}

func home(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, homePage, look(r, "Notes"))
}

func note(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, notePage, look(r, "A note"))
}

func save(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	view := look(r, "Saved")
	if view.Saved = r.PostFormValue("note"); view.Saved == "" {
		view.Saved = "(an empty note)"
	}
	show(w, http.StatusOK, notePage, view)
}

// notes is what a script of the app fetches.
func notes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"notes": []string{"Water the plants", "Call the bank"}, "contactgate_status": r.Header.Get("Contactgate-Status"),
	})
}
