// Package ring has references between its files that go round in circles.
package ring

func a(x b) int { return x.method() }
