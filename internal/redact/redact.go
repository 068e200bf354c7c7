// Package redact removes tokens and other secrets from texts for operators (I08). The errors of a
// host, of a server or of a proxy may contain what was sent to them.
package redact

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Least is the length of the shortest secret that is removed. A shorter one could be any word.
const Least = 8

// Text returns text without the secrets, and without the part behind the last dot of each, the
// signature of a JWT. Secrets are found verbatim, quoted, and as in a URL; not, for example, in
// hexadecimal.
func Text(text string, secrets ...string) string {
	var pairs []string
	for _, secret := range secrets {
		signature := secret[strings.LastIndexByte(secret, '.')+1:]
		for _, part := range []string{secret, signature} {
			if len(part) < Least || len(part) > len(text) {
				continue // no spelling is shorter than the part itself
			}
			quoted := strconv.Quote(part)
			for _, spelling := range []string{
				part, url.QueryEscape(part), url.PathEscape(part), quoted[1 : len(quoted)-1],
			} {
				pairs = append(pairs, spelling, "[redacted]")
			}
		}
	}
	if len(pairs) == 0 {
		return text
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Error returns err if it contains none of the secrets. If it does, Error returns a new error with
// the redacted text that wraps nothing but code, since err itself may hold a secret.
func Error(err, code error, secrets ...string) error {
	text := err.Error()
	clean := Text(text, secrets...)
	if clean == text {
		return err
	}
	return fmt.Errorf("%w: %s", code, clean)
}
