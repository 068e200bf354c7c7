package tokenexchangetest_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// What holds for all checks is shown with one implementation for each.
func checkAll(t *testing.T, ctx context.Context, act func()) []error {
	return []error{
		tokenexchangetest.CheckResolver(ctx, resolverFunc(func(context.Context, tx.Token) (tx.Subject, error) {
			act()
			return tx.Subject{}, errNo
		}), alicesToken),
		tokenexchangetest.CheckAuthorizer(ctx, authorizerFunc(func(context.Context, tx.Facts) error { act(); return errNo }), agreed(t)),
		tokenexchangetest.CheckIssuer(ctx, issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
			act()
			return tx.IssuedToken{}, errNo
		}), decided()),
		tokenexchangetest.CheckSink(ctx, sinkFunc(func(context.Context, tx.Event) error { act(); return errNo }), nil),
	}
}

func TestChecksSurvivePanics(t *testing.T) {
	for _, err := range checkAll(t, ctx, func() { panic(tx.InvalidTarget) }) {
		assert.ErrorContains(t, err, "panicked: invalid_target")
		assert.ErrorContains(t, err, "check_test.go", "where it was")
		assert.NotErrorIs(t, err, tx.InvalidTarget, "what was thrown is no answer (I12)")
	}
}

func TestChecksSurviveTheEndOfAGoroutine(t *testing.T) {
	for _, err := range checkAll(t, ctx, runtime.Goexit) {
		assert.ErrorContains(t, err, "it ended its goroutine")
	}
}

func TestChecksDoNotHang(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	for range 3 {
		for _, err := range checkAll(t, soon(t), func() { <-never }) {
			assert.Error(t, err)
		}
	}
	err := tokenexchangetest.CheckResolver(soon(t), resolverFunc(func(context.Context, tx.Token) (tx.Subject, error) {
		<-never
		return tx.Subject{}, nil
	}), alicesToken)
	finds(t, err, "ResolveSubject for the known token did not return in time")
}

func TestChecksOfNothing(t *testing.T) {
	assert.ErrorContains(t, tokenexchangetest.CheckResolver(ctx, nil, alicesToken), "panicked")
	assert.ErrorContains(t, tokenexchangetest.CheckAuthorizer(ctx, nil, agreed(t)), "panicked")
	assert.ErrorContains(t, tokenexchangetest.CheckIssuer(ctx, nil, decided()), "panicked")
	assert.ErrorContains(t, tokenexchangetest.CheckSink(ctx, nil, nil), "panicked")
}

func TestChecksNeedTime(t *testing.T) {
	over, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range checkAll(t, over, func() { t.Error("called") }) {
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "the context of the check is over")
	}
}

// A cause stays within reach of errors.Is.
func TestFindingsWrapTheirCause(t *testing.T) {
	err := tokenexchangetest.CheckSink(ctx, sinkFunc(func(context.Context, tx.Event) error { return errDown }), nil)
	assert.ErrorIs(t, err, errDown)
}
