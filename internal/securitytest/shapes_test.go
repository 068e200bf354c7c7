package securitytest

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// both runs a test with each claim shape of delegation (D18).
func both(t *testing.T, test func(t *testing.T, w *world.World)) {
	for name, actAs := range map[string]bool{"act": false, "act_as": true} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			w.TokenIssuer = world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{ActAs: actAs})
			test(t, w)
		})
	}
}

// by adds an actor token about sub, which was issued to a client.
func by(w *world.World, f url.Values, sub, client string) url.Values {
	actor := w.Access(claims{"sub": sub, "client_id": client})
	return world.WithActor(f, actor, tx.TypeAccessToken)
}

// read verifies a token as shop presents it.
func read(w *world.World, token string, declared tx.TokenType) tx.Token {
	tok, err := w.Verify[declared](context.Background(), tx.Credential{
		Token: token, Type: declared, Issuer: world.Own, Client: w.Clients["shop"], Now: world.Now,
	})
	require.NoError(w, err)
	return tok
}

// chainOf verifies an access token and lists its chain, the current actor first.
func chainOf(w *world.World, token string) (list [][3]string) {
	for a := read(w, token, tx.TypeAccessToken).Actor; a != nil; a = a.Prior {
		list = append(list, [3]string{a.Issuer, a.Subject, a.ClientID})
	}
	return list
}

// TestD18_BothShapesReadAlike issues a delegated token in each shape and exchanges it again in
// every way.
func TestD18_BothShapesReadAlike(t *testing.T) {
	both(t, func(t *testing.T, w *world.World) {
		w.Rule("delegate").Delegate.OtherActors = true
		w.Configure()
		robot := claims{"iss": world.IDP, "sub": "robot", "x": 1}
		bob := claims{"iss": world.Own, "sub": "bob", "client_id": "b", "act": robot}
		for name, patch := range map[string]claims{"no chain": {}, "a chain": {"act": bob}} {
			for client, otherClient := range map[string]string{"shop": "other", "other": "shop"} {
				token := w.Post("shop", by(w, w.AccessForm(patch), "admin", client)).Issued(t)
				tok := read(w, token, tx.TypeAccessToken)
				require.Equal(t, "alice", tok.Subject, name)
				want := [][3]string{{world.Own, "admin", client}}
				if name == "a chain" {
					want = append(want, [3]string{world.Own, "bob", "b"},
						[3]string{world.IDP, "robot", ""})
				}
				require.Equal(t, want, chainOf(w, token))
				require.Equal(t, w.LastEvent().Decision.Actor.Subject, tok.Actor.Subject)

				t.Run(name+": presented again", func(t *testing.T) {
					w.Resolved = nil
					again := w.Post("shop", world.Present(token)).Issued(t)
					require.Equal(t, want, chainOf(w, again), "D13: narrowed")
					require.Equal(t, "alice", w.Resolved[0].Subject)
					carried := w.Post("gateway", world.Present(token)).Issued(t)
					require.Equal(t, want, chainOf(w, carried), "D13: carried")
					require.Equal(t, "alice", read(w, carried, tx.TypeAccessToken).Subject)
					byCarol := by(w, world.Present(token), "carol", "shop")
					further := w.Post("shop", byCarol).Issued(t)
					require.Equal(t, append([][3]string{{world.Own, "carol", "shop"}}, want...),
						chainOf(w, further), "D12")
				})
				t.Run(name+": as actor token", func(t *testing.T) {
					f := w.AccessForm(claims{"sub": "carol"})
					w.Post("shop", world.WithActor(f, token, tx.TypeAccessToken)).
						Refused(t, tx.InvalidRequest)
				})
				t.Run(name+": the actor again", func(t *testing.T) { // D15
					same := w.Post("shop", by(w, world.Present(token), "admin", client)).Issued(t)
					require.Equal(t, want, chainOf(w, same))
					w.Post("shop", by(w, world.Present(token), "admin", otherClient)).
						Refused(t, tx.InvalidRequest)
					if name == "a chain" {
						w.Post("shop", by(w, world.Present(token), "bob", "shop")).
							Refused(t, tx.InvalidRequest)
					}
				})
			}
		}
	})
}

