package scenarios

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("W07", scenarioW07) }

// scenarioW07: an impersonated token is exchanged for one of another organization of the user, by
// an ordinary exchange with the organization as target.
func scenarioW07(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	login := func(id string) string { return sc.logIn(t, id, "portal").AccessToken }
	bob, greta := login("bob"), login("greta")
	acted := sc.exchange(t, portal, about(bob, urnAccess), acting(greta, urnAccess),
		[]string{"scope", "read write", "audience", aggregates}).opaque(t)
	to := func(organizations ...string) (parts []string) {
		for _, o := range organizations {
			parts = append(parts, "audience", o)
		}
		return append(parts, "requested_token_type", urnJWT)
	}

	t.Run("the actor stays, and so does the API", func(t *testing.T) {
		assert.Equal(t, "acme", sc.claims(t,
			sc.exchange(t, portal, about(acted.token(), urnAccess),
				[]string{"requested_token_type", urnJWT}).jwt(t).token())["tenant"])
		a := sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).jwt(t)
		c := sc.claims(t, a.token())
		assert.Equal(t, "bob", c["sub"])
		assert.Equal(t, "globex", c["tenant"])
		assert.Equal(t, object{"iss": sc.iss(), "sub": "greta", "client_id": "portal"}, c["act"])
		assert.Equal(t, aggregates, c["aud"], "the organisation is no audience")
		assert.Equal(t, []string{"read", "write"}, a.scope())
		assert.Equal(t, c["act"], sc.active(t, sc.basic("aggregates-api"), a.token())["act"])
		e := a.event(t)
		assert.Equal(t, "portal-organization", e["rule"])
		assert.Equal(t, "globex", inside(e, "granted", "tenant"))
		assert.Equal(t, "acme", inside(e, "subject", "tenant"))
		assert.Equal(t, `"greta"`, inside(e, "granted", "chain"), "both people are on record")
	})
	t.Run("together with an API, and as resource", func(t *testing.T) {
		a := sc.exchange(t, portal, about(bob, urnAccess),
			[]string{"audience", settings, "audience", "globex", "scope", "read",
				"requested_token_type", urnJWT}).jwt(t)
		c := sc.claims(t, a.token())
		assert.Equal(t, []any{settings, "globex"}, []any{c["aud"], c["tenant"]})
		assert.NotContains(t, c, "act", "a user who switches for themselves")
		sc.exchange(t, portal, about(bob, urnAccess), []string{"resource", "globex"}).refused(t,
			tokenexchange.InvalidTarget)
	})
	t.Run("back again", func(t *testing.T) {
		away := sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).jwt(t)
		c := sc.claims(t,
			sc.exchange(t, portal, about(away.token(), urnAccess), to("acme")).jwt(t).token())
		assert.Equal(t, "acme", c["tenant"])
		assert.Equal(t, "greta", inside(c, "act", "sub"))
	})
	t.Run("members only", func(t *testing.T) {
		alice := sc.exchange(t, portal, about(login("alice"), urnAccess), acting(greta, urnAccess),
			[]string{"scope", "read"}).opaque(t)
		for _, subject := range []string{alice.token(), login("alice")} {
			sc.exchange(t, portal, about(subject, urnAccess), to("globex")).refused(t,
				tokenexchange.InvalidTarget, "D24")
		}
		for _, wrong := range [][]string{{"globex", "acme"}, {"initech"}, {"Globex"}, {"globex "},
			{"globex", "https://elsewhere.example"}} {
			sc.exchange(t, portal, about(acted.token(), urnAccess), to(wrong...)).refused(t,
				tokenexchange.InvalidTarget, "D24")
		}
		away := sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).jwt(t)
		sc.changeUser("bob", func(u *world.User) { u.Organizations = nil })
		sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).refused(t,
			tokenexchange.InvalidTarget, "D24")
		sc.changeUser("bob", func(u *world.User) { u.Organizations = []string{"globex"} })
		sc.revoke(t, portal, acted.token())
		sc.inactive(t, portal, away.token())
		acted = sc.exchange(t, portal, about(bob, urnAccess), acting(greta, urnAccess),
			[]string{"scope", "read write", "audience", aggregates}).opaque(t)
	})
	t.Run("the border of the one who acts", func(t *testing.T) {
		ines := sc.exchange(t, portal, about(bob, urnAccess), acting(login("ines"), urnAccess),
			[]string{"scope", "read"}).opaque(t)
		sc.exchange(t, portal, about(ines.token(), urnAccess), to("globex")).refused(t,
			tokenexchange.InvalidRequest, "D11")
		sc.exchange(t, portal, about(bob, urnAccess), acting(login("ines"), urnAccess),
			to("globex")).refused(t, tokenexchange.InvalidRequest, "D11")
		sc.changeUser("greta", func(u *world.User) { u.Roles = nil })
		sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).refused(t,
			tokenexchange.InvalidRequest, "D11")
		sc.changeUser("greta", func(u *world.User) {
			u.Roles, u.Status = []string{"global-user-impersonator"}, "locked"
		})
		sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).refused(t,
			tokenexchange.InvalidRequest, "D07")
		sc.changeUser("greta", func(u *world.User) { u.Status = "" })
		sc.exchange(t, portal, about(acted.token(), urnAccess), to("globex")).jwt(t)
	})
	t.Run("no rule", func(t *testing.T) {
		sc := play(t, onlyRules("portal-narrow", "portal-own", "portal-delegate"))
		bob := sc.logIn(t, "bob", "portal").AccessToken
		sc.exchange(t, sc.basic("portal"), about(bob, urnAccess), to("globex")).refused(t,
			tokenexchange.InvalidTarget, "D24")
	})
	t.Run("another client, named as carrier", w07Carrier)
}

// w07Carrier: a client that the token was not issued to carries the chain only if a rule names it
// in carry.
func w07Carrier(t *testing.T) {
	for _, carry := range []bool{true, false} {
		sc := play(t, changing("rules", "portal-organization",
			object{"clients": []string{"aggregates-api"}, "impersonate": object{"carry": carry}}),
			onlyRules("portal-delegate", "portal-organization"))
		bob, greta := sc.logIn(t, "bob", "portal"), sc.logIn(t, "greta", "portal")
		acted := sc.exchange(t, sc.basic("portal"), about(bob.AccessToken, urnAccess),
			acting(greta.AccessToken, urnAccess), []string{"scope", "read"}).opaque(t)
		a := sc.exchange(t, sc.basic("aggregates-api"), about(acted.token(), urnAccess),
			[]string{"audience", "globex", "audience", aggregates})
		if !carry {
			a.refused(t, tokenexchange.InvalidRequest, "D13")
			continue
		}
		m := sc.active(t, sc.basic("aggregates-api"), a.opaque(t).token())
		assert.Equal(t, "greta", inside(m, "act", "sub"))
		assert.Equal(t, aggregates, m["aud"])
		assert.Equal(t, "globex", inside(a.event(t), "granted", "tenant"))
	}
}
