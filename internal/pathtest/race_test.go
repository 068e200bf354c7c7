//go:build race

package pathtest

// slower is how many times fewer paths are walked under the race detector, which is not there to
// count them.
const slower = 20
