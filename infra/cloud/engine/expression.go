package engine

import (
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// reservedWords cannot stand unaliased in an expression ("Reserved words in DynamoDB", developer
// guide). Without the list, a missing alias would fail only in AWS.
//
//go:embed reserved_words.txt
var reservedWordList string

var reservedWords = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.Lines(reservedWordList) {
		words[strings.TrimSpace(word)] = true
	}
	return words
}()

// source is an expression as a request carries it: absent or not empty.
type source string

func (s *source) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	if text == "" {
		return invalid("Invalid expression: The expression can not be empty;")
	}
	*s = source(text)
	return nil
}

// node is one element of a parsed expression: an operator, function or operand with its arguments.
type node struct {
	op    string // "path", "value", "size", "=", "AND", "begins_with", "+", ...
	args  []node
	path  path
	value value
}

// path addresses an attribute or a part of one; steps are string (map key) or int (list index).
type path []any

func (p path) attribute() string { return p[0].(string) }

func (p path) in(it item) (value, bool) {
	v, ok := it[p.attribute()]
	for _, step := range p[1:] {
		if !ok {
			return value{}, false
		}
		switch step := step.(type) {
		case string:
			var m item
			if m, ok = v.data.(item); ok {
				v, ok = m[step]
			}
		case int:
			var l []value
			if l, ok = v.data.([]value); ok {
				if ok = step < len(l); ok {
					v = l[step]
				}
			}
		}
	}
	return v, ok
}

// overlaps reports whether one path equals the other or lies below it.
func (p path) overlaps(q path) bool {
	n := min(len(p), len(q))
	return slices.Equal(p[:n], q[:n])
}

// substitutions are the names and values that an expression may use. DynamoDB refuses a request
// with unused ones, so uses are recorded.
type substitutions struct {
	names      map[string]string
	values     item
	usedNames  map[string]bool
	usedValues map[string]bool
}

func newSubstitutions(names map[string]string, values item) *substitutions {
	return &substitutions{names: names, values: values, usedNames: map[string]bool{}, usedValues: map[string]bool{}}
}

func (s *substitutions) checkAllUsed() error {
	for name := range maps.Keys(s.names) {
		if !s.usedNames[name] {
			return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for name := range maps.Keys(s.values) {
		if !s.usedValues[name] {
			return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
	}
	return nil
}

// parser reads one expression. Its methods panic with an *apiError, which parse recovers, so the
// grammar needs no error check after every word.
type parser struct {
	kind   string // name of the parameter, for messages
	tokens []string
	at     int
	with   *substitutions
}

func parse[T any](kind string, expression source, with *substitutions, rule func(*parser) T) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(*apiError)
			if !ok {
				panic(r)
			}
			err = fault
		}
	}()
	p := &parser{kind: kind, with: with}
	p.tokens = p.split(string(expression))
	out = rule(p)
	if p.at < len(p.tokens) {
		p.fail("Syntax error; token: %q", p.peek())
	}
	return out, nil
}

func (p *parser) fail(format string, args ...any) {
	panic(invalid("Invalid "+p.kind+": "+format, args...))
}

func wordRune(r rune) bool {
	return r == '_' || r == '#' || r == ':' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func (p *parser) split(s string) []string {
	var tokens []string
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case wordRune(rune(c)):
			end := i + 1
			for end < len(s) && wordRune(rune(s[end])) && s[end] != ':' && s[end] != '#' {
				end++
			}
			tokens = append(tokens, s[i:end])
			i = end
		case strings.HasPrefix(s[i:], "<>"), strings.HasPrefix(s[i:], "<="), strings.HasPrefix(s[i:], ">="):
			tokens = append(tokens, s[i:i+2])
			i += 2
		case strings.IndexByte("()[],.=<>+-", c) >= 0:
			tokens = append(tokens, s[i:i+1])
			i++
		default:
			p.fail("Syntax error; token: %q", c)
		}
	}
	return tokens
}

func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return "<EOF>"
}

func (p *parser) next() string {
	token := p.peek()
	p.at++
	return token
}

