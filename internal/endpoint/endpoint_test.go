package endpoint_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

var (
	errRequest = errors.New("invalid_request")
	errClient  = errors.New("invalid_client")
	errHost    = errors.New("a secret of the host")
)

// echo answers with the client and the form, and with 400 and the code of an error.
func echo(authenticate func(*http.Request) (string, error), reported *error) endpoint.Post[string] {
	return endpoint.Post[string]{
		BodyOnly:     []string{"scope"},
		Authenticate: authenticate,
		ID:           func(client string) string { return client },
		Answer: func(r *http.Request, client string) (http.Handler, error) {
			if r.PostForm.Has("panic") {
				panic(errRequest)
			}
			if r.PostForm.Has("fail") {
				return nil, errHost
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				endpoint.WriteJSON(w, http.StatusOK, []string{client, r.PostForm.Encode()})
			}), nil
		},
		Report: func(_ *http.Request, err error) { *reported = err },
		Refusal: func(err error) http.Handler {
			code := "server_error"
			for _, known := range []error{errRequest, errClient} {
				if errors.Is(err, known) {
					code = known.Error()
				}
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				endpoint.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": code})
			})
		},
		InvalidRequest: errRequest,
		InvalidClient:  errClient,
	}
}

func good(*http.Request) (string, error) { return "shop", nil }

func send(h http.Handler, method, query, body string) (int, string, http.Header) {
	r := httptest.NewRequest(method, "/?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String(), rec.Header()
}

func TestPost(t *testing.T) {
	var reported error
	authenticate := func(r *http.Request) (string, error) {
		body, err := io.ReadAll(r.Body)
		return r.PostForm.Get("client_id") + " " + string(body), err
	}
	status, answer, _ := send(echo(authenticate, &reported), "POST", "", "client_id=shop")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, `["shop client_id=shop","client_id=shop"]`, answer)
	require.NoError(t, reported)
}

func TestPost_Method(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS", "post"} {
		var reported error
		status, answer, header := send(echo(good, &reported), method, "", "a=1")
		require.Equal(t, http.StatusMethodNotAllowed, status)
		require.Equal(t, "POST", header.Get("Allow"))
		require.Equal(t, `{"error":"invalid_request"}`, answer)
		require.NoError(t, reported)
	}
}

func TestPost_Refusals(t *testing.T) {
	fail := func(client string, err error) func(*http.Request) (string, error) {
		return func(*http.Request) (string, error) { return client, err }
	}
	for name, c := range map[string]struct {
		query, body  string
		authenticate func(*http.Request) (string, error)
		code, report string
	}{
		"query":         {"scope=x", "a=1", good, "invalid_request", "malformed request: the query"},
		"form":          {"", "a=%zz", good, "invalid_request", "malformed request: the body"},
		"form first":    {"", "a=%zz", fail("", errClient), "invalid_request", "malformed request"},
		"client":        {"", "a=1", fail("", errClient), "invalid_client", "invalid_client"},
		"no client":     {"", "a=1", fail("", nil), "invalid_client", "without ID"},
		"client, error": {"", "a=1", fail("shop", errClient), "invalid_client", "invalid_client"},
		"failure":       {"", "a=1", fail("", errHost), "server_error", "a secret of the host"},
		"no function":   {"", "a=1", nil, "server_error", "panic in"},
		"answer":        {"", "fail=1", good, "server_error", "a secret of the host"},
		"panic":         {"", "panic=1", good, "server_error", "panic in"},
	} {
		t.Run(name, func(t *testing.T) {
			var reported error
			p := echo(c.authenticate, &reported)
			status, answer, header := send(p, "POST", c.query, c.body)
			require.Equal(t, http.StatusBadRequest, status)
			require.Equal(t, fmt.Sprintf(`{"error":%q}`, c.code), answer)
			require.Empty(t, header.Get("Allow"))
			require.ErrorContains(t, reported, c.report)

			p.Report = nil
			status, _, _ = send(p, "POST", c.query, c.body)
			require.Equal(t, http.StatusBadRequest, status)
		})
	}
}

func TestR12_WriteJSON(t *testing.T) {
	rec := httptest.NewRecorder()
	endpoint.WriteJSON(rec, http.StatusTeapot, map[string]int{"a": 1})
	require.Equal(t, http.StatusTeapot, rec.Code)
	require.Equal(t, `{"a":1}`, rec.Body.String())
	require.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"7"},
		"Cache-Control": {"no-store"}, "Pragma": {"no-cache"},
		"X-Content-Type-Options": {"nosniff"},
	}, rec.Header())

	rec = httptest.NewRecorder()
	endpoint.WriteJSON(rec, http.StatusOK, func() {})
	require.Equal(t, http.StatusInternalServerError, rec.Code)
	require.Equal(t, `{"error":"server_error"}`, rec.Body.String())
}
