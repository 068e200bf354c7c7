//go:build !linux && !darwin

package main

import "time"

// clocks is what the header says about the times.
const clocks = "wall-clock time"

// Without a clock for CPU time the machine must have nothing else to do.
func threadTime() time.Duration  { return wallTime() }
func processTime() time.Duration { return wallTime() }
