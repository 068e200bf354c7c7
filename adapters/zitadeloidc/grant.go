package zitadelexchange

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Grant is the token exchange grant of a server. It must not be changed once it is in use; then any number of requests may
// share it. One that lacks Provider or Token answers exchanges with server_error.
type Grant struct {
	// Provider has the storage that makes the tokens, the key of opaque ones and the keys that sign JWTs.
	Provider op.OpenIDProvider

	// Exchanger is what every host fills in. Issuer and Tokens are set for each request, the issuer to that of the request
	// (op.IssuerFromContext). A nil Verify is Verifiers.
	Exchanger tokenexchange.Exchanger

	// Token returns what the host has on record about an access token: at least Type, Issuer, Subject and Expires, and of an
	// opaque token all that is known, since that says nothing itself. TokenOf makes such a record. A token that is unknown,
	// revoked, or whose session has ended, is an error with the code InvalidRequest; any other error is a failure (D07, I12).
	Token func(ctx context.Context, id string) (tokenexchange.Token, error)

	// Client says what an op.Client does not: for which scopes it is registered, under which names it receives tokens, which
	// keys it has proved in this request. The framework has authenticated it; ID is its own and Public set where its
	// authentication method is none, whatever is returned here. Nil: it is registered for no scope.
	Client func(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (tokenexchange.Client, error)
}

// TokenExchange is op.Server's method of that name. An error of it is an op.StatusError, and holds an oidc.Error with the
// code and its fixed description.
func (g *Grant) TokenExchange(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	x := g.Exchanger
	x.Issuer = op.IssuerFromContext(ctx)
	x.Tokens = &issuer{Grant: g, client: r.Client}
	if x.Verify == nil {
		x.Verify = g.Verifiers()
	}
	authenticated := func(*http.Request) (tokenexchange.Client, error) { return g.client(ctx, r) }
	// What the framework has decoded took the query for a part of the form, and of a repeated parameter one value. The engine
	// reads the form that the framework has parsed, and of that the body only.
	request := &http.Request{Method: r.Method, URL: r.URL, Header: r.Header, PostForm: r.PostForm, Body: http.NoBody}
	a := answer{header: http.Header{}}
	x.Handler(authenticated).ServeHTTP(&a, request.WithContext(ctx))
	return a.forFramework()
}

// client is the authenticated client as the engine knows it. Refresh tokens are off (D23), so no client is registered for
// the scope that asks for one.
func (g *Grant) client(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (c tokenexchange.Client, err error) {
	if g.Client != nil {
		if c, err = g.Client(ctx, r); err != nil {
			return tokenexchange.Client{}, err
		}
	}
	c.ID = r.Client.GetID()
	c.Public = c.Public || r.Client.AuthMethod() == oidc.AuthMethodNone
	c.Scope = slices.DeleteFunc(slices.Clone(c.Scope), func(s string) bool { return s == oidc.ScopeOfflineAccess })
	return c, nil
}

// answer takes down what the engine answers, for the framework to send.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

func (a *answer) forFramework() (*op.Response, error) {
	if a.status != http.StatusOK {
		refused := &oidc.Error{}
		if err := json.Unmarshal(a.body, refused); err != nil {
			return nil, err
		}
		return nil, op.NewStatusError(refused, a.status)
	}
	var granted tokenexchange.Response
	if err := json.Unmarshal(a.body, &granted); err != nil {
		return nil, err
	}
	a.header.Del("Content-Length") // the framework's encoder adds a line break
	return &op.Response{Header: a.header, Data: granted}, nil
}

// NoStore is middleware for op.WithHTTPMiddleware. It forbids to store the answer to any POST (RFC 6749 §5.1), and to any
// request that names a grant, since the framework sends errors with no other headers than those that are there already.
func NoStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || r.URL.Query().Has("grant_type") {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Pragma", "no-cache")
		}
		next.ServeHTTP(w, r)
	})
}
