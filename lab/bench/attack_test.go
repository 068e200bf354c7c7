package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	tx "github.com/go-tokenexchange/tokenexchange"
)

// noise is how many times what it may a refusal may take before the test fails: twice, as everywhere in these tests, so that
// only a change of the work can fail it.
const noise = 2

// above is the same for those that are dearer than they may be, and known to be. It only ever gets shorter.
var above = map[string]float64{
	"64 KiB of scope, signed by the server":                 6,
	"64 KiB of audiences, signed by the server and expired": 3,
}

// A refusal costs at most one honest exchange and twice the reading of its body: all processor time, of server, client and
// kernel, over real connections. So nobody gets more work out of the server than by asking for what is theirs.
func TestCostOfRefusal(t *testing.T) {
	server := signedExchange("ES256", keys["ES256"], false)
	honest, closeHonest := overLoopback(server, http.StatusOK)
	defer closeHonest()
	for _, h := range append(hostileForms(), hostileTokens()...) {
		t.Run(h.name, func(t *testing.T) {
			read, closeRead := overLoopback(h.post(reading), http.StatusBadRequest)
			defer closeRead()
			refuse, closeRefuse := overLoopback(h.post(server.handler), h.status)
			defer closeRefuse()
			works := []work{honest, read, refuse}
			c := curveOf(h.name, []int{0, 1, 2}, func(i int) work { return works[i] })
			c.view, c.effort = inProcess, effort{rounds: 5, slice: 4 * time.Millisecond}
			c.is(t, func(c *curve) error {
				most := c.times[0] + 2*c.times[1]
				if c.times[2] <= most*max(noise, above[h.name]) {
					return nil
				}
				return fmt.Errorf("a refusal takes %.0f µs; an honest exchange takes %.0f, reading the body %.0f, so it may take %.0f: %.1f times that",
					c.times[2]/1e3, c.times[0]/1e3, c.times[1]/1e3, most/1e3, c.times[2]/most)
			})
		})
	}
}

// Hostile requests need little memory, however many come: 16 at a time, and what garbage collection leaves for later.
func TestMemoryUnderAttack(t *testing.T) {
	const most = 64 // MiB
	if took := flood(16*len(hostileForms())) / mebibyte; took > most {
		t.Errorf("%.0f MiB over idle; at most %d", took, most)
	}
}

// hostileTokens are of 64 KiB, or deep, or wrong.
func hostileTokens() []hostile {
	now := time.Now().Unix()
	claims := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"sub":"alice","aud":%q,"exp":%d,"iat":%d,"jti":"1","client_id":%q%s}`, issuer, ordersAPI, now+600, now, clientID, more)
	}
	big := func(open, unit, close string) string {
		const most = 48_600 // which base64 makes 64 KiB of, with header and signature
		return claims(open + strings.Repeat(unit, (most-len(claims(open+close)))/len(unit)) + close)
	}
	var members strings.Builder
	for i := 0; members.Len() < 48_000; i++ {
		fmt.Fprintf(&members, `,"%x":%d`, i, i)
	}
	deep := claims(`,"act":` + strings.Repeat(`{"sub":"a","act":`, 999) + `{"sub":"a"}` + strings.Repeat("}", 999))
	own, other := signature(keys["ES256"]), signature(newECDSA())
	forms := []struct{ name, token string }{
		{"a wrong signature", other(claims(""))},
		{"no JWT at all, 64 KiB", strings.Repeat("x", 64<<10)},
		{"one byte more than 64 KiB", strings.Repeat("x", 64<<10+1)},
		{"nothing but dots, 64 KiB", strings.Repeat(".", 64<<10)},
		{"64 KiB, a wrong signature", other(big(`,"x":"`, "x", `"`))},
		{"64 KiB of members, a wrong signature", other(claims(members.String()))},
		{"64 KiB of one name, a wrong signature", other(big("", `,"x":1`, ""))},
		{"64 KiB of audiences, a wrong signature", other(big(`,"aud2":["x"`, `,"x"`, "]"))},
		{"64 KiB of brackets, a wrong signature", other(big(`,"x":`, "[", ""))},
		{"64 KiB of escapes, a wrong signature", other(big(`,"x":"`, `\u0041`, `"`))},
		{"64 KiB of scope, signed by the server", own(big(`,"scope":"x`, " a", `"`))},
		{"64 KiB of audiences, signed by the server and expired", own(strings.Replace(big(`,"x":["x"`, `,"x"`, "]"), `"exp":`, `"exp":1,"was":`, 1))},
		{"act 1,000 deep, a wrong signature", other(deep)},
		{"act 1,000 deep, signed by the server", own(deep)},
		{"may_act 1,000 deep, signed by the server", own(strings.Replace(deep, `,"act"`, `,"may_act"`, 1))},
	}
	var list []hostile
	for _, f := range forms {
		r := tx.Request{SubjectToken: f.token, SubjectTokenType: tx.TypeAccessToken, Audience: []string{ordersAPI}}
		list = append(list, hostile{name: f.name, form: r.Values().Encode(), status: http.StatusBadRequest})
	}
	return append(list, hostile{name: "an unknown client, a small form", form: list[0].form, client: "nobody", status: http.StatusUnauthorized})
}

// signature signs access tokens as the server does, whatever is in them.
func signature(key any) func(claims string) string {
	options := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "k1")
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options))
	return func(claims string) string { return must(must(signer.Sign([]byte(claims))).CompactSerialize()) }
}
