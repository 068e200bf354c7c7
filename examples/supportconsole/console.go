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

// settings are the settings of a console. All are required.
type settings struct {
	// of this console: scheme and host; https, or http on loopback
	URL                    string
	Issuer                 string // the authorization server
	ClientID, ClientSecret string // of this console
	Directory              string // the endpoint of the authorization server that lists users
	Shop, ShopAudience     string // the app's API, and the audience of its tokens

	Idle, Longest time.Duration // a session ends after Idle without requests, and after Longest
	MaxSessions   int

	Log       *slog.Logger
	Now       func() time.Time
	Transport http.RoundTripper
}

// console is a backend for a frontend: it serves pages to an operator's browser, and holds the
// tokens for APIs.
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

// initials stand in for a picture.
func initials(name string) string {
	text := ""
	for _, word := range strings.Fields(name) {
		if letter := []rune(word)[0]; len([]rune(text)) < 2 {
			text += strings.ToUpper(string(letter))
		}
	}
	return text
}

// newConsole reads the metadata of the authorization server, and fails if that is not possible.
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
		c.render(w, http.StatusNotFound, "notice.html",
			page{Title: problemNoPage.Heading, Problem: problemNoPage})
	})
	return mux
}

// guard refuses forms of another origin, and forms without an origin: browsers always send one.
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
	c.render(w, http.StatusForbidden, "notice.html",
		page{Title: problemStranger.Heading, Problem: problemStranger})
}

// secured sets the headers of every response: nothing is cached or framed, and only the scripts and
// styles of this console run. A browser applies form-action to redirects after a form too, and two
// forms redirect to the authorization server: sign-in and sign-out.
func (c *console) secured(next http.Handler) http.Handler {
	targets := []string{"'self'"}
	for _, endpoint := range []string{c.as.Authorization, c.as.EndSession} {
		if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
			targets = append(targets, u.Scheme+"://"+u.Host)
		}
	}
	policy := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; " +
		"form-action " + strings.Join(slices.Compact(targets), " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		// no-referrer would make the Origin of our own forms null
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if strings.HasPrefix(c.URL, "https:") {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// signedIn lets only operators through, and holds their session. Work that they have begun is
// finished even if the browser does not wait, so that no issued token is lost.
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

// page is the data of every template.
type page struct {
	Title    string
	Operator *person // nil: not signed in
	Acting   *acting
	Left     int // seconds
	Notice   string
	Problem  *problem
	Content  any
}

// page returns the page of a signed-in operator. A notice is shown once.
func (c *console) page(s *session, title string) page {
	p := page{Title: title, Operator: &s.operator, Acting: s.acting, Notice: s.notice}
	s.notice = ""
	if s.acting != nil {
		p.Left = int(s.acting.Expires.Sub(c.Now()).Seconds())
	}
	return p
}

// notice shows a problem to a signed-in operator.
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
