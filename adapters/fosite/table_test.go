package fositeexchange_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite/token/jwt"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/exchangetable"
)

// TestTable runs the table that all servers share, with opaque access tokens and with JWTs.
func TestTable(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		exchangetable.Run(t,
			exchangetable.Server{Name: "fosite", Format: format, Issuer: issuer,
				URL: h.web.URL + "/token", HTTP: h.web.Client(),
				Mint: h.mint, Revoke: h.revoke, Read: h.read, Events: h.audit.Events})
	})
}

func (h *host) mint(t testing.TB, m exchangetable.Minted) string {
	lifetime := time.Duration(m.Lifetime) * time.Second
	if m.Kind == exchangetable.ID {
		c := jwt.IDTokenClaims{Subject: m.User, ExpiresAt: time.Now().Add(lifetime),
			AuthenticationContextClassReference: m.ACR,
			AuthenticationMethodsReferences:     m.AMR}
		if m.AuthTime != 0 {
			c.AuthTime = time.Unix(m.AuthTime, 0)
		}
		return h.idToken(t, m.Client, c)
	}
	l := login{user: m.User, client: m.Client, scope: m.Scope, audience: m.Audience,
		lifetime: lifetime, claims: map[string]any{}}
	if m.MayAct != nil {
		var mayAct any
		require.NoError(t, json.Unmarshal(m.MayAct, &mayAct))
		l.claims["may_act"] = mayAct
	}
	return h.logIn(t, l)
}

// read introspects an access token. For a JWT it returns the claims of the JWT, and checks that
// introspection agrees.
func (h *host) read(t testing.TB, token string) map[string]any {
	if strings.Count(token, ".") != 2 {
		return h.active(t, token)
	}
	c := claims(t, h.payload(t, token))
	if c["scp"] == nil { // an ID token, which introspection does not know
		return c
	}
	info := h.active(t, token)
	if info == nil {
		return nil
	}
	for _, name := range []string{"iss", "sub", "client_id", "act", "exp"} {
		if info[name] != nil && c[name] != nil {
			require.Equal(t, info[name], c[name], "%s of introspection and JWT", name)
		}
	}
	return c
}
