// Package bounded makes calls that may hang, and stops waiting for them after a time limit.
package bounded

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Usual is the time limit of a call unless the host has configured another.
const Usual = 5 * time.Second

// Call returns the result of call, or an error that wraps context.DeadlineExceeded if call takes
// longer than limit. The context of call has the values of ctx and the deadline limit, but is not
// cancelled with ctx. Call is for work that must be done even if the request has been cancelled.
//
// If call ignores its context, it continues in a goroutine of its own, and its result is dropped.
// So call must not write to variables that the caller reads. If call panics in time, Call panics.
func Call(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	ended := make(chan outcome, 1)
	go func() {
		end := outcome{err: errors.New("the call ended its goroutine with runtime.Goexit")}
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
	case end := <-ended: // both were ready
		return end.answer()
	default:
		return fmt.Errorf("no answer within %v: %w", limit, ctx.Err())
	}
}

// outcome is the result of a call.
type outcome struct {
	err    error
	thrown any // the value of a panic, or nil
}

func (o outcome) answer() error {
	if o.thrown != nil {
		panic(o.thrown)
	}
	return o.err
}
