package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// formLifetime is how long somebody may take to fill in a form.
const formLifetime = 10 * time.Minute

// What a form is for. A form of one kind is none of another.
const formLogin = "login"

// park keeps an authorization request while its user is asked something. The value that it returns goes into the form; only
// together with holder, whom the browser shows by a cookie, does it lead back to the request.
func (s *server) park(ctx context.Context, kind, holder string, a *authorization) (string, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	value, now := newSecret(), s.clock()
	record := tokenstore.Record{Key: tokenstore.KeyOf(kind, s.issuer, value, holder), Expires: now.Add(formLifetime), Data: data}
	return value, s.tokens.Store.Commit(ctx, now, tokenstore.Batch{Put: []tokenstore.Record{record}})
}

// resume finds a request again, once.
func (s *server) resume(ctx context.Context, kind, holder, value string) (*authorization, error) {
	now, key := s.clock(), tokenstore.KeyOf(kind, s.issuer, value, holder)
	record, err := s.tokens.Store.Get(ctx, now, key)
	if err != nil {
		return nil, err
	}
	if err := s.tokens.Store.Commit(ctx, now, tokenstore.Batch{Spend: []tokenstore.Mark{{Key: key, Until: record.Expires}}}); err != nil {
		return nil, err
	}
	a := &authorization{}
	return a, json.Unmarshal(record.Data, a)
}

// showLogin shows the login page, with what was wrong the time before.
func (s *server) showLogin(w http.ResponseWriter, r *http.Request, a *authorization, problem string, status int) {
	value, err := s.park(r.Context(), formLogin, s.browser(w, r), a)
	if err != nil {
		s.showError(w, r, err)
		return
	}
	c, _ := s.directory.client(a.Client)
	s.show(w, r, "login", status, formAction(a.RedirectURI), map[string]any{
		"Action": pathLogin, "Transaction": value, "Client": c.title(), "User": a.LoginHint, "Problem": problem,
	})
}

// loginEndpoint takes the filled-in login page. Whether the user does not exist, may not take part, or has another password
// cannot be told from the answer, nor from how long it takes.
func (s *server) loginEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, longestAuthorization)
		if err := r.ParseForm(); err != nil {
			s.showError(w, r, refuse("the form cannot be read"))
			return
		}
		a, err := s.resume(r.Context(), formLogin, s.cookie(r, cookieBrowser), r.PostForm.Get("transaction"))
		if err != nil {
			s.showError(w, r, err)
			return
		}
		name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
		if !s.directory.checkPassword(name, password) {
			s.log.WarnContext(r.Context(), "login refused", slog.String("client", a.Client), slog.String("user", s.knownUser(name)))
			a.LoginHint = name
			s.showLogin(w, r, a, "This user name and password do not let anybody in.", http.StatusForbidden)
			return
		}
		session, err := s.beginSession(w, r, name)
		if err != nil {
			s.respondError(w, r, a, err)
			return
		}
		s.authorize(w, r, a, session)
	})
}

// knownUser keeps out of the log what is no user: people type passwords into the wrong field.
func (s *server) knownUser(name string) string {
	u, _ := s.directory.user(name)
	return u.ID
}
