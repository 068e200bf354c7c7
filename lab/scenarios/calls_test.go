package scenarios

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

const userID tokenexchange.TokenType = "urn:zitadel:params:oauth:token-type:user_id"

// The calls of a developer who knows only the line of -demo and the RFC.
func TestObviousCalls(t *testing.T) {
	r := start(t, demo(t))
	end, imp, admin := r.login("alice", "portal"), r.login("ines", "portal"), r.login("adam",
		"portal")
	access, jwt := tokenexchange.TypeAccessToken, tokenexchange.TypeJWT
	id := tokenexchange.TypeIDToken
	good := func(a answer) answer {
		t.Helper()
		require.Equal(t, http.StatusOK, a.status, "%v %v", a.body, r.last())
		return a
	}
	bad := func(a answer, code string) {
		t.Helper()
		require.Equal(t, http.StatusBadRequest, a.status, "%v", a.body)
		require.Equal(t, code, a.code())
	}
	by := actor(imp.AccessToken, access)

	t.Run("narrow", func(t *testing.T) {
		a := good(r.exchange("portal", end.AccessToken, access, "scope", "read",
			"audience", "https://aggregates.example"))
		got := r.introspect("portal", a.text("access_token"))
		require.Equal(t, "https://aggregates.example", got["aud"])
		require.Equal(t, "read", got["scope"])
		require.NotContains(t, got, "act")
		require.Equal(t, "portal-narrow", r.last()["rule"])
		require.Equal(t, true, r.introspect("aggregates-api", a.text("access_token"))["active"])
		require.Equal(t, map[string]any{"active": false},
			r.introspect("settings-api", a.text("access_token")))
		bad(r.exchange("portal", end.AccessToken, access, "audience", "https://elsewhere.example"),
			"invalid_target")
		bad(r.exchange("portal", end.AccessToken, access, "scope", "transfer"), "invalid_scope")
		bad(r.exchange("service", end.AccessToken, access), "invalid_request")
		bad(r.exchange("spa", end.AccessToken, access), "unauthorized_client")
		bad(r.exchange("portal", end.AccessToken[:20], access), "invalid_request")
		bad(r.exchange("portal", end.RefreshToken, tokenexchange.TypeRefreshToken),
			"invalid_request")
	})
	t.Run("formats", func(t *testing.T) {
		for _, subject := range []struct {
			token string
			kind  tokenexchange.TokenType
		}{{end.AccessToken, access}, {end.JWT, access}, {end.JWT, jwt}, {end.IDToken,
			id}, {end.IDToken, jwt}} {
			for _, want := range []tokenexchange.TokenType{access, jwt, id} {
				a := good(r.exchange("portal", subject.token, subject.kind, "requested_token_type",
					string(want)))
				require.Equal(t, string(want), a.text("issued_token_type"))
				if want == id {
					require.Equal(t, "N_A", a.text("token_type"))
				}
			}
		}
	})
	t.Run("delegate", func(t *testing.T) {
		a := good(r.exchange("portal", end.AccessToken, access, by...))
		require.Equal(t, map[string]any{"iss": r.Issuer, "sub": "ines", "client_id": "portal"},
			r.introspect("portal", a.text("access_token"))["act"])
		a = good(r.exchange("portal", end.IDToken, id,
			append(actor(imp.IDToken, id), "scope", "openid profile read")...))
		about := claims(t, a.text("id_token"))
		require.Equal(t, "Alice Archer", about["name"])
		require.Contains(t, about, "act")
		bad(r.exchange("portal", admin.AccessToken, access, by...), "invalid_request")
		bad(r.exchange("portal", end.AccessToken, access, actor(admin.AccessToken, access)...),
			"invalid_request")
	})
	t.Run("user id", func(t *testing.T) {
		a := good(r.exchange("portal", "alice", userID, by...))
		require.Equal(t, "alice", r.introspect("portal", a.text("access_token"))["sub"])
		good(r.exchange("portal", "alice",
			userID, append(actor(imp.IDToken, id), "scope", "read")...))
		bad(r.exchange("portal", "alice", userID), "invalid_request")
		for _, nobody := range []string{"zoe", "carol", "adam", "lola", "dora", "service",
			"portal", "ines"} {
			bad(r.exchange("portal", nobody, userID, by...), "invalid_request")
		}
	})
	t.Run("refresh", func(t *testing.T) {
		a := good(r.exchange("portal", end.AccessToken, access,
			append(by, "scope", "openid offline_access read")...))
		b := good(r.as("portal", pathToken,
			form("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"))))
		require.Contains(t, r.introspect("portal", b.text("access_token")), "act")
		require.NotEmpty(t, b.text("refresh_token"))
		own := good(r.as("portal", pathToken,
			form("grant_type", "refresh_token", "refresh_token", end.RefreshToken)))
		require.Equal(t, "alice", r.introspect("portal", own.text("access_token"))["sub"])
		r.Directory.ChangeUser("ines", func(u *world.User) { u.Roles = nil })
		bad(r.as("portal", pathToken, form("grant_type", "refresh_token",
			"refresh_token", b.text("refresh_token"))), "invalid_grant")
	})
}

