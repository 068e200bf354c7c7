package tokenexchange_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

func TestD26_HostileDates(t *testing.T) {
	w := newWorld(t)
	hostile := map[string]any{"zero": 0, "negative": -1, "huge": json.Number("1e300"),
		"beyond float64": json.Number("1e400"), "the year 10000": 253402300800, "a string": "1800003600", "null": json.RawMessage("null"),
		"an array": []int{1800003600}, "an object": map[string]any{}, "true": true, "NaN in text": "NaN"}
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for name, value := range hostile {
			t.Run(claim+" "+name, func(t *testing.T) { w.refusedEverywhere(t, w.access(claims{claim: value}), tx.TypeAccessToken) })
		}
	}
	for name, patch := range map[string]claims{
		"exp missing": {"exp": nil}, "iat missing": {"iat": nil}, "expired by a second": {"exp": at.Unix() - 1}, "expired now": {"exp": at.Unix()}, "exp in the first second": {"exp": json.Number("0.5")}, "iat in the first second": {"iat": json.Number("0.5")},
		"expired by a fraction": {"exp": json.Number("1800000000.9")}, "nbf 61 s away": {"nbf": at.Unix() + 61}, "iat 61 s away": {"iat": at.Unix() + 61},
		"nbf 60 s and a fraction away": {"nbf": json.Number("1800000060.1")},
		"nbf 60 s and a tiny fraction": {"nbf": json.Number("1800000060.00000000000000001")},
		"nbf as an exponent":           {"nbf": json.Number("18000000600000000001e-10")},
		"nbf in a huge exponent":       {"nbf": json.Number("1e999999999999")},
		"expired by a tiny fraction":   {"exp": json.Number("1800000000.99999999999999")},
	} {
		t.Run(name, func(t *testing.T) { w.refusedEverywhere(t, w.access(patch), tx.TypeAccessToken) })
		t.Run("ID token "+name, func(t *testing.T) { w.refusedEverywhere(t, w.id(patch), tx.TypeIDToken) })
		t.Run("foreign "+name, func(t *testing.T) { w.refusedEverywhere(t, w.foreignToken(patch), tx.TypeJWT) })
	}
	for name, patch := range map[string]claims{
		"nbf 60 s away": {"nbf": at.Unix() + 60}, "iat 60 s away": {"iat": at.Unix() + 60}, "one second left": {"exp": at.Unix() + 1},
		"nbf 59.5 s away":      {"nbf": json.Number("1800000059.5")},
		"nbf 60.0 s away":      {"nbf": json.Number("18000000600.000e-1")},
		"nbf in 1970":          {"nbf": json.Number("1e-300")},
		"nbf not quite so far": {"nbf": json.Number("1800000059.00000000000000001")},
		"long ago":             {"nbf": 1, "iat": 1}, "exp in 9999": {"exp": 253402300799},
	} {
		t.Run(name, func(t *testing.T) {
			w.post("shop", form(w.access(patch), tx.TypeAccessToken)).granted(t)
			w.post("gateway", form(w.foreignToken(patch), tx.TypeJWT)).granted(t)
		})
	}
	t.Run("exp is rounded down", func(t *testing.T) {
		says := w.post("shop", form(w.access(claims{"exp": json.Number("1800000030.99")}), tx.TypeAccessToken)).granted(t)
		require.Equal(t, json.Number("1800000030"), says["exp"])
	})
}

