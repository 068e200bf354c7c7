package zitadelexchange_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

const (
	invalid      = tokenexchange.InvalidRequest
	invalidScope = tokenexchange.InvalidScope
)

// formats runs a test on a server of each format of access tokens.
func formats(t *testing.T, test func(t *testing.T, h *host)) {
	for name, format := range map[string]op.AccessTokenType{
		"opaque": op.AccessTokenTypeBearer, "JWT": op.AccessTokenTypeJWT} {
		t.Run(name, func(t *testing.T) { test(t, newHost(t, format)) })
	}
}

// asBob exchanges a subject token at the help desk, with bob as actor.
func (h *host) asBob(t testing.TB, token, tokenType string, pairs ...string) reply {
	return h.exchange(t, "helpdesk", append([]string{"subject_token", token,
		"subject_token_type", tokenType, "actor_token", h.bob(t),
		"actor_token_type", "access_token"}, pairs...)...)
}

// next exchanges a token at the API orders for billing.
func (h *host) next(t testing.TB, token string) reply {
	return h.exchange(t, "orders", "subject_token", token, "subject_token_type", "access_token",
		"audience", "https://billing.example")
}

// TestD07_Revocation checks that revoking a token (RFC 7009) ends the token and every token made
// from it, also by way of ID tokens, but none that it was made from.
func TestD07_Revocation(t *testing.T) {
	formats(t, func(t *testing.T, h *host) {
		first := h.logIn(t, login{subject: "alice", client: "webapp",
			audience: []string{"helpdesk"}, scope: []string{"openid", "orders:read"}})
		narrowed := h.narrow(t, first, "scope", "orders:read").granted(t).token()
		fromNarrowed := h.asBob(t, narrowed, "access_token").granted(t).token()
		one := h.asBob(t, first, "access_token").granted(t)
		two := h.next(t, one.token()).granted(t).token()
		added := one.body["id_token"].(string)
		requested := []string{"requested_token_type", "id_token"}
		idToken := h.asBob(t, first, "access_token", requested...).granted(t).token()
		secondIDToken := h.asBob(t, idToken, "id_token", requested...).granted(t).token()
		fromAdded := h.asBob(t, added, "id_token", "scope", "orders:read").granted(t).token()
		fromSecond := h.asBob(t, secondIDToken, "id_token", "scope",
			"orders:read").granted(t).token()
		last := h.next(t, fromSecond).granted(t).token()

		h.post(t, "/revoke", "helpdesk", url.Values{"token": {narrowed}})
		require.NotNil(t, h.read(t, narrowed), "another client cannot revoke it")
		h.revoke(t, narrowed)
		require.Nil(t, h.read(t, narrowed))
		require.Nil(t, h.read(t, fromNarrowed))
		h.refused(t, h.narrow(t, narrowed), invalid)
		h.refused(t, h.next(t, fromNarrowed), invalid)
		h.narrow(t, first).granted(t)
		h.next(t, one.token()).granted(t)

		h.revoke(t, first)
		for name, token := range map[string]string{
			"the token": first, "one exchange": one.token(), "two exchanges": two,
			"by the added ID token": fromAdded, "by two ID tokens": fromSecond,
			"by two ID tokens and one exchange": last,
		} {
			require.Nil(t, h.read(t, token), name)
		}
		h.refused(t, h.narrow(t, first), invalid)
		for _, token := range []string{one.token(), fromAdded, fromSecond} {
			h.refused(t, h.next(t, token), invalid)
		}
		for _, id := range []string{added, idToken, secondIDToken} {
			h.refused(t, h.asBob(t, id, "id_token", "scope", "orders:read"), invalid)
		}
		for _, token := range []string{two, last} {
			got := h.exchange(t, "billing", "subject_token", token,
				"subject_token_type", "access_token", "audience", "https://ledger.example")
			h.refused(t, got, invalid)
		}
	})
}

// TestD07_RevocationOfAnIDToken checks an ID token of the framework, which has neither jti nor
// record. Its ID is a hash, and revoking it ends the tokens made from it.
func TestD07_RevocationOfAnIDToken(t *testing.T) {
	formats(t, func(t *testing.T, h *host) {
		id := h.idToken(t, login{subject: "alice", client: "helpdesk"})
		one := h.asBob(t, id, "id_token", "scope", "orders:read").granted(t).token()
		parent := h.audit.Last().Facts.Subject.Token
		two := h.next(t, one).granted(t).token()
		h.revokeByName(parent)
		require.Nil(t, h.read(t, one))
		require.Nil(t, h.read(t, two))
		h.refused(t, h.next(t, one), invalid)
		h.refused(t, h.asBob(t, id, "id_token", "scope", "orders:read"), invalid)
	})
}

