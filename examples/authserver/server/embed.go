package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// This file and answers.go are all of the embedding. This file puts the parts of the library
// together; answers.go has the answers of the host.

// embed puts the library together, in the order in which a request passes its parts.
func (s *Server) embed(w *world.World, o Options) error {
	var err error
	if s.Signer, err = tokenexchange.NewJWTIssuer(o.Key, KeyID(o.Key), ""); err != nil {
		return err
	}
	s.key = o.Key
	s.Signer.Claims, s.Signer.ActAs = s.addClaims, w.ClaimShape == "act_as"
	s.Signer.Types = map[tokenexchange.TokenType]string{world.TypeTicket: typTicket}
	if s.JWKS, err = s.Signer.JWKS(); err != nil {
		return err
	}
	if s.algorithms, err = signingAlgorithms(s.JWKS); err != nil {
		return err
	}
	// Tokens that are issued and tokens that are presented share the same records, so that revoking
	// a token ends all tokens made from it.
	s.Tokens = &tokenstore.Tokens{Store: o.Store, JWT: s.Signer, MayAct: s.nextMayAct,
		Subjects: s, Now: o.Now}
	s.Tokens.Opaque = map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: "at_",
		world.TypeSession: "se_"}
	verifier, err := tokenexchange.NewVerifier(s.trust(w)...)
	if err != nil {
		return err
	}
	s.Tokens.Verify = verifier.Verify
	if s.policy, err = exchangePolicy(w); err != nil {
		return err
	}
	if s.ownPolicy, err = ownPolicy(w); err != nil {
		return err
	}
	s.Exchanger = &tokenexchange.Exchanger{
		Issuer: s.Issuer,
		Verify: tokenexchange.Verifiers{
			tokenexchange.TypeAccessToken: s.Tokens.VerifyToken,
			tokenexchange.TypeIDToken:     s.verifyJWT,
			tokenexchange.TypeJWT:         s.verifyJWT,
			// No entry for TypeRefreshToken: only the refresh_token grant takes one.
		},
		Resolver:    s,
		Decide:      s.decide,
		Authorizer:  s.authorizer(w),
		TokenIssuer: s.Tokens,
		Audit:       auditlog.Sink{Handler: withReasons{o.Log}},
		Now:         o.Now,
	}
	if w.UserIDType != "" {
		s.Exchanger.Verify[w.UserIDType] = s.verifyUserID
	}
	if err := s.notifyUsers(w, o); err != nil {
		return err
	}
	return s.addGrants(w, o)
}

// trust returns whose signatures are accepted, and for what: this server, the issuers of the world,
// and every client that has a key, for statements about itself or, together with an actor token,
// about a user.
func (s *Server) trust(w *world.World) []tokenexchange.Trust {
	list := []tokenexchange.Trust{{
		Issuer: s.Issuer, JWKS: s.JWKS, Live: s.Tokens.Live, ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: "",
			tokenexchange.TypeIDToken: "", world.TypeTicket: typTicket},
	}}
	for _, f := range w.Issuers {
		t := tokenexchange.Trust{Issuer: f.Issuer, JWKS: f.JWKS, JWKSURL: f.JWKSURI, Foreign: true,
			Audience: f.Audience, Scopes: f.Scopes, Types: f.Types}
		if len(t.Types) == 0 {
			t.Types = map[tokenexchange.TokenType]string{tokenexchange.TypeJWT: "",
				tokenexchange.TypeIDToken: ""}
		}
		list = append(list, t)
	}
	for _, c := range w.Clients {
		if len(c.JWKS) == 0 {
			continue
		}
		list = append(list, tokenexchange.Trust{Issuer: c.ID, JWKS: c.JWKS,
			Foreign: true, Client: true, Audience: []string{s.Issuer},
			Types: map[tokenexchange.TokenType]string{
				world.TypeAssertion: "JWT", world.TypeAuthJWT: "client-authentication+jwt"}})
	}
	return list
}

// verifyJWT verifies a token that was declared as a JWT or an ID token. It may be our own, which
// must also have a live record, of an issuer that we trust, or signed by the requesting client. The
// verified iss says which.
func (s *Server) verifyJWT(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	tok, err := s.Tokens.VerifyToken(ctx, c)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if !tok.ByClient {
		return tok, nil
	}
	if c.Type != tokenexchange.TypeJWT || tok.Type != world.TypeAssertion ||
		tok.Issuer != c.Client.ID {
		return tokenexchange.Token{},
			fmt.Errorf("%w: the requesting client cannot have signed this",
				tokenexchange.InvalidRequest)
	}
	tok.Kind = tokenexchange.KindUser
	return tok, nil
}

