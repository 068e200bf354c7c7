package jose

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// MaxToken is the limit for a compact JWS, in bytes. The time to read a token grows with its
// length, and a token is read before its sender is known.
const MaxToken = 64 << 10

// Message is a parsed compact JWS. Nothing in it is verified. Algorithm and KeyID may choose a key;
// nothing else may be used before a Source has verified the signature. Every Source refuses the
// zero Message.
type Message struct {
	Algorithm string // header alg, as sent; never empty after Parse
	KeyID     string // header kid; empty if !HasKeyID
	HasKeyID  bool
	Type      string // header typ, as sent; empty if !HasType
	HasType   bool
	Payload   []byte // any bytes

	signed    []byte // the first two segments with their dot
	signature []byte
}

// Digest returns a name for the message: the SHA-256 of its header and payload, in base64url. The
// signature is left out: anyone can turn a valid ECDSA signature into another valid one, which must
// not change the name.
func (m *Message) Digest() string {
	sum := sha256.Sum256(m.signed)
	return strict.EncodeToString(sum[:])
}

// The errors of Parse contain no part of the token, not even an offset.
var (
	errTooLong   = fmt.Errorf("the token is longer than %d bytes", MaxToken)
	errSegments  = errors.New("the token has not three segments, or one of them is empty")
	errEncoding  = errors.New("a segment is not strict base64url (RFC 7515)")
	errHeader    = errors.New("the header has no alg, or its alg, kid or typ is not a string")
	errForbidden = errors.New("the header has a member that is never accepted")
)

// forbidden are header members that change what is signed, or bring a key. A reader may ignore most
// of them, but a sender has no reason to use one, so Parse refuses them. RFC 7515 §4.1.11 requires
// that for crit, since this package understands no extension. Certificates (x5c, x5t, x5t#S256) are
// common; this package ignores them.
var forbidden = map[string]bool{
	"crit": true, "b64": true, // the signature covers something else (RFC 7797)
	"zip": true, "enc": true, // compressed or encrypted: a JWE
	"jwk": true, "jku": true, "x5u": true, // a key, or the place of a key, of the sender's choice
}

// Parse parses a compact JWS: three segments, none empty, each strict base64url, and a header that
// every JSON reader understands alike. So a token has exactly one text. The payload may be any
// bytes.
func Parse(token string) (*Message, error) {
	if len(token) > MaxToken {
		return nil, errTooLong
	}
	text := []byte(token)
	first, last := bytes.IndexByte(text, '.'), bytes.LastIndexByte(text, '.')
	// A further dot, as in a JWE of five segments, fails below: it is not base64url.
	if first <= 0 || last <= first+1 || last == len(text)-1 {
		return nil, errSegments
	}

	// All segments share one buffer. The capacity of each ends where the next begins.
	buf := make([]byte, 0, strict.DecodedLen(len(text)))
	buf, ok1 := appendDecoded(buf, text[:first])
	endHeader := len(buf)
	buf, ok2 := appendDecoded(buf, text[first+1:last])
	endPayload := len(buf)
	buf, ok3 := appendDecoded(buf, text[last+1:])
	if !ok1 || !ok2 || !ok3 {
		return nil, errEncoding
	}
	m := &Message{
		Payload:   buf[endHeader:endPayload:endPayload],
		signed:    text[:last:last],
		signature: buf[endPayload:],
	}
	if err := m.readHeader(buf[:endHeader:endHeader]); err != nil {
		return nil, err
	}
	return m, nil
}

// readHeader reads alg, kid and typ, refuses forbidden members and ignores all others. Names are
// compared exactly: "Alg" would be an extension (RFC 7515 §4).
func (m *Message) readHeader(header []byte) error {
	if err := strictjson.Check(header); err != nil {
		return err
	}
	for name, value := range strictjson.Members(header) {
		ok := true
		switch {
		case name == "alg":
			m.Algorithm, ok = strictjson.String(value)
		case name == "kid":
			m.KeyID, m.HasKeyID = strictjson.String(value)
			ok = m.HasKeyID
		case name == "typ":
			m.Type, m.HasType = strictjson.String(value)
			ok = m.HasType
		case forbidden[name]:
			return errForbidden
		}
		if !ok {
			return errHeader
		}
	}
	if m.Algorithm == "" { // absent or empty, or the header is not an object
		return errHeader
	}
	return nil
}
