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
	full := &te.Lineage{Scope: te.Scope{"a"}, Ends: late, Tenant: "acme", Lent: true, Begun: early, From: []string{"x"}}
	for name, test := range map[string]struct{ one, other, want *te.Lineage }{
		"nothing":        {nil, nil, nil},
		"nil":            {nil, full, full},
		"alike":          {full, full, full},
		"scope":          {&te.Lineage{Scope: te.Scope{"a", "b"}}, &te.Lineage{Scope: te.Scope{"b", "c"}}, &te.Lineage{Scope: te.Scope{"b"}}},
		"one scope":      {&te.Lineage{}, &te.Lineage{Scope: te.Scope{}}, &te.Lineage{Scope: te.Scope{}}},
		"no scope left":  {&te.Lineage{Scope: te.Scope{"a"}}, &te.Lineage{Scope: te.Scope{"b"}}, &te.Lineage{Scope: te.Scope{}}},
		"ends":           {&te.Lineage{Ends: late}, &te.Lineage{Ends: early}, &te.Lineage{Ends: early}},
		"one end":        {&te.Lineage{}, &te.Lineage{Ends: late}, &te.Lineage{Ends: late}},
		"tenant":         {&te.Lineage{}, &te.Lineage{Tenant: "acme"}, &te.Lineage{Tenant: "acme"}},
		"lent":           {&te.Lineage{}, &te.Lineage{Lent: true}, &te.Lineage{Lent: true}},
		"begun":          {&te.Lineage{Begun: late}, &te.Lineage{Begun: early}, &te.Lineage{Begun: early}},
		"no known login": {&te.Lineage{}, &te.Lineage{Begun: early}, &te.Lineage{}},
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
