package tokenexchangetest_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

var login = tokenexchangetest.Claims{Subject: "alice", Client: "web", Audience: []string{orders},
	Scope: tx.Scope{"read", "write"}, Now: noon}

func verifier(t *testing.T, trust ...tx.Trust) *tx.Verifier {
	v, err := tx.NewVerifier(trust...)
	require.NoError(t, err)
	return v
}

func access(token string) tx.Credential {
	return tx.Credential{Token: token, Type: tx.TypeAccessToken, Issuer: as,
		Client: tx.Client{ID: "web"}, Now: noon}
}

func TestMinterSignsWithEveryAlgorithm(t *testing.T) {
	for _, algorithm := range []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384",
		"PS512", "RS256", "RS384", "RS512"} {
		m := tokenexchangetest.NewMinterWith(as, algorithm)
		tok, err := verifier(t, m.Trust()).Verify(ctx, access(m.AccessToken(login)))
		require.NoError(t, err, algorithm)
		assert.Equal(t, "alice", tok.Subject, algorithm)
	}
	assert.Panics(t, func() { tokenexchangetest.NewMinterWith(as, "HS256") })
	assert.Panics(t, func() { tokenexchangetest.NewMinterWith(as, "none") })
}

func TestMinterAccessToken(t *testing.T) {
	m := tokenexchangetest.NewMinter(as)
	v := verifier(t, m.Trust())
	tok, err := v.Verify(ctx, access(m.AccessToken(login)))
	require.NoError(t, err)
	assert.Equal(t, tx.TypeAccessToken, tok.Type)
	assert.Equal(t, as, tok.Issuer)
	assert.Equal(t, "web", tok.ClientID)
	assert.Equal(t, []string{orders}, tok.Audience)
	assert.Equal(t, tx.Scope{"read", "write"}, tok.Scope)
	assert.Equal(t, noon, tok.Issued)
	assert.Equal(t, noon.Add(time.Hour), tok.Expires, "the default lifetime is one hour")
	assert.NotEmpty(t, tok.ID)

	assert.JSONEq(t, `{"alg":"ES256","kid":"`+m.KeyID()+`","typ":"at+jwt"}`,
		segment(t, m.AccessToken(login), 0))
	assert.Contains(t, payloadOf(t, m.AccessToken(login)), `"aud":"`+orders+`"`,
		"one audience is a string")

	expired := access(m.AccessToken(login))
	expired.Now = noon.Add(time.Hour)
	_, err = v.Verify(ctx, expired)
	assert.ErrorContains(t, err, "token_expired")

	more := login
	more.Lifetime = time.Minute
	more.Audience = []string{orders, billing}
	more.Extra = map[string]any{"act": map[string]any{"sub": "orders-api"}, "jti": "t1",
		"scope": nil}
	tok, err = v.Verify(ctx, access(m.AccessToken(more)))
	require.NoError(t, err)
	assert.Equal(t, "orders-api", tok.Actor.Subject, "act of an own issuer is accepted")
	assert.Equal(t, "t1", tok.ID)
	assert.Nil(t, tok.Scope, "a nil value removes a claim")
	assert.Equal(t, []string{orders, billing}, tok.Audience)
	assert.Equal(t, noon.Add(time.Minute), tok.Expires)

	assert.Panics(t, func() { m.AccessToken(tokenexchangetest.Claims{Subject: "alice"}) },
		"without Now")
	assert.Panics(t, func() { m.Sign("JWT", map[string]any{"x": func() {}}) })
}

func TestMinterIDToken(t *testing.T) {
	m := tokenexchangetest.NewMinter(as)
	c := access(m.IDToken(tokenexchangetest.Claims{Subject: "alice", Client: "web", Now: noon}))
	_, err := verifier(t, m.Trust()).Verify(ctx, c)
	assert.ErrorContains(t, err, "R07", "an ID token is not an access token")
	c.Type = tx.TypeIDToken
	tok, err := verifier(t, m.Trust()).Verify(ctx, c)
	require.NoError(t, err)
	assert.Equal(t, []string{"web"}, tok.Audience)
	assert.Equal(t, "web", tok.ClientID)
	assert.Equal(t, noon, tok.AuthTime)
}

