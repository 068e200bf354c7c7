package tokenstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
)

// refreshPrefix begins every refresh token.
const refreshPrefix = "rt_"

// usual are the opaque types where Tokens.Opaque is nil.
var usual = map[tokenexchange.TokenType]string{tokenexchange.TypeAccessToken: "at_"}

const (
	valueBytes   = 32 // of randomness
	handleLength = 43 // of as many bytes in base64url
)

// prefix returns what values of the type begin with; false if they are not opaque.
func (t *Tokens) prefix(kind tokenexchange.TokenType) (prefix string, opaque bool) {
	types := t.Opaque
	if types == nil {
		types = usual
	}
	switch kind {
	case tokenexchange.TypeRefreshToken:
		return refreshPrefix, true
	case tokenexchange.TypeJWT, tokenexchange.TypeIDToken:
		return "", false
	}
	prefix, opaque = types[kind]
	return prefix, opaque && isPrefix(prefix)
}

// isPrefix keeps opaque values apart from JWTs, which have dots, and from characters that would need an escape.
func isPrefix(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// isValue reports whether a value has the form of the type's opaque tokens.
func (t *Tokens) isValue(kind tokenexchange.TokenType, value string) bool {
	prefix, opaque := t.prefix(kind)
	return opaque && len(value) == len(prefix)+handleLength && value[:len(prefix)] == prefix
}

// newValue makes an opaque token.
func newValue(prefix string) string {
	var raw [valueBytes]byte
	rand.Read(raw[:]) // never fails, by its contract
	buf := make([]byte, 0, len(prefix)+handleLength)
	return string(base64.RawURLEncoding.AppendEncode(append(buf, prefix...), raw[:]))
}

// handle is the ID of an opaque token: a name under which it can be spoken of, from which nobody makes the token. It is
// taken of the whole value, so one that was cut, extended or given another prefix is another name.
func handle(value string) string {
	hash := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// isJWT reports whether a presented value can only be a JWT.
func isJWT(value string) bool { return strings.Contains(value, ".") }
