package tokenexchangetest

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// Minter signs JWTs with a test key. It signs with the standard library alone, so that its tokens are a second opinion on
// the library's own. It has no clock, and what cannot be signed panics. It is safe for concurrent use.
type Minter struct {
	issuer, keyID, algorithm string
	key                      crypto.Signer
}

// NewMinter makes a Minter for an issuer, with a fresh ES256 key.
func NewMinter(issuer string) *Minter { return NewMinterWith(issuer, "ES256") }

// NewMinterWith is NewMinter for another algorithm: ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384 or
// RS512; any other panics. The key is fresh, save that RSA keys are made once per issuer and process, because they take
// their time. The kid is always fresh.
func NewMinterWith(issuer, algorithm string) *Minter {
	s, ok := schemes[algorithm]
	if !ok {
		panic(fmt.Sprintf("tokenexchangetest: algorithm %q is not supported", algorithm))
	}
	return &Minter{issuer: issuer, keyID: "test-" + rand.Text(), algorithm: algorithm, key: s.key(issuer)}
}

// KeyID is the kid of the key, for headers made by hand.
func (m *Minter) KeyID() string { return m.keyID }

// Claims are what a token is to say.
type Claims struct {
	Subject  string              // sub
	Client   string              // client_id of an access token, azp of an ID token; empty: none
	Audience []string            // aud, a string if it is one; nil is the client in an ID token, and no aud in an access token
	Scope    tokenexchange.Scope // of an access token; nil: no scope
	Now      time.Time           // iat, and auth_time of an ID token. The zero time panics
	Lifetime time.Duration       // from Now to exp; zero is an hour, below zero has expired
	Extra    map[string]any      // merged over the rest in the end; a nil value removes a claim
}

// AccessToken mints an RFC 9068 access token: typ at+jwt, with iss, sub, aud, exp, iat, jti, client_id and scope.
func (m *Minter) AccessToken(c Claims) string {
	claims := m.claims(c)
	claims["jti"] = rand.Text()
	if c.Client != "" {
		claims["client_id"] = c.Client
	}
	if c.Scope != nil {
		claims["scope"] = c.Scope.String()
	}
	return m.Sign("at+jwt", c.finish(claims))
}

// IDToken mints an OpenID Connect ID token: typ JWT, with iss, sub, aud, exp, iat, auth_time, nonce
// and azp.
func (m *Minter) IDToken(c Claims) string {
	if c.Audience == nil && c.Client != "" {
		c.Audience = []string{c.Client}
	}
	claims := m.claims(c)
	claims["auth_time"], claims["nonce"] = claims["iat"], "n-0S6_WzA2Mj"
	if c.Client != "" {
		claims["azp"] = c.Client
	}
	return m.Sign("JWT", c.finish(claims))
}

func (m *Minter) claims(c Claims) map[string]any {
	if c.Now.IsZero() {
		panic("tokenexchangetest: Claims without Now")
	}
	if c.Lifetime == 0 {
		c.Lifetime = time.Hour
	}
	claims := map[string]any{"iss": m.issuer, "sub": c.Subject, "iat": c.Now.Unix(), "exp": c.Now.Add(c.Lifetime).Unix()}
	switch len(c.Audience) {
	case 0:
	case 1:
		claims["aud"] = c.Audience[0]
	default:
		claims["aud"] = c.Audience
	}
	return claims
}

func (c Claims) finish(claims map[string]any) map[string]any {
	for name, value := range c.Extra {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// Sign mints a token that says exactly these claims, under a header of alg, kid and, unless it is empty, typ.
func (m *Minter) Sign(typ string, claims map[string]any) string {
	header := map[string]string{"alg": m.algorithm, "kid": m.keyID}
	if typ != "" {
		header["typ"] = typ
	}
	return m.SignRaw(string(mustJSON(header)), string(mustJSON(claims)))
}

// SignRaw signs any header and payload, which need not be JSON, for tokens that nobody should accept. The signature is
// always good: by this Minter's key with its algorithm, whatever the header says.
func (m *Minter) SignRaw(header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	return signed + "." + encode(schemes[m.algorithm].sign(m.key, []byte(signed)))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("tokenexchangetest: %v", err))
	}
	return b
}

// JWKS is the public key as a JWK set (RFC 7517).
func (m *Minter) JWKS() []byte {
	jwks, err := m.signer().JWKS()
	if err != nil {
		panic(fmt.Sprintf("tokenexchangetest: %v", err))
	}
	return jwks
}

func (m *Minter) signer() *jose.Signer {
	s, err := jose.NewSigner(m.key, m.keyID, m.algorithm)
	if err != nil {
		panic(fmt.Sprintf("tokenexchangetest: %v", err))
	}
	return s
}

// Trust is for the Minter as this server's own issuer: access and ID tokens, every one of them live, act and may_act
// believed. What a test wants otherwise it changes in the copy.
func (m *Minter) Trust() tokenexchange.Trust {
	return tokenexchange.Trust{
		Issuer: m.issuer, JWKS: m.JWKS(), Algorithms: []string{m.algorithm}, ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: "", tokenexchange.TypeIDToken: ""},
		Live:  func(context.Context, tokenexchange.Token) error { return nil },
	}
}

// ForeignTrust is for the Minter as another issuer: JWT access tokens and ID tokens for one of these audiences, of which
// there must be one, act and may_act not believed, no scope mapped.
func (m *Minter) ForeignTrust(audience ...string) tokenexchange.Trust {
	return tokenexchange.Trust{
		Issuer: m.issuer, JWKS: m.JWKS(), Algorithms: []string{m.algorithm}, Foreign: true, Audience: audience,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeJWT: "", tokenexchange.TypeIDToken: ""},
	}
}

// JWTIssuer is an issuer that signs with the Minter's key, so that what an exchange issues verifies under Trust.
func (m *Minter) JWTIssuer() *tokenexchange.JWTIssuer {
	issuer, err := tokenexchange.NewJWTIssuer(m.key, m.keyID, m.algorithm)
	if err != nil {
		panic(err) // the key was made for the algorithm
	}
	return issuer
}
