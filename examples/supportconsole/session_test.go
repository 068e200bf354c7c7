package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The cookies are for this host, not for scripts, and not for forms of other sites. The session
// cookie ends with the browser.
func TestSession_Cookies(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.authorization(t)
	login := b.jar.cookie(cookieLogin)
	b.signIn(t, "ines")
	session := b.jar.cookie(cookieSession)
	for _, c := range []*http.Cookie{login, session} {
		require.True(t, strings.HasPrefix(c.Name, "__Host-"))
		require.True(t, c.Secure && c.HttpOnly, c.Name)
		require.Equal(t, http.SameSiteLaxMode, c.SameSite)
		require.Equal(t, "/", c.Path)
		require.Empty(t, c.Domain)
	}
	require.Equal(t, int(loginTime.Seconds()), login.MaxAge)
	require.Zero(t, session.MaxAge)
	require.True(t, session.Expires.IsZero())
}

// Every response has headers against caching, framing and foreign scripts.
func TestSession_Headers(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	check := func(p shown) {
		t.Helper()
		policy := p.header.Get("Content-Security-Policy")
		require.Equal(t, "default-src 'none'; style-src 'self'; script-src 'self'; img-src "+
			"'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+
			st.Issuer, policy, p.url.Path)
		require.Equal(t, "no-store", p.header.Get("Cache-Control"))
		require.Equal(t, "nosniff", p.header.Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", p.header.Get("Referrer-Policy"))
		require.Equal(t, "same-origin", p.header.Get("Cross-Origin-Opener-Policy"))
		require.NotContains(t, p.body, "<style")
		require.NotContains(t, p.body, " style=")
		require.NotRegexp(t, `(?i)<script>| on[a-z]+=`, p.body)
	}
	check(b.get(t, "/"))
	check(b.do(t, request(t, http.MethodPost, st.URL+"/login", nil)))
	check(b.signIn(t, "ines"))
	check(b.get(t, "/act?user=alice"))
	check(b.act(t, "adam", "Ticket 1", "read"))
	check(b.act(t, "alice", "Ticket 1", "read"))
	check(b.post(t, "/app/orders/1047/cancel"))
	for path, kind := range map[string]string{"/static/console.css": "text/css",
		"/static/countdown.js": "text/javascript", "/static/icon.svg": "image/svg+xml"} {
		p := b.get(t, path)
		require.Equal(t, http.StatusOK, p.status)
		require.Contains(t, p.header.Get("Content-Type"), kind)
		check(p)
	}
	for _, path := range []string{"/static/", "/static/none.css",
		"/nowhere", "/app/orders/1047/cancel"} {
		p := b.get(t, path)
		require.Equal(t, http.StatusNotFound, p.status, path)
		require.NotContains(t, p.body, "console.css\">console.css", "no list of files")
	}
	check(b.get(t, "/nowhere"))
}

// A form of another site changes nothing, whatever cookies the browser sends.
func TestSession_FormsOfOthers(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "write")
	token := st.last()
	for name, headers := range map[string]map[string]string{
		"another site": {"Origin": "https://evil.example",
			"Sec-Fetch-Site": "cross-site"},
		"another site, an old browser": {"Origin": "https://evil.example"},
		"another port of this host": {"Origin": st.Issuer,
			"Sec-Fetch-Site": "same-site"},
		"another port of this host, an old browser": {"Origin": st.Issuer},
		"a page without an origin":                  {"Origin": "null"},
		"no origin at all":                          {},
	} {
		for _, path := range []string{"/login", "/logout", "/act",
			"/stop", "/app/orders/1047/cancel"} {
			r := request(t, http.MethodPost, st.URL+path,
				form("user", "bob", "reason", "Ticket 2", "access", "read"))
			r.Header.Del("Origin")
			for key, value := range headers {
				r.Header.Set(key, value)
			}
			p := b.do(t, r)
			require.Equal(t, http.StatusForbidden, p.status, "%s: %s", name, path)
			require.Contains(t, p.text(), problemStranger.Heading)
			require.Empty(t, p.header.Values("Set-Cookie"))
		}
	}
	require.True(t, st.active(token))
	app := b.get(t, "/app").text()
	require.Contains(t, app, "see this as Alice Archer")
	require.Contains(t, app, "Nothing has been changed for Alice Archer")
	require.NotContains(t, b.do(t, request(t, http.MethodGet, st.URL+"/stop", nil)).text(),
		"no longer", "and a link changes nothing")
	require.True(t, st.active(token))
}

