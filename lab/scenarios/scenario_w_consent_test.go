package scenarios

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

func init() { scenario("W08", scenarioW08) }

const portalURI = "https://portal.example/callback"

// decide presses a button of the consent page.
func (b *browser) decide(t *testing.T, p page, decision string,
	changes ...func(*http.Request)) page {
	t.Helper()
	action, fields := p.form(t)
	require.Equal(t, "/consent", action)
	fields.Set("decision", decision)
	return b.post(t, action, fields, changes...)
}

// scenarioW08: the users of an approved client are not asked for consent; all others are, each
// time.
func scenarioW08(t *testing.T) {
	sc := counted(t)
	k := newPKCE()
	portal := k.ask("client_id", "portal", "redirect_uri", portalURI,
		"scope", "openid email read offline_access")

	t.Run("approved", func(t *testing.T) {
		_, params := sc.browser(t).landed(t, sc.desk(t, "ines").get(t, k.ask()))
		require.NotEmpty(t, params.Get("code"))
		sc.desk(t, "ines").ticket(t, "alice")
	})
	t.Run("shown otherwise", func(t *testing.T) {
		b := sc.browser(t)
		p := b.enter(t, b.get(t, portal), "alice")
		require.Equal(t, http.StatusOK, p.status)
		for _, params := range []string{"Acme Portal", "alice", "<li>email</li>",
			"<li>read</li>", "when you are away"} {
			assert.Contains(t, p.body, params)
		}
		assert.Equal(t, "DENY", p.header.Get("X-Frame-Options"))
		assert.Equal(t, "no-store", p.header.Get("Cache-Control"))
		uri, params := b.landed(t, b.decide(t, p, "allow"))
		assert.Equal(t, portalURI, uri)
		assert.Equal(t, "state-1", params.Get("state"))
		a := sc.redeem(t, sc.basic("portal"), params.Get("code"), k, "redirect_uri", portalURI)
		require.Equal(t, http.StatusOK, a.status, a.raw)
		assert.Equal(t, "openid email read offline_access", a.text("scope"))

		again := b.get(t, portal)
		require.Equal(t, http.StatusOK, again.status, "each time")
		b.decide(t, again, "allow")
		p = b.decide(t, again, "allow")
		assert.Equal(t, http.StatusBadRequest, p.status, "an answer is good once")
		assert.Empty(t, p.header.Get("Location"))
	})
	t.Run("no is no", func(t *testing.T) {
		b := sc.desk(t, "alice")
		for _, no := range []string{"deny", "", "ALLOW"} {
			b.refusedWith(t, b.decide(t, b.get(t, portal), no), "access_denied")
		}
	})
	t.Run("the user cannot be asked", func(t *testing.T) {
		b := sc.desk(t, "alice")
		b.refusedWith(t, b.get(t, k.ask("client_id", "portal", "redirect_uri", portalURI,
			"prompt", "none")), "consent_required")
		_, params := b.landed(t, b.get(t, k.ask("prompt", "none")))
		require.NotEmpty(t, params.Get("code"), "an approved client needs no question")
	})
	t.Run("an approved client that wants it", func(t *testing.T) {
		b := sc.desk(t, "alice")
		_, params := b.landed(t, b.decide(t, b.get(t, k.ask("prompt", "consent")), "allow"))
		require.NotEmpty(t, params.Get("code"))
		p := b.get(t, k.ask("prompt", "consent login"))
		_, params = b.landed(t, b.decide(t, b.enter(t, p, "alice"), "allow"))
		require.NotEmpty(t, params.Get("code"))
		b.refusedWith(t, b.get(t, k.ask("prompt", "none consent")), "invalid_request")
	})
	t.Run("one user cannot answer for another", func(t *testing.T) {
		b, other := sc.desk(t, "alice"), sc.desk(t, "bob")
		p := b.get(t, portal)
		assert.Equal(t, http.StatusBadRequest, other.decide(t, p, "allow").status,
			"another browser")
		assert.Equal(t, http.StatusBadRequest, sc.browser(t).decide(t, p, "allow").status,
			"a browser without a session")
		from := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
		assert.Equal(t, http.StatusForbidden, b.decide(t, p, "allow", from).status, "another site")
		login := b.get(t, k.ask("prompt", "login"))
		b.enter(t, login, "bob")
		assert.Equal(t, http.StatusBadRequest, b.decide(t, p, "allow").status,
			"another session in the same browser")
		assert.Equal(t, http.StatusBadRequest,
			b.post(t, "/consent", formOf("decision", "allow")).status)
	})
	t.Run("not of what is refused anyway", func(t *testing.T) {
		b := sc.desk(t, "alice")
		b.refusedWith(t, b.get(t, k.ask("client_id", "portal", "redirect_uri", portalURI,
			"scope", "openid transfer")), "invalid_scope")
	})
	t.Run("too late", func(t *testing.T) {
		b := sc.desk(t, "alice")
		p, q := b.get(t, portal), b.get(t, portal)
		sc.wait(10 * time.Minute)
		assert.Equal(t, http.StatusBadRequest, b.decide(t, p, "allow").status)
		p = b.get(t, portal)
		sc.changeUser("alice", func(u *world.User) { u.Status = "locked" })
		assert.Equal(t, http.StatusBadRequest, b.decide(t, p, "allow").status)
		assert.Equal(t, http.StatusBadRequest, b.decide(t, q, "allow").status)
		sc.changeUser("alice", func(u *world.User) { u.Status = "enabled" })
	})
	t.Run("for a ticket", func(t *testing.T) {
		sc := counted(t, changing("clients", "helpdesk", object{"preapproved": nil}))
		b := sc.desk(t, "ines")
		before := sc.written.tokens()
		p := b.get(t, askTicket("alice"))
		require.Equal(t, http.StatusOK, p.status)
		for _, params := range []string{"Acme Helpdesk", "<strong>ines</strong>",
			"<strong>alice</strong>", "<li>read</li>"} {
			assert.Contains(t, p.body, params)
		}
		params := b.inFragment(t, b.decide(t, p, "deny"))
		assert.Equal(t, "access_denied", params.Get("error"))
		strange := b.get(t, askTicket(`<b>zoe</b>`))
		assert.NotContains(t, strange.body, "<b>zoe")
		assert.Equal(t, "access_denied",
			b.inFragment(t, b.decide(t, strange, "allow")).Get("error"))
		p = b.get(t, askTicket("alice"))
		assert.Equal(t, before, sc.written.tokens(), "there is no ticket before there is a yes")
		params = b.inFragment(t, b.decide(t, p, "allow"))
		sc.spend(t, params.Get("subject_token"), params.Get("id_token")).opaque(t)
	})
	t.Run("no client can be approved whose name anybody can say", func(t *testing.T) {
		doc := object{}
		require.NoError(t, json.Unmarshal(demoWorld, &doc))
		changing("clients", "mobile", object{"preapproved": true})(doc)
		data, err := json.Marshal(doc)
		require.NoError(t, err)
		_, err = world.Parse(data)
		require.ErrorContains(t, err, "preapproved")
	})
}
