package tokenstore

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

const (
	grantRefresh = "refresh_token"
	scopeOffline = "offline_access"
)

// rotation tells IssueToken, which the exchange calls, the refresh token that a refresh replaces.
// It is in the context, because an issuer of the host may stand between Refresh and IssueToken.
type rotation struct {
	storedToken
	tokens *Tokens
	done   bool // whether IssueToken has committed the new tokens
}

// rotationKey is the context key of the rotation.
type rotationKey struct{}

// Refresh answers a request of the refresh_token grant (RFC 6749 §6) for a refresh token that an
// exchange has issued. It issues new tokens, a new refresh token among them, and the write that
// records them uses up the old refresh token.
//
// Refresh runs the whole policy of x again on the recorded tokens of the exchange, and requests
// what was granted then, or less scope if the form has a scope. The new tokens never allow more
// than was granted, and have the same act. Refresh refuses the request (D28) if the subject or the
// actor has lost a right that the exchange needs, if a token that the grant was made from is
// revoked, or has expired and the grant may not outlive it, and if today's policy refuses it.
//
// A refresh token that is used twice ends its grant and everything that was issued under it, even
// if the two requests race: two parties have the token, and the server cannot tell which one is the
// client (RFC 9700 §4.14.2). This works until the old refresh token expires. A refused request uses
// nothing up.
//
// A request may narrow the scope of the access token. The refresh token keeps the whole scope,
// offline_access included. The parameters audience, resource and authorization_details are refused,
// because to ignore them could grant more than the client meant. A grant that is bound to a key
// requires a proof of a key, and for a public client of the same key (RFC 9449 §5). A refresh token
// that does not come from an exchange is refused: the host refreshes its own logins.
//
// The error is an *Error as of Exchanger.Exchange, with InvalidGrant if the refresh token is at
// fault. Every outcome is audited. x.TokenIssuer must be t, or call t.
func (t *Tokens) Refresh(ctx context.Context, x *tokenexchange.Exchanger,
	client tokenexchange.Client, form url.Values) (tokenexchange.Response, error) {
	r := &rotation{tokens: t}
	ctx = context.WithValue(ctx, rotationKey{}, r)
	response, err := x.Run(ctx, grantRefresh, client, func(ctx context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		// The request has the presented token, so that it is removed from errors.
		presented := tokenexchange.Request{SubjectToken: form.Get("refresh_token")}
		err := checkRefreshForm(form)
		if err == nil {
			r.storedToken, err = t.lookupRefresh(ctx, x.Issuer, client, presented.SubjectToken, now)
			err = asInvalidGrant(err)
		}
		if err != nil {
			return presented, tokenexchange.Token{}, nil, err
		}
		req, err := r.request(client, form)
		req.SubjectToken = presented.SubjectToken
		if err != nil {
			return req, tokenexchange.Token{}, nil, err
		}
		s := &r.grant.Subject
		if isEvidence(s.Type) && (s.Lineage == nil || s.Lineage.Ends.IsZero()) {
			// A grant that was recorded without an end ends with this refresh token.
			s.Lineage = endingAt(*s, r.Expires)
		}
		return req, r.grant.Subject, r.grant.Actor, nil
	})
	if err == nil && !r.done {
		return tokenexchange.Response{}, tokenexchange.AsError(errors.New(
			"tokenstore: Refresh needs an Exchanger whose Tokens call IssueToken of these Tokens"))
	}
	return response, err
}

// RefreshHandler is the refresh_token grant of a token endpoint. The host calls it for requests
// with that grant_type. The documentation of tokenexchange.Exchanger.Handler applies to it too.
func (t *Tokens) RefreshHandler(x *tokenexchange.Exchanger,
	authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return t.endpoint(authenticate, func(r *http.Request, client tokenexchange.Client) (
		http.Handler, error) {
		return t.Refresh(r.Context(), x, client, r.PostForm)
	})
}

