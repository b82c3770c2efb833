package fault_test

import (
	"errors"
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
