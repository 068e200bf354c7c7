package tokenstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// A token of every type can be exchanged for every type, and the result exchanged again (Z25).
func TestEveryPairOfTypes(t *testing.T) {
	w := newWorld(t)
	subjects := map[string]struct {
		declared tx.TokenType
		make     func() string
	}{
		"opaque": {access, func() string { return w.opaque("alice") }},
		"jwt": {jwt, func() string {
			w.after(time.Second)
			return w.signed("alice", access)
		}},
		"id_token": {idToken, func() string {
			w.after(time.Second)
			return w.signed("alice", idToken)
		}},
	}
	for from, s := range subjects {
		for _, to := range []tx.TokenType{"", access, jwt, idToken} {
			t.Run(from+" to "+string(to), func(t *testing.T) {
				scope := "read"
				if to == idToken {
					scope = "openid"
				}
				a := w.granted(w.exchange("gateway", s.make(), s.declared,
					"requested_token_type", string(to), "scope", scope))
				want := to
				if to == "" {
					want = access
				}
				require.Equal(t, string(want), a.text("issued_token_type"))
				require.Equal(t, scope, a.text("scope"))
				value := a.text("access_token")
				switch to {
				case idToken:
					require.Equal(t, "N_A", a.text("token_type"))
					require.Equal(t, "gateway", claims(t, value)["aud"])
					require.False(t, w.active(value), "an ID token cannot be introspected")
				case jwt:
					require.Equal(t, "alice", claims(t, value)["sub"])
					require.True(t, w.active(value))
				default:
					require.True(t, strings.HasPrefix(value, "at_"))
					require.Len(t, value, 46)
					require.True(t, w.active(value))
				}
				declared := want
				if want == jwt {
					declared = access // one of our JWTs may be declared as either type
				}
				w.granted(w.exchange("gateway", value, declared, "scope", scope))
			})
		}
	}
	require.NotContains(t, w.audit.Events()[0].TokenID, "at_")
}

// A token with less scope says so, and the token that it was made from does not change (Z13).
func TestReducedToken(t *testing.T) {
	w := newWorld(t)
	old := w.opaque("alice")
	before := w.introspect("api", old)
	a := w.granted(w.exchange("gateway", old, access, "scope", "read", "audience", down))
	got := w.introspect("gateway", a.text("access_token"))
	require.Equal(t, "read", got["scope"])
	require.Equal(t, down, got["aud"])
	require.Equal(t, "alice", got["sub"])
	require.Equal(t, "gateway", got["client_id"])
	require.Equal(t, issuer, got["iss"])
	require.Equal(t, "gold", got["acr"])
	require.Equal(t, before, w.introspect("api", old))
}

// An ID token has the hash of the access token beside it, opaque or JWT (Z16).
func TestIDTokenBesideEither(t *testing.T) {
	w := newWorld(t)
	for _, to := range []tx.TokenType{access, jwt} {
		a := w.granted(w.exchange("gateway", w.opaque("alice"), access,
			"requested_token_type", string(to), "scope", "read openid offline_access"))
		hash := sha256.Sum256([]byte(a.text("access_token")))
		c := claims(t, a.text("id_token"))
		require.Equal(t, base64.RawURLEncoding.EncodeToString(hash[:16]), c["at_hash"])
		require.Equal(t, "gateway", c["azp"])
		require.True(t, strings.HasPrefix(a.text("refresh_token"), "rt_"))
		w.granted(w.exchange("gateway", a.text("id_token"), idToken, "scope", "read"))

		refresh := w.introspect("gateway", a.text("refresh_token"))
		require.Equal(t, true, refresh["active"])
		w.granted(w.post("/revoke", "gateway", url.Values{"token": {a.text("refresh_token")}}))
		w.refused(w.exchange("gateway", a.text("id_token"), idToken, "scope", "read"),
			tx.InvalidRequest, "token_revoked")
	}
}

