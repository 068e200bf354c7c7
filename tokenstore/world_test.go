package tokenstore_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

const (
	formType = "application/x-www-form-urlencoded"

	issuer  = "https://as.example"
	api     = "https://api.example"
	down    = "https://down.example"
	orgA    = "urn:org:a"
	orgB    = "urn:org:b"
	access  = tx.TypeAccessToken
	jwt     = tx.TypeJWT
	idToken = tx.TypeIDToken
	refresh = tx.TypeRefreshToken
	ticket  = tx.TokenType("urn:example:ticket")
)

var (
	alice = tx.Identity{Issuer: issuer, Kind: tx.KindUser, Tenant: orgA, ID: "alice"}
	bob   = tx.Identity{Issuer: issuer, Kind: tx.KindUser, Tenant: orgA, ID: "bob"}
)

// world is an authorization server with Tokens, over real HTTP.
type world struct {
	*testing.T
	store  *testStore
	tokens *tokenstore.Tokens
	x      *tx.Exchanger
	minter *tokenexchangetest.Minter
	people *tokenexchangetest.Directory
	actors *tokenexchangetest.Authorizer
	audit  *tokenexchangetest.Recorder
	rules  []tx.Rule
	policy *tx.Policy
	client map[string]tx.Client
	url    string

	mu  sync.Mutex
	now time.Time
}

// testStore is a Memory that records what is committed, and whose answers a test may replace.
type testStore struct {
	tokenstore.Store
	memory *tokenstore.Memory
	fail   error // if not nil, Get and Commit return it
	commit func(context.Context, time.Time, tokenstore.Batch) error

	mu   sync.Mutex
	data strings.Builder
}

// committed returns the data of all records that were committed, discarded ones included.
func (s *testStore) committed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.String()
}

func (s *testStore) Get(ctx context.Context, now time.Time, k tokenstore.Key) (
	tokenstore.Record, error) {
	if s.fail != nil {
		return tokenstore.Record{}, s.fail
	}
	return s.Store.Get(ctx, now, k)
}

func (s *testStore) Commit(ctx context.Context, now time.Time, b tokenstore.Batch) error {
	if s.fail != nil {
		return s.fail
	}
	s.mu.Lock()
	for _, r := range b.Put {
		s.data.Write(r.Data)
		s.data.WriteByte('\n')
	}
	s.mu.Unlock()
	if s.commit != nil {
		return s.commit(ctx, now, b)
	}
	return s.Store.Commit(ctx, now, b)
}

func newWorld(t *testing.T) *world {
	memory := tokenstore.NewMemory()
	allow := func(context.Context, tx.Facts) error { return nil }
	w := &world{
		T:      t,
		now:    time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		store:  &testStore{Store: memory, memory: memory},
		minter: tokenexchangetest.NewMinter(issuer),
		people: tokenexchangetest.NewDirectory(),
		actors: &tokenexchangetest.Authorizer{Func: allow},
		audit:  &tokenexchangetest.Recorder{},
	}
	all := tx.Scope{"read", "write", "openid", "offline_access"}
	w.people.Add(tx.Subject{Identity: alice, Scope: all, Tenants: []string{orgA, orgB}},
		tx.Subject{Identity: bob, Scope: all})
	w.client = map[string]tx.Client{}
	for _, id := range []string{"webapp", "gateway", "helpdesk", "other"} {
		w.client[id] = tx.Client{ID: id, Scope: all}
	}
	w.client["api"] = tx.Client{ID: "api", Audiences: []string{api}, Scope: all}
	w.client["phone"] = tx.Client{ID: "phone", Scope: all, Public: true}

	w.tokens = &tokenstore.Tokens{Store: w.store, JWT: w.minter.JWTIssuer(), Now: w.clock}
	w.tokens.JWT.Types = map[tx.TokenType]string{ticket: "ticket+jwt"}
	trust := w.minter.Trust()
	trust.Live, trust.Types[ticket] = w.tokens.Live, "ticket+jwt"
	verifier, err := tx.NewVerifier(trust)
	require.NoError(t, err)
	w.tokens.Verify = verifier.Verify
	verify := w.tokens.VerifyToken
	w.x = &tx.Exchanger{
		Issuer: issuer,
		Verify: tx.Verifiers{access: verify, jwt: verify, idToken: verify, ticket: verify,
			refresh: w.tokens.VerifyRefreshToken},
		Resolver: w.people, Authorizer: w.actors, TokenIssuer: w.tokens, Audit: w.audit,
		Now:    w.clock,
		Decide: func(f tx.Facts) (tx.Decision, error) { return w.policy.Decide(f) },
	}
	w.setRules(usualRules()...)
	w.serve()
	return w
}

