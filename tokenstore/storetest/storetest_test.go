package storetest_test

import (
	"testing"

	"github.com/go-tokenexchange/tokenexchange/tokenstore"
	"github.com/go-tokenexchange/tokenexchange/tokenstore/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return tokenstore.NewMemory() })
}
