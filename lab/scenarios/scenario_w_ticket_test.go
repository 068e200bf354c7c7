package scenarios

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() {
	scenario("W01", scenarioW01)
	scenario("W03", scenarioW03)
	scenario("W04", scenarioW04)
}

// scenarioW01: a ticket from the authorization endpoint.
func scenarioW01(t *testing.T) {
	sc := counted(t)
	date := func(after time.Duration) json.Number {
		return json.Number(strconv.FormatInt(sc.clock.Now().Add(after).Unix(), 10))
	}
	b := sc.desk(t, "ines")

	t.Run("what it says", func(t *testing.T) {
		params := b.inFragment(t, b.get(t,
			askTicket("alice", "response_type", "subject_token",
				"scope", "internal_user_impersonate read write")))
		require.Equal(t, []string{"iss", "state", "subject_token"},
			slices.Sorted(maps.Keys(params)),
			"no ID token, and no code")
		assert.Equal(t, "state-1", params.Get("state"))
		header, claims := sc.verified(t, params.Get("subject_token"))
		assert.Equal(t, "subject-token+jwt", header["typ"])
		assert.Regexp(t, `^[A-Z2-7]{26}$`, claims["jti"])
		delete(claims, "jti")
		assert.Equal(t, object{
			"iss": sc.iss(), "sub": "alice", "aud": "helpdesk", "azp": "helpdesk",
			"client_id": "helpdesk", "scope": "read write",
			"may_act": object{"iss": sc.iss(), "sub": "ines", "client_id": "helpdesk"},
			"iat":     date(0), "nbf": date(0), "exp": date(3 * time.Minute),
			"lineage": object{}, // it began with a name, not with a login
		}, claims)
	})
	t.Run("on record", func(t *testing.T) {
		ticket, _ := b.ticket(t, "alice", "response_type", "subject_token",
			"scope", "internal_user_impersonate read")
		e := sc.lastEvent(t)
		assert.Equal(t, []any{"granted", "subject_ticket", "helpdesk", "delegate"},
			[]any{e["outcome"], e["grant"], e["client"], e["mode"]})
		assert.Equal(t, "alice", inside(e, "subject", "id"))
		assert.Equal(t, "ines", inside(e, "actor", "id"))
		_, claims := sc.verified(t, ticket)
		assert.Equal(t, claims["jti"], inside(e, "granted", "token_id"))
	})
	t.Run("with an ID token of the impersonator", func(t *testing.T) {
		for _, order := range []string{"id_token subject_token", "subject_token id_token"} {
			params := b.inFragment(t, b.get(t, askTicket("alice", "response_type", order)))
			require.Equal(t, []string{"id_token", "iss", "state", "subject_token"},
				slices.Sorted(maps.Keys(params)))
			_, id := sc.verified(t, params.Get("id_token"))
			assert.Equal(t, []any{"ines", "helpdesk", "helpdesk", "nonce-1"},
				[]any{id["sub"], id["aud"], id["azp"], id["nonce"]})
			assert.NotContains(t, id, "act")
			assert.NotContains(t, id, "at_hash", "there is no access token")
			_, ticket := sc.verified(t, params.Get("subject_token"))
			assert.Equal(t, "read", ticket["scope"], "openid is for the ID token")
			assert.NotContains(t, ticket, "nonce")
		}
	})
	t.Run("in a form", func(t *testing.T) {
		p := b.get(t, askTicket("alice", "response_mode", "form_post"))
		require.Equal(t, http.StatusOK, p.status)
		assert.Empty(t, p.header.Get("Location"))
		assert.Equal(t, "no-store", p.header.Get("Cache-Control"))
		action, fields := p.form(t)
		assert.Equal(t, helpdeskURI, action)
		assert.Equal(t, []string{"id_token", "iss", "state", "subject_token"},
			slices.Sorted(maps.Keys(fields)))
		sc.spend(t, fields.Get("subject_token"), fields.Get("id_token")).opaque(t)
		action, fields = b.get(t, askTicket("zoe", "response_mode", "form_post")).form(t)
		assert.Equal(t, helpdeskURI, action)
		assert.Equal(t, []string{"access_denied", "state-1"},
			[]string{fields.Get("error"), fields.Get("state")}, "an error by the same way")
	})
	t.Run("after a login", func(t *testing.T) {
		b := sc.browser(t)
		before := sc.written.tokens()
		p := b.get(t, askTicket("alice"))
		require.Equal(t, http.StatusOK, p.status)
		require.Equal(t, before, sc.written.tokens())
		params := b.inFragment(t, b.enter(t, p, "ines"))
		require.NotEmpty(t, params.Get("subject_token"))
		params = sc.browser(t).inFragment(t,
			sc.browser(t).get(t, askTicket("alice", "prompt", "none")))
		require.Equal(t, "login_required", params.Get("error"))
	})
	t.Run("by POST", func(t *testing.T) {
		form := formOf("response_type", "subject_token", "client_id", "helpdesk", "redirect_uri",
			helpdeskURI,
			"scope", "internal_user_impersonate read", "requested_subject", "alice", "state",
			"state-1")
		params := b.inFragment(t, b.post(t, "/authorize", form))
		require.NotEmpty(t, params.Get("subject_token"))
	})
	t.Run("as long as the world says", func(t *testing.T) {
		short := counted(t,
			changing("clients", "helpdesk", object{"subject_token_lifetime": "20s"}))
		b := short.desk(t, "ines")
		ticket, id := b.ticket(t, "alice")
		late, _ := b.ticket(t, "alice")
		short.wait(19 * time.Second)
		short.spend(t, ticket, id).opaque(t)
		short.wait(time.Second)
		short.spend(t, late, id).refused(t, tokenexchange.InvalidRequest, "expired")
	})
	t.Run("no longer than the session", func(t *testing.T) {
		short := counted(t, setting("lifetimes",
			object{"access_token": "1h", "refresh_token": "1h", "session": "1m"}))
		ticket, _ := short.desk(t, "ines").ticket(t, "alice")
		_, claims := short.verified(t, ticket)
		assert.Equal(t, json.Number(strconv.FormatInt(short.clock.Now().Add(time.Minute).Unix(),
			10)), claims["exp"])
	})
	t.Run("as no other token", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		helpdesk := sc.basic("helpdesk")
		for _, kind := range []string{urnAccess, urnID, urnRefresh} {
			sc.exchange(t, helpdesk, about(ticket, kind), acting(id, urnID)).refused(t,
				tokenexchange.InvalidRequest)
		}
		sc.exchange(t, helpdesk, about("alice", urnUserID), acting(ticket, urnJWT)).refused(t,
			tokenexchange.InvalidRequest)
		sc.exchange(t, helpdesk, about(ticket, urnTicket), acting(id, urnID)).refused(t,
			tokenexchange.InvalidRequest)
		assert.Equal(t, http.StatusUnauthorized, sc.call(t, ticket).status)
		sc.inactive(t, sc.basic("orders-api"), ticket)
		sc.spend(t, ticket, id).opaque(t)
	})
	t.Run("both or neither", func(t *testing.T) { // I06
		live := sc.written.live(sc.clock.Now())
		sink := sc.server.Exchanger.Audit
		sc.server.Exchanger.Audit = failingFor{sink, grantImplicit}
		params := b.inFragment(t, b.get(t, askTicket("alice")))
		sc.server.Exchanger.Audit = sink
		assert.Equal(t, "server_error", params.Get("error"))
		assert.NotContains(t, params, "subject_token")
		assert.Equal(t, live, sc.written.live(sc.clock.Now()),
			"the ticket that was not delivered has ended")
		sc.changeUser("ines", func(u *world.User) { u.Scope = []string{"read"} })
		b.noTicket(t, tokenexchange.InvalidScope, "alice")
		assert.Equal(t, grantImplicit, sc.lastEvent(t)["grant"], "before there is a ticket")
		sc.changeUser("ines", func(u *world.User) { u.Scope = []string{"openid", "read", "write"} })
	})
	t.Run("malformed", func(t *testing.T) {
		for name, row := range map[string]struct {
			code    tokenexchange.Code
			changes []string
		}{
			"no requested subject": {tokenexchange.InvalidRequest,
				[]string{"requested_subject", ""}},
			"an ID token without nonce": {tokenexchange.InvalidRequest, []string{"nonce", ""}},
			"an ID token without openid": {tokenexchange.InvalidScope,
				[]string{"scope", "internal_user_impersonate read"}},
			"openid without ID token": {tokenexchange.InvalidScope,
				[]string{"response_type", "subject_token"}},
			"no scope": {tokenexchange.InvalidScope, []string{"scope", ""}},
			"no scope for the ticket": {tokenexchange.InvalidScope,
				[]string{"scope", "internal_user_impersonate openid"}},
			"a malformed scope": {tokenexchange.InvalidScope,
				[]string{"scope", "internal_user_impersonate  openid"}},
			"a target": {tokenexchange.InvalidTarget, []string{"audience", orders}},
			"in a query": {tokenexchange.InvalidRequest,
				[]string{"response_mode", "query"}},
			"an unknown mode": {tokenexchange.InvalidRequest,
				[]string{"response_mode", "web_message"}},
			"another response type": {unsupportedResponseType,
				[]string{"response_type", "token subject_token"}},
			"with a code": {unsupportedResponseType,
				[]string{"response_type", "code subject_token"}},
			"twice the same": {unsupportedResponseType,
				[]string{"response_type", "subject_token subject_token"}},
			"two ways of acting": {tokenexchange.InvalidRequest,
				[]string{"claims", `{"id_token":{"act_as":{"value":"alice"}}}`}},
			"another subject by scope": {tokenexchange.InvalidRequest,
				[]string{"scope", "internal_user_impersonate openid read act_as:alice"}},
			"a request object": {requestNotSupported, []string{"request", "x"}},
		} {
			t.Run(name, func(t *testing.T) { b.noTicket(t, row.code, "alice", row.changes...) })
		}
		params := b.inFragment(t, b.get(t, askTicket("alice")+"&requested_subject=bob"))
		assert.Equal(t, "invalid_request", params.Get("error"), "R04: repeated")
		_, params = b.landed(t, b.get(t, newPKCE().ask("requested_subject", "alice")))
		assert.Equal(t, "invalid_request",
			params.Get("error"), "not ignored where it would do nothing")
	})
	t.Run("nowhere else", func(t *testing.T) { // no open redirect
		for _, wrong := range [][]string{
			{"redirect_uri", helpdeskURI + "/"}, {"redirect_uri", helpdeskURI + "?a=b"},
			{"redirect_uri", "https://evil.example/callback"},
			{"redirect_uri", "https://helpdesk.example.evil.example/callback"},
			{"redirect_uri", "HTTPS://helpdesk.example/callback"},
			{"redirect_uri", helpdeskURI + "#x"}, {"redirect_uri", ""}, {"client_id", "nobody"},
			{"client_id", ""}, {"client_id", "console"},
		} {
			p := b.get(t, askTicket("alice", wrong...))
			assert.Equal(t, http.StatusBadRequest, p.status, "%v", wrong)
			assert.Empty(t, p.header.Get("Location"), "%v", wrong)
			assert.NotContains(t, p.body, "evil")
		}
		sc.changeClient("helpdesk", func(c *world.Client) { c.Status = "disabled" })
		assert.Equal(t, http.StatusBadRequest, b.get(t, askTicket("alice")).status)
		sc.changeClient("helpdesk", func(c *world.Client) { c.Status = "enabled" })
	})
	t.Run("only for a client that is registered for it", func(t *testing.T) {
		uri := newPKCE().ask("response_type", "subject_token", "requested_subject", "alice",
			"scope", "internal_user_impersonate read")
		_, params := b.landed(t, b.get(t, uri))
		assert.Equal(t, "unauthorized_client", params.Get("error"))
		metadata := sc.document(t, "/.well-known/openid-configuration")
		assert.Equal(t, []any{"code", "subject_token", "id_token subject_token"},
			metadata["response_types_supported"])
	})
}

