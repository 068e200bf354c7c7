package scenarios

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// filled is the login form of a page, filled in correctly.
func (p page) filled(t *testing.T, user string) url.Values {
	t.Helper()
	action, fields := p.form(t)
	require.Equal(t, pathLogin, action)
	fields.Set("username", user)
	fields.Set("password", user+"-demo-password")
	return fields
}

// A request survives the login unchanged, with any characters, up to the longest request that is
// accepted.
func TestForm_CarriesTheRequest(t *testing.T) {
	sc := play(t)
	k := newPKCE()
	fill := func(text string) string { // up to the limit
		query := strings.TrimPrefix(k.ask("state", "s"), pathAuthorize+"?")
		return strings.Repeat(text, (longestAuthorization-len(query)+1)/len(url.QueryEscape(text)))
	}
	for name, state := range map[string]string{
		"plain":          fill("s"),
		"markup":         fill(`<&>"'`),
		"control":        fill("\x00\r\n\x7f"),
		"not UTF-8":      fill("\xff"),
		"other scripts":  fill("ü漢"),
		"like a request": "?&=&state=x;%",
	} {
		t.Run(name, func(t *testing.T) {
			ask := k.ask("state", state)
			b := sc.browser(t)
			_, params := b.landed(t, b.enter(t, b.get(t, ask), "ines"))
			require.NotEmpty(t, params.Get("code"))
			require.Equal(t, state, params.Get("state"))
			redeemed := sc.redeem(t, sc.basic("console"), params.Get("code"), k)
			require.Equal(t, http.StatusOK, redeemed.status)

			_, query, _ := strings.Cut(ask, "?")
			request, err := url.ParseQuery(query)
			require.NoError(t, err)
			b = sc.browser(t)
			p := b.post(t, pathAuthorize, request)
			require.Equal(t, http.StatusForbidden, b.enterAs(t, p, "ines", "wrong").status)
			_, params = b.landed(t, b.enter(t, b.enterAs(t, p, "ines", "wrong"), "ines"))
			require.Equal(t, state, params.Get("state"))
		})
	}
	for _, query := range []string{fill("s") + "s", fill("<") + "<<<<"} {
		p := sc.browser(t).get(t, k.ask("state", query))
		require.Equal(t, http.StatusBadRequest, p.status, "too long")
	}
	raw := strings.Repeat("*", longestAuthorization/2) // the form has each as %2A
	require.Equal(t, http.StatusBadRequest, sc.browser(t).get(t, k.ask()+"&x="+raw).status)
}

// A form works for one purpose, in one browser or session, at the server that made it, for ten
// minutes.
func TestForm_Bound(t *testing.T) {
	sc := play(t)
	k := newPKCE()
	consent := k.ask("prompt", "consent")
	b := sc.browser(t)
	fields := b.get(t, k.ask()).filled(t, "ines")
	_, asked := sc.desk(t, "ines").get(t, consent).form(t)

	send := func(t *testing.T, b *browser, path string, value string) page {
		t.Helper()
		return b.post(t, path, formOf(fieldTransaction, value, fieldDecision, decisionAllow,
			"username", "ines", "password", "ines-demo-password"))
	}
	refused := func(t *testing.T, p page) {
		t.Helper()
		assert.Equal(t, http.StatusBadRequest, p.status, p.body)
		assert.Empty(t, p.header.Values("Set-Cookie"))
		assert.Empty(t, p.header.Get("Location"))
	}
	value := fields.Get(fieldTransaction)
	t.Run("another browser", func(t *testing.T) {
		refused(t, send(t, sc.browser(t), pathLogin, value))
		other := sc.browser(t)
		other.get(t, k.ask())
		refused(t, send(t, other, pathLogin, value))
	})
	t.Run("another use", func(t *testing.T) {
		refused(t, send(t, b, pathConsent, value))
		refused(t, send(t, b, pathLogin, asked.Get(fieldTransaction)))
		desk := sc.desk(t, "ines")
		_, fields := desk.get(t, consent).form(t)
		refused(t, send(t, desk, pathLogin, fields.Get(fieldTransaction)))
	})
	t.Run("another use, the browser has the name of the session", func(t *testing.T) {
		victim := sc.desk(t, "ines")
		lines := sc.audit.all()
		session := ""
		for _, line := range lines {
			if e := objectOf([]byte(line)); e["msg"] == "login" {
				session, _ = e["session"].(string) // the ID of a session is not secret
			}
		}
		require.NotEmpty(t, session)
		attacker := sc.browser(t)
		home, err := url.Parse(sc.url)
		require.NoError(t, err)
		attacker.http.Jar.SetCookies(home, []*http.Cookie{{Name: cookieBrowser, Value: session}})
		planted := attacker.get(t, k.ask()).filled(t, "ines").Get(fieldTransaction)
		refused(t, send(t, victim, pathConsent, planted))
	})
	t.Run("changed", func(t *testing.T) {
		sealed, err := base64.RawURLEncoding.DecodeString(value)
		require.NoError(t, err)
		for i := 0; i < len(sealed); i += 7 {
			changed := append([]byte{}, sealed...)
			changed[i] ^= 1
			refused(t, send(t, b, pathLogin, base64.RawURLEncoding.EncodeToString(changed)))
		}
		plain := "9999999999?" + strings.TrimPrefix(k.ask(), pathAuthorize+"?")
		for _, other := range []string{"", value[:len(value)-4], value[4:], value + "AAAA", "%",
			plain, base64.RawURLEncoding.EncodeToString([]byte(plain))} {
			refused(t, send(t, b, pathLogin, other))
		}
	})
	t.Run("another server", func(t *testing.T) {
		again := playOn(t, server.Options{Store: sc.options.Store, Key: sc.options.Key})
		other := again.browser(t)
		other.get(t, k.ask())
		refused(t, send(t, other, pathLogin, value))
	})
	t.Run("another site", func(t *testing.T) {
		evil := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
		p := b.post(t, pathLogin, fields, evil)
		assert.Equal(t, http.StatusForbidden, p.status)
	})
	t.Run("expired", func(t *testing.T) {
		late := b.get(t, k.ask()).filled(t, "ines")
		sc.wait(formLifetime - time.Second)
		_, params := b.landed(t, b.post(t, pathLogin, fields)) // nothing above has used it up
		require.NotEmpty(t, params.Get("code"))
		sc.wait(time.Second)
		refused(t, b.post(t, pathLogin, late))
	})
}

