package fault

import (
	"slices"
	"strings"
)

// Faults are the rules that something wanted breaks, by field. They wrap
// ErrInput.
type Faults map[string][]string

// Add notes that a field breaks a rule.
func (f Faults) Add(field, rule string) { f[field] = append(f[field], rule) }

// Error implements error.
func (f Faults) Error() string {
	fields := make([]string, 0, len(f))
	for field := range f {
		fields = append(fields, field)
	}
	slices.Sort(fields)
	return "invalid " + strings.Join(fields, ", ")
}

// Unwrap returns ErrInput.
func (Faults) Unwrap() error { return ErrInput }
