package tokenexchange_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// A Verifier is used without an Exchanger too, by an API or a front door of the host. So what the policy would refuse once
// more is refused by the Verifier already.
func TestR07_R08_D06_D09_D26_D29_VerifierAlone(t *testing.T) {
	const evidence = tx.TokenType("urn:example:ticket")
	ours, theirs := tokenexchangetest.NewMinter(own), tokenexchangetest.NewMinter(foreign)
	mine := ours.Trust()
	mine.Types = map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: "", evidence: "ticket+jwt"}
	yours := theirs.ForeignTrust("https://as.example/in")
	yours.Types = map[tx.TokenType]string{tx.TypeJWT: "", evidence: "assertion+jwt"}
	yours.Scopes = map[string]tx.Scope{"ext.read": {"read"}}
	v, err := tx.NewVerifier(mine, yours)
	require.NoError(t, err)
	base := func(iss string, more map[string]any) map[string]any {
		claims := map[string]any{"iss": iss, "sub": "alice", "aud": "https://as.example/in", "jti": "j", "client_id": "shop",
			"iat": propertyNow.Unix(), "exp": propertyNow.Add(time.Minute).Unix()}
		for name, value := range more {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		return claims
	}
	type m = map[string]any
	actor := m{"sub": "bob"}
	for name, c := range map[string]struct {
		minter   *tokenexchangetest.Minter
		typ      string
		declared tx.TokenType
		claims   m
		reason   string // empty: accepted
	}{
		"good":                           {ours, "at+jwt", tx.TypeAccessToken, nil, ""},
		"good, by prefix and case":       {ours, "Application/AT+JWT", tx.TypeAccessToken, nil, ""},
		"a second is left":               {ours, "at+jwt", tx.TypeAccessToken, m{"exp": propertyNow.Unix() + 1}, ""},
		"expires now":                    {ours, "at+jwt", tx.TypeAccessToken, m{"exp": propertyNow.Unix()}, "D26"},
		"no exp":                         {ours, "at+jwt", tx.TypeAccessToken, m{"exp": nil}, "R08"},
		"no iat":                         {ours, "at+jwt", tx.TypeAccessToken, m{"iat": nil}, "R08"},
		"a minute from now":              {ours, "at+jwt", tx.TypeAccessToken, m{"iat": propertyNow.Unix() + 60, "nbf": propertyNow.Unix() + 60, "exp": propertyNow.Unix() + 99}, ""},
		"later, by iat":                  {ours, "at+jwt", tx.TypeAccessToken, m{"iat": propertyNow.Unix() + 61, "exp": propertyNow.Unix() + 99}, "D26"},
		"later, by nbf":                  {ours, "at+jwt", tx.TypeAccessToken, m{"nbf": propertyNow.Unix() + 61, "exp": propertyNow.Unix() + 99}, "D26"},
		"no sub":                         {ours, "at+jwt", tx.TypeAccessToken, m{"sub": nil}, "R08"},
		"no aud":                         {ours, "at+jwt", tx.TypeAccessToken, m{"aud": nil}, "R08"},
		"no jti":                         {ours, "at+jwt", tx.TypeAccessToken, m{"jti": nil}, "D29"},
		"an ID token without jti":        {ours, "JWT", tx.TypeIDToken, m{"jti": nil, "client_id": nil, "nonce": "n"}, ""},
		"an ID token without its marks":  {ours, "JWT", tx.TypeIDToken, m{"client_id": nil}, "R07"},
		"an ID token as access token":    {ours, "JWT", tx.TypeAccessToken, nil, "R07"},
		"an access token as ID token":    {ours, "at+jwt", tx.TypeIDToken, nil, "R07"},
		"an ID token with scope":         {ours, "JWT", tx.TypeIDToken, m{"scope": "read", "client_id": nil, "nonce": "n"}, "R07"},
		"an ID token with scp":           {ours, "JWT", tx.TypeIDToken, m{"scp": []string{}, "client_id": nil, "nonce": "n"}, "R07"},
		"an ID token of another kind":    {ours, "JWT", tx.TypeIDToken, m{"typ": "Bearer", "client_id": nil, "azp": "https://as.example/in"}, "R07"},
		"an ID token that says its kind": {ours, "JWT", tx.TypeIDToken, m{"typ": "ID", "client_id": nil, "azp": "https://as.example/in"}, ""},
		"an unknown typ":                 {ours, "dpop+jwt", tx.TypeJWT, nil, "R07"},
		"an access token as JWT":         {ours, "at+jwt", tx.TypeJWT, nil, ""},
		"a security event":               {ours, "at+jwt", tx.TypeAccessToken, m{"events": m{}}, "R08"},
		"a client assertion":             {ours, "at+jwt", tx.TypeAccessToken, m{"sub": own}, "R07"},
		"a ticket":                       {ours, "ticket+jwt", evidence, m{"may_act": actor}, ""},
		"a ticket for nobody":            {ours, "ticket+jwt", evidence, nil, "D09"},
		"a ticket for a client":          {ours, "ticket+jwt", evidence, m{"may_act": m{"client_id": "shop"}}, "D09"},
		"foreign":                        {theirs, "at+jwt", tx.TypeJWT, m{"scope": "ext.read ext.write"}, ""},
		"foreign as access token":        {theirs, "at+jwt", tx.TypeAccessToken, nil, "R07"},
		"foreign, for somebody else":     {theirs, "at+jwt", tx.TypeJWT, m{"aud": "https://else.example"}, "D06"},
		"foreign, for us among others":   {theirs, "at+jwt", tx.TypeJWT, m{"aud": []string{"x", "https://as.example/in"}}, ""},
		"foreign, with act":              {theirs, "at+jwt", tx.TypeJWT, m{"act": actor}, "D06"},
		"foreign, with may_act":          {theirs, "at+jwt", tx.TypeJWT, m{"may_act": actor}, "D06"},
		"foreign, with act_as":           {theirs, "at+jwt", tx.TypeJWT, m{"act_as": actor}, "D06"},
		"an assertion":                   {theirs, "assertion+jwt", evidence, nil, ""},
		"an assertion for others too":    {theirs, "assertion+jwt", evidence, m{"aud": []string{"https://as.example/in", "x"}}, "D06"},
		"theirs, signed by us":           {ours, "at+jwt", tx.TypeJWT, m{"iss": foreign}, "R08"},
		"an issuer that nobody trusts":   {ours, "at+jwt", tx.TypeAccessToken, m{"iss": own + "/"}, "R08"},
		"different client_id and azp":    {ours, "at+jwt", tx.TypeAccessToken, m{"azp": "other"}, "R08"},
		"foreign: both and different":    {theirs, "at+jwt", tx.TypeJWT, m{"azp": "other"}, ""},
		"act beside act_as":              {ours, "at+jwt", tx.TypeAccessToken, m{"act": actor, "act_as": actor}, "R08"},
		"act without sub, two levels in": {ours, "at+jwt", tx.TypeAccessToken, m{"act": m{"sub": "b", "act": m{"iss": own}}}, "R08"},
	} {
		t.Run(name, func(t *testing.T) {
			iss := own
			if c.minter == theirs {
				iss = foreign
			}
			credential := tx.Credential{Token: c.minter.Sign(c.typ, base(iss, c.claims)), Type: c.declared, Issuer: own,
				Client: tx.Client{ID: "shop"}, Now: propertyNow}
			if name == "a client assertion" {
				credential.Client.ID = own // a client whose name is an issuer's
			}
			tok, err := v.Verify(context.Background(), credential)
			if c.reason == "" {
				require.NoError(t, err)
				require.NotEmpty(t, tok.ID, "every token has a name")
				if c.minter == theirs {
					require.Empty(t, tok.ClientID, "D06")
					require.Equal(t, c.claims["scope"] != nil, len(tok.Scope) == 1 && tok.Scope[0] == "read", "D22")
				}
				return
			}
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Contains(t, err.Error(), c.reason)
			require.Equal(t, tx.Token{}, tok)
		})
	}

	t.Run("R08 another name of ours", func(t *testing.T) {
		_, err := v.Verify(context.Background(), tx.Credential{Token: ours.Sign("at+jwt", base(own, nil)), Type: tx.TypeAccessToken,
			Issuer: "https://tenant2.example", Now: propertyNow})
		require.ErrorContains(t, err, "issuer_mismatch")
	})
	t.Run("D07 not live any more", func(t *testing.T) {
		for _, answer := range []error{tx.InvalidRequest, errors.New("the store is down")} {
			mine.Live = func(context.Context, tx.Token) error { return answer }
			v, err := tx.NewVerifier(mine)
			require.NoError(t, err)
			_, err = v.Verify(context.Background(), tx.Credential{Token: ours.Sign("at+jwt", base(own, nil)), Type: tx.TypeAccessToken,
				Issuer: own, Now: propertyNow})
			require.ErrorIs(t, err, answer)
			require.Equal(t, errors.Is(answer, tx.InvalidRequest), tx.AsError(err).Code == tx.InvalidRequest)
		}
	})
}
