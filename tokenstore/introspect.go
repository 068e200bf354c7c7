package tokenstore

import (
	"net/http"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// IntrospectionHandler is the introspection endpoint of an issuer for its resource servers
// (RFC 7662). authenticate is as for tokenexchange.Exchanger.Handler; public clients are refused.
//
// A caller may introspect an access token whose audience is its ID or one of its Audiences, and an
// access or refresh token that was issued to it. The response for every other token is
// {"active":false}, as it is for a token that is unknown, expired or revoked, and for a token whose
// subject or current actor is unknown to Subjects, locked or disabled. If Subjects fails, the
// response is an error.
//
// The response has the claims of an access token, with act in the standard form whatever form a JWT
// has (D18), with may_act and cnf, and with auth_time and acr (RFC 9470 §6.2). It does not have amr
// or claims that the host has added. tokenexchange.ParseToken reads it.
func (t *Tokens) IntrospectionHandler(issuer string,
	authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return t.endpoint(authenticate, func(r *http.Request, caller tokenexchange.Client) (
		http.Handler, error) {
		if caller.Public {
			return nil, refusal.New(tokenexchange.UnauthorizedClient, "public_client_introspects",
				"client %q is public; introspection is for confidential clients", caller.ID)
		}
		value, err := tokenOfForm(r.PostForm)
		if err != nil {
			return nil, err
		}
		response := map[string]any{"active": false}
		tok, err := t.verifyAny(r.Context(), issuer, caller, value)
		allowed := err == nil && mayIntrospect(caller, tok)
		if allowed {
			err = t.resolve(r.Context(), tok)
		}
		switch {
		case isFailure(err):
			return nil, err
		case err == nil && allowed:
			response = introspection(tok)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			endpoint.WriteJSON(w, http.StatusOK, response)
		}), nil
	})
}

// mayIntrospect reports whether a caller may know about a token.
func mayIntrospect(caller tokenexchange.Client, t tokenexchange.Token) bool {
	switch t.Type {
	case tokenexchange.TypeRefreshToken:
		return t.ClientID == caller.ID
	case tokenexchange.TypeAccessToken:
		return t.ClientID == caller.ID || slices.Contains(t.Audience, caller.ID) ||
			slices.ContainsFunc(caller.Audiences, func(a string) bool {
				return slices.Contains(t.Audience, a)
			})
	}
	return false
}

// introspection returns the response for an active token (RFC 7662 §2.2, RFC 8693 §4).
func introspection(t tokenexchange.Token) map[string]any {
	m := t.ClaimsSet()
	delete(m, "amr")
	m["active"] = true
	if t.Type == tokenexchange.TypeAccessToken {
		m["token_type"] = "Bearer"
		if t.Confirmation.JKT != "" {
			m["token_type"] = "DPoP"
		}
	}
	return m
}
