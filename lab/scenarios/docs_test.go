package scenarios

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	scenarioRow = regexp.MustCompile("(?m)^\\| ([A-Z]\\d\\d) \\| [^|]+ \\| `TestScenario/([A-Z]\\d\\d)` in \\[`(\\w+\\.go)`\\]\\(([^)]+)\\) \\| \\[([A-Z]\\d\\d)\\]\\(#([a-z0-9-]+)\\) \\|$")
	quotation   = regexp.MustCompile("(?ms)^\\[`([^`]+)`\\]\\(\\.\\./([^)]+)\\):\n\n```[a-z]+\n(.*?)^```$")
	section     = regexp.MustCompile(`(?m)^### (.+)$`)
)

// TestDocs_ScenarioTable: each scenario has a row in docs/scenarios.md that names the file of its test, and leads to a section
// of five to fifteen quoted lines, which stand in the named files as they are quoted.
func TestDocs_ScenarioTable(t *testing.T) {
	const root = "../../"
	raw, err := os.ReadFile(root + "docs/scenarios.md")
	require.NoError(t, err)
	text := string(raw)

	lines := map[string]int{} // by id: quoted ones
	heads := section.FindAllStringSubmatchIndex(text, -1)
	for i, at := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		head, body := text[at[2]:at[3]], text[at[1]:end]
		n := 0
		quotes := quotation.FindAllStringSubmatch(body, -1)
		require.Equal(t, strings.Count(body, "\n```\n"), len(quotes), "%s: something is quoted from nowhere", head)
		for _, q := range quotes {
			require.Equal(t, q[1], q[2], "%s: a link to another file", head)
			source, err := os.ReadFile(root + q[1])
			require.NoError(t, err)
			require.True(t, strings.Contains(unindented(string(source)), unindented(q[3])), "%s: this does not stand in %s:\n%s", head, q[1], q[3])
			n += strings.Count(q[3], "\n")
		}
		require.True(t, n >= 5 && n <= 15, "%s: %d lines are quoted", head, n)
		for id := range strings.SplitSeq(head, ", ") {
			require.Zero(t, lines[id], "%s has two sections", id)
			lines[id] = n
			anchor := strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(head, ",", "")), " ", "-")
			require.True(t, strings.Contains(text, "["+id+"](#"+anchor+")"), "%s: its row does not lead here", id)
		}
	}
	rows := scenarioRow.FindAllStringSubmatch(text, -1)
	require.Len(t, lines, len(rows))
	seen, own := map[string]bool{}, 0
	for _, row := range rows {
		id := row[1]
		require.False(t, seen[id], "%s has two rows", id)
		seen[id] = true
		require.NotZero(t, lines[id], "nothing is quoted for %s", id)
		require.Equal(t, []string{id, id}, []string{row[2], row[5]}, "the row of another scenario")
		if strings.HasPrefix(row[4], "../examples/supportconsole/") {
			continue // its own test looks at it
		}
		own++
		require.NotNil(t, scenarios[id], "there is no scenario %s", id)
		require.Equal(t, "../lab/scenarios/"+row[3], row[4])
		source, err := os.ReadFile(row[3])
		require.NoError(t, err)
		require.True(t, strings.Contains(string(source), `scenario("`+id+`", `), "the test of %s is in another file", id)
	}
	require.Equal(t, len(scenarios), own)
}

// unindented drops the white space in front of each line, and adds a line break in front of all, so that only whole lines
// are found.
func unindented(source string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(source) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
