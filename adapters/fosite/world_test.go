package fositeexchange_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
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

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	fositeexchange "github.com/go-tokenexchange/tokenexchange/adapters/fosite"
	"github.com/go-tokenexchange/tokenexchange/internal/exchangetable"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

const issuer = "https://as.example"

// The formats of access tokens.
const (
	opaque  = "opaque"
	jwtForm = "JWT"
)

// formats runs a test on a server of each format.
func formats(t *testing.T, test func(t *testing.T, format string)) {
	for _, format := range []string{opaque, jwtForm} {
		t.Run(format, func(t *testing.T) { test(t, format) })
	}
}

// host is a fosite server on loopback with the world of the table.
type host struct {
	format   string
	config   *fosite.Config
	store    *store
	strategy compose.CommonStrategy
	exchange fositeexchange.Config
	provider fosite.OAuth2Provider
	audit    *tokenexchangetest.Recorder
	web      *httptest.Server
	clients  map[string]exchangetable.Client
	ended    sync.Map // users whose session has ended

	unread   bool                             // the token endpoint is not behind ReadForm
	sessions func(user string) fosite.Session // sessions of logins; nil: the default of the format
}

// store is fosite's memory store with injected faults.
type store struct {
	*storage.MemoryStore
	mu    sync.Mutex
	fails map[string]error // by method
	panic bool

	deadline func(time.Time, bool) // receives the deadline of each delete

	// the store encodes requests as JSON and decodes sessions into these; nil: it does not
	decode func() fosite.Session
	bare   bool // the store drops the form of a pushed authorization request
}

func (s *store) fail(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[method] = err
}

func (s *store) fault(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails[method] != nil && s.panic {
		panic(s.fails[method])
	}
	return s.fails[method]
}

func (s *store) GetAccessTokenSession(ctx context.Context, signature string,
	session fosite.Session) (fosite.Requester, error) {
	if err := s.fault("get"); err != nil {
		return nil, err
	}
	r, err := s.MemoryStore.GetAccessTokenSession(ctx, signature, session)
	if err != nil {
		return nil, err
	}
	return s.asStored(r), nil
}

func (s *store) CreateAccessTokenSession(ctx context.Context, signature string,
	r fosite.Requester) error {
	if err := s.fault("create"); err != nil {
		// The write may have happened in spite of the error.
		_ = s.MemoryStore.CreateAccessTokenSession(ctx, signature, r)
		return err
	}
	if isIDToken := strings.Contains(signature, "."); isIDToken {
		if err := s.fault("create the record of an ID token"); err != nil {
			return err
		}
	}
	return s.MemoryStore.CreateAccessTokenSession(ctx, signature, s.asStored(r))
}

func (s *store) DeleteAccessTokenSession(ctx context.Context, signature string) error {
	if s.deadline != nil {
		s.deadline(ctx.Deadline())
	}
	if err := s.fault("delete"); err != nil {
		return err
	}
	return s.MemoryStore.DeleteAccessTokenSession(ctx, signature)
}

func (s *store) CreateRefreshTokenSession(
	ctx context.Context, signature, accessSignature string, r fosite.Requester,
) error {
	return s.MemoryStore.CreateRefreshTokenSession(ctx, signature, accessSignature, s.asStored(r))
}

func (s *store) CreateAuthorizeCodeSession(
	ctx context.Context, code string, r fosite.Requester,
) error {
	return s.MemoryStore.CreateAuthorizeCodeSession(ctx, code, s.asStored(r))
}

func (s *store) CreatePARSession(
	ctx context.Context, requestURI string, r fosite.AuthorizeRequester,
) error {
	if s.bare {
		stored := *r.(*fosite.AuthorizeRequest)
		stored.Form = url.Values{}
		r = &stored
	}
	return s.MemoryStore.CreatePARSession(ctx, requestURI, r)
}

// Authenticate accepts every password. The subject of a user is the user name.
func (s *store) Authenticate(_ context.Context, name, _ string) (string, error) { return name, nil }

