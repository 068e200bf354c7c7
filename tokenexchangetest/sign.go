package tokenexchangetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256 is a number until its package is linked
	_ "crypto/sha512"
	"fmt"
	"sync"
)

// scheme is a signature algorithm of RFC 7518 §3.1 or RFC 8037 §3.1.
type scheme struct {
	hash crypto.Hash // 0: the message is not hashed beforehand
	pss  bool
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

// rsaKeys are by issuer, so that no two issuers have the same key.
var rsaKeys = struct {
	sync.Mutex
	made map[string]*rsa.PrivateKey
}{made: map[string]*rsa.PrivateKey{}}

func rsaKey(issuer string) crypto.Signer {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if rsaKeys.made[issuer] == nil {
		rsaKeys.made[issuer] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return rsaKeys.made[issuer]
}

// sign makes the signature of a JWS, which for ECDSA is R and S at full length (RFC 7518 §3.4) and not DER.
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
			return must(rsa.SignPSS(rand.Reader, key, s.hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
	}
	return must(key.Sign(rand.Reader, digest, s.hash))
}

// must is for what fails only where the machine does.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("tokenexchangetest: %v", err))
	}
	return v
}
