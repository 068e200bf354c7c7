package fositeexchange_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// withClaims returns the login with claims in its session.
func (l login) withClaims(pairs ...any) login {
	l.claims = map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		l.claims[pairs[i].(string)] = pairs[i+1]
	}
	return l
}

func (h *host) delegate(t testing.TB, subject, actor string, more ...string) reply {
	return h.ask(t, "helpdesk",
		append([]string{"subject_token", subject, "actor_token", actor}, more...)...)
}

// TestR08_RecordReplacesClaims checks that fields of the record replace claims of the session.
func TestR08_RecordReplacesClaims(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		lies := alice.withClaims("sub", "root", "client_id", "helpdesk", "aud",
			[]string{"helpdesk"}, "scope", "orders:read billing:read",
			"exp", time.Now().Add(time.Hour*9).Unix(), "iat", 1, "jti", "x", "scp",
			[]string{"billing:read"})
		lies.lifetime = 100 * time.Second
		token := h.logIn(t, lies)
		got := h.ask(t, "webapp", "subject_token", token)
		info := h.granted(t, got)
		require.Equal(t, "alice", info["sub"])
		require.Equal(t, "orders:read orders:write", info["scope"])
		require.Equal(t, []any{"https://orders.example", "https://billing.example"}, info["aud"])
		require.LessOrEqual(t, got.body["expires_in"], 100.0)
		h.refused(t, h.delegate(t, token, h.logIn(t, bob)), tokenexchange.InvalidRequest,
			"subject_token_other_client")

		// Claims of the session do not replace missing fields of the record.
		silent := login{user: "alice", client: "webapp"}.withClaims("aud", []string{"helpdesk"},
			"scope", "orders:read", "exp", time.Now().Add(time.Hour).Unix(), "sub", "alice")
		h.refused(t, h.delegate(t, h.logIn(t, silent), h.logIn(t, bob)),
			tokenexchange.InvalidRequest, "subject_token_other_client")
		// Fosite may accept an assertion (RFC 7523) without a client.
		clientless := h.logIn(t, silent.withClaims("client_id", "webapp"))
		signature := h.strategy.AccessTokenSignature(t.Context(), clientless)
		h.store.AccessTokens[signature].(*fosite.Request).Client = &fosite.DefaultClient{}
		h.refused(t, h.ask(t, "webapp", "subject_token", clientless), tokenexchange.InvalidRequest,
			"")
		require.Empty(t, h.last(t).Facts.Subject.Token.ClientID)
		silent.audience = []string{"https://orders.example"}
		h.refused(t,
			h.ask(t, "webapp", "subject_token", h.logIn(t, silent), "scope", "orders:read"),
			tokenexchange.InvalidScope, "scope_not_allowed")
		require.NotContains(t,
			h.granted(t, h.ask(t, "webapp", "subject_token", h.logIn(t, silent))), "scope")
		token = h.logIn(t, silent)
		h.stored(token).SetExpiresAt(fosite.AccessToken, time.Time{})
		h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
			"token_expired")
		token = h.logIn(t, silent)
		h.stored(token).(interface{ SetSubject(string) }).SetSubject("")
		h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
			"record_malformed")
	})
}

// stored returns the session of a token in the memory store.
func (h *host) stored(token string) fosite.Session {
	return h.store.AccessTokens[h.strategy.AccessTokenSignature(context.Background(),
		token)].GetSession()
}

