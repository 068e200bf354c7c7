package jose_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

func TestParse(t *testing.T) {
	m, err := jose.Parse(seg(`{"typ":"at+jwt","kid":"k\u0031","alg":"ES256","x5t":"a","x5t#S256":"b","x5c":[],"new":{"crit":1}}`) +
		"." + seg("\x00not JSON\xff") + ".AA")
	require.NoError(t, err)
	assert.Equal(t, "ES256", m.Algorithm)
	assert.Equal(t, "k1", m.KeyID)
	assert.True(t, m.HasKeyID)
	assert.Equal(t, "at+jwt", m.Type)
	assert.True(t, m.HasType)
	assert.Equal(t, "\x00not JSON\xff", string(m.Payload))

	m, err = jose.Parse(seg(`{"alg":"ES256"}`) + ".AA.AA")
	require.NoError(t, err)
	assert.False(t, m.HasKeyID)
	assert.False(t, m.HasType)

	m, err = jose.Parse(seg(`{"alg":"ES256","kid":"","typ":""}`) + ".AA.AA")
	require.NoError(t, err)
	assert.True(t, m.HasKeyID, "an empty kid is a kid")
	assert.True(t, m.HasType)
}

func TestParsePayloadDoesNotGrowIntoSignature(t *testing.T) {
	keys := keysOf(t, set(jwk(p256().Public(), nil)), "ES256")
	m, err := jose.Parse(token("ES256", p256(), `{"alg":"ES256"}`, `{}`))
	require.NoError(t, err)
	_ = append(m.Payload, strings.Repeat("x", 64)...)
	assert.NoError(t, keys.Verify(m))
}

func TestParseLength(t *testing.T) {
	head := seg(`{"alg":"ES256"}`) + "."
	tail := ".AA"
	// The payload is all A's, so that any length but one in four is base64url.
	fill := func(total int) string { return head + strings.Repeat("A", total-len(head)-len(tail)) + tail }
	_, err := jose.Parse(fill(64 << 10))
	assert.NoError(t, err)
	_, err = jose.Parse(fill(64<<10 + 1))
	assert.ErrorContains(t, err, "longer")
	_, err = jose.Parse(seg(`{"alg":"ES256","kid":"`+strings.Repeat("k", 1<<20)+`"}`) + ".AA.AA")
	assert.ErrorContains(t, err, "longer")
}

