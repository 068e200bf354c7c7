package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// onQuietCore moves all threads of the process to the core that is quickest at the moment, until
// release is called. On a machine that shares its cores with others, one of two cores can be half
// as fast for minutes. Code with many branches and small reads suffers more than cryptography does,
// so no ratio is free of that.
func onQuietCore() (release func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
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
	move(&best)
	return func() { move(&all) }
}

// move binds every thread of the process. A thread that ends meanwhile is not an error. A new
// thread has the cores of the thread that started it.
func move(cores *unix.CPUSet) {
	threads, err := os.ReadDir("/proc/self/task")
	check(err)
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		check(err)
		if err := unix.SchedSetaffinity(id, cores); err != unix.ESRCH {
			check(err)
		}
	}
}

// probe times some milliseconds of ordinary code that belongs to neither server.
func probe() time.Duration {
	begin := time.Now()
	for range 1000 {
		var v map[string]any
		check(json.Unmarshal([]byte(probed), &v))
	}
	return time.Since(begin)
}

const probed = `{"iss":"https://as.example","aud":["a","b","c"],"exp":1234567890,
	"act":{"sub":"agent","act":{"sub":"other"}}}`
