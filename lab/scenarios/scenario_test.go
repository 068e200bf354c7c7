package scenarios

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/examples/authserver/server"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// scenarios are the tests of the rows of docs/scenarios.md, by id. Each file adds its own in init.
var scenarios = map[string]func(*testing.T){}

func scenario(id string, row func(*testing.T)) {
	if scenarios[id] != nil {
		panic("two scenarios with the id " + id)
	}
	scenarios[id] = row
}

// TestScenario runs every row over real HTTP. A row without a test is a failure.
func TestScenario(t *testing.T) {
	for _, id := range strings.Fields(`
		Z01 Z02 Z03 Z04 Z05 Z06 Z07 Z08 Z09 Z10 Z11 Z12 Z13
		Z14 Z15 Z16 Z17 Z18 Z19 Z20 Z21 Z22 Z23 Z24 Z25
		W01 W02 W03 W04 W05 W06 W07 W08 U02
		C01 C02 C03 C04 C05 C06 C07 C08 C09
		F01 F02 F03 F04 F05 F06 F07 F08 F09 F10 F11`) {
		t.Run(id, func(t *testing.T) {
			require.NotNil(t, scenarios[id], "there is no test of this row")
			t.Parallel() // each row has servers of its own
			scenarios[id](t)
		})
	}
}

