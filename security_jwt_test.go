package tokenexchange_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
)

// places are where a token can be presented: alone, beside a good actor token, and as actor token beside a good subject.
func (w *world) places(token string, declared tx.TokenType) map[string]func() answer {
	return map[string]func() answer{
		"alone": func() answer { return w.post("shop", form(token, declared)) },
		"as subject": func() answer {
			return w.post("shop", withActor(form(token, declared), w.access(claims{"sub": "admin"}), tx.TypeAccessToken))
		},
		"as actor": func() answer {
			return w.post("shop", withActor(form(w.access(claims{"sub": "bob"}), tx.TypeAccessToken), token, declared))
		},
	}
}

// refusedEverywhere: one answer for all that is wrong with a token (R13), and it has nothing of the token in it.
func (w *world) refusedEverywhere(t *testing.T, token string, declared tx.TokenType) {
	t.Helper()
	for place, present := range w.places(token, declared) {
		a := present().refused(t, tx.InvalidRequest)
		if !strings.HasPrefix(a.json["error_description"].(string), "The parameter ") { // not text, or too long
			require.Equal(t, "The request is malformed, or a token in it is not acceptable.", a.json["error_description"], place)
		}
		require.Error(t, w.lastEvent().Err, place)
		require.False(t, strings.Contains(w.lastEvent().Err.Error(), token), "I08 %s", place)
	}
}

const goodHeader = `{"alg":"ES256","kid":"own-1","typ":"at+jwt"}`

