package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/go-tokenexchange/tokenexchange"
)

// loginIssuer issues the tokens of a login. It adds the nonce of the authorization request to the
// ID token (OpenID Connect Core §3.1.2.1). The library never writes a nonce, because an exchange
// has none.
type loginIssuer struct {
	tokenexchange.TokenIssuer
	server *Server
	nonce  string // empty: the request had none
}

// IssueToken implements tokenexchange.TokenIssuer.
func (l *loginIssuer) IssueToken(ctx context.Context,
	d tokenexchange.Decision) (tokenexchange.IssuedToken, error) {
	issued, err := l.TokenIssuer.IssueToken(ctx, d)
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
	if *idToken, err = l.server.withNonce(*idToken, l.nonce); err != nil {
		ctx, cancel := detached(ctx)
		defer cancel()
		return tokenexchange.IssuedToken{}, errors.Join(err, issued.Discard(ctx))
	}
	return issued, nil
}

// withNonce adds a nonce to an ID token and signs it again. jti and at_hash do not change.
func (s *Server) withNonce(idToken, nonce string) (string, error) {
	parts := strings.Split(idToken, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err != nil {
		return "", err
	}
	member, err := json.Marshal(nonce)
	if err != nil {
		return "", err
	}
	claims = append(claims[:len(claims)-1], `,"nonce":`+string(member)+`}`...)
	key := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.algorithms[0]), Key: s.key}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", KeyID(s.key))
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
