package tokenstore

import (
	"context"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/refusal"
)

// recordedKind is the context key under which Live passes the recorded kind of a token to
// VerifyToken, so that the record is not read twice.
type recordedKind struct{}

// VerifyToken fits in tokenexchange.Verifiers for TypeAccessToken, TypeJWT, TypeIDToken and every
// opaque type. It passes a value with a dot to Verify and looks up any other value as a token of
// the declared type. It refuses refresh tokens.
//
// A token that is unknown, altered, expired, revoked, spent or of another type is an error with the
// code InvalidRequest. Any other error is a failure of the store.
//
// Token.Kind is the recorded kind. A token of another issuer has none.
func (t *Tokens) VerifyToken(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if isJWT(c.Token) {
		return t.verifyJWT(ctx, c)
	}
	if c.Type == tokenexchange.TypeRefreshToken {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"refresh_token_not_accepted", "VerifyToken accepts no refresh token (D28)")
	}
	found, err := t.lookupType(ctx, c.Issuer, c.Type, c.Token, c.Now)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if found.Spent {
		return tokenexchange.Token{}, refuseSpent(found.token.ID)
	}
	return found.token, nil
}

func (t *Tokens) verifyJWT(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if t.Verify == nil {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest, "jwt_not_accepted",
			"no JWT is accepted, since Tokens.Verify is not set (R07)")
	}
	var kind tokenexchange.Kind
	tok, err := t.Verify(context.WithValue(ctx, recordedKind{}, &kind), c)
	if err == nil && tok.Kind == "" && tok.Issuer == c.Issuer {
		tok.Kind = kind
	}
	return tok, err
}

// VerifyRefreshToken fits in tokenexchange.Verifiers for TypeRefreshToken, for a host that lets a
// client exchange its own refresh token (D28). The token counts as an access token with the scope
// and the targets of its grant, and the exchange does not use it up. A refresh token that was
// rotated out is refused and its grant ends, as in Refresh.
func (t *Tokens) VerifyRefreshToken(ctx context.Context, c tokenexchange.Credential) (
	tokenexchange.Token, error) {
	if c.Type != tokenexchange.TypeRefreshToken {
		return tokenexchange.Token{}, refusal.New(tokenexchange.InvalidRequest,
			"not_a_refresh_token", "the token is declared as %q, not as a refresh token (R07)",
			c.Type)
	}
	found, err := t.lookupRefresh(ctx, c.Issuer, c.Client, c.Token, c.Now)
	return found.token, err
}

// storedToken is a record with its decoded data.
type storedToken struct {
	Record
	token tokenexchange.Token
	grant *grant // nil if the token is not a refresh token of an exchange
}

// lookup returns the opaque token with a value, of any type. The record has its type.
func (t *Tokens) lookup(ctx context.Context, issuer, value string, now time.Time) (
	storedToken, error) {
	if t.Store == nil {
		return storedToken{}, errNoStore
	}
	id := valueID(value)
	r, err := t.Store.Get(ctx, now, TokenKey(tokenexchange.Token{Issuer: issuer, ID: id}))
	if err != nil {
		return storedToken{}, refuseUnknown(err, id)
	}
	s := storedToken{Record: r}
	if s.token, s.grant, err = decode(issuer, r); err != nil {
		return storedToken{}, err
	}
	if !t.isValue(s.token.Type, value) {
		return storedToken{}, refusal.WithCause(ErrUnknown, tokenexchange.InvalidRequest,
			"not_an_opaque_token",
			"token %q does not have the form of type %q, which its record has (R08)",
			id, s.token.Type)
	}
	return s, nil
}

// lookupType is lookup for one type. It does not ask the store about a value that cannot have the
// type.
func (t *Tokens) lookupType(ctx context.Context, issuer string, typ tokenexchange.TokenType,
	value string, now time.Time) (storedToken, error) {
	if !t.isValue(typ, value) {
		return storedToken{}, refusal.WithCause(ErrUnknown, tokenexchange.InvalidRequest,
			"not_an_opaque_token",
			"the value does not have the form of an opaque token of type %q (R08)", typ)
	}
	s, err := t.lookup(ctx, issuer, value, now)
	if err == nil && s.token.Type != typ {
		return storedToken{}, refusal.WithCause(ErrUnknown, tokenexchange.InvalidRequest,
			"record_other_type", "the record of token %q has type %q, not %q (R07)",
			s.token.ID, s.token.Type, typ)
	}
	return s, err
}

// lookupRefresh returns a refresh token of a client. If the token was rotated out, two parties have
// it, and its grant ends (RFC 9700 §4.14.2).
func (t *Tokens) lookupRefresh(ctx context.Context, issuer string, client tokenexchange.Client,
	value string, now time.Time) (storedToken, error) {
	s, err := t.lookupType(ctx, issuer, tokenexchange.TypeRefreshToken, value, now)
	switch {
	case err != nil:
		return storedToken{}, err
	case s.token.ClientID != client.ID:
		return storedToken{}, refusal.New(tokenexchange.InvalidRequest,
			"refresh_token_other_client",
			"the refresh token was issued to client %q, not to client %q (D28)",
			s.token.ClientID, client.ID)
	case s.Spent:
		return storedToken{}, t.endReused(ctx, s, now)
	}
	return s, nil
}

// endReused ends the grant of a refresh token that was used twice, and returns the refusal.
func (t *Tokens) endReused(ctx context.Context, s storedToken, now time.Time) error {
	key := s.Key
	if s.grant != nil {
		key = s.grant.Key
	}
	err := bounded.Call(ctx, bounded.Usual, func(ctx context.Context) error {
		return t.Store.Revoke(ctx, now, key, s.Expires)
	})
	if err != nil {
		return err
	}
	return refusal.WithCause(ErrSpent, tokenexchange.InvalidRequest, "refresh_token_reused",
		"refresh token %q was used twice, so its grant has ended (D28)", s.token.ID)
}
