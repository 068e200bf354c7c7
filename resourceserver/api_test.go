package resourceserver_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// issue signs what a decision about alice says, in one of the two claim shapes.
func (w *world) issue(t *testing.T, actAs bool, chain *tokenexchange.Actor) string {
	t.Helper()
	j := w.JWTIssuer()
	j.ActAs = actAs
	d := tokenexchange.Decision{Mode: tokenexchange.Delegate, Issuer: issuer, Client: "console",
		Actor:    chain,
		Subject:  tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: "alice"},
		Audience: []string{orders}, Scope: tokenexchange.Scope{"read"},
		Type: tokenexchange.TypeAccessToken, Issued: now, Expires: now.Add(time.Minute)}
	if chain == nil {
		d.Mode = tokenexchange.Impersonate
	}
	issued, err := j.IssueToken(context.Background(), d)
	require.NoError(t, err)
	return issued.Value
}

func bob() *tokenexchange.Actor {
	return &tokenexchange.Actor{Issuer: issuer, Subject: "bob", ClientID: "console",
		Prior: &tokenexchange.Actor{Issuer: issuer, Subject: "carol"}}
}

func TestD18_BothClaimShapesReadAlike(t *testing.T) {
	w := newWorld(t)
	for _, actAs := range []bool{false, true} {
		got := ask(t, w.api, w.issue(t, actAs, bob()))
		assert.Equal(t, http.StatusOK, got.status, got.body)
		assert.Equal(t,
			"true {https://as.example alice} | true {https://as.example bob} | console | read | "+
				"carol", got.body, "act_as: %t", actAs)
	}
	both := w.token(
		map[string]any{"act": map[string]any{"sub": "bob"},
			"act_as": map[string]any{"sub": "carol"}})
	got := ask(t, w.api, both)
	assert.Equal(t, http.StatusUnauthorized, got.status)
	assert.Equal(t, "invalid_token", got.code(t))
}

func TestR16_PriorActorsAreHistory(t *testing.T) {
	w := newWorld(t)
	var seen []string
	for _, prior := range []*tokenexchange.Actor{nil, {Issuer: issuer, Subject: "carol"},
		{Issuer: "https://else.example", Subject: "alice"}} {
		for _, actAs := range []bool{false, true} {
			chain := bob()
			chain.Prior = prior
			got := ask(t, w.api, w.issue(t, actAs, chain))
			require.Equal(t, http.StatusOK, got.status, got.body)
			seen = append(seen, got.body[:strings.LastIndex(got.body, "|")])
		}
	}
	for _, s := range seen {
		assert.Equal(t, seen[0], s, "a prior actor changed who is who")
	}
}

func TestR16_WithoutActorNobodyActs(t *testing.T) {
	w := newWorld(t)
	got := ask(t, w.api, w.token(nil))
	assert.Equal(t, "true {https://as.example alice} | false { } | shop | read write | ", got.body)

	actor, acted := resourceserver.ActorFrom(context.Background())
	assert.False(t, acted)
	assert.Zero(t, actor)
	subject, ok := resourceserver.SubjectFrom(context.Background())
	assert.False(t, ok)
	assert.Zero(t, subject)
	_, ok = resourceserver.TokenFrom(context.Background())
	assert.False(t, ok)
}

func TestD06_AnActorWithoutIssuerIsOfTheTokens(t *testing.T) {
	w := newWorld(t)
	got := ask(t, w.api, w.token(map[string]any{"act": map[string]any{"sub": "bob"}}))
	assert.Contains(t, got.body, "true {https://as.example bob}")
	got = ask(t, w.api,
		w.token(map[string]any{"act": map[string]any{"sub": "bob", "iss": "https://else.example"}}))
	assert.Contains(t, got.body, "true {https://else.example bob}")
}

