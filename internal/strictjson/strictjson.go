// Package strictjson reads JSON where two readers must not disagree about what it says. Parsing and
// quoting are those of encoding/json; this package refuses what encoding/json accepts and readers
// interpret differently: a member name that occurs twice, text that is not Unicode, NUL and deep
// nesting (RFC 7493). Member names are compared exactly, which encoding/json does not do.
package strictjson

import (
	"bytes"
	"encoding/json"
	"iter"
	"reflect"
	"slices"
)

// Members yields the name and the value of each member of an object, in order. A value is a part of
// data, without the white space around it. Members yields nothing if data is not an object. Data
// must have passed Check, as for every other function here.
func Members(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for name, value := range spans(data) {
			if !yield(name, data[value.start:value.end:value.end]) {
				return
			}
		}
	}
}

// Replace returns object with another value for the member of that name. Everything else stays as
// it is, white space included.
func Replace(object []byte, name string, value []byte) []byte {
	for have, old := range spans(object) {
		if have == name {
			return slices.Concat(object[:old.start], value, object[old.end:])
		}
	}
	return object
}

// Append returns object, which begins with { and ends with }, with one more member at its end. The
// value is copied byte for byte, which json.Marshal does not do: it compacts a json.RawMessage.
func Append(object []byte, name string, value []byte) []byte {
	quoted, _ := json.Marshal(name) // a string always encodes
	comma := []byte{','}
	if len(object) == len("{}") {
		comma = nil
	}
	return slices.Concat(object[:len(object)-1], comma, quoted, []byte{':'}, value, []byte{'}'})
}

// Object returns data without the white space around it if data is a JSON object that passes Check.
func Object(data []byte) ([]byte, error) {
	if err := Check(data); err != nil {
		return nil, err
	}
	if !IsObject(data) {
		return nil, errObject
	}
	value := trim(data, span{0, len(data)})
	return data[value.start:value.end], nil
}

// IsObject reports whether data is an object.
func IsObject(data []byte) bool { return byteAt(data, skipSpace(data, 0)) == '{' }

// String returns the string that raw stands for, or false if raw is not a string.
func String(raw []byte) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return string(unquote(raw)), true
}

// Strings returns the strings in an array, or false if raw is not an array or has an element that
// is not a string.
func Strings(raw []byte) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var list []string
	for element := range elements(raw) {
		s, ok := String(raw[element.start:element.end])
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// Equal reports whether a and b are the same JSON value, whatever the order of members, white space
// and escapes. Numbers are compared as text, so that no digit is lost: 1 and 1.0 are different.
func Equal(a, b []byte) bool {
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decode(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// span is the place of one value: from start, up to but not including end.
type span struct{ start, end int }

// spans yields the name of each member of an object, and the place of its value in data.
func spans(data []byte) iter.Seq2[string, span] {
	return func(yield func(string, span) bool) {
		if !IsObject(data) {
			return
		}
		name, isName := "", true
		for part := range elements(data) {
			if isName {
				name = string(unquote(data[part.start:part.end]))
			} else if !yield(name, part) {
				return
			}
			isName = !isName
		}
	}
}

// trim returns the place without the white space at both ends.
func trim(data []byte, s span) span {
	s.start = skipSpace(data[:s.end], s.start)
	for s.start < s.end && isSpace(data[s.end-1]) {
		s.end--
	}
	return s
}

// byteAt returns the byte at i, or zero behind the end.
func byteAt(data []byte, i int) byte {
	if i < len(data) {
		return data[i]
	}
	return 0
}

// skipSpace returns the index of the first byte from i on that is not white space.
func skipSpace(data []byte, i int) int {
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// elements yields the place of each element of an array. Of an object it yields the places of names
// and values in turn.
func elements(data []byte) iter.Seq[span] {
	return func(yield func(span) bool) {
		depth, start := 0, 0
		for i := 0; i < len(data); i++ {
			switch c := data[i]; {
			case c == '"':
				i = stringEnd(data, i) - 1
			case c == '{' || c == '[':
				if depth++; depth == 1 {
					start = i + 1
				}
			case c == '}' || c == ']':
				depth--
				if last := trim(data, span{start, i}); depth == 0 && last.start < last.end {
					yield(last)
				}
			case depth == 1 && (c == ',' || c == ':'):
				if !yield(trim(data, span{start, i})) {
					return
				}
				start = i + 1
			}
		}
	}
}

// stringEnd returns the index behind the string that starts at i.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote returns what a JSON string stands for. The result may be a part of raw.
func unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid: Check has accepted it
	return []byte(s)
}
