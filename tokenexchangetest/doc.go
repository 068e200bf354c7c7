// Package tokenexchangetest is what httptest is to net/http: the means to test a host of package tokenexchange.
//
// Directory, Authorizer, Issuer and Recorder are the four host interfaces in memory, so that whole exchanges run without
// keys, a database or a clock. A Minter signs JWTs with a key of its own, good ones and hostile ones. CheckResolver,
// CheckAuthorizer, CheckIssuer and CheckSink hold an implementation of a host to what the interfaces promise, in the
// manner of testing/fstest.TestFS, and CheckRoundTrip holds an issuer and its verifiers to each other. Run them under the
// race detector too: each makes calls at once.
//
// Nothing here is for production: the fakes keep everything for ever, and mistakes in their setup panic.
package tokenexchangetest

import (
	"reflect"

	"github.com/go-tokenexchange/tokenexchange"
)

// isSomebody reports whether an identity names a party: an Exchanger refuses one without issuer, kind or id (D07).
func isSomebody(id tokenexchange.Identity) bool {
	switch id.Kind {
	case tokenexchange.KindUser, tokenexchange.KindClient, tokenexchange.KindWorkload:
		return id.Issuer != "" && id.ID != ""
	}
	return false
}

// deepCopy returns v with memory of its own behind every pointer and slice. What lies behind an interface, an error for
// one, stays shared.
func deepCopy[T any](v T) T {
	return copyOf(reflect.ValueOf(&v).Elem()).Interface().(T)
}

func copyOf(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		c.Set(reflect.New(v.Type().Elem()))
		c.Elem().Set(copyOf(v.Elem()))
	case v.Kind() == reflect.Slice && !v.IsNil():
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(copyOf(v.Index(i)))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // a time.Time has none, and is a value
				c.Field(i).Set(copyOf(v.Field(i)))
			}
		}
	}
	return c
}
