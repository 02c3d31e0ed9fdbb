package caddymodule

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func cleaned(t *testing.T, g *Gate, r *http.Request) (*http.Request, error) {
	t.Helper()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
	p := publishing(r)
	return r, g.clean(r, p)
}

// CGI and its heirs take "-", "_" and, some of them, every other sign for one: what a client sends under any such name
// would stand beside what the gate says.
func TestOurNamesAndTheIdentitysAreOursInEverySpelling(t *testing.T) {
	g := &Gate{protected: []string{"Remote-User", "Remote-Email"}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Contactgate-Status": {"x"}, "contactgate_status": {"x"}, "CONTACTGATE.EMAIL": {"x"}, "Contactgate~Status": {"x"},
		"Contactgate*Email": {"x"}, "Contactgate": {"x"}, "Remote_user": {"x"}, "Remote.User": {"x"}, "Remote~User": {"x"}, "Remote!email": {"x"},
		"Remote-User": {"ann"}, "Contactgates": {"kept"}, "X_other": {"kept"},
	}
	r, err := cleaned(t, g, r)
	if err != nil || len(r.Header) != 3 || r.Header.Get("Remote-User") != "ann" {
		t.Errorf("%v, %v", r.Header, err)
	}
}

// What gates keep for one another with a request is no placeholder: it has the cookies of ours.
func TestACarriedRequestWritesNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "contactgate=secret; app=1")
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, httptest.NewRecorder(), nil)
	p := publishing(r)
	if err := (&Gate{}).clean(r, p); err != nil {
		t.Fatal(err)
	}
	if again := publishing(r); again != p || len(p.cookies) != 1 {
		t.Fatalf("the next gate finds %+v", again)
	}
	if text := repl.ReplaceAll("<{http.contactgate.}>", "-"); text != "<->" {
		t.Errorf("it writes %q", text)
	}
}

// Trailers come after the body, and more of them than were announced.
func TestTrailersCannotSayWhatOnlyTheGateMaySay(t *testing.T) {
	got := make(chan http.Header, 1)
	g := &Gate{protected: []string{"Remote-User"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, err := cleaned(t, g, r)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\n"+
		"X-Sum: 1\r\nRemote-User: cyd\r\nremote_user: cyd\r\nContactgate-Status: verified\r\n\r\n")
	if trailer := <-got; len(trailer) != 1 || trailer.Get("X-Sum") != "1" {
		t.Errorf("the app gets %v", trailer)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	r.Trailer = http.Header{"Contactgate-Status": nil}
	if _, err := cleaned(t, g, r); err == nil {
		t.Error("an announced trailer of ours is taken")
	}
}

// The exemption is for the sign-out, not for the whole of an app that has one entrance.
func TestSignOutWithAQueryExemptsNothingElse(t *testing.T) {
	for _, c := range []struct {
		signOut, target string
		exempt          bool
	}{
		{"/logout", "/logout", true}, {"/logout", "/logout?x=1", true}, {"/logout", "/logout/", false}, {"/logout", "/LOGOUT", false},
		{"/index.php?action=logout", "/index.php?action=logout", true},
		{"/index.php?action=logout", "/index.php?title=Secret", false},
		{"/index.php?action=logout", "/index.php", false},
		{"/?logout=1", "/", false}, {"/?logout=1", "/?logout=1", true},
	} {
		g := &Gate{}
		g.signOutPath = g.pathOf(c.signOut)
		if got := g.signsOut(httptest.NewRequest(http.MethodGet, c.target, nil)); got != c.exempt {
			t.Errorf("sign_out %s: %s exempt: %t", c.signOut, c.target, got)
		}
	}
}