func TestZ22_ActedForTokensAreRefusedInBothShapes(t *testing.T) {
	w := newWorld(t)
	w.api.RefuseActors = true
	for _, actAs := range []bool{false, true} {
		got := ask(t, w.api, w.issue(t, actAs, bob()), "read")
		assert.Equal(t, http.StatusForbidden, got.status, "act_as: %t", actAs)
		assert.Equal(t,
			`Bearer realm="https://orders.example", error="insufficient_scope", `+
				`error_description="A token with an actor is not accepted here."`,
			got.header.Get("WWW-Authenticate"), "no scope attribute: more scope would not help")
		assert.Equal(t, "insufficient_scope", got.code(t))
		assert.Equal(t, http.StatusOK, ask(t, w.api, w.issue(t, actAs, nil), "read").status)
	}
}

func TestD24_OneOfTheAPIsNamesMustBeInAud(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		aud  any
		want int
	}{
		{orders, 200}, {"orders", 200}, {[]string{"https://else.example", orders}, 200},
		{"https://else.example", 401}, {orders + "/", 401}, {"https://ORDERS.example", 401},
		{"order", 401}, {"ordersx", 401},
		{[]string{}, 401}, {nil, 401}, {[]string{""}, 401}, {"*", 401},
	} {
		got := ask(t, w.api, w.token(map[string]any{"aud": tt.aud}))
		assert.Equal(t, tt.want, got.status, "aud %v", tt.aud)
	}
}

func TestR08_OnlyAccessTokens(t *testing.T) {
	w := newWorld(t)
	claims := map[string]any{"iss": issuer, "sub": "alice", "aud": orders, "iat": now.Unix(),
		"exp": now.Add(time.Hour).Unix(), "jti": "1",
		"client_id": "shop", "may_act": map[string]any{"sub": "bob"}}
	for name, token := range map[string]string{
		"an ID token": w.IDToken(
			tokenexchangetest.Claims{Subject: "alice", Client: "shop", Audience: []string{orders},
				Now: now}),
		"no typ":          w.Sign("", claims),
		"a ticket":        w.Sign("ticket+jwt", claims),
		"a refresh token": w.Sign("rt+jwt", claims),
		"a logout token":  w.token(map[string]any{"events": map[string]any{}}),
		"of another issuer": tokenexchangetest.NewMinter(
			"https://else.example").AccessToken(
			tokenexchangetest.Claims{Subject: "alice", Audience: []string{orders}, Now: now}),
		"signed by somebody else": tokenexchangetest.NewMinter(issuer).AccessToken(
			tokenexchangetest.Claims{Subject: "alice", Audience: []string{orders}, Now: now}),
		"expired":                     w.token(map[string]any{"exp": now.Unix()}),
		"without jti":                 w.token(map[string]any{"jti": nil}), // D29
		"without exp":                 w.token(map[string]any{"exp": nil}),
		"with an act that is no name": w.token(map[string]any{"act": map[string]any{}}),
		"opaque":                      "2YotnFZFEjr1zCsicMWpAA",
	} {
		got := ask(t, w.api, token)
		assert.Equal(t, http.StatusUnauthorized, got.status, name)
		assert.Equal(t, "invalid_token", got.code(t), name)
	}
	assert.Equal(t, http.StatusOK, ask(t, w.api, w.Sign("at+jwt", claims)).status)
}