// TestR08_MalformedRecords checks that a record with a malformed or contradictory claim is refused.
func TestR08_MalformedRecords(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		actor := h.logIn(t, bob)
		for name, claims := range map[string][]any{
			"R15: an actor without sub":      {"act", map[string]any{"iss": issuer}},
			"R15: an actor that is a string": {"act", "bob"},
			"R15: a prior actor without sub": {"act",
				map[string]any{"sub": "carol", "act": map[string]any{"sub": ""}}},
			"D18: act_as": {"act_as", map[string]any{"sub": "root"}},
			"D18: act_as beside act": {"act_as", map[string]any{"sub": "alice"}, "act",
				map[string]any{"sub": "carol"}},
			"D04: azp and client_id disagree": {"azp", "helpdesk"},
			"D30: cnf with another member":    {"cnf", map[string]any{"jwk": map[string]any{}}},
			"acr that is a number":            {"acr", 1},
		} {
			h.refused(t, h.delegate(t, h.logIn(t, aliceAtHelpdesk.withClaims(claims...)), actor),
				tokenexchange.InvalidRequest, "record_malformed")
			require.NotEmpty(t, name)
		}
		if format == opaque { // the iss of a JWT is that of its session
			h.refused(t,
				h.delegate(t,
					h.logIn(t, aliceAtHelpdesk.withClaims("iss", "https://other.example")), actor),
				tokenexchange.InvalidRequest, "record_malformed")
		}
		h.refused(t,
			h.delegate(t, h.logIn(t, aliceAtHelpdesk),
				h.logIn(t, bob.withClaims("act", map[string]any{"sub": "carol"}))),
			tokenexchange.InvalidRequest, "actor_token_has_act")
		h.refused(t,
			h.delegate(t,
				h.logIn(t, aliceAtHelpdesk.withClaims("cnf", map[string]any{"jkt": "a key"})),
				actor), tokenexchange.InvalidRequest, "subject_key_not_proved")
	})
}

// TestD19_SessionWithoutSubject checks that a session without a subject is refused, except for
// client credentials: such a token is always about the client.
func TestD19_SessionWithoutSubject(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		subjectless := h.logIn(t,
			login{user: "alice", client: "backend", scope: []string{"orders:read"}})
		for _, r := range h.store.AccessTokens {
			r.GetSession().(interface{ SetSubject(string) }).SetSubject("")
		}
		subject := h.logIn(t,
			login{user: "alice", client: "webapp", scope: []string{"orders:read"},
				audience: []string{"https://backend.example"}})
		act := func(actor string) reply {
			return h.ask(t, "backend", "subject_token", subject, "actor_token", actor, "audience",
				"https://orders.example")
		}
		h.refused(t, act(subjectless), tokenexchange.InvalidRequest, "record_malformed")
		// The host of these tests names another party in the session of this grant.
		machine := h.post(t, "/token", "backend",
			url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}})
		require.Equal(t, map[string]any{"iss": issuer, "sub": "backend", "client_id": "backend"},
			h.granted(t, act(machine.token()))["act"])
		require.Equal(t, tokenexchange.KindClient, h.last(t).Facts.Actor.Token.Kind)

		// The record has the kind of the subject, although a user may have the name of a client.
		for subject, kind := range map[string]tokenexchange.Kind{
			h.logIn(t,
				login{client: "webapp", scope: []string{"orders:read"},
					audience: []string{"https://orders.example"}}): tokenexchange.KindClient,
			h.logIn(t, alice): tokenexchange.KindUser,
		} {
			got := h.ask(t, "webapp", "subject_token", subject)
			h.granted(t, got)
			h.granted(t, h.ask(t, "webapp", "subject_token", got.token()))
			require.Equal(t, kind, h.last(t).Facts.Subject.Token.Kind)
		}
	})
}

