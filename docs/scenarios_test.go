package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestScenarios_AreTested checks that each row of scenarios.md leads to a file with the test of
// that scenario, and that each scenario that is tested has a row.
func TestScenarios_AreTested(t *testing.T) {
	files := repository(t)
	page := files["docs/scenarios.md"]
	row := regexp.MustCompile(
		`(?m)^\| ([ZUWCF]\d\d) \| .* \| \[TestScenario/([ZUWCF]\d\d)\]\((\S+)\) \|$`)
	inFile := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		id, file := m[1], path.Join("docs", m[3])
		require.Equal(t, id, m[2], "the row of %s leads to another test", id)
		require.Empty(t, inFile[id], "%s has two rows", id)
		require.Contains(t, testedIn(files[file]), id, "%s has no test of %s", file, id)
		inFile[id] = file
	}
	require.Equal(t, strings.Count(page, "[TestScenario/"), len(inFile), "a row is malformed")
	tested := 0
	for file, text := range files {
		host := strings.HasPrefix(file, "lab/") || strings.HasPrefix(file, "examples/")
		if !host || !strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, id := range testedIn(text) {
			tested++
			require.Equal(t, file, inFile[id], "the row of %s", id)
		}
	}
	require.Equal(t, 55, tested)
}

// testedIn returns the scenarios that a test file has: it registers each by scenario, or runs it as
// a subtest of TestScenario.
func testedIn(text string) (ids []string) {
	patterns := []string{`\bscenario\("([ZUWCF]\d\d)", `}
	if strings.Contains(text, "func TestScenario(") {
		patterns = append(patterns, `t\.Run\("([ZUWCF]\d\d)", `)
	}
	for _, pattern := range patterns {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			ids = append(ids, m[1])
		}
	}
	return ids
}