// verifyUserID takes a user id as the token of a user. The user must exist, because Subject goes
// into the audit log and a client might send a secret in this place. Whether the user is enabled is
// checked by the resolver. A token without expiry is refused, so this one expires soon.
func (s *Server) verifyUserID(_ context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if _, known := s.Directory.User(c.Token); !known {
		return tokenexchange.Token{},
			fmt.Errorf("%w: there is no user with this id", tokenexchange.InvalidRequest)
	}
	return tokenexchange.Token{Type: c.Type, Kind: tokenexchange.KindUser, Name: true,
		Issuer: c.Issuer, Subject: c.Token, Expires: c.Now.Add(time.Minute)}, nil
}

// decide asks the policy of the world about every exchange. This server's own policy decides what
// clients and logins get for themselves, and about tickets.
func (s *Server) decide(f tokenexchange.Facts) (tokenexchange.Decision, error) {
	if isOwn(f.Subject.Token) || f.Subject.Token.Type == world.TypeRequested {
		return s.ownPolicy.Decide(f)
	}
	return s.policy.Decide(f)
}

// isOwn reports whether a token was not presented by a client but made by this server, for a login
// or for client_credentials.
func isOwn(t tokenexchange.Token) bool {
	return t.Type == world.TypeSession || t.Type == world.TypeClient
}

// exchangePolicy reads the policy of the world. With the master switch off it leaves out the rules
// that put a new actor into a token.
func exchangePolicy(w *world.World) (*tokenexchange.Policy, error) {
	policy, err := tokenexchange.ParsePolicy(w.Policy)
	if err != nil {
		return nil, err
	}
	if w.AllowImpersonation {
		return policy, nil
	}
	var read struct {
		Rules []tokenexchange.Rule `json:"rules"`
	}
	if err := json.Unmarshal(w.Policy, &read); err != nil {
		return nil, err
	}
	return tokenexchange.NewPolicy(slices.DeleteFunc(read.Rules, func(r tokenexchange.Rule) bool {
		return r.Delegate != nil || r.ClientActs != nil
	})...)
}

// ownPolicy has the rules for what clients get for themselves: at a login, for its user, and by
// client_credentials.
func ownPolicy(w *world.World) (*tokenexchange.Policy, error) {
	var rules []tokenexchange.Rule
	for _, c := range w.Clients {
		if len(c.TokenAudience) == 0 {
			continue
		}
		r := tokenexchange.Rule{
			Name: "login/" + c.ID,
			Impersonate: &tokenexchange.Impersonation{
				PublicClients: c.Public(),
				IDToken:       true,
			},
			Clients: []string{c.ID},
			Subjects: []tokenexchange.Identity{{Kind: tokenexchange.KindUser, Tenant: "*",
				ID: "*"}},
			SubjectTypes: []tokenexchange.TokenType{world.TypeSession},
			Types: []tokenexchange.TokenType{tokenexchange.TypeAccessToken,
				tokenexchange.TypeJWT},
			Targets: c.TokenAudience, DefaultTargets: c.TokenAudience,
			Scope: tokenexchange.Scope{"*"}, Lifetime: time.Duration(w.Lifetimes.AccessToken),
		}
		if slices.Contains(c.ResponseTypes, world.ResponseIDTicket) {
			r.Types = append(r.Types, tokenexchange.TypeIDToken)
		}
		if slices.Contains(c.Grants, world.GrantRefresh) {
			r.Impersonate.RefreshLifetime = time.Duration(w.Lifetimes.RefreshToken)
		}
		rules = append(rules, r)
		if slices.Contains(c.Grants, world.GrantClient) {
			r.Name = world.GrantClient + "/" + c.ID
			r.Impersonate = &tokenexchange.Impersonation{PublicClients: c.Public()}
			r.Subjects = []tokenexchange.Identity{{Kind: tokenexchange.KindClient, ID: c.ID}}
			r.SubjectTypes = []tokenexchange.TokenType{world.TypeClient}
			rules = append(rules, r)
		}
		if c.TicketLifetime != 0 && w.AllowImpersonation {
			rules = append(rules, ticketRule(c))
		}
	}
	return tokenexchange.NewPolicy(rules...)
}