// sameForm returns texts that base64 decodes to the same bytes.
func sameForm(value string) []string {
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	list := []string{value, value + "\n", value[:8] + "\r\n" + value[8:]}
	if unused := len(value) % 4; unused > 1 { // the last character has unused bits
		last := strings.IndexByte(alphabet, value[len(value)-1])
		list = append(list, value[:len(value)-1]+alphabet[last^1:last^1+1])
	}
	return list
}

// A form that was accepted is not accepted again, however its base64 is written.
func TestForm_Once(t *testing.T) {
	sc := play(t)
	k := newPKCE()
	for _, pad := range []string{"s", "ss", "sss"} { // so that the value ends in each way
		b := sc.browser(t)
		p := b.get(t, k.ask("state", pad))
		require.Equal(t, http.StatusForbidden, b.enterAs(t, p, "ines", "wrong").status)
		_, params := b.landed(t, b.enter(t, p, "ines"))
		require.NotEmpty(t, params.Get("code"), "a wrong password does not use the form up")
		fields := p.filled(t, "ines")
		for _, value := range sameForm(fields.Get(fieldTransaction)) {
			fields.Set(fieldTransaction, value)
			again := b.post(t, pathLogin, fields)
			require.Equal(t, http.StatusBadRequest, again.status, "%q", value)
			require.Empty(t, again.header.Values("Set-Cookie"))
		}

		p = b.get(t, k.ask("state", pad, "prompt", "consent"))
		_, params = b.landed(t, b.decide(t, p, "allow"))
		require.NotEmpty(t, params.Get("code"))
		_, fields = p.form(t)
		fields.Set("decision", "allow")
		for _, value := range sameForm(fields.Get(fieldTransaction)) {
			fields.Set(fieldTransaction, value)
			again := b.post(t, pathConsent, fields)
			require.Equal(t, http.StatusBadRequest, again.status, "%q", value)
		}
		p = b.get(t, k.ask("state", pad, "prompt", "consent"))
		b.refusedWith(t, b.decide(t, p, "deny"), "access_denied")
		again := b.decide(t, p, "allow")
		require.Equal(t, http.StatusBadRequest, again.status, "after a no")
	}
}

// Of several answers at the same time, one counts.
func TestForm_AtOnce(t *testing.T) {
	sc := play(t)
	k, b := newPKCE(), sc.browser(t)
	count := func(path string, fields url.Values) (accepted int32) {
		var n atomic.Int32
		atOnce(8, func(int) {
			p := b.post(t, path, fields)
			if p.status == http.StatusSeeOther {
				n.Add(1)
			} else {
				assert.Equal(t, http.StatusBadRequest, p.status)
			}
		})
		return n.Load()
	}
	require.EqualValues(t, 1, count(pathLogin, b.get(t, k.ask()).filled(t, "ines")))
	_, fields := sc.desk(t, "ines").get(t, k.ask("prompt", "consent")).form(t)
	require.Zero(t, count(pathConsent, fields), "another session")
	_, fields = b.get(t, k.ask("prompt", "consent")).form(t)
	fields.Set("decision", "allow")
	require.EqualValues(t, 1, count(pathConsent, fields))
}

// The client is validated again when the form comes back.
func TestForm_ClientChanges(t *testing.T) {
	sc := play(t)
	k := newPKCE()
	for name, change := range map[string]func(*world.Client){
		"disabled":        func(c *world.Client) { c.Status = "disabled" },
		"no redirect URI": func(c *world.Client) { c.RedirectURIs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			b, desk := sc.browser(t), sc.desk(t, "ines")
			login, consent := b.get(t, k.ask()), desk.get(t, k.ask("prompt", "consent"))
			before, _ := sc.server.Directory.Client("console")
			sc.changeClient("console", change)
			for _, p := range []page{b.enter(t, login, "ines"), desk.decide(t, consent, "allow")} {
				assert.Equal(t, http.StatusBadRequest, p.status)
				assert.Empty(t, p.header.Get("Location"))
			}
			sc.changeClient("console", func(c *world.Client) { *c = before })
			_, params := desk.landed(t, desk.decide(t, consent, "allow"))
			require.NotEmpty(t, params.Get("code"))
		})
	}
	b := sc.browser(t)
	login := b.get(t, k.ask())
	sc.changeClient("console", func(c *world.Client) { c.ResponseTypes = []string{responseTicket} })
	b.refusedWith(t, b.enter(t, login, "ines"), "unauthorized_client")
}
