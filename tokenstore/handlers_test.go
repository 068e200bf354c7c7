package tokenstore_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Introspection returns the content of a token, opaque or JWT, and in the standard form of act even
// for a JWT with another form (R17, D18, F11).
func TestIntrospectionReadsBack(t *testing.T) {
	for _, actAs := range []bool{false, true} {
		for _, kind := range []tx.TokenType{access, jwt} {
			w := newWorld(t)
			w.tokens.JWT.ActAs = actAs
			w.tokens.MayAct = func(_ context.Context, d tx.Decision) (*tx.Actor, error) {
				return &tx.Actor{Subject: "carol", ClientID: d.Client}, nil
			}
			hooked := false
			w.tokens.JWT.Claims = func(_ context.Context, _ tx.Decision, c map[string]any) error {
				hooked = c["may_act"] != nil
				return nil
			}
			c := w.client["helpdesk"]
			c.Confirmation = tx.Confirmation{X5T: "thumb"}
			w.client["helpdesk"] = c
			a := w.delegated("requested_token_type", string(kind),
				"audience", api, "audience", down)
			d := w.audit.Last().Decision
			form := url.Values{"token": {a.text("access_token")}}
			body := w.post("/introspect", "helpdesk", form).body
			got, err := tx.ParseToken([]byte(body))
			require.NoError(t, err)
			want := d.Token(w.audit.Last().TokenID)
			want.Type, want.Kind, want.AMR, want.Claims = "", "", nil, got.Claims
			want.MayAct = &tx.Actor{Subject: "carol", ClientID: "helpdesk"}
			require.Equal(t, want, got)
			require.True(t, hooked, "the hook of the host is called too")
			var all map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &all))
			seconds := func(t time.Time) float64 { return float64(t.Unix()) }
			require.Equal(t, map[string]any{
				"active": true, "token_type": "Bearer", "client_id": "helpdesk",
				"scope": "read write openid offline_access",
				"sub":   "alice", "aud": []any{api, down}, "iss": issuer,
				"jti": w.audit.Last().TokenID,
				"exp": seconds(d.Expires), "iat": seconds(d.Issued),
				"acr": "gold", "auth_time": seconds(w.login("alice").AuthTime),
				"act":     map[string]any{"iss": issuer, "sub": "bob", "client_id": "webapp"},
				"may_act": map[string]any{"sub": "carol", "client_id": "helpdesk"},
				"cnf":     map[string]any{"x5t#S256": "thumb"},
				"lineage": map[string]any{"lent": true},
			}, all)
		}
	}
}

// A caller may introspect the tokens that are for it or were issued to it, and no others.
func TestMayIntrospect(t *testing.T) {
	w := newWorld(t)
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access,
		"scope", "read openid offline_access", "audience", down))
	b := w.granted(w.exchange("gateway", w.opaque("alice"), access,
		"scope", "read", "requested_token_type", string(jwt)))
	c := w.granted(w.exchange("gateway", w.opaque("alice"), access,
		"scope", "read offline_access", "audience", api))
	ticket := w.ticket(false)
	foreign := w.minter.Sign("at+jwt", map[string]any{"iss": "https://elsewhere.example"})
	w.after(time.Second)
	login := w.signed("alice", idToken)
	for _, row := range []struct {
		caller, token string
		active        bool
	}{
		{"gateway", a.text("access_token"), true},
		{"api", a.text("access_token"), false},
		{"other", a.text("access_token"), false},
		{"gateway", a.text("refresh_token"), true},
		{"api", a.text("refresh_token"), false},
		{"other", a.text("refresh_token"), false},
		{"api", c.text("access_token"), true},
		{"api", c.text("refresh_token"), false},
		{"gateway", a.text("id_token"), false},
		{"webapp", login, false},
		{"helpdesk", ticket, false},
		{"api", b.text("access_token"), true},
		{"gateway", b.text("access_token"), true},
		{"other", b.text("access_token"), false},
		{"api", foreign, false},
		{"api", "nonsense", false},
		{"api", ".", false},
		{"api", "at_", false},
		{"api", "at_\x00", false},
	} {
		got := w.introspect(row.caller, row.token)
		require.Equal(t, row.active, got["active"], "%s %.10s", row.caller, row.token)
		if !row.active {
			require.Len(t, got, 1)
		}
	}
	tok := w.login("alice")
	tok.Audience = []string{"x", "other"}
	named, err := w.tokens.Mint(t.Context(), tok)
	require.NoError(t, err)
	require.Equal(t, true, w.introspect("other", named.Value)["active"],
		"the ID of a client is always one of its audiences")
	require.Nil(t, w.introspect("gateway", a.text("refresh_token"))["token_type"])

	w.after(time.Hour)
	require.False(t, w.introspect("gateway", a.text("access_token"))["active"].(bool), "expired")
	require.False(t, w.introspect("gateway", b.text("access_token"))["active"].(bool), "expired")
}

