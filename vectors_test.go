package tokenexchange_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// vector is a file of testdata/vectors: header lines "name: value", a blank line, a body. An
// unknown header, a missing header and a folder with too few vectors fail the test, so that no
// vector is skipped by mistake.
type vector struct {
	header map[string]string
	body   string
}

func readVectors(t testing.TB, kind string, atLeast int, headers ...string) map[string]vector {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "vectors", kind, "*.txt"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), atLeast, "vectors are missing in %s", kind)
	vectors := map[string]vector{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		head, body, found := strings.Cut(string(data), "\n\n")
		require.True(t, found, "%s: no blank line", file)
		v := vector{header: map[string]string{}, body: strings.TrimSuffix(body, "\n")}
		for lines := bufio.NewScanner(strings.NewReader(head)); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ":")
			require.Contains(t, headers, name, "%s: unknown header", file)
			require.NotContains(t, v.header, name, "%s: a header twice", file)
			v.header[name] = strings.TrimSpace(value)
		}
		for _, name := range []string{"comment", "expect"} {
			require.NotEmpty(t, v.header[name], "%s: no %s", file, name)
		}
		vectors[strings.TrimSuffix(filepath.Base(file), ".txt")] = v
	}
	return vectors
}

// TestRequestVectors runs the raw forms in testdata/vectors/request. Headers: expect is granted or
// an error code, names is the parameter that the description must name.
func TestRequestVectors(t *testing.T) {
	runByRow(t, readRequests(t), func(t *testing.T, v vector) {
		form, err := url.ParseQuery(v.body)
		require.NoError(t, err)
		r, err := tokenexchange.ParseRequest(form)
		if v.header["expect"] != "granted" {
			require.ErrorIs(t, err, tokenexchange.Code(v.header["expect"]))
			require.Contains(t, tokenexchange.AsError(err).Description, v.header["names"])
			require.Equal(t, tokenexchange.Request{}, r)
			return
		}
		require.NoError(t, err)
		again, err := tokenexchange.ParseRequest(r.Values())
		require.NoError(t, err)
		require.Equal(t, r, again, "I11")
	})
}

func readRequests(t testing.TB) map[string]vector {
	return readVectors(t, "request", 100, "comment", "expect", "names")
}

func readDecisions(t testing.TB) map[string]vector {
	return readVectors(t, "decision", 600, "comment", "base", "expect", "reason", "rule", "sub",
		"tenant", "act", "aud", "scope",
		"expanded", "type", "expires", "refresh_expires", "cnf", "id_token", "refresh_token")
}

// runByRow runs each vector as a subtest below that of its row, with which its name begins:
// "go test -run Vectors/D13 ." runs the vectors of D13.
func runByRow(t *testing.T, all map[string]vector, run func(*testing.T, vector)) {
	t.Helper()
	rows := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		row := vectorRow.FindString(name)
		require.NotEmpty(t, row, "%s: the name does not begin with a row of docs/rules.md", name)
		rows[row] = append(rows[row], name)
	}
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		t.Run(strings.TrimSuffix(row, "-"), func(t *testing.T) {
			for _, name := range rows[row] {
				t.Run(strings.TrimPrefix(name, row), func(t *testing.T) { run(t, all[name]) })
			}
		})
	}
}

var vectorRow = regexp.MustCompile(`^[RDI]\d\d-`)

// TestDecisionVectors runs the decisions in testdata/vectors/decision. A vector is a patch (RFC
// 7396) of a base case: {"rule": …, "facts": …}, and in "more" further rules, each a patch of the
// first; "rules" replaces them all. Headers: base is the case in testdata/vectors/base; expect is
// granted or an error code; reason is how the reason of a refusal begins; the rest is what a
// granted decision says, lists separated by spaces, "-" for none, expires as the time from now.
func TestDecisionVectors(t *testing.T) {
	runByRow(t, readDecisions(t), func(t *testing.T, v vector) {
		policy, facts := readCase(t, v)
		d, err := policy.Decide(facts)
		if want := v.header["expect"]; want != "granted" {
			e := tokenexchange.AsError(err)
			require.NotNil(t, e, "it was granted")
			require.Equal(t, tokenexchange.Code(want), e.Code)
			require.NotEmpty(t, v.header["reason"])
			require.Contains(t, e.Detail, v.header["reason"])
			require.Equal(t, tokenexchange.Decision{}, d)
		} else {
			require.NoError(t, err)
		}
		for name, got := range described(t, facts, d, err) {
			if want, stated := v.header[name]; stated {
				require.Equal(t, want, got, name)
			}
		}
		again, errAgain := policy.Decide(roundTrip(t, facts))
		require.Equal(t, err, errAgain, "a decision does not survive a store")
		again.Facts, d.Facts = tokenexchange.Facts{}, tokenexchange.Facts{}
		require.Equal(t, d, again, "I09")
	})
}

// described returns a decision as the headers of a vector.
func described(
	t *testing.T, f tokenexchange.Facts, d tokenexchange.Decision, err error,
) map[string]string {
	if err != nil {
		return map[string]string{"rule": tokenexchange.AsError(err).Rule}
	}
	list := func(items []string) string {
		if len(items) == 0 {
			return "-"
		}
		return strings.Join(items, " ")
	}
	inSeconds := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return at.Sub(f.Now).String()
	}
	act, cnf := "-", mustJSON(t, d.Confirmation)
	if d.Actor != nil {
		act = mustJSON(t, d.Actor)
	}
	return map[string]string{
		"rule":            d.Rule,
		"sub":             d.Subject.ID,
		"tenant":          d.Subject.Tenant,
		"act":             act,
		"aud":             list(d.Audience),
		"scope":           list(d.Scope),
		"expanded":        list(d.Expanded),
		"type":            string(d.Type),
		"expires":         inSeconds(d.Expires),
		"refresh_expires": inSeconds(d.RefreshExpires),
		"cnf":             cnf,
		"id_token":        mustJSON(t, d.IDToken),
		"refresh_token":   mustJSON(t, d.RefreshToken),
	}
}

func readCase(t *testing.T, v vector) (*tokenexchange.Policy, tokenexchange.Facts) {
	t.Helper()
	base, err := os.ReadFile(filepath.Join("testdata", "vectors", "base", v.header["base"]+".json"))
	require.NoError(t, err)
	var c, patch map[string]any
	require.NoError(t, json.Unmarshal(base, &c))
	require.NoError(t, json.Unmarshal([]byte(v.body), &patch))
	for name := range patch {
		require.Contains(t, []string{"rule", "rules", "more", "facts"}, name)
	}
	c = merge(c, patch).(map[string]any)
	rules := []any{c["rule"]}
	if more, ok := c["more"].([]any); ok {
		for _, next := range more {
			rules = append(rules, merge(c["rule"], next))
		}
	}
	if all, ok := c["rules"].([]any); ok {
		rules = all
	}
	policy, err := tokenexchange.ParsePolicy([]byte(mustJSON(t, map[string]any{"rules": rules})))
	require.NoError(t, err)
	var facts tokenexchange.Facts
	d := json.NewDecoder(strings.NewReader(mustJSON(t, c["facts"])))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&facts))
	return policy, facts
}

// merge applies a JSON merge patch (RFC 7396).
func merge(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		for name, value := range old {
			merged[name] = value
		}
	}
	for name, value := range members {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], value)
		}
	}
	return merged
}

func roundTrip(t *testing.T, f tokenexchange.Facts) (again tokenexchange.Facts) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(mustJSON(t, f)), &again))
	require.Equal(t, f, again, "facts do not survive a store")
	return again
}
