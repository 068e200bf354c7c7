package main

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authorization returns the page that a login redirects to, and the parameters of the request.
func (b *browser) authorization(t *testing.T) (to *url.URL, asked url.Values) {
	t.Helper()
	p := b.do(t, request(t, http.MethodPost, b.URL+"/login", nil))
	require.Equal(t, http.StatusSeeOther, p.status, p.text())
	to, err := url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	return to, to.Query()
}

// callback logs a user in at the authorization server, and returns the redirect back to the console
// without following it.
func (b *browser) callback(t *testing.T, to *url.URL, user string) *url.URL {
	t.Helper()
	p := b.enter(t, b.do(t, request(t, http.MethodGet, to.String(), nil)), user,
		user+"-demo-password")
	require.Equal(t, http.StatusSeeOther, p.status, p.text())
	back, err := url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, b.URL+"/callback", back.Scheme+"://"+back.Host+back.Path)
	return back
}

func (b *browser) open(t *testing.T, u *url.URL) shown {
	t.Helper()
	return b.do(t, request(t, http.MethodGet, u.String(), nil))
}

var random256 = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// A login has PKCE, a state and a nonce, each new. The verifier goes to the token endpoint alone.
func TestLogin_PKCEStateNonce(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	_, first := b.authorization(t)
	to, asked := b.authorization(t)
	require.True(t, strings.HasPrefix(to.String(), st.Issuer+"/authorize?"))
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		require.Regexp(t, random256, asked.Get(name), name)
		require.NotEqual(t, first.Get(name), asked.Get(name), name)
	}
	require.Equal(t, "S256", asked.Get("code_challenge_method"))
	require.Equal(t, "code", asked.Get("response_type"))
	require.Equal(t, "login", asked.Get("prompt"))
	require.Equal(t, st.URL+"/callback", asked.Get("redirect_uri"))

	require.Equal(t, http.StatusSeeOther, b.open(t, b.callback(t, to, "ines")).status)
	require.Len(t, st.wire.forms, 1)
	verifier := st.wire.forms[0].Get("code_verifier")
	hash := sha256.Sum256([]byte(verifier))
	require.Equal(t, asked.Get("code_challenge"), base64.RawURLEncoding.EncodeToString(hash[:]))
	require.False(t, strings.Contains(b.sent.String(), verifier), "the browser has the verifier")
	require.NotEmpty(t, b.jar.cookie(cookieSession))
	require.Nil(t, b.jar.cookie(cookieLogin), "the login is over")
}

