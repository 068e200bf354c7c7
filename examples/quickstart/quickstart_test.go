package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

var update = flag.Bool("update", false, "write the transcript to testdata")

// asProgram is an environment variable that turns this test binary into the program, with that many
// rules.
const asProgram = "QUICKSTART_RULES"

func TestMain(m *testing.M) {
	if text := os.Getenv(asProgram); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		rules = rules[:n]
		main()
		return
	}
	os.Exit(m.Run())
}

// The transcript is the same at every run; the README shows a part of it.
func TestTranscript(t *testing.T) {
	var first, second strings.Builder
	require.NoError(t, run(t.Context(), &first, rules, steps))
	require.NoError(t, run(t.Context(), &second, rules, steps))
	require.Equal(t, first.String(), second.String())

	golden := filepath.Join("testdata", "output.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(first.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), first.String(), "run the test with -update if this is meant")

	require.NotContains(t, first.String(), "eyJ", "a token is printed")
	lines := strings.Split(first.String(), "\n")
	require.Less(t, len(lines), 95)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 112, line)
	}
}

// Every expectation counts: the walk stops at the step whose expectation is changed, left out or
// added, and names it.
func TestEveryExpectationCounts(t *testing.T) {
	parts := map[string]func(*step) *fields{
		"answer": func(s *step) *fields { return &s.answer },
		"token":  func(s *step) *fields { return &s.token },
		"audit":  func(s *step) *fields { return &s.audit },
	}
	n, title := make([]int, len(steps)), make([]string, len(steps)) // of the step of each exchange
	for i, s := range steps {
		n[i], title[i] = 1, s.title
		if i > 0 {
			n[i] = n[i-1] + 1
		}
		if s.title == "" {
			n[i], title[i] = n[i-1], title[i-1]
		}
	}
	stops := func(i int, part string, alter func(fields) fields) {
		t.Helper()
		altered := slices.Clone(steps)
		list := parts[part](&altered[i])
		*list = alter(slices.Clone(*list))
		err := run(t.Context(), io.Discard, rules, altered)
		want := fmt.Sprintf("step %d, %s: %s: expected ", n[i], title[i], part)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, ", got ")
	}
	for i := range steps {
		for part, of := range parts {
			for n := range *of(&steps[i]) {
				stops(i, part, func(list fields) fields { list[n].value += "?"; return list })
				stops(i, part, func(list fields) fields { return slices.Delete(list, n, n+1) })
			}
			stops(i, part, func(list fields) fields {
				return append(list, field{"more", "than there is"})
			})
		}
	}
}

// A wrong policy is noticed from outside.
func TestBrokenPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		breaks func(rules []tokenexchange.Rule) []tokenexchange.Rule
		want   string
	}{
		"no rule for impersonation": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule { return rules[:3] },
			"step 4, IMPERSONATE: gateway calls an old API as alice, under a rule for that; no " +
				"act: " +
				"answer: expected status=200, got status=400",
		},
		"impersonation that is none": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				rules[3].Impersonate = nil
				rules[3].ClientActs = &tokenexchange.ClientActing{}
				return rules
			},
			`token: expected act=none, got act={"iss":"https://as.example","sub":"gateway",` +
				`"client_id":"gateway"}`,
		},
		"a token that lives too long": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				rules[0].Lifetime = 2 * time.Hour
				return rules
			},
			"answer: expected expires_in=300, got expires_in=3",
		},
		"a chain that may not grow": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				rules[2].MaxChain = 1
				return rules
			},
			"step 3, ",
		},
		"more targets": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				return append(rules, tokenexchange.Rule{Name: "payroll",
					Impersonate: &tokenexchange.Impersonation{}, Clients: []string{"webapp"},
					Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens,
					Targets: []string{"https://payroll.example"},
					Scope:   tokenexchange.Scope{"*"}, Lifetime: time.Minute})
			},
			"step 6, REFUSED: a target that no rule allows: answer: expected " +
				"error=invalid_target, got error=invalid_request",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), io.Discard, test.breaks(slices.Clone(rules)), steps)
			require.ErrorContains(t, err, test.want)
		})
	}
	require.Error(t, run(t.Context(), io.Discard, []tokenexchange.Rule{{}}, steps),
		"a policy that is no policy")
}

