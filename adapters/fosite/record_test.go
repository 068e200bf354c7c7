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

// with returns the login with claims in its session.
func (l login) with(pairs ...any) login {
	l.claims = map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		l.claims[pairs[i].(string)] = pairs[i+1]
	}
	return l
}

func (h *host) delegate(t testing.TB, subject, actor string, more ...string) reply {
	return h.ask(t, "helpdesk", append([]string{"subject_token", subject, "actor_token", actor}, more...)...)
}

// TestR08_TheStorageHasTheLastWord: claims of a session that speak of what the storage knows count for nothing.
func TestR08_TheStorageHasTheLastWord(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		lies := alice.with("sub", "root", "client_id", "helpdesk", "aud", []string{"helpdesk"}, "scope", "orders:read billing:read",
			"exp", time.Now().Add(time.Hour*9).Unix(), "iat", 1, "jti", "x", "scp", []string{"billing:read"})
		lies.lifetime = 100 * time.Second
		token := h.logIn(t, lies)
		got := h.ask(t, "webapp", "subject_token", token)
		said := h.granted(t, got)
		require.Equal(t, "alice", said["sub"])
		require.Equal(t, "orders:read orders:write", said["scope"])
		require.Equal(t, []any{"https://orders.example", "https://billing.example"}, said["aud"])
		require.LessOrEqual(t, got.body["expires_in"], 100.0)
		h.refused(t, h.delegate(t, token, h.logIn(t, bob)), tokenexchange.InvalidRequest, "D04")

		// Where the storage knows of none there is none.
		silent := login{user: "alice", client: "webapp"}.with("aud", []string{"helpdesk"}, "scope", "orders:read", "exp", time.Now().Add(time.Hour).Unix(), "sub", "alice")
		h.refused(t, h.delegate(t, h.logIn(t, silent), h.logIn(t, bob)), tokenexchange.InvalidRequest, "D04")
		// Fosite may take an assertion (RFC 7523) without a client.
		clientless := h.logIn(t, silent.with("client_id", "webapp"))
		signature := h.strategy.AccessTokenSignature(t.Context(), clientless)
		h.store.AccessTokens[signature].(*fosite.Request).Client = &fosite.DefaultClient{}
		h.refused(t, h.ask(t, "webapp", "subject_token", clientless), tokenexchange.InvalidRequest,
			"")
		require.Empty(t, h.last(t).Facts.Subject.Token.ClientID)
		silent.audience = []string{"https://orders.example"}
		h.refused(t, h.ask(t, "webapp", "subject_token", h.logIn(t, silent), "scope", "orders:read"), tokenexchange.InvalidScope, "D21")
		require.NotContains(t, h.granted(t, h.ask(t, "webapp", "subject_token", h.logIn(t, silent))), "scope")
		token = h.logIn(t, silent)
		h.stored(token).SetExpiresAt(fosite.AccessToken, time.Time{})
		h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest, "D26")
		token = h.logIn(t, silent)
		h.stored(token).(interface{ SetSubject(string) }).SetSubject("")
		h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest, "R08")
	})
}

// stored is the session of a token, as it is in the memory store.
func (h *host) stored(token string) fosite.Session {
	return h.store.AccessTokens[h.strategy.AccessTokenSignature(context.Background(), token)].GetSession()
}

