// Package guard calls code of the host and turns its panics into errors (I12).
package guard

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// Call returns the error of call. If call panics, the error names the function and the line, and
// the type of the value that was thrown. It does not contain or wrap the value, which may hold a
// token or be an error with a code. Only errors of the Go runtime are printed: they contain no data
// of the host.
//
// An error whose methods panic, usually a nil pointer, counts as a panic, so that the caller can
// use every error that Call returns.
func Call(call func() error) (err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("panic%s: %s", place(), thrown.Error())
		default:
			err = fmt.Errorf("panic%s: value of type %T", place(), thrown)
		}
	}()
	if err = call(); err != nil {
		_ = err.Error()
		errors.Is(err, errNone) // calls the methods Unwrap and Is of the whole tree
	}
	return err
}

// errNone is in no tree of errors.
var errNone = errors.New("none")

// place names the function that panicked and the line, apart from functions of the Go runtime. It
// must be called by the function that recovers.
func place() string {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf(" in %s, line %d", f.Function, f.Line)
		}
		if !more {
			return ""
		}
	}
}
