package scenarios

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
)

func init() {
	scenario("C01", scenarioC01)
	scenario("C02", scenarioC02)
}

// scenarioC01: impersonation leaves no trace in the token. It needs a rule of that mode and is
// recorded. All other modes leave act.
func scenarioC01(t *testing.T) {
	sc := play(t)
	service := sc.basic("service")
	alice, sam := sc.logIn(t, "alice", "customer"), sc.logIn(t, "sam", "customer")
	subject := about(alice.AccessToken, urnAccess)

	t.Run("no trace in the token, both parties on record", func(t *testing.T) {
		for _, kind := range []string{urnAccess, urnJWT, urnID} {
			a := sc.exchange(t, service, subject,
				[]string{"requested_token_type", kind, "scope", "read"})
			assert.Equal(t, http.StatusOK, a.status, a.raw)
			if kind == urnID {
				c := sc.idClaims(t, a.token(), "service")
				assert.Equal(t, "alice", c["sub"])
				assert.NotContains(t, c, "act")
				assert.NotContains(t, c, "act_as")
			} else {
				m := sc.active(t, sc.basic("bank-api"), a.token())
				assert.Equal(t, []any{"alice", "service"}, []any{m["sub"], m["client_id"]})
				assert.NotContains(t, m, "act")
			}
			e := a.event(t)
			assert.Equal(t, []any{"granted", "impersonate", "service-impersonate", "service"},
				[]any{e["outcome"], e["mode"], e["rule"], e["client"]})
			assert.Equal(t, "alice", inside(e, "subject", "id"))
			assert.NotContains(t, e, "actor")
			assert.NotEmpty(t, inside(e, "granted", "token_id"))
		}
		assert.Len(t, sc.delegations(t, sc.logIn(t, "alice", "account").AccessToken), 1,
			"the user sees it")
	})
	t.Run("delegation", func(t *testing.T) {
		a := sc.exchange(t, service, subject, acting(sam.AccessToken, urnAccess),
			[]string{"scope", "read", "requested_token_type", urnJWT}).jwt(t)
		c := sc.claims(t, a.token())
		assert.Equal(t, []any{"alice", "sam"}, []any{c["sub"], inside(c, "act", "sub")})
		assert.Equal(t, "delegate", a.event(t)["mode"])
		assert.Equal(t, "sam", inside(a.event(t), "actor", "id"))
	})
	t.Run("a client that acts for itself leaves its name", func(t *testing.T) {
		a := sc.exchange(t, sc.basic("aggregates-api"),
			about(sc.logIn(t, "alice", "portal").AccessToken, urnAccess)).opaque(t)
		assert.Equal(t, "aggregates-api",
			inside(sc.active(t, sc.basic("bank-api"), a.token()), "act", "sub"))
	})
	t.Run("refusals are on record too", func(t *testing.T) {
		e := sc.exchange(t, service, subject, []string{"audience", aggregates}).refused(t,
			tokenexchange.InvalidTarget, "D24").event(t)
		assert.Equal(t, []any{"service", "alice"}, []any{e["client"], inside(e, "subject", "id")})
		e = sc.exchange(t, sc.basic("portal"), subject).refused(t,
			tokenexchange.InvalidRequest).event(t)
		assert.Equal(t, []any{"portal", "alice"}, []any{e["client"], inside(e, "subject", "id")})
	})
	t.Run("not without a rule", c01NoRule)
	t.Run("nothing that is not on record leaves", c01Unrecorded)
}

// c01NoRule: rules of the other modes never end in an impersonation, whatever they allow.
func c01NoRule(t *testing.T) {
	for name, rules := range map[string][]string{"delegation only": {"service-delegate"},
		"the client acts": {"service-acts"}, "narrower only": {"service-narrow"}} {
		acts := ruleOf("service-acts", object{
			"client_as_actor": object{"may_act_client": true, "other_tokens": true},
			"clients":         []string{"service"}, "scope": []string{"read"},
			"targets":         []string{"https://bank.example"},
			"default_targets": []string{"https://bank.example"}})
		narrow := ruleOf("service-narrow", object{"narrow": object{},
			"clients": []string{"service"}, "subject_audience": true, "scope": []string{"*"}})
		sc := play(t, adding("rules", acts, narrow),
			changing("clients", "customer", object{"may_act": object{"client_id": "service"}}),
			onlyRules(rules...))
		alice := sc.logIn(t, "alice", "customer")
		a := sc.exchange(t, sc.basic("service"), about(alice.AccessToken, urnAccess),
			[]string{"scope", "read"})
		if name == "the client acts" {
			assert.Equal(t, "service",
				inside(sc.active(t, sc.basic("bank-api"), a.opaque(t).token()), "act", "sub"))
			continue
		}
		a.refused(t, tokenexchange.InvalidRequest, "D01")
	}
}

