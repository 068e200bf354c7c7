package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is the running program.
type process struct {
	*exec.Cmd
	t      *testing.T
	out    *bufio.Reader
	stderr *lockedBuffer
	temp   string // the folder for its temporary files
}

// launch starts the program. At the end of the test it is told to stop if it still runs, so that
// its authorization server stops too.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{exec.Command(os.Args[0], args...), t, nil, &lockedBuffer{}, t.TempDir()}
	p.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+p.temp)
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.out, p.Stderr = bufio.NewReader(out), p.stderr
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		defer time.AfterFunc(20*time.Second, func() { _ = p.Process.Kill() }).Stop()
		_ = p.Wait()
	})
	return p
}

var invitation = regexp.MustCompile(
	`^Open (http://127\.0\.0\.1:\d+) and sign in as (\w+) with the password (\S+)\.\n$`)

// stop sends a signal and returns the exit code.
func (p *process) stop(signal os.Signal) int {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(signal))
	rest, err := io.ReadAll(p.out)
	require.NoError(p.t, err)
	require.Empty(p.t, rest, "one line and nothing else")
	return p.ended()
}

// ended waits for the end of the program, and requires that it leaves no files.
func (p *process) ended() int {
	p.t.Helper()
	_ = p.Wait()
	left, err := os.ReadDir(p.temp)
	require.NoError(p.t, err)
	require.Empty(p.t, left)
	return p.ProcessState.ExitCode()
}

// The program does what its output says, and stops its authorization server when it ends.
func TestProgram(t *testing.T) {
	p := launch(t, "-addr", "127.0.0.1:0", "-authserver", "127.0.0.1:0")
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, p.stderr.String())
	m := invitation.FindStringSubmatch(line)
	require.NotNil(t, m, line)
	var issuer string
	require.Eventually(t, func() bool { // the log comes by another pipe
		for event := range strings.Lines(p.stderr.String()) {
			var read map[string]any
			if json.Unmarshal([]byte(event), &read) == nil && read["msg"] == "listening" {
				issuer = read["issuer"].(string)
			}
		}
		return issuer != ""
	}, 10*time.Second, 10*time.Millisecond)

	visitor := &stage{console: &console{settings: settings{URL: m[1], Issuer: issuer}}, t: t,
		wire: &wire{}}
	b := visitor.browser(t)
	home := b.follow(t, b.enter(t, b.post(t, "/login"), m[2], m[3]))
	require.Contains(t, home.text(), "Whom do you want to help?")
	require.Contains(t, b.act(t, "alice", "Ticket 1", "write").text(),
		"You, Ines Support , see this as Alice Archer")
	require.Contains(t, b.post(t, "/stop").text(), "confirms that the access is no longer valid")

	require.Zero(t, p.stop(syscall.SIGTERM), p.stderr.String())
	require.NotContains(t, p.stderr.String(), `"level":"ERROR"`)
	_, err = http.Get(issuer + "/jwks")
	require.Error(t, err, "the authorization server has ended too")
	for event := range strings.Lines(p.stderr.String()) {
		require.True(t, json.Valid([]byte(event)), event)
	}
}

// With an authorization server that runs already, the tokens of the console are revoked when the
// console ends.
func TestProgram_AnotherIssuer(t *testing.T) {
	st := play(t) // for its server
	p := launch(t, "-addr", "127.0.0.1:0", "-issuer", st.Issuer)
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, p.stderr.String())
	url := invitation.FindStringSubmatch(line)[1]
	other := &console{settings: settings{URL: url, Issuer: st.Issuer}}
	visitor := &stage{console: other, t: t, wire: &wire{}}
	b := visitor.browser(t)
	b.signIn(t, "ines")
	b.act(t, "alice", "Ticket 1", "write")
	require.Zero(t, p.stop(os.Interrupt), p.stderr.String())
	require.Contains(t, p.stderr.String(), `"msg":"acting ended"`)
	require.Contains(t, p.stderr.String(), `"msg":"session ended"`)
	require.NotContains(t, p.stderr.String(), "not known to have ended")
	require.Empty(t, tokenLike.FindString(p.stderr.String()))
}

// A wrong argument is named on stderr, with exit code 1.
func TestProgram_BadArguments(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for want, args := range map[string][]string{
		"flag provided but not defined": {"-port", "1"},
		`unexpected argument "demo"`:    {"demo"},
		"address already in use":        {"-addr", taken.Addr().String()},
		"discovery: ": {"-addr", "127.0.0.1:0",
			"-issuer", "http://127.0.0.1:1"},
		"examples/authserver has not started": {"-addr", "127.0.0.1:0",
			"-authserver", taken.Addr().String()},
	} {
		p := launch(t, args...)
		out, err := io.ReadAll(p.out)
		require.NoError(t, err)
		require.Equal(t, 1, p.ended(), "%v", args)
		require.Empty(t, out)
		require.Contains(t, p.stderr.String(), want)
	}
	p := launch(t, "-h")
	require.Zero(t, p.ended())
}

// A console without the needed metadata does not start.
func TestProgram_Discovery(t *testing.T) {
	st := play(t)
	good := st.settings
	for want, change := range map[string]func(*settings){
		"a scheme and a host": func(s *settings) { s.URL += "/" },
		"says that it is": func(s *settings) {
			s.Issuer = strings.Replace(s.Issuer, "127.0.0.1", "localhost", 1)
		},
		"an endpoint is missing": func(s *settings) {
			s.Transport.(*wire).disturb(nil, func(_ *http.Request, body map[string]any) {
				delete(body, "revocation_endpoint")
			})
		},
	} {
		s := good
		s.Transport = &wire{}
		change(&s)
		_, err := newConsole(t.Context(), s)
		require.ErrorContains(t, err, want)
	}
}
