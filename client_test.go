package tokenexchange_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
)

const (
	clientSubject = "subject.token/with+signs="
	clientActor   = "actor.token/with+signs="
	clientSecret  = "s3cret/with+signs="
)

// clientEndpoint is a token endpoint that answers every request alike and remembers what it was sent.
type clientEndpoint struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	header []http.Header
}

func newClientEndpoint(t *testing.T, answer http.HandlerFunc) *clientEndpoint {
	e := &clientEndpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodPost, r.Method)
		assert.NoError(t, r.ParseForm())
		assert.Empty(t, r.URL.RawQuery)
		e.mu.Lock()
		e.forms, e.header = append(e.forms, r.PostForm), append(e.header, r.Header)
		e.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

// answering sends members over those of an ordinary answer; nil takes one away.
func answering(members map[string]any) http.HandlerFunc {
	all := map[string]any{"access_token": "issued-token", "issued_token_type": tokenexchange.TypeAccessToken, "token_type": "Bearer", "expires_in": 300}
	maps.Copy(all, members)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	}
}

// tokenSource is a source that is one function.
type tokenSource func() (*oauth2.Token, error)

func (s tokenSource) Token() (*oauth2.Token, error) { return s() }

func staticSource(token string) oauth2.TokenSource {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
}

func newClientConfig(tokenURL string) *tokenexchange.ClientConfig {
	return &tokenexchange.ClientConfig{
		Server:  clientcredentials.Config{ClientID: "web app", ClientSecret: clientSecret, TokenURL: tokenURL},
		Subject: staticSource(clientSubject),
	}
}

func TestR03_ClientSendsOneExchange(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*tokenexchange.ClientConfig)
		want   url.Values
	}{
		"least": {func(*tokenexchange.ClientConfig) {}, url.Values{
			"grant_type": {tokenexchange.GrantType}, "subject_token": {clientSubject}, "subject_token_type": {string(tokenexchange.TypeAccessToken)}}},
		"all": {func(c *tokenexchange.ClientConfig) {
			c.Actor = staticSource(clientActor)
			c.Server.EndpointParams = url.Values{"tenant": {"acme"}, "x": {"1", "2"}, "authorization_details": {"[]"}}
			c.Request = tokenexchange.Request{
				SubjectTokenType: tokenexchange.TypeJWT, ActorTokenType: tokenexchange.TypeIDToken, RequestedTokenType: tokenexchange.TypeAccessToken,
				Audience: []string{"a", "b"}, Resource: []string{"https://c.example", "https://d.example"}, Scope: tokenexchange.Scope{"read", "write"}}
		}, url.Values{
			"grant_type": {tokenexchange.GrantType}, "tenant": {"acme"}, "x": {"1", "2"}, "authorization_details": {"[]"},
			"subject_token": {clientSubject}, "subject_token_type": {string(tokenexchange.TypeJWT)},
			"actor_token": {clientActor}, "actor_token_type": {string(tokenexchange.TypeIDToken)},
			"requested_token_type": {string(tokenexchange.TypeAccessToken)},
			"audience":             {"a", "b"}, "resource": {"https://c.example", "https://d.example"}, "scope": {"read write"}}},
		"types are access tokens, scopes are the server's": {func(c *tokenexchange.ClientConfig) {
			c.Actor = staticSource(clientActor)
			c.Server.Scopes = []string{"read", "write"}
		}, url.Values{
			"grant_type": {tokenexchange.GrantType}, "subject_token": {clientSubject}, "subject_token_type": {string(tokenexchange.TypeAccessToken)},
			"actor_token": {clientActor}, "actor_token_type": {string(tokenexchange.TypeAccessToken)}, "scope": {"read write"}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newClientEndpoint(t, answering(nil))
			config := newClientConfig(e.URL)
			c.change(config)
			got, err := config.Exchange(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "issued-token", got.AccessToken)
			assert.Equal(t, []url.Values{c.want}, e.forms)
		})
	}
}

