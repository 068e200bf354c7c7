package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// TestREADME: the commands in the README are run: one by this test, one is this test, one by CI.
// The quoted output and the quoted times are real.
func TestREADME(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	readme := string(raw)
	var commands, outputs []string
	for _, block := range fence.FindAllStringSubmatch(readme, -1) {
		if block[1] == "bash" {
			commands = append(commands, strings.TrimSpace(block[2]))
		} else {
			outputs = append(outputs, block[2])
		}
	}
	require.Equal(t, []string{"go run ./examples/supportconsole",
		"go test ./examples/supportconsole", "examples/supportconsole/browser/run"}, commands)

	run := exec.Command("sh", "-c", commands[0]+" -h")
	run.Dir = "../.."
	help, err := run.CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(help), `(default "127.0.0.1:9000")`)
	require.Contains(t, string(help), `(default "127.0.0.1:9001")`)
	require.Len(t, outputs, 1)
	m := invitation.FindStringSubmatch(outputs[0]) // TestProgram signs in with this output
	require.NotNil(t, m)
	require.Equal(t, []string{"http://127.0.0.1:9001", "ines", "ines-demo-password"}, m[1:])

	script, err := os.Stat("../../" + commands[2])
	require.NoError(t, err)
	require.NotZero(t, script.Mode()&0o100, "it can be run")

	s := demoSettings("", "", "", nil)
	require.Equal(t, "15m0s 8h0m0s", s.Idle.String()+" "+s.Longest.String())
	require.Contains(t, string(world), `"lifetime": "10m"`)
	for _, of := range []string{"greta", "ines"} {
		require.Contains(t, readme, of+"-demo-password")
		require.Contains(t, string(world), of+"-demo-password")
	}
}
