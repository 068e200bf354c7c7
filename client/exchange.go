package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// TokenSource returns a source that does the exchange when it is first asked for a token, and again
// shortly before that token expires. Each exchange asks Subject and Actor for their tokens again;
// a refresh token in the response is not used. A token without expires_in is kept for good, as
// x/oauth2 does. All exchanges use ctx, which may carry an oauth2.HTTPClient.
//
// The source is for one subject and one actor: if Subject or Actor begins to return the tokens of
// another user, the source notices only at the next exchange.
//
// The token_type of the response must be Bearer or DPoP; for others, such as N_A, use Exchange. A
// server issues DPoP tokens only to an HTTP client that proves possession of a key (RFC 9449 §5).
// That client, and the Base of the oauth2.Transport that sends the token, must make the proofs.
// Without a proof a resource server refuses the token: it never becomes a bearer token.
func (c *Config) TokenSource(ctx context.Context) oauth2.TokenSource {
	return oauth2.ReuseTokenSource(nil, source{ctx, c})
}

// source is an oauth2.TokenSource that does an exchange for each token.
type source struct {
	ctx    context.Context
	config *Config
}

// Token returns a token that can be sent in an Authorization header.
func (s source) Token() (*oauth2.Token, error) {
	tok, err := s.config.retrieve(s.ctx)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(tok.TokenType, "Bearer") && !strings.EqualFold(tok.TokenType, "DPoP") {
		return nil, errors.New("tokenexchange: the token_type in the response is neither Bearer " +
			"nor DPoP, so the token cannot be sent in an Authorization header; use Exchange")
	}
	return tok, nil
}

// Exchange does one exchange now and accepts a result of any type. If the server does not state
// them, ExpiresIn is zero and Scope is empty; the scope is then the requested one (RFC 6749 §5.1).
//
// A refusal of the server is an *oauth2.RetrieveError, which errors.As finds. The tokens and the
// secret that were sent are removed from it. A response without token_type or issued_token_type is
// an error (RFC 8693 §2.2.1), and so is a token of another type than the requested one.
func (c *Config) Exchange(ctx context.Context) (tokenexchange.Response, error) {
	tok, err := c.retrieve(ctx)
	if err != nil {
		return tokenexchange.Response{}, err
	}
	r := tokenexchange.Response{
		AccessToken:     tok.AccessToken,
		IssuedTokenType: tokenexchange.TokenType(extra(tok, "issued_token_type")),
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

// retrieve does one exchange and checks the response. It copies Server, because the host may be
// using it at the same time as the source of actor tokens.
func (c *Config) retrieve(ctx context.Context) (*oauth2.Token, error) {
	form, err := c.form()
	if err != nil {
		return nil, fmt.Errorf("tokenexchange: %w", err)
	}
	server := clientcredentials.Config{
		ClientID: c.Server.ClientID, ClientSecret: c.Server.ClientSecret,
		TokenURL: c.Server.TokenURL, AuthStyle: c.Server.AuthStyle, EndpointParams: form,
	}
	if server.AuthStyle == oauth2.AuthStyleAutoDetect {
		server.AuthStyle = oauth2.AuthStyleInHeader
		if server.ClientSecret == "" {
			server.AuthStyle = oauth2.AuthStyleInParams
		}
	}
	tok, err := server.Token(withoutRedirects(ctx))
	if err != nil {
		secrets := []string{form.Get("subject_token"), form.Get("actor_token"), server.ClientSecret}
		return nil, fmt.Errorf("tokenexchange: %w", withoutSecrets(err, secrets))
	}
	issued := tokenexchange.TokenType(extra(tok, "issued_token_type"))
	if tok.TokenType == "" || issued == "" {
		return nil, errors.New("tokenexchange: response without token_type or issued_token_type")
	}
	if requested := c.Request.RequestedTokenType; requested != "" && requested != issued {
		return nil, fmt.Errorf("tokenexchange: requested a token of type %q, "+
			"and the server issued another type", requested)
	}
	return tok, nil
}

// withoutRedirects returns a context whose HTTP client does not follow redirects. A 307 would send
// the tokens to another address, and a token endpoint has no reason to redirect.
func withoutRedirects(ctx context.Context) context.Context {
	configured, _ := ctx.Value(oauth2.HTTPClient).(*http.Client)
	client := *cmp.Or(configured, http.DefaultClient)
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return context.WithValue(ctx, oauth2.HTTPClient, &client)
}

// withoutSecrets removes the secrets from a refusal, in case the server or a proxy repeats them.
func withoutSecrets(err error, secrets []string) error {
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
