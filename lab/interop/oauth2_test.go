package interop_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
)

// exchange uses clientcredentials with the grant type overridden, as its documentation offers. The
// client is portal, or the client_id in params, which is removed.
func exchange(t *testing.T, params url.Values) (*oauth2.Token, error) {
	t.Helper()
	form := url.Values{"grant_type": {tokenexchange.GrantType}, "subject_token_type": {accessToken}}
	maps.Copy(form, params)
	client := "portal"
	if form.Has("client_id") {
		client = form.Get("client_id")
		form.Del("client_id")
	}
	config := clientcredentials.Config{ClientID: client, ClientSecret: secret(t, client),
		TokenURL:  demo.TokenEndpoint,
		AuthStyle: oauth2.AuthStyleInHeader, EndpointParams: form}
	return config.Token(t.Context())
}

func exchanged(t *testing.T, params url.Values) *oauth2.Token {
	t.Helper()
	tok, err := exchange(t, params)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestClientCredentials uses the grant that the package is made for: a token of a service's own.
func TestClientCredentials(t *testing.T) {
	config := clientcredentials.Config{ClientID: "aggregates-api",
		ClientSecret: secret(t, "aggregates-api"),
		TokenURL:     demo.TokenEndpoint, Scopes: []string{"read"}}
	tok, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tok.TokenType != "Bearer" || tok.RefreshToken != "" || tok.Extra("scope") != "read" {
		t.Errorf("token_type %q, refresh token %t, scope %v", tok.TokenType,
			tok.RefreshToken != "", tok.Extra("scope"))
	}
	has(t, introspect(t, "bank-api", tok.AccessToken),
		map[string]any{"active": true, "iss": demo.Issuer, "sub": "aggregates-api",
			"client_id": "aggregates-api", "aud": ledger, "scope": "read", "act": nil})
}

// TestAuthStyles exchanges with each way in which x/oauth2 sends client credentials, including
// detection.
func TestAuthStyles(t *testing.T) {
	styles := map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader,
		"params":      oauth2.AuthStyleInParams,
		"auto-detect": oauth2.AuthStyleAutoDetect}
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			config := clientcredentials.Config{ClientID: "portal",
				ClientSecret: secret(t, "portal"), TokenURL: demo.TokenEndpoint,
				AuthStyle: style, Scopes: []string{"read"}, EndpointParams: url.Values{
					"grant_type":         {tokenexchange.GrantType},
					"subject_token":      {demo.Tokens["end_user"].AccessToken},
					"subject_token_type": {accessToken},
					"audience":           {aggregates},
				}}
			tok, err := config.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tok.TokenType != "Bearer" || tok.Extra("issued_token_type") != accessToken ||
				tok.Extra("scope") != "read" {
				t.Errorf("token_type %q, issued_token_type %v, scope %v", tok.TokenType,
					tok.Extra("issued_token_type"), tok.Extra("scope"))
			}
			expiresWithin(t, tok.Expiry, time.Hour)
			has(t, introspect(t, "aggregates-api", tok.AccessToken),
				map[string]any{"active": true, "sub": "alice",
					"client_id": "portal", "aud": aggregates, "scope": "read", "act": nil})
			has(t, introspect(t, "settings-api", tok.AccessToken),
				map[string]any{"active": false, "sub": nil})
		})
	}
}

// TestWrongSecret refuses both attempts of a client that detects how to authenticate.
func TestWrongSecret(t *testing.T) {
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams,
		oauth2.AuthStyleAutoDetect} {
		config := clientcredentials.Config{ClientID: "portal", ClientSecret: "not-the-secret",
			TokenURL: demo.TokenEndpoint, AuthStyle: style,
			EndpointParams: url.Values{"grant_type": {tokenexchange.GrantType},
				"subject_token":      {demo.Tokens["end_user"].AccessToken},
				"subject_token_type": {accessToken}}}
		_, err := config.Token(t.Context())
		refused(t, err, http.StatusUnauthorized, "invalid_client")
	}
}

// TestSeveralTargets repeats audience, which the package passes through.
func TestSeveralTargets(t *testing.T) {
	tok := exchanged(t, url.Values{"subject_token": {demo.Tokens["end_user"].AccessToken},
		"audience":             {settings, aggregates},
		"requested_token_type": {jwt}, "scope": {"read write"}})
	if tok.Extra("issued_token_type") != jwt || tok.TokenType != "Bearer" {
		t.Errorf("issued_token_type %v, token_type %q", tok.Extra("issued_token_type"),
			tok.TokenType)
	}
	has(t, claims(t, aggregates, tok.AccessToken),
		map[string]any{"sub": "alice", "aud": []any{settings, aggregates},
			"scope": "read write", "client_id": "portal", "act": nil})
}

