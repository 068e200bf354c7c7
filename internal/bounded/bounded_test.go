package bounded_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
)

type key struct{}

// What a call gets: the values of the context, and a time of its own.
func TestCallHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		cancel()
		broken := errors.New("broken")
		for _, want := range []error{nil, broken} {
			begin := time.Now()
			err := bounded.Call(ctx, time.Minute, func(ctx context.Context) error {
				end, bound := ctx.Deadline()
				if !bound || !end.Equal(begin.Add(time.Minute)) || ctx.Value(key{}) != "value" {
					return errors.New("another context")
				}
				time.Sleep(59 * time.Second)
				return errors.Join(want, ctx.Err())
			})
			require.ErrorIs(t, err, want)
			require.Equal(t, 59*time.Second, time.Since(begin))
		}
	})
}

// A call that takes too long is given up, and whatever becomes of it later is lost.
func TestCallIsGivenUp(t *testing.T) {
	for name, call := range map[string]func(context.Context) error{
		"returns": func(context.Context) error { return errors.New("late") },
		"panics":  func(context.Context) error { panic("late") },
		"exits":   func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				err := bounded.Call(t.Context(), time.Minute, func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(time.Hour)
					return call(ctx)
				})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.EqualError(t, err, "no answer within 1m0s: context deadline exceeded")
				require.Equal(t, time.Minute, time.Since(begin))
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// A panic is one of the caller, with what was thrown; the end of the goroutine is an error.
func TestCallThatDoesNotReturn(t *testing.T) {
	thrown := errors.New("thrown")
	require.PanicsWithValue(t, thrown, func() {
		_ = bounded.Call(t.Context(), time.Minute, func(context.Context) error { panic(thrown) })
	})
	require.Panics(t, func() {
		_ = bounded.Call(t.Context(), time.Minute, func(context.Context) error { panic(nil) })
	})
	err := bounded.Call(t.Context(), time.Minute, func(context.Context) error {
		runtime.Goexit()
		return nil
	})
	require.ErrorContains(t, err, "runtime.Goexit")
}
