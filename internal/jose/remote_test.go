package jose_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, jose.IsUnavailable(err), "%v", err)
	require.NotErrorIs(t, err, jose.ErrUnknownKey)
}

func TestIsUnavailable(t *testing.T) {
	assert.False(t, jose.IsUnavailable(nil))
	assert.False(t, jose.IsUnavailable(jose.ErrUnknownKey))
	assert.False(t, jose.IsUnavailable(context.DeadlineExceeded))
}

func TestRemoteFetchesOnceWhenNeeded(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	assert.Zero(t, s.count(), "construction")
	assert.Error(t, r.Verify(t.Context(), must(jose.Parse(token("ES256", p256(), `{"alg":"HS256","kid":"a"}`, `{}`)))))
	assert.Zero(t, s.count(), "a token that no key could verify")
	for range 3 {
		require.NoError(t, r.Verify(t.Context(), message("a")))
		c.advance(time.Minute)
	}
	assert.Equal(t, 1, s.count())

	forged := must(jose.Parse(token("ES256", p256b(), `{"alg":"ES256","kid":"a"}`, `{}`)))
	err := r.Verify(t.Context(), forged)
	require.Error(t, err)
	assert.False(t, jose.IsUnavailable(err))
	assert.Equal(t, 1, s.count(), "a wrong signature is no reason to fetch")
}

func TestRemoteSharesFetch(t *testing.T) {
	release := make(chan struct{})
	s, r, _ := newRemote(t, stall(release, publish(setA())))
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { assert.NoError(t, r.Verify(t.Context(), message("a"))) })
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	wg.Wait()
	assert.Equal(t, 1, s.count())
}

func TestRemoteDeadlineOfCaller(t *testing.T) {
	release := make(chan struct{})
	s, r, _ := newRemote(t, stall(release, publish(setA())))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := r.Verify(ctx, message("a"))
	requireUnavailable(t, err)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(start), 2*time.Second)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	err = r.Verify(canceled, message("a"))
	requireUnavailable(t, err)
	assert.ErrorIs(t, err, context.Canceled)

	// The fetch was not theirs to end: the next caller has its result, and whoever needs no fetch needs no time.
	close(release)
	require.NoError(t, r.Verify(t.Context(), message("a")))
	assert.NoError(t, r.Verify(canceled, message("a")))
	assert.Equal(t, 1, s.count())
}

func TestRemoteSlowSource(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{"silent": stall(nil, status(200)), "drip": drip} {
		_, r, _ := newRemote(t, answer)
		r.SetFetchLimit(50 * time.Millisecond)
		start := time.Now()
		requireUnavailable(t, r.Verify(t.Context(), message("a")))
		assert.Less(t, time.Since(start), 2*time.Second, name)
	}
}

func TestRemoteRetries(t *testing.T) {
	s, r, c := newRemote(t, status(503))
	first := r.Verify(t.Context(), message("a"))
	requireUnavailable(t, first)
	for range 10 {
		err := r.Verify(t.Context(), message("a"))
		requireUnavailable(t, err)
		assert.ErrorContains(t, err, "503", "the cause is remembered")
	}
	assert.Equal(t, 1, s.count())

	// The answer is there, so it does not matter that the caller has no time left.
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		assert.NotErrorIs(t, r.Verify(canceled, message("a")), context.Canceled)
	}

	c.advance(4999 * time.Millisecond)
	requireUnavailable(t, r.Verify(t.Context(), message("a")))
	assert.Equal(t, 1, s.count())

	s.set(publish(setA()))
	c.advance(time.Millisecond)
	require.NoError(t, r.Verify(t.Context(), message("a")))
	assert.Equal(t, 2, s.count())
}

func TestRemoteRemovedKey(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(publish(setB()))
	c.advance(15*time.Minute - 1)
	require.NoError(t, r.Verify(t.Context(), message("a")), "not renewed yet, and young enough")
	r.Settle()
	require.ErrorIs(t, r.Verify(t.Context(), message("a")), jose.ErrUnknownKey, "renewed behind the scenes")

	// Without any use in between, the set is not believed once it is 15 minutes old.
	s.set(publish(setA()))
	c.advance(15 * time.Minute)
	assert.ErrorIs(t, r.Verify(t.Context(), message("b")), jose.ErrUnknownKey)

	// The last key is withdrawn with an empty set.
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(publish(set()))
	c.advance(15 * time.Minute)
	assert.ErrorIs(t, r.Verify(t.Context(), message("a")), jose.ErrUnknownKey)
}

// TestRemoteAgeOfSlowAnswer: what took a while to arrive is as old as the question.
func TestRemoteAgeOfSlowAnswer(t *testing.T) {
	s, r, c := newRemote(t, nil)
	s.set(func(w http.ResponseWriter, q *http.Request) {
		c.advance(14 * time.Minute)
		publish(setA())(w, q)
	})
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(publish(setB()))
	c.advance(time.Minute)
	assert.ErrorIs(t, r.Verify(t.Context(), message("a")), jose.ErrUnknownKey)
}

