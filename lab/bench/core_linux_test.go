package main

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// During a round the thread keeps to one core, and afterwards it may use all of them again.
func TestOnQuietCore(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cores := func() (set unix.CPUSet) { check(unix.SchedGetaffinity(0, &set)); return set }
	all := cores()
	release := onQuietCore()
	during := cores()
	release()
	if after := cores(); during.Count() != 1 || after != all {
		t.Errorf("%d cores before a round, %d in it, %d after it", all.Count(), during.Count(),
			after.Count())
	}
}
