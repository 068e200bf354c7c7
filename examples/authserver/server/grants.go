package server

import (
	"context"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// This file adds the grants of package grants: tickets at the authorization endpoint, assertions at
// the token endpoint, act_as in the code and client_credentials grants, and embedded tokens. All of
// them use the same Exchanger.

// typTicket is the header typ of a ticket, which keeps it apart from other JWTs.
const typTicket = "subject-token+jwt"

// addGrants sets up the further grants. Exchanger and Tokens are there already.
func (s *Server) addGrants(w *world.World, o Options) error {
	s.tickets = &grants.Tickets{Tokens: s.Tokens, Type: world.TypeTicket,
		Named: world.TypeRequested}
	s.actAs = grants.ActAs{Named: world.TypeActAs, Prefix: "act_as:"}
	s.embedded = &grants.Embedded{Exchanger: s.Exchanger, Store: o.Store, Type: world.TypeOuter,
		Claim: w.Embedded.Claim,
		Rules: map[string]tokenexchange.Request{}}
	for rule, inner := range w.Embedded.Rules {
		s.embedded.Rules[rule] = tokenexchange.Request{Audience: inner.Audience, Scope: inner.Scope,
			RequestedTokenType: tokenexchange.TypeJWT}
	}
	s.Signer.Claims = func(ctx context.Context, d tokenexchange.Decision,
		claims map[string]any) error {
		if err := s.addClaims(ctx, d, claims); err != nil {
			return err
		}
		return s.embedded.AddClaims(ctx, d, claims)
	}
	s.Exchanger.TokenIssuer = s.embedded.Issuer(s.Tokens)

	s.assertions = &grants.Assertions{Type: world.TypeUserAssertion, Store: o.Store,
		Audience: map[string]string{}}
	verifier, err := tokenexchange.NewVerifier(s.assertionTrust(w)...)
	s.assertions.Verify = func(ctx context.Context,
		c tokenexchange.Credential) (tokenexchange.Token, error) {
		tok, err := verifier.Verify(ctx, c)
		// A client names users by their ids here, an issuer names accounts that the world links.
		tok.Kind = tokenexchange.KindUser
		return tok, err
	}
	return err
}

// assertionTrust returns the trusted signers of assertions: the issuers with assertions in the
// world, and every client that has a key. Assertions have this issuer as audience; an issuer may
// have one more.
func (s *Server) assertionTrust(w *world.World) (list []tokenexchange.Trust) {
	types := map[tokenexchange.TokenType]string{world.TypeUserAssertion: "JWT"}
	for _, f := range w.Issuers {
		if f.Assertions == nil {
			continue
		}
		audience := []string{s.Issuer}
		if other := f.Assertions.Audience; other != "" {
			audience = append(audience, other)
			s.assertions.Audience[f.Issuer] = other
		}
		list = append(list,
			tokenexchange.Trust{Issuer: f.Issuer, JWKS: f.JWKS, JWKSURL: f.JWKSURI, Foreign: true,
				Audience: audience, Scopes: f.Scopes, Types: types})
	}
	for _, c := range w.Clients {
		if len(c.JWKS) > 0 {
			list = append(list, tokenexchange.Trust{Issuer: c.ID, JWKS: c.JWKS,
				Foreign: true, Client: true, Audience: []string{s.Issuer}, Types: types})
		}
	}
	return list
}

// ticketRule lets a client get tickets for the users who log in with it. The roles of those users
// decide which users they may act for.
func ticketRule(c world.Client) tokenexchange.Rule {
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, Tenant: "*", ID: "*"}}
	return tokenexchange.Rule{
		Name: "ticket/" + c.ID,
		Delegate: &tokenexchange.Delegation{
			OtherTokens: true,
			Actors:      users,
			ActorTypes:  []tokenexchange.TokenType{world.TypeSession},
		},
		Clients:  []string{c.ID},
		Subjects: users, SubjectTypes: []tokenexchange.TokenType{world.TypeRequested},
		Types: []tokenexchange.TokenType{world.TypeTicket}, Targets: []string{c.ID},
		Scope: tokenexchange.Scope{"*"}, Lifetime: time.Duration(c.TicketLifetime),
	}
}

// registeredFor reports whether the acting party is the client itself, without a token of the user,
// and the client is registered for that user. It acts by its own assertion or by act_as.
func (s *Server) registeredFor(f tokenexchange.Facts) bool {
	c, _ := s.Directory.Client(f.Client.ID)
	tok := f.Subject.Token
	itself := f.ActingParty() == tokenexchange.Identity{Issuer: f.Issuer,
		Kind: tokenexchange.KindClient, ID: c.ID}
	return itself &&
		(tok.Type == world.TypeActAs || tok.Type == world.TypeUserAssertion && tok.ByClient) &&
		f.Subject.Kind == tokenexchange.KindUser && slices.Contains(c.ActsFor, f.Subject.ID)
}