// asStored returns the request as the storage returns it later: encoded and decoded if the storage
// uses JSON.
func (s *store) asStored(r fosite.Requester) fosite.Requester {
	if s.decode == nil {
		return r
	}
	type text struct {
		ID                         string
		RequestedAt                time.Time
		Client                     string
		Scope, GrantedScope        []string
		Audience, GrantedAudiences []string
		Form                       url.Values
		Session                    json.RawMessage
	}
	session, err := json.Marshal(r.GetSession())
	if err != nil {
		panic(err)
	}
	encoded, err := json.Marshal(text{r.GetID(), r.GetRequestedAt(), r.GetClient().GetID(),
		r.GetRequestedScopes(),
		r.GetGrantedScopes(), r.GetRequestedAudience(), r.GetGrantedAudience(),
		r.GetRequestForm(), session})
	if err != nil {
		panic(err)
	}
	var decoded text
	into := s.decode()
	if err := errors.Join(json.Unmarshal(encoded, &decoded), json.Unmarshal(decoded.Session,
		into)); err != nil {
		panic(err)
	}
	client, err := s.GetClient(context.Background(), decoded.Client)
	if err != nil {
		panic(err)
	}
	return &fosite.Request{ID: decoded.ID, RequestedAt: decoded.RequestedAt, Client: client,
		RequestedScope: decoded.Scope, GrantedScope: decoded.GrantedScope,
		RequestedAudience: decoded.Audience,
		GrantedAudience:   decoded.GrantedAudiences, Form: decoded.Form, Session: into}
}

// newHost starts a host. The functions of set may change it before.
func newHost(t testing.TB, format string, set ...func(*host)) *host {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	keyOf := func(context.Context) (any, error) { return key, nil }
	// Fosite sets a nil strategy when it first needs it, which is a data race.
	config := &fosite.Config{ScopeStrategy: fosite.WildcardScopeStrategy,
		AudienceMatchingStrategy: fosite.DefaultAudienceMatchingStrategy,
		GlobalSecret:             []byte("a secret of at least thirty-two bytes"),
		ClientSecretsHasher:      plain{},
		AccessTokenIssuer:        issuer, IDTokenIssuer: issuer, SendDebugMessagesToClients: true}
	h := &host{format: format, config: config, clients: map[string]exchangetable.Client{},
		store: &store{MemoryStore: storage.NewMemoryStore(), fails: map[string]error{}}}
	h.strategy = compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(keyOf, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: keyOf}}
	if format == jwtForm {
		h.strategy.CoreStrategy = compose.NewOAuth2JWTStrategy(keyOf,
			compose.NewOAuth2HMACStrategy(config), config)
	}
	for _, c := range exchangetable.Clients() {
		h.register(c)
	}
	x, audit := exchangetable.Exchanger(issuer)
	h.audit = audit
	idTokens, err := tokenexchange.NewJWTIssuer(key, "", "")
	require.NoError(t, err)
	jwks, err := idTokens.JWKS()
	require.NoError(t, err)
	verifier, err := tokenexchange.NewVerifier(tokenexchange.Trust{Issuer: issuer, JWKS: jwks,
		Live: h.live, ActClaims: true,
		Types: map[tokenexchange.TokenType]string{tokenexchange.TypeIDToken: ""}})
	require.NoError(t, err)
	x.Verify = tokenexchange.Verifiers{tokenexchange.TypeIDToken: verifier.Verify,
		tokenexchange.TypeJWT: verifier.Verify}
	h.exchange = fositeexchange.Config{Exchanger: *x, NewSession: h.newSession, Client: h.complete,
		IDTokens: idTokens}
	for _, change := range set {
		change(h)
	}
	h.serve(t)
	return h
}