// TestD17_ClaimsOfOtherTokensAreNotCopied checks that no further claims of the subject token, the
// actor token or fosite's access request get into the issued token.
func TestD17_ClaimsOfOtherTokensAreNotCopied(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		subject := h.logIn(t,
			aliceAtHelpdesk.withClaims("tenant", "alpha", "may_act", map[string]any{"sub": "bob"},
				"auth_time", 1700000000, "acr", "gold", "amr", []string{"pwd"}))
		actor := h.logIn(t,
			bob.withClaims("team", "support", "auth_time", 1600000000, "acr", "lead", "may_act",
				map[string]any{"sub": "x"}))
		got := h.delegate(t, subject, actor, "scope", "orders:read")
		info := h.granted(t, got)
		want := []string{"active", "iss", "sub", "client_id", "jti", "scope", "aud", "iat", "exp",
			"act", "auth_time", "acr", "amr"}
		for name := range info {
			require.Contains(t, append(want, "scp", "lineage"), name)
		}
		require.EqualValues(t, 1700000000, info["auth_time"], "the login of the subject")
		require.Equal(t, "gold", info["acr"])
		require.Equal(t, "orders:read", info["scope"])
		require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"},
			info["act"])
		require.Len(t, got.body, 5, "R11: there is no refresh token")
		require.NotContains(t, h.active(t, subject), "act", "the presented tokens are unchanged")
		require.NotContains(t, h.active(t, actor), "act")
		require.Equal(t, "alpha", h.active(t, subject)["tenant"])
		if format == jwtForm {
			info = claims(t, h.payload(t, got.token()))
			for name := range info {
				require.Contains(t, append(want[1:], "scp", "lineage"), name)
			}
			require.Equal(t, "orders:read", info["scope"],
				"R17: a string, in addition to fosite's scp")
		}
	})
}

// TestD17_StoredSessionsAreNotModified checks that an exchange does not modify the sessions of the
// memory store, which returns its own.
func TestD17_StoredSessionsAreNotModified(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		subject, actor := h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)
		before := map[string]fosite.Session{}
		for signature, r := range h.store.AccessTokens {
			before[signature] = r.GetSession().Clone()
		}
		h.granted(t, h.delegate(t, subject, actor))
		for signature, session := range before {
			require.Equal(t, session, h.store.AccessTokens[signature].GetSession())
		}
	})
}

// TestR17_JWTHeader checks that typ is at+jwt (RFC 9068), unless the session of NewSession has
// another.
func TestR17_JWTHeader(t *testing.T) {
	headerOf := func(token string) (header map[string]any) {
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &header))
		return header
	}
	h := newHost(t, jwtForm)
	got := h.ask(t, "webapp", "subject_token", h.logIn(t, alice))
	require.Equal(t, map[string]any{"alg": "ES256", "typ": "at+jwt"}, headerOf(got.token()))
	h = newHost(t, jwtForm, func(h *host) {
		h.exchange.NewSession = func() fosite.Session {
			return &oauth2.JWTSession{
				JWTHeader: &jwt.Headers{Extra: map[string]any{"kid": "7", "typ": "JWT"}}}
		}
	})
	got = h.ask(t, "webapp", "subject_token", h.logIn(t, alice))
	require.Equal(t, map[string]any{"alg": "ES256", "typ": "JWT", "kid": "7"},
		headerOf(got.token()))
}

// TestD12_UnknownMembersOfAChain checks that unknown members of a chain are copied.
func TestD12_UnknownMembersOfAChain(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		first := `{"sub":"carol","iss":"https://as.example","number":12345678901234567890,` +
			`"zone":{"b":1,"a":[null]}}`
		subject := h.logIn(t, aliceAtHelpdesk.withClaims("act", json.RawMessage(first)))
		got := h.delegate(t, subject, h.logIn(t, bob))
		want := `{"iss":"https://as.example","sub":"bob","client_id":"helpdesk","act":` + first +
			`}`
		require.Equal(t, want, string(mustMarshal(t, h.last(t).Decision.Actor)),
			"byte for byte, since the session is in memory")
		if format == jwtForm {
			require.Contains(t, string(h.payload(t, got.token())), `"act":`+want+`,`)
		}
		second := h.ask(t, "orders", "subject_token", got.token(), "audience",
			"https://billing.example")
		h.granted(t, second)
		require.JSONEq(t, want, string(mustMarshal(t, h.last(t).Decision.Actor.Prior)))
	})
}

