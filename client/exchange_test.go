package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/client"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

const (
	subjectToken = "subject.token/with+signs="
	actorToken   = "actor.token/with+signs="
	clientSecret = "s3cret/with+signs="
)

// endpoint is a token endpoint that records the requests that it gets.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	header []http.Header
}

func newEndpoint(t *testing.T, respond http.HandlerFunc) *endpoint {
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodPost, r.Method)
		assert.NoError(t, r.ParseForm())
		assert.Empty(t, r.URL.RawQuery)
		e.mu.Lock()
		e.forms, e.header = append(e.forms, r.PostForm), append(e.header, r.Header)
		e.mu.Unlock()
		respond(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

// responding sends a usual response with these members set; nil removes a member.
func responding(members map[string]any) http.HandlerFunc {
	response := map[string]any{"access_token": "issued-token",
		"issued_token_type": tx.TypeAccessToken, "token_type": "Bearer", "expires_in": 300}
	maps.Copy(response, members)
	maps.DeleteFunc(response, func(_ string, v any) bool { return v == nil })
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(response)
	}
}

func staticSource(token string) oauth2.TokenSource {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
}

func newConfig(tokenURL string) *client.Config {
	return &client.Config{
		Server: clientcredentials.Config{
			ClientID: "web app", ClientSecret: clientSecret, TokenURL: tokenURL},
		Subject: staticSource(subjectToken),
	}
}

func TestR09_AuthenticatesOnceWithoutProbing(t *testing.T) {
	for name, c := range map[string]struct {
		style  oauth2.AuthStyle
		secret string
		basic  bool
	}{
		"auto, secret":      {oauth2.AuthStyleAutoDetect, clientSecret, true},
		"auto, no secret":   {oauth2.AuthStyleAutoDetect, "", false},
		"params, secret":    {oauth2.AuthStyleInParams, clientSecret, false},
		"header, secret":    {oauth2.AuthStyleInHeader, clientSecret, true},
		"header, no secret": {oauth2.AuthStyleInHeader, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			})
			config := newConfig(e.URL)
			config.Server.AuthStyle, config.Server.ClientSecret = c.style, c.secret
			_, err := config.Exchange(t.Context())
			require.Error(t, err)
			require.Len(t, e.forms, 1, "the tokens are sent once")
			id, secret, basic := (&http.Request{Header: e.header[0]}).BasicAuth()
			assert.Equal(t, c.basic, basic)
			if basic {
				assert.Equal(t, "web+app", id)
				assert.Equal(t, url.QueryEscape(c.secret), secret)
				assert.False(t, e.forms[0].Has("client_id") || e.forms[0].Has("client_secret"))
				return
			}
			assert.Equal(t, "web app", e.forms[0].Get("client_id"))
			assert.Equal(t, c.secret, e.forms[0].Get("client_secret"))
			assert.Equal(t, c.secret != "", e.forms[0].Has("client_secret"))
		})
	}
}

func TestR11_Response(t *testing.T) {
	for name, c := range map[string]struct {
		members map[string]any
		change  func(*tx.Response)
	}{
		"only what is required": {nil, func(*tx.Response) {}},
		"every member": {map[string]any{
			"scope": "read write", "refresh_token": "a-refresh-token", "id_token": "an-id-token",
		}, func(r *tx.Response) {
			r.Scope, r.RefreshToken, r.IDToken = "read write", "a-refresh-token", "an-id-token"
		}},
		"no expires_in": {map[string]any{"expires_in": nil},
			func(r *tx.Response) { r.ExpiresIn = 0 }},
		"expires_in as text": {map[string]any{"expires_in": "60"},
			func(r *tx.Response) { r.ExpiresIn = 60 }},
		"scope as a list": {map[string]any{"scope": []string{"read"}}, func(*tx.Response) {}},
		"not a bearer token": {map[string]any{
			"token_type": "N_A", "issued_token_type": tx.TypeIDToken,
		}, func(r *tx.Response) { r.TokenType, r.IssuedTokenType = "N_A", tx.TypeIDToken }},
	} {
		t.Run(name, func(t *testing.T) {
			want := tx.Response{AccessToken: "issued-token", IssuedTokenType: tx.TypeAccessToken,
				TokenType: "Bearer", ExpiresIn: 300}
			c.change(&want)
			e := newEndpoint(t, responding(c.members))
			got, err := newConfig(e.URL).Exchange(t.Context())
			require.NoError(t, err)
			assert.True(t, want == got, "want %v, got %v", want, got)
		})
	}
}

