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

// asProgram is the variable of the environment that makes of this test the program.
const asProgram = "EXAMPLE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The transcript is the same at every run, and has no token in it.
func TestTranscript(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, rules))
	golden := filepath.Join("testdata", "output.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "run the test with -update if this is meant")
	require.NotContains(t, out.String(), "eyJ", "a token is printed")
	for _, of := range []string{"NARROW", "DELEGATE", "SECOND HOP", "IMPERSONATION REFUSED",
		"DELEGATION REFUSED", "SCOPE REFUSED", "REVOKED"} {
		require.Contains(t, out.String(), of)
	}

	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), asProgram+"=1")
	program, err := command.Output()
	require.NoError(t, err)
	require.Equal(t, string(want), string(program))
}

// What the server gets wrong is seen, and then the program does not exit with 0.
func TestBrokenServer(t *testing.T) {
	for want, breaks := range map[string]func([]tokenexchange.Rule) []tokenexchange.Rule{
		"step 1: expected": func(rules []tokenexchange.Rule) []tokenexchange.Rule { rules[0].Lifetime = time.Minute; return rules },
		"step 2: expected": func(rules []tokenexchange.Rule) []tokenexchange.Rule { return slices.Delete(rules, 1, 2) },
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
		require.ErrorContains(t, run(t.Context(), io.Discard, breaks(slices.Clone(rules))), want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, io.Discard, rules), context.Canceled)
	require.ErrorIs(t, run(t.Context(), full{}, rules), io.ErrShortWrite, "a transcript that nobody can read is no success")
}

// TestExpectations: whichever line is altered, its step fails.
func TestExpectations(t *testing.T) {
	for i := range steps {
		for line := range steps[i].want {
			was := steps[i].want[line]
			steps[i].want[line] += "?"
			var out bytes.Buffer
			require.ErrorContains(t, run(t.Context(), &out, rules), "expected")
			require.Contains(t, out.String(), was[:8], "what came is printed all the same")
			steps[i].want[line] = was
		}
	}
}

// full is where nothing more can be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
