package server

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// jwtBearer is the client_assertion_type of private_key_jwt (RFC 7523 §2.2).
const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// longestAssertion is how far the expiry of a client assertion may be away. So long its jti is remembered.
const longestAssertion = 10 * time.Minute

// authenticate says which client a request is from, and that it may use the grant; an empty grant is for endpoints that
// are no grant. The form has been read. What goes wrong is on record with its reason; the client is told a code.
func (s *Server) authenticate(grant string) func(*http.Request) (tokenexchange.Client, error) {
	return func(r *http.Request) (tokenexchange.Client, error) {
		c, err := s.identify(r)
		if err == nil && grant != "" && !slices.Contains(c.Grants, grant) {
			err = fmt.Errorf("%w: not registered for this grant", tokenexchange.UnauthorizedClient)
		}
		if err != nil {
			s.Log.WarnContext(r.Context(), "client refused", slog.String("path", r.URL.Path), slog.String("client", c.ID),
				slog.String("grant", grant), slog.String("cause", err.Error()))
			return tokenexchange.Client{}, err
		}
		return c.Registered(), nil
	}
}

func unauthenticated(why string) error {
	return fmt.Errorf("%w: %s", tokenexchange.InvalidClient, why)
}

// identify picks the one way in which the request authenticates. The client in an error is the one that was tried.
func (s *Server) identify(r *http.Request) (world.Client, error) {
	form := r.PostForm
	id, secret, assertion := form.Get("client_id"), form.Get("client_secret"), form.Get("client_assertion")
	header := len(r.Header.Values("Authorization"))
	if header > 1 || header == 1 && secret+assertion != "" || secret != "" && assertion != "" {
		return world.Client{}, fmt.Errorf("%w: more than one way of client authentication", tokenexchange.InvalidRequest)
	}
	switch {
	case header == 1:
		return s.byBasic(r, id)
	case assertion != "":
		return s.byAssertion(r, id)
	case secret != "":
		return s.bySecret(id, secret, world.SecretPost)
	}
	return s.byName(id)
}

// byBasic is client_secret_basic. User and password are form-encoded below the base64 (RFC 6749 §2.3.1).
func (s *Server) byBasic(r *http.Request, named string) (world.Client, error) {
	user, password, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if !ok || errID != nil || errSecret != nil || cmp.Or(named, id) != id {
		return world.Client{}, unauthenticated("malformed Basic credentials, or of another client than client_id")
	}
	return s.bySecret(id, secret, world.SecretBasic)
}

// bySecret is client_secret_basic and client_secret_post. It takes the same time for a client that
// is unknown, public, disabled or without a secret.
func (s *Server) bySecret(id, secret, method string) (world.Client, error) {
	c, _ := s.Directory.Client(id)
	if !s.Directory.Secrets.Match(c.SecretHash, secret) {
		return world.Client{}, unauthenticated("an unknown client, or a wrong secret")
	}
	return s.admit(c, method)
}

// byName is for public clients, which have nothing to show but their name.
func (s *Server) byName(id string) (world.Client, error) {
	c, known := s.Directory.Client(id)
	if !known || !c.Public() {
		return world.Client{}, unauthenticated("no credentials, and not those of a public client")
	}
	return s.admit(c, "")
}

// byAssertion is private_key_jwt (RFC 7523 §3): signed with a key of the client, about the client, for this issuer and
// nobody else, soon over, and seen for the first time.
func (s *Server) byAssertion(r *http.Request, named string) (world.Client, error) {
	if r.PostForm.Get("client_assertion_type") != jwtBearer {
		return world.Client{}, unauthenticated("another client_assertion_type")
	}
	now := s.clock()
	// The Client is left out: a token of the client about itself is refused wherever a client presents it as a token.
	tok, err := s.Tokens.Verify(r.Context(), tokenexchange.Credential{Token: r.PostForm.Get("client_assertion"),
		Type: tokenexchange.TypeJWT, Issuer: s.Issuer, Now: now})
	if err != nil {
		return world.Client{}, asClientError(err)
	}
	c, known := s.Directory.Client(tok.Issuer)
	switch {
	case !known:
		return world.Client{}, unauthenticated("the assertion is of an issuer that is no client")
	case tok.Subject != c.ID || cmp.Or(named, c.ID) != c.ID:
		return c, unauthenticated("the assertion is about somebody else")
	case !hasID(tok):
		return c, unauthenticated("the assertion has no jti") // OpenID Connect Core §9
	case tok.Expires.After(now.Add(longestAssertion)):
		return c, unauthenticated("the assertion is good for too long")
	}
	if c, err = s.admit(c, world.PrivateKeyJWT); err != nil {
		return c, err
	}
	return c, asClientError(s.Tokens.Once(r.Context(), now, "client_assertion", c.ID, tok.ID, tok.Expires))
}

// hasID reports whether a token says its own jti. Token.ID is a hash where it does not, and two assertions that a client
// makes in one second would have the same.
func hasID(tok tokenexchange.Token) bool {
	said, err := tokenexchange.ParseToken(tok.Claims)
	return err == nil && said.ID != ""
}

// asClientError makes of a refusal of the assertion one of the client; a failure stays one.
func asClientError(err error) error {
	if err == nil || tokenexchange.AsError(err).Code.Status() >= http.StatusInternalServerError {
		return err
	}
	return errors.Join(tokenexchange.InvalidClient, err)
}

// admit is the end of each way: the client may use this method, and it is enabled.
func (s *Server) admit(c world.Client, method string) (world.Client, error) {
	switch {
	case method != "" && !slices.Contains(c.AuthMethods, method):
		return c, unauthenticated("the client does not authenticate by " + method)
	case !c.Status.Enabled():
		return c, unauthenticated("the client is disabled")
	}
	return c, nil
}
