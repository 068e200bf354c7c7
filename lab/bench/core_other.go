//go:build !linux

package main

// onQuietCore does nothing, since a thread cannot be bound to a core here.
func onQuietCore() (release func()) { return func() {} }
