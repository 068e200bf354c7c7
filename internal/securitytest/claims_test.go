package securitytest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// TestD26_HostileDates presents tokens that have malformed dates, or come too early or too late.
func TestD26_HostileDates(t *testing.T) {
	w := world.New(t)
	hostile := map[string]any{
		"zero":           0,
		"negative":       -1,
		"huge":           json.Number("1e300"),
		"beyond float64": json.Number("1e400"),
		"the year 10000": 253402300800,
		"a string":       "1800003600",
		"null":           json.RawMessage("null"),
		"an array":       []int{1800003600},
		"an object":      claims{},
		"true":           true,
		"NaN in text":    "NaN",
	}
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for name, value := range hostile {
			t.Run(claim+" "+name, func(t *testing.T) {
				refusedEverywhere(t, w, w.Access(claims{claim: value}), tx.TypeAccessToken)
			})
		}
	}
	for name, patch := range map[string]claims{
		"exp missing":                  {"exp": nil},
		"iat missing":                  {"iat": nil},
		"expired by a second":          {"exp": world.Now.Unix() - 1},
		"expired now":                  {"exp": world.Now.Unix()},
		"exp in the first second":      {"exp": json.Number("0.5")},
		"iat in the first second":      {"iat": json.Number("0.5")},
		"expired by a fraction":        {"exp": json.Number("1800000000.9")},
		"nbf 61 s away":                {"nbf": world.Now.Unix() + 61},
		"iat 61 s away":                {"iat": world.Now.Unix() + 61},
		"nbf 60 s and a fraction away": {"nbf": json.Number("1800000060.1")},
		"nbf 60 s and a tiny fraction": {"nbf": json.Number("1800000060.00000000000000001")},
		"nbf as an exponent":           {"nbf": json.Number("18000000600000000001e-10")},
		"nbf in a huge exponent":       {"nbf": json.Number("1e999999999999")},
		"expired by a tiny fraction":   {"exp": json.Number("1800000000.99999999999999")},
	} {
		t.Run(name, func(t *testing.T) {
			refusedEverywhere(t, w, w.Access(patch), tx.TypeAccessToken)
		})
		t.Run("ID token "+name, func(t *testing.T) {
			refusedEverywhere(t, w, w.ID(patch), tx.TypeIDToken)
		})
		t.Run("foreign "+name, func(t *testing.T) {
			refusedEverywhere(t, w, w.ForeignToken(patch), tx.TypeJWT)
		})
	}
	for name, patch := range map[string]claims{
		"nbf 60 s away":        {"nbf": world.Now.Unix() + 60},
		"iat 60 s away":        {"iat": world.Now.Unix() + 60},
		"one second left":      {"exp": world.Now.Unix() + 1},
		"nbf 59.5 s away":      {"nbf": json.Number("1800000059.5")},
		"nbf 60.0 s away":      {"nbf": json.Number("18000000600.000e-1")},
		"nbf in 1970":          {"nbf": json.Number("1e-300")},
		"nbf not quite so far": {"nbf": json.Number("1800000059.00000000000000001")},
		"long ago":             {"nbf": 1, "iat": 1},
		"exp in 9999":          {"exp": 253402300799},
	} {
		t.Run(name, func(t *testing.T) {
			w.Post("shop", w.AccessForm(patch)).Granted(t)
			w.Post("gateway", world.Form(w.ForeignToken(patch), tx.TypeJWT)).Granted(t)
		})
	}
	t.Run("exp is rounded down", func(t *testing.T) {
		got := w.Post("shop", w.AccessForm(claims{"exp": json.Number("1800000030.99")})).Granted(t)
		require.Equal(t, json.Number("1800000030"), got["exp"])
	})
}

