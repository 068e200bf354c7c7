package jose_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/jose"
)

// requireUnusable asserts that a key is an error in a pinned set, and that no token verifies with
// it in a fetched one.
func requireUnusable(t *testing.T, public map[string]any, tok, name string) {
	t.Helper()
	public["kid"] = "weak"
	good := jwk(p256().Public(), kid("a"))
	_, err := jose.ParseKeys(set(public, good), allAlgorithms)
	require.Error(t, err, name)
	_, r, _ := newRemote(t, publish(set(public, good)))
	require.NoError(t, r.Verify(t.Context(), message("a")), name)
	m, err := jose.Parse(tok)
	require.NoError(t, err, name)
	require.Error(t, r.Verify(t.Context(), m), name)
}

// point is a point of Ed25519, computed by the letter of RFC 8032 §5.1.
type point struct{ x, y *big.Int }

var (
	fieldPrime, _ = new(big.Int).SetString("7fffffffffffffffffffffffffffffff"+
		"ffffffffffffffffffffffffffffffed", 16)
	curveD, _ = new(big.Int).SetString("370957059346694393431380835087545651895"+
		"42113879843219016388785533085940283555", 10)
	groupOrder, _ = new(big.Int).SetString("1000000000000000000000000000000014"+
		"def9dea2f79cd65812631a5cf5d3ed", 16)
)

func product(numbers ...*big.Int) *big.Int {
	p := big.NewInt(1)
	for _, n := range numbers {
		p.Mul(p, n)
		p.Mod(p, fieldPrime)
	}
	return p
}

func quotient(a, b *big.Int) *big.Int { return product(a, new(big.Int).ModInverse(b, fieldPrime)) }

func sum(a, b *big.Int) *big.Int {
	s := new(big.Int).Add(a, b)
	return s.Mod(s, fieldPrime)
}

// decodePoint is RFC 8032 §5.1.3; false for what it does not decode.
func decodePoint(encoded []byte) (p point, ok bool) {
	b := slices.Clone(encoded)
	slices.Reverse(b)
	sign := uint(b[0] >> 7)
	b[0] &= 0x7f
	y := number(b)
	if y.Cmp(fieldPrime) >= 0 {
		return p, false
	}
	yy := product(y, y)
	xx := quotient(sum(yy, big.NewInt(-1)), sum(product(curveD, yy), big.NewInt(1)))
	x := new(big.Int).ModSqrt(xx, fieldPrime)
	if x == nil || x.Sign() == 0 && sign == 1 {
		return p, false
	}
	if x.Bit(0) != sign {
		x.Sub(fieldPrime, x)
	}
	return point{x, y}, true
}

// plus is the addition of RFC 8032 §5.1.4, in affine coordinates.
func (p point) plus(q point) point {
	k := product(curveD, p.x, q.x, p.y, q.y)
	minus := new(big.Int).Neg(k)
	return point{
		quotient(sum(product(p.x, q.y), product(q.x, p.y)), sum(big.NewInt(1), k)),
		quotient(sum(product(p.y, q.y), product(p.x, q.x)), sum(big.NewInt(1), minus)),
	}
}

// isSmall reports whether the order of p divides 8.
func (p point) isSmall() bool {
	for range 3 {
		p = p.plus(p)
	}
	return p.x.Sign() == 0 && p.y.Cmp(big.NewInt(1)) == 0
}

// smallOrder are the published encodings of the points of small order that decoders accept, with
// the sign of x clear. The sign makes seven more.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func encodings() (list []ed25519.PublicKey) {
	for _, text := range smallOrder {
		b := must(hex.DecodeString(text))
		negative := slices.Clone(b)
		negative[31] |= 0x80
		list = append(list, b, negative)
	}
	return list
}

// forgeEd25519 makes a token for a key without its private key, and returns the text and what it
// signs. The signature is a point of small order and the number zero: right for one hash in eight.
func forgeEd25519(public ed25519.PublicKey) (tok, input string, signature []byte) {
	for i := range 1000 {
		payload := fmt.Sprintf(`{"sub":"admin","jti":"%d"}`, i)
		input = seg(`{"alg":"EdDSA","kid":"weak"}`) + "." + seg(payload)
		for _, r := range encodings() {
			signature = append(slices.Clone(r), make([]byte, 32)...)
			if ed25519.Verify(public, []byte(input), signature) {
				return input + "." + b64(signature), input, signature
			}
		}
	}
	panic("no forgery")
}

