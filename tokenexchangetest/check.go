package tokenexchangetest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

// callLimit is how long a check waits for one call, unless its context ends earlier.
const callLimit = 10 * time.Second

// parallelCalls is how many calls a check makes at once.
const parallelCalls = 16

// uncoded describes an error that should have been a refusal.
const uncoded = "returned an error without a Code; a refusal has one, such as InvalidRequest (I12)"

// checker collects the findings of a check. A finding that is made more than once is listed once,
// with its first cause.
type checker struct {
	ctx      context.Context
	mu       sync.Mutex
	texts    []string
	findings []error
	blocked  bool // a call has not returned, so no further call is made
}

// find adds a finding; cause may be nil.
func (c *checker) find(cause error, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if slices.Contains(c.texts, text) {
		return
	}
	c.texts = append(c.texts, text)
	if cause == nil {
		c.findings = append(c.findings, errors.New(text))
	} else {
		c.findings = append(c.findings, fmt.Errorf("%s: %w", text, cause))
	}
}

// err joins the findings. It is nil if there are none.
func (c *checker) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.findings...)
}

// run calls the steps one after the other and returns the findings.
func (c *checker) run(steps ...func()) error {
	if err := c.ctx.Err(); err != nil {
		return fmt.Errorf("tokenexchangetest: the context of the check has ended: %w", err)
	}
	for _, step := range steps {
		step()
	}
	return c.err()
}

// noResult is the error of a call that did not return: it panicked, ended its goroutine or blocked.
// It wraps nothing, so that a panic value is never mistaken for a returned error.
type noResult struct{ text string }

func (e *noResult) Error() string { return e.text }

// returned reports whether err, or nil, was returned by the implementation. If it was not, the
// finding has been made already.
func returned(err error) bool {
	_, failed := err.(*noResult)
	return !failed
}

// call makes one call in a goroutine of its own, which is left behind if the call blocks. A call
// that panics, ends its goroutine or does not return in time is a finding. The name of the call is
// for findings.
func call[T any](c *checker, name string, f func() (T, error)) (T, error) {
	var zero T
	c.mu.Lock()
	blocked := c.blocked
	c.mu.Unlock()
	if blocked {
		return zero, &noResult{"an earlier call has not returned"}
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: &noResult{"it ended its goroutine"}}
		defer func() {
			if p := recover(); p != nil {
				r = result{err: &noResult{fmt.Sprintf("%v\n%s", p, debug.Stack())}}
			}
			done <- r
		}()
		r.value, r.err = f()
	}()
	timer := time.NewTimer(callLimit)
	defer timer.Stop()
	select {
	case r := <-done:
		if !returned(r.err) {
			c.find(r.err, "%s panicked", name)
		}
		return r.value, r.err
	case <-timer.C:
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	c.blocked = true
	c.mu.Unlock()
	c.find(nil, "%s did not return in time", name)
	return zero, &noResult{"the call has not returned"}
}

// concurrently runs f parallelCalls times at once and waits for all of them.
func concurrently(f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range parallelCalls {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// cancelled returns a context that has ended.
func (c *checker) cancelled() context.Context {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	return ctx
}

// isRefusal reports whether an Exchanger takes err for a refusal rather than a failure (I12).
func isRefusal(err error) bool {
	return err != nil && tokenexchange.AsError(err).Code.Status() < 500
}
