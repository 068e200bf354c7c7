// Package resourceserver protects an API that is called with access tokens (RFC 6750), including
// exchanged ones.
//
// It verifies the token of a request, answers the request if the token is not acceptable, and tells
// the handler who the subject and who the actor is. The handler decides by these two and by the
// claims of the token. Prior actors are history (RFC 8693 §4.1); SubjectFrom and ActorFrom do not
// return them. A token with act and one with act_as read alike.
//
// The authorization server of an API is its own issuer, even in another process. So the Trust of
// the API's Verifier must not be Foreign; then client_id and scope are as the server wrote them.
// Use Introspection to check whether a token was revoked. A Verifier whose Live always returns nil
// accepts a revoked JWT until it expires.
//
// Not included: transport security, and CORS, whose preflight requests carry no token and must be
// answered in front of Protect.
package resourceserver

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/guard"
	"github.com/go-tokenexchange/tokenexchange/internal/redact"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// API describes which access tokens an API accepts. An incomplete API answers every request with
// status 500 and a sentence that says what is missing. Protect copies the API.
type API struct {
	// Issuer is the iss of the authorization server, byte for byte. It is required unless Type is
	// TypeJWT.
	Issuer string

	// Audience has the names of the API, byte for byte. One of them must be in aud. At least one is
	// required; the first is also the realm of challenges.
	Audience []string

	// Verify verifies a token: (*tokenexchange.Verifier).Verify, Introspection.Verify, or a
	// function of the host that fits Exchanger.Verify. It is required. Credential.Client is zero,
	// because no client has been authenticated.
	//
	// An error with a code refuses the token with 401. Any other error, server_error,
	// temporarily_unavailable and a panic are failures: the answer is 500, or 503 if a deadline
	// has passed (I12).
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

	// Type is the type that tokens are declared as in Credential.Type: TypeAccessToken, the
	// default, or TypeJWT for a Verify that trusts Foreign issuers. The issuer of a TypeJWT token
	// is not compared with Issuer; the token has no client_id and the scope that Trust.Scopes maps.
	// ID tokens, tickets and refresh tokens are never accepted, even if Verify accepts them.
	Type tokenexchange.TokenType

	// RefuseActors refuses a token with an actor, with status 403. It cannot notice an
	// impersonation, which leaves no trace in the token.
	RefuseActors bool

	// Proved returns the keys that a request proves: the client certificate (RFC 8705), or the key
	// of a DPoP proof (RFC 9449 §7.1) that the host has checked against the token. It is called
	// only for a token that is bound to a key and valid otherwise. If the key is not proved, the
	// answer is 401 (D30). If Proved is nil, no bound token and no DPoP scheme is accepted.
	Proved func(*http.Request) tokenexchange.Confirmation

	// Audit is called for every request, including refused ones. Its context ends after 5 seconds,
	// and the request does not wait longer for it. If Audit is nil, nothing is recorded.
	Audit func(context.Context, Access)

	Now func() time.Time // nil is time.Now
}

// Protect returns a handler that passes a request to next if it carries an access token for this
// API that has all of the scopes. The token must be in the Authorization header; tokens in the
// query or in a form are ignored. The header stays, so that next can exchange the token. A panic of
// next is not recovered. If next is nil, or a scope is malformed or empty, the API is incomplete.
//
// Other requests are answered as RFC 6750 §3 says, with a challenge and with JSON: 401 without an
// error code if there is no token, 400 invalid_request if there is not exactly one well-formed
// token, 401 invalid_token, or 403 insufficient_scope. Answers contain nothing from the token or
// from an error of the host.
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
		p.incomplete = "The API has no Verify, or no handler."
	case len(a.Audience) == 0 || slices.Contains(a.Audience, ""):
		p.incomplete = "The API has no Audience, or an empty one."
	case p.Type == tokenexchange.TypeAccessToken && a.Issuer == "":
		p.incomplete = "The API has no Issuer."
	case p.Type != tokenexchange.TypeAccessToken && p.Type != tokenexchange.TypeJWT:
		p.incomplete = "The API has a Type that is no access token."
	case malformed != nil || slices.Contains(scope, ""):
		p.incomplete = "The API asks for a malformed scope."
	}
	return p
}

// protected is a handler behind an API.
type protected struct {
	API
	next       http.Handler
	scope      tokenexchange.Scope
	incomplete string // what the API lacks, or ""
}

// The schemes of the Authorization header (RFC 6750 §2.1, RFC 9449 §7.1).
const (
	bearer = "Bearer"
	dpop   = "DPoP"
)

// tokenChars are the characters of a token, apart from "=" at its end (RFC 6750 §2.1).
const tokenChars = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+/"

