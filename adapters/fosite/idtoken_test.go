package fositeexchange_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/token/jwt"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

const typeTicket tokenexchange.TokenType = "urn:example:ticket"

// generous is a verifier of the host's that takes any JWT with the server's signature for what it
// was declared as.
func (h *host) generous(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token,
	error) {
	if _, err := h.strategy.Signer.Validate(ctx, c.Token); err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: %w", tokenexchange.InvalidRequest, err)
	}
	decoded, err := h.strategy.Signer.Decode(ctx, c.Token)
	if err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: %w", tokenexchange.InvalidRequest, err)
	}
	payload, err := json.Marshal(decoded.Claims)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	found, err := tokenexchange.ParseToken(payload)
	if err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: %w", tokenexchange.InvalidRequest, err)
	}
	found.Type, found.Scope = c.Type, nil
	if c.Type == tokenexchange.TypeJWT {
		found.Type = tokenexchange.TypeIDToken
	}
	return found, nil
}

// TestR07_AnAccessTokenIsNoIDToken, whatever its header and claims, whether the storage still has
// it or not, and however
// generous the host's own verifier is.
func TestR07_AnAccessTokenIsNoIDToken(t *testing.T) {
	verifiers(t, jwtForm, func(t *testing.T, h *host) {
		tokens := map[string]string{}
		scopes := map[string]bool{"": true, "none": false, "orders:read": false}
		extras := []map[string]any{nil, {"auth_time": 1700000000, "acr": "gold"},
			{"client_id": "webapp"}, {"nonce": ""}, {"at_hash": 1}}
		for _, typ := range []string{"", "JWT", "at+jwt", "jwt", "application/at+jwt"} {
			for _, audience := range [][]string{{"helpdesk"}, {"helpdesk", "webapp"}} {
				for scope, unscoped := range scopes {
					for _, extra := range extras {
						l := login{user: "alice", client: "webapp", audience: audience,
							claims: maps.Clone(extra), typ: typ, unscoped: unscoped}
						if scope == "orders:read" {
							l.scope = []string{scope}
						}
						tokens[fmt.Sprintf("typ %q, aud %v, scope %q, %v", typ, audience,
							scope, extra)] = h.logIn(t, l)
					}
				}
			}
		}
		for _, typ := range []string{"at+jwt", "JWT"} {
			h.exchange.NewSession = func() fosite.Session {
				s := h.newSession()
				s.(interface{ GetJWTHeader() *jwt.Headers }).GetJWTHeader().Add("typ", typ)
				return s
			}
			h.serve(t)
			unscoped := aliceAtHelpdesk
			unscoped.scope, unscoped.audience = nil, []string{"helpdesk"}
			tokens["exchanged, typ "+typ] = h.ask(t, "webapp", "subject_token", h.logIn(t,
				unscoped)).token()
		}
		bobs := h.logIn(t, bob)
		present := func(token, declared string) reply {
			return h.delegate(t, token, bobs, "subject_token_type", declared)
		}
		for name, token := range tokens {
			h.refused(t, present(token, "id_token"), tokenexchange.InvalidRequest, "R07")
			got := h.ask(t, "helpdesk", "subject_token", bobs, "actor_token", token,
				"actor_token_type", "id_token")
			h.refused(t, got, tokenexchange.InvalidRequest, "R07")
			h.granted(t, present(token, "jwt"))
			require.Equal(t, tokenexchange.TypeAccessToken,
				h.last(t).Facts.Subject.Token.Type, name)
			if h.exchange.Exchanger.Verify[typeTicket] != nil {
				h.refused(t, present(token, string(typeTicket)), tokenexchange.InvalidRequest,
					"R07")
			}
			h.revoke(t, token)
			for _, declared := range []string{"id_token", "jwt"} {
				h.refused(t, present(token, declared), tokenexchange.InvalidRequest, "")
				require.Empty(t, h.last(t).Facts.Subject.ID, name)
			}
		}
	})
}

// verifiers runs a test with the usual verifier of the host's, and with a generous one.
func verifiers(t *testing.T, format string, test func(t *testing.T, h *host)) {
	t.Run("the usual verifier", func(t *testing.T) { test(t, newHost(t, format)) })
	t.Run("a generous verifier", func(t *testing.T) {
		test(t, newHost(t, format, func(h *host) {
			h.exchange.Exchanger.Verify = tokenexchange.Verifiers{
				tokenexchange.TypeIDToken: h.generous, tokenexchange.TypeJWT: h.generous,
				typeTicket: h.generous}
		}))
	})
}

