package main

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// TestREADME_World: the README explains every member of a world, and gives the lengths of the files
// to copy.
func TestREADME_World(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	readme := string(raw)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[world.World]()) {
		require.True(t, strings.Contains(readme, "`"+f.Tag.Get("json")+"`"),
			"the README does not explain %s", f.Name)
	}
	rows := regexp.MustCompile(
		"(?m)^\\| \\[`([/\\w]+\\.go)`\\]\\([/\\w]+\\.go\\) \\| (\\d+) \\|").FindAllStringSubmatch(
		readme, -1)
	require.Len(t, rows, 5)
	for _, row := range rows {
		source, err := os.ReadFile(row[1])
		require.NoError(t, err)
		lines, err := strconv.Atoi(row[2])
		require.NoError(t, err)
		require.InDelta(t, bytes.Count(source, []byte("\n")), lines, 15, row[1])
	}
}
