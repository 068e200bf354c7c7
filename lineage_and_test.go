package tokenexchange_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	te "github.com/go-tokenexchange/tokenexchange"
)

// TestLineage_And: a token that is described twice has the limits of both descriptions.
func TestLineage_And(t *testing.T) {
	early, late := time.Unix(1700000000, 0).UTC(), time.Unix(1800000000, 0).UTC()
	full := &te.Lineage{Scope: te.Scope{"a"}, Ends: late, Tenant: "acme", Lent: true, Begun: early,
		From: []string{"x"}}
	scope := func(tokens ...string) *te.Lineage {
		return &te.Lineage{Scope: append(te.Scope{}, tokens...)}
	}
	ends := func(at time.Time) *te.Lineage { return &te.Lineage{Ends: at} }
	begun := func(at time.Time) *te.Lineage { return &te.Lineage{Begun: at} }
	for name, test := range map[string]struct{ one, other, want *te.Lineage }{
		"nothing":        {nil, nil, nil},
		"nil":            {nil, full, full},
		"alike":          {full, full, full},
		"scope":          {scope("a", "b"), scope("b", "c"), scope("b")},
		"one scope":      {&te.Lineage{}, scope(), scope()},
		"no scope left":  {scope("a"), scope("b"), scope()},
		"ends":           {ends(late), ends(early), ends(early)},
		"one end":        {&te.Lineage{}, ends(late), ends(late)},
		"tenant":         {&te.Lineage{}, &te.Lineage{Tenant: "acme"}, &te.Lineage{Tenant: "acme"}},
		"lent":           {&te.Lineage{}, &te.Lineage{Lent: true}, &te.Lineage{Lent: true}},
		"begun":          {begun(late), begun(early), begun(early)},
		"no known login": {&te.Lineage{}, begun(early), &te.Lineage{}},
		"from": {&te.Lineage{From: []string{"x", "y"}}, &te.Lineage{From: []string{"y", "z"}},
			&te.Lineage{From: []string{"x", "y", "z"}}},
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
	_, err := full.And(&te.Lineage{Tenant: "globex"})
	require.EqualError(t, err, `two organisations: "acme" and "globex"`)
}

// TestLineage_Check: an issuer that keeps records knows beforehand what no verifier would read.
func TestLineage_Check(t *testing.T) {
	var none *te.Lineage
	require.NoError(t, none.Check())
	require.NoError(t, (&te.Lineage{From: make([]string, 32)}).Check())
	require.ErrorIs(t, (&te.Lineage{From: make([]string, 33)}).Check(), te.InvalidRequest)
}
