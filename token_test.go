package tokenexchange_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func TestParseToken_Everything(t *testing.T) {
	const text = `{"iss":"https://as.example","sub":"alice","aud":["a","b"],"jti":"1","client_id":"shop","azp":"shop","scope":"read write read","act":{"sub":"bob"},"may_act":{"sub":"carol"},
		"iat":1800000000.7,"exp":1800003600.7,"cnf":{"jkt":"j","x5t#S256":"x"},"auth_time":1799999999,"acr":"gold","amr":["pwd"],"x":[1,null]}`
	tok, err := tx.ParseToken([]byte(text))
	require.NoError(t, err)
	require.Equal(t, tx.Token{Issuer: ownIss, Subject: "alice", Audience: []string{"a", "b"}, ID: "1", ClientID: "shop", Scope: tx.Scope{"read", "write"}, Actor: &tx.Actor{Subject: "bob"}, MayAct: &tx.Actor{Subject: "carol"},
		Issued: at, Expires: at.Add(time.Hour), Confirmation: tx.Confirmation{JKT: "j", X5T: "x"}, AuthTime: at.Add(-time.Second), ACR: "gold", AMR: []string{"pwd"}, Claims: json.RawMessage(text)}, tok)
	empty, err := tx.ParseToken([]byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, tx.Token{Claims: json.RawMessage(`{}`)}, empty, "what the claims do not say is zero")
	none, err := tx.ParseToken([]byte(`{"scope":"","aud":"a","azp":"c"}`))
	require.NoError(t, err)
	require.Equal(t, tx.Scope{}, none.Scope, "known to be none")
	require.Equal(t, []string{"a"}, none.Audience)
	require.Equal(t, "c", none.ClientID)
}

