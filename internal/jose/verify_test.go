package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

func TestVerify(t *testing.T) {
	all := set(jwk(p256().Public(), kid("P-256")), jwk(p384().Public(), kid("P-384")), jwk(p521().Public(), kid("P-521")),
		jwk(ed().Public(), kid("Ed")), jwk(rsa2k().Public(), kid("RSA")))
	ids := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed"}
	for _, s := range schemes {
		id := ids[s.alg]
		if id == "" {
			id = "RSA"
		}
		t.Run(s.alg, func(t *testing.T) {
			tok := token(s.alg, s.key(), `{"alg":"`+s.alg+`","kid":"`+id+`"}`, `{"sub":"x"}`)
			assert.NoError(t, verify(keysOf(t, all, allAlgorithms...), tok))
			assert.NoError(t, verify(keysOf(t, all, s.alg), tok))

			bare := token(s.alg, s.key(), `{"alg":"`+s.alg+`"}`, `{"sub":"x"}`)
			assert.NoError(t, verify(keysOf(t, all, allAlgorithms...), bare), "one key of the set fits")

			// The same key under every other algorithm: not allowed, another kind of key, or another signature.
			for _, other := range allAlgorithms {
				if other == s.alg {
					continue
				}
				renamed := token(s.alg, s.key(), `{"alg":"`+other+`","kid":"`+id+`"}`, `{"sub":"x"}`)
				assert.Error(t, verify(keysOf(t, all, allAlgorithms...), renamed), other)
				usable, err := jose.ParseKeys(all, []string{other})
				require.NoError(t, err)
				assert.Error(t, verify(usable, tok), "%s is not allowed", s.alg)
			}
		})
	}
}

func TestVerifyAlgorithmNames(t *testing.T) {
	keys := keysOf(t, set(jwk(rsa2k().Public(), nil), jwk(p256().Public(), kid("ec"))), allAlgorithms...)
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "es256", "ES256K", "EDDSA", "Ed25519", "HS256", "HS384", "HS512",
		"RS1", "dir", "A128KW", "ES256\u200b"} {
		tok := token("ES256", p256(), `{"alg":"`+alg+`","kid":"ec"}`, `{}`)
		err := verify(keys, tok)
		require.Error(t, err, alg)
		assert.NotErrorIs(t, err, jose.ErrUnknownKey, "what is not allowed is no reason to fetch")
		assert.NotErrorIs(t, verify(keys, token("ES256", p256(), `{"alg":"`+alg+`"}`, `{}`)), jose.ErrUnknownKey)
		// With no signature, and with an empty one.
		assert.Error(t, verify(keys, seg(`{"alg":"`+alg+`"}`)+"."+seg(`{}`)+"."))
		assert.Error(t, verify(keys, seg(`{"alg":"`+alg+`"}`)+"."+seg(`{}`)))
	}
}

// TestVerifyHMACConfusion signs with HS256 and everything that could pass for the secret in the eyes of a verifier that
// takes the algorithm from the token and the bytes from the key.
func TestVerifyHMACConfusion(t *testing.T) {
	public := rsa2k().Public().(*rsa.PublicKey)
	spki := must(x509.MarshalPKIXPublicKey(public))
	pkcs1 := x509.MarshalPKCS1PublicKey(public)
	jwks := set(jwk(public, kid("1")))
	secrets := [][]byte{
		{}, spki, pkcs1, public.N.Bytes(), jwks, must(json.Marshal(jwk(public, kid("1")))), []byte(b64(public.N.Bytes())),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
	}
	keys := keysOf(t, jwks, "RS256", "PS256")
	for _, secret := range secrets {
		for _, alg := range []string{"HS256", "RS256", "PS256"} {
			input := seg(`{"alg":"`+alg+`","kid":"1"}`) + "." + seg(`{}`)
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(input))
			assert.Error(t, verify(keys, input+"."+b64(mac.Sum(nil))))
		}
	}
}

