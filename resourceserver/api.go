// Package resourceserver protects an API whose callers bring access tokens, exchanged ones among them (RFC 6750).
//
// An API verifies the token of a request, lets the request in or answers it, and tells the handler whom it is about and who
// is acting. What may be done is decided on those two and on the token's own claims; whoever acted before is history
// (RFC 8693 §4.1), so SubjectFrom and ActorFrom do not have it. A token with act and one with act_as read alike.
//
// The authorization server of an API is its own issuer, in whatever process it runs: a Verifier with a Trust that is not
// Foreign keeps client_id and scope as the server wrote them. An API that has nobody to ask whether a token is still good
// says so with a Live that returns nil, and accepts a revoked JWT until it expires; one that asks has Introspection.
//
// Not promised: transport security; CORS, whose preflight requests have no token and belong in front of Protect.
package resourceserver

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/guard"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
)

// API says whose tokens a host's API accepts, and for whom. An incomplete one answers every request with 500 and a sentence
// that says what it lacks. Protect copies it.
type API struct {
	Issuer   string   // iss of its authorization server, byte for byte; required, except where Type is TypeJWT
	Audience []string // its own names, of which one must be in aud, byte for byte; required. The first is the realm of its answers

	// Verify is (*tokenexchange.Verifier).Verify, Introspection.Verify, or what a host puts into Exchanger.Verify; required.
	// It gets no Client, since nobody has authenticated one. An error that carries a Code is 401. Any other is a failure and
	// never 401, and so are server_error, temporarily_unavailable and a panic: 500, or 503 where a deadline has passed (I12).
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

	// Type is what tokens are declared as to Verify. Empty is TypeAccessToken. TypeJWT is for a Verify that trusts Foreign
	// issuers: these are not compared with Issuer, and their tokens have no client_id and the scope that Trust.Scopes gives
	// them. There is no third: never an ID token, a ticket or a refresh token, whatever Verify says.
	Type tokenexchange.TokenType

	// RefuseActors refuses tokens that somebody uses on behalf of somebody else, with 403. An impersonation that left no
	// trace in the token is not seen.
	RefuseActors bool

	// Proved says which keys this request proves: its client certificate (RFC 8705), its DPoP proof (RFC 9449 §7.1), which
	// the host has checked against this very token. It is asked only about a token that is bound to a key and good otherwise;
	// one whose key is not proved is 401 (D30). Nil: nothing is proved, and DPoP is no scheme here.
	Proved func(*http.Request) tokenexchange.Confirmation

	// Audit is told of every request, refused ones too. Its context ends after 5 seconds, and then
	// the request does not wait for it any longer. Nil: no access is recorded.
	Audit func(context.Context, Access)
	Now   func() time.Time // nil is time.Now
}

// Protect lets to next only requests with a good access token for this API that has every one of the scopes; without
// scopes, any such token. The token is read from the Authorization header, never from the query or a form, and stays there
// for a handler that exchanges it. A nil next, or a scope that is malformed or empty, is 500 like an incomplete API. A panic of next is
// passed on. Where one Protect is inside another, both verify.
//
// What is refused is answered as in RFC 6750 §3, with a challenge and as JSON: 401 without an error code if there is no
// token, 400 invalid_request if there is not one well-formed token, 401 invalid_token, 403 insufficient_scope. Nothing in
// an answer is from the token or from the host's errors.
func (a API) Protect(next http.Handler, scope ...string) http.Handler {
	p := &protected{API: a, next: next}
	p.Audience = slices.Clone(a.Audience)
	p.Type = cmp.Or(a.Type, tokenexchange.TypeAccessToken)
	if p.Now == nil {
		p.Now = time.Now
	}
	var malformed error
	p.scope, malformed = tokenexchange.ParseScope(strings.Join(scope, " "))
	switch {
	case a.Verify == nil || next == nil:
		p.broken = "The API has no Verify, or no handler."
	case len(a.Audience) == 0 || slices.Contains(a.Audience, ""):
		p.broken = "The API has no Audience, or an empty one."
	case p.Type == tokenexchange.TypeAccessToken && a.Issuer == "":
		p.broken = "The API has no Issuer."
	case p.Type != tokenexchange.TypeAccessToken && p.Type != tokenexchange.TypeJWT:
		p.broken = "The API has a Type that is no access token."
	case malformed != nil || slices.Contains(scope, ""):
		p.broken = "The API asks for a malformed scope."
	}
	return p
}

// protected is a handler behind an API, ready for use.
type protected struct {
	API
	next   http.Handler
	scope  tokenexchange.Scope
	broken string // why no request can be let in; empty: nothing is wrong
}

// The schemes that a token is sent with (RFC 6750 §2.1, RFC 9449 §7.1), what it is made of, and how long it may be (R10).
const (
	bearer     = "Bearer"
	dpop       = "DPoP"
	tokenChars = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+/" // before any "="
	maxToken   = 64 << 10
)

