package grants

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Assertions is the jwt-bearer grant (RFC 7523 §2.1, RFC 7521 §4.1): a client presents a JWT of a
// trusted issuer that names the subject, and requests a token about the subject. The issuer may be
// another authorization server, whose subjects the SubjectResolver maps to users of this server, or
// the client itself with its own key.
//
// A rule for this grant has mode impersonate or client-as-actor, Type in SubjectTypes and, for
// another authorization server, its name in Issuers. The zero Assertions refuses.
type Assertions struct {
	// Verify verifies an assertion, such as (*tokenexchange.Verifier).Verify of a Verifier for this
	// grant alone. Its Trusts are Foreign and have Type alone in Types, with the typ that the
	// issuer writes, usually "JWT". A client that signs assertions is an issuer with the id of the
	// client and Trust.Client. Verify must set Token.Claims.
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

	// Type is the token type of a verified assertion.
	Type tokenexchange.TokenType

	// Store remembers which assertions have been used.
	Store tokenstore.Store

	// Audience has an alternative to Exchanger.Issuer for the aud of an assertion, by issuer: the
	// URL of the token endpoint, for issuers that follow older specifications. Trust.Audience must
	// have it too. It is usually nil.
	Audience map[string]string

	// Longest is the longest accepted lifetime of an assertion, counted from its iat and from now.
	// A used assertion is remembered until it expires. Zero is five minutes.
	Longest time.Duration
}

// usualLongest is the default of Assertions.Longest.
const usualLongest = 5 * time.Minute

// Exchange answers a form of the jwt-bearer grant, as x.Exchange does for its own grant. Scope,
// audience and resource mean what they mean in an exchange. An assertion signed by the client does
// not limit the scope; if the form does not request a scope either, the policy alone decides it. An
// assertion that is invalid, used or not acceptable is InvalidGrant (RFC 7523 §3.1).
//
// An assertion is marked as used when the token is issued. After a refusal or a failure the client
// can present it again. Of concurrent requests with one assertion, one succeeds. If an issued token
// must not be delivered, the mark is undone and the assertion is valid again. If undoing fails, or
// the answer is lost on the way, the client needs a new assertion.
func (a *Assertions) Exchange(ctx context.Context, x *tokenexchange.Exchanger,
	client tokenexchange.Client, form url.Values) (tokenexchange.Response, error) {
	spending := *x
	spending.TokenIssuer = onceIssuer{a.Store, x.TokenIssuer}
	open := func(ctx context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		// The assertion is in every request that is returned, so that Run redacts it from errors.
		presented := tokenexchange.Request{SubjectToken: form.Get("assertion")}
		if a.Verify == nil || !isOwnType(a.Type) || a.Store == nil || x.TokenIssuer == nil {
			return presented, tokenexchange.Token{}, nil, refusal.New(tokenexchange.ServerError,
				"assertions_incomplete", "Assertions needs Verify, a Store, Exchanger.Tokens, and "+
					"a Type of its own, which is %q (I01)", a.Type)
		}
		req, err := parseAssertion(form)
		if err != nil {
			return presented, tokenexchange.Token{}, nil, err
		}
		req.SubjectToken = presented.SubjectToken
		tok, err := a.verify(ctx, tokenexchange.Credential{
			Token: req.SubjectToken, Type: a.Type, Issuer: x.Issuer, Client: client, Now: now,
		})
		return req, tok, nil, asGrant(err)
	}
	return spending.Run(ctx, GrantJWTBearer, client, open)
}

// Handler returns the jwt-bearer grant of a token endpoint, for a host that chooses the handler by
// grant_type. It treats authenticate and the form as tokenexchange.Exchanger.Handler does.
func (a *Assertions) Handler(x *tokenexchange.Exchanger,
	authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return newEndpoint(authenticate,
		func(r *http.Request, client tokenexchange.Client) (tokenexchange.Response, error) {
			return a.Exchange(r.Context(), x, client, r.PostForm)
		})
}

// parseAssertion parses the form strictly. ParseRequest parses everything but the assertion.
func parseAssertion(values url.Values) (tokenexchange.Request, error) {
	if err := checkAssertion(values); err != nil {
		return tokenexchange.Request{}, err
	}
	rest := maps.Clone(values)
	for _, name := range []string{"requested_token_type", "actor_token", "actor_token_type"} {
		if len(rest[name]) == 1 {
			delete(rest, name) // unknown to this grant, so it is ignored
		}
	}
	rest["grant_type"] = []string{tokenexchange.GrantType}
	rest["subject_token"] = []string{"assertion"}
	rest["subject_token_type"] = []string{"assertion"}
	req, err := tokenexchange.ParseRequest(rest)
	req.SubjectTokenType = ""
	return req, err
}

