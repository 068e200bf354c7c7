package fositeexchange

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/token/jwt"

	"github.com/go-tokenexchange/tokenexchange"
)

var (
	errType    = fmt.Errorf("%w: R07: this server does not issue tokens of the requested type", tokenexchange.InvalidRequest)
	errSession = errors.New("a session from NewSession does not hold what was decided")
	errJWT     = errors.New("the strategy made a JWT that does not say what was decided")
)

// IssueToken makes the access token by fosite's strategy, and keeps it in the host's storage.
func (e *exchange) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	if err := d.Check(); err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	if d.Type == tokenexchange.TypeIDToken && e.IDTokens != nil {
		return e.IDTokens.IssueToken(ctx, d)
	}
	if d.Type != tokenexchange.TypeAccessToken && d.Type != tokenexchange.TypeJWT {
		return tokenexchange.IssuedToken{}, errType
	}
	record, said, err := e.newRecord(d)
	if err != nil {
		return tokenexchange.IssuedToken{}, err
	}
	value, signature, err := e.strategy.GenerateAccessToken(ctx, record)
	switch {
	case err != nil:
		return tokenexchange.IssuedToken{}, err
	case isJWT(value) && !says(value, said):
		return tokenexchange.IssuedToken{}, errJWT
	case !isJWT(value) && d.Type == tokenexchange.TypeJWT:
		return tokenexchange.IssuedToken{}, errType
	}
	issued := tokenexchange.IssuedToken{Value: value, ID: said.ID, Expires: said.Expires}
	if d.IDToken && e.IDTokens != nil { // without it the Exchanger refuses
		if issued.IDToken, err = e.IDTokens.IssueIDToken(ctx, d, value); err != nil {
			return tokenexchange.IssuedToken{}, err
		}
	}
	issued.Discard = func(ctx context.Context) error { return e.storage.DeleteAccessTokenSession(ctx, signature) }
	return issued, e.storage.CreateAccessTokenSession(ctx, signature, record)
}

// newRecord makes what the storage is to keep, and what a token made from it says. It is made of the decision alone, and
// of nothing that is in fosite's access request.
func (e *exchange) newRecord(d tokenexchange.Decision) (*fosite.Request, tokenexchange.Token, error) {
	session := e.NewSession()
	session.SetExpiresAt(fosite.AccessToken, d.Expires)
	r := fosite.NewRequest()
	r.Client, r.RequestedAt, r.Session = e.client, d.Issued, session
	r.RequestedScope, r.GrantedScope = fosite.Arguments(d.Scope), fosite.Arguments(slices.Clone(d.Scope))
	r.RequestedAudience, r.GrantedAudience = d.Audience, slices.Clone(d.Audience)
	r.Form = url.Values{"grant_type": {tokenexchange.GrantType}, formKind: {string(d.Subject.Kind)}, formOrigins: e.origins}
	said := d.Token(r.GetID())
	write(session, said)
	if read, err := tokenOf(r, d.Issuer); err != nil || !same(read, said) {
		return nil, tokenexchange.Token{}, errSession
	}
	return r, said, nil
}

// write says in a session what is not the storage's to say. Where that cannot be seen afterwards, nothing is issued.
func write(session fosite.Session, t tokenexchange.Token) {
	claims := map[string]any{"iss": t.Issuer, "jti": t.ID, "client_id": t.ClientID}
	if t.Actor != nil {
		chain, _ := t.Actor.MarshalJSON() // which never fails
		claims["act"] = json.RawMessage(chain)
	}
	if t.Confirmation != (tokenexchange.Confirmation{}) {
		claims["cnf"] = t.Confirmation
	}
	if setDate(claims, "auth_time", t.AuthTime); t.ACR != "" {
		claims["acr"] = t.ACR
	}
	if t.AMR != nil {
		claims["amr"] = t.AMR
	}
	if s, ok := session.(interface{ SetSubject(string) }); ok {
		s.SetSubject(t.Subject)
	}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		maps.Copy(s.GetExtraClaims(), claims)
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		if header := s.GetJWTHeader(); header.Get("typ") == nil {
			header.Add("typ", "at+jwt") // RFC 9068
		}
		if c, ok := s.GetJWTClaims().(*jwt.JWTClaims); ok {
			c.Subject, c.Issuer, c.JTI, c.IssuedAt = t.Subject, t.Issuer, t.ID, t.Issued
			for name, value := range claims {
				c.Add(name, value)
			}
		}
	}
}

// says reports whether a JWT says what its record does. Its scope may be called scp, and its jti may be its own.
func says(value string, want tokenexchange.Token) bool {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(value, ".")[1])
	if err != nil {
		return false
	}
	got, err := tokenexchange.ParseToken(payload)
	got.Type, got.Kind, got.ID, got.Scope, got.Issued = want.Type, want.Kind, want.ID, want.Scope, want.Issued
	return err == nil && same(got, want)
}

// same compares two tokens as JSON, since there are two ways to hold a chain; their payloads are not looked at.
func same(a, b tokenexchange.Token) bool {
	a.Claims, b.Claims = nil, nil
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}