func TestR08_HostileAudienceAndIssuer(t *testing.T) {
	w := newWorld(t)
	own := map[string]claims{
		"aud missing": {"aud": nil}, "aud empty": {"aud": ""}, "aud an empty array": {"aud": []string{}}, "aud null": {"aud": json.RawMessage("null")},
		"aud a number": {"aud": 1}, "aud an object": {"aud": map[string]any{api: true}}, "aud with an empty one": {"aud": []string{api, ""}},
		"aud with a number": {"aud": []any{api, 1}}, "aud nested": {"aud": []any{[]string{api}}},
		"iss missing": {"iss": nil}, "iss empty": {"iss": ""}, "iss wrong": {"iss": "https://evil.example"}, "iss with a slash": {"iss": ownIss + "/"},
		"iss an array": {"iss": []string{ownIss}}, "iss in capitals": {"iss": "HTTPS://AS.EXAMPLE"}, "iss another's": {"iss": idpIss}, "iss null": {"iss": json.RawMessage("null")},
		"iss with port": {"iss": ownIss + ":443"}, "iss and space": {"iss": ownIss + " "},
		"sub missing": {"sub": nil}, "sub empty": {"sub": ""}, "sub null": {"sub": json.RawMessage("null")}, "sub a number": {"sub": 7}, "sub an array": {"sub": []string{"alice"}},
		"D29 jti missing": {"jti": nil}, "jti empty": {"jti": ""}, "jti a number": {"jti": 5},
		"D04 client_id and azp are different": {"azp": "other"}, "client_id a number": {"client_id": 1}, "client_id empty": {"client_id": ""},
		"D04 another's": {"client_id": "other"}, "D04 nobody's": {"client_id": nil}, "D04 azp of another": {"client_id": nil, "azp": "other"},
		"scope an array": {"scope": []string{"read"}}, "scope with two spaces": {"scope": "read  write"}, "scope with a quote": {"scope": `re"ad`}, "scope null": {"scope": json.RawMessage("null")},
		"D30 cnf of a kind unknown": {"cnf": map[string]any{"jwk": map[string]any{}}}, "D30 cnf empty": {"cnf": map[string]any{}}, "D30 cnf text": {"cnf": "x"},
		"D30 cnf that was not proved": {"cnf": map[string]any{"jkt": "abc"}}, "D30 cnf with more": {"cnf": map[string]any{"jkt": "abc", "kid": "1"}}, "D30 cnf null": {"cnf": json.RawMessage("null")},
	}
	for name, patch := range own {
		t.Run(name, func(t *testing.T) { w.refusedEverywhere(t, w.access(patch), tx.TypeAccessToken) })
	}
	for name, patch := range map[string]claims{
		"aud missing": {"aud": nil}, "aud empty": {"aud": []string{}}, "aud of another server": {"aud": "https://other-as.example"},
		"aud with a slash": {"aud": ownIss + "/"}, "aud the client": {"aud": "shop"}, "iss ours, key theirs": {"iss": ownIss}, "iss with a slash": {"iss": idpIss + "/"},
		"aud of other servers": {"aud": []string{"https://other-as.example", api}},
	} {
		t.Run("foreign "+name, func(t *testing.T) { w.refusedEverywhere(t, w.foreignToken(patch), tx.TypeJWT) })
	}
	t.Run("iss theirs, key ours", func(t *testing.T) {
		w.refusedEverywhere(t, sign(t, w.key, `{"alg":"ES256","kid":"idp-1","typ":"at+jwt"}`, w.accessClaims(claims{"iss": idpIss, "aud": ownIss})), tx.TypeJWT)
	})
	t.Run("own ID token", func(t *testing.T) {
		for _, patch := range []claims{{"aud": "other"}, {"aud": nil}, {"aud": []string{}}, {"aud": []string{"other", "else"}}, {"aud": nil, "azp": "shop"}} {
			w.refusedEverywhere(t, w.id(patch), tx.TypeIDToken)
			w.refusedEverywhere(t, w.id(patch), tx.TypeJWT)
		}
	})
	t.Run("foreign assertion for others too", func(t *testing.T) {
		mint := func(aud any) string {
			return sign(t, w.idpKey, `{"alg":"ES256","kid":"idp-1","typ":"assertion+jwt"}`, payload(claims{"iss": idpIss, "sub": "ext-alice", "aud": aud, "exp": at.Unix() + 60}))
		}
		w.post("gateway", form(mint(ownIss), tx.TypeJWT)).granted(t)
		w.post("gateway", form(mint([]string{ownIss}), tx.TypeJWT)).granted(t)
		for _, aud := range []any{[]string{ownIss, "https://elsewhere.example"}, []string{ownIss, ownIss}} {
			w.post("gateway", form(mint(aud), tx.TypeJWT)).refused(t, tx.InvalidRequest)
			w.refusedEverywhere(t, mint(aud), tx.TypeJWT)
		}
	})
	t.Run("D06 foreign client_id, azp and malformed scope mean nothing", func(t *testing.T) {
		says := w.post("gateway", form(w.foreignToken(claims{"client_id": "gateway", "azp": "x", "scope": "ext.read ext.admin"}), tx.TypeJWT)).granted(t)
		require.Equal(t, "read", says["scope"])
		says = w.post("gateway", form(w.foreignToken(claims{"scope": []int{1}, "azp": 7}), tx.TypeJWT)).granted(t)
		require.NotContains(t, says, "scope", "D22: what cannot be mapped is nothing")
	})
}