// admit checks the API (500), then the request (400), the token (401) and what the token allows
// (403). The returned token is zero unless it is valid for this API; it can be valid and err not
// nil.
func (p *protected) admit(r *http.Request, now time.Time) (
	t tokenexchange.Token, scheme string, err *tokenexchange.Error) {
	if p.incomplete != "" {
		err := refuse(tokenexchange.ServerError, "api_incomplete", "%s", p.incomplete)
		err.Description = p.incomplete
		return t, bearer, err
	}
	scheme, raw, err := p.credentials(r.Header.Values("Authorization"))
	if err != nil {
		return t, scheme, err
	}
	c := tokenexchange.Credential{Token: raw, Type: p.Type, Issuer: p.Issuer, Now: now}
	var verified tokenexchange.Token
	failed := guarded(raw, func() (err error) {
		verified, err = p.Verify(r.Context(), c)
		return err
	})
	if failed != nil {
		return t, scheme, refusedBy(failed, "token_not_verified",
			"API.Verify did not accept the token (R08)")
	}
	if err := p.checkToken(verified, now); err != nil {
		err.Detail = redact.Text(err.Detail, raw)
		return t, scheme, err
	}
	t = verified
	if err := p.checkKeys(r, scheme, raw, t.Confirmation); err != nil {
		return t, scheme, err
	}
	if p.RefuseActors && t.Actor != nil {
		err := refuse(InsufficientScope, "actor_not_accepted",
			"the token has the actor %s, and the API has RefuseActors", refusal.Actor(t.Actor))
		err.Description = "A token with an actor is not accepted here."
		return t, scheme, err
	}
	if p.lacksScope(t) {
		return t, scheme, refuse(InsufficientScope, "scope_missing",
			"the token has the scope %q, the API requires %q (R17)", t.Scope, p.scope)
	}
	return t, scheme, nil
}

// credentials returns the scheme and the token of the Authorization header. A header with another
// scheme counts as no token.
func (p *protected) credentials(headers []string) (
	scheme, token string, err *tokenexchange.Error) {
	if n := len(headers); n > 1 {
		return bearer, "", refuse(tokenexchange.InvalidRequest, "authorization_repeated",
			"the request has %d Authorization headers, 1 is allowed (R04)", n)
	}
	scheme, token, _ = strings.Cut(strings.Join(headers, ""), " ")
	switch token = strings.TrimLeft(token, " "); {
	case strings.EqualFold(scheme, bearer):
		scheme = bearer
	case strings.EqualFold(scheme, dpop) && p.Proved != nil:
		scheme = dpop
	default:
		return bearer, "", refusal.New(InvalidToken, "token_missing", "the request has no token")
	}
	unpadded := strings.TrimRight(token, "=")
	switch {
	case len(token) > form.MaxValue:
		return scheme, "", refuse(tokenexchange.InvalidRequest, "token_too_long",
			"the token has %d bytes, more than %d (R10)", len(token), form.MaxValue)
	case unpadded == "" || strings.TrimLeft(unpadded, tokenChars) != "":
		return scheme, "", refuse(tokenexchange.InvalidRequest, "token_malformed",
			"the token is empty or has a character that no token has (RFC 6750 §2.1)")
	}
	return scheme, token, nil
}

// checkToken refuses a verified token that is not acceptable for this API. It repeats checks of
// Verifier, because the host may use another Verify.
func (p *protected) checkToken(t tokenexchange.Token, now time.Time) *tokenexchange.Error {
	isOwn := t.Type == tokenexchange.TypeAccessToken
	isOurs := func(name string) bool { return slices.Contains(p.Audience, name) }
	switch {
	case !isOwn && (t.Type != tokenexchange.TypeJWT || t.Type != p.Type):
		return refuse(InvalidToken, "token_type_not_accepted",
			"the token has the type %q, the API requires %q (R08)", t.Type, p.Type)
	case isOwn && t.Issuer != p.Issuer:
		return refuse(InvalidToken, "issuer_mismatch",
			"the issuer is %q, the API requires %q (R08)", t.Issuer, p.Issuer)
	case t.Issuer == "" || t.Subject == "" || t.Actor != nil && t.Actor.Subject == "":
		return refuse(InvalidToken, "token_incomplete",
			"the token has no issuer, no subject, or an actor without subject (R08)")
	case !now.Before(t.Expires):
		return refuse(InvalidToken, "token_expired",
			"the token expired at %s (D26)", t.Expires.UTC().Format(time.RFC3339))
	case !slices.ContainsFunc(t.Audience, isOurs):
		return refuse(InvalidToken, "audience_mismatch",
			"the audience is %q, the API is %q (D24)", t.Audience, p.Audience)
	}
	return nil
}

// checkKeys refuses a token if the request does not prove its keys, a DPoP token under the Bearer
// scheme, and another token under the DPoP scheme (RFC 9449 §7.2).
func (p *protected) checkKeys(r *http.Request, scheme, raw string,
	bound tokenexchange.Confirmation) *tokenexchange.Error {
	if (scheme == dpop) != (bound.JKT != "") {
		return refuse(InvalidToken, "scheme_mismatch",
			"the scheme is %s; a DPoP token needs DPoP, another token needs Bearer (D30)", scheme)
	}
	var proved tokenexchange.Confirmation
	if p.Proved != nil && bound != (tokenexchange.Confirmation{}) {
		failed := guarded(raw, func() error {
			proved = p.Proved(r)
			return nil
		})
		if failed != nil {
			return refusedBy(failed, "proof_failed", "API.Proved failed (D30)")
		}
	}
	if bound.JKT != "" && bound.JKT != proved.JKT || bound.X5T != "" && bound.X5T != proved.X5T {
		return refuse(InvalidToken, "key_not_proved",
			"the request does not prove the key that the token is bound to (D30)")
	}
	return nil
}

// lacksScope reports whether the token lacks a required scope. A token that states no scope has
// none.
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
