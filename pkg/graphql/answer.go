package graphql

import (
	"context"
	"errors"
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// An Object is what a query can select fields of, by their names: a value of JSON, another Object, or a
// Later. Its type is under __typename.
type Object map[string]any

// A Later finds a value only if a query asks for it, and once: a query can ask for one field under two
// thousand names.
type Later func(context.Context) (any, error)

// A Problem is what is wrong with a query. Its text is for the client, and names at most a field or type.
type Problem struct{ text string }

func (p *Problem) Error() string { return p.text }

func problem(format string, args ...any) error { return &Problem{fmt.Sprintf(format, args...)} }

const (
	// maxSelected is how many fields and fragments an answer may visit: fragments that name each other
	// would multiply.
	maxSelected = 2_000
	maxDepth    = 16
)

// Answer returns the data that a document selects of query. It answers queries without arguments and
// directives, because no field here has any. operation may be "" in a document with one. In query, it replaces
// each Later by what that found. An error is a *Problem or comes from a Later.
func Answer(ctx context.Context, document, operation string, query Object) (map[string]any, error) {
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, maxTokens)
	if err != nil {
		return nil, problem("The query cannot be read") // the parser's text repeats parts of it
	}
	wanted := parsed.Operations.ForName(operation)
	switch {
	case operation == "" && len(parsed.Operations) > 1:
		return nil, problem("An operation name is required")
	case wanted == nil:
		return nil, problem("No such operation")
	case wanted.Operation != ast.Query:
		return nil, problem("Schema is not configured for %ss", wanted.Operation)
	case len(wanted.Directives) > 0:
		return nil, problem("Directives are not supported")
	}
	a := answer{ctx: ctx, fragments: parsed.Fragments, left: maxSelected, fields: map[string]string{}}
	data := map[string]any{}
	return data, a.selectInto(data, wanted.SelectionSet, query, "", 0)
}

type answer struct {
	ctx       context.Context //nolint:containedctx // an answer is one call
	fragments ast.FragmentDefinitionList
	left      int
	// fields are the names of the fields by their places in the answer. Two fields cannot have one place
	// (GraphQL section 5.3.2).
	fields map[string]string
}

var errTooLarge = problem("The query is too large")

// selectInto selects fields of from into data, whose place in the answer is at.
func (a *answer) selectInto(data map[string]any, set ast.SelectionSet, from Object, at string, depth int) error {
	if depth > maxDepth {
		return errTooLarge
	}
	for _, selection := range set {
		if a.left--; a.left < 0 {
			return errTooLarge
		}
		var err error
		switch s := selection.(type) {
		case *ast.Field:
			err = a.field(data, s, from, at, depth)
		case *ast.InlineFragment:
			err = a.fragment(data, s.TypeCondition, s.Directives, s.SelectionSet, from, at, depth)
		case *ast.FragmentSpread:
			definition := a.fragments.ForName(s.Name)
			if definition == nil {
				return problem("No such fragment")
			}
			if len(s.Directives) > 0 {
				return problem("Directives are not supported")
			}
			err = a.fragment(data, definition.TypeCondition, definition.Directives, definition.SelectionSet, from, at, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) fragment(data map[string]any, on string, directives ast.DirectiveList, set ast.SelectionSet, from Object, at string, depth int) error {
	switch {
	case len(directives) > 0:
		return problem("Directives are not supported")
	case on != "" && on != from["__typename"]:
		return problem("Fragment on another type than %s", from["__typename"])
	default:
		return a.selectInto(data, set, from, at, depth+1)
	}
}

func (a *answer) field(data map[string]any, f *ast.Field, from Object, at string, depth int) error {
	value, some := from[f.Name]
	at += "." + f.Alias
	earlier, again := a.fields[at]
	switch {
	case len(f.Directives) > 0:
		return problem("Directives are not supported")
	case !some:
		return problem("Field '%s' doesn't exist on type '%s'", f.Name, from["__typename"])
	case len(f.Arguments) > 0:
		return problem("Field '%s' doesn't accept arguments", f.Name)
	case again && earlier != f.Name:
		return problem("Field '%s' has a field conflict: %s or %s?", f.Alias, earlier, f.Name)
	}
	a.fields[at] = f.Name
	if later, some := value.(Later); some {
		var err error
		if value, err = later(a.ctx); err != nil {
			return err
		}
		from[f.Name] = value
	}
	object, composite := value.(Object)
	switch {
	case composite && len(f.SelectionSet) == 0:
		return problem("Field '%s' must have selections", f.Name)
	case !composite && value != nil && len(f.SelectionSet) > 0:
		return problem("Selections can't be made on field '%s'", f.Name)
	case !composite:
		data[f.Alias] = value
		return nil
	}
	below, there := data[f.Alias].(map[string]any) // the same field twice is one
	if !there {
		below = map[string]any{}
		data[f.Alias] = below
	}
	return a.selectInto(below, f.SelectionSet, object, at, depth+1)
}

// ErrorOf returns the Problem in err, or nil.
func ErrorOf(err error) *Problem {
	found, _ := errors.AsType[*Problem](err)
	return found
}
