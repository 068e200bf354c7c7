//go:build browser

package main

// What an operator does, done in a real Chromium. It needs Node, the packages of browser/package-lock.json and chromium,
// which go test alone must not, hence the tag. All of it is done by
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
	// What the browser's script asks for: all tokens there have been, to look for them in what the browser has; how many of
	// them name two people and are good; and that the console of one of its visitors has a later clock.
	control := http.NewServeMux()
	control.HandleFunc("GET /tokens", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(append(st.wire.tokens(), late.wire.tokens()...))
	})
	control.HandleFunc("GET /acting", func(w http.ResponseWriter, _ *http.Request) {
		acting := 0 // tokens that name two people and are good
		for _, token := range st.wire.tokens() {
			if st.introspect(token)["act"] != nil {
				acting++
			}
		}
		_ = json.NewEncoder(w).Encode(acting)
	})
	control.HandleFunc("POST /ten-minutes-later", func(http.ResponseWriter, *http.Request) { late.clock.advance(10 * time.Minute) })
	server := httptest.NewServer(control)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // for a machine that is busy; it takes a tenth of that
	defer cancel()
	script := exec.CommandContext(ctx, "node", "console.mjs")
	script.Dir = "browser"
	script.Env = append(os.Environ(), "CONSOLE="+st.URL, "CONSOLE_LATE="+late.URL, "CONTROL="+server.URL)
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
	require.Equal(t, map[string]int{"Ticket 4711: an order is missing": 4, "Ticket 4712: by keyboard": 2}, reasons, "the audit log has what was typed")
}
