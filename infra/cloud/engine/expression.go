package engine

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
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

// UnmarshalJSON refuses an empty expression.
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
	op      string // "attribute", "value", "=", "AND", "begins_with", "+", ...
	args    []node
	name    string // of an attribute
	value   value
	grouped bool // it was in parentheses
}

// attributes returns the names of all attributes in the expression.
func (n node) attributes() []string {
	var names []string
	if n.op == "attribute" {
		names = append(names, n.name)
	}
	for _, arg := range n.args {
		names = append(names, arg.attributes()...)
	}
	return names
}

// substitutions are the names and values that an expression may use. DynamoDB refuses a request
// with unused ones, so uses are recorded.
type substitutions struct {
	names  map[string]string
	values item
	used   map[string]bool
}

func newSubstitutions(names map[string]string, values item) (*substitutions, error) {
	switch {
	case names != nil && len(names) == 0:
		return nil, invalid("ExpressionAttributeNames must not be empty")
	case values != nil && len(values) == 0:
		return nil, invalid("ExpressionAttributeValues must not be empty")
	}
	for alias, name := range names {
		if name == "" {
			return nil, invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", alias)
		}
	}
	return &substitutions{names: names, values: values, used: map[string]bool{}}, nil
}

func (s *substitutions) checkAllUsed() error {
	for name := range s.names {
		if !s.used[name] {
			return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for name := range s.values {
		if !s.used[name] {
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
		p.failAt(p.peek())
	}
	return out, nil
}

func (p *parser) fail(format string, args ...any) {
	panic(invalid("Invalid "+p.kind+": "+format, args...))
}

// failAt refuses a token that DynamoDB refuses too, or that only this engine does not support.
func (p *parser) failAt(token string) {
	p.fail("Syntax error, or more than the embedded engine supports; token: %q", token)
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func wordByte(c byte) bool { return letter(c) || '0' <= c && c <= '9' || c == '_' }

func (p *parser) split(s string) []string {
	var tokens []string
	for i := 0; i < len(s); {
		end := i + 1
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case wordByte(c) || c == '#' || c == ':':
			for end < len(s) && wordByte(s[end]) {
				end++
			}
		case strings.HasPrefix(s[i:], "<="), strings.HasPrefix(s[i:], ">="):
			end++
		case strings.IndexByte("(),=<>+", c) < 0:
			p.failAt(s[i:end])
		}
		tokens = append(tokens, s[i:end])
		i = end
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
		p.failAt(p.peek())
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
		if inner.grouped {
			p.fail("The expression has redundant parentheses;")
		}
		inner.grouped = true
		return inner
	}
	return p.predicate()
}

// functions are the supported functions with the number of their arguments.
var functions = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "begins_with": 2, "contains": 2}

func (p *parser) predicate() node {
	n := node{op: p.peek()}
	if count, ok := functions[n.op]; ok {
		p.next()
		n.args = p.arguments()
		switch {
		case len(n.args) != count:
			p.fail("Incorrect number of operands for operator or function; operator or function: %s", n.op)
		case count == 1 && n.args[0].op != "attribute":
			p.fail("Operator or function requires a document path; operator or function: %s", n.op)
		case n.op == "begins_with":
			p.checkTypes(n, "S", "B")
		}
	} else {
		n.args = []node{p.operand()}
		n.op = strings.ToUpper(p.next())
		switch n.op {
		case "=", "<", "<=", ">", ">=":
			n.args = append(n.args, p.operand())
		case "BETWEEN":
			low := p.operand()
			p.expect("AND")
			n.args = append(n.args, low, p.operand())
		default:
			p.failAt(n.op)
		}
		if n.op != "=" {
			p.checkTypes(n, "S", "N", "B")
		}
	}
	p.checkOperands(n)
	return n
}

// checkTypes refuses literal operands of other types.
func (p *parser) checkTypes(n node, kinds ...string) {
	for _, arg := range n.args {
		if arg.op == "value" && !slices.Contains(kinds, arg.value.kind) {
			p.fail("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", n.op, arg.value.kind)
		}
	}
}

// checkOperands refuses a comparison of an attribute with itself, and bounds with nothing between
// them.
func (p *parser) checkOperands(n node) {
	first := n.args[0]
	for _, arg := range n.args[1:] {
		if first.op == "attribute" && arg.op == "attribute" && first.name == arg.name {
			p.fail("The first operand must be distinct from the remaining operands for this operator or function; operator: %s", n.op)
		}
	}
	if n.op != "BETWEEN" || n.args[1].op != "value" || n.args[2].op != "value" {
		return
	}
	switch order, ok := compare(n.args[1].value, n.args[2].value); {
	case !ok:
		p.fail("The BETWEEN operator requires same data type for lower and upper bounds")
	case order > 0:
		p.fail("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
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
	if !strings.HasPrefix(token, ":") {
		return node{op: "attribute", name: p.name()}
	}
	p.next()
	v, ok := p.with.values[token]
	if !ok {
		p.fail("An expression attribute value used in expression is not defined; attribute value: %s", token)
	}
	p.with.used[token] = true
	return node{op: "value", value: v}
}

func (p *parser) name() string {
	token := p.next()
	switch {
	case strings.HasPrefix(token, "#"):
		name, ok := p.with.names[token]
		if !ok {
			p.fail("An expression attribute name used in the document path is not defined; attribute name: %s", token)
		}
		p.with.used[token] = true
		return name
	case !letter(token[0]):
		p.failAt(token)
	case p.peek() == "(":
		p.fail("Invalid function name, or one that the embedded engine does not support; function: %s", token)
	case reservedWords[strings.ToUpper(token)]:
		p.fail("Attribute name is a reserved keyword; reserved keyword: %s", token)
	}
	return token
}

// projection reads a list of attributes.
func (p *parser) projection() []string {
	names := []string{p.name()}
	for p.take(",") {
		names = append(names, p.name())
	}
	p.checkOverlap(names)
	return names
}

func (p *parser) checkOverlap(names []string) {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			p.fail("Two document paths overlap with each other; must remove or rewrite one of these paths; path: %s", name)
		}
	}
}

// in returns the value of an operand; ok is false if the item has no such attribute.
func (n node) in(it item) (v value, ok bool) {
	if n.op == "attribute" {
		v, ok = it[n.name]
		return v, ok
	}
	return n.value, true
}

// holds evaluates a condition. A comparison with an absent operand or one of another type is false.
func (n node) holds(it item) bool {
	switch n.op {
	case "AND":
		return n.args[0].holds(it) && n.args[1].holds(it)
	case "OR":
		return n.args[0].holds(it) || n.args[1].holds(it)
	case "NOT":
		return !n.args[0].holds(it)
	}
	values := make([]value, len(n.args))
	present := true
	for i, arg := range n.args {
		var ok bool
		values[i], ok = arg.in(it)
		present = present && ok
	}
	switch {
	case n.op == "attribute_exists":
		return present
	case n.op == "attribute_not_exists":
		return !present
	case !present:
		return false
	}
	left, right := values[0], values[1]
	switch n.op {
	case "=":
		return equal(left, right)
	case "begins_with":
		return left.kind == right.kind && left.kind != "N" && strings.HasPrefix(left.text(), right.text())
	case "contains":
		return contains(left, right)
	}
	order, ok := compare(left, right)
	switch n.op {
	case "<":
		return ok && order < 0
	case "<=":
		return ok && order <= 0
	case ">":
		return ok && order > 0
	case ">=":
		return ok && order >= 0
	}
	high, both := compare(left, values[2]) // BETWEEN
	return ok && both && order >= 0 && high <= 0
}

func contains(in, v value) bool {
	switch data := in.data.(type) {
	case string:
		return in.kind == v.kind && in.kind != "N" && strings.Contains(data, v.text())
	case []string:
		return in.kind == v.kind+"S" && slices.Contains(data, v.text())
	case []value:
		return slices.ContainsFunc(data, func(e value) bool { return equal(e, v) })
	}
	return false
}
