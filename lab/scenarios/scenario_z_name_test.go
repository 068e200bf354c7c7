package scenarios

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

func init() {
	scenario("Z04", scenarioZ04)
	scenario("Z05", scenarioZ05)
	scenario("Z18", scenarioZ18)
}

// scenarioZ04: a JWT that the client signed about a user, with an actor token only.
func scenarioZ04(t *testing.T) {
	sc := play(t, adding("rules", `{
		"name": "portal-by-another's-word", "clients": ["portal"],
		"delegate": {"actors": [{"kind": "user", "tenant": "*", "id": "*"}],
		"actor_types": ["`+urnAccess+`"],
			"issuers": ["robot"], "other_tokens": true, "other_actors": true},
		"subjects": [{"kind": "user", "tenant": "*", "id": "*"}],
		"subject_types": ["urn:example:token-type:client-assertion", "`+urnJWT+`", "`+urnID+`"],
		"types": ["`+urnAccess+`"],
		"targets": ["`+tools+`"], "default_targets": ["`+tools+`"], "scope": ["read"],
		"lifetime": "1m"}`))
	key := readPEM(t, "testdata/robot.pem")
	robot := sc.private(t, "robot", "testdata/robot.pem")
	ines := acting(sc.logIn(t, "ines", "robot").AccessToken, urnAccess)
	word := func(changes object) []string {
		now := sc.clock.Now()
		claims := object{"iss": "robot", "sub": "alice", "aud": sc.iss(),
			"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
		return about(mint(t, key, nil, with(claims, changes)), urnJWT)
	}

	t.Run("granted", func(t *testing.T) {
		a := sc.exchange(t, robot, word(nil), ines,
			[]string{"scope", "read", "requested_token_type", urnJWT}).jwt(t)
		c := sc.claims(t, a.token())
		assert.Equal(t, "alice", c["sub"])
		assert.Equal(t, tools, c["aud"], "its aud is no target (D24)")
		assert.Equal(t, "robot", c["client_id"])
		assert.Equal(t, "read", c["scope"])
		assert.Equal(t, object{"iss": sc.iss(), "sub": "ines", "client_id": "robot"}, c["act"])
		assert.Equal(t, json.Number("600"), a.body["expires_in"],
			"its exp limits its presenting only (D25)")
	})
	t.Run("scope omitted", func(t *testing.T) {
		a := sc.exchange(t, robot, word(nil), ines).opaque(t)
		assert.Equal(t, []string{"read", "write"}, a.scope(), "the actor's, within the rest (D20)")
	})
	t.Run("an audience of one", func(t *testing.T) {
		sc.exchange(t, robot, word(object{"aud": []string{sc.iss()}}), ines).opaque(t)
	})
	t.Run("its aud as a target", func(t *testing.T) {
		sc.exchange(t, robot, word(nil), ines, []string{"audience", sc.iss()}).refused(t,
			tokenexchange.InvalidTarget, "D24")
	})
	t.Run("without actor token", func(t *testing.T) {
		sc.exchange(t, robot, word(nil)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, robot, word(nil), []string{"scope", "read"}).refused(t,
			tokenexchange.InvalidRequest)
	})

	old := sc.clock.Now().Add(-time.Hour).Unix()
	for name, changes := range map[string]object{
		"no audience":           {"aud": nil},
		"for another server":    {"aud": "https://elsewhere.example"},
		"for the endpoint":      {"aud": sc.iss() + "/token"},
		"of another client":     {"iss": "portal"},
		"of the server":         {"iss": sc.iss()},
		"of a stranger":         {"iss": "https://robot.example"},
		"about the client":      {"sub": "robot"},
		"about another client":  {"sub": "portal"},
		"no subject":            {"sub": nil},
		"about a stranger":      {"sub": "nobody"},
		"about a locked user":   {"sub": "lola"},
		"about a disabled user": {"sub": "dora"},
		"about an admin":        {"sub": "adam"},
		"about another org":     {"sub": "carol"},
		"about the actor":       {"sub": "ines"},
		"expired":               {"iat": old, "exp": sc.clock.Now().Unix()},
		"without exp":           {"exp": nil},
		"not yet": {"nbf": sc.clock.Now().Add(10 * time.Minute).Unix(),
			"exp": sc.clock.Now().Add(time.Hour).Unix()},
		"with may_act": {"may_act": object{"sub": "ines"}},
		"with act":     {"act": object{"sub": "ines"}},
	} {
		t.Run(name, func(t *testing.T) {
			sc.exchange(t, robot, word(changes), ines).refused(t, tokenexchange.InvalidRequest)
		})
	}

	t.Run("another key", func(t *testing.T) {
		now := sc.clock.Now()
		claims := object{"iss": "robot", "sub": "alice", "aud": sc.iss(),
			"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
		for _, other := range []string{"testdata/partner.pem"} {
			sc.exchange(t, robot, about(mint(t, readPEM(t, other), nil, claims), urnJWT),
				ines).refused(t, tokenexchange.InvalidRequest)
		}
		sc.exchange(t, robot, about(mint(t, sc.options.Key, nil, claims), urnJWT), ines).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, robot, about(mint(t, key, nil, claims), urnJWT), ines).opaque(t)
	})
	t.Run("presented by another client", func(t *testing.T) {
		// No rule lifts it: a client's statement is for that client alone (D04).
		ines := acting(sc.logIn(t, "ines", "portal").AccessToken, urnAccess)
		sc.exchange(t, sc.basic("portal"), about(sc.logIn(t, "alice", "portal").IDToken, urnID),
			ines).opaque(t)
		sc.exchange(t, sc.basic("portal"), word(nil), ines).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, sc.basic("portal"), about(word(nil)[1], urnID), ines).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("as another type", func(t *testing.T) {
		token := word(nil)[1]
		for _, kind := range []string{urnID, urnAccess, urnUserID} {
			sc.exchange(t, robot, about(token, kind), ines).refused(t, tokenexchange.InvalidRequest)
		}
	})
	t.Run("as actor token", func(t *testing.T) {
		alice := sc.logIn(t, "alice", "robot").AccessToken
		ines := word(object{"sub": "ines"})[1]
		sc.exchange(t, robot, about(alice, urnAccess), acting(ines, urnJWT)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, robot, word(nil), acting(ines, urnJWT)).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("the client's own token as actor", func(t *testing.T) {
		own := sc.own(t, robot)
		require.Equal(t, http.StatusOK, own.status, own.raw)
		sc.exchange(t, robot, word(nil), acting(own.token(), urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
	})
}

// scenarioZ05: a user id as subject, with an actor token only.
func scenarioZ05(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	token := sc.logIn(t, "ines", "portal").AccessToken
	ines := acting(token, urnAccess)
	read := []string{"scope", "read"}

	t.Run("granted", func(t *testing.T) {
		a := sc.exchange(t, portal, about("alice", urnUserID), ines, read).opaque(t)
		m := sc.active(t, portal, a.token())
		assert.Equal(t, "alice", m["sub"])
		assert.Equal(t, object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"}, m["act"])
		assert.Equal(t, "read", m["scope"])
		assert.Equal(t, portalAudience, m["aud"])
	})
	t.Run("without actor token", func(t *testing.T) {
		sc.exchange(t, portal, about("alice", urnUserID), read).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, portal, about("ines", urnUserID), read).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, portal, about("alice", urnUserID),
			[]string{"actor_token", "", "actor_token_type", ""}, read).refused(t,
			tokenexchange.InvalidRequest)
	})
	t.Run("unknown and forbidden look alike", func(t *testing.T) {
		want := sc.exchange(t, portal, about("nobody", urnUserID), ines, read).refused(t,
			tokenexchange.InvalidRequest)
		for _, id := range []string{"adam", "carol", "gina", "gustav", "lola", "dora",
			"ines", "Alice", "alice ", "portal", "robot", sc.iss()} {
			for _, more := range [][]string{read,
				{"scope", "read", "audience", "https://nowhere.example"}, {"scope", "nothing"}} {
				a := sc.exchange(t, portal, about(id, urnUserID), ines, more).refused(t,
					tokenexchange.InvalidRequest)
				assert.Equal(t, want.raw, a.raw, "%s %s", id, more)
				for _, name := range []string{"Date", "Content-Length"} {
					a.header.Del(name)
					want.header.Del(name)
				}
				assert.Equal(t, want.header, a.header, id)
			}
		}
	})
	t.Run("a token in the place of a name is not on record", func(t *testing.T) { // I08
		bob := sc.logIn(t, "bob", "portal")
		for _, secret := range []string{bob.AccessToken, bob.RefreshToken, bob.JWT} {
			sc.exchange(t, portal, about(secret, urnUserID), ines, read).refused(t,
				tokenexchange.InvalidRequest)
			lines := sc.audit.all()
			assert.False(t, strings.Contains(lines[len(lines)-1], secret),
				"a live token is in the audit log")
		}
	})
	t.Run("a client that no rule names", func(t *testing.T) {
		for _, client := range []string{"service", "robot"} {
			as := sc.private(t, "robot", "testdata/robot.pem")
			if client == "service" {
				as = sc.basic(client)
			}
			own := acting(sc.logIn(t, "ines", client).AccessToken, urnAccess)
			sc.exchange(t, as, about("alice", urnUserID), own, read).refused(t,
				tokenexchange.InvalidRequest)
		}
	})
	t.Run("as actor, or asked for", func(t *testing.T) {
		alice := sc.logIn(t, "alice", "portal").AccessToken
		sc.exchange(t, portal, about(alice, urnAccess), acting("ines", urnUserID)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, portal, about("alice", urnUserID), acting("ines", urnUserID)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, portal, about("alice", urnUserID), ines,
			[]string{"requested_token_type", urnUserID}).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("a URN that the host chooses", func(t *testing.T) {
		const urn = "urn:acme:person"
		types := object{"subject_types": []string{urn}}
		other := play(t, setting("user_id_token_type", urn),
			changing("rules", "portal-delegate-by-name", types),
			changing("rules", "portal-delegate-by-name-and-id-token", types),
			changing("rules", "console-delegate-by-name", types))
		ines := acting(other.logIn(t, "ines", "portal").AccessToken, urnAccess)
		other.exchange(t, other.basic("portal"), about("alice", urn), ines, read).opaque(t)
		other.exchange(t, other.basic("portal"), about("alice", urnUserID), ines, read).refused(t,
			tokenexchange.InvalidRequest)
	})
}

// scenarioZ18: impersonation by user id. Audience from the actor's token, scope from the request.
func scenarioZ18(t *testing.T) {
	sc := play(t)
	portal := sc.basic("portal")
	login := sc.logIn(t, "ines", "portal")
	narrow := sc.exchange(t, portal, about(login.AccessToken, urnAccess),
		[]string{"audience", settings, "audience", aggregates, "scope", "read"}).opaque(t)

	t.Run("audience of the actor", func(t *testing.T) {
		a := sc.exchange(t, portal, about("alice", urnUserID), acting(narrow.token(), urnAccess),
			[]string{"requested_token_type", urnJWT, "scope", "openid profile email write"}).jwt(t)
		c := sc.claims(t, a.token())
		assert.Equal(t, "alice", c["sub"])
		assert.Equal(t, []any{settings, aggregates}, c["aud"])
		assert.Equal(t, "portal", c["client_id"])
		assert.Equal(t, []string{"email", "openid", "profile", "write"},
			wordsOf(c["scope"].(string)), "from the request, beyond the actor's")
		assert.Equal(t, []string{"email", "openid", "profile", "write"}, a.scope())
		act := object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"}
		assert.Equal(t, act, c["act"])

		id := sc.idClaims(t, a.text("id_token"), "portal")
		assert.Equal(t, "alice", id["sub"])
		assert.Equal(t, act, id["act"])
		assert.Equal(t, "Alice Archer", id["name"])
		assert.Equal(t, "alice@acme.example", id["email"])
		assert.NotContains(t, id,
			"auth_time", "alice has not logged in, and ines' login is not hers (D27)")

		m := sc.active(t, portal, a.token())
		assert.Equal(t, act, m["act"])
		assert.Equal(t, "alice", m["sub"])
		assert.NotContains(t, m, "auth_time")
	})
	t.Run("less of it", func(t *testing.T) {
		a := sc.exchange(t, portal, about("alice", urnUserID), acting(narrow.token(), urnAccess),
			[]string{"scope", "read", "audience", settings}).opaque(t)
		assert.Equal(t, settings, sc.active(t, portal, a.token())["aud"])
	})
	t.Run("never more", func(t *testing.T) {
		ask := func(more ...string) reply {
			return sc.exchange(t, portal, about("alice", urnUserID),
				acting(narrow.token(), urnAccess), more)
		}
		ask("scope", "read", "audience", management).refused(t, tokenexchange.InvalidTarget)
		ask("scope", "users:read").refused(t, tokenexchange.InvalidScope)
		ask("scope", "read act_as:alice").refused(t, tokenexchange.InvalidScope)
	})
	t.Run("no longer than the actor's token", func(t *testing.T) {
		sc.wait(50 * time.Minute)
		a := sc.exchange(t, portal, about("alice", urnUserID), acting(login.AccessToken, urnAccess),
			[]string{"scope", "read"}).opaque(t)
		assert.Equal(t, json.Number("600"), a.body["expires_in"], "D25")
	})
	t.Run("an actor who may not", func(t *testing.T) {
		bob := sc.logIn(t, "bob", "portal").AccessToken
		a := sc.exchange(t, portal, about("alice", urnUserID), acting(bob, urnAccess),
			[]string{"scope", "read"}).refused(t, tokenexchange.InvalidRequest, "D11")
		assert.Equal(t, "alice", inside(a.event(t), "subject", "id"))
		assert.Equal(t, "bob", inside(a.event(t), "actor", "id"))
	})
}