func TestVerifyIgnoresCertificates(t *testing.T) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert := must(x509.CreateCertificate(rand.Reader, template, template, p256b().Public(), p256b()))
	x5c := string(must(json.Marshal(map[string]any{"alg": "ES256", "kid": "1", "x5c": [][]byte{cert}, "x5t": "AA", "x5t#S256": "AA"})))
	keys := keysOf(t, set(jwk(p256().Public(), kid("1"))), "ES256")
	assert.Error(t, verify(keys, token("ES256", p256b(), x5c, `{}`)), "the attacker's certificate with the attacker's key")
	assert.NoError(t, verify(keys, token("ES256", p256(), x5c, `{}`)), "our key: nobody looks at the certificate")
}

func TestVerifySelection(t *testing.T) {
	one := keysOf(t, set(jwk(p256().Public(), kid("1"))), "ES256")
	anonymous := keysOf(t, set(jwk(p256().Public(), nil)), "ES256")
	two := keysOf(t, set(jwk(p256().Public(), kid("1")), jwk(p256b().Public(), kid("2"))), "ES256", "EdDSA")
	bound := keysOf(t, set(jwk(rsa2k().Public(), map[string]any{"kid": "1", "alg": "PS256"}), jwk(p256().Public(), nil)), "RS256", "PS256")
	tok := func(alg, more string) string {
		return token(alg, schemeOf(alg).key(), `{"alg":"`+alg+`"`+more+`}`, `{}`)
	}

	assert.NoError(t, verify(one, tok("ES256", `,"kid":"1"`)))
	assert.NoError(t, verify(one, tok("ES256", ``)))
	assert.NoError(t, verify(anonymous, tok("ES256", ``)))
	assert.ErrorIs(t, verify(anonymous, tok("ES256", `,"kid":"1"`)), jose.ErrUnknownKey)
	assert.ErrorIs(t, verify(anonymous, tok("ES256", `,"kid":""`)), jose.ErrUnknownKey)
	for _, id := range []string{"2", "", "1 ", "../../1", "/dev/null", "1' OR '1'='1", "1; DROP TABLE keys", "https://attacker.example/jwks",
		"*", strings.Repeat("k", 40_000)} {
		assert.ErrorIs(t, verify(one, tok("ES256", `,"kid":"`+id+`"`)), jose.ErrUnknownKey)
	}

	assert.NoError(t, verify(two, tok("ES256", `,"kid":"1"`)))
	wrong := verify(two, tok("ES256", `,"kid":"2"`))
	require.Error(t, wrong, "another key's kid")
	assert.NotErrorIs(t, wrong, jose.ErrUnknownKey)
	for _, key := range []crypto.Signer{p256(), p256b()} {
		several := verify(two, token("ES256", key, `{"alg":"ES256"}`, `{}`))
		require.Error(t, several, "no kid, two keys")
		assert.NotErrorIs(t, several, jose.ErrUnknownKey)
	}
	assert.ErrorIs(t, verify(two, tok("EdDSA", ``)), jose.ErrUnknownKey, "no kid, and no key that fits")

	assert.NoError(t, verify(bound, tok("PS256", `,"kid":"1"`)))
	assert.NoError(t, verify(bound, tok("PS256", ``)))
	other := verify(bound, tok("RS256", `,"kid":"1"`))
	require.Error(t, other, "alg of the key")
	assert.NotErrorIs(t, other, jose.ErrUnknownKey)
	assert.ErrorIs(t, verify(bound, tok("RS256", ``)), jose.ErrUnknownKey)
}