// TestR07_MarksOfAnIDToken: those of fosite's logins have one.
func TestR07_MarksOfAnIDToken(t *testing.T) { verifiers(t, opaque, testMarksOfAnIDToken) }

func testMarksOfAnIDToken(t *testing.T, h *host) {
	for _, test := range []struct {
		claims  jwt.IDTokenClaims
		granted bool
	}{
		{jwt.IDTokenClaims{Nonce: "a nonce of the login"}, true},
		{jwt.IDTokenClaims{AccessTokenHash: "x"}, true},
		{jwt.IDTokenClaims{CodeHash: "x"}, true},
		{jwt.IDTokenClaims{Extra: map[string]any{"s_hash": "x"}}, true},
		{jwt.IDTokenClaims{Extra: map[string]any{"azp": "helpdesk"}}, true},
		{jwt.IDTokenClaims{}, false},
		{jwt.IDTokenClaims{Extra: map[string]any{"azp": 1}}, false},
		{jwt.IDTokenClaims{Nonce: "x", Extra: map[string]any{"scp": []string{}}}, false},
		{jwt.IDTokenClaims{Nonce: "x",
			Extra: map[string]any{"token_introspection": map[string]any{"active": true}}}, false},
		// An exchanged one would have a record.
		{jwt.IDTokenClaims{Nonce: "x", Extra: map[string]any{"client_id": "helpdesk"}}, false},
		{jwt.IDTokenClaims{Nonce: "x", Extra: map[string]any{"lineage": map[string]any{}}}, false},
		{jwt.IDTokenClaims{Nonce: "x",
			Extra: map[string]any{"act": map[string]any{"sub": "carol"}}}, false},
	} {
		test.claims.Subject, test.claims.ExpiresAt = "alice", time.Now().Add(time.Hour)
		r := fosite.NewAccessRequest(&idSession{claims: &test.claims})
		r.Client = h.store.Clients["helpdesk"]
		token, err := h.strategy.GenerateIDToken(t.Context(), time.Hour, r)
		require.NoError(t, err)
		for _, declared := range []string{"id_token", "jwt"} {
			got := h.delegate(t, token, h.logIn(t, bob), "subject_token_type", declared)
			if test.granted {
				h.granted(t, got)
			} else {
				h.refused(t, got, tokenexchange.InvalidRequest, "")
				require.Empty(t, h.last(t).Facts.Subject.ID, "%+v", test.claims)
			}
		}
	}
}

// TestR08_OneTextOfAnIDToken: none but the canonical one, even for a verifier that takes others.
func TestR08_OneTextOfAnIDToken(t *testing.T) {
	verifiers(t, opaque, func(t *testing.T, h *host) {
		actor := h.logIn(t, bob)
		token := h.idToken(t, "helpdesk", jwt.IDTokenClaims{Subject: "alice",
			ExpiresAt: time.Now().Add(time.Hour)})
		for _, text := range append(spellings(token), token) {
			got := h.delegate(t, text, actor, "subject_token_type", "id_token")
			if text == token {
				h.granted(t, got)
				continue
			}
			h.refused(t, got, tokenexchange.InvalidRequest, "")
			require.Empty(t, h.last(t).Facts.Subject.ID, text)
		}
	})
}

// idSession is a session of a login that has an ID token only.
type idSession struct {
	fosite.DefaultSession
	claims *jwt.IDTokenClaims
}

func (s *idSession) IDTokenClaims() *jwt.IDTokenClaims { return s.claims }
func (s *idSession) IDTokenHeaders() *jwt.Headers      { return &jwt.Headers{} }

// TestR07_OtherKinds: what the server has made for something else is neither an access token nor
// an ID token.
func TestR07_OtherKinds(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		none := func(url.Values) {}
		code := h.authorization(t, "alice", "code", trick{"", none, none}).Get("code")
		_, refresh := h.redeem(t, h.authorization(t, "alice", "code", trick{"", none,
			none}).Get("code"), trick{"", none, none})
		_, idToken := h.idTokens(t)
		key := "exchange.id_token." + fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
		require.Contains(t, h.store.AccessTokens, key)
		for _, token := range []string{code, refresh, "ory_at_" + strings.TrimPrefix(code,
			"ory_ac_"), strings.TrimPrefix(code, "ory_ac_"),
			"ory_at_" + strings.TrimPrefix(refresh, "ory_rt_"), strings.TrimPrefix(refresh,
				"ory_rt_"),
			key, "x." + key, "x.x." + key, "ory_at_x." + key,
			idToken[:strings.LastIndexByte(idToken, '.')+1] + key} {
			for _, declared := range []string{"access_token", "id_token", "jwt"} {
				h.refused(t, h.delegate(t, token, h.logIn(t, bob), "subject_token_type",
					declared), tokenexchange.InvalidRequest, "")
			}
			if token != refresh && token != strings.TrimPrefix(refresh, "ory_rt_") {
				require.Nil(t, h.says(t, token))
			}
		}
		h.refused(t, h.delegate(t, idToken, h.logIn(t, bob)), tokenexchange.InvalidRequest, "D07")
		require.Nil(t, h.says(t, idToken))
	})
}

