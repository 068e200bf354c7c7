package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const mebibyte = 1 << 20

// hostile is a request that costs its sender nothing to make. A server must refuse it.
type hostile struct {
	name, form string
	client     string // empty: the client of this run
	status     int
}

// What one form may hold, as the library limits it.
const (
	mostBytes      = 256 << 10
	mostParameters = 1000
)

// hostileForms are as long as a form may be, or longer. All are refused, whatever is in them.
func hostileForms() []hostile {
	honest := signedExchange("ES256", keys["ES256"], false).form
	forged := strings.Replace(honest, "subject_token=ey", "subject_token=eY", 1)
	bad := func(name, form string) hostile {
		return hostile{name: name, form: form, status: http.StatusBadRequest}
	}
	fill := func(form, unit string) string {
		return form + strings.Repeat(unit, (mostBytes-len(form))/len(unit))
	}
	// many appends parameters of the format until the form has most of them.
	many := func(most int, form, format string) string {
		var b strings.Builder
		b.WriteString(form)
		for i := strings.Count(form, "&") + 1; i < most; i++ {
			fmt.Fprintf(&b, "&"+format, i)
		}
		return b.String()
	}
	token := "grant_type=" + strings.ReplaceAll(tx.GrantType, ":", "%3A") +
		"&subject_token_type=x&subject_token="
	return []hostile{
		bad("1,000 audiences, the last percent-encoded",
			fill(many(mostParameters, honest, "audience=https%%3A%%2F%%2F%05d.example"), "%78")),
		bad("one long audience", fill(honest+"&audience=", "x")),
		bad("one long audience, percent-encoded", fill(honest+"&audience=", "%78")),
		bad("one long scope", fill(honest+"&scope=", "a+")),
		bad("one long subject_token", fill(token, "x")),
		bad("1,000 long names, and a forged token",
			many(mostParameters, forged, strings.Repeat("n", 240)+"-%05d=")),
		bad("1,000 names, the last percent-encoded, and a forged token",
			fill(many(mostParameters, forged, "%x="), "%78")),
		bad("one parameter too many", many(mostParameters+1, forged, "%x=")),
		bad("9,999 names, net/url's own limit", many(9_999, forged, "%x=")),
		bad("as many names as fit", many(mostBytes/8, forged, "%x=")),
		bad("nothing but separators", fill("", "&")),
		bad("nothing but empty parameters", fill("", "=&")),
		bad("one value, percent-encoded, and a forged token", fill(forged+"&x=", "%41")),
		bad("one value of spaces, and a forged token", fill(forged+"&x=", "+")),
		bad("one escape in a long value, and a forged token", fill(forged+"&x=%41", "y")),
		bad("a malformed escape at the end", fill(honest+"&x=", "y")[:mostBytes-1]+"%"),
		bad("one byte too many", fill(honest+"&x=", "y")+"y"),
		bad("1 MiB", honest+"&x="+strings.Repeat("y", mebibyte-len(honest)-len("&x="))),
		{"an unknown client", fill(honest+"&audience=", "x"), "nobody", http.StatusUnauthorized},
	}
}

// hostileTokens are small requests with tokens that are long, deep or forged.
func hostileTokens() []hostile {
	now := time.Now().Unix()
	claims := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"sub":"alice","aud":%q,"exp":%d,"iat":%d,"jti":"1",`+
			`"client_id":%q%s}`, issuer, ordersAPI, now+600, now, clientID, more)
	}
	big := func(open, unit, close string) string {
		const most = 48_600 // with header and signature, 64 KiB in base64
		room := most - len(claims(open+close))
		return claims(open + strings.Repeat(unit, room/len(unit)) + close)
	}
	var members strings.Builder
	for i := 0; members.Len() < 48_000; i++ {
		fmt.Fprintf(&members, `,"%x":%d`, i, i)
	}
	deep := claims(`,"act":` + strings.Repeat(`{"sub":"a","act":`, 999) + `{"sub":"a"}` +
		strings.Repeat("}", 999))
	expired := strings.Replace(big(`,"x":["x"`, `,"x"`, "]"), `"exp":`, `"exp":1,"was":`, 1)
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
		{"64 KiB of audiences, signed by the server and expired", own(expired)},
		{"act 1,000 deep, a wrong signature", other(deep)},
		{"act 1,000 deep, signed by the server", own(deep)},
		{"may_act 1,000 deep, signed by the server",
			own(strings.Replace(deep, `,"act"`, `,"may_act"`, 1))},
	}
	var list []hostile
	for _, f := range forms {
		r := tx.Request{SubjectToken: f.token, SubjectTokenType: tx.TypeAccessToken,
			Audience: []string{ordersAPI}}
		list = append(list, hostile{name: f.name, form: r.Values().Encode(),
			status: http.StatusBadRequest})
	}
	return append(list, hostile{"an unknown client, a small form", list[0].form, "nobody",
		http.StatusUnauthorized})
}

// signature signs claims as an access token of the server, without looking at them.
func signature(key any) func(claims string) string {
	options := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "k1")
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options))
	return func(claims string) string {
		return must(must(signer.Sign([]byte(claims))).CompactSerialize())
	}
}

// post is the request to a handler.
func (h hostile) post(handler http.Handler) post {
	p := newPost(handler, "/token", h.form)
	if h.client != "" {
		p.request.SetBasicAuth(h.client, secret)
	}
	return p
}

// reading is what every server must do with a body: take it from the connection, up to a limit, and
// answer.
var reading = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes))
	w.WriteHeader(http.StatusBadRequest)
})

// overLoopback sends a request through one connection.
func overLoopback(p post, status int) (w work, close func()) {
	server, raw := p.serve()
	list := connect(server, raw, 1)
	return throughAll(list, status), func() { list[0].close(); server.Close() }
}