// checkAssertion refuses a form without exactly one assertion.
func checkAssertion(values url.Values) error {
	grant, assertion := values.Get("grant_type"), values.Get("assertion")
	switch {
	case grant == "":
		return refusal.New(tokenexchange.InvalidRequest, "parameter_missing",
			"the parameter grant_type is missing (R02)")
	case grant != GrantJWTBearer:
		return refusal.New(tokenexchange.UnsupportedGrantType, "grant_type_not_supported",
			"grant_type is %q, not %q (R02)", grant, GrantJWTBearer)
	case len(values["grant_type"]) > 1 || len(values["assertion"]) > 1:
		return refusal.New(tokenexchange.InvalidRequest, "parameter_repeated",
			"grant_type has %d values and assertion %d (R04)",
			len(values["grant_type"]), len(values["assertion"]))
	case assertion == "":
		return refusal.New(tokenexchange.InvalidRequest, "parameter_missing",
			"the parameter assertion is missing (R03)")
	case len(assertion) > form.MaxValue:
		return refusal.New(tokenexchange.InvalidRequest, "parameter_too_long",
			"the assertion has %d bytes, more than %d (R10)", len(assertion), form.MaxValue)
	}
	return nil
}

// verify verifies an assertion (RFC 7523 §3).
func (a *Assertions) verify(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	tok, err := a.Verify(ctx, c)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if err := a.check(tok, c); err != nil {
		return tok, err
	}
	if tok.ByClient {
		tok.Scope = nil // a client may name the subject, but not grant scope
	}
	return tok, nil
}

// check refuses a verified assertion that is not acceptable. It repeats checks of Verifier, because
// the host may use another Verify.
func (a *Assertions) check(tok tokenexchange.Token, c tokenexchange.Credential) error {
	longest := cmp.Or(a.Longest, usualLongest)
	audience := []string{c.Issuer}
	if other := a.Audience[tok.Issuer]; other != "" {
		audience = append(audience, other)
	}
	switch {
	case tok.Type != a.Type:
		return refusal.New(tokenexchange.InvalidRequest, "not_an_assertion",
			"the token has type %q, an assertion has %q (R07)", tok.Type, a.Type)
	case tok.Issuer == "" || tok.Issuer == c.Issuer:
		return refusal.New(tokenexchange.InvalidRequest, "assertion_issuer_not_accepted",
			"the issuer of the assertion is %q; an issuer is required, and not this server (R07)",
			tok.Issuer)
	case tok.Subject == tok.Issuer:
		return refusal.New(tokenexchange.InvalidRequest, "client_assertion",
			"the token is a client assertion of %q and names no subject (R07)", tok.Issuer)
	case len(tok.Audience) != 1 || !slices.Contains(audience, tok.Audience[0]):
		return refusal.New(tokenexchange.InvalidRequest, "assertion_for_others",
			"aud of the assertion is %q; it must be one of %q alone (RFC 7523 §3)",
			tok.Audience, audience)
	case !tok.Expires.After(c.Now):
		return refusal.New(tokenexchange.InvalidRequest, "assertion_expired",
			"the assertion has no exp after %s (RFC 7523 §3)", c.Now.Format(time.RFC3339))
	case tok.Expires.Sub(c.Now) > longest,
		!tok.Issued.IsZero() && tok.Expires.Sub(tok.Issued) > longest:
		return refusal.New(tokenexchange.InvalidRequest, "assertion_valid_too_long",
			"the assertion is valid until %s, for longer than %v (RFC 7523 §3)",
			tok.Expires.Format(time.RFC3339), longest)
	case !hasJTI(tok):
		return refusal.New(tokenexchange.InvalidRequest, "assertion_without_jti",
			"the assertion of %q has no jti (RFC 7523 §3)", tok.Issuer)
	}
	return nil
}

// hasJTI reports whether a token states its jti. If it does not, Token.ID is a hash of the claims,
// and two assertions of the same second could have the same.
func hasJTI(tok tokenexchange.Token) bool {
	if strictjson.Check(tok.Claims) != nil {
		return false
	}
	for name, value := range strictjson.Members(tok.Claims) {
		if id, ok := strictjson.String(value); ok && name == "jti" {
			return id != "" && id == tok.ID
		}
	}
	return false
}

// asGrant turns invalid_request into the code of this grant (RFC 7523 §3.1).
func asGrant(err error) error {
	if err == nil || tokenexchange.AsError(err).Code != tokenexchange.InvalidRequest {
		return err
	}
	return refusal.Wrap(err, tokenexchange.InvalidGrant, "assertion_refused",
		"Assertions.Verify refused the assertion (R13)")
}

// onceIssuer marks the assertion as used and then issues the token.
type onceIssuer struct {
	store tokenstore.Store
	next  tokenexchange.TokenIssuer
}

// IssueToken implements tokenexchange.TokenIssuer. The batch has a record with a random key beside
// the mark, so that discarding the batch undoes this use of the assertion and no other.
func (i onceIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (
	tokenexchange.IssuedToken, error) {
	tok := d.Facts.Subject.Token
	use := tokenstore.Batch{
		Put: []tokenstore.Record{{
			Key:     tokenstore.KeyOf("use of an assertion", d.Issuer, rand.Text()),
			Expires: tok.Expires,
		}},
		Spend: []tokenstore.Mark{{
			Key:   tokenstore.KeyOf("assertion", tok.Issuer, tok.ID),
			Until: tok.Expires,
		}},
	}
	undo := func(ctx context.Context) error { return i.store.Discard(ctx, use) }
	err := i.store.Commit(ctx, d.Issued, use)
	if errors.Is(err, tokenstore.ErrSpent) {
		err = refusal.WithCause(err, tokenexchange.InvalidRequest, "assertion_used",
			"assertion %q of %q has been used (RFC 7523 §3)", tok.ID, tok.Issuer)
	}
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	return issueOrUndo(ctx, d, i.next, undo)
}
