package strictjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-tokenexchange/tokenexchange/internal/strictjson"
)

func TestCheck(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	many := func(last string) string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, `"m%d":%d,`, i, i)
		}
		return "{" + b.String() + `"` + last + `":1}`
	}
	tests := []struct {
		name, in, problem string
	}{
		{"an object", ` {"a": [1, "b", {"c": null}], "d": true} `, ""},
		{"a number", `1`, ""},
		{"empty ones", `[{},[]]`, ""},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u0041"}`, ""},
		{"a surrogate pair", `{"a":"\ud83d\ude00"}`, ""},
		{"the same name in different objects", `{"a":{"a":1},"b":{"a":1}}`, ""},
		{"many names", many("m40"), ""},
		{"as deep as it may be", deep(strictjson.MaxDepth), ""},
		{"nothing", ``, "not valid JSON"},
		{"trailing bytes", `{} x`, "not valid JSON"},
		{"two values", `{}{}`, "not valid JSON"},
		{"a comma too much", `{"a":1,}`, "not valid JSON"},
		{"words", `[true,false,null]`, ""},
		{"a word cut off", `[tru]`, "not valid JSON"},
		{"a word that goes on", `nulls`, "not valid JSON"},
		{"numbers", `[0,-0,10,1.50,-1e9,2E+3,4.5e-67]`, ""},
		{"a leading zero", `01`, "not valid JSON"},
		{"a minus alone", `[-]`, "not valid JSON"},
		{"a point without digits", `1.`, "not valid JSON"},
		{"a point first", `.5`, "not valid JSON"},
		{"an exponent without digits", `1e+`, "not valid JSON"},
		{"no colon", `{"a" 1}`, "not valid JSON"},
		{"no value", `{"a":}`, "not valid JSON"},
		{"a name that is no string", `{1:1}`, "not valid JSON"},
		{"no comma", `[1 2]`, "not valid JSON"},
		{"an array that does not end", `[1`, "not valid JSON"},
		{"an object that does not end", `{"a":1`, "not valid JSON"},
		{"a string that does not end", `"a`, "not valid JSON"},
		{"a string that ends in a backslash", `"a\`, "not valid JSON"},
		{"a control character", "\"\x1f\"", "not valid JSON"},
		{"an escape that is none", `"\x"`, "not valid JSON"},
		{"three hex digits", `"\u12g4"`, "not valid JSON"},
		{"another space", "[1,\u00a02]", "not valid JSON"},
		{"a byte order mark", "\ufeff{}", "not valid JSON"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "not valid Unicode"},
		{"a lone high surrogate", `{"a":"\ud83d"}`, "not valid Unicode"},
		{"a high surrogate before a letter", `{"a":"\ud83dx\ude00"}`, "not valid Unicode"},
		{"two high surrogates", `{"a":"\ud83d\ud83d"}`, "not valid Unicode"},
		{"a lone low surrogate", `{"a":"\ude00"}`, "not valid Unicode"},
		{"a lone surrogate in a name", `{"\ud83d":1}`, "not valid Unicode"},
		{"NUL", `["\u0000"]`, "NUL"},
		{"an escaped backslash before u0000", `["\\u0000"]`, ""},
		{"NUL behind an escaped backslash", `["\\\u0000"]`, "NUL"},
		{"a name twice", `{"a":1,"a":1}`, "occurs twice"},
		{"a name twice, once escaped", `{"a":1,"\u0061":1}`, "occurs twice"},
		{"a name twice, nested in an array", `[[{"x":[{"a":1,"b":2,"a":3}]}]]`, "occurs twice"},
		{"a name twice among many, early", many("m0"), "occurs twice"},
		{"a name twice among many, late", many("m39"), "occurs twice"},
		{"as many names as there may be", members(strictjson.MaxMembers), ""},
		{"a name more", members(strictjson.MaxMembers + 1), "an object of more than"},
		{"too deep by objects", deep(strictjson.MaxDepth + 1), "nested deeper"},
		{"too deep by arrays", strings.Repeat("[", 99) + strings.Repeat("]", 99), "nested deeper"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := strictjson.Check([]byte(test.in))
			if test.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.problem)
			}
		})
	}
}

func TestMembers(t *testing.T) {
	data := []byte(` { "a" : "x,}" , "\u0062":[1,{"c":"]"}], "d":-1.5e3 ,"e":{"f":{}} } `)
	require.NoError(t, strictjson.Check(data))
	var got []string
	for name, value := range strictjson.Members(data) {
		got = append(got, name+"="+string(value))
	}
	require.Equal(t, []string{`a="x,}"`, `b=[1,{"c":"]"}]`, `d=-1.5e3`, `e={"f":{}}`}, got)
	for _, none := range []string{`{}`, ` { } `, `[1]`, `"x"`, `null`, ``} {
		for range strictjson.Members([]byte(none)) {
			t.Fatal("a member in", none)
		}
	}
	for name := range strictjson.Members(data) {
		require.Equal(t, "a", name)
		break
	}
}

// TestMembers_Nested goes into objects within objects.
func TestMembers_Nested(t *testing.T) {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `"m%d" : { "a":[ {"x":%d} ] , "b" : {"c":{}} },`, i, i)
	}
	deep := strings.Repeat(`{"a":[1],"b": `, strictjson.MaxDepth-1) + "1" +
		strings.Repeat("}", strictjson.MaxDepth-1)
	for _, data := range []string{" {" + b.String() + `"last":1} `, deep, ` [ {"a":1} ] `, `1`} {
		require.NoError(t, strictjson.Check([]byte(data)))
		sameMembers(t, []byte(data), decode(t, []byte(data)))
	}
}

func TestReplace(t *testing.T) {
	const object = ` { "a" : {"act":1} , "x":1, "\u0061ct" :[ 1 ] } `
	for name, want := range map[string]string{
		"a":    ` { "a" : new , "x":1, "\u0061ct" :[ 1 ] } `,
		"x":    ` { "a" : {"act":1} , "x":new, "\u0061ct" :[ 1 ] } `,
		"act":  ` { "a" : {"act":1} , "x":1, "\u0061ct" :new } `,
		"none": object,
	} {
		require.Equal(t, want, string(strictjson.Replace([]byte(object), name, []byte("new"))))
	}
}

func TestAppend(t *testing.T) {
	require.Equal(t, `{"a":1}`, string(strictjson.Append([]byte(`{}`), "a", []byte("1"))))
	require.Equal(t, `{"a":1,"b\"":[ 2 ]}`,
		string(strictjson.Append([]byte(`{"a":1}`), `b"`, []byte("[ 2 ]"))))
}

func TestScalars(t *testing.T) {
	s, ok := strictjson.String([]byte(`"a\u00e9\n"`))
	require.True(t, ok)
	require.Equal(t, "aé\n", s)
	for _, raw := range []string{`1`, `null`, `{}`, `["a"]`, ``} {
		_, ok := strictjson.String([]byte(raw))
		require.False(t, ok, raw)
	}
	list, ok := strictjson.Strings([]byte(`[ "a" ,"b, ]" ]`))
	require.True(t, ok)
	require.Equal(t, []string{"a", "b, ]"}, list)
	for _, raw := range []string{`"a"`, `["a",1]`, `[["a"]]`, `{}`, ``} {
		_, ok := strictjson.Strings([]byte(raw))
		require.False(t, ok, raw)
	}
	require.True(t, strictjson.IsObject([]byte(" {}")))
	require.False(t, strictjson.IsObject([]byte("[{}]")))
}

func TestEqual(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{`"a"`, `"\u0061"`, true},
		{`{"a":1,"b":[2]}`, `{ "b" : [ 2 ], "a" : 1 }`, true},
		{`9007199254740993`, `9007199254740992`, false},
		{`1`, `"1"`, false},
		{`[1,2]`, `[2,1]`, false},
		{`null`, `{}`, false},
		{`{"a":1}`, `{"a":1,"b":1}`, false},
	} {
		equal := strictjson.Equal([]byte(test.a), []byte(test.b))
		require.Equal(t, test.want, equal, "%s %s", test.a, test.b)
	}
}

