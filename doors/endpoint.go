package doors

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// inBody are the parameters that must not be in a query (R01).
var inBody = []string{"grant_type", "assertion", "audience", "resource", "scope", "authorization_details"}

// endpoint is a grant of a token endpoint: a form by POST, in the body and nowhere else, of a client that has been
// authenticated (R01, R09).
func endpoint(authenticate func(*http.Request) (tokenexchange.Client, error),
	answer func(*http.Request, tokenexchange.Client) (tokenexchange.Response, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			tokenexchange.AsError(tokenexchange.InvalidRequest).ServeHTTP(notAllowed{w}, r)
			return
		}
		if err := form.Read(w, r, inBody); err != nil {
			tokenexchange.AsError(tokenexchange.InvalidRequest).ServeHTTP(w, r)
			return
		}
		client, err := identify(r, authenticate)
		if err != nil {
			code := tokenexchange.AsError(err).Code // alone: what a host says of it stays inside
			tokenexchange.AsError(code).ServeHTTP(w, r)
			return
		}
		resp, err := answer(r, client)
		if err != nil {
			tokenexchange.AsError(err).ServeHTTP(w, r)
			return
		}
		resp.ServeHTTP(w, r)
	})
}

// notAllowed answers with status 405 what would have been a 400.
type notAllowed struct{ http.ResponseWriter }

func (w notAllowed) WriteHeader(int) { w.ResponseWriter.WriteHeader(http.StatusMethodNotAllowed) }

// identify asks the host who the client is. A panic of the host is a failure.
func identify(r *http.Request, authenticate func(*http.Request) (tokenexchange.Client, error)) (client tokenexchange.Client, err error) {
	defer func() {
		if p := recover(); p != nil {
			client, err = tokenexchange.Client{}, fmt.Errorf("the authentication panicked with a %T", p) // which may hold anything
		}
	}()
	if client, err = authenticate(r); err == nil && client.ID == "" {
		err = tokenexchange.InvalidClient
	}
	return client, err
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
