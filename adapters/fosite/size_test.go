package fositeexchange_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSize checks that the adapter is short enough to be read in full, and that a host needs even
// less code.
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
	require.Greater(t, lines, 200, "the files of the adapter were not found")

	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, host, begins := strings.Cut(string(source), "// The code of the host begins here.\n")
	host, _, ends := strings.Cut(host, "// The code of the host ends here.\n")
	require.True(t, begins && ends)
	require.Less(t, strings.Count(host, "\n"), 40)
}
