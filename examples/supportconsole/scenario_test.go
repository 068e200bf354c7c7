package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestScenario has the row of the support console: "a superuser who sees the app as any user of the
// org would", asked for a browser app. The browser never sees a token, a banner names both people,
// and stopping takes effect at once.
func TestScenario(t *testing.T) {
	t.Run("U01", func(t *testing.T) {
		st := play(t)
		b := st.browser(t)

		require.Contains(t, b.get(t, "/").text(), "See what your customers see")
		b.signIn(t, "ines")
		operator := st.wire.tokens() // access token and ID token
		require.Len(t, operator, 2)
		found := b.get(t, "/?q=ali")
		require.Contains(t, found.text(), "Alice Archer")
		require.NotContains(t, found.text(), "Bob Baker")
		require.Contains(t, b.get(t, "/act?user=alice").text(), "Why do you need to?")

		app := b.act(t, "alice", "Ticket 4711: an order is missing", "write")
		require.Equal(t, st.URL+"/app", app.url.String())
		require.Contains(t, app.text(), "You, Ines Support , see this as Alice Archer")
		require.Contains(t, app.text(), "Because: Ticket 4711: an order is missing")
		require.Contains(t, app.text(), "Hello Alice Archer, these are your orders")
		require.Contains(t, app.body, `data-seconds="59`, "ten minutes are left")
		token := st.last()
		require.NotContains(t, operator, token)
		answer := st.introspect(token)
		require.Equal(t, "alice", answer["sub"])
		require.Equal(t, "ines", answer["act"].(map[string]any)["sub"])
		require.Equal(t, "console", answer["client_id"])
		require.Equal(t, "https://shop.example", answer["aud"])

		done := b.post(t, "/app/orders/1047/cancel")
		require.Contains(t, done.text(), "You have cancelled order 1047 for Alice Archer.")
		require.Contains(t, done.text(),
			"ines for alice , through console POST /orders/1047/cancel done",
			"the app has recorded both")

		granted := st.exchange("Ticket 4711: an order is missing")
		require.Equal(t, "granted", granted["outcome"])
		require.Equal(t, "alice", granted["subject"].(map[string]any)["id"])
		require.Equal(t, "ines", granted["actor"].(map[string]any)["id"])

		stopped := b.post(t, "/stop")
		require.Equal(t, st.URL+"/", stopped.url.String())
		require.Contains(t, stopped.text(),
			"You no longer act for Alice Archer. The authorization server confirms that the "+
				"access is no longer valid.")
		require.NotContains(t, stopped.text(), "see this as")
		require.Equal(t, map[string]any{"active": false}, st.introspect(token),
			"ended, and not only forgotten")
		r := request(t, http.MethodGet, st.Shop+"/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "the app takes it no more")
		require.Equal(t, st.URL+"/", b.get(t, "/app").url.String())
		require.True(t, st.active(operator[0]), "the operator goes on")

		refused := b.act(t, "adam", "Ticket 4712", "read")
		require.Equal(t, http.StatusForbidden, refused.status)
		require.Contains(t, refused.text(), "You cannot act for Adam Admin")
		require.Len(t, st.wire.tokens(), 3, "no token for that")
		b.checkSent(t)
		require.True(t, strings.Contains(b.sent.String(), "Hello Alice Archer"),
			"what was sent is what was looked at")
	})
}
