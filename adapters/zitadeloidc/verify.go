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
)

const invalid = tokenexchange.InvalidRequest // what every token that is not good is (R13)

// Verifiers verifies the access tokens of the server, opaque ones and JWTs, and its ID tokens. A host that accepts more adds
// to the map, and puts it into Exchanger.Verify. Refresh tokens are not among them (D28).
func (g *Grant) Verifiers() tokenexchange.Verifiers {
	return tokenexchange.Verifiers{
		tokenexchange.TypeAccessToken: g.verify,
		tokenexchange.TypeIDToken:     g.verify,
		tokenexchange.TypeJWT:         g.verify,
	}
}

// verify finds out what a token is. That it is what it was declared as, the engine sees to.
func (g *Grant) verify(ctx context.Context, c tokenexchange.Credential) (t tokenexchange.Token, err error) {
	if !jose.IsCanonical(c.Token) { // the framework reads several texts as one token
		return t, fmt.Errorf("%w: R08: a segment is not strict base64url", invalid)
	}
	if said, opaque := g.decrypt(c.Token); opaque && c.Type == tokenexchange.TypeAccessToken {
		t, err = g.recorded(ctx, c, said)
	} else {
		t, err = g.verifyJWT(ctx, c)
	}
	switch {
	case err != nil:
		return tokenexchange.Token{}, err
	case !c.Now.Before(t.Expires):
		return tokenexchange.Token{}, fmt.Errorf("%w: D26: expired", invalid)
	case t.Issued.After(c.Now.Add(time.Minute)):
		return tokenexchange.Token{}, fmt.Errorf("%w: D26: issued in the future", invalid)
	}
	return t, nil
}

// decrypt reads an opaque token, which says the id of a record and a subject. The older of the framework's two ciphers
// decrypts anything to something, so neither is believed before the record has been seen.
func (g *Grant) decrypt(token string) (said tokenexchange.Token, opaque bool) {
	plain, err := g.Provider.Crypto().Decrypt(token)
	said.ID, said.Subject, opaque = strings.Cut(plain, ":")
	return said, opaque && err == nil && utf8.ValidString(plain)
}

// verifyJWT tells the kinds of the framework's JWTs apart, whose typ is the same. Every ID token has azp, and every access
// token of the framework's own grants nbf, whatever claims a host adds; what this package issues has no nbf, and azp only
// where it is an ID token.
func (g *Grant) verifyJWT(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	claims := map[string]any{}
	payload, err := oidc.ParseToken(c.Token, &claims)
	t, malformed := tokenexchange.ParseToken(payload)
	if err = errors.Join(err, malformed); err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: no token of this server: %w", invalid, err)
	}
	isID := claims["azp"] != nil && claims["nbf"] == nil && claims["events"] == nil // events has a logout token
	if isID {
		_, err = op.VerifyIDTokenHint[*oidc.TokenClaims](ctx, c.Token, g.Provider.IDTokenHintVerifier(ctx))
	} else {
		_, err = op.VerifyAccessToken[*oidc.TokenClaims](ctx, c.Token, g.Provider.AccessTokenVerifier(ctx))
	}
	switch {
	case err != nil:
		// The framework does not tell a bad token from keys that cannot be had (I12).
		if _, failure := g.Provider.Storage().KeySet(ctx); failure != nil {
			return tokenexchange.Token{}, failure
		}
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: %w", invalid, err)
	case isID:
		return g.idToken(ctx, c, t)
	}
	return g.recorded(ctx, c, t)
}

// idToken is an ID token that is genuine. One of the framework has no jti, so it is named by a hash of what is signed.
func (g *Grant) idToken(ctx context.Context, c tokenexchange.Credential, t tokenexchange.Token) (tokenexchange.Token, error) {
	if g.Session == nil || t.Scope != nil || !slices.Contains(t.Audience, t.ClientID) {
		return tokenexchange.Token{}, fmt.Errorf("%w: R07: no ID tokens are accepted, or it is not one for its client", invalid)
	}
	signed := c.Token[:strings.LastIndexByte(c.Token, '.')]
	t.ID = cmp.Or(t.ID, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(signed))))
	t.Type = tokenexchange.TypeIDToken
	return t, g.Session(ctx, t)
}

// recorded is the live record of an access token that says t of itself. One key encrypts for all issuers of a provider, so
// the record must say whose token it is.
func (g *Grant) recorded(ctx context.Context, c tokenexchange.Credential, t tokenexchange.Token) (tokenexchange.Token, error) {
	if t.ID == "" || t.Subject == "" {
		return tokenexchange.Token{}, fmt.Errorf("%w: D29: an access token without id or subject", invalid)
	}
	record, err := g.Token(ctx, t.ID)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if record.Type != tokenexchange.TypeAccessToken || record.Issuer != c.Issuer || record.Subject != t.Subject {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: the record is not of this access token", invalid)
	}
	// A JWT may say less than its record, and may say what the host has added to it. An opaque token says nothing more.
	if record.Lineage, err = record.Lineage.And(t.Lineage); err != nil {
		return tokenexchange.Token{}, fmt.Errorf("%w: R08: token and record: %w", invalid, err)
	}
	record.ID, record.Claims, record.Issued = t.ID, t.Claims, cmp.Or(t.Issued, record.Issued)
	record.ClientID, record.Confirmation = cmp.Or(t.ClientID, record.ClientID), cmp.Or(t.Confirmation, record.Confirmation)
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
