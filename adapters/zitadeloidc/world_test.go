package zitadelexchange_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	zitadelexchange "github.com/go-tokenexchange/tokenexchange/adapters/zitadeloidc"
	"github.com/go-tokenexchange/tokenexchange/internal/exchangetable"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

const issuer = "https://as.example"

func TestMain(m *testing.M) {
	// the framework logs every refusal
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	os.Exit(m.Run())
}

// testStorage is the storage of a host: the framework's example with its own clients, lifetimes and
// token records.
type testStorage struct {
	*storage.Storage
	clients        map[string]client
	lifetime       time.Duration // of exchanged tokens, unless the decision has an earlier expiry
	ignoreDecision bool          // ignores the expiry of the decision

	claims  map[string]any // added to every JWT
	failing string         // name of the failing method
	failure error          // its error; nil: it panics

	mu      sync.Mutex
	tokens  map[string]tokenexchange.Token
	revoked map[string]bool // by Token.Origin
}

// client is a client of the example with its own registration.
type client struct {
	*storage.Client
	registered      exchangetable.Client
	format          op.AccessTokenType
	skew            time.Duration
	idTokenLifetime time.Duration   // op.Client.IDTokenLifetime
	auth            oidc.AuthMethod // empty: by secret, or none without a secret
}

func (c client) AccessTokenType() op.AccessTokenType { return c.format }
func (c client) ClockSkew() time.Duration            { return c.skew }
func (c client) IDTokenLifetime() time.Duration      { return c.idTokenLifetime }
func (c client) AuthMethod() oidc.AuthMethod {
	switch {
	case c.auth != "":
		return c.auth
	case c.registered.Secret == "":
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}
func (c client) GrantTypes() []oidc.GrantType {
	if c.registered.NoGrant {
		return []oidc.GrantType{oidc.GrantTypeCode}
	}
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken,
		oidc.GrantTypeTokenExchange}
}

func (l *testStorage) fault(method string) error {
	if l.failing == method && l.failure == nil {
		panic("a secret of the host")
	}
	if l.failing == method {
		return l.failure
	}
	return nil
}

func (l *testStorage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if err := l.fault("GetClientByClientID"); err != nil {
		return nil, err
	}
	c, known := l.clients[id]
	if !known {
		return nil, errors.New("no such client")
	}
	return c, nil
}

func (l *testStorage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if err := l.fault("AuthorizeClientIDSecret"); err != nil {
		return err
	}
	if c, known := l.clients[id]; !known || c.registered.Secret != secret {
		return errors.New("wrong secret")
	}
	return nil
}

// GetKeyByIDAndClientID returns the key of the server, with which all clients sign.
func (l *testStorage) GetKeyByIDAndClientID(ctx context.Context,
	_, _ string) (*jose.JSONWebKey, error) {
	if err := l.fault("GetKeyByIDAndClientID"); err != nil {
		return nil, err
	}
	key, err := l.Storage.SigningKey(ctx)
	if err != nil {
		return nil, err
	}
	return &jose.JSONWebKey{Key: key.Key().(crypto.Signer).Public()}, nil
}

