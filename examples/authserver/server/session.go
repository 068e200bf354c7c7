package server

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// A login session is an opaque token of its own type, kept in a cookie. A client never has one, and
// no grant of the token endpoint takes one. The tokens of a session are made from it and end with
// it.

// The cookies. Over https their names have the prefix __Host-, so that no other host can set them.
const (
	cookieSession = "authserver-session"
	cookieBrowser = "authserver-browser"
)

// currentSession returns the session of the browser, if its user is still enabled, or the zero
// Token.
func (s *Server) currentSession(r *http.Request) (tokenexchange.Token, error) {
	value := s.cookie(r, cookieSession)
	if value == "" {
		return tokenexchange.Token{}, nil
	}
	session, err := s.Tokens.VerifyToken(r.Context(),
		tokenexchange.Credential{Token: value, Type: world.TypeSession, Issuer: s.Issuer,
			Now: s.clock()})
	if err == nil {
		_, err = s.ResolveSubject(r.Context(), session)
	}
	switch {
	case err == nil:
		return session, nil
	case isRefusal(err):
		return tokenexchange.Token{}, nil
	}
	return tokenexchange.Token{}, err
}

// isRefusal distinguishes a refusal from a failure of this server.
func isRefusal(err error) bool {
	return err != nil && tokenexchange.AsError(err).Code.Status() < http.StatusInternalServerError
}

// beginSession makes a session for a user who has just shown a password. It ends the session that
// the browser had, and never takes over a value that the browser sent.
func (s *Server) beginSession(w http.ResponseWriter, r *http.Request,
	userID string) (tokenexchange.Token, error) {
	if err := s.endSession(w, r); err != nil {
		return tokenexchange.Token{}, err
	}
	now := s.clock().UTC().Truncate(time.Second)
	session := s.newSession(userID, now)
	made, err := s.Tokens.Mint(r.Context(), session)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	session.ID = made.ID
	s.setCookie(w, cookieSession, made.Value)
	s.Log.InfoContext(r.Context(), "login", slog.String("user", userID),
		slog.String("session", session.ID))
	return session, nil
}

// newSession is a session that begins now. It has no ID yet.
func (s *Server) newSession(userID string, now time.Time) tokenexchange.Token {
	return tokenexchange.Token{Type: world.TypeSession, Kind: tokenexchange.KindUser,
		Issuer: s.Issuer, Subject: userID,
		Issued: now, Expires: now.Add(s.session), AuthTime: now, ACR: "1", AMR: []string{"pwd"}}
}

// endSession ends the session of the browser, with every token that was made from it. It is not an
// error if there is none.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request) error {
	session, err := s.currentSession(r)
	if err != nil || session.ID == "" {
		return err
	}
	s.setCookie(w, cookieSession, "")
	s.Log.InfoContext(r.Context(), "logout", slog.String("user", session.Subject),
		slog.String("session", session.ID))
	ctx, cancel := detached(r.Context())
	defer cancel()
	return s.LogOut(ctx, session)
}

// browser names the browser by a cookie, which is set when the first form is shown. A form that was
// made for one browser is refused from any other.
func (s *Server) browser(w http.ResponseWriter, r *http.Request) string {
	value := s.cookie(r, cookieBrowser)
	if value == "" {
		value = newSecret()
		s.setCookie(w, cookieBrowser, value)
	}
	return value
}

func (s *Server) cookieName(name string) string {
	if s.isHTTPS() {
		return "__Host-" + name
	}
	return name
}

func (s *Server) isHTTPS() bool { return strings.HasPrefix(s.Issuer, "https://") }

func (s *Server) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie until the browser is closed; an empty value deletes it. With SameSite=Lax
// the browser sends it when a client redirects here, and not with a form of another site.
func (s *Server) setCookie(w http.ResponseWriter, name, value string) {
	c := &http.Cookie{Name: s.cookieName(name), Value: value, Path: "/",
		HttpOnly: true, Secure: s.isHTTPS(), SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
