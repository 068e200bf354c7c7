package securitytest

import (
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// jwtKind is a kind of JWT that is no token to exchange: its typ, and typical claims.
type jwtKind struct {
	typ    string
	claims claims
}

// otherKinds are about alice where their kind allows it, for shop, and not expired. Only their kind
// speaks against an exchange.
func otherKinds() map[string]jwtKind {
	now, soon := world.Now.Unix(), world.Now.Unix()+120
	const (
		server = world.Own
		caep   = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
		risc   = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
	)
	alice := claims{"format": "iss_sub", "iss": server, "sub": "alice"}
	event := func(uri string, more claims) claims {
		return claims{
			"iss": server, "sub": "alice", "aud": "shop", "iat": now, "exp": soon,
			"jti": "e-1", "sid": "s-1", "events": claims{uri: more},
		}
	}
	return map[string]jwtKind{
		"logout token":         {"logout+jwt", event(logoutEvent, claims{})},
		"security event (SET)": {"secevent+jwt", event(caep, claims{"subject": alice})},
		"security event with sub_id": {"secevent+jwt", claims{
			"iss": server, "aud": "shop", "iat": now, "jti": "e-2", "sub_id": alice,
			"events": claims{risc: claims{}},
		}},
		"DPoP proof": {"dpop+jwt", claims{
			"jti": "d-1", "htm": "POST", "htu": server + "/token", "iat": now, "nonce": "x",
		}},
		"DPoP proof with claims": {"dpop+jwt", claims{
			"jti": "d-1", "htm": "POST", "htu": server + "/token", "iat": now,
			"iss": "shop", "sub": "alice", "aud": server, "exp": soon,
		}},
		"client assertion": {"client-authentication+jwt", claims{
			"iss": "shop", "sub": "shop", "aud": server, "jti": "c-1", "iat": now, "exp": soon,
		}},
		"introspection response": {"token-introspection+jwt", claims{
			"iss": server, "aud": "shop", "iat": now,
			"token_introspection": claims{
				"active": true, "iss": server, "sub": "alice", "aud": world.API,
				"client_id": "shop", "scope": "read write", "exp": soon,
			},
		}},
		"JARM response": {"oauth-authz-resp+jwt", claims{
			"iss": server, "aud": "shop", "exp": soon,
			"code": "SplxlOBeZQQYbYS6WxSbIA", "state": "af0ifjsldkj",
		}},
		"userinfo": {"userinfo+jwt", claims{
			"iss": server, "sub": "alice", "aud": "shop",
			"email": "alice@example.com", "name": "Alice",
		}},
		"ID-JAG": {"oauth-id-jag+jwt", claims{
			"iss": server, "sub": "alice", "aud": "https://other-as.example",
			"client_id": "shop", "jti": "g-1", "iat": now, "exp": soon,
			"resource": "https://mcp.example/", "scope": "read write", "auth_time": now - 10,
		}},
		"transaction token": {"txntoken+jwt", claims{
			"iss": server, "sub": "alice", "aud": "trust-domain.example", "iat": now, "exp": soon,
			"txn": "97053963-771d-49cc-a4e3-20aad399c312", "scope": "trade.stocks",
			"req_wl": "apigateway.trust-domain.example",
			"rctx":   claims{"req_ip": "69.151.72.123"}, "tctx": claims{"action": "BUY"},
		}},
		"request object": {"oauth-authz-req+jwt", claims{
			"iss": "shop", "aud": server, "client_id": "shop", "response_type": "code",
			"scope": "openid", "iat": now, "exp": soon,
		}},
		"entity statement": {"entity-statement+jwt", claims{
			"iss": server, "sub": server, "iat": now, "exp": soon,
			"jwks": claims{"keys": []any{}},
		}},
		"SD-JWT credential": {"dc+sd-jwt", claims{
			"iss": server, "sub": "alice", "vct": "https://as.example/id",
			"iat": now, "exp": soon, "_sd": []string{"x"},
		}},
		"software statement": {"JWT", claims{
			"iss": server, "software_id": "4NRB1", "client_name": "Shop", "iat": now,
		}},
	}
}

// TestR07_OtherKindsOfJWT presents the other kinds under each declared type, with their own typ,
// with typ JWT and without typ. None is accepted as a subject token or as an actor token.
func TestR07_OtherKindsOfJWT(t *testing.T) {
	w := world.New(t)
	for name, kind := range otherKinds() {
		for _, typ := range []string{kind.typ, "application/" + kind.typ, "JWT", ""} {
			t.Run(name+" as typ "+typ, func(t *testing.T) {
				token := signTyped(w, typ, world.Payload(kind.claims))
				for _, declared := range []tx.TokenType{
					tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT,
				} {
					refusedEverywhere(t, w, token, declared)
				}
			})
		}
	}
}

// TestR07_IDTokenAndAccessTokenAreNotMistaken checks that the declared type does not turn a token
// of one kind into another kind.
func TestR07_IDTokenAndAccessTokenAreNotMistaken(t *testing.T) {
	w := world.New(t)
	access := func(typ string, changes ...claims) string {
		return signTyped(w, typ, w.AccessClaims(changes...))
	}
	noScope := claims{"scope": nil}
	for name, c := range map[string]struct {
		token    string
		declared tx.TokenType
	}{
		"ID token as access token":        {w.ID(), tx.TypeAccessToken},
		"access token as ID token":        {w.Access(), tx.TypeIDToken},
		"access token for shop as ID":     {w.Access(claims{"aud": "shop"}), tx.TypeIDToken},
		"access token without typ":        {access(""), tx.TypeAccessToken},
		"access token with typ JWT":       {access("JWT"), tx.TypeAccessToken},
		"own without a kind":              {access(""), tx.TypeJWT},
		"own without a kind, as ID token": {access(""), tx.TypeIDToken},
		"typ twice prefixed": {
			access("application/application/at+jwt"), tx.TypeAccessToken,
		},
		"typ text/at+jwt":            {access("text/at+jwt"), tx.TypeAccessToken},
		"typ and a space":            {access("at+jwt "), tx.TypeAccessToken},
		"foreign access token":       {w.ForeignToken(), tx.TypeAccessToken},
		"foreign access token as ID": {w.ForeignToken(), tx.TypeIDToken},
		"ticket as access token": {
			access("ticket+jwt", claims{"may_act": claims{"sub": "admin"}}), tx.TypeAccessToken,
		},
		// The aud of an ID token contains the client (OpenID Connect Core §2). These tokens are for
		// an API, or for another server. Accepted as ID tokens, they would have the whole scope of
		// the user (D22).
		"access token without typ and scope": {access("", noScope), tx.TypeIDToken},
		"access token, typ JWT, no scope":    {access("JWT", noScope), tx.TypeJWT},
		"access token, typ JWT, azp, no scope": {
			access("JWT", noScope, claims{"client_id": nil, "azp": "shop"}), tx.TypeIDToken,
		},
		"ID-JAG, typ JWT, no scope": {
			access("JWT", noScope, claims{"aud": "https://other-as.example"}), tx.TypeIDToken,
		},
	} {
		t.Run(name, func(t *testing.T) { refusedEverywhere(t, w, c.token, c.declared) })
	}
	t.Run("own at+jwt declared as jwt is found to be an access token", func(t *testing.T) {
		w.Post("shop", world.Form(w.Access(), tx.TypeJWT)).Granted(t)
		f := w.LastEvent().Facts
		require.Equal(t, tx.TypeAccessToken, f.Subject.Token.Type)
		require.Equal(t, tx.TypeJWT, f.Request.SubjectTokenType)
		require.Equal(t, tx.Narrow, w.LastEvent().Decision.Mode,
			"only an access token can be narrowed")
	})
	t.Run("a foreign JWT of another kind", func(t *testing.T) {
		for name, kind := range otherKinds() {
			if kind.typ == "JWT" {
				continue
			}
			token := world.Sign(t, w.IDPKey, `{"alg":"ES256","kid":"idp-1","typ":"`+kind.typ+`"}`,
				world.Payload(kind.claims,
					claims{"iss": world.IDP, "sub": "ext-alice", "aud": world.Own}))
			a := w.Post("gateway", world.Form(token, tx.TypeJWT))
			require.Equal(t, "invalid_request", a.JSON["error"], name)
		}
		events := w.ForeignToken(claims{"events": claims{logoutEvent: claims{}}})
		w.Post("gateway", world.Form(events, tx.TypeJWT)).Refused(t, tx.InvalidRequest)
	})
	t.Run("a ticket declared as jwt is a ticket", func(t *testing.T) {
		ticket := access("ticket+jwt", claims{"aud": "shop", "may_act": claims{"sub": "admin"}})
		places(w, ticket, tx.TypeJWT)["as subject"]().Granted(t)
		require.EqualValues(t, world.TypeTicket, w.LastEvent().Facts.Subject.Token.Type)
		places(w, ticket, tx.TypeJWT)["alone"]().Refused(t, tx.InvalidRequest)
	})

	w.Trusts = append(w.Trusts, tx.Trust{
		Issuer: "shop", JWKS: world.KeySet(t, w.Key, "shop-1"), Foreign: true, Client: true,
		Audience: []string{world.Own},
		Types:    map[tx.TokenType]string{world.TypeAssertion: "JWT"},
	})
	assertion := func(change claims) string {
		return world.Sign(t, w.Key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`,
			world.Payload(claims{
				"iss": "shop", "sub": "alice", "aud": world.Own,
				"iat": world.Now.Unix(), "exp": world.Now.Unix() + 60,
			}, change))
	}
	t.Run("a client assertion by a trusted client", func(t *testing.T) {
		w.People["shop shop"], w.People["shop alice"] = world.Person("alice"), world.Person("alice")
		w.Configure()
		refusedEverywhere(t, w, assertion(claims{"sub": "shop"}), tx.TypeJWT)
		elsewhere := claims{"aud": []string{world.Own, "https://elsewhere.example"}}
		refusedEverywhere(t, w, assertion(elsewhere), tx.TypeJWT)
		places := places(w, assertion(nil), tx.TypeJWT)
		places["as subject"]().Granted(t)
		places["alone"]().Refused(t, tx.InvalidRequest)
		places["as actor"]().Refused(t, tx.InvalidRequest)

		believed := w.Trusts[2]
		believed.ActClaims = true
		_, err := tx.NewVerifier(believed)
		require.Error(t, err, "D06: a client is never believed for act or may_act")
		for _, claim := range []string{"act", "may_act"} {
			token := assertion(claims{claim: claims{"sub": "admin"}})
			refusedEverywhere(t, w, token, tx.TypeJWT)
		}
	})
	t.Run("D04 what another client has signed", func(t *testing.T) {
		w.Trusts[2].Issuer, w.People["backend alice"] = "backend", world.Person("alice")
		w.Configure()
		for _, sub := range []string{"alice", "backend"} {
			token := assertion(claims{"iss": "backend", "sub": sub})
			refusedEverywhere(t, w, token, tx.TypeJWT)
		}
	})
}