// noLog fails to record.
type noLog struct{ slog.Handler }

func (noLog) Handle(context.Context, slog.Record) error { return errors.New("the disk is full") }

func c01Unrecorded(t *testing.T) {
	sc := play(t)
	alice := sc.logIn(t, "alice", "customer")
	sc.server.Exchanger.Audit = auditlog.Sink{Handler: noLog{slog.NewJSONHandler(sc.audit,
		nil)}}
	a := sc.exchange(t, sc.basic("service"), about(alice.AccessToken, urnAccess),
		[]string{"scope", "read"})
	assert.Equal(t, http.StatusInternalServerError, a.status)
	assert.Equal(t, "server_error", a.text("error"))
	assert.Empty(t, a.token())
	assert.Empty(t, sc.delegations(t, sc.logInAgain(t, "alice", "account")),
		"and no record of a token stays")
}

// logInAgain is logIn after the audit log works again.
func (sc *scene) logInAgain(t *testing.T, user, client string) string {
	t.Helper()
	sc.server.Exchanger.Audit = auditlog.Sink{Handler: sc.options.Log}
	return sc.logIn(t, user, client).AccessToken
}

// scenarioC02: the issuer decides how a JWT names two people, and every reader finds the same two.
func scenarioC02(t *testing.T) {
	for _, shape := range []string{"act", "act_as"} {
		t.Run(shape, func(t *testing.T) { c02(t, shape) })
	}
	t.Run("from one shape to the other", c02Changed)
	t.Run("refused", c02Refused)
}

func c02(t *testing.T, shape string) {
	sc := play(t, setting("claim_shape", shape))
	portal := sc.basic("portal")
	adam, gustav := sc.logIn(t, "adam", "portal"), sc.logIn(t, "gustav", "portal")
	acted := func(t *testing.T, kind string) reply {
		return sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
			acting(gustav.AccessToken, urnAccess),
			[]string{"scope", "users:read", "requested_token_type", kind}).granted(t, kind,
			"Bearer")
	}
	first := acted(t, urnJWT)
	sc.hasShape(t, sc.claims(t, first.token()), shape, "adam", "gustav")
	m := sc.active(t, portal, first.token())
	assert.Equal(t, []any{"adam", object{"iss": sc.iss(), "sub": "gustav", "client_id": "portal"}},
		[]any{m["sub"], m["act"]})
	assert.NotContains(t, m, "act_as", "introspection knows one shape")
	elsewhere(t, sc, adam, acted)

	// Exchanged again, the actor is kept, by whichever client.
	again := sc.exchange(t, portal, about(first.token(), urnAccess),
		[]string{"requested_token_type", urnJWT}).jwt(t)
	sc.hasShape(t, sc.claims(t, again.token()), shape, "adam", "gustav")
	assert.Equal(t, `"gustav"`, inside(again.event(t), "granted", "chain"))
	read := sc.exchange(t, portal, about(adam.AccessToken, urnAccess),
		acting(gustav.AccessToken, urnAccess),
		[]string{"scope", "read", "requested_token_type", urnJWT}).jwt(t)
	on := sc.exchange(t, sc.basic("aggregates-api"), about(read.token(), urnAccess),
		[]string{"requested_token_type", urnJWT}).jwt(t)
	c := sc.claims(t, on.token())
	sc.hasShape(t, c, shape, "adam", "aggregates-api")
	earlier := inside(c, "act", "act")
	if shape == "act_as" {
		earlier = inside(c, "act_as", "act")
	}
	assert.Equal(t, object{"iss": sc.iss(), "sub": "gustav", "client_id": "portal"}, earlier)
	m = sc.active(t, sc.basic("bank-api"), on.token())
	assert.Equal(t, []any{"adam", "aggregates-api", earlier},
		[]any{m["sub"], inside(m, "act", "sub"), m["act"].(object)["act"]})

	// A token with an actor is not a login: neither ines, its subject, nor gustav acts with it for
	// another user.
	ines := sc.exchange(t, portal, about("ines", urnUserID), acting(gustav.AccessToken, urnAccess),
		[]string{"scope", "read", "requested_token_type", urnJWT}).jwt(t)
	sc.exchange(t, portal, about("alice", urnUserID), acting(ines.token(), urnAccess),
		[]string{"scope", "read"}).refused(t, tokenexchange.InvalidRequest, "D14")
}

