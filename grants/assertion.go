package grants

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/form"
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
			return presented, tokenexchange.Token{}, nil, refuse(tokenexchange.ServerError,
				"Assertions needs Verify, a Type of its own, a Store, and Exchanger.TokenIssuer (I01)")
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
	problem := func(code tokenexchange.Code, reason string) (tokenexchange.Request, error) {
		return tokenexchange.Request{}, refuse(code, reason)
	}
	grant, assertion := values.Get("grant_type"), values.Get("assertion")
	switch {
	case grant == "":
		return problem(tokenexchange.InvalidRequest, "grant_type is missing (R02)")
	case grant != GrantJWTBearer:
		return problem(tokenexchange.UnsupportedGrantType, "grant_type is not jwt-bearer (R02)")
	case len(values["grant_type"]) > 1 || len(values["assertion"]) > 1:
		return problem(tokenexchange.InvalidRequest, "grant_type or assertion is repeated (R04)")
	case assertion == "":
		return problem(tokenexchange.InvalidRequest, "assertion is missing (R03)")
	case len(assertion) > form.MaxValue:
		return problem(tokenexchange.InvalidRequest,
			fmt.Sprintf("assertion is longer than %d bytes (R10)", form.MaxValue))
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

// verify verifies an assertion (RFC 7523 §3).
func (a *Assertions) verify(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	tok, err := a.Verify(ctx, c)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if reason := a.invalid(tok, c); reason != "" {
		return tok, refuse(tokenexchange.InvalidRequest, reason)
	}
	if tok.ByClient {
		tok.Scope = nil // a client may name the subject, but not grant scope
	}
	return tok, nil
}

// invalid returns why a verified assertion is not acceptable, or "". It repeats checks of Verifier,
// because the host may use another Verify.
func (a *Assertions) invalid(tok tokenexchange.Token, c tokenexchange.Credential) (reason string) {
	longest := cmp.Or(a.Longest, usualLongest)
	audience := []string{c.Issuer}
	if other := a.Audience[tok.Issuer]; other != "" {
		audience = append(audience, other)
	}
	switch {
	case tok.Type != a.Type:
		return "the token is not an assertion (R07)"
	case tok.Issuer == "" || tok.Issuer == c.Issuer:
		return "the issuer of the assertion is missing, or this server (R07)"
	case tok.Subject == tok.Issuer:
		return "a client assertion does not name a subject (R07)"
	case len(tok.Audience) != 1 || !slices.Contains(audience, tok.Audience[0]):
		return "the audience of the assertion is not this server alone (RFC 7523 §3)"
	case !tok.Expires.After(c.Now):
		return "the assertion has expired, or has no expiry (RFC 7523 §3)"
	case tok.Expires.Sub(c.Now) > longest,
		!tok.Issued.IsZero() && tok.Expires.Sub(tok.Issued) > longest:
		return fmt.Sprintf("the assertion is valid for longer than %v (RFC 7523 §3)", longest)
	case !hasJTI(tok):
		return "the assertion has no jti (RFC 7523 §3)"
	}
	return ""
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
	return &tokenexchange.Error{
		Code: tokenexchange.InvalidGrant, Reason: "the assertion was refused (R13)", Err: err,
	}
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
	if err := i.store.Commit(ctx, d.Issued, use); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	return issueOrUndo(ctx, d, i.next, undo)
}
