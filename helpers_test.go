package tokenexchange_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const (
	ownIss = "https://as.example"
	idpIss = "https://idp.example"
	api    = "https://api.example" // what a default access token is for
	orders = "https://orders.example"

	typeAssertion = "urn:example:assertion" // of the foreign issuer, typ assertion+jwt
	typeTicket    = "urn:example:ticket"    // our own, typ ticket+jwt
)

var at = time.Unix(1_800_000_000, 0).UTC()

// The four host interfaces as functions.
type (
	resolverFunc   func(context.Context, tx.Token) (tx.Subject, error)
	authorizerFunc func(context.Context, tx.Facts) error
	issuerFunc     func(context.Context, tx.Decision) (tx.IssuedToken, error)
	sinkFunc       func(context.Context, tx.Event) error
)

func (f resolverFunc) ResolveSubject(ctx context.Context, t tx.Token) (tx.Subject, error) {
	return f(ctx, t)
}
func (f authorizerFunc) AuthorizeActor(ctx context.Context, x tx.Facts) error { return f(ctx, x) }
func (f sinkFunc) RecordExchange(ctx context.Context, e tx.Event) error       { return f(ctx, e) }
func (f issuerFunc) IssueToken(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
	return f(ctx, d)
}

// world is a server with its users, its clients (the secret of each is "secret-" and its id) and its rules. Whatever the
// host is asked is remembered.
type world struct {
	tx.Exchanger
	t           *testing.T
	key, idpKey *ecdsa.PrivateKey
	people      map[string]tx.Subject // by iss, a space, sub
	clients     map[string]tx.Client
	rules       []tx.Rule
	trusts      []tx.Trust
	revoked     map[string]bool // jti
	url         string

	mu       sync.Mutex
	events   []tx.Event
	asked    []tx.Facts // the authorizer
	resolved []tx.Token
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, key: newKey(t), idpKey: newKey(t), revoked: map[string]bool{}, people: map[string]tx.Subject{}, clients: map[string]tx.Client{}}
	for _, id := range []string{"alice", "bob", "carol", "admin"} {
		w.people[ownIss+" "+id] = person(id)
	}
	w.people[idpIss+" ext-alice"] = person("alice") // a linked account
	w.people[idpIss+" robot"] = tx.Subject{Identity: tx.Identity{Issuer: idpIss, Kind: tx.KindWorkload, ID: "robot"}}
	for _, id := range []string{"shop", "backend", "gateway", "other", "spa"} {
		w.clients[id] = tx.Client{ID: id, Scope: tx.Scope{"read", "write", "openid"}, Public: id == "spa"}
		w.people[ownIss+" "+id] = tx.Subject{Identity: tx.Identity{Issuer: ownIss, Kind: tx.KindClient, ID: id}}
	}
	w.rules, w.trusts = defaultRules(), w.defaultTrusts()
	w.Exchanger = tx.Exchanger{
		Issuer:      ownIss,
		TokenIssuer: newIssuer(t, w.key, "own-1", tx.JWTIssuer{}),
		Now:         func() time.Time { return at },
		Resolver: resolverFunc(func(_ context.Context, tok tx.Token) (tx.Subject, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.resolved = append(w.resolved, tok)
			if who, ok := w.people[tok.Issuer+" "+tok.Subject]; ok {
				return who, nil
			}
			return tx.Subject{}, fmt.Errorf("%w: nobody of that name", tx.InvalidRequest)
		}),
		Authorizer: authorizerFunc(func(_ context.Context, f tx.Facts) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked = append(w.asked, f)
			return nil
		}),
		Audit: sinkFunc(func(_ context.Context, e tx.Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			return nil
		}),
	}
	w.configure()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Handler(w.authenticate).ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// A world fails its test.
func (w *world) Errorf(format string, args ...any) { w.t.Errorf(format, args...) }
func (w *world) FailNow()                          { w.t.FailNow() }

// configure puts rules and trusts into force, after a test has changed them.
func (w *world) configure() {
	policy, err := tx.NewPolicy(w.rules...)
	require.NoError(w, err)
	v, err := tx.NewVerifier(w.trusts...)
	require.NoError(w, err)
	w.Decide = policy.Decide
	w.Verify = tx.Verifiers{tx.TypeAccessToken: v.Verify, tx.TypeIDToken: v.Verify, tx.TypeJWT: v.Verify}
}

// rule is the default rule of that name, for changing it.
func (w *world) rule(name string) *tx.Rule {
	for i := range w.rules {
		if w.rules[i].Name == name {
			return &w.rules[i]
		}
	}
	panic(name)
}

func person(id string) tx.Subject {
	return tx.Subject{Identity: tx.Identity{Issuer: ownIss, Kind: tx.KindUser, ID: id}, Scope: tx.Scope{"read", "write", "openid"}}
}

