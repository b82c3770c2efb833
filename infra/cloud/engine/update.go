package engine

import (
	"cmp"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// action is one change of an update expression.
type action struct {
	verb  string // SET, REMOVE, ADD, DELETE
	path  path
	value node // not for REMOVE
}

func (p *parser) update() []action {
	var actions []action
	seen := map[string]bool{}
	for p.at < len(p.tokens) {
		verb := strings.ToUpper(p.next())
		if seen[verb] {
			p.fail("The %q section can only be used once in an update expression;", verb)
		}
		seen[verb] = true
		for {
			actions = append(actions, p.action(verb))
			if !p.take(",") {
				break
			}
		}
	}
	for i, a := range actions {
		for _, b := range actions[:i] {
			if a.path.overlaps(b.path) {
				p.fail("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %v, path two: %v", b.path, a.path)
			}
		}
	}
	return actions
}

func (p *parser) action(verb string) action {
	a := action{verb: verb, path: p.path()}
	switch verb {
	case "SET":
		p.expect("=")
		a.value = p.sum()
	case "REMOVE":
	case "ADD", "DELETE":
		a.value = p.operand()
		if a.value.op != "value" || len(a.path) != 1 {
			p.fail("Syntax error; %s needs an attribute and a value", verb)
		}
	default:
		p.fail("Syntax error; token: %q", verb)
	}
	return a
}

func (p *parser) sum() node {
	left := p.setOperand()
	if op := p.peek(); op == "+" || op == "-" {
		p.next()
		return node{op: op, args: []node{left, p.setOperand()}}
	}
	return left
}

func (p *parser) setOperand() node {
	op := p.peek()
	if op != "if_not_exists" && op != "list_append" {
		return p.operand()
	}
	p.next()
	p.expect("(")
	left := p.setOperand()
	p.expect(",")
	right := p.setOperand()
	p.expect(")")
	if op == "if_not_exists" && left.op != "path" {
		p.fail("Operator or function requires a document path; operator or function: if_not_exists")
	}
	return node{op: op, args: []node{left, right}}
}

// apply returns the item after the update. All right-hand sides refer to the item before the
// update, so `SET a = b, b = a` swaps.
func apply(actions []action, before item) (item, error) {
	after := maps.Clone(before)
	// Of several removals from one list, the last element goes first, because a removal moves the
	// elements after it.
	actions = slices.Clone(actions)
	slices.SortStableFunc(actions, func(a, b action) int {
		x, xok := a.path[len(a.path)-1].(int)
		y, yok := b.path[len(b.path)-1].(int)
		if !xok || !yok || a.verb != "REMOVE" || b.verb != "REMOVE" {
			return 0
		}
		return cmp.Compare(y, x)
	})
	for _, a := range actions {
		var err error
		switch a.verb {
		case "SET":
			var v value
			if v, err = a.value.setValue(before); err == nil {
				err = set(after, a.path, &v)
			}
		case "REMOVE":
			err = set(after, a.path, nil)
		case "ADD":
			err = add(after, a.path.attribute(), a.value.value)
		case "DELETE":
			err = deleteFromSet(after, a.path.attribute(), a.value.value)
		}
		if err != nil {
			return nil, err
		}
	}
	return after, nil
}

func (n node) setValue(it item) (value, error) {
	switch n.op {
	case "if_not_exists":
		if v, ok := n.args[0].operandIn(it); ok {
			return v, nil
		}
		return n.args[1].setValue(it)
	case "+", "-", "list_append":
		left, err := n.args[0].setValue(it)
		if err != nil {
			return value{}, err
		}
		right, err := n.args[1].setValue(it)
		if err != nil {
			return value{}, err
		}
		return combine(n.op, left, right)
	}
	v, ok := n.operandIn(it)
	if !ok {
		return value{}, invalid("The provided expression refers to an attribute that does not exist in the item")
	}
	return v, nil
}

func combine(op string, left, right value) (value, error) {
	want := "N"
	if op == "list_append" {
		want = "L"
	}
	if left.kind != want || right.kind != want {
		return value{}, invalid("Invalid UpdateExpression: Incorrect operand type for operator or function; operator or function: %s", op)
	}
	switch op {
	case "+":
		return number(new(big.Rat).Add(left.number(), right.number())), nil
	case "-":
		return number(new(big.Rat).Sub(left.number(), right.number())), nil
	}
	return value{kind: "L", data: slices.Concat(left.data.([]value), right.data.([]value))}, nil
}

// set writes a value at a path, or removes the value if v is nil. It copies containers on the way,
// because the item before the update shares them.
func set(it item, at path, v *value) error {
	if len(at) == 1 {
		if v == nil {
			delete(it, at.attribute())
		} else {
			it[at.attribute()] = *v
		}
		return nil
	}
	container, ok := it[at.attribute()]
	if !ok {
		return errBadPath()
	}
	changed, err := setIn(container, at[1:], v)
	if err == nil {
		it[at.attribute()] = changed
	}
	return err
}

func errBadPath() error {
	return invalid("The document path provided in the update expression is invalid for update")
}

func setIn(container value, at path, v *value) (value, error) {
	switch data := container.data.(type) {
	case item:
		if _, ok := at[0].(string); !ok {
			return value{}, errBadPath()
		}
		data = maps.Clone(data)
		return value{kind: "M", data: data}, set(data, at, v)
	case []value:
		i, ok := at[0].(int)
		if !ok {
			return value{}, errBadPath()
		}
		data = slices.Clone(data)
		switch {
		case len(at) > 1 && i < len(data):
			inner, err := setIn(data[i], at[1:], v)
			if err != nil {
				return value{}, err
			}
			data[i] = inner
		case len(at) > 1:
			return value{}, errBadPath()
		case v == nil && i < len(data):
			data = slices.Delete(data, i, i+1)
		case v == nil:
		case i < len(data):
			data[i] = *v
		default: // beyond the end: DynamoDB appends
			data = append(data, *v)
		}
		return value{kind: "L", data: data}, nil
	}
	return value{}, errBadPath()
}

func errOperandType(verb string) error {
	return invalid("An operand in the update expression has an incorrect data type: %s", verb)
}

func add(it item, name string, v value) error {
	old, ok := it[name]
	switch {
	case v.kind != "N" && !strings.HasSuffix(v.kind, "S") || v.kind == "S":
		return invalid("Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: %s", v.kind)
	case !ok:
		it[name] = v
	case old.kind != v.kind:
		return errOperandType("ADD")
	case v.kind == "N":
		it[name] = number(new(big.Rat).Add(old.number(), v.number()))
	default:
		it[name] = union(old, v)
	}
	return nil
}

func union(a, b value) value {
	if x, ok := a.data.([]string); ok {
		all := slices.Concat(x, b.data.([]string))
		slices.Sort(all)
		return value{kind: a.kind, data: slices.Compact(all)}
	}
	all := slices.Concat(a.data.([][]byte), b.data.([][]byte))
	slices.SortFunc(all, slices.Compare)
	return value{kind: a.kind, data: slices.CompactFunc(all, slices.Equal)}
}

func deleteFromSet(it item, name string, v value) error {
	old, ok := it[name]
	if !ok {
		return nil
	}
	if old.kind != v.kind {
		return errOperandType("DELETE")
	}
	var rest value
	switch data := old.data.(type) {
	case []string:
		gone := v.data.([]string)
		rest = value{kind: v.kind, data: slices.DeleteFunc(slices.Clone(data), func(s string) bool { return slices.Contains(gone, s) })}
	case [][]byte:
		gone := v.data.([][]byte)
		rest = value{kind: v.kind, data: slices.DeleteFunc(slices.Clone(data), func(b []byte) bool {
			return slices.ContainsFunc(gone, func(g []byte) bool { return slices.Equal(b, g) })
		})}
	default:
		return errOperandType("DELETE")
	}
	// DynamoDB has no empty sets: without members, the attribute is removed.
	if n, _ := rest.size(); n == 0 {
		delete(it, name)
	} else {
		it[name] = rest
	}
	return nil
}
