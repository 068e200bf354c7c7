package server

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
)

// A user is asked for consent at every request, unless the client is approved in the world. The
// policy has already decided about the request, so a user never consents to a request that is then
// refused.

// formConsent is the kind of the consent form.
const formConsent = "consent"

// The answers of the form. Every other answer is a refusal.
const (
	fieldDecision = "decision"
	decisionAllow = "allow"
)

// showConsent shows the consent form. It is bound to the session, so that one user cannot consent
// for another. The user that the tokens would be about is shown by the name in the request, which
// does not reveal whether such a user exists.
func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, a *authorization,
	session tokenexchange.Token) {
	c, _ := s.Directory.Client(a.Client)
	scope := slices.DeleteFunc(slices.Clone(a.Request.Scope), func(token string) bool {
		return token == "openid"
	})
	s.show(w, r, "consent", http.StatusOK, formAction(a.RedirectURI), map[string]any{
		"Action": pathConsent, "Transaction": s.seal(formConsent, session.ID, a),
		"Client": c.Title(), "User": session.Subject, "ActsFor": a.actsFor(), "Scope": scope,
		"Offline": slices.Contains(scope, "offline_access"),
	})
}

// consentEndpoint takes the answer. It counts once, in the session in which the question was asked.
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
		s.Log.InfoContext(r.Context(), "consent", slog.String("client", a.Client),
			slog.String("user", session.Subject))
		s.answer(w, r, a, session)
	})
}
