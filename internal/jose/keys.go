package jose

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Keys is a set of public keys and the algorithms that are allowed for them. It never changes, so
// any number of goroutines may use it. The zero Keys and a nil one refuse every message.
type Keys struct {
	methods methods
	all     []*key          // for tokens without kid
	byID    map[string]*key // the keys that have a kid
}

// ParseKeys reads a pinned JWK set (RFC 7517 §5). An operator chose these keys, so everything that
// looks like a mistake is an error: a private or symmetric key, an RSA key of less than 2048 or
// more than 8192 bits, a point off its curve, a key that others can sign for, more than 100 keys,
// two keys with the same kid, two keys without a kid, a member name that occurs twice, data after
// the set, or a set in which no key fits an allowed algorithm. Keys for encryption and keys of
// unknown types are skipped.
//
// The algorithms may be ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384 and RS512. An
// empty list and any other name are errors, HMAC and none in particular.
func ParseKeys(jwks []byte, algorithms []string) (*Keys, error) {
	ms, err := newMethods(algorithms)
	if err != nil {
		return nil, err
	}
	raws, err := splitSet(jwks)
	if err != nil {
		return nil, err
	}
	set := &Keys{methods: ms, byID: map[string]*key{}}
	usable, anonymous := false, false
	for i, raw := range raws {
		k, err := readKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i, err)
		}
		if k == nil {
			continue
		}
		if !set.add(k) || !k.hasID && anonymous {
			return nil, fmt.Errorf(
				"key %d of the set: an earlier key has the same kid, or neither has one", i)
		}
		usable = usable || ms.fit(k)
		anonymous = anonymous || !k.hasID
	}
	if !usable {
		return nil, errors.New("no key of the set fits an allowed algorithm")
	}
	return set, nil
}

// parseFetched reads a set that an issuer publishes. It skips every key that cannot be used here.
// Two usable keys with the same kid are an error, since either could be meant. A set without usable
// keys is not an error: an issuer may withdraw its last key.
func parseFetched(jwks []byte, ms methods) (*Keys, error) {
	raws, err := splitSet(jwks)
	if err != nil {
		return nil, err
	}
	set := &Keys{methods: ms, byID: map[string]*key{}}
	for i, raw := range raws {
		k, err := readKey(raw)
		if err != nil || k == nil || !ms.fit(k) {
			continue
		}
		if !set.add(k) {
			return nil, fmt.Errorf("key %d of the set: an earlier key has the same kid", i)
		}
	}
	return set, nil
}

// maxKeys is the largest number of keys in a set. It limits the time that a publisher can cost us:
// reading an RSA key of 8192 bits takes a tenth of a second.
const maxKeys = 100

// splitSet returns the elements of "keys". A single JWK is an error, although some readers accept
// it as a set of one.
func splitSet(jwks []byte) ([]json.RawMessage, error) {
	if err := strictjson.Check(jwks); err != nil {
		return nil, fmt.Errorf("the JWK set: %w", err)
	}
	for name, value := range strictjson.Members(jwks) {
		if name == "keys" && value[0] == '[' {
			var raws []json.RawMessage
			err := json.Unmarshal(value, &raws)
			if len(raws) > maxKeys {
				err = fmt.Errorf("%d keys in the JWK set; %d at most", len(raws), maxKeys)
			}
			return raws, err
		}
	}
	return nil, errors.New(`the JWK set is not an object with an array "keys"`)
}

// add returns false if the set has a key with the same kid already.
func (k *Keys) add(one *key) bool {
	if one.hasID {
		if k.byID[one.id] != nil {
			return false
		}
		k.byID[one.id] = one
	}
	k.all = append(k.all, one)
	return true
}

// fit reports whether one of the algorithms takes k.
func (ms methods) fit(k *key) bool {
	for _, m := range ms {
		if k.fits(m.algorithm) {
			return true
		}
	}
	return false
}

// Verify checks the signature of m with the key that its kid names. If m has no kid, exactly one
// key of the set must fit its algorithm. Verify returns ErrUnknownKey if there is no such key, and
// another error if the algorithm is not allowed or does not fit the key, if several keys fit, or if
// the signature is wrong.
func (k *Keys) Verify(m *Message) error {
	if k == nil {
		return ErrUnknownKey
	}
	method, ok := k.methods[m.Algorithm]
	if !ok {
		return errAlgorithm
	}
	one, err := k.find(m, method.algorithm)
	if err != nil {
		return err
	}
	// Only one length is valid. This refuses DER, trailing bytes and signatures of another curve
	// before they are interpreted. The standard library refuses zero for r or s.
	if len(m.signature) != one.size {
		return errSignature
	}
	if err := method.Verify(m.signed, m.signature, one.public); err != nil {
		return errSignature
	}
	return nil
}

// find chooses the key without a look at the signature. It never tries several keys.
func (k *Keys) find(m *Message, a algorithm) (*key, error) {
	if m.HasKeyID {
		switch one := k.byID[m.KeyID]; {
		case one == nil:
			return nil, ErrUnknownKey
		case !one.fits(a): // for example RS256 with a key for PS256
			return nil, errAlgorithm
		default:
			return one, nil
		}
	}
	var found *key
	for _, one := range k.all {
		if !one.fits(a) {
			continue
		}
		if found != nil {
			return nil, errAmbiguous
		}
		found = one
	}
	if found == nil {
		return nil, ErrUnknownKey
	}
	return found, nil
}