func TestParseKeys_Ed25519OfSmallOrder(t *testing.T) {
	keys := encodings()
	require.Len(t, keys, 14)
	for _, public := range keys {
		tok, input, signature := forgeEd25519(public)
		require.True(t, ed25519.Verify(public, []byte(input), signature), "a forgery: %x", public)
		requireUnusable(t, jwk(public, nil), tok, hex.EncodeToString(public))
		_, err := jose.NewSigner(fixed{public: public}, "", "")
		assert.Error(t, err, "a key that signs here: %x", public)
	}
}

// TestParseKeys_Ed25519Points compares what is accepted with RFC 8032, by another computation.
func TestParseKeys_Ed25519Points(t *testing.T) {
	candidates := encodings()
	for i := range 64 { // the numbers around zero and around the prime, those beyond it included
		low := big.NewInt(int64(i))
		high := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), low)
		for _, y := range []*big.Int{low, high} {
			b := y.FillBytes(make([]byte, 32))
			slices.Reverse(b)
			b[31] &= 0x7f
			candidates = append(candidates, b)
			negative := slices.Clone(b)
			negative[31] |= 0x80
			candidates = append(candidates, negative)
		}
	}
	for range 200 {
		b := make([]byte, 32)
		rand.Read(b)
		candidates = append(candidates, b)
	}
	counts := map[bool]int{}
	for _, c := range candidates {
		p, ok := decodePoint(c)
		want := ok && !p.isSmall()
		_, err := jose.ParseKeys(set(jwk(c, nil)), []string{"EdDSA"})
		require.Equal(t, want, err == nil, "%x: %v", c, err)
		counts[want]++
	}
	require.Greater(t, counts[true], 100)
	require.Greater(t, counts[false], 100)

	for range 50 { // keys of real holders
		public, _, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		_, err = jose.ParseKeys(set(jwk(public, nil)), []string{"EdDSA"})
		require.NoError(t, err)
	}
}

// TestVerifyEd25519S adds the order of the group to the S of a signature, which leaves the equation
// of RFC 8032 §5.1.7 as it is. A token would have two texts.
func TestVerifyEd25519S(t *testing.T) {
	keys := keysOf(t, set(jwk(ed().Public(), nil)), "EdDSA")
	input := seg(`{"alg":"EdDSA"}`) + "." + seg(`{}`)
	good := ed25519.Sign(ed(), []byte(input))
	require.NoError(t, verify(keys, input+"."+b64(good)))
	s := slices.Clone(good[32:])
	slices.Reverse(s)
	for n, i := number(s), 0; ; i++ {
		n.Add(n, groupOrder)
		if n.BitLen() > 256 {
			require.Greater(t, i, 5)
			break
		}
		other := n.FillBytes(make([]byte, 32))
		slices.Reverse(other)
		require.Error(t, verify(keys, input+"."+b64(append(good[:32:32], other...))))
	}
}

// mersenne is 2ⁿ - 1.
func mersenne(n uint) *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), n)
	return p.Sub(p, big.NewInt(1))
}

func times(numbers ...*big.Int) *big.Int {
	p := big.NewInt(1)
	for _, n := range numbers {
		p.Mul(p, n)
	}
	return p
}

// forgeRSA signs with RS256 for a modulus, by what its size tells about its factors.
func forgeRSA(n, phi *big.Int) (public *rsa.PublicKey, tok, input string, signature []byte) {
	public = &rsa.PublicKey{N: n, E: 65537}
	input = seg(`{"alg":"RS256","kid":"weak"}`) + "." + seg(`{"sub":"admin"}`)
	// The prefix is the DigestInfo of SHA-256 (RFC 8017 §9.2).
	info := must(hex.DecodeString("3031300d060960864801650304020105000420"))
	info = append(info, digest(crypto.SHA256, input)...)
	padding := strings.Repeat("\xff", public.Size()-3-len(info))
	encoded := "\x00\x01" + padding + "\x00" + string(info)
	private := new(big.Int).ModInverse(big.NewInt(65537), phi)
	number := number([]byte(encoded))
	signature = number.Exp(number, private, n).FillBytes(make([]byte, public.Size()))
	return public, input + "." + b64(signature), input, signature
}

