package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strings"
)

// algorithms are the columns of the tables.
var algorithms = []string{"ES256", "EdDSA", "RS256"}

// keys are generated for this run.
var keys = map[string]crypto.Signer{"ES256": newECDSA(), "EdDSA": newEd25519(), "RS256": newRSA()}

func newECDSA() crypto.Signer { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }
func newRSA() crypto.Signer   { return must(rsa.GenerateKey(rand.Reader, 2048)) }
func newEd25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	return key
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// signing has the length of a usual JWS signing input: some 600 bytes.
var signing = []byte(strings.Repeat("x", 600))

// bareCrypto is the part of an exchange that every server needs: so many verifications and one
// signature by the standard library, hashing included.
func bareCrypto(alg string, verifications int) candidate {
	sign, verify := standard(alg)
	signature := sign()
	return always(func(n int) {
		for range n {
			for range verifications {
				if !verify(signature) {
					panic("the signature does not verify")
				}
			}
			sign()
		}
	})
}

// standard returns the functions of the standard library for one algorithm.
func standard(alg string) (sign func() []byte, verify func(signature []byte) bool) {
	key, options := keys[alg], crypto.SignerOpts(crypto.SHA256)
	message := func() []byte { digest := sha256.Sum256(signing); return digest[:] }
	if alg == "EdDSA" {
		options, message = crypto.Hash(0), func() []byte { return signing }
	}
	sign = func() []byte { return must(key.Sign(rand.Reader, message(), options)) }
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		return sign, func(s []byte) bool { return ecdsa.VerifyASN1(public, message(), s) }
	case ed25519.PublicKey:
		return sign, func(s []byte) bool { return ed25519.Verify(public, message(), s) }
	case *rsa.PublicKey:
		return sign, func(s []byte) bool {
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, message(), s) == nil
		}
	}
	panic(fmt.Sprintf("unknown algorithm %s", alg))
}