func TestR15_HostileActors(t *testing.T) {
	w := newWorld(t)
	deep := func(n int) string {
		return strings.Repeat(`{"iss":"https://as.example","sub":"bob","act":`, n) + `{"sub":"carol"}` + strings.Repeat("}", n)
	}
	for name, value := range map[string]string{
		"a string": `"bob"`, "an array": `[{"sub":"bob"}]`, "a number": `1`, "null": `null`, "true": "true", "an empty object": `{}`, "no sub": `{"iss":"https://as.example","client_id":"shop"}`,
		"sub a number": `{"sub":1}`, "sub empty": `{"sub":""}`, "sub null": `{"sub":null}`, "sub an array": `{"sub":["bob"]}`, "iss a number": `{"sub":"bob","iss":1}`,
		"client_id null": `{"sub":"bob","client_id":null}`, "1000 deep": deep(1000), "64 deep": deep(64),
		"D15 five deep":               `{"sub":"a","act":{"sub":"b","act":{"sub":"c","act":{"sub":"d","act":{"sub":"e"}}}}}`,
		"prior a string":              `{"sub":"bob","act":"carol"}`,
		"prior empty":                 `{"sub":"bob","act":{}}`,
		"prior null":                  `{"sub":"bob","act":null}`,
		"prior without sub":           `{"sub":"bob","act":{"sub":"carol","act":{"iss":"x"}}}`,
		"sub twice":                   `{"sub":"bob","sub":"carol"}`,
		"D15 somebody twice":          `{"iss":"https://as.example","sub":"bob","act":{"iss":"https://as.example","sub":"carol","act":{"iss":"https://as.example","sub":"bob"}}}`,
		"D15 twice, once without iss": `{"sub":"bob","act":{"iss":"https://as.example","sub":"bob"}}`,
	} {
		t.Run("act "+name, func(t *testing.T) {
			w.refusedEverywhere(t, w.access(claims{"act": json.RawMessage(value)}), tx.TypeAccessToken)
			w.refusedEverywhere(t, w.id(claims{"act": json.RawMessage(value)}), tx.TypeIDToken)
		})
	}
	t.Run("D14 an actor token with any act", func(t *testing.T) {
		for _, patch := range []claims{{"act": claims{"sub": "bob"}}, {"act_as": claims{"sub": "bob"}}} {
			w.places(w.access(patch), tx.TypeAccessToken)["as actor"]().refused(t, tx.InvalidRequest)
		}
	})
	for name, value := range map[string]string{
		"a string": `"admin"`, "an array": `[{"sub":"admin"}]`, "a number": `1`, "null": `null`, "an empty object": `{}`, "iss alone": `{"iss":"https://as.example"}`,
		"sub a number": `{"sub":1}`, "sub empty": `{"sub":""}`, "sub an array": `{"sub":["admin"]}`, "client_id a number": `{"sub":"admin","client_id":1}`, "client_id of another": `{"sub":"admin","client_id":"other"}`,
		"iss of another": `{"sub":"admin","iss":"https://idp.example"}`, "another": `{"sub":"carol"}`, "a claim that the actor lacks": `{"sub":"admin","email":"a@example.com"}`,
		"client_id alone, actor a user": `{"client_id":"shop"}`, "act inside": `{"sub":"admin","act":{"sub":"bob"}}`, "1000 deep": `{"sub":"admin","x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		"sub twice": `{"sub":"admin","sub":"admin"}`,
	} {
		t.Run("D08 may_act "+name, func(t *testing.T) {
			token := w.access(claims{"may_act": json.RawMessage(value)})
			w.places(token, tx.TypeAccessToken)["as subject"]().refused(t, tx.InvalidRequest)
			w.post("gateway", form(token, tx.TypeAccessToken)).refused(t, tx.InvalidRequest)
		})
	}
	t.Run("D08 may_act that fits", func(t *testing.T) {
		for _, value := range []string{`{"sub":"admin"}`, `{"sub":"admin","iss":"https://as.example","client_id":"shop"}`} {
			says := w.places(w.access(claims{"may_act": json.RawMessage(value)}), tx.TypeAccessToken)["as subject"]().granted(t)
			require.NotContains(t, says, "may_act", "D17")
		}
	})
}

func TestR08_HostileJSON(t *testing.T) {
	w := newWorld(t)
	alone, err := tx.NewVerifier(w.trusts[0])
	require.NoError(t, err)
	good := string(w.accessClaims(nil))
	inner := strings.TrimSuffix(good, "}")
	for name, text := range map[string]string{
		"sub twice": inner + `,"sub":"admin"}`, "sub twice, escaped": inner + `,"\u0073ub":"admin"}`, "iss twice": `{"iss":"https://evil.example",` + good[1:], "exp twice": inner + `,"exp":1900000000}`,
		"nested names twice": inner + `,"x":{"a":1,"a":2}}`, "nested in an array": inner + `,"x":[{"a":1,"a":1}]}`, "unknown names twice": inner + `,"x":1,"x":1}`,
		"invalid UTF-8": strings.Replace(good, "alice", "ali\xffce", 1), "overlong UTF-8": strings.Replace(good, "alice", "ali\xc0\xafce", 1), "UTF-16 surrogate in UTF-8": strings.Replace(good, "alice", "\xed\xa0\x80", 1),
		"lone high surrogate": inner + `,"x":"\ud800"}`, "lone low surrogate": inner + `,"x":"\udc00"}`, "surrogates swapped": inner + `,"x":"\udc00\ud800"}`,
		"escaped NUL": inner + `,"x":"a\u0000b"}`, "NUL": strings.Replace(good, "alice", "alice\x00", 1), "NUL in sub": strings.Replace(good, "alice", `alice\u0000`, 1), "NUL in a name": inner + `,"x\u0000":1}`,
		"trailing bytes": good + "x", "two objects": good + good, "trailing comma": inner + ",}", "a comment": inner + "/**/}", "an array": "[" + good + "]", "a string": `"x"`, "null": "null", "nothing but space": "  ",
		"byte order mark": "\ufeff" + good, "single quotes": strings.ReplaceAll(good, `"`, `'`), "65 deep": inner + `,"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + "}",
		"NaN": inner + `,"x":NaN}`, "a leading zero": inner + `,"x":01}`, "cut off": inner,
	} {
		t.Run(name, func(t *testing.T) {
			token := sign(t, w.key, goodHeader, []byte(text))
			w.refusedEverywhere(t, token, tx.TypeAccessToken)
			_, err := alone.Verify(t.Context(), tx.Credential{Token: token, Type: tx.TypeAccessToken, Issuer: ownIss, Now: time.Now()})
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Contains(t, tx.AsError(err).Reason, "claims_malformed", "of the only issuer there is")
		})
	}
	t.Run("a member whose name differs in case is another member", func(t *testing.T) {
		token := sign(t, w.key, goodHeader, []byte(inner+`,"Sub":"admin","EXP":1,"Act":{"sub":"x"}}`))
		says := w.post("shop", form(token, tx.TypeAccessToken)).granted(t)
		require.Equal(t, "alice", says["sub"])
		require.NotContains(t, says, "act")
	})
}
