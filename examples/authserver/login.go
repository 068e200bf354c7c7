package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// grantLogin is what the audit log calls a login. It is no grant that a client could ask for.
const grantLogin = "login"

// tokenSet is what a client has after a login, by the names of the line that -demo prints.
type tokenSet struct {
	AccessToken  string `json:"access_token"` // opaque
	JWT          string `json:"jwt"`          // an access token that says the same
	IDToken      string `json:"id_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`

	session tokenexchange.Token
}

// logIn makes the tokens of a user without the login page, for -demo: what somebody has who has logged in with a client. Its scope is all that the client is registered for and the user has.
// The session is what the tokens are made from, so they end with it.
func (s *server) logIn(ctx context.Context, userID, clientID string) (tokenSet, error) {
	c, known := s.directory.client(clientID)
	if !known || !c.Status.enabled() {
		return tokenSet{}, fmt.Errorf("login of %s: no such client, or a disabled one: %q", userID, clientID)
	}
	now := s.clock().UTC().Truncate(time.Second)
	session := presented(s.newSession(userID, now), clientID, rand.Text())
	session.Scope = c.registered().Scope
	issue := func(t tokenexchange.TokenType) (tokenexchange.Response, error) {
		return s.exchanger.Run(ctx, grantLogin, c.registered(), func(context.Context, time.Time) (
			tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
			return tokenexchange.Request{RequestedTokenType: t}, session, nil, nil
		})
	}
	opaque, err := issue(tokenexchange.TypeAccessToken)
	if err != nil {
		return tokenSet{}, fmt.Errorf("login of %s with %s: %w", userID, clientID, err)
	}
	jwt, err := issue(tokenexchange.TypeJWT)
	if err != nil {
		return tokenSet{}, fmt.Errorf("login of %s with %s: %w", userID, clientID, err)
	}
	return tokenSet{opaque.AccessToken, jwt.AccessToken, opaque.IDToken, opaque.RefreshToken, session}, nil
}

// logOut ends a session, and with it every token that was made from it, by whatever exchange and for whomever.
func (s *server) logOut(ctx context.Context, session tokenexchange.Token) error {
	return s.tokens.Revoke(ctx, session)
}
