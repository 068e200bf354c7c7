package tokenexchange

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxParameters is how many name=value pairs one form may have. It is far above what a form can use, and keeps a body of
// nothing but separators cheap.
const maxParameters = 1 << 14

// Handler is the token endpoint for this one grant (R01). authenticate runs after the body has been read, so r.PostForm
// is there for client_secret_post, and r.Body can be read once more. A form that the host has parsed already is used as
// it is, so whoever parses it must look at the error of ParseForm.
//
// A client that could not be authenticated is an error with the code InvalidClient, one without this grant
// UnauthorizedClient; an error without a Code is a failure. Mind that user and password of Basic are form-encoded below the
// base64 (RFC 6749 §2.3.1): Request.BasicAuth leaves url.QueryUnescape to its caller. Bodies that never end are cut by the
// limits of http.Server.
func (x *Exchanger) Handler(authenticate func(*http.Request) (Client, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(InvalidRequest, "").serve(w, http.StatusMethodNotAllowed)
			return
		}
		if err := readForm(w, r); err != nil {
			err.ServeHTTP(w, r)
			return
		}
		client, err := authenticated(r, authenticate)
		if err != nil {
			err.ServeHTTP(w, r)
			return
		}
		resp, failed := x.Exchange(r.Context(), client, r.PostForm)
		if failed != nil {
			AsError(failed).ServeHTTP(w, r)
			return
		}
		resp.ServeHTTP(w, r)
	})
}

// readForm fills in r.PostForm from the body alone. Everything that it refuses is malformed for any client.
func readForm(w http.ResponseWriter, r *http.Request) *Error {
	if !isForm(r.Header.Values("Content-Type")) {
		return refuse(InvalidRequest, "R01: not a form")
	}
	if r.PostForm == nil {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return refuseFor(InvalidRequest, "R10: the body cannot be read, or is too long", err)
		}
		if r.PostForm, err = parseForm(string(body)); err != nil {
			return refuseFor(InvalidRequest, "R01: the body is not a form", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	} else if size(r.PostForm) > maxBody {
		return refuse(InvalidRequest, "R10: the body is too long")
	}
	if err := checkQuery(r.URL.RawQuery); err != nil {
		return err
	}
	if usesBasic(r) && (r.PostForm.Get("client_secret") != "" || r.PostForm.Get("client_assertion") != "") {
		return refuse(InvalidRequest, "R09: two ways of client authentication in one request")
	}
	return nil
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

// parseForm reads application/x-www-form-urlencoded, and nothing that is nearly that. net/url would stop at ten thousand
// pairs, before anybody could say that they are too many targets.
func parseForm(body string) (url.Values, error) {
	if strings.Count(body, "&") >= maxParameters {
		return nil, errors.New("too many parameters")
	}
	form := url.Values{}
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil {
			return nil, errors.New("malformed escape")
		}
		form[name] = append(form[name], value)
	}
	return form, nil
}

// size is about what a form was as a body.
func size(form url.Values) int {
	n := 0
	for name, values := range form {
		for _, value := range values {
			n += len(name) + len(value) + len("=&")
		}
	}
	return n
}

// inBody are the parameters that must not be in the query: those of this grant, and how a client says who it is.
var inBody = append([]string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}, parameters...)

func checkQuery(raw string) *Error {
	if raw == "" {
		return nil
	}
	query, err := parseForm(raw)
	if err != nil {
		return refuse(InvalidRequest, "R01: a malformed query")
	}
	for _, name := range inBody {
		if query.Has(name) {
			return refuse(InvalidRequest, "R01: a parameter of the body in the query")
		}
	}
	return nil
}

// authenticated asks the host who the client is. What the host says about it stays inside.
func authenticated(r *http.Request, authenticate func(*http.Request) (Client, error)) (client Client, refused *Error) {
	err := guard(func() (err error) {
		client, err = authenticate(r)
		return err
	})
	if err == nil && client.ID == "" {
		err = InvalidClient
	}
	if err != nil {
		return Client{}, refuseFor(AsError(err).Code, "", err)
	}
	return client, nil
}
