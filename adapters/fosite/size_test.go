package fositeexchange_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSize: the adapter is short enough to be read before it is trusted, and what a host writes is shorter.
func TestSize(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	lines := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.HasSuffix(file, "_test.go") {
			lines += strings.Count(string(source), "\n")
		}
	}
	require.Less(t, lines, 800)
	require.Greater(t, lines, 200, "the adapter is somewhere else")

	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, host, begins := strings.Cut(string(source), "// What a host writes begins here.\n")
	host, _, ends := strings.Cut(host, "// What a host writes ends here.\n")
	require.True(t, begins && ends)
	require.Less(t, strings.Count(host, "\n"), 40)
}