// take consumes the next token if it is want. Keywords are case-insensitive.
func (p *parser) take(want string) bool {
	if strings.EqualFold(p.peek(), want) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(want string) {
	if !p.take(want) {
		p.fail("Syntax error; token: %q, expected: %q", p.peek(), want)
	}
}

func (p *parser) condition() node {
	left := p.conjunction()
	for p.take("OR") {
		left = node{op: "OR", args: []node{left, p.conjunction()}}
	}
	return left
}

func (p *parser) conjunction() node {
	left := p.negation()
	for p.take("AND") {
		left = node{op: "AND", args: []node{left, p.negation()}}
	}
	return left
}

func (p *parser) negation() node {
	switch {
	case p.take("NOT"):
		return node{op: "NOT", args: []node{p.negation()}}
	case p.take("("):
		inner := p.condition()
		p.expect(")")
		return inner
	}
	return p.predicate()
}

// predicates are the boolean functions, with their number of arguments.
var predicates = map[string]int{
	"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2,
}

func (p *parser) predicate() node {
	if n, ok := predicates[p.peek()]; ok {
		call := node{op: p.next(), args: p.arguments()}
		if len(call.args) != n {
			p.fail("Incorrect number of operands for operator or function; operator or function: %s", call.op)
		}
		if strings.HasPrefix(call.op, "attribute_") && call.args[0].op != "path" {
			p.fail("Operator or function requires a document path; operator or function: %s", call.op)
		}
		return call
	}
	left := p.operand()
	switch op := strings.ToUpper(p.next()); op {
	case "=", "<>", "<", "<=", ">", ">=":
		return node{op: op, args: []node{left, p.operand()}}
	case "BETWEEN":
		low := p.operand()
		p.expect("AND")
		return node{op: op, args: []node{left, low, p.operand()}}
	case "IN":
		return node{op: op, args: append([]node{left}, p.arguments()...)}
	default:
		p.fail("Syntax error; token: %q", op)
		return node{}
	}
}

func (p *parser) arguments() []node {
	p.expect("(")
	args := []node{p.operand()}
	for p.take(",") {
		args = append(args, p.operand())
	}
	p.expect(")")
	return args
}

func (p *parser) operand() node {
	token := p.peek()
	switch {
	case token == "size":
		p.next()
		args := p.arguments()
		if len(args) != 1 {
			p.fail("Incorrect number of operands for operator or function; operator or function: size")
		}
		return node{op: "size", args: args}
	case strings.HasPrefix(token, ":"):
		p.next()
		v, ok := p.with.values[token]
		if !ok {
			p.fail("An expression attribute value used in expression is not defined; attribute value: %s", token)
		}
		p.with.usedValues[token] = true
		return node{op: "value", value: v}
	}
	return node{op: "path", path: p.path()}
}

func (p *parser) path() path {
	out := path{p.name()}
	for {
		switch {
		case p.take("."):
			out = append(out, p.name())
		case p.take("["):
			i, err := strconv.Atoi(p.next())
			if err != nil || i < 0 {
				p.fail("Syntax error; list index expected")
			}
			p.expect("]")
			out = append(out, i)
		default:
			return out
		}
	}
}

func (p *parser) name() string {
	token := p.next()
	switch {
	case strings.HasPrefix(token, "#"):
		name, ok := p.with.names[token]
		if !ok {
			p.fail("An expression attribute name used in the document path is not defined; attribute name: %s", token)
		}
		p.with.usedNames[token] = true
		return name
	case !unicode.IsLetter(rune(token[0])):
		p.fail("Syntax error; token: %q", token)
	case reservedWords[strings.ToUpper(token)]:
		p.fail("Attribute name is a reserved keyword; reserved keyword: %s", token)
	}
	return token
}

func (p *parser) paths() []path {
	out := []path{p.path()}
	for p.take(",") {
		out = append(out, p.path())
	}
	return out
}

// operandIn returns an operand's value in an item; ok is false if it is absent.
func (n node) operandIn(it item) (v value, ok bool) {
	switch n.op {
	case "path":
		return n.path.in(it)
	case "size":
		if v, ok = n.args[0].operandIn(it); !ok {
			return value{}, false
		}
		size, ok := v.size()
		return value{kind: "N", data: strconv.Itoa(size)}, ok
	}
	return n.value, true
}

// holds evaluates a condition. An operand that is absent or of another type makes a comparison
// false, except <>, which is then true.
func (n node) holds(it item) (bool, error) {
	switch n.op {
	case "AND", "OR":
		left, err := n.args[0].holds(it)
		if err != nil || left == (n.op == "OR") {
			return left, err
		}
		return n.args[1].holds(it)
	case "NOT":
		inner, err := n.args[0].holds(it)
		return !inner, err
	}
	values := make([]value, len(n.args))
	present := make([]bool, len(n.args))
	for i, arg := range n.args {
		values[i], present[i] = arg.operandIn(it)
	}
	switch n.op {
	case "attribute_exists":
		return present[0], nil
	case "attribute_not_exists":
		return !present[0], nil
	case "<>":
		return present[0] != present[1] || !equal(values[0], values[1]), nil
	}
	if n.op == "begins_with" && present[1] && values[1].kind != "S" && values[1].kind != "B" {
		return false, invalid("Invalid operand type for begins_with: %s", values[1].kind)
	}
	if n.op == "IN" {
		return present[0] && slices.ContainsFunc(values[1:], func(v value) bool { return equal(values[0], v) }), nil
	}
	if slices.Contains(present, false) {
		return false, nil
	}
	return compareValues(n.op, values), nil
}

func compareValues(op string, values []value) bool {
	left, right := values[0], values[1]
	if op == "=" {
		return equal(left, right)
	}
	order, ordered := compare(left, right)
	switch op {
	case "<":
		return ordered && order < 0
	case "<=":
		return ordered && order <= 0
	case ">":
		return ordered && order > 0
	case ">=":
		return ordered && order >= 0
	case "BETWEEN":
		high, ok := compare(left, values[2])
		return ordered && ok && order >= 0 && high <= 0
	case "attribute_type":
		return right.data == left.kind
	case "begins_with":
		return left.kind == right.kind && strings.HasPrefix(left.string(), right.string())
	case "contains":
		return contains(left, right)
	}
	return false
}

func (v value) string() string {
	if b, ok := v.data.([]byte); ok {
		return string(b)
	}
	s, _ := v.data.(string)
	return s
}

func contains(in, v value) bool {
	switch data := in.data.(type) {
	case string, []byte:
		return in.kind == v.kind && strings.Contains(in.string(), v.string())
	case []string:
		return in.kind == v.kind+"S" && slices.Contains(data, v.string())
	case [][]byte:
		return in.kind == v.kind+"S" && slices.ContainsFunc(data, func(b []byte) bool { return string(b) == v.string() })
	case []value:
		return slices.ContainsFunc(data, func(e value) bool { return equal(e, v) })
	}
	return false
}
