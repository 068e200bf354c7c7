// Package docs holds the documentation to the code. It has tests only.
package docs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the repository.
const root = ".."

// rule is one row of rules.md with its anchor above it.
var rule = regexp.MustCompile(`(?m)^(<a id="([a-z0-9]+)"></a>\n)?### ([RDI]\d\d)\b (.*)$`)

// TestRules_RowsAreWhole checks that no row is missing, and that each has an anchor, a title and a
// source.
func TestRules_RowsAreWhole(t *testing.T) {
	text := read(t, "docs/rules.md")
	var want, got []string
	for kind, rows := range map[string]int{"R": 17, "D": 30, "I": 13} {
		for n := range rows {
			want = append(want, fmt.Sprintf("%s%02d", kind, n+1))
		}
	}
	found := rule.FindAllStringSubmatchIndex(text, -1)
	for i, at := range found {
		row, end := text[at[6]:at[7]], len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		got = append(got, row)
		require.Positive(t, at[4], "%s has no anchor", row)
		require.Equal(t, strings.ToLower(row), text[at[4]:at[5]], "the anchor of %s", row)
		requireText(t, text[at[1]:end], "\nSource: ", row+" has no source")
	}
	require.ElementsMatch(t, want, got)
	require.Equal(t, len(got), strings.Count(text, "\nSource: "))
}

// TestRules_CitedRowsExist checks that rules.md has every row that a file of the repository cites,
// in its text or in its name.
func TestRules_CitedRowsExist(t *testing.T) {
	rows := rowsOfTheBook(t)
	cited := 0
	for path, text := range repository(t) {
		for _, row := range citedIn(path + "\n" + text) {
			cited++
			require.Contains(t, rows, row,
				"%s cites %s, which docs/rules.md does not have", path, row)
		}
	}
	require.Greater(t, cited, 2000, "the citations are somewhere else")
}

// TestRules_EveryRowIsTested checks that every row is in the name of a test function or of a
// vector.
func TestRules_EveryRowIsTested(t *testing.T) {
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	tested := map[string]bool{}
	for path, text := range repository(t) {
		names := []string{}
		switch {
		case strings.HasPrefix(path, "testdata/vectors/"):
			names = append(names, filepath.Base(path))
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range function.FindAllStringSubmatch(text, -1) {
				names = append(names, m[1])
			}
		}
		for _, row := range citedIn(strings.Join(names, "\n")) {
			tested[row] = true
		}
	}
	for _, row := range rowsOfTheBook(t) {
		require.True(t, tested[row], "no test and no vector has %s in its name", row)
	}
}

func rowsOfTheBook(t *testing.T) (rows []string) {
	t.Helper()
	for _, m := range rule.FindAllStringSubmatch(read(t, "docs/rules.md"), -1) {
		rows = append(rows, m[3])
	}
	require.NotEmpty(t, rows)
	return rows
}

var row = regexp.MustCompile(`[RDI]\d\d`)

// citedIn returns the rows that a text cites: as words of their own, or behind a lower-case letter
// or an underscore, as in the name TestR07_D27_R17_TokenOfADecision.
func citedIn(text string) (rows []string) {
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	isUpper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	isLower := func(c byte) bool { return 'a' <= c && c <= 'z' }
	for _, at := range row.FindAllStringIndex(text, -1) {
		if start := at[0]; start > 0 && (isDigit(text[start-1]) || isUpper(text[start-1])) {
			continue
		}
		if end := at[1]; end < len(text) {
			if c := text[end]; isDigit(c) || isUpper(c) || isLower(c) {
				continue
			}
		}
		rows = append(rows, text[at[0]:at[1]])
	}
	return rows
}

func TestCitedIn(t *testing.T) {
	for text, want := range map[string][]string{
		"D13": {"D13"}, "(D13)": {"D13"}, "R03 to R06, R10": {"R03", "R06", "R10"},
		"TestR07_D27_R17_TokenOfADecision": {"R07", "D27", "R17"},
		"testdata/D02-no-rules.txt":        {"D02"}, "[D24](rules.md#d24)": {"D24"},
		"ID13": nil, "D131": nil, "D13x": nil, "0D13": nil, "D1": nil,
	} {
		require.Equal(t, want, citedIn(text), text)
	}
}

// repository returns the text of each file, by its path from the root. Files with a NUL byte are
// not text. What git or npm keep for themselves is left out.
func repository(t *testing.T) map[string]string {
	t.Helper()
	files, err := readRepository()
	require.NoError(t, err)
	return files
}

var readRepository = sync.OnceValues(func() (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains([]string{".git", "node_modules"}, entry.Name()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil // in a worktree .git is a file
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err
		}
		name, err := filepath.Rel(root, path)
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	return files, err
})

// requireText fails if a page lacks a text. Unlike require.Contains, it does not print the page.
func requireText(t *testing.T, page, text, problem string) {
	t.Helper()
	require.True(t, strings.Contains(page, text), "%s: %q", problem, text)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}
