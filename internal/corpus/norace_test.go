//go:build !race

package corpus

// stride is the distance between the blocks that a test recomputes: all of them.
const stride = 1
