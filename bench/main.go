package main

import (
	"flag"
	"fmt"
	"testing"
)

func main() {
	q := flag.Bool("quick", false, "")
	flag.Parse()
	e := full
	if *q {
		e = quick
	}
	post := newPost(bareHTTP, "/token", signedExchange("ES256", keys["ES256"], false).form)
	fmt.Println("http floor", each(post.times, 20000), testing.AllocsPerRun(100, post.do))
	op := opaqueExchange()
	rr := e.paired(always("", post.times), asCandidate("opaque", opaqueExchange))
	fmt.Println("opaque", median(rr[0], round.ratio), testing.AllocsPerRun(100, op.do))
	for _, actor := range []bool{false, true} {
		for _, alg := range algorithms {
			n := 1
			if actor {
				n = 2
			}
			bare := bareCrypto(alg, n)
			w := bare.begin()
			fmt.Println(alg, actor, "allocs bare", testing.AllocsPerRun(100, func() { w(1) }), "ours", testing.AllocsPerRun(100, ours(alg, actor).do()), "peer", testing.AllocsPerRun(100, peer(alg, actor).do()))
			rs := e.paired(bare, ours(alg, actor), peer(alg, actor))
			fmt.Printf("  ours %.3f own %.1f  peer %.3f own %.1f  bare %.1f\n", median(rs[0], round.ratio), median(rs[0], round.own)/1000, median(rs[1], round.ratio), median(rs[1], round.own)/1000, median(rs[0], func(r round) float64 { return r.floor })/1000)
		}
	}
}
func (c candidate) do() func() { w := c.begin(); return func() { w(1) } }
