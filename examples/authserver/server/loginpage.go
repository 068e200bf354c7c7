package server

import (
	"log/slog"
	"net/http"
)

// formLogin is the kind of the login form. The server refuses a form of another kind.
const formLogin = "login"

// showLogin shows the login page, with the problem of the previous attempt.
func (s *Server) showLogin(w http.ResponseWriter, r *http.Request, a *authorization, problem string,
	status int) {
	c, _ := s.Directory.Client(a.Client)
	s.show(w, r, "login", status, formAction(a.RedirectURI), map[string]any{
		"Action": pathLogin, "Transaction": s.seal(formLogin, s.browser(w, r), a),
		"Client": c.Title(), "User": a.LoginHint, "Problem": problem,
	})
}

// loginEndpoint takes the filled-in login page. Neither the answer nor its time tells whether the
// user does not exist, is not enabled, or has another password. A form is used up by a right
// password.
func (s *Server) loginEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, a, ok := s.readForm(w, r, formLogin, s.cookie(r, cookieBrowser))
		if !ok {
			return
		}
		name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
		if !s.Directory.CheckPassword(name, password) {
			s.Log.WarnContext(r.Context(), "login refused", slog.String("client", a.Client),
				slog.String("user", s.knownUser(name)))
			a.LoginHint = name
			s.showLogin(w, r, a, "The user name or the password is wrong.",
				http.StatusForbidden)
			return
		}
		if err := s.spend(r.Context(), formLogin, f); err != nil {
			s.showError(w, r, err)
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

// knownUser keeps other text out of the log, since people type passwords into the wrong field.
func (s *Server) knownUser(name string) string {
	u, _ := s.Directory.User(name)
	return u.ID
}