// TestD18_TheShapesThemselves compares the claims that are issued in each shape.
func TestD18_TheShapesThemselves(t *testing.T) {
	both(t, func(t *testing.T, w *world.World) {
		chain := claims{"act": claims{"sub": "bob", "x": "kept"}}
		got := w.Post("shop", w.Delegation(chain)).Granted(t)
		prior := claims{"iss": world.Own, "sub": "bob", "x": "kept"}
		if act, ok := got["act"]; ok {
			require.Equal(t, "alice", got["sub"])
			require.NotContains(t, got, "act_as")
			require.Equal(t, claims{
				"iss": world.Own, "sub": "admin", "client_id": "shop", "act": prior,
			}, act, "R15: identity only")
		} else {
			require.Equal(t, "admin", got["sub"])
			require.NotContains(t, got, "act")
			require.Equal(t, claims{"sub": "alice", "act": prior}, got["act_as"])
		}
		none := w.Post("shop", w.AccessForm(nil)).Granted(t)
		require.Equal(t, "alice", none["sub"])
		require.NotContains(t, none, "act_as")
		require.NotContains(t, none, "act")
	})
	t.Run("client as actor", func(t *testing.T) {
		both(t, func(t *testing.T, w *world.World) {
			token := w.Post("backend", w.AccessForm(claims{"client_id": "backend"})).Issued(t)
			require.Equal(t, "alice", read(w, token, tx.TypeAccessToken).Subject)
			require.Equal(t, [][3]string{{world.Own, "backend", "backend"}}, chainOf(w, token))
			again := w.Post("backend", world.Present(token)).Issued(t)
			require.Equal(t, chainOf(w, token), chainOf(w, again), "D15: not repeated")
		})
	})
	t.Run("ID token beside it and asked for", func(t *testing.T) {
		both(t, func(t *testing.T, w *world.World) {
			f := w.ByAdmin(world.Form(w.ID(), tx.TypeIDToken, "scope", "openid read"))
			beside := w.Post("shop", f)
			beside.Granted(t)
			f.Set("requested_token_type", string(tx.TypeIDToken))
			requested := w.Post("shop", f).Issued(t)
			for _, token := range []string{beside.JSON["id_token"].(string), requested} {
				tok := read(w, token, tx.TypeIDToken)
				require.Equal(t, "alice", tok.Subject, "D27")
				require.Equal(t, world.Own, tok.Actor.Issuer)
				require.Equal(t, "admin", tok.Actor.Subject)
				require.Equal(t, "shop", tok.Actor.ClientID)
				require.Nil(t, tok.Actor.Prior)
			}
		})
	})
}

