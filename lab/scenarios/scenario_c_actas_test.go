package scenarios

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("C04", scenarioC04) }

// claimsFor is the parameter claims that names a user to act for.
func claimsFor(user string) string { return `{"id_token":{"act_as":{"value":"` + user + `"}}}` }

// actAs is a request of the helpdesk for a code, with changes as in pkce.ask.
func (k pkce) actAs(changes ...string) string {
	return k.ask(append([]string{"client_id", "helpdesk", "redirect_uri", helpdeskURI},
		changes...)...)
}

// scenarioC04: in an ordinary code or client_credentials flow, a scope or the parameter claims
// names a user to act for.
func scenarioC04(t *testing.T) {
	for _, shape := range []string{"act", "act_as"} {
		t.Run("the code flow, claims in shape "+shape, func(t *testing.T) { rowC04Code(t, shape) })
		t.Run("client_credentials, claims in shape "+shape, func(t *testing.T) {
			rowC04Client(t, shape)
		})
	}
}

// inShape checks the claims of a JWT that name two people, in either shape.
func inShape(t *testing.T, shape string, claims object, subject, actor string) {
	t.Helper()
	outer, inner, other := subject, actor, "act_as"
	if shape == "act_as" {
		outer, inner, other = actor, subject, "act"
	}
	assert.Equal(t, outer, claims["sub"])
	assert.Equal(t, inner, inside(claims, shape, "sub"))
	assert.NotContains(t, claims, other)
	assert.NotContains(t, fmt.Sprint(claims["scope"]), "act_as:")
}

