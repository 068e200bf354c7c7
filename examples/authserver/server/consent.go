package server

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// A user is asked whether a client may have what it asks for, each time, unless the world says that the client is approved.
// What they are asked has been decided already as far as that goes, so nobody agrees to what is then refused.

// formConsent is the kind of the form that is shown.
const formConsent = "consent"

// The answers of the form. Whatever is not allow is no.
const (
	fieldDecision = "decision"
	decisionAllow = "allow"
)

// showConsent asks. The form is bound to the session in which it is shown, so nobody agrees for somebody else. For whom tokens
// would act is said by the name that the client has sent: whether such a user exists is not to be seen here.
func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, a *authorization, session tokenexchange.Token) {
	c, _ := s.Directory.Client(a.Client)
	scope := slices.DeleteFunc(slices.Clone(a.Request.Scope), func(token string) bool { return token == "openid" })
	s.show(w, r, "consent", http.StatusOK, formAction(a.RedirectURI), map[string]any{
		"Action": pathConsent, "Transaction": s.seal(formConsent, session.ID, a),
		"Client": c.Title(), "User": session.Subject, "ActsFor": a.actsFor(), "Scope": scope,
		"Offline": slices.Contains(scope, "offline_access"),
	})
}

// consentEndpoint takes the answer. It is worth something once, in the session in which the question was asked.
func (s *Server) consentEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := s.currentSession(r)
		if err != nil {
			s.showError(w, r, err)
			return
		}
		f, a, ok := s.readForm(w, r, formConsent, session.ID)
		if !ok {
			return
		}
		if err := s.spend(r.Context(), formConsent, f); err != nil {
			s.showError(w, r, err)
			return
		}
		if r.PostForm.Get(fieldDecision) != decisionAllow {
			s.respondError(w, r, a, accessDenied)
			return
		}
		s.Log.InfoContext(r.Context(), "consent", slog.String("client", a.Client), slog.String("user", session.Subject))
		s.answer(w, r, a, session)
	})
}
