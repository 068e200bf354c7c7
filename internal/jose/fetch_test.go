package jose_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

func TestNewRemoteURL(t *testing.T) {
	for _, url := range []string{
		"https://issuer.example/jwks", "https://issuer.example:8443/jwks?tenant=1", "HTTPS://issuer.example", "https://10.0.0.1/",
		"http://localhost/jwks", "http://LOCALHOST:8080", "http://127.0.0.1:8080/jwks", "http://127.8.9.10", "http://[::1]:8080/jwks",
	} {
		_, err := jose.NewRemote(url, []string{"ES256"})
		assert.NoError(t, err, url)
	}
	for _, url := range []string{
		"", "issuer.example/jwks", "//issuer.example/jwks", "/jwks", "https://", "https:///jwks", "https:issuer.example", "https://:443/",
		"http://issuer.example/jwks", "http://10.0.0.1/", "http://0.0.0.0/", "http://[::]/", "http://169.254.169.254/",
		"http://localhost.attacker.example/", "http://127.0.0.1.attacker.example/", "http://127.1/", "http://0x7f000001/", "http://localhost@attacker.example/",
		"https://SECRET@issuer.example/", "https://user:SECRET@issuer.example/", "https://@issuer.example/", "https://user:SE%ZZCRET@issuer.example/",
		"https://issuer.example/jwks#", "https://issuer.example/jwks#key", "file:///etc/jwks", "ftp://issuer.example/jwks", "data:,{}",
		"https://issuer.example:port/", "https://issuer.example/\n", " https://issuer.example/", "https://issuer example/",
	} {
		_, err := jose.NewRemote(url, []string{"ES256"})
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "SECRET")
	}
	_, err := jose.NewRemote("https://issuer.example/jwks", nil)
	assert.Error(t, err)
}

// padded is setA, as long as total bytes.
func padded(total int) []byte {
	a := setA()
	return append(a, bytes.Repeat([]byte(" "), total-len(a))...)
}

func zipped(body []byte) http.HandlerFunc {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	must(w.Write(body))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}
}

func TestRemoteBadSource(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<16))
		}
	}
	withStatus := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write(setA())
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"404": status(404), "500 with keys": withStatus(500), "404 with keys": withStatus(404), "203 with keys": withStatus(203),
		"206 with keys": withStatus(206), "204": status(204), "401": status(401),
		"nothing":          publish(nil),
		"no JSON":          publish([]byte("<html>")),
		"no set":           publish([]byte(`{"error":"x"}`)),
		"keys null":        publish([]byte(`{"keys":null}`)),
		"trailing bytes":   publish(append(setA(), '}')),
		"names twice":      publish([]byte(`{"keys":[],` + string(setA()[1:]))),
		"same kid":         publish(set(jwk(p256().Public(), kid("a")), jwk(p256b().Public(), kid("a")))),
		"same kid, types":  publish(set(jwk(p256().Public(), kid("a")), jwk(rsa2k().Public(), kid("a")))),
		"one byte too big": publish(padded(512<<10 + 1)),
		"endless":          endless,
		"gzip bomb":        zipped(padded(8 << 20)),
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(setA())
		},
		"closes": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			_, r, _ := newRemote(t, answer)
			start := time.Now()
			requireUnavailable(t, r.Verify(t.Context(), message("a")))
			assert.Less(t, time.Since(start), 4*time.Second, "the limit is one of size, too")
		})
	}
	for name, answer := range map[string]http.HandlerFunc{"as big as allowed": publish(padded(512 << 10)), "gzip": zipped(setA())} {
		_, r, _ := newRemote(t, answer)
		assert.NoError(t, r.Verify(t.Context(), message("a")), name)
	}
}

// spy is a transport that remembers what it was asked and whether the answer was closed.
type spy struct {
	left   time.Duration
	header http.Header
	closed bool
}

func (s *spy) RoundTrip(r *http.Request) (*http.Response, error) {
	if deadline, ok := r.Context().Deadline(); ok {
		s.left = time.Until(deadline)
	}
	s.header = r.Header
	return &http.Response{StatusCode: 500, Body: s}, nil
}

func (s *spy) Read([]byte) (int, error) { return 0, io.EOF }
func (s *spy) Close() error             { s.closed = true; return nil }

func TestRemoteRequest(t *testing.T) {
	r, err := jose.NewRemote("https://issuer.example/jwks", []string{"ES256"})
	require.NoError(t, err)
	var s spy
	r.SetTransport(&s)
	requireUnavailable(t, r.Verify(t.Context(), message("a")))
	assert.Positive(t, s.left, "no deadline")
	assert.LessOrEqual(t, s.left, 5*time.Second)
	assert.True(t, s.closed)
	assert.Contains(t, s.header.Get("Accept"), "application/jwk-set+json")
	assert.NotContains(t, s.header, "Authorization")
}

func TestRemoteNoServer(t *testing.T) {
	s, r, _ := newRemote(t, publish(setA()))
	s.Close()
	requireUnavailable(t, r.Verify(t.Context(), message("a")))
}

func TestRemoteRedirect(t *testing.T) {
	target := newSource(t, publish(setA()))
	for _, code := range []int{301, 302, 303, 307, 308} {
		_, r, _ := newRemote(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, code) })
		requireUnavailable(t, r.Verify(t.Context(), message("a")))
	}
	assert.Zero(t, target.count())
}

func TestRemoteTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(publish(setA()))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	r, err := jose.NewRemote(s.URL, []string{"ES256"})
	require.NoError(t, err)
	r.SetTransport(s.Client().Transport)
	assert.NoError(t, r.Verify(t.Context(), message("a")))

	r, err = jose.NewRemote(s.URL, []string{"ES256"})
	require.NoError(t, err)
	err = r.Verify(t.Context(), message("a"))
	requireUnavailable(t, err)
	assert.ErrorContains(t, err, "certificate", "nobody vouches for the server")
}

// TestRemoteSkips publishes what a pinned set may not hold, next to a good key.
func TestRemoteSkips(t *testing.T) {
	try := func(name string, keys ...map[string]any) {
		_, r, c := newRemote(t, publish(set(append(keys, jwk(p256().Public(), kid("a")))...)))
		assert.NoError(t, r.Verify(t.Context(), message("a")), name)
		c.advance(1)
		assert.ErrorIs(t, r.Verify(t.Context(), message("skipped")), jose.ErrUnknownKey, name)
	}
	for name, key := range broken {
		m := key()
		if !strings.HasPrefix(name, "kid ") {
			m["kid"] = "skipped"
		}
		try(name, m)
	}
	for name, key := range idle {
		m := key()
		m["kid"] = "skipped"
		try(name, m, m)
	}
	try("two without kid", jwk(p256().Public(), nil), jwk(p256b().Public(), nil))
	try("a kid twice, of another algorithm", jwk(ed().Public(), kid("a")), jwk(p384().Public(), kid("a")))
}