func rowC04Code(t *testing.T, shape string) {
	sc := counted(t, setting("claim_shape", shape),
		changing("rules", "helpdesk-act-as", object{"types": []string{urnJWT, urnAccess}}))
	helpdesk, k := sc.basic("helpdesk"), newPKCE()
	b := sc.desk(t, "ines")
	redeem := func(t *testing.T, b *browser, changes ...string) reply {
		t.Helper()
		_, params := b.landed(t, b.get(t, k.actAs(changes...)))
		require.NotEmpty(t, params.Get("code"), "%v", params)
		return sc.redeem(t, helpdesk, params.Get("code"), k, "redirect_uri", helpdeskURI)
	}
	for name, ask := range map[string][]string{
		"by scope":  {"scope", "openid act_as:alice read"},
		"by claims": {"scope", "openid read", "claims", claimsFor("alice")},
		"by both":   {"scope", "openid act_as:alice read", "claims", claimsFor("alice")},
	} {
		t.Run(name, func(t *testing.T) {
			a := redeem(t, b, ask...)
			require.Equal(t, http.StatusOK, a.status, a.raw)
			assert.Equal(t, "openid read", a.text("scope"), "the prefix scope is no scope")
			claims := sc.claims(t, a.token())
			inShape(t, shape, claims, "alice", "ines")
			assert.Equal(t, "openid read", claims["scope"])
			assert.Equal(t, orders, claims["aud"])
			_, id := sc.verified(t, a.text("id_token"))
			inShape(t, shape, id, "alice", "ines")
			assert.Equal(t, "nonce-1", id["nonce"])
			m := sc.active(t, sc.basic("orders-api"), a.token())
			assert.Equal(t, "openid read", m["scope"])
			e := a.event(t)
			assert.Equal(t, []any{"granted", "authorization_code", "delegate", "helpdesk-act-as"},
				[]any{e["outcome"], e["grant"], e["mode"], e["rule"]})
			assert.Equal(t, "alice", inside(e, "subject", "id"))
			assert.Equal(t, "ines", inside(e, "actor", "id"))
		})
	}
	t.Run("no user is named", func(t *testing.T) {
		a := redeem(t, b)
		require.Equal(t, http.StatusOK, a.status, a.raw)
		assert.Equal(t, "ines", sc.active(t, sc.basic("orders-api"), a.token())["sub"])
		assert.NotContains(t, sc.active(t, sc.basic("orders-api"), a.token()), "act")
	})
	t.Run("scopes of the user, not of who acts", func(t *testing.T) {
		sc.changeUser("alice", func(u *world.User) { u.Scope = []string{"read"} })
		b.refusedWith(t, b.get(t, k.actAs("scope", "act_as:alice write")), "invalid_scope")
		sc.changeUser("alice", func(u *world.User) {
			u.Scope = []string{"openid", "read", "write"}
		})
	})
	for name, row := range map[string]struct {
		user    string
		code    tokenexchange.Code
		changes []string
	}{
		"without the role":        {"bob", accessDenied, []string{"scope", "act_as:alice read"}},
		"above the reach":         {"ines", accessDenied, []string{"scope", "act_as:adam read"}},
		"of another organisation": {"ines", accessDenied, []string{"scope", "act_as:carol read"}},
		"locked":                  {"ines", accessDenied, []string{"scope", "act_as:lola read"}},
		"unknown":                 {"ines", accessDenied, []string{"scope", "act_as:zoe read"}},
		"unknown, by claims":      {"ines", accessDenied, []string{"claims", claimsFor("zoe")}},
		"oneself":                 {"ines", accessDenied, []string{"scope", "act_as:ines read"}},
		"nobody": {"ines", tokenexchange.InvalidScope,
			[]string{"scope", "act_as: read"}},
		"two": {"ines", tokenexchange.InvalidScope,
			[]string{"scope", "act_as:alice act_as:bob"}},
		"another by claims": {"ines", tokenexchange.InvalidRequest,
			[]string{"scope", "act_as:alice read", "claims", claimsFor("bob")}},
		"malformed claims": {"ines", tokenexchange.InvalidRequest,
			[]string{"claims", `{"id_token":`}},
		"claims that are no object": {"ines", tokenexchange.InvalidRequest,
			[]string{"claims", `[]`}},
		"a name in claims twice": {"ines", tokenexchange.InvalidRequest,
			[]string{"claims",
				`{"id_token":{"act_as":{"value":"alice"},"act_as":{"value":"bob"}}}`}},
		"through another client": {"ines", accessDenied,
			[]string{"client_id", "console", "redirect_uri", consoleURI,
				"scope", "act_as:alice read"}},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			b := b
			if row.user != "ines" {
				b = sc.desk(t, row.user)
			}
			before, events := sc.written.tokens(), len(sc.events(t))
			b.refusedWith(t, b.get(t, k.actAs(row.changes...)), string(row.code))
			assert.Equal(t, before, sc.written.tokens())
			if row.code != accessDenied {
				return
			}
			require.Len(t, sc.events(t), events+1,
				"what is decided is on record, also before there is a code")
			e := sc.lastEvent(t)
			assert.Equal(t, []any{"refused", "authorization_code", "invalid_request"},
				[]any{e["outcome"], e["grant"], e["error"]})
			assert.Equal(t, row.user, inside(e, "actor", "id"))
		})
	}
	t.Run("decided again when the code is redeemed", func(t *testing.T) {
		_, params := b.landed(t, b.get(t, k.actAs("scope", "act_as:alice read")))
		sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
		a := sc.redeem(t, helpdesk, params.Get("code"), k, "redirect_uri", helpdeskURI)
		assert.Equal(t, []any{http.StatusBadRequest, "invalid_grant"},
			[]any{a.status, a.text("error")})
		assert.Equal(t, "refused", a.event(t)["outcome"])
		assert.Contains(t, noted(a.event(t), "reason")+noted(a.event(t), "detail"), "D11")
		sc.changeUser("ines", func(u *world.User) { u.Roles = []string{"org-user-impersonator"} })
	})
	t.Run("a reason, stated when the code is asked for", func(t *testing.T) {
		sc.changeClient("helpdesk", func(c *world.Client) { c.RequireReason = true })
		b.refusedWith(t, b.get(t, k.actAs("scope", "act_as:alice read")), "access_denied")
		a := redeem(t, b, "scope", "act_as:alice read", "reason", "Ticket 4711")
		require.Equal(t, http.StatusOK, a.status, a.raw)
		assert.Equal(t, "Ticket 4711", a.event(t)["stated_reason"])
		sc.changeClient("helpdesk", func(c *world.Client) { c.RequireReason = false })
	})
	t.Run("asked about by name", func(t *testing.T) { // W08
		_, fields := b.get(t, k.actAs("scope", "act_as:alice read", "prompt", "consent")).form(t)
		require.NotEmpty(t, fields.Get("transaction"))
		assert.Contains(t, b.get(t, k.actAs("scope", "act_as:alice read",
			"prompt", "consent")).body, "<strong>alice</strong>")
	})
	t.Run("exchanged again, the actor stays", func(t *testing.T) { // D18
		token := redeem(t, b, "scope", "act_as:alice read").token()
		sc.exchange(t, helpdesk, about(token, urnAccess)).refused(t, tokenexchange.InvalidRequest)
		sc.exchange(t, helpdesk, about(string("alice"), string(world.TypeActAs)),
			acting(token, urnAccess)).refused(t, tokenexchange.InvalidRequest)
	})
}

