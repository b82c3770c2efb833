package trail_test

import (
	"context"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/listing"
	"latchkey/pkg/principal"
	"latchkey/pkg/trail"
)

// asked notes what a list asks a store for.
type asked struct {
	trail.Store
	in audit.Period
}

func (s *asked) EveryEvent(_ context.Context, in audit.Period, _ func(audit.Event) bool) error {
	s.in = in
	return nil
}

func (s *asked) Events(ctx context.Context, _ audit.Entity, in audit.Period, each func(audit.Event) bool) error {
	return s.EveryEvent(ctx, in, each)
}

// Breaks if a small page costs what a large one costs.
func TestAListSaysHowManyEventsItLooksAt(t *testing.T) {
	t.Parallel()
	store := &asked{}
	list, err := trail.New(trail.Parts{
		Store: store, Reader: struct{ trail.Reader }{}, Projects: struct{ principal.Projects }{}, Clock: clock.NewFake(now),
	})
	if err != nil {
		t.Fatal(err)
	}
	by := principal.Principal{Account: account.Account{ID: 1, Admin: true}}
	for name, c := range map[string]struct {
		want listing.Want
		most int // one more than the page and those in front of it
	}{
		"the first page":      {listing.ByNumber(0, 20), 21},
		"the third page":      {listing.ByNumber(40, 20), 61},
		"a page by place":     {listing.Want{Limit: 1, ByPlace: true, Place: "0000000000000001#A"}, 2},
		"a page as it may be": {listing.ByNumber(0, 100), 101},
	} {
		for which, read := range map[string]func(trail.Query) error{
			"every": func(q trail.Query) error { _, err := list.Every(t.Context(), by, q); return err },
			"own":   func(q trail.Query) error { _, err := list.Own(t.Context(), by, q); return err },
		} {
			if err := read(trail.Query{Want: c.want}); err != nil || store.in.Expected != c.most || store.in.Behind != c.want.Place {
				t.Errorf("%s, %s: %+v, %v, want %d", name, which, store.in, err, c.most)
			}
		}
	}
}
