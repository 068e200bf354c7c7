package tokenexchangetest_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// checkAll runs every check on an implementation that calls act and returns a refusal.
func checkAll(t *testing.T, newContext func() context.Context, act func()) []error {
	return []error{
		tokenexchangetest.CheckResolver(newContext(),
			resolverFunc(func(context.Context, tx.Token) (tx.Subject, error) {
				act()
				return tx.Subject{}, errNo
			}), alicesToken),
		tokenexchangetest.CheckAuthorizer(newContext(), authorizerFunc(func(context.Context,
			tx.Facts) error {
			act()
			return errNo
		}), allowedFacts(t)),
		tokenexchangetest.CheckIssuer(newContext(),
			issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
				act()
				return tx.IssuedToken{}, errNo
			}), decided()),
		tokenexchangetest.CheckSink(newContext(), sinkFunc(func(context.Context, tx.Event) error {
			act()
			return errNo
		}), nil),
		tokenexchangetest.CheckRoundTrip(newContext(),
			issuerFunc(func(context.Context, tx.Decision) (tx.IssuedToken, error) {
				act()
				return tx.IssuedToken{}, errNo
			}), tx.Verifiers{tx.TypeAccessToken: (&tokenexchangetest.Issuer{}).Verify}, decided()),
	}
}

func TestChecksSurvivePanics(t *testing.T) {
	for _, err := range checkAll(t, context.Background, func() { panic(tx.InvalidTarget) }) {
		assert.ErrorContains(t, err, "panicked: invalid_target")
		assert.ErrorContains(t, err, "check_test.go", "the finding has the stack")
		assert.NotErrorIs(t, err, tx.InvalidTarget, "a panic value is not a returned error (I12)")
	}
}

func TestChecksSurviveTheEndOfAGoroutine(t *testing.T) {
	for _, err := range checkAll(t, context.Background, runtime.Goexit) {
		assert.ErrorContains(t, err, "it ended its goroutine")
	}
}

func TestChecksReturnIfACallBlocks(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	for i, err := range checkAll(t, func() context.Context { return soon(t) }, func() { <-never }) {
		first := []string{"ResolveSubject for the known token",
			"AuthorizeActor for the given facts", "IssueToken for the zero Decision",
			"RecordExchange for an event", "IssueToken"}[i]
		finds(t, err, first+" did not return in time")
	}
}

func TestChecksOfNil(t *testing.T) {
	assert.ErrorContains(t, tokenexchangetest.CheckResolver(ctx, nil, alicesToken), "panicked")
	assert.ErrorContains(t, tokenexchangetest.CheckAuthorizer(ctx, nil, allowedFacts(t)),
		"panicked")
	assert.ErrorContains(t, tokenexchangetest.CheckIssuer(ctx, nil, decided()), "panicked")
	assert.ErrorContains(t, tokenexchangetest.CheckSink(ctx, nil, nil), "panicked")
}

func TestChecksNeedAContext(t *testing.T) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range checkAll(t, func() context.Context { return ended }, func() {
		t.Error("called")
	}) {
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "the context of the check has ended")
	}
}

// A finding wraps the error of the implementation.
func TestFindingsWrapTheirCause(t *testing.T) {
	err := tokenexchangetest.CheckSink(ctx, sinkFunc(func(context.Context, tx.Event) error {
		return errDown
	}), nil)
	assert.ErrorIs(t, err, errDown)
}
