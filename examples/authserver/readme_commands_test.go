//go:build curl

package main

// The commands of the README, in a shell. They need curl, which go test alone must not need, hence
// the tag:
//
//	go test -tags curl -run README .

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// block is a fenced block of a Markdown file.
type block struct {
	line           int
	language, text string
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks returns the fenced blocks of a Markdown file, in order.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var list []block
	for _, at := range fence.FindAllSubmatchIndex(text, -1) {
		list = append(list, block{1 + bytes.Count(text[:at[0]], []byte("\n")),
			string(text[at[2]:at[3]]), string(text[at[4]:at[5]])})
	}
	require.NotEmpty(t, list)
	return list
}

// step is a block of commands and the output that the README shows for it. A step without output
// prints nothing.
type step struct {
	block
	prints []block
}

func readmeSteps(t *testing.T) []step {
	t.Helper()
	var steps []step
	for _, b := range blocks(t, "README.md") {
		switch b.language {
		case "bash":
			steps = append(steps, step{block: b})
		case "json", "text":
			require.NotEmpty(t, steps, "line %d: output without a command", b.line)
			steps[len(steps)-1].prints = append(steps[len(steps)-1].prints, b)
		default:
			require.Fail(t, "unknown block", "line %d: %q", b.line, b.language)
		}
	}
	return steps
}

// endOfStep marks the end of a step's output and its status. No output contains it.
const endOfStep = "\x1e"

// script runs the steps one after the other in an interactive shell.
func script(steps []step) string {
	var b strings.Builder
	b.WriteString("set -m\n") // jobs get process groups of their own, as in an interactive shell
	for _, s := range steps {
		b.WriteString(served(s.text) + "printf '" + endOfStep + "%s" + endOfStep + "' $?\n")
	}
	return b.String()
}

var ports = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// served replaces the server by the program that was built, on a free port.
func served(command string) string {
	command = ports.ReplaceAllString(command, "127.0.0.1:0")
	command = strings.ReplaceAll(command, "go run . -demo", "go run . -addr 127.0.0.1:0 -demo")
	return strings.ReplaceAll(command, "go run .", "./authserver")
}

// TestREADME_EveryCommand runs the whole README in a shell, with curl and a server of its own, and
// compares the output.
func TestREADME_EveryCommand(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed", "base64"} {
		_, err := exec.LookPath(tool)
		require.NoError(t, err, "the README needs it")
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o",
		filepath.Join(dir, "authserver"), ".")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "world.json"), demoWorld, 0o600))

	steps := readmeSteps(t)
	stdout, stderr := typed(t, dir, script(steps))
	parts := strings.Split(stdout, endOfStep)
	require.Len(t, parts, 2*len(steps)+1, "the shell stopped early: %s", stderr)
	issuer := ""
	for i, s := range steps {
		printed, status := parts[2*i], parts[2*i+1]
		require.Equal(t, "0", status, "line %d: %s", s.line, stderr)
		if m := regexp.MustCompile(`http://` + ports.String()).FindString(printed); m != "" {
			issuer = m // the second server has another address
		}
		s.compare(t, printed, issuer)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, left, 2, "the clean-up leaves nothing but what the test has made: %v", left)
}

// typed runs a script and returns its output. Processes that it leaves behind end with the test.
func typed(t *testing.T, dir, text string) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", text+"kill %1 %2 2>/dev/null; exit 0\n")
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	require.NoError(t, cmd.Run(), "%s", &errs)
	require.Less(t, time.Since(began), 4*time.Minute)
	return out.String(), errs.String()
}

// compare compares the output with the README.
func (s step) compare(t *testing.T, printed, issuer string) {
	t.Helper()
	if len(s.prints) == 0 {
		require.Empty(t, printed, "line %d: the README does not say what is printed", s.line)
		return
	}
	require.Len(t, s.prints, 1, "line %d", s.line)
	want, got := s.prints[0].text, printed
	if s.prints[0].language == "json" {
		want, got = oneLineEach(t, s.line, want), oneLineEach(t, s.line, got)
	}
	wanted, found := strings.Split(strings.TrimSpace(want),
		"\n"), strings.Split(strings.TrimSpace(got), "\n")
	require.Len(t, found, len(wanted), "line %d:\n%s", s.line, got)
	for i := range wanted {
		require.Regexp(t, pattern(wanted[i], issuer), found[i], "line %d, answer %d", s.line, i+1)
		require.True(t, soon(wanted[i], found[i]), "line %d: expires_in:\n%s\n%s", s.line,
			wanted[i], found[i])
	}
}

// oneLineEach writes each JSON document on one line, members in their order, and fails on other
// text.
func oneLineEach(t *testing.T, line int, text string) string {
	t.Helper()
	var b strings.Builder
	d := json.NewDecoder(strings.NewReader(text))
	for d.More() {
		var document json.RawMessage
		require.NoError(t, d.Decode(&document), "line %d: %s", line, text)
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, document))
		b.WriteString(compact.String() + "\n")
	}
	return b.String()
}

var (
	dates   = regexp.MustCompile(`"(exp|iat|auth_time)":\d+`)
	seconds = regexp.MustCompile(`"expires_in":(\d+)`)
)

// pattern matches the same line, with … for at least one character of a token, an id or a time.
func pattern(line, issuer string) string {
	p := regexp.QuoteMeta(line)
	p = strings.ReplaceAll(p, `http://127\.0\.0\.1:9000`, regexp.QuoteMeta(issuer))
	p = strings.ReplaceAll(p, `http://127\.0\.0\.1:9001`, regexp.QuoteMeta(issuer))
	p = dates.ReplaceAllString(p, `"$1":[0-9]{10}`)
	p = seconds.ReplaceAllString(p, `"expires_in":[0-9]+`)
	return "^" + strings.ReplaceAll(p, "…", `[A-Za-z0-9_.:-]+`) + "$"
}

// soon reports whether expires_in is what the README says, less the minute that has passed.
func soon(want, got string) bool {
	w, g := seconds.FindStringSubmatch(want), seconds.FindStringSubmatch(got)
	if w == nil || g == nil {
		return (w == nil) == (g == nil)
	}
	wanted, errW := strconv.Atoi(w[1])
	found, errG := strconv.Atoi(g[1])
	return errW == nil && errG == nil && found <= wanted && found > wanted-60
}