// TestR08_HostileAudienceAndIssuer presents tokens with one claim that is malformed or wrong.
func TestR08_HostileAudienceAndIssuer(t *testing.T) {
	w := world.New(t)
	own := map[string]claims{
		"aud missing":           {"aud": nil},
		"aud empty":             {"aud": ""},
		"aud an empty array":    {"aud": []string{}},
		"aud null":              {"aud": json.RawMessage("null")},
		"aud a number":          {"aud": 1},
		"aud an object":         {"aud": claims{world.API: true}},
		"aud with an empty one": {"aud": []string{world.API, ""}},
		"aud with a number":     {"aud": []any{world.API, 1}},
		"aud nested":            {"aud": []any{[]string{world.API}}},
		"iss missing":           {"iss": nil},
		"iss empty":             {"iss": ""},
		"iss wrong":             {"iss": "https://evil.example"},
		"iss with a slash":      {"iss": world.Own + "/"},
		"iss an array":          {"iss": []string{world.Own}},
		"iss in capitals":       {"iss": "HTTPS://AS.EXAMPLE"},
		"iss another's":         {"iss": world.IDP},
		"iss null":              {"iss": json.RawMessage("null")},
		"iss with port":         {"iss": world.Own + ":443"},
		"iss and space":         {"iss": world.Own + " "},
		"sub missing":           {"sub": nil},
		"sub empty":             {"sub": ""},
		"sub null":              {"sub": json.RawMessage("null")},
		"sub a number":          {"sub": 7},
		"sub an array":          {"sub": []string{"alice"}},
		"D29 jti missing":       {"jti": nil},
		"jti empty":             {"jti": ""},
		"jti a number":          {"jti": 5},

		"D04 client_id and azp are different": {"azp": "other"},
		"client_id a number":                  {"client_id": 1},
		"client_id empty":                     {"client_id": ""},
		"D04 another's":                       {"client_id": "other"},
		"D04 nobody's":                        {"client_id": nil},
		"D04 azp of another":                  {"client_id": nil, "azp": "other"},
		"scope an array":                      {"scope": []string{"read"}},
		"scope with two spaces":               {"scope": "read  write"},
		"scope with a quote":                  {"scope": `re"ad`},
		"scope null":                          {"scope": json.RawMessage("null")},
		"D30 cnf of a kind unknown":           {"cnf": claims{"jwk": claims{}}},
		"D30 cnf empty":                       {"cnf": claims{}},
		"D30 cnf text":                        {"cnf": "x"},
		"D30 cnf that was not proved":         {"cnf": claims{"jkt": "abc"}},
		"D30 cnf with more":                   {"cnf": claims{"jkt": "abc", "kid": "1"}},
		"D30 cnf null":                        {"cnf": json.RawMessage("null")},
	}
	for name, patch := range own {
		t.Run(name, func(t *testing.T) {
			refusedEverywhere(t, w, w.Access(patch), tx.TypeAccessToken)
		})
	}
	for name, patch := range map[string]claims{
		"aud missing":           {"aud": nil},
		"aud empty":             {"aud": []string{}},
		"aud of another server": {"aud": "https://other-as.example"},
		"aud with a slash":      {"aud": world.Own + "/"},
		"aud the client":        {"aud": "shop"},
		"iss ours, key theirs":  {"iss": world.Own},
		"iss with a slash":      {"iss": world.IDP + "/"},
		"aud of other servers":  {"aud": []string{"https://other-as.example", world.API}},
	} {
		t.Run("foreign "+name, func(t *testing.T) {
			refusedEverywhere(t, w, w.ForeignToken(patch), tx.TypeJWT)
		})
	}
	t.Run("iss theirs, key ours", func(t *testing.T) {
		token := world.Sign(t, w.Key, `{"alg":"ES256","kid":"idp-1","typ":"at+jwt"}`,
			w.AccessClaims(claims{"iss": world.IDP, "aud": world.Own}))
		refusedEverywhere(t, w, token, tx.TypeJWT)
	})
	t.Run("own ID token", func(t *testing.T) {
		for _, patch := range []claims{
			{"aud": "other"}, {"aud": nil}, {"aud": []string{}}, {"aud": []string{"other", "else"}},
			{"aud": nil, "azp": "shop"},
		} {
			refusedEverywhere(t, w, w.ID(patch), tx.TypeIDToken)
			refusedEverywhere(t, w, w.ID(patch), tx.TypeJWT)
		}
	})
	t.Run("foreign assertion for others too", func(t *testing.T) {
		mint := func(aud any) string {
			return world.Sign(t, w.IDPKey, `{"alg":"ES256","kid":"idp-1","typ":"assertion+jwt"}`,
				world.Payload(claims{
					"iss": world.IDP, "sub": "ext-alice", "aud": aud, "exp": world.Now.Unix() + 60,
				}))
		}
		w.Post("gateway", world.Form(mint(world.Own), tx.TypeJWT)).Granted(t)
		w.Post("gateway", world.Form(mint([]string{world.Own}), tx.TypeJWT)).Granted(t)
		for _, aud := range []any{
			[]string{world.Own, "https://elsewhere.example"}, []string{world.Own, world.Own},
		} {
			w.Post("gateway", world.Form(mint(aud), tx.TypeJWT)).Refused(t, tx.InvalidRequest)
			refusedEverywhere(t, w, mint(aud), tx.TypeJWT)
		}
	})
	t.Run("D06 foreign client_id, azp and malformed scope mean nothing", func(t *testing.T) {
		token := w.ForeignToken(claims{
			"client_id": "gateway", "azp": "x", "scope": "ext.read ext.admin",
		})
		got := w.Post("gateway", world.Form(token, tx.TypeJWT)).Granted(t)
		require.Equal(t, "read", got["scope"])
		token = w.ForeignToken(claims{"scope": []int{1}, "azp": 7})
		got = w.Post("gateway", world.Form(token, tx.TypeJWT)).Granted(t)
		require.NotContains(t, got, "scope", "D22: an unmapped scope is no scope")
	})
}

