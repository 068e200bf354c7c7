package scenarios

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("F06", scenarioF06)
	scenario("F11", scenarioF11)
}

// chainOf is an act through customer, the current actor first.
func (sc *bankScene) chainOf(names ...string) object {
	var act object
	for i := len(names) - 1; i >= 0; i-- {
		outer := object{"iss": sc.iss(), "sub": names[i], "client_id": "customer"}
		if act != nil {
			outer["act"] = act
		}
		act = outer
	}
	return act
}

// rawAct is the act of a JWT, byte for byte.
func rawAct(t *testing.T, token string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	var claims map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(payload, &claims))
	require.Contains(t, claims, "act")
	return string(claims["act"])
}

// scenarioF06: an exchanged token is a subject token again, and act nests.
func scenarioF06(t *testing.T) {
	sc := playBank(t, silent)
	actor := func(name string) string { return sc.logIn(t, name, "customer").AccessToken }
	// next is an exchange by which another actor acts for alice with a token that has actors
	// already.
	next := func(sc *bankScene, subject, name, want string) reply {
		return sc.exchange(t, sc.service, about(subject, urnAccess),
			acting(sc.logIn(t, name, "customer").AccessToken, urnAccess), requested(want),
			asking("read"))
	}

	t.Run("newest outermost, byte for byte", func(t *testing.T) {
		token, act, names := sc.alice.JWT, "", []string{}
		for _, name := range []string{"sam", "ines", "oleg", "greta"} {
			a := next(sc, token, name, urnJWT).jwt(t)
			names = append([]string{name}, names...)
			m := sc.seen(t, a)
			assert.Equal(t, sc.chainOf(names...), m["act"])
			assert.Equal(t, "alice", m["sub"])
			assert.Equal(t, sc.chainOf(names...), sc.active(t, sc.bank, a.token())["act"])
			now := rawAct(t, a.token())
			if act != "" {
				assert.True(t, strings.HasSuffix(now, `,"act":`+act+`}`), "%s does not end with %s",
					now, act)
			}
			token, act = a.token(), now
		}
		// D15: four at most. The fifth is refused, and no entry is cut off.
		a := next(sc, token, "gustav", urnJWT).refused(t, tokenexchange.InvalidRequest, "D15")
		assert.Contains(t, a.event(t)["subject"].(object)["chain"], "sam")
		// Without another actor the chain stays as it is.
		for _, want := range []string{urnAccess, urnJWT, urnID} {
			b := sc.exchange(t, sc.service, about(token, urnAccess), requested(want),
				asking("read"))
			assert.Equal(t, sc.chainOf("greta", "oleg", "ines", "sam"), sc.seen(t, b)["act"], b.raw)
		}
	})
	t.Run("opaque and ID tokens", func(t *testing.T) {
		opaque := next(sc, sc.alice.AccessToken, "sam", urnAccess).opaque(t)
		a := next(sc, opaque.token(), "ines", urnAccess).opaque(t)
		assert.Equal(t, sc.chainOf("ines", "sam"), sc.seen(t, a)["act"])
		id := next(sc, a.token(), "oleg", urnID).idToken(t)
		assert.Equal(t, sc.chainOf("oleg", "ines", "sam"), sc.seen(t, id)["act"])
		a = sc.exchange(t, sc.service, about(id.token(), urnID), acting(actor("greta"), urnAccess),
			asking("read")).opaque(t)
		assert.Equal(t, sc.chainOf("greta", "oleg", "ines", "sam"), sc.seen(t, a)["act"])
	})
	t.Run("deeper where a rule says so", func(t *testing.T) {
		sc := playBank(t, silent, changing("rules", "service-delegate", object{"max_chain": 5}))
		token := sc.alice.JWT
		for _, name := range []string{"sam", "ines", "oleg", "greta", "gustav"} {
			token = next(sc, token, name, urnJWT).jwt(t).token()
		}
		assert.Equal(t, sc.chainOf("gustav", "greta", "oleg", "ines", "sam"),
			sc.claims(t, token)["act"])
		// The other rule has the default limit, and does not shorten the chain.
		sc.exchange(t, sc.service, about(token, urnAccess), asking("read")).refused(t,
			tokenexchange.InvalidRequest, "D15")
		flat := playBank(t, silent, changing("rules", "service-delegate", object{"max_chain": 1}))
		one := next(flat, flat.alice.JWT, "sam", urnJWT).jwt(t)
		next(flat, one.token(), "ines", urnJWT).refused(t, tokenexchange.InvalidRequest, "D15")
	})
	t.Run("a loop", func(t *testing.T) {
		first := next(sc, sc.alice.JWT, "sam", urnJWT).jwt(t)
		again := next(sc, first.token(), "ines", urnJWT).jwt(t)
		next(sc, again.token(), "sam", urnJWT).refused(t, tokenexchange.InvalidRequest)
		third := next(sc, again.token(), "oleg", urnJWT).jwt(t)
		next(sc, third.token(), "ines", urnJWT).refused(t, tokenexchange.InvalidRequest, "D15")
		// The outermost actor is not repeated.
		same := next(sc, again.token(), "ines", urnJWT).jwt(t)
		assert.Equal(t, rawAct(t, again.token()), rawAct(t, same.token()))
		// The same person through another client is another entry.
		other := sc.logIn(t, "ines", "service").AccessToken
		sc.exchange(t, sc.service, about(again.token(), urnAccess), acting(other, urnAccess),
			asking("read")).refused(t, tokenexchange.InvalidRequest, "D15")
	})
	t.Run("subject and actor are the same", func(t *testing.T) {
		portal, alice := sc.basic("portal"), sc.logIn(t, "alice", "portal")
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(alice.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidRequest)
		ines := sc.logIn(t, "ines", "portal")
		sc.exchange(t, portal, about(ines.AccessToken, urnAccess),
			acting(ines.IDToken, urnID)).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("an actor token that carries act", func(t *testing.T) {
		portal := sc.basic("portal")
		alice, ines, gustav := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines",
			"portal"), sc.logIn(t, "gustav", "portal")
		sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess)).opaque(t)
		for _, want := range []string{urnAccess, urnJWT, urnID} {
			a := sc.exchange(t, portal, about(ines.AccessToken, urnAccess),
				acting(gustav.AccessToken, urnAccess), requested(want))
			require.Equal(t, want, a.text("issued_token_type"), a.raw)
			for kind, subject := range map[string]string{urnAccess: alice.AccessToken,
				urnID: alice.IDToken, urnUserID: "alice"} {
				sc.exchange(t, portal, about(subject, kind), acting(a.token(), want),
					asking("read")).refused(t, tokenexchange.InvalidRequest, "D14")
			}
		}
	})
	t.Run("chains that come from elsewhere", func(t *testing.T) {
		iss := fmt.Sprintf("%q", sc.iss())
		member := func(name, rest string) string {
			return `{"iss":` + iss + `,"sub":"` + name + `"` + rest + `}`
		}
		present := func(act string, parts ...[]string) reply {
			subject := sc.minted(t, urnAccess,
				object{"client_id": "service", "may_act": nil, "act": json.RawMessage(act)})
			return sc.exchange(t, sc.service,
				append(parts, about(subject, urnAccess), requested(urnJWT), asking("read"))...)
		}
		ines := acting(actor("ines"), urnAccess)

		// Unknown members, numbers that no float64 holds, and escapes stay byte for byte.
		odd := member("oleg", `,"client_id":"customer","n":12345678901234567890.10,`+
			`"x":{"y":[1,"\u00e9"]},"act":`+member("greta", `,"z":null`))
		a := present(odd, ines).jwt(t)
		assert.Equal(t, `{"iss":`+iss+`,"sub":"ines","client_id":"customer","act":`+odd+`}`,
			rawAct(t, a.token()))
		assert.Equal(t, odd, rawAct(t, present(odd).jwt(t).token()), "carried on as it is")
		// D06: an entry without iss gets that of the token, and nothing else changes.
		a = present(`{"sub":"oleg","n":1.0}`, ines).jwt(t)
		assert.Equal(t, `{"iss":`+iss+`,"sub":"ines","client_id":"customer","act":{"iss":`+iss+
			`,"sub":"oleg","n":1.0}}`, rawAct(t, a.token()))

		for name, act := range map[string]string{
			"null": `null`, "list": `[]`, "list of actors": `[` + member("oleg", "") + `]`,
			"text": `"oleg"`, "number": `1`, "truth": `true`,
			"empty": `{}`, "without sub": `{"iss":` + iss + `}`, "empty sub": `{"sub":""}`,
			"null sub": `{"sub":null}`, "number sub": `{"sub":1}`,
			"list sub": `{"sub":["oleg"]}`, "inner null": member("oleg", `,"act":null`),
			"inner list":        member("oleg", `,"act":[]`),
			"inner empty":       member("oleg", `,"act":{}`),
			"inner text":        member("oleg", `,"act":"greta"`),
			"inner without sub": member("oleg", `,"act":{"client_id":"customer"}`),
			"odd iss":           `{"iss":1,"sub":"oleg"}`,
			"odd client":        member("oleg", `,"client_id":[]`),
			"twice":             member("oleg", `,"sub":"greta"`),
			"an actor twice": member("oleg",
				`,"act":`+member("greta", `,"act":`+member("oleg", ""))),
			"the same twice in turn": member("oleg", `,"act":`+member("oleg", "")),
			"five": member("oleg",
				`,"act":`+member("greta", `,"act":`+
					member("gustav", `,"act":`+member("bob", `,"act":`+member("carol", ""))))),
		} {
			for kind, a := range map[string]reply{"carried on": present(act),
				"with an actor": present(act, ines)} {
				require.Equal(t, "invalid_request", a.text("error"), "%s, %s: %v", name, kind,
					a.logged)
				a.refused(t, tokenexchange.InvalidRequest)
			}
		}
		// A current actor who is locked ends the chain. An earlier one is history.
		present(member("lola", "")).refused(t, tokenexchange.InvalidRequest, "D07")
		present(member("oleg", `,"act":`+member("lola", ""))).jwt(t)
	})
	t.Run("kept without a new actor", func(t *testing.T) {
		carrying := func(mode object) *bankScene {
			return playBank(t, changing("rules", "aggregates-downstream",
				object{"client_as_actor": nil, "impersonate": mode}))
		}
		for _, carry := range []bool{false, true} {
			sc := carrying(object{"carry": carry})
			portal := sc.basic("portal")
			alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
			delegated := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
				acting(ines.AccessToken, urnAccess), asking("read")).opaque(t)
			a := sc.exchange(t, sc.basic("aggregates-api"), about(delegated.token(), urnAccess),
				requested(urnJWT))
			if !carry {
				a.refused(t, tokenexchange.InvalidRequest, "D13")
				continue
			}
			act := sc.claims(t, a.jwt(t).token())["act"]
			assert.Equal(t, object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"}, act)
			sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
			sc.exchange(t, sc.basic("aggregates-api"),
				about(delegated.token(), urnAccess)).refused(t, tokenexchange.InvalidRequest, "D11")
		}
		sc := playBank(t)
		portal := sc.basic("portal")
		alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
		delegated := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess), asking("read")).opaque(t)
		narrowed := sc.exchange(t, portal, about(delegated.token(), urnAccess),
			[]string{"audience", aggregates}).opaque(t)
		assert.Equal(t, "narrow", narrowed.event(t)["mode"])
		hop := sc.exchange(t, sc.basic("aggregates-api"),
			about(narrowed.token(), urnAccess)).opaque(t)
		assert.Equal(t,
			object{"iss": sc.iss(), "sub": "aggregates-api", "client_id": "aggregates-api",
				"act": object{"iss": sc.iss(), "sub": "ines", "client_id": "portal"}},
			sc.seen(t, hop)["act"])
	})
}

