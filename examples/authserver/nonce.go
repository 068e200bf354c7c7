package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/bounded"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// loginIssuer issues the tokens of a login: those of the next issuer, with the nonce of the authorization request in the ID
// token (OpenID Connect Core §3.1.2.1). An exchange has no nonce, and its issuer never writes one.
type loginIssuer struct {
	next   tokenexchange.TokenIssuer
	signer *jose.Signer
	nonce  string // empty: none was sent
}

// IssueToken is a tokenexchange.TokenIssuer.
func (l *loginIssuer) IssueToken(ctx context.Context, d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	issued, err := l.next.IssueToken(ctx, d)
	if err != nil || l.nonce == "" {
		return issued, err
	}
	idToken := &issued.IDToken
	if d.Type == tokenexchange.TypeIDToken {
		idToken = &issued.Value
	}
	if *idToken == "" {
		return issued, nil
	}
	if *idToken, err = l.withNonce(*idToken); err != nil {
		undo := bounded.Call(ctx, bounded.Usual, issued.Discard)
		return tokenexchange.IssuedToken{}, errors.Join(err, undo)
	}
	return issued, nil
}

// withNonce signs an ID token again, with the nonce in it. It stays the same token: jti and at_hash are as they were.
func (l *loginIssuer) withNonce(idToken string) (string, error) {
	parts := strings.Split(idToken, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err != nil {
		return "", err
	}
	nonce, err := json.Marshal(l.nonce)
	if err != nil {
		return "", err
	}
	return l.signer.Sign("JWT", append(claims[:len(claims)-1], `,"nonce":`+string(nonce)+`}`...))
}
