//go:build !linux && !darwin

package main

import "time"

// clocks says in the header what the times are.
const clocks = "wall-clock time"

var started = time.Now()

// Where there is no clock for a thread, the machine should have nothing else to do.
func threadTime() time.Duration  { return time.Since(started) }
func processTime() time.Duration { return time.Since(started) }
