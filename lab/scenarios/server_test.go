package scenarios

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/auditlog"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// get sends a GET with a bearer token, if there is one.
func (r *running) get(path, token string) answer {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.url+path, nil)
	require.NoError(r.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return r.do(req)
}

func TestMetadata(t *testing.T) {
	r := start(t, demo(t))
	for _, path := range []string{"/.well-known/oauth-authorization-server",
		"/.well-known/openid-configuration"} {
		a := r.get(path, "")
		require.Equal(t, "application/json", a.header.Get("Content-Type"))
		require.Equal(t, r.url, a.text("issuer"))
		require.Equal(t, r.url+"/token", a.text("token_endpoint"))
		require.Equal(t, r.url+"/introspect", a.text("introspection_endpoint"))
		require.Equal(t, r.url+"/revoke", a.text("revocation_endpoint"))
		require.Equal(t, r.url+"/jwks", a.text("jwks_uri"))
		require.Equal(t, []any{"ES256"}, a.body["id_token_signing_alg_values_supported"])
		require.Contains(t, a.body["grant_types_supported"], tokenexchange.GrantType)
		require.Contains(t, a.body["subject_token_types_supported"], string(userID))
		require.NotContains(t, a.body["subject_token_types_supported"],
			string(tokenexchange.TypeRefreshToken))
		require.Equal(t, []any{"client_secret_basic", "client_secret_post",
			"private_key_jwt", "none"}, a.body["token_endpoint_auth_methods_supported"])
	}
	keys := r.get("/jwks", "")
	require.Len(t, keys.body["keys"], 1)
	require.NotContains(t, keys.body["keys"].([]any)[0], "d", "the private part")
	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Issuer: r.Issuer,
		JWKSURL: r.url + "/jwks",
		Types:   map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: ""},
		Live:    func(context.Context, tokenexchange.Token) error { return nil }})
	require.NoError(t, err)
	_, err = verifier.Verify(t.Context(),
		tokenexchange.Credential{Token: r.login("alice", "portal").JWT,
			Type: tokenexchange.TypeAccessToken, Issuer: r.Issuer, Now: time.Now()})
	require.NoError(t, err, "the published key is the one that signs")
}

// A service gets a token of its own, within its registration, and is never taken for a user.
func TestClientCredentials(t *testing.T) {
	r := start(t, demo(t))
	ask := func(id string, pairs ...string) answer {
		return r.as(id, pathToken, form(append(pairs, "grant_type", "client_credentials")...))
	}
	a := ask("portal")
	require.Equal(t, http.StatusOK, a.status, "%v", a.body)
	require.Equal(t, "profile email read write users:read",
		a.text("scope"), "no openid and offline_access: it is no user")
	require.NotContains(t, a.body, "refresh_token")
	require.NotContains(t, a.body, "id_token")
	got := r.introspect("portal", a.text("access_token"))
	require.Equal(t, "portal", got["sub"])
	require.Equal(t, "portal", got["client_id"])
	require.Equal(t, "client_credentials",
		r.events()[len(r.events())-1]["grant"], "it is on record")

	a = ask("portal", "scope", "read", "audience", "https://settings.example", "resource", "",
		"unknown", "x")
	got = r.introspect("portal", a.text("access_token"))
	require.Equal(t, "https://settings.example", got["aud"])
	require.Equal(t, "read", got["scope"])

	for code, list := range map[string][][]string{
		"invalid_scope": {{"scope", "transfer"}, {"scope", "openid"},
			{"scope", "a  b"}, {"scope", "act_as:"}},
		"invalid_target": {{"audience", "https://bank.example"},
			{"resource", "nonsense"}},
		"invalid_request": {{"scope", "read", "scope", "read"},
			{"client_id", "portal", "client_id", "portal"}, {"scope", "act_as:alice"}},
		"invalid_authorization_details": {{"authorization_details", "[]"}},
	} {
		for _, pairs := range list {
			refused := ask("portal", pairs...)
			require.Equal(t, code, refused.code(), "%v", pairs)
			require.Equal(t, "refused", r.last()["outcome"], "%v is on record", pairs)
		}
	}
	// The token is not about a user: only a rule about clients takes it as subject, and its name is
	// not a user id.
	token := ask("portal").text("access_token")
	require.Equal(t, "invalid_request",
		r.exchange("portal", token, tokenexchange.TypeAccessToken).code())
	require.Equal(t, "invalid_request",
		r.exchange("portal", r.login("alice", "portal").AccessToken, tokenexchange.TypeAccessToken,
			actor(token, tokenexchange.TypeAccessToken)...).code())
}