// Outcomes that a sound server never has are reported, without printing a token.
func TestOutcomeChecks(t *testing.T) {
	now := time.Now()
	o := outcome{jti: "a", auditID: "b"}
	require.EqualError(t, o.check(step{}), `audit: expected the jti of the token, "a", got "b"`)
	o = outcome{issued: issued{expires: now}, latest: now.Add(-time.Second)}
	require.ErrorContains(t, o.check(step{}), "token: expected exp=")
	require.EqualError(t, o.readAudit(nil), "audit: expected one event, got 0")
	require.EqualError(t, o.readAudit(make([]tokenexchange.Event, 2)),
		"audit: expected one event, got 2")
	for name, tok := range map[string]tokenexchange.Token{
		"old":    {ID: "a", Issued: now.Add(-time.Hour), Claims: []byte("{}")},
		"future": {ID: "a", Issued: now.Add(time.Hour), Claims: []byte("{}")},
		"no jti": {Issued: now, Claims: []byte("{}")},
	} {
		err := o.readToken(tok, nil)
		require.ErrorContains(t, err, "token: expected a jti and a new token", name)
	}
	for claim, want := range map[string]string{
		`{"begun":1}`:    "token: expected a lineage that began with a login just now",
		`{"lent":true}`:  "token: expected a lineage that began with a login just now",
		`{"limit":true}`: "token: lineage: ",
		`[]`:             "token: lineage: ",
	} {
		claims := []byte(`{"lineage":` + claim + `}`)
		tok := tokenexchange.Token{ID: "a", Issued: now, Claims: claims}
		require.ErrorContains(t, o.readToken(tok, nil), want, claim)
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}
	require.ErrorContains(t, o.readAnswer(resp, []byte("{}"), ""),
		"expected Cache-Control no-store")
	resp.Header.Set("Cache-Control", "no-store")
	require.ErrorContains(t, o.readAnswer(resp, []byte("<html>"), ""),
		"status 200, and an answer that is not JSON")
	require.NoError(t, o.readAnswer(resp,
		[]byte(`{"access_token":"eyJ1","id_token":"eyJ2","refresh_token":"r"}`), "<token 9>"))
	require.Equal(t, fields{{"status", "200"}, {"access_token", "<token 9>"},
		{"id_token", "<token 9>"}, {"refresh_token", "<token 9>"}}, o.answer)
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out cancelling
	out.cancel = cancel
	err := run(ctx, &out, rules, steps)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, out.String(), "1. NARROW")
	require.NotContains(t, out.String(), "2. DELEGATE")
}

// The server is stopped, whatever ends the walk.
func TestShutdown(t *testing.T) {
	require.NoError(t, run(t.Context(), io.Discard, rules, steps))
	require.Error(t, run(t.Context(), io.Discard, rules[:1], steps))
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	require.NotContains(t, string(stacks), "http.(*Server).Serve(")
}

// cancelling ends the walk at the first output.
type cancelling struct {
	bytes.Buffer
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) { c.cancel(); return c.Buffer.Write(p) }

func TestExitCode(t *testing.T) {
	program := func(rules string, out io.Writer) (stderr string, code int) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asProgram+"="+rules)
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = out, &errs
		_ = cmd.Run()
		return errs.String(), cmd.ProcessState.ExitCode()
	}
	var out strings.Builder
	stderr, code := program("4", &out)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	want, err := os.ReadFile(filepath.Join("testdata", "output.txt"))
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())

	stderr, code = program("3", io.Discard)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "quickstart: step 4, IMPERSONATE")
	require.Contains(t, stderr, "expected status=200, got status=400")

	// for reading only, so every write fails
	full, err := os.Open(filepath.Join("testdata", "output.txt"))
	require.NoError(t, err)
	defer full.Close()
	stderr, code = program("4", full)
	require.Equal(t, 1, code, "a transcript that cannot be written is a failure: %s", stderr)
}
