package tokenexchangetest_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// world is a server with a fake for each interface.
type world struct {
	tx.Exchanger
	directory  *tokenexchangetest.Directory
	authorizer *tokenexchangetest.Authorizer
	tokens     *tokenexchangetest.Issuer
	audit      *tokenexchangetest.Recorder
}

func newWorld(t *testing.T) *world {
	anyUser := []tx.Identity{{Kind: tx.KindUser, ID: "*"}}
	types := []tx.TokenType{tx.TypeAccessToken}
	policy, err := tx.NewPolicy(
		tx.Rule{Name: "narrow", Narrow: &tx.Narrowing{}, Clients: []string{"web"},
			Subjects: anyUser, SubjectTypes: types, Types: types,
			SubjectAudience: true, Scope: tx.Scope{"*"}, Lifetime: time.Minute},
		tx.Rule{Name: "delegate",
			Delegate: &tx.Delegation{
				Actors:          []tx.Identity{{Kind: tx.KindClient, ID: "*"}},
				ActorTypes:      types,
				IDToken:         true,
				RefreshLifetime: time.Hour,
			},
			Clients: []string{"orders-api", "billing-api"}, Subjects: anyUser,
			SubjectTypes: types, Types: types,
			Targets: []string{billing, "https://ledger.example"}, Scope: tx.Scope{"read", "openid",
				"offline_access"}, Lifetime: time.Minute,
		},
	)
	require.NoError(t, err)
	w := &world{
		directory: tokenexchangetest.NewDirectory(tx.Subject{Identity: alice},
			tx.Subject{Identity: ordersAPI}, tx.Subject{Identity: billerAPI}),
		authorizer: &tokenexchangetest.Authorizer{Pairs: []tokenexchangetest.Pair{
			{Actor: ordersAPI, Subject: alice}, {Actor: billerAPI, Subject: alice}}},
		tokens: &tokenexchangetest.Issuer{},
		audit:  &tokenexchangetest.Recorder{},
	}
	w.Exchanger = tx.Exchanger{Issuer: as,
		Verify: tx.Verifiers{tx.TypeAccessToken: w.tokens.Verify}, Resolver: w.directory,
		Decide: policy.Decide, Authorizer: w.authorizer, TokenIssuer: w.tokens, Audit: w.audit,
		Now: func() time.Time { return noon }}
	return w
}

// login returns a token of alice that was issued to the web client, for the orders API.
func (w *world) login(more ...string) string {
	return w.tokens.Put(tx.Token{Kind: tx.KindUser, Issuer: as, Subject: "alice", ClientID: "web",
		Audience: []string{orders},
		Scope:    append(tx.Scope{"read", "write"}, more...), Issued: noon, Expires: noon.Add(
			time.Hour)})
}

// clientToken returns a token of a client about itself.
func (w *world) clientToken(client string) string {
	return w.tokens.Put(tx.Token{Kind: tx.KindClient, Issuer: as, Subject: client, ClientID: client,
		Audience: []string{as},
		Issued:   noon, Expires: noon.Add(time.Hour)})
}

var (
	web        = tx.Client{ID: "web", Scope: tx.Scope{"read", "write"}}
	ordersHost = tx.Client{ID: "orders-api", Audiences: []string{orders},
		Scope: tx.Scope{"read", "openid", "offline_access"}}
	billerHost = tx.Client{ID: "billing-api", Audiences: []string{billing}, Scope: tx.Scope{"read"}}
)

func form(subject, actor, audience, scope string) url.Values {
	r := tx.Request{SubjectToken: subject, SubjectTokenType: tx.TypeAccessToken, ActorToken: actor,
		Scope: tx.Scope{scope}}
	if actor != "" {
		r.ActorTokenType = tx.TypeAccessToken
	}
	if audience != "" {
		r.Audience = []string{audience}
	}
	return r.Values()
}

func TestNarrow(t *testing.T) {
	w := newWorld(t)
	resp, err := w.Exchange(ctx, web, form(w.login(), "", "", "read"))
	require.NoError(t, err)
	assert.Equal(t, "read", resp.Scope)
	assert.Equal(t, int64(60), resp.ExpiresIn)
	assert.Empty(t, w.authorizer.Asked(), "D11: a narrowing needs no authorizer")
	assert.Equal(t, "narrow", w.audit.Last().Decision.Rule)
	d, ok := w.tokens.Decision(resp.AccessToken)
	require.True(t, ok)
	assert.Equal(t, w.audit.Last().Decision, d)
}

