package jose_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// source is an issuer's server. What it publishes, and how, may change at any time.
type source struct {
	*httptest.Server
	mu      sync.Mutex
	fetches int
	answer  http.HandlerFunc
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.fetches++
	answer := s.answer
	s.mu.Unlock()
	answer(w, r)
}

func (s *source) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// publish answers with a body, and with a header that asks to be believed for a year.
func publish(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(body)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// stall answers when release is closed.
func stall(release <-chan struct{}, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		then(w, r)
	}
}

// clock is a clock that stands still until it is told to move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newSource(t *testing.T, answer http.HandlerFunc) *source {
	s := &source{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// newRemote is a server, what reads it and the reader's clock.
func newRemote(t *testing.T, answer http.HandlerFunc) (*source, *jose.Remote, *clock) {
	t.Helper()
	s := newSource(t, answer)
	r, err := jose.NewRemote(s.URL, []string{"ES256", "PS256"})
	require.NoError(t, err)
	c := &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	r.SetClock(c.now)
	t.Cleanup(r.Settle)
	return s, r, c
}

// message is a token of a kid, signed by the key that setA has under "a" and setB under "b".
func message(id string) *jose.Message {
	key := p256
	if id == "b" {
		key = p256b
	}
	return must(jose.Parse(token("ES256", key(), `{"alg":"ES256","kid":"`+id+`"}`, `{}`)))
}

func setA() []byte  { return set(jwk(p256().Public(), kid("a"))) }
func setB() []byte  { return set(jwk(p256b().Public(), kid("b"))) }
func setAB() []byte { return set(jwk(p256().Public(), kid("a")), jwk(p256b().Public(), kid("b"))) }
