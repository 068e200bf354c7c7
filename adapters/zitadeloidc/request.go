package zitadelexchange

import (
	"context"
	"encoding/json"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Request is what the storage gets in CreateAccessToken, and where it is asked for further claims. It says what was decided,
// as an op.TokenExchangeRequest; the setters of that change nothing, since a decision is final.
type Request struct{ decision tokenexchange.Decision }

var _ op.TokenExchangeRequest = Request{}

// Decision is all that was decided. Expires is the latest that a token may live: a storage that would choose a later expiry
// must choose this one. Actor is the chain to keep with an opaque token, which TokenOf does.
func (r Request) Decision() tokenexchange.Decision { return r.decision }

// What the token is to say. GetResourses, with the framework's spelling, is what was asked for; all targets that were
// granted are in GetAudience.
func (r Request) GetSubject() string     { return r.decision.Subject.ID }
func (r Request) GetClientID() string    { return r.decision.Client }
func (r Request) GetAudience() []string  { return r.decision.Audience }
func (r Request) GetResourses() []string { return r.decision.Facts.Request.Resource }
func (r Request) GetScopes() []string    { return r.decision.Scope }
func (r Request) GetAuthTime() time.Time { return r.decision.Facts.Subject.Token.AuthTime }
func (r Request) GetAMR() []string       { return r.decision.Facts.Subject.Token.AMR }

// GetRequestedTokenType is the framework's word for what is made: an access token, however it was asked for, or an ID token.
func (r Request) GetRequestedTokenType() oidc.TokenType {
	if r.decision.Type == tokenexchange.TypeIDToken {
		return oidc.IDTokenType
	}
	return oidc.AccessTokenType
}

// What it is made from. There is an id in place of every token.
func (r Request) GetExchangeSubject() string { return r.decision.Facts.Subject.ID }
func (r Request) GetExchangeSubjectTokenType() oidc.TokenType {
	return oidc.TokenType(r.decision.Facts.Subject.Token.Type)
}
func (r Request) GetExchangeSubjectTokenIDOrToken() string { return r.decision.Facts.Subject.Token.ID }
func (r Request) GetExchangeSubjectTokenClaims() map[string]any {
	return claimsOf(r.decision.Facts.Subject.Token)
}
func (r Request) GetExchangeActor() string { return r.actor().ID }
func (r Request) GetExchangeActorTokenType() oidc.TokenType {
	return oidc.TokenType(r.actor().Token.Type)
}
func (r Request) GetExchangeActorTokenIDOrToken() string      { return r.actor().Token.ID }
func (r Request) GetExchangeActorTokenClaims() map[string]any { return claimsOf(r.actor().Token) }

func (r Request) SetCurrentScopes([]string)              {}
func (r Request) SetRequestedTokenType(_ oidc.TokenType) {}
func (r Request) SetSubject(string)                      {}

// actor is who presented an actor token; nobody if there was none.
func (r Request) actor() tokenexchange.Subject {
	if actor := r.decision.Facts.Actor; actor != nil {
		return *actor
	}
	return tokenexchange.Subject{}
}

// claimsOf is the payload of a token that was a JWT; nil if it was opaque.
func claimsOf(t tokenexchange.Token) (claims map[string]any) {
	_ = json.Unmarshal(t.Claims, &claims)
	return claims
}

// idTokenRequest undoes what the framework does to auth_time, which is a fact about a login and not a date of the token.
type idTokenRequest struct {
	Request
	skew time.Duration
}

func (r idTokenRequest) GetAuthTime() time.Time { return r.Request.GetAuthTime().Add(r.skew) }

// TokenOf is the record to keep, by id, of a token that the storage has just created: in CreateAccessToken and
// CreateAccessAndRefreshTokens, for exchanges and for the framework's own grants alike. Of an exchange it is all that was
// decided. Of any other request it is what that says: a client only where it has GetClientID, and how the user logged in
// only where it has GetAuthTime, GetAMR and GetACR.
func TokenOf(ctx context.Context, id string, expires time.Time, r op.TokenRequest) tokenexchange.Token {
	if exchange, ok := r.(Request); ok {
		t := exchange.decision.Token(id)
		t.Expires = expires
		return t
	}
	t := tokenexchange.Token{
		Type: tokenexchange.TypeAccessToken, ID: id, Issuer: op.IssuerFromContext(ctx), Subject: r.GetSubject(),
		Audience: r.GetAudience(), Scope: append(tokenexchange.Scope{}, r.GetScopes()...), Expires: expires,
	}
	if r, ok := r.(interface{ GetClientID() string }); ok {
		t.ClientID = r.GetClientID()
	}
	if r, ok := r.(interface{ GetAuthTime() time.Time }); ok {
		t.AuthTime = r.GetAuthTime()
	}
	if r, ok := r.(interface{ GetAMR() []string }); ok {
		t.AMR = r.GetAMR()
	}
	if r, ok := r.(interface{ GetACR() string }); ok {
		t.ACR = r.GetACR()
	}
	return t
}
