package tokenexchange_test

import (
	"context"
	"fmt"
	"net/url"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// A server without records keeps the names of what it has revoked. Everything that was made from a
// revoked token names it.
func ExampleToken_Origin() {
	revoked := map[string]bool{}
	live := func(_ context.Context, tok tx.Token) error {
		names := []string{tok.Origin()}
		if tok.Lineage != nil {
			names = append(names, tok.Lineage.From...)
		}
		for _, name := range names {
			if revoked[name] {
				return fmt.Errorf("%w: revoked, or made from what was", tx.InvalidRequest)
			}
		}
		return nil
	}
	server := tokenexchangetest.NewMinter("https://as.example")
	exchange := narrowing(server, live)
	login := server.AccessToken(tokenexchangetest.Claims{Subject: "alice", Client: "webapp",
		Audience: []string{"https://orders.example"}, Scope: tx.Scope{"read"}, Now: time.Now(),
		Extra: map[string]any{"jti": "login-1"}})

	once, err := exchange(login)
	fmt.Println("narrowed:", err)
	revoked[tx.Token{Issuer: "https://as.example", ID: "login-1"}.Origin()] = true
	_, err = exchange(once)
	fmt.Println("narrowed once more, after the login's token was revoked:", tx.AsError(err).Code)
	// Output:
	// narrowed: <nil>
	// narrowed once more, after the login's token was revoked: invalid_request
}

// narrowing returns an exchange by which webapp narrows a token of its own, on a server that has no
// records.
func narrowing(server *tokenexchangetest.Minter,
	live func(context.Context, tx.Token) error) func(token string) (string, error) {
	trust := server.Trust()
	trust.Live = live
	verifier, err := tx.NewVerifier(trust)
	if err != nil {
		panic(err)
	}
	access := []tx.TokenType{tx.TypeAccessToken}
	policy, err := tx.NewPolicy(tx.Rule{Name: "narrow", Narrow: &tx.Narrowing{}, Clients: []string{"webapp"},
		Subjects: []tx.Identity{{Kind: tx.KindUser, ID: "*"}}, SubjectTypes: access, Types: access,
		SubjectAudience: true, Scope: tx.Scope{"*"}, Lifetime: time.Hour})
	if err != nil {
		panic(err)
	}
	people := tokenexchangetest.NewDirectory()
	people.Add(tx.Subject{Identity: tx.Identity{Issuer: "https://as.example", Kind: tx.KindUser, ID: "alice"}})
	x := tx.Exchanger{Issuer: "https://as.example", Resolver: people, Decide: policy.Decide,
		Authorizer: &tokenexchangetest.Authorizer{}, TokenIssuer: server.JWTIssuer(),
		Audit:  &tokenexchangetest.Recorder{},
		Verify: tx.Verifiers{tx.TypeAccessToken: verifier.Verify}}
	client := tx.Client{ID: "webapp", Scope: tx.Scope{"read"}}
	return func(token string) (string, error) {
		r, err := x.Exchange(context.Background(), client, url.Values{"grant_type": {tx.GrantType},
			"subject_token": {token}, "subject_token_type": {string(tx.TypeAccessToken)}})
		return r.AccessToken, err
	}
}
