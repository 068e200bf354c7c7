package refusal_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

func TestWrap(t *testing.T) {
	cause := errors.New("a cause")
	own := refusal.WithCause(cause, tokenexchange.InvalidRequest, "its_reason", "its %s", "detail")
	for name, c := range map[string]struct {
		err  error
		text string
	}{
		"a refusal with a reason": {own, "invalid_grant: its_reason: its detail: a cause"},
		"one within an error": {fmt.Errorf("around: %w", own), "invalid_grant: its_reason: " +
			"its detail: around: invalid_request: its_reason: its detail: a cause"},
		"a code": {fmt.Errorf("%w: locked", tokenexchange.InvalidRequest),
			"invalid_grant: given: given detail: invalid_request: locked"},
		"a failure": {cause, "invalid_grant: given: given detail: a cause"},
		"a nil err": {(*tokenexchange.Error)(nil),
			"invalid_grant: given: given detail: server_error"},
		"an odd err": {&tokenexchange.Error{Code: "\n", Err: own}, "invalid_grant: its_reason: " +
			"its detail: \n: invalid_request: its_reason: its detail: a cause"},
	} {
		t.Run(name, func(t *testing.T) {
			wrapped := refusal.Wrap(c.err, tokenexchange.InvalidGrant,
				"given", "given %s", "detail")
			require.EqualError(t, wrapped, c.text)
			require.ErrorIs(t, wrapped, tokenexchange.InvalidGrant)
		})
	}
	wrapped := refusal.Wrap(own, tokenexchange.InvalidGrant, "given", "given")
	require.ErrorIs(t, wrapped, cause)
}