// defaultRules: shop narrows its own tokens and exchanges with an actor token, backend becomes the actor, gateway
// impersonates with anybody's tokens.
func defaultRules() []tx.Rule {
	all := []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT, typeAssertion, typeTicket}
	issued := []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT, tx.TypeIDToken}
	users := []tx.Identity{{Kind: tx.KindUser, Tenant: "*", ID: "*"}}
	base := tx.Rule{Subjects: users, SubjectTypes: all, Types: issued, Targets: []string{orders, api}, DefaultTargets: []string{orders},
		Scope: tx.Scope{"*"}, Lifetime: time.Hour}
	delegate, asClient, impersonate := base, base, base
	delegate.Name, delegate.Clients = "delegate", []string{"shop"}
	delegate.Delegate = &tx.Delegation{
		Actors:     []tx.Identity{{Issuer: "*", Kind: "*", Tenant: "*", ID: "*"}},
		ActorTypes: issued, Issuers: []string{idpIss}, IDToken: true,
	}
	asClient.Name, asClient.Clients = "as-client", []string{"backend"}
	asClient.ClientActs = &tx.ClientActing{IDToken: true}
	impersonate.Name, impersonate.Clients = "impersonate", []string{"gateway"}
	impersonate.Impersonate = &tx.Impersonation{
		OtherTokens: true, Carry: true, Issuers: []string{idpIss}, IDToken: true,
	}
	return []tx.Rule{
		{Name: "narrow", Narrow: &tx.Narrowing{}, Clients: []string{"shop"}, Subjects: users, SubjectTypes: []tx.TokenType{tx.TypeAccessToken},
			Types: []tx.TokenType{tx.TypeAccessToken, tx.TypeJWT}, SubjectAudience: true, Scope: tx.Scope{"*"}, Lifetime: 10 * time.Minute},
		delegate, asClient, impersonate,
	}
}

func (w *world) defaultTrusts() []tx.Trust {
	return []tx.Trust{
		{Issuer: ownIss, JWKS: keySet(w, w.key, "own-1"), ActClaims: true, Live: func(_ context.Context, tok tx.Token) error {
			if w.revoked[tok.ID] {
				return fmt.Errorf("%w: revoked", tx.InvalidRequest)
			}
			return nil
		}, Types: map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: "", typeTicket: "ticket+jwt"}},
		{Issuer: idpIss, JWKS: keySet(w, w.idpKey, "idp-1"), Foreign: true, Audience: []string{ownIss},
			Types:  map[tx.TokenType]string{tx.TypeJWT: "", tx.TypeIDToken: "", typeAssertion: "assertion+jwt"},
			Scopes: map[string]tx.Scope{"ext.read": {"read"}}},
	}
}

// authenticate takes Basic, client_secret, and the bare client_id of a public client.
func (w *world) authenticate(r *http.Request) (tx.Client, error) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if c, ok := w.clients[id]; ok && (c.Public || secret == "secret-"+id) {
		return c, nil
	}
	return tx.Client{}, fmt.Errorf("%w: %s/%s", tx.InvalidClient, id, secret)
}

// claims are those of a default token, or what is different from them: nil removes one.
type claims map[string]any

// access mints an access token of ours about alice, issued to shop.
func (w *world) access(patches ...claims) string {
	return sign(w, w.key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt"}`, w.accessClaims(patches...))
}

func (w *world) accessClaims(patches ...claims) []byte {
	return payload(claims{"iss": ownIss, "sub": "alice", "aud": api, "client_id": "shop", "scope": "read write", "jti": "j-" + rand.Text(),
		"iat": at.Unix(), "exp": at.Add(time.Hour).Unix()}, patches...)
}

// id mints an ID token of ours about alice for shop.
func (w *world) id(patch claims) string {
	return sign(w, w.key, `{"alg":"ES256","kid":"own-1","typ":"JWT"}`, w.idClaims(patch))
}

func (w *world) idClaims(patch claims) []byte {
	return payload(claims{"iss": ownIss, "sub": "alice", "aud": "shop", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix(), "nonce": "n-1",
		"auth_time": at.Unix() - 900, "acr": "gold", "amr": []string{"pwd", "otp"}, "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng", "sid": "s-1"}, patch)
}

// foreign mints an access token of the foreign issuer about ext-alice, for us.
func (w *world) foreignToken(patch claims) string {
	return sign(w, w.idpKey, `{"alg":"ES256","kid":"idp-1","typ":"at+jwt"}`, payload(claims{"iss": idpIss, "sub": "ext-alice", "aud": ownIss,
		"client_id": "theirs", "scope": "ext.read ext.admin", "jti": "f-1", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix()}, patch))
}

func payload(base claims, patches ...claims) []byte {
	for _, patch := range patches {
		maps.Copy(base, patch)
	}
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(base)
	if err != nil {
		panic(err)
	}
	return data
}

// sign makes a compact JWS of any header and payload, with the standard library alone. The key says how.
func sign(t require.TestingT, key crypto.Signer, header string, payload []byte) string {
	signed := b64(header) + "." + b64(string(payload))
	digest, opts := sha256.Sum256([]byte(signed)), crypto.SignerOpts(crypto.SHA256)
	in := digest[:]
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, in)
		require.NoError(t, err)
		size := (key.Params().BitSize + 7) / 8
		return signed + "." + b64(string(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)))
	case ed25519.PrivateKey:
		in, opts = []byte(signed), crypto.Hash(0)
	case *rsa.PrivateKey:
		if strings.Contains(header, `"PS256"`) {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
	}
	signature, err := key.Sign(rand.Reader, in, opts)
	require.NoError(t, err)
	return signed + "." + b64(string(signature))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func newKey(t require.TestingT) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// newIssuer signs with key, by the settings of another issuer.
