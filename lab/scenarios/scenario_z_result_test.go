package scenarios

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("Z08", scenarioZ08)
	scenario("Z09", scenarioZ09)
	scenario("Z10", scenarioZ10)
	scenario("Z11", scenarioZ11)
	scenario("Z16", scenarioZ16)
	scenario("Z25", scenarioZ25)
}

// scenarioZ08: an access token is opaque, by default and on request.
func scenarioZ08(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	for name, part := range map[string][]string{
		"absent": nil, "empty": {"requested_token_type", ""},
		"access_token": {"requested_token_type", urnAccess},
	} {
		t.Run(name, func(t *testing.T) {
			for _, token := range []string{alice.AccessToken, alice.JWT} {
				a := sc.exchange(t, portal, about(token, urnAccess), part).opaque(t)
				assert.Greater(t, len(a.token()), 43, "256 random bits and more")
				assert.NotContains(t, a.body,
					"id_token", "not asked for, and the rule does not add it")
				assert.NotContains(t, a.body, "refresh_token")
				assert.Equal(t, json.Number("3600"), a.body["expires_in"])
				m := sc.active(t, portal, a.token())
				assert.Equal(t, "Bearer", m["token_type"])
				seconds, err := m["exp"].(json.Number).Int64()
				require.NoError(t, err)
				assert.Equal(t, sc.clock.Now().Add(time.Hour).Unix(), seconds)
			}
		})
	}
	t.Run("another each time", func(t *testing.T) {
		one := sc.exchange(t, portal, about(alice.AccessToken, urnAccess)).opaque(t)
		two := sc.exchange(t, portal, about(alice.AccessToken, urnAccess)).opaque(t)
		assert.NotEqual(t, one.token(), two.token())
	})
	t.Run("a type that no rule issues", func(t *testing.T) {
		mobile := sc.logIn(t, "alice", "mobile") // its rule issues opaque tokens only
		sc.exchange(t, publicAs("mobile"), about(mobile.AccessToken, urnAccess)).opaque(t)
		sc.exchange(t, publicAs("mobile"), about(mobile.AccessToken, urnAccess),
			[]string{"requested_token_type", urnJWT}).refused(t, tokenexchange.InvalidRequest)
		for _, urn := range []string{"urn:ietf:params:oauth:token-type:saml1", "urn:acme:thing",
			"jwt", urnUserID} {
			sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"requested_token_type", urn}).refused(t, tokenexchange.InvalidRequest)
		}
	})
}

// scenarioZ09: a JWT access token as RFC 9068 requires it.
func scenarioZ09(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
		[]string{"requested_token_type", urnJWT, "audience", aggregates,
			"scope", "read write"}).jwt(t)
	header, c := sc.verified(t, a.token())
	assert.Equal(t, "at+jwt", header["typ"])
	assert.Equal(t, "ES256", header["alg"])
	assert.NotEmpty(t, header["kid"])
	now := sc.clock.Now()
	claims := object{
		"iss": sc.iss(), "sub": "alice", "aud": aggregates, "client_id": "portal",
		"scope": "read write",
		"iat":   json.Number(jsonOf(t, now.Unix())),
		"exp":   json.Number(jsonOf(t, now.Add(time.Hour).Unix())),
	}
	for name, want := range claims {
		assert.Equal(t, want, c[name], name)
	}
	assert.NotEmpty(t, c["jti"])
	for _, name := range []string{"act", "act_as", "may_act", "nonce", "at_hash", "cnf"} {
		assert.NotContains(t, c, name)
	}
	assert.Equal(t, c["jti"], sc.active(t, portal, a.token())["jti"])

	t.Run("good for what it says", func(t *testing.T) {
		adam := sc.logIn(t, "adam", "portal")
		jwt := sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
			[]string{"requested_token_type", urnJWT}).jwt(t)
		assert.Equal(t, http.StatusOK, sc.call(t, jwt.token()).status)
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, a.token()).status,
			"it is for another API")
		sc.revoke(t, portal, jwt.token())
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, jwt.token()).status)
	})
	t.Run("refused", func(t *testing.T) {
		revoked := sc.logIn(t, "alice", "portal").AccessToken
		sc.revoke(t, portal, revoked)
		sc.exchange(t, portal, about(revoked, urnAccess),
			[]string{"requested_token_type", urnJWT}).refused(t, tokenexchange.InvalidRequest)
	})
}

func jsonOf(t *testing.T, value any) string {
	raw, err := json.Marshal(value)
	require.NoError(t, err)
	return string(raw)
}

