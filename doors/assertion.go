package doors

import (
	"context"
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// Assertions is the jwt-bearer grant (RFC 7523 §2.1, RFC 7521 §4.1): a JWT by somebody who is trusted says who the subject
// is, and the client asks for a token about them. It may be signed by another issuer, whose people are users of ours only
// where the resolver says so, or by the client itself with its own key. A rule for it has mode impersonate or
// client-as-actor, Type in SubjectTypes and, for another issuer, its name in Issuers. The zero Assertions refuses.
type Assertions struct {
	// Verify verifies an assertion; (*tokenexchange.Verifier).Verify fits, of a Verifier for this door: its Trusts are
	// Foreign and have Type alone in Types, with what the issuer writes as typ, "JWT" mostly. Clients are issuers too,
	// under their ids and with Trust.Client. Claims must be filled in.
	Verify func(context.Context, tokenexchange.Credential) (tokenexchange.Token, error)

	// Type is what an assertion is found to be.
	Type tokenexchange.TokenType

	// Store remembers which assertions have been used.
	Store tokenstore.Store

	// Audience is what an issuer may write as aud beside Exchanger.Issuer, by issuer: the URL of the token endpoint, where
	// an old one knows no better. Trust.Audience must have it too. Nil, and the usual: nothing.
	Audience map[string]string

	// Longest is how long an assertion may live, from its iat and from now; so long it is remembered. Zero: five minutes.
	Longest time.Duration
}

// usualLongest is Assertions.Longest where that is zero.
const usualLongest = 5 * time.Minute

// maxToken is how many bytes an assertion may have (R10).
const maxToken = 64 << 10

// Exchange answers a form of the jwt-bearer grant, as x.Exchange does for its own. Scope, audience and resource are read as
// in an exchange; what an assertion of a client says of scope means nothing, and where none is said the scope is up to the
// policy alone. An assertion that is not good, has been used or is not acceptable is InvalidGrant (RFC 7523 §3.1).
//
// An assertion is used up when the token is made, and not before: whoever asks for too much, or meets a failure, may come
// again with the same one. Of several requests at once with the same assertion one gets a token. What was recorded for a
// token that must not leave is undone, and the assertion is good again; where that fails as well, it stays used up, and
// so does that of an answer which is lost on the way: the client needs another one.
func (a *Assertions) Exchange(ctx context.Context, x *tokenexchange.Exchanger, client tokenexchange.Client, form url.Values) (tokenexchange.Response, error) {
	with := *x
	with.Tokens = onceIssuer{a.Store, x.Tokens}
	return with.Run(ctx, GrantJWTBearer, client, func(ctx context.Context, now time.Time) (
		tokenexchange.Request, tokenexchange.Token, *tokenexchange.Token, error) {
		presented := tokenexchange.Request{SubjectToken: form.Get("assertion")} // so that it is kept out of errors
		if a.Verify == nil || !isOfItsOwn(a.Type) || a.Store == nil || x.Tokens == nil {
			return presented, tokenexchange.Token{}, nil, refuse(tokenexchange.ServerError, "I01: Assertions that lack a part")
		}
		req, err := parseAssertion(form)
		if err != nil {
			return presented, tokenexchange.Token{}, nil, err
		}
		req.SubjectToken = presented.SubjectToken
		tok, err := a.verify(ctx, tokenexchange.Credential{Token: req.SubjectToken, Type: a.Type, Issuer: x.Issuer, Client: client, Now: now})
		return req, tok, nil, asGrant(err)
	})
}

// Handler is the jwt-bearer grant of a token endpoint, for a host that looks at grant_type and hands on. What is said of
// tokenexchange.Exchanger.Handler is true of it too.
func (a *Assertions) Handler(x *tokenexchange.Exchanger, authenticate func(*http.Request) (tokenexchange.Client, error)) http.Handler {
	return newEndpoint(authenticate, func(r *http.Request, client tokenexchange.Client) (tokenexchange.Response, error) {
		return a.Exchange(r.Context(), x, client, r.PostForm)
	})
}

// parseAssertion reads the form strictly. What the grant has in common with an exchange is read as an exchange.
func parseAssertion(form url.Values) (tokenexchange.Request, error) {
	switch assertion := form["assertion"]; {
	case form.Get("grant_type") == "":
		return tokenexchange.Request{}, refuse(tokenexchange.InvalidRequest, "R02: no grant_type")
	case form.Get("grant_type") != GrantJWTBearer:
		return tokenexchange.Request{}, refuse(tokenexchange.UnsupportedGrantType, "R02: the grant type is not jwt-bearer")
	case len(form["grant_type"]) > 1 || len(assertion) > 1:
		return tokenexchange.Request{}, refuse(tokenexchange.InvalidRequest, "R04: a parameter is repeated")
	case form.Get("assertion") == "":
		return tokenexchange.Request{}, refuse(tokenexchange.InvalidRequest, "R03: no assertion")
	case len(form.Get("assertion")) > maxToken:
		return tokenexchange.Request{}, refuse(tokenexchange.InvalidRequest, "R10: the assertion is too long")
	}
	rest := maps.Clone(form)
	for _, name := range []string{"requested_token_type", "actor_token", "actor_token_type"} { // unknown to this grant
		if len(rest[name]) == 1 {
			delete(rest, name)
		}
	}
	rest["grant_type"] = []string{tokenexchange.GrantType}
	rest["subject_token"], rest["subject_token_type"] = []string{"assertion"}, []string{"assertion"}
	req, err := tokenexchange.ParseRequest(rest)
	req.SubjectTokenType = ""
	return req, err
}

// verify is the only way from an assertion to a Token (RFC 7523 §3).
func (a *Assertions) verify(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	tok, err := a.Verify(ctx, c)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if reason := a.bad(tok, c); reason != "" {
		return tok, refuse(tokenexchange.InvalidRequest, reason)
	}
	if tok.ByClient {
		tok.Scope = nil // a client says who, not what may be done
	}
	return tok, nil
}

// bad returns why a verified assertion is not good, or nothing. A verifier that is not ours may have looked at less.
func (a *Assertions) bad(tok tokenexchange.Token, c tokenexchange.Credential) (reason string) {
	longest := a.Longest
	if longest == 0 {
		longest = usualLongest
	}
	audience := []string{c.Issuer}
	if other := a.Audience[tok.Issuer]; other != "" {
		audience = append(audience, other)
	}
	switch {
	case tok.Type != a.Type:
		return "R07: not an assertion"
	case tok.Issuer == "" || tok.Issuer == c.Issuer:
		return "R07: an assertion is the word of somebody else"
	case tok.Subject == tok.Issuer:
		return "R07: a client assertion"
	case len(tok.Audience) != 1 || !slices.Contains(audience, tok.Audience[0]):
		return "RFC 7523 §3: the assertion is not for this issuer alone"
	case !tok.Expires.After(c.Now):
		return "RFC 7523 §3: the assertion has expired, or does not say when it will"
	case tok.Expires.Sub(c.Now) > longest || !tok.Issued.IsZero() && tok.Expires.Sub(tok.Issued) > longest:
		return "RFC 7523 §3: the assertion is good for too long"
	case !saysID(tok):
		return "RFC 7523 §3: no jti"
	}
	return ""
}

// saysID reports whether a token says its own jti. Token.ID is a hash where it does not, and two assertions that are made
// in one second could have the same.
func saysID(tok tokenexchange.Token) bool {
	if strictjson.Check(tok.Claims) != nil {
		return false
	}
	for m := range strictjson.Members(tok.Claims) {
		if id, ok := strictjson.String(m.Value); ok && m.Name == "jti" {
			return id != "" && id == tok.ID
		}
	}
	return false
}

// asGrant gives a refusal of the assertion the code of this door (RFC 7523 §3.1).
func asGrant(err error) error {
	if err == nil || tokenexchange.AsError(err).Code != tokenexchange.InvalidRequest {
		return err
	}
	return &tokenexchange.Error{Code: tokenexchange.InvalidGrant, Reason: "R13: the assertion", Err: err}
}

// onceIssuer uses up the assertion, and has the next issuer make the token.
type onceIssuer struct {
	store tokenstore.Store
	next  tokenexchange.TokenIssuer
}

// IssueToken uses up the subject token of the decision. The record that is put beside the mark names the batch, so that
// this use of the assertion is undone and no other.
func (i onceIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	tok := d.Facts.Subject.Token
	use := tokenstore.Batch{
		Put:   []tokenstore.Record{{Key: tokenstore.KeyOf("use of an assertion", d.Issuer, rand.Text()), Expires: tok.Expires}},
		Spend: []tokenstore.Mark{{Key: tokenstore.KeyOf("assertion", tok.Issuer, tok.ID), Until: tok.Expires}},
	}
	undo := func(ctx context.Context) error { return i.store.Discard(ctx, use) }
	if err := i.store.Commit(ctx, d.Issued, use); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	return undoing(ctx, d, i.next, undo)
}