// A session ends after some time without requests, after some time in any case, and with the
// operator's token. Its tokens are revoked even if the browser sends no more requests.
func TestSession_Ends(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*settings)
		live   func(t *testing.T, b *browser)
	}{
		"idle": {func(*settings) {}, func(t *testing.T, b *browser) {
			b.clock.advance(8 * time.Minute)
			require.Contains(t, b.get(t, "/").text(), "Ines Support")
			b.clock.advance(8 * time.Minute)
			require.Contains(t, b.get(t, "/").text(), "Ines Support", "it was used in between")
			b.clock.advance(15 * time.Minute)
		}},
		"the longest": {func(s *settings) {
			s.Longest = 20 * time.Minute
		}, func(t *testing.T, b *browser) {
			for range 2 {
				b.clock.advance(9 * time.Minute)
				require.Contains(t, b.get(t, "/").text(), "Ines Support")
			}
			b.clock.advance(2 * time.Minute)
		}},
		"the operator's token": {func(s *settings) {
			s.Idle = 100 * time.Hour
		}, func(t *testing.T, b *browser) { b.clock.advance(time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			st := play(t, tt.change)
			b := st.browser(t)
			b.signIn(t, "ines")
			b.act(t, "alice", "Ticket 1", "read")
			b.post(t, "/stop")
			b.act(t, "alice", "Ticket 1", "read")
			tokens := st.wire.tokens()
			tt.live(t, b)
			p := b.get(t, "/app")
			require.Contains(t, p.text(), problemSessionOver.Heading)
			require.Contains(t, p.text(), "Sign in")
			require.Nil(t, b.jar.cookie(cookieSession))
			st.sweepOnce(t.Context())
			require.Empty(t, st.sessions.all())
			require.False(t, st.active(tokens[0]))
			require.False(t, st.active(tokens[3]))
			require.Len(t, st.events(st.log, "session ended"), 1)
		})
	}
}

// When the time to act is over, the operator sees so, and the token is revoked even without
// requests.
func TestSession_ActingRunsOut(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	app := b.act(t, "alice", "Ticket 1", "read")
	require.Regexp(t, `data-seconds="(600|59\d)"`, app.body)
	st.clock.advance(9 * time.Minute)
	require.Regexp(t, `data-seconds="(60|5\d)"`, b.get(t, "/app").body)
	st.clock.advance(time.Minute)
	p := b.get(t, "/app")
	require.Equal(t, st.URL+"/", p.url.String())
	require.Contains(t, p.text(), "The time is up: you no longer act for Alice Archer.")
	require.False(t, st.active(st.last()))
	require.NotContains(t, b.get(t, "/").text(), "The time is up", "shown once")

	st = play(t)
	b = st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "bob", "Ticket 2", "read")
	st.clock.advance(10*time.Minute - 2*time.Second)
	st.sweepOnce(t.Context())
	require.True(t, st.active(st.last()))
	st.clock.advance(2 * time.Second)
	st.sweepOnce(t.Context())
	require.False(t, st.active(st.last()))
	require.Contains(t, b.get(t, "/").text(), "The time is up: you no longer act for Bob Baker.")
}

// The token also expires at the authorization server, whatever the console does.
func TestSession_ActingRunsOutForReal(t *testing.T) {
	short := strings.Replace(string(world), `"lifetime": "10m"`, `"lifetime": "2s"`, 1)
	st := playWorld(t, []byte(short))
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "read")
	require.Len(t, st.wire.tokens(), 3)
	require.Eventually(t, func() bool {
		return !st.active(st.last())
	}, 10*time.Second, 50*time.Millisecond)
	require.NotContains(t, b.get(t, "/app").text(), "see this as")
}

var errNoAnswer = errors.New("no answer")

// down makes one endpoint of the authorization server fail.
func down(path string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == path {
			return nil, errNoAnswer
		}
		return nil, nil
	}
}

