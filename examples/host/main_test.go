package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGettingStarted runs docs/getting-started.md: the program that it shows is this one, and each
// curl command gets the answer that stands below it. Where a log line stands below the answer, the
// server has logged that line.
func TestGettingStarted(t *testing.T) {
	page, err := os.ReadFile("../../docs/getting-started.md")
	require.NoError(t, err)
	program, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.True(t, strings.Contains(string(page), "```go\n"+string(program)+"```\n"),
		"the page does not show main.go as it is")

	var audit bytes.Buffer
	server, tokens, err := newServer(slog.NewJSONHandler(&audit, nil))
	require.NoError(t, err)
	variables := map[string]string{"ALICE": logIn(tokens, "alice", "webapp"),
		"BOB": logIn(tokens, "bob", "helpdesk"), "MALLORY": logIn(tokens, "mallory", "webapp")}

	issued := regexp.MustCompile(`"access_token":"([^"]+)"`)
	commands, answer := 0, ""
	blocks := regexp.MustCompile("(?s)```(sh|json)\n(.*?)```")
	for _, block := range blocks.FindAllStringSubmatch(string(page), -1) {
		switch text := block[2]; {
		case block[1] == "json" && strings.Contains(text, `"time"`):
			lines := strings.Split(strings.TrimSpace(audit.String()), "\n")
			require.Equal(t, steady(t, lines[len(lines)-1]), steady(t, text))
		case block[1] == "json":
			require.Equal(t, steady(t, answer), steady(t, text))
			answer = ""
		case strings.HasPrefix(text, "curl "):
			require.Empty(t, answer, "an answer is not shown")
			commands++
			text = os.Expand(text, func(name string) string { return variables[name] })
			answer = curl(t, server, text)
			if token := issued.FindStringSubmatch(answer); token != nil {
				variables["TOKEN"] = token[1]
			}
		}
	}
	require.Empty(t, answer, "the last answer is not shown")
	require.Equal(t, 4, commands)
}

// curl makes the request of a curl command that has the options -u and -d.
func curl(t *testing.T, server http.Handler, command string) string {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(command, "\\\n", " "))
	var address, user string
	var form []string
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-u":
			i++
			user = words[i]
		case "-d":
			i++
			form = append(form, words[i])
		default:
			require.Empty(t, address, "%s: two addresses", command)
			address = words[i]
		}
	}
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(strings.Join(form, "&")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	id, secret, _ := strings.Cut(user, ":")
	r.SetBasicAuth(id, secret)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w.Body.String()
}

// steady parses an answer or a log line, without the values that differ from run to run.
func steady(t *testing.T, text string) (value any) {
	t.Helper()
	changing := regexp.MustCompile(`"(access_token|token_id|jti|time|expires)": *"[^"]*"|` +
		`"(iat|exp|begun)": *\d+`)
	text = changing.ReplaceAllString(text, `"$1$2": "differs"`)
	require.NoError(t, json.Unmarshal([]byte(text), &value), text)
	return value
}