func TestParseKeys_FactoredRSA(t *testing.T) {
	minus1 := func(p *big.Int) *big.Int { return new(big.Int).Sub(p, big.NewInt(1)) }
	p, q := mersenne(2203), mersenne(1279) // primes
	for name, c := range map[string]struct{ n, phi *big.Int }{
		"a prime":          {p, minus1(p)},
		"a square":         {times(q, q), times(q, minus1(q))},
		"a cube":           {times(q, q, q), times(q, q, minus1(q))},
		"three times":      {times(p, big.NewInt(3)), times(minus1(p), big.NewInt(2))},
		"751 times":        {times(p, big.NewInt(751)), times(minus1(p), big.NewInt(750))},
		"31 squared times": {times(p, big.NewInt(961)), times(minus1(p), big.NewInt(930))},
	} {
		public, tok, input, signature := forgeRSA(c.n, c.phi)
		hashed := digest(crypto.SHA256, input)
		require.NoError(t, rsa.VerifyPKCS1v15(public, crypto.SHA256, hashed, signature),
			"a real forgery: %s", name)
		requireUnusable(t, jwk(public, nil), tok, name)
	}
	// The factors of these are as far from a guess as those of any other key.
	for range 3 {
		k := must(rsa.GenerateKey(rand.Reader, 2048))
		_, err := jose.ParseKeys(set(jwk(k.Public(), nil)), []string{"RS256"})
		require.NoError(t, err)
	}
}

// predictable is a prime of 1024 bits as the library of CVE-2017-15361 makes them: it is
// k·M + 65537ᵃ mod M, with M the product of the first 126 primes.
func predictable() *big.Int {
	m := big.NewInt(1)
	for n := int64(2); n <= 701; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(0) {
			m.Mul(m, p)
		}
	}
	for {
		a := must(rand.Int(rand.Reader, m))
		k := new(big.Int).Lsh(big.NewInt(3), uint(1022-m.BitLen()))
		k.Add(k, must(rand.Int(rand.Reader, k)))
		p := k.Add(k.Mul(k, m), a.Exp(big.NewInt(65537), a, m))
		if p.BitLen() == 1024 && p.Bit(1022) == 1 && p.ProbablyPrime(0) {
			return p
		}
	}
}

func TestParseKeys_PredictableRSA(t *testing.T) {
	p := predictable()
	public := &rsa.PublicKey{N: times(p, predictable()), E: 65537}
	_, err := jose.ParseKeys(set(jwk(public, nil)), []string{"RS256"})
	require.Error(t, err)
	public.N = times(p, must(rand.Prime(rand.Reader, 1024)))
	_, err = jose.ParseKeys(set(jwk(public, nil)), []string{"RS256"})
	require.NoError(t, err, "only one of its primes is predictable")
}

// TestParseKeysMany: reading a key costs time, so a set has a largest number of them.
func TestParseKeysMany(t *testing.T) {
	keys := func(n int) []byte {
		list := make([]map[string]any, n)
		for i := range list {
			list[i] = jwk(p256().Public(), kid(fmt.Sprint("k", i)))
		}
		list[0]["kid"] = "a"
		return set(list...)
	}
	_, err := jose.ParseKeys(keys(100), []string{"ES256"})
	require.NoError(t, err)
	_, err = jose.ParseKeys(keys(101), []string{"ES256"})
	require.ErrorContains(t, err, "101")
	_, r, _ := newRemote(t, publish(keys(100)))
	require.NoError(t, r.Verify(t.Context(), message("a")))
	_, r, _ = newRemote(t, publish(keys(101)))
	requireUnavailable(t, r.Verify(t.Context(), message("a")))
}
