package tokenstore

import (
	"context"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// RevocationHandler is the revocation endpoint of an issuer (RFC 7009). A client revokes its own
// tokens: a refresh token, even one that was rotated out, with its whole grant, and any other token
// with everything that was made from it. authenticate is as for tokenexchange.Exchanger.Handler.
// Public clients may revoke their tokens too.
//
// The response for a token that is unknown or has ended is 200 (RFC 7009 §2.2). A token of another
// client is not revoked, and the response is the error invalid_request (§2.1), which does not say
// why.
func (t *Tokens) RevocationHandler(issuer string,
	authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return t.endpoint(authenticate, func(r *http.Request, client tokenexchange.Client) (
		http.Handler, error) {
		value, err := tokenOfForm(r.PostForm)
		if err != nil {
			return nil, err
		}
		tok, err := t.verifyAny(r.Context(), issuer, client, value)
		switch {
		case isFailure(err):
			return nil, err
		case err == nil && tok.ClientID != client.ID:
			return nil, refusal.New(tokenexchange.InvalidRequest, "token_other_client",
				"the token was issued to client %q, not to client %q (RFC 7009 §2.1)",
				tok.ClientID, client.ID)
		case err == nil:
			err = t.Revoke(r.Context(), tok)
		default:
			err = nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			endpoint.WriteJSON(w, http.StatusOK, map[string]any{})
		}), err
	})
}

// verifyAny returns a live token of the issuer, of any type.
func (t *Tokens) verifyAny(ctx context.Context, issuer string, client tokenexchange.Client,
	value string) (tokenexchange.Token, error) {
	now := t.now()
	if !isJWT(value) {
		found, err := t.lookup(ctx, issuer, value, now)
		return found.token, err
	}
	tok, err := t.VerifyToken(ctx, tokenexchange.Credential{Token: value,
		Type: tokenexchange.TypeJWT, Issuer: issuer, Client: client, Now: now})
	if err == nil && tok.Issuer != issuer {
		err = refusal.New(tokenexchange.InvalidRequest, "token_other_issuer",
			"the token is from issuer %q, not from %q", tok.Issuer, issuer)
	}
	return tok, err
}

// isFailure reports whether an error is a fault of this server, so that nothing is known about the
// token.
func isFailure(err error) bool {
	return err != nil &&
		tokenexchange.AsError(err).Code.Status() >= http.StatusInternalServerError
}
