package tokenstore

import (
	"net/http"
	"slices"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/endpoint"
)

// IntrospectionHandler answers resource servers of an issuer (RFC 7662). authenticate is as for
// tokenexchange.Exchanger.Handler; public clients are refused. A caller is told about an access token that is for it, by
// its ID or one of its Audiences, or was issued to it, and about a refresh token that was issued to it. Every other
// token, of another kind or issuer, unknown, expired or revoked, is {"active":false}. So is a token
// whose subject or current actor is unknown to Subjects, locked or disabled; where Subjects fails,
// the answer is an error.
//
// The answer says what the token says, in the claims of an access token with act whatever shape a JWT has (D18), with
// may_act and cnf, and with auth_time and acr (RFC 9470 §6.2); amr and claims that a host has added are not in it. It is
// fit for tokenexchange.ParseToken.
func (t *Tokens) IntrospectionHandler(issuer string, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return t.endpoint(authenticate, func(r *http.Request, caller tokenexchange.Client) (http.Handler, error) {
		if caller.Public {
			return nil, tokenexchange.UnauthorizedClient
		}
		value, err := tokenOfForm(r.PostForm)
		if err != nil {
			return nil, err
		}
		answer := map[string]any{"active": false}
		tok, err := t.presented(r.Context(), issuer, caller, value)
		known := err == nil && mayKnow(caller, tok)
		if known {
			err = t.resolve(r.Context(), tok)
		}
		switch {
		case isFailure(err):
			return nil, err
		case err == nil && known:
			answer = introspection(tok)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { endpoint.WriteJSON(w, http.StatusOK, answer) }), nil
	})
}

// mayKnow reports whether a token is the caller's to know about.
func mayKnow(caller tokenexchange.Client, t tokenexchange.Token) bool {
	switch t.Type {
	case tokenexchange.TypeRefreshToken:
		return t.ClientID == caller.ID
	case tokenexchange.TypeAccessToken:
		return t.ClientID == caller.ID || slices.Contains(t.Audience, caller.ID) ||
			slices.ContainsFunc(caller.Audiences, func(a string) bool { return slices.Contains(t.Audience, a) })
	}
	return false
}

// introspection is what a token says, in the members of RFC 7662 §2.2 and RFC 8693 §4. What it does not say is left out.
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