func TestR11_BadResponse(t *testing.T) {
	const incomplete = "without token_type or issued_token_type"
	for name, c := range map[string]struct {
		members   map[string]any
		requested tx.TokenType
		want      string
	}{
		"no issued_token_type":          {map[string]any{"issued_token_type": nil}, "", incomplete},
		"issued_token_type is a number": {map[string]any{"issued_token_type": 7}, "", incomplete},
		"no token_type":                 {map[string]any{"token_type": nil}, "", incomplete},
		"another type":                  {nil, tx.TypeIDToken, `requested a token of type "urn:`},
		"a JWT instead of an access token": {map[string]any{"issued_token_type": tx.TypeJWT},
			tx.TypeAccessToken, "the server issued another type"},
		"no token": {map[string]any{"access_token": nil}, "", "missing access_token"},
	} {
		t.Run(name, func(t *testing.T) {
			config := newConfig(newEndpoint(t, responding(c.members)).URL)
			config.Request.RequestedTokenType = c.requested
			got, err := config.Exchange(t.Context())
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "issued-token")
			assert.Zero(t, got)
			tok, err := config.TokenSource(t.Context()).Token()
			require.ErrorContains(t, err, c.want)
			assert.Nil(t, tok)
		})
	}
	t.Run("the requested type", func(t *testing.T) {
		config := newConfig(newEndpoint(t, responding(nil)).URL)
		config.Request.RequestedTokenType = tx.TypeAccessToken
		_, err := config.Exchange(t.Context())
		require.NoError(t, err)
	})
}

// Only a Bearer or DPoP token is sent in an Authorization header.
func TestR11_TokenType(t *testing.T) {
	for tokenType, sent := range map[string]string{
		"Bearer": "Bearer issued-token", "bearer": "Bearer issued-token",
		"DPoP": "DPoP issued-token", "dpop": "dpop issued-token",
		"N_A": "", "n_a": "", "N_a": "", "MAC": "", "Basic": "", "Bearer ": "", "urn:example": "",
	} {
		t.Run(tokenType, func(t *testing.T) {
			var got []string
			record := func(_ http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("Authorization"))
			}
			api := httptest.NewServer(http.HandlerFunc(record))
			defer api.Close()
			e := newEndpoint(t, responding(map[string]any{"token_type": tokenType}))
			config := newConfig(e.URL)
			hc := oauth2.NewClient(t.Context(), config.TokenSource(t.Context()))
			resp, err := hc.Get(api.URL)
			if sent == "" {
				require.ErrorContains(t, err, "neither Bearer nor DPoP")
				assert.NotContains(t, err.Error(), "issued-token")
				assert.Empty(t, got)
			} else {
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, []string{sent}, got)
			}
			r, err := config.Exchange(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tokenType, r.TokenType)
			assert.Equal(t, "issued-token", r.AccessToken)
		})
	}
}

// A server or a proxy that repeats the request in its error does not get secrets into the logs.
func TestI08_ErrorsHoldNoSecrets(t *testing.T) {
	echo := func(status int, contentType, format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			f := r.PostForm
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			fmt.Fprintf(w, format, f.Get("subject_token")+" "+f.Get("actor_token")+" "+
				f.Get("client_secret")+" "+f.Encode())
		}
	}
	const jsonType = "application/json"
	for name, respond := range map[string]http.HandlerFunc{
		"description": echo(400, jsonType,
			`{"error":"invalid_request","error_description":"got %s"}`),
		"uri": echo(400, jsonType,
			`{"error":"invalid_request","error_uri":"https://as.example/%s"}`),
		"code":            echo(400, jsonType, `{"error":"%s"}`),
		"page of a proxy": echo(502, "text/html", "<p>%s</p>"),
		"plain text":      echo(500, "text/plain", "%s"),
		"with status 200": echo(200, jsonType,
			`{"error":"invalid_request","error_description":"got %s"}`),
	} {
		t.Run(name, func(t *testing.T) {
			config := newConfig(newEndpoint(t, respond).URL)
			config.Server.AuthStyle = oauth2.AuthStyleInParams
			config.Actor = staticSource(actorToken)
			_, fromExchange := config.Exchange(t.Context())
			_, fromSource := config.TokenSource(t.Context()).Token()
			for _, err := range []error{fromExchange, fromSource} {
				var refused *oauth2.RetrieveError
				require.ErrorAs(t, err, &refused)
				for _, text := range []string{
					err.Error(), fmt.Sprintf("%+v %#v", err, err), refused.Error(),
					string(refused.Body), refused.ErrorDescription,
				} {
					for _, secret := range []string{subjectToken, actorToken, clientSecret} {
						assert.NotContains(t, text, secret)
						assert.NotContains(t, text, url.QueryEscape(secret))
					}
				}
			}
		})
	}
}

