package tokenexchange_test

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

func TestToken_CurrentActor(t *testing.T) {
	prior := &tx.Actor{Subject: "carol", Issuer: "https://prior.example"}
	for name, c := range map[string]struct {
		act   *tx.Actor
		actor tx.Token
	}{
		"none": {nil, tx.Token{}},
		"without issuer": {&tx.Actor{Subject: "bob", ClientID: "shop", Prior: prior},
			tx.Token{Issuer: world.Own, Subject: "bob", ClientID: "shop"}},
		"of another issuer": {&tx.Actor{Subject: "bob", Issuer: "https://idp.example"},
			tx.Token{Issuer: "https://idp.example", Subject: "bob"}},
	} {
		tok := tx.Token{Issuer: world.Own, Subject: "alice", ClientID: "web", Actor: c.act}
		actor, ok := tok.CurrentActor()
		require.Equal(t, c.act != nil, ok, name)
		require.Equal(t, c.actor, actor, name)
	}
}

// TestParseToken_Everything parses a payload with every claim, and payloads with few.
func TestParseToken_Everything(t *testing.T) {
	const text = `{"iss":"https://as.example","sub":"alice","aud":["a","b"],"jti":"1",
		"client_id":"shop","azp":"shop","scope":"read write read",
		"act":{"sub":"bob"},"may_act":{"sub":"carol"},
		"iat":1800000000.7,"exp":1800003600.7,"cnf":{"jkt":"j","x5t#S256":"x"},
		"auth_time":1799999999,"acr":"gold","amr":["pwd"],"x":[1,null]}`
	tok, err := tx.ParseToken([]byte(text))
	require.NoError(t, err)
	require.Equal(t, tx.Token{
		Issuer:       world.Own,
		Subject:      "alice",
		Audience:     []string{"a", "b"},
		ID:           "1",
		ClientID:     "shop",
		Scope:        tx.Scope{"read", "write"},
		Actor:        &tx.Actor{Subject: "bob"},
		MayAct:       &tx.Actor{Subject: "carol"},
		Issued:       world.Now,
		Expires:      world.Now.Add(time.Hour),
		Confirmation: tx.Confirmation{JKT: "j", X5T: "x"},
		AuthTime:     world.Now.Add(-time.Second),
		ACR:          "gold",
		AMR:          []string{"pwd"},
		Claims:       json.RawMessage(text),
	}, tok)
	empty, err := tx.ParseToken([]byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, tx.Token{Claims: json.RawMessage(`{}`)}, empty,
		"an absent claim is zero")
	none, err := tx.ParseToken([]byte(`{"scope":"","aud":"a","azp":"c"}`))
	require.NoError(t, err)
	require.Equal(t, tx.Scope{}, none.Scope, "known to be empty")
	require.Equal(t, []string{"a"}, none.Audience)
	require.Equal(t, "c", none.ClientID)
}

// dateOf parses a date claim. It returns 0 if ParseToken refuses the claim.
func dateOf(t *testing.T, claim, number string) int64 {
	tok, err := tx.ParseToken([]byte(`{"` + claim + `":` + number + `}`))
	if err != nil {
		require.ErrorContains(t, err, "date", number)
		return 0
	}
	for _, date := range []time.Time{tok.Expires, tok.Issued, tok.AuthTime} {
		if !date.IsZero() {
			require.Zero(t, date.Nanosecond())
			return date.Unix()
		}
	}
	require.Fail(t, "no date")
	return 0
}

