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

// lenient is a verifier of the host that accepts every JWT with the server's signature as the
// declared type.
func (h *host) lenient(ctx context.Context,
	c tokenexchange.Credential) (tokenexchange.Token, error) {
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

// TestR07_AccessTokenDeclaredAsIDToken checks that an access token is refused as an ID token,
// whatever its header and claims, whether or not the storage has it, and even if the host's
// verifier accepts it.
func TestR07_AccessTokenDeclaredAsIDToken(t *testing.T) {
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
			h.refused(t, present(token, "id_token"), tokenexchange.InvalidRequest,
				"access_token_as_other_type")
			got := h.ask(t, "helpdesk", "subject_token", bobs, "actor_token", token,
				"actor_token_type", "id_token")
			h.refused(t, got, tokenexchange.InvalidRequest, "access_token_as_other_type")
			h.granted(t, present(token, "jwt"))
			require.Equal(t, tokenexchange.TypeAccessToken,
				h.last(t).Facts.Subject.Token.Type, name)
			if h.exchange.Exchanger.Verify[typeTicket] != nil {
				h.refused(t, present(token, string(typeTicket)), tokenexchange.InvalidRequest,
					"access_token_as_other_type")
			}
			h.revoke(t, token)
			for _, declared := range []string{"id_token", "jwt"} {
				h.refused(t, present(token, declared), tokenexchange.InvalidRequest, "")
				require.Empty(t, h.last(t).Facts.Subject.ID, name)
			}
		}
	})
}

// verifiers runs a test with the default verifier of the host, and with a lenient one.
func verifiers(t *testing.T, format string, test func(t *testing.T, h *host)) {
	t.Run("the default verifier", func(t *testing.T) { test(t, newHost(t, format)) })
	t.Run("a lenient verifier", func(t *testing.T) {
		test(t, newHost(t, format, func(h *host) {
			h.exchange.Exchanger.Verify = tokenexchange.Verifiers{
				tokenexchange.TypeIDToken: h.lenient, tokenexchange.TypeJWT: h.lenient,
				typeTicket: h.lenient}
		}))
	})
}

// TestR07_MarksOfAnIDToken checks that an ID token needs a claim that tells it from an access
// token.
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
		// An exchanged ID token would have a record.
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

// TestR08_OneTextOfAnIDToken checks that only the canonical text of an ID token is accepted, even
// by a lenient verifier.
func TestR08_OneTextOfAnIDToken(t *testing.T) {
	verifiers(t, opaque, func(t *testing.T, h *host) {
		actor := h.logIn(t, bob)
		token := h.idToken(t, "helpdesk", jwt.IDTokenClaims{Subject: "alice",
			ExpiresAt: time.Now().Add(time.Hour)})
		for _, text := range append(variants(token), token) {
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

// idSession is the session of a login that has only an ID token.
type idSession struct {
	fosite.DefaultSession
	claims *jwt.IDTokenClaims
}

func (s *idSession) IDTokenClaims() *jwt.IDTokenClaims { return s.claims }
func (s *idSession) IDTokenHeaders() *jwt.Headers      { return &jwt.Headers{} }

// TestR07_OtherKinds checks that codes, refresh tokens and storage keys are accepted neither as an
// access token nor as an ID token.
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
				require.Nil(t, h.active(t, token))
			}
		}
		h.refused(t, h.delegate(t, idToken, h.logIn(t, bob)), tokenexchange.InvalidRequest,
			"token_unknown")
		require.Nil(t, h.active(t, idToken))
	})
}

// identityStrategy is a strategy whose tokens are their own signatures.
type identityStrategy struct{ fosite.Configurator }

func (identityStrategy) AccessTokenSignature(_ context.Context,
	token string) string {
	return token
}
func (identityStrategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return nil
}
func (identityStrategy) GenerateAccessToken(context.Context,
	fosite.Requester) (string, string, error) {
	return "", "", errors.New("cannot issue")
}

