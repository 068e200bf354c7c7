// Package jose takes signed JWTs apart, verifies and makes them. It is the only place where the library touches
// github.com/lestrrat-go/jwx, and nothing of that module shows in its exported signatures: bytes, strings and the key
// types of the standard library go in and out.
//
// The division of labour is deliberate. What decides which bytes are believed (the grammar of a compact JWS, which key
// may verify which algorithm, how old a fetched key set may be) is here, where it can be read. The signature schemes
// are jwx's and the standard library's. Claims are nobody's business here: a payload is bytes.
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

// ErrUnknownKey means that the set has no key for a message: none of its kid or, if it names none, none that fits its
// algorithm. The token is bad as far as this set goes; a younger set may have the key.
var ErrUnknownKey = errors.New("no key of the set is the one that the token names")

// Other refusals differ for the reader of a log only: to callers they are all a bad token.
var (
	errAlgorithm = errors.New("the algorithm is not allowed, or not for this key")
	errAmbiguous = errors.New("several keys fit a token that names none")
	errSignature = errors.New("the signature does not verify")
)

// Source is where keys come from: a pinned set or a URL.
type Source interface {
	// Verify checks the signature of m. An error for which IsUnavailable is true says nothing about m; any other error
	// means that m is not to be believed.
	Verify(ctx context.Context, m *Message) error
}

// Pinned is a Source that never changes and never fails. A nil k refuses every message.
func Pinned(k *Keys) Source { return pinned{k} }

// pinned is a set under the interface of a source.
type pinned struct{ keys *Keys }

func (p pinned) Verify(_ context.Context, m *Message) error { return p.keys.Verify(m) }

// IsUnavailable reports whether err means that keys could not be had, in time or at all, so that nobody knows whether the
// token is good. It is false for nil and for every error that is about the token. The cause is kept: a caller's own
// deadline is context.DeadlineExceeded to errors.Is.
func IsUnavailable(err error) bool {
	var u *unavailable
	return errors.As(err, &u)
}

// unavailable is the failure of a source, or the end of a caller's patience with it. The type is not exported: nobody but
// a source can claim to be one, and callers have IsUnavailable.
type unavailable struct{ cause error }

func (u *unavailable) Error() string { return "keys unavailable: " + u.cause.Error() }
func (u *unavailable) Unwrap() error { return u.cause }

// strict is base64url without padding whose unused trailing bits must be zero: one text for every value, so that a
// signature or a key cannot be spelled in two ways.
var strict = base64.RawURLEncoding.Strict()

// IsCanonical reports whether each segment between the dots of a token is strict base64url, as
// Parse demands. It is for tokens that another library reads, which may take several texts for one
// token. It does not count the segments.
func IsCanonical(token string) bool {
	for segment := range strings.SplitSeq(token, ".") {
		if _, ok := appendDecoded(nil, []byte(segment)); !ok {
			return false
		}
	}
	return true
}

// appendDecoded appends what text stands for; false if it is not in that form. Line breaks are looked for because
// encoding/base64 skips them.
func appendDecoded(dst, text []byte) ([]byte, bool) {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return dst, false
	}
	dst, err := strict.AppendDecode(dst, text)
	return dst, err == nil
}
