package scenarios

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("Z12", scenarioZ12)
	scenario("Z13", scenarioZ13)
	scenario("Z14", scenarioZ14)
	scenario("Z15", scenarioZ15)
}

// scenarioZ12: scope omitted.
func scenarioZ12(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	ines, gustav := sc.logIn(t, "ines", "portal"), sc.logIn(t, "gustav", "portal")
	echoed := func(t *testing.T, a reply) []string {
		t.Helper()
		m := sc.active(t, portal, a.opaque(t).token())
		assert.Equal(t, a.body["scope"], m["scope"], "what is granted is what is echoed")
		return a.scope()
	}

	t.Run("the subject's", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess))
		assert.Equal(t, []string{"email", "profile", "read", "write"}, echoed(t, a),
			"openid and offline_access are off in the first rule (D23)")
		a = sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess), []string{"scope", ""})
		assert.Equal(t, []string{"email", "offline_access", "openid", "profile", "read", "write"},
			echoed(t, a), "never the actor's")
	})
	t.Run("of a narrower subject", func(t *testing.T) {
		narrow := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"scope", "write"}).opaque(t)
		assert.Equal(t, []string{"write"},
			echoed(t, sc.exchange(t, portal, about(narrow.token(), urnAccess))))
		assert.Equal(t, []string{"write"},
			echoed(t, sc.exchange(t, portal, about(narrow.token(), urnAccess),
				acting(ines.AccessToken, urnAccess))))
	})
	t.Run("the actor's, where the subject has none by nature", func(t *testing.T) {
		for _, subject := range [][]string{about("alice", urnUserID), about(alice.IDToken, urnID)} {
			a := sc.exchange(t, portal, subject, acting(ines.AccessToken, urnAccess))
			assert.Equal(t, []string{"offline_access", "openid", "profile", "read", "write"},
				echoed(t, a))
		}
		narrow := sc.exchange(t, portal, about(ines.AccessToken, urnAccess),
			[]string{"scope", "read"}).opaque(t)
		a := sc.exchange(t, portal, about("alice", urnUserID), acting(narrow.token(), urnAccess))
		assert.Equal(t, []string{"read"}, echoed(t, a))
	})
	t.Run("within what the user may hand on", func(t *testing.T) {
		require.Contains(t, wordsOf(sc.active(t, portal, gustav.AccessToken)["scope"].(string)),
			"users:read")
		a := sc.exchange(t, portal, about("sam", urnUserID), acting(gustav.AccessToken, urnAccess))
		assert.Equal(t, []string{"openid", "read", "write"}, echoed(t, a),
			"sam has neither users:read nor profile nor offline_access")
		a = sc.exchange(t, portal, about("adam", urnUserID), acting(gustav.AccessToken, urnAccess))
		assert.Contains(t, echoed(t, a), "users:read", "adam has it")
		sc.exchange(t, portal, about("sam", urnUserID), acting(gustav.AccessToken, urnAccess),
			[]string{"scope", "users:read"}).refused(t, tokenexchange.InvalidScope)
	})
	t.Run("a cut that leaves nothing", func(t *testing.T) {
		for _, scope := range []tokenexchange.Scope{nil, {}, {"else"}} {
			sc.changeUser("sam", func(u *world.User) { u.Scope = scope })
			sc.exchange(t, portal, about("sam", urnUserID),
				acting(ines.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidScope, "D20")
		}
	})
	t.Run("there was nothing", func(t *testing.T) {
		a := sc.exchange(t, portal, about(alice.IDToken, urnID)).opaque(t)
		assert.NotContains(t, a.body, "scope", "no actor token whose scope it could inherit (D20)")
		assert.NotContains(t, sc.active(t, portal, a.token()), "scope")
		// An empty scope cannot become more (D22).
		b := sc.exchange(t, portal, about(a.token(), urnAccess)).opaque(t)
		assert.NotContains(t, b.body, "scope")
		sc.exchange(t, portal, about(a.token(), urnAccess), []string{"scope", "read"}).refused(t,
			tokenexchange.InvalidScope)
	})
	t.Run("malformed", func(t *testing.T) {
		for _, scope := range []string{" ", "read  write", " read", "read ",
			"read\twrite", `"read"`, "réad", "read\nwrite"} {
			sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				[]string{"scope", scope}).refused(t, tokenexchange.InvalidScope)
		}
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			[]string{"scope", "READ"}).refused(t, tokenexchange.InvalidScope)
	})
}