// FuzzCheck: what passes has exactly the members that the standard library finds; what is refused
// for its grammar is refused there too.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"b"],"c":{}}`, `{"a":1,"a":2}`, `["\ud83d\ude00\u0000"]`,
		` { "a" : "\\" } `, `[[[[`, `-1e9`, `{"a":{"b":{},"b":1}}`, `["\ud83d"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := strictjson.Check(data); err != nil {
			if strings.Contains(err.Error(), "not valid JSON") {
				require.False(t, json.Valid(data))
			}
			return
		}
		require.True(t, json.Valid(data))
		v := decode(t, data)
		_, isObject := v.(map[string]any)
		require.Equal(t, isObject, strictjson.IsObject(data))
		sameMembers(t, data, v)
		// A lone surrogate, which decoding turns into this character, must not have passed.
		isThere := bytes.Contains(data, []byte("\ufffd")) ||
			bytes.Contains(bytes.ToLower(data), []byte(`\ufffd`))
		if !isThere {
			require.NotContains(t, fmt.Sprint(v), "\ufffd")
		}
		require.NotContains(t, fmt.Sprint(v), "\x00")
	})
}

// sameMembers goes all the way down.
func sameMembers(t *testing.T, data []byte, want any) {
	require.Equal(t, want, decode(t, data))
	n := 0
	for name, value := range strictjson.Members(data) {
		n++
		object := want.(map[string]any)
		require.Contains(t, object, name)
		sameMembers(t, value, object[name])
		text, isText := strictjson.String(value)
		_, ok := object[name].(string)
		require.Equal(t, ok, isText)
		if isText {
			require.Equal(t, object[name], text)
		}
	}
	if object, ok := want.(map[string]any); ok {
		require.Len(t, object, n)
	}
}

func decode(t *testing.T, data []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

// members is an object of n members.
func members(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"%d":0`, i)
	}
	return "{" + strings.Join(list, ",") + "}"
}