// admit is the order of the checks: an API that is none (500), then what is wrong with the request (400), with the token
// (401), with what it allows (403). It returns the token, also with an error, once it is known to be a good one for this API.
func (p *protected) admit(r *http.Request, now time.Time) (t tokenexchange.Token, scheme string, err *tokenexchange.Error) {
	if p.broken != "" {
		return t, bearer, &tokenexchange.Error{Code: tokenexchange.ServerError, Description: p.broken, Reason: p.broken}
	}
	scheme, raw, err := p.credentials(r.Header.Values("Authorization"))
	if err != nil {
		return t, scheme, err
	}
	c := tokenexchange.Credential{Token: raw, Type: p.Type, Issuer: p.Issuer, Now: now}
	var found tokenexchange.Token
	failed := guarded(raw, func() (err error) {
		found, err = p.Verify(r.Context(), c)
		return err
	})
	if failed != nil {
		return t, scheme, refusedBy(failed)
	}
	if reason := p.unfit(found, now); reason != "" {
		return t, scheme, refuse(InvalidToken, reason)
	}
	t = found
	if err := p.keys(r, scheme, raw, t.Confirmation); err != nil {
		return t, scheme, err
	}
	if p.RefuseActors && t.Actor != nil {
		err := refuse(InsufficientScope, "Z22: the token is acted for")
		err.Description = "A token with an actor is not accepted here."
		return t, scheme, err
	}
	if p.lacksScope(t) {
		return t, scheme, refuse(InsufficientScope, "R17: a scope is missing")
	}
	return t, scheme, nil
}

// credentials reads the one Authorization header. A scheme that is not ours is as good as no token.
func (p *protected) credentials(headers []string) (scheme, token string, err *tokenexchange.Error) {
	if len(headers) > 1 {
		return bearer, "", refuse(tokenexchange.InvalidRequest, "R04: more than one Authorization header")
	}
	scheme, token, _ = strings.Cut(strings.Join(headers, ""), " ")
	switch token = strings.TrimLeft(token, " "); {
	case strings.EqualFold(scheme, bearer):
		scheme = bearer
	case strings.EqualFold(scheme, dpop) && p.Proved != nil:
		scheme = dpop
	default:
		return bearer, "", &tokenexchange.Error{Code: InvalidToken, Reason: "RFC 6750 §3.1: no token"}
	}
	unpadded := strings.TrimRight(token, "=")
	if unpadded == "" || len(token) > maxToken || strings.TrimLeft(unpadded, tokenChars) != "" {
		return scheme, "", refuse(tokenexchange.InvalidRequest, "R10: the token is malformed or too long")
	}
	return scheme, token, nil
}

// unfit returns why a token that has been verified is not one for this API, or nothing. A Verify of the host is held to
// what a Verifier has looked at already.
func (p *protected) unfit(t tokenexchange.Token, now time.Time) (reason string) {
	own := t.Type == tokenexchange.TypeAccessToken
	switch {
	case !own && (t.Type != tokenexchange.TypeJWT || t.Type != p.Type):
		return "R08: the token was not found to be an access token"
	case own && t.Issuer != p.Issuer:
		return "R08: the token is of another issuer"
	case t.Issuer == "" || t.Subject == "" || t.Actor != nil && t.Actor.Subject == "":
		return "R08: the token does not say whose it is, whom it is about or who acts"
	case !now.Before(t.Expires):
		return "D26: expired"
	case !slices.ContainsFunc(t.Audience, func(name string) bool { return slices.Contains(p.Audience, name) }):
		return "D24: the token is not for this API"
	}
	return ""
}

// keys refuses a token whose keys the request does not prove, and one that is bound by DPoP under the Bearer scheme, or the
// reverse (RFC 9449 §7.2).
func (p *protected) keys(r *http.Request, scheme, raw string, bound tokenexchange.Confirmation) *tokenexchange.Error {
	if (scheme == dpop) != (bound.JKT != "") {
		return refuse(InvalidToken, "D30: the scheme does not fit the token")
	}
	var have tokenexchange.Confirmation
	if p.Proved != nil && bound != (tokenexchange.Confirmation{}) {
		if failed := guarded(raw, func() error { have = p.Proved(r); return nil }); failed != nil {
			return refusedBy(failed)
		}
	}
	if bound.JKT != "" && bound.JKT != have.JKT || bound.X5T != "" && bound.X5T != have.X5T {
		return refuse(InvalidToken, "D30: the key of the token is not proved")
	}
	return nil
}

// lacksScope reports whether one of the scopes is not in the token. A token that does not say its scope has none.
func (p *protected) lacksScope(t tokenexchange.Token) bool {
	return len(p.scope.Within(t.Scope)) < len(p.scope)
}

// guarded calls host code. The error does not contain the token (I08).
func guarded(token string, call func() error) error {
	err := guard.Call(call)
	if err == nil {
		return nil
	}
	return redact.Error(err, tokenexchange.AsError(err).Code, token)
}