func (h *host) register(c exchangetable.Client) {
	grants := []string{"authorization_code", "client_credentials", "refresh_token", "implicit",
		"password",
		string(fosite.GrantTypeJWTBearer)}
	if !c.NoGrant {
		grants = append(grants, tokenexchange.GrantType)
	}
	h.clients[c.ID] = c
	h.store.Clients[c.ID] = &fosite.DefaultClient{ID: c.ID, Secret: []byte(c.Secret),
		Scopes: append([]string{"offline"}, c.Scope...), Public: c.Secret == "",
		GrantTypes: grants, ResponseTypes: []string{"code", "token", "code token"},
		RedirectURIs: []string{"https://app.example/callback"},
		Audience:     []string{"https://orders.example", "https://gateway.example", "helpdesk"}}
}

// plain stores secrets without hashing them, since some tests make many requests.
type plain struct{}

func (plain) Hash(_ context.Context, secret []byte) ([]byte, error) { return secret, nil }
func (plain) Compare(_ context.Context, stored, secret []byte) error {
	if len(stored) == 0 || subtle.ConstantTimeCompare(stored, secret) == 0 {
		return errors.New("wrong secret")
	}
	return nil
}

// live is Trust.Live.
func (h *host) live(_ context.Context, t tokenexchange.Token) error {
	if _, ended := h.ended.Load(t.Subject); ended {
		return fmt.Errorf("%w: the session has ended", tokenexchange.InvalidRequest)
	}
	return nil
}

func (h *host) newSession() fosite.Session {
	if h.sessions != nil {
		return h.sessions("")
	}
	if h.format == jwtForm {
		return &oauth2.JWTSession{}
	}
	return &fosite.DefaultSession{}
}

// complete is Config.Client.
func (h *host) complete(_ *http.Request, registered fosite.Client, c *tokenexchange.Client) error {
	c.Audiences = h.clients[registered.GetID()].Audiences
	return nil
}

// serve starts the server, or replaces it.
func (h *host) serve(t testing.TB) {
	h.config.AuthorizeEndpointHandlers, h.config.TokenEndpointHandlers = nil, nil
	h.config.TokenIntrospectionHandlers, h.config.RevocationHandlers = nil, nil
	h.config.PushedAuthorizeEndpointHandlers = nil
	h.config.TokenURL = "https://as.example/token"
	h.provider = compose.Compose(h.config, h.store, h.strategy,
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OAuth2AuthorizeImplicitFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2ClientCredentialsGrantFactory,
		//lint:ignore SA1019 servers still have this grant
		compose.OAuth2ResourceOwnerPasswordCredentialsFactory,
		compose.RFC7523AssertionGrantFactory, compose.OpenIDConnectHybridFactory,
		compose.PushedAuthorizeHandlerFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory,
		h.exchange.Factory)
	mux := http.NewServeMux()
	mux.Handle("/token", fositeexchange.ReadForm(http.HandlerFunc(h.token)))
	if h.unread {
		mux = http.NewServeMux()
		mux.HandleFunc("/token", h.token)
	}
	mux.HandleFunc("/authorize", h.authorize)
	mux.HandleFunc("/par", h.push)
	mux.HandleFunc("/introspect", h.introspect)
	mux.HandleFunc("/revoke", func(w http.ResponseWriter, r *http.Request) {
		h.provider.WriteRevocationResponse(r.Context(), w,
			h.provider.NewRevocationRequest(r.Context(), r))
	})
	h.web = httptest.NewServer(mux)
	t.Cleanup(h.web.Close)
}

// token is the token endpoint of fosite's documentation.
func (h *host) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	// The session has too many claims, and a host may grant scopes without checking them. Neither
	// may get into an exchanged token.
	session := h.session(cmp.Or(r.Header.Get("Session-Of"), "mallory"),
		map[string]any{"poison": "poison"})
	if r.PostFormValue("grant_type") == tokenexchange.GrantType {
		session = h.session("mallory",
			map[string]any{"poison": "poison", "act": map[string]any{"sub": "mallory"}})
	}
	ar, err := h.provider.NewAccessRequest(ctx, r, session)
	if err != nil {
		h.provider.WriteAccessError(ctx, w, ar, err)
		return
	}
	for _, scope := range ar.GetRequestedScopes() { // as some hosts do for every grant
		ar.GrantScope(scope)
	}
	for _, audience := range ar.GetRequestedAudience() {
		ar.GrantAudience(audience)
	}
	resp, err := h.provider.NewAccessResponse(ctx, ar)
	if err != nil {
		h.provider.WriteAccessError(ctx, w, ar, err)
		return
	}
	h.provider.WriteAccessResponse(ctx, w, ar, resp)
}