// TestD12_StorageOfJSON checks that a session decoded from JSON loses the order of members and
// digits beyond a float64, as README.md states, and nothing else.
func TestD12_StorageOfJSON(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		first := `{"sub":"carol","iss":"https://as.example","number":12345678901234567890,` +
			`"zone":{"b":1,"a":[null]}}`
		got := h.delegate(t, h.logIn(t, aliceAtHelpdesk.withClaims("act", json.RawMessage(first))),
			h.logIn(t, bob))
		for signature, r := range h.store.AccessTokens {
			session := h.newSession()
			require.NoError(t, json.Unmarshal(mustMarshal(t, r.GetSession()), session))
			stored := *r.Sanitize([]string{
				"exchange_subject_kind", "exchange_origins"}).(*fosite.Request)
			stored.Session = session
			h.store.AccessTokens[signature] = &stored
		}
		h.granted(t,
			h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example"))
		require.NotContains(t, string(h.last(t).Decision.Actor.Prior.Raw), `{"sub":"carol","iss"`)
		require.JSONEq(t, `{"iss":"https://as.example","sub":"bob","client_id":"helpdesk",
			"act":{"sub":"carol","iss":"https://as.example","number":12345678901234567000,
				"zone":{"b":1,"a":[null]}}}`,
			string(mustMarshal(t, h.last(t).Decision.Actor.Prior)))
	})
}

func mustMarshal(t testing.TB, v any) []byte {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// TestD21_ScopesAreComparedLiterally checks that a ScopeStrategy of fosite does not widen the
// registered scope of a client.
func TestD21_ScopesAreComparedLiterally(t *testing.T) {
	for name, strategy := range map[string]fosite.ScopeStrategy{
		"wildcard": fosite.WildcardScopeStrategy, "hierarchic": fosite.HierarchicScopeStrategy} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, opaque, func(h *host) { h.config.ScopeStrategy = strategy })
			client := h.store.Clients["webapp"].(*fosite.DefaultClient)
			client.Scopes = []string{"*", "orders.*", "orders", "openid"}
			l := alice
			l.user, l.scope = "bob", []string{"orders.read", "*"}
			require.True(t, strategy(client.Scopes, "orders.read"))
			h.refused(t, h.ask(t, "webapp", "subject_token", h.logIn(t, l), "scope", "orders.read"),
				tokenexchange.InvalidScope, "scope_not_allowed")
			require.Equal(t, "*",
				h.granted(t, h.ask(t, "webapp", "subject_token", h.logIn(t, l)))["scope"],
				"a literal scope")
		})
	}
}

// TestD24_AudiencesOfClientsAreNotUsed checks that neither the registered audience of a client nor
// the AudienceMatchingStrategy of fosite matters.
func TestD24_AudiencesOfClientsAreNotUsed(t *testing.T) {
	h := newHost(t, opaque)
	token := h.logIn(t, alice)
	require.Contains(t, h.store.Clients["webapp"].GetAudience(), "https://gateway.example")
	for _, target := range []string{"https://gateway.example", "https://orders.example/",
		"https://orders.example/v1", "https://ORDERS.example"} {
		h.refused(t, h.ask(t, "webapp", "subject_token", token, "audience", target),
			tokenexchange.InvalidTarget, "target_not_allowed")
		h.refused(t,
			h.ask(t, "webapp", "subject_token", token, "audience", "https://orders.example",
				"resource", target), tokenexchange.InvalidTarget, "target_not_allowed")
	}
	require.NotContains(t, h.store.Clients["webapp"].GetAudience(), "https://billing.example")
	h.granted(t, h.ask(t, "webapp", "subject_token", token, "audience", "https://billing.example"))
}

// TestD25_Expiry checks that a session without expiry is refused. Fosite would use its configured
// lifespan.
func TestD25_Expiry(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		token := h.logIn(t, alice)
		for _, r := range h.store.AccessTokens {
			r.GetSession().SetExpiresAt(fosite.AccessToken, time.Time{})
		}
		require.NotNil(t, h.active(t, token), "fosite accepts it")
		h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest,
			"token_expired")

		subject := aliceAtHelpdesk
		subject.lifetime = 2 * time.Second
		got := h.delegate(t, h.logIn(t, subject), h.logIn(t, bob))
		h.granted(t, got)
		require.LessOrEqual(t, got.body["expires_in"], 2.0)
		require.Eventually(t, func() bool { return h.active(t, got.token()) == nil },
			10*time.Second, 50*time.Millisecond, "the storage has the same expiry")
		h.refused(t,
			h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example"),
			tokenexchange.InvalidRequest, "")
	})
}

