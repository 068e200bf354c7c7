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

// Grant is the token exchange grant of a server. It is safe for concurrent use, and must not change
// after the first use. Without Provider or Token every exchange is a server_error.
type Grant struct {
	// Provider has the storage, the key of opaque tokens and the keys that sign JWTs.
	Provider op.OpenIDProvider

	// Exchanger is set up as for any host. TokenIssuer and Issuer are set for each request, Issuer
	// to op.IssuerFromContext. A nil Verify means Verifiers.
	Exchanger tokenexchange.Exchanger

	// Token returns the record of an access token: at least Type, Issuer, Subject and Expires, and
	// everything that is known of an opaque token, which states nothing itself. TokenOf makes such
	// a record. A token that is unknown, revoked or whose session has ended is an error with Code
	// InvalidRequest; any other error is a failure (D07, I12).
	Token func(ctx context.Context, id string) (tokenexchange.Token, error)

	// Session returns nil if the session of an ID token of this server is live, and otherwise an
	// error as Token does (D29). If Session is nil, no ID token is accepted.
	Session func(ctx context.Context, idToken tokenexchange.Token) error

	// Client sets what an op.Client lacks: the registered scope, the names under which the client
	// receives tokens, and the keys that it has proved in this request. It cannot change ID, nor
	// clear Public for the authentication method none. If Client is nil, no scope is registered.
	Client func(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest],
		c *tokenexchange.Client) error

	// Claims adds claims to a JWT, as tokenexchange.JWTIssuer.Claims does. Nil adds none.
	Claims func(ctx context.Context, d tokenexchange.Decision, claims map[string]any) error
}

// TokenExchange is the method of op.Server. Its error is an op.StatusError with an oidc.Error that
// has the code and its fixed description; the cause is in Parent, for the host's log.
func (g *Grant) TokenExchange(ctx context.Context,
	r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	x := g.Exchanger // a copy
	x.Issuer = op.IssuerFromContext(ctx)
	x.TokenIssuer = &issuer{g, r.Client}
	if x.Verify == nil {
		x.Verify = g.Verifiers()
	}
	// The framework decodes the query as a part of the form, and one value of a repeated parameter.
	// The Exchanger reads the parsed body instead.
	request := &http.Request{Method: r.Method, URL: r.URL, Header: r.Header, PostForm: r.PostForm}
	request = request.WithContext(ctx)
	authenticated := tokenexchange.Client{ID: r.Client.GetID(),
		Public: r.Client.AuthMethod() == oidc.AuthMethodNone}
	resp, err := x.ExchangeRequest(request, authenticated, func(c *tokenexchange.Client) error {
		if g.Client == nil {
			return nil
		}
		err := g.Client(ctx, r, c)
		c.ID, c.Public = authenticated.ID, authenticated.Public || c.Public
		c.Scope = slices.DeleteFunc(slices.Clone(c.Scope), func(s string) bool {
			return s == oidc.ScopeOfflineAccess // no refresh token is issued (D28)
		})
		return err
	})
	if err == nil {
		noStore := http.Header{"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}}
		return &op.Response{Header: noStore, Data: resp}, nil
	}
	e := tokenexchange.AsError(err)
	converted, status := &oidc.Error{Description: e.Description, Parent: e}, e.Code.Status()
	reflect.ValueOf(&converted.ErrorType).Elem().SetString(string(e.Code)) // the type is unexported
	if r.Method != http.MethodPost {
		status = http.StatusMethodNotAllowed
	}
	return nil, op.NewStatusError(converted, status)
}

// NoStore is middleware for op.WithHTTPMiddleware. It adds Cache-Control: no-store to the response
// to each POST (RFC 6749 §5.1) and to each request with grant_type in its query. The framework adds
// no header to errors.
func NoStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || r.URL.Query().Has("grant_type") {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Pragma", "no-cache")
		}
		next.ServeHTTP(w, r)
	})
}
