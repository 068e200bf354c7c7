//go:build linux || darwin

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// clocks is what the header says about the times.
const clocks = "CPU time"

func threadTime() time.Duration  { return cpuTime(unix.CLOCK_THREAD_CPUTIME_ID) }
func processTime() time.Duration { return cpuTime(unix.CLOCK_PROCESS_CPUTIME_ID) }

// cpuTime reads a clock of the kernel. getrusage would be as coarse as its ticks.
func cpuTime(clock int32) time.Duration {
	var t unix.Timespec
	check(unix.ClockGettime(clock, &t))
	return time.Duration(t.Nano())
}
