package grants

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// bodyOnly are the parameters that must not be in the query (R01).
var bodyOnly = []string{
	"grant_type", "assertion", "audience", "resource", "scope", "authorization_details",
}

// newEndpoint returns the handler of a grant.
func newEndpoint(authenticate func(*http.Request) (tokenexchange.Client, error),
	grant func(*http.Request, tokenexchange.Client) (tokenexchange.Response, error),
) http.Handler {
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

// issueOrUndo issues the tokens of a decision for which something else has already been recorded.
// It calls undo if the tokens are not issued, and adds undo to IssuedToken.Discard (I06).
func issueOrUndo(ctx context.Context, d tokenexchange.Decision, issuer tokenexchange.TokenIssuer,
	undo func(context.Context) error) (issued tokenexchange.IssuedToken, err error) {
	done := false
	defer func() {
		if !done { // the issuer returned an error or panicked
			err = errors.Join(err, bounded.Call(ctx, bounded.Usual, undo))
		}
	}()
	if issued, err = issuer.IssueToken(ctx, d); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	done = true
	discard := issued.Discard
	issued.Discard = func(ctx context.Context) error {
		if discard == nil {
			return undo(ctx)
		}
		return errors.Join(discard(ctx), undo(ctx))
	}
	return issued, nil
}