func usualRules() []tx.Rule {
	users := []tx.Identity{{Kind: tx.KindUser, Tenant: "*", ID: "*"}}
	gateway := tx.Rule{Name: "gateway",
		Impersonate: &tx.Impersonation{
			TenantTargets:   true,
			RefreshLifetime: 24 * time.Hour,
			OtherTokens:     true,
			Carry:           true,
			PublicClients:   true,
			IDToken:         true,
		},
		Clients:  []string{"gateway", "other", "phone"},
		Subjects: users, SubjectTypes: []tx.TokenType{access, idToken, refresh},
		Types:   []tx.TokenType{access, jwt, idToken},
		Targets: []string{api, down}, DefaultTargets: []string{api}, Scope: tx.Scope{"*"},
		Lifetime: time.Hour,
	}
	helpdesk := tx.Rule{Name: "helpdesk",
		Delegate: &tx.Delegation{
			Actors:          users,
			ActorTypes:      []tx.TokenType{access, idToken},
			RefreshLifetime: 24 * time.Hour,
			OtherTokens:     true,
			OtherActors:     true,
			IDToken:         true,
		},
		Clients:  []string{"helpdesk"},
		Subjects: users, SubjectTypes: []tx.TokenType{access, idToken, ticket},
		Types:   []tx.TokenType{access, jwt},
		Targets: []string{api, down}, DefaultTargets: []string{api}, Scope: tx.Scope{"*"},
		Lifetime: time.Hour,
	}
	return []tx.Rule{gateway, helpdesk}
}

func (w *world) setRules(rules ...tx.Rule) {
	policy, err := tx.NewPolicy(rules...)
	require.NoError(w, err)
	w.rules, w.policy = rules, policy
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) after(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if r.PostForm.Get("grant_type") == "refresh_token" {
			w.tokens.RefreshHandler(w.x, w.authenticate).ServeHTTP(rw, r)
			return
		}
		w.x.Handler(w.authenticate).ServeHTTP(rw, r)
	})
	mux.Handle("/introspect", w.tokens.IntrospectionHandler(issuer, w.authenticate))
	mux.Handle("/revoke", w.tokens.RevocationHandler(issuer, w.authenticate))
	server := httptest.NewServer(mux)
	w.Cleanup(server.Close)
	w.url = server.URL
}

func (w *world) authenticate(r *http.Request) (tx.Client, error) {
	id, secret, _ := r.BasicAuth()
	w.mu.Lock()
	defer w.mu.Unlock()
	c, known := w.client[id]
	if !known || secret != "secret of "+id {
		return tx.Client{}, fmt.Errorf("%w: wrong secret", tx.InvalidClient)
	}
	return c, nil
}

// answer is an HTTP response.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) text(name string) string { s, _ := a.json[name].(string); return s }

func (w *world) post(path, client string, form url.Values) answer {
	r, err := http.NewRequest(http.MethodPost, w.url+path, strings.NewReader(form.Encode()))
	require.NoError(w, err)
	r.Header.Set("Content-Type", formType)
	r.SetBasicAuth(client, "secret of "+client)
	return w.do(r)
}

