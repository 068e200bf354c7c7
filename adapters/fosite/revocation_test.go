package fositeexchange_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// code logs a user in by authorization code, over HTTP.
func (h *host) code(t testing.TB, user string) (access, refresh string) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		h.web.URL+"/authorize?"+url.Values{
			"client_id": {"webapp"}, "response_type": {"code"},
			"redirect_uri": {"https://app.example/callback"}, "state": {"long enough"},
			"scope":    {"orders:read orders:write offline"},
			"audience": {"helpdesk https://gateway.example"}, "login": {user}}.Encode(), nil)
	require.NoError(t, err)
	resp, err := h.web.Client().Transport.RoundTrip(r) // without following
	require.NoError(t, err)
	defer resp.Body.Close()
	to, err := resp.Location()
	require.NoError(t, err)
	require.Empty(t, to.Query().Get("error_description"))
	got := h.post(t, "/token", "webapp",
		url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")},
			"redirect_uri": {"https://app.example/callback"}})
	require.Equal(t, http.StatusOK, got.status, got.text)
	return got.token(), got.body["refresh_token"].(string)
}

// hops makes two exchanges; the second one exchanges the token of the first.
func (h *host) hops(t testing.TB, subject, actor string) (first, second string) {
	got := h.delegate(t, subject, actor)
	h.granted(t, got)
	next := h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example")
	require.Equal(t, map[string]any{"iss": issuer, "sub": "orders", "client_id": "orders",
		"act": map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"}},
		h.granted(t, next)["act"], "R15: act nests")
	return got.token(), next.token()
}

// notValid checks that a token is refused, and inactive at introspection.
func (h *host) notValid(t testing.TB, token, client, reason string) {
	t.Helper()
	require.Nil(t, h.active(t, token))
	h.refused(t, h.ask(t, client, "subject_token", token, "audience", "https://billing.example"),
		tokenexchange.InvalidRequest, reason)
}

// TestD07_RevocationEndsDerivedTokens checks that revoking a token ends all tokens that were made
// from it, also by several exchanges.
func TestD07_RevocationEndsDerivedTokens(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		t.Run("the login, by its refresh token", func(t *testing.T) {
			access, refresh := h.code(t, "alice")
			first, second := h.hops(t, access, h.logIn(t, bob))
			require.Equal(t, http.StatusOK,
				h.post(t, "/revoke", "webapp", url.Values{"token": {refresh}}).status)
			h.notValid(t, access, "webapp", "token_unknown")
			h.notValid(t, first, "orders", "origin_revoked")
			h.notValid(t, second, "billing", "origin_revoked")
			records := len(h.store.AccessTokens)
			require.Equal(t, 3, records,
				"the actor token, and the two tokens that only this provider refuses")
		})
		t.Run("the login is refreshed", func(t *testing.T) {
			access, refresh := h.code(t, "alice")
			first, second := h.hops(t, access, h.logIn(t, bob))
			got := h.post(t, "/token", "webapp",
				url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
			require.Equal(t, http.StatusOK, got.status, got.text)
			h.notValid(t, first, "orders", "origin_revoked")
			h.notValid(t, second, "billing", "origin_revoked")
			h.hops(t, got.token(), h.logIn(t, bob))
		})
		t.Run("the actor token", func(t *testing.T) {
			actor := h.logIn(t, bob)
			subject := h.logIn(t, aliceAtHelpdesk)
			first, second := h.hops(t, subject, actor)
			h.revoke(t, actor)
			h.notValid(t, first, "orders", "origin_revoked")
			h.notValid(t, second, "billing", "origin_revoked")
			require.NotNil(t, h.active(t, subject))
		})
		t.Run("the token of the first exchange", func(t *testing.T) {
			subject, actor := h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)
			first, second := h.hops(t, subject, actor)
			h.revoke(t, first)
			h.notValid(t, second, "billing", "origin_revoked")
			require.NotNil(t, h.active(t, subject), "the origins of a revoked token stay valid")
			require.NotNil(t, h.active(t, actor))
		})
		t.Run("an exchanged token, by the client that got it", func(t *testing.T) {
			access, refresh := h.code(t, "alice")
			first, second := h.hops(t, access, h.logIn(t, bob))
			h.revoke(t, second)
			require.NotNil(t, h.active(t, first), "it has a request ID of its own")
			require.NotNil(t, h.active(t, access))
			got := h.post(t, "/token", "webapp",
				url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
			require.Equal(t, http.StatusOK, got.status, "the login is still valid")
		})
	})
}

