package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/client"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// The help desk calls the orders API for alice, with bob as the actor. Its HTTP client exchanges
// their tokens before the first call, and again before the new token expires.
func ExampleConfig() {
	tokens, server := newServer()
	defer server.Close()
	orders := newOrdersAPI(tokens)
	defer orders.Close()
	alice, bob := logIn(tokens, "alice"), logIn(tokens, "bob")

	config := &client.Config{
		Server: clientcredentials.Config{
			ClientID: "helpdesk", ClientSecret: "a secret", TokenURL: server.URL},
		Request: tokenexchange.Request{
			Audience: []string{"https://orders.example"},
			Scope:    tokenexchange.Scope{"orders:read"},
		},
		Subject: alice, // an oauth2.TokenSource
		Actor:   bob,
	}
	httpClient := oauth2.NewClient(context.Background(), config.TokenSource(context.Background()))
	for range 2 {
		resp, err := httpClient.Get(orders.URL)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
	}

	config.Request.Audience = []string{"https://payroll.example"}
	_, err := config.Exchange(context.Background())
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		fmt.Println(refused.Response.StatusCode, refused.ErrorCode)
	}
	// Output:
	// orders is called for alice by bob
	// orders is called for alice by bob
	// 400 invalid_target
}

const issuer = "https://as.example"

// newServer starts an authorization server with one client, helpdesk, and two users. Bob may act
// for alice.
func newServer() (*tokenexchangetest.Issuer, *httptest.Server) {
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "support", Delegate: &tokenexchange.Delegation{Actors: users, ActorTypes: access},
		Clients:  []string{"helpdesk"},
		Subjects: users, SubjectTypes: access, Types: access,
		Targets: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"orders:read"},
		Lifetime: 5 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	alice := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"}
	bob := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "bob"}
	tokens := &tokenexchangetest.Issuer{}
	exchanger := &tokenexchange.Exchanger{
		Issuer: issuer,
		Verify: tokenexchange.Verifiers{tokenexchange.TypeAccessToken: tokens.Verify},
		Resolver: tokenexchangetest.NewDirectory(
			tokenexchange.Subject{Identity: alice}, tokenexchange.Subject{Identity: bob}),
		Decide: policy.Decide,
		Authorizer: &tokenexchangetest.Authorizer{
			Pairs: []tokenexchangetest.Pair{{Actor: bob, Subject: alice}}},
		TokenIssuer: tokens,
		Audit:       &tokenexchangetest.Recorder{},
	}
	authenticate := func(r *http.Request) (tokenexchange.Client, error) {
		if id, secret, _ := r.BasicAuth(); id != "helpdesk" || secret != "a+secret" {
			return tokenexchange.Client{}, tokenexchange.InvalidClient
		}
		return tokenexchange.Client{
			ID: "helpdesk", Scope: tokenexchange.Scope{"orders:read"}}, nil
	}
	return tokens, httptest.NewServer(exchanger.Handler(authenticate))
}

// newOrdersAPI starts an API that prints the subject and the actor of each request.
func newOrdersAPI(tokens *tokenexchangetest.Issuer) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		value := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		tok, err := tokens.Verify(r.Context(), tokenexchange.Credential{Token: value,
			Type: tokenexchange.TypeAccessToken, Issuer: issuer, Now: time.Now()})
		if err == nil {
			fmt.Println("orders is called for", tok.Subject, "by", tok.Actor.Subject)
		}
	}))
}

// logIn is a login of a user at the help desk that has just happened.
func logIn(tokens *tokenexchangetest.Issuer, user string) oauth2.TokenSource {
	return staticSource(tokens.Put(tokenexchange.Token{
		Kind: tokenexchange.KindUser, Issuer: issuer, Subject: user, ClientID: "helpdesk",
		Audience: []string{"helpdesk"}, Scope: tokenexchange.Scope{"orders:read"},
		Expires: time.Now().Add(time.Hour),
	}))
}
