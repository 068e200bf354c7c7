package scenarios

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser keeps cookies and shows pages. It follows no redirect, so that a test can look at it.
type browser struct {
	*scene
	http *http.Client
}

func (sc *scene) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{sc,
		&http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: sc.http.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			}}}
}

// page is a response to the browser.
type page struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(t *testing.T, r *http.Request) page {
	t.Helper()
	resp, err := b.http.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return page{resp.StatusCode, resp.Header, string(body)}
}

func (b *browser) get(t *testing.T, path string) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, nil)
	require.NoError(t, err)
	return b.do(t, r)
}

// post sends a form as a page of this server does, with changes to the request.
func (b *browser) post(t *testing.T, path string, form url.Values,
	changes ...func(*http.Request)) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path,
		strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.url)
	for _, change := range changes {
		change(r)
	}
	return b.do(t, r)
}

var (
	formTag  = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	inputTag = regexp.MustCompile(`<input [^>]*>`)
	attrName = regexp.MustCompile(` name="([^"]*)"`)
	attrVal  = regexp.MustCompile(` value="([^"]*)"`)
)

// form reads the only form of a page: its action and its fields.
func (p page) form(t *testing.T) (action string, fields url.Values) {
	t.Helper()
	found := formTag.FindAllStringSubmatch(p.body, -1)
	require.Len(t, found, 1, "%d %s", p.status, p.body)
	fields = url.Values{}
	for _, tag := range inputTag.FindAllString(p.body, -1) {
		value := ""
		if m := attrVal.FindStringSubmatch(tag); m != nil {
			value = html.UnescapeString(m[1])
		}
		fields.Add(html.UnescapeString(attrName.FindStringSubmatch(tag)[1]), value)
	}
	return html.UnescapeString(found[0][1]), fields
}

// enter fills in the login page with the password of the demo world.
func (b *browser) enter(t *testing.T, p page, user string) page {
	t.Helper()
	return b.enterAs(t, p, user, user+"-demo-password")
}

func (b *browser) enterAs(t *testing.T, p page, user, password string) page {
	t.Helper()
	action, fields := p.form(t)
	fields.Set("username", user)
	fields.Set("password", password)
	return b.post(t, action, fields)
}

// landed returns where a page redirects to, and the parameters in the query or the fragment.
func (b *browser) landed(t *testing.T, p page) (uri string, params url.Values) {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, p.status, p.body)
	to, err := url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	params = to.Query()
	if to.Fragment != "" {
		require.Empty(t, params, "a query together with the fragment")
		params, err = url.ParseQuery(to.EscapedFragment())
		require.NoError(t, err)
	}
	to.RawQuery, to.Fragment, to.RawFragment = "", "", ""
	require.Equal(t, b.iss(), params.Get("iss"), "RFC 9207")
	return to.String(), params
}

// refusedWith requires that a page redirects with an error, and with nothing but its code and its
// sentence.
func (b *browser) refusedWith(t *testing.T, p page, code string) {
	t.Helper()
	_, params := b.landed(t, p)
	require.Equal(t, code, params.Get("error"), "%v", params)
	for name := range params {
		require.Contains(t, []string{"error", "error_description", "iss", "state"}, name)
	}
}

// pkce is a verifier and its challenge.
type pkce struct{ verifier, challenge string }

func newPKCE() pkce {
	verifier := rand.Text() + rand.Text()
	hash := sha256.Sum256([]byte(verifier))
	return pkce{verifier, base64.RawURLEncoding.EncodeToString(hash[:])}
}

const consoleURI = "http://127.0.0.1:50123/callback"

// ask is the path of a valid authorization request of the console, with changes: names and values
// in turn. An empty value removes a parameter.
func (k pkce) ask(changes ...string) string {
	q := formOf("response_type", "code", "client_id", "console", "redirect_uri", consoleURI,
		"scope", "openid read",
		"state", "state-1", "nonce", "nonce-1", "code_challenge", k.challenge,
		"code_challenge_method", "S256")
	for i := 0; i+1 < len(changes); i += 2 {
		if q.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	return "/authorize?" + q.Encode()
}

// redeem posts a code as its client does, with changes as in ask.
func (sc *scene) redeem(t *testing.T, as authentication, code string, k pkce,
	changes ...string) reply {
	t.Helper()
	form := formOf("grant_type", "authorization_code", "code", code, "redirect_uri", consoleURI,
		"code_verifier", k.verifier)
	for i := 0; i+1 < len(changes); i += 2 {
		if form.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return sc.send(t, "/token", as, form)
}

// code logs a user in with the console and returns the code.
func (b *browser) code(t *testing.T, user string, k pkce, changes ...string) string {
	t.Helper()
	p := b.get(t, k.ask(changes...))
	if p.status == http.StatusOK {
		p = b.enter(t, p, user)
	}
	_, params := b.landed(t, p)
	require.NotEmpty(t, params.Get("code"), "%v", params)
	return params.Get("code")
}
