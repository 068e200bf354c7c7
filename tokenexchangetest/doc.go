// Package tokenexchangetest helps to test a host of package tokenexchange, as httptest does for
// net/http.
//
// Directory, Authorizer, Issuer and Recorder implement the four host interfaces in memory, so that
// a test can run whole exchanges without keys, a database or a clock. A Minter signs valid and
// invalid JWTs with its own key.
//
// CheckResolver, CheckAuthorizer, CheckIssuer and CheckSink test whether a host's implementation
// meets the contract of its interface, as testing/fstest.TestFS does for fs.FS. CheckRoundTrip
// tests whether a token issuer and the verifiers of the same server agree. Run them under the race
// detector too, since each makes concurrent calls.
//
// Nothing in this package is for production: the fakes never free memory, and they panic if a test
// sets them up wrongly.
package tokenexchangetest

import (
	"reflect"

	"github.com/go-tokenexchange/tokenexchange"
)

// isComplete reports whether an identity has an issuer, an id and a known kind. An Exchanger
// refuses any other identity (D07).
func isComplete(id tokenexchange.Identity) bool {
	switch id.Kind {
	case tokenexchange.KindUser, tokenexchange.KindClient, tokenexchange.KindWorkload:
		return id.Issuer != "" && id.ID != ""
	}
	return false
}

// deepCopy returns a copy of v that shares no pointer or slice with v, so that a test notices when
// an implementation modifies its argument. Values behind an interface, such as an error, are
// shared.
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
			if v.Type().Field(i).IsExported() { // a time.Time has no exported fields and is a value
				c.Field(i).Set(copyOf(v.Field(i)))
			}
		}
	}
	return c
}
