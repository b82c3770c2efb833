package fault

import (
	"fmt"
	"strings"
)

// A Breach is a rule that a requested value breaks. It holds no sentence; adapters have the words.
type Breach struct {
	// Field names the value, for example name or expires_on.
	Field string
	Rule  Rule
	// Limit is the bound of the rule: a number, a day, a Range. It may be nil.
	Limit any
}

// A Rule says what is wrong with a value.
type Rule string

// The rules.
const (
	Blank      Rule = "blank"
	TooLong    Rule = "too long" // Limit is the most characters
	Malformed  Rule = "malformed"
	NotASCII   Rule = "not ASCII"
	Reserved   Rule = "reserved"
	Taken      Rule = "taken"
	NotInList  Rule = "not in the list"
	AdminsOnly Rule = "for administrators only" // Limit is the part of the value
	NoBots     Rule = "a bot"
	TooEarly   Rule = "too early" // Limit is the last day that is too early
	TooLate    Rule = "too late"  // Limit is the last day
	OutOfRange Rule = "out of range"
	TooDeep    Rule = "too deep"
	Fixed      Rule = "fixed"
	TooWide    Rule = "too wide"   // Limit says for what
	TooNarrow  Rule = "too narrow" // Limit says for what
	TooMany    Rule = "too many"
	StartOf    Rule = "start of an earlier one"
)

// A Range is the limit of OutOfRange, both ends included.
type Range struct{ Least, Most int }

// Breaches are all broken rules of a request. They wrap ErrInput.
type Breaches []Breach

// Add adds a broken rule.
func (b *Breaches) Add(field string, rule Rule, limit any) {
	*b = append(*b, Breach{field, rule, limit})
}

// Err returns b, or nil if no rule is broken.
func (b Breaches) Err() error {
	if len(b) == 0 {
		return nil
	}
	return b
}

// Of returns the rules that a field breaks.
func (b Breaches) Of(field string) (rules []Rule) {
	for _, breach := range b {
		if breach.Field == field {
			rules = append(rules, breach.Rule)
		}
	}
	return rules
}

// Error leaves out the values, because a client can write anything into them.
func (b Breaches) Error() string {
	texts := make([]string, len(b))
	for i, breach := range b {
		texts[i] = fmt.Sprintf("%s %s", breach.Field, breach.Rule)
	}
	return strings.Join(texts, ", ")
}

func (Breaches) Unwrap() error { return ErrInput }
