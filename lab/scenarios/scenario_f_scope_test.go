package scenarios

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("F04", scenarioF04)
	scenario("F05", scenarioF05)
}

// scenarioF04: a scope that only the exchanging client has is granted by a rule that names it in
// expand, and the audit log says so.
func scenarioF04(t *testing.T) {
	sc := playBank(t, silent)
	t.Run("granted", func(t *testing.T) {
		sc.pairs(func(_, _ string, parts ...[]string) {
			a := sc.exchange(t, sc.service, append(parts, asking("read write transfer"))...)
			assert.Equal(t, []string{"read", "transfer", "write"}, a.scope(), a.raw)
			granted := a.event(t)["granted"].(object)
			assert.Equal(t, "transfer", granted["expanded"])
			assert.Equal(t, "read write transfer", granted["scope"])
			if a.text("issued_token_type") == urnAccess {
				assert.Equal(t, "read write transfer", sc.seen(t, a)["scope"])
			}
		})
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			asking("transfer")).opaque(t)
		assert.Equal(t, "transfer", sc.seen(t, a)["scope"])
		assert.Equal(t, "openid offline_access read write",
			sc.active(t, sc.bank, sc.alice.AccessToken)["scope"], "the old token is what it was")
	})
	t.Run("never unasked", func(t *testing.T) {
		sc.pairs(func(_, _ string, parts ...[]string) {
			a := sc.exchange(t, sc.service, parts...)
			assert.NotEmpty(t, a.token(), a.raw)
			assert.NotContains(t, a.scope(), "transfer")
			assert.NotContains(t, a.event(t)["granted"], "expanded")
		})
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			asking("read")).opaque(t)
		assert.Equal(t, []string{"read"}, a.scope())
		assert.NotContains(t, a.event(t)["granted"], "expanded")
		// An expanded token cannot hand the expansion on, since the user does not have it.
		a = sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			asking("read transfer")).opaque(t)
		a = sc.exchange(t, sc.service, about(a.token(), urnAccess)).opaque(t)
		assert.Equal(t, []string{"read"}, a.scope())
	})
	refused := func(t *testing.T, sc *bankScene, scope string) {
		t.Helper()
		sc.pairs(func(_, _ string, parts ...[]string) {
			sc.exchange(t, sc.service, append(parts, asking(scope))...).refused(t,
				tokenexchange.InvalidScope, "D21")
		})
	}
	t.Run("a scope that no rule names", func(t *testing.T) {
		refused(t, sc, "read admin")
		refused(t, sc, "transfer admin")
		refused(t, sc, "TRANSFER")
		registered := playBank(t, changing("clients", "service",
			object{"scope": []any{"read", "write", "transfer", "admin"}}))
		refused(t, registered, "read admin")
	})
	t.Run("a rule that does not expand", func(t *testing.T) {
		plain := playBank(t, silent,
			changing("rules", "service-impersonate", object{"impersonate": object{"expand": nil}}),
			changing("rules", "service-delegate", object{"delegate": object{"expand": nil}}))
		refused(t, plain, "read transfer")
		inScope := playBank(t, silent,
			changing("rules", "service-impersonate",
				object{"impersonate": object{"expand": nil},
					"scope": []any{"read", "write", "transfer"}}),
			changing("rules", "service-delegate",
				object{"delegate": object{"expand": nil},
					"scope": []any{"read", "write", "transfer"}}))
		refused(t, inScope, "read transfer") // a scope of the rule is not in its expand
	})
	t.Run("a client that is not registered for it", func(t *testing.T) {
		unregistered := playBank(t, silent,
			changing("clients", "service", object{"scope": []any{"read", "write"}}))
		refused(t, unregistered, "read transfer")
		unregistered.exchange(t, unregistered.service,
			about(unregistered.alice.AccessToken, urnAccess), asking("read")).opaque(t)

		later := playBank(t, silent)
		later.exchange(t, later.service, about(later.alice.AccessToken, urnAccess),
			asking("transfer")).opaque(t)
		later.changeClient("service", func(c *world.Client) {
			c.Scope = tokenexchange.Scope{"read"}
		})
		refused(t, later, "transfer")
	})
	t.Run("another client", func(t *testing.T) {
		own := sc.logIn(t, "alice", "portal")
		sc.exchange(t, sc.basic("portal"), about(own.AccessToken, urnAccess),
			asking("transfer")).refused(t, tokenexchange.InvalidScope)
	})
}