// TestR07_RecordOfAnIDToken checks that the record of an ID token is not accepted as that of an
// access token, even by a strategy that accepts every text.
func TestR07_RecordOfAnIDToken(t *testing.T) {
	h := newHost(t, opaque)
	_, idToken := h.idTokens(t)
	key := "exchange.id_token." + fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
	access := h.strategy.AccessTokenSignature(t.Context(), h.logIn(t, alice))
	h.config.TokenEndpointHandlers = nil
	h.config.TokenEndpointHandlers.Append(h.exchange.Factory(h.config, h.store,
		identityStrategy{}).(fosite.TokenEndpointHandler))
	h.refused(t, h.ask(t, "helpdesk", "subject_token", key), tokenexchange.InvalidRequest,
		"token_unknown")
	h.refused(t, h.ask(t, "webapp", "subject_token", access), tokenexchange.ServerError,
		"cannot issue") // other records are accepted
}

// idTokens returns an ID token that was requested and one that was added to an access token. Both
// are about alice, with bob as actor, for the help desk.
func (h *host) idTokens(t testing.TB) (requested, added string) {
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

// TestD07_ExchangedIDTokens checks that an exchanged ID token, and the tokens made from it, are
// refused once a token that it was made from is revoked.
func TestD07_ExchangedIDTokens(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		l := aliceAtHelpdesk
		l.scope = []string{"openid", "orders:read"}
		revoked := "origin_revoked"
		for name, end := range map[string]struct {
			end    func(subject, actor, idToken string)
			reason string // of the refusal of the ID token
		}{
			"the subject token is revoked": {func(subject, _, _ string) { h.revoke(t, subject) },
				revoked},
			"the actor token is revoked": {func(_, actor, _ string) { h.revoke(t, actor) },
				revoked},
			"its own record is deleted": {func(_, _, idToken string) {
				key := "exchange.id_token." + fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
				require.NoError(t, h.store.DeleteAccessTokenSession(t.Context(), key))
			}, "id_token_unknown"},
			"its own record is revoked by its request": {func(_, _, idToken string) {
				id := fmt.Sprint(claims(t, h.payload(t, idToken))["jti"])
				require.NoError(t, h.store.RevokeAccessToken(t.Context(), id))
			}, "id_token_unknown"},
		} {
			for _, kind := range []string{"requested", "with an access token"} {
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
						h.refused(t, first, tokenexchange.InvalidRequest, "actor_token_has_act")
						continue
					}
					require.NoError(t, h.last(t).Err)
					h.granted(t, first)
					second := h.ask(t, "orders", "subject_token", first.token(), "audience",
						"https://billing.example")
					h.granted(t, second)
					end.end(subject, actor, idToken)
					h.refused(t, present(), tokenexchange.InvalidRequest, end.reason)
					require.Nil(t, h.active(t, first.token()), "%s, %s", name, kind)
					h.notValid(t, first.token(), "orders", revoked)
					h.notValid(t, second.token(), "billing", revoked)
				}
			}
		}
	})
}

// TestD07_IDTokenAsActor checks an exchanged ID token without a chain as actor token: revoking its
// origin ends the tokens made with it.
func TestD07_IDTokenAsActor(t *testing.T) {
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
		h.exchange.Exchanger.Decide, h.exchange.Exchanger.Authorizer = policy.Decide, allowAll{}
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
	require.Equal(t, tokenexchange.KindUser, h.last(t).Facts.Actor.Token.Kind,
		"the kind of the record")
	h.revoke(t, bobs)
	h.refused(t, present(), tokenexchange.InvalidRequest, "origin_revoked")
	require.Nil(t, h.active(t, made.token()))
}

// TestI06_NoRecordWithoutToken checks that an exchange that is refused or fails leaves no record
// behind.
func TestI06_NoRecordWithoutToken(t *testing.T) {
	stores(t, func(t *testing.T, h *host) {
		l := aliceAtHelpdesk
		l.scope = []string{"openid", "orders:read"}
		subject, actor := h.logIn(t, l), h.logIn(t, bob)
		ask := map[string]func() reply{
			"requested": func() reply {
				return h.delegate(t, subject, actor,
					"requested_token_type", "id_token")
			},
			"added": func() reply {
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
				require.True(t, has, "%s: the context must have a deadline", name)
				require.Less(t, time.Until(at), time.Minute)
				bounded++
			}
			h.failed(t, ask(), tokenexchange.ServerError, before)
			require.NotZero(t, bounded)
			h.store.deadline = nil
			h.audit.Fail(nil)
		}
		for name, records := range map[string]int{"requested": 1, "added": 2} {
			before := len(h.store.AccessTokens)
			require.Equal(t, http.StatusOK, ask[name]().status)
			require.Len(t, h.store.AccessTokens, before+records)
		}
	})
}
