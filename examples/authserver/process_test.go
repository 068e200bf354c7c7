package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
)

// asProgram is an environment variable that turns this test binary into the program.
const asProgram = "AUTHSERVER_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is the running program.
type process struct {
	*exec.Cmd
	t      *testing.T
	out    *bufio.Reader
	stderr *lockedBuffer
}

// launch starts the program. It is killed at the end of the test if it still runs.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{exec.Command(os.Args[0], args...), t, nil, &lockedBuffer{}}
	p.Env = append(os.Environ(), asProgram+"=1")
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.out, p.Stderr = bufio.NewReader(out), p.stderr
	require.NoError(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
	return p
}

// stop sends a signal and returns the rest of stdout and the exit code.
func (p *process) stop(signal os.Signal) (stdout string, code int) {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(signal))
	rest, err := io.ReadAll(p.out)
	require.NoError(p.t, err)
	_ = p.Wait()
	return string(rest), p.ProcessState.ExitCode()
}

// address waits until the program logs its address.
func (p *process) address() string {
	p.t.Helper()
	for range 500 {
		for line := range strings.Lines(p.stderr.String()) {
			var event map[string]any
			if json.Unmarshal([]byte(line), &event) == nil && event["msg"] == "listening" {
				return event["address"].(string)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatal("it does not listen: " + p.stderr.String())
	return ""
}

// The line of -demo has exactly the documented members, and its token is active.
func TestDemoLine(t *testing.T) {
	p := launch(t, "-addr", "127.0.0.1:0", "-demo")
	text, err := p.out.ReadString('\n')
	require.NoError(t, err, p.stderr.String())
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &line))
	members := func(v any, names ...string) {
		t.Helper()
		var got []string
		for name := range v.(map[string]any) {
			got = append(got, name)
		}
		require.ElementsMatch(t, names, got)
	}
	members(line, "issuer", "token_endpoint", "introspection_endpoint", "revocation_endpoint",
		"jwks_uri", "clients", "users", "tokens")
	first := line["clients"].([]any)[0].(map[string]any)
	require.Equal(t, map[string]any{"id": "portal", "secret": "portal-demo-secret",
		"auth_method": "client_secret_basic", "public": false}, first,
		"the first client is the one that the tokens were issued to")
	for _, c := range line["clients"].([]any) {
		members(c, "id", "secret", "auth_method", "public")
		require.Equal(t, c.(map[string]any)["public"], c.(map[string]any)["auth_method"] == "none")
	}
	for _, u := range line["users"].([]any) {
		members(u, "id", "name", "org", "roles")
	}
	for _, name := range []string{"end_user", "impersonator", "admin"} {
		members(line["tokens"].(map[string]any)[name], "access_token", "jwt",
			"id_token", "refresh_token")
	}
	token := line["tokens"].(map[string]any)["end_user"].(map[string]any)["access_token"].(string)
	req, err := http.NewRequest(http.MethodPost, line["introspection_endpoint"].(string),
		strings.NewReader("token="+token))
	require.NoError(t, err)
	req.SetBasicAuth("portal", "portal-demo-secret")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var introspected map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&introspected))
	require.Equal(t, true, introspected["active"])
	require.Equal(t, "alice", introspected["sub"])
	require.Equal(t, line["issuer"], introspected["iss"])

	rest, code := p.stop(syscall.SIGTERM)
	require.Zero(t, code, p.stderr.String())
	require.Empty(t, rest, "one line and nothing else")
	for event := range strings.Lines(p.stderr.String()) {
		require.True(t, json.Valid([]byte(event)), event)
	}
	for _, set := range line["tokens"].(map[string]any) {
		for _, secret := range set.(map[string]any) {
			require.NotContains(t, p.stderr.String(), secret)
		}
	}
}