// A request that names no other grant is answered by the exchange, by its own rules, and is
// recorded.
func TestTokenEndpoint(t *testing.T) {
	r := start(t, demo(t))
	send := func(method, path, contentType, body string) answer {
		req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", contentType)
		req.SetBasicAuth("portal", "portal-demo-secret")
		return r.do(req)
	}
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		method, path, contentType, body, code string
		status                                int
		audited                               bool
	}{
		{"POST", "/token", form, "", "invalid_request", 400, true},
		{"POST", "/token", form, "grant_type=password", "unsupported_grant_type", 400, true},
		{"POST", "/token", form,
			"grant_type=client_credentials&grant_type=client_credentials", "invalid_request", 400,
			true},
		{"POST", "/token", form,
			"grant_type=client_credentials&grant_type=refresh_token", "invalid_request", 400, true},
		{"POST", "/token", form, "grant_type=client_credentials&grant_type=", "invalid_request",
			400, true},
		{"POST", "/token", form, "grant_type=refresh_token", "invalid_request", 400, true},
		{"POST", "/token", form, "grant_type=refresh_token&refresh_token=rt_x", "invalid_grant",
			400, true},
		{"POST", "/token", form, "grant_type=client_credentials&scope=%zz", "invalid_request",
			400, false},
		{"POST", "/token?scope=read", form, "grant_type=client_credentials", "invalid_request",
			400, false},
		{"POST", "/token", "application/json",
			`{"grant_type":"client_credentials"}`, "invalid_request", 400, false},
		{"POST", "/token", "text/plain", "grant_type=client_credentials", "invalid_request",
			400, false},
		{"POST", "/token", form + ";charset=latin1",
			"grant_type=client_credentials", "invalid_request", 400, false},
		{"POST", "/token", form, "grant_type=client_credentials&x=" +
			strings.Repeat("x", 256<<10), "invalid_request", 400, false},
		// R01
		{"PUT", "/token", form, "grant_type=client_credentials", "invalid_request", 405, false},
		{"PUT", "/token", form, "grant_type=authorization_code", "invalid_request", 405, false},
		{"GET", "/token?grant_type=client_credentials", form, "", "invalid_request", 405, false},
	} {
		before := len(r.events())
		a := send(c.method, c.path, c.contentType, c.body)
		text := c.method + " " + c.path + " " + c.body[:min(60, len(c.body))]
		require.Equal(t, c.code, a.code(), text)
		require.Equal(t, "no-store", a.header.Get("Cache-Control"), text)
		require.Equal(t, c.audited, len(r.events()) > before, "%s: on record", text)
		require.Equal(t, c.status, a.status, text)
	}
	require.Equal(t, 200, send("POST", "/token",
		form+"; charset=UTF-8", "scope=&grant_type=client_credentials&options=x").status)
}

