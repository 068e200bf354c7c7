package docs

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestLinks checks every link in the Markdown of the repository that leads to a file or to a place
// on a page.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	files := repository(t)
	checked, placesOf := 0, map[string][]string{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(withoutCode(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			file, place, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			require.True(t, files[target] != "" || isFolder(files, target),
				"%s: a link to %s", name, m[1])
			if place != "" {
				if placesOf[target] == nil {
					placesOf[target] = places(files[target])
				}
				require.True(t, slices.Contains(placesOf[target], place),
					"%s: a link to %s", name, m[1])
			}
		}
	}
	require.Greater(t, checked, 100, "the links are written in another way")
}

func isFolder(files map[string]string, name string) bool {
	for file := range files {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// TestGoBlocks checks that every block of Go in docs stands in a Go file of the repository, line
// for line, so that it is compiled.
func TestGoBlocks(t *testing.T) {
	var sources strings.Builder
	files := repository(t)
	for name, text := range files {
		if strings.HasSuffix(name, ".go") {
			sources.WriteString(unindented(text))
		}
	}
	block := regexp.MustCompile("(?s)```go\n(.*?)```")
	for name, text := range files {
		if !strings.HasPrefix(name, "docs/") || !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			require.True(t, strings.Contains(sources.String(), unindented(m[1])),
				"%s: no Go file has this block:\n%s", name, m[1])
		}
	}
}

// TestLineWidth checks that prose has at most 100 columns. Tables, code and links may be wider.
func TestLineWidth(t *testing.T) {
	for name, text := range repository(t) {
		if !strings.HasPrefix(name, "docs/") || !strings.HasSuffix(name, ".md") {
			continue
		}
		for line := range strings.Lines(withoutCode(text)) {
			if strings.HasPrefix(line, "|") || !strings.Contains(strings.TrimSpace(line), " ") {
				continue
			}
			columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))
			require.LessOrEqual(t, columns, 100, "%s: %s", name, line)
		}
	}
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor    = regexp.MustCompile(`<a id="([^"]+)">`)
)

func withoutCode(text string) string { return codeBlock.ReplaceAllString(text, "") }

// places returns the anchors of a page, and the names that GitHub gives its headings.
func places(text string) (list []string) {
	text = withoutCode(text)
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}
	for _, m := range anchor.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// unindented drops the white space in front of each line.
func unindented(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}
