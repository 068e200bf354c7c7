package tokenexchange_test

import (
	"crypto"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// A kind is a JWT that is no token to exchange: its own typ, its claims in their most plausible form, and who signs it.
type jwtKind struct {
	typ    string
	claims claims
	key    func(*world) crypto.Signer
}

func ours(w *world) crypto.Signer { return w.key }

// otherKinds are about alice, for shop, in time, signed by us where we would: nothing but their kind speaks against them.
func otherKinds() map[string]jwtKind {
	now, soon := at.Unix(), at.Unix()+120
	event := func(uri string, more claims) claims {
		return claims{"iss": ownIss, "sub": "alice", "aud": "shop", "iat": now, "exp": soon, "jti": "e-1", "sid": "s-1", "events": claims{uri: more}}
	}
	return map[string]jwtKind{
		"logout token":         {"logout+jwt", event("http://schemas.openid.net/event/backchannel-logout", claims{}), ours},
		"security event (SET)": {"secevent+jwt", event("https://schemas.openid.net/secevent/caep/event-type/session-revoked", claims{"subject": claims{"format": "iss_sub", "iss": ownIss, "sub": "alice"}}), ours},
		"security event with sub_id": {"secevent+jwt", claims{"iss": ownIss, "aud": "shop", "iat": now, "jti": "e-2", "sub_id": claims{"format": "iss_sub", "iss": ownIss, "sub": "alice"},
			"events": claims{"https://schemas.openid.net/secevent/risc/event-type/account-disabled": claims{}}}, ours},
		"DPoP proof":             {"dpop+jwt", claims{"jti": "d-1", "htm": "POST", "htu": ownIss + "/token", "iat": now, "nonce": "x"}, ours},
		"DPoP proof with claims": {"dpop+jwt", claims{"jti": "d-1", "htm": "POST", "htu": ownIss + "/token", "iat": now, "iss": "shop", "sub": "alice", "aud": ownIss, "exp": soon}, ours},
		"client assertion":       {"client-authentication+jwt", claims{"iss": "shop", "sub": "shop", "aud": ownIss, "jti": "c-1", "iat": now, "exp": soon}, ours},
		"introspection response": {"token-introspection+jwt", claims{"iss": ownIss, "aud": "shop", "iat": now,
			"token_introspection": claims{"active": true, "iss": ownIss, "sub": "alice", "aud": api, "client_id": "shop", "scope": "read write", "exp": soon}}, ours},
		"JARM response": {"oauth-authz-resp+jwt", claims{"iss": ownIss, "aud": "shop", "exp": soon, "code": "SplxlOBeZQQYbYS6WxSbIA", "state": "af0ifjsldkj"}, ours},
		"userinfo":      {"userinfo+jwt", claims{"iss": ownIss, "sub": "alice", "aud": "shop", "email": "alice@example.com", "name": "Alice"}, ours},
		"ID-JAG": {"oauth-id-jag+jwt", claims{"iss": ownIss, "sub": "alice", "aud": "https://other-as.example", "client_id": "shop", "jti": "g-1", "iat": now, "exp": soon,
			"resource": "https://mcp.example/", "scope": "read write", "auth_time": now - 10}, ours},
		"transaction token": {"txntoken+jwt", claims{"iss": ownIss, "sub": "alice", "aud": "trust-domain.example", "iat": now, "exp": soon, "txn": "97053963-771d-49cc-a4e3-20aad399c312",
			"scope": "trade.stocks", "req_wl": "apigateway.trust-domain.example", "rctx": claims{"req_ip": "69.151.72.123"}, "tctx": claims{"action": "BUY"}}, ours},
		"request object":     {"oauth-authz-req+jwt", claims{"iss": "shop", "aud": ownIss, "client_id": "shop", "response_type": "code", "scope": "openid", "iat": now, "exp": soon}, ours},
		"entity statement":   {"entity-statement+jwt", claims{"iss": ownIss, "sub": ownIss, "iat": now, "exp": soon, "jwks": claims{"keys": []any{}}}, ours},
		"SD-JWT credential":  {"dc+sd-jwt", claims{"iss": ownIss, "sub": "alice", "vct": "https://as.example/id", "iat": now, "exp": soon, "_sd": []string{"x"}}, ours},
		"software statement": {"JWT", claims{"iss": ownIss, "software_id": "4NRB1", "client_name": "Shop", "iat": now}, ours},
	}
}

// Whatever such a JWT is declared as, and also where its typ is missing or says JWT, it is no subject and no actor.
func TestR07_OtherKindsOfJWT(t *testing.T) {
	w := newWorld(t)
	for name, kind := range otherKinds() {
		for _, typ := range []string{kind.typ, "application/" + kind.typ, "JWT", ""} {
			t.Run(name+" as typ "+typ, func(t *testing.T) {
				header := `{"alg":"ES256","kid":"own-1","typ":"` + typ + `"}`
				if typ == "" {
					header = `{"alg":"ES256","kid":"own-1"}`
				}
				token := sign(t, kind.key(w), header, payload(claims{}, kind.claims))
				for _, declared := range []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken, tx.TypeJWT} {
					w.refusedEverywhere(t, token, declared)
				}
			})
		}
	}
}

