package tokenstore_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-tokenexchange/tokenexchange"
	"github.com/go-tokenexchange/tokenexchange/tokenstore"
)

// sizes are what PERFORMANCE compares.
var sizes = []int{1e3, 1e6}

// crowded is a Tokens with so many live opaque tokens, each of somebody else, and the values of some of them.
func crowded(b *testing.B, n int) (*tokenstore.Tokens, []string) {
	b.Helper()
	t := &tokenstore.Tokens{Store: tokenstore.NewMemory(), Now: func() time.Time { return epoch }}
	var values []string
	for i := range n {
		issued, err := t.IssueToken(context.Background(), decision(i))
		if err != nil {
			b.Fatal(err)
		}
		if i%(n/1000) == 0 {
			values = append(values, issued.Value)
		}
	}
	runtime.GC()
	return t, values
}

// decision is for an opaque token of a user of its own, with two audiences and three scopes.
func decision(i int) tokenexchange.Decision {
	subject := tokenexchange.Identity{Issuer: issuer, Kind: tokenexchange.KindUser, ID: fmt.Sprintf("user-%09d", i)}
	return tokenexchange.Decision{
		Mode: tokenexchange.Impersonate, Issuer: issuer, Client: "client-1234", Subject: subject, Audience: []string{api}, Type: access,
		Scope: tokenexchange.Scope{"orders:read", "orders:write", "profile"}, Issued: epoch, Expires: epoch.Add(time.Hour),
		Facts: tokenexchange.Facts{Grant: tokenexchange.GrantType, Subject: tokenexchange.Subject{Identity: subject}},
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		t, values := crowded(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				c := tokenexchange.Credential{Token: values[i*7919%len(values)], Type: access, Issuer: issuer, Now: epoch}
				if _, err := t.VerifyToken(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIssue(b *testing.B) {
	for _, n := range sizes {
		t, _ := crowded(b, n)
		d := decision(0)
		d.Facts.Subject.Token.Issuer, d.Facts.Subject.Token.ID = issuer, "parent"
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				issued, err := t.IssueToken(context.Background(), d)
				if err == nil {
					err = issued.Discard(context.Background())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory reports the bytes of heap for each live opaque token, everything included. Every token has an owner of
// its own, which is the dearest case.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		t, _ := crowded(b, 1e6)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/token")
		runtime.KeepAlive(t)
	}
}

// BenchmarkPause lets a million tokens expire at one time, and reports how long the calls take that follow.
func BenchmarkPause(b *testing.B) {
	for b.Loop() {
		t, _ := crowded(b, 1e6)
		now := epoch.Add(2 * time.Hour)
		took := make([]time.Duration, 200_000)
		d := decision(0)
		d.Issued, d.Expires = now, now.Add(time.Hour)
		for i := range took {
			begin := time.Now()
			if _, err := t.IssueToken(context.Background(), d); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(begin)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "ns-median")
		b.ReportMetric(float64(took[len(took)*9999/10000].Microseconds()), "µs-p99.99")
		b.ReportMetric(float64(took[len(took)-1].Microseconds()), "µs-longest")
	}
}
