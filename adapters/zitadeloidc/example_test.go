package zitadelexchange_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	zitadelexchange "github.com/go-tokenexchange/tokenexchange/adapters/zitadeloidc"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// store is the storage of the host: the framework's example with its own token records.
type store struct {
	*storage.Storage
	tokens sync.Map // tokenexchange.Token, by id
}

func (s *store) RevokeToken(_ context.Context, id, _, client string) *oidc.Error {
	if t, ok := s.tokens.Load(id); ok && t.(tokenexchange.Token).ClientID == client {
		s.tokens.Delete(id)
	}
	return nil
}

// The code of the host begins here.

// server is the framework's server with one method replaced.
type server struct {
	*op.LegacyServer
	grant *zitadelexchange.Grant
}

func (s server) TokenExchange(ctx context.Context,
	r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	return s.grant.TokenExchange(ctx, r)
}

func newServer(provider op.OpenIDProvider, s *store, x tokenexchange.Exchanger) http.Handler {
	grant := &zitadelexchange.Grant{Provider: provider, Exchanger: x, Token: s.token,
		Client: func(_ context.Context, _ *op.ClientRequest[oidc.TokenExchangeRequest],
			c *tokenexchange.Client) error {
			c.Scope = tokenexchange.Scope{"profile", "email"} // the registered scope
			return nil
		}}
	return op.RegisterLegacyServer(
		server{op.NewLegacyServer(provider, *op.DefaultEndpoints), grant},
		op.AuthorizeCallbackHandler(provider), op.WithHTTPMiddleware(zitadelexchange.NoStore))
}

// CreateAccessToken keeps a record of every access token, and does not exceed the decided expiry.
func (s *store) CreateAccessToken(ctx context.Context,
	r op.TokenRequest) (string, time.Time, error) {
	id, expires := uuid.NewString(), time.Now().Add(time.Hour)
	if exchange, ok := r.(zitadelexchange.Request); ok &&
		exchange.Decision.Expires.Before(expires) {
		expires = exchange.Decision.Expires
	}
	s.tokens.Store(id, zitadelexchange.TokenOf(ctx, id, expires, r))
	return id, expires, nil
}

func (s *store) token(_ context.Context, id string) (tokenexchange.Token, error) {
	if t, ok := s.tokens.Load(id); ok {
		return t.(tokenexchange.Token), nil
	}
	return tokenexchange.Token{}, fmt.Errorf("%w: unknown or revoked", tokenexchange.InvalidRequest)
}

// The code of the host ends here.

// A host replaces one method of the framework's server, keeps records of its access tokens, and
// sets up an Exchanger.
func Example() {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the framework logs every route
	clients := map[string]*storage.Client{"web": storage.WebClient("web", "secret")}
	s := &store{
		Storage: storage.NewStorageWithClients(storage.NewUserStore("https://as.example"), clients)}
	provider, err := op.NewProvider(&op.Config{CryptoKey: [32]byte{1}}, s,
		op.StaticIssuer("https://as.example"))
	if err != nil {
		panic(err)
	}
	policy, err := tokenexchange.NewPolicy(tokenexchange.Rule{
		Name: "narrow", Narrow: &tokenexchange.Narrowing{}, Clients: []string{"web"},
		Subjects:     []tokenexchange.Identity{{Kind: tokenexchange.KindUser, ID: "*"}},
		SubjectTypes: []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Types:        []tokenexchange.TokenType{tokenexchange.TypeAccessToken},
		Scope:        tokenexchange.Scope{"*"}, SubjectAudience: true, Lifetime: 5 * time.Minute,
	})
	if err != nil {
		panic(err)
	}
	web := httptest.NewServer(newServer(provider, s, tokenexchange.Exchanger{
		Resolver: tokenexchangetest.NewDirectory(tokenexchange.Subject{
			Identity: tokenexchange.Identity{Issuer: "https://as.example",
				Kind: tokenexchange.KindUser, ID: "id1"}}),
		Decide:     policy.Decide,
		Authorizer: &tokenexchangetest.Authorizer{}, // refuses every actor; a narrowing has none
		Audit:      &tokenexchangetest.Recorder{},
	}))
	defer web.Close()

	// A user has logged in at the client web, which now narrows the token.
	ctx := op.ContextWithIssuer(context.Background(), "https://as.example")
	token, _, _, err := op.CreateAccessToken(ctx,
		login{subject: "id1", client: "web", audience: []string{"https://api.example"},
			scope: []string{"profile", "email"}}, op.AccessTokenTypeBearer, provider,
		clients["web"],
		"")
	if err != nil {
		panic(err)
	}
	resp, err := http.PostForm(web.URL+"/oauth/token", url.Values{
		"grant_type": {tokenexchange.GrantType}, "client_id": {"web"}, "client_secret": {"secret"},
		"subject_token": {token}, "subject_token_type": {string(tokenexchange.TypeAccessToken)},
		"scope": {"email"},
	})
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var answer tokenexchange.Response
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		panic(err)
	}
	fmt.Println(resp.Status, resp.Header.Get("Cache-Control"))
	fmt.Println(answer.IssuedTokenType)
	fmt.Println(answer.TokenType, answer.ExpiresIn, answer.Scope)
	// Output:
	// 200 OK no-store
	// urn:ietf:params:oauth:token-type:access_token
	// Bearer 300 email
}