// TestD18_HostileActAs presents tokens with a malformed act_as, or with an act_as that is not
// allowed.
func TestD18_HostileActAs(t *testing.T) {
	w := world.New(t)
	deep := claims{"sub": "e"}
	for _, sub := range []string{"d", "c", "b"} {
		deep = claims{"sub": sub, "act": deep}
	}
	twice := claims{"sub": "carol", "act": claims{"sub": "carol"}}
	for name, patch := range map[string]claims{
		"act beside it":       {"act": claims{"sub": "bob"}, "act_as": claims{"sub": "alice"}},
		"a string":            {"act_as": "alice"},
		"null":                {"act_as": json.RawMessage("null")},
		"an array":            {"act_as": []claims{{"sub": "alice"}}},
		"empty":               {"act_as": claims{}},
		"without sub":         {"act_as": claims{"iss": world.Own}},
		"sub a number":        {"act_as": claims{"sub": 1}},
		"sub empty":           {"act_as": claims{"sub": ""}},
		"another issuer":      {"act_as": claims{"sub": "alice", "iss": world.IDP}},
		"a malformed chain":   {"act_as": claims{"sub": "alice", "act": "bob"}},
		"a chain without sub": {"act_as": claims{"sub": "alice", "act": claims{}}},
		"D15 the actor in the chain": {
			"sub": "bob", "act_as": claims{"sub": "alice", "act": claims{"sub": "bob"}},
		},
		"D15 somebody twice": {"sub": "bob", "act_as": claims{"sub": "alice", "act": twice}},
		"D15 five deep":      {"sub": "a", "act_as": claims{"sub": "alice", "act": deep}},
		"no sub":             {"sub": nil, "act_as": claims{"sub": "alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			refusedEverywhere(t, w, w.Access(patch), tx.TypeAccessToken)
		})
	}
	t.Run("good", func(t *testing.T) {
		patch := claims{"sub": "bob", "act_as": claims{"sub": "carol", "iss": world.Own}}
		require.Equal(t, "carol", w.Post("shop", w.AccessForm(patch)).Granted(t)["sub"])
	})
	t.Run("the actor is asked about, not taken for the subject", func(t *testing.T) {
		delete(w.People, world.Own+" bob")
		w.Post("shop", w.AccessForm(claims{"sub": "bob", "act_as": claims{"sub": "carol"}})).
			Refused(t, tx.InvalidRequest)
	})
	t.Run("D06 of an issuer that is not believed", func(t *testing.T) {
		token := w.ForeignToken(claims{"sub": "robot", "act_as": claims{"sub": "ext-alice"}})
		w.Post("gateway", world.Form(token, tx.TypeJWT)).Refused(t, tx.InvalidRequest)
		w.Trusts[1].ActClaims = true
		w.Configure()
		got := w.Post("gateway", world.Form(token, tx.TypeJWT)).Granted(t)
		require.Equal(t, "alice", got["sub"])
		require.Equal(t, claims{"iss": world.IDP, "sub": "robot"}, got["act"])
	})
	t.Run("a foreign actor cannot be written in this shape", func(t *testing.T) {
		w.TokenIssuer = world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{ActAs: true})
		robot := w.ForeignToken(claims{"sub": "robot"})
		a := w.Post("shop", world.WithActor(w.AccessForm(nil), robot, tx.TypeJWT))
		require.NotEqual(t, 200, a.Status)
		require.NotContains(t, a.Raw, "eyJ")
		require.Error(t, w.LastEvent().Err)
	})
	t.Run("D12 nor what the current actor says beside its names", func(t *testing.T) {
		w := world.New(t)
		w.TokenIssuer = world.NewIssuer(t, w.Key, "own-1", tx.JWTIssuer{ActAs: true})
		carried := func(act claims) world.Answer {
			return w.Post("gateway", w.AccessForm(claims{"act": act}))
		}
		carried(claims{"sub": "bob"}).Granted(t)
		a := carried(claims{"sub": "bob", "team": "night"})
		require.Equal(t, 500, a.Status)
		require.NotContains(t, a.Raw, "eyJ")
		require.ErrorContains(t, w.LastEvent().Err, "further members of the current actor")
	})
}

// TestR16_PriorActorsDecideNothing gives a prior actor claims of its own, which change nothing.
func TestR16_PriorActorsDecideNothing(t *testing.T) {
	w := world.New(t)
	prior := claims{
		"sub": "ghost", "iss": "https://gone.example", "client_id": "gone", "aud": "x", "exp": 1,
		"scope": "admin", "may_act": claims{"sub": "nobody"},
	}
	f := w.Delegation(claims{"act": claims{"sub": "bob", "act": prior}})
	got := w.Post("shop", f).Granted(t)
	require.Equal(t, "read write", got["scope"])
	for _, tok := range w.Resolved {
		require.NotEqual(t, "ghost", tok.Subject)
	}
	act := got["act"].(claims)
	require.Len(t, act, 4, "R15: sub, iss, client_id and the chain")
	inner := act["act"].(claims)["act"].(claims)
	require.Equal(t, "admin", inner["scope"], "D12: a prior actor is carried unchanged")
}

// TestR17_ScopeAndClientClaims checks scope and client_id in each shape, and that act and may_act
// can stand side by side.
func TestR17_ScopeAndClientClaims(t *testing.T) {
	both(t, func(t *testing.T, w *world.World) {
		for _, scope := range []string{"", "write read"} {
			got := w.Post("shop", w.Delegation(nil, "scope", scope)).Granted(t)
			require.IsType(t, "", got["scope"])
			require.Equal(t, "shop", got["client_id"])
		}
		got := w.Post("gateway", w.AccessForm(nil)).Granted(t)
		require.Equal(t, "gateway", got["client_id"], "of the exchanging client")
		token := w.Access(claims{"act": claims{"sub": "bob"}, "may_act": claims{"sub": "admin"}})
		tok := read(w, token, tx.TypeAccessToken)
		require.Equal(t, "bob", tok.Actor.Subject)
		require.Equal(t, "admin", tok.MayAct.Subject)
	})
}
