package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// verifies checks a signature with the standard library.
func verifies(s scheme, input string, sig []byte) bool {
	switch pub := s.key().Public().(type) {
	case *ecdsa.PublicKey:
		half := len(sig) / 2
		return ecdsa.Verify(pub, digest(s.hash, input), number(sig[:half]), number(sig[half:]))
	case ed25519.PublicKey:
		return ed25519.Verify(pub, []byte(input), sig)
	case *rsa.PublicKey:
		if isPSS(s.alg) {
			return rsa.VerifyPSS(pub, s.hash, digest(s.hash, input), sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(pub, s.hash, digest(s.hash, input), sig) == nil
	}
	return false
}

func TestSign(t *testing.T) {
	for _, s := range schemes {
		for name, key := range map[string]crypto.Signer{"raw": s.key(), "opaque": opaque{s.key()}, "pointer": &opaque{s.key()}} {
			t.Run(s.alg+" "+name, func(t *testing.T) {
				signer, err := jose.NewSigner(key, `k"1 <é>`, s.alg)
				require.NoError(t, err)
				assert.Equal(t, s.alg, signer.Algorithm())
				tok, err := signer.Sign("at+jwt", []byte(`{"sub":"x"}`))
				require.NoError(t, err)

				parts := strings.Split(tok, ".")
				require.Len(t, parts, 3)
				assert.JSONEq(t, `{"alg":"`+s.alg+`","kid":"k\"1 <é>","typ":"at+jwt"}`, string(unb64(parts[0])))
				assert.Equal(t, `{"sub":"x"}`, string(unb64(parts[1])))
				assert.True(t, verifies(s, parts[0]+"."+parts[1], unb64(parts[2])), "the standard library agrees")

				// What is published verifies what was signed, and nothing of the private key is published.
				jwks, err := signer.JWKS()
				require.NoError(t, err)
				assert.NoError(t, verify(keysOf(t, jwks, s.alg), tok))
				var published struct{ Keys []map[string]any }
				require.NoError(t, json.Unmarshal(jwks, &published))
				require.Len(t, published.Keys, 1)
				want := jwk(s.key().Public(), map[string]any{"kid": `k"1 <é>`, "use": "sig", "alg": s.alg})
				assert.Equal(t, want, published.Keys[0])
			})
		}
	}
}

func TestSignHeader(t *testing.T) {
	signer, err := jose.NewSigner(p256(), "", "")
	require.NoError(t, err)
	header := func(typ string) string {
		tok, err := signer.Sign(typ, []byte("x"))
		require.NoError(t, err)
		return string(unb64(strings.Split(tok, ".")[0]))
	}
	assert.Equal(t, `{"alg":"ES256","typ":"JWT"}`, header("JWT"))
	assert.Equal(t, `{"alg":"ES256"}`, header(""))
	assert.Equal(t, `{"alg":"ES256","typ":"a\"b"}`, header(`a"b`))
	jwks, err := signer.JWKS()
	require.NoError(t, err)
	assert.NotContains(t, string(jwks), "kid")
}

func TestNewSignerDefaultAlgorithm(t *testing.T) {
	for _, c := range []struct {
		key  crypto.Signer
		want string
	}{{p256(), "ES256"}, {p384(), "ES384"}, {p521(), "ES512"}, {ed(), "EdDSA"}, {rsa2k(), "PS256"}, {opaque{rsa2k()}, "PS256"}} {
		signer, err := jose.NewSigner(c.key, "", "")
		require.NoError(t, err)
		assert.Equal(t, c.want, signer.Algorithm())
	}
}

// fixed is a key with a public key and a signature of somebody else's choosing.
type fixed struct {
	public    crypto.PublicKey
	signature []byte
	err       error
}

func (f fixed) Public() crypto.PublicKey { return f.public }

func (f fixed) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return f.signature, f.err }

func TestNewSignerRefuses(t *testing.T) {
	for _, s := range schemes {
		for _, alg := range append([]string{"none", "HS256", "es256", "ES256K"}, allAlgorithms...) {
			_, isRSA := s.key().(*rsa.PrivateKey)
			if alg == s.alg || isRSA && (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) {
				continue
			}
			_, err := jose.NewSigner(s.key(), "", alg)
			assert.Error(t, err, "%s by the key for %s", alg, s.alg)
			_, err = jose.NewSigner(opaque{s.key()}, "", alg)
			assert.Error(t, err, "%s by the key for %s", alg, s.alg)
		}
	}
	for name, public := range map[string]crypto.PublicKey{
		"nil": nil, "off the curve": offCurveKey(), "bytes": []byte("x"), "ecdsa by value": *p256().Public().(*ecdsa.PublicKey),
		"nil ecdsa": (*ecdsa.PublicKey)(nil), "nil rsa": (*rsa.PublicKey)(nil), "nil ed25519": ed25519.PublicKey(nil),
		"zero ecdsa": &ecdsa.PublicKey{}, "zero rsa": &rsa.PublicKey{},
		"P-224": must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public(), "short Ed25519": ed25519.PublicKey("x"),
		"RSA 1024": modulus(1024), "RSA 2047": modulus(2047), "RSA 8193": modulus(8193),
	} {
		_, err := jose.NewSigner(fixed{public: public}, "", "")
		assert.Error(t, err, name)
	}
	_, err := jose.NewSigner(nil, "", "")
	assert.Error(t, err)
	for _, id := range []string{"\xff", "a\x00b"} {
		_, err = jose.NewSigner(p256(), id, "")
		assert.Error(t, err)
	}
}

// offCurveKey has to be put together by hand: nothing in crypto would make it.
func offCurveKey() *ecdsa.PublicKey {
	x := p256().PublicKey.X
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: x}
}

