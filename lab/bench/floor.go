package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// algorithms are the ones that are measured.
var algorithms = []string{"ES256", "EdDSA", "RS256"}

// keys are made for this run.
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

// signing is what a JWS of the usual length is hashed over: some 600 bytes.
var signing = []byte(strings.Repeat("x", 600))

// bareCrypto is the part of an exchange that nobody can do without: so many signatures verified and one made, by the
// standard library. Hashing is part of both.
func bareCrypto(alg string, verifications int) candidate {
	sign, verify := standard(alg)
	signature := sign()
	return always("bare crypto", func(n int) {
		for range n {
			for range verifications {
				if !verify(signature) {
					panic("a signature that does not verify")
				}
			}
			sign()
		}
	})
}

// standard is one scheme of the standard library with the key of this run.
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
	panic(fmt.Sprintf("no scheme for %s", alg))
}

// bareHTTP is what net/http and encoding/json take for a form in and an answer out, with nothing in between.
var bareHTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	check(r.ParseForm())
	body := must(json.Marshal(map[string]any{"access_token": r.PostForm.Get("subject_token"), "token_type": "Bearer", "expires_in": 300}))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	must(w.Write(body))
})
