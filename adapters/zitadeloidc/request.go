package zitadelexchange

import (
	"context"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Request is what the storage gets in CreateAccessToken: what was decided, as an op.TokenExchangeRequest, so that a storage
// which knows those needs no case of its own for the client's id. The setters change nothing, since a decision is final.
type Request struct {
	// Decision is all that was decided. Its Expires is the latest that the token may live: a storage that would choose a later
	// expiry must choose this one. Its Actor is the chain, to be kept with an opaque token; TokenOf keeps it.
	Decision tokenexchange.Decision

	isJWT bool // the access token is a JWT, whose own claims count
}

var _ op.TokenExchangeRequest = Request{}

// What the token is to say. GetResourses, as the framework spells it, is what was asked for; all targets that were
// granted are in GetAudience.
func (r Request) GetSubject() string                    { return r.Decision.Subject.ID }
func (r Request) GetClientID() string                   { return r.Decision.Client }
func (r Request) GetAudience() []string                 { return r.Decision.Audience }
func (r Request) GetResourses() []string                { return r.Decision.Facts.Request.Resource }
func (r Request) GetScopes() []string                   { return r.Decision.Scope }
func (r Request) GetAuthTime() time.Time                { return r.Decision.Facts.Subject.Token.AuthTime }
func (r Request) GetAMR() []string                      { return r.Decision.Facts.Subject.Token.AMR }
func (r Request) GetRequestedTokenType() oidc.TokenType { return oidc.TokenType(r.Decision.Type) }

// What it is made from. There is an id in place of every token, and claims are in Decision.Facts only.
func (r Request) GetExchangeSubject() string { return r.Decision.Facts.Subject.ID }
func (r Request) GetExchangeSubjectTokenType() oidc.TokenType {
	return typeOf(r.Decision.Facts.Subject)
}
func (r Request) GetExchangeSubjectTokenIDOrToken() string      { return r.Decision.Facts.Subject.Token.ID }
func (r Request) GetExchangeSubjectTokenClaims() map[string]any { return nil }
func (r Request) GetExchangeActor() string                      { return r.actor().ID }
func (r Request) GetExchangeActorTokenType() oidc.TokenType     { return typeOf(r.actor()) }
func (r Request) GetExchangeActorTokenIDOrToken() string        { return r.actor().Token.ID }
func (r Request) GetExchangeActorTokenClaims() map[string]any   { return nil }

func (r Request) SetCurrentScopes([]string)            {}
func (r Request) SetRequestedTokenType(oidc.TokenType) {}
func (r Request) SetSubject(string)                    {}

// actor is who presented an actor token; nobody if there was none.
func (r Request) actor() tokenexchange.Subject {
	if actor := r.Decision.Facts.Actor; actor != nil {
		return *actor
	}
	return tokenexchange.Subject{}
}

func typeOf(s tokenexchange.Subject) oidc.TokenType { return oidc.TokenType(s.Token.Type) }

// TokenOf is the record to keep, by id, of a token that the storage has just created: in CreateAccessToken and
// CreateAccessAndRefreshTokens, for exchanges and for the framework's own grants alike. Of an exchange it is all that was
// decided, with the tokens it was made from. Of any other request it is what the request says, with
// client, time and methods of the login if that is an op.IDTokenRequest, and acr if it is an
// op.AuthRequest.
func TokenOf(ctx context.Context, id string, expires time.Time, r op.TokenRequest) tokenexchange.Token {
	if exchange, ok := r.(Request); ok {
		t := exchange.Decision.Token(id)
		t.Expires, t.Lineage = expires, exchange.Decision.LineageWithOrigins()
		if exchange.isJWT && exchange.Decision.ReplaceMayAct {
			t.MayAct = nil // Grant.Claims may replace it, so what the JWT says counts
		}
		return t
	}
	t := tokenexchange.Token{
		Type: tokenexchange.TypeAccessToken, ID: id, Issuer: op.IssuerFromContext(ctx), Subject: r.GetSubject(),
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
