package tokenstore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// maxToken is how many bytes one token may have (R10).
const maxToken = 64 << 10

// endpoint is what introspection, revocation and refresh have in common with a token endpoint: a form by POST, in the
// body and nowhere else, of a client that has been authenticated, and answers that nobody keeps (R01, R09, R12).
func (t *Tokens) endpoint(authenticate func(*http.Request) (tokenexchange.Client, error),
	answer func(*http.Request, tokenexchange.Client) (http.Handler, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": tokenexchange.InvalidRequest})
			return
		}
		err := readForm(w, r)
		var client tokenexchange.Client
		if err == nil {
			client, err = identify(r, authenticate)
		}
		var h http.Handler
		if err == nil {
			h, err = guarded("the answer", func() (http.Handler, error) { return answer(r, client) })
		}
		if err != nil {
			if t.Report != nil {
				presented := slices.Concat(r.PostForm["token"], r.PostForm["refresh_token"])
				t.Report(r.Context(), redact.Error(err, tokenexchange.AsError(err).Code, presented...))
			}
			h = tokenexchange.AsError(tokenexchange.AsError(err).Code) // the code alone: what a host says of it stays inside
		}
		h.ServeHTTP(w, r)
	})
}

// identify asks the host who the client is.
func identify(r *http.Request, authenticate func(*http.Request) (tokenexchange.Client, error)) (tokenexchange.Client, error) {
	client, err := guarded("the authentication", func() (tokenexchange.Client, error) { return authenticate(r) })
	if err == nil && client.ID == "" {
		err = tokenexchange.InvalidClient
	}
	return client, err
}

// guarded turns a panic of the host into a failure (I12), and so an error that cannot be asked what it is: a typed nil. It
// says the type of what was thrown, which may hold anything.
func guarded[T any](what string, call func() (T, error)) (answer T, err error) {
	defer func() {
		if p := recover(); p != nil {
			var none T
			answer, err = none, fmt.Errorf("%s panicked with a %T", what, p)
		}
	}()
	if answer, err = call(); err != nil {
		_, _ = tokenexchange.AsError(err), err.Error()
	}
	return answer, err
}

// inBody are the parameters that must not be in a query.
var inBody = []string{"grant_type", "refresh_token", "scope", "token", "token_type_hint"}

// readForm fills in r.PostForm. What the form says is looked at once the client has been authenticated (D03).
func readForm(w http.ResponseWriter, r *http.Request) error {
	if err := form.Read(w, r, inBody); err != nil {
		return no("malformed request", err)
	}
	return nil
}

// checkRepeats refuses a parameter that is repeated, those that are not ours too: another reader of the same form might take
// the other value (R04).
func checkRepeats(values url.Values) error {
	for _, list := range values {
		if len(list) > 1 {
			return no("R04: a parameter is repeated", nil)
		}
	}
	return nil
}

// tokenOfForm returns the one parameter that introspection and revocation need. The type hint is only a hint: the value
// itself says where to look (RFC 7662 §2.1, RFC 7009 §2.1).
func tokenOfForm(values url.Values) (string, error) {
	if err := checkRepeats(values); err != nil {
		return "", err
	}
	value := values.Get("token")
	switch {
	case value == "":
		return "", no("R03: no token", nil)
	case len(value) > maxToken:
		return "", no("R10: the token is too long", nil)
	}
	return value, nil
}

// writeJSON sends an answer. A write that fails has nobody left to tell.
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