// checkRefreshForm refuses a form that is not a plain refresh (R04).
func checkRefreshForm(form url.Values) error {
	if err := checkRepeats(form); err != nil {
		return err
	}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return refusal.New(tokenexchange.InvalidRequest, "parameter_missing",
			"the parameter grant_type is missing (R02)")
	case grant != grantRefresh:
		return refusal.New(tokenexchange.UnsupportedGrantType, "grant_type_not_supported",
			"grant_type is %q, not %q (R02)", grant, grantRefresh)
	case form.Get("refresh_token") == "":
		return refusal.New(tokenexchange.InvalidRequest, "parameter_missing",
			"the parameter refresh_token is missing (R03)")
	case form.Get("authorization_details") != "":
		return refusal.New(tokenexchange.InvalidAuthorizationDetails,
			"authorization_details_not_supported", "authorization_details is not supported (R04)")
	case form.Get("audience") != "" || form.Get("resource") != "":
		return refusal.New(tokenexchange.InvalidTarget, "refresh_with_target",
			"the refresh has audience %q and resource %q, and cannot change its targets (R04)",
			form.Get("audience"), form.Get("resource"))
	}
	return nil
}

// asInvalidGrant turns InvalidRequest into InvalidGrant, the code for a bad refresh token (RFC 6749
// §5.2).
func asInvalidGrant(err error) error {
	if err == nil || tokenexchange.AsError(err).Code != tokenexchange.InvalidRequest {
		return err
	}
	return refusal.Wrap(err, tokenexchange.InvalidGrant, "refresh_token_refused",
		"the store refused the refresh token (D28)")
}

// request returns the request for the policy.
func (r *rotation) request(client tokenexchange.Client, form url.Values) (
	tokenexchange.Request, error) {
	if err := r.check(client); err != nil {
		return tokenexchange.Request{}, asInvalidGrant(err)
	}
	scope := r.token.Scope
	if requested := form.Get("scope"); requested != "" {
		narrowed, err := tokenexchange.ParseScope(requested)
		if err != nil {
			return tokenexchange.Request{}, refusal.WithCause(err, tokenexchange.InvalidScope,
				"parameter_malformed", "the parameter scope is malformed (R06)")
		}
		if len(narrowed.Within(scope)) != len(narrowed) {
			return tokenexchange.Request{}, refusal.New(tokenexchange.InvalidScope,
				"grant_other_scope", "the scope %q is requested, the grant has %q (D28)",
				narrowed, scope)
		}
		if slices.Contains(scope, scopeOffline) && !slices.Contains(narrowed, scopeOffline) {
			narrowed = append(narrowed, scopeOffline) // so that a new refresh token is issued
		}
		scope = narrowed
	}
	return r.grant.request(r.token, scope), nil
}

// check refuses a refresh token that is not from an exchange, and a client without the key of the
// grant.
func (r *rotation) check(client tokenexchange.Client) error {
	bound, proof := r.token.Confirmation, client.Confirmation
	otherKey := bound.JKT != "" && bound.JKT != proof.JKT ||
		bound.X5T != "" && bound.X5T != proof.X5T
	switch {
	case r.grant == nil:
		return refusal.New(tokenexchange.InvalidRequest, "refresh_token_not_exchanged",
			"no exchange issued the refresh token %q (D28)", r.token.ID)
	case bound != tokenexchange.Confirmation{} && proof == tokenexchange.Confirmation{}:
		return refusal.New(tokenexchange.InvalidRequest, "grant_key_not_proved",
			"the grant is bound to a key, and the client proved no key (D30)")
	case client.Public && otherKey:
		return refusal.New(tokenexchange.InvalidRequest, "grant_key_not_proved",
			"the public client did not prove the key that the grant is bound to (D30)")
	}
	return nil
}

// findRefreshParents is findParents for a refresh. The new tokens have the ancestors of the refresh
// token, its grant among them, and use the refresh token up.
func (i *issue) findRefreshParents(ctx context.Context) error {
	r, _ := ctx.Value(rotationKey{}).(*rotation)
	if r == nil || r.tokens != i.Tokens || r.grant == nil {
		return errors.New("tokenstore: a decision of the refresh_token grant needs Tokens.Refresh")
	}
	if err := r.grant.checkWithin(r.token, i.d); err != nil {
		return err
	}
	i.refresh, i.parents = r, r.Ancestors
	i.batch.Spend = []Mark{{Key: r.Key, Until: r.Expires}}
	return nil
}