// Revoking a subject token, an actor token or a session ends every token that was made from it,
// three hops deep and of every type.
func TestFamilies(t *testing.T) {
	session := tokenstore.KeyOf("session", issuer, "s1")
	for name, revoke := range map[string]func(w *world, subject, actor string){
		"subject": func(w *world, subject, _ string) {
			w.granted(w.post("/revoke", "webapp", url.Values{"token": {subject}}))
		},
		"actor": func(w *world, _, actor string) {
			w.granted(w.post("/revoke", "webapp", url.Values{"token": {actor}}))
		},
		"session": func(w *world, _, _ string) {
			until := w.clock().Add(time.Hour)
			require.NoError(w, w.store.Revoke(w.Context(), w.clock(), session, until))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			subject, actor := w.opaque("alice", session), w.signed("bob", access)
			one := w.granted(w.actFor(subject, actor, "scope", "read offline_access"))
			two := w.granted(w.exchange("gateway", one.text("access_token"), access,
				"requested_token_type", string(jwt), "scope", "read"))
			three := w.granted(w.exchange("other", two.text("access_token"), jwt, "scope", "read"))
			var family []string
			for _, a := range []answer{one, two, three} {
				family = append(family, a.text("access_token"))
			}
			for _, value := range family {
				got := w.introspect("api", value)
				require.Equal(t, true, got["active"])
				require.Equal(t, "bob", got["act"].(map[string]any)["sub"], "the chain stays")
			}
			stranger := w.opaque("alice")
			revoke(w, subject, actor)
			for _, value := range family {
				require.Equal(t, map[string]any{"active": false}, w.introspect("api", value))
			}
			require.True(t, w.active(stranger), "another token of the same user")
			w.refused(w.exchange("other", family[2], access, "scope", "read"),
				tx.InvalidRequest, "token_revoked")
			w.refused(w.refresh("helpdesk", one.text("refresh_token")),
				tx.InvalidGrant, "token_revoked")
		})
	}
}

// Revoking a token does not end the tokens that it was made from, and the expiry of a token ends no
// other token.
func TestRevokingAChild(t *testing.T) {
	w := newWorld(t)
	subject := w.opaque("alice")
	read := func() string {
		a := w.granted(w.exchange("gateway", subject, access, "scope", "read"))
		return a.text("access_token")
	}
	child := read()
	w.granted(w.post("/revoke", "gateway", url.Values{"token": {child}}))
	require.False(t, w.active(child))
	require.True(t, w.active(subject))

	w = newWorld(t)
	rules := usualRules()
	rules[0].Impersonate.OutliveSubject = true
	w.setRules(rules...)
	w.people.Add(tx.Subject{Identity: alice, Scope: tx.Scope{"read"},
		Until: w.clock().Add(24 * time.Hour)})
	subject = w.opaque("alice")
	w.after(119 * time.Minute)
	child = read()
	w.after(30 * time.Minute)
	require.False(t, w.active(subject), "expired")
	require.True(t, w.active(child))
}

// A token that is issued while its parent is being revoked does not stay active.
func TestExchangeWhileRevoking(t *testing.T) {
	w := newWorld(t)
	for range 12 {
		subject := w.opaque("alice")
		root := w.mustVerify(subject)
		var mu sync.Mutex
		var issued []string
		chain := func(client string) {
			value, kind := subject, access
			for _, to := range []tx.TokenType{access, jwt, access} {
				request := tx.Request{SubjectToken: value, SubjectTokenType: kind,
					RequestedTokenType: to, Scope: tx.Scope{"read"}}
				resp, err := w.x.Exchange(t.Context(), w.client[client], request.Values())
				if err != nil {
					assert.ErrorIs(t, err, tokenstore.ErrRevoked)
					return
				}
				value, kind = resp.AccessToken, to
				mu.Lock()
				issued = append(issued, value)
				mu.Unlock()
			}
		}
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				if i == 4 {
					assert.NoError(t, w.tokens.Revoke(t.Context(), root))
					return
				}
				chain([]string{"gateway", "other"}[i%2])
			})
		}
		group.Wait()
		for _, value := range issued {
			require.False(t, w.active(value))
		}
	}
}

func (w *world) mustVerify(value string) tx.Token {
	tok, err := w.tokens.VerifyToken(w.Context(), w.credential(access, value))
	require.NoError(w, err)
	return tok
}

