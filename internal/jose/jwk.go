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

// key is one public key that may verify signatures, converted once.
type key struct {
	id     string // kid; "" together with !hasID
	hasID  bool
	alg    string // the one algorithm it is for; "" is any of its kind
	kind   kind
	size   int // of a signature
	public any // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
}

// fits says whether k may verify signatures of algorithm a.
func (k *key) fits(a algorithm) bool {
	return k.kind == a.kind && (k.alg == "" || k.alg == a.name)
}

// Errors of a key. They say what is wrong in kind and never quote: a key that is wrong may be a secret.
var (
	errMalformedKey = errors.New("a member is missing or not what RFC 7517 and 7518 say it is")
	errSecretKey    = errors.New("a private or symmetric key; only public keys belong here")
)

// secret are the members that only a private or symmetric key has, of whatever type (RFC 7518 §6, RFC 8037 §2).
var secret = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// curves are the curves of type EC. Their coordinates have a fixed length, leading zeros included.
var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// readKey reads one JWK, which has passed strictjson.Check. It returns nil and no error for a key that is well formed but
// for something else: encryption, a type or a curve that no algorithm here uses. Certificates in it are not looked at.
//
// The standard library builds the key rather than jwx, which takes Ed25519 keys of any length and points off the curve,
// cuts long RSA exponents, and fails on a use of key_ops that RFC 7517 §4.3 leaves open.
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
	// First of all, so that a set with a secret in it is noticed whatever the secret is for.
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
	// The same inspection as for a key that signs here: what this library would not use, it does not believe either.
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
	// An alg that is nobody's, or one for encryption, stays: the key then fits no message.
	if k.alg, ok = jwk.text("alg"); jwk.has("alg") && (!ok || k.alg == "") {
		return nil, errMalformedKey
	}
	return k, nil
}

// object is a JSON object, its values raw. A member that is null is there, and is nothing that is asked for below.
type object map[string][]byte

func (o object) has(name string) bool { return o[name] != nil }

// text returns a member that is a string.
func (o object) text(name string) (string, bool) { return strictjson.String(o[name]) }

// number returns a member that is a base64url string of at least one byte: an integer in big-endian order, or bytes
// (RFC 7518 §2). Leading zeros mean nothing for an RSA key, and everything for a coordinate.
func (o object) number(name string) ([]byte, bool) {
	s, _ := o.text(name)
	b, ok := appendDecoded(nil, []byte(s))
	return b, ok && len(b) > 0
}

// verifies says whether use and key_ops, where they are present, let the key verify signatures (RFC 7517 §4.2, §4.3).
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

// public builds the key itself; nil and no error for a type or a curve that nothing here uses.
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

// ecdsa checks the lengths of both coordinates, as the point that is made of them has only a length in all.
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
	// 4 is the mark of an uncompressed point.
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

// rsa leaves the sizes to inspect, except for an exponent that does not fit an int everywhere.
func (o object) rsa() (crypto.PublicKey, error) {
	n, okN := o.number("n")
	e, okE := o.number("e")
	if !okN || !okE {
		return nil, errMalformedKey
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 { // what crypto/rsa takes, and more than anybody uses
		return nil, errors.New("an RSA exponent beyond 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

// malformedUnless tells a name that means nothing here, which is no error, from a member that is no name.
func malformedUnless(ok bool) error {
	if ok {
		return nil
	}
	return errMalformedKey
}
