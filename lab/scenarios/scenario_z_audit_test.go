package scenarios

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
)

func init() { scenario("Z24", scenarioZ24) }

// scenarioZ24: the audit log has actor, subject and client of every exchange, refusals included.
func scenarioZ24(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice, ines, bob := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal"), sc.logIn(t,
		"bob", "portal")
	act := acting(ines.AccessToken, urnAccess)
	id := func(event object, who string) any { return inside(event, who, "id") }

	t.Run("token exchanged", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"scope", "read", "audience", aggregates}).opaque(t)
		e := a.event(t)
		assert.Equal(t, "granted", e["outcome"])
		assert.Equal(t, grantExchange, e["grant"])
		assert.Equal(t, "portal", e["client"])
		assert.Equal(t, "alice", id(e, "subject"))
		assert.Equal(t, "acme", inside(e, "subject", "tenant"))
		assert.NotContains(t, e, "actor")
		assert.Equal(t, "portal-narrow", e["rule"])
		assert.Equal(t, "narrow", e["mode"])
		assert.Equal(t, object{"targets": []any{aggregates}, "scope": "read"}, e["asked"])
		granted := e["granted"].(object)
		assert.Equal(t, sc.active(t, portal, a.token())["jti"], granted["token_id"],
			"which token it was")
		assert.Equal(t, sc.active(t, portal, alice.AccessToken)["jti"],
			inside(e, "subject", "token_id"), "and from which")
		assert.Equal(t, "read", granted["scope"])
		assert.Equal(t, []any{aggregates}, granted["targets"])
		assert.Equal(t, sc.clock.Now().Format(time.RFC3339), e["time"])
	})
	t.Run("user impersonated", func(t *testing.T) {
		for _, subject := range [][]string{about(alice.AccessToken, urnAccess),
			about("alice", urnUserID)} {
			e := sc.exchange(t, portal, subject, act,
				[]string{"scope", "read openid offline_access"}).opaque(t).event(t)
			assert.Equal(t, "granted", e["outcome"])
			assert.Equal(t, "delegate", e["mode"], "what tells it apart from the event above")
			assert.Equal(t, "portal", e["client"])
			assert.Equal(t, "alice", id(e, "subject"))
			assert.Equal(t, "ines", id(e, "actor"))
			assert.Equal(t, sc.iss(), inside(e, "actor", "iss"))
			assert.Equal(t, `"ines"`, inside(e, "granted", "chain"))
			assert.Equal(t, true, inside(e, "granted", "refresh_token"))
			assert.Equal(t, true, inside(e, "granted", "id_token"))
		}
	})
	t.Run("a client that acts", func(t *testing.T) {
		e := sc.exchange(t, sc.basic("aggregates-api"),
			about(alice.AccessToken, urnAccess)).opaque(t).event(t)
		assert.Equal(t, "client-as-actor", e["mode"])
		assert.Equal(t, "aggregates-api", e["client"])
		assert.Equal(t, "portal", inside(e, "subject", "token_client"))
		assert.Equal(t, `"aggregates-api"`, inside(e, "granted", "chain"))
	})
	t.Run("impersonation without a trace in the token", func(t *testing.T) { // C01
		customer := sc.logIn(t, "alice", "customer")
		a := sc.exchange(t, sc.basic("service"), about(customer.AccessToken, urnAccess),
			[]string{"scope", "read transfer"}).opaque(t)
		e := a.event(t)
		assert.Equal(t, "impersonate", e["mode"])
		assert.Equal(t, "service", e["client"])
		assert.Equal(t, "alice", id(e, "subject"))
		assert.Equal(t, "transfer", inside(e, "granted", "expanded"), "audited as expansion")
	})
	t.Run("refresh", func(t *testing.T) {
		a := sc.exchange(t, portal, about("alice", urnUserID), act,
			[]string{"scope", "read offline_access"}).opaque(t)
		b := sc.refresh(t, portal, a.text("refresh_token")).opaque(t)
		assert.Equal(t, "refresh_token", b.event(t)["grant"])
		assert.Equal(t, "ines", id(b.event(t), "actor"))
		c := sc.refresh(t, portal, a.text("refresh_token")).refused(t, tokenexchange.InvalidGrant)
		assert.Equal(t, "portal", c.event(t)["client"])
	})
	t.Run("client_credentials", func(t *testing.T) {
		e := sc.own(t, portal).event(t)
		assert.Equal(t, "client_credentials", e["grant"])
		assert.Equal(t, "client", inside(e, "subject", "kind"))
	})

	for _, row := range []struct {
		name    string
		ask     func() reply
		code    tokenexchange.Code
		subject string // empty: not known
		actor   string
		reason  string
	}{
		{"actor without role", func() reply {
			return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				acting(bob.AccessToken, urnAccess))
		}, tokenexchange.InvalidRequest, "alice", "bob", "D11"},
		{"above the reach", func() reply {
			return sc.exchange(t, portal, about("adam", urnUserID), act)
		}, tokenexchange.InvalidRequest, "adam", "ines", "D11"},
		{"another organisation", func() reply {
			return sc.exchange(t, portal, about("carol", urnUserID), act)
		}, tokenexchange.InvalidRequest, "carol", "ines", "D11"},
		{"disabled", func() reply {
			return sc.exchange(t, portal, about("dora", urnUserID), act)
		}, tokenexchange.InvalidRequest, "dora", "ines", "D07"},
		{"without actor token", func() reply {
			return sc.exchange(t, portal, about("alice", urnUserID))
		}, tokenexchange.InvalidRequest, "alice", "", ""},
		{"unknown token", func() reply {
			return sc.exchange(t, portal, about("at_unknown", urnAccess))
		}, tokenexchange.InvalidRequest, "", "", ""},
		{"of another client", func() reply {
			return sc.exchange(t, sc.basic("service"), about(alice.AccessToken, urnAccess))
		}, tokenexchange.InvalidRequest, "alice", "", ""},
		{"target", func() reply {
			return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"audience", bank})
		}, tokenexchange.InvalidTarget, "alice", "", "D24"},
		{"scope", func() reply {
			return sc.exchange(t, portal, about(alice.AccessToken, urnAccess), act,
				[]string{"scope", "users:read"})
		}, tokenexchange.InvalidScope, "alice", "ines", "D21"},
		{"malformed", func() reply {
			return sc.exchange(t, portal, []string{"subject_token", alice.AccessToken})
		}, tokenexchange.InvalidRequest, "", "", "subject_token_type"},
		{"repeated", func() reply {
			return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"scope", "read", "scope", "read"})
		}, tokenexchange.InvalidRequest, "", "", ""},
		{"grant type", func() reply {
			return sc.exchange(t, portal, []string{"grant_type", "password"})
		}, tokenexchange.UnsupportedGrantType, "", "", ""},
		{"authorization_details", func() reply {
			return sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"authorization_details", "[]"})
		}, tokenexchange.InvalidAuthorizationDetails, "", "", ""},
		{"public client", func() reply {
			return sc.exchange(t, publicAs("spa"),
				about(sc.logIn(t, "alice", "spa").AccessToken, urnAccess))
		}, tokenexchange.UnauthorizedClient, "alice", "", ""},
	} {
		t.Run("refused: "+row.name, func(t *testing.T) {
			// A login is an event too, so the last line is compared.
			a := row.ask()
			require.Equal(t, string(row.code), a.text("error"), a.raw)
			e := a.logged[len(a.logged)-1]
			assert.Equal(t, exchangeEvent, e["msg"])
			assert.Equal(t, "refused", e["outcome"])
			assert.Equal(t, string(row.code), e["error"])
			assert.NotEmpty(t, e["client"])
			assert.NotContains(t, e, "granted")
			assert.Contains(t, noted(e, "reason")+noted(e, "detail")+noted(e, "cause"), row.reason)
			for who, want := range map[string]string{"subject": row.subject, "actor": row.actor} {
				if want != "" {
					assert.Equal(t, want, id(e, who), who)
				}
			}
		})
	}
	t.Run("client authentication", func(t *testing.T) {
		a := sc.exchange(t, basicAs("portal", "wrong-secret"),
			about(alice.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidClient)
		assert.False(t, a.hasEvent() && a.event(t)["outcome"] == "granted")
	})

	// I08: every line is one JSON object without tokens and secrets.
	for _, line := range sc.audit.all() {
		assert.True(t, json.Valid([]byte(line)), line)
		assert.Equal(t, 1, strings.Count(line, "\n"))
		for _, login := range []server.TokenSet{alice, ines, bob} {
			for _, secret := range []string{login.AccessToken, login.JWT, login.IDToken,
				login.RefreshToken, sc.secret("portal"), "wrong-secret"} {
				assert.NotContains(t, line, secret)
			}
		}
	}
}
