package main

import (
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is an operator's browser. It keeps cookies, follows redirects, and remembers everything
// that it was sent. At the end of the test that must not contain a token of the stage.
type browser struct {
	*stage
	http *http.Client
	jar  *jar
	sent strings.Builder
}

func (st *stage) browser(t *testing.T) *browser {
	b := &browser{stage: st, jar: &jar{hosts: map[string]map[string]*http.Cookie{}}}
	b.http = &http.Client{Jar: b.jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
	t.Cleanup(func() { b.checkSent(t) })
	return b
}

// tokenLike finds a JSON Web Token of any issuer, and an opaque token of examples/authserver. The
// session cookie of the authorization server, se_…, does not count: a client never has it, and no
// API takes it.
var tokenLike = regexp.MustCompile(
	`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|(?:^|[^A-Za-z0-9_-])at_[A-Za-z0-9_-]{43}`)

func (b *browser) checkSent(t *testing.T) {
	t.Helper()
	sent := b.sent.String()
	require.False(t, b.wire.hasToken(sent), "the browser was sent a token")
	require.Empty(t, tokenLike.FindString(sent), "the browser was sent something like a token")
}

// jar keeps cookies as browsers do: by host and not by port, and on loopback also Secure ones.
type jar struct {
	mu    sync.Mutex
	hosts map[string]map[string]*http.Cookie
}

func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.hosts[u.Hostname()] == nil {
		j.hosts[u.Hostname()] = map[string]*http.Cookie{}
	}
	for _, c := range cookies {
		host := strings.HasPrefix(c.Name, "__Host-")
		if host && (!c.Secure || c.Domain != "" || c.Path != "/") {
			continue // RFC 6265bis §4.1.3.2: such a cookie is dropped
		}
		if j.hosts[u.Hostname()][c.Name] = c; c.MaxAge < 0 {
			delete(j.hosts[u.Hostname()], c.Name)
		}
	}
}

func (j *jar) Cookies(u *url.URL) (list []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(j.hosts[u.Hostname()])) {
		list = append(list, &http.Cookie{Name: name, Value: j.hosts[u.Hostname()][name].Value})
	}
	return list
}

// cookie is a cookie of the console or the authorization server, with its attributes; nil: there is
// none.
func (j *jar) cookie(name string) *http.Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.hosts["127.0.0.1"][name]
}

// shown is a page as the browser shows it.
type shown struct {
	url    *url.URL
	status int
	header http.Header
	body   string
}

// do sends one request without following redirects.
func (b *browser) do(t *testing.T, r *http.Request) shown {
	t.Helper()
	resp, err := b.http.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Header.Write(&b.sent))
	b.sent.Write(body)
	return shown{r.URL, resp.StatusCode, resp.Header, string(body)}
}

// follow follows redirects until a page is shown.
func (b *browser) follow(t *testing.T, p shown) shown {
	t.Helper()
	for range 10 {
		if p.status != http.StatusSeeOther {
			return p
		}
		p = b.step(t, p)
	}
	require.Fail(t, "redirects without end")
	return p
}

// step follows one redirect.
func (b *browser) step(t *testing.T, p shown) shown {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, p.status, p.text())
	to, err := p.url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	return b.do(t, request(t, http.MethodGet, to.String(), nil))
}

func request(t *testing.T, method, to string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	return r
}

// get opens a page of the console.
func (b *browser) get(t *testing.T, path string) shown {
	t.Helper()
	return b.follow(t, b.do(t, request(t, http.MethodGet, b.URL+path, nil)))
}

// post sends a form of the console.
func (b *browser) post(t *testing.T, path string, fields ...string) shown {
	t.Helper()
	return b.follow(t, b.do(t, request(t, http.MethodPost, b.URL+path, form(fields...))))
}

func form(fields ...string) url.Values {
	f := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		f.Set(fields[i], fields[i+1])
	}
	return f
}

var (
	inputTag = regexp.MustCompile(`<input [^>]*>`)
	attrName = regexp.MustCompile(` name="([^"]*)"`)
	attrVal  = regexp.MustCompile(` value="([^"]*)"`)
	tag      = regexp.MustCompile(`<[^>]*>`)
	title    = regexp.MustCompile(`<title>([^<]*)</title>`)
)

// enter fills in the login page of the authorization server.
func (b *browser) enter(t *testing.T, p shown, user, password string) shown {
	t.Helper()
	require.Equal(t, http.StatusOK, p.status, p.text())
	require.True(t, strings.HasPrefix(p.url.String(), b.Issuer+"/authorize"), "%s: %s", p.url,
		p.text())
	fields := url.Values{}
	for _, input := range inputTag.FindAllString(p.body, -1) {
		if value := attrVal.FindStringSubmatch(input); value != nil {
			fields.Set(attrName.FindStringSubmatch(input)[1], html.UnescapeString(value[1]))
		}
	}
	fields.Set("username", user)
	fields.Set("password", password)
	return b.do(t, request(t, http.MethodPost, b.Issuer+"/login", fields))
}

// signIn logs an operator in, up to the search.
func (b *browser) signIn(t *testing.T, user string) shown {
	t.Helper()
	p := b.follow(t, b.enter(t, b.post(t, "/login"), user, user+"-demo-password"))
	require.Equal(t, b.URL+"/", p.url.String(), p.text())
	require.Contains(t, p.text(), "Whom do you want to help?")
	return p
}

// act tries to act for a user.
func (b *browser) act(t *testing.T, user, reason, access string) shown {
	t.Helper()
	return b.post(t, "/act", "user", user, "reason", reason, "access", access)
}

// text is the text of a page without its tags.
func (p shown) text() string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(p.body, " "))), " ")
}

// title is the title of a page.
func (p shown) title() string {
	if m := title.FindStringSubmatch(p.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}
