package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// grantLogin is the name of a login in the audit log. A client cannot ask for it.
const grantLogin = "login"

// TokenSet has the tokens of a client after a login, with the names of the line that -demo prints.
type TokenSet struct {
	AccessToken  string `json:"access_token"` // opaque
	JWT          string `json:"jwt"`          // an access token with the same content
	IDToken      string `json:"id_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`

	Session tokenexchange.Token `json:"-"`
}

// LogIn issues the tokens of a user without the login page, for -demo. Their scope is what the
// client is registered for and the user has. They are made from the session and end with it.
func (s *Server) LogIn(ctx context.Context, userID, clientID string) (TokenSet, error) {
	c, known := s.Directory.Client(clientID)
	if !known || !c.Status.Enabled() {
		return TokenSet{},
			fmt.Errorf("login of %s: client %q is unknown or disabled", userID, clientID)
	}
	now := s.clock().UTC().Truncate(time.Second)
	session := presented(s.newSession(userID, now), clientID, rand.Text())
	session.Scope = c.Registered().Scope
	issue := func(t tokenexchange.TokenType) (tokenexchange.Response, error) {
		return s.Exchanger.Run(ctx, grantLogin, c.Registered(), func(context.Context, time.Time) (
			tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
			return tokenexchange.Request{RequestedTokenType: t}, session, nil, nil
		})
	}
	opaque, err := issue(tokenexchange.TypeAccessToken)
	if err != nil {
		return TokenSet{}, fmt.Errorf("login of %s with %s: %w", userID, clientID, err)
	}
	jwt, err := issue(tokenexchange.TypeJWT)
	if err != nil {
		return TokenSet{}, fmt.Errorf("login of %s with %s: %w", userID, clientID, err)
	}
	return TokenSet{opaque.AccessToken, jwt.AccessToken, opaque.IDToken, opaque.RefreshToken,
		session}, nil
}

// LogOut ends a session and every token that was made from it, by whatever exchange.
func (s *Server) LogOut(ctx context.Context, session tokenexchange.Token) error {
	return s.Tokens.Revoke(ctx, session)
}
