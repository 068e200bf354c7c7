package fositeexchange

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// tokens verifies the presented tokens of one exchange and issues the new ones.
type tokens struct {
	*handler
	client  fosite.Client
	origins []string                   // signatures of the presented tokens and of their origins
	records map[string]*fosite.Request // records of the new tokens, by signature
}

var (
	errNotOurs = refusal.New(tokenexchange.InvalidRequest, "token_unknown",
		"the storage has no such access token (D07)")
	errRevoked = refusal.New(tokenexchange.InvalidRequest, "origin_revoked",
		"a token that the token was made from has been revoked (D07)")
	errSpelling = refusal.New(tokenexchange.InvalidRequest, "token_not_canonical",
		"the access token has blanks, no prefix, or unused bits set (R08)")
)

// refuseType returns the refusal to issue a token of a type.
func refuseType(typ tokenexchange.TokenType) error {
	return refusal.New(tokenexchange.InvalidRequest, "type_not_issued",
		"this server does not issue tokens of type %q (R07)", typ)
}

// verifyAccessToken verifies an access token of this server, whether opaque or a JWT.
func (t *tokens) verifyAccessToken(
	ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	signature := t.AccessTokenSignature(ctx, c.Token)
	record, err := t.accessRecord(ctx, c.Token, signature)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	var malformed base64.CorruptInputError
	switch err := t.ValidateAccessToken(ctx, record, c.Token); {
	case err == nil:
	case fosite.ErrorToRFC6749Error(err).CodeField >= 500 && !errors.As(err, &malformed):
		return tokenexchange.Token{}, err // a failure of the strategy (I12)
	default:
		return tokenexchange.Token{}, refusal.WithCause(err, tokenexchange.InvalidRequest,
			"token_not_valid", "fosite does not accept the access token (R08)")
	}
	found, err := tokenOf(record, c.Issuer)
	if err == nil && !c.Now.Before(found.Expires) { // fosite accepts a session without expiry
		err = refusal.New(tokenexchange.InvalidRequest, "token_expired",
			"the session of the token has the expiry %s (D26)", found.Expires.Format(time.RFC3339))
	}
	t.origins = append(append(t.origins, signature), record.GetRequestForm()[formOrigins]...)
	return found, err
}

// verifyJWT verifies an access token of this server, or a token that the host's verifier accepts.
// That verifier cannot accept an access token that the storage does not have.
func (t *tokens) verifyJWT(
	ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if !isJWT(c.Token) {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest, "not_a_jwt",
			"the token is declared as %q and is not a JWT (R07)", c.Type)
	}
	found, err := t.verifyAccessToken(ctx, c)
	other := t.Exchanger.Verify[tokenexchange.TypeJWT]
	if other != nil && errors.Is(err, errNotOurs) {
		return t.guard(other)(ctx, c)
	}
	return found, err
}

func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// IssueToken makes an access token with fosite's strategy or an ID token with IDTokens, and stores
// a record of each in the host's storage.
func (t *tokens) IssueToken(
	ctx context.Context, d tokenexchange.Decision) (issued tokenexchange.IssuedToken, err error) {
	id := ""
	switch {
	case d.Type == tokenexchange.TypeIDToken && t.IDTokens != nil:
		if id, err = t.addIDToken(d); err == nil {
			issued, err = t.IDTokens.IssueTokenWithID(ctx, d, id)
		}
	case d.Type == tokenexchange.TypeAccessToken || d.Type == tokenexchange.TypeJWT:
		issued, err = t.accessToken(ctx, d)
	default:
		err = refuseType(d.Type)
	}
	if err == nil && d.IDToken && t.IDTokens != nil { // without IDTokens the Exchanger fails
		if id, err = t.addIDToken(d); err == nil {
			issued.IDToken, err = t.IDTokens.IssueIDTokenWithID(ctx, d, issued.Value, id)
		}
	}
	if err == nil {
		issued.Discard = t.discard
		err = t.save(ctx)
	}
	return issued, err
}

// accessToken makes an access token and adds its record. The token must state what was decided, no
// more and no less, whatever session and strategy the host uses.
func (t *tokens) accessToken(
	ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	record, err := t.newRecord(d)
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	want := d.Token(record.GetID())
	record.GrantedScope = append(record.GrantedScope, d.Scope...)
	record.GrantedAudience = append(record.GrantedAudience, d.Audience...)
	setClaims(record.Session, want)
	if written, err := tokenOf(record, d.Issuer); err != nil || !states(written.Claims, want) {
		err = errors.New("a session of NewSession holds other claims than were decided")
		return tokenexchange.IssuedToken{}, err
	}
	value, signature, err := t.GenerateAccessToken(ctx, record)
	claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(value+".", ".")[1])
	switch {
	case err != nil:
	case isJWT(value) && !states(claims, want):
		err = errors.New("the strategy made a JWT with other claims than were decided")
	case !isJWT(value) && d.Type == tokenexchange.TypeJWT:
		err = refuseType(d.Type)
	}
	t.records[signature] = record
	return tokenexchange.IssuedToken{Value: value, ID: record.ID, Expires: d.Expires}, err
}
