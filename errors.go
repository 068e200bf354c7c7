package tokenexchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// Code is an OAuth error code. It is an error, so that errors.Is(err, InvalidTarget) works, and so
// that a host can refuse by returning a Code. The empty Code is not sent; see AsError.
type Code string

// The codes of an exchange (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9396 §5). A host may return
// others.
const (
	InvalidRequest              Code = "invalid_request"
	InvalidClient               Code = "invalid_client"
	InvalidGrant                Code = "invalid_grant"
	UnauthorizedClient          Code = "unauthorized_client"
	UnsupportedGrantType        Code = "unsupported_grant_type"
	InvalidScope                Code = "invalid_scope"
	InvalidTarget               Code = "invalid_target"
	InvalidAuthorizationDetails Code = "invalid_authorization_details"
	ServerError                 Code = "server_error"
	TemporarilyUnavailable      Code = "temporarily_unavailable"
)

// Error returns the code.
func (c Code) Error() string { return string(c) }

// Status returns the HTTP status of the code: 401 for InvalidClient, 500 for ServerError, 503 for
// TemporarilyUnavailable, and 400 for every other code.
func (c Code) Status() int {
	switch c {
	case InvalidClient:
		return http.StatusUnauthorized
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// description returns the sentence that is sent with a code. It is the same for a party that is
// unknown, inactive or not allowed, so that a client cannot find out which accounts exist (R13).
func (c Code) description() string {
	switch c {
	case InvalidRequest:
		return "The request is malformed, or a token in it is not acceptable."
	case InvalidClient:
		return "Client authentication failed."
	case InvalidGrant:
		return "The grant is not valid, or not acceptable."
	case UnauthorizedClient:
		return "The client is not allowed to use this grant."
	case UnsupportedGrantType:
		return "The grant type is not supported."
	case InvalidScope:
		return "The requested scope is malformed, or more than may be granted."
	case InvalidTarget:
		return "A requested audience or resource is malformed, unknown or not acceptable."
	case InvalidAuthorizationDetails:
		return "The parameter authorization_details is not supported."
	case ServerError:
		return "The server could not complete the request."
	case TemporarilyUnavailable:
		return "The server could not complete the request in time."
	}
	return "The request was refused."
}

// isSendable reports whether the code consists of the characters that RFC 6749 §5.2 allows. An
// empty code is not sendable.
func (c Code) isSendable() bool {
	for i := range len(c) {
		if b := c[i]; b < 0x20 || b > 0x7E || b == '"' || b == '\\' {
			return false
		}
	}
	return c != ""
}

// Error is a refusal or a failure. Code and Description are sent to the client. The other fields
// are for the operator and never leave the server (R13). A host that returns an Error with a Code
// refuses. An Error whose Code cannot be sent, the zero Error included, is a failure (I12).
type Error struct {
	Code        Code
	Description string // one fixed sentence for each kind of error; no input and no cause
	Rule        string // the rule that the request satisfied the furthest; may be empty
	Reason      string // stable and machine-readable, see docs/debugging.md: "scope_not_allowed"
	Detail      string // a sentence with the offending value and the allowed values
	Err         error  // the cause; nil if there is none

	ours bool // this package wrote Description; a Description of the host is not sent
}

// refuse returns a refusal with the fixed description of its code. The detail is for operators; it
// never contains a token.
func refuse(code Code, reason, detail string, args ...any) *Error {
	return &Error{Code: code, Description: code.description(), Reason: reason,
		Detail: shortened(fmt.Sprintf(detail, args...))}
}

// refuseFor returns a refusal with a cause.
func refuseFor(code Code, reason, detail string, cause error) *Error {
	e := refuse(code, reason, "%s", detail)
	e.Err = cause
	return e
}

// refuseParameter returns a refusal whose description names the parameter at fault. Parameter and
// problem are constants of this package, never input.
func refuseParameter(code Code, parameter, problem string) *Error {
	text := "The parameter " + parameter + " " + problem + "."
	reason := "parameter_" + strings.ReplaceAll(strings.TrimPrefix(problem, "is "), " ", "_")
	return &Error{Code: code, Description: text, Reason: reason, Detail: text, ours: true}
}

// wrapStep returns the error of a host with the step at which the host was called, unless the host
// gave a reason of its own. The code of the host stays, and Err keeps the error for errors.Is.
func wrapStep(reason, detail string, err error) *Error {
	e := AsError(err)
	wrapped := &Error{Code: e.Code, Description: e.Code.description(), Rule: e.Rule,
		Reason: e.Reason, Detail: e.Detail, Err: err}
	switch own, _ := err.(*Error); {
	case e.Reason == "" && e.Detail == "":
		wrapped.Reason, wrapped.Detail = reason, detail
	case own != nil && own.Code == e.Code:
		wrapped.Err = own.Err // wrapped has the other fields of own already
	}
	return wrapped
}

// shortened limits a detail, since a client chooses the length of a target. It does not cut a
// character in two.
func shortened(detail string) string {
	const most = 1000
	if len(detail) <= most {
		return detail
	}
	return strings.ToValidUTF8(detail[:most], "") + "…"
}

// mostListed is how many values a detail lists. A rule can have thousands of targets.
const mostListed = 20

// listed returns the values, quoted, for a detail.
func listed[T ~string](values []T) string {
	return listedAs(values, func(v T) string { return strconv.Quote(string(v)) })
}

// listedAs returns the texts of the values for a detail: "none" for no values, and the number of
// the values that are left out.
func listedAs[T any](values []T, text func(T) string) string {
	if len(values) == 0 {
		return "none"
	}
	var texts []string
	for _, v := range values[:min(len(values), mostListed)] {
		texts = append(texts, text(v))
	}
	if more := len(values) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

// timestamp returns a time for a detail, in UTC.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// AsError returns the outermost *Error or Code in err as an *Error. It is nil if err is nil. Any
// other error is a failure: ServerError, or TemporarilyUnavailable if a deadline has passed. A host
// refuses with an error such as fmt.Errorf("%w: account closed", InvalidRequest).
func AsError(err error) *Error {
	if err == nil {
		return nil // a nil pointer in err is not nil, but a failure
	}
	switch e := outermost(err).(type) {
	case *Error:
		if e.Description == "" {
			described := *e
			described.Description = e.Code.description()
			return &described
		}
		return e
	case Code:
		return &Error{Code: e, Description: e.description(), Err: err}
	}
	code := ServerError
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		code = TemporarilyUnavailable
	}
	return &Error{Code: code, Description: code.description(), Err: err}
}

// outermost returns the first *Error or Code in the tree of err, in the order of errors.Is, or nil.
// It ignores an error whose code cannot be sent.
func outermost(err error) error {
	switch e := err.(type) {
	case *Error:
		if e != nil && e.Code.isSendable() {
			return e
		}
	case Code:
		if e.isSendable() {
			return e
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return outermost(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if found := outermost(inner); found != nil {
				return found
			}
		}
	}
	return nil
}

// Error returns a text for operators: code, rule, reason, detail and cause. It must not be sent to
// a client.
func (e *Error) Error() string {
	if e == nil {
		return string(ServerError)
	}
	parts := []string{string(e.Code)}
	if e.Rule != "" {
		parts = append(parts, fmt.Sprintf("rule %q", e.Rule))
	}
	if e.Reason != "" {
		parts = append(parts, e.Reason)
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Format prints the result of Error for every verb: %#v would print the fields of the cause, which
// may hold a token.
func (e *Error) Format(w fmt.State, _ rune) { fmt.Fprint(w, e.Error()) }

// MarshalText returns the result of Error, so that an Event can be written as JSON.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// Unwrap returns Err.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Is reports whether target is the code of the error, for errors.Is.
func (e *Error) Is(target error) bool { return e != nil && target == error(e.Code) }

// ServeHTTP answers a request with the error (RFC 6749 §5.2), as JSON that must not be stored. A
// client that used HTTP Basic and was not authenticated gets a WWW-Authenticate header.
func (e *Error) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e = AsError(e)
	if e.Code == InvalidClient && form.UsesBasic(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint", charset="UTF-8"`)
	}
	endpoint.WriteJSON(w, e.Code.Status(), struct {
		Error       Code   `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
}