func TestVerifyZero(t *testing.T) {
	m, err := jose.Parse(token("ES256", p256(), `{"alg":"ES256"}`, `{}`))
	require.NoError(t, err)
	keys := keysOf(t, set(jwk(p256().Public(), nil)), "ES256")
	assert.NoError(t, jose.Pinned(keys).Verify(t.Context(), m))
	assert.Error(t, keys.Verify(&jose.Message{}))
	assert.Error(t, keys.Verify(&jose.Message{Algorithm: "ES256"}))
	assert.Error(t, (&jose.Keys{}).Verify(m))
	assert.Error(t, (*jose.Keys)(nil).Verify(m))
	assert.Error(t, jose.Pinned(nil).Verify(t.Context(), m))
	assert.Error(t, (&jose.Remote{}).Verify(t.Context(), m))
}

// TestVerifyFlippedBits flips every bit of every byte of a token, under each scheme of signature.
func TestVerifyFlippedBits(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "PS256", "RS256"} {
		s := schemeOf(alg)
		keys := keysOf(t, set(jwk(s.key().Public(), kid("1"))), alg)
		parts := strings.Split(token(alg, s.key(), `{"alg":"`+alg+`","kid":"1"}`, `{"sub":"x"}`), ".")
		require.NoError(t, verify(keys, strings.Join(parts, ".")))
		for i := range parts {
			b := unb64(parts[i])
			for bit := range 8 * len(b) {
				b[bit/8] ^= 1 << (bit % 8)
				flipped := append([]string{}, parts...)
				flipped[i] = b64(b)
				require.Error(t, verify(keys, strings.Join(flipped, ".")), "%s, segment %d, bit %d", alg, i, bit)
				b[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}

func TestVerifySignatureForms(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		s := schemeOf(alg)
		k := s.key().(*ecdsa.PrivateKey)
		keys := keysOf(t, set(jwk(k.Public(), nil)), alg)
		input := seg(`{"alg":"`+alg+`"}`) + "." + seg(`{}`)
		raw := signature(s, k, input)
		require.NoError(t, verify(keys, input+"."+b64(raw)))
		size := len(raw) / 2
		r, sig := raw[:size], raw[size:]
		zero, n := make([]byte, size), k.Params().N.FillBytes(make([]byte, size))
		join := func(parts ...[]byte) []byte {
			var out []byte
			for _, p := range parts {
				out = append(out, p...)
			}
			return out
		}
		for name, bad := range map[string][]byte{
			"DER":             must(ecdsa.SignASN1(rand.Reader, k, digest(s.hash, input))),
			"a byte short":    raw[:2*size-1],
			"half":            r,
			"a byte long":     join(raw, []byte{0}),
			"wider integers":  join([]byte{0}, r, []byte{0}, sig),
			"zero in front":   join([]byte{0}, raw),
			"r zero":          join(zero, sig),
			"s zero":          join(r, zero),
			"both zero":       join(zero, zero),
			"r is the order":  join(n, sig),
			"s is the order":  join(r, n),
			"swapped":         join(sig, r),
			"another curve's": make([]byte, 2*(size+8)),
		} {
			assert.Error(t, verify(keys, input+"."+b64(bad)), "%s: %s", alg, name)
		}
	}

	for _, alg := range []string{"EdDSA", "RS256", "PS256"} {
		s := schemeOf(alg)
		keys := keysOf(t, set(jwk(s.key().Public(), nil)), alg)
		input := seg(`{"alg":"`+alg+`"}`) + "." + seg(`{}`)
		raw := signature(s, s.key(), input)
		require.NoError(t, verify(keys, input+"."+b64(raw)))
		for name, bad := range map[string][]byte{
			"a byte short": raw[:len(raw)-1], "a byte long": append(raw[:len(raw):len(raw)], 0), "zeros": make([]byte, len(raw)),
			"zero in front": append([]byte{0}, raw...), "one byte": {0},
		} {
			assert.Error(t, verify(keys, input+"."+b64(bad)), "%s: %s", alg, name)
		}
	}
}

// TestVerifyShortRSA makes a signature whose number begins with a zero byte, and leaves the byte out.
func TestVerifyShortRSA(t *testing.T) {
	keys := keysOf(t, set(jwk(rsa2k().Public(), nil)), "RS256")
	for i := 0; ; i++ {
		input := seg(`{"alg":"RS256"}`) + "." + seg(strings.Repeat("x", i+1))
		raw := signature(schemeOf("RS256"), rsa2k(), input)
		if raw[0] != 0 {
			continue
		}
		assert.NoError(t, verify(keys, input+"."+b64(raw)))
		assert.Error(t, verify(keys, input+"."+b64(raw[1:])))
		return
	}
}

// TestVerifyRawRSA offers what RSA without padding would accept: the digest itself, raised to the private exponent.
func TestVerifyRawRSA(t *testing.T) {
	k := rsa2k()
	keys := keysOf(t, set(jwk(k.Public(), nil)), "RS256", "PS256")
	for _, alg := range []string{"RS256", "PS256"} {
		input := seg(`{"alg":"`+alg+`"}`) + "." + seg(`{}`)
		d := new(big.Int).SetBytes(digest(crypto.SHA256, input))
		raw := d.Exp(d, k.D, k.N).FillBytes(make([]byte, 256))
		assert.Error(t, verify(keys, input+"."+b64(raw)))
	}
}

func TestVerifyOtherCurve(t *testing.T) {
	// A token that names ES256 but is signed, correctly, with SHA-256 and a key on P-384, whose public key is in the set.
	keys := keysOf(t, set(jwk(p384().Public(), kid("1")), jwk(p256().Public(), kid("2"))), "ES256", "ES384")
	tok := token("ES256", p384(), `{"alg":"ES256","kid":"1"}`, `{}`)
	assert.Error(t, verify(keys, tok))
	assert.Equal(t, elliptic.P384(), p384().Curve)
}

// encodePSS is EMSA-PSS-ENCODE (RFC 8017 §9.1.1). Unlike crypto/rsa it takes an empty salt.
func encodePSS(h crypto.Hash, hashed, salt []byte, bits int) []byte {
	w := h.New()
	w.Write(make([]byte, 8))
	w.Write(hashed)
	w.Write(salt)
	end := w.Sum(nil)
	block := make([]byte, (bits+7)/8-len(end)-1)
	copy(block[len(block)-len(salt):], salt)
	block[len(block)-len(salt)-1] = 1
	for i := 0; i*h.Size() < len(block); i++ { // MGF1 (RFC 8017 appendix B.2.1)
		w := h.New()
		w.Write(end)
		w.Write([]byte{0, 0, 0, byte(i)})
		for j, b := range w.Sum(nil) {
			if at := i*h.Size() + j; at < len(block) {
				block[at] ^= b
			}
		}
	}
	block[0] &= 0xff >> (8*((bits+7)/8) - bits)
	return append(append(block, end...), 0xbc)
}

// TestVerifySalts: RFC 7518 §3.5 fixes the length of the salt, so crypto/rsa's choice is too wide.
func TestVerifySalts(t *testing.T) {
	k := rsa2k()
	bits := k.N.BitLen() - 1
	for _, alg := range []string{"PS256", "PS384", "PS512"} {
		h := schemeOf(alg).hash
		keys := keysOf(t, set(jwk(k.Public(), nil)), alg)
		input := seg(`{"alg":"`+alg+`"}`) + "." + seg(`{}`)
		hashed := digest(h, input)
		longest := (bits+7)/8 - h.Size() - 2
		for _, length := range []int{0, 1, 20, 32, 48, 64, h.Size() - 1, h.Size() + 1, longest} {
			salt := make([]byte, length)
			rand.Read(salt)
			n := number(encodePSS(h, hashed, salt, bits))
			sig := n.Exp(n, k.D, k.N).FillBytes(make([]byte, k.Size()))
			err := rsa.VerifyPSS(&k.PublicKey, h, hashed, sig, nil)
			require.NoError(t, err, "a real signature, %s with %d bytes", alg, length)
			err = verify(keys, input+"."+b64(sig))
			require.Equal(t, length == h.Size(), err == nil, "%s with %d bytes", alg, length)
		}
	}
}
