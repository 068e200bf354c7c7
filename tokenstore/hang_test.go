package tokenstore_test

import (
	"context"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// hanging is a Store whose Discard and Revoke block and ignore their context.
type hanging struct {
	tokenstore.Store
	until chan struct{}
}

func (s hanging) Discard(context.Context, tokenstore.Batch) error { <-s.until; return nil }

func (s hanging) Revoke(context.Context, time.Time, tokenstore.Key, time.Time) error {
	<-s.until
	return nil
}

// A discard or revocation that must happen even if the request is canceled has a timeout of its
// own.
func TestStoreThatHangs(t *testing.T) {
	exchanged := func(w *world, subject string) (tx.Response, error) {
		return w.x.Exchange(w.Context(), w.client["gateway"], url.Values{
			"grant_type": {tx.GrantType}, "subject_token": {subject},
			"subject_token_type": {string(access)}, "scope": {"read offline_access"}})
	}
	refreshed := func(w *world, token string) (tx.Response, error) {
		return w.tokens.Refresh(w.Context(), w.x, w.client["gateway"], url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}
	for name, run := range map[string]func(w *world, login, used string) error{
		"Discard after a Commit that failed": func(w *world, login, _ string) error {
			w.store.commit = func(context.Context, time.Time, tokenstore.Batch) error {
				return errBroken
			}
			_, err := exchanged(w, login)
			return err
		},
		"Revoke after a refresh token was used twice": func(w *world, _, used string) error {
			_, err := refreshed(w, used)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			login := w.opaque("alice")
			first, err := exchanged(w, login)
			require.NoError(t, err)
			_, err = refreshed(w, first.RefreshToken)
			require.NoError(t, err)
			synctest.Test(t, func(t *testing.T) {
				until := make(chan struct{})
				w.store.Store = hanging{w.store.memory, until}
				begin := time.Now()
				err := run(w, login, first.RefreshToken)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 5*time.Second, time.Since(begin))
				close(until)
			})
		})
	}
}
