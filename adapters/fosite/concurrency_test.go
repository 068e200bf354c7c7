package fositeexchange_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestD12_ManyAtOnce: exchanges of the same subject token by different actors, at the same time, get each their own.
func TestD12_ManyAtOnce(t *testing.T) {
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
					said := h.says(t, got.token())
					act := map[string]any{"iss": issuer, "sub": user, "client_id": "helpdesk"}
					if !assert.NotNil(t, said, got.text) || !assert.Equal(t, act, said["act"]) {
						return
					}
					assert.Equal(t, "alice", said["sub"])
					next := h.ask(t, "orders", "subject_token", got.token(), "audience", "https://billing.example")
					want := map[string]any{"iss": issuer, "sub": "orders", "client_id": "orders", "act": act}
					assert.Equal(t, want, h.says(t, next.token())["act"], next.text)
				})
			}
		}
		all.Wait()
		require.Len(t, h.audit.Events(), 2*8*len(actors))
		ids := map[string]bool{}
		for _, ev := range h.audit.Events() {
			require.NoError(t, ev.Err)
			require.False(t, ids[ev.TokenID], fmt.Sprintf("%s twice", ev.TokenID))
			ids[ev.TokenID] = true
		}
	})
}