// scenarioZ10: an ID token in access_token.
func scenarioZ10(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	ask := []string{"requested_token_type", urnID}

	a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ask).idToken(t)
	assert.Equal(t, []string{"email", "openid", "profile", "read", "write"}, a.scope(),
		"inherited; offline_access does nothing here (D23)")
	assert.NotContains(t, a.body, "id_token", "it is the ID token")
	assert.NotContains(t, a.body, "refresh_token")
	assert.Equal(t, json.Number("3600"), a.body["expires_in"])
	c := sc.idClaims(t, a.token(), "portal")
	_, before := sc.verified(t, alice.IDToken)
	assert.Equal(t, "alice", c["sub"])
	assert.Equal(t, before["auth_time"], c["auth_time"])
	assert.NotContains(t, c, "act")
	assert.NotContains(t, c, "at_hash", "the response has no access token")

	t.Run("scope asked for", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ask,
			[]string{"scope", "openid email"}).idToken(t)
		assert.Equal(t, []string{"email", "openid"}, a.scope())
		c := sc.idClaims(t, a.token(), "portal")
		assert.Equal(t, "alice@acme.example", c["email"])
		assert.NotContains(t, c, "name")
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ask,
			[]string{"scope", "openid offline_access"}).refused(t, tokenexchange.InvalidScope)
	})
	t.Run("its audience is the client", func(t *testing.T) {
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ask,
			[]string{"audience", "portal"}).idToken(t)
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ask,
			[]string{"audience", aggregates}).refused(t, tokenexchange.InvalidTarget, "D27")
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess), ask,
			[]string{"audience", "portal", "resource", aggregates}).refused(t,
			tokenexchange.InvalidTarget)
	})
	t.Run("no access token", func(t *testing.T) {
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, a.token()).status)
		sc.inactive(t, portal, a.token())
		sc.exchange(t, portal, about(a.token(), urnAccess)).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("about a client", func(t *testing.T) {
		own := sc.own(t, portal)
		require.Equal(t, http.StatusOK, own.status, own.raw)
		sc.exchange(t, portal, about(own.token(), urnAccess), ask).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("a rule that issues none", func(t *testing.T) {
		aggregatesAPI := sc.basic("aggregates-api")
		sc.exchange(t, aggregatesAPI, about(alice.AccessToken, urnAccess)).opaque(t)
		sc.exchange(t, aggregatesAPI, about(alice.AccessToken, urnAccess), ask).refused(t,
			tokenexchange.InvalidRequest)
	})
}

// scenarioZ11: a refresh token cannot be requested.
func scenarioZ11(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
	ask := []string{"requested_token_type", urnRefresh}
	for _, subject := range [][]string{about(alice.AccessToken, urnAccess),
		about(alice.JWT, urnJWT), about(alice.IDToken, urnID),
		about(alice.RefreshToken, urnRefresh)} {
		for _, scope := range []string{"", "read", "offline_access"} {
			sc.exchange(t, portal, subject, ask, []string{"scope", scope}).refused(t,
				tokenexchange.InvalidRequest)
			sc.exchange(t, portal, subject, ines, ask, []string{"scope", scope}).refused(t,
				tokenexchange.InvalidRequest)
		}
	}
}

// halfHash is at_hash for ES256 (OpenID Connect Core §3.1.3.6).
func halfHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// scenarioZ16: openid adds an ID token, offline_access a refresh token, both only if the rule
// allows it.
func scenarioZ16(t *testing.T) {
	sc := play(t, adding("users",
		`{"id": "noah", "name": "Noah", "org": "acme", "scope": ["profile", "read"]}`))
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")

	for _, kind := range []string{urnAccess, urnJWT} {
		for scope, profile := range map[string]object{
			"openid":         {},
			"openid profile": {"name": "Alice Archer", "preferred_username": "alice"},
			"openid email":   {"email": "alice@acme.example"},
			"openid profile email read": {"name": "Alice Archer", "preferred_username": "alice",
				"email": "alice@acme.example"},
			"openid offline_access write": {},
		} {
			t.Run(kind+" "+scope, func(t *testing.T) {
				a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
					[]string{"requested_token_type", kind, "scope", scope}).granted(t, kind,
					"Bearer")
				assert.Equal(t, wordsOf(scope), a.scope())
				c := sc.idClaims(t, a.text("id_token"), "portal")
				assert.Equal(t, halfHash(a.token()), c["at_hash"])
				assert.Equal(t, "alice", c["sub"])
				for _, name := range []string{"name", "preferred_username", "email"} {
					assert.Equal(t, profile[name], c[name], name)
				}
				_, offline := a.body["refresh_token"]
				assert.Equal(t, scope == "openid offline_access write", offline)
				for _, name := range []string{"name", "email"} {
					assert.NotContains(t, sc.active(t, portal, a.token()), name)
				}
			})
		}
	}
	t.Run("not without the scope", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"scope", "profile email read"}).opaque(t)
		assert.NotContains(t, a.body, "id_token")
		assert.NotContains(t, a.body, "refresh_token")
	})
	t.Run("the refresh token works", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"scope", "openid profile offline_access read"}).opaque(t)
		b := sc.refresh(t, portal, a.text("refresh_token")).opaque(t)
		assert.Equal(t, a.scope(), b.scope())
		c := sc.idClaims(t, b.text("id_token"), "portal")
		assert.Equal(t, halfHash(b.token()), c["at_hash"])
		assert.Equal(t, "Alice Archer", c["name"])
		assert.Equal(t, sc.active(t, portal, a.token())["aud"],
			sc.active(t, portal, b.token())["aud"])
	})
	t.Run("the rule is off", func(t *testing.T) {
		// The client and the user have the scopes, but the rule of service does not add the tokens.
		service, customer := sc.basic("service"), sc.logIn(t, "alice", "customer")
		token := about(customer.AccessToken, urnAccess)
		for _, scope := range []string{"openid", "offline_access",
			"openid read", "offline_access read"} {
			sc.exchange(t, service, token, []string{"scope", scope}).refused(t,
				tokenexchange.InvalidScope, "D23")
		}
		a := sc.exchange(t, service, token).opaque(t)
		assert.Equal(t, []string{"read", "write"}, a.scope(), "inherited and off: left out")
		assert.NotContains(t, a.body, "id_token")
		assert.NotContains(t, a.body, "refresh_token")
	})
	t.Run("the subject must have it", func(t *testing.T) {
		noah := sc.logIn(t, "noah", "portal").AccessToken
		for _, scope := range []string{"openid", "offline_access", "email"} {
			sc.exchange(t, portal, about(noah, urnAccess), []string{"scope", scope}).refused(t,
				tokenexchange.InvalidScope)
		}
		narrow := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"scope", "read"}).opaque(t)
		sc.exchange(t, portal, about(narrow.token(), urnAccess),
			[]string{"scope", "openid"}).refused(t, tokenexchange.InvalidScope)
	})
	t.Run("the client must have it", func(t *testing.T) {
		sc.changeClient("portal", func(c *world.Client) {
			c.Scope = tokenexchange.Scope{"read", "profile"}
		})
		for _, scope := range []string{"openid", "offline_access"} {
			sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"scope", scope}).refused(t, tokenexchange.InvalidScope)
		}
	})
}

