package zitadelexchange

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// Verifiers returns verifiers for the access tokens of the server, opaque or JWT, and for its ID
// tokens, but not for refresh tokens (D28). A host that accepts further types adds them to the map
// and sets Exchanger.Verify.
func (g *Grant) Verifiers() tokenexchange.Verifiers {
	return tokenexchange.Verifiers{
		tokenexchange.TypeAccessToken: g.verify,
		tokenexchange.TypeIDToken:     g.verify,
		tokenexchange.TypeJWT:         g.verify,
	}
}

// verify verifies a token of any type. The Exchanger compares the type with the declared one.
func (g *Grant) verify(
	ctx context.Context, c tokenexchange.Credential) (t tokenexchange.Token, err error) {
	if !jose.IsCanonical(c.Token) { // the framework accepts several texts of a token
		return t, refusal.New(tokenexchange.InvalidRequest, "token_not_canonical",
			"a segment of the token is not strict base64url (R08)")
	}
	if stated, opaque := g.decrypt(c.Token); opaque && c.Type == tokenexchange.TypeAccessToken {
		t, err = g.recorded(ctx, c, stated)
	} else {
		t, err = g.verifyJWT(ctx, c)
	}
	switch {
	case err != nil:
		return tokenexchange.Token{}, err
	case !c.Now.Before(t.Expires):
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest, "token_expired",
			"the token expired at %s (D26)", t.Expires.UTC().Format(time.RFC3339))
	case t.Issued.After(c.Now.Add(time.Minute)):
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"token_issued_in_future", "iat is %s (D26)", t.Issued.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// decrypt returns the ID and subject that an opaque token states. They must be compared with the
// record, since the older cipher of the framework decrypts every text to some result.
func (g *Grant) decrypt(token string) (stated tokenexchange.Token, opaque bool) {
	plain, err := g.Provider.Crypto().Decrypt(token)
	stated.ID, stated.Subject, opaque = strings.Cut(plain, ":")
	return stated, opaque && err == nil && utf8.ValidString(plain)
}

// verifyJWT verifies a JWT. All JWTs of the framework have the same typ, but every ID token has
// azp, and every access token of its own grants has nbf, whatever claims a host adds. Of the tokens
// of this package none has nbf, and only ID tokens have azp.
func (g *Grant) verifyJWT(
	ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	claims := map[string]any{}
	payload, err := oidc.ParseToken(c.Token, &claims)
	t, malformed := tokenexchange.ParseToken(payload)
	if err = errors.Join(err, malformed); err != nil {
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.InvalidRequest,
			"not_a_jwt", "the token is neither opaque nor a JWT with well-formed claims (R08)")
	}
	// A logout token has events.
	isID := claims["azp"] != nil && claims["nbf"] == nil && claims["events"] == nil
	if p := g.Provider; isID {
		_, err = op.VerifyIDTokenHint[*oidc.TokenClaims](ctx, c.Token, p.IDTokenHintVerifier(ctx))
	} else {
		_, err = op.VerifyAccessToken[*oidc.TokenClaims](ctx, c.Token, p.AccessTokenVerifier(ctx))
	}
	switch {
	case err != nil:
		// The framework does not distinguish a bad token from a failure to load the keys (I12).
		if _, failure := g.Provider.Storage().KeySet(ctx); failure != nil {
			return tokenexchange.Token{}, failure
		}
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.InvalidRequest,
			"token_not_valid", "zitadel/oidc does not accept the token (R08)")
	case isID:
		return g.idToken(ctx, c, t)
	}
	return g.recorded(ctx, c, t)
}

// idToken checks a verified ID token. An ID token of the framework has no jti, so its ID is a hash
// of the signed part.
func (g *Grant) idToken(ctx context.Context, c tokenexchange.Credential,
	t tokenexchange.Token) (tokenexchange.Token, error) {
	if g.Session == nil {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"id_token_not_accepted", "Grant.Session is not set, so no ID token is accepted (D29)")
	}
	if t.Scope != nil || !slices.Contains(t.Audience, t.ClientID) {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest, "not_an_id_token",
			"the token has a scope, or its client %q is not in its aud, %q (R07)",
			t.ClientID, t.Audience)
	}
	signed := c.Token[:strings.LastIndexByte(c.Token, '.')]
	t.ID = cmp.Or(t.ID, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(signed))))
	t.Type = tokenexchange.TypeIDToken
	return t, g.Session(ctx, t)
}

// recorded returns the record of an access token, narrowed to t, which is what the token states.
// The record must have the issuer, since one key encrypts for all issuers of a provider.
func (g *Grant) recorded(ctx context.Context, c tokenexchange.Credential,
	t tokenexchange.Token) (tokenexchange.Token, error) {
	if t.ID == "" || t.Subject == "" {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest, "token_incomplete",
			"the access token states no id or no subject (D29)")
	}
	record, err := g.Token(ctx, t.ID)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if record.Type != tokenexchange.TypeAccessToken || record.Issuer != c.Issuer ||
		record.Subject != t.Subject {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest, "record_mismatch",
			"the record of token %q has type %q, issuer %q and subject %q; the token is from %q "+
				"about %q (R08)",
			t.ID, record.Type, record.Issuer, record.Subject, c.Issuer, t.Subject)
	}
	// A JWT may allow less than its record, and may have claims that the host has added.
	if record.Lineage, err = record.Lineage.And(t.Lineage); err != nil {
		return tokenexchange.Token{}, refusal.Wrap(err, tokenexchange.InvalidRequest,
			"lineage_mismatch", "the lineages of the token and its record do not agree (R08)")
	}
	record.ID, record.Claims, record.Issued = t.ID, t.Claims, cmp.Or(t.Issued, record.Issued)
	record.ClientID = cmp.Or(t.ClientID, record.ClientID)
	record.Confirmation = cmp.Or(t.Confirmation, record.Confirmation)
	record.Actor, record.MayAct = cmp.Or(t.Actor, record.Actor), cmp.Or(record.MayAct, t.MayAct)
	if t.Audience != nil {
		record.Audience = t.Audience
	}
	if record.Scope == nil {
		record.Scope = t.Scope
	} else if t.Scope != nil {
		record.Scope = record.Scope.Within(t.Scope)
	}
	if !t.Expires.IsZero() && t.Expires.Before(record.Expires) {
		record.Expires = t.Expires
	}
	return record, nil
}