// TestParseToken_Dates checks that dates are rounded down by their decimal text, also where a
// float64 would round up (D26).
func TestParseToken_Dates(t *testing.T) {
	zeros, nines := strings.Repeat("0", 60_000), strings.Repeat("9", 60_000)
	for number, want := range map[string]int64{
		"1800000000.9999999":              1800000000,
		"1800000000." + nines:             1800000000,
		"1800000000." + zeros + "1":       1800000000,
		"1799999999.99999999999":          1799999999,
		"1.8e9":                           1800000000,
		"1.8E+9":                          1800000000,
		"1.8e0000000009":                  1800000000,
		"18000000005e-1":                  1800000000,
		"17999999999" + nines + "e-60001": 1799999999,
		"18" + zeros + "e-59992":          1800000000,
		"0.18e10":                         1800000000,
		"0." + zeros + "18e60010":         1800000000,
		"0.9999999999999999999999":        0,
		"1":                               1,
		"0.1e1":                           1,
		"1e-1":                            0,
		"10e-1":                           1,
		"9.99e-1":                         0,
		"253402300799":                    253402300799,
		"253402300799.99999999999999":     253402300799,
		"2.53402300799999999999e11":       253402300799,
		"253402300800":                    0,
		"2.534023008e11":                  0,
		"0":                               0,
		"-0":                              0,
		"0e5":                             0,
		"0.0e999999999999999999999":       0,
		"-1800000000":                     0,
		"-0.5":                            0,
		"1e300":                           0,
		"1e-300":                          0,
		"1e999999999":                     0,
		"1e-999999999":                    0,
		"1e2147483647":                    0,
		"1e2147483648":                    0,
		"1e9223372036854775807":           0,
		"1e-9223372036854775808":          0,
		"1e" + nines:                      0,
		"1e-" + nines:                     0,
		"1" + zeros:                       0,
		"0." + zeros:                      0,
		nines:                             0,
	} {
		for _, claim := range []string{"exp", "iat", "auth_time"} {
			begun := time.Now()
			got := dateOf(t, claim, number)
			require.Equal(t, want, got, "%.80s (%d bytes)", number, len(number))
			require.Less(t, time.Since(begun), time.Second)
		}
	}
}

// TestParseToken_RandomDates compares random dates with rational numbers.
func TestParseToken_RandomDates(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 50_000 {
		digits := strconv.FormatInt(1+r.Int64N(1<<uint(1+r.IntN(60))), 10)
		for len(digits) < r.IntN(25) {
			digits += []string{"0", "9", strconv.Itoa(r.IntN(10))}[r.IntN(3)]
		}
		number := digits
		if at := r.IntN(len(digits)); at > 0 {
			number = digits[:at] + "." + digits[at:]
		} else if r.IntN(5) == 0 {
			number = "0." + digits
		}
		if r.IntN(2) == 0 {
			number += []string{"e", "E", "e+", "e-", "E-"}[r.IntN(5)] + strconv.Itoa(r.IntN(14))
		}
		exact, ok := new(big.Rat).SetString(number)
		require.True(t, ok, number)
		floor := new(big.Int).Div(exact.Num(), exact.Denom())
		want := int64(0)
		if floor.IsInt64() && floor.Int64() <= 253402300799 {
			want = floor.Int64()
		}
		require.Equal(t, want, dateOf(t, "exp", number), number)
		if want > 0 {
			read++
		}
	}
	require.Greater(t, read, 10_000)
}

