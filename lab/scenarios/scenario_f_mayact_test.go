package scenarios

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("F01", scenarioF01)
	scenario("F02", scenarioF02)
	scenario("F07", scenarioF07)
}

// bankScene is the part of the demo world with may_act. alice and sam have logged in to customer,
// whose tokens name the client service and sam.
type bankScene struct {
	*scene
	service, bank authentication
	alice, sam    server.TokenSet
}

func playBank(t *testing.T, edits ...edit) *bankScene {
	t.Helper()
	sc := play(t, edits...)
	return &bankScene{sc, sc.post("service"), sc.basic("bank-api"),
		sc.logIn(t, "alice", "customer"), sc.logIn(t, "sam", "customer")}
}

// silent removes the may_act of the results of rules.
var silent = setting("may_act", object{})

// bySam is the act of a token with which sam acts, who has logged in to customer.
func (sc *bankScene) bySam() object {
	return object{"iss": sc.iss(), "sub": "sam", "client_id": "customer"}
}

// seen returns the claims of an issued token: those of a JWT, or those of introspection for an
// opaque token.
func (sc *bankScene) seen(t *testing.T, a reply) object {
	t.Helper()
	switch a.text("issued_token_type") {
	case urnJWT:
		return sc.claims(t, a.token())
	case urnID:
		return sc.idClaims(t, a.token(), "service")
	}
	return sc.active(t, sc.bank, a.token())
}

// minted is a token about alice that this server might have issued, signed with its key and
// recorded. It has the claims of the real token of that type, with changes, and its own jti.
func (sc *bankScene) minted(t *testing.T, kind string, changes object) string {
	t.Helper()
	real, typ := sc.alice.JWT, "at+jwt"
	if kind == urnID {
		real, typ = sc.alice.IDToken, "JWT"
	}
	_, claims := sc.verified(t, real)
	return sc.ours(t, kind, typ, with(with(claims, object{"jti": rand.Text()}), changes))
}

// ours signs claims with the server's own key and records them as a token about a user.
func (sc *scene) ours(t *testing.T, kind, typ string, claims object) string {
	t.Helper()
	token := mint(t, sc.options.Key, object{"kid": server.KeyID(sc.options.Key), "typ": typ},
		claims)
	require.NoError(t, sc.server.Tokens.Record(t.Context(), tokenexchange.Token{
		Type: tokenexchange.TokenType(kind), Kind: tokenexchange.KindUser, Issuer: sc.iss(),
		ID: claims["jti"].(string), Expires: dateOf(t, claims, "exp"),
	}))
	return token
}

// dateOf is a claim that must be a date in whole seconds.
func dateOf(t *testing.T, claims object, name string) time.Time {
	t.Helper()
	switch n := claims[name].(type) {
	case json.Number:
		s, err := n.Int64()
		require.NoError(t, err, name)
		return time.Unix(s, 0).UTC()
	case int64:
		return time.Unix(n, 0).UTC()
	}
	require.Fail(t, "no date", "%s: %v", name, claims[name])
	return time.Time{}
}

// asking has the parameter scope.
func asking(scope string) []string { return []string{"scope", scope} }

// requested has the parameter requested_token_type.
func requested(kind string) []string { return []string{"requested_token_type", kind} }

