//go:build !race

package pathtest

// slower is for the race detector.
const slower = 1
