package main

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// A request of 1 MiB is refused in at most five times the CPU time of reading it. That is the time
// of server, client and kernel, over real connections. A form that is as long as the library accepts
// is parsed before it is refused, and a forged token in it is verified. The goal is the same with an
// honest exchange in addition, and the test allows twice that: such a form takes some five times as
// long as reading, which is short.
func TestHostileForms(t *testing.T) {
	for _, h := range hostileForms() {
		t.Run(h.name, func(t *testing.T) {
			h.costs(t, func(reading, honest float64) float64 {
				if len(h.form) >= mebibyte {
					return 5 * reading
				}
				return 2 * (honest + 5*reading)
			})
		})
	}
}

// The same holds for a small form with a hostile token. A token that the server itself has signed is
// read in full before it is refused. It may cost 20 honest exchanges: only a cost that grows faster
// than its length is more.
func TestHostileTokens(t *testing.T) {
	for _, h := range hostileTokens() {
		t.Run(h.name, func(t *testing.T) {
			h.costs(t, func(reading, honest float64) float64 {
				if strings.Contains(h.name, "signed by the server") {
					return 20 * honest
				}
				return 2 * (honest + 5*reading)
			})
		})
	}
}

// costs compares the refusal with reading the request and with an honest exchange.
func (h hostile) costs(t *testing.T, most func(reading, honest float64) float64) {
	server := signedExchange("ES256", keys["ES256"], false)
	honest, closeHonest := overLoopback(server, http.StatusOK)
	defer closeHonest()
	read, closeRead := overLoopback(h.post(reading), http.StatusBadRequest)
	defer closeRead()
	refuse, closeRefuse := overLoopback(h.post(server.handler), h.status)
	defer closeRefuse()
	works := []work{honest, read, refuse}
	c := curveOf(h.name, []int{0, 1, 2}, func(i int) work { return works[i] })
	c.clock, c.effort = processTime, effort{rounds: 5, slice: 4 * time.Millisecond}
	c.is(t, func(c *curve) error {
		allowed := most(c.times[1], c.times[0])
		if c.times[2] <= allowed {
			return nil
		}
		return fmt.Errorf("a refusal takes %.0f µs, %.0f are allowed; an honest exchange takes "+
			"%.0f and reading the body %.0f", c.times[2]/1e3, allowed/1e3, c.times[0]/1e3,
			c.times[1]/1e3)
	})
}

// Ten thousand hostile requests through 16 connections need little memory, and leave none in use.
func TestMemoryUnderAttack(t *testing.T) {
	const requests, most, left = 10_000, 64, 4 // MiB
	forms := hostileForms()
	for i := range forms {
		// Only this form stays in memory: with a larger heap the garbage collector waits longer.
		peak, after := flood(hostileForms()[i], requests/len(forms))
		if peak > most || after > left {
			t.Errorf("%s: %.0f MiB over idle, at most %d; %.0f MiB afterwards, at most %d",
				forms[i].name, peak, most, after, left)
		}
	}
}

// flood sends a request again and again through 16 connections. It returns how many MiB the process
// takes at most over what it had before, and how many when all is over.
func flood(h hostile, requests int) (peak, after float64) {
	server, raw := h.post(signedExchange("ES256", keys["ES256"], false).handler).serve()
	list := connect(server, raw, 16)
	send := throughAll(list, h.status)
	idle := settled()
	done, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				peak = max(peak, inUse())
			}
		}
	}()
	send(requests)
	close(done)
	<-stopped
	for _, c := range list {
		c.close()
	}
	server.Close() // which waits for connections that the server is closing
	return peak - idle, settled() - idle
}

// settled is inUse after garbage collection.
func settled() float64 {
	runtime.GC()
	debug.FreeOSMemory()
	return inUse()
}

// inUse returns how many MiB the process has from the system and has not given back.
func inUse() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64()-s[1].Value.Uint64()) / mebibyte
}
