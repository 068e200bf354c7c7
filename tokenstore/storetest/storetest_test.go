package storetest_test

import (
	"testing"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
	"github.com/go-tokenexchange/tokenexchange/tokenstore/storetest"
)

// A driver's own test is this and an open of its own.
func TestMemoryKeepsThePromises(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return tokenstore.NewMemory() })
}
