package form_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

func request(query, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// padded returns a form of so many bytes.
func padded(size int) string { return "x=" + strings.Repeat("y", size-len("x=")) }

// parameters returns a form of n parameters, most of them empty.
func parameters(n int) string { return "x=y" + strings.Repeat("&", n-1) }

func TestRead(t *testing.T) {
	r := request("tenant=7", "a=1&b=%2B+&a=2&&c&x=%41")
	require.NoError(t, form.Read(nil, r, []string{"a"}))
	require.Equal(t, url.Values{"a": {"1", "2"}, "b": {"+ "}, "c": {""}, "x": {"A"}}, r.PostForm)
	require.Nil(t, r.Form, "the query is not mixed in")
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, "a=1&b=%2B+&a=2&&c&x=%41", string(body), "the body can be read again")
}

func TestRead_Limits(t *testing.T) {
	for _, good := range []string{padded(form.MaxBody), parameters(1000)} {
		r := request("", good)
		require.NoError(t, form.Read(nil, r, nil))
		require.Len(t, r.PostForm, 1)
	}
	require.NoError(t, form.Read(nil, request(parameters(1000), ""), nil))

	for _, bad := range []*http.Request{
		request("", padded(form.MaxBody+1)),
		request("", parameters(1001)),
		request(parameters(1001), ""),
	} {
		require.Error(t, form.Read(nil, bad, nil))
	}
}

// What follows the limit is not taken for a form by a later reader.
func TestRead_LongBodyStaysLong(t *testing.T) {
	r := request("", padded(form.MaxBody)+"&scope=admin")
	require.ErrorContains(t, form.Read(httptest.NewRecorder(), r, nil), "body too large")
	require.Nil(t, r.PostForm)
	require.Error(t, r.ParseForm())
	require.Empty(t, r.PostForm)
}

func TestRead_MalformedBody(t *testing.T) {
	for _, body := range []string{"a=1&b=%", "a=1&b=%zz", "a=1&%4=x", "a=1&b=2;c=3"} {
		r := request("", body)
		require.ErrorContains(t, form.Read(nil, r, nil), "the body is not a form", body)
		require.Nil(t, r.PostForm, "the good part of a bad form is not used")
	}
	r := request("", "")
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("cut off")))
	require.ErrorContains(t, form.Read(nil, r, nil), "cut off")
}

func TestRead_ParsedBefore(t *testing.T) {
	r := request("", "a=body")
	r.PostForm = url.Values{"a": {"parsed"}}
	require.NoError(t, form.Read(nil, r, nil))
	require.Equal(t, "parsed", r.PostForm.Get("a"))

	r.PostForm = url.Values{"a": {strings.Repeat("y", form.MaxBody)}}
	require.ErrorContains(t, form.Read(nil, r, nil), "larger than")
}

func TestRead_Query(t *testing.T) {
	for _, query := range []string{
		"client_secret=hunter2", "client_id", "client_assertion=", "scope=hunter2", "sc%6fpe=x",
		"x=%zz", "x=1;y=2",
	} {
		err := form.Read(nil, request(query, "a=1"), []string{"scope"})
		require.ErrorContains(t, err, "the query", query)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestRead_ContentType(t *testing.T) {
	for media, good := range map[string]bool{
		"application/x-www-form-urlencoded":                   true,
		"Application/X-WWW-Form-URLencoded; charset=UTF-8":    true,
		`application/x-www-form-urlencoded; charset="utf-8"`:  true,
		"application/x-www-form-urlencoded; charset=latin1":   false,
		"application/x-www-form-urlencoded, application/json": false,
		"multipart/form-data; boundary=x":                     false,
		"application/json":                                    false,
		"application/x-www-form-urlencoded;;charset":          false,
		"": false,
	} {
		r := request("", "a=1")
		r.Header.Set("Content-Type", media)
		require.Equal(t, good, form.Read(nil, r, nil) == nil, media)
	}
	r := request("", "a=1")
	r.Header.Add("Content-Type", "application/x-www-form-urlencoded")
	require.Error(t, form.Read(nil, r, nil), "two Content-Types")
}

func TestRead_ClientAuthentication(t *testing.T) {
	for body, headers := range map[string][]string{
		"a=1":                                {"Basic x", "Basic x"},
		"a=2":                                {"", "Basic x"},
		"client_secret=x":                    {"bAsIc"},
		"client_assertion=x":                 {"Basic x"},
		"client_secret=x&client_assertion=x": nil,
	} {
		r := request("", body)
		r.Header["Authorization"] = headers
		require.ErrorContains(t, form.Read(nil, r, nil), "R09", body)
	}
	for body, headers := range map[string][]string{
		"a=1":                            {"Basic x"},
		"client_id=x&client_secret=":     {"Basic x"},
		"client_secret=x":                {"Bearer x"},
		"client_id=x&client_assertion=x": nil,
	} {
		r := request("", body)
		r.Header["Authorization"] = headers
		require.NoError(t, form.Read(nil, r, nil), body)
	}
}
