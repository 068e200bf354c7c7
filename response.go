package tokenexchange

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
)

// The token_type values of a response (RFC 8693 §2.2.1, RFC 9449 §5).
const (
	bearer        = "Bearer"
	dpop          = "DPoP"
	notApplicable = "N_A"
)

// Response is a successful answer (RFC 8693 §2.2.1). It holds tokens: it marshals, and never prints.
type Response struct {
	AccessToken     string    `json:"access_token"` // the issued token, whatever its type
	IssuedTokenType TokenType `json:"issued_token_type"`
	TokenType       string    `json:"token_type"` // Bearer, DPoP, or N_A for what is no access token
	ExpiresIn       int64     `json:"expires_in"` // seconds, above zero
	Scope           string    `json:"scope,omitempty"`
	RefreshToken    string    `json:"refresh_token,omitempty"`
	IDToken         string    `json:"id_token,omitempty"`
}

// newResponse says what was issued. The conductor has checked it against the decision.
func newResponse(d *Decision, t *IssuedToken) Response {
	return Response{
		AccessToken:     t.Value,
		IssuedTokenType: d.Type,
		TokenType:       tokenType(d),
		ExpiresIn:       int64(t.Expires.Sub(d.Issued).Seconds()),
		Scope:           d.Scope.String(),
		RefreshToken:    t.RefreshToken,
		IDToken:         t.IDToken,
	}
}

// tokenType returns the token_type of the response (RFC 8693 §2.2.1).
func tokenType(d *Decision) string {
	switch {
	case d.Type != TypeAccessToken && d.Type != TypeJWT:
		return notApplicable
	case d.Confirmation.JKT != "":
		return dpop
	}
	return bearer
}

// Format prints everything but the tokens, whatever the verb.
func (p Response) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{issued_token_type:%s token_type:%s expires_in:%d scope:%q}",
		p.IssuedTokenType, p.TokenType, p.ExpiresIn, p.Scope)
}

// LogValue is what Format prints: a log that marshals its values must not have the tokens either.
func (p Response) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// ServeHTTP sends the response: 200, JSON, no-store.
func (p Response) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, _ := json.Marshal(p) // strings and a number always encode
	writeJSON(w, http.StatusOK, body)
}

// writeJSON sends an answer of the token endpoint (RFC 6749 §5.1). A write that fails has nobody left to tell.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	// The values of all five share one allocation; none can grow into the next.
	values := []string{"application/json", strconv.Itoa(len(body)), "no-store", "no-cache", "nosniff"}
	h := w.Header()
	for i, name := range []string{"Content-Type", "Content-Length", "Cache-Control", "Pragma", "X-Content-Type-Options"} {
		h[name] = values[i : i+1 : i+1]
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
