package tokenexchange

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// The token_type values of a response (RFC 8693 §2.2.1, RFC 9449 §5).
const (
	bearer        = "Bearer"
	dpop          = "DPoP"
	notApplicable = "N_A"
)

// Response is a successful answer (RFC 8693 §2.2.1). Its tokens are marshalled, but never printed
// (I08). Example:
//
//	{"access_token": "eyJhbGciOi...", "expires_in": 300, "token_type": "Bearer",
//	 "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
//	 "scope": "orders:read"}
type Response struct {
	AccessToken     string    `json:"access_token"` // the issued token, of any type
	IssuedTokenType TokenType `json:"issued_token_type"`
	TokenType       string    `json:"token_type"`              // Bearer, DPoP or N_A (R11)
	ExpiresIn       int64     `json:"expires_in"`              // seconds, at least 1
	Scope           string    `json:"scope,omitempty"`         // the granted scope; empty: none
	RefreshToken    string    `json:"refresh_token,omitempty"` // beside the issued token (D23)
	IDToken         string    `json:"id_token,omitempty"`      // beside an access token (D23)
}

// newResponse describes issued tokens. The caller has checked them against the decision.
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

// tokenType returns the token_type of the response (RFC 8693 §2.2.1). A token that is bound by
// mutual TLS is used like a bearer token and has its token_type (RFC 8705 §3).
func tokenType(d *Decision) string {
	switch {
	case d.Type != TypeAccessToken && d.Type != TypeJWT:
		return notApplicable
	case d.Confirmation.JKT != "":
		return dpop
	}
	return bearer
}

// Format prints the response without its tokens, for every verb.
func (p Response) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{issued_token_type:%s token_type:%s expires_in:%d scope:%q}",
		p.IssuedTokenType, p.TokenType, p.ExpiresIn, p.Scope)
}

// LogValue returns the text of Format, because some log handlers marshal their values.
func (p Response) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// ServeHTTP sends the response with status 200, as JSON that must not be stored.
func (p Response) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	endpoint.WriteJSON(w, http.StatusOK, p)
}
