package tokenexchange_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// FuzzParseRequest: a form is refused with a code, or comes back the same (I11); no refusal quotes a value (R03).
func FuzzParseRequest(f *testing.F) {
	for _, v := range readRequests(f) {
		f.Add(v.body)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		r, err := tx.ParseRequest(form)
		if err != nil {
			require.Equal(t, tx.Request{}, r)
			e := tx.AsError(err)
			require.Equal(t, 400, e.Code.Status())
			for _, values := range form {
				for _, value := range values {
					require.False(t, len(value) > 30 && strings.Contains(err.Error(), value), "a value is quoted")
				}
			}
			return
		}
		again, err := tx.ParseRequest(r.Values())
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

var claimSeeds = []string{
	`{"iss":"https://as.example","sub":"alice","aud":"a","exp":1767326645,"iat":1767323045,"jti":"j","client_id":"c"}`,
	`{"iss":"https://as.example","sub":"alice","aud":["a","b"],"exp":1767326645.5,"iat":1767323045,"jti":"j","scope":"read write",` +
		`"act":{"sub":"bob","act":{"sub":"tool","x":[1,{"y":"\u00e9"}]}},"may_act":{"sub":"bob","level":3},"cnf":{"jkt":"k"}}`,
	`{"iss":"https://as.example","sub":"bob","aud":"a","exp":1767326645,"iat":1767323045,"jti":"j","act_as":{"sub":"alice","act":{"sub":"x"}}}`,
	`{"exp":"1","iat":-1,"nbf":1e400,"act":{},"cnf":{"x":1},"sub":""}`, `[]`, `null`, `{"act":null,"may_act":null}`,
}

// FuzzParseToken: what is accepted says nothing impossible, and survives a store.
func FuzzParseToken(f *testing.F) {
	for _, seed := range claimSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		tok, err := tx.ParseToken(claims)
		if err != nil {
			require.Equal(t, tx.Token{}, tok)
			return
		}
		require.Empty(t, tok.Type)
		for a := tok.Actor; a != nil; a = a.Prior {
			require.NotEmpty(t, a.Subject)
		}
		require.NotContains(t, tok.Audience, "")
		data, err := json.Marshal(tok)
		require.NoError(t, err)
		var again tx.Token
		require.NoError(t, json.Unmarshal(data, &again))
		data2, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(data), string(data2))
	})
}

// FuzzVerifier puts any header and payload under a good signature, and any bytes in place of a token: a Token comes back
// only if it could be one of ours and is in time.
func FuzzVerifier(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signer, err := jose.NewSigner(key, "k", "")
	require.NoError(f, err)
	jwks, err := signer.JWKS()
	require.NoError(f, err)
	v, err := tx.NewVerifier(tx.Trust{
		Issuer: own, JWKS: jwks, ActClaims: true, Live: func(context.Context, tx.Token) error { return nil },
		Types: map[tx.TokenType]string{tx.TypeAccessToken: "", tx.TypeIDToken: ""},
	})
	require.NoError(f, err)
	for _, claims := range claimSeeds {
		f.Add([]byte(`{"alg":"EdDSA","kid":"k","typ":"at+jwt"}`), []byte(claims), "")
		f.Add([]byte(`{"alg":"EdDSA","kid":"k"}`), []byte(claims), "")
	}
	f.Add([]byte(`{"alg":"none"}`), []byte(`{}`), "a.b.c")
	f.Fuzz(func(t *testing.T, header, payload []byte, raw string) {
		signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
		signed += "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(signed)))
		c := tx.Credential{Token: signed, Type: tx.TypeJWT, Issuer: own, Client: tx.Client{ID: "c"}, Now: propertyNow}
		tok, err := v.Verify(context.Background(), c)
		if err == nil {
			require.Contains(t, []tx.TokenType{tx.TypeAccessToken, tx.TypeIDToken}, tok.Type)
			require.Equal(t, own, tok.Issuer)
			require.NotEmpty(t, tok.Subject)
			require.NotEmpty(t, tok.Audience)
			require.True(t, tok.Expires.After(propertyNow))
			require.False(t, tok.Issued.After(propertyNow.Add(time.Minute)))
			require.True(t, tok.Type == tx.TypeIDToken || tok.ID != "", "D29")
		} else {
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Equal(t, tx.Token{}, tok)
		}
		c.Token = raw
		tok, err = v.Verify(context.Background(), c)
		if strings.Count(raw, ".") != 2 {
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Equal(t, tx.Token{}, tok)
		}
	})
}
