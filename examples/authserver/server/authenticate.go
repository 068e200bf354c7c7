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

// longestAssertion is the longest lifetime of a client assertion. Its jti is remembered that long.
const longestAssertion = 10 * time.Minute

// authenticate returns the client that sent a request, and checks that it may use the grant; an
// empty grant is for endpoints that are not a grant. The form has been read. The reason for a
// refusal goes to the log, and the client is told a code.
func (s *Server) authenticate(grant string) func(*http.Request) (tokenexchange.Client, error) {
	return func(r *http.Request) (tokenexchange.Client, error) {
		c, err := s.identify(r)
		if err == nil && grant != "" && !slices.Contains(c.Grants, grant) {
			err = fmt.Errorf("%w: the client is not registered for this grant",
				tokenexchange.UnauthorizedClient)
		}
		if err != nil {
			s.Log.WarnContext(r.Context(), "client refused", slog.String("path", r.URL.Path),
				slog.String("client", c.ID),
				slog.String("grant", grant), slog.String("cause", err.Error()))
			return tokenexchange.Client{}, err
		}
		return c.Registered(), nil
	}
}

func unauthenticated(why string) error {
	return fmt.Errorf("%w: %s", tokenexchange.InvalidClient, why)
}

// identify uses the one method by which the request authenticates. An error comes with the client
// that was tried.
func (s *Server) identify(r *http.Request) (world.Client, error) {
	form := r.PostForm
	id, secret, assertion := form.Get("client_id"), form.Get("client_secret"), form.Get(
		"client_assertion")
	header := len(r.Header.Values("Authorization"))
	if header > 1 || header == 1 && secret+assertion != "" || secret != "" && assertion != "" {
		return world.Client{}, fmt.Errorf("%w: more than one method of client authentication",
			tokenexchange.InvalidRequest)
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

// byBasic is client_secret_basic. User and password are form-encoded inside the base64 (RFC 6749
// §2.3.1).
func (s *Server) byBasic(r *http.Request, named string) (world.Client, error) {
	user, password, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if !ok || errID != nil || errSecret != nil || cmp.Or(named, id) != id {
		return world.Client{},
			unauthenticated("the Basic credentials are malformed, or not those of client_id")
	}
	return s.bySecret(id, secret, world.SecretBasic)
}

// bySecret is client_secret_basic and client_secret_post. It takes the same time for a client that
// is unknown, public, disabled or without a secret.
func (s *Server) bySecret(id, secret, method string) (world.Client, error) {
	c, _ := s.Directory.Client(id)
	if !s.Directory.Secrets.Match(c.SecretHash, secret) {
		return world.Client{}, unauthenticated("the client is unknown or the secret is wrong")
	}
	return s.admit(c, method)
}

// byName is for public clients, which send their id alone.
func (s *Server) byName(id string) (world.Client, error) {
	c, known := s.Directory.Client(id)
	if !known || !c.Public() {
		return world.Client{}, unauthenticated("no credentials, and no public client of this id")
	}
	return s.admit(c, "")
}

// byAssertion is private_key_jwt (RFC 7523 §3). The assertion is signed with a key of the client,
// is about the client, has this issuer as its only audience, expires soon, and has not been used
// before.
func (s *Server) byAssertion(r *http.Request, named string) (world.Client, error) {
	if r.PostForm.Get("client_assertion_type") != jwtBearer {
		return world.Client{}, unauthenticated("client_assertion_type is not " + jwtBearer)
	}
	now := s.clock()
	// There is no Client in the credential: a statement of a client about itself would be refused,
	// as it is wherever a client presents one as a token.
	tok, err := s.Tokens.Verify(r.Context(),
		tokenexchange.Credential{Token: r.PostForm.Get("client_assertion"),
			Type: tokenexchange.TypeJWT, Issuer: s.Issuer, Now: now})
	if err != nil {
		return world.Client{}, asClientError(err)
	}
	c, known := s.Directory.Client(tok.Issuer)
	switch {
	case !known:
		return world.Client{}, unauthenticated("the issuer of the assertion is not a client")
	case tok.Subject != c.ID || cmp.Or(named, c.ID) != c.ID:
		return c, unauthenticated("the assertion is about another party")
	case !hasID(tok):
		return c, unauthenticated("the assertion has no jti") // OpenID Connect Core §9
	case tok.Expires.After(now.Add(longestAssertion)):
		return c, unauthenticated("the assertion expires too late")
	}
	if c, err = s.admit(c, world.PrivateKeyJWT); err != nil {
		return c, err
	}
	return c, asClientError(s.Tokens.Once(r.Context(), now, "client_assertion", c.ID, tok.ID,
		tok.Expires))
}

// hasID reports whether a token has a jti. Without one, Token.ID is a hash, which is the same for
// two assertions that a client signs in one second.
func hasID(tok tokenexchange.Token) bool {
	claims, err := tokenexchange.ParseToken(tok.Claims)
	return err == nil && claims.ID != ""
}

// asClientError turns a refusal of the assertion into invalid_client. A failure stays a failure.
func asClientError(err error) error {
	if err == nil || tokenexchange.AsError(err).Code.Status() >= http.StatusInternalServerError {
		return err
	}
	return errors.Join(tokenexchange.InvalidClient, err)
}

// admit checks that the client may use the method, and that it is enabled.
func (s *Server) admit(c world.Client, method string) (world.Client, error) {
	switch {
	case method != "" && !slices.Contains(c.AuthMethods, method):
		return c, unauthenticated("the client does not authenticate by " + method)
	case !c.Status.Enabled():
		return c, unauthenticated("the client is disabled")
	}
	return c, nil
}