// TestR15_HostileActors presents tokens with malformed act and may_act claims.
func TestR15_HostileActors(t *testing.T) {
	w := world.New(t)
	deep := func(n int) string {
		return strings.Repeat(`{"iss":"https://as.example","sub":"bob","act":`, n) +
			`{"sub":"carol"}` + strings.Repeat("}", n)
	}
	for name, value := range map[string]string{
		"a string":        `"bob"`,
		"an array":        `[{"sub":"bob"}]`,
		"a number":        `1`,
		"null":            `null`,
		"true":            "true",
		"an empty object": `{}`,
		"no sub":          `{"iss":"https://as.example","client_id":"shop"}`,
		"sub a number":    `{"sub":1}`,
		"sub empty":       `{"sub":""}`,
		"sub null":        `{"sub":null}`,
		"sub an array":    `{"sub":["bob"]}`,
		"iss a number":    `{"sub":"bob","iss":1}`,
		"client_id null":  `{"sub":"bob","client_id":null}`,
		"1000 deep":       deep(1000),
		"64 deep":         deep(64),
		"D15 five deep": `{"sub":"a","act":{"sub":"b","act":{"sub":"c",` +
			`"act":{"sub":"d","act":{"sub":"e"}}}}}`,
		"prior a string":    `{"sub":"bob","act":"carol"}`,
		"prior empty":       `{"sub":"bob","act":{}}`,
		"prior null":        `{"sub":"bob","act":null}`,
		"prior without sub": `{"sub":"bob","act":{"sub":"carol","act":{"iss":"x"}}}`,
		"sub twice":         `{"sub":"bob","sub":"carol"}`,
		"D15 somebody twice": `{"iss":"https://as.example","sub":"bob",` +
			`"act":{"iss":"https://as.example","sub":"carol",` +
			`"act":{"iss":"https://as.example","sub":"bob"}}}`,
		"D15 twice, once without iss": `{"sub":"bob",` +
			`"act":{"iss":"https://as.example","sub":"bob"}}`,
	} {
		t.Run("act "+name, func(t *testing.T) {
			act := claims{"act": json.RawMessage(value)}
			refusedEverywhere(t, w, w.Access(act), tx.TypeAccessToken)
			refusedEverywhere(t, w, w.ID(act), tx.TypeIDToken)
		})
	}
	t.Run("D14 an actor token with any act", func(t *testing.T) {
		for _, patch := range []claims{
			{"act": claims{"sub": "bob"}}, {"act_as": claims{"sub": "bob"}},
		} {
			places(w, w.Access(patch), tx.TypeAccessToken)["as actor"]().
				Refused(t, tx.InvalidRequest)
		}
	})
	for name, value := range map[string]string{
		"a string":                      `"admin"`,
		"an array":                      `[{"sub":"admin"}]`,
		"a number":                      `1`,
		"null":                          `null`,
		"an empty object":               `{}`,
		"iss alone":                     `{"iss":"https://as.example"}`,
		"sub a number":                  `{"sub":1}`,
		"sub empty":                     `{"sub":""}`,
		"sub an array":                  `{"sub":["admin"]}`,
		"client_id a number":            `{"sub":"admin","client_id":1}`,
		"client_id of another":          `{"sub":"admin","client_id":"other"}`,
		"iss of another":                `{"sub":"admin","iss":"https://idp.example"}`,
		"another":                       `{"sub":"carol"}`,
		"a claim that the actor lacks":  `{"sub":"admin","email":"a@example.com"}`,
		"client_id alone, actor a user": `{"client_id":"shop"}`,
		"act inside":                    `{"sub":"admin","act":{"sub":"bob"}}`,
		"1000 deep": `{"sub":"admin","x":` + strings.Repeat("[", 1000) +
			strings.Repeat("]", 1000) + `}`,
		"sub twice": `{"sub":"admin","sub":"admin"}`,
	} {
		t.Run("D08 may_act "+name, func(t *testing.T) {
			token := w.Access(claims{"may_act": json.RawMessage(value)})
			places(w, token, tx.TypeAccessToken)["as subject"]().Refused(t, tx.InvalidRequest)
			w.Post("gateway", world.Present(token)).Refused(t, tx.InvalidRequest)
		})
	}
	t.Run("D08 may_act that fits", func(t *testing.T) {
		for _, value := range []string{
			`{"sub":"admin"}`, `{"sub":"admin","iss":"https://as.example","client_id":"shop"}`,
		} {
			token := w.Access(claims{"may_act": json.RawMessage(value)})
			got := places(w, token, tx.TypeAccessToken)["as subject"]().Granted(t)
			require.NotContains(t, got, "may_act", "D17")
		}
	})
}

