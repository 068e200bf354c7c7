package resourceserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// An API in another process than its authorization server. It verifies JWTs by the keys that the
// server publishes, tells alice from the support engineer who acts for her, and keeps the deletion
// of an account to alice herself.
func Example() {
	const issuer, name = "https://as.example", "https://orders.example"
	as := tokenexchangetest.NewMinter(issuer) // stands for the authorization server
	keys := httptest.NewServer(
		http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(as.JWKS()) }))
	defer keys.Close()

	jwts, err := tokenexchange.NewVerifier(tokenexchange.Trust{
		// the API's own server, so its client_id and scope count
		Issuer: issuer, JWKSURL: keys.URL, ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
		// good until exp: nobody is asked
		Live: func(context.Context, tokenexchange.Token) error { return nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	api := resourceserver.API{Issuer: issuer, Audience: []string{name}, Verify: jwts.Verify}
	personal := api
	personal.RefuseActors = true

	mux := http.NewServeMux()
	mux.Handle("GET /orders", api.Protect(http.HandlerFunc(list), "orders.read"))
	mux.Handle("DELETE /account", personal.Protect(http.HandlerFunc(list)))
	server := httptest.NewServer(mux)
	defer server.Close()

	claims := tokenexchangetest.Claims{Subject: "alice", Client: "shop", Audience: []string{name},
		Scope: tokenexchange.Scope{"orders.read"}, Now: time.Now()}
	alice := as.AccessToken(claims)
	claims.Extra = map[string]any{
		"act": map[string]any{"sub": "bob", "act": map[string]any{"sub": "carol"}}}
	bob := as.AccessToken(claims)

	send(server.URL, http.MethodGet, "/orders", alice)
	send(server.URL, http.MethodGet, "/orders", bob)
	send(server.URL, http.MethodDelete, "/account", bob)
	send(server.URL, http.MethodGet, "/orders", "forged")
	// Output:
	// 200 the orders of alice
	// 200 the orders of alice, shown to bob
	// 403 insufficient_scope
	// 401 invalid_token
}

// list is a handler of the host.
func list(w http.ResponseWriter, r *http.Request) {
	subject, _ := resourceserver.SubjectFrom(r.Context())
	fmt.Fprintf(w, "the orders of %s", subject.Subject)
	if actor, acted := resourceserver.ActorFrom(r.Context()); acted {
		fmt.Fprintf(w, ", shown to %s", actor.Subject)
	}
}

func send(base, method, path, token string) {
	req, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	var refused struct{ Error string }
	if json.Unmarshal(body, &refused) == nil {
		body = []byte(refused.Error)
	}
	fmt.Printf("%d %s\n", resp.StatusCode, body)
}
