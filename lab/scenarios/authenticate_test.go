package scenarios

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// basic sends client_credentials with an Authorization header.
func (r *running) basic(header string, pairs ...string) answer {
	r.t.Helper()
	f := form(append(pairs, "grant_type", "client_credentials")...)
	req, err := http.NewRequest(http.MethodPost, r.url+pathToken, strings.NewReader(f.Encode()))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", header)
	return r.do(req)
}

func credentials(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestSecrets(t *testing.T) {
	w := demo(t)
	odd := "a:b+c%d é&="
	w.Clients = append(w.Clients, world.Client{ID: "svc-1.a_b~", Secret: odd,
		AuthMethods: []string{secretBasic}, Grants: []string{grantClient},
		Scope: tokenexchange.Scope{"read"}, TokenAudience: []string{"https://bank.example"}})
	w.Clients = append(w.Clients, world.Client{ID: "hashed",
		SecretHash:  "$2a$04$uk57Lg1ciTF23vgUri2o8upRyneGjad6y8ckruG4BMp6giPAwzB7C",
		AuthMethods: []string{secretPost}, Grants: []string{grantClient},
		Scope: tokenexchange.Scope{"read"}, TokenAudience: []string{"https://bank.example"}})
	r := start(t, w)
	post := func(pairs ...string) answer {
		return r.post(pathToken, form(append(pairs, "grant_type", "client_credentials")...))
	}
	for name, a := range map[string]answer{
		"basic": r.basic(credentials("portal", "portal-demo-secret")),
		"basic, lower case": r.basic(strings.Replace(credentials("portal",
			"portal-demo-secret"), "Basic", "basic", 1)),
		"basic, encoded": r.basic(credentials("svc%2D1%2Ea%5Fb%7E", url.QueryEscape(odd))),
		"basic, id raw":  r.basic(credentials("svc-1.a_b~", url.QueryEscape(odd))),
		"basic and its id": r.basic(credentials("portal", "portal-demo-secret"), "client_id",
			"portal"),
		"post":       post("client_id", "portal", "client_secret", "portal-demo-secret"),
		"post, hash": post("client_id", "hashed", "client_secret", "a secret that was hashed"),
	} {
		require.Equal(t, http.StatusOK, a.status, "%s: %v", name, a.body)
		require.NotEmpty(t, a.text("access_token"), name)
	}
	long := strings.Repeat("x", 200)
	for name, a := range map[string]answer{
		"wrong secret":   r.basic(credentials("portal", "nonsense")),
		"no secret":      r.basic(credentials("portal", "")),
		"cut secret":     r.basic(credentials("portal", "portal-demo-secre")),
		"unknown client": r.basic(credentials("nobody", "nobody")),
		"no client":      r.basic(credentials("", "")),
		"bad escape":     r.basic(credentials("portal", "%zz")),
		"no base64":      r.basic("Basic portal:portal-demo-secret"),
		"bearer":         r.basic("Bearer portal-demo-secret"),
		"another client_id": r.basic(credentials("portal", "portal-demo-secret"), "client_id",
			"service"),
		"method not allowed":   r.basic(credentials("hashed", "a+secret+that+was+hashed")),
		"disabled":             r.basic(credentials("retired", "retired-demo-secret")),
		"confidential by name": post("client_id", "portal"),
		"confidential, empty":  post("client_id", "portal", "client_secret", ""),
		"too long": post("client_id", "portal",
			"client_secret", "portal-demo-secret"+long),
		"client without a secret": post("client_id", "robot", "client_secret", "nobody"),
		"nothing":                 post(),
		"post, not allowed":       post("client_id", "svc-1.a_b~", "client_secret", odd),
	} {
		require.Equal(t, http.StatusUnauthorized, a.status, "%s: %v", name, a.body)
		require.Equal(t, "invalid_client", a.code(), name)
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	}
	require.NotEmpty(t, r.basic(credentials("portal", "nonsense")).header.Get("WWW-Authenticate"))
	require.Empty(t, post().header.Get("WWW-Authenticate"))

	two := r.basic(credentials("portal", "portal-demo-secret"), "client_id", "portal",
		"client_secret", "portal-demo-secret")
	require.Equal(t, "invalid_request", two.code())
	req, err := http.NewRequest(http.MethodPost, r.url+pathToken,
		strings.NewReader("grant_type=client_credentials"))
	require.NoError(t, err)
	req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Authorization": {credentials("portal", "portal-demo-secret"),
			credentials("service", "service-demo-secret")}}
	require.Equal(t, "invalid_request", r.do(req).code(), "two headers")
	kept, _ := r.Directory.Client("portal")
	require.Empty(t, kept.Secret, "only its hash is kept")
	require.Equal(t, "unauthorized_client",
		r.basic(credentials("settings-api", "settings-demo-secret")).code())
	require.Equal(t, "unauthorized_client",
		post("client_id", "mobile").code(), "a public client has no tokens of its own")
	require.Equal(t, "client refused", r.last()["msg"], "refusals are on record")
}

