package fositeexchange

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/ory/fosite"

	"github.com/go-tokenexchange/tokenexchange"
)

// tokens are those of one exchange: the ones that are presented, and the ones that are made.
type tokens struct {
	*handler
	client  fosite.Client
	origins []string                   // signatures of what is presented, and their origins
	records map[string]*fosite.Request // of what is made, by signature
}

var (
	errNotOurs  = refuse("D07: the storage has no such access token")
	errRevoked  = refuse("D07: a token that it was made from has been revoked")
	errSpelling = refuse("R08: the access token has blanks, no prefix, or unused bits set")
	errType     = refuse("R07: this server does not issue tokens of the requested type")
)

// refuse makes a refusal. Its text is for the host only.
func refuse(text string, values ...any) error {
	return fmt.Errorf("%w: "+text, append([]any{tokenexchange.InvalidRequest}, values...)...)
}

// verifyAccessToken verifies this server's own access tokens, opaque ones and JWTs.
func (t *tokens) verifyAccessToken(
	ctx context.Context, c tokenexchange.Credential,
) (tokenexchange.Token, error) {
	signature := t.AccessTokenSignature(ctx, c.Token)
	record, err := t.accessRecord(ctx, c.Token, signature)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	var malformed base64.CorruptInputError
	switch err := t.ValidateAccessToken(ctx, record, c.Token); {
	case err == nil:
	case fosite.ErrorToRFC6749Error(err).CodeField >= 500 && !errors.As(err, &malformed):
		return tokenexchange.Token{}, err // the strategy is broken, and not the token (I12)
	default:
		return tokenexchange.Token{}, refuse("R08: %w", err)
	}
	found, err := tokenOf(record, c.Issuer)
	if err == nil && !c.Now.Before(found.Expires) { // for none, fosite takes a configured lifespan
		err = refuse("D26: expired, or it does not say when it will be")
	}
	t.origins = append(append(t.origins, signature), record.GetRequestForm()[formOrigins]...)
	return found, err
}

// verifyJWT finds out what was declared as a JWT: an access token of this server, or what the
// host's own verifier takes. That cannot vouch for an access token that the storage does not have.
func (t *tokens) verifyJWT(
	ctx context.Context, c tokenexchange.Credential,
) (tokenexchange.Token, error) {
	if !isJWT(c.Token) {
		return tokenexchange.Token{}, refuse("R07: no JWT")
	}
	found, err := t.verifyAccessToken(ctx, c)
	other := t.Exchanger.Verify[tokenexchange.TypeJWT]
	if other != nil && errors.Is(err, errNotOurs) {
		return t.guard(other)(ctx, c)
	}
	return found, err
}

func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// IssueToken makes an access token by fosite's strategy or an ID token by IDTokens, and keeps a
// record of each in the host's storage.
func (t *tokens) IssueToken(
	ctx context.Context, d tokenexchange.Decision,
) (issued tokenexchange.IssuedToken, err error) {
	id := ""
	switch {
	case d.Type == tokenexchange.TypeIDToken && t.IDTokens != nil:
		if id, err = t.addIDToken(d); err == nil {
			issued, err = t.IDTokens.IssueTokenWithID(ctx, d, id)
		}
	case d.Type == tokenexchange.TypeAccessToken || d.Type == tokenexchange.TypeJWT:
		issued, err = t.accessToken(ctx, d)
	default:
		err = errType
	}
	if err == nil && d.IDToken && t.IDTokens != nil { // without it the Exchanger refuses
		if id, err = t.addIDToken(d); err == nil {
			issued.IDToken, err = t.IDTokens.IssueIDTokenWithID(ctx, d, issued.Value, id)
		}
	}
	if err == nil {
		issued.Discard = t.discard
		err = t.keep(ctx)
	}
	return issued, err
}

// accessToken makes an access token, and adds its record.
func (t *tokens) accessToken(
	ctx context.Context, d tokenexchange.Decision,
) (tokenexchange.IssuedToken, error) {
	record, err := t.newRecord(d)
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	said := d.Token(record.GetID())
	record.GrantedScope = append(record.GrantedScope, d.Scope...)
	record.GrantedAudience = append(record.GrantedAudience, d.Audience...)
	write(record.Session, said)
	if read, err := tokenOf(record, d.Issuer); err != nil || !says(read.Claims, said) {
		err = errors.New("a session from NewSession says less than was decided, or more")
		return tokenexchange.IssuedToken{}, err
	}
	value, signature, err := t.GenerateAccessToken(ctx, record)
	claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(value+".", ".")[1])
	switch {
	case err != nil:
	case isJWT(value) && !says(claims, said):
		err = errors.New("the strategy made a JWT that says less than was decided, or more")
	case !isJWT(value) && d.Type == tokenexchange.TypeJWT:
		err = errType
	}
	t.records[signature] = record
	return tokenexchange.IssuedToken{Value: value, ID: record.ID, Expires: d.Expires}, err
}
