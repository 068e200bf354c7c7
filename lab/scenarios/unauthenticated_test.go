package scenarios

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/grants"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// writeCounter is a store that counts the calls that can add to it, successful or not.
type writeCounter struct {
	tokenstore.Store
	writes atomic.Int64
}

func (s *writeCounter) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	s.writes.Add(1)
	return s.Store.Commit(ctx, now, b)
}

func (s *writeCounter) Discard(ctx context.Context, b tokenstore.Batch) error {
	s.writes.Add(1)
	return s.Store.Discard(ctx, b)
}

func (s *writeCounter) Revoke(ctx context.Context, now time.Time, key tokenstore.Key,
	until time.Time) error {
	s.writes.Add(1)
	return s.Store.Revoke(ctx, now, key, until)
}

// stranger sends requests that authenticate neither a client nor a user. All requests differ and
// have long values, so that a server that keeps any of these grows.
type stranger struct {
	*running
	made int
}

// attempt is one request and the status of its response.
type attempt struct {
	want         int
	method, path string
	header       http.Header
	form         url.Values
}

// long is a text of four kilobytes, different each time.
func (s *stranger) long() string {
	s.made++
	return fmt.Sprintf("%08d", s.made) + strings.Repeat("x", 4<<10)
}

// send follows no redirect, and requires the status.
func (s *stranger) send(a attempt) page {
	s.t.Helper()
	req, err := http.NewRequest(a.method, s.url+a.path, strings.NewReader(a.form.Encode()))
	require.NoError(s.t, err)
	if a.header != nil {
		req.Header = a.header
	}
	if a.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if req.Header.Get("Origin") == "" {
			req.Header.Set("Origin", s.url)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, a.want, resp.StatusCode, "%s %.40s", a.method, a.path)
	return page{resp.StatusCode, resp.Header, string(text)}
}

func get(want int, path string, header ...string) attempt {
	return attempt{want: want, method: http.MethodGet, path: path, header: headers(header)}
}

func post(want int, path string, fields url.Values, header ...string) attempt {
	return attempt{want, http.MethodPost, path, headers(header), fields}
}