// scenarioZ13: the untrusted aggregate API gets a token with less.
func scenarioZ13(t *testing.T) {
	sc := play(t)
	portal, api, other := sc.basic("portal"), sc.basic("aggregates-api"), sc.basic("settings-api")
	adam := sc.logIn(t, "adam", "portal")
	seen := func() []object {
		return []object{sc.active(t, portal, adam.AccessToken), sc.active(t, api, adam.AccessToken),
			sc.active(t, other, adam.AccessToken)}
	}
	before := seen()
	require.Equal(t, portalAudience, before[0]["aud"])
	require.Contains(t, wordsOf(before[0]["scope"].(string)), "users:read")

	a := sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
		[]string{"scope", "read", "audience", aggregates}).opaque(t)
	assert.Equal(t, "read", a.text("scope"))
	m := sc.active(t, api, a.token())
	assert.Equal(t, aggregates, m["aud"])
	assert.Equal(t, "read", m["scope"])
	assert.Equal(t, "adam", m["sub"])
	assert.Equal(t, "portal", m["client_id"])
	for name := range m {
		assert.Contains(t, []string{"active", "iss", "sub", "aud", "exp", "iat", "nbf",
			"jti", "client_id", "scope", "token_type", "auth_time", "acr"}, name,
			"no more than it needs")
	}
	assert.Equal(t, m, sc.active(t, portal, a.token()))

	t.Run("useless anywhere else", func(t *testing.T) {
		sc.inactive(t, other, a.token())
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, a.token()).status)
		assert.Equal(t, http.StatusOK, sc.call(t, adam.AccessToken).status)
	})
	t.Run("the old token is untouched", func(t *testing.T) {
		assert.Equal(t, before, seen())
	})
	t.Run("scope alone", func(t *testing.T) {
		b := sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
			[]string{"scope", "write"}).opaque(t)
		m := sc.active(t, other, b.token())
		assert.Equal(t, "write", m["scope"])
		assert.Equal(t, portalAudience, m["aud"])
		assert.Equal(t, http.StatusForbidden, sc.call(t, b.token()).status,
			"for the API, without its scope")
	})
	t.Run("audience alone", func(t *testing.T) {
		b := sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
			[]string{"audience", settings, "audience", aggregates}).opaque(t)
		m := sc.active(t, other, b.token())
		assert.Equal(t, []any{settings, aggregates}, m["aud"])
		assert.Equal(t, []string{"email", "profile", "read", "users:read", "write"},
			wordsOf(m["scope"].(string)))
	})
	t.Run("no way back", func(t *testing.T) {
		for _, scope := range []string{"write", "read write", "users:read", "openid"} {
			sc.exchange(t, portal, about(a.token(), urnAccess), []string{"scope", scope}).refused(t,
				tokenexchange.InvalidScope)
		}
		for _, target := range []string{settings, management, "portal", ledger} {
			sc.exchange(t, portal, about(a.token(), urnAccess),
				[]string{"audience", target}).refused(t, tokenexchange.InvalidTarget)
			sc.exchange(t, portal, about(a.token(), urnAccess),
				[]string{"audience", aggregates, "audience", target}).refused(t,
				tokenexchange.InvalidTarget)
		}
		b := sc.exchange(t, portal, about(a.token(), urnAccess)).opaque(t)
		m := sc.active(t, portal, b.token())
		assert.Equal(t, aggregates, m["aud"])
		assert.Equal(t, "read", m["scope"])
	})
	t.Run("the API cannot make more of it", func(t *testing.T) {
		sc.exchange(t, api, about(a.token(), urnAccess), []string{"audience", settings}).refused(t,
			tokenexchange.InvalidTarget)
		sc.exchange(t, api, about(a.token(), urnAccess), []string{"scope", "write"}).refused(t,
			tokenexchange.InvalidScope)
		b := sc.exchange(t, api, about(a.token(), urnAccess)).opaque(t)
		m := sc.active(t, sc.basic("bank-api"), b.token())
		assert.Equal(t, ledger, m["aud"])
		assert.Equal(t, "read", m["scope"])
		assert.Equal(t, "aggregates-api", inside(m, "act", "sub"))
	})
	t.Run("more than the old token", func(t *testing.T) {
		sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
			[]string{"scope", "transfer"}).refused(t, tokenexchange.InvalidScope)
		sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
			[]string{"audience", bank}).refused(t, tokenexchange.InvalidTarget)
	})
}

