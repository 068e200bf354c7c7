package jose_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// TestVectors reads testdata/vectors: header lines, a blank line, a token as it arrives.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			head, body, ok := strings.Cut(string(must(os.ReadFile(file))), "\n\n")
			require.True(t, ok, "no blank line")
			fields := map[string]string{"comment": "", "algorithms": "", "expect": "", "keys": ""}
			for line := range strings.Lines(head + "\n") {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
				require.Contains(t, fields, name)
				fields[name] = value
			}
			keys, err := jose.ParseKeys([]byte(fields["keys"]), strings.Fields(fields["algorithms"]))
			require.NoError(t, err)
			err = verify(keys, strings.TrimSuffix(body, "\n"))
			switch fields["expect"] {
			case "verified":
				assert.NoError(t, err)
			case "refused":
				assert.Error(t, err)
			default:
				t.Fatalf("expect: %q", fields["expect"])
			}
		})
	}
}
