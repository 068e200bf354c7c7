package tokenstore

import (
	"context"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
)

// recordSeen is under which Live tells VerifyToken what only the record knows, so that it is not fetched twice.
type recordSeen struct{}

// VerifyToken fits in tokenexchange.Verifiers, for TypeAccessToken, TypeJWT, TypeIDToken and every opaque type. A value
// with a dot goes to Verify; any other is looked up under its declared type. A refresh token is none of these. What is
// unknown, cut, extended, expired, revoked, spent or of another type is an error with the code InvalidRequest, any other
// error is a failure of the store.
//
// Token.Kind is what the record says; a token of another issuer has none.
func (t *Tokens) VerifyToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if isJWT(c.Token) {
		return t.verifyJWT(ctx, c)
	}
	if c.Type == tokenexchange.TypeRefreshToken {
		return tokenexchange.Token{}, no("D28: a refresh token", nil)
	}
	found, err := t.find(ctx, c.Issuer, c.Type, c.Token, c.Now)
	if err != nil {
		return tokenexchange.Token{}, err
	}
	if found.Spent {
		return tokenexchange.Token{}, no("D09: the ticket has been used", ErrSpent)
	}
	return found.token, nil
}

func (t *Tokens) verifyJWT(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if t.Verify == nil {
		return tokenexchange.Token{}, no("R07: JWTs are not in use", nil)
	}
	var kind tokenexchange.Kind
	tok, err := t.Verify(context.WithValue(ctx, recordSeen{}, &kind), c)
	if err == nil && tok.Kind == "" && tok.Issuer == c.Issuer {
		tok.Kind = kind
	}
	return tok, err
}

// VerifyRefreshToken fits in tokenexchange.Verifiers for TypeRefreshToken, where a host lets a client exchange a refresh
// token of its own (D28): it counts as an access token with the scope and the targets of its grant. It is not used up by
// that. One that was rotated out is refused, and its grant ends, as when it is presented to be refreshed.
func (t *Tokens) VerifyRefreshToken(ctx context.Context, c tokenexchange.Credential) (tokenexchange.Token, error) {
	if c.Type != tokenexchange.TypeRefreshToken {
		return tokenexchange.Token{}, no("R07: not declared as a refresh token", nil)
	}
	found, err := t.findRefresh(ctx, c.Issuer, c.Client, c.Token, c.Now)
	return found.token, err
}

// finding is a record together with what it says.
type finding struct {
	Record
	token tokenexchange.Token
	grant *grant // nil: none
}

// lookup finds an opaque token of any type. It is known by the hash of the whole value, and its type by the record.
func (t *Tokens) lookup(ctx context.Context, issuer, value string, now time.Time) (finding, error) {
	if t.Store == nil {
		return finding{}, errNoStore
	}
	r, err := t.Store.Get(ctx, now, TokenKey(tokenexchange.Token{Issuer: issuer, ID: handle(value)}))
	if err != nil {
		return finding{}, err
	}
	f := finding{Record: r}
	if f.token, f.grant, err = decode(issuer, r); err != nil {
		return finding{}, err
	}
	if !t.isValue(f.token.Type, value) {
		return finding{}, no("R07: not a token of the type that is recorded", ErrUnknown)
	}
	return f, nil
}

// find is lookup for one type; what cannot be a value of it costs no round trip.
func (t *Tokens) find(ctx context.Context, issuer string, kind tokenexchange.TokenType, value string, now time.Time) (finding, error) {
	if !t.isValue(kind, value) {
		return finding{}, no("R08: not an opaque token of this type", ErrUnknown)
	}
	f, err := t.lookup(ctx, issuer, value, now)
	if err == nil && f.token.Type != kind {
		return finding{}, no("R07: recorded as a token of another type", ErrUnknown)
	}
	return f, err
}

// findRefresh looks up a refresh token of a client. One that is presented although it was rotated out is in two hands, so
// nobody may go on with its grant (RFC 9700 §4.14.2).
func (t *Tokens) findRefresh(ctx context.Context, issuer string, client tokenexchange.Client, value string, now time.Time) (finding, error) {
	f, err := t.find(ctx, issuer, tokenexchange.TypeRefreshToken, value, now)
	switch {
	case err != nil:
		return finding{}, err
	case f.token.ClientID != client.ID:
		return finding{}, no("D28: a refresh token of another client", nil)
	case f.Spent:
		return finding{}, t.reused(ctx, f, now)
	}
	return f, nil
}

// reused ends the grant of a refresh token that was used twice, and is the refusal.
func (t *Tokens) reused(ctx context.Context, f finding, now time.Time) error {
	key := f.Key
	if f.grant != nil {
		key = f.grant.Key
	}
	err := bounded.Call(ctx, bounded.Usual, func(ctx context.Context) error {
		return t.Store.Revoke(ctx, now, key, f.Expires)
	})
	if err != nil {
		return err
	}
	return no("D28: a refresh token was used twice; its grant has ended", ErrSpent)
}