// whole is a strategy for which a token is its own signature, and is good if the storage has it.
type whole struct{ fosite.Configurator }

func (whole) AccessTokenSignature(_ context.Context, token string) string { return token }
func (whole) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return nil
}
func (whole) GenerateAccessToken(context.Context, fosite.Requester) (string, string, error) {
	return "", "", errors.New("makes none")
}

// TestR07_TheRecordOfAnIDTokenIsNoAccessToken, even for a strategy that takes any text.
func TestR07_TheRecordOfAnIDTokenIsNoAccessToken(t *testing.T) {
	h := newHost(t, opaque)
	_, idToken := h.idTokens(t)
	key := "exchange.id_token." + fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
	access := h.strategy.AccessTokenSignature(t.Context(), h.logIn(t, alice))
	h.config.TokenEndpointHandlers = nil
	h.config.TokenEndpointHandlers.Append(h.exchange.Factory(h.config, h.store,
		whole{}).(fosite.TokenEndpointHandler))
	h.refused(t, h.ask(t, "helpdesk", "subject_token", key), tokenexchange.InvalidRequest, "D07")
	h.refused(t, h.ask(t, "webapp", "subject_token", access), tokenexchange.ServerError,
		"makes none") // it takes any other
}

// idTokens are one that was asked for, and one beside an access token. Both are of alice, by bob,
// for the help desk.
func (h *host) idTokens(t testing.TB) (requested, beside string) {
	l := aliceAtHelpdesk
	l.scope = []string{"openid", "orders:read"}
	subject, actor := h.logIn(t, l), h.logIn(t, bob)
	got := h.delegate(t, subject, actor, "requested_token_type", "id_token")
	require.Equal(t, http.StatusOK, got.status, got.text)
	requested = got.token()
	got = h.delegate(t, subject, actor, "scope", "openid orders:read")
	h.granted(t, got)
	return requested, got.body["id_token"].(string)
}

// TestD07_ExchangedIDTokens die with what they were made from, and what was made from them as well.
func TestD07_ExchangedIDTokens(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		l := aliceAtHelpdesk
		l.scope = []string{"openid", "orders:read"}
		dead := "made from has been revoked"
		for name, end := range map[string]struct {
			end    func(subject, actor, idToken string)
			reason string // for which the ID token is refused
		}{
			"the subject token is revoked": {func(subject, _, _ string) { h.revoke(t, subject) },
				dead},
			"the actor token is revoked": {func(_, actor, _ string) { h.revoke(t, actor) }, dead},
			"its own record is gone": {func(_, _, idToken string) {
				key := "exchange.id_token." + fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
				require.NoError(t, h.store.DeleteAccessTokenSession(t.Context(), key))
			}, "has a record"},
			"its own record is revoked by its request": {func(_, _, idToken string) {
				id := fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
				require.NoError(t, h.store.RevokeAccessToken(t.Context(), id))
			}, "has a record"},
		} {
			for _, kind := range []string{"requested", "beside an access token"} {
				for _, role := range []string{"subject", "actor"} {
					subject, actor := h.logIn(t, l), h.logIn(t, bob)
					var idToken string
					if kind == "requested" {
						idToken = h.delegate(t, subject, actor, "requested_token_type",
							"id_token").token()
					} else {
						idToken = h.delegate(t, subject, actor, "scope",
							"openid orders:read").body["id_token"].(string)
					}
					present := func() reply {
						if role == "actor" { // alice acts for carol
							carols := login{user: "carol", client: "webapp",
								audience: []string{"helpdesk"}}
							return h.delegate(t, h.logIn(t, carols), idToken, "actor_token_type",
								"id_token")
						}
						return h.delegate(t, idToken, h.logIn(t, bob), "subject_token_type",
							"id_token")
					}
					first := present()
					if role == "actor" { // D14: an actor token with a chain
						h.refused(t, first, tokenexchange.InvalidRequest, "D14")
						continue
					}
					require.NoError(t, h.last(t).Err)
					h.granted(t, first)
					second := h.ask(t, "orders", "subject_token", first.token(), "audience",
						"https://billing.example")
					h.granted(t, second)
					end.end(subject, actor, idToken)
					h.refused(t, present(), tokenexchange.InvalidRequest, end.reason)
					require.Nil(t, h.says(t, first.token()), "%s, %s", name, kind)
					h.dead(t, first.token(), "orders", dead)
					h.dead(t, second.token(), "billing", dead)
				}
			}
		}
	})
}