// scenarioZ14: the ceiling is the audiences of both tokens.
func scenarioZ14(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	reduced := func(user string, targets ...string) string {
		var part []string
		for _, target := range targets {
			part = append(part, "audience", target)
		}
		return sc.exchange(t, portal, about(sc.logIn(t, user, "portal").AccessToken, urnAccess),
			part).opaque(t).token()
	}
	subject := about(reduced("alice", aggregates, robots), urnAccess)
	ines := acting(reduced("ines", settings, robots), urnAccess)
	byName, idToken := about("alice", urnUserID), about(sc.logIn(t, "alice", "portal").IDToken,
		urnID)
	scope := []string{"scope", "read"}

	for _, row := range []struct {
		name    string
		subject []string
		asked   []string
		want    any // nil: invalid_target
	}{
		{"omitted", subject, nil, []any{aggregates, robots}},
		{"the subject's", subject, []string{aggregates}, aggregates},
		{"the actor's", subject, []string{settings}, settings},
		{"both", subject, []string{settings, aggregates}, []any{settings, aggregates}},
		{"all", subject, []string{aggregates, robots, settings},
			[]any{aggregates, robots, settings}},
		{"repeated", subject, []string{robots, robots, settings, robots}, []any{robots, settings}},
		{"of neither", subject, []string{management}, nil},
		{"one of neither", subject, []string{aggregates, management}, nil},
		{"unknown", subject, []string{"https://nowhere.example"}, nil},
		{"with a slash", subject, []string{aggregates + "/"}, nil},
		{"other case", subject, []string{"https://AGGREGATES.example"}, nil},
		{"the client", subject, []string{"portal"}, nil},
		{"by name, omitted", byName, nil, []any{settings, robots}},
		{"by name, the actor's", byName, []string{settings}, settings},
		{"by name, of the subject's other token", byName, []string{aggregates}, nil},
		{"ID token, omitted", idToken, nil, []any{settings, robots}},
		{"ID token, the actor's", idToken, []string{robots}, robots},
		{"ID token, the client", idToken, []string{"portal"}, nil},
		{"ID token, of neither", idToken, []string{aggregates}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var part []string
			for _, target := range row.asked {
				part = append(part, "audience", target)
			}
			a := sc.exchange(t, portal, row.subject, ines, scope, part)
			if row.want == nil {
				a.refused(t, tokenexchange.InvalidTarget, "D24")
				return
			}
			assert.Equal(t, row.want, sc.active(t, portal, a.opaque(t).token())["aud"])
		})
	}
	t.Run("a rule without the actor's", func(t *testing.T) {
		without := play(t, changing("rules", "portal-delegate",
			object{"delegate": object{"actor_audience": false}}))
		reduced := without.exchange(t, without.basic("portal"),
			about(without.logIn(t, "alice", "portal").AccessToken, urnAccess),
			[]string{"audience", aggregates}).opaque(t)
		ines := acting(without.logIn(t, "ines", "portal").AccessToken, urnAccess)
		without.exchange(t, without.basic("portal"), about(reduced.token(), urnAccess),
			ines).opaque(t)
		without.exchange(t, without.basic("portal"), about(reduced.token(), urnAccess), ines,
			[]string{"audience", settings}).refused(t, tokenexchange.InvalidTarget)
	})
}

// scenarioZ15: resource works (RFC 8707).
func scenarioZ15(t *testing.T) {
	sc := play(t, changing("clients", "portal",
		object{"token_audience": []string{aggregates, settings, "https://api.example/v1?tenant=a",
			management}}))
	portal := sc.basic("portal")
	alice := sc.logIn(t, "alice", "portal")
	ask := func(parts ...string) reply {
		return sc.exchange(t, portal, about(alice.AccessToken, urnAccess), parts)
	}
	for _, row := range []struct {
		name string
		part []string
		want any
	}{
		{"one", []string{"resource", settings}, settings},
		{"several", []string{"resource", settings, "resource", aggregates},
			[]any{settings, aggregates}},
		{"with a query", []string{"resource", "https://api.example/v1?tenant=a"},
			"https://api.example/v1?tenant=a"},
		{"after audiences", []string{"resource", settings, "audience", aggregates},
			[]any{aggregates, settings}},
		{"the same as an audience", []string{"resource", settings, "audience", settings}, settings},
		{"empty", []string{"resource", ""},
			[]any{aggregates, settings, "https://api.example/v1?tenant=a", management}},
		{"one empty", []string{"resource", "", "resource", settings}, settings},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want,
				sc.active(t, portal, ask(row.part...).opaque(t).token())["aud"])
		})
	}
	for _, resource := range []string{"https://nowhere.example", "settings", "/settings",
		"//settings.example", "https://settings.example#x", "https://settings.example#",
		"https://settings.example/", "https://settings.example:443", "https://api.example/v1",
		"https://api.example/v1?tenant=b", " " + settings, "%zz", "https://set tings.example"} {
		t.Run("refused "+resource, func(t *testing.T) {
			ask("resource", resource).refused(t, tokenexchange.InvalidTarget)
			ask("resource", settings, "resource", resource).refused(t, tokenexchange.InvalidTarget)
			ask("audience", settings, "resource", resource).refused(t, tokenexchange.InvalidTarget)
		})
	}
	t.Run("too many", func(t *testing.T) {
		targets := func(n int) (list []string) {
			for range n {
				list = append(list, "resource", settings)
			}
			return list
		}
		ask(targets(16)...).opaque(t)
		ask(targets(17)...).refused(t, tokenexchange.InvalidTarget)
		var many []string
		for i := range 17 {
			many = append(many, "audience", fmt.Sprint("https://", i, ".example"))
		}
		ask(slices.Concat(many, targets(1))...).refused(t, tokenexchange.InvalidTarget)
	})
	t.Run("of the actor too", func(t *testing.T) {
		ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
		a := sc.exchange(t, portal, about("alice", urnUserID), ines,
			[]string{"resource", settings, "scope", "read"}).opaque(t)
		assert.Equal(t, settings, sc.active(t, portal, a.token())["aud"])
		sc.exchange(t, portal, about("alice", urnUserID), ines,
			[]string{"resource", ledger, "scope", "read"}).refused(t, tokenexchange.InvalidTarget)
	})
}
