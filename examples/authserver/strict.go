package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// readStrictly decodes a JSON document into dst, a pointer to a struct. What encoding/json would let pass is an error that
// names its place, "users[2].roles": a member that is unknown, occurs twice, differs in case or is null, and anything after
// the document.
func readStrictly(data []byte, dst any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var whole json.RawMessage
	if err := d.Decode(&whole); err != nil {
		return syntax(data, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the document")
	}
	if whole[0] != '{' {
		return errors.New("the document is not an object")
	}
	return readValue("", whole, reflect.ValueOf(dst).Elem())
}

// syntax says in which line the JSON ends to be JSON.
func syntax(data []byte, err error) error {
	var at *json.SyntaxError
	if errors.As(err, &at) {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int(at.Offset), len(data))], []byte("\n")), err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the document ends before it is complete")
	}
	return err
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// readValue decodes one value; place says where it stands.
func readValue(place string, raw json.RawMessage, dst reflect.Value) error {
	if string(bytes.TrimSpace(raw)) == "null" {
		return fmt.Errorf("%s: null", place)
	}
	switch {
	case dst.Type() == reflect.TypeFor[json.RawMessage]():
		dst.SetBytes(bytes.Clone(raw))
		return nil
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return readValue(place, raw, dst.Elem())
	case dst.Addr().Type().Implements(textType):
		return readScalar(place, raw, dst)
	case dst.Kind() == reflect.Struct:
		return readStruct(place, raw, dst)
	case dst.Kind() == reflect.Map:
		return readMap(place, raw, dst)
	case dst.Kind() == reflect.Slice:
		return readSlice(place, raw, dst)
	}
	return readScalar(place, raw, dst)
}

func readScalar(place string, raw json.RawMessage, dst reflect.Value) error {
	if err := json.Unmarshal(raw, dst.Addr().Interface()); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			needed := dst.Kind().String()
			if dst.Addr().Type().Implements(textType) {
				needed = "string"
			}
			return fmt.Errorf("%s: a %s where a %s is needed", place, kind.Value, needed)
		}
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}

func readStruct(place string, raw json.RawMessage, dst reflect.Value) error {
	fields := map[string]reflect.Value{}
	for i := range dst.NumField() {
		if name, _, _ := strings.Cut(dst.Type().Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = dst.Field(i)
		}
	}
	return members(place, raw, func(place, name string, value json.RawMessage) error {
		field, known := fields[name]
		if !known {
			return fmt.Errorf("%s: unknown member", place)
		}
		return readValue(place, value, field)
	})
}

func readMap(place string, raw json.RawMessage, dst reflect.Value) error {
	dst.Set(reflect.MakeMap(dst.Type()))
	return members(place, raw, func(place, name string, value json.RawMessage) error {
		element := reflect.New(dst.Type().Elem()).Elem()
		if err := readValue(place, value, element); err != nil {
			return err
		}
		dst.SetMapIndex(reflect.ValueOf(name).Convert(dst.Type().Key()), element)
		return nil
	})
}

func readSlice(place string, raw json.RawMessage, dst reflect.Value) error {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return fmt.Errorf("%s: not an array", place)
	}
	dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
	for i, element := range list {
		if err := readValue(fmt.Sprintf("%s[%d]", place, i), element, dst.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// members calls read for each member of an object, in order, and refuses one that was there before.
func members(place string, raw json.RawMessage, read func(place, name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("%s: not an object", place)
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		name, _ := token.(string)
		inner := strings.TrimPrefix(place+"."+name, ".")
		if seen[name] {
			return fmt.Errorf("%s: occurs twice", inner)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("%s: %w", inner, err)
		}
		if err := read(inner, name, value); err != nil {
			return err
		}
	}
	return nil
}