// TestR08_RecordsThatAreNoGood: what no reader may take for less than it says ends the exchange.
func TestR08_RecordsThatAreNoGood(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		actor := h.logIn(t, bob)
		for name, claims := range map[string][]any{
			"R15: an actor without sub":       {"act", map[string]any{"iss": issuer}},
			"R15: an actor that is a string":  {"act", "bob"},
			"R15: a prior actor without sub":  {"act", map[string]any{"sub": "carol", "act": map[string]any{"sub": ""}}},
			"D18: act_as":                     {"act_as", map[string]any{"sub": "root"}},
			"D18: act_as beside act":          {"act_as", map[string]any{"sub": "alice"}, "act", map[string]any{"sub": "carol"}},
			"D04: azp and client_id disagree": {"azp", "helpdesk"},
			"D30: cnf with another member":    {"cnf", map[string]any{"jwk": map[string]any{}}},
			"acr that is a number":            {"acr", 1},
		} {
			h.refused(t, h.delegate(t, h.logIn(t, aliceAtHelpdesk.with(claims...)), actor), tokenexchange.InvalidRequest, "R08")
			require.NotEmpty(t, name)
		}
		if format == opaque { // a JWT of fosite has the iss of its session, so its signature check is not what finds this
			h.refused(t, h.delegate(t, h.logIn(t, aliceAtHelpdesk.with("iss", "https://other.example")), actor), tokenexchange.InvalidRequest, "R08")
		}
		h.refused(t, h.delegate(t, h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob.with("act", map[string]any{"sub": "carol"}))), tokenexchange.InvalidRequest, "D14")
		h.refused(t, h.delegate(t, h.logIn(t, aliceAtHelpdesk.with("cnf", map[string]any{"jkt": "a key"})), actor), tokenexchange.InvalidRequest, "D30")
	})
}

// TestD19_ASessionWithoutSubject is nobody's, but for client credentials, which are about the client whatever it says.
func TestD19_ASessionWithoutSubject(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		nobody := h.logIn(t, login{user: "alice", client: "backend", scope: []string{"orders:read"}})
		for _, r := range h.store.AccessTokens {
			r.GetSession().(interface{ SetSubject(string) }).SetSubject("")
		}
		subject := h.logIn(t, login{user: "alice", client: "webapp", scope: []string{"orders:read"}, audience: []string{"https://backend.example"}})
		act := func(actor string) reply {
			return h.ask(t, "backend", "subject_token", subject, "actor_token", actor, "audience", "https://orders.example")
		}
		h.refused(t, act(nobody), tokenexchange.InvalidRequest, "R08")
		// A real grant, whose session the host of these tests fills in with somebody else.
		machine := h.post(t, "/token", "backend", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}})
		require.Equal(t, map[string]any{"iss": issuer, "sub": "backend", "client_id": "backend"}, h.granted(t, act(machine.token()))["act"])
		require.Equal(t, tokenexchange.KindClient, h.last(t).Facts.Actor.Token.Kind)

		// What kind of party an exchanged token is about is on record, for all that a user may have the name of a client.
		for subject, kind := range map[string]tokenexchange.Kind{
			h.logIn(t, login{client: "webapp", scope: []string{"orders:read"}, audience: []string{"https://orders.example"}}): tokenexchange.KindClient,
			h.logIn(t, alice): tokenexchange.KindUser,
		} {
			got := h.ask(t, "webapp", "subject_token", subject)
			h.granted(t, got)
			h.granted(t, h.ask(t, "webapp", "subject_token", got.token()))
			require.Equal(t, kind, h.last(t).Facts.Subject.Token.Kind)
		}
	})
}

// TestD17_NothingOfOneTokenReachesAnother: neither the claims of the subject token, nor those of the actor token, nor the
// session and the scopes of fosite's access request.
func TestD17_NothingOfOneTokenReachesAnother(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		subject := h.logIn(t, aliceAtHelpdesk.with("tenant", "alpha", "may_act", map[string]any{"sub": "bob"}, "auth_time", 1700000000, "acr", "gold", "amr", []string{"pwd"}))
		actor := h.logIn(t, bob.with("team", "support", "auth_time", 1600000000, "acr", "lead", "may_act", map[string]any{"sub": "x"}))
		got := h.delegate(t, subject, actor, "scope", "orders:read")
		said := h.granted(t, got)
		want := []string{"active", "iss", "sub", "client_id", "jti", "scope", "aud", "iat", "exp", "act", "auth_time", "acr", "amr"}
		for name := range said {
			require.Contains(t, append(want, "scp", "lineage"), name)
		}
		require.EqualValues(t, 1700000000, said["auth_time"], "the subject's login")
		require.Equal(t, "gold", said["acr"])
		require.Equal(t, "orders:read", said["scope"])
		require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"}, said["act"])
		require.Len(t, got.body, 5, "R11, and no refresh token")
		require.NotContains(t, h.says(t, subject), "act", "the tokens that were presented are as they were")
		require.NotContains(t, h.says(t, actor), "act")
		require.Equal(t, "alpha", h.says(t, subject)["tenant"])
		if format == jwtForm {
			said = claims(t, h.payload(t, got.token()))
			for name := range said {
				require.Contains(t, append(want[1:], "scp", "lineage"), name)
			}
			require.Equal(t, "orders:read", said["scope"], "R17: a string, beside fosite's list")
		}
	})
}