// scenarioW03: users who may not impersonate or cannot be impersonated. None of them gets a ticket.
func scenarioW03(t *testing.T) {
	sc := counted(t)
	b := sc.desk(t, "ines")
	b.ticket(t, "alice")
	same := b.noTicket(t, accessDenied, "zoe")
	for user, why := range map[string]string{
		"zoe": "the user is unknown", "lola": "locked", "dora": "locked or disabled",
		"carol": "D11",
		"adam":  "D11", "gina": "D11", "ines": "D11",
		"oleg": "D11", "helpdesk": "the user is unknown", "ALICE": "the user is unknown",
		"alice ": "the user is unknown",
	} {
		t.Run("about "+user, func(t *testing.T) {
			assert.Equal(t, same, b.noTicket(t, accessDenied, user),
				"unknown, locked, disabled and out of reach look alike")
			e := sc.lastEvent(t)
			assert.Equal(t, []any{"refused", "subject_ticket", "invalid_request"},
				[]any{e["outcome"], e["grant"], e["error"]})
			assert.Equal(t, "ines",
				firstOf(inside(e, "actor", "id"), inside(e, "subject", "token_client")))
			assert.Contains(t, noted(e, "reason")+noted(e, "detail")+noted(e, "cause"), why)
			assert.Equal(t, "helpdesk", e["client"])
		})
	}
	t.Run("without the scope", func(t *testing.T) {
		b.noTicket(t, tokenexchange.InvalidScope, "alice", "scope", "openid read")
		sc.changeClient("helpdesk", func(c *world.Client) { c.Scope = []string{"openid", "read"} })
		b.noTicket(t, tokenexchange.InvalidScope, "alice")
		sc.changeClient("helpdesk", func(c *world.Client) {
			c.Scope = []string{"openid", "read", "internal_user_impersonate"}
		})
		b.ticket(t, "alice")
	})
	t.Run("without the role", func(t *testing.T) {
		for _, user := range []string{"bob", "sam", "adam"} {
			sc.desk(t, user).noTicket(t, accessDenied, "alice")
			assert.Equal(t, user, inside(sc.lastEvent(t), "actor", "id"))
			assert.Contains(t, noted(sc.lastEvent(t), "reason")+noted(sc.lastEvent(t), "detail"),
				"D11")
		}
		sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
		b.noTicket(t, accessDenied, "alice")
		sc.changeUser("ines", func(u *world.User) { u.Roles = []string{"org-user-impersonator"} })
		b.ticket(t, "alice")
	})
	t.Run("who becomes locked", func(t *testing.T) {
		for _, status := range []world.Status{"locked", "disabled"} {
			sc.changeUser("alice", func(u *world.User) { u.Status = status })
			b.noTicket(t, accessDenied, "alice")
		}
		sc.changeUser("alice", func(u *world.User) { u.Status = "enabled" })
		sc.changeUser("ines", func(u *world.User) { u.Status = "locked" })
		b.noTicket(t, loginRequired, "alice", "prompt", "none")
		sc.changeUser("ines", func(u *world.User) { u.Status = "enabled" })
	})
	t.Run("the reach of a role", func(t *testing.T) {
		sc.desk(t, "greta").ticket(t, "carol")
		sc.desk(t, "oleg").ticket(t, "adam")
		sc.desk(t, "greta").noTicket(t, accessDenied, "adam")
		sc.desk(t, "oleg").noTicket(t, accessDenied, "gina")
	})
	t.Run("the master switch", func(t *testing.T) {
		off := counted(t, setting("allow_impersonation", false))
		off.desk(t, "ines").noTicket(t, accessDenied, "alice")
	})
	t.Run("a reason that is missing", func(t *testing.T) {
		strict := counted(t, changing("clients", "helpdesk", object{"require_reason": true}))
		b := strict.desk(t, "ines")
		b.noTicket(t, accessDenied, "alice")
		b.ticket(t, "alice", "reason", "Ticket 4711")
		assert.Equal(t, "Ticket 4711", strict.events(t)[len(strict.events(t))-2]["stated_reason"])
	})
}