// scenarioF11: introspection shows act and may_act.
func scenarioF11(t *testing.T) {
	names := object{"client_id": "service", "sub": "sam"}
	for _, shape := range []string{"act", "act_as"} {
		t.Run(shape, func(t *testing.T) {
			sc := playBank(t, setting("claim_shape", shape))
			for _, want := range []string{urnAccess, urnJWT} {
				first := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
					acting(sc.sam.AccessToken, urnAccess), requested(want), asking("read"))
				require.Equal(t, want, first.text("issued_token_type"), first.raw)
				for _, caller := range []authentication{sc.bank, sc.service} {
					m := sc.active(t, caller, first.token())
					assert.Equal(t, sc.bySam(), m["act"])
					assert.Equal(t, names, m["may_act"])
					assert.Equal(t, "alice", m["sub"])
					assert.Equal(t, "service", m["client_id"])
					assert.Equal(t, bank, m["aud"])
					assert.Equal(t, "read", m["scope"])
					assert.Equal(t, "Bearer", m["token_type"])
					assert.NotContains(t, m, "act_as")
				}
				plain := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
					requested(want), asking("read"))
				m := sc.active(t, sc.bank, plain.token())
				for _, member := range []string{"act", "act_as"} {
					assert.NotContains(t, m, member)
				}
				stays := with(names, object{"iss": sc.iss()})
				assert.Equal(t, stays, m["may_act"], "no actor has acted")
				for _, stranger := range []string{"portal", "aggregates-api", "settings-api"} {
					sc.inactive(t, sc.basic(stranger), first.token())
				}
				// now issued to another client
				sc.inactive(t, sc.basic("customer"), first.token())
				sc.inactive(t, sc.bank, first.token()+"x")
				sc.revoke(t, sc.service, first.token())
				sc.inactive(t, sc.bank, first.token())
				sc.active(t, sc.bank, plain.token())
			}
			assert.Equal(t, names,
				sc.active(t, sc.basic("customer"), sc.alice.AccessToken)["may_act"])
			assert.Equal(t, names, sc.active(t, sc.bank, sc.alice.JWT)["may_act"])
		})
	}
	t.Run("nested", func(t *testing.T) {
		sc := playBank(t, silent)
		first := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.AccessToken, urnAccess), asking("read")).opaque(t)
		ines := sc.logIn(t, "ines", "customer").AccessToken
		second := sc.exchange(t, sc.service, about(first.token(), urnAccess),
			acting(ines, urnAccess), asking("read")).opaque(t)
		assert.Equal(t, sc.chainOf("ines", "sam"), sc.active(t, sc.bank, second.token())["act"])
		assert.Equal(t, sc.bySam(), sc.active(t, sc.bank, first.token())["act"])
		sc.revoke(t, sc.basic("customer"), sc.alice.AccessToken)
		sc.inactive(t, sc.bank, first.token())
		sc.inactive(t, sc.bank, second.token())
	})
	t.Run("a may_act as it was written", func(t *testing.T) {
		sc := playBank(t)
		odd := object{"client_id": "service", "sub": "sam", "tenant": "acme", "more": []any{"x"}}
		token := sc.ours(t, urnAccess, "at+jwt",
			with(sc.claimsOfAny(t, sc.alice.JWT), object{"jti": rand.Text(), "may_act": odd}))
		assert.Equal(t, odd, sc.active(t, sc.bank, token)["may_act"])
	})
	t.Run("not to an unknown client", func(t *testing.T) {
		sc := playBank(t)
		for _, as := range []authentication{basicAs("bank-api", "guess"), nobodySays,
			publicAs("mobile")} {
			a := sc.send(t, "/introspect", as, formOf("token", sc.alice.AccessToken))
			assert.Contains(t, []string{"invalid_client", "unauthorized_client"}, a.text("error"),
				a.raw)
			assert.NotContains(t, a.body, "active")
		}
	})
}