// What is told apart by typ is not told apart by what it is declared as.
func TestR07_IDTokenAndAccessTokenAreNotMistaken(t *testing.T) {
	w := newWorld(t)
	refused := map[string]struct {
		token    string
		declared tx.TokenType
	}{
		"ID token as access token":        {w.id(nil), tx.TypeAccessToken},
		"access token as ID token":        {w.access(nil), tx.TypeIDToken},
		"access token for shop as ID":     {w.access(claims{"aud": "shop"}), tx.TypeIDToken},
		"access token without typ":        {sign(t, w.key, `{"alg":"ES256","kid":"own-1"}`, w.accessClaims(nil)), tx.TypeAccessToken},
		"access token with typ JWT":       {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"JWT"}`, w.accessClaims(nil)), tx.TypeAccessToken},
		"own without a kind":              {sign(t, w.key, `{"alg":"ES256","kid":"own-1"}`, w.accessClaims(nil)), tx.TypeJWT},
		"own without a kind, as ID token": {sign(t, w.key, `{"alg":"ES256","kid":"own-1"}`, w.accessClaims(nil)), tx.TypeIDToken},
		"typ twice prefixed":              {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"application/application/at+jwt"}`, w.accessClaims(nil)), tx.TypeAccessToken},
		"typ text/at+jwt":                 {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"text/at+jwt"}`, w.accessClaims(nil)), tx.TypeAccessToken},
		"typ and a space":                 {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt "}`, w.accessClaims(nil)), tx.TypeAccessToken},
		"foreign access token":            {w.foreignToken(nil), tx.TypeAccessToken},
		"foreign access token as ID":      {w.foreignToken(nil), tx.TypeIDToken},
		"ticket as access token":          {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"ticket+jwt"}`, w.accessClaims(claims{"may_act": claims{"sub": "admin"}})), tx.TypeAccessToken},
		// OpenID Connect Core §2: aud of an ID token must contain the client. These are for an API, or another server, and
		// taken for ID tokens they would have the user's whole scope (D22).
		"access token without typ and scope":   {sign(t, w.key, `{"alg":"ES256","kid":"own-1"}`, w.accessClaims(claims{"scope": nil})), tx.TypeIDToken},
		"access token, typ JWT, no scope":      {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"JWT"}`, w.accessClaims(claims{"scope": nil})), tx.TypeJWT},
		"access token, typ JWT, azp, no scope": {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"JWT"}`, w.accessClaims(claims{"scope": nil, "client_id": nil, "azp": "shop"})), tx.TypeIDToken},
		"ID-JAG, typ JWT, no scope":            {sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"JWT"}`, w.accessClaims(claims{"scope": nil, "aud": "https://other-as.example"})), tx.TypeIDToken},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) { w.refusedEverywhere(t, c.token, c.declared) })
	}
	t.Run("own at+jwt declared as jwt is found to be an access token", func(t *testing.T) {
		w.post("shop", form(w.access(nil), tx.TypeJWT)).granted(t)
		f := w.lastEvent().Facts
		require.Equal(t, tx.TypeAccessToken, f.Subject.Token.Type)
		require.Equal(t, tx.TypeJWT, f.Request.SubjectTokenType)
		require.Equal(t, tx.Narrow, w.lastEvent().Decision.Mode, "only an access token can be narrowed")
	})
	t.Run("a foreign JWT of another kind", func(t *testing.T) {
		for name, kind := range otherKinds() {
			token := sign(t, w.idpKey, `{"alg":"ES256","kid":"idp-1","typ":"`+kind.typ+`"}`, payload(claims{}, kind.claims, claims{"iss": idpIss, "sub": "ext-alice", "aud": ownIss}))
			if kind.typ != "JWT" {
				a := w.post("gateway", form(token, tx.TypeJWT))
				require.Equal(t, "invalid_request", a.json["error"], name)
			}
		}
		events := w.foreignToken(claims{"events": claims{"http://schemas.openid.net/event/backchannel-logout": claims{}}})
		w.post("gateway", form(events, tx.TypeJWT)).refused(t, tx.InvalidRequest)
	})
	t.Run("a ticket declared as jwt is a ticket", func(t *testing.T) {
		ticket := sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"ticket+jwt"}`, w.accessClaims(claims{"aud": "shop", "may_act": claims{"sub": "admin"}}))
		w.places(ticket, tx.TypeJWT)["as subject"]().granted(t)
		require.EqualValues(t, typeTicket, w.lastEvent().Facts.Subject.Token.Type)
		w.places(ticket, tx.TypeJWT)["alone"]().refused(t, tx.InvalidRequest)
	})
	t.Run("a client assertion by a trusted client", func(t *testing.T) {
		w.trusts = append(w.trusts, tx.Trust{Issuer: "shop", JWKS: keySet(t, w.key, "shop-1"), Foreign: true, Audience: []string{ownIss},
			Types: map[tx.TokenType]string{typeAssertion: "JWT"}, Client: true})
		w.people["shop shop"], w.people["shop alice"] = person("alice"), person("alice")
		w.configure()
		mint := func(sub string, aud any) string {
			return sign(t, w.key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`, payload(claims{"iss": "shop", "sub": sub, "aud": aud, "exp": at.Unix() + 60, "iat": at.Unix()}))
		}
		w.refusedEverywhere(t, mint("shop", ownIss), tx.TypeJWT)
		w.refusedEverywhere(t, mint("alice", []string{ownIss, "https://elsewhere.example"}), tx.TypeJWT)
		places := w.places(mint("alice", ownIss), tx.TypeJWT)
		places["as subject"]().granted(t)
		places["alone"]().refused(t, tx.InvalidRequest)
		places["as actor"]().refused(t, tx.InvalidRequest)

		believed := w.trusts[2]
		believed.ActClaims = true
		_, err := tx.NewVerifier(believed)
		require.Error(t, err, "D06: a client is never believed for act or may_act")
		for _, claim := range []string{"act", "may_act"} {
			token := sign(t, w.key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`, payload(claims{"iss": "shop", "sub": "alice", "aud": ownIss, "exp": at.Unix() + 60, claim: claims{"sub": "admin"}}))
			w.refusedEverywhere(t, token, tx.TypeJWT)
		}
	})
	t.Run("D04 what another client has signed", func(t *testing.T) {
		w.trusts[2].Issuer, w.people["backend alice"] = "backend", person("alice")
		w.configure()
		for _, sub := range []string{"alice", "backend"} {
			w.refusedEverywhere(t, sign(t, w.key, `{"alg":"ES256","kid":"shop-1","typ":"JWT"}`, payload(claims{"iss": "backend", "sub": sub, "aud": ownIss, "exp": at.Unix() + 60})), tx.TypeJWT)
		}
	})
}
