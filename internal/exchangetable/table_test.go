package exchangetable

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// servers are the valid keys of scenario.Differs.
var servers = []string{"net/http", "fosite", "fosite opaque", "zitadel/oidc"}

// rows is the number of rules by letter.
var rows = map[string]int{"R": 17, "D": 30, "I": 12}

// TestTable_IsWellFormed checks that all names in the table exist. A case with a misspelt name
// would test nothing and still pass.
func TestTable_IsWellFormed(t *testing.T) {
	table, err := read(tableJSON, sequencesJSON)
	require.NoError(t, err)
	w := table.World
	_, err = tokenexchange.ParsePolicy(w.Policy)
	require.NoError(t, err)
	used := map[string]bool{}
	seen := map[string]bool{}
	everywhere := 0
	for _, c := range table.Cases {
		assert.False(t, seen[c.Name], "%s: the name is used twice", c.Name)
		seen[c.Name] = true
		assert.NotEmpty(t, c.Rows, c.Name)
		for _, row := range c.Rows {
			assert.True(t, isRow(row), "%s: row %s", c.Name, row)
		}
		assert.NotEmpty(t, c.Steps, c.Name)
		for i, s := range c.Steps {
			checkStep(t, c.Name, w, s, i, used)
			checkExpectation(t, c.Name, s.Expect, used)
		}
		checkDifferences(t, c, w, used)
		if len(c.Differs) == 0 {
			everywhere++
		}
	}
	assert.GreaterOrEqual(t, everywhere, 25, "cases with the same result on every server")
	checkWorld(t, w, used)
}

func isRow(row string) bool {
	parts := regexp.MustCompile(`^([RDI])(\d\d)$`).FindStringSubmatch(row)
	if parts == nil {
		return false
	}
	n, err := strconv.Atoi(parts[2])
	return err == nil && n >= 1 && n <= rows[parts[1]]
}

// checkStep checks that the users and tokens of a step exist, in the world or from earlier steps.
func checkStep(t *testing.T, name string, w world, s step, before int, used map[string]bool) {
	for _, id := range s.Lock {
		known := slices.ContainsFunc(w.Users, func(u user) bool { return u.ID == id })
		assert.True(t, known, "%s: the world has no user %s", name, id)
	}
	names := slices.Concat(s.Revoke, s.Inactive)
	for _, p := range s.Form {
		if token, ok := strings.CutPrefix(p.value, "$"); ok {
			names = append(names, strings.TrimSuffix(token, ":cut"))
		}
	}
	for _, token := range names {
		used["token "+token] = true
		if step, ok := strings.CutPrefix(token, "step"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(step, ":id"))
			assert.True(t, err == nil && n >= 1 && n <= before, "%s: %s", name, token)
			continue
		}
		assert.Contains(t, w.Tokens, token, name)
	}
	used["client "+s.Client] = true
}

// checkExpectation checks that a grant states rule, subject and audience, and that a refusal states
// nothing about a token.
func checkExpectation(t *testing.T, name string, e expectation, used map[string]bool) {
	if e.Rule != "" {
		used["rule "+e.Rule] = true
	}
	if e.Error == "" {
		assert.True(t, e.Rule != "" && e.Subject != "" && len(e.Audience) > 0,
			"%s: a grant needs rule, sub and aud", name)
		assert.True(t,
			e.Parameter == "" && e.Reason == "" && !e.OwnWords && e.Status == 0 && !e.NotAudited,
			"%s: fields of a refusal", name)
		return
	}
	refusal := expectation{Error: e.Error, Parameter: e.Parameter, OwnWords: e.OwnWords,
		Status: e.Status, NotAudited: e.NotAudited,
		Rule: e.Rule, Reason: e.Reason}
	assert.True(t, e.Status == 0 || e.OwnWords, "%s: status needs own_words", name)
	assert.Equal(t, refusal, e, "%s: fields of a grant", name)
}

func checkDifferences(t *testing.T, c scenario, w world, used map[string]bool) {
	for server, d := range c.Differs {
		assert.Contains(t, servers, server, c.Name)
		assert.NotEmpty(t, d.Why, "%s: why", c.Name)
		assert.NotEqual(t, len(d.Steps) > 0, len(d.Expect) > 0, "%s: either steps or expect",
			c.Name)
		for i, s := range d.Steps {
			checkStep(t, c.Name, w, s, i, used)
			checkExpectation(t, c.Name, s.Expect, used)
		}
		for number, e := range d.Expect {
			assert.True(t, number >= 1 && number <= len(c.Steps), "%s: step %d", c.Name, number)
			checkExpectation(t, c.Name, e, used)
		}
	}
}

// checkWorld checks that all names in the world exist, and that every client, token and rule is
// used.
func checkWorld(t *testing.T, w world, used map[string]bool) {
	exists := map[string]bool{}
	parties := map[string]bool{}
	for _, c := range w.Clients {
		exists["client "+c.ID], parties[c.ID] = true, true
	}
	for _, u := range w.Users {
		assert.Contains(t, []state{active, locked, administrator, unknown}, u.State, u.ID)
		assert.False(t, parties[u.ID], "%s is the id of two parties", u.ID)
		parties[u.ID] = true
	}
	for _, pair := range w.ActsFor {
		subject, _, _ := strings.Cut(pair[1], "@")
		assert.True(t, parties[pair[0]] && parties[subject], "%v", pair)
	}
	for name, m := range w.Tokens {
		exists["token "+name] = true
		assert.Contains(t, []Kind{Access, ID}, m.Kind, name)
		assert.True(t, exists["client "+m.Client] && (m.User == "" || parties[m.User]), name)
		assert.False(t, strings.HasPrefix(name, "step"), name)
	}
	var policy struct {
		Rules []struct {
			Name string `json:"name"`
		} `json:"rules"`
	}
	require.NoError(t, json.Unmarshal(w.Policy, &policy))
	for _, r := range policy.Rules {
		exists["rule "+r.Name] = true
	}
	for name := range used {
		assert.True(t, exists[name] || strings.HasPrefix(name, "token step"), "%s does not exist",
			name)
	}
	for name := range exists {
		assert.True(t, used[name], "%s is not used", name)
	}
}