// TestD07_AnIDTokenAsActor: one without a chain, made by an exchange that has none. What is made
// with it dies with it.
func TestD07_AnIDTokenAsActor(t *testing.T) {
	h := newHost(t, opaque, func(h *host) {
		users := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
		both := []tokenexchange.TokenType{tokenexchange.TypeAccessToken, tokenexchange.TypeIDToken}
		policy, err := tokenexchange.NewPolicy(
			tokenexchange.Rule{Name: "id", Impersonate: &tokenexchange.Impersonation{},
				Clients: []string{"helpdesk"}, Subjects: users, SubjectTypes: both,
				Types: both[1:], Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute},
			tokenexchange.Rule{Name: "act",
				Delegate: &tokenexchange.Delegation{Actors: users, ActorTypes: both},
				Clients:  []string{"helpdesk"}, Subjects: users, SubjectTypes: both,
				Types:   both[:1],
				Targets: []string{"https://orders.example"},
				Scope:   tokenexchange.Scope{"*"}, Lifetime: time.Minute})
		require.NoError(t, err)
		h.exchange.Exchanger.Decide, h.exchange.Exchanger.Authorizer = policy.Decide, everybody{}
	})
	bobs := h.logIn(t, bob)
	got := h.ask(t, "helpdesk", "subject_token", bobs, "requested_token_type", "id_token")
	require.Equal(t, http.StatusOK, got.status, h.last(t).Err)
	idToken := got.token()
	present := func() reply {
		return h.delegate(t, h.logIn(t, aliceAtHelpdesk), idToken, "actor_token_type", "id_token",
			"audience", "https://orders.example")
	}
	made := present()
	h.granted(t, made)
	require.Equal(t, tokenexchange.KindUser, h.last(t).Facts.Actor.Token.Kind, "the record knows")
	h.revoke(t, bobs)
	h.refused(t, present(), tokenexchange.InvalidRequest, "made from has been revoked")
	require.Nil(t, h.says(t, made.token()))
}

// TestI06_NoRecordWithoutItsToken: an exchange that is refused or fails leaves no record, of
// either token.
func TestI06_NoRecordWithoutItsToken(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		l := aliceAtHelpdesk
		l.scope = []string{"openid", "orders:read"}
		subject, actor := h.logIn(t, l), h.logIn(t, bob)
		ask := map[string]func() reply{
			"requested": func() reply {
				return h.delegate(t, subject, actor,
					"requested_token_type", "id_token")
			},
			"beside": func() reply {
				return h.delegate(t, subject, actor, "scope",
					"openid orders:read")
			},
		}
		for name, ask := range ask {
			for method, thrown := range map[string]bool{"create": false,
				"create the record of an ID token": false} {
				for _, panics := range []bool{thrown, true} {
					h.store.panic = panics
					h.store.fail(method, errors.New(secretText))
					h.failed(t, ask(), tokenexchange.ServerError, 2)
					h.store.fail(method, nil)
					h.store.panic = false
				}
			}
			before := len(h.store.AccessTokens)
			h.audit.Fail(errors.New(secretText))
			bounded := 0
			h.store.deadline = func(at time.Time, has bool) {
				require.True(t, has, "%s: no wait without an end", name)
				require.Less(t, time.Until(at), time.Minute)
				bounded++
			}
			h.failed(t, ask(), tokenexchange.ServerError, before)
			require.NotZero(t, bounded)
			h.store.deadline = nil
			h.audit.Fail(nil)
		}
		for name, records := range map[string]int{"requested": 1, "beside": 2} {
			before := len(h.store.AccessTokens)
			require.Equal(t, http.StatusOK, ask[name]().status)
			require.Len(t, h.store.AccessTokens, before+records)
		}
	})
}