func TestR08_GoodTokensInEveryPlace(t *testing.T) {
	w := newWorld(t)
	claimsOf := func(patch claims) []byte { return w.accessClaims(claims{"sub": "carol"}, patch) }
	good := map[string]string{
		"plain":                     sign(t, w.key, goodHeader, claimsOf(nil)),
		"D26 fractional dates":      sign(t, w.key, goodHeader, claimsOf(claims{"exp": json.Number("1800003600.9"), "iat": json.Number("1799999999.5"), "nbf": json.Number("1799999999.5")})),
		"D26 exponent":              sign(t, w.key, goodHeader, claimsOf(claims{"exp": json.Number("1.8000036e9")})),
		"no nbf":                    sign(t, w.key, goodHeader, claimsOf(claims{"nbf": nil})),
		"x5t":                       sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt","x5t":"AAAA","x5t#S256":"AAAA"}`, claimsOf(nil)),
		"x5c":                       sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt","x5c":["MIIB"]}`, claimsOf(nil)),
		"R07 typ in other case":     sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"AT+JWT"}`, claimsOf(nil)),
		"R07 typ with application/": sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"application/at+jwt"}`, claimsOf(nil)),
		"R07 Application/AT+jwt":    sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"Application/AT+jwt"}`, claimsOf(nil)),
		"aud array with others":     sign(t, w.key, goodHeader, claimsOf(claims{"aud": []string{"https://elsewhere.example", api}})),
		"no kid, one key":           sign(t, w.key, `{"alg":"ES256","typ":"at+jwt"}`, claimsOf(nil)),
		"unknown header member":     sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt","foo":{"bar":[1]}}`, claimsOf(nil)),
		"unknown claims":            sign(t, w.key, goodHeader, claimsOf(claims{"x": map[string]any{"y": []any{1, nil, true}}})),
	}
	for name, token := range good {
		t.Run(name, func(t *testing.T) {
			for place, present := range w.places(token, tx.TypeAccessToken) {
				present().granted(t)
				require.NoError(t, w.lastEvent().Err, place)
			}
		})
	}
	t.Run("own ID tokens", func(t *testing.T) {
		for name, token := range map[string]string{
			"no typ": sign(t, w.key, `{"alg":"ES256","kid":"own-1"}`, w.idClaims(claims{"sub": "carol"})),
			"JWT":    w.id(claims{"sub": "carol"}),
			"jwt":    sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"application/jwt"}`, w.idClaims(claims{"sub": "carol"})),
			"array":  w.id(claims{"sub": "carol", "aud": []string{"elsewhere", "shop"}}),
		} {
			places := w.places(token, tx.TypeIDToken)
			places["as subject"]().granted(t)
			places["as actor"]().granted(t)
			require.NoError(t, w.lastEvent().Err, name)
		}
	})
	t.Run("foreign aud array with others", func(t *testing.T) {
		nonce := map[string]any{"JWT": "n"}
		for kind, scope := range map[string]any{"at+jwt": "ext.read", "JWT": nil} {
			token := sign(t, w.idpKey, `{"alg":"ES256","kid":"idp-1","typ":"`+kind+`"}`,
				payload(claims{"iss": idpIss, "sub": "ext-alice", "scope": scope,
					"nonce": nonce[kind], "aud": []string{"https://elsewhere.example", ownIss},
					"iat": at.Unix(), "exp": at.Unix() + 60}, nil))
			w.places(token, tx.TypeJWT)["as subject"]().granted(t)
		}
	})
	t.Run("64 KiB exactly", func(t *testing.T) {
		token := w.long(64 << 10)
		require.True(t, len(token) == 64<<10)
		w.places(token, tx.TypeAccessToken)["alone"]().granted(t)
	})
}

// long mints a good token of exactly that many bytes.
func (w *world) long(size int) string {
	body := string(w.accessClaims(claims{"pad": ""}))
	for spare := 0; ; spare++ { // base64 reaches three lengths of four: the header makes up for it
		head := `{"alg":"ES256","kid":"own-1","typ":"at+jwt","x":"` + strings.Repeat("x", spare) + `"}`
		room := size - len(b64(head)) - 2 - base64.RawURLEncoding.EncodedLen(64)
		filled := strings.Replace(body, `"pad":""`, `"pad":"`+strings.Repeat("x", room*3/4-len(body))+`"`, 1)
		if len(b64(filled)) == room {
			return sign(w, w.key, head, []byte(filled))
		}
	}
}

func TestR08_HostileEncodings(t *testing.T) {
	w := newWorld(t)
	token := w.access(nil)
	for !strings.Contains(token, "-") || !strings.Contains(token, "_") {
		token = w.access(nil)
	}
	part := strings.Split(token, ".")
	raw := func(i int) []byte {
		data, err := base64.RawURLEncoding.DecodeString(part[i])
		require.NoError(t, err)
		return data
	}
	with := func(i int, text string) string {
		parts := append([]string{}, part...)
		parts[i] = text
		return strings.Join(parts, ".")
	}
	flipped := func(i, at int) string {
		data := raw(i)
		data[at] ^= 1
		return with(i, b64(string(data)))
	}
	r, s, order := raw(2)[:32], raw(2)[32:], w.key.Params().N.Bytes()
	zero := make([]byte, 32)
	digest := sha256.Sum256([]byte(part[0] + "." + part[1]))
	der, err := ecdsa.SignASN1(rand.Reader, w.key, digest[:])
	require.NoError(t, err)
	cases := map[string]string{
		"trailing newline": token + "\n", "trailing space": token + " ", "leading space": " " + token, "a tab inside": part[0] + ".\t" + part[1] + "." + part[2],
		"newline inside": with(1, part[1][:8]+"\n"+part[1][8:]), "carriage return": with(1, part[1][:8]+"\r"+part[1][8:]),
		"trailing dot": token + ".", "trailing bytes": token + "AA", "leading dot": "." + token, "no dots": strings.Join(part, ""),
		"two segments": part[0] + "." + part[1], "no signature": part[0] + "." + part[1] + ".", "four segments": token + "." + part[2],
		"five segments": token + "." + part[1] + "." + part[2], "only dots": "..", "no header": "." + part[1] + "." + part[2], "no payload": part[0] + ".." + part[2],
		"padded header": with(0, base64.URLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"own-1","typ":"at+jwt" }`))), "padded signature": token + "==",
		"standard alphabet":   strings.NewReplacer("-", "+", "_", "/").Replace(token),
		"trailing bits set":   with(2, part[2][:len(part[2])-1]+next(part[2][len(part[2])-1])),
		"flipped header bit":  flipped(0, 3),
		"flipped payload bit": flipped(1, 20),
		"flipped payload end": flipped(1, len(raw(1))-3),
		"flipped r":           flipped(2, 0), "flipped s": flipped(2, 63),
		"DER": with(2, b64(string(der))), "63 bytes": with(2, b64(string(raw(2)[:63]))), "65 bytes": with(2, b64(string(raw(2))+"\x00")),
		"96 bytes": with(2, b64(string(raw(2))+string(r))), "empty": with(2, b64("")),
		"zero r and s": with(2, b64(string(zero)+string(zero))), "zero r": with(2, b64(string(zero)+string(s))), "zero s": with(2, b64(string(r)+string(zero))),
		"r and s of the order":   with(2, b64(string(order)+string(order))),
		"s plus the order":       with(2, b64(string(r)+string(bytesOf(new(big.Int).Add(new(big.Int).SetBytes(s), w.key.Params().N))))),
		"r and s swapped":        with(2, b64(string(s)+string(r))),
		"another's signature":    with(2, strings.Split(w.access(nil), ".")[2]),
		"another's header":       with(0, strings.Split(w.id(nil), ".")[0]),
		"64 KiB and one":         w.long(64<<10 + 1),
		"JSON serialization":     fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, part[0], part[1], part[2]),
		"a JWE":                  b64(`{"alg":"dir","enc":"A128GCM"}`) + ".." + b64("0123456789ab") + "." + b64("secret") + "." + b64("0123456789abcdef"),
		"a nested JWE":           b64(`{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT","epk":{}}`) + "." + b64("k") + "." + b64("0123456789ab") + "." + b64(token) + "." + b64("0123456789abcdef"),
		"a JWE header, signed":   sign(t, w.key, `{"alg":"ES256","enc":"A128GCM","kid":"own-1","typ":"at+jwt"}`, w.accessClaims(nil)),
		"a JWT in a JWS":         sign(t, w.key, `{"alg":"ES256","cty":"JWT","kid":"own-1","typ":"at+jwt"}`, []byte(token)),
		"zip":                    sign(t, w.key, `{"alg":"ES256","zip":"DEF","kid":"own-1","typ":"at+jwt"}`, w.accessClaims(nil)),
		"b64 false":              sign(t, w.key, `{"alg":"ES256","b64":false,"kid":"own-1","typ":"at+jwt"}`, w.accessClaims(nil)),
		"an invisible character": token + "\u200b", "a NUL": token + "\x00", "invalid UTF-8": token + "\xff",
	}
	for name, hostile := range cases {
		t.Run(name, func(t *testing.T) { w.refusedEverywhere(t, hostile, tx.TypeAccessToken) })
	}
}