func (w *world) do(r *http.Request) answer {
	resp, err := http.DefaultClient.Do(r)
	require.NoError(w, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	require.NoError(w, json.Unmarshal(body, &a.json), a.body)
	require.Equal(w, "no-store", resp.Header.Get("Cache-Control"))
	require.Equal(w, "application/json", resp.Header.Get("Content-Type"))
	return a
}

// exchange posts a token exchange with more parameters in pairs of name and value.
func (w *world) exchange(client, token string, kind tx.TokenType, more ...string) answer {
	form := url.Values{"grant_type": {tx.GrantType},
		"subject_token": {token}, "subject_token_type": {string(kind)}}
	for pair := range slices.Chunk(more, 2) {
		form.Add(pair[0], pair[1])
	}
	return w.post("/token", client, form)
}

func (w *world) refresh(client, token string, more ...string) answer {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for pair := range slices.Chunk(more, 2) {
		form.Add(pair[0], pair[1])
	}
	return w.post("/token", client, form)
}

func (w *world) granted(a answer) answer {
	w.Helper()
	require.Equal(w, 200, a.status, "%s %v", a.body, w.audit.Last().Err)
	return a
}

// refused expects an error code, and the reason in the audit trail.
func (w *world) refused(a answer, code tx.Code, reason string) {
	w.Helper()
	require.Equal(w, string(code), a.text("error"), a.body)
	require.Equal(w, code.Status(), a.status)
	require.Equal(w, reason, tx.AsError(w.audit.Last().Err).Reason, "%v", w.audit.Last().Err)
}

// failed expects a failure with the cause in the audit trail.
func (w *world) failed(a answer, cause error) {
	w.Helper()
	require.Equal(w, 500, a.status, a.body)
	require.ErrorIs(w, w.audit.Last().Err, cause)
}

func (w *world) introspect(client, token string) map[string]any {
	a := w.post("/introspect", client, url.Values{"token": {token}})
	require.Equal(w, 200, a.status, a.body)
	return a.json
}

func (w *world) active(token string) bool { return w.introspect("api", token)["active"] == true }

// list returns all pages of the tokens about a user.
func (w *world) list(about tx.Identity, limit int) (list []tx.Token) {
	for after := ""; ; {
		page, next, err := w.tokens.List(w.Context(), about, after, limit)
		require.NoError(w, err)
		require.LessOrEqual(w, len(page), limit)
		list = append(list, page...)
		if next == "" {
			return list
		}
		require.NotEqual(w, after, next)
		after = next
	}
}

// login is the token for the API that webapp gets when a user logs in.
func (w *world) login(user string) tx.Token {
	return tx.Token{Type: access, Kind: tx.KindUser, Issuer: issuer, Subject: user,
		ClientID: "webapp", Audience: []string{api},
		Scope:  tx.Scope{"read", "write", "openid", "offline_access"},
		Issued: w.clock(), Expires: w.clock().Add(2 * time.Hour),
		AuthTime: w.clock().Add(-time.Minute), ACR: "gold"}
}

// opaque mints the token of a login.
func (w *world) opaque(user string, parents ...tokenstore.Key) string {
	t, err := w.tokens.Mint(w.Context(), w.login(user), parents...)
	require.NoError(w, err)
	return t.Value
}

// signed returns a JWT of the same login, which the host has recorded.
func (w *world) signed(user string, kind tx.TokenType, parents ...tokenstore.Key) string {
	tok := w.login(user)
	c := tokenexchangetest.Claims{Subject: user, Client: "webapp", Audience: tok.Audience,
		Scope: tok.Scope, Now: w.clock(), Lifetime: 2 * time.Hour,
		Extra: map[string]any{"jti": fmt.Sprint(kind, user, w.clock().UnixNano())}}
	mint := w.minter.AccessToken
	if kind == idToken {
		c.Audience = []string{"gateway", "helpdesk", "webapp"}
		mint = w.minter.IDToken
	}
	value := mint(c)
	tok, err := tx.ParseToken(payload(w.T, value))
	require.NoError(w, err)
	tok.Type, tok.Kind = kind, tx.KindUser
	require.NoError(w, w.tokens.Record(w.Context(), tok, parents...))
	return value
}

func payload(t *testing.T, token string) []byte {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	return raw
}

func claims(t *testing.T, token string) (c map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(payload(t, token), &c))
	return c
}

// credential is the credential that an Exchanger presents to a verifier.
func (w *world) credential(kind tx.TokenType, token string) tx.Credential {
	return tx.Credential{Token: token, Type: kind, Issuer: issuer, Client: w.client["gateway"],
		Now: w.clock()}
}
