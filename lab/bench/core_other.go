//go:build !linux

package main

// onQuietCore does nothing: a thread cannot be told where to run here.
func onQuietCore() (release func()) { return func() {} }