// A token of one issuer is unknown to another issuer with the same store.
func TestIssuersAreKeptApart(t *testing.T) {
	w := newWorld(t)
	value := w.opaque("alice")
	c := w.credential(access, value)
	c.Issuer = "https://another.example"
	_, err := w.tokens.VerifyToken(t.Context(), c)
	require.ErrorIs(t, err, tokenstore.ErrUnknown)
	authenticate := func(*http.Request) (tx.Client, error) { return w.client["api"], nil }
	h := w.tokens.IntrospectionHandler("https://another.example", authenticate)
	for _, token := range []string{value, w.signed("alice", access)} {
		form := url.Values{"token": {token}}.Encode()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.Header.Set("Content-Type", formType)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		require.JSONEq(t, `{"active":false}`, rec.Body.String())
	}
}

// A token of another issuer cannot be introspected or revoked here, even if the issuer is trusted
// for exchanges.
func TestForeignTokens(t *testing.T) {
	w := newWorld(t)
	elsewhere := tokenexchangetest.NewMinter("https://elsewhere.example")
	verifier, err := tx.NewVerifier(elsewhere.ForeignTrust(api))
	require.NoError(t, err)
	w.tokens.Verify = verifier.Verify
	value := elsewhere.AccessToken(tokenexchangetest.Claims{Subject: "alice", Client: "api",
		Audience: []string{api}, Now: w.clock()})
	_, err = w.tokens.VerifyToken(t.Context(), w.credential(jwt, value))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"active": false}, w.introspect("api", value))
	require.Equal(t, 200, w.post("/revoke", "api", url.Values{"token": {value}}).status)
	_, err = w.tokens.VerifyToken(t.Context(), w.credential(jwt, value))
	require.NoError(t, err)
}

// Report gets the reason of a refusal, which the answer does not show.
func TestReport_HasReason(t *testing.T) {
	w := newWorld(t)
	value := w.opaque("alice")
	var reported error
	w.tokens.Report = func(_ context.Context, err error) { reported = err }
	for _, row := range []struct {
		path, client string
		form         url.Values
		reason       string
	}{
		{"/introspect", "api", url.Values{}, "parameter_missing"},
		{"/introspect", "api", url.Values{"token": {value, value}}, "parameter_repeated"},
		{"/introspect", "phone", url.Values{"token": {value}}, "public_client_introspects"},
		{"/revoke", "other", url.Values{"token": {value}}, "token_other_client"},
	} {
		a := w.post(row.path, row.client, row.form)
		require.Equal(t, 400, a.status, row.reason)
		require.Equal(t, row.reason, tx.AsError(reported).Reason)
		require.NotContains(t, a.body, row.reason)
	}
}

