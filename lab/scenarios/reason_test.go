package scenarios

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// A client with require_reason must state why it acts for a user, and the audit log has the reason,
// refusals included (U01).
func TestReason(t *testing.T) {
	w := demo(t)
	clientOf(w, "portal").RequireReason = true
	r := start(t, w)
	access := tokenexchange.TypeAccessToken
	alice, ines := r.login("alice", "portal"), r.login("ines", "portal")
	require.NotContains(t, r.last(), "stated_reason", "a login takes no reason")
	ask := func(subject string, pairs ...string) answer {
		return r.exchange("portal", subject, w.UserIDType,
			append(pairs, append(actor(ines.AccessToken, access), "scope", "read")...)...)
	}
	for name, reason := range map[string]string{
		"none": "", "white space": "  ", "too long": strings.Repeat("x", 201),
		"a line break": "ticket\n{}", "bidirectional": "ticket \u202e 12",
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
	require.Contains(t, r.last()["cause"], "role_not_sufficient")
	require.Equal(t, http.StatusBadRequest,
		ask("alice", "reason", "one", "reason", "another").status, "R04: repeated")

	narrowed := r.exchange("portal", alice.AccessToken, access, "scope", "read")
	require.Equal(t, http.StatusOK, narrowed.status, "without a new actor no reason is needed")
}

// Other clients may state a reason. A reason that cannot be logged is refused for them too.
func TestReason_Optional(t *testing.T) {
	r := start(t, demo(t))
	access := tokenexchange.TypeAccessToken
	alice, ines := r.login("alice", "portal"), r.login("ines", "portal")
	for reason, want := range map[string]int{"": http.StatusOK, "asked by Alice": http.StatusOK,
		"a\nb": http.StatusBadRequest} {
		a := r.exchange("portal", alice.AccessToken, access,
			append(actor(ines.AccessToken, access), "reason", reason)...)
		require.Equal(t, want, a.status, "%q", reason)
	}
}

// The directory tells a support console why a user cannot be impersonated.
func TestManagementAPI_Status(t *testing.T) {
	r := start(t, demo(t))
	listed := map[string][]any{}
	for _, u := range r.get("/api/users", r.login("adam", "portal").JWT).body["users"].([]any) {
		u := u.(map[string]any)
		listed[u["id"].(string)] = []any{u["status"], u["privileges"]}
	}
	require.Equal(t, []any{"enabled", []any{}}, listed["alice"])
	require.Equal(t, []any{"enabled", []any{"org-admin"}}, listed["adam"],
		"an ordinary role is no privilege")
	require.Equal(t, []any{"locked", []any{}}, listed["lola"])
	require.Equal(t, []any{"disabled", []any{}}, listed["dora"])
}
