package fault_test

import (
	"errors"
	"slices"
	"testing"

	"latchkey/pkg/fault"
)

type parts struct {
	Gate   error
	Prefix string
	Told   func() `optional:""`
}

type gate struct{}

func (*gate) Error() string { return "" }

// Breaks if something is made without what guards it.
func TestMissing(t *testing.T) {
	there := errors.New("gate")
	for name, c := range map[string]struct {
		parts parts
		fine  bool
	}{
		"everything":                {parts{there, "p", func() {}}, true},
		"without what is optional":  {parts{there, "p", nil}, true},
		"without an interface":      {parts{nil, "p", nil}, false},
		"with an interface of none": {parts{(*gate)(nil), "p", nil}, false},
		"with a text that is empty": {parts{there, "", nil}, false},
	} {
		if err := fault.Missing(c.parts); (err == nil) != c.fine || fault.KindOf(err) != fault.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBreaches(t *testing.T) {
	var broken fault.Breaches
	if broken.Err() != nil {
		t.Error("no rule is broken, and there is an error")
	}
	broken.Add("name", fault.TooLong, 255)
	broken.Add("email", fault.Malformed, nil)
	broken.Add("name", fault.Reserved, nil)
	if err := broken.Err(); fault.KindOf(err) != fault.Invalid || err.Error() != "name too long, email malformed, name reserved" {
		t.Errorf("%v", err)
	}
	if rules := broken.Of("name"); !slices.Equal(rules, []fault.Rule{fault.TooLong, fault.Reserved}) {
		t.Errorf("rules of the name: %v", rules)
	}
}
