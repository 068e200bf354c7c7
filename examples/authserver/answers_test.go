package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
)

// What a client has signed is its word about a user, and only where it says so itself. The policy would refuse the rest
// too; it need not know why.
func TestClientsWord(t *testing.T) {
	w := demo(t)
	w.client("portal").JWKS = w.client("robot").JWKS
	r := start(t, w)
	robot, key := r.w.client("robot").registered(), testKey(t, "robot")
	word := func(iss, typ string, aud any) string {
		now := time.Now().Unix()
		return sign(t, key, "robot-1", typ, map[string]any{"iss": iss, "sub": "alice", "aud": aud, "iat": now, "exp": now + 60})
	}
	ask := func(token string, kind tokenexchange.TokenType) (tokenexchange.Token, error) {
		return r.verifyJWT(t.Context(), tokenexchange.Credential{Token: token, Type: kind, Issuer: r.issuer, Client: robot, Now: time.Now()})
	}
	for _, typ := range []string{"JWT", ""} {
		tok, err := ask(word("robot", typ, r.issuer), tokenexchange.TypeJWT)
		require.NoError(t, err)
		require.Equal(t, typeAssertion, tok.Type)
		require.Equal(t, tokenexchange.KindUser, tok.Kind)
		require.Nil(t, tok.Scope, "a client's word grants no scope")
	}
	for name, refused := range map[string]struct {
		token string
		kind  tokenexchange.TokenType
	}{
		"declared as an ID token":  {word("robot", "JWT", r.issuer), tokenexchange.TypeIDToken},
		"of another client":        {word("portal", "JWT", r.issuer), tokenexchange.TypeJWT},
		"for others too":           {word("robot", "JWT", []string{r.issuer, "x"}), tokenexchange.TypeJWT},
		"meant for authentication": {word("robot", "client-authentication+jwt", r.issuer), tokenexchange.TypeJWT},
	} {
		_, err := ask(refused.token, refused.kind)
		require.ErrorIs(t, err, tokenexchange.InvalidRequest, name)
	}
}

// Where nobody new acts is where no power is added.
func TestNobodyNew(t *testing.T) {
	const as = "https://as.example"
	party := func(kind tokenexchange.Kind, id string, typ tokenexchange.TokenType, client, issuer string) tokenexchange.Subject {
		return tokenexchange.Subject{Identity: tokenexchange.Identity{Issuer: as, Kind: kind, ID: id},
			Token: tokenexchange.Token{Type: typ, Issuer: issuer, Subject: id, ClientID: client}}
	}
	user, service, access := tokenexchange.KindUser, tokenexchange.KindClient, tokenexchange.TypeAccessToken
	carried := func(kind tokenexchange.Kind, typ tokenexchange.TokenType) *tokenexchange.Subject {
		s := party(kind, "x", typ, "", as)
		return &s
	}
	signed := party(user, "alice", typeUserAssertion, "", "portal")
	signed.Token.ByClient = true
	for _, c := range []struct {
		name    string
		subject tokenexchange.Subject
		actor   *tokenexchange.Subject
		yes     bool
	}{
		{"a login", party(user, "alice", typeSession, "portal", as), nil, true},
		{"a client's own token", party(service, "portal", typeClient, "portal", as), nil, true},
		{"issued to the client", party(user, "alice", access, "portal", as), nil, true},
		{"issued to another", party(user, "alice", access, "mobile", as), nil, false},
		{"a linked account", party(user, "alice", tokenexchange.TypeJWT, "", "https://idp.example"), nil, true},
		{"a client's own word", signed, nil, false},
		{"an issuer with the name of the client",
			party(user, "alice", typeUserAssertion, "", "portal"), nil, true},
		{"a service goes on", party(user, "alice", access, "mobile", as), carried(service, ""), true},
		{"a person goes on", party(user, "alice", access, "portal", as), carried(user, ""), false},
		{"a service that is new", party(user, "alice", access, "portal", as), carried(service, access), false},
		{"a person and a linked account", party(user, "alice", tokenexchange.TypeJWT, "", "https://idp.example"), carried(user, access), false},
	} {
		err := nobodyNew(t.Context(), tokenexchange.Facts{Issuer: as, Client: tokenexchange.Client{ID: "portal"}, Subject: c.subject, Actor: c.actor})
		require.Equal(t, c.yes, err == nil, c.name)
	}
}

// A profile is told as far as the scope goes, and a login is told as it was.
func TestIDToken(t *testing.T) {
	r := start(t, demo(t))
	before := time.Now().Unix()
	end := r.login("alice", "portal")
	all := claims(t, end.IDToken)
	require.Equal(t, "Alice Archer", all["name"])
	require.Equal(t, "alice@acme.example", all["email"])
	require.Equal(t, "acme", all["tenant"])
	require.Equal(t, "portal", all["azp"])
	require.NotEmpty(t, all["at_hash"])
	require.GreaterOrEqual(t, all["auth_time"], float64(before))
	bare := claims(t, r.exchange("portal", end.AccessToken, tokenexchange.TypeAccessToken, "scope", "openid read").text("id_token"))
	require.NotContains(t, bare, "name")
	require.NotContains(t, bare, "email")
	require.Equal(t, all["auth_time"], bare["auth_time"], "never renewed")
	require.NotContains(t, claims(t, end.JWT), "name", "an access token is no place for it")

	s, err := r.ResolveSubject(t.Context(), tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser, Issuer: r.issuer,
		Subject: "alice", AuthTime: time.Unix(before, 0)})
	require.NoError(t, err)
	require.Equal(t, time.Unix(before, 0).Add(12*time.Hour), s.Until, "the end of the session")
}