// A response without its login, or from another server, signs no one in.
func TestLogin_RefusedAnswers(t *testing.T) {
	change := func(name, value string) func(*testing.T, *browser, url.Values) {
		return func(t *testing.T, b *browser, q url.Values) {
			if q.Set(name, value); value == "" {
				q.Del(name)
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*testing.T, *browser, url.Values)
		status int
		says   string
	}{
		"another state": {change("state", strings.Repeat("a", 43)),
			http.StatusBadRequest, problemLogin.Heading},
		"no state": {change("state", ""), http.StatusBadRequest,
			problemLogin.Heading},
		"another issuer (RFC 9207)": {change("iss", "https://evil.example"), http.StatusBadRequest,
			problemLogin.Heading},
		"no issuer": {change("iss", ""), http.StatusBadRequest, problemLogin.Heading},
		"no code":   {change("code", ""), http.StatusForbidden, problemNoLogin.Heading},
		"another code": {change("code", strings.Repeat("a", 43)), http.StatusBadGateway,
			problemNoLogin.Heading},
		"an error": {func(t *testing.T, b *browser, q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
		},
			http.StatusForbidden, problemNoLogin.Heading},
		"a browser that has begun no login": {func(t *testing.T, b *browser, _ url.Values) {
			delete(b.jar.hosts["127.0.0.1"], cookieLogin)
		},
			http.StatusBadRequest, problemLogin.Heading},
		"a forged cookie": {func(t *testing.T, b *browser, q url.Values) {
			b.jar.cookie(cookieLogin).Value = base64.RawURLEncoding.EncodeToString(
				[]byte(`{"State":"` + q.Get("state") + `"}`))
		}, http.StatusBadRequest, problemLogin.Heading},
		"a cookie that another program has sealed": {func(t *testing.T, b *browser, q url.Values) {
			other, err := newSealer()
			require.NoError(t, err)
			b.jar.cookie(cookieLogin).Value = other.seal(pendingLogin{State: q.Get("state"),
				Begun: b.Now()})
		}, http.StatusBadRequest, problemLogin.Heading},
		"too late": {func(t *testing.T, b *browser, _ url.Values) {
			b.clock.advance(loginTime)
		}, http.StatusBadRequest, problemLogin.Heading},
		"the login of another window": {func(t *testing.T, b *browser, _ url.Values) {
			b.authorization(t)
		}, http.StatusBadRequest, problemLogin.Heading},
	} {
		t.Run(name, func(t *testing.T) {
			st := play(t)
			b := st.browser(t)
			to, _ := b.authorization(t)
			back := b.callback(t, to, "ines")
			q := back.Query()
			tt.change(t, b, q)
			back.RawQuery = q.Encode()
			p := b.open(t, back)
			require.Equal(t, tt.status, p.status, p.text())
			require.Contains(t, p.text(), tt.says)
			require.Nil(t, b.jar.cookie(cookieSession))
			require.Empty(t, st.sessions.all())
		})
	}
}

// The ID token must be of this login, for this client, valid, and of a user who has just shown a
// password.
func TestLogin_RefusedIDTokens(t *testing.T) {
	st := play(t)
	var earlier string
	func() {
		b := st.browser(t)
		b.signIn(t, "ines")
		earlier = st.last()
	}()
	swap := func(value func(string) any) func(*http.Request, map[string]any) {
		return func(_ *http.Request, body map[string]any) {
			if id, there := body["id_token"].(string); there {
				body["id_token"] = value(id)
			}
		}
	}
	for name, tt := range map[string]struct {
		answer func(*http.Request, map[string]any)
		logs   string
	}{
		"of another login": {swap(func(string) any { return earlier }), "of another login"},
		"missing":          {swap(func(string) any { return nil }), "ID token"},
		"with another signature": {swap(func(id string) any {
			return id[:strings.LastIndex(id, ".")+1] + strings.Repeat("A", 86)
		}), "ID token"},
		"unsigned": {swap(func(id string) any {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
				strings.Split(id, ".")[1] + "."
		}), "ID token"},
		"an access token of no known end": {func(_ *http.Request, body map[string]any) {
			delete(body, "expires_in")
		}, "no expiry"},
	} {
		t.Run(name, func(t *testing.T) {
			b := st.browser(t)
			to, _ := b.authorization(t)
			back := b.callback(t, to, "ines")
			st.wire.disturb(nil, tt.answer)
			defer st.wire.disturb(nil, nil)
			p := b.open(t, back)
			require.Equal(t, http.StatusBadGateway, p.status, p.text())
			require.Contains(t, p.text(), problemNoLogin.Heading)
			require.Nil(t, b.jar.cookie(cookieSession))
			failed := st.events(st.log, "login failed")
			require.Contains(t, failed[len(failed)-1]["cause"], tt.logs)
		})
	}
	t.Run("of a password that was shown earlier", func(t *testing.T) {
		b := st.browser(t)
		b.signIn(t, "ines")
		b.post(t, "/logout")
		st.clock.advance(2 * time.Minute)
		to, asked := b.authorization(t)
		asked.Del("prompt") // an attacker who has the browser, but not the password
		to.RawQuery = asked.Encode()
		p := b.open(t, to)
		require.Equal(t, http.StatusSeeOther, p.status,
			"the authorization server knows the browser still")
		require.Equal(t, http.StatusBadGateway, b.step(t, p).status)
		failed := st.events(st.log, "login failed")
		require.Contains(t, failed[len(failed)-1]["cause"], "the user was not asked for a password")
		require.Nil(t, b.jar.cookie(cookieSession))
	})
}

// A code that comes a second time signs no one in, and the authorization server revokes the tokens
// of the first time.
func TestLogin_ACodeComesOnce(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	to, _ := b.authorization(t)
	cookie := *b.jar.cookie(cookieLogin)
	back := b.callback(t, to, "ines")
	require.Equal(t, http.StatusSeeOther, b.open(t, back).status)
	thief := st.browser(t)
	thief.jar.SetCookies(back, []*http.Cookie{&cookie})
	require.Equal(t, http.StatusBadGateway, thief.open(t, back).status)
	require.Nil(t, thief.jar.cookie(cookieSession))
	require.False(t, st.active(st.wire.tokens()[0]))
	require.Contains(t, b.get(t, "/").text(), problemSignedOut.Heading)
}

// A session never has a name that was known before the login. The previous session of the browser
// ends with its tokens.
func TestLogin_NewSessionName(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	own, err := url.Parse(st.URL)
	require.NoError(t, err)
	planted := strings.Repeat("p", 43)
	b.jar.SetCookies(own,
		[]*http.Cookie{{Name: cookieSession, Value: planted, Path: "/", Secure: true}})
	b.signIn(t, "ines")
	first := b.jar.cookie(cookieSession).Value
	require.Regexp(t, random256, first)
	require.NotEqual(t, planted, first)
	token := st.wire.tokens()[0]

	other := st.browser(t)
	to, _ := other.authorization(t)
	back := other.callback(t, to, "greta")
	other.jar.SetCookies(own,
		[]*http.Cookie{{Name: cookieSession, Value: first, Path: "/", Secure: true}})
	require.Equal(t, http.StatusSeeOther, other.open(t, back).status)
	require.NotEqual(t, first, other.jar.cookie(cookieSession).Value)
	require.False(t, st.active(token), "the session that was there has ended")
	require.Contains(t, b.get(t, "/").text(), problemSessionOver.Heading)
	require.Contains(t, other.get(t, "/").text(), "Signed in as Greta Support")
}

// A sign-in while signed in changes nothing. Otherwise another site could end an operator's work.
func TestLogin_WhileSignedIn(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	before := b.jar.cookie(cookieSession).Value
	require.Contains(t, b.post(t, "/login").text(), "Whom do you want to help?")
	require.Equal(t, before, b.jar.cookie(cookieSession).Value)
	require.Equal(t, http.StatusNotFound, b.get(t, "/login").status, "no link begins a login")
}

// With too many sessions a new login is refused, and its token is revoked.
func TestLogin_TooMany(t *testing.T) {
	st := play(t, func(s *settings) { s.MaxSessions = 1 })
	st.browser(t).signIn(t, "ines")
	b := st.browser(t)
	to, _ := b.authorization(t)
	p := b.open(t, b.callback(t, to, "greta"))
	require.Equal(t, http.StatusServiceUnavailable, p.status)
	require.Contains(t, p.text(), problemBusy.Heading)
	require.Nil(t, b.jar.cookie(cookieSession))
	require.False(t, st.active(st.wire.tokens()[2]))
	for range 50 {
		st.browser(t).authorization(t) // takes no space
	}
	require.Len(t, st.sessions.all(), 1)
}

// Signing out ends everything, acting included. Signing in again needs the password.
func TestLogout(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "read")
	tokens := st.wire.tokens()
	require.Len(t, tokens, 3)
	p := b.post(t, "/logout")
	require.Contains(t, p.text(),
		"You have signed out. You no longer act for Alice Archer. The authorization server "+
			"confirms")
	require.Nil(t, b.jar.cookie(cookieSession))
	require.False(t, st.active(tokens[0]), "the operator's")
	require.False(t, st.active(tokens[2]), "the one that names both")
	require.Empty(t, st.sessions.all())
	require.Contains(t, b.get(t, "/app").text(), "See what your customers see")
	again := b.post(t, "/login")
	require.Contains(t, again.text(), "Password", "the authorization server asks again")
	require.NotEmpty(t, b.jar.cookie("authserver-session"), "although it knows the browser")
}

// If the authorization server has an endpoint for logout, the browser goes there, without a token.
func TestLogout_AtTheAuthorizationServerToo(t *testing.T) {
	const end = "https://as.example/logout"
	st := play(t, func(s *settings) {
		s.Transport.(*wire).disturb(nil, func(r *http.Request, body map[string]any) {
			if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
				body["end_session_endpoint"] = end
			}
		})
	})
	b := st.browser(t)
	require.Contains(t, b.signIn(t, "ines").header.Get("Content-Security-Policy"),
		"form-action 'self' "+st.Issuer+" https://as.example")
	p := b.do(t, request(t, http.MethodPost, st.URL+"/logout", nil))
	require.Equal(t, http.StatusSeeOther, p.status)
	to, err := url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, form("client_id", "console", "post_logout_redirect_uri", st.URL+"/"),
		to.Query())
	require.Equal(t, end, to.Scheme+"://"+to.Host+to.Path)
}
