package tokenstore

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// bodyOnly are the parameters that must not be in the query (R01).
var bodyOnly = []string{"grant_type", "refresh_token", "scope", "token", "token_type_hint"}

// endpoint returns the handler for introspection, revocation and refresh. The client sees the code
// of an error and no more; Report gets all of it but the tokens (I08).
func (t *Tokens) endpoint(authenticate func(*http.Request) (tokenexchange.Client, error),
	answer func(*http.Request, tokenexchange.Client) (http.Handler, error)) http.Handler {
	return endpoint.Post[tokenexchange.Client]{
		BodyOnly:     bodyOnly,
		Authenticate: authenticate,
		ID:           func(c tokenexchange.Client) string { return c.ID },
		Answer:       answer,
		Report: func(r *http.Request, err error) {
			if t.Report != nil {
				presented := slices.Concat(r.PostForm["token"], r.PostForm["refresh_token"])
				code := tokenexchange.AsError(err).Code
				t.Report(r.Context(), redact.Error(err, code, presented...))
			}
		},
		Refusal: func(err error) http.Handler {
			return tokenexchange.AsError(tokenexchange.AsError(err).Code)
		},
		InvalidRequest: tokenexchange.InvalidRequest,
		InvalidClient:  tokenexchange.InvalidClient,
	}
}

// checkRepeats refuses a repeated parameter. That includes unknown parameters, because another
// reader of the same form might use the other value (R04).
func checkRepeats(values url.Values) error {
	for _, list := range values {
		if len(list) > 1 {
			return no("a parameter is repeated (R04)", nil)
		}
	}
	return nil
}

// tokenOfForm returns the parameter token. The token itself shows where to look it up, so
// token_type_hint is ignored (RFC 7662 §2.1, RFC 7009 §2.1).
func tokenOfForm(values url.Values) (string, error) {
	if err := checkRepeats(values); err != nil {
		return "", err
	}
	value := values.Get("token")
	switch {
	case value == "":
		return "", no("the parameter token is missing (R03)", nil)
	case len(value) > form.MaxValue:
		return "", no(fmt.Sprintf("the token is longer than %d bytes (R10)", form.MaxValue), nil)
	}
	return value, nil
}