func headers(pairs []string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// ask is a valid authorization request, with changes as in pkce.ask.
func (s *stranger) ask(changes ...string) string {
	return newPKCE().ask(append([]string{"state", s.long()}, changes...)...)
}

// forged is a JWT that is not signed by its issuer.
func (s *stranger) forged(issuer string) string {
	return s.assertion(testKey(s.t, "partner"), s.long(), issuer, issuer, nil)
}

// pageAttempts are requests of a browser without a session, by name.
func (s *stranger) pageAttempts() map[string]func() attempt {
	ask := func(want int, changes ...string) func() attempt { // a star in them is a long text
		return func() attempt {
			sent := slices.Clone(changes)
			for i := range sent {
				sent[i] = strings.ReplaceAll(sent[i], "*", s.long())
			}
			return get(want, s.ask(sent...))
		}
	}
	login := func(want int, user string) func() attempt { // with a form that the server has made
		return func() attempt {
			p := s.send(get(http.StatusOK, s.ask()))
			_, fields := p.form(s.t)
			fields.Set("username", user)
			fields.Set("password", s.long())
			cookie, _, _ := strings.Cut(p.header.Get("Set-Cookie"), ";")
			return post(want, pathLogin, fields, "Cookie", cookie)
		}
	}
	cookie := func(name string) string { return name + "=" + s.long() }
	return map[string]func() attempt{
		"login page":             ask(200),
		"login page of act_as":   ask(200, "scope", "openid act_as:*"),
		"prompt none":            ask(303, "prompt", "none"),
		"no challenge":           ask(303, "code_challenge", ""),
		"unknown client":         ask(400, "client_id", "*"),
		"unknown redirect URI":   ask(400, "redirect_uri", "https://*"),
		"too long":               ask(400, "nonce", "*****"),
		"login page with a hint": ask(200, "login_hint", "*", "reason", "*"),
		"login page for a ticket": func() attempt {
			return get(200, askTicket("alice", "state", s.long()))
		},
		"login page of a known browser": func() attempt {
			return get(200, s.ask(), "Cookie", cookie(cookieBrowser))
		},
		"login page with an unknown session": func() attempt {
			return get(200, s.ask(), "Cookie", cookie(cookieSession))
		},
		"login page by POST": func() attempt {
			to, err := url.Parse(s.ask())
			require.NoError(s.t, err)
			return post(200, to.Path, to.Query())
		},

		"login with a wrong password": login(403, "ines"),
		"login of an unknown user":    login(403, "unknown"),
		"login of a locked user":      login(403, "lola"),
		"login in another browser": func() attempt {
			a := login(400, "ines")()
			a.header.Set("Cookie", cookie(cookieBrowser))
			return a
		},
		"login with a forged form": func() attempt {
			return post(400, pathLogin, form(fieldTransaction, s.long()), "Cookie", cookie("x"))
		},
		"consent without a session": func() attempt {
			a := login(400, "ines")()
			a.path = pathConsent
			return a
		},
		"consent of another site": func() attempt {
			fields := form(fieldTransaction, s.long())
			return post(403, pathConsent, fields, "Origin", "https://"+s.long())
		},
		"style sheet":  func() attempt { return get(200, pathStyle+"?"+s.long()) },
		"unknown path": func() attempt { return get(404, "/"+s.long()) },
	}
}

// clientAttempts are requests of a client without authentication, or of a public client, whose id
// every program can send. Each goes to every endpoint in turn.
func (s *stranger) clientAttempts() map[string]func() attempt {
	tokens := func() []string {
		return []string{"token", "at_" + s.long(), "refresh_token", "rt_" + s.long(),
			"code", s.long(), "redirect_uri", "example.acme.mobile:/callback",
			"code_verifier", s.long(), "scope", "read"}
	}
	grant := func(name string) func() (string, []string) {
		return func() (string, []string) { return pathToken, append(tokens(), "grant_type", name) }
	}
	calls := []func() (path string, fields []string){
		grant(grantCode), grant(grantRefresh), grant(grantClient), grant(s.long()),
		func() (string, []string) {
			return pathToken, []string{"grant_type", grants.GrantJWTBearer,
				"assertion", s.forged("robot")}
		},
		func() (string, []string) {
			return pathToken, []string{"grant_type", tokenexchange.GrantType,
				"subject_token", s.forged(s.Issuer), "subject_token_type", urnJWT,
				"audience", "https://" + s.long(), "reason", s.long()}
		},
		func() (string, []string) { return pathIntrospect, []string{"token", s.forged(s.Issuer)} },
		func() (string, []string) { return pathRevoke, []string{"token", s.forged(s.long())} },
	}
	turn := 0
	as := func(want int, header string, fields ...string) attempt {
		path, more := calls[turn%len(calls)]()
		turn++
		if path == pathRevoke && want == 400 {
			want = 200 // RFC 7009 §2.2: an unknown token counts as revoked
		}
		a := post(want, path, form(append(fields, more...)...))
		if header != "" {
			a.header.Set("Authorization", header)
		}
		return a
	}
	asserted := func(issuer string) attempt {
		return as(401, "", "client_assertion_type", jwtBearer, "client_assertion", s.forged(issuer))
	}
	return map[string]func() attempt{
		"no client":      func() attempt { return as(401, "") },
		"unknown client": func() attempt { return as(401, "", "client_id", s.long()) },
		"unknown client with a secret": func() attempt {
			return as(401, "", "client_id", s.long(), "client_secret", s.long())
		},
		"wrong secret": func() attempt { return as(401, credentials("portal", s.long())) },
		"disabled client": func() attempt {
			return as(401, credentials("retired", "retired-demo-secret"))
		},
		"malformed credentials": func() attempt { return as(401, "Basic "+s.long()) },
		"assertion, no client":  func() attempt { return asserted(s.long()) },
		"assertion, wrong key":  func() attempt { return asserted("robot") },
		"public client":         func() attempt { return as(400, "", "client_id", "mobile") },
		"introspection by GET": func() attempt {
			return get(405, pathIntrospect+"?token="+s.long())
		},
		"metadata": func() attempt {
			return get(200, "/.well-known/openid-configuration?"+s.long())
		},
		"keys": func() attempt { return get(200, pathJWKS+"?"+s.long()) },

		"API without a token": func() attempt { return get(401, "/api/users") },
		"API with an unknown token": func() attempt {
			return get(401, "/api/users", "Authorization", "Bearer at_"+s.long())
		},
		"API with a forged token": func() attempt {
			return get(401, "/api/users", "Authorization", "Bearer "+s.forged(s.Issuer))
		},
		"delegations": func() attempt {
			return get(401, "/api/delegations", "Authorization", "Bearer "+s.forged(s.Issuer))
		},
		"end of a delegation": func() attempt {
			a := get(401, "/api/delegations/"+s.long(), "Authorization", "Bearer at_"+s.long())
			a.method = http.MethodDelete
			return a
		},
	}
}

// heap is how many bytes are in use after garbage collection.
func heap() int64 {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	runtime.GC()
	runtime.GC() // a sync.Pool survives one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Requests without authentication write nothing to the store and leave nothing in memory, however
// many there are.
func TestUnauthenticated_KeepsNothing(t *testing.T) {
	const (
		rounds = 250
		fewer  = 100     // if bcrypt makes them slow
		most   = 1 << 17 // bytes; a long text kept from each request would be 3 to 8 times as much
	)
	store := &writeCounter{Store: tokenstore.NewMemory()}
	r := start(t, demo(t), func(o *server.Options) {
		o.Store, o.Log = store, slog.NewJSONHandler(io.Discard, nil)
	})
	s := &stranger{running: r}
	for _, attempts := range []map[string]func() attempt{s.pageAttempts(), s.clientAttempts()} {
		for name, next := range attempts {
			t.Run(name, func(t *testing.T) {
				s.t = t
				s.send(next()) // for what is made once
				before, written := heap(), store.writes.Load()
				for i, began := 0, time.Now(); i < rounds; i++ {
					if i >= fewer && time.Since(began) > 2*time.Second {
						break
					}
					s.send(next())
				}
				require.Zero(t, store.writes.Load()-written, "calls that write to the store")
				require.Less(t, heap()-before, int64(most), "bytes of memory")
			})
		}
	}
}

// Long headers and bodies are refused before they have been read to their end.
func TestUnauthenticated_Limits(t *testing.T) {
	sc := play(t)
	for _, name := range []string{"Cookie", "Authorization", "X-Other"} {
		for size, status := range map[int]int{48 << 10: 200, 80 << 10: 431} {
			req, err := http.NewRequest(http.MethodGet, sc.url+pathJWKS, nil)
			require.NoError(t, err)
			req.Header.Set(name, strings.Repeat("x", size))
			resp, err := sc.http.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, status, resp.StatusCode, "%s of %d bytes", name, size)
		}
	}
	for path, most := range map[string]int64{pathAuthorize: longestAuthorization,
		pathLogin: longestForm, pathConsent: longestForm,
		pathToken: maxForm, pathIntrospect: maxForm, pathRevoke: maxForm} {
		body := &countedReader{}
		req, err := http.NewRequest(http.MethodPost, sc.url+path, body)
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", sc.url)
		resp, err := sc.http.Do(req)
		if err == nil { // an error: the server has closed the connection during the body
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, path)
		}
		sc.http.CloseIdleConnections()
		buffers := int64(16 << 20) // of the connection
		require.Less(t, body.sent.Load(), most+buffers, path)
	}
}

// countedReader is a body of 64 megabytes that counts how much has been read of it.
type countedReader struct{ sent atomic.Int64 }

func (r *countedReader) Read(p []byte) (int, error) {
	if r.sent.Load() >= 64<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'x'
	}
	r.sent.Add(int64(len(p)))
	return len(p), nil
}
