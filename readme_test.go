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

// TestREADME_SaysWhatIsRun checks that every Go snippet of the README is part of a tested example,
// and that its transcript is part of the recorded output of the quickstart. The README has at most
// 150 lines.
func TestREADME_SaysWhatIsRun(t *testing.T) {
	readme := quotesExamples(t, "README.md")
	output, err := os.ReadFile("examples/quickstart/testdata/output.txt")
	require.NoError(t, err)
	shown := textBlock.FindStringSubmatch(readme)
	require.NotNil(t, shown)
	require.Contains(t, string(output), shown[1])
	require.LessOrEqual(t, strings.Count(readme, "\n"), 150)
}

// TestC06_BuildingBlocksSayWhatIsRun checks the snippets of building-blocks.md, one for each of
// three interfaces.
func TestC06_BuildingBlocksSayWhatIsRun(t *testing.T) {
	text := quotesExamples(t, "docs/building-blocks.md")
	require.Len(t, goBlock.FindAllString(text, -1), 3)
}

// quotesExamples returns a document. It requires that each Go snippet is part of an example.
func quotesExamples(t *testing.T, document string) string {
	t.Helper()
	readme, err := os.ReadFile(document)
	require.NoError(t, err)
	var sources strings.Builder
	files, err := filepath.Glob("example*_test.go")
	require.NoError(t, err)
	for _, dir := range []string{
		"authorizer", "client", "resourceserver", "tokenstore", "tokenexchangetest",
		"examples/authserver", "adapters/fosite", "adapters/zitadeloidc",
	} {
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
		require.True(t, strings.Contains(sources.String(), unindented(snippet[1])),
			"no example runs this snippet:\n%s", snippet[1])
	}
	return string(readme)
}

// TestREADME_AHostIsUnderAHundredLines counts the lines of the host in the example of the package,
// without comments and blank lines.
func TestREADME_AHostIsUnderAHundredLines(t *testing.T) {
	source, err := os.ReadFile("example_exchange_test.go")
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
	require.Greater(t, lines, 50, "the host was not found")
}

// TestREADME_LinesOfAdapters counts the lines that a host writes for each framework, without
// comments and blank lines.
func TestREADME_LinesOfAdapters(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, adapter := range []string{"fosite", "zitadeloidc"} {
		source, err := os.ReadFile("adapters/" + adapter + "/example_test.go")
		require.NoError(t, err)
		_, host, found := strings.Cut(string(source), "// The code of the host begins here.\n")
		require.True(t, found, adapter)
		host, _, found = strings.Cut(host, "// The code of the host ends here.\n")
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

// unindented removes the indentation of each line, since a snippet is indented less than its
// example.
func unindented(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
