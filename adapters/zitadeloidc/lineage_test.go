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

// asBob asks helpdesk to exchange a subject token of a type, with bob as actor.
func (h *host) asBob(t testing.TB, token, tokenType string, pairs ...string) reply {
	return h.exchange(t, "helpdesk", append([]string{"subject_token", token,
		"subject_token_type", tokenType, "actor_token", h.bob(t),
		"actor_token_type", "access_token"}, pairs...)...)
}

// next asks the API orders to exchange a token for billing.
func (h *host) next(t testing.TB, token string) reply {
	return h.exchange(t, "orders", "subject_token", token, "subject_token_type", "access_token",
		"audience", "https://billing.example")
}

// RFC 7009, at the framework's endpoint: a token that is revoked ends for introspection and for
// exchanges, and so does what was made from it, over access tokens and ID tokens. What it was made
// from stays.
func TestD07_Revocation(t *testing.T) {
	formats(t, func(t *testing.T, h *host) {
		first := h.logIn(t, login{subject: "alice", client: "webapp",
			audience: []string{"helpdesk"}, scope: []string{"openid", "orders:read"}})
		narrowed := h.narrow(t, first, "scope", "orders:read").granted(t).token()
		overNarrowed := h.asBob(t, narrowed, "access_token").granted(t).token()
		one := h.asBob(t, first, "access_token").granted(t)
		two := h.next(t, one.token()).granted(t).token()
		beside := one.body["id_token"].(string)
		requested := []string{"requested_token_type", "id_token"}
		asked := h.asBob(t, first, "access_token", requested...).granted(t).token()
		again := h.asBob(t, asked, "id_token", requested...).granted(t).token()
		overBeside := h.asBob(t, beside, "id_token", "scope", "orders:read").granted(t).token()
		overAsked := h.asBob(t, again, "id_token", "scope", "orders:read").granted(t).token()
		last := h.next(t, overAsked).granted(t).token()

		h.ask(t, "/revoke", "helpdesk", url.Values{"token": {narrowed}})
		require.NotNil(t, h.read(t, narrowed), "another client cannot end it")
		h.revoke(t, narrowed)
		require.Nil(t, h.read(t, narrowed))
		require.Nil(t, h.read(t, overNarrowed))
		h.refused(t, h.narrow(t, narrowed), invalid)
		h.refused(t, h.next(t, overNarrowed), invalid)
		h.narrow(t, first).granted(t)
		h.next(t, one.token()).granted(t)

		h.revoke(t, first)
		for name, token := range map[string]string{
			"itself": first, "one hop": one.token(), "two hops": two,
			"over the ID token beside": overBeside, "over two ID tokens": overAsked,
			"and one hop more": last,
		} {
			require.Nil(t, h.read(t, token), name)
		}
		h.refused(t, h.narrow(t, first), invalid)
		for _, token := range []string{one.token(), overBeside, overAsked} {
			h.refused(t, h.next(t, token), invalid)
		}
		for _, id := range []string{beside, asked, again} {
			h.refused(t, h.asBob(t, id, "id_token", "scope", "orders:read"), invalid)
		}
		for _, token := range []string{two, last} {
			got := h.exchange(t, "billing", "subject_token", token,
				"subject_token_type", "access_token", "audience", "https://ledger.example")
			h.refused(t, got, invalid)
		}
	})
}

// An ID token of the framework has no jti and no record. Its name is a hash, and ends what was made
// from it all the same.
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

// An actor token ends what it helped to make.
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

// A token lists what it was made from. Where that would be more than anybody reads, the exchange is
// refused, and no record of it stays.
func TestLineage_TooManyOrigins(t *testing.T) {
	formats(t, func(t *testing.T, h *host) {
		token := h.alice(t)
		for range 32 {
			token = h.narrow(t, token, "scope", "orders:read").granted(t).token()
		}
		records := len(h.live())
		ev := h.refused(t, h.narrow(t, token), invalid)
		require.Contains(t, ev.Err.Error(), "made from 33 tokens; 32 are allowed")
		require.Len(t, h.live(), records)
	})
}

