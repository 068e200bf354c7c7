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

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Issuing changes type in every direction (Z25), and what was issued can be presented again.
func TestEveryPairOfTypes(t *testing.T) {
	w := newWorld(t)
	subjects := map[string]struct {
		declared tokenexchange.TokenType
		make     func() string
	}{
		"opaque":   {access, func() string { return w.opaque("alice") }},
		"jwt":      {jwt, func() string { w.after(time.Second); return w.signed("alice", access) }},
		"id_token": {idToken, func() string { w.after(time.Second); return w.signed("alice", idToken) }},
	}
	for from, s := range subjects {
		for _, to := range []tokenexchange.TokenType{"", access, jwt, idToken} {
			t.Run(from+" to "+string(to), func(t *testing.T) {
				scope := "read"
				if to == idToken {
					scope = "openid"
				}
				a := w.granted(w.exchange("gateway", s.make(), s.declared, "requested_token_type", string(to), "scope", scope))
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
					require.False(t, w.active(value), "an ID token is nothing to introspect")
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
					declared = access // an own JWT may be declared as either
				}
				w.granted(w.exchange("gateway", value, declared, "scope", scope))
			})
		}
	}
	require.NotContains(t, w.audit.Events()[0].TokenID, "at_")
}

// A reduced token says what it was reduced to, and the old one what it said before (Z13).
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

// An ID token beside an opaque access token has the hash of that (Z16), beside a JWT that of the JWT.
func TestIDTokenBesideEither(t *testing.T) {
	w := newWorld(t)
	for _, to := range []tokenexchange.TokenType{access, jwt} {
		a := w.granted(w.exchange("gateway", w.opaque("alice"), access, "requested_token_type", string(to), "scope", "read openid offline_access"))
		hash := sha256.Sum256([]byte(a.text("access_token")))
		c := claims(t, a.text("id_token"))
		require.Equal(t, base64.RawURLEncoding.EncodeToString(hash[:16]), c["at_hash"])
		require.Equal(t, "gateway", c["azp"])
		require.True(t, strings.HasPrefix(a.text("refresh_token"), "rt_"))
		w.granted(w.exchange("gateway", a.text("id_token"), idToken, "scope", "read"))

		refresh := w.introspect("gateway", a.text("refresh_token"))
		require.Equal(t, true, refresh["active"])
		w.granted(w.post("/revoke", "gateway", url.Values{"token": {a.text("refresh_token")}}))
		w.refused(w.exchange("gateway", a.text("id_token"), idToken, "scope", "read"), tokenexchange.InvalidRequest, "revoked")
	}
}

// To revoke a subject token, an actor token or a session ends what was made from it, three hops deep, whatever the types.
func TestFamilies(t *testing.T) {
	session := tokenstore.KeyOf("session", issuer, "s1")
	for name, kill := range map[string]func(w *world, subject, actor string){
		"subject": func(w *world, subject, _ string) {
			w.granted(w.post("/revoke", "webapp", url.Values{"token": {subject}}))
		},
		"actor": func(w *world, _, actor string) {
			w.granted(w.post("/revoke", "webapp", url.Values{"token": {actor}}))
		},
		"session": func(w *world, _, _ string) {
			require.NoError(w, w.store.Revoke(w.Context(), w.clock(), session, w.clock().Add(time.Hour)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			subject, actor := w.opaque("alice", session), w.signed("bob", access)
			one := w.granted(w.exchange("helpdesk", subject, access, "actor_token", actor, "actor_token_type", string(access), "scope", "read offline_access"))
			two := w.granted(w.exchange("gateway", one.text("access_token"), access, "requested_token_type", string(jwt), "scope", "read"))
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
			kill(w, subject, actor)
			for _, value := range family {
				require.Equal(t, map[string]any{"active": false}, w.introspect("api", value))
			}
			require.True(t, w.active(stranger), "another token of the same user")
			w.refused(w.exchange("other", family[2], access, "scope", "read"), tokenexchange.InvalidRequest, "revoked")
			w.refused(w.refresh("helpdesk", one.text("refresh_token")), tokenexchange.InvalidGrant, "revoked")
		})
	}
}

// To revoke what was made leaves its parents alone, and so does time.
func TestParentsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	subject := w.opaque("alice")
	child := w.granted(w.exchange("gateway", subject, access, "scope", "read")).text("access_token")
	w.granted(w.post("/revoke", "gateway", url.Values{"token": {child}}))
	require.False(t, w.active(child))
	require.True(t, w.active(subject))

	w = newWorld(t)
	rules := usualRules()
	rules[0].OutliveSubject = true
	w.setRules(rules...)
	w.people.Add(tokenexchange.Subject{Identity: alice, Scope: tokenexchange.Scope{"read"}, Until: w.clock().Add(24 * time.Hour)})
	subject = w.opaque("alice")
	w.after(119 * time.Minute)
	child = w.granted(w.exchange("gateway", subject, access, "scope", "read")).text("access_token")
	w.after(30 * time.Minute)
	require.False(t, w.active(subject), "expired")
	require.True(t, w.active(child), "the end of a parent by time ends nothing")
}