// scenarioF01: may_act = {client_id, sub} in the subject token is enforced in full.
func scenarioF01(t *testing.T) {
	sc := playBank(t, silent)

	t.Run("the real tokens", func(t *testing.T) {
		for kind, token := range map[string]string{urnAccess: sc.alice.JWT,
			urnID: sc.alice.IDToken} {
			_, claims := sc.verified(t, token)
			require.Equal(t, object{"client_id": "service", "sub": "sam"}, claims["may_act"])
			require.NotContains(t, claims["aud"],
				"service", "the client need not be in the audience")
			a := sc.exchange(t, sc.service, about(token, kind), asking("read")).opaque(t)
			assert.NotContains(t, sc.seen(t, a), "act")
			for actorKind, actor := range map[string]string{urnAccess: sc.sam.AccessToken,
				urnJWT: sc.sam.JWT, urnID: sc.sam.IDToken} {
				a = sc.exchange(t, sc.service, about(token, kind), acting(actor, actorKind),
					asking("read")).opaque(t)
				m := sc.seen(t, a)
				assert.Equal(t, "alice", m["sub"])
				assert.Equal(t, "service", m["client_id"])
				assert.Equal(t, sc.bySam(), m["act"])
			}
		}
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.AccessToken, urnAccess), asking("read")).opaque(t)
		assert.Equal(t, sc.bySam(), sc.seen(t, a)["act"])
	})
	t.Run("another client", func(t *testing.T) {
		for _, client := range []string{"portal", "aggregates-api"} {
			sc.exchange(t, sc.basic(client), about(sc.alice.AccessToken, urnAccess)).refused(t,
				tokenexchange.InvalidRequest)
			sc.exchange(t, sc.basic(client), about(sc.alice.IDToken, urnID)).refused(t,
				tokenexchange.InvalidRequest)
			sc.exchange(t, sc.basic(client), about(sc.alice.AccessToken, urnAccess),
				acting(sc.sam.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidRequest)
		}
	})
	t.Run("another actor", func(t *testing.T) {
		own := sc.own(t, sc.service).opaque(t).token()
		delegated := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.AccessToken, urnAccess)).opaque(t).token()
		for name, actor := range map[string]string{
			"another user":                  sc.logIn(t, "bob", "customer").AccessToken,
			"an impersonator by role":       sc.logIn(t, "ines", "customer").AccessToken,
			"an impersonator of the client": sc.logIn(t, "ines", "service").AccessToken,
			"the subject":                   sc.alice.AccessToken,
			"the client":                    own,
			"a token that carries act":      delegated,
			"no token":                      "sam",
			"a refresh token":               sc.logIn(t, "bob", "customer").RefreshToken,
		} {
			for kind, subject := range map[string]string{urnAccess: sc.alice.AccessToken,
				urnID: sc.alice.IDToken} {
				a := sc.exchange(t, sc.service, about(subject, kind), acting(actor, urnAccess),
					asking("read"))
				a.refused(t, tokenexchange.InvalidRequest)
				require.Equal(t, sc.exchange(t, sc.service, about("at_unknown", urnAccess)).raw,
					a.raw, "%s: one sentence for all of them (R13)", name)
			}
		}
	})
	t.Run("every shape", func(t *testing.T) {
		iss, ines := fmt.Sprintf("%q", sc.iss()), sc.logIn(t, "ines", "service")
		for _, row := range []struct {
			mayAct string
			// whether the client may act without an actor token, and with sam's
			alone, withActor bool
		}{
			{`{"client_id":"service","sub":"sam"}`, true, true},
			{`{"client_id":"service","sub":"sam","iss":` + iss + `}`, true, true},
			// sam's token has it too (D08)
			{`{"client_id":"service","sub":"sam","tenant":"acme"}`, true, true},

			{`{"client_id":"service"}`, true, false}, // the client is the actor
			// without an actor token, nothing else is compared (D09)
			{`{"client_id":"service","sub":"bob"}`, true, false},
			{`{"client_id":"service","sub":"SAM"}`, true, false},
			{`{"client_id":"service","sub":"sam "}`, true, false},
			{`{"client_id":"service","sub":"service"}`, true, false},
			{`{"client_id":"service","sub":"sam","iss":"https://elsewhere.example"}`, true, false},
			{`{"client_id":"service","sub":"sam","iss":"` + sc.iss() + `/"}`, true, false},
			{`{"client_id":"service","sub":"sam","tenant":"globex"}`, true, false},
			// sam's token does not have it
			{`{"client_id":"service","sub":"sam","email":"sam@acme.example"}`, true, false},

			// the client is not named, and the token was issued to another (D04)
			{`{"sub":"sam"}`, false, false},
			{`{"client_id":"portal","sub":"sam"}`, false, false},
			{`{"client_id":"customer","sub":"sam"}`, false, false},
			{`{"client_id":"Service","sub":"sam"}`, false, false},
			{`{"client_id":" service","sub":"sam"}`, false, false},
			{`{"Client_Id":"service","Sub":"sam"}`, false, false},
			{`{"iss":` + iss + `}`, false, false},
			{`{"azp":"service","sub":"sam"}`, false, false},

			{`{}`, false, false},
			{`null`, false, false},
			{`[]`, false, false},
			{`["service","sam"]`, false, false},
			{`[{"client_id":"service","sub":"sam"}]`, false, false},
			{`"service"`, false, false},
			{`""`, false, false},
			{`"{\"client_id\":\"service\",\"sub\":\"sam\"}"`, false, false},
			{`true`, false, false},
			{`false`, false, false},
			{`0`, false, false},
			{`1`, false, false},
			{`{"client_id":null,"sub":"sam"}`, false, false},
			{`{"client_id":"","sub":"sam"}`, false, false},
			{`{"client_id":1,"sub":"sam"}`, false, false},
			{`{"client_id":true,"sub":"sam"}`, false, false},
			{`{"client_id":["service"],"sub":"sam"}`, false, false},
			{`{"client_id":{"client_id":"service"},"sub":"sam"}`, false, false},
			{`{"client_id":"service","sub":null}`, false, false},
			{`{"client_id":"service","sub":""}`, false, false},
			{`{"client_id":"service","sub":1}`, false, false},
			{`{"client_id":"service","sub":["sam"]}`, false, false},
			{`{"client_id":"service","sub":{"sub":"sam"}}`, false, false},
			{`{"client_id":"service","sub":"sam","iss":null}`, false, false},
			{`{"client_id":"service","sub":"sam","iss":""}`, false, false},
			{`{"client_id":"service","sub":"sam","iss":[` + iss + `]}`, false, false},
			{`{"may_act":{"client_id":"service","sub":"sam"}}`, false, false},
		} {
			for _, kind := range []string{urnAccess, urnID} {
				subject := sc.minted(t, kind, object{"may_act": json.RawMessage(row.mayAct)})
				sc.decides(t, row.mayAct, row.alone,
					sc.exchange(t, sc.service, about(subject, kind), asking("read")))
				sc.decides(t, row.mayAct, row.withActor,
					sc.exchange(t, sc.service, about(subject, kind), acting(sc.sam.JWT, urnAccess),
						asking("read")))
			}
			// may_act is enforced although the token was issued to the client itself, and the actor
			// has a role that reaches the subject.
			mayAct := strings.ReplaceAll(row.mayAct, "sam", "ines")
			subject := sc.minted(t, urnAccess,
				object{"client_id": "service", "may_act": json.RawMessage(mayAct)})
			sc.decides(t, mayAct, row.alone,
				sc.exchange(t, sc.service, about(subject, urnAccess), asking("read")))
			granted := row.withActor || mayAct == `{"sub":"ines"}`
			sc.decides(t, mayAct, granted,
				sc.exchange(t, sc.service, about(subject, urnAccess), acting(ines.JWT, urnAccess),
					asking("read")))
		}
		// A may_act that two readers would read differently is refused.
		twice := json.RawMessage(`{"client_id":"portal","sub":"sam","client_id":"service"}`)
		subject := sc.minted(t, urnAccess, object{"may_act": twice})
		sc.decides(t, string(twice), false,
			sc.exchange(t, sc.service, about(subject, urnAccess), asking("read")))
		// iss needs sub, and an actor token has no act to compare may_act with.
		for _, odd := range []string{`{"client_id":"service","iss":` + iss + `}`,
			`{"client_id":"service","sub":"sam","act":{"sub":"bob"}}`} {
			subject := sc.minted(t, urnAccess, object{"may_act": json.RawMessage(odd)})
			sc.decides(t, odd, false, sc.exchange(t, sc.service, about(subject, urnAccess),
				acting(sc.sam.JWT, urnAccess), asking("read")))
		}
	})
	t.Run("a client as actor", func(t *testing.T) {
		// The rule admits clients as actors, so that may_act alone decides.
		sc := playBank(t, silent, changing("rules", "service-delegate",
			object{"delegate": object{"actors": []any{object{"kind": "client", "id": "*"}}}}))
		own := sc.own(t, sc.service).opaque(t).token()
		for mayAct, granted := range map[string]bool{
			`{"client_id":"service"}`:                 true,
			`{"client_id":"service","sub":"service"}`: true,
			`{"client_id":"service","sub":"sam"}`:     false,
			// sub alone is a user or workload, never a client
			`{"sub":"service"}`:        false,
			`{"client_id":"customer"}`: false,
		} {
			subject := sc.minted(t, urnAccess, object{"may_act": json.RawMessage(mayAct)})
			a := sc.exchange(t, sc.service, about(subject, urnAccess), acting(own, urnAccess),
				asking("read"))
			sc.decides(t, mayAct, granted, a)
			if granted {
				assert.Equal(t, object{"iss": sc.iss(), "sub": "service", "client_id": "service"},
					sc.seen(t, a)["act"])
			}
		}
	})
	t.Run("only by a rule that names the client for such actor tokens", func(t *testing.T) {
		sc := playBank(t,
			changing("rules", "service-delegate", object{"delegate": object{"other_actors": nil}}))
		for kind, actor := range map[string]string{urnAccess: sc.sam.AccessToken,
			urnID: sc.sam.IDToken} {
			sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
				acting(actor, kind)).refused(t, tokenexchange.InvalidRequest, "D05")
		}
		own := sc.logIn(t, "sam", "service").AccessToken
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(own, urnAccess)).opaque(t)
		assert.Equal(t, object{"iss": sc.iss(), "sub": "sam", "client_id": "service"},
			sc.seen(t, a)["act"])
	})
	t.Run("an actor who is out", func(t *testing.T) {
		sc.changeUser("sam", func(u *world.User) { u.Status = "locked" })
		sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidRequest, "D07")
	})
}

