package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/doors"
)

// This file opens the doors of package doors: tickets for impersonators at the authorization endpoint, assertions at the
// token endpoint, act_as in the code grant and in client_credentials, and tokens inside of tokens. All of them lead to
// the same Exchanger.

// Token types of these doors. A client can present a ticket at the exchange, and none of the others.
const (
	typeTicket        tokenexchange.TokenType = "urn:example:token-type:subject-token"     // somebody may act for a user, once
	typeRequested     tokenexchange.TokenType = "urn:example:token-type:requested-subject" // the user for whom a ticket is asked
	typeUserAssertion tokenexchange.TokenType = "urn:example:token-type:user-assertion"    // an issuer or a client says who a user is (jwt-bearer)
	typeActAs         tokenexchange.TokenType = "urn:example:token-type:act-as"            // a scope or the parameter claims names a user
	typeOuter         tokenexchange.TokenType = "urn:example:token-type:outer"             // a token that another one is put into
)

// doorTypes are those that rules of the policy may name, as subject or actor token. What a ticket is asked with is no matter of
// the policy but of roles.
var doorTypes = []tokenexchange.TokenType{typeSession, typeClient, typeTicket, typeUserAssertion, typeActAs, typeOuter}

// typTicket is the header typ of a ticket, so that it is never mistaken for another JWT.
const typTicket = "subject-token+jwt"

// embeddedTokens are the tokens that are put into others.
type embeddedTokens struct {
	Claim string                `json:"claim"`
	Rules map[string]innerToken `json:"rules"` // by the name of the rule that grants the outer token
}

// innerToken is what is asked for, with scope cut to that of the outer token; none: what the rule of the inner token allows.
type innerToken struct {
	Audience []string            `json:"audience"`
	Scope    tokenexchange.Scope `json:"scope"`
}

// openDoors puts the further doors together. The exchanger and the tokens are there already.
func (s *server) openDoors(w *world, o options) error {
	s.tickets = &doors.Tickets{Tokens: s.tokens, Type: typeTicket, Named: typeRequested}
	s.actAs = doors.ActAs{Named: typeActAs, Prefix: "act_as:"}
	s.embedded = &doors.Embedded{Exchanger: s.exchanger, Store: o.Store, Type: typeOuter, Claim: w.Embedded.Claim,
		Rules: map[string]tokenexchange.Request{}}
	for rule, inner := range w.Embedded.Rules {
		s.embedded.Rules[rule] = tokenexchange.Request{Audience: inner.Audience, Scope: inner.Scope, RequestedTokenType: tokenexchange.TypeJWT}
	}
	s.signer.Claims = func(ctx context.Context, d tokenexchange.Decision, claims map[string]any) error {
		if err := s.addClaims(ctx, d, claims); err != nil {
			return err
		}
		return s.embedded.AddClaims(ctx, d, claims)
	}
	s.exchanger.Tokens = s.embedded.Issuer(s.tokens)

	s.assertions = &doors.Assertions{Type: typeUserAssertion, Store: o.Store, Audience: map[string]string{}}
	verifier, err := tokenexchange.NewVerifier(s.assertionTrust(w)...)
	s.assertions.Verify = func(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
		tok, err := verifier.Verify(ctx, c)
		tok.Kind = tokenexchange.KindUser // whoever speaks: a client by their ids here, an issuer by those that the world links
		return tok, err
	}
	return err
}

// assertionTrust is whose assertions are believed: those of the issuers that the world says it of, and of every client that
// has a key. They are for this issuer alone; an issuer may be allowed one more audience.
func (s *server) assertionTrust(w *world) (list []tokenexchange.Trust) {
	types := map[tokenexchange.TokenType]string{typeUserAssertion: "JWT"}
	for _, f := range w.Issuers {
		if f.Assertions == nil {
			continue
		}
		audience := []string{s.issuer}
		if other := f.Assertions.Audience; other != "" {
			audience = append(audience, other)
			s.assertions.Audience[f.Issuer] = other
		}
		list = append(list, tokenexchange.Trust{Issuer: f.Issuer, JWKS: f.JWKS, JWKSURL: f.JWKSURI, Foreign: true,
			Audience: audience, Scopes: f.Scopes, Types: types})
	}
	for _, c := range w.Clients {
		if len(c.JWKS) > 0 {
			list = append(list, tokenexchange.Trust{Issuer: c.ID, JWKS: c.JWKS,
				Foreign: true, Client: true, Audience: []string{s.issuer}, Types: types})
		}
	}
	return list
}

// ticketRule lets a client have tickets for those who log in with it. What they may do is said by their roles.
func ticketRule(c client) tokenexchange.Rule {
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, Tenant: "*", ID: "*"}}
	return tokenexchange.Rule{
		Name: "ticket/" + c.ID, Mode: tokenexchange.Delegate, Clients: []string{c.ID}, OtherTokens: true,
		Subjects: users, SubjectTypes: []tokenexchange.TokenType{typeRequested},
		Actors: users, ActorTypes: []tokenexchange.TokenType{typeSession},
		Types: []tokenexchange.TokenType{typeTicket}, Targets: []string{c.ID},
		Scope: tokenexchange.Scope{"*"}, Lifetime: time.Duration(c.TicketLifetime),
	}
}

// speaksFor reports whether a client acts for a user of whom it has no token, by its own word or by act_as, and is registered
// for that user.
func (s *server) speaksFor(f tokenexchange.Facts) bool {
	c, _ := s.directory.client(f.Client.ID)
	tok := f.Subject.Token
	itself := f.ActingParty() == tokenexchange.Identity{Issuer: f.Issuer, Kind: tokenexchange.KindClient, ID: c.ID}
	return itself && (tok.Type == typeActAs || tok.Type == typeUserAssertion && tok.ByClient) &&
		f.Subject.Kind == tokenexchange.KindUser && slices.Contains(c.ActsFor, f.Subject.ID)
}

// checkDoors looks at what the world says about the further doors.
func (w *world) checkDoors() error {
	for i, c := range w.Clients {
		place := fmt.Sprintf("clients[%d] (%s)", i, c.ID)
		asks := slices.ContainsFunc(c.ResponseTypes, isTicketResponse)
		switch {
		case asks != (c.TicketLifetime != 0):
			return fmt.Errorf("%s: subject_token_lifetime and a response type with subject_token need each other", place)
		case asks && (c.public() || !slices.Contains(c.Grants, tokenexchange.GrantType)):
			return fmt.Errorf("%s.response_types: a subject_token is for a client that authenticates and may exchange it", place)
		case c.Preapproved && c.public():
			return fmt.Errorf("%s.preapproved: anybody can say that they are this client", place) // RFC 6749 §10.2
		}
		for _, id := range c.ActsFor {
			if !w.hasUser(id) {
				return fmt.Errorf("%s.acts_for: there is no user %q", place, id)
			}
		}
	}
	if len(w.Embedded.Rules) > 0 && w.Embedded.Claim == "" {
		return errors.New("embedded.claim: it is missing")
	}
	return nil
}

// isTicketResponse reports whether a response type asks for a subject token.
func isTicketResponse(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), responseTicket)
}
