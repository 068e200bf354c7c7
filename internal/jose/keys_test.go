package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

func with(public crypto.PublicKey, name string, value any) map[string]any {
	return jwk(public, map[string]any{name: value})
}

func without(public crypto.PublicKey, name string) map[string]any {
	m := jwk(public, nil)
	delete(m, name)
	return m
}

// modulus is a number of the given length without small factors. Reading a key needs no more.
func modulus(bits int) *rsa.PublicKey {
	small := new(big.Int).MulRange(2, 1000)
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	for n.SetBit(n, 0, 1); new(big.Int).GCD(nil, nil, n, small).BitLen() > 1; {
		n.Add(n, big.NewInt(2))
	}
	return &rsa.PublicKey{N: n, E: 65537}
}

// offCurve is a point of the right length that is on no curve.
func offCurve() map[string]any {
	m := jwk(p256().Public(), nil)
	m["y"] = m["x"]
	return m
}

// shifted is a point whose bytes are the right ones, but divided between x and y at the wrong place.
func shifted() map[string]any {
	m := jwk(p256().Public(), nil)
	x, y := unb64(m["x"].(string)), unb64(m["y"].(string))
	m["x"], m["y"] = b64(append(x, y[0])), b64(y[1:])
	return m
}

// beyondField is a key on P-521 with the prime of the field added to x: 66 bytes have room for it.
func beyondField() map[string]any {
	m := jwk(p521().Public(), nil)
	x := number(unb64(m["x"].(string)))
	m["x"] = b64(x.Add(x, p521().Params().P).FillBytes(make([]byte, 66)))
	return m
}

// shortX is a key whose x begins with a zero byte, which is left out.
func shortX() map[string]any {
	for {
		m := jwk(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public(), nil)
		if x := unb64(m["x"].(string)); x[0] == 0 {
			m["x"] = b64(x[1:])
			return m
		}
	}
}

func evenModulus() map[string]any {
	m := jwk(modulus(2048), nil)
	m["n"] = b64(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())
	return m
}

func longExponent(bytes ...byte) map[string]any { return with(modulus(2048), "e", b64(bytes)) }

// broken are keys that are an error in a pinned set and skipped in a fetched one.
var broken = map[string]func() map[string]any{
	"private EC":           func() map[string]any { return with(p256().Public(), "d", "AA") },
	"private OKP":          func() map[string]any { return with(ed().Public(), "d", "AA") },
	"private RSA":          func() map[string]any { return with(rsa2k().Public(), "d", "AA") },
	"RSA with a prime":     func() map[string]any { return with(rsa2k().Public(), "p", "AA") },
	"RSA with CRT":         func() map[string]any { return with(rsa2k().Public(), "qi", "AA") },
	"RSA with more primes": func() map[string]any { return with(rsa2k().Public(), "oth", []string{}) },
	"private null":         func() map[string]any { return with(p256().Public(), "d", nil) },
	"private encryption":   func() map[string]any { return jwk(p256().Public(), map[string]any{"d": "AA", "use": "enc"}) },
	"private, new type":    func() map[string]any { return map[string]any{"kty": "AKP", "priv": "AA", "pub": "AA"} },
	"symmetric":            func() map[string]any { return map[string]any{"kty": "oct", "k": "AAAA", "alg": "HS256"} },
	"symmetric, no k":      func() map[string]any { return map[string]any{"kty": "oct"} },
	"EC with a k":          func() map[string]any { return with(p256().Public(), "k", "AAAA") },
	"RSA 1024":             func() map[string]any { return jwk(modulus(1024), nil) },
	"RSA 2047":             func() map[string]any { return jwk(modulus(2047), nil) },
	"RSA 8193":             func() map[string]any { return jwk(modulus(8193), nil) },
	"RSA even":             evenModulus,
	"RSA exponent 1":       func() map[string]any { return longExponent(1) },
	"RSA exponent 2":       func() map[string]any { return longExponent(2) },
	"RSA exponent 0":       func() map[string]any { return longExponent(0) },
	"RSA exponent 65536":   func() map[string]any { return longExponent(1, 0, 0) },
	"RSA exponent 33 bits": func() map[string]any { return longExponent(1, 0, 1, 0, 1) },
	"RSA exponent 65 bits": func() map[string]any { return longExponent(1, 0, 0, 0, 0, 0, 1, 0, 1) },
	"RSA no exponent":      func() map[string]any { return without(rsa2k().Public(), "e") },
	"RSA no modulus":       func() map[string]any { return without(rsa2k().Public(), "n") },
	"RSA number as e":      func() map[string]any { return with(rsa2k().Public(), "e", 65537) },
	"off the curve":        offCurve,
	"EC shifted":           shifted,
	"EC no y":              func() map[string]any { return without(p256().Public(), "y") },
	"EC no crv":            func() map[string]any { return without(p256().Public(), "crv") },
	"EC crv a number":      func() map[string]any { return with(p256().Public(), "crv", 256) },
	"EC other curve":       func() map[string]any { return with(p256().Public(), "crv", "P-384") },
	"EC zeros": func() map[string]any {
		return jwk(p256().Public(), map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))})
	},
	"EC beyond the field": beyondField,
	"EC short x":          shortX,
	"EC infinity": func() map[string]any {
		return jwk(p256().Public(), map[string]any{"x": b64([]byte{0}), "y": b64([]byte{0})})
	},
	"EC long x":        func() map[string]any { m := jwk(p256().Public(), nil); m["x"] = "AAAA" + m["x"].(string); return m },
	"Ed25519 short":    func() map[string]any { return with(ed().Public(), "x", "AAAA") },
	"Ed25519 empty":    func() map[string]any { return with(ed().Public(), "x", "") },
	"Ed25519 padded":   func() map[string]any { m := jwk(ed().Public(), nil); m["x"] = m["x"].(string) + "="; return m },
	"Ed25519 newline":  func() map[string]any { m := jwk(ed().Public(), nil); m["x"] = m["x"].(string) + "\n"; return m },
	"OKP no crv":       func() map[string]any { return without(ed().Public(), "crv") },
	"no kty":           func() map[string]any { return without(p256().Public(), "kty") },
	"kty a number":     func() map[string]any { return with(p256().Public(), "kty", 1) },
	"kid a number":     func() map[string]any { return with(p256().Public(), "kid", 1) },
	"kid null":         func() map[string]any { return with(p256().Public(), "kid", nil) },
	"use a list":       func() map[string]any { return with(p256().Public(), "use", []string{"sig"}) },
	"key_ops a string": func() map[string]any { return with(p256().Public(), "key_ops", "verify") },
	"alg a number":     func() map[string]any { return with(p256().Public(), "alg", 1) },
	"alg empty":        func() map[string]any { return with(p256().Public(), "alg", "") },
}