// decides requires that a client got a token, if may_act allows it, or the code of the row.
func (sc *bankScene) decides(t *testing.T, mayAct string, granted bool, a reply) {
	t.Helper()
	if !granted {
		require.Equal(t, "invalid_request", a.text("error"), "%s: %s %v", mayAct, a.raw, a.logged)
		a.refused(t, tokenexchange.InvalidRequest)
		return
	}
	require.Empty(t, a.text("error"), "%s: %v", mayAct, a.logged)
	m := sc.seen(t, a.opaque(t))
	assert.Equal(t, "alice", m["sub"])
	assert.Equal(t, "read", m["scope"])
	if a.sent.Has("actor_token") {
		assert.Contains(t, m, "act", mayAct)
		assert.NotContains(t, m, "may_act", "used up by the new actor: %s", mayAct)
	} else {
		assert.NotContains(t, m, "act", mayAct)
		assert.Equal(t, sc.carried(t, mayAct), m["may_act"], mayAct)
	}
}

// carried is the may_act in a token that is made without a new actor. The issuer is added to a sub
// without one, and nothing else changes.
func (sc *scene) carried(t *testing.T, mayAct string) object {
	t.Helper()
	m := object{}
	require.NoError(t, json.Unmarshal([]byte(mayAct), &m))
	_, namesSub := m["sub"]
	if _, namesIss := m["iss"]; namesSub && !namesIss {
		m["iss"] = sc.iss()
	}
	return m
}

