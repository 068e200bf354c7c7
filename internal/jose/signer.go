package jose

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Signer makes compact JWSs with one key and one algorithm. It never changes, and it is safe for
// concurrent use if its key is.
type Signer struct {
	algorithm algorithm
	scheme    jws.Signer
	key       *handle
	keyID     string
}

// NewSigner takes any crypto.Signer: a private key of crypto, or a handle to a key elsewhere.
// Public must return an *ecdsa.PublicKey on P-256, P-384 or P-521, an ed25519.PublicKey, or an
// *rsa.PublicKey of 2048 to 8192 bits; it is called once. An empty algorithm is the first of ES256,
// ES384, ES512, EdDSA and PS256 that fits the key. Tokens have no kid if keyID is empty. NewSigner
// fails for a nil key, a key of another type or size, an algorithm that is not supported or does
// not fit the key, and a keyID that Parse would refuse.
func NewSigner(key crypto.Signer, keyID, algorithm string) (*Signer, error) {
	if key == nil {
		return nil, errors.New("there is no key to sign with")
	}
	// The private key may be elsewhere and of any type, so the public key alone is inspected.
	public := key.Public()
	kind, size, err := inspect(public)
	if err != nil {
		return nil, fmt.Errorf("the key to sign with: %w", err)
	}
	a, err := choose(kind, algorithm)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(keyID) || strings.ContainsRune(keyID, 0) {
		return nil, errors.New("the kid is not valid UTF-8, or contains NUL")
	}
	scheme, err := jws.NewSigner(jwa.SignatureAlgorithm(a.name))
	if err != nil {
		return nil, err
	}
	return &Signer{a, scheme, &handle{key, public, size}, keyID}, nil
}

// choose returns the named algorithm if it takes keys of kind k, or without a name the first that
// does.
func choose(k kind, name string) (algorithm, error) {
	for _, a := range algorithms {
		if a.kind == k && (name == "" || name == a.name) {
			return a, nil
		}
	}
	return algorithm{}, fmt.Errorf("algorithm %q is not supported, or not with a key of type %s",
		name, k)
}

// handle is the key as jwx sees it. It hides an *ecdsa.PrivateKey, which jwx would copy for each
// signature, so that crypto/ecdsa could not use its precomputed values. It keeps the public key,
// for which jwx would ask a key elsewhere each time. It refuses a signature that is
// too long before jwx parses it.
type handle struct {
	key    crypto.Signer
	public crypto.PublicKey
	size   int // length of a signature in a JWS
}

// Public returns the public key as it was at NewSigner.
func (h *handle) Public() crypto.PublicKey { return h.public }

// Sign calls the key and checks the length of the signature.
func (h *handle) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := h.key.Sign(rand, digest, opts)
	// An ECDSA signature in DER is at most eight bytes longer than in a JWS, on these curves.
	if err == nil && len(signature) > h.size+8 {
		err = errLength
	}
	return signature, err
}

var (
	errLength = errors.New("the key made a signature of a wrong length")
	errSalt   = errors.New("the key made a wrong signature, or a salt of a wrong length")
)

// KeyID returns the kid; empty: there is none.
func (s *Signer) KeyID() string { return s.keyID }

// Algorithm returns the name of the algorithm.
func (s *Signer) Algorithm() string { return s.algorithm.name }

// Sign returns a compact JWS of payload. The header has alg, and kid and typ unless they are empty.
// An error is that of the key; a key elsewhere may be out of reach.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid,omitempty"`
		Type      string `json:"typ,omitempty"`
	}{s.algorithm.name, s.keyID, typ})
	if err != nil {
		return "", err
	}
	length := strict.EncodedLen(len(header) + len(payload) + s.key.size)
	token := make([]byte, 0, length+4) // two dots, and two bytes by rounding
	token = strict.AppendEncode(token, header)
	token = strict.AppendEncode(append(token, '.'), payload)
	signature, err := s.scheme.Sign(token, s.key)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	// A verifier would refuse a signature of another length.
	if len(signature) != s.key.size {
		return "", errLength
	}
	// A KMS or HSM may ignore the length of the salt that it was given.
	if s.algorithm.isPSS() {
		err := fixedSalt(s.algorithm.hash).Verify(token, signature, s.key.public)
		if err != nil {
			return "", errSalt
		}
	}
	token = strict.AppendEncode(append(token, '.'), signature)
	return string(token), nil
}

// JWKS returns a JWK set with the public key, for publication: with use "sig", the algorithm, and
// the kid if there is one.
func (s *Signer) JWKS() ([]byte, error) {
	key, err := jwk.FromRaw(s.key.public)
	if err != nil {
		return nil, err
	}
	members := map[string]any{
		jwk.KeyUsageKey: string(jwk.ForSignature), jwk.AlgorithmKey: s.algorithm.name,
	}
	if s.keyID != "" {
		members[jwk.KeyIDKey] = s.keyID
	}
	for name, value := range members {
		if err := key.Set(name, value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]any{"keys": []jwk.Key{key}})
}

// HalfHash returns the left half of the hash of value, in base64url, for at_hash and c_hash of an
// ID token that this Signer signs (OpenID Connect Core §3.1.3.6). The hash is that of the
// algorithm, and SHA-512 for EdDSA with Ed25519.
func (s *Signer) HalfHash(value string) string {
	h := s.algorithm.hash.New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return strict.EncodeToString(sum[:len(sum)/2])
}
