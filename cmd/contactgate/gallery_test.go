package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contactgate/contactgate/pages"
)

// The gallery hangs out every page in every state, and every mail: the golden files of pages/, which are known to be what
// pages/ makes, with the real style sheet. A state that gets a sample there is looked at here without another line.

const galleryScript = "gallery.test.mjs"

func playGallery(t *testing.T) {
	t.Helper()
	runScript(t, galleryScript, map[string]any{"gallery": openGallery(t), "screenshots": os.Getenv("CONTACTGATE_SCREENSHOTS")})
}

var galleryLanguages = []string{"en", "ja", "ar"}

const goldenFolder = "../../pages/testdata"

type gallery struct {
	// URL is of its server: URL/LANGUAGE/NAME. Pages and Mails are the names; Others are LANGUAGE/NAME of the few pages that
	// there are in all ten languages.
	URL                  string
	Pages, Mails, Others []string

	renderer *pages.Renderer
	// policy is the Content-Security-Policy of a page, assets the hashed names by the plain ones.
	policy string
	assets map[string]string
}

var assetLink = regexp.MustCompile(`/assets/([a-z]+)-(?:HASH|[0-9a-f]{12})(\.[a-z]+)`)

func openGallery(t *testing.T) *gallery {
	t.Helper()
	renderer, err := pages.New(pages.Config{Brand: pages.Brand{Name: "Example"}, Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	g := &gallery{renderer: renderer, assets: map[string]string{}}
	w := httptest.NewRecorder()
	if err := renderer.Render(w, http.StatusOK, pages.Frame{Prefix: "/.contactgate"}, pages.Stale{Back: "verify"}, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	g.policy = w.Header().Get("Content-Security-Policy")
	for _, link := range assetLink.FindAllStringSubmatch(w.Body.String(), -1) {
		g.assets[link[1]+link[2]] = link[0]
	}
	names := map[string][]string{}
	for _, lang := range galleryLanguages {
		files, err := filepath.Glob(filepath.Join(goldenFolder, lang, "*.golden.html"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no golden files in %s: %v", lang, err)
		}
		for _, file := range files {
			names[lang] = append(names[lang], strings.TrimSuffix(filepath.Base(file), ".golden.html"))
		}
		if !slices.Equal(names[lang], names[galleryLanguages[0]]) {
			t.Fatalf("the golden files of %s are others than those of %s", lang, galleryLanguages[0])
		}
	}
	for _, name := range names[galleryLanguages[0]] {
		if strings.HasPrefix(name, "mail-") {
			g.Mails = append(g.Mails, name)
		} else {
			g.Pages = append(g.Pages, name)
		}
	}
	others, err := filepath.Glob(filepath.Join(goldenFolder, "languages", "*", "*.golden.html"))
	if err != nil || len(others) == 0 {
		t.Fatalf("no golden files of other languages: %v", err)
	}
	for _, file := range others {
		name, err := filepath.Rel(goldenFolder, strings.TrimSuffix(file, ".golden.html"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(name, "mail-") {
			g.Others = append(g.Others, filepath.ToSlash(name))
		}
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if asset, ok := strings.CutPrefix(r.URL.Path, "/.contactgate/assets/"); ok {
		if !g.renderer.ServeAsset(w, asset) {
			http.NotFound(w, r)
		}
		return
	}
	text, err := os.ReadFile(filepath.Join(goldenFolder, filepath.FromSlash(r.URL.Path)+".golden.html"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if !strings.Contains(r.URL.Path, "/mail-") { // a mail brings its own style
		w.Header().Set("Content-Security-Policy", g.policy)
	}
	_, _ = w.Write(assetLink.ReplaceAllFunc(text, func(link []byte) []byte {
		parts := assetLink.FindSubmatch(link)
		return []byte(g.assets[string(parts[1])+string(parts[2])])
	}))
}
