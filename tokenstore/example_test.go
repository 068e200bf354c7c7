package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// exampleServer is a server with opaque tokens, around one Tokens. Its people and its audit trail are those of package
// tokenexchangetest; a host has its own.
func exampleServer() (*tokenexchange.Exchanger, *tokenstore.Tokens) {
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory()}
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	opaque := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "worker", Mode: tokenexchange.Impersonate, Clients: []string{"worker"}, OtherTokens: true,
		Subjects: users, SubjectTypes: opaque, Types: opaque, Targets: []string{"https://orders.example"},
		DefaultTargets: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"*"},
		RefreshToken: true, Lifetime: 5 * time.Minute, RefreshLifetime: time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	people := tokenexchangetest.NewDirectory(tokenexchange.Subject{Identity: tokenexchange.Identity{
		Issuer: "https://as.example", Kind: tokenexchange.KindUser, ID: "alice"}})
	return &tokenexchange.Exchanger{
		Issuer:   "https://as.example",
		Verify:   tokenexchange.Verifiers{tokenexchange.TypeAccessToken: tokens.VerifyToken},
		Subjects: people, Decide: policy.Decide, Tokens: tokens, Audit: &tokenexchangetest.Recorder{},
		Actors: &tokenexchangetest.Authorizer{Func: func(context.Context, tokenexchange.Facts) error { return nil }},
	}, tokens
}

var exampleWorker = tokenexchange.Client{ID: "worker", Scope: tokenexchange.Scope{"orders:read", "offline_access"}}

// A user logs in, and a worker exchanges the token of the login. When the session ends, so does what the worker has.
func Example() {
	ctx := context.Background()
	x, tokens := exampleServer()
	session := tokenstore.KeyOf("session", x.Issuer, "the session of alice")
	login, err := tokens.Mint(ctx, tokenexchange.Token{
		Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser, Issuer: x.Issuer, Subject: "alice", ClientID: "webapp",
		Audience: []string{"https://shop.example"}, Scope: tokenexchange.Scope{"orders:read"},
		Issued: time.Now(), Expires: time.Now().Add(time.Hour),
	}, session)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := x.Exchange(ctx, exampleWorker, tokenexchange.Request{
		SubjectToken: login.Value, SubjectTokenType: tokenexchange.TypeAccessToken}.Values())
	if err != nil {
		log.Fatal(err)
	}

	introspection := tokens.IntrospectionHandler(x.Issuer, func(*http.Request) (tokenexchange.Client, error) {
		return tokenexchange.Client{ID: "orders", Audiences: []string{"https://orders.example"}}, nil
	})
	ask := func() {
		r := httptest.NewRequest(http.MethodPost, "/introspect", strings.NewReader(url.Values{"token": {answer.AccessToken}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		introspection.ServeHTTP(w, r)
		body := w.Body.String()
		fmt.Println(strings.Contains(body, `"active":true`), strings.Contains(body, `"sub":"alice"`))
	}
	ask()
	if err := tokens.Store.Revoke(ctx, time.Now(), session, time.Now().Add(time.Hour)); err != nil {
		log.Fatal(err)
	}
	ask()
	// Output:
	// true true
	// false false
}

// A refresh runs the whole policy again. One that is tried with a token that was used before ends the grant.
func ExampleTokens_Refresh() {
	ctx := context.Background()
	x, tokens := exampleServer()
	login, err := tokens.Mint(ctx, tokenexchange.Token{
		Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser, Issuer: x.Issuer, Subject: "alice", ClientID: "webapp",
		Audience: []string{"https://shop.example"}, Scope: tokenexchange.Scope{"orders:read", "offline_access"},
		Issued: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := x.Exchange(ctx, exampleWorker, tokenexchange.Request{
		SubjectToken: login.Value, SubjectTokenType: tokenexchange.TypeAccessToken}.Values())
	if err != nil {
		log.Fatal(err)
	}
	refresh := func(token string) string {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		next, err := tokens.Refresh(ctx, x, exampleWorker, form)
		fmt.Println(next.Scope, errors.Is(err, tokenexchange.InvalidGrant))
		return next.RefreshToken
	}
	second := refresh(answer.RefreshToken)
	refresh(answer.RefreshToken)
	refresh(second)
	// Output:
	// orders:read offline_access false
	//  true
	//  true
}

// The jti of an assertion is good once, within its kind and issuer.
func ExampleTokens_Once() {
	_, tokens := exampleServer()
	now := time.Now()
	for range 2 {
		err := tokens.Once(context.Background(), now, "client_assertion", "client-1", "the jti", now.Add(time.Minute))
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// tokenstore: spent
}