// TestToken_ClaimsSet checks that ClaimsSet has the claims that ParseToken read, without the claims
// that a Token has no field for. A zero field is no claim.
func TestToken_ClaimsSet(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"iss":"https://as.example","sub":"alice","aud":["a","b"],"jti":"1","client_id":"shop",
		"scope":"read write","act":{"sub":"bob","act":{"sub":"eve","x":1}},
		"may_act":{"sub":"carol"},
		"iat":1800000000,"exp":1800003600,"cnf":{"jkt":"j","x5t#S256":"x"},
		"auth_time":1799999999,"acr":"gold","amr":["pwd"]}`,
		`{"sub":"alice","aud":"a","cnf":{"jkt":"j"}}`,
		`{"sub":"alice","scope":""}`,
		`{"lineage":{"scope":"","ends":1800000000,"tenant":"globex","lent":true,
		"begun":1700000000,"from":["a","b"]}}`,
		`{"lineage":{}}`,
	} {
		tok, err := tx.ParseToken([]byte(text))
		require.NoError(t, err)
		set, err := json.Marshal(tok.ClaimsSet())
		require.NoError(t, err)
		require.JSONEq(t, text, string(set))
	}
	noClaims := tx.Token{
		Type: tx.TypeIDToken, Kind: tx.KindUser, Scope: tx.Scope{},
		Claims: json.RawMessage(`{"x":1}`),
	}
	require.Empty(t, noClaims.ClaimsSet())
}

// TestParseToken_RefusesAndQuotesNothing parses malformed payloads. The error does not quote them.
func TestParseToken_RefusesAndQuotesNothing(t *testing.T) {
	const marker = "m4rk3r"
	for _, text := range []string{
		``, ` `, `x`, `null`, `[]`, `"m4rk3r"`, `{"m4rk3r"}`, `{"sub":"m4rk3r"`,
		`{"sub":"m4rk3r"}x`, `{"sub":"m4rk3r","sub":"m4rk3r"}`, `{"m4rk3r":1,"m4rk3r":1}`,
		`{"sub":1}`, `{"sub":""}`, `{"sub":null}`, `{"iss":["m4rk3r"]}`,
		`{"aud":""}`, `{"aud":[""]}`, `{"aud":["m4rk3r",1]}`, `{"aud":{"m4rk3r":1}}`,
		`{"aud":null}`, `{"jti":1}`, `{"client_id":"m4rk3r","azp":"other"}`, `{"scope":["m4rk3r"]}`,
		`{"scope":"m4rk3r  x"}`, `{"scope":" "}`, `{"scope":null}`,
		`{"exp":"m4rk3r"}`, `{"exp":0}`, `{"exp":-1}`, `{"exp":1e20}`, `{"exp":null}`,
		`{"iat":true}`, `{"nbf":"1"}`, `{"auth_time":{}}`, `{"act":"m4rk3r"}`, `{"act":{}}`,
		`{"act":{"sub":""}}`, `{"act":{"sub":"a","act":{"iss":"m4rk3r"}}}`, `{"act":null}`,
		`{"act":[{"sub":"m4rk3r"}]}`, `{"sub":"a","act_as":{}}`,
		`{"sub":"a","act_as":{"sub":"b","act_as":{"sub":"m4rk3r"}}}`,
		`{"act_as":{"sub":"m4rk3r"}}`,
		`{"sub":"a","act_as":{"sub":"b"},"act":{"sub":"m4rk3r"}}`, `{"cnf":{}}`,
		`{"cnf":{"jwk":"m4rk3r"}}`, `{"cnf":{"jkt":1}}`,
		`{"cnf":{"jkt":"m4rk3r","more":"x"}}`, `{"cnf":null}`,
		`{"acr":1}`, `{"amr":"m4rk3r"}`, `{"amr":[1]}`, `{"amr":[""]}`, `{"x":"\ud800"}`,
		`{"x":"\u0000"}`, "{\"x\":\"\xff\"}",
		`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		tok, err := tx.ParseToken([]byte(text))
		require.Error(t, err, text)
		require.Equal(t, tx.Token{}, tok, text)
		require.NotContains(t, err.Error(), marker)
	}
}

// TestD08_MalformedMayActNamesNobody checks that a malformed may_act is an Actor without a name,
// and not an absent may_act.
func TestD08_MalformedMayActNamesNobody(t *testing.T) {
	for _, value := range []string{
		`"bob"`, `1`, `null`, `[]`, `{}`, `{"sub":1}`, `{"sub":""}`, `{"iss":null,"sub":"bob"}`,
		`{"sub":"bob","client_id":7}`, `{"sub":"bob","act":{"sub":"x"}}`, `true`,
	} {
		tok, err := tx.ParseToken([]byte(`{"may_act":` + value + `}`))
		require.NoError(t, err)
		require.Equal(t, &tx.Actor{}, tok.MayAct, "%s: present, without a name", value)
	}
	tok, err := tx.ParseToken([]byte(`{"may_act":{"client_id":"shop","email":"x"}}`))
	require.NoError(t, err)
	require.Equal(t, "shop", tok.MayAct.ClientID)
	require.JSONEq(t, `{"client_id":"shop","email":"x"}`, string(tok.MayAct.Raw),
		"the members that have no field")
}

// TestD18_ParseTokenTurnsActAsRound checks that a token with act_as has the same fields as one with
// act.
func TestD18_ParseTokenTurnsActAsRound(t *testing.T) {
	tok, err := tx.ParseToken([]byte(`{"iss":"i","sub":"admin","client_id":"shop",
		"act_as":{"sub":"alice","act":{"sub":"bob","x":1}}}`))
	require.NoError(t, err)
	require.Equal(t, "alice", tok.Subject)
	require.Equal(t, "admin", tok.Actor.Subject)
	require.Equal(t, "shop", tok.Actor.ClientID)
	require.Equal(t, "i", tok.Actor.Issuer)
	require.Equal(t, "bob", tok.Actor.Prior.Subject)
}

