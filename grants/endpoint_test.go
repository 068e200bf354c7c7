package grants_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/grants"
)

// R01, R09, R10, R12: what the endpoint refuses before anybody is asked who the client is, and
// before the assertion is read.
func TestEndpoint_Malformed(t *testing.T) {
	w := newWorld(t)
	asked := 0
	server := httptest.NewServer(
		w.assertions.Handler(w.x, func(*http.Request) (tokenexchange.Client, error) {
			asked++
			return client("portal"), nil
		}))
	defer server.Close()
	good := bearer(w.assert(w.partner, partner, "p-1", nil)).Encode()
	form := "application/x-www-form-urlencoded"
	for name, row := range map[string]struct {
		method, query, contentType, body string
		status                           int
	}{
		"GET": {http.MethodGet, good, form, "", http.StatusMethodNotAllowed},
		"PUT": {http.MethodPut, "", form, good, http.StatusMethodNotAllowed},
		"PATCH": {http.MethodPatch, "", form, good,
			http.StatusMethodNotAllowed},
		"DELETE": {http.MethodDelete, "", form, good,
			http.StatusMethodNotAllowed},
		"OPTIONS": {http.MethodOptions, "", form, "",
			http.StatusMethodNotAllowed},
		"JSON": {http.MethodPost, "", "application/json",
			`{"grant_type":"x"}`, http.StatusBadRequest},
		"multipart": {http.MethodPost, "", "multipart/form-data; boundary=x",
			"--x--", http.StatusBadRequest},
		"no type": {http.MethodPost, "", "", good, http.StatusBadRequest},
		"another charset": {http.MethodPost, "", form + "; charset=latin-1", good,
			http.StatusBadRequest},
		"a malformed escape": {http.MethodPost, "", form, good + "&x=%zz",
			http.StatusBadRequest},
		"a body that is too long": {http.MethodPost, "", form,
			good + "&x=" + strings.Repeat("a", 256<<10), http.StatusBadRequest},
		"too many parameters": {http.MethodPost, "", form, good + strings.Repeat("&", 1000),
			http.StatusBadRequest},
		"all in the query": {http.MethodPost, good, form, "", http.StatusBadRequest},
		"a secret in the query": {http.MethodPost, "client_secret=x", form, good,
			http.StatusBadRequest},
		"a target in the query": {http.MethodPost, "audience=x", form, good,
			http.StatusBadRequest},
		"a malformed query": {http.MethodPost, "x=%zz", form, good, http.StatusBadRequest},
		"two headers":       {http.MethodPost, "", form, good, http.StatusBadRequest},
		"two ways of authenticating": {http.MethodPost, "", form, good + "&client_secret=x",
			http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), row.method, server.URL+"?"+row.query,
				strings.NewReader(row.body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", row.contentType)
			if strings.HasPrefix(name, "two ") {
				r.SetBasicAuth("portal", "secret")
			}
			if name == "two headers" {
				r.Header.Add("Authorization", r.Header.Get("Authorization"))
			}
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, row.status, resp.StatusCode)
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
			require.Equal(t, row.status == http.StatusMethodNotAllowed,
				resp.Header.Get("Allow") == http.MethodPost)
			body := map[string]string{}
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
			require.Equal(t, "invalid_request", body["error"])
		})
	}
	require.Zero(t, asked)
	require.Empty(t, w.audit.Events(), "nobody knows of whom an event would be")
	resp, err := http.Post(server.URL+"?tenant=7", form+"; charset=UTF-8", strings.NewReader(good))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode,
		"what a host has in its own query is its business")
	require.Equal(t, 1, asked)
}

// R09, I08, I12: what the host says of a client is a code outside, and nothing more.
func TestEndpoint_Authentication(t *testing.T) {
	w := newWorld(t)
	for name, row := range map[string]struct {
		answer error
		status int
		code   string
	}{
		"a refusal": {fmt.Errorf("%w: the secret is hunter2", tokenexchange.InvalidClient),
			http.StatusUnauthorized, "invalid_client"},
		"a failure": {errors.New("the database of hunter2 is down"),
			http.StatusInternalServerError, "server_error"},
		"not allowed": {
			&tokenexchange.Error{Code: tokenexchange.UnauthorizedClient, Description: "hunter2"},
			http.StatusBadRequest, "unauthorized_client"},
		"nobody": {nil, http.StatusUnauthorized, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := w.assertions.Handler(w.x,
				func(*http.Request) (
					tokenexchange.Client, error) {
					return tokenexchange.Client{}, row.answer
				})
			r := httptest.NewRequest(http.MethodPost, "/token",
				strings.NewReader(bearer(w.assert(w.partner, partner, "p-1", nil)).Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth("portal", "hunter2")
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, r)
			require.Equal(t, row.status, rec.Code)
			body, err := io.ReadAll(rec.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), `"`+row.code+`"`)
			require.NotContains(t, string(body), "hunter2")
			require.Equal(t, row.status == http.StatusUnauthorized,
				rec.Header().Get("WWW-Authenticate") != "")
		})
	}
	require.Empty(t, w.audit.Events())
}

// A form that the host has parsed already, to look at grant_type, is the form.
func TestEndpoint_AfterTheHostHasLooked(t *testing.T) {
	w := newWorld(t)
	handler := w.assertions.Handler(w.x,
		func(*http.Request) (tokenexchange.Client, error) { return client("portal"), nil })
	mux := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		require.Equal(t, grants.GrantJWTBearer, r.PostForm.Get("grant_type"))
		handler.ServeHTTP(rw, r)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	resp, err := http.PostForm(server.URL, bearer(w.assert(w.partner, partner, "p-1", nil)))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
