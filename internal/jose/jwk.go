package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// key is a public key for the verification of signatures.
type key struct {
	id     string // kid; empty if !hasID
	hasID  bool
	alg    string // the only algorithm of the key; empty: any of its kind
	kind   kind
	size   int // length of a signature
	public any // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
}

// fits reports whether k may verify signatures of algorithm a.
func (k *key) fits(a algorithm) bool {
	return k.kind == a.kind && (k.alg == "" || k.alg == a.name)
}

// The errors of a key never quote it, since it may be a secret.
var (
	errMalformedKey = errors.New("a member of the key is missing or malformed (RFC 7517, RFC 7518)")
	errSecretKey    = errors.New("the key is private or symmetric; only public keys are accepted")
)

// secret are the members that only private and symmetric keys have (RFC 7518 §6, RFC 8037 §2).
var secret = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// curves are the curves of type EC.
var curves = map[string]elliptic.Curve{
	"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521(),
}

// readKey reads one JWK, which has passed strictjson.Check. It returns nil and no error for a key
// with another purpose: encryption, or a type or curve that no algorithm here uses. It ignores
// certificates.
//
// The standard library makes the key and not jwx, which accepts Ed25519 keys of any length and
// points off the curve, truncates long RSA exponents, and fails on a use of key_ops that RFC 7517
// §4.3 allows.
func readKey(raw []byte) (*key, error) {
	if !strictjson.IsObject(raw) {
		return nil, errMalformedKey
	}
	jwk := object{}
	for name, value := range strictjson.Members(raw) {
		jwk[name] = value
	}
	kty, ok := jwk.text("kty")
	if !ok {
		return nil, errMalformedKey
	}
	// This comes first, so that a secret is noticed whatever its purpose.
	if kty == "oct" || slices.ContainsFunc(secret, jwk.has) {
		return nil, errSecretKey
	}
	if verifies, err := jwk.verifies(); !verifies {
		return nil, err
	}
	public, err := jwk.public(kty)
	if public == nil || err != nil {
		return nil, err
	}
	// A key that this package would not sign with must not verify either.
	k := &key{public: public}
	if k.kind, k.size, err = inspect(public); err != nil {
		return nil, err
	}
	// This is not checked in inspect, which keys that sign here pass too: their holder can factor
	// the modulus anyway.
	if rsaKey, ok := public.(*rsa.PublicKey); ok {
		if err := checkModulus(rsaKey.N); err != nil {
			return nil, err
		}
	}
	if k.id, k.hasID = jwk.text("kid"); jwk.has("kid") && !k.hasID {
		return nil, errMalformedKey
	}
	// An unknown alg, or one for encryption, stays: the key then fits no message.
	if k.alg, ok = jwk.text("alg"); jwk.has("alg") && (!ok || k.alg == "") {
		return nil, errMalformedKey
	}
	return k, nil
}

// object is a JSON object with raw values. A member that is null is present, and malformed to every
// method below.
type object map[string][]byte

func (o object) has(name string) bool { return o[name] != nil }

// text returns a member that is a string; false: it is absent or not a string.
func (o object) text(name string) (string, bool) { return strictjson.String(o[name]) }

// number returns the bytes of a member that is a base64url string of at least one byte: a
// big-endian integer, or bytes (RFC 7518 §2).
func (o object) number(name string) ([]byte, bool) {
	s, _ := o.text(name)
	b, ok := appendDecoded(nil, []byte(s))
	return b, ok && len(b) > 0
}

// verifies reports whether use and key_ops, where they are present, allow the key to verify
// signatures (RFC 7517 §4.2, §4.3).
func (o object) verifies() (bool, error) {
	if o.has("use") {
		use, ok := o.text("use")
		if !ok {
			return false, errMalformedKey
		}
		if use != "sig" {
			return false, nil
		}
	}
	if o.has("key_ops") {
		ops, ok := strictjson.Strings(o["key_ops"])
		if !ok {
			return false, errMalformedKey
		}
		return slices.Contains(ops, "verify"), nil
	}
	return true, nil
}

// public returns the public key. It returns nil and no error for a type or a curve that is not used
// here.
func (o object) public(kty string) (crypto.PublicKey, error) {
	switch kty {
	case "EC":
		return o.ecdsa()
	case "OKP":
		// X25519 and X448 are for key agreement; Ed448 is not in the standard library.
		if crv, ok := o.text("crv"); !ok || crv != "Ed25519" {
			return nil, malformedUnless(ok)
		}
		x, ok := o.number("x")
		if !ok {
			return nil, errMalformedKey
		}
		return ed25519.PublicKey(x), nil
	case "RSA":
		return o.rsa()
	}
	return nil, nil
}

// ecdsa requires coordinates of full length, leading zeros included (RFC 7518 §6.2.1.2). The parser
// of the point would check only the sum of both lengths.
func (o object) ecdsa() (crypto.PublicKey, error) {
	crv, ok := o.text("crv")
	curve := curves[crv]
	if curve == nil {
		return nil, malformedUnless(ok)
	}
	size := (curve.Params().BitSize + 7) / 8
	x, okX := o.number("x")
	y, okY := o.number("y")
	if !okX || !okY || len(x) != size || len(y) != size {
		return nil, errMalformedKey
	}
	// 4 marks an uncompressed point.
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

// rsa leaves the check of the sizes to inspect, except for an exponent that is too long for an int.
func (o object) rsa() (crypto.PublicKey, error) {
	n, okN := o.number("n")
	e, okE := o.number("e")
	if !okN || !okE {
		return nil, errMalformedKey
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 { // the limit of crypto/rsa
		return nil, errors.New("an RSA exponent beyond 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

// malformedUnless returns nil for the name of an unused curve, which is ok, and an error for a
// value that is not a name.
func malformedUnless(ok bool) error {
	if ok {
		return nil
	}
	return errMalformedKey
}