// TestEmptyParameters sends absent parameters as names without values, as several clients do.
func TestEmptyParameters(t *testing.T) {
	tok := exchanged(t,
		url.Values{"subject_token": {demo.Tokens["end_user"].AccessToken}, "audience": {aggregates},
			"actor_token": {""}, "actor_token_type": {""}, "requested_token_type": {""},
			"scope": {""}, "resource": {""}, "options": {""}})
	if tok.Extra("issued_token_type") != accessToken {
		t.Errorf("issued_token_type %v", tok.Extra("issued_token_type"))
	}
	has(t, introspect(t, "aggregates-api", tok.AccessToken),
		map[string]any{"active": true, "sub": "alice", "aud": aggregates,
			"scope": tok.Extra("scope"), "act": nil})
}

// TestDelegation finds the actor in a JWT and in the introspection of an opaque token, and finds
// the chain when the service that received the token exchanges it once more.
func TestDelegation(t *testing.T) {
	form := url.Values{"subject_token": {demo.Tokens["end_user"].AccessToken},
		"audience": {aggregates}, "scope": {"read"},
		"actor_token": {demo.Tokens["impersonator"].AccessToken}, "actor_token_type": {accessToken}}
	opaque := exchanged(t, form)
	has(t, introspect(t, "aggregates-api", opaque.AccessToken),
		map[string]any{"active": true, "sub": "alice",
			"act": actor("ines", "portal", nil)})
	expiresWithin(t, opaque.Expiry, 30*time.Minute)

	form.Set("requested_token_type", jwt)
	signed := exchanged(t, form)
	has(t, claims(t, aggregates, signed.AccessToken),
		map[string]any{"sub": "alice", "act": actor("ines", "portal", nil),
			"aud": aggregates, "scope": "read", "may_act": nil})

	for name, first := range map[string]*oauth2.Token{"opaque": opaque, "jwt": signed} {
		second := exchanged(t,
			url.Values{"client_id": {"aggregates-api"}, "subject_token": {first.AccessToken},
				"requested_token_type": {jwt}})
		has(t, claims(t, ledger, second.AccessToken),
			map[string]any{"sub": "alice", "client_id": "aggregates-api", "aud": ledger,
				"act": actor("aggregates-api", "aggregates-api", actor("ines", "portal", nil))})
		if t.Failed() {
			t.Fatalf("the second exchange, of the %s token", name)
		}
	}
}

// TestUserID impersonates by a user id under the URN of the demo world.
func TestUserID(t *testing.T) {
	form := url.Values{"subject_token": {"bob"},
		"subject_token_type": {"urn:zitadel:params:oauth:token-type:user_id"}, "scope": {"read"},
		"audience": {aggregates}, "requested_token_type": {jwt}}
	_, err := exchange(t, form)
	refused(t, err, http.StatusBadRequest, "invalid_request")

	form.Set("actor_token", demo.Tokens["impersonator"].AccessToken)
	form.Set("actor_token_type", accessToken)
	has(t, claims(t, aggregates, exchanged(t, form).AccessToken),
		map[string]any{"sub": "bob", "act": actor("ines", "portal", nil)})
}

// TestExpansion gets a scope that only the exchanging client is registered for, by the rule that
// names it. The subject token names client and actor in may_act, and the result has the may_act of
// the rule.
func TestExpansion(t *testing.T) {
	tok := exchanged(t, url.Values{"client_id": {"service"},
		"subject_token": {demo.Tokens["customer"].JWT}, "scope": {"read transfer"},
		"actor_token":      {demo.Tokens["customer_agent"].AccessToken},
		"actor_token_type": {accessToken}, "requested_token_type": {jwt}})
	if tok.Extra("scope") != "read transfer" {
		t.Errorf("scope %v", tok.Extra("scope"))
	}
	has(t, claims(t, "https://bank.example", tok.AccessToken),
		map[string]any{"sub": "alice", "scope": "read transfer",
			"act":     actor("sam", "customer", nil),
			"may_act": map[string]any{"client_id": "service", "sub": "sam"}})
}

