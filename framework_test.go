package tokenexchange_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// framework is a server that authenticates by itself, and writes its answers by itself.
func (w *world) framework(complete func(*tx.Client) error) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			panic(err)
		}
		client, err := w.authenticate(r)
		if err != nil {
			tx.AsError(err).ServeHTTP(rw, r)
			return
		}
		client.Scope = nil
		resp, err := w.ExchangeRequest(r, client, complete)
		if err != nil {
			tx.AsError(err).ServeHTTP(rw, r)
			return
		}
		resp.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	return server
}

// What a framework has read is held to what Handler demands of a request. Since there is a client, a refusal is recorded.
func TestR01_I07_ExchangeRequest(t *testing.T) {
	w := newWorld(t)
	scopes := func(c *tx.Client) error { c.Scope = tx.Scope{"read"}; return nil }
	send := func(complete func(*tx.Client) error, change func(*http.Request)) answer {
		r := w.request("shop", form(w.access(nil), tx.TypeAccessToken).Encode())
		change(r)
		r.URL.Host = strings.TrimPrefix(w.framework(complete).URL, "http://")
		return w.send(r)
	}
	c := send(scopes, func(*http.Request) {}).granted(t)
	require.Equal(t, "read", c["scope"], "R09: what complete adds counts")
	require.Len(t, w.events, 1)
	send(nil, func(*http.Request) {}).refused(t, tx.InvalidScope) // nil adds nothing, so the client has no scope
	require.Len(t, w.events, 2)

	for name, change := range map[string]func(*http.Request){
		"not POST":                              func(r *http.Request) { r.Method = http.MethodPut },
		"the Content-Type is not":               func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
		"the query contains scope":              func(r *http.Request) { r.URL.RawQuery = "scope=read" },
		"authenticated in two ways":             func(r *http.Request) { r.URL.RawQuery = ""; addToBody(r, "client_secret=x") },
		"The parameter scope is repeated":       func(r *http.Request) { addToBody(r, "scope=read&scope=read") },
		"The parameter subject_token is repeat": func(r *http.Request) { addToBody(r, "subject_token=x") },
		"2 Authorization headers": func(r *http.Request) {
			r.Header.Add("Authorization", r.Header.Get("Authorization"))
		},
	} {
		before := len(w.events)
		send(scopes, change).refused(t, tx.InvalidRequest)
		require.Len(t, w.events, before+1, name)
		require.Contains(t, w.lastEvent().Err.Error(), name)
		require.Equal(t, "shop", w.lastEvent().Facts.Client.ID)
	}
}

func addToBody(r *http.Request, more string) {
	_ = r.ParseForm()
	body := r.PostForm.Encode() + "&" + more
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// complete is host code: what goes wrong in it is recorded, grants nothing and shows nothing.
func TestI07_I12_ExchangeRequestCompletesTheClient(t *testing.T) {
	w := newWorld(t)
	token := w.access(nil)
	for name, test := range map[string]struct {
		complete func(*tx.Client) error
		code     tx.Code
	}{
		"an error": {func(c *tx.Client) error { c.ID = "somebody"; return errors.New("secret text " + token) }, tx.ServerError},
		"a panic":  {func(c *tx.Client) error { c.ID = "somebody"; panic("secret text") }, tx.ServerError},
		"too late": {func(*tx.Client) error { return deadline() }, tx.TemporarilyUnavailable},
		"a no":     {func(*tx.Client) error { return tx.UnauthorizedClient }, tx.UnauthorizedClient},
	} {
		r := w.request("shop", form(token, tx.TypeAccessToken).Encode())
		r.URL.Host = strings.TrimPrefix(w.framework(test.complete).URL, "http://")
		before := len(w.events)
		require.NotContains(t, w.send(r).refused(t, test.code).raw, "secret text", name)
		require.Len(t, w.events, before+1, name)
		require.Equal(t, "shop", w.lastEvent().Facts.Client.ID, name)
		require.NotContains(t, w.lastEvent().Err.Error(), token, "I08")
	}
	r := w.request("shop", "")
	r.Body = nil
	_, err := w.ExchangeRequest(r, w.clients["shop"], nil)
	require.ErrorIs(t, err, tx.ServerError, "a request without form and body is the framework's mistake")
}

// An issuer whose record has an id already signs it.
func TestD29_IssueTokenWithID(t *testing.T) {
	w := newWorld(t)
	jwt := w.TokenIssuer.(*tx.JWTIssuer)
	w.TokenIssuer = issuerFunc(func(ctx context.Context, d tx.Decision) (tx.IssuedToken, error) {
		_, err := jwt.IssueTokenWithID(ctx, d, "")
		require.Error(t, err)
		return jwt.IssueTokenWithID(ctx, d, "record-7")
	})
	require.Equal(t, "record-7", w.post("shop", w.delegation(nil)).granted(t)["jti"])
	require.Equal(t, "record-7", w.lastEvent().TokenID)
}