// TestD07_RevocationOfAnActorToken checks that revoking an actor token ends the tokens made with
// it.
func TestD07_RevocationOfAnActorToken(t *testing.T) {
	formats(t, func(t *testing.T, h *host) {
		bob := h.bob(t)
		one := h.exchange(t, "helpdesk", "subject_token", h.alice(t), "actor_token", bob,
			"subject_token_type", "access_token", "actor_token_type", "access_token",
		).granted(t).token()
		two := h.next(t, one).granted(t).token()
		h.revoke(t, bob)
		require.Nil(t, h.read(t, two))
		h.refused(t, h.next(t, one), invalid)
	})
}

// TestLineage_TooManyOrigins checks that an exchange is refused if the token would have too many
// origins, and leaves no record.
func TestLineage_TooManyOrigins(t *testing.T) {
	formats(t, func(t *testing.T, h *host) {
		token := h.alice(t)
		for range 32 {
			token = h.narrow(t, token, "scope", "orders:read").granted(t).token()
		}
		records := len(h.records())
		ev := h.refused(t, h.narrow(t, token), invalid)
		require.Equal(t, "too_many_origins", tokenexchange.AsError(ev.Err).Reason)
		require.Len(t, h.records(), records)
	})
}

// changeRecords changes every record.
func (h *host) changeRecords(change func(*tokenexchange.Token)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, record := range h.tokens {
		change(&record)
		h.tokens[id] = record
	}
}

// TestLineage_RecordAndJWT checks that the limits of the JWT and of its record both apply.
func TestLineage_RecordAndJWT(t *testing.T) {
	begun := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	lent := &tokenexchange.Lineage{Lent: true, Begun: begun}
	for name, test := range map[string]struct {
		record *tokenexchange.Lineage
		jwt    map[string]any
		want   *tokenexchange.Lineage
	}{
		"neither":    {nil, nil, nil},
		"the record": {lent, nil, lent},
		"the JWT":    {nil, map[string]any{"lent": true, "begun": begun.Unix()}, lent},
		"both": {
			&tokenexchange.Lineage{Lent: true, Begun: begun, From: []string{"a", "b"}},
			map[string]any{"scope": "orders:read", "begun": begun.Unix() - 1,
				"from": []string{"b", "c"}},
			&tokenexchange.Lineage{Scope: tokenexchange.Scope{"orders:read"}, Lent: true,
				Begun: begun.Add(-time.Second), From: []string{"a", "b", "c"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, op.AccessTokenTypeJWT)
			claims := claimsOf(t, h.alice(t))
			h.changeRecords(func(record *tokenexchange.Token) { record.Lineage = test.record })
			if test.jwt != nil {
				claims["lineage"] = test.jwt
			}
			h.narrow(t, h.sign(t, claims), "scope", "orders:read").granted(t)
			require.Equal(t, test.want, h.audit.Last().Facts.Subject.Token.Lineage)
		})
	}
	h := newHost(t, op.AccessTokenTypeJWT)
	claims := claimsOf(t, h.alice(t))
	acme := &tokenexchange.Lineage{Tenant: "acme"}
	h.changeRecords(func(record *tokenexchange.Token) { record.Lineage = acme })
	for text, lineage := range map[string]any{
		`two organisations: "acme" and "globex"`: map[string]any{"tenant": "globex"},
		"claim lineage":                          map[string]any{"until": 1},
		"not an object":                          "none",
	} {
		forged := maps.Clone(claims)
		forged["lineage"] = lineage
		ev := h.refused(t, h.narrow(t, h.sign(t, forged)), invalid)
		require.Contains(t, ev.Err.Error(), text)
	}
	// The claim lineage of an ID token is parsed as strictly.
	id := claimsOf(t, h.idToken(t, login{subject: "alice", client: "helpdesk"}))
	id["lineage"] = map[string]any{"scope": "orders:read", "limit": 1}
	h.refused(t, h.asBob(t, h.sign(t, id), "id_token"), invalid)
	id["lineage"] = map[string]any{"scope": "orders:read"}
	h.refused(t, h.asBob(t, h.sign(t, id), "id_token", "scope", "orders:write"), invalidScope)
}

