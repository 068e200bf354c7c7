package jose

import (
	"bytes"
	"crypto/sha256"
	"errors"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

// MaxToken is how long a compact JWS may be, in bytes. Reading a token is linear in its length and happens before its
// sender is known.
const MaxToken = 64 << 10

// Message is one compact JWS as it arrived, taken apart. Nothing in it is verified: Algorithm and KeyID choose a key,
// the rest is for after a Source has vouched for it. The zero Message is refused by every Source.
type Message struct {
	Algorithm string // header alg, as sent; never empty after Parse
	KeyID     string // header kid; "" together with !HasKeyID
	HasKeyID  bool
	Type      string // header typ, as sent; "" together with !HasType
	HasType   bool
	Payload   []byte // what the second segment stands for, any bytes

	signed    []byte // the first two segments with their dot
	signature []byte
}

// What is wrong with a token is told from these alone. None has a place in the token or a byte of it, not even an offset.
// Digest names the message by its header and payload, base64url of a SHA-256. The signature is left out: another one that
// verifies can be made of a good ECDSA signature by anybody, and names must not change with it.
func (m *Message) Digest() string {
	sum := sha256.Sum256(m.signed)
	return strict.EncodeToString(sum[:])
}

var (
	errTooLong   = errors.New("longer than a token may be")
	errSegments  = errors.New("not three segments with something in each")
	errEncoding  = errors.New("a segment is not base64url as RFC 7515 has it")
	errHeader    = errors.New("the header is not an object with a string as alg, and as kid and typ if they are there")
	errForbidden = errors.New("the header has a member that is never accepted")
)

// forbidden are header members that turn a signed token into something else, or bring the key along. A reader who
// ignores them is safe; a sender who uses them is either attacking or misunderstood, so they are refused on sight.
// RFC 7515 §4.1.11 demands as much for a crit that is not understood, and nothing is understood here.
// Certificates (x5c, x5t, x5t#S256) are common and harmless where nobody looks at them: nobody does.
var forbidden = map[string]bool{
	"crit": true, "b64": true, // the signature covers something else (RFC 7797), or more is demanded
	"zip": true, "enc": true, // compressed or encrypted: a JWE
	"jwk": true, "jku": true, "x5u": true, // a key, or where to fetch one, by courtesy of the sender
}

// Parse takes a compact JWS apart, strictly: three segments, none empty, each base64url without padding, white space,
// line breaks or set trailing bits; a header that every JSON reader reads alike. What it accepts it would write the same
// way, byte for byte. The payload may be anything but empty. No error contains a part of the token.
func Parse(token string) (*Message, error) {
	// Before anything is allocated for it.
	if len(token) > MaxToken {
		return nil, errTooLong
	}
	text := []byte(token)
	first, last := bytes.IndexByte(text, '.'), bytes.LastIndexByte(text, '.')
	// A dot between these two, as in the five segments of a JWE, fails below: it is no base64url.
	if first <= 0 || last <= first+1 || last == len(text)-1 {
		return nil, errSegments
	}

	// All three segments are decoded into one allocation. Each slice ends where the next begins, so none can grow into it.
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

// readHeader reads the three members that matter, looks for those that must not be there and leaves all others alone.
// Names are compared as they are unescaped, and exactly: Alg is somebody's extension (RFC 7515 §4).
func (m *Message) readHeader(header []byte) error {
	// A name that occurs twice would be read differently by whoever sent it and by us; so would what is not Unicode.
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
	if m.Algorithm == "" { // absent or empty; and a header that is no object has no members
		return errHeader
	}
	return nil
}
