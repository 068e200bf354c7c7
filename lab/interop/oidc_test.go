package interop_test

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// TestDiscovery checks the metadata that go-oidc relies on.
func TestDiscovery(t *testing.T) {
	p := provider(t)
	if got := p.Endpoint().TokenURL; got != demo.TokenEndpoint {
		t.Errorf("token endpoint %q, want %q", got, demo.TokenEndpoint)
	}
	var m struct {
		Issuer        string
		Introspection string   `json:"introspection_endpoint"`
		Revocation    string   `json:"revocation_endpoint"`
		JWKS          string   `json:"jwks_uri"`
		Algorithms    []string `json:"id_token_signing_alg_values_supported"`
		Grants        []string `json:"grant_types_supported"`
	}
	if err := p.Claims(&m); err != nil {
		t.Fatal(err)
	}
	if m.Issuer != demo.Issuer || m.Introspection != demo.IntrospectionEndpoint ||
		m.Revocation != demo.RevocationEndpoint || m.JWKS != demo.JWKSURI {
		t.Errorf("the metadata name other endpoints than the demo: %+v", m)
	}
	if want := os.Getenv("TOKENEXCHANGE_ALGORITHM"); want != "" &&
		!slices.Equal(m.Algorithms, []string{want}) {
		t.Errorf("the server was to sign with %s, and says %q", want, m.Algorithms)
	}
	if len(m.Algorithms) == 0 || !strings.Contains(strings.Join(m.Grants, " "), "token-exchange") {
		t.Errorf("algorithms %q, grants %q", m.Algorithms, m.Grants)
	}
	if _, err := oidc.NewProvider(t.Context(), demo.Issuer+"/"); err == nil {
		t.Error("the metadata are good for another issuer too")
	}
}

// TestIDTokenBeside verifies the ID token in the response of an exchange, for opaque tokens and
// JWTs, with and without an actor.
func TestIDTokenBeside(t *testing.T) {
	for name, test := range map[string]struct {
		requested string
		acting    bool
	}{"opaque": {accessToken, false}, "jwt": {jwt, false}, "opaque, acted for": {accessToken,
		true}, "jwt, acted for": {jwt, true}} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"subject_token": {demo.Tokens["end_user"].AccessToken},
				"requested_token_type": {test.requested},
				"scope":                {"openid profile email read"}}
			want := map[string]any{"sub": "alice", "aud": "portal", "azp": "portal",
				"name":  "Alice Archer",
				"email": "alice@acme.example", "nonce": nil, "scope": nil, "act": nil}
			if test.acting {
				form.Set("actor_token", demo.Tokens["impersonator"].AccessToken)
				form.Set("actor_token_type", accessToken)
				want["act"] = actor("ines", "portal", nil)
			}
			tok := exchanged(t, form)
			raw, _ := tok.Extra("id_token").(string)
			id := verified(t, "portal", raw)
			if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
				t.Error(err)
			}
			if err := id.VerifyAccessToken(demo.Tokens["end_user"].AccessToken); err == nil {
				t.Error("at_hash is that of another access token")
			}
			if id.IssuedAt.IsZero() || id.Expiry.After(tok.Expiry.Add(time.Second)) {
				t.Errorf("the ID token is from %v until %v, the access token until %v", id.IssuedAt,
					id.Expiry, tok.Expiry)
			}
			has(t, claims(t, "portal", raw), want)
		})
	}
}

// TestIDTokenRequested verifies a requested ID token. It is in the member access_token.
func TestIDTokenRequested(t *testing.T) {
	tok := exchanged(t, url.Values{"subject_token": {demo.Tokens["end_user"].AccessToken},
		"requested_token_type": {idToken},
		"actor_token":          {demo.Tokens["impersonator"].IDToken},
		"actor_token_type":     {idToken}, "scope": {"openid profile"}})
	if tok.TokenType != "N_A" || tok.Extra("issued_token_type") != idToken ||
		tok.Extra("id_token") != nil || tok.RefreshToken != "" {
		t.Errorf("token_type %q, issued_token_type %v, refresh token %t", tok.TokenType,
			tok.Extra("issued_token_type"), tok.RefreshToken != "")
	}
	has(t, claims(t, "portal", tok.AccessToken),
		map[string]any{"sub": "alice", "aud": "portal", "azp": "portal", "at_hash": nil,
			"act": actor("ines", "portal", nil), "name": "Alice Archer", "email": nil})
	if err := verified(t, "portal",
		tok.AccessToken).VerifyAccessToken(tok.AccessToken); err == nil {
		t.Error("an ID token with the hash of an access token, beside none")
	}
}

// TestVerifierRefuses shows that go-oidc does not accept everything: it refuses another audience,
// an access token in place of an ID token, and a changed signature.
func TestVerifierRefuses(t *testing.T) {
	user := demo.Tokens["end_user"]
	verifier := provider(t).VerifierContext(t.Context(), &oidc.Config{ClientID: "portal"})
	if _, err := verifier.Verify(t.Context(), user.IDToken); err != nil {
		t.Fatal(err)
	}
	dot := strings.LastIndex(user.IDToken, ".") + 1
	changed := []byte(user.IDToken)
	changed[dot] = 'A' + (changed[dot]-'A'+1)%26
	for name, token := range map[string]string{"access token": user.JWT,
		"ID token of another client": demo.Tokens["customer"].IDToken,
		"changed signature":          string(changed)} {
		if _, err := verifier.Verify(t.Context(), token); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
}