// No token that was issued while its parent was being revoked stays active.
func TestExchangeWhileRevoking(t *testing.T) {
	w := newWorld(t)
	for range 12 {
		subject := w.opaque("alice")
		root := w.mustVerify(subject)
		var mu sync.Mutex
		var issued []string
		chain := func(client string) {
			value, kind := subject, access
			for _, to := range []tokenexchange.TokenType{access, jwt, access} {
				resp, err := w.x.Exchange(t.Context(), w.client[client], tokenexchange.Request{SubjectToken: value,
					SubjectTokenType: kind, RequestedTokenType: to, Scope: tokenexchange.Scope{"read"}}.Values())
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

func (w *world) mustVerify(value string) tokenexchange.Token {
	tok, err := w.tokens.VerifyToken(w.Context(), w.credential(access, value))
	require.NoError(w, err)
	return tok
}

// A ticket is spent in the write that records the token: by one of many, by none that is refused, and not for a token that
// does not leave.
func TestTickets(t *testing.T) {
	for name, opaque := range map[string]bool{"signed": false, "opaque": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if opaque {
				w.tokens.Opaque = map[tokenexchange.TokenType]string{access: "at_", ticket: "tk_"}
			}
			value := w.ticket(opaque)
			actor := w.signed("bob", idToken)
			use := func(more ...string) answer {
				return w.exchange("helpdesk", value, ticket, append([]string{"actor_token", actor, "actor_token_type", string(idToken)}, more...)...)
			}
			w.refused(use("audience", "https://elsewhere.example"), tokenexchange.InvalidTarget, "D24")
			w.actors.Fail(tokenexchange.ServerError)
			w.refused(use(), tokenexchange.ServerError, "D11")
			w.actors.Fail(nil)
			w.audit.Fail(tokenexchange.ServerError)
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
			w.refused(use(), tokenexchange.InvalidRequest, "used")
		})
	}
}

// ticket is one for bob to act upon for alice.
func (w *world) ticket(opaque bool) string {
	tok := w.login("alice")
	tok.Type, tok.ClientID, tok.Expires = ticket, "helpdesk", w.clock().Add(2*time.Minute)
	tok.MayAct = &tokenexchange.Actor{Subject: "bob"}
	if opaque {
		t, err := w.tokens.Mint(w.Context(), tok)
		require.NoError(w, err)
		return t.Value
	}
	tok.ID = "ticket 1"
	require.NoError(w, w.tokens.Record(w.Context(), tok))
	return w.minter.Sign("ticket+jwt", map[string]any{"iss": issuer, "sub": "alice", "aud": "helpdesk", "client_id": "helpdesk", "jti": tok.ID,
		"iat": w.clock().Unix(), "exp": tok.Expires.Unix(), "may_act": map[string]any{"sub": "bob"}, "scope": "read"})
}

// A token that must not leave has no live record, and nothing is spent for it (I06).
func TestDiscard(t *testing.T) {
	w := newWorld(t)
	subject := w.opaque("alice")
	var batch tokenstore.Batch
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		batch = b
		return w.store.Store.Commit(ctx, now, b)
	}
	w.audit.Fail(tokenexchange.ServerError)
	a := w.exchange("gateway", subject, access, "scope", "read openid offline_access")
	require.Equal(t, 500, a.status)
	require.Len(t, batch.Put, 3)
	for _, r := range batch.Put {
		_, err := w.store.Get(t.Context(), w.clock(), r.Key)
		require.ErrorIs(t, err, tokenstore.ErrUnknown)
	}
}

// Where nobody knows whether a Commit has happened, it is undone.
func TestCommitInDoubt(t *testing.T) {
	w := newWorld(t)
	subject := w.opaque("alice")
	var batch tokenstore.Batch
	w.store.commit = func(ctx context.Context, now time.Time, b tokenstore.Batch) error {
		batch = b
		require.NoError(t, w.store.Store.Commit(ctx, now, b))
		return errBroken
	}
	w.refused(w.exchange("gateway", subject, access, "scope", "read"), tokenexchange.ServerError, "broken")
	_, err := w.store.Get(t.Context(), w.clock(), batch.Put[0].Key)
	require.ErrorIs(t, err, tokenstore.ErrUnknown)
}

var errBroken = errors.New("the store is broken")
