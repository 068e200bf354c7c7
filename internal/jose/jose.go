// Package jose parses, verifies and makes signed JWTs. It is the only package that uses
// github.com/lestrrat-go/jwx, and its exported signatures have only strings, bytes and key types of
// the standard library.
//
// This package decides which bytes are believed: the grammar of a compact JWS, which key may verify
// which algorithm, how old a fetched key set may be. jwx and the standard library implement the
// signature schemes. The package does not read claims: a payload is bytes.
//
// No error of this package contains any part of a token, so that all of them may be logged.
package jose

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
)

// ErrUnknownKey means that the set has no key for a message: no key with its kid or, if it has no
// kid, none that fits its algorithm. A newer set may have the key.
var ErrUnknownKey = errors.New("no key of the set fits the kid or the algorithm of the token")

// Callers do not tell these errors apart: the token is invalid.
var (
	errAlgorithm = errors.New("the algorithm is not allowed, or not for this key")
	errAmbiguous = errors.New("the token has no kid, and several keys fit")
	errSignature = errors.New("the signature does not verify")
)

// Source is a source of keys: a pinned set or a URL.
type Source interface {
	// Verify checks the signature of m. An error for which IsUnavailable is true says nothing about
	// m. After any other error m must not be believed.
	Verify(ctx context.Context, m *Message) error
}

// Pinned returns a Source that never changes and is never unavailable. A nil k refuses every
// message.
func Pinned(k *Keys) Source { return pinned{k} }

// pinned is a key set as a Source.
type pinned struct{ keys *Keys }

func (p pinned) Verify(_ context.Context, m *Message) error { return p.keys.Verify(m) }

// IsUnavailable reports whether err means that the keys could not be fetched, or not in time, so
// that the token may be valid or not. It is false for nil and for every error about the token. The
// cause is wrapped: errors.Is finds context.DeadlineExceeded after a deadline of the caller.
func IsUnavailable(err error) bool {
	var u *unavailable
	return errors.As(err, &u)
}

// unavailable is the failure of a Source, or the end of the caller's context. It is not exported,
// so that only this package can make one.
type unavailable struct{ cause error }

func (u *unavailable) Error() string { return "keys unavailable: " + u.cause.Error() }
func (u *unavailable) Unwrap() error { return u.cause }

// strict is base64url without padding whose unused trailing bits must be zero, so that every value
// has exactly one text.
var strict = base64.RawURLEncoding.Strict()

// IsCanonical reports whether each segment of a token is strict base64url, as Parse requires. It is
// for tokens that another library reads, which may accept several texts for one token. It does not
// count the segments.
func IsCanonical(token string) bool {
	for segment := range strings.SplitSeq(token, ".") {
		if _, ok := appendDecoded(nil, []byte(segment)); !ok {
			return false
		}
	}
	return true
}

// appendDecoded appends the decoded text, or returns false if it is not strict base64url. It
// refuses line breaks, which encoding/base64 skips.
func appendDecoded(dst, text []byte) ([]byte, bool) {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return dst, false
	}
	dst, err := strict.AppendDecode(dst, text)
	return dst, err == nil
}
