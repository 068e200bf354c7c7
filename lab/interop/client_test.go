package interop_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/client"
)

// ours returns a client.Config for the endpoint that go-oidc has discovered. Without an actor it
// sends no actor token.
func ours(t *testing.T, clientID, subject, actor string, r tokenexchange.Request) *client.Config {
	t.Helper()
	config := &client.Config{Request: r,
		Subject: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: subject}),
		Server: clientcredentials.Config{ClientID: clientID, ClientSecret: secret(t, clientID),
			TokenURL: provider(t).Endpoint().TokenURL}}
	if actor != "" {
		config.Actor = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: actor})
	}
	return config
}

// TestClientConfig has the library on both sides of the wire. go-oidc verifies the tokens.
func TestClientConfig(t *testing.T) {
	r := tokenexchange.Request{Audience: []string{aggregates},
		RequestedTokenType: tokenexchange.TypeJWT, Scope: tokenexchange.Scope{"read"}}
	answer, err := ours(t, "portal", demo.Tokens["end_user"].AccessToken, "",
		r).Exchange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if answer.TokenType != "Bearer" || answer.IssuedTokenType != tokenexchange.TypeJWT ||
		answer.Scope != "read" || answer.ExpiresIn <= 0 {
		t.Errorf("the answer is %v", answer)
	}
	has(t, claims(t, aggregates, answer.AccessToken),
		map[string]any{"sub": "alice", "aud": aggregates, "scope": "read", "act": nil})

	r = tokenexchange.Request{Scope: tokenexchange.Scope{"openid", "profile",
		"read", "offline_access"}}
	answer, err = ours(t, "portal", demo.Tokens["end_user"].AccessToken,
		demo.Tokens["impersonator"].AccessToken, r).Exchange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := verified(t, "portal",
		answer.IDToken).VerifyAccessToken(answer.AccessToken); err != nil {
		t.Error(err)
	}
	has(t, claims(t, "portal", answer.IDToken),
		map[string]any{"sub": "alice", "name": "Alice Archer", "act": actor("ines", "portal", nil)})
	has(t, introspect(t, "portal", answer.RefreshToken),
		map[string]any{"active": true, "sub": "alice", "act": actor("ines", "portal", nil)})
}

// TestClientConfigChain uses one exchange as the subject token source of the next, as a service
// does that calls another.
func TestClientConfigChain(t *testing.T) {
	first := ours(t, "portal", demo.Tokens["end_user"].AccessToken,
		demo.Tokens["impersonator"].AccessToken,
		tokenexchange.Request{Audience: []string{aggregates}, Scope: tokenexchange.Scope{"read"}})
	second := ours(t, "aggregates-api", "", "", tokenexchange.Request{Audience: []string{ledger}})
	second.Subject = first.TokenSource(t.Context())
	tok, err := second.TokenSource(t.Context()).Token()
	if err != nil {
		t.Fatal(err)
	}
	expiresWithin(t, tok.Expiry, 5*time.Minute)
	has(t, introspect(t, "bank-api", tok.AccessToken),
		map[string]any{"active": true, "sub": "alice", "aud": ledger, "scope": "read",
			"client_id": "aggregates-api",
			"act":       actor("aggregates-api", "aggregates-api", actor("ines", "portal", nil))})
}

// TestClientConfigAPI calls the management API of the server with exchanged tokens. It lists users
// to an administrator and refuses an actor.
func TestClientConfigAPI(t *testing.T) {
	r := tokenexchange.Request{Audience: []string{management},
		Scope: tokenexchange.Scope{"users:read"}}
	get := func(acting string) *http.Response {
		source := ours(t, "portal", demo.Tokens["admin"].AccessToken, acting,
			r).TokenSource(t.Context())
		resp, err := oauth2.NewClient(t.Context(), source).Get(demo.Issuer + "/api/users")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	var list struct{ Users []struct{ ID string } }
	resp := get("")
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil ||
		resp.StatusCode != http.StatusOK || len(list.Users) == 0 {
		t.Errorf("the administrator gets %s with %d users, %v", resp.Status, len(list.Users), err)
	}
	resp = get(demo.Tokens["org_admin_impersonator"].AccessToken)
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("who acts for the administrator gets %s", resp.Status)
	}
}

// TestClientConfigRefused finds the code, and neither the tokens nor the secret, in the error.
func TestClientConfigRefused(t *testing.T) {
	user, helper := demo.Tokens["end_user"].AccessToken, demo.Tokens["impersonator"].AccessToken
	for code, r := range map[string]tokenexchange.Request{
		"invalid_target": {Audience: []string{payroll}},
		"invalid_scope":  {Scope: tokenexchange.Scope{"users:read"}},
	} {
		_, err := ours(t, "portal", user, helper, r).Exchange(t.Context())
		refused(t, err, http.StatusBadRequest, code)
		for _, kept := range []string{user, helper, secret(t, "portal")} {
			if strings.Contains(err.Error(), kept) {
				t.Errorf("%s: the error repeats what was sent", code)
			}
		}
	}
	config := ours(t, "portal", user, "", tokenexchange.Request{})
	config.Server.ClientSecret = "wrong"
	_, err := config.Exchange(t.Context())
	refused(t, err, http.StatusUnauthorized, "invalid_client")

	// A request cannot be sent with an ID token.
	config = ours(t, "portal", user, "",
		tokenexchange.Request{RequestedTokenType: tokenexchange.TypeIDToken,
			Scope: tokenexchange.Scope{"openid"}})
	if _, err := config.TokenSource(t.Context()).Token(); err == nil {
		t.Error("a TokenSource gives an ID token")
	}
	answer, err := config.Exchange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if answer.TokenType != "N_A" || answer.IDToken != "" {
		t.Errorf("the answer is %v", answer)
	}
	has(t, claims(t, "portal", answer.AccessToken),
		map[string]any{"sub": "alice", "azp": "portal", "act": nil})
}
