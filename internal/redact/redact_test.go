package redact_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

func TestI08_Text(t *testing.T) {
	const jwt, opaque, short = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "opaque/+ 0123\"456", "alice"
	for text, want := range map[string]string{
		"no such token: " + jwt:                      "no such token: [redacted]",
		"signature c2lnbmF0dXJl is bad":              "signature [redacted] is bad",
		"?token=" + url.QueryEscape(opaque):          "?token=[redacted]",
		"/tokens/" + url.PathEscape(opaque) + "/":    "/tokens/[redacted]/",
		fmt.Sprintf("%q and %s", opaque, opaque):     `"[redacted]" and [redacted]`,
		"alice, whose id is shorter than any secret": "alice, whose id is shorter than any secret",
		jwt + jwt: "[redacted][redacted]",
		"":        "",
		"nothing of it: eyJhbGciOiJFUzI1NiJ9, opaque": "nothing of it: eyJhbGciOiJFUzI1NiJ9, opaque",
	} {
		assert.Equal(t, want, redact.Text(text, jwt, opaque, short, ""))
	}
	assert.Equal(t, "x", redact.Text("x"))
}

func TestI08_Error(t *testing.T) {
	host, code := errors.New("cannot read opaque-123"), errors.New("server_error")
	assert.Equal(t, host, redact.Error(host, code, "opaque-456"))

	err := redact.Error(host, code, "opaque-123")
	assert.EqualError(t, err, "server_error: cannot read [redacted]")
	assert.ErrorIs(t, err, code)
	assert.NotErrorIs(t, err, host)
}
