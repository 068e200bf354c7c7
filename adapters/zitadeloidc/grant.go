package zitadelexchange

import (
	"context"
	"net/http"
	"reflect"
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

	// Session says whether the session of one of the server's own ID tokens lives: nil if it does, else an error as of Token
	// (D29). Without Session no ID token is accepted.
	Session func(ctx context.Context, idToken tokenexchange.Token) error

	// Client adds to a client what an op.Client does not say: for which scopes it is registered, under which names it receives
	// tokens, which keys it has proved in this request. ID stays what it is, and a client whose authentication method is
	// none stays Public. Without Client it is registered for no scope.
	Client func(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest], c *tokenexchange.Client) error

	// Claims adds claims to a JWT, as tokenexchange.JWTIssuer.Claims says. Without Claims there are none to add.
	Claims func(ctx context.Context, d tokenexchange.Decision, claims map[string]any) error
}

// TokenExchange is op.Server's method of that name. An error of it is an op.StatusError, and holds an oidc.Error with the
// code and its fixed description; the cause is the parent of that, for the host's log.
func (g *Grant) TokenExchange(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	x := g.Exchanger // a copy
	x.Issuer = op.IssuerFromContext(ctx)
	x.TokenIssuer = &issuer{g, r.Client}
	if x.Verify == nil {
		x.Verify = g.Verifiers()
	}
	// What the framework has decoded took the query for a part of the form, and of a repeated parameter one value. The engine
	// reads the form that the framework has parsed, and of that the body only.
	request := (&http.Request{Method: r.Method, URL: r.URL, Header: r.Header, PostForm: r.PostForm}).WithContext(ctx)
	known := tokenexchange.Client{ID: r.Client.GetID(), Public: r.Client.AuthMethod() == oidc.AuthMethodNone}
	resp, err := x.ExchangeRequest(request, known, func(c *tokenexchange.Client) error {
		if g.Client == nil {
			return nil
		}
		err := g.Client(ctx, r, c)
		c.ID, c.Public = known.ID, known.Public || c.Public
		// There are no refresh tokens here (D28), so no client is registered for the scope that asks for one.
		c.Scope = slices.DeleteFunc(slices.Clone(c.Scope), func(s string) bool { return s == oidc.ScopeOfflineAccess })
		return err
	})
	if err == nil {
		return &op.Response{Header: http.Header{"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}}, Data: resp}, nil
	}
	e := tokenexchange.AsError(err)
	refusal, status := &oidc.Error{Description: e.Description, Parent: e}, e.Code.Status()
	reflect.ValueOf(&refusal.ErrorType).Elem().SetString(string(e.Code)) // its type has no name outside its package
	if r.Method != http.MethodPost {
		status = http.StatusMethodNotAllowed
	}
	return nil, op.NewStatusError(refusal, status)
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