// TestD12_ActorJSON reads actors and writes them again, byte for byte.
func TestD12_ActorJSON(t *testing.T) {
	for _, text := range []string{
		`{"sub":"a"}`, `{"iss":"i","sub":"a","client_id":"c","act":{"sub":"b"}}`,
		`{"sub":"a","x":[1,{"y":1.0}]}`, `{"client_id":"c"}`, `{}`, `{"sub":"a","iss":"i"}`,
		`{"sub":"<&>"}`,
	} {
		var a tx.Actor
		require.NoError(t, a.UnmarshalJSON([]byte(text)), text)
		out, err := a.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, text, string(out))
	}
	for _, text := range []string{
		`"a"`, `[]`, `null`, `{"sub":1}`, `{"sub":""}`, `{"sub":"a","sub":"b"}`,
		`{"sub":"a","act":"b"}`, `{"act":null}`,
	} {
		var a tx.Actor
		require.Error(t, a.UnmarshalJSON([]byte(text)), text)
		require.Equal(t, tx.Actor{}, a)
	}
	out, err := (*tx.Actor)(nil).MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, "null", string(out))
}

// TestD12_EverySpellingOfAChainIsKept checks that Raw keeps the JSON of an actor, unless the fields
// would be written as the same bytes.
func TestD12_EverySpellingOfAChainIsKept(t *testing.T) {
	for _, act := range []string{
		`{"sub":"a","act":{"sub":"b"},"x":1}`, `{"sub":"a","act": {"sub":"b"}}`,
		`{"sub":"a","act":{"sub":"b"} }`, `{"act":{"sub":"b"},"sub":"a"}`,
		`{"sub":"a","x":1,"act":{"sub":"b"}}`, `{"sub":"\u0061","act":{"sub":"b"}}`,
		`{"sub":"a","x":{"act":{"sub":"b"}}}`, `{ "sub":"a"}`,
	} {
		tok, err := tx.ParseToken([]byte(`{"act":` + act + `}`))
		require.NoError(t, err, act)
		require.Equal(t, act, string(tok.Actor.Raw))
	}
	for _, act := range []string{
		`{"sub":"a","act":{"sub":"b"}}`,
		`{"iss":"i","sub":"a","client_id":"c","act":{"sub":"b","act":{"sub":"c"}}}`, `{"sub":"a"}`,
	} {
		tok, err := tx.ParseToken([]byte(`{"act":` + act + `}`))
		require.NoError(t, err, act)
		require.Nil(t, tok.Actor.Raw, act)
		text, err := tok.Actor.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, act, string(text))
	}
	tok, err := tx.ParseToken([]byte(`{"act":{"sub":"a","act":{"sub":"b","x":1}}}`))
	require.NoError(t, err)
	require.Nil(t, tok.Actor.Raw, "the prior actor keeps its own JSON")
	require.Equal(t, `{"sub":"b","x":1}`, string(tok.Actor.Prior.Raw))
}

// claimSeeds are payloads for the fuzz tests.
var claimSeeds = []string{
	`{"iss":"https://as.example","sub":"alice","aud":"a",` +
		`"exp":1767326645,"iat":1767323045,"jti":"j","client_id":"c"}`,
	`{"iss":"https://as.example","sub":"alice","aud":["a","b"],` +
		`"exp":1767326645.5,"iat":1767323045,"jti":"j","scope":"read write",` +
		`"act":{"sub":"bob","act":{"sub":"tool","x":[1,{"y":"\u00e9"}]}},` +
		`"may_act":{"sub":"bob","level":3},"cnf":{"jkt":"k"}}`,
	`{"iss":"https://as.example","sub":"bob","aud":"a","exp":1767326645,"iat":1767323045,` +
		`"jti":"j","act_as":{"sub":"alice","act":{"sub":"x"}}}`,
	`{"exp":"1","iat":-1,"nbf":1e400,"act":{},"cnf":{"x":1},"sub":""}`, `[]`, `null`,
	`{"act":null,"may_act":null}`,
}

// FuzzParseToken checks that a parsed token has no impossible fields and survives JSON.
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
