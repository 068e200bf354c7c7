package fositeexchange

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// Config adds token exchange to a fosite server. It must not change once it is in use.
type Config struct {
	// Exchanger is set up as for any host, without TokenIssuer. Verify may be nil, since fosite's
	// strategy and storage verify access tokens. ID tokens of this server and tokens of other
	// issuers need an entry, such as a tokenexchange.Verifier; its Trust.Live then decides whether
	// the session of an ID token is live (D29).
	Exchanger tokenexchange.Exchanger

	// NewSession returns a new, empty session of the type of the storage: *oauth2.JWTSession,
	// *fosite.DefaultSession, or a type that embeds one of them and has its own Clone. JWT headers
	// in the session are kept; typ is at+jwt by default. No token is issued if the session cannot
	// hold the decided claims, act above all, or has others. Factory panics if NewSession is nil.
	NewSession func() fosite.Session

	// Client sets what a fosite.Client lacks: Audiences, the names under which the client receives
	// tokens as an API (D04), and the keys that the client has proved in r (D30). Nil sets nothing.
	Client func(r *http.Request, registered fosite.Client, c *tokenexchange.Client) error

	// IDTokens signs ID tokens, with the server's own key and algorithm. Nil means that no ID token
	// is issued, and that no client has the scope openid (D23).
	IDTokens *tokenexchange.JWTIssuer
}

// Factory is a compose.Factory. It panics if the storage is not an oauth2.AccessTokenStorage, or
// the strategy is not an oauth2.AccessTokenStrategy. Its handler handles the exchange grant. At
// introspection it accepts no token, but refuses a token that was made from a revoked token, and a
// token whose subject or current actor Exchanger.Resolver refuses.
func (c Config) Factory(config fosite.Configurator, storage, strategy any) any {
	if c.NewSession == nil {
		panic("fositeexchange: a Config without NewSession")
	}
	return &handler{c, config, storage.(oauth2.AccessTokenStorage),
		strategy.(oauth2.AccessTokenStrategy)}
}

// ReadForm is middleware for the token endpoint and all of its grants. It must come before anything
// that parses the form: fosite ignores what it cannot parse in a body, so that scope=%zz would mean
// no scope. Without ReadForm, and if NewAccessResponse gets a context that is not derived from that
// of the request, every exchange is a server_error.
func ReadForm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = form.Read(w, r, nil) // clears a malformed form; the exchange finds other faults again
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r)))
	})
}

type requestKey struct{}

// handler handles the exchange grant. It is immutable.
type handler struct {
	Config
	fosite fosite.Configurator
	oauth2.AccessTokenStorage
	oauth2.AccessTokenStrategy
}

// CanHandleTokenEndpointRequest returns true for the grant type of RFC 8693. Fosite calls every
// handler for every token request before a token is made, so the session of a client credentials
// grant is marked here.
func (h *handler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	if r.GetGrantTypes().ExactOne(string(fosite.GrantTypeClientCredentials)) {
		r.GetSession().SetExpiresAt(sessionClient, r.GetRequestedAt())
	}
	return r.GetGrantTypes().ExactOne(tokenexchange.GrantType)
}

// CanSkipClientAuth returns false. Fosite asks a public client for no secret anyway; the rules
// decide which public clients may exchange (R09).
func (h *handler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest does nothing, since the host may still refuse the request.
func (h *handler) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return nil
}

// PopulateTokenEndpointResponse makes the exchange. It reads the form that the client sent.
func (h *handler) PopulateTokenEndpointResponse(
	ctx context.Context, r fosite.AccessRequester, w fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	request, ok := ctx.Value(requestKey{}).(*http.Request)
	if !ok {
		return asFositeError(errors.New("fositeexchange: the context has no request of ReadForm"))
	}
	t := &tokens{handler: h, client: r.GetClient(), records: map[string]*fosite.Request{}}
	x := h.Exchanger // a copy
	x.TokenIssuer, x.Verify = t, tokenexchange.Verifiers{}
	for declared, verify := range h.Exchanger.Verify {
		if verify != nil {
			x.Verify[declared] = t.guard(verify)
		}
	}
	x.Verify[tokenexchange.TypeAccessToken] = t.verifyAccessToken
	x.Verify[tokenexchange.TypeJWT] = t.verifyJWT
	client := tokenexchange.Client{ID: t.client.GetID(), Public: t.client.IsPublic(),
		Scope: tokenexchange.Scope(t.client.GetScopes())}
	request = request.WithContext(ctx)
	resp, err := x.ExchangeRequest(request, client, func(c *tokenexchange.Client) error {
		return h.complete(request, t.client, c)
	})
	if err != nil {
		return asFositeError(err)
	}
	w.SetAccessToken(resp.AccessToken)
	w.SetTokenType(resp.TokenType)
	w.SetExtra("expires_in", resp.ExpiresIn)
	for name, value := range map[string]string{"scope": resp.Scope, "id_token": resp.IDToken,
		"issued_token_type": string(resp.IssuedTokenType)} {
		if value != "" {
			w.SetExtra(name, value)
		}
	}
	return nil
}

// asFositeError converts a refusal. Hint and debug stay empty, since fosite may be configured to
// send them. The cause is converted to text for the host's log, because fosite takes an
// ErrUnknownRequest in the chain of causes for success.
func asFositeError(err error) error {
	e := tokenexchange.AsError(err)
	converted := fosite.RFC6749Error{ErrorField: string(e.Code), DescriptionField: e.Description,
		CodeField: e.Code.Status()}
	return converted.WithWrap(errors.New(e.Error()))
}

// complete sets the fields of a client that a fosite.Client lacks. It removes the scopes that ask
// for a token which is not issued here.
func (h *handler) complete(
	r *http.Request, registered fosite.Client, c *tokenexchange.Client) (err error) {
	if !slices.Contains(registered.GetGrantTypes(), tokenexchange.GrantType) {
		return refusal.New(tokenexchange.UnauthorizedClient, "grant_not_registered",
			"client %q is not registered for grant type %q (R09)", c.ID, tokenexchange.GrantType)
	}
	if h.Client != nil {
		err = h.Client(r, registered, c)
	}
	excluded := append([]string{"offline_access"}, h.fosite.GetRefreshTokenScopes(r.Context())...)
	if h.IDTokens == nil {
		excluded = append(excluded, "openid")
	}
	c.Scope = slices.DeleteFunc(slices.Clone(c.Scope), func(scope string) bool {
		return slices.Contains(excluded, scope)
	})
	return err
}
