// Package bounded calls what may hang, and stops waiting for it.
package bounded

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Usual is the time that one call gets where nothing else is configured.
const Usual = 5 * time.Second

// Call returns what call returns, or an error that is context.DeadlineExceeded after limit. The
// context of call has the values of ctx and ends after limit; the end of ctx does not end it. So it
// is for what must be done although the request is gone, and must not take for ever.
//
// A call that ignores its context goes on in a goroutine of its own, and its result is dropped.
// Until it returns it keeps what it refers to, so it must not write to what the caller reads. A
// panic in it is one of Call, unless it comes too late.
func Call(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	ended := make(chan outcome, 1)
	go func() {
		end := outcome{err: errors.New("the call has ended without an answer")} // by runtime.Goexit
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