// Secrets longer than what the hash reads are not treated as equal.
func TestLongestSecret(t *testing.T) {
	w := demo(t)
	secret := strings.Repeat("s", longestSecret)
	clientOf(w, "portal").Secret = secret
	r := start(t, w)
	require.Equal(t, http.StatusOK, r.basic(credentials("portal", secret)).status)
	require.Equal(t, "invalid_client", r.basic(credentials("portal", secret+"x")).code())
	clientOf(w, "portal").Secret = secret + "x"
	_, err := server.New(w, server.Options{Issuer: "http://as.example"})
	require.Error(t, err)
}

// A change of a client takes effect while the server runs.
func TestClientChanges(t *testing.T) {
	r := start(t, demo(t))
	end, header := r.login("alice", "portal"), credentials("portal", "portal-demo-secret")
	require.Equal(t, http.StatusOK, r.basic(header).status)
	r.Directory.ChangeClient("portal", func(c *world.Client) {
		c.Grants = []string{tokenexchange.GrantType, grantRefresh}
	})
	require.Equal(t, "unauthorized_client", r.basic(header).code())
	r.Directory.ChangeClient("portal", func(c *world.Client) { c.Status = "disabled" })
	require.Equal(t, "invalid_client", r.basic(header).code())
	require.Equal(t, "invalid_client",
		r.exchange("portal", end.AccessToken, tokenexchange.TypeAccessToken).code())
	require.Equal(t, "invalid_client", r.as("portal", pathToken,
		form("grant_type", "refresh_token", "refresh_token", end.RefreshToken)).code())
	require.Equal(t, "invalid_client",
		r.as("portal", pathIntrospect, form("token", end.AccessToken)).code())
}

func TestPrivateKeyJWT(t *testing.T) {
	r := start(t, demo(t))
	key, now := testKey(t, "robot"), time.Now()
	post := func(assertion string, pairs ...string) answer {
		return r.post(pathToken, form(append(pairs, "grant_type", "client_credentials",
			"client_assertion_type", jwtBearer, "client_assertion", assertion)...))
	}
	word := func(change map[string]any) string {
		return r.assertion(key, "robot-1", "robot", "robot", change)
	}
	headed := func(typ string) string {
		return sign(t, key, "robot-1", typ,
			map[string]any{"iss": "robot", "sub": "robot", "aud": []string{r.Issuer},
				"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": typ + "1"})
	}
	for name, a := range map[string]answer{
		"plain":            post(word(nil)),
		"with its id":      post(word(nil), "client_id", "robot"),
		"aud in an array":  post(word(map[string]any{"aud": []string{r.Issuer}})),
		"no typ":           post(headed("")),
		"typ of its own":   post(headed("client-authentication+jwt")),
		"for five minutes": post(word(map[string]any{"exp": now.Add(5 * time.Minute).Unix()})),
	} {
		require.Equal(t, http.StatusOK, a.status, "%s: %v %v", name, a.body, r.last())
	}
	once := word(nil)
	require.Equal(t, http.StatusOK, post(once).status)
	require.Equal(t, "invalid_client", post(once).code(), "a replay")
	require.Contains(t, r.last()["cause"], "spent")
	require.Equal(t, "invalid_client", r.post(pathIntrospect,
		form("token", "x", "client_assertion_type", jwtBearer, "client_assertion", once)).code(),
		"a replay elsewhere")
	parts := strings.Split(word(nil), ".")
	for name, assertion := range map[string]string{
		"audience is the endpoint": word(map[string]any{"aud": r.Issuer + pathToken}),
		"audience with others": word(map[string]any{"aud": []string{r.Issuer,
			"https://other.example"}}),
		"no audience":          word(map[string]any{"aud": nil}),
		"no jti":               word(map[string]any{"jti": nil}),
		"expired":              word(map[string]any{"exp": now.Add(-time.Second).Unix()}),
		"no expiry":            word(map[string]any{"exp": nil}),
		"for an hour":          word(map[string]any{"exp": now.Add(time.Hour).Unix()}),
		"about a user":         word(map[string]any{"sub": "alice"}),
		"about another client": word(map[string]any{"sub": "portal"}),
		"of another client":    word(map[string]any{"iss": "portal", "sub": "portal"}),
		"of a stranger":        word(map[string]any{"iss": "x", "sub": "x"}),
		"another key": r.assertion(testKey(t, "partner"), "robot-1", "robot",
			"robot", nil),
		"unsigned":  parts[0] + "." + parts[1] + ".",
		"at+jwt":    headed("at+jwt"),
		"not a JWT": "robot",
	} {
		a := post(assertion)
		require.Equal(t, http.StatusUnauthorized, a.status, "%s: %v", name, a.body)
		require.Equal(t, "invalid_client", a.code(), name)
	}
	require.Equal(t, "invalid_client", post(word(nil), "client_id", "portal").code())
	require.Equal(t, "invalid_request",
		post(word(nil), "client_id", "robot", "client_secret", "x").code())
	other := form("grant_type", "client_credentials", "client_assertion_type", "urn:other",
		"client_assertion", word(nil))
	require.Equal(t, "invalid_client", r.post(pathToken, other).code())

	// An assertion that was refused early can still be used, and a token of the server is not an
	// assertion.
	end := r.login("alice", "robot")
	require.Equal(t, "invalid_client", post(end.JWT).code())
	require.Equal(t, "invalid_client", post(end.IDToken).code())
	r.Directory.ChangeClient("robot", func(c *world.Client) {
		c.AuthMethods = []string{secretBasic}
	})
	require.Equal(t, "invalid_client", post(word(nil)).code(), "the method is not allowed")
}

