package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("C03", scenarioC03) }

const grantBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// bearer posts a jwt-bearer grant.
func (sc *scene) bearer(t *testing.T, as authentication, assertion string, more ...string) reply {
	t.Helper()
	a := sc.send(t, "/token", as,
		formOf(append([]string{"grant_type", grantBearer, "assertion", assertion}, more...)...))
	for _, line := range a.logged {
		text, err := json.Marshal(line)
		require.NoError(t, err)
		require.NotContains(t, string(text)+a.raw, assertion, "I08")
	}
	return a
}

// scenarioC03: a trusted issuer or client says who a user is, and the client gets a token about
// them.
func scenarioC03(t *testing.T) {
	sc := counted(t)
	portal, robot := sc.basic("portal"), sc.private(t, "robot", "testdata/robot.pem")
	partnerKey, robotKey := readPEM(t, "testdata/partner.pem"), readPEM(t, "testdata/robot.pem")
	n := 0
	claims := func(iss, sub string, changes object) object {
		n++
		now := sc.clock.Now()
		return with(object{"iss": iss, "sub": sub, "aud": sc.iss(), "iat": now.Unix(),
			"exp": now.Add(time.Minute).Unix(), "jti": fmt.Sprint("a-", n)}, changes)
	}
	partner := func(changes object) string {
		return mint(t, partnerKey, object{"kid": "partner-1"},
			claims("https://idp.partner.example", "p-4711", changes))
	}
	own := func(sub string, changes object) string {
		return mint(t, robotKey, object{"kid": "robot-1"}, claims("robot", sub, changes))
	}

	t.Run("by another issuer", func(t *testing.T) {
		a := sc.bearer(t, portal, partner(nil), "scope", "read write").opaque(t)
		m := sc.active(t, portal, a.token())
		assert.Equal(t, []any{"bob", sc.iss(), "portal", aggregates, "read write"},
			[]any{m["sub"], m["iss"], m["client_id"], m["aud"], m["scope"]},
			"scopes by policy: the assertion has none")
		assert.NotContains(t, m, "act")
		e := a.event(t)
		assert.Equal(t, []any{grantBearer, "impersonate", "portal-partner-assertion", "bob"},
			[]any{e["grant"], e["mode"], e["rule"], inside(e, "subject", "id")})
		assert.Equal(t, json.Number("900"), a.body["expires_in"], "D25: of the rule")
		b := sc.bearer(t, portal, partner(nil)).opaque(t)
		assert.NotContains(t, b.body, "scope", "none was asked for, and the assertion says none")
	})
	// D06: its scopes count as the world translates them
	t.Run("by another issuer that says what may be done", func(t *testing.T) {
		scoped := func() string { return partner(object{"scope": "orders.read orders.write"}) }
		assert.Equal(t, "read", sc.bearer(t, portal, scoped()).opaque(t).text("scope"))
		sc.bearer(t, portal, scoped(), "scope", "write").refused(t, tokenexchange.InvalidScope)
		for _, scp := range []any{
			"orders.read orders.write", []any{"orders.write", "orders.read"},
		} {
			scoped := object{"scp": scp}
			a := sc.bearer(t, portal, partner(scoped)).opaque(t)
			assert.Equal(t, "read", a.text("scope"), "%v", scp)
			a = sc.bearer(t, portal, partner(scoped), "scope", "write")
			a.refused(t, tokenexchange.InvalidScope)
		}
		// Bob may hand on read and write. An assertion with an unreadable scope has a scope, so it
		// does not inherit these.
		null := json.RawMessage("null")
		for _, scoped := range []object{
			{"scope": []any{"orders.read"}}, {"scope": 7}, {"scope": "orders.read "}, {"scope": ""},
			{"scope": null}, {"scp": 7}, {"scp": "orders.read "}, {"scp": ""}, {"scp": []any{7}},
			{"scp": null},
		} {
			a := sc.bearer(t, portal, partner(scoped)).opaque(t)
			assert.NotContains(t, a.body, "scope", "%v", scoped)
			a = sc.bearer(t, portal, partner(scoped), "scope", "read")
			a.refused(t, tokenexchange.InvalidScope)
		}
	})
	t.Run("by the client itself", func(t *testing.T) {
		a := sc.bearer(t, robot, own("alice", object{"scope": "read write"}), "scope",
			"read").opaque(t)
		m := sc.active(t, sc.private(t, "robot", "testdata/robot.pem"), a.token())
		assert.Equal(t, []any{"alice", "robot", tools, "read"},
			[]any{m["sub"], m["client_id"], m["aud"], m["scope"]})
		// it is registered for alice alone
		sc.bearer(t, robot, own("bob", nil)).refused(t, tokenexchange.InvalidGrant, "D11")
		sc.bearer(t, robot, own("zoe", nil)).refused(t, tokenexchange.InvalidGrant, "D07")
		sc.bearer(t, robot, own("alice", nil), "scope", "write").refused(t,
			tokenexchange.InvalidScope)
		sc.bearer(t, portal, own("alice", nil)).refused(t, tokenexchange.InvalidGrant)
	})
	t.Run("for a time that is limited by the rule", func(t *testing.T) {
		a := sc.bearer(t, portal, partner(nil), "scope", "read").opaque(t)
		sc.wait(2 * time.Minute)
		sc.active(t, portal, a.token())
		sc.bearer(t, portal, partner(nil), "audience", bank).refused(t, tokenexchange.InvalidTarget)
		sc.bearer(t, portal, partner(nil), "scope", "transfer").refused(t,
			tokenexchange.InvalidScope)
	})

	now := func(after time.Duration) int64 { return sc.clock.Now().Add(after).Unix() }
	token := sc.iss() + "/token"
	for name, assertion := range map[string]func() string{
		"for the token endpoint": func() string { return partner(object{"aud": token}) },
		"for others too": func() string {
			return partner(object{"aud": []string{sc.iss(), "https://other.example"}})
		},
		"no audience":      func() string { return partner(object{"aud": nil}) },
		"another audience": func() string { return partner(object{"aud": expected}) },
		"without exp":      func() string { return partner(object{"exp": nil}) },
		"expired":          func() string { return partner(object{"exp": now(0)}) },
		"for too long": func() string {
			return partner(object{"exp": now(5*time.Minute + time.Second)})
		},
		"for too long since its iat": func() string {
			return partner(object{"iat": now(-5 * time.Minute)})
		},
		"not yet": func() string {
			return partner(object{"nbf": now(2 * time.Minute)})
		},
		"without jti":               func() string { return partner(object{"jti": nil}) },
		"without sub":               func() string { return partner(object{"sub": nil}) },
		"an account without link":   func() string { return partner(object{"sub": "p-1"}) },
		"about a name that we have": func() string { return partner(object{"sub": "bob"}) },
		"by an issuer without trust": func() string {
			return partner(object{"iss": "https://other.example"})
		},
		"by us":    func() string { return partner(object{"iss": sc.iss()}) },
		"with act": func() string { return partner(object{"act": object{"sub": "x"}}) },
		"with may_act": func() string {
			return partner(object{"may_act": object{"client_id": "portal"}})
		},
		"signed with another key": func() string {
			return mint(t, robotKey, object{"kid": "partner-1"},
				claims("https://idp.partner.example", "p-4711", nil))
		},
		"an access token of the issuer": func() string {
			return mint(t, partnerKey, object{"typ": "at+jwt", "kid": "partner-1"},
				claims("https://idp.partner.example", "p-4711", nil))
		},
		"no JWT":          func() string { return "x.y.z" },
		"a login of ours": func() string { return sc.logIn(t, "alice", "portal").IDToken },
		"an access token": func() string { return sc.logIn(t, "alice", "portal").JWT },
		"client credentials": func() string {
			return mint(t, robotKey, object{"kid": "robot-1"}, sc.assertion("robot"))
		},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			word := assertion()
			before := sc.written.tokens()
			a := sc.bearer(t, portal, word, "scope", "read")
			require.Equal(t, http.StatusBadRequest, a.status, a.raw)
			assert.Equal(t, "invalid_grant", a.text("error"))
			assert.Equal(t, "refused", a.event(t)["outcome"])
			assert.Equal(t, grantBearer, a.event(t)["grant"])
			assert.Equal(t, before, sc.written.tokens())
		})
	}
	t.Run("a token endpoint that the world allows", func(t *testing.T) {
		const issuer = "http://as.example"
		old := play(t, setting("issuer", issuer),
			changing("foreign_issuers", "https://idp.partner.example",
				object{"assertions": object{"audience": issuer + "/token"}}))
		for aud, good := range map[string]bool{issuer: true, issuer + "/token": true,
			issuer + "/": false} {
			a := old.bearer(t, old.basic("portal"),
				partner(object{"aud": aud, "iat": old.clock.Now().Unix(),
					"exp": old.clock.Now().Add(time.Minute).Unix()}))
			assert.Equal(t, good, a.status == http.StatusOK, "%s: %s", aud, a.raw)
		}
	})
	t.Run("an issuer that is trusted for tokens and not for assertions", func(t *testing.T) {
		other := play(t,
			changing("foreign_issuers", "https://idp.partner.example", object{"assertions": nil}))
		other.bearer(t, other.basic("portal"), partner(object{"aud": other.iss()})).refused(t,
			tokenexchange.InvalidGrant)
	})
	t.Run("once", func(t *testing.T) {
		word := partner(nil)
		// the refusal does not use the assertion up
		sc.bearer(t, portal, word, "scope", "transfer").refused(t, tokenexchange.InvalidScope)
		sc.written.failWith(errors.New("the database is down"))
		sc.bearer(t, portal, word).broken(t)
		sc.written.failWith(nil)
		sc.withoutAudit(func() { sc.bearer(t, portal, word).broken(t) })
		sc.bearer(t, portal, word).opaque(t)
		sc.bearer(t, portal, word).refused(t, tokenexchange.InvalidGrant, "spent")
		same := partner(object{"jti": "same"})
		good := 0
		answers := make([]reply, 8)
		atOnce(len(answers), func(i int) {
			answers[i] = sc.quietly(t, "/token", portal,
				formOf("grant_type", grantBearer, "assertion", same))
		})
		for _, a := range answers {
			if a.status == http.StatusOK {
				good++
				continue
			}
			assert.Equal(t, "invalid_grant", a.text("error"))
		}
		assert.Equal(t, 1, good)
		sc.bearer(t, portal, partner(object{"jti": "same", "iat": nil})).refused(t,
			tokenexchange.InvalidGrant, "spent")
	})
	t.Run("by whose assertion", func(t *testing.T) {
		sc.bearer(t, sc.basic("service"), partner(nil)).refused(t, tokenexchange.UnauthorizedClient)
		sc.bearer(t, basicAs("portal", "wrong"), partner(nil)).refused(t,
			tokenexchange.InvalidClient)
		sc.bearer(t, nobodySays, partner(nil)).refused(t, tokenexchange.InvalidClient)
	})
	t.Run("about which user", func(t *testing.T) {
		for _, status := range []world.Status{"locked", "disabled"} {
			sc.changeUser("bob", func(u *world.User) { u.Status = status })
			sc.bearer(t, portal, partner(nil)).refused(t, tokenexchange.InvalidGrant, "D07")
		}
		sc.changeUser("bob", func(u *world.User) { u.Status = "enabled" })
		sc.bearer(t, portal, partner(nil)).opaque(t)
	})
	t.Run("at no other door", func(t *testing.T) {
		for _, kind := range []string{urnJWT, urnID, urnAccess, string(world.TypeUserAssertion)} {
			sc.exchange(t, portal, about(partner(nil), kind)).refused(t,
				tokenexchange.InvalidRequest)
		}
		sc.send(t, "/token", portal, formOf("grant_type", grantBearer)).refused(t,
			tokenexchange.InvalidRequest)
		sc.send(t, "/token", portal, formOf("grant_type", grantBearer, "assertion", "a",
			"assertion", "b")).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("revoked", func(t *testing.T) { // C07: the tokens made from it end with it
		a := sc.bearer(t, portal, partner(object{"jti": "gone"})).opaque(t)
		require.NoError(t, sc.server.Tokens.Revoke(context.Background(),
			tokenexchange.Token{Issuer: "https://idp.partner.example", ID: "gone",
				Expires: sc.clock.Now().Add(time.Minute)}))
		sc.inactive(t, portal, a.token())
	})
}