// Only one of many requests can use a ticket. A request that is refused, or whose token is
// discarded, does not use the ticket up.
func TestTickets(t *testing.T) {
	for name, opaque := range map[string]bool{"signed": false, "opaque": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if opaque {
				w.tokens.Opaque = map[tx.TokenType]string{access: "at_", ticket: "tk_"}
			}
			value := w.ticket(opaque)
			actor := w.signed("bob", idToken)
			use := func(more ...string) answer {
				form := []string{"actor_token", actor, "actor_token_type", string(idToken)}
				return w.exchange("helpdesk", value, ticket, append(form, more...)...)
			}
			w.refused(use("audience", "https://elsewhere.example"), tx.InvalidTarget,
				"target_not_allowed")
			w.actors.Fail(tx.ServerError)
			w.refused(use(), tx.ServerError, "actor_not_authorized")
			w.actors.Fail(nil)
			w.audit.Fail(tx.ServerError)
			require.Equal(t, 500, use().status)
			w.audit.Fail(nil)

			var won atomic.Int32
			var group sync.WaitGroup
			for range 12 {
				group.Go(func() {
					switch a := use("scope", "read"); a.status {
					case 200:
						won.Add(1)
					default:
						assert.Equal(t, "invalid_request", a.text("error"))
					}
				})
			}
			group.Wait()
			require.EqualValues(t, 1, won.Load())
			w.refused(use(), tx.InvalidRequest, "ticket_spent")
		})
	}
}

// ticket returns a ticket with which bob may act for alice.
func (w *world) ticket(opaque bool) string {
	tok := w.login("alice")
	tok.Type, tok.ClientID, tok.Expires = ticket, "helpdesk", w.clock().Add(2*time.Minute)
	tok.MayAct = &tx.Actor{Subject: "bob"}
	if opaque {
		t, err := w.tokens.Mint(w.Context(), tok)
		require.NoError(w, err)
		return t.Value
	}
	tok.ID = "ticket 1"
	require.NoError(w, w.tokens.Record(w.Context(), tok))
	return w.minter.Sign("ticket+jwt", map[string]any{"iss": issuer, "sub": "alice",
		"aud": "helpdesk", "client_id": "helpdesk", "jti": tok.ID, "scope": "read",
		"iat": w.clock().Unix(), "exp": tok.Expires.Unix(),
		"may_act": map[string]any{"sub": "bob"}})
}

// Tokens that are not sent have no live record (I06).
func TestDiscard(t *testing.T) {
	w := newWorld(t)
	subject := w.opaque("alice")
	var batch tokenstore.Batch
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		batch = b
		return w.store.Store.Commit(ctx, now, b)
	}
	w.audit.Fail(tx.ServerError)
	a := w.exchange("gateway", subject, access, "scope", "read openid offline_access")
	require.Equal(t, 500, a.status)
	require.Len(t, batch.Put, 3)
	for _, r := range batch.Put {
		_, err := w.store.Get(t.Context(), w.clock(), r.Key)
		require.ErrorIs(t, err, tokenstore.ErrUnknown)
	}
}

// Each refusal of a Commit has a reason in the audit trail. ErrExists is a failure.
func TestCommitRefused(t *testing.T) {
	for answer, reason := range map[tokenstore.Refusal]string{
		tokenstore.ErrRevoked: "origin_revoked",
		tokenstore.ErrSpent:   "ticket_spent",
		tokenstore.ErrTooMany: "too_many_ancestors",
	} {
		w := newWorld(t)
		login := w.opaque("alice")
		w.store.commit = func(context.Context, time.Time, tokenstore.Batch) error { return answer }
		a := w.exchange("gateway", login, access, "scope", "read")
		w.refused(a, tx.InvalidRequest, reason)
		require.ErrorIs(t, w.audit.Last().Err, answer)
	}
	w := newWorld(t)
	login := w.opaque("alice")
	w.store.commit = func(context.Context, time.Time, tokenstore.Batch) error {
		return tokenstore.ErrExists
	}
	a := w.exchange("gateway", login, access, "scope", "read")
	w.failed(a, tokenstore.ErrExists)
}

// A Commit that may or may not have happened is discarded.
func TestCommitInDoubt(t *testing.T) {
	w := newWorld(t)
	subject := w.opaque("alice")
	var batch tokenstore.Batch
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		batch = b
		require.NoError(t, w.store.Store.Commit(ctx, now, b))
		return errBroken
	}
	a := w.exchange("gateway", subject, access, "scope", "read")
	w.failed(a, errBroken)
	_, err := w.store.Get(t.Context(), w.clock(), batch.Put[0].Key)
	require.ErrorIs(t, err, tokenstore.ErrUnknown)
}

var errBroken = errors.New("the store is broken")