// scenarioF05: a client asks for less, gets less, and cannot get it back.
func scenarioF05(t *testing.T) {
	sc := playBank(t, silent)
	t.Run("granted", func(t *testing.T) {
		before := sc.active(t, sc.bank, sc.alice.AccessToken)
		for _, scope := range []string{"write", "read", "read write"} {
			sc.pairs(func(_, _ string, parts ...[]string) {
				a := sc.exchange(t, sc.service, append(parts, asking(scope))...)
				assert.Equal(t, scope, a.text("scope"), a.raw)
				if a.text("issued_token_type") == urnAccess {
					assert.Equal(t, scope, sc.seen(t, a)["scope"])
				}
			})
		}
		assert.Equal(t, before, sc.active(t, sc.bank, sc.alice.AccessToken),
			"the old token is untouched")
		a := sc.exchange(t, sc.service, about(sc.alice.JWT, urnAccess), requested(urnJWT),
			asking("write")).jwt(t)
		assert.Equal(t, "write", sc.seen(t, a)["scope"])
		assert.Equal(t, "write", sc.active(t, sc.bank, a.token())["scope"])
	})
	t.Run("omitted", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess)).opaque(t)
		assert.Equal(t, []string{"read", "write"}, a.scope(),
			"the token's, cut to what the rule allows, and echoed (D20)")
		a = sc.exchange(t, sc.service, about(sc.alice.IDToken, urnID)).opaque(t)
		assert.NotContains(t, a.body, "scope", "an ID token has none by its nature")
		assert.NotContains(t, sc.seen(t, a), "scope")
		a = sc.exchange(t, sc.service, about(sc.alice.IDToken, urnID),
			acting(sc.sam.AccessToken, urnAccess)).opaque(t)
		assert.Equal(t, []string{"read", "write"}, a.scope(),
			"the actor's, within what the user may hand on")
	})
	t.Run("and never back", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			asking("write")).opaque(t)
		sc.exchange(t, sc.service, about(a.token(), urnAccess), asking("read")).refused(t,
			tokenexchange.InvalidScope)
		sc.exchange(t, sc.service, about(a.token(), urnAccess), asking("read write")).refused(t,
			tokenexchange.InvalidScope)
		b := sc.exchange(t, sc.service, about(a.token(), urnAccess)).opaque(t)
		assert.Equal(t, []string{"write"}, b.scope())
	})
	t.Run("what the user may hand on", func(t *testing.T) {
		sc := playBank(t, silent)
		sc.changeUser("alice", func(u *world.User) { u.Scope = tokenexchange.Scope{"read"} })
		for kind, subject := range map[string]string{urnAccess: sc.alice.AccessToken,
			urnID: sc.alice.IDToken} {
			sc.exchange(t, sc.service, about(subject, kind), asking("read write")).refused(t,
				tokenexchange.InvalidScope, "D21")
			sc.exchange(t, sc.service, about(subject, kind), asking("read")).opaque(t)
		}
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess)).opaque(t)
		assert.Equal(t, []string{"read"}, a.scope())
		sc.changeUser("alice", func(u *world.User) { u.Scope = tokenexchange.Scope{"profile"} })
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidScope, "D20")
	})
	t.Run("malformed", func(t *testing.T) {
		for _, scope := range []string{" ", "read ", " read", "read  write", "read\twrite", `re"ad`,
			`re\ad`, "réad"} {
			sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
				asking(scope)).refused(t, tokenexchange.InvalidScope)
		}
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			asking("Read")).refused(t, tokenexchange.InvalidScope)
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			asking("read read")).opaque(t)
		assert.Equal(t, "read", a.text("scope"))
	})
}
