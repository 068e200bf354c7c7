// Package bounded makes calls that may hang, and stops waiting for them after a time limit.
package bounded

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Usual is the time that one call gets where nothing else is configured.
const Usual = 5 * time.Second

// Call returns the result of call, or after limit an error that is context.DeadlineExceeded. The
// context of call has the values of ctx and ends after limit; the end of ctx does not end it. Call
// is for work that must be done although the request is gone, and that must not take for ever.
//
// A call that ignores its context goes on in a goroutine of its own, and its result is dropped. It
// keeps its variables until it returns, so it must not write to variables that the caller reads.
// Call panics if call does so within limit.
func Call(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	ended := make(chan outcome, 1)
	go func() {
		end := outcome{err: errors.New("the call ended without an answer, by runtime.Goexit")}
		defer func() {
			end.thrown = recover()
			ended <- end
		}()
		end.err = call(ctx)
	}()
	select {
	case end := <-ended:
		return end.answer()
	case <-ctx.Done():
	}
	select {
	case end := <-ended: // at the last moment
		return end.answer()
	default:
		return fmt.Errorf("no answer within %v: %w", limit, ctx.Err())
	}
}

// outcome is how a call has ended.
type outcome struct {
	err    error
	thrown any // nil: it did not panic
}

func (o outcome) answer() error {
	if o.thrown != nil {
		panic(o.thrown)
	}
	return o.err
}
