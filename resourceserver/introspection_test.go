package resourceserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

const opaque = "2YotnFZFEjr1zCsicMWpAA"

// endpoint answers every question in the same way.
func endpoint(t *testing.T, status int, body string) string {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
}

// answer is an active token, with members replaced or, by an empty value, left out. Values are
// JSON.
func answer(changes ...string) string {
	members := []string{"active", "true", "iss", `"` + issuer + `"`, "sub", `"alice"`, "aud",
		`"` + orders + `"`, "client_id", `"shop"`,
		"scope", `"read"`, "exp", fmt.Sprint(now.Add(time.Hour).Unix()), "token_type", `"Bearer"`}
	for i := 0; i < len(changes); i += 2 {
		found := false
		for j := 0; j < len(members); j += 2 {
			if members[j] == changes[i] {
				members[j+1], found = changes[i+1], true
			}
		}
		if !found {
			members = append(members, changes[i], changes[i+1])
		}
	}
	var parts []string
	for i := 0; i < len(members); i += 2 {
		if members[i+1] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", members[i], members[i+1]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func introspecting(endpoint string) resourceserver.API {
	i := resourceserver.Introspection{Endpoint: endpoint, ClientID: "orders",
		ClientSecret: "s3cret"}
	return resourceserver.API{Issuer: issuer, Audience: []string{orders}, Verify: i.Verify,
		Now: func() time.Time { return now }}
}

func TestF11_IntrospectionShowsActInBothShapes(t *testing.T) {
	const want = "true {https://as.example alice} | true {https://as.example bob} | shop | read " +
		"| carol"
	act := answer("act", `{"sub":"bob","act":{"sub":"carol"}}`)
	actAs := answer("sub", `"bob"`, "act_as", `{"sub":"alice","act":{"sub":"carol"}}`)
	for _, body := range []string{act, actAs} {
		api := introspecting(endpoint(t, 200, body))
		got := ask(t, api, opaque, "read")
		assert.Equal(t, want, got.body)
		api.RefuseActors = true
		assert.Equal(t, http.StatusForbidden, ask(t, api, opaque).status)
	}
}

func TestC09_WhatTheQuestionLooksLike(t *testing.T) {
	var form url.Values
	var header http.Header
	var method, user, secret string
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form, header, method = r.PostForm, r.Header, r.Method
		user, secret, _ = r.BasicAuth()
		fmt.Fprint(w, answer())
	}))
	i := resourceserver.Introspection{Endpoint: base + "/introspect?tenant=1", ClientID: "svc-1 a",
		ClientSecret: "s:3/c"}
	c := tokenexchange.Credential{Token: opaque, Type: tokenexchange.TypeAccessToken,
		Issuer: issuer, Now: now}
	tok, err := i.Verify(context.Background(), c)
	require.NoError(t, err)
	assert.Equal(t, tokenexchange.TypeAccessToken, tok.Type)
	assert.Equal(t, "alice", tok.Subject)
	assert.Equal(t, http.MethodPost, method)
	assert.Equal(t, url.Values{"token": {opaque}, "token_type_hint": {"access_token"}}, form)
	assert.Equal(t, "svc-1+a s%3A3%2Fc", user+" "+secret, "form-encoded (RFC 6749 §2.3.1)")
	assert.NotContains(t, header, "Idempotency-Key")

	i.ClientID, i.Client = "", http.DefaultClient
	_, err = i.Verify(context.Background(), c)
	require.NoError(t, err)
	assert.NotContains(t, header, "Authorization", "the client authenticates in its own way")

	assert.NotContains(t,
		fmt.Sprintf("%v %+v %#v %s", resourceserver.Introspection{ClientSecret: "s3cret"}, &i, i,
			i), "s3cret")
}

