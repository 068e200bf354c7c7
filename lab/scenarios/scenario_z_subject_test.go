package scenarios

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("Z01", scenarioZ01)
	scenario("Z02", scenarioZ02)
	scenario("Z03", scenarioZ03)
	scenario("Z06", scenarioZ06)
}

// Names of the demo world.
const (
	aggregates = "https://aggregates.example"
	settings   = "https://settings.example"
	robots     = "https://robot.example"
	management = "https://management.example"
	ledger     = "https://ledger.example"
	bank       = "https://bank.example"
	tools      = "https://tools.example"
)

// portalAudience is the audience of tokens from a login at the portal.
var portalAudience = []any{aggregates, settings, robots, management}

// scenarioZ01: an opaque access token as subject token, found in the store.
func scenarioZ01(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	ines := sc.logIn(t, "ines", "portal")

	t.Run("granted", func(t *testing.T) {
		require.NotContains(t, alice.AccessToken, ".", "an opaque token")
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess)).opaque(t)
		require.NotEqual(t, alice.AccessToken, a.token())
		old, m := sc.active(t, portal, alice.AccessToken), sc.active(t, portal, a.token())
		assert.Equal(t, "alice", m["sub"])
		assert.Equal(t, sc.iss(), m["iss"])
		assert.Equal(t, "portal", m["client_id"])
		assert.Equal(t, portalAudience, m["aud"])
		assert.NotEqual(t, old["jti"], m["jti"])
		assert.NotContains(t, m, "act")
	})

	revoked := sc.logIn(t, "alice", "portal").AccessToken
	sc.revoke(t, portal, revoked)
	good := alice.AccessToken
	last := good[len(good)-1:]
	other := strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, last)
	want := sc.exchange(t, portal, about("at_"+strings.Repeat("x", 43), urnAccess)).refused(t,
		tokenexchange.InvalidRequest)
	for name, token := range map[string]string{
		"unknown":         strings.Repeat("A", len(good)),
		"unknown kind":    "xx_" + good,
		"revoked":         revoked,
		"truncated":       good[:len(good)-1],
		"head cut":        good[1:],
		"without prefix":  good[strings.Index(good, "_")+1:],
		"extended":        good + "A",
		"padded":          good + "=",
		"doubled":         good + good,
		"with a space":    good + " ",
		"other case":      strings.ToUpper(good),
		"last changed":    strings.TrimSuffix(good, last) + other,
		"an ID token":     alice.IDToken,
		"a refresh token": alice.RefreshToken,
		"a user id":       "alice",
	} {
		t.Run(name, func(t *testing.T) {
			a := sc.exchange(t, portal, about(token, urnAccess)).refused(t,
				tokenexchange.InvalidRequest)
			assert.Equal(t, want.raw, a.raw, "R13: unknown, inactive and forbidden look alike")
		})
	}
	t.Run("as another type", func(t *testing.T) {
		for _, kind := range []string{urnID, urnJWT, urnRefresh,
			"urn:ietf:params:oauth:token-type:saml2"} {
			sc.exchange(t, portal, about(good, kind)).refused(t, tokenexchange.InvalidRequest)
		}
	})
	t.Run("without", func(t *testing.T) {
		a := sc.exchange(t, portal, about("", urnAccess)).refused(t, tokenexchange.InvalidRequest)
		assert.Contains(t, a.text("error_description"), "subject_token")
		a = sc.exchange(t, portal, []string{"subject_token", good}).refused(t,
			tokenexchange.InvalidRequest)
		assert.Contains(t, a.text("error_description"), "subject_token_type")
	})
	t.Run("malformed", func(t *testing.T) {
		sc.exchange(t, portal, about("\x00\xff", urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("of another client", func(t *testing.T) {
		a := sc.exchange(t, sc.basic("service"), about(good, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
		assert.Equal(t, want.raw, a.raw)
	})
	t.Run("expired", func(t *testing.T) {
		sc.exchange(t, portal, about(good, urnAccess),
			acting(ines.AccessToken, urnAccess)).opaque(t)
		sc.wait(time.Hour - time.Second)
		sc.exchange(t, portal, about(good, urnAccess)).opaque(t)
		sc.wait(time.Second)
		a := sc.exchange(t, portal, about(good, urnAccess)).refused(t, tokenexchange.InvalidRequest)
		assert.Equal(t, want.raw, a.raw)
		sc.inactive(t, portal, good)
	})
}

// scenarioZ02: a JWT access token as subject token, verified by its signature and by the record in
// the store.
func scenarioZ02(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	header, claims := sc.verified(t, alice.JWT)
	kid := object{"kid": header["kid"], "typ": "at+jwt"}
	ours := sc.options.Key
	refused := func(t *testing.T, token string) {
		t.Helper()
		for _, kind := range []string{urnAccess, urnJWT} {
			sc.exchange(t, portal, about(token, kind)).refused(t, tokenexchange.InvalidRequest)
		}
	}

	t.Run("granted", func(t *testing.T) {
		for _, kind := range []string{urnAccess, urnJWT} {
			a := sc.exchange(t, portal, about(alice.JWT, kind)).opaque(t)
			m := sc.active(t, portal, a.token())
			assert.Equal(t, "alice", m["sub"])
			assert.Equal(t, portalAudience, m["aud"])
		}
	})
	t.Run("signature", func(t *testing.T) {
		// The same claims signed again with the same key have the same record (R08).
		sc.exchange(t, portal, about(mint(t, ours, kid, claims), urnAccess)).opaque(t)

		part := strings.Split(alice.JWT, ".")
		flipped := []byte(part[2])
		flipped[10] ^= 1
		refused(t, part[0]+"."+part[1]+"."+string(flipped))
		refused(t, part[0]+"."+part[1]+".")
		refused(t, part[0]+"."+part[1])
		more := with(claims, object{"sub": "adam"})
		refused(t, part[0]+"."+strings.Split(mint(t, ours, kid, more), ".")[1]+"."+part[2])
		refused(t, mint(t, readPEM(t, "testdata/robot.pem"), kid, claims))
		refused(t, mint(t, readPEM(t, "testdata/partner.pem"), object{"typ": "at+jwt"}, claims))
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
		refused(t, none+"."+part[1]+".")
	})
	t.Run("liveness", func(t *testing.T) {
		// The server's own key has signed these, so only the records can tell.
		refused(t, mint(t, ours, kid, with(claims, object{"jti": "never-issued"})))
		refused(t, mint(t, ours, kid, with(claims, object{"jti": nil})))
		refused(t, mint(t, ours, with(kid, object{"typ": "JWT"}), claims))
		asID := with(claims, object{"aud": "portal", "azp": "portal", "scope": nil})
		sc.exchange(t, portal, about(mint(t, ours, object{"kid": header["kid"]}, asID), urnID),
			[]string{"scope", "read"}).
			refused(t, tokenexchange.InvalidRequest) // the record is that of an access token

		revoked := sc.logIn(t, "alice", "portal").JWT
		sc.exchange(t, portal, about(revoked, urnAccess)).opaque(t)
		sc.revoke(t, portal, revoked)
		refused(t, revoked)
		_, dead := sc.verified(t, revoked) // its signature is still valid
		refused(t, mint(t, ours, kid, dead))
	})
	t.Run("claims", func(t *testing.T) {
		refused(t, mint(t, ours, kid, with(claims, object{"iss": "https://elsewhere.example"})))
		refused(t, mint(t, ours, kid, with(claims, object{"iss": sc.iss() + "/"})))
		refused(t, mint(t, ours, kid, with(claims, object{"exp": nil})))
		refused(t, mint(t, ours, kid, with(claims, object{"exp": sc.clock.Now().Unix()})))
	})
	t.Run("the other types", func(t *testing.T) {
		sc.exchange(t, portal, about(alice.JWT, urnID)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, portal, about(alice.IDToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("expired", func(t *testing.T) {
		sc.wait(time.Hour)
		refused(t, alice.JWT)
		refused(t,
			mint(t, ours, kid, with(claims, object{"exp": sc.clock.Now().Add(time.Hour).Unix()})))
	})
}

// with is a copy of an object with changes; nil removes a member.
func with(o object, changes object) object {
	changed := object{}
	for _, from := range []object{o, changes} {
		for name, value := range from {
			if changed[name] = value; value == nil {
				delete(changed, name)
			}
		}
	}
	return changed
}

// scenarioZ03: an ID token as subject token.
func scenarioZ03(t *testing.T) {
	naming := func(name, client, mode string) edit {
		return adding("rules", `{
			"name": "`+name+`", "clients": ["`+client+`"],
			"delegate": {`+mode+`"actors": [{"kind": "user", "tenant": "*", "id": "*"}],
			"actor_types": ["`+urnAccess+`"]},
			"subjects": [{"kind": "user", "tenant": "*", "id": "*"}],
			"subject_types": ["`+urnID+`"],
			"types": ["`+urnAccess+`"],
			"targets": ["`+ledger+`"], "default_targets": ["`+ledger+`"], "scope": ["read"],
			"lifetime": "1m"}`)
	}
	sc := play(t, naming("named", "aggregates-api", `"other_tokens": true,`),
		naming("not named", "robot", ""))
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")

	t.Run("granted", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.IDToken, urnID),
			[]string{"scope", "read write"}).opaque(t)
		m := sc.active(t, portal, a.token())
		assert.Equal(t, "alice", m["sub"])
		assert.Equal(t, []any{aggregates, settings}, m["aud"],
			"the aud of an ID token is no target: the rule's defaults (D24)")
		assert.Equal(t, []string{"read", "write"}, a.scope())
		assert.NotContains(t, m, "act")
	})
	t.Run("its aud is no target", func(t *testing.T) {
		sc.exchange(t, portal, about(alice.IDToken, urnID),
			[]string{"audience", "portal"}).refused(t, tokenexchange.InvalidTarget)
	})
	t.Run("scope beyond what the user may hand on", func(t *testing.T) {
		sc.exchange(t, portal, about(alice.IDToken, urnID),
			[]string{"scope", "users:read"}).refused(t, tokenexchange.InvalidScope)
	})
	t.Run("a client that is not in aud", func(t *testing.T) {
		sc.exchange(t, sc.basic("service"), about(alice.IDToken, urnID)).refused(t,
			tokenexchange.InvalidRequest, "D04")
		customers := sc.logIn(t, "bob", "customer").IDToken // may_act names service alone
		sc.exchange(t, portal, about(customers, urnID)).refused(t, tokenexchange.InvalidRequest)
		robot, ines := sc.private(t, "robot", "testdata/robot.pem"), sc.logIn(t, "ines", "robot")
		sc.exchange(t, robot, about(alice.IDToken, urnID),
			acting(ines.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidRequest, "D04")
	})
	t.Run("unless may_act.client_id names it", func(t *testing.T) {
		customers := sc.logIn(t, "alice", "customer").IDToken
		claims := sc.idClaims(t, customers, "customer")
		require.Equal(t, object{"client_id": "service", "sub": "sam"}, claims["may_act"])
		a := sc.exchange(t, sc.basic("service"), about(customers, urnID),
			[]string{"scope", "read"}).opaque(t)
		m := sc.active(t, sc.basic("bank-api"), a.token())
		assert.Equal(t, "alice", m["sub"])
		assert.Equal(t, "service", m["client_id"])
		assert.NotContains(t, m, "act")
		assert.Equal(t, object{"iss": m["iss"], "client_id": "service", "sub": "sam"}, m["may_act"],
			"carried while no actor acts (D17)")
	})
	t.Run("unless a rule names it", func(t *testing.T) {
		ines := sc.logIn(t, "ines", "aggregates-api")
		a := sc.exchange(t, sc.basic("aggregates-api"), about(alice.IDToken, urnID),
			acting(ines.AccessToken, urnAccess)).opaque(t)
		m := sc.active(t, sc.basic("bank-api"), a.token())
		assert.Equal(t, "alice", m["sub"])
		assert.Equal(t, "aggregates-api", m["client_id"])
		assert.Equal(t, ledger, m["aud"])
		// The rule says who may present the token. Whether the client may act for alice is another
		// question (D11).
		sc.exchange(t, sc.basic("aggregates-api"), about(alice.IDToken, urnID)).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("the session has ended", func(t *testing.T) {
		tokens := sc.logIn(t, "alice", "portal")
		sc.exchange(t, portal, about(tokens.IDToken, urnID), []string{"scope", "read"}).opaque(t)
		require.NoError(t, sc.server.LogOut(t.Context(), tokens.Session))
		sc.exchange(t, portal, about(tokens.IDToken, urnID), []string{"scope", "read"}).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("forged", func(t *testing.T) {
		_, claims := sc.verified(t, alice.IDToken)
		sc.exchange(t, portal, about(mint(t, sc.options.Key, nil, with(claims, object{"jti": "x"})),
			urnID)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, portal, about(mint(t, readPEM(t, "testdata/robot.pem"), nil, claims),
			urnID)).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("disabled user", func(t *testing.T) {
		sc.changeUser("alice", func(u *world.User) { u.Status = "disabled" })
		sc.exchange(t, portal, about(alice.IDToken, urnID), []string{"scope", "read"}).refused(t,
			tokenexchange.InvalidRequest)
		sc.changeUser("alice", func(u *world.User) { u.Status = "enabled" })
	})
	t.Run("expired", func(t *testing.T) {
		sc.wait(time.Hour - time.Second)
		sc.exchange(t, portal, about(alice.IDToken, urnID), []string{"scope", "read"}).opaque(t)
		sc.wait(time.Second)
		sc.exchange(t, portal, about(alice.IDToken, urnID), []string{"scope", "read"}).refused(t,
			tokenexchange.InvalidRequest)
	})
}

// scenarioZ06: a refresh token is neither subject nor actor token, and a refused one can still be
// used.
func scenarioZ06(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	ines := sc.logIn(t, "ines", "portal")
	a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
		[]string{"scope", "read offline_access"}).opaque(t)
	refresh := a.text("refresh_token")
	require.NotEmpty(t, refresh)

	for _, token := range []string{refresh, alice.RefreshToken} {
		for _, kind := range []string{urnRefresh, urnAccess, urnJWT, urnID, urnUserID} {
			sc.exchange(t, portal, about(token, kind)).refused(t, tokenexchange.InvalidRequest)
			sc.exchange(t, portal, about(token, kind),
				acting(ines.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidRequest)
			sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				acting(token, kind)).refused(t, tokenexchange.InvalidRequest)
		}
	}
	sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
		acting(ines.RefreshToken, urnRefresh)).refused(t, tokenexchange.InvalidRequest)
	sc.active(t, portal, a.token())
	sc.refresh(t, portal, refresh).opaque(t)
}