// TestToken_ClaimsSet: what ParseToken has read comes out as it went in, but for what is no claim of ours, and zero is nothing.
func TestToken_ClaimsSet(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"iss":"https://as.example","sub":"alice","aud":["a","b"],"jti":"1","client_id":"shop","scope":"read write","act":{"sub":"bob","act":{"sub":"eve","x":1}},
		"may_act":{"sub":"carol"},"iat":1800000000,"exp":1800003600,"cnf":{"jkt":"j","x5t#S256":"x"},"auth_time":1799999999,"acr":"gold","amr":["pwd"]}`,
		`{"sub":"alice","aud":"a","cnf":{"jkt":"j"}}`,
		`{"sub":"alice","scope":""}`,
		`{"lineage":{"scope":"","ends":1800000000,"tenant":"globex","lent":true,"begun":1700000000,"from":["a","b"]}}`,
		`{"lineage":{}}`,
	} {
		tok, err := tx.ParseToken([]byte(text))
		require.NoError(t, err)
		set, err := json.Marshal(tok.ClaimsSet())
		require.NoError(t, err)
		require.JSONEq(t, text, string(set))
	}
	require.Empty(t, tx.Token{Type: tx.TypeIDToken, Kind: tx.KindUser, Scope: tx.Scope{}, Claims: json.RawMessage(`{"x":1}`)}.ClaimsSet())
}

func TestParseToken_RefusesAndQuotesNothing(t *testing.T) {
	const marker = "m4rk3r"
	for _, text := range []string{``, ` `, `x`, `null`, `[]`, `"m4rk3r"`, `{"m4rk3r"}`, `{"sub":"m4rk3r"`, `{"sub":"m4rk3r"}x`, `{"sub":"m4rk3r","sub":"m4rk3r"}`, `{"m4rk3r":1,"m4rk3r":1}`, `{"sub":1}`, `{"sub":""}`, `{"sub":null}`, `{"iss":["m4rk3r"]}`,
		`{"aud":""}`, `{"aud":[""]}`, `{"aud":["m4rk3r",1]}`, `{"aud":{"m4rk3r":1}}`, `{"aud":null}`, `{"jti":1}`, `{"client_id":"m4rk3r","azp":"other"}`, `{"scope":["m4rk3r"]}`, `{"scope":"m4rk3r  x"}`, `{"scope":" "}`, `{"scope":null}`,
		`{"exp":"m4rk3r"}`, `{"exp":0}`, `{"exp":-1}`, `{"exp":1e20}`, `{"exp":null}`, `{"iat":true}`, `{"nbf":"1"}`, `{"auth_time":{}}`, `{"act":"m4rk3r"}`, `{"act":{}}`, `{"act":{"sub":""}}`, `{"act":{"sub":"a","act":{"iss":"m4rk3r"}}}`, `{"act":null}`,
		`{"act":[{"sub":"m4rk3r"}]}`, `{"sub":"a","act_as":{}}`, `{"sub":"a","act_as":{"sub":"b","act_as":{"sub":"m4rk3r"}}}`, `{"act_as":{"sub":"m4rk3r"}}`, `{"sub":"a","act_as":{"sub":"b"},"act":{"sub":"m4rk3r"}}`, `{"cnf":{}}`, `{"cnf":{"jwk":"m4rk3r"}}`, `{"cnf":{"jkt":1}}`, `{"cnf":{"jkt":"m4rk3r","more":"x"}}`, `{"cnf":null}`,
		`{"acr":1}`, `{"amr":"m4rk3r"}`, `{"amr":[1]}`, `{"amr":[""]}`, `{"x":"\ud800"}`, `{"x":"\u0000"}`, "{\"x\":\"\xff\"}", `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`} {
		tok, err := tx.ParseToken([]byte(text))
		require.Error(t, err, text)
		require.Equal(t, tx.Token{}, tok, text)
		require.NotContains(t, err.Error(), marker)
	}
}

func TestD08_MalformedMayActNamesNobody(t *testing.T) {
	for _, value := range []string{`"bob"`, `1`, `null`, `[]`, `{}`, `{"sub":1}`, `{"sub":""}`, `{"iss":null,"sub":"bob"}`, `{"sub":"bob","client_id":7}`, `{"sub":"bob","act":{"sub":"x"}}`, `true`} {
		tok, err := tx.ParseToken([]byte(`{"may_act":` + value + `}`))
		require.NoError(t, err)
		require.Equal(t, &tx.Actor{}, tok.MayAct, "%s: present, and nobody", value)
	}
	tok, err := tx.ParseToken([]byte(`{"may_act":{"client_id":"shop","email":"x"}}`))
	require.NoError(t, err)
	require.Equal(t, "shop", tok.MayAct.ClientID)
	require.JSONEq(t, `{"client_id":"shop","email":"x"}`, string(tok.MayAct.Raw), "what the fields cannot hold")
}

func TestD18_ParseTokenTurnsActAsRound(t *testing.T) {
	tok, err := tx.ParseToken([]byte(`{"iss":"i","sub":"admin","client_id":"shop","act_as":{"sub":"alice","act":{"sub":"bob","x":1}}}`))
	require.NoError(t, err)
	require.Equal(t, "alice", tok.Subject)
	require.Equal(t, "admin", tok.Actor.Subject)
	require.Equal(t, "shop", tok.Actor.ClientID)
	require.Equal(t, "i", tok.Actor.Issuer)
	require.Equal(t, "bob", tok.Actor.Prior.Subject)
}

func TestD12_ActorJSON(t *testing.T) {
	for text, same := range map[string]bool{
		`{"sub":"a"}`: true, `{"iss":"i","sub":"a","client_id":"c","act":{"sub":"b"}}`: true, `{"sub":"a","x":[1,{"y":1.0}]}`: true, `{"client_id":"c"}`: true, `{}`: true,
		`{"sub":"a","iss":"i"}`: true, `{"sub":"<&>"}`: true, `"a"`: false, `[]`: false, `null`: false, `{"sub":1}`: false, `{"sub":""}`: false, `{"sub":"a","sub":"b"}`: false, `{"sub":"a","act":"b"}`: false, `{"act":null}`: false,
	} {
		var a tx.Actor
		err := a.UnmarshalJSON([]byte(text))
		require.Equal(t, same, err == nil, text)
		if same {
			out, err := a.MarshalJSON()
			require.NoError(t, err)
			require.Equal(t, text, string(out))
		} else {
			require.Equal(t, tx.Actor{}, a)
		}
	}
	out, err := (*tx.Actor)(nil).MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, "null", string(out))
}

// TestD12_EverySpellingOfAChainIsKept: what the fields would not be written as is kept as it is, wherever the difference is.
func TestD12_EverySpellingOfAChainIsKept(t *testing.T) {
	for _, act := range []string{
		`{"sub":"a","act":{"sub":"b"},"x":1}`, `{"sub":"a","act": {"sub":"b"}}`, `{"sub":"a","act":{"sub":"b"} }`, `{"act":{"sub":"b"},"sub":"a"}`,
		`{"sub":"a","x":1,"act":{"sub":"b"}}`, `{"sub":"\u0061","act":{"sub":"b"}}`, `{"sub":"a","x":{"act":{"sub":"b"}}}`, `{ "sub":"a"}`,
	} {
		tok, err := tx.ParseToken([]byte(`{"act":` + act + `}`))
		require.NoError(t, err, act)
		require.Equal(t, act, string(tok.Actor.Raw))
	}
	for _, act := range []string{`{"sub":"a","act":{"sub":"b"}}`, `{"iss":"i","sub":"a","client_id":"c","act":{"sub":"b","act":{"sub":"c"}}}`, `{"sub":"a"}`} {
		tok, err := tx.ParseToken([]byte(`{"act":` + act + `}`))
		require.NoError(t, err, act)
		require.Nil(t, tok.Actor.Raw, act)
		text, err := tok.Actor.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, act, string(text))
	}
	tok, err := tx.ParseToken([]byte(`{"act":{"sub":"a","act":{"sub":"b","x":1}}}`))
	require.NoError(t, err)
	require.Nil(t, tok.Actor.Raw, "what is below says it itself")
	require.Equal(t, `{"sub":"b","x":1}`, string(tok.Actor.Prior.Raw))
}
