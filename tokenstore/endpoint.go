package tokenstore

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// bodyOnly are the parameters that must not be in the query (R01).
var bodyOnly = []string{"grant_type", "refresh_token", "scope", "token", "token_type_hint"}

// endpoint returns the common part of the handlers for introspection, revocation and refresh. Like
// a token endpoint, it takes a form by POST, from the body only, and from an authenticated client.
// Its responses must not be cached (R01, R09, R12).
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

// checkRepeats refuses every repeated parameter, even an unknown one: another reader of the same
// form might take the other value (R04).
func checkRepeats(values url.Values) error {
	for name, list := range values {
		if len(list) < 2 {
			continue
		}
		if !slices.Contains(bodyOnly, name) {
			name = "unknown" // the name may be anything, even a token
		}
		return refusal.New(tokenexchange.InvalidRequest, "parameter_repeated",
			"the parameter %s has %d values (R04)", name, len(list))
	}
	return nil
}

// tokenOfForm returns the parameter token of introspection and revocation. It ignores
// token_type_hint, because the form of the value says where to look (RFC 7662 §2.1, RFC 7009 §2.1).
func tokenOfForm(values url.Values) (string, error) {
	if err := checkRepeats(values); err != nil {
		return "", err
	}
	value := values.Get("token")
	switch {
	case value == "":
		return "", refusal.New(tokenexchange.InvalidRequest, "parameter_missing",
			"the parameter token is missing (R03)")
	case len(value) > form.MaxValue:
		return "", refusal.New(tokenexchange.InvalidRequest, "parameter_too_long",
			"the token has %d bytes, more than %d (R10)", len(value), form.MaxValue)
	}
	return value, nil
}
