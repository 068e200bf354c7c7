package server

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// A ticket is asked for at the authorization endpoint, by a client whose user wants to act for somebody else:
// response_type=subject_token, the user in requested_subject, and the scope below. Everything is decided before there is
// a ticket, and it comes back in the fragment or in a form, never in a query.

// What a ticket is called at the authorization endpoint.
const (
	paramSubject = "requested_subject"
	paramTicket  = "subject_token"
)

// scopeImpersonate asks for a ticket. A client must be registered for it; a role that impersonates is what gives it to a
// person. It never gets into a token (D23).
const scopeImpersonate = "internal_user_impersonate"

// grantImplicit is what the audit log calls an ID token that comes straight from the authorization endpoint.
const grantImplicit = "implicit"

// idTokenRequest asks for an ID token that says who somebody is and nothing more.
var idTokenRequest = tokenexchange.Request{RequestedTokenType: tokenexchange.TypeIDToken, Scope: tokenexchange.Scope{"openid"}}

// readTicket reads what only a request for a ticket has. The scope that is left is the ticket's.
func (a *authorization) readTicket(c world.Client, form url.Values) error {
	a.RequestedSubject = form.Get(paramSubject)
	if !world.IsTicketResponse(a.ResponseType) {
		if a.RequestedSubject != "" {
			return refuse(paramSubject + " without a response type that is for it")
		}
		return nil
	}
	openID := slices.Contains(a.Request.Scope, "openid")
	switch {
	case a.RequestedSubject == "":
		return refuse(paramSubject + " is missing")
	case a.ActFor != "":
		return refuse("two ways of acting for somebody at once")
	case len(a.Request.Targets()) > 0:
		return tokenexchange.InvalidTarget // a ticket is for its client; what the token is for is said at the exchange
	case !slices.Contains(a.Request.Scope, scopeImpersonate) || !slices.Contains(c.Scope, scopeImpersonate):
		return errors.Join(tokenexchange.InvalidScope, errors.New("the impersonation scope is not asked for, or not the client's"))
	case a.hasIDToken() && !openID:
		return errors.Join(tokenexchange.InvalidScope, errors.New("an ID token without the scope openid")) // OpenID Connect Core §3.1.2.1
	case a.hasIDToken() && a.Nonce == "":
		return refuse("an ID token in the front channel needs a nonce") // OpenID Connect Core §3.2.2.1
	}
	a.Request.Scope = slices.DeleteFunc(a.Request.Scope, func(token string) bool {
		return token == scopeImpersonate || token == "openid" && a.hasIDToken() // which is for the ID token
	})
	return nil
}

func (a *authorization) hasIDToken() bool { return a.ResponseType == world.ResponseIDTicket }

// answerTicket makes the ticket, and the ID token of who has asked for it. If the second fails, the first ends unseen.
func (s *Server) answerTicket(ctx context.Context, a *authorization, session tokenexchange.Token) (url.Values, error) {
	c, _ := s.Directory.Client(a.Client)
	impersonator := presented(session, a.Client, session.ID)
	ticket, err := s.tickets.Mint(ctx, s.Exchanger, c.Registered(), impersonator, a.RequestedSubject, a.Request.Scope)
	if err != nil {
		return nil, denied(err)
	}
	answer := url.Values{paramTicket: {ticket.AccessToken}}
	if !a.hasIDToken() {
		return answer, nil
	}
	x := *s.Exchanger
	x.TokenIssuer = &loginIssuer{TokenIssuer: x.TokenIssuer, server: s, nonce: a.Nonce}
	idToken, err := x.Run(ctx, grantImplicit, c.Registered(), func(context.Context, time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		return idTokenRequest, impersonator, nil, nil
	})
	if err != nil {
		ctx, cancel := detached(ctx)
		defer cancel()
		return nil, errors.Join(denied(err), s.endTicket(ctx, ticket.AccessToken))
	}
	answer.Set("id_token", idToken.AccessToken)
	return answer, nil
}

// endTicket ends a ticket that nobody gets.
func (s *Server) endTicket(ctx context.Context, ticket string) error {
	tok, err := s.Tokens.VerifyToken(ctx, tokenexchange.Credential{Token: ticket, Type: tokenexchange.TypeJWT, Issuer: s.Issuer, Now: s.clock()})
	if err != nil {
		return err
	}
	return s.Tokens.Revoke(ctx, tok)
}

// denied gives a refusal the code of this endpoint (RFC 6749 §4.1.2.1). Whether the user is unknown, locked, of another
// organisation or out of reach looks alike from outside.
func denied(err error) error {
	if errors.Is(err, tokenexchange.InvalidRequest) && tokenexchange.AsError(err).Code == tokenexchange.InvalidRequest {
		return errors.Join(accessDenied, err)
	}
	return err
}
