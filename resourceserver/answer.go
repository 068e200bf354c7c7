package resourceserver

import (
	"net/http"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// The error codes of a resource server (RFC 6750 §3.1), which Access.Err may have.
const (
	InvalidToken      tokenexchange.Code = "invalid_token"      // 401
	InsufficientScope tokenexchange.Code = "insufficient_scope" // 403
)

// refuse returns a refusal with the fixed description of its code.
func refuse(code tokenexchange.Code, reason string) *tokenexchange.Error {
	text := "The request must carry exactly one well-formed access token."
	switch code {
	case InvalidToken:
		text = "The access token is malformed, expired, revoked, not proved or not for this API."
	case InsufficientScope:
		text = "The access token does not have the scope that this needs."
	}
	return &tokenexchange.Error{Code: code, Description: text, Reason: reason}
}

// refusedBy returns the answer to an error of the host: InvalidToken for a refusal, and the code of
// the error for a failure (I12). The cause is for operators.
func refusedBy(cause error) *tokenexchange.Error {
	code := tokenexchange.AsError(cause).Code
	err := &tokenexchange.Error{Code: code, Description: tokenexchange.AsError(code).Description}
	if code.Status() < http.StatusInternalServerError {
		err = refuse(InvalidToken, "the token was not verified (R08)")
	}
	err.Err = cause
	return err
}

// answer sends an error: status, challenge and JSON. An error without a description is sent without
// its code. t is the token if it is valid for this API, otherwise zero.
func (p *protected) answer(w http.ResponseWriter, r *http.Request, scheme string,
	err *tokenexchange.Error, t tokenexchange.Token) {
	status := err.Code.Status()
	switch {
	case status >= http.StatusInternalServerError:
		err.ServeHTTP(w, r)
		return
	case err.Code == InvalidToken:
		status = http.StatusUnauthorized
	case err.Code == InsufficientScope:
		status = http.StatusForbidden
	}
	challenge, body := scheme+" realm="+quote(p.Audience[0]), map[string]string{}
	if err.Description != "" {
		body["error"], body["error_description"] = string(err.Code), err.Description
		challenge += ", error=" + quote(body["error"]) +
			", error_description=" + quote(body["error_description"])
	}
	if err.Code == InsufficientScope && p.lacksScope(t) {
		challenge += ", scope=" + quote(p.scope.String())
	}
	w.Header().Add("WWW-Authenticate", challenge) // the host may have set another, for DPoP
	endpoint.WriteJSON(w, status, body)
}

// quote returns a quoted-string (RFC 9110 §5.6.4). Package net/http replaces line breaks by spaces.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