func TestR09_ClientAuthenticatesOnceWithoutProbing(t *testing.T) {
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
			e := newClientEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			})
			config := newClientConfig(e.URL)
			config.Server.AuthStyle, config.Server.ClientSecret = c.style, c.secret
			_, err := config.Exchange(t.Context())
			require.Error(t, err)
			require.Len(t, e.forms, 1, "the tokens are posted once")
			id, secret, basic := (&http.Request{Header: e.header[0]}).BasicAuth()
			assert.Equal(t, c.basic, basic)
			if basic {
				assert.Equal(t, []string{"web+app", url.QueryEscape(c.secret)}, []string{id, secret})
				assert.False(t, e.forms[0].Has("client_id") || e.forms[0].Has("client_secret"))
				return
			}
			assert.Equal(t, "web app", e.forms[0].Get("client_id"))
			assert.Equal(t, c.secret, e.forms[0].Get("client_secret"))
			assert.Equal(t, c.secret != "", e.forms[0].Has("client_secret"))
		})
	}
}

func TestR03_ClientDrawsTheTokenOfTheDeclaredType(t *testing.T) {
	full := (&oauth2.Token{AccessToken: "the-access-token", RefreshToken: "the-refresh-token"}).WithExtra(map[string]any{"id_token": "the-id-token"})
	oddID := (&oauth2.Token{AccessToken: "the-access-token"}).WithExtra(map[string]any{"id_token": 7})
	for name, c := range map[string]struct {
		token    *oauth2.Token
		declared tokenexchange.TokenType
		want     string
	}{
		"none":                      {full, "", "the-access-token"},
		"access token":              {full, tokenexchange.TypeAccessToken, "the-access-token"},
		"jwt":                       {full, tokenexchange.TypeJWT, "the-access-token"},
		"of the host":               {full, "urn:example:ticket", "the-access-token"},
		"refresh token":             {full, tokenexchange.TypeRefreshToken, "the-refresh-token"},
		"id token":                  {full, tokenexchange.TypeIDToken, "the-id-token"},
		"id token as access_token":  {&oauth2.Token{AccessToken: "an-id-token"}, tokenexchange.TypeIDToken, "an-id-token"},
		"id_token that is a number": {oddID, tokenexchange.TypeIDToken, "the-access-token"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newClientEndpoint(t, answering(nil))
			config := newClientConfig(e.URL)
			config.Subject, config.Actor = oauth2.StaticTokenSource(c.token), oauth2.StaticTokenSource(c.token)
			config.Request.SubjectTokenType, config.Request.ActorTokenType = c.declared, c.declared
			_, err := config.Exchange(t.Context())
			require.NoError(t, err)
			assert.Equal(t, c.want, e.forms[0].Get("subject_token"))
			assert.Equal(t, c.want, e.forms[0].Get("actor_token"))
		})
	}
}

func TestR03_ClientSendsNothingWithoutItsTokens(t *testing.T) {
	errSource := errors.New("session is over")
	for name, c := range map[string]struct {
		source oauth2.TokenSource
		typ    tokenexchange.TokenType
		is     error
	}{
		"fails":            {tokenSource(func() (*oauth2.Token, error) { return nil, errSource }), "", errSource},
		"nil":              {tokenSource(func() (*oauth2.Token, error) { return nil, nil }), "", nil},
		"empty":            {staticSource(""), "", nil},
		"no refresh token": {staticSource("only-access"), tokenexchange.TypeRefreshToken, nil},
		"no id token":      {staticSource(""), tokenexchange.TypeIDToken, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newClientEndpoint(t, answering(nil))
			subject, actor := newClientConfig(e.URL), newClientConfig(e.URL)
			subject.Subject, subject.Request.SubjectTokenType = c.source, c.typ
			actor.Actor, actor.Request.ActorTokenType = c.source, c.typ
			for which, config := range map[string]*tokenexchange.ClientConfig{"subject token": subject, "actor token": actor} {
				_, err := config.Exchange(t.Context())
				require.ErrorContains(t, err, "tokenexchange: "+which+": ")
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				_, err = config.TokenSource(t.Context()).Token()
				require.ErrorContains(t, err, which)
			}
			assert.Empty(t, e.forms)
		})
	}
}

