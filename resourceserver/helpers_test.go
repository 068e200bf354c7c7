package resourceserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/resourceserver"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

const (
	issuer = "https://as.example"
	orders = "https://orders.example"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is an authorization server that signs, and an API that trusts it.
type world struct {
	*tokenexchangetest.Minter
	api resourceserver.API
}

func newWorld(t *testing.T) *world {
	t.Helper()
	m := tokenexchangetest.NewMinter(issuer)
	return &world{m, resourceserver.API{
		Issuer: issuer, Audience: []string{orders, "orders"}, Verify: verifier(t, m.Trust()),
		Now: func() time.Time { return now },
	}}
}

func verifier(t *testing.T, trust ...tokenexchange.Trust) func(
	context.Context, tokenexchange.Credential) (tokenexchange.Token, error) {
	t.Helper()
	v, err := tokenexchange.NewVerifier(trust...)
	require.NoError(t, err)
	return v.Verify
}

// token is one of alice's for the API, changed by extra claims.
func (w *world) token(extra map[string]any) string {
	return w.AccessToken(
		tokenexchangetest.Claims{Subject: "alice", Client: "shop", Audience: []string{orders},
			Scope: tokenexchange.Scope{"read", "write"}, Now: now, Extra: extra})
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

// code is the error code of the body; empty if there is none.
func (r reply) code(t *testing.T) string {
	t.Helper()
	var body struct {
		Error string `json:"error"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &body), r.body)
	return body.Error
}

// serve runs a handler on loopback until the test ends.
func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// get sends one request; every authorization is a header of its own.
func get(t *testing.T, url string, authorization ...string) reply {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	for _, a := range authorization {
		req.Header.Add("Authorization", a)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) reply {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// ask sends one bearer token to an API of one handler.
func ask(t *testing.T, api resourceserver.API, token string, scope ...string) reply {
	t.Helper()
	return get(t, serve(t, api.Protect(who, scope...)), "Bearer "+token)
}

// who answers with what a handler can know.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	subject, ok := resourceserver.SubjectFrom(r.Context())
	actor, acted := resourceserver.ActorFrom(r.Context())
	token, _ := resourceserver.TokenFrom(r.Context())
	history := []string{}
	if token.Actor != nil {
		for a := token.Actor.Prior; a != nil; a = a.Prior {
			history = append(history, a.Subject)
		}
	}
	fmt.Fprintf(w, "%t %s | %t %s | %s | %s | %s", ok, subject, acted, actor, token.ClientID,
		token.Scope, strings.Join(history, " "))
})

// ledger keeps what it is told.
type ledger struct {
	mu   sync.Mutex
	list []resourceserver.Access
}

func (l *ledger) audit(_ context.Context, a resourceserver.Access) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, a)
}

func (l *ledger) all() []resourceserver.Access {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]resourceserver.Access(nil), l.list...)
}