func bytesOf(n *big.Int) []byte { return n.FillBytes(make([]byte, 33))[1:] }

// next is the base64 digit after c: for the last one of a text, it differs in bits that stand for nothing.
func next(c byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(digits[(strings.IndexByte(digits, c)+1)%len(digits)])
}

func TestR08_HostileHeaders(t *testing.T) {
	w := newWorld(t)
	var fetched atomic.Int32
	attacker := newKey(t)
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = rw.Write(keySet(t, attacker, "evil"))
	}))
	defer evil.Close()
	var set struct{ Keys []json.RawMessage }
	require.NoError(t, json.Unmarshal(keySet(t, attacker, "own-1"), &set))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	header := func(more string) string { return `{"alg":"ES256","typ":"at+jwt"` + more + `}` }
	body := w.accessClaims(nil)
	cases := map[string]string{
		"attacker's key, our kid": sign(t, attacker, goodHeader, body),
		"jwk of the attacker":     sign(t, attacker, header(`,"kid":"own-1","jwk":`+string(set.Keys[0])), body),
		"jwk, no kid":             sign(t, attacker, header(`,"jwk":`+string(set.Keys[0])), body),
		"jwk, good signature":     sign(t, w.key, header(`,"kid":"own-1","jwk":`+string(set.Keys[0])), body),
		"jku":                     sign(t, attacker, header(`,"kid":"evil","jku":"`+evil.URL+`"`), body),
		"x5u":                     sign(t, attacker, header(`,"kid":"evil","x5u":"`+evil.URL+`"`), body),
		"x5c of the attacker":     sign(t, attacker, header(`,"x5c":["MIIB"]`), body),
		"kid unknown":             sign(t, w.key, header(`,"kid":"own-2"`), body),
		"kid of another issuer":   sign(t, w.idpKey, header(`,"kid":"idp-1"`), body),
		"kid empty":               sign(t, w.key, header(`,"kid":""`), body),
		"kid a path":              sign(t, attacker, header(`,"kid":"../../../../dev/null"`), body),
		"kid SQL":                 sign(t, attacker, header(`,"kid":"x' UNION SELECT 'key'; --"`), body),
		"kid a number":            sign(t, w.key, header(`,"kid":1`), body),
		"kid null":                sign(t, w.key, header(`,"kid":null`), body),
		"kid 60 KB":               sign(t, w.key, header(`,"kid":"`+strings.Repeat("k", 40<<10)+`"`), body),
		"crit empty":              sign(t, w.key, header(`,"kid":"own-1","crit":[]`), body),
		"crit exp":                sign(t, w.key, header(`,"kid":"own-1","crit":["exp"],"exp":1`), body),
		"crit b64":                sign(t, w.key, header(`,"kid":"own-1","crit":["b64"],"b64":true`), body),
		"crit null":               sign(t, w.key, header(`,"kid":"own-1","crit":null`), body),
		"alg twice":               sign(t, w.key, `{"alg":"none","alg":"ES256","kid":"own-1","typ":"at+jwt"}`, body),
		"typ twice":               sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt","typ":"JWT"}`, body),
		"typ null":                sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":null}`, body),
		"typ an array":            sign(t, w.key, `{"alg":"ES256","kid":"own-1","typ":["at+jwt"]}`, body),
		"no alg":                  sign(t, w.key, `{"kid":"own-1","typ":"at+jwt"}`, body),
		"alg null":                sign(t, w.key, `{"alg":null,"kid":"own-1","typ":"at+jwt"}`, body),
		"alg of another curve":    sign(t, w.key, `{"alg":"ES384","kid":"own-1","typ":"at+jwt"}`, body),
		"alg es256":               sign(t, w.key, `{"alg":"es256","kid":"own-1","typ":"at+jwt"}`, body),
		"alg ES256K":              sign(t, w.key, `{"alg":"ES256K","kid":"own-1","typ":"at+jwt"}`, body),
		"RS256 for an EC key":     sign(t, rsaKey, `{"alg":"RS256","kid":"own-1","typ":"at+jwt"}`, body),
		"EdDSA for an EC key":     sign(t, ed, `{"alg":"EdDSA","kid":"own-1","typ":"at+jwt"}`, body),
		"header an array":         sign(t, w.key, `["ES256"]`, body),
		"header no JSON":          sign(t, w.key, `alg=ES256`, body),
		"header and more":         sign(t, w.key, goodHeader+"{}", body),
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", ""} {
		head := b64(fmt.Sprintf(`{"alg":%q,"kid":"own-1","typ":"at+jwt"}`, alg))
		cases["alg "+alg+" without signature"] = head + "." + b64(string(body)) + "."
		cases["alg "+alg+" with one"] = head + "." + b64(string(body)) + "." + strings.Split(w.access(nil), ".")[2]
	}
	for name, secret := range map[string][]byte{"the JWK set": keySet(t, w.key, "own-1"), "the point": point(t, w.key), "nothing": nil} {
		signed := b64(`{"alg":"HS256","kid":"own-1","typ":"at+jwt"}`) + "." + b64(string(body))
		mac := hmac.New(crypto.SHA256.New, secret)
		mac.Write([]byte(signed))
		cases["HS256 with "+name] = signed + "." + b64(string(mac.Sum(nil)))
	}
	for name, hostile := range cases {
		t.Run(name, func(t *testing.T) { w.refusedEverywhere(t, hostile, tx.TypeAccessToken) })
	}
	require.Zero(t, fetched.Load(), "a header had a key fetched")

	t.Run("kid of 1 MB", func(t *testing.T) {
		token := sign(t, w.key, header(`,"kid":"`+strings.Repeat("k", 1<<20)+`"`), body)
		for _, present := range w.places(token, tx.TypeAccessToken) {
			present().refused(t, tx.InvalidRequest)
		}
	})
	t.Run("kid absent, several keys", func(t *testing.T) {
		var second struct{ Keys []json.RawMessage }
		require.NoError(t, json.Unmarshal(keySet(t, newKey(t), "own-2"), &second))
		require.NoError(t, json.Unmarshal(w.trusts[0].JWKS, &set))
		w.trusts[0].JWKS, err = json.Marshal(map[string]any{"keys": append(set.Keys[:1:1], second.Keys...)})
		require.NoError(t, err)
		w.configure()
		w.places(w.access(nil), tx.TypeAccessToken)["alone"]().granted(t)
		w.refusedEverywhere(t, sign(t, w.key, header(""), body), tx.TypeAccessToken)
	})
}

func point(t *testing.T, key *ecdsa.PrivateKey) []byte {
	data, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	return data
}