// TestD17_WhatIsStoredStaysAsItIs: the memory store hands out its own sessions, and reading one may change it.
func TestD17_WhatIsStoredStaysAsItIs(t *testing.T) {
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

// TestR17_JWTHeader: an access token says that it is one (RFC 9068), unless NewSession says something else.
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
			return &oauth2.JWTSession{JWTHeader: &jwt.Headers{Extra: map[string]any{"kid": "7", "typ": "JWT"}}}
		}
	})
	got = h.ask(t, "webapp", "subject_token", h.logIn(t, alice))
	require.Equal(t, map[string]any{"alg": "ES256", "typ": "JWT", "kid": "7"}, headerOf(got.token()))
}

// TestD12_AChainWithMembersThatNobodyKnows is handed on whole.
func TestD12_AChainWithMembersThatNobodyKnows(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		first := `{"sub":"carol","iss":"https://as.example","number":12345678901234567890,"zone":{"b":1,"a":[null]}}`
		subject := h.logIn(t, aliceAtHelpdesk.with("act", json.RawMessage(first)))
		got := h.delegate(t, subject, h.logIn(t, bob))
		want := `{"iss":"https://as.example","sub":"bob","client_id":"helpdesk","act":` + first + `}`
		require.Equal(t, want, string(mustMarshal(t, h.last(t).Decision.Actor)), "byte for byte, as long as it is in memory")
		if format == jwtForm {
			require.Contains(t, string(h.payload(t, got.token())), `"act":`+want+`,`)
		}
		second := h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example")
		h.granted(t, second)
		require.JSONEq(t, want, string(mustMarshal(t, h.last(t).Decision.Actor.Prior)))
	})
}

// TestD12_AStorageThatKeepsJSON: what is decoded into a map loses the order of members and the digits beyond a float64,
// which is what the doc comment says, and nothing else.
func TestD12_AStorageThatKeepsJSON(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		first := `{"sub":"carol","iss":"https://as.example","number":12345678901234567890,"zone":{"b":1,"a":[null]}}`
		got := h.delegate(t, h.logIn(t, aliceAtHelpdesk.with("act", json.RawMessage(first))), h.logIn(t, bob))
		for signature, r := range h.store.AccessTokens {
			session := h.newSession()
			require.NoError(t, json.Unmarshal(mustMarshal(t, r.GetSession()), session))
			stored := *r.Sanitize([]string{"exchange_subject_kind", "exchange_origins"}).(*fosite.Request)
			stored.Session = session
			h.store.AccessTokens[signature] = &stored
		}
		h.granted(t, h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example"))
		require.NotContains(t, string(h.last(t).Decision.Actor.Prior.Raw), `{"sub":"carol","iss"`)
		require.JSONEq(t, `{"iss":"https://as.example","sub":"bob","client_id":"helpdesk",
			"act":{"sub":"carol","iss":"https://as.example","number":12345678901234567000,"zone":{"b":1,"a":[null]}}}`,
			string(mustMarshal(t, h.last(t).Decision.Actor.Prior)))
	})
}

func mustMarshal(t testing.TB, v any) []byte {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// TestD21_ScopesOfClientsAreComparedAsTheyAre: fosite's strategies widen what a client is registered for.
func TestD21_ScopesOfClientsAreComparedAsTheyAre(t *testing.T) {
	for name, strategy := range map[string]fosite.ScopeStrategy{"wildcard": fosite.WildcardScopeStrategy, "hierarchic": fosite.HierarchicScopeStrategy} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, opaque, func(h *host) { h.config.ScopeStrategy = strategy })
			client := h.store.Clients["webapp"].(*fosite.DefaultClient)
			client.Scopes = []string{"*", "orders.*", "orders", "openid"}
			l := alice
			l.user, l.scope = "bob", []string{"orders.read", "*"}
			require.True(t, strategy(client.Scopes, "orders.read"))
			h.refused(t, h.ask(t, "webapp", "subject_token", h.logIn(t, l), "scope", "orders.read"), tokenexchange.InvalidScope, "D21")
			require.Equal(t, "*", h.granted(t, h.ask(t, "webapp", "subject_token", h.logIn(t, l)))["scope"], "a scope like any other")
		})
	}
}

