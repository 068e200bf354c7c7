package tokenexchange_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// TestR05_TargetsOfARequest: audiences before resources, in the order of the request, without
// repeats.
func TestR05_TargetsOfARequest(t *testing.T) {
	r := tokenexchange.Request{Audience: []string{"b", "a", "b"},
		Resource: []string{"urn:c", "a", "urn:b"}}
	require.Equal(t, []string{"b", "a", "urn:c", "urn:b"}, r.Targets())
	require.Nil(t, tokenexchange.Request{}.Targets())
}
