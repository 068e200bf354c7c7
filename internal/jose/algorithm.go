package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256 is a number until its package is linked
	_ "crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// kind is the kind of a public key. Each algorithm takes keys of one kind only, so that no token
// can be signed with HS256 and a public RSA key as its secret.
type kind string

// The names of the curves are those of RFC 7518 §6.2.1.1, and of crypto/elliptic.
const (
	kindP256    kind = "P-256"
	kindP384    kind = "P-384"
	kindP521    kind = "P-521"
	kindEd25519 kind = "Ed25519"
	kindRSA     kind = "RSA"
)

// algorithm is a row of RFC 7518 §3.1 or RFC 8037 §3.1.
type algorithm struct {
	name string
	kind kind
	hash crypto.Hash // also the hash of at_hash in OpenID Connect; Ed25519 uses SHA-512 inside
}

// algorithms are the supported algorithms. HMAC and none are not among them. A signer without a
// configured algorithm takes the first that fits its key, hence PS before RS.
var algorithms = []algorithm{
	{"ES256", kindP256, crypto.SHA256},
	{"ES384", kindP384, crypto.SHA384},
	{"ES512", kindP521, crypto.SHA512},
	{"EdDSA", kindEd25519, crypto.SHA512},
	{"PS256", kindRSA, crypto.SHA256},
	{"PS384", kindRSA, crypto.SHA384},
	{"PS512", kindRSA, crypto.SHA512},
	{"RS256", kindRSA, crypto.SHA256},
	{"RS384", kindRSA, crypto.SHA384},
	{"RS512", kindRSA, crypto.SHA512},
}

// method is an allowed algorithm with its verifier.
type method struct {
	algorithm
	jws.Verifier
}

// methods are the allowed algorithms by name. Nil allows none.
type methods map[string]method

// newMethods fails for an empty list and for a name that is not in algorithms.
func newMethods(names []string) (methods, error) {
	if len(names) == 0 {
		return nil, errors.New("no algorithm is allowed")
	}
	ms := make(methods, len(names))
	for _, name := range names {
		a, ok := lookup(name)
		if !ok {
			return nil, fmt.Errorf("algorithm %q is not supported", name)
		}
		// Taken once: jwx keeps verifiers in a table that any package of the process can change.
		v, err := jws.NewVerifier(jwa.SignatureAlgorithm(name))
		if err != nil {
			return nil, err
		}
		if a.isPSS() {
			v = fixedSalt(a.hash)
		}
		ms[name] = method{a, v}
	}
	return ms, nil
}

// lookup finds an algorithm by its exact name (RFC 7515 §4.1.1).
func lookup(name string) (algorithm, bool) {
	for _, a := range algorithms {
		if a.name == name {
			return a, true
		}
	}
	return algorithm{}, false
}

// isPSS reports whether it is RSASSA-PSS (RFC 7518 §3.5).
func (a algorithm) isPSS() bool { return strings.HasPrefix(a.name, "PS") }

// fixedSalt verifies RSASSA-PSS with a hash. RFC 7518 §3.5 fixes the length of the salt to that of
// the hash; jwx takes any.
type fixedSalt crypto.Hash

// Verify implements jws.Verifier.
func (f fixedSalt) Verify(signed, signature []byte, public any) error {
	rsaKey, ok := public.(*rsa.PublicKey)
	if !ok {
		return errKeyType
	}
	hash := crypto.Hash(f)
	h := hash.New()
	h.Write(signed)
	salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return rsa.VerifyPSS(rsaKey, hash, h.Sum(nil), signature, salt)
}

// A smaller RSA key is weak (RFC 7518 §3.3 and §3.5 require 2048 bits). A larger one lets an
// attacker keep the server busy: the time of a verification grows with the square of the size.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var errKeyType = errors.New(
	"not an ECDSA key on P-256, P-384 or P-521, an Ed25519 key or an RSA key")

// inspect returns the kind of a public key and the length of its signatures in a JWS. It fails for
// a key that cannot be used, and for any type but those that the private keys of crypto return from
// Public.
func inspect(public crypto.PublicKey) (k kind, size int, err error) {
	switch pub := public.(type) {
	case *ecdsa.PublicKey:
		// crypto/ecdsa panics for a nil or zero key.
		if pub == nil || pub.Curve == nil {
			return "", 0, errKeyType
		}
		k = kind(pub.Params().Name)
		if k != kindP256 && k != kindP384 && k != kindP521 {
			return "", 0, errKeyType
		}
		if _, err := pub.Bytes(); err != nil {
			return "", 0, errors.New("the point is not on the curve")
		}
		// r and s have the length of the order of the curve (RFC 7518 §3.4).
		return k, 2 * ((pub.Params().BitSize + 7) / 8), nil
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize { // ed25519.Verify panics for any other
			return "", 0, errors.New("an Ed25519 key has 32 bytes")
		}
		if err := checkPoint(pub); err != nil {
			return "", 0, err
		}
		return kindEd25519, ed25519.SignatureSize, nil
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil {
			return "", 0, errKeyType
		}
		if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return "", 0, fmt.Errorf("an RSA key of %d bits; %d to %d are accepted",
				bits, minRSABits, maxRSABits)
		}
		// With an exponent of 1 every message is its own signature. Even numbers are never valid.
		if pub.N.Bit(0) == 0 || pub.E < 3 || pub.E&1 == 0 {
			return "", 0, errors.New("an RSA modulus or exponent that is even, or an exponent of 1")
		}
		return kindRSA, pub.Size(), nil
	}
	return "", 0, errKeyType
}
