package tokenstore

import (
	"context"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// RevocationHandler lets the clients of an issuer give back what was issued to them (RFC 7009): a refresh token with its
// whole grant, one that was rotated out included; any other token with what was made from it. authenticate is as for
// tokenexchange.Exchanger.Handler; a public client is welcome, for its own tokens.
//
// A token that is unknown, or has ended already, is 200 (§2.2). A token of another client is refused and stays as it is,
// with an error (§2.1): invalid_request, which says no more than that it is not acceptable.
func (t *Tokens) RevocationHandler(issuer string, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return t.endpoint(authenticate, func(r *http.Request, client tokenexchange.Client) (http.Handler, error) {
		value, err := tokenOfForm(r.PostForm)
		if err != nil {
			return nil, err
		}
		tok, err := t.presented(r.Context(), issuer, client, value)
		switch {
		case isFailure(err):
			return nil, err
		case err == nil && tok.ClientID != client.ID:
			return nil, no("RFC 7009 §2.1: a token of another client", nil)
		case err == nil:
			err = t.Revoke(r.Context(), tok)
		default:
			err = nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { endpoint.WriteJSON(w, http.StatusOK, map[string]any{}) }), err
	})
}

// presented is a live token of the issuer, of whatever kind.
func (t *Tokens) presented(ctx context.Context, issuer string, client tokenexchange.Client, value string) (tokenexchange.Token, error) {
	now := t.now()
	if isJWT(value) {
		tok, err := t.VerifyToken(ctx, tokenexchange.Credential{Token: value, Type: tokenexchange.TypeJWT, Issuer: issuer, Client: client, Now: now})
		if err == nil && tok.Issuer != issuer {
			err = no("a token of another issuer", nil)
		}
		return tok, err
	}
	f, err := t.lookup(ctx, issuer, value, now)
	return f.token, err
}

// isFailure reports whether an error is a fault of this server, so that nothing can be said about the token.
func isFailure(err error) bool {
	return err != nil && tokenexchange.AsError(err).Code.Status() >= http.StatusInternalServerError
}
