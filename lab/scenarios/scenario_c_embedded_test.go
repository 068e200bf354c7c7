package scenarios

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
)

func init() { scenario("C05", scenarioC05) }

// service is an API that verifies tokens with the published keys and checks its own audience.
func (sc *scene) service(t *testing.T, audience string) string {
	t.Helper()
	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Issuer: sc.iss(),
		JWKSURL: sc.url + "/jwks", ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
		Live:  func(context.Context, tokenexchange.Token) error { return nil }})
	require.NoError(t, err)
	api := resourceserver.API{Issuer: sc.iss(), Audience: []string{audience},
		Verify: verifier.Verify, Now: sc.clock.Now}
	s := httptest.NewServer(api.Protect(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
	}), "read"))
	t.Cleanup(s.Close)
	return s.URL
}

// statusAt is the response of a service to a token.
func (sc *scene) statusAt(t *testing.T, service, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, service, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := sc.http.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// scenarioC05: the token for the orders API carries a narrower one, which that API sends to the
// stock service.
func scenarioC05(t *testing.T) {
	sc := counted(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	order := func(t *testing.T, sc *scene, token string, more ...string) reply {
		t.Helper()
		return sc.exchange(t, sc.basic("portal"), about(token, urnAccess),
			[]string{"audience", orders, "requested_token_type", urnJWT}, more)
	}
	two := func(t *testing.T, sc *scene, a reply) (outer, inner object, token string) {
		t.Helper()
		require.Equal(t, http.StatusOK, a.status, a.raw)
		outer = sc.claims(t, a.token())
		token, _ = outer["stock_token"].(string)
		require.NotEmpty(t, token)
		return outer, sc.claims(t, token), token
	}

	t.Run("each for its own audience", func(t *testing.T) {
		a := order(t, sc, alice.AccessToken, "scope", "read write")
		outer, inner, token := two(t, sc, a)
		assert.Equal(t, []any{orders, "read write", "alice"},
			[]any{outer["aud"], outer["scope"], outer["sub"]})
		assert.Equal(t, []any{stock, "read", "alice", "portal"},
			[]any{inner["aud"], inner["scope"], inner["sub"], inner["client_id"]})
		assert.NotContains(t, inner, "stock_token", "nothing is embedded twice")
		atOrders, atStock := sc.service(t, orders), sc.service(t, stock)
		assert.Equal(t, http.StatusOK, sc.statusAt(t, atOrders, a.token()))
		assert.Equal(t, http.StatusOK, sc.statusAt(t, atStock, token))
		assert.Equal(t, http.StatusUnauthorized, sc.statusAt(t, atStock, a.token()))
		assert.Equal(t, http.StatusUnauthorized, sc.statusAt(t, atOrders, token))
		assert.Equal(t, true, sc.introspect(t, sc.basic("stock-api"), token)["active"])
		sc.inactive(t, sc.basic("orders-api"), token)
		sc.inactive(t, sc.basic("stock-api"), a.token())
		assert.NotContains(t, sc.active(t, sc.basic("orders-api"), a.token()),
			"stock_token", "it is in the token alone")
	})
	t.Run("two decisions, two events", func(t *testing.T) {
		before := len(sc.events(t))
		outer, inner, _ := two(t, sc, order(t, sc, alice.AccessToken, "scope", "read write"))
		events := sc.events(t)[before:]
		require.Len(t, events, 2)
		for i, want := range [][]any{{"embedded_token", "portal-orders-inner", inner["jti"]},
			{grantExchange, "portal-orders", outer["jti"]}} {
			assert.Equal(t, want, []any{events[i]["grant"], events[i]["rule"],
				inside(events[i], "granted", "token_id")})
			assert.Equal(t, "granted", events[i]["outcome"])
			assert.Equal(t, "alice", inside(events[i], "subject", "id"))
		}
		assert.Equal(t, outer["aud"], inside(events[1], "granted", "targets").([]any)[0])
		assert.NotContains(t, events[1]["granted"], "stock_token", "I08")
	})
	t.Run("never wider", func(t *testing.T) {
		wide := counted(t, changing("rules", "portal-orders-inner",
			object{"scope": []string{"*"}, "lifetime": "5h"}),
			setting("embedded", object{"claim": "stock_token",
				"rules": object{"portal-orders": object{"audience": []string{stock}}}}))
		token := wide.logIn(t, "alice", "portal").AccessToken
		outer, inner, _ := two(t, wide, order(t, wide, token, "scope", "read"))
		assert.Equal(t, "read",
			inner["scope"], "no more than the outer token, whatever the rule allows")
		assert.Equal(t, outer["exp"], inner["exp"], "nor for longer")
		assert.Equal(t, inside(wide.events(t)[len(wide.events(t))-2], "granted", "expires"),
			inside(wide.lastEvent(t), "granted", "expires"))
		wide = counted(t, changing("rules", "portal-orders-inner", object{"scope": []string{"*"}}),
			setting("embedded", object{"claim": "stock_token",
				"rules": object{"portal-orders": object{"audience": []string{stock},
					"scope": []string{"read", "write", "transfer"}}}}))
		_, inner, _ = two(t, wide,
			order(t, wide, wide.logIn(t, "alice", "portal").AccessToken, "scope", "write"))
		assert.Equal(t, "write", inner["scope"])
	})
	t.Run("nothing left for it", func(t *testing.T) {
		a := order(t, sc, alice.AccessToken, "scope", "write").jwt(t)
		assert.NotContains(t, sc.claims(t, a.token()), "stock_token")
	})
	for name, change := range map[string]edit{
		"a target beyond the rule": setting("embedded",
			object{"claim": "stock_token",
				"rules": object{"portal-orders": object{"audience": []string{bank},
					"scope": []string{"read"}}}}),
		"a scope beyond the rule": setting("embedded",
			object{"claim": "stock_token",
				"rules": object{"portal-orders": object{"audience": []string{stock},
					"scope": []string{"write"}}}}),
		"no rule for it": changing("rules", "portal-orders-inner",
			object{"clients": []string{"service"}}),
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			other := counted(t, change)
			token := other.logIn(t, "alice", "portal").AccessToken
			before := other.written.live(other.clock.Now())
			a := order(t, other, token, "scope", "read write")
			require.Equal(t, http.StatusBadRequest, a.status, a.raw)
			assert.Empty(t, a.token(), "where the inner token is refused, so is the outer one")
			require.Len(t, a.logged, 2)
			for _, e := range a.logged {
				assert.Equal(t, "refused", e["outcome"])
			}
			assert.Equal(t, before, other.written.live(other.clock.Now()))
		})
	}
	t.Run("neither without its event", func(t *testing.T) { // I06
		before := sc.written.live(sc.clock.Now())
		sc.withoutAudit(func() { order(t, sc, alice.AccessToken, "scope", "read").broken(t) })
		assert.Equal(t, before, sc.written.live(sc.clock.Now()))
	})
	t.Run("ends with the outer one", func(t *testing.T) { // C07
		a := order(t, sc, alice.AccessToken, "scope", "read")
		_, _, token := two(t, sc, a)
		sc.active(t, sc.basic("stock-api"), token)
		sc.revoke(t, portal, a.token())
		sc.inactive(t, sc.basic("stock-api"), token)
		_, _, token = two(t, sc, order(t, sc, alice.AccessToken, "scope", "read"))
		sc.revoke(t, portal, alice.AccessToken)
		sc.inactive(t, sc.basic("stock-api"), token)
	})
	t.Run("with both people in it", func(t *testing.T) {
		acted := counted(t, adding("rules", `{"name": "portal-orders-for", "clients": ["portal"],
			"delegate": {"actors": [{"kind": "user", "tenant": "*", "id": "*"}],
			"actor_types": ["`+urnAccess+`"]},
			"subjects": [{"kind": "user", "tenant": "*", "id": "*"}],
			"subject_types": ["`+urnAccess+`"], "types": ["`+urnJWT+`"],
			"targets": ["`+orders+`"], "scope": ["*"], "lifetime": "15m"}`),
			setting("embedded", object{"claim": "stock_token",
				"rules": object{"portal-orders-for": object{"audience": []string{stock},
					"scope": []string{"read"}}}}))
		subject, actor := acted.logIn(t, "alice", "portal").AccessToken, acted.logIn(t, "ines",
			"portal").AccessToken
		outer, inner, token := two(t, acted,
			order(t, acted, subject, append(acting(actor, urnAccess), "scope", "read")...))
		assert.Equal(t, "ines", inside(outer, "act", "sub"))
		assert.Equal(t, outer["act"], inner["act"])
		acted.revoke(t, acted.basic("portal"), actor)
		acted.inactive(t, acted.basic("stock-api"), token)
	})
	t.Run("no longer than its rule", func(t *testing.T) {
		again := sc.logIn(t, "alice", "portal")
		outer, inner, _ := two(t, sc, order(t, sc, again.AccessToken, "scope", "read"))
		seconds := func(o object) int64 { n, _ := o["exp"].(json.Number).Int64(); return n }
		assert.Equal(t, int64((10 * time.Minute).Seconds()), seconds(outer)-seconds(inner))
	})
}
