package tokenexchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
)

// Code is an OAuth error code that is itself an error: errors.Is(err, InvalidTarget) works through any wrapping.
type Code string

// The codes an exchange answers with (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9396 §5). A host may return further ones.
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

// Status is the HTTP status that goes with the code: 401, 500, 503, and 400 for every refusal.
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

// description is the one sentence that goes out with a code. What is unknown, inactive and forbidden reads alike.
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

// isSendable reports whether the code is made of the characters that RFC 6749 §5.2 allows.
func (c Code) isSendable() bool {
	for i := range len(c) {
		if b := c[i]; b < 0x20 || b > 0x7E || b == '"' || b == '\\' {
			return false
		}
	}
	return c != ""
}

// Error is a refusal or a failure. Code and Description go to the client; Rule, Reason and Err never do.
type Error struct {
	Code        Code
	Description string // one fixed sentence per class; never input, never a cause
	Rule        string // the policy rule that came closest, if a policy refused
	Reason      string // which condition failed, "D13: the chain may not be carried by this client"
	Err         error  // the cause; nil if the reason says all

	ours bool // Description was composed by this package; a host's own never leaves through an Exchanger
}

// refuse makes a refusal with the fixed description of its code.
func refuse(code Code, reason string) *Error {
	return &Error{Code: code, Description: code.description(), Reason: reason}
}

// refuseFor is refuse with a cause.
func refuseFor(code Code, reason string, cause error) *Error {
	e := refuse(code, reason)
	e.Err = cause
	return e
}

// refuseParameter makes a refusal whose description names the parameter at fault. problem and parameter are constants
// of this package, never input.
func refuseParameter(code Code, parameter, problem string) *Error {
	text := "The parameter " + parameter + " " + problem + "."
	return &Error{Code: code, Description: text, Reason: text, ours: true}
}

// AsError returns the outermost *Error or Code in err as an *Error: a bare Code gets its fixed description, a stranger is
// ServerError (TemporarilyUnavailable where a deadline has passed), nil is nil. A host says no with
// fmt.Errorf("%w: why", InvalidRequest); any other error is a failure of the host, not a no.
func AsError(err error) *Error {
	if err == nil {
		return nil // a typed nil is not: it is a failure
	}
	switch e := outermost(err).(type) {
	case *Error:
		if e.Description == "" {
			described := *e
			described.Description = e.Code.description()
			return &described
		}
		return e
	case *denial:
		return e.err()
	case Code:
		return &Error{Code: e, Description: e.description(), Err: err}
	}
	code := ServerError
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		code = TemporarilyUnavailable
	}
	return &Error{Code: code, Description: code.description(), Err: err}
}

// outermost returns the first *Error, *denial or Code on the way down, in the order of errors.Is; nil if there is none. One that
// has no code that could be sent is none.
func outermost(err error) error {
	switch e := err.(type) {
	case *Error:
		if e != nil && e.Code.isSendable() {
			return e
		}
	case *denial:
		return e
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

// Error is for operators; it must not be sent.
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
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Format prints what Error says, whatever the verb: %#v would go through the fields of the cause, which may be a host's
// record of a token.
func (e *Error) Format(w fmt.State, _ rune) { fmt.Fprint(w, e.Error()) }

// MarshalText is what Error says, so that an event can be written as JSON, without the fields of the cause.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// Unwrap returns Err.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Is reports whether target is the code.
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