// TestD24_AudiencesOfClientsMeanNothing: neither what a client may ask fosite for, nor fosite's way of matching it.
func TestD24_AudiencesOfClientsMeanNothing(t *testing.T) {
	h := newHost(t, opaque)
	token := h.logIn(t, alice)
	require.Contains(t, h.store.Clients["webapp"].GetAudience(), "https://gateway.example")
	for _, target := range []string{"https://gateway.example", "https://orders.example/", "https://orders.example/v1", "https://ORDERS.example"} {
		h.refused(t, h.ask(t, "webapp", "subject_token", token, "audience", target), tokenexchange.InvalidTarget, "D24")
		h.refused(t, h.ask(t, "webapp", "subject_token", token, "audience", "https://orders.example", "resource", target), tokenexchange.InvalidTarget, "D24")
	}
	require.NotContains(t, h.store.Clients["webapp"].GetAudience(), "https://billing.example")
	h.granted(t, h.ask(t, "webapp", "subject_token", token, "audience", "https://billing.example"))
}

// TestD25_Expiry: a session that says none would have fosite's lifespan, as long as that is.
func TestD25_Expiry(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		token := h.logIn(t, alice)
		for _, r := range h.store.AccessTokens {
			r.GetSession().SetExpiresAt(fosite.AccessToken, time.Time{})
		}
		require.NotNil(t, h.says(t, token), "fosite takes it")
		h.refused(t, h.ask(t, "webapp", "subject_token", token), tokenexchange.InvalidRequest, "D26")

		subject := aliceAtHelpdesk
		subject.lifetime = 2 * time.Second
		got := h.delegate(t, h.logIn(t, subject), h.logIn(t, bob))
		h.granted(t, got)
		require.LessOrEqual(t, got.body["expires_in"], 2.0)
		require.Eventually(t, func() bool { return h.says(t, got.token()) == nil }, 10*time.Second, 50*time.Millisecond, "the storage ends it too")
		h.refused(t, h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example"), tokenexchange.InvalidRequest, "")
	})
}

// TestR07_OneKindOfTokenForAnother: fosite signs access tokens and ID tokens alike.
func TestR07_OneKindOfTokenForAnother(t *testing.T) {
	h := newHost(t, jwtForm)
	none := aliceAtHelpdesk
	none.scope = nil
	revoked := h.logIn(t, none)
	h.revoke(t, revoked)
	exchanged := h.delegate(t, h.logIn(t, aliceAtHelpdesk), h.logIn(t, bob)).token()
	for name, token := range map[string]string{"good": h.logIn(t, aliceAtHelpdesk), "without scope": h.logIn(t, none), "revoked": revoked, "exchanged": exchanged} {
		for _, declared := range []string{"id_token", "jwt"} {
			if declared == "jwt" && name != "revoked" {
				continue // which it is
			}
			h.refused(t, h.delegate(t, token, h.logIn(t, bob), "subject_token_type", declared), tokenexchange.InvalidRequest, "R07")
		}
	}
	id := h.idToken(t, "helpdesk", jwt.IDTokenClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)})
	h.refused(t, h.delegate(t, id, h.logIn(t, bob)), tokenexchange.InvalidRequest, "D07")
	h.granted(t, h.delegate(t, id, h.logIn(t, bob), "subject_token_type", "jwt"))
	require.Equal(t, tokenexchange.TypeIDToken, h.last(t).Facts.Subject.Token.Type)
	h.ended.Store("alice", true)
	h.refused(t, h.delegate(t, id, h.logIn(t, bob), "subject_token_type", "id_token"), tokenexchange.InvalidRequest, "the session has ended") // D29
}

