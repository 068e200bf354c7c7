package scenarios

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// running is a server on loopback, for tests.
type running struct {
	*server.Server
	t   *testing.T
	url string
	log *lockedBuffer
	w   *world.World
}

// demo returns a copy of the demo world, to be changed before the start.
func demo(t *testing.T) *world.World {
	w, err := world.Parse(demoWorld)
	require.NoError(t, err)
	return w
}

// start serves a world until the test ends. change can set options such as the key or the clock.
func start(t *testing.T, w *world.World, change ...func(*server.Options)) *running {
	t.Helper()
	require.NoError(t, w.Check())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	log := &lockedBuffer{}
	o := server.Options{Issuer: "http://" + l.Addr().String(), Log: slog.NewJSONHandler(log, nil)}
	for _, f := range change {
		f(&o)
	}
	s, err := server.New(withHashes(w), o)
	require.NoError(t, err)
	web := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	web.Start()
	t.Cleanup(web.Close)
	return &running{s, t, web.URL, log, w}
}

// clientOf returns a client of the world, to be changed before the start.
func clientOf(w *world.World, id string) *world.Client {
	return &w.Clients[slices.IndexFunc(w.Clients, func(c world.Client) bool { return c.ID == id })]
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// code is the OAuth error code, or empty.
func (a answer) code() string { return a.text("error") }

// text is a member that is a string, or "".
func (a answer) text(member string) string {
	s, _ := a.body[member].(string)
	return s
}

// form makes a form of names and values.
func form(pairs ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return f
}

// do sends a request and reads the JSON that comes back.
func (r *running) do(req *http.Request) answer {
	r.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	a := answer{resp.StatusCode, resp.Header, map[string]any{}}
	require.NoError(r.t, json.Unmarshal(raw, &a.body), "%s", raw)
	return a
}

// post sends a form without client authentication.
func (r *running) post(path string, f url.Values) answer {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url+path, strings.NewReader(f.Encode()))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.do(req)
}

// as sends a form as a client of the world: with its secret, or with its id if it is public.
func (r *running) as(id, path string, f url.Values) answer {
	r.t.Helper()
	c := clientOf(r.w, id)
	if c.Secret == "" {
		sent := url.Values{"client_id": {id}}
		for name, values := range f {
			sent[name] = values
		}
		return r.post(path, sent)
	}
	req, err := http.NewRequest(http.MethodPost, r.url+path, strings.NewReader(f.Encode()))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(c.Secret))
	return r.do(req)
}

// exchange posts a token exchange as a client, with further names and values.
func (r *running) exchange(id string, subject string, subjectType tokenexchange.TokenType,
	pairs ...string) answer {
	r.t.Helper()
	f := form(pairs...)
	f.Set("grant_type", tokenexchange.GrantType)
	f.Set("subject_token", subject)
	f.Set("subject_token_type", string(subjectType))
	return r.as(id, pathToken, f)
}

// actor has the parameters of an actor token.
func actor(token string, kind tokenexchange.TokenType) []string {
	return []string{"actor_token", token, "actor_token_type", string(kind)}
}

// introspect asks about a token as a client.
func (r *running) introspect(id, token string) map[string]any {
	r.t.Helper()
	a := r.as(id, pathIntrospect, form("token", token))
	require.Equal(r.t, http.StatusOK, a.status, "%v", a.body)
	return a.body
}

// login logs a user in with a client.
func (r *running) login(user, client string) server.TokenSet {
	r.t.Helper()
	tokens, err := r.LogIn(r.t.Context(), user, client)
	require.NoError(r.t, err)
	return tokens
}

// events are the lines of the log.
func (r *running) events() []map[string]any {
	r.t.Helper()
	var list []map[string]any
	for line := range strings.Lines(r.log.String()) {
		var event map[string]any
		require.NoError(r.t, json.Unmarshal([]byte(line), &event), line)
		list = append(list, event)
	}
	return list
}

// last is the last of the events.
func (r *running) last() map[string]any {
	r.t.Helper()
	list := r.events()
	require.NotEmpty(r.t, list)
	return list[len(list)-1]
}

// claims reads the claims of a JWT without verifying it.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(payload, &m))
	return m
}

// sign makes a JWT with an ES256 key.
func sign(t *testing.T, key crypto.Signer, kid, typ string, claims map[string]any) string {
	t.Helper()
	header := map[string]string{"alg": "ES256", "kid": kid}
	if typ != "" {
		header["typ"] = typ
	}
	part := func(v any) string {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(header) + "." + part(claims)
	hash := sha256.Sum256([]byte(signed))
	a, b, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), hash[:])
	require.NoError(t, err)
	signature := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// assertion is a statement signed by a client, about itself if sub is its id.
func (r *running) assertion(key crypto.Signer, kid, iss, sub string, change map[string]any) string {
	r.t.Helper()
	now := time.Now()
	m := map[string]any{"iss": iss, "sub": sub, "aud": r.Issuer, "iat": now.Unix(),
		"exp": now.Add(time.Minute).Unix(), "jti": rand.Text()}
	for name, value := range change {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return sign(r.t, key, kid, "JWT", m)
}

// testKey reads a private key of testdata: robot is a client of the demo world, partner its foreign
// issuer. The kid is the name and "-1".
func testKey(t *testing.T, name string) crypto.Signer {
	t.Helper()
	key, err := server.ReadKey(authserver + "testdata/" + name + ".pem")
	require.NoError(t, err)
	return key
}

// asRobot sends a form as the client robot, which has a key and no secret.
func (r *running) asRobot(path string, f url.Values) answer {
	r.t.Helper()
	f.Set("client_assertion_type", jwtBearer)
	f.Set("client_assertion", r.assertion(testKey(r.t, "robot"), "robot-1", "robot", "robot", nil))
	return r.post(path, f)
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
