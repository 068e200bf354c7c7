package zitadelexchange

import (
	"context"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Request is the argument of the storage's CreateAccessToken for an exchange. It is an
// op.TokenExchangeRequest, for storages that handle those. Its setters do nothing, since a decision
// is final.
type Request struct {
	// Decision is the whole decision. Its Expires is the latest expiry that the storage may choose.
	// Its Actor is the chain, which the record of an opaque token must have; TokenOf copies it.
	Decision tokenexchange.Decision

	isJWT bool // the access token is a JWT, whose claims replace those of the record
}

var _ op.TokenExchangeRequest = Request{}

// Claims of the new token. GetResourses, as the framework spells it, returns the requested
// resources; GetAudience returns all granted targets.
func (r Request) GetSubject() string                    { return r.Decision.Subject.ID }
func (r Request) GetClientID() string                   { return r.Decision.Client }
func (r Request) GetAudience() []string                 { return r.Decision.Audience }
func (r Request) GetResourses() []string                { return r.Decision.Facts.Request.Resource }
func (r Request) GetScopes() []string                   { return r.Decision.Scope }
func (r Request) GetAuthTime() time.Time                { return r.subject().Token.AuthTime }
func (r Request) GetAMR() []string                      { return r.subject().Token.AMR }
func (r Request) GetRequestedTokenType() oidc.TokenType { return oidc.TokenType(r.Decision.Type) }

// The presented tokens, by ID. Their claims are in Decision.Facts only.
func (r Request) GetExchangeSubject() string                    { return r.subject().ID }
func (r Request) GetExchangeSubjectTokenType() oidc.TokenType   { return typeOf(r.subject()) }
func (r Request) GetExchangeSubjectTokenIDOrToken() string      { return r.subject().Token.ID }
func (r Request) GetExchangeSubjectTokenClaims() map[string]any { return nil }
func (r Request) GetExchangeActor() string                      { return r.actor().ID }
func (r Request) GetExchangeActorTokenType() oidc.TokenType     { return typeOf(r.actor()) }
func (r Request) GetExchangeActorTokenIDOrToken() string        { return r.actor().Token.ID }
func (r Request) GetExchangeActorTokenClaims() map[string]any   { return nil }

// The setters do nothing.
func (r Request) SetCurrentScopes([]string)            {}
func (r Request) SetRequestedTokenType(oidc.TokenType) {}
func (r Request) SetSubject(string)                    {}

func (r Request) subject() tokenexchange.Subject { return r.Decision.Facts.Subject }

// actor returns the actor of the request; the zero Subject if there was no actor token.
func (r Request) actor() tokenexchange.Subject {
	if presented := r.Decision.Facts.Actor; presented != nil {
		return *presented
	}
	return tokenexchange.Subject{}
}

func typeOf(s tokenexchange.Subject) oidc.TokenType { return oidc.TokenType(s.Token.Type) }

// TokenOf returns the record that the storage must keep for a new access token, in
// CreateAccessToken and CreateAccessAndRefreshTokens, for exchanges and for the framework's own
// grants. The record of an exchange has everything that was decided, and the origins of the token.
// That of another request has the claims of the request: client, auth_time and amr if the request
// is an op.IDTokenRequest, and acr if it is an op.AuthRequest.
func TokenOf(ctx context.Context, id string, expires time.Time,
	r op.TokenRequest) tokenexchange.Token {
	if exchange, ok := r.(Request); ok {
		t := exchange.Decision.Token(id)
		t.Expires, t.Lineage = expires, exchange.Decision.LineageWithOrigins()
		if exchange.isJWT && exchange.Decision.ReplaceMayAct {
			t.MayAct = nil // Grant.Claims may replace it, so the claim of the JWT counts
		}
		return t
	}
	t := tokenexchange.Token{
		Type: tokenexchange.TypeAccessToken, ID: id,
		Issuer: op.IssuerFromContext(ctx), Subject: r.GetSubject(),
		Audience: r.GetAudience(), Scope: append(tokenexchange.Scope{}, r.GetScopes()...),
		Issued: time.Now().UTC().Truncate(time.Second), Expires: expires,
	}
	if r, ok := r.(op.IDTokenRequest); ok {
		t.ClientID, t.AuthTime, t.AMR = r.GetClientID(), r.GetAuthTime(), r.GetAMR()
	}
	if r, ok := r.(op.AuthRequest); ok {
		t.ACR = r.GetACR()
	}
	return t
}