// TestRefusals gets each refusal as the *oauth2.RetrieveError that programs examine.
func TestRefusals(t *testing.T) {
	user, admin := demo.Tokens["end_user"], demo.Tokens["admin"]
	helper := demo.Tokens["impersonator"]
	tests := map[string]struct {
		params url.Values
		code   string
	}{
		"unknown target": {url.Values{"subject_token": {user.AccessToken},
			"audience": {payroll}}, "invalid_target"},
		"malformed resource": {url.Values{"subject_token": {user.AccessToken},
			"resource": {"orders#1"}}, "invalid_target"},
		"another user's scope": {url.Values{"subject_token": {user.AccessToken},
			"scope": {"users:read"}}, "invalid_scope"},
		"no subject token": {url.Values{"subject_token": {""}}, "invalid_request"},
		"no subject token type": {url.Values{"subject_token": {user.AccessToken},
			"subject_token_type": {""}}, "invalid_request"},
		"unknown subject token": {url.Values{
			"subject_token": {user.AccessToken[:len(user.AccessToken)-1]}}, "invalid_request"},
		"repeated parameter": {url.Values{"subject_token": {user.AccessToken},
			"scope": {"read", "write"}}, "invalid_request"},
		"type without a token": {url.Values{"subject_token": {user.AccessToken},
			"actor_token_type": {accessToken}}, "invalid_request"},
		"refresh token": {url.Values{"subject_token": {user.RefreshToken},
			"subject_token_type": {string(tokenexchange.TypeRefreshToken)}}, "invalid_request"},
		"refresh token requested": {url.Values{"subject_token": {user.AccessToken},
			"requested_token_type": {string(tokenexchange.TypeRefreshToken)}}, "invalid_request"},
		"actor without a role": {url.Values{"subject_token": {helper.AccessToken},
			"actor_token": {user.AccessToken}, "actor_token_type": {accessToken}},
			"invalid_request"},
		"actor below an administrator": {url.Values{"subject_token": {admin.AccessToken},
			"actor_token": {helper.AccessToken}, "actor_token_type": {accessToken}},
			"invalid_request"},
		"actor of another organisation": {
			url.Values{"subject_token": {demo.Tokens["other_org_user"].AccessToken},
				"actor_token": {helper.AccessToken}, "actor_token_type": {accessToken}},
			"invalid_request"},
		"grant of another client": {url.Values{"client_id": {"bank-api"},
			"subject_token": {user.AccessToken}}, "unauthorized_client"},
		"unknown grant": {url.Values{"grant_type": {"urn:example:grant-type:wish"}},
			"unsupported_grant_type"},
		"authorization_details": {url.Values{"subject_token": {user.AccessToken},
			"authorization_details": {"[]"}}, "invalid_authorization_details"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := exchange(t, test.params)
			refused(t, err, http.StatusBadRequest, test.code)
		})
	}
	t.Run("disabled client", func(t *testing.T) {
		_, err := exchange(t,
			url.Values{"client_id": {"retired"}, "subject_token": {user.AccessToken}})
		refused(t, err, http.StatusUnauthorized, "invalid_client")
	})
}

// refused checks what x/oauth2 made of a refusal: the code, its status, a challenge only for wrong
// credentials in a header (RFC 6749 §5.2), and no token.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		t.Fatalf("%v is no RetrieveError; want %s", err, code)
	}
	if answer.ErrorCode != code || answer.Response.StatusCode != status {
		t.Errorf("%d %s, want %d %s", answer.Response.StatusCode, answer.ErrorCode, status, code)
	}
	if answer.ErrorDescription == "" ||
		answer.Response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("description %q, Content-Type %q", answer.ErrorDescription,
			answer.Response.Header.Get("Content-Type"))
	}
	challenge, sent := answer.Response.Header.Get(
		"WWW-Authenticate"), answer.Response.Request.Header.Get("Authorization")
	if (challenge != "") != (status == http.StatusUnauthorized && sent != "") {
		t.Errorf("the challenge is %q after the status %d", challenge, status)
	}
	if strings.Contains(string(answer.Body), demo.Tokens["end_user"].AccessToken) {
		t.Error("the answer repeats the token")
	}
}

// TestRefresh refreshes with the package's own TokenSource: the actor stays, the token rotates, and
// using an old one ends the whole grant.
func TestRefresh(t *testing.T) {
	first := exchanged(t,
		url.Values{"subject_token": {demo.Tokens["end_user"].AccessToken}, "audience": {aggregates},
			"actor_token":      {demo.Tokens["impersonator"].AccessToken},
			"actor_token_type": {accessToken}, "scope": {"read offline_access"}})
	if first.RefreshToken == "" {
		t.Fatal("no refresh token")
	}
	config := oauth2.Config{ClientID: "portal", ClientSecret: secret(t, "portal"),
		Endpoint: oauth2.Endpoint{TokenURL: demo.TokenEndpoint}}
	refresh := func(token string) (*oauth2.Token, error) {
		return config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token}).Token()
	}
	second, err := refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken ||
		second.RefreshToken == "" {
		t.Error("nothing has rotated")
	}
	has(t, introspect(t, "aggregates-api", second.AccessToken),
		map[string]any{"active": true, "sub": "alice", "aud": aggregates,
			"scope": "read offline_access", "act": actor("ines", "portal", nil)})

	_, err = refresh(first.RefreshToken)
	refused(t, err, http.StatusBadRequest, "invalid_grant")
	has(t, introspect(t, "aggregates-api", second.AccessToken),
		map[string]any{"active": false, "sub": nil})
	_, err = refresh(second.RefreshToken)
	refused(t, err, http.StatusBadRequest, "invalid_grant")
}