func firstOf(list ...any) any {
	for _, v := range list {
		if v != nil {
			return v
		}
	}
	return nil
}

// scenarioW04: the scope of the impersonated token is the user's, never the impersonator's.
func scenarioW04(t *testing.T) {
	sc := counted(t,
		changing("users", "alice", object{"scope": []string{"openid", "read", "email", "notes"}}),
		changing("users", "ines", object{"scope": []string{"openid", "read", "write", "audit"}}),
		changing("clients", "helpdesk", object{"scope": []string{"openid", "read", "write", "audit",
			"notes", "internal_user_impersonate"}}))
	b := sc.desk(t, "ines")
	for name, scope := range map[string]string{
		"only the impersonator's": "audit", "the impersonator's among others": "read write",
		"not the client's": "read email", "an unknown scope": "read fly",
		"a further token": "read offline_access",
	} {
		t.Run(name, func(t *testing.T) {
			b.noTicket(t, tokenexchange.InvalidScope, "alice",
				"scope", "openid internal_user_impersonate "+scope)
			assert.Equal(t, "invalid_scope", sc.lastEvent(t)["error"])
		})
	}
	t.Run("the user's and the client's", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice", "scope", "notes internal_user_impersonate openid read")
		_, claims := sc.verified(t, ticket)
		assert.Equal(t, "notes read", claims["scope"])
		a := sc.spend(t, ticket, id).opaque(t)
		assert.Equal(t, []string{"notes", "read"}, a.scope())
		assert.Equal(t, "notes read", sc.active(t, sc.basic("orders-api"), a.token())["scope"])
	})
	t.Run("less, and never more than the ticket", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		for _, more := range []string{"notes", "read write", "audit",
			"internal_user_impersonate", "openid"} {
			sc.spend(t, ticket, id, "scope", more).refused(t, tokenexchange.InvalidScope)
		}
		assert.Equal(t, "read", sc.spend(t, ticket, id, "scope", "read").opaque(t).text("scope"))
	})
	t.Run("what the user has lost since", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice", "scope", "notes internal_user_impersonate openid read")
		sc.changeUser("alice", func(u *world.User) { u.Scope = []string{"read"} })
		assert.Equal(t, "read", sc.spend(t, ticket, id).opaque(t).text("scope"))
	})
}

// document reads a published document.
func (sc *scene) document(t *testing.T, path string) object {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sc.url+path, nil)
	require.NoError(t, err)
	return sc.do(t, r, nil).body
}
