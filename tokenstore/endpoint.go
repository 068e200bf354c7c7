package tokenstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
)

// What one request may bring (R10).
const (
	maxBody       = 1 << 20  // bytes of form
	maxToken      = 64 << 10 // bytes of one token
	maxParameters = 1 << 10  // so that a body of nothing but separators is cheap
)

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
			h, err = answer(r, client)
		}
		if err != nil {
			if t.Report != nil {
				t.Report(r.Context(), err)
			}
			h = tokenexchange.AsError(tokenexchange.AsError(err).Code) // the code alone: what a host says of it stays inside
		}
		h.ServeHTTP(w, r)
	})
}

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

// readForm fills in r.PostForm from the body alone; a form that the host has parsed already is used as it is.
func readForm(w http.ResponseWriter, r *http.Request) error {
	if !isForm(r.Header.Values("Content-Type")) {
		return no("R01: not a form", nil)
	}
	if r.PostForm == nil {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return no("R10: the body cannot be read, or is too long", err)
		}
		if r.PostForm, err = parseForm(string(body)); err != nil {
			return no("R01: the body is not a form", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	query, err := parseForm(r.URL.RawQuery)
	if err != nil {
		return no("R01: a malformed query", err)
	}
	for name := range query {
		if r.PostForm.Has(name) || inBody[name] {
			return no("R01: a parameter of the body in the query", nil)
		}
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			return no("R04: a parameter is repeated", nil)
		}
	}
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Basic") && (r.PostForm.Get("client_secret") != "" || r.PostForm.Get("client_assertion") != "") {
		return no("R09: two ways of client authentication in one request", nil)
	}
	return nil
}

// inBody are the parameters that must not be in a query.
var inBody = map[string]bool{
	"grant_type": true, "refresh_token": true, "scope": true, "token": true, "token_type_hint": true,
	"client_id": true, "client_secret": true, "client_assertion": true, "client_assertion_type": true,
}

// isForm reports whether there is one Content-Type and it says that the body is a form of UTF-8.
func isForm(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	media, params, err := mime.ParseMediaType(contentType[0])
	charset, given := params["charset"]
	return err == nil && media == "application/x-www-form-urlencoded" && (!given || strings.EqualFold(charset, "utf-8"))
}

func parseForm(text string) (url.Values, error) {
	if strings.Count(text, "&") >= maxParameters {
		return nil, errors.New("too many parameters")
	}
	return url.ParseQuery(text)
}

// tokenOfForm returns the one parameter that introspection and revocation need. The type hint is only a hint: the value
// itself says where to look (RFC 7662 §2.1, RFC 7009 §2.1).
func tokenOfForm(form url.Values) (string, error) {
	value := form.Get("token")
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
