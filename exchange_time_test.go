package tokenexchange_test

import (
	"context"
	"errors"
	"net/url"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// hanging are hosts that give no answer before until is closed.
var hanging = map[string]func(ctx context.Context, until <-chan struct{}) error{
	"heeds its context": func(ctx context.Context, until <-chan struct{}) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-until:
			return nil
		}
	},
	"ignores its context": func(_ context.Context, until <-chan struct{}) error {
		<-until
		return nil
	},
	"panics too late": func(_ context.Context, until <-chan struct{}) error {
		<-until
		panic("late")
	},
}

// A sink that hangs costs the exchange RecordTimeout and no more. The record has failed by then,
// and so no token leaves and what was issued is discarded (I06).
func TestI06_SinkThatHangs(t *testing.T) {
	for name, record := range hanging {
		t.Run(name, func(t *testing.T) {
			w, until := newWorld(t), make(chan struct{})
			defer close(until)
			discarded := w.countDiscards(func(context.Context) error { return nil })
			granted, refused := w.delegation(nil), form("garbled", tx.TypeAccessToken)
			w.Audit = sinkFunc(func(ctx context.Context, _ tx.Event) error {
				return record(ctx, until)
			})
			w.RecordTimeout = 20 * time.Millisecond
			for _, f := range []url.Values{granted, refused} {
				a := w.inTime(f).refused(t, tx.TemporarilyUnavailable)
				require.NotContains(t, a.raw, "eyJ")
			}
			require.EqualValues(t, 1, discarded.Load(), "nothing was issued for the garbled token")
		})
	}
}

// A Discard that hangs is given up after RecordTimeout too.
func TestI06_DiscardThatHangs(t *testing.T) {
	for name, discard := range hanging {
		t.Run(name, func(t *testing.T) {
			w, until := newWorld(t), make(chan struct{})
			defer close(until)
			discarded := w.countDiscards(func(ctx context.Context) error {
				return discard(ctx, until)
			})
			f := w.delegation(nil)
			w.Audit = sinkFunc(func(context.Context, tx.Event) error {
				return errors.New("disk full")
			})
			w.RecordTimeout = 20 * time.Millisecond
			w.inTime(f).refused(t, tx.ServerError)
			require.EqualValues(t, 1, discarded.Load())
		})
	}
}

// The time is measured for each of the two calls, it is 5 seconds by default, and the time of the
// request does not count.
func TestI06_TimeOfRecordingAndDiscarding(t *testing.T) {
	for name, c := range map[string]struct{ set, each time.Duration }{
		"default": {0, 5 * time.Second}, "set": {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			synctest.Test(t, func(t *testing.T) {
				until := make(chan struct{})
				left := make(chan time.Duration, 2)
				forever := func(ctx context.Context) error {
					end, _ := ctx.Deadline()
					left <- time.Until(end)
					<-until
					return nil
				}
				w.countDiscards(forever)
				w.Audit = sinkFunc(func(ctx context.Context, _ tx.Event) error {
					return forever(ctx)
				})
				w.RecordTimeout = c.set
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begin := time.Now()
				_, err := w.Exchange(ctx, w.clients["shop"], w.delegation(nil))
				require.ErrorIs(t, err, tx.TemporarilyUnavailable)
				require.ErrorContains(t, err, "no answer within "+c.each.String())
				require.Equal(t, 2*c.each, time.Since(begin))
				require.Equal(t, []time.Duration{c.each, c.each}, []time.Duration{<-left, <-left})
				close(until)
			})
		})
	}
}

// A sink that takes its time, and less than it has, is waited for.
func TestI06_SlowSink(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		recorded := false
		w.Audit = sinkFunc(func(ctx context.Context, _ tx.Event) error {
			time.Sleep(5*time.Second - time.Nanosecond)
			recorded = true
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.Exchange(ctx, w.clients["shop"], w.delegation(nil))
		require.NoError(t, err)
		require.True(t, recorded)
	})
}

// A sink that ends its goroutine has not recorded, and is not waited for.
func TestI06_SinkThatExits(t *testing.T) {
	w := newWorld(t)
	w.Audit = sinkFunc(func(context.Context, tx.Event) error { runtime.Goexit(); return nil })
	w.RecordTimeout = time.Hour
	w.inTime(w.delegation(nil)).refused(t, tx.ServerError)
}

// Where a sink or a Discard panicked is said, by whatever goroutine it is called.
func TestI12_WhereTheSinkPanicked(t *testing.T) {
	w := newWorld(t)
	w.countDiscards(func(context.Context) error { return brokenHost("discarding") })
	w.Audit = sinkFunc(func(context.Context, tx.Event) error { return brokenHost("recording") })
	_, err := w.Exchange(t.Context(), w.clients["shop"], w.delegation(nil))
	require.ErrorIs(t, err, tx.ServerError)
	const place = `panic in .*brokenHost, line \d+: value of type string`
	require.Regexp(t, `(?s)`+place+`.*`+place, err)
	require.NotContains(t, err.Error(), "recording token")
}

//go:noinline
func brokenHost(what string) error { panic(what + " token") }

// countDiscards has the tokens of a world discarded by a function, and counts how often that is
// called.
func (w *world) countDiscards(discard func(context.Context) error) *atomic.Int64 {
	inner, n := w.TokenIssuer, new(atomic.Int64)
	w.TokenIssuer = issuerFunc(func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
		issued, err := inner.IssueToken(ctx, d)
		issued.Discard = func(ctx context.Context) error { n.Add(1); return discard(ctx) }
		return issued, err
	})
	return n
}

// inTime posts as shop, and fails where no answer comes in a time that is long beside any
// RecordTimeout of these tests.
func (w *world) inTime(f url.Values) answer {
	came := make(chan answer, 1)
	go func() { came <- w.post("shop", f) }()
	select {
	case a := <-came:
		return a
	case <-time.After(10 * time.Second):
		require.FailNow(w, "no answer")
		return answer{}
	}
}
