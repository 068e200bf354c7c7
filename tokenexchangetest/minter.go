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

// Minter signs JWTs with a test key. It uses only the standard library, so that its tokens test the
// JOSE code of package tokenexchange independently. It has no clock, and panics if it cannot sign.
// It is safe for concurrent use.
type Minter struct {
	issuer, keyID, algorithm string
	key                      crypto.Signer
}

// NewMinter returns a Minter for an issuer, with a new ES256 key.
func NewMinter(issuer string) *Minter { return NewMinterWith(issuer, "ES256") }

// NewMinterWith is like NewMinter for another algorithm: ES256, ES384, ES512, EdDSA, PS256, PS384,
// PS512, RS256, RS384 or RS512. It panics for any other. Key and kid are new for each Minter, but
// the Minters of one issuer share an RSA key, which takes long to generate.
func NewMinterWith(issuer, algorithm string) *Minter {
	s, ok := schemes[algorithm]
	if !ok {
		panic(fmt.Sprintf("tokenexchangetest: algorithm %q is not supported", algorithm))
	}
	return &Minter{
		issuer: issuer, keyID: "test-" + rand.Text(), algorithm: algorithm, key: s.key(issuer),
	}
}

// KeyID returns the kid of the key, for headers that a test writes itself.
func (m *Minter) KeyID() string { return m.keyID }

// Claims are the claims of a token to mint.
type Claims struct {
	Subject string // sub
	Client  string // client_id of an access token, azp of an ID token; empty: no such claim

	// Audience is aud: a string for one element, else an array. Nil means that an access token has
	// no aud, and that the aud of an ID token is the client.
	Audience []string

	Scope    tokenexchange.Scope // scope of an access token; nil: no such claim
	Now      time.Time           // iat, and auth_time of an ID token; must not be zero
	Lifetime time.Duration       // time from iat to exp; zero is one hour; may be negative
	Extra    map[string]any      // overrides the other claims; a nil value removes a claim
}

// AccessToken mints an access token (RFC 9068): typ is at+jwt, and the claims are iss, sub, aud,
// exp, iat, jti, client_id and scope.
func (m *Minter) AccessToken(c Claims) string {
	claims := m.claims(c)
	claims["jti"] = rand.Text()
	if c.Client != "" {
		claims["client_id"] = c.Client
	}
	if c.Scope != nil {
		claims["scope"] = c.Scope.String()
	}
	return m.Sign("at+jwt", c.withExtra(claims))
}

// IDToken mints an OpenID Connect ID token: typ is JWT, and the claims are iss, sub, aud, exp, iat,
// auth_time, nonce and azp.
func (m *Minter) IDToken(c Claims) string {
	if c.Audience == nil && c.Client != "" {
		c.Audience = []string{c.Client}
	}
	claims := m.claims(c)
	claims["auth_time"], claims["nonce"] = claims["iat"], "n-0S6_WzA2Mj"
	if c.Client != "" {
		claims["azp"] = c.Client
	}
	return m.Sign("JWT", c.withExtra(claims))
}

func (m *Minter) claims(c Claims) map[string]any {
	if c.Now.IsZero() {
		panic("tokenexchangetest: Claims.Now is zero")
	}
	if c.Lifetime == 0 {
		c.Lifetime = time.Hour
	}
	claims := map[string]any{
		"iss": m.issuer, "sub": c.Subject,
		"iat": c.Now.Unix(), "exp": c.Now.Add(c.Lifetime).Unix(),
	}
	switch len(c.Audience) {
	case 0:
	case 1:
		claims["aud"] = c.Audience[0]
	default:
		claims["aud"] = c.Audience
	}
	return claims
}

// withExtra applies Extra to the claims and returns them.
func (c Claims) withExtra(claims map[string]any) map[string]any {
	for name, value := range c.Extra {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// Sign mints a token with exactly these claims. Its header has alg, kid and, unless it is empty,
// typ.
func (m *Minter) Sign(typ string, claims map[string]any) string {
	header := map[string]string{"alg": m.algorithm, "kid": m.keyID}
	if typ != "" {
		header["typ"] = typ
	}
	return m.SignRaw(string(mustJSON(header)), string(mustJSON(claims)))
}

// SignRaw signs any header and payload, which need not be JSON. It is for tokens that a verifier
// must refuse. The signature is always valid: it is made with the key and the algorithm of the
// Minter, whatever the header states.
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

// JWKS returns the public key as a JWK set (RFC 7517).
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

// Trust returns the Trust for a Minter that is this server's own issuer: for access tokens and ID
// tokens, none of them revoked, with act and may_act accepted. A test may change any field of the
// result.
func (m *Minter) Trust() tokenexchange.Trust {
	return tokenexchange.Trust{
		Issuer: m.issuer, JWKS: m.JWKS(), Algorithms: []string{m.algorithm}, ActClaims: true,
		Types: map[tokenexchange.TokenType]string{
			tokenexchange.TypeAccessToken: "", tokenexchange.TypeIDToken: "",
		},
		Live: func(context.Context, tokenexchange.Token) error { return nil },
	}
}

// ForeignTrust returns the Trust for a Minter that is another issuer: for JWTs and ID tokens with
// one of the audiences, of which there must be at least one. Tokens with act or may_act are
// refused, and no scope of the other issuer has a meaning.
func (m *Minter) ForeignTrust(audience ...string) tokenexchange.Trust {
	return tokenexchange.Trust{
		Issuer: m.issuer, JWKS: m.JWKS(), Algorithms: []string{m.algorithm},
		Foreign: true, Audience: audience,
		Types: map[tokenexchange.TokenType]string{
			tokenexchange.TypeJWT: "", tokenexchange.TypeIDToken: "",
		},
	}
}

// JWTIssuer returns an issuer that signs with the key of the Minter, so that a Verifier with Trust
// accepts the tokens that an exchange issues.
func (m *Minter) JWTIssuer() *tokenexchange.JWTIssuer {
	issuer, err := tokenexchange.NewJWTIssuer(m.key, m.keyID, m.algorithm)
	if err != nil {
		panic(err) // the key was made for the algorithm
	}
	return issuer
}
