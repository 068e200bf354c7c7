//go:build race

package corpus

// stride is the distance between the blocks that a test recomputes. The race detector makes a
// decision about ten times slower.
const stride = 10