func TestR13_RefusalIsARetrieveError(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		tx.AsError(tx.InvalidTarget).ServeHTTP(w, r)
	})
	_, err := newConfig(e.URL).Exchange(t.Context())
	var refused *oauth2.RetrieveError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "invalid_target", refused.ErrorCode)
	assert.Equal(t, http.StatusBadRequest, refused.Response.StatusCode)
	assert.Contains(t, err.Error(), refused.ErrorDescription)
	assert.NotContains(t, string(refused.Body), "[token]")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := newEndpoint(t, responding(nil))
	ctxWith := func(hc *http.Client) context.Context {
		return context.WithValue(t.Context(), oauth2.HTTPClient, hc)
	}
	for _, status := range []int{
		http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
	} {
		for name, ctx := range map[string]context.Context{
			"default client": t.Context(),
			"own client": ctxWith(&http.Client{
				CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}),
			"nil client": ctxWith(nil),
		} {
			t.Run(fmt.Sprint(status, name), func(t *testing.T) {
				e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere.URL, status)
				})
				_, err := newConfig(e.URL).Exchange(ctx)
				var refused *oauth2.RetrieveError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, status, refused.Response.StatusCode)
				assert.Empty(t, elsewhere.forms)
			})
		}
	}
	assert.Nil(t, http.DefaultClient.CheckRedirect)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHTTPClientAndContext(t *testing.T) {
	used := 0
	e := newEndpoint(t, responding(nil))
	hc := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		used++
		return http.DefaultTransport.RoundTrip(r)
	})}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), oauth2.HTTPClient, hc))
	_, err := newConfig(e.URL).Exchange(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, used)
	assert.Nil(t, hc.CheckRedirect)
	cancel()
	_, err = newConfig(e.URL).Exchange(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = newConfig(e.URL).TokenSource(ctx).Token()
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, e.forms, 1)
}

func TestTokenSourceReusesItsToken(t *testing.T) {
	e := newEndpoint(t, responding(nil))
	source := newConfig(e.URL).TokenSource(t.Context())
	assert.Empty(t, e.forms, "nothing is sent before the first call of Token")
	first, err := source.Token()
	require.NoError(t, err)
	again, err := source.Token()
	require.NoError(t, err)
	assert.Same(t, first, again)
	assert.Equal(t, string(tx.TypeAccessToken), first.Extra("issued_token_type"))
	assert.WithinDuration(t, time.Now().Add(300*time.Second), first.Expiry, 30*time.Second)
	assert.Len(t, e.forms, 1)
}

// A token source renews its token by an exchange with fresh tokens, not with the refresh token.
func TestTokenSourceRenews(t *testing.T) {
	e := newEndpoint(t, responding(map[string]any{
		"expires_in":    5, // x/oauth2 renews 10 s before a token expires
		"refresh_token": "a-refresh-token",
	}))
	config := newConfig(e.URL)
	n := 0
	config.Subject = sourceFunc(func() (*oauth2.Token, error) {
		n++
		return &oauth2.Token{AccessToken: fmt.Sprint("subject-", n)}, nil
	})
	config.Actor = sourceFunc(func() (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: fmt.Sprint("actor-", n)}, nil
	})
	source := config.TokenSource(t.Context())
	for i := 1; i <= 3; i++ {
		_, err := source.Token()
		require.NoError(t, err)
		require.Len(t, e.forms, i)
		form := e.forms[i-1]
		assert.Equal(t, tx.GrantType, form.Get("grant_type"))
		assert.Equal(t, fmt.Sprint("subject-", i), form.Get("subject_token"))
		assert.Equal(t, fmt.Sprint("actor-", i), form.Get("actor_token"))
		assert.False(t, form.Has("refresh_token"))
	}
}

