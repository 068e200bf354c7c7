package tokenexchange_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// both runs a test with each claim shape of delegation (D18).
func both(t *testing.T, test func(t *testing.T, w *world)) {
	for name, actAs := range map[string]bool{"act": false, "act_as": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{ActAs: actAs})
			test(t, w)
		})
	}
}

// read is what the Verifier makes of a token that was issued to shop.
func (w *world) read(token any, declared tx.TokenType) tx.Token {
	tok, err := w.Verify[declared](w.t.Context(), tx.Credential{Token: token.(string), Type: declared, Issuer: ownIss, Client: w.clients["shop"], Now: at})
	require.NoError(w, err)
	return tok
}

// chainOf lists a chain, the current actor first.
func chainOf(a *tx.Actor) (list [][3]string) {
	for ; a != nil; a = a.Prior {
		list = append(list, [3]string{a.Issuer, a.Subject, a.ClientID})
	}
	return list
}

func TestD18_BothShapesReadAlike(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		prior := claims{"iss": idpIss, "sub": "robot", "x": 1}
		for name, patch := range map[string]claims{"no chain": {}, "a chain": {"act": claims{"iss": ownIss, "sub": "bob", "client_id": "b", "act": prior}}} {
			for _, client := range []string{"shop", "other"} { // whose actor token
				w.rule("delegate").Delegate.OtherActors = true
				w.configure()
				f := withActor(form(w.access(patch), tx.TypeAccessToken), w.access(claims{"sub": "admin", "client_id": client}), tx.TypeAccessToken)
				a := w.post("shop", f)
				a.granted(t)
				tok := w.read(a.json["access_token"], tx.TypeAccessToken)
				require.Equal(t, "alice", tok.Subject, name)
				want := [][3]string{{ownIss, "admin", client}}
				if name == "a chain" {
					want = append(want, [3]string{ownIss, "bob", "b"}, [3]string{idpIss, "robot", ""})
				}
				require.Equal(t, want, chainOf(tok.Actor))
				require.Equal(t, w.lastEvent().Decision.Actor.Subject, tok.Actor.Subject)

				t.Run(name+": presented again", func(t *testing.T) {
					w.resolved = nil
					again := w.post("shop", form(a.json["access_token"].(string), tx.TypeAccessToken))
					again.granted(t)
					require.Equal(t, want, chainOf(w.read(again.json["access_token"], tx.TypeAccessToken).Actor), "D13: narrowed")
					require.Equal(t, "alice", w.resolved[0].Subject)
					gateway := w.post("gateway", form(a.json["access_token"].(string), tx.TypeAccessToken))
					gateway.granted(t)
					require.Equal(t, want, chainOf(w.read(gateway.json["access_token"], tx.TypeAccessToken).Actor), "D13: carried")
					require.Equal(t, "alice", w.read(gateway.json["access_token"], tx.TypeAccessToken).Subject)
					further := w.post("shop", withActor(form(a.json["access_token"].(string), tx.TypeAccessToken), w.access(claims{"sub": "carol"}), tx.TypeAccessToken))
					further.granted(t)
					require.Equal(t, append([][3]string{{ownIss, "carol", "shop"}}, want...), chainOf(w.read(further.json["access_token"], tx.TypeAccessToken).Actor), "D12")
				})
				t.Run(name+": as actor token", func(t *testing.T) {
					w.post("shop", withActor(form(w.access(claims{"sub": "carol"}), tx.TypeAccessToken), a.json["access_token"].(string), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
				})
				t.Run(name+": the actor again", func(t *testing.T) { // D15
					same := w.post("shop", withActor(form(a.json["access_token"].(string), tx.TypeAccessToken), w.access(claims{"sub": "admin", "client_id": client}), tx.TypeAccessToken))
					same.granted(t)
					require.Equal(t, want, chainOf(w.read(same.json["access_token"], tx.TypeAccessToken).Actor))
					elsewhere := map[string]string{"shop": "other", "other": "shop"}[client]
					w.post("shop", withActor(form(a.json["access_token"].(string), tx.TypeAccessToken), w.access(claims{"sub": "admin", "client_id": elsewhere}), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
					if name == "a chain" {
						w.post("shop", withActor(form(a.json["access_token"].(string), tx.TypeAccessToken), w.access(claims{"sub": "bob"}), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
					}
				})
			}
		}
	})
}

func TestD18_TheShapesThemselves(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		says := w.post("shop", withActor(form(w.access(claims{"act": claims{"sub": "bob", "x": "kept"}}), tx.TypeAccessToken), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)).granted(t)
		prior := map[string]any{"iss": ownIss, "sub": "bob", "x": "kept"}
		if act, ok := says["act"]; ok {
			require.Equal(t, "alice", says["sub"])
			require.NotContains(t, says, "act_as")
			require.Equal(t, map[string]any{"iss": ownIss, "sub": "admin", "client_id": "shop", "act": prior}, act, "R15: identity only")
		} else {
			require.Equal(t, "admin", says["sub"])
			require.NotContains(t, says, "act")
			require.Equal(t, map[string]any{"sub": "alice", "act": prior}, says["act_as"])
		}
		none := w.post("shop", form(w.access(nil), tx.TypeAccessToken)).granted(t)
		require.Equal(t, "alice", none["sub"])
		require.NotContains(t, none, "act_as")
		require.NotContains(t, none, "act")
	})
	t.Run("client as actor", func(t *testing.T) {
		both(t, func(t *testing.T, w *world) {
			a := w.post("backend", form(w.access(claims{"client_id": "backend"}), tx.TypeAccessToken))
			a.granted(t)
			tok := w.read(a.json["access_token"], tx.TypeAccessToken)
			require.Equal(t, "alice", tok.Subject)
			require.Equal(t, [][3]string{{ownIss, "backend", "backend"}}, chainOf(tok.Actor))
			again := w.post("backend", form(a.json["access_token"].(string), tx.TypeAccessToken))
			again.granted(t)
			require.Equal(t, chainOf(tok.Actor), chainOf(w.read(again.json["access_token"], tx.TypeAccessToken).Actor), "D15: not repeated")
		})
	})
	t.Run("ID token beside it and asked for", func(t *testing.T) {
		both(t, func(t *testing.T, w *world) {
			f := withActor(form(w.id(nil), tx.TypeIDToken, "scope", "openid read"), w.access(claims{"sub": "admin"}), tx.TypeAccessToken)
			a := w.post("shop", f)
			a.granted(t)
			f.Set("requested_token_type", string(tx.TypeIDToken))
			b := w.post("shop", f)
			b.granted(t)
			for _, token := range []any{a.json["id_token"], b.json["access_token"]} {
				tok := w.read(token, tx.TypeIDToken)
				require.Equal(t, "alice", tok.Subject, "D27")
				require.Equal(t, [][3]string{{ownIss, "admin", "shop"}}, chainOf(tok.Actor))
			}
		})
	})
}

func TestD18_HostileActAs(t *testing.T) {
	w := newWorld(t)
	for name, patch := range map[string]claims{
		"act beside it": {"act": claims{"sub": "bob"}, "act_as": claims{"sub": "alice"}}, "a string": {"act_as": "alice"}, "null": {"act_as": json.RawMessage("null")}, "an array": {"act_as": []claims{{"sub": "alice"}}},
		"empty": {"act_as": claims{}}, "without sub": {"act_as": claims{"iss": ownIss}}, "sub a number": {"act_as": claims{"sub": 1}}, "sub empty": {"act_as": claims{"sub": ""}},
		"another issuer": {"act_as": claims{"sub": "alice", "iss": idpIss}}, "a malformed chain": {"act_as": claims{"sub": "alice", "act": "bob"}}, "a chain without sub": {"act_as": claims{"sub": "alice", "act": claims{}}},
		"D15 the actor in the chain": {"sub": "bob", "act_as": claims{"sub": "alice", "act": claims{"sub": "bob"}}}, "D15 somebody twice": {"sub": "bob", "act_as": claims{"sub": "alice", "act": claims{"sub": "carol", "act": claims{"sub": "carol"}}}},
		"D15 five deep": {"sub": "a", "act_as": claims{"sub": "alice", "act": claims{"sub": "b", "act": claims{"sub": "c", "act": claims{"sub": "d", "act": claims{"sub": "e"}}}}}}, "no sub": {"sub": nil, "act_as": claims{"sub": "alice"}},
	} {
		t.Run(name, func(t *testing.T) { w.refusedEverywhere(t, w.access(patch), tx.TypeAccessToken) })
	}
	t.Run("good", func(t *testing.T) {
		patch := claims{"sub": "bob", "act_as": claims{"sub": "carol", "iss": ownIss}}
		require.Equal(t, "carol", w.post("shop", form(w.access(patch), tx.TypeAccessToken)).granted(t)["sub"])
	})
	t.Run("the actor is asked about, not taken for the subject", func(t *testing.T) {
		delete(w.people, ownIss+" bob")
		w.post("shop", form(w.access(claims{"sub": "bob", "act_as": claims{"sub": "carol"}}), tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
	})
	t.Run("D06 of an issuer that is not believed", func(t *testing.T) {
		w.post("gateway", form(w.foreignToken(claims{"sub": "robot", "act_as": claims{"sub": "ext-alice"}}), tx.TypeJWT)).refused(t, tx.InvalidRequest)
		w.trusts[1].ActClaims = true
		w.configure()
		says := w.post("gateway", form(w.foreignToken(claims{"sub": "robot", "act_as": claims{"sub": "ext-alice"}}), tx.TypeJWT)).granted(t)
		require.Equal(t, "alice", says["sub"])
		require.Equal(t, map[string]any{"iss": idpIss, "sub": "robot"}, says["act"])
	})
	t.Run("a foreign actor cannot be written in this shape", func(t *testing.T) {
		w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{ActAs: true})
		a := w.post("shop", withActor(form(w.access(nil), tx.TypeAccessToken), w.foreignToken(claims{"sub": "robot"}), tx.TypeJWT))
		require.NotEqual(t, 200, a.status)
		require.NotContains(t, a.raw, "eyJ")
		require.Error(t, w.lastEvent().Err)
	})
	t.Run("D12 nor what the current actor says beside its names", func(t *testing.T) {
		w := newWorld(t)
		w.TokenIssuer = newIssuer(t, w.key, "own-1", tx.JWTIssuer{ActAs: true})
		carried := func(act claims) answer {
			return w.post("gateway", form(w.access(claims{"act": act}), tx.TypeAccessToken))
		}
		carried(claims{"sub": "bob"}).granted(t)
		a := carried(claims{"sub": "bob", "team": "night"})
		require.Equal(t, 500, a.status)
		require.NotContains(t, a.raw, "eyJ")
		require.ErrorContains(t, w.lastEvent().Err, "further members of the current actor")
	})
}

// R16: what came before is history, whatever it says of itself.
func TestR16_PriorActorsDecideNothing(t *testing.T) {
	w := newWorld(t)
	prior := claims{"sub": "ghost", "iss": "https://gone.example", "scope": "admin", "exp": 1, "aud": "x", "may_act": claims{"sub": "nobody"}, "client_id": "gone"}
	says := w.post("shop", w.delegation(claims{"act": claims{"sub": "bob", "act": prior}})).granted(t)
	require.Equal(t, "read write", says["scope"])
	for _, tok := range w.resolved {
		require.NotEqual(t, "ghost", tok.Subject)
	}
	act := says["act"].(map[string]any)
	require.Len(t, act, 4, "R15: sub, iss, client_id and the chain")
	inner := act["act"].(map[string]any)["act"].(map[string]any)
	require.Equal(t, "admin", inner["scope"], "D12: what is there stays")
}

func TestR17_ScopeAndClientClaims(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, f := range []string{"", "write read"} {
			x := w.delegation(claims{"client_id": "shop"})
			x.Set("scope", f)
			says := w.post("shop", x).granted(t)
			require.IsType(t, "", says["scope"])
			require.Equal(t, "shop", says["client_id"])
		}
		says := w.post("gateway", form(w.access(nil), tx.TypeAccessToken)).granted(t)
		require.Equal(t, "gateway", says["client_id"], "the client that asked, not that of the subject token")
		tok := w.read(w.access(claims{"act": claims{"sub": "bob"}, "may_act": claims{"sub": "admin"}}), tx.TypeAccessToken)
		require.Equal(t, "bob", tok.Actor.Subject)
		require.Equal(t, "admin", tok.MayAct.Subject)
	})
}