// TestR07_TokenDeclaredAsAnotherKind checks tokens that are declared as another kind, since fosite
// signs access tokens and ID tokens with the same key.
func TestR07_TokenDeclaredAsAnotherKind(t *testing.T) {
	h := newHost(t, jwtForm)
	none := aliceAtHelpdesk
	none.scope = nil
	revoked := h.logIn(t, none)
	h.revoke(t, revoked)
	exchanged := h.delegate(t, h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)).token()
	for name, token := range map[string]string{"valid": h.logIn(t, aliceAtHelpdesk),
		"without scope": h.logIn(t, none), "revoked": revoked, "exchanged": exchanged} {
		for _, declared := range []string{"id_token", "jwt"} {
			if declared == "jwt" && name != "revoked" {
				continue // the declared type is right
			}
			reason := "access_token_as_other_type"
			if name == "revoked" {
				reason = "not_an_id_token"
			}
			got := h.delegate(t, token, h.logIn(t, bob), "subject_token_type", declared)
			h.refused(t, got, tokenexchange.InvalidRequest, reason)
		}
	}
	id := h.idToken(t, "helpdesk",
		jwt.IDTokenClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)})
	h.refused(t, h.delegate(t, id, h.logIn(t, bob)), tokenexchange.InvalidRequest, "token_unknown")
	h.granted(t, h.delegate(t, id, h.logIn(t, bob), "subject_token_type", "jwt"))
	require.Equal(t, tokenexchange.TypeIDToken, h.last(t).Facts.Subject.Token.Type)
	h.ended.Store("alice", true)
	// D29
	h.refused(t, h.delegate(t, id, h.logIn(t, bob), "subject_token_type", "id_token"),
		tokenexchange.InvalidRequest, "the session has ended")
}

// TestR08_OnlyTheStorageVerifiesAccessTokens checks that an access token is refused if the storage
// does not have it, even if the host's verifier accepts it.
func TestR08_OnlyTheStorageVerifiesAccessTokens(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format, func(h *host) {
			jwks, err := h.exchange.IDTokens.JWKS()
			require.NoError(t, err)
			lenient, err := tokenexchange.NewVerifier(
				tokenexchange.Trust{Issuer: issuer, JWKS: jwks, Live: h.live,
					Types: map[tokenexchange.TokenType]string{
						tokenexchange.TypeAccessToken: "at+jwt"}})
			require.NoError(t, err)
			h.exchange.Exchanger.Verify = tokenexchange.Verifiers{
				tokenexchange.TypeAccessToken: lenient.Verify,
				tokenexchange.TypeJWT:         lenient.Verify}
		})
		got := h.ask(t, "webapp", "subject_token", h.logIn(t, alice))
		h.granted(t, got)
		again := h.ask(t, "webapp", "subject_token", got.token(), "subject_token_type", "jwt")
		if format == opaque {
			h.refused(t, again, tokenexchange.InvalidRequest, "not_a_jwt")
		} else {
			h.granted(t, again)
		}
		h.revoke(t, got.token())
		unscoped := alice.withClaims("client_id", "webapp") // scp would show its kind
		unscoped.scope, unscoped.unscoped, unscoped.typ = nil, true, "at+jwt"
		login := h.logIn(t, unscoped)
		h.revoke(t, login)
		for _, token := range []string{got.token(), login} {
			for _, declared := range []string{"access_token", "jwt"} {
				got := h.ask(t, "webapp", "subject_token", token, "subject_token_type", declared)
				h.refused(t, got, tokenexchange.InvalidRequest, "")
			}
		}
	})
}

