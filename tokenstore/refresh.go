package tokenstore

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
)

const (
	grantRefresh = "refresh_token"
	offline      = "offline_access"
)

// rotation is one refresh: how IssueToken, which the exchange calls, knows what it replaces. It travels in the context
// because an issuer of the host may stand between.
type rotation struct {
	finding
	tokens *Tokens
	done   bool // IssueToken has written it
}

type rotationKey struct{}

// Refresh answers a form of the refresh_token grant (RFC 6749 §6) for a refresh token that an exchange has issued, with a
// new one: the old one is used up in the write that records what replaces it. It runs the whole policy of x again, with
// the tokens that were exchanged as they were recorded, and asks for what was granted then, or for less scope where the
// form says so; the answer is never more, and act is as it was. A subject or actor who has lost what it takes, a parent
// that was revoked, or has expired and may not be outlived, and a refusal by today's policy are refusals (D28).
//
// A refresh token that is used twice ends its grant, all that was issued under it included, and so does a race between
// two requests with the same one: it is in two hands, and nobody knows whose are the right ones (RFC 9700 §4.14.2). That
// is noticed until the old token's own expiry. A refusal uses nothing up.
//
// Scope may be narrowed for the access token; the refresh token keeps all of it, and offline_access with it. Audience,
// resource and authorization_details are refused, since ignoring them could give more than was meant. A grant that is
// bound to a key needs a proof of one, of the same key for a public client (RFC 9449 §5). A refresh token that does not
// come from an exchange is refused: logins are the host's to refresh. The error is an *Error as from Exchange, with
// InvalidGrant where the refresh token is at fault; every outcome is audited. x.Tokens must be t, or call it.
func (t *Tokens) Refresh(ctx context.Context, x *tokenexchange.Exchanger, client tokenexchange.Client, form url.Values) (tokenexchange.Response, error) {
	r := &rotation{tokens: t}
	ctx = context.WithValue(ctx, rotationKey{}, r)
	answer, err := x.Run(ctx, grantRefresh, client, func(ctx context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		presented := tokenexchange.Request{SubjectToken: form.Get("refresh_token")} // so that it is kept out of errors
		err := checkRefreshForm(form)
		if err == nil {
			r.finding, err = t.findRefresh(ctx, x.Issuer, client, presented.SubjectToken, now)
			err = asGrant(err)
		}
		if err != nil {
			return presented, tokenexchange.Token{}, nil, err
		}
		req, err := r.request(client, form)
		req.SubjectToken = presented.SubjectToken
		if err != nil {
			return req, tokenexchange.Token{}, nil, err
		}
		if s := &r.grant.Subject; isEvidence(s.Type) && (s.Lineage == nil || s.Lineage.Ends.IsZero()) {
			// A grant from before ends were recorded ends with this refresh token.
			s.Lineage = endingAt(*s, r.Expires)
		}
		return req, r.grant.Subject, r.grant.Actor, nil
	})
	if err == nil && !r.done {
		return tokenexchange.Response{}, tokenexchange.AsError(errors.New("tokenstore: Refresh with an Exchanger that does not issue with these Tokens"))
	}
	return answer, err
}

// RefreshHandler is the refresh_token grant of a token endpoint, for a host that looks at grant_type and hands on. What
// is said of tokenexchange.Exchanger.Handler is true of it too.
func (t *Tokens) RefreshHandler(x *tokenexchange.Exchanger, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return t.endpoint(authenticate, func(r *http.Request, client tokenexchange.Client) (http.Handler, error) {
		return t.Refresh(r.Context(), x, client, r.PostForm)
	})
}

// checkRefreshForm refuses what the grant does not know (R04).
func checkRefreshForm(form url.Values) error {
	if err := checkRepeats(form); err != nil {
		return err
	}
	refuse := func(code tokenexchange.Code, reason string) error {
		return &tokenexchange.Error{Code: code, Reason: reason}
	}
	switch {
	case form.Get("grant_type") == "":
		return no("R02: no grant_type", nil)
	case form.Get("grant_type") != grantRefresh:
		return refuse(tokenexchange.UnsupportedGrantType, "R02: the grant type is not refresh_token")
	case form.Get("refresh_token") == "":
		return no("R03: no refresh_token", nil)
	case form.Get("authorization_details") != "":
		return refuse(tokenexchange.InvalidAuthorizationDetails, "R04: authorization_details was sent")
	case form.Get("audience") != "" || form.Get("resource") != "":
		return refuse(tokenexchange.InvalidTarget, "R04: a refresh is for the targets of its grant")
	}
	return nil
}

// asGrant gives a refusal of the refresh token the code of this door (RFC 6749 §5.2).
func asGrant(err error) error {
	if err == nil || tokenexchange.AsError(err).Code != tokenexchange.InvalidRequest {
		return err
	}
	return &tokenexchange.Error{Code: tokenexchange.InvalidGrant, Reason: "D28: the refresh token", Err: err}
}

// request is what the policy is asked for.
func (r *rotation) request(client tokenexchange.Client, form url.Values) (tokenexchange.Request, error) {
	bound, proof := r.token.Confirmation, client.Confirmation
	zero := tokenexchange.Confirmation{}
	switch {
	case r.grant == nil:
		return tokenexchange.Request{}, asGrant(no("D28: a refresh token that no exchange has issued", nil))
	case bound != zero && proof == zero:
		return tokenexchange.Request{}, asGrant(no("D30: the grant is bound to a key, and none was proved", nil))
	case client.Public && (bound.JKT != "" && bound.JKT != proof.JKT || bound.X5T != "" && bound.X5T != proof.X5T):
		return tokenexchange.Request{}, asGrant(no("D30: the key of the grant was not proved", nil))
	}
	scope, asked := r.token.Scope, form.Get("scope")
	if asked != "" {
		narrowed, err := tokenexchange.ParseScope(asked)
		if err != nil || len(narrowed.Within(scope)) != len(narrowed) {
			return tokenexchange.Request{}, &tokenexchange.Error{Code: tokenexchange.InvalidScope, Reason: "D28: malformed, or more scope than was granted", Err: err}
		}
		if slices.Contains(scope, offline) && !slices.Contains(narrowed, offline) {
			narrowed = append(narrowed, offline) // the grant goes on
		}
		scope = narrowed
	}
	return r.grant.request(r.token, scope), nil
}

// traceRefresh is trace for a refresh: what is issued has the ancestors of the refresh token, its grant among them, and
// uses it up.
func (i *issue) traceRefresh(ctx context.Context) error {
	r, _ := ctx.Value(rotationKey{}).(*rotation)
	if r == nil || r.tokens != i.Tokens || r.grant == nil {
		return errors.New("tokenstore: a decision of the refresh_token grant outside of Refresh")
	}
	if reason := r.grant.exceeded(r.token, i.d); reason != "" {
		return no(reason, nil)
	}
	i.refresh, i.parents = r, r.Ancestors
	i.batch.Spend = []Mark{{Key: r.Key, Until: r.Expires}}
	return nil
}