func rowC04Client(t *testing.T, shape string) {
	sc := counted(t, setting("claim_shape", shape),
		changing("rules", "robot-act-as", object{"types": []string{urnJWT}}))
	robot := sc.private(t, "robot", "testdata/robot.pem")
	for name, ask := range map[string][]string{
		"by scope":  {"scope", "read act_as:alice"},
		"by claims": {"scope", "read", "claims", claimsFor("alice")},
	} {
		t.Run(name, func(t *testing.T) {
			a := sc.own(t, robot, ask...).jwt(t)
			assert.Equal(t, "read", a.text("scope"))
			claims := sc.claims(t, a.token())
			inShape(t, shape, claims, "alice", "robot")
			assert.Equal(t, "read", claims["scope"])
			assert.Equal(t, tools, claims["aud"])
			e := a.event(t)
			assert.Equal(t, []any{"client_credentials", "delegate", "robot-act-as"},
				[]any{e["grant"], e["mode"], e["rule"]})
			assert.Equal(t, "alice", inside(e, "subject", "id"))
			assert.Equal(t, "client", inside(e, "actor", "kind"))
		})
	}
	t.Run("nothing but the name", func(t *testing.T) {
		a := sc.own(t, robot, "scope", "act_as:alice").jwt(t)
		assert.NotContains(t, a.body, "scope", "none is asked for, and none is granted")
	})
	for name, row := range map[string]struct {
		as   authentication
		code tokenexchange.Code
		ask  []string
	}{
		"a user it is not registered for": {robot, tokenexchange.InvalidRequest,
			[]string{"scope", "read act_as:bob"}},
		"an administrator": {robot, tokenexchange.InvalidRequest,
			[]string{"scope", "read act_as:adam"}},
		"an unknown user": {robot, tokenexchange.InvalidRequest,
			[]string{"scope", "read act_as:zoe"}},
		"a client": {robot, tokenexchange.InvalidRequest,
			[]string{"scope", "read act_as:portal"}},
		"another client": {sc.basic("portal"), tokenexchange.InvalidRequest,
			[]string{"scope", "read act_as:alice"}},
		"beyond the rule": {robot, tokenexchange.InvalidScope,
			[]string{"scope", "write act_as:alice"}},
		"beyond the targets": {robot, tokenexchange.InvalidTarget,
			[]string{"scope", "read act_as:alice", "audience", bank}},
		"two": {robot, tokenexchange.InvalidScope,
			[]string{"scope", "act_as:alice act_as:bob"}},
		"nobody": {robot, tokenexchange.InvalidScope, []string{"scope", "act_as: read"}},
		"scope and claims": {robot, tokenexchange.InvalidRequest,
			[]string{"scope", "act_as:alice", "claims", claimsFor("bob")}},
		"malformed claims": {robot, tokenexchange.InvalidRequest, []string{"claims", "alice"}},
		"claims twice": {robot, tokenexchange.InvalidRequest,
			[]string{"claims", claimsFor("alice"), "claims", claimsFor("alice")}},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			before := sc.written.tokens()
			a := sc.own(t, row.as, row.ask...).refused(t, row.code)
			assert.Equal(t, "client_credentials", a.event(t)["grant"])
			assert.Equal(t, before, sc.written.tokens())
		})
	}
	t.Run("who is locked", func(t *testing.T) {
		sc.changeUser("alice", func(u *world.User) { u.Status = "locked" })
		sc.own(t, robot, "scope", "read act_as:alice").refused(t, tokenexchange.InvalidRequest,
			"D07")
		sc.changeUser("alice", func(u *world.User) { u.Status = "enabled" })
		sc.changeClient("robot", func(c *world.Client) { c.ActsFor = nil })
		sc.own(t, robot, "scope", "read act_as:alice").refused(t, tokenexchange.InvalidRequest,
			"D11")
	})
	t.Run("the master switch", func(t *testing.T) {
		off := play(t, setting("allow_impersonation", false))
		off.own(t, off.private(t, "robot", "testdata/robot.pem"),
			"scope", "read act_as:alice").refused(t, tokenexchange.InvalidRequest)
		off.own(t, off.private(t, "robot", "testdata/robot.pem"), "scope", "read").opaque(t)
	})
}