func TestR08_AVerifyOfTheHostIsHeldToIt(t *testing.T) {
	good := tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Issuer: issuer,
		Subject: "alice", Audience: []string{orders}, Expires: now.Add(time.Second)}
	for name, tt := range map[string]struct {
		change func(*tokenexchange.Token)
		as     tokenexchange.TokenType
		want   int
	}{
		"good":                  {func(*tokenexchange.Token) {}, "", 200},
		"good, declared as JWT": {func(*tokenexchange.Token) {}, tokenexchange.TypeJWT, 200},
		"zero": {func(tok *tokenexchange.Token) { *tok = tokenexchange.Token{} },
			"", 401},
		"no type": {func(tok *tokenexchange.Token) { tok.Type = "" }, "", 401},
		"an ID token": {
			func(tok *tokenexchange.Token) { tok.Type = tokenexchange.TypeIDToken },
			tokenexchange.TypeJWT, 401},
		"a refresh token": {
			func(tok *tokenexchange.Token) { tok.Type = tokenexchange.TypeRefreshToken }, "", 401},
		"a JWT": {
			func(tok *tokenexchange.Token) { tok.Type = tokenexchange.TypeJWT }, "", 401},
		"a JWT, declared so": {
			func(tok *tokenexchange.Token) { tok.Type = tokenexchange.TypeJWT },
			tokenexchange.TypeJWT, 200},
		"a foreign JWT": {func(tok *tokenexchange.Token) {
			tok.Type, tok.Issuer = tokenexchange.TypeJWT, "https://else.example"
		}, tokenexchange.TypeJWT, 200},
		"own, of another issuer": {
			func(tok *tokenexchange.Token) { tok.Issuer = "https://else.example" },
			tokenexchange.TypeJWT, 401},
		"no issuer": {
			func(tok *tokenexchange.Token) { tok.Type, tok.Issuer = tokenexchange.TypeJWT, "" },
			tokenexchange.TypeJWT, 401},
		"no subject": {func(tok *tokenexchange.Token) { tok.Subject = "" }, "", 401},
		"an actor without name": {
			func(tok *tokenexchange.Token) { tok.Actor = &tokenexchange.Actor{Issuer: issuer} }, "",
			401},
		"expired now": {func(tok *tokenexchange.Token) { tok.Expires = now }, "", 401},
		"no expiry": {func(tok *tokenexchange.Token) { tok.Expires = time.Time{} }, "",
			401},
		"no audience": {func(tok *tokenexchange.Token) { tok.Audience = nil }, "", 401},
	} {
		tok := good
		tt.change(&tok)
		var asked tokenexchange.Credential
		api := resourceserver.API{Issuer: issuer, Audience: []string{orders}, Type: tt.as,
			Now: func() time.Time { return now },
			Verify: func(_ context.Context, c tokenexchange.Credential) (
				tokenexchange.Token, error) {
				asked = c
				return tok, nil
			}}
		assert.Equal(t, tt.want, ask(t, api, "some-token").status, name)
		if tt.as == "" {
			tt.as = tokenexchange.TypeAccessToken
		}
		assert.Equal(t,
			tokenexchange.Credential{Token: "some-token", Type: tt.as, Issuer: issuer, Now: now},
			asked, name)
	}
}

func TestD06_ForeignIssuersAreTrustedAsForeign(t *testing.T) {
	w := newWorld(t)
	trust := w.ForeignTrust(orders)
	trust.ActClaims, trust.Scopes = true, map[string]tokenexchange.Scope{"read": {"orders.read"}}
	api := resourceserver.API{Audience: []string{orders}, Type: tokenexchange.TypeJWT,
		Verify: verifier(t, trust), Now: w.api.Now}
	got := ask(t, api, w.issue(t, false, bob()), "orders.read")
	assert.Equal(t,
		"true {https://as.example alice} | true {https://as.example bob} |  | orders.read | carol",
		got.body)
	id := w.IDToken(
		tokenexchangetest.Claims{Subject: "alice", Client: "shop", Audience: []string{orders},
			Now: now})
	assert.Equal(t, http.StatusUnauthorized, ask(t, api, id).status)
}

func TestR17_EveryScopeIsNeeded(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		have any
		need []string
		want int
	}{
		{"read write", nil, 200}, {nil, nil, 200},
		{"read write", []string{"read"}, 200},
		{"read write", []string{"write", "read", "read"}, 200},
		{"read write", []string{"read write"}, 200},
		{"read", []string{"read", "write"}, 403}, {"READ", []string{"read"}, 403},
		{"reader", []string{"read"}, 403},
		{"", []string{"read"}, 403}, {nil, []string{"read"}, 403},
	} {
		got := ask(t, w.api, w.token(map[string]any{"scope": tt.have}), tt.need...)
		assert.Equal(t, tt.want, got.status, "%v for %v", tt.have, tt.need)
		if tt.want == 403 {
			assert.Equal(t, "insufficient_scope", got.code(t))
			assert.Contains(t, got.header.Get("WWW-Authenticate"),
				`error="insufficient_scope", error_description="The access token does not have `+
					`the scope that this needs.", scope="`+strings.Join(tt.need, " ")+`"`)
		}
	}
}