// The endpoints for introspection, revocation and refresh check requests as strictly as the token
// endpoint (R01, R04, R09, R10, R12).
func TestEndpoints(t *testing.T) {
	w := newWorld(t)
	value := w.opaque("alice")
	var reported error
	w.tokens.Report = func(_ context.Context, err error) { reported = err }
	token := "token=" + value
	big := strings.Repeat("a", 256<<10)
	for _, path := range []string{"/introspect", "/revoke", "/token"} {
		body := "grant_type=refresh_token&refresh_token=x&" + token
		r, err := http.NewRequest("POST", w.url+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", formType)
		r.SetBasicAuth("webapp", "secret of webapp")
		r.Header.Add("Authorization", "Basic x")
		reported = nil
		a := w.do(r)
		require.Equal(t, 400, a.status, path)
		require.Equal(t, "invalid_request", a.text("error"), path)
		if path != "/token" { // which has no Report
			require.ErrorContains(t, reported, "2 Authorization headers")
		}
	}
	for _, path := range []string{"/introspect", "/revoke"} {
		for name, row := range map[string]struct {
			method, query, contentType, user, body string
			status                                 int
		}{
			"GET":             {method: "GET", status: 405},
			"PUT":             {method: "PUT", status: 405},
			"JSON":            {contentType: "application/json", body: `{"token":""}`, status: 400},
			"no type":         {contentType: "none", body: token, status: 400},
			"charset":         {contentType: formType + ";charset=x", body: token, status: 400},
			"token in query":  {query: "?token=x", body: token, status: 400},
			"secret in query": {query: "?client_secret=x", body: token, status: 400},
			"no token":        {body: "token=", status: 400},
			"two tokens":      {body: token + "&" + token, status: 400},
			"two hints":       {body: token + "&token_type_hint=a&token_type_hint=", status: 400},
			"malformed":       {body: "token=%zz", status: 400},
			"too long":        {body: "token=" + big, status: 400},
			"long token":      {body: "token=" + big[:64<<10+1], status: 400},
			"many parameters": {body: token + strings.Repeat("&", 1000), status: 400},
			"unknown client":  {user: "unknown", body: token, status: 401},
			"unknown client, two tokens": {
				user: "unknown", body: token + "&" + token, status: 401}, // D03
			"no client":           {user: "none", body: token, status: 401},
			"two authentications": {body: token + "&client_secret=x", status: 400},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				code := "invalid_request"
				if row.status == 401 {
					code = "invalid_client"
				}
				r, err := http.NewRequest(cmp.Or(row.method, "POST"), w.url+path+row.query,
					strings.NewReader(row.body))
				require.NoError(t, err)
				r.Header.Set("Content-Type", formType+"; charset=UTF-8")
				switch row.contentType {
				case "":
				case "none":
					r.Header.Del("Content-Type")
				default:
					r.Header.Set("Content-Type", row.contentType)
				}
				switch row.user {
				case "":
					r.SetBasicAuth("webapp", "secret of webapp")
				case "none":
				default:
					r.SetBasicAuth(row.user, "x")
				}
				reported = nil
				a := w.do(r)
				require.Equal(t, row.status, a.status)
				require.Equal(t, code, a.text("error"))
				require.Equal(t, tx.AsError(tx.Code(code)).Description, a.text("error_description"))
				require.Equal(t, row.user == "unknown", a.header.Get("WWW-Authenticate") != "")
				require.Equal(t, row.status == 405, a.header.Get("Allow") == "POST")
				require.NotContains(t, a.body, "wrong secret")
				require.Equal(t, row.status != 405, reported != nil)
				require.NotContains(t, fmt.Sprint(reported), value)
			})
		}
	}
	require.True(t, w.active(value), "no refused request revokes the token")
	signed, verify := w.signed("alice", access), w.tokens.Verify
	w.tokens.Verify = func(context.Context, tx.Credential) (tx.Token, error) {
		return tx.Token{}, fmt.Errorf("cannot read %q", signed)
	}
	a := w.post("/introspect", "api", url.Values{"token": {signed}})
	require.Equal(t, "server_error", a.text("error"))
	require.EqualError(t, reported, `server_error: cannot read "[redacted]"`, "I08")
	for _, fail := range []func() error{
		func() error { return (*typedNil)(nil) },
		func() error { panic(tx.InvalidRequest) },
		func() error { panic(value) },
	} { // I12
		w.tokens.Verify = func(context.Context, tx.Credential) (tx.Token, error) {
			return tx.Token{}, fail()
		}
		for _, path := range []string{"/introspect", "/revoke"} {
			a := w.post(path, "api", url.Values{"token": {signed}})
			require.Equal(t, "server_error", a.text("error"))
			require.ErrorContains(t, reported, "panic in ")
			require.NotContains(t, reported.Error(), value)
		}
	}
	w.tokens.Verify = verify
	a = w.post("/introspect", "api",
		url.Values{"token": {value}, "token_type_hint": {"refresh_token"}})
	require.Equal(t, true, a.json["active"], "a wrong token_type_hint is ignored")
	a = w.post("/introspect", "phone", url.Values{"token": {value}})
	require.Equal(t, "unauthorized_client", a.text("error"))
}

