package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/go-tokenexchange/tokenexchange"
)

// TestStore_TerminateSession checks that a logout ends the tokens of the user at that client, and
// the tokens made from them.
func TestStore_TerminateSession(t *testing.T) {
	const issuer = "https://as.example"
	s := &store{Storage: storage.NewStorage(storage.NewUserStore(issuer))}
	ctx := op.ContextWithIssuer(t.Context(), issuer)
	var tokens []tokenexchange.Token
	for _, user := range []string{"id1", "id2"} {
		id, _, err := s.CreateAccessToken(ctx, &oidc.JWTTokenRequest{Subject: user})
		require.NoError(t, err)
		record, err := s.token(ctx, id)
		require.NoError(t, err)
		tokens = append(tokens, record)
	}
	madeFrom := func(parent tokenexchange.Token) tokenexchange.Token {
		return tokenexchange.Token{Issuer: issuer, ID: "made from " + parent.ID,
			Lineage: &tokenexchange.Lineage{From: []string{"another", parent.Origin()}}}
	}
	require.NoError(t, s.session(ctx, madeFrom(tokens[0])))
	require.NoError(t, s.TerminateSession(ctx, "id1", "web"))
	require.NoError(t, s.checkRevoked(tokens[0]), "the logout was at another client")
	require.NoError(t, s.TerminateSession(ctx, "id1", "")) // the token has no client
	_, err := s.token(ctx, tokens[0].ID)
	require.ErrorIs(t, err, tokenexchange.InvalidRequest)
	require.ErrorIs(t, s.session(ctx, madeFrom(tokens[0])), tokenexchange.InvalidRequest)
	require.NoError(t, s.session(ctx, madeFrom(tokens[1])))
	_, err = s.token(ctx, tokens[1].ID)
	require.NoError(t, err)
}

// TestStore_SessionOfALogin checks that the ID token of a login is refused.
func TestStore_SessionOfALogin(t *testing.T) {
	s := &store{}
	for _, lineage := range []*tokenexchange.Lineage{nil, {}, {Lent: true}} {
		id := tokenexchange.Token{Issuer: "https://as.example", ID: "x", Lineage: lineage}
		require.ErrorIs(t, s.session(t.Context(), id), tokenexchange.InvalidRequest)
	}
}
