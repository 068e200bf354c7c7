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

// Signer makes compact JWSs with one key and one algorithm. It never changes; it is safe for concurrent use if its key is.
type Signer struct {
	algorithm algorithm
	scheme    jws.Signer
	key       *handle // a pointer, which goes to jwx without an allocation
	keyID     string
}

// NewSigner takes any crypto.Signer: a private key of crypto, or a handle to one that is elsewhere. Public must return an
// *ecdsa.PublicKey on P-256, P-384 or P-521, an ed25519.PublicKey, or an *rsa.PublicKey of 2048 to 8192 bits; it is asked
// once. An empty algorithm is the first of ES256, ES384, ES512, EdDSA, PS256 that fits the key. An empty keyID is no kid.
// It fails for a nil key, a key of another type or size, an algorithm that is not supported or does not fit the key, and
// a keyID that Parse would refuse.
func NewSigner(key crypto.Signer, keyID, algorithm string) (*Signer, error) {
	if key == nil {
		return nil, errors.New("no key to sign with")
	}
	// Everything is decided by the public key, as the private one may be anywhere and of any type.
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
		return nil, errors.New("the kid is not text")
	}
	scheme, err := jws.NewSigner(jwa.SignatureAlgorithm(a.name))
	if err != nil {
		return nil, err
	}
	return &Signer{a, scheme, &handle{key, public, size}, keyID}, nil
}

// choose returns the named algorithm if it takes keys of kind k; without a name, the first that does.
func choose(k kind, name string) (algorithm, error) {
	for _, a := range algorithms {
		if a.kind == k && (name == "" || name == a.name) {
			return a, nil
		}
	}
	return algorithm{}, fmt.Errorf("algorithm %q is not supported, or not for a key of type %s", name, k)
}

// handle is the key as jwx sees it. It hides *ecdsa.PrivateKey, which jwx would copy for each signature and thereby keep
// crypto/ecdsa from using what it has computed for the key. It remembers the public key, which a key elsewhere would be
// asked for each time, and keeps back an answer of the wrong length, over which jwx would stumble.
type handle struct {
	key    crypto.Signer
	public crypto.PublicKey
	size   int // of a signature in a JWS
}

// Public is what NewSigner was told.
func (h *handle) Public() crypto.PublicKey { return h.public }

// Sign leaves all to the key but the length of its answer.
func (h *handle) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := h.key.Sign(rand, digest, opts)
	// ECDSA comes as DER: at most eight bytes longer than in a JWS, on these curves.
	if err == nil && len(signature) > h.size+8 {
		err = errLength
	}
	return signature, err
}

var (
	errLength = errors.New("the key made a signature of a wrong length")
	errSalt   = errors.New("the key made a wrong signature, or its salt is not as long as the hash")
)

// KeyID is the kid; empty if there is none.
func (s *Signer) KeyID() string { return s.keyID }

// Algorithm is what the Signer signs with.
func (s *Signer) Algorithm() string { return s.algorithm.name }

// Sign makes a compact JWS over payload. Its header has alg, the kid if there is one, and typ unless that is empty. The
// payload is taken as it is. An error is the key's: that of a key elsewhere may be about the way there.
func (s *Signer) Sign(typ string, payload []byte) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid,omitempty"`
		Type      string `json:"typ,omitempty"`
	}{s.algorithm.name, s.keyID, typ})
	if err != nil {
		return "", err
	}
	token := make([]byte, 0, strict.EncodedLen(len(header))+strict.EncodedLen(len(payload))+strict.EncodedLen(s.key.size)+2)
	token = strict.AppendEncode(token, header)
	token = strict.AppendEncode(append(token, '.'), payload)
	signature, err := s.scheme.Sign(token, s.key)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	// What a verifier would refuse for its length alone is not sent out.
	if len(signature) != s.key.size {
		return "", errLength
	}
	// A key in a KMS or HSM may ignore the length of the salt that it was told.
	if s.algorithm.isPSS() {
		err := fixedSalt(s.algorithm.hash).Verify(token, signature, s.key.public)
		if err != nil {
			return "", errSalt
		}
	}
	token = strict.AppendEncode(append(token, '.'), signature)
	return string(token), nil
}

// JWKS is the public key as a JWK set of one, for publication: the kid if there is one, use "sig", the algorithm.
func (s *Signer) JWKS() ([]byte, error) {
	// Made from the public key, so there is nothing private that could be left in.
	key, err := jwk.FromRaw(s.key.public)
	if err != nil {
		return nil, err
	}
	members := map[string]any{jwk.KeyUsageKey: string(jwk.ForSignature), jwk.AlgorithmKey: s.algorithm.name}
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

// HalfHash is the left half of the hash of value, base64url: what OpenID Connect Core §3.1.3.6 puts into at_hash and
// c_hash of an ID token that this Signer signs. The hash is the algorithm's; for EdDSA with Ed25519 it is SHA-512.
func (s *Signer) HalfHash(value string) string {
	h := s.algorithm.hash.New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return strict.EncodeToString(sum[:len(sum)/2])
}
