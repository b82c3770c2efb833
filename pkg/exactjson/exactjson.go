// Package exactjson reads JSON of which every reader has to find the same. Of a file that a person wrote, it
// says where every fault is.
//
// Start with Decode. It is stricter than encoding/json: keys have one spelling and stand once, nothing is
// null, nothing unknown is passed over, and nothing follows the value, because each of these is a mistake
// that would change what the file permits. Places tell the caller where a value stands, for the faults that
// only the caller sees. Members is for an object of a client, whose other members may be anything. The package
// does no I/O.
package exactjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Places know where the values of a text stand. The path of a value is made of keys and indexes, as in
// rules[3].methods[0]; the path of the whole is "".
type Places struct {
	text   []byte
	starts map[string]int
	faults []fault
}

type fault struct {
	start int
	err   error
}

// Fault adds a fault of the value at path. If there is none, it is a fault of the nearest value around it.
func (p *Places) Fault(path, format string, args ...any) {
	p.add(p.start(path), format, args...)
}

// Line returns the line of the value at path, or of the nearest value around it.
func (p *Places) Line(path string) int {
	line, _ := p.position(p.start(path))
	return line
}

// start returns where the value at path starts, or the nearest value around it.
func (p *Places) start(path string) int {
	start, found := p.starts[path]
	for !found && path != "" {
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
		start, found = p.starts[path]
	}
	return start
}

func (p *Places) position(start int) (line, column int) {
	return 1 + bytes.Count(p.text[:start], []byte{'\n'}),
		1 + utf8.RuneCount(p.text[1+bytes.LastIndexByte(p.text[:start], '\n'):start])
}

func (p *Places) add(start int, format string, args ...any) {
	line, column := p.position(start)
	p.faults = append(p.faults, fault{start, fmt.Errorf("line %d, column %d: %w", line, column, fmt.Errorf(format, args...))})
}

// Err returns all faults in the order of their places, or nil. Lines and columns count from 1, and columns
// count characters.
func (p *Places) Err() error {
	slices.SortStableFunc(p.faults, func(a, b fault) int { return a.start - b.start })
	errs := make([]error, len(p.faults))
	for i, f := range p.faults {
		errs[i] = f.err
	}
	return errors.Join(errs...)
}

// Decode reads text into v, a pointer to a struct of structs, slices, maps, strings, booleans and integers
// with `json` tags. It changes v only if it returns no error.
func Decode(text []byte, v any) (*Places, error) {
	p := &Places{text: text, starts: map[string]int{}}
	if !utf8.Valid(text) {
		p.add(len(validPart(text)), "not UTF-8")
		return nil, p.Err()
	}
	if syntax := json.Unmarshal(text, new(json.RawMessage)); syntax != nil {
		start := len(text)
		if at, ok := errors.AsType[*json.SyntaxError](syntax); ok && at.Offset > 0 && !strings.HasPrefix(at.Error(), "unexpected end") {
			start = int(at.Offset) - 1
		}
		p.add(start, "%w", syntax)
		return nil, p.Err()
	}
	w := walk{Places: p, tokens: json.NewDecoder(bytes.NewReader(text))}
	w.tokens.UseNumber()
	w.value("", reflect.TypeOf(v).Elem())
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return nil, err
	}
	return p, nil
}

func validPart(text []byte) []byte {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return text[:i]
		}
		i += size
	}
	return text
}

// A walk compares the tokens of a valid text with a type.
type walk struct {
	*Places
	tokens *json.Decoder
}

// next returns the next token and where it starts. The text is valid, so there is one.
func (w *walk) next() (json.Token, int) {
	start := int(w.tokens.InputOffset())
	for start < len(w.text) && strings.IndexByte(" \t\r\n,:", w.text[start]) >= 0 {
		start++
	}
	token, _ := w.tokens.Token()
	return token, start
}

// value checks one value against its type, which is nil if no type is known: the value is then passed over.
func (w *walk) value(path string, want reflect.Type) {
	token, start := w.next()
	w.starts[path] = start
	if want != nil {
		if form := wanted(want); form != formOf(token) {
			w.add(start, "%s wants %s, not %s", named(path), form, formOf(token))
			want = nil
		} else if number, ok := token.(json.Number); ok {
			if _, err := number.Int64(); err != nil {
				w.add(start, "%s wants a whole number, not %s", named(path), number)
			}
		}
	}
	switch token {
	case json.Delim('['):
		for i := 0; w.tokens.More(); i++ {
			w.value(fmt.Sprintf("%s[%d]", path, i), element(want))
		}
		_, _ = w.next()
	case json.Delim('{'):
		seen := map[string]bool{}
		for w.tokens.More() {
			token, start := w.next()
			key, _ := token.(string)
			inner, known := member(want, key)
			switch {
			case want == nil:
			case seen[key]:
				w.add(start, "key %q stands twice", key)
				inner = nil
			case !known:
				w.add(start, "key %q is unknown%s", key, expected(want))
			}
			seen[key] = true
			below := key
			if path != "" {
				below = path + "." + key
			}
			w.value(below, inner)
		}
		_, _ = w.next()
	}
}

func named(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// wanted returns the form of JSON for a type.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a number"
	default:
		return "a text"
	}
}

func formOf(token json.Token) string {
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "a list"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	case string:
		return "a text"
	default:
		return "null"
	}
}

func element(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	return t.Elem()
}

// member returns the type of a key of an object.
func member(t reflect.Type, key string) (reflect.Type, bool) {
	if t == nil {
		return nil, false
	}
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for i := range t.NumField() {
		if name, read := tag(t, i); read && name == key {
			return t.Field(i).Type, true
		}
	}
	return nil, false
}

// expected lists the keys of an object.
func expected(t reflect.Type) string {
	var keys []string
	for i := range t.NumField() {
		if name, read := tag(t, i); read {
			keys = append(keys, name)
		}
	}
	return "; there are " + strings.Join(keys, ", ")
}

// tag returns the key of a field. A field without one is not read.
func tag(t reflect.Type, i int) (name string, read bool) {
	name, _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	return name, name != "" && name != "-"
}
