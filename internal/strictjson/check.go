package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest. No token needs as much.
const MaxDepth = 64

// MaxMembers is how many members one object may have. No token needs as many.
const MaxMembers = 1024

var (
	errSyntax    = errors.New("not valid JSON")
	errUnicode   = errors.New("not valid Unicode")
	errNUL       = errors.New("a NUL character")
	errDuplicate = errors.New("a member name occurs twice")
	errDepth     = fmt.Errorf("nested deeper than %d", MaxDepth)
	errObject    = errors.New("not an object")
	errMembers   = fmt.Errorf("an object of more than %d members", MaxMembers)
)

// Check returns an error unless data is one JSON value that every reader understands alike: valid
// UTF-8 without a lone surrogate or NUL, no member name twice in an object, and nothing beyond
// MaxDepth and MaxMembers. The error does not quote data.
//
// json.Valid checks the grammar. A loop over json.Decoder.Token would do for the rest too, but
// takes so long that an exchange with EdDSA misses its goal: 0.70 of the time of zitadel/oidc, not
// 0.62.
func Check(data []byte) error {
	if !utf8.Valid(data) {
		return errUnicode
	}
	if !json.Valid(data) {
		return errSyntax
	}
	if err := checkEscapes(data); err != nil {
		return err
	}
	return checkStructure(data)
}

// checkEscapes refuses \u0000 and half a surrogate pair, which encoding/json accepts. It need not
// know where strings are, since valid JSON has a backslash nowhere else.
func checkEscapes(data []byte) error {
	for {
		start := bytes.IndexByte(data, '\\')
		if start < 0 {
			return nil
		}
		data = data[start:]
		first, isUnicode := codeUnit(data)
		switch {
		case !isUnicode:
			data = data[2:]
		case first == 0:
			return errNUL
		case utf16.IsSurrogate(first):
			second, _ := codeUnit(data[6:])
			if utf16.DecodeRune(first, second) == utf8.RuneError {
				return errUnicode
			}
			data = data[12:]
		default:
			data = data[6:]
		}
	}
}

// codeUnit returns the UTF-16 code unit of the escape at the start of data, or false if there is
// none in hexadecimal.
func codeUnit(data []byte) (rune, bool) {
	if !bytes.HasPrefix(data, []byte(`\u`)) {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(unit), err == nil
}

// checkStructure refuses duplicate names, objects with too many members and deep nesting.
func checkStructure(data []byte) error {
	names := make([][]byte, 0, 16) // of all open objects
	open := make([]int, 0, 8)      // for each open object or array, the number of names before it
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if len(open) == MaxDepth {
				return errDepth
			}
			open = append(open, len(names))
		case '}', ']':
			before := open[len(open)-1]
			if err := checkNames(names[before:]); err != nil {
				return err
			}
			names, open = names[:before], open[:len(open)-1]
		case '"':
			end := stringEnd(data, i)
			if byteAt(data, skipSpace(data, end)) == ':' { // it is a name
				names = append(names, unquote(data[i:end]))
			}
			i = end - 1
		}
	}
	return nil
}

// checkNames checks the names of one object. It sorts them.
func checkNames(names [][]byte) error {
	if len(names) > MaxMembers {
		return errMembers
	}
	slices.SortFunc(names, bytes.Compare)
	for i := 1; i < len(names); i++ {
		if bytes.Equal(names[i-1], names[i]) {
			return errDuplicate
		}
	}
	return nil
}
