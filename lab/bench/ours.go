package main

import (
	"context"
	"crypto"
	"net/http"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const (
	issuer    = "https://as.example"
	clientID  = "backend"
	mailAPI   = "https://mail.example"
	ordersAPI = "https://orders.example"
)

// host is a host that answers at once: every user exists, every token is live, and the audit sink
// keeps nothing. What is measured is the library.
type host struct{}

var scopes = tx.Scope{"orders:read", "orders:write"}

func (host) ResolveSubject(_ context.Context, t tx.Token) (tx.Subject, error) {
	id := tx.Identity{Issuer: t.Issuer, Kind: tx.KindUser, ID: t.Subject}
	return tx.Subject{Identity: id, Scope: scopes}, nil
}

func (host) AuthorizeActor(context.Context, tx.Facts) error { return nil }
func (host) RecordExchange(context.Context, tx.Event) error { return nil }
func (host) live(context.Context, tx.Token) error           { return nil }
func (host) authenticate(r *http.Request) (tx.Client, error) {
	if id, password, ok := r.BasicAuth(); !ok || id != clientID || password != secret {
		return tx.Client{}, tx.InvalidClient
	}
	return tx.Client{ID: clientID, Scope: scopes}, nil
}

// rules are one for an exchange without an actor token and one for an exchange with an actor token.
func rules() []tx.Rule {
	users := []tx.Identity{{Kind: tx.KindUser, ID: "*"}}
	access := []tx.TokenType{tx.TypeAccessToken}
	narrow := tx.Rule{Name: "narrow", Narrow: &tx.Narrowing{}, Clients: []string{clientID},
		Subjects: users, SubjectTypes: access, Types: access, Targets: []string{ordersAPI, mailAPI},
		Scope: tx.Scope{"*"}, Lifetime: 5 * time.Minute}
	delegate := narrow
	delegate.Name, delegate.Narrow = "delegate", nil
	delegate.Delegate = &tx.Delegation{Actors: users, ActorTypes: access}
	return []tx.Rule{narrow, delegate}
}

// engine is an Exchanger that does not yet verify or issue.
func engine() tx.Exchanger {
	policy := must(tx.NewPolicy(rules()...))
	return tx.Exchanger{Issuer: issuer, Resolver: host{}, Decide: policy.Decide, Authorizer: host{},
		Audit: host{}}
}

// signedEngine verifies and issues JWTs.
func signedEngine(alg string, key crypto.Signer) (tx.Exchanger, *tx.JWTIssuer) {
	signer := must(tx.NewJWTIssuer(key, "k1", alg))
	verifier := must(tx.NewVerifier(tx.Trust{Issuer: issuer, JWKS: must(signer.JWKS()),
		ActClaims: true, Live: host{}.live,
		Types: map[tx.TokenType]string{tx.TypeAccessToken: ""}}))
	x := engine()
	x.Verify, x.TokenIssuer = tx.Verifiers{tx.TypeAccessToken: verifier.Verify}, signer
	return x, signer
}

// signedExchange exchanges a JWT for a JWT.
func signedExchange(alg string, key crypto.Signer, actor bool) post {
	x, signer := signedEngine(alg, key)
	return exchange(x, signer, actor)
}

// opaqueEngine issues opaque tokens from a store in memory.
func opaqueEngine() (tx.Exchanger, *tokenstore.Tokens) {
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory()}
	x := engine()
	x.Verify, x.TokenIssuer = tx.Verifiers{tx.TypeAccessToken: tokens.VerifyToken}, tokens
	return x, tokens
}

// exchange asks for one of the two targets and one of the two scopes of a token with an actor.
func exchange(x tx.Exchanger, tokens tx.TokenIssuer, actor bool) post {
	agent := &tx.Actor{Issuer: issuer, Subject: "agent", ClientID: "agents"}
	subject := mint(tokens, "alice", agent)
	r := tx.Request{SubjectToken: subject, SubjectTokenType: tx.TypeAccessToken,
		Audience: []string{ordersAPI}, Scope: scopes[:1]}
	if actor {
		r.ActorToken, r.ActorTokenType = mint(tokens, "bob", nil), tx.TypeAccessToken
	}
	return newPost(x.Handler(host{}.authenticate), "/token", r.Values().Encode())
}

// mint issues a token to the client, for two targets.
func mint(tokens tx.TokenIssuer, sub string, actor *tx.Actor) string {
	now := time.Now().Truncate(time.Second)
	subject := tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: sub}
	facts := tx.Facts{Grant: tx.GrantType, Issuer: issuer, Subject: tx.Subject{Identity: subject}}
	issued, err := tokens.IssueToken(context.Background(), tx.Decision{Mode: tx.Impersonate,
		Issuer: issuer, Client: clientID, Subject: subject, Actor: actor, Type: tx.TypeAccessToken,
		Audience: []string{ordersAPI, mailAPI}, Scope: scopes, Issued: now,
		Expires: now.Add(time.Hour), Facts: facts})
	check(err)
	return issued.Value
}

func ours(alg string, actor bool) candidate {
	return func() work { return signedExchange(alg, keys[alg], actor).times }
}
