package engine

import (
	"maps"
	"slices"
	"strings"
)

// action is one change of an update expression.
type action struct {
	verb  string // SET, REMOVE, ADD
	name  string
	value node // not for REMOVE
}

func (p *parser) update() []action {
	var actions []action
	var verbs, names []string
	for p.at < len(p.tokens) {
		verb := strings.ToUpper(p.next())
		if slices.Contains(verbs, verb) {
			p.fail("The %q section can only be used once in an update expression;", verb)
		}
		verbs = append(verbs, verb)
		for {
			a := p.action(verb)
			actions, names = append(actions, a), append(names, a.name)
			if !p.take(",") {
				break
			}
		}
	}
	if len(actions) == 0 {
		p.failAt(p.peek())
	}
	p.checkOverlap(names)
	return actions
}

func (p *parser) action(verb string) action {
	if verb != "SET" && verb != "REMOVE" && verb != "ADD" {
		p.failAt(verb)
	}
	a := action{verb: verb, name: p.name()}
	switch verb {
	case "SET":
		p.expect("=")
		a.value = p.operand()
		if p.take("+") {
			a.value = node{op: "+", args: []node{a.value, p.operand()}}
			p.checkTypes(a.value, "N")
		}
	case "ADD":
		token := p.peek()
		if a.value = p.operand(); a.value.op != "value" {
			p.failAt(token)
		}
		p.checkTypes(node{op: verb, args: []node{a.value}}, "N", "SS", "NS")
	}
	return a
}

// apply returns the item after the update. All right-hand sides refer to the item before the
// update, so `SET a = b, b = a` swaps.
func apply(actions []action, before item) (item, error) {
	after := maps.Clone(before)
	for _, a := range actions {
		var err error
		switch a.verb {
		case "SET":
			after[a.name], err = a.value.result(before)
		case "REMOVE":
			delete(after, a.name)
		case "ADD":
			after[a.name], err = add(before, a)
		}
		if err != nil {
			return nil, err
		}
	}
	return after, nil
}

func (n node) result(it item) (value, error) {
	if n.op != "+" {
		v, ok := n.in(it)
		if !ok {
			return v, invalid("The provided expression refers to an attribute that does not exist in the item")
		}
		return v, nil
	}
	left, err := n.args[0].result(it)
	if err != nil {
		return value{}, err
	}
	right, err := n.args[1].result(it)
	if err != nil {
		return value{}, err
	}
	if left.kind != "N" || right.kind != "N" {
		return value{}, errOperandType()
	}
	return sum(left, right)
}

func errOperandType() error {
	return invalid("An operand in the update expression has an incorrect data type")
}

func add(before item, a action) (value, error) {
	v := a.value.value
	old, ok := before[a.name]
	switch {
	case !ok:
		return v, nil
	case old.kind != v.kind:
		return value{}, errOperandType()
	case v.kind == "N":
		return sum(old, v)
	}
	all := slices.Concat(old.data.([]string), v.data.([]string))
	slices.Sort(all)
	return value{kind: v.kind, data: slices.Compact(all)}, nil
}