// Many goroutines use one Config, whose Server is at the same time the source of actor tokens.
func TestConfigIsSharedAndNotChanged(t *testing.T) {
	e := newEndpoint(t, responding(nil))
	config := newConfig(e.URL)
	config.Server.EndpointParams = url.Values{"tenant": {"acme"}}
	config.Request = tx.Request{Audience: []string{"a"}, Scope: tx.Scope{"read"}}
	credentials := newEndpoint(t, responding(nil))
	config.Server.TokenURL = credentials.URL
	config.Actor = config.Server.TokenSource(t.Context())
	config.Server.TokenURL = e.URL
	state := func() []any {
		return []any{config.Request, config.Server.EndpointParams.Encode(),
			config.Server.Scopes, config.Server.AuthStyle}
	}
	before := state()
	source := config.TokenSource(t.Context())
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range 8 {
		wg.Go(func() {
			_, err := config.Exchange(t.Context())
			_, err2 := source.Token()
			if errors.Join(err, err2) != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	assert.Zero(t, failed.Load())
	assert.Equal(t, before, state())
	assert.GreaterOrEqual(t, len(e.forms), 9)
}

// The client and an Exchanger understand each other.
func TestI11_ClientAgainstExchanger(t *testing.T) {
	user := func(id string) tx.Identity {
		return tx.Identity{Issuer: issuer, Kind: tx.KindUser, ID: id}
	}
	types := []tx.TokenType{tx.TypeAccessToken}
	everyUser := []tx.Identity{{Kind: tx.KindUser, ID: "*"}}
	policy, err := tx.NewPolicy(tx.Rule{Name: "r",
		Delegate: &tx.Delegation{Actors: everyUser, ActorTypes: types},
		Clients:  []string{"web app"}, Subjects: everyUser,
		SubjectTypes: types, Types: []tx.TokenType{tx.TypeJWT, tx.TypeIDToken},
		SubjectAudience: true, Scope: tx.Scope{"*"}, Lifetime: time.Minute})
	require.NoError(t, err)
	tokens := &tokenexchangetest.Issuer{}
	x := tx.Exchanger{
		Issuer: issuer,
		Verify: tx.Verifiers{tx.TypeAccessToken: tokens.Verify},
		Resolver: tokenexchangetest.NewDirectory(
			tx.Subject{Identity: user("bob")}, tx.Subject{Identity: user("ann")}),
		Decide: policy.Decide,
		Authorizer: &tokenexchangetest.Authorizer{
			Pairs: []tokenexchangetest.Pair{{Actor: user("ann"), Subject: user("bob")}}},
		TokenIssuer: tokens,
		Audit:       &tokenexchangetest.Recorder{},
	}
	s := httptest.NewServer(x.Handler(func(r *http.Request) (tx.Client, error) {
		id, secret, _ := r.BasicAuth()
		if id != "web+app" || secret != url.QueryEscape(clientSecret) {
			return tx.Client{}, tx.InvalidClient
		}
		return tx.Client{ID: "web app", Scope: tx.Scope{"read"}}, nil
	}))
	defer s.Close()
	logIn := func(name string) oauth2.TokenSource {
		return staticSource(tokens.Put(tx.Token{Issuer: issuer, Kind: tx.KindUser, Subject: name,
			ClientID: "web app", Audience: []string{"https://api.example"},
			Scope: tx.Scope{"read", "write"}, Expires: time.Now().Add(time.Hour)}))
	}
	config := newConfig(s.URL)
	config.Subject, config.Actor = logIn("bob"), logIn("ann")
	config.Request = tx.Request{RequestedTokenType: tx.TypeJWT,
		Resource: []string{"https://api.example"}, Scope: tx.Scope{"read"}}
	got, err := config.Exchange(t.Context())
	require.NoError(t, err)
	decision, _ := tokens.Decision(got.AccessToken)
	assert.Equal(t, "bob", decision.Subject.ID)
	require.NotNil(t, decision.Actor)
	assert.Equal(t, "ann", decision.Actor.Subject)
	assert.InDelta(t, 60, got.ExpiresIn, 1)
	got.AccessToken, got.ExpiresIn = "", 0
	assert.Equal(t, tx.Response{
		IssuedTokenType: tx.TypeJWT, TokenType: "Bearer", Scope: "read"}, got)

	config.Request.RequestedTokenType, config.Request.Resource = tx.TypeIDToken, nil
	got, err = config.Exchange(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "N_A", got.TokenType)
	_, err = config.TokenSource(t.Context()).Token()
	require.ErrorContains(t, err, "use Exchange")

	config.Server.ClientSecret = "another-secret"
	var refused *oauth2.RetrieveError
	_, err = config.Exchange(t.Context())
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "invalid_client", refused.ErrorCode)
}
