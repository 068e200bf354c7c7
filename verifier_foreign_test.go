package tokenexchange_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenexchangetest"
)

// verifyForeign verifies claims that a foreign issuer has signed, under a Trust that a test has
// changed.
func verifyForeign(t *testing.T, change func(*tx.Trust), typ string, declared tx.TokenType,
	extra map[string]any) (tx.Token, error) {
	t.Helper()
	m := tokenexchangetest.NewMinter(foreign)
	trust := m.ForeignTrust(own)
	trust.Scopes = map[string]tx.Scope{"ext.read": {"read"}, "ext.write": {"write"}}
	if change != nil {
		change(&trust)
	}
	v, err := tx.NewVerifier(trust)
	require.NoError(t, err)
	claims := map[string]any{"iss": foreign, "sub": "ext", "aud": own, "iat": propertyNow.Unix(),
		"exp": propertyNow.Add(time.Minute).Unix()}
	for name, value := range extra {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return v.Verify(context.Background(), tx.Credential{Token: m.Sign(typ, claims), Type: declared,
		Issuer: own,
		Client: tx.Client{ID: "shop"}, Now: propertyNow})
}

// TestVerifier_ForeignScope: a scope does not apply, is known, or cannot be read; what cannot be
// read grants nothing, for access tokens and for assertions, whose absent scope would leave the
// ceiling to Subject.Scope.
func TestVerifier_ForeignScope(t *testing.T) {
	const assertion = tx.TokenType("urn:example:assertion")
	type m = map[string]any
	for name, row := range map[string]struct {
		claims m
		want   tx.Scope
	}{
		"absent":           {nil, nil},
		"mapped":           {m{"scope": "ext.read else"}, tx.Scope{"read"}},
		"unmapped":         {m{"scope": "read"}, tx.Scope{}},
		"empty":            {m{"scope": ""}, tx.Scope{}},
		"an array":         {m{"scope": []string{"ext.read"}}, tx.Scope{}},
		"a number":         {m{"scope": 7}, tx.Scope{}},
		"null":             {m{"scope": json.RawMessage("null")}, tx.Scope{}},
		"a trailing blank": {m{"scope": "ext.read "}, tx.Scope{}},
		"two blanks":       {m{"scope": "ext.read  ext.write"}, tx.Scope{}},
		"not ASCII":        {m{"scope": "ext.read é"}, tx.Scope{}},
		"scp as a string":  {m{"scp": "ext.read"}, tx.Scope{"read"}},
		"scp as an array": {m{"scp": []string{"ext.write", "ext.read"}},
			tx.Scope{"write", "read"}},
		"scp unmapped":                {m{"scp": "else"}, tx.Scope{}},
		"scp as an empty array":       {m{"scp": []string{}}, tx.Scope{}},
		"scp unreadable":              {m{"scp": m{"ext.read": true}}, tx.Scope{}},
		"scp with a blank inside":     {m{"scp": []string{"ext.read ext.write"}}, tx.Scope{}},
		"scope unreadable beside scp": {m{"scope": 7, "scp": "ext.read"}, tx.Scope{}},
		"scope counts, not scp": {m{"scope": "ext.read", "scp": "ext.write"},
			tx.Scope{"read"}},
	} {
		t.Run(name, func(t *testing.T) {
			for typ, kind := range map[string]tx.TokenType{"at+jwt": tx.TypeJWT,
				"assertion+jwt": assertion} {
				configure := func(trust *tx.Trust) { trust.Types[assertion] = "assertion+jwt" }
				tok, err := verifyForeign(t, configure, typ, kind, row.claims)
				require.NoError(t, err)
				require.Equal(t, row.want, tok.Scope, kind)
			}
			_, err := verifyForeign(t, nil, "JWT", tx.TypeIDToken,
				merged(row.claims, m{"nonce": "n"}))
			require.Equal(t, row.claims != nil, err != nil,
				"an ID token has no scope, readable or not: %v", err)
		})
	}
}

func merged(a, b map[string]any) map[string]any {
	all := map[string]any{}
	for _, claims := range []map[string]any{a, b} {
		for name, value := range claims {
			all[name] = value
		}
	}
	return all
}

// TestVerifier_KindsWithOneTyp: where an issuer writes typ JWT into everything, claims tell an ID
// token from the rest, and an ID token must have one of them.
func TestVerifier_KindsWithOneTyp(t *testing.T) {
	type m = map[string]any
	onlyJWT := func(trust *tx.Trust) { trust.Types = map[tx.TokenType]string{tx.TypeJWT: "JWT"} }
	onlyID := func(trust *tx.Trust) { trust.Types = map[tx.TokenType]string{tx.TypeIDToken: "JWT"} }
	ownTyp := func(trust *tx.Trust) {
		trust.Types = map[tx.TokenType]string{tx.TypeIDToken: "id+jwt"}
	}
	for name, row := range map[string]struct {
		claims    m
		isID, jwt bool // is accepted as an ID token, as a JWT
	}{
		"nothing": {nil, false, true},
		"nonce":   {m{"nonce": "n"}, true, false},
		"at_hash": {m{"at_hash": "h"}, true, false},
		"c_hash":  {m{"c_hash": "h"}, true, false},
		"s_hash":  {m{"s_hash": "h"}, true, false},
		"azp and auth_time": {m{"azp": "theirs", "auth_time": propertyNow.Unix()}, false,
			true},
		"typ ID":                      {m{"typ": "ID"}, true, false},
		"token_use id":                {m{"token_use": "id"}, true, false},
		"typ Bearer, with a nonce":    {m{"typ": "Bearer", "nonce": "n"}, false, true},
		"token_use access":            {m{"token_use": "access"}, false, true},
		"typ JWT in the claims too":   {m{"typ": "JWT", "nonce": "n"}, true, false},
		"typ JWT and nothing besides": {m{"typ": "JWT"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, typ := range []string{"JWT", "", "application/jwt"} {
				_, err := verifyForeign(t, onlyID, typ, tx.TypeIDToken, row.claims)
				require.Equal(t, row.isID, err == nil, "as an ID token: %v", err)
				_, err = verifyForeign(t, onlyID, typ, tx.TypeJWT, row.claims)
				require.Equal(t, row.isID, err == nil, "found to be an ID token: %v", err)
				_, err = verifyForeign(t, onlyJWT, typ, tx.TypeJWT, row.claims)
				require.Equal(t, row.jwt, err == nil, "as a JWT: %v", err)
			}
		})
	}
	_, err := verifyForeign(t, ownTyp, "id+jwt", tx.TypeIDToken, nil)
	require.NoError(t, err, "a typ that only ID tokens have is a mark as well")
}

// TestVerifier_ForeignLogin: what another issuer says about a login counts by a mapping only, and
// of a client never.
func TestVerifier_ForeignLogin(t *testing.T) {
	type m = map[string]any
	claims := m{"auth_time": propertyNow.Add(-time.Hour).Unix(), "acr": "gold",
		"amr": []string{"pwd", "otp"}}
	login := func(tok tx.Token, err error) (bool, string, []string) {
		require.NoError(t, err)
		return !tok.AuthTime.IsZero(), tok.ACR, tok.AMR
	}
	check := func(set func(*tx.Trust), at bool, acr string, amr []string) {
		t.Helper()
		gotAt, gotACR, gotAMR := login(verifyForeign(t, set, "at+jwt", tx.TypeJWT, claims))
		require.Equal(t, at, gotAt)
		require.Equal(t, acr, gotACR)
		require.Equal(t, amr, gotAMR)
	}
	check(nil, false, "", nil)
	check(func(trust *tx.Trust) { trust.AuthTime = true }, true, "", nil)
	check(func(trust *tx.Trust) {
		trust.ACR = map[string]string{"gold": "2"}
		trust.AMR = map[string]string{"otp": "mfa", "x": "y"}
	}, false, "2", []string{"mfa"})
}

// TestVerifier_ForeignBeginning: the lineage of a foreign token begins with a login as far as the token shows one.
func TestVerifier_ForeignBeginning(t *testing.T) {
	const assertion = tx.TokenType("urn:example:assertion")
	login := propertyNow.Add(-time.Hour)
	for name, row := range map[string]struct {
		typ      string
		kind     tx.TokenType
		believed bool
		want     time.Time
	}{
		"an access token":               {"at+jwt", tx.TypeJWT, false, login},
		"an access token, believed":     {"at+jwt", tx.TypeJWT, true, login},
		"an assertion is no login":      {"assertion+jwt", assertion, false, time.Time{}},
		"an assertion that is believed": {"assertion+jwt", assertion, true, login},
	} {
		tok, err := verifyForeign(t, func(trust *tx.Trust) {
			trust.Types[assertion], trust.AuthTime = "assertion+jwt", row.believed
		}, row.typ, row.kind, map[string]any{"auth_time": login.Unix()})
		require.NoError(t, err, name)
		require.True(t, row.want.Equal(tok.Begun()), "%s: %s", name, tok.Begun())
	}
	tok, err := verifyForeign(t, nil, "at+jwt", tx.TypeJWT, nil)
	require.NoError(t, err)
	require.True(t, propertyNow.Equal(tok.Begun()), "without auth_time, iat")
}

// TestVerifier_ClientsWord: a client that signs a token itself says who it is about, and nothing
// more.
func TestVerifier_ClientsWord(t *testing.T) {
	const assertion = tx.TokenType("urn:example:assertion")
	asClient := func(trust *tx.Trust) {
		trust.Client, trust.Scopes, trust.Types = true, nil,
			map[tx.TokenType]string{assertion: "JWT"}
	}
	tok, err := verifyForeign(t, asClient, "JWT", tx.TypeJWT,
		map[string]any{"scope": "read", "acr": "gold", "amr": []string{"pwd"},
			"auth_time": propertyNow.Unix()})
	require.NoError(t, err)
	require.True(t, tok.ByClient)
	require.Nil(t, tok.Scope)
	require.Zero(t, tok.AuthTime)
	require.Empty(t, tok.ACR)
	require.Empty(t, tok.AMR)
	require.Zero(t, tok.Begun(), "its word is no login")

	m := tokenexchangetest.NewMinter(own)
	for name, change := range map[string]func(*tx.Trust){
		"own":            func(trust *tx.Trust) { *trust = m.Trust(); trust.Client = true },
		"with auth_time": func(trust *tx.Trust) { trust.AuthTime = true },
		"with acr":       func(trust *tx.Trust) { trust.ACR = map[string]string{} },
		"with amr":       func(trust *tx.Trust) { trust.AMR = map[string]string{} },
		"with act":       func(trust *tx.Trust) { trust.ActClaims = true },
		"with scopes":    func(trust *tx.Trust) { trust.Scopes = map[string]tx.Scope{} },
		"an own ticket with the typ of access tokens": func(trust *tx.Trust) {
			*trust = m.Trust()
			trust.Types = map[tx.TokenType]string{assertion: "application/AT+JWT"}
		},
		"own auth_time": func(trust *tx.Trust) { *trust = m.Trust(); trust.AuthTime = true },
		"own acr":       func(trust *tx.Trust) { *trust = m.Trust(); trust.ACR = map[string]string{} },
		"own amr":       func(trust *tx.Trust) { *trust = m.Trust(); trust.AMR = map[string]string{} },
	} {
		trust := m.ForeignTrust(own)
		trust.Client = strings.HasPrefix(name, "with ")
		change(&trust)
		_, err := tx.NewVerifier(trust)
		require.Error(t, err, name)
	}
}
