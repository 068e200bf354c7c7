package scenarios

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// U01: who acts for somebody through a client with require_reason says why, and the audit log has it, refusals included.
func TestReason(t *testing.T) {
	w := demo(t)
	clientOf(w, "portal").RequireReason = true
	r := start(t, w)
	access := tokenexchange.TypeAccessToken
	alice, ines := r.login("alice", "portal"), r.login("ines", "portal")
	require.NotContains(t, r.last(), "stated_reason", "a login takes no reason")
	ask := func(subject string, pairs ...string) answer {
		return r.exchange("portal", subject, w.UserIDType, append(pairs, append(actor(ines.AccessToken, access), "scope", "read")...)...)
	}
	for name, reason := range map[string]string{
		"none": "", "white space": "  ", "too long": strings.Repeat("x", 201), "a line break": "ticket\n{}", "bidirectional": "ticket \u202e 12",
		"not UTF-8": "ticket \xff", "a tab": "a\tb",
	} {
		a := ask("alice", "reason", reason)
		require.Equal(t, http.StatusBadRequest, a.status, name)
		require.Equal(t, "invalid_request", a.code(), name)
		require.Contains(t, r.last()["cause"], "reason", name)
		require.NotContains(t, r.last(), "stated_reason", name)
	}
	longest := strings.Repeat("ü", 200)
	require.Equal(t, http.StatusOK, ask("alice", "reason", longest).status)
	require.Equal(t, longest, r.last()["stated_reason"])
	require.Equal(t, http.StatusOK, ask("alice", "reason", " Ticket 4711: lost order ").status)
	require.Equal(t, "Ticket 4711: lost order", r.last()["stated_reason"])
	require.Equal(t, "granted", r.last()["outcome"])

	require.Equal(t, http.StatusBadRequest, ask("adam", "reason", "curiosity").status)
	require.Equal(t, "curiosity", r.last()["stated_reason"], "a refusal has the reason too")
	require.Contains(t, r.last()["cause"], "does not reach")
	require.Equal(t, http.StatusBadRequest, ask("alice", "reason", "one", "reason", "another").status, "R04: repeated")

	narrowed := r.exchange("portal", alice.AccessToken, access, "scope", "read")
	require.Equal(t, http.StatusOK, narrowed.status, "nobody new acts: no reason is needed")
}

// A client that need not state a reason may; one that cannot be recorded is refused all the same.
func TestReason_Optional(t *testing.T) {
	r := start(t, demo(t))
	access := tokenexchange.TypeAccessToken
	alice, ines := r.login("alice", "portal"), r.login("ines", "portal")
	for reason, want := range map[string]int{"": http.StatusOK, "asked by Alice": http.StatusOK, "a\nb": http.StatusBadRequest} {
		a := r.exchange("portal", alice.AccessToken, access, append(actor(ines.AccessToken, access), "reason", reason)...)
		require.Equal(t, want, a.status, "%q", reason)
	}
}

// What the directory says about a user is what a person at a console needs to understand a refusal.
func TestManagementAPI_Status(t *testing.T) {
	r := start(t, demo(t))
	said := map[string][]any{}
	for _, u := range r.get("/api/users", r.login("adam", "portal").JWT).body["users"].([]any) {
		u := u.(map[string]any)
		said[u["id"].(string)] = []any{u["status"], u["privileges"]}
	}
	require.Equal(t, []any{"enabled", []any{}}, said["alice"])
	require.Equal(t, []any{"enabled", []any{"org-admin"}}, said["adam"], "an ordinary role is no privilege")
	require.Equal(t, []any{"locked", []any{}}, said["lola"])
	require.Equal(t, []any{"disabled", []any{}}, said["dora"])
}
