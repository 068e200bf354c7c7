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

// exampleServer returns an authorization server with opaque tokens. Its directory, authorizer and
// audit trail are those of package tokenexchangetest; a host has its own.
func exampleServer() (*tokenexchange.Exchanger, *tokenstore.Tokens) {
	tokens := &tokenstore.Tokens{Store: tokenstore.NewMemory()}
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	opaque := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	orders := []string{"https://orders.example"}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "worker",
		Impersonate: &tokenexchange.Impersonation{
			OtherTokens:     true,
			RefreshLifetime: time.Hour,
		},
		Clients:  []string{"worker"},
		Subjects: users, SubjectTypes: opaque, Types: opaque,
		Targets: orders, DefaultTargets: orders, Scope: tokenexchange.Scope{"*"},
		Lifetime: 5 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	alice := tokenexchange.Identity{
		Issuer: "https://as.example", Kind: tokenexchange.KindUser, ID: "alice"}
	allow := func(context.Context, tokenexchange.Facts) error { return nil }
	return &tokenexchange.Exchanger{
		Issuer:      "https://as.example",
		Verify:      tokenexchange.Verifiers{tokenexchange.TypeAccessToken: tokens.VerifyToken},
		Resolver:    tokenexchangetest.NewDirectory(tokenexchange.Subject{Identity: alice}),
		Decide:      policy.Decide,
		Authorizer:  &tokenexchangetest.Authorizer{Func: allow},
		TokenIssuer: tokens,
		Audit:       &tokenexchangetest.Recorder{},
	}, tokens
}

var exampleWorker = tokenexchange.Client{
	ID: "worker", Scope: tokenexchange.Scope{"orders:read", "offline_access"}}

// exampleLogin mints a token for alice that the worker can exchange.
func exampleLogin(tokens *tokenstore.Tokens, session tokenstore.Key) string {
	login, err := tokens.Mint(context.Background(), tokenexchange.Token{
		Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser,
		Issuer: "https://as.example", Subject: "alice", ClientID: "webapp",
		Audience: []string{"https://shop.example"},
		Scope:    tokenexchange.Scope{"orders:read", "offline_access"},
		Issued:   time.Now(), Expires: time.Now().Add(time.Hour),
	}, session)
	if err != nil {
		log.Fatal(err)
	}
	return login.Value
}

// exampleExchange is the exchange of the worker.
func exampleExchange(x *tokenexchange.Exchanger, subjectToken string) tokenexchange.Response {
	request := tokenexchange.Request{
		SubjectToken: subjectToken, SubjectTokenType: tokenexchange.TypeAccessToken}
	response, err := x.Exchange(context.Background(), exampleWorker, request.Values())
	if err != nil {
		log.Fatal(err)
	}
	return response
}

// A user logs in, and a worker exchanges the token of the login. When the session ends, the token
// of the worker ends too.
func Example() {
	ctx := context.Background()
	x, tokens := exampleServer()
	session := tokenstore.KeyOf("session", x.Issuer, "the session of alice")
	response := exampleExchange(x, exampleLogin(tokens, session))

	orders := tokenexchange.Client{ID: "orders", Audiences: []string{"https://orders.example"}}
	authenticate := func(*http.Request) (tokenexchange.Client, error) { return orders, nil }
	handler := tokens.IntrospectionHandler(x.Issuer, authenticate)
	introspect := func() {
		form := url.Values{"token": {response.AccessToken}}
		r := httptest.NewRequest(http.MethodPost, "/introspect", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		body := w.Body.String()
		active, alice := strings.Contains(body, `"active":true`), strings.Contains(body, `"alice"`)
		fmt.Println(active, alice)
	}
	introspect()
	err := tokens.Store.Revoke(ctx, time.Now(), session, time.Now().Add(time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	introspect()
	// Output:
	// true true
	// false false
}

// A refresh runs the whole policy again. A refresh token that is used twice ends its grant.
func ExampleTokens_Refresh() {
	ctx := context.Background()
	x, tokens := exampleServer()
	session := tokenstore.KeyOf("session", x.Issuer, "the session of alice")
	response := exampleExchange(x, exampleLogin(tokens, session))
	refresh := func(token string) string {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		next, err := tokens.Refresh(ctx, x, exampleWorker, form)
		fmt.Println(next.Scope, errors.Is(err, tokenexchange.InvalidGrant))
		return next.RefreshToken
	}
	second := refresh(response.RefreshToken)
	refresh(response.RefreshToken)
	refresh(second)
	// Output:
	// orders:read offline_access false
	//  true
	//  true
}

// The jti of an assertion is accepted once in the name space of its kind and issuer.
func ExampleTokens_Once() {
	_, tokens := exampleServer()
	now := time.Now()
	for range 2 {
		err := tokens.Once(context.Background(), now, "client_assertion", "client-1", "the jti",
			now.Add(time.Minute))
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// tokenstore: already spent
}
