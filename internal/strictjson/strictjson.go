// Package strictjson holds what encoding/json leaves open and a reader of tokens may not: a name that occurs twice,
// text that is not Unicode, NUL, nesting without end, and names that differ in case only. The grammar itself is
// encoding/json's; nothing here decodes a value that the standard library could decode.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest. It is far above what any token needs and far below what costs time.
const MaxDepth = 64

var (
	errSyntax    = errors.New("not valid JSON")
	errUnicode   = errors.New("not valid Unicode")
	errNUL       = errors.New("a NUL character")
	errDuplicate = errors.New("a member name occurs twice")
	errDepth     = fmt.Errorf("nested deeper than %d", MaxDepth)
)

// Check reports whether data is one JSON value that every reader reads alike (RFC 7493): valid UTF-8, no lone surrogate,
// no NUL, no member name twice in any object, no nesting deeper than MaxDepth. The error never quotes data.
func Check(data []byte) error {
	if !utf8.Valid(data) {
		return errUnicode
	}
	if !json.Valid(data) {
		return errSyntax
	}
	_, err := checkValue(data, skipSpace(data, 0), 0)
	return err
}

// Member is one member of an object.
type Member struct {
	Name  string // unescaped
	Value []byte // as it stands, without the space around it
	Start int    // where Value starts in the object's bytes
}

// Members yields the members of an object in their order; nothing if data is no object. Data must have passed Check.
func Members(data []byte) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		i := skipSpace(data, 0)
		if i >= len(data) || data[i] != '{' {
			return
		}
		text := string(data) // names are cut from it: one allocation for all of them
		for i = skipSpace(data, i+1); data[i] != '}'; {
			end := stringEnd(data, i)
			name := text[i+1 : end-1]
			if strings.IndexByte(name, '\\') >= 0 {
				name = string(unquote(data[i:end]))
			}
			start := skipSpace(data, skipSpace(data, end)+1) // past the colon
			end = valueEnd(data, start)
			if !yield(Member{Name: name, Value: data[start:end:end], Start: start}) {
				return
			}
			if i = skipSpace(data, end); data[i] == ',' {
				i = skipSpace(data, i+1)
			}
		}
	}
}

// IsObject reports whether data, which has passed Check, is an object.
func IsObject(data []byte) bool {
	i := skipSpace(data, 0)
	return i < len(data) && data[i] == '{'
}

// String returns the string that raw is; false if raw is anything else.
func String(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	return string(unquote(raw)), true
}

// Strings returns the strings of which raw is an array; false if raw is no array or has another element.
func Strings(raw []byte) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var list []string
	for i := skipSpace(raw, 1); raw[i] != ']'; {
		end := valueEnd(raw, i)
		s, ok := String(raw[i:end])
		if !ok {
			return nil, false
		}
		list = append(list, s)
		if i = skipSpace(raw, end); raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
	}
	return list, true
}

// Equal reports whether a and b, which have passed Check, are the same JSON value: order of members, white space and
// escapes aside. Numbers are compared as they are written, so that no digit is lost; 1 and 1.0 are different.
func Equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
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

// AppendQuote appends s as a JSON string, without the escapes that only HTML needs.
func AppendQuote(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return append(dst, marshal(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func marshal(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a string always encodes
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// checkValue walks one value of valid JSON and returns where it ends.
func checkValue(data []byte, i, depth int) (int, error) {
	switch data[i] {
	case '"':
		end := stringEnd(data, i)
		return end, checkString(data[i+1 : end-1])
	case '{':
		return checkObject(data, i, depth+1)
	case '[':
		return checkArray(data, i, depth+1)
	default:
		return valueEnd(data, i), nil
	}
}

func checkArray(data []byte, i, depth int) (int, error) {
	if depth > MaxDepth {
		return i, errDepth
	}
	for i = skipSpace(data, i+1); data[i] != ']'; {
		end, err := checkValue(data, i, depth)
		if err != nil {
			return i, err
		}
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return i + 1, nil
}

func checkObject(data []byte, i, depth int) (int, error) {
	if depth > MaxDepth {
		return i, errDepth
	}
	var seen names
	for i = skipSpace(data, i+1); data[i] != '}'; {
		end := stringEnd(data, i)
		if err := checkString(data[i+1 : end-1]); err != nil {
			return i, err
		}
		if !seen.add(unquote(data[i:end])) {
			return i, errDuplicate
		}
		end, err := checkValue(data, skipSpace(data, skipSpace(data, end)+1), depth)
		if err != nil {
			return i, err
		}
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return i + 1, nil
}

// names is a set that costs no allocation while it is small; a hostile object with thousands of members gets a map.
type names struct {
	few  [16][]byte
	n    int
	many map[string]bool
}

func (s *names) add(name []byte) bool {
	if s.many != nil {
		if s.many[string(name)] {
			return false
		}
		s.many[string(name)] = true
		return true
	}
	for _, have := range s.few[:s.n] {
		if bytes.Equal(have, name) {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	s.many = make(map[string]bool, 2*len(s.few))
	for _, have := range s.few {
		s.many[string(have)] = true
	}
	s.many[string(name)] = true
	return true
}

// checkString looks at the escapes of a string's inside, which is valid JSON: \u0000 and half a surrogate pair are what
// the grammar allows and no text may hold.
func checkString(s []byte) error {
	for i := bytes.IndexByte(s, '\\'); i >= 0 && i < len(s); {
		if s[i] != '\\' {
			i++
			continue
		}
		if s[i+1] != 'u' {
			i += 2
			continue
		}
		u := hex4(s[i+2:])
		i += 6
		switch {
		case u == 0:
			return errNUL
		case u >= 0xDC00 && u <= 0xDFFF:
			return errUnicode
		case u >= 0xD800 && u <= 0xDBFF:
			if len(s) < i+6 || s[i] != '\\' || s[i+1] != 'u' {
				return errUnicode
			}
			if low := hex4(s[i+2:]); low < 0xDC00 || low > 0xDFFF {
				return errUnicode
			}
			i += 6
		}
	}
	return nil
}

func hex4(s []byte) uint64 {
	u, _ := strconv.ParseUint(string(s[:4]), 16, 32) // four hex digits: the grammar has been checked
	return u
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the index after the closing quote of the string that starts at i.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns the index after the value that starts at i.
func valueEnd(data []byte, i int) int {
	depth := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// unquote returns what a string stands for: a part of raw itself where nothing in it is escaped.
func unquote(raw []byte) []byte {
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var s string
	_ = json.Unmarshal(raw, &s) // valid: the grammar has been checked
	return []byte(s)
}
