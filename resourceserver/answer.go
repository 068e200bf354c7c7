package resourceserver

import (
	"net/http"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// The error codes of a resource server (RFC 6750 §3.1), which Access.Err may have.
const (
	InvalidToken      tokenexchange.Code = "invalid_token"      // 401
	InsufficientScope tokenexchange.Code = "insufficient_scope" // 403
)

// refuse returns a refusal with the fixed description of its code.
func refuse(code tokenexchange.Code, reason, detail string, args ...any) *tokenexchange.Error {
	err := refusal.New(code, reason, detail, args...)
	err.Description = description(code)
	return err
}

// refusedBy returns the answer to an error of the host: InvalidToken for a refusal, and the code of
// the error for a failure (I12). The reason and the detail are for an error without them.
func refusedBy(cause error, reason, detail string) *tokenexchange.Error {
	code := tokenexchange.AsError(cause).Code
	if code.Status() < http.StatusInternalServerError {
		code = InvalidToken
	}
	err := refusal.Wrap(cause, code, reason, "%s", detail)
	err.Description = description(code)
	return err
}

// description returns the sentence that is sent with a code.
func description(code tokenexchange.Code) string {
	switch code {
	case tokenexchange.InvalidRequest:
		return "The request must carry exactly one well-formed access token."
	case InvalidToken:
		return "The access token is malformed, expired, revoked, not proved or not for this API."
	case InsufficientScope:
		return "The access token does not have the scope that this needs."
	}
	return tokenexchange.AsError(code).Description
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
