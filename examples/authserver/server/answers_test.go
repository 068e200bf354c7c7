package server

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// An exchange that adds no actor gives no party new power over a user.
func TestAddsNoActor(t *testing.T) {
	const as = "https://as.example"
	party := func(kind tokenexchange.Kind, id string, typ tokenexchange.TokenType, client,
		issuer string) tokenexchange.Subject {
		return tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: as, Kind: kind,
			ID: id},
			Token: tokenexchange.Token{Type: typ, Issuer: issuer, Subject: id, ClientID: client}}
	}
	user, service := tokenexchange.KindUser, tokenexchange.KindClient
	access := tokenexchange.TypeAccessToken
	carried := func(kind tokenexchange.Kind, typ tokenexchange.TokenType) *tokenexchange.Subject {
		s := party(kind, "x", typ, "", as)
		return &s
	}
	signed := party(user, "alice", world.TypeUserAssertion, "", "portal")
	signed.Token.ByClient = true
	for _, c := range []struct {
		name    string
		subject tokenexchange.Subject
		actor   *tokenexchange.Subject
		yes     bool
	}{
		{"a login", party(user, "alice", world.TypeSession, "portal", as), nil, true},
		{"a client's own token", party(service, "portal", world.TypeClient, "portal", as), nil,
			true},
		{"issued to the client", party(user, "alice", access, "portal", as), nil, true},
		{"issued to another", party(user, "alice", access, "mobile", as), nil, false},
		{"a linked account", party(user, "alice", tokenexchange.TypeJWT, "", "https://idp.example"),
			nil, true},
		{"a client's own word", signed, nil, false},
		{"an issuer with the name of the client",
			party(user, "alice", world.TypeUserAssertion, "", "portal"), nil, true},
		{"a service goes on", party(user, "alice", access, "mobile", as), carried(service, ""),
			true},
		{"a person goes on", party(user, "alice", access, "portal", as), carried(user, ""), false},
		{"a service that is new", party(user, "alice", access, "portal", as),
			carried(service, access), false},
		{"a person and a linked account",
			party(user, "alice", tokenexchange.TypeJWT, "", "https://idp.example"),
			carried(user, access), false},
	} {
		err := addsNoActor(t.Context(), tokenexchange.Facts{Issuer: as,
			Client: tokenexchange.Client{ID: "portal"}, Subject: c.subject, Actor: c.actor})
		require.Equal(t, c.yes, err == nil, c.name)
	}
}