func TestR04_ClientRefusesToSayAThingTwice(t *testing.T) {
	type config = tokenexchange.ClientConfig
	cases := map[string]func(*config){
		"no source of subject tokens": func(c *config) { c.Subject = nil },
		"Request holds a token":       func(c *config) { c.Request.SubjectToken = clientSubject },
		"Request holds a token; ":     func(c *config) { c.Request.ActorToken = clientActor },
		"an actor token type without": func(c *config) { c.Request.ActorTokenType = tokenexchange.TypeJWT },
		"Server.Scopes and Request.Scope": func(c *config) {
			c.Server.Scopes, c.Request.Scope = []string{"read"}, tokenexchange.Scope{"read"}
		},
		"Request.Scope both ask": func(c *config) { c.Server.Scopes, c.Request.Scope = []string{"read"}, tokenexchange.Scope{} },
	}
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type",
		"requested_token_type", "audience", "resource", "scope", "client_id", "client_secret"} {
		cases["Server.EndpointParams must not set "+name] = func(c *config) { c.Server.EndpointParams = url.Values{name: {"x"}} }
	}
	cases["must not set scope"] = func(c *config) { c.Server.EndpointParams = url.Values{"scope": nil} }
	for want, change := range cases {
		t.Run(want, func(t *testing.T) {
			e := newClientEndpoint(t, answering(nil))
			c := newClientConfig(e.URL)
			asked := false
			c.Subject = tokenSource(func() (*oauth2.Token, error) { asked = true; return &oauth2.Token{AccessToken: clientSubject}, nil })
			change(c)
			_, err := c.Exchange(t.Context())
			require.ErrorContains(t, err, want)
			assert.NotContains(t, err.Error(), clientSubject)
			assert.False(t, asked)
			assert.Empty(t, e.forms)
		})
	}
}

func TestR11_ClientReadsTheAnswer(t *testing.T) {
	full := map[string]any{"scope": "read write", "refresh_token": "a-refresh-token", "id_token": "an-id-token"}
	plain := tokenexchange.Response{AccessToken: "issued-token", IssuedTokenType: tokenexchange.TypeAccessToken, TokenType: "Bearer", ExpiresIn: 300}
	for name, c := range map[string]struct {
		answer map[string]any
		change func(*tokenexchange.Response)
	}{
		"least": {nil, func(*tokenexchange.Response) {}},
		"all": {full, func(r *tokenexchange.Response) {
			r.Scope, r.RefreshToken, r.IDToken = "read write", "a-refresh-token", "an-id-token"
		}},
		"no expires_in":      {map[string]any{"expires_in": nil}, func(r *tokenexchange.Response) { r.ExpiresIn = 0 }},
		"expires_in as text": {map[string]any{"expires_in": "60"}, func(r *tokenexchange.Response) { r.ExpiresIn = 60 }},
		"odd scope":          {map[string]any{"scope": []string{"read"}}, func(*tokenexchange.Response) {}},
		"not a bearer token": {map[string]any{"token_type": "N_A", "issued_token_type": tokenexchange.TypeIDToken},
			func(r *tokenexchange.Response) { r.TokenType, r.IssuedTokenType = "N_A", tokenexchange.TypeIDToken }},
	} {
		t.Run(name, func(t *testing.T) {
			want := plain
			c.change(&want)
			got, err := newClientConfig(newClientEndpoint(t, answering(c.answer)).URL).Exchange(t.Context())
			require.NoError(t, err)
			assert.True(t, want == got, "want %v, got %v", want, got)
		})
	}
}

func TestR11_ClientHoldsTheServerToItsAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		answer map[string]any
		asked  tokenexchange.TokenType
		want   string
	}{
		"no issued_token_type":  {map[string]any{"issued_token_type": nil}, "", "without token_type or issued_token_type"},
		"odd issued_token_type": {map[string]any{"issued_token_type": 7}, "", "without token_type or issued_token_type"},
		"no token_type":         {map[string]any{"token_type": nil}, "", "without token_type or issued_token_type"},
		"another type":          {nil, tokenexchange.TypeIDToken, `id_token" was requested`},
		"a jwt for an access":   {map[string]any{"issued_token_type": tokenexchange.TypeJWT}, tokenexchange.TypeAccessToken, "another type was issued"},
		"no token":              {map[string]any{"access_token": nil}, "", "missing access_token"},
	} {
		t.Run(name, func(t *testing.T) {
			config := newClientConfig(newClientEndpoint(t, answering(c.answer)).URL)
			config.Request.RequestedTokenType = c.asked
			got, err := config.Exchange(t.Context())
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "issued-token")
			assert.Zero(t, got)
			tok, err := config.TokenSource(t.Context()).Token()
			require.ErrorContains(t, err, c.want)
			assert.Nil(t, tok)
		})
	}
	t.Run("the type asked for", func(t *testing.T) {
		config := newClientConfig(newClientEndpoint(t, answering(nil)).URL)
		config.Request.RequestedTokenType = tokenexchange.TypeAccessToken
		_, err := config.Exchange(t.Context())
		require.NoError(t, err)
	})
}

