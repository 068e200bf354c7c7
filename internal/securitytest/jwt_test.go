package securitytest

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
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	tx "github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/internal/world"
)

// TestR08_GoodTokensInEveryPlace shows that the places of refusedEverywhere accept good tokens, and
// with them what the hostile ones must not be refused for.
func TestR08_GoodTokensInEveryPlace(t *testing.T) {
	w := world.New(t)
	const usual, noTyp = world.AccessHeader, `{"alg":"ES256","kid":"own-1"}`
	for name, c := range map[string]struct {
		header string
		change claims
	}{
		"plain": {usual, nil},
		"D26 fractional dates": {usual, claims{
			"exp": json.Number("1800003600.9"), "iat": json.Number("1799999999.5"),
			"nbf": json.Number("1799999999.5"),
		}},
		"D26 exponent":              {usual, claims{"exp": json.Number("1.8000036e9")}},
		"no nbf":                    {usual, claims{"nbf": nil}},
		"x5t":                       {with(usual, `"x5t":"AAAA","x5t#S256":"AAAA"`), nil},
		"x5c":                       {with(usual, `"x5c":["MIIB"]`), nil},
		"unknown header member":     {with(usual, `"foo":{"bar":[1]}`), nil},
		"R07 typ in other case":     {with(noTyp, `"typ":"AT+JWT"`), nil},
		"R07 typ with application/": {with(noTyp, `"typ":"application/at+jwt"`), nil},
		"R07 Application/AT+jwt":    {with(noTyp, `"typ":"Application/AT+jwt"`), nil},
		"no kid, one key":           {`{"alg":"ES256","typ":"at+jwt"}`, nil},
		"aud array with others": {usual, claims{
			"aud": []string{"https://elsewhere.example", world.API},
		}},
		"unknown claims": {usual, claims{"x": claims{"y": []any{1, nil, true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			payload := w.AccessClaims(claims{"sub": "carol"}, c.change)
			token := world.Sign(t, w.Key, c.header, payload)
			for place, present := range places(w, token, tx.TypeAccessToken) {
				present().Granted(t)
				require.NoError(t, w.LastEvent().Err, place)
			}
		})
	}
	t.Run("own ID tokens", func(t *testing.T) {
		carol := claims{"sub": "carol"}
		for name, token := range map[string]string{
			"no typ": signTyped(w, "", w.IDClaims(carol)),
			"JWT":    w.ID(carol),
			"jwt":    signTyped(w, "application/jwt", w.IDClaims(carol)),
			"array":  w.ID(carol, claims{"aud": []string{"elsewhere", "shop"}}),
		} {
			places := places(w, token, tx.TypeIDToken)
			places["as subject"]().Granted(t)
			places["as actor"]().Granted(t)
			require.NoError(t, w.LastEvent().Err, name)
		}
	})
	t.Run("foreign aud array with others", func(t *testing.T) {
		for typ, change := range map[string]claims{
			"at+jwt": {"scope": "ext.read"},
			"JWT":    {"nonce": "n"},
		} {
			token := world.Sign(t, w.IDPKey, `{"alg":"ES256","kid":"idp-1","typ":"`+typ+`"}`,
				world.Payload(claims{
					"iss": world.IDP, "sub": "ext-alice",
					"aud": []string{"https://elsewhere.example", world.Own},
					"iat": world.Now.Unix(), "exp": world.Now.Unix() + 60,
				}, change))
			places(w, token, tx.TypeJWT)["as subject"]().Granted(t)
		}
	})
	t.Run("64 KiB exactly", func(t *testing.T) {
		token := long(w, 64<<10)
		require.Len(t, []byte(token), 64<<10)
		places(w, token, tx.TypeAccessToken)["alone"]().Granted(t)
	})
}

// with adds members to a header.
func with(header, members string) string {
	return strings.TrimSuffix(header, "}") + "," + members + "}"
}

// TestR08_HostileEncodings presents a good token whose text or signature was changed, and other
// objects than a JWS.
func TestR08_HostileEncodings(t *testing.T) {
	w := world.New(t)
	token := w.Access()
	for !strings.Contains(token, "-") || !strings.Contains(token, "_") {
		token = w.Access()
	}
	part := strings.Split(token, ".")
	raw := func(i int) []byte {
		data, err := base64.RawURLEncoding.DecodeString(part[i])
		require.NoError(t, err)
		return data
	}
	replaced := func(i int, text string) string {
		parts := slices.Clone(part)
		parts[i] = text
		return strings.Join(parts, ".")
	}
	flipped := func(i, at int) string {
		data := raw(i)
		data[at] ^= 1
		return replaced(i, world.Base64(string(data)))
	}
	signature := func(parts ...[]byte) string {
		return replaced(2, world.Base64(string(slices.Concat(parts...))))
	}
	r, s, order := raw(2)[:32], raw(2)[32:], w.Key.Params().N
	zero := make([]byte, 32)
	sPlusOrder := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 33))[1:]
	digest := sha256.Sum256([]byte(part[0] + "." + part[1]))
	der, err := ecdsa.SignASN1(rand.Reader, w.Key, digest[:])
	require.NoError(t, err)
	last := len(part[2]) - 1
	jwe := func(header, key, text string) string {
		return strings.Join([]string{
			world.Base64(header), world.Base64(key), world.Base64("0123456789ab"),
			world.Base64(text), world.Base64("0123456789abcdef"),
		}, ".")
	}
	signed := func(members string, payload []byte) string {
		return world.Sign(t, w.Key, with(world.AccessHeader, members), payload)
	}
	cases := map[string]string{
		"trailing newline":       token + "\n",
		"trailing space":         token + " ",
		"leading space":          " " + token,
		"a tab inside":           part[0] + ".\t" + part[1] + "." + part[2],
		"newline inside":         replaced(1, part[1][:8]+"\n"+part[1][8:]),
		"carriage return":        replaced(1, part[1][:8]+"\r"+part[1][8:]),
		"an invisible character": token + "\u200b",
		"a NUL":                  token + "\x00",
		"invalid UTF-8":          token + "\xff",

		"trailing dot":   token + ".",
		"trailing bytes": token + "AA",
		"leading dot":    "." + token,
		"no dots":        strings.Join(part, ""),
		"two segments":   part[0] + "." + part[1],
		"no signature":   part[0] + "." + part[1] + ".",
		"four segments":  token + "." + part[2],
		"five segments":  token + "." + part[1] + "." + part[2],
		"only dots":      "..",
		"no header":      "." + part[1] + "." + part[2],
		"no payload":     part[0] + ".." + part[2],

		"padded header": replaced(0, base64.URLEncoding.EncodeToString(
			[]byte(`{"alg":"ES256","kid":"own-1","typ":"at+jwt" }`))),
		"padded signature":  token + "==",
		"standard alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(token),
		"trailing bits set": replaced(2, part[2][:last]+next(part[2][last])),

		"flipped header bit":   flipped(0, 3),
		"flipped payload bit":  flipped(1, 20),
		"flipped payload end":  flipped(1, len(raw(1))-3),
		"flipped r":            flipped(2, 0),
		"flipped s":            flipped(2, 63),
		"DER":                  signature(der),
		"63 bytes":             signature(raw(2)[:63]),
		"65 bytes":             signature(raw(2), []byte{0}),
		"96 bytes":             signature(raw(2), r),
		"empty":                signature(),
		"zero r and s":         signature(zero, zero),
		"zero r":               signature(zero, s),
		"zero s":               signature(r, zero),
		"r and s of the order": signature(order.Bytes(), order.Bytes()),
		"s plus the order":     signature(r, sPlusOrder),
		"r and s swapped":      signature(s, r),
		"another's signature":  replaced(2, strings.Split(w.Access(), ".")[2]),
		"another's header":     replaced(0, strings.Split(w.ID(), ".")[0]),

		"64 KiB and one": long(w, 64<<10+1),
		"JSON serialization": fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`,
			part[0], part[1], part[2]),
		"a JWE": jwe(`{"alg":"dir","enc":"A128GCM"}`, "", "secret"),
		"a nested JWE": jwe(`{"alg":"ECDH-ES","enc":"A128GCM","cty":"JWT","epk":{}}`,
			"k", token),
		"a JWE header, signed": signed(`"enc":"A128GCM"`, w.AccessClaims()),
		"a JWT in a JWS":       signed(`"cty":"JWT"`, []byte(token)),
		"zip":                  signed(`"zip":"DEF"`, w.AccessClaims()),
		"b64 false":            signed(`"b64":false`, w.AccessClaims()),
	}
	for name, hostile := range cases {
		t.Run(name, func(t *testing.T) { refusedEverywhere(t, w, hostile, tx.TypeAccessToken) })
	}
}

// next returns the base64 digit after c. As the last digit of a text, the two differ only in bits
// that a decoder ignores.
func next(c byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(digits[(strings.IndexByte(digits, c)+1)%len(digits)])
}

// TestR08_HostileHeaders presents headers that name a key of the attacker, an algorithm that is not
// allowed, or a critical extension. No key may be fetched from where a header points.
func TestR08_HostileHeaders(t *testing.T) {
	w := world.New(t)
	var fetched atomic.Int32
	attacker := world.NewKey(t)
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = rw.Write(world.KeySet(t, attacker, "evil"))
	}))
	defer evil.Close()
	var set struct{ Keys []json.RawMessage }
	require.NoError(t, json.Unmarshal(world.KeySet(t, attacker, "own-1"), &set))
	jwk := `"jwk":` + string(set.Keys[0])
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	body := w.AccessClaims()
	const noKid, usual = `{"alg":"ES256","typ":"at+jwt"}`, world.AccessHeader

	cases := map[string]string{}
	for name, c := range map[string]struct {
		key    crypto.Signer
		header string
	}{
		"attacker's key, our kid": {attacker, usual},
		"jwk of the attacker":     {attacker, with(usual, jwk)},
		"jwk, no kid":             {attacker, with(noKid, jwk)},
		"jwk, good signature":     {w.Key, with(usual, jwk)},
		"jku":                     {attacker, with(noKid, `"kid":"evil","jku":"`+evil.URL+`"`)},
		"x5u":                     {attacker, with(noKid, `"kid":"evil","x5u":"`+evil.URL+`"`)},
		"x5c of the attacker":     {attacker, with(noKid, `"x5c":["MIIB"]`)},

		"kid unknown":           {w.Key, with(noKid, `"kid":"own-2"`)},
		"kid of another issuer": {w.IDPKey, with(noKid, `"kid":"idp-1"`)},
		"kid empty":             {w.Key, with(noKid, `"kid":""`)},
		"kid a path":            {attacker, with(noKid, `"kid":"../../../../dev/null"`)},
		"kid SQL":               {attacker, with(noKid, `"kid":"x' UNION SELECT 'key'; --"`)},
		"kid a number":          {w.Key, with(noKid, `"kid":1`)},
		"kid null":              {w.Key, with(noKid, `"kid":null`)},
		"kid 60 KB":             {w.Key, with(noKid, `"kid":"`+strings.Repeat("k", 40<<10)+`"`)},

		"crit empty": {w.Key, with(usual, `"crit":[]`)},
		"crit exp":   {w.Key, with(usual, `"crit":["exp"],"exp":1`)},
		"crit b64":   {w.Key, with(usual, `"crit":["b64"],"b64":true`)},
		"crit null":  {w.Key, with(usual, `"crit":null`)},

		"alg twice":    {w.Key, `{"alg":"none","alg":"ES256","kid":"own-1","typ":"at+jwt"}`},
		"typ twice":    {w.Key, `{"alg":"ES256","kid":"own-1","typ":"at+jwt","typ":"JWT"}`},
		"typ null":     {w.Key, `{"alg":"ES256","kid":"own-1","typ":null}`},
		"typ an array": {w.Key, `{"alg":"ES256","kid":"own-1","typ":["at+jwt"]}`},

		"no alg":               {w.Key, `{"kid":"own-1","typ":"at+jwt"}`},
		"alg null":             {w.Key, `{"alg":null,"kid":"own-1","typ":"at+jwt"}`},
		"alg of another curve": {w.Key, `{"alg":"ES384","kid":"own-1","typ":"at+jwt"}`},
		"alg es256":            {w.Key, `{"alg":"es256","kid":"own-1","typ":"at+jwt"}`},
		"alg ES256K":           {w.Key, `{"alg":"ES256K","kid":"own-1","typ":"at+jwt"}`},
		"RS256 for an EC key":  {rsaKey, `{"alg":"RS256","kid":"own-1","typ":"at+jwt"}`},
		"EdDSA for an EC key":  {ed, `{"alg":"EdDSA","kid":"own-1","typ":"at+jwt"}`},
		"header an array":      {w.Key, `["ES256"]`},
		"header no JSON":       {w.Key, `alg=ES256`},
		"header and more":      {w.Key, usual + "{}"},
	} {
		cases[name] = world.Sign(t, c.key, c.header, body)
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", ""} {
		unsigned := world.Base64(fmt.Sprintf(`{"alg":%q,"kid":"own-1","typ":"at+jwt"}`, alg)) +
			"." + world.Base64(string(body)) + "."
		cases["alg "+alg+" without signature"] = unsigned
		cases["alg "+alg+" with one"] = unsigned + strings.Split(w.Access(), ".")[2]
	}
	point, err := w.Key.PublicKey.Bytes()
	require.NoError(t, err)
	for name, secret := range map[string][]byte{
		"the JWK set": world.KeySet(t, w.Key, "own-1"), "the point": point, "nothing": nil,
	} {
		signed := world.Base64(`{"alg":"HS256","kid":"own-1","typ":"at+jwt"}`) + "." +
			world.Base64(string(body))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		cases["HS256 with "+name] = signed + "." + world.Base64(string(mac.Sum(nil)))
	}
	for name, hostile := range cases {
		t.Run(name, func(t *testing.T) { refusedEverywhere(t, w, hostile, tx.TypeAccessToken) })
	}
	require.Zero(t, fetched.Load(), "a key was fetched from where a header points")

	t.Run("kid of 1 MB", func(t *testing.T) {
		header := with(noKid, `"kid":"`+strings.Repeat("k", 1<<20)+`"`)
		token := world.Sign(t, w.Key, header, body)
		for _, present := range places(w, token, tx.TypeAccessToken) {
			present().Refused(t, tx.InvalidRequest)
		}
	})
	t.Run("kid absent, several keys", func(t *testing.T) {
		var second struct{ Keys []json.RawMessage }
		require.NoError(t, json.Unmarshal(world.KeySet(t, world.NewKey(t), "own-2"), &second))
		require.NoError(t, json.Unmarshal(w.Trusts[0].JWKS, &set))
		keys := append(set.Keys[:1:1], second.Keys...)
		w.Trusts[0].JWKS, err = json.Marshal(map[string]any{"keys": keys})
		require.NoError(t, err)
		w.Configure()
		places(w, w.Access(), tx.TypeAccessToken)["alone"]().Granted(t)
		refusedEverywhere(t, w, world.Sign(t, w.Key, noKid, body), tx.TypeAccessToken)
	})
}