// TestD21_ScopeOfRecordAndJWT checks that a JWT with more scope than its record grants the scope of
// the record.
func TestD21_ScopeOfRecordAndJWT(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	claims := claimsOf(t, h.alice(t)) // its record has orders:read and orders:write
	claims["scope"] = "orders:read billing:read"
	token := h.sign(t, claims)
	require.Equal(t, "orders:read", h.narrow(t, token).granted(t).body["scope"])
	for _, beyond := range []string{"orders:write", "billing:read"} {
		h.refused(t, h.narrow(t, token, "scope", beyond), invalidScope)
	}
	h.changeRecords(func(record *tokenexchange.Token) { record.Scope = nil })
	require.Equal(t, "orders:read billing:read", h.narrow(t, token).granted(t).body["scope"])
}

// mayActIn makes Claims name carol in every narrowed token, and sets whether the rule of webapp
// lets it replace a carried may_act.
func (h *host) mayActIn(t testing.TB, replace bool) {
	user := []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}}
	access := []tokenexchange.TokenType{tokenexchange.TypeAccessToken}
	policy, err := tokenexchange.NewPolicy(
		tokenexchange.Rule{Name: "smaller", Narrow: &tokenexchange.Narrowing{},
			ReplaceMayAct: replace, Clients: []string{"webapp"},
			Subjects: user, SubjectTypes: access, Types: access, SubjectAudience: true,
			Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute},
		tokenexchange.Rule{Name: "support",
			Delegate: &tokenexchange.Delegation{Actors: user, ActorTypes: access},
			Clients:  []string{"helpdesk"}, Subjects: user, SubjectTypes: access,
			Types:           access,
			SubjectAudience: true, Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute})
	require.NoError(t, err)
	h.grant.Exchanger.Decide = policy.Decide
	h.grant.Claims = func(_ context.Context, d tokenexchange.Decision, to map[string]any) error {
		if d.Mode == tokenexchange.Narrow {
			to["may_act"] = map[string]any{"sub": "carol"}
		}
		return nil
	}
}

// TestD17_MayAct checks that a carried may_act is kept, whatever Grant.Claims does, unless the rule
// lets it be replaced. Opaque tokens have no such hook; their records have the carried may_act.
func TestD17_MayAct(t *testing.T) {
	for _, replace := range []bool{false, true} {
		t.Run(fmt.Sprintf("replace=%t", replace), func(t *testing.T) {
			formats(t, func(t *testing.T, h *host) {
				h.mayActIn(t, replace)
				bob := &tokenexchange.Actor{Subject: "bob"}
				subject := h.logIn(t, login{subject: "alice", client: "webapp", mayAct: bob,
					audience: []string{"helpdesk"}, scope: []string{"orders:read"}})
				token := h.narrow(t, subject).granted(t).token()
				isJWT := h.clients["webapp"].format == op.AccessTokenTypeJWT
				named, other := "bob", "carol"
				if replace && isJWT {
					named, other = "carol", "bob"
				}
				if isJWT {
					require.Equal(t, named, claimsOf(t, token)["may_act"].(map[string]any)["sub"])
				} else {
					record := h.records()[h.audit.Last().TokenID]
					require.Equal(t, bob.Subject, record.MayAct.Subject)
					require.Equal(t, issuer, record.MayAct.Issuer, "the login had no iss")
				}
				ask := func(actor string) reply {
					actorToken := h.logIn(t, login{subject: actor, client: "helpdesk"})
					return h.exchange(t, "helpdesk", "subject_token", token, "actor_token",
						actorToken,
						"subject_token_type", "access_token", "actor_token_type", "access_token")
				}
				ev := h.refused(t, ask(other), invalid)
				require.Contains(t, ev.Err.Error(), "D08")
				got := ask(named).granted(t)
				require.NotContains(t, h.read(t, got.token()), "may_act", "there is a new actor")
			})
		})
	}
	// A may_act in the record takes precedence over that of the JWT.
	h := newHost(t, op.AccessTokenTypeJWT)
	h.mayActIn(t, false)
	token := h.narrow(t, h.alice(t)).granted(t).token()
	require.Equal(t, map[string]any{"sub": "carol"}, claimsOf(t, token)["may_act"])
	dave := &tokenexchange.Actor{Subject: "dave"}
	h.changeRecords(func(record *tokenexchange.Token) { record.MayAct = dave })
	h.narrow(t, token).granted(t)
	require.Equal(t, "dave", h.audit.Last().Decision.MayAct().Subject)
}