// scenarioZ25: issuing changes the type in every direction.
func scenarioZ25(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	for _, pair := range []struct{ name, token, from, to string }{
		{"opaque to JWT", alice.AccessToken, urnAccess, urnJWT},
		{"JWT to opaque", alice.JWT, urnAccess, urnAccess},
		{"JWT declared as jwt to opaque", alice.JWT, urnJWT, urnAccess},
		{"ID to opaque", alice.IDToken, urnID, urnAccess},
		{"ID to JWT", alice.IDToken, urnID, urnJWT},
		{"opaque to ID", alice.AccessToken, urnAccess, urnID},
		{"JWT to ID", alice.JWT, urnAccess, urnID},
		{"ID to ID", alice.IDToken, urnID, urnID},
		{"opaque to opaque", alice.AccessToken, urnAccess, urnAccess},
		{"JWT to JWT", alice.JWT, urnAccess, urnJWT},
	} {
		t.Run(pair.name, func(t *testing.T) {
			a := sc.exchange(t, portal, about(pair.token, pair.from),
				[]string{"requested_token_type", pair.to, "scope", "profile read"})
			assert.Equal(t, []string{"profile", "read"}, a.scope())
			audience := any(portalAudience)
			if pair.from == urnID {
				// of the rule, since an ID token names no targets
				audience = []any{aggregates, settings}
			}
			switch pair.to {
			case urnID:
				a.idToken(t)
				assert.Equal(t, "alice", sc.idClaims(t, a.token(), "portal")["sub"])
				// It is an ID token: it can be exchanged as one.
				sc.exchange(t, portal, about(a.token(), urnID), []string{"scope", "read"}).opaque(t)
			case urnJWT:
				c := sc.claims(t, a.jwt(t).token())
				assert.Equal(t, "alice", c["sub"])
				assert.Equal(t, audience, c["aud"])
				assert.Equal(t, []string{"profile", "read"}, wordsOf(c["scope"].(string)))
			default:
				m := sc.active(t, portal, a.opaque(t).token())
				assert.Equal(t, "alice", m["sub"])
				assert.Equal(t, audience, m["aud"])
				assert.Equal(t, []string{"profile", "read"}, wordsOf(m["scope"].(string)))
			}
		})
	}
	t.Run("scope and audience stay", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"requested_token_type", urnJWT,
				"scope", "openid profile email offline_access read write"}).jwt(t)
		b := sc.exchange(t, portal, about(a.token(), urnAccess),
			[]string{"scope", "openid profile email offline_access read write"}).opaque(t)
		first, last := sc.active(t, portal, alice.AccessToken), sc.active(t, portal, b.token())
		for _, name := range []string{"sub", "aud", "exp", "client_id", "auth_time", "acr"} {
			assert.Equal(t, first[name], last[name], name)
		}
		assert.Equal(t, wordsOf(first["scope"].(string)), wordsOf(last["scope"].(string)))
	})
	t.Run("refused in every direction", func(t *testing.T) {
		dead := sc.logIn(t, "alice", "portal")
		require.NoError(t, sc.server.LogOut(t.Context(), dead.Session))
		for _, from := range [][]string{about(dead.AccessToken, urnAccess),
			about(dead.JWT, urnAccess), about(dead.JWT, urnJWT), about(dead.IDToken, urnID)} {
			for _, to := range []string{urnAccess, urnJWT, urnID} {
				sc.exchange(t, portal, from,
					[]string{"requested_token_type", to, "scope", "read"}).refused(t,
					tokenexchange.InvalidRequest)
			}
		}
	})
}
