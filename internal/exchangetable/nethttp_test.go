package exchangetable_test

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/exchangetable"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const issuer = "https://as.example"

// TestTable_NetHTTP runs the table against Exchanger.Handler with the tokens of package tokenstore.
func TestTable_NetHTTP(t *testing.T) {
	t.Run("opaque", func(t *testing.T) { exchangetable.Run(t, newHost(t, nil)) })
	t.Run("JWT", func(t *testing.T) {
		exchangetable.Run(t, newHost(t, map[tokenexchange.TokenType]string{}))
	})
}

// host is an authorization server on net/http.
type host struct {
	clients map[string]exchangetable.Client
	minter  *tokenexchangetest.Minter
	tokens  *tokenstore.Tokens
	opaque  bool // access tokens are opaque
}

// newHost starts a host. The argument becomes Tokens.Opaque.
func newHost(t *testing.T, opaque map[tokenexchange.TokenType]string) exchangetable.Server {
	minter := tokenexchangetest.NewMinter(issuer)
	h := &host{clients: map[string]exchangetable.Client{}, minter: minter, opaque: opaque == nil,
		tokens: &tokenstore.Tokens{Store: tokenstore.NewMemory(), JWT: minter.JWTIssuer(),
			Opaque: opaque}}
	for _, c := range exchangetable.Clients() {
		h.clients[c.ID] = c
	}
	trust := minter.Trust()
	trust.Live = h.tokens.Live
	verifier, err := tokenexchange.NewVerifier(trust)
	require.NoError(t, err)
	h.tokens.Verify = verifier.Verify

	x, audit := exchangetable.Exchanger(issuer)
	x.TokenIssuer = h.tokens
	x.Verify = tokenexchange.Verifiers{tokenexchange.TypeAccessToken: h.tokens.VerifyToken,
		tokenexchange.TypeIDToken: h.tokens.VerifyToken,
		tokenexchange.TypeJWT:     h.tokens.VerifyToken}
	server := httptest.NewServer(x.Handler(h.authenticate))
	t.Cleanup(server.Close)
	return exchangetable.Server{Name: "net/http", Issuer: issuer, URL: server.URL,
		HTTP: server.Client(),
		Mint: h.mint, Revoke: h.revoke, Read: h.read, Events: audit.Events}
}

// authenticate supports client_secret_basic, and client_id for a public client (RFC 6749 §2.3.1,
// §3.2.1).
func (h *host) authenticate(r *http.Request) (tokenexchange.Client, error) {
	id, secret := r.PostForm.Get("client_id"), ""
	if user, password, basic := r.BasicAuth(); basic {
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	c, known := h.clients[id]
	switch {
	case !known || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) == 0:
		return tokenexchange.Client{}, fmt.Errorf(
			"%w: the client is unknown or its secret is wrong", tokenexchange.InvalidClient)
	case c.NoGrant:
		return tokenexchange.Client{}, fmt.Errorf("%w: the client may not use this grant",
			tokenexchange.UnauthorizedClient)
	}
	return c.Client(), nil
}

// mint issues and records the token of a login. If the token has to be expired, the login was an
// hour ago.
func (h *host) mint(t testing.TB, m exchangetable.Minted) string {
	now := time.Now().Truncate(time.Second)
	expires := now.Add(time.Duration(m.Lifetime) * time.Second)
	if m.Lifetime < 0 {
		now = now.Add(-time.Hour)
	}
	tokens := *h.tokens
	tokens.Now = func() time.Time { return now }
	tok := tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser,
		ID: rand.Text(), Issuer: issuer, Subject: m.User, ClientID: m.Client, Audience: m.Audience,
		Scope: m.Scope, Issued: now, Expires: expires}
	if m.User == "" {
		tok.Subject, tok.Kind = m.Client, tokenexchange.KindClient
	}
	extra := map[string]any{"jti": tok.ID}
	if m.MayAct != nil {
		parsed, err := tokenexchange.ParseToken([]byte(`{"may_act":` + string(m.MayAct) + `}`))
		require.NoError(t, err)
		tok.MayAct, extra["may_act"] = parsed.MayAct, m.MayAct
	}
	claims := tokenexchangetest.Claims{Subject: tok.Subject, Client: m.Client, Audience: m.Audience,
		Scope: m.Scope, Now: now,
		Lifetime: expires.Sub(now), Extra: extra}
	switch {
	case m.Kind == exchangetable.ID:
		tok.Type, tok.Audience = tokenexchange.TypeIDToken, []string{m.Client}
		if m.ACR != "" {
			extra["auth_time"], extra["acr"], extra["amr"] = m.AuthTime, m.ACR, m.AMR
		}
		require.NoError(t, tokens.Record(t.Context(), tok))
		return h.minter.IDToken(claims)
	case h.opaque:
		issued, err := tokens.Mint(t.Context(), tok)
		require.NoError(t, err)
		return issued.Value
	}
	require.NoError(t, tokens.Record(t.Context(), tok))
	return h.minter.AccessToken(claims)
}

// revoke revokes a token by the endpoint of RFC 7009, as the client that the token was issued to.
func (h *host) revoke(t testing.TB, token string) {
	claims := h.read(t, token)
	client, _ := claims["client_id"].(string)
	rec := h.post(h.tokens.RevocationHandler(issuer, h.authenticateAs(client)), token)
	require.Equal(t, http.StatusOK, rec.Code)
}

// read introspects an access token as the client that it was issued to. It verifies an ID token and
// returns its claims.
func (h *host) read(t testing.TB, token string) map[string]any {
	tok, err := h.tokens.VerifyToken(t.Context(),
		tokenexchange.Credential{Token: token, Type: h.typeOf(token), Issuer: issuer,
			Now: time.Now()})
	if err != nil {
		return nil
	}
	var claims map[string]any
	if tok.Type == tokenexchange.TypeIDToken {
		require.NoError(t, json.Unmarshal(tok.Claims, &claims))
		return claims
	}
	rec := h.post(h.tokens.IntrospectionHandler(issuer, h.authenticateAs(tok.ClientID)), token)
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &claims))
	if claims["active"] != true {
		return nil
	}
	return claims
}

func (h *host) typeOf(token string) tokenexchange.TokenType {
	if strings.Contains(token, ".") {
		return tokenexchange.TypeJWT
	}
	return tokenexchange.TypeAccessToken
}

func (h *host) authenticateAs(id string) func(*http.Request) (tokenexchange.Client, error) {
	return func(*http.Request) (tokenexchange.Client, error) {
		return tokenexchange.Client{ID: id}, nil
	}
}

func (h *host) post(endpoint http.Handler, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/",
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	endpoint.ServeHTTP(rec, r)
	return rec
}