// TestR08_HostileJSON signs payloads that are no strict JSON object.
func TestR08_HostileJSON(t *testing.T) {
	w := world.New(t)
	alone, err := tx.NewVerifier(w.Trusts[0])
	require.NoError(t, err)
	good := string(w.AccessClaims())
	inner := strings.TrimSuffix(good, "}")
	for name, text := range map[string]string{
		"sub twice":                 inner + `,"sub":"admin"}`,
		"sub twice, escaped":        inner + `,"\u0073ub":"admin"}`,
		"iss twice":                 `{"iss":"https://evil.example",` + good[1:],
		"exp twice":                 inner + `,"exp":1900000000}`,
		"nested names twice":        inner + `,"x":{"a":1,"a":2}}`,
		"nested in an array":        inner + `,"x":[{"a":1,"a":1}]}`,
		"unknown names twice":       inner + `,"x":1,"x":1}`,
		"invalid UTF-8":             strings.Replace(good, "alice", "ali\xffce", 1),
		"overlong UTF-8":            strings.Replace(good, "alice", "ali\xc0\xafce", 1),
		"UTF-16 surrogate in UTF-8": strings.Replace(good, "alice", "\xed\xa0\x80", 1),
		"lone high surrogate":       inner + `,"x":"\ud800"}`,
		"lone low surrogate":        inner + `,"x":"\udc00"}`,
		"surrogates swapped":        inner + `,"x":"\udc00\ud800"}`,
		"escaped NUL":               inner + `,"x":"a\u0000b"}`,
		"NUL":                       strings.Replace(good, "alice", "alice\x00", 1),
		"NUL in sub":                strings.Replace(good, "alice", `alice\u0000`, 1),
		"NUL in a name":             inner + `,"x\u0000":1}`,
		"trailing bytes":            good + "x",
		"two objects":               good + good,
		"trailing comma":            inner + ",}",
		"a comment":                 inner + "/**/}",
		"an array":                  "[" + good + "]",
		"a string":                  `"x"`,
		"null":                      "null",
		"nothing but space":         "  ",
		"byte order mark":           "\ufeff" + good,
		"single quotes":             strings.ReplaceAll(good, `"`, `'`),
		"65 deep": inner + `,"x":` + strings.Repeat("[", 65) +
			strings.Repeat("]", 65) + "}",
		"NaN":            inner + `,"x":NaN}`,
		"a leading zero": inner + `,"x":01}`,
		"cut off":        inner,
	} {
		t.Run(name, func(t *testing.T) {
			token := world.Sign(t, w.Key, world.AccessHeader, []byte(text))
			refusedEverywhere(t, w, token, tx.TypeAccessToken)
			_, err := alone.Verify(t.Context(), tx.Credential{
				Token: token, Type: tx.TypeAccessToken, Issuer: world.Own, Now: time.Now(),
			})
			require.ErrorIs(t, err, tx.InvalidRequest)
			require.Contains(t, tx.AsError(err).Reason, "claims_malformed",
				"the only issuer is not chosen by iss, so only the claims can be at fault")
		})
	}
	t.Run("a member whose name differs in case is another member", func(t *testing.T) {
		token := world.Sign(t, w.Key, world.AccessHeader,
			[]byte(inner+`,"Sub":"admin","EXP":1,"Act":{"sub":"x"}}`))
		got := w.Post("shop", world.Present(token)).Granted(t)
		require.Equal(t, "alice", got["sub"])
		require.NotContains(t, got, "act")
	})
}
