package world

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// Claims are the claims of a token, or changes to them: nil removes a claim.
type Claims = map[string]any

// AccessHeader is the JWS header of the server's own access tokens.
const AccessHeader = `{"alg":"ES256","kid":"own-1","typ":"at+jwt"}`

// Access mints an access token of Own about alice, which was issued to shop.
func (w *World) Access(changes ...Claims) string {
	return Sign(w, w.Key, AccessHeader, w.AccessClaims(changes...))
}

// AccessClaims returns the payload of Access.
func (w *World) AccessClaims(changes ...Claims) []byte {
	return Payload(Claims{
		"iss": Own, "sub": "alice", "aud": API, "client_id": "shop", "scope": "read write",
		"jti": "j-" + rand.Text(), "iat": Now.Unix(), "exp": Now.Add(time.Hour).Unix(),
	}, changes...)
}

// ID mints an ID token of Own about alice for shop.
func (w *World) ID(changes ...Claims) string {
	return Sign(w, w.Key, `{"alg":"ES256","kid":"own-1","typ":"JWT"}`, w.IDClaims(changes...))
}

// IDClaims returns the payload of ID.
func (w *World) IDClaims(changes ...Claims) []byte {
	return Payload(Claims{
		"iss": Own, "sub": "alice", "aud": "shop",
		"iat": Now.Unix(), "exp": Now.Add(time.Hour).Unix(), "nonce": "n-1",
		"auth_time": Now.Unix() - 900, "acr": "gold", "amr": []string{"pwd", "otp"},
		"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng", "sid": "s-1",
	}, changes...)
}

// ForeignToken mints an access token of IDP about ext-alice, whose audience is Own.
func (w *World) ForeignToken(changes ...Claims) string {
	return Sign(w, w.IDPKey, `{"alg":"ES256","kid":"idp-1","typ":"at+jwt"}`, Payload(Claims{
		"iss": IDP, "sub": "ext-alice", "aud": Own, "client_id": "theirs",
		"scope": "ext.read ext.admin", "jti": "f-1",
		"iat": Now.Unix(), "exp": Now.Add(time.Hour).Unix(),
	}, changes...))
}

// Record returns what a store keeps about an access token of Own.
func Record(sub, client string) tx.Token {
	return tx.Token{
		Type: tx.TypeAccessToken, ID: "r-" + sub, Issuer: Own, Subject: sub, ClientID: client,
		Audience: []string{API}, Scope: tx.Scope{"read"}, Issued: Now, Expires: Now.Add(time.Hour),
	}
}

// Payload returns claims with changes as JSON.
func Payload(claims Claims, changes ...Claims) []byte {
	claims = maps.Clone(claims)
	for _, change := range changes {
		maps.Copy(claims, change)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return data
}

// Sign returns a compact JWS of any header and payload. It uses the standard library alone, and the
// key decides the scheme of the signature, whatever the header states.
func Sign(t require.TestingT, key crypto.Signer, header string, payload []byte) string {
	signed := Base64(header) + "." + Base64(string(payload))
	digest, opts := sha256.Sum256([]byte(signed)), crypto.SignerOpts(crypto.SHA256)
	in := digest[:]
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, in)
		require.NoError(t, err)
		size := (key.Params().BitSize + 7) / 8
		both := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		return signed + "." + Base64(string(both))
	case ed25519.PrivateKey:
		in, opts = []byte(signed), crypto.Hash(0)
	case *rsa.PrivateKey:
		if strings.Contains(header, `"PS256"`) {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
	}
	signature, err := key.Sign(rand.Reader, in, opts)
	require.NoError(t, err)
	return signed + "." + Base64(string(signature))
}

// Base64 encodes a segment of a JWS.
func Base64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// ClaimsOf decodes the payload of a token. Numbers keep their text.
func ClaimsOf(t require.TestingT, token any) (c map[string]any) {
	parts := strings.Split(token.(string), ".")
	require.Len(t, parts, 3)
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	require.NoError(t, d.Decode(&c))
	return c
}

// NewKey makes a key for ES256.
func NewKey(t require.TestingT) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// NewIssuer returns an issuer that signs with a key and has the Types, Claims and ActAs of
// settings.
func NewIssuer(
	t require.TestingT, key crypto.Signer, keyID string, settings tx.JWTIssuer,
) *tx.JWTIssuer {
	j, err := tx.NewJWTIssuer(key, keyID, "")
	require.NoError(t, err)
	j.Types, j.Claims, j.ActAs = settings.Types, settings.Claims, settings.ActAs
	return j
}

// KeySet returns the JWK set of a key.
func KeySet(t require.TestingT, key crypto.Signer, keyID string) []byte {
	set, err := NewIssuer(t, key, keyID, tx.JWTIssuer{}).JWKS()
	require.NoError(t, err)
	return set
}

// Form returns the form of an exchange of a token, with more parameters in pairs.
func Form(subject string, subjectType tx.TokenType, more ...string) url.Values {
	f := url.Values{
		"grant_type":    {tx.GrantType},
		"subject_token": {subject}, "subject_token_type": {string(subjectType)},
	}
	for i := 0; i < len(more); i += 2 {
		f.Add(more[i], more[i+1])
	}
	return f
}

// Present is Form for an access token.
func Present(token string, more ...string) url.Values {
	return Form(token, tx.TypeAccessToken, more...)
}

// WithActor returns the form with an actor token.
func WithActor(f url.Values, actor string, actorType tx.TokenType) url.Values {
	return With(f, "actor_token", actor, "actor_token_type", string(actorType))
}

// With returns the form with parameters set, in pairs.
func With(f url.Values, pairs ...string) url.Values {
	f = maps.Clone(f)
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

// AccessForm presents a token that Access mints.
func (w *World) AccessForm(changes Claims, more ...string) url.Values {
	return Present(w.Access(changes), more...)
}

// ByAdmin returns the form with an actor token of admin, which was issued to shop.
func (w *World) ByAdmin(f url.Values) url.Values {
	return WithActor(f, w.Access(Claims{"sub": "admin"}), tx.TypeAccessToken)
}

// Delegation is AccessForm with the actor token of admin.
func (w *World) Delegation(changes Claims, more ...string) url.Values {
	return w.ByAdmin(w.AccessForm(changes, more...))
}
