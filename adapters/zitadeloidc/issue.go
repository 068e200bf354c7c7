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

// issuer makes the tokens of one request. The storage creates the record of an access token and chooses its id and expiry,
// and the client's registration says whether it is opaque or a JWT; TypeJWT always is one.
type issuer struct {
	*Grant
	client op.Client
}

// IssueToken is tokenexchange.TokenIssuer. JWTs are signed with the framework's key, but not by its helpers: they would
// leave out the scope, write a typ that says no kind, and encode the chain anew (D12).
func (i *issuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (t tokenexchange.IssuedToken, err error) {
	if err := cmp.Or(d.Check(), d.LineageWithOrigins().Check()); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	storage, signer := i.Provider.Storage(), &tokenexchange.JWTIssuer{}
	isJWT := d.Type != tokenexchange.TypeAccessToken || i.client.AccessTokenType() == op.AccessTokenTypeJWT
	if isJWT || d.IDToken {
		key, err := storage.SigningKey(ctx)
		if err != nil {
			return tokenexchange.IssuedToken{}, err
		}
		private, _ := key.Key().(crypto.Signer) // nil is an error
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
	case d.RefreshToken || d.Type != tokenexchange.TypeAccessToken && d.Type != tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, errors.New("zitadelexchange: only access and ID tokens are made")
	}
	id, expires, err := storage.CreateAccessToken(ctx, Request{d, isJWT})
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	discard := func(ctx context.Context) error {
		if err := storage.RevokeToken(ctx, id, d.Subject.ID, d.Client); err != nil {
			return err // not as it is: a nil *oidc.Error would be an error
		}
		return nil
	}
	ended := false
	defer func() {
		if !ended { // but panicked, in Claims: nobody else knows of the record
			_ = bounded.Call(ctx, bounded.Usual, discard)
		}
	}()
	if isJWT {
		if expires.Before(d.Expires) { // a JWT may say less than its record, never more
			d.Expires = expires
		}
		t, err = signer.IssueTokenWithID(ctx, d, id)
	} else {
		t = tokenexchange.IssuedToken{ID: id, Expires: expires}
		if t.Value, err = op.CreateBearerToken(id, d.Subject.ID, i.Provider.Crypto()); err == nil && d.IDToken {
			t.IDToken, err = signer.IssueIDToken(ctx, d, t.Value)
		}
	}
	t.Discard, ended = discard, true // an error too leaves a record that must go
	return t, err
}
