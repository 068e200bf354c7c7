package scenarios

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("W02", scenarioW02) }

// scenarioW02: a ticket and the ID token of the impersonator are exchanged, once, for a token that
// names both.
func scenarioW02(t *testing.T) {
	sc := counted(t)
	b := sc.desk(t, "ines")
	helpdesk, api := sc.basic("helpdesk"), sc.basic("orders-api")
	both := object{"iss": sc.iss(), "sub": "ines", "client_id": "helpdesk"}

	t.Run("granted", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		a := sc.spend(t, ticket, id, "requested_token_type", urnAccess).opaque(t)
		assert.Equal(t, "read", a.text("scope"))
		m := sc.active(t, api, a.token())
		assert.Equal(t, []any{"alice", both, orders, "helpdesk"},
			[]any{m["sub"], m["act"], m["aud"], m["client_id"]})
		assert.NotContains(t, m, "may_act", "D17")
		e := a.event(t)
		assert.Equal(t, []any{"delegate", "helpdesk-ticket", "alice", "ines"},
			[]any{e["mode"], e["rule"], inside(e, "subject", "id"), inside(e, "actor", "id")})

		ticket, id = b.ticket(t, "alice")
		claims := sc.claims(t,
			sc.spend(t, ticket, id, "requested_token_type", urnJWT).jwt(t).token())
		assert.Equal(t, []any{"alice", both, orders},
			[]any{claims["sub"], claims["act"], claims["aud"]})
		for _, name := range []string{"may_act", "nonce", "nbf", "azp"} {
			assert.NotContains(t, claims, name)
		}
	})
	t.Run("with an access token as actor token", func(t *testing.T) {
		ticket, _ := b.ticket(t, "alice")
		token := sc.logIn(t, "ines", "helpdesk").AccessToken
		sc.exchange(t, helpdesk, about(ticket, urnJWT), acting(token, urnAccess)).opaque(t)
	})
	t.Run("lifetime", func(t *testing.T) { // D25
		ticket, id := b.ticket(t, "alice")
		sc.wait(2 * time.Minute)
		assert.Equal(t, json.Number("1800"), sc.spend(t, ticket, id).opaque(t).body["expires_in"],
			"of the rule, not what is left of the ticket")
		long := counted(t, changing("rules", "helpdesk-ticket", object{"lifetime": "5h"}))
		ticket, id = long.desk(t, "ines").ticket(t, "alice")
		long.wait(2 * time.Minute)
		assert.Equal(t, json.Number("3480"), long.spend(t, ticket, id).opaque(t).body["expires_in"],
			"of the actor token")
	})

	bob, greta, alice := sc.logIn(t, "bob", "helpdesk").IDToken, sc.logIn(t, "greta",
		"helpdesk").IDToken, sc.logIn(t, "alice", "helpdesk").IDToken
	client, elsewhere := sc.own(t, sc.basic("portal")).token(), sc.logIn(t, "ines",
		"portal").IDToken
	for name, row := range map[string]struct {
		ask    func(ticket, id string) reply
		reason string
	}{
		"no actor token": {func(ticket, _ string) reply {
			return sc.spend(t, ticket, "")
		}, "needs an actor token"},
		"no actor token, a jwt": {func(ticket, _ string) reply {
			return sc.spend(t, ticket, "", "requested_token_type", urnJWT)
		}, "needs an actor token"},
		"another user": {func(ticket, _ string) reply {
			return sc.spend(t, ticket, bob)
		}, "D11"},
		"another user with a role": {func(ticket, _ string) reply {
			return sc.spend(t, ticket, greta)
		}, "D08"},
		"the user themself": {func(ticket, _ string) reply {
			return sc.spend(t, ticket, alice)
		}, "D11"},
		"a client": {func(ticket, _ string) reply {
			return sc.exchange(t, helpdesk, about(ticket, urnJWT), acting(client, urnAccess))
		}, "D11"},
		"a login at another client": {func(ticket, _ string) reply {
			return sc.spend(t, ticket, elsewhere)
		}, "D05"},
		"the ticket as actor": {func(ticket, _ string) reply {
			return sc.exchange(t, helpdesk, about(ticket, urnJWT), acting(ticket, urnJWT))
		}, ""},
		"another client": {func(ticket, _ string) reply {
			return sc.exchange(t, sc.basic("portal"), about(ticket, urnJWT),
				acting(elsewhere, urnID))
		}, "D08"},
		"a part of it": {func(ticket, id string) reply {
			return sc.spend(t, ticket[:len(ticket)-2], id)
		}, ""},
		"without signature": {func(ticket, id string) reply {
			return sc.spend(t, ticket[:strings.LastIndex(ticket, ".")+1], id)
		}, ""},
		"as an access token": {func(ticket, id string) reply {
			return sc.exchange(t, helpdesk, about(ticket, urnAccess), acting(id, urnID))
		}, ""},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			ticket, id := b.ticket(t, "alice")
			before := sc.written.tokens()
			a := row.ask(ticket, id)
			require.Equal(t, "invalid_request", a.text("error"), a.raw)
			require.Equal(t, http.StatusBadRequest, a.status)
			e := a.logged[len(a.logged)-1]
			assert.Equal(t, "refused", e["outcome"])
			assert.Contains(t, noted(e, "reason")+noted(e, "detail")+noted(e, "cause"), row.reason)
			assert.Equal(t, before, sc.written.tokens(), "a token has been recorded")
			sc.spend(t, ticket, id).opaque(t) // the refusal uses nothing up
		})
	}
	t.Run("another client that a rule allows", func(t *testing.T) {
		two := counted(t, changing("rules", "helpdesk-ticket",
			object{"clients": []string{"helpdesk", "portal"},
				"delegate": object{"other_tokens": true}}))
		ticket, id := two.desk(t, "ines").ticket(t, "alice")
		two.exchange(t, two.basic("portal"), about(ticket, urnJWT),
			acting(two.logIn(t, "ines", "portal").IDToken, urnID)).
			refused(t, tokenexchange.InvalidRequest)
		two.spend(t, ticket, id).opaque(t)
	})
	t.Run("who has lost the role since", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		sc.changeUser("ines", func(u *world.User) { u.Roles = nil })
		sc.spend(t, ticket, id).refused(t, tokenexchange.InvalidRequest, "D11")
		sc.changeUser("ines", func(u *world.User) { u.Roles = []string{"org-user-impersonator"} })
		sc.changeUser("alice", func(u *world.User) { u.Status = "locked" })
		sc.spend(t, ticket, id).refused(t, tokenexchange.InvalidRequest, "locked")
		sc.changeUser("alice", func(u *world.User) { u.Status = "enabled" })
		sc.changeUser("ines", func(u *world.User) { u.Status = "disabled" })
		sc.spend(t, ticket, id).refused(t, tokenexchange.InvalidRequest, "disabled")
		sc.changeUser("ines", func(u *world.User) { u.Status = "enabled" })
		sc.spend(t, ticket, id).opaque(t)
	})
	t.Run("once", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		for _, wide := range []string{"write", "audit", "read openid"} {
			sc.spend(t, ticket, id, "scope", wide).refused(t, tokenexchange.InvalidScope)
		}
		sc.spend(t, ticket, id, "audience", bank).refused(t, tokenexchange.InvalidTarget)
		sc.exchange(t, basicAs("helpdesk", "wrong"), about(ticket, urnJWT),
			acting(id, urnID)).refused(t, tokenexchange.InvalidClient)
		first := sc.spend(t, ticket, id).opaque(t)
		sc.spend(t, ticket, id).refused(t, tokenexchange.InvalidRequest, "spent")
		sc.spend(t, ticket, id, "requested_token_type", urnJWT).refused(t,
			tokenexchange.InvalidRequest, "spent")
		sc.active(t, api, first.token())
	})
	// I06, D09
	t.Run("spent in the write that records the token, and not before", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		live := sc.written.live(sc.clock.Now())
		sc.written.failWith(errors.New("the database is down"))
		sc.spend(t, ticket, id).broken(t)
		sc.written.failWith(nil)
		sc.withoutAudit(func() { sc.spend(t, ticket, id).broken(t) })
		assert.Equal(t, live, sc.written.live(sc.clock.Now()),
			"nothing is left of what did not leave")
		sc.spend(t, ticket, id).opaque(t)
		sc.spend(t, ticket, id).refused(t, tokenexchange.InvalidRequest, "spent")
	})
	t.Run("at once", func(t *testing.T) {
		ticket, id := b.ticket(t, "alice")
		before := len(sc.events(t))
		answers := make([]reply, 16)
		atOnce(len(answers), func(i int) {
			answers[i] = sc.quietly(t, "/token", helpdesk,
				formOf("grant_type", grantExchange, "subject_token", ticket, "subject_token_type",
					urnJWT,
					"actor_token", id, "actor_token_type", urnID))
		})
		good := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				good++
				continue
			}
			assert.Equal(t, "invalid_request", a.text("error"))
		}
		assert.Equal(t, 1, good)
		assert.Len(t, sc.events(t)[before:], len(answers), "I07")
	})
	t.Run("ends with the session", func(t *testing.T) { // C07
		other := sc.desk(t, "ines")
		unspent, id := other.ticket(t, "alice")
		spent, _ := other.ticket(t, "alice")
		made := sc.spend(t, spent, id).opaque(t).token()
		sc.active(t, api, made)
		k := newPKCE()
		// a new session ends the old one
		other.enter(t, other.get(t, k.ask("prompt", "login")), "ines")
		sc.inactive(t, api, made)
		sc.spend(t, unspent, id).refused(t, tokenexchange.InvalidRequest, "revoked")
	})
}

// quietly is send for concurrent requests, whose log lines cannot be told apart.
func (sc *scene) quietly(t *testing.T, path string, as authentication, form url.Values) (a reply) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sc.url+path, nil)
	if !assert.NoError(t, err) {
		return a
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	as(r, form)
	r.Body = io.NopCloser(strings.NewReader(form.Encode()))
	resp, err := sc.http.Do(r)
	if !assert.NoError(t, err) {
		return a
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return reply{status: resp.StatusCode, raw: string(raw), body: objectOf(raw)}
}
