package jose

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// Keys is a set of public keys fit for signatures, and the algorithms they may be used with. It never changes, so any
// number of goroutines may use it. The zero Keys, and nil, refuse every message.
type Keys struct {
	methods methods
	all     []*key          // for tokens without kid
	byID    map[string]*key // those of all that have a kid
}

// ParseKeys reads a pinned JWK set (RFC 7517 §5). Somebody chose these keys by hand, so whatever
// looks like a mistake is an error: a private or symmetric key, an RSA key of less than 2048 or
// more than 8192 bits, a point off its curve, a key that others can sign for, more than 100 keys,
// two keys of one kid, two keys without a kid, a member name that occurs twice, anything after the
// set, a set in which no key fits an allowed algorithm. Keys for encryption and keys of unknown
// types are skipped.
//
// Algorithms are the allowed ones, of ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384 and RS512. An empty
// list and any other name are errors, HMAC and none in particular.
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
			return nil, fmt.Errorf("key %d of the set: an earlier key has the same kid, or none either", i)
		}
		usable = usable || ms.fit(k)
		anonymous = anonymous || !k.hasID
	}
	if !usable {
		return nil, errors.New("no key of the set fits an allowed algorithm")
	}
	return set, nil
}

// parseFetched reads a set that somebody else publishes. They may publish keys that are no concern of ours, so a key that
// cannot be used is skipped whatever the reason. A kid that stands for two usable keys leaves open which one was meant,
// and makes the whole set an error. A set without usable keys is none: it is how an issuer withdraws the last key.
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

// maxKeys is the largest number of keys in a set. Reading an RSA key of 8192 bits takes a tenth of
// a second, and the publisher of a set chooses how many there are.
const maxKeys = 100

// splitSet returns the elements of "keys", raw. A single JWK, which some readers take for a set of one, is none: it would
// be one by accident.
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

// add is false if there is a key of the same kid already.
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

// fit says whether any of the algorithms takes k.
func (ms methods) fit(k *key) bool {
	for _, m := range ms { // ten at most
		if k.fits(m.algorithm) {
			return true
		}
	}
	return false
}

// Verify checks the signature of m with the one key that fits. A kid names the key; without one, exactly one key of the
// set must fit the algorithm. It returns ErrUnknownKey if there is no such key, and an error of no further meaning if the
// algorithm is not allowed or does not fit the key, if several keys fit, or if the signature is wrong.
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
	// One length only: it keeps out DER, stray bytes and signatures of another curve before any of them is interpreted.
	// Zero for r or s is the standard library's to refuse, and it does.
	if len(m.signature) != one.size {
		return errSignature
	}
	if err := method.Verify(m.signed, m.signature, one.public); err != nil {
		return errSignature
	}
	return nil
}

// find picks the key before the signature is looked at. It never tries several: a signature that happens to be good under
// some key is no proof that this key was meant.
func (k *Keys) find(m *Message, a algorithm) (*key, error) {
	if m.HasKeyID {
		switch one := k.byID[m.KeyID]; {
		case one == nil:
			return nil, ErrUnknownKey
		case !one.fits(a): // as when a token of a public key claims to be an HMAC, or RS256 is claimed for a PS256 key
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