func TestDelegateTwice(t *testing.T) {
	w := newWorld(t)
	first, err := w.Exchange(ctx, ordersHost, form(w.login(), w.clientToken("orders-api"), billing,
		"read"))
	require.NoError(t, err)
	second, err := w.Exchange(ctx, billerHost, form(first.AccessToken, w.clientToken("billing-api"),
		"https://ledger.example", "read"))
	require.NoError(t, err)

	tok, err := w.tokens.Verify(ctx, tx.Credential{Token: second.AccessToken,
		Type: tx.TypeAccessToken, Issuer: as, Now: noon})
	require.NoError(t, err)
	assert.Equal(t, "alice", tok.Subject)
	assert.Equal(t, tx.KindUser, tok.Kind)
	assert.Equal(t, []string{"https://ledger.example"}, tok.Audience)
	assert.Equal(t, "billing-api", tok.Actor.Subject)
	assert.Equal(t, "orders-api", tok.Actor.Prior.Subject, "I05")
	assert.Nil(t, tok.Actor.Prior.Prior)

	require.Len(t, w.authorizer.Asked(), 2)
	assert.Equal(t, ordersAPI, w.authorizer.Asked()[0].Actor.Identity)
	assert.Equal(t, billerAPI, w.authorizer.Asked()[1].Actor.Identity)
	assert.Len(t, w.audit.Events(), 2)
}

func TestFurtherTokens(t *testing.T) {
	w := newWorld(t)
	f := form(w.login("openid", "offline_access"), w.clientToken("orders-api"), billing, "read")
	w.directory.Add(tx.Subject{Identity: alice, Scope: tx.Scope{"read", "openid",
		"offline_access"}})
	f.Set("scope", "read openid offline_access")
	resp, err := w.Exchange(ctx, ordersHost, f)
	require.NoError(t, err)
	verify := func(token string, as_ tx.TokenType) tx.Token {
		tok, err := w.tokens.Verify(ctx, tx.Credential{Token: token, Type: as_, Issuer: as,
			Now: noon})
		require.NoError(t, err)
		assert.Equal(t, w.audit.Last().TokenID, tok.ID)
		return tok
	}
	id := verify(resp.IDToken, tx.TypeIDToken)
	assert.Equal(t, []string{"orders-api"}, id.Audience, "D27")
	assert.Nil(t, id.Scope)
	refresh := verify(resp.RefreshToken, tx.TypeRefreshToken)
	assert.Equal(t, noon.Add(time.Hour), refresh.Expires)
	assert.Equal(t, "read openid offline_access", refresh.Scope.String())
}

func TestRefusalsAndFailures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*world)
		want  tx.Code
		asked int
	}{
		{"no pair", func(w *world) { w.authorizer.Pairs = nil }, tx.InvalidRequest, 1},
		{"disabled actor", func(w *world) { w.directory.Disable(ordersAPI) }, tx.InvalidRequest, 0},
		{"disabled subject", func(w *world) { w.directory.Disable(alice) }, tx.InvalidRequest, 0},
		{"directory down", func(w *world) { w.directory.Fail(errDown) }, tx.ServerError, 0},
		{"authorizer down", func(w *world) { w.authorizer.Fail(errDown) }, tx.ServerError, 1},
		{"issuer down", func(w *world) { w.tokens.Fail(errDown) }, tx.ServerError, 1},
		{"audit down", func(w *world) { w.audit.Fail(errDown) }, tx.ServerError, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			f := form(w.login(), w.clientToken("orders-api"), billing, "read")
			tt.set(w)
			before := w.tokens.Len()
			_, err := w.Exchange(ctx, ordersHost, f)
			assert.ErrorIs(t, err, tt.want)
			assert.Len(t, w.authorizer.Asked(), tt.asked)
			assert.Equal(t, before, w.tokens.Len(),
				"I06: a token that is not returned has no record")
			w.audit.Fail(nil)
		})
	}
}
