package main

import (
	"context"
	"crypto"
	"fmt"
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

// host is the host's side: everybody is known and active, everything is live, and the audit sink keeps nothing. It is as
// quick as a host can be, so that what is measured is the engine.
type host struct{}

var scopes = tx.Scope{"orders:read", "orders:write"}

func (host) ResolveSubject(_ context.Context, t tx.Token) (tx.Subject, error) {
	return tx.Subject{Identity: tx.Identity{Issuer: t.Issuer, Kind: tx.KindUser, ID: t.Subject}, Scope: scopes}, nil
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

// rules: one for an exchange without actor token, one for an exchange with.
func rules() []tx.Rule {
	users := []tx.Identity{{Kind: tx.KindUser, ID: "*"}}
	access := []tx.TokenType{tx.TypeAccessToken}
	narrow := tx.Rule{Name: "narrow", Mode: tx.Narrow, Clients: []string{clientID}, Subjects: users, SubjectTypes: access, Types: access,
		Targets: []string{ordersAPI, mailAPI}, Scope: tx.Scope{"*"}, Lifetime: 5 * time.Minute}
	delegate := narrow
	delegate.Name, delegate.Mode, delegate.Actors, delegate.ActorTypes = "delegate", tx.Delegate, users, access
	return []tx.Rule{narrow, delegate}
}

// engine is an Exchanger of ours but for what issues and verifies.
func engine() tx.Exchanger {
	policy := must(tx.NewPolicy(rules()...))
	return tx.Exchanger{Issuer: issuer, Subjects: host{}, Decide: policy.Decide, Actors: host{}, Audit: host{}}
}

// signedExchange is a JWT in, another out.
func signedExchange(alg string, key crypto.Signer, actor bool) post {
	signer := &tx.JWTIssuer{Key: key, KeyID: "k1", Algorithm: alg}
	verifier := must(tx.NewVerifier(tx.Trust{Issuer: issuer, JWKS: must(signer.JWKS()), Actors: true, Live: host{}.live,
		Types: map[tx.TokenType]string{tx.TypeAccessToken: ""}}))
	x := engine()
	x.Verify, x.Tokens = tx.Verifiers{tx.TypeAccessToken: verifier.Verify}, signer
	return exchange(x, signer, actor)
}

// opaqueExchange is an opaque token in, another out, with a record of each.
func opaqueExchange() post {
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory()}
	x := engine()
	x.Verify, x.Tokens = tx.Verifiers{tx.TypeAccessToken: tokens.VerifyToken}, tokens
	return exchange(x, tokens, false)
}

// exchange asks for one of the two targets and one of the two scopes of a token that somebody has acted upon already.
func exchange(x tx.Exchanger, tokens tx.TokenIssuer, actor bool) post {
	r := tx.Request{SubjectTokenType: tx.TypeAccessToken, Audience: []string{ordersAPI}, Scope: scopes[:1],
		SubjectToken: mint(tokens, "alice", &tx.Actor{Issuer: issuer, Subject: "agent", ClientID: "agents"})}
	if actor {
		r.ActorToken, r.ActorTokenType = mint(tokens, "bob", nil), tx.TypeAccessToken
	}
	return newPost(x.Handler(host{}.authenticate), "/token", r.Values().Encode())
}

// mint makes a token that was issued to the client, for two targets.
func mint(tokens tx.TokenIssuer, sub string, actor *tx.Actor) string {
	now := time.Now().Truncate(time.Second)
	subject := tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: sub}
	d := tx.Decision{Mode: tx.Impersonate, Issuer: issuer, Client: clientID, Subject: subject, Actor: actor, Type: tx.TypeAccessToken,
		Audience: []string{ordersAPI, mailAPI}, Scope: scopes, Issued: now, Expires: now.Add(time.Hour),
		Facts: tx.Facts{Grant: tx.GrantType, Issuer: issuer, Subject: tx.Subject{Identity: subject}}}
	issued, err := tokens.IssueToken(context.Background(), d)
	check(err)
	return issued.Value
}

// asCandidate makes the server anew for each slice.
func asCandidate(name string, begin func() post) candidate {
	return candidate{name, func() work { return begin().times }}
}

func ours(alg string, actor bool) candidate {
	return asCandidate(fmt.Sprint("this library, ", alg), func() post { return signedExchange(alg, keys[alg], actor) })
}
