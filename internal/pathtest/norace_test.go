//go:build !race

package pathtest

// slower divides the number of paths; see race_test.go.
const slower = 1