func TestManagementAPI(t *testing.T) {
	for _, shape := range []string{"act", "act_as"} {
		w := demo(t)
		w.ClaimShape = shape
		r := start(t, w)
		admin, gina, super := r.login("adam", "portal"), r.login("gina",
			"portal"), r.login("gustav", "portal")
		access := tokenexchange.TypeAccessToken
		for _, token := range []string{admin.AccessToken, admin.JWT} {
			a := r.get("/api/users", token)
			require.Equal(t, http.StatusOK, a.status, "%v", a.body)
			require.Len(t, a.body["users"], 10, "those of the organisation")
		}
		require.Len(t, r.get("/api/users", gina.JWT).body["users"], 2)
		require.Len(t, r.get("/api/users",
			r.as("portal", pathToken, form("grant_type",
				"client_credentials")).text("access_token")).body["users"], 12)
		require.Equal(t, "api access", r.last()["msg"])

		for _, format := range []tokenexchange.TokenType{access, tokenexchange.TypeJWT} {
			acted := r.exchange("portal", admin.AccessToken, access,
				append(actor(super.AccessToken, access), "requested_token_type", string(format))...)
			require.Contains(t, acted.text("scope"), "users:read", "%v", acted.body)
			a := r.get("/api/users", acted.text("access_token"))
			require.Equal(t, http.StatusForbidden, a.status, "%s %s", shape, format)
			require.Equal(t, "insufficient_scope", a.code())
			require.Equal(t, "adam", inside(r.last(), "subject", "id"), "%s", shape)
			require.Equal(t, "gustav", inside(r.last(), "actor", "id"), "%s", shape)
			if format == tokenexchange.TypeJWT {
				require.Contains(t, claims(t, acted.text("access_token")), shape)
			}
		}
		require.Equal(t, http.StatusForbidden,
			r.get("/api/users", r.login("alice", "portal").AccessToken).status, "no users:read")
		require.Equal(t, http.StatusUnauthorized,
			r.get("/api/users", r.login("alice", "customer").AccessToken).status,
			"another audience")
		require.Equal(t, http.StatusUnauthorized, r.get("/api/users", admin.IDToken).status)
		require.Equal(t, http.StatusUnauthorized, r.get("/api/users", admin.RefreshToken).status)
		require.Equal(t, http.StatusUnauthorized, r.get("/api/users", "").status)
		own := r.as("portal", pathToken,
			form("grant_type", "client_credentials")).text("access_token")
		r.Directory.ChangeUser("adam", func(u *world.User) { u.Status = "locked" })
		r.Directory.ChangeClient("portal", func(c *world.Client) { c.Status = "disabled" })
		require.Equal(t, http.StatusUnauthorized, r.get("/api/users", admin.JWT).status, "locked")
		require.Equal(t, http.StatusUnauthorized, r.get("/api/users", own).status, "disabled")
	}
}

// With the master switch off, no new actor gets into a token; exchanges without a new actor stay
// the same.
func TestMasterSwitch(t *testing.T) {
	w := demo(t)
	w.AllowImpersonation = false
	r := start(t, w)
	access, end, imp := tokenexchange.TypeAccessToken, r.login("alice", "portal"), r.login("ines",
		"portal")
	require.Equal(t, "invalid_request",
		r.exchange("portal", end.AccessToken, access, actor(imp.AccessToken, access)...).code())
	require.Equal(t, "invalid_request",
		r.exchange("portal", "alice", userID, actor(imp.AccessToken, access)...).code())
	require.Equal(t, "invalid_request",
		r.exchange("aggregates-api", end.AccessToken, access).code())
	require.Equal(t, http.StatusOK,
		r.exchange("portal", end.AccessToken, access, "scope", "read").status)
	require.Equal(t, http.StatusOK,
		r.exchange("portal", end.IDToken, tokenexchange.TypeIDToken).status)
	require.Equal(t, http.StatusOK,
		r.exchange("service", r.login("alice", "customer").AccessToken, access).status)
}

