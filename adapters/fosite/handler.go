package fositeexchange

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// Config is what a host adds to its fosite server. It is not changed by use, nor must the host change it afterwards.
type Config struct {
	// Exchanger lacks Tokens, and needs no Verify: access tokens are verified and issued by fosite's strategy and storage,
	// whatever these fields say. Verify may have further types: a tokenexchange.Verifier over the published keys for
	// TypeIDToken, whose Trust.Live says whether the session of an ID token lives (D29), and for the TypeJWT of other
	// issuers. Issuer must be the iss of the server's tokens.
	Exchanger tokenexchange.Exchanger

	// NewSession returns an empty session of the type that the host's storage keeps, each time a new one: an
	// *oauth2.JWTSession, a *fosite.DefaultSession, or one that embeds either and has a Clone of its own. JWT headers that it has, kid for one, are
	// kept; without typ it will be at+jwt. A session that cannot hold what was decided, act above all, ends the exchange.
	// Nil is a panic of Factory.
	NewSession func() fosite.Session

	// Client completes what the policy is told about an authenticated client: Audiences, the names under which it receives
	// tokens as an API (D04), and the keys that it proved in this request, as far as ctx knows them (D30). c has ID, Public
	// and Scope as registered. Nil: no audience but its ID, and no key.
	Client func(ctx context.Context, registered fosite.Client, c tokenexchange.Client) tokenexchange.Client

	// IDTokens signs ID tokens, with the key and the algorithm of the server's own. Nil: none are issued, and the scope
	// openid is treated as with a rule without IDToken.
	IDTokens *tokenexchange.JWTIssuer
}

// Factory is a compose.Factory. Storage must be an oauth2.AccessTokenStorage and strategy an oauth2.AccessTokenStrategy.
// What it makes handles the grant, and takes part in introspection: there it never vouches for a token, but objects to one
// whose origins have been revoked.
func (c Config) Factory(config fosite.Configurator, storage, strategy any) any {
	if c.NewSession == nil {
		panic("fositeexchange: a Config without NewSession")
	}
	return &handler{Config: c, fosite: config, storage: storage.(oauth2.AccessTokenStorage), strategy: strategy.(oauth2.AccessTokenStrategy)}
}

// handler is the grant. Nothing in it changes.
type handler struct {
	Config
	fosite   fosite.Configurator
	storage  oauth2.AccessTokenStorage
	strategy oauth2.AccessTokenStrategy
}

var (
	_ fosite.TokenEndpointHandler = (*handler)(nil)
	_ fosite.TokenIntrospector    = (*handler)(nil)
)

// CanHandleTokenEndpointRequest says yes to the grant type of RFC 8693.
func (h *handler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(tokenexchange.GrantType)
}

// CanSkipClientAuth says no. To a public client fosite has asked no secret; which of them may exchange is the policy's
// question (R09).
func (h *handler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest looks at what only the HTTP request shows, and whether the client has this grant. A refusal is
// audited as any other is (I07).
func (h *handler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	refused := admit(ctx, r.GetClient())
	if refused == nil {
		return nil
	}
	_, err := h.exchanger(r.GetClient()).Run(ctx, tokenexchange.GrantType, h.client(ctx, r.GetClient()),
		func(context.Context, time.Time) (tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
			return tokenexchange.Request{}, tokenexchange.Token{}, nil, refused
		})
	return answer(err)
}

// parameters must not be in the query (R01).
var parameters = []string{
	"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type",
	"audience", "resource", "scope", "authorization_details",
}

// admit returns why there is no exchange at all. Fosite has read the body already, of multipart forms too.
func admit(ctx context.Context, client fosite.Client) error {
	r, _ := ctx.Value(fosite.RequestContextKey).(*http.Request)
	if r == nil || r.PostForm == nil {
		return errors.New("the context does not have the HTTP request of fosite")
	}
	if problem := form.Read(nil, r, parameters); problem != nil {
		return &tokenexchange.Error{Code: tokenexchange.InvalidRequest, Reason: problem.Reason, Err: problem.Err}
	}
	if !slices.Contains(client.GetGrantTypes(), tokenexchange.GrantType) {
		return &tokenexchange.Error{Code: tokenexchange.UnauthorizedClient, Reason: "R09: the client is not registered for the grant"}
	}
	return nil
}

// PopulateTokenEndpointResponse makes the exchange. The form is that of the body, as it was sent.
func (h *handler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, w fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	resp, err := h.exchanger(r.GetClient()).Exchange(ctx, h.client(ctx, r.GetClient()), r.GetRequestForm())
	if err != nil {
		return answer(err)
	}
	w.SetAccessToken(resp.AccessToken)
	w.SetTokenType(resp.TokenType)
	w.SetExtra("issued_token_type", resp.IssuedTokenType)
	w.SetExtra("expires_in", resp.ExpiresIn)
	if resp.Scope != "" {
		w.SetExtra("scope", resp.Scope)
	}
	if resp.IDToken != "" {
		w.SetExtra("id_token", resp.IDToken)
	}
	return nil
}

// answer is the error as fosite writes it. Debug and hint stay empty, since fosite may be set to send them; the cause is
// for the host's log.
func answer(err error) error {
	e := tokenexchange.AsError(err)
	refusal := fosite.RFC6749Error{ErrorField: string(e.Code), DescriptionField: e.Description, CodeField: e.Code.Status()}
	return refusal.WithWrap(e)
}

// client is what the policy is told about a client.
func (h *handler) client(ctx context.Context, registered fosite.Client) tokenexchange.Client {
	c := tokenexchange.Client{ID: registered.GetID(), Public: registered.IsPublic(), Scope: slices.Clone(tokenexchange.Scope(registered.GetScopes()))}
	if h.Client != nil {
		c = h.Client(ctx, registered, c)
	}
	refresh := h.fosite.GetRefreshTokenScopes(ctx)
	c.Scope = slices.DeleteFunc(slices.Clone(c.Scope), func(scope string) bool {
		return scope == "offline_access" || slices.Contains(refresh, scope) || scope == "openid" && h.IDTokens == nil
	})
	return c
}

// exchange is one request on its way.
type exchange struct {
	*handler
	client  fosite.Client
	origins []string // signatures of the access tokens that were presented, and of those that they were made from
}

// exchanger returns the Exchanger for one request.
func (h *handler) exchanger(client fosite.Client) *tokenexchange.Exchanger {
	e := &exchange{handler: h, client: client}
	x := h.Exchanger // a copy
	x.Tokens = e
	x.Verify = make(tokenexchange.Verifiers, len(h.Exchanger.Verify)+2)
	for t, verify := range h.Exchanger.Verify {
		x.Verify[t] = noAccessToken(verify)
	}
	x.Verify[tokenexchange.TypeAccessToken] = e.verifyAccessToken
	x.Verify[tokenexchange.TypeJWT] = e.verifyJWT(x.Verify[tokenexchange.TypeJWT])
	return &x
}

// IntrospectToken fails for an exchanged token one of whose origins has been revoked, and otherwise leaves the answer to the
// other introspectors.
func (h *handler) IntrospectToken(ctx context.Context, token string, _ fosite.TokenUse, _ fosite.AccessRequester, _ []string) (fosite.TokenUse, error) {
	record, err := h.record(ctx, h.strategy.AccessTokenSignature(ctx, token))
	if err == nil && record != nil {
		err = h.alive(ctx, record)
	}
	if err != nil {
		return "", fosite.ErrInactiveToken.WithWrap(err)
	}
	return "", fosite.ErrUnknownRequest
}
