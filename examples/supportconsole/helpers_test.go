package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asProgram is an environment variable that turns this test binary into the program.
const asProgram = "SUPPORTCONSOLE_PROGRAM"

// authserver is examples/authserver, built once for all tests.
var authserver string

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "supportconsole-test")
	if err == nil {
		defer os.RemoveAll(dir)
		authserver, err = buildServer(context.Background(), dir, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// stage has everything that the program runs, on loopback: an authorization server, the console,
// and the app's API. The console reaches the other two over the wire, where a test can watch and
// disturb it.
type stage struct {
	*console
	t     *testing.T
	as    *server
	wire  *wire
	clock *clock
	log   *lockedBuffer // of the console and the app
	audit *lockedBuffer // of the authorization server
	sent  *lockedBuffer // everything that the console has sent to browsers
}

// play starts everything with the world of the demo.
func play(t *testing.T, changes ...func(*settings)) *stage {
	return playWorld(t, world, changes...)
}

func playWorld(t *testing.T, world []byte, changes ...func(*settings)) *stage {
	t.Helper()
	st := &stage{t: t, wire: &wire{}, clock: &clock{}, log: &lockedBuffer{}, audit: &lockedBuffer{},
		sent: &lockedBuffer{}}
	dir, err := os.MkdirTemp("", "supportconsole-test")
	require.NoError(t, err)
	st.as, err = startServer(t.Context(), dir, authserver, world, "127.0.0.1:0", st.audit)
	require.NoError(t, err)
	t.Cleanup(st.as.stop)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	back, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := demoSettings(st.as.issuer, "http://"+front.Addr().String(),
		"http://"+back.Addr().String(), slog.New(slog.NewJSONHandler(st.log, nil)))
	s.Now, s.Transport = st.clock.now, st.wire
	for _, change := range changes {
		change(&s)
	}
	var app *shop
	st.console, app, err = assemble(t.Context(), s)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, s.Log,
			map[net.Listener]http.Handler{front: recorded(st.console, st.sent), back: app})
	}()
	t.Cleanup(func() { cancel(); require.NoError(t, <-served) })
	t.Cleanup(func() {
		require.NotContains(t, st.log.String(), `"level":"ERROR"`)
		require.False(t, st.wire.hasToken(st.log.String()), "a token in the log of the console")
		require.False(t, st.wire.hasToken(st.sent.String()),
			"the console has sent a token to a browser")
	})
	return st
}

// wire is a transport that remembers every token in its responses.
type wire struct {
	mu    sync.Mutex
	seen  []string
	forms []url.Values // requests to the token endpoint
	// answers in place of the server; nil, nil: let the server answer
	before func(*http.Request) (*http.Response, error)
	answer func(r *http.Request, body map[string]any) // changes a JSON response
}

// disturb sets what happens to requests and responses from now on; nil: nothing.
func (w *wire) disturb(before func(*http.Request) (*http.Response, error),
	answer func(*http.Request, map[string]any)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.answer = before, answer
}

func (w *wire) tokens() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// hasToken reports whether a text contains one of the tokens, or a long part of one.
func (w *wire) hasToken(text string) bool {
	for _, token := range w.tokens() {
		for part := range strings.SplitSeq(token, ".") {
			if len(part) >= 40 && strings.Contains(text, part) {
				return true
			}
		}
	}
	return false
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	before, answer := w.before, w.answer
	w.mu.Unlock()
	if before != nil {
		if resp, err := before(r); resp != nil || err != nil {
			return resp, err
		}
	}
	if r.URL.Path == "/token" {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(raw))
		form, _ := url.ParseQuery(string(raw))
		w.mu.Lock()
		w.forms = append(w.forms, form)
		w.mu.Unlock()
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if json.Unmarshal(raw, &body) == nil {
		w.remember(body)
		if answer != nil {
			answer(r, body)
			raw, _ = json.Marshal(body)
			resp.Header.Del("Content-Length")
			resp.ContentLength = int64(len(raw))
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	return resp, nil
}

func (w *wire) remember(body map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		if token, _ := body[name].(string); token != "" {
			w.seen = append(w.seen, token)
		}
	}
}

// last is the last token.
func (st *stage) last() string {
	st.t.Helper()
	list := st.wire.tokens()
	require.NotEmpty(st.t, list)
	return list[len(list)-1]
}

// introspect introspects a token as the console.
func (st *stage) introspect(token string) map[string]any {
	st.t.Helper()
	return st.ask("/introspect", token)
}

// active reports whether a token is active.
func (st *stage) active(token string) bool {
	st.t.Helper()
	return st.introspect(token)["active"].(bool)
}

// revoke ends a token without the console knowing.
func (st *stage) revoke(token string) { st.t.Helper(); st.ask("/revoke", token) }

func (st *stage) ask(path, token string) (body map[string]any) {
	st.t.Helper()
	r, err := http.NewRequest(http.MethodPost, st.Issuer+path,
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	require.NoError(st.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(st.ClientID, st.ClientSecret)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(st.t, err)
	defer resp.Body.Close()
	require.Equal(st.t, http.StatusOK, resp.StatusCode)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(st.t, err)
	if len(raw) > 0 {
		require.NoError(st.t, json.Unmarshal(raw, &body))
	}
	return body
}

// events are the lines of a log with a message.
func (st *stage) events(log *lockedBuffer, message string) (list []map[string]any) {
	st.t.Helper()
	for line := range strings.Lines(log.String()) {
		var event map[string]any
		require.NoError(st.t, json.Unmarshal([]byte(line), &event), line)
		if event["msg"] == message {
			list = append(list, event)
		}
	}
	return list
}

// exchange is the last token exchange for a reason in the audit log of the authorization server,
// which comes through a pipe.
func (st *stage) exchange(reason string) (event map[string]any) {
	st.t.Helper()
	require.Eventually(st.t, func() bool {
		for _, one := range st.events(st.audit, "token exchange") {
			if one["stated_reason"] == reason {
				event = one
			}
		}
		return event != nil
	}, 5*time.Second, 5*time.Millisecond, "there is no exchange for the reason %q in the audit "+
		"log", reason)
	return event
}

// clock is the real clock, and can be moved forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
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

func jsonAnswer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(body)), Request: r}
}

// recorded keeps the headers and bodies of all responses, redirects included.
func recorded(h http.Handler, sent *lockedBuffer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(recorder{w, sent}, r)
	})
}

type recorder struct {
	http.ResponseWriter
	sent *lockedBuffer
}

func (r recorder) WriteHeader(status int) {
	_ = r.Header().Write(r.sent)
	r.ResponseWriter.WriteHeader(status)
}

func (r recorder) Write(p []byte) (int, error) {
	_, _ = r.sent.Write(p)
	return r.ResponseWriter.Write(p)
}
