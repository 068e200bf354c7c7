// Package redact takes tokens out of texts that are for operators (I08). Whoever verifies a token for a host cannot know what
// the host puts into its errors.
package redact

import (
	"net/url"
	"strconv"
	"strings"
)

// Least is the length from which a presented token is taken for a secret. Nothing shorter can be one.
const Least = 8

// Text returns text without the tokens, and without the signature of a JWT alone: as they were sent, as URLs have them, or
// quoted. Other spellings, hexadecimal ones for instance, are not found. Tokens that are shorter than Least are left alone.
func Text(text string, tokens ...string) string {
	var pairs []string
	for _, token := range tokens {
		// What is longer than the text is not in it, since no spelling is shorter: of a token of 64 KiB only the end is looked at.
		end := token[max(0, len(token)-len(text)-1):]
		for _, part := range []string{token, end[strings.LastIndexByte(end, '.')+1:]} {
			if len(part) < Least || len(part) > len(text) {
				continue
			}
			quoted := strconv.Quote(part)
			for _, spelling := range []string{part, url.QueryEscape(part), url.PathEscape(part), quoted[1 : len(quoted)-1]} {
				pairs = append(pairs, spelling, "[token]")
			}
		}
	}
	if len(pairs) == 0 {
		return text
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
