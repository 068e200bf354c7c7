package tokenstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// maxToken is the greatest length of a token in bytes (R10).
const maxToken = 64 << 10

// endpoint returns the common part of the handlers for introspection, revocation and refresh. Like
// a token endpoint, it takes a form by POST, from the body only, and from an authenticated client.
// Its responses must not be cached (R01, R09, R12).
func (t *Tokens) endpoint(authenticate func(*http.Request) (tokenexchange.Client, error),
	answer func(*http.Request, tokenexchange.Client) (http.Handler, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			writeJSON(w, http.StatusMethodNotAllowed,
				map[string]any{"error": tokenexchange.InvalidRequest})
			return
		}
		err := readForm(w, r)
		var client tokenexchange.Client
		if err == nil {
			client, err = identify(r, authenticate)
		}
		var h http.Handler
		if err == nil {
			h, err = guarded("the answer", func() (http.Handler, error) {
				return answer(r, client)
			})
		}
		if err != nil {
			if t.Report != nil {
				t.Report(r.Context(), withoutTokens(err, r.PostForm))
			}
			// The client gets only the code. The text of an error of the host stays inside.
			h = tokenexchange.AsError(tokenexchange.AsError(err).Code)
		}
		h.ServeHTTP(w, r)
	})
}

// withoutTokens removes the presented token from an error, in case the host has put it there (I08).
func withoutTokens(err error, values url.Values) error {
	text := err.Error()
	clean := redact.Text(text, slices.Concat(values["token"], values["refresh_token"])...)
	if clean == text {
		return err
	}
	return &tokenexchange.Error{Code: tokenexchange.AsError(err).Code, Err: errors.New(clean)}
}

// identify asks the host to authenticate the client.
func identify(r *http.Request, authenticate func(*http.Request) (tokenexchange.Client, error)) (
	tokenexchange.Client, error) {
	client, err := guarded("the authentication", func() (tokenexchange.Client, error) {
		return authenticate(r)
	})
	if err == nil && client.ID == "" {
		err = tokenexchange.InvalidClient
	}
	return client, err
}

// guarded calls a function of the host and turns a panic into an error (I12). The error has the
// type of the panic value only, because the value may hold a secret. An error whose methods panic,
// such as a typed nil, is a panic too.
func guarded[T any](what string, call func() (T, error)) (answer T, err error) {
	defer func() {
		if p := recover(); p != nil {
			var zero T
			answer, err = zero, fmt.Errorf("%s panicked with a %T", what, p)
		}
	}()
	if answer, err = call(); err != nil {
		_, _ = tokenexchange.AsError(err), err.Error()
	}
	return answer, err
}

// inBody has the parameters that must not be in a query.
var inBody = []string{"grant_type", "refresh_token", "scope", "token", "token_type_hint"}

// readForm fills in r.PostForm. The parameters are checked after the client is authenticated (D03).
func readForm(w http.ResponseWriter, r *http.Request) error {
	if problem := form.Read(w, r, inBody); problem != nil {
		return invalidRequest(problem.Reason, problem.Err)
	}
	return nil
}

// checkRepeats refuses every repeated parameter, even an unknown one: another reader of the same
// form might take the other value (R04).
func checkRepeats(values url.Values) error {
	for _, list := range values {
		if len(list) > 1 {
			return invalidRequest("a parameter is repeated (R04)", nil)
		}
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
		return "", invalidRequest("the parameter token is missing (R03)", nil)
	case len(value) > maxToken:
		reason := fmt.Sprintf("the token has %d bytes, more than %d (R10)", len(value), maxToken)
		return "", invalidRequest(reason, nil)
	}
	return value, nil
}

// writeJSON sends a response. It ignores an error of Write, because there is no way to report it.
func writeJSON(w http.ResponseWriter, status int, members map[string]any) {
	body, err := json.Marshal(members)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