func TestRFC6750_Answers(t *testing.T) {
	w := newWorld(t)
	w.api.Audience = []string{`the "orders" \ API`}
	url := serve(t, w.api.Protect(who))
	const realm = `Bearer realm="the \"orders\" \\ API"`
	const malformed = realm +
		`, error="invalid_request", error_description="The request must carry exactly one ` +
		`well-formed access token."`
	const invalid = realm +
		`, error="invalid_token", error_description="The access token is malformed, expired, ` +
		`revoked, not proved or not for this API."`
	good := w.token(map[string]any{"aud": w.api.Audience[0]})
	for name, tt := range map[string]struct {
		headers   []string
		status    int
		challenge string
		code      string
	}{
		"good":            {[]string{"Bearer " + good}, 200, "", ""},
		"lower case":      {[]string{"bearer " + good}, 200, "", ""},
		"upper case":      {[]string{"BEARER   " + good}, 200, "", ""},
		"none":            {nil, 401, realm, ""},
		"empty":           {[]string{""}, 401, realm, ""},
		"Basic":           {[]string{"Basic c2hvcDpzZWNyZXQ="}, 401, realm, ""},
		"no scheme":       {[]string{good}, 401, realm, ""},
		"a longer scheme": {[]string{"Bearers " + good}, 401, realm, ""},
		"DPoP":            {[]string{"DPoP " + good}, 401, realm, ""},
		"bad":             {[]string{"Bearer " + good + "x"}, 401, invalid, "invalid_token"},
		"no token":        {[]string{"Bearer"}, 400, malformed, "invalid_request"},
		"only padding":    {[]string{"Bearer =="}, 400, malformed, "invalid_request"},
		"padding inside":  {[]string{"Bearer ab=c"}, 400, malformed, "invalid_request"},
		"two tokens": {[]string{"Bearer " + good + " " + good}, 400, malformed,
			"invalid_request"},
		"two, by comma": {[]string{"Bearer " + good + ", Bearer " + good}, 400, malformed,
			"invalid_request"},
		"a quoted token": {[]string{`Bearer "` + good + `"`}, 400, malformed, "invalid_request"},
		"not ASCII":      {[]string{"Bearer tök"}, 400, malformed, "invalid_request"},
		"the same twice": {[]string{"Bearer " + good, "Bearer " + good}, 400, malformed,
			"invalid_request"},
		"in two parts": {[]string{"Bearer " + good[:20], good[20:]}, 400, malformed,
			"invalid_request"},
		"beside Basic": {[]string{"Bearer " + good, "Basic c2hvcDpzZWNyZXQ="}, 400, malformed,
			"invalid_request"},
		"64 KiB and a bit": {[]string{"Bearer " + strings.Repeat("a", 64<<10+1)}, 400, malformed,
			"invalid_request"},
		"64 KiB": {[]string{"Bearer " + strings.Repeat("a", 64<<10)}, 401, invalid,
			"invalid_token"},
	} {
		got := get(t, url, tt.headers...)
		assert.Equal(t, tt.status, got.status, name)
		assert.Equal(t, tt.challenge, got.header.Get("WWW-Authenticate"), name)
		if tt.status == 200 {
			continue
		}
		assert.Equal(t, tt.code, got.code(t), name)
		assert.Equal(t, "application/json", got.header.Get("Content-Type"), name)
		assert.Equal(t, "no-store", got.header.Get("Cache-Control"), name) // R12
		assert.Equal(t, "no-cache", got.header.Get("Pragma"), name)
		if tt.code == "" {
			assert.JSONEq(t, "{}", got.body, name)
		}
	}
}

func TestRFC6750_QueryAndBodyAreNeverRead(t *testing.T) {
	w := newWorld(t)
	base := serve(t, w.api.Protect(who))
	token := w.token(nil)
	assert.Equal(t, http.StatusUnauthorized, get(t, base+"/?access_token="+token).status)
	form := url.Values{"access_token": {token}}.Encode()
	req, err := http.NewRequest(http.MethodPost, base, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	assert.Equal(t, http.StatusUnauthorized, do(t, req).status)

	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Form == nil, r.FormValue("access_token"), " ",
			r.Header.Get("Authorization"))
	})
	req, err = http.NewRequest(http.MethodPost, serve(t, w.api.Protect(read)),
		strings.NewReader("access_token=x"))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+token)
	assert.Equal(t, "truex Bearer "+token, do(t, req).body, "body and header are the handler's")
}