func newIssuer(t require.TestingT, key crypto.Signer, keyID string, settings tx.JWTIssuer) *tx.JWTIssuer {
	j, err := tx.NewJWTIssuer(key, keyID, "")
	require.NoError(t, err)
	j.Types, j.Claims, j.ActAs = settings.Types, settings.Claims, settings.ActAs
	return j
}

func keySet(t require.TestingT, key crypto.Signer, kid string) []byte {
	set, err := newIssuer(t, key, kid, tx.JWTIssuer{}).JWKS()
	require.NoError(t, err)
	return set
}

// form is an exchange of the token, with further parameters in pairs.
func form(subject string, subjectType tx.TokenType, more ...string) url.Values {
	f := url.Values{"grant_type": {tx.GrantType}, "subject_token": {subject}, "subject_token_type": {string(subjectType)}}
	for i := 0; i < len(more); i += 2 {
		f.Add(more[i], more[i+1])
	}
	return f
}

// withActor adds an actor token.
func withActor(f url.Values, actor string, actorType tx.TokenType) url.Values {
	f = maps.Clone(f)
	f.Set("actor_token", actor)
	f.Set("actor_token_type", string(actorType))
	return f
}

// answer is what came over the wire.
type answer struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

func (w *world) request(client, body string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, w.url, strings.NewReader(body))
	require.NoError(w, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(client, "secret-"+client)
	}
	return r
}

func (w *world) send(r *http.Request) answer {
	resp, err := http.DefaultClient.Do(r)
	require.NoError(w, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if r.Method != http.MethodHead {
		require.NoError(w, json.Unmarshal(raw, &a.json), "%q", raw)
	}
	return a
}

func (w *world) post(client string, f url.Values) answer {
	return w.send(w.request(client, f.Encode()))
}

// refused asserts an error answer in every member and header (R12, R13), and hands it back.
func (a answer) refused(t require.TestingT, code tx.Code) answer {
	require.Equal(t, string(code), a.json["error"], "%d %s", a.status, a.raw)
	require.Equal(t, code.Status(), a.status)
	for name, value := range a.json {
		require.Contains(t, []string{"error", "error_description"}, name)
		require.IsType(t, "", value)
	}
	a.sealed(t)
	if code != tx.InvalidClient {
		require.Empty(t, a.header.Values("WWW-Authenticate"))
	}
	return a
}

// granted asserts a success, and returns what the token in access_token says.
func (a answer) granted(t require.TestingT) map[string]any {
	require.Equal(t, http.StatusOK, a.status, a.raw)
	a.sealed(t)
	return says(t, a.json["access_token"])
}

// says decodes the payload of a token, numbers as they stand.
func says(t require.TestingT, token any) (c map[string]any) {
	parts := strings.Split(token.(string), ".")
	require.Len(t, parts, 3)
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	require.NoError(t, d.Decode(&c))
	return c
}

func (a answer) sealed(t require.TestingT) {
	require.Equal(t, []string{"no-store"}, a.header.Values("Cache-Control"), "R12")
	require.Equal(t, []string{"no-cache"}, a.header.Values("Pragma"), "R12")
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
}

// lastEvent is the one event of the last exchange.
func (w *world) lastEvent() tx.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NotEmpty(w, w.events)
	return w.events[len(w.events)-1]
}

type ctxType = context.Context

// deadline is what a host returns whose database did not answer in time.
func deadline() error {
	return fmt.Errorf("asking the database: %w", context.DeadlineExceeded)
}

type timeType = time.Time

// with sets one more parameter.
func (w *world) with(f url.Values, name, value string) url.Values {
	f.Set(name, value)
	return f
}
