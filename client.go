package tokenexchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// ClientConfig is the other side of the wire: it asks an authorization server for exchanged tokens (RFC 8693 §2.1). It is
// not changed by use and must not be changed once it is in use; then any number of goroutines may share it. It never
// prints the client's secret.
//
// An AuthStyle of zero does not probe, which would send the tokens twice: it is the header for a client with a secret,
// and the form for one without. Redirects are never followed.
//
// A source gives its AccessToken; for a declared type of TypeIDToken its id_token where it has one, for TypeRefreshToken
// its RefreshToken. A declared type that is empty is TypeAccessToken.
type ClientConfig struct {
	Server  clientcredentials.Config // id, secret, token URL, and parameters of the host; its Scopes only where Request.Scope is nil
	Request Request                  // types, targets, scope; its tokens must be empty
	Subject oauth2.TokenSource       // nil is an error
	Actor   oauth2.TokenSource       // nil: no actor token
}

// TokenSource exchanges when it is first asked, and again shortly before what it got expires, with fresh tokens of the
// sources; a refresh token in the answer is not used. An answer without expires_in is kept for good, as x/oauth2 does.
// It is for one subject and one actor: that a source has begun to speak of somebody else goes unnoticed until renewal.
// ctx is kept for all exchanges, and may carry an oauth2.HTTPClient.
//
// Only a token_type of Bearer or DPoP is a scheme to send a token with; N_A and others are an error, use Exchange.
// A server answers DPoP only to an HTTP client that proves a key (RFC 9449 §5), and proofs are the business of that client
// and of the Base of the oauth2.Transport alike: without one a resource server refuses the token, it never becomes a bearer token.
func (c *ClientConfig) TokenSource(ctx context.Context) oauth2.TokenSource {
	return oauth2.ReuseTokenSource(nil, clientSource{ctx, c})
}

type clientSource struct {
	ctx    context.Context
	config *ClientConfig
}

// Token does one exchange and returns what may be sent with an Authorization header.
func (s clientSource) Token() (*oauth2.Token, error) {
	tok, err := s.config.retrieve(s.ctx)
	if err == nil && !strings.EqualFold(tok.TokenType, bearer) && !strings.EqualFold(tok.TokenType, dpop) {
		return nil, errors.New("tokenexchange: the token_type of the issued token is no scheme to send it with; use Exchange")
	}
	return tok, err
}

// Exchange does one exchange, now, whatever the type of the result. ExpiresIn is zero and Scope empty where the server
// does not say; the scope is then what was asked for (RFC 6749 §5.1).
//
// A refusal is an *oauth2.RetrieveError, to be found with errors.As; the tokens and the secret that were sent are taken
// out of it. An answer without token_type or issued_token_type is an error (RFC 8693 §2.2.1), and so is another type than
// the one requested: who does not rely on a type requests none.
func (c *ClientConfig) Exchange(ctx context.Context) (Response, error) {
	tok, err := c.retrieve(ctx)
	if err != nil {
		return Response{}, err
	}
	r := Response{
		AccessToken:     tok.AccessToken,
		IssuedTokenType: TokenType(extra(tok, "issued_token_type")),
		TokenType:       tok.TokenType,
		Scope:           extra(tok, "scope"),
		RefreshToken:    tok.RefreshToken,
		IDToken:         extra(tok, "id_token"),
	}
	if !tok.Expiry.IsZero() {
		r.ExpiresIn = int64(math.Round(time.Until(tok.Expiry).Seconds()))
	}
	return r, nil
}

// retrieve does one exchange. It builds a Config of its own, since the host may be using Server at the same time, as the
// source of actor tokens.
func (c *ClientConfig) retrieve(ctx context.Context) (*oauth2.Token, error) {
	form, err := c.form()
	if err != nil {
		return nil, fmt.Errorf("tokenexchange: %w", err)
	}
	server := clientcredentials.Config{ClientID: c.Server.ClientID, ClientSecret: c.Server.ClientSecret,
		TokenURL: c.Server.TokenURL, AuthStyle: c.Server.AuthStyle, EndpointParams: form}
	if server.AuthStyle == oauth2.AuthStyleAutoDetect {
		server.AuthStyle = oauth2.AuthStyleInHeader
		if server.ClientSecret == "" {
			server.AuthStyle = oauth2.AuthStyleInParams
		}
	}
	tok, err := server.Token(withoutRedirects(ctx))
	if err != nil {
		err = withoutSecrets(err, form.Get("subject_token"), form.Get("actor_token"), server.ClientSecret)
		return nil, fmt.Errorf("tokenexchange: %w", err)
	}
	asked, issued := c.Request.RequestedTokenType, TokenType(extra(tok, "issued_token_type"))
	if tok.TokenType == "" || issued == "" {
		return nil, errors.New("tokenexchange: an answer without token_type or issued_token_type")
	}
	if asked != "" && asked != issued {
		return nil, fmt.Errorf("tokenexchange: %q was requested, and another type was issued", asked)
	}
	return tok, nil
}