func TestI01_WhatIsIncompleteRefuses(t *testing.T) {
	w := newWorld(t)
	token := w.token(nil)
	for want, change := range map[string]func(*resourceserver.API){
		"The API has no Verify, or no handler.": func(a *resourceserver.API) { a.Verify = nil },
		"The API has no Audience, or an empty one.": func(a *resourceserver.API) {
			a.Audience = []string{orders, ""}
		},
		"The API has no Issuer.": func(a *resourceserver.API) { a.Issuer = "" },
		"The API has a Type that is no access token.": func(a *resourceserver.API) {
			a.Type = tokenexchange.TypeIDToken
		},
		"The API has no Verify, or no handler. (zero)": func(a *resourceserver.API) {
			*a = resourceserver.API{}
		},
	} {
		api := w.api
		change(&api)
		for _, headers := range [][]string{nil, {"Bearer " + token}, {"Bearer "}} {
			got := get(t, serve(t, api.Protect(who)), headers...)
			assert.Equal(t, http.StatusInternalServerError, got.status, want)
			assert.JSONEq(t,
				`{"error":"server_error","error_description":"`+strings.TrimSuffix(want,
					" (zero)")+`"}`, got.body)
			assert.Empty(t, got.header.Get("WWW-Authenticate"))
		}
	}
	noAudience := w.api
	noAudience.Audience = nil
	assert.Equal(t, http.StatusInternalServerError, ask(t, noAudience, token).status)
	assert.Equal(t, http.StatusInternalServerError,
		get(t, serve(t, w.api.Protect(nil)), "Bearer "+token).status)
	for _, malformed := range []string{`rea"d`, " read", "a  b", "ä", ""} {
		got := ask(t, w.api, token, malformed)
		assert.Equal(t, http.StatusInternalServerError, got.status, malformed)
		assert.Contains(t, got.body, "malformed scope")
	}
}

func TestI01_AChangedAPIChangesNothingThatIsProtected(t *testing.T) {
	w := newWorld(t)
	names := []string{orders}
	w.api.Audience = names
	base := serve(t, w.api.Protect(who))
	names[0], w.api.Verify = "https://else.example", nil
	assert.Equal(t, http.StatusOK, get(t, base, "Bearer "+w.token(nil)).status)
}

// typedNil is an error that panics when it is printed.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

func TestI12_AFailureIsNever401(t *testing.T) {
	w := newWorld(t)
	timeout, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	for name, tt := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"a no": {fmt.Errorf("%w: revoked, says db-7", tokenexchange.InvalidRequest),
			401, "invalid_token"},
		"another no": {fmt.Errorf("db-7: %w", tokenexchange.InvalidGrant), 401,
			"invalid_token"},
		"a code of the host": {tokenexchange.Code("db-7"), 401, "invalid_token"},
		"a described no": {
			&tokenexchange.Error{Code: tokenexchange.InvalidRequest, Description: "db-7"}, 401,
			"invalid_token"},
		"a failure": {errors.New("db-7 is down"), 500, "server_error"},
		"a coded failure": {
			&tokenexchange.Error{Code: tokenexchange.ServerError, Description: "db-7"}, 500,
			"server_error"},
		"a deadline": {fmt.Errorf("db-7: %w", timeout.Err()), 503,
			"temporarily_unavailable"},
		"a coded deadline": {fmt.Errorf("db-7: %w", tokenexchange.TemporarilyUnavailable), 503,
			"temporarily_unavailable"},
		"a typed nil":  {(*typedNil)(nil), 500, "server_error"},
		"a nil *Error": {(*tokenexchange.Error)(nil), 500, "server_error"},
	} {
		w.api.Verify = func(context.Context, tokenexchange.Credential) (
			tokenexchange.Token, error) {
			return tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Issuer: issuer,
				Subject: "alice", Audience: []string{orders}, Expires: now.Add(time.Hour)}, tt.err
		}
		got := ask(t, w.api, "some-token")
		assert.Equal(t, tt.status, got.status, name)
		assert.Equal(t, tt.code, got.code(t), name)
		assert.NotContains(t, got.body+fmt.Sprint(got.header), "db-7", name)
		assert.Equal(t, tt.status >= 500, got.header.Get("WWW-Authenticate") == "", name)
		assert.Equal(t, "no-store", got.header.Get("Cache-Control"), name)
	}
	for _, thrown := range []any{"db-7", tokenexchange.InvalidRequest, http.ErrAbortHandler} {
		w.api.Verify = func(context.Context, tokenexchange.Credential) (
			tokenexchange.Token, error) {
			panic(thrown)
		}
		got := ask(t, w.api, "some-token")
		assert.Equal(t, http.StatusInternalServerError, got.status, "%v", thrown)
		assert.NotContains(t, got.body, "db-7")
	}
}