// authorize is the authorization endpoint. The parameter login names the user who has logged in.
func (h *host) authorize(w http.ResponseWriter, r *http.Request) {
	ar, err := h.provider.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		h.provider.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	for _, scope := range ar.GetRequestedScopes() {
		ar.GrantScope(scope)
	}
	for _, audience := range ar.GetRequestedAudience() {
		ar.GrantAudience(audience)
	}
	resp, err := h.provider.NewAuthorizeResponse(r.Context(), ar,
		h.session(r.FormValue("login"), nil))
	if err != nil {
		h.provider.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	h.provider.WriteAuthorizeResponse(r.Context(), w, ar, resp)
}

// push is the endpoint for pushed authorization requests (RFC 9126).
func (h *host) push(w http.ResponseWriter, r *http.Request) {
	ar, err := h.provider.NewPushedAuthorizeRequest(r.Context(), r)
	if err != nil {
		h.provider.WritePushedAuthorizeError(r.Context(), w, ar, err)
		return
	}
	resp, err := h.provider.NewPushedAuthorizeResponse(r.Context(), ar, h.session("", nil))
	if err != nil {
		h.provider.WritePushedAuthorizeError(r.Context(), w, ar, err)
		return
	}
	h.provider.WritePushedAuthorizeResponse(r.Context(), w, ar, resp)
}

func (h *host) introspect(w http.ResponseWriter, r *http.Request) {
	resp, err := h.provider.NewIntrospectionRequest(r.Context(), r, h.newSession())
	if err != nil {
		h.provider.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	h.provider.WriteIntrospectionResponse(r.Context(), w, resp)
}

// session returns the session of a login.
func (h *host) session(user string, claims map[string]any) fosite.Session {
	if h.sessions != nil {
		s := h.sessions(user)
		for name, value := range claims {
			s.(oauth2.JWTSessionContainer).GetJWTClaims().(*jwt.JWTClaims).Add(name, value)
		}
		return s
	}
	if h.format == jwtForm {
		s := &oauth2.JWTSession{Subject: user, JWTClaims: &jwt.JWTClaims{Subject: user}}
		for name, value := range claims {
			s.JWTClaims.Add(name, value)
		}
		return s
	}
	return &fosite.DefaultSession{Subject: user, Extra: claims}
}

// login describes an access token that fosite issues without an exchange.
type login struct {
	user     string // empty: client credentials
	client   string
	scope    []string
	audience []string
	lifetime time.Duration // zero is one hour
	claims   map[string]any
	typ      string // typ of a JWT; empty: that of fosite
	unscoped bool   // the granted scope is nil instead of empty
}

// logIn makes an access token by the means of fosite.
func (h *host) logIn(t testing.TB, l login) string {
	if l.lifetime == 0 {
		l.lifetime = time.Hour
	}
	r := fosite.NewAccessRequest(h.session(l.user, l.claims))
	r.GrantTypes = fosite.Arguments{"authorization_code"}
	if l.user == "" {
		r.GrantTypes = fosite.Arguments{"client_credentials"}
	}
	r.Client, r.Form = h.store.Clients[l.client], url.Values{"grant_type": r.GrantTypes}
	r.GetSession().SetExpiresAt(fosite.AccessToken,
		time.Now().Add(l.lifetime).UTC().Truncate(time.Second))
	for _, scope := range l.scope {
		r.GrantScope(scope)
	}
	for _, audience := range l.audience {
		r.GrantAudience(audience)
	}
	if l.unscoped {
		r.GrantedScope = nil
	}
	if s, isJWT := r.GetSession().(oauth2.JWTSessionContainer); isJWT && l.typ != "" {
		s.GetJWTHeader().Add("typ", l.typ)
	}
	resp := fosite.NewAccessResponse()
	helper := oauth2.HandleHelper{AccessTokenStrategy: h.strategy, AccessTokenStorage: h.store,
		Config: h.config}
	_, err := helper.IssueAccessToken(t.Context(), time.Hour, r, resp)
	require.NoError(t, err)
	return resp.GetAccessToken()
}

// idToken makes an ID token by the means of fosite.
func (h *host) idToken(t testing.TB, client string, claims jwt.IDTokenClaims) string {
	claims.Nonce = cmp.Or(claims.Nonce, "a nonce of the login")
	r := fosite.NewAccessRequest(&openid.DefaultSession{Claims: &claims, Subject: claims.Subject})
	r.Client = h.store.Clients[client]
	value, err := h.strategy.GenerateIDToken(t.Context(), time.Hour, r)
	require.NoError(t, err)
	return value
}

// reply is an HTTP response.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (r reply) token() string       { return fmt.Sprint(r.body["access_token"]) }
func (r reply) error() string       { return fmt.Sprint(r.body["error"]) }
func (r reply) description() string { return fmt.Sprint(r.body["error_description"]) }

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

// request returns a POST request of a client with a form as its body.
func (h *host) request(t testing.TB, path, client, body string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+path,
		strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret := h.clients[client].Secret; secret != "" {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	return r
}

func (h *host) post(t testing.TB, path, client string, f url.Values) reply {
	return h.send(t, h.request(t, path, client, f.Encode()))
}

// ask sends an exchange request. The pairs are names and values; token types are written without
// their urn prefix.
func (h *host) ask(t testing.TB, client string, pairs ...string) reply {
	return h.post(t, "/token", client, form(pairs...))
}

func form(pairs ...string) url.Values {
	f := url.Values{"grant_type": {tokenexchange.GrantType}}
	for pair := range slices.Chunk(pairs, 2) {
		f.Add(pair[0], pair[1])
	}
	for _, name := range []string{"subject_token", "actor_token"} {
		if f.Has(name) && !f.Has(name+"_type") {
			f.Set(name+"_type", "access_token")
		}
	}
	for name, values := range f {
		for i, value := range values {
			if strings.HasSuffix(name, "_token_type") && value != "" &&
				!strings.Contains(value, ":") {
				values[i] = "urn:ietf:params:oauth:token-type:" + value
			}
		}
	}
	return f
}

// active introspects an access token as another client. It returns the response, or nil if the
// token is not active.
func (h *host) active(t testing.TB, token string) map[string]any {
	got := h.post(t, "/introspect", "backend", url.Values{"token": {token}})
	if got.body["active"] != true {
		return nil
	}
	return got.body
}

// revoke revokes a token (RFC 7009) as the client that it was issued to.
func (h *host) revoke(t testing.TB, token string) {
	client := fmt.Sprint(h.active(t, token)["client_id"])
	require.Equal(t, http.StatusOK,
		h.post(t, "/revoke", client, url.Values{"token": {token}}).status)
	require.Nil(t, h.active(t, token))
}

// payload verifies a JWT of the server and returns its payload.
func (h *host) payload(t testing.TB, token string) []byte {
	_, err := h.strategy.Signer.Validate(t.Context(), token)
	require.NoError(t, err)
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	return text
}

func claims(t testing.TB, payload []byte) (c map[string]any) {
	require.NoError(t, json.Unmarshal(payload, &c))
	return c
}

// last returns the event of the last exchange.
func (h *host) last(t testing.TB) tokenexchange.Event {
	last := h.audit.Last()
	require.False(t, last.Time.IsZero(), "no event was recorded")
	return last
}

// allowAll is an authorizer that allows every actor.
type allowAll struct{}

func (allowAll) AuthorizeActor(context.Context, tokenexchange.Facts) error { return nil }
