package docs

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	ofEveryRule = []string{"name", "clients", "subjects", "subject_types", "types", "targets",
		"default_targets", "subject_audience", "scope", "lifetime", "max_chain"}
	ofThreeModes = []string{"other_tokens", "issuers", "tenant_targets", "expand",
		"outlive_subject", "rebind", "id_token", "refresh_lifetime", "replace_may_act"}
	ofMode = map[string][]string{
		"narrow": {"public_clients"},
		"delegate": append([]string{"actors", "actor_types", "actor_audience", "other_actors",
			"outlive_actor", "self", "public_clients"}, ofThreeModes...),
		"impersonate": append([]string{"may_act_client", "carry", "public_clients"},
			ofThreeModes...),
		"client_as_actor": append([]string{"may_act_client", "self"}, ofThreeModes...),
	}
)

// TestPolicy_EveryFieldIsShown checks that policy.md explains every field of a rule in a table,
// uses it in an example, and uses no other field.
func TestPolicy_EveryFieldIsShown(t *testing.T) {
	page := read(t, "docs/policy.md")
	used := map[string]bool{}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1)
	require.Equal(t, 8, len(blocks))
	for _, block := range blocks {
		var policy struct {
			Rules []map[string]json.RawMessage `json:"rules"`
		}
		require.NoError(t, json.Unmarshal([]byte(block[1]), &policy), block[1])
		require.NotEmpty(t, policy.Rules)
		for _, rule := range policy.Rules {
			modes := 0
			for field, value := range rule {
				settings, isMode := ofMode[field]
				if !isMode {
					require.Contains(t, ofEveryRule, field, "rule %s", rule["name"])
					used[field] = true
					continue
				}
				modes++
				used[field] = true
				var mode map[string]json.RawMessage
				require.NoError(t, json.Unmarshal(value, &mode))
				for setting := range mode {
					require.Contains(t, settings, setting, "rule %s", rule["name"])
					used[setting] = true
				}
			}
			require.Equal(t, 1, modes, "rule %s", rule["name"])
		}
	}
	fields := slices.Concat(ofEveryRule, ofThreeModes)
	for mode, settings := range ofMode {
		requireText(t, page, "| field of `"+mode+"` |", "no table is that of "+mode)
		fields = append(fields, settings...)
	}
	for _, field := range fields {
		require.True(t, used[field], "no example has %s", field)
		requireText(t, page, "\n| `"+field+"` | `", "no table explains "+field)
	}
}