func TestI12_KeysThatCannotBeHad(t *testing.T) {
	w := newWorld(t)
	trust := w.Trust()
	trust.JWKS, trust.JWKSURL = nil, serve(t, http.NotFoundHandler())
	w.api.Verify = verifier(t, trust)
	got := ask(t, w.api, w.token(nil))
	assert.Equal(t, http.StatusInternalServerError, got.status)
	assert.Equal(t, "server_error", got.code(t))
}

func TestI08_NoTokenInWhatTheHostSays(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		verify func(token string) error
		want   int
		says   string
	}{
		{
			func(token string) error {
				return fmt.Errorf("%w: no %q", tokenexchange.InvalidRequest, token)
			}, 401, "[redacted]"},
		{func(token string) error { return errors.New("cannot ask about " + token) }, 500,
			"[redacted]"},
		{
			func(token string) error {
				return errors.New("GET /introspect?token=" + url.QueryEscape(token))
			}, 500, "[redacted]"},
		{func(token string) error {
			return errors.New("the signature is " + token[strings.LastIndex(token, ".")+1:])
		}, 500, "[redacted]"},
		{func(token string) error { panic("what is " + token) }, 500, ": value of type string"},
		{func(token string) error { panic(fmt.Errorf("what is %x", token)) }, 500,
			": value of type *"},
	} {
		var book ledger
		w.api.Audit = book.audit
		w.api.Verify = func(_ context.Context, c tokenexchange.Credential) (
			tokenexchange.Token, error) {
			return tokenexchange.Token{}, tt.verify(c.Token)
		}
		got := ask(t, w.api, "very.secret+token/x.very/secret+signature=")
		assert.Equal(t, tt.want, got.status)
		assert.NotContains(t, got.body+fmt.Sprint(got.header), "secret")
		require.Len(t, book.all(), 1)
		err := book.all()[0].Err
		for _, secret := range []string{"secret", fmt.Sprintf("%x", "secret")} {
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, book.all(), errors.Unwrap(err)),
				secret)
		}
		assert.ErrorContains(t, err, tt.says)
	}
}

func TestPanicsOfTheHandlerAreItsOwn(t *testing.T) {
	w := newWorld(t)
	h := w.api.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+w.token(nil))
	assert.PanicsWithValue(t, "mine", func() { h.ServeHTTP(httptest.NewRecorder(), r) })
}

// A reason names what does not fit, except for a token that Verify has put there.
func TestI08_ReasonsNameValuesButNoToken(t *testing.T) {
	w := newWorld(t)
	var book ledger
	w.api.Audit = book.audit
	verify := w.api.Verify
	for _, audience := range []string{"https://other.example", ""} {
		w.api.Verify = func(ctx context.Context, c tokenexchange.Credential) (
			tokenexchange.Token, error) {
			tok, err := verify(ctx, c)
			tok.Audience = []string{cmp.Or(audience, c.Token)}
			return tok, err
		}
		token := w.token(nil)
		require.Equal(t, http.StatusUnauthorized, ask(t, w.api, token).status)
		err := book.all()[len(book.all())-1].Err
		require.ErrorContains(t, err, `the audience is ["`+cmp.Or(audience, "[redacted]")+`"]`)
		require.NotContains(t, err.Error(), token)
	}
}

