package docs

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// modes are the mode objects of a rule.
var modes = map[string]any{"narrow": tx.Narrowing{}, "delegate": tx.Delegation{},
	"impersonate": tx.Impersonation{}, "client_as_actor": tx.ClientActing{}}

// TestPolicy_EveryFieldIsShown checks that every example of policy.md is a policy, and that the
// page explains every field of a rule in a table and uses it in an example.
func TestPolicy_EveryFieldIsShown(t *testing.T) {
	page := read(t, "docs/policy.md")
	used := map[string]bool{}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1)
	require.Equal(t, 8, len(blocks))
	for _, block := range blocks {
		_, err := tx.ParsePolicy([]byte(block[1]))
		require.NoError(t, err)
		var policy struct {
			Rules []map[string]json.RawMessage `json:"rules"`
		}
		require.NoError(t, json.Unmarshal([]byte(block[1]), &policy))
		for _, rule := range policy.Rules {
			for field, value := range rule {
				used[field] = true
				if modes[field] == nil {
					continue
				}
				var mode map[string]json.RawMessage
				require.NoError(t, json.Unmarshal(value, &mode))
				for setting := range mode {
					used[setting] = true
				}
			}
		}
	}
	fields := fieldsOf(tx.Rule{})
	for mode, settings := range modes {
		requireText(t, page, "| field of `"+mode+"` |", "no table is that of "+mode)
		fields = append(fields, fieldsOf(settings)...)
	}
	require.Greater(t, len(fields), 50)
	for _, field := range fields {
		require.True(t, used[field], "no example has %s", field)
		if modes[field] == nil {
			requireText(t, page, "\n| `"+field+"` | `", "no table explains "+field)
		}
	}
}

// fieldsOf returns the JSON members of a rule or of a mode. The tag of a duration does not name its
// member, which is written by a method.
func fieldsOf(of any) (fields []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch f.Name {
		case "Lifetime":
			name = "lifetime"
		case "RefreshLifetime":
			name = "refresh_lifetime"
		}
		fields = append(fields, name)
	}
	return fields
}