// TestD23_ScopesForFurtherTokens checks that no refresh token is issued, whatever a rule allows,
// and no ID token without IDTokens.
func TestD23_ScopesForFurtherTokens(t *testing.T) {
	h := newHost(t, opaque, func(h *host) {
		h.exchange.IDTokens = nil
		users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
		access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
		policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{Name: "generous",
			Impersonate: &tokenexchange.Impersonation{
				IDToken:         true,
				RefreshLifetime: time.Hour,
			},
			Clients: []string{"webapp"}, Subjects: users, SubjectTypes: access,
			Types:   append(access, tokenexchange.TypeIDToken),
			Targets: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"*"},
			Lifetime: time.Minute,
		})
		require.NoError(t, err)
		h.exchange.Exchanger.Decide = policy.Decide
		h.exchange.Exchanger.Authorizer = allowAll{}
	})
	h.store.Clients["webapp"].(*fosite.DefaultClient).Scopes = []string{"openid", "offline",
		"offline_access", "orders:read"}
	l := alice
	l.user, l.scope = "bob", []string{"openid", "offline", "offline_access", "orders:read"}
	token := h.logIn(t, l)
	got := h.ask(t, "webapp", "subject_token", token)
	require.Equal(t, http.StatusOK, got.status, got.text)
	require.Equal(t, "orders:read", got.body["scope"], "inherited scopes are dropped")
	require.NotContains(t, got.body, "refresh_token")
	require.NotContains(t, got.body, "id_token")
	require.Empty(t, h.store.RefreshTokens)
	for _, scope := range []string{"openid", "offline", "offline_access"} {
		h.refused(t, h.ask(t, "webapp", "subject_token", token, "scope", scope+" orders:read"),
			tokenexchange.InvalidScope, "scope_not_allowed")
	}
	h.refused(t, h.ask(t, "webapp", "subject_token", token, "requested_token_type", "id_token"),
		tokenexchange.InvalidRequest, "type_not_issued")
}

// TestD27_NoAuthTimeIsAdded checks that an ID token has no auth_time if the login is unknown.
// Fosite would write the time of the exchange.
func TestD27_NoAuthTimeIsAdded(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		l := aliceAtHelpdesk
		l.scope = []string{"openid", "orders:read"}
		got := h.delegate(t, h.logIn(t, l), h.logIn(t, bob), "scope", "openid orders:read")
		h.granted(t, got)
		id := claims(t, h.payload(t, got.body["id_token"].(string)))
		require.NotContains(t, id, "auth_time")
		require.Equal(t, "alice", id["sub"])
		require.Equal(t, "helpdesk", id["aud"])
		require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"},
			id["act"])
		plain := claims(t,
			h.payload(t,
				h.idToken(t, "helpdesk",
					jwt.IDTokenClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)})))
		require.Contains(t, plain, "auth_time", "fosite adds auth_time")
	})
}

// TestD30_ProvedKey checks that a bound token needs the proved key, and that the issued token is
// bound to it.
func TestD30_ProvedKey(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format, func(h *host) {
			h.exchange.Client = func(r *http.Request, _ fosite.Client,
				c *tokenexchange.Client) error {
				// stands for the check of a DPoP proof
				c.Confirmation.JKT = r.Header.Get("Proved-Key")
				return nil
			}
		})
		bound := aliceAtHelpdesk.withClaims("cnf", map[string]any{"jkt": "a key"})
		f := form("subject_token", h.logIn(t, bound), "actor_token", h.logIn(t, bob))
		for key, granted := range map[string]bool{"": false, "another key": false, "a key": true} {
			r := h.request(t, "/token", "helpdesk", f.Encode())
			r.Header.Set("Proved-Key", key)
			got := h.send(t, r)
			if !granted {
				h.refused(t, got, tokenexchange.InvalidRequest, "subject_key_not_proved")
				continue
			}
			require.Equal(t, map[string]any{"jkt": "a key"}, h.granted(t, got)["cnf"])
			require.Equal(t, "DPoP", got.body["token_type"])
		}
	})
}