// Token types as a client writes them.
const (
	urnAccess  = "urn:ietf:params:oauth:token-type:access_token"
	urnJWT     = "urn:ietf:params:oauth:token-type:jwt"
	urnID      = "urn:ietf:params:oauth:token-type:id_token"
	urnRefresh = "urn:ietf:params:oauth:token-type:refresh_token"
	urnUserID  = "urn:zitadel:params:oauth:token-type:user_id"

	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// scene is one server on a loopback address, with its audit log, clock and clients.
type scene struct {
	url     string // address and issuer of the server
	server  *server.Server
	world   *world.World
	options server.Options
	audit   *auditTrail
	clock   *stoppedClock
	http    *http.Client
	written *countedStore // what exchanges have written; nil unless the scene was made by counted
}

// edit changes a world file before it is read.
type edit func(doc object)

// play serves the demo world, with changes.
func play(t *testing.T, edits ...edit) *scene { return playOn(t, server.Options{}, edits...) }

// playOn is play with options: the Store and Key of another scene make it a restart.
func playOn(t *testing.T, o server.Options, edits ...edit) *scene {
	return playWorld(t, demoWorld, o, edits...)
}

// playWorld serves a world.
func playWorld(t *testing.T, data []byte, o server.Options, edits ...edit) *scene {
	t.Helper()
	var doc object
	require.NoError(t, json.Unmarshal(data, &doc))
	for _, e := range edits {
		e(doc)
	}
	data, err := json.Marshal(doc)
	require.NoError(t, err)
	w, err := world.Parse(data)
	require.NoError(t, err)

	sc := &scene{world: w, audit: &auditTrail{},
		clock: &stoppedClock{now: time.Now().UTC().Truncate(time.Second)},
		http: &http.Client{Timeout: 30 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if o.Key == nil {
		o.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
	}
	if o.Now == nil {
		o.Now = sc.clock.Now
	}
	o.Issuer, o.Log = "http://"+l.Addr().String(), slog.NewJSONHandler(sc.audit, nil)
	sc.server, err = server.New(withHashes(w), o)
	require.NoError(t, err)
	sc.url, sc.options = o.Issuer, o

	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- sc.server.Serve(ctx, l, func() error { close(ready); return nil }) }()
	t.Cleanup(func() {
		sc.http.CloseIdleConnections()
		stop()
		assert.NoError(t, <-ended)
	})
	<-ready
	return sc
}

// iss is the issuer of the server.
func (sc *scene) iss() string { return sc.server.Issuer }

// setting sets a member of the world.
func setting(name string, value any) edit {
	return func(doc object) { doc[name] = value }
}

// adding appends to a list of the world: "users", "clients", "foreign_issuers", or "rules" of the
// policy.
func adding(list string, elements ...string) edit {
	return func(doc object) {
		if list == "rules" {
			doc = doc["policy"].(object)
		}
		for _, e := range elements {
			added := objectOf([]byte(e))
			if added == nil {
				panic("not an object: " + e)
			}
			doc[list] = append(doc[list].([]any), added)
		}
	}
}

// changing changes members of one element of a list of the world, found by its name or id; nil
// removes a member. In a rule it changes the members of a mode object one by one too.
func changing(list, name string, changes object) edit {
	return func(doc object) {
		if list == "rules" {
			doc = doc["policy"].(object)
		}
		for _, e := range doc[list].([]any) {
			if e := e.(object); e["id"] == name || e["name"] == name || e["issuer"] == name {
				for member, value := range changes {
					if mode, ok := value.(object); ok && list == "rules" {
						before, _ := e[member].(object)
						value = with(before, mode)
					}
					if e[member] = value; value == nil {
						delete(e, member)
					}
				}
				return
			}
		}
		panic("the world has no " + name + " in " + list)
	}
}

// onlyRules keeps these rules of the policy, in this order.
func onlyRules(names ...string) edit {
	return func(doc object) {
		var kept []any
		policy := doc["policy"].(object)
		for _, name := range names {
			i := slices.IndexFunc(policy["rules"].([]any), func(r any) bool {
				return r.(object)["name"] == name
			})
			kept = append(kept, policy["rules"].([]any)[i])
		}
		policy["rules"] = kept
		delete(doc, "may_act")
		delete(doc, "embedded")
	}
}

// stoppedClock is the clock of a scene. It moves only by wait.
type stoppedClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *stoppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// wait moves the clock of the server.
func (sc *scene) wait(d time.Duration) {
	sc.clock.mu.Lock()
	defer sc.clock.mu.Unlock()
	sc.clock.now = sc.clock.now.Add(d)
}

// logIn logs a user in without the login page.
func (sc *scene) logIn(t *testing.T, user, client string) server.TokenSet {
	t.Helper()
	tokens, err := sc.server.LogIn(t.Context(), user, client)
	require.NoError(t, err)
	return tokens
}

// changeUser changes the directory while the server runs.
func (sc *scene) changeUser(id string, change func(*world.User)) {
	sc.server.Directory.ChangeUser(id, change)
}

// changeClient is changeUser for a client.
func (sc *scene) changeClient(id string, change func(*world.Client)) {
	sc.server.Directory.ChangeClient(id, change)
}

// authentication adds the client authentication to a request.
type authentication func(*http.Request, url.Values)

// secret is the secret of a client in the world.
func (sc *scene) secret(id string) string {
	i := slices.IndexFunc(sc.world.Clients, func(c world.Client) bool { return c.ID == id })
	if i < 0 || sc.world.Clients[i].Secret == "" {
		panic("the world has no secret of " + id)
	}
	return sc.world.Clients[i].Secret
}

// basic is client_secret_basic with the secret of the world.
func (sc *scene) basic(id string) authentication { return basicAs(id, sc.secret(id)) }

// post is client_secret_post with the secret of the world.
func (sc *scene) post(id string) authentication { return postAs(id, sc.secret(id)) }

// private is private_key_jwt, with a new assertion for every request; file is the key.
func (sc *scene) private(t *testing.T, id, file string) authentication {
	key := readPEM(t, file)
	return func(r *http.Request, form url.Values) {
		assertionAs(mint(t, key, nil, sc.assertion(id)))(r, form)
	}
}

// quickPortal lets the portal authenticate with the key of the robot, since bcrypt is slow.
func quickPortal(doc object) {
	for _, c := range doc["clients"].([]any) {
		if c := c.(object); c["id"] == "robot" {
			changing("clients", "portal",
				object{"jwks": c["jwks"],
					"auth_methods": []string{"client_secret_basic", "private_key_jwt"}})(doc)
		}
	}
}

// assertion has the claims of a valid client assertion.
func (sc *scene) assertion(id string) object {
	now := sc.clock.Now()
	return object{"iss": id, "sub": id, "aud": sc.iss(), "iat": now.Unix(),
		"exp": now.Add(time.Minute).Unix(), "jti": rand.Text()}
}

func basicAs(id, secret string) authentication {
	return func(r *http.Request, _ url.Values) {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
}

func postAs(id, secret string) authentication {
	return func(_ *http.Request, form url.Values) {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
}

func assertionAs(jwt string) authentication {
	return func(_ *http.Request, form url.Values) {
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", jwt)
	}
}

// publicAs is a client that sends its id alone.
func publicAs(id string) authentication {
	return func(_ *http.Request, form url.Values) { form.Set("client_id", id) }
}

func nobodySays(*http.Request, url.Values) {}

// formOf makes a form of names and values in turn. A name may be repeated.
func formOf(list ...string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(list); i += 2 {
		form.Add(list[i], list[i+1])
	}
	return form
}

// about and acting have the parameters of a subject token and of an actor token.
func about(token, kind string) []string {
	return []string{"subject_token", token, "subject_token_type", kind}
}

func acting(token, kind string) []string {
	return []string{"actor_token", token, "actor_token_type", kind}
}

// exchange posts a token exchange; parts are names and values in turn.
func (sc *scene) exchange(t *testing.T, as authentication, parts ...[]string) reply {
	t.Helper()
	form := formOf(slices.Concat(parts...)...)
	if !form.Has("grant_type") {
		form.Set("grant_type", grantExchange)
	}
	return sc.send(t, "/token", as, form)
}

// refresh posts a refresh_token grant.
func (sc *scene) refresh(t *testing.T, as authentication, token string, more ...string) reply {
	t.Helper()
	return sc.send(t, "/token", as,
		formOf(append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...)...))
}

// own posts a client_credentials grant.
func (sc *scene) own(t *testing.T, as authentication, more ...string) reply {
	t.Helper()
	return sc.send(t, "/token", as,
		formOf(append([]string{"grant_type", "client_credentials"}, more...)...))
}

// revoke revokes a token. The response is always the same.
func (sc *scene) revoke(t *testing.T, as authentication, token string) {
	t.Helper()
	require.Equal(t, http.StatusOK, sc.send(t, "/revoke", as, formOf("token", token)).status)
}

// introspect asks about a token.
func (sc *scene) introspect(t *testing.T, as authentication, token string) object {
	t.Helper()
	a := sc.send(t, "/introspect", as, formOf("token", token))
	require.Equal(t, http.StatusOK, a.status, a.raw)
	a.isJSON(t)
	return a.body
}

// active introspects an active token.
func (sc *scene) active(t *testing.T, as authentication, token string) object {
	t.Helper()
	m := sc.introspect(t, as, token)
	require.Equal(t, true, m["active"])
	return m
}

// inactive introspects an inactive token, and requires that the response says nothing else.
func (sc *scene) inactive(t *testing.T, as authentication, token string) {
	t.Helper()
	assert.Equal(t, object{"active": false}, sc.introspect(t, as, token))
}

// call uses the protected API of the server.
func (sc *scene) call(t *testing.T, token string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sc.url+"/api/users", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	return sc.do(t, r, url.Values{"token": {token}})
}

// send posts a form.
func (sc *scene) send(t *testing.T, path string, as authentication, form url.Values) reply {
	t.Helper()
	form = maps.Clone(form)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sc.url+path, nil)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	as(r, form)
	body := form.Encode()
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return sc.do(t, r, form)
}

func (sc *scene) do(t *testing.T, r *http.Request, form url.Values) reply {
	t.Helper()
	before := len(sc.audit.all())
	response, err := sc.http.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	a := reply{status: response.StatusCode, header: response.Header, raw: string(raw), sent: form,
		basic: strings.HasPrefix(r.Header.Get("Authorization"), "Basic ")}
	a.body = objectOf(raw)
	for _, line := range sc.audit.all()[before:] {
		a.logged = append(a.logged, objectOf([]byte(line)))
		a.notLeaked(t, line)
	}
	return a
}

// object is a JSON object.
type object = map[string]any

// verified returns header and claims of a JWT, verified with the published keys.
func (sc *scene) verified(t *testing.T, token string) (header, claims object) {
	t.Helper()
	keys, err := jwk.Fetch(t.Context(), sc.url+"/jwks", jwk.WithHTTPClient(sc.http))
	require.NoError(t, err)
	payload, err := jws.Verify([]byte(token), jws.WithKeySet(keys))
	require.NoError(t, err)
	message, err := jws.ParseString(token)
	require.NoError(t, err)
	protected, err := json.Marshal(message.Signatures()[0].ProtectedHeaders())
	require.NoError(t, err)
	return objectOf(protected), objectOf(payload)
}

// claims returns the claims of a JWT access token, and checks what RFC 9068 requires.
func (sc *scene) claims(t *testing.T, token string) object {
	t.Helper()
	header, claims := sc.verified(t, token)
	assert.Equal(t, "at+jwt", header["typ"])
	for _, name := range []string{"iss", "sub", "jti", "client_id"} {
		assert.IsType(t, "", claims[name], name)
	}
	assert.Equal(t, sc.iss(), claims["iss"])
	return claims
}

// idClaims returns the claims of an ID token for a client.
func (sc *scene) idClaims(t *testing.T, token, client string) object {
	t.Helper()
	header, claims := sc.verified(t, token)
	assert.NotEqual(t, "at+jwt", header["typ"])
	assert.Equal(t, sc.iss(), claims["iss"])
	assert.Equal(t, client, claims["aud"])
	assert.Equal(t, client, claims["azp"])
	for _, name := range []string{"nonce", "c_hash", "s_hash", "scope"} {
		assert.NotContains(t, claims, name)
	}
	return claims
}

// mint makes a JWT with an EC key. The header is alg and typ JWT, with changes; nil removes a
// member.
func mint(t *testing.T, key crypto.Signer, header, claims object) string {
	t.Helper()
	h := jws.NewHeaders()
	require.NoError(t, h.Set("typ", "JWT"))
	for name, value := range header {
		if value == nil {
			require.NoError(t, h.Remove(name))
		} else {
			require.NoError(t, h.Set(name, value))
		}
	}
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, key, jws.WithProtectedHeaders(h)))
	require.NoError(t, err)
	return string(token)
}

// readPEM reads a private key.
func readPEM(t *testing.T, file string) crypto.Signer {
	t.Helper()
	key, err := server.ReadKey(authserver + file)
	require.NoError(t, err)
	return key
}