// hasShape checks which claim names which party.
func (sc *scene) hasShape(t *testing.T, claims object, shape, subject, actor string) {
	t.Helper()
	if shape == "act" {
		assert.Equal(t, []any{subject, actor, sc.iss()},
			[]any{claims["sub"], inside(claims, "act", "sub"), inside(claims, "act", "iss")})
		assert.NotContains(t, claims, "act_as")
		return
	}
	assert.Equal(t, []any{actor, subject}, []any{claims["sub"], inside(claims, "act_as", "sub")})
	assert.NotContains(t, claims, "act")
}

// c02Changed: the setting changes while tokens are in use, by a restart with the same key and
// store.
func c02Changed(t *testing.T) {
	for _, shapes := range [][2]string{{"act", "act_as"}, {"act_as", "act"}} {
		issuer := setting("issuer", "https://as.acme.example")
		before := play(t, issuer, setting("claim_shape", shapes[0]))
		portal := before.basic("portal")
		alice, ines := before.logIn(t, "alice", "portal"), before.logIn(t, "ines", "portal")
		old := before.exchange(t, portal, about(alice.AccessToken, urnAccess),
			acting(ines.AccessToken, urnAccess),
			[]string{"scope", "read", "requested_token_type", urnJWT}).jwt(t)
		after := playOn(t, server.Options{Key: before.options.Key,
			Store: before.server.Tokens.Store}, issuer, setting("claim_shape", shapes[1]))
		fresh := after.exchange(t, portal, about(old.token(), urnAccess),
			[]string{"requested_token_type", urnJWT}).jwt(t)
		after.hasShape(t, after.claims(t, old.token()), shapes[0], "alice", "ines")
		after.hasShape(t, after.claims(t, fresh.token()), shapes[1], "alice", "ines")
		assert.Equal(t, after.active(t, portal, old.token())["act"],
			after.active(t, portal, fresh.token())["act"])
		assert.Equal(t, http.StatusForbidden, after.call(t, old.token()).status)
	}
}

// c02Refused: shapes that contradict each other, and shapes of issuers that are not trusted for
// them.
func c02Refused(t *testing.T) {
	sc := play(t)
	now := sc.clock.Now()
	own := func(claims object) string {
		c := object{"iss": sc.iss(), "sub": "gustav", "client_id": "portal", "aud": management,
			"scope": "users:read", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"jti": "made-here"}
		for name, value := range claims {
			c[name] = value
		}
		return mint(t, sc.options.Key, object{"typ": "at+jwt", "kid": server.KeyID(sc.options.Key)},
			c)
	}
	require.NoError(t, sc.server.Tokens.Record(t.Context(),
		tokenexchange.Token{Issuer: sc.iss(), ID: "made-here", Type: tokenexchange.TypeAccessToken,
			Kind: tokenexchange.KindUser, Subject: "gustav", ClientID: "portal",
			Expires: now.Add(time.Hour)}))
	portal := sc.basic("portal")
	assert.Equal(t, http.StatusOK, sc.call(t, own(nil)).status, "it is only about what follows")
	for name, claims := range map[string]object{
		"both":           {"act": object{"sub": "ines"}, "act_as": object{"sub": "adam"}},
		"no object":      {"act_as": "adam"},
		"nobody":         {"act_as": object{}},
		"an empty name":  {"act_as": object{"sub": ""}},
		"a list":         {"act_as": []string{"adam"}},
		"act, no object": {"act": "ines"},
	} {
		token := own(claims)
		sc.exchange(t, portal, about(token, urnAccess), []string{"scope", "users:read"}).refused(t,
			tokenexchange.InvalidRequest)
		sc.inactive(t, portal, token)
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, token).status, name)
	}
	for _, claim := range []string{"act", "act_as"} { // D06
		partner := mint(t, readPEM(t, "testdata/partner.pem"),
			object{"typ": "at+jwt", "kid": "partner-1"},
			object{"iss": "https://idp.partner.example", "sub": "p-4711",
				"aud": expected, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
				"scope": "orders.read", "jti": "1", "client_id": "x",
				claim: object{"sub": "p-4712"}})
		sc.exchange(t, portal, about(partner, urnJWT)).refused(t, tokenexchange.InvalidRequest,
			"D06")
		word := sc.assertion("robot")
		word["sub"], word[claim] = "alice", object{"sub": "bob"}
		sc.exchange(t, sc.private(t, "robot", "testdata/robot.pem"),
			about(mint(t, readPEM(t, "testdata/robot.pem"), object{"kid": "robot-1"}, word),
				urnJWT),
			acting(sc.logIn(t, "ines", "robot").AccessToken, urnAccess)).refused(t,
			tokenexchange.InvalidRequest, "D06")
	}
}
