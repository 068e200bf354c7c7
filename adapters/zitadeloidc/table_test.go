package zitadelexchange_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/exchangetable"
)

// TestTable runs the table that all servers share, with opaque access tokens and with JWTs.
func TestTable(t *testing.T) {
	for name, format := range map[string]op.AccessTokenType{"opaque": op.AccessTokenTypeBearer,
		"JWT": op.AccessTokenTypeJWT} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, format)
			exchangetable.Run(t, exchangetable.Server{
				Name: "zitadel/oidc", Issuer: issuer, URL: h.web.URL + "/oauth/token",
				HTTP: h.web.Client(),
				Mint: h.mint, Revoke: h.revoke, Read: h.read, Events: h.audit.Events,
			})
		})
	}
}

func (h *host) mint(t testing.TB, m exchangetable.Minted) string {
	l := login{subject: m.User, client: m.Client, audience: m.Audience, scope: m.Scope, acr: m.ACR,
		amr:     m.AMR,
		expires: time.Now().Add(time.Duration(m.Lifetime) * time.Second)}
	if l.subject == "" {
		l.subject = m.Client
	}
	if m.AuthTime != 0 {
		l.authTime = time.Unix(m.AuthTime, 0)
	}
	if m.MayAct != nil {
		parsed, err := tokenexchange.ParseToken([]byte(`{"may_act":` + string(m.MayAct) + `}`))
		require.NoError(t, err)
		l.mayAct = parsed.MayAct
	}
	if m.Kind == exchangetable.ID {
		l.audience, l.scope = []string{m.Client}, nil
		return h.idToken(t, l)
	}
	return h.logIn(t, l)
}

// revoke revokes a token (RFC 7009) as the client that it was issued to.
func (h *host) revoke(t testing.TB, token string) {
	client, _ := h.read(t, token)["client_id"].(string)
	require.Equal(t, http.StatusOK,
		h.post(t, "/revoke", client, url.Values{"token": {token}}).status)
}

// read introspects an access token. For a JWT it verifies the signature and returns its claims, if
// introspection says that the token is active.
func (h *host) read(t testing.TB, token string) map[string]any {
	if strings.Count(token, ".") == 2 {
		_, err := op.VerifyIDTokenHint[*oidc.TokenClaims](h.ctx(t), token,
			h.provider.IDTokenHintVerifier(h.ctx(t)))
		require.NoError(t, err)
		claims := claimsOf(t, token)
		if claims["azp"] != nil {
			return claims
		}
		if h.post(t, "/oauth/introspect", "webapp",
			url.Values{"token": {token}}).body["active"] != true {
			return nil
		}
		return claims
	}
	got := h.post(t, "/oauth/introspect", "webapp", url.Values{"token": {token}})
	require.True(t, json.Valid([]byte(got.text)))
	if got.body["active"] != true {
		return nil
	}
	return got.body
}
