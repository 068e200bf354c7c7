package main

import (
	"encoding/json"
	"time"

	"golang.org/x/sys/unix"
)

// onQuietCore moves the calling goroutine's thread, which must be locked to it, to the core that is quickest just now, until
// release is called. On a machine that shares its cores with others, one of two can be half as fast for minutes, and then
// more so for code with many branches and many small reads than for cryptography: no ratio is free of that.
func onQuietCore() (release func()) {
	var all, best unix.CPUSet
	check(unix.SchedGetaffinity(0, &all))
	quickest := time.Duration(1<<63 - 1)
	for cpu := range len(all) * 64 {
		if !all.IsSet(cpu) {
			continue
		}
		var one unix.CPUSet
		one.Set(cpu)
		check(unix.SchedSetaffinity(0, &one))
		if took := probe(); took < quickest {
			quickest, best = took, one
		}
	}
	check(unix.SchedSetaffinity(0, &best))
	return func() { check(unix.SchedSetaffinity(0, &all)) }
}

// probe is what some milliseconds of ordinary code take: neither ours nor a peer's.
func probe() time.Duration {
	begin := time.Now()
	for range 1000 {
		var v map[string]any
		check(json.Unmarshal([]byte(probed), &v))
	}
	return time.Since(begin)
}

const probed = `{"iss":"https://as.example","aud":["a","b","c"],"act":{"sub":"agent","act":{"sub":"other"}},"exp":1234567890}`
