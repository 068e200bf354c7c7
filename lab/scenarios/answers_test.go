package scenarios

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/examples/authserver/world"
)

// A client's statement about a user is accepted only as its own JWT with the right typ and
// audience. The policy would refuse the other tokens too, but without knowing why.
func TestClientsWord(t *testing.T) {
	w := demo(t)
	clientOf(w, "portal").JWKS = clientOf(w, "robot").JWKS
	r := start(t, w)
	robot, key := clientOf(r.w, "robot").Registered(), testKey(t, "robot")
	word := func(iss, typ string, aud any) string {
		now := time.Now().Unix()
		return sign(t, key, "robot-1", typ,
			map[string]any{"iss": iss, "sub": "alice", "aud": aud, "iat": now, "exp": now + 60})
	}
	ask := func(token string, kind tokenexchange.TokenType) (tokenexchange.Token, error) {
		return r.Exchanger.Verify[kind](t.Context(),
			tokenexchange.Credential{Token: token, Type: kind, Issuer: r.Issuer, Client: robot,
				Now: time.Now()})
	}
	for _, typ := range []string{"JWT", ""} {
		tok, err := ask(word("robot", typ, r.Issuer), tokenexchange.TypeJWT)
		require.NoError(t, err)
		require.Equal(t, world.TypeAssertion, tok.Type)
		require.Equal(t, tokenexchange.KindUser, tok.Kind)
		require.Nil(t, tok.Scope, "a client's word grants no scope")
	}
	for name, refused := range map[string]struct {
		token string
		kind  tokenexchange.TokenType
	}{
		"declared as an ID token": {word("robot", "JWT", r.Issuer), tokenexchange.TypeIDToken},
		"of another client":       {word("portal", "JWT", r.Issuer), tokenexchange.TypeJWT},
		"for others too": {word("robot", "JWT", []string{r.Issuer, "x"}),
			tokenexchange.TypeJWT},
		"meant for authentication": {word("robot", "client-authentication+jwt", r.Issuer),
			tokenexchange.TypeJWT},
	} {
		_, err := ask(refused.token, refused.kind)
		require.ErrorIs(t, err, tokenexchange.InvalidRequest, name)
	}
}

// An ID token has the profile that its scope asks for, and the times of the login.
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
	bare := claims(t, r.exchange("portal", end.AccessToken, tokenexchange.TypeAccessToken,
		"scope", "openid read").text("id_token"))
	require.NotContains(t, bare, "name")
	require.NotContains(t, bare, "email")
	require.Equal(t, all["auth_time"], bare["auth_time"], "never renewed")
	require.NotContains(t, claims(t, end.JWT), "name", "an access token is no place for it")

	s, err := r.ResolveSubject(t.Context(),
		tokenexchange.Token{Type: tokenexchange.TypeAccessToken, Kind: tokenexchange.KindUser,
			Issuer:  r.Issuer,
			Subject: "alice", AuthTime: time.Unix(before, 0)})
	require.NoError(t, err)
	require.Equal(t, time.Unix(before, 0).Add(12*time.Hour), s.Until, "the end of the session")
}
