package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// item is one row. Items in a table are never modified, so reading them needs no lock.
type item map[string]value

// value is one attribute value: the wire format's type descriptor and the data, which is string (S,
// N), []byte (B), bool (BOOL, NULL), []string (SS, NS), [][]byte (BS), []value (L) or item (M).
// Numbers stay text in their shortest form, because they have more digits than a float64.
type value struct {
	kind string
	data any
}

func (v value) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]any{v.kind: v.data}) }

func (v *value) UnmarshalJSON(raw []byte) error {
	var tagged map[string]json.RawMessage
	if err := json.Unmarshal(raw, &tagged); err != nil {
		return err
	}
	if len(tagged) != 1 {
		return errors.New("an attribute value must have exactly one type")
	}
	for kind, data := range tagged {
		v.kind = kind
		var err error
		switch kind {
		case "S", "N":
			v.data, err = decodeAs[string](data)
		case "B":
			v.data, err = decodeAs[[]byte](data)
		case "BOOL", "NULL":
			v.data, err = decodeAs[bool](data)
		case "SS", "NS":
			v.data, err = decodeAs[[]string](data)
		case "BS":
			v.data, err = decodeAs[[][]byte](data)
		case "L":
			v.data, err = decodeAs[[]value](data)
		case "M":
			v.data, err = decodeAs[item](data)
		default:
			err = fmt.Errorf("unknown attribute type %q", kind)
		}
		if err != nil {
			return err
		}
	}
	return v.normalize()
}

func decodeAs[T any](raw json.RawMessage) (T, error) {
	var out T
	err := json.Unmarshal(raw, &out)
	return out, err
}

// normalize checks what JSON does not: the form of numbers and the members of sets.
func (v *value) normalize() error {
	switch data := v.data.(type) {
	case string:
		if v.kind == "N" {
			n, err := parseNumber(data)
			if err != nil {
				return err
			}
			v.data = formatNumber(n)
		}
	case []string:
		if v.kind == "NS" {
			for i := range data {
				n, err := parseNumber(data[i])
				if err != nil {
					return err
				}
				data[i] = formatNumber(n)
			}
		}
		return checkSet(data, func(a, b string) int { return cmp.Compare(a, b) })
	case [][]byte:
		return checkSet(data, bytes.Compare)
	}
	return nil
}

func checkSet[T any](set []T, compare func(a, b T) int) error {
	if len(set) == 0 {
		return errors.New("an attribute value may not contain an empty set")
	}
	slices.SortFunc(set, compare)
	for i := 1; i < len(set); i++ {
		if compare(set[i-1], set[i]) == 0 {
			return errors.New("input collection contains duplicates")
		}
	}
	return nil
}

func number(n *big.Rat) value { return value{kind: "N", data: formatNumber(n)} }

func parseNumber(s string) (*big.Rat, error) {
	n, ok := new(big.Rat).SetString(s)
	// big.Rat also accepts fractions and hexadecimal.
	if !ok || strings.ContainsAny(s, "/xXpP_bBoO") {
		return nil, fmt.Errorf("the parameter cannot be converted to a numeric value: %s", s)
	}
	return n, nil
}

func formatNumber(n *big.Rat) string {
	if n.IsInt() {
		return n.Num().String()
	}
	const precision = 38 // digits that DynamoDB keeps
	return strings.TrimRight(n.FloatString(precision), "0")
}

func (v value) number() *big.Rat {
	n, _ := new(big.Rat).SetString(v.data.(string)) // checked by normalize
	return n
}

// compare orders two values of one scalar type; ok is false if they have no common order.
func compare(a, b value) (order int, ok bool) {
	if a.kind != b.kind {
		return 0, false
	}
	switch a.kind {
	case "S":
		return cmp.Compare(a.data.(string), b.data.(string)), true
	case "N":
		return a.number().Cmp(b.number()), true
	case "B":
		return bytes.Compare(a.data.([]byte), b.data.([]byte)), true
	}
	return 0, false
}

// equal compares values of any type. normalize has brought numbers and sets into one form, so that
// numbers compare by value and sets without regard to order.
func equal(a, b value) bool {
	if a.kind != b.kind {
		return false
	}
	switch x := a.data.(type) {
	case []byte:
		return bytes.Equal(x, b.data.([]byte))
	case []string:
		return slices.Equal(x, b.data.([]string))
	case [][]byte:
		return slices.EqualFunc(x, b.data.([][]byte), bytes.Equal)
	case []value:
		return slices.EqualFunc(x, b.data.([]value), equal)
	case item:
		return maps.EqualFunc(x, b.data.(item), equal)
	}
	return a.data == b.data
}

// size returns the result of size(); ok is false for types without one.
func (v value) size() (n int, ok bool) {
	switch data := v.data.(type) {
	case string:
		return len(data), v.kind == "S"
	case []byte:
		return len(data), true
	case []string:
		return len(data), true
	case [][]byte:
		return len(data), true
	case []value:
		return len(data), true
	case item:
		return len(data), true
	}
	return 0, false
}

// bytes returns the value's contribution to the item size for the 400 KB and 1 MB limits ("Item
// sizes and formats", DynamoDB developer guide). Numbers count as their text, which is never less.
func (v value) bytes() int {
	n := 0
	switch data := v.data.(type) {
	case string:
		n = len(data)
	case []byte:
		n = len(data)
	case bool:
		n = 1
	case []string:
		for _, s := range data {
			n += len(s)
		}
	case [][]byte:
		for _, b := range data {
			n += len(b)
		}
	case []value:
		n = 3
		for _, e := range data {
			n += 1 + e.bytes()
		}
	case item:
		n = 3 + len(data) + data.bytes()
	}
	return n
}

func (it item) bytes() int {
	n := 0
	for name, v := range it {
		n += len(name) + v.bytes()
	}
	return n
}
