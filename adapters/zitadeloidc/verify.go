package zitadelexchange

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// Verifiers verifies the access tokens of the server, opaque ones and JWTs, and its ID tokens. A host that accepts more adds
// to the map, and puts it into Exchanger.Verify. Refresh tokens are not among them (D28).
func (g *Grant) Verifiers() tokenexchange.Verifiers {
	return tokenexchange.Verifiers{
		tokenexchange.TypeAccessToken: g.verifyAccessToken,
		tokenexchange.TypeIDToken:     g.verifyJWT,
		tokenexchange.TypeJWT:         g.verifyJWT,
	}
}

func (g *Grant) verifyAccessToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if id, subject, opaque := g.decrypt(c.Token); opaque {
		return g.recorded(ctx, c, id, subject)
	}
	return g.verifyJWT(ctx, c)
}

// decrypt reads an opaque token of the framework: the id of its record and a subject. The older of its two ciphers
// decrypts anything to something, so neither is believed before the record has been seen.
func (g *Grant) decrypt(value string) (id, subject string, ok bool) {
	plain, err := g.Provider.Crypto().Decrypt(value)
	if err != nil || !utf8.ValidString(plain) {
		return "", "", false
	}
	return strings.Cut(plain, ":")
}

// recorded is the live record of an access token. One key encrypts for all issuers of a provider, so the record must say
// whose token it is.
func (g *Grant) recorded(ctx context.Context, c tokenexchange.Credential, id, subject string) (tokenexchange.Token, error) {
	t, err := g.Token(ctx, id)
	switch {
	case err != nil:
		return tokenexchange.Token{}, err
	case t.Type != tokenexchange.TypeAccessToken:
		return tokenexchange.Token{}, no("R07: not the record of an access token", nil)
	case t.Issuer != c.Issuer || t.Subject != subject || subject == "":
		return tokenexchange.Token{}, no("R08: the record is of another issuer or subject", nil)
	case !c.Now.Before(t.Expires):
		return tokenexchange.Token{}, no("D26: expired", nil)
	}
	t.ID = id
	return t, nil
}

// verifyJWT tells the kinds of the framework's JWTs apart, whose headers are alike: azp is in every ID token, and in nothing
// else.
func (g *Grant) verifyJWT(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	unverified := &oidc.TokenClaims{}
	payload, err := oidc.ParseToken(c.Token, unverified)
	if err != nil {
		return tokenexchange.Token{}, no("R08: neither an opaque token of this server nor a JWT", err)
	}
	t, err := tokenexchange.ParseToken(payload)
	if err != nil {
		return tokenexchange.Token{}, no("R08: claims", err)
	}
	isID := unverified.AuthorizedParty != ""
	if isID {
		_, err = op.VerifyIDTokenHint[*oidc.TokenClaims](ctx, c.Token, g.Provider.IDTokenHintVerifier(ctx))
	} else {
		_, err = op.VerifyAccessToken[*oidc.TokenClaims](ctx, c.Token, g.Provider.AccessTokenVerifier(ctx))
	}
	switch {
	case err != nil:
		return tokenexchange.Token{}, g.notVerified(ctx, err)
	case !c.Now.Before(t.Expires):
		return tokenexchange.Token{}, no("D26: expired", nil)
	case isID:
		return idToken(t, c.Token)
	}
	return g.accessToken(ctx, c, t)
}

// notVerified tells a bad token from keys that cannot be had, which the framework does not (I12).
func (g *Grant) notVerified(ctx context.Context, err error) error {
	if _, failure := g.Provider.Storage().KeySet(ctx); failure != nil {
		return failure
	}
	return no("R08: signature, issuer or dates", err)
}

// idToken is an ID token whose signature and dates are good. It has no record: it lives as its subject does (D29).
func idToken(t tokenexchange.Token, value string) (tokenexchange.Token, error) {
	if t.ID != "" || t.Scope != nil || !slices.Contains(t.Audience, t.ClientID) {
		return tokenexchange.Token{}, no("R07: an ID token has neither jti nor scope, and is for its client", nil)
	}
	t.Type, t.ID = tokenexchange.TypeIDToken, digest(value)
	return t, nil
}

// accessToken is a JWT whose signature and dates are good. Its record says whether it is live, and what the JWTs of the
// framework leave out.
func (g *Grant) accessToken(ctx context.Context, c tokenexchange.Credential, t tokenexchange.Token) (tokenexchange.Token, error) {
	if t.ID == "" {
		return tokenexchange.Token{}, no("D29: an access token without jti", nil)
	}
	record, err := g.recorded(ctx, c, t.ID, t.Subject)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	t.Type, t.Kind, t.AuthTime, t.ACR, t.AMR = record.Type, record.Kind, record.AuthTime, record.ACR, record.AMR
	t.ClientID = cmp.Or(t.ClientID, record.ClientID)
	t.Actor, t.MayAct = cmp.Or(t.Actor, record.Actor), cmp.Or(t.MayAct, record.MayAct)
	t.Confirmation = cmp.Or(t.Confirmation, record.Confirmation)
	if t.Scope == nil {
		t.Scope = record.Scope
	}
	if record.Expires.Before(t.Expires) {
		t.Expires = record.Expires
	}
	return t, nil
}

// digest names a JWT that has no jti, after what is signed in it.
func digest(jwt string) string {
	sum := sha256.Sum256([]byte(jwt[:strings.LastIndexByte(jwt, '.')]))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// no is a refusal with a reason for the audit trail.
func no(reason string, cause error) error {
	return &tokenexchange.Error{Code: tokenexchange.InvalidRequest, Reason: reason, Err: cause}
}
