package tokenstore_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// The chain of an opaque token and the chain behind a refresh token leave the store byte for byte
// (D12, D28). encoding/json would write the same chain with other bytes.
func TestD12_ChainsAreKeptByteForByte(t *testing.T) {
	const chain = `{ "iss": "https://as.example", "sub": "bob", "note": "<a> & b", ` +
		`"n": 12345678901234567890.10, "act": {"iss":"https://as.example",  "sub":"carol"} }`
	w := newWorld(t)
	tok := w.login("alice")
	tok.Actor = &tx.Actor{}
	require.NoError(t, tok.Actor.UnmarshalJSON([]byte(chain)))
	minted, err := w.tokens.Mint(t.Context(), tok)
	require.NoError(t, err)

	a := w.granted(w.exchange("gateway", minted.Value, access, "requested_token_type", string(jwt),
		"scope", "read offline_access"))
	require.Contains(t, string(payload(t, a.text("access_token"))), `"act":`+chain)
	b := w.granted(w.refresh("gateway", a.text("refresh_token")))
	require.Contains(t, string(payload(t, b.text("access_token"))), `"act":`+chain)
	c := w.granted(w.exchange("gateway", b.text("access_token"), jwt, "scope", "read"))
	act, err := json.Marshal(w.introspect("api", c.text("access_token"))["act"])
	require.NoError(t, err)
	require.JSONEq(t, chain, string(act))
}