// asked counts how often a key that is elsewhere is asked for its public half.
type asked struct {
	opaque
	times *int
}

func (a asked) Public() crypto.PublicKey { *a.times++; return a.opaque.Public() }

func TestSignAsksOnceForPublicKey(t *testing.T) {
	for _, s := range schemes {
		times := 0
		signer, err := jose.NewSigner(asked{opaque{s.key()}, &times}, "", s.alg)
		require.NoError(t, err)
		_, err = signer.Sign("JWT", []byte("x"))
		require.NoError(t, err)
		_, err = signer.JWKS()
		require.NoError(t, err)
		assert.Equal(t, 1, times, s.alg)
	}
}

// TestSignBadKey is about keys that are elsewhere, and fail or answer with something else.
func TestSignBadKey(t *testing.T) {
	cause := errors.New("the line is dead")
	signer, err := jose.NewSigner(fixed{public: p256().Public(), err: cause}, "", "")
	require.NoError(t, err)
	_, err = signer.Sign("JWT", []byte("x"))
	assert.ErrorIs(t, err, cause)

	sum := sha256.Sum256([]byte("x"))
	p384DER := must(ecdsa.SignASN1(rand.Reader, p384(), sum[:]))
	for name, f := range map[string]fixed{
		"P-384 for P-256":   {public: p256().Public(), signature: p384DER},
		"no DER":            {public: p256().Public(), signature: make([]byte, 64)},
		"nothing for ECDSA": {public: p256().Public()},
		"short Ed25519":     {public: ed().Public(), signature: make([]byte, 63)},
		"long Ed25519":      {public: ed().Public(), signature: make([]byte, 65)},
		"short RSA":         {public: rsa2k().Public(), signature: make([]byte, 255)},
		"nothing for RSA":   {public: rsa2k().Public()},
	} {
		signer, err := jose.NewSigner(f, "", "")
		require.NoError(t, err, name)
		_, err = signer.Sign("JWT", []byte("x"))
		assert.Error(t, err, name)
	}
}

func TestHalfHash(t *testing.T) {
	half := map[string]func(string) []byte{
		"256": func(v string) []byte { s := sha256.Sum256([]byte(v)); return s[:16] },
		"384": func(v string) []byte { s := sha512.Sum384([]byte(v)); return s[:24] },
		"512": func(v string) []byte { s := sha512.Sum512([]byte(v)); return s[:32] },
		"DSA": func(v string) []byte { s := sha512.Sum512([]byte(v)); return s[:32] },
	}
	for _, s := range schemes {
		signer, err := jose.NewSigner(s.key(), "", s.alg)
		require.NoError(t, err)
		assert.Equal(t, b64(half[s.alg[2:]]("a token")), signer.HalfHash("a token"), s.alg)
	}
	// OpenID Connect Core 1.0, appendix A.3: RS256.
	signer, err := jose.NewSigner(rsa2k(), "", "RS256")
	require.NoError(t, err)
	assert.Equal(t, "77QmUPtjPfzWtF2AnpK9RQ", signer.HalfHash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"))
}

// salted is an RSA key that salts as it likes, whatever it is told.
type salted struct {
	*rsa.PrivateKey
	length int
}

func (s salted) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	o := &rsa.PSSOptions{SaltLength: s.length}
	return rsa.SignPSS(r, s.PrivateKey, opts.HashFunc(), digest, o)
}

// TestSignSalts: no token leaves that RFC 7518 §3.5 has others refuse.
func TestSignSalts(t *testing.T) {
	for _, alg := range []string{"PS256", "PS384", "PS512"} {
		size := schemeOf(alg).hash.Size()
		for _, length := range []int{rsa.PSSSaltLengthAuto, 1, 20, size - 1, size + 1} {
			signer, err := jose.NewSigner(salted{rsa2k(), length}, "", alg)
			require.NoError(t, err)
			_, err = signer.Sign("JWT", []byte("x"))
			require.ErrorContains(t, err, "salt", "%s: %d", alg, length)
		}
		for _, length := range []int{rsa.PSSSaltLengthEqualsHash, size} {
			signer, err := jose.NewSigner(salted{rsa2k(), length}, "", alg)
			require.NoError(t, err)
			tok, err := signer.Sign("JWT", []byte("x"))
			require.NoError(t, err)
			require.NoError(t, verify(keysOf(t, set(jwk(rsa2k().Public(), nil)), alg), tok))
		}
	}
}
