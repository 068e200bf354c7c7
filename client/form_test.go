package client_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/client"
)

// sourceFunc is a token source that is one function.
type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

func TestR03_Form(t *testing.T) {
	const access, jwt = string(tx.TypeAccessToken), string(tx.TypeJWT)
	for name, c := range map[string]struct {
		change func(*client.Config)
		want   url.Values
	}{
		"only what is required": {func(*client.Config) {}, url.Values{
			"grant_type":    {tx.GrantType},
			"subject_token": {subjectToken}, "subject_token_type": {access},
		}},
		"every parameter": {func(c *client.Config) {
			c.Actor = staticSource(actorToken)
			c.Server.EndpointParams = url.Values{
				"tenant": {"acme"}, "x": {"1", "2"}, "authorization_details": {"[]"}}
			c.Request = tx.Request{
				SubjectTokenType: tx.TypeJWT, ActorTokenType: tx.TypeIDToken,
				RequestedTokenType: tx.TypeAccessToken,
				Audience:           []string{"a", "b"},
				Resource:           []string{"https://c.example", "https://d.example"},
				Scope:              tx.Scope{"read", "write"},
			}
		}, url.Values{
			"grant_type": {tx.GrantType},
			"tenant":     {"acme"}, "x": {"1", "2"}, "authorization_details": {"[]"},
			"subject_token": {subjectToken}, "subject_token_type": {jwt},
			"actor_token": {actorToken}, "actor_token_type": {string(tx.TypeIDToken)},
			"requested_token_type": {access},
			"audience":             {"a", "b"},
			"resource":             {"https://c.example", "https://d.example"},
			"scope":                {"read write"},
		}},
		"access tokens by default, and the scope of Server": {func(c *client.Config) {
			c.Actor = staticSource(actorToken)
			c.Server.Scopes = []string{"read", "write"}
		}, url.Values{
			"grant_type":    {tx.GrantType},
			"subject_token": {subjectToken}, "subject_token_type": {access},
			"actor_token": {actorToken}, "actor_token_type": {access},
			"scope": {"read write"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, responding(nil))
			config := newConfig(e.URL)
			c.change(config)
			got, err := config.Exchange(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "issued-token", got.AccessToken)
			assert.Equal(t, []url.Values{c.want}, e.forms)
		})
	}
}

func TestR03_TokenOfTheDeclaredType(t *testing.T) {
	full := (&oauth2.Token{AccessToken: "the-access-token", RefreshToken: "the-refresh-token"}).
		WithExtra(map[string]any{"id_token": "the-id-token"})
	number := (&oauth2.Token{AccessToken: "the-access-token"}).
		WithExtra(map[string]any{"id_token": 7})
	for name, c := range map[string]struct {
		token    *oauth2.Token
		declared tx.TokenType
		want     string
	}{
		"no type":       {full, "", "the-access-token"},
		"access token":  {full, tx.TypeAccessToken, "the-access-token"},
		"jwt":           {full, tx.TypeJWT, "the-access-token"},
		"refresh token": {full, tx.TypeRefreshToken, "the-refresh-token"},
		"id token":      {full, tx.TypeIDToken, "the-id-token"},
		"id token as access_token": {
			&oauth2.Token{AccessToken: "an-id-token"}, tx.TypeIDToken, "an-id-token"},
		"id_token that is a number": {number, tx.TypeIDToken, "the-access-token"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, responding(nil))
			config := newConfig(e.URL)
			config.Subject = oauth2.StaticTokenSource(c.token)
			config.Actor = oauth2.StaticTokenSource(c.token)
			config.Request.SubjectTokenType = c.declared
			config.Request.ActorTokenType = c.declared
			_, err := config.Exchange(t.Context())
			require.NoError(t, err)
			assert.Equal(t, c.want, e.forms[0].Get("subject_token"))
			assert.Equal(t, c.want, e.forms[0].Get("actor_token"))
		})
	}
}

func TestR03_NothingIsSentWithoutTokens(t *testing.T) {
	errEnded := errors.New("the session has ended")
	for name, c := range map[string]struct {
		source oauth2.TokenSource
		typ    tx.TokenType
		want   error
	}{
		"error": {want: errEnded,
			source: sourceFunc(func() (*oauth2.Token, error) { return nil, errEnded })},
		"nil":              {source: sourceFunc(func() (*oauth2.Token, error) { return nil, nil })},
		"empty":            {source: staticSource("")},
		"no refresh token": {source: staticSource("only-access"), typ: tx.TypeRefreshToken},
		"no id token":      {source: staticSource(""), typ: tx.TypeIDToken},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, responding(nil))
			subject, actor := newConfig(e.URL), newConfig(e.URL)
			subject.Subject, subject.Request.SubjectTokenType = c.source, c.typ
			actor.Actor, actor.Request.ActorTokenType = c.source, c.typ
			for token, config := range map[string]*client.Config{
				"subject token": subject, "actor token": actor,
			} {
				_, err := config.Exchange(t.Context())
				require.ErrorContains(t, err, "tokenexchange: "+token+": ")
				if c.want != nil {
					require.ErrorIs(t, err, c.want)
				}
				_, err = config.TokenSource(t.Context()).Token()
				require.ErrorContains(t, err, token)
			}
			assert.Empty(t, e.forms)
		})
	}
}

func TestR04_Contradictions(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*client.Config)
		want   string
	}{
		"no subject": {func(c *client.Config) { c.Subject = nil }, "Subject is not set"},
		"subject token in Request": {
			func(c *client.Config) { c.Request.SubjectToken = subjectToken },
			"Request must not hold a token"},
		"actor token in Request": {
			func(c *client.Config) { c.Request.ActorToken = actorToken },
			"Request must not hold a token"},
		"actor token type without actor": {
			func(c *client.Config) { c.Request.ActorTokenType = tx.TypeJWT },
			"Request.ActorTokenType is set, but Actor is not"},
		"two scopes": {func(c *client.Config) {
			c.Server.Scopes, c.Request.Scope = []string{"read"}, tx.Scope{"read"}
		}, "Server.Scopes and Request.Scope must not both be set"},
		"an empty scope beside another": {func(c *client.Config) {
			c.Server.Scopes, c.Request.Scope = []string{"read"}, tx.Scope{}
		}, "Server.Scopes and Request.Scope must not both be set"},
		"a parameter without a value": {
			func(c *client.Config) { c.Server.EndpointParams = url.Values{"scope": nil} },
			"Server.EndpointParams must not set scope"},
	} {
		t.Run(name, func(t *testing.T) { sendsNothing(t, c.change, c.want) })
	}
	for _, name := range []string{
		"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type",
		"requested_token_type", "audience", "resource", "scope", "client_id", "client_secret",
	} {
		t.Run("parameter "+name, func(t *testing.T) {
			sendsNothing(t, func(c *client.Config) {
				c.Server.EndpointParams = url.Values{name: {"x"}}
			}, "Server.EndpointParams must not set "+name)
		})
	}
}

// sendsNothing expects an error before any source is asked and before any request is sent.
func sendsNothing(t *testing.T, change func(*client.Config), want string) {
	e := newEndpoint(t, responding(nil))
	config := newConfig(e.URL)
	asked := false
	config.Subject = sourceFunc(func() (*oauth2.Token, error) {
		asked = true
		return &oauth2.Token{AccessToken: subjectToken}, nil
	})
	change(config)
	_, err := config.Exchange(t.Context())
	require.ErrorContains(t, err, want)
	assert.NotContains(t, err.Error(), subjectToken)
	assert.False(t, asked)
	assert.Empty(t, e.forms)
}
