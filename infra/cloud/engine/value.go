package engine

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// item is one row. Items in a table are never modified, so reading them needs no lock.
type item map[string]value

// UnmarshalJSON refuses attributes without a name.
func (it *item) UnmarshalJSON(raw []byte) error {
	var attributes map[string]value
	if err := json.Unmarshal(raw, &attributes); err != nil {
		return err
	}
	if _, unnamed := attributes[""]; unnamed {
		return invalid("Empty attribute name")
	}
	*it = attributes
	return nil
}

// value is one attribute value: the wire format's type descriptor and the data, which is string (S,
// N, and B for its bytes), bool (BOOL, NULL), []string (SS, NS), []value (L) or item (M). Numbers
// are in the form that DynamoDB returns and sets are sorted, so equal values have equal data. Sets
// of binary values are not supported.
type value struct {
	kind string
	data any
}

func (v value) MarshalJSON() ([]byte, error) {
	data := v.data
	if v.kind == "B" {
		data = []byte(v.text())
	}
	raw, err := json.Marshal(data)
	return slices.Concat([]byte(`{"`+v.kind+`":`), raw, []byte{'}'}), err
}

// wire is a value in JSON: exactly one of these.
type wire struct {
	S, N       *string
	B          *[]byte
	BOOL, NULL *bool
	SS, NS     *[]string
	L          *[]value
	M          *item
}

// UnmarshalJSON reads the wire format and refuses malformed numbers, sets and nulls.
func (v *value) UnmarshalJSON(raw []byte) error {
	var w wire
	if err := json.Unmarshal(raw, &w); err != nil {
		return err
	}
	found := 0
	var err error
	set := func(kind string, data any, fault error) {
		found++
		*v, err = value{kind, data}, fault
	}
	if w.S != nil {
		set("S", *w.S, nil)
	}
	if w.N != nil {
		text, fault := normalNumber(*w.N)
		set("N", text, fault)
	}
	if w.B != nil {
		set("B", string(*w.B), nil)
	}
	if w.BOOL != nil {
		set("BOOL", *w.BOOL, nil)
	}
	if w.NULL != nil {
		set("NULL", true, nil)
		if !*w.NULL {
			err = invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	}
	if w.SS != nil {
		members, fault := normalSet("SS", *w.SS)
		set("SS", members, fault)
	}
	if w.NS != nil {
		members, fault := normalSet("NS", *w.NS)
		set("NS", members, fault)
	}
	if w.L != nil {
		set("L", *w.L, nil)
	}
	if w.M != nil {
		set("M", *w.M, nil)
	}
	if found != 1 {
		return invalid("Supplied AttributeValue must contain exactly one of the datatypes that the embedded engine supports")
	}
	return err
}

func normalSet(kind string, members []string) ([]string, error) {
	if len(members) == 0 {
		return nil, invalid("One or more parameter values were invalid: An set may not be empty")
	}
	for i := range members {
		if kind == "NS" {
			var err error
			if members[i], err = normalNumber(members[i]); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(members)
	if len(slices.Compact(slices.Clone(members))) < len(members) {
		return nil, invalid("One or more parameter values were invalid: Input collection contains duplicates")
	}
	return members, nil
}

var numeral = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE]([+-]?\d+))?$`)

// normalNumber returns a number in the form that DynamoDB returns: no exponent, no needless zeros.
func normalNumber(text string) (string, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10), nil
	}
	parts := numeral.FindStringSubmatch(text)
	if parts == nil {
		return "", invalid("A value provided cannot be converted into a number")
	}
	const longest = 1000 // a larger exponent is out of range for all digits that fit into a request
	if exponent, err := strconv.Atoi(cmp.Or(parts[3], "0")); err != nil || max(exponent, -exponent) > longest {
		return "", errNumberRange()
	}
	n, _ := new(big.Rat).SetString(text) // it is a valid numeral
	return formatNumber(n)
}

func errNumberRange() error {
	return invalid("Number overflow or underflow. Attempting to store a number with magnitude outside of the supported range")
}

// The range and precision of numbers ("Data types", Amazon DynamoDB developer guide).
var largest, smallest = power(126), new(big.Rat).Inv(power(130))

const precision = 38

func power(n int64) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil))
}

func formatNumber(n *big.Rat) (string, error) {
	magnitude := new(big.Rat).Abs(n)
	if magnitude.Cmp(largest) >= 0 || n.Sign() != 0 && magnitude.Cmp(smallest) < 0 {
		return "", errNumberRange()
	}
	const places = 130 + precision
	text := strings.TrimSuffix(strings.TrimRight(n.FloatString(places), "0"), ".")
	digits := strings.Trim(strings.Replace(text, ".", "", 1), "-0")
	if exact, _ := new(big.Rat).SetString(text); len(digits) > precision || exact.Cmp(n) != 0 {
		return "", invalid("DynamoDB only supports precision up to %d digits", precision)
	}
	return text, nil
}

func (v value) number() *big.Rat {
	n, _ := new(big.Rat).SetString(v.text()) // checked when it was read
	return n
}

func sum(a, b value) (value, error) {
	text, err := formatNumber(new(big.Rat).Add(a.number(), b.number()))
	return value{kind: "N", data: text}, err
}

// text returns the data of S, N and B, and "" for other types.
func (v value) text() string {
	s, _ := v.data.(string)
	return s
}

// compare orders two values of one scalar type; ok is false if they have no common order.
func compare(a, b value) (order int, ok bool) {
	switch {
	case a.kind != b.kind:
		return 0, false
	case a.kind == "S", a.kind == "B":
		return strings.Compare(a.text(), b.text()), true
	case a.kind == "N":
		return a.number().Cmp(b.number()), true
	}
	return 0, false
}

func equal(a, b value) bool {
	if a.kind != b.kind {
		return false
	}
	switch x := a.data.(type) {
	case []string:
		return slices.Equal(x, b.data.([]string))
	case []value:
		return slices.EqualFunc(x, b.data.([]value), equal)
	case item:
		return maps.EqualFunc(x, b.data.(item), equal)
	}
	return a.data == b.data
}

// bytes returns the value's contribution to the size for the 400 KB and 1 MB limits ("DynamoDB item
// sizes and formats", developer guide).
func (v value) bytes() int {
	n := 0
	switch data := v.data.(type) {
	case string:
		n = len(data)
		if v.kind == "N" {
			n = numberBytes(data)
		}
	case bool:
		n = 1
	case []string:
		for _, s := range data {
			n += value{kind: v.kind[:1], data: s}.bytes()
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

// numberBytes counts one byte, one for every two digits without the zeros at either end, and one for a
// minus sign.
func numberBytes(text string) int {
	digits, negative := strings.CutPrefix(text, "-")
	whole, part, _ := strings.Cut(digits, ".")
	pairs := strings.Repeat("0", len(whole)%2) + whole + part + strings.Repeat("0", len(part)%2)
	for strings.HasPrefix(pairs, "00") {
		pairs = pairs[2:]
	}
	for strings.HasSuffix(pairs, "00") {
		pairs = pairs[:len(pairs)-2]
	}
	n := 1 + len(pairs)/2
	if negative {
		n++
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