// The tokens of a session end with it, exchanged or not.
func TestLogOut(t *testing.T) {
	r := start(t, demo(t))
	end := r.login("alice", "portal")
	made := r.exchange("portal", end.JWT, tokenexchange.TypeJWT,
		"scope", "read").text("access_token")
	for _, token := range []string{end.AccessToken, end.JWT, end.RefreshToken, made} {
		require.Equal(t, true, r.introspect("portal", token)["active"])
	}
	require.NoError(t, r.LogOut(t.Context(), end.Session))
	for _, token := range []string{end.AccessToken, end.JWT, end.RefreshToken, made} {
		require.Equal(t, map[string]any{"active": false}, r.introspect("portal", token))
	}
	a := r.exchange("portal", end.IDToken, tokenexchange.TypeIDToken)
	require.Equal(t, "invalid_request", a.code())
}

// may_act names the client that may impersonate, and the actor that it may delegate to.
func TestServiceCalls(t *testing.T) {
	r := start(t, demo(t))
	alice, sam, mine := r.login("alice", "customer"), r.login("sam", "customer"), r.login("sam",
		"service")
	access, id := tokenexchange.TypeAccessToken, tokenexchange.TypeIDToken
	require.Equal(t, map[string]any{"client_id": "service", "sub": "sam"},
		r.introspect("customer", alice.AccessToken)["may_act"])
	require.Equal(t, map[string]any{"client_id": "service", "sub": "sam"},
		claims(t, alice.IDToken)["may_act"])

	a := r.exchange("service", alice.AccessToken, access, "scope", "read write transfer")
	require.Equal(t, "read write transfer", a.text("scope"), "%v", a.body)
	got := r.introspect("bank-api", a.text("access_token"))
	require.NotContains(t, got, "act")
	require.Equal(t, map[string]any{"iss": r.Issuer, "client_id": "service", "sub": "sam"},
		got["may_act"], "carried: no actor has acted")

	a = r.exchange("service", alice.IDToken, id,
		append(actor(sam.IDToken, id), "scope", "read transfer")...)
	got = r.introspect("bank-api", a.text("access_token"))
	require.Equal(t, "sam", got["act"].(map[string]any)["sub"], "%v", a.body)
	require.Equal(t, map[string]any{"client_id": "service", "sub": "sam"}, got["may_act"],
		"the world says so by rule")

	for _, refused := range []answer{
		r.exchange("portal", alice.AccessToken, access),
		r.exchange("service", alice.AccessToken, access, actor(alice.AccessToken, access)...),
		r.exchange("service", mine.AccessToken, access, actor(sam.AccessToken, access)...),
	} {
		require.Equal(t, "invalid_request", refused.code(), "%v", refused.body)
	}
}