func TestR11_OnlyASchemeIsSentAsOne(t *testing.T) {
	for tokenType, sent := range map[string]string{
		"Bearer": "Bearer issued-token", "bearer": "Bearer issued-token", "DPoP": "DPoP issued-token", "dpop": "dpop issued-token",
		"N_A": "", "n_a": "", "N_a": "", "MAC": "", "Basic": "", "Bearer ": "", "urn:example": "",
	} {
		t.Run(tokenType, func(t *testing.T) {
			var got []string
			api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("Authorization"))
			}))
			defer api.Close()
			config := newClientConfig(newClientEndpoint(t, answering(map[string]any{"token_type": tokenType})).URL)
			resp, err := oauth2.NewClient(t.Context(), config.TokenSource(t.Context())).Get(api.URL)
			if sent == "" {
				require.ErrorContains(t, err, "no scheme")
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

func TestI08_ClientErrorsHoldNoSecrets(t *testing.T) {
	echo := func(status int, contentType, format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			f := r.PostForm
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			fmt.Fprintf(w, format, f.Get("subject_token")+" "+f.Get("actor_token")+" "+f.Get("client_secret")+" "+f.Encode())
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"description":     echo(400, "application/json", `{"error":"invalid_request","error_description":"got %s"}`),
		"uri":             echo(400, "application/json", `{"error":"invalid_request","error_uri":"https://as.example/%s"}`),
		"code":            echo(400, "application/json", `{"error":"%s"}`),
		"page of a proxy": echo(502, "text/html", "<p>%s</p>"),
		"plain":           echo(500, "text/plain", "%s"),
		"with status 200": echo(200, "application/json", `{"error":"invalid_request","error_description":"got %s"}`),
	} {
		t.Run(name, func(t *testing.T) {
			config := newClientConfig(newClientEndpoint(t, answer).URL)
			config.Server.AuthStyle, config.Actor = oauth2.AuthStyleInParams, staticSource(clientActor)
			_, exchanged := config.Exchange(t.Context())
			_, drawn := config.TokenSource(t.Context()).Token()
			for _, err := range []error{exchanged, drawn} {
				var refused *oauth2.RetrieveError
				require.ErrorAs(t, err, &refused)
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err), refused.Error(), string(refused.Body), refused.ErrorDescription} {
					for _, secret := range []string{clientSubject, clientActor, clientSecret} {
						assert.NotContains(t, text, secret)
						assert.NotContains(t, text, url.QueryEscape(secret))
					}
				}
			}
		})
	}
}

func TestI08_ClientConfigPrintsNoSecret(t *testing.T) {
	config := newClientConfig("https://as.example/token")
	config.Server.EndpointParams = url.Values{"client_assertion": {"an.assertion"}}
	config.Request.SubjectToken = clientSubject
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "pointer", config, "value", *config,
		"in a list", []tokenexchange.ClientConfig{*config}, "in a struct", struct{ C *tokenexchange.ClientConfig }{config})
	for _, text := range []string{fmt.Sprint(config), fmt.Sprintf("%v %+v %#v %s %d %x", config, *config, *config, config, config, config), log.String()} {
		assert.Contains(t, text, "web app")
		for _, secret := range []string{clientSecret, clientSubject, "assertion"} {
			assert.NotContains(t, text, secret)
		}
	}
}

