package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// These helpers make tokens and keys with the standard library only, so that what is under test has a second opinion.

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ecKey(c elliptic.Curve) func() *ecdsa.PrivateKey {
	return sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) })
}

// The keys of the tests, made once: RSA keys take their time.
var (
	p256  = ecKey(elliptic.P256())
	p256b = ecKey(elliptic.P256())
	p384  = ecKey(elliptic.P384())
	p521  = ecKey(elliptic.P521())
	ed    = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
	rsa2k = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

// scheme is an algorithm as the tests know it.
type scheme struct {
	alg  string
	hash crypto.Hash
	key  func() crypto.Signer
}

var schemes = []scheme{
	{"ES256", crypto.SHA256, func() crypto.Signer { return p256() }},
	{"ES384", crypto.SHA384, func() crypto.Signer { return p384() }},
	{"ES512", crypto.SHA512, func() crypto.Signer { return p521() }},
	{"EdDSA", 0, func() crypto.Signer { return ed() }},
	{"PS256", crypto.SHA256, func() crypto.Signer { return rsa2k() }},
	{"PS384", crypto.SHA384, func() crypto.Signer { return rsa2k() }},
	{"PS512", crypto.SHA512, func() crypto.Signer { return rsa2k() }},
	{"RS256", crypto.SHA256, func() crypto.Signer { return rsa2k() }},
	{"RS384", crypto.SHA384, func() crypto.Signer { return rsa2k() }},
	{"RS512", crypto.SHA512, func() crypto.Signer { return rsa2k() }},
}

var allAlgorithms = []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}

func schemeOf(alg string) scheme {
	for _, s := range schemes {
		if s.alg == alg {
			return s
		}
	}
	panic("no such algorithm")
}

// opaque is a key that is elsewhere: nothing but a crypto.Signer.
type opaque struct{ hidden crypto.Signer }

func (o opaque) Public() crypto.PublicKey { return o.hidden.Public() }

func (o opaque) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return o.hidden.Sign(r, digest, opts)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func seg(s string) string { return b64([]byte(s)) }

func unb64(s string) []byte { return must(base64.RawURLEncoding.DecodeString(s)) }

func digest(h crypto.Hash, data string) []byte {
	w := h.New()
	w.Write([]byte(data))
	return w.Sum(nil)
}

func isPSS(alg string) bool { return strings.HasPrefix(alg, "PS") }

var pss = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

// signature signs input with the algorithm and the hash of s, by any key.
func signature(s scheme, key crypto.Signer, input string) []byte {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return rawSignature(k, must(ecdsa.SignASN1(rand.Reader, k, digest(s.hash, input))))
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(input))
	case *rsa.PrivateKey:
		if isPSS(s.alg) {
			return must(rsa.SignPSS(rand.Reader, k, s.hash, digest(s.hash, input), pss))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, k, s.hash, digest(s.hash, input)))
	}
	panic("no such key")
}

// rawSignature turns DER into the form of a JWS.
func rawSignature(k *ecdsa.PrivateKey, der []byte) []byte {
	var rs struct{ R, S *big.Int }
	must(asn1.Unmarshal(der, &rs))
	size := (k.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	return out
}

// token signs with the algorithm alg whatever the header says.
func token(alg string, key crypto.Signer, header, payload string) string {
	input := seg(header) + "." + seg(payload)
	return input + "." + b64(signature(schemeOf(alg), key, input))
}

// jwk is a public key as a JWK, with more members or other ones.
func jwk(public crypto.PublicKey, more map[string]any) map[string]any {
	m := map[string]any{}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		point := must(k.Bytes())[1:]
		m["kty"], m["crv"] = "EC", k.Params().Name
		m["x"], m["y"] = b64(point[:len(point)/2]), b64(point[len(point)/2:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(k)
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	}
	for name, v := range more {
		m[name] = v
	}
	return m
}

func kid(id string) map[string]any { return map[string]any{"kid": id} }

func set(keys ...map[string]any) []byte {
	if keys == nil {
		keys = []map[string]any{}
	}
	return must(json.Marshal(map[string]any{"keys": keys}))
}

// verify is Parse and Verify; which of them refuses is not always the point.
func verify(k *jose.Keys, tok string) error {
	m, err := jose.Parse(tok)
	if err != nil {
		return err
	}
	return k.Verify(m)
}

func keysOf(t testing.TB, jwks []byte, algorithms ...string) *jose.Keys {
	t.Helper()
	k, err := jose.ParseKeys(jwks, algorithms)
	require.NoError(t, err)
	return k
}

func number(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