func (l *testStorage) CreateAccessToken(ctx context.Context,
	r op.TokenRequest) (string, time.Time, error) {
	if err := l.fault("CreateAccessToken"); err != nil {
		return "", time.Time{}, err
	}
	expires := time.Now().Add(l.lifetime)
	x, ok := r.(zitadelexchange.Request)
	if ok && x.Decision.Expires.Before(expires) && !l.ignoreDecision {
		expires = x.Decision.Expires
	}
	in, isLogin := r.(login)
	if isLogin {
		expires = in.expires
	}
	id := uuid.NewString()
	record := zitadelexchange.TokenOf(ctx, id, expires, r)
	if isLogin {
		record.MayAct, record.Actor = in.mayAct, in.actor
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens[id] = record
	return id, expires, nil
}

// token is Grant.Token.
func (l *testStorage) token(_ context.Context, id string) (tokenexchange.Token, error) {
	if err := l.fault("token"); err != nil {
		return tokenexchange.Token{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, live := l.tokens[id]
	if !live || l.isRevoked(t) {
		return tokenexchange.Token{}, fmt.Errorf("%w: unknown or revoked",
			tokenexchange.InvalidRequest)
	}
	return t, nil
}

// isRevoked reports whether the token, or one that it was made from, is revoked.
func (l *testStorage) isRevoked(t tokenexchange.Token) bool {
	origins := []string{t.Origin()}
	if t.Lineage != nil {
		origins = append(origins, t.Lineage.From...)
	}
	return slices.ContainsFunc(origins, func(origin string) bool { return l.revoked[origin] })
}

// session is Grant.Session. It fails only by a fault or if the token, or one of its origins, is
// revoked.
func (l *testStorage) session(_ context.Context, t tokenexchange.Token) error {
	if err := l.fault("session"); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isRevoked(t) {
		return fmt.Errorf("%w: the token is revoked", tokenexchange.InvalidRequest)
	}
	return nil
}

// revokeByName revokes a token by its origin name, as an operator may.
func (l *testStorage) revokeByName(t tokenexchange.Token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revoked[t.Origin()] = true
}

// records returns all records by ID.
func (l *testStorage) records() map[string]tokenexchange.Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]tokenexchange.Token{}
	for id, t := range l.tokens {
		all[id] = t
	}
	return all
}

func (l *testStorage) RevokeToken(ctx context.Context, id, subject, clientID string) *oidc.Error {
	if err := cmp.Or(ctx.Err(), l.fault("RevokeToken")); err != nil {
		return oidc.ErrServerError().WithParent(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, live := l.tokens[id]; live && t.ClientID == clientID && t.Subject == subject {
		delete(l.tokens, id)
		l.revoked[t.Origin()] = true
	}
	return nil
}

func (l *testStorage) SetIntrospectionFromToken(ctx context.Context,
	resp *oidc.IntrospectionResponse, id, _, _ string) error {
	t, err := l.token(ctx, id)
	if err != nil || !time.Now().Before(t.Expires) {
		return errors.New("not live")
	}
	resp.Scope, resp.ClientID = oidc.SpaceDelimitedArray(t.Scope), t.ClientID
	resp.Subject, resp.Audience = t.Subject, t.Audience
	resp.Issuer, resp.JWTID, resp.Expiration = t.Issuer, id, oidc.FromTime(t.Expires)
	resp.Claims = map[string]any{}
	for name, value := range t.ClaimsSet() {
		if slices.Contains([]string{"act", "may_act", "lineage"}, name) {
			resp.Claims[name] = value
		}
	}
	return nil
}

func (l *testStorage) KeySet(ctx context.Context) ([]op.Key, error) {
	if err := l.fault("KeySet"); err != nil {
		return nil, err
	}
	return l.Storage.KeySet(ctx)
}

func (l *testStorage) SigningKey(ctx context.Context) (op.SigningKey, error) {
	if err := l.fault("SigningKey"); err != nil {
		return nil, err
	}
	return l.Storage.SigningKey(ctx)
}

func (l *testStorage) GetPrivateClaimsFromScopes(context.Context, string, string,
	[]string) (map[string]any, error) {
	return l.claims, nil
}

// login is a request of the framework after a login at a client.
type login struct {
	op.AuthRequest // nil: for its method set
	subject        string
	client         string
	audience       []string
	scope          []string
	expires        time.Time
	mayAct         *tokenexchange.Actor
	actor          *tokenexchange.Actor
	authTime       time.Time
	acr            string
	amr            []string
}

func (l login) GetID() string          { return "login" }
func (l login) GetSubject() string     { return l.subject }
func (l login) GetClientID() string    { return l.client }
func (l login) GetAudience() []string  { return l.audience }
func (l login) GetScopes() []string    { return l.scope }
func (l login) GetAuthTime() time.Time { return l.authTime }
func (l login) GetACR() string         { return l.acr }
func (l login) GetAMR() []string       { return l.amr }
func (l login) GetNonce() string       { return "a nonce" }

// no refresh token
func (l login) GetResponseType() oidc.ResponseType { return oidc.ResponseTypeIDToken }

// host is a server on loopback.
type host struct {
	*testStorage
	provider *op.Provider
	grant    *zitadelexchange.Grant
	audit    *tokenexchangetest.Recorder
	web      *httptest.Server

	issuerOf       func(bool) (op.IssuerFromRequest, error) // chooses the issuer of a request
	options        []op.Option
	storage        op.Storage // replaces testStorage; nil: it does not
	withoutNoStore bool       // omits the middleware NoStore
}

// example is the storage of the framework's example, which has the key.
var example = sync.OnceValue(
	func() *storage.Storage {
		return storage.NewStorageWithClients(storage.NewUserStore(issuer), nil)
	})

// newHost starts a server with the world of the table, with access tokens of the format. The
// functions of set may change it before.
func newHost(t testing.TB, format op.AccessTokenType, set ...func(*host)) *host {
	h := &host{testStorage: &testStorage{Storage: example(), clients: map[string]client{},
		lifetime: time.Hour,
		tokens:   map[string]tokenexchange.Token{}, revoked: map[string]bool{}}}
	for _, c := range exchangetable.Clients() {
		h.clients[c.ID] = client{storage.WebClient(c.ID, c.Secret), c, format, 0, time.Hour, ""}
	}
	x, audit := exchangetable.Exchanger(issuer)
	h.audit = audit
	h.grant = &zitadelexchange.Grant{Exchanger: *x, Token: h.token, Session: h.session,
		Client: h.registration, Claims: h.addClaims}
	h.issuerOf = op.StaticIssuer(issuer)
	for _, change := range set {
		change(h)
	}
	config := &op.Config{CryptoKey: sha256.Sum256([]byte(t.Name())), CryptoKeyId: "1",
		GrantTypeRefreshToken: true, AuthMethodPost: true,
		AuthMethodPrivateKeyJWT: true}
	provider, err := op.NewProvider(config, cmp.Or[op.Storage](h.storage, h.testStorage),
		h.issuerOf, append(h.options, op.WithAllowInsecure())...)
	require.NoError(t, err)
	h.provider, h.grant.Provider = provider, provider
	s := server{op.NewLegacyServer(provider, *op.DefaultEndpoints), h.grant}
	middleware := []op.ServerOption{op.WithHTTPMiddleware(zitadelexchange.NoStore)}
	if h.withoutNoStore {
		middleware = nil
	}
	h.web = httptest.NewServer(op.RegisterLegacyServer(s, http.NotFound, middleware...))
	t.Cleanup(h.web.Close)
	return h
}

// registration is Grant.Client.
func (h *host) registration(_ context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest],
	c *tokenexchange.Client) error {
	if err := h.fault("Client"); err != nil {
		return err
	}
	known := h.clients[r.Client.GetID()].registered
	c.Scope, c.Audiences = known.Scope, known.Audiences
	return nil
}

// addClaims is Grant.Claims.
func (h *host) addClaims(_ context.Context, _ tokenexchange.Decision, claims map[string]any) error {
	maps.Copy(claims, h.claims)
	return h.fault("Claims")
}

// ctx returns the context of a request to the server.
func (h *host) ctx(
	t testing.TB) context.Context {
	return op.ContextWithIssuer(t.Context(), issuer)
}

// logIn makes an access token by the means of the framework.
func (h *host) logIn(t testing.TB, l login) string {
	if l.expires.IsZero() {
		l.expires = time.Now().Add(time.Hour)
	}
	c := h.clients[l.client]
	value, _, _, err := op.CreateAccessToken(h.ctx(t), l, c.format, h.provider, c, "")
	require.NoError(t, err)
	return value
}

// idToken makes an ID token by the means of the framework.
func (h *host) idToken(t testing.TB, l login) string {
	if l.expires.IsZero() {
		l.expires = time.Now().Add(time.Hour)
	}
	value, err := op.CreateIDToken(h.ctx(t), issuer, l, time.Until(l.expires), "", "",
		h.testStorage, h.clients[l.client])
	require.NoError(t, err)
	return value
}

// alice returns a token of alice that was issued to webapp, for the help desk.
func (h *host) alice(t testing.TB) string {
	return h.logIn(t,
		login{subject: "alice", client: "webapp", audience: []string{"helpdesk"},
			scope: []string{"orders:read", "orders:write"}})
}

// bob returns a token of bob that was issued to the help desk. Bob may act for alice.
func (h *host) bob(t testing.TB) string {
	return h.logIn(t,
		login{subject: "bob", client: "helpdesk", audience: []string{"helpdesk"},
			scope: []string{"orders:read"}})
}

// delegate sends an exchange of the help desk in which bob acts for alice.
func (h *host) delegate(t testing.TB, pairs ...string) reply {
	return h.exchange(t, "helpdesk",
		append([]string{"subject_token", h.alice(t), "subject_token_type", "access_token",
			"actor_token", h.bob(t), "actor_token_type", "access_token"}, pairs...)...)
}

// narrow sends an exchange in which webapp narrows a token.
func (h *host) narrow(t testing.TB, token string, pairs ...string) reply {
	return h.exchange(t, "webapp",
		append([]string{"subject_token", token, "subject_token_type", "access_token"}, pairs...)...)
}

// refused checks that the response is a refusal of the exchange, with its code, status, fixed
// description and event.
func (h *host) refused(t testing.TB, r reply, code tokenexchange.Code) tokenexchange.Event {
	t.Helper()
	require.Equal(t, string(code), r.error(), r.text)
	require.Equal(t, code.Status(), r.status)
	require.Equal(t, "no-store", r.header.Get("Cache-Control"), "R12")
	require.Equal(t, "no-cache", r.header.Get("Pragma"), "R12")
	ev := h.audit.Last()
	require.ErrorIs(t, ev.Err, code, "I07")
	return ev
}

// granted checks that the response is a success.
func (r reply) granted(t testing.TB) reply {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.text)
	require.NotEmpty(t, r.body["access_token"])
	return r
}

// reply is an HTTP response.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (r reply) token() string { return fmt.Sprint(r.body["access_token"]) }
func (r reply) error() string { return fmt.Sprint(r.body["error"]) }

func (h *host) send(t testing.TB, r *http.Request) reply {
	resp, err := h.web.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	got := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &got.body)
	return got
}

