package main

import (
	"fmt"
	"testing"
)

// The package in testdata has a ring of three files, by a function, a method and a field; a pair of
// files; a file that refers to the ring, and a file that the ring refers to.
func TestCycles(t *testing.T) {
	g, err := readGraph("./testdata/ring")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(len(g), g.cycles())
	if want := "7 [[a.go b.go c.go] [pair.go partner.go]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
