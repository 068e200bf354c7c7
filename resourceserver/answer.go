package resourceserver

import (
	"net/http"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// The codes that only a resource server answers with (RFC 6750 §3.1); an Access has them in its Err.
const (
	InvalidToken      tokenexchange.Code = "invalid_token"      // 401
	InsufficientScope tokenexchange.Code = "insufficient_scope" // 403
)

// refuse makes a refusal with the fixed description of its code. One without description is sent without its code.
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

// refusedBy tells the host's no from its failure (I12). The cause stays inside.
func refusedBy(cause error) *tokenexchange.Error {
	code := tokenexchange.AsError(cause).Code
	err := &tokenexchange.Error{Code: code, Description: tokenexchange.AsError(code).Description}
	if code.Status() < http.StatusInternalServerError {
		err = refuse(InvalidToken, "R08: the token was not verified")
	}
	err.Err = cause
	return err
}

// answer sends an error: status, challenge, JSON, no-store. t is the token as far as it is known to be good.
func (p *protected) answer(w http.ResponseWriter, r *http.Request, scheme string, err *tokenexchange.Error, t tokenexchange.Token) {
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
		challenge += ", error=" + quote(string(err.Code)) + ", error_description=" + quote(err.Description)
		body["error"], body["error_description"] = string(err.Code), err.Description
	}
	if err.Code == InsufficientScope && p.lacksScope(t) {
		challenge += ", scope=" + quote(p.scope.String())
	}
	w.Header().Add("WWW-Authenticate", challenge) // beside one of the host's own, for DPoP perhaps
	endpoint.WriteJSON(w, status, body)
}

// quote makes a quoted-string (RFC 9110 §5.6.4); net/http turns line breaks into spaces.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