// A robot authenticates with a key, gets a token of its own, acts for a user whose token was sent
// to it, and may name a user if an actor with the role is present.
func TestRobotCalls(t *testing.T) {
	r := start(t, demo(t))
	end, imp := r.login("alice", "portal"), r.login("ines", "robot")
	access := string(tokenexchange.TypeAccessToken)
	own := r.asRobot(pathToken, form("grant_type", "client_credentials")).text("access_token")
	sent := r.exchange("portal", end.AccessToken, tokenexchange.TypeAccessToken,
		"audience", "https://robot.example", "scope", "read")
	a := r.asRobot(pathToken, form("grant_type", tokenexchange.GrantType, "subject_token",
		sent.text("access_token"), "subject_token_type", access,
		"actor_token", own, "actor_token_type", access))
	require.Equal(t, http.StatusOK, a.status, "%v", r.last())
	require.Equal(t, map[string]any{"iss": r.Issuer, "sub": "robot", "client_id": "robot"},
		r.tokenOf(a).act)

	word := r.assertion(testKey(t, "robot"), "robot-1", "robot", "alice", nil)
	request := form("grant_type", tokenexchange.GrantType, "subject_token", word,
		"subject_token_type", string(tokenexchange.TypeJWT))
	require.Equal(t, "invalid_request", r.asRobot(pathToken, request).code(), "without an actor")
	request.Set("actor_token", imp.AccessToken)
	request.Set("actor_token_type", access)
	a = r.asRobot(pathToken, request)
	require.Equal(t, http.StatusOK, a.status, "%v", r.last())
	require.Equal(t, "alice", r.tokenOf(a).sub)
	for _, wrong := range []map[string]any{{"aud": []string{r.Issuer, "x"}}, {"iss": "portal"},
		{"sub": "robot"}, {"sub": "adam"}, {"exp": 1}} {
		request.Set("subject_token",
			r.assertion(testKey(t, "robot"), "robot-1", "robot", "alice", wrong))
		require.Equal(t, "invalid_request", r.asRobot(pathToken, request).code(), "%v", wrong)
	}
	request.Set("subject_token", word)
	request.Set("subject_token_type", string(tokenexchange.TypeIDToken))
	require.Equal(t, "invalid_request",
		r.asRobot(pathToken, request).code(), "declared as an ID token")
}

// seen is the result of introspection, for a client without a secret.
type seen struct {
	sub string
	act map[string]any
}

func (r *running) tokenOf(a answer) seen {
	got := r.asRobot(pathIntrospect, form("token", a.text("access_token"))).body
	sub, _ := got["sub"].(string)
	act, _ := got["act"].(map[string]any)
	return seen{sub, act}
}

// A service adds itself as actor to the token that it received. A public client that a rule names
// can narrow a token and nothing else.
func TestDownstreamAndPublic(t *testing.T) {
	r := start(t, demo(t))
	end, mobile := r.login("alice", "portal"), r.login("alice", "mobile")
	access := tokenexchange.TypeAccessToken
	a := r.exchange("aggregates-api", end.AccessToken, access)
	require.Equal(t, "aggregates-api", r.introspect("bank-api",
		a.text("access_token"))["act"].(map[string]any)["sub"], "%v", a.body)
	a = r.exchange("mobile", mobile.AccessToken, access, "scope", "read")
	require.Equal(t, http.StatusOK, a.status, "%v", a.body)
	require.Equal(t, "invalid_scope",
		r.exchange("mobile", mobile.AccessToken, access, "scope", "openid").code())
	require.Equal(t, "invalid_request", r.exchange("mobile", end.AccessToken, access).code())
	require.Equal(t, http.StatusOK,
		r.as("mobile", pathRevoke, form("token", mobile.AccessToken)).status)
	require.Equal(t, "unauthorized_client",
		r.as("mobile", pathIntrospect, form("token", mobile.AccessToken)).code())
}

// A token of a linked account at another issuer gets what the world allows.
func TestPartner(t *testing.T) {
	r := start(t, demo(t))
	key, now := testKey(t, "partner"), time.Now().Unix()
	token := func(sub, aud string) string {
		return sign(t, key, "partner-1", "at+jwt",
			map[string]any{"iss": "https://idp.partner.example", "sub": sub, "aud": aud,
				"iat": now, "exp": now + 60, "scope": "orders.read orders.write",
				"client_id": "portal"})
	}
	a := r.exchange("portal", token("p-4711", "https://as.acme.example"), tokenexchange.TypeJWT)
	require.Equal(t, http.StatusOK, a.status, "%v", r.last())
	require.Equal(t, "read", a.text("scope"))
	require.Equal(t, "bob", r.introspect("portal", a.text("access_token"))["sub"])
	for _, refused := range []answer{
		r.exchange("portal", token("p-4712", "https://as.acme.example"), tokenexchange.TypeJWT),
		r.exchange("portal", token("bob", "https://as.acme.example"), tokenexchange.TypeJWT),
		r.exchange("portal", token("p-4711", "https://other.example"), tokenexchange.TypeJWT),
		r.exchange("service", token("p-4711", "https://as.acme.example"), tokenexchange.TypeJWT),
	} {
		require.Equal(t, "invalid_request", refused.code())
	}
}
