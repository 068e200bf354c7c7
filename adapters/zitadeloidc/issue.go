package zitadelexchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// issuer makes the tokens of one request, as the framework makes those of its own grants: the storage creates a record and
// chooses its id and expiry, and the client's registration says whether the token is opaque or a JWT. TypeJWT always is one.
type issuer struct {
	*Grant
	client op.Client
}

// IssueToken is tokenexchange.TokenIssuer. An error after there is a record comes with a Discard that revokes it.
func (i *issuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (t tokenexchange.IssuedToken, err error) {
	if err := d.Check(); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	switch {
	case d.RefreshToken:
		return tokenexchange.IssuedToken{}, errors.New("zitadelexchange: no refresh tokens are made")
	case d.Type == tokenexchange.TypeIDToken:
		if t.Value, t.Expires, err = i.idToken(ctx, d, ""); err != nil {
			return tokenexchange.IssuedToken{}, err
		}
		t.ID = digest(t.Value)
		return t, nil
	case d.Type != tokenexchange.TypeAccessToken && d.Type != tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, fmt.Errorf("zitadelexchange: no tokens of type %q are made", d.Type)
	}
	if t.ID, t.Expires, err = i.Provider.Storage().CreateAccessToken(ctx, Request{d}); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	t.Discard = func(ctx context.Context) error { return i.revoke(ctx, t.ID, d) }
	if d.Type == tokenexchange.TypeJWT || i.client.AccessTokenType() == op.AccessTokenTypeJWT {
		if d.Expires.Before(t.Expires) { // a JWT may say less than its record
			t.Expires = d.Expires
		}
		t.Value, err = op.CreateJWT(ctx, d.Issuer, Request{d}, t.Expires, t.ID, i.client, i.claims(d))
	} else {
		t.Value, err = op.CreateBearerToken(t.ID, d.Subject.ID, i.Provider.Crypto())
	}
	if err == nil && d.IDToken {
		t.IDToken, _, err = i.idToken(ctx, d, t.Value)
	}
	return t, err
}

func (i *issuer) revoke(ctx context.Context, id string, d tokenexchange.Decision) error {
	if err := i.Provider.Storage().RevokeToken(ctx, id, d.Subject.ID, d.Client); err != nil {
		return err // not as it is: a nil *oidc.Error would be an error
	}
	return nil
}

// idToken makes an ID token, alone or beside an access token: for the client, and never of a later expiry than decided,
// whatever the client's registration says (D27, I04).
func (i *issuer) idToken(ctx context.Context, d tokenexchange.Decision, accessToken string) (string, time.Time, error) {
	d.Type, d.Audience = tokenexchange.TypeIDToken, []string{d.Client}
	skew := i.client.ClockSkew() // the framework takes it off every date but the expiry, to which it adds it
	lifetime := min(i.client.IDTokenLifetime(), time.Until(d.Expires)-skew)
	request := idTokenRequest{Request{d}, skew}
	value, err := op.CreateIDToken(ctx, d.Issuer, request, lifetime, accessToken, "", i.claims(d), i.client)
	if err != nil {
		return "", time.Time{}, err
	}
	written := &oidc.TokenClaims{}
	if _, err := oidc.ParseToken(value, written); err != nil {
		return "", time.Time{}, err
	}
	if written.GetExpiration().After(d.Expires) { // the framework looks at the clock a second time
		return "", time.Time{}, errors.New("zitadelexchange: I04: the ID token was made too late")
	}
	return value, written.GetExpiration(), nil
}

func (i *issuer) claims(d tokenexchange.Decision) claims {
	storage := i.Provider.Storage()
	host, _ := storage.(op.TokenExchangeStorage)
	return claims{storage, host, d}
}

// claims is the host's storage to the framework where that asks for further claims. It adds what the framework would not
// write, and takes away what the host must not (D18).
type claims struct {
	op.Storage
	op.TokenExchangeStorage // nil: the host has no claims to add
	decision                tokenexchange.Decision
}

// GetPrivateClaimsFromTokenExchangeRequest is asked for an access token.
func (c claims) GetPrivateClaimsFromTokenExchangeRequest(ctx context.Context, r op.TokenExchangeRequest) (map[string]any, error) {
	var host map[string]any
	if c.TokenExchangeStorage != nil {
		var err error
		if host, err = c.TokenExchangeStorage.GetPrivateClaimsFromTokenExchangeRequest(ctx, r); err != nil {
			return nil, err
		}
	}
	return c.complete(host)
}

// SetUserinfoFromTokenExchangeRequest is asked for an ID token, whose sub the framework takes from here.
func (c claims) SetUserinfoFromTokenExchangeRequest(ctx context.Context, info *oidc.UserInfo, r op.TokenExchangeRequest) (err error) {
	if c.TokenExchangeStorage != nil {
		if err = c.TokenExchangeStorage.SetUserinfoFromTokenExchangeRequest(ctx, info, r); err != nil {
			return err
		}
	}
	info.Subject = c.decision.Subject.ID
	info.Claims, err = c.complete(info.Claims)
	return err
}

// reserved are the claims that a host cannot set: what a decision says, what only a login can say, and what belongs to
// another token.
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "act_as", "cnf", "azp",
	"auth_time", "acr", "amr", "nonce", "at_hash", "c_hash", "s_hash",
}

// complete returns the host's claims together with those that were decided. The chain goes here, as raw JSON, since
// oidc.ActorClaims would not keep its numbers and the order of its members (D12).
func (c claims) complete(host map[string]any) (map[string]any, error) {
	all := map[string]any{}
	maps.Copy(all, host)
	maps.DeleteFunc(all, func(name string, _ any) bool { return slices.Contains(reserved, name) })
	d := c.decision
	if d.Actor != nil {
		chain, err := d.Actor.MarshalJSON()
		if err != nil {
			return nil, err
		}
		all["act"] = json.RawMessage(chain)
	}
	if d.Confirmation != (tokenexchange.Confirmation{}) {
		all["cnf"] = d.Confirmation
	}
	switch acr := d.Facts.Subject.Token.ACR; {
	case d.Type != tokenexchange.TypeIDToken && len(d.Scope) > 0:
		all["scope"] = d.Scope.String()
	case d.Type == tokenexchange.TypeIDToken && acr != "":
		all["acr"] = acr
	}
	return all, nil
}