func TestD30_ABoundTokenNeedsItsKey(t *testing.T) {
	w := newWorld(t)
	jkt, x5t := map[string]any{"jkt": "K1"}, map[string]any{"x5t#S256": "C1"}
	both := map[string]any{"jkt": "K1", "x5t#S256": "C1"}
	for _, tt := range []struct {
		cnf     any
		scheme  string
		proved  *tokenexchange.Confirmation // nil: no Proved
		want    int
		because string
	}{
		{jkt, "Bearer", nil, 401, "nothing is proved"},
		{x5t, "Bearer", nil, 401, "nothing is proved"},
		{jkt, "DPoP", nil, 401, "no DPoP here"},
		{nil, "DPoP", nil, 401, "no DPoP here"},
		{nil, "Bearer", &tokenexchange.Confirmation{JKT: "K1", X5T: "C1"}, 200,
			"an unbound token needs no key"},
		{nil, "DPoP", &tokenexchange.Confirmation{JKT: "K1"}, 401,
			"an unbound token is no DPoP token"},
		{jkt, "DPoP", &tokenexchange.Confirmation{JKT: "K1"}, 200, "proved"},
		{jkt, "dpop", &tokenexchange.Confirmation{JKT: "K1"}, 200, "proved"},
		{jkt, "Bearer", &tokenexchange.Confirmation{JKT: "K1"}, 401, "a downgraded scheme"},
		{jkt, "DPoP", &tokenexchange.Confirmation{JKT: "K2"}, 401, "another key"},
		{jkt, "DPoP", &tokenexchange.Confirmation{}, 401, "no key"},
		{jkt, "DPoP", &tokenexchange.Confirmation{X5T: "K1"}, 401, "a key of the other kind"},
		{x5t, "Bearer", &tokenexchange.Confirmation{X5T: "C1"}, 200, "proved"},
		{x5t, "Bearer", &tokenexchange.Confirmation{X5T: "C2"}, 401, "another certificate"},
		{x5t, "DPoP", &tokenexchange.Confirmation{X5T: "C1"}, 401, "not bound by DPoP"},
		{both, "DPoP", &tokenexchange.Confirmation{JKT: "K1", X5T: "C1"}, 200, "proved"},
		{both, "DPoP", &tokenexchange.Confirmation{JKT: "K1"}, 401, "one of two"},
		{map[string]any{"kid": "1"}, "Bearer", &tokenexchange.Confirmation{}, 401,
			"a cnf that nobody can check"},
	} {
		api := w.api
		if tt.proved != nil {
			api.Proved = func(*http.Request) tokenexchange.Confirmation { return *tt.proved }
		}
		got := get(t, serve(t, api.Protect(who)),
			tt.scheme+" "+w.token(map[string]any{"cnf": tt.cnf}))
		assert.Equal(t, tt.want, got.status, "%s: %v", tt.because, tt)
		if tt.want == 401 && strings.EqualFold(tt.scheme, "DPoP") {
			assert.Equal(t, tt.proved != nil,
				strings.HasPrefix(got.header.Get("WWW-Authenticate"), "DPoP realm="), tt.because)
		}
	}
}

func TestD30_ProvedIsAskedOnlyAboutGoodBoundTokens(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.api.Proved = func(*http.Request) tokenexchange.Confirmation {
		asked++
		panic("replay memory is down")
	}
	ask(t, w.api, w.token(nil))
	ask(t, w.api,
		w.token(map[string]any{"cnf": map[string]any{"x5t#S256": "C1"}, "exp": now.Unix()}))
	assert.Zero(t, asked)
	got := ask(t, w.api, w.token(map[string]any{"cnf": map[string]any{"x5t#S256": "C1"}}))
	assert.Equal(t, 1, asked)
	assert.Equal(t, http.StatusInternalServerError, got.status)
}

func TestConcurrentRequestsKeepApart(t *testing.T) {
	w := newWorld(t)
	base := serve(t, w.api.Protect(who, "read"))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprintf("actor-%d", i)
			got := get(t, base,
				"Bearer "+w.issue(t, i%2 == 0, &tokenexchange.Actor{Issuer: issuer, Subject: name}))
			assert.Contains(t, got.body, "{https://as.example "+name+"}")
		})
	}
	wg.Wait()
}
