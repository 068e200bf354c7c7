package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

var update = flag.Bool("update", false, "write the transcript to testdata")

// asProgram is the environment variable that makes the test binary run main.
const asProgram = "EXAMPLE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestTranscript checks the output, which is the same in every run and contains no token.
func TestTranscript(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, rules))
	golden := filepath.Join("testdata", "output.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "run the test with -update to accept the output")
	require.NotContains(t, out.String(), "eyJ", "a token is printed")
	for _, title := range []string{"NARROW", "DELEGATE", "SECOND HOP", "IMPERSONATION REFUSED",
		"DELEGATION REFUSED", "SCOPE REFUSED", "REVOKED"} {
		require.Contains(t, out.String(), title)
	}

	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), asProgram+"=1")
	program, err := command.Output()
	require.NoError(t, err)
	require.Equal(t, string(want), string(program))
}

// TestBrokenServer checks that run fails if the server grants or refuses something else than
// expected.
func TestBrokenServer(t *testing.T) {
	for want, change := range map[string]func([]tokenexchange.Rule) []tokenexchange.Rule{
		"step 1: expected": func(rules []tokenexchange.Rule) []tokenexchange.Rule {
			rules[0].Lifetime = time.Minute
			return rules
		},
		"step 2: expected": func(rules []tokenexchange.Rule) []tokenexchange.Rule {
			return slices.Delete(rules, 1, 2)
		},
		"step 3: expected": func(rules []tokenexchange.Rule) []tokenexchange.Rule {
			rules[2].ClientActs = nil
			rules[2].Impersonate = &tokenexchange.Impersonation{Carry: true}
			return rules
		},
		"step 5: expected": func(rules []tokenexchange.Rule) []tokenexchange.Rule {
			more := rules[2]
			more.Name, more.Clients, more.Targets = "loose", []string{"billing"}, []string{"api"}
			return append(rules, more)
		},
		"it must be one": func(rules []tokenexchange.Rule) []tokenexchange.Rule {
			rules[0].Narrow = nil
			return rules
		},
	} {
		require.ErrorContains(t, run(t.Context(), io.Discard, change(slices.Clone(rules))), want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, rules), context.Canceled)
	require.ErrorIs(t, run(t.Context(), fullWriter{}, rules), io.ErrShortWrite,
		"a failure to print is an error")
}

// TestExpectations checks that run fails if any expected line is changed.
func TestExpectations(t *testing.T) {
	for i := range steps {
		for line := range steps[i].want {
			original := steps[i].want[line]
			steps[i].want[line] += "?"
			var out bytes.Buffer
			require.ErrorContains(t, run(t.Context(), &out, rules), "expected")
			require.Contains(t, out.String(), original[:8], "the actual result is printed")
			steps[i].want[line] = original
		}
	}
}

// fullWriter fails every write.
type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
