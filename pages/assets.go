package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// assets are the files that pages need, under names that change with their content.
type assets struct {
	files  map[string]asset  // by hashed name
	hashed map[string]string // plain name → hashed name
	logo   string            // plain name; empty: none
}

type asset struct {
	body        []byte
	contentType string
}

var assetTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".png":   "image/png",
	".webp":  "image/webp",
	".woff2": "font/woff2",
}

const stylesheet = "contactgate.css"

func loadAssets(src source, b Brand) (assets, error) {
	a := assets{files: map[string]asset{}, hashed: map[string]string{}}
	names, err := src.list("assets")
	if err != nil {
		return a, err
	}
	for _, name := range names {
		contentType, ok := assetTypes[path.Ext(name)]
		if !ok {
			continue
		}
		body, err := src.read("assets/" + name)
		if err != nil {
			return a, err
		}
		if name == stylesheet {
			body = append(body[:len(body):len(body)], b.variables()...)
		}
		a.add(name, asset{body, contentType})
	}
	a.add("icon.svg", asset{b.icon(), "image/svg+xml"})
	if len(b.Logo) > 0 {
		a.logo = logoTypes[b.LogoType]
		a.add(a.logo, asset{b.Logo, b.LogoType})
	}
	return a, nil
}

func (a *assets) add(name string, file asset) {
	sum := sha256.Sum256(file.body)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
	a.hashed[name] = hashed
	a.files[hashed] = file
}

// Asset returns a file by the hashed name that pages link to.
func (r *Renderer) Asset(name string) (body []byte, contentType string, ok bool) {
	f, ok := r.assets.files[name]
	return f.body, f.contentType, ok
}

// ServeAsset answers with a file by its hashed name, and reports whether there is one. Without one it writes nothing.
func (r *Renderer) ServeAsset(w http.ResponseWriter, name string) bool {
	body, contentType, ok := r.Asset(name)
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// A logo in SVG may hold scripts; opened by itself it must stay a picture.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
	return true
}
