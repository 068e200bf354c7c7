package scenarios

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("Z07", scenarioZ07)
	scenario("Z17", scenarioZ17)
	scenario("Z19", scenarioZ19)
}

// scenarioZ07: the actor token is an access token or an ID token of a user who may impersonate.
func scenarioZ07(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	login := sc.logIn(t, "alice", "portal")
	alice := about(login.AccessToken, urnAccess)
	ines, bob := sc.logIn(t, "ines", "portal"), sc.logIn(t, "bob", "portal")

	for name, of := range map[string]func(server.TokenSet) []string{
		"opaque":   func(s server.TokenSet) []string { return acting(s.AccessToken, urnAccess) },
		"JWT":      func(s server.TokenSet) []string { return acting(s.JWT, urnAccess) },
		"ID token": func(s server.TokenSet) []string { return acting(s.IDToken, urnID) },
	} {
		for subject, about := range map[string][]string{
			"opaque": alice, "JWT": about(login.JWT, urnAccess),
			"ID token": about(login.IDToken, urnID), "user id": about("alice", urnUserID),
		} {
			t.Run(name+" for "+subject, func(t *testing.T) {
				read := []string{"scope", "read"}
				a := sc.exchange(t, portal, about, of(ines), read).opaque(t)
				m := sc.active(t, portal, a.token())
				assert.Equal(t, "alice", m["sub"])
				assert.Equal(t, object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"},
					m["act"])

				refused := sc.exchange(t, portal, about, of(bob), read).refused(t,
					tokenexchange.InvalidRequest, "D11")
				event := refused.event(t)
				assert.Equal(t, "bob", inside(event, "actor", "id"), "who tried")
				assert.Equal(t, "alice", inside(event, "subject", "id"), "the subject")
				assert.Equal(t, "portal", event["client"], "with what")
			})
		}
	}

	t.Run("not an acceptable token", func(t *testing.T) {
		revoked := sc.logIn(t, "ines", "portal").AccessToken
		sc.revoke(t, portal, revoked)
		for name, part := range map[string][]string{
			"unknown":           acting(ines.AccessToken[:20], urnAccess),
			"revoked":           acting(revoked, urnAccess),
			"refresh token":     acting(ines.RefreshToken, urnRefresh),
			"another type":      acting(ines.AccessToken, urnID),
			"ID as access":      acting(ines.IDToken, urnAccess),
			"unknown type":      acting(ines.AccessToken, "urn:acme:thing"),
			"without type":      {"actor_token", ines.AccessToken},
			"without token":     {"actor_token_type", urnAccess},
			"of another client": acting(sc.logIn(t, "ines", "robot").AccessToken, urnAccess),
			"a client's":        acting(sc.own(t, portal).token(), urnAccess),
			"the subject's own": acting(login.AccessToken, urnAccess),
		} {
			t.Run(name, func(t *testing.T) {
				sc.exchange(t, portal, alice, part).refused(t, tokenexchange.InvalidRequest)
			})
		}
	})
	t.Run("with act", func(t *testing.T) { // D14
		oleg := sc.logIn(t, "oleg", "portal")
		byOleg := sc.exchange(t, portal, about(ines.AccessToken, urnAccess),
			acting(oleg.AccessToken, urnAccess)).opaque(t)
		sc.exchange(t, portal, alice, acting(byOleg.token(), urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D14")
		sc.exchange(t, portal, about("bob", urnUserID),
			acting(byOleg.token(), urnAccess)).refused(t, tokenexchange.InvalidRequest, "D14")
	})
	t.Run("the permission as it is now", func(t *testing.T) {
		sc.changeUser("bob", func(u *world.User) { u.Roles = []string{"org-user-impersonator"} })
		sc.exchange(t, portal, alice, acting(bob.AccessToken, urnAccess)).opaque(t)
		sc.changeUser("bob", func(u *world.User) { u.Roles = []string{"member"} })
		sc.exchange(t, portal, alice, acting(bob.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D11")
		sc.changeUser("ines", func(u *world.User) { u.Status = "locked" })
		sc.exchange(t, portal, alice, acting(ines.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D07")
		sc.changeUser("ines", func(u *world.User) { u.Status = "" })
	})
	t.Run("targets are not revealed before", func(t *testing.T) { // D03
		sc.exchange(t, portal, alice, acting(bob.AccessToken, urnAccess),
			[]string{"audience", "https://nowhere.example"}).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, portal, alice, acting(ines.AccessToken, urnAccess),
			[]string{"audience", "https://nowhere.example"}).refused(t, tokenexchange.InvalidTarget)
	})
	t.Run("expired", func(t *testing.T) {
		sc.wait(30 * time.Minute)
		fresh := about(sc.logIn(t, "alice", "portal").AccessToken, urnAccess)
		sc.exchange(t, portal, fresh, acting(ines.IDToken, urnID)).opaque(t)
		sc.wait(30 * time.Minute)
		sc.exchange(t, portal, fresh, acting(ines.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, portal, fresh, acting(ines.IDToken, urnID)).refused(t,
			tokenexchange.InvalidRequest)
	})
}

// scenarioZ17: delegation by token.
func scenarioZ17(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	login := sc.logIn(t, "alice", "portal")
	ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
	narrow := sc.exchange(t, portal, about(login.AccessToken, urnAccess),
		[]string{"audience", aggregates, "scope", "read"}).opaque(t)
	act := object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"}

	for kind, check := range map[string]func(*testing.T, reply) reply{
		urnAccess: func(t *testing.T, a reply) reply { return a.opaque(t) },
		urnJWT:    func(t *testing.T, a reply) reply { return a.jwt(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			a := check(t, sc.exchange(t, portal, about(login.AccessToken, urnAccess), ines,
				[]string{"requested_token_type", kind}))
			assert.Equal(t, []string{"email", "offline_access", "openid", "profile",
				"read", "write"}, a.scope(), "the subject's (D20)")
			m := sc.active(t, portal, a.token())
			assert.Equal(t, "alice", m["sub"])
			assert.Equal(t, "portal", m["client_id"])
			assert.Equal(t, portalAudience, m["aud"])
			assert.Equal(t, act, m["act"])
			assert.Equal(t, a.scope(), wordsOf(m["scope"].(string)))

			id := sc.idClaims(t, a.text("id_token"), "portal")
			assert.Equal(t, "alice", id["sub"])
			assert.Equal(t, act, id["act"])
			_, before := sc.verified(t, login.IDToken)
			for _, name := range []string{"auth_time", "acr", "amr"} {
				assert.Equal(t, before[name], id[name], name)
			}
			if kind == urnJWT {
				c := sc.claims(t, a.token())
				assert.Equal(t, "alice", c["sub"])
				assert.Equal(t, portalAudience, c["aud"])
				assert.Equal(t, act, c["act"])
			}
		})
	}
	t.Run("audience of the subject", func(t *testing.T) {
		a := sc.exchange(t, portal, about(narrow.token(), urnAccess), ines).opaque(t)
		m := sc.active(t, portal, a.token())
		assert.Equal(t, aggregates, m["aud"])
		assert.Equal(t, "read", m["scope"])
		assert.Equal(t, "read", a.text("scope"))
		sc.exchange(t, portal, about(narrow.token(), urnAccess), ines,
			[]string{"scope", "write"}).refused(t, tokenexchange.InvalidScope)
	})
	t.Run("ID token asked for", func(t *testing.T) {
		a := sc.exchange(t, portal, about(login.AccessToken, urnAccess), ines,
			[]string{"requested_token_type", urnID}).idToken(t)
		c := sc.idClaims(t, a.token(), "portal")
		assert.Equal(t, "alice", c["sub"])
		assert.Equal(t, act, c["act"])
	})
	t.Run("the old tokens are untouched", func(t *testing.T) {
		assert.NotContains(t, sc.active(t, portal, login.AccessToken), "act")
		assert.NotContains(t, sc.active(t, portal, ines[1]), "act")
	})
	t.Run("the actor dies", func(t *testing.T) {
		a := sc.exchange(t, portal, about(login.AccessToken, urnAccess), ines).opaque(t)
		sc.revoke(t, portal, ines[1])
		sc.inactive(t, portal, a.token())
		sc.exchange(t, portal, about(a.token(), urnAccess)).refused(t, tokenexchange.InvalidRequest)
		sc.refresh(t, portal, a.text("refresh_token")).refused(t, tokenexchange.InvalidGrant)
	})
}

// scenarioZ19: refresh of an exchanged token. act survives, and the whole policy runs again.
func scenarioZ19(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	act := object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"}
	begin := func(t *testing.T, kind string) reply {
		ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
		a := sc.exchange(t, portal, about("alice", urnUserID), ines,
			[]string{"scope", "openid profile read offline_access",
				"requested_token_type", kind}).granted(t, kind, "Bearer")
		require.NotEmpty(t, a.text("refresh_token"))
		return a
	}
	for _, kind := range []string{urnAccess, urnJWT} {
		t.Run("act survives/"+kind, func(t *testing.T) {
			first := begin(t, kind)
			sc.wait(10 * time.Minute)
			next := sc.refresh(t, portal, first.text("refresh_token")).granted(t, kind, "Bearer")
			again := sc.refresh(t, portal, next.text("refresh_token")).granted(t, kind, "Bearer")
			for _, a := range []reply{next, again} {
				m := sc.active(t, portal, a.token())
				assert.Equal(t, "alice", m["sub"])
				assert.Equal(t, act, m["act"])
				assert.Equal(t, portalAudience, m["aud"])
				assert.Equal(t, first.scope(), a.scope())
				id := sc.idClaims(t, a.text("id_token"), "portal")
				assert.Equal(t, act, id["act"])
				assert.Equal(t, "alice", id["sub"])
				if kind == urnJWT {
					assert.Equal(t, act, sc.claims(t, a.token())["act"])
				}
				event := a.event(t)
				assert.Equal(t, "ines", inside(event, "actor", "id"))
				assert.Equal(t, "refresh_token", event["grant"])
			}
			assert.NotEqual(t, first.text("refresh_token"), next.text("refresh_token"), "rotation")
		})
	}
	t.Run("less scope, never more", func(t *testing.T) {
		token := begin(t, urnAccess).text("refresh_token")
		sc.refresh(t, portal, token, "scope", "read write").refused(t, tokenexchange.InvalidScope)
		a := sc.refresh(t, portal, token, "scope", "read").opaque(t)
		m := sc.active(t, portal, a.token())
		assert.NotContains(t, wordsOf(m["scope"].(string)), "profile")
		assert.Contains(t, wordsOf(m["scope"].(string)), "read")
		assert.Equal(t, act, m["act"])
	})
	t.Run("reuse ends the grant", func(t *testing.T) {
		first := begin(t, urnAccess)
		next := sc.refresh(t, portal, first.text("refresh_token")).opaque(t)
		sc.active(t, portal, first.token())
		sc.refresh(t, portal, first.text("refresh_token")).refused(t, tokenexchange.InvalidGrant,
			"twice")
		for _, token := range []string{first.token(), next.token(), next.text("refresh_token")} {
			sc.inactive(t, portal, token)
		}
		sc.refresh(t, portal, next.text("refresh_token")).refused(t, tokenexchange.InvalidGrant)
	})
	t.Run("same client only", func(t *testing.T) {
		token := begin(t, urnAccess).text("refresh_token")
		sc.refresh(t, sc.basic("service"), token).refused(t, tokenexchange.InvalidGrant)
		sc.refresh(t, portal, token).opaque(t)
	})

	disable := func(u *world.User) { u.Status = "disabled" }
	enable := func(u *world.User) { u.Status = "enabled" }
	for name, change := range map[string]struct{ lose, regain func() }{
		"actor lost the role": {func() {
			sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
		},
			func() {
				sc.changeUser("ines", func(u *world.User) {
					u.Roles = []string{"org-user-impersonator"}
				})
			}},
		"user disabled": {func() {
			sc.changeUser("alice", disable)
		}, func() { sc.changeUser("alice", enable) }},
		"actor disabled": {func() {
			sc.changeUser("ines", disable)
		}, func() { sc.changeUser("ines", enable) }},
		"user locked": {func() {
			sc.changeUser("alice", func(u *world.User) { u.Status = "locked" })
		},
			func() { sc.changeUser("alice", enable) }},
		"user became an administrator": {func() {
			sc.changeUser("alice", func(u *world.User) { u.Roles = []string{"org-admin"} })
		},
			func() {
				sc.changeUser("alice", func(u *world.User) { u.Roles = []string{"member"} })
			}},
		"user moved to another organisation": {func() {
			sc.changeUser("alice", func(u *world.User) { u.Organization = "globex" })
		},
			func() { sc.changeUser("alice", func(u *world.User) { u.Organization = "acme" }) }},
	} {
		t.Run(name, func(t *testing.T) {
			token := begin(t, urnAccess).text("refresh_token")
			change.lose()
			a := sc.refresh(t, portal, token).refused(t, tokenexchange.InvalidGrant)
			assert.Equal(t, "ines", inside(a.event(t), "actor", "id"))
			change.regain()
			next := sc.refresh(t, portal, token).opaque(t) // a refusal uses nothing up
			assert.Equal(t, act, sc.active(t, portal, next.token())["act"])
		})
	}
	t.Run("client disabled", func(t *testing.T) {
		token := begin(t, urnAccess).text("refresh_token")
		sc.changeClient("portal", func(c *world.Client) { c.Status = "disabled" })
		sc.refresh(t, portal, token).refused(t, tokenexchange.InvalidClient)
		sc.changeClient("portal", func(c *world.Client) { c.Status = "" })
		sc.refresh(t, portal, token).opaque(t)
	})
	t.Run("client lost the grant", func(t *testing.T) {
		token := begin(t, urnAccess).text("refresh_token")
		var before []string
		sc.changeClient("portal", func(c *world.Client) {
			before, c.Grants = c.Grants, []string{grantExchange}
		})
		sc.refresh(t, portal, token).refused(t, tokenexchange.UnauthorizedClient)
		sc.changeClient("portal", func(c *world.Client) { c.Grants = before })
	})
	t.Run("client lost a scope", func(t *testing.T) {
		token := begin(t, urnAccess).text("refresh_token")
		var before tokenexchange.Scope
		sc.changeClient("portal", func(c *world.Client) {
			before, c.Scope = c.Scope, tokenexchange.Scope{"openid", "profile", "offline_access"}
		})
		sc.refresh(t, portal, token).refused(t, tokenexchange.InvalidScope)
		sc.changeClient("portal", func(c *world.Client) { c.Scope = before })
	})
	t.Run("today's policy", func(t *testing.T) {
		// Two servers over one store: yesterday's world, and today's, in which the rule is gone or
		// the switch is off.
		const issuer = "http://as.example"
		old := play(t, setting("issuer", issuer))
		start := func() string {
			ines := acting(old.logIn(t, "ines", "portal").AccessToken, urnAccess)
			return old.exchange(t, old.basic("portal"), about("alice", urnUserID), ines,
				[]string{"scope", "read offline_access"}).opaque(t).text("refresh_token")
		}
		o := server.Options{Store: old.server.Tokens.Store, Key: old.options.Key,
			Now: old.clock.Now}
		same := playOn(t, o, setting("issuer", issuer))
		gone := playOn(t, o, setting("issuer", issuer),
			onlyRules("portal-narrow", "portal-own", "portal-delegate"))
		off := playOn(t, o, setting("issuer", issuer), setting("allow_impersonation", false))
		token := start()
		gone.refresh(t, gone.basic("portal"), token).refused(t, tokenexchange.InvalidGrant)
		off.refresh(t, off.basic("portal"), token).refused(t, tokenexchange.InvalidGrant)
		same.refresh(t, same.basic("portal"), token).opaque(t)
	})
	t.Run("no longer than its inputs", func(t *testing.T) {
		first := begin(t, urnAccess) // ines' token lives for an hour at most
		sc.wait(45 * time.Minute)
		next := sc.refresh(t, portal, first.text("refresh_token")).opaque(t)
		assert.Equal(t, json.Number("900"), next.body["expires_in"])
		sc.wait(15 * time.Minute)
		sc.refresh(t, portal, next.text("refresh_token")).refused(t, tokenexchange.InvalidGrant)
		sc.inactive(t, portal, next.token())
	})
}