func TestI12_IntrospectionAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		want   int
		reason string
	}{
		"active":                   {200, answer(), 200, ""},
		"without iss":              {200, answer("iss", ""), 200, ""},
		"bearer":                   {200, answer("token_type", `"bearer"`), 200, ""},
		"an access token, it says": {200, answer("token_use", `"access_token"`), 200, ""},
		"inactive":                 {200, `{"active":false}`, 401, "token_inactive"},
		"inactive, with more":      {200, answer("active", "false"), 401, "token_inactive"},
		"inactive, with nonsense":  {200, `{"active":false,"exp":"never"}`, 401, "token_inactive"},
		"of another issuer": {200, answer("iss", `"https://else.example"`), 401,
			"issuer_mismatch"},
		"expired": {200, answer("exp", fmt.Sprint(now.Unix())), 401,
			"token_expired"},
		"for another API": {200, answer("aud", `"https://else.example"`), 401,
			"audience_mismatch"},
		"for nobody":    {200, answer("aud", ""), 401, "audience_mismatch"},
		"about nobody":  {200, answer("sub", ""), 401, "token_incomplete"},
		"no token_type": {200, answer("token_type", ""), 401, "not_an_access_token"},
		"N_A": {200, answer("token_type", `"N_A"`), 401,
			"not_an_access_token"},
		"refresh_token": {200, answer("token_type", `"refresh_token"`), 401,
			"not_an_access_token"},
		"token_type is a list": {200, answer("token_type", `["Bearer"]`), 401,
			"not_an_access_token"},
		"a refresh token, it says": {200, answer("token_use", `"refresh_token"`), 401,
			"not_an_access_token"},
		"an ID token, it says": {200, answer("token_usage", `"id_token"`), 401,
			"not_an_access_token"},
		"DPoP without key": {200, answer("token_type", `"DPoP"`), 401, "key_missing"},
		"bound": {200, answer("token_type", `"DPoP"`, "cnf", `{"jkt":"K1"}`),
			401, "scheme_mismatch"},
		"Bearer, bound": {200, answer("cnf", `{"x5t#S256":"C1"}`), 401,
			"key_not_proved"},
		"no active": {200, answer("active", ""), 500, "introspection_malformed"},
		"active is a string": {200, answer("active", `"true"`), 500,
			"introspection_malformed"},
		"active is 1": {200, answer("active", "1"), 500, "introspection_malformed"},
		"Active": {200, answer("active", "", "Active", "true"), 500,
			"introspection_malformed"},
		"active twice": {200, `{"active":true,"active":false}`, 500,
			"introspection_malformed"},
		"no exp":          {200, answer("exp", ""), 500, "introspection_malformed"},
		"exp is a string": {200, answer("exp", `"1"`), 500, "introspection_malformed"},
		"scope is a list": {200, answer("scope", `["read"]`), 500,
			"introspection_malformed"},
		"act is a string": {200, answer("act", `"bob"`), 500, "introspection_malformed"},
		"act and act_as": {200,
			answer("act", `{"sub":"bob"}`, "act_as", `{"sub":"carol"}`), 500,
			"introspection_malformed"},
		"a cnf nobody can check": {200, answer("cnf", `{"kid":"1"}`), 500,
			"introspection_malformed"},
		"null":     {200, `null`, 500, "introspection_malformed"},
		"a list":   {200, `[` + answer() + `]`, 500, "introspection_malformed"},
		"nothing":  {200, ``, 500, "introspection_malformed"},
		"HTML":     {200, `<html>`, 500, "introspection_malformed"},
		"trailing": {200, answer() + "{}", 500, "introspection_malformed"},
		"too long": {200, answer("pad", `"`+strings.Repeat("a", 256<<10)+`"`), 503,
			"introspection_unavailable"},
		"our credentials are wrong": {401, `{"error":"invalid_client"}`, 503,
			"introspection_unavailable"},
		"created": {201, answer(), 503, "introspection_unavailable"},
		"down":    {500, answer(), 503, "introspection_unavailable"},
	} {
		reason, protected := "", introspecting(endpoint(t, tt.status, tt.body))
		protected.Audit = func(_ context.Context, a resourceserver.Access) {
			if a.Err != nil {
				reason = tokenexchange.AsError(a.Err).Reason
			}
		}
		got := ask(t, protected, opaque)
		assert.Equal(t, tt.want, got.status, name)
		assert.Equal(t, tt.reason, reason, name)
	}
}