// post sends a form to an endpoint as a client.
func (h *host) post(t testing.TB, path, client string, form url.Values) reply {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+path,
		strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret := h.clients[client].registered.Secret; secret != "" {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	return h.send(t, r)
}

// exchange sends an exchange request. The pairs are names and values; token types are written
// without their urn prefix.
func (h *host) exchange(t testing.TB, client string, pairs ...string) reply {
	return h.post(t, "/oauth/token", client, form(pairs...))
}

func form(pairs ...string) url.Values {
	f := url.Values{"grant_type": {tokenexchange.GrantType}}
	for pair := range slices.Chunk(pairs, 2) {
		value := pair[1]
		if strings.HasSuffix(pair[0], "_token_type") && value != "" &&
			!strings.Contains(value, ":") {
			value = "urn:ietf:params:oauth:token-type:" + value
		}
		f.Add(pair[0], value)
	}
	return f
}

// payload returns the payload of a JWT, byte for byte.
func payload(t testing.TB, jwt string) []byte {
	claims := &oidc.TokenClaims{}
	raw, err := oidc.ParseToken(jwt, claims)
	require.NoError(t, err)
	return raw
}

func claimsOf(t testing.TB, jwt string) map[string]any {
	var claims map[string]any
	require.NoError(t, json.Unmarshal(payload(t, jwt), &claims))
	return claims
}