// TestParseRefuses takes one good token apart in every way. SECRET is in all of them, and must be in no error.
func TestParseRefuses(t *testing.T) {
	const header = `{"alg":"ES256","kid":"SECRET"}`
	good := token("ES256", p256(), header, `{"sub":"SECRET"}`)
	_, err := jose.Parse(good)
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	h, p, s := parts[0], parts[1], parts[2]

	with := func(header string) string { return seg(header) + "." + p + "." + s }
	cases := map[string]string{
		"empty":                    "",
		"one segment":              h,
		"two segments":             h + "." + p,
		"four segments":            good + "." + s,
		"five segments":            good + "." + s + "." + s,
		"JWE":                      seg(`{"alg":"dir","enc":"A256GCM","kid":"SECRET"}`) + "..AAAA.AAAA.AAAA",
		"JWE by its header":        with(`{"alg":"ES256","enc":"A256GCM","kid":"SECRET"}`),
		"only dots":                "..",
		"no header":                "." + p + "." + s,
		"no payload":               h + ".." + s,
		"no signature":             h + "." + p + ".",
		"trailing dot":             good + ".",
		"leading dot":              "." + good,
		"JSON serialization":       `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`,
		"trailing bytes":           good + "!",
		"trailing NUL":             good + "\x00",
		"leading space":            " " + good,
		"trailing space":           good + " ",
		"trailing newline":         good + "\n",
		"leading newline":          "\n" + good,
		"carriage return in it":    h + "." + p[:4] + "\r" + p[4:] + "." + s,
		"newline in header":        h[:4] + "\n" + h[4:] + "." + p + "." + s,
		"newline in payload":       h + "." + p[:4] + "\n" + p[4:] + "." + s,
		"newline in signature":     h + "." + p + "." + s[:4] + "\r\n" + s[4:],
		"newline instead of bytes": h + "." + p + ".\n\n\n\n",
		"tab":                      h + ".\t" + p + "." + s,
		"padded header":            base64.URLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"SECRET12"}`)) + "." + p + "." + s,
		"padded payload":           h + "." + base64.URLEncoding.EncodeToString([]byte(`{"sub":"SECRET!"}`)) + "." + s,
		"padded signature":         good + "==",
		"standard alphabet":        h + "." + base64.RawStdEncoding.EncodeToString([]byte("\xff\xef\xfeSECRET")) + "." + s,
		"one character too many":   h + "." + p + "." + s + "AAA",
		"trailing bits in header":  nonCanonical(with(`{"alg":"ES256","kid":"SECRET1"}`), 0),
		"trailing bits in payload": nonCanonical(h+"."+seg(`{"sub":"SECRET"} `)+"."+s, 1),
		"trailing bits in sig":     nonCanonical(good, 2),

		"header no JSON":         with(`SECRET`),
		"header no object":       with(`["alg","SECRET"]`),
		"header a string":        with(`"SECRET"`),
		"header null":            with(`null`),
		"header empty object":    with(`{}`),
		"header trailing bytes":  with(header + `SECRET`),
		"header twice":           with(header + header),
		"header duplicate alg":   with(`{"alg":"none","alg":"ES256","kid":"SECRET"}`),
		"header duplicate other": with(`{"alg":"ES256","x":"SECRET","x":"SECRET"}`),
		"header nested twice":    with(`{"alg":"ES256","x":{"SECRET":1,"SECRET":2}}`),
		"header escaped twice":   with(`{"alg":"none","\u0061lg":"ES256","kid":"SECRET"}`),
		"header invalid UTF-8":   with("{\"alg\":\"ES256\",\"kid\":\"SECRET\xff\"}"),
		"header lone surrogate":  with(`{"alg":"ES256","kid":"SECRET\ud800"}`),
		"header NUL":             with(`{"alg":"ES256","kid":"SECRET\u0000"}`),
		"header BOM":             with("\ufeff" + header),
		"header deep":            with(`{"alg":"ES256","SECRET":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`),
		"no alg":                 with(`{"kid":"SECRET"}`),
		"alg empty":              with(`{"alg":"","kid":"SECRET"}`),
		"alg number":             with(`{"alg":256,"kid":"SECRET"}`),
		"alg null":               with(`{"alg":null,"kid":"SECRET"}`),
		"alg array":              with(`{"alg":["ES256"],"kid":"SECRET"}`),
		"alg in capitals":        with(`{"ALG":"ES256","kid":"SECRET"}`),
		"kid number":             with(`{"alg":"ES256","kid":1}`),
		"kid null":               with(`{"alg":"ES256","kid":null}`),
		"kid object":             with(`{"alg":"ES256","kid":{"SECRET":1}}`),
		"typ number":             with(`{"alg":"ES256","typ":1,"kid":"SECRET"}`),
		"typ null":               with(`{"alg":"ES256","typ":null,"kid":"SECRET"}`),
		"empty crit":             with(`{"alg":"ES256","crit":[],"kid":"SECRET"}`),
		"crit of a known name":   with(`{"alg":"ES256","crit":["exp"],"exp":1,"kid":"SECRET"}`),
		"b64 false":              with(`{"alg":"ES256","b64":false,"crit":["b64"],"kid":"SECRET"}`),
		"b64 true":               with(`{"alg":"ES256","b64":true,"kid":"SECRET"}`),
		"zip":                    with(`{"alg":"ES256","zip":"DEF","kid":"SECRET"}`),
		"jwk":                    with(`{"alg":"ES256","jwk":` + string(set(jwk(p256b().Public(), nil))) + `}`),
		"jwk null":               with(`{"alg":"ES256","jwk":null}`),
		"jku":                    with(`{"alg":"ES256","jku":"https://SECRET.example/jwks"}`),
		"x5u":                    with(`{"alg":"ES256","x5u":"https://SECRET.example/cert"}`),
		"crit with an escape":    with(`{"alg":"ES256","\u0063rit":["SECRET"]}`),
	}
	for name, tok := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := jose.Parse(tok)
			require.Error(t, err)
			assert.False(t, jose.IsUnavailable(err))
			for _, part := range []string{"SECRET", "ES256", h, p, s} {
				assert.NotContains(t, err.Error(), part)
			}
		})
	}
}

// nonCanonical sets an unused trailing bit of a segment: the same bytes to a lenient decoder, another text.
func nonCanonical(tok string, i int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	parts := strings.Split(tok, ".")
	s := parts[i]
	if len(s)%4 == 0 {
		panic("a segment without unused bits")
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	parts[i] = s[:len(s)-1] + string(alphabet[last|1])
	out := strings.Join(parts, ".")
	if out == tok || string(must(base64.RawURLEncoding.DecodeString(parts[i]))) != string(unb64(s)) {
		panic("not another text for the same bytes")
	}
	return out
}

func FuzzParse(f *testing.F) {
	f.Add(token("ES256", p256(), `{"alg":"ES256","kid":"1","typ":"JWT"}`, `{}`))
	f.Add(seg(`{"alg":"none"}`) + ".AA.")
	f.Add("a.b.c.d.e")
	f.Add("\n.\n.\n")
	keys := must(jose.ParseKeys(set(jwk(ed().Public(), nil)), []string{"EdDSA"}))
	f.Fuzz(func(t *testing.T, tok string) {
		m, err := jose.Parse(tok)
		if err != nil {
			return
		}
		require.NotEmpty(t, m.Algorithm)
		require.Error(t, keys.Verify(m), "nobody has signed this")
		// What was accepted is the only way to write it.
		parts := strings.Split(tok, ".")
		require.Len(t, parts, 3)
		for _, part := range parts {
			require.Equal(t, part, b64(unb64(part)))
		}
		require.Equal(t, parts[1], b64(m.Payload))
	})
}

// TestIsCanonical compares with another way to tell: what is written as it was read has one text.
func TestIsCanonical(t *testing.T) {
	tok := token("ES256", p256(), `{"alg":"ES256"}`, `{"sub":"x"}`)
	texts := strings.Split("||.|a|AA|AB|AAA|AAB|AAAA|AAAAA|A A|AA=|AA==|+_|-_8", "|")
	inserted := strings.Split("|A|B|g|-|_|.|=|\n|\r| |{|\x00|é", "|")
	for i := range len(tok) {
		for _, c := range inserted {
			texts = append(texts, tok[:i]+c+tok[i:], tok[:i]+c+tok[i+1:])
		}
	}
	counts := map[bool]int{}
	for _, text := range texts {
		want := true
		for _, segment := range strings.Split(text, ".") {
			b, err := base64.RawURLEncoding.DecodeString(segment)
			want = want && err == nil && b64(b) == segment
		}
		assert.Equal(t, want, jose.IsCanonical(text), "%q", text)
		counts[want]++
	}
	assert.Greater(t, counts[true], 100)
	assert.Greater(t, counts[false], 100)
}