func TestR13_ClientRefusalIsARetrieveError(t *testing.T) {
	e := newClientEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		tokenexchange.AsError(tokenexchange.InvalidTarget).ServeHTTP(w, r)
	})
	_, err := newClientConfig(e.URL).Exchange(t.Context())
	var refused *oauth2.RetrieveError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "invalid_target", refused.ErrorCode)
	assert.Equal(t, http.StatusBadRequest, refused.Response.StatusCode)
	assert.Contains(t, err.Error(), refused.ErrorDescription)
	assert.NotContains(t, string(refused.Body), "[redacted]")
}

func TestClientFollowsNoRedirect(t *testing.T) {
	elsewhere := newClientEndpoint(t, answering(nil))
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		for name, ctx := range map[string]context.Context{
			"default client": t.Context(),
			"own client": context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{
				CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}),
			"nil client": context.WithValue(t.Context(), oauth2.HTTPClient, (*http.Client)(nil)),
		} {
			t.Run(fmt.Sprint(status, name), func(t *testing.T) {
				e := newClientEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere.URL, status)
				})
				_, err := newClientConfig(e.URL).Exchange(ctx)
				var refused *oauth2.RetrieveError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, status, refused.Response.StatusCode)
				assert.Empty(t, elsewhere.forms)
			})
		}
	}
	assert.Nil(t, http.DefaultClient.CheckRedirect)
}

func TestClientUsesTheHTTPClientAndTheContext(t *testing.T) {
	used := 0
	e := newClientEndpoint(t, answering(nil))
	hc := &http.Client{Transport: clientRoundTripper(func(r *http.Request) (*http.Response, error) {
		used++
		return http.DefaultTransport.RoundTrip(r)
	})}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), oauth2.HTTPClient, hc))
	_, err := newClientConfig(e.URL).Exchange(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, used)
	assert.Nil(t, hc.CheckRedirect)
	cancel()
	_, err = newClientConfig(e.URL).Exchange(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = newClientConfig(e.URL).TokenSource(ctx).Token()
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, e.forms, 1)
}

type clientRoundTripper func(*http.Request) (*http.Response, error)

func (f clientRoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClientTokenSourceCaches(t *testing.T) {
	e := newClientEndpoint(t, answering(nil))
	source := newClientConfig(e.URL).TokenSource(t.Context())
	assert.Empty(t, e.forms, "nothing is sent before somebody asks")
	first, err := source.Token()
	require.NoError(t, err)
	again, err := source.Token()
	require.NoError(t, err)
	assert.Same(t, first, again)
	assert.Equal(t, string(tokenexchange.TypeAccessToken), first.Extra("issued_token_type"))
	assert.WithinDuration(t, time.Now().Add(300*time.Second), first.Expiry, 30*time.Second)
	assert.Len(t, e.forms, 1)
}

func TestClientRenewalIsAnExchangeWithFreshTokens(t *testing.T) {
	e := newClientEndpoint(t, answering(map[string]any{"expires_in": 5, "refresh_token": "a-refresh-token"})) // x/oauth2 renews 10 s early
	config := newClientConfig(e.URL)
	n := 0
	config.Subject = tokenSource(func() (*oauth2.Token, error) { n++; return &oauth2.Token{AccessToken: fmt.Sprint("subject-", n)}, nil })
	config.Actor = tokenSource(func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: fmt.Sprint("actor-", n)}, nil })
	source := config.TokenSource(t.Context())
	for i := 1; i <= 3; i++ {
		_, err := source.Token()
		require.NoError(t, err)
		require.Len(t, e.forms, i)
		form := e.forms[i-1]
		assert.Equal(t, tokenexchange.GrantType, form.Get("grant_type"))
		assert.Equal(t, fmt.Sprint("subject-", i), form.Get("subject_token"))
		assert.Equal(t, fmt.Sprint("actor-", i), form.Get("actor_token"))
		assert.False(t, form.Has("refresh_token"))
	}
}

