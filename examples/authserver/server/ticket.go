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

// A ticket is a subject token from the authorization endpoint, for a client whose user wants to act
// for another user: response_type=subject_token, the other user in requested_subject, and the scope
// below. Everything is decided before the ticket is made. It is sent in the fragment or in a form,
// never in a query.

// Names at the authorization endpoint.
const (
	paramSubject = "requested_subject"
	paramTicket  = "subject_token"
)

// scopeImpersonate asks for a ticket. The client must be registered for it, and the user needs a
// role that impersonates. It never gets into a token (D23).
const scopeImpersonate = "internal_user_impersonate"

// grantImplicit is the name in the audit log of an ID token from the authorization endpoint.
const grantImplicit = "implicit"

// idTokenRequest asks for an ID token without a profile.
var idTokenRequest = tokenexchange.Request{RequestedTokenType: tokenexchange.TypeIDToken,
	Scope: tokenexchange.Scope{"openid"}}

// readTicket reads the parameters of a request for a ticket. The remaining scope is that of the
// ticket.
func (a *authorization) readTicket(c world.Client, form url.Values) error {
	a.RequestedSubject = form.Get(paramSubject)
	if !world.IsTicketResponse(a.ResponseType) {
		if a.RequestedSubject != "" {
			return refuse(paramSubject + " without a response type for it")
		}
		return nil
	}
	openID := slices.Contains(a.Request.Scope, "openid")
	switch {
	case a.RequestedSubject == "":
		return refuse(paramSubject + " is missing")
	case a.ActFor != "":
		return refuse("requested_subject together with act_as")
	case len(a.Request.Targets()) > 0:
		// a ticket is for its client; the exchange names the target
		return tokenexchange.InvalidTarget
	case !slices.Contains(a.Request.Scope, scopeImpersonate) ||
		!slices.Contains(c.Scope, scopeImpersonate):
		return errors.Join(tokenexchange.InvalidScope,
			errors.New("scope "+scopeImpersonate+
				" is not requested, or not registered for the client"))
	case a.hasIDToken() && !openID:
		// OpenID Connect Core §3.1.2.1
		return errors.Join(tokenexchange.InvalidScope,
			errors.New("an ID token needs the scope openid"))
	case a.hasIDToken() && a.Nonce == "":
		// OpenID Connect Core §3.2.2.1
		return refuse("an ID token in the front channel needs a nonce")
	}
	a.Request.Scope = slices.DeleteFunc(a.Request.Scope, func(token string) bool {
		// for the ID token
		return token == scopeImpersonate || token == "openid" && a.hasIDToken()
	})
	return nil
}

func (a *authorization) hasIDToken() bool { return a.ResponseType == world.ResponseIDTicket }

// answerTicket makes the ticket, and the ID token of the user who asked for it. If the ID token
// fails, the ticket is revoked.
func (s *Server) answerTicket(ctx context.Context, a *authorization,
	session tokenexchange.Token) (url.Values, error) {
	c, _ := s.Directory.Client(a.Client)
	impersonator := presented(session, a.Client, session.ID)
	ticket, err := s.tickets.Mint(ctx, s.Exchanger, c.Registered(), impersonator,
		a.RequestedSubject, a.Request.Scope)
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

// endTicket revokes a ticket that was not delivered.
func (s *Server) endTicket(ctx context.Context, ticket string) error {
	tok, err := s.Tokens.VerifyToken(ctx,
		tokenexchange.Credential{Token: ticket, Type: tokenexchange.TypeJWT, Issuer: s.Issuer,
			Now: s.clock()})
	if err != nil {
		return err
	}
	return s.Tokens.Revoke(ctx, tok)
}

// denied turns a refusal into the code of this endpoint (RFC 6749 §4.1.2.1). A user who is unknown,
// locked, of another organization or out of reach looks the same from outside.
func denied(err error) error {
	if errors.Is(err, tokenexchange.InvalidRequest) &&
		tokenexchange.AsError(err).Code == tokenexchange.InvalidRequest {
		return errors.Join(accessDenied, err)
	}
	return err
}
