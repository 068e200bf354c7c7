package fositeexchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// Config is what a host adds to its fosite server. It must not be changed once it is in use.
type Config struct {
	// Exchanger is what every host fills in, but for Tokens. Verify may be nil: access tokens are verified by fosite's strategy
	// and storage, whatever it says. ID tokens of the server and tokens of others need an entry, say a tokenexchange.Verifier,
	// whose Trust.Live then says whether the session of an ID token lives (D29).
	Exchanger tokenexchange.Exchanger

	// NewSession returns an empty session of the type that the storage keeps, a new one each time: *oauth2.JWTSession,
	// *fosite.DefaultSession, or one that embeds either and has a Clone of its own. JWT headers in it are kept; without typ it
	// gets at+jwt. Where it cannot say what was decided, act above all, or says more, nothing is issued. Nil panics in Factory.
	NewSession func() fosite.Session

	// Client adds what a fosite.Client does not say: Audiences, the names under which it receives tokens as an API (D04), and
	// the keys that it has proved in r (D30). Nil adds nothing.
	Client func(r *http.Request, registered fosite.Client, c *tokenexchange.Client) error

	// IDTokens signs ID tokens, with the key and the algorithm of the server's own. Nil: none are issued, and the scope openid
	// is treated as with a rule without IDToken (D23).
	IDTokens *tokenexchange.JWTIssuer
}

// Factory is a compose.Factory. A storage that is no oauth2.AccessTokenStorage, and a strategy that
// is no oauth2.AccessTokenStrategy, is a panic. Its handler handles the grant, and takes part in
// introspection: there it vouches for no token, but objects to one that was made from a revoked
// token, and to one whose subject or current actor Exchanger.Resolver refuses.
func (c Config) Factory(config fosite.Configurator, storage, strategy any) any {
	if c.NewSession == nil {
		panic("fositeexchange: a Config without NewSession")
	}
	return &handler{c, config, storage.(oauth2.AccessTokenStorage), strategy.(oauth2.AccessTokenStrategy)}
}

// ReadForm is middleware for the token endpoint, for all grants, before whatever else parses the form: fosite passes over
// what it cannot parse in a body, so that scope=%zz would be no scope at all. Without it, and where NewAccessResponse gets
// another context than that of the request, every exchange is a server_error.
func ReadForm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = form.Read(w, r, nil) // of a malformed body nothing is left; any other problem is found once more
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r)))
	})
}

type requestKey struct{}

// handler is the grant. Nothing in it changes.
type handler struct {
	Config
	fosite fosite.Configurator
	oauth2.AccessTokenStorage
	oauth2.AccessTokenStrategy
}

// CanHandleTokenEndpointRequest says yes to the grant type of RFC 8693. Fosite asks every handler
// about every request to the token endpoint before one of them makes a token, so this is where a
// client credentials grant gets its mark.
func (h *handler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	if r.GetGrantTypes().ExactOne(string(fosite.GrantTypeClientCredentials)) {
		r.GetSession().SetExpiresAt(sessionClient, r.GetRequestedAt())
	}
	return r.GetGrantTypes().ExactOne(tokenexchange.GrantType)
}

// CanSkipClientAuth says no. Fosite asks a public client for no secret; which of them may exchange is for rules to say (R09).
func (h *handler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest leaves everything for later, since the host may refuse the request yet.
func (h *handler) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return nil
}

// PopulateTokenEndpointResponse makes the exchange, from the form as it was sent.
func (h *handler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, w fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	request, read := ctx.Value(requestKey{}).(*http.Request)
	if !read {
		return answer(errors.New("fositeexchange: not behind ReadForm, or not in the context of the request"))
	}
	t := &tokens{handler: h, client: r.GetClient(), records: map[string]*fosite.Request{}}
	x := h.Exchanger // a copy
	x.TokenIssuer, x.Verify = t, tokenexchange.Verifiers{}
	for declared, verify := range h.Exchanger.Verify {
		if verify != nil {
			x.Verify[declared] = t.guard(verify)
		}
	}
	x.Verify[tokenexchange.TypeAccessToken], x.Verify[tokenexchange.TypeJWT] = t.verifyAccessToken, t.verifyJWT
	client := tokenexchange.Client{ID: t.client.GetID(), Public: t.client.IsPublic(), Scope: tokenexchange.Scope(t.client.GetScopes())}
	request = request.WithContext(ctx)
	resp, err := x.ExchangeRequest(request, client, func(c *tokenexchange.Client) error { return h.complete(request, t.client, c) })
	if err != nil {
		return answer(err)
	}
	w.SetAccessToken(resp.AccessToken)
	w.SetTokenType(resp.TokenType)
	w.SetExtra("expires_in", resp.ExpiresIn)
	for name, value := range map[string]string{"issued_token_type": string(resp.IssuedTokenType), "scope": resp.Scope, "id_token": resp.IDToken} {
		if value != "" {
			w.SetExtra(name, value)
		}
	}
	return nil
}

// answer is a refusal as fosite writes it. Hint and debug stay empty, since fosite may be set to send them. The cause is
// text, for the host's log: fosite would take an ErrUnknownRequest in it for no error.
func answer(err error) error {
	e := tokenexchange.AsError(err)
	refusal := fosite.RFC6749Error{ErrorField: string(e.Code), DescriptionField: e.Description, CodeField: e.Code.Status()}
	return refusal.WithWrap(errors.New(e.Error()))
}

// complete makes of a client what the policy is told. Scopes that ask for what is not issued here are no client's.
func (h *handler) complete(r *http.Request, registered fosite.Client, c *tokenexchange.Client) error {
	if !slices.Contains(registered.GetGrantTypes(), tokenexchange.GrantType) {
		return fmt.Errorf("%w: R09: not registered for the grant", tokenexchange.UnauthorizedClient)
	}
	var err error
	if h.Client != nil {
		err = h.Client(r, registered, c)
	}
	off := slices.Concat(h.fosite.GetRefreshTokenScopes(r.Context()), []string{"offline_access"})
	if h.IDTokens == nil {
		off = append(off, "openid")
	}
	c.Scope = slices.DeleteFunc(slices.Clone(c.Scope), func(scope string) bool { return slices.Contains(off, scope) })
	return err
}