// Every line of the log is JSON, and none has a token, a secret or a signature in it.
func TestLog(t *testing.T) {
	r := start(t, demo(t))
	end, imp := r.login("alice", "portal"), r.login("ines", "portal")
	access := tokenexchange.TypeAccessToken
	secrets := []string{end.AccessToken, end.JWT, end.IDToken, end.RefreshToken, imp.JWT,
		"portal-demo-secret"}
	for _, a := range []answer{
		r.exchange("portal", end.JWT, access,
			append(actor(imp.JWT, access), "scope", "openid offline_access read")...),
		r.as("portal", pathToken,
			form("grant_type", "refresh_token", "refresh_token", end.RefreshToken)),
		r.as("portal", pathToken, form("grant_type", "client_credentials")),
		r.exchange("service", end.JWT, access),
		r.exchange("portal", end.JWT+"x", access),
		r.exchange("portal", end.RefreshToken, tokenexchange.TypeIDToken),
		r.as("portal", pathToken,
			form("grant_type", "refresh_token", "refresh_token", end.AccessToken)),
		r.as("portal", pathToken,
			form("grant_type", "refresh_token", "refresh_token", end.RefreshToken)),
		r.basic(credentials("portal", "wrong-secret-of-portal")),
		r.get("/api/users", end.JWT),
		r.get("/api/users", imp.JWT+"x"),
	} {
		secrets = append(secrets, a.text("access_token"), a.text("refresh_token"),
			a.text("id_token"))
	}
	secrets = append(secrets, "wrong-secret-of-portal",
		r.asRobot(pathToken, form("grant_type", "client_credentials")).text("access_token"))
	log := r.log.String()
	for _, event := range r.events() {
		require.NotEmpty(t, event["time"])
		require.NotEmpty(t, event["msg"])
	}
	for _, secret := range secrets {
		if secret != "" {
			require.NotContains(t, log, secret)
			require.NotContains(t, log, secret[strings.LastIndexByte(secret, '.')+1:],
				"a signature")
		}
	}
	require.NotContains(t, log, "eyJ")
}

// If the audit log fails, no token leaves, and the token that was made ends.
func TestLogFails(t *testing.T) {
	r := start(t, demo(t))
	end := r.login("alice", "portal")
	r.Exchanger.Audit = auditlog.Sink{}
	a := r.exchange("portal", end.AccessToken, tokenexchange.TypeAccessToken)
	require.Equal(t, http.StatusInternalServerError, a.status)
	require.Equal(t, "server_error", a.code())
	require.NotContains(t, a.body, "access_token")
}

// The library's own checks of host implementations.
func TestContracts(t *testing.T) {
	r := start(t, demo(t))
	expires := time.Now().Add(time.Hour)
	about := func(kind tokenexchange.Kind, sub string) tokenexchange.Token {
		return tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Kind: kind, ID: sub,
			Issuer: r.Issuer, Subject: sub, ClientID: "portal", Expires: expires}
	}
	require.NoError(t, tokenexchangetest.CheckResolver(t.Context(), r.Server,
		about(tokenexchange.KindUser, "alice"),
		about(tokenexchange.KindUser, "ines"), about(tokenexchange.KindClient, "service")))

	end, imp := r.login("alice", "portal"), r.login("ines", "portal")
	recorder := &tokenexchangetest.Recorder{}
	x := *r.Exchanger
	x.Audit = recorder
	f := form("grant_type", tokenexchange.GrantType, "subject_token", end.JWT, "subject_token_type",
		string(tokenexchange.TypeJWT),
		"actor_token", imp.JWT, "actor_token_type", string(tokenexchange.TypeJWT), "scope",
		"openid read")
	_, err := x.Exchange(t.Context(), clientOf(r.w, "portal").Registered(), f)
	require.NoError(t, err)
	d := recorder.Last().Decision
	require.NoError(t, tokenexchangetest.CheckIssuer(t.Context(), r.Tokens, d))
	require.NoError(t,
		tokenexchangetest.CheckRoundTrip(t.Context(), r.Tokens, r.Exchanger.Verify, d))
	require.NoError(t,
		tokenexchangetest.CheckAuthorizer(t.Context(), r.Exchanger.Authorizer, d.Facts))
	d.Type = tokenexchange.TypeJWT
	require.NoError(t,
		tokenexchangetest.CheckRoundTrip(t.Context(), r.Tokens, r.Exchanger.Verify, d))
}

// Unknown paths are not found.
func TestPaths(t *testing.T) {
	r := start(t, demo(t))
	for path, status := range map[string]int{"/": 404, "/authorize": 400, "/login": 405,
		"/token/": 404, "/jwks/x": 404} {
		resp, err := http.Get(r.url + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, status, resp.StatusCode, path)
		require.False(t, json.Valid(body), path)
	}
}
