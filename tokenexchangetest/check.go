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

// patience is how long a check waits for one call, unless its context ends before.
const patience = 10 * time.Second

// crowd is how many calls a check makes at once.
const crowd = 16

// checker collects what a check finds. Every finding is told once, with the first cause.
type checker struct {
	ctx     context.Context
	mu      sync.Mutex
	told    []string
	found   []error
	blocked bool // a call hangs, so no further one is made
}

// find notes a finding; cause may be nil.
func (c *checker) find(cause error, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if slices.Contains(c.told, text) {
		return
	}
	c.told = append(c.told, text)
	if cause == nil {
		c.found = append(c.found, errors.New(text))
	} else {
		c.found = append(c.found, fmt.Errorf("%s: %w", text, cause))
	}
}

// err joins the findings; nil if there are none.
func (c *checker) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.found...)
}

// run makes the check's steps one after the other.
func (c *checker) run(steps ...func()) error {
	if err := c.ctx.Err(); err != nil {
		return fmt.Errorf("tokenexchangetest: the context of the check is over: %w", err)
	}
	for _, step := range steps {
		step()
	}
	return c.err()
}

// fault is how a call ended that did not answer. It wraps nothing, so that nobody takes what was thrown for an answer.
type fault struct{ text string }

func (f *fault) Error() string { return f.text }

// answered reports whether err is the word of the implementation, nil included. What is not has been noted.
func answered(err error) bool {
	_, is := err.(*fault)
	return !is
}

// ask makes one call, in a goroutine of its own that is left behind if it hangs. A call that panics, ends its goroutine or
// does not return in time is a finding.
func ask[T any](c *checker, what string, f func() (T, error)) (T, error) {
	var none T
	c.mu.Lock()
	blocked := c.blocked
	c.mu.Unlock()
	if blocked {
		return none, &fault{"an earlier call hangs"}
	}
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		a := answer{err: &fault{"it ended its goroutine"}}
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: &fault{fmt.Sprintf("%v\n%s", p, debug.Stack())}}
			}
			done <- a
		}()
		a.value, a.err = f()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-done:
		if !answered(a.err) {
			c.find(a.err, "%s panicked", what)
		}
		return a.value, a.err
	case <-timer.C:
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	c.blocked = true
	c.mu.Unlock()
	c.find(nil, "%s did not return in time", what)
	return none, &fault{"it hangs"}
}

// together makes crowd calls at once and waits for all of them.
func together(call func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		wg.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	wg.Wait()
}

// cancelled is a context that is over.
func (c *checker) cancelled() context.Context {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	return ctx
}

// isRefusal reports whether an Exchanger takes err for a no rather than for a failure (I12).
func isRefusal(err error) bool {
	return err != nil && tokenexchange.AsError(err).Code.Status() < 500
}
