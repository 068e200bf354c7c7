package tokenexchange_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	goBlock   = regexp.MustCompile("(?s)```go\n(.*?)```")
	textBlock = regexp.MustCompile("(?s)```text\n(.*?)```")
)

// TestREADME_SaysWhatIsRun: every Go snippet stands in a tested example, line for line, and the transcript is what the
// quickstart prints, which its own test compares with a real run.
func TestREADME_SaysWhatIsRun(t *testing.T) {
	readme := quotesExamples(t, "README.md")
	transcript, err := os.ReadFile("examples/quickstart/testdata/output.txt")
	require.NoError(t, err)
	shown := textBlock.FindStringSubmatch(readme)
	require.NotNil(t, shown)
	require.Equal(t, string(transcript), shown[1], "the transcript is not what the quickstart prints")
}

// TestC06_BuildingBlocksSayWhatIsRun: the same for the map of building blocks, with an example of each.
func TestC06_BuildingBlocksSayWhatIsRun(t *testing.T) {
	text := quotesExamples(t, "docs/building-blocks.md")
	require.Len(t, goBlock.FindAllString(text, -1), 3)
}

// quotesExamples reads a document all of whose Go snippets stand in examples.
func quotesExamples(t *testing.T, document string) string {
	t.Helper()
	readme, err := os.ReadFile(document)
	require.NoError(t, err)
	var sources strings.Builder
	files, err := filepath.Glob("example*_test.go")
	require.NoError(t, err)
	for _, dir := range []string{"actors", "client", "resourceserver", "tokenstore", "tokenexchangetest", "lab/scenarios", "adapters/fosite", "adapters/zitadeloidc"} {
		more, err := filepath.Glob(dir + "/*_test.go")
		require.NoError(t, err)
		files = append(files, more...)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		sources.WriteString(unindented(string(source)))
	}
	snippets := goBlock.FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, snippets)
	for _, snippet := range snippets {
		require.True(t, strings.Contains(sources.String(), unindented(snippet[1])), "no example runs this snippet:\n%s", snippet[1])
	}
	return string(readme)
}

// TestREADME_AHostIsUnderAHundredLines counts the host in the package's example: from its maps to the Exchanger, without
// comments and blank lines.
func TestREADME_AHostIsUnderAHundredLines(t *testing.T) {
	source, err := os.ReadFile("example_host_test.go")
	require.NoError(t, err)
	_, host, found := strings.Cut(string(source), "type threeMaps struct")
	require.True(t, found)
	host, _, found = strings.Cut(host, "// logIn stands for the logins")
	require.True(t, found)
	lines := 1
	for line := range strings.Lines(host) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	require.Less(t, lines, 100)
	require.Greater(t, lines, 50, "the host is somewhere else")
}

// TestREADME_LinesOfAdapters counts what a host writes for each framework, without comments and blank lines.
func TestREADME_LinesOfAdapters(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, adapter := range []string{"fosite", "zitadeloidc"} {
		source, err := os.ReadFile("adapters/" + adapter + "/example_test.go")
		require.NoError(t, err)
		_, host, found := strings.Cut(string(source), "// What a host writes begins here.\n")
		require.True(t, found, adapter)
		host, _, found = strings.Cut(host, "// What a host writes ends here.\n")
		require.True(t, found, adapter)
		lines := 0
		for line := range strings.Lines(host) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
		require.Less(t, lines, 40, adapter)
		require.Contains(t, string(readme), fmt.Sprintf("| %d | [adapters/%s]", lines, adapter))
	}
}

// unindented drops the white space in front of each line, since a snippet stands at another depth than its example.
func unindented(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
