package redact_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

func TestI08_Text(t *testing.T) {
	const jwt, opaque, short = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "opaque/+ 0123\"456", "alice"
	for text, want := range map[string]string{
		"no such token: " + jwt:                      "no such token: [token]",
		"signature c2lnbmF0dXJl is bad":              "signature [token] is bad",
		"?token=" + url.QueryEscape(opaque):          "?token=[token]",
		"/tokens/" + url.PathEscape(opaque) + "/":    "/tokens/[token]/",
		fmt.Sprintf("%q and %s", opaque, opaque):     `"[token]" and [token]`,
		"alice, whose id is shorter than any secret": "alice, whose id is shorter than any secret",
		jwt + jwt: "[token][token]",
		"":        "",
		"nothing of it: eyJhbGciOiJFUzI1NiJ9, opaque": "nothing of it: eyJhbGciOiJFUzI1NiJ9, opaque",
	} {
		assert.Equal(t, want, redact.Text(text, jwt, opaque, short, ""))
	}
	assert.Equal(t, "x", redact.Text("x"))
}
