package fositeexchange_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestD12_ConcurrentExchanges checks that concurrent exchanges of one subject token with different
// actor tokens get the right chain each.
func TestD12_ConcurrentExchanges(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		h := newHost(t, format)
		subject := h.logIn(t, aliceAtHelpdesk)
		actors := map[string]string{}
		for _, user := range []string{"bob", "carol", "root"} {
			l := bob
			l.user = user
			actors[user] = h.logIn(t, l)
		}
		var all sync.WaitGroup
		for range 8 {
			for user, actor := range actors {
				all.Go(func() {
					got := h.delegate(t, subject, actor)
					info := h.active(t, got.token())
					act := map[string]any{"iss": issuer, "sub": user, "client_id": "helpdesk"}
					if !assert.NotNil(t, info, got.text) || !assert.Equal(t, act, info["act"]) {
						return
					}
					assert.Equal(t, "alice", info["sub"])
					next := h.ask(t, "orders", "subject_token", got.token(), "audience",
						"https://billing.example")
					want := map[string]any{"iss": issuer, "sub": "orders", "client_id": "orders",
						"act": act}
					assert.Equal(t, want, h.active(t, next.token())["act"], next.text)
				})
			}
		}
		all.Wait()
		require.Len(t, h.audit.Events(), 2*8*len(actors))
		ids := map[string]bool{}
		for _, ev := range h.audit.Events() {
			require.NoError(t, ev.Err)
			require.False(t, ids[ev.TokenID],
				fmt.Sprintf("the token ID %s is not unique", ev.TokenID))
			ids[ev.TokenID] = true
		}
	})
}