func TestClientIsSharedAndNotChanged(t *testing.T) {
	e := newClientEndpoint(t, answering(nil))
	config := newClientConfig(e.URL)
	config.Server.EndpointParams = url.Values{"tenant": {"acme"}}
	config.Request = tokenexchange.Request{Audience: []string{"a"}, Scope: tokenexchange.Scope{"read"}}
	credentials := newClientEndpoint(t, answering(nil))
	config.Server.TokenURL = credentials.URL
	config.Actor = config.Server.TokenSource(t.Context()) // the same Config, in use by x/oauth2
	config.Server.TokenURL = e.URL
	before := []any{config.Request, config.Server.EndpointParams.Encode(), config.Server.Scopes, config.Server.AuthStyle}
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
	assert.Equal(t, before, []any{config.Request, config.Server.EndpointParams.Encode(), config.Server.Scopes, config.Server.AuthStyle})
	assert.GreaterOrEqual(t, len(e.forms), 9)
}

// The client against the server of this package: what one writes the other reads.
func TestI11_ClientAgainstExchanger(t *testing.T) {
	verify := func(_ context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
		return tokenexchange.Token{Type: c.Type, ID: "1", Issuer: c.Issuer, Subject: c.Token, ClientID: "web app", Scope: tokenexchange.Scope{"read", "write"},
			Audience: []string{"https://api.example"}, Expires: c.Now.Add(time.Hour)}, nil
	}
	types := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	anybody := []tokenexchange.Identity{{Kind: "*", ID: "*"}}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{Name: "r", Mode: tokenexchange.Delegate, Clients: []string{"web app"}, Subjects: anybody,
		Actors: anybody, SubjectTypes: types, ActorTypes: types, Types: []tokenexchange.TokenType{tokenexchange.TypeJWT, tokenexchange.TypeIDToken},
		SubjectAudience: true, Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute})
	require.NoError(t, err)
	var decided tokenexchange.Decision
	x := tokenexchange.Exchanger{
		Issuer:   "https://as.example",
		Verify:   tokenexchange.Verifiers{tokenexchange.TypeAccessToken: verify},
		Subjects: clientDirectory{},
		Decide: func(f tokenexchange.Facts) (d tokenexchange.Decision, err error) {
			d, err = policy.Decide(f)
			decided = d
			return d, err
		},
		Actors: clientDirectory{},
		Tokens: clientDirectory{},
		Audit:  clientDirectory{},
	}
	s := httptest.NewServer(x.Handler(func(r *http.Request) (tokenexchange.Client, error) {
		if id, secret, _ := r.BasicAuth(); id != "web+app" || secret != url.QueryEscape(clientSecret) {
			return tokenexchange.Client{}, tokenexchange.InvalidClient
		}
		return tokenexchange.Client{ID: "web app", Scope: tokenexchange.Scope{"read"}}, nil
	}))
	defer s.Close()
	config := newClientConfig(s.URL)
	config.Subject, config.Actor = staticSource("bob"), staticSource("ann")
	config.Request = tokenexchange.Request{RequestedTokenType: tokenexchange.TypeJWT, Resource: []string{"https://api.example"}, Scope: tokenexchange.Scope{"read"}}
	got, err := config.Exchange(t.Context())
	require.NoError(t, err)
	want := tokenexchange.Response{AccessToken: "issued", IssuedTokenType: tokenexchange.TypeJWT, TokenType: "Bearer", ExpiresIn: 60, Scope: "read"}
	assert.InDelta(t, want.ExpiresIn, got.ExpiresIn, 1)
	got.ExpiresIn = want.ExpiresIn
	assert.Equal(t, want, got)
	assert.Equal(t, "bob", decided.Subject.ID)
	require.NotNil(t, decided.Actor)
	assert.Equal(t, "ann", decided.Actor.Subject)

	config.Request.RequestedTokenType = tokenexchange.TypeIDToken // N_A: handed out, never sent
	config.Request.Resource = nil
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

// clientDirectory is all that a host fills in: everybody is an active user, and everything is allowed.
type clientDirectory struct{}

func (clientDirectory) ResolveSubject(_ context.Context, tok tokenexchange.Token) (tokenexchange.Subject, error) {
	return tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: tok.Issuer, Kind: tokenexchange.KindUser, ID: tok.Subject}}, nil
}

func (clientDirectory) AuthorizeActor(context.Context, tokenexchange.Facts) error { return nil }

func (clientDirectory) IssueToken(_ context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	return tokenexchange.IssuedToken{Value: "issued", ID: "2", Expires: d.Expires}, nil
}

func (clientDirectory) RecordExchange(context.Context, tokenexchange.Event) error { return nil }
