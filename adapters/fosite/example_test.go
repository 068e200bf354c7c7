package fositeexchange_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"

	"github.com/go-tokenexchange/tokenexchange"
	fositeexchange "github.com/go-tokenexchange/tokenexchange/adapters/fosite"
	"github.com/go-tokenexchange/tokenexchange/authorizer"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// tokenEndpoint is the token endpoint of fosite's documentation.
func tokenEndpoint(provider fosite.OAuth2Provider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		request, err := provider.NewAccessRequest(ctx, r, new(fosite.DefaultSession))
		if err != nil {
			provider.WriteAccessError(ctx, w, request, err)
			return
		}
		response, err := provider.NewAccessResponse(ctx, request)
		if err != nil {
			provider.WriteAccessError(ctx, w, request, err)
			return
		}
		provider.WriteAccessResponse(ctx, w, request, response)
	}
}

// The code of the host begins here.

func newServer(config *fosite.Config, store *storage.MemoryStore, strategy oauth2.CoreStrategy,
	x tokenexchange.Exchanger) http.Handler {
	exchange := fositeexchange.Config{
		Exchanger:  x, // without Verify and TokenIssuer
		NewSession: func() fosite.Session { return new(fosite.DefaultSession) },
		Client: func(_ *http.Request, registered fosite.Client, c *tokenexchange.Client) error {
			if registered.GetID() == "orders" {
				c.Audiences = []string{"https://orders.example"} // its name as an API
			}
			return nil
		},
	}
	provider := compose.Compose(config, store, strategy,
		compose.OAuth2ClientCredentialsGrantFactory,
		compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2TokenRevocationFactory,
		exchange.Factory)

	mux := http.NewServeMux()
	mux.Handle("POST /token", fositeexchange.ReadForm(tokenEndpoint(provider)))
	return mux
}

// The code of the host ends here.

// A host adds one factory, wraps its token endpoint in ReadForm, and sets up an Exchanger.
func Example() {
	config := &fosite.Config{GlobalSecret: []byte("a secret of at least thirty-two bytes")}
	store := storage.NewExampleStore()
	strategy := compose.NewOAuth2HMACStrategy(config)
	client := store.Clients["my-client"].(*fosite.DefaultClient) // its secret is foobar
	client.GrantTypes = append(client.GrantTypes, tokenexchange.GrantType)

	const issuer = "https://as.example"
	users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "support", Delegate: &tokenexchange.Delegation{Actors: users, ActorTypes: access},
		Clients: []string{"my-client"}, Subjects: users, SubjectTypes: access,
		Types: access, Targets: []string{"https://orders.example"},
		Scope: tokenexchange.Scope{"photos"}, Lifetime: 5 * time.Minute,
	})
	if err != nil {
		panic(err)
	}
	alice := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"}
	bob := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "bob"}
	server := httptest.NewServer(newServer(config, store, strategy, tokenexchange.Exchanger{
		Issuer: issuer,
		Resolver: tokenexchangetest.NewDirectory(tokenexchange.Subject{Identity: alice},
			tokenexchange.Subject{Identity: bob}),
		Decide: policy.Decide,
		Authorizer: authorizer.Relationship(
			func(_ context.Context, actor, subject tokenexchange.Identity) error {
				if actor == bob && subject == alice {
					return nil
				}
				return fmt.Errorf("%w: %q may not act for %q", tokenexchange.InvalidRequest,
					actor.ID, subject.ID)
			}),
		Audit: &tokenexchangetest.Recorder{},
	}))
	defer server.Close()

	// logIn makes the token of a login, as fosite would.
	logIn := func(user string) string {
		r := fosite.NewAccessRequest(&fosite.DefaultSession{Subject: user})
		r.Client, r.GrantedScope = client, fosite.Arguments{"photos", "fosite"}
		r.Session.SetExpiresAt(fosite.AccessToken, time.Now().Add(time.Hour))
		token, signature, err := strategy.GenerateAccessToken(context.Background(), r)
		if err != nil {
			panic(err)
		}
		if err := store.CreateAccessTokenSession(context.Background(), signature, r); err != nil {
			panic(err)
		}
		return token
	}
	ask := func(subject, actor string) {
		form := url.Values{"grant_type": {tokenexchange.GrantType},
			"audience": {"https://orders.example"}, "scope": {"photos"},
			"subject_token":      {logIn(subject)},
			"subject_token_type": {string(tokenexchange.TypeAccessToken)}}
		if actor != "" {
			form.Set("actor_token", logIn(actor))
			form.Set("actor_token_type", string(tokenexchange.TypeAccessToken))
		}
		r, _ := http.NewRequest(http.MethodPost, server.URL+"/token",
			strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("my-client", "foobar")
		resp, err := server.Client().Do(r)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			panic(err)
		}
		token, _ := answer["access_token"].(string)
		record, err := store.GetAccessTokenSession(context.Background(),
			strategy.AccessTokenSignature(context.Background(), token), nil)
		if err != nil {
			fmt.Println(resp.StatusCode, answer["error"])
			return
		}
		act, _ := json.Marshal(record.GetSession().(*fosite.DefaultSession).Extra["act"])
		fmt.Println(resp.StatusCode, answer["scope"], answer["expires_in"],
			record.GetSession().GetSubject(), string(act))
	}
	ask("alice", "bob")
	ask("bob", "alice")
	ask("alice", "")
	// Output:
	// 200 photos 300 alice {"iss":"https://as.example","sub":"bob","client_id":"my-client"}
	// 400 invalid_request
	// 400 invalid_request
}