// TestR08_OnlyTheStorageVouchesForAccessTokens, whatever the host's own verifier says of one, and an opaque token is no JWT.
func TestR08_OnlyTheStorageVouchesForAccessTokens(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format, func(h *host) {
			jwks, err := h.exchange.IDTokens.JWKS()
			require.NoError(t, err)
			generous, err := tokenexchange.NewVerifier(tokenexchange.Trust{Issuer: issuer, JWKS: jwks, Live: h.live,
				Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: "at+jwt"}})
			require.NoError(t, err)
			h.exchange.Exchanger.Verify = tokenexchange.Verifiers{tokenexchange.TypeAccessToken: generous.Verify, tokenexchange.TypeJWT: generous.Verify}
		})
		got := h.ask(t, "webapp", "subject_token", h.logIn(t, alice))
		h.granted(t, got)
		again := h.ask(t, "webapp", "subject_token", got.token(), "subject_token_type", "jwt")
		if format == opaque {
			h.refused(t, again, tokenexchange.InvalidRequest, "R07: no JWT")
		} else {
			h.granted(t, again)
		}
		h.revoke(t, got.token())
		unscoped := alice.with("client_id", "webapp") // scp would give it away
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

// TestD23_ScopesThatAskForMoreTokens: no refresh token is made, whatever a rule says, and no ID token without IDTokens.
func TestD23_ScopesThatAskForMoreTokens(t *testing.T) {
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
			Types: append(access, tokenexchange.TypeIDToken), Targets: []string{"https://orders.example"}, Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute,
		})
		require.NoError(t, err)
		h.exchange.Exchanger.Decide = policy.Decide
		h.exchange.Exchanger.Authorizer = everybody{}
	})
	h.store.Clients["webapp"].(*fosite.DefaultClient).Scopes = []string{"openid", "offline", "offline_access", "orders:read"}
	l := alice
	l.user, l.scope = "bob", []string{"openid", "offline", "offline_access", "orders:read"}
	token := h.logIn(t, l)
	got := h.ask(t, "webapp", "subject_token", token)
	require.Equal(t, http.StatusOK, got.status, got.text)
	require.Equal(t, "orders:read", got.body["scope"], "left out where they are inherited")
	require.NotContains(t, got.body, "refresh_token")
	require.NotContains(t, got.body, "id_token")
	require.Empty(t, h.store.RefreshTokens)
	for _, scope := range []string{"openid", "offline", "offline_access"} {
		h.refused(t, h.ask(t, "webapp", "subject_token", token, "scope", scope+" orders:read"), tokenexchange.InvalidScope, "D2")
	}
	h.refused(t, h.ask(t, "webapp", "subject_token", token, "requested_token_type", "id_token"), tokenexchange.InvalidRequest, "R07")
}

// TestD27_NoAuthTimeIsInvented: fosite's own strategy would write the time of the exchange.
func TestD27_NoAuthTimeIsInvented(t *testing.T) {
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
		require.Equal(t, map[string]any{"iss": issuer, "sub": "bob", "client_id": "helpdesk"}, id["act"])
		plain := claims(t, h.payload(t, h.idToken(t, "helpdesk", jwt.IDTokenClaims{Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)})))
		require.Contains(t, plain, "auth_time", "which is what fosite does")
	})
}

// TestD30_AKeyThatWasProved in the request, as the host says, takes bound tokens and binds what is issued.
func TestD30_AKeyThatWasProved(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format, func(h *host) {
			h.exchange.Client = func(r *http.Request, registered fosite.Client, c *tokenexchange.Client) error {
				c.Confirmation.JKT = r.Header.Get("Proved-Key") // stands for the check of a DPoP proof
				return nil
			}
		})
		bound := aliceAtHelpdesk.with("cnf", map[string]any{"jkt": "a key"})
		f := form("subject_token", h.logIn(t, bound), "actor_token", h.logIn(t, bob))
		for key, granted := range map[string]bool{"": false, "another key": false, "a key": true} {
			r := h.request(t, "/token", "helpdesk", f.Encode())
			r.Header.Set("Proved-Key", key)
			got := h.send(t, r)
			if !granted {
				h.refused(t, got, tokenexchange.InvalidRequest, "D30")
				continue
			}
			require.Equal(t, map[string]any{"jkt": "a key"}, h.granted(t, got)["cnf"])
			require.Equal(t, "DPoP", got.body["token_type"])
		}
	})
}