// idle are keys that no set is worse for: they are for something else.
var idle = map[string]func() map[string]any{
	"encryption":        func() map[string]any { return with(p256().Public(), "use", "enc") },
	"small, encryption": func() map[string]any { return jwk(modulus(1024), map[string]any{"use": "enc"}) },
	"another use":       func() map[string]any { return with(p256().Public(), "use", "tls") },
	"use and case":      func() map[string]any { return with(p256().Public(), "use", "SIG") },
	"signs only":        func() map[string]any { return with(p256().Public(), "key_ops", []string{"sign"}) },
	"no operation":      func() map[string]any { return with(p256().Public(), "key_ops", []string{}) },
	"unknown type":      func() map[string]any { return map[string]any{"kty": "AKP", "pub": "AAAA"} },
	"type and case":     func() map[string]any { return with(p256().Public(), "kty", "ec") },
	"unknown curve":     func() map[string]any { return with(p256().Public(), "crv", "secp256k1") },
	"X25519":            func() map[string]any { return with(ed().Public(), "crv", "X25519") },
	"Ed448":             func() map[string]any { return with(ed().Public(), "crv", "Ed448") },
	"encryption by ops": func() map[string]any { return with(rsa2k().Public(), "key_ops", []string{"wrapKey"}) },
	"sig, but wrong ops": func() map[string]any {
		return jwk(p256().Public(), map[string]any{"use": "sig", "key_ops": []string{"sign"}})
	},
}

