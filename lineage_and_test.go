package tokenexchange_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// TestLineage_And: a token that is described twice has the limits of both descriptions.
func TestLineage_And(t *testing.T) {
	early, late := time.Unix(1700000000, 0).UTC(), time.Unix(1800000000, 0).UTC()
	full := &tx.Lineage{Scope: tx.Scope{"a"}, Ends: late, Tenant: "acme", Lent: true, Begun: early,
		From: []string{"x"}}
	scope := func(tokens ...string) *tx.Lineage {
		return &tx.Lineage{Scope: append(tx.Scope{}, tokens...)}
	}
	ends := func(at time.Time) *tx.Lineage { return &tx.Lineage{Ends: at} }
	begun := func(at time.Time) *tx.Lineage { return &tx.Lineage{Begun: at} }
	for name, test := range map[string]struct{ one, other, want *tx.Lineage }{
		"nothing":        {nil, nil, nil},
		"nil":            {nil, full, full},
		"alike":          {full, full, full},
		"scope":          {scope("a", "b"), scope("b", "c"), scope("b")},
		"one scope":      {&tx.Lineage{}, scope(), scope()},
		"no scope left":  {scope("a"), scope("b"), scope()},
		"ends":           {ends(late), ends(early), ends(early)},
		"one end":        {&tx.Lineage{}, ends(late), ends(late)},
		"tenant":         {&tx.Lineage{}, &tx.Lineage{Tenant: "acme"}, &tx.Lineage{Tenant: "acme"}},
		"lent":           {&tx.Lineage{}, &tx.Lineage{Lent: true}, &tx.Lineage{Lent: true}},
		"begun":          {begun(late), begun(early), begun(early)},
		"no known login": {&tx.Lineage{}, begun(early), &tx.Lineage{}},
		"from": {&tx.Lineage{From: []string{"x", "y"}}, &tx.Lineage{From: []string{"y", "z"}},
			&tx.Lineage{From: []string{"x", "y", "z"}}},
	} {
		got, err := test.one.And(test.other)
		require.NoError(t, err, name)
		assert.Equal(t, test.want, got, name)
		if name == "from" {
			continue // in the order of the two
		}
		got, err = test.other.And(test.one)
		require.NoError(t, err, name)
		assert.Equal(t, test.want, got, name)
	}
	_, err := full.And(&tx.Lineage{Tenant: "globex"})
	require.EqualError(t, err, `two organisations: "acme" and "globex"`)
}

// TestLineage_Check: an issuer that keeps records knows beforehand what no verifier would read.
func TestLineage_Check(t *testing.T) {
	var none *tx.Lineage
	require.NoError(t, none.Check())
	require.NoError(t, (&tx.Lineage{From: make([]string, 32)}).Check())
	require.ErrorIs(t, (&tx.Lineage{From: make([]string, 33)}).Check(), tx.InvalidRequest)
}
