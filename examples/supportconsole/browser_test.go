//go:build browser

package main

// The operator's work in a real Chromium. It needs Node, the packages of browser/package-lock.json
// and Chromium, which go test alone must not need, hence the tag. Run it with
//
//	examples/supportconsole/browser/run

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBrowser(t *testing.T) {
	st, late := play(t), play(t)
	// The script asks for all tokens so far, to search for them in the browser; for the number of
	// active tokens that name two people; and to move the clock of the second console.
	control := http.NewServeMux()
	control.HandleFunc("GET /tokens", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(append(st.wire.tokens(), late.wire.tokens()...))
	})
	control.HandleFunc("GET /acting", func(w http.ResponseWriter, _ *http.Request) {
		acting := 0 // active tokens that name two people
		for _, token := range st.wire.tokens() {
			if st.introspect(token)["act"] != nil {
				acting++
			}
		}
		_ = json.NewEncoder(w).Encode(acting)
	})
	control.HandleFunc("POST /ten-minutes-later", func(http.ResponseWriter, *http.Request) {
		late.clock.advance(10 * time.Minute)
	})
	server := httptest.NewServer(control)
	defer server.Close()
	// for a busy machine; usually it takes a tenth of that
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	script := exec.CommandContext(ctx, "node", "console.mjs")
	script.Dir = "browser"
	script.Env = append(os.Environ(), "CONSOLE="+st.URL,
		"CONSOLE_LATE="+late.URL, "CONTROL="+server.URL)
	script.Stdout, script.Stderr = os.Stdout, os.Stderr
	require.NoError(t, script.Run())

	for _, st := range []*stage{st, late} {
		require.NotEmpty(t, st.wire.tokens())
		require.Empty(t, tokenLike.FindString(st.sent.String()))
		for _, token := range st.wire.tokens() {
			require.False(t, st.active(token), "a token is still good after all that was clicked")
		}
		require.Empty(t, st.sessions.left())
	}
	reasons := map[string]int{}
	st.exchange("Ticket 4712: by keyboard")
	for _, event := range st.events(st.audit, "token exchange") {
		if reason, ok := event["stated_reason"].(string); ok {
			reasons[reason]++
		}
	}
	require.Equal(t, map[string]int{"Ticket 4711: an order is missing": 4,
		"Ticket 4712: by keyboard": 2}, reasons, "the audit log has what was typed")
}
