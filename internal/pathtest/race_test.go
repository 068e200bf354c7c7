//go:build race

package pathtest

// slower divides the number of paths, since the race detector makes each path slower.
const slower = 20