// form is the whole request but for the client's authentication. What is said twice is an error, before any source is asked.
func (c *ClientConfig) form() (url.Values, error) {
	r := c.Request
	switch {
	case r.SubjectToken != "" || r.ActorToken != "":
		return nil, errors.New("Request holds a token; tokens come from Subject and Actor")
	case c.Subject == nil:
		return nil, errors.New("no source of subject tokens")
	case c.Actor == nil && r.ActorTokenType != "":
		return nil, errors.New("an actor token type without a source of actor tokens")
	case r.Scope != nil && len(c.Server.Scopes) > 0:
		return nil, errors.New("Server.Scopes and Request.Scope both ask for scope")
	case r.Scope == nil:
		r.Scope = c.Server.Scopes
	}
	for _, name := range append([]string{"client_id", "client_secret"}, parameters...) {
		if name != "authorization_details" && c.Server.EndpointParams.Has(name) {
			return nil, fmt.Errorf("Server.EndpointParams must not set %s", name)
		}
	}
	var err error
	if r.SubjectToken, err = draw(c.Subject, &r.SubjectTokenType); err != nil {
		return nil, fmt.Errorf("subject token: %w", err)
	}
	if c.Actor != nil {
		if r.ActorToken, err = draw(c.Actor, &r.ActorTokenType); err != nil {
			return nil, fmt.Errorf("actor token: %w", err)
		}
	}
	form := r.Values()
	maps.Copy(form, c.Server.EndpointParams)
	return form, nil
}

// draw takes from a source what it has of the declared type, and declares an access token where nothing is.
func draw(source oauth2.TokenSource, declared *TokenType) (string, error) {
	*declared = cmp.Or(*declared, TypeAccessToken)
	tok, err := source.Token()
	if err != nil {
		return "", err
	}
	value := ""
	switch {
	case tok == nil:
	case *declared == TypeRefreshToken:
		value = tok.RefreshToken
	case *declared == TypeIDToken:
		value = cmp.Or(extra(tok, "id_token"), tok.AccessToken)
	default:
		value = tok.AccessToken
	}
	if value == "" {
		return "", errors.New("the source gave none")
	}
	return value, nil
}

// extra is a member of the answer that is a string; empty where there is none.
func extra(tok *oauth2.Token, name string) string {
	s, _ := tok.Extra(name).(string)
	return s
}

// withoutRedirects keeps a 307 from posting the tokens to somebody else; a token endpoint has no reason to send one.
func withoutRedirects(ctx context.Context) context.Context {
	hc, _ := ctx.Value(oauth2.HTTPClient).(*http.Client)
	staying := *cmp.Or(hc, http.DefaultClient)
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return context.WithValue(ctx, oauth2.HTTPClient, &staying)
}

// withoutSecrets removes the secrets that were sent from a refusal, in case the server or a proxy has
// repeated them.
func withoutSecrets(err error, secrets ...string) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return err
	}
	clean := *refused
	clean.Body = []byte(redact.Text(string(refused.Body), secrets...))
	clean.ErrorCode = redact.Text(refused.ErrorCode, secrets...)
	clean.ErrorDescription = redact.Text(refused.ErrorDescription, secrets...)
	clean.ErrorURI = redact.Text(refused.ErrorURI, secrets...)
	return &clean
}

// Format prints whom it asks for what, without the secret, whatever the verb.
func (c ClientConfig) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{client:%q request:%v}", c.Server.ClientID, c.Request)
}

// LogValue is what Format prints: a log that marshals its values must not have the secret either.
func (c ClientConfig) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalText is what Format prints: whatever holds a ClientConfig may be logged as JSON, and the secret must not be in it.
func (c ClientConfig) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }
