package scenarios

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// An error in an authorization request is sent to the client, by the response mode that it asked
// for. An error in the client or the redirect URI is shown to the user alone (RFC 6749 §4.1.2.1).
func TestAuthorize_Malformed(t *testing.T) {
	sc := play(t)
	b, k := sc.desk(t, "ines"), newPKCE()
	for name, row := range map[string]struct {
		code    tokenexchange.Code
		changes []string
	}{
		"no challenge": {tokenexchange.InvalidRequest, []string{"code_challenge", ""}},
		"a plain challenge": {tokenexchange.InvalidRequest,
			[]string{"code_challenge_method", "plain"}},
		"no challenge method": {tokenexchange.InvalidRequest,
			[]string{"code_challenge_method", ""}},
		"a challenge that is short": {tokenexchange.InvalidRequest,
			[]string{"code_challenge", "abc"}},
		"no response type": {tokenexchange.InvalidRequest, []string{"response_type", ""}},
		"no scope":         {tokenexchange.InvalidScope, []string{"scope", ""}},
		"more scope": {tokenexchange.InvalidScope,
			[]string{"scope", "openid users:read"}},
		"another target": {tokenexchange.InvalidTarget, []string{"resource", bank}},
		"a prompt": {tokenexchange.InvalidRequest,
			[]string{"prompt", "select_account"}},
		"two prompts":      {tokenexchange.InvalidRequest, []string{"prompt", "none login"}},
		"max_age":          {tokenexchange.InvalidRequest, []string{"max_age", "-1"}},
		"a request object": {requestNotSupported, []string{"request", "x"}},
		"a request URI": {requestURINotSupported,
			[]string{"request_uri", "https://x.example"}},
		"registration": {registrationNotSupported, []string{"registration", "{}"}},
		"authorization_details": {tokenexchange.InvalidAuthorizationDetails,
			[]string{"authorization_details", "[]"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.get(t, k.ask(row.changes...))
			b.refusedWith(t, p, string(row.code))
			assert.Contains(t, p.header.Get("Location"),
				consoleURI+"?", "a code is told in the query, and so is its refusal")
			p = b.get(t, k.ask(append(row.changes, "response_mode", "fragment")...))
			b.refusedWith(t, p, string(row.code))
			assert.Contains(t, p.header.Get("Location"), consoleURI+"#")
			_, fields := b.get(t,
				k.ask(append(row.changes, "response_mode", "form_post")...)).form(t)
			assert.Equal(t, []string{string(row.code), "state-1", sc.iss()},
				[]string{fields.Get("error"), fields.Get("state"), fields.Get("iss")})
		})
	}
	for _, responseType := range []string{"token", "id_token", "code id_token",
		"none", "code code"} {
		p := b.get(t, k.ask("response_type", responseType))
		b.refusedWith(t, p, "unsupported_response_type")
		assert.Equal(t, strings.Contains(responseType, "token"),
			strings.Contains(p.header.Get("Location"), "#"), responseType)
	}
	t.Run("no app takes a form", func(t *testing.T) {
		p := b.get(t, k.ask("client_id", "mobile", "redirect_uri", "example.acme.mobile:/callback",
			"response_mode", "form_post"))
		require.Equal(t, http.StatusSeeOther, p.status)
		assert.True(t, strings.HasPrefix(p.header.Get("Location"),
			"example.acme.mobile:/callback?"), p.header.Get("Location"))
		assert.Contains(t, p.header.Get("Location"), "error=invalid_request")
	})
	for _, repeated := range []string{"state=x", "scope=x", "prompt=none", "response_mode=query"} {
		b.refusedWith(t, b.get(t, k.ask("prompt", "none", "response_mode", "query")+"&"+repeated),
			"invalid_request")
	}
	for _, nowhere := range []string{"redirect_uri=https://evil.example", "client_id=portal"} {
		p := b.get(t, k.ask()+"&"+nowhere)
		assert.Equal(t, http.StatusBadRequest, p.status)
		assert.Empty(t, p.header.Get("Location"))
	}
}

// A code works once, for a short time, for its client, its redirect URI and its verifier. A request
// without them does not use it up (RFC 6749 §4.1.3, RFC 7636).
func TestCode_Redeem(t *testing.T) {
	sc := play(t)
	b, k, console := sc.desk(t, "ines"), newPKCE(), sc.basic("console")
	code := b.code(t, "ines", k)
	for name, row := range map[string]struct {
		as      authentication
		want    tokenexchange.Code
		changes []string
	}{
		"another client": {sc.basic("portal"), tokenexchange.InvalidGrant, nil},
		"another verifier": {console, tokenexchange.InvalidGrant,
			[]string{"code_verifier", newPKCE().verifier}},
		"the challenge": {console, tokenexchange.InvalidGrant,
			[]string{"code_verifier", k.challenge}},
		"no verifier": {console, tokenexchange.InvalidRequest,
			[]string{"code_verifier", ""}},
		"a short verifier": {console, tokenexchange.InvalidGrant,
			[]string{"code_verifier", "abc"}},
		"another redirect URI": {console, tokenexchange.InvalidGrant,
			[]string{"redirect_uri", "http://127.0.0.1:50124/callback"}},
		"no redirect URI": {console, tokenexchange.InvalidRequest, []string{"redirect_uri", ""}},
		"no code":         {console, tokenexchange.InvalidRequest, []string{"code", ""}},
		"another code":    {console, tokenexchange.InvalidGrant, []string{"code", rand.Text()}},
		"a part of it":    {console, tokenexchange.InvalidGrant, []string{"code", code[1:]}},
	} {
		t.Run(name, func(t *testing.T) {
			sc.redeem(t, row.as, code, k, row.changes...).refused(t, row.want)
		})
	}
	first := sc.redeem(t, console, code, k)
	require.Equal(t, http.StatusOK, first.status, first.raw)
	sc.active(t, console, first.token())
	sc.redeem(t, console, code, k).refused(t, tokenexchange.InvalidGrant, "twice")
	sc.inactive(t, console, first.token())

	wide := b.code(t, "ines", k)
	sc.redeem(t, console, wide, k, "audience", bank).refused(t, tokenexchange.InvalidTarget)
	// a refusal by the policy has used the code up
	sc.redeem(t, console, wide, k).refused(t, tokenexchange.InvalidGrant)

	late := b.code(t, "ines", k)
	sc.wait(codeLifetime)
	sc.redeem(t, console, late, k).refused(t, tokenexchange.InvalidGrant, "expired")

	t.Run("at once", func(t *testing.T) {
		code := b.code(t, "ines", k)
		answers := make([]reply, 8)
		atOnce(len(answers), func(i int) {
			answers[i] = sc.quietly(t, "/token", console,
				formOf("grant_type", "authorization_code", "code", code, "redirect_uri", consoleURI,
					"code_verifier", k.verifier))
		})
		good := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				good++
				sc.inactive(t, console, a.token()) // a code that two parties have ends what it gave
				continue
			}
			assert.Equal(t, "invalid_grant", a.text("error"))
		}
		assert.LessOrEqual(t, good, 1)
	})
	t.Run("ends with its session", func(t *testing.T) {
		code := b.code(t, "ines", k)
		a := sc.redeem(t, console, b.code(t, "ines", k), k)
		sc.active(t, console, a.token())
		b.enter(t, b.get(t, k.ask("prompt", "login")), "ines")
		sc.inactive(t, console, a.token())
		sc.redeem(t, console, code, k).refused(t, tokenexchange.InvalidGrant)
	})
}