// TestD25_ExpiredOrigin checks that an expired origin does not end a token, if a rule lets the
// token outlive it.
func TestD25_ExpiredOrigin(t *testing.T) {
	h := newHost(t, opaque, func(h *host) {
		users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
		access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
		policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{Name: "outlive",
			Impersonate: &tokenexchange.Impersonation{OutliveSubject: true},
			Clients:     []string{"webapp"}, Subjects: users, SubjectTypes: access,
			Types: access, Targets: []string{"https://orders.example"},
			Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute})
		require.NoError(t, err)
		h.exchange.Exchanger.Decide = policy.Decide
		h.exchange.Exchanger.Authorizer = allowAll{}
		h.exchange.Exchanger.Resolver = withUntil{h.exchange.Exchanger.Resolver}
	})
	l := alice
	l.lifetime = 2 * time.Second
	subject := h.logIn(t, l)
	got := h.ask(t, "webapp", "subject_token", subject)
	h.granted(t, got)
	require.Eventually(t, func() bool { return h.active(t, subject) == nil }, 10*time.Second,
		50*time.Millisecond)
	require.NotNil(t, h.active(t, got.token()))
	require.NoError(t,
		h.store.DeleteAccessTokenSession(t.Context(),
			h.strategy.AccessTokenSignature(t.Context(), subject)))
	require.Nil(t, h.active(t, got.token()), "deleting an expired record looks like a revocation")
}

// TestD07_StorageDropsTheForm checks that exchanged tokens are refused if the storage drops the
// form, which names their origins.
func TestD07_StorageDropsTheForm(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		for name, drop := range map[string]func(fosite.Requester) fosite.Requester{
			"the adapter's values": func(r fosite.Requester) fosite.Requester {
				return r.Sanitize(nil)
			},
			"all of it": func(r fosite.Requester) fosite.Requester {
				stored := *r.(*fosite.Request)
				stored.Form = nil
				return &stored
			},
		} {
			h := newHost(t, format)
			subject := h.logIn(t, aliceAtHelpdesk)
			first, second := h.hops(t, subject, h.logIn(t, bob))
			_, idToken := h.idTokens(t)
			for signature, r := range h.store.AccessTokens {
				h.store.AccessTokens[signature] = drop(r)
			}
			h.notValid(t, first, "orders", "record_kind_mismatch")
			h.notValid(t, second, "billing", "record_kind_mismatch")
			got := h.delegate(t, idToken, h.logIn(t, bob), "subject_token_type", "id_token")
			h.refused(t, got, tokenexchange.InvalidRequest, "record_kind_mismatch")
			require.NotNil(t, h.active(t, subject), name)
		}
	})
}

// TestR10_TooManyOrigins checks that the number of origins is limited, since each costs a lookup.
func TestR10_TooManyOrigins(t *testing.T) {
	h := newHost(t, opaque)
	token := h.logIn(t, alice)
	for range 32 {
		got := h.ask(t, "webapp", "subject_token", token)
		h.granted(t, got)
		token = got.token()
	}
	h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
		"too_many_origins")
	require.NotNil(t, h.active(t, token))
}

// TestD28_RefreshTokens checks that a refresh token is accepted neither as subject token nor as
// actor token, whatever its declared type.
func TestD28_RefreshTokens(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		access, refresh := h.code(t, "alice")
		for _, declared := range []string{"access_token", "jwt", "id_token", "refresh_token"} {
			h.refused(t,
				h.ask(t, "webapp", "subject_token", refresh, "subject_token_type", declared),
				tokenexchange.InvalidRequest, "")
			h.refused(t,
				h.ask(t, "helpdesk", "subject_token", access, "actor_token", refresh,
					"actor_token_type", declared), tokenexchange.InvalidRequest, "")
		}
		h.refused(t,
			h.ask(t, "webapp", "subject_token", access, "requested_token_type", "refresh_token"),
			tokenexchange.InvalidRequest, "requested_type_not_allowed")
		got := h.ask(t, "webapp", "subject_token", access)
		require.NotContains(t, got.body, "refresh_token")
		require.NotContains(t, h.granted(t, got)["scope"], "offline")
		require.Len(t, h.store.RefreshTokens, 1)
	})
}
