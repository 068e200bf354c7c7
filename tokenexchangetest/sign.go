package tokenexchangetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hash functions for crypto.Hash.New
	_ "crypto/sha512"
	"fmt"
	"sync"
)

// scheme is a signature algorithm of RFC 7518 §3.1 or RFC 8037 §3.1.
type scheme struct {
	hash crypto.Hash // 0: the key signs the message itself
	pss  bool        // RSASSA-PSS instead of PKCS #1 v1.5
	key  func(issuer string) crypto.Signer
}

var schemes = map[string]scheme{
	"ES256": {hash: crypto.SHA256, key: ecKey(elliptic.P256())},
	"ES384": {hash: crypto.SHA384, key: ecKey(elliptic.P384())},
	"ES512": {hash: crypto.SHA512, key: ecKey(elliptic.P521())},
	"EdDSA": {key: edKey},
	"PS256": {hash: crypto.SHA256, key: rsaKey, pss: true},
	"PS384": {hash: crypto.SHA384, key: rsaKey, pss: true},
	"PS512": {hash: crypto.SHA512, key: rsaKey, pss: true},
	"RS256": {hash: crypto.SHA256, key: rsaKey},
	"RS384": {hash: crypto.SHA384, key: rsaKey},
	"RS512": {hash: crypto.SHA512, key: rsaKey},
}

func ecKey(curve elliptic.Curve) func(string) crypto.Signer {
	return func(string) crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }
}

func edKey(string) crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

// rsaKeys caches one RSA key for each issuer. Two issuers never share a key: tokens of the one
// would then verify as tokens of the other.
var rsaKeys = struct {
	sync.Mutex
	byIssuer map[string]*rsa.PrivateKey
}{byIssuer: map[string]*rsa.PrivateKey{}}

func rsaKey(issuer string) crypto.Signer {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if rsaKeys.byIssuer[issuer] == nil {
		rsaKeys.byIssuer[issuer] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return rsaKeys.byIssuer[issuer]
}

// sign returns the signature of a JWS. For ECDSA that is R and S at full length and not DER
// (RFC 7518 §3.4).
func (s scheme) sign(key crypto.Signer, message []byte) []byte {
	digest := message
	if s.hash != 0 {
		h := s.hash.New()
		h.Write(message)
		digest = h.Sum(nil)
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, t, err := ecdsa.Sign(rand.Reader, key, digest)
		size := (key.Params().BitSize + 7) / 8
		out := must(make([]byte, 2*size), err)
		r.FillBytes(out[:size])
		t.FillBytes(out[size:])
		return out
	case *rsa.PrivateKey:
		if s.pss {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return must(rsa.SignPSS(rand.Reader, key, s.hash, digest, options))
		}
	}
	return must(key.Sign(rand.Reader, digest, s.hash))
}

// must panics on an error of key generation or signing, which only the random source can cause.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("tokenexchangetest: %v", err))
	}
	return v
}