// A failing store is a failure of the server, and not of the client.
func TestAuthenticationFailure(t *testing.T) {
	r := start(t, demo(t))
	word := r.assertion(testKey(t, "robot"), "robot-1", "robot", "robot", nil)
	r.Tokens.Store = nil
	a := r.post(pathToken, form("grant_type", "client_credentials",
		"client_assertion_type", jwtBearer, "client_assertion", word))
	require.Equal(t, http.StatusInternalServerError, a.status)
	require.Equal(t, "server_error", a.code())
}

// Two Authorization headers in one request are invalid_request at every endpoint that reads one,
// whatever their values: a proxy and the server might each read another one.
func TestTwoAuthorizationHeaders(t *testing.T) {
	r := start(t, demo(t))
	end := r.login("alice", "portal")
	portal := credentials("portal", "portal-demo-secret")
	service := credentials("service", "service-demo-secret")
	bearer := "Bearer " + end.AccessToken
	pairs := [][]string{{portal, portal}, {portal, service}, {portal, "Basic x"},
		{"Basic x", portal}, {portal, ""}, {"", portal}, {portal, bearer}, {bearer, portal},
		{bearer, bearer}, {"", ""}, {portal, portal, portal}}
	for _, row := range []struct {
		method, path string
		fields       url.Values
	}{
		{"POST", pathToken, form("grant_type", grantCode, "code", "x")},
		{"POST", pathToken, form("grant_type", grantRefresh, "refresh_token", end.RefreshToken)},
		{"POST", pathToken, form("grant_type", grantClient)},
		{"POST", pathToken, form("grant_type", grants.GrantJWTBearer, "assertion", "x")},
		{"POST", pathToken, form("grant_type", "x")},
		{"POST", pathToken, form("grant_type", tokenexchange.GrantType,
			"subject_token", end.AccessToken, "subject_token_type", urnAccess)},
		{"POST", pathIntrospect, form("token", end.AccessToken)},
		{"POST", pathRevoke, form("token", end.AccessToken)},
		{"GET", "/api/users", nil},
		{"GET", "/api/delegations", nil},
		{"DELETE", "/api/delegations/x", nil},
	} {
		for _, headers := range pairs {
			body := strings.NewReader(row.fields.Encode())
			req, err := http.NewRequest(row.method, r.url+row.path, body)
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header["Authorization"] = headers
			a := r.do(req)
			which := fmt.Sprintf("%s %v %q", row.path, row.fields, headers)
			require.Equal(t, http.StatusBadRequest, a.status, which)
			require.Equal(t, "invalid_request", a.code(), which)
		}
	}
	require.Equal(t, true, r.introspect("portal", end.AccessToken)["active"], "nothing was revoked")
}
