package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// settings are what a console must be told. The zero value of none is good.
type settings struct {
	URL                    string // of this console, as browsers see it: scheme and host; https, or http on loopback
	Issuer                 string // the authorization server
	ClientID, ClientSecret string // of this console
	Directory              string // where the authorization server lists users
	Shop, ShopAudience     string // the app's API, and the name under which it takes tokens

	Idle, Longest time.Duration // a session without requests, and any session, ends after so long
	MaxSessions   int

	Log       *slog.Logger
	Now       func() time.Time
	Transport http.RoundTripper
}

// console is a backend for a frontend: pages for an operator's browser in front, tokens for APIs behind.
type console struct {
	http.Handler
	settings
	as       *provider
	logins   sealer
	sessions *sessions
}

//go:embed static
var static embed.FS

//go:embed templates
var templates embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"initials": initials,
	"join":     func(list []string) string { return strings.Join(list, ", ") },
	"path":     url.PathEscape,
}).ParseFS(templates, "templates/*.html"))

// initials stand for a picture of somebody.
func initials(name string) string {
	text := ""
	for _, word := range strings.Fields(name) {
		if letter := []rune(word)[0]; len([]rune(text)) < 2 {
			text += strings.ToUpper(string(letter))
		}
	}
	return text
}

// newConsole asks the authorization server what it is, and fails where that is not to be had.
func newConsole(ctx context.Context, s settings) (*console, error) {
	own, err := url.Parse(s.URL)
	if err != nil || own.Scheme == "" || own.Host == "" || s.URL != own.Scheme+"://"+own.Host {
		return nil, fmt.Errorf("the URL of the console must be a scheme and a host: %q", s.URL)
	}
	as, err := discover(ctx, s)
	if err != nil {
		return nil, err
	}
	logins, err := newSealer()
	if err != nil {
		return nil, err
	}
	c := &console{settings: s, as: as, logins: logins, sessions: newSessions(s)}
	c.Handler = c.secured(c.guard(http.MaxBytesHandler(c.routes(), 16<<10)))
	return c, nil
}

func (c *console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.home)
	mux.HandleFunc("POST /login", c.beginLogin)
	mux.HandleFunc("GET /callback", c.finishLogin)
	mux.Handle("POST /logout", c.signedIn(c.logOut))
	mux.Handle("GET /act", c.signedIn(c.showUser))
	mux.Handle("POST /act", c.signedIn(c.begin))
	mux.Handle("POST /stop", c.signedIn(c.stop))
	mux.Handle("GET /app", c.signedIn(c.showApp))
	mux.Handle("POST /app/orders/{id}/cancel", c.signedIn(c.cancelOrder))
	mux.Handle("GET /static/{file}", http.FileServerFS(static))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, http.StatusNotFound, "notice.html", page{Title: problemNoPage.Heading, Problem: problemNoPage})
	})
	return mux
}

// guard lets through no form of another origin, and none that does not say where it is from: no browser sends such a one.
func (c *console) guard(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(c.refuseStranger))
	next = origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		silent := r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == ""
		if silent && r.Method != http.MethodGet && r.Method != http.MethodHead {
			c.refuseStranger(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseStranger answers a form that another site has sent with this browser's cookies.
func (c *console) refuseStranger(w http.ResponseWriter, r *http.Request) {
	c.Log.Warn("form of another origin", "path", r.URL.Path, "origin", r.Header.Get("Origin"))
	c.render(w, http.StatusForbidden, "notice.html", page{Title: problemStranger.Heading, Problem: problemStranger})
}

// secured sets what every answer has: nothing is kept, nothing is framed, and no script or style runs but the files of this
// console. A browser holds the redirects that follow a form to form-action too, and two forms lead on to the authorization
// server: to sign in and to sign out.
func (c *console) secured(next http.Handler) http.Handler {
	targets := []string{"'self'"}
	for _, endpoint := range []string{c.as.Authorization, c.as.EndSession} {
		if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
			targets = append(targets, u.Scheme+"://"+u.Host)
		}
	}
	policy := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"form-action " + strings.Join(slices.Compact(targets), " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would make the Origin of our own forms null
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if strings.HasPrefix(c.URL, "https:") {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// signedIn lets only operators through, and holds their session. What they have begun is done to the end even where the
// browser does not wait, so that no token is issued that nobody knows of.
func (c *console) signedIn(next func(http.ResponseWriter, *http.Request, *session)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := c.sessions.find(r)
		if s == nil {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		s.Lock()
		defer s.Unlock()
		if s.ended {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		ctx := context.WithoutCancel(r.Context())
		c.endExpired(ctx, s)
		next(w, r.WithContext(ctx), s)
	})
}

// page is what every template gets.
type page struct {
	Title    string
	Operator *person // nil: nobody is signed in
	Acting   *acting
	Left     int // seconds
	Notice   string
	Problem  *problem
	Content  any
}

// page begins a page for somebody who is signed in. A notice is shown once.
func (c *console) page(s *session, title string) page {
	p := page{Title: title, Operator: &s.operator, Acting: s.acting, Notice: s.notice}
	s.notice = ""
	if s.acting != nil {
		p.Left = int(s.acting.Expires.Sub(c.Now()).Seconds())
	}
	return p
}

// notice is a page with nothing but a problem, for somebody who is signed in.
func (c *console) notice(w http.ResponseWriter, status int, s *session, wrong *problem) {
	p := c.page(s, wrong.Heading)
	p.Problem = wrong
	c.render(w, status, "notice.html", p)
}

func (c *console) render(w http.ResponseWriter, status int, name string, p page) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		c.Log.Error("page", "name", name, "cause", err.Error())
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}
