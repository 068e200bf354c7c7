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

// kind is what a public key is, as far as the choice of an algorithm goes. An algorithm takes keys of one kind only:
// that, not a comparison of names, is what makes RS256 tokens signed with HS256 and a public key impossible.
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
	hash crypto.Hash // what OpenID Connect takes for at_hash; Ed25519 hashes with SHA-512 inside
}

// algorithms are all there are; HMAC and none are not among them. The first that fits a key is what it signs with unless
// it is told otherwise, hence PS before RS.
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

// method is an allowed algorithm and what verifies it.
type method struct {
	algorithm
	jws.Verifier
}

// methods are the allowed algorithms by their names. Nil allows none.
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
		// Taken once: jwx keeps its verifiers in a table that anybody in the process may change later.
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

// lookup finds a row by its name, which is compared as RFC 7515 §4.1.1 has it: exactly.
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

// RSA keys outside these sizes are weak (RFC 7518 §3.3 and §3.5 demand 2048 bits), or slow enough to be a way to keep a
// server busy: the time for a verification grows with the square of the size.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

var errKeyType = errors.New("not an ECDSA key on P-256, P-384 or P-521, an Ed25519 key or an RSA key")

// inspect tells what a public key is and how many bytes a signature by it has in a JWS, or why it is fit for none.
// It accepts exactly the types that the keys of crypto return from Public.
func inspect(public crypto.PublicKey) (k kind, size int, err error) {
	switch pub := public.(type) {
	case *ecdsa.PublicKey:
		// A nil or a zero key would panic below, in code that expects keys to come from crypto.
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
		// r and s, each as long as the order of the curve and never shorter (RFC 7518 §3.4).
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
			return "", 0, fmt.Errorf("an RSA key of %d bits; %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		// No honest key is like that. With an exponent of 1 every message is its own signature.
		if pub.N.Bit(0) == 0 || pub.E < 3 || pub.E&1 == 0 {
			return "", 0, errors.New("an RSA modulus or exponent that is even, or an exponent of 1")
		}
		return kindRSA, pub.Size(), nil
	}
	return "", 0, errKeyType
}
