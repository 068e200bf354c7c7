package main

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	tx "github.com/go-tokenexchange/tokenexchange"
)

const mebibyte = 1 << 20

// What one form may hold, as the library limits it.
const (
	mostBytes      = 256 << 10
	mostParameters = 1000
)

// hostile is a request that costs its sender nothing to make, and is to be refused.
type hostile struct {
	name, form string
	client     string // who asks; empty: the client of this run
	status     int
}

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

// post is the request to a handler.
func (h hostile) post(handler http.Handler) post {
	p := newPost(handler, "/token", h.form)
	if h.client != "" {
		p.request.SetBasicAuth(h.client, secret)
	}
	return p
}

// reading is what a server cannot but do with a body: it takes it from the connection, up to the limit, and answers.
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

// refusal is what refusing one takes, beside reading its body: all processor time, client and kernel included.
func (e effort) refusal(h hostile) []round {
	read, closeRead := overLoopback(h.post(reading), http.StatusBadRequest)
	defer closeRead()
	refuse, closeRefuse := overLoopback(h.post(signedExchange("ES256", keys["ES256"], false).handler), h.status)
	defer closeRefuse()
	return e.paired(always("reading", read), always(h.name, refuse))[0]
}

// inUse is how much memory the process has from the system, and has not given back.
func inUse() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

// flood sends so many requests of every form, through 16 connections, and returns how much memory the process takes at
// most, over what it had before. The forms come one after the other, and no other is there meanwhile: what the clients hold
// is in the same heap, and would let the garbage collector wait longer.
func flood(requests int) (most float64) {
	forms := len(hostileForms())
	for i := range forms {
		most = max(most, floodWith(hostileForms()[i], requests/forms))
	}
	return most
}

func floodWith(h hostile, requests int) float64 {
	server, raw := h.post(signedExchange("ES256", keys["ES256"], false).handler).serve()
	defer server.Close()
	list := connect(server, raw, 16)
	send := throughAll(list, h.status)
	for _, c := range list {
		defer c.close()
	}
	runtime.GC()
	debug.FreeOSMemory()
	idle, most := inUse(), 0.0
	done, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				most = max(most, inUse())
			}
		}
	}()
	send(requests)
	close(done)
	<-stopped
	return most - idle
}

func measureHostile(e effort) table {
	requests := 10_000
	if e.few {
		requests = 200
	}
	e.rounds = max(3, e.rounds/4)
	t := table{title: "refusing a hostile request ÷ reading its body, over loopback HTTP", columns: []string{"measured"}}
	forms := hostileForms()
	for _, h := range forms {
		t.rows = append(t.rows, one(h.name, over(e.refusal(h), ratio(inProcess)), "%.3f", atMost(5)))
	}
	most := flood(requests)
	t.rows = append(t.rows, one(fmt.Sprintf("memory over idle, %d of them through 16 connections", requests), exactly(most/mebibyte), "%.0f MiB", atMost(64)))
	return t
}