// scenarioF02: without an actor token it is impersonation, with one it is delegation.
func scenarioF02(t *testing.T) {
	sc := playBank(t)
	subjects := map[string]string{urnAccess: sc.alice.AccessToken, urnID: sc.alice.IDToken}
	both := func(t *testing.T, sc *bankScene, each func(subject, kind, want string)) {
		t.Helper()
		for kind, subject := range subjects {
			for _, want := range []string{urnAccess, urnJWT, urnID} {
				each(subject, kind, want)
			}
		}
	}

	t.Run("impersonation", func(t *testing.T) {
		both(t, sc, func(subject, kind, want string) {
			a := sc.exchange(t, sc.service, about(subject, kind), requested(want), asking("read"))
			require.Equal(t, want, a.text("issued_token_type"), a.raw)
			m := sc.seen(t, a)
			assert.Equal(t, "alice", m["sub"])
			assert.Equal(t, "service", m["client_id"])
			assert.NotContains(t, m, "act")
			assert.NotContains(t, m, "act_as")
			event := a.event(t)
			assert.Equal(t, "impersonate", event["mode"])
			assert.Equal(t, "service-impersonate", event["rule"])
			assert.Equal(t, "service", event["client"], "the audit knows who it was")
			assert.Equal(t, "alice", event["subject"].(object)["id"])
			assert.NotContains(t, event, "actor")
		})
	})
	t.Run("delegation", func(t *testing.T) {
		both(t, sc, func(subject, kind, want string) {
			a := sc.exchange(t, sc.service, about(subject, kind),
				acting(sc.sam.AccessToken, urnAccess), requested(want), asking("read"))
			require.Equal(t, want, a.text("issued_token_type"), a.raw)
			m := sc.seen(t, a)
			assert.Equal(t, "alice", m["sub"])
			assert.Equal(t, "service", m["client_id"])
			assert.Equal(t, sc.bySam(), m["act"])
			event := a.event(t)
			assert.Equal(t, "delegate", event["mode"])
			assert.Equal(t, "sam", event["actor"].(object)["id"])
		})
	})
	t.Run("parameters without a value were not sent", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess), acting("", ""),
			requested(""), asking("")).opaque(t)
		assert.NotContains(t, sc.seen(t, a), "act")
	})
	t.Run("half an actor", func(t *testing.T) {
		a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting("", urnAccess)).refused(t, tokenexchange.InvalidRequest)
		assert.Contains(t, a.text("error_description"), "actor_token")
		a = sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
			acting(sc.sam.AccessToken, "")).refused(t, tokenexchange.InvalidRequest)
		assert.Contains(t, a.text("error_description"), "actor_token_type")
	})
	t.Run("impersonation only where a rule says so", func(t *testing.T) {
		unsaid := playBank(t, changing("rules", "service-impersonate",
			object{"impersonate": object{"may_act_client": nil}}))
		unsaid.exchange(t, unsaid.service, about(unsaid.alice.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D09")
		none := playBank(t, onlyRules("service-delegate"))
		none.exchange(t, none.service, about(none.alice.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest)
		a := none.exchange(t, none.service, about(none.alice.AccessToken, urnAccess),
			acting(none.sam.AccessToken, urnAccess)).opaque(t)
		assert.Equal(t, none.bySam(), none.seen(t, a)["act"])
	})
	t.Run("and only where may_act names the client", func(t *testing.T) {
		for _, mayAct := range []any{object{"sub": "sam"},
			object{"client_id": "portal", "sub": "sam"}, nil} {
			subject := sc.minted(t, urnAccess, object{"may_act": mayAct})
			sc.exchange(t, sc.service, about(subject, urnAccess)).refused(t,
				tokenexchange.InvalidRequest)
		}
	})
	t.Run("delegation is never an impersonation instead", func(t *testing.T) {
		none := playBank(t, onlyRules("service-impersonate"))
		none.exchange(t, none.service, about(none.alice.AccessToken, urnAccess),
			acting(none.sam.AccessToken, urnAccess)).refused(t, tokenexchange.InvalidRequest)
		none.exchange(t, none.service, about(none.alice.AccessToken, urnAccess)).opaque(t)
	})
	t.Run("whatever the order of the rules", func(t *testing.T) {
		turned := playBank(t, onlyRules("service-delegate", "service-impersonate"))
		a := turned.exchange(t, turned.service,
			about(turned.alice.AccessToken, urnAccess)).opaque(t)
		assert.NotContains(t, turned.seen(t, a), "act")
		a = turned.exchange(t, turned.service, about(turned.alice.AccessToken, urnAccess),
			acting(turned.sam.AccessToken, urnAccess)).opaque(t)
		assert.Contains(t, turned.seen(t, a), "act")
	})
}

// scenarioF07: may_act stays in the token until an actor acts. The world sets the may_act of a
// login, and of the results of a rule when none stays.
func scenarioF07(t *testing.T) {
	names := object{"client_id": "service", "sub": "sam"}
	all := []string{urnAccess, urnJWT, urnID}

	t.Run("tokens of a client", func(t *testing.T) {
		sc := playBank(t)
		customer := sc.basic("customer")
		assert.Equal(t, names, sc.active(t, customer, sc.alice.AccessToken)["may_act"])
		assert.Equal(t, names, sc.active(t, customer, sc.alice.JWT)["may_act"])
		assert.Equal(t, names, sc.claims(t, sc.alice.JWT)["may_act"])
		assert.Equal(t, names, sc.idClaims(t, sc.alice.IDToken, "customer")["may_act"])
		a := sc.refresh(t, customer, sc.alice.RefreshToken)
		assert.Equal(t, names, sc.active(t, customer, a.token())["may_act"], "a login that goes on")

		own := playBank(t, changing("clients", "service",
			object{"may_act": object{"client_id": "portal", "iss": "https://elsewhere.example",
				"sub": "ines"}}))
		a = own.own(t, own.service, requested(urnJWT)...)
		assert.Equal(t, object{"client_id": "portal", "iss": "https://elsewhere.example",
			"sub": "ines"}, own.active(t, own.service, a.token())["may_act"])
	})
	t.Run("off by default", func(t *testing.T) {
		sc := play(t)
		tokens := sc.logIn(t, "alice", "portal")
		assert.NotContains(t, sc.active(t, sc.basic("portal"), tokens.AccessToken), "may_act")
		assert.NotContains(t, sc.claims(t, tokens.JWT), "may_act")
		assert.NotContains(t, sc.idClaims(t, tokens.IDToken, "portal"), "may_act")
		subject := about(tokens.AccessToken, urnAccess)
		a := sc.exchange(t, sc.basic("portal"), subject, requested(urnJWT), asking("read")).jwt(t)
		assert.NotContains(t, sc.claims(t, a.token()), "may_act", "by a rule without one")
	})
	t.Run("results of a rule", func(t *testing.T) {
		sc := playBank(t)
		for _, want := range all {
			a := sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess),
				acting(sc.sam.AccessToken, urnAccess), requested(want), asking("read"))
			assert.Equal(t, names, sc.seen(t, a)["may_act"], "the rule service-delegate")
			a = sc.exchange(t, sc.service, about(sc.alice.AccessToken, urnAccess), requested(want),
				asking("read"))
			stays := with(names, object{"iss": sc.iss()})
			assert.Equal(t, stays, sc.seen(t, a)["may_act"], "that of the login, by no rule")
		}
	})
	other := object{"client_id": "portal", "sub": "ines"}
	t.Run("the same one as before, whatever the world says of the rule", func(t *testing.T) {
		sc := playBank(t, setting("may_act", object{"service-impersonate": other}))
		stays := with(names, object{"iss": sc.iss()})
		ines := sc.logIn(t, "ines", "customer")
		subjects := map[string]string{urnAccess: sc.alice.JWT, urnID: sc.alice.IDToken}
		for kind, subject := range subjects {
			for _, want := range all {
				by := func(token, kind string, more ...[]string) reply {
					more = append(more, about(token, kind), asking("read"))
					return sc.exchange(t, sc.service, more...)
				}
				a := by(subject, kind, requested(want))
				assert.Equal(t, stays, sc.seen(t, a)["may_act"])
				a = by(a.token(), want, requested(want))
				assert.Equal(t, stays, sc.seen(t, a)["may_act"], "after two exchanges")
				bySam := by(a.token(), want, acting(sc.sam.JWT, urnAccess)).opaque(t)
				assert.Equal(t, sc.bySam(), sc.seen(t, bySam)["act"], "it names sam still")
				byInes := by(a.token(), want, acting(ines.AccessToken, urnAccess))
				byInes.refused(t, tokenexchange.InvalidRequest, "D08")
			}
		}
	})
	t.Run("another one than before", func(t *testing.T) {
		sc := playBank(t, setting("may_act", object{"service-impersonate": other}),
			changing("rules", "service-impersonate", object{"replace_may_act": true}))
		for kind, subject := range map[string]string{urnAccess: sc.alice.JWT,
			urnID: sc.alice.IDToken} {
			for _, want := range all {
				a := sc.exchange(t, sc.service, about(subject, kind), requested(want),
					asking("read"))
				assert.Equal(t, other, sc.seen(t, a)["may_act"])
				a = sc.exchange(t, sc.service, about(subject, kind), acting(sc.sam.JWT, urnAccess),
					requested(want), asking("read"))
				assert.NotContains(t, sc.seen(t, a), "may_act")
			}
		}
		// It is enforced as any other: service, named by the first may_act, is not named now.
		a := sc.exchange(t, sc.service, about(sc.alice.JWT, urnAccess), asking("read")).opaque(t)
		sc.exchange(t, sc.service, about(a.token(), urnAccess), asking("read")).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, sc.service, about(a.token(), urnAccess), acting(sc.sam.JWT, urnAccess),
			asking("read")).refused(t, tokenexchange.InvalidRequest)
	})
	t.Run("until an actor acts, whatever the mode", func(t *testing.T) {
		sc := play(t, silent, changing("clients", "portal",
			object{"may_act": object{"client_id": "portal", "sub": "ines"}}),
			changing("rules", "aggregates-downstream",
				object{"client_as_actor": object{"may_act_client": true}}),
			changing("rules", "portal-own", object{"impersonate": object{"may_act_client": true}}))
		portal := sc.basic("portal")
		alice, ines := sc.logIn(t, "alice", "portal"), sc.logIn(t, "ines", "portal")
		require.Contains(t, sc.active(t, portal, alice.AccessToken), "may_act")
		stays := with(other, object{"iss": sc.iss()})
		for mode, scope := range map[string]string{
			"narrow": "read", "impersonate": "openid offline_access read",
		} {
			subject := about(alice.AccessToken, urnAccess)
			a := sc.exchange(t, portal, subject, requested(urnJWT), asking(scope))
			assert.Equal(t, mode, a.jwt(t).event(t)["mode"])
			assert.Equal(t, stays, sc.claims(t, a.token())["may_act"])
			assert.Equal(t, stays, sc.active(t, portal, a.token())["may_act"])
			if mode == "impersonate" {
				id := sc.idClaims(t, a.text("id_token"), "portal")
				assert.Equal(t, stays, id["may_act"], "the ID token of the same response")
				again := sc.refresh(t, portal, a.text("refresh_token"))
				assert.Equal(t, stays, sc.active(t, portal, again.token())["may_act"], "refreshed")
			}
			// greta has a role that reaches alice, but the token names ines alone.
			made, read := about(a.token(), urnAccess), asking("read")
			greta := acting(sc.logIn(t, "greta", "portal").AccessToken, urnAccess)
			a = sc.exchange(t, portal, made, greta, read)
			a.refused(t, tokenexchange.InvalidRequest, "D08")
			a = sc.exchange(t, sc.basic("aggregates-api"), made)
			a.refused(t, tokenexchange.InvalidRequest, "D09")
			sc.exchange(t, portal, made, acting(ines.AccessToken, urnAccess), read).opaque(t)
		}
		a := sc.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess), requested(urnJWT), asking("read"))
		assert.Equal(t, "delegate", a.jwt(t).event(t)["mode"])
		assert.NotContains(t, sc.claims(t, a.token()), "may_act", "ines acts now")
		assert.NotContains(t, sc.active(t, portal, a.token()), "may_act")
		sc.exchange(t, sc.basic("aggregates-api"), about(alice.AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D09")

		acts := play(t, silent,
			changing("clients", "portal", object{"may_act": object{"client_id": "aggregates-api"}}),
			changing("rules", "aggregates-downstream",
				object{"client_as_actor": object{"may_act_client": true}}))
		alice = acts.logIn(t, "alice", "portal")
		a = acts.exchange(t, acts.basic("aggregates-api"), about(alice.AccessToken, urnAccess),
			requested(urnJWT)).jwt(t)
		assert.Equal(t, "client-as-actor", a.event(t)["mode"])
		assert.Equal(t, object{"iss": acts.iss(), "sub": "aggregates-api",
			"client_id": "aggregates-api"}, acts.claims(t, a.token())["act"])
		assert.NotContains(t, acts.claims(t, a.token()), "may_act")
	})
	t.Run("a world with an empty may_act", func(t *testing.T) {
		for _, change := range []edit{
			changing("clients", "customer", object{"may_act": object{}}),
			changing("clients", "customer", object{"may_act": object{"sub": 1}}),
			setting("may_act", object{"service-delegate": object{}}),
			setting("may_act", object{"no-such-rule": object{"sub": "sam"}}),
			// the world has no may_act for this rule
			changing("rules", "service-impersonate", object{"replace_may_act": true}),
		} {
			doc := object{}
			require.NoError(t, json.Unmarshal(demoWorld, &doc))
			change(doc)
			data, err := json.Marshal(doc)
			require.NoError(t, err)
			w, err := world.Parse(data)
			if err == nil {
				_, err = server.New(w, server.Options{Issuer: "http://127.0.0.1"})
			}
			assert.ErrorContains(t, err, "may_act")
		}
	})
}