// Without -demo nothing is printed and no token is made.
func TestNoDemo(t *testing.T) {
	audit := filepath.Join(t.TempDir(), "audit.log")
	p := launch(t, "-addr", "127.0.0.1:0", "-audit", audit)
	var log []byte
	require.Eventually(t, func() bool {
		log, _ = os.ReadFile(audit)
		return bytes.Contains(log, []byte("listening"))
	}, 5*time.Second, 10*time.Millisecond)
	rest, code := p.stop(os.Interrupt)
	require.Zero(t, code)
	require.Empty(t, rest)
	require.Empty(t, p.stderr.String(), "the log is in its file")
	require.NotContains(t, string(log), "token exchange")
	info, err := os.Stat(audit)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A request under way is answered before the program ends with 0.
func TestDrain(t *testing.T) {
	p := launch(t, "-addr", "127.0.0.1:0")
	address := p.address()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	const body = "grant_type=client_credentials&client_id=portal&client_secret=portal-demo-secret"
	_, err = fmt.Fprintf(conn,
		"POST /token HTTP/1.1\r\nHost: %s\r\nContent-Type: "+
			"application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		address, len(body), body[:20])
	require.NoError(t, err)
	time.Sleep(100 * time.Millisecond) // until the request has arrived
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		return strings.Contains(p.stderr.String(), "stopping")
	}, 5*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		late, err := net.Dial("tcp", address)
		if err == nil {
			late.Close()
		}
		return err != nil
	}, 5*time.Second, 10*time.Millisecond, "nobody new is let in")
	_, err = io.WriteString(conn, body[20:])
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	var answer tokenexchange.Response
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NotEmpty(t, answer.AccessToken)
	_, err = io.ReadAll(p.out)
	require.NoError(t, err)
	require.NoError(t, p.Wait())
	require.Zero(t, p.ProcessState.ExitCode())
}

// A wrong argument or file is named on stderr, with exit code 1.
func TestBadArguments(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "world.json")
	require.NoError(t,
		os.WriteFile(bad, bytes.Replace(demoWorld, []byte(`"users"`), []byte(`"user"`), 1), 0o600))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for want, args := range map[string][]string{
		`world: json: unknown field "user"`:  {"-world", bad},
		"no such file":                       {"-world", filepath.Join(dir, "none")},
		"no such file or directory":          {"-key", filepath.Join(dir, "none")},
		"not a PEM file":                     {"-key", bad},
		"flag provided but not defined":      {"-port", "1"},
		`unexpected argument "demo"`:         {"demo"},
		"address already in use":             {"-addr", taken.Addr().String()},
		"no-such-folder/log: no such file o": {"-audit", filepath.Join(dir, "no-such-folder/log")},
	} {
		p := launch(t, args...)
		out, err := io.ReadAll(p.out)
		require.NoError(t, err)
		_ = p.Wait()
		require.Equal(t, 1, p.ProcessState.ExitCode(), "%v", args)
		require.Empty(t, out)
		require.Contains(t, p.stderr.String(), want)
	}
	p := launch(t, "-h")
	_ = p.Wait()
	require.Zero(t, p.ProcessState.ExitCode())
}

// The program takes another world and another key.
func TestWorldAndKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "world.json")
	w := bytes.Replace(demoWorld, []byte(`"allow_impersonation": true`),
		[]byte(`"allow_impersonation": true, "issuer": "https://as.example"`), 1)
	require.NoError(t, os.WriteFile(file, w, 0o600))
	p := launch(t, "-addr", "127.0.0.1:0", "-world", file, "-key", "testdata/robot.pem", "-demo")
	text, err := p.out.ReadString('\n')
	require.NoError(t, err, p.stderr.String())
	var line server.DemoLine
	require.NoError(t, json.Unmarshal([]byte(text), &line))
	require.Equal(t, "https://as.example/token", line.TokenEndpoint)
	_, rest, _ := strings.Cut(line.Tokens["end_user"].JWT, ".")
	payload, _, _ := strings.Cut(rest, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	require.NoError(t, err)
	require.Contains(t, string(claims), `"iss":"https://as.example"`)
	_, code := p.stop(syscall.SIGTERM)
	require.Zero(t, code)
}

// lockedBuffer is a log that one goroutine writes and another reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
