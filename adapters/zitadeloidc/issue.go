package zitadelexchange

import (
	"cmp"
	"context"
	"crypto"
	"errors"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
)

// issuer makes the tokens of one request. The storage creates the record of an access token and
// chooses its ID and expiry. The client's registration decides whether an access token is opaque or
// a JWT; TypeJWT is always a JWT.
type issuer struct {
	*Grant
	client op.Client
}

// IssueToken implements tokenexchange.TokenIssuer. It signs JWTs with the framework's key, but
// without its helpers: they would omit the scope, write the typ JWT and encode act anew (D12).
func (i *issuer) IssueToken(
	ctx context.Context, d tokenexchange.Decision) (t tokenexchange.IssuedToken, err error) {
	if err := cmp.Or(d.Check(), d.LineageWithOrigins().Check()); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	storage, signer := i.Provider.Storage(), &tokenexchange.JWTIssuer{}
	isJWT := d.Type != tokenexchange.TypeAccessToken ||
		i.client.AccessTokenType() == op.AccessTokenTypeJWT
	if isJWT || d.IDToken {
		key, err := storage.SigningKey(ctx)
		if err != nil {
			return tokenexchange.IssuedToken{}, err
		}
		private, _ := key.Key().(crypto.Signer) // NewJWTIssuer refuses nil
		algorithm := string(key.SignatureAlgorithm())
		signer, err = tokenexchange.NewJWTIssuer(private, key.ID(), algorithm)
		if err != nil {
			return tokenexchange.IssuedToken{}, err
		}
		signer.Claims = i.Claims
	}
	switch {
	case d.Type == tokenexchange.TypeIDToken:
		return signer.IssueToken(ctx, d)
	case d.RefreshToken ||
		d.Type != tokenexchange.TypeAccessToken && d.Type != tokenexchange.TypeJWT:
		return t, errors.New("zitadelexchange: only access tokens and ID tokens are issued")
	}
	id, expires, err := storage.CreateAccessToken(ctx, Request{d, isJWT})
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	discard := func(ctx context.Context) error {
		if err := storage.RevokeToken(ctx, id, d.Subject.ID, d.Client); err != nil {
			return err // a nil *oidc.Error must not become a non-nil error
		}
		return nil
	}
	returned := false
	defer func() {
		if !returned { // Claims panicked, so the caller cannot discard the record
			_ = bounded.Call(ctx, bounded.Usual, discard)
		}
	}()
	if isJWT {
		if expires.Before(d.Expires) { // a JWT must not outlive its record
			d.Expires = expires
		}
		t, err = signer.IssueTokenWithID(ctx, d, id)
	} else {
		t = tokenexchange.IssuedToken{ID: id, Expires: expires}
		t.Value, err = op.CreateBearerToken(id, d.Subject.ID, i.Provider.Crypto())
		if err == nil && d.IDToken {
			t.IDToken, err = signer.IssueIDToken(ctx, d, t.Value)
		}
	}
	t.Discard, returned = discard, true // set after an error too, since the record exists
	return t, err
}