// records changes every record.
func (h *host) records(change func(*tokenexchange.Token)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, record := range h.tokens {
		change(&record)
		h.tokens[id] = record
	}
}

// A JWT may say more limits than its record, and the record more than the JWT. Both hold.
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
			h.records(func(record *tokenexchange.Token) { record.Lineage = test.record })
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
	h.records(func(record *tokenexchange.Token) { record.Lineage = acme })
	for said, lineage := range map[string]any{
		`two organisations: "acme" and "globex"`: map[string]any{"tenant": "globex"},
		"claim lineage":                          map[string]any{"until": 1},
		"not an object":                          "none",
	} {
		forged := maps.Clone(claims)
		forged["lineage"] = lineage
		ev := h.refused(t, h.narrow(t, h.sign(t, forged)), invalid)
		require.Contains(t, ev.Err.Error(), said)
	}
	// The claim of an ID token is read as strictly.
	id := claimsOf(t, h.idToken(t, login{subject: "alice", client: "helpdesk"}))
	id["lineage"] = map[string]any{"scope": "orders:read", "limit": 1}
	h.refused(t, h.asBob(t, h.sign(t, id), "id_token"), invalid)
	id["lineage"] = map[string]any{"scope": "orders:read"}
	h.refused(t, h.asBob(t, h.sign(t, id), "id_token", "scope", "orders:write"), invalidScope)
}

// A JWT of the host with a scope beyond its record grants no more than the record.
func TestD21_ScopeOfRecordAndJWT(t *testing.T) {
	h := newHost(t, op.AccessTokenTypeJWT)
	claims := claimsOf(t, h.alice(t)) // whose record says orders:read and orders:write
	claims["scope"] = "orders:read billing:read"
	token := h.sign(t, claims)
	require.Equal(t, "orders:read", h.narrow(t, token).granted(t).body["scope"])
	for _, beyond := range []string{"orders:write", "billing:read"} {
		h.refused(t, h.narrow(t, token, "scope", beyond), invalidScope)
	}
	h.records(func(record *tokenexchange.Token) { record.Scope = nil })
	require.Equal(t, "orders:read billing:read", h.narrow(t, token).granted(t).body["scope"])
}

// mayActIn lets Claims name carol in every token, and the rule of webapp replace a may_act or not.
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

// D17: a may_act that is carried stays, whatever Grant.Claims says, unless the rule lets it be
// replaced. Opaque tokens have no such hook; their records carry what was carried.
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
					record := h.live()[h.audit.Last().TokenID]
					require.Equal(t, bob.Subject, record.MayAct.Subject)
					require.Equal(t, issuer, record.MayAct.Issuer, "which the login left unsaid")
				}
				ask := func(actor string) reply {
					of := h.logIn(t, login{subject: actor, client: "helpdesk"})
					return h.exchange(t, "helpdesk", "subject_token", token, "actor_token", of,
						"subject_token_type", "access_token", "actor_token_type", "access_token")
				}
				ev := h.refused(t, ask(other), invalid)
				require.Contains(t, ev.Err.Error(), "D08")
				got := ask(named).granted(t)
				require.NotContains(t, h.read(t, got.token()), "may_act", "somebody new acts")
			})
		})
	}
	// A may_act that the host has put on record since counts before that of the JWT.
	h := newHost(t, op.AccessTokenTypeJWT)
	h.mayActIn(t, false)
	token := h.narrow(t, h.alice(t)).granted(t).token()
	require.Equal(t, map[string]any{"sub": "carol"}, claimsOf(t, token)["may_act"])
	dave := &tokenexchange.Actor{Subject: "dave"}
	h.records(func(record *tokenexchange.Token) { record.MayAct = dave })
	h.narrow(t, token).granted(t)
	require.Equal(t, "dave", h.audit.Last().Decision.MayAct().Subject)
}