// If the end of a token is not confirmed, the operator is told, and the console retries until it
// is.
func TestSession_TokensThatCouldNotBeEnded(t *testing.T) {
	for _, path := range []string{"/revoke", "/introspect"} {
		t.Run(path, func(t *testing.T) {
			st := play(t)
			b := st.browser(t)
			b.signIn(t, "ines")
			b.act(t, "alice", "Ticket 1", "read")
			token := st.last()
			st.wire.disturb(down(path), nil)
			p := b.post(t, "/stop")
			require.Contains(t, p.text(),
				"You no longer act for Alice Archer. This console no longer uses the access. "+
					"The authorization server could not confirm its end yet")
			require.NotContains(t, p.text(), "confirms")
			require.Equal(t, st.URL+"/",
				b.get(t, "/app").url.String(), "the console uses it no more")
			st.sweepOnce(t.Context())
			require.Len(t, st.sessions.left(), 1)
			require.Equal(t, path == "/revoke", st.active(token))

			st.wire.disturb(nil, nil)
			st.sweepOnce(t.Context())
			require.False(t, st.active(token))
			require.Empty(t, st.sessions.left())
		})
	}
	t.Run("forgotten when it has expired", func(t *testing.T) {
		st := play(t)
		b := st.browser(t)
		b.signIn(t, "ines")
		b.act(t, "alice", "Ticket 1", "read")
		st.wire.disturb(down("/revoke"), nil)
		b.post(t, "/stop")
		require.Len(t, st.sessions.left(), 1)
		st.clock.advance(10 * time.Minute)
		require.Empty(t, st.sessions.left())
	})
	t.Run("a sign-out", func(t *testing.T) {
		st := play(t)
		b := st.browser(t)
		b.signIn(t, "ines")
		st.wire.disturb(down("/revoke"), nil)
		require.Contains(t, b.post(t, "/logout").text(), "You have signed out.")
		st.wire.disturb(nil, nil)
		st.sweepOnce(t.Context())
		require.False(t, st.active(st.wire.tokens()[0]))
	})
}

// Stopping does not wait for the app, and the late response of the app is shown to no one.
func TestSession_StopWaitsForNoApp(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "write")
	asked, release := make(chan bool), make(chan bool)
	st.wire.disturb(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/activity" { // the last request
			return nil, nil
		}
		// the app has answered, and its answer takes a while
		resp, err := http.DefaultTransport.RoundTrip(r)
		asked <- true
		<-release
		return resp, err
	}, nil)
	late := make(chan shown)
	other := &browser{stage: st, http: b.http, jar: b.jar}
	go func() { late <- other.do(t, request(t, http.MethodGet, st.URL+"/app", nil)) }()
	<-asked
	begun := time.Now()
	p := b.post(t, "/stop")
	require.Less(t, time.Since(begun), 3*time.Second)
	require.Contains(t, p.text(), "confirms that the access is no longer valid")
	require.False(t, st.active(st.last()))
	close(release)
	answer := <-late
	require.Equal(t, http.StatusSeeOther, answer.status)
	require.NotContains(t, answer.body, "Archer")
}

// A session that is removed during a request answers nothing more.
func TestSession_EndsDuringARequest(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "read")
	st.wire.disturb(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/orders" {
			st.endAll(context.Background(), st.sessions.remove(func(*session) bool { return true }))
		}
		return nil, nil
	}, nil)
	p := b.get(t, "/app")
	require.Contains(t, p.text(), problemSessionOver.Heading)
	require.NotContains(t, p.text(), "Archer")
}

// When the program ends, every session and every token ends.
func TestSession_Close(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "read")
	st.close()
	require.False(t, st.active(st.wire.tokens()[0]))
	require.False(t, st.active(st.wire.tokens()[2]))
}

// A request that was waiting for a session gets nothing of it after its end.
func TestSession_EndsBeforeARequest(t *testing.T) {
	st := play(t)
	b := st.browser(t)
	b.signIn(t, "ines")
	s := st.sessions.all()[0]
	s.Lock()
	st.clock.advance(time.Minute)
	seen := func() time.Time {
		st.sessions.mu.Lock()
		defer st.sessions.mu.Unlock()
		return s.seen
	}
	before := seen()
	late := make(chan shown)
	other := &browser{stage: st, http: b.http, jar: b.jar}
	go func() { late <- other.do(t, request(t, http.MethodGet, st.URL+"/act?user=alice", nil)) }()
	require.Eventually(t, func() bool {
		return seen().After(before)
	}, 10*time.Second, time.Millisecond, "the request has found it")
	st.sessions.remove(func(*session) bool { return true })
	st.endSession(t.Context(), s)
	s.Unlock()
	answer := <-late
	require.Equal(t, http.StatusSeeOther, answer.status)
	require.NotContains(t, answer.body, "Archer")
}
