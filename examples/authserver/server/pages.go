package server

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/go-tokenexchange/tokenexchange"
)

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"submit": func() template.JS {
	return submitScript
}}).
	ParseFS(pageFiles, "pages/*.html"))

// submitScript is the only script. It is on the page that submits an answer by itself
// (response_mode form_post).
const submitScript = "document.forms[0].submit()"

// scriptHash allows it in the content security policy.
var scriptHash = func() string {
	hash := sha256.Sum256([]byte(submitScript))
	return "'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
}()

// secure sets the headers of a page. Nothing is cached, framed or loaded from elsewhere, and forms
// go to this server and to formAction only. The referrer is the origin: with no-referrer a browser
// would send no Origin with a form, and the server checks it.
func secure(w http.ResponseWriter, formAction string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src "+scriptHash+
		"; form-action 'self'"+formAction+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, status int,
	formAction string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name+".html", data); err != nil {
		s.Log.ErrorContext(r.Context(), "page", slog.String("name", name),
			slog.String("cause", err.Error()))
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	secure(w, formAction)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// showError shows that a request cannot be answered, if there is no redirect URI for the error. The
// cause is in the log: a page that quotes a request is a page that an attacker can write on.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.WarnContext(r.Context(), "page refused", slog.String("path", r.URL.Path),
		slog.String("cause", err.Error()))
	s.show(w, r, "error", tokenexchange.AsError(err).Code.Status(), "", nil)
}

// showFormPost writes a form with the answer that submits itself.
func (s *Server) showFormPost(w http.ResponseWriter, r *http.Request, a *authorization,
	params url.Values) {
	s.show(w, r, "form_post", http.StatusOK, formAction(a.RedirectURI),
		map[string]any{"Action": a.RedirectURI, "Params": params})
}

// styles serves the style sheet of the pages.
func styles() http.Handler {
	css, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		panic(err) // it is embedded
	}
	return document("text/css; charset=utf-8", css)
}
