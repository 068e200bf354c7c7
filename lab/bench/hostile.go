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

// hostile is a request that costs its sender nothing to make, and is to be refused.
type hostile struct {
	name, form string
	client     string // who asks; empty: the client of this run
	status     int
}

// hostileForms are of one MiB, or one byte more. All are refused, whatever is in them.
func hostileForms() []hostile {
	honest := signedExchange("ES256", keys["ES256"], false).form
	forged := strings.Replace(honest, "subject_token=ey", "subject_token=eY", 1)
	bad := func(name, form string) hostile { return hostile{name: name, form: form, status: http.StatusBadRequest} }
	fill := func(form, unit string) string { return form + strings.Repeat(unit, (mebibyte-len(form))/len(unit)) }
	each := func(form, format string) string {
		var b strings.Builder
		b.WriteString(form)
		for i := 0; b.Len() < mebibyte-80; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	stranger := hostile{"an unknown client", fill(honest+"&audience=", "x"), "nobody", http.StatusUnauthorized}
	return []hostile{
		bad("10,000 values of audience", each(honest, "&audience=https%%3A%%2F%%2Fapi.example%%2F%05d"+strings.Repeat("x", 65))),
		bad("one long audience", fill(honest+"&audience=", "x")),
		bad("one long audience, percent-encoded", fill(honest+"&audience=", "%78")),
		bad("one long scope", fill(honest+"&scope=", "a+")),
		bad("one long subject_token", fill("grant_type="+strings.ReplaceAll(tx.GrantType, ":", "%3A")+"&subject_token_type=x&subject_token=", "x")),
		bad("10,000 unknown names, and a forged token", each(forged, "&name-%05d="+strings.Repeat("v", 90))),
		bad("as many unknown names as fit", each(honest, "&%x=")),
		bad("nothing but separators", fill("", "&")),
		bad("nothing but empty parameters", fill("", "=&")),
		bad("one unknown value, percent-encoded, and a forged token", fill(forged+"&x=", "%41")),
		bad("a malformed escape at the end", fill(honest+"&x=", "y")[:mebibyte-1]+"%"),
		bad("one byte too many", fill(honest+"&x=", "y")+"y"),
		stranger,
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
	_, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, mebibyte))
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
	t := table{title: "refusing a hostile request of 1 MiB ÷ reading its body, over loopback HTTP", columns: []string{"measured"}}
	forms := hostileForms()
	for _, h := range forms {
		t.rows = append(t.rows, one(h.name, over(e.refusal(h), ratio(inProcess)), "%.3f", atMost(2)))
	}
	most := flood(requests)
	t.rows = append(t.rows, one(fmt.Sprintf("memory over idle, %d of them through 16 connections", requests), exactly(most/mebibyte), "%.0f MiB", atMost(64)))
	return t
}
