package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asProgram is the environment variable that makes the test binary run main. The value "wrong"
// changes an expected result.
const asProgram = "FOSITE_EXAMPLE"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "wrong":
		steps[3].answer = "200 expires_in=300 scope=photos"
	}
	main()
}

// TestProgram checks the output, and that the exit code is 0 only if every result is the expected
// one.
func TestProgram(t *testing.T) {
	start := func(how string) (string, string, error) {
		var out, errs strings.Builder
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), asProgram+"="+how)
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return out.String(), errs.String(), err
	}
	want, err := os.ReadFile("testdata/output.txt")
	require.NoError(t, err)
	out, errs, err := start("expected")
	require.NoError(t, err, errs)
	require.Equal(t, string(want), out)
	require.Empty(t, errs)
	require.NotContains(t, out, "eyJ", "a token is printed")

	out, errs, err = start("wrong")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.True(t, strings.HasPrefix(string(want), out), "the output up to the failed step")
	require.Contains(t, errs,
		`example: step 4: answer: expected "200 expires_in=300 scope=photos", `+
			`got "400 error=invalid_request"`)
}

// TestEveryExpectationCounts checks that run fails if any expected result is changed.
func TestEveryExpectationCounts(t *testing.T) {
	for name, part := range map[string]func(*step) *string{
		"answer": func(s *step) *string { return &s.answer },
		"token":  func(s *step) *string { return &s.token },
		"audit":  func(s *step) *string { return &s.audit },
	} {
		t.Run(name, func(t *testing.T) {
			altered := slices.Clone(steps)
			*part(&altered[0]) += "x"
			require.ErrorContains(t, run(t.Context(), io.Discard, altered),
				"step 1: "+name+": expected")
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ended, io.Discard, steps), context.Canceled)
}

// TestWalkShowsRevocation checks that no token is active after the revocation.
func TestWalkShowsRevocation(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, steps[:1]))
	require.Equal(t, 1, strings.Count(out.String(), "not active"))
}