func TestRemoteRenewsBehindTheScenes(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	c.advance(10*time.Minute - 1)
	require.NoError(t, r.Verify(t.Context(), message("a")))
	r.Settle()
	assert.Equal(t, 1, s.count())

	release := make(chan struct{})
	s.set(stall(release, publish(setAB())))
	c.advance(1)
	for range 10 {
		require.NoError(t, r.Verify(t.Context(), message("a")), "nobody waits for the new set")
	}
	close(release)
	r.Settle()
	assert.Equal(t, 2, s.count())
	assert.NoError(t, r.Verify(t.Context(), message("b")))
	assert.Equal(t, 2, s.count())
}

func TestRemoteFailsLater(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(status(500))
	for range 14 {
		c.advance(time.Minute)
		require.NoError(t, r.Verify(t.Context(), message("a")), "within cache time")
		r.Settle()
	}
	assert.Equal(t, 6, s.count(), "one, and one for each use from ten minutes on")
	c.advance(time.Minute)
	for _, id := range []string{"a", "b", "c"} {
		requireUnavailable(t, r.Verify(t.Context(), message(id)))
	}
	assert.Equal(t, 7, s.count())
	forged := must(jose.Parse(token("ES256", p256b(), `{"alg":"ES256","kid":"a"}`, `{}`)))
	requireUnavailable(t, r.Verify(t.Context(), forged))

	s.set(publish(setA()))
	c.advance(5 * time.Second)
	assert.NoError(t, r.Verify(t.Context(), message("a")))
}

func TestRemoteNewKey(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(publish(setAB()))
	c.advance(time.Minute - 1)
	require.ErrorIs(t, r.Verify(t.Context(), message("b")), jose.ErrUnknownKey, "the last fetch is no minute ago")
	assert.Equal(t, 1, s.count())
	c.advance(1)
	require.NoError(t, r.Verify(t.Context(), message("b")))
	assert.NoError(t, r.Verify(t.Context(), message("a")))
	assert.Equal(t, 2, s.count())
}

func TestRemoteFloodOfKids(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	for minute := range 3 {
		var wg sync.WaitGroup
		for i := range 20 {
			m := message(fmt.Sprintf("%d-%d", minute, i))
			wg.Go(func() {
				for range 20 {
					assert.ErrorIs(t, r.Verify(t.Context(), m), jose.ErrUnknownKey)
				}
			})
		}
		wg.Wait()
		assert.Equal(t, 1+minute, s.count())
		c.advance(time.Minute)
	}
	assert.NoError(t, r.Verify(t.Context(), message("a")))
}

// TestRemoteUnknownKidWhileFailing: nobody knows whether there is such a key, so that is the answer. Known keys go on.
func TestRemoteUnknownKidWhileFailing(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(status(500))
	c.advance(time.Minute)
	for range 10 {
		requireUnavailable(t, r.Verify(t.Context(), message("b")))
		require.NoError(t, r.Verify(t.Context(), message("a")))
		c.advance(time.Second)
	}
	assert.Equal(t, 2, s.count())

	// A source that hangs holds up those who ask for the unknown, for as long as they like, and nobody else.
	s.set(stall(nil, status(200)))
	r.SetFetchLimit(200 * time.Millisecond)
	c.advance(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := r.Verify(ctx, message("b"))
	requireUnavailable(t, err)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NoError(t, r.Verify(ctx, message("a")))
}

func TestRemoteClockSetBack(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	s.set(publish(setB()))
	c.advance(-24 * time.Hour)
	assert.ErrorIs(t, r.Verify(t.Context(), message("a")), jose.ErrUnknownKey, "nobody knows how old the set is")
	assert.Equal(t, 2, s.count())
	assert.NoError(t, r.Verify(t.Context(), message("b")))
}

// TestRemoteConcurrently is for the race detector: readers, invented kids, failures and a clock that runs.
func TestRemoteConcurrently(t *testing.T) {
	s, r, c := newRemote(t, publish(setA()))
	answers := []http.HandlerFunc{publish(setAB()), status(500), publish(setA()), publish([]byte("{}"))}
	a, b := message("a"), message("b")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				if err := r.Verify(t.Context(), a); err != nil {
					assert.True(t, jose.IsUnavailable(err), "%v", err)
				}
				if err := r.Verify(t.Context(), b); err != nil && !jose.IsUnavailable(err) {
					assert.ErrorIs(t, err, jose.ErrUnknownKey)
				}
				if i == 0 {
					s.set(answers[j%len(answers)])
					c.advance(time.Minute)
				}
			}
		})
	}
	wg.Wait()
}