// For a store that fails and a host that panics, the response is 500 without the error text. It
// says nothing about the token.
func TestBrokenStore(t *testing.T) {
	w := newWorld(t)
	var reported error
	w.tokens.Report = func(_ context.Context, err error) { reported = err }
	opaque, signed := w.opaque("alice"), w.signed("alice", access)
	w.store.fail = errBroken
	for _, value := range []string{opaque, signed} {
		for _, path := range []string{"/introspect", "/revoke"} {
			a := w.post(path, "webapp", url.Values{"token": {value}})
			require.Equal(t, 500, a.status)
			require.NotContains(t, a.body, "broken")
			require.ErrorIs(t, reported, errBroken)
		}
		w.failed(w.exchange("gateway", value, access), errBroken)
	}
	w.store.fail = nil
	require.True(t, w.active(opaque))
	h := w.tokens.IntrospectionHandler(issuer, func(*http.Request) (tx.Client, error) {
		panic(opaque)
	})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("token="+opaque))
	r.Header.Set("Content-Type", formType)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	require.Equal(t, 500, rec.Code)
	require.NotContains(t, reported.Error(), opaque)
	h = w.tokens.IntrospectionHandler(issuer, func(*http.Request) (tx.Client, error) {
		return tx.Client{}, nil
	})
	rec = httptest.NewRecorder()
	r.Body = http.NoBody
	h.ServeHTTP(rec, r)
	require.Equal(t, 401, rec.Code, "the host returns no client and no error")
}

// A client revokes its own tokens and no others (RFC 7009).
func TestRevocation(t *testing.T) {
	w := newWorld(t)
	a := w.granted(w.exchange("gateway", w.opaque("alice"), access,
		"scope", "read openid offline_access"))
	b := w.granted(w.refresh("gateway", a.text("refresh_token")))
	revoke := func(client, token string) answer {
		return w.post("/revoke", client, url.Values{"token": {token}})
	}

	for _, token := range []string{
		a.text("access_token"), b.text("refresh_token"), a.text("id_token"),
	} {
		refused := revoke("other", token)
		require.Equal(t, 400, refused.status)
		require.Equal(t, "invalid_request", refused.text("error"))
	}
	require.True(t, w.active(b.text("access_token")))
	for _, token := range []string{
		"nonsense", "at_" + strings.Repeat("A", 43), "a.b.c", w.minter.Sign("at+jwt", nil),
	} {
		require.Equal(t, 200, revoke("other", token).status)
	}
	require.Equal(t, "{}", w.granted(revoke("gateway", a.text("access_token"))).body)
	require.False(t, w.active(a.text("access_token")))
	require.True(t, w.active(b.text("access_token")), "another access token of the grant")
	w.granted(revoke("gateway", a.text("access_token")))

	w.granted(revoke("gateway", a.text("refresh_token"))) // which was rotated out
	require.False(t, w.active(b.text("access_token")))
	w.refused(w.refresh("gateway", b.text("refresh_token")), tx.InvalidGrant, "token_revoked")
	w.refused(w.exchange("gateway", a.text("id_token"), idToken, "scope", "read"),
		tx.InvalidRequest, "token_revoked")

	c := w.granted(w.exchange("phone", w.opaque("alice"), access,
		"scope", "read", "requested_token_type", string(jwt)))
	d := w.granted(w.exchange("gateway", c.text("access_token"), access, "scope", "read"))
	w.granted(revoke("phone", c.text("access_token")))
	require.False(t, w.active(c.text("access_token")), "a JWT of a public client")
	require.False(t, w.active(d.text("access_token")), "a token that was made from it")
}
