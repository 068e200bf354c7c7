package tokenstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
)

// refreshPrefix is the prefix of every refresh token.
const refreshPrefix = "rt_"

// defaultOpaque is the meaning of a nil Tokens.Opaque.
var defaultOpaque = map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: "at_"}

const (
	valueBytes = 32 // random bytes of a value
	hashLength = 43 // length of 32 bytes in base64url, for a value after its prefix and for an ID
)

// prefix returns the prefix of the values of a type, and whether the type is opaque.
func (t *Tokens) prefix(typ tokenexchange.TokenType) (prefix string, opaque bool) {
	types := t.Opaque
	if types == nil {
		types = defaultOpaque
	}
	switch typ {
	case tokenexchange.TypeRefreshToken:
		return refreshPrefix, true
	case tokenexchange.TypeJWT, tokenexchange.TypeIDToken:
		return "", false
	}
	prefix, opaque = types[typ]
	return prefix, opaque && isPrefix(prefix)
}

// isPrefix reports whether s consists of letters, digits and underscores. With such a prefix a
// value is never taken for a JWT, which has dots, and needs no escapes.
func isPrefix(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// isValue reports whether a value has the form of the opaque tokens of a type.
func (t *Tokens) isValue(typ tokenexchange.TokenType, value string) bool {
	prefix, opaque := t.prefix(typ)
	return opaque && len(value) == len(prefix)+hashLength && value[:len(prefix)] == prefix
}

// newValue returns a new opaque token.
func newValue(prefix string) string {
	var raw [valueBytes]byte
	rand.Read(raw[:]) // never fails, by its contract
	buf := make([]byte, 0, len(prefix)+hashLength)
	return string(base64.RawURLEncoding.AppendEncode(append(buf, prefix...), raw[:]))
}

// valueID returns the ID of an opaque token. The ID may be logged: the token cannot be found from
// it. It is a hash of the whole value, so a value that is cut, extended or given another prefix has
// another ID.
func valueID(value string) string {
	hash := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// isJWT reports whether a presented value can only be a JWT.
func isJWT(value string) bool { return strings.Contains(value, ".") }
