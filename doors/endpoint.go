package doors

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// bodyOnly are the parameters that must not be in the query (R01).
var bodyOnly = []string{"grant_type", "assertion", "audience", "resource", "scope", "authorization_details"}

// newEndpoint returns the handler of a grant.
func newEndpoint(authenticate func(*http.Request) (tokenexchange.Client, error),
	grant func(*http.Request, tokenexchange.Client) (tokenexchange.Response, error)) http.Handler {
	return endpoint.Post[tokenexchange.Client]{
		BodyOnly:     bodyOnly,
		Authenticate: authenticate,
		ID:           func(c tokenexchange.Client) string { return c.ID },
		Answer: func(r *http.Request, client tokenexchange.Client) (http.Handler, error) {
			resp, err := grant(r, client)
			if err != nil {
				return tokenexchange.AsError(err), nil
			}
			return resp, nil
		},
		Refusal: func(err error) http.Handler {
			return tokenexchange.AsError(tokenexchange.AsError(err).Code)
		},
		InvalidRequest: tokenexchange.InvalidRequest,
		InvalidClient:  tokenexchange.InvalidClient,
	}
}

// undoing has next make the tokens of a decision, for which something else has been written already: it is undone where
// they are not made, or must not leave (I06).
func undoing(ctx context.Context, d tokenexchange.Decision, next tokenexchange.TokenIssuer,
	undo func(context.Context) error) (issued tokenexchange.IssuedToken, err error) {
	made := false
	defer func() {
		if !made { // next has refused, failed or panicked
			err = errors.Join(err, bounded.Call(ctx, bounded.Usual, undo))
		}
	}()
	if issued, err = next.IssueToken(ctx, d); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	made = true
	discard := issued.Discard
	issued.Discard = func(ctx context.Context) error {
		if discard == nil {
			return undo(ctx)
		}
		return errors.Join(discard(ctx), undo(ctx))
	}
	return issued, nil
}