func TestI12_IntrospectionThatCannotBeAsked(t *testing.T) {
	c := tokenexchange.Credential{Token: opaque, Type: tokenexchange.TypeAccessToken,
		Issuer: issuer, Now: now}
	good := endpoint(t, 200, answer())
	redirect := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, good, http.StatusTemporaryRedirect)
	}))
	ours := func(url string) resourceserver.Introspection {
		return resourceserver.Introspection{Endpoint: url, ClientID: "orders"}
	}
	for name, tt := range map[string]struct {
		resourceserver.Introspection
		want tokenexchange.Code
	}{
		"zero": {resourceserver.Introspection{}, tokenexchange.ServerError},
		"no credentials": {resourceserver.Introspection{Endpoint: good},
			tokenexchange.ServerError},
		"http to elsewhere": {ours("http://as.example/introspect"), tokenexchange.ServerError},
		"http to a lookalike": {ours("http://localhost.as.example/introspect"),
			tokenexchange.ServerError},
		"no URL":         {ours("://"), tokenexchange.ServerError},
		"no host":        {ours("https:///introspect"), tokenexchange.ServerError},
		"another scheme": {ours("ftp://127.0.0.1/"), tokenexchange.ServerError},
		"nobody there": {ours("http://127.0.0.1:1/"),
			tokenexchange.TemporarilyUnavailable},
		"a redirect": {ours(redirect), tokenexchange.TemporarilyUnavailable},
		"a code from elsewhere": {
			resourceserver.Introspection{Endpoint: good,
				Client: &http.Client{Transport: failing{}}}, tokenexchange.TemporarilyUnavailable},
	} {
		_, err := tt.Verify(context.Background(), c)
		require.Error(t, err, name)
		assert.Equal(t, tt.want, tokenexchange.AsError(err).Code, "%s: %v", name, err)
		assert.NotContains(t, err.Error(), opaque, name)
	}
	_, err := ours(good).Verify(context.Background(),
		tokenexchange.Credential{Token: opaque, Now: now})
	assert.ErrorIs(t, err, tokenexchange.ServerError, "no issuer to compare with")
	c.Now = now.Add(time.Hour)
	_, err = ours(good).Verify(context.Background(), c)
	assert.ErrorIs(t, err, tokenexchange.InvalidRequest, "D26: exp has come")
}

// failing is a transport that is refused a token of its own, and wants to be told how long it may
// take.
type failing struct{}

func (failing) RoundTrip(r *http.Request) (*http.Response, error) {
	if deadline, ok := r.Context().Deadline(); !ok || time.Until(deadline) > 5*time.Second {
		panic("no deadline")
	}
	return nil, fmt.Errorf("token exchange: %w", tokenexchange.InvalidRequest)
}

func TestI12_IntrospectionTakesNoLongerThanTheRequest(t *testing.T) {
	slow := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"active":`)
		_ = http.NewResponseController(w).Flush()
		select { // as a server whose body never ends
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c := tokenexchange.Credential{Token: opaque, Type: tokenexchange.TypeAccessToken,
		Issuer: issuer, Now: now}
	_, err := resourceserver.Introspection{Endpoint: slow, ClientID: "orders"}.Verify(ctx, c)
	assert.ErrorIs(t, err, tokenexchange.TemporarilyUnavailable)
	assert.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
}

func TestD30_IntrospectedKeys(t *testing.T) {
	api := introspecting(endpoint(t, 200, answer("token_type", `"DPoP"`, "cnf", `{"jkt":"K1"}`)))
	api.Proved = func(*http.Request) tokenexchange.Confirmation {
		return tokenexchange.Confirmation{JKT: "K1"}
	}
	base := serve(t, api.Protect(who))
	assert.Equal(t, http.StatusOK, get(t, base, "DPoP "+opaque).status)
	assert.Equal(t, http.StatusUnauthorized, get(t, base, "Bearer "+opaque).status)
}
