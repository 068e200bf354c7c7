package guard_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/guard"
)

var errHost = errors.New("a secret")

// hostError panics in its methods if it is nil.
type hostError struct{ text string }

func (e *hostError) Error() string { return e.text }

// hostWrapper panics in Unwrap if it is nil.
type hostWrapper struct{ inner error }

func (e *hostWrapper) Error() string { return "wrapper" }
func (e *hostWrapper) Unwrap() error { return e.inner }

func TestCall(t *testing.T) {
	require.NoError(t, guard.Call(func() error { return nil }))
	require.Equal(t, errHost, guard.Call(func() error { return errHost }))
}

//go:noinline
func throw(value any) error { panic(value) }

func TestCall_Panic(t *testing.T) {
	const place = `^panic in .*guard_test\.[\w.()*]+, line \d+: `
	for want, call := range map[string]func() error{
		"value of type string$":               func() error { return throw("a secret") },
		`value of type \*errors.errorString$`: func() error { return throw(errHost) },
		"runtime error: index out of range":   func() error { return []error{}[len("a secret")] },
		"panic called with nil":               func() error { return throw(nil) },
		"runtime error: invalid memory":       func() error { return (*hostError)(nil) },
		"runtime error: invalid memory .*":    func() error { return (*hostWrapper)(nil) },
		"runtime error: invalid +memory":      func() error { return fmt.Errorf("%w", (*hostWrapper)(nil)) },
	} {
		err := guard.Call(call)
		require.Regexp(t, place+want, err)
		require.NotContains(t, err.Error(), "secret")
		require.NotErrorIs(t, err, errHost)
	}
	require.ErrorContains(t, guard.Call(func() error { return throw(1) }), "guard_test.throw, line")
}