func TestParseKeysRefuses(t *testing.T) {
	good := jwk(p256().Public(), kid("good"))
	for name, key := range broken {
		_, err := jose.ParseKeys(set(good, key()), allAlgorithms)
		assert.Error(t, err, name)
	}
	text := string(set(good))
	for name, jwks := range map[string]string{
		"nothing":             ``,
		"no JSON":             `keys`,
		"no object":           `[]`,
		"null":                `null`,
		"a key, not a set":    string(must(json.Marshal(good))),
		"no keys":             `{}`,
		"keys null":           `{"keys":null}`,
		"keys an object":      `{"keys":{}}`,
		"keys in capitals":    strings.Replace(text, "keys", "KEYS", 1),
		"empty set":           `{"keys":[]}`,
		"a null key":          strings.Replace(text, "[", "[null,", 1),
		"a string key":        strings.Replace(text, "[", `["x",`, 1),
		"trailing bytes":      text + "x",
		"two sets":            text + text,
		"BOM":                 "\ufeff" + text,
		"keys twice":          strings.Replace(text, "{", `{"keys":[],`, 1),
		"kty twice":           strings.Replace(text, `"kty"`, `"kty":"oct","kty"`, 1),
		"unrelated twice":     strings.Replace(text, `"kty"`, `"a":1,"a":2,"kty"`, 1),
		"invalid UTF-8":       strings.Replace(text, "good", "\xff", 1),
		"same kid":            string(set(good, jwk(p256b().Public(), kid("good")))),
		"same kid, same key":  string(set(good, good)),
		"same kid, other kty": string(set(good, jwk(rsa2k().Public(), kid("good")))),
		"two without kid":     string(set(jwk(p256().Public(), nil), jwk(p256b().Public(), nil))),
		"none usable":         string(set(idle["encryption"](), idle["unknown type"]())),
	} {
		_, err := jose.ParseKeys([]byte(jwks), allAlgorithms)
		assert.Error(t, err, name)
	}
	_, err := jose.ParseKeys(set(good), []string{"RS256", "EdDSA"})
	assert.Error(t, err, "no key fits an allowed algorithm")
	_, err = jose.ParseKeys(set(with(p256().Public(), "alg", "ES384")), []string{"ES256", "ES384"})
	assert.Error(t, err, "a key whose alg is not for it")
	_, err = jose.ParseKeys(set(with(rsa2k().Public(), "alg", "RSA-OAEP")), allAlgorithms)
	assert.Error(t, err, "a key whose alg is for encryption")
}

func TestParseKeysAlgorithms(t *testing.T) {
	jwks := set(jwk(p256().Public(), nil))
	for _, bad := range []string{"", "none", "None", "HS256", "HS384", "HS512", "es256", "ES256K", "Ed25519", "RSA1_5", "*"} {
		_, err := jose.ParseKeys(jwks, []string{"ES256", bad})
		assert.Error(t, err, bad)
		_, err = jose.NewRemote("https://example.com/jwks", []string{"ES256", bad})
		assert.Error(t, err, bad)
	}
	_, err := jose.ParseKeys(jwks, nil)
	assert.Error(t, err)
	_, err = jose.ParseKeys(jwks, []string{})
	assert.Error(t, err)
}

func TestParseKeysSkips(t *testing.T) {
	tok := token("ES256", p256(), `{"alg":"ES256","kid":"good"}`, `{}`)
	good := jwk(p256().Public(), map[string]any{"kid": "good", "use": "sig", "key_ops": []string{"verify", "of tomorrow"}, "alg": "ES256",
		"x5c": []string{"nonsense"}, "x5u": "https://attacker.example", "nbf": 1})
	for name, key := range idle {
		m := key()
		m["kid"] = "idle"
		keys, err := jose.ParseKeys(set(m, good, m), allAlgorithms)
		require.NoError(t, err, name)
		assert.NoError(t, verify(keys, tok), name)
		err = verify(keys, token("ES256", p256(), `{"alg":"ES256","kid":"idle"}`, `{}`))
		assert.ErrorIs(t, err, jose.ErrUnknownKey, name)
	}
	keys := keysOf(t, set(good, jwk(p256b().Public(), nil), jwk(rsa2k().Public(), kid("rsa"))), "ES256")
	assert.NoError(t, verify(keys, tok))
}

func TestParseKeysRSASizes(t *testing.T) {
	for _, bits := range []int{2048, 3072, 8192} {
		_, err := jose.ParseKeys(set(jwk(modulus(bits), nil)), []string{"PS256"})
		assert.NoError(t, err, bits)
	}
	// Leading zeros are no part of a number, though some senders write them.
	m := jwk(rsa2k().Public(), nil)
	m["n"] = b64(append([]byte{0}, rsa2k().N.Bytes()...))
	m["e"] = b64([]byte{0, 0, 0, 0, 0, 1, 0, 1})
	assert.NoError(t, verify(keysOf(t, set(m), "PS256"), token("PS256", rsa2k(), `{"alg":"PS256"}`, `{}`)))
}

func TestParseKeysErrorsQuoteNothing(t *testing.T) {
	_, err := jose.ParseKeys(set(jwk(p256().Public(), map[string]any{"kid": "SECRET", "d": "SECRET"})), []string{"ES256"})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "SECRET")
}

func FuzzParseKeys(f *testing.F) {
	for _, s := range schemes {
		f.Add(set(jwk(s.key().Public(), kid(s.alg))))
	}
	for _, key := range broken {
		f.Add(set(key()))
	}
	m := must(jose.Parse(token("ES256", p256(), `{"alg":"ES256"}`, `{}`)))
	f.Fuzz(func(t *testing.T, jwks []byte) {
		if k, err := jose.ParseKeys(jwks, allAlgorithms); err == nil {
			_ = k.Verify(m) // must not panic
		}
	})
}