func TestMinterAsForeignIssuer(t *testing.T) {
	m := tokenexchangetest.NewMinter("https://idp.example")
	v := verifier(t, m.ForeignTrust(as))
	foreign := login
	foreign.Audience = []string{as}
	c := access(m.AccessToken(foreign))
	c.Type = tx.TypeJWT
	tok, err := v.Verify(ctx, c)
	require.NoError(t, err)
	assert.Equal(t, tx.TypeJWT, tok.Type)
	assert.Empty(t, tok.Scope, "D06: no scope is mapped")

	foreign.Extra = map[string]any{"act": map[string]any{"sub": "orders-api"}}
	c.Token = m.AccessToken(foreign)
	_, err = v.Verify(ctx, c)
	assert.ErrorContains(t, err, "act_not_believed")

	_, err = tx.NewVerifier(m.ForeignTrust())
	assert.Error(t, err, "an audience is required")
}

func TestMinterSignsHostileTokens(t *testing.T) {
	m, other := tokenexchangetest.NewMinter(as), tokenexchangetest.NewMinter(as)
	v := verifier(t, m.Trust())
	_, err := v.Verify(ctx, access(other.AccessToken(login)))
	assert.ErrorContains(t, err, "signature_not_valid", "another key of the same issuer")

	payload := payloadOf(t, m.AccessToken(login))
	kid := `,"kid":"` + m.KeyID() + `","typ":"at+jwt"}`
	for _, tt := range []struct{ name, header, payload, want string }{
		{"valid", `{"alg":"ES256"` + kid, payload, ""},
		{"none", `{"alg":"none"` + kid, payload, "signature_not_valid"},
		{"another algorithm", `{"alg":"RS256"` + kid, payload, "signature_not_valid"},
		{"crit", `{"alg":"ES256","crit":["exp"]` + kid, payload, "not_a_jwt"},
		{"alg twice", `{"alg":"ES256","alg":"ES256"` + kid, payload, "not_a_jwt"},
		{"a claim twice", `{"alg":"ES256"` + kid, `{"sub":"alice","sub":"bob"}`,
			"claims_malformed"},
		{"not JSON", `{"alg":"ES256"` + kid, "\xff", "claims_malformed"},
	} {
		_, err := v.Verify(ctx, access(m.SignRaw(tt.header, tt.payload)))
		if tt.want == "" {
			assert.NoError(t, err, tt.name)
		} else {
			assert.ErrorContains(t, err, tt.want, tt.name)
		}
	}
	assert.Equal(t, `{"alg":"none"} and more`, segment(t, m.SignRaw(`{"alg":"none"} and more`, "p"),
		0), "the header is used as it is")
}

// Two issuers must not share an RSA key: a token of one issuer would verify as a token of the
// other.
func TestMinterRSAKeys(t *testing.T) {
	one, again := tokenexchangetest.NewMinterWith(as, "RS256"), tokenexchangetest.NewMinterWith(as,
		"PS256")
	other := tokenexchangetest.NewMinterWith("https://idp.example", "RS256")
	modulus := func(m *tokenexchangetest.Minter) string {
		var set struct{ Keys []struct{ N string } }
		require.NoError(t, json.Unmarshal(m.JWKS(), &set))
		require.Len(t, set.Keys, 1)
		return set.Keys[0].N
	}
	assert.Equal(t, modulus(one), modulus(again), "one key for each issuer")
	assert.NotEqual(t, modulus(one), modulus(other))
	assert.NotEqual(t, one.KeyID(), again.KeyID())
}

func TestMinterJWTIssuer(t *testing.T) {
	m := tokenexchangetest.NewMinterWith(as, "EdDSA")
	made, err := m.JWTIssuer().IssueToken(ctx, decided())
	require.NoError(t, err)
	tok, err := verifier(t, m.Trust()).Verify(ctx, access(made.Value))
	require.NoError(t, err)
	assert.Equal(t, "orders-api", tok.Actor.Subject)
}

func segment(t *testing.T, token string, i int) string {
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	require.NoError(t, err)
	return string(b)
}

func payloadOf(t *testing.T, token string) string { return segment(t, token, 1) }
