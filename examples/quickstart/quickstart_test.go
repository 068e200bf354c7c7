package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
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

// asProgram is the variable of the environment that makes of this test the program; its value says with how many rules.
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

// The transcript is the same at every run: the README shows it.
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
	require.Less(t, len(lines), 75)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 112, line)
	}
}

// No expectation is idle: whichever is altered, left out or added, the walk stops at that step and says so.
func TestEveryExpectationCounts(t *testing.T) {
	parts := map[string]func(*step) *fields{
		"answer": func(s *step) *fields { return &s.answer },
		"token":  func(s *step) *fields { return &s.token },
		"audit":  func(s *step) *fields { return &s.audit },
	}
	stops := func(i int, part string, alter func(fields) fields) {
		t.Helper()
		altered := slices.Clone(steps)
		list := parts[part](&altered[i])
		*list = alter(slices.Clone(*list))
		err := run(t.Context(), io.Discard, rules, altered)
		require.ErrorContains(t, err, fmt.Sprintf("step %d, %s: %s: expected ", i+1, steps[i].title, part))
		require.ErrorContains(t, err, ", got ")
	}
	for i := range steps {
		for part, of := range parts {
			for n := range *of(&steps[i]) {
				stops(i, part, func(list fields) fields { list[n].value += "?"; return list })
				stops(i, part, func(list fields) fields { return slices.Delete(list, n, n+1) })
			}
			stops(i, part, func(list fields) fields { return append(list, field{"more", "than there is"}) })
		}
	}
}

// What a server could get wrong is seen from outside.
func TestBrokenPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		breaks func(rules []tokenexchange.Rule) []tokenexchange.Rule
		want   string
	}{
		"no rule for impersonation": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule { return rules[:3] },
			"step 4, IMPERSONATE: gateway calls an old API as alice, by a rule that says so; no act: " +
				"answer: expected status=200, got status=400",
		},
		"impersonation that is none": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				rules[3].Mode = tokenexchange.ClientActs
				return rules
			},
			`token: expected act=none, got act={"iss":"https://as.example","sub":"gateway","client_id":"gateway"}`,
		},
		"a token that lives too long": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				rules[0].Lifetime = 2 * time.Hour
				return rules
			},
			"answer: expected expires_in=300, got expires_in=3",
		},
		"a chain that may not grow": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule { rules[2].MaxChain = 1; return rules },
			"step 3, ",
		},
		"more targets": {
			func(rules []tokenexchange.Rule) []tokenexchange.Rule {
				return append(rules, tokenexchange.Rule{Name: "payroll", Mode: tokenexchange.Impersonate, Clients: []string{"webapp"},
					Subjects: anyUser, SubjectTypes: accessTokens, Types: accessTokens, Targets: []string{"https://payroll.example"},
					Scope: tokenexchange.Scope{"*"}, Lifetime: time.Minute})
			},
			"step 6, REFUSED: a target that no rule allows: answer: expected error=invalid_target, got error=invalid_request",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), io.Discard, test.breaks(slices.Clone(rules)), steps)
			require.ErrorContains(t, err, test.want)
		})
	}
	require.Error(t, run(t.Context(), io.Discard, []tokenexchange.Rule{{}}, steps), "a policy that is no policy")
}

// webapp is the client that alice uses, at a server of its own, whose parts a test may replace before.
func webapp(t *testing.T, s *server, secrets map[string]string, audit tokenexchange.AuditSink, trail *trail) (*walk, tokenexchange.IssuedToken) {
	t.Helper()
	base, shutdown, err := start(s, rules, audit)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, shutdown()) })
	token, err := s.logIn(t.Context(), logins[0])
	require.NoError(t, err)
	k := &walk{base: base, secrets: secrets, tokens: map[string]issued{logins[0].name: {token.Value, token.Expires}}, trail: trail}
	return k, token
}

func TestRevoked(t *testing.T) {
	s, secrets := newServer()
	events := &trail{}
	k, token := webapp(t, s, secrets, events, events)
	require.NoError(t, k.take(t.Context(), io.Discard, steps[:1]))
	s.setLive(token.ID, false)
	err := k.take(t.Context(), io.Discard, steps[:1])
	require.ErrorContains(t, err, "answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(1)[0].Err, "revoked, or never issued")
}

func TestInactive(t *testing.T) {
	s, secrets := newServer()
	delete(s.parties, "alice")
	events := &trail{}
	k, _ := webapp(t, s, secrets, events, events)
	require.ErrorContains(t, k.take(t.Context(), io.Discard, steps[:1]), "answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(0)[0].Err, "not an active party of ours")
}

func TestNotRelated(t *testing.T) {
	s, secrets := newServer()
	clear(s.actsFor)
	events := &trail{}
	k, _ := webapp(t, s, secrets, events, events)
	require.ErrorContains(t, k.take(t.Context(), io.Discard, steps[3:4]), "answer: expected status=200, got status=400")
	require.ErrorContains(t, events.since(0)[0].Err, "gateway does not act for alice")
}

type fullDisk struct{}

func (fullDisk) RecordExchange(context.Context, tokenexchange.Event) error {
	return errors.New("disk full")
}

// A token that could not be audited does not leave, and is not good either.
func TestNoAuditNoToken(t *testing.T) {
	s, secrets := newServer()
	k, token := webapp(t, s, secrets, fullDisk{}, &trail{})
	form := url.Values{"grant_type": {tokenexchange.GrantType}, "subject_token": {token.Value}, "subject_token_type": {accessToken}}
	resp, body, err := k.post(t.Context(), "webapp", form)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.NotContains(t, string(body), "eyJ")
	require.Equal(t, map[string]bool{token.ID: true}, s.live, "only the login is left")
}

func TestClientAuthentication(t *testing.T) {
	s, secrets := newServer()
	s.clients["svc-1.a b~"] = s.clients["webapp"]
	secrets["svc-1.a b~"] = secrets["webapp"] // a name that Basic sends encoded
	k, _ := webapp(t, s, secrets, &trail{}, &trail{})
	for id, secret := range map[string]string{"webapp": "guessed", "helpdesk": secrets["webapp"], "gateway": "", "nobody": "", "": ""} {
		wrong := *k
		wrong.secrets = map[string]string{id: secret}
		resp, body, err := wrong.post(t.Context(), id, url.Values{})
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, id)
		require.Contains(t, resp.Header.Get("WWW-Authenticate"), "Basic", id)
		require.JSONEq(t, `{"error":"invalid_client","error_description":"Client authentication failed."}`, string(body))
	}
	for _, id := range []string{"webapp", "svc-1.a b~"} {
		resp, body, err := k.post(t.Context(), id, url.Values{})
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, id)
		require.Contains(t, string(body), "The parameter grant_type is missing.")
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out cancelling
	out.cancel = cancel
	err := run(ctx, &out, rules, slices.Repeat(steps, 20)) // more than the buffer holds
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, out.String(), "OUTCOME", "it went on to the end")
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

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	stderr, code = program("4", full)
	require.Equal(t, 1, code, "a transcript that nobody can read is no success: %s", stderr)
}
