package world

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// Answer is a response of the token endpoint.
type Answer struct {
	Status int
	Header http.Header
	Raw    string
	JSON   map[string]any
}

func readAnswer(t require.TestingT, resp *http.Response) Answer {
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Raw: string(raw)}
	if resp.Request.Method != http.MethodHead {
		require.NoError(t, json.Unmarshal(raw, &a.JSON), "%q", raw)
	}
	return a
}

// Refused requires an error response with that code, in every member and header (R12, R13).
func (a Answer) Refused(t require.TestingT, code tx.Code) Answer {
	require.Equal(t, string(code), a.JSON["error"], "%d %s", a.Status, a.Raw)
	require.Equal(t, code.Status(), a.Status)
	for name, value := range a.JSON {
		require.Contains(t, []string{"error", "error_description"}, name)
		require.IsType(t, "", value)
	}
	a.NotCached(t)
	if code != tx.InvalidClient {
		require.Empty(t, a.Header.Values("WWW-Authenticate"))
	}
	return a
}

// Granted requires a success and returns the claims of the token in access_token.
func (a Answer) Granted(t require.TestingT) map[string]any {
	return ClaimsOf(t, a.Issued(t))
}

// Issued requires a success and returns the token in access_token.
func (a Answer) Issued(t require.TestingT) string {
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	a.NotCached(t)
	require.IsType(t, "", a.JSON["access_token"])
	return a.JSON["access_token"].(string)
}

// NotCached requires the headers of every answer of the token endpoint.
func (a Answer) NotCached(t require.TestingT) {
	require.Equal(t, []string{"no-store"}, a.Header.Values("Cache-Control"), "R12")
	require.Equal(t, []string{"no-cache"}, a.Header.Values("Pragma"), "R12")
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
}
