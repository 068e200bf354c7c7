// Package form reads the forms that clients send to an authorization server, as RFC 6749 §3.2
// demands: from the body alone, and strictly. It does not know what the parameters mean.
package form

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// The limits of one form (R10). A form that exceeds one is refused, never cut.
const (
	MaxBody  = 256 << 10 // bytes of the whole form
	MaxValue = 64 << 10  // bytes of one value, which its reader checks

	// maxParameters keeps hostile requests cheap: refusing one may cost five times the reading of
	// its body, but parsing 10,000 short parameters would cost twenty times the reading.
	maxParameters = 1000
)

// authentication are the parameters that authenticate a client (RFC 6749 §2.3.1, RFC 7521 §4.2).
var authentication = []string{
	"client_id", "client_secret", "client_assertion", "client_assertion_type",
}

// Read parses the body into r.PostForm, and lets the body be read once more. If the form has been
// parsed before, Read takes r.PostForm as it is. If the body is malformed, r.PostForm stays nil.
//
// Read also refuses ambiguous client authentication, and a query that contains a parameter of
// client authentication or one of bodyOnly. Its errors are for operators; they never contain the
// value of a parameter.
func Read(w http.ResponseWriter, r *http.Request, bodyOnly []string) error {
	if !isForm(r.Header.Values("Content-Type")) {
		return errors.New("the Content-Type is not " + mediaType + " (R01)")
	}
	if r.PostForm == nil {
		if err := parseBody(w, r); err != nil {
			return err
		}
	} else if size(r.PostForm) > MaxBody {
		return fmt.Errorf("the form is larger than %d bytes (R10)", MaxBody)
	}
	if err := checkQuery(r.URL.RawQuery, bodyOnly); err != nil {
		return err
	}
	return checkAuthentication(r)
}

const mediaType = "application/x-www-form-urlencoded"

// isForm reports whether the only Content-Type is that of a form in UTF-8.
func isForm(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	media, params, err := mime.ParseMediaType(contentType[0])
	charset, given := params["charset"]
	return err == nil && media == mediaType && (!given || strings.EqualFold(charset, "utf-8"))
}

func parseBody(w http.ResponseWriter, r *http.Request) error {
	// The limit stays on r.Body, so that a later reader does not see what is left of a long body.
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("the body cannot be read (R10): %w", err)
	}
	form, err := parse(string(body))
	if err != nil {
		return fmt.Errorf("the body is not a form (R01): %w", err)
	}
	r.PostForm, r.Body = form, io.NopCloser(bytes.NewReader(body))
	return nil
}

// parse is url.ParseQuery with a limit on the number of parameters.
func parse(text string) (url.Values, error) {
	if n := strings.Count(text, "&") + 1; n > maxParameters {
		return nil, fmt.Errorf("%d parameters, %d are allowed", n, maxParameters)
	}
	return url.ParseQuery(text)
}

// size returns about how many bytes the form had as a body.
func size(form url.Values) int {
	n := 0
	for name, values := range form {
		for _, value := range values {
			n += len(name) + len(value) + len("=&")
		}
	}
	return n
}

func checkQuery(raw string, bodyOnly []string) error {
	if raw == "" {
		return nil
	}
	query, err := parse(raw)
	if err != nil {
		return fmt.Errorf("the query is malformed (R01): %w", err)
	}
	for _, names := range [][]string{authentication, bodyOnly} {
		for _, name := range names {
			if query.Has(name) {
				return fmt.Errorf("the query contains %s, which must be in the body (R01)", name)
			}
		}
	}
	return nil
}

// checkAuthentication refuses a request that two readers could attribute to two clients. RFC 6749
// §2.3 allows one way of authentication, and RFC 9110 §5.3 one Authorization header; net/http
// reads the first of several.
func checkAuthentication(r *http.Request) error {
	if n := len(r.Header.Values("Authorization")); n > 1 {
		return fmt.Errorf("%d Authorization headers, 1 is allowed (R09)", n)
	}
	secret := r.PostForm.Get("client_secret") != ""
	assertion := r.PostForm.Get("client_assertion") != ""
	if UsesBasic(r) && (secret || assertion) || secret && assertion {
		return errors.New("the client is authenticated in two ways (R09)")
	}
	return nil
}

// UsesBasic reports whether the Authorization header names the Basic scheme, well-formed or not.
func UsesBasic(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Basic")
}
