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

// tokens are those of one exchange: the ones that are presented, and the one that is made.
type tokens struct {
	*handler
	client  fosite.Client
	origins []string // signatures of the access tokens that were presented, and of those that they were made from
}

var (
	errNotOurs = fmt.Errorf("%w: D07: the storage has no such access token", tokenexchange.InvalidRequest)
	errRevoked = fmt.Errorf("%w: D07: a token that it was made from has been revoked", tokenexchange.InvalidRequest)
	errType    = fmt.Errorf("%w: R07: this server does not issue tokens of the requested type", tokenexchange.InvalidRequest)
)

// verifyAccessToken verifies this server's own access tokens, opaque ones and JWTs.
func (t *tokens) verifyAccessToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	signature := t.AccessTokenSignature(ctx, c.Token)
	record, err := t.record(ctx, signature)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if err := t.ValidateAccessToken(ctx, record, c.Token); err != nil {
		return tokenexchange.Token{}, invalid(err)
	}
	found, err := tokenOf(record, c.Issuer)
	if err == nil && !c.Now.Before(found.Expires) { // fosite takes the configured lifespan where a session says none
		err = fmt.Errorf("%w: D26: expired, or it does not say when it will be", tokenexchange.InvalidRequest)
	}
	t.origins = append(append(t.origins, signature), record.GetRequestForm()[formOrigins]...)
	return found, err
}

// verifyJWT finds out what was declared as a JWT: an access token of this server, or what the host's own verifier takes.
// That cannot vouch for an access token of ours which the storage does not have.
func (t *tokens) verifyJWT(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if !isJWT(c.Token) {
		return tokenexchange.Token{}, fmt.Errorf("%w: R07: no JWT", tokenexchange.InvalidRequest)
	}
	found, err := t.verifyAccessToken(ctx, c)
	if other := t.Exchanger.Verify[tokenexchange.TypeJWT]; other != nil && errors.Is(err, errNotOurs) {
		if found, err = other(ctx, c); err == nil && found.Type == tokenexchange.TypeAccessToken {
			err = errNotOurs
		}
	}
	return found, err
}

func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// invalid tells a token that is not good from a strategy that is broken (I12).
func invalid(err error) error {
	var refused *fosite.RFC6749Error
	var malformed base64.CorruptInputError
	if errors.As(err, &refused) && refused.CodeField < 500 || errors.As(err, &malformed) {
		return fmt.Errorf("%w: R08: %w", tokenexchange.InvalidRequest, err)
	}
	return err
}

// IssueToken makes an access token by fosite's strategy, and keeps it in the host's storage.
func (t *tokens) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	switch {
	case d.Type == tokenexchange.TypeIDToken && t.IDTokens != nil:
		return t.IDTokens.IssueToken(ctx, d)
	case d.Type != tokenexchange.TypeAccessToken && d.Type != tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, errType
	}
	record, err := t.newRecord(d)
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	value, signature, err := t.GenerateAccessToken(ctx, record)
	switch {
	case err != nil:
		return tokenexchange.IssuedToken{}, err
	case isJWT(value) && !says(value, d.Token(record.ID)):
		return tokenexchange.IssuedToken{}, errors.New("the strategy made a JWT that does not say what was decided, or says more")
	case !isJWT(value) && d.Type == tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, errType
	}
	issued := tokenexchange.IssuedToken{Value: value, ID: record.ID, Expires: d.Expires}
	if d.IDToken && t.IDTokens != nil { // without it the Exchanger refuses
		if issued.IDToken, err = t.IDTokens.IssueIDToken(ctx, d, value); err != nil {
			return tokenexchange.IssuedToken{}, err
		}
	}
	issued.Discard = func(ctx context.Context) error { return t.DeleteAccessTokenSession(ctx, signature) }
	return issued, t.CreateAccessTokenSession(ctx, signature, record)
}

// says reports whether a JWT says what was decided. Its jti and iat may be the strategy's own.
func says(jwt string, want tokenexchange.Token) bool {
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	got, err := tokenexchange.ParseToken(payload)
	got.ID, got.Issued = want.ID, want.Issued
	return err == nil && same(got, want)
}

// record returns what the storage knows of an access token that is not revoked, and none of those it was made from is. One
// of these that has merely expired is still there. The record shares nothing with what is stored: some sessions change when
// they are read, and the memory store hands out its own.
func (h *handler) record(ctx context.Context, signature string) (fosite.Requester, error) {
	stored, err := h.stored(ctx, signature)
	if err != nil {
		return nil, err
	}
	for _, origin := range stored.GetRequestForm()[formOrigins] {
		if _, err := h.stored(ctx, origin); errors.Is(err, errNotOurs) {
			return nil, errRevoked
		} else if err != nil {
			return nil, err
		}
	}
	record := stored.Sanitize([]string{formKind, formOrigins})
	record.SetSession(stored.GetSession().Clone())
	return record, nil
}

func (h *handler) stored(ctx context.Context, signature string) (fosite.Requester, error) {
	stored, err := h.GetAccessTokenSession(ctx, signature, h.NewSession())
	if signature == "" || errors.Is(err, fosite.ErrNotFound) || errors.Is(err, fosite.ErrInactiveToken) {
		return nil, errNotOurs
	}
	return stored, err
}

// IntrospectToken fails for a token that was made from a revoked one, and for one of which that cannot be found out. Any other
// it leaves to the other introspectors. The cause is text, as in answer.
func (h *handler) IntrospectToken(ctx context.Context, token string, _ fosite.TokenUse, _ fosite.AccessRequester, _ []string) (fosite.TokenUse, error) {
	_, err := h.record(ctx, h.AccessTokenSignature(ctx, token))
	if err != nil && !errors.Is(err, errNotOurs) {
		return "", fosite.ErrInactiveToken.WithWrap(errors.New(err.Error()))
	}
	return "", fosite.ErrUnknownRequest
}
