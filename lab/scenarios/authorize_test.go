package scenarios

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// A browser logs in and gets a code, and the code gets tokens (RFC 6749 §4.1, OpenID Connect Core
// §3.1).
func TestAuthorize_Code(t *testing.T) {
	sc := play(t)
	b, k, console := sc.browser(t), newPKCE(), sc.basic("console")
	p := b.get(t, k.ask())
	require.Equal(t, http.StatusOK, p.status)
	require.Contains(t, p.body, "Support console")
	p = b.enter(t, p, "ines")
	uri, params := b.landed(t, p)
	require.Equal(t, consoleURI, uri)
	require.Equal(t, "state-1", params.Get("state"))
	require.GreaterOrEqual(t, len(params.Get("code")), 43)

	a := sc.redeem(t, console, params.Get("code"), k)
	require.Equal(t, http.StatusOK, a.status, a.raw)
	require.Equal(t, "openid read", a.body["scope"])
	got := sc.active(t, console, a.body["access_token"].(string))
	require.Equal(t, "ines", got["sub"])
	require.Equal(t, "https://app.example", got["aud"])
	_, id := sc.verified(t, a.body["id_token"].(string))
	require.Equal(t, "nonce-1", id["nonce"])
	require.Equal(t, "console", id["aud"])
	require.NotEmpty(t, id["at_hash"])
	require.Equal(t, json.Number(strconv.FormatInt(sc.clock.Now().Unix(), 10)), id["auth_time"])
	require.Equal(t, "authorization_code", a.logged[0]["grant"])
	require.Equal(t, "granted", a.logged[0]["outcome"])
}

// One login is enough for every client, until the session ends or the client asks for a new login.
func TestAuthorize_SingleSignOn(t *testing.T) {
	sc := play(t)
	b, k := sc.browser(t), newPKCE()
	b.refusedWith(t, b.get(t, k.ask("prompt", "none")), "login_required")
	require.NotEqual(t, b.code(t, "ines", k), b.code(t, "ines", k))
	for _, silent := range [][]string{{"prompt", "none"}, {}, {"max_age", "60"}} {
		_, params := b.landed(t, b.get(t, k.ask(silent...)))
		require.NotEmpty(t, params.Get("code"), "%v", silent)
	}
	for _, again := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		p := b.get(t, k.ask(again...))
		require.Equal(t, http.StatusOK, p.status, "%v", again)
		_, params := b.landed(t, b.enter(t, p, "ines"))
		require.NotEmpty(t, params.Get("code"), "%v", again)
	}
	sc.wait(2 * time.Minute)
	require.Equal(t, http.StatusOK, b.get(t, k.ask("max_age", "60")).status, "the login is too old")
	b.refusedWith(t, b.get(t, k.ask("max_age", "60", "prompt", "none")), "login_required")
	sc.changeUser("ines", func(u *world.User) { u.Status = "locked" })
	b.refusedWith(t, b.get(t, k.ask("prompt", "none")), "login_required")
}
